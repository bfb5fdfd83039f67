//! Checkpoints on the disk, and on their way there.

use std::collections::BTreeMap;
use std::rc::Rc;

use egida_core::checkpoint::{
    CheckpointHead, CheckpointImage, Contents, ImageError, StoredCheckpoint, still_needed,
};
use egida_core::clock::VectorClock;
use egida_core::event::Determinant;
use egida_core::ids::{CheckpointNumber, Incarnation, Position, Rank};

/// All of them.
#[derive(Debug)]
pub struct Checkpoints {
    stored: Vec<BTreeMap<CheckpointNumber, Stored>>,
    /// The newest checkpoint of each rank that recovery will not return behind.
    committed: Vec<CheckpointNumber>,
    /// Those on their way.
    saving: Vec<Saving>,
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
    /// What is to be known of it.
    pub head: CheckpointHead,
    /// The determinants of others' events in it.
    pub held: Vec<Determinant>,
    /// For the observer: what the rank's state depended on.
    pub past: Option<Rc<VectorClock>>,
}

/// A checkpoint on its way to the disk.
#[derive(Debug, Clone)]
pub struct Saving {
    /// Whose.
    pub rank: Rank,
    /// Which life of the rank took it.
    pub incarnation: Incarnation,
    /// The checkpoint.
    pub checkpoint: StoredCheckpoint,
    position: Position,
    past: Option<Rc<VectorClock>>,
}

impl Checkpoints {
    /// None of any rank.
    #[must_use]
    pub fn new(ranks: u32) -> Self {
        Self {
            stored: vec![BTreeMap::new(); ranks as usize],
            committed: vec![0; ranks as usize],
            saving: Vec::new(),
            submitted: Vec::new(),
            decided: Vec::new(),
        }
    }

    pub(super) fn submit(
        &mut self,
        rank: Rank,
        checkpoint: StoredCheckpoint,
        position: Position,
        past: Option<Rc<VectorClock>>,
    ) {
        let incarnation = checkpoint.head.incarnation;
        self.submitted.push((rank, incarnation, checkpoint.head.number));
        self.saving.push(Saving { rank, incarnation, checkpoint, position, past });
    }

    /// Takes from those on their way the ones that are meant.
    pub fn take_saving(&mut self, is_meant: impl Fn(&Saving) -> bool) -> Vec<Saving> {
        let (taken, rest) = std::mem::take(&mut self.saving).into_iter().partition(is_meant);
        self.saving = rest;
        taken
    }

    /// The disk takes a checkpoint; none where it cannot, or does not have what it is a delta over any more.
    pub(super) fn store(&mut self, saving: Saving) -> Option<&Stored> {
        let Saving { rank, checkpoint, position, past, .. } = saving;
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
        let stored = Stored { bytes, base, position, head, held, past };
        let own = self.stored.get_mut(rank as usize)?;
        own.insert(number, stored);
        own.get(&number)
    }

    /// A checkpoint is not to be returned to.
    pub fn void(&mut self, rank: Rank, number: CheckpointNumber) {
        self.stored[rank as usize].remove(&number);
        self.take_saving(|saving| (saving.rank, saving.checkpoint.head.number) == (rank, number));
    }

    /// The checkpoint of that number, if the disk has it.
    #[must_use]
    pub fn get(&self, rank: Rank, number: CheckpointNumber) -> Option<&Stored> {
        self.stored[rank as usize].get(&number)
    }

    /// A rank returns to a checkpoint, or to its beginning, which is number 0: later ones are void.
    ///
    /// # Errors
    /// [`ImageError`] where it, or one that it rests on, cannot be read.
    pub fn return_to(
        &mut self,
        rank: Rank,
        number: CheckpointNumber,
    ) -> Result<Option<CheckpointImage>, ImageError> {
        let _ = self.stored[rank as usize].split_off(&(number + 1));
        if number == 0 { Ok(None) } else { self.image(rank, number).map(Some) }
    }

    /// Whether the disk has a checkpoint, and all that it rests on; the beginning needs none.
    #[must_use]
    pub fn is_readable(&self, rank: Rank, number: CheckpointNumber) -> bool {
        number == 0 || self.image(rank, number).is_ok()
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
