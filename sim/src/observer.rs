//! What the observer notes of a rank's calls, without the application's or the engine's help.

use std::collections::{BTreeMap, HashMap};

use egida_core::api::{Api, Matched, Observation, Pattern, ReceiveId, SendId};
use egida_core::event::Answer;
use egida_core::fault::Fault;
use egida_core::ids::{Rank, Ssn};
use egida_core::wire::{Envelope, SendMode};

use crate::application::{digest, digest_more};

/// A message: its number on the channel and a digest of its payload.
pub type Transfer = (Ssn, u64);

/// Messages by the other end of their channel.
pub type Transfers = BTreeMap<Rank, Vec<Transfer>>;

/// What one incarnation of a rank sent and received, in the order of its calls.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Messages sent, by receiver.
    pub sent: Transfers,
    /// Messages received to their ends, by sender.
    pub received: Transfers,
    /// Digests of payloads of which a part is read.
    reading: HashMap<ReceiveId, u64>,
}

/// An API that notes what passes through it.
pub struct Observed<'a> {
    api: &'a mut dyn Api,
    record: &'a mut Record,
}

impl<'a> Observed<'a> {
    /// Notes the calls of `api` in `record`.
    pub fn new(api: &'a mut dyn Api, record: &'a mut Record) -> Self {
        Self { api, record }
    }
}

impl Api for Observed<'_> {
    fn rank(&self) -> Rank {
        self.api.rank()
    }

    fn size(&self) -> u32 {
        self.api.size()
    }

    fn send(
        &mut self,
        dest: Rank,
        envelope: Envelope,
        mode: SendMode,
        payload: &[u8],
    ) -> Result<SendId, Fault> {
        let id = self.api.send(dest, envelope, mode, payload)?;
        self.record.sent.entry(dest).or_default().push((id.ssn, digest(payload)));
        Ok(id)
    }

    fn sent(&mut self, id: SendId) -> bool {
        self.api.sent(id)
    }

    fn post(&mut self, pattern: Pattern) -> Result<ReceiveId, Fault> {
        self.api.post(pattern)
    }

    fn matched(&self, id: ReceiveId) -> Option<Matched> {
        self.api.matched(id)
    }

    fn piece(&mut self, id: ReceiveId) -> Result<Option<&[u8]>, Fault> {
        let len = self.api.matched(id).map_or(0, |message| message.len);
        let piece = self.api.piece(id)?;
        if let Some(bytes) = piece {
            let begun = self.record.reading.entry(id).or_insert(len);
            *begun = digest_more(*begun, bytes);
        }
        Ok(piece)
    }

    fn finish(&mut self, id: ReceiveId) -> Result<(), Fault> {
        let message = self.api.matched(id);
        self.api.finish(id)?;
        let read = self.record.reading.remove(&id);
        if let Some(message) = message {
            let transfer = (message.ssn, read.unwrap_or_else(|| digest(&[])));
            self.record.received.entry(message.source).or_default().push(transfer);
        }
        Ok(())
    }

    fn deliverable(&self, id: ReceiveId) -> bool {
        self.api.deliverable(id)
    }

    fn withdraw(&mut self, id: ReceiveId) -> bool {
        self.api.withdraw(id)
    }

    fn peek(&self, pattern: Pattern) -> Option<Matched> {
        self.api.peek(pattern)
    }

    fn arrived(&self, source: Rank, ssn: Ssn) -> Option<Matched> {
        self.api.arrived(source, ssn)
    }

    fn progress(&mut self) -> Result<bool, Fault> {
        self.api.progress()
    }

    fn observe(&mut self) -> Result<Observation, Fault> {
        self.api.observe()
    }

    fn observed(&mut self, answer: Answer) -> Result<(), Fault> {
        self.api.observed(answer)
    }

    fn read(&mut self, live: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, Fault> {
        self.api.read(live)
    }
}
