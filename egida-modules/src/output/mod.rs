//! Implementations of `HowToOutputCommit`.

mod co_ordinated;
mod independent;

pub use co_ordinated::CoOrdinated;
pub use independent::Independent;
