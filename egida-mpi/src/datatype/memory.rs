//! The application's memory as datatypes describe it: the only place of this module that touches it.

use std::borrow::Cow;

use super::layout::{Layout, Run};
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
    /// For the lifetime `'t`, all data of `count` elements at `base` must be readable and not written by others.
    pub unsafe fn new(base: *const u8, count: i64, datatype: &'t Datatype) -> Result<Self, DatatypeError> {
        let count = check(base, 0, count, datatype)?;
        Ok(Self { base, count, datatype })
    }

    /// Bytes of data.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count * self.datatype.size()
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
    #[inline]
    pub fn as_bytes(&self) -> Option<&'t [u8]> {
        let offset = one_block(self.count, self.datatype)?;
        if self.is_empty() {
            return Some(&[]);
        }
        // SAFETY: the data of all elements is this one block, and `new` was promised that it is readable.
        Some(unsafe { std::slice::from_raw_parts(at(self.base, offset), self.len()) })
    }

    /// The data in the order of the type map: the memory itself where it is one block, a copy otherwise.
    #[must_use]
    #[inline]
    pub fn packed(&self) -> Cow<'t, [u8]> {
        match self.as_bytes() {
            Some(bytes) => Cow::Borrowed(bytes),
            None => {
                let mut bytes = vec![0; self.len()];
                self.pack_into(&mut bytes);
                Cow::Owned(bytes)
            }
        }
    }

    /// Packs the data into the beginning of `out`, which must have room for [`Self::len`] bytes (else only what fits is
    /// packed).
    pub fn pack_into(&self, out: &mut [u8]) {
        if let Some(bytes) = self.as_bytes() {
            let fitting = bytes.len().min(out.len());
            return out[..fitting].copy_from_slice(&bytes[..fitting]);
        }
        let mut room = &mut out[..];
        Walk::new(self.count, self.datatype).advance(self.len().min(room.len()), |run| {
            let (part, rest) = std::mem::take(&mut room).split_at_mut(run.len * run.pieces);
            // SAFETY: the run is part of the data that `new` was promised, and `part` has its length.
            unsafe {
                let from = Strided { base: at(self.base, run.offset), stride: run.stride };
                from.copy_to(part.as_mut_ptr(), run.len as i64, run);
            }
            room = rest;
        });
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
    /// For the lifetime `'t`, and as long as an [`Unpacker`] made of the value is used, all data of `count` elements at
    /// `base` must be readable and writable and not used by others.
    pub unsafe fn new(base: *mut u8, count: i64, datatype: &'t Datatype) -> Result<Self, DatatypeError> {
        let count = check(base, 0, count, datatype)?;
        Ok(Self { base, count, datatype })
    }

    /// Describes memory that was checked.
    ///
    /// # Safety
    /// As [`Self::new`].
    pub(crate) unsafe fn trusted(base: *mut u8, count: usize, datatype: &'t Datatype) -> Self {
        Self { base, count, datatype }
    }

    /// The same memory, to be read.
    #[must_use]
    pub fn as_source(&self) -> Source<'_> {
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

    /// The datatype of the elements.
    #[must_use]
    pub fn datatype(&self) -> &'t Datatype {
        self.datatype
    }

    /// The memory itself where it is one block.
    ///
    /// # Errors
    /// Itself, where it is not.
    pub fn into_bytes(self) -> Result<&'t mut [u8], Self> {
        match one_block(self.count, self.datatype) {
            None => Err(self),
            Some(_) if self.is_empty() => Ok(&mut []),
            Some(offset) => {
                // SAFETY: the data of all elements is this one block, and `new` was promised that it is ours.
                Ok(unsafe { std::slice::from_raw_parts_mut(at(self.base, offset).cast_mut(), self.len()) })
            }
        }
    }

    /// Places packed bytes that are all there. Fewer than [`Self::len`] fill a prefix.
    ///
    /// # Errors
    /// More bytes than there is room for: the room is filled, the rest dropped.
    pub fn unpack(&mut self, bytes: &[u8]) -> Result<(), DatatypeError> {
        let fitting = &bytes[..bytes.len().min(self.len())];
        match one_block(self.count, self.datatype) {
            // SAFETY: the data of all elements is this one block, and `new` was promised that the memory is ours; so below.
            Some(offset) if !fitting.is_empty() => unsafe {
                let to = at(self.base, offset).cast_mut();
                std::ptr::copy_nonoverlapping(fitting.as_ptr(), to, fitting.len());
            },
            // SAFETY: as above.
            _ => unsafe { place(self.base, &mut Walk::new(self.count, self.datatype), fitting) },
        }
        truncation(bytes.len(), self.len()).map(drop)
    }

    /// Copies data from another place in the application's memory.
    ///
    /// # Errors
    /// [`DatatypeError::Aliased`] where it is the same place, [`DatatypeError::Truncated`] where there is too little room.
    pub fn copy_from(&mut self, source: &Source<'_>) -> Result<(), DatatypeError> {
        // The null pointer is MPI_BOTTOM here: the datatypes say where.
        let same = source.base == self.base.cast_const() && !self.base.is_null();
        if same && !self.is_empty() && !source.is_empty() {
            return Err(DatatypeError::Aliased);
        }
        self.unpack(&source.packed())
    }

    /// Something to place `len` packed bytes with that begin `from` bytes into the data; there is no room for what lies behind
    /// its end.
    #[must_use]
    pub fn part(self, from: usize, len: usize) -> Unpacker {
        let room = len.min(self.len().saturating_sub(from));
        if room == 0 {
            return Unpacker { base: self.base, room, received: 0, scattered: None };
        }
        if let Some(offset) = one_block(self.count, self.datatype) {
            let base = at(self.base, offset).cast_mut().wrapping_add(from);
            return Unpacker { base, room, received: 0, scattered: None };
        }
        let size = self.datatype.size();
        let (element, rest) = (from / size, from % size);
        let base = at(self.base, element as i64 * self.datatype.extent()).cast_mut();
        let mut walk = Walk::new((rest + room).div_ceil(size), self.datatype);
        walk.advance(rest, |_| {});
        let scattered = Some(Box::new(Scattered { walk, _datatype: self.datatype.clone() }));
        Unpacker { base, room, received: 0, scattered }
    }

    /// Something to place packed bytes with as they arrive.
    #[must_use]
    pub fn unpacker(self) -> Unpacker {
        let room = self.len();
        let (base, scattered) = match one_block(self.count, self.datatype) {
            Some(offset) => (at(self.base, offset).cast_mut(), None),
            None => (
                self.base,
                Some(Box::new(Scattered {
                    walk: Walk::new(self.count, self.datatype),
                    _datatype: self.datatype.clone(),
                })),
            ),
        };
        Unpacker { base, room, received: 0, scattered }
    }
}

/// Places packed bytes, in pieces of any lengths, where they belong. It keeps its datatype alive, so that a pending
/// receive may hold it past `MPI_Type_free`.
#[derive(Debug)]
pub struct Unpacker {
    base: *mut u8,
    room: usize,
    received: usize,
    /// None where the memory is one block, which begins at `base`.
    scattered: Option<Box<Scattered>>,
}

/// Where the next bytes go, and the datatype that says so.
#[derive(Debug)]
struct Scattered {
    walk: Walk,
    _datatype: Datatype,
}

// SAFETY: the memory was promised to be ours for as long as this value is used, whichever thread uses it.
unsafe impl Send for Unpacker {}

impl Unpacker {
    /// For memory that is one block.
    ///
    /// # Safety
    /// As [`Target::new`], for so many bytes.
    #[inline(always)] // for every message
    pub unsafe fn dense(base: *mut u8, room: usize) -> Self {
        Self { base, room, received: 0, scattered: None }
    }

    /// Places the next bytes of the message; those past the end of the memory are counted and dropped.
    #[inline(always)] // for every message
    pub fn write(&mut self, bytes: &[u8]) {
        let placed = self.placed();
        let fitting = &bytes[..bytes.len().min(self.room - placed)];
        let to = self.base.wrapping_add(placed);
        match (&mut self.scattered, fitting.first_chunk::<8>()) {
            // SAFETY: `Target::new` was promised that the memory is ours as long as this value is used.
            (Some(scattered), _) => unsafe { place(self.base, &mut scattered.walk, fitting) },
            // To call what copies any number of bytes costs more than to copy these.
            // SAFETY: as above; the room behind what is placed has at least so many bytes.
            (None, Some(word)) if fitting.len() == 8 => unsafe {
                to.cast::<[u8; 8]>().write_unaligned(*word)
            },
            // SAFETY: as above.
            (None, _) => unsafe { std::ptr::copy_nonoverlapping(fitting.as_ptr(), to, fitting.len()) },
        }
        self.received = self.received.saturating_add(bytes.len());
    }

    /// Bytes placed so far.
    #[must_use]
    pub fn placed(&self) -> usize {
        self.received.min(self.room)
    }

    /// Bytes that the memory takes.
    #[must_use]
    pub fn room(&self) -> usize {
        self.room
    }

    /// How many bytes were placed.
    ///
    /// # Errors
    /// [`DatatypeError::Truncated`] where the message was longer than the memory.
    pub fn finish(&self) -> Result<usize, DatatypeError> {
        truncation(self.received, self.room)
    }
}

/// Memory of a collective with a block for each rank: `M` is `*const u8` to be read or `*mut u8` to be written.
#[derive(Debug)]
pub struct Blocks<'t, M> {
    base: M,
    datatype: &'t Datatype,
    places: Places,
}

#[derive(Debug)]
enum Places {
    /// Blocks one after another, `step` bytes apart.
    Uniform { count: usize, step: i64, blocks: usize },
    /// Count and offset in bytes of each.
    Each(Vec<(usize, i64)>),
}

impl<'t, M> Blocks<'t, M> {
    /// The datatype of the elements.
    #[must_use]
    pub fn datatype(&self) -> &'t Datatype {
        self.datatype
    }

    /// How many blocks there are.
    #[must_use]
    pub fn blocks(&self) -> usize {
        match &self.places {
            Places::Uniform { blocks, .. } => *blocks,
            Places::Each(places) => places.len(),
        }
    }
}

impl<'t, M: Copy + Into<Address>> Blocks<'t, M> {
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
        let address = base.into().0;
        let all = i64::try_from(blocks).ok().and_then(|blocks| blocks.checked_mul(count));
        check(address, 0, all.ok_or(DatatypeError::TooLarge)?, datatype)?;
        let step = datatype.extent().checked_mul(count).ok_or(DatatypeError::TooLarge)?;
        let count = check(address, 0, count, datatype)?;
        Ok(Self { base, datatype, places: Places::Uniform { count, step, blocks } })
    }

    /// Blocks with counts and displacements (in elements): the `v` variants.
    ///
    /// # Errors
    /// As [`Source::new`], and arrays of unequal length.
    ///
    /// # Safety
    /// As [`Source::new`] or [`Target::new`], for each block.
    pub unsafe fn each<C: Copy + Into<i64>, D: Copy + Into<i64>>(
        base: M,
        counts: &[C],
        displacements: &[D],
        datatype: &'t Datatype,
    ) -> Result<Self, DatatypeError> {
        if counts.len() != displacements.len() {
            let (lengths, displacements) = (counts.len(), displacements.len());
            return Err(DatatypeError::UnequalArrays { lengths, displacements });
        }
        let place = |(&count, &displacement): (&C, &D)| {
            let offset = displacement.into().checked_mul(datatype.extent()).ok_or(DatatypeError::TooLarge)?;
            Ok((check(base.into().0, offset, count.into(), datatype)?, offset))
        };
        let places = counts.iter().zip(displacements).map(place).collect::<Result<_, _>>()?;
        Ok(Self { base, datatype, places: Places::Each(places) })
    }

    /// Bytes of data in a block.
    #[must_use]
    pub fn block_len(&self, block: usize) -> usize {
        self.place(block).0 * self.datatype.size()
    }

    /// A block's data, to be read.
    #[must_use]
    pub fn source(&self, block: usize) -> Source<'_> {
        let (count, offset) = self.place(block);
        Source { base: at(self.base.into().0, offset), count, datatype: self.datatype }
    }

    fn place(&self, block: usize) -> (usize, i64) {
        match &self.places {
            Places::Uniform { count, step, .. } => (*count, step * block as i64),
            Places::Each(places) => places[block],
        }
    }
}

impl Blocks<'_, *mut u8> {
    /// A block's data, to be written.
    #[must_use]
    pub fn target(&mut self, block: usize) -> Target<'_> {
        let (count, offset) = self.place(block);
        Target { base: at(self.base, offset).cast_mut(), count, datatype: self.datatype }
    }
}

/// Where memory begins, whatever may be done with it.
#[derive(Debug, Clone, Copy)]
pub struct Address(*const u8);

impl From<*const u8> for Address {
    fn from(base: *const u8) -> Self {
        Self(base)
    }
}

impl From<*mut u8> for Address {
    fn from(base: *mut u8) -> Self {
        Self(base)
    }
}

/// Whether elements at an address can be communicated; returns the count.
#[inline]
fn check(base: *const u8, offset: i64, count: i64, datatype: &Datatype) -> Result<usize, DatatypeError> {
    // What nearly every call asks: basic elements without gaps, of which no more fit than their bytes do.
    if datatype.definition.predefined.is_some()
        && offset == 0
        && datatype.extent() == datatype.size() as i64
        && !base.is_null()
    {
        return datatype.packed_size(count).map(|_| count as usize);
    }
    if !datatype.is_committed() {
        return Err(DatatypeError::NotCommitted);
    }
    let bytes = datatype.packed_size(count)?;
    let bounds = datatype.definition.bounds.placed(count as usize, datatype.extent(), offset)?;
    // The null pointer is also MPI_BOTTOM, which is right where the datatype holds addresses.
    if bytes > 0 && base.is_null() && bounds.true_lower() == 0 {
        return Err(DatatypeError::NullBuffer);
    }
    Ok(count as usize)
}

/// Where the data of that many elements begins, if it is one block.
#[inline]
fn one_block(count: usize, datatype: &Datatype) -> Option<i64> {
    if count == 0 || datatype.size() == 0 {
        return Some(0);
    }
    let block = datatype.definition.layout.one_block()?;
    (count == 1 || datatype.extent() == block.len as i64).then_some(block.offset)
}

fn truncation(sent_bytes: usize, room_bytes: usize) -> Result<usize, DatatypeError> {
    if sent_bytes > room_bytes {
        Err(DatatypeError::Truncated { sent_bytes, room_bytes })
    } else {
        Ok(sent_bytes)
    }
}

/// The address `offset` bytes on. Wrapping, because with `MPI_BOTTOM` the offset is the address.
fn at(base: *const u8, offset: i64) -> *const u8 {
    base.wrapping_offset(offset as isize)
}

/// A walk over the data of some elements in the order of the type map, which can stop at any byte.
#[derive(Debug)]
struct Walk {
    layout: Layout,
    /// How far apart elements are.
    extent: i64,
    element: usize,
    repeat: usize,
    run: usize,
    piece: usize,
    byte: usize,
}

impl Walk {
    fn new(count: usize, datatype: &Datatype) -> Self {
        let (layout, extent) = (&datatype.definition.layout, datatype.extent());
        // Simple layouts hold all elements in fewer runs than there are elements.
        let layout = match layout.repeated_in_place(count, extent) {
            Some(all) if count > 0 => all,
            _ => layout.clone(),
        };
        Self { layout, extent, element: 0, repeat: 0, run: 0, piece: 0, byte: 0 }
    }

    /// Visits the next `bytes` of the data, which must be there, as runs of whole or partial pieces.
    fn advance(&mut self, mut bytes: usize, mut visit: impl FnMut(&Run)) {
        let runs = self.layout.runs();
        while bytes > 0 {
            let run = &runs[self.run];
            let base = self.element as i64 * self.extent + self.repeat as i64 * self.layout.step;
            let offset = base + run.offset + self.piece as i64 * run.stride;
            if self.byte > 0 || bytes < run.len {
                let len = (run.len - self.byte).min(bytes);
                visit(&Run::block(offset + self.byte as i64, len));
                bytes -= len;
                self.byte += len;
                if self.byte < run.len {
                    return;
                }
                self.byte = 0;
                self.piece += 1;
            } else {
                let pieces = (run.pieces - self.piece).min(bytes / run.len);
                visit(&Run { offset, pieces, ..*run });
                bytes -= pieces * run.len;
                self.piece += pieces;
            }
            if self.piece == run.pieces {
                self.piece = 0;
                self.run += 1;
                if self.run == runs.len() {
                    self.run = 0;
                    self.repeat += 1;
                    if self.repeat == self.layout.repeats {
                        self.repeat = 0;
                        self.element += 1;
                    }
                }
            }
        }
    }
}

/// Copies packed bytes to where a walk says.
///
/// # Safety
/// The next `bytes.len()` bytes of the walk from `base` must be ours to write.
unsafe fn place(base: *mut u8, walk: &mut Walk, mut bytes: &[u8]) {
    walk.advance(bytes.len(), |run| {
        let (part, rest) = bytes.split_at(run.len * run.pieces);
        let from = Strided { base: part.as_ptr(), stride: run.len as i64 };
        // SAFETY: `part` has the run's length, and the caller vouches for where it goes.
        unsafe { from.copy_to(at(base, run.offset).cast_mut(), run.stride, run) };
        bytes = rest;
    });
}

/// Pieces to be copied.
struct Strided {
    base: *const u8,
    stride: i64,
}

impl Strided {
    /// Copies a run's pieces to `to`, `stride` bytes apart. Sizes of basic types get copies without calls.
    ///
    /// # Safety
    /// Every piece must be readable here and writable there, and the two must not overlap.
    unsafe fn copy_to(&self, to: *mut u8, stride: i64, run: &Run) {
        // SAFETY: as the caller promises.
        unsafe {
            match run.len {
                4 => self.copy_pieces::<4>(to, stride, run.pieces),
                8 => self.copy_pieces::<8>(to, stride, run.pieces),
                16 => self.copy_pieces::<16>(to, stride, run.pieces),
                len if run.pieces == 1 => std::ptr::copy_nonoverlapping(self.base, to, len),
                len => {
                    for piece in 0..run.pieces as i64 {
                        let from = at(self.base, piece * self.stride);
                        std::ptr::copy_nonoverlapping(from, at(to, piece * stride).cast_mut(), len);
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`Self::copy_to`].
    unsafe fn copy_pieces<const LEN: usize>(&self, to: *mut u8, stride: i64, pieces: usize) {
        for piece in 0..pieces as i64 {
            let from = at(self.base, piece * self.stride);
            // SAFETY: as the caller promises.
            unsafe { std::ptr::copy_nonoverlapping(from, at(to, piece * stride).cast_mut(), LEN) };
        }
    }
}
