//! The constructors of derived datatypes (MPI 5.0, section 5.1).
//!
//! Lengths and displacements come as `i32` (the classic bindings) or `i64` (the `_c` bindings).

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use super::layout::{Bounds, Layout, RunList};
use super::signature::Signature;
use super::{Datatype, DatatypeError, Definition, NULL_HANDLE};

impl Datatype {
    /// `MPI_Type_contiguous`
    ///
    /// # Errors
    /// A negative count, or a type too large.
    pub fn contiguous(count: i64, old: &Datatype) -> Result<Datatype, DatatypeError> {
        Self::hvector(1, count, 0, old)
    }

    /// `MPI_Type_vector`: the stride counts elements.
    ///
    /// # Errors
    /// As [`Self::contiguous`].
    pub fn vector(count: i64, length: i64, stride: i64, old: &Datatype) -> Result<Datatype, DatatypeError> {
        Self::hvector(count, length, scaled(stride, old)?, old)
    }

    /// `MPI_Type_create_hvector`: the stride counts bytes.
    ///
    /// # Errors
    /// As [`Self::contiguous`].
    pub fn hvector(count: i64, length: i64, stride: i64, old: &Datatype) -> Result<Datatype, DatatypeError> {
        let (count, length) = (checked_count(count)?, checked_count(length)?);
        let total = count.checked_mul(length).ok_or(DatatypeError::TooLarge)?;
        let (definition, extent) = (&*old.definition, old.extent());
        let size = checked_size(total, old)?;
        let bounds = definition.bounds.placed(length, extent, 0)?.placed(count, stride, 0)?;
        let layout = if size == 0 {
            Layout::empty()
        } else {
            definition.layout.repeated(length, extent)?.repeated(count, stride)?
        };
        Ok(derived(layout, bounds, definition.signature.repeated(total), size))
    }

    /// `MPI_Type_indexed`: displacements count elements.
    ///
    /// # Errors
    /// As [`Self::contiguous`], and arrays of unequal length.
    pub fn indexed<N: Copy + Into<i64>>(
        lengths: &[N],
        displacements: &[N],
        old: &Datatype,
    ) -> Result<Datatype, DatatypeError> {
        Self::hindexed(lengths, &scaled_all(displacements, old)?, old)
    }

    /// `MPI_Type_create_hindexed`: displacements count bytes.
    ///
    /// # Errors
    /// As [`Self::indexed`].
    pub fn hindexed<N: Copy + Into<i64>>(
        lengths: &[N],
        displacements: &[i64],
        old: &Datatype,
    ) -> Result<Datatype, DatatypeError> {
        same_length(lengths.len(), displacements.len())?;
        let lengths = lengths.iter().map(|&length| length.into());
        of_one_type(lengths.zip(displacements.iter().copied()), old)
    }

    /// `MPI_Type_create_indexed_block`: blocks of one length, displacements count elements.
    ///
    /// # Errors
    /// As [`Self::contiguous`].
    pub fn indexed_block<N: Copy + Into<i64>>(
        length: i64,
        displacements: &[N],
        old: &Datatype,
    ) -> Result<Datatype, DatatypeError> {
        Self::hindexed_block(length, &scaled_all(displacements, old)?, old)
    }

    /// `MPI_Type_create_hindexed_block`: blocks of one length, displacements count bytes.
    ///
    /// # Errors
    /// As [`Self::contiguous`].
    pub fn hindexed_block(
        length: i64,
        displacements: &[i64],
        old: &Datatype,
    ) -> Result<Datatype, DatatypeError> {
        of_one_type(displacements.iter().map(|&displacement| (length, displacement)), old)
    }

    /// `MPI_Type_create_struct`: displacements count bytes.
    ///
    /// # Errors
    /// As [`Self::indexed`].
    pub fn structure<N: Copy + Into<i64>>(
        lengths: &[N],
        displacements: &[i64],
        types: &[Datatype],
    ) -> Result<Datatype, DatatypeError> {
        same_length(lengths.len(), displacements.len())?;
        same_length(lengths.len(), types.len())?;
        let (mut runs, mut bounds, mut size) = (RunList::default(), Bounds::empty(), 0usize);
        let mut signatures = Vec::with_capacity(types.len());
        for ((&length, &displacement), old) in lengths.iter().zip(displacements).zip(types) {
            let (length, definition) = (checked_count(length.into())?, &*old.definition);
            size = size.checked_add(checked_size(length, old)?).ok_or(DatatypeError::TooLarge)?;
            bounds = bounds.union(&definition.bounds.placed(length, old.extent(), displacement)?)?;
            if length > 0 && old.size() > 0 {
                runs.append(&definition.layout, length, old.extent(), displacement)?;
                signatures.push(definition.signature.repeated(length));
            }
        }
        Ok(derived(runs.finish(), bounds.of_structure(), Signature::joined(signatures)?, bounded(size)?))
    }

    /// `MPI_Type_create_resized`: the same data with other bounds.
    ///
    /// # Errors
    /// Bounds that cannot be addressed.
    pub fn resized(old: &Datatype, lower: i64, extent: i64) -> Result<Datatype, DatatypeError> {
        let Definition { layout, bounds, signature, size, .. } = &*old.definition;
        Ok(derived(layout.clone(), bounds.resized(lower, extent)?, signature.clone(), *size))
    }

    /// `MPI_Type_dup`: the same type, committed if the old one is, to be given a handle of its own.
    #[must_use]
    pub fn duplicate(&self) -> Datatype {
        let Definition { layout, bounds, signature, size, .. } = &*self.definition;
        let copy = derived(layout.clone(), *bounds, signature.clone(), *size);
        if self.is_committed() {
            copy.commit();
        }
        copy
    }
}

/// Blocks of (length, displacement in bytes) of one type.
fn of_one_type(blocks: impl Iterator<Item = (i64, i64)>, old: &Datatype) -> Result<Datatype, DatatypeError> {
    let (definition, extent) = (&*old.definition, old.extent());
    let (mut runs, mut bounds, mut total) = (RunList::default(), Bounds::empty(), 0usize);
    for (length, displacement) in blocks {
        let length = checked_count(length)?;
        total = total.checked_add(length).ok_or(DatatypeError::TooLarge)?;
        checked_size(total, old)?;
        bounds = bounds.union(&definition.bounds.placed(length, extent, displacement)?)?;
        if length > 0 && old.size() > 0 {
            runs.append(&definition.layout, length, extent, displacement)?;
        }
    }
    let size = checked_size(total, old)?;
    Ok(derived(runs.finish(), bounds, definition.signature.repeated(total), size))
}

fn derived(layout: Layout, bounds: Bounds, signature: Signature, size: usize) -> Datatype {
    let definition = Definition {
        predefined: None,
        layout,
        bounds,
        signature,
        size,
        committed: AtomicBool::new(false),
        origin: OnceLock::new(),
        about: Mutex::default(),
    };
    Datatype { handle: NULL_HANDLE, definition: Arc::new(definition) }
}

fn checked_count(count: i64) -> Result<usize, DatatypeError> {
    usize::try_from(count).map_err(|_| DatatypeError::NegativeCount(count))
}

fn checked_size(count: usize, old: &Datatype) -> Result<usize, DatatypeError> {
    bounded(count.checked_mul(old.size()).ok_or(DatatypeError::TooLarge)?)
}

fn bounded(bytes: usize) -> Result<usize, DatatypeError> {
    if bytes > isize::MAX as usize { Err(DatatypeError::TooLarge) } else { Ok(bytes) }
}

fn scaled(elements: i64, old: &Datatype) -> Result<i64, DatatypeError> {
    elements.checked_mul(old.extent()).ok_or(DatatypeError::TooLarge)
}

fn scaled_all<N: Copy + Into<i64>>(elements: &[N], old: &Datatype) -> Result<Vec<i64>, DatatypeError> {
    elements.iter().map(|&elements| scaled(elements.into(), old)).collect()
}

fn same_length(lengths: usize, displacements: usize) -> Result<(), DatatypeError> {
    if lengths == displacements {
        Ok(())
    } else {
        Err(DatatypeError::UnequalArrays { lengths, displacements })
    }
}
