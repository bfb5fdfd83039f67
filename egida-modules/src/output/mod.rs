//! Implementations of `HowToOutputCommit`.

mod independent;

pub use independent::Independent;
