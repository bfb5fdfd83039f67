//! Checkpoints and messages as an observer sees them, and what can be said of a line, or of a checkpoint, from that alone.
//!
//! Nothing here looks at what the code under test writes into the heads of checkpoints. Counted are records as they are appended
//! to channels and as their readers pass them.

use std::collections::{BTreeMap, BTreeSet};

use egida_core::ids::{CheckpointNumber, Rank, Ssn};

use crate::fingerprint::Fingerprint;

/// So many lines are looked at one by one.
const MAX_LINES: usize = 4_000;

/// So many messages are followed.
const MAX_MESSAGES: usize = 2_000;

/// What every rank did and did not have to undo.
#[derive(Debug, Clone)]
pub struct History {
    ranks: Vec<Past>,
}

/// What one rank did.
#[derive(Debug, Clone)]
struct Past {
    /// Its newest checkpoint, durable or not.
    newest: CheckpointNumber,
    passed: Vec<Passed>,
    counts: Counts,
    taken: BTreeMap<CheckpointNumber, Taken>,
    /// Those that recovery may return to, besides the beginning.
    durable: BTreeSet<CheckpointNumber>,
}

/// How many messages went to each rank and came from it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts {
    sent: Vec<Ssn>,
    received: Vec<Ssn>,
}

/// A message that was sent or received.
#[derive(Debug, Clone, Copy)]
struct Passed {
    is_sent: bool,
    other: Rank,
    ssn: Ssn,
}

/// Where a checkpoint stands among what its rank did.
#[derive(Debug, Clone)]
struct Taken {
    behind: usize,
    counts: Counts,
}

/// A choice for each rank: a checkpoint, or where it is now.
pub type Line = Vec<Option<CheckpointNumber>>;

/// What is wrong with the checkpoints that a run took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zigzag {
    /// Those to which a zigzag path leads back (Netzer and Xu 1995): no consistent line contains one of them.
    pub useless: Vec<(Rank, CheckpointNumber)>,
    /// Pairs of which a zigzag path leads from the first to the second and no causal path does: dependencies that no clock
    /// tells of.
    pub hidden: Vec<[(Rank, CheckpointNumber); 2]>,
}

impl History {
    /// Of a job in which nothing has happened.
    #[must_use]
    pub fn new(ranks: u32) -> Self {
        let none = vec![0; ranks as usize];
        let past = Past {
            newest: 0,
            passed: Vec::new(),
            counts: Counts { sent: none.clone(), received: none },
            taken: BTreeMap::new(),
            durable: BTreeSet::new(),
        };
        Self { ranks: vec![past; ranks as usize] }
    }

    /// Takes in all that lines are judged by.
    pub fn fold(&self, into: &mut Fingerprint) {
        for past in &self.ranks {
            into.word(past.newest);
            into.shown(&past.counts);
            into.shown(&past.durable);
            past.taken.iter().for_each(|(number, taken)| into.shown(&(number, &taken.counts)));
        }
    }

    /// A rank sends a message; one that it had sent before is written again.
    pub fn sent(&mut self, rank: Rank, dest: Rank, ssn: Ssn) {
        let past = &mut self.ranks[rank as usize];
        if ssn == past.counts.sent[dest as usize] {
            past.counts.sent[dest as usize] += 1;
            past.passed.push(Passed { is_sent: true, other: dest, ssn });
        }
    }

    /// A rank receives a message; one that it had received before is read again.
    pub fn received(&mut self, rank: Rank, source: Rank, ssn: Ssn) {
        let past = &mut self.ranks[rank as usize];
        if ssn == past.counts.received[source as usize] {
            past.counts.received[source as usize] += 1;
            past.passed.push(Passed { is_sent: false, other: source, ssn });
        }
    }

    /// A rank takes a checkpoint.
    pub fn taken(&mut self, rank: Rank, number: CheckpointNumber) {
        let past = &mut self.ranks[rank as usize];
        past.newest = number;
        let taken = Taken { behind: past.passed.len(), counts: past.counts.clone() };
        past.taken.insert(number, taken);
    }

    /// A checkpoint is durable, and not tentative any more: recovery may return to it.
    pub fn durable(&mut self, rank: Rank, number: CheckpointNumber) {
        let past = &mut self.ranks[rank as usize];
        if past.taken.contains_key(&number) {
            past.durable.insert(number);
        }
    }

    /// A rank returns to a checkpoint: what it did since is undone.
    pub fn returns(&mut self, rank: Rank, number: CheckpointNumber) {
        let none = vec![0; self.ranks.len()];
        let past = &mut self.ranks[rank as usize];
        let beginning = Taken { behind: 0, counts: Counts { sent: none.clone(), received: none } };
        let taken = past.taken.get(&number).unwrap_or(&beginning).clone();
        past.newest = number;
        past.passed.truncate(taken.behind);
        past.counts = taken.counts;
        let _ = past.taken.split_off(&(number + 1));
        let _ = past.durable.split_off(&(number + 1));
    }

    /// Whether nobody, on a line, has received what was not sent on it.
    #[must_use]
    pub fn is_consistent(&self, line: &Line) -> bool {
        let counts: Vec<Option<Counts>> =
            line.iter().zip(&self.ranks).map(|(at, past)| past.counts_at(*at)).collect();
        (0..counts.len()).all(|receiver| {
            (0..counts.len()).all(|sender| match (&counts[sender], &counts[receiver]) {
                (Some(from), Some(to)) => to.received[sender] <= from.sent[receiver],
                _ => false,
            })
        })
    }

    /// The newest consistent line on which the ranks that are `lost` are at checkpoints, none from before `floors`: found by
    /// looking at all lines. None where there is none, or where there are too many to look at.
    #[must_use]
    pub fn newest_line(&self, lost: &BTreeSet<Rank>, floors: &[CheckpointNumber]) -> Option<Line> {
        let places = self.places(lost, floors);
        let lines = Self::count(&places)?;
        let of = |at: &[usize]| places.iter().zip(at).map(|(own, &at)| own[at]).collect::<Line>();
        let consistent = all(&places, lines).filter(|at| self.is_consistent(&of(at)));
        // Of two consistent lines the later place of each rank makes another.
        let newest =
            consistent.reduce(|one, other| one.into_iter().zip(other).map(|(a, b)| a.max(b)).collect());
        newest.map(|at| of(&at))
    }

    /// Whether there is a consistent line of checkpoints alone, none from before `floors`, or too many to look at.
    #[must_use]
    pub fn has_line(&self, floors: &[CheckpointNumber]) -> bool {
        let places = self.places(&(0..self.ranks.len() as Rank).collect(), floors);
        let of = |at: &[usize]| places.iter().zip(at).map(|(own, &at)| own[at]).collect::<Line>();
        Self::count(&places).is_none_or(|lines| all(&places, lines).any(|at| self.is_consistent(&of(&at))))
    }

    fn count(places: &[Line]) -> Option<usize> {
        let lines = places.iter().try_fold(1usize, |lines, own| lines.checked_mul(own.len()));
        lines.filter(|&lines| lines <= MAX_LINES)
    }

    /// Where each rank may be.
    fn places(&self, lost: &BTreeSet<Rank>, floors: &[CheckpointNumber]) -> Vec<Line> {
        let own = |(rank, (past, &floor)): (Rank, (&Past, &CheckpointNumber))| {
            let beginning = (floor == 0).then_some(0);
            let checkpoints = beginning.into_iter().chain(past.durable.range(floor.max(1)..).copied());
            let now = (!lost.contains(&rank)).then_some(None);
            checkpoints.map(Some).chain(now).collect()
        };
        (0..).zip(self.ranks.iter().zip(floors)).map(own).collect()
    }

    /// Follows all paths of messages between the durable checkpoints. None where there are too many.
    #[must_use]
    pub fn zigzag(&self) -> Option<Zigzag> {
        if self.ranks.iter().map(|past| past.passed.len()).sum::<usize>() > MAX_MESSAGES {
            return None;
        }
        let messages = self.messages();
        let mut found = Zigzag::default();
        for (rank, past) in self.ranks.iter().enumerate() {
            for (interval, (&number, taken)) in (1..).zip(past.durable_taken()) {
                // By a zigzag path one is anywhere in the interval in which one arrives.
                let zigzag = reach(&messages, self.ranks.len(), rank, interval, |end| end.interval);
                let causal = reach(&messages, self.ranks.len(), rank, taken.behind, |end| end.place);
                if zigzag[rank].is_some_and(|first| first < interval) {
                    found.useless.push((rank as Rank, number));
                }
                for (other, past) in self.ranks.iter().enumerate().filter(|&(other, _)| other != rank) {
                    let Some(first) = zigzag[other] else { continue };
                    let Some((&next, taken)) = past.durable_taken().nth(first) else { continue };
                    if causal[other].is_none_or(|place| place >= taken.behind) {
                        found.hidden.push([(rank as Rank, number), (other as Rank, next)]);
                    }
                }
            }
        }
        Some(found)
    }

    /// The messages that were sent and received.
    fn messages(&self) -> Vec<Message> {
        let mut received = BTreeMap::new();
        for (rank, past) in self.ranks.iter().enumerate() {
            for (end, passed) in past.ends(rank).filter(|(_, passed)| !passed.is_sent) {
                received.insert((passed.other, rank, passed.ssn), end);
            }
        }
        let mut messages = Vec::new();
        for (rank, past) in self.ranks.iter().enumerate() {
            for (from, passed) in past.ends(rank).filter(|(_, passed)| passed.is_sent) {
                if let Some(&to) = received.get(&(rank as Rank, passed.other as usize, passed.ssn)) {
                    messages.push(Message { from, to });
                }
            }
        }
        messages
    }
}

/// All choices of a place for each rank, by number; the first is the first place of each.
fn all(places: &[Line], lines: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..lines).map(|number| {
        let mut rest = number;
        let each = |own: &Line| {
            let at = rest % own.len();
            rest /= own.len();
            at
        };
        places.iter().map(each).collect()
    })
}

impl Past {
    fn counts_at(&self, at: Option<CheckpointNumber>) -> Option<Counts> {
        let none = || vec![0; self.counts.sent.len()];
        match at {
            None => Some(self.counts.clone()),
            Some(0) => Some(Counts { sent: none(), received: none() }),
            Some(number) => self.taken.get(&number).map(|taken| taken.counts.clone()),
        }
    }

    fn durable_taken(&self) -> impl Iterator<Item = (&CheckpointNumber, &Taken)> {
        self.taken.iter().filter(|(number, _)| self.durable.contains(number))
    }

    /// What the rank sent and received, and where.
    fn ends(&self, rank: usize) -> impl Iterator<Item = (End, &Passed)> {
        self.passed.iter().enumerate().map(move |(place, passed)| {
            let interval = self.durable_taken().filter(|(_, taken)| taken.behind <= place).count();
            (End { rank, interval, place }, passed)
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Message {
    from: End,
    to: End,
}

/// An end of a message.
#[derive(Debug, Clone, Copy)]
struct End {
    rank: usize,
    /// Behind so many durable checkpoints.
    interval: usize,
    /// Behind so many messages sent and received.
    place: usize,
}

/// Where paths of messages from a place of a rank on arrive first at each rank. A path goes on with any message that is sent at
/// or behind where it arrives.
fn reach(
    messages: &[Message],
    ranks: usize,
    rank: usize,
    from: usize,
    at: impl Fn(End) -> usize,
) -> Vec<Option<usize>> {
    let mut first: Vec<Option<usize>> = vec![None; ranks];
    loop {
        let mut moved = false;
        for message in messages {
            let starts = message.from.rank == rank && at(message.from) >= from;
            let goes_on = first[message.from.rank].is_some_and(|arrived| at(message.from) >= arrived);
            let arrives = at(message.to);
            let own = &mut first[message.to.rank];
            if (starts || goes_on) && own.is_none_or(|earlier| arrives < earlier) {
                *own = Some(arrives);
                moved = true;
            }
        }
        if !moved {
            return first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(history: &mut History, from: Rank, to: Rank, ssn: Ssn) {
        history.sent(from, to, ssn);
        history.received(to, from, ssn);
    }

    fn checkpoint(history: &mut History, rank: Rank, number: CheckpointNumber) {
        history.taken(rank, number);
        history.durable(rank, number);
    }

    #[test]
    fn the_newest_line_is_where_nothing_is_received_that_was_not_sent() {
        let mut history = History::new(2);
        message(&mut history, 0, 1, 0);
        checkpoint(&mut history, 1, 1);
        checkpoint(&mut history, 0, 1);
        message(&mut history, 0, 1, 1);
        let lost = BTreeSet::from([0]);
        assert_eq!(history.newest_line(&lost, &[0, 0]), Some(vec![Some(1), Some(1)]));
        history.returns(0, 1);
        history.returns(1, 1);
        assert_eq!(history.newest_line(&lost, &[0, 0]), Some(vec![Some(1), None]));
        assert!(!history.is_consistent(&vec![Some(0), Some(1)]));
    }

    #[test]
    fn a_zigzag_cycle_makes_a_checkpoint_useless() {
        // Rank 1 receives from rank 0 what goes from behind rank 0's checkpoint, and has sent in the same interval what
        // rank 0 receives before it.
        let mut history = History::new(2);
        history.sent(1, 0, 0);
        history.received(0, 1, 0);
        checkpoint(&mut history, 0, 1);
        message(&mut history, 0, 1, 0);
        let found = history.zigzag().unwrap();
        assert_eq!(found.useless, [(0, 1)]);
        // A checkpoint of rank 1 between the two breaks the cycle.
        let mut history = History::new(2);
        history.sent(1, 0, 0);
        history.received(0, 1, 0);
        checkpoint(&mut history, 0, 1);
        history.sent(0, 1, 0);
        checkpoint(&mut history, 1, 1);
        history.received(1, 0, 0);
        assert_eq!(history.zigzag(), Some(Zigzag::default()));
    }

    #[test]
    fn a_zigzag_path_that_is_not_causal_is_a_hidden_dependency() {
        let mut history = History::new(3);
        checkpoint(&mut history, 0, 1);
        history.sent(1, 2, 0);
        message(&mut history, 0, 1, 0);
        history.received(2, 1, 0);
        checkpoint(&mut history, 2, 1);
        let found = history.zigzag().unwrap();
        assert_eq!((found.useless, found.hidden), (vec![], vec![[(0, 1), (2, 1)]]));
    }
}
