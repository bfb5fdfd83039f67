//! A protocol as plain data: what the parser makes of a specification and what the binder reads.
//!
//! The shapes follow Figure 1 of the Egida paper (Rao, Alvisi, Vin 1999). Values are [`Phrase`]s: the language knows
//! their words, not their meaning; the binder resolves them against its registry.

use serde::{Deserialize, Serialize};

/// A range of bytes of the specification's text, `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Where a value of a completed [`Protocol`] comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// It stands in the text.
    Written(Span),
    /// It was filled in; the text says which documented default did it.
    Default(String),
}

/// A value with the place where it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// A value of the language: its words in normal form, and the parameters attached to it.
///
/// Normal form is lower case, one space between words, hyphens kept (`co-ordinated` and `coordinated` are the same
/// phrase, spelt `co-ordinated`; `data` is spelt `message`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phrase {
    /// The words, for example `volatile memory of self`.
    pub text: String,
    /// What stands in `with ( ... )` behind it.
    pub params: Params,
    /// Where it comes from.
    pub origin: Origin,
}

/// Parameters of a statement or a value, in the order written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params(pub Vec<Param>);

impl Origin {
    /// The place in the text, if it stands there.
    #[must_use]
    pub const fn span(&self) -> Option<Span> {
        match self {
            Self::Written(span) => Some(*span),
            Self::Default(_) => None,
        }
    }

    /// Whether a documented default put it there.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        matches!(self, Self::Default(_))
    }
}

impl Params {
    /// The parameter of that name, if it was given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.0.iter().find(|param| param.name == name)
    }
}

/// One `name = value` of a `with ( ... )`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Its name in normal form; may be several words, as `failure unit`.
    pub name: String,
    /// Its value.
    pub value: ParamValue,
    /// The whole `name = value`.
    pub span: Span,
}

/// A typed parameter value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParamValue {
    /// A bare number: `2`.
    Count(u64),
    /// A time: `30 s`, `10 ms`, in nanoseconds.
    DurationNs(u64),
    /// A size: `256 MiB`, `4 kB`, in bytes.
    SizeBytes(u64),
    /// A quoted string.
    Text(String),
    /// Bare words in normal form: `delivery`, `any`.
    Words(String),
}

/// What fails as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureUnit {
    /// A process dies; the memory of its node survives.
    Process,
    /// A node dies with every process on it and all of its memory.
    Node,
}

/// How many failures that overlap in time the protocol is asked to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tolerance {
    /// At most so many failure units at once.
    AtMost(u32),
    /// Any number.
    Any,
}

impl FailureUnit {
    /// Both, the harder one first.
    pub const ALL: [Self; 2] = [Self::Node, Self::Process];

    /// Its name in the language.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Node => "node",
        }
    }
}

impl std::fmt::Display for FailureUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The events of the language: the paper's four and the narrower one beside `receive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Every delivery of a message, and every outcome that [`Event::Choice`] covers.
    Receive,
    /// Only what the library chose: which message a wildcard matched, what a test or a probe answered.
    Choice,
    /// Input from outside: the clock, random numbers, the processor's name.
    Read,
    /// A message leaves the process.
    Send,
    /// Output to the outside.
    Write,
}

impl Event {
    /// Every event of the language.
    pub const ALL: [Self; 5] = [Self::Receive, Self::Choice, Self::Read, Self::Send, Self::Write];

    /// Its name in the language.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Choice => "choice",
            Self::Read => "read",
            Self::Send => "send",
            Self::Write => "write",
        }
    }

    /// Whether its outcome may differ when the program runs again.
    #[must_use]
    pub const fn is_non_deterministic(self) -> bool {
        matches!(self, Self::Receive | Self::Choice | Self::Read)
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A field of a determinant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// The sender's rank.
    Source,
    /// The send event's sequence number on its channel (`sesn`, `ssn`).
    Sesn,
    /// The receiver's rank.
    Dest,
    /// The delivery event's number at the receiver (`desn`, `rsn`).
    Desn,
    /// What was answered or read.
    Outcome,
    /// The number of the call or post it belongs to.
    Event,
}

impl Field {
    /// Every field of the language.
    pub const ALL: [Self; 6] = [Self::Source, Self::Sesn, Self::Dest, Self::Desn, Self::Outcome, Self::Event];

    /// Its name in the language; `ssn` and `rsn` are read as `sesn` and `desn`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sesn => "sesn",
            Self::Dest => "dest",
            Self::Desn => "desn",
            Self::Outcome => "outcome",
            Self::Event => "event",
        }
    }
}

/// What a log statement logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventInfo {
    /// The determinant.
    Determinant,
    /// The message: envelope and payload.
    Message,
}

impl EventInfo {
    /// Its name in the language; `data` is read as `message`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Determinant => "determinant",
            Self::Message => "message",
        }
    }
}

/// `Log <what> <how> on <where>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStmt {
    /// Determinant, message, or both, in the order written.
    pub what: Vec<Spanned<EventInfo>>,
    /// `synchronously` or `asynchronously`; `None` in the rollback statement, which has no such word.
    pub how: Option<Phrase>,
    /// The storage.
    pub storage: Phrase,
    /// The whole statement.
    pub span: Span,
}

impl LogStmt {
    /// Whether it logs that.
    #[must_use]
    pub fn logs(&self, info: EventInfo) -> bool {
        self.what.iter().any(|what| what.value == info)
    }
}

/// A non-deterministic event and its determinant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonDetStmt {
    /// Receive, choice or read.
    pub event: Spanned<Event>,
    /// The determinant's fields, in the order written.
    pub determinant: Vec<Spanned<Field>>,
    /// How its determinant and perhaps the message are logged: each of them by one of these at most.
    pub logs: Vec<LogStmt>,
    /// Parameters of the statement.
    pub params: Params,
    /// Where the statement comes from.
    pub origin: Origin,
}

impl NonDetStmt {
    /// The statement that logs that of the event, if one does.
    #[must_use]
    pub fn log_of(&self, info: EventInfo) -> Option<&LogStmt> {
        self.logs.iter().find(|log| log.logs(info))
    }

    /// Whether the program may see the event only when its log record is stable: `before = delivery`, behind the event
    /// or behind how to log. Otherwise the next send or output waits.
    #[must_use]
    pub fn before_delivery(&self) -> bool {
        let how =
            self.logs.iter().filter_map(|log| log.how.as_ref()).filter_map(|how| how.params.get("before"));
        how.chain(self.params.get("before"))
            .any(|param| matches!(&param.value, ParamValue::Words(words) if words == "delivery"))
    }
}

/// `<protocol> output commit on <events>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputCommitStmt {
    /// `independent` or `co-ordinated`.
    pub proto: Phrase,
    /// Write, and for a protocol that gates every message, send.
    pub events: Vec<Spanned<Event>>,
    /// Parameters of the statement.
    #[serde(default)]
    pub params: Params,
    /// Where the statement comes from.
    pub origin: Origin,
}

/// A dependency-generating event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepGenStmt {
    /// Send.
    pub event: Spanned<Event>,
    /// What is piggybacked, in the order written.
    pub piggyback: Vec<Phrase>,
    /// What is logged at the sender.
    pub log: Option<LogStmt>,
    /// Parameters of the statement.
    #[serde(default)]
    pub params: Params,
    /// Where the statement comes from.
    pub origin: Origin,
}

/// `<protocol> checkpoint <how> on <storage>  Implementation : <implementation>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointStmt {
    /// `independent`, `co-ordinated`, `communication-induced`.
    pub proto: Phrase,
    /// `synchronously` or `asynchronously`.
    pub how: Phrase,
    /// The stable storage.
    pub storage: Phrase,
    /// `full` or `incremental`.
    pub implementation: Phrase,
    /// Parameters of the statement, `every` among them.
    #[serde(default)]
    pub params: Params,
    /// The whole statement.
    pub span: Span,
}

/// What is done on rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RollbackStmt {
    /// `On rollback: Log ... on ...`.
    Log(LogStmt),
    /// `On rollback: Take independent checkpoint on ...`.
    Checkpoint {
        /// The stable storage.
        storage: Phrase,
        /// The whole statement.
        span: Span,
    },
}

/// The recovery statements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryStmt {
    /// `Protocol to retrieve determinants: ...`.
    pub retrieve: Option<Phrase>,
    /// `Protocol to detect orphans: ...`.
    pub orphans: Option<Phrase>,
    /// `On rollback: ...`.
    pub rollback: Option<RollbackStmt>,
}

/// A protocol: the meaning of one specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// Its name: the header's, or the file's stem.
    pub name: Spanned<String>,
    /// The `///` comments at the head of the file, one line each, without their marks.
    #[serde(default)]
    pub doc: Vec<String>,
    /// Parameters of the header, `failure unit` and `f` among them.
    pub params: Params,
    /// The declared failure unit.
    pub failure_unit: Option<Spanned<FailureUnit>>,
    /// The declared or default tolerance.
    pub tolerance: Option<Spanned<Tolerance>>,
    /// Non-deterministic events.
    pub non_deterministic: Vec<NonDetStmt>,
    /// Output commit.
    pub output_commit: Vec<OutputCommitStmt>,
    /// Dependency-generating events.
    pub dependency_generating: Vec<DepGenStmt>,
    /// The checkpoint statement.
    pub checkpoint: Option<CheckpointStmt>,
    /// The recovery statements.
    pub recovery: RecoveryStmt,
}

/// The class of a protocol (section 2 of the paper), decided by what is logged when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// No determinant is recoverable: checkpoints only, or no fault tolerance at all.
    None,
    /// States become recoverable eventually; orphans roll back.
    Optimistic,
    /// What a correct process depends on is recoverable from those that depend on it.
    Causal,
    /// Processes communicate only from recoverable states.
    Pessimistic,
}

impl Class {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Optimistic => "optimistic",
            Self::Causal => "causal",
            Self::Pessimistic => "pessimistic",
        }
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
