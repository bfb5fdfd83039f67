//! `vector clock`: the fault-tolerant vector clock of Damani and Garg (1996).

use egida_core::clock::IncarnationClock;
use egida_core::event::Determinant;
use egida_core::fault::Fault;
use egida_core::ids::{Domain, EventIndex, Rank, Ssn, Version};
use egida_core::module::{EntryId, PiggybackContext, PiggybackError, PiggybackLogging};
use egida_core::registry::Build;
use egida_core::wire::{Reader, WireError};

/// What the rank's state depends on. A message carries the clock of the state that sent it; its delivery is an event that
/// comes to depend on the same.
///
/// A rank that replays has the clock of the state that it replays to from the beginning: the messages that it sends again
/// may seem to depend on a little more than they do, and never on less.
#[derive(Debug, Clone)]
pub struct VectorClock {
    rank: Rank,
    version: Version,
    clock: IncarnationClock,
}

impl VectorClock {
    /// The clock of the rank that `build` names.
    #[must_use]
    pub fn new(build: &Build<'_>) -> Self {
        let clock = IncarnationClock::new(build.setting.domains.ranks());
        Self { rank: build.rank, version: 1, clock }
    }

    fn happened(&mut self, determinant: &Determinant) {
        if determinant.owner != self.rank {
            return;
        }
        if let Some(after) = &determinant.after {
            self.clock.merge(after);
        }
        self.clock.advance(self.rank, self.version, determinant.index + 1);
    }

    fn decode(&self, piggyback: &[u8]) -> Result<IncarnationClock, WireError> {
        let mut reader = Reader::new(piggyback);
        let clock = IncarnationClock::decode(&mut reader)?;
        if clock.components().count() != self.clock.components().count() || !reader.rest().is_empty() {
            return Err(WireError::Malformed("a clock of another number of ranks"));
        }
        Ok(clock)
    }
}

impl PiggybackLogging for VectorClock {
    fn get_piggyback(
        &mut self,
        _: &mut PiggybackContext<'_>,
        _: Rank,
        _: Ssn,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.clock.encode(out);
        Ok(())
    }

    /// A message that has merely arrived changes nothing: its delivery does, with its determinant.
    fn process_piggyback(
        &mut self,
        _: &mut PiggybackContext<'_>,
        _: Rank,
        piggyback: &[u8],
    ) -> Result<(), PiggybackError> {
        self.decode(piggyback)?;
        Ok(())
    }

    fn logged(&mut self, _: EntryId, determinant: &Determinant) {
        self.happened(determinant);
    }

    fn restored(&mut self, _: EntryId, determinant: &Determinant, _: &[Domain], _: bool) {
        self.happened(determinant);
    }

    fn acknowledged(&mut self, _: &mut PiggybackContext<'_>, _: Rank, _: Ssn) {}

    fn lost(&mut self, _: Domain) {}

    fn clock(&self, piggyback: &[u8]) -> Result<Option<IncarnationClock>, WireError> {
        self.decode(piggyback).map(Some)
    }

    fn state(&self) -> Option<IncarnationClock> {
        Some(self.clock.clone())
    }

    fn resumed(&mut self, clock: &IncarnationClock) {
        self.clock.merge(clock);
    }

    fn begin(&mut self, version: Version, events: EventIndex) {
        self.version = version;
        self.clock.advance(self.rank, version, events);
    }
}
