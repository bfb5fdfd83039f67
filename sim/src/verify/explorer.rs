//! The exploration itself: breadth first, level by level, each level shared by several threads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::thread;

use egida_core::binder::{BindError, Judged};
use egida_core::ids::Rank;
use egida_core::recovery::Policy;

use super::{CounterExample, Report, Scope, Verdict, scenario, story};
use crate::job::{Ending, Job};
use crate::oracle::{is_beyond, judge};
use crate::program::Scripts;
use crate::scheduler::{Event, Unhurried};
use crate::simulation::{Reached, Simulation, Turn};

/// So many writes of checkpoints have each its own fate when those who asked for them die; more are never under way.
const MAX_UNFINISHED: u32 = 6;

/// How far an exploration has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many turns the longest runs have that were looked at.
    pub turns: u32,
    /// How many different states were reached.
    pub states: usize,
    /// How many times a turn was taken from one of them.
    pub transitions: u64,
    /// How many runs came to their end.
    pub ended: u64,
    /// How many of them ended because more failed at once than the protocol tolerates.
    pub beyond: u64,
    /// How many states wait to be explored further.
    pub open: usize,
}

/// A state by the way that leads to it.
struct Node {
    parent: u32,
    turn: Option<Turn>,
    failures: Failures,
}

/// How much has failed on the way to a state: the same state with less to come is another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Failures {
    deaths: u32,
    saves: u32,
}

impl Failures {
    fn with(self, turn: &Turn) -> Self {
        let is_death = turn.crash_at.is_some() || matches!(turn.event, Event::Kill(_));
        Self { deaths: self.deaths + u32::from(is_death), saves: self.saves + u32::from(turn.fails) }
    }
}

/// A state that is to be explored further.
struct Open {
    node: u32,
    fingerprint: u128,
    next: Vec<Event>,
    alive: Vec<Rank>,
}

/// Where a turn leads from an open state.
struct Successor {
    parent: u32,
    turn: Turn,
    reached: Reached,
    /// What is wrong with a run that ends here.
    wrong: Option<String>,
}

/// An exploration.
pub(super) struct Explorer<'a> {
    judged: &'a Judged<'a>,
    scope: &'a Scope,
    model: Scripts,
    policy: Policy,
    nodes: Vec<Node>,
    known: HashMap<(u128, Failures), u32>,
    progress: Progress,
}

impl<'a> Explorer<'a> {
    pub fn new(judged: &'a Judged<'a>, scope: &'a Scope) -> Self {
        Self {
            judged,
            scope,
            model: scenario(scope.setting.domains.ranks(), scope.messages, scope.besides),
            policy: judged.policy(),
            nodes: Vec::new(),
            known: HashMap::new(),
            progress: Progress::default(),
        }
    }

    pub fn explore(mut self, tell: &mut dyn FnMut(&Progress)) -> Result<Report, Vec<BindError>> {
        let beginning = self.begin(&self.job(false))?.reached();
        self.known.insert((beginning.fingerprint, Failures::default()), 0);
        self.nodes.push(Node { parent: 0, turn: None, failures: Failures::default() });
        self.progress.states = 1;
        let Reached { fingerprint, next, alive, .. } = beginning;
        let mut open = vec![Open { node: 0, fingerprint, next, alive }];
        while !open.is_empty() {
            self.progress.open = open.len();
            tell(&self.progress);
            self.progress.turns += 1;
            let share = open.len().div_ceil(self.scope.jobs.get());
            let explorer = &self;
            let shares: Vec<Result<Vec<Found>, Vec<BindError>>> = thread::scope(|scope| {
                let workers: Vec<_> = open
                    .chunks(share)
                    .map(|share| {
                        scope.spawn(move || {
                            let job = explorer.job(false);
                            let beginning = explorer.begin(&job)?;
                            Ok(share.iter().map(|open| explorer.expand(&beginning, open)).collect())
                        })
                    })
                    .collect();
                workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Ok(Vec::new()))).collect()
            });
            let mut further = Vec::new();
            for found in shares {
                for found in found? {
                    if let Some(verdict) = self.take_in(found, &mut further)? {
                        return Ok(Report { verdict, progress: self.progress });
                    }
                }
            }
            open = further;
            if self.nodes.len() > self.scope.max_states && !open.is_empty() {
                self.progress.open = open.len();
                return Ok(Report { verdict: Verdict::Bounded, progress: self.progress });
            }
        }
        self.progress.open = 0;
        tell(&self.progress);
        Ok(Report { verdict: Verdict::Holds, progress: self.progress })
    }

    /// Enters what was found from one state. Returns a verdict where something is wrong.
    fn take_in(&mut self, found: Found, further: &mut Vec<Open>) -> Result<Option<Verdict>, Vec<BindError>> {
        if found.is_stuck {
            let path = self.path(found.node);
            let wrong = "nothing can happen any more, and the job is not over".to_owned();
            return self.broken(&path, wrong).map(Some);
        }
        for Successor { parent, turn, reached, wrong } in found.successors {
            self.progress.transitions += 1;
            if let Some(wrong) = wrong {
                let mut path = self.path(parent);
                path.push(turn);
                return self.broken(&path, wrong).map(Some);
            }
            if let Some(end) = &reached.end {
                self.progress.ended += 1;
                self.progress.beyond += u64::from(!matches!(end, Ending::Done));
                continue;
            }
            let failures = self.nodes[parent as usize].failures.with(&turn);
            let Ok(node) = u32::try_from(self.nodes.len()) else {
                return Ok(Some(Verdict::Bounded));
            };
            let Entry::Vacant(vacant) = self.known.entry((reached.fingerprint, failures)) else {
                continue;
            };
            vacant.insert(node);
            self.nodes.push(Node { parent, turn: Some(turn), failures });
            self.progress.states += 1;
            let Reached { fingerprint, next, alive, .. } = reached;
            further.push(Open { node, fingerprint, next, alive });
        }
        Ok(None)
    }

    fn broken(&self, path: &[Turn], wrong: String) -> Result<Verdict, Vec<BindError>> {
        let story =
            story::tell(&self.job(true), self.judged, self.scope.manner(), self.counts_deaths(), path)?;
        Ok(Verdict::Broken(CounterExample { wrong, story }))
    }

    /// Takes every turn that can be taken from a state.
    fn expand(&self, beginning: &Simulation<'_>, open: &Open) -> Found {
        let failures = self.nodes[open.node as usize].failures;
        let mut from = From { explorer: self, node: open.node, failures, state: beginning.fork() };
        self.path(open.node).iter().for_each(|turn| from.state.take(turn));
        let may_die = failures.deaths < self.scope.crashes;
        let may_fail = failures.saves < self.scope.failed_saves;
        let mut successors = Vec::new();
        let mut is_stuck = true;
        // Time goes by where nothing else happens.
        for event in open.next.iter().chain([&Event::NextTimer]) {
            if *event == Event::NextTimer && !is_stuck {
                break;
            }
            let turn = Turn::from(event.clone());
            let successor = from.successor(turn.clone());
            let is_other =
                successor.reached.end.is_some() || successor.reached.fingerprint != open.fingerprint;
            is_stuck &= !is_other;
            let crash_points = successor.reached.crash_points.clone();
            if is_other {
                successors.push(successor);
            }
            if may_fail && matches!(event, Event::Save { .. }) {
                successors.push(from.successor(Turn { fails: true, ..turn.clone() }));
            }
            for crash_at in crash_points.into_iter().filter(|_| may_die) {
                from.deaths(Turn { crash_at: Some(crash_at), ..turn.clone() }, &mut successors);
            }
        }
        for &rank in open.alive.iter().filter(|_| may_die) {
            from.deaths(Event::Kill(rank).into(), &mut successors);
        }
        Found { node: open.node, is_stuck, successors }
    }

    /// What is wrong with a run that has ended after so many deaths.
    fn judge(&self, end: &Ending, deaths: usize, simulation: Simulation<'_>) -> Option<String> {
        match is_beyond(end, self.policy.tolerates, deaths) {
            true => None,
            false => judge(&simulation.outcome()),
        }
    }

    /// The scenario at its beginning.
    fn begin<'s>(&'s self, job: &'s Job<'s>) -> Result<Simulation<'s>, Vec<BindError>> {
        let mut simulation = Simulation::new(job, self.judged, Box::new(Unhurried))?;
        simulation.begin_explored(self.scope.manner(), self.counts_deaths())?;
        Ok(simulation)
    }

    fn counts_deaths(&self) -> bool {
        self.scope.crashes >= self.policy.deaths_at_one_event
    }

    fn job(&self, traced: bool) -> Job<'_> {
        Job {
            traced,
            control: self.scope.control,
            ..Job::new(self.judged.protocol(), self.scope.setting.clone(), &self.model, 0)
        }
    }

    /// The turns that lead to a state.
    fn path(&self, node: u32) -> Vec<Turn> {
        let mut path = Vec::new();
        let mut at = &self.nodes[node as usize];
        while let Some(turn) = &at.turn {
            path.push(turn.clone());
            at = &self.nodes[at.parent as usize];
        }
        path.reverse();
        path
    }
}

/// A state from which turns are taken.
struct From<'e, 's> {
    explorer: &'e Explorer<'e>,
    node: u32,
    failures: Failures,
    state: Simulation<'s>,
}

impl From<'_, '_> {
    fn successor(&self, turn: Turn) -> Successor {
        let mut state = self.state.fork();
        state.take(&turn);
        let reached = state.reached();
        let deaths = self.failures.with(&turn).deaths as usize;
        let wrong = reached.end.as_ref().and_then(|end| self.explorer.judge(end, deaths, state));
        Successor { parent: self.node, turn, reached, wrong }
    }

    /// A death, with every number of records that may be found on the disk after it, and every choice of checkpoints that come
    /// there all the same.
    fn deaths(&self, turn: Turn, successors: &mut Vec<Successor>) {
        let first = self.successor(turn.clone());
        let Reached { unsynced, unfinished, .. } = first.reached;
        successors.push(first);
        for kept in 0..=unsynced {
            for finished in (0..1 << unfinished.min(MAX_UNFINISHED)).skip(usize::from(kept == 0)) {
                successors.push(self.successor(Turn { kept, finished, ..turn.clone() }));
            }
        }
    }
}

/// Where the turns from one state lead.
struct Found {
    node: u32,
    /// Whether nothing but a death leads anywhere else.
    is_stuck: bool,
    successors: Vec<Successor>,
}
