//! What a datatype tells of itself, and what the application keeps with it (MPI 5.0, sections 5.1.13, 7.7 and 7.8).
#![allow(clippy::too_many_arguments)] // the standard's

use std::ffi::{CStr, c_char, c_int, c_void};

use super::{get, hand_out_same, lock, write};
use crate::attribute::{self, Holder};
use crate::constants::*;
use crate::datatype::{Datatype, Origin};
use crate::errors::{Failure, Outcome};
use crate::handle::{Integer, MPI_Aint, MPI_Count, MPI_Datatype};
use crate::status::{null, write_string};

/// `MPI_Type_get_name`: none for a derived type that was given none.
pub unsafe fn get_name(datatype: MPI_Datatype, name: *mut c_char, len: *mut c_int) -> Outcome {
    if datatype == MPI_DATATYPE_NULL {
        // SAFETY: as below.
        unsafe { write_string("MPI_DATATYPE_NULL", MPI_MAX_OBJECT_NAME, name, len) };
        return Ok(());
    }
    let text = get(datatype)?.name();
    // SAFETY: the caller gives room for MPI_MAX_OBJECT_NAME letters and for the length.
    unsafe { write_string(&text, MPI_MAX_OBJECT_NAME, name, len) };
    Ok(())
}

/// `MPI_Type_set_name`
pub unsafe fn set_name(datatype: MPI_Datatype, name: *const c_char) -> Outcome {
    if name.is_null() {
        return Err(null("the name"));
    }
    // SAFETY: the caller gives a string.
    get(datatype)?.set_name(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned());
    Ok(())
}

/// `MPI_Type_get_attr`
pub unsafe fn get_attr(
    datatype: MPI_Datatype,
    keyval: c_int,
    attribute_val: *mut c_void,
    flag: *mut c_int,
) -> Outcome {
    let value = get(datatype)?.attribute(keyval)?;
    // SAFETY: the caller gives room for a pointer and for a flag.
    unsafe { attribute::write(value, attribute_val, flag) };
    Ok(())
}

/// `MPI_Type_set_attr`
pub unsafe fn set_attr(datatype: MPI_Datatype, keyval: c_int, attribute_val: *mut c_void) -> Outcome {
    get(datatype)?.set_attribute(keyval, attribute_val as usize)
}

/// `MPI_Type_delete_attr`
pub unsafe fn delete_attr(datatype: MPI_Datatype, keyval: c_int) -> Outcome {
    get(datatype)?.delete_attribute(keyval)
}

/// Made by the small forms of the constructors, as the small forms of the queries can tell.
fn small(datatype: &Datatype) -> Outcome<Option<&Origin>> {
    match datatype.origin() {
        Some(origin) if !origin.large_counts.is_empty() => {
            Err(Failure::new(MPI_ERR_TYPE, "the datatype was made with large counts"))
        }
        origin => Ok(origin),
    }
}

/// `MPI_Type_get_envelope`
pub unsafe fn get_envelope(
    datatype: MPI_Datatype,
    num_integers: *mut c_int,
    num_addresses: *mut c_int,
    num_datatypes: *mut c_int,
    combiner: *mut c_int,
) -> Outcome {
    let datatype = get(datatype)?;
    small(&datatype)?;
    let mut large = 0;
    // SAFETY: the caller gives room for all.
    unsafe { envelope(&datatype, num_integers, num_addresses, &raw mut large, num_datatypes, combiner) }
}

/// `MPI_Type_get_envelope_c`
pub unsafe fn get_envelope_large(
    datatype: MPI_Datatype,
    num_integers: *mut MPI_Count,
    num_addresses: *mut MPI_Count,
    num_large_counts: *mut MPI_Count,
    num_datatypes: *mut MPI_Count,
    combiner: *mut c_int,
) -> Outcome {
    // SAFETY: see above.
    unsafe {
        envelope(&get(datatype)?, num_integers, num_addresses, num_large_counts, num_datatypes, combiner)
    }
}

unsafe fn envelope<N: Integer, L: Integer>(
    datatype: &Datatype,
    integers: *mut N,
    addresses: *mut N,
    large_counts: *mut L,
    datatypes: *mut N,
    combiner: *mut c_int,
) -> Outcome {
    let named = Origin::new(MPI_COMBINER_NAMED);
    let origin = datatype.origin().unwrap_or(&named);
    // SAFETY: the caller gives room for all.
    unsafe {
        write(integers, origin.integers.len() as i64)?;
        write(addresses, origin.addresses.len() as i64)?;
        write(large_counts, origin.large_counts.len() as i64)?;
        write(datatypes, origin.datatypes.len() as i64)?;
        write(combiner, i64::from(origin.combiner))
    }
}

/// `MPI_Type_get_contents`
pub unsafe fn get_contents(
    datatype: MPI_Datatype,
    max_integers: c_int,
    max_addresses: c_int,
    max_datatypes: c_int,
    integers: *mut c_int,
    addresses: *mut MPI_Aint,
    datatypes: *mut MPI_Datatype,
) -> Outcome {
    let datatype = get(datatype)?;
    small(&datatype)?;
    let room = [max_integers.wide(), max_addresses.wide(), 0, max_datatypes.wide()];
    // SAFETY: the caller gives so much room.
    unsafe { contents(&datatype, room, integers, addresses, std::ptr::null_mut(), datatypes) }
}

/// `MPI_Type_get_contents_c`
pub unsafe fn get_contents_large(
    datatype: MPI_Datatype,
    max_integers: MPI_Count,
    max_addresses: MPI_Count,
    max_large_counts: MPI_Count,
    max_datatypes: MPI_Count,
    integers: *mut c_int,
    addresses: *mut MPI_Aint,
    large_counts: *mut MPI_Count,
    datatypes: *mut MPI_Datatype,
) -> Outcome {
    let room = [max_integers, max_addresses, max_large_counts, max_datatypes];
    // SAFETY: see above.
    unsafe { contents(&get(datatype)?, room, integers, addresses, large_counts, datatypes) }
}

unsafe fn contents(
    datatype: &Datatype,
    room: [i64; 4],
    integers: *mut c_int,
    addresses: *mut MPI_Aint,
    large_counts: *mut MPI_Count,
    datatypes: *mut MPI_Datatype,
) -> Outcome {
    let origin = datatype.origin();
    let origin =
        origin.ok_or_else(|| Failure::new(MPI_ERR_TYPE, "a predefined datatype was made of nothing"))?;
    let lens =
        [origin.integers.len(), origin.addresses.len(), origin.large_counts.len(), origin.datatypes.len()];
    if lens.iter().zip(room).any(|(&len, room)| room < len as i64) {
        return Err(Failure::new(MPI_ERR_ARG, "the arrays are too small"));
    }
    // SAFETY: the caller gives so much room.
    unsafe {
        for (at, &value) in origin.integers.iter().enumerate() {
            integers.add(at).write(value as c_int);
        }
        for (at, &value) in origin.addresses.iter().enumerate() {
            addresses.add(at).write(value as MPI_Aint);
        }
        for (at, &value) in origin.large_counts.iter().enumerate() {
            large_counts.add(at).write(value);
        }
        for (at, part) in origin.datatypes.iter().enumerate() {
            hand_out_same(part, datatypes.add(at))?;
        }
    }
    Ok(())
}

/// `MPI_Type_match_size`
pub unsafe fn match_size(typeclass: c_int, size: c_int, datatype: *mut MPI_Datatype) -> Outcome {
    let found = match (typeclass, size) {
        (MPI_TYPECLASS_REAL, 2) => MPI_REAL2,
        (MPI_TYPECLASS_REAL, 4) => MPI_REAL4,
        (MPI_TYPECLASS_REAL, 8) => MPI_REAL8,
        (MPI_TYPECLASS_REAL, 16) => MPI_REAL16,
        (MPI_TYPECLASS_INTEGER, 1) => MPI_INTEGER1,
        (MPI_TYPECLASS_INTEGER, 2) => MPI_INTEGER2,
        (MPI_TYPECLASS_INTEGER, 4) => MPI_INTEGER4,
        (MPI_TYPECLASS_INTEGER, 8) => MPI_INTEGER8,
        (MPI_TYPECLASS_INTEGER, 16) => MPI_INTEGER16,
        (MPI_TYPECLASS_COMPLEX, 4) => MPI_COMPLEX4,
        (MPI_TYPECLASS_COMPLEX, 8) => MPI_COMPLEX8,
        (MPI_TYPECLASS_COMPLEX, 16) => MPI_COMPLEX16,
        (MPI_TYPECLASS_COMPLEX, 32) => MPI_COMPLEX32,
        (MPIX_TYPECLASS_LOGICAL, 1) => MPI_LOGICAL1,
        (MPIX_TYPECLASS_LOGICAL, 2) => MPI_LOGICAL2,
        (MPIX_TYPECLASS_LOGICAL, 4) => MPI_LOGICAL4,
        (MPIX_TYPECLASS_LOGICAL, 8) => MPI_LOGICAL8,
        (MPIX_TYPECLASS_LOGICAL, 16) => MPI_LOGICAL16,
        _ => return Err(Failure::new(MPI_ERR_ARG, format!("no type of class {typeclass} has {size} bytes"))),
    };
    // SAFETY: the caller gives room for a handle.
    unsafe { datatype.write(found) };
    Ok(())
}

/// `MPI_Type_get_value_index`
pub unsafe fn get_value_index(
    value_type: MPI_Datatype,
    index_type: MPI_Datatype,
    pair_type: *mut MPI_Datatype,
) -> Outcome {
    let found = match (value_type, index_type) {
        (MPI_FLOAT, MPI_INT) => MPI_FLOAT_INT,
        (MPI_DOUBLE, MPI_INT) => MPI_DOUBLE_INT,
        (MPI_LONG, MPI_INT) => MPI_LONG_INT,
        (MPI_INT, MPI_INT) => MPI_2INT,
        (MPI_SHORT, MPI_INT) => MPI_SHORT_INT,
        (MPI_LONG_DOUBLE, MPI_INT) => MPI_LONG_DOUBLE_INT,
        (MPI_REAL, MPI_REAL) => MPI_2REAL,
        (MPI_DOUBLE_PRECISION, MPI_DOUBLE_PRECISION) => MPI_2DOUBLE_PRECISION,
        (MPI_INTEGER, MPI_INTEGER) => MPI_2INTEGER,
        _ => {
            get(value_type)?;
            get(index_type)?;
            MPI_DATATYPE_NULL
        }
    };
    // SAFETY: the caller gives room for a handle.
    unsafe { pair_type.write(found) };
    Ok(())
}

/// A type of a Fortran kind: a predefined one without a name, the same each time.
unsafe fn of_kind(
    combiner: c_int,
    asked: &[c_int],
    like: Option<MPI_Datatype>,
    newtype: *mut MPI_Datatype,
) -> Outcome {
    let like = like.ok_or_else(|| Failure::new(MPI_ERR_ARG, format!("there is no kind for {asked:?}")))?;
    let like = get(like)?;
    let handle = lock().of_kind(combiner, asked, || {
        let origin = Origin::new(combiner).integers(asked.iter().map(|&asked| i64::from(asked)));
        like.duplicate().made_by(origin)
    });
    // SAFETY: the caller gives room for a handle.
    unsafe { newtype.write(MPI_Datatype(handle)) };
    Ok(())
}

/// `MPI_Type_create_f90_integer`
pub unsafe fn create_f90_integer(r: c_int, newtype: *mut MPI_Datatype) -> Outcome {
    let like = match r {
        ..=2 => Some(MPI_INTEGER1),
        3..=4 => Some(MPI_INTEGER2),
        5..=9 => Some(MPI_INTEGER4),
        10..=18 => Some(MPI_INTEGER8),
        19..=38 => Some(MPI_INTEGER16),
        _ => None,
    };
    // SAFETY: the caller gives room for a handle; so in the next two.
    unsafe { of_kind(MPI_COMBINER_F90_INTEGER, &[r], like, newtype) }
}

/// The first of the kinds with decimal precision and range that has what is asked for, as gfortran chooses.
fn real_kind<T: Copy>(p: c_int, r: c_int, kinds: [T; 4]) -> Option<T> {
    const HAVE: [(c_int, c_int); 4] = [(6, 37), (15, 307), (18, 4931), (33, 4931)];
    let enough = |asked: c_int, has: c_int| asked == MPI_UNDEFINED || asked <= has;
    let at = HAVE.iter().position(|&(precision, range)| enough(p, precision) && enough(r, range))?;
    Some(kinds[at])
}

/// `MPI_Type_create_f90_real`
pub unsafe fn create_f90_real(p: c_int, r: c_int, newtype: *mut MPI_Datatype) -> Outcome {
    let like = real_kind(p, r, [MPI_REAL4, MPI_REAL8, MPI_LONG_DOUBLE, MPI_REAL16]);
    // SAFETY: see above.
    unsafe { of_kind(MPI_COMBINER_F90_REAL, &[p, r], like, newtype) }
}

/// `MPI_Type_create_f90_complex`
pub unsafe fn create_f90_complex(p: c_int, r: c_int, newtype: *mut MPI_Datatype) -> Outcome {
    let like = real_kind(p, r, [MPI_COMPLEX8, MPI_COMPLEX16, MPI_C_LONG_DOUBLE_COMPLEX, MPI_COMPLEX32]);
    // SAFETY: see above.
    unsafe { of_kind(MPI_COMBINER_F90_COMPLEX, &[p, r], like, newtype) }
}
