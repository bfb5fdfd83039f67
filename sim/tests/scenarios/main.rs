//! Crash schedules that break naive implementations of rollback recovery, as stories: each is run for every specification that
//! it concerns, under both failure units, with several seeds.
//!
//! A specification joins by what it logs, sends and waits for ([`facts::Facts`]). Beside each one as it stands, variants of it are tried
//! that tolerate more failures, in which one rank asks for all, or in which recovery finds the orphans itself. A schedule must be *seen* to
//! have happened, in the trace: else a scenario could test nothing. `docs/crash-schedules.md` lists them all, and is held to them by a test.

mod checkpoints;
mod edges;
mod facts;
mod logging;
mod memory;
mod mpi;
mod network;
mod optimistic;
mod programs;
mod recovery;
mod story;

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeSet;

use common::{names, specs};
use egida_spec::protocol::FailureUnit;
use facts::Facts;
use libtest_mimic::{Arguments, Failed, Trial};
use story::Scenario;

/// All of them.
const SCENARIOS: &[&[Scenario]] = &[
    logging::SCENARIOS,
    memory::SCENARIOS,
    recovery::SCENARIOS,
    network::SCENARIOS,
    optimistic::SCENARIOS,
    mpi::SCENARIOS,
    edges::SCENARIOS,
    checkpoints::SCENARIOS,
];

/// How many seeds each story is tried with.
const SEEDS: u64 = 12;

fn main() {
    let mut trials = vec![Trial::test("every scenario is documented", every_scenario_is_documented)];
    let variants = variants();
    for scenario in SCENARIOS.iter().copied().flatten() {
        let mut concerned = 0;
        for (name, facts) in variants.iter().filter(|(_, facts)| (scenario.concerns)(facts)) {
            concerned += 1;
            let test = format!("{:02}/{}/{name}/{}", scenario.number, scenario.name, facts.unit);
            let facts = facts.clone();
            trials.push(Trial::test(test, move || happens(scenario, &facts)));
        }
        let test = format!("{:02}/{}/concerns-somebody", scenario.number, scenario.name);
        trials.push(Trial::test(test, move || match concerned {
            0 => Err("no specification is concerned".into()),
            _ => Ok(()),
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn happens(scenario: &Scenario, facts: &Facts) -> Result<(), Failed> {
    for story in (scenario.stories)(facts) {
        story.happens(facts, 0..SEEDS).map_err(Failed::from)?;
    }
    Ok(())
}

/// Every specification that this build takes, with its variants, under both failure units.
fn variants() -> Vec<(String, Facts)> {
    let mut variants = Vec::new();
    for name in names() {
        let path = specs().join(format!("{name}.egd"));
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let tolerating = |failures| text.replace("with (f = 1)", &format!("with (f = {failures})"));
        let asked_by_one = tolerating(2).replace("determinants: distributed", "determinants: centralized");
        let exchanged = text.replace("broadcast logical clock", "exchange vector clock");
        let candidates = [
            (name.clone(), text.clone()),
            (format!("{name}+exchange"), exchanged),
            (format!("{name}+f=2"), tolerating(2)),
            (format!("{name}+f=3"), tolerating(3)),
            (format!("{name}+centralized"), asked_by_one),
        ];
        let mut known = BTreeSet::new();
        for (name, text) in candidates {
            if known.insert(text.clone()) {
                let under = |unit| Some((name.clone(), Facts::of(&name, &text, unit)?));
                variants.extend(FailureUnit::ALL.into_iter().filter_map(under));
            }
        }
    }
    variants
}

/// The table in the documentation has a line for each scenario, in order, and for no other.
fn every_scenario_is_documented() -> Result<(), Failed> {
    let table = std::fs::read_to_string(specs().join("../docs/crash-schedules.md"))?;
    let mut scenarios: Vec<&Scenario> = SCENARIOS.iter().copied().flatten().collect();
    scenarios.sort_by_key(|scenario| scenario.number);
    let lines: Vec<String> = scenarios
        .iter()
        .map(|scenario| {
            let Scenario { number, name, concerned, asserted, .. } = scenario;
            format!("| {number} | `{name}` | {concerned} | {asserted} |")
        })
        .collect();
    let documented: Vec<&str> =
        table.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    match documented == lines {
        true => Ok(()),
        false => {
            Err(format!("the table in docs/crash-schedules.md should read\n{}", lines.join("\n")).into())
        }
    }
}
