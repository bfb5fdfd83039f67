//! Communicators, of one group or between two (MPI 5.0, chapter 7).
//!
//! A communicator has three contexts, for the application's messages, for collectives and for partitioned messages; `context.rs` says
//! where they come from. One between two groups also has a communicator of the local group, which its own collectives use.

mod context;
mod create;
mod inter;
mod settings;

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::ops::Deref;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egida_core::ids::Rank;

use crate::attribute::{Attributes, Holder, On};
use crate::constants::*;
use crate::errors::{Failure, Handler, Outcome};
use crate::group::{self, Group};
use crate::handle::{Handle, MPI_Comm, MPI_Group, Table};
use crate::info::Info;
use crate::status::write_flag;
use crate::topo::Topology;

pub use create::{
    create, create_from_group, create_group, disconnect, dup, dup_with_info, free, idup, idup_with_info,
    private_copy, split, split_type, split_with_topology, with_topology,
};
pub use inter::{intercomm_create, intercomm_create_from_groups, intercomm_merge};
pub use settings::{delete_attr, get_attr, get_info, get_name, set_attr, set_info, set_name};

/// A communicator.
#[derive(Debug)]
pub struct Communicator {
    /// What the application calls it by.
    pub handle: MPI_Comm,
    /// Its processes; where there are two groups, those on this side.
    pub group: Arc<Group>,
    /// This process in the group.
    pub rank: u32,
    /// The other side, where there are two groups.
    pub remote: Option<Remote>,
    /// Who is whose neighbour.
    pub topology: Option<Topology>,
    /// The context of the application's messages; the next ones are those of collectives and of partitioned messages.
    context: u32,
    /// How many persistent collectives were made here.
    persistent: AtomicI32,
    settings: Mutex<Settings>,
    attributes: Mutex<Attributes>,
}

/// The other side of a communicator between two groups.
#[derive(Debug)]
pub struct Remote {
    /// Its processes.
    pub group: Arc<Group>,
    /// The processes on this side among themselves.
    pub local: Arc<Communicator>,
}

#[derive(Debug, Clone, Default)]
struct Settings {
    name: String,
    handler: Handler,
    info: Info,
}

/// What a new communicator is made of.
struct Parts {
    group: Group,
    remote: Option<Remote>,
    topology: Option<Topology>,
    context: u32,
    settings: Settings,
    attributes: Attributes,
}

impl Parts {
    /// A communicator of that group and context, with the error handler of `parent`.
    fn of(parent: &Communicator, group: Group, context: u32) -> Self {
        let settings = Settings { handler: parent.handler(), ..Settings::default() };
        Self { group, remote: None, topology: None, context, settings, attributes: Attributes::default() }
    }

    /// Between that group and another one.
    fn between(mut self, remote: Group, me: Rank) -> Self {
        let group = Group::new(self.group.members().to_vec());
        let settings = Settings { handler: self.settings.handler.clone(), ..Settings::default() };
        // The groups are disjoint, so both sides may use the same contexts for their own.
        let context = self.context + context::LOCAL;
        let (topology, attributes) = (None, Attributes::default());
        let local = Self { group, remote: None, topology, context, settings, attributes };
        self.remote =
            Some(Remote { group: Arc::new(remote), local: Arc::new(local.assemble(MPI_COMM_NULL, me)) });
        self
    }

    fn assemble(self, handle: MPI_Comm, me: Rank) -> Communicator {
        let Self { group, remote, topology, context, settings, attributes } = self;
        Communicator {
            handle,
            rank: group.place(me).unwrap_or(0),
            group: Arc::new(group),
            remote,
            topology,
            context,
            persistent: AtomicI32::new(0),
            settings: Mutex::new(settings),
            attributes: Mutex::new(attributes),
        }
    }

    /// Gives it a handle.
    fn register(self, me: Rank) -> MPI_Comm {
        lock().others.insert_with(|handle| Arc::new(self.assemble(handle, me)))
    }
}

impl Communicator {
    /// The context of messages that the application sends.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// The context of messages that collectives send.
    pub fn collective_context(&self) -> u32 {
        self.context + 1
    }

    /// The context of what partitioned operations send.
    pub fn partitioned_context(&self) -> u32 {
        self.context + 2
    }

    /// How many processes are on this side.
    pub fn size(&self) -> u32 {
        self.group.size()
    }

    /// This process of the job.
    pub fn me(&self) -> Rank {
        self.group.members()[self.rank as usize]
    }

    /// Whom messages go to and come from: the other side, where there is one.
    pub fn peers(&self) -> &Group {
        self.remote.as_ref().map_or(&self.group, |remote| &remote.group)
    }

    /// The process of the job that has that rank among the peers.
    pub fn process(&self, rank: c_int) -> Option<Rank> {
        usize::try_from(rank).ok().and_then(|rank| self.peers().members().get(rank).copied())
    }

    /// The rank of a process of the job that is known to be a peer.
    pub fn rank_of(&self, process: Rank) -> c_int {
        self.peers().place(process).map_or(MPI_UNDEFINED, |place| place as c_int)
    }

    /// The tag of the next persistent collective. All members make them in the same order.
    pub fn next_persistent_tag(&self) -> i32 {
        -1 - self.persistent.fetch_add(1, Ordering::Relaxed)
    }

    /// What to do with an error.
    pub fn handler(&self) -> Handler {
        self.settings().handler.clone()
    }

    /// Changes what to do with an error.
    pub fn set_handler(&self, handler: Handler) {
        self.settings().handler = handler;
    }

    /// How messages to a person call it.
    pub fn name(&self) -> String {
        match &self.settings().name {
            unnamed if unnamed.is_empty() => "a communicator".to_owned(),
            name => name.clone(),
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder for Communicator {
    const ON: On = On::Comm;

    fn handle_value(&self) -> usize {
        self.handle.value()
    }

    fn with_attributes<R>(&self, body: impl FnOnce(&mut Attributes) -> R) -> R {
        body(&mut self.attributes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The communicators of this process.
#[derive(Debug)]
struct Communicators {
    world: Option<Arc<Communicator>>,
    own: Option<Arc<Communicator>>,
    others: Table<MPI_Comm, Arc<Communicator>>,
    /// Those that have a handle and no context yet, of which only the error handler can be set and asked for.
    coming: BTreeMap<usize, Handler>,
}

static COMMUNICATORS: Mutex<Communicators> =
    Mutex::new(Communicators { world: None, own: None, others: Table::new(), coming: BTreeMap::new() });

fn lock() -> MutexGuard<'static, Communicators> {
    COMMUNICATORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the predefined communicators.
pub fn init(rank: Rank, size: u32) {
    let make = |handle, group, unit, name: &str| {
        let settings = Settings { name: name.to_owned(), ..Settings::default() };
        let parts = Parts {
            group: Group::new(group),
            remote: None,
            topology: None,
            context: context::of_unit(unit),
            settings,
            attributes: Attributes::default(),
        };
        Some(Arc::new(parts.assemble(handle, rank)))
    };
    let mut all = lock();
    all.world = make(MPI_COMM_WORLD, (0..size).collect(), 0, "MPI_COMM_WORLD");
    all.own = make(MPI_COMM_SELF, vec![rank], 1, "MPI_COMM_SELF");
    // Once for each process: the world begins once.
    let kept = all.world.clone().map_or(std::ptr::null_mut(), |world| Box::into_raw(Box::new(world)));
    WORLD.store(kept, Ordering::Release);
}

/// Deletes what is cached on the predefined communicators: the first thing that `MPI_Finalize` does.
pub fn finalize() -> Outcome {
    for handle in [MPI_COMM_SELF, MPI_COMM_WORLD] {
        get(handle)?.delete_attributes()?;
    }
    Ok(())
}

/// The communicator of a handle.
pub fn get(handle: MPI_Comm) -> Outcome<Arc<Communicator>> {
    let all = lock();
    let found = match handle {
        MPI_COMM_WORLD => all.world.as_ref(),
        MPI_COMM_SELF => all.own.as_ref(),
        dynamic => all.others.get(dynamic),
    };
    found.cloned().ok_or_else(|| {
        if all.world.is_none() {
            Failure::new(MPI_ERR_OTHER, "MPI_Init was not called")
        } else {
            Failure::new(MPI_ERR_COMM, "the communicator is not one, is null, or was freed")
        }
    })
}

/// The communicator of all processes, once there is one: most calls are about it. What stands here is never freed.
static WORLD: AtomicPtr<Arc<Communicator>> = AtomicPtr::new(std::ptr::null_mut());

fn world() -> Option<&'static Arc<Communicator>> {
    // SAFETY: what `init` stores was leaked on purpose, and is not changed after it was stored.
    unsafe { WORLD.load(Ordering::Acquire).as_ref() }
}

/// A communicator that an operation under way holds on to. That of all processes needs no holding.
#[derive(Debug)]
pub enum Held {
    /// The one of all processes.
    World(&'static Arc<Communicator>),
    /// Another one.
    Other(Arc<Communicator>),
}

impl Held {
    /// Holds on to a communicator.
    #[inline]
    pub fn of(comm: &Arc<Communicator>) -> Self {
        match world().filter(|world| std::ptr::eq(*world, comm)) {
            Some(world) => Self::World(world),
            None => Self::Other(comm.clone()),
        }
    }
}

impl Deref for Held {
    type Target = Arc<Communicator>;

    #[inline]
    fn deref(&self) -> &Arc<Communicator> {
        match self {
            Self::World(comm) => comm,
            Self::Other(comm) => comm,
        }
    }
}

/// The error handler of a communicator, also of one that is still to come.
pub fn handler(handle: MPI_Comm) -> Outcome<Handler> {
    if let Some(handler) = lock().coming.get(&handle.value()) {
        return Ok(handler.clone());
    }
    Ok(get(handle)?.handler())
}

/// Changes the error handler of a communicator, also of one that is still to come.
pub fn set_handler(handle: MPI_Comm, handler: Handler) -> Outcome {
    if let Some(coming) = lock().coming.get_mut(&handle.value()) {
        *coming = handler;
        return Ok(());
    }
    get(handle)?.set_handler(handler);
    Ok(())
}

/// Runs `body` with the communicator of a handle and raises its errors there.
pub fn on<T>(handle: MPI_Comm, body: impl FnOnce(&Arc<Communicator>) -> Outcome<T>) -> Outcome<T> {
    let other;
    let comm = match world().filter(|_| handle == MPI_COMM_WORLD) {
        Some(comm) => comm,
        None => {
            other = get(handle)?;
            &other
        }
    };
    body(comm).map_err(|failure| failure.on(comm))
}

/// As [`on`], for what communicators between two groups do not do.
pub fn on_intra<T>(handle: MPI_Comm, body: impl FnOnce(&Arc<Communicator>) -> Outcome<T>) -> Outcome<T> {
    on(handle, |comm| match comm.remote {
        None => body(comm),
        Some(_) => Err(Failure::new(MPI_ERR_COMM, "the communicator is one between two groups")),
    })
}

/// `MPI_Comm_size`
pub unsafe fn size(comm: MPI_Comm, size: *mut c_int) -> Outcome {
    let ranks = get(comm)?.size();
    write(size, ranks as c_int)
}

/// `MPI_Comm_rank`
pub unsafe fn rank(comm: MPI_Comm, rank: *mut c_int) -> Outcome {
    let own = get(comm)?.rank;
    write(rank, own as c_int)
}

/// Writes an integer where the caller gives room for one.
fn write(to: *mut c_int, value: c_int) -> Outcome {
    if to.is_null() {
        return Err(crate::status::null("the result"));
    }
    // SAFETY: the caller gives room for an integer.
    unsafe { to.write(value) };
    Ok(())
}

/// `MPI_Comm_compare`
pub unsafe fn compare(comm1: MPI_Comm, comm2: MPI_Comm, result: *mut c_int) -> Outcome {
    let (first, second) = (get(comm1)?, get(comm2)?);
    let remotes = match (&first.remote, &second.remote) {
        (None, None) => MPI_IDENT,
        (Some(one), Some(other)) => one.group.compare(&other.group),
        _ => MPI_UNEQUAL,
    };
    let answer = match (first.group.compare(&second.group), remotes) {
        (MPI_UNEQUAL, _) | (_, MPI_UNEQUAL) => MPI_UNEQUAL,
        (MPI_IDENT, MPI_IDENT) if first.context == second.context => MPI_IDENT,
        (MPI_IDENT, MPI_IDENT) => MPI_CONGRUENT,
        _ => MPI_SIMILAR,
    };
    write(result, answer)
}

/// `MPI_Comm_group`
pub unsafe fn group(comm: MPI_Comm, group: *mut MPI_Group) -> Outcome {
    on(comm, |comm| {
        if group.is_null() {
            return Err(crate::status::null("the group"));
        }
        // SAFETY: the caller gives room for a handle.
        unsafe { group::hand_out(comm.group.clone(), group) }
    })
}

/// `MPI_Comm_test_inter`
pub unsafe fn test_inter(comm: MPI_Comm, flag: *mut c_int) -> Outcome {
    let comm = get(comm)?;
    // SAFETY: the caller gives room for a flag.
    unsafe { write_flag(flag, comm.remote.is_some()) };
    Ok(())
}

fn remote(comm: &Communicator) -> Outcome<&Remote> {
    comm.remote.as_ref().ok_or_else(|| Failure::new(MPI_ERR_COMM, "the communicator has no remote group"))
}

/// `MPI_Comm_remote_size`
pub unsafe fn remote_size(comm: MPI_Comm, size: *mut c_int) -> Outcome {
    on(comm, |comm| write(size, remote(comm)?.group.size() as c_int))
}

/// `MPI_Comm_remote_group`
pub unsafe fn remote_group(comm: MPI_Comm, group: *mut MPI_Group) -> Outcome {
    on(comm, |comm| {
        // SAFETY: the caller gives room for a handle.
        unsafe { group::hand_out(remote(comm)?.group.clone(), group) }
    })
}

/// `MPI_Comm_get_parent`: nobody spawned this process.
pub unsafe fn get_parent(parent: *mut MPI_Comm) -> Outcome {
    // SAFETY: the caller gives room for a handle.
    unsafe { parent.write(MPI_COMM_NULL) };
    Ok(())
}
