//! How communicators are made and freed (MPI 5.0, section 7.4).

use std::ffi::{CStr, c_char, c_int};
use std::sync::Arc;

use egida_core::api::Pattern;
use egida_core::ids::Rank;
use egida_core::wire::{Envelope, SendMode};

use super::inter::{self, exchange_between};
use super::{Communicator, Parts, context, get, lock, on, on_intra};
use crate::attribute::Holder;
use crate::constants::*;
use crate::errors::{self, Failure, Outcome};
use crate::group::{self, Group};
use crate::handle::{Handle, MPI_Comm, MPI_Errhandler, MPI_Group, MPI_Info, MPI_Request};
use crate::info::{self, Info};
use crate::plan::{self, Build, Start};
use crate::topo::Topology;
use crate::{coll, request, world};

/// What each member of a parent brings to the making of new communicators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    /// The context that the member names, where it is the one to do so.
    pub context: u32,
    pub color: c_int,
    pub key: c_int,
}

impl Wish {
    pub const BYTES: usize = 12;

    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..4].copy_from_slice(&self.context.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.color.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.key.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: [u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self {
            context: u32::from_le_bytes([a, b, c, d]),
            color: c_int::from_le_bytes([e, f, g, h]),
            key: c_int::from_le_bytes([i, j, k, l]),
        }
    }
}

/// What all members of a parent brought: this side's, the other side's where there is one, and the context that holds.
pub(super) struct Agreed {
    pub local: Vec<Wish>,
    pub remote: Vec<Wish>,
    pub context: u32,
}

/// Hears all members' wishes.
pub(super) fn agree(parent: &Arc<Communicator>, color: c_int, key: c_int) -> Outcome<Agreed> {
    let context = if parent.rank == 0 { context::name()? } else { 0 };
    let mine = Wish { context, color, key }.encode();
    let decoded = |wishes: Vec<[u8; Wish::BYTES]>| wishes.into_iter().map(Wish::decode).collect::<Vec<_>>();
    match &parent.remote {
        None => {
            let local = decoded(coll::exchange(parent, mine)?);
            let context = local[0].context;
            Ok(Agreed { local, remote: Vec::new(), context })
        }
        Some(remote) => {
            let local = decoded(coll::exchange(&remote.local, mine)?);
            let remote = decoded(exchange_between(parent, mine)?);
            let context = if inter::is_first(parent) { local[0].context } else { remote[0].context };
            Ok(Agreed { local, remote, context })
        }
    }
}

/// Writes a handle where the caller gives room for one.
pub(super) fn hand_out(to: *mut MPI_Comm, handle: MPI_Comm) -> Outcome {
    if to.is_null() {
        return Err(crate::status::null("the new communicator"));
    }
    // SAFETY: the caller gives room for a handle.
    unsafe { to.write(handle) };
    Ok(())
}

/// What a duplicate of a communicator is made of, in that context.
fn duplicate(parent: &Communicator, context: u32, hints: Info) -> Outcome<Parts> {
    let mut parts = Parts::of(parent, Group::new(parent.group.members().to_vec()), context);
    parts.attributes = parent.copied_attributes()?;
    parts.topology.clone_from(&parent.topology);
    parts.settings.info = hints;
    Ok(match &parent.remote {
        None => parts,
        Some(remote) => parts.between(Group::new(remote.group.members().to_vec()), parent.me()),
    })
}

/// `MPI_Comm_dup`: with the hints of the old one.
pub unsafe fn dup(comm: MPI_Comm, newcomm: *mut MPI_Comm) -> Outcome {
    on(comm, |parent| {
        let hints = parent.settings().info.clone();
        duplicate_now(parent, hints, newcomm)
    })
}

/// `MPI_Comm_dup_with_info`
pub unsafe fn dup_with_info(comm: MPI_Comm, info: MPI_Info, newcomm: *mut MPI_Comm) -> Outcome {
    on(comm, |parent| duplicate_now(parent, info::get(info)?, newcomm))
}

fn duplicate_now(parent: &Arc<Communicator>, hints: Info, newcomm: *mut MPI_Comm) -> Outcome {
    if newcomm.is_null() {
        return Err(crate::status::null("the new communicator"));
    }
    let agreed = agree(parent, 0, 0)?;
    // SAFETY: the caller gives room for a handle.
    unsafe { newcomm.write(MPI_COMM_NULL) };
    hand_out(newcomm, duplicate(parent, agreed.context, hints)?.register(parent.me()))
}

/// A communicator of the same processes that the application does not know: a file's.
pub fn private_copy(parent: &Arc<Communicator>) -> Outcome<Arc<Communicator>> {
    let agreed = agree(parent, 0, 0)?;
    let parts = Parts::of(parent, Group::new(parent.group.members().to_vec()), agreed.context);
    Ok(Arc::new(parts.assemble(MPI_COMM_NULL, parent.me())))
}

/// `MPI_Comm_idup`
pub unsafe fn idup(comm: MPI_Comm, newcomm: *mut MPI_Comm, request: *mut MPI_Request) -> Outcome {
    on(comm, |parent| {
        let hints = parent.settings().info.clone();
        duplicate_later(parent, hints, newcomm, request)
    })
}

/// `MPI_Comm_idup_with_info`
pub unsafe fn idup_with_info(
    comm: MPI_Comm,
    info: MPI_Info,
    newcomm: *mut MPI_Comm,
    request: *mut MPI_Request,
) -> Outcome {
    on(comm, |parent| duplicate_later(parent, info::get(info)?, newcomm, request))
}

/// The duplicate gets its handle at once and its context when it comes: from the first member of the (first) group.
fn duplicate_later(
    parent: &Arc<Communicator>,
    hints: Info,
    newcomm: *mut MPI_Comm,
    request: *mut MPI_Request,
) -> Outcome {
    if newcomm.is_null() {
        return Err(crate::status::null("the new communicator"));
    }
    let parts = duplicate(parent, 0, hints)?;
    let me = parent.me();
    let reserved = {
        let mut all = lock();
        let reserved = all.others.reserve();
        all.coming.insert(reserved.value(), parent.handler());
        reserved
    };
    let parts = std::cell::Cell::new(Some(parts));
    let of = parent.clone();
    let build: Build = Box::new(move |start: &mut Start| {
        let Some(mut parts) = parts.take() else { return Ok(()) };
        let between = of.remote.is_some();
        let names = of.rank == 0 && (!between || inter::is_first(&of));
        let place = move |context: u32| {
            parts.context = context;
            if let Some(remote) = parts.remote.take() {
                parts = parts.between(Group::new(remote.group.members().to_vec()), me);
            }
            let mut all = lock();
            if let Some(handler) = all.coming.remove(&reserved.value()) {
                parts.settings.handler = handler;
            }
            all.others.fill(reserved, |handle| Arc::new(parts.assemble(handle, me)));
        };
        if names {
            let context = context::name()?;
            let others = of.peers().members().iter().chain(of.group.members().iter().filter(|_| between));
            for &process in others.filter(|&&process| process != me) {
                start.send_to_process(process, &context.to_le_bytes())?;
            }
            place(context);
            return Ok(());
        }
        let first = inter::first_group(&of).members()[0];
        start.receive_bytes_from_process(first, 4)?;
        start.then(move |received| {
            let context = received.first().and_then(|bytes| <[u8; 4]>::try_from(&bytes[..]).ok());
            place(context.map_or(0, u32::from_le_bytes));
        });
        Ok(())
    });
    hand_out(newcomm, reserved)?;
    // SAFETY: the caller gives room for a handle.
    unsafe { plan::later(parent, build, request) }
}

/// `MPI_Comm_split`
pub unsafe fn split(comm: MPI_Comm, color: c_int, key: c_int, newcomm: *mut MPI_Comm) -> Outcome {
    on(comm, |parent| {
        if color < 0 && color != MPI_UNDEFINED {
            return Err(Failure::new(MPI_ERR_ARG, format!("color {color}")));
        }
        if newcomm.is_null() {
            return Err(crate::status::null("the new communicator"));
        }
        hand_out(newcomm, part_of(parent, color, key, &Info::default())?)
    })
}

/// The communicator of those of one color.
fn part_of(parent: &Arc<Communicator>, color: c_int, key: c_int, hints: &Info) -> Outcome<MPI_Comm> {
    let agreed = agree(parent, color, key)?;
    if color == MPI_UNDEFINED {
        return Ok(MPI_COMM_NULL);
    }
    let mut parts = Parts::of(parent, part(&agreed.local, color, &parent.group), agreed.context);
    parts.settings.info.clone_from(hints);
    if let Some(remote) = &parent.remote {
        let others = part(&agreed.remote, color, &remote.group);
        if others.size() == 0 {
            return Ok(MPI_COMM_NULL);
        }
        parts = parts.between(others, parent.me());
    }
    Ok(parts.register(parent.me()))
}

/// The members of one color by key, and by rank in the parent where keys are equal.
fn part(wishes: &[Wish], color: c_int, parent: &Group) -> Group {
    let mut members: Vec<(c_int, Rank)> = wishes
        .iter()
        .zip(parent.members())
        .filter(|(wish, _)| wish.color == color)
        .map(|(wish, &member)| (wish.key, member))
        .collect();
    members.sort_by_key(|&(key, _)| key);
    Group::new(members.into_iter().map(|(_, member)| member).collect())
}

/// `MPI_Comm_split_type`. The ranks of a host share its memory; nothing more is known of its hardware.
pub unsafe fn split_type(
    comm: MPI_Comm,
    split_type: c_int,
    key: c_int,
    info: MPI_Info,
    newcomm: *mut MPI_Comm,
) -> Outcome {
    on(comm, |parent| {
        let hints = info::get(info)?;
        if newcomm.is_null() {
            return Err(crate::status::null("the new communicator"));
        }
        let color = match split_type {
            MPI_COMM_TYPE_SHARED => world::with(|world| world.first_of_host() as c_int),
            MPI_COMM_TYPE_HW_GUIDED | MPI_COMM_TYPE_RESOURCE_GUIDED
                if hints.get("mpi_hw_resource_type") == Some("mpi_shared_memory") =>
            {
                world::with(|world| world.first_of_host() as c_int)
            }
            MPI_UNDEFINED
            | MPI_COMM_TYPE_HW_GUIDED
            | MPI_COMM_TYPE_HW_UNGUIDED
            | MPI_COMM_TYPE_RESOURCE_GUIDED => MPI_UNDEFINED,
            other => return Err(Failure::new(MPI_ERR_ARG, format!("split type {other}"))),
        };
        hand_out(newcomm, part_of(parent, color, key, &hints)?)
    })
}

/// `MPI_Comm_create`: who gives groups that do not meet gets communicators of their own.
pub unsafe fn create(comm: MPI_Comm, group: MPI_Group, newcomm: *mut MPI_Comm) -> Outcome {
    on(comm, |parent| {
        let group = group::get(group)?;
        within(&group, parent)?;
        if newcomm.is_null() {
            return Err(crate::status::null("the new communicator"));
        }
        let (color, key) = match group.place(parent.me()) {
            None => (MPI_UNDEFINED, 0),
            // Both sides of two groups know one color only.
            Some(place) if parent.remote.is_some() => (0, place),
            Some(place) => (group.members()[0] as c_int, place),
        };
        hand_out(newcomm, part_of(parent, color, key as c_int, &Info::default())?)
    })
}

/// Whether all of a group are members of a communicator.
fn within(group: &Group, parent: &Communicator) -> Outcome {
    match group.members().iter().find(|&&member| parent.group.place(member).is_none()) {
        None => Ok(()),
        Some(stranger) => {
            Err(Failure::new(MPI_ERR_GROUP, format!("process {stranger} is not in the communicator")))
        }
    }
}

/// `MPI_Comm_create_group`: a collective of the group alone.
pub unsafe fn create_group(comm: MPI_Comm, group: MPI_Group, tag: c_int, newcomm: *mut MPI_Comm) -> Outcome {
    on_intra(comm, |parent| {
        let group = group::get(group)?;
        within(&group, parent)?;
        if tag < 0 {
            return Err(Failure::new(MPI_ERR_TAG, format!("tag {tag}")));
        }
        if newcomm.is_null() {
            return Err(crate::status::null("the new communicator"));
        }
        if group.place(parent.me()).is_none() {
            return hand_out(newcomm, MPI_COMM_NULL);
        }
        let named = named_by_first(&group, parent.me(), parent.collective_context(), tag)?;
        let parts = Parts::of(parent, Group::new(group.members().to_vec()), named);
        hand_out(newcomm, parts.register(parent.me()))
    })
}

/// The context that the first member of a group names, told to the others by messages of that context and tag.
fn named_by_first(group: &Group, me: Rank, through: u32, tag: i32) -> Outcome<u32> {
    // Collectives have tag 0, persistent ones negative tags.
    let envelope = Envelope { context: through, tag: tag.saturating_add(1) };
    let first = group.members()[0];
    if first == me {
        let named = context::name()?;
        for &member in group.members().iter().filter(|&&member| member != me) {
            world::with(|world| world.send(member, envelope, SendMode::Standard, &named.to_le_bytes()))?;
        }
        return Ok(named);
    }
    let pattern = Pattern { source: Some(first), context: through, tag: Some(envelope.tag) };
    let bytes = request::take_message(pattern)?;
    let bytes = <[u8; 4]>::try_from(&bytes[..]);
    bytes.map(u32::from_le_bytes).map_err(|_| Failure::new(MPI_ERR_INTERN, "a context of another length"))
}

/// `MPI_Comm_create_from_group`: without a parent.
pub unsafe fn create_from_group(
    group: MPI_Group,
    stringtag: *const c_char,
    info: MPI_Info,
    errhandler: MPI_Errhandler,
    newcomm: *mut MPI_Comm,
) -> Outcome {
    let handler = errors::handler_of(errhandler)?;
    let settled = || -> Outcome {
        let (group, hints) = (group::get(group)?, info::get(info)?);
        if group.size() == 0 {
            return hand_out(newcomm, MPI_COMM_NULL);
        }
        let me = world::with(|world| world.rank());
        if group.place(me).is_none() {
            return Err(Failure::new(MPI_ERR_GROUP, "this process is not in the group"));
        }
        let tag = hashed(stringtag)?;
        let named = named_for(&group, me, tag)?;
        let mut parts = Parts::of(&*get(MPI_COMM_SELF)?, Group::new(group.members().to_vec()), named);
        parts.settings.handler = handler.clone();
        parts.settings.info = hints;
        hand_out(newcomm, parts.register(me))
    };
    settled().map_err(|failure| failure.to(handler.clone()))
}

/// The unit of contexts in which communicators without a parent are agreed on.
const FOR_GROUPS: u32 = 2;

/// The context of a communicator of a group without a parent.
pub(super) fn named_for(group: &Group, me: Rank, tag: i32) -> Outcome<u32> {
    named_by_first(group, me, context::of_unit(FOR_GROUPS), tag)
}

/// A tag made of a string (FNV-1a).
pub(super) fn hashed(text: *const c_char) -> Outcome<i32> {
    if text.is_null() {
        return Err(crate::status::null("the string tag"));
    }
    // SAFETY: the caller gives a string.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    let hash =
        bytes.iter().fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    Ok((hash >> 2) as i32)
}

/// Makes a communicator of members of `parent` with a topology; those that are not among them get none.
pub fn with_topology(
    parent: &Arc<Communicator>,
    topology: Option<Topology>,
    newcomm: *mut MPI_Comm,
) -> Outcome {
    if newcomm.is_null() {
        return Err(crate::status::null("the new communicator"));
    }
    let color = if topology.is_some() { 0 } else { MPI_UNDEFINED };
    let agreed = agree(parent, color, 0)?;
    let handle = match topology {
        None => MPI_COMM_NULL,
        Some(topology) => {
            let mut parts = Parts::of(parent, part(&agreed.local, color, &parent.group), agreed.context);
            parts.topology = Some(topology);
            parts.register(parent.me())
        }
    };
    hand_out(newcomm, handle)
}

/// As [`with_topology`], for parts of a parent that each have their own.
pub fn split_with_topology(
    parent: &Arc<Communicator>,
    (color, key): (c_int, c_int),
    topology: Topology,
    newcomm: *mut MPI_Comm,
) -> Outcome {
    let agreed = agree(parent, color, key)?;
    let mut parts = Parts::of(parent, part(&agreed.local, color, &parent.group), agreed.context);
    parts.topology = Some(topology);
    hand_out(newcomm, parts.register(parent.me()))
}

/// `MPI_Comm_free`. Operations under way keep the communicator for themselves.
pub unsafe fn free(comm: *mut MPI_Comm) -> Outcome {
    if comm.is_null() {
        return Err(crate::status::null("the communicator"));
    }
    // SAFETY: the caller points to a handle.
    let handle = unsafe { &mut *comm };
    let object = get(*handle)?;
    if matches!(*handle, MPI_COMM_WORLD | MPI_COMM_SELF) {
        return Err(Failure::new(MPI_ERR_COMM, "a predefined communicator cannot be freed").on(&object));
    }
    object.delete_attributes().map_err(|failure| failure.on(&object))?;
    lock().others.remove(*handle);
    *handle = MPI_COMM_NULL;
    Ok(())
}

/// `MPI_Comm_disconnect`: the application has waited for what it sends and receives there.
pub unsafe fn disconnect(comm: *mut MPI_Comm) -> Outcome {
    // SAFETY: as in `free`.
    unsafe { free(comm) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_ordered_by_key_and_then_by_rank() {
        let parent = Group::new(vec![10, 11, 12, 13]);
        let wish = |color, key| Wish { context: 4, color, key };
        let wishes = [wish(1, 5), wish(1, 0), wish(0, 0), wish(1, 5)];
        assert_eq!(part(&wishes, 1, &parent).members(), [11, 10, 13]);
        assert_eq!(part(&wishes, 0, &parent).members(), [12]);
        assert_eq!(Wish::decode(wish(-3, 7).encode()), wish(-3, 7));
    }

    #[test]
    fn string_tags_are_no_negative_tags() {
        for text in [c"", c"a", c"org.example.library"] {
            assert!(hashed(text.as_ptr()).unwrap() >= 0);
        }
        assert_ne!(hashed(c"a".as_ptr()).unwrap(), hashed(c"b".as_ptr()).unwrap());
    }
}
