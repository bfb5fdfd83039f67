//! Packing in the representation `external32` (MPI 5.0, section 5.3).

use std::ffi::{CStr, c_char, c_void};

use super::{get, span, write};
use crate::constants::*;
use crate::datatype::{Source, Target, external};
use crate::errors::{Failure, Outcome};
use crate::handle::{Integer, MPI_Datatype};
use crate::status::null;

unsafe fn check(datarep: *const c_char) -> Outcome {
    if datarep.is_null() {
        return Err(null("the representation"));
    }
    // SAFETY: the caller gives a string.
    let name = unsafe { CStr::from_ptr(datarep) };
    if name == c"external32" {
        Ok(())
    } else {
        Err(Failure::new(MPI_ERR_ARG, format!("the representation {name:?}")))
    }
}

/// `MPI_Pack_external_size`
pub unsafe fn pack_external_size<S: Integer>(
    datarep: *const c_char,
    incount: impl Integer,
    datatype: MPI_Datatype,
    size: *mut S,
) -> Outcome {
    // SAFETY: the caller gives a string and room for a size.
    unsafe {
        check(datarep)?;
        let datatype = get(datatype)?;
        datatype.packed_size(incount.wide())?;
        write(size, external::size(&datatype, incount.wide() as usize) as i64)
    }
}

/// `MPI_Pack_external`
pub unsafe fn pack_external<S: Integer>(
    datarep: *const c_char,
    inbuf: *const c_void,
    incount: impl Integer,
    datatype: MPI_Datatype,
    outbuf: *mut c_void,
    outsize: S,
    position: *mut S,
) -> Outcome {
    // SAFETY: the caller gives a string, `incount` elements, `outsize` bytes and a position.
    unsafe {
        check(datarep)?;
        let datatype = get(datatype)?;
        let source = Source::new(inbuf.cast(), incount.wide(), &datatype)?;
        let bytes = external::encode(&datatype, &source.packed());
        let at = span(position, bytes.len(), outsize)?;
        outbuf.cast::<u8>().add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        write(position, (at + bytes.len()) as i64)
    }
}

/// `MPI_Unpack_external`
pub unsafe fn unpack_external<S: Integer>(
    datarep: *const c_char,
    inbuf: *const c_void,
    insize: S,
    position: *mut S,
    outbuf: *mut c_void,
    outcount: impl Integer,
    datatype: MPI_Datatype,
) -> Outcome {
    // SAFETY: the caller gives a string, `insize` bytes, room for `outcount` elements and a position.
    unsafe {
        check(datarep)?;
        let datatype = get(datatype)?;
        let mut target = Target::new(outbuf.cast(), outcount.wide(), &datatype)?;
        let len = external::size(&datatype, outcount.wide() as usize);
        let at = span(position, len, insize)?;
        if len > 0 {
            let bytes = std::slice::from_raw_parts(inbuf.cast::<u8>().add(at), len);
            target.unpack(&external::decode(&datatype, bytes))?;
        }
        write(position, (at + len) as i64)
    }
}
