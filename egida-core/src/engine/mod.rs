//! The engine of a rank: matching, channels, replay and the protocol's stack, over a driver.
//!
//! ```text
//!   application ── Api ──> Engine ──┬── Matching, Replay     what meets what, and what met what before
//!                                   ├── Stack                what is logged, piggybacked, waited for
//!                                   └── Driver               bytes, wakes, crash points
//! ```
//!
//! A driver's loop: make an [`Engine`] with what recovery gave it (nothing, for a first incarnation), then call
//! [`Api`] methods as the application asks, and [`Api::progress`] while it waits.

mod inbound;
mod receive;

use std::collections::HashMap;

use crate::api::{Api, Matched, Observation, Pattern, ReceiveId, SendId};
use crate::crash::{CrashPoint, Failpoint};
use crate::driver::{Comparison, Driver, EntryKind, Extent, JournalEntry, Progress};
use crate::event::{Answer, Happened};
use crate::fault::Fault;
use crate::gate::{Gate, StoreId};
use crate::ids::{Domains, Position, Rank, Ssn};
use crate::matching::{Arrived, Claim, Matching};
use crate::module::{Journal, PiggybackError};
use crate::recovery::RecoveryImage;
use crate::replay::Replay;
use crate::stack::{EventHandler, Scope, Stack, Verdict, required_position};
use crate::wire::{Envelope, RecordHeader, SendMode};
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
#[derive(Debug, Default)]
struct Outbound {
    next: Ssn,
    extent: Extent,
    synchronous: HashMap<Ssn, bool>,
}

/// The engine of one rank.
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
    receives: HashMap<ReceiveId, Receive>,
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
    to_release: std::collections::VecDeque<(Position, Rank, Ssn)>,
    /// Sources of messages that an earlier incarnation logged.
    from_own_log: Vec<Rank>,
    warnings: Vec<Fault>,
    ready: Vec<Rank>,
    piggyback: Vec<u8>,
    notices: Vec<Ssn>,
}

/// A driver's journal, for the stack.
struct JournalOf<'a, D>(&'a mut D);

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
        let image = image.unwrap_or_default();
        for held in &image.determinants {
            stack.restore(&mut JournalOf(&mut driver), held, image.memory_lost)?;
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
        let mut engine = Self {
            rank,
            domains,
            driver,
            stack,
            matching: Matching::default(),
            replay,
            on_divergence,
            inbound,
            outbound,
            receives: HashMap::new(),
            posts: 0,
            reads: 0,
            epoch: None,
            entered: false,
            counts: Progress { live: true, ..Progress::default() },
            before: (image.sends_before, image.deliveries_before),
            half_told: false,
            end_told: false,
            to_log: Vec::new(),
            to_release: std::collections::VecDeque::new(),
            from_own_log,
            warnings: Vec::new(),
            ready: Vec::new(),
            piggyback: Vec::new(),
            notices: Vec::new(),
        };
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

    fn leave(&mut self) {
        if self.entered {
            self.driver.leave();
            self.entered = false;
        }
    }

    /// Starts reading those inbound channels anew that began anew (all of them in a new engine).
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
        let mode = slot.map_or(SendMode::Standard, |message| message.mode);
        let Some(receive) = self.receives.get_mut(&id) else {
            return Err(Fault::Bug("a message was matched with a receive that is not posted"));
        };
        receive.message = Some(message);
        let post = receive.post;
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
            let verdict = self.stack.non_deterministic(&mut JournalOf(&mut self.driver), what)?;
            self.hold(id, verdict)?;
        }
        if message.len == 0 {
            self.payload_read(id);
        }
        if mode == SendMode::Synchronous {
            if message.source == self.rank {
                self.outbound[self.rank as usize].synchronous.insert(message.ssn, true);
            } else {
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
                }
                for condition in gate.conditions() {
                    if let crate::gate::Condition::Stable { store, position } = condition {
                        self.driver.flush(store, position);
                    }
                }
                Ok(())
            }
            Verdict::Drop(_) => Err(Fault::Unsupported("a protocol that drops messages")),
            Verdict::CheckpointFirst => Err(Fault::Unsupported("a forced checkpoint")),
            Verdict::RollBack(_) => Err(Fault::Unsupported("the rollback of a surviving rank")),
        }
    }

    fn is_open(&self, gate: &Gate) -> bool {
        gate.is_open()
            || required_position(gate).is_ok_and(|required| required <= self.driver.stable(self.rank))
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
        let ids = std::mem::take(&mut self.to_log);
        let any = !ids.is_empty();
        for id in ids {
            let Some(receive) = self.receives.get_mut(&id) else { continue };
            let Some(message) = receive.message else { continue };
            receive.logged = true;
            let payload = std::mem::take(&mut receive.collected);
            let slot = self.inbound[message.source as usize].get_mut(message.ssn);
            let (known, mode) = slot.map_or((false, SendMode::Standard), |message| {
                (matches!(message.place, Place::Logged(_)), message.mode)
            });
            if known || message.source == self.rank {
                continue;
            }
            let mut journal = LastPosition { journal: JournalOf(&mut self.driver), last: 0 };
            let verdict = self.stack.delivered(
                &mut journal,
                message.source,
                message.ssn,
                message.envelope,
                mode,
                &payload,
            )?;
            let position = journal.last;
            self.hold(id, verdict)?;
            if let Some(slot) = self.inbound[message.source as usize].get_mut(message.ssn) {
                slot.logged_at = Some(position);
            }
        }
        Ok(any)
    }

    /// Tells senders which records this rank will not ask for again.
    fn release(&mut self) {
        let stable = self.driver.stable(self.rank);
        while let Some(&(position, source, below)) = self.to_release.front() {
            if position > stable {
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
        let message = Message::new(mode, Place::Logged(payload.to_vec()));
        self.inbound[self.rank as usize].push(message);
        let arrived = Arrived { source: self.rank, ssn, envelope, len };
        if let Some(id) = self.matching.arrive(arrived) {
            self.matched_now(id, arrived)?;
        }
        Ok(SendId { dest: self.rank, ssn })
    }

    fn write_record(&mut self, dest: Rank, header: &mut RecordHeader, payload: &[u8]) -> Result<(), Fault> {
        let extent = self.outbound[dest as usize].extent;
        let ssn = header.ssn;
        let whole = ssn < extent.whole;
        let begun = extent.begun_bytes.filter(|_| ssn == extent.whole);
        let fresh = !whole && begun.is_none();
        let mut piggyback = std::mem::take(&mut self.piggyback);
        piggyback.clear();
        let mut journal = JournalOf(&mut self.driver);
        let gate = self.stack.send(&mut journal, dest, ssn, payload.len() as u64, fresh, &mut piggyback)?;
        header.requires = required_position(&gate)?;
        header.events = self.stack.events();
        header.piggyback_len = u32::try_from(piggyback.len()).map_err(|_| Fault::OverLimit {
            what: format!("the piggyback of a message to rank {dest}"),
            limit_bytes: u64::from(u32::MAX),
            remedy: "a smaller f",
        })?;
        let written = if whole && ssn < extent.reclaimed {
            self.counts.skipped_sends += 1;
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
                    self.counts.skipped_sends += 1;
                    Ok(())
                }
            }
        } else {
            self.driver.append(dest, header, &piggyback, payload, 0)
        };
        self.piggyback = piggyback;
        written
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
}

impl<D: Driver> Api for Engine<D> {
    fn rank(&self) -> Rank {
        self.rank
    }

    fn size(&self) -> u32 {
        self.domains.ranks()
    }

    fn send(
        &mut self,
        dest: Rank,
        envelope: Envelope,
        mode: SendMode,
        payload: &[u8],
    ) -> Result<SendId, Fault> {
        self.counts.sends += 1;
        self.driver.crash_point(CrashPoint::Send(self.counts.sends))?;
        if dest == self.rank {
            return self.send_to_self(envelope, mode, payload);
        }
        if self.stack.piggybacks() {
            let acknowledged = self.driver.acknowledged(dest);
            self.stack.acknowledged(&mut JournalOf(&mut self.driver), dest, acknowledged);
        }
        let ssn = self.outbound[dest as usize].next;
        let mut header = RecordHeader {
            ssn,
            requires: 0,
            events: 0,
            len: payload.len() as u64,
            envelope,
            mode,
            piggyback_len: 0,
        };
        self.write_record(dest, &mut header, payload)?;
        let outbound = &mut self.outbound[dest as usize];
        outbound.next += 1;
        if mode == SendMode::Synchronous {
            outbound.synchronous.entry(ssn).or_insert(false);
        }
        self.note();
        Ok(SendId { dest, ssn })
    }

    fn sent(&mut self, id: SendId) -> bool {
        let outbound = &mut self.outbound[id.dest as usize];
        if !outbound.synchronous.contains_key(&id.ssn) {
            return true;
        }
        if id.dest != self.rank {
            let mut notices = std::mem::take(&mut self.notices);
            self.driver.matched_notices(id.dest, &mut notices);
            for ssn in notices.drain(..) {
                // A notice may come before its send is executed again: it is kept until then.
                outbound.synchronous.insert(ssn, true);
            }
            self.notices = notices;
        }
        let matched = outbound.synchronous.get(&id.ssn).copied().unwrap_or(true);
        if matched {
            outbound.synchronous.remove(&id.ssn);
        }
        matched
    }

    fn post(&mut self, pattern: Pattern) -> Result<ReceiveId, Fault> {
        let post = self.posts;
        self.posts += 1;
        let id = ReceiveId(post);
        let forced = self.replay.delivery(post);
        let wildcard = pattern.source.is_none();
        let makes_determinant = match self.stack.scope() {
            Scope::Nothing => false,
            Scope::Choices => wildcard,
            Scope::Deliveries => true,
        };
        let claim = match forced {
            Some((source, ssn)) => Claim::Forced(source, ssn),
            None if wildcard && !self.replay.is_over() => Claim::Blocked,
            None => Claim::Any,
        };
        self.receives.insert(id, Receive::new(post, forced, makes_determinant));
        if let Some(message) = self.matching.post(id, pattern, claim) {
            self.matched_now(id, message)?;
        }
        self.unblock_if_over()?;
        Ok(id)
    }

    fn matched(&self, id: ReceiveId) -> Option<Matched> {
        let message = self.receives.get(&id)?.message?;
        Some(Matched {
            source: message.source,
            ssn: message.ssn,
            envelope: message.envelope,
            len: message.len,
        })
    }

    fn piece(&mut self, id: ReceiveId) -> Result<Option<&[u8]>, Fault> {
        self.enter();
        let Some(receive) = self.receives.get_mut(&id) else {
            return Err(Fault::Bug("a payload is read of a receive that is not posted"));
        };
        let Some(message) = receive.message.filter(|message| receive.read < message.len) else {
            self.leave();
            return Ok(None);
        };
        self.driver.crash_point(CrashPoint::At(Failpoint::ChannelPayload))?;
        let receive = self.receives.get_mut(&id).ok_or(Fault::Bug("a receive vanished"))?;
        let Some(slot) = self.inbound[message.source as usize].get_mut(message.ssn) else {
            return Err(Fault::Bug("a matched message is not known to its channel"));
        };
        let wanted = usize::try_from(message.len - receive.read).unwrap_or(usize::MAX);
        let bytes = match &mut slot.place {
            Place::Logged(payload) => {
                let from = usize::try_from(receive.read).unwrap_or(usize::MAX).min(payload.len());
                Some(&payload[from..])
            }
            Place::Absent => None,
            Place::Channel(location) => loop {
                // Pieces that were read before the channel began anew are skipped.
                let Some((bytes, next)) = self.driver.bytes(message.source, *location) else { break None };
                let skip = usize::try_from(slot.skip).unwrap_or(usize::MAX);
                *location = next;
                if skip < bytes.len() {
                    slot.skip = 0;
                    break Some(&bytes[skip..]);
                }
                slot.skip -= bytes.len() as u64;
            },
        };
        // The stretch of reading stays open: it ends with the next progress.
        let Some(bytes) = bytes else { return Ok(None) };
        let bytes = &bytes[..bytes.len().min(wanted)];
        receive.read += bytes.len() as u64;
        slot.read = receive.read;
        if self.stack.logs_delivered() {
            receive.collected.extend_from_slice(bytes);
        }
        if receive.read == message.len {
            if self.stack.logs_delivered() {
                self.to_log.push(id);
            } else {
                receive.logged = true;
            }
        }
        Ok(Some(bytes))
    }

    fn finish(&mut self, id: ReceiveId) -> Result<(), Fault> {
        if self.to_log.contains(&id) {
            self.log_delivered()?;
        }
        let Some(message) = self.receives.remove(&id).and_then(|receive| receive.message) else {
            return Err(Fault::Bug("a receive is finished that was not matched"));
        };
        self.leave();
        if message.source == self.rank {
            self.inbound[message.source as usize].finish(message.ssn);
            return Ok(());
        }
        let keeps = self.stack.keeps_sent();
        let inbound = &mut self.inbound[message.source as usize];
        let before = inbound.finished_below();
        inbound.finish(message.ssn);
        let below = inbound.finished_below();
        if below > before {
            if !keeps {
                self.driver.release(message.source, below);
            } else if self.stack.logs_delivered() {
                let position = inbound.logged_position();
                self.to_release.push_back((position, message.source, below));
                self.release();
            }
        }
        Ok(())
    }

    fn deliverable(&self, id: ReceiveId) -> bool {
        self.receives.get(&id).is_some_and(|receive| receive.logged && self.is_open(&receive.gate))
    }

    fn withdraw(&mut self, id: ReceiveId) -> bool {
        let withdrawn = self.matching.withdraw(id);
        if withdrawn {
            self.receives.remove(&id);
        }
        withdrawn
    }

    fn peek(&self, pattern: Pattern) -> Option<Matched> {
        self.matching.peek(pattern).map(seen)
    }

    fn arrived(&self, source: Rank, ssn: Ssn) -> Option<Matched> {
        self.matching.arrived(source, ssn).map(seen)
    }

    fn progress(&mut self) -> Result<bool, Fault> {
        let mut moved = self.log_delivered()?;
        self.leave();
        self.enter();
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        self.driver.ready(&mut ready);
        for &source in &self.from_own_log {
            if self.inbound[source as usize].has_logged() && !ready.contains(&source) {
                ready.push(source);
            }
        }
        let mut taken = Ok(());
        for &source in &ready {
            match self.take_in(source) {
                Ok(any) => moved |= any,
                Err(fault) => {
                    taken = Err(fault);
                    break;
                }
            }
        }
        self.ready = ready;
        taken?;
        self.leave();
        moved |= self.unblock_if_over()?;
        if !self.to_release.is_empty() {
            self.release();
        }
        Ok(moved)
    }

    fn observe(&mut self) -> Result<Observation, Fault> {
        if self.stack.scope() == Scope::Nothing {
            return Ok(Observation::Live);
        }
        match self.replay.observation(self.stack.observed()) {
            Some(answer) => {
                self.stack.observation_completed();
                self.unblock_if_over()?;
                self.note();
                Ok(Observation::Replayed(answer))
            }
            None => Ok(Observation::Live),
        }
    }

    fn observed(&mut self, answer: Answer) -> Result<(), Fault> {
        if self.stack.scope() == Scope::Nothing {
            return Ok(());
        }
        self.driver.crash_point(CrashPoint::At(Failpoint::Observe))?;
        let what = Happened::Observation { call: self.stack.observed(), answer };
        let verdict = self.stack.non_deterministic(&mut JournalOf(&mut self.driver), what)?;
        self.stack.observation_completed();
        self.note();
        match verdict {
            // The answer is known to the application from now on; what it does next is gated at the next send.
            Verdict::Accept | Verdict::Hold(_) => Ok(()),
            _ => Err(Fault::Unsupported("a protocol that drops observations")),
        }
    }

    fn read(&mut self, live: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, Fault> {
        if self.stack.scope() == Scope::Nothing {
            return Ok(live());
        }
        let call = self.reads;
        self.reads += 1;
        if let Some(value) = self.replay.read(call) {
            self.unblock_if_over()?;
            self.note();
            return Ok(value);
        }
        let value = live();
        let what = Happened::Read { call, value: value.clone() };
        self.stack.non_deterministic(&mut JournalOf(&mut self.driver), what)?;
        self.note();
        Ok(value)
    }
}

fn seen(message: Arrived) -> Matched {
    Matched { source: message.source, ssn: message.ssn, envelope: message.envelope, len: message.len }
}

impl<D: Driver> Engine<D> {
    /// Takes in what is published on the channel from `source`. Returns whether anything was.
    fn take_in(&mut self, source: Rank) -> Result<bool, Fault> {
        let mut any = false;
        loop {
            if let Some(logged) = self.inbound[source as usize].next_logged() {
                let envelope = Envelope { context: logged.context, tag: logged.tag };
                let len = logged.payload.len() as u64;
                let mode = if logged.synchronous { SendMode::Synchronous } else { SendMode::Standard };
                let message = Message::new(mode, Place::Logged(logged.payload));
                self.arrive(source, envelope, len, message)?;
                any = true;
                continue;
            }
            if source == self.rank {
                break;
            }
            let Some(arrival) = self.driver.arrival(source)? else { break };
            let header = arrival.header;
            let expected = self.inbound[source as usize].next;
            if header.ssn != expected {
                return Err(Fault::Bug("a channel's records are not numbered in order"));
            }
            if header.requires > self.driver.stable(source) {
                break;
            }
            any = true;
            self.take_in_piggyback(source, header)?;
            let inbound = &mut self.inbound[source as usize];
            inbound.depends = inbound.depends.max(header.events);
            let repeated = inbound.is_known(header.ssn);
            if repeated && !inbound.repeat(&header, arrival.payload) {
                let what = format!(
                    "the messages to rank {} up to number {} are not those that it sent before",
                    self.rank, header.ssn
                );
                self.diverged_at(source, what)?;
            }
            self.driver.crash_point(CrashPoint::At(Failpoint::ChannelRead))?;
            self.driver.advance(source);
            let inbound = &mut self.inbound[source as usize];
            inbound.next += 1;
            if !repeated {
                inbound.first_read(&header);
                let message = Message::new(header.mode, Place::Channel(arrival.payload));
                self.arrive(source, header.envelope, header.len, message)?;
            }
        }
        if any && source != self.rank {
            let inbound = &self.inbound[source as usize];
            // Not what is known: a re-execution may carry other piggybacks on records that were known before.
            self.driver.acknowledge(source, inbound.next, inbound.depends);
        }
        Ok(any)
    }

    fn take_in_piggyback(&mut self, source: Rank, header: RecordHeader) -> Result<(), Fault> {
        if header.piggyback_len == 0 {
            return Ok(());
        }
        let mut piggyback = std::mem::take(&mut self.piggyback);
        piggyback.clear();
        piggyback.extend_from_slice(self.driver.piggyback(source));
        let taken = self.stack.arrival(&mut JournalOf(&mut self.driver), source, &piggyback);
        self.piggyback = piggyback;
        taken.map_err(|error| match error {
            PiggybackError::Log(fault) => fault,
            PiggybackError::Malformed(error) => {
                Fault::CorruptRecord { source_rank: source, ssn: header.ssn, error }
            }
        })
    }

    fn arrive(&mut self, source: Rank, envelope: Envelope, len: u64, message: Message) -> Result<(), Fault> {
        let ssn = self.inbound[source as usize].push(message);
        let arrived = Arrived { source, ssn, envelope, len };
        if let Some(id) = self.matching.arrive(arrived) {
            self.matched_now(id, arrived)?;
        }
        Ok(())
    }
}
