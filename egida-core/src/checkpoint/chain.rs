//! Which stored checkpoints are still needed, where some are deltas over others. Those on their way to stable storage count as
//! well: what they are deltas over must be there when they come.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::CheckpointNumber;

/// The numbers among `stored` (each with the number that it is a delta over, if it is one) without which a checkpoint
/// from number `from` on could not be read: those themselves, and what they rest on.
#[must_use]
pub fn still_needed(
    stored: &BTreeMap<CheckpointNumber, Option<CheckpointNumber>>,
    from: CheckpointNumber,
) -> BTreeSet<CheckpointNumber> {
    let mut needed = BTreeSet::new();
    for &number in stored.range(from..).map(|(number, _)| number) {
        let mut next = Some(number);
        while let Some(number) = next.filter(|&number| needed.insert(number)) {
            next = stored.get(&number).copied().flatten();
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_keeps_what_it_rests_on() {
        let stored = BTreeMap::from([(1, None), (2, Some(1)), (3, None), (4, Some(3)), (5, Some(4))]);
        assert_eq!(still_needed(&stored, 5), BTreeSet::from([3, 4, 5]));
        assert_eq!(still_needed(&stored, 2), BTreeSet::from([1, 2, 3, 4, 5]));
        assert_eq!(still_needed(&stored, 6), BTreeSet::new());
    }
}
