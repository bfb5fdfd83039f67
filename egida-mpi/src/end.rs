//! How a rank ends before its time.
//!
//! | exit code | why |
//! |---|---|
//! | 1 | an MPI error under `MPI_ERRORS_ARE_FATAL`, a call that is not supported, a fault of the library |
//! | 87 | the rank does not repeat itself |
//! | any | `MPI_Abort` with that code |

use std::ffi::c_int;
use std::io::Write;

use egida_core::fault::Fault;

use crate::world;

/// The exit code of an error.
pub const ERROR: c_int = 1;
/// The exit code of a rank that does not repeat itself.
pub const DIVERGENCE: c_int = 87;

/// Ends the rank for a fault, with a message.
pub fn for_fault(fault: &Fault) -> ! {
    let code = match fault {
        Fault::Divergence { .. } => DIVERGENCE,
        _ => ERROR,
    };
    with_message(&fault.to_string(), code)
}

/// Ends the rank, and with it the job, with a message on standard error.
pub fn with_message(message: &str, code: c_int) -> ! {
    note(message);
    now(code)
}

/// Ends the rank, and with it the job.
///
/// What the application wrote and C has buffered goes out; handlers of `atexit` do not run, since they may call MPI.
pub fn now(code: c_int) -> ! {
    world::abort_if_idle(code);
    // SAFETY: a null stream flushes all; `_exit` takes any code.
    unsafe {
        libc::fflush(std::ptr::null_mut());
        libc::_exit(code)
    }
}

/// A line of the library's own on standard error, in one write, with the rank that says it.
pub fn note(message: &str) {
    let line = match world::known_rank() {
        Some(rank) => format!("egida: rank {rank}: {message}\n"),
        None => format!("egida: {message}\n"),
    };
    // Where standard error is closed there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
