//! Attributes: values that the application caches on communicators and datatypes (MPI 5.0, section 7.7).
//!
//! A key lives as long as it is not freed or a value of it is cached. Keys are numbered in the order in which they are made, so
//! that a re-executed program gets the same ones.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use crate::constants::*;
use crate::errors::{Failure, Outcome};

/// The address of a function of the application, or one of the constants that stand for the standard's own: 0 for that which does
/// nothing, 1 for that which copies the value.
pub type Callback = usize;

const DOES_NOTHING: Callback = 0;
const COPIES: Callback = 1;

type Copy = unsafe extern "C" fn(usize, c_int, *mut c_void, *mut c_void, *mut c_void, *mut c_int) -> c_int;
type Delete = unsafe extern "C" fn(usize, c_int, *mut c_void, *mut c_void) -> c_int;

/// What attributes are cached on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Communicators.
    Comm,
    /// Datatypes.
    Type,
    /// Windows: keys can be made, though there is nothing to cache on.
    Win,
}

/// A key and what is done when a value of it is copied or deleted.
#[derive(Debug)]
pub struct Keyval {
    number: c_int,
    copy: Callback,
    delete: Callback,
    extra_state: usize,
}

impl Keyval {
    /// The value that a copy of the object `handle` gets, if it gets one.
    fn copied(&self, handle: usize, value: usize) -> Outcome<Option<usize>> {
        match self.copy {
            DOES_NOTHING => Ok(None),
            COPIES => Ok(Some(value)),
            address => {
                let (mut out, mut flag) = (0usize, 0);
                // SAFETY: the application gave a function of this type for this; it may use the address of every argument, and
                // each lives through the call.
                let code = unsafe {
                    let copy = std::mem::transmute::<usize, Copy>(address);
                    let (extra, value) = (self.extra_state as *mut c_void, value as *mut c_void);
                    copy(handle, self.number, extra, value, (&raw mut out).cast(), &raw mut flag)
                };
                returned(code, "copies")?;
                Ok((flag != 0).then_some(out))
            }
        }
    }

    fn deleted(&self, handle: usize, value: usize) -> Outcome {
        if self.delete == DOES_NOTHING {
            return Ok(());
        }
        // SAFETY: see `copied`.
        let code = unsafe {
            let delete = std::mem::transmute::<usize, Delete>(self.delete);
            delete(handle, self.number, value as *mut c_void, self.extra_state as *mut c_void)
        };
        returned(code, "deletes")
    }
}

fn returned(code: c_int, what: &str) -> Outcome {
    if code == MPI_SUCCESS {
        Ok(())
    } else {
        Err(Failure::new(code, format!("the function that {what} an attribute returned {code}")))
    }
}

#[derive(Debug)]
struct Keyvals {
    known: HashMap<c_int, Known>,
    next: c_int,
}

/// A key, which is found for as long as it is not freed or a value of it is cached.
#[derive(Debug)]
struct Known {
    keyval: Weak<Keyval>,
    on: On,
    kept: Option<Arc<Keyval>>,
}

/// Above the keys of the standard's own attributes.
const FIRST_KEY: c_int = 0x1000;

static KEYVALS: LazyLock<Mutex<Keyvals>> =
    LazyLock::new(|| Mutex::new(Keyvals { known: HashMap::new(), next: FIRST_KEY }));

fn lock() -> MutexGuard<'static, Keyvals> {
    KEYVALS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a key.
pub fn create(on: On, copy: Callback, delete: Callback, extra_state: *mut c_void) -> c_int {
    let mut keyvals = lock();
    let number = keyvals.next;
    keyvals.next += 1;
    let keyval = Keyval { number, copy, delete, extra_state: extra_state as usize };
    let keyval = Arc::new(keyval);
    keyvals.known.insert(number, Known { keyval: Arc::downgrade(&keyval), on, kept: Some(keyval) });
    number
}

/// Forgets a key; values of it that are cached stay.
pub fn free(on: On, number: c_int) -> Outcome {
    find(on, number)?;
    let mut keyvals = lock();
    if let Some(known) = keyvals.known.get_mut(&number) {
        known.kept = None;
        if known.keyval.strong_count() == 0 {
            keyvals.known.remove(&number);
        }
    }
    Ok(())
}

fn find(on: On, number: c_int) -> Outcome<Arc<Keyval>> {
    let found =
        lock().known.get(&number).filter(|known| known.on == on).and_then(|known| known.keyval.upgrade());
    found.ok_or_else(|| Failure::new(MPI_ERR_KEYVAL, format!("attribute key {number}")))
}

/// The values that are cached on one object, in the order in which they were set first.
#[derive(Debug, Clone, Default)]
pub struct Attributes(Vec<(Arc<Keyval>, usize)>);

impl Attributes {
    fn position(&self, number: c_int) -> Option<usize> {
        self.0.iter().position(|(keyval, _)| keyval.number == number)
    }

    fn value(&self, number: c_int) -> Option<usize> {
        self.position(number).map(|at| self.0[at].1)
    }

    fn remove(&mut self, number: c_int) {
        if let Some(at) = self.position(number) {
            self.0.remove(at);
        }
    }
}

/// An object that has attributes, and a handle that functions of the application are given. The attributes are locked for moments
/// only, since those functions may ask for them.
pub trait Holder {
    /// What it is.
    const ON: On;
    /// The value of its handle.
    fn handle_value(&self) -> usize;
    /// Changes its attributes, or looks at them.
    fn with_attributes<R>(&self, body: impl FnOnce(&mut Attributes) -> R) -> R;

    /// The value of a key.
    ///
    /// # Errors
    /// No such key.
    fn attribute(&self, number: c_int) -> Outcome<Option<usize>> {
        match self.with_attributes(|attributes| attributes.value(number)) {
            Some(value) => Ok(Some(value)),
            None => find(Self::ON, number).map(|_| None),
        }
    }

    /// Sets the value of a key, after the old one was deleted.
    ///
    /// # Errors
    /// No such key, or what the application's function returned.
    fn set_attribute(&self, number: c_int, value: usize) -> Outcome {
        let keyval = find(Self::ON, number)?;
        if let Some(old) = self.with_attributes(|attributes| attributes.value(number)) {
            keyval.deleted(self.handle_value(), old)?;
        }
        self.with_attributes(|attributes| match attributes.position(number) {
            Some(at) => attributes.0[at].1 = value,
            None => attributes.0.push((keyval, value)),
        });
        Ok(())
    }

    /// Deletes the value of a key.
    ///
    /// # Errors
    /// No such key, or what the application's function returned; the value stays then.
    fn delete_attribute(&self, number: c_int) -> Outcome {
        let cached =
            self.with_attributes(|attributes| attributes.position(number).map(|at| attributes.0[at].clone()));
        let Some((keyval, value)) = cached else { return find(Self::ON, number).map(drop) };
        keyval.deleted(self.handle_value(), value)?;
        self.with_attributes(|attributes| attributes.remove(number));
        Ok(())
    }

    /// Deletes all values, the last set first.
    ///
    /// # Errors
    /// What the application's functions returned; the values from there on stay.
    fn delete_attributes(&self) -> Outcome {
        while let Some((keyval, value)) = self.with_attributes(|attributes| attributes.0.last().cloned()) {
            keyval.deleted(self.handle_value(), value)?;
            self.with_attributes(|attributes| attributes.remove(keyval.number));
        }
        Ok(())
    }

    /// What a copy of the object starts with.
    ///
    /// # Errors
    /// What the application's functions returned.
    fn copied_attributes(&self) -> Outcome<Attributes> {
        let cached = self.with_attributes(|attributes| attributes.clone());
        let mut copies = Attributes::default();
        for (keyval, value) in cached.0 {
            if let Some(value) = keyval.copied(self.handle_value(), value)? {
                copies.0.push((keyval, value));
            }
        }
        Ok(copies)
    }
}

macro_rules! keyvals {
    ($($on:ident: $create:ident $free:ident;)*) => {$(
        /// `MPI_X_create_keyval`
        pub unsafe fn $create(copy: Callback, delete: Callback, keyval: *mut c_int, extra_state: *mut c_void) -> Outcome {
            // SAFETY: the caller gives room for a key.
            unsafe { keyval.write(create(On::$on, copy, delete, extra_state)) };
            Ok(())
        }

        /// `MPI_X_free_keyval`
        pub unsafe fn $free(keyval: *mut c_int) -> Outcome {
            // SAFETY: the caller points to a key.
            let number = unsafe { &mut *keyval };
            free(On::$on, *number)?;
            *number = MPI_KEYVAL_INVALID;
            Ok(())
        }
    )*};
}

keyvals! {
    Comm: comm_create_keyval comm_free_keyval;
    Type: type_create_keyval type_free_keyval;
    Win: win_create_keyval win_free_keyval;
}

/// Writes an attribute's value, a pointer, and whether there is one.
///
/// # Safety
/// There is room for a pointer at `to` and for a flag.
pub unsafe fn write(value: Option<usize>, to: *mut c_void, flag: *mut c_int) {
    // SAFETY: as this function's contract has it.
    unsafe {
        if let Some(value) = value {
            to.cast::<usize>().write(value);
        }
        flag.write(c_int::from(value.is_some()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Object(Mutex<Attributes>);

    impl Holder for Object {
        const ON: On = On::Comm;
        fn handle_value(&self) -> usize {
            7
        }
        fn with_attributes<R>(&self, body: impl FnOnce(&mut Attributes) -> R) -> R {
            body(&mut self.0.lock().unwrap())
        }
    }

    static DELETED: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

    unsafe extern "C" fn note(handle: usize, _: c_int, value: *mut c_void, _: *mut c_void) -> c_int {
        DELETED.lock().unwrap().push((handle, value as usize));
        0
    }

    #[test]
    fn values_outlive_their_key_and_go_in_reverse_order() {
        let object = Object(Mutex::default());
        let delete = note as *const () as usize;
        let (a, b) = (
            create(On::Comm, COPIES, delete, std::ptr::null_mut()),
            create(On::Comm, 0, delete, std::ptr::null_mut()),
        );
        object.set_attribute(a, 1).unwrap();
        object.set_attribute(b, 2).unwrap();
        object.set_attribute(a, 3).unwrap();
        free(On::Comm, a).unwrap();
        free(On::Comm, a).unwrap();
        assert!(free(On::Type, b).is_err(), "a key is of one kind");
        assert_eq!(object.attribute(a).unwrap(), Some(3));
        let copies = object.copied_attributes().unwrap();
        assert_eq!(
            copies.0.iter().map(|(keyval, value)| (keyval.number, *value)).collect::<Vec<_>>(),
            [(a, 3)]
        );
        drop(copies);
        object.delete_attributes().unwrap();
        assert_eq!(*DELETED.lock().unwrap(), [(7, 1), (7, 2), (7, 3)]);
        assert!(object.attribute(a).is_err(), "a freed key without values is none");
        assert_eq!(object.attribute(b).unwrap(), None);
    }
}
