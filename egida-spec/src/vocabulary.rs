//! The values that a specification may name, and what the checker must know of each.
//!
//! [`Vocabulary::default`] holds Figure 2 of the paper. A crate that brings a module of its own adds its phrase here, with
//! the properties that the soundness rules ask for, and to the binder's registry, with its code; the grammar stays as
//! it is.
//!
//! ```
//! use egida_spec::vocabulary::{Storage, Survives, Vocabulary};
//!
//! let mut vocabulary = Vocabulary::default();
//! vocabulary.storage.register("object store", Storage { survives: Survives::Node, on_peers: false });
//! assert!(vocabulary.storage.get("Object  Store").is_some());
//! ```

use std::collections::BTreeMap;

use crate::protocol::{Param, ParamValue};

/// The protocols of co-ordinated checkpoints; the first is meant where none is named.
pub const CO_ORDINATED: &[&str] = &["chandy-lamport", "koo-toueg", "fail-safe-pvm", "index"];

/// The protocols of communication-induced checkpoints; the first is meant where none is named.
pub const COMMUNICATION_INDUCED: &[&str] = &["bcs", "lazy-bcs", "fdas", "hmnr"];

/// All values of the language, by the variable of Figure 2 that they stand for.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// `<output-commit-proto>`
    pub output_commit: Table<OutputCommit>,
    /// `<how-to-log>`
    pub how_to_log: Table<HowToLog>,
    /// `<where-to-log>`: stable and volatile storage. Whether one is stable enough where it stands, the failure unit says.
    pub storage: Table<Storage>,
    /// `<pb-value>`
    pub piggyback: Table<Piggyback>,
    /// `<ckpt-proto>`
    pub checkpoint: Table<Checkpoint>,
    /// `<how-to-ckpt>`
    pub how_to_checkpoint: Table<HowToCheckpoint>,
    /// `<ckpt-impl>`
    pub checkpoint_implementation: Table<CheckpointImplementation>,
    /// `<recovery-get-det-proto>`
    pub retrieval: Table<()>,
    /// `<orphan-detection-proto>`
    pub orphan_detection: Table<()>,
    /// Parameters of whole statements.
    pub statements: StatementParams,
}

/// The values of one variable of Figure 2.
#[derive(Debug, Clone)]
pub struct Table<T> {
    values: BTreeMap<String, Value<T>>,
}

/// A value.
#[derive(Debug, Clone)]
pub struct Value<T> {
    /// What the checker must know of it.
    pub traits: T,
    /// The parameters that may stand behind it.
    pub params: Vec<ParamSpec>,
}

/// A parameter that a value or a statement takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamSpec {
    /// Its name in normal form.
    pub name: String,
    /// The values it takes.
    pub kind: ParamKind,
}

/// The type of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamKind {
    /// `2`
    Count,
    /// `30 s`
    Duration,
    /// `256 MiB`
    Size,
    /// `"text"`
    Text,
    /// One of these phrases; any, if there are none here.
    Words(Vec<String>),
}

/// Parameters of statements, given behind the statement's keyword.
#[derive(Debug, Clone)]
pub struct StatementParams {
    /// Behind a non-deterministic event.
    pub non_deterministic: Vec<ParamSpec>,
    /// Behind `send`.
    pub dependency_generating: Vec<ParamSpec>,
    /// Behind `output commit`.
    pub output_commit: Vec<ParamSpec>,
    /// Behind `checkpoint`.
    pub checkpoint: Vec<ParamSpec>,
}

/// What the checker must know of an output-commit protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputCommit {
    /// Every process on whose state the output depends takes part.
    pub coordinated: bool,
}

/// What the checker must know of a way to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HowToLog {
    /// Whoever depends on the record waits for it. Otherwise the newest records count as memory of self.
    pub synchronous: bool,
}

/// What the checker must know of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// What its content survives.
    pub survives: Survives,
    /// Other processes hold it, so that a recovering process must ask for it (rules 9 and 13).
    pub on_peers: bool,
}

/// What the content of a storage survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// Nothing: it is gone with the process.
    Nothing,
    /// The death of the process, not of its node.
    Process,
    /// As [`Survives::Process`]; with `returns = node` behind it, which promises that the same node comes back with its
    /// disk, also the death of the node.
    ReturningNode,
    /// The death of the process; that of a node if the number of copies (parameter `copies`, by default `f`) reaches `f`.
    Copies,
    /// The death of the process; that of a node as long as no more than one fails at a time: one other node has it.
    OneCopy,
    /// The death of a node.
    Node,
}

/// What the checker must know of something piggybacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Piggyback {
    /// Carries the determinants not known to be stable: what makes a protocol causal.
    pub determinants: bool,
    /// Carries a vector clock: what an optimistic protocol tests.
    pub vector_clock: bool,
    /// Carries the checkpoints' index, or vectors in its place.
    pub checkpoint_counter: bool,
    /// Says who holds which determinant, and means nothing without them.
    pub refines_determinants: bool,
}

/// What the checker must know of a checkpointing protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// The processes cut a line together.
    Coordinated,
    /// A line is kept by forced checkpoints.
    Induced {
        /// It reads the checkpoint counter on the messages; a protocol with vectors of its own does not.
        needs_counter: bool,
    },
    /// Each process for itself.
    Independent,
}

/// What is known of when a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HowToCheckpoint {
    /// The process goes on only when its checkpoint is durable.
    pub synchronous: bool,
}

/// What the checker must know of a way to make checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointImplementation {
    /// The volatile send log is saved along, so that a restored process still has the messages of its past.
    pub includes_send_log: bool,
}

impl<T> Table<T> {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self { values: BTreeMap::new() }
    }

    /// Adds a value without parameters. The last word on a phrase counts.
    pub fn register(&mut self, phrase: &str, traits: T) {
        self.register_with(phrase, traits, Vec::new());
    }

    /// Adds a value with the parameters that may stand behind it.
    pub fn register_with(&mut self, phrase: &str, traits: T, params: Vec<ParamSpec>) {
        self.values.insert(normal_form(phrase), Value { traits, params });
    }

    /// Leaves a value only these of its parameters: for a build whose module heeds no others.
    pub fn restrict_params(&mut self, phrase: &str, heeded: &[&str]) {
        if let Some(value) = self.values.get_mut(&normal_form(phrase)) {
            value.params.retain(|param| heeded.contains(&param.name.as_str()));
        }
    }

    /// The value of that phrase.
    #[must_use]
    pub fn get(&self, phrase: &str) -> Option<&Value<T>> {
        self.values.get(phrase).or_else(|| self.values.get(&normal_form(phrase)))
    }

    /// The phrases, in alphabetical order.
    pub fn phrases(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> From<[(&str, T, Vec<ParamSpec>); N]> for Table<T> {
    fn from(values: [(&str, T, Vec<ParamSpec>); N]) -> Self {
        let mut table = Self::new();
        for (phrase, traits, params) in values {
            table.register_with(phrase, traits, params);
        }
        table
    }
}

impl ParamSpec {
    /// A parameter of that name and type.
    #[must_use]
    pub fn new(name: &str, kind: ParamKind) -> Self {
        Self { name: normal_form(name), kind }
    }

    /// A parameter that takes one of these phrases.
    #[must_use]
    pub fn one_of(name: &str, words: &[&str]) -> Self {
        Self::new(name, ParamKind::Words(words.iter().map(|word| normal_form(word)).collect()))
    }

    /// Whether the parameter's value is of this type.
    #[must_use]
    pub fn accepts(&self, param: &Param) -> bool {
        match (&self.kind, &param.value) {
            (ParamKind::Count, ParamValue::Count(_))
            | (ParamKind::Duration, ParamValue::DurationNs(_))
            | (ParamKind::Size, ParamValue::SizeBytes(_))
            | (ParamKind::Text, ParamValue::Text(_)) => true,
            (ParamKind::Words(known), ParamValue::Words(words)) => known.is_empty() || known.contains(words),
            _ => false,
        }
    }
}

impl ParamKind {
    /// What it takes, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Count => "a number, for example `2`".to_owned(),
            Self::Duration => "a time, for example `30 s` (ns, us, ms, s, min, h)".to_owned(),
            Self::Size => "a size, for example `256 MiB` (B, kB, KiB, MB, MiB, GB, GiB)".to_owned(),
            Self::Text => "a text in quotes, for example `\"/var/log/egida\"`".to_owned(),
            Self::Words(known) if known.is_empty() => "bare words".to_owned(),
            Self::Words(known) => crate::diagnostic::one_of(known.iter().map(String::as_str)),
        }
    }
}

impl Default for Vocabulary {
    /// Figure 2 of the paper, with the parameters that each value takes.
    fn default() -> Self {
        let before = || ParamSpec::one_of("before", &["delivery", "send"]);
        let every = || ParamSpec::new("every", ParamKind::Duration);
        let limit = || ParamSpec::new("limit", ParamKind::Size);
        let path = || ParamSpec::new("path", ParamKind::Text);
        let copies = || ParamSpec::new("copies", ParamKind::Count);
        let returns = || ParamSpec::one_of("returns", &["node"]);
        let protocol = |names: &[&str]| ParamSpec::one_of("protocol", names);
        let nothing = Piggyback::default();
        let storage = |survives, on_peers| Storage { survives, on_peers };
        let includes_send_log = CheckpointImplementation { includes_send_log: true };
        Self {
            output_commit: Table::from([
                ("independent", OutputCommit { coordinated: false }, vec![]),
                ("co-ordinated", OutputCommit { coordinated: true }, vec![]),
            ]),
            how_to_log: Table::from([
                ("synchronously", HowToLog { synchronous: true }, vec![before()]),
                ("asynchronously", HowToLog { synchronous: false }, vec![every(), limit()]),
            ]),
            storage: Table::from([
                ("volatile memory of self", storage(Survives::Process, false), vec![limit()]),
                ("volatile memory of processes", storage(Survives::Copies, true), vec![copies(), limit()]),
                ("volatile memory of sender", storage(Survives::OneCopy, true), vec![limit()]),
                ("local disk", storage(Survives::ReturningNode, false), vec![path(), limit(), returns()]),
                ("nfs disk", storage(Survives::Node, false), vec![path(), limit()]),
            ]),
            piggyback: Table::from([
                ("determinants", Piggyback { determinants: true, ..nothing }, vec![]),
                ("dependency matrix", Piggyback { refines_determinants: true, ..nothing }, vec![]),
                ("stability matrix", Piggyback { refines_determinants: true, ..nothing }, vec![]),
                ("stability vector", Piggyback { refines_determinants: true, ..nothing }, vec![]),
                // Manetho: determinants, each with the events that it came from.
                ("antecedence graph", Piggyback { determinants: true, ..nothing }, vec![]),
                ("vector clock", Piggyback { vector_clock: true, ..nothing }, vec![]),
                ("logical clock", nothing, vec![]),
                ("checkpoint counter", Piggyback { checkpoint_counter: true, ..nothing }, vec![]),
                ("checkpoint vectors", Piggyback { checkpoint_counter: true, ..nothing }, vec![]),
            ]),
            checkpoint: Table::from([
                ("independent", Checkpoint::Independent, vec![]),
                ("co-ordinated", Checkpoint::Coordinated, vec![protocol(CO_ORDINATED)]),
                (
                    "communication-induced",
                    Checkpoint::Induced { needs_counter: true },
                    vec![protocol(COMMUNICATION_INDUCED)],
                ),
            ]),
            how_to_checkpoint: Table::from([
                ("synchronously", HowToCheckpoint { synchronous: true }, vec![]),
                ("asynchronously", HowToCheckpoint { synchronous: false }, vec![]),
            ]),
            checkpoint_implementation: Table::from([
                ("full", includes_send_log, vec![]),
                ("incremental", includes_send_log, vec![]),
            ]),
            retrieval: Table::from([("centralized", (), vec![]), ("distributed", (), vec![])]),
            orphan_detection: Table::from([
                ("broadcast logical clock", (), vec![]),
                ("exchange vector clock", (), vec![]),
            ]),
            statements: StatementParams {
                non_deterministic: vec![before()],
                dependency_generating: vec![limit()],
                output_commit: vec![],
                checkpoint: vec![every()],
            },
        }
    }
}

/// The normal form of a phrase: lower case, one space between words, `coordinated` spelt `co-ordinated`.
#[must_use]
pub fn normal_form(phrase: &str) -> String {
    let words: Vec<String> = phrase.split_whitespace().map(normal_word).collect();
    words.join(" ")
}

pub(crate) fn normal_word(word: &str) -> String {
    let word = word.to_ascii_lowercase();
    if word == "coordinated" { "co-ordinated".to_owned() } else { word }
}

/// A phrase as it is shown: `nfs disk` is written `NFS disk` in the paper.
#[must_use]
pub fn display_form(phrase: &str) -> String {
    let words: Vec<&str> = phrase.split(' ').map(|word| if word == "nfs" { "NFS" } else { word }).collect();
    words.join(" ")
}
