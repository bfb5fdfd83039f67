//! Which values of the language have an implementation, and how to make one.
//!
//! The paper's section 4.3: a protocol is synthesized from its specification and from the bindings between values and
//! implementations; a new module is a new value with its binding. A crate of a user registers its own here, beside the
//! library's, and the language needs no change.

use std::collections::BTreeMap;

use egida_spec::protocol::Phrase;
use egida_spec::vocabulary::{self, Vocabulary};

use crate::gate::StoreId;
use crate::ids::{Domain, Rank};
use crate::module::{
    Checkpoint, CollectDeterminants, Determinant, HowToCheckpoint, HowToLog, HowToOutputCommit,
    LogEventDeterminant, LogEventInfo, OrphanDetection, PiggybackLogging, StableStorage, VolatileStorage,
    WhereToLog,
};
use crate::setting::Setting;

/// What a factory is given.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    /// The phrase in the specification, with its parameters; `None` for slots that no phrase names.
    pub phrase: Option<&'a Phrase>,
    /// The rank that the module is for.
    pub rank: Rank,
    /// The job's shape.
    pub setting: &'a Setting,
    /// For a storage that the node fills: its number.
    pub store: StoreId,
    /// For a storage and for the log of determinants: whether determinants will be piggybacked. Then they are read back on
    /// the normal path, and so must be mirrored in memory, and it is asked which have become stable.
    pub mirrored: bool,
    /// For the log of determinants: whether its storage keeps what it holds through the failures that are to be survived.
    pub lasting: bool,
    /// How many failure domains must hold a determinant, the rank's own included, before output may depend on it: f + 1
    /// under failure unit node (more where the storage asks for more `copies`), 1 where the memory of a node outlives its
    /// processes.
    pub copies: Domain,
}

/// Makes a module.
pub type Factory<T> = Box<dyn Fn(&Build<'_>) -> Box<T> + Send + Sync>;

/// An implementation of a value.
pub struct Implementation<T: ?Sized> {
    /// Its name, for people: the path of the type.
    pub name: &'static str,
    /// Makes one.
    pub make: Factory<T>,
}

/// The implementations of one slot, by phrase.
pub struct Slot<T: ?Sized> {
    values: BTreeMap<String, Implementation<T>>,
}

impl<T: ?Sized> Default for Slot<T> {
    fn default() -> Self {
        Self { values: BTreeMap::new() }
    }
}

impl<T: ?Sized> Slot<T> {
    /// Binds a phrase to an implementation. The last word on a phrase counts.
    pub fn register(
        &mut self,
        phrase: &str,
        name: &'static str,
        make: impl Fn(&Build<'_>) -> Box<T> + Send + Sync + 'static,
    ) {
        self.values.insert(phrase.to_owned(), Implementation { name, make: Box::new(make) });
    }

    /// The implementation of a phrase.
    #[must_use]
    pub fn get(&self, phrase: &str) -> Option<&Implementation<T>> {
        self.values.get(phrase)
    }

    /// The phrases that have one.
    pub fn phrases(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

/// All implementations that a binder may choose from.
pub struct Registry {
    /// The values as the checker knows them.
    pub vocabulary: Vocabulary,
    /// `<stable-storage>`: the placement halves.
    pub stable_storage: Slot<dyn StableStorage>,
    /// `<volatile-storage>`.
    pub volatile_storage: Slot<dyn VolatileStorage>,
    /// `<how-to-log>`.
    pub how_to_log: Slot<dyn HowToLog>,
    /// `<pb-value>` of logging protocols; a value with what refines it, behind a comma, has an implementation of its own.
    pub piggyback_logging: Slot<dyn PiggybackLogging>,
    /// `<output-commit-proto>`.
    pub output_commit: Slot<dyn HowToOutputCommit>,
    /// `<recovery-get-det-proto>`.
    pub retrieval: Slot<dyn CollectDeterminants>,
    /// `<orphan-detection-proto>`.
    pub orphan_detection: Slot<dyn OrphanDetection>,
    /// `<ckpt-proto>`: by the name of the protocol where the value has a parameter `protocol`, else by the value.
    pub checkpoint: Slot<dyn Checkpoint>,
    /// `<ckpt-impl>`.
    pub checkpoint_implementation: Slot<dyn HowToCheckpoint>,
    /// Makes determinants; no phrase chooses it.
    pub determinant: Implementation<dyn Determinant>,
    /// Logs determinants; no phrase chooses it.
    pub log_determinant: Implementation<dyn LogEventDeterminant>,
    /// Logs messages; no phrase chooses it.
    pub log_info: Implementation<dyn LogEventInfo>,
    /// Leads to storages; no phrase chooses it.
    pub where_to_log: Implementation<dyn WhereToLog>,
    /// How what is piggybacked grows with the number of processes, by phrase.
    pub piggyback_growth: BTreeMap<String, &'static str>,
}

impl Registry {
    /// Registers a stable storage: its placement half here, what the checker must know of it in the vocabulary. The
    /// backend half is registered with the node under the same phrase.
    pub fn register_stable_storage(
        &mut self,
        phrase: &str,
        traits: vocabulary::Storage,
        params: Vec<vocabulary::ParamSpec>,
        name: &'static str,
        make: impl Fn(&Build<'_>) -> Box<dyn StableStorage> + Send + Sync + 'static,
    ) {
        self.vocabulary.storage.register_with(phrase, traits, params);
        self.stable_storage.register(phrase, name, make);
    }
}
