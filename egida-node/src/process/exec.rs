//! What must happen between fork and exec, and the calls that no safe library offers.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The system does not let a process switch off the randomization of addresses, as some containers' filters do.
#[derive(Debug, Error)]
#[error(
    "address space randomization cannot be switched off here ({0}); a program whose behaviour depends on addresses may \
     not replay identically"
)]
pub struct PersonalityDenied(io::Error);

/// Switches off address randomization for all programs that this process starts from now on: a re-execution must find
/// the addresses of the execution that it repeats.
///
/// # Errors
/// [`PersonalityDenied`]; ranks can run all the same.
pub fn randomization_off() -> Result<(), PersonalityDenied> {
    const QUERY: libc::c_ulong = 0xFFFF_FFFF;
    // SAFETY: personality takes a number and touches no memory of this process.
    let persona = unsafe { libc::personality(QUERY) };
    let wanted = libc::c_ulong::from(persona.cast_unsigned()) | libc::ADDR_NO_RANDOMIZE as libc::c_ulong;
    // SAFETY: as above.
    if persona < 0 || unsafe { libc::personality(wanted) } < 0 {
        return Err(PersonalityDenied(io::Error::last_os_error()));
    }
    Ok(())
}

/// Lets the child of `command` die with the thread that spawns it, and inherit descriptors under their own numbers.
/// They must stay open until it is spawned.
pub fn bind_to_parent(command: &mut Command, inherit: &[BorrowedFd<'_>]) {
    let parent = getpid();
    let inherit: Vec<RawFd> = inherit.iter().map(AsRawFd::as_raw_fd).collect();
    let prepare = move || prepare(parent, &inherit);
    // SAFETY: between fork and exec `prepare` makes system calls only; it neither allocates nor takes locks.
    unsafe { command.pre_exec(prepare) };
}

fn prepare(parent: Pid, inherit: &[RawFd]) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that died before the call above would never have sent the signal.
    if getppid() != Some(parent) {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    for &fd in inherit {
        // SAFETY: the descriptor is open in the parent during the spawn, and so in this copy of it.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        fcntl_setfd(fd, FdFlags::empty())?;
    }
    Ok(())
}

/// Waits with the runtime for a descriptor to become readable.
///
/// # Errors
/// [`io::Error`] where the runtime cannot wait for it.
pub fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned, so it stays open, and stays itself, until the `AsyncFd` is dropped.
    unsafe { Ok(AsyncFd::register_with_interest(fd, Interest::READABLE)?) }
}
