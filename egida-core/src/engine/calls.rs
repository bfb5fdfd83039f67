//! The calls of the application: what each of them does at once, and what it leaves to be done.

use super::inbound::Place;
use super::receive::Receive;
use super::{Engine, JournalOf, claim};
use crate::api::{Api, Matched, Observation, Pattern, ReceiveId, SendId, Take};
use crate::crash::{CrashPoint, Failpoint};
use crate::driver::Driver;
use crate::event::{Answer, Happened};
use crate::fault::Fault;
use crate::ids::{Rank, Ssn};
use crate::matching::Arrived;
use crate::stack::{EventHandler, Scope, Verdict};
use crate::trace::{Event, Gated};
use crate::wire::{Envelope, RecordHeader, SendMode};

/// The message, of a process to itself, that a cancelled receive waits for in a re-execution: it never comes.
const NEVER: Ssn = Ssn::MAX;

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
        if self.stack.awaits(dest) {
            let acknowledged = self.driver.acknowledged(dest);
            self.stack.acknowledged(&mut JournalOf(&mut self.driver, self.rank), dest, acknowledged);
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
        self.note_traffic();
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
                if ssn >= outbound.next || outbound.synchronous.contains_key(&ssn) {
                    outbound.synchronous.insert(ssn, true);
                }
            }
            self.notices = notices;
        }
        let matched = outbound.synchronous.get(&id.ssn).copied().unwrap_or(true);
        if matched {
            outbound.synchronous.remove(&id.ssn);
        }
        matched
    }

    fn take(&mut self, pattern: Pattern, payload: &mut dyn FnMut(&[u8])) -> Result<Take, Fault> {
        let Some(source) = self.simply_from(pattern) else { return Ok(Take::Post) };
        if !self.driver.may_have(source) {
            return Ok(if self.inbound[source as usize].is_idle() { Take::NotYet } else { Take::Post });
        }
        self.post_deferred()?;
        let taken = self.take_from(source, pattern, payload)?;
        self.posts += u64::from(matches!(taken, Take::Taken(_)));
        Ok(taken)
    }

    fn take_posted(&mut self, id: ReceiveId, payload: &mut dyn FnMut(&[u8])) -> Result<Take, Fault> {
        let Some(&(front, pattern)) = self.deferred.front() else { return Ok(Take::Post) };
        if id != front {
            // All that were posted behind a deferred one are deferred.
            return Ok(if id > front { Take::NotYet } else { Take::Post });
        }
        let taken = match self.simply_from(pattern) {
            Some(source) if self.driver.may_have(source) => self.take_from(source, pattern, payload)?,
            Some(source) if self.inbound[source as usize].is_idle() => Take::NotYet,
            _ => Take::Post,
        };
        match taken {
            Take::Taken(_) => drop(self.deferred.pop_front()),
            Take::NotYet => {}
            Take::Post => self.post_deferred()?,
        }
        Ok(taken)
    }

    fn defers(&self) -> bool {
        !self.deferred.is_empty()
    }

    fn post(&mut self, pattern: Pattern) -> Result<ReceiveId, Fault> {
        let id = ReceiveId(self.posts);
        self.posts += 1;
        let source = self.simply_from(pattern);
        if source.is_some_and(|source| self.inbound[source as usize].is_idle()) {
            self.deferred.push_back((id, pattern));
            return Ok(id);
        }
        self.post_deferred()?;
        self.post_now(id, pattern)?;
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
                let from = receive.read.saturating_sub(slot.kept_from);
                let from = usize::try_from(from).unwrap_or(usize::MAX).min(payload.len());
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
        let receive = self.receives.remove(&id);
        let held = receive.as_ref().is_some_and(|receive| !receive.gate.is_open());
        let Some(message) = receive.and_then(|receive| receive.message) else {
            return Err(Fault::Bug("a receive is finished that was not matched"));
        };
        self.leave();
        if held && self.driver.is_traced() {
            let (source, ssn) = (message.source, message.ssn);
            self.driver.trace(Event::Open { source, ssn, before: Gated::Delivery });
        }
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
            self.driver.finished(message.source, below);
            if !keeps {
                self.driver.release(message.source, below);
            } else if self.stack.regains_delivered() && !self.stack.detects_orphans() {
                let position = inbound.logged_position();
                self.to_release.push_back((position, message.source, below));
                self.release();
            } else if self.stack.takes_checkpoints() {
                self.release_covered(message.source);
            }
        }
        Ok(())
    }

    fn deliverable(&self, id: ReceiveId) -> bool {
        self.receives.get(&id).is_some_and(|receive| receive.logged && self.is_open(&receive.gate))
    }

    fn withdraw(&mut self, id: ReceiveId) -> bool {
        if let Some(at) = self.deferred.iter().position(|&(deferred, _)| deferred == id) {
            self.deferred.remove(at);
            return true;
        }
        let withdrawn = self.matching.withdraw(id);
        if withdrawn {
            self.receives.remove(&id);
        }
        withdrawn
    }

    fn cancel(&mut self, id: ReceiveId) -> Result<bool, Fault> {
        match self.observe()? {
            Observation::Replayed(Answer::Requests(_)) => return Ok(false),
            Observation::Replayed(Answer::Nothing) => return Ok(self.withdraw(id)),
            Observation::Replayed(answer) => {
                self.diverged(format!("a receive is cancelled where the answer was {answer:?}"))?;
                return Ok(self.withdraw(id));
            }
            Observation::Live => {}
        }
        self.progress()?;
        let receive = self.receives.get(&id).map(|receive| (receive.post, receive.forced.is_some()));
        let withdrawn = self.withdraw(id);
        if let (true, Some((post, known))) = (withdrawn, receive)
            && self.stack.scope() != Scope::Nothing
            && !known
        {
            let what = Happened::Delivery { source: self.rank, ssn: NEVER, post };
            self.stack.non_deterministic(&mut JournalOf(&mut self.driver, self.rank), what, None)?;
        }
        self.observed(if withdrawn { Answer::Nothing } else { Answer::Requests(vec![0]) })?;
        Ok(withdrawn)
    }

    fn peek(&self, pattern: Pattern) -> Option<Matched> {
        self.matching.peek(pattern).map(seen)
    }

    fn arrived(&self, source: Rank, ssn: Ssn) -> Option<Matched> {
        self.matching.arrived(source, ssn).map(seen)
    }

    fn progress(&mut self) -> Result<bool, Fault> {
        self.post_deferred()?;
        let mut moved = self.log_delivered()?;
        self.leave();
        self.take_controls()?;
        if self.driver.is_paused() {
            self.leave();
            return Ok(moved);
        }
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
        self.look_at_progress()?;
        if !self.to_release.is_empty() {
            self.release();
        }
        Ok(moved)
    }

    fn observe(&mut self) -> Result<Observation, Fault> {
        if self.stack.scope() == Scope::Nothing {
            return Ok(Observation::Live);
        }
        let call = self.stack.observed();
        match self.replay.observation(call) {
            Some(answer) => {
                if self.driver.is_traced() {
                    self.driver.trace(Event::observe(call, &answer, true));
                }
                self.stack.observation_completed();
                self.unblock_if_over()?;
                self.note();
                Ok(Observation::Replayed(answer))
            }
            None => Ok(Observation::Live),
        }
    }

    fn observed(&mut self, answer: Answer) -> Result<(), Fault> {
        if self.driver.is_traced() {
            self.driver.trace(Event::observe(self.stack.observed(), &answer, false));
        }
        if self.stack.scope() == Scope::Nothing {
            return Ok(());
        }
        self.driver.crash_point(CrashPoint::At(Failpoint::Observe))?;
        let what = Happened::Observation { call: self.stack.observed(), answer };
        let verdict =
            self.stack.non_deterministic(&mut JournalOf(&mut self.driver, self.rank), what, None)?;
        self.stack.observation_completed();
        self.note();
        match verdict {
            // The answer is known to the application from now on; what it does next is gated at the next send.
            Verdict::Accept | Verdict::Hold(_) => Ok(()),
            _ => Err(Fault::Unsupported("a protocol that drops observations")),
        }
    }

    fn read(&mut self, live: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, Fault> {
        let call = self.reads;
        self.reads += 1;
        if self.stack.scope() == Scope::Nothing {
            let value = live();
            self.trace_read(call, &value, false);
            return Ok(value);
        }
        if let Some(value) = self.replay.read(call) {
            self.trace_read(call, &value, true);
            self.unblock_if_over()?;
            self.note();
            return Ok(value);
        }
        let value = live();
        self.trace_read(call, &value, false);
        let what = Happened::Read { call, value: value.clone() };
        self.stack.non_deterministic(&mut JournalOf(&mut self.driver, self.rank), what, None)?;
        self.note();
        Ok(value)
    }
}

impl<D: Driver> Engine<D> {
    /// The source of messages that are taken in one step, where a receive with this pattern takes them: a choice of the
    /// library's may be an event, and so may anything while something is left to be repeated.
    #[inline(always)] // for every message; so below
    fn simply_from(&self, pattern: Pattern) -> Option<Rank> {
        let simple = self.delivers_silently && self.driver.shows_whole() && self.replay.is_over();
        pattern.source.filter(|&source| simple && source != self.rank)
    }

    #[inline(always)]
    fn take_from(
        &mut self,
        source: Rank,
        pattern: Pattern,
        payload: &mut dyn FnMut(&[u8]),
    ) -> Result<Take, Fault> {
        self.enter();
        let taken = self.take_at_cursor(source, pattern, payload);
        self.leave();
        taken
    }

    /// Posts what was put off. No message that these could take is known: one that comes to be known does so behind this.
    #[inline]
    fn post_deferred(&mut self) -> Result<(), Fault> {
        if self.deferred.is_empty() { Ok(()) } else { self.post_all_deferred() }
    }

    #[cold]
    fn post_all_deferred(&mut self) -> Result<(), Fault> {
        while let Some((id, pattern)) = self.deferred.pop_front() {
            self.post_now(id, pattern)?;
        }
        Ok(())
    }

    fn post_now(&mut self, id: ReceiveId, pattern: Pattern) -> Result<(), Fault> {
        let post = id.0;
        let forced = self.replay.delivery(post);
        let wildcard = pattern.source.is_none();
        let makes_determinant = match self.stack.scope() {
            Scope::Nothing => false,
            Scope::Choices => wildcard,
            Scope::Deliveries => true,
        };
        let claim = claim(forced, pattern, &self.replay);
        self.receives.insert(id, Receive::new(post, forced, makes_determinant));
        if let Some(message) = self.matching.post(id, pattern, claim) {
            self.matched_now(id, message)?;
        }
        self.unblock_if_over()?;
        Ok(())
    }

    fn trace_read(&mut self, call: u64, value: &[u8], again: bool) {
        if self.driver.is_traced() {
            self.driver.trace(Event::Read { call, len: value.len() as u64, again });
        }
    }
}

fn seen(message: Arrived) -> Matched {
    Matched { source: message.source, ssn: message.ssn, envelope: message.envelope, len: message.len }
}
