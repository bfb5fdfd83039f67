//! Data representations of the application's own (MPI 5.0, section 14.5.3), of which the library knows the names.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, PoisonError};

use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::handle::{
    MPI_Datarep_conversion_function, MPI_Datarep_conversion_function_c, MPI_Datarep_extent_function,
};
use crate::status::null;

static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// `MPI_Register_datarep`: takes the name. A view in such a representation is refused.
pub unsafe fn register(
    datarep: *const c_char,
    _read: MPI_Datarep_conversion_function,
    _write: MPI_Datarep_conversion_function,
    _extent: MPI_Datarep_extent_function,
    _extra_state: *mut c_void,
) -> Outcome {
    // SAFETY: the caller gives a string; so in the next.
    unsafe { add(datarep) }
}

/// `MPI_Register_datarep_c`
pub unsafe fn register_large(
    datarep: *const c_char,
    _read: MPI_Datarep_conversion_function_c,
    _write: MPI_Datarep_conversion_function_c,
    _extent: MPI_Datarep_extent_function,
    _extra_state: *mut c_void,
) -> Outcome {
    // SAFETY: see above.
    unsafe { add(datarep) }
}

/// # Safety
/// `datarep` is null or a string.
unsafe fn add(datarep: *const c_char) -> Outcome {
    if datarep.is_null() {
        return Err(null("the name of the representation"));
    }
    // SAFETY: as this function's contract has it.
    let name = unsafe { CStr::from_ptr(datarep) }.to_string_lossy().into_owned();
    if name.is_empty() || name.len() >= MPI_MAX_DATAREP_STRING as usize {
        return Err(Failure::new(MPI_ERR_ARG, format!("a name of {} letters", name.len())));
    }
    let known = ["native", "internal", "external32"].contains(&name.as_str());
    if known || !NAMES.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
        return Err(Failure::new(MPI_ERR_DUP_DATAREP, format!("the representation `{name}`")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constants::MPI_ERR_DUP_DATAREP;

    #[test]
    fn a_name_is_taken_once() {
        // SAFETY: a string each.
        let class = |name: &CStr| match unsafe { add(name.as_ptr()) } {
            Ok(()) => MPI_SUCCESS,
            Err(Failure::Raised(raised)) => raised.class,
            Err(Failure::Fatal(fault)) => panic!("{fault}"),
        };
        assert_eq!(
            [class(c"mine"), class(c"mine"), class(c"external32")],
            [MPI_SUCCESS, MPI_ERR_DUP_DATAREP, MPI_ERR_DUP_DATAREP]
        );
        assert_eq!(class(c""), MPI_ERR_ARG);
    }
}
