//! How a rank ends before its time.
//!
//! | exit code | why |
//! |---|---|
//! | 1 | an MPI error under `MPI_ERRORS_ARE_FATAL`, a call that is not supported, a fault of the library |
//! | 87 | the rank does not repeat itself |
//! | 88 | the rank is an orphan, and is to be executed again from an earlier state |
//! | any | `MPI_Abort` with that code |

use std::ffi::c_int;
use std::io::Write;
use std::sync::atomic::{AtomicI32, Ordering};

use egida_core::fault::Fault;

use crate::world;

/// The exit code of an error.
pub const ERROR: c_int = 1;
/// The exit code of a rank that does not repeat itself.
pub const DIVERGENCE: c_int = 87;
/// The exit code of a rank that rolls back: nobody sees it but the launcher.
const ROLLED_BACK: c_int = 88;
/// How a notice of a divergence begins.
const DIVERGED: &str = "divergence: ";
/// Environment variable: the number of the descriptor by which the launcher takes notices.
const ENV_NOTICE_FD: &str = "EGIDA_NOTICE_FD";

/// The launcher's descriptor for notices; negative where there is none.
static NOTICES: AtomicI32 = AtomicI32::new(-1);

/// Finds the launcher's pipe for notices, and keeps it from programs that the application starts. Called once, while the
/// library initialises.
pub fn listen_for_launcher() {
    let Some(fd) = std::env::var(ENV_NOTICE_FD).ok().and_then(|text| text.parse().ok()) else { return };
    // SAFETY: the number names a descriptor or none at all, in which case the call fails; the environment is changed while
    // the library initialises, before the application can use it from other threads.
    let is_open = unsafe {
        std::env::remove_var(ENV_NOTICE_FD);
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) == 0
    };
    if is_open {
        NOTICES.store(fd, Ordering::Relaxed);
    }
}

/// Ends the rank for a fault, with a message.
pub fn for_fault(fault: &Fault) -> ! {
    let code = match fault {
        // The launcher has been told in node memory, and executes the rank again; what it has buffered never happened.
        // SAFETY: `_exit` takes any code.
        Fault::Orphan(_) => unsafe { libc::_exit(ROLLED_BACK) },
        Fault::Divergence { .. } => DIVERGENCE,
        _ => ERROR,
    };
    note(&told(fault));
    now(code)
}

/// The words for a fault. The launcher knows a divergence by its first word.
pub fn told(fault: &Fault) -> String {
    match fault {
        Fault::Divergence { .. } => format!("{DIVERGED}{fault}"),
        _ => fault.to_string(),
    }
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

/// A line of the library's own, in one write: to the launcher, which tells it once however often the rank is executed
/// again; without a launcher on standard error.
pub fn note(message: &str) {
    let launcher = NOTICES.load(Ordering::Relaxed);
    if launcher >= 0 {
        let line = format!("{}\n", message.replace('\n', " "));
        // SAFETY: the bytes are valid for the length given; the descriptor is the launcher's pipe since `listen`.
        if unsafe { libc::write(launcher, line.as_ptr().cast(), line.len()) } >= 0 {
            return;
        }
    }
    let line = match world::known_rank() {
        Some(rank) => format!("egida: rank {rank}: {message}\n"),
        None => format!("egida: {message}\n"),
    };
    // Where standard error is closed there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
