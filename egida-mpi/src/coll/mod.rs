//! Blocking collectives: the entry points (MPI 5.0, chapter 6).

mod movement;
mod reductions;

use std::ffi::c_int;
use std::sync::Arc;

use egida_core::api::{Pattern, Take};
use egida_core::fault::Fault;
use egida_core::wire::{Envelope, SendMode};

use crate::collective::{self, CollectiveError, Peers};
use crate::comm::{self, Communicator};
use crate::constants::*;
use crate::datatype::{Blocks, Datatype, Source, Target};
use crate::errors::{Failure, Outcome};
use crate::handle::{MPI_Comm, MPI_Datatype};
use crate::plan::{self, Build};
use crate::{types, world};

pub use movement::{
    allgather, allgatherv, alltoall, alltoallv, barrier, bcast, gather, gatherv, scatter, scatterv,
};
pub use reductions::{allreduce, exscan, reduce, reduce_local, reduce_scatter, reduce_scatter_block, scan};

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
        let posted = world::with(|world| match world::take(world, pattern, sink)? {
            Some(_) => Ok(None),
            None => world.post(pattern).map(Some),
        })?;
        let Some(id) = posted else { return Ok(()) };
        let mut read_bytes = 0;
        world::wait(|world| {
            match world.take_posted(id, sink)? {
                Take::Taken(_) => return Ok(Some(())),
                Take::NotYet => return Ok(None),
                Take::Post => {}
            }
            let Some(matched) = world.matched(id) else { return Ok(None) };
            while read_bytes < matched.len {
                let Some(bytes) = world::piece(world, id)? else { return Ok(None) };
                sink(bytes);
                read_bytes += bytes.len() as u64;
            }
            match world.deliverable(id) {
                true => world::finish(world, id).map(Some),
                false => Ok(None),
            }
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
