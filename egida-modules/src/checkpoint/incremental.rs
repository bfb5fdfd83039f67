//! `incremental`: a checkpoint holds what changed since the one before.

use egida_core::checkpoint::{CheckpointImage, StoredCheckpoint};
use egida_core::ids::CheckpointNumber;
use egida_core::module::HowToCheckpoint;

/// How many deltas stand on one whole image at most: so many files are read when a rank is restored.
const LONGEST_CHAIN: u32 = 7;

/// Writes deltas over the newest image that is durable, and a whole one now and then. What is not durable nothing is based on,
/// so that a write that fails takes no later checkpoint with it.
#[derive(Debug, Clone, Default)]
pub struct Incremental {
    base: Option<Link>,
    unsettled: Vec<Link>,
}

/// An image, and how many deltas its stored form stands on.
#[derive(Debug, Clone)]
struct Link {
    image: CheckpointImage,
    depth: u32,
}

impl HowToCheckpoint for Incremental {
    fn encode(&mut self, image: CheckpointImage) -> StoredCheckpoint {
        let base = self.base.as_ref().filter(|base| base.depth < LONGEST_CHAIN);
        let (stored, depth) = match base {
            Some(base) => (StoredCheckpoint::delta(&image, &base.image), base.depth + 1),
            None => (StoredCheckpoint::full(image.clone()), 0),
        };
        self.unsettled.push(Link { image, depth });
        stored
    }

    fn settled(&mut self, number: CheckpointNumber, durable: bool) {
        let Some(at) = self.unsettled.iter().position(|link| link.image.head.number == number) else {
            return;
        };
        let link = self.unsettled.remove(at);
        let newest = self.base.as_ref().map_or(0, |base| base.image.head.number);
        // A tentative checkpoint may be voided yet.
        if durable && number > newest && !link.image.head.tentative {
            self.base = Some(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(number: CheckpointNumber) -> CheckpointImage {
        let mut image = CheckpointImage { application: vec![number as u8; 2_000], ..Default::default() };
        image.head.number = number;
        image
    }

    #[test]
    fn a_delta_stands_on_what_is_durable_only() {
        let mut how = Incremental::default();
        assert_eq!(how.encode(image(1)).base(), None);
        assert_eq!(how.encode(image(2)).base(), None, "the first may still fail");
        how.settled(1, true);
        assert_eq!(how.encode(image(3)).base(), Some(1));
        how.settled(2, false);
        how.settled(3, true);
        assert_eq!(how.encode(image(4)).base(), Some(3));
    }

    #[test]
    fn chains_end() {
        let mut how = Incremental::default();
        let mut depth = 0;
        for number in 1..100 {
            depth = if how.encode(image(number)).base().is_some() { depth + 1 } else { 0 };
            assert!(depth <= LONGEST_CHAIN);
            how.settled(number, true);
        }
    }
}
