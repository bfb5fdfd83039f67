//! The constructors of derived datatypes (MPI 5.0, section 5.1).

use super::{Datatype, DatatypeError};

/// Counts, block lengths and displacements may come as `i32` (the classic bindings) or `i64` (the `_c` bindings).
impl Datatype {
    /// `MPI_Type_contiguous`
    ///
    /// # Errors
    /// A negative count, or a type too large.
    pub fn contiguous(count: i64, old: &Datatype) -> Result<Datatype, DatatypeError> {
        todo!()
    }

    /// `MPI_Type_vector`: the stride counts elements.
    ///
    /// # Errors
    /// As [`Self::contiguous`].
    pub fn vector(count: i64, length: i64, stride: i64, old: &Datatype) -> Result<Datatype, DatatypeError> {
        todo!()
    }

    /// `MPI_Type_create_hvector`: the stride counts bytes.
    ///
    /// # Errors
    /// As [`Self::contiguous`].
    pub fn hvector(count: i64, length: i64, stride: i64, old: &Datatype) -> Result<Datatype, DatatypeError> {
        todo!()
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
        todo!()
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
        todo!()
    }

    /// `MPI_Type_create_indexed_block`: blocks of one length.
    ///
    /// # Errors
    /// As [`Self::contiguous`].
    pub fn indexed_block<N: Copy + Into<i64>>(
        length: i64,
        displacements: &[N],
        old: &Datatype,
    ) -> Result<Datatype, DatatypeError> {
        todo!()
    }

    /// `MPI_Type_create_hindexed_block`
    ///
    /// # Errors
    /// As [`Self::contiguous`].
    pub fn hindexed_block(
        length: i64,
        displacements: &[i64],
        old: &Datatype,
    ) -> Result<Datatype, DatatypeError> {
        todo!()
    }

    /// `MPI_Type_create_struct`
    ///
    /// # Errors
    /// As [`Self::indexed`].
    pub fn structure<N: Copy + Into<i64>>(
        lengths: &[N],
        displacements: &[i64],
        types: &[Datatype],
    ) -> Result<Datatype, DatatypeError> {
        todo!()
    }

    /// `MPI_Type_create_resized`: the same data with other bounds.
    ///
    /// # Errors
    /// Bounds that cannot be addressed.
    pub fn resized(old: &Datatype, lower: i64, extent: i64) -> Result<Datatype, DatatypeError> {
        todo!()
    }

    /// `MPI_Type_dup`: the same type, committed if the old one is, to be given a handle of its own.
    #[must_use]
    pub fn duplicate(&self) -> Datatype {
        todo!()
    }
}
