//! What the observer judges of checkpoints while a run goes on: recovery lines, what is left on the disk, how much is kept.

use std::collections::{BTreeMap, BTreeSet};

use egida_core::ids::{CheckpointNumber, EventIndex, Position, Rank};
use egida_core::recovery::RecoveryImage;
use egida_spec::protocol::FailureUnit;

use super::Simulation;
use crate::job::{Ending, Kept, LinesTaken};
use crate::oracle::{Line, Violation};

/// What is noted between one event and the next.
#[derive(Debug, Clone, Default)]
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

    /// A rank that may have been an orphan, or may have made orphans, is ordered to begin from a checkpoint and to do some events again
    /// from there.
    pub(super) fn watch_return(&mut self, rank: Rank, image: &RecoveryImage) {
        let number = image.checkpoint_number;
        let again = image.determinants.iter().filter(|held| held.determinant.owner == rank).count();
        let world = &mut *self.world.borrow_mut();
        let Some(recoverable) = &mut world.recoverable else { return };
        let from = world.checkpoints.get(rank, number);
        let kept = again as EventIndex + from.map_or(0, |stored| stored.head.events);
        let messages = from.and_then(|stored| stored.messages.as_ref());
        let newest = world.checkpoints.newest_within(rank, kept);
        let logged = image.messages.iter().map(|message| (message.source, message.ssn));
        let right = recoverable.started(rank, kept, messages, logged);
        let is_newest = match number == newest {
            true => Ok(()),
            false => Err(Violation::NotTheNewest { rank, number, newest }),
        };
        if let Err(violation) = right.and(is_newest) {
            self.end = self.end.take().or(Some(Ending::Violated(violation)));
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

    /// Looks at what is left when a rank will never return behind a checkpoint: that checkpoint can be read, where ranks return
    /// together there is a line of what can, and where survivors may be orphans this is none whoever fails.
    pub(super) fn judge_collection(&mut self, rank: Rank) {
        if !self.job.observed {
            return;
        }
        self.watch.kept = self.watch.kept.most(self.world.borrow().kept());
        let committed = self.ranks[rank as usize].committed;
        let is_there = self.world.borrow().checkpoints.is_readable(rank, committed);
        let floors: Vec<CheckpointNumber> = self.ranks.iter().map(|life| life.committed).collect();
        let world = self.world.borrow();
        let is_line = world.history.as_ref().is_none_or(|history| history.has_line(&floors));
        let events = world.checkpoints.get(rank, committed).map_or(0, |stored| stored.head.events);
        let written: Vec<Position> = world.journals.iter().map(|journal| journal.stable.written).collect();
        let stays =
            world.recoverable.as_ref().is_none_or(|all| all.outlasts_all_failures(rank, events, &written));
        drop(world);
        if !is_there || !is_line || !stays {
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
