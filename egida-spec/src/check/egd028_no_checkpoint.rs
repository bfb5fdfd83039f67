//! EGD028, rule 11: without checkpoints recovery begins at the beginning.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::Class;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    if context.protocol.checkpoint.is_none() && context.class() != Class::None {
        diagnostics.push(
            Diagnostic::new(Code::NoCheckpoint, "there is no checkpoint: a failed process replays from its start, and logs grow without bound")
                .help("for long runs add, for example, `Independent checkpoint asynchronously on NFS disk`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PESSIMISTIC, all_codes, spec};
    use crate::protocol::FailureUnit::Node;

    #[test]
    fn told_where_there_is_none() {
        assert!(all_codes(PESSIMISTIC, Node).contains(&"EGD028"));
        let with = spec(&[PESSIMISTIC, "Independent checkpoint asynchronously on NFS disk"]);
        assert!(!all_codes(&with, Node).contains(&"EGD028"));
    }
}
