//! What the launcher and the daemons of other hosts tell each other, as MessagePack.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use egida_core::clock::Token;
use egida_core::ids::{Incarnation, Position, Rank};
use egida_core::recovery::Fate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::spilling::Spill;

/// The number under which an order is answered.
pub type Ticket = u64;

/// All that a daemon needs to know to begin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// How many ranks.
    pub ranks: u32,
    /// How many neighbours fail as one.
    pub ranks_per_domain: u32,
    /// Whether the memory of a rank is lost with it.
    pub failure_unit_is_node: bool,
    /// How much memory channels and journals may take on each host.
    pub limit_bytes: u64,
    /// How much of it is made ready before the job begins, on each host.
    pub ready_bytes: u64,
    /// Where they go on beyond that, on each host.
    pub spill: Option<Spill>,
    /// The text of the specification.
    pub specification: String,
    /// The hosts, this one among them.
    pub hosts: Vec<HostAt>,
    /// Which of them this one is.
    pub me: u32,
    /// What to run.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub directory: PathBuf,
}

/// A host of the job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostAt {
    /// Its name.
    pub name: String,
    /// Its ranks.
    pub ranks: Range<Rank>,
    /// Where its daemon listens for those of other hosts.
    pub address: SocketAddr,
}

/// What the launcher orders.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// A rank's process is to be started.
    Spawn { rank: Rank, incarnation: Incarnation, environment: Vec<(String, String)>, recovery: Vec<u8> },
    /// A process is to be signalled.
    Signal { rank: Rank, signal: i32 },
    /// So much more may be read of what a process writes.
    Grant { rank: Rank, incarnation: Incarnation, is_err: bool, bytes: u32 },
    /// More of rank 0's standard input; nothing for its end.
    Feed { incarnation: Incarnation, bytes: Vec<u8> },
    /// Memory changes with a death.
    Change { ticket: Ticket, view: u64, rank: Rank, fate: Fate },
    /// Nobody is to read what was taken away.
    Quiesce { ticket: Ticket },
    /// Versions have ended.
    Announce { ticket: Ticket, tokens: Vec<Token> },
    /// Everything that stands in journals by now is to be sent.
    Sync { ticket: Ticket },
    /// What there is to be said of the host's memory in the end is to be told.
    Sum { ticket: Ticket },
    /// The job is over.
    Leave,
}

/// What a daemon tells before it is set up.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listening {
    /// Its port.
    pub port: u16,
}

/// What a daemon tells.
#[derive(Debug, Serialize, Deserialize)]
pub enum Tale {
    /// A process wrote.
    Wrote { rank: Rank, is_err: bool, bytes: Vec<u8>, head: Position, observed: u64 },
    /// A rank's library told something.
    Noticed { rank: Rank, line: String },
    /// A process has ended: of a signal, or with a code.
    Ended { rank: Rank, is_signal: bool, code: i32 },
    /// A process cannot be watched any more.
    Lost { rank: Rank, why: String },
    /// A process cannot be started: the system's error number, where it has one.
    CannotSpawn { rank: Rank, number: Option<i32>, why: String },
    /// The user is to be told something of the host's memory.
    Memory { text: String },
    /// So much of its standard input was handed to that incarnation of rank 0.
    Fed { incarnation: Incarnation, bytes: u32 },
    /// An order was carried out, or why not.
    Done { ticket: Ticket, why_not: Option<String> },
    /// The daemon cannot go on.
    Trouble { why: String },
}

/// Writes a message.
pub fn to_bytes(message: &impl Serialize) -> Vec<u8> {
    // Nothing of these types can fail to be written to memory.
    rmp_serde::to_vec(message).unwrap_or_default()
}

/// Reads a message.
///
/// # Errors
/// A text that says why it is none.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| format!("another host sent what is no message: {error}"))
}
