//! Fixed dependency after send (Wang 1997).
//!
//! Each rank counts, in a vector, the intervals of the others that its state depends on. Once it has sent a message in an
//! interval, it takes on no new dependency before its next checkpoint. So every dependency between checkpoints can be tracked on
//! line (rollback-dependency trackability): whether a checkpoint depends on what a failure undoes stands in its own vector.

use egida_core::checkpoint::{Candidates, CheckpointHead, Line};
use egida_core::ids::{CheckpointNumber, Rank};
use egida_core::registry::Build;
use egida_core::wire::{Reader, WireError, put_varint};
use serde::{Deserialize, Serialize};

use super::induced::{Induced, Inducing};

/// What a rank depends on, and whether that is fixed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fdas {
    rank: Rank,
    /// For each rank the latest interval that this state depends on; its own is the one that is running.
    depends: Vec<CheckpointNumber>,
    has_sent: bool,
}

impl Fdas {
    /// The protocol at the program's beginning.
    #[must_use]
    pub fn start(build: &Build<'_>) -> Induced<Self> {
        Induced::new(Self::state(build))
    }

    /// What a rank depends on at the program's beginning.
    #[must_use]
    pub fn state(build: &Build<'_>) -> Self {
        let mut depends = vec![0; build.setting.domains.ranks() as usize];
        if let Some(own) = depends.get_mut(build.rank as usize) {
            *own = 1;
        }
        Self { rank: build.rank, depends, has_sent: false }
    }
}

impl Inducing for Fdas {
    type Piggyback = Vec<CheckpointNumber>;

    const PHRASE: &'static str = "checkpoint vectors";

    fn encode(&self, _: Rank, out: &mut Vec<u8>) {
        for &interval in &self.depends {
            put_varint(out, interval);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Result<Self::Piggyback, WireError> {
        self.depends.iter().map(|_| reader.varint()).collect()
    }

    fn forces(&self, message: &Self::Piggyback) -> bool {
        self.has_sent && message.iter().zip(&self.depends).any(|(theirs, mine)| theirs > mine)
    }

    fn receive(&mut self, _: Rank, message: &Self::Piggyback) {
        for (mine, &theirs) in self.depends.iter_mut().zip(message) {
            *mine = theirs.max(*mine);
        }
    }

    fn send(&mut self, _: Rank) {
        self.has_sent = true;
    }

    fn capture(&mut self, head: &mut CheckpointHead, _: &[Self::Piggyback]) {
        head.index = head.number;
        head.vector.clone_from(&self.depends);
        if let Some(own) = self.depends.get_mut(self.rank as usize) {
            *own = head.number + 1;
        }
        self.has_sent = false;
    }

    fn describe(&self, head: &mut CheckpointHead) {
        head.vector.clone_from(&self.depends);
    }

    /// An interval is never counted twice, though the checkpoint that should have ended it failed.
    fn revert(&mut self, void: &Self) {
        let own = self.rank as usize;
        if let (Some(mine), Some(&later)) = (self.depends.get_mut(own), void.depends.get(own)) {
            *mine = later;
        }
    }

    /// The last state of each rank that depends on no interval that the failed ranks undo.
    fn line(candidates: &Candidates) -> Option<Line> {
        let kept: Vec<Option<CheckpointNumber>> = candidates
            .iter()
            .map(|own| own.last().filter(|last| !last.current).map(|last| last.head.number))
            .collect();
        let at = |own: &[egida_core::checkpoint::Candidate]| {
            let is_left = |candidate: &egida_core::checkpoint::Candidate| {
                let rank = candidate.head.rank as usize;
                let depends = candidate.head.vector.iter().zip(&kept).enumerate();
                candidate.head.number == 0 && !candidate.current
                    || depends
                        .filter(|&(other, _)| other != rank)
                        .all(|(_, (&on, kept))| kept.is_none_or(|kept| on <= kept))
            };
            own.iter().rposition(is_left)
        };
        candidates.iter().map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use egida_core::module::Admission;

    use super::*;
    use crate::checkpoint::by_hand::ranks;

    #[test]
    fn a_new_dependency_after_a_send_takes_a_checkpoint_first() {
        let mut three = ranks(3, Fdas::start);
        let (first, second) = (three[1].send(0), three[1].send(0));
        let other = three[2].send(0);
        assert_eq!(three[0].offer(&first), Admission::Admit, "nothing was sent yet");
        three[0].send(1);
        assert_eq!(three[0].offer(&second), Admission::Admit, "this dependency is not new");
        assert_eq!(three[0].offer(&other), Admission::CheckpointFirst);
        let (head, _) = three[0].checkpoint();
        assert_eq!(head.vector, [1, 1, 0]);
        three[0].settle(true);
        assert_eq!(three[0].offer(&other), Admission::Admit);
        assert_eq!(three[0].checkpoint().0.vector, [2, 1, 1]);
    }

    #[test]
    fn an_interval_is_counted_once_though_its_checkpoint_fails() {
        let mut two = ranks(2, Fdas::start);
        two[0].checkpoint();
        two[0].settle(false);
        assert_eq!(two[0].checkpoint().0.vector, [2, 0]);
    }
}
