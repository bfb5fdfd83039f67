//! EGD022, rule 10: what is saved on rollback does not survive.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::RollbackStmt;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let storage = match &context.protocol.recovery.rollback {
        None => return,
        Some(RollbackStmt::Log(log)) => &log.storage,
        Some(RollbackStmt::Checkpoint { storage, .. }) => storage,
    };
    if !context.keeps(storage) {
        diagnostics.push(
            Diagnostic::new(
                Code::RollbackStorage,
                "what is saved on rollback would be lost in the next failure",
            )
            .label_origin(&storage.origin, context.why_lost(storage))
            .help("save it on `NFS disk`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OPTIMISTIC, codes, codes_under, spec, underlined};
    use crate::protocol::FailureUnit;

    #[test]
    fn a_node_takes_its_disk_along() {
        let rest = "send: Piggyback vector clock\nProtocol to detect orphans: broadcast logical clock\n";
        for action in ["Log determinant, message on local disk", "Take independent checkpoint on local disk"]
        {
            let text = spec(&[OPTIMISTIC, rest, "On rollback: ", action]);
            assert_eq!(codes(&text), ["EGD022"]);
            assert_eq!(underlined(&text, "EGD022"), Some("local disk"));
            // Under the milder unit the log is as good as synchronous, and there are no orphans at all.
            assert_eq!(codes_under(&text, FailureUnit::Process), ["EGD020"]);
        }
    }
}
