//! Waiting without a thread: spin while it pays, let others run, sleep.

use std::time::{Duration, Instant};

use super::ShmDriver;

/// How long to spin where every rank has a processor: a little more than a wake from sleep would cost.
const SPIN: Duration = Duration::from_micros(40);

/// How long to let others run before sleeping.
const YIELD: Duration = Duration::from_micros(30);

/// No sleep is longer: whatever was lost (a ringer that died between publishing and ringing) is noticed then.
const SLEEP: Duration = Duration::from_millis(20);

impl ShmDriver {
    /// Waits until `ready`, or until this rank's bell was rung, or for 20 ms: whichever comes first. Returns whether there
    /// may be something to do. `ready` is usually [`ShmDriver::news`], after a call of the engine's that found nothing.
    pub fn park(&mut self, mut ready: impl FnMut(&Self) -> bool) -> bool {
        let begun = Instant::now();
        if self.spins {
            loop {
                for _ in 0..32 {
                    if ready(self) {
                        return true;
                    }
                    std::hint::spin_loop();
                }
                if begun.elapsed() >= SPIN {
                    break;
                }
            }
        }
        let limit = if self.spins { SPIN + YIELD } else { YIELD };
        loop {
            if ready(self) {
                return true;
            }
            if begun.elapsed() >= limit {
                break;
            }
            rustix::thread::sched_yield();
        }
        let this = &*self;
        this.memory.rank(this.rank).bell.sleep(&this.memory.header().fences, SLEEP, || ready(this))
    }
}
