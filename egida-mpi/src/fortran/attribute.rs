//! Attributes (MPI 5.0, sections 7.7 and 19.3.7).
//!
//! C's attributes are addresses, Fortran's are integers: of the width of an address, and in the older functions of an
//! INTEGER. A value that Fortran sets is put into a *cell*, whose address is C's attribute: so C finds it where the standard
//! says, behind the pointer. What is not a cell was set by C, and its address is the value.
//!
//! The functions of a key are called by C with values and expect references; a trampoline stands between, which finds them
//! in C's extra state.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

use super::convert::{answer, handle};
use super::{c, symbols};
use crate::constants::*;
use crate::handle::{Handle, MPI_Comm, MPI_Datatype, MPI_Win, toint};

/// The cells that live. A tree: a hash table would ask the system for a seed.
static CELLS: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

fn cells() -> std::sync::MutexGuard<'static, BTreeSet<usize>> {
    CELLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a value into a cell of its own.
fn new_cell(value: i64) -> *mut c_void {
    let cell = Box::into_raw(Box::new(value));
    cells().insert(cell.addr());
    cell.cast()
}

/// Ends the cell, if the attribute is one.
fn drop_cell(attribute: *mut c_void) {
    if cells().remove(&attribute.addr()) {
        // SAFETY: it came from a box, and nothing else drops it.
        drop(unsafe { Box::from_raw(attribute.cast::<i64>()) });
    }
}

/// What C's attribute is in Fortran.
fn value(attribute: *mut c_void) -> i64 {
    if cells().contains(&attribute.addr()) {
        // SAFETY: a cell that lives holds a value.
        unsafe { *attribute.cast::<i64>() }
    } else {
        attribute.addr() as i64
    }
}

/// The value of an attribute, of which C was given `attribute`; those of the standard's own keys are behind a pointer.
///
/// # Safety
/// `attribute` is the attribute of that key.
unsafe fn value_of_key(keyval: c_int, attribute: *mut c_void) -> i64 {
    match keyval {
        // SAFETY: these are pointers to integers, and to an address.
        MPI_TAG_UB..=MPI_UNIVERSE_SIZE | MPI_WIN_DISP_UNIT | MPI_WIN_CREATE_FLAVOR | MPI_WIN_MODEL => unsafe {
            i64::from(*attribute.cast::<c_int>())
        },
        // SAFETY: see above.
        MPI_WIN_SIZE => unsafe { *attribute.cast::<i64>() },
        _ => value(attribute),
    }
}

/// An integer that Fortran has attributes and extra states in.
trait Width: Copy {
    fn wide(self) -> i64;
    /// A wide value is cut for an INTEGER, as the standard has it.
    fn cut(value: i64) -> Self;
}

impl Width for c_int {
    fn wide(self) -> i64 {
        i64::from(self)
    }
    fn cut(value: i64) -> Self {
        value as c_int
    }
}

impl Width for i64 {
    fn wide(self) -> i64 {
        self
    }
    fn cut(value: i64) -> Self {
        value
    }
}

type Copy_<W> = unsafe extern "C" fn(
    old: *const c_int,
    keyval: *const c_int,
    extra_state: *mut W,
    value_in: *const W,
    value_out: *mut W,
    flag: *mut c_int,
    ierror: *mut c_int,
);
type Delete<W> = unsafe extern "C" fn(
    object: *const c_int,
    keyval: *const c_int,
    value: *const W,
    extra_state: *mut W,
    ierror: *mut c_int,
);

/// The functions of a key. It lives as long as the process: attributes may outlive their key, and nobody tells when the
/// last has gone.
struct Key<W> {
    copy: Copy_<W>,
    delete: Delete<W>,
    extra_state: W,
}

impl<W: Width> Key<W> {
    /// Makes a key, which is the extra state for C.
    ///
    /// # Safety
    /// The addresses are those of functions with the parameters that the standard asks for.
    unsafe fn leak(copy: *const c_void, delete: *const c_void, extra_state: *const W) -> *mut c_void {
        // SAFETY: as this function's contract has it; a Fortran procedure is called as C's are.
        let key = unsafe {
            Self {
                copy: std::mem::transmute::<*const c_void, Copy_<W>>(copy),
                delete: std::mem::transmute::<*const c_void, Delete<W>>(delete),
                extra_state: *extra_state,
            }
        };
        Box::into_raw(Box::new(key)).cast()
    }
}

/// C's copy function of a Fortran key.
unsafe extern "C" fn copy<H: Handle, W: Width>(
    old: H,
    keyval: c_int,
    extra_state: *mut c_void,
    attribute_in: *mut c_void,
    attribute_out: *mut c_void,
    flag: *mut c_int,
) -> c_int {
    let (old, value_in) = (toint(old), W::cut(value(attribute_in)));
    let (mut value_out, mut error) = (W::cut(0), MPI_SUCCESS);
    // SAFETY: the extra state is the key of these functions, and the library gives room for an attribute and a flag.
    unsafe {
        let key = &mut *extra_state.cast::<Key<W>>();
        let extra_state = &raw mut key.extra_state;
        (key.copy)(
            &raw const old,
            &raw const keyval,
            extra_state,
            &raw const value_in,
            &raw mut value_out,
            flag,
            &raw mut error,
        );
        if error == MPI_SUCCESS && *flag != 0 {
            attribute_out.cast::<*mut c_void>().write(new_cell(value_out.wide()));
        }
    }
    error
}

/// C's delete function of a Fortran key.
unsafe extern "C" fn delete<H: Handle, W: Width>(
    object: H,
    keyval: c_int,
    attribute: *mut c_void,
    extra_state: *mut c_void,
) -> c_int {
    let (object, value) = (toint(object), W::cut(value(attribute)));
    let mut error = MPI_SUCCESS;
    // SAFETY: the extra state is the key of these functions.
    unsafe {
        let key = &mut *extra_state.cast::<Key<W>>();
        let extra_state = &raw mut key.extra_state;
        (key.delete)(&raw const object, &raw const keyval, &raw const value, extra_state, &raw mut error);
    }
    if error == MPI_SUCCESS {
        drop_cell(attribute);
    }
    error
}

/// Makes a key of Fortran functions.
macro_rules! create_keyval {
    ($create:ident, $handle:ty, $width:ty, $copy:ident, $delete:ident, $keyval:ident, $extra:ident, $ierror:ident) => {{
        let key = Key::<$width>::leak($copy, $delete, $extra);
        let copy = copy::<$handle, $width> as *const c_void;
        let delete = delete::<$handle, $width> as *const c_void;
        answer($ierror, c::$create(copy, delete, $keyval, key));
    }};
}

/// Reads an attribute.
macro_rules! get_attr {
    ($get:ident, $width:ty, $object:ident, $keyval:ident, $value:ident, $flag:ident, $ierror:ident) => {{
        let mut attribute: *mut c_void = null_mut();
        let error = c::$get(handle($object), *$keyval, (&raw mut attribute).cast(), $flag);
        if error == MPI_SUCCESS && *$flag != 0 {
            $value.write(<$width>::cut(value_of_key(*$keyval, attribute)));
        }
        answer($ierror, error);
    }};
}

/// Sets an attribute.
macro_rules! set_attr {
    ($set:ident, $object:ident, $keyval:ident, $value:ident, $ierror:ident) => {{
        let cell = new_cell((*$value).wide());
        let error = c::$set(handle($object), *$keyval, cell);
        if error != MPI_SUCCESS {
            drop_cell(cell);
        }
        answer($ierror, error);
    }};
}

symbols! {
    /// `MPI_KEYVAL_CREATE(COPY_FN, DELETE_FN, KEYVAL, EXTRA_STATE, IERROR)`
    mpi_keyval_create_ pmpi_keyval_create_(
        copy_fn: *const c_void, delete_fn: *const c_void, keyval: *mut c_int, extra_state: *const c_int, ierror: *mut c_int,
    ) {
        create_keyval!(PMPI_Keyval_create, MPI_Comm, c_int, copy_fn, delete_fn, keyval, extra_state, ierror)
    }

    /// `MPI_COMM_CREATE_KEYVAL(COMM_COPY_ATTR_FN, COMM_DELETE_ATTR_FN, COMM_KEYVAL, EXTRA_STATE, IERROR)`
    mpi_comm_create_keyval_ pmpi_comm_create_keyval_(
        copy_fn: *const c_void, delete_fn: *const c_void, keyval: *mut c_int, extra_state: *const i64, ierror: *mut c_int,
    ) {
        create_keyval!(PMPI_Comm_create_keyval, MPI_Comm, i64, copy_fn, delete_fn, keyval, extra_state, ierror)
    }

    /// `MPI_TYPE_CREATE_KEYVAL(TYPE_COPY_ATTR_FN, TYPE_DELETE_ATTR_FN, TYPE_KEYVAL, EXTRA_STATE, IERROR)`
    mpi_type_create_keyval_ pmpi_type_create_keyval_(
        copy_fn: *const c_void, delete_fn: *const c_void, keyval: *mut c_int, extra_state: *const i64, ierror: *mut c_int,
    ) {
        create_keyval!(PMPI_Type_create_keyval, MPI_Datatype, i64, copy_fn, delete_fn, keyval, extra_state, ierror)
    }

    /// `MPI_WIN_CREATE_KEYVAL(WIN_COPY_ATTR_FN, WIN_DELETE_ATTR_FN, WIN_KEYVAL, EXTRA_STATE, IERROR)`
    mpi_win_create_keyval_ pmpi_win_create_keyval_(
        copy_fn: *const c_void, delete_fn: *const c_void, keyval: *mut c_int, extra_state: *const i64, ierror: *mut c_int,
    ) {
        create_keyval!(PMPI_Win_create_keyval, MPI_Win, i64, copy_fn, delete_fn, keyval, extra_state, ierror)
    }

    /// `MPI_ATTR_GET(COMM, KEYVAL, ATTRIBUTE_VAL, FLAG, IERROR)`
    mpi_attr_get_ pmpi_attr_get_(
        comm: *const c_int, keyval: *const c_int, attribute_val: *mut c_int, flag: *mut c_int, ierror: *mut c_int,
    ) {
        get_attr!(PMPI_Attr_get, c_int, comm, keyval, attribute_val, flag, ierror)
    }

    /// `MPI_COMM_GET_ATTR(COMM, COMM_KEYVAL, ATTRIBUTE_VAL, FLAG, IERROR)`
    mpi_comm_get_attr_ pmpi_comm_get_attr_(
        comm: *const c_int, keyval: *const c_int, attribute_val: *mut i64, flag: *mut c_int, ierror: *mut c_int,
    ) {
        get_attr!(PMPI_Comm_get_attr, i64, comm, keyval, attribute_val, flag, ierror)
    }

    /// `MPI_TYPE_GET_ATTR(DATATYPE, TYPE_KEYVAL, ATTRIBUTE_VAL, FLAG, IERROR)`
    mpi_type_get_attr_ pmpi_type_get_attr_(
        datatype: *const c_int, keyval: *const c_int, attribute_val: *mut i64, flag: *mut c_int, ierror: *mut c_int,
    ) {
        get_attr!(PMPI_Type_get_attr, i64, datatype, keyval, attribute_val, flag, ierror)
    }

    /// `MPI_WIN_GET_ATTR(WIN, WIN_KEYVAL, ATTRIBUTE_VAL, FLAG, IERROR)`
    mpi_win_get_attr_ pmpi_win_get_attr_(
        win: *const c_int, keyval: *const c_int, attribute_val: *mut i64, flag: *mut c_int, ierror: *mut c_int,
    ) {
        get_attr!(PMPI_Win_get_attr, i64, win, keyval, attribute_val, flag, ierror)
    }

    /// `MPI_ATTR_PUT(COMM, KEYVAL, ATTRIBUTE_VAL, IERROR)`
    mpi_attr_put_ pmpi_attr_put_(
        comm: *const c_int, keyval: *const c_int, attribute_val: *const c_int, ierror: *mut c_int,
    ) {
        set_attr!(PMPI_Attr_put, comm, keyval, attribute_val, ierror)
    }

    /// `MPI_COMM_SET_ATTR(COMM, COMM_KEYVAL, ATTRIBUTE_VAL, IERROR)`
    mpi_comm_set_attr_ pmpi_comm_set_attr_(
        comm: *const c_int, keyval: *const c_int, attribute_val: *const i64, ierror: *mut c_int,
    ) {
        set_attr!(PMPI_Comm_set_attr, comm, keyval, attribute_val, ierror)
    }

    /// `MPI_TYPE_SET_ATTR(DATATYPE, TYPE_KEYVAL, ATTRIBUTE_VAL, IERROR)`
    mpi_type_set_attr_ pmpi_type_set_attr_(
        datatype: *const c_int, keyval: *const c_int, attribute_val: *const i64, ierror: *mut c_int,
    ) {
        set_attr!(PMPI_Type_set_attr, datatype, keyval, attribute_val, ierror)
    }

    /// `MPI_WIN_SET_ATTR(WIN, WIN_KEYVAL, ATTRIBUTE_VAL, IERROR)`
    mpi_win_set_attr_ pmpi_win_set_attr_(
        win: *const c_int, keyval: *const c_int, attribute_val: *const i64, ierror: *mut c_int,
    ) {
        set_attr!(PMPI_Win_set_attr, win, keyval, attribute_val, ierror)
    }
}

/// The standard's own functions of keys, as a Fortran program hands them over.
macro_rules! key_functions {
    ($($width:ty: $null_copy:ident $dup:ident $null_delete:ident;)*) => {$(
        /// Copies nothing.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $null_copy(
            _: *const c_int, _: *const c_int, _: *mut $width, _: *const $width, _: *mut $width, flag: *mut c_int, ierror: *mut c_int,
        ) {
            // SAFETY: the caller gives room for a flag and an error code.
            unsafe {
                flag.write(0);
                answer(ierror, MPI_SUCCESS);
            }
        }

        /// Copies the value.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $dup(
            _: *const c_int, _: *const c_int, _: *mut $width, from: *const $width, to: *mut $width, flag: *mut c_int, ierror: *mut c_int,
        ) {
            // SAFETY: the caller points to a value and gives room for one, a flag and an error code.
            unsafe {
                to.write(*from);
                flag.write(1);
                answer(ierror, MPI_SUCCESS);
            }
        }

        /// Deletes nothing.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $null_delete(
            _: *const c_int, _: *const c_int, _: *const $width, _: *mut $width, ierror: *mut c_int,
        ) {
            // SAFETY: the caller gives room for an error code.
            unsafe { answer(ierror, MPI_SUCCESS) };
        }
    )*};
}

key_functions! {
    c_int: mpi_null_copy_fn_ mpi_dup_fn_ mpi_null_delete_fn_;
    i64: mpi_comm_null_copy_fn_ mpi_comm_dup_fn_ mpi_comm_null_delete_fn_;
    i64: mpi_type_null_copy_fn_ mpi_type_dup_fn_ mpi_type_null_delete_fn_;
    i64: mpi_win_null_copy_fn_ mpi_win_dup_fn_ mpi_win_null_delete_fn_;
}

#[cfg(test)]
mod tests {
    use std::ptr::without_provenance_mut;

    use super::*;

    #[test]
    fn what_fortran_sets_c_finds_behind_the_pointer_and_what_c_sets_is_an_address() {
        let cell = new_cell(-7);
        // SAFETY: a cell holds a value, and its lower half comes first.
        assert_eq!(unsafe { (*cell.cast::<c_int>(), *cell.cast::<i64>()) }, (-7, -7));
        assert_eq!(value(cell), -7);
        drop_cell(cell);
        assert_eq!(value(cell), cell.addr() as i64);
        assert_eq!(value(without_provenance_mut(0x1234)), 0x1234);
        assert_eq!(<c_int as Width>::cut(0x1_0000_0005), 5);
    }

    #[test]
    fn the_keys_functions_are_called_with_references_and_cells_follow_the_attributes() {
        unsafe extern "C" fn twice(
            old: *const c_int,
            keyval: *const c_int,
            extra: *mut i64,
            from: *const i64,
            to: *mut i64,
            flag: *mut c_int,
            ierror: *mut c_int,
        ) {
            // SAFETY: the trampoline points to all of them.
            unsafe {
                assert_eq!((*old, *keyval), (0x101, 9));
                *extra += 1;
                to.write(2 * *from);
                flag.write(1);
                answer(ierror, MPI_SUCCESS);
            }
        }
        let extra = 40;
        // SAFETY: both are functions of a key.
        let key = unsafe {
            Key::<i64>::leak(
                twice as *const c_void,
                mpi_comm_null_delete_fn_ as *const c_void,
                &raw const extra,
            )
        };
        let (first, mut second, mut flag) = (new_cell(21), null_mut::<c_void>(), 0);
        // SAFETY: the key is one, and there is room for an attribute and a flag.
        unsafe {
            let out = (&raw mut second).cast();
            assert_eq!(copy::<MPI_Comm, i64>(MPI_COMM_WORLD, 9, key, first, out, &raw mut flag), MPI_SUCCESS);
            assert_eq!((flag, value(second)), (1, 42));
            assert_eq!((*key.cast::<Key<i64>>()).extra_state, 41);
            for attribute in [first, second] {
                assert_eq!(delete::<MPI_Comm, i64>(MPI_COMM_WORLD, 9, attribute, key), MPI_SUCCESS);
                assert!(!cells().contains(&attribute.addr()));
            }
            drop(Box::from_raw(key.cast::<Key<i64>>()));
        }
    }
}
