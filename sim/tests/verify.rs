//! Every specification under every run of small scenarios; broken modules, which must be found by few turns.

mod common;

use std::num::NonZeroUsize;

use common::{broken, names, specification};
use egida_core::ids::Domains;
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_sim::verify::{CounterExample, Grain, Report, Scope, Verdict, verify};
use egida_spec::protocol::FailureUnit;

/// Ranks, messages, deaths, and how much a rank does in one turn.
type Scenario = (u32, u32, u32, Grain);

/// What debug builds explore within seconds under every specification.
const SMALL: Scenario = (2, 2, 1, Grain::Wait);

/// Those that ask for more memory than two nodes have.
const WIDER: Scenario = (3, 1, 1, Grain::Wait);

/// What optimized builds explore within minutes.
const LARGER: [Scenario; 5] = [
    (2, 1, 1, Grain::Call),
    (2, 1, 2, Grain::Wait),
    (3, 3, 1, Grain::Wait),
    (3, 1, 2, Grain::Wait),
    (2, 2, 1, Grain::Call),
];

fn scope(unit: FailureUnit, (ranks, messages, crashes, grain): Scenario) -> Scope {
    Scope {
        setting: Setting { domains: Domains::blocks(ranks, 1), unit, images: false },
        messages,
        crashes,
        grain,
        max_states: 2_000_000,
        jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    }
}

/// The report, if the specification fits the scenario.
fn explore(name: &str, registry: &Registry, scope: &Scope) -> Option<Report> {
    verify(&specification(name), registry, scope, &mut |_| ()).ok()
}

/// How many turns a story tells of: the lines between tell what they lead to.
fn turns(story: &[String]) -> usize {
    story.iter().filter(|line| !line.starts_with("     ")).count()
}

#[test]
fn every_specification_holds_under_every_run_of_a_small_scenario() {
    let verified = all_hold(&[SMALL], Some(WIDER));
    assert!(verified >= 30, "only {verified} explorations");
}

#[test]
#[ignore = "takes minutes, and an optimized build"]
fn every_specification_holds_under_every_run_of_larger_scenarios() {
    assert!(all_hold(&LARGER, None) > 120);
}

/// Explores the scenarios under every specification that fits them, or another one that it fits. Returns how many
/// explorations that were.
fn all_hold(scenarios: &[Scenario], otherwise: Option<Scenario>) -> u32 {
    let registry = egida_modules::registry();
    let mut verified = 0;
    for name in names().iter().filter(|name| *name != "none") {
        for unit in FailureUnit::ALL {
            for &scenario in scenarios {
                let report = explore(name, &registry, &scope(unit, scenario));
                let other = || explore(name, &registry, &scope(unit, otherwise?));
                let Some(report) = report.or_else(other) else { continue };
                assert_eq!(report.verdict, Verdict::Holds, "{name} under {unit}, {scenario:?}");
                assert_eq!(report.progress.open, 0);
                assert!(report.progress.ended > 0, "{name} under {unit}, {scenario:?}: no run ends");
                verified += 1;
            }
        }
    }
    verified
}

#[test]
fn without_recovery_the_shortest_counter_example_is_one_death() {
    let report =
        explore("none", &egida_modules::registry(), &scope(FailureUnit::Node, SMALL)).expect("it binds");
    let Verdict::Broken(CounterExample { wrong, story }) = report.verdict else { panic!("{report:?}") };
    assert!(wrong.contains("Died"), "{wrong}");
    assert_eq!(turns(&story), 1, "{story:#?}");
    assert!(story[0].starts_with("   1. ") && story[0].contains("dies"), "{story:#?}");
}

#[test]
fn a_bound_is_told_from_a_proof() {
    let registry = egida_modules::registry();
    let bounded = Scope { max_states: 100, ..scope(FailureUnit::Node, (3, 2, 1, Grain::Wait)) };
    let report = explore("causal", &registry, &bounded).expect("it binds");
    assert_eq!(report.verdict, Verdict::Bounded);
    assert!(report.progress.open > 0);
}

#[test]
fn how_many_processors_there_are_makes_no_difference() {
    let registry = egida_modules::registry();
    let one = Scope { jobs: NonZeroUsize::MIN, ..scope(FailureUnit::Node, SMALL) };
    let three = Scope { jobs: NonZeroUsize::new(3).expect("three"), ..one.clone() };
    assert_eq!(explore("hybrid", &registry, &one), explore("hybrid", &registry, &three));
}

/// A broken module, the specification that it breaks, and a scenario in which that is found by at most so many turns.
struct Mutant {
    name: &'static str,
    specification: &'static str,
    breaks: fn(&mut Registry),
    scenario: Scenario,
    within: usize,
    wrong: &'static str,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a send does not wait for the log",
        specification: "pessimistic-sender-receive",
        breaks: broken::synchronously_is_asynchronously,
        scenario: (2, 2, 1, Grain::Wait),
        within: 4,
        wrong: "Exposed",
    },
    Mutant {
        name: "a gate asks for one entry too few",
        specification: "pessimistic-sender-receive",
        breaks: broken::gate_one_too_early,
        scenario: (2, 2, 1, Grain::Wait),
        within: 4,
        wrong: "Exposed",
    },
    Mutant {
        name: "what was received is not kept for others",
        specification: "causal-receive",
        breaks: broken::nothing_is_held_for_others,
        scenario: (2, 2, 1, Grain::Wait),
        within: 4,
        wrong: "Exposed",
    },
    Mutant {
        name: "recovery asks nobody",
        specification: "causal-receive",
        breaks: broken::retrieval_asks_nobody,
        scenario: (3, 4, 1, Grain::Wait),
        within: 14,
        wrong: "",
    },
    Mutant {
        name: "contents of messages are not logged",
        specification: "pessimistic-receiver",
        breaks: broken::contents_are_not_logged,
        scenario: (2, 1, 1, Grain::Wait),
        within: 8,
        wrong: "nothing can happen any more",
    },
    Mutant {
        name: "output does not wait",
        specification: "causal-receive",
        breaks: broken::output_is_not_committed,
        scenario: (3, 3, 1, Grain::Wait),
        within: 14,
        wrong: "",
    },
];

/// Those whose faults take more states to find.
const RARER: &[Mutant] = &[
    Mutant {
        name: "output waits for the own log only",
        specification: "optimistic",
        breaks: broken::output_is_committed_alone,
        scenario: (3, 3, 1, Grain::Wait),
        within: 14,
        wrong: "",
    },
    Mutant {
        name: "orphans do not notice",
        specification: "optimistic",
        breaks: broken::orphans_do_not_notice,
        scenario: (3, 3, 1, Grain::Wait),
        within: 14,
        wrong: "",
    },
];

#[test]
fn broken_modules_are_found_by_few_turns() {
    all_are_found(MUTANTS);
}

#[test]
#[ignore = "takes minutes, and an optimized build"]
fn broken_modules_are_found_in_larger_scenarios() {
    all_are_found(RARER);
}

fn all_are_found(mutants: &[Mutant]) {
    for Mutant { name, specification, breaks, scenario, within, wrong } in mutants {
        let scope = scope(FailureUnit::Node, *scenario);
        let mut registry = egida_modules::registry();
        breaks(&mut registry);
        let report = explore(specification, &registry, &scope).expect("it binds");
        let Verdict::Broken(found) = report.verdict else { panic!("{name}: {report:?}") };
        let taken = turns(&found.story);
        println!("{name}: {taken} turns, {} states: {}", report.progress.states, found.wrong);
        assert!(found.wrong.contains(wrong), "{name}: {}", found.wrong);
        assert!(taken <= *within, "{name}: {taken} turns: {:#?}", found.story);
    }
}
