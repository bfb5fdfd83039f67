//! Runs a job: the scheduler, the failures, the recovery.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;
use std::time::Duration;

use egida_core::api::Api;
use egida_core::binder::{BindError, bind};
use egida_core::clock::{Token, VectorClock};
use egida_core::control::Control;
use egida_core::driver::EntryKind;
use egida_core::engine::{Engine, OnDivergence};
use egida_core::event::Determinant;
use egida_core::fault::Fault;
use egida_core::gate::Condition;
use egida_core::ids::{Position, Rank};
use egida_core::module::{
    CollectDeterminants, FailureDetector, MutedJournal, Network, Question, Step as Collection, Timer,
};
use egida_core::output::{OutputGate, Replicated, Stream};
use egida_core::recovery::{Action, Cause, Collected, Coordinator, End, Fate, Input, RecoveryImage};
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_core::stack::{EventHandler, Stack};
use egida_core::wire::{Reader, WireError};
use egida_spec::protocol::Protocol;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::driver::{Crash, SimDriver};
use crate::program::{Op, Program, Step, Transfer};
use crate::world::{Exposed, Time, World};

/// A job to simulate.
pub struct Job<'a> {
    /// The protocol.
    pub protocol: &'a Protocol,
    /// Ranks, domains, failure unit.
    pub setting: Setting,
    /// What each rank does.
    pub scripts: Vec<Vec<Op>>,
    /// Who dies where.
    pub crashes: Vec<Crash>,
    /// Decides every delay.
    pub seed: u64,
    /// Forget all determinants at recovery: the control that shows what they are for.
    pub discard_determinants: bool,
}

/// What one rank sent to, or received from, each other.
pub type Transfers = Vec<Vec<Transfer>>;

/// How a job went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: Ending,
    /// The final state of each rank.
    pub states: Vec<u64>,
    /// What each rank sent to each, in its last life.
    pub sent: Vec<Transfers>,
    /// What each rank received from each, in its last life.
    pub received: Vec<Transfers>,
    /// What each rank wrote, in its last life.
    pub written: Vec<Vec<u8>>,
    /// What the world saw of each rank's output.
    pub released: Vec<Vec<u8>>,
    /// How many times each rank died.
    pub deaths: Vec<u32>,
    /// One line per event.
    pub trace: Vec<String>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Every rank came to the end of its script.
    Done,
    /// As the coordinator said.
    Ended(End),
    /// A rank failed for good.
    Failed(Rank, Fault),
    /// A rank contradicted its own output.
    Contradicted(Rank),
    /// One more failure would have made an orphan, though no more were down than are tolerated.
    Exposed(Exposed),
    /// Nothing could happen any more, or too much did.
    Stuck,
}

/// When a recovery asks again: seldom enough that most answers are there.
const ANSWERS_DUE: Duration = Duration::from_nanos(130);

/// The observer reads all journals at every so manieth step of a rank: what is exposed stays so for a while.
const LOOK_EVERY: u64 = 4;

/// How long it takes to write an entry out, at most.
const WRITE_OUT: Time = 200;

/// No simulated job takes more events than this; one that does never ends.
const MAX_EVENTS: u64 = 200_000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Run(Rank, u32),
    WriteOut(Rank, Position),
    Durable(u64),
    Quiesced(u64),
    Answer { round: u64, asker: Rank, holder: Rank },
    Start(Rank, u64),
    Timer(u64),
    Replicate { rank: Rank, domain: u32, position: Position },
}

struct Simulation<'a> {
    job: &'a Job<'a>,
    registry: &'a Registry,
    random: ChaCha8Rng,
    world: Rc<RefCell<World>>,
    queue: BinaryHeap<Reverse<(Time, u64, Event)>>,
    numbered: u64,
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

struct Life {
    engine: Option<Engine<SimDriver>>,
    program: Program,
    incarnation: u32,
    node: Stack,
    output: OutputGate,
    read: usize,
    released: Vec<u8>,
    replicated: Replicated,
    /// Up to which position of its journal somebody waits for the disk.
    write_out_asked: Position,
    over: bool,
    deaths: u32,
}

struct Collecting {
    round: u64,
    ranks: Vec<Rank>,
    witnesses: Vec<Rank>,
    collected: Collected,
}

/// Simulates a job.
///
/// # Errors
/// Why the protocol could not be bound.
pub fn run(job: &Job<'_>, registry: &Registry) -> Result<Outcome, Vec<BindError>> {
    let ranks = job.setting.domains.ranks();
    let world = Rc::new(RefCell::new(World::new(job.setting.domains.clone())));
    let mut lives = Vec::new();
    let mut policy = None;
    let mut collector = None;
    let mut detector = None;
    let mut every: Option<Duration> = None;
    for rank in 0..ranks {
        let bound = bind(job.protocol, registry, &job.setting, rank)?;
        let stack = bound.stack;
        policy = Some(bound.policy);
        collector = bound.collector;
        detector = bound.detector;
        every = bound.stores.iter().map(|store| store.every).min().flatten();
        lives.push(Life {
            engine: None,
            program: Program::new(rank, ranks, job.scripts[rank as usize].clone()),
            incarnation: 0,
            node: stack,
            output: OutputGate::new(Stream::Out),
            read: 0,
            released: Vec::new(),
            replicated: Replicated::default(),
            write_out_asked: 0,
            over: false,
            deaths: 0,
        });
    }
    let Some(policy) = policy else { return Ok(nothing()) };
    let detects = detector.is_some();
    let write_out_after =
        every.map_or(WRITE_OUT, |every| Time::try_from(every.as_nanos()).unwrap_or(Time::MAX).max(WRITE_OUT));
    let coordinator = Coordinator::new(policy, job.setting.domains.clone()).detecting(detector);
    let mut simulation = Simulation {
        job,
        registry,
        random: ChaCha8Rng::seed_from_u64(job.seed),
        world,
        queue: BinaryHeap::new(),
        numbered: 0,
        ranks: lives,
        coordinator,
        collector,
        collecting: None,
        images: BTreeMap::new(),
        write_out_after,
        copies_needed: policy.tolerates.unwrap_or(0),
        recovers: policy.recovers,
        detects,
        looks: 0,
        trace: Vec::new(),
        end: None,
    };
    for rank in 0..ranks {
        simulation.begin(rank, RecoveryImage { incarnation: 1, ..RecoveryImage::default() })?;
    }
    simulation.go();
    Ok(simulation.outcome())
}

fn nothing() -> Outcome {
    Outcome {
        end: Ending::Done,
        states: Vec::new(),
        sent: Vec::new(),
        received: Vec::new(),
        written: Vec::new(),
        released: Vec::new(),
        deaths: Vec::new(),
        trace: Vec::new(),
    }
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
                let number = u64::from(image.incarnation);
                self.images.insert(rank, image);
                self.after(300, Event::Start(rank, number));
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
        self.numbered += 1;
        self.queue.push(Reverse((at, self.numbered, Event::Timer(token))));
    }
}

impl Simulation<'_> {
    fn after(&mut self, longest: Time, event: Event) {
        let delay = self.random.random_range(1..=longest);
        let at = self.world.borrow().now + delay;
        self.numbered += 1;
        self.queue.push(Reverse((at, self.numbered, event)));
    }

    fn tell(&mut self, what: String) {
        let now = self.world.borrow().now;
        self.trace.push(format!("{now:>9} {what}"));
    }

    fn begin(&mut self, rank: Rank, image: RecoveryImage) -> Result<(), Vec<BindError>> {
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
        life.program = Program::new(rank, ranks, self.job.scripts[rank as usize].clone());
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

    fn go(&mut self) {
        let mut events = 0;
        while self.end.is_none() {
            let Some(Reverse((at, _, event))) = self.queue.pop() else {
                self.end = Some(Ending::Stuck);
                break;
            };
            events += 1;
            if events > MAX_EVENTS {
                self.end = Some(Ending::Stuck);
                break;
            }
            self.world.borrow_mut().now = at;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Run(rank, incarnation) => self.step(rank, incarnation),
            Event::WriteOut(rank, position) => {
                self.world.borrow_mut().write_out(rank, position);
                self.release(rank);
                for waiting in 0..self.job.setting.domains.ranks() {
                    if waiting != rank && !self.ranks[waiting as usize].output.is_idle() {
                        self.release(waiting);
                    }
                }
            }
            Event::Durable(round) => {
                self.detected(Input::Durable { round });
            }
            Event::Quiesced(round) => {
                self.world.borrow_mut().epoch += 1;
                self.detected(Input::Quiesced { round });
            }
            Event::Answer { round, asker, holder } => self.answer(round, asker, holder),
            Event::Timer(round) => self.ask_again(round),
            Event::Start(rank, round) => {
                let current =
                    self.images.get(&rank).is_some_and(|image| u64::from(image.incarnation) == round);
                let image = self.images.remove(&rank).filter(|_| current);
                // It was bound before, under the same setting.
                if image.is_some_and(|image| self.begin(rank, image).is_err()) {
                    self.end = Some(Ending::Stuck);
                }
            }
            Event::Replicate { rank, domain, position } => self.replicated(rank, domain, position),
        }
    }

    fn step(&mut self, rank: Rank, incarnation: u32) {
        let delay = self.random.random_range(1..60);
        let live = self.random.next_u64();
        self.world.borrow_mut().delay = delay;
        let life = &mut self.ranks[rank as usize];
        if life.incarnation != incarnation {
            return;
        }
        let Some(engine) = &mut life.engine else { return };
        let stepped = match life.over {
            // A rank at its end may still learn that it is an orphan.
            true => engine.progress().map(|_| Step::Over),
            false => life.program.step(engine, live),
        };
        let head = self.world.borrow().journals[rank as usize].head();
        match stepped {
            Ok(step) => {
                self.wrote(rank, head);
                self.write_out_soon(rank, head);
                self.look_for_exposed();
                if step == Step::Over {
                    self.over(rank);
                } else {
                    let pause = if step == Step::Moved { 20 } else { 100 };
                    self.after(pause, Event::Run(rank, incarnation));
                }
            }
            Err(Fault::Crashed) => self.died(rank, Cause::Signal(9)),
            Err(Fault::Orphan(_)) => self.died(rank, Cause::RolledBack),
            Err(fault) => self.end = Some(Ending::Failed(rank, fault)),
        }
    }

    /// The invariant of pessimistic and causal protocols, checked from outside: while nobody is down, whatever a state
    /// depends on could be found again if any one domain failed now.
    fn look_for_exposed(&mut self) {
        let is_protected = self.recovers && !self.detects && !self.job.discard_determinants;
        self.looks += 1;
        if self.looks.is_multiple_of(LOOK_EVERY)
            && is_protected
            && self.ranks.iter().all(|life| life.engine.is_some())
        {
            let exposed = self.world.borrow().exposed(self.job.setting.unit);
            self.end = self.end.take().or(exposed.map(Ending::Exposed));
        }
    }

    fn write_out_soon(&mut self, rank: Rank, head: Position) {
        if self.world.borrow().journals[rank as usize].stable < head {
            self.after(self.write_out_after, Event::WriteOut(rank, head));
        }
    }

    /// Output that the program wrote since the last step: read from its pipe, gated on the journal's head.
    fn wrote(&mut self, rank: Rank, head: Position) {
        let life = &mut self.ranks[rank as usize];
        let bytes = life.program.written[life.read..].to_vec();
        if bytes.is_empty() {
            return;
        }
        life.read = life.program.written.len();
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
    fn release(&mut self, rank: Rank) {
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
        let mut wanted: BTreeSet<(u32, Position)> = BTreeSet::new();
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
            self.after(80, Event::Replicate { rank, domain, position });
        }
        let is_told = self.world.borrow().inbox.iter().all(|inbox| inbox.is_empty());
        if is_told && self.ranks.iter().all(|life| life.over && life.output.is_idle()) {
            self.end = Some(Ending::Done);
        }
    }

    /// A domain's node takes the determinants of a rank's journal into its memory.
    fn replicated(&mut self, rank: Rank, domain: u32, position: Position) {
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
            self.numbered += 1;
            self.queue.push(Reverse((at, self.numbered, Event::Run(rank, incarnation))));
        }
        for waiting in 0..self.job.setting.domains.ranks() {
            self.release(waiting);
        }
    }

    fn died(&mut self, rank: Rank, cause: Cause) {
        let life = &mut self.ranks[rank as usize];
        let at = life.engine.take().map_or_else(Default::default, |mut engine| engine.driver().progress());
        life.deaths += 1;
        life.over = false;
        life.output.writer_died();
        self.tell(format!("rank {rank} dies: {cause:?}"));
        self.detected(Input::Died { rank, cause, at });
    }

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
            let delay = self.random.random_range(1..200);
            let mut world = self.world.borrow_mut();
            let last = world.inbox[rank as usize].back().map_or(0, |&(at, _)| at);
            let at = last.max(world.now + delay);
            let controls = tokens.iter().map(|&token| (at, Control::Token(token)));
            world.inbox[rank as usize].extend(controls);
            drop(world);
            let life = &self.ranks[rank as usize];
            if life.over {
                self.numbered += 1;
                self.queue.push(Reverse((at, self.numbered, Event::Run(rank, life.incarnation))));
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
    fn ask_again(&mut self, round: u64) {
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

    fn answer(&mut self, round: u64, asker: Rank, holder: Rank) {
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

    fn outcome(self) -> Outcome {
        let each = |of: &dyn Fn(&Life) -> Transfers| self.ranks.iter().map(of).collect();
        Outcome {
            end: self.end.clone().unwrap_or(Ending::Stuck),
            states: self.ranks.iter().map(|life| life.program.state()).collect(),
            sent: each(&|life| life.program.sent.clone()),
            received: each(&|life| life.program.received.clone()),
            written: self.ranks.iter().map(|life| life.program.written.clone()).collect(),
            released: self.ranks.iter().map(|life| life.released.clone()).collect(),
            deaths: self.ranks.iter().map(|life| life.deaths).collect(),
            trace: self.trace,
        }
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
