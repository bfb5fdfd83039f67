//! Datatypes (MPI 5.0, chapter 5): what lies where in the application's memory.
//!
//! A [`Datatype`] is an immutable, reference-counted description. Constructors flatten at once: a type holds no tree of
//! the types it was made of but a short list of strided runs, so that depth costs nothing, and freeing a handle
//! ([`DatatypeTable::free`]) never touches a type that a pending operation still holds.
//!
//! Data leaves memory through [`Source`] (packed bytes, in the order of the type map) and enters it through [`Target`]
//! and the incremental [`Unpacker`]. These three hold all of this module's `unsafe`.
//!
//! What this module does not do: compare the signatures of sender and receiver, or convert representations.

mod array;
mod construct;
mod error;
pub mod external;
mod layout;
mod memory;
mod origin;
mod predefined;
mod signature;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

pub use array::{Deal, Order, Share, Span};
pub use error::{DatatypeError, class};
pub use memory::{Address, Blocks, Source, Target, Unpacker};
pub use origin::Origin;
pub use predefined::{Class, Predefined, Scalar, Shape};
pub use table::DatatypeTable;

use crate::attribute::Attributes;
use layout::{Bounds, Layout};
use signature::Signature;

/// The value of `MPI_DATATYPE_NULL`.
pub const NULL_HANDLE: usize = 0x200;

/// A datatype. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Datatype {
    /// The handle that the application knows it by, or the null handle before it is in a table.
    handle: usize,
    definition: Arc<Definition>,
}

/// What all handles of one type share.
#[derive(Debug)]
struct Definition {
    predefined: Option<&'static Predefined>,
    layout: Layout,
    bounds: Bounds,
    signature: Signature,
    /// Bytes of data in one element.
    size: usize,
    committed: AtomicBool,
    origin: OnceLock<Origin>,
    about: Mutex<About>,
}

/// What the application keeps with a datatype.
#[derive(Debug, Default)]
struct About {
    name: Option<String>,
    attributes: Attributes,
}

impl Datatype {
    /// The same type, which says from now on that it was made so. The first word holds.
    #[must_use]
    pub fn made_by(self, origin: Origin) -> Self {
        let _ = self.definition.origin.set(origin);
        self
    }

    /// How it was made; `None` for the named predefined ones.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.definition.origin.get()
    }

    /// The name that the application gave it, or that of the standard.
    #[must_use]
    pub fn name(&self) -> String {
        let named = self.about().name.clone();
        named.unwrap_or_else(|| self.as_predefined().map_or("", |predefined| predefined.name).to_owned())
    }

    /// Names it.
    pub fn set_name(&self, name: String) {
        self.about().name = Some(name);
    }

    /// Changes the attributes that are cached on it, or looks at them.
    pub(crate) fn with_cached<R>(&self, body: impl FnOnce(&mut Attributes) -> R) -> R {
        body(&mut self.about().attributes)
    }

    /// Whether its handle is the same for every program: of the predefined ones.
    #[must_use]
    pub fn has_constant_handle(&self) -> bool {
        self.handle != NULL_HANDLE && (self.as_predefined().is_some() || self.is_of_kind())
    }

    /// Whether it is one of a Fortran kind: predefined, without a name.
    #[must_use]
    pub fn is_of_kind(&self) -> bool {
        self.origin().is_some_and(|origin| crate::constants::FORTRAN_KINDS.contains(&origin.combiner))
    }

    fn about(&self) -> MutexGuard<'_, About> {
        self.definition.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The predefined datatype with that handle of the standard ABI.
    #[must_use]
    pub fn predefined(handle: usize) -> Option<Self> {
        predefined::lookup(handle)
    }

    /// The size of an element of a predefined type of which any number lies in memory as it is sent; `None` for all others.
    #[must_use]
    pub fn dense_bytes(handle: usize) -> Option<usize> {
        predefined::dense_bytes(handle)
    }

    /// The handle that user functions are given: the ABI's constant, or the table's number.
    #[must_use]
    pub fn handle(&self) -> usize {
        self.handle
    }

    /// The predefined type that this is, if it is one.
    #[must_use]
    pub fn as_predefined(&self) -> Option<&'static Predefined> {
        self.definition.predefined
    }

    /// Makes the type usable in communication. Committing twice is harmless.
    pub fn commit(&self) {
        self.definition.committed.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::commit`] was called (always so for predefined types).
    #[must_use]
    pub fn is_committed(&self) -> bool {
        self.definition.committed.load(Ordering::Relaxed)
    }

    /// Bytes of data in one element (`MPI_Type_size`).
    #[must_use]
    pub fn size(&self) -> usize {
        self.definition.size
    }

    /// The lower bound in bytes (`MPI_Type_get_extent`).
    #[must_use]
    pub fn lower_bound(&self) -> i64 {
        self.definition.bounds.lower()
    }

    /// The upper bound in bytes.
    #[must_use]
    pub fn upper_bound(&self) -> i64 {
        self.definition.bounds.upper()
    }

    /// Upper less lower bound: how far apart consecutive elements lie (`MPI_Type_get_extent`).
    #[must_use]
    pub fn extent(&self) -> i64 {
        self.definition.bounds.extent()
    }

    /// Where the data begins, whatever the bounds say (`MPI_Type_get_true_extent`).
    #[must_use]
    pub fn true_lower_bound(&self) -> i64 {
        self.definition.bounds.true_lower()
    }

    /// From the first to the last byte of data (`MPI_Type_get_true_extent`).
    #[must_use]
    pub fn true_extent(&self) -> i64 {
        self.definition.bounds.true_extent()
    }

    /// The strictest alignment of a basic element, in bytes.
    #[must_use]
    pub fn align(&self) -> usize {
        self.definition.bounds.align
    }

    /// Whether any number of elements lies in memory as it is packed: one block, no gaps.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        let block = self.definition.layout.one_block();
        block.is_some_and(|block| block.offset == 0) && self.extent() == self.size() as i64
    }

    /// The predefined type that all of this type's data is of, if it is of one: what reductions work on.
    #[must_use]
    pub fn uniform(&self) -> Option<&'static Predefined> {
        self.definition.signature.uniform()
    }

    /// Visits the contiguous parts of one element, in the order of the type map: offset and length.
    pub fn for_each_piece(&self, mut visit: impl FnMut(i64, usize)) {
        let layout = &self.definition.layout;
        for repeat in 0..layout.repeats as i64 {
            for run in layout.runs() {
                for piece in 0..run.pieces as i64 {
                    visit(repeat * layout.step + run.offset + piece * run.stride, run.len);
                }
            }
        }
    }

    /// How many whole elements `bytes` of data are (`MPI_Get_count`); `None` stands for `MPI_UNDEFINED`.
    #[must_use]
    pub fn count_of(&self, bytes: usize) -> Option<usize> {
        match self.size() {
            0 => (bytes == 0).then_some(0),
            size => bytes.is_multiple_of(size).then(|| bytes / size),
        }
    }

    /// How many basic elements `bytes` of data are (`MPI_Get_elements`); `None` stands for `MPI_UNDEFINED`.
    /// Each half of a pair type counts, as in the struct it is defined as.
    #[must_use]
    pub fn elements_of(&self, bytes: usize) -> Option<usize> {
        self.definition.signature.elements_of(bytes)
    }

    /// How many bytes so many basic elements are: what [`Self::elements_of`] is told of them.
    #[must_use]
    pub fn bytes_of_elements(&self, elements: usize) -> usize {
        self.definition.signature.bytes_of_elements(elements)
    }

    /// Bytes of data in `count` elements.
    ///
    /// # Errors
    /// A negative count, or more bytes than can be addressed.
    pub fn packed_size(&self, count: i64) -> Result<usize, DatatypeError> {
        let count = usize::try_from(count).map_err(|_| DatatypeError::NegativeCount(count))?;
        let bytes = count.checked_mul(self.size()).ok_or(DatatypeError::TooLarge)?;
        if bytes > isize::MAX as usize { Err(DatatypeError::TooLarge) } else { Ok(bytes) }
    }
}

#[cfg(test)]
mod tests;
