//! Reductions that do not block: operands go to whoever needs the result, who combines them in the order of the ranks, in the same
//! brackets as the blocking ones, when all have come.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::collective::{Buffer, Role, apart, in_place, role};
use super::{Build, Start};
use crate::comm::Communicator;
use crate::constants::*;
use crate::datatype::{Datatype, DatatypeError, Target};
use crate::errors::{Failure, Outcome};
use crate::handle::{Integer, MPI_Datatype, MPI_Op};
use crate::op::{Op, Reduction};
use crate::types::wide;
use crate::{ops, types};

/// An operation on a datatype, which was checked to be defined on it.
#[derive(Clone)]
struct Bound {
    op: Op,
    datatype: Datatype,
}

impl Bound {
    fn new(op: MPI_Op, datatype: MPI_Datatype) -> Outcome<Self> {
        let bound = Self { op: ops::get(op)?, datatype: types::get(datatype)? };
        Reduction::new(&bound.op, &bound.datatype)?;
        Ok(bound)
    }

    /// All operands combined, in the brackets of the blocking reductions: of n operands the first n-p pairs of neighbours, with p
    /// the largest power of two in n, and the p results as a complete binary tree.
    fn combined(&self, mut operands: Vec<Vec<u8>>) -> Vec<u8> {
        let Ok(mut reduction) = Reduction::new(&self.op, &self.datatype) else { return Vec::new() };
        if operands.is_empty() {
            return Vec::new();
        }
        let pairs = operands.len() - (1 << operands.len().ilog2());
        join(&mut reduction, &mut operands, pairs);
        while operands.len() > 1 {
            let pairs = operands.len() / 2;
            join(&mut reduction, &mut operands, pairs);
        }
        operands.pop().unwrap_or_default()
    }

    /// Places a result in the application's memory.
    ///
    /// # Safety
    /// There is room for `count` elements.
    unsafe fn place(&self, base: *mut u8, count: i64, result: &[u8]) {
        // SAFETY: as this function's contract has it. The arguments were checked when the operation began.
        if let Ok(mut target) = unsafe { Target::new(base, count, &self.datatype) } {
            let _ = target.unpack(result);
        }
    }
}

/// Combines the first pairs of neighbours.
fn join(reduction: &mut Reduction, operands: &mut Vec<Vec<u8>>, pairs: usize) {
    let rest = operands.split_off(2 * pairs);
    let mut joined = Vec::with_capacity(pairs + rest.len());
    let mut pair = std::mem::take(operands).into_iter();
    while let (Some(mut left), Some(right)) = (pair.next(), pair.next()) {
        reduction.combine_left(&mut left, &right);
        joined.push(left);
    }
    joined.extend(rest);
    *operands = joined;
}

/// What a process puts in: from the buffer that it sends from, or in place from that which takes the result.
fn input(
    sendbuf: *const c_void,
    recvbuf: *const c_void,
    count: i64,
    datatype: MPI_Datatype,
    comm: &Communicator,
) -> Outcome<Buffer> {
    let here = in_place(sendbuf);
    apart(sendbuf, recvbuf, count)?;
    if here && comm.remote.is_some() {
        return Err(Failure::new(MPI_ERR_BUFFER, "`MPI_IN_PLACE` where there are two groups"));
    }
    Buffer::new(if here { recvbuf } else { sendbuf }, count, datatype)
}

/// The operands of all peers in rank order: what came, and this process's own among them.
fn with_own(mut received: Vec<Vec<u8>>, own: Option<(usize, Vec<u8>)>) -> Vec<Vec<u8>> {
    if let Some((place, bytes)) = own {
        received.insert(place, bytes);
    }
    received
}

/// `MPI_Reduce`
pub fn reduce(
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    op: MPI_Op,
    root: c_int,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    let role = role(comm, root)?;
    let count = count.wide();
    if role == Role::Bystander {
        return Ok(Box::new(|_| Ok(())));
    }
    let bound = Bound::new(op, datatype)?;
    let gives = comm.remote.is_none() || role != Role::Root;
    let result = if role == Role::Root { recvbuf } else { std::ptr::null_mut() };
    let send = gives.then(|| input(sendbuf, result, count, datatype, comm)).transpose()?;
    if role == Role::Root {
        Buffer::new(recvbuf, count, datatype)?;
    }
    let to = recvbuf.cast::<u8>();
    Ok(Box::new(move |start| {
        // SAFETY: the application leaves its memory to the operation until its end; so in all of these.
        let own = match &send {
            // SAFETY: see above.
            Some(send) => unsafe { send.source()? }.packed().into_owned(),
            None => Vec::new(),
        };
        match role {
            Role::Of(root) => start.send(root, &own),
            Role::Root => {
                let len = bound.datatype.packed_size(count)?;
                start.others().try_for_each(|peer| start.receive_bytes(peer, len))?;
                let (bound, own) = (bound.clone(), start.own().map(|place| (place, own)));
                start.then(move |received| {
                    let result = bound.combined(with_own(received, own));
                    // SAFETY: see above.
                    unsafe { bound.place(to, count, &result) };
                });
                Ok(())
            }
            Role::Bystander => Ok(()),
        }
    }))
}

/// `MPI_Allreduce`: between two groups, each gets the result of the other.
pub fn allreduce(
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    op: MPI_Op,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    let count = count.wide();
    let bound = Bound::new(op, datatype)?;
    let send = input(sendbuf, recvbuf, count, datatype, comm)?;
    Buffer::new(recvbuf, count, datatype)?;
    let to = recvbuf.cast::<u8>();
    Ok(Box::new(move |start| {
        // SAFETY: see `reduce`.
        let own = unsafe { send.source()? }.packed().into_owned();
        start.others().try_for_each(|peer| start.send(peer, &own))?;
        let len = bound.datatype.packed_size(count)?;
        start.others().try_for_each(|peer| start.receive_bytes(peer, len))?;
        let (bound, own) = (bound.clone(), start.own().map(|place| (place, own)));
        start.then(move |received| {
            let result = bound.combined(with_own(received, own));
            // SAFETY: see `reduce`.
            unsafe { bound.place(to, count, &result) };
        });
        Ok(())
    }))
}

/// What `MPI_Scan` and `MPI_Exscan` have in common: operands go to all higher ranks.
fn prefix(
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    count: i64,
    (datatype, op): (MPI_Datatype, MPI_Op),
    includes_own: bool,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    if comm.remote.is_some() {
        return Err(Failure::new(MPI_ERR_COMM, "the communicator is one between two groups"));
    }
    let bound = Bound::new(op, datatype)?;
    let send = input(sendbuf, recvbuf, count, datatype, comm)?;
    Buffer::new(recvbuf, count, datatype)?;
    let to = recvbuf.cast::<u8>();
    let rank = comm.rank as usize;
    Ok(Box::new(move |start| {
        // SAFETY: see `reduce`.
        let own = unsafe { send.source()? }.packed().into_owned();
        (rank + 1..start.peers()).try_for_each(|peer| start.send(peer, &own))?;
        let len = bound.datatype.packed_size(count)?;
        (0..rank).try_for_each(|peer| start.receive_bytes(peer, len))?;
        let bound = bound.clone();
        start.then(move |mut operands| {
            if includes_own {
                operands.push(own);
            }
            if !operands.is_empty() {
                let result = bound.combined(operands);
                // SAFETY: see `reduce`.
                unsafe { bound.place(to, count, &result) };
            }
        });
        Ok(())
    }))
}

/// `MPI_Scan`
pub fn scan(
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    op: MPI_Op,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    prefix(sendbuf, recvbuf, count.wide(), (datatype, op), true, comm)
}

/// `MPI_Exscan`
pub fn exscan(
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    count: impl Integer,
    datatype: MPI_Datatype,
    op: MPI_Op,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    prefix(sendbuf, recvbuf, count.wide(), (datatype, op), false, comm)
}

/// `MPI_Reduce_scatter`
///
/// # Safety
/// The caller gives a count for each rank of its group.
pub unsafe fn reduce_scatter(
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    recvcounts: *const impl Integer,
    datatype: MPI_Datatype,
    op: MPI_Op,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    // SAFETY: as this function's contract has it.
    let counts = unsafe { wide(recvcounts, comm.size() as c_int)? };
    scattered(sendbuf, recvbuf, counts, datatype, op, comm)
}

/// `MPI_Reduce_scatter_block`
pub fn reduce_scatter_block(
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    recvcount: impl Integer,
    datatype: MPI_Datatype,
    op: MPI_Op,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    scattered(sendbuf, recvbuf, vec![recvcount.wide(); comm.size() as usize], datatype, op, comm)
}

/// Each rank gets its piece of every operand. Between two groups, which may cut the data differently, it gets them whole.
fn scattered(
    sendbuf: *const c_void,
    recvbuf: *mut c_void,
    counts: Vec<i64>,
    datatype: MPI_Datatype,
    op: MPI_Op,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    let bound = Bound::new(op, datatype)?;
    let total = counts.iter().try_fold(0i64, |sum, &count| sum.checked_add(count));
    let total = total.ok_or(DatatypeError::TooLarge)?;
    let send = input(sendbuf, recvbuf, total, datatype, comm)?;
    let lens = counts.iter().map(|&count| bound.datatype.packed_size(count));
    let lens = lens.collect::<Result<Vec<_>, _>>()?;
    let start_of = |rank: usize| lens[..rank].iter().sum::<usize>();
    let pieces: Vec<_> = (0..lens.len()).map(|rank| start_of(rank)..start_of(rank + 1)).collect();
    let rank = comm.rank as usize;
    let (count, to) = (counts[rank], recvbuf.cast::<u8>());
    Buffer::new(recvbuf, count, datatype)?;
    Ok(Box::new(move |start: &mut Start| {
        // SAFETY: see `reduce`.
        let all = unsafe { send.source()? }.packed().into_owned();
        let mine = pieces[rank].clone();
        let (bound, place) = (bound.clone(), start.own());
        for peer in start.others() {
            let bytes = if place.is_some() { &all[pieces[peer].clone()] } else { &all[..] };
            start.send(peer, bytes)?;
        }
        let len = if place.is_some() { mine.len() } else { all.len() };
        start.others().try_for_each(|peer| start.receive_bytes(peer, len))?;
        start.then(move |received| {
            let own = place.map(|place| (place, all[mine.clone()].to_vec()));
            let result = bound.combined(with_own(received, own));
            let result = if place.is_some() { &result[..] } else { &result[mine] };
            // SAFETY: see `reduce`.
            unsafe { bound.place(to, count, result) };
        });
        Ok(())
    }))
}
