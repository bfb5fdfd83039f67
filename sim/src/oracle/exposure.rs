//! The invariant of pessimistic and causal protocols: what a state depends on can be found again.
//!
//! The observer keeps count, step by step, of who depends on which events, directly or through others, and of where their
//! determinants lie. Nothing of the code under test tells it so: it reads what is written to journals, disks and channels.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use egida_core::clock::VectorClock;
use egida_core::driver::EntryKind;
use egida_core::ids::{Domain, Domains, EventIndex, Rank, Ssn};
use egida_core::wire::Reader;
use egida_spec::protocol::FailureUnit;

use crate::fingerprint::Fingerprint;
use crate::world::Entry;

/// A dependency that no more failures than are tolerated would turn into an orphan.
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

/// What the observer knows.
#[derive(Debug, Clone)]
pub struct Exposure {
    domains: Domains,
    unit: FailureUnit,
    /// How many domains may fail at once.
    failures: u32,
    /// How many events of each rank each rank's state depends on.
    depends: Vec<Rc<VectorClock>>,
    /// Where the determinants of each rank's events lie.
    owned: Vec<Owned>,
    /// Output of each rank's present life: where it ends, and what it depends on.
    written: Vec<VecDeque<(u64, Rc<VectorClock>)>>,
    /// What each message depended on when it was sent last.
    sent: HashMap<(Rank, Rank, Ssn), Rc<VectorClock>>,
}

#[derive(Debug, Clone, Default)]
struct Owned {
    places: Vec<Places>,
    /// All events below this number could be found again if as many domains failed now as may, the owner's among them.
    found: EventIndex,
}

#[derive(Debug, Clone, Default)]
struct Places {
    disk: bool,
    memory_of: Vec<Domain>,
}

impl Exposure {
    /// An observer of a job in which nothing has happened.
    #[must_use]
    pub fn new(domains: Domains, unit: FailureUnit, failures: u32) -> Self {
        let ranks = domains.ranks();
        Self {
            unit,
            failures,
            depends: (0..ranks).map(|_| Rc::new(VectorClock::new(ranks))).collect(),
            owned: vec![Owned::default(); ranks as usize],
            written: vec![VecDeque::new(); ranks as usize],
            sent: HashMap::new(),
            domains,
        }
    }

    /// Takes in all that it knows; what messages depended on, where they may be put back on their channels from checkpoints.
    pub fn fold(&self, puts_back: bool, into: &mut Fingerprint) {
        let pasts = self.sent.iter().filter(|_| puts_back).collect::<BTreeMap<_, _>>();
        for (message, past) in pasts {
            into.shown(message);
            (0..self.domains.ranks()).for_each(|rank| into.word(past.of(rank)));
        }
        for depends in &self.depends {
            (0..self.domains.ranks()).for_each(|rank| into.word(depends.of(rank)));
        }
        for owned in &self.owned {
            into.word(owned.places.len() as u64);
            for places in &owned.places {
                let mut memory_of = places.memory_of.clone();
                memory_of.sort_unstable();
                into.word(u64::from(places.disk));
                into.word(memory_of.len() as u64);
                memory_of.iter().for_each(|&domain| into.word(u64::from(domain)));
            }
        }
    }

    /// A rank begins a life that will come to so many of its own events, from a checkpoint with that past, if there is one.
    pub fn began(&mut self, rank: Rank, own: EventIndex, past: Option<&VectorClock>) {
        let mut past = past.cloned().unwrap_or_else(|| VectorClock::new(self.domains.ranks()));
        past.advance(rank, own);
        self.depends[rank as usize] = Rc::new(past);
        self.written[rank as usize].clear();
    }

    /// A rank has written output, so many bytes since its beginning.
    pub fn wrote(&mut self, rank: Rank, end: u64) {
        let past = self.past(rank);
        self.written[rank as usize].push_back((end, past));
    }

    /// The world has seen so many bytes of a rank's output. Returns what of what they depend on could not be found again if as many
    /// domains failed now as may, that of its owner among them.
    pub fn released(&mut self, rank: Rank, end: u64) -> Option<Exposed> {
        let mut exposed = None;
        while let Some((_, past)) = self.written[rank as usize].pop_front_if(|(at, _)| *at <= end) {
            exposed = exposed.or_else(|| {
                let mut owners =
                    (0..).zip(&self.owned).map(|(owner, owned)| (owner, past.of(owner), owned.found));
                let (owner, needed, found) = owners.find(|(_, needed, found)| needed > found)?;
                Some(Exposed { survivor: rank, owner, needed, found })
            });
        }
        exposed
    }

    /// A rank's journal takes an entry.
    pub fn logged(&mut self, rank: Rank, kind: EntryKind, bytes: &[u8]) {
        if !matches!(kind, EntryKind::Own | EntryKind::Held) {
            return;
        }
        self.held(self.domains.of(rank), bytes);
        if let Some((owner, index)) = name(bytes).filter(|_| kind == EntryKind::Own) {
            Rc::make_mut(&mut self.depends[rank as usize]).advance(owner, index + 1);
        }
    }

    /// The memory of a domain holds a determinant.
    pub fn held(&mut self, domain: Domain, determinant: &[u8]) {
        self.lies(determinant, |places| {
            if !places.memory_of.contains(&domain) {
                places.memory_of.push(domain);
            }
        });
    }

    /// A disk holds an entry. A rank that was restarted may have what it held for others there and nowhere else.
    pub fn written(&mut self, entry: &Entry) {
        if matches!(entry.kind, EntryKind::Own | EntryKind::Held) {
            self.lies(&entry.bytes, |places| places.disk = true);
        }
    }

    /// A durable checkpoint covers the first events of a rank: they are never repeated.
    pub fn covered(&mut self, owner: Rank, events: EventIndex) {
        let lost = self.domains.of(owner);
        let Some(owned) = self.owned.get_mut(owner as usize) else { return };
        let events = usize::try_from(events).unwrap_or(usize::MAX);
        if owned.places.len() < events {
            owned.places.resize_with(events, Places::default);
        }
        for places in &mut owned.places[..events] {
            places.disk = true;
        }
        owned.count(lost, self.unit, self.failures);
    }

    /// A durable checkpoint holds a determinant.
    pub fn saved(&mut self, determinant: &[u8]) {
        self.lies(determinant, |places| places.disk = true);
    }

    fn lies(&mut self, determinant: &[u8], note: impl FnOnce(&mut Places)) {
        let Some((owner, index)) = name(determinant) else { return };
        let Some(owned) = self.owned.get_mut(owner as usize) else { return };
        let Ok(at) = usize::try_from(index) else { return };
        if owned.places.len() <= at {
            owned.places.resize_with(at + 1, Places::default);
        }
        note(&mut owned.places[at]);
        let lost = self.domains.of(owner);
        owned.count(lost, self.unit, self.failures);
    }

    /// The memory of a domain is lost.
    pub fn lost(&mut self, domain: Domain) {
        for (owner, owned) in (0..).zip(&mut self.owned) {
            for places in &mut owned.places {
                places.memory_of.retain(|&holder| holder != domain);
            }
            owned.found = 0;
            owned.count(self.domains.of(owner), self.unit, self.failures);
        }
    }

    /// What a rank's state depends on: it goes with every record that the rank writes.
    #[must_use]
    pub fn past(&self, rank: Rank) -> Rc<VectorClock> {
        self.depends[rank as usize].clone()
    }

    /// A rank sends a message: what that depends on.
    pub fn sent(&mut self, rank: Rank, dest: Rank, ssn: Ssn) -> Rc<VectorClock> {
        let past = self.past(rank);
        self.sent.insert((rank, dest, ssn), past.clone());
        past
    }

    /// A rank puts a message back on its channel that it sent before its checkpoint. It depends on what it depended on then.
    pub fn put_back(&mut self, rank: Rank, dest: Rank, ssn: Ssn) -> Rc<VectorClock> {
        self.sent.get(&(rank, dest, ssn)).cloned().unwrap_or_else(|| self.past(rank))
    }

    /// A rank takes in a record.
    pub fn read(&mut self, rank: Rank, past: &VectorClock) {
        let depends = &mut self.depends[rank as usize];
        if !past.is_within(depends) {
            Rc::make_mut(depends).merge(past);
        }
    }

    /// What a rank depends on that could not be found again if as many domains as may failed now, that of its owner among
    /// them and its own not: an orphan to be.
    #[must_use]
    pub fn of(&self, survivor: Rank) -> Option<Exposed> {
        let domain = self.domains.of(survivor);
        (0..).zip(&self.owned).find_map(|(owner, owned)| {
            let needed = self.depends[survivor as usize].of(owner);
            if needed <= owned.found || self.domains.of(owner) == domain {
                return None;
            }
            // What it holds itself is found as long as it is there to need it.
            let found = owned.found_with(domain, self.domains.of(owner), self.unit, self.failures);
            (needed > found).then_some(Exposed { survivor, owner, needed, found })
        })
    }

    /// The same for any rank.
    #[must_use]
    pub fn of_any(&self) -> Option<Exposed> {
        (0..self.domains.ranks()).find_map(|survivor| self.of(survivor))
    }
}

impl Owned {
    fn count(&mut self, lost: Domain, unit: FailureUnit, failures: u32) {
        let from = usize::try_from(self.found).unwrap_or(usize::MAX);
        let more = self.places.iter().skip(from);
        self.found += more.take_while(|places| places.last(lost, unit, failures)).count() as EventIndex;
    }

    /// How many events could be found again where this domain does not fail.
    fn found_with(&self, safe: Domain, lost: Domain, unit: FailureUnit, failures: u32) -> EventIndex {
        let from = usize::try_from(self.found).unwrap_or(usize::MAX);
        let is_found =
            |places: &&Places| places.memory_of.contains(&safe) || places.last(lost, unit, failures);
        self.found + self.places.iter().skip(from).take_while(is_found).count() as EventIndex
    }
}

impl Places {
    /// Whether it is found again whatever domains fail beside the owner's.
    fn last(&self, lost: Domain, unit: FailureUnit, failures: u32) -> bool {
        let others = self.memory_of.iter().filter(|&&domain| domain != lost).count();
        let by_memory = match unit {
            FailureUnit::Process => !self.memory_of.is_empty(),
            FailureUnit::Node => others >= failures as usize,
        };
        self.disk || by_memory
    }
}

/// Whose event a determinant is of, and which: its first fields.
pub(crate) fn name(determinant: &[u8]) -> Option<(Rank, EventIndex)> {
    let mut reader = Reader::new(determinant);
    reader.byte().ok()?;
    Some((reader.rank().ok()?, reader.varint().ok()?))
}

#[cfg(test)]
mod tests {
    use egida_core::event::{Determinant, Happened};

    use super::*;

    fn polls(owner: Rank, index: EventIndex) -> Vec<u8> {
        let mut bytes = Vec::new();
        Determinant { owner, index, observed: 0, what: Happened::Polls, after: None }.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_dependency_is_exposed_until_its_determinant_lies_elsewhere() {
        let mut exposure = Exposure::new(Domains::blocks(3, 1), FailureUnit::Node, 1);
        exposure.logged(0, EntryKind::Own, &polls(0, 0));
        assert_eq!(exposure.of_any(), None, "nobody else depends on it");
        let past = exposure.past(0);
        exposure.read(1, &past);
        assert_eq!(exposure.of_any(), Some(Exposed { survivor: 1, owner: 0, needed: 1, found: 0 }));
        exposure.logged(1, EntryKind::Held, &polls(0, 0));
        assert_eq!(exposure.of_any(), None);
        exposure.read(2, &exposure.past(1));
        assert_eq!(exposure.of(2), None);
        exposure.lost(1);
        assert_eq!(exposure.of(2).map(|exposed| exposed.found), Some(0));
        exposure.written(&Entry { kind: EntryKind::Own, stores: 1, bytes: polls(0, 0) });
        assert_eq!(exposure.of_any(), None);
    }

    #[test]
    fn as_many_copies_are_needed_as_domains_may_fail() {
        let mut exposure = Exposure::new(Domains::blocks(4, 1), FailureUnit::Node, 2);
        exposure.logged(0, EntryKind::Own, &polls(0, 0));
        exposure.held(1, &polls(0, 0));
        let past = exposure.past(0);
        exposure.read(1, &past);
        assert_eq!(exposure.of_any(), None, "it holds what it depends on");
        exposure.read(3, &past);
        assert_eq!(exposure.of(3), Some(Exposed { survivor: 3, owner: 0, needed: 1, found: 0 }));
        exposure.held(2, &polls(0, 0));
        assert_eq!(exposure.of_any(), None);
    }

    #[test]
    fn memory_survives_a_process() {
        let mut exposure = Exposure::new(Domains::blocks(2, 1), FailureUnit::Process, 1);
        exposure.logged(0, EntryKind::Own, &polls(0, 0));
        exposure.read(1, &exposure.past(0));
        assert_eq!(exposure.of_any(), None);
    }
}
