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

use std::collections::{BTreeMap, BTreeSet};

use egida_spec::protocol::FailureUnit;
use serde::{Deserialize, Serialize};

use super::image::{Collected, RecoveryImage, Unrecoverable, assemble, assemble_up_to};
use crate::checkpoint::{CheckpointHead, Committed, Lines};
use crate::clock::{IncarnationClock, Token};
use crate::driver::Progress;
use crate::ids::{CheckpointNumber, Domain, Domains, EventIndex, Incarnation, Rank, Version};
use crate::module::{OrphanDetection, Standing};

/// What the coordinator may do about a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What fails as one.
    pub unit: FailureUnit,
    /// Whether the protocol recovers at all.
    pub recovers: bool,
    /// How many domains may be down at once under this unit; `None` for any number.
    pub tolerates: Option<u32>,
    /// After how many deaths in a row at the same event of a rank to give up: the program itself is at fault.
    pub deaths_at_one_event: u32,
}

/// Why a process is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A signal ended it.
    Signal(i32),
    /// It was fenced because its domain failed.
    Fenced,
    /// It found out that it is an orphan, and ended itself.
    RolledBack,
    /// Its node cannot be reached and is given up. It may live on: nothing that its incarnation still does has an effect.
    Suspected,
}

/// What becomes of the memory of a rank that is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fate {
    /// It stays: what the rank logged is drained to its stores, its channels stay as they are.
    Stays,
    /// It stays, and what the rank logged is drained; but the rank returns to an earlier state, so that its outbound
    /// channels begin anew.
    RollsBack,
    /// It is lost, with all that is charged to the rank's domain.
    Lost,
}

/// What the driver tells the coordinator.
#[derive(Debug, Clone)]
pub enum Input {
    /// A rank died and is reaped: it cannot write any more.
    Died {
        /// The rank.
        rank: Rank,
        /// Of what.
        cause: Cause,
        /// How far it had come.
        at: Progress,
    },
    /// A rank left with this status. `finalized` tells whether it had ended its part of the job properly (or never
    /// began it: a program that does not use the library).
    Exited {
        /// The rank.
        rank: Rank,
        /// The exit status.
        code: i32,
        /// Whether that was the proper end.
        finalized: bool,
    },
    /// The new incarnation numbers of a round are on stable storage.
    Durable {
        /// The round.
        round: u64,
    },
    /// No survivor uses channels of the old state any more.
    Quiesced {
        /// The round.
        round: u64,
    },
    /// Determinants and messages of the round are here. `depends` gives, for each rank of the round, how many of its
    /// events each survivor has seen; `observed`, how many observations its released output may tell of.
    Collected {
        /// The round.
        round: u64,
        /// What was found.
        collected: Collected,
        /// Dependencies of survivors.
        depends: BTreeMap<Rank, Vec<(Rank, EventIndex)>>,
        /// Observations told of by released output.
        observed: BTreeMap<Rank, u64>,
    },
    /// A checkpoint is on stable storage.
    Saved {
        /// What is to be known of it.
        head: CheckpointHead,
    },
    /// A checkpoint was in the memory of nodes that are all lost.
    Lost {
        /// Whose checkpoint.
        rank: Rank,
        /// Its number.
        number: CheckpointNumber,
    },
    /// Stable storage has the first `events` events of a rank's log.
    Logged {
        /// Whose log.
        rank: Rank,
        /// How many.
        events: EventIndex,
    },
    /// The protocol has decided whether a tentative checkpoint is kept.
    Decided {
        /// Whose checkpoint.
        rank: Rank,
        /// Its number.
        number: CheckpointNumber,
        /// Whether it is kept.
        keep: bool,
    },
    /// A new incarnation has loaded what it was given: it holds again what it held for others.
    Live {
        /// The rank.
        rank: Rank,
    },
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Kill these ranks and report each as [`Input::Died`] with [`Cause::Fenced`] once it is reaped. Those that have
    /// left already are not among them.
    Fence {
        /// The ranks.
        ranks: Vec<Rank>,
    },
    /// Seal the channels of these ranks, and do with their memory as its fate says.
    Seal {
        /// The ranks, with the fate of their memory.
        ranks: Vec<(Rank, Fate)>,
    },
    /// Make these incarnation numbers durable, then report [`Input::Durable`].
    Persist {
        /// The round.
        round: u64,
        /// The numbers.
        incarnations: Vec<(Rank, Incarnation)>,
    },
    /// Let every survivor see that channels changed, then report [`Input::Quiesced`].
    Quiesce {
        /// The round.
        round: u64,
    },
    /// Run the protocol's retrieval for these ranks, then report [`Input::Collected`].
    Collect {
        /// The round.
        round: u64,
        /// The ranks.
        ranks: Vec<Rank>,
        /// Others whose logs on stable storage are to be read as well: which of them are orphans is to be found out, or what
        /// they held before their memory was lost is there and nowhere else.
        witnesses: Vec<Rank>,
    },
    /// Make these tokens durable, and put them into the inbox of every rank, before anything that is ordered after this.
    Announce {
        /// The tokens.
        tokens: Vec<Token>,
    },
    /// Put [`Control::Recovered`](crate::control::Control::Recovered) into the inbox of every rank, before anything that is
    /// ordered after this.
    Recovered {
        /// How many rounds of recovery there were.
        round: u64,
    },
    /// Recovery will never again need anything of a rank from before a checkpoint: collect it, tell the rank
    /// ([`Control::Committed`](crate::control::Control::Committed)) and the others
    /// ([`Control::Covered`](crate::control::Control::Covered)), and release output that waited for it.
    Commit(Committed),
    /// Start a new incarnation, from the checkpoint whose number the image gives; the driver reads it.
    Start {
        /// The rank.
        rank: Rank,
        /// What it starts from.
        image: RecoveryImage,
    },
    /// Tell the user.
    Tell(Note),
    /// Kill what is left and end the job.
    End(End),
}

/// News for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A rank died.
    Death {
        /// The rank.
        rank: Rank,
        /// Which life of it.
        incarnation: Incarnation,
        /// Of what.
        cause: Cause,
    },
    /// A rank is back.
    Recovered {
        /// The rank.
        rank: Rank,
        /// Which life of it.
        incarnation: Incarnation,
    },
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every rank left; the first status that is not 0, or 0.
    Done(i32),
    /// A rank left without its proper end, or aborted the job.
    Left {
        /// The rank.
        rank: Rank,
        /// Its status.
        code: i32,
    },
    /// A rank died and the protocol does not recover.
    Died {
        /// The rank.
        rank: Rank,
        /// Of what.
        cause: Cause,
    },
    /// Recovery is impossible.
    Unrecoverable(Unrecoverable),
    /// A rank dies again and again at the same event.
    Hopeless {
        /// The rank.
        rank: Rank,
        /// How often it died there.
        deaths: u32,
        /// Where.
        at: Progress,
    },
}

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

    /// Recovers ranks that replay nothing: finds the line, has survivors that are beyond it return to it as well, and starts
    /// all of them once they are dead.
    fn collected_states(&mut self, collected: &Collected, actions: &mut Vec<Action>) {
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

    /// The ranks whose logs tell whether they are orphans: those that have left and cannot find out themselves, or all that
    /// live. Where there are no orphans: those whose logs have more than their memory.
    fn witnesses(&self) -> Vec<Rank> {
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

    fn collected_with_orphans(
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

fn checkpoint_lost((rank, number): (Rank, CheckpointNumber)) -> Unrecoverable {
    Unrecoverable::CheckpointLost { rank, number }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Returning;
    use crate::checkpoint::tests::NewestLine;
    use crate::event::{Determinant, Happened};

    fn coordinator(unit: FailureUnit, tolerates: Option<u32>, per_domain: u32) -> Coordinator {
        let policy = Policy { unit, recovers: true, tolerates, deaths_at_one_event: 3 };
        Coordinator::new(policy, Domains::blocks(4, per_domain))
    }

    fn died(rank: Rank, sends: u64) -> Input {
        Input::Died { rank, cause: Cause::Signal(9), at: Progress { sends, ..Progress::default() } }
    }

    fn collected(round: u64) -> Input {
        Input::Collected {
            round,
            collected: Collected::default(),
            depends: BTreeMap::new(),
            observed: BTreeMap::new(),
        }
    }

    /// Feeds completions back until a rank is started; returns the started ranks with their incarnations.
    fn run_round(coordinator: &mut Coordinator, mut actions: Vec<Action>) -> Vec<(Rank, Incarnation)> {
        let mut started = Vec::new();
        while let Some(action) = (!actions.is_empty()).then(|| actions.remove(0)) {
            let more = match action {
                Action::Fence { ranks } => ranks
                    .into_iter()
                    .flat_map(|rank| {
                        let at = Progress::default();
                        coordinator.handle(Input::Died { rank, cause: Cause::Fenced, at })
                    })
                    .collect(),
                Action::Persist { round, .. } => coordinator.handle(Input::Durable { round }),
                Action::Quiesce { round } => coordinator.handle(Input::Quiesced { round }),
                Action::Collect { round, .. } => coordinator.handle(collected(round)),
                Action::Start { rank, image } => {
                    started.push((rank, image.incarnation));
                    Vec::new()
                }
                Action::Seal { .. }
                | Action::Tell(_)
                | Action::Announce { .. }
                | Action::Recovered { .. }
                | Action::Commit(_) => Vec::new(),
                Action::End(end) => panic!("ended: {end:?}"),
            };
            actions.extend(more);
        }
        started
    }

    #[test]
    fn one_death_is_one_round() {
        let mut coordinator = coordinator(FailureUnit::Process, None, 1);
        let actions = coordinator.handle(died(2, 5));
        assert_eq!(run_round(&mut coordinator, actions), [(2, 2)]);
        let told = coordinator.handle(Input::Live { rank: 2 });
        assert_eq!(told, [Action::Tell(Note::Recovered { rank: 2, incarnation: 2 })]);
    }

    #[test]
    fn a_node_takes_its_neighbours_along() {
        let mut coordinator = coordinator(FailureUnit::Node, Some(1), 2);
        let actions = coordinator.handle(died(2, 5));
        assert!(actions.contains(&Action::Fence { ranks: vec![3] }));
        assert!(
            !actions.iter().any(|action| matches!(action, Action::Seal { .. })),
            "not before 3 is reaped"
        );
        assert_eq!(run_round(&mut coordinator, actions), [(2, 2), (3, 2)]);
    }

    #[test]
    fn the_log_of_one_that_lost_its_memory_is_read_at_later_failures() {
        let mut coordinator = coordinator(FailureUnit::Node, None, 1);
        let actions = coordinator.handle(died(2, 5));
        run_round(&mut coordinator, actions);
        coordinator.handle(Input::Live { rank: 2 });
        coordinator.handle(died(0, 7));
        let round = 2;
        coordinator.handle(Input::Durable { round });
        let collect = coordinator.handle(Input::Quiesced { round });
        assert_eq!(collect, [Action::Collect { round, ranks: vec![0], witnesses: vec![2] }]);
    }

    #[test]
    fn a_neighbour_that_left_is_executed_again() {
        let mut coordinator = coordinator(FailureUnit::Node, Some(1), 2);
        coordinator.handle(Input::Exited { rank: 3, code: 0, finalized: true });
        let actions = coordinator.handle(died(2, 5));
        assert_eq!(run_round(&mut coordinator, actions), [(2, 2), (3, 2)]);
    }

    #[test]
    fn a_death_during_collection_begins_the_round_anew() {
        let mut coordinator = coordinator(FailureUnit::Process, None, 1);
        coordinator.handle(died(1, 5));
        coordinator.handle(Input::Durable { round: 1 });
        let actions = coordinator.handle(died(3, 6));
        assert!(coordinator.handle(collected(1)).is_empty(), "an answer of the old round is ignored");
        assert_eq!(run_round(&mut coordinator, actions), [(1, 2), (3, 2)]);
    }

    #[test]
    fn too_many_nodes_at_once_are_unrecoverable() {
        let mut coordinator = coordinator(FailureUnit::Node, Some(1), 1);
        let actions = coordinator.handle(died(1, 5));
        assert_eq!(run_round(&mut coordinator, actions), [(1, 2)]);
        // Rank 1 is still replaying: its domain counts as down.
        let actions = coordinator.handle(died(3, 6));
        assert!(matches!(
            actions.last(),
            Some(Action::End(End::Unrecoverable(Unrecoverable::TooMany { down: 2, tolerated: 1, .. })))
        ));
        assert!(coordinator.handle(died(0, 1)).is_empty(), "an ended job is over");
    }

    #[test]
    fn who_returns_to_a_line_is_not_down() {
        let lines = Lines::new(Box::new(NewestLine), 4, Returning::Together);
        let mut coordinator = coordinator(FailureUnit::Node, Some(1), 1).checkpointing(Some(lines));
        let actions = coordinator.handle(died(1, 5));
        // All survivors know messages of rank 1 that it will not have sent.
        assert_eq!(run_round(&mut coordinator, actions), [(0, 2), (1, 2), (2, 2), (3, 2)]);
        coordinator.handle(Input::Live { rank: 1 });
        let actions = coordinator.handle(died(3, 6));
        assert!(!actions.iter().any(|action| matches!(action, Action::End(_))), "{actions:?}");
        let actions = coordinator.handle(died(0, 6));
        assert!(matches!(
            actions.last(),
            Some(Action::End(End::Unrecoverable(Unrecoverable::TooMany { down: 2, tolerated: 1, .. })))
        ));
    }

    #[test]
    fn a_checkpoint_that_nobody_holds_any_more_ends_the_job_by_name() {
        let mut lines = Lines::new(Box::new(NewestLine), 4, Returning::Together);
        for rank in 0..4 {
            lines.saved(CheckpointHead { number: 1, ..CheckpointHead::beginning(rank, 4) });
        }
        let mut coordinator = coordinator(FailureUnit::Node, Some(1), 1).checkpointing(Some(lines));
        coordinator.handle(died(1, 5));
        coordinator.handle(Input::Lost { rank: 1, number: 1 });
        coordinator.handle(Input::Durable { round: 1 });
        coordinator.handle(Input::Quiesced { round: 1 });
        let lost = Unrecoverable::CheckpointLost { rank: 1, number: 1 };
        assert_eq!(coordinator.handle(collected(1)), [Action::End(End::Unrecoverable(lost))]);
    }

    #[test]
    fn dying_at_the_same_event_again_and_again_is_hopeless() {
        let mut coordinator = coordinator(FailureUnit::Process, None, 1);
        for _ in 0..2 {
            let actions = coordinator.handle(died(1, 5));
            run_round(&mut coordinator, actions);
        }
        let actions = coordinator.handle(died(1, 5));
        assert!(matches!(actions.last(), Some(Action::End(End::Hopeless { rank: 1, deaths: 3, .. }))));
    }

    #[test]
    fn without_fault_tolerance_a_death_ends_the_job() {
        let policy = Policy {
            unit: FailureUnit::Process,
            recovers: false,
            tolerates: Some(0),
            deaths_at_one_event: 3,
        };
        let mut coordinator = Coordinator::new(policy, Domains::blocks(2, 1));
        let actions = coordinator.handle(died(1, 0));
        assert!(matches!(actions.last(), Some(Action::End(End::Died { rank: 1, .. }))));
    }

    #[test]
    fn the_first_bad_status_is_the_jobs() {
        let mut coordinator = coordinator(FailureUnit::Process, None, 2);
        for (rank, code) in [(0, 0), (1, 3), (2, 4)] {
            assert!(coordinator.handle(Input::Exited { rank, code, finalized: true }).is_empty());
        }
        let actions = coordinator.handle(Input::Exited { rank: 3, code: 0, finalized: true });
        assert_eq!(actions, [Action::End(End::Done(3))]);
    }

    /// A detector that takes every rank's word for it, as far as its clocks tell.
    #[derive(Debug, Clone, Default)]
    struct Tokens(Vec<Token>);

    impl OrphanDetection for Tokens {
        fn judge(&self, clock: &IncarnationClock) -> Standing {
            match self.0.iter().any(|token| clock.is_orphaned_by(token)) {
                true => Standing::Obsolete,
                false => Standing::Valid,
            }
        }

        fn delivered(&mut self, _: &IncarnationClock) {}

        fn token(&mut self, token: Token) -> bool {
            self.0.push(token);
            false
        }

        fn asks_everyone(&self) -> bool {
            false
        }
    }

    /// An event of `owner` that came to depend on `events` events of `of`.
    fn depends(owner: Rank, index: EventIndex, of: Rank, events: EventIndex) -> Determinant {
        let mut clock = IncarnationClock::new(4);
        clock.advance(of, 1, events);
        Determinant { owner, index, observed: 0, what: Happened::Polls, after: Some(Box::new(clock)) }
    }

    fn collected_of(round: u64, determinants: Vec<Determinant>) -> Input {
        let mut collected = Collected::default();
        determinants.into_iter().for_each(|determinant| collected.add_stable(determinant));
        Input::Collected { round, collected, depends: BTreeMap::new(), observed: BTreeMap::new() }
    }

    fn left(rank: Rank) -> Input {
        Input::Exited { rank, code: 0, finalized: true }
    }

    fn starts(actions: &[Action]) -> Vec<(Rank, usize)> {
        let start = |action: &Action| match action {
            Action::Start { rank, image } => Some((*rank, image.determinants.len())),
            _ => None,
        };
        actions.iter().filter_map(start).collect()
    }

    #[test]
    fn two_that_fail_at_once_keep_what_does_not_depend_on_the_others_loss() {
        let mut coordinator =
            coordinator(FailureUnit::Node, None, 1).detecting(Some(Box::new(Tokens::default())));
        coordinator.handle(died(1, 5));
        coordinator.handle(died(2, 5));
        coordinator.handle(Input::Durable { round: 2 });
        coordinator.handle(Input::Quiesced { round: 2 });
        // Rank 1 has lost its second event, on which the second of rank 2 depends, on which the first of... nobody does.
        let found = vec![depends(1, 0, 2, 1), depends(2, 0, 3, 1), depends(2, 1, 1, 2)];
        let actions = coordinator.handle(collected_of(2, found));
        let tokens = vec![Token { rank: 1, version: 1, events: 1 }, Token { rank: 2, version: 1, events: 1 }];
        assert!(actions.contains(&Action::Announce { tokens }), "{actions:?}");
        assert_eq!(starts(&actions), [(1, 1), (2, 1)]);
    }

    #[test]
    fn one_that_leaves_while_logs_are_read_is_asked_as_well_and_rolls_back() {
        let mut coordinator =
            coordinator(FailureUnit::Node, None, 1).detecting(Some(Box::new(Tokens::default())));
        coordinator.handle(died(1, 5));
        coordinator.handle(Input::Durable { round: 1 });
        let actions = coordinator.handle(Input::Quiesced { round: 1 });
        assert_eq!(actions, [Action::Collect { round: 1, ranks: vec![1], witnesses: vec![] }]);
        coordinator.handle(left(0));
        let actions = coordinator.handle(collected_of(1, vec![]));
        assert_eq!(actions, [Action::Collect { round: 1, ranks: vec![1], witnesses: vec![0] }]);
        let actions = coordinator.handle(collected_of(1, vec![depends(0, 0, 1, 1)]));
        let sealed = vec![(0, Fate::RollsBack), (1, Fate::Lost)];
        assert!(actions.contains(&Action::Seal { ranks: sealed }), "{actions:?}");
    }
}
