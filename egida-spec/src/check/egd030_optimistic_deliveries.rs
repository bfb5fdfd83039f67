//! EGD030: an optimistic protocol counts every delivery, since each may make its receiver an orphan.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::{Class, Event};

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    if context.class() != Class::Optimistic {
        return;
    }
    let choice = context.protocol.non_deterministic.iter().find(|stmt| stmt.event.value == Event::Choice);
    if let Some(choice) = choice {
        diagnostics.push(
            Diagnostic::new(
                Code::OptimisticDeliveries,
                "an optimistic protocol must take notice of every delivery",
            )
            .label_origin(&choice.event.origin, "a receive that names its source makes no event of this kind")
            .help("use `receive:`, or log what is chosen synchronously"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OPTIMISTIC, PESSIMISTIC, codes, spec};

    const REST: &str = "send: Piggyback vector clock\nLog message synchronously on volatile memory of self\n\
                        Protocol to detect orphans: broadcast logical clock\n";

    fn of_choices(text: &str) -> String {
        text.replace("receive:", "choice:").replace("desn}", "desn, outcome, event}")
    }

    #[test]
    fn a_delivery_without_an_event_could_make_an_orphan_that_nobody_finds() {
        assert_eq!(codes(&spec(&[&of_choices(OPTIMISTIC), REST])), ["EGD030"]);
        assert_eq!(codes(&spec(&[OPTIMISTIC, REST])), [""; 0]);
        let sender = "send: Log message synchronously on volatile memory of self\n";
        assert_eq!(codes(&spec(&[&of_choices(PESSIMISTIC), sender])), [""; 0]);
    }
}
