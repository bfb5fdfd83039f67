//! What a rank logs, until it is where it is to be; what it writes, until the world may see it.

use std::collections::BTreeSet;

use egida_core::control::Control;
use egida_core::fault::Fault;
use egida_core::gate::{Condition, Gate};
use egida_core::ids::{Domain, Position, Rank};
use egida_core::module::MutedJournal;
use egida_core::stack::EventHandler;
use egida_core::trace;
use egida_spec::protocol::FailureUnit;

use super::Simulation;
use crate::job::Ending;
use crate::oracle::{Exposed, Violation};
use crate::scheduler::{Event, Time};
use crate::world::Letter;

/// How long it takes at most until a node has taken determinants into its memory.
const REPLICATE: Time = 80;

/// How many copies come to other nodes at once, at most: the network may stop with an entry at some of its holders.
const COPIES_AT_ONCE: Time = 4;

/// How long it takes at most until a node notices that output may be seen.
const LOOK: Time = 5;

/// Whether a control message may yet make its rank an orphan.
fn is_token(letter: &Letter) -> bool {
    matches!(letter.control, Control::Token(_))
}

impl Simulation<'_> {
    /// What is in the journal is written out some time, whether anybody asks for it or not.
    pub(super) fn write_out_soon(&mut self, rank: Rank, head: Position) {
        let written = self.world.borrow().journals[rank as usize].stable.written;
        let has_disk = self.world.borrow().on_disk != 0;
        let life = &mut self.ranks[rank as usize];
        if has_disk && written < head && life.write_out_due <= written {
            life.write_out_due = head;
            self.after(self.write_out_after, Event::WriteOut(rank, head));
        }
    }

    /// What is for the memory of other nodes is copied there as soon as it can be.
    pub(super) fn copy_soon(&mut self, rank: Rank) {
        let head = self.world.borrow().journals[rank as usize].head();
        if self.copies.is_behind(rank, head) && !self.ranks[rank as usize].copying {
            self.ranks[rank as usize].copying = true;
            self.after(REPLICATE, Event::Copy(rank));
        }
    }

    /// Some copies of what a rank logged come to where they are to be.
    pub(super) fn copy(&mut self, rank: Rank) {
        self.ranks[rank as usize].copying = false;
        let is_lost = |rank: Rank| self.coordinator.is_dead(rank) || !self.has_memory(rank);
        if is_lost(rank) {
            return;
        }
        let reached = self.reached_from(self.job.setting.domains.of(rank));
        let budget = self.chooser.delay(COPIES_AT_ONCE);
        let world = &mut self.world.borrow_mut();
        // Where it came no further, it waits for a node.
        if self.copies.advance(world, rank, budget, |domain| reached.contains(&domain)) {
            self.agenda.put(world.now, Event::Look(rank));
        }
    }

    /// The domains that are up and not cut off from one.
    pub(super) fn reached_from(&self, one: Domain) -> BTreeSet<Domain> {
        let is_lost = |rank: Rank| self.coordinator.is_dead(rank) || !self.has_memory(rank);
        let domains = &self.job.setting.domains;
        (0..domains.count())
            .filter(|&domain| self.world.borrow().network.cut_until(one, domain).is_none())
            .filter(|&domain| !domains.members(domain).any(is_lost))
            .collect()
    }

    /// The disk has taken a journal up to a position: output that waited for it may be seen.
    pub(super) fn written_out(&mut self, rank: Rank, position: Position) {
        if !self.has_memory(rank) {
            return;
        }
        if !self.write_out(rank, position) {
            return;
        }
        let head = self.world.borrow().journals[rank as usize].head();
        self.write_out_soon(rank, head);
        for waiting in 0..self.job.setting.domains.ranks() {
            self.release(waiting);
        }
    }

    /// Writes a journal to its disk. Returns whether the disk took it: else the job ends, and says whose disk is full.
    pub(super) fn write_out(&mut self, rank: Rank, position: Position) -> bool {
        let before = self.world.borrow().journals[rank as usize].stable.written;
        let written = self.world.borrow_mut().write_out(rank, position);
        let position = self.world.borrow().journals[rank as usize].stable.written;
        if position > before {
            let event = trace::Event::Stable { place: trace::Place::Disk, position };
            self.world.borrow_mut().trace(Some(rank), None, event);
            self.logged(rank, before, position);
        }
        if let Err(full) = &written {
            let fault = Fault::OverLimit {
                what: format!("the log of rank {rank} on its disk"),
                limit_bytes: full.capacity_bytes,
                remedy: "a larger disk",
            };
            self.end = self.end.take().or(Some(Ending::Failed(rank, fault)));
        }
        written.is_ok()
    }

    /// Whether the memory of a rank's node is there: it goes with the node, even before anybody has heard of that.
    pub(super) fn has_memory(&self, rank: Rank) -> bool {
        self.job.setting.unit == FailureUnit::Process || !self.unreported.contains_key(&rank)
    }

    /// Output that the program wrote since the last step: read from its pipe, gated on the journal's head.
    pub(super) fn wrote(&mut self, rank: Rank, head: Position) {
        let life = &mut self.ranks[rank as usize];
        let written = life.application.written();
        if written.len() == life.read {
            return;
        }
        let bytes = written[life.read..].to_vec();
        life.read = written.len();
        let len = bytes.len() as u64;
        self.record_at(rank, || trace::Event::Write { len });
        let end = self.ranks[rank as usize].read as u64;
        if let Some(replay) = &mut self.replay {
            replay.wrote(rank, end);
        }
        if let Some(exposure) = &mut self.world.borrow_mut().exposure {
            exposure.wrote(rank, end);
        }
        let gate = self.gate(rank, head);
        let life = &mut self.ranks[rank as usize];
        let observed = life.engine.as_ref().map_or(0, |engine| engine.counts().observed);
        if life.output.write(bytes, gate, observed).is_err() {
            self.end = self.end.take().or(Some(Ending::Contradicted(rank)));
        }
        if !self.is_told(rank) {
            self.ranks[rank as usize].output.lost(|_| true);
        }
        self.release(rank);
    }

    /// Output of an incarnation that was given up and not fenced.
    pub(super) fn wrote_unfenced(&mut self, rank: Rank, bytes: Vec<u8>) {
        let head = self.world.borrow().journals[rank as usize].head();
        let gate = self.gate(rank, head);
        let life = &mut self.ranks[rank as usize];
        if life.output.write(bytes, gate, 0).is_err() {
            self.end = self.end.take().or(Some(Ending::Contradicted(rank)));
        }
        self.release(rank);
    }

    /// What output waits for that may depend on everything below a position of the rank's journal.
    fn gate(&mut self, rank: Rank, head: Position) -> Gate {
        self.world.borrow_mut().touch();
        let heads = self.world.borrow().heads();
        let life = &mut self.ranks[rank as usize];
        if life.node.is_none() {
            // As in the daemon, which is bound once for the output of all ranks.
            match self.judged.bind(0) {
                Ok(bound) => life.node = Some(bound.stack),
                // It was bound before, under the same setting.
                Err(_) => self.end = self.end.take().or(Some(Ending::Stuck)),
            }
        }
        let newest = life.engine.as_ref().map_or(0, |engine| engine.counts().checkpoints);
        life.node.as_mut().map_or_else(Gate::open, |node| {
            let mut gate = node.output(&mut MutedJournal, head, &heads);
            gate.join(&node.output_after(newest));
            gate
        })
    }

    /// Whether a rank knows of everything that is lost. Until then its output may depend on it.
    fn is_told(&self, rank: Rank) -> bool {
        !self.detects
            || !(self.world.borrow().inbox[rank as usize].iter().any(is_token)
                || self.coordinator.is_recovering())
    }

    /// Releases what may be, and drives what may not.
    pub(super) fn release(&mut self, rank: Rank) {
        if self.ranks[rank as usize].output.is_idle() {
            return;
        }
        self.release_open(rank);
        self.drive(rank);
        self.end_if_done();
    }

    fn release_open(&mut self, rank: Rank) {
        let is_told = self.is_told(rank);
        let mut released = Vec::new();
        let head = self.world.borrow().journals[rank as usize].head();
        let life = &self.ranks[rank as usize];
        if is_told && life.output.is_broken() && life.engine.is_some() {
            let gate = self.gate(rank, head);
            self.ranks[rank as usize].output.renew(&gate);
        }
        let world = self.world.borrow();
        let life = &mut self.ranks[rank as usize];
        life.replicated.holds(world.domains.of(rank), head);
        while let Some(bytes) = life.output.release(|condition| match *condition {
            Condition::Stable { store, position } => position <= world.stable_seen_by(rank, rank, store),
            Condition::Held { domains, position } => life.replicated.position_held_by(domains) >= position,
            Condition::Other { rank: other, position } => {
                position <= world.stable_on_all_seen_by(rank, other)
            }
            Condition::Line { checkpoint } => life.committed >= checkpoint,
        }) {
            life.released.extend_from_slice(&bytes);
            released.push(bytes);
        }
        let seen = life.released.len() as u64;
        drop(world);
        if !released.is_empty() {
            self.shown(rank, seen);
        }
        for bytes in released {
            let len = bytes.len() as u64;
            self.record_at(rank, || trace::Event::Output {
                text: String::from_utf8_lossy(&bytes).into_owned(),
                len,
            });
        }
    }

    /// The world has seen so many bytes of a rank's output: nothing may come that contradicts it.
    fn shown(&mut self, rank: Rank, end: u64) {
        let right = self.replay.as_mut().map_or(Ok(()), |replay| replay.released(rank, end));
        self.observed(right);
        let exposed =
            self.world.borrow_mut().exposure.as_mut().and_then(|exposure| exposure.released(rank, end));
        if let Some(Exposed { owner, needed, found, .. }) = exposed.filter(|_| self.down == 0) {
            self.observed(Err(Violation::Uncommitted { rank, owner, needed, found }));
        }
    }

    /// Whoever waits drives: what output waits for is not left for later.
    fn drive(&mut self, rank: Rank) {
        let domains = &self.job.setting.domains;
        let own = domains.of(rank);
        let mut copies: BTreeSet<(Domain, Position)> = BTreeSet::new();
        let mut unstable: BTreeSet<(Rank, Position)> = BTreeSet::new();
        for condition in self.ranks[rank as usize].output.waiting_for() {
            match condition {
                Condition::Held { domains: held_by, position } => {
                    let is_up = |&domain: &Domain| {
                        !domains.members(domain).any(|member| self.coordinator.is_dead(member))
                    };
                    let others = (1..domains.count()).map(|step| (own + step) % domains.count());
                    let missing = held_by.saturating_sub(1) as usize;
                    copies.extend(others.filter(is_up).take(missing).map(|domain| (domain, position)));
                }
                // Copies are made at once, whether somebody waits for them or not.
                Condition::Stable { store, .. } if self.world.borrow().of_copies & (1 << store) != 0 => {}
                Condition::Stable { position, .. } => {
                    unstable.insert((rank, position));
                }
                Condition::Other { rank, position } => {
                    unstable.insert((rank, position));
                }
                // The next line is cut in its time.
                Condition::Line { .. } => {}
            }
        }
        for (owner, position) in unstable {
            let written = self.world.borrow().journals[owner as usize].stable.written;
            let asked = &mut self.ranks[owner as usize].write_out_asked;
            if written < position && *asked < position {
                *asked = position;
                let until = self.world.borrow().network.cut_until(own, self.job.setting.domains.of(owner));
                self.after_from(until, self.job.faults.disk_delay, Event::WriteOut(owner, position));
            }
        }
        for (domain, position) in copies {
            let life = &mut self.ranks[rank as usize];
            if life.replicated.position(domain) >= position || !life.replicating.insert((domain, position)) {
                continue;
            }
            let until = self.world.borrow().network.cut_until(own, domain);
            self.after_from(until, REPLICATE, Event::Replicate { rank, domain, position });
        }
    }

    pub(super) fn end_if_done(&mut self) {
        if self.over < self.job.setting.domains.ranks()
            || self.ranks.iter().any(|life| !life.output.is_idle())
            || self.world.borrow().inbox.iter().flatten().any(is_token)
        {
            return;
        }
        self.end = self.end.take().or(Some(Ending::Done));
    }

    /// A domain's node takes the determinants of a rank's journal into its memory.
    pub(super) fn replicated(&mut self, rank: Rank, domain: Domain, position: Position) {
        self.ranks[rank as usize].replicating.remove(&(domain, position));
        let domains = &self.job.setting.domains;
        let is_lost = |rank: Rank| self.coordinator.is_dead(rank) || !self.has_memory(rank);
        if is_lost(rank) || domains.members(domain).any(is_lost) {
            return;
        }
        let known = self.ranks[rank as usize].replicated.position(domain);
        self.world.borrow_mut().replicate(rank, domain, known, position);
        self.ranks[rank as usize].replicated.holds(domain, position);
        self.record_at(rank, || trace::Event::Copied { domain, position });
        self.after(LOOK, Event::Look(rank));
    }
}
