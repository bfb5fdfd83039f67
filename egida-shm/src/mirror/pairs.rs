//! Pairs of a rank of this host and one of another: lent to a connection of the two ranks' own, and taken back.
//!
//! A mirror between daemons carries every pair but those that are lent. A rank that has a connection to the other claims the pair
//! ([`Carrier`](crate::carrier::Carrier)); the daemon that finds the claim stops reading and writing the pair's logs and grants
//! it. From then on the rank does both, in its own process, with a mirror of that pair alone. Nothing is handed over but that word:
//! where to go on stands in memory, at the end of each log that comes in; and each end says so to the other, as after a connection
//! was lost.
//!
//! A pair comes back
//!
//! - when its rank gives it up, because its connection broke, or has died;
//! - when the other host has taken it back, or says which view it has: then it carries everything itself;
//! - before memory changes with a death, and with every new connection of the daemons;
//! - when nobody has joined at the other end for a while, or when its rank has had something to send for a while and has not
//!   tried to: it does something else than to communicate, and others wait.
//!
//! Taking it from a living rank is what taking memory away is: the word is cleared, and when no rank is in a stretch under the
//! old epoch any more, nobody but the daemon touches the logs.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use egida_core::fault::Fault;
use egida_core::ids::Rank;

use super::{Mirror, Side};
use crate::job::Blocked;
use crate::layout::{LogName, Memory, ReaderLine};
use crate::stretch::quiesce;

/// For how long a pair is lent before the other end has joined, and to a rank that has something to send and does not try to.
const PATIENCE: Duration = Duration::from_millis(60);

/// In the place of a connection's number: what is wanted is said because the other end has said so, or has said something else.
pub const ANSWER: u64 = 0;

/// The pairs of a mirror.
#[derive(Debug)]
pub struct Pairs {
    /// All that can be lent: a rank of this host, and one of the other.
    all: Vec<(Rank, Rank)>,
    lent: HashMap<(Rank, Rank), Lent>,
    /// The last connection of each pair that was taken back at either end: it carries nothing any more, whoever still has it.
    over: HashMap<(Rank, Rank), u64>,
    /// What the other end is to be told is wanted, with the connection that carried it before.
    wants: VecDeque<(u64, LogName)>,
}

#[derive(Debug)]
struct Lent {
    connection: u64,
    since: Instant,
    /// What the rank said of what it has not sent, and since when it says so.
    behind: (u64, Instant),
}

impl Pairs {
    /// Nothing is lent.
    pub fn new(side: &Side) -> Self {
        let all = match side {
            Side::Hosts { here, there } => super::pairs(here, there),
            Side::Pair { .. } | Side::ToLauncher { .. } | Side::ToHost { .. } => Vec::new(),
        };
        Self { all, lent: HashMap::new(), over: HashMap::new(), wants: VecDeque::new() }
    }

    /// Whether a pair is.
    pub fn is_lent(&self, here: Rank, there: Rank) -> bool {
        !self.lent.is_empty() && self.lent.contains_key(&(here, there))
    }

    /// Whether the pair is to which a log that comes in belongs.
    pub fn is_log_lent(&self, log: LogName) -> bool {
        matches!(log, LogName::Channel(there, here) | LogName::Lane(there, here) if self.is_lent(here, there))
    }

    fn end(&mut self, here: Rank, there: Rank, connection: u64) {
        let over = self.over.entry((here, there)).or_default();
        *over = connection.max(*over);
    }

    /// Has the other end told where a log is wanted from.
    pub fn want(&mut self, connection: u64, log: LogName) {
        self.wants.push_back((connection, log));
    }

    /// The next to be told.
    pub fn next_want(&mut self) -> Option<(u64, LogName)> {
        self.wants.pop_front()
    }

    /// Nothing that the other end was told is known to have arrived: it is to hear again of all connections that are over.
    pub fn tell_anew(&mut self) {
        self.wants.clear();
        for (&(here, there), &connection) in &self.over {
            let logs = [LogName::Channel(there, here), LogName::Lane(there, here)];
            self.wants.extend(logs.map(|log| (connection, log)));
        }
    }

    /// Whether something is claimed, given up or to be told.
    pub fn have_news(&self, memory: &Memory) -> bool {
        !self.wants.is_empty()
            || self.all.iter().any(|&(here, there)| {
                let carrier = &line(memory, here, there).carrier;
                match self.lent.get(&(here, there)) {
                    None => carrier.is_claimed(),
                    Some(lent) => !carrier.is_held(lent.connection),
                }
            })
    }
}

impl Mirror {
    /// Grants what is claimed, and takes back what is given up or kept from going on.
    pub(super) fn settle_pairs(&mut self) -> Result<(), Fault> {
        if self.pairs.all.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        for at in 0..self.pairs.all.len() {
            let (here, there) = self.pairs.all[at];
            let line = line(&self.memory, here, there);
            let Some(lent) = self.pairs.lent.get_mut(&(here, there)) else {
                let over = self.pairs.over.get(&(here, there)).copied().unwrap_or(0);
                if let Some(connection) = line.carrier.grant(over) {
                    self.lend(here, there, Lent { connection, since: now, behind: (0, now) });
                }
                continue;
            };
            let behind = line.behind.load(Ordering::Acquire);
            if behind != lent.behind.0 {
                lent.behind = (behind, now);
            }
            let is_stuck = behind != 0 && now - lent.behind.1 > PATIENCE;
            let is_alone = !line.carrier.is_joined() && now - lent.since > PATIENCE;
            if !line.carrier.is_held(lent.connection) {
                self.take_back(here, there)?;
            } else if is_stuck || is_alone {
                self.revoke(&[(here, there)]);
                self.take_back(here, there)?;
            }
        }
        Ok(())
    }

    fn lend(&mut self, here: Rank, there: Rank, lent: Lent) {
        self.pairs.lent.insert((here, there), lent);
        for outflow in self.outflows.iter_mut().filter(|outflow| is_of(outflow.name, here, there)) {
            outflow.forget();
            outflow.is_lent = true;
        }
    }

    /// The other end has taken back what a connection carried, and is to be told what is wanted here.
    pub(super) fn pair_is_over(&mut self, connection: u64, log: LogName) -> Result<(), Fault> {
        let (here, there, back) = match log {
            LogName::Channel(here, there) => (here, there, LogName::Channel(there, here)),
            LogName::Lane(here, there) => (here, there, LogName::Lane(there, here)),
            LogName::Journal(_) => return Ok(()),
        };
        self.pairs.end(here, there, connection);
        match self.pairs.lent.get_mut(&(here, there)) {
            _ if connection == ANSWER => Ok(()),
            Some(lent) if lent.connection == connection => {
                lent.connection = ANSWER;
                self.revoke(&[(here, there)]);
                self.take_back(here, there)
            }
            // The next connection carries already; or if it does not at the other end, that takes it back as well.
            Some(_) => Ok(()),
            None => {
                self.pairs.want(ANSWER, back);
                Ok(())
            }
        }
    }

    /// Everything is carried by this mirror again.
    pub(super) fn take_all_back(&mut self) -> Result<(), Fault> {
        // What is claimed only is granted later, or not at all.
        let lent: Vec<_> = self.pairs.lent.keys().copied().collect();
        if !lent.is_empty() {
            self.revoke(&lent);
        }
        lent.into_iter().try_for_each(|(here, there)| self.take_back(here, there))
    }

    /// Takes pairs from ranks that may live. Afterwards nobody else touches their logs, and their writers take nothing back of
    /// what is still to be read.
    fn revoke(&self, lent: &[(Rank, Rank)]) {
        let lines = || lent.iter().map(|&(here, there)| line(&self.memory, here, there));
        lines().for_each(|line| line.carrier.revoke());
        quiesce(&self.memory, |_| Blocked::Wait);
        lines().for_each(|line| line.left.store(0, Ordering::Release));
        // A writer that chose a segment to reuse before is through with that afterwards.
        quiesce(&self.memory, |_| Blocked::Wait);
    }

    fn take_back(&mut self, here: Rank, there: Rank) -> Result<(), Fault> {
        let Some(lent) = self.pairs.lent.remove(&(here, there)) else { return Ok(()) };
        self.pairs.end(here, there, lent.connection);
        for outflow in self.outflows.iter_mut().filter(|outflow| is_of(outflow.name, here, there)) {
            outflow.is_lent = false;
        }
        for name in [LogName::Channel(there, here), LogName::Lane(there, here)] {
            let at = self.index.get(&name.tag()).copied();
            if let Some(inflow) = at.and_then(|at| self.inflows.get_mut(at)) {
                inflow.resume(&self.memory)?;
                self.pairs.want(lent.connection, name);
            }
        }
        Ok(())
    }
}

/// Where the two ranks and the daemon tell each other of the pair: the reader's line of what the rank of this host sends.
fn line(memory: &Memory, here: Rank, there: Rank) -> &ReaderLine {
    &memory.channel(here, there).reader
}

/// Whether a log goes out between these two.
fn is_of(log: LogName, here: Rank, there: Rank) -> bool {
    matches!(log, LogName::Channel(from, to) | LogName::Lane(from, to) if (from, to) == (here, there))
}
