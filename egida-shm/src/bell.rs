//! Doorbells: sleeping without a lost wake, at no cost to a ringer whose partner is awake.
//!
//! A sleeper says that it sleeps, looks once more for what it waits for, and waits on the bell's word. A ringer
//! publishes its news and then looks whether the other sleeps. Each must see the other's store, which takes a full
//! fence on both sides; since ringers are many and sleepers have time, the sleeper pays for both by `membarrier(2)`
//! where the system has it, and a ringer only keeps the compiler from reordering.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};
use std::time::Duration;

use rustix::thread::futex;
use rustix::thread::futex::Timespec;
use rustix::thread::{MembarrierCommand, membarrier};

/// Of [`Bell::sleeps`]: on the bell's word.
const AT_WORD: u32 = 1;

/// Of [`Bell::sleeps`]: at descriptors, one of which is for ringers.
const AT_DESCRIPTOR: u32 = 2;

/// What a process waits on while it sleeps.
#[repr(C)]
#[derive(Debug)]
pub struct Bell {
    rung: AtomicU32,
    /// 0, or how somebody sleeps.
    sleeps: AtomicU32,
}

/// How the two sides of a flag protocol see each other's stores: one word of the job's header.
#[repr(transparent)]
#[derive(Debug)]
pub struct FencePolicy {
    /// 0 where the rare side fences for both, 1 where each fences for itself.
    both_fence: AtomicU64,
}

impl FencePolicy {
    /// Prepares this process for the fences of others. Where it cannot take part, everybody fences from now on.
    pub fn join(&self) {
        if membarrier(MembarrierCommand::RegisterGlobalExpedited).is_err() {
            self.both_fence.store(1, Ordering::SeqCst);
        }
    }

    /// The fence of the side that is often there.
    #[inline]
    pub fn light(&self) {
        if self.both_fence.load(Ordering::Relaxed) == 0 {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    /// The fence of the side that is rarely there.
    pub fn heavy(&self) {
        fence(Ordering::SeqCst);
        if self.both_fence.load(Ordering::Relaxed) == 0
            && membarrier(MembarrierCommand::GlobalExpedited).is_err()
        {
            self.both_fence.store(1, Ordering::SeqCst);
        }
    }
}

impl Bell {
    /// Wakes the sleeper, if there is one, after news were published for it. Returns whether it sleeps at a descriptor: then
    /// the caller wakes it there.
    #[inline]
    pub fn ring(&self, fences: &FencePolicy) -> bool {
        fences.light();
        self.sleeps.load(Ordering::Relaxed) != 0 && self.wake()
    }

    /// Wakes the sleeper, and keeps one that is about to sleep from doing so. Returns as [`Bell::ring`] does.
    #[cold]
    pub fn wake(&self) -> bool {
        let sleeps = self.sleeps.swap(0, Ordering::SeqCst);
        if sleeps == AT_WORD {
            self.rung.fetch_add(1, Ordering::SeqCst);
            // A failure would mean that the word is not mapped, which it is: we have just changed it.
            let _ = futex::wake(&self.rung, futex::Flags::empty(), u32::MAX >> 1);
        }
        sleeps == AT_DESCRIPTOR
    }

    /// Sleeps until rung for, or for at most `limit`, unless `news` finds that there is no need to. Returns whether there
    /// may be news.
    pub fn sleep(&self, fences: &FencePolicy, limit: Duration, mut news: impl FnMut() -> bool) -> bool {
        let before = self.rung.load(Ordering::SeqCst);
        self.sleeps.store(AT_WORD, Ordering::SeqCst);
        fences.heavy();
        let awake = news() || {
            let limit =
                Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() };
            // Any outcome (woken, the word had changed, a signal, time over) is answered by looking at the word.
            let _ = futex::wait(&self.rung, futex::Flags::empty(), before, Some(&limit));
            self.rung.load(Ordering::SeqCst) != before
        };
        self.sleeps.store(0, Ordering::SeqCst);
        awake
    }

    /// Sleeps as `wait` does, which ends when somebody wakes it at a descriptor, unless `news` finds that there is no need to.
    pub fn sleep_at(&self, fences: &FencePolicy, news: impl FnOnce() -> bool, wait: impl FnOnce()) {
        self.sleeps.store(AT_DESCRIPTOR, Ordering::SeqCst);
        fences.heavy();
        if !news() {
            wait();
        }
        self.sleeps.store(0, Ordering::SeqCst);
    }

    /// Forgets a sleeper that died.
    pub fn reset(&self) {
        self.sleeps.store(0, Ordering::SeqCst);
    }
}
