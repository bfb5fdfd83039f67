//! Implementations of `CollectDeterminants`.

mod centralized;
mod distributed;
mod questions;

pub use centralized::centralized;
pub use distributed::distributed;
pub use questions::Retrieval;
