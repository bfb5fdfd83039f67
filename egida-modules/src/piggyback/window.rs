//! The determinants that a rank holds and that are not all known to be safe, with who else holds them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use egida_core::event::Determinant;
use egida_core::ids::{Domain, Domains, EventIndex, Rank};
use egida_core::module::EntryId;
use egida_core::registry::Build;

/// Determinants by their numbers in the log, from `first` on; those before it are safe.
///
/// One is *safe* once f + 1 failure domains hold it, or stable storage does. It stays so: of f + 1 domains one is left
/// when f are down, and recovery gives every domain all that was collected before it counts as up again.
///
/// Determinants stand here in an order in which each comes behind those that its event depends on: piggybacks are written
/// and read in this order.
#[derive(Debug, Clone)]
pub struct Window {
    rank: Rank,
    domains: Domains,
    copies: Domain,
    entries: VecDeque<Held>,
    first: EntryId,
    numbers: BTreeMap<(Rank, EventIndex), EntryId>,
    seen: BTreeMap<Rank, Prefix>,
    became_safe: Vec<(Rank, EventIndex)>,
}

/// A determinant that this rank holds, and who else does.
#[derive(Debug, Clone)]
pub struct Held {
    pub owner: Rank,
    pub index: EventIndex,
    /// Ranks that hold it.
    holders: Vec<Rank>,
    /// Domains that hold it: of these ranks, and those in whose memory recovery found it.
    domains: Vec<Domain>,
    stable: bool,
    safe: bool,
}

impl Held {
    pub fn is_held_by(&self, rank: Rank) -> bool {
        self.holders.contains(&rank)
    }

    /// Whether enough domains are known to hold it, or stable storage does.
    pub fn is_safe(&self) -> bool {
        self.safe
    }
}

impl Window {
    pub fn new(build: &Build<'_>) -> Self {
        Self {
            rank: build.rank,
            domains: build.setting.domains.clone(),
            copies: build.copies,
            entries: VecDeque::new(),
            first: 0,
            numbers: BTreeMap::new(),
            seen: BTreeMap::new(),
            became_safe: Vec::new(),
        }
    }

    /// The rank that holds all this.
    pub fn rank(&self) -> Rank {
        self.rank
    }

    pub fn domains(&self) -> &Domains {
        &self.domains
    }

    /// Whether the owner's copy alone is enough, so that nobody needs to be told anything.
    pub fn one_copy_is_enough(&self) -> bool {
        self.copies <= 1
    }

    /// The number of the first determinant here.
    pub fn first(&self) -> EntryId {
        self.first
    }

    /// The number that the next determinant will have.
    pub fn end(&self) -> EntryId {
        self.first + self.entries.len() as EntryId
    }

    pub fn get(&self, id: EntryId) -> Option<&Held> {
        self.entries.get(usize::try_from(id.checked_sub(self.first)?).ok()?)
    }

    pub fn id_of(&self, owner: Rank, index: EventIndex) -> Option<EntryId> {
        self.numbers.get(&(owner, index)).copied()
    }

    /// Notes that an event of another rank came by. Returns whether it is the first time.
    pub fn sees(&mut self, owner: Rank, index: EventIndex) -> bool {
        owner != self.rank && self.seen.entry(owner).or_default().insert(index)
    }

    /// Takes in the determinant that was logged under number `id`; this rank and its owner hold it.
    pub fn add(&mut self, id: EntryId, determinant: &Determinant) {
        debug_assert_eq!(id, self.end(), "every logged determinant is told once");
        let (owner, index) = (determinant.owner, determinant.index);
        self.seen.entry(owner).or_default().insert(index);
        self.numbers.insert((owner, index), id);
        let (holders, domains) = (Vec::new(), Vec::new());
        self.entries.push_back(Held { owner, index, holders, domains, stable: false, safe: false });
        self.add_holder(id, self.rank);
        self.add_holder(id, owner);
    }

    /// Returns whether that was not known.
    pub fn add_holder(&mut self, id: EntryId, rank: Rank) -> bool {
        let domain = self.domains.of(rank);
        let mut new = false;
        self.change(id, |held| {
            new = !held.holders.contains(&rank);
            if new {
                held.holders.push(rank);
            }
            add_domain(held, domain);
        });
        new
    }

    /// A domain has it in its memory: that says which rank only where there is but one.
    pub fn add_domain(&mut self, id: EntryId, domain: Domain) {
        let mut members = self.domains.members(domain);
        if let (Some(only), None) = (members.next(), members.next()) {
            drop(members);
            self.add_holder(id, only);
            return;
        }
        drop(members);
        self.change(id, |held| add_domain(held, domain));
    }

    /// It lies on stable storage.
    pub fn add_stable(&mut self, id: EntryId) {
        self.change(id, |held| held.stable = true);
    }

    fn change(&mut self, id: EntryId, change: impl FnOnce(&mut Held)) {
        let at = id.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(held) = at.and_then(|at| self.entries.get_mut(at)) else { return };
        change(held);
        if !held.safe && (held.stable || held.domains.len() >= self.copies as usize) {
            held.safe = true;
            self.became_safe.push((held.owner, held.index));
        }
    }

    /// Which determinants have become safe since the last call.
    pub fn take_became_safe(&mut self) -> Vec<(Rank, EventIndex)> {
        std::mem::take(&mut self.became_safe)
    }

    /// The memory of a domain is lost. What was safe with its help is counted anew, which is more careful than it must be.
    pub fn lost(&mut self, domain: Domain) {
        let Self { entries, domains, copies, .. } = self;
        for held in entries {
            held.holders.retain(|&rank| domains.of(rank) != domain);
            held.domains.retain(|&holder| holder != domain);
            held.safe = held.stable || held.domains.len() >= *copies as usize;
        }
    }

    /// Takes the first determinant away if it is safe, by its own account or by `is_safe`.
    pub fn pop_safe(&mut self, is_safe: impl FnOnce(&Held) -> bool) -> Option<Held> {
        self.entries.front().filter(|held| held.safe || is_safe(held))?;
        let held = self.entries.pop_front()?;
        self.numbers.remove(&(held.owner, held.index));
        self.first += 1;
        Some(held)
    }
}

fn add_domain(held: &mut Held, domain: Domain) {
    if !held.domains.contains(&domain) {
        held.domains.push(domain);
    }
}

/// A set of events of one owner: a prefix, and some beyond it. Holes stay where a determinant was safe before it could
/// reach this rank.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefix {
    below: EventIndex,
    beyond: BTreeSet<EventIndex>,
}

impl Prefix {
    /// Returns whether it is new.
    pub fn insert(&mut self, index: EventIndex) -> bool {
        if index < self.below || !self.beyond.insert(index) {
            return false;
        }
        self.close();
        true
    }

    /// Adds all events below `below`.
    pub fn extend_to(&mut self, below: EventIndex) {
        if below > self.below {
            self.below = below;
            self.beyond = self.beyond.split_off(&below);
            self.close();
        }
    }

    /// The prefix: all events below are in the set.
    pub fn below(&self) -> EventIndex {
        self.below
    }

    fn close(&mut self) {
        while self.beyond.remove(&self.below) {
            self.below += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_events_form_a_prefix_with_holes() {
        let mut seen = Prefix::default();
        assert!(seen.insert(0));
        assert!(seen.insert(2));
        assert!(!seen.insert(2));
        assert_eq!(seen.below(), 1);
        assert!(seen.insert(1));
        assert_eq!((seen.below(), seen.beyond.len()), (3, 0));
        assert!(!seen.insert(0));
    }

    #[test]
    fn a_prefix_extended_over_a_hole_closes_up() {
        let mut seen = Prefix::default();
        for index in [3, 5, 6, 9] {
            seen.insert(index);
        }
        seen.extend_to(5);
        assert_eq!((seen.below(), seen.beyond.len()), (7, 1));
        seen.extend_to(2);
        assert_eq!(seen.below(), 7);
    }
}
