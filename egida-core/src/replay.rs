//! What a re-execution must repeat: the recovered determinants of a rank's own events, found by the call they belong to.

use std::collections::BTreeMap;

use crate::event::{Answer, Determinant, Happened};
use crate::ids::{Rank, Ssn};

/// The determinants still to be replayed.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    deliveries: BTreeMap<u64, (Rank, Ssn)>,
    observations: BTreeMap<u64, Answer>,
    reads: BTreeMap<u64, Vec<u8>>,
    observed: u64,
    total: u64,
    left: u64,
}

impl Replay {
    /// What `determinants` of one rank say. Observations below `observed` failed unless one of them says otherwise.
    #[must_use]
    pub fn new<'a>(determinants: impl IntoIterator<Item = &'a Determinant>, observed: u64) -> Self {
        let mut replay = Self { observed, ..Self::default() };
        for determinant in determinants {
            let mut observed = determinant.observed;
            match &determinant.what {
                Happened::Delivery { source, ssn, post } => {
                    replay.deliveries.insert(*post, (*source, *ssn));
                    replay.left += 1;
                }
                Happened::Observation { call, answer } => {
                    replay.observations.insert(*call, answer.clone());
                    observed = observed.max(call + 1);
                    replay.left += 1;
                }
                Happened::Read { call, value } => {
                    replay.reads.insert(*call, value.clone());
                    replay.left += 1;
                }
                Happened::Polls => {}
            }
            replay.observed = replay.observed.max(observed);
        }
        replay.total = replay.left;
        replay
    }

    /// The message that the receive with that post number was matched with.
    pub fn delivery(&mut self, post: u64) -> Option<(Rank, Ssn)> {
        if self.deliveries.is_empty() {
            return None;
        }
        let found = self.deliveries.remove(&post);
        self.left -= u64::from(found.is_some());
        found
    }

    /// The answer of that observation; `None` where it must be made anew.
    pub fn observation(&mut self, call: u64) -> Option<Answer> {
        if let Some(answer) = self.observations.remove(&call) {
            self.left -= 1;
            return Some(answer);
        }
        (call < self.observed).then_some(Answer::Nothing)
    }

    /// The value of that read.
    pub fn read(&mut self, call: u64) -> Option<Vec<u8>> {
        let found = self.reads.remove(&call);
        self.left -= u64::from(found.is_some());
        found
    }

    /// Observations below this number are known.
    #[must_use]
    pub fn observed(&self) -> u64 {
        self.observed
    }

    /// Whether a process that has completed so many observations is past everything that is to be repeated.
    #[must_use]
    pub fn is_past(&self, observed: u64) -> bool {
        self.is_over() && observed >= self.observed
    }

    /// How many determinants are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether everything was replayed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_polls_are_known_up_to_the_last_determinant_and_no_further() {
        let answer = Answer::Requests(vec![1]);
        let success = Determinant {
            owner: 0,
            index: 0,
            observed: 3,
            what: Happened::Observation { call: 3, answer: answer.clone() },
            after: None,
        };
        let polls = Determinant { owner: 0, index: 1, observed: 6, what: Happened::Polls, after: None };
        let mut replay = Replay::new([&success, &polls], 0);
        assert_eq!(replay.observation(0), Some(Answer::Nothing));
        assert_eq!(replay.observation(3), Some(answer));
        assert_eq!(replay.observation(5), Some(Answer::Nothing));
        assert_eq!(replay.observation(6), None, "a trailing poll that nobody depends on is made anew");
        assert!(replay.is_over());
        assert_eq!(
            Replay::new([&success], 9).observation(8),
            Some(Answer::Nothing),
            "released output told of it"
        );
    }
}
