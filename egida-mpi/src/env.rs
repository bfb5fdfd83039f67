//! Beginning and end, clocks, names, versions, memory (MPI 5.0, chapters 9 and 11).

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};

use crate::constants::*;
use crate::entry::Inside;
use crate::errors::{Failure, Outcome};
use crate::handle::{MPI_Aint, MPI_Comm, MPI_Info};
use crate::info::{self, Info};
use crate::status::{write_flag, write_string};
use crate::{comm, end, reads, request, sole, threads, world};

const BEFORE: u8 = 0;
const RUNNING: u8 = 1;
const AFTER: u8 = 2;

static PHASE: AtomicU8 = AtomicU8::new(BEFORE);
static THREAD_LEVEL: AtomicI32 = AtomicI32::new(MPI_THREAD_SINGLE);
/// The kernel's number of the thread that called `MPI_Init`.
static MAIN_THREAD: AtomicI32 = AtomicI32::new(0);

fn phase() -> u8 {
    PHASE.load(Ordering::Relaxed)
}

fn this_thread() -> c_int {
    // SAFETY: the call has no preconditions.
    unsafe { libc::gettid() }
}

/// `MPI_Init`
pub unsafe fn init(_argc: *mut c_int, _argv: *mut *mut *mut c_char) -> Outcome {
    begin(MPI_THREAD_SINGLE)
}

/// `MPI_Init_thread`
pub unsafe fn init_thread(
    _argc: *mut c_int,
    _argv: *mut *mut *mut c_char,
    required: c_int,
    provided: *mut c_int,
) -> Outcome {
    begin(required)?;
    // SAFETY: the caller gives room for an integer.
    unsafe { provided.write(THREAD_LEVEL.load(Ordering::Relaxed)) };
    Ok(())
}

/// How many sessions there are, and whether the rank has begun and ended. A rank begins with the first session or `MPI_Init`, and ends
/// with `MPI_Finalize` or, where that is not to come, when the process does: another session may begin.
static SESSIONS: AtomicI32 = AtomicI32::new(0);
static BEGUN: AtomicBool = AtomicBool::new(false);

fn begin(required: c_int) -> Outcome {
    if phase() != BEFORE {
        return Err(Failure::new(MPI_ERR_OTHER, "MPI was initialized before"));
    }
    begin_rank()?;
    let level = required.clamp(MPI_THREAD_SINGLE, threads::highest());
    threads::provide(level);
    THREAD_LEVEL.store(level, Ordering::Relaxed);
    MAIN_THREAD.store(this_thread(), Ordering::Relaxed);
    PHASE.store(RUNNING, Ordering::Relaxed);
    // Input that is an event is read on the process's main thread, outside of calls. No other thread may be in one then.
    if !world::replays() || (level < MPI_THREAD_SERIALIZED && world::is_main_thread()) {
        // SAFETY: no level lets two threads call at the same time but that which is refused; and this thread holds nothing.
        unsafe { sole::promise() };
    }
    Ok(())
}

fn begin_rank() -> Outcome {
    if !BEGUN.swap(true, Ordering::Relaxed) {
        let (rank, size) = world::with(|world| world.initialize().map(|()| (world.rank(), world.size())))?;
        comm::init(rank, size);
    }
    Ok(())
}

/// A session begins.
pub fn begin_session() -> Outcome {
    static AT_EXIT: Once = Once::new();
    begin_rank()?;
    SESSIONS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the function may be called at any time from now on.
    AT_EXIT.call_once(|| unsafe {
        libc::atexit(end_of_process);
    });
    Ok(())
}

/// A session ends. A program without `MPI_Init` has come to its end with its last session: what it has sent is sent then, and what
/// comes after is another session's.
pub fn end_session() -> Outcome {
    let last = SESSIONS.fetch_sub(1, Ordering::Relaxed) == 1;
    if last && phase() == BEFORE {
        world::with(request::advance_detached)?;
    }
    Ok(())
}

/// At the end of the process: a program that had sessions only is over.
extern "C" fn end_of_process() {
    let _inside = Inside::enter();
    if BEGUN.load(Ordering::Relaxed) && phase() == BEFORE && SESSIONS.load(Ordering::Relaxed) == 0 {
        PHASE.store(AFTER, Ordering::Relaxed);
        if let Err(fault) = world::with(|world| world.finalize()) {
            end::for_fault(&fault);
        }
    }
}

/// Levels of thread support as info objects name them.
const THREAD_LEVELS: [(c_int, &str); 4] = [
    (MPI_THREAD_SINGLE, "MPI_THREAD_SINGLE"),
    (MPI_THREAD_FUNNELED, "MPI_THREAD_FUNNELED"),
    (MPI_THREAD_SERIALIZED, "MPI_THREAD_SERIALIZED"),
    (MPI_THREAD_MULTIPLE, "MPI_THREAD_MULTIPLE"),
];

/// The thread level of that name.
pub fn thread_level(name: &str) -> Option<c_int> {
    THREAD_LEVELS.iter().find(|(_, known)| *known == name).map(|&(level, _)| level)
}

/// Provides a session's thread level, or the highest below it that can be; returns which, in words. The rank has begun.
pub fn provide_thread_level(required: Option<c_int>) -> &'static str {
    let level =
        required.map_or(THREAD_LEVEL.load(Ordering::Relaxed), |required| required.min(threads::highest()));
    threads::provide(level);
    name_of(level)
}

/// The thread level in words, as info objects have it.
pub fn thread_level_name() -> &'static str {
    name_of(THREAD_LEVEL.load(Ordering::Relaxed))
}

fn name_of(level: c_int) -> &'static str {
    THREAD_LEVELS.iter().find(|&&(known, _)| known == level).map_or("MPI_THREAD_SINGLE", |&(_, name)| name)
}

/// `MPI_Initialized`
pub unsafe fn initialized(flag: *mut c_int) -> Outcome {
    // SAFETY: the caller gives room for a flag; so in the next three.
    unsafe { write_flag(flag, phase() != BEFORE) };
    Ok(())
}

/// `MPI_Finalized`
pub unsafe fn finalized(flag: *mut c_int) -> Outcome {
    // SAFETY: see above.
    unsafe { write_flag(flag, phase() == AFTER) };
    Ok(())
}

/// `MPI_Is_thread_main`
pub unsafe fn is_thread_main(flag: *mut c_int) -> Outcome {
    // SAFETY: see above.
    unsafe { write_flag(flag, this_thread() == MAIN_THREAD.load(Ordering::Relaxed)) };
    Ok(())
}

/// `MPI_Query_thread`
pub unsafe fn query_thread(provided: *mut c_int) -> Outcome {
    // SAFETY: see above.
    unsafe { provided.write(THREAD_LEVEL.load(Ordering::Relaxed)) };
    Ok(())
}

/// `MPI_Finalize`
pub unsafe fn finalize() -> Outcome {
    if phase() != RUNNING {
        return Err(Failure::new(MPI_ERR_OTHER, "MPI is not initialized, or was finalized before"));
    }
    comm::finalize()?;
    world::with(request::advance_detached)?;
    request::finish_detached();
    world::with(|world| world.finalize())?;
    PHASE.store(AFTER, Ordering::Relaxed);
    Ok(())
}

/// `MPI_Abort`
pub unsafe fn abort(_comm: MPI_Comm, errorcode: c_int) -> Outcome {
    end::with_message(&format!("MPI_Abort was called with code {errorcode}"), errorcode)
}

/// `MPI_Wtime`: seconds since some moment in the past, an input from outside.
pub unsafe fn wtime() -> f64 {
    f64::from_le_bytes(reads::fixed(|| {
        let time = monotonic(libc::clock_gettime);
        (time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9).to_le_bytes()
    }))
}

/// `MPI_Wtick`
pub unsafe fn wtick() -> f64 {
    let tick = monotonic(libc::clock_getres);
    tick.tv_sec as f64 + tick.tv_nsec as f64 * 1e-9
}

fn monotonic(ask: unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for the answer.
    unsafe { ask(libc::CLOCK_MONOTONIC, &raw mut time) };
    time
}

/// `MPI_Get_processor_name`: of the node where the rank ran first, an input from outside.
pub unsafe fn get_processor_name(name: *mut c_char, resultlen: *mut c_int) -> Outcome {
    let text = reads::bytes(|| {
        let mut buffer = [0u8; MPI_MAX_PROCESSOR_NAME as usize];
        // SAFETY: the last byte stays 0, so that the name ends.
        unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) };
        CStr::from_bytes_until_nul(&buffer).map(|name| name.to_bytes().to_vec()).unwrap_or_default()
    });
    let text = String::from_utf8_lossy(&text);
    // SAFETY: the caller gives room for MPI_MAX_PROCESSOR_NAME letters and for the length.
    unsafe { write_string(&text, MPI_MAX_PROCESSOR_NAME, name, resultlen) };
    Ok(())
}

/// `MPI_Get_hw_resource_info`: of no resource is it known whether a rank is bound to it.
pub unsafe fn get_hw_resource_info(hw_info: *mut MPI_Info) -> Outcome {
    // SAFETY: the caller gives room for a handle.
    unsafe { info::hand_out(Info::default(), hw_info) };
    Ok(())
}

/// `MPI_Get_version`
pub unsafe fn get_version(version: *mut c_int, subversion: *mut c_int) -> Outcome {
    // SAFETY: the caller gives room for both; so in the next.
    unsafe {
        version.write(MPI_VERSION);
        subversion.write(MPI_SUBVERSION);
    }
    Ok(())
}

/// `MPI_Get_library_version`
pub unsafe fn get_library_version(version: *mut c_char, resultlen: *mut c_int) -> Outcome {
    let text = concat!("Egida ", env!("CARGO_PKG_VERSION"), ", MPI 5.0 standard ABI");
    // SAFETY: the caller gives room for MPI_MAX_LIBRARY_VERSION_STRING letters and for the length.
    unsafe { write_string(text, MPI_MAX_LIBRARY_VERSION_STRING, version, resultlen) };
    Ok(())
}

/// `MPI_Alloc_mem`: ordinary memory.
pub unsafe fn alloc_mem(size: MPI_Aint, _info: MPI_Info, baseptr: *mut c_void) -> Outcome {
    let size = usize::try_from(size).map_err(|_| Failure::new(MPI_ERR_ARG, format!("size {size}")))?;
    // SAFETY: the caller gives room for an address.
    unsafe {
        let memory = libc::malloc(size.max(1));
        if memory.is_null() {
            return Err(Failure::new(MPI_ERR_NO_MEM, format!("{size} bytes")));
        }
        baseptr.cast::<*mut c_void>().write(memory);
    }
    Ok(())
}

/// `MPI_Free_mem`
pub unsafe fn free_mem(base: *mut c_void) -> Outcome {
    // SAFETY: the caller had it from `MPI_Alloc_mem`.
    unsafe { libc::free(base) };
    Ok(())
}

/// `MPI_Get_address`
pub unsafe fn get_address(location: *const c_void, address: *mut MPI_Aint) -> Outcome {
    // SAFETY: the caller gives room for an address.
    unsafe { address.write(location as MPI_Aint) };
    Ok(())
}

/// `MPI_Aint_add`
pub unsafe fn aint_add(base: MPI_Aint, disp: MPI_Aint) -> MPI_Aint {
    base.wrapping_add(disp)
}

/// `MPI_Aint_diff`
pub unsafe fn aint_diff(addr1: MPI_Aint, addr2: MPI_Aint) -> MPI_Aint {
    addr1.wrapping_sub(addr2)
}

/// `MPI_Pcontrol`: there is no profiler to control.
pub unsafe fn pcontrol(_level: c_int) -> Outcome {
    Ok(())
}
