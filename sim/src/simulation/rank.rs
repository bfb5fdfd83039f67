//! The life of a rank: it begins, takes steps, comes to its end, dies.

use std::collections::BTreeSet;

use egida_core::api::Api;
use egida_core::binder::{BindError, bind};
use egida_core::clock::VectorClock;
use egida_core::engine::{Engine, OnDivergence};
use egida_core::fault::Fault;
use egida_core::ids::{Domain, Incarnation, Position, Rank};
use egida_core::module::FailureDetector;
use egida_core::output::{OutputGate, Replicated, Stream};
use egida_core::recovery::{Cause, Input, RecoveryImage};
use egida_core::stack::Stack;

use super::Simulation;
use crate::application::{Application, Step};
use crate::driver::{Crash, SimDriver};
use crate::job::Ending;
use crate::observer::{Observed, Record};
use crate::scheduler::{Event, Time};

/// What the network adds to a message at most.
const NETWORK_DELAY: Time = 59;

/// A rank, and what its node knows of it from one life to the next.
pub(super) struct Life {
    /// The process, while it lives.
    pub engine: Option<Engine<SimDriver>>,
    pub application: Box<dyn Application>,
    /// What the observer saw of this life.
    pub record: Record,
    pub incarnation: Incarnation,
    /// The node's instance of the stack, which decides about output.
    pub node: Stack,
    pub output: OutputGate,
    /// How much of what the application wrote the node has read.
    pub read: usize,
    pub released: Vec<u8>,
    pub replicated: Replicated,
    /// What is on its way to the memory of other nodes.
    pub replicating: BTreeSet<(Domain, Position)>,
    /// Up to which position of its journal somebody waits for the disk.
    pub write_out_asked: Position,
    /// Whether the application has come to its end.
    pub over: bool,
    pub deaths: u32,
}

impl Life {
    pub fn new(application: Box<dyn Application>, node: Stack) -> Self {
        Self {
            engine: None,
            application,
            record: Record::default(),
            incarnation: 0,
            node,
            output: OutputGate::new(Stream::Out),
            read: 0,
            released: Vec::new(),
            replicated: Replicated::default(),
            replicating: BTreeSet::new(),
            write_out_asked: 0,
            over: false,
            deaths: 0,
        }
    }

    /// Makes progress and takes a step. Whether anything moved is told with it.
    fn step(&mut self, live: u64) -> Result<(bool, Step), Fault> {
        let Some(engine) = &mut self.engine else { return Ok((false, Step::Waiting)) };
        let moved = engine.progress()?;
        // A rank at its end may still learn that it is an orphan.
        if self.over {
            return Ok((moved, Step::Over));
        }
        let step = self.application.step(&mut Observed::new(engine, &mut self.record), live)?;
        Ok((moved || step == Step::Moved, step))
    }
}

impl Simulation<'_> {
    pub(super) fn begin(&mut self, rank: Rank, image: RecoveryImage) -> Result<(), Vec<BindError>> {
        let incarnation = image.incarnation;
        let crashes: Vec<Crash> = self
            .job
            .crashes
            .iter()
            .filter(|crash| (crash.rank, crash.incarnation) == (rank, incarnation))
            .copied()
            .collect();
        let own = image.determinants.iter().filter(|held| held.determinant.owner == rank).count() as u64;
        let mut past = VectorClock::new(self.job.setting.domains.ranks());
        past.advance(rank, own);
        self.world.borrow_mut().depends[rank as usize] = past;
        let driver = SimDriver::new(rank, self.world.clone(), crashes);
        let bound = bind(self.job.protocol, self.registry, &self.job.setting, rank)?;
        let ranks = self.job.setting.domains.ranks();
        let life = &mut self.ranks[rank as usize];
        life.application = self.job.model.start(rank, ranks);
        life.record = Record::default();
        life.incarnation = incarnation;
        life.over = false;
        life.read = 0;
        let domains = self.job.setting.domains.clone();
        let engine = Engine::new(rank, domains, driver, bound.stack, Some(image), OnDivergence::Stop);
        self.tell(format!("rank {rank} begins as incarnation {incarnation}"));
        match engine {
            Ok(engine) => {
                self.ranks[rank as usize].engine = Some(engine);
                self.detected(Input::Live { rank });
                // Output that wanted this node's memory, and found it down, asks again.
                for waiting in 0..ranks {
                    self.release(waiting);
                }
                self.after(20, Event::Run(rank, incarnation));
            }
            Err(Fault::Crashed) => self.died(rank, Cause::Signal(9)),
            Err(fault) => self.end = Some(Ending::Failed(rank, fault)),
        }
        Ok(())
    }

    pub(super) fn step(&mut self, rank: Rank, incarnation: Incarnation) {
        let delay = self.chooser.delay(NETWORK_DELAY);
        let live = self.chooser.input();
        self.world.borrow_mut().delay = delay;
        let life = &mut self.ranks[rank as usize];
        if life.incarnation != incarnation || life.engine.is_none() {
            return;
        }
        let stepped = life.step(live);
        let head = self.world.borrow().journals[rank as usize].head();
        match stepped {
            Ok((moved, step)) => {
                self.wrote(rank, head);
                self.write_out_soon(rank, head);
                self.look_for_exposed();
                if step == Step::Over {
                    self.over(rank);
                } else {
                    let pause = if moved { 20 } else { 100 };
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
        if !life.over {
            life.over = true;
            self.tell(format!("rank {rank} comes to its end"));
        }
        let incarnation = self.ranks[rank as usize].incarnation;
        let told = self.world.borrow().inbox[rank as usize].back().map(|&(at, _)| at);
        if let Some(at) = told {
            self.agenda.put(at, Event::Run(rank, incarnation));
        }
        for waiting in 0..self.job.setting.domains.ranks() {
            self.release(waiting);
        }
    }

    pub(super) fn died(&mut self, rank: Rank, cause: Cause) {
        let life = &mut self.ranks[rank as usize];
        let at = life.engine.take().map_or_else(Default::default, |mut engine| engine.driver().progress());
        life.deaths += 1;
        life.over = false;
        life.output.writer_died();
        // One that dies before it began does not begin any more.
        self.images.remove(&rank);
        self.tell(format!("rank {rank} dies: {cause:?}"));
        self.detected(Input::Died { rank, cause, at });
    }
}
