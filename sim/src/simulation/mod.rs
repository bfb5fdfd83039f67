//! Runs a job: ranks, failures and recovery in virtual time.
//!
//! ```text
//!   mod.rs       one event after another, until the job ends
//!   rank.rs      the life of a rank: begins, takes steps, comes to its end, dies
//!   output.rs    what a rank writes, until the world may see it
//!   recovery.rs  what the coordinator orders
//!   checkpoints.rs  how checkpoints come to the disk, and what is collected then
//!   lines.rs     what the observer judges of checkpoints
//!   explored.rs  what may happen next, where time does not order it, and what state that leads to
//!   mishap.rs    what the schedule lets go wrong; those that were given up and live on
//! ```

mod checkpoints;
mod explored;
mod lines;
mod mishap;
mod output;
mod rank;
mod recovery;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use egida_core::binder::{BindError, Judged};
use egida_core::ids::{Domain, Incarnation, Rank};
use egida_core::module::{CollectDeterminants, FailureDetector};
use egida_core::recovery::{Coordinator, Input, RecoveryImage};
use egida_core::registry::Registry;
use egida_core::stack::Stack;
use egida_core::trace::{self, Line};
use egida_spec::protocol::Class;

use crate::copies::Copies;
use crate::job::{Control, Ending, Job, Outcome};
use crate::oracle::{Exposure, History, Incarnations, Recoverable, Replay, Violation, gap};
use crate::schedule::{Mishap, Moment, Phase};
use crate::scheduler::{Agenda, Chooser, Event, Seeded, Time};
use crate::world::World;
pub use explored::Grain;
pub(crate) use explored::{Manner, Reached, Turn};
use lines::Watch;
use mishap::{AfterEvent, Unreported, Zombie};
use rank::Life;
use recovery::Collecting;

/// A job that runs.
pub(crate) struct Simulation<'a> {
    job: &'a Job<'a>,
    judged: &'a Judged<'a>,
    chooser: Box<dyn Chooser + 'a>,
    world: Rc<RefCell<World>>,
    agenda: Agenda,
    ranks: Vec<Life>,
    /// How many ranks have come to their ends.
    over: u32,
    /// How many ranks have no process.
    down: u32,
    zombies: Vec<Zombie>,
    unreported: BTreeMap<Rank, Unreported>,
    coordinator: Coordinator,
    collector: Option<Box<dyn CollectDeterminants>>,
    collecting: Option<Collecting>,
    images: BTreeMap<Rank, RecoveryImage>,
    /// The observers that watch lives, where somebody wants them to.
    replay: Option<Replay>,
    incarnations: Option<Incarnations>,
    /// Whether no message ever waits for a log.
    never_waits: bool,
    /// What goes wrong right after events of the trace.
    moments: Vec<AfterEvent>,
    /// The last round of recovery.
    round: u64,
    /// How often recoveries came to each phase.
    phases: BTreeMap<Phase, u32>,
    copies: Copies,
    /// How long an entry may wait to be written out.
    write_out_after: Time,
    /// The time between two checkpoints, where any are taken.
    checkpoint_every: Option<Time>,
    /// Whether recovery returns ranks to a line of checkpoints, survivors among them.
    recovers_by_line: bool,
    watch: Watch,
    /// Whether survivors may be orphans.
    detects: bool,
    events: u64,
    /// What people read of the trace.
    news: Vec<String>,
    /// Who wants the whole trace.
    sink: Option<&'a mut dyn FnMut(&Line)>,
    /// How it is explored, where time does not order what happens.
    manner: Manner,
    /// Whether it is reported how far a rank had come when it died.
    counts_deaths: bool,
    /// How often each rank's timer for checkpoints may still go off while something else can happen.
    timers_left: Vec<u32>,
    /// How often each did so when nothing else could.
    timers_late: Vec<u32>,
    /// The stack of rank 0 that was bound together with the daemon's part.
    first_stack: Option<Stack>,
    end: Option<Ending>,
}

/// Simulates a job, with what its seed decides.
///
/// # Errors
/// Why the protocol could not be bound.
pub fn run(job: &Job<'_>, registry: &Registry) -> Result<Outcome, Vec<BindError>> {
    run_with(job, registry, &mut Seeded::new(job.seed))
}

/// Simulates a job under its protocol as judged, for its setting, before: with what its seed decides.
///
/// # Errors
/// Why the protocol could not be bound.
pub fn run_judged(job: &Job<'_>, judged: &Judged<'_>) -> Result<Outcome, Vec<BindError>> {
    Simulation::new(job, judged, Box::new(Seeded::new(job.seed)))?.run()
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
    let judged = Judged::new(job.protocol, registry, &job.setting);
    Simulation::new(job, &judged, Box::new(chooser))?.run()
}

/// Simulates a job, with what its seed decides, and hands over each line of its trace as it happens.
///
/// # Errors
/// Why the protocol could not be bound.
pub fn run_traced(
    job: &Job<'_>,
    registry: &Registry,
    sink: &mut dyn FnMut(&Line),
) -> Result<Outcome, Vec<BindError>> {
    let judged = Judged::new(job.protocol, registry, &job.setting);
    let mut simulation = Simulation::new(job, &judged, Box::new(Seeded::new(job.seed)))?;
    simulation.world.borrow_mut().lines = Some(Vec::new());
    simulation.sink = Some(sink);
    simulation.run()
}

impl<'a> Simulation<'a> {
    pub(crate) fn new(
        job: &'a Job<'a>,
        judged: &'a Judged<'a>,
        chooser: Box<dyn Chooser + 'a>,
    ) -> Result<Self, Vec<BindError>> {
        let domains = &job.setting.domains;
        let ranks = domains.ranks();
        let mut lives = Vec::new();
        for rank in 0..ranks {
            lives.push(Life::new(job.model.start(rank, ranks)));
        }
        // The daemon's part is the same whatever rank it is bound for.
        let daemon = judged.bind(0)?;
        let detects = daemon.detector.is_some();
        // Whether nobody may ever depend on what as many failures as may be lose.
        let recovers_by_line = daemon.stack.recovers_by_line();
        let protects = daemon.policy.recovers
            && !detects
            && !recovers_by_line
            && job.control != Some(Control::DiscardDeterminants);
        let disks = daemon.stores.iter().filter(|store| store.replicas.is_none());
        let every = disks.map(|store| store.every).min().flatten();
        let write_out_after = every
            .map_or(0, |every| Time::try_from(every.as_nanos()).unwrap_or(Time::MAX))
            .max(job.faults.disk_delay);
        let checkpoint_every = daemon.checkpoint.as_ref().map(|checkpoint| {
            let specified = Time::try_from(checkpoint.every.as_nanos()).unwrap_or(Time::MAX / 4);
            job.checkpoint_every.unwrap_or(specified)
        });
        let coordinator = Coordinator::new(daemon.policy, domains.clone())
            .detecting(daemon.detector)
            .checkpointing(daemon.lines);
        let class = daemon.classification.class;
        let waits = daemon.stores.iter().any(|store| store.synchronous);
        let recovers = daemon.policy.recovers;
        let mut world = World::new(domains.clone(), &daemon.stores, daemon.checkpoint.as_ref());
        world.network.longest = job.faults.network_delay;
        world.control = job.control;
        // Where nothing is said, all may fail at once.
        let failures = daemon.policy.tolerates.unwrap_or(u32::MAX);
        world.exposure =
            (job.observed && protects).then(|| Exposure::new(domains.clone(), job.setting.unit, failures));
        world.history = (job.observed && recovers_by_line).then(|| History::new(ranks));
        let moments = AfterEvent::of(&job.schedule);
        if !moments.is_empty() {
            world.lines = Some(Vec::new());
        }
        world.recoverable = (job.observed && detects).then(|| Recoverable::new(ranks));
        let mut agenda = Agenda::default();
        for (number, mishap) in job.schedule.0.iter().enumerate() {
            match mishap {
                Mishap::Kill { at: Moment::Time(at), .. } | Mishap::Suspect { at, .. } => {
                    agenda.put(*at, Event::Mishap(number));
                }
                Mishap::Cut { from, until, .. } => {
                    agenda.put(*from, Event::Mishap(number));
                    agenda.put(*until, Event::Heal);
                }
                Mishap::Full { rank, capacity_bytes } => {
                    if let Some(disk) = world.disks.get_mut(*rank as usize) {
                        disk.limit(*capacity_bytes);
                    }
                }
                Mishap::Late { source, dest, ssn, by } => {
                    world.network.late.push((*source, *dest, *ssn, *by));
                }
                Mishap::Crash(_)
                | Mishap::Kill { at: Moment::Recovery(..) | Moment::After(..), .. }
                | Mishap::LateNews { .. } => {}
            }
        }
        Ok(Self {
            job,
            judged,
            chooser,
            world: Rc::new(RefCell::new(world)),
            agenda,
            ranks: lives,
            over: 0,
            down: ranks,
            zombies: Vec::new(),
            unreported: BTreeMap::new(),
            coordinator,
            collector: daemon.collector,
            collecting: None,
            images: BTreeMap::new(),
            replay: job.observed.then(|| Replay::new(ranks, detects)).filter(|_| recovers),
            incarnations: job.observed.then(|| Incarnations::new(ranks, detects)),
            // Unless it has something logged synchronously besides.
            never_waits: job.observed && matches!(class, Class::Causal | Class::Optimistic) && !waits,
            moments,
            round: 0,
            phases: BTreeMap::new(),
            copies: Copies::new(&daemon.stores, domains),
            write_out_after,
            checkpoint_every,
            recovers_by_line,
            watch: Watch::default(),
            detects,
            events: 0,
            news: Vec::new(),
            sink: None,
            manner: Manner::default(),
            counts_deaths: true,
            timers_left: Vec::new(),
            timers_late: Vec::new(),
            first_stack: Some(daemon.stack),
            end: None,
        })
    }

    fn run(mut self) -> Result<Outcome, Vec<BindError>> {
        for rank in 0..self.job.setting.domains.ranks() {
            self.begin(rank, RecoveryImage { incarnation: 1, ..RecoveryImage::default() })?;
        }
        self.go();
        Ok(self.outcome())
    }

    fn go(&mut self) {
        while self.end.is_none() {
            self.hand_over();
            self.events += 1;
            let next =
                if self.events > self.job.limit_events { None } else { self.chooser.next(&mut self.agenda) };
            let Some(next) = next else {
                self.end = Some(Ending::Stuck);
                break;
            };
            let mut world = self.world.borrow_mut();
            world.now = world.now.max(next.at);
            drop(world);
            self.happen(next.event);
            self.judge_line();
        }
        if self.end == Some(Ending::Done)
            && let Err(violation) = self.judge_the_end()
        {
            self.end = Some(Ending::Violated(violation));
        }
        let how = self.end.as_ref().unwrap_or(&Ending::Stuck).to_string();
        self.record(None, None, || trace::Event::End { how });
        self.hand_over();
    }

    /// Hands the lines of the trace to whoever wants them, and lets go wrong what is to right after them.
    fn hand_over(&mut self) {
        let lines = self.world.borrow_mut().lines.as_mut().map(std::mem::take);
        for line in lines.unwrap_or_default() {
            if let Some(sink) = &mut self.sink {
                sink(&line);
            }
            self.look_at(&line);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Run(rank, incarnation) => self.step(rank, incarnation),
            Event::WriteOut(rank, position) => self.written_out(rank, position),
            Event::Durable(round) => {
                if let Some(incarnations) = &mut self.incarnations {
                    incarnations.are_durable(round);
                }
                self.detected(Input::Durable { round });
            }
            Event::CheckpointTimer(rank, incarnation) => self.checkpoint_timer(rank, incarnation),
            Event::NextTimer => self.next_timer(),
            Event::Save { rank, incarnation, number } => self.saved(rank, incarnation, number),
            Event::Quiesced(round) => {
                self.settle_writes();
                self.world.borrow_mut().epoch += 1;
                self.detected(Input::Quiesced { round });
            }
            Event::Answer { round, asker, holder } => self.answer(round, asker, holder),
            Event::Timer(round) => self.ask_again(round),
            Event::Start(rank, incarnation) => self.start(rank, incarnation),
            Event::Report(rank, incarnation) => self.reported(rank, incarnation),
            Event::Live(rank, incarnation) => {
                let life = &self.ranks[rank as usize];
                if life.incarnation == incarnation && life.engine.is_some() {
                    self.detected(Input::Live { rank });
                    self.mirror_soon();
                }
            }
            Event::Mishap(number) => self.go_wrong(number),
            Event::Heal => {
                self.record(None, None, || trace::Event::Heal);
                self.world.borrow_mut().heal();
                // What reached the stores meanwhile becomes known now, and a rank at its end may see nothing else happen.
                for rank in 0..self.job.setting.domains.ranks() {
                    self.copy_soon(rank);
                    self.release(rank);
                }
                self.mirror_soon();
            }
            Event::Learn(rank, incarnation) => self.learn(rank, incarnation),
            Event::Arrive(source, dest) => self.arrive(source, dest),
            Event::Tell(rank) => self.hear(rank),
            Event::Kill(rank) => self.kill(rank),
            Event::Look(rank) => {
                self.copy_soon(rank);
                // Anybody's output may wait for a rank's log.
                for waiting in 0..self.job.setting.domains.ranks() {
                    self.release(waiting);
                }
            }
            Event::Replicate { rank, domain, position } => self.replicated(rank, domain, position),
            Event::Copy(rank) => self.copy(rank),
        }
    }

    /// While nobody is down, whatever a state depends on could be found again if as many domains failed now as may.
    fn look_for_exposed(&mut self, rank: Rank) {
        let world = self.world.borrow();
        let Some(exposed) = world.exposure.as_ref().and_then(|exposure| exposure.of(rank)) else { return };
        if self.down == 0 {
            self.end = self.end.take().or(Some(Ending::Exposed(exposed)));
        }
    }

    /// An observer has found something wrong, if it has: the job ends.
    fn observed(&mut self, found: Result<(), Violation>) {
        if let Err(violation) = found {
            self.end = self.end.take().or(Some(Ending::Violated(violation)));
        }
    }

    /// What can be judged of a job only when it is done.
    fn judge_the_end(&self) -> Result<(), Violation> {
        if let Some(replay) = &self.replay {
            replay.done()?;
            gap(self.ranks.iter().map(|life| &life.record))?;
        }
        Ok(())
    }

    /// Puts an event that happens within a time.
    fn after(&mut self, longest: Time, event: Event) {
        let at = self.world.borrow().now + self.chooser.delay(longest);
        self.agenda.put(at, event);
    }

    /// Puts an event that takes a message between whoever coordinates and a domain: it takes until they reach each other.
    fn after_message(&mut self, domain: Domain, longest: Time, event: Event) {
        let from = self.world.borrow().network.away_until(domain);
        self.after_from(from, longest, event);
    }

    /// Puts an event that happens within a time after another moment, if that is still to come.
    fn after_from(&mut self, from: Option<Time>, longest: Time, event: Event) {
        let now = self.world.borrow().now;
        let at = from.unwrap_or(now).max(now) + self.chooser.delay(longest);
        self.agenda.put(at, event);
    }

    /// Notes an event of the present life of a rank.
    fn record_at(&mut self, rank: Rank, event: impl FnOnce() -> trace::Event) {
        let incarnation = self.ranks[rank as usize].incarnation;
        self.record(Some(rank), Some(incarnation), event);
    }

    /// Notes an event.
    fn record(
        &mut self,
        rank: Option<Rank>,
        incarnation: Option<Incarnation>,
        event: impl FnOnce() -> trace::Event,
    ) {
        if !self.job.traced && self.sink.is_none() && self.moments.is_empty() {
            return;
        }
        let line = Line { time_ns: self.world.borrow().now, rank, incarnation, event: event() };
        if self.job.traced && line.event.is_news() {
            self.news.push(format!("{:>9} {line}", line.time_ns));
        }
        if let Some(lines) = &mut self.world.borrow_mut().lines {
            lines.push(line);
        }
    }

    fn is_current(&self, rank: Rank, incarnation: Incarnation) -> bool {
        let life = &self.ranks[rank as usize];
        life.incarnation == incarnation && life.engine.is_some()
    }

    pub(crate) fn outcome(self) -> Outcome {
        let lives = &self.ranks;
        Outcome {
            end: self.end.unwrap_or(Ending::Stuck),
            states: lives.iter().map(|life| life.application.state()).collect(),
            sent: lives.iter().map(|life| life.record.sent.clone()).collect(),
            received: lives.iter().map(|life| life.record.received.clone()).collect(),
            written: lives.iter().map(|life| life.application.written().to_vec()).collect(),
            released: lives.iter().map(|life| life.released.clone()).collect(),
            deaths: lives.iter().map(|life| life.deaths).collect(),
            checkpoints: lives.iter().map(|life| life.checkpoints).collect(),
            forced_checkpoints: lives.iter().map(|life| life.forced_checkpoints).collect(),
            lines: self.watch.lines,
            zigzag: self.world.borrow().history.as_ref().and_then(History::zigzag),
            kept: self.watch.kept,
            events: self.events,
            trace: self.news,
        }
    }
}
