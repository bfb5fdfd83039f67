//! What stable storage holds, and how much of it recovery will never need again.

use super::head::CheckpointHead;
use super::line::{Candidates, Line};
use crate::clock::Token;
use crate::ids::{CheckpointNumber, EventIndex, Rank, Ssn};
use crate::module::Checkpoint;

/// The checkpoints of all ranks that are durable, by their heads; one instance in the recovery coordinator. Those in the memory of
/// others are durable as long as one of them is left.
///
/// Two generations: a checkpoint may be collected only when the line that replaces it is durable as a whole, since only then
/// is the line said to be committed.
#[derive(Debug, Clone)]
pub struct Lines {
    module: Box<dyn Checkpoint>,
    returning: Returning,
    durable: Vec<Vec<CheckpointHead>>,
    committed: Vec<CheckpointHead>,
    /// How many events of each rank are logged on stable storage.
    logged: Vec<EventIndex>,
    /// Which versions of ranks have ended, and where.
    ended: Vec<Token>,
}

/// Where recovery returns ranks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returning {
    /// To a line of checkpoints, survivors among them: nothing is replayed.
    Together,
    /// Each failed rank to its own newest checkpoint, to replay from there.
    Newest,
    /// Each failed rank, and each orphan, to its own newest checkpoint that depends on nothing that is lost, to replay from there.
    NotLost,
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

impl Lines {
    /// No checkpoint of `ranks` ranks.
    #[must_use]
    pub fn new(module: Box<dyn Checkpoint>, ranks: u32, returning: Returning) -> Self {
        let committed: Vec<_> = (0..ranks).map(|rank| CheckpointHead::beginning(rank, ranks)).collect();
        let durable = committed.iter().map(|beginning| vec![beginning.clone()]).collect();
        let logged = vec![0; ranks as usize];
        Self { module, returning, durable, committed, logged, ended: Vec::new() }
    }

    /// Whether each rank returns to a checkpoint of its own and replays from there.
    #[must_use]
    pub fn replays(&self) -> bool {
        self.returning != Returning::Together
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
            .filter(|((_, committed), own)| own.iter().all(|head| head.number != committed.number))
            .map(|((rank, committed), _)| (rank, committed.number))
            .next()
    }

    /// The log of a rank has its first `events` events on stable storage. Returns what is committed by that.
    pub fn logged(&mut self, rank: Rank, events: EventIndex) -> Vec<Committed> {
        if let Some(logged) = self.logged.get_mut(rank as usize) {
            *logged = events;
        }
        self.commit()
    }

    /// A version of a rank has ended.
    pub fn ended(&mut self, token: Token) {
        self.ended.push(token);
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

    /// The newest checkpoint of a rank that covers no more than its first `events` events.
    #[must_use]
    pub fn newest_within(&self, rank: Rank, events: EventIndex) -> Option<&CheckpointHead> {
        self.durable.get(rank as usize)?.iter().rfind(|head| !head.tentative && head.events <= events)
    }

    /// The checkpoint before which recovery will never return with a rank.
    #[must_use]
    pub fn committed(&self, rank: Rank) -> Option<&CheckpointHead> {
        self.committed.get(rank as usize)
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

    /// Whether no failure will ever make a checkpoint an orphan: every event that it depends on is logged on stable storage, and
    /// none of them is void.
    fn is_globally_stable(&self, head: &CheckpointHead) -> bool {
        let Some(clock) = &head.clock else { return head.number == 0 };
        let is_logged = |(rank, _, events): (Rank, _, EventIndex)| {
            self.logged.get(rank as usize).is_some_and(|&logged| events <= logged)
        };
        clock.components().all(is_logged) && !self.ended.iter().any(|token| clock.is_orphaned_by(token))
    }

    /// Finds what is committed now: where all would return to if all failed.
    fn commit(&mut self) -> Vec<Committed> {
        let candidates = self.candidates([]);
        let line = match self.returning {
            Returning::Together => self.line(&candidates),
            Returning::Newest => Some(candidates.newest()),
            Returning::NotLost => candidates
                .iter()
                .map(|own| own.iter().rposition(|candidate| self.is_globally_stable(&candidate.head)))
                .map(|stable| stable.or(Some(0)))
                .collect(),
        };
        let mut moved = Vec::new();
        for candidate in line.iter().flat_map(|line| candidates.chosen(line)) {
            let head = &candidate.head;
            let committed = &mut self.committed[head.rank as usize];
            if head.number > committed.number {
                committed.clone_from(head);
                moved.push(Committed {
                    rank: head.rank,
                    number: head.number,
                    events: head.events,
                    completed: head.completed.clone(),
                });
            }
        }
        for (own, committed) in self.durable.iter_mut().zip(&self.committed) {
            own.retain(|head| head.number >= committed.number);
        }
        moved
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::IncarnationClock;
    use crate::module::{CheckpointContext, PiggybackCheckpointing};
    use crate::wire::WireError;

    const RANKS: usize = 3;

    /// A protocol of which only the line is asked: the newest consistent one.
    #[derive(Debug, Clone)]
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
        let mut lines = Lines::new(Box::new(NewestLine), 2, Returning::Together);
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

    /// What a rank did: for each event the rank whose state it depends on, and how many events that had.
    type Events = Vec<Option<(usize, EventIndex)>>;

    /// How many events each rank keeps if of all logs so much is found again.
    fn recoverable(done: &[Events], mut kept: Vec<EventIndex>) -> Vec<EventIndex> {
        loop {
            let stands = |after: &&Option<(usize, EventIndex)>| {
                after.is_none_or(|(source, count)| count <= kept[source])
            };
            let each = |(events, &kept): (&Events, &EventIndex)| {
                events.iter().take(kept as usize).take_while(stands).count() as EventIndex
            };
            let lower: Vec<EventIndex> = done.iter().zip(&kept).map(each).collect();
            if lower == kept {
                return kept;
            }
            kept = lower;
        }
    }

    proptest! {
        /// Against all that can be lost: what is committed is the newest checkpoint of each rank that would be kept if every rank
        /// lost all that is not logged.
        #[test]
        fn what_is_committed_is_the_newest_that_no_failure_can_undo(
            steps in prop::collection::vec((0..RANKS, 0..RANKS, 0u8..4), 0..40)
        ) {
            let mut lines = Lines::new(Box::new(NewestLine), RANKS as u32, Returning::NotLost);
            let mut done: Vec<Events> = vec![Vec::new(); RANKS];
            let mut clocks = vec![IncarnationClock::new(RANKS as u32); RANKS];
            let mut logged: Vec<EventIndex> = vec![0; RANKS];
            let mut taken: Vec<Vec<EventIndex>> = vec![vec![0]; RANKS];
            for (one, other, what) in steps {
                let rank = one as Rank;
                let count = done[one].len() as EventIndex;
                match what {
                    // Events that depend on another rank's, or on none.
                    0 | 1 => {
                        let after = (other != one).then(|| (other, done[other].len() as EventIndex));
                        if after.is_some() {
                            let clock = clocks[other].clone();
                            clocks[one].merge(&clock);
                        }
                        done[one].push(after);
                        clocks[one].advance(rank, 1, count + 1);
                    }
                    2 => {
                        logged[one] = count;
                        lines.logged(rank, count);
                    }
                    _ => {
                        // The log comes to the storage before the checkpoint does.
                        logged[one] = count;
                        lines.logged(rank, count);
                        let number = taken[one].len() as CheckpointNumber;
                        taken[one].push(count);
                        let clock = Some(Box::new(clocks[one].clone()));
                        let beginning = CheckpointHead::beginning(rank, RANKS as u32);
                        lines.saved(CheckpointHead { number, events: count, clock, ..beginning });
                    }
                }
                let kept = recoverable(&done, logged.clone());
                for (rank, (own, &kept)) in (0..).zip(taken.iter().zip(&kept)) {
                    let newest = own.iter().rposition(|&events| events <= kept).unwrap_or(0);
                    prop_assert_eq!(lines.committed(rank).map(|head| head.number), Some(newest as u64));
                    let within = lines.newest_within(rank, kept).map(|head| head.number);
                    prop_assert_eq!(within, Some(newest as u64));
                }
            }
        }
    }

    #[test]
    fn what_an_ended_version_makes_an_orphan_is_never_committed() {
        let mut lines = Lines::new(Box::new(NewestLine), 2, Returning::NotLost);
        let mut clock = IncarnationClock::new(2);
        clock.advance(0, 1, 3);
        clock.advance(1, 1, 1);
        let head = CheckpointHead {
            number: 1,
            events: 1,
            clock: Some(Box::new(clock)),
            ..CheckpointHead::beginning(1, 2)
        };
        assert_eq!(lines.logged(1, 1), []);
        assert_eq!(lines.saved(head), [], "rank 0 has logged nothing");
        lines.ended(Token { rank: 0, version: 1, events: 2 });
        assert_eq!(lines.logged(0, 5), [], "these are other events");
        lines.returned(1, 0);
        assert_eq!(lines.newest_within(1, 9).map(|head| head.number), Some(0));
    }
}
