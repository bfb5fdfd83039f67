//! EGD011, rule 2: `receive` covers what `choice` covers; a specification has one of them.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::Event;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let find = |event| context.protocol.non_deterministic.iter().find(|stmt| stmt.event.value == event);
    if let (Some(receive), Some(choice)) = (find(Event::Receive), find(Event::Choice)) {
        diagnostics.push(
            Diagnostic::new(Code::ReceiveAndChoice, "`receive` and `choice` exclude each other")
                .label_origin(&choice.event.origin, "covers only what the library chose")
                .label_origin(&receive.event.origin, "covers that and every other delivery")
                .help("leave out `receive` if only what is truly non-deterministic shall have determinants, else `choice`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PESSIMISTIC, codes, spec, underlined};

    #[test]
    fn not_both() {
        let choice = "choice: determinant: {source, sesn, dest, desn, outcome, event}
            Log determinant synchronously on NFS disk";
        let text = spec(&[PESSIMISTIC, choice]);
        assert_eq!(codes(&text), ["EGD011"]);
        assert_eq!(underlined(&text, "EGD011"), Some("choice"));
    }
}
