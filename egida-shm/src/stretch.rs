//! Stretches in which a rank touches channels: what lets the daemon take memory away without a lock.
//!
//! A rank marks its slot busy with the epoch that it has seen; the daemon begins a new epoch and waits until no mark of
//! an older one is left. Whoever becomes busy afterwards knows that something may have changed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use egida_core::ids::Rank;

use crate::job::Blocked;
use crate::layout::Memory;

/// How long [`quiesce`] sleeps between looks, at most, and how often it tells who holds it up.
const LOOK: Duration = Duration::from_millis(1);
const COMPLAIN: Duration = Duration::from_millis(10);

/// Begins a new epoch and waits until no live rank of this host is in a stretch under the old one. A rank that holds this up is
/// handed to `blocked` now and then.
pub fn quiesce(memory: &Memory, mut blocked: impl FnMut(Rank) -> Blocked) {
    let header = memory.header();
    let epoch = header.epoch.fetch_add(1, Ordering::SeqCst) + 1;
    header.fences.heavy();
    memory.ring_all();
    // Where a mark stands of a rank of another host, it is of whoever writes a mirror of its logs, and says nothing here.
    let here = (0..).zip(memory.rank_slots()).filter(|&(rank, _)| !memory.is_elsewhere(rank));
    for (rank, slot) in here {
        let mut complain_at = Instant::now() + COMPLAIN;
        let mut pause = Duration::from_micros(10);
        while (1..epoch).contains(&slot.busy.load(Ordering::SeqCst)) {
            if Instant::now() >= complain_at {
                if blocked(rank) == Blocked::Reaped {
                    slot.busy.store(0, Ordering::SeqCst);
                    break;
                }
                complain_at = Instant::now() + COMPLAIN;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOK);
        }
    }
}

/// One rank's mark.
#[derive(Debug)]
pub struct Stretch {
    rank: Rank,
    depth: u32,
    epoch: u64,
}

impl Stretch {
    /// The mark of a rank that is not in a stretch.
    pub fn new(rank: Rank) -> Self {
        Self { rank, depth: 0, epoch: 0 }
    }

    /// Begins a stretch, or goes deeper into one. Returns whether the epoch is another than that of the last stretch.
    #[inline]
    pub fn enter(&mut self, memory: &Memory) -> bool {
        self.depth += 1;
        if self.depth > 1 {
            return false;
        }
        let header = memory.header();
        let busy = &memory.rank(self.rank).busy;
        loop {
            let epoch = header.epoch.load(Ordering::Acquire);
            busy.store(epoch, Ordering::Relaxed);
            // The daemon looks at the mark after it began an epoch, we look at the epoch after we set the mark: one of us
            // sees the other.
            header.fences.light();
            if header.epoch.load(Ordering::Acquire) == epoch {
                let changed = self.epoch != epoch;
                self.epoch = epoch;
                return changed;
            }
        }
    }

    /// Ends what [`Stretch::enter`] began.
    #[inline]
    pub fn leave(&mut self, memory: &Memory) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 {
            memory.rank(self.rank).busy.store(0, Ordering::Release);
        }
    }

    /// Whether no stretch is under way.
    pub fn is_outside(&self) -> bool {
        self.depth == 0
    }

    /// The epoch of the last stretch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}
