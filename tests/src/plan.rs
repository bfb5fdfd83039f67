//! Which runs are made: a selection of programs x protocols x units x schedules
//! x victims.
//!
//! The whole product takes hours on a small machine. In the usual selection each
//! rank is killed in each way once under each protocol and failure unit, and the
//! programs take turns. `EGIDA_E2E_FULL=1` leaves nothing out.

use std::env;

use crate::programs::{PROGRAMS, Program};
use crate::protocols::{FailureUnit, PROTOCOLS, Protocol};
use crate::schedules::{SCHEDULES, Schedule};

/// One run with kills.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// What runs.
    pub program: &'static Program,
    /// Under which protocol.
    pub protocol: &'static Protocol,
    /// What is lost with a rank.
    pub unit: FailureUnit,
    /// How ranks are killed.
    pub schedule: &'static Schedule,
    /// The rank that the schedule calls `V`.
    pub victim: usize,
}

impl Run {
    /// A name that says all.
    pub fn name(&self) -> String {
        let Self { program, protocol, unit, schedule, victim } = self;
        format!("{}/{unit}/{}/rank-{victim}-killed-{}", protocol.name, program.name, schedule.name)
    }
}

/// All runs of the usual selection, or of the whole product.
pub fn runs() -> Vec<Run> {
    let everything = env::var_os("EGIDA_E2E_FULL").is_some_and(|value| value == "1");
    if everything { product() } else { selection() }
}

fn product() -> Vec<Run> {
    let mut runs = Vec::new();
    for protocol in PROTOCOLS {
        for unit in FailureUnit::ALL {
            for schedule in SCHEDULES {
                for program in PROGRAMS {
                    let victims =
                        (0..program.ranks).filter(|&rank| schedule.fits(program, protocol, unit, rank));
                    runs.extend(victims.map(|victim| Run { program, protocol, unit, schedule, victim }));
                }
            }
        }
    }
    runs
}

/// How often each program is run under each protocol and unit, at least.
const FEWEST_TURNS: usize = 4;

/// For each protocol, unit, schedule and victim the program that had the fewest
/// turns; another protocol or unit starts at another program. What had too few in
/// the end gets more.
fn selection() -> Vec<Run> {
    let mut selected = Vec::new();
    let most_ranks = PROGRAMS.iter().map(|program| program.ranks).max().unwrap_or(0);
    for (p, protocol) in PROTOCOLS.iter().enumerate() {
        for (u, unit) in FailureUnit::ALL.into_iter().enumerate() {
            let mut turns = [0_usize; PROGRAMS.len()];
            for schedule in SCHEDULES {
                for victim in 0..most_ranks {
                    let fits = |at: &usize| {
                        let program = &PROGRAMS[*at];
                        victim < program.ranks && schedule.fits(program, protocol, unit, victim)
                    };
                    let from_here = (0..PROGRAMS.len()).map(|i| (i + 5 * p + 7 * u) % PROGRAMS.len());
                    let Some(at) = from_here.filter(fits).min_by_key(|&at| turns[at]) else {
                        continue;
                    };
                    turns[at] += 1;
                    selected.push(Run { program: &PROGRAMS[at], protocol, unit, schedule, victim });
                }
            }
            for (program, turns) in PROGRAMS.iter().zip(turns) {
                let is_new = |run: &Run| !selected.iter().any(|known| known.name() == run.name());
                let every = SCHEDULES.iter().flat_map(|schedule| {
                    let victims =
                        (0..program.ranks).filter(|&rank| schedule.fits(program, protocol, unit, rank));
                    victims.map(move |victim| Run { program, protocol, unit, schedule, victim })
                });
                let missing: Vec<_> = every.filter(is_new).take(FEWEST_TURNS.saturating_sub(turns)).collect();
                selected.extend(missing);
            }
        }
    }
    selected
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of<'a>(runs: &'a [Run], protocol: &'a Protocol, unit: FailureUnit) -> impl Iterator<Item = &'a Run> {
        runs.iter().filter(move |run| run.protocol == protocol && run.unit == unit)
    }

    #[test]
    fn each_rank_is_killed_in_ten_ways_and_more_under_each_protocol_and_unit() {
        let runs = selection();
        for protocol in PROTOCOLS {
            for unit in FailureUnit::ALL {
                for rank in 0..4 {
                    let ways: BTreeSet<_> = of(&runs, protocol, unit)
                        .filter(|run| run.victim == rank)
                        .map(|run| run.schedule.name)
                        .collect();
                    assert!(ways.len() >= 20, "{} {unit} rank {rank}: {ways:?}", protocol.name);
                }
            }
        }
    }

    #[test]
    fn each_schedule_and_each_program_is_run_under_each_protocol_and_unit() {
        let runs = selection();
        for protocol in PROTOCOLS {
            for unit in FailureUnit::ALL {
                for schedule in SCHEDULES {
                    let runs = of(&runs, protocol, unit).filter(|run| run.schedule == schedule).count();
                    assert!(runs > 0, "{} {unit} {}", protocol.name, schedule.name);
                }
                for program in PROGRAMS.iter().filter(|program| program.runs_under(protocol, unit)) {
                    let runs = of(&runs, protocol, unit).filter(|run| run.program == program).count();
                    assert!(runs >= FEWEST_TURNS, "{} {unit} {}: {runs}", protocol.name, program.name);
                }
            }
        }
    }

    #[test]
    fn every_run_has_a_name_of_its_own() {
        let runs = product();
        let names: BTreeSet<_> = runs.iter().map(Run::name).collect();
        assert_eq!(names.len(), runs.len());
    }
}
