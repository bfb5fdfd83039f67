//! Places in a job's memory that are looked at for every message, found once.

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::arena::Shared;
use crate::layout::Memory;

/// Something in the tables of a job's memory, which it keeps mapped.
#[derive(Debug)]
pub struct Anchor<T> {
    at: NonNull<T>,
    _memory: Arc<Memory>,
}

// SAFETY: it is a shared reference into a mapping that it keeps, to what any thread and any process may use at any time.
unsafe impl<T: Shared> Send for Anchor<T> {}

impl<T: Shared> Anchor<T> {
    /// What `find` finds.
    pub fn new(memory: &Arc<Memory>, find: impl for<'m> FnOnce(&'m Memory) -> &'m T) -> Self {
        Self { at: NonNull::from(find(memory)), _memory: Arc::clone(memory) }
    }
}

impl<T: Shared> Deref for Anchor<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: `find` borrowed it from the memory, which never moves what it hands out and lives as long as this.
        unsafe { self.at.as_ref() }
    }
}
