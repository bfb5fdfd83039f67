//! The receiver's side: what the sender's partitions bring is put together to the receiver's.

use std::ffi::c_int;
use std::ops::Range;
use std::sync::Arc;

use egida_core::api::{Observation, Pattern};
use egida_core::event::Answer;
use egida_core::fault::Fault;
use egida_core::ids::Rank;

use super::offer::Offer;
use super::{Arguments, Division};
use crate::comm::Communicator;
use crate::completion::diverged;
use crate::datatype::{DatatypeError, Unpacker};
use crate::errors::Outcome;
use crate::handle::MPI_Status;
use crate::p2p;
use crate::request::{Ended, Receiving};
use crate::world::{self, World};

/// A partitioned receive.
#[derive(Debug)]
pub struct Receiver {
    /// Nobody where it comes from no process.
    from: Option<Peer>,
    tag: c_int,
    division: Division,
    active: bool,
}

#[derive(Debug)]
struct Peer {
    process: Rank,
    context: u32,
    offer: Coming,
    /// The receives of the sender's partitions, as far as they are posted; none before the application has been told of any.
    /// Whenever it is told something, those that are posted are over.
    parts: Option<Vec<Option<Receiving>>>,
}

/// The sender's offer.
#[derive(Debug)]
enum Coming {
    /// A receive is posted, into this memory.
    Posted(Receiving, Vec<u8>),
    Known(Offer),
}

impl Receiver {
    /// One that is not started; the offer is waited for from now on.
    pub(super) fn new(comm: &Arc<Communicator>, arguments: &Arguments) -> Outcome<Self> {
        let division = arguments.division(comm)?;
        // SAFETY: only arguments are looked at; the caller vouches for the memory.
        unsafe { division.whole.target()? };
        let from = match p2p::peer(comm, arguments.peer)? {
            None => None,
            Some(process) => {
                let context = comm.partitioned_context();
                let mut shelf = vec![0u8; Offer::LEN];
                // SAFETY: the vector is kept beside the receive, and not touched until that is over.
                let memory = unsafe { Unpacker::dense(shelf.as_mut_ptr(), Offer::LEN) };
                let pattern = Pattern { source: Some(process), context, tag: Some(arguments.tag) };
                let receiving = world::with(|world| Receiving::post(world, pattern, memory))?;
                Some(Peer { process, context, offer: Coming::Posted(receiving, shelf), parts: None })
            }
        };
        Ok(Self { from, tag: arguments.tag, division, active: false })
    }

    pub fn is_active(&self) -> bool {
        self.active
    }

    pub fn start(&mut self) {
        self.active = true;
        if let Some(from) = &mut self.from {
            from.parts = None;
        }
    }

    pub fn conclude(&mut self) {
        self.active = false;
    }

    pub fn awaits_offer(&self) -> bool {
        self.from.as_ref().is_some_and(|from| matches!(from.offer, Coming::Posted(..)))
    }

    /// Takes the offer, if it has come, and says whether it has.
    pub fn take_offer(&mut self, world: &mut dyn World, comm: &Communicator) -> Result<bool, Fault> {
        match &mut self.from {
            None => Ok(true),
            Some(from) => Ok(from.offer(world, comm)?.is_some()),
        }
    }

    /// Whether everything is in place, and the application knows.
    pub fn is_taken(&self) -> bool {
        self.from.as_ref().is_none_or(|from| from.is_taken(None, self.division.partitions))
    }

    /// Whether everything is in place or could be.
    pub fn has_come(&mut self, world: &mut dyn World, comm: &Communicator) -> Result<bool, Fault> {
        match &mut self.from {
            None => Ok(true),
            Some(from) => from.has_come(world, comm, None, self.division.partitions),
        }
    }

    /// Takes everything that is not yet in place, and says whether all is.
    pub fn take(&mut self, world: &mut dyn World, comm: &Communicator) -> Result<bool, Fault> {
        match &mut self.from {
            None => Ok(true),
            Some(from) => from.take(world, comm, None, &self.division),
        }
    }

    /// Whether a partition has arrived: an observation, until the answer was yes.
    pub fn arrived(&mut self, comm: &Communicator, partition: c_int) -> Outcome<bool> {
        let partition = self.division.number(partition)?;
        match &mut self.from {
            Some(from) if self.active => {
                Ok(world::with(|world| from.observe(world, comm, partition, &self.division))?)
            }
            _ => Ok(true),
        }
    }

    /// How it ended.
    pub fn ended(&self, comm: &Communicator) -> Ended {
        let Some(from) = &self.from else { return Ended::with(MPI_Status::of_no_process()) };
        let Coming::Known(offer) = from.offer else { return Ended::with(MPI_Status::empty()) };
        let (sent, room) = (offer.bytes(), self.division.bytes() as u64);
        let status = MPI_Status::new(comm.rank_of(from.process), self.tag, sent.min(room));
        if sent <= room {
            return Ended::with(status);
        }
        let error = DatatypeError::Truncated {
            sent_bytes: usize::try_from(sent).unwrap_or(usize::MAX),
            room_bytes: room as usize,
        };
        let status = MPI_Status { error: error.class(), ..status };
        Ended { status, error: Some(Box::new(error.into())) }
    }
}

impl Peer {
    fn offer(&mut self, world: &mut dyn World, comm: &Communicator) -> Result<Option<Offer>, Fault> {
        match &mut self.offer {
            Coming::Known(offer) => Ok(Some(*offer)),
            Coming::Posted(receiving, shelf) => {
                if receiving.advance(world, comm)?.is_none() {
                    return Ok(None);
                }
                let offer =
                    Offer::decode(shelf).ok_or(Fault::Bug("an offer of partitions has another length"))?;
                self.offer = Coming::Known(offer);
                Ok(Some(offer))
            }
        }
    }

    /// Which of the sender's partitions make up one of the receiver's, or all of them.
    fn wanted(offer: Offer, partition: Option<u32>, partitions: u32) -> Range<u32> {
        match partition {
            Some(partition) => offer.making_up(partition, partitions),
            None => 0..offer.partitions,
        }
    }

    fn is_taken(&self, partition: Option<u32>, partitions: u32) -> bool {
        let (Coming::Known(offer), Some(parts)) = (&self.offer, &self.parts) else { return false };
        Self::wanted(*offer, partition, partitions).all(|part| is_over(&parts[part as usize]))
    }

    /// Whether it is in place or could be. Posts nothing.
    fn has_come(
        &mut self,
        world: &mut dyn World,
        comm: &Communicator,
        partition: Option<u32>,
        partitions: u32,
    ) -> Result<bool, Fault> {
        let Some(offer) = self.offer(world, comm)? else { return Ok(false) };
        let is_there = |part: u32| {
            let taken = self.parts.as_ref().is_some_and(|parts| parts[part as usize].is_some());
            taken || world.peek(self.pattern(offer, part)).is_some()
        };
        Ok(Self::wanted(offer, partition, partitions).all(is_there))
    }

    /// Posts what is not posted, and says whether it is in place.
    fn take(
        &mut self,
        world: &mut dyn World,
        comm: &Communicator,
        partition: Option<u32>,
        division: &Division,
    ) -> Result<bool, Fault> {
        let Some(offer) = self.offer(world, comm)? else { return Ok(false) };
        let mut parts = self.parts.take().unwrap_or_else(|| (0..offer.partitions).map(|_| None).collect());
        let wanted = Self::wanted(offer, partition, division.partitions);
        let slots = &mut parts[wanted.start as usize..wanted.end as usize];
        for (part, slot) in wanted.zip(&mut *slots).filter(|(_, slot)| slot.is_none()) {
            let memory = division.part(offer, part);
            *slot = Some(Receiving::post(world, self.pattern(offer, part), memory)?);
        }
        let mut over = true;
        for receiving in slots.iter_mut().flatten() {
            over &= receiving.advance(world, comm)?.is_some();
        }
        self.parts = Some(parts);
        Ok(over)
    }

    fn observe(
        &mut self,
        world: &mut dyn World,
        comm: &Communicator,
        partition: u32,
        division: &Division,
    ) -> Result<bool, Fault> {
        let (wanted, partitions) = (Some(partition), division.partitions);
        if self.is_taken(wanted, partitions) {
            return Ok(true);
        }
        let arrived = match world.observe()? {
            Observation::Replayed(Answer::Nothing) => false,
            Observation::Replayed(Answer::Requests(_)) => true,
            Observation::Replayed(answer) => {
                return Err(diverged(world, &format!("a test of a partition was answered {answer:?}")));
            }
            Observation::Live => {
                world.progress()?;
                let arrived = self.has_come(world, comm, wanted, partitions)?;
                world.observed(if arrived { Answer::Requests(vec![0]) } else { Answer::Nothing })?;
                arrived
            }
        };
        if arrived {
            world::until(world, |world| Ok(self.take(world, comm, wanted, division)?.then_some(())))?;
        }
        Ok(arrived)
    }

    fn pattern(&self, offer: Offer, part: u32) -> Pattern {
        Pattern { source: Some(self.process), context: self.context, tag: Some(offer.tag(part)) }
    }
}

fn is_over(part: &Option<Receiving>) -> bool {
    part.as_ref().is_some_and(|receiving| receiving.ended().is_some())
}

#[cfg(test)]
mod tests {
    use egida_core::api::Api;
    use egida_core::wire::{Envelope, SendMode};

    use super::*;
    use crate::comm;
    use crate::constants::*;
    use crate::request::Memory;
    use crate::world::scripted::Scripted;

    const CONTEXT: u32 = 95;
    const OFFER: Offer = Offer { first: 40, partitions: 2, partition_bytes: 0 };

    fn envelope(part: u32) -> Envelope {
        Envelope { context: CONTEXT, tag: OFFER.tag(part) }
    }

    /// Two partitions of nothing, from this process itself.
    fn peer() -> (Peer, Division, Arc<Communicator>) {
        comm::init(0, 1);
        let division = Division { partitions: 2, whole: Memory::nothing().unwrap(), count: 0 };
        let peer = Peer { process: 0, context: CONTEXT, offer: Coming::Known(OFFER), parts: None };
        (peer, division, comm::get(MPI_COMM_WORLD).unwrap())
    }

    #[test]
    fn what_has_come_is_left_where_it_is_until_it_is_waited_for() {
        let (mut peer, division, comm) = peer();
        let mut world = Scripted::default();
        assert!(!peer.has_come(&mut world, &comm, None, 2).unwrap());
        for part in 0..2 {
            world.send(0, envelope(part), SendMode::Standard, &[]).unwrap();
            world.progress().unwrap();
            assert_eq!(peer.has_come(&mut world, &comm, None, 2).unwrap(), part == 1);
        }
        assert!(peer.parts.is_none() && !peer.is_taken(None, 2));
        assert!(peer.take(&mut world, &comm, None, &division).unwrap());
        assert!(peer.is_taken(None, 2));
        assert!(world.peek(peer.pattern(OFFER, 0)).is_none());
        assert!(world.made.is_empty(), "to wait is no observation");
    }

    #[test]
    fn a_test_of_a_partition_is_logged_until_it_has_arrived_and_repeated() {
        let (mut peer, division, comm) = peer();
        let mut world = Scripted::default();
        let mut observe = |world: &mut Scripted, partition| peer.observe(world, &comm, partition, &division);
        world.answers.extend([Answer::Nothing, Answer::Requests(vec![0])]);
        world.late.push_back(envelope(1));
        assert!(!observe(&mut world, 1).unwrap());
        assert!(observe(&mut world, 1).unwrap(), "it is waited for");
        assert!(world.late.is_empty());
        assert!(!observe(&mut world, 0).unwrap());
        world.send(0, envelope(0), SendMode::Standard, &[]).unwrap();
        assert!(observe(&mut world, 0).unwrap() && observe(&mut world, 0).unwrap());
        assert_eq!(world.made, [Answer::Nothing, Answer::Requests(vec![0])]);
        assert!(peer.is_taken(None, 2));
    }

    #[test]
    fn an_answer_of_another_call_is_divergence() {
        let (mut peer, division, comm) = peer();
        let mut world = Scripted::default();
        world.answers.push_back(Answer::Message { source: 0, ssn: 0 });
        let result = peer.observe(&mut world, &comm, 0, &division);
        assert!(matches!(result, Err(Fault::Divergence { .. })), "{result:?}");
    }
}
