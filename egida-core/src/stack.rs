//! A stack: one module in each slot, and the event handler that runs them (Figure 5 of the Egida paper).
//!
//! ```text
//!   event of the application ──> EventHandler method ──> modules, each through its context ──> Outcome
//! ```
//!
//! The stack knows nothing of channels, matching or processes: the engine calls it at every event and does what the
//! outcome says. It is deterministic: same calls, same outcomes.

mod checkpointing;

use crate::clock::{IncarnationClock, Token};
use crate::driver::{EntryKind, JournalEntry};
use crate::event::{Answer, Happened};
use crate::fault::Fault;
use crate::gate::{Condition, Gate, StoreId};
use crate::ids::{Domain, EventIndex, Position, Rank, Ssn, Version};
use crate::module::{
    self, Call, Delivered, Entry, HowToLog, HowToOutputCommit, Journal, LogContext, LogEventDeterminant,
    LogEventInfo, MutedJournal, OrphanDetection, PiggybackContext, PiggybackError, PiggybackLogging,
    PlaceContext, StableStorage, Standing, StorageContext, Trace, VolatileStorage, WhereToLog, WriteContext,
};
use crate::recovery::HeldDeterminant;
use crate::wire::put_varint;
pub use checkpointing::Checkpointing;
pub(crate) use checkpointing::{CheckpointEvent, StackHistory};

/// Which non-deterministic events make determinants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// None: nothing is ever replayed.
    Nothing,
    /// What the library chose, and input from outside: the `choice` event.
    Choices,
    /// Every delivery besides: the paper's `receive` event.
    Deliveries,
}

/// What an event handler decides about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The event takes effect.
    Accept,
    /// It takes effect when the gate opens.
    Hold(Gate),
    /// It waits for a token that is on its way.
    Postpone,
    /// It is dropped, for this reason.
    Drop(&'static str),
    /// A checkpoint must be taken first.
    CheckpointFirst,
    /// The process must roll back to this event.
    RollBack(EventIndex),
}

/// What an event handler found in a message that arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What is to be done with it.
    pub verdict: Verdict,
    /// What it depends on, where the protocol tracks that.
    pub clock: Option<Box<IncarnationClock>>,
}

/// The event handler of section 4.1: what the engine calls at each of the relevant events of section 3.1.
pub trait EventHandler {
    /// A non-deterministic event has happened; `after` is the clock of the message that it delivers.
    ///
    /// # Errors
    /// Any [`Fault`] of a module.
    fn non_deterministic(
        &mut self,
        journal: &mut dyn Journal,
        what: Happened,
        after: Option<Box<IncarnationClock>>,
    ) -> Result<Verdict, Fault>;

    /// A message was delivered whole to the library; the application has not seen it.
    ///
    /// # Errors
    /// Any [`Fault`] of a module.
    fn delivered(&mut self, journal: &mut dyn Journal, message: Delivered<'_>) -> Result<Verdict, Fault>;

    /// A message is about to be sent: a dependency-generating event. Appends its piggyback where it is really written
    /// (`fresh`); one that stands on its channel already keeps the piggyback that it has. Returns the gate that readers
    /// of the message honour.
    ///
    /// # Errors
    /// Any [`Fault`] of a module.
    fn send(
        &mut self,
        journal: &mut dyn Journal,
        dest: Rank,
        ssn: Ssn,
        len: u64,
        fresh: bool,
        piggyback: &mut Vec<u8>,
    ) -> Result<Gate, Fault>;

    /// A message has arrived; its piggyback is taken in before anyone can see the message.
    ///
    /// # Errors
    /// [`PiggybackError`] where the piggyback is malformed or a module fails.
    fn arrival(
        &mut self,
        journal: &mut dyn Journal,
        source: Rank,
        piggyback: &[u8],
    ) -> Result<Taken, PiggybackError>;

    /// Output that depends on everything below `position` of the rank's journal is about to leave. `heads` is how far the
    /// journals of all ranks had come by then, by rank, where [`Stack::commits_with_others`]; else it may be empty. Called
    /// by the node, on the node's own instance of the stack.
    fn output(&mut self, journal: &mut dyn Journal, position: Position, heads: &[Position]) -> Gate;

    /// A failure was detected: the memory of a domain is lost.
    fn failure(&mut self, domain: Domain);
}

/// One log statement of the specification, bound: how, where, and the storages there.
#[derive(Debug, Clone)]
pub struct LogPath {
    /// Synchronously or asynchronously.
    pub how: Box<dyn HowToLog>,
    /// The way to the storage.
    pub place: Box<dyn WhereToLog>,
    /// Stable storage, if the statement names one.
    pub stable: Option<Box<dyn StableStorage>>,
    /// Volatile storage, if the statement names one.
    pub volatile: Option<Box<dyn VolatileStorage>>,
    /// How many failure domains must hold what lies in volatile memory before output may depend on it.
    pub copies: Domain,
}

impl LogPath {
    /// Whether a sent message needs nothing of this path, since it stands on its channel.
    fn passes_sent(&self) -> bool {
        let keeps_nothing = self.volatile.as_ref().is_some_and(|volatile| volatile.passes_sent());
        self.how.passes_sent() && self.place.passes_sent() && self.stable.is_none() && keeps_nothing
    }

    fn context<'a>(&'a mut self, journal: &'a mut dyn Journal, trace: &'a mut Trace) -> LogContext<'a> {
        LogContext {
            how: &mut *self.how,
            below: WriteContext {
                place: &mut *self.place,
                below: PlaceContext {
                    stable: self.stable.as_deref_mut().map(|stable| stable as _),
                    volatile: self.volatile.as_deref_mut().map(|volatile| volatile as _),
                    storage: StorageContext { journal, trace },
                    copies: self.copies,
                },
            },
        }
    }
}

/// The modules of a stack. The binder fills it.
#[derive(Debug, Clone)]
pub struct Slots {
    /// Makes determinants.
    pub determinant: Box<dyn module::Determinant>,
    /// Logs determinants.
    pub log_determinant: Box<dyn LogEventDeterminant>,
    /// Where they go.
    pub determinant_path: LogPath,
    /// Logs delivered messages.
    pub log_delivered: Option<(Box<dyn LogEventInfo>, LogPath)>,
    /// Whether what that logs outlives the failures that are to be survived.
    pub delivered_last: bool,
    /// Logs sent messages.
    pub log_sent: Option<(Box<dyn LogEventInfo>, LogPath)>,
    /// Piggybacks.
    pub piggyback: Option<Box<dyn PiggybackLogging>>,
    /// Commits output.
    pub output_commit: Option<Box<dyn HowToOutputCommit>>,
    /// Detects orphans.
    pub orphans: Option<Box<dyn OrphanDetection>>,
    /// Takes checkpoints.
    pub checkpoint: Option<Checkpointing>,
    /// The stores that these write to: bit s for store s.
    pub stores: u8,
    /// Those of them that a send waits for.
    pub awaited: u8,
}

/// A live stack of one rank.
#[derive(Debug, Clone)]
pub struct Stack {
    rank: Rank,
    scope: Scope,
    strict: bool,
    slots: Slots,
    trace: Trace,
    next_event: EventIndex,
    observed: u64,
    observed_known: u64,
    gate: Gate,
    /// Whether no module has a part in what is sent but, perhaps, the one that piggybacks.
    passes_sent: bool,
}

impl Stack {
    /// A stack for `rank`. Where `strict`, a delivery waits for its own determinant (`before = delivery`).
    #[must_use]
    pub fn new(rank: Rank, scope: Scope, strict: bool, slots: Slots) -> Self {
        let is_logged = slots.log_sent.as_ref();
        let passes_sent = slots.checkpoint.is_none()
            && is_logged.is_none_or(|(log, path)| log.passes_sent() && path.passes_sent());
        Self {
            passes_sent,
            rank,
            scope,
            strict,
            slots,
            trace: Trace::default(),
            next_event: 0,
            observed: 0,
            observed_known: 0,
            gate: Gate::open(),
        }
    }

    /// Which events make determinants.
    #[must_use]
    #[inline]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether delivered messages are logged at the receiver.
    #[must_use]
    #[inline]
    pub fn logs_delivered(&self) -> bool {
        self.slots.log_delivered.is_some()
    }

    /// Whether a message that is in that log need not be kept by its sender any more.
    #[must_use]
    pub fn regains_delivered(&self) -> bool {
        self.logs_delivered() && self.slots.delivered_last
    }

    /// Whether messages carry anything, and acknowledgements matter.
    #[must_use]
    pub fn piggybacks(&self) -> bool {
        self.slots.piggyback.is_some()
    }

    /// Whether an acknowledgement by `dest` would change anything.
    #[must_use]
    #[inline]
    pub fn awaits(&self, dest: Rank) -> bool {
        self.slots.piggyback.as_ref().is_some_and(|piggyback| piggyback.awaits(dest))
    }

    /// Whether sent messages must be kept by their sender for as long as their receiver may ask for them again.
    #[must_use]
    #[inline]
    pub fn keeps_sent(&self) -> bool {
        self.scope != Scope::Nothing || self.takes_checkpoints()
    }

    /// Whether sending is all there is to a send: nothing is logged, carried along or waited for.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.scope == Scope::Nothing
            && self.slots.log_sent.is_none()
            && self.slots.piggyback.is_none()
            && !self.takes_checkpoints()
    }

    /// The gate of the next send to `dest`, where that gate is all there is to it: [`EventHandler::send`] would do nothing, and
    /// there is nothing to carry along.
    #[inline]
    pub fn quiet_send(&self, dest: Rank) -> Option<&Gate> {
        let is_quiet = self.passes_sent
            && (self.scope == Scope::Nothing || self.observed <= self.observed_known)
            && self.slots.piggyback.as_ref().is_none_or(|piggyback| piggyback.has_nothing_for(dest))
            && !self.trace.is_enabled();
        is_quiet.then_some(&self.gate)
    }

    /// Whether a delivery that is no event needs nothing of the modules, where its message carries nothing.
    #[must_use]
    pub fn delivers_silently(&self) -> bool {
        self.scope != Scope::Deliveries
            && !self.logs_delivered()
            && !self.detects_orphans()
            && !self.takes_checkpoints()
    }

    /// The stores that what is logged goes to: bit s for store s.
    #[must_use]
    pub fn stores(&self) -> u8 {
        self.slots.stores
    }

    /// The stores that must have reached the position in a record's head before it may be read.
    #[must_use]
    #[inline]
    pub fn awaited(&self) -> u8 {
        self.slots.awaited
    }

    /// Whether messages and states may turn out to be orphans.
    #[must_use]
    #[inline]
    pub fn detects_orphans(&self) -> bool {
        self.slots.orphans.is_some()
    }

    /// Whether committing output takes the logs of other ranks.
    #[must_use]
    pub fn commits_with_others(&self) -> bool {
        self.slots.output_commit.as_ref().is_some_and(|commit| commit.takes_others())
    }

    /// Begins a version of the rank with `events` events behind it, knowing of these ends of versions.
    pub fn begin(&mut self, version: Version, events: EventIndex, tokens: &[Token]) {
        if let Some(orphans) = &mut self.slots.orphans {
            for &token in tokens {
                orphans.token(token);
            }
        }
        if let Some(piggyback) = &mut self.slots.piggyback {
            piggyback.begin(version, events);
        }
    }

    /// Notes in the journal that the rank's events from number `from` on are void.
    ///
    /// # Errors
    /// Any [`Fault`] of the journal.
    pub fn rolled_back(&mut self, journal: &mut dyn Journal, from: EventIndex) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, from);
        let stores = self.slots.stores;
        journal.log(JournalEntry { kind: EntryKind::RolledBack, stores, bytes: &bytes }).map(|_| ())
    }

    /// A version of a rank has ended. Returns whether this rank's state is an orphan.
    pub fn token(&mut self, token: Token) -> bool {
        self.trace.enter("EventHandler", "Token");
        self.trace.enter("OrphanDetection", "Token");
        let orphan = self.slots.orphans.as_mut().is_some_and(|orphans| orphans.token(token));
        self.trace.leave();
        self.trace.leave();
        orphan
    }

    /// Whether a message with this clock is known never to have been sent.
    #[must_use]
    pub fn is_obsolete(&self, clock: &IncarnationClock) -> bool {
        self.slots.orphans.as_ref().is_some_and(|orphans| orphans.judge(clock) == Standing::Obsolete)
    }

    /// How many non-deterministic events have determinants.
    #[must_use]
    #[inline]
    pub fn events(&self) -> EventIndex {
        self.next_event
    }

    /// Records every call of a module from now on.
    pub fn instrument(&mut self) {
        self.trace.enable();
    }

    /// Takes the recorded calls.
    pub fn take_calls(&mut self) -> Vec<Call> {
        self.trace.take()
    }

    /// Completes an observation that found nothing or whose determinant is known: a run of failures costs no entry until
    /// something may come to depend on it.
    pub fn observation_completed(&mut self) {
        self.observed += 1;
    }

    /// How many observations were completed.
    #[must_use]
    pub fn observed(&self) -> u64 {
        self.observed
    }

    /// Recovered observations below this number need no determinant any more.
    pub fn observations_known(&mut self, below: u64) {
        self.observed_known = self.observed_known.max(below);
    }

    /// Puts a recovered determinant back: into the journal too where the memory that held it was lost and no stable
    /// storage has it. One of another rank that nothing here can come to depend on is only kept for its owner, which has
    /// it where it is to be besides: the stores need not have it from here.
    ///
    /// # Errors
    /// Any [`Fault`] of a module.
    pub fn restore(
        &mut self,
        journal: &mut dyn Journal,
        held: &HeldDeterminant,
        memory_lost: bool,
    ) -> Result<(), Fault> {
        let own = held.determinant.owner == self.rank;
        let (mut muted, mut kept) = (MutedJournal, KeptForOthers(journal));
        let journal: &mut dyn Journal = match memory_lost && !held.stable {
            true if own || self.slots.piggyback.is_some() => kept.0,
            true => &mut kept,
            false => &mut muted,
        };
        let mut context = self.slots.determinant_path.context(journal, &mut self.trace);
        let (id, gate) = self.slots.log_determinant.log(&mut context, &held.determinant, own)?;
        if own {
            self.next_event = self.next_event.max(held.determinant.index + 1);
            if !held.stable {
                self.gate.join(&gate);
            }
        }
        if let (Some(orphans), Some(after)) = (&mut self.slots.orphans, &held.determinant.after) {
            orphans.delivered(after);
        }
        if let Some(piggyback) = &mut self.slots.piggyback {
            piggyback.restored(id, &held.determinant, &held.holders, held.stable);
        }
        Ok(())
    }

    /// `dest` has taken in all messages below `below`.
    pub fn acknowledged(&mut self, journal: &mut dyn Journal, dest: Rank, below: Ssn) {
        if let Some((piggyback, mut context)) = self.piggyback(journal) {
            piggyback.acknowledged(&mut context, dest, below);
        }
    }

    fn piggyback<'a>(
        &'a mut self,
        journal: &'a mut dyn Journal,
    ) -> Option<(&'a mut Box<dyn PiggybackLogging>, PiggybackContext<'a>)> {
        let piggyback = self.slots.piggyback.as_mut()?;
        let context = PiggybackContext {
            log_determinant: &mut *self.slots.log_determinant,
            below: self.slots.determinant_path.context(journal, &mut self.trace),
        };
        Some((piggyback, context))
    }

    /// Creates and logs a determinant; returns the gate of its storage.
    fn log_event(
        &mut self,
        journal: &mut dyn Journal,
        what: Happened,
        after: Option<Box<IncarnationClock>>,
    ) -> Result<Gate, Fault> {
        let observation = matches!(what, Happened::Observation { .. });
        self.trace.enter("Determinant", "CreateDeterminant");
        let mut determinant =
            self.slots.determinant.create_determinant(self.rank, self.next_event, self.observed, what);
        determinant.after = after;
        self.trace.leave();
        self.trace.enter("LogEventDeterminant", "Log");
        let mut context = self.slots.determinant_path.context(journal, &mut self.trace);
        let logged = self.slots.log_determinant.log(&mut context, &determinant, true);
        self.trace.leave();
        let (id, gate) = logged?;
        self.next_event += 1;
        // An observation's determinant answers for its own call, besides all before it.
        self.observed_known = self.observed_known.max(self.observed + u64::from(observation));
        if let (Some(orphans), Some(after)) = (&mut self.slots.orphans, &determinant.after) {
            self.trace.enter("OrphanDetection", "Delivered");
            orphans.delivered(after);
            self.trace.leave();
        }
        if let Some(piggyback) = &mut self.slots.piggyback {
            piggyback.logged(id, &determinant);
        }
        self.gate.join(&gate);
        Ok(gate)
    }

    fn verdict(&self, gate: Gate) -> Verdict {
        if self.strict && !gate.is_open() { Verdict::Hold(gate) } else { Verdict::Accept }
    }

    /// Makes failed polls known before something comes to depend on them.
    fn close_polls(&mut self, journal: &mut dyn Journal) -> Result<(), Fault> {
        if self.scope != Scope::Nothing && self.observed > self.observed_known {
            self.log_event(journal, Happened::Polls, None)?;
        }
        Ok(())
    }
}

/// A journal for what a rank holds for others only: its stores have no part in that.
struct KeptForOthers<'a>(&'a mut dyn Journal);

impl Journal for KeptForOthers<'_> {
    fn log(&mut self, entry: JournalEntry<'_>) -> Result<Position, Fault> {
        self.0.log(JournalEntry { stores: 0, ..entry })
    }

    fn flush(&mut self, store: StoreId, position: Position) {
        self.0.flush(store, position);
    }

    fn stable(&self, store: StoreId) -> Position {
        self.0.stable(store)
    }
}

impl EventHandler for Stack {
    fn non_deterministic(
        &mut self,
        journal: &mut dyn Journal,
        what: Happened,
        after: Option<Box<IncarnationClock>>,
    ) -> Result<Verdict, Fault> {
        if self.scope == Scope::Nothing
            || matches!(&what, Happened::Observation { answer: Answer::Nothing, .. })
        {
            return Ok(Verdict::Accept);
        }
        self.trace.enter("EventHandler", "NonDeterministicEvent");
        let gate = self.log_event(journal, what, after);
        self.trace.leave();
        gate.map(|gate| self.verdict(gate))
    }

    fn delivered(&mut self, journal: &mut dyn Journal, message: Delivered<'_>) -> Result<Verdict, Fault> {
        let Some((log, path)) = &mut self.slots.log_delivered else { return Ok(Verdict::Accept) };
        self.trace.enter("EventHandler", "Delivered");
        self.trace.enter("LogEventInfo", "Log");
        let mut context = path.context(journal, &mut self.trace);
        let logged = log.log(&mut context, Entry::Delivered(message));
        self.trace.leave();
        self.trace.leave();
        let (_, gate) = logged?;
        self.gate.join(&gate);
        Ok(self.verdict(gate))
    }

    fn send(
        &mut self,
        journal: &mut dyn Journal,
        dest: Rank,
        ssn: Ssn,
        len: u64,
        fresh: bool,
        piggyback: &mut Vec<u8>,
    ) -> Result<Gate, Fault> {
        self.trace.enter("EventHandler", "Send");
        self.close_polls(journal)?;
        if let Some((log, path)) = &mut self.slots.log_sent {
            self.trace.enter("LogEventInfo", "Log");
            let mut context = path.context(journal, &mut self.trace);
            let logged = log.log(&mut context, Entry::Sent { dest, ssn, len });
            self.trace.leave();
            let (_, gate) = logged?;
            self.gate.join(&gate);
        }
        self.send_for_checkpoints(dest, ssn, fresh, piggyback);
        if fresh {
            let enabled = self.slots.piggyback.is_some();
            if enabled {
                self.trace.enter("PiggybackLogging", "GetPiggyback");
            }
            let got = match self.piggyback(journal) {
                Some((module, mut context)) => module.get_piggyback(&mut context, dest, ssn, piggyback),
                None => Ok(()),
            };
            if enabled {
                self.trace.leave();
            }
            got?;
        }
        self.trace.leave();
        Ok(self.gate.clone())
    }

    fn arrival(
        &mut self,
        journal: &mut dyn Journal,
        source: Rank,
        piggyback: &[u8],
    ) -> Result<Taken, PiggybackError> {
        let Some(module) = &self.slots.piggyback else {
            return Ok(Taken { verdict: Verdict::Accept, clock: None });
        };
        self.trace.enter("EventHandler", "Arrival");
        let mut verdict = Verdict::Accept;
        let mut clock = None;
        if let Some(orphans) = &self.slots.orphans {
            clock = module.clock(piggyback)?.map(Box::new);
            if let Some(clock) = &clock {
                self.trace.enter("OrphanDetection", "Judge");
                verdict = match orphans.judge(clock) {
                    Standing::Valid => Verdict::Accept,
                    Standing::Undecided => Verdict::Postpone,
                    Standing::Obsolete => Verdict::Drop("it depends on an event that is lost"),
                };
                self.trace.leave();
            }
        }
        let mut processed = Ok(());
        if verdict == Verdict::Accept {
            self.trace.enter("PiggybackLogging", "ProcessPiggyback");
            if let Some((module, mut context)) = self.piggyback(journal) {
                processed = module.process_piggyback(&mut context, source, piggyback);
            }
            self.trace.leave();
        }
        self.trace.leave();
        processed.map(|()| Taken { verdict, clock })
    }

    fn output(&mut self, journal: &mut dyn Journal, position: Position, heads: &[Position]) -> Gate {
        self.trace.enter("EventHandler", "Output");
        let mut gate = Gate::open();
        if let Some(commit) = &mut self.slots.output_commit {
            self.trace.enter("HowToOutputCommit", "OutputCommit");
            let mut context = PiggybackContext {
                log_determinant: &mut *self.slots.log_determinant,
                below: self.slots.determinant_path.context(journal, &mut self.trace),
            };
            gate.join(&commit.output_commit(&mut context, position, heads));
            self.trace.leave();
        }
        self.trace.leave();
        gate
    }

    fn failure(&mut self, domain: Domain) {
        if let Some(piggyback) = &mut self.slots.piggyback {
            piggyback.lost(domain);
        }
    }
}

/// The single journal position that a record's header can carry: all stores of [`Stack::awaited`] must have reached it.
///
/// # Errors
/// A gate that is not on stores cannot be honoured by readers in this build.
pub fn required_position(gate: &Gate) -> Result<Position, Fault> {
    if gate.is_open() {
        return Ok(0);
    }
    let mut required = 0;
    for condition in gate.conditions() {
        match condition {
            Condition::Stable { position, .. } => required = required.max(position),
            Condition::Held { .. } => {
                return Err(Fault::Unsupported("a send gated on other domains' memory"));
            }
            Condition::Other { .. } => {
                return Err(Fault::Unsupported("a send gated on the logs of other ranks"));
            }
            Condition::Line { .. } => {
                return Err(Fault::Unsupported("a send gated on a recovery line"));
            }
        }
    }
    Ok(required)
}
