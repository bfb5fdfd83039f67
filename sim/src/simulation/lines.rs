//! What the observer judges of checkpoints while a run goes on: recovery lines, what is left on the disk, how much is kept.

use std::collections::{BTreeMap, BTreeSet};

use egida_core::ids::{CheckpointNumber, Rank};
use egida_spec::protocol::FailureUnit;

use super::Simulation;
use crate::job::{Ending, Kept, LinesTaken};
use crate::oracle::Line;

/// What is noted between one event and the next.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Who returned to which checkpoint in the recovery that is just over.
    returning: Option<BTreeMap<Rank, CheckpointNumber>>,
    /// Who died since the last.
    failed: BTreeSet<Rank>,
    pub lines: LinesTaken,
    pub kept: Kept,
}

impl Simulation<'_> {
    /// A rank died, not because it was told to.
    pub(super) fn watch_failure(&mut self, rank: Rank) {
        self.watch.failed.insert(rank);
    }

    /// Ranks are ended: with their domain, or because recovery will have them return.
    pub(super) fn watch_fence(&mut self, ranks: &[Rank]) {
        if !self.recovers_by_line {
            return;
        }
        let lost = self.lost();
        let Some(newest) = self.newest_line(&lost) else { return };
        let needless = |&&rank: &&Rank| !lost.contains(&rank) && newest[rank as usize].is_none();
        self.watch.lines.needless_returns += ranks.iter().filter(needless).count() as u64;
    }

    /// A recovery by a line is decided.
    pub(super) fn watch_recovered(&mut self) {
        if self.recovers_by_line {
            self.watch.returning = Some(BTreeMap::new());
        }
    }

    /// A rank is ordered to begin from a checkpoint.
    pub(super) fn watch_start(&mut self, rank: Rank, number: CheckpointNumber) {
        if let Some(returning) = &mut self.watch.returning {
            returning.insert(rank, number);
        }
    }

    /// Judges the line that was taken since the last event, if one was.
    pub(super) fn judge_line(&mut self) {
        let Some(returning) = self.watch.returning.take() else { return };
        self.watch.failed.clear();
        let ranks = self.job.setting.domains.ranks();
        let line: Line = (0..ranks).map(|rank| returning.get(&rank).copied()).collect();
        let newest = self.newest_line(&returning.keys().copied().collect());
        let world = &mut *self.world.borrow_mut();
        let Some(history) = &mut world.history else { return };
        let taken = &mut self.watch.lines;
        taken.count += 1;
        taken.not_the_newest += u64::from(newest.is_some_and(|newest| newest != line));
        let index = |(&rank, &number): (&Rank, &CheckpointNumber)| {
            world.checkpoints.get(rank, number).map_or(0, |stored| stored.head.index)
        };
        taken.of_several_indices += u64::from(returning.iter().map(index).collect::<BTreeSet<_>>().len() > 1);
        if !history.is_consistent(&line) {
            self.end = self.end.take().or(Some(Ending::Inconsistent));
        }
        for (&rank, &number) in &returning {
            history.returns(rank, number);
        }
    }

    /// Looks at what is left when a rank will never return behind a checkpoint: that checkpoint can be read, and where ranks
    /// return together there is a line of what can.
    pub(super) fn judge_collection(&mut self, rank: Rank) {
        if !self.job.observed {
            return;
        }
        self.watch.kept = self.watch.kept.most(self.world.borrow().kept());
        let committed = self.ranks[rank as usize].committed;
        let is_there = self.world.borrow().checkpoints.is_readable(rank, committed);
        let floors: Vec<CheckpointNumber> = self.ranks.iter().map(|life| life.committed).collect();
        let is_line = self.world.borrow().history.as_ref().is_none_or(|history| history.has_line(&floors));
        if !is_there || !is_line {
            self.end = self.end.take().or(Some(Ending::CollectedTooMuch(rank)));
        }
    }

    fn newest_line(&self, lost: &BTreeSet<Rank>) -> Option<Line> {
        let world = self.world.borrow();
        let floors: Vec<CheckpointNumber> = self.ranks.iter().map(|life| life.committed).collect();
        world.history.as_ref()?.newest_line(lost, &floors)
    }

    /// The ranks that died, and those of their domains.
    fn lost(&self) -> BTreeSet<Rank> {
        let domains = &self.job.setting.domains;
        let with = |rank: Rank| {
            let shares = |&failed: &Rank| match self.job.setting.unit {
                FailureUnit::Node => domains.of(failed) == domains.of(rank),
                FailureUnit::Process => failed == rank,
            };
            self.watch.failed.iter().any(shares)
        };
        (0..domains.ranks()).filter(|&rank| with(rank)).collect()
    }
}
