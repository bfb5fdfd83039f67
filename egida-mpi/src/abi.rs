//! What the application may ask of the binary interface (MPI 5.0, chapter 20): its version, the sizes of its types, and what Fortran's
//! types and truth values are, which are those of gfortran without options that change them.

use std::ffi::{c_int, c_void};

use crate::constants::*;
use crate::errors::{Failure, Handler, Outcome};
use crate::handle::{MPI_Aint, MPI_Count, MPI_Datatype, MPI_Info, MPI_Offset};
use crate::info::{self, Info};
use crate::status::{null, write_flag};
use crate::types;

/// The types whose sizes a Fortran compiler may choose.
const SIZES: &[(&str, MPI_Datatype)] = &[
    ("logical", MPI_LOGICAL),
    ("integer", MPI_INTEGER),
    ("real", MPI_REAL),
    ("double_precision", MPI_DOUBLE_PRECISION),
];

/// The types that a Fortran compiler may have or not.
const OPTIONAL: &[(&str, MPI_Datatype)] = &[
    ("logical1", MPI_LOGICAL1),
    ("logical2", MPI_LOGICAL2),
    ("logical4", MPI_LOGICAL4),
    ("logical8", MPI_LOGICAL8),
    ("logical16", MPI_LOGICAL16),
    ("integer1", MPI_INTEGER1),
    ("integer2", MPI_INTEGER2),
    ("integer4", MPI_INTEGER4),
    ("integer8", MPI_INTEGER8),
    ("integer16", MPI_INTEGER16),
    ("real2", MPI_REAL2),
    ("real4", MPI_REAL4),
    ("real8", MPI_REAL8),
    ("real16", MPI_REAL16),
    ("complex4", MPI_COMPLEX4),
    ("complex8", MPI_COMPLEX8),
    ("complex16", MPI_COMPLEX16),
    ("complex32", MPI_COMPLEX32),
    ("double_complex", MPI_DOUBLE_COMPLEX),
];

/// `MPI_Abi_get_version`
pub unsafe fn get_version(abi_major: *mut c_int, abi_minor: *mut c_int) -> Outcome {
    // SAFETY: the caller gives room for both.
    unsafe {
        abi_major.write(MPI_ABI_VERSION);
        abi_minor.write(MPI_ABI_SUBVERSION);
    }
    Ok(())
}

/// `MPI_Abi_get_info`
pub unsafe fn get_info(info: *mut MPI_Info) -> Outcome {
    let mut sizes = Info::default();
    sizes.set("mpi_aint_size", &size_of::<MPI_Aint>().to_string());
    sizes.set("mpi_count_size", &size_of::<MPI_Count>().to_string());
    sizes.set("mpi_offset_size", &size_of::<MPI_Offset>().to_string());
    // SAFETY: the caller gives room for a handle.
    unsafe { info::hand_out(sizes, info) };
    Ok(())
}

/// `MPI_Abi_get_fortran_info`
pub unsafe fn get_fortran_info(info: *mut MPI_Info) -> Outcome {
    let mut fortran = Info::default();
    for &(name, datatype) in SIZES {
        fortran.set(&format!("mpi_{name}_size"), &types::get(datatype)?.size().to_string());
    }
    for &(name, datatype) in OPTIONAL {
        let supported = types::get(datatype).is_ok_and(|datatype| datatype.size() > 0);
        fortran.set(&format!("mpi_{name}_supported"), &supported.to_string());
    }
    // SAFETY: the caller gives room for a handle.
    unsafe { info::hand_out(fortran, info) };
    Ok(())
}

/// `MPI_Abi_set_fortran_info`: it is set from the beginning.
pub unsafe fn set_fortran_info(_info: MPI_Info) -> Outcome {
    Err(set_already())
}

/// `MPI_Abi_get_fortran_booleans`: gfortran's, of that size.
pub unsafe fn get_fortran_booleans(
    logical_size: c_int,
    logical_true: *mut c_void,
    logical_false: *mut c_void,
    is_set: *mut c_int,
) -> Outcome {
    let size = match usize::try_from(logical_size) {
        Ok(size @ (1 | 2 | 4 | 8 | 16)) => size,
        _ => return Err(Failure::new(MPI_ERR_ARG, format!("no LOGICAL has {logical_size} bytes"))),
    };
    if logical_true.is_null() || logical_false.is_null() {
        return Err(null("a value"));
    }
    // SAFETY: the caller gives room for two values of that size, and for a flag.
    unsafe {
        logical_true.cast::<u8>().copy_from_nonoverlapping(1_u128.to_le_bytes().as_ptr(), size);
        logical_false.cast::<u8>().copy_from_nonoverlapping(0_u128.to_le_bytes().as_ptr(), size);
        write_flag(is_set, true);
    }
    Ok(())
}

/// `MPI_Abi_set_fortran_booleans`: they are set from the beginning.
pub unsafe fn set_fortran_booleans(_: c_int, _: *mut c_void, _: *mut c_void) -> Outcome {
    Err(set_already())
}

/// Fortran bindings of another make call these before `MPI_Init`, and go on where the answer is this.
fn set_already() -> Failure {
    Failure::new(MPI_ERR_ABI, "the library has Fortran bindings of its own").to(Handler::Return)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_values_have_the_size_that_is_asked_for() {
        let (mut yes, mut no, mut set) = ([7_u8; 3], [7_u8; 3], 0);
        let get = |size, yes: &mut [u8; 3], no: &mut [u8; 3], set: &mut c_int| {
            // SAFETY: there is room.
            unsafe { get_fortran_booleans(size, yes.as_mut_ptr().cast(), no.as_mut_ptr().cast(), set) }
        };
        get(2, &mut yes, &mut no, &mut set).unwrap();
        assert_eq!((yes, no, set), ([1, 0, 7], [0, 0, 7], 1));
        assert!(get(3, &mut yes, &mut no, &mut set).is_err());
    }
}
