//! Functions of MPI-1 that MPI-3.0 removed, and that Fortran programs still call. Their addresses and extents are INTEGERs:
//! what does not fit is an error, never a number cut short.

use std::ffi::{c_int, c_void};

use super::convert::{Handles, answer, handle, store};
use super::sentinel::in_c;
use super::{c, symbols};
use crate::constants::{MPI_ERR_ARG, MPI_SUCCESS};
use crate::entry;
use crate::errors::Failure;
use crate::handle::{MPI_Comm, MPI_Datatype, MPI_Errhandler};

/// Writes an address or extent where it fits, and returns the error code.
unsafe fn write(name: &'static str, to: *mut c_int, wide: isize) -> c_int {
    entry::call(name, || {
        let narrow = c_int::try_from(wide).map_err(|_| {
            Failure::new(MPI_ERR_ARG, format!("{wide} does not fit an INTEGER; call the function of MPI-2"))
        })?;
        // SAFETY: the caller gives room for an integer.
        unsafe { to.write(narrow) };
        Ok(())
    })
}

/// Lower bound and extent of a datatype.
unsafe fn bounds(datatype: *const c_int) -> (c_int, isize, isize) {
    let (mut lower, mut extent) = (0, 0);
    // SAFETY: the caller points to a handle.
    let error = unsafe { c::PMPI_Type_get_extent(handle(datatype), &raw mut lower, &raw mut extent) };
    (error, lower, extent)
}

/// Displacements as C has them.
unsafe fn displacements(from: *const c_int, count: c_int) -> Vec<isize> {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller points to so many integers.
    (0..count).map(|at| unsafe { *from.add(at) } as isize).collect()
}

symbols! {
    /// `MPI_ADDRESS(LOCATION, ADDRESS, IERROR)`
    mpi_address_ pmpi_address_(location: *const c_void, address: *mut c_int, ierror: *mut c_int) {
        let mut wide = 0;
        let mut error = c::PMPI_Get_address(in_c(location), &raw mut wide);
        if error == MPI_SUCCESS {
            error = write("MPI_Address", address, wide);
        }
        answer(ierror, error);
    }

    /// `MPI_TYPE_EXTENT(DATATYPE, EXTENT, IERROR)`
    mpi_type_extent_ pmpi_type_extent_(datatype: *const c_int, extent: *mut c_int, ierror: *mut c_int) {
        let (mut error, _, wide) = bounds(datatype);
        if error == MPI_SUCCESS {
            error = write("MPI_Type_extent", extent, wide);
        }
        answer(ierror, error);
    }

    /// `MPI_TYPE_LB(DATATYPE, DISPLACEMENT, IERROR)`
    mpi_type_lb_ pmpi_type_lb_(datatype: *const c_int, displacement: *mut c_int, ierror: *mut c_int) {
        let (mut error, lower, _) = bounds(datatype);
        if error == MPI_SUCCESS {
            error = write("MPI_Type_lb", displacement, lower);
        }
        answer(ierror, error);
    }

    /// `MPI_TYPE_UB(DATATYPE, DISPLACEMENT, IERROR)`
    mpi_type_ub_ pmpi_type_ub_(datatype: *const c_int, displacement: *mut c_int, ierror: *mut c_int) {
        let (mut error, lower, extent) = bounds(datatype);
        if error == MPI_SUCCESS {
            error = write("MPI_Type_ub", displacement, lower + extent);
        }
        answer(ierror, error);
    }

    /// `MPI_TYPE_HVECTOR(COUNT, BLOCKLENGTH, STRIDE, OLDTYPE, NEWTYPE, IERROR)`
    mpi_type_hvector_ pmpi_type_hvector_(
        count: *const c_int,
        blocklength: *const c_int,
        stride: *const c_int,
        oldtype: *const c_int,
        newtype: *mut c_int,
        ierror: *mut c_int,
    ) {
        let mut new: MPI_Datatype = handle(newtype);
        let stride = *stride as isize;
        let error = c::PMPI_Type_create_hvector(*count, *blocklength, stride, handle(oldtype), &raw mut new);
        store(newtype, new);
        answer(ierror, error);
    }

    /// `MPI_TYPE_HINDEXED(COUNT, ARRAY_OF_BLOCKLENGTHS, ARRAY_OF_DISPLACEMENTS, OLDTYPE, NEWTYPE, IERROR)`
    mpi_type_hindexed_ pmpi_type_hindexed_(
        count: *const c_int,
        blocklengths: *const c_int,
        displs: *const c_int,
        oldtype: *const c_int,
        newtype: *mut c_int,
        ierror: *mut c_int,
    ) {
        let mut new: MPI_Datatype = handle(newtype);
        let displs = displacements(displs, *count);
        let old = handle(oldtype);
        let error = c::PMPI_Type_create_hindexed(*count, blocklengths, displs.as_ptr(), old, &raw mut new);
        store(newtype, new);
        answer(ierror, error);
    }

    /// `MPI_TYPE_STRUCT(COUNT, ARRAY_OF_BLOCKLENGTHS, ARRAY_OF_DISPLACEMENTS, ARRAY_OF_TYPES, NEWTYPE, IERROR)`
    mpi_type_struct_ pmpi_type_struct_(
        count: *const c_int,
        blocklengths: *const c_int,
        displs: *const c_int,
        types: *const c_int,
        newtype: *mut c_int,
        ierror: *mut c_int,
    ) {
        let mut new: MPI_Datatype = handle(newtype);
        let displs = displacements(displs, *count);
        let mut types: Handles<MPI_Datatype> = Handles::new(types, *count);
        let types = types.as_mut_ptr();
        let error = c::PMPI_Type_create_struct(*count, blocklengths, displs.as_ptr(), types, &raw mut new);
        store(newtype, new);
        answer(ierror, error);
    }

    /// `MPI_ERRHANDLER_CREATE(FUNCTION, ERRHANDLER, IERROR)`
    mpi_errhandler_create_ pmpi_errhandler_create_(
        function: *const c_void,
        errhandler: *mut c_int,
        ierror: *mut c_int,
    ) {
        let mut new: MPI_Errhandler = handle(errhandler);
        let error = c::PMPI_Comm_create_errhandler(function, &raw mut new);
        store(errhandler, new);
        answer(ierror, error);
    }

    /// `MPI_ERRHANDLER_SET(COMM, ERRHANDLER, IERROR)`
    mpi_errhandler_set_ pmpi_errhandler_set_(
        comm: *const c_int,
        errhandler: *const c_int,
        ierror: *mut c_int,
    ) {
        answer(ierror, c::PMPI_Comm_set_errhandler(handle::<MPI_Comm>(comm), handle(errhandler)));
    }

    /// `MPI_ERRHANDLER_GET(COMM, ERRHANDLER, IERROR)`
    mpi_errhandler_get_ pmpi_errhandler_get_(
        comm: *const c_int,
        errhandler: *mut c_int,
        ierror: *mut c_int,
    ) {
        let mut got: MPI_Errhandler = handle(errhandler);
        let error = c::PMPI_Comm_get_errhandler(handle::<MPI_Comm>(comm), &raw mut got);
        store(errhandler, got);
        answer(ierror, error);
    }
}
