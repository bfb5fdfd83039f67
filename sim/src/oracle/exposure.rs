//! The invariant of pessimistic and causal protocols: what a state depends on can be found again.

use std::collections::BTreeSet;

use egida_core::driver::EntryKind;
use egida_core::event::Determinant;
use egida_core::ids::{Domain, EventIndex, Rank};
use egida_core::wire::Reader;
use egida_spec::protocol::FailureUnit;

use crate::world::World;

/// A dependency that one failure would turn into an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposed {
    /// Who depends.
    pub survivor: Rank,
    /// On whose events.
    pub owner: Rank,
    /// On how many of them.
    pub needed: EventIndex,
    /// How many could be found again.
    pub found: EventIndex,
}

/// A rank whose state depends on events of another that could not be found again if the other's domain failed now, if there
/// is one: an orphan to be.
#[must_use]
pub fn exposed(world: &World, unit: FailureUnit) -> Option<Exposed> {
    for owner in 0..world.domains.ranks() {
        let found = recoverable(world, owner, unit);
        let outside = |&rank: &Rank| world.domains.of(rank) != world.domains.of(owner);
        for survivor in (0..world.domains.ranks()).filter(outside) {
            let needed = world.depends[survivor as usize].of(owner);
            if needed > found {
                return Some(Exposed { survivor, owner, needed, found });
            }
        }
    }
    None
}

/// How many events of a rank could be found again if its domain failed now: a prefix of those whose determinants lie on
/// the disk or in memory that would be left.
fn recoverable(world: &World, owner: Rank, unit: FailureUnit) -> EventIndex {
    let lost = world.domains.of(owner);
    let is_left = |domain: Domain| unit == FailureUnit::Process || domain != lost;
    let journals = (0..world.domains.ranks())
        .filter(|&holder| is_left(world.domains.of(holder)))
        .flat_map(|holder| &world.journals[holder as usize].entries);
    // A rank that was restarted may have what it held for others on the disk and nowhere else.
    let entries =
        journals.chain(world.disk.iter().flatten()).filter(|entry| entry.kind != EntryKind::Message);
    let foreign = (0..world.domains.count())
        .filter(|&domain| is_left(domain))
        .flat_map(|domain| &world.foreign[domain as usize]);
    let known: BTreeSet<EventIndex> = entries
        .map(|entry| &entry.bytes)
        .chain(foreign)
        .filter_map(|bytes| Determinant::decode(&mut Reader::new(bytes)).ok())
        .filter(|determinant| determinant.owner == owner)
        .map(|determinant| determinant.index)
        .collect();
    (0..).take_while(|index| known.contains(index)).count() as EventIndex
}
