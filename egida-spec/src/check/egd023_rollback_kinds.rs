//! EGD023, rule 10: on rollback everything that the receive log holds in memory must be saved.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::RollbackStmt;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let Some(RollbackStmt::Log(rollback)) = &context.protocol.recovery.rollback else {
        return;
    };
    let logged = context.delivery().into_iter().flat_map(|stmt| &stmt.logs).flat_map(|log| &log.what);
    for held in logged.filter(|held| !rollback.logs(held.value)) {
        let kind = held.value.as_str();
        diagnostics.push(
            Diagnostic::new(
                Code::RollbackKinds,
                format!("on rollback the {kind}s still in memory would be lost"),
            )
            .label(rollback.span, format!("does not log `{kind}`"))
            .label_origin(&held.origin, "logged here as it comes")
            .help(format!("add `{kind}` to what is logged on rollback")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OPTIMISTIC, codes, spec};

    #[test]
    fn both_kinds() {
        let rest = "send: Piggyback vector clock\nProtocol to detect orphans: broadcast logical clock\nOn rollback: ";
        assert_eq!(codes(&spec(&[OPTIMISTIC, rest, "Log determinant on NFS disk"])), ["EGD023"]);
        assert_eq!(codes(&spec(&[OPTIMISTIC, rest, "Log message on NFS disk"])), ["EGD023"]);
        assert_eq!(codes(&spec(&[OPTIMISTIC, rest, "Log data, determinant on NFS disk"])), [""; 0]);
    }
}
