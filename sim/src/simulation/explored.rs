//! What may happen next, where time does not order it, and what state that leads to.
//!
//! In an explored world messages, control messages and writes to disks wait until they are chosen. Some things happen at once
//! because their order makes no difference: incarnation numbers become durable (nothing but another death can tell whether
//! they are, and a death before that is the same as one right behind it), whoever coordinates hears of a new incarnation, a
//! node looks at the output that it holds. Nodes answer a collection one after another, in the order in which a daemon reads
//! them, and take in copies of determinants one after another.

use std::collections::BTreeSet;

use egida_core::api::Api;
use egida_core::binder::BindError;
use egida_core::ids::Rank;
use egida_core::recovery::RecoveryImage;

use super::Simulation;
use crate::fingerprint::Fingerprint;
use crate::job::Ending;
use crate::scheduler::Event;
use crate::world::Explored;

/// A rank that found nothing to do so many times in a row waits: what it read last may still have been logged in between.
const IDLE_STEPS: u32 = 2;

/// One choice of an exploration: what happens, and what goes wrong within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    /// What happens.
    pub event: Event,
    /// The crash point, counted from 1 within the turn, at which the rank that comes to it dies.
    pub crash_at: Option<u16>,
    /// How many records that were not synced are found on the disk of a node that dies.
    pub kept: u16,
}

impl From<Event> for Turn {
    fn from(event: Event) -> Self {
        Self { event, crash_at: None, kept: 0 }
    }
}

/// How much a rank does in one turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Grain {
    /// Everything until it waits: messages arrive while it waits. A collection of determinants is one turn with what lets it
    /// begin.
    #[default]
    Wait,
    /// One call: messages arrive between any two calls, and nodes answer a collection one after another.
    Call,
}

/// What a turn led to.
#[derive(Debug)]
pub(crate) struct Reached {
    /// The state.
    pub fingerprint: u128,
    /// How the job ended, if it did.
    pub end: Option<Ending>,
    /// What may happen next, deaths apart.
    pub next: Vec<Event>,
    /// Who may die.
    pub alive: Vec<Rank>,
    /// Crash points of the turn at which a death leaves another world than one before or after the turn.
    pub crash_points: Vec<u16>,
    /// How many records could have survived a loss of memory in the turn without being synced.
    pub unsynced: u16,
}

impl Simulation<'_> {
    /// Begins all ranks, in a world that is explored.
    ///
    /// Where a rank cannot die so often that its program would be held to be at fault, it makes no difference how far it had
    /// come when it died: nobody is told (`counts_deaths`).
    pub fn begin_explored(&mut self, grain: Grain, counts_deaths: bool) -> Result<(), Vec<BindError>> {
        self.grain = grain;
        self.counts_deaths = counts_deaths;
        self.world.borrow_mut().explored = Some(Explored::default());
        for rank in 0..self.job.setting.domains.ranks() {
            self.begin(rank, RecoveryImage { incarnation: 1, ..RecoveryImage::default() })?;
        }
        self.settle();
        Ok(())
    }

    /// Takes a turn.
    pub fn take(&mut self, turn: &Turn) {
        if self.end.is_some() {
            return;
        }
        {
            let mut world = self.world.borrow_mut();
            world.now += 1;
            if let Some(explored) = &mut world.explored {
                explored.points.clear();
                explored.unsynced.clear();
                explored.before = explored.changes;
                explored.kept = usize::from(turn.kept);
                explored.crash_at = turn.crash_at.map(usize::from);
            }
        }
        match turn.event {
            Event::WriteOut(rank, _) => {
                self.agenda.retain(|event| !matches!(*event, Event::WriteOut(other, _) if other == rank));
                let head = self.world.borrow().journals[rank as usize].head();
                self.written_out(rank, head);
            }
            Event::Run(rank, _) => self.go_on(rank),
            _ => {
                if let (Event::Start(..), Some(explored)) =
                    (&turn.event, &mut self.world.borrow_mut().explored)
                {
                    // No death before the turn is like one at the very beginning of a life.
                    explored.before = u64::MAX;
                }
                self.agenda.retain(|event| *event != turn.event);
                self.happen(turn.event.clone());
                if let (Event::Start(rank, _), Grain::Wait) = (&turn.event, self.grain) {
                    self.go_on(*rank);
                }
            }
        }
        self.settle();
    }

    /// A turn in words, before it is taken.
    pub fn describe(&self, turn: &Turn) -> String {
        let world = self.world.borrow();
        let mut text = match turn.event {
            Event::Run(rank, _) => format!("rank {rank} takes a step"),
            Event::Arrive(source, dest) => {
                let ssn = world.next_held(source, dest).unwrap_or_default();
                format!("message {ssn} of rank {source} arrives at rank {dest}")
            }
            Event::Tell(rank) => format!("rank {rank} is told what is lost"),
            Event::WriteOut(rank, _) => {
                let journal = &world.journals[rank as usize];
                format!("the log of rank {rank} is stable up to entry {}", journal.head())
            }
            Event::Quiesced(_) => "every survivor sees that channels changed".to_owned(),
            Event::Answer { holder, .. } => {
                format!("the node of rank {holder} says which determinants it holds")
            }
            Event::Start(rank, incarnation) => format!("rank {rank} is started as incarnation {incarnation}"),
            Event::Replicate { rank, domain, .. } => {
                format!("node {domain} takes determinants of rank {rank} into its memory")
            }
            Event::Copy(rank) => format!("a copy of what rank {rank} logged comes to another node"),
            Event::Kill(rank) => format!("rank {rank} is killed"),
            ref other => format!("{other:?}"),
        };
        if turn.crash_at.is_some() {
            text.push_str(", and dies within it");
        }
        if turn.kept > 0 {
            text.push_str(&format!("; {} records that were not synced are on its disk", turn.kept));
        }
        text
    }

    /// The lines that were written so far.
    pub fn lines(&self) -> &[String] {
        &self.news
    }

    /// The next record of a channel arrives, and its receiver takes it in.
    pub(super) fn arrive(&mut self, source: Rank, dest: Rank) {
        self.world.borrow_mut().show(source, dest);
        self.takes_in(dest);
    }

    /// The next control message to a rank arrives, and the rank takes it in.
    pub(super) fn hear(&mut self, rank: Rank) {
        self.world.borrow_mut().tell(rank);
        self.takes_in(rank);
    }

    fn takes_in(&mut self, rank: Rank) {
        if let Some(explored) = &mut self.world.borrow_mut().explored {
            explored.before = explored.changes;
        }
        match self.grain {
            Grain::Wait => self.go_on(rank),
            Grain::Call => self.attentively(rank, |simulation| {
                let Some(engine) = &mut simulation.ranks[rank as usize].engine else { return };
                match engine.progress() {
                    Ok(_) => {
                        let head = simulation.world.borrow().journals[rank as usize].head();
                        simulation.write_out_soon(rank, head);
                        simulation.look_for_exposed(rank);
                    }
                    Err(fault) => simulation.stepped(rank, Err(fault)),
                }
            }),
        }
        // What it was told may let output go.
        for waiting in 0..self.job.setting.domains.ranks() {
            self.release(waiting);
        }
        self.end_if_done();
    }

    /// A rank goes on until it waits, or for one call.
    fn go_on(&mut self, rank: Rank) {
        let incarnation = self.ranks[rank as usize].incarnation;
        match self.grain {
            Grain::Wait => self.go_on_until_it_waits(rank),
            Grain::Call => self.attentively(rank, |simulation| simulation.step(rank, incarnation)),
        }
        self.agenda.retain(|event| *event != Event::Run(rank, incarnation));
        if self.is_current(rank, incarnation) && !self.ranks[rank as usize].over {
            self.agenda.put(0, Event::Run(rank, incarnation));
        }
    }

    fn go_on_until_it_waits(&mut self, rank: Rank) {
        let mut idle = 0;
        while idle < IDLE_STEPS && self.end.is_none() && self.ranks[rank as usize].engine.is_some() {
            let stepped = self.ranks[rank as usize].step(0);
            idle = if matches!(stepped, Ok((true, _))) { 0 } else { idle + 1 };
            self.stepped(rank, stepped);
            if self.ranks[rank as usize].over {
                break;
            }
        }
        // It has nothing to do before something comes.
        let inputs = self.world.borrow().inputs(rank);
        self.ranks[rank as usize].settled = Some(inputs);
    }

    /// Lets a rank do something, and finds out whether anything is different for it afterwards.
    fn attentively(&mut self, rank: Rank, what: impl FnOnce(&mut Self)) {
        let before = self.inner_state(rank);
        what(self);
        let after = self.inner_state(rank);
        let inputs = self.world.borrow().inputs(rank);
        let life = &mut self.ranks[rank as usize];
        let Some(engine) = &life.engine else { return };
        if before != after {
            // A turn that made a difference is part of the history. (A rank that goes on until it waits needs no such mark: what
            // it does between two things that it is told is decided by them.)
            engine.driver_ref().note_told(|told| told.word(u64::MAX));
        }
        life.settled = Some(inputs).filter(|_| before == after);
    }

    /// Everything that tells one state of a process from another: what its engine was told and has counted, the application,
    /// and how much of what outlives it has changed.
    fn inner_state(&self, rank: Rank) -> Option<(u128, u64)> {
        let mut state = Fingerprint::default();
        self.fold_process(rank, &mut state);
        self.ranks[rank as usize].engine.as_ref()?;
        Some((state.value(), self.world.borrow().changes()))
    }

    fn fold_process(&self, rank: Rank, into: &mut Fingerprint) {
        let life = &self.ranks[rank as usize];
        let Some(engine) = &life.engine else { return into.word(0) };
        into.join(engine.driver_ref().told());
        let counts = engine.counts();
        for count in [counts.sends, counts.deliveries, counts.observed, counts.events, counts.to_replay] {
            into.word(count);
        }
        into.bytes(&life.application.snapshot());
        into.word(u64::from(life.over));
        for transfers in [&life.record.sent, &life.record.received] {
            for (&rank, transfers) in transfers {
                into.word(u64::from(rank));
                transfers.iter().for_each(|&(ssn, digest)| {
                    into.word(ssn);
                    into.word(digest);
                });
            }
            into.word(u64::MAX);
        }
    }

    /// What happens at once, in whatever order; what is out of date goes.
    fn settle(&mut self) {
        loop {
            let (round, images, ranks) = (self.round, &self.images, &self.ranks);
            let collecting = self.collecting.as_ref().map(|collecting| collecting.round);
            self.agenda.retain(|event| match *event {
                Event::Durable(number) | Event::Quiesced(number) => number == round,
                Event::Answer { round, .. } => collecting == Some(round),
                Event::Start(rank, incarnation) => {
                    images.get(&rank).is_some_and(|image| image.incarnation == incarnation)
                }
                Event::Run(rank, incarnation) => {
                    let life = &ranks[rank as usize];
                    life.engine.is_some() && life.incarnation == incarnation
                }
                Event::Timer(_) => false,
                _ => true,
            });
            let grain = self.grain;
            let is_at_once = |event: &&Event| match event {
                Event::Durable(_) | Event::Live(..) | Event::Look(_) => true,
                Event::Answer { .. } => grain == Grain::Wait,
                _ => false,
            };
            let at_once = self.agenda.iter().filter(is_at_once).min().cloned();
            let Some(event) = at_once.filter(|_| self.end.is_none()) else { return };
            self.agenda.retain(|other| *other != event);
            self.happen(event);
        }
    }

    /// What the turns so far have led to.
    pub fn reached(&self) -> Reached {
        let world = self.world.borrow();
        let (mut crash_points, mut unsynced) = (Vec::new(), 0);
        if let Some(explored) = &world.explored {
            let mut last = explored.before;
            for (at, &changes) in (1..).zip(&explored.points) {
                if changes != last && changes != explored.changes {
                    crash_points.push(at);
                }
                last = changes;
            }
            unsynced = explored.unsynced.iter().copied().max().unwrap_or(0);
        }
        drop(world);
        let next = self.next();
        let alive = (0..).zip(&self.ranks).filter(|(_, life)| life.engine.is_some()).map(|(rank, _)| rank);
        Reached {
            fingerprint: self.fingerprint(&next),
            end: self.end.clone(),
            alive: alive.collect(),
            next,
            crash_points,
            unsynced: u16::try_from(unsynced).unwrap_or(u16::MAX),
        }
    }

    /// What may happen next, deaths apart, in order.
    fn next(&self) -> Vec<Event> {
        if self.end.is_some() {
            return Vec::new();
        }
        let world = self.world.borrow();
        let ranks = self.job.setting.domains.ranks();
        let is_alive = |rank: Rank| self.ranks[rank as usize].engine.is_some();
        let mut next = BTreeSet::new();
        for event in self.agenda.iter() {
            match *event {
                Event::Run(rank, _) if self.ranks[rank as usize].settled == Some(world.inputs(rank)) => {}
                // Entries that are for no disk take part: its watermark passes them.
                Event::WriteOut(rank, _) if world.is_written(rank) => {}
                Event::WriteOut(rank, _) => {
                    next.insert(Event::WriteOut(rank, 0));
                }
                Event::Answer { .. } | Event::Replicate { .. } => {}
                _ => {
                    next.insert(event.clone());
                }
            }
        }
        // A daemon serves one after another.
        let is_answer = |event: &&Event| matches!(event, Event::Answer { .. });
        let is_copy = |event: &&Event| matches!(event, Event::Replicate { .. });
        next.extend(self.agenda.iter().filter(is_answer).min().cloned());
        next.extend(self.agenda.iter().filter(is_copy).min().cloned());
        for dest in (0..ranks).filter(|&rank| is_alive(rank)) {
            next.extend(world.has_held_letter(dest).then_some(Event::Tell(dest)));
            let sources = (0..ranks).filter(|&source| world.next_held(source, dest).is_some());
            next.extend(sources.map(|source| Event::Arrive(source, dest)));
        }
        next.into_iter().collect()
    }

    /// All that may make a difference to what comes: the world, what each process was told and did, output on its way, and
    /// where recovery stands.
    fn fingerprint(&self, next: &[Event]) -> u128 {
        let mut state = Fingerprint::default();
        self.world.borrow().fold(&mut state);
        for (rank, life) in (0u32..).zip(&self.ranks) {
            self.fold_process(rank, &mut state);
            state.word(u64::from(life.incarnation));
            state.word(life.read as u64);
            state.bytes(&life.released);
            state.join(life.node_answered);
            if !life.output.is_idle() || life.deaths > 0 {
                state.shown(&life.output);
            }
            for domain in 0..self.job.setting.domains.count() {
                state.word(life.replicated.position(domain));
            }
            state.word(life.write_out_asked.max(self.world.borrow().journals[rank as usize].stable.written));
        }
        state.shown(&self.coordinator);
        state.shown(&self.collecting);
        state.shown(&self.images);
        state.shown(&self.copies);
        // Whether a rank that found nothing to do is asked again makes no difference.
        let pending: Vec<_> = next.iter().filter(|event| !matches!(event, Event::Run(..))).collect();
        state.shown(&pending);
        let served = self
            .agenda
            .iter()
            .filter(|event| matches!(event, Event::Answer { .. } | Event::Replicate { .. }));
        state.shown(&served.collect::<BTreeSet<_>>());
        state.value()
    }
}
