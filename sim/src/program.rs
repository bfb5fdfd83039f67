//! Scripted ranks: what the simulated applications do.

use egida_core::api::{Api, Observation, Pattern, ReceiveId, SendId};
use egida_core::event::Answer;
use egida_core::fault::Fault;
use egida_core::ids::Rank;
use egida_core::wire::{Envelope, SendMode};
use serde::{Deserialize, Serialize};

use crate::application::{Application, Model, Step, digest, mix};

/// The one communicator of a script.
const CONTEXT: u32 = 1;

/// One step of a script. Every outcome is folded into the rank's state, and every message and output is made of that
/// state, so that whatever went otherwise is seen further on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sends a message of `len` bytes made of the state.
    Send {
        /// The receiver.
        to: Rank,
        /// The tag.
        tag: i32,
        /// Bytes, at least 8.
        len: usize,
        /// Whether to wait for the match.
        synchronous: bool,
    },
    /// Posts a receive into the list of requests.
    Post {
        /// The sender, or any.
        from: Option<Rank>,
        /// The tag.
        tag: i32,
    },
    /// Waits for one of the posted requests, the first in the list.
    WaitFirst,
    /// Waits for any one of the posted requests: an observation.
    WaitAny,
    /// Tests all posted requests up to so many times, or until some are complete: observations.
    TestSome(u32),
    /// Waits for all posted requests, in order.
    WaitAll,
    /// Looks for a message from anyone, up to so many times: observations.
    Probe {
        /// The tag.
        tag: i32,
        /// Times.
        times: u32,
    },
    /// Reads a value from outside.
    Read,
    /// Writes a line made of the state.
    Output,
}

/// A parallel program whose ranks run scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripts(pub Vec<Vec<Op>>);

impl Model for Scripts {
    fn start(&self, rank: Rank, _: u32) -> Box<dyn Application> {
        Box::new(Program::new(rank, self.0.get(rank as usize).cloned().unwrap_or_default()))
    }
}

/// A rank that runs a script.
#[derive(Debug)]
pub struct Program {
    script: Vec<Op>,
    place: Place,
}

/// How far a script has come.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    at: usize,
    tried: u32,
    state: u64,
    requests: Vec<Request>,
    sending: Option<SendId>,
    observing: Option<Observation>,
    written: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    id: ReceiveId,
    payload: Vec<u8>,
}

impl Application for Program {
    fn step(&mut self, api: &mut dyn Api, live: u64) -> Result<Step, Fault> {
        let Some(op) = self.script.get(self.place.at) else { return Ok(Step::Over) };
        let done = self.place.perform(op, api, live)?;
        if done {
            self.place.at += 1;
            self.place.tried = 0;
            self.place.sending = None;
        }
        Ok(if done { Step::Moved } else { Step::Waiting })
    }

    fn snapshot(&self) -> Vec<u8> {
        rmp_serde::to_vec(&self.place).unwrap_or_default()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), Fault> {
        self.place = rmp_serde::from_slice(snapshot)
            .map_err(|error| Fault::Driver(format!("a snapshot cannot be read: {error}")))?;
        Ok(())
    }

    fn state(&self) -> u64 {
        self.place.state
    }

    fn written(&self) -> &[u8] {
        &self.place.written
    }
}

impl Program {
    /// A program at its beginning.
    #[must_use]
    pub fn new(rank: Rank, script: Vec<Op>) -> Self {
        let place = Place {
            at: 0,
            tried: 0,
            state: mix(1, u64::from(rank)),
            requests: Vec::new(),
            sending: None,
            observing: None,
            written: Vec::new(),
        };
        Self { script, place }
    }
}

impl Place {
    /// Performs an operation as far as it goes now; whether it is done.
    fn perform(&mut self, op: &Op, api: &mut dyn Api, live: u64) -> Result<bool, Fault> {
        match *op {
            Op::Send { to, tag, len, synchronous } => return self.send(api, to, tag, len, synchronous),
            Op::Post { from, tag } => {
                let id = api.post(Pattern { source: from, context: CONTEXT, tag: Some(tag) })?;
                self.requests.push(Request { id, payload: Vec::new() });
            }
            Op::WaitFirst => return Ok(self.requests.is_empty() || self.complete(api, 0)?),
            Op::WaitAll => {
                while !self.requests.is_empty() && self.complete(api, 0)? {}
                return Ok(self.requests.is_empty());
            }
            Op::WaitAny => return Ok(self.requests.is_empty() || self.test(api, 1, None)?),
            Op::TestSome(times) => {
                return Ok(self.requests.is_empty() || self.test(api, usize::MAX, Some(times))?);
            }
            Op::Probe { tag, times } => return self.probe(api, tag, times),
            Op::Read => {
                let value = api.read(&mut || live.to_le_bytes().to_vec())?;
                self.state = mix(self.state, digest(&value));
            }
            Op::Output => {
                let line = format!("{:016x}\n", self.state);
                self.written.extend_from_slice(line.as_bytes());
            }
        }
        Ok(true)
    }

    fn send(
        &mut self,
        api: &mut dyn Api,
        to: Rank,
        tag: i32,
        len: usize,
        synchronous: bool,
    ) -> Result<bool, Fault> {
        if self.sending.is_none() {
            self.state = mix(self.state, 17);
            let payload: Vec<u8> = (0..len.div_ceil(8) as u64)
                .flat_map(|word| mix(self.state, word).to_le_bytes())
                .take(len)
                .collect();
            let mode = if synchronous { SendMode::Synchronous } else { SendMode::Standard };
            let id = api.send(to, Envelope { context: CONTEXT, tag }, mode, &payload)?;
            self.sending = Some(id);
        }
        Ok(self.sending.is_none_or(|id| api.sent(id)))
    }

    /// Reads what is there of a request's payload; whether the request is complete.
    fn is_complete(&mut self, api: &mut dyn Api, request: usize) -> Result<bool, Fault> {
        let request = &mut self.requests[request];
        if api.matched(request.id).is_none() {
            return Ok(false);
        }
        while let Some(piece) = api.piece(request.id)? {
            request.payload.extend_from_slice(piece);
        }
        Ok(api.deliverable(request.id))
    }

    fn complete(&mut self, api: &mut dyn Api, request: usize) -> Result<bool, Fault> {
        let complete = self.is_complete(api, request)?;
        if complete {
            self.take(api, request)?;
        }
        Ok(complete)
    }

    /// Takes a complete request out of the list.
    fn take(&mut self, api: &mut dyn Api, request: usize) -> Result<(), Fault> {
        let request = self.requests.remove(request);
        let message = api.matched(request.id).ok_or(Fault::Bug("a complete receive has no message"))?;
        api.finish(request.id)?;
        self.state = mix(mix(self.state, u64::from(message.source)), digest(&request.payload));
        Ok(())
    }

    /// Tests the requests once; at most `most` are reported. A test gives up after `times` failures, a wait never does.
    fn test(&mut self, api: &mut dyn Api, most: usize, times: Option<u32>) -> Result<bool, Fault> {
        let observation = match self.observing.take() {
            Some(observation) => observation,
            None => api.observe()?,
        };
        let indices = match &observation {
            Observation::Replayed(Answer::Nothing) => return Ok(self.failed(times)),
            Observation::Replayed(Answer::Message { .. }) => {
                return Err(Fault::Bug("a test was answered with a message"));
            }
            Observation::Replayed(Answer::Requests(indices)) => {
                for &index in indices {
                    if !self.is_complete(api, index as usize)? {
                        self.observing = Some(observation);
                        return Ok(false);
                    }
                }
                indices.clone()
            }
            Observation::Live => {
                let mut complete = Vec::new();
                for index in 0..self.requests.len() {
                    if complete.len() < most && self.is_complete(api, index)? {
                        complete.push(index as u32);
                    }
                }
                if complete.is_empty() && times.is_none() {
                    self.observing = Some(observation);
                    return Ok(false);
                }
                let answer =
                    if complete.is_empty() { Answer::Nothing } else { Answer::Requests(complete.clone()) };
                api.observed(answer)?;
                if complete.is_empty() {
                    return Ok(self.failed(times));
                }
                complete
            }
        };
        let ids: Vec<ReceiveId> = indices.iter().map(|&index| self.requests[index as usize].id).collect();
        for id in ids {
            if let Some(at) = self.requests.iter().position(|request| request.id == id) {
                self.take(api, at)?;
            }
        }
        Ok(true)
    }

    fn probe(&mut self, api: &mut dyn Api, tag: i32, times: u32) -> Result<bool, Fault> {
        let observation = match self.observing.take() {
            Some(observation) => observation,
            None => api.observe()?,
        };
        let seen = match observation {
            Observation::Replayed(Answer::Nothing) => return Ok(self.failed(Some(times))),
            Observation::Replayed(Answer::Message { source, ssn }) => {
                if api.arrived(source, ssn).is_none() {
                    self.observing = Some(observation);
                    return Ok(false);
                }
                (source, ssn)
            }
            Observation::Replayed(Answer::Requests(_)) => {
                return Err(Fault::Bug("a probe was answered with requests"));
            }
            Observation::Live => {
                let Some(seen) = api.peek(Pattern { source: None, context: CONTEXT, tag: Some(tag) }) else {
                    api.observed(Answer::Nothing)?;
                    return Ok(self.failed(Some(times)));
                };
                api.observed(Answer::Message { source: seen.source, ssn: seen.ssn })?;
                (seen.source, seen.ssn)
            }
        };
        self.state = mix(mix(self.state, u64::from(seen.0)), seen.1);
        Ok(true)
    }

    /// A failed test or probe: the count of failures goes into the state. Whether to give up.
    fn failed(&mut self, times: Option<u32>) -> bool {
        self.state = mix(self.state, 3);
        self.tried += 1;
        times.is_some_and(|times| self.tried >= times)
    }
}
