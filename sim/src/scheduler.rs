//! What waits to happen, and who says what happens next.
//!
//! Wherever a run could go one way or another, a [`Chooser`] is asked. [`Seeded`] draws delays and lets the earliest event
//! happen; another chooser may take the events in any order that it likes. Both run the same simulation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use egida_core::ids::{CheckpointNumber, Domain, Incarnation, Position, Rank};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Virtual time, in nanoseconds.
pub type Time = u64;

/// Something that is to happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// This incarnation of a rank makes progress and takes a step.
    Run(Rank, Incarnation),
    /// The disk takes a rank's journal up to a position.
    WriteOut(Rank, Position),
    /// The incarnation numbers of a round of recovery are on stable storage.
    Durable(u64),
    /// Every survivor has seen that channels changed.
    Quiesced(u64),
    /// A node answers a question of a recovery.
    Answer {
        /// The round.
        round: u64,
        /// Who asked.
        asker: Rank,
        /// Whose node answers.
        holder: Rank,
    },
    /// The next incarnation of a rank begins.
    Start(Rank, Incarnation),
    /// A recovery looks whether answers are missing.
    Timer(u64),
    /// Whoever coordinates hears that an incarnation died.
    Report(Rank, Incarnation),
    /// Whoever coordinates hears that an incarnation has loaded what it was given.
    Live(Rank, Incarnation),
    /// What the schedule has at this place goes wrong.
    Mishap(usize),
    /// A partition is healed.
    Heal,
    /// An incarnation that was given up learns of it.
    Learn(Rank, Incarnation),
    /// The next record of a channel arrives. Only where time does not order what happens.
    Arrive(Rank, Rank),
    /// The next control message to a rank arrives. Only where time does not order what happens.
    Tell(Rank),
    /// A rank dies. Only where time does not order what happens.
    Kill(Rank),
    /// The node looks whether a rank's output may be seen.
    Look(Rank),
    /// A node takes a rank's determinants below a position into its memory.
    Replicate {
        /// Whose determinants.
        rank: Rank,
        /// Whose memory.
        domain: Domain,
        /// The position.
        position: Position,
    },
    /// The time between two checkpoints of this incarnation of a rank has gone by.
    CheckpointTimer(Rank, Incarnation),
    /// So much time goes by that the next timer for checkpoints does so that makes a difference. Only where time does not order
    /// what happens, and nothing else can happen.
    NextTimer,
    /// The disk takes a checkpoint, or the memory of one more node.
    Save {
        /// Whose.
        rank: Rank,
        /// Of which life.
        incarnation: Incarnation,
        /// Which.
        number: CheckpointNumber,
    },
    /// Some copies of what a rank logged reach the memory of the nodes that are to hold them.
    Copy(Rank),
}

/// An event that waits for its time. Of two at the same time, the one that was put first is earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// When it is due.
    pub at: Time,
    /// How many were put before it.
    pub number: u64,
    /// What it is.
    pub event: Event,
}

/// The events that wait.
#[derive(Debug, Clone, Default)]
pub struct Agenda {
    waiting: BinaryHeap<Reverse<Waiting>>,
    numbered: u64,
}

impl Agenda {
    /// Puts an event.
    pub fn put(&mut self, at: Time, event: Event) {
        self.numbered += 1;
        self.waiting.push(Reverse(Waiting { at, number: self.numbered, event }));
    }

    /// The events, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        self.waiting.iter().map(|Reverse(waiting)| &waiting.event)
    }

    /// Takes away the events that are not to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(&Event) -> bool) {
        self.waiting.retain(|Reverse(waiting)| keep(&waiting.event));
    }

    /// Takes the earliest event.
    pub fn take_earliest(&mut self) -> Option<Waiting> {
        self.waiting.pop().map(|Reverse(waiting)| waiting)
    }
}

/// Decides what is left open.
pub trait Chooser {
    /// How long something takes that takes at least 1 and at most `longest`.
    fn delay(&mut self, longest: Time) -> Time;

    /// What the world outside answers if it is read now.
    fn input(&mut self) -> u64;

    /// Whether something happens that happens so many times in a hundred.
    fn chance(&mut self, percent: u32) -> bool;

    /// Takes the event that happens next; none where nothing waits.
    fn next(&mut self, agenda: &mut Agenda) -> Option<Waiting>;
}

impl<C: Chooser + ?Sized> Chooser for &mut C {
    fn delay(&mut self, longest: Time) -> Time {
        (**self).delay(longest)
    }

    fn input(&mut self) -> u64 {
        (**self).input()
    }

    fn chance(&mut self, percent: u32) -> bool {
        (**self).chance(percent)
    }

    fn next(&mut self, agenda: &mut Agenda) -> Option<Waiting> {
        (**self).next(agenda)
    }
}

/// Decides by a seed.
#[derive(Debug, Clone)]
pub struct Seeded(ChaCha8Rng);

impl Seeded {
    /// The decisions that belong to a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }
}

impl Chooser for Seeded {
    fn delay(&mut self, longest: Time) -> Time {
        self.0.random_range(1..=longest.max(1))
    }

    fn input(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.0.random_range(0..100) < percent
    }

    fn next(&mut self, agenda: &mut Agenda) -> Option<Waiting> {
        agenda.take_earliest()
    }
}

/// Leaves nothing to chance: somebody else says what happens, and when.
#[derive(Debug, Clone)]
pub struct Unhurried;

impl Chooser for Unhurried {
    fn delay(&mut self, _: Time) -> Time {
        1
    }

    fn input(&mut self) -> u64 {
        0
    }

    fn chance(&mut self, _: u32) -> bool {
        false
    }

    fn next(&mut self, _: &mut Agenda) -> Option<Waiting> {
        None
    }
}
