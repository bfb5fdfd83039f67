//! EGD009, rule 2: an event stands where it has no role.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::{Event, Origin};

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let mut wrong = |event: Event, origin: &Origin, problem: &str, help: &str| {
        diagnostics.push(
            Diagnostic::new(Code::Role, format!("`{event}` {problem}"))
                .label_origin(origin, "not here")
                .help(help),
        );
    };
    for stmt in &context.protocol.non_deterministic {
        if !stmt.event.value.is_non_deterministic() {
            let help = "a determinant records the outcome of `receive`, `choice` or `read`";
            wrong(
                stmt.event.value,
                &stmt.event.origin,
                "has no determinant: the process itself brings it about",
                help,
            );
        }
    }
    for stmt in &context.protocol.dependency_generating {
        if stmt.event.value != Event::Send {
            let help = "only `send` makes other processes depend on this one";
            wrong(stmt.event.value, &stmt.event.origin, "generates no dependency", help);
        }
    }
    for event in context.protocol.output_commit.iter().flat_map(|stmt| &stmt.events) {
        if !matches!(event.value, Event::Write | Event::Send) {
            let help =
                "output leaves by `write`, and for a protocol that makes every message wait, by `send`";
            wrong(event.value, &event.origin, "is no output", help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PESSIMISTIC, codes, spec, underlined};

    #[test]
    fn a_send_has_no_determinant() {
        let text = spec(&[PESSIMISTIC, "send: determinant: {source, sesn, dest, desn}"]);
        assert_eq!(codes(&text), ["EGD009"]);
        assert_eq!(underlined(&text, "EGD009"), Some("send"));
    }

    #[test]
    fn a_write_generates_no_dependency() {
        let text = spec(&[PESSIMISTIC, "write: Log message synchronously on NFS disk"]);
        assert_eq!(codes(&text), ["EGD009"]);
    }

    #[test]
    fn nothing_rides_on_a_receive() {
        assert_eq!(codes(&spec(&[PESSIMISTIC, "Piggyback vector clock"])), ["EGD009"]);
        let text = "receive: Piggyback vector clock\nCo-ordinated checkpoint on NFS disk";
        assert_eq!(codes(text), ["EGD009"]);
    }

    #[test]
    fn a_read_is_no_output() {
        let text = spec(&[PESSIMISTIC, "Independent output commit on write, read"]);
        assert_eq!(codes(&text), ["EGD009"]);
        assert_eq!(underlined(&text, "EGD009"), Some("read"));
    }
}
