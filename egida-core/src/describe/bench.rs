//! Stacks on a bench: bound for a few ranks, with a scratch journal each, and brought to do what an engine has them do.

use egida_spec::protocol::Protocol;

use super::{DescribeError, Shape};
use crate::binder::{Bound, bind};
use crate::checkpoint::{CheckpointHead, CheckpointImage};
use crate::driver::{EntryKind, JournalEntry};
use crate::event::{Answer, Happened};
use crate::fault::Fault;
use crate::gate::{Gate, StoreId};
use crate::ids::{Position, Rank, Ssn};
use crate::module::{Arriving, Delivered, Journal};
use crate::registry::Registry;
use crate::setting::Setting;
use crate::stack::{CheckpointEvent, EventHandler, Scope, Verdict};
use crate::wire::{Envelope, SendMode, WireError};

/// The payload of every message here.
const PAYLOAD: &[u8] = &[0; 8];

/// Something that happens to a rank and may become known to others only through what it sends afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stimulus {
    /// A receive that names its source is matched.
    NamedDelivery,
    /// A receive from any source is matched.
    AnyDelivery,
    /// A test or probe succeeds.
    Observation,
    /// A test or probe finds nothing.
    EmptyPoll,
    /// Input from outside is read.
    Read,
}

impl Stimulus {
    pub const ALL: [Self; 5] =
        [Self::NamedDelivery, Self::AnyDelivery, Self::Observation, Self::EmptyPoll, Self::Read];

    pub const fn name(self) -> &'static str {
        match self {
            Self::NamedDelivery => "named-delivery",
            Self::AnyDelivery => "any-delivery",
            Self::Observation => "observation",
            Self::EmptyPoll => "empty-poll",
            Self::Read => "read",
        }
    }

    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NamedDelivery => "a receive that names its source is matched",
            Self::AnyDelivery => "a receive from any source is matched",
            Self::Observation => "a test or a probe succeeds",
            Self::EmptyPoll => "a test or a probe finds nothing",
            Self::Read => "input from outside is read",
        }
    }
}

/// Makes subjects of one protocol in one shape of job.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    protocol: &'a Protocol,
    registry: &'a Registry,
    shape: Shape,
}

impl<'a> Bench<'a> {
    /// A bench for a job. There are at least two ranks on it: one to send and one to receive.
    pub fn new(protocol: &'a Protocol, registry: &'a Registry, shape: Shape) -> Self {
        Self { protocol, registry, shape: Shape { ranks: shape.ranks.max(2), ..shape } }
    }

    /// The same for another shape of job.
    pub fn reshaped(&self, change: impl FnOnce(Shape) -> Shape) -> Self {
        Self::new(self.protocol, self.registry, change(self.shape))
    }

    pub fn protocol(&self) -> &Protocol {
        self.protocol
    }

    pub fn registry(&self) -> &Registry {
        self.registry
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub fn setting(&self) -> Setting {
        self.shape.setting()
    }

    /// A rank with a fresh stack.
    pub fn subject(&self, rank: Rank) -> Result<Subject, DescribeError> {
        let bound = bind(self.protocol, self.registry, &self.setting(), rank)?;
        let counts = Counts { next_ssn: vec![0; self.shape.ranks as usize], ..Counts::default() };
        Ok(Subject { rank, bound, journal: Scratch::default(), counts })
    }

    /// Rank 0, and a rank that does not fail along with it, if there is one.
    pub fn pair(&self) -> Result<(Subject, Subject), DescribeError> {
        let domains = self.setting().domains;
        let peer = (1..domains.ranks()).find(|&rank| domains.of(rank) != domains.of(0)).unwrap_or(1);
        Ok((self.subject(0)?, self.subject(peer)?))
    }
}

/// A journal that keeps everything, to look at.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub entries: Vec<ScratchEntry>,
}

/// An entry of a [`Scratch`] journal.
#[derive(Debug)]
pub(super) struct ScratchEntry {
    pub kind: EntryKind,
    /// Bit s for store s.
    pub stores: u8,
    pub bytes: Vec<u8>,
}

impl Scratch {
    pub fn position(&self) -> Position {
        self.entries.len() as Position
    }
}

impl Journal for Scratch {
    fn log(&mut self, entry: JournalEntry<'_>) -> Result<Position, Fault> {
        let JournalEntry { kind, stores, bytes } = entry;
        self.entries.push(ScratchEntry { kind, stores, bytes: bytes.to_vec() });
        Ok(self.position())
    }

    fn flush(&mut self, _: StoreId, _: Position) {}

    /// Nothing becomes stable on the bench: what is measured there is the most that can be piggybacked.
    fn stable(&self, _: StoreId) -> Position {
        0
    }
}

#[derive(Debug, Default)]
struct Counts {
    posts: u64,
    reads: u64,
    received: Ssn,
    next_ssn: Vec<Ssn>,
}

/// A message on its way.
pub(super) struct Sent {
    pub piggyback: Vec<u8>,
    /// What readers wait for.
    pub gate: Gate,
}

/// A rank on the bench.
pub(super) struct Subject {
    pub rank: Rank,
    pub bound: Bound,
    pub journal: Scratch,
    counts: Counts,
}

impl Subject {
    /// Lets something happen, as an engine would tell the stack of it. Returns what the application waits for.
    pub fn undergo(&mut self, stimulus: Stimulus, source: Rank) -> Result<Gate, DescribeError> {
        let scope = self.bound.stack.scope();
        match stimulus {
            Stimulus::NamedDelivery => self.deliver(source, scope == Scope::Deliveries),
            Stimulus::AnyDelivery => self.deliver(source, scope != Scope::Nothing),
            Stimulus::Observation => self.observe(Answer::Requests(vec![0])),
            Stimulus::EmptyPoll => self.observe(Answer::Nothing),
            Stimulus::Read => {
                let call = self.counts.reads;
                self.counts.reads += 1;
                self.happen(Happened::Read { call, value: PAYLOAD.to_vec() })
            }
        }
    }

    fn deliver(&mut self, source: Rank, makes_determinant: bool) -> Result<Gate, DescribeError> {
        let (post, ssn) = (self.counts.posts, self.counts.received);
        self.counts.posts += 1;
        self.counts.received += 1;
        let mut gate = Gate::open();
        if makes_determinant {
            gate = self.happen(Happened::Delivery { source, ssn, post })?;
        }
        let delivered = Delivered {
            source,
            ssn,
            envelope: Envelope { context: 0, tag: 0 },
            mode: SendMode::Standard,
            clock: None,
            payload: PAYLOAD,
        };
        let verdict = self.bound.stack.delivered(&mut self.journal, delivered)?;
        gate.join(&gate_of(verdict)?);
        Ok(gate)
    }

    fn observe(&mut self, answer: Answer) -> Result<Gate, DescribeError> {
        if self.bound.stack.scope() == Scope::Nothing {
            return Ok(Gate::open());
        }
        let call = self.bound.stack.observed();
        let gate = self.happen(Happened::Observation { call, answer })?;
        self.bound.stack.observation_completed();
        Ok(gate)
    }

    fn happen(&mut self, what: Happened) -> Result<Gate, DescribeError> {
        gate_of(self.bound.stack.non_deterministic(&mut self.journal, what, None)?)
    }

    /// Sends a message that is really written. As an engine does, it asks first how far the receiver has come; on the bench
    /// that has always taken in everything.
    pub fn send(&mut self, dest: Rank) -> Result<Sent, DescribeError> {
        let ssn = self.counts.next_ssn[dest as usize];
        if self.bound.stack.scope() != Scope::Nothing {
            self.bound.stack.acknowledged(&mut self.journal, dest, ssn);
        }
        self.counts.next_ssn[dest as usize] += 1;
        let mut piggyback = Vec::new();
        let len = PAYLOAD.len() as u64;
        let gate = self.bound.stack.send(&mut self.journal, dest, ssn, len, true, &mut piggyback)?;
        Ok(Sent { piggyback, gate })
    }

    /// Takes in a message: as in an engine, the stack hears only of messages that carry something, or of all of them where
    /// checkpoints may have to come first.
    pub fn take_in(&mut self, source: Rank, sent: &Sent) -> Result<(), DescribeError> {
        let stack = &mut self.bound.stack;
        let (own, logged) = stack.piggyback_parts(&sent.piggyback).map_err(malformed)?;
        let message = Arriving { source, ssn: self.counts.received, piggyback: own };
        stack.admit(message).map_err(malformed)?;
        if !logged.is_empty() {
            stack.arrival(&mut self.journal, source, logged)?;
        }
        stack.received(message).map_err(malformed)?;
        Ok(())
    }

    /// The time for a checkpoint has come, and it is taken, with an empty state of an application.
    pub fn checkpoint(&mut self) -> Result<(), DescribeError> {
        let none = vec![0; self.counts.next_ssn.len()];
        let stack = &mut self.bound.stack;
        stack.checkpoint_event(CheckpointEvent::Timer, &self.counts.next_ssn, &none).map_err(malformed)?;
        let mut head = CheckpointHead::beginning(self.rank, none.len() as u32);
        head.number = 1;
        stack.capture(&mut head);
        let event = CheckpointEvent::Captured(&head);
        stack.checkpoint_event(event, &self.counts.next_ssn, &none).map_err(malformed)?;
        stack.encode(CheckpointImage { head, ..CheckpointImage::default() });
        Ok(())
    }

    /// Commits output that depends on all that has happened.
    pub fn output(&mut self) -> Gate {
        let position = self.journal.position();
        let heads = vec![position; self.counts.next_ssn.len()];
        let mut gate = self.bound.stack.output(&mut self.journal, position, &heads);
        gate.join(&self.bound.stack.output_after(0));
        gate
    }
}

fn malformed(_: WireError) -> DescribeError {
    Fault::Unsupported("a piggyback that its own module cannot read").into()
}

fn gate_of(verdict: Verdict) -> Result<Gate, DescribeError> {
    match verdict {
        Verdict::Accept => Ok(Gate::open()),
        Verdict::Hold(gate) => Ok(gate),
        Verdict::Postpone => Err(Fault::Unsupported("a protocol that postpones events").into()),
        Verdict::Drop(_) => Err(Fault::Unsupported("a protocol that drops messages").into()),
        Verdict::CheckpointFirst => Err(Fault::Unsupported("a forced checkpoint").into()),
        Verdict::RollBack(_) => Err(Fault::Unsupported("the rollback of a surviving rank").into()),
    }
}
