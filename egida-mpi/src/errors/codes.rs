//! Error classes, codes and strings: the standard's, and those that the application adds (MPI 5.0, sections 9.4 and 9.5).
//!
//! A code of the library is its class. Codes and classes that the application adds are numbered above these, in the order in which they
//! are added.

use std::ffi::{CStr, c_char, c_int};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Failure, Outcome};
use crate::constants::*;
use crate::status::{null, write_string};

/// What the application added.
#[derive(Debug)]
struct Added {
    /// The codes from [`FIRST`] on; classes are codes of themselves.
    codes: Vec<Option<Code>>,
}

#[derive(Debug, Clone)]
struct Code {
    class: c_int,
    is_class: bool,
    text: String,
}

const FIRST: c_int = MPI_ERR_LASTCODE + 1;

static ADDED: Mutex<Added> = Mutex::new(Added { codes: Vec::new() });
/// What the attribute `MPI_LASTUSEDCODE` points to. Only written with the lock above held.
static LAST_USED: LastUsed = LastUsed(std::cell::UnsafeCell::new(MPI_ERR_LASTCODE));

struct LastUsed(std::cell::UnsafeCell<c_int>);

// SAFETY: this library writes it by `AtomicI32` alone; the application may read it between its calls.
unsafe impl Sync for LastUsed {}

impl LastUsed {
    fn set(&self, value: c_int) {
        // SAFETY: the integer is aligned and lives for ever, and is accessed as an atomic one only.
        unsafe { std::sync::atomic::AtomicI32::from_ptr(self.0.get()) }
            .store(value, std::sync::atomic::Ordering::Relaxed);
    }
}

/// The address of the greatest code that is in use.
pub fn last_used() -> *const c_int {
    LAST_USED.0.get()
}

fn lock() -> MutexGuard<'static, Added> {
    ADDED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Added {
    fn add(&mut self, class: Option<c_int>) -> c_int {
        // Numbers go up, even past those that were removed, so long as greater ones are in use.
        let number = FIRST + self.codes.len() as c_int;
        let is_class = class.is_none();
        self.codes.push(Some(Code { class: class.unwrap_or(number), is_class, text: String::new() }));
        LAST_USED.set(number);
        number
    }

    fn get(&mut self, code: c_int) -> Option<&mut Option<Code>> {
        let at = usize::try_from(code.checked_sub(FIRST)?).ok()?;
        self.codes.get_mut(at).filter(|code| code.is_some())
    }

    fn remove(&mut self, code: c_int, class: bool) -> Outcome {
        let uses_it = |code: c_int| {
            move |other: &&Option<Code>| {
                other.as_ref().is_some_and(|other| !other.is_class && other.class == code)
            }
        };
        if class && self.codes.iter().any(|other| uses_it(code)(&other)) {
            return Err(unknown(code, "error class without codes of its own"));
        }
        let place = self.get(code).filter(|place| place.as_ref().is_some_and(|code| code.is_class == class));
        let place = place.ok_or_else(|| unknown(code, "added error class or code"))?;
        if place.as_ref().is_some_and(|code| !code.text.is_empty()) {
            return Err(unknown(code, "error class or code without a text"));
        }
        *place = None;
        while let Some(None) = self.codes.last() {
            self.codes.pop();
        }
        LAST_USED.set(FIRST - 1 + self.codes.len() as c_int);
        Ok(())
    }
}

fn unknown(code: c_int, what: &str) -> Failure {
    Failure::new(MPI_ERR_ARG, format!("{code} is no {what}"))
}

fn is_standard(code: c_int) -> bool {
    CLASSES.iter().any(|(known, ..)| *known == code)
}

/// `MPI_Error_class`
pub unsafe fn error_class(errorcode: c_int, errorclass: *mut c_int) -> Outcome {
    let class = match lock().get(errorcode) {
        Some(Some(code)) => code.class,
        _ if is_standard(errorcode) => errorcode,
        _ => return Err(unknown(errorcode, "error code")),
    };
    // SAFETY: the caller gives room for an integer.
    unsafe { errorclass.write(class) };
    Ok(())
}

/// `MPI_Error_string`
pub unsafe fn error_string(errorcode: c_int, string: *mut c_char, resultlen: *mut c_int) -> Outcome {
    // SAFETY: the caller gives room for MPI_MAX_ERROR_STRING letters and for the length.
    unsafe { write_string(&text(errorcode), MPI_MAX_ERROR_STRING, string, resultlen) };
    Ok(())
}

/// `MPI_Add_error_class`
pub unsafe fn add_error_class(errorclass: *mut c_int) -> Outcome {
    let class = lock().add(None);
    // SAFETY: the caller gives room for an integer; so in the next.
    unsafe { errorclass.write(class) };
    Ok(())
}

/// `MPI_Add_error_code`
pub unsafe fn add_error_code(errorclass: c_int, errorcode: *mut c_int) -> Outcome {
    let mut added = lock();
    let known = is_standard(errorclass)
        || added.get(errorclass).is_some_and(|code| code.as_ref().is_some_and(|code| code.is_class));
    if !known {
        return Err(unknown(errorclass, "error class"));
    }
    let code = added.add(Some(errorclass));
    // SAFETY: see above.
    unsafe { errorcode.write(code) };
    Ok(())
}

/// `MPI_Add_error_string`
pub unsafe fn add_error_string(errorcode: c_int, string: *const c_char) -> Outcome {
    if string.is_null() {
        return Err(null("the text"));
    }
    // SAFETY: the caller gives a string.
    let text = unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned();
    match lock().get(errorcode) {
        Some(Some(code)) => {
            code.text = text;
            Ok(())
        }
        _ => Err(unknown(errorcode, "added error class or code")),
    }
}

/// `MPI_Remove_error_class`
pub unsafe fn remove_error_class(errorclass: c_int) -> Outcome {
    lock().remove(errorclass, true)
}

/// `MPI_Remove_error_code`
pub unsafe fn remove_error_code(errorcode: c_int) -> Outcome {
    lock().remove(errorcode, false)
}

/// `MPI_Remove_error_string`
pub unsafe fn remove_error_string(errorcode: c_int) -> Outcome {
    match lock().get(errorcode) {
        Some(Some(code)) => {
            code.text.clear();
            Ok(())
        }
        _ => Err(unknown(errorcode, "added error class or code")),
    }
}

/// The name of a class or code and what it means.
pub fn text(code: c_int) -> String {
    if let Some((_, name, meaning)) = CLASSES.iter().find(|(known, ..)| *known == code) {
        return format!("{name}: {meaning}");
    }
    match lock().get(code) {
        Some(Some(code)) => code.text.clone(),
        _ => format!("unknown error class {code}"),
    }
}

macro_rules! classes {
    ($($class:ident $meaning:literal)*) => {
        const CLASSES: &[(c_int, &str, &str)] = &[$(($class, stringify!($class), $meaning)),*];
    };
}

classes! {
    MPI_SUCCESS "no error"
    MPI_ERR_BUFFER "invalid buffer"
    MPI_ERR_COUNT "invalid count"
    MPI_ERR_TYPE "invalid datatype"
    MPI_ERR_TAG "invalid tag"
    MPI_ERR_COMM "invalid communicator"
    MPI_ERR_RANK "invalid rank"
    MPI_ERR_REQUEST "invalid request"
    MPI_ERR_ROOT "invalid root"
    MPI_ERR_GROUP "invalid group"
    MPI_ERR_OP "invalid reduction operation"
    MPI_ERR_TOPOLOGY "invalid topology"
    MPI_ERR_DIMS "invalid dimensions"
    MPI_ERR_ARG "invalid argument"
    MPI_ERR_UNKNOWN "unknown error"
    MPI_ERR_TRUNCATE "message longer than the receive buffer"
    MPI_ERR_OTHER "error of no other class"
    MPI_ERR_INTERN "error inside the library"
    MPI_ERR_PENDING "request is not complete"
    MPI_ERR_IN_STATUS "error code is in the status"
    MPI_ERR_ACCESS "permission denied"
    MPI_ERR_AMODE "invalid access mode"
    MPI_ERR_ASSERT "invalid assertion"
    MPI_ERR_BAD_FILE "invalid file name"
    MPI_ERR_BASE "invalid base address"
    MPI_ERR_CONVERSION "data conversion failed"
    MPI_ERR_DISP "invalid displacement"
    MPI_ERR_DUP_DATAREP "data representation is already defined"
    MPI_ERR_FILE_EXISTS "file exists"
    MPI_ERR_FILE_IN_USE "file is in use"
    MPI_ERR_FILE "invalid file"
    MPI_ERR_INFO_KEY "info key is too long"
    MPI_ERR_INFO_NOKEY "no such info key"
    MPI_ERR_INFO_VALUE "info value is too long"
    MPI_ERR_INFO "invalid info"
    MPI_ERR_IO "input or output failed"
    MPI_ERR_KEYVAL "invalid attribute key"
    MPI_ERR_LOCKTYPE "invalid lock type"
    MPI_ERR_NAME "service name is not published"
    MPI_ERR_NO_MEM "out of memory"
    MPI_ERR_NOT_SAME "collective arguments differ between processes"
    MPI_ERR_NO_SPACE "no space left"
    MPI_ERR_NO_SUCH_FILE "no such file"
    MPI_ERR_PORT "invalid port"
    MPI_ERR_QUOTA "quota exceeded"
    MPI_ERR_READ_ONLY "file or file system is read-only"
    MPI_ERR_RMA_ATTACH "memory cannot be attached"
    MPI_ERR_RMA_CONFLICT "conflicting accesses to a window"
    MPI_ERR_RMA_RANGE "target memory is not part of the window"
    MPI_ERR_RMA_SHARED "memory cannot be shared"
    MPI_ERR_RMA_SYNC "wrong synchronization of one-sided calls"
    MPI_ERR_SERVICE "invalid service name"
    MPI_ERR_SIZE "invalid size"
    MPI_ERR_SPAWN "processes cannot be spawned"
    MPI_ERR_UNSUPPORTED_DATAREP "data representation is not supported"
    MPI_ERR_UNSUPPORTED_OPERATION "operation is not supported"
    MPI_ERR_WIN "invalid window"
    MPI_ERR_RMA_FLAVOR "wrong flavor of window"
    MPI_ERR_PROC_ABORTED "a peer has aborted"
    MPI_ERR_VALUE_TOO_LARGE "value is too large to store"
    MPI_ERR_SESSION "invalid session"
    MPI_ERR_ERRHANDLER "invalid error handler"
    MPI_ERR_ABI "wrong use of the binary interface"
    MPI_ERR_LASTCODE "last error code"
}
