//! The Fortran bindings: for each `MPI_X` the symbols `mpi_x_` and `pmpi_x_`, as gfortran names external procedures.
//!
//! ```text
//!   call MPI_Send(...)      mpif.h, use mpi, use mpi_f08: all three mean the same symbol
//!         │
//!     mpi_send_             written from abi/functions.csv; every argument is an address, the error code is the last
//!         │                 parameter, and the lengths of texts come behind it
//!     PMPI_Send             the C function, and with it entry.rs: what is true of C calls is true of these
//! ```
//!
//! Handles are the same numbers in both languages ([`crate::handle`]), a status is the same eight integers, and a LOGICAL
//! of gfortran is 0 or 1 as C's truth values are. `ierror` may be a null pointer: it is optional in `mpi_f08`.
//!
//! **Reductions and error handlers of the program** are handed to C as they are: C calls them with pointers to handles,
//! and of a handle in memory the first four bytes are the Fortran INTEGER. That holds on little-endian machines alone.

#[cfg(not(target_endian = "little"))]
compile_error!("callbacks are given pointers to handles, whose lower half must come first");

mod attribute;
mod convert;
mod differing;
mod f08;
mod info;
mod removed;
mod request;
mod sentinel;

/// Defines a symbol under both of its names.
macro_rules! symbols {
    ($($(#[$note:meta])* $name:ident $profiled:ident ($($parameter:ident: $kind:ty),* $(,)?) $body:block)*) => {$(
        $(#[$note])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($parameter: $kind),*) {
            // SAFETY: the caller keeps what the standard asks of a Fortran caller of that name.
            unsafe { $body }
        }

        /// The same under its other name.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $profiled($($parameter: $kind),*) {
            // SAFETY: as above.
            unsafe { $name($($parameter),*) }
        }
    )*};
}
use symbols;

/// The symbols that are written from the table.
#[allow(missing_docs, non_snake_case, unused_mut, clippy::missing_safety_doc, clippy::too_many_arguments)]
mod written {
    use std::ffi::{c_char, c_int, c_void};

    use super::convert::{
        Handles, Room, Text, answer, completed, count_from_one, handle, neighbors, peers, store,
    };
    use super::sentinel::{in_c, in_c_mut, is_in_place};
    use crate::constants::MPI_SUCCESS;
    use crate::handle::*;

    include!(concat!(env!("OUT_DIR"), "/fortran.rs"));
}
use written::c;
