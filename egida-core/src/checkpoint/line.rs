//! Recovery lines: a state for each rank such that no message was received that was not sent.

use super::head::CheckpointHead;
use crate::ids::Rank;

/// A state that recovery may leave a rank in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What is to be known of it.
    pub head: CheckpointHead,
    /// Whether it is the state that the rank is in now, rather than a checkpoint.
    pub current: bool,
}

/// The states that recovery may choose from, by rank, oldest first. Each rank has at least one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates(Vec<Vec<Candidate>>);

/// A choice among [`Candidates`]: for each rank, which.
pub type Line = Vec<usize>;

impl Candidates {
    /// The checkpoints of each rank, oldest first.
    #[must_use]
    pub fn of_checkpoints(checkpoints: &[Vec<CheckpointHead>]) -> Self {
        let each = |heads: &Vec<CheckpointHead>| {
            heads.iter().map(|head| Candidate { head: head.clone(), current: false }).collect()
        };
        Self(checkpoints.iter().map(each).collect())
    }

    /// Adds the state that a rank is in: it can stay there, having survived.
    pub fn add_current(&mut self, head: CheckpointHead) {
        if let Some(own) = self.0.get_mut(head.rank as usize) {
            own.push(Candidate { head, current: true });
        }
    }

    /// How many ranks there are.
    #[must_use]
    pub fn ranks(&self) -> usize {
        self.0.len()
    }

    /// The states of a rank.
    #[must_use]
    pub fn of(&self, rank: Rank) -> &[Candidate] {
        self.0.get(rank as usize).map_or(&[], Vec::as_slice)
    }

    /// The states of all ranks.
    pub fn iter(&self) -> impl Iterator<Item = &[Candidate]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// The newest state of each rank.
    #[must_use]
    pub fn newest(&self) -> Line {
        self.0.iter().map(|own| own.len().saturating_sub(1)).collect()
    }

    /// The chosen heads.
    pub fn chosen<'a>(&'a self, line: &'a Line) -> impl Iterator<Item = &'a Candidate> {
        self.0.iter().zip(line).filter_map(|(own, &at)| own.get(at))
    }

    /// Whether no rank of the line knows a message that its sender, as the line has it, has not sent.
    #[must_use]
    pub fn is_consistent(&self, line: &Line) -> bool {
        let heads: Vec<&CheckpointHead> = self.chosen(line).map(|candidate| &candidate.head).collect();
        heads.len() == self.0.len()
            && heads.iter().all(|receiver| heads.iter().all(|sender| !has_orphan(sender, receiver)))
    }

    /// The newest consistent line of which no rank's state is later than in `line` (rollback propagation; Randell 1975). It
    /// is unique: of two consistent lines the later state of each rank makes another. `None` where there is none.
    #[must_use]
    pub fn settle(&self, mut line: Line) -> Option<Line> {
        loop {
            let orphaned = (0..self.0.len()).find(|&receiver| {
                let at = |rank: usize| self.0[rank].get(line[rank]).map(|candidate| &candidate.head);
                at(receiver).is_some_and(|receiver| {
                    (0..self.0.len()).filter_map(at).any(|sender| has_orphan(sender, receiver))
                })
            });
            match orphaned {
                None => return Some(line),
                Some(receiver) => line[receiver] = line[receiver].checked_sub(1)?,
            }
        }
    }

    /// The newest consistent line there is.
    #[must_use]
    pub fn maximum(&self) -> Option<Line> {
        self.settle(self.newest())
    }
}

fn has_orphan(sender: &CheckpointHead, receiver: &CheckpointHead) -> bool {
    let sent = sender.sent.get(receiver.rank as usize).copied().unwrap_or(0);
    let known = receiver.known.get(sender.rank as usize).copied().unwrap_or(0);
    known > sent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ssn;
    use proptest::prelude::*;

    fn head(rank: Rank, number: u64, sent: &[Ssn], known: &[Ssn]) -> CheckpointHead {
        let ranks = sent.len() as u32;
        CheckpointHead {
            number,
            sent: sent.to_vec(),
            known: known.to_vec(),
            ..CheckpointHead::beginning(rank, ranks)
        }
    }

    #[test]
    fn the_domino_falls_to_the_beginning() {
        // 0 sends, 1 receives and checkpoints; 1 sends, 0 receives and checkpoints; and so on: each checkpoint of either is
        // an orphan of the next message.
        let zero =
            vec![CheckpointHead::beginning(0, 2), head(0, 1, &[0, 1], &[0, 1]), head(0, 2, &[0, 2], &[0, 2])];
        let one =
            vec![CheckpointHead::beginning(1, 2), head(1, 1, &[0, 0], &[1, 0]), head(1, 2, &[1, 0], &[2, 0])];
        let candidates = Candidates::of_checkpoints(&[zero, one]);
        assert_eq!(candidates.maximum(), Some(vec![0, 0]));
    }

    #[test]
    fn a_survivor_that_depends_on_nothing_lost_stays_as_it_is() {
        let mut candidates = Candidates::of_checkpoints(&[
            vec![CheckpointHead::beginning(0, 2), head(0, 1, &[0, 3], &[0, 0])],
            vec![CheckpointHead::beginning(1, 2)],
        ]);
        candidates.add_current(head(1, 0, &[5, 0], &[3, 0]));
        assert_eq!(candidates.maximum(), Some(vec![1, 1]));
        candidates.add_current(head(1, 0, &[5, 0], &[4, 0]));
        assert_eq!(candidates.maximum(), Some(vec![1, 1]), "the fourth message was never sent");
    }

    proptest! {
        /// Against all lines there are: the one found is consistent, and no consistent one has a later state of any rank.
        #[test]
        fn the_maximum_is_what_a_search_over_all_lines_finds(
            steps in prop::collection::vec((0usize..3, 0usize..3, 0u8..4), 0..24)
        ) {
            let mut sent = [[0 as Ssn; 3]; 3];
            let mut known = [[0 as Ssn; 3]; 3];
            let mut heads: Vec<Vec<_>> = (0..3).map(|rank| vec![CheckpointHead::beginning(rank, 3)]).collect();
            for (one, other, what) in steps {
                match what {
                    0 => {
                        let number = heads[one].len() as u64;
                        heads[one].push(head(one as Rank, number, &sent[one], &known[one]));
                    }
                    1 | 2 => sent[one][other] += 1,
                    _ if known[one][other] < sent[other][one] => known[one][other] += 1,
                    _ => {}
                }
            }
            let candidates = Candidates::of_checkpoints(&heads);
            let maximum = candidates.maximum().unwrap();
            prop_assert!(candidates.is_consistent(&maximum));
            for zero in 0..heads[0].len() {
                for one in 0..heads[1].len() {
                    for two in 0..heads[2].len() {
                        let line = vec![zero, one, two];
                        if candidates.is_consistent(&line) {
                            prop_assert!(line.iter().zip(&maximum).all(|(at, most)| at <= most));
                        }
                    }
                }
            }
        }
    }
}
