//! Foreign stores: determinants that domains hold for others.
//!
//! A causal protocol may show output once what it depends on is in the memory of enough failure domains. What the rank's
//! messages did not carry there by themselves is copied by the node: from the rank's journal into memory that is charged to
//! other domains, and lost with them.

use std::collections::BTreeMap;

use egida_core::driver::EntryKind;
use egida_core::event::Determinant;
use egida_core::fault::Fault;
use egida_core::ids::{Domain, Domains, Position, Rank};
use egida_core::output::Replicated;
use egida_core::wire::Reader;
use egida_shm::{JobMemory, JournalReader};

/// Determinants in the memory of domains, encoded.
#[derive(Debug, Default)]
pub struct Held {
    stores: BTreeMap<Domain, Vec<u8>>,
}

impl Held {
    /// A domain takes a determinant.
    pub fn take(&mut self, domain: Domain, determinant: &[u8]) {
        self.stores.entry(domain).or_default().extend_from_slice(determinant);
    }

    /// A domain is lost with all that it held.
    pub fn lost(&mut self, domain: Domain) {
        self.stores.remove(&domain);
    }

    /// Everything that is held, and where; some of it perhaps more than once.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Domain, Determinant), Fault>> + '_ {
        self.stores.iter().flat_map(|(&domain, store)| {
            let mut reader = Reader::new(store);
            std::iter::from_fn(move || {
                (!reader.rest().is_empty()).then(|| next(&mut reader).map(|held| (domain, held)))
            })
        })
    }
}

/// What domains hold for the sake of others' output.
#[derive(Debug)]
pub struct Foreign {
    domains: Domains,
    held: Held,
    sources: Vec<Source>,
}

#[derive(Debug, Default)]
struct Source {
    replicated: Replicated,
    readers: BTreeMap<Domain, JournalReader>,
}

impl Foreign {
    /// Nothing is held by anybody.
    #[must_use]
    pub fn new(domains: Domains) -> Self {
        let sources = (0..domains.ranks()).map(|_| Source::default()).collect();
        Self { domains, held: Held::default(), sources }
    }

    /// Copies the journal of `rank` below `position` until `copies` domains hold it, its own included, or no more live
    /// domains are left. Returns whether enough hold it. The rank's memory must not be taken away meanwhile.
    ///
    /// # Errors
    /// [`Fault`] where the journal cannot be read.
    pub fn replicate(
        &mut self,
        memory: &JobMemory,
        rank: Rank,
        copies: Domain,
        position: Position,
        is_live: impl Fn(Domain) -> bool,
    ) -> Result<bool, Fault> {
        let own = self.domains.of(rank);
        let count = self.domains.count();
        let source = &mut self.sources[rank as usize];
        source.replicated.holds(own, memory.journal_head(rank));
        // Neighbours in a circle: the load spreads, and a rank's copies stay where they are.
        let others = (1..count).map(|step| (own + step) % count).filter(|&domain| is_live(domain));
        for domain in others {
            if source.replicated.position_held_by(copies) >= position {
                break;
            }
            let reader = source.readers.entry(domain).or_insert_with(|| memory.journal(rank));
            while reader.position() < position {
                let Some(item) = reader.next()? else { break };
                if matches!(item.kind, EntryKind::Own | EntryKind::Held) {
                    self.held.take(domain, item.bytes);
                }
            }
            source.replicated.holds(domain, reader.position());
        }
        Ok(self.is_held(rank, copies, position))
    }

    /// Whether so many domains hold the journal of `rank` below `position`.
    #[must_use]
    pub fn is_held(&self, rank: Rank, copies: Domain, position: Position) -> bool {
        self.sources[rank as usize].replicated.position_held_by(copies) >= position
    }

    /// A domain is lost with all that it held.
    pub fn lost(&mut self, domain: Domain) {
        self.held.lost(domain);
        for source in &mut self.sources {
            source.replicated.lost(domain);
            source.readers.remove(&domain);
        }
    }

    /// Everything that is held, and where.
    pub fn held(&self) -> impl Iterator<Item = Result<(Domain, Determinant), Fault>> + '_ {
        self.held.iter()
    }
}

/// A determinant out of a journal or a log.
///
/// # Errors
/// [`Fault`] where it is none.
pub fn decode(bytes: &[u8]) -> Result<Determinant, Fault> {
    next(&mut Reader::new(bytes))
}

fn next(reader: &mut Reader<'_>) -> Result<Determinant, Fault> {
    Determinant::decode(reader)
        .map_err(|error| Fault::Driver(format!("a determinant in a log cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use egida_core::driver::{Driver, JournalEntry};
    use egida_core::event::Happened;
    use egida_core::ids::EventIndex;
    use egida_shm::{JobConfig, KillSwitch, ShmDriver};

    use super::*;

    fn memory() -> JobMemory {
        let config = JobConfig {
            ranks: 4,
            ranks_per_domain: 1,
            failure_unit_is_node: true,
            limit_bytes: 1 << 24,
            specification: String::new(),
        };
        let memory = JobMemory::create_within(&config, 1 << 32).unwrap();
        memory.begin_incarnation(1, 1);
        memory
    }

    fn log(rank: &mut ShmDriver, index: EventIndex) -> Position {
        let mut bytes = Vec::new();
        Determinant { owner: 1, index, observed: 0, what: Happened::Polls, after: None }.encode(&mut bytes);
        rank.log(JournalEntry { kind: EntryKind::Own, stores: 0, bytes: &bytes }).unwrap()
    }

    fn holders(foreign: &Foreign) -> Vec<(Domain, EventIndex)> {
        foreign.held().map(Result::unwrap).map(|(domain, held)| (domain, held.index)).collect()
    }

    #[test]
    fn neighbours_hold_what_output_waits_for_and_no_more() {
        let memory = memory();
        let fd = memory.fd().try_clone_to_owned().unwrap();
        let mut rank = ShmDriver::attach(fd, 1, 1, KillSwitch::default()).unwrap().driver;
        let mut foreign = Foreign::new(Domains::blocks(4, 1));
        let first = log(&mut rank, 0);
        let second = log(&mut rank, 1);
        let all = |_: Domain| true;
        assert!(!foreign.is_held(1, 2, first));
        assert!(foreign.replicate(&memory, 1, 2, first, all).unwrap());
        assert_eq!(holders(&foreign), [(2, 0)], "one copy beside its own");
        assert!(foreign.replicate(&memory, 1, 3, second, all).unwrap());
        assert_eq!(holders(&foreign), [(2, 0), (2, 1), (3, 0), (3, 1)]);
    }

    #[test]
    fn a_lost_holder_is_replaced_and_too_few_are_not_enough() {
        let memory = memory();
        let fd = memory.fd().try_clone_to_owned().unwrap();
        let mut rank = ShmDriver::attach(fd, 1, 1, KillSwitch::default()).unwrap().driver;
        let mut foreign = Foreign::new(Domains::blocks(4, 1));
        let end = log(&mut rank, 0);
        assert!(foreign.replicate(&memory, 1, 2, end, |_| true).unwrap());
        foreign.lost(2);
        assert!(!foreign.is_held(1, 2, end));
        assert!(!foreign.replicate(&memory, 1, 2, end, |domain| domain == 1).unwrap(), "nobody is left");
        assert!(foreign.replicate(&memory, 1, 2, end, |domain| domain != 2).unwrap());
        assert_eq!(holders(&foreign), [(3, 0)]);
    }
}
