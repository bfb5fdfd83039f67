#![deny(unsafe_code)]
//! The node.

pub mod incarnations;
pub mod kill;
pub mod storage;
