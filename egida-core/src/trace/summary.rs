//! What a run cost, counted from its trace.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Ended, Event, Gated, Line, Logged, Place};
use crate::ids::{Incarnation, Rank, Ssn};

/// Costs of a run, while nothing fails and of what failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How long the run took.
    pub time_ns: u64,
    /// Messages that the application sent, each once.
    pub messages: u64,
    /// Their payload.
    pub message_bytes: u64,
    /// Messages that were written again by a re-execution, because their first copy was lost.
    pub messages_again: u64,
    /// Piggybacks of all messages that were written.
    pub piggyback_bytes: u64,
    /// Determinants that ranks made of their own events.
    pub determinants: u64,
    /// Determinants that ranks took into their journals for others.
    pub determinants_held: u64,
    /// What ranks logged for stable storage.
    pub stable_log_bytes: u64,
    /// What ranks logged in memory alone, their own or that of others.
    pub volatile_log_bytes: u64,
    /// The most bytes of delivered messages that senders kept at one time, because their receivers might ask for them again.
    pub sent_log_peak_bytes: u64,
    /// Checkpoints that were due by time, or by agreement.
    pub basic_checkpoints: u64,
    /// Checkpoints that a message forced.
    pub forced_checkpoints: u64,
    /// What checkpoints wrote.
    pub checkpoint_bytes: u64,
    /// Messages that were kept back until a log was stable, or for the news of a failure.
    pub blocked_messages: u64,
    /// For how long, in sum.
    pub blocked_ns: u64,
    /// Bytes of output that the world saw.
    pub output_bytes: u64,
    /// Lines of output that the world saw.
    pub output_lines: u64,
    /// The longest time from the writing of output until the world saw it.
    pub output_wait_longest_ns: u64,
    /// Incarnations that failed: by themselves, or taken for dead.
    pub deaths: u64,
    /// Incarnations that ended because their failure domain did.
    pub fenced: u64,
    /// Surviving incarnations that rolled back.
    pub rollbacks: u64,
    /// Work lost: sends, deliveries and observations that were executed again.
    pub events_again: u64,
    /// Messages that were thrown away because they were never sent, as far as what is left of their sender's history goes.
    pub dropped_messages: u64,
    /// Recoveries of ranks that came to where their predecessors died.
    pub recoveries: u64,
    /// The longest time from a death until its rank was there again.
    pub recovery_longest_ns: u64,
    /// These times in sum.
    pub recovery_ns: u64,
    #[serde(skip)]
    open: Open,
}

/// What is counted and not over yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Open {
    /// Messages kept back: by receiver, sender, number and whether it is the delivery that waits; in which life of the
    /// receiver, and since when.
    blocked: HashMap<(Rank, Rank, Ssn, bool), (Incarnation, u64)>,
    /// When each rank that is not back died.
    down: BTreeMap<Rank, u64>,
    /// Delivered messages that are kept, by channel, with their lengths.
    kept: HashMap<(Rank, Rank), BTreeMap<Ssn, u64>>,
    /// Numbers below which each channel was released.
    released: HashMap<(Rank, Rank), Ssn>,
    kept_bytes: u64,
    /// What of the output of each rank was written and not seen.
    output: BTreeMap<Rank, Unseen>,
}

/// The output of a rank, counted in bytes from the program's beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Unseen {
    /// What this life has written.
    written: u64,
    /// What any life has written.
    furthest: u64,
    /// What was seen.
    seen: u64,
    /// Ends of pieces that were not seen whole, and when each was written first.
    pieces: VecDeque<(u64, u64)>,
}

impl Summary {
    /// Counts a line, in the order of the trace.
    pub fn add(&mut self, line: &Line) {
        if line.time_ns > self.time_ns {
            // Messages that are let go in the very step that delivers them are not kept.
            self.sent_log_peak_bytes = self.sent_log_peak_bytes.max(self.open.kept_bytes);
            self.time_ns = line.time_ns;
        }
        if let Some(rank) = line.rank {
            self.at_rank(rank, line);
        }
    }

    fn at_rank(&mut self, rank: Rank, line: &Line) {
        let now = line.time_ns;
        match line.event {
            Event::Begin => self.open.output.entry(rank).or_default().written = 0,
            Event::CaughtUp | Event::Finish => self.recovered(rank, now),
            Event::Crash { cause } => self.died(rank, cause, now),
            Event::Send { len, piggyback, again, skipped, .. } => {
                self.messages += u64::from(!again);
                self.message_bytes += if again { 0 } else { len };
                self.messages_again += u64::from(again && !skipped);
                self.piggyback_bytes += if skipped { 0 } else { u64::from(piggyback) };
                self.events_again += u64::from(again);
            }
            Event::Closed { source, ssn, before } => {
                self.blocked((rank, source, ssn, before == Gated::Delivery), line);
            }
            Event::Postpone { source, ssn } => self.blocked((rank, source, ssn, false), line),
            Event::Open { source, ssn, before: Gated::Delivery } => {
                self.unblocked((rank, source, ssn, true), line);
            }
            Event::Arrive { source, ssn, .. } => self.unblocked((rank, source, ssn, false), line),
            Event::Drop { source, ssn, .. } => {
                self.unblocked((rank, source, ssn, false), line);
                self.dropped_messages += 1;
            }
            Event::Deliver { source, ssn, len, again, .. } => {
                self.events_again += u64::from(again);
                self.keep(source, rank, ssn, len);
            }
            Event::Observe { again, .. } | Event::Read { again, .. } => self.events_again += u64::from(again),
            Event::Release { source, below } => self.let_go(source, rank, below),
            Event::Log { entry, len, place, .. } => {
                self.determinants += u64::from(entry == Logged::Own);
                self.determinants_held += u64::from(entry == Logged::Held);
                let bytes = match place {
                    Place::Disk => &mut self.stable_log_bytes,
                    Place::Copies | Place::Memory => &mut self.volatile_log_bytes,
                };
                *bytes += len;
            }
            Event::Write { len } => self.open.output.entry(rank).or_default().write(len, now),
            Event::Output { ref text, len } => {
                self.output_bytes += len;
                self.output_lines += text.matches('\n').count() as u64;
                let waited = self.open.output.entry(rank).or_default().see(len, now);
                self.output_wait_longest_ns = self.output_wait_longest_ns.max(waited);
            }
            Event::Checkpoint { len, forced, .. } => {
                *if forced { &mut self.forced_checkpoints } else { &mut self.basic_checkpoints } += 1;
                self.checkpoint_bytes += len;
            }
            _ => {}
        }
    }

    fn died(&mut self, rank: Rank, cause: Ended, now: u64) {
        match cause {
            Ended::Failed | Ended::Suspected => self.deaths += 1,
            Ended::Fenced => self.fenced += 1,
            Ended::RolledBack => self.rollbacks += 1,
        }
        self.open.down.entry(rank).or_insert(now);
    }

    fn recovered(&mut self, rank: Rank, now: u64) {
        if let Some(since) = self.open.down.remove(&rank) {
            self.recoveries += 1;
            self.recovery_ns += now - since;
            self.recovery_longest_ns = self.recovery_longest_ns.max(now - since);
        }
    }

    fn blocked(&mut self, message: (Rank, Rank, Ssn, bool), line: &Line) {
        let life = line.incarnation.unwrap_or(1);
        let since = self.open.blocked.entry(message).or_insert((0, line.time_ns));
        // What a dead incarnation waited for is no wait of the next one.
        if since.0 != life {
            *since = (life, line.time_ns);
            self.blocked_messages += 1;
        }
    }

    fn unblocked(&mut self, message: (Rank, Rank, Ssn, bool), line: &Line) {
        if let Some((life, since)) = self.open.blocked.remove(&message)
            && life == line.incarnation.unwrap_or(1)
        {
            self.blocked_ns += line.time_ns - since;
        }
    }

    fn keep(&mut self, source: Rank, dest: Rank, ssn: Ssn, len: u64) {
        let released = self.open.released.get(&(source, dest)).copied().unwrap_or(0);
        if source == dest || ssn < released {
            return;
        }
        if self.open.kept.entry((source, dest)).or_default().insert(ssn, len).is_none() {
            self.open.kept_bytes += len;
        }
    }

    fn let_go(&mut self, source: Rank, dest: Rank, below: Ssn) {
        let released = self.open.released.entry((source, dest)).or_default();
        *released = below.max(*released);
        let Some(kept) = self.open.kept.get_mut(&(source, dest)) else { return };
        while let Some(first) = kept.first_entry()
            && *first.key() < below
        {
            self.open.kept_bytes -= first.remove();
        }
    }

    /// Bytes of piggyback a message that was written.
    #[must_use]
    pub fn piggyback_per_message(&self) -> f64 {
        self.piggyback_bytes as f64 / (self.messages + self.messages_again).max(1) as f64
    }
}

impl Unseen {
    fn write(&mut self, len: u64, now: u64) {
        self.written += len;
        // A re-execution writes again what was written, and perhaps seen, already.
        if self.written > self.furthest {
            self.furthest = self.written;
            self.pieces.push_back((self.written, now));
        }
    }

    /// Returns the longest wait of what is seen now.
    fn see(&mut self, len: u64, now: u64) -> u64 {
        self.seen += len;
        let mut longest = 0;
        while let Some((_, since)) = self.pieces.pop_front_if(|&mut (end, _)| end <= self.seen) {
            longest = longest.max(now.saturating_sub(since));
        }
        longest
    }
}

/// A table for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "{name:<24} {value}");
        line("time", format!("{} ns", self.time_ns))?;
        line("messages", format!("{} with {} bytes", self.messages, self.message_bytes))?;
        line(
            "piggybacks",
            format!("{} bytes, {:.1} a message", self.piggyback_bytes, self.piggyback_per_message()),
        )?;
        line(
            "determinants",
            format!("{} made, {} held for others", self.determinants, self.determinants_held),
        )?;
        line(
            "logs",
            format!(
                "{} bytes for stable storage, {} in memory, {} in the memory of senders at most",
                self.stable_log_bytes, self.volatile_log_bytes, self.sent_log_peak_bytes
            ),
        )?;
        line(
            "checkpoints",
            format!(
                "{} basic, {} forced, {} bytes",
                self.basic_checkpoints, self.forced_checkpoints, self.checkpoint_bytes
            ),
        )?;
        line("blocked", format!("{} messages, {} ns", self.blocked_messages, self.blocked_ns))?;
        line(
            "output",
            format!(
                "{} lines with {} bytes, seen after {} ns at most",
                self.output_lines, self.output_bytes, self.output_wait_longest_ns
            ),
        )?;
        line(
            "ended",
            format!(
                "{} failed, {} with their domain, {} rolled back",
                self.deaths, self.fenced, self.rollbacks
            ),
        )?;
        line(
            "work lost",
            format!(
                "{} events executed again, {} messages written again, {} dropped",
                self.events_again, self.messages_again, self.dropped_messages
            ),
        )?;
        line(
            "recovery",
            format!(
                "{} ranks, {} ns at most, {} in sum",
                self.recoveries, self.recovery_longest_ns, self.recovery_ns
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(lines: impl IntoIterator<Item = (u64, Rank, Event)>) -> Summary {
        let mut summary = Summary::default();
        for (time_ns, rank, event) in lines {
            summary.add(&Line { time_ns, rank: Some(rank), incarnation: Some(1), event });
        }
        summary
    }

    fn send(again: bool, skipped: bool) -> Event {
        Event::Send { dest: 1, ssn: 0, len: 100, piggyback: 7, requires: 0, again, skipped }
    }

    fn deliver(ssn: Ssn) -> Event {
        Event::Deliver { source: 0, ssn, len: 100, event: None, again: false }
    }

    #[test]
    fn messages_are_counted_once_and_piggybacks_as_written() {
        let summary =
            summary([(1, 0, send(false, false)), (5, 0, send(true, true)), (9, 0, send(true, false))]);
        assert_eq!((summary.messages, summary.message_bytes), (1, 100));
        assert_eq!((summary.messages_again, summary.piggyback_bytes, summary.events_again), (1, 14, 2));
        assert!((summary.piggyback_per_message() - 7.0).abs() < 1e-9);
        assert_eq!(summary.time_ns, 9);
    }

    #[test]
    fn what_senders_keep_is_what_receivers_have_not_let_go() {
        let release = |below| Event::Release { source: 0, below };
        let consumed = [(1, 1, deliver(0)), (1, 1, release(1)), (2, 1, deliver(1)), (2, 1, release(2))];
        assert_eq!(summary(consumed.into_iter().chain([(3, 1, Event::Finish)])).sent_log_peak_bytes, 0);
        let kept = [(1, 1, deliver(0)), (2, 1, deliver(1)), (3, 1, release(2)), (4, 1, deliver(2))];
        assert_eq!(summary(kept).sent_log_peak_bytes, 200);
    }

    #[test]
    fn a_recovery_lasts_from_the_first_death_until_the_rank_is_there_again() {
        let died = || Event::Crash { cause: Ended::Failed };
        let summary =
            summary([(10, 2, died()), (20, 2, died()), (50, 2, Event::CaughtUp), (60, 2, Event::Finish)]);
        assert_eq!((summary.deaths, summary.recoveries, summary.recovery_longest_ns), (2, 1, 40));
    }

    #[test]
    fn a_message_is_blocked_from_when_it_is_first_met_until_it_goes_on() {
        let (source, ssn, before) = (0, 3, Gated::Arrival);
        let summary = summary([
            (10, 1, Event::Closed { source, ssn, before }),
            (20, 1, Event::Postpone { source, ssn }),
            (25, 1, Event::Arrive { source, ssn, len: 8, piggyback: 0, again: false }),
            (30, 1, Event::Postpone { source, ssn: 4 }),
            (42, 1, Event::Drop { source, ssn: 4, reason: String::new() }),
        ]);
        assert_eq!((summary.blocked_messages, summary.blocked_ns, summary.dropped_messages), (2, 27, 1));
    }

    #[test]
    fn output_waits_from_its_first_writing() {
        let output = |text: &str| Event::Output { text: text.to_owned(), len: text.len() as u64 };
        let summary = summary([
            (10, 0, Event::Write { len: 4 }),
            (20, 0, output("one\n")),
            (30, 0, Event::Write { len: 4 }),
            (40, 0, Event::Begin),
            (50, 0, Event::Write { len: 4 }),
            (60, 0, Event::Write { len: 4 }),
            (70, 0, output("two\n")),
        ]);
        assert_eq!((summary.output_lines, summary.output_bytes, summary.output_wait_longest_ns), (2, 8, 40));
    }

    #[test]
    fn logs_are_told_apart_by_their_place() {
        let log = |entry, place| Event::Log { entry, position: 1, len: 10, place };
        let summary = summary([
            (1, 0, log(Logged::Own, Place::Disk)),
            (1, 0, log(Logged::Held, Place::Memory)),
            (1, 0, log(Logged::Message, Place::Disk)),
        ]);
        assert_eq!((summary.determinants, summary.determinants_held), (1, 1));
        assert_eq!((summary.stable_log_bytes, summary.volatile_log_bytes), (20, 10));
    }
}
