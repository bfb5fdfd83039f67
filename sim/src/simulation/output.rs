//! What a rank writes, until the world may see it.

use std::collections::BTreeSet;

use egida_core::gate::Condition;
use egida_core::ids::{Domain, Position, Rank};
use egida_core::module::MutedJournal;
use egida_core::stack::EventHandler;

use super::{Simulation, WRITE_OUT};
use crate::job::Ending;
use crate::scheduler::Event;

impl Simulation<'_> {
    pub(super) fn write_out_soon(&mut self, rank: Rank, head: Position) {
        if self.world.borrow().journals[rank as usize].stable < head {
            self.after(self.write_out_after, Event::WriteOut(rank, head));
        }
    }

    /// The disk has taken a journal up to a position: output that waited for it may be seen.
    pub(super) fn written_out(&mut self, rank: Rank, position: Position) {
        self.world.borrow_mut().write_out(rank, position);
        self.release(rank);
        for waiting in 0..self.job.setting.domains.ranks() {
            if waiting != rank && !self.ranks[waiting as usize].output.is_idle() {
                self.release(waiting);
            }
        }
    }

    /// Output that the program wrote since the last step: read from its pipe, gated on the journal's head.
    pub(super) fn wrote(&mut self, rank: Rank, head: Position) {
        let life = &mut self.ranks[rank as usize];
        let written = life.application.written();
        let bytes = written[life.read..].to_vec();
        if bytes.is_empty() {
            return;
        }
        life.read = written.len();
        let heads = self.world.borrow().heads();
        let gate = life.node.output(&mut MutedJournal, head, &heads);
        let observed = life.engine.as_ref().map_or(0, |engine| engine.counts().observed);
        if life.output.write(bytes, gate, observed).is_err() {
            self.end = Some(Ending::Contradicted(rank));
        }
        if !self.is_told(rank) {
            self.ranks[rank as usize].output.lost(|_| true);
        }
        self.release(rank);
    }

    /// Whether a rank knows of everything that is lost. Until then its output may depend on it.
    fn is_told(&self, rank: Rank) -> bool {
        !self.detects
            || (self.world.borrow().inbox[rank as usize].is_empty() && !self.coordinator.is_recovering())
    }

    /// Releases what may be, and drives what may not.
    pub(super) fn release(&mut self, rank: Rank) {
        let own = self.job.setting.domains.of(rank);
        let (stable, head) = {
            let world = self.world.borrow();
            let journal = &world.journals[rank as usize];
            (journal.stable, journal.head())
        };
        let heads = self.world.borrow().heads();
        let is_told = self.is_told(rank);
        let life = &mut self.ranks[rank as usize];
        if is_told && life.engine.is_some() && life.output.is_broken() {
            life.output.renew(&life.node.output(&mut MutedJournal, head, &heads));
        }
        life.replicated.holds(own, head);
        let world = self.world.borrow();
        while let Some(bytes) = life.output.release(|condition| match *condition {
            Condition::Stable { position, .. } => position <= stable,
            Condition::Held { domains, position } => life.replicated.position_held_by(domains) >= position,
            Condition::Other { rank, position } => world.journals[rank as usize].stable >= position,
        }) {
            life.released.extend(bytes);
        }
        drop(world);
        let mut wanted: BTreeSet<(Domain, Position)> = BTreeSet::new();
        for condition in life.output.waiting_for() {
            if let Condition::Held { domains, position } = condition {
                let missing = domains.min(self.copies_needed + 1);
                let others = (1..self.job.setting.domains.count())
                    .map(|step| (own + step) % self.job.setting.domains.count())
                    .take(missing as usize);
                wanted.extend(others.map(|domain| (domain, position)));
            }
        }
        // Whoever waits drives: what output waits for is not left for later.
        let unstable: BTreeSet<(Rank, Position)> = self.ranks[rank as usize]
            .output
            .waiting_for()
            .filter_map(|condition| match condition {
                Condition::Stable { position, .. } => Some((rank, position)),
                Condition::Other { rank, position } => Some((rank, position)),
                Condition::Held { .. } => None,
            })
            .filter(|&(rank, position)| self.world.borrow().journals[rank as usize].stable < position)
            .collect();
        for (rank, position) in unstable {
            let asked = &mut self.ranks[rank as usize].write_out_asked;
            if *asked < position {
                *asked = position;
                self.after(WRITE_OUT, Event::WriteOut(rank, position));
            }
        }
        for (domain, position) in wanted {
            let life = &mut self.ranks[rank as usize];
            if life.replicated.position(domain) >= position || !life.replicating.insert((domain, position)) {
                continue;
            }
            self.after(80, Event::Replicate { rank, domain, position });
        }
        let is_told = self.world.borrow().inbox.iter().all(|inbox| inbox.is_empty());
        if is_told && self.ranks.iter().all(|life| life.over && life.output.is_idle()) {
            self.end = Some(Ending::Done);
        }
    }

    /// A domain's node takes the determinants of a rank's journal into its memory.
    pub(super) fn replicated(&mut self, rank: Rank, domain: Domain, position: Position) {
        self.ranks[rank as usize].replicating.remove(&(domain, position));
        let down = self.job.setting.domains.members(domain).any(|member| self.coordinator.is_dead(member));
        if down || self.coordinator.is_dead(rank) {
            return;
        }
        let known = self.ranks[rank as usize].replicated.position(domain);
        self.world.borrow_mut().replicate(rank, domain, known, position);
        self.ranks[rank as usize].replicated.holds(domain, position);
        self.release_later(rank);
    }

    fn release_later(&mut self, rank: Rank) {
        let stable = self.world.borrow().journals[rank as usize].stable;
        self.after(5, Event::WriteOut(rank, stable));
    }
}
