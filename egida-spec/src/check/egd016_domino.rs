//! EGD016, rule 5: independent checkpoints alone may fall back one over the other, to the start.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::Class;
use crate::vocabulary::Checkpoint;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let independent = matches!(context.checkpoint(), Some(Checkpoint::Independent));
    if context.class() != Class::None || !independent || context.checkpoint_counter().is_none() {
        return;
    }
    if let Some(checkpoint) = &context.protocol.checkpoint {
        diagnostics.push(
            Diagnostic::new(Code::Domino, "one failure may roll every process back to its start")
                .label_origin(&checkpoint.proto.origin, "nobody makes these checkpoints agree")
                .help("communication-induced or co-ordinated checkpoints bound the rollback"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PESSIMISTIC, codes, spec};

    const CHECKPOINT: &str = "Independent checkpoint synchronously on NFS disk\n";

    #[test]
    fn warns_of_the_domino_effect() {
        assert_eq!(codes(&spec(&["send: Piggyback checkpoint counter\n", CHECKPOINT])), ["EGD016"]);
    }

    #[test]
    fn a_logging_protocol_has_none() {
        assert_eq!(codes(&spec(&[PESSIMISTIC, CHECKPOINT])), [""; 0]);
    }
}
