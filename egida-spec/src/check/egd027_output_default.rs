//! EGD027, rule 8: which output commit was filled in.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::protocol::Origin;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for stmt in &context.protocol.output_commit {
        if let Origin::Default(why) = &stmt.origin {
            let message = format!("output on `write` is committed by default: {}", stmt.proto.text);
            diagnostics.push(Diagnostic::new(Code::OutputDefault, message).help(why.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OPTIMISTIC, PESSIMISTIC, all_codes, spec};
    use crate::protocol::FailureUnit::Node;

    #[test]
    fn told_where_it_is_not_written() {
        assert_eq!(all_codes(PESSIMISTIC, Node), ["EGD027", "EGD028"]);
        let written = spec(&[PESSIMISTIC, "Independent output commit on write"]);
        assert_eq!(all_codes(&written, Node), ["EGD028"]);
    }

    #[test]
    fn the_class_chooses() {
        let commit = |text: &str, unit| {
            let protocol = crate::load("test.egd", text).protocol.expect("the text parses");
            super::super::check(&protocol, unit).protocol.output_commit[0].proto.text.clone()
        };
        assert_eq!(commit(PESSIMISTIC, Node), "independent");
        assert_eq!(commit(OPTIMISTIC, Node), "co-ordinated");
        assert_eq!(commit(OPTIMISTIC, crate::protocol::FailureUnit::Process), "independent");
        assert_eq!(commit("Co-ordinated checkpoint on NFS disk", Node), "co-ordinated");
    }
}
