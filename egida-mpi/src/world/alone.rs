//! The world of a program that was started without a launcher: one rank, which can send to itself only. It is the same
//! engine as any rank's, over a driver that knows nobody.

use std::ffi::c_int;

use egida_core::binder::bind;
use egida_core::control::Control;
use egida_core::crash::CrashPoint;
use egida_core::driver::{Arrival, Comparison, Driver, Extent, JournalEntry, Location, Progress};
use egida_core::engine::{Engine, OnDivergence};
use egida_core::fault::Fault;
use egida_core::gate::StoreId;
use egida_core::ids::{Domains, Position, Rank, Ssn};
use egida_core::setting::Setting;
use egida_core::wire::RecordHeader;
use egida_spec::protocol::FailureUnit;

use super::World;

/// A rank alone needs no fault tolerance: nobody could restart it.
const PROTOCOL: &str = "protocol none with (f = 0)";

/// The engine of the only rank of a job.
pub type Alone = Engine<Nobody>;

/// Makes it.
///
/// # Errors
/// [`Fault::Bug`] where the protocol of no protocol does not bind.
pub fn alone() -> Result<Alone, Fault> {
    let registry = egida_modules::registry();
    let protocol = egida_spec::load_with("none", PROTOCOL, &registry.vocabulary).protocol;
    let domains = Domains::blocks(1, 1);
    let setting = Setting { domains: domains.clone(), unit: FailureUnit::Process, images: false };
    let bound = protocol.and_then(|protocol| bind(&protocol, &registry, &setting, 0).ok());
    let stack = bound.ok_or(Fault::Bug("no protocol is no protocol"))?.stack;
    Engine::new(0, domains, Nobody, stack, None, OnDivergence::Stop)
}

/// A driver without peers, journal or launcher.
#[derive(Debug, Default)]
pub struct Nobody;

const NO_PEER: Fault = Fault::Bug("the only rank of a job wrote to a channel");

impl Driver for Nobody {
    fn extent(&mut self, _: Rank) -> Extent {
        Extent::default()
    }

    fn append(&mut self, _: Rank, _: &RecordHeader, _: &[u8], _: &[u8], _: u64) -> Result<(), Fault> {
        Err(NO_PEER)
    }

    fn compare(&mut self, _: Rank, _: &RecordHeader, _: &[u8]) -> Result<Comparison, Fault> {
        Err(NO_PEER)
    }

    fn acknowledged(&mut self, _: Rank) -> Ssn {
        0
    }

    fn enter(&mut self) -> u64 {
        0
    }

    fn leave(&mut self) {}

    fn generation(&mut self, _: Rank) -> u32 {
        0
    }

    fn rewind(&mut self, _: Rank) -> Ssn {
        0
    }

    fn ready(&mut self, _: &mut Vec<Rank>) {}

    fn arrival(&mut self, _: Rank) -> Result<Option<Arrival>, Fault> {
        Ok(None)
    }

    fn piggyback(&self, _: Rank) -> &[u8] {
        &[]
    }

    fn advance(&mut self, _: Rank) {}

    fn acknowledge(&mut self, _: Rank, _: Ssn, _: u64) {}

    fn bytes(&self, _: Rank, _: Location) -> Option<(&[u8], Location)> {
        None
    }

    fn release(&mut self, _: Rank, _: Ssn) {}

    fn stable(&self, _: Rank, _: StoreId) -> Position {
        Position::MAX
    }

    fn notify_matched(&mut self, _: Rank, _: Ssn) -> Result<(), Fault> {
        Err(NO_PEER)
    }

    fn matched_notices(&mut self, _: Rank, _: &mut Vec<Ssn>) {}

    fn log(&mut self, _: JournalEntry<'_>) -> Result<Position, Fault> {
        Err(Fault::Bug("a rank without fault tolerance wrote a journal"))
    }

    fn control(&mut self, _: &mut Vec<Control>) {}

    fn flush(&mut self, _: StoreId, _: Position) {}

    fn note(&mut self, _: Progress) {}

    fn note_traffic(&mut self, _: u64, _: u64) {}

    fn crash_point(&mut self, _: CrashPoint) -> Result<(), Fault> {
        Ok(())
    }
}

impl World for Alone {
    fn park(&mut self) -> Result<(), Fault> {
        Err(Fault::Driver("the only rank of the job waits for a message that nobody can send".to_owned()))
    }

    fn finalize(&mut self) -> Result<(), Fault> {
        self.finished();
        Ok(())
    }

    fn abort(&mut self, _: c_int) {}

    fn replays(&self) -> bool {
        false
    }

    fn counts(&self) -> Progress {
        Engine::counts(self)
    }
}
