//! EGD019, rule 9: a retrieval protocol that nothing needs.

use super::Context;
use crate::complete::needs_retrieval;
use crate::diagnostic::{Code, Diagnostic};

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let Some(retrieve) = &context.protocol.recovery.retrieve else {
        return;
    };
    if !needs_retrieval(context.protocol, context.class(), context.vocabulary) {
        diagnostics.push(
            Diagnostic::new(Code::UnusedRetrieval, "no determinant is held by other processes")
                .label_origin(&retrieve.origin, "there is nothing to retrieve")
                .help("leave this line out"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CAUSAL, PESSIMISTIC, codes, spec};

    const RETRIEVE: &str = "Protocol to retrieve determinants: centralized\n";

    #[test]
    fn only_where_others_hold_determinants() {
        assert_eq!(codes(&spec(&[PESSIMISTIC, RETRIEVE])), ["EGD019"]);
        assert_eq!(codes(&spec(&[CAUSAL, RETRIEVE])), [""; 0]);
        let processes = PESSIMISTIC.replace("NFS disk", "volatile memory of processes");
        assert_eq!(codes(&spec(&[&processes, RETRIEVE])), [""; 0]);
    }
}
