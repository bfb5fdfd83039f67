//! The application's memory as datatypes describe it: the only place of this module that touches it.

use std::borrow::Cow;
use std::marker::PhantomData;

use super::{Datatype, DatatypeError};

/// Memory to be read: `count` elements of a datatype at an address.
#[derive(Debug, Clone, Copy)]
pub struct Source<'t> {
    base: *const u8,
    count: usize,
    datatype: &'t Datatype,
}

impl<'t> Source<'t> {
    /// Describes memory to be read.
    ///
    /// # Errors
    /// A negative count, an uncommitted type, the null pointer where there is data at address 0, too large a region.
    ///
    /// # Safety
    /// As long as the value is used, all data of `count` elements at `base` must be readable and not written by others.
    pub unsafe fn new(base: *const u8, count: i64, datatype: &'t Datatype) -> Result<Self, DatatypeError> {
        todo!()
    }

    /// Bytes of data.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there is no data.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The datatype of the elements.
    #[must_use]
    pub fn datatype(&self) -> &'t Datatype {
        self.datatype
    }

    /// The memory itself where it is one block.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        todo!()
    }

    /// The data in the order of the type map: the memory itself where it is one block, a copy otherwise.
    #[must_use]
    pub fn packed(&self) -> Cow<'_, [u8]> {
        todo!()
    }

    /// Writes the packed data into `out`, whose length must be [`Self::len`].
    pub fn pack_into(&self, out: &mut [u8]) {
        todo!()
    }
}

/// Memory to be written (and, in place, read).
#[derive(Debug)]
pub struct Target<'t> {
    base: *mut u8,
    count: usize,
    datatype: &'t Datatype,
}

impl<'t> Target<'t> {
    /// Describes memory to be written.
    ///
    /// # Errors
    /// As [`Source::new`].
    ///
    /// # Safety
    /// As long as the value is used, all data of `count` elements at `base` must be readable and writable and not used
    /// by others.
    pub unsafe fn new(base: *mut u8, count: i64, datatype: &'t Datatype) -> Result<Self, DatatypeError> {
        todo!()
    }

    /// The same memory, to be read.
    #[must_use]
    pub fn as_source(&self) -> Source<'t> {
        Source { base: self.base, count: self.count, datatype: self.datatype }
    }

    /// Bytes of data.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_source().len()
    }

    /// Whether there is no data.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory itself where it is one block.
    #[must_use]
    pub fn as_bytes_mut(&mut self) -> Option<&mut [u8]> {
        todo!()
    }

    /// Places packed bytes that are all there. Fewer than [`Self::len`] fill a prefix.
    ///
    /// # Errors
    /// More bytes than there is room for: the room is filled, the rest dropped.
    pub fn unpack(&mut self, bytes: &[u8]) -> Result<(), DatatypeError> {
        todo!()
    }

    /// Something to place packed bytes with as they arrive.
    #[must_use]
    pub fn unpacker(self) -> Unpacker {
        todo!()
    }
}

/// Places packed bytes, in pieces of any lengths, where they belong. It keeps its datatype alive, so that a pending
/// receive may hold it past `MPI_Type_free`.
#[derive(Debug)]
pub struct Unpacker {
    datatype: Datatype,
}

impl Unpacker {
    /// Places the next bytes of the message; those past the end of the memory are counted and dropped.
    pub fn write(&mut self, bytes: &[u8]) {
        todo!()
    }

    /// Bytes placed so far.
    #[must_use]
    pub fn placed(&self) -> usize {
        todo!()
    }

    /// The datatype of the elements.
    #[must_use]
    pub fn datatype(&self) -> &Datatype {
        &self.datatype
    }

    /// How many bytes were placed.
    ///
    /// # Errors
    /// [`DatatypeError::Truncated`] where the message was longer than the memory.
    pub fn finish(&self) -> Result<usize, DatatypeError> {
        todo!()
    }
}

/// Memory of a collective with a block for each rank: `M` is `*const u8` to be read or `*mut u8` to be written.
#[derive(Debug)]
pub struct Blocks<'t, M> {
    base: M,
    datatype: &'t Datatype,
    places: Places,
    memory: PhantomData<&'t ()>,
}

#[derive(Debug)]
enum Places {
    /// Block `i` begins at element `i * count`.
    Uniform { count: usize, blocks: usize },
    /// Counts and displacements in elements.
    Each(Vec<(usize, i64)>),
}

impl<'t, M> Blocks<'t, M> {
    /// Blocks of one size, one after another: gather, scatter, allgather, alltoall.
    ///
    /// # Errors
    /// As [`Source::new`].
    ///
    /// # Safety
    /// As [`Source::new`] or [`Target::new`], for each block.
    pub unsafe fn uniform(
        base: M,
        count: i64,
        blocks: usize,
        datatype: &'t Datatype,
    ) -> Result<Self, DatatypeError> {
        todo!()
    }

    /// Blocks with counts and displacements (in elements): the `v` variants.
    ///
    /// # Errors
    /// As [`Source::new`], and arrays of unequal length.
    ///
    /// # Safety
    /// As [`Source::new`] or [`Target::new`], for each block.
    pub unsafe fn each<N: Copy + Into<i64>>(
        base: M,
        counts: &[N],
        displacements: &[N],
        datatype: &'t Datatype,
    ) -> Result<Self, DatatypeError> {
        todo!()
    }
}
