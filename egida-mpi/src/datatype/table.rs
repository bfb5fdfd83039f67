//! Handles of datatypes.

use std::collections::HashMap;

use super::{Datatype, DatatypeError};

/// The first handle that is not one of the ABI's constants (these end at `0xfff`).
const FIRST_USER_HANDLE: usize = 0x1000;

/// From handles to datatypes. Predefined handles need no entry; the others count up and are never used twice, so that a
/// re-executed program is given the same ones.
#[derive(Debug)]
pub struct DatatypeTable {
    derived: HashMap<usize, Datatype>,
    next: usize,
    /// The types of Fortran kinds, by combiner and arguments.
    kinds: HashMap<(i32, Vec<i32>), usize>,
}

impl Default for DatatypeTable {
    fn default() -> Self {
        Self::new()
    }
}

impl DatatypeTable {
    /// A table of the predefined types.
    #[must_use]
    pub fn new() -> Self {
        Self { derived: HashMap::new(), next: FIRST_USER_HANDLE, kinds: HashMap::new() }
    }

    /// Gives a derived type a handle.
    pub fn insert(&mut self, datatype: Datatype) -> usize {
        let handle = self.next;
        self.next += 1;
        self.derived.insert(handle, Datatype { handle, definition: datatype.definition });
        handle
    }

    /// The handle of the type of a Fortran kind, which is made when it is first asked for.
    pub fn of_kind(&mut self, combiner: i32, asked: &[i32], make: impl FnOnce() -> Datatype) -> usize {
        if let Some(&handle) = self.kinds.get(&(combiner, asked.to_vec())) {
            return handle;
        }
        let handle = self.insert(make());
        self.kinds.insert((combiner, asked.to_vec()), handle);
        handle
    }

    /// The type that a handle names. Whoever keeps a clone keeps the type, whatever happens to the handle.
    ///
    /// # Errors
    /// An unknown handle.
    pub fn get(&self, handle: usize) -> Result<Datatype, DatatypeError> {
        Datatype::predefined(handle)
            .or_else(|| self.derived.get(&handle).cloned())
            .ok_or(DatatypeError::UnknownHandle(handle))
    }

    /// Forgets a handle (`MPI_Type_free`).
    ///
    /// # Errors
    /// An unknown handle or a predefined type.
    pub fn free(&mut self, handle: usize) -> Result<(), DatatypeError> {
        if let Some(predefined) = Datatype::predefined(handle).and_then(|datatype| datatype.as_predefined()) {
            return Err(DatatypeError::Predefined(predefined.name));
        }
        if self.derived.get(&handle).is_some_and(Datatype::is_of_kind) {
            return Err(DatatypeError::Predefined("a datatype of a Fortran kind"));
        }
        self.derived.remove(&handle).map(drop).ok_or(DatatypeError::UnknownHandle(handle))
    }
}
