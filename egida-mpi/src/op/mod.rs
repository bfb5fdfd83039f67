//! Reduction operations (MPI 5.0, section 6.9).
//!
//! The operands of a reduction are combined *in the order of the ranks*, in brackets that depend on nothing but the number
//! of ranks: the same call with the same data gives the same bits, in every execution and re-execution. Nothing is ever
//! combined in the order of arrival.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};

use thiserror::Error;

use crate::datatype::class;

/// `MPI_User_function`: `inout[i] = in[i] op inout[i]` for `*len` elements of `*datatype`.
pub type UserFunction =
    unsafe extern "C" fn(input: *mut c_void, inout: *mut c_void, len: *mut c_int, datatype: *mut usize);

/// `MPI_User_function_c`: the same with a large count.
pub type UserFunctionLarge =
    unsafe extern "C" fn(input: *mut c_void, inout: *mut c_void, len: *mut i64, datatype: *mut usize);

/// A reduction operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// One of the standard's.
    Predefined(PredefinedOp),
    /// One of the application's.
    User(UserOp),
}

/// The operations of the standard, in the order of their handles.
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

/// An operation of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserOp {
    function: AnyFunction,
    commutes: bool,
}

#[derive(Debug, Clone, Copy)]
enum AnyFunction {
    Classic(UserFunction),
    Large(UserFunctionLarge),
}

impl PartialEq for AnyFunction {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Classic(a), Self::Classic(b)) => *a as usize == *b as usize,
            (Self::Large(a), Self::Large(b)) => *a as usize == *b as usize,
            _ => false,
        }
    }
}

impl Eq for AnyFunction {}

impl UserOp {
    /// An operation made by `MPI_Op_create`.
    ///
    /// # Safety
    /// The function must do what the standard asks of it: read `len` elements at both addresses and write only the
    /// second.
    #[must_use]
    pub unsafe fn new(function: UserFunction, commutes: bool) -> Self {
        Self { function: AnyFunction::Classic(function), commutes }
    }

    /// An operation made by `MPI_Op_create_c`.
    ///
    /// # Safety
    /// As [`Self::new`].
    #[must_use]
    pub unsafe fn new_large(function: UserFunctionLarge, commutes: bool) -> Self {
        Self { function: AnyFunction::Large(function), commutes }
    }
}

impl Op {
    /// The predefined operation with that handle of the standard ABI.
    #[must_use]
    pub fn predefined(handle: usize) -> Option<Self> {
        todo!()
    }

    /// Whether the operands may be swapped (`MPI_Op_commutative`).
    #[must_use]
    pub fn commutes(&self) -> bool {
        match self {
            Self::Predefined(op) => !matches!(op, PredefinedOp::Replace | PredefinedOp::NoOp),
            Self::User(op) => op.commutes,
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

/// From handles to operations. Predefined handles need no entry; the others count up and are never used twice.
#[derive(Debug)]
pub struct OpTable {
    user: HashMap<usize, UserOp>,
    next: usize,
}

impl OpTable {
    /// A table of the predefined operations.
    #[must_use]
    pub fn new() -> Self {
        todo!()
    }

    /// Gives an operation a handle (`MPI_Op_create`).
    pub fn insert(&mut self, op: UserOp) -> usize {
        todo!()
    }

    /// The operation that a handle names.
    ///
    /// # Errors
    /// An unknown handle.
    pub fn get(&self, handle: usize) -> Result<Op, OpError> {
        todo!()
    }

    /// Forgets a handle (`MPI_Op_free`).
    ///
    /// # Errors
    /// An unknown handle or a predefined operation.
    pub fn free(&mut self, handle: usize) -> Result<(), OpError> {
        todo!()
    }
}
