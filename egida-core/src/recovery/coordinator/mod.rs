//! The recovery coordinator: a state machine that is told of deaths and says what to do next.
//!
//! ```text
//!   Died --> Fence the rest of the domain --> (all reaped) --> Seal --> Persist incarnations --> Quiesce survivors
//!        --> Collect --> Start each --> (Live)
//! ```
//!
//! In an optimistic protocol a round also ends versions: what each dead rank can regain is computed, a token says where its
//! version ended, and all tokens are durable and in every rank's inbox before anybody is started. Survivors that depend on
//! what is lost report themselves as rolled back (or are found here, where the detector asks everyone, and where they have
//! left already), and are recovered in the same way, from their own logs, and from their newest checkpoint that depends on nothing
//! lost where they take any.
//!
//! A death at any moment before `Start` joins the round and begins it anew under a new number; answers that belong to
//! an earlier number are ignored. A death after `Start` begins another round; until a rank is live again its domain
//! counts as down. Nothing here waits: the driver performs the actions and feeds their completion back.

mod exchange;
mod line;
mod orphans;

use std::collections::{BTreeMap, BTreeSet};

use egida_spec::protocol::FailureUnit;

use super::image::{Collected, Unrecoverable, assemble};
use crate::checkpoint::Lines;
use crate::clock::Token;
use crate::driver::Progress;
use crate::ids::{Domain, Domains, EventIndex, Incarnation, Rank, Version};
use crate::module::OrphanDetection;
pub use exchange::{Action, Cause, End, Fate, Input, Note, Policy};
use line::checkpoint_lost;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    Replaying,
    Left(i32),
    Dead,
}

#[derive(Debug, Clone)]
struct RankState {
    life: Life,
    incarnation: Incarnation,
    /// Which version of the rank runs: one more for each end that was announced.
    version: Version,
    last_death: Option<Progress>,
    /// The most sends and deliveries of any life so far: a rank can die again before it is where it died first.
    furthest: (u64, u64),
    deaths_there: u32,
    /// Whether it was started with its memory lost: what was stable by then was not put back into its journal.
    forgot: bool,
    /// Whether it only returns to an earlier state, and its memory is there: it is not down.
    returns: bool,
}

impl RankState {
    /// Whether this death is one too many at the same event.
    fn is_hopeless(&mut self, at: Progress, limit: u32) -> bool {
        let event = |at: Progress| (at.sends, at.deliveries, at.observed, at.events);
        let same = self.last_death.is_some_and(|last| event(last) == event(at));
        self.deaths_there = if same { self.deaths_there + 1 } else { 1 };
        self.deaths_there >= limit
    }
}

#[derive(Debug, Clone, Default)]
struct Round {
    number: u64,
    dead: BTreeMap<Rank, Fate>,
    /// Those whose next incarnation has a number already; a round that begins anew keeps it.
    numbered: BTreeSet<Rank>,
    to_reap: BTreeSet<Rank>,
    /// Whose logs were asked for besides those of the dead.
    witnesses: Vec<Rank>,
}

/// The coordinator of one job.
#[derive(Debug, Clone)]
pub struct Coordinator {
    policy: Policy,
    domains: Domains,
    ranks: Vec<RankState>,
    round: Option<Round>,
    rounds: u64,
    ended: bool,
    detector: Option<Box<dyn OrphanDetection>>,
    tokens: Vec<Token>,
    lines: Option<Lines>,
}

impl Coordinator {
    /// A coordinator of a job whose ranks have all been started as incarnation 1.
    #[must_use]
    pub fn new(policy: Policy, domains: Domains) -> Self {
        let ranks = (0..domains.ranks())
            .map(|_| RankState {
                life: Life::Running,
                incarnation: 1,
                version: 1,
                last_death: None,
                furthest: (0, 0),
                deaths_there: 0,
                forgot: false,
                returns: false,
            })
            .collect();
        let (detector, tokens, lines) = (None, Vec::new(), None);
        Self { policy, domains, ranks, round: None, rounds: 0, ended: false, detector, tokens, lines }
    }

    /// The same, for a protocol in which survivors may be orphans.
    #[must_use]
    pub fn detecting(self, detector: Option<Box<dyn OrphanDetection>>) -> Self {
        Self { detector, ..self }
    }

    /// The same, for a protocol that takes checkpoints.
    #[must_use]
    pub fn checkpointing(self, lines: Option<Lines>) -> Self {
        Self { lines, ..self }
    }

    /// What is known of the checkpoints on stable storage.
    #[must_use]
    pub fn lines(&self) -> Option<&Lines> {
        self.lines.as_ref()
    }

    /// Whether recovery returns ranks to a line of checkpoints, survivors among them.
    fn recovers_by_line(&self) -> bool {
        self.lines.as_ref().is_some_and(|lines| !lines.replays())
    }

    /// The incarnation of a rank.
    #[must_use]
    pub fn incarnation(&self, rank: Rank) -> Incarnation {
        self.ranks[rank as usize].incarnation
    }

    /// What becomes of a rank in the recovery under way, where it takes part in it.
    #[must_use]
    pub fn fate(&self, rank: Rank) -> Option<Fate> {
        self.round.as_ref().and_then(|round| round.dead.get(&rank)).copied()
    }

    /// Whether a rank is dead and not yet started anew.
    #[must_use]
    pub fn is_dead(&self, rank: Rank) -> bool {
        self.ranks[rank as usize].life == Life::Dead
    }

    /// Whether a recovery is under way whose tokens are not announced yet.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.round.is_some()
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.ended {
            self.dispatch(input, &mut actions);
        }
        actions
    }

    fn dispatch(&mut self, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Died { rank, cause, at } => self.died(rank, cause, at, actions),
            Input::Exited { rank, code, finalized } => self.exited(rank, code, finalized, actions),
            Input::Durable { round } if self.is_current(round) => actions.push(Action::Quiesce { round }),
            Input::Quiesced { round } if self.is_current(round) => {
                self.collect(round, actions);
            }
            Input::Collected { round, mut collected, depends, observed } if self.is_current(round) => {
                self.cover(&mut collected);
                match self.detector.is_some() {
                    true => self.collected_with_orphans(&collected, &observed, actions),
                    false if self.recovers_by_line() => self.collected_states(&collected, actions),
                    false => self.collected(&collected, &depends, &observed, actions),
                }
            }
            Input::Live { rank } => self.live(rank, actions),
            Input::Saved { head } => {
                let committed = self.lines.as_mut().map(|lines| lines.saved(head));
                actions.extend(committed.into_iter().flatten().map(Action::Commit));
            }
            Input::Lost { rank, number } => {
                if let Some(lines) = &mut self.lines {
                    lines.lost(rank, number);
                }
            }
            Input::Logged { rank, events } => {
                let committed = self.lines.as_mut().map(|lines| lines.logged(rank, events));
                actions.extend(committed.into_iter().flatten().map(Action::Commit));
            }
            Input::Decided { rank, number, keep } => {
                let committed = self.lines.as_mut().map(|lines| lines.decided(rank, number, keep));
                actions.extend(committed.into_iter().flatten().map(Action::Commit));
            }
            Input::Durable { .. } | Input::Quiesced { .. } | Input::Collected { .. } => {}
        }
    }

    fn is_current(&self, number: u64) -> bool {
        self.round.as_ref().is_some_and(|round| round.number == number)
    }

    fn end(&mut self, end: End, actions: &mut Vec<Action>) {
        self.ended = true;
        actions.push(Action::End(end));
    }

    fn died(&mut self, rank: Rank, cause: Cause, at: Progress, actions: &mut Vec<Action>) {
        let state = &mut self.ranks[rank as usize];
        state.life = Life::Dead;
        let is_failure = matches!(cause, Cause::Signal(_));
        let hopeless = is_failure && state.is_hopeless(at, self.policy.deaths_at_one_event);
        if is_failure {
            state.last_death = Some(at);
        }
        state.furthest = (state.furthest.0.max(at.sends), state.furthest.1.max(at.deliveries));
        // Who is fenced as an orphan rolls back, whoever found that out.
        let is_orphan =
            self.round.as_ref().is_some_and(|round| round.dead.get(&rank) == Some(&Fate::RollsBack));
        let told = if cause == Cause::Fenced && is_orphan { Cause::RolledBack } else { cause.clone() };
        actions.push(Action::Tell(Note::Death { rank, incarnation: state.incarnation, cause: told }));
        if !self.policy.recovers {
            return self.end(End::Died { rank, cause }, actions);
        }
        if hopeless {
            let deaths = self.ranks[rank as usize].deaths_there;
            return self.end(End::Hopeless { rank, deaths, at }, actions);
        }
        self.join_round(rank, &cause, actions);
    }

    /// Adds a dead rank, and under failure unit node all that shares its domain, to the round, and goes on where
    /// nothing is left to reap.
    fn join_round(&mut self, rank: Rank, cause: &Cause, actions: &mut Vec<Action>) {
        self.rounds += 1;
        let number = self.rounds;
        let round = self.round.get_or_insert_with(|| Round { number, ..Round::default() });
        round.number = number;
        round.to_reap.remove(&rank);
        let fate = match (cause, self.policy.unit) {
            (Cause::RolledBack, _) => Fate::RollsBack,
            (Cause::Signal(_) | Cause::Suspected, FailureUnit::Node) => Fate::Lost,
            // What a rank sent after its checkpoint it may never send again.
            _ if self.lines.as_ref().is_some_and(|lines| !lines.replays()) => Fate::RollsBack,
            (Cause::Fenced, _) => Fate::Stays,
            (Cause::Signal(_) | Cause::Suspected, FailureUnit::Process) => Fate::Stays,
        };
        let known = round.dead.entry(rank).or_insert(fate);
        *known = fate.max(*known);
        // Only one that lived returns from where it is; what was down before stays so until it is live.
        self.ranks[rank as usize].returns &= *known == Fate::RollsBack;
        let mut fence = Vec::new();
        if fate == Fate::Lost {
            for neighbour in self.domains.members(self.domains.of(rank)) {
                let RankState { life, returns, .. } = &mut self.ranks[neighbour as usize];
                *returns = false;
                if round.dead.insert(neighbour, Fate::Lost).is_some() {
                    continue;
                }
                // One that has left needs no fence, but what it logged is gone: it must be re-executed for its peers.
                if !matches!(life, Life::Left(_)) {
                    round.to_reap.insert(neighbour);
                    fence.push(neighbour);
                }
                *life = Life::Dead;
            }
        }
        if !fence.is_empty() {
            actions.push(Action::Fence { ranks: fence });
        }
        if let Some(too_many) = self.too_many() {
            return self.end(End::Unrecoverable(too_many), actions);
        }
        self.seal_when_reaped(actions);
    }

    fn too_many(&self) -> Option<Unrecoverable> {
        let tolerated = self.policy.tolerates?;
        let is_down =
            |state: &RankState| matches!(state.life, Life::Dead | Life::Replaying) && !state.returns;
        let down: BTreeSet<Domain> = (0..self.domains.ranks())
            .filter(|&rank| is_down(&self.ranks[rank as usize]))
            .map(|rank| self.domains.of(rank))
            .collect();
        let down = u32::try_from(down.len()).unwrap_or(u32::MAX);
        let unit = match self.policy.unit {
            FailureUnit::Process => "processes",
            FailureUnit::Node => "nodes",
        };
        (down > tolerated).then_some(Unrecoverable::TooMany { down, unit, tolerated })
    }

    fn seal_when_reaped(&mut self, actions: &mut Vec<Action>) {
        let Some(round) = self.round.as_mut().filter(|round| round.to_reap.is_empty()) else { return };
        let dead: Vec<(Rank, Fate)> = round.dead.iter().map(|(&rank, &fate)| (rank, fate)).collect();
        let number = round.number;
        for &(rank, _) in &dead {
            if round.numbered.insert(rank) {
                self.ranks[rank as usize].incarnation += 1;
            }
        }
        let incarnations = dead.iter().map(|&(rank, _)| (rank, self.incarnation(rank))).collect();
        actions.push(Action::Seal { ranks: dead });
        actions.push(Action::Persist { round: number, incarnations });
    }

    /// Notes what the checkpoints of ranks that replay from there make needless: the newest, or where it may be lost the one
    /// that never will be.
    fn cover(&self, collected: &mut Collected) {
        let Some(lines) = self.lines.as_ref().filter(|lines| lines.replays()) else { return };
        for rank in 0..self.domains.ranks() {
            let from = if self.detector.is_some() { lines.committed(rank) } else { lines.newest(rank) };
            collected.set_covered(rank, from.map_or(0, |head| head.events));
        }
    }

    fn collected(
        &mut self,
        collected: &Collected,
        depends: &BTreeMap<Rank, Vec<(Rank, EventIndex)>>,
        observed: &BTreeMap<Rank, u64>,
        actions: &mut Vec<Action>,
    ) {
        let Some(round) = self.round.take() else { return };
        let missing = self.lines.as_ref().and_then(Lines::missing);
        if let Some(missing) = missing.filter(|(rank, _)| round.dead.contains_key(rank)) {
            return self.end(End::Unrecoverable(checkpoint_lost(missing)), actions);
        }
        let mut starts = Vec::new();
        for (&rank, &fate) in &round.dead {
            let depends: Vec<_> = depends
                .get(&rank)
                .into_iter()
                .flatten()
                .copied()
                .filter(|(survivor, _)| !round.dead.contains_key(survivor))
                .collect();
            let observed = observed.get(&rank).copied().unwrap_or(0);
            let memory_lost = fate == Fate::Lost;
            match assemble(rank, self.incarnation(rank), memory_lost, observed, collected, &depends) {
                Ok(mut image) => {
                    (image.sends_before, image.deliveries_before) = self.ranks[rank as usize].furthest;
                    image.round = round.number;
                    let newest = self.lines.as_ref().and_then(|lines| lines.newest(rank));
                    image.checkpoint_number = newest.map_or(0, |head| head.number);
                    starts.push(Action::Start { rank, image });
                }
                Err(why) => return self.end(End::Unrecoverable(why), actions),
            }
        }
        for (&rank, &fate) in &round.dead {
            let state = &mut self.ranks[rank as usize];
            state.life = Life::Replaying;
            state.forgot |= fate == Fate::Lost;
        }
        if let Some(lines) = &mut self.lines {
            for start in &starts {
                if let Action::Start { rank, image } = start {
                    lines.returned(*rank, image.checkpoint_number);
                }
            }
            actions.push(Action::Recovered { round: round.number });
        }
        actions.extend(starts);
    }

    fn collect(&mut self, number: u64, actions: &mut Vec<Action>) {
        let witnesses = self.witnesses();
        let Some(round) = &mut self.round else { return };
        round.witnesses.clone_from(&witnesses);
        let ranks = round.dead.keys().copied().collect();
        actions.push(Action::Collect { round: number, ranks, witnesses });
    }

    /// Survivors roll back: the round begins anew with them among the dead.
    fn roll_back(&mut self, mut round: Round, ranks: Vec<Rank>, actions: &mut Vec<Action>) {
        let mut fence = Vec::new();
        for rank in ranks {
            round.dead.insert(rank, Fate::RollsBack);
            let RankState { life, returns, .. } = &mut self.ranks[rank as usize];
            *returns = *life != Life::Replaying || *returns;
            if !matches!(life, Life::Left(_)) {
                round.to_reap.insert(rank);
                fence.push(rank);
            }
            *life = Life::Dead;
        }
        self.rounds += 1;
        round.number = self.rounds;
        self.round = Some(round);
        if !fence.is_empty() {
            actions.push(Action::Fence { ranks: fence });
        }
        self.seal_when_reaped(actions);
    }

    fn live(&mut self, rank: Rank, actions: &mut Vec<Action>) {
        let state = &mut self.ranks[rank as usize];
        if state.life == Life::Replaying {
            state.life = Life::Running;
            state.returns = false;
            actions.push(Action::Tell(Note::Recovered { rank, incarnation: state.incarnation }));
        }
    }

    fn exited(&mut self, rank: Rank, code: i32, finalized: bool, actions: &mut Vec<Action>) {
        // A rank that was to be fenced and left first is reaped all the same.
        if self.round.as_mut().is_some_and(|round| round.to_reap.remove(&rank)) {
            return self.seal_when_reaped(actions);
        }
        self.live(rank, actions);
        self.ranks[rank as usize].life = Life::Left(code);
        if !finalized {
            return self.end(End::Left { rank, code }, actions);
        }
        let mut codes = Vec::new();
        for state in &self.ranks {
            let Life::Left(code) = state.life else { return };
            codes.push(code);
        }
        let code = codes.into_iter().find(|&code| code != 0).unwrap_or(0);
        self.end(End::Done(code), actions);
    }
}

#[cfg(test)]
mod tests;
