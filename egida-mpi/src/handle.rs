//! The C types of the ABI, and tables that turn handles into objects.
#![allow(non_camel_case_types)] // the standard's names

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;

/// A signed integer as wide as a pointer.
pub type MPI_Aint = isize;
/// A count of things.
pub type MPI_Count = i64;
/// A position in a file.
pub type MPI_Offset = i64;

/// An enumeration of the tool information interface.
pub type MPI_T_enum = usize;
/// A control variable in the hand of a tool.
pub type MPI_T_cvar_handle = usize;
/// A performance variable in the hand of a tool.
pub type MPI_T_pvar_handle = usize;
/// A tool's experiment.
pub type MPI_T_pvar_session = usize;

/// A user's reduction.
pub type MPI_User_function = Option<crate::op::UserFunction>;
/// A user's reduction with large counts.
pub type MPI_User_function_c = Option<crate::op::UserFunctionLarge>;
/// A user's error handler.
pub type MPI_Comm_errhandler_function = Option<crate::errors::UserHandler>;
/// A user's error handler.
pub type MPI_Session_errhandler_function = Option<crate::errors::UserHandler>;
/// A user's error handler.
pub type MPI_File_errhandler_function = Option<crate::errors::UserHandler>;
/// A user's error handler.
pub type MPI_Win_errhandler_function = Option<crate::errors::UserHandler>;
/// What copies a communicator's attribute.
pub type MPI_Comm_copy_attr_function = crate::attribute::Callback;
/// What deletes a communicator's attribute.
pub type MPI_Comm_delete_attr_function = crate::attribute::Callback;
/// What copies a datatype's attribute.
pub type MPI_Type_copy_attr_function = crate::attribute::Callback;
/// What deletes a datatype's attribute.
pub type MPI_Type_delete_attr_function = crate::attribute::Callback;
/// What copies a window's attribute.
pub type MPI_Win_copy_attr_function = crate::attribute::Callback;
/// What deletes a window's attribute.
pub type MPI_Win_delete_attr_function = crate::attribute::Callback;
/// What copies a communicator's attribute (MPI-1).
pub type MPI_Copy_function = crate::attribute::Callback;
/// What deletes a communicator's attribute (MPI-1).
pub type MPI_Delete_function = crate::attribute::Callback;
/// What tells the status of a generalized request.
pub type MPI_Grequest_query_function = Option<crate::generalized::Query>;
/// What is called when a generalized request is freed.
pub type MPI_Grequest_free_function = Option<crate::generalized::Free>;
/// What is called when a generalized request is cancelled.
pub type MPI_Grequest_cancel_function = Option<crate::generalized::Cancel>;

/// What converts data from or to a representation of the user's own.
pub type MPI_Datarep_conversion_function = Option<
    unsafe extern "C" fn(*mut c_void, MPI_Datatype, c_int, *mut c_void, MPI_Offset, *mut c_void) -> c_int,
>;
/// The same with large counts.
pub type MPI_Datarep_conversion_function_c = Option<
    unsafe extern "C" fn(*mut c_void, MPI_Datatype, MPI_Count, *mut c_void, MPI_Offset, *mut c_void) -> c_int,
>;
/// What tells the extent of a datatype in a representation of the user's own.
pub type MPI_Datarep_extent_function =
    Option<unsafe extern "C" fn(MPI_Datatype, *mut MPI_Aint, *mut c_void) -> c_int>;

/// The result of a receive, a probe or a completion.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MPI_Status {
    /// The sender's rank in the communicator.
    pub source: c_int,
    /// The message's tag.
    pub tag: c_int,
    /// The error class, set by calls that complete several requests.
    pub error: c_int,
    /// The library's own: bytes received in the first two words, whether cancelled in the third.
    pub internal: [c_int; 5],
}

/// A handle: an opaque pointer in C. Values below 0x1000 are the ABI's constants, the others are `kind | slot` of a
/// [`Table`], small enough for a Fortran integer and the same in every execution.
pub trait Handle: Copy + Eq {
    /// What tells handles of different types apart.
    const KIND: usize;
    /// The handle of that value.
    fn new(value: usize) -> Self;
    /// Its value.
    fn value(self) -> usize;
}

macro_rules! handles {
    ($($name:ident = $kind:literal: $what:literal),* $(,)?) => {$(
        #[doc = $what]
        #[repr(transparent)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub usize);

        impl Handle for $name {
            const KIND: usize = $kind;
            fn new(value: usize) -> Self {
                Self(value)
            }
            fn value(self) -> usize {
                self.0
            }
        }
    )*};
}

handles! {
    MPI_Comm = 1: "A communicator.",
    MPI_Group = 2: "A group of processes.",
    MPI_Datatype = 3: "A datatype.",
    MPI_Op = 4: "A reduction.",
    MPI_Request = 5: "An operation under way.",
    MPI_Errhandler = 6: "An error handler.",
    MPI_Info = 7: "Hints.",
    MPI_Win = 8: "A window.",
    MPI_File = 9: "A file.",
    MPI_Session = 10: "A session.",
    MPI_Message = 11: "A matched message.",
}

const FIRST_DYNAMIC: usize = 0x1000;
const KIND_BITS: u32 = 4;

/// Objects by handle.
#[derive(Debug)]
pub struct Table<H, T> {
    slots: Vec<Option<T>>,
    free: Vec<usize>,
    handle: PhantomData<H>,
}

impl<H: Handle, T> Table<H, T> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), handle: PhantomData }
    }

    /// Adds an object.
    #[inline(always)] // for requests; so below
    pub fn insert(&mut self, object: T) -> H {
        self.insert_with(|_| object)
    }

    /// Adds an object that knows its handle.
    #[inline(always)]
    pub fn insert_with(&mut self, object: impl FnOnce(H) -> T) -> H {
        let handle = self.reserve();
        self.fill(handle, object);
        handle
    }

    /// A handle that names nothing until [`Self::fill`].
    #[inline(always)]
    pub fn reserve(&mut self) -> H {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        H::new(FIRST_DYNAMIC + ((slot << KIND_BITS) | H::KIND))
    }

    /// Gives a reserved handle its object.
    #[inline(always)]
    pub fn fill(&mut self, handle: H, object: impl FnOnce(H) -> T) {
        if let Some(place) = slot(handle).and_then(|slot| self.slots.get_mut(slot)) {
            *place = Some(object(handle));
        }
    }

    /// The object of a handle.
    #[must_use]
    #[inline]
    pub fn get(&self, handle: H) -> Option<&T> {
        self.slots.get(slot(handle)?)?.as_ref()
    }

    /// The object of a handle, to change it.
    #[inline]
    pub fn get_mut(&mut self, handle: H) -> Option<&mut T> {
        self.slots.get_mut(slot(handle)?)?.as_mut()
    }

    /// Forgets an object; its handle may name another one from now on.
    #[inline]
    pub fn discard(&mut self, handle: H) {
        if let Some(slot) = slot(handle)
            && let Some(object @ Some(_)) = self.slots.get_mut(slot)
        {
            *object = None;
            self.free.push(slot);
        }
    }

    /// Takes an object out; its handle may name another one from now on.
    pub fn remove(&mut self, handle: H) -> Option<T> {
        let slot = slot(handle)?;
        let object = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(object)
    }
}

fn slot<H: Handle>(handle: H) -> Option<usize> {
    let value = handle.value().checked_sub(FIRST_DYNAMIC)?;
    (value & ((1 << KIND_BITS) - 1) == H::KIND).then_some(value >> KIND_BITS)
}

/// `MPI_X_toint`.
pub fn toint<H: Handle>(handle: H) -> c_int {
    // Handles of this library fit; whatever else was passed comes back as it can.
    handle.value() as c_int
}

/// `MPI_X_fromint`.
pub fn fromint<H: Handle>(value: c_int) -> H {
    H::new(value as usize)
}

/// A C integer that counts: `int`, `MPI_Count` or `MPI_Aint`, so that one function serves a call and its large twin.
pub trait Integer: Copy {
    /// Whether it is that of the large forms of calls.
    const LARGE: bool;
    /// Its value.
    fn wide(self) -> i64;
    /// The integer of that value, where it fits.
    fn narrow(value: i64) -> Option<Self>;
}

macro_rules! integers {
    ($($name:ty: $large:literal),*) => {$(
        impl Integer for $name {
            const LARGE: bool = $large;
            fn wide(self) -> i64 {
                self as i64
            }
            fn narrow(value: i64) -> Option<Self> {
                Self::try_from(value).ok()
            }
        }
    )*};
}

integers!(c_int: false, i64: true, isize: false);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_name_their_object_until_it_is_removed() {
        let mut table = Table::<MPI_Comm, &str>::new();
        let (a, b) = (table.insert("a"), table.insert("b"));
        assert_eq!((table.get(a), table.get(b)), (Some(&"a"), Some(&"b")));
        assert_eq!(table.remove(a), Some("a"));
        assert_eq!(table.get(a), None);
        assert_eq!(table.remove(a), None);
        assert_eq!(fromint::<MPI_Comm>(toint(b)), b);
    }

    #[test]
    fn a_handle_of_another_type_or_a_constant_names_nothing() {
        let mut groups = Table::<MPI_Group, u8>::new();
        let group = groups.insert(7);
        let mut comms = Table::<MPI_Comm, u8>::new();
        comms.insert(8);
        assert_eq!(comms.get(MPI_Comm(group.0)), None);
        assert_eq!(comms.get(MPI_Comm(0)), None);
        assert_eq!(comms.get(MPI_Comm(0x101)), None);
        assert_eq!(comms.get(MPI_Comm(usize::MAX)), None);
    }
}
