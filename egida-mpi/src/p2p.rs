//! Sends and receives (MPI 5.0, chapter 3).
//!
//! Every send that does not wait for its match is complete on return: its bytes are on the channel. So `MPI_Rsend` is
//! `MPI_Send`, and `MPI_Bsend` needs the attached buffer only to give it back.
#![allow(clippy::too_many_arguments)] // the standard's

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use egida_core::api::Pattern;
use egida_core::ids::Rank;
use egida_core::wire::{Envelope, SendMode};

use crate::comm::{self, Communicator};
use crate::constants::*;
use crate::datatype::{Datatype, Unpacker};
use crate::errors::{Failure, Outcome};
use crate::group::array;
use crate::handle::{Integer, MPI_Comm, MPI_Datatype, MPI_Request, MPI_Status};
use crate::request::{self, Ended, Memory, Receiving, Request, Template};
use crate::status::null;
use crate::{threads, types, world};

/// The process of that rank on the other side; `None` for `MPI_PROC_NULL`.
pub fn peer(comm: &Communicator, rank: c_int) -> Outcome<Option<Rank>> {
    if rank == MPI_PROC_NULL {
        return Ok(None);
    }
    comm.process(rank).map(Some).ok_or_else(|| no_rank(comm, rank))
}

/// What a receive or probe asks for; `None` for `MPI_PROC_NULL`.
#[inline]
pub fn pattern(comm: &Communicator, source: c_int, tag: c_int) -> Outcome<Option<Pattern>> {
    let tag = match tag {
        MPI_ANY_TAG => None,
        tag if tag >= 0 => Some(tag),
        tag => return Err(Failure::new(MPI_ERR_TAG, format!("tag {tag}"))),
    };
    let source = match source {
        MPI_PROC_NULL => return Ok(None),
        MPI_ANY_SOURCE => None,
        source => Some(comm.process(source).ok_or_else(|| no_rank(comm, source))?),
    };
    Ok(Some(Pattern { source, context: comm.context(), tag }))
}

fn no_rank(comm: &Communicator, rank: c_int) -> Failure {
    Failure::new(MPI_ERR_RANK, format!("rank {rank} of {} ranks", comm.size()))
}

/// The application's memory, as it describes it.
pub fn memory(base: *const c_void, count: impl Integer, datatype: MPI_Datatype) -> Outcome<Memory> {
    Ok(Memory { base: base.cast_mut().cast(), count: count.wide(), datatype: types::get(datatype)? })
}

/// The arguments of a send, checked.
unsafe fn to_send(
    comm: &Communicator,
    mode: SendMode,
    (buf, count, datatype): (*const c_void, impl Integer, MPI_Datatype),
    dest: c_int,
    tag: c_int,
) -> Outcome<Template> {
    let memory = if dest == MPI_PROC_NULL { Memory::nothing()? } else { memory(buf, count, datatype)? };
    // SAFETY: only arguments are looked at; the caller vouches for the memory.
    unsafe { memory.source()? };
    if tag < 0 {
        return Err(Failure::new(MPI_ERR_TAG, format!("tag {tag}")));
    }
    let envelope = Envelope { context: comm.context(), tag };
    Ok(Template::Send { dest: peer(comm, dest)?, envelope, mode, memory })
}

/// The arguments of a receive, checked.
unsafe fn to_receive(
    comm: &Communicator,
    (buf, count, datatype): (*mut c_void, impl Integer, MPI_Datatype),
    source: c_int,
    tag: c_int,
) -> Outcome<Template> {
    let memory = if source == MPI_PROC_NULL { Memory::nothing()? } else { memory(buf, count, datatype)? };
    // SAFETY: only arguments are looked at; the caller vouches for the memory.
    unsafe { memory.target()? };
    Ok(Template::Receive { pattern: pattern(comm, source, tag)?, memory })
}

/// Begins an operation and waits for its end.
unsafe fn now(comm: &Arc<Communicator>, template: &Template) -> Outcome<Ended> {
    match template {
        // The usual two need no request of their own: a send is complete when it returns, and a receive lives here.
        Template::Send { dest: Some(dest), envelope, mode: mode @ SendMode::Standard, memory } => {
            // SAFETY: the caller leaves the memory to the operation until it returns; so below.
            let source = unsafe { memory.source()? };
            world::with(|world| world.send(*dest, *envelope, *mode, &source.packed()))?;
            return Ok(Ended::with(MPI_Status::empty()));
        }
        Template::Receive { pattern: Some(pattern), memory } if !threads::take_turns() => {
            // SAFETY: see above.
            let memory = unsafe { memory.target()? }.unpacker();
            return Ok(world::with(|world| {
                let mut receiving = Receiving::post(world, *pattern, memory)?;
                world::until(world, |world| receiving.take(world, comm))
            })?);
        }
        _ => {}
    }
    // SAFETY: the caller leaves the memory to the operation until it returns.
    let mut request = unsafe { Request::begin(comm, template)? };
    if !request.is_immediate() {
        world::wait(|world| Ok(request.advance(world)?.then_some(())))?;
    }
    Ok(request.ended())
}

/// Begins an operation and gives it a handle.
unsafe fn later(comm: &Arc<Communicator>, template: &Template, request: *mut MPI_Request) -> Outcome {
    if request.is_null() {
        return Err(null("the request"));
    }
    // SAFETY: the caller leaves the memory to the operation until the request is complete, and gives room for a handle.
    unsafe {
        let begun = Request::begin(comm, template)?;
        request.write(request::lock().insert(begun));
    }
    Ok(())
}

/// Gives a persistent operation a handle.
unsafe fn persistent(comm: &Arc<Communicator>, template: Template, request: *mut MPI_Request) -> Outcome {
    if request.is_null() {
        return Err(null("the request"));
    }
    let handle = request::lock().insert(Request::persistent(comm, template));
    // SAFETY: the caller gives room for a handle.
    unsafe { request.write(handle) };
    Ok(())
}

/// The bytes of elements without gaps, which is what nearly every message is made of; `None` where there is more to be said of
/// the memory, or against it.
#[inline(always)] // for every message; so below
fn dense(buf: *const c_void, count: impl Integer, datatype: MPI_Datatype) -> Option<usize> {
    let bytes = usize::try_from(count.wide()).ok()?.checked_mul(Datatype::dense_bytes(datatype.0)?)?;
    (!buf.is_null() && isize::try_from(bytes).is_ok()).then_some(bytes)
}

/// Sends elements without gaps to a process. Returns whether that is what was asked for.
///
/// # Safety
/// The caller gives `count` elements to be read.
#[inline(always)]
unsafe fn send_dense(
    comm: &Communicator,
    mode: SendMode,
    (buf, count, datatype): (*const c_void, impl Integer, MPI_Datatype),
    dest: c_int,
    tag: c_int,
) -> Outcome<bool> {
    let (Some(bytes), Some(dest)) = (dense(buf, count, datatype), comm.process(dest)) else {
        return Ok(false);
    };
    if mode != SendMode::Standard || tag < 0 {
        return Ok(false);
    }
    // SAFETY: as this function's contract has it.
    let payload = unsafe { std::slice::from_raw_parts(buf.cast::<u8>(), bytes) };
    let envelope = Envelope { context: comm.context(), tag };
    world::with(|world| world.send(dest, envelope, mode, payload))?;
    Ok(true)
}

/// Receives elements without gaps, where the message is found and taken in one step. Returns whether it was.
///
/// # Safety
/// The caller gives room for `count` elements and, perhaps, for a status.
#[inline(always)]
unsafe fn receive_dense(
    comm: &Communicator,
    (buf, count, datatype): (*mut c_void, impl Integer, MPI_Datatype),
    source: c_int,
    tag: c_int,
    status: *mut MPI_Status,
) -> Outcome<bool> {
    let Some(room) = dense(buf, count, datatype) else { return Ok(false) };
    let Some(pattern) = pattern(comm, source, tag)? else { return Ok(false) };
    // SAFETY: the caller gives this room.
    let mut memory = unsafe { Unpacker::dense(buf.cast(), room) };
    let taken = world::with(|world| world::take(world, pattern, &mut |bytes| memory.write(bytes)))?;
    let Some(matched) = taken else { return Ok(false) };
    if matched.len > room as u64 || !status.is_null() {
        // SAFETY: as this function's contract has it.
        unsafe { request::ended(&matched, comm, matched.len as usize, room).show(status)? };
    }
    Ok(true)
}

macro_rules! sends {
    ($($(#[$doc:meta])* $now:ident $later:ident $init:ident $mode:ident;)*) => {$(
        $(#[$doc])*
        pub unsafe fn $now(
            buf: *const c_void,
            count: impl Integer,
            datatype: MPI_Datatype,
            dest: c_int,
            tag: c_int,
            comm: MPI_Comm,
        ) -> Outcome {
            comm::on(comm, |comm| {
                // SAFETY: the caller gives `count` elements to be read.
                unsafe {
                    if send_dense(comm, SendMode::$mode, (buf, count, datatype), dest, tag)? {
                        return Ok(());
                    }
                    let template = to_send(comm, SendMode::$mode, (buf, count, datatype), dest, tag)?;
                    now(comm, &template)?;
                }
                Ok(())
            })
        }

        $(#[$doc])*
        pub unsafe fn $later(
            buf: *const c_void,
            count: impl Integer,
            datatype: MPI_Datatype,
            dest: c_int,
            tag: c_int,
            comm: MPI_Comm,
            request: *mut MPI_Request,
        ) -> Outcome {
            comm::on(comm, |comm| {
                // SAFETY: the caller gives `count` elements to be read, and room for a handle.
                unsafe {
                    if !request.is_null()
                        && send_dense(comm, SendMode::$mode, (buf, count, datatype), dest, tag)?
                    {
                        request.write(request::sent(comm));
                        return Ok(());
                    }
                    let template = to_send(comm, SendMode::$mode, (buf, count, datatype), dest, tag)?;
                    later(comm, &template, request)
                }
            })
        }

        $(#[$doc])*
        pub unsafe fn $init(
            buf: *const c_void,
            count: impl Integer,
            datatype: MPI_Datatype,
            dest: c_int,
            tag: c_int,
            comm: MPI_Comm,
            request: *mut MPI_Request,
        ) -> Outcome {
            comm::on(comm, |comm| {
                // SAFETY: the caller gives `count` elements to be read, and room for a handle.
                unsafe {
                    let template = to_send(comm, SendMode::$mode, (buf, count, datatype), dest, tag)?;
                    persistent(comm, template, request)
                }
            })
        }
    )*};
}

sends! {
    /// Standard, ready and buffered mode.
    send isend send_init Standard;
    /// Synchronous mode.
    ssend issend ssend_init Synchronous;
}

/// `MPI_Recv`
pub unsafe fn recv(
    buf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    source: c_int,
    tag: c_int,
    comm: MPI_Comm,
    status: *mut MPI_Status,
) -> Outcome {
    comm::on(comm, |comm| {
        // SAFETY: the caller gives room for `count` elements and, perhaps, for a status.
        unsafe {
            if receive_dense(comm, (buf, count, datatype), source, tag, status)? {
                return Ok(());
            }
            let template = to_receive(comm, (buf, count, datatype), source, tag)?;
            now(comm, &template)?.show(status)
        }
    })
}

/// `MPI_Irecv`
pub unsafe fn irecv(
    buf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    source: c_int,
    tag: c_int,
    comm: MPI_Comm,
    request: *mut MPI_Request,
) -> Outcome {
    comm::on(comm, |comm| {
        // SAFETY: the caller gives room for `count` elements and for a handle.
        unsafe {
            if let (Some(room), false) = (dense(buf, count, datatype), request.is_null())
                && let Some(pattern) = pattern(comm, source, tag)?
            {
                let memory = Unpacker::dense(buf.cast(), room);
                let receiving = world::with(|world| Receiving::begin(world, comm, pattern, memory))?;
                request.write(request::lock().insert(Request::receiving(comm, receiving)));
                return Ok(());
            }
            let template = to_receive(comm, (buf, count, datatype), source, tag)?;
            later(comm, &template, request)
        }
    })
}

/// `MPI_Recv_init`
pub unsafe fn recv_init(
    buf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    source: c_int,
    tag: c_int,
    comm: MPI_Comm,
    request: *mut MPI_Request,
) -> Outcome {
    comm::on(comm, |comm| {
        // SAFETY: the caller gives room for `count` elements and for a handle.
        unsafe {
            let template = to_receive(comm, (buf, count, datatype), source, tag)?;
            persistent(comm, template, request)
        }
    })
}

/// `MPI_Sendrecv`
pub unsafe fn sendrecv<N: Integer>(
    sendbuf: *const c_void,
    sendcount: N,
    sendtype: MPI_Datatype,
    dest: c_int,
    sendtag: c_int,
    recvbuf: *mut c_void,
    recvcount: N,
    recvtype: MPI_Datatype,
    source: c_int,
    recvtag: c_int,
    comm: MPI_Comm,
    status: *mut MPI_Status,
) -> Outcome {
    comm::on(comm, |comm| {
        // SAFETY: the caller gives both buffers, which do not overlap, and, perhaps, room for a status.
        unsafe {
            let send = to_send(comm, SendMode::Standard, (sendbuf, sendcount, sendtype), dest, sendtag)?;
            let receive = to_receive(comm, (recvbuf, recvcount, recvtype), source, recvtag)?;
            // The send is complete on return, so that the receive may wait.
            now(comm, &send)?;
            now(comm, &receive)?.show(status)
        }
    })
}

/// `MPI_Sendrecv_replace`
pub unsafe fn sendrecv_replace(
    buf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    dest: c_int,
    sendtag: c_int,
    source: c_int,
    recvtag: c_int,
    comm: MPI_Comm,
    status: *mut MPI_Status,
) -> Outcome {
    // SAFETY: the caller's one buffer serves both: the send has copied it before the receive begins.
    unsafe {
        sendrecv(buf, count, datatype, dest, sendtag, buf, count, datatype, source, recvtag, comm, status)
    }
}

/// `MPI_Isendrecv`: the send is complete at once, so that the request is that of the receive.
pub unsafe fn isendrecv<N: Integer>(
    sendbuf: *const c_void,
    sendcount: N,
    sendtype: MPI_Datatype,
    dest: c_int,
    sendtag: c_int,
    recvbuf: *mut c_void,
    recvcount: N,
    recvtype: MPI_Datatype,
    source: c_int,
    recvtag: c_int,
    comm: MPI_Comm,
    request: *mut MPI_Request,
) -> Outcome {
    comm::on(comm, |comm| {
        // SAFETY: as in `sendrecv`, until the request is complete; and room for a handle.
        unsafe {
            let send = to_send(comm, SendMode::Standard, (sendbuf, sendcount, sendtype), dest, sendtag)?;
            let receive = to_receive(comm, (recvbuf, recvcount, recvtype), source, recvtag)?;
            now(comm, &send)?;
            later(comm, &receive, request)
        }
    })
}

/// `MPI_Isendrecv_replace`
pub unsafe fn isendrecv_replace(
    buf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    dest: c_int,
    sendtag: c_int,
    source: c_int,
    recvtag: c_int,
    comm: MPI_Comm,
    request: *mut MPI_Request,
) -> Outcome {
    // SAFETY: see `sendrecv_replace`.
    unsafe {
        isendrecv(buf, count, datatype, dest, sendtag, buf, count, datatype, source, recvtag, comm, request)
    }
}

/// `MPI_Start`
pub unsafe fn start(request: *mut MPI_Request) -> Outcome {
    // SAFETY: the caller points to one handle.
    unsafe { startall(1, request) }
}

/// `MPI_Startall`
pub unsafe fn startall(count: c_int, array_of_requests: *mut MPI_Request) -> Outcome {
    // SAFETY: the caller gives `count` handles.
    let handles = unsafe { array(array_of_requests, count)? };
    let mut requests = request::lock();
    for &handle in handles {
        let request =
            requests.get_mut(handle).ok_or_else(|| Failure::new(MPI_ERR_REQUEST, "no such request"))?;
        // SAFETY: the caller leaves the memory to the operation until the request is complete.
        unsafe { request.restart()? };
    }
    Ok(())
}
