//! What the schedule lets go wrong, and those that were given up and live on.

use egida_core::api::Api;
use egida_core::driver::Progress;
use egida_core::engine::Engine;
use egida_core::fault::Fault;
use egida_core::ids::{Domain, Incarnation, Rank};
use egida_core::module::FailureDetector;
use egida_core::recovery::{Cause, Input};
use egida_core::trace::{self, Line};
use egida_spec::protocol::FailureUnit;

use super::Simulation;
use crate::application::{Application, Step};
use crate::driver::SimDriver;
use crate::job::Control;
use crate::schedule::{Mishap, Moment, Phase, Schedule};
use crate::scheduler::Event;

/// An incarnation that was given up while it lived. Nothing that it does has an effect, until it learns of it and ends.
#[derive(Clone)]
pub(super) struct Zombie {
    rank: Rank,
    incarnation: Incarnation,
    pub engine: Engine<SimDriver>,
    application: Box<dyn Application>,
    /// How much of what the application wrote the node has read.
    read: usize,
    over: bool,
}

/// A death of which whoever coordinates has not heard.
#[derive(Clone)]
pub(super) struct Unreported {
    incarnation: Incarnation,
    cause: Cause,
    at: Progress,
}

/// What goes wrong right after an event of the trace.
#[derive(Clone)]
pub(super) struct AfterEvent {
    /// Its place in the schedule.
    mishap: usize,
    kind: &'static str,
    rank: Option<Rank>,
    /// How many such events are still to come.
    left: u32,
}

impl AfterEvent {
    /// Those of a schedule.
    pub fn of(schedule: &Schedule) -> Vec<Self> {
        let after = |(mishap, what): (usize, &Mishap)| match *what {
            Mishap::Kill { at: Moment::After(kind, rank, left), .. } => {
                Some(Self { mishap, kind, rank, left })
            }
            _ => None,
        };
        schedule.0.iter().enumerate().filter_map(after).collect()
    }
}

impl Zombie {
    fn step(&mut self, live: u64) -> Result<Step, Fault> {
        self.engine.progress()?;
        if self.over {
            return Ok(Step::Over);
        }
        if self.engine.is_held() {
            return Ok(Step::Waiting);
        }
        self.application.step(&mut self.engine, live)
    }
}

impl Simulation<'_> {
    pub(super) fn go_wrong(&mut self, number: usize) {
        let job = self.job;
        match job.schedule.0.get(number) {
            Some(Mishap::Kill { ranks, .. }) => {
                for &rank in ranks {
                    self.kill(rank);
                }
            }
            Some(Mishap::Cut { away, until, .. }) => {
                self.record(None, None, || trace::Event::Cut { domains: away.clone(), until_ns: *until });
                self.world.borrow_mut().cut(away.iter().copied().collect(), *until);
            }
            Some(Mishap::Suspect { domain, .. }) => self.suspect(*domain),
            Some(Mishap::Crash(_) | Mishap::Full { .. } | Mishap::Late { .. } | Mishap::LateNews { .. })
            | None => {}
        }
    }

    /// A recovery comes to a phase: those that are to die there do so with the next event.
    pub(super) fn reach(&mut self, phase: Phase) {
        let times = self.phases.entry(phase).or_insert(0);
        *times += 1;
        let now = Moment::Recovery(phase, *times);
        for (number, mishap) in self.job.schedule.0.iter().enumerate() {
            if matches!(mishap, Mishap::Kill { at, .. } if *at == now) {
                let at = self.world.borrow().now;
                self.agenda.put(at, Event::Mishap(number));
            }
        }
    }

    /// The trace tells of an event: what is to go wrong right after it does so.
    pub(super) fn look_at(&mut self, line: &Line) {
        for number in 0..self.moments.len() {
            let moment = &mut self.moments[number];
            let is_it = |rank: Option<Rank>| rank.is_none() || rank == line.rank;
            if moment.left == 0 || moment.kind != line.event.kind() || !is_it(moment.rank) {
                continue;
            }
            moment.left -= 1;
            if moment.left == 0 {
                let mishap = moment.mishap;
                self.go_wrong(mishap);
            }
        }
    }

    pub(super) fn kill(&mut self, rank: Rank) {
        if self.ranks.get(rank as usize).is_some_and(|life| life.engine.is_some()) {
            self.died(rank, Cause::Signal(9));
        }
    }

    /// A death becomes known where it can be, and else when it can be.
    pub(super) fn report(&mut self, rank: Rank, cause: Cause, at: Progress) {
        if cause != Cause::Fenced {
            self.watch_failure(rank);
        }
        let at = if self.counts_deaths { at } else { Progress::default() };
        let domain = self.job.setting.domains.of(rank);
        let away = self.world.borrow().network.away_until(domain);
        if away.is_none() || cause == Cause::Fenced {
            return self.detected(Input::Died { rank, cause, at });
        }
        let incarnation = self.ranks[rank as usize].incarnation;
        self.unreported.insert(rank, Unreported { incarnation, cause, at });
        self.after_message(domain, self.job.faults.control_delay, Event::Report(rank, incarnation));
    }

    /// How far a rank had come whose death was not reported and need not be any more.
    pub(super) fn take_unreported(&mut self, rank: Rank) -> Progress {
        self.unreported.remove(&rank).map_or_else(Progress::default, |death| death.at)
    }

    pub(super) fn reported(&mut self, rank: Rank, incarnation: Incarnation) {
        if self.unreported.get(&rank).is_some_and(|death| death.incarnation == incarnation)
            && let Some(Unreported { cause, at, .. }) = self.unreported.remove(&rank)
        {
            self.detected(Input::Died { rank, cause, at });
        }
    }

    /// A domain is declared dead. What lives there lives on, for a while; what died there unheard of is heard of by this.
    fn suspect(&mut self, domain: Domain) {
        let suspected: Vec<Rank> = self
            .job
            .setting
            .domains
            .members(domain)
            .filter(|&rank| self.ranks[rank as usize].engine.is_some() || self.unreported.contains_key(&rank))
            .collect();
        if suspected.is_empty() {
            return;
        }
        self.record(None, None, || trace::Event::Suspect { domain });
        let learns = self.world.borrow().network.away_until(domain);
        self.world.borrow_mut().moved(domain);
        let given_up: Vec<(Rank, Progress)> =
            suspected.iter().map(|&rank| (rank, self.give_up(rank, learns))).collect();
        // Where a domain is a node, one report is enough for the coordinator to have the rest of it fenced.
        for (rank, at) in given_up {
            let alone = self.job.setting.unit == FailureUnit::Process;
            if alone || !self.coordinator.is_dead(rank) {
                self.watch_failure(rank);
                self.detected(Input::Died { rank, cause: Cause::Suspected, at });
            }
        }
    }

    /// Takes a rank for dead. Returns how far it had come.
    fn give_up(&mut self, rank: Rank, learns: Option<u64>) -> Progress {
        if let Some(Unreported { at, .. }) = self.unreported.remove(&rank) {
            return at;
        }
        let ranks = self.job.setting.domains.ranks();
        let fresh = self.job.model.start(rank, ranks);
        let life = &mut self.ranks[rank as usize];
        let Some(engine) = life.engine.take() else { return Progress::default() };
        let at = engine.driver_ref().progress();
        let incarnation = life.incarnation;
        let zombie = Zombie {
            rank,
            incarnation,
            engine,
            application: std::mem::replace(&mut life.application, fresh),
            read: life.read,
            over: life.over,
        };
        self.zombies.push(zombie);
        self.gone(rank);
        self.record_at(rank, || trace::Event::Crash { cause: trace::Ended::Suspected });
        self.after_from(learns, self.job.faults.control_delay, Event::Learn(rank, incarnation));
        at
    }

    /// An incarnation that was given up hears of it, and ends.
    pub(super) fn learn(&mut self, rank: Rank, incarnation: Incarnation) {
        let before = self.zombies.len();
        self.zombies.retain(|zombie| (zombie.rank, zombie.incarnation) != (rank, incarnation));
        if self.zombies.len() < before {
            self.record(Some(rank), Some(incarnation), || trace::Event::Learn);
        }
    }

    /// An incarnation that was given up goes on as if nothing had happened.
    pub(super) fn stagger(&mut self, rank: Rank, incarnation: Incarnation, live: u64) {
        let Some(at) =
            self.zombies.iter().position(|zombie| (zombie.rank, zombie.incarnation) == (rank, incarnation))
        else {
            return;
        };
        let zombie = &mut self.zombies[at];
        let stepped = zombie.step(live);
        let written = zombie.application.written();
        let bytes = written.get(zombie.read..).unwrap_or_default().to_vec();
        zombie.read = written.len();
        zombie.over |= stepped == Ok(Step::Over);
        let over = zombie.over;
        if self.job.control == Some(Control::Unfenced) && !bytes.is_empty() {
            self.wrote_unfenced(rank, bytes);
        }
        match stepped {
            Ok(_) if over => {}
            Ok(_) => self.after(100, Event::Run(rank, incarnation)),
            // What it makes of a world that has gone on without it is nobody's concern.
            Err(_) => {
                self.zombies.remove(at);
            }
        }
    }
}
