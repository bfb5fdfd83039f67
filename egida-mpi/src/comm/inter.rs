//! Communicators between two groups (MPI 5.0, section 7.6).
#![allow(clippy::too_many_arguments)] // the standard's

use std::ffi::{c_char, c_int};
use std::sync::Arc;

use egida_core::api::Pattern;
use egida_core::ids::Rank;
use egida_core::wire::{Envelope, SendMode};

use super::create::{agree, hand_out, hashed};
use super::{Communicator, Parts, context, get, on, on_intra};
use crate::constants::*;
use crate::errors::{self, Failure, Outcome};
use crate::group::{self, Group};
use crate::handle::{MPI_Comm, MPI_Errhandler, MPI_Group, MPI_Info};
use crate::plan::{self, Start};
use crate::{coll, info, request, world};

/// Whether this side is the one that goes first where the two have to be told apart.
pub fn is_first(comm: &Communicator) -> bool {
    comm.remote.as_ref().is_none_or(|remote| comm.group.members().first() < remote.group.members().first())
}

/// The side that goes first.
pub fn first_group(comm: &Communicator) -> &Group {
    match &comm.remote {
        Some(remote) if !is_first(comm) => &remote.group,
        _ => &comm.group,
    }
}

/// Every member's bytes go to all of the other side; what they sent, in rank order.
pub fn exchange_between<const N: usize>(comm: &Arc<Communicator>, mine: [u8; N]) -> Outcome<Vec<[u8; N]>> {
    let shelves = plan::now(comm, &|start: &mut Start| {
        for peer in 0..start.peers() {
            start.send(peer, &mine)?;
        }
        for peer in 0..start.peers() {
            start.receive_bytes(peer, N)?;
        }
        Ok(())
    })?;
    let whole = |bytes: Vec<u8>| {
        bytes.try_into().map_err(|_| Failure::new(MPI_ERR_INTERN, "a member sent another number of bytes"))
    };
    shelves.into_iter().map(whole).collect()
}

/// `MPI_Intercomm_create`
pub unsafe fn intercomm_create(
    local_comm: MPI_Comm,
    local_leader: c_int,
    peer_comm: MPI_Comm,
    remote_leader: c_int,
    tag: c_int,
    newintercomm: *mut MPI_Comm,
) -> Outcome {
    on_intra(local_comm, |local| {
        if newintercomm.is_null() {
            return Err(crate::status::null("the new communicator"));
        }
        let leads = usize::try_from(local_leader).ok().filter(|&leader| leader < local.size() as usize);
        let leader =
            leads.ok_or_else(|| Failure::new(MPI_ERR_RANK, format!("local leader {local_leader}")))?;
        let news = if leader == local.rank as usize {
            let (peer, other) = on(peer_comm, |peer| {
                let other = peer.process(remote_leader);
                let other = other
                    .ok_or_else(|| Failure::new(MPI_ERR_RANK, format!("remote leader {remote_leader}")))?;
                if tag < 0 {
                    return Err(Failure::new(MPI_ERR_TAG, format!("tag {tag}")));
                }
                Ok((peer.context(), other))
            })?;
            introduce(&local.group, other, Envelope { context: peer, tag })?
        } else {
            Vec::new()
        };
        let remote = News::decode(&coll::spread(local, leader, news)?)?;
        let own = Group::new(local.group.members().to_vec());
        let parts = Parts::of(local, own, remote.context).between(Group::new(remote.members), local.me());
        hand_out(newintercomm, parts.register(local.me()))
    })
}

/// What a leader tells the other one: the context that it names, and who is on its side.
struct News {
    context: u32,
    members: Vec<Rank>,
}

impl News {
    fn encode(&self) -> Vec<u8> {
        std::iter::once(self.context).chain(self.members.iter().copied()).flat_map(u32::to_le_bytes).collect()
    }

    fn decode(bytes: &[u8]) -> Outcome<Self> {
        let mut words =
            bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let context = words.next().ok_or_else(|| Failure::new(MPI_ERR_INTERN, "a leader said nothing"))?;
        Ok(Self { context, members: words.collect() })
    }
}

/// The leaders' exchange. Returns the other side's members, and the context named by the leader with the lower rank in the job.
fn introduce(local: &Group, other: Rank, envelope: Envelope) -> Outcome<Vec<u8>> {
    let mine = News { context: context::name()?, members: local.members().to_vec() };
    world::with(|world| world.send(other, envelope, SendMode::Standard, &mine.encode()))?;
    let pattern = Pattern { source: Some(other), context: envelope.context, tag: Some(envelope.tag) };
    let mut theirs = News::decode(&request::take_message(pattern)?)?;
    let me = world::with(|world| world.rank());
    if me < other {
        theirs.context = mine.context;
    }
    if theirs.members.iter().any(|&member| local.place(member).is_some()) {
        return Err(Failure::new(MPI_ERR_COMM, "the two groups are not disjoint"));
    }
    Ok(theirs.encode())
}

/// `MPI_Intercomm_create_from_groups`: every process knows both groups, so only the context has to be told.
pub unsafe fn intercomm_create_from_groups(
    local_group: MPI_Group,
    local_leader: c_int,
    remote_group: MPI_Group,
    remote_leader: c_int,
    stringtag: *const c_char,
    info: MPI_Info,
    errhandler: MPI_Errhandler,
    newintercomm: *mut MPI_Comm,
) -> Outcome {
    let handler = errors::handler_of(errhandler)?;
    let settled = || -> Outcome {
        let (local, remote) = (group::get(local_group)?, group::get(remote_group)?);
        let leads =
            |group: &Group, leader: c_int| usize::try_from(leader).is_ok_and(|at| at < group.size() as usize);
        if !leads(&local, local_leader) || !leads(&remote, remote_leader) {
            return Err(Failure::new(MPI_ERR_RANK, format!("leaders {local_leader} and {remote_leader}")));
        }
        let (hints, me) = (info::get(info)?, world::with(|world| world.rank()));
        let (first, second) = if local.members().first() < remote.members().first() {
            (&local, &remote)
        } else {
            (&remote, &local)
        };
        let everybody = Group::new(first.members().iter().chain(second.members()).copied().collect());
        let named = super::create::named_for(&everybody, me, hashed(stringtag)?)?;
        let own = Group::new(local.members().to_vec());
        let mut parts = Parts::of(&*get(MPI_COMM_SELF)?, own, named);
        parts.settings.handler = handler.clone();
        parts.settings.info = hints;
        let parts = parts.between(Group::new(remote.members().to_vec()), me);
        hand_out(newintercomm, parts.register(me))
    };
    settled().map_err(|failure| failure.to(handler.clone()))
}

/// `MPI_Intercomm_merge`
pub unsafe fn intercomm_merge(intercomm: MPI_Comm, high: c_int, newintracomm: *mut MPI_Comm) -> Outcome {
    on(intercomm, |comm| {
        let remote = super::remote(comm)?;
        if newintracomm.is_null() {
            return Err(crate::status::null("the new communicator"));
        }
        let agreed = agree(comm, c_int::from(high != 0), 0)?;
        let sides = [&agreed.local, &agreed.remote];
        if sides.iter().any(|side| side.iter().any(|wish| wish.color != side[0].color)) {
            return Err(Failure::new(MPI_ERR_ARG, "the members of a group differ in `high`"));
        }
        let above = match (agreed.local[0].color, agreed.remote[0].color) {
            (mine, theirs) if mine == theirs => !is_first(comm),
            (mine, _) => mine != 0,
        };
        let (low, up) = if above { (&remote.group, &comm.group) } else { (&comm.group, &remote.group) };
        let members = low.members().iter().chain(up.members()).copied().collect();
        let parts = Parts::of(comm, Group::new(members), agreed.context);
        hand_out(newintracomm, parts.register(comm.me()))
    })
}
