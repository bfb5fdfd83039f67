//! Values that one thread at a time uses, without the price of a lock where a program has promised just that.
//!
//! A locked instruction waits until all that was stored before it has left for the other processors: behind a message, that is longer
//! than all the rest of the call. Below `MPI_THREAD_MULTIPLE` calls never meet; what could meet them is input that is an event, which
//! the main thread reads outside of calls.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::end;

/// Whether the program has promised that nobody uses the library while another thread does.
static PROMISE: AtomicU8 = AtomicU8::new(OPEN);

const OPEN: u8 = 0;
const GIVEN: u8 = 1;
const REFUSED: u8 = 2;

/// The program gives its promise, unless it was refused. Called by the thread that gives it, in no use of any [`Sole`].
///
/// # Safety
/// Until [`refuse`], no two threads use the library at the same time, and what one did is known to the next.
pub unsafe fn promise() {
    let _ = PROMISE.compare_exchange(OPEN, GIVEN, Ordering::Relaxed, Ordering::Relaxed);
}

/// Several threads may use the library at the same time from now on. Called in no use of any [`Sole`].
pub fn refuse() {
    PROMISE.store(REFUSED, Ordering::Relaxed);
}

fn is_promised() -> bool {
    PROMISE.load(Ordering::Relaxed) == GIVEN
}

/// A value that one thread at a time uses.
#[derive(Debug)]
pub struct Sole<T> {
    lock: Mutex<()>,
    used: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: one thread at a time gets at the value: the one with the lock, or after the promise the one that the program lets in, unless
// the value is being used.
unsafe impl<T: Send> Sync for Sole<T> {}

impl<T> Sole<T> {
    /// Guards a value.
    pub const fn new(value: T) -> Self {
        Self { lock: Mutex::new(()), used: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The value, for as long as the answer lives.
    #[inline]
    pub fn lock(&self) -> Use<'_, T> {
        let lock = match is_promised() {
            true => None,
            false => Some(self.lock.lock().unwrap_or_else(PoisonError::into_inner)),
        };
        self.begin(lock).unwrap_or_else(|| met())
    }

    /// The value, if nobody is using it.
    pub fn try_lock(&self) -> Option<Use<'_, T>> {
        if is_promised() {
            return self.begin(None);
        }
        match self.lock.try_lock() {
            Ok(lock) => self.begin(Some(lock)),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => None,
        }
    }

    #[inline]
    fn begin<'a>(&'a self, lock: Option<MutexGuard<'a, ()>>) -> Option<Use<'a, T>> {
        if self.used.load(Ordering::Relaxed) {
            return None;
        }
        self.used.store(true, Ordering::Relaxed);
        Some(Use { of: self, _lock: lock })
    }
}

/// The use of a [`Sole`] value.
#[derive(Debug)]
pub struct Use<'a, T> {
    of: &'a Sole<T>,
    _lock: Option<MutexGuard<'a, ()>>,
}

impl<T> Deref for Use<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while this lives the value is marked as used, and nobody else is let in.
        unsafe { &*self.of.value.get() }
    }
}

impl<T> DerefMut for Use<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.of.value.get() }
    }
}

impl<T> Drop for Use<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.of.used.store(false, Ordering::Relaxed);
    }
}

#[cold]
fn met() -> ! {
    end::with_message(
        "two threads call MPI at the same time, or a function of the application calls it where it may not",
        end::ERROR,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_second_waits() {
        let value = Sole::new(0u64);
        let add = || (0..10_000).for_each(|_| *value.lock() += 1);
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(add))));
        assert_eq!(*value.lock(), 40_000);
    }

    #[test]
    fn a_value_in_use_is_not_given_out_again() {
        let value = Sole::new(7);
        let first = value.lock();
        assert!(value.try_lock().is_none());
        drop(first);
        assert_eq!(value.try_lock().map(|value| *value), Some(7));
    }
}
