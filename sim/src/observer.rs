//! What the observer notes of a rank's calls, without the application's or the engine's help.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use egida_core::api::{Api, Matched, Observation, Pattern, ReceiveId, SendId, Take};
use egida_core::event::Answer;
use egida_core::fault::Fault;
use egida_core::ids::{CheckpointNumber, Rank, Ssn};
use egida_core::wire::{Envelope, SendMode};

use crate::application::{digest, digest_more, mix};

/// A message: its number on the channel and a digest of its payload.
pub type Transfer = (Ssn, u64);

/// Messages by the other end of their channel.
pub type Transfers = BTreeMap<Rank, Vec<Transfer>>;

/// A call of an application that had an outcome, with digests of what it was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A message was sent: to whom, which, and what.
    Sent(Rank, Ssn, u64),
    /// A message was received to its end: from whom, which, and what.
    Received(Rank, Ssn, u64),
    /// An observation was answered, or input read.
    Answered(u64),
    /// No call of the application: the checkpoint of this number was taken here.
    Checkpoint(CheckpointNumber),
}

impl Call {
    /// A digest of all of it.
    #[must_use]
    pub fn digest(self) -> u64 {
        let (kind, words) = match self {
            Self::Sent(rank, ssn, content) => (1, [u64::from(rank), ssn, content]),
            Self::Received(rank, ssn, content) => (2, [u64::from(rank), ssn, content]),
            Self::Answered(answer) => (3, [answer, 0, 0]),
            Self::Checkpoint(number) => (4, [number, 0, 0]),
        };
        words.into_iter().fold(kind, mix)
    }
}

/// Numbers of messages by the other end of their channel and by their context and tag.
type Envelopes = BTreeMap<(Rank, (u32, i32)), BTreeSet<Ssn>>;

/// What one incarnation of a rank sent and received, in the order of its calls.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Messages sent, by receiver.
    pub sent: Transfers,
    /// Messages received to their ends, by sender.
    pub received: Transfers,
    /// Its calls since they were last taken.
    calls: Vec<Call>,
    sent_with: Envelopes,
    received_with: Envelopes,
    /// How many receives were posted and neither finished nor withdrawn.
    open: u64,
    /// Digests of payloads of which a part is read.
    reading: HashMap<ReceiveId, u64>,
}

impl Record {
    /// Takes the calls since the last time.
    pub fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// A message is received to its end.
    fn received(&mut self, message: &Matched, content: u64) {
        let &Matched { source, ssn, envelope, .. } = message;
        self.received.entry(source).or_default().push((ssn, content));
        self.calls.push(Call::Received(source, ssn, content));
        self.received_with.entry((source, (envelope.context, envelope.tag))).or_default().insert(ssn);
    }

    /// A checkpoint is taken.
    pub fn checkpointed(&mut self, number: CheckpointNumber) {
        self.calls.push(Call::Checkpoint(number));
    }

    /// How many receives were posted and neither finished nor withdrawn.
    #[must_use]
    pub fn open_receives(&self) -> u64 {
        self.open
    }

    /// The numbers of the messages sent to a rank, by context and tag.
    pub fn envelopes_to(&self, dest: Rank) -> impl Iterator<Item = ((u32, i32), &BTreeSet<Ssn>)> {
        let least = (dest, (u32::MIN, i32::MIN));
        let of_rank = self.sent_with.range(least..).take_while(move |((rank, _), _)| *rank == dest);
        of_rank.map(|(&(_, envelope), numbers)| (envelope, numbers))
    }

    /// The numbers of the messages received from a rank with that context and tag.
    #[must_use]
    pub fn received_with(&self, source: Rank, envelope: (u32, i32)) -> BTreeSet<Ssn> {
        self.received_with.get(&(source, envelope)).cloned().unwrap_or_default()
    }
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
        let content = digest(payload);
        self.record.sent.entry(dest).or_default().push((id.ssn, content));
        self.record.calls.push(Call::Sent(dest, id.ssn, content));
        let numbers = self.record.sent_with.entry((dest, (envelope.context, envelope.tag))).or_default();
        numbers.insert(id.ssn);
        Ok(id)
    }

    fn sent(&mut self, id: SendId) -> bool {
        self.api.sent(id)
    }

    fn take(&mut self, pattern: Pattern, payload: &mut dyn FnMut(&[u8])) -> Result<Take, Fault> {
        let mut content = digest(&[]);
        let taken = self.api.take(pattern, &mut |bytes| {
            content = digest(bytes);
            payload(bytes);
        })?;
        if let Take::Taken(message) = &taken {
            self.record.received(message, content);
        }
        Ok(taken)
    }

    fn take_posted(&mut self, id: ReceiveId, payload: &mut dyn FnMut(&[u8])) -> Result<Take, Fault> {
        let mut content = digest(&[]);
        let taken = self.api.take_posted(id, &mut |bytes| {
            content = digest(bytes);
            payload(bytes);
        })?;
        if let Take::Taken(message) = &taken {
            self.record.received(message, content);
            self.record.open = self.record.open.saturating_sub(1);
        }
        Ok(taken)
    }

    fn defers(&self) -> bool {
        self.api.defers()
    }

    fn post(&mut self, pattern: Pattern) -> Result<ReceiveId, Fault> {
        self.record.open += 1;
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
            self.record.received(&message, read.unwrap_or_else(|| digest(&[])));
            self.record.open = self.record.open.saturating_sub(1);
        }
        Ok(())
    }

    fn deliverable(&self, id: ReceiveId) -> bool {
        self.api.deliverable(id)
    }

    fn withdraw(&mut self, id: ReceiveId) -> bool {
        let withdrawn = self.api.withdraw(id);
        self.record.open -= u64::from(withdrawn && self.record.open > 0);
        withdrawn
    }

    fn cancel(&mut self, id: ReceiveId) -> Result<bool, Fault> {
        let cancelled = self.api.cancel(id)?;
        self.record.open -= u64::from(cancelled && self.record.open > 0);
        Ok(cancelled)
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
        let observation = self.api.observe()?;
        if let Observation::Replayed(answer) = &observation {
            self.record.calls.push(Call::Answered(digest_of(answer)));
        }
        Ok(observation)
    }

    fn observed(&mut self, answer: Answer) -> Result<(), Fault> {
        let call = Call::Answered(digest_of(&answer));
        self.api.observed(answer)?;
        self.record.calls.push(call);
        Ok(())
    }

    fn read(&mut self, live: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, Fault> {
        let value = self.api.read(live)?;
        self.record.calls.push(Call::Answered(mix(4, digest(&value))));
        Ok(value)
    }
}

fn digest_of(answer: &Answer) -> u64 {
    match answer {
        Answer::Nothing => 1,
        Answer::Requests(requests) => {
            requests.iter().fold(2, |digest, &request| mix(digest, u64::from(request)))
        }
        Answer::Message { source, ssn } => mix(mix(3, u64::from(*source)), *ssn),
    }
}
