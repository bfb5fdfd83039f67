//! What is kept with a communicator: its name, hints and attributes (MPI 5.0, sections 7.4.4, 7.7 and 7.8).

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;

use super::{get, on};
use crate::attribute::{self, Holder};
use crate::constants::*;
use crate::errors::Outcome;
use crate::handle::{MPI_Comm, MPI_Info};
use crate::status::{null, write_string};
use crate::{errors, info, world};

/// `MPI_Comm_set_name`
pub unsafe fn set_name(comm: MPI_Comm, comm_name: *const c_char) -> Outcome {
    on(comm, |comm| {
        if comm_name.is_null() {
            return Err(null("the name"));
        }
        // SAFETY: the caller gives a string.
        let name = unsafe { CStr::from_ptr(comm_name) };
        comm.settings().name = name.to_string_lossy().into_owned();
        Ok(())
    })
}

/// `MPI_Comm_get_name`
pub unsafe fn get_name(comm: MPI_Comm, comm_name: *mut c_char, resultlen: *mut c_int) -> Outcome {
    if comm_name.is_null() || resultlen.is_null() {
        return Err(null("the name or its length"));
    }
    if comm == MPI_COMM_NULL {
        // SAFETY: as below.
        unsafe { write_string("MPI_COMM_NULL", MPI_MAX_OBJECT_NAME, comm_name, resultlen) };
        return Ok(());
    }
    on(comm, |comm| {
        let name = comm.settings().name.clone();
        // SAFETY: the caller gives room for MPI_MAX_OBJECT_NAME letters and for the length.
        unsafe { write_string(&name, MPI_MAX_OBJECT_NAME, comm_name, resultlen) };
        Ok(())
    })
}

/// `MPI_Comm_set_info`: hints are kept; this library follows none.
pub unsafe fn set_info(comm: MPI_Comm, info: MPI_Info) -> Outcome {
    on(comm, |comm| {
        let hints = info::get(info)?;
        comm.settings().info.update(&hints);
        Ok(())
    })
}

/// `MPI_Comm_get_info`
pub unsafe fn get_info(comm: MPI_Comm, info_used: *mut MPI_Info) -> Outcome {
    on(comm, |comm| {
        if info_used.is_null() {
            return Err(null("the info"));
        }
        let hints = comm.settings().info.clone();
        // SAFETY: the caller gives room for a handle.
        unsafe { info::hand_out(hints, info_used) };
        Ok(())
    })
}

/// The value of a key of the standard, the address of an integer; `None` for keys of the application.
pub fn predefined_attribute(keyval: c_int) -> Option<*const c_int> {
    static TAG_UB: c_int = c_int::MAX;
    static NO: c_int = 0;
    static NOBODY: c_int = MPI_PROC_NULL;
    static ANYWHERE: c_int = MPI_ANY_SOURCE;
    static UNIVERSE: OnceLock<c_int> = OnceLock::new();
    Some(match keyval {
        MPI_TAG_UB => &raw const TAG_UB,
        MPI_WTIME_IS_GLOBAL | MPI_APPNUM => &raw const NO,
        MPI_IO => &raw const ANYWHERE,
        MPI_LASTUSEDCODE => errors::codes::last_used(),
        MPI_UNIVERSE_SIZE => UNIVERSE.get_or_init(|| world::with(|world| world.size() as c_int)),
        MPI_HOST => &raw const NOBODY,
        _ => return None,
    })
}

/// `MPI_Comm_get_attr`
pub unsafe fn get_attr(
    comm: MPI_Comm,
    comm_keyval: c_int,
    attribute_val: *mut c_void,
    flag: *mut c_int,
) -> Outcome {
    on(comm, |comm| {
        let value = match predefined_attribute(comm_keyval) {
            Some(value) => Some(value as usize),
            None => comm.attribute(comm_keyval)?,
        };
        // SAFETY: the caller gives room for a pointer and for a flag.
        unsafe { attribute::write(value, attribute_val, flag) };
        Ok(())
    })
}

/// `MPI_Comm_set_attr`
pub unsafe fn set_attr(comm: MPI_Comm, comm_keyval: c_int, attribute_val: *mut c_void) -> Outcome {
    on(comm, |comm| comm.set_attribute(comm_keyval, attribute_val as usize))
}

/// `MPI_Comm_delete_attr`
pub unsafe fn delete_attr(comm: MPI_Comm, comm_keyval: c_int) -> Outcome {
    let comm = get(comm)?;
    comm.delete_attribute(comm_keyval).map_err(|failure| failure.on(&comm))
}
