//! EGD014, rule 4: an optimistic protocol has orphans and must find them.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::Class;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    if context.class() != Class::Optimistic || context.protocol.recovery.orphans.is_some() {
        return;
    }
    let mut diagnostic =
        Diagnostic::new(Code::OptimisticOrphans, "an optimistic protocol must detect orphans");
    if let Some(decided) = &context.classification.decided_by {
        diagnostic = diagnostic.label_origin(&decided.origin, format!("optimistic: {}", decided.why));
    }
    diagnostics.push(diagnostic.help(
        "add `Protocol to detect orphans: broadcast logical clock`, or log synchronously so that there are none",
    ));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OPTIMISTIC, codes, spec, underlined};

    #[test]
    fn optimism_without_detection() {
        let text = spec(&[OPTIMISTIC, "send: Piggyback vector clock\n"]);
        assert_eq!(codes(&text), ["EGD014"]);
        assert_eq!(underlined(&text, "EGD014"), Some("Log determinant, message asynchronously on NFS disk"));
    }

    #[test]
    fn either_detection_will_do() {
        let text = spec(&[
            OPTIMISTIC,
            "send: Piggyback vector clock\nProtocol to detect orphans: exchange vector clock",
        ]);
        assert_eq!(codes(&text), [""; 0]);
    }
}
