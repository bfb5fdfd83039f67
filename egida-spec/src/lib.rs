#![forbid(unsafe_code)]
//! The Egida specification language.

pub mod protocol;
