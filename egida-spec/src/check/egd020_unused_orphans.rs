//! EGD020, rule 10: orphan detection in a protocol that has no orphans.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::Class;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let Some(orphans) = &context.protocol.recovery.orphans else {
        return;
    };
    if matches!(context.class(), Class::Pessimistic | Class::Causal) {
        let message = format!("a {} protocol has no orphans", context.class());
        diagnostics.push(
            Diagnostic::new(Code::UnusedOrphans, message)
                .label_origin(&orphans.origin, "there is nothing to detect")
                .help("leave this line out"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CAUSAL, PESSIMISTIC, codes, spec};

    #[test]
    fn neither_pessimists_nor_causal_protocols_need_it() {
        let detect = "Protocol to detect orphans: broadcast logical clock\n";
        assert_eq!(codes(&spec(&[PESSIMISTIC, detect])), ["EGD020"]);
        assert_eq!(codes(&spec(&[CAUSAL, detect])), ["EGD020"]);
        assert_eq!(codes(&spec(&["Co-ordinated checkpoint on NFS disk\n", detect])), [""; 0]);
    }
}
