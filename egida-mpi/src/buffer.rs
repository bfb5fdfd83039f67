//! Buffers that the application attaches for buffered sends (MPI 5.0, section 3.6). Nothing is ever kept in one: a send is on its
//! channel on return. They are taken only to be given back.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::handle::{Handle, Integer, MPI_Comm, MPI_Request, MPI_Session, MPI_Status};
use crate::request::{self, Request};
use crate::{comm, session};

/// What a buffer is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum To {
    Process,
    Comm(usize),
    Session(usize),
}

/// Address and size of what is attached.
type Attached = HashMap<To, (usize, i64)>;

static ATTACHED: LazyLock<Mutex<Attached>> = LazyLock::new(Mutex::default);

fn lock() -> MutexGuard<'static, Attached> {
    ATTACHED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn attach(to: To, buffer: *mut c_void, size: impl Integer) -> Outcome {
    let mut attached = lock();
    if attached.contains_key(&to) {
        return Err(Failure::new(MPI_ERR_BUFFER, "a buffer is attached already"));
    }
    attached.insert(to, (buffer as usize, size.wide()));
    Ok(())
}

/// # Safety
/// There is room for an address and for a size.
unsafe fn detach<N: Integer>(from: To, buffer_addr: *mut c_void, size: *mut N) -> Outcome {
    let attached = lock().remove(&from);
    let (buffer, bytes) = attached.ok_or_else(|| Failure::new(MPI_ERR_BUFFER, "no buffer is attached"))?;
    // SAFETY: as this function's contract has it.
    unsafe {
        buffer_addr.cast::<usize>().write(buffer);
        if let Some(bytes) = N::narrow(bytes) {
            size.write(bytes);
        }
    }
    Ok(())
}

/// A request that is complete.
///
/// # Safety
/// There is room for a handle.
unsafe fn flushed(request: *mut MPI_Request) -> Outcome {
    let done = Request::immediate(&comm::get(MPI_COMM_SELF)?, MPI_Status::empty());
    // SAFETY: as this function's contract has it.
    unsafe { request.write(request::lock().insert(done)) };
    Ok(())
}

/// `MPI_Buffer_attach`
pub unsafe fn buffer_attach(buffer: *mut c_void, size: impl Integer) -> Outcome {
    attach(To::Process, buffer, size)
}

/// `MPI_Buffer_detach`
pub unsafe fn buffer_detach<N: Integer>(buffer_addr: *mut c_void, size: *mut N) -> Outcome {
    // SAFETY: the caller gives room for an address and for a size; so in the others.
    unsafe { detach(To::Process, buffer_addr, size) }
}

/// `MPI_Buffer_flush`
pub unsafe fn buffer_flush() -> Outcome {
    Ok(())
}

/// `MPI_Buffer_iflush`
pub unsafe fn buffer_iflush(request: *mut MPI_Request) -> Outcome {
    // SAFETY: the caller gives room for a handle; so in the others.
    unsafe { flushed(request) }
}

fn of_comm(comm: MPI_Comm) -> Outcome<To> {
    comm::get(comm).map(|comm| To::Comm(comm.handle.value()))
}

fn of_session(session: MPI_Session) -> Outcome<To> {
    session::handler(session).map(|_| To::Session(session.value()))
}

macro_rules! attached_to {
    ($($kind:ty, $of:ident: $attach:ident $detach:ident $flush:ident $iflush:ident;)*) => {$(
        /// `MPI_X_attach_buffer`
        pub unsafe fn $attach(object: $kind, buffer: *mut c_void, size: impl Integer) -> Outcome {
            attach($of(object)?, buffer, size)
        }

        /// `MPI_X_detach_buffer`
        pub unsafe fn $detach<N: Integer>(object: $kind, buffer_addr: *mut c_void, size: *mut N) -> Outcome {
            // SAFETY: see `buffer_detach`.
            unsafe { detach($of(object)?, buffer_addr, size) }
        }

        /// `MPI_X_flush_buffer`
        pub unsafe fn $flush(object: $kind) -> Outcome {
            $of(object).map(drop)
        }

        /// `MPI_X_iflush_buffer`
        pub unsafe fn $iflush(object: $kind, request: *mut MPI_Request) -> Outcome {
            $of(object)?;
            // SAFETY: see `buffer_iflush`.
            unsafe { flushed(request) }
        }
    )*};
}

attached_to! {
    MPI_Comm, of_comm: comm_attach_buffer comm_detach_buffer comm_flush_buffer comm_iflush_buffer;
    MPI_Session, of_session: session_attach_buffer session_detach_buffer session_flush_buffer session_iflush_buffer;
}

#[cfg(test)]
mod tests {
    use std::ffi::c_int;

    use super::*;

    #[test]
    fn one_buffer_for_each_that_comes_back_as_it_was() {
        let (mut address, mut size) = (0usize, 0 as c_int);
        let (memory, room) = (0x1000 as *mut c_void, (&raw mut address).cast::<c_void>());
        attach(To::Comm(7), memory, 99 as c_int).unwrap();
        assert!(attach(To::Comm(7), memory, 99 as c_int).is_err());
        // SAFETY: there is room.
        unsafe {
            assert!(detach(To::Comm(8), room, &raw mut size).is_err());
            detach(To::Comm(7), room, &raw mut size).unwrap();
        }
        assert_eq!((address, size), (0x1000, 99));
    }
}
