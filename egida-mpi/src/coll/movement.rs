//! Collectives that move data: the entry points (MPI 5.0, sections 6.3 to 6.8).
#![allow(clippy::too_many_arguments)] // the standard's

use std::ffi::{c_int, c_void};

use super::{root_rank, run, significant};
use crate::collective::{self, Peers};
use crate::datatype::{Blocks, Source, Target};
use crate::errors::Outcome;
use crate::handle::{Integer, MPI_Comm, MPI_Datatype};
use crate::plan;
use crate::plan::collective::{apart, in_place, most};
use crate::types::{self, wide};

/// A block for each rank, with its own count and displacement.
macro_rules! each {
    ($base:expr, $counts:expr, $displacements:expr, $comm:expr, $datatype:expr) => {{
        let ranks = $comm.size() as c_int;
        Blocks::each($base.cast::<u8>(), &wide($counts, ranks)?, &wide($displacements, ranks)?, $datatype)?
    }};
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
