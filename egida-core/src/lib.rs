#![forbid(unsafe_code)]
//! Everything of Egida that decides, without input or output.

pub mod api;
pub mod binder;
pub mod clock;
pub mod crash;
pub mod describe;
pub mod driver;
pub mod engine;
pub mod event;
pub mod fault;
pub mod gate;
pub mod ids;
pub mod link_unit;
pub mod matching;
pub mod module;
pub mod output;
pub mod recovery;
pub mod registry;
pub mod replay;
pub mod setting;
pub mod stack;
pub mod wire;
