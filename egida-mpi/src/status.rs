//! Statuses, and values written to the caller's memory (MPI 5.0, section 3.2.5).

use std::ffi::{c_char, c_int};

use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::handle::{Integer, MPI_Datatype, MPI_Status};
use crate::types;

impl MPI_Status {
    /// Of a message.
    pub fn new(source: c_int, tag: c_int, bytes: u64) -> Self {
        let mut status = Self { source, tag, error: MPI_SUCCESS, internal: [0; 5] };
        status.set_bytes(bytes);
        status
    }

    /// Of an operation that is not there: null and inactive requests, sends.
    pub fn empty() -> Self {
        Self::new(MPI_ANY_SOURCE, MPI_ANY_TAG, 0)
    }

    /// Of a receive from or a probe of `MPI_PROC_NULL`.
    pub fn of_no_process() -> Self {
        Self::new(MPI_PROC_NULL, MPI_ANY_TAG, 0)
    }

    /// Bytes of data received.
    pub fn bytes(&self) -> u64 {
        u64::from(self.internal[0].cast_unsigned()) | (u64::from(self.internal[1].cast_unsigned()) << 32)
    }

    /// Whether the operation was cancelled.
    pub fn set_cancelled(&mut self, cancelled: bool) {
        self.internal[2] = c_int::from(cancelled);
    }

    fn set_bytes(&mut self, bytes: u64) {
        self.internal[0] = bytes as c_int;
        self.internal[1] = (bytes >> 32) as c_int;
    }

    /// Writes the status, but for its error field, where the caller wants it.
    ///
    /// # Safety
    /// `to` is `MPI_STATUS_IGNORE` or points to a status.
    pub unsafe fn write(self, to: *mut Self) {
        // SAFETY: as this function's contract has it.
        if let Some(to) = unsafe { to.as_mut() } {
            *to = Self { error: to.error, ..self };
        }
    }
}

/// Writes a flag.
///
/// # Safety
/// `to` points to an integer.
pub unsafe fn write_flag(to: *mut c_int, flag: bool) {
    // SAFETY: as this function's contract has it.
    unsafe { to.write(c_int::from(flag)) };
}

/// Writes a string and its length, cut to `room` letters with the closing zero.
///
/// # Safety
/// `string` has room for so many letters, and `len` points to an integer.
pub unsafe fn write_string(text: &str, room: c_int, string: *mut c_char, len: *mut c_int) {
    let room = usize::try_from(room).unwrap_or(0).saturating_sub(1);
    let bytes = &text.as_bytes()[..text.len().min(room)];
    // SAFETY: no more than `room` letters and the zero are written, for which the caller gives room.
    unsafe {
        string.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        string.add(bytes.len()).write(0);
        len.write(bytes.len() as c_int);
    }
}

/// Writes a count, or `MPI_UNDEFINED` where there is none or the type cannot hold it.
unsafe fn write_count<N: Integer>(to: *mut N, count: Option<usize>) {
    let undefined = || N::narrow(i64::from(MPI_UNDEFINED));
    let value = count.and_then(|count| i64::try_from(count).ok()).and_then(N::narrow).or_else(undefined);
    if let Some(value) = value {
        // SAFETY: the caller gives room for a count.
        unsafe { to.write(value) };
    }
}

/// `MPI_Get_count`
pub unsafe fn get_count<N: Integer>(
    status: *const MPI_Status,
    datatype: MPI_Datatype,
    count: *mut N,
) -> Outcome {
    let datatype = types::get(datatype)?;
    // SAFETY: the caller points to a status and gives room for a count.
    unsafe { write_count(count, datatype.count_of((*status).bytes() as usize)) };
    Ok(())
}

/// `MPI_Get_elements`
pub unsafe fn get_elements<N: Integer>(
    status: *const MPI_Status,
    datatype: MPI_Datatype,
    count: *mut N,
) -> Outcome {
    let datatype = types::get(datatype)?;
    // SAFETY: the caller points to a status and gives room for a count.
    unsafe { write_count(count, datatype.elements_of((*status).bytes() as usize)) };
    Ok(())
}

/// `MPI_Status_set_elements`
pub unsafe fn status_set_elements<N: Integer>(
    status: *mut MPI_Status,
    datatype: MPI_Datatype,
    count: N,
) -> Outcome {
    let elements = usize::try_from(count.wide());
    let elements = elements.map_err(|_| Failure::new(MPI_ERR_COUNT, format!("{} elements", count.wide())))?;
    let bytes = types::get(datatype)?.bytes_of_elements(elements);
    // SAFETY: the caller points to a status.
    unsafe { (*status).set_bytes(bytes as u64) };
    Ok(())
}

/// `MPI_Status_set_cancelled`
pub unsafe fn status_set_cancelled(status: *mut MPI_Status, flag: c_int) -> Outcome {
    // SAFETY: the caller points to a status.
    unsafe { (*status).internal[2] = flag };
    Ok(())
}

/// `MPI_Test_cancelled`
pub unsafe fn test_cancelled(status: *const MPI_Status, flag: *mut c_int) -> Outcome {
    // SAFETY: the caller points to a status and gives room for a flag.
    unsafe { write_flag(flag, (*status).internal[2] != 0) };
    Ok(())
}

/// `MPI_Status_get_source`
pub unsafe fn status_get_source(status: *const MPI_Status, source: *mut c_int) -> Outcome {
    // SAFETY: the caller points to a status and gives room for an integer; so in the next five.
    unsafe { source.write((*status).source) };
    Ok(())
}

/// `MPI_Status_get_tag`
pub unsafe fn status_get_tag(status: *const MPI_Status, tag: *mut c_int) -> Outcome {
    // SAFETY: see above.
    unsafe { tag.write((*status).tag) };
    Ok(())
}

/// `MPI_Status_get_error`
pub unsafe fn status_get_error(status: *const MPI_Status, error: *mut c_int) -> Outcome {
    // SAFETY: see above.
    unsafe { error.write((*status).error) };
    Ok(())
}

/// `MPI_Status_set_source`
pub unsafe fn status_set_source(status: *mut MPI_Status, source: c_int) -> Outcome {
    // SAFETY: see above.
    unsafe { (*status).source = source };
    Ok(())
}

/// `MPI_Status_set_tag`
pub unsafe fn status_set_tag(status: *mut MPI_Status, tag: c_int) -> Outcome {
    // SAFETY: see above.
    unsafe { (*status).tag = tag };
    Ok(())
}

/// `MPI_Status_set_error`
pub unsafe fn status_set_error(status: *mut MPI_Status, error: c_int) -> Outcome {
    // SAFETY: see above.
    unsafe { (*status).error = error };
    Ok(())
}

/// A null pointer where the call needs memory.
pub fn null(what: &'static str) -> Failure {
    Failure::new(MPI_ERR_ARG, format!("{what} is a null pointer")).nowhere()
}
