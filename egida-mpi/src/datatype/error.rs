//! What can be wrong with a datatype, a count or a buffer.

use thiserror::Error;

/// A misuse of datatypes or of the memory they describe. [`DatatypeError::class`] is the MPI error class to return.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DatatypeError {
    /// The handle names no datatype (or one that was freed).
    #[error("`{0:#x}` is not the handle of a datatype")]
    UnknownHandle(usize),
    /// A communication names a datatype that was not committed.
    #[error("the datatype is not committed")]
    NotCommitted,
    /// A predefined datatype cannot be freed.
    #[error("`{0}` is predefined and cannot be freed")]
    Predefined(&'static str),
    /// A count or a block length below zero.
    #[error("count {0} is negative")]
    NegativeCount(i64),
    /// Arrays that describe the same blocks have different lengths.
    #[error("{lengths} block lengths for {displacements} displacements")]
    UnequalArrays {
        /// How many block lengths or counts.
        lengths: usize,
        /// How many displacements or datatypes.
        displacements: usize,
    },
    /// The dimensions of an array, of a part of it or of a grid of processes do not fit each other.
    #[error("the dimensions do not fit each other")]
    Dimensions,
    /// A size, an extent or an address does not fit 63 bits.
    #[error("the counts and displacements describe more memory than can be addressed")]
    TooLarge,
    /// The null pointer where there is something to read or write.
    #[error("the buffer is the null pointer")]
    NullBuffer,
    /// Data is to be copied to the place where it is.
    #[error("the buffers are the same; `MPI_IN_PLACE` says so")]
    Aliased,
    /// A message was longer than the memory given for it.
    #[error("a message of {sent_bytes} bytes does not fit the {room_bytes} bytes given for it")]
    Truncated {
        /// The message's length.
        sent_bytes: usize,
        /// The memory's length.
        room_bytes: usize,
    },
}

impl DatatypeError {
    /// The error class of the MPI standard (section 9.4, values of the standard ABI).
    #[must_use]
    pub fn class(&self) -> i32 {
        match self {
            Self::UnknownHandle(_) | Self::NotCommitted | Self::Predefined(_) => class::TYPE,
            Self::NegativeCount(_) | Self::TooLarge => class::COUNT,
            Self::UnequalArrays { .. } | Self::Dimensions => class::ARG,
            Self::NullBuffer | Self::Aliased => class::BUFFER,
            Self::Truncated { .. } => class::TRUNCATE,
        }
    }
}

/// The error classes that datatypes, operations and collectives report.
pub mod class {
    /// `MPI_ERR_BUFFER`
    pub const BUFFER: i32 = 1;
    /// `MPI_ERR_COUNT`
    pub const COUNT: i32 = 2;
    /// `MPI_ERR_TYPE`
    pub const TYPE: i32 = 3;
    /// `MPI_ERR_ROOT`
    pub const ROOT: i32 = 8;
    /// `MPI_ERR_OP`
    pub const OP: i32 = 10;
    /// `MPI_ERR_ARG`
    pub const ARG: i32 = 13;
    /// `MPI_ERR_TRUNCATE`
    pub const TRUNCATE: i32 = 15;
}
