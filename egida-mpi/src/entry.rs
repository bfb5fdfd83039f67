//! What every exported symbol goes through.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::constants::MPI_ERR_UNSUPPORTED_OPERATION;
use crate::errors::{self, Failure, Place, Raised};
use crate::handle::{
    MPI_Comm, MPI_Datatype, MPI_Errhandler, MPI_File, MPI_Group, MPI_Info, MPI_Message, MPI_Op, MPI_Request,
    MPI_Session, MPI_Win,
};
use crate::{comm, end};

/// Runs one call of the application: marks the thread as inside the library, keeps panics from C, and turns a failure
/// into what the error handler makes of it.
pub fn call<R, A: Answer<R>>(name: &'static str, body: impl FnOnce() -> A) -> R {
    let outcome = {
        let _inside = Inside::enter();
        catch_unwind(AssertUnwindSafe(body))
    };
    match outcome {
        Ok(answer) => answer.into_c(name),
        Err(panic) => end::with_message(&format!("a bug in Egida: {name}: {}", text_of(&*panic)), end::ERROR),
    }
}

/// Ends the job for a function of the standard that this library does not have.
pub fn refuse(name: &'static str) -> ! {
    let _inside = Inside::enter();
    end::with_message(&format!("{name} is not supported by this library"), end::ERROR)
}

/// Refuses a function of the standard that this library does not have as an error of that communicator, or of no object: the job ends
/// where errors are fatal; where the application has asked for its errors, it gets this one too, and a note says so once.
pub fn refuse_to_handler(name: &'static str, comm: Option<MPI_Comm>) -> c_int {
    static TOLD: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let place = comm.and_then(|comm| comm::get(comm).ok()).map_or(Place::Nowhere, Place::Comm);
    if place.is_fatal() {
        refuse(name);
    }
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(name) {
        let _inside = Inside::enter();
        end::note(&format!("{name} is not supported by this library, which the program is told by an error"));
    }
    let raised = Raised {
        class: MPI_ERR_UNSUPPORTED_OPERATION,
        what: "not supported by this library".into(),
        on: Some(place),
    };
    errors::raise(name, Failure::Raised(raised))
}

/// Whether this thread runs code of the library: what it asks the system is not the application's input then.
#[must_use]
pub fn inside() -> bool {
    DEPTH.with(Cell::get) > 0
}

/// Marks the thread as inside the library for as long as it lives. It does not leave its thread.
#[derive(Debug)]
pub struct Inside(*const Cell<u32>);

impl Inside {
    /// Enters; nests.
    #[must_use]
    pub fn enter() -> Self {
        DEPTH.with(|depth| {
            depth.set(depth.get() + 1);
            // To find a thread's variable costs more than to count in it.
            Self(depth)
        })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // SAFETY: this is on the thread that made it, whose variable needs no drop, so that it lasts as long as the thread.
        let depth = unsafe { &*self.0 };
        depth.set(depth.get() - 1);
    }
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// What an implementation returns, and what C sees of it.
pub trait Answer<R> {
    /// Hands it to C.
    fn into_c(self, name: &'static str) -> R;
}

impl Answer<c_int> for Result<(), Failure> {
    fn into_c(self, name: &'static str) -> c_int {
        match self {
            Ok(()) => crate::constants::MPI_SUCCESS,
            Err(failure) => errors::raise(name, failure),
        }
    }
}

macro_rules! values {
    ($($value:ty),*) => {$(
        impl Answer<$value> for $value {
            fn into_c(self, _: &'static str) -> $value {
                self
            }
        }
    )*};
}

values!(
    (),
    c_int,
    i64,
    isize,
    f64,
    MPI_Comm,
    MPI_Datatype,
    MPI_Errhandler,
    MPI_File,
    MPI_Group,
    MPI_Info,
    MPI_Message,
    MPI_Op,
    MPI_Request,
    MPI_Session,
    MPI_Win
);

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}
