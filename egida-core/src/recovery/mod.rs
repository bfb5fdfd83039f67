//! Recovery of ranks: who died, what is to be done about it in which order, and what a new incarnation is given.

mod coordinator;
mod image;

pub use coordinator::{Action, Cause, Coordinator, End, Fate, Input, Note, Policy};
pub(crate) use image::bytes_as_bin;
pub use image::{Collected, HeldDeterminant, LoggedMessage, RecoveryImage, Unrecoverable, assemble};
