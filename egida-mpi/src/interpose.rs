//! Functions of the C library that the application calls and this library stands in for.
//!
//! Clocks and random numbers are inputs from outside: under a protocol that re-executes ranks they are logged, and a
//! re-execution is given the same. Only what the application asks counts, on its main thread and outside
//! calls of MPI (a reduction of its own is inside one); what the library itself asks
//! (and Rust's standard library for it) goes through. What calls the system directly, reads `/dev/urandom`, or asks
//! for the time it has used (`clock`, `times`, `getrusage`) is not seen here, and shows as divergence.
//!
//! Opening a file for writing earns a warning: a re-execution writes it again.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use libc::{clockid_t, mode_t, size_t, ssize_t, time_t, timespec, timeval};

use crate::{end, entry, reads, world};

/// Runs before `main` and before the constructors of what links this library.
#[used]
#[unsafe(link_section = ".init_array")]
static ATTACH: extern "C" fn() = {
    extern "C" fn attach() {
        entry::call("the library's constructor", world::attach_early);
    }
    attach
};

/// Whether this call is the application's, and an event.
fn is_event() -> bool {
    world::replays() && !entry::inside() && world::is_main_thread()
}

/// The next definition of a symbol after this library's.
struct Next {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn get(&self) -> *mut c_void {
        let found = self.found.load(Ordering::Relaxed);
        if !found.is_null() {
            return found;
        }
        // SAFETY: the name is a string.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            let _inside = entry::Inside::enter();
            end::with_message(&format!("the C library has no {}", self.name.to_string_lossy()), end::ERROR);
        }
        self.found.store(found, Ordering::Relaxed);
        found
    }
}

/// Calls the next definition of the function that this stands in.
macro_rules! next {
    ($name:ident($($argument:expr),*) as $type:ty) => {{
        const NAME: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
            Ok(name) => name,
            Err(_) => panic!("a name with a zero"),
        };
        static NEXT: Next = Next::new(NAME);
        // SAFETY: the C library's function of that name has that type, and its caller's arguments.
        unsafe { std::mem::transmute::<*mut c_void, $type>(NEXT.get())($($argument),*) }
    }};
}

type Time = unsafe extern "C" fn(*mut time_t) -> time_t;
type ClockGettime = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;
type Gettimeofday = unsafe extern "C" fn(*mut timeval, *mut c_void) -> c_int;
type Getrandom = unsafe extern "C" fn(*mut c_void, size_t, c_uint) -> ssize_t;
type Getentropy = unsafe extern "C" fn(*mut c_void, size_t) -> c_int;
type Gethostname = unsafe extern "C" fn(*mut c_char, size_t) -> c_int;
type Open = unsafe extern "C" fn(*const c_char, c_int, mode_t) -> c_int;
type OpenAt = unsafe extern "C" fn(c_int, *const c_char, c_int, mode_t) -> c_int;
type Creat = unsafe extern "C" fn(*const c_char, mode_t) -> c_int;
type Fopen = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut libc::FILE;

/// `time`
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(to: *mut time_t) -> time_t {
    let live = || next!(time(std::ptr::null_mut()) as Time);
    let now = if is_event() {
        entry::call("time", || time_t::from_le_bytes(reads::fixed(|| live().to_le_bytes())))
    } else {
        live()
    };
    // SAFETY: the caller may give room for the answer.
    if let Some(to) = unsafe { to.as_mut() } {
        *to = now;
    }
    now
}

/// `clock_gettime`
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, to: *mut timespec) -> c_int {
    if !is_event() {
        return next!(clock_gettime(clock, to) as ClockGettime);
    }
    entry::call("clock_gettime", || {
        let (result, sec, nsec) = three(|| {
            let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
            let result = next!(clock_gettime(clock, &raw mut time) as ClockGettime);
            (result, time.tv_sec, time.tv_nsec)
        });
        if result == 0 {
            // SAFETY: the caller gives room for the answer.
            unsafe { to.write(timespec { tv_sec: sec, tv_nsec: nsec }) };
        }
        result
    })
}

/// `gettimeofday`
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(to: *mut timeval, zone: *mut c_void) -> c_int {
    if !is_event() || to.is_null() {
        return next!(gettimeofday(to, zone) as Gettimeofday);
    }
    entry::call("gettimeofday", || {
        let (result, sec, usec) = three(|| {
            let mut time = timeval { tv_sec: 0, tv_usec: 0 };
            let result = next!(gettimeofday(&raw mut time, zone) as Gettimeofday);
            (result, time.tv_sec, time.tv_usec)
        });
        // SAFETY: the caller gives room for the answer.
        unsafe { to.write(timeval { tv_sec: sec, tv_usec: usec }) };
        result
    })
}

/// A result and two numbers, as an event.
fn three(mut live: impl FnMut() -> (c_int, time_t, c_long)) -> (c_int, time_t, c_long) {
    let [result, first, second] = [0, 1, 2].map(|at| at * 8..(at + 1) * 8);
    let value: [u8; 24] = reads::fixed(|| {
        let (code, one, two) = live();
        let mut bytes = [0; 24];
        bytes[result.clone()].copy_from_slice(&i64::from(code).to_le_bytes());
        bytes[first.clone()].copy_from_slice(&one.to_le_bytes());
        bytes[second.clone()].copy_from_slice(&two.to_le_bytes());
        bytes
    });
    let word = |at: &std::ops::Range<usize>| {
        let mut word = [0; 8];
        word.copy_from_slice(&value[at.clone()]);
        i64::from_le_bytes(word)
    };
    (word(&result) as c_int, word(&first), word(&second))
}

/// `getrandom`
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(to: *mut c_void, len: size_t, flags: c_uint) -> ssize_t {
    if !is_event() {
        return next!(getrandom(to, len, flags) as Getrandom);
    }
    entry::call("getrandom", || {
        let bytes = reads::bytes(|| {
            let mut bytes = vec![0; len];
            let got = next!(getrandom(bytes.as_mut_ptr().cast(), len, flags) as Getrandom);
            bytes.truncate(usize::try_from(got).unwrap_or(0));
            bytes
        });
        // SAFETY: the caller gives room for `len` bytes.
        unsafe { hand_over(&bytes, to, len) };
        if bytes.is_empty() && len > 0 { -1 } else { bytes.len() as ssize_t }
    })
}

/// `getentropy`
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getentropy(to: *mut c_void, len: size_t) -> c_int {
    if !is_event() {
        return next!(getentropy(to, len) as Getentropy);
    }
    entry::call("getentropy", || {
        let bytes = reads::bytes(|| {
            let mut bytes = vec![0; len];
            let failed = next!(getentropy(bytes.as_mut_ptr().cast(), len) as Getentropy) != 0;
            if failed { Vec::new() } else { bytes }
        });
        // SAFETY: the caller gives room for `len` bytes.
        unsafe { hand_over(&bytes, to, len) };
        if bytes.len() == len { 0 } else { -1 }
    })
}

/// `gethostname`
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gethostname(to: *mut c_char, len: size_t) -> c_int {
    if !is_event() {
        return next!(gethostname(to, len) as Gethostname);
    }
    entry::call("gethostname", || {
        let bytes = reads::bytes(|| {
            let mut bytes = vec![0u8; len];
            let failed = next!(gethostname(bytes.as_mut_ptr().cast(), len) as Gethostname) != 0;
            if failed { Vec::new() } else { bytes }
        });
        // SAFETY: the caller gives room for `len` bytes.
        unsafe { hand_over(&bytes, to.cast(), len) };
        if bytes.len() == len { 0 } else { -1 }
    })
}

/// Copies what was read to the caller, who has room for `room` bytes.
unsafe fn hand_over(bytes: &[u8], to: *mut c_void, room: usize) {
    if bytes.len() > room {
        reads::wrong_size(bytes.len(), room);
    }
    // SAFETY: there is room, as this function's contract has it.
    unsafe { to.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
}

/// The functions that open a file by flags. In C the mode is there for new files only; it is passed on as it stands.
macro_rules! opens {
    ($($name:ident)*) => {$(
        #[doc = concat!("`", stringify!($name), "`")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
            let file = next!($name(path, flags, mode) as Open);
            if file >= 0 && flags & libc::O_ACCMODE != libc::O_RDONLY {
                // SAFETY: the caller gives a string.
                unsafe { warn_of_file(path) };
            }
            file
        }
    )*};
}

macro_rules! opens_at {
    ($($name:ident)*) => {$(
        #[doc = concat!("`", stringify!($name), "`")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
            let file = next!($name(dir, path, flags, mode) as OpenAt);
            if file >= 0 && flags & libc::O_ACCMODE != libc::O_RDONLY {
                // SAFETY: the caller gives a string.
                unsafe { warn_of_file(path) };
            }
            file
        }
    )*};
}

macro_rules! creates {
    ($($name:ident)*) => {$(
        #[doc = concat!("`", stringify!($name), "`")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, mode: mode_t) -> c_int {
            let file = next!($name(path, mode) as Creat);
            if file >= 0 {
                // SAFETY: the caller gives a string.
                unsafe { warn_of_file(path) };
            }
            file
        }
    )*};
}

macro_rules! streams {
    ($($name:ident)*) => {$(
        #[doc = concat!("`", stringify!($name), "`")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, mode: *const c_char) -> *mut libc::FILE {
            let file = next!($name(path, mode) as Fopen);
            // SAFETY: the caller gives two strings.
            unsafe {
                if !file.is_null() && CStr::from_ptr(mode).to_bytes().iter().any(|letter| b"wa+".contains(letter)) {
                    warn_of_file(path);
                }
            }
            file
        }
    )*};
}

opens!(open open64);
opens_at!(openat openat64);
creates!(creat creat64);
streams!(fopen fopen64);

/// Says, once, that the application has opened a file to write: a try that failed, as Fortran's `OPEN` makes them, is none.
///
/// # Safety
/// `path` is null or a string.
unsafe fn warn_of_file(path: *const c_char) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !world::replays() || entry::inside() || path.is_null() {
        return;
    }
    // SAFETY: as this function's contract has it.
    let path = unsafe { CStr::from_ptr(path) }.to_string_lossy();
    if path.starts_with("/dev/") || path.starts_with("/proc/") || SAID.swap(true, Ordering::Relaxed) {
        return;
    }
    let _inside = entry::Inside::enter();
    end::note(&format!(
        "the program opens `{path}` for writing; a re-executed rank writes its files again from the beginning"
    ));
}
