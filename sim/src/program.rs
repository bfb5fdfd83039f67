//! Scripted ranks: what the simulated applications do.

use std::rc::Rc;

use egida_core::api::{Api, ReceiveId};
use egida_core::fault::Fault;
use egida_core::ids::Rank;
use egida_core::wire::SendMode;
use serde::{Deserialize, Serialize};

use crate::application::{Application, Model, Step, digest, mix};
use crate::calls::{Calls, Looked, Message};

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
#[derive(Debug, Clone)]
pub struct Program {
    script: Rc<[Op]>,
    place: Place,
}

/// How far a script has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Place {
    at: usize,
    tried: u32,
    state: u64,
    calls: Calls,
    written: Vec<u8>,
}

impl Application for Program {
    fn step(&mut self, api: &mut dyn Api, live: u64) -> Result<Step, Fault> {
        let Some(op) = self.script.get(self.place.at) else { return Ok(Step::Over) };
        let done = self.place.perform(op, api, live)?;
        if done {
            self.place.at += 1;
            self.place.tried = 0;
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

    fn duplicate(&self) -> Box<dyn Application> {
        Box::new(self.clone())
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
            calls: Calls::default(),
            written: Vec::new(),
        };
        Self { script: script.into(), place }
    }
}

impl Place {
    /// Performs an operation as far as it goes now; whether it is done.
    fn perform(&mut self, op: &Op, api: &mut dyn Api, live: u64) -> Result<bool, Fault> {
        match *op {
            Op::Send { to, tag, len, synchronous } => {
                let mode = if synchronous { SendMode::Synchronous } else { SendMode::Standard };
                let state = &mut self.state;
                return self.calls.send(api, to, tag, mode, || {
                    *state = mix(*state, 17);
                    let words = (0..len.div_ceil(8) as u64).flat_map(|word| mix(*state, word).to_le_bytes());
                    words.take(len).collect()
                });
            }
            Op::Post { from, tag } => {
                self.calls.post(api, from, Some(tag))?;
            }
            Op::WaitFirst => {
                return match self.calls.posted().first() {
                    None => Ok(true),
                    Some(&first) => self.receive(api, first),
                };
            }
            Op::WaitAll => {
                for id in self.calls.posted() {
                    if !self.receive(api, id)? {
                        return Ok(false);
                    }
                }
            }
            Op::WaitAny => return self.test(api, 1, None),
            Op::TestSome(times) => return self.test(api, usize::MAX, Some(times)),
            Op::Probe { tag, times } => {
                return Ok(match self.calls.probe(api, None, Some(tag))? {
                    Looked::Waiting => false,
                    Looked::Nothing => self.failed(times),
                    Looked::Found((source, ssn)) => {
                        self.state = mix(mix(self.state, u64::from(source)), ssn);
                        true
                    }
                });
            }
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

    /// Takes a message in, once it is there.
    fn receive(&mut self, api: &mut dyn Api, id: ReceiveId) -> Result<bool, Fault> {
        let message = self.calls.wait(api, id)?;
        let is_there = message.is_some();
        message.into_iter().for_each(|message| self.take(&message));
        Ok(is_there)
    }

    fn take(&mut self, message: &Message) {
        self.state = mix(mix(self.state, u64::from(message.source)), digest(&message.payload));
    }

    /// Tests all requests once; at most `most` are reported. A test gives up after `times` failures, a wait never does.
    fn test(&mut self, api: &mut dyn Api, most: usize, times: Option<u32>) -> Result<bool, Fault> {
        let posted = self.calls.posted();
        if posted.is_empty() {
            return Ok(true);
        }
        Ok(match self.calls.test(api, &posted, most, times.is_none())? {
            Looked::Waiting => false,
            Looked::Nothing => times.is_some_and(|times| self.failed(times)),
            Looked::Found(messages) => {
                messages.iter().for_each(|(_, message)| self.take(message));
                true
            }
        })
    }

    /// A failed test or probe: the count of failures goes into the state. Whether to give up.
    fn failed(&mut self, times: u32) -> bool {
        self.state = mix(self.state, 3);
        self.tried += 1;
        self.tried >= times
    }
}
