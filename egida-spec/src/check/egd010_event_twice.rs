//! EGD010, rule 2: two statements of the same kind for one event.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::{Event, Spanned};

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let protocol = context.protocol;
    twice(
        protocol.non_deterministic.iter().map(|stmt| &stmt.event),
        "put both into one statement",
        diagnostics,
    );
    twice(
        protocol.dependency_generating.iter().map(|stmt| &stmt.event),
        "put both into one statement",
        diagnostics,
    );
    let committed = protocol.output_commit.iter().flat_map(|stmt| &stmt.events);
    twice(committed, "leave one of the output commit protocols", diagnostics);
}

fn twice<'a>(
    events: impl Iterator<Item = &'a Spanned<Event>>,
    help: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut seen: Vec<&Spanned<Event>> = Vec::new();
    for event in events {
        match seen.iter().find(|first| first.value == event.value) {
            None => seen.push(event),
            Some(first) => diagnostics.push(
                Diagnostic::new(Code::EventTwice, format!("there are two statements for `{}`", event.value))
                    .label_origin(&event.origin, "again here")
                    .label_origin(&first.origin, "first here")
                    .help(help),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CAUSAL, PESSIMISTIC, codes, spec};

    #[test]
    fn each_kind_of_statement() {
        assert_eq!(codes(&spec(&[PESSIMISTIC, PESSIMISTIC])), ["EGD010"]);
        assert_eq!(codes(&spec(&[CAUSAL, "send: Piggyback logical clock"])), ["EGD010"]);
        let commits = "Independent output commit on write\nCo-ordinated output commit on write";
        assert_eq!(codes(&spec(&[PESSIMISTIC, commits])), ["EGD010"]);
    }

    #[test]
    fn different_output_events_may_have_different_protocols() {
        let commits = "Independent output commit on write\nCo-ordinated output commit on send";
        assert_eq!(codes(&spec(&[PESSIMISTIC, commits])), [""; 0]);
    }
}
