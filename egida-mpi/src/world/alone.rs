//! The world of a program that was started without a launcher: one rank, which can send to itself only.

use std::collections::VecDeque;
use std::ffi::c_int;

use egida_core::api::{Api, Matched, Observation, Pattern, ReceiveId, SendId};
use egida_core::event::Answer;
use egida_core::fault::Fault;
use egida_core::ids::{Rank, Ssn};
use egida_core::wire::{Envelope, SendMode};

use super::World;

const SELF: Rank = 0;

/// Messages to itself, matched in the order in which they were sent and receives were posted.
#[derive(Debug, Default)]
pub struct Alone {
    unexpected: VecDeque<Message>,
    receives: Vec<Receive>,
    unmatched_synchronous: Vec<Ssn>,
    next_ssn: Ssn,
    next_receive: u64,
}

#[derive(Debug)]
struct Message {
    ssn: Ssn,
    envelope: Envelope,
    payload: Vec<u8>,
}

#[derive(Debug)]
struct Receive {
    id: ReceiveId,
    pattern: Pattern,
    message: Option<Message>,
    read: bool,
}

impl Message {
    fn seen(&self) -> Matched {
        Matched { source: SELF, ssn: self.ssn, envelope: self.envelope, len: self.payload.len() as u64 }
    }
}

impl Alone {
    fn receive(&self, id: ReceiveId) -> Option<&Receive> {
        self.receives.iter().find(|receive| receive.id == id)
    }

    fn was_matched(&mut self, ssn: Ssn) {
        self.unmatched_synchronous.retain(|&waiting| waiting != ssn);
    }
}

impl Api for Alone {
    fn rank(&self) -> Rank {
        SELF
    }

    fn size(&self) -> u32 {
        1
    }

    fn send(
        &mut self,
        _dest: Rank,
        envelope: Envelope,
        mode: SendMode,
        payload: &[u8],
    ) -> Result<SendId, Fault> {
        let ssn = self.next_ssn;
        self.next_ssn += 1;
        let message = Message { ssn, envelope, payload: payload.to_vec() };
        let waiting = self
            .receives
            .iter_mut()
            .find(|receive| receive.message.is_none() && receive.pattern.fits(SELF, envelope));
        match waiting {
            Some(receive) => receive.message = Some(message),
            None => {
                self.unexpected.push_back(message);
                if mode == SendMode::Synchronous {
                    self.unmatched_synchronous.push(ssn);
                }
            }
        }
        Ok(SendId { dest: SELF, ssn })
    }

    fn sent(&mut self, id: SendId) -> bool {
        !self.unmatched_synchronous.contains(&id.ssn)
    }

    fn post(&mut self, pattern: Pattern) -> Result<ReceiveId, Fault> {
        let id = ReceiveId(self.next_receive);
        self.next_receive += 1;
        let at = self.unexpected.iter().position(|message| pattern.fits(SELF, message.envelope));
        let message = at.and_then(|at| self.unexpected.remove(at));
        if let Some(message) = &message {
            self.was_matched(message.ssn);
        }
        self.receives.push(Receive { id, pattern, message, read: false });
        Ok(id)
    }

    fn matched(&self, id: ReceiveId) -> Option<Matched> {
        self.receive(id)?.message.as_ref().map(Message::seen)
    }

    fn piece(&mut self, id: ReceiveId) -> Result<Option<&[u8]>, Fault> {
        let receive = self.receives.iter_mut().find(|receive| receive.id == id);
        Ok(receive.and_then(|receive| {
            let message = receive.message.as_ref()?;
            let unread = !std::mem::replace(&mut receive.read, true) && !message.payload.is_empty();
            unread.then_some(&message.payload[..])
        }))
    }

    fn finish(&mut self, id: ReceiveId) -> Result<(), Fault> {
        self.receives.retain(|receive| receive.id != id);
        Ok(())
    }

    fn deliverable(&self, id: ReceiveId) -> bool {
        self.matched(id).is_some()
    }

    fn withdraw(&mut self, id: ReceiveId) -> bool {
        let unmatched = self.receive(id).is_some_and(|receive| receive.message.is_none());
        if unmatched {
            self.receives.retain(|receive| receive.id != id);
        }
        unmatched
    }

    fn peek(&self, pattern: Pattern) -> Option<Matched> {
        self.unexpected.iter().find(|message| pattern.fits(SELF, message.envelope)).map(Message::seen)
    }

    fn arrived(&self, _source: Rank, ssn: Ssn) -> Option<Matched> {
        self.unexpected.iter().find(|message| message.ssn == ssn).map(Message::seen)
    }

    fn progress(&mut self) -> Result<bool, Fault> {
        Ok(false)
    }

    fn observe(&mut self) -> Result<Observation, Fault> {
        Ok(Observation::Live)
    }

    fn observed(&mut self, _answer: Answer) -> Result<(), Fault> {
        Ok(())
    }

    fn read(&mut self, live: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, Fault> {
        Ok(live())
    }
}

impl World for Alone {
    fn park(&mut self) -> Result<(), Fault> {
        Err(Fault::Driver("the only rank of the job waits for a message that nobody can send".to_owned()))
    }

    fn finalize(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn abort(&mut self, _code: c_int) {}

    fn replays(&self) -> bool {
        false
    }
}
