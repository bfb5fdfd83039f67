//! Checkpoints on the disk, or in the memory of the nodes that hold them, and on their way there.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use egida_core::checkpoint::{
    CheckpointHead, CheckpointImage, Contents, ImageError, StoredCheckpoint, still_needed,
};
use egida_core::clock::VectorClock;
use egida_core::event::Determinant;
use egida_core::ids::{CheckpointNumber, Domain, Domains, EventIndex, Incarnation, Position, Rank};

use crate::oracle::Messages;

use crate::fingerprint::Fingerprint;

/// All of them.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    stored: Vec<BTreeMap<CheckpointNumber, Stored>>,
    /// The newest checkpoint of each rank that recovery will not return behind.
    committed: Vec<CheckpointNumber>,
    /// Those on their way.
    saving: Vec<Saving>,
    /// In the memory of how many domains besides its rank's own each is to be; 0 where they lie on a disk, or memory is not lost.
    copies: usize,
    /// Those that were given to the disk since the scheduler looked.
    pub submitted: Vec<(Rank, Incarnation, CheckpointNumber)>,
    /// Decisions about tentative ones since the scheduler looked.
    pub decided: Vec<(Rank, CheckpointNumber, bool)>,
}

/// A checkpoint on the disk.
#[derive(Debug, Clone)]
pub struct Stored {
    bytes: Vec<u8>,
    base: Option<CheckpointNumber>,
    /// The head of the rank's journal when it was captured.
    position: Position,
    /// The domains in whose memory it is, where that is its storage.
    holders: BTreeSet<Domain>,
    /// What is to be known of it.
    pub head: CheckpointHead,
    /// The determinants of others' events in it.
    pub held: Vec<Determinant>,
    /// For the observer: what the rank's state depended on.
    pub past: Option<Rc<VectorClock>>,
    /// For the observer: what the rank's messages depended on.
    pub messages: Option<Messages>,
}

/// A checkpoint on its way to the disk.
#[derive(Debug, Clone)]
pub struct Saving {
    /// Whose.
    pub rank: Rank,
    /// The checkpoint.
    pub checkpoint: StoredCheckpoint,
    /// The domains in whose memory it is already, where that is its storage.
    pub holders: BTreeSet<Domain>,
    /// The head of the rank's journal when it was captured.
    pub position: Position,
    /// See [`Stored::past`].
    pub past: Option<Rc<VectorClock>>,
    /// See [`Stored::messages`].
    pub messages: Option<Messages>,
}

impl Checkpoints {
    /// None of any rank; each is to be in the memory of so many domains besides its rank's own, or, with 0, on a disk.
    #[must_use]
    pub fn new(ranks: u32, copies: Domain) -> Self {
        Self {
            copies: copies as usize,
            stored: vec![BTreeMap::new(); ranks as usize],
            committed: vec![0; ranks as usize],
            saving: Vec::new(),
            submitted: Vec::new(),
            decided: Vec::new(),
        }
    }

    pub(super) fn submit(&mut self, saving: Saving) {
        let head = &saving.checkpoint.head;
        self.submitted.push((saving.rank, head.incarnation, head.number));
        self.saving.push(saving);
    }

    /// Puts back one that was taken from those on their way.
    pub fn put_back(&mut self, saving: Saving) {
        self.saving.push(saving);
    }

    /// Takes from those on their way the ones that are meant.
    pub fn take_saving(&mut self, is_meant: impl Fn(&Saving) -> bool) -> Vec<Saving> {
        let (taken, rest) = std::mem::take(&mut self.saving).into_iter().partition(is_meant);
        self.saving = rest;
        taken
    }

    /// The disk takes a checkpoint; none where it cannot, or does not have what it is a delta over any more.
    pub(super) fn store(&mut self, saving: Saving) -> Option<&Stored> {
        let Saving { rank, checkpoint, holders, position, past, messages } = saving;
        let bytes = checkpoint.to_bytes().ok()?;
        let (head, base) = (checkpoint.head.clone(), checkpoint.base());
        let held = match checkpoint.contents {
            Contents::Full(image) => image.held,
            Contents::Delta { held, .. } => held,
        };
        if base.is_some_and(|base| self.get(rank, base).is_none()) {
            return None;
        }
        let number = head.number;
        let stored = Stored { bytes, base, position, holders, head, held, past, messages };
        let own = self.stored.get_mut(rank as usize)?;
        own.insert(number, stored);
        own.get(&number)
    }

    /// A checkpoint is not to be returned to.
    pub fn void(&mut self, rank: Rank, number: CheckpointNumber) {
        self.stored[rank as usize].remove(&number);
        self.take_saving(|saving| (saving.rank, saving.checkpoint.head.number) == (rank, number));
    }

    /// Which of the domains that are reached is to take a checkpoint of `rank` next, around the circle from its own on, where
    /// those that hold it are not enough.
    #[must_use]
    pub fn next_holder(
        &self,
        domains: &Domains,
        rank: Rank,
        holders: &BTreeSet<Domain>,
        reached: &BTreeSet<Domain>,
    ) -> Option<Domain> {
        let (own, count) = (domains.of(rank), domains.count());
        let circle = (1..count).map(|step| (own + step) % count);
        circle
            .filter(|domain| self.has_too_few(own, holders) && reached.contains(domain))
            .find(|domain| !holders.contains(domain))
    }

    /// Whether more domains are to hold a checkpoint of a rank in this one.
    #[must_use]
    pub fn has_too_few(&self, own: Domain, holders: &BTreeSet<Domain>) -> bool {
        holders.iter().filter(|&&holder| holder != own).count() < self.copies
    }

    /// A domain takes a checkpoint into its memory.
    pub fn hold(&mut self, rank: Rank, number: CheckpointNumber, domain: Domain) {
        if let Some(stored) = self.stored[rank as usize].get_mut(&number) {
            stored.holders.insert(domain);
        }
    }

    /// The domains that hold a checkpoint, where it is stored in memory.
    #[must_use]
    pub fn holders(&self, rank: Rank, number: CheckpointNumber) -> Option<&BTreeSet<Domain>> {
        self.get(rank, number).filter(|_| self.copies > 0).map(|stored| &stored.holders)
    }

    /// Those that are in the memory of too few domains, or on their way there, by rank, incarnation and number.
    #[must_use]
    pub fn lacking(&self, domains: &Domains) -> Vec<(Rank, Incarnation, CheckpointNumber)> {
        let stored =
            self.stored.iter().flat_map(BTreeMap::values).map(|stored| (&stored.head, &stored.holders));
        let saving = self.saving.iter().map(|saving| (&saving.checkpoint.head, &saving.holders));
        stored
            .chain(saving)
            .filter(|(head, holders)| self.has_too_few(domains.of(head.rank), holders))
            .map(|(head, _)| (head.rank, head.incarnation, head.number))
            .collect()
    }

    /// The memory of a domain is lost. Returns the checkpoints that nobody holds any more, or that rest on such.
    pub fn lose(&mut self, domain: Domain) -> Vec<(Rank, CheckpointNumber)> {
        let mut lost = Vec::new();
        if self.copies == 0 {
            return lost;
        }
        for saving in &mut self.saving {
            saving.holders.remove(&domain);
        }
        for (rank, own) in (0..).zip(&mut self.stored) {
            own.values_mut().for_each(|stored| {
                stored.holders.remove(&domain);
            });
            // A base has a lower number than what rests on it.
            let mut left = BTreeSet::new();
            own.retain(|&number, stored| {
                let is_whole = stored.base.is_none_or(|base| left.contains(&base));
                let is_left = is_whole && !stored.holders.is_empty();
                if is_left {
                    left.insert(number);
                } else {
                    lost.push((rank, number));
                }
                is_left
            });
        }
        lost
    }

    /// The checkpoint of that number, if the disk has it.
    #[must_use]
    pub fn get(&self, rank: Rank, number: CheckpointNumber) -> Option<&Stored> {
        self.stored[rank as usize].get(&number)
    }

    /// The newest checkpoint of a rank that covers no more than its first `events` events; 0 is its beginning.
    #[must_use]
    pub fn newest_within(&self, rank: Rank, events: EventIndex) -> CheckpointNumber {
        let mut within = self.stored[rank as usize].iter().filter(|(_, stored)| stored.head.events <= events);
        within.next_back().map_or(0, |(&number, _)| number)
    }

    /// A rank in this domain returns to a checkpoint, or to its beginning, which is number 0: later ones are void.
    ///
    /// # Errors
    /// [`ImageError`] where it, or one that it rests on, cannot be read.
    pub fn return_to(
        &mut self,
        rank: Rank,
        own: Domain,
        number: CheckpointNumber,
    ) -> Result<Option<CheckpointImage>, ImageError> {
        let _ = self.stored[rank as usize].split_off(&(number + 1));
        // What it is given it holds again itself.
        self.stored[rank as usize].values_mut().filter(|_| self.copies > 0).for_each(|stored| {
            stored.holders.insert(own);
        });
        if number == 0 { Ok(None) } else { self.image(rank, number).map(Some) }
    }

    /// Whether the disk has a checkpoint, and all that it rests on; the beginning needs none.
    #[must_use]
    pub fn is_readable(&self, rank: Rank, number: CheckpointNumber) -> bool {
        number == 0 || self.image(rank, number).is_ok()
    }

    /// Whether there is one, on the disk or on its way.
    #[must_use]
    pub fn were_taken(&self) -> bool {
        !self.saving.is_empty() || self.stored.iter().any(|own| !own.is_empty())
    }

    /// Whether a checkpoint is on its way, to its storage or to one more node.
    #[must_use]
    pub fn is_on_its_way(
        &self,
        domains: &Domains,
        checkpoint: (Rank, Incarnation, CheckpointNumber),
    ) -> bool {
        let heads = self.saving.iter().map(|saving| &saving.checkpoint.head);
        heads.map(|head| (head.rank, head.incarnation, head.number)).any(|other| other == checkpoint)
            || (self.copies > 0 && self.lacking(domains).contains(&checkpoint))
    }

    /// Takes in all that may make a difference to what comes.
    pub(super) fn fold(&self, into: &mut Fingerprint) {
        let past = |past: &Option<Rc<VectorClock>>, into: &mut Fingerprint| match past {
            Some(past) => (0..self.stored.len() as Rank).for_each(|rank| into.word(past.of(rank))),
            None => into.word(0),
        };
        for (own, &committed) in self.stored.iter().zip(&self.committed) {
            into.word(committed);
            into.word(own.len() as u64);
            for stored in own.values() {
                into.bytes(&stored.bytes);
                into.word(stored.position);
                into.shown(&stored.holders);
                past(&stored.past, into);
            }
        }
        for saving in &self.saving {
            into.word(u64::from(saving.rank) << 32 | u64::from(saving.checkpoint.head.incarnation));
            into.bytes(&saving.checkpoint.to_bytes().unwrap_or_default());
            into.word(saving.position);
            into.shown(&saving.holders);
            past(&saving.past, into);
        }
        into.word(self.saving.len() as u64);
    }

    fn image(&self, rank: Rank, number: CheckpointNumber) -> Result<CheckpointImage, ImageError> {
        let stored = self.get(rank, number).ok_or(ImageError::NoBase { number, base: number })?;
        let base = match stored.base {
            Some(base) => Some(self.image(rank, base)?),
            None => None,
        };
        StoredCheckpoint::from_bytes(&stored.bytes)?.restore(|_| base)
    }

    /// The determinants that ranks hold for others in their newest checkpoints.
    pub fn held(&self) -> impl Iterator<Item = &Determinant> {
        self.stored.iter().filter_map(|own| own.values().next_back()).flat_map(|stored| &stored.held)
    }

    /// How many checkpoints of a rank the disk holds.
    #[must_use]
    pub fn count(&self, rank: Rank) -> usize {
        self.stored[rank as usize].len()
    }

    /// Nothing from before a checkpoint will be needed again, except to read deltas: those on their way, and those of a rank
    /// that has not heard yet that it need not base them on the checkpoint that was committed before. Returns the journal's
    /// position when this one was captured.
    pub(super) fn collect(&mut self, rank: Rank, number: CheckpointNumber) -> Position {
        let before = std::mem::replace(&mut self.committed[rank as usize], number);
        let own = &mut self.stored[rank as usize];
        let position = own.get(&number).map_or(0, |stored| stored.position);
        let on_their_way = self.saving.iter().filter(|saving| saving.rank == rank);
        let bases = own
            .iter()
            .map(|(&number, stored)| (number, stored.base))
            .chain(on_their_way.map(|saving| (saving.checkpoint.head.number, saving.checkpoint.base())))
            .collect();
        let needed = still_needed(&bases, before.min(number));
        own.retain(|number, _| needed.contains(number));
        position
    }
}
