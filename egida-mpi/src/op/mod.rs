//! Reduction operations (MPI 5.0, section 6.9).
//!
//! The operands of a reduction are combined *in the order of the ranks*, in brackets that depend on nothing but the number
//! of ranks: the same call with the same data gives the same bits, in every execution and re-execution. Nothing is ever
//! combined in the order of arrival.
//!
//! A collective works through a [`Reduction`]: an operation bound to a datatype, on packed bytes.
//!
//! `MPI_REPLACE` and `MPI_NO_OP` have handles, but collectives refuse them: the standard defines them for one-sided
//! accumulation alone.

mod float;
mod kernel;
mod reduction;
mod scalar;
mod table;
mod user;

use thiserror::Error;

pub use reduction::Reduction;
pub use table::OpTable;
pub use user::{UserFunction, UserFunctionLarge, UserOp};

use crate::datatype::class;

/// A reduction operation.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    /// One of the standard's.
    Predefined(PredefinedOp),
    /// One of the application's.
    User(UserOp),
}

/// The operations of the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum PredefinedOp {
    Sum,
    Min,
    Max,
    Prod,
    Band,
    Bor,
    Bxor,
    Land,
    Lor,
    Lxor,
    Minloc,
    Maxloc,
    Replace,
    NoOp,
}

impl Op {
    /// The predefined operation with that handle of the standard ABI.
    #[must_use]
    pub fn predefined(handle: usize) -> Option<Self> {
        table::predefined(handle).map(Self::Predefined)
    }

    /// Whether the operands may be swapped (`MPI_Op_commutative`). The collectives of this library keep the order of the
    /// ranks either way.
    #[must_use]
    pub fn commutes(&self) -> bool {
        match self {
            Self::Predefined(op) => !matches!(op, PredefinedOp::Replace | PredefinedOp::NoOp),
            Self::User(op) => op.commutes(),
        }
    }
}

/// A misuse of operations; the MPI error class is `MPI_ERR_OP`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpError {
    /// The handle names no operation (or one that was freed).
    #[error("`{0:#x}` is not the handle of an operation")]
    UnknownHandle(usize),
    /// A predefined operation cannot be freed.
    #[error("`{0}` is predefined and cannot be freed")]
    Predefined(&'static str),
    /// The standard does not define the operation on that datatype.
    #[error("`{op}` is not defined on `{datatype}`")]
    NotDefined {
        /// The operation.
        op: &'static str,
        /// The basic datatype.
        datatype: &'static str,
    },
    /// A predefined operation on a datatype that mixes basic datatypes.
    #[error("`{0}` is not defined on a derived datatype of several basic datatypes")]
    Mixed(&'static str),
    /// An operation for one-sided communication alone.
    #[error("`{0}` is not defined for collective reductions")]
    OneSidedOnly(&'static str),
}

impl OpError {
    /// The error class of the MPI standard.
    #[must_use]
    pub fn class(&self) -> i32 {
        class::OP
    }
}

#[cfg(test)]
mod tests;
