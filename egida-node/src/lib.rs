#![deny(unsafe_code)]
//! The node.

pub mod incarnations;
pub mod kill;
pub mod output;
pub mod process;
pub mod report;
pub mod sink;
pub mod storage;
