//! Collectives: the entry points (MPI 5.0, chapter 6).
#![allow(clippy::too_many_arguments)] // the standard's

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use egida_core::api::Pattern;
use egida_core::fault::Fault;
use egida_core::wire::{Envelope, SendMode};

use crate::collective::{self, CollectiveError, Peers};
use crate::comm::{self, Communicator};
use crate::constants::*;
use crate::datatype::{Blocks, Datatype, DatatypeError, Source, Target};
use crate::errors::{Failure, Outcome};
use crate::handle::{Integer, MPI_Comm, MPI_Datatype, MPI_Op};
use crate::plan::collective::{apart, in_place, most};
use crate::plan::{self, Build};
use crate::types::wide;
use crate::{ops, types, world};

/// The members of a communicator, in its context for collectives. The world is taken for each message alone, so that
/// a reduction of the application's may ask the library for what it likes.
struct Members<'a> {
    comm: &'a Communicator,
}

/// Channels are in order, so one tag serves all collectives.
pub const TAG: i32 = 0;

impl Peers for Members<'_> {
    type Error = Fault;

    fn rank(&self) -> usize {
        self.comm.rank as usize
    }

    fn size(&self) -> usize {
        self.comm.size() as usize
    }

    fn send(&mut self, to: usize, bytes: &[u8]) -> Result<(), Fault> {
        let envelope = Envelope { context: self.comm.collective_context(), tag: TAG };
        let dest = self.comm.group.members()[to];
        world::with(|world| world.send(dest, envelope, SendMode::Standard, bytes)).map(drop)
    }

    fn receive(&mut self, from: usize, sink: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        let source = Some(self.comm.group.members()[from]);
        let pattern = Pattern { source, context: self.comm.collective_context(), tag: Some(TAG) };
        world::with(|world| {
            let id = world.post(pattern)?;
            let mut read_bytes = 0;
            world::until(world, |world| {
                let Some(matched) = world.matched(id) else { return Ok(None) };
                while read_bytes < matched.len {
                    let Some(bytes) = world::piece(world, id)? else { return Ok(None) };
                    sink(bytes);
                    read_bytes += bytes.len() as u64;
                }
                Ok(world.deliverable(id).then_some(()))
            })?;
            world::finish(world, id)
        })
    }
}

impl<E: Into<Failure>> From<CollectiveError<E>> for Failure {
    fn from(error: CollectiveError<E>) -> Self {
        let class = error.class().unwrap_or(MPI_ERR_INTERN);
        match error {
            CollectiveError::Transport(error) => error.into(),
            other => Self::new(class, other.to_string()),
        }
    }
}

/// Every member's bytes, in rank order.
pub fn exchange<const N: usize>(comm: &Communicator, mine: [u8; N]) -> Outcome<Vec<[u8; N]>> {
    let byte = types::get(MPI_BYTE)?;
    let mut all = vec![[0; N]; comm.size() as usize];
    // SAFETY: `mine` has N bytes and `all` N for each member; nobody else uses them.
    unsafe {
        let send = Source::new(mine.as_ptr(), N as i64, &byte)?;
        let receive = Blocks::uniform(all.as_mut_ptr().cast::<u8>(), N as i64, all.len(), &byte)?;
        collective::allgather(&mut Members { comm }, Some(send), receive)?;
    }
    Ok(all)
}

/// The bytes of one member, which only it gives.
pub fn spread(comm: &Communicator, root: usize, mine: Vec<u8>) -> Outcome<Vec<u8>> {
    let byte = types::get(MPI_BYTE)?;
    let members = &mut Members { comm };
    let mut len = (mine.len() as u64).to_le_bytes();
    // SAFETY: both targets are memory of this function's.
    unsafe {
        collective::bcast(members, root, Target::new(len.as_mut_ptr(), len.len() as i64, &byte)?)?;
        let mut all = mine;
        all.resize(u64::from_le_bytes(len) as usize, 0);
        collective::bcast(members, root, Target::new(all.as_mut_ptr(), all.len() as i64, &byte)?)?;
        Ok(all)
    }
}

/// Every member's bytes, of any lengths, in rank order.
pub fn gossip(comm: &Communicator, mine: &[u8]) -> Outcome<Vec<Vec<u8>>> {
    let byte = types::get(MPI_BYTE)?;
    let lens = exchange(comm, (mine.len() as u64).to_le_bytes())?;
    let lens: Vec<i64> = lens.into_iter().map(|len| u64::from_le_bytes(len) as i64).collect();
    let starts: Vec<i64> = lens.iter().scan(0, |end, len| Some(std::mem::replace(end, *end + len))).collect();
    let mut all = vec![0u8; lens.iter().sum::<i64>() as usize];
    // SAFETY: `mine` is of this length, and `all` has room for all; nobody else uses them.
    unsafe {
        let send = Source::new(mine.as_ptr(), mine.len() as i64, &byte)?;
        let receive = Blocks::each(all.as_mut_ptr(), &lens, &starts, &byte)?;
        collective::allgather(&mut Members { comm }, Some(send), receive)?;
    }
    let piece = |(start, len): (&i64, &i64)| all[*start as usize..(*start + *len) as usize].to_vec();
    Ok(starts.iter().zip(&lens).map(piece).collect())
}

/// Runs a collective on the communicator of a handle: `body` among the members of one group, what `between` says between two.
fn run(
    comm: MPI_Comm,
    between: impl FnOnce(&Arc<Communicator>) -> Outcome<Build>,
    body: impl FnOnce(&mut Members<'_>, &Arc<Communicator>) -> Outcome,
) -> Outcome {
    comm::on(comm, |comm| match comm.remote {
        None => body(&mut Members { comm }, comm),
        Some(_) => plan::now(comm, &*between(comm)?).map(drop),
    })
}

fn root_rank(root: c_int) -> Outcome<usize> {
    usize::try_from(root).map_err(|_| Failure::new(MPI_ERR_ROOT, format!("root {root}")))
}

/// A datatype, unless the argument does not count at this rank.
fn significant(counts: bool, datatype: MPI_Datatype) -> Outcome<Option<Datatype>> {
    counts.then(|| types::get(datatype)).transpose()
}

/// A block for each rank, with its own count and displacement.
macro_rules! each {
    ($base:expr, $counts:expr, $displacements:expr, $comm:expr, $datatype:expr) => {{
        let ranks = $comm.size() as c_int;
        Blocks::each($base.cast::<u8>(), &wide($counts, ranks)?, &wide($displacements, ranks)?, $datatype)?
    }};
}

/// Memory of this rank, unless it is in place.
macro_rules! memory {
    ($kind:ident, $buffer:expr, $count:expr, $datatype:expr) => {
        match in_place($buffer) {
            true => None,
            false => Some($kind::new($buffer.cast(), $count, &$datatype)?),
        }
    };
}

/// `MPI_Barrier`
pub unsafe fn barrier(comm: MPI_Comm) -> Outcome {
    run(comm, |comm| plan::collective::barrier(comm), |members, _| Ok(collective::barrier(members)?))
}

/// `MPI_Bcast`
pub unsafe fn bcast(
    buffer: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    root: c_int,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| plan::collective::bcast(buffer, count, datatype, root, comm),
        |members, _| {
            let datatype = types::get(datatype)?;
            // SAFETY: the caller gives `count` elements; so in all of these.
            let buffer = unsafe { Target::new(buffer.cast(), count.wide(), &datatype)? };
            Ok(collective::bcast(members, root_rank(root)?, buffer)?)
        },
    )
}

/// `MPI_Gather`
pub unsafe fn gather<N: Integer>(
    sendbuf: *const c_void,
    sendcount: N,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: N,
    recvtype: MPI_Datatype,
    root: c_int,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| {
            plan::collective::gather(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, root, comm)
        },
        |members, comm| {
            let root = root_rank(root)?;
            if members.rank() == root {
                apart(sendbuf, recvbuf, sendcount)?;
            }
            let send_type = significant(!in_place(sendbuf), sendtype)?;
            let receive_type = significant(members.rank() == root, recvtype)?;
            let ranks = comm.size() as usize;
            // SAFETY: see `bcast`; what is not significant at this rank is not looked at.
            unsafe {
                let send = match &send_type {
                    Some(one) => Some(Source::new(sendbuf.cast(), sendcount.wide(), one)?),
                    None => None,
                };
                let receive = match &receive_type {
                    Some(one) => Some(Blocks::uniform(recvbuf.cast::<u8>(), recvcount.wide(), ranks, one)?),
                    None => None,
                };
                Ok(collective::gather(members, root, send, receive)?)
            }
        },
    )
}

/// `MPI_Gatherv`
pub unsafe fn gatherv<N: Integer, D: Integer>(
    sendbuf: *const c_void,
    sendcount: N,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcounts: *const N,
    displs: *const D,
    recvtype: MPI_Datatype,
    root: c_int,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| {
            // SAFETY: the caller's arrays are as the standard has them.
            unsafe {
                plan::collective::gatherv(
                    sendbuf, sendcount, sendtype, recvbuf, recvcounts, displs, recvtype, root, comm,
                )
            }
        },
        |members, comm| {
            let root = root_rank(root)?;
            if members.rank() == root {
                apart(sendbuf, recvbuf, sendcount)?;
            }
            let send_type = significant(!in_place(sendbuf), sendtype)?;
            let receive_type = significant(members.rank() == root, recvtype)?;
            // SAFETY: see `gather`; at the root there is a count and a displacement for each rank.
            unsafe {
                let send = match &send_type {
                    Some(one) => Some(Source::new(sendbuf.cast(), sendcount.wide(), one)?),
                    None => None,
                };
                let receive = match &receive_type {
                    Some(one) => Some(each!(recvbuf, recvcounts, displs, comm, one)),
                    None => None,
                };
                Ok(collective::gatherv(members, root, send, receive)?)
            }
        },
    )
}

/// `MPI_Scatter`
pub unsafe fn scatter<N: Integer>(
    sendbuf: *const c_void,
    sendcount: N,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: N,
    recvtype: MPI_Datatype,
    root: c_int,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| {
            plan::collective::scatter(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, root, comm)
        },
        |members, comm| {
            let root = root_rank(root)?;
            if members.rank() == root {
                apart(sendbuf, recvbuf, recvcount)?;
            }
            let send_type = significant(members.rank() == root, sendtype)?;
            let receive_type = significant(!in_place(recvbuf), recvtype)?;
            let ranks = comm.size() as usize;
            // SAFETY: see `gather`.
            unsafe {
                let send = match &send_type {
                    Some(one) => Some(Blocks::uniform(sendbuf.cast::<u8>(), sendcount.wide(), ranks, one)?),
                    None => None,
                };
                let receive = match &receive_type {
                    Some(one) => Some(Target::new(recvbuf.cast(), recvcount.wide(), one)?),
                    None => None,
                };
                Ok(collective::scatter(members, root, send, receive)?)
            }
        },
    )
}

/// `MPI_Scatterv`
pub unsafe fn scatterv<N: Integer, D: Integer>(
    sendbuf: *const c_void,
    sendcounts: *const N,
    displs: *const D,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: N,
    recvtype: MPI_Datatype,
    root: c_int,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| {
            // SAFETY: the caller's arrays are as the standard has them.
            unsafe {
                plan::collective::scatterv(
                    sendbuf, sendcounts, displs, sendtype, recvbuf, recvcount, recvtype, root, comm,
                )
            }
        },
        |members, comm| {
            let root = root_rank(root)?;
            if members.rank() == root {
                apart(sendbuf, recvbuf, recvcount)?;
            }
            let send_type = significant(members.rank() == root, sendtype)?;
            let receive_type = significant(!in_place(recvbuf), recvtype)?;
            // SAFETY: see `gatherv`.
            unsafe {
                let send = match &send_type {
                    Some(one) => Some(each!(sendbuf, sendcounts, displs, comm, one)),
                    None => None,
                };
                let receive = match &receive_type {
                    Some(one) => Some(Target::new(recvbuf.cast(), recvcount.wide(), one)?),
                    None => None,
                };
                Ok(collective::scatterv(members, root, send, receive)?)
            }
        },
    )
}

/// `MPI_Allgather`
pub unsafe fn allgather<N: Integer>(
    sendbuf: *const c_void,
    sendcount: N,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: N,
    recvtype: MPI_Datatype,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| plan::collective::allgather(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, comm),
        |members, comm| {
            apart(sendbuf, recvbuf, sendcount)?;
            let send_type = significant(!in_place(sendbuf), sendtype)?;
            let receive_type = types::get(recvtype)?;
            // SAFETY: see `bcast`.
            unsafe {
                let send = match &send_type {
                    Some(one) => Some(Source::new(sendbuf.cast(), sendcount.wide(), one)?),
                    None => None,
                };
                let ranks = comm.size() as usize;
                let receive = Blocks::uniform(recvbuf.cast::<u8>(), recvcount.wide(), ranks, &receive_type)?;
                Ok(collective::allgather(members, send, receive)?)
            }
        },
    )
}

/// `MPI_Allgatherv`
pub unsafe fn allgatherv<N: Integer, D: Integer>(
    sendbuf: *const c_void,
    sendcount: N,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcounts: *const N,
    displs: *const D,
    recvtype: MPI_Datatype,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| {
            // SAFETY: the caller's arrays are as the standard has them.
            unsafe {
                plan::collective::allgatherv(
                    sendbuf, sendcount, sendtype, recvbuf, recvcounts, displs, recvtype, comm,
                )
            }
        },
        |members, comm| {
            apart(sendbuf, recvbuf, sendcount)?;
            let send_type = significant(!in_place(sendbuf), sendtype)?;
            let receive_type = types::get(recvtype)?;
            // SAFETY: see `gatherv`.
            unsafe {
                let send = match &send_type {
                    Some(one) => Some(Source::new(sendbuf.cast(), sendcount.wide(), one)?),
                    None => None,
                };
                let receive = each!(recvbuf, recvcounts, displs, comm, &receive_type);
                Ok(collective::allgather(members, send, receive)?)
            }
        },
    )
}

/// `MPI_Alltoall`
pub unsafe fn alltoall<N: Integer>(
    sendbuf: *const c_void,
    sendcount: N,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: N,
    recvtype: MPI_Datatype,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| plan::collective::alltoall(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, comm),
        |members, comm| {
            apart(sendbuf, recvbuf, sendcount)?;
            let send_type = significant(!in_place(sendbuf), sendtype)?;
            let receive_type = types::get(recvtype)?;
            let ranks = comm.size() as usize;
            // SAFETY: see `bcast`.
            unsafe {
                let send = match &send_type {
                    Some(one) => Some(Blocks::uniform(sendbuf.cast::<u8>(), sendcount.wide(), ranks, one)?),
                    None => None,
                };
                let receive = Blocks::uniform(recvbuf.cast::<u8>(), recvcount.wide(), ranks, &receive_type)?;
                Ok(collective::alltoall(members, send, receive)?)
            }
        },
    )
}

/// `MPI_Alltoallv`
pub unsafe fn alltoallv<N: Integer, D: Integer>(
    sendbuf: *const c_void,
    sendcounts: *const N,
    sdispls: *const D,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcounts: *const N,
    rdispls: *const D,
    recvtype: MPI_Datatype,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| {
            // SAFETY: the caller's arrays are as the standard has them.
            unsafe {
                plan::collective::alltoallv(
                    sendbuf, sendcounts, sdispls, sendtype, recvbuf, recvcounts, rdispls, recvtype, comm,
                )
            }
        },
        |members, comm| {
            // SAFETY: the caller gives a count for each rank.
            apart(sendbuf, recvbuf, unsafe { most(sendbuf, sendcounts, comm.size())? })?;
            let send_type = significant(!in_place(sendbuf), sendtype)?;
            let receive_type = types::get(recvtype)?;
            // SAFETY: see `gatherv`.
            unsafe {
                let send = match &send_type {
                    Some(one) => Some(each!(sendbuf, sendcounts, sdispls, comm, one)),
                    None => None,
                };
                let receive = each!(recvbuf, recvcounts, rdispls, comm, &receive_type);
                Ok(collective::alltoallv(members, send, receive)?)
            }
        },
    )
}

/// `MPI_Reduce`
pub unsafe fn reduce(
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    op: MPI_Op,
    root: c_int,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| plan::reduction::reduce(sendbuf, recvbuf, count, datatype, op, root, comm),
        |members, _| {
            let (root, op, datatype) = (root_rank(root)?, ops::get(op)?, types::get(datatype)?);
            if members.rank() == root {
                apart(sendbuf, recvbuf, count)?;
            }
            // SAFETY: see `gather`.
            unsafe {
                let send = memory!(Source, sendbuf, count.wide(), datatype);
                let receive = if members.rank() == root {
                    Some(Target::new(recvbuf.cast(), count.wide(), &datatype)?)
                } else {
                    None
                };
                Ok(collective::reduce(members, root, send, receive, &op)?)
            }
        },
    )
}

/// What `MPI_Allreduce`, `MPI_Scan` and `MPI_Exscan` have in common.
macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub unsafe fn $name(
            sendbuf: *const c_void,
            recvbuf: *mut c_void,
            count: impl Integer,
            datatype: MPI_Datatype,
            op: MPI_Op,
            comm: MPI_Comm,
        ) -> Outcome {
            run(comm, |comm| plan::reduction::$name(sendbuf, recvbuf, count, datatype, op, comm), |members, _| {
                let (op, datatype) = (ops::get(op)?, types::get(datatype)?);
                apart(sendbuf, recvbuf, count)?;
                // SAFETY: see `bcast`.
                unsafe {
                    let send = memory!(Source, sendbuf, count.wide(), datatype);
                    let receive = Target::new(recvbuf.cast(), count.wide(), &datatype)?;
                    Ok(collective::$name(members, send, receive, &op)?)
                }
            })
        }
    )*};
}

reductions! {
    /// `MPI_Allreduce`
    allreduce;
    /// `MPI_Scan`
    scan;
    /// `MPI_Exscan`
    exscan;
}

/// `MPI_Reduce_scatter`
pub unsafe fn reduce_scatter<N: Integer>(
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    recvcounts: *const N,
    datatype: MPI_Datatype,
    op: MPI_Op,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| {
            // SAFETY: the caller's arrays are as the standard has them.
            unsafe { plan::reduction::reduce_scatter(sendbuf, recvbuf, recvcounts, datatype, op, comm) }
        },
        |members, comm| {
            // SAFETY: the caller gives a count for each rank.
            let counts = unsafe { wide(recvcounts, comm.size() as c_int)? };
            // SAFETY: see `scatter_reduced`.
            unsafe { scatter_reduced(members, sendbuf, recvbuf, &counts, datatype, op) }
        },
    )
}

/// `MPI_Reduce_scatter_block`
pub unsafe fn reduce_scatter_block(
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    recvcount: impl Integer,
    datatype: MPI_Datatype,
    op: MPI_Op,
    comm: MPI_Comm,
) -> Outcome {
    run(
        comm,
        |comm| plan::reduction::reduce_scatter_block(sendbuf, recvbuf, recvcount, datatype, op, comm),
        |members, comm| {
            let counts = vec![recvcount.wide(); comm.size() as usize];
            // SAFETY: see `scatter_reduced`.
            unsafe { scatter_reduced(members, sendbuf, recvbuf, &counts, datatype, op) }
        },
    )
}

/// # Safety
/// The caller gives input for all counts, and room for this rank's; in place, the room holds the input.
unsafe fn scatter_reduced(
    members: &mut Members<'_>,
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    counts: &[i64],
    datatype: MPI_Datatype,
    op: MPI_Op,
) -> Outcome {
    let (op, datatype) = (ops::get(op)?, types::get(datatype)?);
    apart(sendbuf, recvbuf, counts[members.rank()])?;
    let whole = counts.iter().try_fold(0i64, |sum, &count| sum.checked_add(count));
    let whole = whole.ok_or(DatatypeError::TooLarge)?;
    // SAFETY: as this function's contract has it.
    unsafe {
        let send = memory!(Source, sendbuf, whole, datatype);
        let room = if send.is_some() { counts[members.rank()] } else { whole };
        let receive = Target::new(recvbuf.cast(), room, &datatype)?;
        Ok(collective::reduce_scatter(members, send, receive, counts, &op)?)
    }
}

/// `MPI_Reduce_local`
pub unsafe fn reduce_local(
    inbuf: *const c_void,
    inoutbuf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    op: MPI_Op,
) -> Outcome {
    let (op, datatype) = (ops::get(op)?, types::get(datatype)?);
    apart(inbuf, inoutbuf, count)?;
    if in_place(inbuf) || in_place(inoutbuf) {
        return Err(Failure::new(MPI_ERR_BUFFER, "`MPI_IN_PLACE` where there is one process only"));
    }
    // SAFETY: the caller gives `count` elements of each.
    unsafe {
        let input = Source::new(inbuf.cast(), count.wide(), &datatype)?;
        let inout = Target::new(inoutbuf.cast(), count.wide(), &datatype)?;
        Ok(collective::reduce_local(input, inout, &op)?)
    }
}
