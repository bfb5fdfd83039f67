//! What stable storage holds, and how much of it recovery will never need again.

use super::head::CheckpointHead;
use super::line::{Candidates, Line};
use crate::ids::{CheckpointNumber, EventIndex, Rank, Ssn};
use crate::module::Checkpoint;

/// The checkpoints of all ranks that are durable, by their heads; one instance in the recovery coordinator. Those in the memory of
/// others are durable as long as one of them is left.
///
/// Two generations: a checkpoint may be collected only when the line that replaces it is durable as a whole, since only then
/// is the line said to be committed.
pub struct Lines {
    module: Box<dyn Checkpoint>,
    /// Whether each rank returns to its own newest checkpoint and replays from there.
    replays: bool,
    durable: Vec<Vec<CheckpointHead>>,
    committed: Vec<CheckpointNumber>,
}

/// Recovery will never again need anything of a rank from before a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The rank.
    pub rank: Rank,
    /// The checkpoint.
    pub number: CheckpointNumber,
    /// How many of the rank's events it covers.
    pub events: EventIndex,
    /// How many synchronous messages to each other were complete in it.
    pub completed: Vec<Ssn>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("durable", &self.durable).field("committed", &self.committed).finish()
    }
}

impl Lines {
    /// No checkpoint of `ranks` ranks. `replays` says that determinants and messages are logged, so that no rank's recovery
    /// touches another's state.
    #[must_use]
    pub fn new(module: Box<dyn Checkpoint>, ranks: u32, replays: bool) -> Self {
        let durable = (0..ranks).map(|rank| vec![CheckpointHead::beginning(rank, ranks)]).collect();
        Self { module, replays, durable, committed: vec![0; ranks as usize] }
    }

    /// Whether each rank returns to its own newest checkpoint.
    #[must_use]
    pub fn replays(&self) -> bool {
        self.replays
    }

    /// A checkpoint is on stable storage. Returns what is committed by that.
    pub fn saved(&mut self, head: CheckpointHead) -> Vec<Committed> {
        if let Some(own) = self.durable.get_mut(head.rank as usize) {
            own.retain(|known| known.number != head.number);
            own.push(head);
            own.sort_by_key(|head| head.number);
        }
        self.commit()
    }

    /// A tentative checkpoint is to be kept, or is void. Returns what is committed by that.
    pub fn decided(&mut self, rank: Rank, number: CheckpointNumber, keep: bool) -> Vec<Committed> {
        if let Some(own) = self.durable.get_mut(rank as usize) {
            own.retain(|head| keep || head.number != number);
            for head in own.iter_mut().filter(|head| head.number == number) {
                head.tentative = false;
            }
        }
        self.commit()
    }

    /// A checkpoint was in the memory of nodes that are all lost.
    pub fn lost(&mut self, rank: Rank, number: CheckpointNumber) {
        if let Some(own) = self.durable.get_mut(rank as usize) {
            own.retain(|head| head.number != number);
        }
    }

    /// A checkpoint that recovery was never to return behind, and that is lost.
    #[must_use]
    pub fn missing(&self) -> Option<(Rank, CheckpointNumber)> {
        let ranks = (0..).zip(&self.committed).zip(&self.durable);
        ranks
            .filter(|((_, committed), own)| own.iter().all(|head| head.number != **committed))
            .map(|((rank, &committed), _)| (rank, committed))
            .next()
    }

    /// A rank returns to a checkpoint: later ones are void.
    pub fn returned(&mut self, rank: Rank, number: CheckpointNumber) {
        if let Some(own) = self.durable.get_mut(rank as usize) {
            own.retain(|head| head.number <= number);
        }
    }

    /// The newest checkpoint of a rank that it may return to.
    #[must_use]
    pub fn newest(&self, rank: Rank) -> Option<&CheckpointHead> {
        self.durable.get(rank as usize)?.iter().rfind(|head| !head.tentative)
    }

    /// Below which checkpoint recovery will never return with a rank.
    #[must_use]
    pub fn committed(&self, rank: Rank) -> CheckpointNumber {
        self.committed.get(rank as usize).copied().unwrap_or(0)
    }

    /// The states that recovery may choose from, where `survivors` can stay as they are.
    #[must_use]
    pub fn candidates(&self, survivors: impl IntoIterator<Item = CheckpointHead>) -> Candidates {
        let kept: Vec<Vec<CheckpointHead>> = self
            .durable
            .iter()
            .map(|own| own.iter().filter(|head| !head.tentative).cloned().collect())
            .collect();
        let mut candidates = Candidates::of_checkpoints(&kept);
        for head in survivors {
            candidates.add_current(head);
        }
        candidates
    }

    /// The recovery line by the protocol's own rule. What the rule gives is held against the counts of messages: a line that
    /// they contradict is moved back until they do not. `None` where nothing that is left fits together.
    #[must_use]
    pub fn line(&self, candidates: &Candidates) -> Option<Line> {
        if candidates.iter().any(<[_]>::is_empty) {
            return None;
        }
        candidates.settle(self.module.line(candidates)?)
    }

    /// Finds what is committed now: where all would return to if all failed.
    fn commit(&mut self) -> Vec<Committed> {
        let candidates = self.candidates([]);
        let line = if self.replays { Some(candidates.newest()) } else { self.line(&candidates) };
        let mut moved = Vec::new();
        for candidate in line.iter().flat_map(|line| candidates.chosen(line)) {
            let head = &candidate.head;
            let committed = &mut self.committed[head.rank as usize];
            if head.number > *committed {
                *committed = head.number;
                moved.push(Committed {
                    rank: head.rank,
                    number: head.number,
                    events: head.events,
                    completed: head.completed.clone(),
                });
            }
        }
        for (own, &committed) in self.durable.iter_mut().zip(&self.committed) {
            own.retain(|head| head.number >= committed);
        }
        moved
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::module::{CheckpointContext, PiggybackCheckpointing};
    use crate::wire::WireError;

    /// A protocol of which only the line is asked: the newest consistent one.
    pub(crate) struct NewestLine;

    impl PiggybackCheckpointing for NewestLine {}

    impl Checkpoint for NewestLine {
        fn on_timer(&mut self, _: &mut CheckpointContext<'_>) {}

        fn capture(&mut self, _: &mut CheckpointHead) {}

        fn save(&self) -> Vec<u8> {
            Vec::new()
        }

        fn load(&mut self, _: &[u8]) -> Result<(), WireError> {
            Ok(())
        }
    }

    fn lines() -> Lines {
        let mut lines = Lines::new(Box::new(NewestLine), 2, false);
        for rank in 0..2 {
            let committed = lines.saved(CheckpointHead { number: 1, ..CheckpointHead::beginning(rank, 2) });
            assert_eq!(committed.iter().map(|one| one.rank).collect::<Vec<_>>(), [rank]);
        }
        lines
    }

    #[test]
    fn a_lost_checkpoint_is_missed_only_where_recovery_cannot_do_without() {
        let mut lines = lines();
        lines.saved(CheckpointHead { number: 2, known: vec![0, 7], ..CheckpointHead::beginning(0, 2) });
        lines.lost(0, 2);
        assert_eq!(lines.missing(), None, "it was not committed");
        assert_eq!(lines.line(&lines.candidates([])), Some(vec![0, 0]));
        lines.lost(1, 1);
        assert_eq!(lines.missing(), Some((1, 1)));
        assert_eq!(lines.line(&lines.candidates([])), None);
        let survivor = CheckpointHead { number: 1, ..CheckpointHead::beginning(1, 2) };
        assert_eq!(lines.line(&lines.candidates([survivor])), Some(vec![0, 0]), "it stays where it is");
    }
}
