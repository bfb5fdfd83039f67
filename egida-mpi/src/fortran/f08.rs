//! What Fortran alone has: sizes of its types, statuses and handles as derived types.

use std::ffi::{c_int, c_void};

use super::convert::answer;
use super::symbols;
use crate::constants::MPI_SUCCESS;
use crate::handle::MPI_Status;

symbols! {
    /// `MPI_STATUS_F2F08(F_STATUS, F08_STATUS, IERROR)`: both are the same integers.
    mpi_status_f2f08_ pmpi_status_f2f08_(from: *const MPI_Status, to: *mut MPI_Status, ierror: *mut c_int) {
        to.write(*from);
        answer(ierror, MPI_SUCCESS);
    }

    /// `MPI_STATUS_F082F(F08_STATUS, F_STATUS, IERROR)`
    mpi_status_f082f_ pmpi_status_f082f_(from: *const MPI_Status, to: *mut MPI_Status, ierror: *mut c_int) {
        to.write(*from);
        answer(ierror, MPI_SUCCESS);
    }
}

/// `MPI_F_SYNC_REG(BUF)`: the compiler must expect that the buffer has changed, since it was handed over.
#[unsafe(no_mangle)]
pub extern "C" fn mpi_f_sync_reg_(_buffer: *mut c_void) {}

/// The same under its other name.
#[unsafe(no_mangle)]
pub extern "C" fn pmpi_f_sync_reg_(_buffer: *mut c_void) {}

/// The comparisons of handles behind the operators `==` and `/=` of the module `mpi_f08`.
macro_rules! comparisons {
    ($($equal:ident $unequal:ident)*) => {$(
        /// `==`
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $equal(left: *const c_int, right: *const c_int) -> c_int {
            // SAFETY: the caller points to two handles.
            unsafe { c_int::from(*left == *right) }
        }

        /// `/=`
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $unequal(left: *const c_int, right: *const c_int) -> c_int {
            // SAFETY: see above.
            unsafe { c_int::from(*left != *right) }
        }
    )*};
}

comparisons! {
    mpi_comm_eq_ mpi_comm_ne_
    mpi_datatype_eq_ mpi_datatype_ne_
    mpi_errhandler_eq_ mpi_errhandler_ne_
    mpi_file_eq_ mpi_file_ne_
    mpi_group_eq_ mpi_group_ne_
    mpi_info_eq_ mpi_info_ne_
    mpi_message_eq_ mpi_message_ne_
    mpi_op_eq_ mpi_op_ne_
    mpi_request_eq_ mpi_request_ne_
    mpi_session_eq_ mpi_session_ne_
    mpi_win_eq_ mpi_win_ne_
}

symbols! {
    /// `MPI_SIZEOF(X, SIZE, IERROR)` for texts, which have a length of their own.
    mpi_sizeof_character_ pmpi_sizeof_character_(
        _x: *const c_void,
        size: *mut c_int,
        ierror: *mut c_int,
        x_len: usize,
    ) {
        size.write(c_int::try_from(x_len).unwrap_or(c_int::MAX));
        answer(ierror, MPI_SUCCESS);
    }
}

/// `MPI_SIZEOF(X, SIZE, IERROR)` for each other type.
macro_rules! sizes {
    ($($name:ident $profiled:ident $size:literal)*) => {
        symbols! {$(
            /// Of that type.
            $name $profiled(_x: *const c_void, size: *mut c_int, ierror: *mut c_int) {
                size.write($size);
                answer(ierror, MPI_SUCCESS);
            }
        )*}
    };
}

sizes! {
    mpi_sizeof_logical1_ pmpi_sizeof_logical1_ 1
    mpi_sizeof_logical2_ pmpi_sizeof_logical2_ 2
    mpi_sizeof_logical4_ pmpi_sizeof_logical4_ 4
    mpi_sizeof_logical8_ pmpi_sizeof_logical8_ 8
    mpi_sizeof_logical16_ pmpi_sizeof_logical16_ 16
    mpi_sizeof_integer1_ pmpi_sizeof_integer1_ 1
    mpi_sizeof_integer2_ pmpi_sizeof_integer2_ 2
    mpi_sizeof_integer4_ pmpi_sizeof_integer4_ 4
    mpi_sizeof_integer8_ pmpi_sizeof_integer8_ 8
    mpi_sizeof_integer16_ pmpi_sizeof_integer16_ 16
    mpi_sizeof_real4_ pmpi_sizeof_real4_ 4
    mpi_sizeof_real8_ pmpi_sizeof_real8_ 8
    mpi_sizeof_real16_ pmpi_sizeof_real16_ 16
    mpi_sizeof_complex4_ pmpi_sizeof_complex4_ 8
    mpi_sizeof_complex8_ pmpi_sizeof_complex8_ 16
    mpi_sizeof_complex16_ pmpi_sizeof_complex16_ 32
}
