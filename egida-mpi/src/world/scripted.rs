//! A world for tests of observations: one rank, with answers of an earlier execution and messages that come late.

use std::collections::VecDeque;
use std::ffi::c_int;

use egida_core::api::{Api, Matched, Observation, Pattern, ReceiveId, SendId};
use egida_core::driver::Progress;
use egida_core::event::Answer;
use egida_core::fault::Fault;
use egida_core::ids::{Rank, Ssn};
use egida_core::wire::{Envelope, SendMode};

use super::World;
use super::alone::{Alone, alone};

pub struct Scripted {
    alone: Alone,
    /// What the earlier execution answered; after the last of them the world is live.
    pub answers: VecDeque<Answer>,
    /// What was answered live.
    pub made: Vec<Answer>,
    /// Messages that come one by one when the rank waits.
    pub late: VecDeque<Envelope>,
}

impl Default for Scripted {
    fn default() -> Self {
        Self {
            alone: alone().expect("no protocol binds"),
            answers: VecDeque::new(),
            made: Vec::new(),
            late: VecDeque::new(),
        }
    }
}

impl Api for Scripted {
    fn rank(&self) -> Rank {
        self.alone.rank()
    }
    fn size(&self) -> u32 {
        self.alone.size()
    }
    fn send(
        &mut self,
        dest: Rank,
        envelope: Envelope,
        mode: SendMode,
        payload: &[u8],
    ) -> Result<SendId, Fault> {
        self.alone.send(dest, envelope, mode, payload)
    }
    fn sent(&mut self, id: SendId) -> bool {
        self.alone.sent(id)
    }
    fn post(&mut self, pattern: Pattern) -> Result<ReceiveId, Fault> {
        self.alone.post(pattern)
    }
    fn matched(&self, id: ReceiveId) -> Option<Matched> {
        self.alone.matched(id)
    }
    fn piece(&mut self, id: ReceiveId) -> Result<Option<&[u8]>, Fault> {
        self.alone.piece(id)
    }
    fn finish(&mut self, id: ReceiveId) -> Result<(), Fault> {
        self.alone.finish(id)
    }
    fn deliverable(&self, id: ReceiveId) -> bool {
        self.alone.deliverable(id)
    }
    fn withdraw(&mut self, id: ReceiveId) -> bool {
        self.alone.withdraw(id)
    }
    fn cancel(&mut self, id: ReceiveId) -> Result<bool, Fault> {
        self.alone.cancel(id)
    }
    fn peek(&self, pattern: Pattern) -> Option<Matched> {
        self.alone.peek(pattern)
    }
    fn arrived(&self, source: Rank, ssn: Ssn) -> Option<Matched> {
        self.alone.arrived(source, ssn)
    }
    fn progress(&mut self) -> Result<bool, Fault> {
        self.alone.progress()
    }
    fn observe(&mut self) -> Result<Observation, Fault> {
        Ok(self.answers.pop_front().map_or(Observation::Live, Observation::Replayed))
    }
    fn observed(&mut self, answer: Answer) -> Result<(), Fault> {
        self.made.push(answer);
        Ok(())
    }
    fn read(&mut self, live: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, Fault> {
        self.alone.read(live)
    }
}

impl World for Scripted {
    fn park(&mut self) -> Result<(), Fault> {
        match self.late.pop_front() {
            Some(envelope) => self.alone.send(0, envelope, SendMode::Standard, &[]).map(drop),
            None => self.alone.park(),
        }
    }
    fn finalize(&mut self) -> Result<(), Fault> {
        self.alone.finalize()
    }
    fn abort(&mut self, code: c_int) {
        self.alone.abort(code);
    }
    fn replays(&self) -> bool {
        true
    }
    fn counts(&self) -> Progress {
        self.alone.counts()
    }
}
