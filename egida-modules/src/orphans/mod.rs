//! Implementations of `OrphanDetection`.

mod history;

pub use history::{History, broadcast_logical_clock, exchange_vector_clock};
