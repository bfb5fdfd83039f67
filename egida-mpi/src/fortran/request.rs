//! Requests of the program (MPI 5.0, section 14.2): C calls its functions with values, and they expect references.

use std::ffi::{c_int, c_void};

use super::convert::{answer, handle, store};
use super::{c, symbols};
use crate::constants::MPI_SUCCESS;
use crate::handle::{MPI_Request, MPI_Status};

type Query = unsafe extern "C" fn(extra_state: *mut i64, status: *mut MPI_Status, ierror: *mut c_int);
type Free = unsafe extern "C" fn(extra_state: *mut i64, ierror: *mut c_int);
type Cancel = unsafe extern "C" fn(extra_state: *mut i64, complete: *const c_int, ierror: *mut c_int);

/// C's extra state: the functions, and where Fortran's own is. They are handed the program's variable itself, which has to
/// live as long as the request: programs change it in one of the functions and look at it afterwards.
struct Functions {
    query: Query,
    free: Free,
    cancel: Cancel,
    extra_state: *mut i64,
}

symbols! {
    /// `MPI_GREQUEST_START(QUERY_FN, FREE_FN, CANCEL_FN, EXTRA_STATE, REQUEST, IERROR)`
    mpi_grequest_start_ pmpi_grequest_start_(
        query_fn: *const c_void,
        free_fn: *const c_void,
        cancel_fn: *const c_void,
        extra_state: *mut i64,
        request: *mut c_int,
        ierror: *mut c_int,
    ) {
        let functions = Box::into_raw(Box::new(Functions {
            query: std::mem::transmute::<*const c_void, Query>(query_fn),
            free: std::mem::transmute::<*const c_void, Free>(free_fn),
            cancel: std::mem::transmute::<*const c_void, Cancel>(cancel_fn),
            extra_state,
        }));
        let mut request_in_c: MPI_Request = handle(request);
        let error = c::PMPI_Grequest_start(
            query as *const c_void,
            free as *const c_void,
            cancel as *const c_void,
            functions.cast(),
            &raw mut request_in_c,
        );
        if error == MPI_SUCCESS {
            store(request, request_in_c);
        } else {
            drop(Box::from_raw(functions));
        }
        answer(ierror, error);
    }
}

unsafe extern "C" fn query(extra_state: *mut c_void, status: *mut MPI_Status) -> c_int {
    let mut error = MPI_SUCCESS;
    // SAFETY: the extra state is that of `mpi_grequest_start_`; the library points to a status.
    unsafe {
        let functions = &*extra_state.cast::<Functions>();
        (functions.query)(functions.extra_state, status, &raw mut error);
    }
    error
}

/// The last call for a request.
unsafe extern "C" fn free(extra_state: *mut c_void) -> c_int {
    let mut error = MPI_SUCCESS;
    // SAFETY: the extra state is that of `mpi_grequest_start_`, and the library frees a request once.
    unsafe {
        let functions = Box::from_raw(extra_state.cast::<Functions>());
        (functions.free)(functions.extra_state, &raw mut error);
    }
    error
}

unsafe extern "C" fn cancel(extra_state: *mut c_void, complete: c_int) -> c_int {
    let mut error = MPI_SUCCESS;
    // SAFETY: the extra state is that of `mpi_grequest_start_`.
    unsafe {
        let functions = &*extra_state.cast::<Functions>();
        (functions.cancel)(functions.extra_state, &raw const complete, &raw mut error);
    }
    error
}
