//! The sender's side: each partition goes as a message of its own when it is ready.

use std::ffi::c_int;
use std::sync::Arc;

use egida_core::ids::Rank;
use egida_core::wire::{Envelope, SendMode};

use super::offer::Offer;
use super::tags::Block;
use super::{Arguments, Division};
use crate::comm::Communicator;
use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::{p2p, world};

/// A partitioned send.
#[derive(Debug)]
pub struct Sender {
    /// Nobody where it goes to no process.
    to: Option<Peer>,
    division: Division,
    /// Which partitions are marked, while it is active.
    marked: Option<Vec<bool>>,
    /// How many are not.
    unmarked: usize,
}

#[derive(Debug)]
struct Peer {
    process: Rank,
    context: u32,
    offer: Offer,
    /// Its tags, until it is freed.
    _tags: Block,
}

impl Sender {
    /// One that is not started; the receiver is told of it.
    pub(super) fn new(comm: &Arc<Communicator>, arguments: &Arguments) -> Outcome<Self> {
        let division = arguments.division(comm)?;
        // SAFETY: only arguments are looked at; the caller vouches for the memory.
        unsafe { division.whole.source()? };
        let to = match p2p::peer(comm, arguments.peer)? {
            None => None,
            Some(process) => {
                let tags = Block::take(division.partitions)
                    .ok_or_else(|| Failure::new(MPI_ERR_OTHER, "too many partitions are in use"))?;
                let offer = Offer {
                    first: tags.first(),
                    partitions: division.partitions,
                    partition_bytes: division.partition_bytes() as u64,
                };
                let context = comm.partitioned_context();
                let envelope = Envelope { context, tag: arguments.tag };
                world::with(|world| world.send(process, envelope, SendMode::Standard, &offer.encode()))?;
                Some(Peer { process, context, offer, _tags: tags })
            }
        };
        Ok(Self { to, division, marked: None, unmarked: 0 })
    }

    pub fn is_active(&self) -> bool {
        self.marked.is_some()
    }

    pub fn start(&mut self) {
        let partitions = self.division.partitions as usize;
        self.marked = Some(vec![false; partitions]);
        self.unmarked = partitions;
    }

    pub fn conclude(&mut self) {
        self.marked = None;
    }

    /// Whether all of it is sent: what was marked was.
    pub fn is_over(&self) -> bool {
        self.to.is_none() || self.unmarked == 0
    }

    /// A partition is ready.
    pub fn ready(&mut self, partition: c_int) -> Outcome {
        let number = self.division.number(partition)?;
        let marked =
            self.marked.as_mut().ok_or_else(|| Failure::new(MPI_ERR_REQUEST, "the request is not active"))?;
        if marked[number as usize] {
            return Err(Failure::new(MPI_ERR_ARG, format!("partition {partition} was marked ready before")));
        }
        if let Some(Peer { process, context, offer, .. }) = &self.to {
            let memory = self.division.partition(number);
            // SAFETY: the application leaves a partition alone that it has marked ready, until the request is complete.
            let source = unsafe { memory.source()? };
            let envelope = Envelope { context: *context, tag: offer.tag(number) };
            world::with(|world| world.send(*process, envelope, SendMode::Standard, &source.packed()))?;
        }
        marked[number as usize] = true;
        self.unmarked -= 1;
        Ok(())
    }
}
