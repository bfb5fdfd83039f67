//! What the coordinator orders, and what is reported back to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use egida_core::clock::Token;
use egida_core::control::Control;
use egida_core::driver::EntryKind;
use egida_core::event::Determinant;
use egida_core::fault::Fault;
use egida_core::gate::Condition;
use egida_core::ids::Rank;
use egida_core::module::{FailureDetector, Network, Question, Step as Collection, Timer};
use egida_core::output::Replicated;
use egida_core::recovery::{Action, Cause, Collected, Coordinator, Fate, Input, Note};
use egida_core::trace;
use egida_core::wire::Reader;

use super::Simulation;
use crate::job::{Control as Experiment, Ending};
use crate::schedule::{Mishap, Phase};
use crate::scheduler::{Event, Time};
use crate::world::{HELD, Letter, World};

/// When a recovery asks again: seldom enough that most answers are there.
const ANSWERS_DUE: Duration = Duration::from_nanos(130);

/// How long it takes at most to make incarnation numbers durable.
const PERSIST: Time = 100;

/// How long it takes at most until survivors have seen that channels changed.
const QUIESCE: Time = 100;

/// How long it takes at most to start a process.
const START: Time = 300;

/// A collection under way.
#[derive(Debug, Clone)]
pub(super) struct Collecting {
    pub round: u64,
    ranks: Vec<Rank>,
    witnesses: Vec<Rank>,
    collected: Collected,
}

impl Network for Simulation<'_> {
    fn perform(&mut self, action: Action) {
        match action {
            Action::Fence { ranks } => {
                self.record(None, None, || trace::Event::Fence { ranks: ranks.clone() });
                self.watch_fence(&ranks);
                for rank in ranks {
                    self.fence(rank);
                }
            }
            Action::Seal { ranks } => {
                let sealed = ranks.iter().map(|&(rank, _)| rank).collect();
                self.record(None, None, || trace::Event::Seal { ranks: sealed });
                self.world.borrow_mut().paused |= self.recovers_by_line;
                self.seal(&ranks);
                self.reach(Phase::Seal);
            }
            Action::Announce { tokens } => {
                self.announce(&tokens);
                self.record(None, None, || trace::Event::Announce { tokens });
            }
            Action::Persist { round, incarnations } => {
                self.round = round;
                if let Some(seen) = &mut self.incarnations {
                    seen.persist(round, &incarnations);
                }
                self.record(None, None, || trace::Event::Persist { round });
                self.after(PERSIST, Event::Durable(round));
                self.reach(Phase::Persist);
            }
            Action::Quiesce { round } => {
                self.record(None, None, || trace::Event::Quiesce { round });
                // Those that are cut off must have seen it too.
                let domains = &self.job.setting.domains;
                let reached = (0..domains.count())
                    .filter_map(|domain| self.world.borrow().network.away_until(domain))
                    .max();
                self.after_from(reached, QUIESCE, Event::Quiesced(round));
                self.reach(Phase::Quiesce);
            }
            Action::Collect { round, ranks, mut witnesses } => {
                if self.job.control == Some(Experiment::NoWitnesses) {
                    witnesses.clear();
                }
                self.record(None, None, || trace::Event::Collect { round, ranks: ranks.clone() });
                self.collect(round, ranks, witnesses);
                self.reach(Phase::Collect);
            }
            Action::Start { rank, image } => {
                self.watch_start(rank, image.checkpoint_number);
                self.watch_return(rank, &image);
                let incarnation = image.incarnation;
                self.record(None, None, || trace::Event::Start {
                    of: rank,
                    next: incarnation,
                    determinants: image.determinants.len() as u64,
                    messages: image.messages.len() as u64,
                });
                self.images.insert(rank, image);
                let domain = self.job.setting.domains.of(rank);
                self.after_message(domain, START, Event::Start(rank, incarnation));
                self.reach(Phase::Start);
            }
            Action::Tell(Note::Death { rank, incarnation, .. }) => {
                self.record(None, None, || trace::Event::Death { of: rank, lost: incarnation });
            }
            Action::Tell(Note::Recovered { rank, incarnation }) => {
                self.record(None, None, || trace::Event::Recovered { of: rank, next: incarnation });
            }
            Action::Recovered { round } => self.recovered(round),
            Action::Commit(committed) => self.commit(&committed),
            Action::End(end) => self.end = self.end.take().or(Some(Ending::Ended(end))),
        }
    }
}

impl FailureDetector for Simulation<'_> {
    fn coordinator(&mut self) -> &mut Coordinator {
        &mut self.coordinator
    }
}

impl Timer for Simulation<'_> {
    fn set(&mut self, after: Duration, token: u64) {
        let at = self.world.borrow().now + u64::try_from(after.as_nanos()).unwrap_or(Time::MAX);
        self.agenda.put(at, Event::Timer(token));
    }
}

impl Simulation<'_> {
    /// A rank whose domain failed ends with it, if it has not ended yet.
    fn fence(&mut self, rank: Rank) {
        if self.ranks[rank as usize].engine.is_some() {
            return self.died(rank, Cause::Fenced);
        }
        self.images.remove(&rank);
        let at = self.take_unreported(rank);
        self.detected(Input::Died { rank, cause: Cause::Fenced, at });
    }

    fn seal(&mut self, ranks: &[(Rank, Fate)]) {
        for &(rank, fate) in ranks {
            let next = self.coordinator.incarnation(rank);
            // Where only checkpoints are returned to, nobody's memory tells whether it survived.
            let judged = self.incarnations.as_mut().filter(|_| !self.recovers_by_line);
            let right = judged.map_or(Ok(()), |seen| seen.sealed(rank, next, fate));
            self.observed(right);
            // A rank that had come to its end is executed again with the rest of its domain.
            if self.ranks[rank as usize].engine.take().is_some() {
                let cause = if fate == Fate::RollsBack { Cause::RolledBack } else { Cause::Fenced };
                self.record_at(rank, || trace::Event::Crash { cause: (&cause).into() });
                self.gone(rank);
            }
            self.settle_writes_of_dead(rank, fate == Fate::Lost);
            if self.job.control != Some(Experiment::Unfenced) {
                self.world.borrow_mut().fences[rank as usize] = self.coordinator.incarnation(rank);
            }
            if fate == Fate::Lost {
                self.lose(rank);
                continue;
            }
            let head = self.world.borrow().journals[rank as usize].head();
            self.write_out(rank, head);
            if fate == Fate::RollsBack {
                self.world.borrow_mut().begin_anew(rank);
            }
            self.release(rank);
        }
    }

    /// The memory charged to a rank is lost, and its disk stops where it is.
    fn lose(&mut self, lost: Rank) {
        let stable = self.world.borrow().stable_on_all_seen_by(lost, lost);
        let mut on_disk = self.world.borrow().journals[lost as usize].stable.written;
        if self.job.faults.torn_writes {
            let unsynced = self.world.borrow().unsynced(lost);
            let whole = self.survivors(unsynced);
            on_disk += whole.min(unsynced) as u64;
            if self.world.borrow_mut().tear(lost, whole) {
                let text = format!("{whole} entries that were not synced are on disk, and the next in part");
                self.record(Some(lost), None, || trace::Event::Note { text });
            }
        }
        if let Some(recoverable) = &mut self.world.borrow_mut().recoverable {
            recoverable.lost(lost, on_disk);
        }
        self.world.borrow_mut().discard(lost);
        self.copies.lost(&self.world.borrow(), lost);
        let domain = self.job.setting.domains.of(lost);
        self.lose_checkpoints(domain);
        self.ranks[lost as usize].replicated = Replicated::default();
        for life in &mut self.ranks {
            life.replicated.lost(domain);
            life.output.lost(|condition| {
                matches!(*condition, Condition::Other { rank, position } if rank == lost && position > stable)
            });
        }
    }

    /// How many of the records that were not synced are found on a disk after all.
    fn survivors(&mut self, unsynced: usize) -> usize {
        if let Some(explored) = &mut self.world.borrow_mut().explored {
            explored.unsynced.push(unsynced);
            return explored.kept.min(unsynced);
        }
        let drawn = self.chooser.delay(unsynced as Time + 1) - 1;
        usize::try_from(drawn).unwrap_or(unsynced)
    }

    /// Tokens come to each rank when they come, in order, some twice.
    fn announce(&mut self, tokens: &[Token]) {
        for rank in 0..self.job.setting.domains.ranks() {
            let late = self.job.schedule.0.iter().find_map(|mishap| match *mishap {
                Mishap::LateNews { rank: late, by } if late == rank => Some(by),
                _ => None,
            });
            let delay = self.chooser.delay(self.job.faults.control_delay) + late.unwrap_or(0);
            let copies = 1 + usize::from(self.chooser.chance(self.job.faults.duplicates_percent));
            let mut world = self.world.borrow_mut();
            let last = world.inbox[rank as usize].back().map_or(0, |letter| letter.at);
            let reached = world.network.away_until(world.domains.of(rank)).unwrap_or(0);
            let explored = world.explored.is_some();
            let at = if explored { HELD } else { last.max(world.now.max(reached) + delay) };
            for _ in 0..copies {
                let sent = world.now;
                let letter = |&token| Letter { from: None, sent, at, control: Control::Token(token) };
                let letters = tokens.iter().map(letter);
                world.inbox[rank as usize].extend(letters);
                world.letters[rank as usize] += tokens.len() as u64;
            }
            drop(world);
            let life = &self.ranks[rank as usize];
            if life.over && !explored {
                self.agenda.put(at, Event::Run(rank, life.incarnation));
            }
        }
    }

    fn collect(&mut self, round: u64, ranks: Vec<Rank>, witnesses: Vec<Rank>) {
        let collected = Collected::default();
        self.collecting = Some(Collecting { round, ranks: ranks.clone(), witnesses, collected });
        let failed: BTreeSet<Rank> = ranks.into_iter().collect();
        let step = match &mut self.collector {
            Some(collector) => collector.retrieve_determinants(&failed, self.job.setting.domains.ranks()),
            None => Collection::Done,
        };
        self.collection(round, step);
    }

    /// No answer for a while: a collection asks again what is open.
    pub(super) fn ask_again(&mut self, round: u64) {
        if self.collecting.as_ref().is_some_and(|collecting| collecting.round == round) {
            let step = self.collector.as_mut().map_or(Collection::Done, |collector| collector.on_timer());
            self.collection(round, step);
        }
    }

    fn collection(&mut self, round: u64, step: Collection) {
        match step {
            Collection::Pending(questions) => {
                if !questions.is_empty() {
                    self.set(ANSWERS_DUE, round);
                }
                for Question { asker, holder, .. } in questions {
                    let domain = self.job.setting.domains.of(holder);
                    let answer = Event::Answer { round, asker, holder };
                    if self.chooser.chance(self.job.faults.duplicates_percent) {
                        self.after_message(domain, self.job.faults.control_delay, answer.clone());
                    }
                    self.after_message(domain, self.job.faults.control_delay, answer);
                }
            }
            Collection::Done => self.collected(),
        }
    }

    pub(super) fn answer(&mut self, round: u64, asker: Rank, holder: Rank) {
        // A node that is gone does not answer; its death begins the round anew once it is heard of.
        if self.collecting.as_ref().is_none_or(|collecting| collecting.round != round)
            || !self.has_memory(holder)
        {
            return;
        }
        self.record_at(holder, || trace::Event::Answer { asker });
        self.add_memory_of(holder);
        let step =
            self.collector.as_mut().map_or(Collection::Done, |collector| collector.on_message(asker, holder));
        self.collection(round, step);
    }

    /// Adds what the node of a rank holds.
    fn add_memory_of(&mut self, holder: Rank) {
        let Some(collecting) = &mut self.collecting else { return };
        let world = self.world.borrow();
        let domain = self.job.setting.domains.of(holder);
        let journal = world.journals[holder as usize].entries.iter();
        let held = journal.filter(|entry| entry.kind != EntryKind::Message).map(|entry| &entry.bytes);
        for bytes in held.chain(&world.foreign[domain as usize]) {
            if let Ok(determinant) = Determinant::decode(&mut Reader::new(bytes)) {
                collecting.collected.add_held(determinant, domain);
            }
        }
    }

    fn collected(&mut self) {
        let Some(mut collecting) = self.collecting.take() else { return };
        let mut depends: BTreeMap<Rank, Vec<(Rank, u64)>> = BTreeMap::new();
        let mut observed = BTreeMap::new();
        let witnesses = collecting.witnesses.iter().map(|&rank| (rank, false));
        let asked: Vec<_> = collecting.ranks.iter().map(|&rank| (rank, true)).chain(witnesses).collect();
        for (rank, has_failed) in asked {
            let mut world = self.world.borrow_mut();
            // Where ranks roll back, each entry of a log counts once, in the order written.
            let in_memory = match (self.detects, has_failed) {
                (true, _) => InMemory::NotOnDisk,
                (false, true) => InMemory::All,
                (false, false) => InMemory::Nothing,
            };
            if let Err(why) = add_logs_of(&mut world, rank, in_memory, &mut collecting.collected) {
                self.end = self.end.take().or(Some(Ending::Failed(rank, Fault::Driver(why))));
            }
        }
        for &rank in &collecting.ranks {
            let world = self.world.borrow();
            let seen = world.outbound(rank).map(|(reader, channel)| (reader, channel.depends)).collect();
            depends.insert(rank, seen);
            observed.insert(rank, self.ranks[rank as usize].output.observed());
        }
        for held in self.world.borrow().checkpoints.held() {
            collecting.collected.add_stable(held.clone());
        }
        for state in self.states() {
            collecting.collected.add_state(state);
        }
        if self.job.control == Some(Experiment::DiscardDeterminants) {
            collecting.collected.discard_determinants();
            depends.clear();
            observed.clear();
        }
        let Collecting { round, collected, .. } = collecting;
        self.detected(Input::Collected { round, collected, depends, observed });
    }
}

/// What a collection takes of a journal that is still in memory.
#[derive(Clone, Copy)]
enum InMemory {
    Nothing,
    NotOnDisk,
    All,
}

/// Adds what is on the disk of a rank, and what its journal has in memory.
fn add_logs_of(
    world: &mut World,
    rank: Rank,
    in_memory: InMemory,
    collected: &mut Collected,
) -> Result<(), String> {
    world.disks[rank as usize].open().map_err(|damaged| damaged.to_string())?;
    for entry in world.disks[rank as usize].entries() {
        collected.add_entry(rank, entry.kind, &entry.bytes, None).map_err(|error| error.to_string())?;
    }
    let journal = &world.journals[rank as usize];
    let entries = match in_memory {
        InMemory::Nothing => &[],
        InMemory::NotOnDisk => journal.unstable(),
        InMemory::All => &journal.entries,
    };
    for entry in entries {
        let holder = Some(world.domains.of(rank));
        collected.add_entry(rank, entry.kind, &entry.bytes, holder).map_err(|error| error.to_string())?;
    }
    Ok(())
}
