//! The coordinator's orders, and the output that waits for stability.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use egida_core::binder::StoreUse;
use egida_core::gate::{Condition, Gate, StoreId};
use egida_core::ids::{Domain, Incarnation, Position, Rank};
use egida_core::module::{CollectDeterminants, FailureDetector, MutedJournal, Network};
use egida_core::output::Stream;
use egida_core::recovery::{Action, Collected, Coordinator, Fate, Input, Note, RecoveryImage};
use egida_core::stack::EventHandler;
use egida_core::trace::Event;
use egida_shm::JobMemory;
use egida_spec::protocol::FailureUnit;
use rustix::process::Signal;

use super::collect::StepError;
use super::news::{Death, Recovery, UNRECOVERABLE};
use super::{Job, JobError, Phase};
use crate::foreign::Foreign;
use crate::hosts::OrderError;
use crate::sink::Replaying;
use crate::storage::StorageError;
use crate::trace::Trace;

/// A replay is shown once it takes longer than this, and then so often.
const SHOW_AFTER: Duration = Duration::from_secs(1);
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// A step of recovery that has ended.
pub(super) enum StepDone {
    Sealed(Result<(), StepError>),
    Announced(Result<(), StepError>),
    Quiesced {
        round: u64,
        result: Result<(), StepError>,
    },
    Collected {
        round: u64,
        ranks: Vec<Rank>,
        collector: Option<Box<dyn CollectDeterminants>>,
        result: Result<Collected, StepError>,
    },
}

/// A new incarnation that has not caught up.
#[derive(Debug)]
pub(super) struct Recovering {
    incarnation: Incarnation,
    /// Of its predecessor.
    death: Death,
    started: Instant,
    determinants: u64,
    /// Sends and deliveries of its predecessor.
    before: u64,
    is_live: bool,
    shown: Option<Instant>,
}

impl Network for Job {
    /// Takes up an order: what is urgent at once, the rest in order.
    fn perform(&mut self, action: Action) {
        match action {
            Action::Fence { ranks } => {
                self.trace.tell(None, None, || Event::Fence { ranks: ranks.clone() });
                for rank in ranks {
                    let process = self.process(rank);
                    process.is_fenced = true;
                    if let Some(target) = &process.target {
                        target.signal(Signal::KILL);
                    }
                }
            }
            Action::Tell(Note::Death { rank, incarnation, cause }) => {
                self.trace.tell(Some(rank), Some(incarnation), || Event::Crash { cause: (&cause).into() });
                self.trace.tell(None, None, || Event::Death { of: rank, lost: incarnation });
                if let Some(death) = self.deaths.get(&rank) {
                    self.news.death(rank, incarnation, &cause, death);
                }
            }
            // It holds again what it held; that it has caught up is told when it has.
            Action::Tell(Note::Recovered { rank, incarnation }) => {
                self.trace.tell(None, None, || Event::Recovered { of: rank, next: incarnation });
            }
            // Of checkpoints nothing is ordered: the binder refuses them here.
            Action::Recovered { .. } | Action::Commit(_) => {}
            Action::End(end) => self.end(&end),
            Action::Seal { .. } => {
                // A new round seals all that an unfinished one was about. One that has come to its announcement is over
                // for the coordinator; on other hosts that takes a while, in which those who hear of it may end.
                self.queue.retain(|action| matches!(action, Action::Announce { .. } | Action::Start { .. }));
                self.queue.push_back(action);
            }
            Action::Persist { .. }
            | Action::Announce { .. }
            | Action::Quiesce { .. }
            | Action::Collect { .. }
            | Action::Start { .. } => {
                self.queue.push_back(action);
            }
        }
    }
}

impl FailureDetector for Job {
    fn coordinator(&mut self) -> &mut Coordinator {
        &mut self.coordinator
    }
}

impl Job {
    /// Does what is to be done next, unless a step is under way.
    pub(super) fn begin_next_step(&mut self) -> Result<(), JobError> {
        while self.step.is_none() && matches!(self.phase, Phase::Running) {
            let Some(action) = self.queue.pop_front() else { return Ok(()) };
            self.begin(action)?;
        }
        Ok(())
    }

    fn begin(&mut self, action: Action) -> Result<(), JobError> {
        let steps = self.steps.clone();
        if let Action::Collect { round, ranks, .. } = &action {
            self.trace.tell(None, None, || Event::Collect { round: *round, ranks: ranks.clone() });
        }
        match action {
            Action::Seal { ranks } => {
                let sealed = || ranks.iter().map(|&(rank, _)| rank).collect();
                self.trace.tell(None, None, || Event::Seal { ranks: sealed() });
                for &(rank, fate) in &ranks {
                    self.outputs.writer_died(rank);
                    if fate == Fate::Lost {
                        self.foreign.lost(self.domains.of(rank));
                        let stable = self.conditions().stable_on_all(rank);
                        self.outputs.lost_log_of(rank, stable);
                    }
                }
                self.tell_of_missing_holders();
                self.step = Some(tokio::spawn(async move { StepDone::Sealed(steps.seal(ranks).await) }));
            }
            Action::Announce { tokens } => {
                self.incarnations.announce(&tokens)?;
                self.memory.announce(&tokens)?;
                if let Some(hosts) = steps.hosts {
                    let tokens = tokens.clone();
                    self.step = Some(tokio::spawn(async move {
                        StepDone::Announced(hosts.announce(&tokens).await.map_err(StepError::from))
                    }));
                }
                self.trace.tell(None, None, || Event::Announce { tokens });
            }
            Action::Persist { round, incarnations } => {
                self.trace.tell(None, None, || Event::Persist { round });
                self.incarnations.set(&incarnations)?;
                self.detected(Input::Durable { round });
            }
            Action::Quiesce { round } => {
                self.trace.tell(None, None, || Event::Quiesce { round });
                self.step =
                    Some(tokio::spawn(
                        async move { StepDone::Quiesced { round, result: steps.quiesce().await } },
                    ));
            }
            Action::Collect { round, ranks, witnesses } if self.detects => {
                let logs = ranks.iter().chain(&witnesses).copied().collect();
                self.step = Some(tokio::spawn(async move {
                    let result = steps.collect_logs(logs).await;
                    StepDone::Collected { round, ranks, collector: None, result }
                }));
            }
            Action::Collect { round, ranks, witnesses } => {
                let mut collector = self.bound.collector.take();
                self.step = Some(tokio::spawn(async move {
                    let result = steps.collect(ranks.clone(), &witnesses, collector.as_mut()).await;
                    StepDone::Collected { round, ranks, collector, result }
                }));
            }
            Action::Start { rank, image } => self.start(rank, &image)?,
            // These never wait in the queue.
            Action::Fence { .. }
            | Action::Tell(_)
            | Action::End(_)
            | Action::Recovered { .. }
            | Action::Commit(_) => {}
        }
        Ok(())
    }

    pub(super) fn step_done(
        &mut self,
        done: Result<StepDone, tokio::task::JoinError>,
    ) -> Result<(), JobError> {
        match done.map_err(StepError::from)? {
            StepDone::Sealed(Ok(())) | StepDone::Announced(Ok(())) => {}
            StepDone::Quiesced { round, result: Ok(()) } => self.detected(Input::Quiesced { round }),
            StepDone::Sealed(Err(error))
            | StepDone::Announced(Err(error))
            | StepDone::Quiesced { result: Err(error), .. } => self.cannot_recover(&error),
            StepDone::Collected { round, ranks, collector, result } => {
                self.bound.collector = collector;
                let mut collected = match result {
                    Ok(collected) => collected,
                    Err(error) => {
                        self.cannot_recover(&error);
                        return Ok(());
                    }
                };
                for held in self.foreign.held() {
                    let (domain, determinant) = held?;
                    collected.add_held(determinant, domain);
                }
                let mut depends = BTreeMap::new();
                if self.discard_determinants {
                    collected.discard_determinants();
                } else {
                    for &rank in &ranks {
                        let of = |survivor| (survivor, self.memory.depends(survivor, rank));
                        depends.insert(rank, self.ranks().filter(|&other| other != rank).map(of).collect());
                    }
                }
                let observed = ranks.iter().map(|&rank| (rank, self.outputs.observed(rank))).collect();
                self.detected(Input::Collected { round, collected, depends, observed });
            }
        }
        Ok(())
    }

    /// A step of recovery failed: logs that cannot be read, memory that cannot be given back.
    fn cannot_recover(&mut self, error: &StepError) {
        // Why the storage is closed, or a host is lost, is told where that is noticed, and ends the job.
        if !matches!(
            (error, &self.phase),
            (StepError::Storage(StorageError::Closed) | StepError::Hosts(OrderError::Lost(_)), _)
                | (_, Phase::Ending { .. })
        ) {
            self.news.unrecoverable(&error.to_string());
            self.end_with(UNRECOVERABLE, Signal::KILL);
        }
    }

    fn start(&mut self, rank: Rank, image: &RecoveryImage) -> Result<(), JobError> {
        let bytes = image.to_bytes().map_err(egida_core::fault::Fault::Driver)?;
        let started = Instant::now();
        self.trace.tell(None, None, || Event::Start {
            of: rank,
            next: image.incarnation,
            determinants: image.determinants.len() as u64,
            messages: image.messages.len() as u64,
        });
        self.spawn(rank, image.incarnation, bytes)?;
        if let Some(copier) = &self.steps.copier {
            copier.up(self.domains.of(rank));
        }
        // One that had left is executed again without having died: its messages were lost with its node.
        let death = self.deaths.remove(&rank).unwrap_or(Death { at: started, known: started, kill: None });
        let own = image.determinants.iter().filter(|held| held.determinant.owner == rank);
        let recovering = Recovering {
            incarnation: image.incarnation,
            death,
            started,
            determinants: own.count() as u64,
            before: image.sends_before + image.deliveries_before,
            is_live: false,
            shown: None,
        };
        self.recovering.insert(rank, recovering);
        Ok(())
    }

    pub(super) fn look_at_replays(&mut self) {
        for rank in self.recovering.keys().copied().collect::<Vec<_>>() {
            self.look_at_replay(rank, false);
        }
    }

    /// Notices that a new incarnation is live, or has caught up: if not before, then by coming to its end.
    pub(super) fn look_at_replay(&mut self, rank: Rank, has_left: bool) {
        let Some(recovering) = self.recovering.get_mut(&rank) else { return };
        let progress = self.memory.progress(rank);
        let becomes_live = progress.live && !recovering.is_live;
        recovering.is_live |= progress.live;
        if progress.caught_up || has_left {
            if let Some(recovering) = self.recovering.remove(&rank) {
                let Recovering { incarnation, death, started, determinants, shown, .. } = recovering;
                let recovery = Recovery {
                    detect: death.known.saturating_duration_since(death.at),
                    restart: started.saturating_duration_since(death.known),
                    replay: started.elapsed(),
                    determinants,
                    deliveries: progress.replayed_deliveries,
                    sends: progress.skipped_sends,
                };
                if shown.is_some() {
                    self.news.sink().progress(None);
                }
                self.news.recovered(rank, incarnation, &recovery);
            }
        } else if recovering.started.elapsed() > SHOW_AFTER
            && recovering.shown.is_none_or(|shown| shown.elapsed() > SHOW_EVERY)
        {
            recovering.shown = Some(Instant::now());
            let (done, total) = (progress.sends + progress.deliveries, recovering.before);
            self.news.sink().progress(Some(Replaying { rank, done: done.min(total), total }));
        }
        if becomes_live {
            self.detected(Input::Live { rank });
        }
    }

    /// What output that depends on everything below `position` of its rank's journal, and was written by now, waits for.
    pub(super) fn gate(&mut self, position: Position) -> Gate {
        let heads: Vec<Position> = match self.bound.stack.commits_with_others() {
            true => self.ranks().map(|rank| self.memory.journal_head(rank)).collect(),
            false => Vec::new(),
        };
        self.bound.stack.output(&mut MutedJournal, position, &heads)
    }

    /// Whether a rank knows of everything that is lost. Until then its output may depend on it.
    pub(super) fn is_told(&self, rank: Rank) -> bool {
        !self.detects
            || (!self.coordinator.is_recovering()
                && self.queue.is_empty()
                && self.memory.progress(rank).told == self.memory.announced())
    }

    pub(super) fn is_output_waiting(&self) -> bool {
        matches!(self.phase, Phase::Running) && self.ranks().any(|rank| self.outputs.is_waiting(rank))
    }

    /// Releases what may be released, and drives what the rest waits for.
    pub(super) fn release_output(&mut self) -> Result<(), JobError> {
        for rank in self.ranks() {
            if !self.outputs.is_waiting(rank) {
                continue;
            }
            match self.phase {
                Phase::Running if self.coordinator.is_dead(rank) => {}
                Phase::Running => self.release_output_of(rank)?,
                // Nothing will be executed again, so nothing can be taken back any more.
                Phase::Ending { holds_back: false, .. } => {
                    self.outputs.renew(rank, &Gate::open());
                    let trace = &mut self.trace;
                    self.outputs.release(
                        rank,
                        self.news.sink(),
                        |_| true,
                        |stream, bytes| {
                            tell_output(trace, rank, stream, bytes);
                        },
                    );
                }
                Phase::Ending { holds_back: true, .. } => {}
            }
        }
        Ok(())
    }

    fn release_output_of(&mut self, rank: Rank) -> Result<(), JobError> {
        if self.outputs.is_broken(rank) && self.is_told(rank) {
            let gate = self.gate(self.memory.journal_head(rank));
            self.outputs.renew(rank, &gate);
        }
        let mut is_unstable = false;
        let mut held = BTreeMap::<Domain, Position>::new();
        for condition in self.outputs.waiting_for(rank) {
            match condition {
                Condition::Held { domains, position } => {
                    let furthest = held.entry(domains).or_default();
                    *furthest = position.max(*furthest);
                }
                // Copies in the memory of others are made at once, whether somebody waits for them or not.
                Condition::Stable { store, .. } if self.is_copied(store) => {}
                condition => is_unstable |= !self.conditions().is_met(rank, &condition),
            }
        }
        if let Some(writer) = self.steps.writer.as_ref().filter(|_| is_unstable) {
            writer.nudge();
        }
        // Where the memory of a node outlives its processes, whatever is in it is as good as stable.
        if self.unit == FailureUnit::Node {
            for (copies, position) in held {
                self.replicate(rank, copies, position)?;
            }
        }
        let conditions = Conditions {
            unit: self.unit,
            stores: &self.bound.stores,
            memory: &self.memory,
            foreign: &self.foreign,
        };
        let trace = &mut self.trace;
        self.outputs.release(
            rank,
            self.news.sink(),
            |condition| conditions.is_met(rank, condition),
            |stream, bytes| tell_output(trace, rank, stream, bytes),
        );
        Ok(())
    }

    fn conditions(&self) -> Conditions<'_> {
        let Self { unit, bound, memory, foreign, .. } = self;
        Conditions { unit: *unit, stores: &bound.stores, memory, foreign }
    }

    /// Whether a store is the memory of other nodes.
    fn is_copied(&self, store: StoreId) -> bool {
        self.bound.stores.iter().any(|used| used.id == store && used.replicas.is_some())
    }

    /// Says that sends wait where fewer nodes are up than are to hold what is logged.
    fn tell_of_missing_holders(&mut self) {
        let copies = self.bound.stores.iter().filter_map(|store| Some(store.replicas?.copies)).max();
        let (domains, coordinator) = (&self.domains, &self.coordinator);
        let is_live = |&domain: &Domain| domains.members(domain).all(|rank| !coordinator.is_dead(rank));
        let others = (0..domains.count()).filter(is_live).count().saturating_sub(1);
        if let Some(copies) = copies.filter(|&copies| u64::from(copies) > others as u64)
            && self.told.insert((0, HOLDERS_MISSING.to_owned()))
        {
            self.news.note(format!(
                "sends wait until nodes are back: {copies} others are to hold what they depend on, and {others} are up"
            ));
        }
    }

    /// Has enough domains hold what output waits for, or says that there are not enough.
    fn replicate(&mut self, rank: Rank, copies: Domain, position: Position) -> Result<(), JobError> {
        let (domains, coordinator) = (&self.domains, &self.coordinator);
        let is_live = |domain| domains.members(domain).all(|rank| !coordinator.is_dead(rank));
        let is_enough = self.foreign.replicate(&self.memory, rank, copies, position, is_live)?;
        let live = (0..domains.count()).filter(|&domain| is_live(domain)).count();
        if !is_enough && u64::from(copies) > live as u64 && self.told.insert((rank, WAITING.to_owned())) {
            self.news.note(format!(
                "output of rank {rank} waits: it may leave once {copies} nodes hold what it depends on, and {live} are up"
            ));
        }
        Ok(())
    }
}

/// What the world sees of a rank's standard output.
fn tell_output(trace: &mut Trace, rank: Rank, stream: Stream, bytes: &[u8]) {
    if stream == Stream::Out {
        trace.tell(Some(rank), None, || Event::Output {
            text: String::from_utf8_lossy(bytes).into_owned(),
            len: bytes.len() as u64,
        });
    }
}

/// What decides whether output may leave.
struct Conditions<'a> {
    unit: FailureUnit,
    stores: &'a [StoreUse],
    memory: &'a JobMemory,
    foreign: &'a Foreign,
}

impl Conditions<'_> {
    /// Whether a condition on the journal of `rank` is met.
    fn is_met(&self, rank: Rank, condition: &Condition) -> bool {
        match *condition {
            Condition::Stable { store, position } => position <= self.memory.stable(rank, store),
            Condition::Other { rank, position } => position <= self.stable_on_all(rank),
            Condition::Held { domains, position } => {
                self.unit == FailureUnit::Process || self.foreign.is_held(rank, domains, position)
            }
            // No output waits for a line where no checkpoints are taken.
            Condition::Line { .. } => false,
        }
    }

    /// The position of a journal below which every store holds all that is for it.
    fn stable_on_all(&self, rank: Rank) -> Position {
        let stable = |store: &StoreUse| self.memory.stable(rank, store.id);
        self.stores.iter().map(stable).min().unwrap_or(Position::MAX)
    }
}

/// Stands in what was told for a rank whose output waits for nodes.
const WAITING: &str = "output waits";
/// Stands in what was told for the whole job, once sends waited for nodes.
const HOLDERS_MISSING: &str = "sends wait";
