//! The engine of a rank: matching, channels, replay and the protocol's stack, over a driver.
//!
//! ```text
//!   application ── Api ──> Engine ──┬── Matching, Replay     what meets what, and what met what before
//!                                   ├── Stack                what is logged, piggybacked, waited for
//!                                   └── Driver               bytes, wakes, crash points
//! ```
//!
//! A driver's loop: make an [`Engine`] with what recovery gave it (nothing, for a first incarnation), then call
//! [`Api`](crate::api::Api) methods as the application asks, and [`Api::progress`](crate::api::Api::progress) while it waits.

mod arrivals;
mod calls;
mod checkpointing;
mod image;
mod inbound;
mod receive;
mod shown;

use std::collections::{BTreeMap, VecDeque};

use crate::api::{Pattern, ReceiveId, SendId};
use crate::control::Control;
use crate::crash::{CrashPoint, Failpoint};
use crate::driver::{Comparison, Driver, EntryKind, Extent, JournalEntry, Progress};
use crate::event::Happened;
use crate::fault::Fault;
use crate::gate::{Condition, Gate, MAX_STORES, StoreId};
use crate::ids::{Domains, EventIndex, Position, Rank, Ssn};
use crate::matching::{Arrived, Claim, Matching};
use crate::module::{Delivered, Journal};
use crate::recovery::RecoveryImage;
use crate::replay::Replay;
use crate::stack::{EventHandler, Stack, Verdict, required_position};
use crate::trace::{Event, Gated};
use crate::wire::{Envelope, RecordHeader, SendMode};
use checkpointing::Checkpoints;
use inbound::{Inbound, Message, Place};
use receive::Receive;

/// What to do when a re-execution does not repeat itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDivergence {
    /// End the rank with [`Fault::Divergence`].
    #[default]
    Stop,
    /// Note it, and go on with what the first execution did.
    Warn,
}

/// The state of one outbound channel.
#[derive(Clone, Default)]
struct Outbound {
    next: Ssn,
    extent: Extent,
    synchronous: BTreeMap<Ssn, bool>,
}

impl Outbound {
    /// Below which number every synchronous message is complete.
    fn completed(&self) -> Ssn {
        let waiting = self.synchronous.iter().filter(|&(_, &matched)| !matched).map(|(&ssn, _)| ssn);
        waiting.min().unwrap_or(self.next)
    }
}

/// The engine of one rank.
#[derive(Clone)]
pub struct Engine<D> {
    rank: Rank,
    domains: Domains,
    driver: D,
    stack: Stack,
    matching: Matching,
    replay: Replay,
    on_divergence: OnDivergence,
    inbound: Vec<Inbound>,
    outbound: Vec<Outbound>,
    receives: BTreeMap<ReceiveId, Receive>,
    /// Receives whose posting is put off, in the order posted.
    deferred: VecDeque<(ReceiveId, Pattern)>,
    posts: u64,
    reads: u64,
    epoch: Option<u64>,
    entered: bool,
    counts: Progress,
    before: (u64, u64),
    half_told: bool,
    end_told: bool,
    /// Receives whose payload was read to its end and waits to be logged.
    to_log: Vec<ReceiveId>,
    /// Logged deliveries whose channel space the sender may reclaim once the journal is stable to the position.
    to_release: VecDeque<(Position, Rank, Ssn)>,
    /// Sources of messages that an earlier incarnation logged.
    from_own_log: Vec<Rank>,
    warnings: Vec<Fault>,
    ready: Vec<Rank>,
    piggyback: Vec<u8>,
    notices: Vec<Ssn>,
    inbox: Vec<Control>,
    checkpoints: Checkpoints,
    /// [`Stack::is_silent`] and [`Stack::delivers_silently`], which never change.
    sends_silently: bool,
    delivers_silently: bool,
}

/// What a posted receive may take, where a determinant says what it took before, or none does.
fn claim(forced: Option<(Rank, Ssn)>, pattern: Pattern, replay: &Replay) -> Claim {
    match forced {
        Some((source, ssn)) => Claim::Forced(source, ssn),
        None if pattern.source.is_none() && !replay.is_over() => Claim::Blocked,
        None => Claim::Any,
    }
}

/// A driver's journal of this rank, for the stack.
struct JournalOf<'a, D>(&'a mut D, Rank);

impl<D: Driver> Journal for JournalOf<'_, D> {
    fn log(&mut self, entry: JournalEntry<'_>) -> Result<Position, Fault> {
        let own = entry.kind == EntryKind::Own;
        if own {
            self.0.crash_point(CrashPoint::At(Failpoint::DeterminantCreated))?;
        }
        let position = self.0.log(entry)?;
        if own {
            self.0.crash_point(CrashPoint::At(Failpoint::DeterminantLogged))?;
        }
        Ok(position)
    }

    fn flush(&mut self, store: StoreId, position: Position) {
        self.0.flush(store, position);
    }

    fn stable(&self, store: StoreId) -> Position {
        self.0.stable(self.1, store)
    }
}

impl<D: Driver> Engine<D> {
    /// An engine for `rank` with its stack, and with what recovery collected for it if it is not the first incarnation.
    ///
    /// # Errors
    /// Any [`Fault`] while what was recovered is put back.
    pub fn new(
        rank: Rank,
        domains: Domains,
        mut driver: D,
        mut stack: Stack,
        image: Option<RecoveryImage>,
        on_divergence: OnDivergence,
    ) -> Result<Self, Fault> {
        let mut image = image.unwrap_or_default();
        // Other holders may have failed since this was collected, and nobody tells a rank of failures before it begins.
        for held in &mut image.determinants {
            held.holders.retain(|&holder| holder == domains.of(rank));
        }
        if image.version > 0 {
            let behind = image.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.head.events);
            let events = behind + image.determinants.len() as EventIndex;
            stack.begin(image.version, events, &image.tokens);
            stack.rolled_back(&mut JournalOf(&mut driver, rank), events)?;
        }
        for held in &image.determinants {
            stack.restore(&mut JournalOf(&mut driver, rank), held, image.memory_lost)?;
        }
        let own = image.determinants.iter().map(|held| &held.determinant).filter(|det| det.owner == rank);
        let replay = Replay::new(own, image.observed);
        stack.observations_known(replay.observed());
        let ranks = domains.ranks();
        let mut inbound: Vec<Inbound> = (0..ranks).map(|_| Inbound::default()).collect();
        let mut from_own_log = Vec::new();
        for message in image.messages {
            let source = message.source;
            if from_own_log.last() != Some(&source) {
                from_own_log.push(source);
            }
            inbound[source as usize].logged.insert(message.ssn, message);
        }
        let outbound = (0..ranks)
            .map(|dest| Outbound {
                extent: if dest == rank { Extent::default() } else { driver.extent(dest) },
                ..Outbound::default()
            })
            .collect();
        let (sends_silently, delivers_silently) = (stack.is_silent(), stack.delivers_silently());
        let mut engine = Self {
            sends_silently,
            delivers_silently,
            rank,
            domains,
            driver,
            stack,
            matching: Matching::default(),
            replay,
            on_divergence,
            inbound,
            outbound,
            receives: BTreeMap::new(),
            deferred: VecDeque::new(),
            posts: 0,
            reads: 0,
            epoch: None,
            entered: false,
            counts: Progress { live: true, ..Progress::default() },
            before: (image.sends_before, image.deliveries_before),
            half_told: false,
            end_told: false,
            to_log: Vec::new(),
            to_release: VecDeque::new(),
            from_own_log,
            warnings: Vec::new(),
            ready: Vec::new(),
            piggyback: Vec::new(),
            notices: Vec::new(),
            inbox: Vec::new(),
            checkpoints: Checkpoints::new(image.incarnation, image.round, ranks),
        };
        if engine.stack.takes_checkpoints() {
            let held = image.determinants.into_iter().map(|held| held.determinant);
            let held = held.filter(|determinant| determinant.owner != rank);
            engine.checkpoints.carried =
                held.map(|determinant| ((determinant.owner, determinant.index), determinant)).collect();
        }
        if let Some(checkpoint) = image.checkpoint {
            engine.restore(*checkpoint)?;
        }
        if image.incarnation > 1 {
            engine.driver.crash_point(CrashPoint::At(Failpoint::ReplayStart))?;
        }
        engine.note();
        Ok(engine)
    }

    /// The driver, for what is no business of the engine.
    pub fn driver(&mut self) -> &mut D {
        &mut self.driver
    }

    /// The driver, to look at.
    pub fn driver_ref(&self) -> &D {
        &self.driver
    }

    /// The protocol's stack, to look at.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// How far the rank has come.
    #[must_use]
    pub fn counts(&self) -> Progress {
        self.counts
    }

    /// Takes what was noted under [`OnDivergence::Warn`].
    pub fn take_warnings(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.warnings)
    }

    /// Passes a named crash point of a layer above.
    ///
    /// # Errors
    /// [`Fault::Crashed`] in the simulator.
    pub fn failpoint(&mut self, point: Failpoint) -> Result<(), Fault> {
        self.driver.crash_point(CrashPoint::At(point))
    }

    /// The application has ended its part: whatever replay was expected of it is over.
    pub fn finished(&mut self) {
        self.before = (0, 0);
        self.leave();
        self.note();
    }

    fn note(&mut self) {
        self.counts.observed = self.stack.observed();
        self.counts.events = self.stack.events();
        self.counts.to_replay = self.replay.left();
        self.counts.caught_up = self.replay.is_over()
            && self.counts.sends >= self.before.0
            && self.counts.deliveries >= self.before.1;
        self.driver.note(self.counts);
    }

    /// As [`Self::note`], where at most the numbers of sends and deliveries have changed, and events come with their own notes.
    #[inline]
    fn note_traffic(&mut self) {
        if self.counts.caught_up && self.counts.events == self.stack.events() {
            self.driver.note_traffic(self.counts.sends, self.counts.deliveries);
        } else {
            self.note();
        }
    }

    #[inline(always)] // for every message; so below
    fn enter(&mut self) {
        if self.entered {
            return;
        }
        let epoch = self.driver.enter();
        self.entered = true;
        if self.epoch != Some(epoch) {
            self.epoch = Some(epoch);
            self.renew_channels();
        }
    }

    #[inline(always)]
    fn leave(&mut self) {
        if self.entered {
            self.driver.leave();
            self.entered = false;
        }
    }

    /// Starts reading those inbound channels anew that began anew (all of them in a new engine).
    #[cold]
    fn renew_channels(&mut self) {
        for source in 0..self.domains.ranks() {
            if source == self.rank {
                continue;
            }
            let generation = self.driver.generation(source);
            let inbound = &mut self.inbound[source as usize];
            if inbound.generation == Some(generation) {
                continue;
            }
            let lost = inbound.generation.replace(generation).is_some();
            let first = self.driver.rewind(source);
            self.inbound[source as usize].rewound(first);
            if lost {
                self.stack.failure(self.domains.of(source));
            }
        }
    }

    fn diverged(&mut self, what: String) -> Result<(), Fault> {
        self.diverged_at(self.rank, what)
    }

    fn diverged_at(&mut self, rank: Rank, what: String) -> Result<(), Fault> {
        let fault = Fault::Divergence { rank, what };
        match self.on_divergence {
            OnDivergence::Stop => Err(fault),
            OnDivergence::Warn => {
                self.warnings.push(fault);
                Ok(())
            }
        }
    }

    /// A message meets a receive: a delivery, in the words of the protocols.
    fn matched_now(&mut self, id: ReceiveId, message: Arrived) -> Result<(), Fault> {
        self.counts.deliveries += 1;
        self.driver.crash_point(CrashPoint::Deliver(self.counts.deliveries))?;
        self.driver.crash_point(CrashPoint::At(Failpoint::Match))?;
        if self.counts.deliveries <= self.before.1 {
            self.counts.replayed_deliveries += 1;
        }
        let slot = self.inbound[message.source as usize].get_mut(message.ssn);
        let (mode, clock) =
            slot.map_or((SendMode::Standard, None), |message| (message.mode, message.clock.clone()));
        let Some(receive) = self.receives.get_mut(&id) else {
            return Err(Fault::Bug("a message was matched with a receive that is not posted"));
        };
        receive.message = Some(message);
        let post = receive.post;
        if self.driver.is_traced() {
            let (source, ssn, len) = (message.source, message.ssn, message.len);
            let event = (receive.makes_determinant && receive.forced.is_none()).then(|| self.stack.events());
            let again = self.counts.deliveries <= self.before.1;
            self.driver.trace(Event::Deliver { source, ssn, len, event, again });
        }
        if let Some((source, ssn)) = receive.forced {
            if (source, ssn) != (message.source, message.ssn) {
                let what = format!(
                    "receive {post} took message {} of rank {}, and took message {ssn} of rank {source} before",
                    message.ssn, message.source
                );
                self.diverged(what)?;
            }
        } else if receive.makes_determinant {
            let what = Happened::Delivery { source: message.source, ssn: message.ssn, post };
            let verdict =
                self.stack.non_deterministic(&mut JournalOf(&mut self.driver, self.rank), what, clock)?;
            self.hold(id, verdict)?;
        }
        if message.len == 0 {
            self.payload_read(id);
        }
        if mode == SendMode::Synchronous {
            if message.source == self.rank {
                self.outbound[self.rank as usize].synchronous.insert(message.ssn, true);
            } else {
                if self.stack.takes_checkpoints() {
                    self.inbound[message.source as usize].matched.insert(message.ssn);
                }
                self.driver.notify_matched(message.source, message.ssn)?;
            }
        }
        self.note();
        Ok(())
    }

    /// Keeps a delivery from the application until its gate is open.
    fn hold(&mut self, id: ReceiveId, verdict: Verdict) -> Result<(), Fault> {
        match verdict {
            Verdict::Accept => Ok(()),
            Verdict::Hold(gate) => {
                if let Some(receive) = self.receives.get_mut(&id) {
                    receive.gate.join(&gate);
                    if let Some(Arrived { source, ssn, .. }) = receive.message
                        && self.driver.is_traced()
                    {
                        self.driver.trace(Event::Closed { source, ssn, before: Gated::Delivery });
                    }
                }
                for condition in gate.conditions() {
                    if let Condition::Stable { store, position } = condition {
                        self.driver.flush(store, position);
                    }
                }
                Ok(())
            }
            Verdict::Postpone => Err(Fault::Unsupported("a protocol that postpones deliveries")),
            Verdict::Drop(_) => Err(Fault::Unsupported("a protocol that drops deliveries")),
            Verdict::CheckpointFirst => Err(Fault::Unsupported("a forced checkpoint")),
            Verdict::RollBack(_) => Err(Fault::Unsupported("the rollback of a surviving rank")),
        }
    }

    fn is_open(&self, gate: &Gate) -> bool {
        gate.is_open()
            || gate.conditions().all(|condition| match condition {
                Condition::Stable { store, position } => self.driver.stable(self.rank, store) >= position,
                Condition::Held { .. } | Condition::Other { .. } | Condition::Line { .. } => false,
            })
    }

    /// Whether all of these stores hold what is for them of the journal of `rank` below the position.
    #[inline(always)] // for every message
    fn is_stable(&self, rank: Rank, stores: u8, position: Position) -> bool {
        position == 0 || self.has_come_so_far(rank, stores, position)
    }

    fn has_come_so_far(&self, rank: Rank, stores: u8, position: Position) -> bool {
        (0..MAX_STORES as StoreId)
            .filter(|store| stores & (1 << store) != 0)
            .all(|store| self.driver.stable(rank, store) >= position)
    }

    fn payload_read(&mut self, id: ReceiveId) {
        if self.stack.logs_delivered() {
            self.to_log.push(id);
        } else if let Some(receive) = self.receives.get_mut(&id) {
            receive.logged = true;
        }
    }

    /// Logs deliveries whose payload is here.
    fn log_delivered(&mut self) -> Result<bool, Fault> {
        if self.to_log.is_empty() {
            return Ok(false);
        }
        let ids = std::mem::take(&mut self.to_log);
        for id in ids {
            let Some(receive) = self.receives.get_mut(&id) else { continue };
            let Some(message) = receive.message else { continue };
            receive.logged = true;
            let payload = std::mem::take(&mut receive.collected);
            let slot = self.inbound[message.source as usize].get_mut(message.ssn);
            let (known, mode, clock) = slot.map_or((false, SendMode::Standard, None), |message| {
                (matches!(message.place, Place::Logged(_)), message.mode, message.clock.clone())
            });
            if known || message.source == self.rank {
                continue;
            }
            let mut journal = LastPosition { journal: JournalOf(&mut self.driver, self.rank), last: 0 };
            let delivered = Delivered {
                source: message.source,
                ssn: message.ssn,
                envelope: message.envelope,
                mode,
                clock: clock.as_deref(),
                payload: &payload,
            };
            let verdict = self.stack.delivered(&mut journal, delivered)?;
            let position = journal.last;
            self.hold(id, verdict)?;
            if let Some(slot) = self.inbound[message.source as usize].get_mut(message.ssn) {
                slot.logged_at = Some(position);
            }
        }
        Ok(true)
    }

    /// Tells senders which records this rank will not ask for again.
    fn release(&mut self) {
        let stores = self.stack.stores();
        while let Some(&(position, source, below)) = self.to_release.front() {
            if !self.is_stable(self.rank, stores, position) {
                break;
            }
            self.to_release.pop_front();
            self.driver.release(source, below);
        }
    }

    /// Receives from any source that were held back by the replay take what fits, once it is over.
    fn unblock_if_over(&mut self) -> Result<bool, Fault> {
        self.tell_replay()?;
        if !self.replay.is_over() || !self.matching.has_blocked() {
            return Ok(false);
        }
        for (id, message) in self.matching.unblock() {
            self.matched_now(id, message)?;
        }
        Ok(true)
    }

    fn tell_replay(&mut self) -> Result<(), Fault> {
        if self.replay.total() == 0 || self.end_told {
            return Ok(());
        }
        if !self.half_told && self.replay.left() * 2 <= self.replay.total() {
            self.half_told = true;
            self.driver.crash_point(CrashPoint::At(Failpoint::ReplayMiddle))?;
        }
        if self.replay.is_over() {
            self.end_told = true;
            self.driver.crash_point(CrashPoint::At(Failpoint::ReplayEnd))?;
        }
        Ok(())
    }

    fn send_to_self(&mut self, envelope: Envelope, mode: SendMode, payload: &[u8]) -> Result<SendId, Fault> {
        let outbound = &mut self.outbound[self.rank as usize];
        let ssn = outbound.next;
        outbound.next += 1;
        if mode == SendMode::Synchronous {
            outbound.synchronous.insert(ssn, false);
        }
        let len = payload.len() as u64;
        let message = Message { len, ..Message::new(mode, Place::Logged(payload.to_vec())) };
        self.inbound[self.rank as usize].push(message);
        if self.driver.is_traced() {
            let again = self.counts.sends <= self.before.0;
            let dest = self.rank;
            let event = Event::Send { dest, ssn, len, piggyback: 0, requires: 0, again, skipped: false };
            self.driver.trace(event);
        }
        let arrived = Arrived { source: self.rank, ssn, envelope, len };
        if let Some(id) = self.matching.arrive(arrived) {
            self.matched_now(id, arrived)?;
        }
        Ok(SendId { dest: self.rank, ssn })
    }

    #[inline]
    fn write_record(&mut self, dest: Rank, header: &mut RecordHeader, payload: &[u8]) -> Result<(), Fault> {
        let extent = &self.outbound[dest as usize].extent;
        let fresh = header.ssn > extent.whole || (header.ssn == extent.whole && extent.begun_bytes.is_none());
        if fresh && !self.driver.is_traced() && (self.sends_silently || self.is_quiet(dest, header)?) {
            return self.driver.append(dest, header, &[], payload, 0);
        }
        self.write_by_stack(dest, header, payload)
    }

    /// Whether the protocol has no more part in a send than what the record's head says for it.
    #[inline]
    fn is_quiet(&self, dest: Rank, header: &mut RecordHeader) -> Result<bool, Fault> {
        let Some(gate) = self.stack.quiet_send(dest) else { return Ok(false) };
        header.requires = required_position(gate)?;
        header.events = self.stack.events();
        Ok(true)
    }

    /// Writes a record that the protocol has a part in.
    fn write_by_stack(&mut self, dest: Rank, header: &mut RecordHeader, payload: &[u8]) -> Result<(), Fault> {
        let extent = self.outbound[dest as usize].extent;
        let ssn = header.ssn;
        let whole = ssn < extent.whole;
        let begun = extent.begun_bytes.filter(|_| ssn == extent.whole);
        let fresh = !whole && begun.is_none();
        let mut piggyback = std::mem::take(&mut self.piggyback);
        piggyback.clear();
        let mut journal = JournalOf(&mut self.driver, self.rank);
        let gate = self.stack.send(&mut journal, dest, ssn, payload.len() as u64, fresh, &mut piggyback)?;
        header.requires = required_position(&gate)?;
        header.events = self.stack.events();
        header.piggyback_len = u32::try_from(piggyback.len()).map_err(|_| Fault::OverLimit {
            what: format!("the piggyback of a message to rank {dest}"),
            limit_bytes: u64::from(u32::MAX),
            remedy: "a smaller f",
        })?;
        if self.driver.is_traced() {
            self.driver.trace(Event::Send {
                dest,
                ssn,
                len: header.len,
                piggyback: header.piggyback_len,
                requires: header.requires,
                again: self.counts.sends <= self.before.0,
                skipped: !fresh,
            });
        }
        let written = if whole && ssn < extent.reclaimed {
            self.skipped();
            Ok(())
        } else if whole || begun.is_some() {
            if let Comparison::Differs(how) = self.driver.compare(dest, header, payload)? {
                let what =
                    format!("message {ssn} to rank {dest} differs from the one that it sent before: {how}");
                self.diverged(what)?;
            }
            match begun {
                Some(from) => self.driver.append(dest, header, &[], payload, from),
                None => {
                    self.skipped();
                    Ok(())
                }
            }
        } else {
            self.driver.append(dest, header, &piggyback, payload, 0)
        };
        self.piggyback = piggyback;
        written
    }

    /// A send stands on its channel already.
    fn skipped(&mut self) {
        self.counts.skipped_sends += 1;
        self.note();
    }
}

/// Remembers the last position that a journal gave.
struct LastPosition<J> {
    journal: J,
    last: Position,
}

impl<J: Journal> Journal for LastPosition<J> {
    fn log(&mut self, entry: JournalEntry<'_>) -> Result<Position, Fault> {
        self.last = self.journal.log(entry)?;
        Ok(self.last)
    }

    fn flush(&mut self, store: StoreId, position: Position) {
        self.journal.flush(store, position);
    }

    fn stable(&self, store: StoreId) -> Position {
        self.journal.stable(store)
    }
}
