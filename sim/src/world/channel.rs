//! Channels: append-only logs of records, one from each rank to each other that it sent to.

use std::collections::VecDeque;
use std::rc::Rc;

use egida_core::clock::VectorClock;
use egida_core::ids::Ssn;
use egida_core::wire::RecordHeader;

use crate::scheduler::Time;

/// A record on a channel.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its head.
    pub header: RecordHeader,
    /// Its piggyback.
    pub piggyback: Rc<Vec<u8>>,
    /// The payload as far as it is published; shared with a reader that has met it.
    pub payload: Rc<Vec<u8>>,
    /// When its receiver can see it.
    pub visible: Time,
    /// How many control messages its receiver must have got before, while the world is explored.
    pub behind: u64,
    /// For the observer: what its sender's state depended on.
    pub past: Option<Rc<VectorClock>>,
}

impl Record {
    /// Whether the whole payload is published.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.payload.len() as u64 >= self.header.len
    }
}

/// A channel: the memory is the sender's, the acknowledgements are the receiver's.
#[derive(Debug, Clone, Default)]
pub struct Channel {
    /// The records from number `reclaimed` on.
    pub records: VecDeque<Record>,
    /// Records below this number were reclaimed.
    pub reclaimed: Ssn,
    /// How often it was begun anew.
    pub generation: u32,
    /// What its receiver tells its sender.
    pub told: Told,
    /// What its sender sees of that while the two are cut off from each other: what was told before.
    pub frozen: Option<Told>,
    /// The most events of the sender that the receiver depends on.
    pub depends: u64,
    /// The receiver needs nothing below again.
    pub released: Ssn,
    /// Synchronous messages that were matched.
    pub matched: Vec<Ssn>,
}

/// What a receiver tells the sender of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// It has taken knowledge of all records below.
    pub acknowledged: Ssn,
    /// It has given so many notices of a match.
    pub matched: usize,
}

impl Channel {
    /// The record of that number.
    #[must_use]
    pub fn record(&self, ssn: Ssn) -> Option<&Record> {
        self.records.get(usize::try_from(ssn.checked_sub(self.reclaimed)?).ok()?)
    }

    /// The same, to write.
    pub fn record_mut(&mut self, ssn: Ssn) -> Option<&mut Record> {
        self.records.get_mut(usize::try_from(ssn.checked_sub(self.reclaimed)?).ok()?)
    }

    /// The number behind the last record.
    #[must_use]
    pub fn head(&self) -> Ssn {
        self.reclaimed + self.records.len() as Ssn
    }

    /// What its sender sees of what its receiver told.
    #[must_use]
    pub fn seen_by_sender(&self) -> Told {
        self.frozen.unwrap_or(self.told)
    }

    /// Forgets records below a number.
    pub fn reclaim(&mut self, below: Ssn) {
        while self.reclaimed < below && self.records.pop_front().is_some() {
            self.reclaimed += 1;
        }
    }

    /// Begins anew: the memory is lost, or what was written is void. What the receiver said of what it needs stays.
    pub fn begin_anew(&mut self) {
        *self = Self {
            generation: self.generation + 1,
            depends: self.depends,
            released: self.released,
            reclaimed: self.released,
            matched: std::mem::take(&mut self.matched),
            told: Told { acknowledged: 0, ..self.told },
            frozen: self.frozen.map(|frozen| Told { acknowledged: 0, ..frozen }),
            ..Self::default()
        };
    }

    /// What the receiver said is lost with its memory.
    pub fn receiver_lost(&mut self) {
        self.told = Told::default();
        self.frozen = self.frozen.map(|_| Told::default());
        self.depends = 0;
        self.matched.clear();
    }
}
