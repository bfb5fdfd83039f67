//! The form of a scenario, and how it is judged.

use std::ops::Range;

use egida_core::ids::{Incarnation, Rank};
use egida_core::recovery::{End, Unrecoverable};
use egida_core::trace::{Ended, Event, Line, Logged};
use egida_sim::job::{Ending, Job, Outcome};
use egida_sim::oracle::judge;
use egida_sim::program::{Op, Scripts};
use egida_sim::run_traced;
use egida_sim::schedule::{Faults, Mishap, Schedule};

use crate::facts::{Facts, registry, setting};

/// The time between two checkpoints, where a protocol takes any: a few in a story.
const CHECKPOINT_EVERY: u64 = 1_000;

/// A crash schedule that breaks naive implementations, as a story.
pub struct Scenario {
    /// Its number in the list of such schedules.
    pub number: u32,
    /// Its name, in words joined by dashes.
    pub name: &'static str,
    /// Which protocols it concerns, in words.
    pub concerned: &'static str,
    /// Which it concerns.
    pub concerns: fn(&Facts) -> bool,
    /// What is asserted besides the oracles, in words.
    pub asserted: &'static str,
    /// What happens, one story or several.
    pub stories: fn(&Facts) -> Vec<Story>,
}

/// A program, what goes wrong in it, and what must have been seen.
#[derive(Clone)]
pub struct Story {
    /// What the ranks do.
    pub scripts: Vec<Vec<Op>>,
    /// What goes wrong.
    pub schedule: String,
    /// How bad the world is beside that.
    pub faults: Faults,
    /// How many ranks are down at once at most.
    pub overlap: u32,
    /// What the trace must tell: else the schedule did not happen.
    pub seen: fn(&Told<'_>) -> bool,
    /// Whether every run must tell so, or one of them at least.
    pub always: bool,
    /// What must be so in every run, whether it comes to the story or not.
    pub holds: fn(&Told<'_>) -> bool,
    /// Whether it is about checkpoints, and told only with them.
    pub checkpoints: bool,
    /// Whether a checkpoint may be lost with all who held it.
    pub may_lose: bool,
}

impl Story {
    /// A story in the usual world, in which one rank is down at a time, and that every run must tell.
    pub fn of(scripts: Vec<Vec<Op>>, schedule: &str, seen: fn(&Told<'_>) -> bool) -> Self {
        let (schedule, faults) = (schedule.to_owned(), Faults::default());
        Self {
            scripts,
            schedule,
            faults,
            overlap: 1,
            seen,
            always: true,
            holds: |_| true,
            checkpoints: false,
            may_lose: false,
        }
    }

    /// The same with so many down at once.
    pub fn down_at_once(self, overlap: u32) -> Self {
        Self { overlap, ..self }
    }

    /// The same where chance decides whether it comes to that.
    pub fn sometimes(self) -> Self {
        Self { always: false, ..self }
    }

    /// The same where this must be so in every run.
    pub fn in_every_run(self, holds: fn(&Told<'_>) -> bool) -> Self {
        Self { holds, ..self }
    }

    /// The same where chance decides, if this is so.
    pub fn sometimes_if(self, chance: bool) -> Self {
        Self { always: self.always && !chance, ..self }
    }

    /// The same where a disk may take so long.
    pub fn with_disk_delay(self, disk_delay: u64) -> Self {
        Self { faults: Faults { disk_delay, ..self.faults }, ..self }
    }

    /// The same with checkpoints in any protocol that takes some.
    pub fn with_checkpoints(self) -> Self {
        Self { checkpoints: true, ..self }
    }

    /// The same where all may fail who hold a checkpoint, one after the other.
    pub fn where_checkpoints_may_be_lost(self) -> Self {
        Self { may_lose: true, ..self }
    }

    /// The same where so many of a hundred checkpoints cannot be written.
    pub fn with_failed_saves(self, failed_saves_percent: u32) -> Self {
        Self { faults: Faults { failed_saves_percent, ..self.faults }, ..self }
    }

    /// Runs it under a protocol with each of the seeds.
    ///
    /// A run must come to its end and be found right by the oracles, and have told what the story says; or more domains are
    /// down at once than the protocol tolerates, and the run says so in words.
    pub fn happens(&self, facts: &Facts, seeds: Range<u64>) -> Result<(), String> {
        if self.checkpoints {
            return self.happens_with(facts, seeds, true);
        }
        self.happens_with(facts, seeds.clone(), facts.returns_to_line)?;
        // A rank that goes on from a checkpoint need not repeat what the story is about: only the oracles are asked.
        match facts.takes_checkpoints && !facts.returns_to_line && !self.takes_ages() {
            true => Self { always: false, seen: |_| true, holds: |_| true, ..self.clone() }
                .happens_with(facts, seeds, true),
            false => Ok(()),
        }
    }

    /// Whether there would be nothing but checkpoints most of the time.
    fn takes_ages(&self) -> bool {
        let late =
            |mishap: &Mishap| matches!(mishap, Mishap::Late { by, .. } if *by > 1_000 * CHECKPOINT_EVERY);
        self.schedule.parse().is_ok_and(|schedule: Schedule| schedule.0.iter().any(late))
    }

    fn happens_with(&self, facts: &Facts, seeds: Range<u64>, checkpoints: bool) -> Result<(), String> {
        let schedule: Schedule = self.schedule.parse().map_err(|bad| format!("{bad}"))?;
        let model = Scripts(self.scripts.clone());
        let (mut recovered, mut seen) = (0, 0);
        for seed in seeds {
            let job = Job {
                faults: self.faults.clone(),
                checkpoint_every: checkpoints.then_some(CHECKPOINT_EVERY),
                ..Job::new(&facts.protocol, setting(facts.unit), &model, seed).with(schedule.clone())
            };
            let mut lines = Vec::new();
            let outcome = run_traced(&job, &registry(), &mut |line| lines.push(line.clone()))
                .map_err(|errors| format!("{errors:?}"))?;
            let told = Told { lines: &lines, outcome: &outcome, facts };
            let wrong = |why: &str| {
                let trace: Vec<String> =
                    lines.iter().map(|line| format!("{:>9} {line}", line.time_ns)).collect();
                format!("{why}\nseed {seed}, schedule `{schedule}`, {}\n{}", self.faults, trace.join("\n"))
            };
            match outcome.end {
                Ending::Ended(End::Unrecoverable(Unrecoverable::TooMany { down, tolerated, .. })) => {
                    if down <= tolerated || down > self.overlap {
                        return Err(wrong(&format!("{down} are not down at once by this schedule")));
                    }
                    continue;
                }
                Ending::Ended(End::Unrecoverable(Unrecoverable::CheckpointLost { .. })) if self.may_lose => {}
                _ => {
                    if let Some(why) = judge(&outcome) {
                        return Err(wrong(&why));
                    }
                }
            }
            if !(self.holds)(&told) {
                return Err(wrong("what must be so in every run is not"));
            }
            recovered += 1;
            match (self.seen)(&told) {
                true => seen += 1,
                false if self.always => return Err(wrong("the schedule did not happen")),
                false => {}
            }
        }
        match recovered > 0 && seen == 0 {
            true => {
                Err(format!("of {recovered} runs with the schedule `{}` none told the story", self.schedule))
            }
            false => Ok(()),
        }
    }
}

/// What a run told.
pub struct Told<'a> {
    /// Its whole trace.
    pub lines: &'a [Line],
    /// How it went.
    pub outcome: &'a Outcome,
    /// The protocol.
    pub facts: &'a Facts,
}

impl Told<'_> {
    /// Where the trace first tells of something.
    pub fn first(&self, is_it: impl Fn(&Line) -> bool) -> Option<usize> {
        self.lines.iter().position(is_it)
    }

    /// Where the trace first tells of something behind a place.
    pub fn after(&self, from: usize, is_it: impl Fn(&Line) -> bool) -> Option<usize> {
        self.lines[from + 1..].iter().position(is_it).map(|at| from + 1 + at)
    }

    /// How often it tells of something before a place.
    pub fn count_before(&self, to: usize, is_it: impl Fn(&Line) -> bool) -> usize {
        self.lines[..to].iter().filter(|line| is_it(line)).count()
    }

    /// Where this life of a rank ended by failure.
    pub fn crash(&self, rank: Rank, life: Incarnation) -> Option<usize> {
        self.first(|line| at(line, rank, life) && matches!(line.event, Event::Crash { cause: Ended::Failed }))
    }

    /// Where a rank that survived rolled back: it found that it is an orphan, or recovery found it for it.
    pub fn rollback(&self, rank: Rank, life: Incarnation) -> Option<usize> {
        self.first(|line| {
            let cause = match line.event {
                Event::Crash { cause } => cause,
                _ => return false,
            };
            at(line, rank, life) && matches!(cause, Ended::RolledBack | Ended::Fenced)
        })
    }

    /// Where this life of a rank was started and loaded.
    pub fn recovered(&self, rank: Rank, life: Incarnation) -> Option<usize> {
        self.first(|line| matches!(line.event, Event::Recovered { of, next } if (of, next) == (rank, life)))
    }

    /// Where this life of a rank delivered a message of another.
    pub fn delivery(&self, rank: Rank, life: Incarnation, from: Rank) -> Option<usize> {
        self.first(|line| {
            at(line, rank, life) && matches!(line.event, Event::Deliver { source, .. } if source == from)
        })
    }

    /// Where a rank took in the n-th message of another.
    pub fn arrival(&self, rank: Rank, from: Rank, number: u64) -> Option<usize> {
        self.first(|line| {
            line.rank == Some(rank)
                && matches!(line.event, Event::Arrive { source, ssn, .. } if (source, ssn) == (from, number))
        })
    }

    /// How many determinants of its own this life of a rank had logged before a place.
    pub fn logged_before(&self, to: usize, rank: Rank, life: Incarnation) -> usize {
        self.count_before(to, |line| {
            at(line, rank, life) && matches!(line.event, Event::Log { entry: Logged::Own, .. })
        })
    }

    /// Whether things happened in this order.
    pub fn in_order(&self, places: &[Option<usize>]) -> bool {
        places.iter().all(Option::is_some) && places.is_sorted_by(|one, next| one < next)
    }
}

/// Whether a line is told of this life of a rank.
pub fn at(line: &Line, rank: Rank, life: Incarnation) -> bool {
    line.rank == Some(rank) && line.incarnation == Some(life)
}
