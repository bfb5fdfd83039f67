//! The life of a rank: it begins, takes steps, comes to its end, dies.

use std::collections::{BTreeMap, BTreeSet};

use egida_core::api::Api;
use egida_core::binder::BindError;
use egida_core::checkpoint::CheckpointHead;
use egida_core::engine::{Engine, OnDivergence};
use egida_core::fault::Fault;
use egida_core::ids::{CheckpointNumber, Domain, EventIndex, Incarnation, Position, Rank};
use egida_core::output::{OutputGate, Replicated, Stream};
use egida_core::recovery::{Cause, Fate, RecoveryImage};
use egida_core::stack::Stack;
use egida_core::trace;

use super::{Grain, Simulation};
use crate::application::{Application, Step, mix};
use crate::driver::SimDriver;
use crate::job::{Control as Experiment, Ending};
use crate::observer::{Observed, Record};
use crate::oracle::Violation;
use crate::scheduler::{Event, Time};
use crate::world::World;

/// How long a rank takes between two steps at most, where it moves.
const PAUSE: Time = 20;

/// How long a rank that waits pauses before it looks again at most; it doubles with each time that it finds nothing.
const WAIT: Time = 100;

/// How often that doubles.
const MAX_DOUBLINGS: u32 = 2;

/// What makes a draw of haste of what the world outside would answer.
const HASTE: u64 = 2;

/// A rank, and what its node knows of it from one life to the next.
#[derive(Clone)]
pub(super) struct Life {
    /// The process, while it lives.
    pub engine: Option<Engine<SimDriver>>,
    pub application: Box<dyn Application>,
    /// What the observer saw of this life.
    pub record: Record,
    pub incarnation: Incarnation,
    /// The node's instance of the stack, which decides about output; made when there is any.
    pub node: Option<Stack>,
    pub output: OutputGate,
    /// How much of what the application wrote the node has read.
    pub read: usize,
    pub released: Vec<u8>,
    pub replicated: Replicated,
    /// What is on its way to the memory of other nodes.
    pub replicating: BTreeSet<(Domain, Position)>,
    /// Up to which position the journal will be written out without anybody's asking.
    pub write_out_due: Position,
    /// Up to which position of its journal somebody waits for the disk.
    pub write_out_asked: Position,
    /// Whether copies of its journal are on their way.
    pub copying: bool,
    /// Whether the application has come to its end.
    pub over: bool,
    pub deaths: u32,
    /// What the observer had seen when a checkpoint was taken.
    pub records: BTreeMap<CheckpointNumber, Record>,
    /// Below which checkpoint no recovery returns.
    pub committed: CheckpointNumber,
    /// Checkpoints taken in all lives, and how many of them were forced.
    pub checkpoints: u64,
    pub forced_checkpoints: u64,
    /// How many times in a row it found nothing to do.
    idle: u32,
    /// What it could see when it last found nothing to do, while the world is explored.
    pub settled: Option<u128>,
}

impl Life {
    pub fn new(application: Box<dyn Application>) -> Self {
        Self {
            engine: None,
            application,
            record: Record::default(),
            incarnation: 0,
            node: None,
            output: OutputGate::new(Stream::Out),
            read: 0,
            released: Vec::new(),
            replicated: Replicated::default(),
            replicating: BTreeSet::new(),
            write_out_due: 0,
            write_out_asked: 0,
            copying: false,
            over: false,
            deaths: 0,
            records: BTreeMap::new(),
            committed: 0,
            checkpoints: 0,
            forced_checkpoints: 0,
            idle: 0,
            settled: None,
        }
    }

    /// Whether it waits for messages that are received in one step if they come before it makes progress.
    pub fn defers(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.defers())
    }

    /// Whether it may take a step without making progress: its program goes on, and its protocol has no part in what it misses.
    pub fn may_be_hasty(&self) -> bool {
        !self.over && self.engine.as_ref().is_some_and(|engine| engine.stack().delivers_silently())
    }

    /// Whether it takes the next step in haste, by a draw. One that waits for what it would receive in one step often stays at
    /// that until it comes.
    pub fn hurries(&self, draw: u64) -> bool {
        if self.defers() { !draw.is_multiple_of(16) } else { draw.is_multiple_of(4) }
    }

    /// Makes progress, unless it is to be `hasty`, and takes a step. Whether anything moved is told with it.
    pub fn step(&mut self, live: u64, hasty: bool) -> Result<(bool, Step), Fault> {
        let Some(engine) = &mut self.engine else { return Ok((false, Step::Waiting)) };
        if hasty {
            let step = self.application.step(&mut Observed::new(engine, &mut self.record), live)?;
            return Ok((step == Step::Moved, step));
        }
        let moved = engine.progress()?;
        if engine.checkpoint_due() {
            let before = engine.counts();
            // Before it is taken: it may become durable though the rank dies over it.
            let number = before.checkpoints + 1;
            self.output.checkpointed(number);
            self.records.insert(number, self.record.clone());
            self.record.checkpointed(number);
            engine.checkpoint(self.application.snapshot())?;
            self.checkpoints += 1;
            self.forced_checkpoints += engine.counts().forced_checkpoints - before.forced_checkpoints;
        }
        if engine.is_held() {
            return Ok((moved, Step::Waiting));
        }
        // A rank at its end may still learn that it is an orphan.
        if self.over {
            return Ok((moved, Step::Over));
        }
        let step = self.application.step(&mut Observed::new(engine, &mut self.record), live)?;
        Ok((moved || step == Step::Moved, step))
    }

    /// How long it pauses at most after a step.
    fn pause(&mut self, moved: bool) -> Time {
        if moved {
            self.idle = 0;
            return PAUSE;
        }
        self.idle = (self.idle + 1).min(MAX_DOUBLINGS + 1);
        WAIT << (self.idle - 1)
    }
}

impl Simulation<'_> {
    pub(super) fn begin(&mut self, rank: Rank, mut image: RecoveryImage) -> Result<(), Vec<BindError>> {
        let incarnation = image.incarnation;
        if self.manner.grain == Grain::Wait {
            self.world.borrow_mut().deliver_what_is_old(rank);
        }
        let number = image.checkpoint_number;
        let own = self.job.setting.domains.of(rank);
        match self.world.borrow_mut().checkpoints.return_to(rank, own, number) {
            Ok(checkpoint) => image.checkpoint = checkpoint.map(Box::new),
            Err(error) => {
                self.end = Some(Ending::Failed(rank, Fault::Checkpoint(error.to_string())));
                return Ok(());
            }
        }
        if let World { exposure: Some(exposure), checkpoints, .. } = &mut *self.world.borrow_mut() {
            let own = image.determinants.iter().filter(|held| held.determinant.owner == rank).count();
            let covered = image.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.head.events);
            let past = checkpoints.get(rank, number).and_then(|stored| stored.past.as_deref());
            exposure.began(rank, covered + own as EventIndex, past);
        }
        if let Some(replay) = &mut self.replay {
            replay.begins(rank, number);
        }
        let fresh = self.incarnations.as_mut().map_or(Ok(()), |seen| seen.begins(rank, incarnation));
        self.observed(fresh);
        let crashes = self.job.schedule.crashes(rank, incarnation).collect();
        let now = self.world.borrow().now;
        self.world.borrow_mut().born[rank as usize] = now;
        let mut driver = SimDriver::new(rank, incarnation, self.world.clone(), crashes);
        driver.puts_back(image.checkpoint.is_some());
        let stack = match self.first_stack.take_if(|_| rank == 0) {
            Some(stack) => stack,
            None => self.judged.bind(rank)?.stack,
        };
        let domains = self.job.setting.domains.clone();
        let ranks = domains.ranks();
        let life = &mut self.ranks[rank as usize];
        life.application = self.job.model.start(rank, ranks);
        let _ = life.records.split_off(&(number + 1));
        life.record = life.records.get(&number).cloned().unwrap_or_default();
        life.incarnation = incarnation;
        life.read = 0;
        life.idle = 0;
        life.settled = None;
        if self.checkpoint_every.is_some() && incarnation > 1 {
            life.output.writer_returns(number);
        }
        self.record_at(rank, || trace::Event::Begin);
        let engine = Engine::new(rank, domains, driver, stack, Some(image), OnDivergence::Stop);
        match engine {
            Ok(mut engine) => {
                engine.driver().puts_back(false);
                let life = &mut self.ranks[rank as usize];
                if let Some(snapshot) = engine.take_application() {
                    if let Err(fault) = life.application.restore(&snapshot) {
                        self.end = Some(Ending::Failed(rank, fault));
                        return Ok(());
                    }
                    life.read = life.application.written().len();
                }
                life.engine = Some(engine);
                self.set_checkpoint_timer(rank, incarnation);
                self.down -= 1;
                if incarnation > 1 {
                    let domain = self.job.setting.domains.of(rank);
                    self.after_message(domain, self.job.faults.control_delay, Event::Live(rank, incarnation));
                }
                // Output that wanted this node's memory, and found it down, asks again.
                for waiting in 0..ranks {
                    self.release(waiting);
                    self.copy_soon(waiting);
                }
                self.after(PAUSE, Event::Run(rank, incarnation));
            }
            Err(Fault::Crashed) => {
                // It was there for a moment.
                self.down -= 1;
                self.died(rank, Cause::Signal(9));
            }
            Err(fault) => self.end = Some(Ending::Failed(rank, fault)),
        }
        Ok(())
    }

    pub(super) fn step(&mut self, rank: Rank, incarnation: Incarnation) {
        let live = match self.world.borrow().explored {
            Some(_) => u64::from(incarnation),
            None => self.chooser.input(),
        };
        self.world.borrow_mut().network.draw = mix(live, 1);
        if !self.is_current(rank, incarnation) {
            return self.stagger(rank, incarnation, live);
        }
        let is_explored = self.world.borrow().explored.is_some();
        let life = &mut self.ranks[rank as usize];
        let hasty = !is_explored && life.may_be_hasty() && life.hurries(mix(live, HASTE));
        let stepped = life.step(live, hasty);
        self.stepped(rank, stepped);
    }

    /// What a step leads to.
    pub(super) fn stepped(&mut self, rank: Rank, stepped: Result<(bool, Step), Fault>) {
        let incarnation = self.ranks[rank as usize].incarnation;
        let calls = self.ranks[rank as usize].record.take_calls();
        let right = self.replay.as_mut().map_or(Ok(()), |replay| replay.calls(rank, &calls));
        self.observed(right);
        let waited = self.world.borrow_mut().waited.take();
        if let Some(rank) = waited.filter(|_| self.never_waits) {
            self.observed(Err(Violation::Waited { rank }));
        }
        match stepped {
            Ok((moved, step)) => {
                let pause = self.ranks[rank as usize].pause(moved);
                let head = self.world.borrow().journals[rank as usize].head();
                self.wrote(rank, head);
                self.write_out_soon(rank, head);
                self.copy_soon(rank);
                self.take_up();
                self.look_for_exposed(rank);
                if step == Step::Over {
                    self.over(rank);
                } else {
                    self.after(pause, Event::Run(rank, incarnation));
                }
            }
            Err(Fault::Crashed) => self.died(rank, Cause::Signal(9)),
            Err(Fault::Orphan(_)) => self.died(rank, Cause::RolledBack),
            Err(fault) => self.end = Some(Ending::Failed(rank, fault)),
        }
    }

    fn over(&mut self, rank: Rank) {
        let life = &mut self.ranks[rank as usize];
        if let Some(engine) = &mut life.engine {
            engine.finished();
        }
        let incarnation = life.incarnation;
        if !life.over {
            life.over = true;
            self.over += 1;
            self.record_at(rank, || trace::Event::Finish);
        }
        let told = self.world.borrow().inbox[rank as usize].back().map(|letter| letter.at);
        // Where checkpoints are taken it takes part in them until everyone is at an end.
        let now = self.world.borrow().now;
        let looks = self.checkpoint_every.map(|every| now + self.chooser.delay(WAIT.max(every / 8)));
        if let Some(at) = told.into_iter().chain(looks).min() {
            self.agenda.put(at, Event::Run(rank, incarnation));
        }
        for waiting in 0..self.job.setting.domains.ranks() {
            self.release(waiting);
        }
        self.end_if_done();
    }

    /// The states that living ranks are in, as places where recovery may leave them. One that has still to begin is where it
    /// begins.
    pub(super) fn states(&self) -> Vec<CheckpointHead> {
        let world = self.world.borrow();
        let state = |(rank, life): (Rank, &Life)| match (&life.engine, self.images.get(&rank)) {
            (Some(engine), _) => Some(engine.state()),
            (None, Some(image)) if image.checkpoint_number > 0 => {
                Some(world.checkpoints.get(rank, image.checkpoint_number)?.head.clone())
            }
            (None, Some(_)) => Some(CheckpointHead::beginning(rank, world.domains.ranks())),
            (None, None) => None,
        };
        (0..).zip(&self.ranks).filter_map(state).collect()
    }

    /// A process ends before its end.
    pub(super) fn died(&mut self, rank: Rank, cause: Cause) {
        let engine = self.ranks[rank as usize].engine.take();
        let at = engine.map_or_else(Default::default, |engine| engine.driver_ref().progress());
        self.gone(rank);
        // Who is ended because it depends on what is lost rolls back, whoever found that out.
        let is_orphan = cause == Cause::Fenced && self.coordinator.fate(rank) == Some(Fate::RollsBack);
        let told = trace::Ended::from(if is_orphan { &Cause::RolledBack } else { &cause });
        self.record_at(rank, || trace::Event::Crash { cause: told });
        self.report(rank, cause, at);
    }

    /// What becomes of a rank's state at its node when its process is gone, or taken to be.
    pub(super) fn gone(&mut self, rank: Rank) {
        if let Some(replay) = &mut self.replay {
            replay.ends(rank);
        }
        let life = &mut self.ranks[rank as usize];
        life.deaths += 1;
        match self.checkpoint_every {
            Some(_) => life.output.suspend(),
            None => life.output.writer_died(),
        }
        if self.job.control == Some(Experiment::LedgerDies) {
            life.output = OutputGate::new(Stream::Out);
        }
        self.over -= u32::from(life.over);
        life.over = false;
        self.down += 1;
        // One that dies before it began does not begin any more.
        self.images.remove(&rank);
    }

    /// The next incarnation of a rank begins, unless it died before that.
    pub(super) fn start(&mut self, rank: Rank, incarnation: Incarnation) {
        if self.images.get(&rank).is_none_or(|image| image.incarnation != incarnation) {
            return;
        }
        // It was bound before, under the same setting.
        if self.images.remove(&rank).is_some_and(|image| self.begin(rank, image).is_err()) {
            self.end = Some(Ending::Stuck);
        }
    }
}
