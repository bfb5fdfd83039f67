//! Collectives that combine data: the entry points (MPI 5.0, sections 6.9 to 6.11).

use std::ffi::{c_int, c_void};

use super::{Members, root_rank, run};
use crate::collective::{self, Peers};
use crate::constants::*;
use crate::datatype::{DatatypeError, Source, Target};
use crate::errors::{Failure, Outcome};
use crate::handle::{Integer, MPI_Comm, MPI_Datatype, MPI_Op};
use crate::plan;
use crate::plan::collective::{apart, in_place};
use crate::types::wide;
use crate::{ops, types};

/// Memory of this rank, unless it is in place.
macro_rules! memory {
    ($kind:ident, $buffer:expr, $count:expr, $datatype:expr) => {
        match in_place($buffer) {
            true => None,
            false => Some($kind::new($buffer.cast(), $count, &$datatype)?),
        }
    };
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
