//! Partitioned point-to-point (MPI 5.0, section 4.2): messages that are sent in parts, each when it is ready.
//!
//! What meets what is decided by the calls that make the requests: `MPI_Psend_init` sends an *offer*, which says how the message is
//! divided and by which tags its partitions go, and the receives of offers that `MPI_Precv_init` posts take them in that order. Each
//! partition of the sender's is then a message of its own, in each start anew. Offers and partitions have a context of the communicator to
//! themselves, so that no other receive or probe sees them; offers have the application's tags, partitions negative ones.
//!
//! The receiver's partitions may be others. Which parts of the sender's make them up is known when the offer has come, and that is at no
//! moment that a re-execution would find again. So nothing is posted then: whether a partition is there is asked as a probe
//! does, and its receives are posted by the call that says so to the application, which waits or is an observation.
#![allow(clippy::too_many_arguments)] // the standard's

mod offer;
mod receive;
mod send;
mod tags;

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use egida_core::fault::Fault;

use crate::comm::{self, Communicator};
use crate::constants::*;
use crate::datatype::{Target, Unpacker};
use crate::errors::{Failure, Outcome};
use crate::group::array;
use crate::handle::{Integer, MPI_Comm, MPI_Datatype, MPI_Info, MPI_Request, MPI_Status};
use crate::p2p;
use crate::request::{self, Ended, Memory, Request};
use crate::status::{null, write_flag};
use crate::world::World;

use offer::Offer;
use receive::Receiver;
use send::Sender;

/// A partitioned operation, which is started again and again.
#[derive(Debug)]
pub enum Partitioned {
    /// A send.
    Send(Sender),
    /// A receive.
    Receive(Receiver),
}

impl Partitioned {
    /// Whether it was started, and its end not seen.
    pub fn is_active(&self) -> bool {
        match self {
            Self::Send(send) => send.is_active(),
            Self::Receive(receive) => receive.is_active(),
        }
    }

    /// Starts it.
    pub fn start(&mut self) {
        match self {
            Self::Send(send) => send.start(),
            Self::Receive(receive) => receive.start(),
        }
    }

    /// Whether it is over at any moment that anybody may look, in every execution.
    pub fn is_immediate(&self) -> bool {
        match self {
            Self::Send(send) => send.is_over(),
            Self::Receive(receive) => receive.is_taken(),
        }
    }

    /// Whether it could end now. What is only there is taken by [`Self::complete`].
    pub fn may_end(&mut self, world: &mut dyn World, comm: &Communicator) -> Result<bool, Fault> {
        match self {
            Self::Send(send) => Ok(send.is_over()),
            Self::Receive(receive) => receive.has_come(world, comm),
        }
    }

    /// Moves it on, and says whether it is over. It is waited for, or was said to be over.
    pub fn complete(&mut self, world: &mut dyn World, comm: &Communicator) -> Result<bool, Fault> {
        match self {
            Self::Send(send) => Ok(send.is_over()),
            Self::Receive(receive) => receive.take(world, comm),
        }
    }

    /// How it ended.
    pub fn ended(&self, comm: &Communicator) -> Ended {
        match self {
            Self::Send(_) => Ended::with(MPI_Status::empty()),
            Self::Receive(receive) => receive.ended(comm),
        }
    }

    /// The application has seen the end.
    pub fn conclude(&mut self) {
        match self {
            Self::Send(send) => send.conclude(),
            Self::Receive(receive) => receive.conclude(),
        }
    }

    /// Whether it is a receive that was started: if the application let go of it, nobody could say when its memory is free again.
    pub fn is_receive_under_way(&self) -> bool {
        matches!(self, Self::Receive(receive) if receive.is_active())
    }

    /// Whether it still has to take the offer that is meant for it, and for no later one.
    pub fn awaits_offer(&self) -> bool {
        matches!(self, Self::Receive(receive) if receive.awaits_offer())
    }

    /// Takes the offer, if it has come, and says whether it has.
    pub fn take_offer(&mut self, world: &mut dyn World, comm: &Communicator) -> Result<bool, Fault> {
        match self {
            Self::Send(_) => Ok(true),
            Self::Receive(receive) => receive.take_offer(world, comm),
        }
    }
}

/// What the two calls that make requests have in common.
struct Arguments {
    base: *mut u8,
    partitions: c_int,
    count: i64,
    datatype: MPI_Datatype,
    peer: c_int,
    tag: c_int,
}

/// A message that is divided into equal partitions, as its owner has it in memory.
#[derive(Debug)]
struct Division {
    partitions: u32,
    /// All of it.
    whole: Memory,
    /// Elements of a partition.
    count: i64,
}

impl Arguments {
    fn division(&self, comm: &Communicator) -> Outcome<Division> {
        let partitions = u32::try_from(self.partitions)
            .map_err(|_| Failure::new(MPI_ERR_ARG, format!("{} partitions", self.partitions)))?;
        if self.tag < 0 {
            return Err(Failure::new(MPI_ERR_TAG, format!("tag {}", self.tag)));
        }
        if p2p::peer(comm, self.peer)?.is_none() {
            return Ok(Division { partitions, whole: Memory::nothing()?, count: 0 });
        }
        let all = self.count.checked_mul(i64::from(partitions));
        let all = all.ok_or_else(|| Failure::new(MPI_ERR_COUNT, "too many elements in all partitions"))?;
        let count = if partitions == 0 { 0 } else { self.count };
        Ok(Division { partitions, whole: p2p::memory(self.base.cast(), all, self.datatype)?, count })
    }
}

impl Division {
    /// Bytes of data in a partition.
    fn partition_bytes(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0) * self.whole.datatype.size()
    }

    /// Bytes of data in all partitions.
    fn bytes(&self) -> usize {
        self.partition_bytes() * self.partitions as usize
    }

    /// A partition, as memory of its own.
    fn partition(&self, partition: u32) -> Memory {
        let step = self.count * self.whole.datatype.extent() * i64::from(partition);
        Memory {
            base: self.whole.base.wrapping_offset(step as isize),
            count: self.count,
            datatype: self.whole.datatype.clone(),
        }
    }

    /// What takes a partition of the sender's, wherever the receiver's begin and end.
    fn part(&self, offer: Offer, part: u32) -> Unpacker {
        let Memory { base, count, datatype } = &self.whole;
        let len = usize::try_from(offer.partition_bytes).unwrap_or(usize::MAX);
        // SAFETY: the memory was checked when the request was made, and is the operation's as long as it is active.
        let target = unsafe { Target::trusted(*base, usize::try_from(*count).unwrap_or(0), datatype) };
        target.part(len.saturating_mul(part as usize), len)
    }

    /// The number of a partition that the application names.
    fn number(&self, partition: c_int) -> Outcome<u32> {
        let number = u32::try_from(partition).ok().filter(|number| *number < self.partitions);
        number.ok_or_else(|| {
            let what = format!("partition {partition} of {} partitions", self.partitions);
            Failure::new(MPI_ERR_ARG, what)
        })
    }
}

/// Makes a request in the communicator of that handle.
unsafe fn init(
    comm: MPI_Comm,
    request: *mut MPI_Request,
    make: impl FnOnce(&Arc<Communicator>) -> Outcome<Partitioned>,
) -> Outcome {
    comm::on(comm, |comm| {
        if request.is_null() {
            return Err(null("the request"));
        }
        let made = Request::partitioned(comm, make(comm)?);
        let handle = request::lock().insert(made);
        // SAFETY: the caller gives room for a handle.
        unsafe { request.write(handle) };
        Ok(())
    })
}

/// `MPI_Psend_init`
pub unsafe fn psend_init(
    buf: *const c_void,
    partitions: c_int,
    count: impl Integer,
    datatype: MPI_Datatype,
    dest: c_int,
    tag: c_int,
    comm: MPI_Comm,
    _info: MPI_Info,
    request: *mut MPI_Request,
) -> Outcome {
    let (base, count) = (buf.cast_mut().cast(), count.wide());
    let arguments = Arguments { base, partitions, count, datatype, peer: dest, tag };
    // SAFETY: the caller gives `count` elements for each partition, and room for a handle.
    unsafe { init(comm, request, |comm| Sender::new(comm, &arguments).map(Partitioned::Send)) }
}

/// `MPI_Precv_init`
pub unsafe fn precv_init(
    buf: *mut c_void,
    partitions: c_int,
    count: impl Integer,
    datatype: MPI_Datatype,
    source: c_int,
    tag: c_int,
    comm: MPI_Comm,
    _info: MPI_Info,
    request: *mut MPI_Request,
) -> Outcome {
    let (base, count) = (buf.cast(), count.wide());
    let arguments = Arguments { base, partitions, count, datatype, peer: source, tag };
    // SAFETY: the caller gives room for `count` elements for each partition, and for a handle.
    unsafe { init(comm, request, |comm| Receiver::new(comm, &arguments).map(Partitioned::Receive)) }
}

/// Runs with the partitioned operation of a handle, and raises errors on its communicator.
fn on<T>(
    request: MPI_Request,
    body: impl FnOnce(&mut Partitioned, &Arc<Communicator>) -> Outcome<T>,
) -> Outcome<T> {
    let mut requests = request::lock();
    let request =
        requests.get_mut(request).ok_or_else(|| Failure::new(MPI_ERR_REQUEST, "no such request"))?;
    let comm = request.comm().clone();
    let partitioned = request
        .as_partitioned()
        .ok_or_else(|| Failure::new(MPI_ERR_REQUEST, "the request is not a partitioned one"));
    partitioned.and_then(|partitioned| body(partitioned, &comm)).map_err(|failure| failure.on(&comm))
}

fn mark(request: MPI_Request, partitions: impl Iterator<Item = c_int>) -> Outcome {
    on(request, |partitioned, _| match partitioned {
        Partitioned::Send(send) => {
            for partition in partitions {
                send.ready(partition)?;
            }
            Ok(())
        }
        Partitioned::Receive(_) => Err(Failure::new(MPI_ERR_REQUEST, "the request is one of a receive")),
    })
}

/// `MPI_Pready`
pub unsafe fn pready(partition: c_int, request: MPI_Request) -> Outcome {
    mark(request, std::iter::once(partition))
}

/// `MPI_Pready_range`
pub unsafe fn pready_range(partition_low: c_int, partition_high: c_int, request: MPI_Request) -> Outcome {
    mark(request, partition_low..=partition_high)
}

/// `MPI_Pready_list`
pub unsafe fn pready_list(length: c_int, array_of_partitions: *const c_int, request: MPI_Request) -> Outcome {
    // SAFETY: the caller gives `length` numbers.
    let partitions = unsafe { array(array_of_partitions, length)? };
    mark(request, partitions.iter().copied())
}

/// `MPI_Parrived`: of no request, and of one that is not active, everything has arrived.
pub unsafe fn parrived(request: MPI_Request, partition: c_int, flag: *mut c_int) -> Outcome {
    if flag.is_null() {
        return Err(null("the flag"));
    }
    let arrived = request == MPI_REQUEST_NULL
        || on(request, |partitioned, comm| match partitioned {
            Partitioned::Receive(receive) => receive.arrived(comm, partition),
            Partitioned::Send(_) => Err(Failure::new(MPI_ERR_REQUEST, "the request is one of a send")),
        })?;
    // SAFETY: the caller gives room for a flag.
    unsafe { write_flag(flag, arrived) };
    Ok(())
}
