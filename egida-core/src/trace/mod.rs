//! What happens in a job, event by event: the one form in which simulator and processes tell it.
//!
//! ```text
//!   Engine ──Driver::trace──┐
//!   driver, node, disks ────┼──> Line ──> Clocks::stamp ──> Stamped: one JSON object per line of a file
//!   recovery ───────────────┘      └────> Summary           └──────> shiviz::entry
//! ```
//!
//! A file of a trace begins with a [`Header`]; each line behind it is a [`Stamped`] event. `docs/trace.md` describes the
//! format for those who read it with other tools. Nothing here writes: whoever has a file does, with any serializer of
//! serde. The order of the lines is one in which the events may have happened: a message is sent before it arrives.

mod clocks;
pub mod shiviz;
mod summary;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Token;
use crate::driver::EntryKind;
use crate::event::Answer;
use crate::ids::{Domain, EventIndex, Incarnation, Position, Rank, Ssn};
use crate::recovery::Cause;

pub use clocks::{Clock, Clocks, Stamped};
pub use summary::Summary;

/// The name of the format, in the header.
pub const FORMAT: &str = "egida-trace";

/// The version of the format. A reader refuses a greater one; fields may be added without a new version.
pub const VERSION: u32 = 1;

/// The first line of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The specification that the job ran under.
    pub specification: String,
    /// How many ranks it had.
    pub ranks: u32,
    /// What a simulation's seed was; the same seed and options give the same trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How the job was run, by name of the option.
    pub options: BTreeMap<String, String>,
}

impl Header {
    /// The header of a job that was not simulated, without options.
    #[must_use]
    pub fn new(specification: &str, ranks: u32) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            specification: specification.to_owned(),
            ranks,
            seed: None,
            options: BTreeMap::new(),
        }
    }
}

/// An event, with its time and place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When: nanoseconds since the job began, in virtual time where it is simulated.
    pub time_ns: u64,
    /// At which rank, or its node; none for whoever coordinates recovery, and for the world.
    pub rank: Option<Rank>,
    /// In which life of the rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened. The name of the kind stands in the field `kind`.
///
/// `again` says that a re-execution repeats what an earlier incarnation did, as far as counts of sends and deliveries can
/// tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// An incarnation of a rank begins.
    Begin,
    /// It has come to where its predecessor died, as far as counts can tell.
    CaughtUp,
    /// The application has come to its end.
    Finish,
    /// The incarnation ends before that.
    Crash {
        /// Of what.
        cause: Ended,
    },

    /// A message is sent.
    Send {
        /// To whom.
        dest: Rank,
        /// Its number on the channel.
        ssn: Ssn,
        /// Bytes of payload.
        len: u64,
        /// Bytes of piggyback.
        piggyback: u32,
        /// The journal position that must be stable before a reader takes it in.
        #[serde(default, skip_serializing_if = "is_zero")]
        requires: Position,
        /// Whether it was sent before.
        #[serde(default, skip_serializing_if = "is_false")]
        again: bool,
        /// Whether it stood on the channel already, so that nothing was written.
        #[serde(default, skip_serializing_if = "is_false")]
        skipped: bool,
    },
    /// A message is kept back: what it depends on is not stable yet.
    Closed {
        /// From whom.
        source: Rank,
        /// Its number on the channel.
        ssn: Ssn,
        /// Where it is kept back.
        before: Gated,
    },
    /// A message that was kept back is so no more.
    Open {
        /// From whom.
        source: Rank,
        /// Its number on the channel.
        ssn: Ssn,
        /// Where it was kept back.
        before: Gated,
    },
    /// A message waits for the news of a failure on which it depends.
    Postpone {
        /// From whom.
        source: Rank,
        /// Its number on the channel.
        ssn: Ssn,
    },
    /// A message becomes known to the library of its receiver; its piggyback is taken in.
    Arrive {
        /// From whom.
        source: Rank,
        /// Its number on the channel.
        ssn: Ssn,
        /// Bytes of payload.
        len: u64,
        /// Bytes of piggyback.
        piggyback: u32,
        /// Whether the message was known before: it is read again, as its sender sent it again.
        #[serde(default, skip_serializing_if = "is_false")]
        again: bool,
    },
    /// A message is thrown away: it was never sent, as far as what is left of its sender's history goes.
    Drop {
        /// From whom.
        source: Rank,
        /// Its number on the channel.
        ssn: Ssn,
        /// Why.
        reason: String,
    },
    /// A message meets a receive: the paper's `receive` event.
    Deliver {
        /// From whom.
        source: Rank,
        /// Its number on the channel.
        ssn: Ssn,
        /// Bytes of payload.
        len: u64,
        /// The number of the determinant that is made of it, where one is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<EventIndex>,
        /// Whether an earlier incarnation delivered as many.
        #[serde(default, skip_serializing_if = "is_false")]
        again: bool,
    },
    /// A receiver needs no message below a number again: its sender may forget them.
    Release {
        /// Whose messages.
        source: Rank,
        /// The number.
        below: Ssn,
    },

    /// A test or a probe is answered, or a wait chooses.
    Observe {
        /// Which call, from 0, where the protocol counts them.
        call: u64,
        /// With these requests.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        requests: Vec<u32>,
        /// With this message: sender and number. Neither: with nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<(Rank, Ssn)>,
        /// Whether as before.
        #[serde(default, skip_serializing_if = "is_false")]
        again: bool,
    },
    /// Input from outside is read: the paper's `read` event.
    Read {
        /// Which call, from 0, where the protocol counts them.
        call: u64,
        /// How many bytes.
        len: u64,
        /// Whether the same as before.
        #[serde(default, skip_serializing_if = "is_false")]
        again: bool,
    },

    /// The rank's journal takes an entry.
    Log {
        /// What it is.
        entry: Logged,
        /// The position behind it.
        position: Position,
        /// How many bytes.
        len: u64,
        /// Where it is to come to.
        place: Place,
    },
    /// Everything below a position of the rank's journal that is to come to a place is there.
    Stable {
        /// The place.
        place: Place,
        /// The position.
        position: Position,
    },
    /// Another failure domain has taken the rank's determinants below a position into its memory.
    Copied {
        /// The domain.
        domain: Domain,
        /// The position.
        position: Position,
    },

    /// The application writes output.
    Write {
        /// How many bytes.
        len: u64,
    },
    /// The world sees output that the application wrote.
    Output {
        /// The bytes, as far as they are text.
        text: String,
        /// How many bytes.
        len: u64,
    },

    /// The rank takes a checkpoint.
    Checkpoint {
        /// Its number.
        number: u64,
        /// How many bytes.
        len: u64,
        /// Whether a message forced it.
        forced: bool,
    },
    /// A checkpoint of the rank is on stable storage, or will never be.
    Saved {
        /// Its number.
        number: u64,
        /// Whether it is there.
        durable: bool,
    },
    /// Another failure domain has a checkpoint of the rank in its memory.
    Mirrored {
        /// The domain.
        domain: Domain,
        /// The checkpoint's number.
        number: u64,
    },
    /// The checkpointing protocol has the rank's application stand still.
    Held,
    /// It lets the application go on.
    LetGo,
    /// Recovery will never again return the rank to a state before a checkpoint.
    Committed {
        /// Its number.
        number: u64,
    },
    /// The rank takes in that a version of a rank has ended.
    Token {
        /// Which version, and how many events are left of it.
        token: Token,
    },

    /// Domains are cut off from the others.
    Cut {
        /// Which.
        domains: Vec<Domain>,
        /// Until when.
        until_ns: u64,
    },
    /// The partition is healed.
    Heal,
    /// A domain is declared dead.
    Suspect {
        /// Which.
        domain: Domain,
    },
    /// An incarnation that was taken for dead learns of it, and ends.
    Learn,

    /// Whoever coordinates recovery hears that an incarnation is gone.
    Death {
        /// Of which rank.
        of: Rank,
        /// Which life.
        lost: Incarnation,
    },
    /// The rest of a failed domain is ended.
    Fence {
        /// The ranks.
        ranks: Vec<Rank>,
    },
    /// What dead ranks wrote is closed.
    Seal {
        /// The ranks.
        ranks: Vec<Rank>,
    },
    /// Incarnation numbers are being made durable.
    Persist {
        /// The round of recovery.
        round: u64,
    },
    /// Survivors are asked to see that channels changed.
    Quiesce {
        /// The round of recovery.
        round: u64,
    },
    /// Determinants are being collected.
    Collect {
        /// The round of recovery.
        round: u64,
        /// For these ranks.
        ranks: Vec<Rank>,
    },
    /// The node of the rank answers a question of a collection, with all that it holds.
    Answer {
        /// Which of the failed ranks asks.
        asker: Rank,
    },
    /// Ends of versions are told to everyone.
    Announce {
        /// Which.
        tokens: Vec<Token>,
    },
    /// A new incarnation is ordered to start.
    Start {
        /// Of which rank.
        of: Rank,
        /// Which life.
        next: Incarnation,
        /// With how many determinants.
        determinants: u64,
        /// With how many messages from its own log.
        messages: u64,
    },
    /// A rank is back.
    Recovered {
        /// Which.
        of: Rank,
        /// In which life.
        next: Incarnation,
    },
    /// The job ends.
    End {
        /// How.
        how: String,
    },
    /// Anything else that is worth a word.
    Note {
        /// The word.
        text: String,
    },
}

/// Why an incarnation ended before the application did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// A failure.
    Failed,
    /// The failure of its domain.
    Fenced,
    /// It depended on events that are lost.
    RolledBack,
    /// It was taken for dead; it may live on.
    Suspected,
}

impl From<&Cause> for Ended {
    fn from(cause: &Cause) -> Self {
        match cause {
            Cause::Signal(_) => Self::Failed,
            Cause::Fenced => Self::Fenced,
            Cause::RolledBack => Self::RolledBack,
            Cause::Suspected => Self::Suspected,
        }
    }
}

/// Where a message is kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gated {
    /// Before the receiver's library takes it in: what its sender depends on is not stable.
    Arrival,
    /// Before the application sees it: its own determinant, or payload, is not stable.
    Delivery,
}

/// What an entry of a journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Logged {
    /// A determinant of the rank's own.
    Own,
    /// A determinant held for another rank.
    Held,
    /// A message that the rank delivered.
    Message,
    /// A word about the log itself.
    Mark,
}

/// Where what is logged is to come to, beside the memory of the rank's own node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Nowhere.
    Memory,
    /// To the memory of other failure domains.
    Copies,
    /// To stable storage.
    Disk,
}

impl Event {
    /// The event of an answered observation.
    #[must_use]
    pub fn observe(call: u64, answer: &Answer, again: bool) -> Self {
        let (requests, message) = match answer {
            Answer::Nothing => (Vec::new(), None),
            Answer::Requests(requests) => (requests.clone(), None),
            Answer::Message { source, ssn } => (Vec::new(), Some((*source, *ssn))),
        };
        Self::Observe { call, requests, message, again }
    }

    /// All that the field `kind` may say.
    pub const KINDS: &[&str] = &[
        "begin",
        "caught_up",
        "finish",
        "crash",
        "send",
        "closed",
        "open",
        "postpone",
        "arrive",
        "drop",
        "deliver",
        "release",
        "observe",
        "read",
        "log",
        "stable",
        "copied",
        "write",
        "output",
        "checkpoint",
        "saved",
        "mirrored",
        "held",
        "let_go",
        "committed",
        "token",
        "cut",
        "heal",
        "suspect",
        "learn",
        "death",
        "fence",
        "seal",
        "persist",
        "quiesce",
        "collect",
        "answer",
        "announce",
        "start",
        "recovered",
        "end",
        "note",
    ];

    /// What the field `kind` says of it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::CaughtUp => "caught_up",
            Self::Finish => "finish",
            Self::Crash { .. } => "crash",
            Self::Send { .. } => "send",
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::Postpone { .. } => "postpone",
            Self::Arrive { .. } => "arrive",
            Self::Drop { .. } => "drop",
            Self::Deliver { .. } => "deliver",
            Self::Release { .. } => "release",
            Self::Observe { .. } => "observe",
            Self::Read { .. } => "read",
            Self::Log { .. } => "log",
            Self::Stable { .. } => "stable",
            Self::Copied { .. } => "copied",
            Self::Write { .. } => "write",
            Self::Output { .. } => "output",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Saved { .. } => "saved",
            Self::Mirrored { .. } => "mirrored",
            Self::Held => "held",
            Self::LetGo => "let_go",
            Self::Committed { .. } => "committed",
            Self::Token { .. } => "token",
            Self::Cut { .. } => "cut",
            Self::Heal => "heal",
            Self::Suspect { .. } => "suspect",
            Self::Learn => "learn",
            Self::Death { .. } => "death",
            Self::Fence { .. } => "fence",
            Self::Seal { .. } => "seal",
            Self::Persist { .. } => "persist",
            Self::Quiesce { .. } => "quiesce",
            Self::Collect { .. } => "collect",
            Self::Answer { .. } => "answer",
            Self::Announce { .. } => "announce",
            Self::Start { .. } => "start",
            Self::Recovered { .. } => "recovered",
            Self::End { .. } => "end",
            Self::Note { .. } => "note",
        }
    }

    /// Whether it tells of failures and recovery, or of the beginning and end of things: what a reader wants to know first.
    #[must_use]
    pub fn is_news(&self) -> bool {
        !matches!(
            self,
            Self::Send { .. }
                | Self::Closed { .. }
                | Self::Open { .. }
                | Self::Postpone { .. }
                | Self::Arrive { .. }
                | Self::Drop { .. }
                | Self::Deliver { .. }
                | Self::Release { .. }
                | Self::Observe { .. }
                | Self::Read { .. }
                | Self::Log { .. }
                | Self::Stable { .. }
                | Self::Copied { .. }
                | Self::Mirrored { .. }
                | Self::Held
                | Self::LetGo
                | Self::Write { .. }
                | Self::Output { .. }
                | Self::Answer { .. }
        )
    }
}

impl From<EntryKind> for Logged {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Own => Self::Own,
            EntryKind::Held => Self::Held,
            EntryKind::Message => Self::Message,
            EntryKind::RolledBack => Self::Mark,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the serializer hands fields over so")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the serializer hands fields over so")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
