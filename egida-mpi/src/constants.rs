//! The constants of the ABI, under the standard's names.
#![allow(dead_code)] // the table has more of them than this library needs

use std::ffi::c_int;

use crate::handle::*;

include!(concat!(env!("OUT_DIR"), "/constants.rs"));

/// The combiners of datatypes of Fortran kinds.
pub const FORTRAN_KINDS: [c_int; 3] =
    [MPI_COMBINER_F90_REAL, MPI_COMBINER_F90_COMPLEX, MPI_COMBINER_F90_INTEGER];
