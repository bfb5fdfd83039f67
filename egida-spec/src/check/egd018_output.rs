//! EGD018, rule 8: output is released before what it depends on is safe.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::Class;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let why = match context.class() {
        Class::Pessimistic | Class::Causal => return,
        Class::Optimistic => "other processes on which it depends may not have logged their part yet",
        // Without a checkpoint there is no line to wait for, which is said elsewhere.
        Class::None if context.protocol.checkpoint.is_none() => return,
        Class::None => "only a committed line of checkpoints makes it safe",
    };
    for stmt in &context.protocol.output_commit {
        let proto = context.vocabulary.output_commit.get(&stmt.proto.text);
        if proto.is_some_and(|value| !value.traits.coordinated) {
            let message = format!(
                "output of a protocol of class {} cannot be committed independently",
                context.class()
            );
            diagnostics.push(
                Diagnostic::new(Code::Output, message)
                    .label_origin(&stmt.proto.origin, why)
                    .help("write `Co-ordinated output commit on write`"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CAUSAL, OPTIMISTIC, PESSIMISTIC, codes, spec, underlined};

    const INDEPENDENT: &str = "Independent output commit on write\n";

    #[test]
    fn optimists_must_ask_the_others() {
        let rest = "send: Piggyback vector clock\nProtocol to detect orphans: broadcast logical clock\n";
        let text = spec(&[OPTIMISTIC, rest, INDEPENDENT]);
        assert_eq!(codes(&text), ["EGD018"]);
        assert_eq!(underlined(&text, "EGD018"), Some("Independent"));
        assert_eq!(codes(&text.replace("Independent", "coordinated")), [""; 0]);
    }

    #[test]
    fn checkpoints_alone_commit_by_the_line() {
        assert_eq!(codes(&spec(&["Co-ordinated checkpoint on NFS disk\n", INDEPENDENT])), ["EGD018"]);
    }

    #[test]
    fn others_may_do_as_they_like() {
        assert_eq!(codes(&spec(&[PESSIMISTIC, INDEPENDENT])), [""; 0]);
        assert_eq!(codes(&spec(&[CAUSAL, INDEPENDENT])), [""; 0]);
    }

    #[test]
    fn commit_on_send_makes_an_optimistic_log_pessimistic() {
        let log = "send: Log message synchronously on volatile memory of self\n";
        assert_eq!(codes(&spec(&[OPTIMISTIC, log, "Independent output commit on write, send\n"])), [""; 0]);
    }
}
