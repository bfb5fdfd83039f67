//! What every exported symbol goes through.

use std::any::Any;
use std::cell::Cell;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::end;
use crate::errors::{self, Failure};
use crate::handle::{
    MPI_Comm, MPI_Datatype, MPI_Errhandler, MPI_File, MPI_Group, MPI_Info, MPI_Message, MPI_Op, MPI_Request,
    MPI_Session, MPI_Win,
};

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

/// Whether this thread runs code of the library: what it asks the system is not the application's input then.
#[must_use]
pub fn inside() -> bool {
    DEPTH.with(Cell::get) > 0
}

/// Marks the thread as inside the library for as long as it lives.
#[derive(Debug)]
pub struct Inside(());

impl Inside {
    /// Enters; nests.
    #[must_use]
    pub fn enter() -> Self {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Self(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
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
