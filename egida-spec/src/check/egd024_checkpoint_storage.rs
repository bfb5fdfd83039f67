//! EGD024, rule 11: checkpoints do not survive.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let Some(checkpoint) = &context.protocol.checkpoint else {
        return;
    };
    let storage = &checkpoint.storage;
    if !context.keeps(storage) {
        diagnostics.push(
            Diagnostic::new(Code::CheckpointStorage, "checkpoints would be lost together with their process")
                .label_origin(
                    &storage.origin,
                    context.why_lost(storage),
                )
                .help("save them on `NFS disk`, or, if a lost node returns with its disk, `local disk with (returns = node)`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PESSIMISTIC, codes, codes_under, spec, underlined};
    use crate::protocol::FailureUnit;

    #[test]
    fn a_disk_survives_its_process_not_its_node() {
        let text = spec(&[PESSIMISTIC, "Independent checkpoint synchronously on local disk"]);
        assert_eq!(codes(&text), ["EGD024"]);
        assert_eq!(underlined(&text, "EGD024"), Some("local disk"));
        assert_eq!(codes_under(&text, FailureUnit::Process), [""; 0]);
        assert_eq!(codes(&text.replace("local disk", "local disk with (returns = node)")), [""; 0]);
        assert_eq!(codes(&text.replace("local disk", "volatile memory of processes")), [""; 0]);
    }
}
