//! Tests that leave the requests as they are, and the cancelling of a request (MPI 5.0, sections 3.7.6 and 3.8.4).

use std::ffi::c_int;

use super::{Asked, all_over, first};
use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::handle::{MPI_Request, MPI_Status};
use crate::request::{self, Ended, Request};
use crate::status::write_flag;
use crate::world;

impl Asked<'_> {
    /// Shows how one that is over ended: what it computes at its end is in place then.
    ///
    /// # Safety
    /// `status` is `MPI_STATUS_IGNORE` or points to a status.
    unsafe fn show(&mut self, at: usize, status: *mut MPI_Status) {
        let request = self.requests.get_mut(self.handles[at]);
        let ended = request.map_or_else(|| Ended::with(MPI_Status::empty()), Request::ended);
        // SAFETY: as this function's contract has it.
        if let Some(status) = unsafe { status.as_mut() } {
            *status = ended.status;
        }
    }
}

/// `MPI_Request_get_status`
pub unsafe fn request_get_status(
    mut request: MPI_Request,
    flag: *mut c_int,
    status: *mut MPI_Status,
) -> Outcome {
    // SAFETY: the caller points to a flag and, perhaps, to a status.
    unsafe {
        let mut asked = Asked::new(&raw mut request, 1)?;
        let over = world::with(|world| all_over(&mut asked, world))?;
        write_flag(flag, over);
        if over {
            asked.show(0, status);
        }
        Ok(())
    }
}

/// `MPI_Request_get_status_all`
pub unsafe fn request_get_status_all(
    count: c_int,
    requests: *const MPI_Request,
    flag: *mut c_int,
    statuses: *mut MPI_Status,
) -> Outcome {
    // SAFETY: the caller gives `count` handles, which are only read, a flag and, perhaps, room for as many statuses.
    unsafe {
        let mut asked = Asked::new(requests.cast_mut(), count)?;
        let over = world::with(|world| all_over(&mut asked, world))?;
        write_flag(flag, over);
        for at in (0..asked.handles.len()).filter(|_| over) {
            asked.show(at, if statuses.is_null() { statuses } else { statuses.add(at) });
        }
        Ok(())
    }
}

/// `MPI_Request_get_status_any`
pub unsafe fn request_get_status_any(
    count: c_int,
    requests: *const MPI_Request,
    index: *mut c_int,
    flag: *mut c_int,
    status: *mut MPI_Status,
) -> Outcome {
    // SAFETY: the caller gives `count` handles, room for an index, a flag and, perhaps, a status.
    unsafe {
        let mut asked = Asked::new(requests.cast_mut(), count)?;
        let active = asked.active();
        if active.is_empty() {
            write_flag(flag, true);
            index.write(MPI_UNDEFINED);
            if let Some(status) = status.as_mut() {
                *status = MPI_Status::empty();
            }
            return Ok(());
        }
        let chosen = world::with(|world| asked.observe(world, &active, false, first))?;
        write_flag(flag, !chosen.is_empty());
        match chosen.first() {
            None => index.write(MPI_UNDEFINED),
            Some(&at) => {
                index.write(at as c_int);
                asked.show(at, status);
            }
        }
        Ok(())
    }
}

/// `MPI_Request_get_status_some`
pub unsafe fn request_get_status_some(
    incount: c_int,
    requests: *const MPI_Request,
    outcount: *mut c_int,
    indices: *mut c_int,
    statuses: *mut MPI_Status,
) -> Outcome {
    // SAFETY: the caller gives `incount` handles, room for as many indices and, perhaps, statuses, and for a count.
    unsafe {
        let mut asked = Asked::new(requests.cast_mut(), incount)?;
        let active = asked.active();
        if active.is_empty() {
            outcount.write(MPI_UNDEFINED);
            return Ok(());
        }
        let chosen = world::with(|world| asked.observe(world, &active, false, |over| over))?;
        outcount.write(chosen.len() as c_int);
        for (nth, &at) in chosen.iter().enumerate() {
            indices.add(nth).write(at as c_int);
            asked.show(at, if statuses.is_null() { statuses } else { statuses.add(nth) });
        }
        Ok(())
    }
}

/// `MPI_Cancel`: sends are complete as soon as they are begun, and collectives are not to be cancelled, so that it is for receives and
/// for requests of the application's own.
pub unsafe fn cancel(request: *mut MPI_Request) -> Outcome {
    // SAFETY: the caller points to a handle.
    let handle = unsafe { *request };
    let mut requests = request::lock();
    let request = requests.get_mut(handle).ok_or_else(|| Failure::new(MPI_ERR_REQUEST, "no such request"))?;
    if let Some(generalized) = request.as_generalized().cloned() {
        // The application's function may ask for the request.
        drop(requests);
        return generalized.cancel();
    }
    if let Some(id) = request.pending_receive()
        && world::with(|world| world.cancel(id))?
    {
        request.withdrawn();
    }
    Ok(())
}
