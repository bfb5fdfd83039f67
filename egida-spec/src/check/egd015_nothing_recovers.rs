//! EGD015, rule 5: where determinants are not recoverable, checkpoints must be, and along a line.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::Class;
use crate::vocabulary::Checkpoint;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    if context.class() != Class::None
        || diagnostics.iter().any(|diagnostic| diagnostic.code == Code::Coverage)
    {
        return;
    }
    let (message, help) = match (context.checkpoint(), context.checkpoint_counter()) {
        // Whether an induced line holds is rule 11's question.
        (Some(Checkpoint::Coordinated | Checkpoint::Induced { .. }), _) => return,
        (Some(Checkpoint::Independent), Some(_)) => return,
        (Some(Checkpoint::Independent), None) => (
            "nothing can be recovered: no determinant survives, and no line can be found among the checkpoints",
            "take co-ordinated checkpoints, or add `Piggyback checkpoint counter` under `send:`",
        ),
        (None, _) => (
            "nothing can be recovered: neither determinants nor checkpoints survive",
            "log determinants on a storage that survives, piggyback them, or add \
             `Co-ordinated checkpoint synchronously on NFS disk`",
        ),
    };
    let mut diagnostic = Diagnostic::new(Code::NothingRecovers, message);
    if let Some(decided) = &context.classification.decided_by {
        diagnostic = diagnostic.label_origin(&decided.origin, decided.why.clone());
    }
    if let Some(checkpoint) = &context.protocol.checkpoint {
        diagnostic = diagnostic.label_origin(&checkpoint.proto.origin, "each process for itself");
    }
    diagnostics.push(diagnostic.help(help));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CAUSAL, PESSIMISTIC, RECEIVE, codes, codes_under, spec, underlined};
    use crate::protocol::FailureUnit;

    #[test]
    fn determinants_that_nobody_logs() {
        assert_eq!(codes(RECEIVE), ["EGD015"]);
        assert_eq!(codes(""), ["EGD015"]);
        assert_eq!(codes(&spec(&[RECEIVE, "Co-ordinated checkpoint synchronously on NFS disk"])), [""; 0]);
    }

    #[test]
    fn the_failure_unit_decides_what_a_disk_keeps() {
        let local = PESSIMISTIC.replace("NFS", "local");
        assert_eq!(codes(&local), ["EGD015"]);
        assert_eq!(
            underlined(&local, "EGD015"),
            Some("Log determinant, message synchronously on local disk")
        );
        assert_eq!(codes_under(&local, FailureUnit::Process), [""; 0]);
        assert_eq!(codes(&local.replace("disk", "disk with (returns = node)")), [""; 0]);
        let own = PESSIMISTIC.replace("NFS disk", "volatile memory of self");
        assert_eq!(codes(&own), ["EGD015"]);
        assert_eq!(codes_under(&own, FailureUnit::Process), [""; 0]);
    }

    #[test]
    fn copies_in_other_processes_must_reach_f() {
        let copies = |f: &str, copies: &str| {
            let storage = format!("volatile memory of processes{copies}");
            spec(&[&format!("protocol p with (f = {f})\n"), &PESSIMISTIC.replace("NFS disk", &storage)])
        };
        assert_eq!(codes(&copies("2", "")), [""; 0]);
        assert_eq!(codes(&copies("2", " with (copies = 2)")), [""; 0]);
        assert_eq!(codes(&copies("2", " with (copies = 1)")), ["EGD015"]);
        assert_eq!(codes(&copies("any", "")), ["EGD015"]);
    }

    #[test]
    fn the_memory_of_a_sender_is_one_copy() {
        let sender = |f: &str| {
            let log = PESSIMISTIC.replace("NFS disk", "volatile memory of sender");
            spec(&[&format!("protocol p with (f = {f})\n"), &log])
        };
        assert_eq!(codes(&sender("1")), [""; 0]);
        assert_eq!(codes(&sender("2")), ["EGD015"]);
        assert_eq!(codes(&sender("any")), ["EGD015"]);
        assert_eq!(codes_under(&sender("2"), FailureUnit::Process), [""; 0]);
    }

    #[test]
    fn piggybacked_determinants_do_not_survive_everybody() {
        let any = "protocol p with (f = any)\n";
        assert_eq!(codes(&spec(&[any, CAUSAL])), ["EGD015"]);
        let hybrid = CAUSAL.replace("desn}", "desn} Log determinant asynchronously on NFS disk");
        assert_eq!(codes(&spec(&[any, &hybrid])), [""; 0]);
    }

    #[test]
    fn the_weakest_event_decides() {
        let read =
            "read: determinant: {outcome, event} Log determinant synchronously on volatile memory of self";
        assert_eq!(codes(&spec(&[PESSIMISTIC, read])), ["EGD015"]);
    }

    #[test]
    fn independent_checkpoints_without_a_counter() {
        assert_eq!(codes("Independent checkpoint synchronously on NFS disk"), ["EGD015"]);
    }
}
