//! The tool information interface (MPI 5.0, chapter 15), as far as there is something to tell: one control variable and the
//! rank's counts. There are no categories, no events, no sources and no enumerations; what would need one is refused.
//!
//! Its functions return their errors and raise none. What a program reads here is input to it like a clock: a re-execution
//! reads the same.
#![allow(clippy::too_many_arguments)] // the standard's

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use egida_core::driver::Progress;
use egida_core::fault::Fault;

use crate::constants::*;
use crate::handle::{MPI_Datatype, MPI_T_cvar_handle, MPI_T_enum, MPI_T_pvar_handle, MPI_T_pvar_session};
use crate::{end, sole, threads, world};

/// A control variable: an integer that nobody can set.
struct Setting {
    name: &'static str,
    about: &'static str,
    value: fn() -> c_int,
}

const SETTINGS: &[Setting] = &[Setting {
    name: "egida_replays",
    about: "1 where the protocol re-executes a rank that died, 0 where the job ends with it",
    value: || c_int::from(world::replays()),
}];

/// A performance variable: a count that never stops, of this life of the rank.
struct Count {
    name: &'static str,
    about: &'static str,
    value: fn(&Progress) -> u64,
}

const COUNTS: &[Count] = &[
    Count {
        name: "egida_messages_sent",
        about: "messages that the rank has sent, re-executed sends included",
        value: |counts| counts.sends,
    },
    Count {
        name: "egida_messages_received",
        about: "receives that were matched with a message, repeated ones included",
        value: |counts| counts.deliveries,
    },
    Count {
        name: "egida_events",
        about: "non-deterministic events of the rank that have a determinant",
        value: |counts| counts.events,
    },
    Count {
        name: "egida_receives_repeated",
        about: "receives that repeated one of an earlier life of the rank",
        value: |counts| counts.replayed_deliveries,
    },
    Count {
        name: "egida_sends_skipped",
        about: "messages that an earlier life of the rank had sent already",
        value: |counts| counts.skipped_sends,
    },
];

/// Who uses the interface, and what they have in hand.
struct Tools {
    users: u32,
    last_handle: usize,
    /// Handles of control variables, and which.
    settings: BTreeMap<usize, usize>,
    /// Sessions with their handles of performance variables, and which.
    sessions: BTreeMap<usize, BTreeMap<usize, usize>>,
}

impl Tools {
    /// A handle that is none of the constants.
    fn new_handle(&mut self) -> usize {
        self.last_handle += 1;
        self.last_handle + MPI_T_PVAR_ALL_HANDLES
    }
}

static TOOLS: Mutex<Tools> =
    Mutex::new(Tools { users: 0, last_handle: 0, settings: BTreeMap::new(), sessions: BTreeMap::new() });

fn lock() -> MutexGuard<'static, Tools> {
    TOOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a function answers: nothing, or the code of an error.
type Told = Result<(), c_int>;

/// Answers where the interface is initialized.
fn answer(body: impl FnOnce(&mut Tools) -> Told) -> c_int {
    let mut tools = lock();
    let told = if tools.users == 0 { Err(MPI_T_ERR_NOT_INITIALIZED) } else { body(&mut tools) };
    told.err().unwrap_or(MPI_SUCCESS)
}

fn at<T>(table: &'static [T], index: c_int) -> Result<&'static T, c_int> {
    usize::try_from(index).ok().and_then(|index| table.get(index)).ok_or(MPI_T_ERR_INVALID_INDEX)
}

/// Writes where the caller gives room.
///
/// # Safety
/// `to` is null or has room for a value.
unsafe fn write<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: as this function's contract has it.
        unsafe { to.write(value) };
    }
}

/// The same, and that is all there is to it.
///
/// # Safety
/// As for [`write`].
unsafe fn tell<T>(to: *mut T, value: T) -> Told {
    // SAFETY: as this function's contract has it.
    unsafe { write(to, value) };
    Ok(())
}

/// Writes a string as far as there is room for it and its zero, and how much room it takes (section 15.3.3).
///
/// # Safety
/// `len` is null, or points to how many letters `string` has room for; `string` may be null.
unsafe fn write_text(text: &str, string: *mut c_char, len: *mut c_int) {
    if len.is_null() {
        return;
    }
    // SAFETY: no more than the room that `len` tells is written; the caller gives it.
    unsafe {
        let room = usize::try_from(*len).unwrap_or(0);
        if !string.is_null() && room > 0 {
            let letters = text.len().min(room - 1);
            string.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), letters);
            string.add(letters).write(0);
        }
        len.write(text.len() as c_int + 1);
    }
}

/// The place of the variable of that name.
///
/// # Safety
/// `name` is null or a string.
unsafe fn place(name: *const c_char, names: impl Iterator<Item = &'static str>) -> Result<c_int, c_int> {
    if name.is_null() {
        return Err(MPI_T_ERR_INVALID_NAME);
    }
    // SAFETY: as this function's contract has it.
    let wanted = unsafe { CStr::from_ptr(name) };
    let found = (0..).zip(names).find(|(_, name)| name.as_bytes() == wanted.to_bytes());
    found.map(|(index, _)| index).ok_or(MPI_T_ERR_INVALID_NAME)
}

/// What the rank counts now, or what it read here before.
fn read(count: &Count) -> u64 {
    let read = world::with(|world| {
        let now = (count.value)(&world.counts());
        world.read(&mut || now.to_le_bytes().to_vec())
    });
    let whole = |bytes: Vec<u8>| {
        bytes.try_into().map(u64::from_le_bytes).map_err(|_| Fault::Bug("a count was read that is none"))
    };
    read.and_then(whole).unwrap_or_else(|fault| end::for_fault(&fault))
}

/// `MPI_T_init_thread`
pub unsafe fn init_thread(required: c_int, provided: *mut c_int) -> c_int {
    world::with(|_| ());
    lock().users += 1;
    let level = required.clamp(MPI_THREAD_SINGLE, threads::highest());
    if level == MPI_THREAD_MULTIPLE {
        sole::refuse();
    }
    // SAFETY: the caller gives room for an integer; so in all of this file for what is asked for.
    unsafe { write(provided, level) };
    MPI_SUCCESS
}

/// `MPI_T_finalize`
pub unsafe fn finalize() -> c_int {
    answer(|tools| {
        tools.users -= 1;
        if tools.users == 0 {
            tools.settings.clear();
            tools.sessions.clear();
        }
        Ok(())
    })
}

/// `MPI_T_cvar_get_num`
pub unsafe fn cvar_get_num(num_cvar: *mut c_int) -> c_int {
    // SAFETY: see `init_thread`.
    answer(|_| unsafe { tell(num_cvar, SETTINGS.len() as c_int) })
}

/// `MPI_T_cvar_get_info`
pub unsafe fn cvar_get_info(
    cvar_index: c_int,
    name: *mut c_char,
    name_len: *mut c_int,
    verbosity: *mut c_int,
    datatype: *mut MPI_Datatype,
    enumtype: *mut MPI_T_enum,
    desc: *mut c_char,
    desc_len: *mut c_int,
    bind: *mut c_int,
    scope: *mut c_int,
) -> c_int {
    answer(|_| {
        let setting = at(SETTINGS, cvar_index)?;
        // SAFETY: see `init_thread`.
        unsafe {
            write_text(setting.name, name, name_len);
            write(verbosity, MPI_T_VERBOSITY_USER_BASIC);
            write(datatype, MPI_INT);
            write(enumtype, MPI_T_ENUM_NULL);
            write_text(setting.about, desc, desc_len);
            write(bind, MPI_T_BIND_NO_OBJECT);
            write(scope, MPI_T_SCOPE_CONSTANT);
        }
        Ok(())
    })
}

/// `MPI_T_cvar_get_index`
pub unsafe fn cvar_get_index(name: *const c_char, cvar_index: *mut c_int) -> c_int {
    // SAFETY: see `init_thread`; the name is a string.
    answer(|_| unsafe { tell(cvar_index, place(name, SETTINGS.iter().map(|setting| setting.name))?) })
}

/// `MPI_T_cvar_handle_alloc`
pub unsafe fn cvar_handle_alloc(
    cvar_index: c_int,
    _obj_handle: *mut c_void,
    handle: *mut MPI_T_cvar_handle,
    count: *mut c_int,
) -> c_int {
    answer(|tools| {
        at(SETTINGS, cvar_index)?;
        let new = tools.new_handle();
        tools.settings.insert(new, cvar_index as usize);
        // SAFETY: see `init_thread`.
        unsafe {
            write(handle, new);
            write(count, 1);
        }
        Ok(())
    })
}

/// `MPI_T_cvar_handle_free`
pub unsafe fn cvar_handle_free(handle: *mut MPI_T_cvar_handle) -> c_int {
    answer(|tools| {
        // SAFETY: the caller points to a handle.
        let handle = unsafe { handle.as_mut() }.ok_or(MPI_T_ERR_INVALID_HANDLE)?;
        tools.settings.remove(handle).ok_or(MPI_T_ERR_INVALID_HANDLE)?;
        *handle = MPI_T_CVAR_HANDLE_NULL;
        Ok(())
    })
}

/// `MPI_T_cvar_read`
pub unsafe fn cvar_read(handle: MPI_T_cvar_handle, buf: *mut c_void) -> c_int {
    answer(|tools| {
        let &index = tools.settings.get(&handle).ok_or(MPI_T_ERR_INVALID_HANDLE)?;
        // SAFETY: see `init_thread`.
        unsafe { write(buf.cast(), (SETTINGS[index].value)()) };
        Ok(())
    })
}

/// `MPI_T_cvar_write`
pub unsafe fn cvar_write(handle: MPI_T_cvar_handle, _buf: *const c_void) -> c_int {
    answer(|tools| {
        Err(if tools.settings.contains_key(&handle) {
            MPI_T_ERR_CVAR_SET_NEVER
        } else {
            MPI_T_ERR_INVALID_HANDLE
        })
    })
}

/// `MPI_T_pvar_get_num`
pub unsafe fn pvar_get_num(num_pvar: *mut c_int) -> c_int {
    // SAFETY: see `init_thread`.
    answer(|_| unsafe { tell(num_pvar, COUNTS.len() as c_int) })
}

/// `MPI_T_pvar_get_info`
pub unsafe fn pvar_get_info(
    pvar_index: c_int,
    name: *mut c_char,
    name_len: *mut c_int,
    verbosity: *mut c_int,
    var_class: *mut c_int,
    datatype: *mut MPI_Datatype,
    enumtype: *mut MPI_T_enum,
    desc: *mut c_char,
    desc_len: *mut c_int,
    bind: *mut c_int,
    readonly: *mut c_int,
    continuous: *mut c_int,
    atomic: *mut c_int,
) -> c_int {
    answer(|_| {
        let count = at(COUNTS, pvar_index)?;
        // SAFETY: see `init_thread`.
        unsafe {
            write_text(count.name, name, name_len);
            write(verbosity, MPI_T_VERBOSITY_USER_BASIC);
            write(var_class, MPI_T_PVAR_CLASS_COUNTER);
            write(datatype, MPI_UNSIGNED_LONG_LONG);
            write(enumtype, MPI_T_ENUM_NULL);
            write_text(count.about, desc, desc_len);
            write(bind, MPI_T_BIND_NO_OBJECT);
            write(readonly, 1);
            write(continuous, 1);
            write(atomic, 0);
        }
        Ok(())
    })
}

/// `MPI_T_pvar_get_index`
pub unsafe fn pvar_get_index(name: *const c_char, var_class: c_int, pvar_index: *mut c_int) -> c_int {
    answer(|_| {
        // SAFETY: see `init_thread`; the name is a string.
        unsafe {
            let index = place(name, COUNTS.iter().map(|count| count.name))?;
            if var_class != MPI_T_PVAR_CLASS_COUNTER {
                return Err(MPI_T_ERR_INVALID_NAME);
            }
            write(pvar_index, index);
        }
        Ok(())
    })
}

/// `MPI_T_pvar_session_create`
pub unsafe fn pvar_session_create(session: *mut MPI_T_pvar_session) -> c_int {
    answer(|tools| {
        let new = tools.new_handle();
        tools.sessions.insert(new, BTreeMap::new());
        // SAFETY: see `init_thread`.
        unsafe { write(session, new) };
        Ok(())
    })
}

/// `MPI_T_pvar_session_free`
pub unsafe fn pvar_session_free(session: *mut MPI_T_pvar_session) -> c_int {
    answer(|tools| {
        // SAFETY: the caller points to a session.
        let session = unsafe { session.as_mut() }.ok_or(MPI_T_ERR_INVALID_SESSION)?;
        tools.sessions.remove(session).ok_or(MPI_T_ERR_INVALID_SESSION)?;
        *session = MPI_T_PVAR_SESSION_NULL;
        Ok(())
    })
}

impl Tools {
    fn session(&mut self, session: MPI_T_pvar_session) -> Result<&mut BTreeMap<usize, usize>, c_int> {
        self.sessions.get_mut(&session).ok_or(MPI_T_ERR_INVALID_SESSION)
    }

    fn count(
        &mut self,
        session: MPI_T_pvar_session,
        handle: MPI_T_pvar_handle,
    ) -> Result<&'static Count, c_int> {
        let held = self.session(session)?.get(&handle);
        held.map(|&index| &COUNTS[index]).ok_or(MPI_T_ERR_INVALID_HANDLE)
    }

    /// The answer to what no variable here can do, asked of one of them or of all of a session.
    fn cannot(&mut self, session: MPI_T_pvar_session, handle: MPI_T_pvar_handle, why: c_int) -> Told {
        if handle == MPI_T_PVAR_ALL_HANDLES {
            // Those that cannot are passed over (section 15.3.7).
            return self.session(session).map(|_| ());
        }
        self.count(session, handle)?;
        Err(why)
    }
}

/// `MPI_T_pvar_handle_alloc`
pub unsafe fn pvar_handle_alloc(
    session: MPI_T_pvar_session,
    pvar_index: c_int,
    _obj_handle: *mut c_void,
    handle: *mut MPI_T_pvar_handle,
    count: *mut c_int,
) -> c_int {
    answer(|tools| {
        at(COUNTS, pvar_index)?;
        let new = tools.new_handle();
        tools.session(session)?.insert(new, pvar_index as usize);
        // SAFETY: see `init_thread`.
        unsafe {
            write(handle, new);
            write(count, 1);
        }
        Ok(())
    })
}

/// `MPI_T_pvar_handle_free`
pub unsafe fn pvar_handle_free(session: MPI_T_pvar_session, handle: *mut MPI_T_pvar_handle) -> c_int {
    answer(|tools| {
        // SAFETY: the caller points to a handle.
        let handle = unsafe { handle.as_mut() }.ok_or(MPI_T_ERR_INVALID_HANDLE)?;
        tools.session(session)?.remove(handle).ok_or(MPI_T_ERR_INVALID_HANDLE)?;
        *handle = MPI_T_PVAR_HANDLE_NULL;
        Ok(())
    })
}

/// `MPI_T_pvar_start`: counts never stop.
pub unsafe fn pvar_start(session: MPI_T_pvar_session, handle: MPI_T_pvar_handle) -> c_int {
    answer(|tools| tools.cannot(session, handle, MPI_T_ERR_PVAR_NO_STARTSTOP))
}

/// `MPI_T_pvar_stop`: counts never stop.
pub unsafe fn pvar_stop(session: MPI_T_pvar_session, handle: MPI_T_pvar_handle) -> c_int {
    answer(|tools| tools.cannot(session, handle, MPI_T_ERR_PVAR_NO_STARTSTOP))
}

/// `MPI_T_pvar_read`
pub unsafe fn pvar_read(session: MPI_T_pvar_session, handle: MPI_T_pvar_handle, buf: *mut c_void) -> c_int {
    answer(|tools| {
        let count = tools.count(session, handle)?;
        // SAFETY: see `init_thread`.
        unsafe { write(buf.cast(), read(count)) };
        Ok(())
    })
}

/// `MPI_T_pvar_write`
pub unsafe fn pvar_write(
    session: MPI_T_pvar_session,
    handle: MPI_T_pvar_handle,
    _buf: *const c_void,
) -> c_int {
    answer(|tools| tools.cannot(session, handle, MPI_T_ERR_PVAR_NO_WRITE))
}

/// `MPI_T_pvar_reset`
pub unsafe fn pvar_reset(session: MPI_T_pvar_session, handle: MPI_T_pvar_handle) -> c_int {
    answer(|tools| tools.cannot(session, handle, MPI_T_ERR_PVAR_NO_WRITE))
}

/// `MPI_T_pvar_readreset`
pub unsafe fn pvar_readreset(
    session: MPI_T_pvar_session,
    handle: MPI_T_pvar_handle,
    _buf: *mut c_void,
) -> c_int {
    answer(|tools| {
        tools.count(session, handle)?;
        Err(MPI_T_ERR_PVAR_NO_ATOMIC)
    })
}

/// Of what there is none: `MPI_T_category_get_num`, `MPI_T_category_changed`, `MPI_T_event_get_num`, `MPI_T_source_get_num`.
pub unsafe fn none(number: *mut c_int) -> c_int {
    // SAFETY: see `init_thread`.
    answer(|_| unsafe { tell(number, 0) })
}

/// No name is of one: `MPI_T_category_get_index`, `MPI_T_event_get_index`.
pub unsafe fn no_name(_name: *const c_char, _index: *mut c_int) -> c_int {
    answer(|_| Err(MPI_T_ERR_INVALID_NAME))
}

/// No index is of one: the lists of a category.
pub unsafe fn no_list(_index: c_int, _len: c_int, _indices: *mut c_int) -> c_int {
    answer(|_| Err(MPI_T_ERR_INVALID_INDEX))
}

/// No index is of one: `MPI_T_category_get_num_events`.
pub unsafe fn no_number(_index: c_int, _number: *mut c_int) -> c_int {
    answer(|_| Err(MPI_T_ERR_INVALID_INDEX))
}

/// `MPI_T_category_get_info`
pub unsafe fn category_get_info(
    _index: c_int,
    _name: *mut c_char,
    _name_len: *mut c_int,
    _desc: *mut c_char,
    _desc_len: *mut c_int,
    _num_cvars: *mut c_int,
    _num_pvars: *mut c_int,
    _num_categories: *mut c_int,
) -> c_int {
    answer(|_| Err(MPI_T_ERR_INVALID_INDEX))
}
