//! Where a rank's channels come from: nothing yet, so that every program runs as a single rank.

use egida_core::fault::Fault;

use crate::world::World;

/// The world of a rank that a launcher started; `None` for a program that was started without one.
#[must_use]
pub fn attach() -> Option<Result<Box<dyn World>, Fault>> {
    None
}
