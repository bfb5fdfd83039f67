//! Recovery where nothing is replayed: ranks return to a line of checkpoints.

use std::collections::BTreeMap;

use super::{Action, Coordinator, End, Fate, Life};
use crate::ids::{CheckpointNumber, Rank};
use crate::recovery::image::{Collected, RecoveryImage, Unrecoverable};

impl Coordinator {
    /// Recovers ranks that replay nothing: finds the line, has survivors that are beyond it return to it as well, and starts
    /// all of them once they are dead.
    pub(super) fn collected_states(&mut self, collected: &Collected, actions: &mut Vec<Action>) {
        let (Some(mut round), Some(lines)) = (self.round.take(), &mut self.lines) else { return };
        let survivors = collected.states().filter(|state| !round.dead.contains_key(&state.rank));
        let candidates = lines.candidates(survivors.cloned());
        let Some(line) = lines.line(&candidates) else {
            let why = lines.missing().map_or(Unrecoverable::NoLine, checkpoint_lost);
            return self.end(End::Unrecoverable(why), actions);
        };
        let returning: BTreeMap<Rank, CheckpointNumber> = candidates
            .chosen(&line)
            .filter(|candidate| !candidate.current)
            .map(|candidate| (candidate.head.rank, candidate.head.number))
            .collect();
        let beyond: Vec<Rank> =
            returning.keys().copied().filter(|rank| !round.dead.contains_key(rank)).collect();
        if !beyond.is_empty() {
            return self.roll_back(round, beyond, actions);
        }
        for (&rank, &number) in &returning {
            lines.returned(rank, number);
        }
        actions.push(Action::Recovered { round: round.number });
        for (rank, fate) in std::mem::take(&mut round.dead) {
            let state = &mut self.ranks[rank as usize];
            state.life = Life::Replaying;
            let (sends_before, deliveries_before) = state.furthest;
            let image = RecoveryImage {
                incarnation: state.incarnation,
                memory_lost: fate == Fate::Lost,
                checkpoint_number: returning.get(&rank).copied().unwrap_or(0),
                round: round.number,
                sends_before,
                deliveries_before,
                ..RecoveryImage::default()
            };
            actions.push(Action::Start { rank, image });
        }
    }
}

pub(super) fn checkpoint_lost((rank, number): (Rank, CheckpointNumber)) -> Unrecoverable {
    Unrecoverable::CheckpointLost { rank, number }
}
