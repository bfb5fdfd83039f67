//! `determinants`: family-based logging (Alvisi, Hoppe, Marzullo 1993).
//!
//! Invariant: whoever depends on an event holds its determinant, until f + 1 failure domains hold it. A message carries
//! the determinants that its sender holds and does not know to be that safe; the receiver keeps them before anyone can
//! see the message. Who holds what is learned in three ways only: the sender of a piggyback holds what is in it, a
//! receiver holds it once it has acknowledged the message (never earlier: a determinant on a lost message is not held),
//! and an owner holds its own.
//!
//! Channels are FIFO and their records outlive their readers, so each determinant goes over each channel once.

use std::collections::{HashMap, VecDeque};

use egida_core::event::Determinant;
use egida_core::fault::Fault;
use egida_core::ids::{Domain, Domains, EventIndex, Rank, Ssn};
use egida_core::module::{EntryId, PiggybackContext, PiggybackError, PiggybackLogging};
use egida_core::registry::Build;
use egida_core::wire::Reader;

/// The state of the protocol in one rank.
#[derive(Debug)]
pub struct Determinants {
    rank: Rank,
    domains: Domains,
    copies: Domain,
    /// The determinants from number `first` on; those before it are safe.
    window: VecDeque<Known>,
    first: EntryId,
    numbers: HashMap<(Rank, EventIndex), EntryId>,
    seen: HashMap<Rank, Seen>,
    peers: Vec<Peer>,
}

/// A determinant that this rank holds, and who else does.
#[derive(Debug)]
struct Known {
    owner: Rank,
    index: EventIndex,
    holders: Vec<Domain>,
    on_stable_storage: bool,
}

/// What was sent to one receiver.
#[derive(Debug, Default)]
struct Peer {
    /// Determinants below this number were offered to it.
    offered: EntryId,
    /// What went with messages that it has not acknowledged.
    in_flight: VecDeque<(Ssn, Vec<EntryId>)>,
}

/// Which events of an owner have passed through here: a prefix, and some beyond it. Holes stay where a determinant was
/// safe before it could reach this rank.
#[derive(Debug, Default)]
struct Seen {
    below: EventIndex,
    beyond: std::collections::BTreeSet<EventIndex>,
}

impl Seen {
    /// Returns whether it is new.
    fn insert(&mut self, index: EventIndex) -> bool {
        if index < self.below || !self.beyond.insert(index) {
            return false;
        }
        while self.beyond.remove(&self.below) {
            self.below += 1;
        }
        true
    }
}

impl Determinants {
    /// The protocol for the rank that `build` names.
    #[must_use]
    pub fn new(build: &Build<'_>) -> Self {
        Self {
            rank: build.rank,
            domains: build.setting.domains.clone(),
            copies: build.copies,
            window: VecDeque::new(),
            first: 0,
            numbers: HashMap::new(),
            seen: HashMap::new(),
            peers: (0..build.setting.domains.ranks()).map(|_| Peer::default()).collect(),
        }
    }

    fn is_safe(&self, known: &Known) -> bool {
        known.on_stable_storage || known.holders.len() >= self.copies as usize
    }

    fn known(&mut self, id: EntryId) -> Option<&mut Known> {
        let at = usize::try_from(id.checked_sub(self.first)?).ok()?;
        self.window.get_mut(at)
    }

    fn add(&mut self, id: EntryId, determinant: &Determinant, holders: &[Domain], on_stable_storage: bool) {
        debug_assert_eq!(
            id,
            self.first + self.window.len() as EntryId,
            "every logged determinant is told once"
        );
        let (owner, index) = (determinant.owner, determinant.index);
        self.seen.entry(owner).or_default().insert(index);
        self.numbers.insert((owner, index), id);
        let mut known = Known { owner, index, holders: Vec::new(), on_stable_storage };
        add_holder(&mut known.holders, self.domains.of(self.rank));
        add_holder(&mut known.holders, self.domains.of(owner));
        for &holder in holders {
            add_holder(&mut known.holders, holder);
        }
        self.window.push_back(known);
    }

    fn add_holder_of(&mut self, owner: Rank, index: EventIndex, holder: Domain) {
        let id = self.numbers.get(&(owner, index)).copied();
        if let Some(known) = id.and_then(|id| self.known(id)) {
            add_holder(&mut known.holders, holder);
        }
    }

    /// Forgets the safe prefix.
    fn collect(&mut self, context: &mut PiggybackContext<'_>) {
        let before = self.first;
        while self.window.front().is_some_and(|known| self.is_safe(known)) {
            if let Some(known) = self.window.pop_front() {
                self.numbers.remove(&(known.owner, known.index));
                self.first += 1;
            }
        }
        if self.first > before {
            context.garbage_collect(self.first);
        }
    }
}

fn add_holder(holders: &mut Vec<Domain>, holder: Domain) {
    if !holders.contains(&holder) {
        holders.push(holder);
    }
}

impl PiggybackLogging for Determinants {
    fn get_piggyback(
        &mut self,
        context: &mut PiggybackContext<'_>,
        dest: Rank,
        ssn: Ssn,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.collect(context);
        let end = self.first + self.window.len() as EntryId;
        let from = self.peers[dest as usize].offered.max(self.first);
        let receiver = self.domains.of(dest);
        let mut carried = Vec::new();
        for id in from..end {
            let known = &self.window[(id - self.first) as usize];
            if self.is_safe(known) || known.holders.contains(&receiver) {
                continue;
            }
            if !context.retrieve(id, out) {
                return Err(Fault::Bug("a determinant that is not safe is not in the log"));
            }
            carried.push(id);
        }
        let peer = &mut self.peers[dest as usize];
        peer.offered = end;
        if !carried.is_empty() {
            peer.in_flight.push_back((ssn, carried));
        }
        Ok(())
    }

    fn process_piggyback(
        &mut self,
        context: &mut PiggybackContext<'_>,
        source: Rank,
        piggyback: &[u8],
    ) -> Result<(), PiggybackError> {
        let sender = self.domains.of(source);
        let mut reader = Reader::new(piggyback);
        while !reader.rest().is_empty() {
            let determinant = Determinant::decode(&mut reader)?;
            let (owner, index) = (determinant.owner, determinant.index);
            if owner >= self.domains.ranks() {
                return Err(egida_core::wire::WireError::Malformed(
                    "a determinant of a rank that does not exist",
                )
                .into());
            }
            let new = owner != self.rank && self.seen.entry(owner).or_default().insert(index);
            if new {
                let id = context.log(&determinant)?;
                self.add(id, &determinant, &[sender], false);
            } else {
                self.add_holder_of(owner, index, sender);
            }
        }
        Ok(())
    }

    fn logged(&mut self, id: EntryId, determinant: &Determinant) {
        self.add(id, determinant, &[], false);
    }

    fn restored(&mut self, id: EntryId, determinant: &Determinant, holders: &[Domain], stable: bool) {
        self.add(id, determinant, holders, stable);
    }

    fn acknowledged(&mut self, context: &mut PiggybackContext<'_>, dest: Rank, below: Ssn) {
        let receiver = self.domains.of(dest);
        let mut any = false;
        while self.peers[dest as usize].in_flight.front().is_some_and(|&(ssn, _)| ssn < below) {
            let Some((_, carried)) = self.peers[dest as usize].in_flight.pop_front() else { break };
            for id in carried {
                if let Some(known) = self.known(id) {
                    add_holder(&mut known.holders, receiver);
                }
            }
            any = true;
        }
        if any {
            self.collect(context);
        }
    }

    fn lost(&mut self, domain: Domain) {
        for known in &mut self.window {
            known.holders.retain(|&holder| holder != domain);
        }
        // What was safe with the lost domain's help may not be any more: it is offered again. Records that are still in
        // flight to the lost domain are read there again, and acknowledged then.
        for peer in &mut self.peers {
            peer.offered = self.first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn seen_events_form_a_prefix_with_holes() {
        let mut seen = Seen::default();
        assert!(seen.insert(0));
        assert!(seen.insert(2));
        assert!(!seen.insert(2));
        assert_eq!(seen.below, 1);
        assert!(seen.insert(1));
        assert_eq!((seen.below, seen.beyond.len()), (3, 0));
        assert!(!seen.insert(0));
    }
}
