//! Copies of what ranks log in the memory of other nodes: the other half of a storage that lies there.

use egida_core::binder::StoreUse;
use egida_core::event::{Determinant, Happened};
use egida_core::gate::StoreId;
use egida_core::ids::{Domain, Domains, Position, Rank};
use egida_core::replication::Replication;
use egida_core::trace::Event;
use egida_core::wire::Reader;

use crate::world::World;

/// The copies of all journals.
#[derive(Debug, Clone)]
pub struct Copies {
    stores: Vec<(StoreId, Vec<Replication>)>,
}

impl Copies {
    /// No copies yet, for those of the stores that are made of them.
    #[must_use]
    pub fn new(stores: &[StoreUse], domains: &Domains) -> Self {
        let copied = stores.iter().filter_map(|store| Some((store.id, store.replicas?)));
        let of_all = |replicas| {
            (0..domains.ranks()).map(move |rank| Replication::new(rank, domains.clone(), replicas)).collect()
        };
        Self { stores: copied.map(|(store, replicas)| (store, of_all(replicas))).collect() }
    }

    /// Whether entries of the journal of `rank` below the position are not all where they are to be.
    #[must_use]
    pub fn is_behind(&self, rank: Rank, position: Position) -> bool {
        self.stores.iter().any(|(_, journals)| journals[rank as usize].complete() < position)
    }

    /// Lets at most so many copies of what `rank` logged reach the nodes that are up: the network may stop anywhere, with an
    /// entry at some of its holders and not at others. Returns whether it came any further.
    pub fn advance(
        &mut self,
        world: &mut World,
        rank: Rank,
        mut budget: u64,
        is_up: impl Fn(Domain) -> bool,
    ) -> bool {
        let mut any = false;
        for (store, journals) in &mut self.stores {
            let replication = &mut journals[rank as usize];
            let before = replication.complete();
            while let Some(entry) = world.journals[rank as usize].entry(replication.complete()) {
                if entry.stores & (1 << *store) == 0 {
                    replication.pass();
                    continue;
                }
                let mut holders = Vec::new();
                let left = std::cell::Cell::new(budget);
                let is_complete = replication.place(
                    source_of(&entry.bytes),
                    |domain| left.get() > 0 && is_up(domain),
                    |domain| {
                        left.set(left.get() - 1);
                        holders.push(domain);
                    },
                );
                budget = left.get();
                any |= !holders.is_empty();
                let bytes = entry.bytes.clone();
                let position = replication.complete() + u64::from(!is_complete);
                for domain in holders {
                    world.hold(domain, bytes.clone());
                    world.trace(Some(rank), None, Event::Copied { domain, position });
                }
                if !is_complete {
                    break;
                }
            }
            any |= replication.complete() > before;
            world.copied(rank, *store, replication.complete());
        }
        any
    }

    /// What a rank logged below a position is not needed any more.
    pub fn collected(&mut self, rank: Rank, below: Position) {
        for (_, journals) in &mut self.stores {
            journals[rank as usize].collected(below);
        }
    }

    /// The memory of a rank is lost, and with it that of its domain.
    pub fn lost(&mut self, world: &World, rank: Rank) {
        for (_, journals) in &mut self.stores {
            for replication in &mut *journals {
                replication.lost(world.domains.of(rank));
            }
            journals[rank as usize].begin_anew(world.journals[rank as usize].base);
        }
    }
}

fn source_of(bytes: &[u8]) -> Option<Rank> {
    match Determinant::decode(&mut Reader::new(bytes)).ok()?.what {
        Happened::Delivery { source, .. } => Some(source),
        _ => None,
    }
}
