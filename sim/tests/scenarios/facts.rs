//! What a scenario may ask of a protocol, to find out whether it concerns it: what the bound protocol says of itself, never its
//! name.

use std::collections::BTreeSet;

use egida_core::binder::bind;
use egida_core::ids::Domains;
use egida_core::module::Step;
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_core::stack::Scope;
use egida_spec::protocol::{FailureUnit, ParamValue, Protocol};

/// The ranks of every scenario, each in a domain of its own.
pub const RANKS: u32 = 4;

/// A protocol under a failure unit.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What is to be bound.
    pub protocol: Protocol,
    /// What fails as one.
    pub unit: FailureUnit,
    /// Whether a death is more than the end of the job.
    pub recovers: bool,
    /// How many domains may be down at once; any number where it is none.
    pub tolerates: Option<u32>,
    /// Whether there are determinants.
    pub has_determinants: bool,
    /// Whether receivers log the contents of messages.
    pub logs_messages: bool,
    /// Whether determinants come to others with messages.
    pub piggybacks: bool,
    /// Whether a disk takes part.
    pub has_disk: bool,
    /// Whether a send waits for a disk.
    pub waits_for_disk: bool,
    /// How many other domains must hold a determinant in their memory before anything depends on it.
    pub copies: Option<u32>,
    /// Whether checkpoints are taken.
    pub takes_checkpoints: bool,
    /// In the memory of how many other domains a checkpoint is to be, where that is their storage.
    pub mirrors: Option<u32>,
    /// Whether recovery returns ranks to a line of them.
    pub returns_to_line: bool,
    /// Whether survivors may be orphans.
    pub detects: bool,
    /// Whether recovery finds the orphans itself, instead of each by itself.
    pub asks_everyone: bool,
    /// Whether recovery asks others for determinants, and whether one asks for all.
    pub collects: bool,
    /// See [`Facts::collects`].
    pub has_leader: bool,
}

impl Facts {
    /// Those of a specification; none where this build refuses it.
    pub fn of(name: &str, text: &str, unit: FailureUnit) -> Option<Self> {
        let protocol = egida_spec::load(name, text).protocol?;
        let mut bound = bind(&protocol, &registry(), &setting(unit), 0).ok()?;
        let askers = bound.collector.as_mut().map_or(0, |collector| {
            match collector.retrieve_determinants(&BTreeSet::from([0, 1]), RANKS) {
                Step::Pending(questions) => {
                    questions.iter().map(|question| question.asker).collect::<BTreeSet<_>>().len()
                }
                Step::Done => 0,
            }
        });
        Some(Self {
            unit,
            recovers: bound.policy.recovers,
            tolerates: bound.policy.tolerates,
            has_determinants: bound.stack.scope() != Scope::Nothing,
            logs_messages: bound.stack.logs_delivered(),
            piggybacks: bound.stack.piggybacks() && bound.detector.is_none(),
            has_disk: bound.stores.iter().any(|store| store.replicas.is_none()),
            waits_for_disk: bound.stores.iter().any(|store| store.replicas.is_none() && store.synchronous),
            copies: bound.stores.iter().find_map(|store| store.replicas).map(|replicas| replicas.copies),
            mirrors: bound.checkpoint.as_ref().and_then(|used| used.replicas).map(|replicas| replicas.copies),
            takes_checkpoints: bound.stack.takes_checkpoints(),
            returns_to_line: bound.stack.recovers_by_line(),
            detects: bound.detector.is_some(),
            asks_everyone: bound.detector.is_some_and(|detector| detector.asks_everyone()),
            collects: askers > 0,
            has_leader: askers == 1,
            protocol,
        })
    }

    /// Whether its runs can be told from one without determinants: it recovers, and from a log of its own.
    pub fn recovers_by_replay(&self) -> bool {
        self.recovers && self.has_determinants
    }

    /// Whether a message may force a checkpoint before it is delivered.
    pub fn forces_checkpoints(&self) -> bool {
        let kind = self.protocol.checkpoint.as_ref().map(|checkpoint| checkpoint.proto.text.as_str());
        self.recovers && kind == Some("communication-induced")
    }

    /// Whether all stand still from one barrier, before their checkpoints, to another behind them.
    pub fn has_two_barriers(&self) -> bool {
        let params = self.protocol.checkpoint.as_ref().map(|checkpoint| &checkpoint.proto.params);
        let named = params.and_then(|params| params.get("protocol")).map(|param| &param.value);
        self.recovers && matches!(named, Some(ParamValue::Words(name)) if name == "fail-safe-pvm")
    }

    /// Whether the application goes on while its checkpoints are written.
    pub fn goes_on_while_saving(&self) -> bool {
        self.recovers
            && self
                .protocol
                .checkpoint
                .as_ref()
                .is_some_and(|checkpoint| checkpoint.how.text == "asynchronously")
    }

    /// Whether others hold a rank's determinants in their memory.
    pub fn is_held_by_others(&self) -> bool {
        self.recovers && (self.copies.is_some() || self.piggybacks)
    }
}

/// Each rank on a node of its own.
pub fn setting(unit: FailureUnit) -> Setting {
    Setting { domains: Domains::blocks(RANKS, 1), unit, images: true }
}

/// The modules that there are.
pub fn registry() -> Registry {
    egida_modules::registry()
}
