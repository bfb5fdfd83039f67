//! What comes in: records become known messages, and messages meet receives.

use super::Engine;
use super::inbound::{Message, Place};
use crate::api::{Matched, Pattern, Take};
use crate::control::Control;
use crate::crash::{CrashPoint, Failpoint};
use crate::driver::Driver;
use crate::fault::Fault;
use crate::ids::{Rank, Ssn};
use crate::matching::Arrived;
use crate::module::PiggybackError;
use crate::stack::{Taken, Verdict};
use crate::trace::{Event, Gated};
use crate::wire::{Envelope, RecordHeader, SendMode};

impl<D: Driver> Engine<D> {
    /// Takes in what is published on the channel from `source`. Returns whether anything was.
    pub(super) fn take_in(&mut self, source: Rank) -> Result<bool, Fault> {
        let mut any = false;
        loop {
            let stack = &self.stack;
            if let Some(logged) = self.inbound[source as usize].next_logged(|clock| stack.is_obsolete(clock))
            {
                let envelope = Envelope { context: logged.context, tag: logged.tag };
                let len = logged.payload.len() as u64;
                let mode = if logged.synchronous { SendMode::Synchronous } else { SendMode::Standard };
                let message = Message::new(mode, Place::Logged(logged.payload)).after(logged.clock);
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
            if !self.is_stable(source, self.stack.awaited(), header.requires) {
                self.kept_back(source, header.ssn, Some(Gated::Arrival));
                break;
            }
            let Taken { verdict, clock } = self.take_in_piggyback(source, header)?;
            match verdict {
                Verdict::Accept => any = true,
                Verdict::Postpone | Verdict::CheckpointFirst => {
                    self.kept_back(source, header.ssn, None);
                    break;
                }
                Verdict::Drop(reason) => {
                    any = true;
                    if self.driver.is_traced() {
                        let reason = reason.to_owned();
                        self.driver.trace(Event::Drop { source, ssn: header.ssn, reason });
                    }
                    self.driver.advance(source);
                    self.inbound[source as usize].next += 1;
                    continue;
                }
                _ => return Err(Fault::Unsupported("a protocol that gates arrivals")),
            }
            let inbound = &mut self.inbound[source as usize];
            inbound.depends = inbound.depends.max(header.events);
            let repeated = inbound.is_known(header.ssn);
            if self.driver.is_traced() {
                self.trace_arrival(source, &header, repeated);
            }
            let inbound = &mut self.inbound[source as usize];
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
                self.received(source, header.ssn)?;
                let message = Message::new(header.mode, Place::Channel(arrival.payload)).after(clock);
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

    /// [`Api::take`](crate::api::Api::take), where only the record at the read cursor is left to be looked at. What happens is
    /// what happens between the arrival of a message and the end of its receive, with the same crash points.
    #[inline(always)] // for every message
    pub(super) fn take_at_cursor(
        &mut self,
        source: Rank,
        pattern: Pattern,
        payload: &mut dyn FnMut(&[u8]),
    ) -> Result<Take, Fault> {
        if !self.inbound[source as usize].is_idle() {
            return Ok(Take::Post);
        }
        let whole = match self.driver.whole(source)? {
            Some(whole) => whole,
            None if self.driver.arrival(source)?.is_none() => return Ok(Take::NotYet),
            None => match self.driver.whole(source)? {
                Some(whole) => whole,
                None => return Ok(Take::Post),
            },
        };
        let RecordHeader { ssn, len, envelope, .. } = whole.header;
        let inbound = &self.inbound[source as usize];
        // A record of a number below what is known is one that is read again.
        if ssn != inbound.next
            || ssn != inbound.known()
            || whole.header.mode != SendMode::Standard
            || whole.header.piggyback_len != 0
            || !pattern.fits(source, envelope)
            || !self.matching.leaves(&Arrived { source, ssn, envelope, len })
            || !self.is_stable(source, self.stack.awaited(), whole.header.requires)
        {
            return Ok(Take::Post);
        }
        if self.driver.is_traced() {
            self.trace_arrival(source, &whole.header, false);
        }
        self.driver.crash_point(CrashPoint::At(Failpoint::ChannelRead))?;
        let inbound = &mut self.inbound[source as usize];
        inbound.pass(&whole.header);
        let (next, depends) = (inbound.next, inbound.depends);
        self.counts.deliveries += 1;
        self.driver.crash_point(CrashPoint::Deliver(self.counts.deliveries))?;
        self.driver.crash_point(CrashPoint::At(Failpoint::Match))?;
        let again = self.counts.deliveries <= self.before.1;
        self.counts.replayed_deliveries += u64::from(again);
        if self.driver.is_traced() {
            self.driver.trace(Event::Deliver { source, ssn, len, event: None, again });
        }
        self.driver.acknowledge(source, next, depends);
        self.note_traffic();
        if len > 0 {
            self.driver.crash_point(CrashPoint::At(Failpoint::ChannelPayload))?;
            payload(self.driver.payload(source, &whole));
        }
        self.driver.pass(source, &whole);
        self.driver.finished(source, next);
        if !self.stack.keeps_sent() {
            self.driver.release(source, next);
        }
        Ok(Take::Taken(Matched { source, ssn, envelope, len }))
    }

    /// A message stays where it is. The trace tells of it once for each reason.
    fn kept_back(&mut self, source: Rank, ssn: Ssn, before: Option<Gated>) {
        if !self.driver.is_traced() {
            return;
        }
        let inbound = &mut self.inbound[source as usize];
        if inbound.kept_back.replace((ssn, before)) != Some((ssn, before)) {
            self.driver.trace(match before {
                Some(before) => Event::Closed { source, ssn, before },
                None => Event::Postpone { source, ssn },
            });
        }
    }

    fn trace_arrival(&mut self, source: Rank, header: &RecordHeader, again: bool) {
        let ssn = header.ssn;
        if let Some((waited, Some(before))) = self.inbound[source as usize].kept_back.take()
            && waited == ssn
        {
            self.driver.trace(Event::Open { source, ssn, before });
        }
        let (len, piggyback) = (header.len, header.piggyback_len);
        self.driver.trace(Event::Arrive { source, ssn, len, piggyback, again });
    }

    /// Takes in the control messages that came: finds out whether the rank is an orphan, forgets messages that were never
    /// sent, and tells the checkpointing protocol what is its business.
    ///
    /// # Errors
    /// [`Fault::Orphan`], and any fault of the stack.
    pub(super) fn take_controls(&mut self) -> Result<(), Fault> {
        if !self.stack.detects_orphans() && !self.stack.takes_checkpoints() {
            return Ok(());
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        self.driver.control(&mut inbox);
        let any = !inbox.is_empty();
        for control in inbox.drain(..) {
            match control {
                Control::Token(token) => {
                    if self.driver.is_traced() {
                        self.driver.trace(Event::Token { token });
                    }
                    if self.stack.token(token) {
                        self.counts.orphan = true;
                        self.note();
                        return Err(Fault::Orphan(token));
                    }
                }
                other => self.take_checkpoint_control(other)?,
            }
            self.counts.told += 1;
        }
        self.inbox = inbox;
        if any {
            let stack = &self.stack;
            for (source, inbound) in (0..).zip(&mut self.inbound) {
                if let Some(from) = inbound.forget_obsolete(|clock| stack.is_obsolete(clock)) {
                    self.matching.forget(source, from);
                }
            }
            self.note();
        }
        Ok(())
    }

    fn take_in_piggyback(&mut self, source: Rank, header: RecordHeader) -> Result<Taken, Fault> {
        if header.piggyback_len == 0 && !self.stack.takes_checkpoints() {
            return Ok(Taken { verdict: Verdict::Accept, clock: None });
        }
        let mut piggyback = std::mem::take(&mut self.piggyback);
        piggyback.clear();
        if header.piggyback_len > 0 {
            piggyback.extend_from_slice(self.driver.piggyback(source));
        }
        let taken = self.judge(source, header.ssn, &piggyback);
        self.piggyback = piggyback;
        taken.map_err(|error| match error {
            PiggybackError::Log(fault) => fault,
            PiggybackError::Malformed(error) => {
                Fault::CorruptRecord { source_rank: source, ssn: header.ssn, error }
            }
        })
    }

    fn arrive(&mut self, source: Rank, envelope: Envelope, len: u64, message: Message) -> Result<(), Fault> {
        let ssn = self.inbound[source as usize].push(Message { len, ..message });
        let arrived = Arrived { source, ssn, envelope, len };
        if let Some(id) = self.matching.arrive(arrived) {
            self.matched_now(id, arrived)?;
        }
        Ok(())
    }
}
