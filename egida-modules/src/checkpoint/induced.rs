//! What communication-induced protocols have in common: basic checkpoints by the timer, forced ones before messages.
//!
//! A message that a checkpoint must come before is received only when that checkpoint is *durable*, whether the application
//! waits for it or not. Until then each message is held against the state as it would be had the checkpoint not been taken; if
//! the write fails, that is the state, and the message still waits at the head of its channel for a checkpoint to come.

use std::fmt::Debug;

use egida_core::checkpoint::{Candidates, CheckpointHead, Line};
use egida_core::ids::{CheckpointNumber, Rank, Ssn};
use egida_core::module::checkpoint::{decode, encode};
use egida_core::module::{Admission, Arriving, Checkpoint, CheckpointContext, PiggybackCheckpointing};
use egida_core::wire::{Reader, WireError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The state of a communication-induced protocol in one rank.
pub trait Inducing: Clone + Debug + Send + Serialize + DeserializeOwned {
    /// What a message carries.
    type Piggyback;

    /// The value of the language that says so.
    const PHRASE: &'static str;

    /// Appends what a message to `dest` carries.
    fn encode(&self, dest: Rank, out: &mut Vec<u8>);

    /// Reads what a message carries.
    ///
    /// # Errors
    /// [`WireError`] where it is none.
    fn decode(&self, reader: &mut Reader<'_>) -> Result<Self::Piggyback, WireError>;

    /// Whether a checkpoint must be taken before the message is received.
    fn forces(&self, message: &Self::Piggyback) -> bool;

    /// A message is received.
    fn receive(&mut self, source: Rank, message: &Self::Piggyback);

    /// A message is sent.
    fn send(&mut self, dest: Rank);

    /// A checkpoint is taken, before these messages where there are any: labels it, and begins the next interval.
    fn capture(&mut self, head: &mut CheckpointHead, before: &[Self::Piggyback]);

    /// Labels the present state.
    fn describe(&self, head: &mut CheckpointHead);

    /// The checkpoint that was taken last is durable.
    fn settle(&mut self) {}

    /// This state, from before a checkpoint, is the present one again, since the checkpoint behind which `void` came failed.
    fn revert(&mut self, void: &Self) {
        let _ = void;
    }

    /// The recovery line by the protocol's rule.
    fn line(candidates: &Candidates) -> Option<Line>;
}

/// A communication-induced protocol in one rank.
#[derive(Debug, Clone)]
pub struct Induced<S: Inducing> {
    now: S,
    /// While a checkpoint is on its way to stable storage: its number, and the state as it would be without it.
    unsettled: Option<(CheckpointNumber, S)>,
    /// What the messages carry that wait for a checkpoint to be taken, by sender.
    forcing: Vec<(Rank, Ssn, Vec<u8>)>,
}

impl<S: Inducing> Induced<S> {
    /// The protocol in its first state.
    #[must_use]
    pub fn new(state: S) -> Self {
        Self { now: state, unsettled: None, forcing: Vec::new() }
    }
}

fn read<S: Inducing>(state: &S, piggyback: &[u8]) -> Result<S::Piggyback, WireError> {
    let mut reader = Reader::new(piggyback);
    let read = state.decode(&mut reader)?;
    match reader.rest().is_empty() {
        true => Ok(read),
        false => Err(WireError::Malformed("more than a checkpoint's piggyback")),
    }
}

impl<S: Inducing> PiggybackCheckpointing for Induced<S> {
    fn phrase(&self) -> Option<&'static str> {
        Some(S::PHRASE)
    }

    fn piggyback(&mut self, dest: Rank, out: &mut Vec<u8>) {
        self.now.encode(dest, out);
    }

    fn sent(&mut self, dest: Rank, _: Ssn) {
        self.now.send(dest);
        if let Some((_, before)) = &mut self.unsettled {
            before.send(dest);
        }
    }

    fn before_receive(&mut self, message: Arriving<'_>) -> Result<Admission, WireError> {
        let piggyback = read(&self.now, message.piggyback)?;
        if let Some((_, before)) = &self.unsettled {
            return Ok(if before.forces(&piggyback) { Admission::Wait } else { Admission::Admit });
        }
        if !self.now.forces(&piggyback) {
            return Ok(Admission::Admit);
        }
        if !self.forcing.iter().any(|&(source, ssn, _)| (source, ssn) == (message.source, message.ssn)) {
            self.forcing.push((message.source, message.ssn, message.piggyback.to_vec()));
        }
        Ok(Admission::CheckpointFirst)
    }

    fn received(&mut self, message: Arriving<'_>) -> Result<(), WireError> {
        let piggyback = read(&self.now, message.piggyback)?;
        self.now.receive(message.source, &piggyback);
        if let Some((_, before)) = &mut self.unsettled {
            before.receive(message.source, &piggyback);
        }
        Ok(())
    }
}

impl<S: Inducing> Checkpoint for Induced<S> {
    fn on_timer(&mut self, context: &mut CheckpointContext<'_>) {
        if self.unsettled.is_none() {
            context.take_checkpoint();
        }
    }

    fn describe(&self, head: &mut CheckpointHead) {
        self.now.describe(head);
    }

    fn capture(&mut self, head: &mut CheckpointHead) {
        let before = self.now.clone();
        let forcing = std::mem::take(&mut self.forcing);
        let forcing: Vec<S::Piggyback> =
            forcing.iter().filter_map(|(_, _, piggyback)| read(&self.now, piggyback).ok()).collect();
        self.now.capture(head, &forcing);
        self.unsettled = Some((head.number, before));
    }

    fn durable(&mut self, _: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        if self.unsettled.take_if(|(unsettled, _)| *unsettled == number).is_some() {
            self.now.settle();
        }
    }

    fn failed(&mut self, _: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        if let Some((_, mut before)) = self.unsettled.take_if(|(unsettled, _)| *unsettled == number) {
            before.revert(&self.now);
            self.now = before;
        }
    }

    fn line(&self, candidates: &Candidates) -> Option<Line> {
        S::line(candidates)
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.now)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), WireError> {
        self.now = decode(state)?;
        // Who is restored from a checkpoint has it.
        self.now.settle();
        self.unsettled = None;
        self.forcing.clear();
        Ok(())
    }
}
