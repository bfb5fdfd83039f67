//! EGD008, rule 1: something is done about non-deterministic events, and deliveries are not among them.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    if context.delivery().is_some() {
        return;
    }
    let message = "nothing is said about deliveries";
    let help = "add `receive:` with its determinant, or `choice:` for what the library chose alone";
    let determinants =
        crate::class::piggybacked(context.protocol, context.vocabulary, |traits| traits.determinants);
    // A protocol without any non-deterministic statement is of class none, and exempt: its checkpoints carry it.
    if let Some(other) = context.protocol.non_deterministic.first() {
        let label = format!("only `{}` has a determinant", other.event.value);
        diagnostics.push(
            Diagnostic::new(Code::Coverage, message).label_origin(&other.event.origin, label).help(help),
        );
    } else if let Some(determinants) = determinants {
        let label = "no event makes a determinant";
        diagnostics.push(
            Diagnostic::new(Code::Coverage, message).label_origin(&determinants.origin, label).help(help),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CAUSAL, PESSIMISTIC, codes, underlined};

    #[test]
    fn reads_alone_do_not_make_a_protocol() {
        let text = "read: determinant: {outcome, event} Log determinant synchronously on NFS disk
            send: Log message synchronously on NFS disk";
        assert_eq!(codes(text), ["EGD008"]);
        assert_eq!(underlined(text, "EGD008"), Some("read"));
    }

    #[test]
    fn piggybacking_determinants_that_nobody_makes() {
        let text = "send: Piggyback determinants Log message synchronously on volatile memory of self";
        assert_eq!(codes(text), ["EGD008"]);
    }

    #[test]
    fn a_covered_protocol_and_one_of_checkpoints_alone_pass() {
        assert_eq!(codes(PESSIMISTIC), [""; 0]);
        assert_eq!(codes(CAUSAL), [""; 0]);
        assert_eq!(codes("Co-ordinated checkpoint synchronously on NFS disk"), [""; 0]);
    }
}
