//! The broken modules.

use std::collections::BTreeSet;

use egida_core::checkpoint::{Candidate, Candidates, CheckpointHead, Line};
use egida_core::clock::{IncarnationClock, Token};
use egida_core::event::{Answer, Determinant, Happened};
use egida_core::fault::Fault;
use egida_core::gate::{Condition, Gate};
use egida_core::ids::{CheckpointNumber, Domain, EventIndex, Position, Rank, Ssn, Version};
use egida_core::module::{
    self, Admission, Arriving, Checkpoint, CheckpointContext, CollectDeterminants, Entry, EntryId, HowToLog,
    HowToOutputCommit, LogContext, LogEventInfo, OrphanDetection, PiggybackCheckpointing, PiggybackContext,
    PiggybackError, PiggybackLogging, Receipt, Standing, Step, WriteContext,
};
use egida_core::registry::{Build, Implementation, Registry};
use egida_core::replication::Placement;
use egida_core::wire::{Reader, WireError};
use egida_modules::checkpoint::{Bcs, ChandyLamport, Fdas, Induced, Inducing, RollbackDependencyGraph};
use egida_modules::determinant::CallStructure;
use egida_modules::logging::{Asynchronously, Synchronously};
use egida_modules::orphans::{History, broadcast_logical_clock};
use egida_modules::output::Independent;
use egida_modules::piggyback::{Determinants, VectorClock};
use egida_modules::storage::MemoryOfOthers;
use serde::{Deserialize, Serialize};

pub fn synchronously_is_asynchronously(registry: &mut Registry) {
    registry.how_to_log.register("synchronously", "mutant", |_| Box::new(Asynchronously));
}

pub fn asynchronously_is_synchronously(registry: &mut Registry) {
    registry.how_to_log.register("asynchronously", "mutant", |_| Box::new(Synchronously));
}

pub fn one_copy_too_few(registry: &mut Registry) {
    registry.volatile_storage.register("volatile memory of processes", "mutant", |build| {
        let too_few = Build { copies: build.copies - 1, ..*build };
        Box::new(MemoryOfOthers::new(&too_few, Placement::Neighbours))
    });
}

/// Waits for all but the last entry.
#[derive(Debug, Clone)]
struct OneTooEarly;

impl HowToLog for OneTooEarly {
    fn write(&mut self, context: &mut WriteContext<'_>, entry: Entry<'_>) -> Result<(Receipt, Gate), Fault> {
        let (receipt, gate) = Synchronously.write(context, entry)?;
        let earlier = gate.conditions().map(|condition| match condition {
            Condition::Stable { store, position } => {
                Condition::Stable { store, position: position.saturating_sub(1) }
            }
            other => other,
        });
        let mut early = Gate::open();
        earlier.for_each(|condition| early.and(condition));
        Ok((receipt, early))
    }
}

pub fn gate_one_too_early(registry: &mut Registry) {
    registry.how_to_log.register("synchronously", "mutant", |_| Box::new(OneTooEarly));
}

/// Family-based logging with a fault.
#[derive(Debug, Clone)]
struct Faulty {
    right: Determinants,
    fault: PiggybackFault,
    messages: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PiggybackFault {
    /// One message in three carries nothing.
    Forgets,
    /// What is sent is held, as if it had arrived.
    AdvertisesEarly,
    /// What comes is not kept.
    HoldsNothing,
}

impl PiggybackLogging for Faulty {
    fn get_piggyback(
        &mut self,
        context: &mut PiggybackContext<'_>,
        dest: Rank,
        ssn: Ssn,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.messages += 1;
        let before = out.len();
        self.right.get_piggyback(context, dest, ssn, out)?;
        match self.fault {
            PiggybackFault::Forgets if self.messages.is_multiple_of(3) => out.truncate(before),
            PiggybackFault::AdvertisesEarly => self.right.acknowledged(context, dest, ssn + 1),
            _ => {}
        }
        Ok(())
    }

    fn process_piggyback(
        &mut self,
        context: &mut PiggybackContext<'_>,
        source: Rank,
        piggyback: &[u8],
    ) -> Result<(), PiggybackError> {
        match self.fault {
            PiggybackFault::HoldsNothing => Ok(()),
            _ => self.right.process_piggyback(context, source, piggyback),
        }
    }

    fn logged(&mut self, id: EntryId, determinant: &Determinant) {
        self.right.logged(id, determinant);
    }

    fn restored(&mut self, id: EntryId, determinant: &Determinant, holders: &[Domain], stable: bool) {
        self.right.restored(id, determinant, holders, stable);
    }

    fn acknowledged(&mut self, context: &mut PiggybackContext<'_>, dest: Rank, below: Ssn) {
        self.right.acknowledged(context, dest, below);
    }

    fn lost(&mut self, domain: Domain) {
        self.right.lost(domain);
    }
}

fn faulty_piggyback(registry: &mut Registry, fault: PiggybackFault) {
    registry.piggyback_logging.register("determinants", "mutant", move |build| {
        Box::new(Faulty { right: Determinants::new(build), fault, messages: 0 })
    });
}

pub fn forgetful_piggyback(registry: &mut Registry) {
    faulty_piggyback(registry, PiggybackFault::Forgets);
}

pub fn knowledge_advertised_early(registry: &mut Registry) {
    faulty_piggyback(registry, PiggybackFault::AdvertisesEarly);
}

pub fn nothing_is_held_for_others(registry: &mut Registry) {
    faulty_piggyback(registry, PiggybackFault::HoldsNothing);
}

/// Is done before it has begun.
#[derive(Debug, Clone)]
struct AsksNobody;

impl CollectDeterminants for AsksNobody {
    fn retrieve_determinants(&mut self, _: &BTreeSet<Rank>, _: u32) -> Step {
        Step::Done
    }

    fn on_message(&mut self, _: Rank, _: Rank) -> Step {
        Step::Done
    }

    fn on_peer_death(&mut self, _: Rank) -> Step {
        Step::Done
    }

    fn on_timer(&mut self) -> Step {
        Step::Done
    }
}

pub fn retrieval_asks_nobody(registry: &mut Registry) {
    registry.retrieval.register("distributed", "mutant", |_| Box::new(AsksNobody));
}

/// Says that it has logged.
#[derive(Debug, Clone)]
struct LogsNothing;

impl LogEventInfo for LogsNothing {
    fn log(&mut self, _: &mut LogContext<'_>, _: Entry<'_>) -> Result<(Receipt, Gate), Fault> {
        Ok((Receipt::default(), Gate::open()))
    }
}

pub fn contents_are_not_logged(registry: &mut Registry) {
    registry.log_info = Implementation { name: "mutant", make: Box::new(|_| Box::new(LogsNothing)) };
}

/// Lets output go.
#[derive(Debug, Clone)]
struct Uncommitted;

impl HowToOutputCommit for Uncommitted {
    fn output_commit(&mut self, _: &mut PiggybackContext<'_>, _: Position, _: &[Position]) -> Gate {
        Gate::open()
    }
}

pub fn output_is_not_committed(registry: &mut Registry) {
    registry.output_commit.register("independent", "mutant", |_| Box::new(Uncommitted));
}

pub fn output_is_committed_alone(registry: &mut Registry) {
    registry.output_commit.register("co-ordinated", "mutant", |_| Box::new(Independent));
}

/// Damani and Garg's history with a fault.
#[derive(Debug, Clone)]
struct FaultyHistory {
    right: History,
    fault: HistoryFault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HistoryFault {
    NothingIsObsolete,
    NothingIsPostponed,
    NobodyIsAnOrphan,
    EverybodyIsAnOrphan,
}

impl OrphanDetection for FaultyHistory {
    fn judge(&self, clock: &IncarnationClock) -> Standing {
        match (self.fault, self.right.judge(clock)) {
            (HistoryFault::NothingIsObsolete, Standing::Obsolete) => Standing::Valid,
            (HistoryFault::NothingIsPostponed, Standing::Undecided) => Standing::Valid,
            (_, standing) => standing,
        }
    }

    fn delivered(&mut self, clock: &IncarnationClock) {
        self.right.delivered(clock);
    }

    fn token(&mut self, token: Token) -> bool {
        let is_orphan = self.right.token(token);
        match self.fault {
            HistoryFault::NobodyIsAnOrphan => false,
            HistoryFault::EverybodyIsAnOrphan => true,
            HistoryFault::NothingIsObsolete | HistoryFault::NothingIsPostponed => is_orphan,
        }
    }

    fn asks_everyone(&self) -> bool {
        self.right.asks_everyone()
    }
}

fn faulty_history(registry: &mut Registry, fault: HistoryFault) {
    registry.orphan_detection.register("broadcast logical clock", "mutant", move |_| {
        Box::new(FaultyHistory { right: broadcast_logical_clock(), fault })
    });
}

pub fn nothing_is_obsolete(registry: &mut Registry) {
    faulty_history(registry, HistoryFault::NothingIsObsolete);
}

pub fn nothing_is_postponed(registry: &mut Registry) {
    faulty_history(registry, HistoryFault::NothingIsPostponed);
}

pub fn everybody_is_an_orphan(registry: &mut Registry) {
    faulty_history(registry, HistoryFault::EverybodyIsAnOrphan);
}

pub fn orphans_do_not_notice(registry: &mut Registry) {
    faulty_history(registry, HistoryFault::NobodyIsAnOrphan);
}

/// A vector clock that counts the rank's own events only, or forgets what a checkpoint depended on.
#[derive(Debug, Clone)]
struct Incomplete<const MERGES: bool, const RESUMES: bool>(VectorClock);

impl<const MERGES: bool, const RESUMES: bool> Incomplete<MERGES, RESUMES> {
    fn seen(determinant: &Determinant) -> Determinant {
        Determinant { after: determinant.after.clone().filter(|_| MERGES), ..determinant.clone() }
    }
}

impl<const MERGES: bool, const RESUMES: bool> PiggybackLogging for Incomplete<MERGES, RESUMES> {
    fn get_piggyback(
        &mut self,
        context: &mut PiggybackContext<'_>,
        dest: Rank,
        ssn: Ssn,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.0.get_piggyback(context, dest, ssn, out)
    }

    fn process_piggyback(
        &mut self,
        context: &mut PiggybackContext<'_>,
        source: Rank,
        piggyback: &[u8],
    ) -> Result<(), PiggybackError> {
        self.0.process_piggyback(context, source, piggyback)
    }

    fn logged(&mut self, id: EntryId, determinant: &Determinant) {
        self.0.logged(id, &Self::seen(determinant));
    }

    fn restored(&mut self, id: EntryId, determinant: &Determinant, holders: &[Domain], stable: bool) {
        self.0.restored(id, &Self::seen(determinant), holders, stable);
    }

    fn acknowledged(&mut self, context: &mut PiggybackContext<'_>, dest: Rank, below: Ssn) {
        self.0.acknowledged(context, dest, below);
    }

    fn lost(&mut self, domain: Domain) {
        self.0.lost(domain);
    }

    fn clock(&self, piggyback: &[u8]) -> Result<Option<IncarnationClock>, WireError> {
        self.0.clock(piggyback)
    }

    fn state(&self) -> Option<IncarnationClock> {
        self.0.state()
    }

    fn resumed(&mut self, clock: &IncarnationClock) {
        if RESUMES {
            self.0.resumed(clock);
        }
    }

    fn begin(&mut self, version: Version, events: EventIndex) {
        self.0.begin(version, events);
    }
}

pub fn clocks_are_not_merged(registry: &mut Registry) {
    registry.piggyback_logging.register("vector clock", "mutant", |build| {
        Box::new(Incomplete::<false, true>(VectorClock::new(build)))
    });
}

pub fn clocks_of_checkpoints_are_forgotten(registry: &mut Registry) {
    registry.piggyback_logging.register("vector clock", "mutant", |build| {
        Box::new(Incomplete::<true, false>(VectorClock::new(build)))
    });
}

/// A communication-induced protocol that forces nothing, or takes no note of what it sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Careless<S, const FORCES: bool, const NOTES_SENDS: bool>(S);

impl<S: Inducing, const FORCES: bool, const NOTES_SENDS: bool> Inducing for Careless<S, FORCES, NOTES_SENDS> {
    type Piggyback = S::Piggyback;

    const PHRASE: &'static str = S::PHRASE;

    fn encode(&self, dest: Rank, out: &mut Vec<u8>) {
        self.0.encode(dest, out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Result<Self::Piggyback, WireError> {
        self.0.decode(reader)
    }

    fn forces(&self, message: &Self::Piggyback) -> bool {
        FORCES && self.0.forces(message)
    }

    fn receive(&mut self, source: Rank, message: &Self::Piggyback) {
        self.0.receive(source, message);
    }

    fn send(&mut self, dest: Rank) {
        if NOTES_SENDS {
            self.0.send(dest);
        }
    }

    fn capture(&mut self, head: &mut CheckpointHead, before: &[Self::Piggyback]) {
        self.0.capture(head, before);
    }

    fn describe(&self, head: &mut CheckpointHead) {
        self.0.describe(head);
    }

    fn settle(&mut self) {
        self.0.settle();
    }

    fn revert(&mut self, void: &Self) {
        self.0.revert(&void.0);
    }

    fn line(candidates: &Candidates) -> Option<Line> {
        S::line(candidates)
    }
}

pub fn nothing_is_forced(registry: &mut Registry) {
    registry
        .checkpoint
        .register("bcs", "mutant", |_| Box::new(Induced::new(Careless::<_, false, true>(Bcs::default()))));
}

pub fn sends_are_not_noted(registry: &mut Registry) {
    registry.checkpoint.register("fdas", "mutant", |build| {
        Box::new(Induced::new(Careless::<_, true, false>(Fdas::state(build))))
    });
}

/// A checkpointing protocol in which something is otherwise.
#[derive(Debug, Clone)]
struct Other<C> {
    right: C,
    admits: bool,
    all_return: bool,
}

impl<C: Checkpoint + Clone> PiggybackCheckpointing for Other<C> {
    fn phrase(&self) -> Option<&'static str> {
        self.right.phrase()
    }

    fn piggyback(&mut self, dest: Rank, out: &mut Vec<u8>) {
        self.right.piggyback(dest, out);
    }

    fn sent(&mut self, dest: Rank, ssn: Ssn) {
        self.right.sent(dest, ssn);
    }

    fn before_receive(&mut self, message: Arriving<'_>) -> Result<Admission, WireError> {
        match self.admits {
            true => Ok(Admission::Admit),
            false => self.right.before_receive(message),
        }
    }

    fn received(&mut self, message: Arriving<'_>) -> Result<(), WireError> {
        self.right.received(message)
    }
}

impl<C: Checkpoint + Clone> Checkpoint for Other<C> {
    fn on_timer(&mut self, context: &mut CheckpointContext<'_>) {
        self.right.on_timer(context);
    }

    fn on_control(
        &mut self,
        context: &mut CheckpointContext<'_>,
        from: Rank,
        message: &[u8],
    ) -> Result<(), WireError> {
        self.right.on_control(context, from, message)
    }

    fn describe(&self, head: &mut CheckpointHead) {
        self.right.describe(head);
    }

    fn capture(&mut self, head: &mut CheckpointHead) {
        self.right.capture(head);
    }

    fn captured(&mut self, context: &mut CheckpointContext<'_>, head: &CheckpointHead) {
        self.right.captured(context, head);
    }

    fn durable(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.right.durable(context, number);
    }

    fn failed(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.right.failed(context, number);
    }

    fn recovered(&mut self, context: &mut CheckpointContext<'_>) {
        self.right.recovered(context);
    }

    fn line(&self, candidates: &Candidates) -> Option<Line> {
        let newest = |own: &[Candidate]| own.iter().rposition(|candidate| !candidate.current);
        match self.all_return {
            true => candidates.iter().map(newest).collect(),
            false => self.right.line(candidates),
        }
    }

    fn save(&self) -> Vec<u8> {
        self.right.save()
    }

    fn load(&mut self, state: &[u8]) -> Result<(), WireError> {
        self.right.load(state)
    }
}

pub fn markers_are_late(registry: &mut Registry) {
    registry.checkpoint.register("chandy-lamport", "mutant", |_| {
        Box::new(Other { right: ChandyLamport::default(), admits: true, all_return: false })
    });
}

pub fn everybody_returns(registry: &mut Registry) {
    registry.checkpoint.register("independent, checkpoint counter", "mutant", |build| {
        Box::new(Other { right: RollbackDependencyGraph::new(build), admits: false, all_return: true })
    });
}

/// Determinants of answers that name the requests behind those that were complete.
#[derive(Debug, Clone)]
struct NamesOthers(CallStructure);

impl module::Determinant for NamesOthers {
    fn create_determinant(
        &mut self,
        owner: Rank,
        index: EventIndex,
        observed: u64,
        what: Happened,
    ) -> Determinant {
        let mut made = self.0.create_determinant(owner, index, observed, what);
        if let Happened::Observation { answer: Answer::Requests(requests), .. } = &mut made.what {
            requests.iter_mut().for_each(|request| *request += 1);
        }
        made
    }
}

pub fn answers_name_others(registry: &mut Registry) {
    registry.determinant =
        Implementation { name: "mutant", make: Box::new(|_| Box::new(NamesOthers(CallStructure))) };
}
