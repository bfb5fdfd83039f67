//! EGD029: `f = 0` asks for no fault tolerance, beside statements that provide some.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};

/// Called only with `f = 0`.
pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let protocol = context.protocol;
    let nothing = protocol.non_deterministic.is_empty()
        && protocol.dependency_generating.is_empty()
        && protocol.checkpoint.is_none();
    if let (false, Some(tolerance)) = (nothing, &protocol.tolerance) {
        diagnostics.push(
            Diagnostic::new(
                Code::FaultsNotAsked,
                "no failure is asked to be survived, so what follows is not judged",
            )
            .label_origin(&tolerance.origin, "no fault tolerance")
            .help("set `f` to the number of failures to survive"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PESSIMISTIC, all_codes, spec};
    use crate::protocol::FailureUnit::Node;

    #[test]
    fn nothing_to_say_about_nothing() {
        assert_eq!(all_codes("protocol none with (f = 0)", Node), [""; 0]);
    }

    #[test]
    fn rules_of_soundness_do_not_apply_but_those_of_shape_do() {
        let zero = "protocol p with (f = 0)\n";
        assert_eq!(all_codes(&spec(&[zero, &PESSIMISTIC.replace("NFS", "local")]), Node), ["EGD029"]);
        assert_eq!(all_codes(&spec(&[zero, &PESSIMISTIC.replace("NFS", "floppy")]), Node), ["EGD002"]);
    }
}
