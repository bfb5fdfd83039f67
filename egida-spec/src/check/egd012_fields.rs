//! EGD012, rule 3: a determinant lacks a field without which its event cannot be replayed.

use super::Context;
use crate::determinant::{default_determinant, required_fields};
use crate::diagnostic::{Code, Diagnostic};

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for stmt in &context.protocol.non_deterministic {
        let has = |field| stmt.determinant.iter().any(|has| has.value == field);
        let event = stmt.event.value;
        let missing: Vec<String> = required_fields(event)
            .iter()
            .filter(|field| !has(**field))
            .map(|field| format!("`{}`", field.as_str()))
            .collect();
        // A determinant that is not there at all was reported when the text was read.
        if missing.is_empty() || stmt.determinant.is_empty() {
            continue;
        }
        let mut diagnostic = Diagnostic::new(
            Code::Fields,
            format!("the determinant of `{event}` lacks {}", missing.join(", ")),
        );
        if let Some(first) = stmt.determinant.first() {
            let last = stmt.determinant.last().and_then(|field| field.origin.span());
            if let (Some(first), Some(last)) = (first.origin.span(), last) {
                let span = crate::protocol::Span { start: first.start, end: last.end };
                diagnostic = diagnostic.label(span, "with these alone the event cannot be replayed");
            }
        }
        diagnostics.push(diagnostic.help(format!("write `determinant: {}`", default_determinant(event))));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PESSIMISTIC, codes, spec, underlined};

    #[test]
    fn a_delivery_needs_all_four() {
        let text = PESSIMISTIC.replace("sesn, dest, ", "");
        assert_eq!(codes(&text), ["EGD012"]);
        assert_eq!(underlined(&text, "EGD012"), Some("source, desn"));
        assert_eq!(codes(&PESSIMISTIC.replace("sesn", "ssn").replace("desn", "rsn")), [""; 0]);
    }

    #[test]
    fn a_choice_adds_what_was_answered_and_to_which_call() {
        let choice =
            "choice: determinant: {source, sesn, dest, desn} Log determinant synchronously on NFS disk
            send: Log message synchronously on volatile memory of self";
        assert_eq!(codes(choice), ["EGD012"]);
        assert_eq!(codes(&choice.replace("desn}", "desn, outcome, event}")), [""; 0]);
    }

    #[test]
    fn a_read_has_no_sender() {
        let read = "read: determinant: {outcome, event} Log determinant synchronously on NFS disk";
        assert_eq!(codes(&spec(&[PESSIMISTIC, read])), [""; 0]);
        assert_eq!(codes(&spec(&[PESSIMISTIC, &read.replace("outcome, ", "")])), ["EGD012"]);
    }
}
