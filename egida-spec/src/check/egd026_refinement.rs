//! EGD026, rule 12: a matrix or vector that says who holds which determinant, without determinants.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::vocabulary::display_form;

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for stmt in &context.protocol.dependency_generating {
        let traits = |text: &str| context.vocabulary.piggyback.get(text).map(|value| value.traits);
        if stmt.piggyback.iter().any(|phrase| traits(&phrase.text).is_some_and(|traits| traits.determinants))
        {
            continue;
        }
        for phrase in &stmt.piggyback {
            if traits(&phrase.text).is_some_and(|traits| traits.refines_determinants) {
                let text = display_form(&phrase.text);
                diagnostics.push(
                    Diagnostic::new(Code::Refinement, format!("`{text}` says nothing without determinants"))
                        .label_origin(&phrase.origin, "tells who holds which determinant")
                        .help(format!("write `Piggyback determinants, {text}`")),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CAUSAL, PESSIMISTIC, codes, spec, underlined};

    #[test]
    fn only_with_determinants() {
        for suffix in ["dependency matrix", "stability matrix", "stability vector"] {
            let text = spec(&[PESSIMISTIC, "send: Piggyback ", suffix]);
            assert_eq!(codes(&text), ["EGD026"]);
            assert_eq!(underlined(&text, "EGD026"), Some(suffix));
            let both = format!("Piggyback determinants, {suffix}");
            assert_eq!(codes(&CAUSAL.replace("Piggyback determinants", &both)), [""; 0]);
        }
    }
}
