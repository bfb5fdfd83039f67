//! EGD013, rule 4: an optimistic protocol finds orphans by the vector clocks on messages.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::Class;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    if context.class() != Class::Optimistic || context.vector_clock().is_some() {
        return;
    }
    let mut diagnostic =
        Diagnostic::new(Code::OptimisticClock, "an optimistic protocol needs vector clocks on its messages");
    if let Some(orphans) = &context.protocol.recovery.orphans {
        // With `broadcast logical clock` it is the token that is scalar, not what the messages carry.
        diagnostic = diagnostic.label_origin(&orphans.origin, "compares them");
    }
    if let Some(decided) = &context.classification.decided_by {
        diagnostic = diagnostic.label_origin(&decided.origin, format!("optimistic: {}", decided.why));
    }
    diagnostics.push(diagnostic.help("add `Piggyback vector clock` under `send:`, or log synchronously"));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OPTIMISTIC, PESSIMISTIC, codes, codes_under, spec};
    use crate::protocol::FailureUnit;

    const ORPHANS: &str = "Protocol to detect orphans: broadcast logical clock\n";

    #[test]
    fn a_logical_clock_is_not_enough() {
        assert_eq!(codes(&spec(&[OPTIMISTIC, ORPHANS])), ["EGD013"]);
        assert_eq!(codes(&spec(&[OPTIMISTIC, "send: Piggyback logical clock\n", ORPHANS])), ["EGD013"]);
        assert_eq!(codes(&spec(&[OPTIMISTIC, "send: Piggyback vector clock\n", ORPHANS])), [""; 0]);
    }

    #[test]
    fn not_asked_of_other_classes() {
        assert_eq!(codes(PESSIMISTIC), [""; 0]);
        // When only a process dies, what it had still to write is in its node's memory.
        assert_eq!(codes_under(OPTIMISTIC, FailureUnit::Process), [""; 0]);
    }
}
