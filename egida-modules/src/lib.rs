#![forbid(unsafe_code)]
//! The library of building blocks: one file per implementation of a value of the specification language.
//!
//! [`registry`] binds the values to them. A module knows its own trait's callees (Figure 5 of the Egida paper) and
//! nothing of the protocol that it is part of.

pub mod checkpoint;
pub mod determinant;
pub mod logging;
pub mod orphans;
pub mod output;
pub mod piggyback;
mod registry;
pub mod retrieval;
pub mod storage;

pub use registry::registry;
