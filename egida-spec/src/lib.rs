#![forbid(unsafe_code)]
//! The Egida specification language.

pub mod class;
pub mod complete;
pub mod diagnostic;
mod lower;
pub mod parser;
pub mod protocol;
mod quantity;
pub mod syntax;
pub mod vocabulary;

pub use diagnostic::Diagnostic;
use protocol::*;
use vocabulary::Vocabulary;

/// A specification that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The completed protocol; nothing if the text has errors.
    pub protocol: Option<Protocol>,
    /// What is wrong with the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses, lowers and completes.
#[must_use]
pub fn load(file_name: &str, text: &str) -> Loaded {
    let vocabulary = Vocabulary::default();
    let (file, mut diagnostics) = parser::parse(text);
    let (protocol, more) = lower::lower(file_name, &file);
    diagnostics.extend(more);
    if diagnostic::any_error(&diagnostics) {
        return Loaded { protocol: None, diagnostics };
    }
    let unit = declared_unit(&protocol);
    Loaded { protocol: Some(complete::complete_for(&protocol, unit, &vocabulary)), diagnostics }
}

/// The failure unit that the specification is judged by.
#[must_use]
pub fn declared_unit(protocol: &Protocol) -> FailureUnit {
    protocol.failure_unit.as_ref().map_or(FailureUnit::Node, |unit| unit.value)
}

/// How many failures it is asked to survive.
#[must_use]
pub fn tolerance(protocol: &Protocol) -> Tolerance {
    protocol.tolerance.as_ref().map_or(Tolerance::AtMost(1), |tolerance| tolerance.value)
}
