//! The event handler's part in checkpoints: what the engine calls when a message is sent or arrives, when time goes by, when
//! others tell something, when a checkpoint is taken.

use serde::{Deserialize, Serialize};

use super::{Scope, Stack};
use crate::checkpoint::{CheckpointHead, CheckpointImage, StoredCheckpoint};
use crate::clock::IncarnationClock;
use crate::gate::{Condition, Gate};
use crate::ids::{CheckpointNumber, EventIndex, Rank, Ssn};
use crate::module::{Admission, Arriving, Checkpoint, CheckpointContext, Command, HowToCheckpoint, Journal};
use crate::wire::{Reader, WireError, put_bytes};

/// The checkpoint statement of a specification, bound.
#[derive(Debug, Clone)]
pub struct Checkpointing {
    /// The protocol.
    pub protocol: Box<dyn Checkpoint>,
    /// What of an image is written.
    pub how: Box<dyn HowToCheckpoint>,
    /// Whether the application waits until its checkpoint is durable.
    pub synchronous: bool,
}

/// Something that concerns the checkpointing protocol, besides messages of the application.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CheckpointEvent<'a> {
    Timer,
    Progress,
    Control { from: Rank, message: &'a [u8] },
    Captured(&'a CheckpointHead),
    Settled { number: CheckpointNumber, durable: bool },
    Recovered,
}

/// What of a stack belongs to the history of its process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StackHistory {
    next_event: EventIndex,
    observed: u64,
    observed_known: u64,
    #[serde(with = "crate::recovery::bytes_as_bin")]
    protocol: Vec<u8>,
}

impl Stack {
    /// Whether checkpoints are taken.
    #[must_use]
    #[inline]
    pub fn takes_checkpoints(&self) -> bool {
        self.slots.checkpoint.is_some()
    }

    /// Whether the application waits until its checkpoint is durable.
    #[must_use]
    pub fn checkpoints_synchronously(&self) -> bool {
        self.slots.checkpoint.as_ref().is_some_and(|checkpointing| checkpointing.synchronous)
    }

    /// Whether recovery returns ranks to a line of checkpoints, survivors among them, because nothing is replayed.
    #[must_use]
    pub fn recovers_by_line(&self) -> bool {
        self.takes_checkpoints() && self.scope == Scope::Nothing
    }

    /// The gate of output that was written when the rank's newest checkpoint was `newest`: open, unless a recovery line may
    /// lie before the output.
    #[must_use]
    pub fn output_after(&self, newest: CheckpointNumber) -> Gate {
        match self.recovers_by_line() {
            true => Gate::on(Condition::Line { checkpoint: newest + 1 }),
            false => Gate::open(),
        }
    }

    /// Splits what a message carries into the checkpointing protocol's part and the logging protocol's.
    pub(crate) fn piggyback_parts<'p>(&self, piggyback: &'p [u8]) -> Result<(&'p [u8], &'p [u8]), WireError> {
        let carries = |checkpointing: &Checkpointing| checkpointing.protocol.phrase().is_some();
        if !self.slots.checkpoint.as_ref().is_some_and(carries) {
            return Ok((&[], piggyback));
        }
        let mut reader = Reader::new(piggyback);
        let own = reader.bytes()?;
        Ok((own, reader.rest()))
    }

    /// A message is sent. Appends the checkpointing protocol's part of its piggyback where it is really written.
    pub(super) fn send_for_checkpoints(
        &mut self,
        dest: Rank,
        ssn: Ssn,
        fresh: bool,
        piggyback: &mut Vec<u8>,
    ) {
        let Some(checkpointing) = &mut self.slots.checkpoint else { return };
        checkpointing.protocol.sent(dest, ssn);
        if fresh && checkpointing.protocol.phrase().is_some() {
            self.trace.enter("PiggybackCheckpointing", "GetPiggyback");
            let mut own = Vec::new();
            checkpointing.protocol.piggyback(dest, &mut own);
            put_bytes(piggyback, &own);
            self.trace.leave();
        }
    }

    /// Whether a message may be received.
    pub(crate) fn admit(&mut self, message: Arriving<'_>) -> Result<Admission, WireError> {
        let Some(checkpointing) = &mut self.slots.checkpoint else { return Ok(Admission::Admit) };
        self.trace.enter("EventHandler", "Arrival");
        self.trace.enter("PiggybackCheckpointing", "BeforeReceive");
        let admission = checkpointing.protocol.before_receive(message);
        self.trace.leave();
        self.trace.leave();
        admission
    }

    /// A message is received.
    pub(crate) fn received(&mut self, message: Arriving<'_>) -> Result<(), WireError> {
        let Some(checkpointing) = &mut self.slots.checkpoint else { return Ok(()) };
        self.trace.enter("EventHandler", "Receive");
        self.trace.enter("PiggybackCheckpointing", "ProcessPiggyback");
        let received = checkpointing.protocol.received(message);
        self.trace.leave();
        self.trace.leave();
        received
    }

    /// Whether the protocol waits for messages to be received.
    pub(crate) fn watches(&self) -> bool {
        self.slots.checkpoint.as_ref().is_some_and(|checkpointing| checkpointing.protocol.watches())
    }

    /// Tells the protocol of an event. Returns what it asks for.
    pub(crate) fn checkpoint_event(
        &mut self,
        event: CheckpointEvent<'_>,
        sent: &[Ssn],
        known: &[Ssn],
    ) -> Result<Vec<Command>, WireError> {
        let mut commands = Vec::new();
        let Some(checkpointing) = &mut self.slots.checkpoint else { return Ok(commands) };
        let context = &mut CheckpointContext::new(self.rank, sent, known, &mut commands);
        let protocol = &mut checkpointing.protocol;
        self.trace.enter("EventHandler", "Checkpoint");
        match event {
            CheckpointEvent::Timer => {
                self.trace.enter("Checkpoint", "Timer");
                protocol.on_timer(context);
            }
            CheckpointEvent::Progress => {
                self.trace.enter("Checkpoint", "Progress");
                protocol.on_progress(context);
            }
            CheckpointEvent::Control { from, message } => {
                self.trace.enter("Checkpoint", "Control");
                let taken = protocol.on_control(context, from, message);
                if let Err(error) = taken {
                    self.trace.leave();
                    self.trace.leave();
                    return Err(error);
                }
            }
            CheckpointEvent::Captured(head) => {
                self.trace.enter("Checkpoint", "Captured");
                protocol.captured(context, head);
            }
            CheckpointEvent::Settled { number, durable } => {
                self.trace.enter("Checkpoint", if durable { "Durable" } else { "Failed" });
                checkpointing.how.settled(number, durable);
                match durable {
                    true => protocol.durable(context, number),
                    false => protocol.failed(context, number),
                }
            }
            CheckpointEvent::Recovered => {
                self.trace.enter("Checkpoint", "Recovered");
                protocol.recovered(context);
            }
        }
        self.trace.leave();
        self.trace.leave();
        Ok(commands)
    }

    /// Labels the head of the rank's present state.
    pub(crate) fn describe(&self, head: &mut CheckpointHead) {
        self.date(head);
        if let Some(checkpointing) = &self.slots.checkpoint {
            checkpointing.protocol.describe(head);
        }
    }

    /// Notes what a state depends on, where that matters.
    fn date(&self, head: &mut CheckpointHead) {
        if self.detects_orphans() {
            head.clock = self.slots.piggyback.as_ref().and_then(|piggyback| piggyback.state()).map(Box::new);
        }
    }

    /// A checkpoint of another rank covers its first `events` events, for good.
    pub(crate) fn covered(&mut self, journal: &mut dyn Journal, rank: Rank, events: EventIndex) {
        if let Some((piggyback, mut context)) = self.piggyback(journal) {
            piggyback.covered(&mut context, rank, events);
        }
    }

    /// A checkpoint is being taken: labels its head.
    pub(crate) fn capture(&mut self, head: &mut CheckpointHead) {
        self.trace.enter("EventHandler", "TakeCheckpoint");
        self.trace.enter("Checkpoint", "TakeCheckpoint");
        self.date(head);
        if let Some(checkpointing) = &mut self.slots.checkpoint {
            head.tentative = checkpointing.protocol.decides();
            checkpointing.protocol.capture(head);
        }
        self.trace.leave();
        self.trace.leave();
    }

    /// The form in which an image goes to stable storage.
    pub(crate) fn encode(&mut self, image: CheckpointImage) -> Option<StoredCheckpoint> {
        let checkpointing = self.slots.checkpoint.as_mut()?;
        self.trace.enter("EventHandler", "WriteCheckpoint");
        self.trace.enter("HowToCheckpoint", "Write");
        let stored = checkpointing.how.encode(image);
        self.trace.leave();
        self.trace.leave();
        Some(stored)
    }

    /// The state that belongs to the process's history.
    pub(crate) fn history(&self) -> StackHistory {
        StackHistory {
            next_event: self.next_event,
            observed: self.observed,
            observed_known: self.observed_known,
            protocol: self
                .slots
                .checkpoint
                .as_ref()
                .map(|checkpointing| checkpointing.protocol.save())
                .unwrap_or_default(),
        }
    }

    /// Takes on the state of a checkpoint that depended on `clock`. What was recovered from behind it stays.
    ///
    /// Of what the state depended on its clock is enough: where it shows a later version of a rank, the ends of the earlier ones
    /// had been told when that came, and the state was no orphan of them.
    pub(crate) fn load(
        &mut self,
        history: &StackHistory,
        clock: Option<&IncarnationClock>,
    ) -> Result<(), WireError> {
        if let Some(clock) = clock {
            if let Some(orphans) = &mut self.slots.orphans {
                orphans.delivered(clock);
            }
            if let Some(piggyback) = &mut self.slots.piggyback {
                piggyback.resumed(clock);
            }
        }
        self.next_event = self.next_event.max(history.next_event);
        self.observed = history.observed;
        self.observed_known = self.observed_known.max(history.observed_known);
        match &mut self.slots.checkpoint {
            Some(checkpointing) => checkpointing.protocol.load(&history.protocol),
            None => Ok(()),
        }
    }
}
