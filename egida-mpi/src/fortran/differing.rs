//! Symbols whose parameters differ between the languages: start, profiling, hints from the command line, buffers.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use super::convert::{answer, handle, store};
use super::{c, symbols};
use crate::handle::{MPI_Comm, MPI_Info, MPI_Session};

symbols! {
    /// `MPI_INIT(IERROR)`: a Fortran program has no arguments to hand over.
    mpi_init_ pmpi_init_(ierror: *mut c_int) {
        answer(ierror, c::PMPI_Init(null_mut(), null_mut()));
    }

    /// `MPI_INIT_THREAD(REQUIRED, PROVIDED, IERROR)`
    mpi_init_thread_ pmpi_init_thread_(required: *const c_int, provided: *mut c_int, ierror: *mut c_int) {
        answer(ierror, c::PMPI_Init_thread(null_mut(), null_mut(), *required, provided));
    }

    /// `MPI_INFO_CREATE_ENV(INFO, IERROR)`
    mpi_info_create_env_ pmpi_info_create_env_(info: *mut c_int, ierror: *mut c_int) {
        let mut info_in_c: MPI_Info = handle(info);
        let error = c::PMPI_Info_create_env(0, null_mut(), &raw mut info_in_c);
        store(info, info_in_c);
        answer(ierror, error);
    }

    /// `MPI_PCONTROL(LEVEL)`: without an error code.
    mpi_pcontrol_ pmpi_pcontrol_(level: *const c_int) {
        c::PMPI_Pcontrol(*level);
    }

    /// `MPI_BUFFER_DETACH(BUFFER_ADDR, SIZE, IERROR)`: in `mpif.h` and the module `mpi` the address is left out, since a
    /// program has no variable to take it (MPI 5.0, section 3.6).
    mpi_buffer_detach_ pmpi_buffer_detach_(_buffer: *mut c_void, size: *mut c_int, ierror: *mut c_int) {
        let mut buffer: *mut c_void = null_mut();
        answer(ierror, c::PMPI_Buffer_detach((&raw mut buffer).cast(), size));
    }

    /// The same in `mpi_f08`, where the address is a `TYPE(C_PTR)`.
    mpi_buffer_detach_f08_ pmpi_buffer_detach_f08_(
        buffer: *mut c_void,
        size: *mut c_int,
        ierror: *mut c_int,
    ) {
        answer(ierror, c::PMPI_Buffer_detach(buffer, size));
    }

    /// The same with a large size.
    mpi_buffer_detach_c_ pmpi_buffer_detach_c_(buffer: *mut c_void, size: *mut i64, ierror: *mut c_int) {
        answer(ierror, c::PMPI_Buffer_detach_c(buffer, size));
    }

    /// `MPI_COMM_DETACH_BUFFER(COMM, BUFFER_ADDR, SIZE, IERROR)`
    mpi_comm_detach_buffer_ pmpi_comm_detach_buffer_(
        comm: *const c_int,
        buffer: *mut c_void,
        size: *mut c_int,
        ierror: *mut c_int,
    ) {
        answer(ierror, c::PMPI_Comm_detach_buffer(handle::<MPI_Comm>(comm), buffer, size));
    }

    /// The same with a large size.
    mpi_comm_detach_buffer_c_ pmpi_comm_detach_buffer_c_(
        comm: *const c_int,
        buffer: *mut c_void,
        size: *mut i64,
        ierror: *mut c_int,
    ) {
        answer(ierror, c::PMPI_Comm_detach_buffer_c(handle::<MPI_Comm>(comm), buffer, size));
    }

    /// `MPI_SESSION_DETACH_BUFFER(SESSION, BUFFER_ADDR, SIZE, IERROR)`
    mpi_session_detach_buffer_ pmpi_session_detach_buffer_(
        session: *const c_int,
        buffer: *mut c_void,
        size: *mut c_int,
        ierror: *mut c_int,
    ) {
        answer(ierror, c::PMPI_Session_detach_buffer(handle::<MPI_Session>(session), buffer, size));
    }

    /// The same with a large size.
    mpi_session_detach_buffer_c_ pmpi_session_detach_buffer_c_(
        session: *const c_int,
        buffer: *mut c_void,
        size: *mut i64,
        ierror: *mut c_int,
    ) {
        answer(ierror, c::PMPI_Session_detach_buffer_c(handle::<MPI_Session>(session), buffer, size));
    }
}
