//! EGD017, rule 6: a determinant says which message came; the message itself must be had from somewhere.

use super::Context;
use crate::class::{is_synchronous, sends};
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::{Class, Event, EventInfo, FailureUnit};
use crate::vocabulary::display_form;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    if context.class() == Class::None || receiver_keeps_payload(context) || sender_keeps_payload(context) {
        return;
    }
    let mut diagnostic = Diagnostic::new(Code::Payload, "the content of messages is not recoverable");
    if let Some(delivery) = context.delivery() {
        let event = delivery.event.value;
        diagnostic = match delivery.log_of(EventInfo::Message) {
            Some(log) if event == Event::Choice => {
                diagnostic.label(log.span, "logs only the messages that the library chose")
            }
            Some(log) if context.keeps(&log.storage) => {
                diagnostic.label(log.span, "the newest messages are not there yet")
            }
            Some(log) => diagnostic.label(log.span, format!("on {}", context.why_lost(&log.storage))),
            None => diagnostic
                .label_origin(&delivery.event.origin, "its determinant names a message that nobody keeps"),
        };
    }
    if let Some(log) =
        sends(context.protocol).filter_map(|stmt| stmt.log.as_ref()).find(|log| log.logs(EventInfo::Message))
    {
        let how = context
            .protocol
            .checkpoint
            .as_ref()
            .map(|checkpoint| display_form(&checkpoint.implementation.text));
        let label = format!("a checkpoint `{}` does not include this log", how.unwrap_or_default());
        diagnostic = diagnostic.label(log.span, label);
    }
    diagnostics.push(
        diagnostic.help("add `Log message synchronously on volatile memory of self` under `send:`, or log `message` where the determinant is"),
    );
}

/// A receiver log counts only for `receive`: what `choice` logs leaves out every delivery that was no choice.
fn receiver_keeps_payload(context: &Context<'_>) -> bool {
    context
        .protocol
        .non_deterministic
        .iter()
        .filter(|stmt| stmt.event.value == Event::Receive)
        .filter_map(|stmt| stmt.log_of(EventInfo::Message))
        .filter(|log| context.keeps(&log.storage))
        .any(|log| {
            is_synchronous(log, context.vocabulary)
                || context.class() == Class::Optimistic
                || context.unit == FailureUnit::Process
        })
}

/// A sender log that is lost is regenerated: the sender's replay sends everything again, from its start or from a
/// checkpoint that has the log as it then was.
fn sender_keeps_payload(context: &Context<'_>) -> bool {
    let regenerates = match &context.protocol.checkpoint {
        None => true,
        Some(checkpoint) => {
            let implementation =
                context.vocabulary.checkpoint_implementation.get(&checkpoint.implementation.text);
            implementation.is_some_and(|value| value.traits.includes_send_log)
        }
    };
    sends(context.protocol)
        .filter_map(|stmt| stmt.log.as_ref())
        .filter(|log| log.logs(EventInfo::Message))
        .any(|log| {
            let all_there = is_synchronous(log, context.vocabulary) || context.unit == FailureUnit::Process;
            regenerates || (context.keeps(&log.storage) && all_there)
        })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CAUSAL, OPTIMISTIC, PESSIMISTIC, codes, codes_under, spec, underlined};
    use crate::protocol::FailureUnit;
    use crate::vocabulary::{CheckpointImplementation, Vocabulary};

    #[test]
    fn a_determinant_without_its_message() {
        let text = PESSIMISTIC.replace(", message", "");
        assert_eq!(codes(&text), ["EGD017"]);
        assert_eq!(underlined(&text, "EGD017"), Some("receive"));
        assert_eq!(
            codes(&spec(&[&text, "send: Log message synchronously on volatile memory of self"])),
            [""; 0]
        );
        assert_eq!(codes(&spec(&[&text, "send: Log message asynchronously on NFS disk"])), [""; 0]);
    }

    #[test]
    fn messages_that_are_not_chosen_count_too() {
        let text = PESSIMISTIC.replace("receive", "choice").replace("desn}", "desn, outcome, event}");
        assert_eq!(codes(&text), ["EGD017"]);
    }

    #[test]
    fn an_asynchronous_receiver_log_does_for_optimists_only() {
        let clock = "send: Piggyback vector clock\nProtocol to detect orphans: broadcast logical clock";
        assert_eq!(codes(&spec(&[OPTIMISTIC, clock])), [""; 0]);
        // Figure 3(b) without its send log.
        let hybrid = spec(&[OPTIMISTIC, "send: Piggyback determinants"]);
        assert_eq!(codes(&hybrid), ["EGD017"]);
        assert_eq!(codes_under(&hybrid, FailureUnit::Process), [""; 0]);
    }

    #[test]
    fn checkpoints_must_bring_the_send_log_back() {
        let mut vocabulary = Vocabulary::default();
        let without = CheckpointImplementation { includes_send_log: false };
        vocabulary.checkpoint_implementation.register("image alone", without);
        let text =
            spec(&[CAUSAL, "Independent checkpoint synchronously on NFS disk Implementation: image alone"]);
        let judge = |text: &str| {
            let protocol = crate::load_with("test.egd", text, &vocabulary).protocol.expect("the text parses");
            super::super::check_with(&protocol, FailureUnit::Node, &vocabulary).accepted()
        };
        assert!(!judge(&text));
        assert!(judge(&text.replace("image alone", "full")));
        assert!(judge(&text.replace("volatile memory of self", "NFS disk")));
    }
}
