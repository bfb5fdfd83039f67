//! Handles of operations.

use std::collections::HashMap;

use super::{Op, OpError, PredefinedOp, UserOp};

/// The predefined operations with the handles of the standard ABI (MPI 5.0, appendix A.1).
const PREDEFINED: [(usize, PredefinedOp, &str); 14] = [
    (0x21, PredefinedOp::Sum, "MPI_SUM"),
    (0x22, PredefinedOp::Min, "MPI_MIN"),
    (0x23, PredefinedOp::Max, "MPI_MAX"),
    (0x24, PredefinedOp::Prod, "MPI_PROD"),
    (0x28, PredefinedOp::Band, "MPI_BAND"),
    (0x29, PredefinedOp::Bor, "MPI_BOR"),
    (0x2a, PredefinedOp::Bxor, "MPI_BXOR"),
    (0x30, PredefinedOp::Land, "MPI_LAND"),
    (0x31, PredefinedOp::Lor, "MPI_LOR"),
    (0x32, PredefinedOp::Lxor, "MPI_LXOR"),
    (0x38, PredefinedOp::Minloc, "MPI_MINLOC"),
    (0x39, PredefinedOp::Maxloc, "MPI_MAXLOC"),
    (0x3c, PredefinedOp::Replace, "MPI_REPLACE"),
    (0x3d, PredefinedOp::NoOp, "MPI_NO_OP"),
];

/// The first handle that is not one of the ABI's constants (these end at `0xfff`).
const FIRST_USER_HANDLE: usize = 0x1000;

impl PredefinedOp {
    /// The standard's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        PREDEFINED.iter().find(|(_, op, _)| *op == self).map_or("", |(_, _, name)| name)
    }
}

pub(super) fn predefined(handle: usize) -> Option<PredefinedOp> {
    PREDEFINED.iter().find(|(known, _, _)| *known == handle).map(|(_, op, _)| *op)
}

/// From handles to operations. Predefined handles need no entry; the others count up and are never used twice, so that a
/// re-executed program is given the same ones. An operation is copied out, so freeing its handle never disturbs a
/// collective.
#[derive(Debug)]
pub struct OpTable {
    user: HashMap<usize, UserOp>,
    next: usize,
}

impl Default for OpTable {
    fn default() -> Self {
        Self::new()
    }
}

impl OpTable {
    /// A table of the predefined operations.
    #[must_use]
    pub fn new() -> Self {
        Self { user: HashMap::new(), next: FIRST_USER_HANDLE }
    }

    /// Gives an operation a handle (`MPI_Op_create`).
    pub fn insert(&mut self, op: UserOp) -> usize {
        let handle = self.next;
        self.next += 1;
        self.user.insert(handle, op);
        handle
    }

    /// The operation that a handle names.
    ///
    /// # Errors
    /// An unknown handle.
    pub fn get(&self, handle: usize) -> Result<Op, OpError> {
        Op::predefined(handle)
            .or_else(|| self.user.get(&handle).copied().map(Op::User))
            .ok_or(OpError::UnknownHandle(handle))
    }

    /// Forgets a handle (`MPI_Op_free`).
    ///
    /// # Errors
    /// An unknown handle or a predefined operation.
    pub fn free(&mut self, handle: usize) -> Result<(), OpError> {
        if let Some(op) = predefined(handle) {
            return Err(OpError::Predefined(op.name()));
        }
        self.user.remove(&handle).map(drop).ok_or(OpError::UnknownHandle(handle))
    }
}
