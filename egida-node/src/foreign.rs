//! Foreign stores: determinants that domains hold for the sake of others' output.
//!
//! A causal protocol may show output once what it depends on is in the memory of enough failure domains. What the rank's
//! messages did not carry there by themselves is copied by the node: from the rank's journal into memory that is charged to
//! other domains, and lost with them.

use std::collections::BTreeMap;

use egida_core::driver::EntryKind;
use egida_core::event::Determinant;
use egida_core::fault::Fault;
use egida_core::ids::{Domain, Domains, EventIndex, Position, Rank};
use egida_core::output::Replicated;
use egida_core::wire::Reader;
use egida_shm::{JobMemory, JournalReader};

/// The foreign stores of all domains.
#[derive(Debug)]
pub struct Foreign {
    domains: Domains,
    stores: BTreeMap<Domain, Store>,
    sources: Vec<Source>,
}

type Store = BTreeMap<(Rank, EventIndex), Determinant>;

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
        Self { domains, stores: BTreeMap::new(), sources }
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
            let store = self.stores.entry(domain).or_default();
            while reader.position() < position {
                let Some(item) = reader.next()? else { break };
                if matches!(item.kind, EntryKind::Own | EntryKind::Held) {
                    let determinant = decode(item.bytes)?;
                    store.insert((determinant.owner, determinant.index), determinant);
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
        self.stores.remove(&domain);
        for source in &mut self.sources {
            source.replicated.lost(domain);
            source.readers.remove(&domain);
        }
    }

    /// Everything that is held, and where.
    pub fn held(&self) -> impl Iterator<Item = (Domain, &Determinant)> {
        self.stores.iter().flat_map(|(&domain, store)| store.values().map(move |held| (domain, held)))
    }
}

/// A determinant out of a journal or a log.
///
/// # Errors
/// [`Fault`] where it is none.
pub fn decode(bytes: &[u8]) -> Result<Determinant, Fault> {
    Determinant::decode(&mut Reader::new(bytes))
        .map_err(|error| Fault::Driver(format!("a determinant in a log cannot be read: {error}")))
}
