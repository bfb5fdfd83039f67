//! `full`: every checkpoint stands by itself.

use egida_core::checkpoint::{CheckpointImage, StoredCheckpoint};
use egida_core::module::HowToCheckpoint;

/// Writes whole images.
#[derive(Debug, Clone, Copy, Default)]
pub struct Full;

impl HowToCheckpoint for Full {
    fn encode(&mut self, image: CheckpointImage) -> StoredCheckpoint {
        StoredCheckpoint::full(image)
    }
}
