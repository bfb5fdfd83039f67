//! Recovery where survivors may turn out orphans: whose logs are asked, what is lost, and who rolls back.

use std::collections::BTreeMap;

use super::{Action, Coordinator, End, Fate, Life};
use crate::clock::{IncarnationClock, Token};
use crate::ids::{EventIndex, Rank};
use crate::module::Standing;
use crate::recovery::image::{Collected, assemble_up_to};

impl Coordinator {
    /// The ranks whose logs tell whether they are orphans: those that have left and cannot find out themselves, or all that
    /// live. Where there are no orphans: those whose logs have more than their memory.
    pub(super) fn witnesses(&self) -> Vec<Rank> {
        let Some(detector) = &self.detector else {
            let forgot = |&rank: &Rank| {
                let state = &self.ranks[rank as usize];
                state.forgot && state.life != Life::Dead
            };
            return (0..self.domains.ranks()).filter(forgot).collect();
        };
        let everyone = detector.asks_everyone();
        (0..self.domains.ranks())
            .filter(|&rank| match self.ranks[rank as usize].life {
                Life::Left(_) => true,
                Life::Running | Life::Replaying => everyone,
                Life::Dead => false,
            })
            .collect()
    }

    /// How many events each of these ranks keeps: the most such that nothing kept depends on what is not (the maximum
    /// recoverable state; Johnson and Zwaenepoel 1990).
    fn line(&self, collected: &Collected, ranks: &[Rank]) -> BTreeMap<Rank, EventIndex> {
        let Some(detector) = &self.detector else { return BTreeMap::new() };
        let found =
            |&rank: &Rank| (rank, collected.covered(rank) + collected.clocks(rank).count() as EventIndex);
        let mut line: BTreeMap<Rank, EventIndex> = ranks.iter().map(found).collect();
        loop {
            let ends: Vec<Token> = line
                .iter()
                .map(|(&rank, &events)| Token { rank, version: self.ranks[rank as usize].version, events })
                .collect();
            let mut moved = false;
            for (&rank, events) in &mut line {
                let is_lost = |clock: &IncarnationClock| {
                    detector.judge(clock) == Standing::Obsolete
                        || ends.iter().any(|end| end.rank != rank && clock.is_orphaned_by(end))
                };
                let behind = collected.covered(rank);
                let kept = collected
                    .clocks(rank)
                    .take(usize::try_from(*events - behind).unwrap_or(usize::MAX))
                    .take_while(|clock| !clock.is_some_and(is_lost))
                    .count() as EventIndex;
                let kept = behind + kept;
                moved |= kept < *events;
                *events = kept;
            }
            if !moved {
                return line;
            }
        }
    }

    pub(super) fn collected_with_orphans(
        &mut self,
        collected: &Collected,
        observed: &BTreeMap<Rank, u64>,
        actions: &mut Vec<Action>,
    ) {
        let Some(round) = self.round.take() else { return };
        let witnesses = self.witnesses();
        if witnesses.iter().any(|rank| !round.witnesses.contains(rank)) {
            // One has left since its log was to be read.
            let number = round.number;
            self.round = Some(round);
            return self.collect(number, actions);
        }
        let dead: Vec<Rank> = round.dead.keys().copied().collect();
        let line = self.line(collected, &dead);
        let tokens: Vec<Token> = dead
            .iter()
            .filter(|rank| round.dead[rank] != Fate::RollsBack)
            .map(|&rank| Token { rank, version: self.ranks[rank as usize].version, events: line[&rank] })
            .collect();
        // A witness that depends on what is lost rolls back with this round: it begins anew with them among the dead.
        let is_lost = |clock: &IncarnationClock| tokens.iter().any(|token| clock.is_orphaned_by(token));
        let orphans: Vec<Rank> =
            witnesses.into_iter().filter(|&rank| collected.clocks(rank).flatten().any(is_lost)).collect();
        if !orphans.is_empty() {
            return self.roll_back(round, orphans, actions);
        }
        if let Some(detector) = &mut self.detector {
            for &token in &tokens {
                detector.token(token);
            }
        }
        for token in &tokens {
            self.ranks[token.rank as usize].version += 1;
        }
        if let Some(lines) = &mut self.lines {
            tokens.iter().for_each(|&token| lines.ended(token));
        }
        self.tokens.extend(&tokens);
        if !tokens.is_empty() {
            actions.push(Action::Announce { tokens });
        }
        if self.lines.is_some() {
            actions.push(Action::Recovered { round: round.number });
        }
        for (&rank, &fate) in &round.dead {
            let observed = observed.get(&rank).copied().unwrap_or(0);
            let Some(detector) = &self.detector else { return };
            let from = self.lines.as_ref().and_then(|lines| lines.newest_within(rank, line[&rank]));
            let (number, behind) = from.map_or((0, 0), |head| (head.number, head.events));
            let events = behind..line[&rank];
            match assemble_up_to(rank, self.incarnation(rank), events, observed, collected, &**detector) {
                Ok(mut image) => {
                    if let Some(lines) = &mut self.lines {
                        lines.returned(rank, number);
                        let committed = lines.logged(rank, line[&rank]);
                        actions.extend(committed.into_iter().map(Action::Commit));
                    }
                    let state = &mut self.ranks[rank as usize];
                    state.life = Life::Replaying;
                    (image.sends_before, image.deliveries_before) = state.furthest;
                    image.memory_lost = fate == Fate::Lost;
                    image.version = state.version;
                    image.round = round.number;
                    image.checkpoint_number = number;
                    image.tokens.clone_from(&self.tokens);
                    actions.push(Action::Start { rank, image });
                }
                Err(why) => return self.end(End::Unrecoverable(why), actions),
            }
        }
    }
}
