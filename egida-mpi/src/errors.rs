//! Error classes, what is raised on which communicator, and error handlers (MPI 5.0, chapter 9).

use std::borrow::Cow;
use std::ffi::{c_char, c_int};
use std::sync::{Arc, Mutex, PoisonError};

use egida_core::fault::Fault;

use crate::comm::{self, Communicator};
use crate::constants::*;
use crate::end;
use crate::handle::{MPI_Comm, MPI_Comm_errhandler_function, MPI_Errhandler, Table};
use crate::status::write_string;

/// What an entry point returns.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Why a call did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// An error of the standard, for an error handler to judge.
    Raised(Raised),
    /// The end of the rank.
    Fatal(Fault),
}

/// An error of the standard.
#[derive(Debug)]
pub struct Raised {
    /// `MPI_ERR_...`
    pub class: c_int,
    /// What is wrong, in the caller's words.
    pub what: Cow<'static, str>,
    /// The communicator that it is raised on; else `MPI_COMM_SELF`.
    pub on: Option<Arc<Communicator>>,
}

impl Failure {
    /// An error of that class.
    pub fn new(class: c_int, what: impl Into<Cow<'static, str>>) -> Self {
        Self::Raised(Raised { class, what: what.into(), on: None })
    }

    /// The same, raised on `comm` unless it was raised on another one.
    #[must_use]
    pub fn on(mut self, comm: &Arc<Communicator>) -> Self {
        if let Self::Raised(raised) = &mut self {
            raised.on.get_or_insert_with(|| comm.clone());
        }
        self
    }
}

impl From<std::convert::Infallible> for Failure {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fatal(fault)
    }
}

/// What to do with an error.
#[derive(Debug, Clone, Copy)]
pub enum Handler {
    /// End the job.
    Fatal,
    /// End the processes of the communicator: the job, in this library.
    Abort,
    /// Return the class.
    Return,
    /// Ask the application.
    User(unsafe extern "C" fn(*mut MPI_Comm, *mut c_int, ...)),
}

/// Hands a failure to the error handler, and returns the class if it lets the call return.
pub fn raise(name: &str, failure: Failure) -> c_int {
    let raised = match failure {
        Failure::Fatal(fault) => end::for_fault(&fault),
        Failure::Raised(raised) => raised,
    };
    let on = raised.on.clone().or_else(|| comm::get(MPI_COMM_SELF).ok());
    let handler = on.as_ref().map_or(Handler::Fatal, |comm| comm.handler());
    match handler {
        Handler::Return => {}
        Handler::User(function) => {
            let mut handle = on.map_or(MPI_COMM_SELF, |comm| comm.handle);
            let mut class = raised.class;
            // SAFETY: the application gave the function for this; both arguments live through the call.
            unsafe { function(&raw mut handle, &raw mut class) };
        }
        Handler::Fatal | Handler::Abort => {
            let place = on.map_or_else(String::new, |comm| format!(" on {}", comm.name()));
            let text = class_text(raised.class);
            end::with_message(&format!("{name}{place}: {text}: {}", raised.what), end::ERROR)
        }
    }
    raised.class
}

static HANDLERS: Mutex<Table<MPI_Errhandler, Handler>> = Mutex::new(Table::new());

fn resolve(handle: MPI_Errhandler) -> Outcome<Handler> {
    match handle {
        MPI_ERRORS_ARE_FATAL => Ok(Handler::Fatal),
        MPI_ERRORS_ABORT => Ok(Handler::Abort),
        MPI_ERRORS_RETURN => Ok(Handler::Return),
        dynamic => lock()
            .get(dynamic)
            .copied()
            .ok_or_else(|| Failure::new(MPI_ERR_ERRHANDLER, "the error handler is not one, or was freed")),
    }
}

fn lock() -> std::sync::MutexGuard<'static, Table<MPI_Errhandler, Handler>> {
    HANDLERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `MPI_Comm_create_errhandler`
pub unsafe fn comm_create_errhandler(
    function: MPI_Comm_errhandler_function,
    errhandler: *mut MPI_Errhandler,
) -> Outcome {
    let function =
        function.ok_or_else(|| Failure::new(MPI_ERR_ARG, "the error handler is a null pointer"))?;
    let handle = lock().insert(Handler::User(function));
    // SAFETY: the caller gives room for a handle.
    unsafe { errhandler.write(handle) };
    Ok(())
}

/// `MPI_Comm_set_errhandler`
pub unsafe fn comm_set_errhandler(comm: MPI_Comm, errhandler: MPI_Errhandler) -> Outcome {
    let comm = comm::get(comm)?;
    let handler = resolve(errhandler).map_err(|failure| failure.on(&comm))?;
    comm.set_handler(handler);
    Ok(())
}

/// `MPI_Comm_get_errhandler`: a handle of its own for a handler of the application's.
pub unsafe fn comm_get_errhandler(comm: MPI_Comm, errhandler: *mut MPI_Errhandler) -> Outcome {
    let handle = match comm::get(comm)?.handler() {
        Handler::Fatal => MPI_ERRORS_ARE_FATAL,
        Handler::Abort => MPI_ERRORS_ABORT,
        Handler::Return => MPI_ERRORS_RETURN,
        user @ Handler::User(_) => lock().insert(user),
    };
    // SAFETY: the caller gives room for a handle.
    unsafe { errhandler.write(handle) };
    Ok(())
}

/// `MPI_Comm_call_errhandler`
pub unsafe fn comm_call_errhandler(comm: MPI_Comm, errorcode: c_int) -> Outcome {
    let comm = comm::get(comm)?;
    raise("MPI_Comm_call_errhandler", Failure::new(errorcode, "raised by the program").on(&comm));
    // The handler let the program go on: the call itself has succeeded.
    Ok(())
}

/// `MPI_Errhandler_free`
pub unsafe fn errhandler_free(errhandler: *mut MPI_Errhandler) -> Outcome {
    // SAFETY: the caller points to a handle.
    let handle = unsafe { &mut *errhandler };
    resolve(*handle)?;
    lock().remove(*handle);
    *handle = MPI_ERRHANDLER_NULL;
    Ok(())
}

/// `MPI_Error_class`: codes are classes here.
pub unsafe fn error_class(errorcode: c_int, errorclass: *mut c_int) -> Outcome {
    // SAFETY: the caller gives room for an integer.
    unsafe { errorclass.write(errorcode) };
    Ok(())
}

/// `MPI_Error_string`
pub unsafe fn error_string(errorcode: c_int, string: *mut c_char, resultlen: *mut c_int) -> Outcome {
    // SAFETY: the caller gives room for MPI_MAX_ERROR_STRING letters and for the length.
    unsafe { write_string(&class_text(errorcode), MPI_MAX_ERROR_STRING, string, resultlen) };
    Ok(())
}

/// The name of a class and what it means.
pub fn class_text(class: c_int) -> String {
    match CLASSES.iter().find(|(known, ..)| *known == class) {
        Some((_, name, meaning)) => format!("{name}: {meaning}"),
        None => format!("unknown error class {class}"),
    }
}

macro_rules! classes {
    ($($class:ident $meaning:literal)*) => {
        const CLASSES: &[(c_int, &str, &str)] = &[$(($class, stringify!($class), $meaning)),*];
    };
}

classes! {
    MPI_SUCCESS "no error"
    MPI_ERR_BUFFER "invalid buffer"
    MPI_ERR_COUNT "invalid count"
    MPI_ERR_TYPE "invalid datatype"
    MPI_ERR_TAG "invalid tag"
    MPI_ERR_COMM "invalid communicator"
    MPI_ERR_RANK "invalid rank"
    MPI_ERR_REQUEST "invalid request"
    MPI_ERR_ROOT "invalid root"
    MPI_ERR_GROUP "invalid group"
    MPI_ERR_OP "invalid reduction operation"
    MPI_ERR_TOPOLOGY "invalid topology"
    MPI_ERR_DIMS "invalid dimensions"
    MPI_ERR_ARG "invalid argument"
    MPI_ERR_UNKNOWN "unknown error"
    MPI_ERR_TRUNCATE "message longer than the receive buffer"
    MPI_ERR_OTHER "error of no other class"
    MPI_ERR_INTERN "error inside the library"
    MPI_ERR_PENDING "request is not complete"
    MPI_ERR_IN_STATUS "error code is in the status"
    MPI_ERR_ACCESS "permission denied"
    MPI_ERR_AMODE "invalid access mode"
    MPI_ERR_ASSERT "invalid assertion"
    MPI_ERR_BAD_FILE "invalid file name"
    MPI_ERR_BASE "invalid base address"
    MPI_ERR_CONVERSION "data conversion failed"
    MPI_ERR_DISP "invalid displacement"
    MPI_ERR_DUP_DATAREP "data representation is already defined"
    MPI_ERR_FILE_EXISTS "file exists"
    MPI_ERR_FILE_IN_USE "file is in use"
    MPI_ERR_FILE "invalid file"
    MPI_ERR_INFO_KEY "info key is too long"
    MPI_ERR_INFO_NOKEY "no such info key"
    MPI_ERR_INFO_VALUE "info value is too long"
    MPI_ERR_INFO "invalid info"
    MPI_ERR_IO "input or output failed"
    MPI_ERR_KEYVAL "invalid attribute key"
    MPI_ERR_LOCKTYPE "invalid lock type"
    MPI_ERR_NAME "service name is not published"
    MPI_ERR_NO_MEM "out of memory"
    MPI_ERR_NOT_SAME "collective arguments differ between processes"
    MPI_ERR_NO_SPACE "no space left"
    MPI_ERR_NO_SUCH_FILE "no such file"
    MPI_ERR_PORT "invalid port"
    MPI_ERR_QUOTA "quota exceeded"
    MPI_ERR_READ_ONLY "file or file system is read-only"
    MPI_ERR_RMA_ATTACH "memory cannot be attached"
    MPI_ERR_RMA_CONFLICT "conflicting accesses to a window"
    MPI_ERR_RMA_RANGE "target memory is not part of the window"
    MPI_ERR_RMA_SHARED "memory cannot be shared"
    MPI_ERR_RMA_SYNC "wrong synchronization of one-sided calls"
    MPI_ERR_SERVICE "invalid service name"
    MPI_ERR_SIZE "invalid size"
    MPI_ERR_SPAWN "processes cannot be spawned"
    MPI_ERR_UNSUPPORTED_DATAREP "data representation is not supported"
    MPI_ERR_UNSUPPORTED_OPERATION "operation is not supported"
    MPI_ERR_WIN "invalid window"
    MPI_ERR_RMA_FLAVOR "wrong flavor of window"
    MPI_ERR_PROC_ABORTED "a peer has aborted"
    MPI_ERR_VALUE_TOO_LARGE "value is too large to store"
    MPI_ERR_SESSION "invalid session"
    MPI_ERR_ERRHANDLER "invalid error handler"
    MPI_ERR_ABI "wrong use of the binary interface"
    MPI_ERR_LASTCODE "last error code"
}
