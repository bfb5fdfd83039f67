//! What each collective that moves data sends and receives (MPI 5.0, chapter 6).
#![allow(clippy::too_many_arguments)] // the standard's

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::{Build, Start};
use crate::comm::Communicator;
use crate::constants::*;
use crate::datatype::{Blocks, Datatype, Source, Target};
use crate::errors::{Failure, Outcome};
use crate::group::array;
use crate::handle::{Integer, MPI_Datatype};
use crate::types::{self, wide};

/// Whether a buffer argument says `MPI_IN_PLACE`.
pub fn in_place(buffer: *const c_void) -> bool {
    buffer as usize == MPI_IN_PLACE
}

/// Whether a process's input is not the very memory that takes the result, where there is data.
pub fn apart(input: *const c_void, output: *const c_void, count: impl Integer) -> Outcome {
    if input == output && !input.is_null() && !in_place(input) && count.wide() > 0 {
        return Err(Failure::new(MPI_ERR_BUFFER, "the buffers are the same; `MPI_IN_PLACE` says so"));
    }
    Ok(())
}

/// The greatest of a process's counts, which are not looked at where the buffer says `MPI_IN_PLACE`.
///
/// # Safety
/// There are as many counts as ranks.
pub unsafe fn most(buffer: *const c_void, counts: *const impl Integer, ranks: u32) -> Outcome<i64> {
    if in_place(buffer) {
        return Ok(0);
    }
    // SAFETY: as this function's contract has it.
    Ok(unsafe { wide(counts, ranks as c_int)? }.into_iter().max().unwrap_or(0))
}

/// Which part of a rooted collective a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The root.
    Root,
    /// With that peer as the root.
    Of(usize),
    /// None: a process beside the root of the other side.
    Bystander,
}

/// The part that a process has, from the standard's `root`.
pub fn role(comm: &Communicator, root: c_int) -> Outcome<Role> {
    let wrong = || Failure::new(MPI_ERR_ROOT, format!("root {root}"));
    if comm.remote.is_some() {
        return match root {
            MPI_ROOT => Ok(Role::Root),
            MPI_PROC_NULL => Ok(Role::Bystander),
            root => member(comm, root).map(Role::Of).ok_or_else(wrong),
        };
    }
    let root = member(comm, root).ok_or_else(wrong)?;
    Ok(if root == comm.rank as usize { Role::Root } else { Role::Of(root) })
}

fn member(comm: &Communicator, rank: c_int) -> Option<usize> {
    usize::try_from(rank).ok().filter(|&rank| rank < comm.peers().size() as usize)
}

/// Memory of the application, to be looked at when a collective begins.
#[derive(Debug, Clone)]
pub struct Buffer {
    base: *mut u8,
    count: i64,
    datatype: Datatype,
}

impl Buffer {
    /// Checks the arguments.
    pub fn new(base: *const c_void, count: impl Integer, datatype: MPI_Datatype) -> Outcome<Self> {
        let buffer =
            Self { base: base.cast_mut().cast(), count: count.wide(), datatype: types::get(datatype)? };
        // SAFETY: only arguments are looked at.
        unsafe { buffer.source()? };
        Ok(buffer)
    }

    /// # Safety
    /// The application leaves the memory to the operation.
    pub unsafe fn source(&self) -> Outcome<Source<'_>> {
        // SAFETY: as this function's contract has it.
        Ok(unsafe { Source::new(self.base, self.count, &self.datatype)? })
    }

    /// # Safety
    /// As [`Self::source`].
    pub unsafe fn target(&self) -> Outcome<Target<'_>> {
        // SAFETY: as this function's contract has it.
        Ok(unsafe { Target::new(self.base, self.count, &self.datatype)? })
    }
}

/// A block for each peer.
#[derive(Debug, Clone)]
pub struct Shares {
    base: *mut u8,
    datatype: Datatype,
    places: Places,
}

#[derive(Debug, Clone)]
enum Places {
    Uniform { count: i64, blocks: usize },
    Each { counts: Vec<i64>, displacements: Vec<i64> },
}

impl Shares {
    /// Blocks of one size, one after another.
    pub fn uniform(
        base: *const c_void,
        count: impl Integer,
        datatype: MPI_Datatype,
        blocks: usize,
    ) -> Outcome<Self> {
        let places = Places::Uniform { count: count.wide(), blocks };
        Self { base: base.cast_mut().cast(), datatype: types::get(datatype)?, places }.checked()
    }

    /// Blocks with counts and displacements.
    ///
    /// # Safety
    /// There are as many counts and displacements as blocks.
    pub unsafe fn each(
        base: *const c_void,
        counts: *const impl Integer,
        displacements: *const impl Integer,
        datatype: MPI_Datatype,
        blocks: usize,
    ) -> Outcome<Self> {
        // SAFETY: as this function's contract has it.
        let (counts, displacements) =
            unsafe { (wide(counts, blocks as c_int)?, wide(displacements, blocks as c_int)?) };
        let places = Places::Each { counts, displacements };
        Self { base: base.cast_mut().cast(), datatype: types::get(datatype)?, places }.checked()
    }

    fn checked(self) -> Outcome<Self> {
        // SAFETY: only arguments are looked at.
        unsafe { self.blocks()? };
        Ok(self)
    }

    /// # Safety
    /// The application leaves the memory to the operation.
    pub unsafe fn blocks(&self) -> Outcome<Blocks<'_, *mut u8>> {
        // SAFETY: as this function's contract has it.
        Ok(unsafe {
            match &self.places {
                Places::Uniform { count, blocks } => {
                    Blocks::uniform(self.base, *count, *blocks, &self.datatype)?
                }
                Places::Each { counts, displacements } => {
                    Blocks::each(self.base, counts, displacements, &self.datatype)?
                }
            }
        })
    }
}

/// A block for each peer, each with a datatype and a displacement in bytes of its own.
#[derive(Debug, Clone)]
pub struct Parcels(Vec<Buffer>);

impl Parcels {
    /// Checks the arguments.
    ///
    /// # Safety
    /// There are as many counts, displacements and types as blocks.
    pub unsafe fn new(
        base: *const c_void,
        counts: *const impl Integer,
        displacements: *const impl Integer,
        datatypes: *const MPI_Datatype,
        blocks: usize,
    ) -> Outcome<Self> {
        // SAFETY: as this function's contract has it.
        let (counts, displacements, datatypes) = unsafe {
            let blocks = blocks as c_int;
            (wide(counts, blocks)?, wide(displacements, blocks)?, array(datatypes, blocks)?)
        };
        let places = counts.into_iter().zip(displacements).zip(datatypes);
        let parcel = |((count, displacement), &datatype): ((i64, i64), &MPI_Datatype)| {
            Buffer::new(base.wrapping_byte_offset(displacement as isize), count, datatype)
        };
        Ok(Self(places.map(parcel).collect::<Outcome<_>>()?))
    }

    /// The block of a peer.
    pub fn get(&self, peer: usize) -> &Buffer {
        &self.0[peer]
    }
}

fn peers(comm: &Communicator) -> usize {
    comm.peers().size() as usize
}

/// `MPI_Barrier`: an empty message from each to each.
pub fn barrier(_: &Arc<Communicator>) -> Outcome<Build> {
    Ok(Box::new(|start| {
        for peer in start.others() {
            start.send(peer, &[])?;
        }
        for peer in start.others() {
            start.receive_bytes(peer, 0)?;
        }
        Ok(())
    }))
}

/// `MPI_Bcast`
pub fn bcast(
    buffer: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    root: c_int,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    let role = role(comm, root)?;
    if role == Role::Bystander {
        return Ok(Box::new(|_| Ok(())));
    }
    let buffer = Buffer::new(buffer, count, datatype)?;
    Ok(Box::new(move |start| {
        // SAFETY: the application leaves the buffer to the operation; so in all of these.
        match role {
            Role::Root => {
                // SAFETY: see above.
                let bytes = unsafe { buffer.source()? };
                let bytes = bytes.packed();
                for peer in start.others() {
                    start.send(peer, &bytes)?;
                }
                Ok(())
            }
            // SAFETY: see above.
            Role::Of(root) => start.receive(root, unsafe { buffer.target()? }),
            Role::Bystander => Ok(()),
        }
    }))
}

/// What gather and gatherv have in common: everyone's bytes go to the root.
fn to_root(role: Role, send: Option<Buffer>, receive: Option<Shares>) -> Build {
    Box::new(move |start| {
        // SAFETY: see `bcast`.
        unsafe {
            match role {
                Role::Root => {
                    let Some(shares) = &receive else { return Ok(()) };
                    let mut blocks = shares.blocks()?;
                    if let (Some(own), Some(send)) = (start.own(), &send) {
                        start.copy(&send.source()?, blocks.target(own))?;
                    }
                    start.others().try_for_each(|peer| start.receive(peer, blocks.target(peer)))
                }
                Role::Of(root) => match &send {
                    Some(send) => start.send(root, &send.source()?.packed()),
                    None => Ok(()),
                },
                Role::Bystander => Ok(()),
            }
        }
    })
}

/// The buffer that a process sends from, where it does.
fn sent(
    needed: bool,
    base: *const c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
) -> Outcome<Option<Buffer>> {
    (needed && !in_place(base)).then(|| Buffer::new(base, count, datatype)).transpose()
}

/// Whether a process gives its own data to a rooted collective.
fn gives(comm: &Communicator, role: Role) -> bool {
    match role {
        Role::Root => comm.remote.is_none(),
        Role::Of(_) => true,
        Role::Bystander => false,
    }
}

/// `MPI_Gather`
pub fn gather(
    sendbuf: *const c_void,
    sendcount: impl Integer,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: impl Integer,
    recvtype: MPI_Datatype,
    root: c_int,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    let role = role(comm, root)?;
    if role == Role::Root {
        apart(sendbuf, recvbuf, sendcount)?;
    }
    let send = sent(gives(comm, role), sendbuf, sendcount, sendtype)?;
    let receive = (role == Role::Root).then(|| Shares::uniform(recvbuf, recvcount, recvtype, peers(comm)));
    Ok(to_root(role, send, receive.transpose()?))
}

/// `MPI_Gatherv`
///
/// # Safety
/// The root gives a count and a displacement for each peer; so in the others with such arrays.
pub unsafe fn gatherv(
    sendbuf: *const c_void,
    sendcount: impl Integer,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcounts: *const impl Integer,
    displs: *const impl Integer,
    recvtype: MPI_Datatype,
    root: c_int,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    let role = role(comm, root)?;
    if role == Role::Root {
        apart(sendbuf, recvbuf, sendcount)?;
    }
    let send = sent(gives(comm, role), sendbuf, sendcount, sendtype)?;
    // SAFETY: as this function's contract has it.
    let shares = || unsafe { Shares::each(recvbuf, recvcounts, displs, recvtype, peers(comm)) };
    Ok(to_root(role, send, (role == Role::Root).then(shares).transpose()?))
}

/// What scatter and scatterv have in common.
fn from_root(role: Role, send: Option<Shares>, receive: Option<Buffer>) -> Build {
    Box::new(move |start| {
        // SAFETY: see `bcast`.
        unsafe {
            match role {
                Role::Root => {
                    let Some(shares) = &send else { return Ok(()) };
                    let blocks = shares.blocks()?;
                    for peer in start.others() {
                        start.send(peer, &blocks.source(peer).packed())?;
                    }
                    match (start.own(), &receive) {
                        (Some(own), Some(receive)) => start.copy(&blocks.source(own), receive.target()?),
                        _ => Ok(()),
                    }
                }
                Role::Of(root) => match &receive {
                    Some(receive) => start.receive(root, receive.target()?),
                    None => Ok(()),
                },
                Role::Bystander => Ok(()),
            }
        }
    })
}

/// `MPI_Scatter`
pub fn scatter(
    sendbuf: *const c_void,
    sendcount: impl Integer,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: impl Integer,
    recvtype: MPI_Datatype,
    root: c_int,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    let role = role(comm, root)?;
    if role == Role::Root {
        apart(sendbuf, recvbuf, recvcount)?;
    }
    let receive = sent(gives(comm, role), recvbuf, recvcount, recvtype)?;
    let send = (role == Role::Root).then(|| Shares::uniform(sendbuf, sendcount, sendtype, peers(comm)));
    Ok(from_root(role, send.transpose()?, receive))
}

/// `MPI_Scatterv`
///
/// # Safety
/// See [`gatherv`].
pub unsafe fn scatterv(
    sendbuf: *const c_void,
    sendcounts: *const impl Integer,
    displs: *const impl Integer,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: impl Integer,
    recvtype: MPI_Datatype,
    root: c_int,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    let role = role(comm, root)?;
    if role == Role::Root {
        apart(sendbuf, recvbuf, recvcount)?;
    }
    let receive = sent(gives(comm, role), recvbuf, recvcount, recvtype)?;
    // SAFETY: as this function's contract has it.
    let shares = || unsafe { Shares::each(sendbuf, sendcounts, displs, sendtype, peers(comm)) };
    Ok(from_root(role, (role == Role::Root).then(shares).transpose()?, receive))
}

/// What allgather and allgatherv have in common: everyone's bytes go to everyone.
fn to_all(send: Option<Buffer>, receive: Shares) -> Build {
    Box::new(move |start| {
        // SAFETY: see `bcast`.
        unsafe {
            let mut blocks = receive.blocks()?;
            let bytes = match (&send, start.own()) {
                (Some(send), _) => send.source()?.packed().into_owned(),
                (None, Some(own)) => blocks.source(own).packed().into_owned(),
                (None, None) => return Err(no_place()),
            };
            // First what may be refused: nothing is sent by a call that fails.
            if let (Some(own), Some(send)) = (start.own(), &send) {
                start.copy(&send.source()?, blocks.target(own))?;
            }
            for peer in start.others() {
                start.send(peer, &bytes)?;
            }
            start.others().try_for_each(|peer| start.receive(peer, blocks.target(peer)))
        }
    })
}

fn no_place() -> Failure {
    Failure::new(MPI_ERR_BUFFER, "`MPI_IN_PLACE` where there are two groups")
}

/// `MPI_Allgather`
pub fn allgather(
    sendbuf: *const c_void,
    sendcount: impl Integer,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: impl Integer,
    recvtype: MPI_Datatype,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    apart(sendbuf, recvbuf, sendcount)?;
    let send = sent(true, sendbuf, sendcount, sendtype)?;
    Ok(to_all(send, Shares::uniform(recvbuf, recvcount, recvtype, peers(comm))?))
}

/// `MPI_Allgatherv`
///
/// # Safety
/// See [`gatherv`].
pub unsafe fn allgatherv(
    sendbuf: *const c_void,
    sendcount: impl Integer,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcounts: *const impl Integer,
    displs: *const impl Integer,
    recvtype: MPI_Datatype,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    apart(sendbuf, recvbuf, sendcount)?;
    let send = sent(true, sendbuf, sendcount, sendtype)?;
    // SAFETY: as this function's contract has it.
    Ok(to_all(send, unsafe { Shares::each(recvbuf, recvcounts, displs, recvtype, peers(comm))? }))
}

/// What alltoall and alltoallv have in common.
fn each_to_each(send: Option<Shares>, receive: Shares) -> Build {
    Box::new(move |start| {
        // SAFETY: see `bcast`.
        unsafe {
            let mut to = receive.blocks()?;
            match &send {
                Some(send) => {
                    let from = send.blocks()?;
                    if let Some(own) = start.own() {
                        start.copy(&from.source(own), to.target(own))?;
                    }
                    for peer in start.others() {
                        start.send(peer, &from.source(peer).packed())?;
                    }
                }
                None => {
                    if start.own().is_none() {
                        return Err(no_place());
                    }
                    for peer in start.others() {
                        start.send(peer, &to.source(peer).packed())?;
                    }
                }
            }
            start.others().try_for_each(|peer| start.receive(peer, to.target(peer)))
        }
    })
}

/// `MPI_Alltoall`
pub fn alltoall(
    sendbuf: *const c_void,
    sendcount: impl Integer,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: impl Integer,
    recvtype: MPI_Datatype,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    apart(sendbuf, recvbuf, sendcount)?;
    let send = (!in_place(sendbuf)).then(|| Shares::uniform(sendbuf, sendcount, sendtype, peers(comm)));
    Ok(each_to_each(send.transpose()?, Shares::uniform(recvbuf, recvcount, recvtype, peers(comm))?))
}

/// `MPI_Alltoallv`
///
/// # Safety
/// See [`gatherv`].
pub unsafe fn alltoallv(
    sendbuf: *const c_void,
    sendcounts: *const impl Integer,
    sdispls: *const impl Integer,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcounts: *const impl Integer,
    rdispls: *const impl Integer,
    recvtype: MPI_Datatype,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    // SAFETY: as this function's contract has it.
    unsafe {
        apart(sendbuf, recvbuf, most(sendbuf, sendcounts, comm.peers().size())?)?;
        let shares = || Shares::each(sendbuf, sendcounts, sdispls, sendtype, peers(comm));
        let send = (!in_place(sendbuf)).then(shares).transpose()?;
        Ok(each_to_each(send, Shares::each(recvbuf, recvcounts, rdispls, recvtype, peers(comm))?))
    }
}

/// `MPI_Alltoallw`
///
/// # Safety
/// See [`gatherv`].
pub unsafe fn alltoallw(
    sendbuf: *const c_void,
    sendcounts: *const impl Integer,
    sdispls: *const impl Integer,
    sendtypes: *const MPI_Datatype,
    recvbuf: *mut c_void,
    recvcounts: *const impl Integer,
    rdispls: *const impl Integer,
    recvtypes: *const MPI_Datatype,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    // SAFETY: as this function's contract has it.
    let (send, receive) = unsafe {
        apart(sendbuf, recvbuf, most(sendbuf, sendcounts, comm.peers().size())?)?;
        let parcels = || Parcels::new(sendbuf, sendcounts, sdispls, sendtypes, peers(comm));
        let send = (!in_place(sendbuf)).then(parcels).transpose()?;
        (send, Parcels::new(recvbuf, recvcounts, rdispls, recvtypes, peers(comm))?)
    };
    Ok(Box::new(move |start: &mut Start| {
        if send.is_none() && start.own().is_none() {
            return Err(no_place());
        }
        let from = send.as_ref().unwrap_or(&receive);
        // SAFETY: see `bcast`.
        unsafe {
            if let (Some(own), Some(send)) = (start.own(), &send) {
                start.copy(&send.get(own).source()?, receive.get(own).target()?)?;
            }
            for peer in start.others() {
                start.send(peer, &from.get(peer).source()?.packed())?;
            }
            start.others().try_for_each(|peer| start.receive(peer, receive.get(peer).target()?))
        }
    }))
}
