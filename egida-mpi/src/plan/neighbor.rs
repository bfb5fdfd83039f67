//! What the collectives of neighbours send and receive (MPI 5.0, section 8.6).
#![allow(clippy::too_many_arguments)] // the standard's

use std::ffi::c_void;
use std::sync::Arc;

use super::collective::{Buffer, Parcels, Shares};
use super::{Build, Start};
use crate::comm::Communicator;
use crate::errors::Outcome;
use crate::handle::{Integer, MPI_Datatype};
use crate::topo::{self, Neighbors};

/// Receives a block from each source, in the order in which the messages of one source are matched.
fn receive_each(start: &mut Start, neighbors: &Neighbors, shares: &Shares) -> Outcome {
    // SAFETY: the application leaves its memory to the operation; so in all of these.
    let mut blocks = unsafe { shares.blocks()? };
    for &place in &neighbors.matched {
        if let Some(source) = neighbors.sources[place] {
            start.receive(source, blocks.target(place))?;
        }
    }
    Ok(())
}

/// One block to all destinations.
fn same_to_each(neighbors: Neighbors, send: Buffer, receive: Shares) -> Build {
    Box::new(move |start| {
        // SAFETY: see `receive_each`.
        let bytes = unsafe { send.source()? }.packed().into_owned();
        neighbors.destinations.iter().flatten().try_for_each(|&peer| start.send(peer, &bytes))?;
        receive_each(start, &neighbors, &receive)
    })
}

/// A block of its own to each destination.
fn own_to_each(neighbors: Neighbors, send: Shares, receive: Shares) -> Build {
    Box::new(move |start| {
        // SAFETY: see `receive_each`.
        let blocks = unsafe { send.blocks()? };
        for (place, peer) in neighbors.destinations.iter().enumerate() {
            if let Some(peer) = *peer {
                start.send(peer, &blocks.source(place).packed())?;
            }
        }
        receive_each(start, &neighbors, &receive)
    })
}

/// `MPI_Neighbor_allgather`
pub fn allgather(
    sendbuf: *const c_void,
    sendcount: impl Integer,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: impl Integer,
    recvtype: MPI_Datatype,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    let neighbors = topo::neighbors(comm)?;
    let send = Buffer::new(sendbuf, sendcount, sendtype)?;
    let receive = Shares::uniform(recvbuf, recvcount, recvtype, neighbors.sources.len())?;
    Ok(same_to_each(neighbors, send, receive))
}

/// `MPI_Neighbor_allgatherv`
///
/// # Safety
/// The caller gives a count and a displacement for each neighbour; so in the others with such arrays.
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
    let neighbors = topo::neighbors(comm)?;
    let send = Buffer::new(sendbuf, sendcount, sendtype)?;
    // SAFETY: as this function's contract has it.
    let receive = unsafe { Shares::each(recvbuf, recvcounts, displs, recvtype, neighbors.sources.len())? };
    Ok(same_to_each(neighbors, send, receive))
}

/// `MPI_Neighbor_alltoall`
pub fn alltoall(
    sendbuf: *const c_void,
    sendcount: impl Integer,
    sendtype: MPI_Datatype,
    recvbuf: *mut c_void,
    recvcount: impl Integer,
    recvtype: MPI_Datatype,
    comm: &Arc<Communicator>,
) -> Outcome<Build> {
    let neighbors = topo::neighbors(comm)?;
    let send = Shares::uniform(sendbuf, sendcount, sendtype, neighbors.destinations.len())?;
    let receive = Shares::uniform(recvbuf, recvcount, recvtype, neighbors.sources.len())?;
    Ok(own_to_each(neighbors, send, receive))
}

/// `MPI_Neighbor_alltoallv`
///
/// # Safety
/// See [`allgatherv`].
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
    let neighbors = topo::neighbors(comm)?;
    // SAFETY: as this function's contract has it.
    let (send, receive) = unsafe {
        let send = Shares::each(sendbuf, sendcounts, sdispls, sendtype, neighbors.destinations.len())?;
        (send, Shares::each(recvbuf, recvcounts, rdispls, recvtype, neighbors.sources.len())?)
    };
    Ok(own_to_each(neighbors, send, receive))
}

/// `MPI_Neighbor_alltoallw`
///
/// # Safety
/// See [`allgatherv`].
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
    let neighbors = topo::neighbors(comm)?;
    // SAFETY: as this function's contract has it.
    let (send, receive) = unsafe {
        let send = Parcels::new(sendbuf, sendcounts, sdispls, sendtypes, neighbors.destinations.len())?;
        (send, Parcels::new(recvbuf, recvcounts, rdispls, recvtypes, neighbors.sources.len())?)
    };
    Ok(Box::new(move |start: &mut Start| {
        // SAFETY: see `receive_each`.
        unsafe {
            for (place, peer) in neighbors.destinations.iter().enumerate() {
                if let Some(peer) = *peer {
                    start.send(peer, &send.get(place).source()?.packed())?;
                }
            }
            for &place in &neighbors.matched {
                if let Some(source) = neighbors.sources[place] {
                    start.receive(source, receive.get(place).target()?)?;
                }
            }
        }
        Ok(())
    }))
}
