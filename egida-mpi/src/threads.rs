//! Several threads that call at once (`MPI_THREAD_MULTIPLE`; MPI 5.0, section 11.6).
//!
//! The library has one world, which one thread holds at a time. A thread that waits in it would keep the others out; so where
//! several may call, a call that waits is a call that tests, made again and again, with nothing held in between. Which thread comes
//! first is not logged: the level is provided under protocols alone that replay nothing ([`world::replays`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::constants::{MPI_THREAD_MULTIPLE, MPI_THREAD_SERIALIZED};
use crate::{sole, world};

/// Whether several threads may call at once.
static TAKE_TURNS: AtomicBool = AtomicBool::new(false);

/// The highest level of thread support that this process can have. It is known once the world is there.
#[must_use]
pub fn highest() -> i32 {
    if world::replays() { MPI_THREAD_SERIALIZED } else { MPI_THREAD_MULTIPLE }
}

/// That level of thread support is provided from now on.
pub fn provide(level: i32) {
    if level == MPI_THREAD_MULTIPLE {
        TAKE_TURNS.store(true, Ordering::Relaxed);
        sole::refuse();
    }
}

/// Whether a call must not wait with anything held.
#[must_use]
pub fn take_turns() -> bool {
    TAKE_TURNS.load(Ordering::Relaxed)
}

/// Calls again and again until there is an answer, and lets the other threads and ranks run in between.
///
/// # Errors
/// The first error of a call.
pub fn until<T, E>(mut call: impl FnMut() -> Result<Option<T>, E>) -> Result<T, E> {
    let mut pause = Pause::new();
    loop {
        if let Some(answer) = call()? {
            return Ok(answer);
        }
        pause.pause();
    }
}

/// How long to let others run before sleeping.
const YIELD: Duration = Duration::from_micros(200);
const SHORTEST_SLEEP: Duration = Duration::from_micros(20);
const LONGEST_SLEEP: Duration = Duration::from_millis(1);

/// Longer and longer pauses: nobody rings for one of several threads.
struct Pause {
    begun: Instant,
    sleep: Duration,
}

impl Pause {
    fn new() -> Self {
        Self { begun: Instant::now(), sleep: SHORTEST_SLEEP }
    }

    fn pause(&mut self) {
        if self.begun.elapsed() < YIELD {
            thread::yield_now();
        } else {
            thread::sleep(self.sleep);
            self.sleep = LONGEST_SLEEP.min(self.sleep * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_made_until_it_has_an_answer_or_an_error() {
        let mut calls = 0;
        let answer: Result<u32, ()> = until(|| {
            calls += 1;
            Ok((calls == 3).then_some(calls))
        });
        assert_eq!(answer, Ok(3));
        assert_eq!(until(|| Err::<Option<()>, _>("no")), Err("no"));
    }

    #[test]
    fn pauses_grow_to_the_longest() {
        let mut pause = Pause { begun: Instant::now().checked_sub(YIELD).unwrap(), sleep: SHORTEST_SLEEP };
        for _ in 0..8 {
            pause.pause();
        }
        assert_eq!(pause.sleep, LONGEST_SLEEP);
    }
}
