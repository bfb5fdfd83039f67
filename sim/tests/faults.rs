//! Random applications in a bad world: partitions, false suspicion, nodes that die at any moment and inside any wait, several
//! at once, during recovery, torn writes, control messages late and twice; for every specification and both failure units.
//!
//! A failure prints what replays it: the specification, `EGIDA_SEED`, and the smallest case, whose schedule is text that
//! [`Schedule`] reads.

mod common;

use common::{Case, application, cases, names, runner, seed, specification};
use egida_core::binder::{bind, tolerates};
use egida_core::recovery::End;
use egida_sim::job::{Ending, Job};
use egida_sim::oracle::{is_beyond, judge};
use egida_sim::program::Scripts;
use egida_sim::run;
use egida_sim::schedule::{Faults, Mishap, Schedule};
use egida_spec::protocol::FailureUnit;
use libtest_mimic::{Arguments, Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

fn main() {
    let seed = seed();
    println!("the cases are those of EGIDA_SEED={seed}, with {}", Faults::default());
    let mut trials = Vec::new();
    for name in names() {
        for unit in FailureUnit::ALL {
            let name = name.clone();
            let test = format!("faults/{name}/{unit}");
            trials.push(Trial::test(test.clone(), move || survives(&test, &name, unit, seed)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// An application, a world, and what goes wrong in it.
fn case(nodes: u32) -> impl Strategy<Value = (Case, Schedule)> {
    (application(nodes.clamp(2, 6)), any::<u64>(), 1u32..=2).prop_map(|(application, seed, per_domain)| {
        let control_delay = Faults::default().control_delay;
        let checkpoint_every = 150 + seed % 1_200;
        let case =
            Case { application, per_domain, crashes: Vec::new(), control_delay, checkpoint_every, seed };
        let schedule = Faults::default().draw(seed, &case.setting(FailureUnit::Node).domains);
        (case, schedule)
    })
}

fn survives(test: &str, name: &str, unit: FailureUnit, seed: u64) -> Result<(), Failed> {
    let protocol = specification(name);
    let registry = egida_modules::registry();
    if bind(&protocol, &registry, &setting_of_four(unit), 0).is_err() {
        return Ok(());
    }
    let nodes = 1 + tolerates(&protocol, &registry, unit).unwrap_or(0);
    let outcome = runner(seed, test, cases(200)).run(&case(nodes), |(case, schedule)| {
        let Ok(bound) = bind(&protocol, &registry, &case.setting(unit), 0) else { return Ok(()) };
        let model = Scripts(case.application.scripts());
        let mut job = Job::new(&protocol, case.setting(unit), &model, case.seed).with(schedule.clone());
        job.checkpoint_every = Some(case.checkpoint_every);
        let outcome = run(&job, &registry).map_err(|errors| TestCaseError::fail(format!("{errors:?}")))?;
        let replay = || {
            let trace = outcome.trace.join("\n");
            format!("specification {name}, unit {unit}, seed {}, schedule `{schedule}`\n{trace}", case.seed)
        };
        match &outcome.end {
            end if is_beyond(end, bound.policy.tolerates, failures(&schedule)) => {}
            Ending::Ended(End::Died { .. }) if !bound.policy.recovers => {}
            // Who is killed three times in the same place is taken for a program that kills itself.
            Ending::Ended(End::Hopeless { rank, .. }) => {
                prop_assert!(killed(&schedule, *rank) >= 3, "{}", replay());
            }
            _ => {
                if let Some(wrong) = judge(&outcome) {
                    return Err(TestCaseError::fail(format!("{wrong}\n{}", replay())));
                }
            }
        }
        Ok(())
    });
    outcome.map_err(|failure| format!("EGIDA_SEED={seed}, {test}: {failure}").into())
}

fn setting_of_four(unit: FailureUnit) -> egida_core::setting::Setting {
    egida_core::setting::Setting { domains: egida_core::ids::Domains::blocks(4, 1), unit, images: true }
}

/// How many ranks a schedule kills, or has declared dead.
fn failures(schedule: &Schedule) -> usize {
    let failed = |mishap: &Mishap| match mishap {
        Mishap::Kill { ranks, .. } => ranks.len(),
        Mishap::Crash(_) | Mishap::Suspect { .. } => 1,
        _ => 0,
    };
    schedule.0.iter().map(failed).sum()
}

/// How often a schedule kills a rank.
fn killed(schedule: &Schedule, rank: u32) -> usize {
    let kills = |mishap: &&Mishap| match mishap {
        Mishap::Crash(crash) => crash.rank == rank,
        Mishap::Kill { ranks, .. } => ranks.contains(&rank),
        _ => false,
    };
    schedule.0.iter().filter(kills).count()
}
