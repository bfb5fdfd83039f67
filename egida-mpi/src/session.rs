//! Sessions, which begin and end like MPI itself, with two sets of processes each (MPI 5.0, section 11.3).

use std::ffi::{CStr, c_char, c_int};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::constants::*;
use crate::errors::{self, Failure, Handler, Outcome};
use crate::group::{self, Group};
use crate::handle::{MPI_Errhandler, MPI_Group, MPI_Info, MPI_Session, Table};
use crate::info::{self, Info};
use crate::status::null;
use crate::{env, world};

/// A session.
#[derive(Debug)]
struct Session {
    handler: Handler,
    info: Info,
}

static SESSIONS: Mutex<Table<MPI_Session, Session>> = Mutex::new(Table::new());

fn lock() -> MutexGuard<'static, Table<MPI_Session, Session>> {
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn none() -> Failure {
    Failure::new(MPI_ERR_SESSION, "the session is not one, is null, or was finalized")
}

/// What to do with an error of a session.
pub fn handler(session: MPI_Session) -> Outcome<Handler> {
    lock().get(session).map(|session| session.handler.clone()).ok_or_else(none)
}

/// Changes what to do with an error of a session.
pub fn set_handler(session: MPI_Session, handler: Handler) -> Outcome {
    lock().get_mut(session).ok_or_else(none)?.handler = handler;
    Ok(())
}

/// Raises errors of `body` on a session.
fn on<T>(session: MPI_Session, body: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let handler = handler(session)?;
    body().map_err(|failure| failure.on_session(session, handler))
}

/// `MPI_Session_init`
pub unsafe fn init(info: MPI_Info, errhandler: MPI_Errhandler, session: *mut MPI_Session) -> Outcome {
    let handler = errors::handler_of(errhandler)?;
    let begun = || -> Outcome<MPI_Session> {
        if session.is_null() {
            return Err(null("the session"));
        }
        let mut hints = info::get(info)?;
        let required = match hints.get("thread_level") {
            None => None,
            Some(name) => Some(env::thread_level(name).ok_or_else(|| {
                Failure::new(MPI_ERR_INFO_VALUE, format!("there is no thread level `{name}`"))
            })?),
        };
        env::begin_session()?;
        hints.set("thread_level", env::provide_thread_level(required));
        hints.set("mpi_size", &world::with(|world| world.size()).to_string());
        Ok(lock().insert(Session { handler: handler.clone(), info: hints }))
    };
    let handle = begun().map_err(|failure| failure.to(handler.clone()))?;
    // SAFETY: the caller gives room for a handle.
    unsafe { session.write(handle) };
    Ok(())
}

/// `MPI_Session_finalize`
pub unsafe fn finalize(session: *mut MPI_Session) -> Outcome {
    // SAFETY: the caller points to a handle.
    let handle = unsafe { &mut *session };
    lock().remove(*handle).ok_or_else(none)?;
    *handle = MPI_SESSION_NULL;
    env::end_session()
}

/// The sets of processes, by name.
const SETS: [&str; 2] = ["mpi://WORLD", "mpi://SELF"];

/// `MPI_Session_get_num_psets`
pub unsafe fn get_num_psets(session: MPI_Session, info: MPI_Info, npset_names: *mut c_int) -> Outcome {
    on(session, || {
        info::get(info)?;
        if npset_names.is_null() {
            return Err(null("the number of sets"));
        }
        // SAFETY: the caller gives room for an integer.
        unsafe { npset_names.write(SETS.len() as c_int) };
        Ok(())
    })
}

/// `MPI_Session_get_nth_pset`
pub unsafe fn get_nth_pset(
    session: MPI_Session,
    info: MPI_Info,
    n: c_int,
    pset_len: *mut c_int,
    pset_name: *mut c_char,
) -> Outcome {
    on(session, || {
        info::get(info)?;
        let name = usize::try_from(n).ok().and_then(|n| SETS.get(n));
        let name = name.ok_or_else(|| Failure::new(MPI_ERR_ARG, format!("set {n} of {}", SETS.len())))?;
        if pset_len.is_null() {
            return Err(null("the length"));
        }
        // SAFETY: the caller gives a length, and room for so many letters.
        unsafe {
            let room = usize::try_from(pset_len.read()).unwrap_or(0);
            if room > 0 {
                if pset_name.is_null() {
                    return Err(null("the name"));
                }
                let letters = &name.as_bytes()[..name.len().min(room - 1)];
                pset_name.cast::<u8>().copy_from_nonoverlapping(letters.as_ptr(), letters.len());
                pset_name.add(letters.len()).write(0);
            }
            pset_len.write(name.len() as c_int + 1);
        }
        Ok(())
    })
}

/// The processes of a set.
unsafe fn members(pset_name: *const c_char) -> Outcome<Group> {
    if pset_name.is_null() {
        return Err(null("the name of the set"));
    }
    // SAFETY: the caller gives a string.
    let name = unsafe { CStr::from_ptr(pset_name) }.to_string_lossy();
    let (rank, size) = world::with(|world| (world.rank(), world.size()));
    match SETS.iter().position(|set| set.eq_ignore_ascii_case(&name)) {
        Some(0) => Ok(Group::new((0..size).collect())),
        Some(_) => Ok(Group::new(vec![rank])),
        None => Err(Failure::new(MPI_ERR_ARG, format!("there is no set `{name}`"))),
    }
}

/// `MPI_Session_get_pset_info`
pub unsafe fn get_pset_info(session: MPI_Session, pset_name: *const c_char, info: *mut MPI_Info) -> Outcome {
    on(session, || {
        if info.is_null() {
            return Err(null("the info"));
        }
        let mut about = Info::default();
        // SAFETY: the caller gives a string and room for a handle.
        unsafe {
            about.set("mpi_size", &members(pset_name)?.size().to_string());
            info::hand_out(about, info);
        }
        Ok(())
    })
}

/// `MPI_Session_get_info`
pub unsafe fn get_info(session: MPI_Session, info_used: *mut MPI_Info) -> Outcome {
    on(session, || {
        let hints = lock().get(session).map(|session| session.info.clone()).unwrap_or_default();
        // SAFETY: the caller gives room for a handle.
        unsafe { info::hand_out(hints, info_used) };
        Ok(())
    })
}

/// `MPI_Group_from_session_pset`
pub unsafe fn group_from_pset(
    session: MPI_Session,
    pset_name: *const c_char,
    newgroup: *mut MPI_Group,
) -> Outcome {
    on(session, || {
        if newgroup.is_null() {
            return Err(null("the group"));
        }
        // SAFETY: the caller gives a string and room for a handle.
        unsafe { group::hand_out(std::sync::Arc::new(members(pset_name)?), newgroup) }
    })
}
