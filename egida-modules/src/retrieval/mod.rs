//! Implementations of `CollectDeterminants`.

mod centralized;
mod distributed;
mod open_questions;

pub use centralized::Centralized;
pub use distributed::Distributed;
