//! The modules of section 4.1 of the Egida paper, one trait each, in sans-IO form.
//!
//! Modules never own each other. What a module may call is handed to it per call, in a context that knows the edges of
//! the paper's Figure 5 and no others:
//!
//! ```text
//!   EventHandler ─┬─ Determinant
//!                 ├─ LogEventDeterminant ─┐
//!                 ├─ LogEventInfo ────────┼─ HowToLog ─ WhereToLog ─┬─ VolatileStorage
//!                 ├─ PiggybackLogging ────┘ (LogEventDeterminant)   └─ StableStorage ─ journal
//!                 ├─ HowToOutputCommit ─── LogEventDeterminant
//!                 ├─ PiggybackCheckpointing ─ Checkpoint ─ HowToCheckpoint ─ stable storage, by the driver
//!                 ├─ CollectDeterminants ─── Network
//!                 └─ OrphanDetection ─────── Network
//! ```
//!
//! No module blocks. What takes time is asked for and answered later by an event; what must wait is a
//! [`Gate`](crate::gate::Gate) in the answer. A [`Fault`](crate::fault::Fault) from any of them ends the rank.

pub mod checkpoint;
mod context;
mod environment;
mod logging;
mod output;
mod piggyback;
mod recovery;
mod storage;

pub use checkpoint::{
    Admission, Arriving, Checkpoint, CheckpointContext, Command, HowToCheckpoint, PiggybackCheckpointing,
};
pub use context::{
    Call, Journal, LogContext, MutedJournal, PiggybackContext, PlaceContext, StorageContext, Trace,
    WriteContext,
};
pub use environment::{FailureDetector, Network, Timer};
pub use logging::{HowToLog, LogEventDeterminant, LogEventInfo, WhereToLog};
pub use output::HowToOutputCommit;
pub use piggyback::{PiggybackError, PiggybackLogging};
pub use recovery::{CollectDeterminants, OrphanDetection, Question, Standing, Step};
pub use storage::{Delivered, Entry, EntryId, Receipt, StableStorage, VolatileStorage};

use std::fmt::Debug;

use dyn_clone::{DynClone, clone_trait_object};

use crate::event::{Determinant as EventDeterminant, Happened};
use crate::ids::{EventIndex, Rank};

/// What a module is, whatever its slot: a part of the state of a process, which can be copied, and of which the debug form
/// shows all that may make a difference to what it does. An exploration holds two modules that show the same for the same; one
/// that shows equal states differently, as a hash map does, makes it visit more states and nothing worse.
pub trait Module: Send + Debug + DynClone {}

impl<M: Send + Debug + DynClone> Module for M {}

clone_trait_object!(Checkpoint);
clone_trait_object!(CollectDeterminants);
clone_trait_object!(Determinant);
clone_trait_object!(HowToCheckpoint);
clone_trait_object!(HowToLog);
clone_trait_object!(HowToOutputCommit);
clone_trait_object!(LogEventDeterminant);
clone_trait_object!(LogEventInfo);
clone_trait_object!(OrphanDetection);
clone_trait_object!(PiggybackLogging);
clone_trait_object!(StableStorage);
clone_trait_object!(VolatileStorage);
clone_trait_object!(WhereToLog);

/// Creates the determinants of non-deterministic events.
pub trait Determinant: Module {
    /// Makes the determinant of an event: number `index` of `owner`, which had completed `observed` observations.
    fn create_determinant(
        &mut self,
        owner: Rank,
        index: EventIndex,
        observed: u64,
        what: Happened,
    ) -> EventDeterminant;
}
