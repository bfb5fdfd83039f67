//! Implementations of `PiggybackLogging`.

mod determinants;
mod vector_clock;

pub use determinants::Determinants;
pub use vector_clock::VectorClock;
