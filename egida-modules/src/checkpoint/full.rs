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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_checkpoint_rests_on_another() {
        for number in 1..4 {
            let mut image = CheckpointImage::default();
            image.head.number = number;
            assert_eq!(Full.encode(image).base(), None);
            Full.settled(number, true);
        }
    }
}
