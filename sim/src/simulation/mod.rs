//! Runs a job: ranks, failures and recovery in virtual time.
//!
//! ```text
//!   mod.rs       one event after another, until the job ends
//!   rank.rs      the life of a rank: begins, takes steps, comes to its end, dies
//!   output.rs    what a rank writes, until the world may see it
//!   recovery.rs  what the coordinator orders
//! ```

mod output;
mod rank;
mod recovery;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use egida_core::binder::{BindError, bind};
use egida_core::ids::Rank;
use egida_core::module::{CollectDeterminants, FailureDetector};
use egida_core::recovery::{Coordinator, Input, RecoveryImage};
use egida_core::registry::Registry;

use crate::job::{Ending, Job, Outcome};
use crate::oracle::exposed;
use crate::scheduler::{Agenda, Chooser, Event, Seeded, Time};
use crate::world::World;
use rank::Life;
use recovery::Collecting;

/// The observer reads all journals at every so manieth step of a rank: what is exposed stays so for a while.
const LOOK_EVERY: u64 = 4;

/// How long it takes to write an entry out, at most.
const WRITE_OUT: Time = 200;

/// No simulated job takes more events than this; one that does never ends.
const MAX_EVENTS: u64 = 200_000;

struct Simulation<'a> {
    job: &'a Job<'a>,
    registry: &'a Registry,
    chooser: &'a mut dyn Chooser,
    world: Rc<RefCell<World>>,
    agenda: Agenda,
    ranks: Vec<Life>,
    coordinator: Coordinator,
    collector: Option<Box<dyn CollectDeterminants>>,
    collecting: Option<Collecting>,
    images: BTreeMap<Rank, RecoveryImage>,
    copies_needed: u32,
    /// How long an entry may wait to be written out.
    write_out_after: Time,
    recovers: bool,
    /// Whether survivors may be orphans.
    detects: bool,
    looks: u64,
    trace: Vec<String>,
    end: Option<Ending>,
}

/// Simulates a job, with what its seed decides.
///
/// # Errors
/// Why the protocol could not be bound.
pub fn run(job: &Job<'_>, registry: &Registry) -> Result<Outcome, Vec<BindError>> {
    run_with(job, registry, &mut Seeded::new(job.seed))
}

/// Simulates a job, with what a chooser decides.
///
/// # Errors
/// Why the protocol could not be bound.
pub fn run_with(
    job: &Job<'_>,
    registry: &Registry,
    chooser: &mut dyn Chooser,
) -> Result<Outcome, Vec<BindError>> {
    let mut simulation = Simulation::new(job, registry, chooser)?;
    for rank in 0..job.setting.domains.ranks() {
        simulation.begin(rank, RecoveryImage { incarnation: 1, ..RecoveryImage::default() })?;
    }
    simulation.go();
    Ok(simulation.outcome())
}

impl<'a> Simulation<'a> {
    fn new(
        job: &'a Job<'a>,
        registry: &'a Registry,
        chooser: &'a mut dyn Chooser,
    ) -> Result<Self, Vec<BindError>> {
        let ranks = job.setting.domains.ranks();
        let mut lives = Vec::new();
        for rank in 0..ranks {
            let node = bind(job.protocol, registry, &job.setting, rank)?.stack;
            lives.push(Life::new(job.model.start(rank, ranks), node));
        }
        // The daemon's part, which is the same whatever rank it is bound for.
        let daemon = bind(job.protocol, registry, &job.setting, 0)?;
        let detects = daemon.detector.is_some();
        let every = daemon.stores.iter().map(|store| store.every).min().flatten();
        let write_out_after = every
            .map_or(WRITE_OUT, |every| Time::try_from(every.as_nanos()).unwrap_or(Time::MAX).max(WRITE_OUT));
        let coordinator =
            Coordinator::new(daemon.policy, job.setting.domains.clone()).detecting(daemon.detector);
        Ok(Self {
            job,
            registry,
            chooser,
            world: Rc::new(RefCell::new(World::new(job.setting.domains.clone()))),
            agenda: Agenda::default(),
            ranks: lives,
            coordinator,
            collector: daemon.collector,
            collecting: None,
            images: BTreeMap::new(),
            write_out_after,
            copies_needed: daemon.policy.tolerates.unwrap_or(0),
            recovers: daemon.policy.recovers,
            detects,
            looks: 0,
            trace: Vec::new(),
            end: None,
        })
    }

    fn go(&mut self) {
        let mut events = 0;
        while self.end.is_none() {
            events += 1;
            let next = if events > MAX_EVENTS { None } else { self.chooser.next(&mut self.agenda) };
            let Some(next) = next else {
                self.end = Some(Ending::Stuck);
                break;
            };
            let mut world = self.world.borrow_mut();
            world.now = world.now.max(next.at);
            drop(world);
            self.happen(next.event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Run(rank, incarnation) => self.step(rank, incarnation),
            Event::WriteOut(rank, position) => self.written_out(rank, position),
            Event::Durable(round) => {
                self.detected(Input::Durable { round });
            }
            Event::Quiesced(round) => {
                self.world.borrow_mut().epoch += 1;
                self.detected(Input::Quiesced { round });
            }
            Event::Answer { round, asker, holder } => self.answer(round, asker, holder),
            Event::Timer(round) => self.ask_again(round),
            Event::Start(rank, incarnation) => {
                let is_this = |image: &RecoveryImage| image.incarnation == incarnation;
                let image = if self.images.get(&rank).is_some_and(is_this) {
                    self.images.remove(&rank)
                } else {
                    None
                };
                // It was bound before, under the same setting.
                if image.is_some_and(|image| self.begin(rank, image).is_err()) {
                    self.end = Some(Ending::Stuck);
                }
            }
            Event::Replicate { rank, domain, position } => self.replicated(rank, domain, position),
        }
    }

    /// While nobody is down, whatever a state depends on could be found again if any one domain failed now.
    fn look_for_exposed(&mut self) {
        let is_protected = self.recovers && !self.detects && !self.job.discard_determinants;
        self.looks += 1;
        if self.looks.is_multiple_of(LOOK_EVERY)
            && is_protected
            && self.ranks.iter().all(|life| life.engine.is_some())
        {
            let exposed = exposed(&self.world.borrow(), self.job.setting.unit);
            self.end = self.end.take().or(exposed.map(Ending::Exposed));
        }
    }

    /// Puts an event that happens within a time.
    fn after(&mut self, longest: Time, event: Event) {
        let at = self.world.borrow().now + self.chooser.delay(longest);
        self.agenda.put(at, event);
    }

    fn tell(&mut self, what: String) {
        let now = self.world.borrow().now;
        self.trace.push(format!("{now:>9} {what}"));
    }

    fn outcome(self) -> Outcome {
        let lives = &self.ranks;
        Outcome {
            end: self.end.unwrap_or(Ending::Stuck),
            states: lives.iter().map(|life| life.application.state()).collect(),
            sent: lives.iter().map(|life| life.record.sent.clone()).collect(),
            received: lives.iter().map(|life| life.record.received.clone()).collect(),
            written: lives.iter().map(|life| life.application.written().to_vec()).collect(),
            released: lives.iter().map(|life| life.released.clone()).collect(),
            deaths: lives.iter().map(|life| life.deaths).collect(),
            trace: self.trace,
        }
    }
}
