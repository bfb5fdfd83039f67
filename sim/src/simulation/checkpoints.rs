//! Checkpoints: when they are due, how they come to the disk, what is collected once a line is committed.

use egida_core::checkpoint::Committed;
use egida_core::control::Control;
use egida_core::ids::{CheckpointNumber, Domain, EventIndex, Incarnation, Position, Rank};
use egida_core::module::FailureDetector;
use egida_core::recovery::Input;
use egida_core::trace;

use super::Simulation;
use crate::job::{Control as Experiment, Ending};
use crate::scheduler::{Event, Time};
use crate::world::Saving;

/// How much longer than a record of a log the disk takes for a checkpoint at most.
const SAVE: Time = 2;

impl Simulation<'_> {
    /// The rank's timer for checkpoints is set again.
    pub(super) fn set_checkpoint_timer(&mut self, rank: Rank, incarnation: Incarnation) {
        if let Some(every) = self.checkpoint_every.filter(|_| self.world.borrow().explored.is_none()) {
            let at = self.world.borrow().now + every / 2 + self.chooser.delay(every);
            self.agenda.put(at, Event::CheckpointTimer(rank, incarnation));
        }
    }

    /// It is time for a checkpoint, as far as the rank's protocol goes by time.
    pub(super) fn checkpoint_timer(&mut self, rank: Rank, incarnation: Incarnation) {
        let life = &mut self.ranks[rank as usize];
        let Some(engine) = life.engine.as_mut().filter(|_| life.incarnation == incarnation) else { return };
        match engine.on_checkpoint_timer() {
            Ok(_) => self.set_checkpoint_timer(rank, incarnation),
            Err(fault) => self.end = Some(Ending::Failed(rank, fault)),
        }
        self.take_up();
    }

    /// Takes up what ranks gave to the world since the last time: checkpoints on their way, decisions about them.
    pub(super) fn take_up(&mut self) {
        if self.checkpoint_every.is_none() {
            return;
        }
        let submitted = std::mem::take(&mut self.world.borrow_mut().checkpoints.submitted);
        for (rank, incarnation, number) in submitted {
            self.after(SAVE * self.job.faults.disk_delay, Event::Save { rank, incarnation, number });
        }
        let decided = std::mem::take(&mut self.world.borrow_mut().checkpoints.decided);
        for (rank, number, keep) in decided {
            if keep {
                if let Some(history) = &mut self.world.borrow_mut().history {
                    history.durable(rank, number);
                }
            } else {
                self.world.borrow_mut().checkpoints.void(rank, number);
            }
            self.detected(Input::Decided { rank, number, keep });
        }
    }

    /// The disk has taken a checkpoint, or could not, or one more node has it in its memory; unless its rank's node is gone.
    pub(super) fn saved(&mut self, rank: Rank, incarnation: Incarnation, number: CheckpointNumber) {
        let is_meant = |saving: &Saving| {
            let head = &saving.checkpoint.head;
            (saving.rank, head.incarnation, head.number) == (rank, incarnation, number)
        };
        let saving = self.world.borrow_mut().checkpoints.take_saving(is_meant);
        if saving.is_empty() {
            return self.mirror(rank, incarnation, number);
        }
        for mut saving in saving.into_iter().filter(|_| self.has_memory(rank)).collect::<Vec<_>>() {
            if self.give_to_next(&mut saving) {
                self.after(SAVE * self.job.faults.disk_delay, Event::Save { rank, incarnation, number });
            }
            match self.is_everywhere(&saving) {
                true => self.settle_write(saving),
                // It waits for the event above, or for a node.
                false => self.world.borrow_mut().checkpoints.put_back(saving),
            }
        }
    }

    /// Whether a checkpoint is in the memory of as many nodes as it is to be; a disk is one place.
    fn is_everywhere(&self, saving: &Saving) -> bool {
        let own = self.job.setting.domains.of(saving.rank);
        self.job.control == Some(Experiment::DurableBeforeMirrored)
            || !self.world.borrow().checkpoints.has_too_few(own, &saving.holders)
    }

    /// Has the next node take a checkpoint that is being written into its memory, if there is one that is to.
    fn give_to_next(&mut self, saving: &mut Saving) -> bool {
        let (rank, number) = (saving.rank, saving.checkpoint.head.number);
        let domains = &self.job.setting.domains;
        let own = domains.of(rank);
        saving.holders.insert(own);
        if self.is_everywhere(saving) {
            return false;
        }
        let reached = self.reached_from(own);
        let next = self.world.borrow().checkpoints.next_holder(domains, rank, &saving.holders, &reached);
        if let Some(domain) = next {
            saving.holders.insert(domain);
            self.record(Some(rank), None, || trace::Event::Mirrored { domain, number });
        }
        next.is_some()
    }

    /// One more node takes a checkpoint into its memory of which some who held it are lost.
    fn mirror(&mut self, rank: Rank, incarnation: Incarnation, number: CheckpointNumber) {
        let domains = &self.job.setting.domains;
        let holders = self.world.borrow().checkpoints.holders(rank, number).cloned().unwrap_or_default();
        let has_it = |&holder: &Domain| domains.members(holder).all(|member| self.has_memory(member));
        let Some(reached) = holders.iter().copied().find(has_it).map(|holder| self.reached_from(holder))
        else {
            return;
        };
        let next = self.world.borrow().checkpoints.next_holder(domains, rank, &holders, &reached);
        if let Some(domain) = next {
            self.world.borrow_mut().checkpoints.hold(rank, number, domain);
            self.record(Some(rank), None, || trace::Event::Mirrored { domain, number });
            self.after(SAVE * self.job.faults.disk_delay, Event::Save { rank, incarnation, number });
        }
    }

    /// Nodes were lost, or are there again: checkpoints that too few hold come to others some time.
    pub(super) fn mirror_soon(&mut self) {
        let lacking = self.world.borrow().checkpoints.lacking(&self.job.setting.domains);
        for (rank, incarnation, number) in lacking {
            self.after(SAVE * self.job.faults.disk_delay, Event::Save { rank, incarnation, number });
        }
    }

    /// The memory of a domain is lost, and with it checkpoints that nobody else holds.
    pub(super) fn lose_checkpoints(&mut self, domain: Domain) {
        let lost = self.world.borrow_mut().checkpoints.lose(domain);
        for (rank, number) in lost {
            self.detected(Input::Lost { rank, number });
        }
        self.mirror_soon();
    }

    fn settle_write(&mut self, mut saving: Saving) {
        while self.give_to_next(&mut saving) {}
        let (rank, head) = (saving.rank, saving.checkpoint.head.clone());
        let incarnation = head.incarnation;
        let is_chosen_to_fail = self.world.borrow().explored.as_ref().is_some_and(|explored| explored.fails);
        let fails = is_chosen_to_fail
            || self.chooser.chance(self.job.faults.failed_saves_percent)
            || !self.is_everywhere(&saving);
        // Who may have to return to an earlier checkpoint replays the log up to this one: it comes to the disk before.
        if self.detects && !fails {
            self.written_out(rank, saving.position);
        }
        let durable = !fails && self.world.borrow_mut().store(saving);
        self.record(Some(rank), Some(incarnation), || trace::Event::Saved { number: head.number, durable });
        // Nobody but that life of the rank asks what became of it.
        if self.world.borrow().explored.is_none() || self.is_current(rank, incarnation) {
            self.control(rank, Control::Saved { incarnation, number: head.number, durable });
        }
        if durable || self.job.control == Some(Experiment::FailedWritesCommit) {
            self.detected(Input::Saved { head });
        }
        if self.job.control == Some(Experiment::CollectUnstable) {
            for rank in 0..self.job.setting.domains.ranks() {
                self.detected(Input::Logged { rank, events: EventIndex::MAX });
            }
        }
    }

    /// The disk has taken a rank's journal from one position to another.
    pub(super) fn logged(&mut self, rank: Rank, from: Position, to: Position) {
        if !self.detects || self.checkpoint_every.is_none() {
            return;
        }
        let events = self.world.borrow().journals[rank as usize].events_between(from, to);
        if let Some(events) = events {
            self.detected(Input::Logged { rank, events });
        }
    }

    /// Settles the writes of ranks that live: before a line is computed it must be known what it can be made of.
    pub(super) fn settle_writes(&mut self) {
        let saving = self.world.borrow_mut().checkpoints.take_saving(|_| true);
        for saving in saving.into_iter().filter(|saving| self.has_memory(saving.rank)).collect::<Vec<_>>() {
            self.settle_write(saving);
        }
    }

    /// What becomes of the writes of a rank whose process died: with its node they are lost, else it is a matter of luck.
    pub(super) fn settle_writes_of_dead(&mut self, rank: Rank, is_lost: bool) {
        let theirs = self.world.borrow_mut().checkpoints.take_saving(|saving| saving.rank == rank);
        for saving in theirs {
            if !is_lost && self.is_finished() {
                self.settle_write(saving);
            }
        }
    }

    /// Whether a write goes to its end though the process that asked for it is dead.
    fn is_finished(&mut self) -> bool {
        match &mut self.world.borrow_mut().explored {
            Some(explored) => explored.next_unfinished(),
            None => self.chooser.chance(50),
        }
    }

    /// No recovery will need anything of a rank from before a checkpoint.
    pub(super) fn commit(&mut self, committed: &Committed) {
        let Committed { rank, number, events, completed } = committed;
        self.record_at(*rank, || trace::Event::Committed { number: *number });
        let below = self.world.borrow_mut().collect(*rank, *number, *events);
        if self.job.control == Some(Experiment::CollectTooMuch) {
            self.world.borrow_mut().checkpoints.void(*rank, *number);
        }
        self.copies.collected(*rank, below);
        let life = &mut self.ranks[*rank as usize];
        life.committed = *number;
        life.output.committed(*number);
        life.records = life.records.split_off(number);
        self.judge_collection(*rank);
        self.control(*rank, Control::Committed { number: *number });
        for other in (0..self.job.setting.domains.ranks()).filter(|other| other != rank) {
            let completed = completed.get(other as usize).copied().unwrap_or(0);
            self.control(other, Control::Covered { rank: *rank, events: *events, completed });
        }
        self.release(*rank);
    }

    /// Tells every rank that a recovery is over.
    pub(super) fn recovered(&mut self, round: u64) {
        self.world.borrow_mut().paused = false;
        self.watch_recovered();
        if self.checkpoint_every.is_some() {
            for rank in 0..self.job.setting.domains.ranks() {
                self.control(rank, Control::Recovered { round });
            }
        }
    }

    /// A control message of whoever coordinates.
    fn control(&mut self, rank: Rank, control: Control) {
        let delay = self.chooser.delay(self.job.faults.control_delay);
        self.world.borrow_mut().tell_rank(None, rank, delay, control);
    }
}
