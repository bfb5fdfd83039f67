//! Waiting without a thread: spin while it pays, let others run, sleep.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::thread::sched_yield;

use super::ShmDriver;

/// How often to look without a pause: an answer that is on its way comes within these.
const EAGER_LOOKS: u32 = 256;

/// How often to look between two looks at the clock.
const LOOKS: u32 = 64;

/// How long to spin where the rank has a processor to itself. Sleeping costs some 10 us, and where others wait for the
/// processor, whoever lets go of it gets it back after milliseconds.
const SPIN: Duration = Duration::from_millis(1);

/// How long to let others run before sleeping.
const YIELD: Duration = Duration::from_micros(200);

/// How often to let others run between two looks at the clock.
const YIELDS: u32 = 8;

/// No sleep is longer: whatever was lost (a ringer that died between publishing and ringing) is noticed then.
const SLEEP: Duration = Duration::from_millis(20);

impl ShmDriver {
    /// Waits until `ready`, or until this rank's bell was rung, or for 20 ms: whichever comes first. Returns whether there
    /// may be something to do. `ready` is usually [`ShmDriver::news`], after a call of the engine's that found nothing.
    pub fn park(&mut self, ready: impl Fn(&Self) -> bool) -> bool {
        self.spin(&ready) || self.yield_to_others(&ready) || self.sleep(&ready)
    }

    /// Whether it is ready, with what has come over connections of this rank's own.
    #[inline]
    fn look(&mut self, ready: &impl Fn(&Self) -> bool) -> bool {
        if self.direct.is_some() {
            self.pull();
        }
        ready(self) || self.fault.is_some()
    }

    /// Sleeps on the bell alone, or where connections are waited for as well.
    fn sleep(&mut self, ready: &impl Fn(&Self) -> bool) -> bool {
        if let Some(direct) = self.direct.as_mut().filter(|direct| direct.is_used())
            && let Err(fault) = direct.flush(&self.memory, &mut self.stretch)
        {
            self.fault = Some(fault);
            return true;
        }
        let this = &*self;
        let (bell, fences) = (&this.memory.rank(this.rank).bell, &this.memory.header().fences);
        let Some(direct) = this.direct.as_ref().filter(|direct| direct.is_used()) else {
            return bell.sleep(fences, SLEEP, || ready(this));
        };
        let waker = this.memory.wakers().iter().find(|(rank, _)| *rank == this.rank).map(|(_, waker)| waker);
        let is_ready = Cell::new(false);
        let look = || {
            is_ready.set(ready(this));
            is_ready.get()
        };
        bell.sleep_at(fences, look, || {
            direct.wait(waker, SLEEP);
        });
        is_ready.get() || self.look(ready)
    }

    fn spin(&mut self, ready: &impl Fn(&Self) -> bool) -> bool {
        if !self.spins {
            return self.look(ready);
        }
        if self.shares_processor() {
            return false;
        }
        for _ in 0..EAGER_LOOKS {
            if self.look(ready) {
                return true;
            }
        }
        let begun = Instant::now();
        while begun.elapsed() < SPIN && !self.shares_processor() {
            for _ in 0..LOOKS {
                if self.look(ready) {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        false
    }

    fn yield_to_others(&mut self, ready: &impl Fn(&Self) -> bool) -> bool {
        let mut begun = None;
        loop {
            for _ in 0..YIELDS {
                if self.look(ready) {
                    return true;
                }
                sched_yield();
            }
            if begun.get_or_insert_with(Instant::now).elapsed() >= YIELD {
                return false;
            }
        }
    }

    /// Whether another rank was last seen waiting on the processor that this one runs on: then it cannot answer while this
    /// one spins. The system or the user may put ranks there though there is a processor for each.
    fn shares_processor(&self) -> bool {
        // SAFETY: the call has no preconditions.
        let processor = u64::try_from(unsafe { libc::sched_getcpu() }).map_or(0, |processor| processor + 1);
        let slots = self.memory.rank_slots();
        let own = &slots[self.rank as usize].processor;
        if own.load(Ordering::Relaxed) != processor {
            own.store(processor, Ordering::Relaxed);
        }
        let here = |slot: &&crate::layout::RankSlot| slot.processor.load(Ordering::Relaxed) == processor;
        processor != 0 && slots.iter().filter(here).nth(1).is_some()
    }

    /// Whether it pays to look again and again for what is about to come.
    #[must_use]
    pub fn may_spin(&self) -> bool {
        self.spins && !self.shares_processor()
    }
}
