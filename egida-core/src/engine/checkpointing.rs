//! Checkpoints of a rank: when one is due, what is taken, and what may be let go of once it is durable.
//!
//! Whoever runs the rank calls, between two steps of the application:
//!
//! ```text
//!   progress()                         takes in messages and what the checkpointing protocols of others tell
//!   checkpoint_due()?                  then takes the application's state and calls checkpoint(state)
//!   is_held()?                         then does not step the application
//!   on_checkpoint_timer()              each time the specification's `every` has gone by
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::receive::Receive;
use super::{Engine, JournalOf};
use crate::checkpoint::{CheckpointHead, CheckpointImage};
use crate::control::Control;
use crate::crash::{CrashPoint, Failpoint};
use crate::driver::Driver;
use crate::event::Determinant;
use crate::fault::Fault;
use crate::ids::{CheckpointNumber, EventIndex, Incarnation, Rank, Ssn};
use crate::module::{Admission, Arriving, Command, PiggybackError};
use crate::stack::{CheckpointEvent, EventHandler, Taken, Verdict};
use crate::trace::Event;

/// What the engine knows of its checkpoints.
#[derive(Debug, Clone, Default)]
pub(super) struct Checkpoints {
    pub incarnation: Incarnation,
    /// The number of the newest.
    pub number: CheckpointNumber,
    due: Option<Due>,
    /// Whether the protocol holds the application.
    is_held: bool,
    /// Those on their way to stable storage.
    unsaved: BTreeSet<CheckpointNumber>,
    /// What each of those that are not yet committed covers of the inbound channels.
    pub captured: VecDeque<(CheckpointNumber, Vec<Ssn>)>,
    /// How much of each inbound channel a committed checkpoint covers.
    covered: Vec<Ssn>,
    /// How many events of each rank a committed checkpoint of it covers.
    covered_events: Vec<EventIndex>,
    /// Determinants held for others that may not be in the journal any more.
    pub carried: BTreeMap<(Rank, EventIndex), Determinant>,
    /// How many rounds of recovery this rank knows of.
    pub round: u64,
    /// The application's part of the checkpoint that the rank began from.
    pub application: Option<Vec<u8>>,
}

/// Why a checkpoint is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// A message must not be received before.
    Forced,
    /// The protocol asked for it.
    Basic,
}

impl Checkpoints {
    pub fn new(incarnation: Incarnation, round: u64, ranks: u32) -> Self {
        let none = vec![0; ranks as usize];
        Self { incarnation, round, covered: none.clone(), covered_events: none, ..Self::default() }
    }
}

impl<D: Driver> Engine<D> {
    /// Whether a checkpoint is to be taken at this safe point. A rank that still repeats itself takes none, and none does that waits
    /// for a payload to come back: an earlier checkpoint may hold it, and have let its sender forget it.
    #[must_use]
    pub fn checkpoint_due(&self) -> bool {
        self.checkpoints.due.is_some()
            && !self.driver.is_paused()
            && !self.repeats_itself()
            && self.inbound.iter().all(|inbound| inbound.logged.is_empty() && !inbound.lacks_payload())
    }

    /// Whether it still repeats what an earlier life did: something is left to replay, or a receive waits for what it took then.
    fn repeats_itself(&self) -> bool {
        !self.replay.is_past(self.stack.observed()) || self.receives.values().any(Receive::is_repeated)
    }

    /// Whether the application must not be stepped now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.checkpoints.is_held
            || (self.stack.checkpoints_synchronously() && !self.checkpoints.unsaved.is_empty())
    }

    /// The time between two checkpoints has gone by. It does not count while the application waits for one to be durable: it
    /// would do nothing but wait where the storage takes longer than that. Returns whether the protocol asked for anything;
    /// where it did not, nothing has changed.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn on_checkpoint_timer(&mut self) -> Result<bool, Fault> {
        let waits = self.stack.checkpoints_synchronously() && !self.checkpoints.unsaved.is_empty();
        if self.driver.is_paused() || waits {
            return Ok(false);
        }
        self.tell_protocol(CheckpointEvent::Timer, self.rank)
    }

    /// Lets a protocol look that waits for messages to be received.
    pub(super) fn look_at_progress(&mut self) -> Result<(), Fault> {
        if self.stack.watches() {
            self.tell_protocol(CheckpointEvent::Progress, self.rank)?;
        }
        Ok(())
    }

    /// The application's part of the checkpoint that this incarnation began from, once; `None` where it began at the
    /// beginning.
    pub fn take_application(&mut self) -> Option<Vec<u8>> {
        self.checkpoints.application.take()
    }

    /// The state that the rank is in, as a place where recovery may leave it.
    #[must_use]
    pub fn state(&self) -> CheckpointHead {
        let mut head = self.head();
        self.stack.describe(&mut head);
        head
    }

    /// Takes a checkpoint with this state of the application, and hands it to the driver. Its number is one more than
    /// [`Progress::checkpoints`](crate::driver::Progress::checkpoints). Whoever gates output has marked the place in it before
    /// ([`OutputGate::checkpointed`](crate::output::OutputGate::checkpointed)).
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn checkpoint(&mut self, application: Vec<u8>) -> Result<(), Fault> {
        self.driver.crash_point(CrashPoint::At(Failpoint::CheckpointBegin))?;
        self.log_delivered()?;
        let due = self.checkpoints.due.take();
        self.checkpoints.number += 1;
        let mut head = self.head();
        head.forced = due == Some(Due::Forced);
        self.stack.capture(&mut head);
        let history = self.history(&mut head)?;
        let sent = self.send_logs()?;
        let held = self.held()?;
        self.leave();
        self.driver.crash_point(CrashPoint::At(Failpoint::CheckpointCaptured))?;
        let image = CheckpointImage { head: head.clone(), history, application, sent, held };
        let stored = self.stack.encode(image).ok_or(Fault::Bug("a checkpoint of a stack that takes none"))?;
        if self.driver.is_traced() {
            let len = stored.to_bytes().map_or(0, |bytes| bytes.len() as u64);
            self.driver.trace(Event::Checkpoint { number: head.number, len, forced: head.forced });
        }
        self.driver.save(stored)?;
        self.checkpoints.unsaved.insert(head.number);
        self.checkpoints.captured.push_back((head.number, head.covered.clone()));
        self.driver.crash_point(CrashPoint::At(Failpoint::CheckpointSubmitted))?;
        self.counts.checkpoints = head.number;
        self.counts.forced_checkpoints += u64::from(head.forced);
        self.tell_protocol(CheckpointEvent::Captured(&head), self.rank)?;
        self.driver.crash_point(CrashPoint::At(Failpoint::CheckpointTold))?;
        self.note();
        Ok(())
    }

    fn head(&self) -> CheckpointHead {
        CheckpointHead {
            incarnation: self.checkpoints.incarnation,
            number: self.checkpoints.number,
            events: self.stack.events(),
            sent: self.sent_counts(),
            known: self.known_counts(),
            completed: self.outbound.iter().map(|outbound| outbound.completed()).collect(),
            ..CheckpointHead::beginning(self.rank, self.domains.ranks())
        }
    }

    /// How many messages went to each other rank. Those to itself never leave the process.
    fn sent_counts(&self) -> Vec<Ssn> {
        let each = self.outbound.iter().map(|outbound| outbound.next);
        (0..).zip(each).map(|(dest, next)| if dest == self.rank { 0 } else { next }).collect()
    }

    fn known_counts(&self) -> Vec<Ssn> {
        let each = self.inbound.iter().map(super::inbound::Inbound::known);
        (0..).zip(each).map(|(source, known)| if source == self.rank { 0 } else { known }).collect()
    }

    /// The determinants that this rank holds for others and that are still wanted.
    fn held(&mut self) -> Result<Vec<Determinant>, Fault> {
        for determinant in self.driver.held()? {
            self.checkpoints.carried.insert((determinant.owner, determinant.index), determinant);
        }
        let covered = &self.checkpoints.covered_events;
        let is_wanted = |&(owner, index): &(Rank, EventIndex)| {
            covered.get(owner as usize).is_none_or(|&below| index >= below)
        };
        self.checkpoints.carried.retain(|key, _| is_wanted(key));
        Ok(self.checkpoints.carried.values().cloned().collect())
    }

    /// Tells the protocol of an event, of which `from` is the cause, and does what it asks for. Returns whether that was anything.
    fn tell_protocol(&mut self, event: CheckpointEvent<'_>, from: Rank) -> Result<bool, Fault> {
        let (sent, known) = (self.sent_counts(), self.known_counts());
        let commands = self
            .stack
            .checkpoint_event(event, &sent, &known)
            .map_err(|error| Fault::CorruptControl { from, error })?;
        let round = self.checkpoints.round;
        let asks = !commands.is_empty();
        for command in commands {
            match command {
                Command::Tell { to, message } => {
                    self.driver.tell(to, &Control::Checkpoint { from: self.rank, round, message })?;
                }
                Command::TakeCheckpoint => {
                    self.checkpoints.due = self.checkpoints.due.or(Some(Due::Basic));
                }
                Command::Hold(hold) => {
                    let before = std::mem::replace(&mut self.checkpoints.is_held, hold);
                    if before != hold && self.driver.is_traced() {
                        self.driver.trace(if hold { Event::Held } else { Event::LetGo });
                    }
                }
                Command::Decide { number, keep } => {
                    self.driver.decide(number, keep);
                    // Nobody says any more what became of one that is void.
                    if !keep && self.checkpoints.unsaved.remove(&number) {
                        self.tell_protocol(CheckpointEvent::Settled { number, durable: false }, self.rank)?;
                    }
                }
            }
        }
        Ok(asks)
    }

    /// Takes in a control message that concerns checkpoints.
    pub(super) fn take_checkpoint_control(&mut self, control: Control) -> Result<(), Fault> {
        match control {
            // What was told before a recovery is void behind it; who tells of a later one has heard that it is over.
            Control::Checkpoint { from, round, message } if round >= self.checkpoints.round => {
                self.recovered(round)?;
                self.tell_protocol(CheckpointEvent::Control { from, message: &message }, from)?;
                Ok(())
            }
            Control::Saved { incarnation, number, durable }
                if incarnation == self.checkpoints.incarnation
                    && self.checkpoints.unsaved.remove(&number) =>
            {
                if durable {
                    self.driver.crash_point(CrashPoint::At(Failpoint::CheckpointDurable))?;
                }
                self.tell_protocol(CheckpointEvent::Settled { number, durable }, self.rank)?;
                Ok(())
            }
            Control::Committed { number } => {
                self.committed(number);
                Ok(())
            }
            Control::Covered { rank, events, completed } => {
                self.covered(rank, events, completed);
                Ok(())
            }
            Control::Recovered { round } => self.recovered(round),
            Control::Checkpoint { .. } | Control::Saved { .. } | Control::Token(_) => Ok(()),
        }
    }

    /// So many recoveries are over: what was under way together before the last of them is void.
    fn recovered(&mut self, round: u64) -> Result<(), Fault> {
        if round <= self.checkpoints.round {
            return Ok(());
        }
        self.checkpoints.round = round;
        self.checkpoints.is_held = false;
        self.checkpoints.due = None;
        self.tell_protocol(CheckpointEvent::Recovered, self.rank)?;
        Ok(())
    }

    /// No recovery will return to a state before the checkpoint of that number: senders may let go of what it covers.
    fn committed(&mut self, number: CheckpointNumber) {
        while let Some((_, covered)) =
            self.checkpoints.captured.pop_front_if(|(captured, _)| *captured <= number)
        {
            self.checkpoints.covered = covered;
        }
        for source in 0..self.domains.ranks() {
            self.release_covered(source);
        }
    }

    /// Lets the sender reclaim what a committed checkpoint covers, except what this process itself has still to read.
    pub(super) fn release_covered(&mut self, source: Rank) {
        // On a channel that began anew nothing is let go of before it is read again from its beginning: what its records carry
        // may be new though they are not.
        self.enter();
        let covered = self.checkpoints.covered.get(source as usize).copied().unwrap_or(0);
        let below = covered.min(self.inbound[source as usize].finished_below());
        if source != self.rank && below > 0 {
            self.driver.release(source, below);
        }
    }

    /// A committed checkpoint of another rank covers its first `events` events.
    fn covered(&mut self, rank: Rank, events: EventIndex, completed: Ssn) {
        if let Some(known) = self.checkpoints.covered_events.get_mut(rank as usize) {
            *known = (*known).max(events);
        }
        if let Some(inbound) = self.inbound.get_mut(rank as usize) {
            inbound.matched = inbound.matched.split_off(&completed);
        }
        self.stack.covered(&mut JournalOf(&mut self.driver, self.rank), rank, events);
    }

    /// Judges the message at the read cursor of a channel: may it be received, and what does it depend on. A message that
    /// is `repeated`, or that replay may wait for, asks nobody's leave.
    pub(super) fn judge(
        &mut self,
        source: Rank,
        ssn: Ssn,
        piggyback: &[u8],
    ) -> Result<Taken, PiggybackError> {
        let (own, logged) = self.stack.piggyback_parts(piggyback)?;
        let repeated = self.inbound[source as usize].is_known(ssn);
        if !repeated && self.stack.takes_checkpoints() && !self.repeats_itself() {
            match self.stack.admit(Arriving { source, ssn, piggyback: own })? {
                Admission::Admit => {}
                Admission::CheckpointFirst => {
                    self.checkpoints.due = Some(Due::Forced);
                    return Ok(Taken { verdict: Verdict::CheckpointFirst, clock: None });
                }
                Admission::Wait => return Ok(Taken { verdict: Verdict::Postpone, clock: None }),
            }
        }
        if logged.is_empty() {
            return Ok(Taken { verdict: Verdict::Accept, clock: None });
        }
        self.stack.arrival(&mut JournalOf(&mut self.driver, self.rank), source, logged)
    }

    /// The message that was judged last is received.
    pub(super) fn received(&mut self, source: Rank, ssn: Ssn) -> Result<(), Fault> {
        if !self.stack.takes_checkpoints() {
            return Ok(());
        }
        let piggyback = std::mem::take(&mut self.piggyback);
        let taken = self
            .stack
            .piggyback_parts(&piggyback)
            .and_then(|(own, _)| self.stack.received(Arriving { source, ssn, piggyback: own }));
        self.piggyback = piggyback;
        taken.map_err(|error| Fault::CorruptRecord { source_rank: source, ssn, error })
    }
}
