#![forbid(unsafe_code)]
//! Everything of Egida that decides, without input or output.

pub mod api;
pub mod crash;
pub mod driver;
pub mod event;
pub mod fault;
pub mod gate;
pub mod ids;
pub mod output;
pub mod recovery;
pub mod wire;
