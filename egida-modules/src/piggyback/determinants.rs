//! `determinants`: causal logging (family-based logging; Alvisi, Hoppe, Marzullo 1993), the core of all its variants.
//!
//! Invariant: whoever depends on an event holds its determinant, until it is safe: until f + 1 failure domains hold it, or
//! stable storage does. A message carries the determinants that its sender holds and does not know to be safe; the
//! receiver keeps them before anyone can see the message. Who holds what is learned in three ways: the sender of a
//! piggyback holds what is in it, a receiver holds it once it has acknowledged the message (never earlier: a determinant
//! on a lost message is not held), and an owner holds its own. That it lies on stable storage a rank learns from its own
//! watermark: for its own events, and for those of others that it holds.
//!
//! With f = n (`f = any`) no number of holders is enough, and stable storage is the process that never fails (Alvisi and
//! Marzullo 1998). Whatever depends on an event stands, in every journal, behind the event's determinant,
//! unless that was on stable storage before. So what the disks hold together is closed at every moment: nothing on
//! them depends on what is on none of them, and any number of domains may be lost.
//!
//! Channels are FIFO and their records outlive their readers, so each determinant goes over each channel once.

use std::collections::VecDeque;

use egida_core::event::Determinant;
use egida_core::fault::Fault;
use egida_core::ids::{Domain, Rank, Ssn};
use egida_core::module::{EntryId, PiggybackContext, PiggybackError, PiggybackLogging};
use egida_core::registry::Build;
use egida_core::wire::{Reader, WireError};

use super::knowledge::{Knowledge, Nothing};
use super::window::Window;

/// The state of the protocol in one rank; `K` is what a refinement adds.
#[derive(Debug, Clone)]
pub struct Determinants<K = Nothing> {
    window: Window,
    peers: Vec<Peer>,
    knowledge: K,
    stabilized: Vec<EntryId>,
}

/// What was sent to one receiver.
#[derive(Debug, Clone, Default)]
struct Peer {
    /// Determinants below this number were offered to it.
    offered: EntryId,
    /// What went with messages that it has not acknowledged.
    in_flight: VecDeque<(Ssn, Vec<EntryId>)>,
}

impl<K: Knowledge> Determinants<K> {
    /// The protocol for the rank that `build` names.
    #[must_use]
    pub fn new(build: &Build<'_>) -> Self {
        Self {
            window: Window::new(build),
            peers: (0..build.setting.domains.ranks()).map(|_| Peer::default()).collect(),
            knowledge: K::new(build),
            stabilized: Vec::new(),
        }
    }

    /// Forgets the safe prefix.
    fn collect(&mut self, context: &mut PiggybackContext<'_>) {
        let Self { window, knowledge, stabilized, .. } = self;
        context.stabilized(stabilized);
        for id in stabilized.drain(..) {
            window.add_stable(id);
        }
        for (owner, index) in window.take_became_safe() {
            knowledge.became_safe(owner, index);
        }
        let before = window.first();
        while let Some(held) = window.pop_safe(|held| knowledge.is_safe(held.owner, held.index)) {
            knowledge.forgotten(held.owner, held.index);
        }
        if window.first() > before {
            context.garbage_collect(window.first());
        }
    }
}

impl<K: Knowledge> PiggybackLogging for Determinants<K> {
    fn get_piggyback(
        &mut self,
        context: &mut PiggybackContext<'_>,
        dest: Rank,
        ssn: Ssn,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.collect(context);
        if self.window.one_copy_is_enough() {
            return Ok(());
        }
        let before = out.len();
        let any_news = self.knowledge.tell(dest, ssn, out);
        let peer = &mut self.peers[dest as usize];
        let offered = std::mem::replace(&mut peer.offered, self.window.end());
        let mut carried = Vec::new();
        for id in offered.max(self.window.first())..self.window.end() {
            let Some(held) = self.window.get(id) else { continue };
            let (owner, index) = (held.owner, held.index);
            let is_safe = held.is_safe() || self.knowledge.is_safe(owner, index);
            if is_safe || held.is_held_by(dest) || self.knowledge.covers(dest, owner, index) {
                continue;
            }
            if !context.retrieve(id, out) {
                return Err(Fault::Bug("a determinant that is not safe is not in the log"));
            }
            self.knowledge.annotate(owner, index, out);
            carried.push(id);
        }
        if !carried.is_empty() {
            peer.in_flight.push_back((ssn, carried));
        } else if !any_news {
            out.truncate(before);
        }
        Ok(())
    }

    fn has_nothing_for(&self, _: Rank) -> bool {
        self.window.first() == self.window.end() && self.knowledge.tells_nothing()
    }

    fn process_piggyback(
        &mut self,
        context: &mut PiggybackContext<'_>,
        source: Rank,
        piggyback: &[u8],
    ) -> Result<(), PiggybackError> {
        let Self { window, knowledge, .. } = self;
        let mut reader = Reader::new(piggyback);
        let telling = knowledge.read(&mut reader)?;
        while !reader.rest().is_empty() {
            let determinant = Determinant::decode(&mut reader)?;
            let note = knowledge.read_note(&mut reader)?;
            let (owner, index) = (determinant.owner, determinant.index);
            if owner >= window.domains().ranks() {
                return Err(WireError::Malformed("a determinant of a rank that does not exist").into());
            }
            if window.sees(owner, index) {
                let id = context.log(&determinant)?;
                window.add(id, &determinant);
                knowledge.learned(window, id, source, note);
            } else if let Some(id) = window.id_of(owner, index) {
                knowledge.holds(window, id, source);
            }
        }
        knowledge.told(window, source, telling);
        Ok(())
    }

    fn logged(&mut self, id: EntryId, determinant: &Determinant) {
        self.window.add(id, determinant);
        self.knowledge.happened(determinant.index);
    }

    fn restored(&mut self, id: EntryId, determinant: &Determinant, holders: &[Domain], stable: bool) {
        self.window.add(id, determinant);
        for &domain in holders {
            self.window.add_domain(id, domain);
        }
        if stable {
            self.window.add_stable(id);
        }
        self.knowledge.restored(determinant.owner, determinant.index, holders);
    }

    fn acknowledged(&mut self, context: &mut PiggybackContext<'_>, dest: Rank, below: Ssn) {
        let Self { window, peers, knowledge, .. } = self;
        let in_flight = &mut peers[dest as usize].in_flight;
        let mut any = false;
        while let Some((_, carried)) = in_flight.pop_front_if(|&mut (ssn, _)| ssn < below) {
            for id in carried {
                knowledge.holds(window, id, dest);
            }
            any = true;
        }
        knowledge.acknowledged(dest, below);
        if any {
            self.collect(context);
        }
    }

    fn awaits(&self, dest: Rank) -> bool {
        !self.peers[dest as usize].in_flight.is_empty() || K::LEARNS_FROM_ACKNOWLEDGEMENTS
    }

    fn lost(&mut self, domain: Domain) {
        self.window.lost(domain);
        self.knowledge.lost(domain);
        // What was safe with the lost domain's help may not be any more: it is offered again. Records that are still in
        // flight to the lost domain are read there again, and acknowledged then.
        for peer in &mut self.peers {
            peer.offered = self.window.first();
        }
    }
}
