//! EGD004: a parameter that nothing here takes, or a value of the wrong type.

use super::Context;
use crate::diagnostic::{Code, Diagnostic, nearest, one_of};
use crate::protocol::{Event, Params, Phrase, RollbackStmt};
use crate::vocabulary::{ParamSpec, Table, display_form};

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let (protocol, known) = (context.protocol, context.vocabulary);
    for stmt in &protocol.non_deterministic {
        check_params(
            stmt.event.value.as_str(),
            &stmt.params,
            &known.statements.non_deterministic,
            diagnostics,
        );
    }
    for stmt in &protocol.dependency_generating {
        let specs = if stmt.event.value == Event::Send {
            known.statements.dependency_generating.as_slice()
        } else {
            &[]
        };
        check_params(stmt.event.value.as_str(), &stmt.params, specs, diagnostics);
        for phrase in &stmt.piggyback {
            check_value(phrase, &known.piggyback, diagnostics);
        }
    }
    let rollback_log = match &protocol.recovery.rollback {
        Some(RollbackStmt::Log(log)) => Some(log),
        _ => None,
    };
    for log in crate::class::logs(protocol).chain(rollback_log) {
        if let Some(how) = &log.how {
            check_value(how, &known.how_to_log, diagnostics);
        }
        check_value(&log.storage, &known.storage, diagnostics);
    }
    if let Some(RollbackStmt::Checkpoint { storage, .. }) = &protocol.recovery.rollback {
        check_value(storage, &known.storage, diagnostics);
    }
    for stmt in &protocol.output_commit {
        check_value(&stmt.proto, &known.output_commit, diagnostics);
        check_params("output commit", &stmt.params, &known.statements.output_commit, diagnostics);
    }
    if let Some(checkpoint) = &protocol.checkpoint {
        check_value(&checkpoint.proto, &known.checkpoint, diagnostics);
        check_params("checkpoint", &checkpoint.params, &known.statements.checkpoint, diagnostics);
        check_value(&checkpoint.how, &known.how_to_checkpoint, diagnostics);
        check_value(&checkpoint.storage, &known.storage, diagnostics);
        check_value(&checkpoint.implementation, &known.checkpoint_implementation, diagnostics);
    }
    if let Some(retrieve) = &protocol.recovery.retrieve {
        check_value(retrieve, &known.retrieval, diagnostics);
    }
    if let Some(orphans) = &protocol.recovery.orphans {
        check_value(orphans, &known.orphan_detection, diagnostics);
    }
}

fn check_value<T>(phrase: &Phrase, table: &Table<T>, diagnostics: &mut Vec<Diagnostic>) {
    // The parameters of an unknown value are unknown too; and those of a default are reported where they were written.
    if let Some(value) = table.get(&phrase.text).filter(|_| !phrase.origin.is_default()) {
        check_params(&display_form(&phrase.text), &phrase.params, &value.params, diagnostics);
    }
}

fn check_params(owner: &str, params: &Params, known: &[ParamSpec], diagnostics: &mut Vec<Diagnostic>) {
    for param in &params.0 {
        let name = &param.name;
        match known.iter().find(|spec| spec.name == *name) {
            Some(spec) if spec.accepts(param) => {}
            Some(spec) => diagnostics.push(
                Diagnostic::new(Code::Parameter, format!("`{name}` does not take this value"))
                    .label(param.span, format!("expected {}", spec.kind.describe())),
            ),
            None => {
                let names = known.iter().map(|spec| spec.name.as_str());
                let help = match nearest(name, names.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => format!("`{owner}` takes no parameters"),
                    None => format!("`{owner}` takes {}", one_of(names)),
                };
                diagnostics.push(
                    Diagnostic::new(Code::Parameter, format!("`{owner}` takes no parameter `{name}`"))
                        .label(param.span, "unknown here")
                        .help(help),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PESSIMISTIC, codes, underlined};

    #[test]
    fn takes_the_documented_parameters() {
        let text = "protocol p with (f = any, failure unit = node)
            receive with (before = delivery): determinant: {source, sesn, dest, desn}
            Log determinant, message synchronously with (before = delivery)
                on NFS disk with (path = \"/mnt/log\", limit = 256 MiB)
            send with (limit = 1 GiB): Log message asynchronously with (every = 30 s) on local disk with (returns = node)
            Independent checkpoint with (every = 5 min) on NFS disk";
        assert_eq!(codes(text), [""; 0]);
    }

    #[test]
    fn refuses_a_slip_and_a_wrong_type() {
        let slip = PESSIMISTIC.replace("disk", "disk with (pth = \"/mnt\")");
        assert_eq!(codes(&slip), ["EGD004"]);
        assert_eq!(underlined(&slip, "EGD004"), Some("pth = \"/mnt\""));
        assert_eq!(codes(&PESSIMISTIC.replace("disk", "disk with (limit = 30 s)")), ["EGD004"]);
        assert_eq!(
            codes(&PESSIMISTIC.replace("synchronously", "synchronously with (before = lunch)")),
            ["EGD004"]
        );
        assert_eq!(codes(&format!("protocol p with (f = -1)\n{PESSIMISTIC}")), ["EGD001"]);
        assert_eq!(codes(&format!("protocol p with (f = node)\n{PESSIMISTIC}")), ["EGD004"]);
        assert_eq!(codes(&format!("protocol p with (failure unit = rack)\n{PESSIMISTIC}")), ["EGD004"]);
        assert_eq!(codes(&format!("protocol p with (f = 99999999999)\n{PESSIMISTIC}")), ["EGD004"]);
    }
}
