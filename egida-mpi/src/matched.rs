//! Probes that take the message, so that nobody else receives it (MPI 5.0, section 3.8.2).
//!
//! The message is taken by a receive that is posted at once and has no memory yet. Which message a probe of any source found is an
//! observation, as for `MPI_Probe`.

use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egida_core::api::{Matched, Pattern, ReceiveId};
use egida_core::fault::Fault;

use crate::comm::{self, Communicator};
use crate::constants::*;
use crate::datatype::Target;
use crate::errors::{Failure, Outcome};
use crate::handle::{Integer, MPI_Comm, MPI_Datatype, MPI_Message, MPI_Request, MPI_Status, Table};
use crate::p2p::pattern;
use crate::probe;
use crate::request::{self, Receiving, Request, status_of};
use crate::status::write_flag;
use crate::threads;
use crate::types;
use crate::world::{self, World};

/// A message that was taken.
#[derive(Debug)]
struct Taken {
    comm: Arc<Communicator>,
    id: ReceiveId,
}

static MESSAGES: Mutex<Table<MPI_Message, Taken>> = Mutex::new(Table::new());

fn lock() -> MutexGuard<'static, Table<MPI_Message, Taken>> {
    MESSAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a message that has arrived: of all that its source sent with that tag it is the first.
fn take(world: &mut dyn World, seen: &Matched) -> Result<ReceiveId, Fault> {
    let (context, tag) = (seen.envelope.context, Some(seen.envelope.tag));
    world.post(Pattern { source: Some(seen.source), context, tag })
}

/// The first message that fits, taken, if one has come.
fn look(world: &mut dyn World, pattern: Pattern) -> Result<Option<(Matched, ReceiveId)>, Fault> {
    match probe::look(world, pattern)? {
        None => Ok(None),
        Some(seen) => Ok(Some((seen, take(world, &seen)?))),
    }
}

/// `MPI_Mprobe`
pub unsafe fn mprobe(
    source: c_int,
    tag: c_int,
    comm: MPI_Comm,
    message: *mut MPI_Message,
    status: *mut MPI_Status,
) -> Outcome {
    comm::on(comm, |comm| {
        let (handle, seen) = match pattern(comm, source, tag)? {
            None => (MPI_MESSAGE_NO_PROC, MPI_Status::of_no_process()),
            Some(pattern) => {
                let (seen, id) = if threads::take_turns() {
                    threads::until(|| world::with(|world| look(world, pattern)))?
                } else {
                    world::with(|world| {
                        let seen = probe::wait(world, pattern)?;
                        Ok::<_, Fault>((seen, take(world, &seen)?))
                    })?
                };
                (lock().insert(Taken { comm: comm.clone(), id }), status_of(&seen, comm, seen.len))
            }
        };
        // SAFETY: the caller gives room for a handle and, perhaps, for a status; so in the next.
        unsafe {
            message.write(handle);
            seen.write(status);
        }
        Ok(())
    })
}

/// `MPI_Improbe`
pub unsafe fn improbe(
    source: c_int,
    tag: c_int,
    comm: MPI_Comm,
    flag: *mut c_int,
    message: *mut MPI_Message,
    status: *mut MPI_Status,
) -> Outcome {
    comm::on(comm, |comm| {
        let found = match pattern(comm, source, tag)? {
            None => Some((MPI_MESSAGE_NO_PROC, MPI_Status::of_no_process())),
            Some(pattern) => world::with(|world| look(world, pattern))?.map(|(seen, id)| {
                let handle = lock().insert(Taken { comm: comm.clone(), id });
                (handle, status_of(&seen, comm, seen.len))
            }),
        };
        // SAFETY: see `mprobe`.
        unsafe {
            write_flag(flag, found.is_some());
            if let Some((handle, seen)) = found {
                message.write(handle);
                seen.write(status);
            }
        }
        Ok(())
    })
}

/// The receive of a message, which its handle no longer names; `None` for that of no process.
unsafe fn claim(
    buf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    message: *mut MPI_Message,
) -> Outcome<Request> {
    let datatype = types::get(datatype)?;
    // SAFETY: the caller gives room for `count` elements and points to a handle.
    let (handle, target) = unsafe { (&mut *message, Target::new(buf.cast(), count.wide(), &datatype)?) };
    if *handle == MPI_MESSAGE_NO_PROC {
        *handle = MPI_MESSAGE_NULL;
        return Ok(Request::immediate(&comm::get(MPI_COMM_SELF)?, MPI_Status::of_no_process()));
    }
    let taken = lock().remove(*handle);
    let Taken { comm, id } = taken.ok_or_else(|| Failure::new(MPI_ERR_REQUEST, "the message is not one"))?;
    *handle = MPI_MESSAGE_NULL;
    Ok(Request::receiving(&comm, Receiving::of(id, target.unpacker())))
}

/// `MPI_Mrecv`
pub unsafe fn mrecv(
    buf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    message: *mut MPI_Message,
    status: *mut MPI_Status,
) -> Outcome {
    // SAFETY: the caller gives room for `count` elements, a handle and, perhaps, a status; so in the next.
    unsafe {
        let mut request = claim(buf, count, datatype, message)?;
        world::wait(|world| Ok(request.advance(world)?.then_some(())))?;
        let comm = request.comm().clone();
        request.ended().show(status).map_err(|failure| failure.on(&comm))
    }
}

/// `MPI_Imrecv`
pub unsafe fn imrecv(
    buf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    message: *mut MPI_Message,
    request: *mut MPI_Request,
) -> Outcome {
    // SAFETY: see `mrecv`.
    unsafe {
        let claimed = claim(buf, count, datatype, message)?;
        request.write(request::lock().insert(claimed));
    }
    Ok(())
}
