//! What may happen next, where time does not order it, and what state that leads to.
//!
//! In an explored world messages, control messages and writes to disks wait until they are chosen. Some things happen at once
//! because their order makes no difference: incarnation numbers become durable (nothing but another death can tell whether
//! they are, and a death before that is the same as one right behind it), whoever coordinates hears of a new incarnation, a
//! node looks at the output that it holds. Nodes answer a collection one after another, in the order in which a daemon reads
//! them, and take in copies of determinants one after another. Timers for checkpoints are turns, too: any that is left, or, where
//! nothing else can happen, the next.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use egida_core::api::Api;
use egida_core::binder::BindError;
use egida_core::control::Control;
use egida_core::ids::Rank;
use egida_core::recovery::RecoveryImage;

use super::Simulation;
use crate::fingerprint::Fingerprint;
use crate::job::Ending;
use crate::scheduler::{Event, Unhurried};
use crate::world::{Explored, Letter, World};

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
    /// Which writes of checkpoints go to their ends though who asked for them dies: bit w for write w.
    pub finished: u64,
    /// Whether the checkpoint that would come to stable storage cannot be written.
    pub fails: bool,
}

impl From<Event> for Turn {
    fn from(event: Event) -> Self {
        Self { event, crash_at: None, kept: 0, finished: 0, fails: false }
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

/// How a job is explored.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// How much a rank does in one turn.
    pub grain: Grain,
    /// How often the timer for checkpoints of each rank may go off at any moment.
    pub checkpoints: u32,
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
    /// How many writes of checkpoints there were whose ranks died in the turn.
    pub unfinished: u32,
}

impl Simulation<'_> {
    /// Begins all ranks, in a world that is explored.
    ///
    /// Where a rank cannot die so often that its program would be held to be at fault, it makes no difference how far it had
    /// come when it died: nobody is told (`counts_deaths`).
    pub fn begin_explored(&mut self, manner: Manner, counts_deaths: bool) -> Result<(), Vec<BindError>> {
        self.manner = manner;
        self.counts_deaths = counts_deaths;
        self.world.borrow_mut().explored = Some(Explored::default());
        let ranks = self.job.setting.domains.ranks();
        self.timers_left = vec![manner.checkpoints; ranks as usize];
        self.timers_late = vec![0; ranks as usize];
        for rank in 0..ranks {
            self.begin(rank, RecoveryImage { incarnation: 1, ..RecoveryImage::default() })?;
        }
        self.settle();
        Ok(())
    }

    /// The same with a world of its own. Nobody listens to it, and nothing is left to chance in it.
    pub fn fork(&self) -> Self {
        let world = Rc::new(RefCell::new(self.world.borrow().clone()));
        let mut ranks = self.ranks.clone();
        let mut zombies = self.zombies.clone();
        let lives = ranks.iter_mut().filter_map(|life| life.engine.as_mut());
        for engine in lives.chain(zombies.iter_mut().map(|zombie| &mut zombie.engine)) {
            engine.driver().move_to(world.clone());
        }
        Self {
            job: self.job,
            judged: self.judged,
            chooser: Box::new(Unhurried),
            world,
            agenda: self.agenda.clone(),
            ranks,
            over: self.over,
            down: self.down,
            zombies,
            unreported: self.unreported.clone(),
            coordinator: self.coordinator.clone(),
            collector: self.collector.clone(),
            collecting: self.collecting.clone(),
            images: self.images.clone(),
            replay: self.replay.clone(),
            incarnations: self.incarnations.clone(),
            never_waits: self.never_waits,
            moments: self.moments.clone(),
            round: self.round,
            phases: self.phases.clone(),
            copies: self.copies.clone(),
            write_out_after: self.write_out_after,
            checkpoint_every: self.checkpoint_every,
            recovers_by_line: self.recovers_by_line,
            watch: self.watch.clone(),
            detects: self.detects,
            events: self.events,
            news: self.news.clone(),
            sink: None,
            manner: self.manner,
            counts_deaths: self.counts_deaths,
            timers_left: self.timers_left.clone(),
            timers_late: self.timers_late.clone(),
            first_stack: self.first_stack.clone(),
            end: self.end.clone(),
        }
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
                explored.unfinished = 0;
                explored.finished = turn.finished;
                explored.fails = turn.fails;
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
            Event::Run(rank, _) => self.go_on(rank, false),
            Event::CheckpointTimer(rank, _) => {
                if self.timer_goes_off(rank) {
                    self.timers_left[rank as usize] -= 1;
                }
            }
            _ => {
                if let (Event::Start(..), Some(explored)) =
                    (&turn.event, &mut self.world.borrow_mut().explored)
                {
                    // No death before the turn is like one at the very beginning of a life.
                    explored.before = u64::MAX;
                }
                self.agenda.retain(|event| *event != turn.event);
                self.happen(turn.event.clone());
                if let (Event::Start(rank, _), Grain::Wait) = (&turn.event, self.manner.grain) {
                    self.go_on(*rank, true);
                }
            }
        }
        self.judge_line();
        self.settle();
    }

    /// The time between two checkpoints of a rank has gone by. Returns whether that made a difference.
    fn timer_goes_off(&mut self, rank: Rank) -> bool {
        let Some(engine) = &mut self.ranks[rank as usize].engine else { return false };
        match engine.on_checkpoint_timer() {
            Ok(false) => return false,
            Ok(true) => {}
            Err(fault) => self.stepped(rank, Err(fault)),
        }
        self.go_on(rank, true);
        true
    }

    /// Nothing else can happen, and time goes by: of the ranks whose timer makes a difference it goes off for the one that this
    /// happened to least often.
    pub(super) fn next_timer(&mut self) {
        let mut ranks: Vec<Rank> = (0..self.job.setting.domains.ranks()).collect();
        ranks.sort_by_key(|&rank| self.timers_late[rank as usize]);
        if let Some(rank) = ranks.into_iter().find(|&rank| self.timer_goes_off(rank)) {
            self.timers_late[rank as usize] += 1;
            let left = &mut self.timers_left[rank as usize];
            *left = left.saturating_sub(1);
        }
    }

    /// Whether time that goes by may make a difference.
    pub fn has_timers(&self) -> bool {
        self.checkpoint_every.is_some()
    }

    /// A turn in words, before it is taken.
    pub fn describe(&self, turn: &Turn) -> String {
        let world = self.world.borrow();
        let mut text = match turn.event {
            Event::Run(rank, _) if self.ranks[rank as usize].defers() => {
                format!("rank {rank} looks around")
            }
            Event::Run(rank, _) => format!("rank {rank} takes a step"),
            Event::Arrive(source, dest) => {
                let ssn = world.next_held(source, dest).unwrap_or_default();
                format!("message {ssn} of rank {source} arrives at rank {dest}")
            }
            Event::Tell(rank) => {
                let what = world.next_letter(rank).map_or_else(String::new, |letter| told(&letter.control));
                format!("rank {rank} is told {what}")
            }
            Event::CheckpointTimer(rank, _) => {
                format!("the time between two checkpoints of rank {rank} has gone by")
            }
            Event::NextTimer => {
                "nothing else can happen, and the time between two checkpoints goes by".to_owned()
            }
            Event::Save { rank, number, .. } if turn.fails => {
                format!("checkpoint {number} of rank {rank} cannot be written")
            }
            Event::Save { rank, number, .. } => {
                format!("checkpoint {number} of rank {rank} is on stable storage")
            }
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
        if turn.finished > 0 {
            let writes = turn.finished.count_ones();
            text.push_str(&format!("; {writes} of its checkpoints on their way come to stable storage"));
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
        self.begins_to_change();
        self.takes_in(dest);
    }

    /// The next control message to a rank arrives, and the rank takes it in.
    pub(super) fn hear(&mut self, rank: Rank) {
        self.world.borrow_mut().tell(rank);
        self.begins_to_change();
        self.takes_in(rank);
    }

    /// What changes in the turn from now on changes by what a rank does.
    fn begins_to_change(&mut self) {
        if let Some(explored) = &mut self.world.borrow_mut().explored {
            explored.before = explored.changes;
        }
    }

    fn takes_in(&mut self, rank: Rank) {
        match self.manner.grain {
            Grain::Wait => self.go_on(rank, true),
            Grain::Call => self.attentively(rank, |simulation| {
                let Some(engine) = &mut simulation.ranks[rank as usize].engine else { return };
                match engine.progress() {
                    Ok(_) => {
                        let head = simulation.world.borrow().journals[rank as usize].head();
                        simulation.write_out_soon(rank, head);
                        simulation.take_up();
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
    fn go_on(&mut self, rank: Rank, hurries: bool) {
        let incarnation = self.ranks[rank as usize].incarnation;
        match self.manner.grain {
            Grain::Wait => self.go_on_until_it_waits(rank, hurries),
            Grain::Call => self.attentively(rank, |simulation| simulation.step(rank, incarnation)),
        }
        self.agenda.retain(|event| *event != Event::Run(rank, incarnation));
        // Where checkpoints are taken a rank takes part in them when it is at its end, too.
        let goes_on = !self.ranks[rank as usize].over || self.has_timers();
        if self.is_current(rank, incarnation) && goes_on {
            self.agenda.put(0, Event::Run(rank, incarnation));
        }
    }

    /// A rank goes on until it waits. In a hurry it waits without making progress where it waits for messages that it takes in
    /// one step.
    fn go_on_until_it_waits(&mut self, rank: Rank, hurries: bool) {
        let mut hasty = hurries;
        let mut idle = 0;
        while idle < IDLE_STEPS && self.end.is_none() && self.ranks[rank as usize].engine.is_some() {
            let life = &mut self.ranks[rank as usize];
            hasty &= life.may_be_hasty();
            let before = life.application.state();
            let stepped = life.step(u64::from(life.incarnation), hasty);
            // Who polled in vain does not wait.
            let polled = life.application.state() != before;
            let moved = matches!(stepped, Ok((true, _)));
            let spins = hasty && life.defers();
            self.stepped(rank, stepped);
            if self.ranks[rank as usize].over && !self.has_timers() {
                break;
            }
            match (moved, polled) {
                (true, _) => (idle, hasty) = (0, true),
                (false, true) => (idle, hasty) = (0, false),
                (false, false) if spins => break,
                (false, false) => {
                    idle += u32::from(!hasty);
                    hasty = false;
                }
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
        life.settled = Some(inputs).filter(|_| before == after);
    }

    /// Everything that tells one state of a process from another: its engine, the application,
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
        into.shown(engine);
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
            self.take_up();
            let (round, images, ranks) = (self.round, &self.images, &self.ranks);
            let collecting = self.collecting.as_ref().map(|collecting| collecting.round);
            let world = self.world.borrow();
            let checkpoints = &world.checkpoints;
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
                Event::Save { rank, incarnation, number } => {
                    checkpoints.is_on_its_way(&world.domains, (rank, incarnation, number))
                }
                Event::Timer(_) => false,
                _ => true,
            });
            drop(world);
            let grain = self.manner.grain;
            let is_at_once = |event: &&Event| match event {
                Event::Durable(_) | Event::Live(..) | Event::Look(_) => true,
                Event::Answer { .. } => grain == Grain::Wait,
                _ => false,
            };
            let at_once = self.agenda.iter().filter(is_at_once).min().cloned();
            if self.end.is_some() {
                return;
            }
            if let Some(event) = at_once {
                self.agenda.retain(|other| *other != event);
                self.happen(event);
            } else if let Some(rank) = self.told_at_once() {
                self.world.borrow_mut().tell(rank);
                self.takes_in(rank);
            } else if let Some(looked) = self.looked_around() {
                *self = looked;
            } else {
                return;
            }
            self.judge_line();
        }
    }

    /// The state behind a step of a rank that waits, where the step concerns nobody else and the rank waits as before: nobody can
    /// tell whether the rank takes it now or later, and its death undoes it.
    fn looked_around(&self) -> Option<Self> {
        if self.manner.grain != Grain::Wait {
            return None;
        }
        let inputs = |rank: Rank| self.world.borrow().inputs(rank);
        let has_something = |rank: &Rank| {
            let life = &self.ranks[*rank as usize];
            life.engine.is_some() && life.settled.is_some_and(|settled| settled != inputs(*rank))
        };
        (0..self.job.setting.domains.ranks()).filter(has_something).find_map(|rank| {
            let mut looked = self.fork();
            looked.go_on(rank, true);
            let [before, after] = [self, &looked].map(|simulation| {
                let life = &simulation.ranks[rank as usize];
                (simulation.world.borrow().changes(), life.application.state(), life.engine.is_some())
            });
            (before == after && looked.end.is_none()).then_some(looked)
        })
    }

    /// Who is told at once what comes next to it from whoever coordinates, about checkpoints.
    fn told_at_once(&self) -> Option<Rank> {
        let world = self.world.borrow();
        let is_at_once =
            |letter: &Letter| letter.from.is_none() && !matches!(letter.control, Control::Token(_));
        let mut alive =
            (0..).zip(&self.ranks).filter(|(_, life)| life.engine.is_some()).map(|(rank, _)| rank);
        match self.manner.grain {
            Grain::Wait => alive.find(|&rank| world.next_letter(rank).is_some_and(is_at_once)),
            Grain::Call => None,
        }
    }

    /// What the turns so far have led to.
    pub fn reached(&self) -> Reached {
        let world = self.world.borrow();
        let (mut crash_points, mut unsynced, mut unfinished) = (Vec::new(), 0, 0);
        if let Some(explored) = &world.explored {
            let mut last = explored.before;
            for (at, &changes) in (1..).zip(&explored.points) {
                if changes != last && changes != explored.changes {
                    crash_points.push(at);
                }
                last = changes;
            }
            unsynced = explored.unsynced.iter().copied().max().unwrap_or(0);
            unfinished = explored.unfinished;
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
            unfinished,
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
                Event::Run(rank, _) if self.is_settled(rank, &world) => {}
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
            next.extend(world.next_letter(dest).map(|_| Event::Tell(dest)));
            // At its end time goes by only if nothing else happens.
            let is_over = self.ranks[dest as usize].over;
            if self.has_timers() && !is_over && self.timers_left[dest as usize] > 0 {
                next.insert(Event::CheckpointTimer(dest, self.ranks[dest as usize].incarnation));
            }
            let sources = (0..ranks).filter(|&source| world.next_held(source, dest).is_some());
            next.extend(sources.map(|source| Event::Arrive(source, dest)));
        }
        next.into_iter().collect()
    }

    /// Whether a step would change nothing for a rank.
    fn is_settled(&self, rank: Rank, world: &World) -> bool {
        let life = &self.ranks[rank as usize];
        life.settled == Some(world.inputs(rank)) && !life.defers()
    }

    /// All that may make a difference to what comes: the world, what each process is, output on its way, and
    /// where recovery stands.
    fn fingerprint(&self, next: &[Event]) -> u128 {
        let mut state = Fingerprint::default();
        self.world.borrow().fold(&mut state);
        for (rank, life) in (0u32..).zip(&self.ranks) {
            self.fold_process(rank, &mut state);
            state.word(u64::from(life.incarnation));
            state.word(life.read as u64);
            state.bytes(&life.released);
            state.shown(&life.node);
            if !life.output.is_idle() || life.deaths > 0 || self.has_timers() {
                state.shown(&life.output);
            }
            state.word(life.committed);
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
        // Who was late more often than others decides who is next.
        let least = self.timers_late.iter().copied().min().unwrap_or(0);
        let late = self.timers_late.iter().map(|times| times - least);
        self.timers_left.iter().copied().chain(late).for_each(|times| state.word(u64::from(times)));
        let served = self
            .agenda
            .iter()
            .filter(|event| matches!(event, Event::Answer { .. } | Event::Replicate { .. }));
        state.shown(&served.collect::<BTreeSet<_>>());
        state.value()
    }
}

/// What a control message tells its receiver, in words.
fn told(control: &Control) -> String {
    match control {
        Control::Token(token) => format!("what of rank {} is lost", token.rank),
        Control::Checkpoint { from, .. } => {
            format!("something by the checkpointing protocol of rank {from}")
        }
        Control::Saved { number, durable: true, .. } => format!("that its checkpoint {number} is durable"),
        Control::Saved { number, .. } => format!("that its checkpoint {number} could not be written"),
        Control::Committed { number } => format!("that it will never return behind its checkpoint {number}"),
        Control::Covered { rank, .. } => {
            format!("that rank {rank} will never return behind a checkpoint of it")
        }
        Control::Recovered { .. } => "that a recovery is over".to_owned(),
    }
}
