//! Collectives that do not block: non-blocking ones, persistent ones, those between two groups and those of neighbours.
//!
//! Such a collective says all that it has to say when it begins: each process sends its part to everyone who needs it, and posts
//! receives for what it needs from others. It ends when these are complete. So nothing that a process sends depends on when something
//! arrives or on when the application asks; what is under way needs no help from anybody (the messages are on their channels); and a
//! re-executed process repeats itself without any determinant but those of the completion calls. The price is that the reductions
//! send to all, where a tree would send less.
//!
//! Messages travel in the communicator's collective context: those of non-blocking collectives with the tag of all collectives, in the
//! order in which these are begun; each persistent one has a tag of its own, since these may be started in different orders.

pub mod collective;
pub mod neighbor;
pub mod reduction;

use std::fmt;
use std::sync::Arc;

use egida_core::api::Pattern;
use egida_core::fault::Fault;
use egida_core::ids::Rank;
use egida_core::wire::{Envelope, SendMode};

use crate::coll::TAG;
use crate::comm::Communicator;
use crate::constants::*;
use crate::datatype::{Datatype, Source, Target, Unpacker};
use crate::errors::{Failure, Outcome};
use crate::handle::MPI_Request;
use crate::request::{self, Receiving, Request, Template, Trouble};
use crate::world::{self, World};

/// What a collective does when it begins. That of a persistent one runs each time that it is started.
pub type Build = Box<dyn Fn(&mut Start) -> Outcome>;

/// What is done with what was received into memory of the library, in the order in which the receives were posted.
type Finish = Box<dyn FnOnce(Vec<Vec<u8>>)>;

/// A collective that begins.
pub struct Start {
    comm: Arc<Communicator>,
    envelope: Envelope,
    under_way: UnderWay,
}

/// A collective that has begun.
pub struct UnderWay {
    receives: Vec<Part>,
    finish: Option<Finish>,
}

// SAFETY: as of the request that it is part of: whoever holds it is the only one to use the application's memory in it.
unsafe impl Send for UnderWay {}

impl fmt::Debug for UnderWay {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("UnderWay").field("receives", &self.receives.len()).finish_non_exhaustive()
    }
}

/// A receive of a collective.
struct Part {
    receiving: Receiving,
    expected: usize,
    /// The library's memory, where it does not go into the application's.
    shelf: Option<Vec<u8>>,
}

impl Start {
    /// Begins a collective: sends what it sends and posts what it receives.
    pub fn begin(
        comm: &Arc<Communicator>,
        tag: i32,
        build: &dyn Fn(&mut Self) -> Outcome,
    ) -> Outcome<UnderWay> {
        let envelope = Envelope { context: comm.collective_context(), tag };
        let under_way = UnderWay { receives: Vec::new(), finish: None };
        let mut start = Self { comm: comm.clone(), envelope, under_way };
        build(&mut start)?;
        Ok(start.under_way)
    }

    /// How many there are to send to and receive from: the other side, where there is one.
    pub fn peers(&self) -> usize {
        self.comm.peers().size() as usize
    }

    /// This process among the peers, unless they are another group.
    pub fn own(&self) -> Option<usize> {
        self.comm.remote.is_none().then_some(self.comm.rank as usize)
    }

    /// The peers but for this process.
    pub fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let own = self.own();
        (0..self.peers()).filter(move |&peer| Some(peer) != own)
    }

    /// Sends to a peer.
    pub fn send(&mut self, peer: usize, bytes: &[u8]) -> Outcome {
        self.send_to_process(self.comm.peers().members()[peer], bytes)
    }

    /// Sends to a process of the job.
    pub fn send_to_process(&mut self, process: Rank, bytes: &[u8]) -> Outcome {
        let envelope = self.envelope;
        Ok(world::with(|world| world.send(process, envelope, SendMode::Standard, bytes)).map(drop)?)
    }

    /// Receives from a peer into the application's memory, which the message must fill.
    pub fn receive(&mut self, peer: usize, target: Target<'_>) -> Outcome {
        let expected = target.len();
        let unpacker = target.unpacker();
        self.post(self.comm.peers().members()[peer], unpacker, expected, None)
    }

    /// Receives so many bytes from a peer into memory of the library.
    pub fn receive_bytes(&mut self, peer: usize, len: usize) -> Outcome {
        self.receive_bytes_from_process(self.comm.peers().members()[peer], len)
    }

    /// As [`Self::receive_bytes`], from a process of the job.
    pub fn receive_bytes_from_process(&mut self, process: Rank, len: usize) -> Outcome {
        let mut shelf = vec![0u8; len];
        let byte =
            Datatype::predefined(MPI_BYTE.0).ok_or_else(|| Failure::new(MPI_ERR_INTERN, "no bytes"))?;
        // SAFETY: the vector is kept, and not touched, until the receive is over.
        let unpacker = unsafe { Target::trusted(shelf.as_mut_ptr(), len, &byte) }.unpacker();
        self.post(process, unpacker, len, Some(shelf))
    }

    /// What is done at the end with what was received into memory of the library.
    pub fn then(&mut self, finish: impl FnOnce(Vec<Vec<u8>>) + 'static) {
        self.under_way.finish = Some(Box::new(finish));
    }

    /// Copies within the application's memory.
    pub fn copy(&self, from: &Source<'_>, mut to: Target<'_>) -> Outcome {
        if from.len() != to.len() {
            return Err(other_length(from.len(), to.len()));
        }
        Ok(to.copy_from(from)?)
    }

    fn post(
        &mut self,
        process: Rank,
        unpacker: Unpacker,
        expected: usize,
        shelf: Option<Vec<u8>>,
    ) -> Outcome {
        let Envelope { context, tag } = self.envelope;
        let pattern = Pattern { source: Some(process), context, tag: Some(tag) };
        let receiving = world::with(|world| Receiving::post(world, pattern, unpacker))?;
        self.under_way.receives.push(Part { receiving, expected, shelf });
        Ok(())
    }
}

fn other_length(sent: usize, expected: usize) -> Failure {
    let class = if sent > expected { MPI_ERR_TRUNCATE } else { MPI_ERR_COUNT };
    Failure::new(class, format!("{sent} bytes were sent where {expected} were expected"))
}

impl UnderWay {
    /// Whether it waits for nobody.
    pub fn is_immediate(&self) -> bool {
        self.receives.is_empty()
    }

    /// Takes what has come, and says whether all has.
    pub fn advance(&mut self, world: &mut dyn World, comm: &Communicator) -> Result<bool, Fault> {
        let mut over = true;
        for part in &mut self.receives {
            over &= part.receiving.advance(world, comm)?.is_some();
        }
        Ok(over)
    }

    /// Finishes, when all has come; may call functions of the application, which may call the library.
    pub fn settle(mut self) -> (Option<Trouble>, Vec<Vec<u8>>) {
        let trouble = self.receives.iter().find_map(Part::trouble);
        let mut shelves: Vec<_> = self.receives.into_iter().filter_map(|part| part.shelf).collect();
        if trouble.is_none()
            && let Some(finish) = self.finish.take()
        {
            finish(std::mem::take(&mut shelves));
        }
        (trouble, shelves)
    }
}

impl Part {
    fn trouble(&self) -> Option<Trouble> {
        let ended = self.receiving.ended()?;
        if let Some(trouble) = &ended.error {
            return Some((**trouble).clone());
        }
        let got = ended.status.bytes() as usize;
        (got != self.expected).then(|| Trouble {
            class: MPI_ERR_COUNT,
            what: format!("{got} bytes were sent where {} were expected", self.expected),
        })
    }
}

/// Runs a collective to its end. Returns what was received into memory of the library, unless `then` took it.
pub fn now(comm: &Arc<Communicator>, build: &dyn Fn(&mut Start) -> Outcome) -> Outcome<Vec<Vec<u8>>> {
    let mut under_way = Start::begin(comm, TAG, build)?;
    if !under_way.is_immediate() {
        world::wait(|world| Ok(under_way.advance(world, comm)?.then_some(())))?;
    }
    match under_way.settle() {
        (None, shelves) => Ok(shelves),
        (Some(trouble), _) => Err(trouble.into()),
    }
}

/// Begins a collective and gives it a handle.
///
/// # Safety
/// `request` has room for a handle; the application leaves its memory to the operation until the request is complete.
pub unsafe fn later(comm: &Arc<Communicator>, build: Build, request: *mut MPI_Request) -> Outcome {
    if request.is_null() {
        return Err(crate::status::null("the request"));
    }
    let begun = Request::collective(comm, Start::begin(comm, TAG, &*build)?);
    // SAFETY: as this function's contract has it.
    unsafe { request.write(request::lock().insert(begun)) };
    Ok(())
}

/// Gives a persistent collective a handle.
///
/// # Safety
/// As [`later`], from each start on.
pub unsafe fn persistent(comm: &Arc<Communicator>, build: Build, request: *mut MPI_Request) -> Outcome {
    if request.is_null() {
        return Err(crate::status::null("the request"));
    }
    let template = Template::Collective { tag: comm.next_persistent_tag(), build };
    // SAFETY: as this function's contract has it.
    unsafe { request.write(request::lock().insert(Request::persistent(comm, template))) };
    Ok(())
}
