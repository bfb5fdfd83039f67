//! EGD021, rule 10: a rollback statement, and nothing that would ever roll back.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::{RollbackStmt, Span};

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let recovery = &context.protocol.recovery;
    let Some(rollback) = &recovery.rollback else {
        return;
    };
    if recovery.orphans.is_none() {
        diagnostics.push(
            Diagnostic::new(Code::RollbackWithoutDetection, "without orphan detection nothing rolls back")
                .label(rollback_span(rollback), "never done")
                .help("add `Protocol to detect orphans: broadcast logical clock`, or leave this line out"),
        );
    }
}

fn rollback_span(rollback: &RollbackStmt) -> Span {
    match rollback {
        RollbackStmt::Log(log) => log.span,
        RollbackStmt::Checkpoint { span, .. } => *span,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PESSIMISTIC, codes, spec};

    #[test]
    fn both_forms() {
        assert_eq!(
            codes(&spec(&[PESSIMISTIC, "On rollback: Log determinant, message on NFS disk"])),
            ["EGD021"]
        );
        assert_eq!(
            codes(&spec(&[PESSIMISTIC, "On rollback: Take independent checkpoint on NFS disk"])),
            ["EGD021"]
        );
    }
}
