//! Generalized requests: operations of the application's own (MPI 5.0, section 13.2).

use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::comm;
use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::handle::{
    MPI_Grequest_cancel_function, MPI_Grequest_free_function, MPI_Grequest_query_function, MPI_Request,
    MPI_Status,
};
use crate::request::{self, Request, Trouble};
use crate::status::null;

/// `MPI_Grequest_query_function`
pub type Query = unsafe extern "C" fn(*mut c_void, *mut MPI_Status) -> c_int;
/// `MPI_Grequest_free_function`
pub type Free = unsafe extern "C" fn(*mut c_void) -> c_int;
/// `MPI_Grequest_cancel_function`
pub type Cancel = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;

/// An operation of the application's.
#[derive(Debug, Clone)]
pub struct Generalized {
    query: Query,
    free: Free,
    cancel: Cancel,
    extra_state: usize,
    complete: Arc<AtomicBool>,
}

impl Generalized {
    /// Whether the application has said that it is over.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// What the application says of how it ended.
    pub fn status(&self) -> (MPI_Status, Option<Trouble>) {
        let mut status = MPI_Status::empty();
        // SAFETY: the application gave the function for this; the status lives through the call.
        let code = unsafe { (self.query)(self.extra_state as *mut c_void, &raw mut status) };
        (status, trouble(code))
    }

    /// The application frees what it has of it.
    pub fn free(&self) -> Option<Trouble> {
        // SAFETY: see `status`.
        trouble(unsafe { (self.free)(self.extra_state as *mut c_void) })
    }

    /// The application may give it up.
    pub fn cancel(&self) -> Outcome {
        // SAFETY: see `status`.
        let code = unsafe { (self.cancel)(self.extra_state as *mut c_void, c_int::from(self.is_complete())) };
        trouble(code).map_or(Ok(()), |trouble| Err(trouble.into()))
    }
}

fn trouble(code: c_int) -> Option<Trouble> {
    let what = || format!("a function of a generalized request returned {code}");
    (code != MPI_SUCCESS).then(|| Trouble { class: code, what: what() })
}

/// `MPI_Grequest_start`
pub unsafe fn start(
    query_fn: MPI_Grequest_query_function,
    free_fn: MPI_Grequest_free_function,
    cancel_fn: MPI_Grequest_cancel_function,
    extra_state: *mut c_void,
    request: *mut MPI_Request,
) -> Outcome {
    let generalized = Generalized {
        query: query_fn.ok_or_else(|| null("the query function"))?,
        free: free_fn.ok_or_else(|| null("the free function"))?,
        cancel: cancel_fn.ok_or_else(|| null("the cancel function"))?,
        extra_state: extra_state as usize,
        complete: Arc::default(),
    };
    let begun = Request::generalized(&comm::get(MPI_COMM_SELF)?, generalized);
    // SAFETY: the caller gives room for a handle.
    unsafe { request.write(request::lock().insert(begun)) };
    Ok(())
}

/// `MPI_Grequest_complete`
pub unsafe fn complete(request: MPI_Request) -> Outcome {
    let requests = request::lock();
    let generalized = requests.get(request).and_then(Request::as_generalized);
    let generalized =
        generalized.ok_or_else(|| Failure::new(MPI_ERR_REQUEST, "the request is not a generalized one"))?;
    generalized.complete.store(true, Ordering::Release);
    Ok(())
}
