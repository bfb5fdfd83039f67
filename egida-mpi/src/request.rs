//! Requests: operations under way, and how each comes to its end (MPI 5.0, section 3.7).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use egida_core::api::{Matched, Pattern, ReceiveId, SendId, Take};
use egida_core::fault::Fault;
use egida_core::ids::Rank;
use egida_core::wire::{Envelope, SendMode};

use crate::comm::{Communicator, Held};
use crate::constants::*;
use crate::datatype::{Datatype, DatatypeError, Source, Target, Unpacker};
use crate::errors::{Failure, Outcome};
use crate::generalized::Generalized;
use crate::handle::{Handle, MPI_Request, MPI_Status, Table};
use crate::partitioned::Partitioned;
use crate::plan::{Build, Start, UnderWay};
use crate::sole::{Sole, Use};
use crate::world::{self, World};

/// How an operation ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What the caller sees of the message.
    pub status: MPI_Status,
    /// What was wrong with it.
    pub error: Option<Box<Trouble>>,
}

/// An error of an operation, kept until somebody asks how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// `MPI_ERR_...`
    pub class: i32,
    /// What is wrong.
    pub what: String,
}

impl From<DatatypeError> for Trouble {
    fn from(error: DatatypeError) -> Self {
        Self { class: error.class(), what: error.to_string() }
    }
}

impl From<Trouble> for Failure {
    fn from(Trouble { class, what }: Trouble) -> Self {
        Self::new(class, what)
    }
}

impl Ended {
    /// Nothing was received and nothing was wrong.
    pub fn with(status: MPI_Status) -> Self {
        Self { status, error: None }
    }

    /// Hands the end to a caller that waited for this one operation.
    ///
    /// # Safety
    /// `status` is `MPI_STATUS_IGNORE` or points to a status.
    pub unsafe fn show(self, status: *mut MPI_Status) -> Outcome {
        // SAFETY: as this function's contract has it.
        unsafe { self.status.write(status) };
        self.error.map_or(Ok(()), |error| Err((*error).into()))
    }
}

/// A receive that was posted.
#[derive(Debug)]
pub struct Receiving {
    id: ReceiveId,
    memory: Unpacker,
    read_bytes: u64,
    /// Whether the engine may have put off the posting.
    deferred: bool,
    ended: Option<Ended>,
}

impl Receiving {
    /// Posts it.
    #[inline(always)] // for every message that is received without waiting; so below
    pub fn post(world: &mut dyn World, pattern: Pattern, memory: Unpacker) -> Result<Self, Fault> {
        Ok(Self { deferred: true, ..Self::of(world.post(pattern)?, memory) })
    }

    /// Takes what is here already; posts it where nothing is, or where a receive that was posted before comes first.
    #[inline(always)]
    pub fn begin(
        world: &mut dyn World,
        comm: &Communicator,
        pattern: Pattern,
        mut memory: Unpacker,
    ) -> Result<Self, Fault> {
        if !world.defers()
            && let Take::Taken(matched) = world.take(pattern, &mut |bytes| memory.write(bytes))?
        {
            let ended = ended(&matched, comm, matched.len as usize, memory.room());
            // Nobody asks for what was never posted.
            return Ok(Self { ended: Some(ended), ..Self::of(ReceiveId(u64::MAX), memory) });
        }
        Self::post(world, pattern, memory)
    }

    /// One that was posted before its memory was known.
    #[inline(always)]
    pub fn of(id: ReceiveId, memory: Unpacker) -> Self {
        Self { id, memory, read_bytes: 0, deferred: false, ended: None }
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Takes what has come, and says how the receive ended once it has.
    pub fn advance(&mut self, world: &mut dyn World, comm: &Communicator) -> Result<Option<&Ended>, Fault> {
        if self.ended.is_none() {
            self.ended = self.take(world, comm)?;
        }
        Ok(self.ended.as_ref())
    }

    /// Takes what has come; the end, once, when it is reached. Nobody asks again after that.
    #[inline(always)]
    pub fn take(&mut self, world: &mut dyn World, comm: &Communicator) -> Result<Option<Ended>, Fault> {
        if self.deferred {
            match world.take_posted(self.id, &mut |bytes| self.memory.write(bytes))? {
                Take::Taken(matched) => {
                    return Ok(Some(ended(&matched, comm, matched.len as usize, self.memory.room())));
                }
                Take::NotYet => return Ok(None),
                Take::Post => self.deferred = false,
            }
        }
        let Some(matched) = world.matched(self.id) else { return Ok(None) };
        while self.read_bytes < matched.len {
            let Some(bytes) = world::piece(world, self.id)? else { return Ok(None) };
            self.memory.write(bytes);
            self.read_bytes += bytes.len() as u64;
        }
        if !world.deliverable(self.id) {
            return Ok(None);
        }
        world::finish(world, self.id)?;
        Ok(Some(ended(&matched, comm, self.read_bytes as usize, self.memory.room())))
    }
}

/// How a receive ended whose payload came whole, with so much room for it.
#[inline(always)]
pub fn ended(matched: &Matched, comm: &Communicator, sent_bytes: usize, room_bytes: usize) -> Ended {
    if sent_bytes <= room_bytes {
        return Ended::with(status_of(matched, comm, matched.len));
    }
    let error = DatatypeError::Truncated { sent_bytes, room_bytes };
    let status = MPI_Status { error: error.class(), ..status_of(matched, comm, room_bytes as u64) };
    Ended { status, error: Some(Box::new(error.into())) }
}

/// What a caller sees of a message.
#[inline(always)]
pub fn status_of(matched: &Matched, comm: &Communicator, bytes: u64) -> MPI_Status {
    MPI_Status::new(comm.rank_of(matched.source), matched.envelope.tag, bytes)
}

/// An operation that the application has a handle of.
#[derive(Debug)]
pub struct Request {
    comm: Held,
    state: State,
    /// How a persistent operation is started.
    again: Option<Box<Template>>,
}

#[derive(Debug)]
enum State {
    /// Persistent and not started.
    Inactive,
    /// Over as soon as it was begun, in every execution: a buffered send, or no process on the other side.
    Immediate(MPI_Status),
    /// A synchronous send.
    Sending(SendId),
    Receiving(Receiving),
    /// A receive that was withdrawn.
    Cancelled,
    /// A collective.
    Collective(Box<UnderWay>),
    /// A collective that is over, whose result is in place.
    Settled(Option<Trouble>),
    /// One of the application's own.
    Generalized(Generalized),
    /// A partitioned one, started or not.
    Partitioned(Box<Partitioned>),
}

// SAFETY: the pointers inside are the application's buffers, which it leaves to the library until the request is
// complete; whoever holds the request is the only one to use them.
unsafe impl Send for Request {}

/// An operation that can be started: its arguments, checked.
pub enum Template {
    /// A send.
    Send {
        /// To whom; `None` for nobody.
        dest: Option<Rank>,
        /// With what context and tag.
        envelope: Envelope,
        /// Complete when.
        mode: SendMode,
        /// The data.
        memory: Memory,
    },
    /// A receive.
    Receive {
        /// Of what; `None` from nobody.
        pattern: Option<Pattern>,
        /// Where to.
        memory: Memory,
    },
    /// A collective.
    Collective {
        /// The tag of its messages.
        tag: i32,
        /// What it does when it begins.
        build: Build,
    },
}

impl fmt::Debug for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Send { .. } => "Send",
            Self::Receive { .. } => "Receive",
            Self::Collective { .. } => "Collective",
        })
    }
}

/// The application's memory.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Where.
    pub base: *mut u8,
    /// How many elements.
    pub count: i64,
    /// Of what.
    pub datatype: Datatype,
}

impl Memory {
    /// None: of an operation with no process on the other side, whose buffer is not looked at.
    pub fn nothing() -> Outcome<Self> {
        Ok(Self { base: std::ptr::null_mut(), count: 0, datatype: crate::types::get(MPI_BYTE)? })
    }

    /// As what to read.
    ///
    /// # Safety
    /// As [`Source::new`].
    pub unsafe fn source(&self) -> Result<Source<'_>, DatatypeError> {
        // SAFETY: as this function's contract has it.
        unsafe { Source::new(self.base, self.count, &self.datatype) }
    }

    /// As what to write.
    ///
    /// # Safety
    /// As [`Target::new`].
    pub unsafe fn target(&self) -> Result<Target<'_>, DatatypeError> {
        // SAFETY: as this function's contract has it.
        unsafe { Target::new(self.base, self.count, &self.datatype) }
    }
}

impl Template {
    /// Starts it.
    ///
    /// # Safety
    /// The memory is as the standard asks of the operation, until its end.
    unsafe fn start(&self, comm: &Arc<Communicator>) -> Outcome<State> {
        match self {
            Self::Collective { tag, build } => {
                Ok(State::Collective(Box::new(Start::begin(comm, *tag, &**build)?)))
            }
            Self::Send { dest: None, .. } => Ok(State::Immediate(MPI_Status::empty())),
            Self::Send { dest: Some(dest), envelope, mode, memory } => {
                // SAFETY: as this function's contract has it.
                let source = unsafe { memory.source()? };
                let id = world::with(|world| world.send(*dest, *envelope, *mode, &source.packed()))?;
                Ok(match mode {
                    SendMode::Standard => State::Immediate(MPI_Status::empty()),
                    SendMode::Synchronous => State::Sending(id),
                })
            }
            Self::Receive { pattern: None, .. } => Ok(State::Immediate(MPI_Status::of_no_process())),
            Self::Receive { pattern: Some(pattern), memory } => {
                // SAFETY: as this function's contract has it.
                let memory = unsafe { memory.target()? }.unpacker();
                let receiving = world::with(|world| Receiving::post(world, *pattern, memory))?;
                Ok(State::Receiving(receiving))
            }
        }
    }
}

impl Request {
    /// An operation begun now.
    ///
    /// # Safety
    /// As the standard asks of the operation's memory.
    pub unsafe fn begin(comm: &Arc<Communicator>, template: &Template) -> Outcome<Self> {
        // SAFETY: as this function's contract has it.
        Ok(Self::in_state(comm, unsafe { template.start(comm)? }))
    }

    #[inline(always)]
    fn in_state(comm: &Arc<Communicator>, state: State) -> Self {
        Self { comm: Held::of(comm), state, again: None }
    }

    /// A collective that has begun.
    pub fn collective(comm: &Arc<Communicator>, under_way: UnderWay) -> Self {
        Self::in_state(comm, State::Collective(Box::new(under_way)))
    }

    /// A receive that was posted.
    #[inline(always)]
    pub fn receiving(comm: &Arc<Communicator>, receiving: Receiving) -> Self {
        Self::in_state(comm, State::Receiving(receiving))
    }

    /// One that was over when it began.
    pub fn immediate(comm: &Arc<Communicator>, status: MPI_Status) -> Self {
        Self::in_state(comm, State::Immediate(status))
    }

    /// One of the application's own.
    pub fn generalized(comm: &Arc<Communicator>, generalized: Generalized) -> Self {
        Self::in_state(comm, State::Generalized(generalized))
    }

    /// A partitioned one, not started.
    pub fn partitioned(comm: &Arc<Communicator>, partitioned: Partitioned) -> Self {
        Self::in_state(comm, State::Partitioned(Box::new(partitioned)))
    }

    /// The partitioned operation that it is, if it is one.
    pub fn as_partitioned(&mut self) -> Option<&mut Partitioned> {
        match &mut self.state {
            State::Partitioned(partitioned) => Some(partitioned),
            _ => None,
        }
    }

    /// Whether it is a partitioned operation.
    pub fn is_partitioned(&self) -> bool {
        matches!(self.state, State::Partitioned(_))
    }

    /// That of the application's own which it is, if it is one.
    pub fn as_generalized(&self) -> Option<&Generalized> {
        match &self.state {
            State::Generalized(generalized) => Some(generalized),
            _ => None,
        }
    }

    /// The receive under way that it is, if it is one.
    pub fn pending_receive(&self) -> Option<ReceiveId> {
        match &self.state {
            State::Receiving(receiving) if receiving.ended.is_none() => Some(receiving.id),
            _ => None,
        }
    }

    /// The receive was withdrawn.
    pub fn withdrawn(&mut self) {
        self.state = State::Cancelled;
    }

    /// A persistent one, not started.
    pub fn persistent(comm: &Arc<Communicator>, template: Template) -> Self {
        Self { comm: Held::of(comm), state: State::Inactive, again: Some(Box::new(template)) }
    }

    /// Starts a persistent one.
    ///
    /// # Safety
    /// As the standard asks of the operation's memory.
    pub unsafe fn restart(&mut self) -> Outcome {
        match (&self.again, &mut self.state) {
            (Some(template), State::Inactive) => {
                // SAFETY: as this function's contract has it.
                let started = unsafe { template.start(&self.comm) };
                self.state = started.map_err(|failure| failure.on(&self.comm))?;
                Ok(())
            }
            (_, State::Partitioned(partitioned)) if !partitioned.is_active() => {
                partitioned.start();
                Ok(())
            }
            _ => {
                Err(Failure::new(MPI_ERR_REQUEST, "the request is not persistent, or is active")
                    .on(&self.comm))
            }
        }
    }

    /// The communicator that its errors are raised on.
    pub fn comm(&self) -> &Arc<Communicator> {
        &self.comm
    }

    /// Whether there is something to wait for.
    pub fn is_active(&self) -> bool {
        match &self.state {
            State::Inactive => false,
            State::Partitioned(partitioned) => partitioned.is_active(),
            _ => true,
        }
    }

    /// Whether it is over at any moment that anybody may look, in every execution: seeing that decides nothing.
    pub fn is_immediate(&self) -> bool {
        match &self.state {
            State::Immediate(_) | State::Cancelled | State::Settled(_) => true,
            State::Collective(under_way) => under_way.is_immediate(),
            State::Partitioned(partitioned) => partitioned.is_immediate(),
            _ => false,
        }
    }

    /// Moves it on, and says whether it is over. An inactive one is; a partitioned one could be, and is after [`Self::complete`].
    pub fn advance(&mut self, world: &mut dyn World) -> Result<bool, Fault> {
        Ok(match &mut self.state {
            State::Inactive | State::Immediate(_) | State::Cancelled | State::Settled(_) => true,
            State::Collective(under_way) => under_way.advance(world, &self.comm)?,
            State::Generalized(generalized) => generalized.is_complete(),
            State::Sending(id) => world.sent(*id),
            State::Receiving(receiving) => receiving.advance(world, &self.comm)?.is_some(),
            State::Partitioned(partitioned) => {
                !partitioned.is_active() || partitioned.may_end(world, &self.comm)?
            }
        })
    }

    /// Moves on one that is waited for, or was said to be over, and says whether it is.
    pub fn complete(&mut self, world: &mut dyn World) -> Result<bool, Fault> {
        match &mut self.state {
            State::Partitioned(partitioned) if partitioned.is_active() => {
                partitioned.complete(world, &self.comm)
            }
            _ => self.advance(world),
        }
    }

    /// How an operation that is over ended. What is left to compute then is computed; functions of the application may be called,
    /// so the caller does not hold the world.
    pub fn ended(&mut self) -> Ended {
        if let State::Collective(_) = &self.state
            && let State::Collective(under_way) = std::mem::replace(&mut self.state, State::Inactive)
        {
            self.state = State::Settled(under_way.settle().0);
        }
        match &self.state {
            State::Cancelled => {
                let mut status = MPI_Status::empty();
                status.set_cancelled(true);
                Ended::with(status)
            }
            State::Settled(trouble) => {
                let class = trouble.as_ref().map_or(MPI_SUCCESS, |trouble| trouble.class);
                let status = MPI_Status { error: class, ..MPI_Status::empty() };
                Ended { status, error: trouble.clone().map(Box::new) }
            }
            State::Generalized(generalized) => {
                let (status, error) = generalized.status();
                Ended { status, error: error.map(Box::new) }
            }
            State::Receiving(receiving) => {
                receiving.ended.clone().unwrap_or_else(|| Ended::with(MPI_Status::empty()))
            }
            State::Immediate(status) => Ended::with(*status),
            State::Partitioned(partitioned) if partitioned.is_active() => partitioned.ended(&self.comm),
            State::Partitioned(_) => Ended::with(MPI_Status::empty()),
            State::Inactive | State::Sending(_) | State::Collective(_) => Ended::with(MPI_Status::empty()),
        }
    }

    /// The application has seen the end. Returns whether the request lives on, to be started again, and what went wrong as the
    /// application freed what it had of it.
    pub fn conclude(&mut self) -> (bool, Option<Trouble>) {
        let trouble = match &mut self.state {
            State::Generalized(generalized) => generalized.free(),
            State::Partitioned(partitioned) => {
                partitioned.conclude();
                return (true, None);
            }
            _ => None,
        };
        self.state = State::Inactive;
        (self.again.is_some(), trouble)
    }

    /// Whether the application may let go of it now.
    pub fn may_be_freed(&self) -> Outcome {
        match &self.state {
            State::Partitioned(partitioned) if partitioned.is_receive_under_way() => {
                Err(Failure::new(MPI_ERR_REQUEST, "a partitioned receive is freed while it is active"))
            }
            _ => Ok(()),
        }
    }

    /// The application lets go of it: a receive or collective under way goes on alone.
    pub fn detach(self) {
        if let State::Generalized(generalized) = &self.state
            && generalized.is_complete()
        {
            let _ = generalized.free();
        }
        let goes_on = match &self.state {
            State::Receiving(_) | State::Collective(_) | State::Generalized(_) => true,
            State::Partitioned(partitioned) => partitioned.awaits_offer(),
            _ => false,
        };
        if goes_on {
            let mut detached = DETACHED.lock();
            detached.push(self);
            DETACHED_COUNT.store(detached.len(), Ordering::Relaxed);
        }
    }

    /// Moves on one that the application has let go of, and says whether nothing is left to be done.
    fn go_on(&mut self, world: &mut dyn World) -> Result<bool, Fault> {
        match &mut self.state {
            State::Partitioned(partitioned) => partitioned.take_offer(world, &self.comm),
            _ => self.advance(world),
        }
    }
}

static REQUESTS: Sole<Table<MPI_Request, Request>> = Sole::new(Table::new());

/// The handle of all sends that were complete when they began; 0 before there is one.
static SENT: AtomicUsize = AtomicUsize::new(0);

/// A handle for a send that was complete when it began. All such sends share one, which is never freed: nothing is left to be said
/// of any of them.
pub fn sent(comm: &Arc<Communicator>) -> MPI_Request {
    match SENT.load(Ordering::Relaxed) {
        0 => {
            let mut requests = lock();
            // Another thread may have come first.
            if SENT.load(Ordering::Relaxed) == 0 {
                let handle = requests.insert(Request::immediate(comm, MPI_Status::empty()));
                SENT.store(handle.value(), Ordering::Relaxed);
            }
            MPI_Request::new(SENT.load(Ordering::Relaxed))
        }
        value => MPI_Request::new(value),
    }
}

/// Whether it is the handle that [`sent`] gives.
pub fn is_shared(handle: MPI_Request) -> bool {
    handle != MPI_REQUEST_NULL && handle.value() == SENT.load(Ordering::Relaxed)
}
static DETACHED: Sole<Vec<Request>> = Sole::new(Vec::new());
static DETACHED_COUNT: AtomicUsize = AtomicUsize::new(0);

/// The requests that have handles. Whoever also needs the world locks this first.
pub fn lock() -> Use<'static, Table<MPI_Request, Request>> {
    REQUESTS.lock()
}

/// Collectives that nobody waits for, and that are to be finished.
static FINISHED: Sole<Vec<Request>> = Sole::new(Vec::new());

/// Waits for one message, and takes it whole.
pub fn take_message(pattern: Pattern) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let id = world::with(|world| world.post(pattern))?;
    world::wait(|world| {
        let Some(matched) = world.matched(id) else { return Ok(None) };
        while (bytes.len() as u64) < matched.len {
            let Some(piece) = world::piece(world, id)? else { return Ok(None) };
            bytes.extend_from_slice(piece);
        }
        match world.deliverable(id) {
            true => world::finish(world, id).map(Some),
            false => Ok(None),
        }
    })?;
    Ok(bytes)
}

/// Finishes collectives that nobody waited for. The caller does not hold the world.
pub fn finish_detached() {
    let finished = std::mem::take(&mut *FINISHED.lock());
    for mut request in finished {
        let _ = request.ended();
        request.conclude();
    }
}

/// Whether there are operations that nobody waits for.
#[must_use]
pub fn any_detached() -> bool {
    DETACHED_COUNT.load(Ordering::Relaxed) != 0
}

/// Moves on the receives that nobody waits for.
pub fn advance_detached(world: &mut dyn World) -> Result<(), Fault> {
    if !any_detached() {
        return Ok(());
    }
    let mut detached = DETACHED.lock();
    let mut at = 0;
    while at < detached.len() {
        // One of the application's own says itself when it is over; a collective finishes once nobody holds the world.
        if detached[at].go_on(world)? {
            let over = detached.swap_remove(at);
            if matches!(over.state, State::Collective(_) | State::Generalized(_)) {
                FINISHED.lock().push(over);
            }
        } else {
            at += 1;
        }
    }
    DETACHED_COUNT.store(detached.len(), Ordering::Relaxed);
    Ok(())
}
