//! What all ranks of a simulated job share: the memory of the nodes and the disk.

use std::collections::VecDeque;

use egida_core::clock::VectorClock;
use egida_core::control::Control;
use egida_core::driver::EntryKind;
use egida_core::ids::{Domain, Domains, Position, Rank, Ssn};
use egida_core::wire::RecordHeader;

use crate::scheduler::Time;

/// Payload bytes that are published at a time: small, so that crashes between pieces happen.
pub const PIECE_BYTES: usize = 64;

/// A record on a channel.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its head.
    pub header: RecordHeader,
    /// Its piggyback.
    pub piggyback: Vec<u8>,
    /// The payload as far as it is published.
    pub payload: Vec<u8>,
    /// When its receiver can see it.
    pub visible: Time,
    /// For the observer: what its sender's state depended on.
    pub past: VectorClock,
}

/// A channel: the memory is the sender's, the acknowledgements are the receiver's.
#[derive(Debug, Clone, Default)]
pub struct Channel {
    /// The records from number `reclaimed` on.
    pub records: Vec<Record>,
    /// Records below this number were reclaimed.
    pub reclaimed: Ssn,
    /// How often it was begun anew.
    pub generation: u32,
    /// The receiver has taken knowledge of all below.
    pub acknowledged: Ssn,
    /// The most events of the sender that the receiver depends on.
    pub depends: u64,
    /// The receiver needs nothing below again.
    pub released: Ssn,
    /// Synchronous messages that were matched.
    pub matched: Vec<Ssn>,
}

impl Channel {
    /// The record of that number.
    #[must_use]
    pub fn record(&self, ssn: Ssn) -> Option<&Record> {
        self.records.get(usize::try_from(ssn.checked_sub(self.reclaimed)?).ok()?)
    }
}

/// An entry of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// The stores that must come to hold it.
    pub stores: u8,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The journal of one rank, in the memory of its node.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// Entries that were lost with an earlier node: positions only grow.
    pub base: Position,
    /// The entries.
    pub entries: Vec<Entry>,
    /// Entries below this position are on the disk.
    pub stable: Position,
}

impl Journal {
    /// The position behind the last entry.
    #[must_use]
    pub fn head(&self) -> Position {
        self.base + self.entries.len() as Position
    }
}

/// Everything that outlives a process.
#[derive(Debug)]
pub struct World {
    /// The ranks and their failure domains.
    pub domains: Domains,
    /// Now.
    pub now: Time,
    /// Channels by sender and receiver.
    pub channels: Vec<Vec<Channel>>,
    /// Journals by rank.
    pub journals: Vec<Journal>,
    /// What the disk holds, by rank, in the order written.
    pub disk: Vec<Vec<Entry>>,
    /// Determinants that nodes hold for the output of others, by domain, encoded.
    pub foreign: Vec<Vec<Vec<u8>>>,
    /// Control messages on their way to each rank, with the time from which it sees them.
    pub inbox: Vec<VecDeque<(Time, Control)>>,
    /// Changes whenever channels may have begun anew.
    pub epoch: u64,
    /// For the observer: how many events of each rank each rank's state depends on, directly or through others.
    pub depends: Vec<VectorClock>,
    /// What the network adds to a message, drawn by the scheduler before each step.
    pub delay: Time,
}

impl World {
    /// A world in which nothing has happened.
    #[must_use]
    pub fn new(domains: Domains) -> Self {
        let ranks = domains.ranks() as usize;
        let count = domains.count() as usize;
        Self {
            now: 0,
            channels: vec![vec![Channel::default(); ranks]; ranks],
            journals: vec![Journal::default(); ranks],
            disk: vec![Vec::new(); ranks],
            foreign: vec![Vec::new(); count],
            inbox: vec![VecDeque::new(); ranks],
            epoch: 1,
            depends: vec![VectorClock::new(domains.ranks()); ranks],
            delay: 0,
            domains,
        }
    }

    /// How far the journals of all ranks have come.
    #[must_use]
    pub fn heads(&self) -> Vec<Position> {
        self.journals.iter().map(Journal::head).collect()
    }

    /// The channel between two ranks.
    pub fn channel(&mut self, source: Rank, dest: Rank) -> &mut Channel {
        &mut self.channels[source as usize][dest as usize]
    }

    /// The memory charged to a rank is lost: its outbound channels, its journal, and what it knew of inbound ones.
    pub fn discard(&mut self, rank: Rank) {
        // The readers' marks and notices lie in their memory, but they have not seen the records to come.
        self.begin_anew(rank);
        for peer in 0..self.domains.ranks() {
            let inbound = self.channel(peer, rank);
            inbound.acknowledged = 0;
            inbound.depends = 0;
            inbound.matched.clear();
        }
        let journal = &mut self.journals[rank as usize];
        *journal = Journal { base: journal.head(), entries: Vec::new(), stable: journal.head() };
        let domain = self.domains.of(rank);
        self.foreign[domain as usize].clear();
    }

    /// A rank returns to an earlier state: its outbound channels begin anew.
    pub fn begin_anew(&mut self, rank: Rank) {
        for peer in 0..self.domains.ranks() {
            let out = self.channel(rank, peer);
            *out = Channel {
                generation: out.generation + 1,
                depends: out.depends,
                released: out.released,
                matched: std::mem::take(&mut out.matched),
                ..Channel::default()
            };
            out.reclaimed = out.released;
        }
    }

    /// Writes a rank's journal to the disk up to a position and moves its watermark.
    pub fn write_out(&mut self, rank: Rank, position: Position) {
        let journal = &mut self.journals[rank as usize];
        let to = position.min(journal.head());
        while journal.stable < to {
            let entry = &journal.entries[(journal.stable - journal.base) as usize];
            if entry.stores != 0 {
                self.disk[rank as usize].push(entry.clone());
            }
            journal.stable += 1;
        }
    }

    /// The node of a domain takes into its memory the determinants of a rank's journal from one position to another.
    pub fn replicate(&mut self, rank: Rank, domain: Domain, from: Position, to: Position) {
        let journal = &self.journals[rank as usize];
        for at in from.max(journal.base)..to.min(journal.head()) {
            let entry = &journal.entries[(at - journal.base) as usize];
            if entry.kind != EntryKind::Message {
                self.foreign[domain as usize].push(entry.bytes.clone());
            }
        }
    }
}
