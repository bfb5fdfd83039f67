//! Contexts: what tells the messages of one communicator from those of another.
//!
//! The first member of a parent, or of the group where there is no parent, names the context of a new communicator, by its own rank
//! in the job and by how many it has named before. So no two processes ever name the same, nobody has to be asked, and a re-executed
//! process, which makes the same communicators in the same order, names the same.

use std::sync::atomic::{AtomicU32, Ordering};

use egida_core::ids::Rank;

use crate::constants::MPI_ERR_OTHER;
use crate::errors::{Failure, Outcome};
use crate::world;

/// The first that is not one of the world, of the process itself, or of communicators of groups without a parent.
const FIRST_DYNAMIC_UNIT: u32 = 3;

/// The contexts of a communicator: messages, collectives, partitioned messages.
const OF_ONE: u32 = 3;

/// The contexts of a unit: those of a communicator, and the same again for the local group where there are two groups.
const CONTEXTS: u32 = 2 * OF_ONE;

/// From a communicator between two groups to that of the local group.
pub const LOCAL: u32 = OF_ONE;

static NAMED: AtomicU32 = AtomicU32::new(0);

/// The first context of a unit.
pub fn of_unit(unit: u32) -> u32 {
    unit * CONTEXTS
}

/// Names a context.
pub fn name() -> Outcome<u32> {
    let (rank, size) = world::with(|world| (world.rank(), world.size()));
    numbered(NAMED.fetch_add(1, Ordering::Relaxed), rank, size)
}

fn numbered(number: u32, rank: Rank, size: u32) -> Outcome<u32> {
    let unit = number.checked_mul(size).and_then(|unit| unit.checked_add(rank + FIRST_DYNAMIC_UNIT));
    let context =
        unit.and_then(|unit| unit.checked_mul(CONTEXTS)).filter(|context| *context <= u32::MAX - CONTEXTS);
    context.ok_or_else(|| Failure::new(MPI_ERR_OTHER, "too many communicators were made"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_processes_name_the_same() {
        let mut named: Vec<u32> =
            (0..10).flat_map(|number| (0..3).map(move |rank| numbered(number, rank, 3).unwrap())).collect();
        named.sort_unstable();
        assert!(named.windows(2).all(|pair| pair[1] == pair[0] + CONTEXTS));
        assert_eq!(named[0], of_unit(FIRST_DYNAMIC_UNIT));
        assert!(numbered(u32::MAX / 2, 2, 3).is_err());
    }
}
