//! MPI-IO on ordinary files (MPI 5.0, chapter 14).
//!
//! What a call does to a file happens outside of the job, so that its result is an input, as a clock's is: a rank that is executed again
//! is given the result that it had, and touches the file only where that was lost, with nobody having seen it. So what a later
//! write of another rank has changed stays changed, and a read gives what it gave.
//!
//! What it does not do: hold a call back until nothing can take back what it depends on. Under an optimistic protocol a rank that
//! rolls back might do a call again that others have seen the effect of, so that files are refused there.
//!
//! Every access is complete on return; the request of a non-blocking one is complete from the start.

mod access;
mod data;
mod datarep;
mod manage;
mod outside;
mod shared;
mod view;

use std::ffi::{CStr, c_char, c_int};
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::comm::{self, Communicator};
use crate::constants::*;
use crate::errors::{Failure, Handler, Outcome};
use crate::handle::{MPI_Comm, MPI_File, MPI_Info, MPI_Status, Table};
use crate::info::{self, Info};
use crate::status::null;
use crate::{coll, end, file::view::View, world};

pub use access::*;
pub use datarep::{register as register_datarep, register_large as register_datarep_large};
pub use manage::{
    call_errhandler_place, get_amode, get_atomicity, get_byte_offset, get_group, get_info, get_position,
    get_position_shared, get_size, get_type_extent, get_view, preallocate, seek, seek_shared, set_atomicity,
    set_info, set_size, set_view, sync,
};

/// An open file.
#[derive(Debug)]
pub struct File {
    comm: Arc<Communicator>,
    path: PathBuf,
    amode: c_int,
    /// The file itself; `None` where it has gone since an earlier execution opened it.
    file: Option<fs::File>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    handler: Handler,
    info: Info,
    view: View,
    /// This process's position, in elementary types of the view.
    position: i64,
    atomic: bool,
    /// How many accesses by the shared position were made.
    shared_accesses: u64,
    /// What a split collective that has begun found.
    split: Option<MPI_Status>,
}

impl File {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All processes of the file are here.
    fn meet(&self) -> Outcome {
        coll::exchange(&self.comm, [0u8]).map(drop)
    }
}

static FILES: Mutex<Table<MPI_File, Arc<File>>> = Mutex::new(Table::new());
/// The error handler of files that are not open.
static DEFAULT_HANDLER: Mutex<Handler> = Mutex::new(Handler::Return);

fn lock() -> MutexGuard<'static, Table<MPI_File, Arc<File>>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn default_handler() -> MutexGuard<'static, Handler> {
    DEFAULT_HANDLER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What to do with an error of a file.
pub fn handler(file: MPI_File) -> Outcome<Handler> {
    if file == MPI_FILE_NULL {
        return Ok(default_handler().clone());
    }
    Ok(get(file)?.state().handler.clone())
}

/// Changes what to do with an error of a file.
pub fn set_handler(file: MPI_File, handler: Handler) -> Outcome {
    if file == MPI_FILE_NULL {
        *default_handler() = handler;
    } else {
        get(file)?.state().handler = handler;
    }
    Ok(())
}

/// The file of a handle.
fn get(handle: MPI_File) -> Outcome<Arc<File>> {
    let none = || Failure::new(MPI_ERR_FILE, "the file is not one, is null, or was closed");
    lock().get(handle).cloned().ok_or_else(|| none().on_file(MPI_FILE_NULL, default_handler().clone()))
}

/// Runs `body` with the file of a handle, and raises its errors there.
fn on<T>(handle: MPI_File, body: impl FnOnce(&Arc<File>) -> Outcome<T>) -> Outcome<T> {
    let file = get(handle)?;
    body(&file).map_err(|failure| failure.on_file(handle, file.state().handler.clone()))
}

unsafe fn path_of(name: *const c_char) -> Outcome<PathBuf> {
    if name.is_null() {
        return Err(null("the name of the file"));
    }
    // SAFETY: the caller gives a string.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    // A prefix that names the kind of file system means nothing here.
    let plain = name.split_once(':').filter(|(kind, _)| kind.len() > 1 && !kind.contains('/'));
    Ok(PathBuf::from(plain.map_or(&*name, |(_, rest)| rest)))
}

fn check_mode(amode: c_int) -> Outcome {
    let ways = [MPI_MODE_RDONLY, MPI_MODE_RDWR, MPI_MODE_WRONLY];
    let chosen = ways.iter().filter(|way| amode & **way != 0).count();
    let creates = amode & (MPI_MODE_CREATE | MPI_MODE_EXCL) != 0;
    let wrong = chosen != 1
        || (amode & MPI_MODE_RDONLY != 0 && creates)
        || (amode & MPI_MODE_RDWR != 0 && amode & MPI_MODE_SEQUENTIAL != 0);
    if wrong { Err(Failure::new(MPI_ERR_AMODE, format!("access mode {amode:#x}"))) } else { Ok(()) }
}

fn options(amode: c_int) -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.read(amode & MPI_MODE_WRONLY == 0).write(amode & MPI_MODE_RDONLY == 0).mode(0o666);
    options
}

/// `MPI_File_open`: the first process makes the file, where it is to be made, and the others open it then.
pub unsafe fn open(
    comm: MPI_Comm,
    filename: *const c_char,
    amode: c_int,
    info: MPI_Info,
    fh: *mut MPI_File,
) -> Outcome {
    // Errors of files are returned where nothing else is said, and few programs look: this is no such error.
    if world::with(|world| world.rolls_back()) {
        end::with_message(
            "MPI_File_open is not supported under an optimistic protocol with failure unit node",
            end::ERROR,
        );
    }
    let opened = || -> Outcome<File> {
        let parent = comm::get(comm)?;
        if parent.remote.is_some() {
            return Err(Failure::new(MPI_ERR_COMM, "the communicator is one between two groups"));
        }
        if fh.is_null() {
            return Err(null("the file"));
        }
        // SAFETY: the caller gives a string.
        let path = unsafe { path_of(filename)? };
        let hints = info::get(info)?;
        let own = comm::private_copy(&parent)?;
        let first = |file: &mut fs::OpenOptions| {
            if amode & MPI_MODE_EXCL != 0 && amode & MPI_MODE_CREATE != 0 {
                file.create_new(true).open(&path)
            } else {
                file.create(amode & MPI_MODE_CREATE != 0).open(&path)
            }
        };
        let mut made = check_mode(amode);
        if own.rank == 0 && made.is_ok() {
            made = outside::attempt(|| first(&mut options(amode)).map(|_| Vec::new())).map(drop);
        }
        agree(&own, made)?;
        // As it is in every execution: opened again, not made again.
        let opened = outside::attempt(|| options(amode).open(&path).map(|_| Vec::new())).map(drop);
        agree(&own, opened)?;
        let file = options(amode).open(&path).ok();
        let state = State {
            handler: default_handler().clone(),
            info: hints,
            view: View::bytes(0)?,
            position: 0,
            atomic: false,
            shared_accesses: 0,
            split: None,
        };
        let file = File { comm: own, path, amode, file, state: Mutex::new(state) };
        let end = if amode & MPI_MODE_APPEND != 0 { file.size()? } else { 0 };
        file.state().position = end;
        shared::set(&file, end)?;
        file.meet()?;
        Ok(file)
    };
    match opened() {
        Ok(file) => {
            let handle = lock().insert(Arc::new(file));
            // SAFETY: the caller gives room for a handle.
            unsafe { fh.write(handle) };
            Ok(())
        }
        Err(failure) => Err(failure.on_file(MPI_FILE_NULL, default_handler().clone())),
    }
}

/// All processes fail where one does, with the error of the first that did.
fn agree(comm: &Communicator, result: Outcome) -> Outcome {
    let class = match &result {
        Ok(()) => MPI_SUCCESS,
        Err(Failure::Raised(raised)) => raised.class,
        Err(Failure::Fatal(_)) => MPI_ERR_INTERN,
    };
    let classes = coll::exchange(comm, class.to_le_bytes())?;
    result?;
    match classes.into_iter().map(c_int::from_le_bytes).find(|class| *class != MPI_SUCCESS) {
        None => Ok(()),
        Some(class) => Err(Failure::new(class, "another process could not open the file")),
    }
}

/// `MPI_File_close`
pub unsafe fn close(fh: *mut MPI_File) -> Outcome {
    // SAFETY: the caller points to a handle.
    let handle = unsafe { &mut *fh };
    on(*handle, |file| {
        file.meet()?;
        if file.comm.rank == 0 {
            shared::remove(file)?;
            if file.amode & MPI_MODE_DELETE_ON_CLOSE != 0 {
                outside::attempt(|| fs::remove_file(&file.path).map(|()| Vec::new()))?;
            }
        }
        file.meet()
    })?;
    lock().remove(*handle);
    *handle = MPI_FILE_NULL;
    Ok(())
}

/// `MPI_File_delete`
pub unsafe fn delete(filename: *const c_char, info: MPI_Info) -> Outcome {
    let deleted = || -> Outcome {
        info::get(info)?;
        // SAFETY: the caller gives a string.
        let path = unsafe { path_of(filename)? };
        outside::attempt(|| fs::remove_file(&path).map(|()| Vec::new())).map(drop)
    };
    deleted().map_err(|failure| failure.on_file(MPI_FILE_NULL, default_handler().clone()))
}
