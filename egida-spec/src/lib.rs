#![forbid(unsafe_code)]
//! The Egida specification language: text in, a completed and checked [`Protocol`] out.
//!
//! ```text
//!  text ──parse──▶ syntax tree ──lower──▶ Protocol ──complete──▶ Protocol ──check──▶ Judgement
//!                      │                     │                                (class, diagnostics)
//!                    format                render
//!                      ▼                     ▼
//!                    text                  text
//! ```
//!
//! The language is that of Figure 1 of the Egida paper (Rao, Alvisi and Vin, "Egida: an extensible toolkit for low-overhead
//! fault-tolerance", FTCS 1999), with a header, parameters and line comments added; `grammar.pest` is its definition.
//! Values are phrases whose meaning is in a [`Vocabulary`], so that a new module needs no new grammar.
//!
//! What this crate does not do: it reads no files, runs nothing, and knows no module's code. Whether a value is
//! implemented in this build, and whether there are processes enough, is asked when a protocol is bound.
//!
//! ```
//! use egida_spec::protocol::{Class, FailureUnit};
//!
//! let text = "
//!     receive:
//!         determinant: {source, sesn, dest, desn}
//!     send:
//!         Piggyback determinants
//!         Log message synchronously on volatile memory of self
//! ";
//! let loaded = egida_spec::load("causal.egd", text);
//! let protocol = loaded.protocol.expect("the text has no errors");
//! let judgement = egida_spec::check(&protocol, FailureUnit::Node);
//! assert!(judgement.accepted());
//! assert_eq!(judgement.class, Class::Causal);
//! ```

pub mod check;
pub mod class;
pub mod complete;
mod determinant;
pub mod diagnostic;
mod explain;
mod format;
mod lower;
pub mod parser;
pub mod protocol;
mod quantity;
mod render;
pub mod syntax;
pub mod vocabulary;

pub use check::{Judgement, check, check_with};
pub use complete::complete_for;
pub use diagnostic::{Code, Diagnostic, Severity};
pub use explain::{codes, explain};
pub use format::format;
pub use render::render;
pub use vocabulary::Vocabulary;

use diagnostic::MAX_DIAGNOSTICS;
use protocol::{FailureUnit, Protocol, Tolerance};

/// A specification that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The protocol, completed for its declared failure unit; nothing if the text has errors.
    pub protocol: Option<Protocol>,
    /// What is wrong with the text, in the text's order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a specification: parses, gives meaning to words, and fills in documented defaults. Whether it can recover is
/// [`check()`]'s question.
///
/// The file's name names a protocol that has no header.
#[must_use]
pub fn load(file_name: &str, text: &str) -> Loaded {
    load_with(file_name, text, &Vocabulary::default())
}

/// As [`load`], with the values of a vocabulary, on whose properties some defaults depend.
#[must_use]
pub fn load_with(file_name: &str, text: &str, vocabulary: &Vocabulary) -> Loaded {
    let (file, mut diagnostics) = parser::parse(text);
    let (protocol, more) = lower::lower(file_name, &file);
    diagnostics.extend(more);
    let protocol = if diagnostic::any_error(&diagnostics) {
        diagnostics.extend(check::check_part(&protocol, vocabulary));
        None
    } else {
        Some(complete_for(&protocol, declared_unit(&protocol), vocabulary))
    };
    sort(&mut diagnostics);
    limit(&mut diagnostics);
    Loaded { protocol, diagnostics }
}

/// The failure unit that the specification is judged by: the one it declares, else the harder one, `node`.
#[must_use]
pub fn declared_unit(protocol: &Protocol) -> FailureUnit {
    protocol.failure_unit.as_ref().map_or(FailureUnit::Node, |unit| unit.value)
}

/// How many failures that overlap in time the protocol is asked to survive: what it declares, else one.
#[must_use]
pub fn tolerance(protocol: &Protocol) -> Tolerance {
    protocol.tolerance.as_ref().map_or(Tolerance::AtMost(1), |tolerance| tolerance.value)
}

/// In the text's order; what is about no place in particular comes last.
fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics
        .sort_by_key(|found| (found.labels.first().map_or(usize::MAX, |label| label.span.start), found.code));
}

/// Nobody reads more than a hundred errors.
fn limit(diagnostics: &mut Vec<Diagnostic>) {
    if diagnostics.len() > MAX_DIAGNOSTICS {
        diagnostics.truncate(MAX_DIAGNOSTICS);
        let message = format!("there are more than {MAX_DIAGNOSTICS} errors; the rest is not shown");
        diagnostics.push(Diagnostic::new(Code::Limit, message));
    }
}
