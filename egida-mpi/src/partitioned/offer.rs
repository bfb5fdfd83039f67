//! What a sender tells the receiver of how its message is divided.

use super::tags;

/// How a message is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The number of the first partition's tag.
    pub first: u32,
    /// How many partitions there are.
    pub partitions: u32,
    /// Bytes of data in each.
    pub partition_bytes: u64,
}

impl Offer {
    /// Bytes of an offer.
    pub const LEN: usize = 16;

    /// As it is sent.
    pub fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..4].copy_from_slice(&self.first.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.partitions.to_le_bytes());
        bytes[8..].copy_from_slice(&self.partition_bytes.to_le_bytes());
        bytes
    }

    /// As it was sent; `None` where it was not.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk()?;
        let (partitions, rest) = rest.split_first_chunk()?;
        Some(Self {
            first: u32::from_le_bytes(*first),
            partitions: u32::from_le_bytes(*partitions),
            partition_bytes: u64::from_le_bytes(rest.try_into().ok()?),
        })
    }

    /// The tag of a partition.
    pub fn tag(self, partition: u32) -> i32 {
        tags::tag(self.first, partition)
    }

    /// Bytes of the whole message.
    pub fn bytes(self) -> u64 {
        self.partition_bytes.saturating_mul(u64::from(self.partitions))
    }

    /// Which of the sender's partitions make up one of the receiver's, of which there are `partitions`: both divide the same message.
    pub fn making_up(self, partition: u32, partitions: u32) -> std::ops::Range<u32> {
        let of = u64::from(partitions.max(1));
        let (from, to) = (u64::from(partition), u64::from(partition) + 1);
        let ours = u64::from(self.partitions);
        // Neither is more than the number of partitions.
        (from * ours / of) as u32..(to * ours).div_ceil(of) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(partitions: u32) -> Offer {
        Offer { first: 7, partitions, partition_bytes: 24 }
    }

    #[test]
    fn an_offer_comes_as_it_went() {
        let offer = Offer { first: 3, partitions: u32::MAX, partition_bytes: 1 << 40 };
        assert_eq!(Offer::decode(&offer.encode()), Some(offer));
        assert_eq!(Offer::decode(&[0; 15]), None);
    }

    #[test]
    fn partitions_are_made_up_of_those_that_they_overlap() {
        let made_up = |sent, received| -> Vec<_> {
            (0..received).map(|partition| offer(sent).making_up(partition, received)).collect()
        };
        assert_eq!(made_up(4, 4), [0..1, 1..2, 2..3, 3..4]);
        assert_eq!(made_up(4, 2), [0..2, 2..4]);
        assert_eq!(made_up(2, 4), [0..1, 0..1, 1..2, 1..2]);
        assert_eq!(made_up(3, 2), [0..2, 1..3]);
        assert_eq!(made_up(2, 3), [0..1, 0..2, 1..2]);
        assert_eq!(made_up(0, 2), [0..0, 0..0]);
        assert_eq!(offer(5).making_up(0, 1), 0..5);
    }
}
