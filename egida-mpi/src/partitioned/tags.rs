//! The tags of partitions: one for each partition of each send that there is in the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How many tags there are. Those of partitions are negative.
const TAGS: u64 = 1 << 31;

static USED: Mutex<Used> = Mutex::new(Used { next: 0, blocks: BTreeMap::new() });

/// Consecutive tags, in use as long as the value lives.
#[derive(Debug)]
pub struct Block {
    first: u32,
}

impl Block {
    /// Takes so many; `None` where there are not so many in a row.
    pub fn take(count: u32) -> Option<Self> {
        let first = USED.lock().unwrap_or_else(PoisonError::into_inner).take(count)?;
        Some(Self { first })
    }

    /// The number of the first.
    pub fn first(&self) -> u32 {
        self.first
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        USED.lock().unwrap_or_else(PoisonError::into_inner).blocks.remove(&self.first);
    }
}

/// The tag of a partition, in a block that begins with that number.
pub fn tag(first: u32, partition: u32) -> i32 {
    !(first.wrapping_add(partition) as i32)
}

#[derive(Debug)]
struct Used {
    /// Behind the block that was taken last.
    next: u64,
    /// The first of each, and how many.
    blocks: BTreeMap<u32, u32>,
}

impl Used {
    /// A tag that was given back comes again as late as it can: messages of it may still be on their way to a receiver.
    fn take(&mut self, count: u32) -> Option<u32> {
        // One without partitions has a name too.
        let count = count.max(1);
        let first = self.fit(self.next, count).or_else(|| self.fit(0, count))?;
        self.next = u64::from(first) + u64::from(count);
        self.blocks.insert(first, count);
        Some(first)
    }

    fn fit(&self, from: u64, count: u32) -> Option<u32> {
        let (mut first, count) = (from, u64::from(count));
        for (&begin, &used) in &self.blocks {
            let (begin, end) = (u64::from(begin), u64::from(begin) + u64::from(used));
            if first + count <= begin {
                break;
            }
            first = first.max(end);
        }
        u32::try_from(first).ok().filter(|_| first + count <= TAGS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unused() -> Used {
        Used { next: 0, blocks: BTreeMap::new() }
    }

    #[test]
    fn tags_are_negative_and_all_different() {
        assert_eq!((tag(0, 0), tag(0, 1), tag(1, 0)), (-1, -2, -2));
        assert_eq!(tag(i32::MAX as u32, 0), i32::MIN);
    }

    #[test]
    fn what_is_given_back_comes_again_last() {
        let mut used = unused();
        assert_eq!((used.take(4), used.take(0), used.take(4)), (Some(0), Some(4), Some(5)));
        used.blocks.remove(&0);
        assert_eq!(used.take(2), Some(9));
        used.next = TAGS - 1;
        assert_eq!((used.take(1), used.take(3), used.take(1)), (Some(i32::MAX as u32), Some(0), Some(3)));
    }

    #[test]
    fn there_is_room_between_what_is_used_or_none() {
        let mut used = unused();
        used.blocks = BTreeMap::from([(2, 3), (8, 2), (10, (TAGS - 10) as u32)]);
        assert_eq!((used.take(3), used.take(3), used.take(2), used.take(1)), (Some(5), None, Some(0), None));
    }

    #[test]
    fn a_block_is_used_until_it_is_dropped() {
        let [one, other] = [Block::take(3), Block::take(3)].map(Option::unwrap);
        assert!(one.first().abs_diff(other.first()) >= 3);
        let first = one.first();
        drop(one);
        assert!(!USED.lock().unwrap().blocks.contains_key(&first));
    }
}
