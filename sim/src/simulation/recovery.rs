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
use egida_core::recovery::{Action, Cause, Collected, Coordinator, Fate, Input};
use egida_core::wire::{Reader, WireError};

use super::Simulation;
use crate::job::Ending;
use crate::scheduler::{Event, Time};
use crate::world::World;

/// When a recovery asks again: seldom enough that most answers are there.
const ANSWERS_DUE: Duration = Duration::from_nanos(130);

/// How long a token is under way at most: long enough for messages of those who have heard it to come first.
const TOKEN_DELAY: Time = 1_500;

/// A collection under way.
pub(super) struct Collecting {
    round: u64,
    ranks: Vec<Rank>,
    witnesses: Vec<Rank>,
    collected: Collected,
}

impl Network for Simulation<'_> {
    fn perform(&mut self, action: Action) {
        match action {
            Action::Fence { ranks } => {
                for rank in ranks {
                    self.died(rank, Cause::Fenced);
                }
            }
            Action::Seal { ranks } => self.seal(&ranks),
            Action::Announce { tokens } => self.announce(&tokens),
            Action::Persist { round, .. } => self.after(100, Event::Durable(round)),
            Action::Quiesce { round } => self.after(100, Event::Quiesced(round)),
            Action::Collect { round, ranks, witnesses } => self.collect(round, ranks, witnesses),
            Action::Start { rank, image } => {
                let incarnation = image.incarnation;
                self.images.insert(rank, image);
                self.after(300, Event::Start(rank, incarnation));
            }
            Action::Tell(note) => self.tell(format!("{note:?}")),
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
    fn seal(&mut self, ranks: &[(Rank, Fate)]) {
        for &(rank, fate) in ranks {
            // A rank that had come to its end is executed again with the rest of its domain.
            self.ranks[rank as usize].over = false;
            if self.ranks[rank as usize].engine.take().is_some() {
                self.ranks[rank as usize].output.writer_died();
            }
            if fate == Fate::Lost {
                self.lose(rank);
                continue;
            }
            let head = self.world.borrow().journals[rank as usize].head();
            self.world.borrow_mut().write_out(rank, head);
            if fate == Fate::RollsBack {
                self.world.borrow_mut().begin_anew(rank);
            }
            self.release(rank);
        }
    }

    /// The memory charged to a rank is lost.
    fn lose(&mut self, lost: Rank) {
        let stable = self.world.borrow().journals[lost as usize].stable;
        self.world.borrow_mut().discard(lost);
        let domain = self.job.setting.domains.of(lost);
        self.ranks[lost as usize].replicated = Replicated::default();
        for life in &mut self.ranks {
            life.replicated.lost(domain);
            life.output.lost(|condition| {
                matches!(*condition, Condition::Other { rank, position } if rank == lost && position > stable)
            });
        }
    }

    /// Tokens come to each rank when they come, in order.
    fn announce(&mut self, tokens: &[Token]) {
        for rank in 0..self.job.setting.domains.ranks() {
            let delay = self.chooser.delay(TOKEN_DELAY);
            let mut world = self.world.borrow_mut();
            let last = world.inbox[rank as usize].back().map_or(0, |&(at, _)| at);
            let at = last.max(world.now + delay);
            let controls = tokens.iter().map(|&token| (at, Control::Token(token)));
            world.inbox[rank as usize].extend(controls);
            drop(world);
            let life = &self.ranks[rank as usize];
            if life.over {
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
                    self.after(150, Event::Answer { round, asker, holder });
                }
            }
            Collection::Done => self.collected(),
        }
    }

    pub(super) fn answer(&mut self, round: u64, asker: Rank, holder: Rank) {
        if self.collecting.as_ref().is_none_or(|collecting| collecting.round != round) {
            return;
        }
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
        let world = self.world.borrow();
        let mut depends: BTreeMap<Rank, Vec<(Rank, u64)>> = BTreeMap::new();
        let mut observed = BTreeMap::new();
        for &rank in &collecting.ranks {
            if let Err(error) = add_logs_of(&world, rank, self.detects, &mut collecting.collected) {
                self.end = Some(Ending::Failed(rank, Fault::Driver(error.to_string())));
            }
            let seen = (0..self.job.setting.domains.ranks())
                .map(|reader| (reader, world.channels[rank as usize][reader as usize].depends))
                .collect();
            depends.insert(rank, seen);
            observed.insert(rank, self.ranks[rank as usize].output.observed());
        }
        for &rank in &collecting.witnesses {
            if let Err(error) = add_logs_of(&world, rank, self.detects, &mut collecting.collected) {
                self.end = Some(Ending::Failed(rank, Fault::Driver(error.to_string())));
            }
        }
        drop(world);
        if self.job.discard_determinants {
            collecting.collected.discard_determinants();
            depends.clear();
            observed.clear();
        }
        let Collecting { round, collected, .. } = collecting;
        self.detected(Input::Collected { round, collected, depends, observed });
    }
}

/// Adds what is on the disk of a rank, and, where its own log decides what it returns to, what its journal still has to
/// write there.
fn add_logs_of(
    world: &World,
    rank: Rank,
    and_journal: bool,
    collected: &mut Collected,
) -> Result<(), WireError> {
    for entry in &world.disk[rank as usize] {
        collected.add_entry(rank, entry.kind, &entry.bytes, None)?;
    }
    let journal = &world.journals[rank as usize];
    let written = usize::try_from(journal.stable - journal.base).unwrap_or(usize::MAX);
    for entry in journal.entries.iter().skip(written).filter(|_| and_journal) {
        collected.add_entry(rank, entry.kind, &entry.bytes, Some(world.domains.of(rank)))?;
    }
    Ok(())
}
