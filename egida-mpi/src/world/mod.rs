//! The one engine of this process, and how a caller waits in it.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use egida_core::api::{Api, Matched, Pattern, ReceiveId, Take};
use egida_core::driver::Progress;
use egida_core::fault::Fault;
use egida_core::ids::Rank;

use crate::sole::{Sole, Use};
use crate::{end, request, threads, transport};

mod alone;
mod preload;
#[cfg(test)]
pub mod scripted;

/// How a caller looks again and again for what is about to come, rather than to prepare for a longer wait at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It does not.
    None,
    /// Without a pause: the rank has a processor to itself.
    Spins,
    /// Others run between two looks: whoever is to answer may be among them.
    Yields,
}

impl Patience {
    /// About as long as an answer takes.
    fn looks(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Spins => 500,
            Self::Yields => 50,
        }
    }

    fn pause(self) {
        if self == Self::Yields {
            std::thread::yield_now();
        }
    }
}

/// What a rank's process needs beside the engine's calls.
pub trait World: Api + Send {
    /// Waits, for a bounded time, until another call of [`Api::progress`] may find something.
    ///
    /// # Errors
    /// Any [`Fault`]; one that says so where nothing can ever come.
    fn park(&mut self) -> Result<(), Fault>;

    /// How to look for what is about to come.
    fn patience(&self) -> Patience {
        Patience::None
    }

    /// The application calls `MPI_Init`.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn initialize(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// The application calls `MPI_Finalize`: an output commit.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn finalize(&mut self) -> Result<(), Fault>;

    /// The job is to end with that exit code. The process exits right after.
    fn abort(&mut self, code: c_int);

    /// Whether the protocol re-executes a rank: then what the process reads from outside is an event, and files that it
    /// writes are written again.
    fn replays(&self) -> bool;

    /// How far the rank has come.
    fn counts(&self) -> Progress;

    /// The first rank of those that share this host's memory. It is the same in every life of a rank.
    fn first_of_host(&self) -> Rank {
        0
    }

    /// Whether a rank that did not die may have to do again what others have seen the effect of: under optimistic protocols.
    fn rolls_back(&self) -> bool {
        false
    }
}

/// Attaches to the launcher, if one started the program. Runs before `main`, so that what the program reads from outside
/// before `MPI_Init` is an event too.
///
/// A library that the launcher has loaded into whatever it started attaches in an interpreter alone: what stands before it (a shell, `env`)
/// is another program in the same process, and would be gone with what it had attached.
pub fn attach_early() {
    if preload::is_for_another() {
        DEFERRED.store(true, Ordering::Relaxed);
    } else {
        attach(&mut WORLD.lock());
    }
}

fn attach(slot: &mut Slot) {
    preload::forget();
    end::listen_for_launcher();
    match transport::attach() {
        None => {}
        Some(Ok(world)) => install(slot, world),
        Some(Err(fault)) => end::for_fault(&fault),
    }
}

/// Runs with the world; a program without a launcher gets one of its own.
pub fn with<R>(body: impl FnOnce(&mut dyn World) -> R) -> R {
    let mut slot = WORLD.lock();
    if slot.is_none() {
        begin(&mut slot);
    }
    let Some(world) = slot.as_mut() else { end::with_message("a bug in Egida: no world", end::ERROR) };
    let result = body(world.as_mut());
    if READING.load(Ordering::Relaxed) {
        stop_reading(slot);
    }
    result
}

#[cold]
fn begin(slot: &mut Slot) {
    if DEFERRED.swap(false, Ordering::Relaxed) {
        attach(slot);
    }
    if slot.is_none() {
        match alone::alone() {
            Ok(world) => install(slot, Box::new(world)),
            Err(fault) => end::for_fault(&fault),
        }
    }
}

/// A payload that was read in part keeps its channel as it is until the next progress, and the application may now be gone for long.
#[cold]
fn stop_reading(mut slot: Use<'_, Slot>) {
    READING.store(false, Ordering::Relaxed);
    if let Some(Err(fault)) = slot.as_mut().map(|world| world.progress()) {
        drop(slot);
        end::for_fault(&fault);
    }
}

/// The next bytes of a matched receive: [`Api::piece`].
///
/// # Errors
/// Any [`Fault`].
pub fn piece(world: &mut dyn World, id: ReceiveId) -> Result<Option<&[u8]>, Fault> {
    READING.store(true, Ordering::Relaxed);
    world.piece(id)
}

/// Ends a receive: [`Api::finish`].
///
/// # Errors
/// Any [`Fault`].
pub fn finish(world: &mut dyn World, id: ReceiveId) -> Result<(), Fault> {
    READING.store(false, Ordering::Relaxed);
    world.finish(id)
}

/// Waits until `look` finds what it looks for.
///
/// # Errors
/// Any [`Fault`].
pub fn until<T>(
    world: &mut dyn World,
    mut look: impl FnMut(&mut dyn World) -> Result<Option<T>, Fault>,
) -> Result<T, Fault> {
    loop {
        request::advance_detached(world)?;
        if let Some(found) = look(world)? {
            return Ok(found);
        }
        // Progress ends what is put off; as long as it is, a look says it all.
        if world.defers() {
            let patience = world.patience();
            for _ in 0..patience.looks() {
                patience.pause();
                if let Some(found) = look(world)? {
                    return Ok(found);
                }
            }
        }
        if !world.progress()? {
            world.park()?;
            world.progress()?;
        }
    }
}

/// The same for a caller that does not hold the world.
///
/// # Errors
/// Any [`Fault`].
pub fn wait<T>(mut look: impl FnMut(&mut dyn World) -> Result<Option<T>, Fault>) -> Result<T, Fault> {
    if !threads::take_turns() {
        return with(|world| until(world, look));
    }
    threads::until(|| {
        with(|world| {
            request::advance_detached(world)?;
            match look(world)? {
                Some(found) => Ok(Some(found)),
                None => {
                    world.progress()?;
                    look(world)
                }
            }
        })
    })
}

/// Receives the next message of a named source, where that is done in one step: [`Api::take`]. Looks for it for about as long as
/// an answer takes. `None`: the caller posts.
///
/// # Errors
/// Any [`Fault`].
pub fn take(
    world: &mut dyn World,
    pattern: Pattern,
    payload: &mut dyn FnMut(&[u8]),
) -> Result<Option<Matched>, Fault> {
    match world.take(pattern, payload)? {
        Take::Taken(matched) => return Ok(Some(matched)),
        Take::NotYet if !request::any_detached() => {}
        Take::NotYet | Take::Post => return Ok(None),
    }
    let patience = world.patience();
    for _ in 0..patience.looks() {
        patience.pause();
        match world.take(pattern, payload)? {
            Take::Taken(matched) => return Ok(Some(matched)),
            Take::NotYet => {}
            Take::Post => break,
        }
    }
    Ok(None)
}

/// Whether what the process reads from outside is an event to be logged.
#[must_use]
pub fn replays() -> bool {
    REPLAYS.load(Ordering::Relaxed)
}

/// Whether this thread is the main one of the process that attached: not another thread, nor a forked child.
#[must_use]
pub fn is_main_thread() -> bool {
    // SAFETY: the call has no preconditions.
    i64::from(unsafe { libc::gettid() }) == MAIN_THREAD.load(Ordering::Relaxed)
}

/// The rank, once the process has one.
#[must_use]
pub fn known_rank() -> Option<Rank> {
    Rank::try_from(RANK.load(Ordering::Relaxed)).ok()
}

/// Tells the launcher that the job ends with `code`, unless the world is in the middle of something: the exit code alone
/// has to do then.
pub fn abort_if_idle(code: c_int) {
    if let Some(mut slot) = WORLD.try_lock()
        && let Some(world) = slot.as_mut()
    {
        world.abort(code);
    }
}

type Slot = Option<Box<dyn World>>;

static WORLD: Sole<Slot> = Sole::new(None);
/// Whether a payload was read since the last receive ended.
static READING: AtomicBool = AtomicBool::new(false);
/// Whether the process is to attach when it first calls MPI.
static DEFERRED: AtomicBool = AtomicBool::new(false);
static REPLAYS: AtomicBool = AtomicBool::new(false);
static RANK: AtomicI64 = AtomicI64::new(-1);
/// The kernel's number of the main thread, which is also that of the process.
static MAIN_THREAD: AtomicI64 = AtomicI64::new(-1);

fn install(slot: &mut Slot, world: Box<dyn World>) {
    REPLAYS.store(world.replays(), Ordering::Relaxed);
    RANK.store(i64::from(world.rank()), Ordering::Relaxed);
    MAIN_THREAD.store(i64::from(std::process::id()), Ordering::Relaxed);
    *slot = Some(world);
}
