//! EGD025, rule 11: communication-induced checkpoints read the checkpoint counter on messages.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::vocabulary::Checkpoint;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let needs_counter = matches!(context.checkpoint(), Some(Checkpoint::Induced { needs_counter: true }));
    if !needs_counter || context.checkpoint_counter().is_some() {
        return;
    }
    if let Some(checkpoint) = &context.protocol.checkpoint {
        diagnostics.push(
            Diagnostic::new(Code::InducedCounter, "no message carries what induces a checkpoint")
                .label_origin(
                    &checkpoint.proto.origin,
                    "compares the checkpoint counter on each message with its own",
                )
                .help("add `Piggyback checkpoint counter` under `send:`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{codes, spec};
    use crate::protocol::FailureUnit;
    use crate::vocabulary::{Checkpoint, Vocabulary};

    const INDUCED: &str = "Communication-induced checkpoint asynchronously on NFS disk\n";

    #[test]
    fn the_counter_induces() {
        assert_eq!(codes(INDUCED), ["EGD025"]);
        assert_eq!(codes(&spec(&[INDUCED, "send: Piggyback checkpoint counter"])), [""; 0]);
    }

    #[test]
    fn a_protocol_with_its_own_vectors_needs_none() {
        let mut vocabulary = Vocabulary::default();
        vocabulary.checkpoint.register("dependency-induced", Checkpoint::Induced { needs_counter: false });
        let text = INDUCED.replace("Communication", "Dependency");
        let protocol = crate::load_with("test.egd", &text, &vocabulary).protocol.expect("the text parses");
        assert!(super::super::check_with(&protocol, FailureUnit::Node, &vocabulary).accepted());
    }
}
