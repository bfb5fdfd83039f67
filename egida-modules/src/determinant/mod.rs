//! Implementations of `Determinant`: the structures of determinants.

mod call_structure;

pub use call_structure::CallStructure;
