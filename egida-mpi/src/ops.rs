//! Reduction operations: the entry points (MPI 5.0, section 6.9).

use std::ffi::c_int;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::handle::{MPI_Op, MPI_User_function, MPI_User_function_c};
use crate::op::{Op, OpError, OpTable, UserOp};
use crate::status::{null, write_flag};

static OPS: LazyLock<Mutex<OpTable>> = LazyLock::new(|| Mutex::new(OpTable::new()));

fn lock() -> MutexGuard<'static, OpTable> {
    OPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The operation of a handle.
pub fn get(handle: MPI_Op) -> Outcome<Op> {
    Ok(lock().get(handle.0)?)
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        Self::new(error.class(), error.to_string())
    }
}

/// `MPI_Op_create`
pub unsafe fn create(user_fn: MPI_User_function, commute: c_int, op: *mut MPI_Op) -> Outcome {
    let function = user_fn.ok_or_else(|| null("the reduction"))?;
    // SAFETY: the application promises what `UserOp::new` asks, and gives room for a handle.
    unsafe { op.write(MPI_Op(lock().insert(UserOp::new(function, commute != 0)))) };
    Ok(())
}

/// `MPI_Op_create_c`
pub unsafe fn create_large(user_fn: MPI_User_function_c, commute: c_int, op: *mut MPI_Op) -> Outcome {
    let function = user_fn.ok_or_else(|| null("the reduction"))?;
    // SAFETY: see `create`.
    unsafe { op.write(MPI_Op(lock().insert(UserOp::new_large(function, commute != 0)))) };
    Ok(())
}

/// `MPI_Op_free`
pub unsafe fn free(op: *mut MPI_Op) -> Outcome {
    // SAFETY: the caller points to a handle.
    let handle = unsafe { &mut *op };
    lock().free(handle.0)?;
    *handle = MPI_OP_NULL;
    Ok(())
}

/// `MPI_Op_commutative`
pub unsafe fn commutative(op: MPI_Op, commute: *mut c_int) -> Outcome {
    let commutes = get(op)?.commutes();
    // SAFETY: the caller gives room for a flag.
    unsafe { write_flag(commute, commutes) };
    Ok(())
}
