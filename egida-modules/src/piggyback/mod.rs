//! Implementations of `PiggybackLogging`.

mod determinants;

pub use determinants::Determinants;
