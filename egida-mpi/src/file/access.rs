//! Access to data: the entry points (MPI 5.0, section 14.4).

use std::ffi::c_void;

use super::data::{Memory, Place};
use super::on;
use crate::comm;
use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::handle::{Integer, MPI_Datatype, MPI_File, MPI_Offset, MPI_Request, MPI_Status};
use crate::request::{self, Request};

/// # Safety
/// There is room for a status, or none is wanted.
unsafe fn show(found: MPI_Status, status: *mut MPI_Status) -> Outcome {
    // SAFETY: as this function's contract has it.
    unsafe { found.write(status) };
    Ok(())
}

/// # Safety
/// There is room for a handle.
unsafe fn complete(found: MPI_Status, request: *mut MPI_Request) -> Outcome {
    if request.is_null() {
        return Err(crate::status::null("the request"));
    }
    let done = Request::immediate(&comm::get(MPI_COMM_SELF)?, found);
    // SAFETY: as this function's contract has it.
    unsafe { request.write(request::lock().insert(done)) };
    Ok(())
}

macro_rules! accesses {
    ($($now:ident $later:ident $way:ident($buffer:ty) ($($offset:ident)?) => $place:expr;)*) => {$(
        /// The blocking form.
        pub unsafe fn $now(
            fh: MPI_File,
            $($offset: MPI_Offset,)?
            buf: $buffer,
            count: impl Integer,
            datatype: MPI_Datatype,
            status: *mut MPI_Status,
        ) -> Outcome {
            // SAFETY: the caller gives `count` elements and, perhaps, room for a status.
            on(fh, |file| unsafe { show(file.$way($place, &Memory::new(buf, count, datatype)?)?, status) })
        }

        /// The non-blocking form.
        pub unsafe fn $later(
            fh: MPI_File,
            $($offset: MPI_Offset,)?
            buf: $buffer,
            count: impl Integer,
            datatype: MPI_Datatype,
            request: *mut MPI_Request,
        ) -> Outcome {
            // SAFETY: the caller gives `count` elements and room for a handle.
            on(fh, |file| unsafe { complete(file.$way($place, &Memory::new(buf, count, datatype)?)?, request) })
        }
    )*};
}

accesses! {
    read_at iread_at read(*mut c_void) (offset) => Place::At(offset);
    read iread read(*mut c_void) () => Place::Own;
    read_shared iread_shared read(*mut c_void) () => Place::Shared;
    write_at iwrite_at write(*const c_void) (offset) => Place::At(offset);
    write iwrite write(*const c_void) () => Place::Own;
    write_shared iwrite_shared write(*const c_void) () => Place::Shared;
}

macro_rules! ordered {
    ($($name:ident $way:ident($buffer:ty);)*) => {$(
        /// The processes one after another.
        pub unsafe fn $name(
            fh: MPI_File,
            buf: $buffer,
            count: impl Integer,
            datatype: MPI_Datatype,
            status: *mut MPI_Status,
        ) -> Outcome {
            // SAFETY: the caller gives `count` elements and, perhaps, room for a status.
            on(fh, |file| unsafe { show(file.$way(Place::Ordered, &Memory::new(buf, count, datatype)?)?, status) })
        }
    )*};
}

ordered! {
    read_ordered read(*mut c_void);
    write_ordered write(*const c_void);
}

macro_rules! splits {
    ($($begin:ident $end:ident $way:ident($buffer:ty) ($($offset:ident)?) => $place:expr;)*) => {$(
        /// The first half of a split collective, which does it.
        pub unsafe fn $begin(
            fh: MPI_File,
            $($offset: MPI_Offset,)?
            buf: $buffer,
            count: impl Integer,
            datatype: MPI_Datatype,
        ) -> Outcome {
            on(fh, |file| {
                if file.state().split.is_some() {
                    return Err(Failure::new(MPI_ERR_IO, "a split collective has begun on the file already"));
                }
                // SAFETY: the caller gives `count` elements.
                let found = unsafe { file.$way($place, &Memory::new(buf, count, datatype)?)? };
                file.state().split = Some(found);
                Ok(())
            })
        }

        /// The second half.
        pub unsafe fn $end(fh: MPI_File, _buf: $buffer, status: *mut MPI_Status) -> Outcome {
            on(fh, |file| {
                let found = file.state().split.take();
                let found = found.ok_or_else(|| Failure::new(MPI_ERR_IO, "no split collective has begun on the file"))?;
                // SAFETY: the caller may give room for a status.
                unsafe { show(found, status) }
            })
        }
    )*};
}

splits! {
    read_at_all_begin read_at_all_end read(*mut c_void) (offset) => Place::At(offset);
    read_all_begin read_all_end read(*mut c_void) () => Place::Own;
    read_ordered_begin read_ordered_end read(*mut c_void) () => Place::Ordered;
    write_at_all_begin write_at_all_end write(*const c_void) (offset) => Place::At(offset);
    write_all_begin write_all_end write(*const c_void) () => Place::Own;
    write_ordered_begin write_ordered_end write(*const c_void) () => Place::Ordered;
}
