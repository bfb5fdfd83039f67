//! Every specification under every run of small scenarios; broken modules, which must be found by few turns.

mod common;

use std::num::NonZeroUsize;
use std::time::Instant;

use common::{broken, names, specification};
use egida_core::ids::Domains;
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_sim::job::Control;
use egida_sim::verify::{Besides, CounterExample, Grain, Report, Scope, Verdict, verify};
use egida_spec::protocol::FailureUnit;

/// Ranks, messages, deaths, and how much a rank does in one turn.
type Scenario = (u32, u32, u32, Grain);

/// What is explored under every specification that takes no checkpoints.
const SMALL: Scenario = (2, 2, 1, Grain::Wait);
const SMALL_WITH_THREE: Scenario = (3, 2, 1, Grain::Wait);

/// Those that ask for more memory than two nodes have.
const WIDER: Scenario = (3, 1, 1, Grain::Wait);

/// The same under those that take checkpoints.
const SMALLEST: Scenario = (2, 1, 1, Grain::Wait);

/// The same in finer steps.
const SMALLEST_FINER: Scenario = (2, 1, 1, Grain::Call);

/// What takes minutes.
const FINER: [Scenario; 2] = [(2, 1, 1, Grain::Call), (2, 2, 1, Grain::Call)];
const OFTENER: [Scenario; 2] = [(2, 1, 2, Grain::Wait), (3, 1, 2, Grain::Wait)];
const LONGER: [Scenario; 1] = [(3, 4, 1, Grain::Wait)];

/// Time goes by only when nothing else can happen.
const LATE: u32 = 0;

/// The timer of each rank also goes off at any moment, once.
const ONCE: u32 = 1;

fn scope(unit: FailureUnit, (ranks, messages, crashes, grain): Scenario, checkpoints: u32) -> Scope {
    Scope {
        setting: Setting { domains: Domains::blocks(ranks, 1), unit, images: true },
        messages,
        besides: Besides::Nothing,
        crashes,
        grain,
        checkpoints,
        failed_saves: 0,
        control: None,
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

fn takes_checkpoints(name: &str) -> bool {
    specification(name).checkpoint.is_some()
}

/// How many specifications take checkpoints.
fn with_checkpoints() -> u32 {
    names().iter().filter(|name| takes_checkpoints(name)).count() as u32
}

fn takes_none(name: &str) -> bool {
    name != "none" && !takes_checkpoints(name)
}

#[test]
fn every_specification_holds_under_every_run_of_a_small_scenario() {
    let verified = all_hold(takes_none, &[SMALL, SMALL_WITH_THREE], Some(WIDER), LATE);
    assert!(verified >= 66, "only {verified} explorations");
}

#[test]
fn those_that_take_checkpoints_hold_where_time_goes_by_when_nothing_else_happens() {
    assert_eq!(all_hold(takes_checkpoints, &[SMALLEST], None, LATE), 2 * with_checkpoints());
}

#[test]
fn those_that_take_checkpoints_hold_where_time_goes_by_at_any_moment() {
    assert_eq!(all_hold(takes_checkpoints, &[SMALLEST], None, ONCE), 2 * with_checkpoints());
}

#[test]
fn those_that_take_checkpoints_hold_where_a_checkpoint_cannot_be_written() {
    let registry = egida_modules::registry();
    for name in names().iter().filter(|name| takes_checkpoints(name)) {
        let states = |failed_saves, checkpoints| {
            let scope = Scope { failed_saves, ..scope(FailureUnit::Node, SMALLEST, checkpoints) };
            let report = explore(name, &registry, &scope).expect("it binds");
            assert_eq!(report.verdict, Verdict::Holds, "{name}");
            report.progress.states
        };
        // Where output waits for no checkpoint, none is taken when nothing else can happen.
        let more = |checkpoints| states(1, checkpoints) > states(0, checkpoints);
        assert!(more(LATE) || more(ONCE), "{name}: failures make no difference");
    }
}

#[test]
fn specifications_hold_where_ranks_read_from_outside_and_poll() {
    let registry = egida_modules::registry();
    let few = ["causal", "pessimistic-receiver", "optimistic", "pessimistic-sender-checkpoint"];
    for (name, besides) in few.into_iter().flat_map(|name| [(name, Besides::Reads), (name, Besides::Polls)]) {
        for unit in FailureUnit::ALL {
            let scope = Scope { besides, ..scope(unit, SMALLEST, LATE) };
            let plain = explore(name, &registry, &Scope { besides: Besides::Nothing, ..scope.clone() });
            let report = explore(name, &registry, &scope).expect("it binds");
            assert_eq!(report.verdict, Verdict::Holds, "{name} under {unit}, {besides:?}");
            assert_ne!(
                Some(report.progress),
                plain.map(|plain| plain.progress),
                "{besides:?} make a difference"
            );
        }
    }
}

#[test]
#[ignore = "takes minutes"]
fn all_hold_where_ranks_read_from_outside_and_poll() {
    let registry = egida_modules::registry();
    for name in names().iter().filter(|name| takes_none(name)) {
        for (unit, besides) in FailureUnit::ALL
            .into_iter()
            .flat_map(|unit| [Besides::Reads, Besides::Polls].map(|besides| (unit, besides)))
        {
            for scenario in [SMALL, SMALLEST_FINER] {
                let scope = Scope { besides, ..scope(unit, scenario, LATE) };
                let Some(report) = explore(name, &registry, &scope) else { continue };
                assert_eq!(report.verdict, Verdict::Holds, "{name} under {unit}, {besides:?}, {scenario:?}");
            }
        }
    }
}

#[test]
#[ignore = "takes minutes"]
fn every_specification_holds_under_every_run_in_finer_steps() {
    assert!(all_hold(takes_none, &FINER, None, LATE) >= 50);
}

#[test]
#[ignore = "takes minutes"]
fn every_specification_holds_under_every_run_with_more_deaths() {
    assert!(all_hold(takes_none, &OFTENER, None, LATE) >= 50);
}

#[test]
#[ignore = "takes minutes"]
fn every_specification_holds_under_every_run_with_more_messages() {
    assert!(all_hold(takes_none, &LONGER, None, LATE) >= 30);
}

/// Explores the scenarios under every specification that is meant and fits them, or another one that it fits. Returns how many
/// explorations that were.
fn all_hold(
    is_meant: impl Fn(&str) -> bool,
    scenarios: &[Scenario],
    otherwise: Option<Scenario>,
    checkpoints: u32,
) -> u32 {
    let registry = egida_modules::registry();
    let mut verified = 0;
    for name in names().iter().filter(|name| is_meant(name)) {
        for unit in FailureUnit::ALL {
            for &scenario in scenarios {
                let begun = Instant::now();
                let report = explore(name, &registry, &scope(unit, scenario, checkpoints));
                let other = || explore(name, &registry, &scope(unit, otherwise?, checkpoints));
                let Some(report) = report.or_else(other) else { continue };
                let states = report.progress.states;
                println!("{name} under {unit}, {scenario:?}: {states} states, {:.1?}", begun.elapsed());
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
    let report = explore("none", &egida_modules::registry(), &scope(FailureUnit::Node, SMALL, LATE))
        .expect("it binds");
    let Verdict::Broken(CounterExample { wrong, story }) = report.verdict else { panic!("{report:?}") };
    assert!(wrong.contains("Died"), "{wrong}");
    assert_eq!(turns(&story), 1, "{story:#?}");
    assert!(story[0].starts_with("   1. ") && story[0].contains("dies"), "{story:#?}");
}

#[test]
fn a_bound_is_told_from_a_proof() {
    let registry = egida_modules::registry();
    let bounded = Scope { max_states: 100, ..scope(FailureUnit::Node, (3, 2, 1, Grain::Wait), LATE) };
    let report = explore("causal", &registry, &bounded).expect("it binds");
    assert_eq!(report.verdict, Verdict::Bounded);
    assert!(report.progress.open > 0);
}

#[test]
fn how_many_processors_there_are_makes_no_difference() {
    let registry = egida_modules::registry();
    let one = Scope { jobs: NonZeroUsize::MIN, ..scope(FailureUnit::Node, SMALL, LATE) };
    let three = Scope { jobs: NonZeroUsize::new(3).expect("three"), ..one.clone() };
    assert_eq!(explore("hybrid", &registry, &one), explore("hybrid", &registry, &three));
}

/// What is broken.
enum Breaks {
    Module(fn(&mut Registry)),
    World(Control),
    WorldWhereSavesFail(Control),
}

/// A broken part, the specification that it breaks, and a scenario in which that is found by at most so many turns.
struct Mutant {
    name: &'static str,
    specification: &'static str,
    breaks: Breaks,
    scenario: Scenario,
    within: usize,
    wrong: &'static str,
}

use Breaks::{Module, World, WorldWhereSavesFail};

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a send does not wait for the log",
        specification: "pessimistic-sender-receive",
        breaks: Module(broken::synchronously_is_asynchronously),
        scenario: (2, 2, 1, Grain::Wait),
        within: 4,
        wrong: "Exposed",
    },
    Mutant {
        name: "a gate asks for one entry too few",
        specification: "pessimistic-sender-receive",
        breaks: Module(broken::gate_one_too_early),
        scenario: (2, 2, 1, Grain::Wait),
        within: 4,
        wrong: "Exposed",
    },
    Mutant {
        name: "what was received is not kept for others",
        specification: "causal-receive",
        breaks: Module(broken::nothing_is_held_for_others),
        scenario: (2, 2, 1, Grain::Wait),
        within: 4,
        wrong: "Exposed",
    },
    Mutant {
        name: "recovery asks nobody",
        specification: "causal-receive",
        breaks: Module(broken::retrieval_asks_nobody),
        scenario: (3, 4, 1, Grain::Wait),
        within: 14,
        wrong: "",
    },
    Mutant {
        name: "contents of messages are not logged",
        specification: "pessimistic-receiver",
        breaks: Module(broken::contents_are_not_logged),
        scenario: (2, 1, 1, Grain::Wait),
        within: 8,
        wrong: "nothing can happen any more",
    },
    Mutant {
        name: "output does not wait",
        specification: "causal-receive",
        breaks: Module(broken::output_is_not_committed),
        scenario: (3, 3, 1, Grain::Wait),
        within: 14,
        wrong: "",
    },
    Mutant {
        name: "output waits for the own log only",
        specification: "optimistic",
        breaks: Module(broken::output_is_committed_alone),
        scenario: (3, 3, 1, Grain::Wait),
        within: 14,
        wrong: "",
    },
    Mutant {
        name: "orphans do not notice",
        specification: "optimistic",
        breaks: Module(broken::orphans_do_not_notice),
        scenario: (3, 3, 1, Grain::Wait),
        within: 14,
        wrong: "",
    },
    Mutant {
        name: "a failed write of a checkpoint releases what it covers",
        specification: "pessimistic-sender-checkpoint",
        breaks: WorldWhereSavesFail(Control::FailedWritesCommit),
        scenario: (2, 1, 1, Grain::Wait),
        within: 14,
        wrong: "",
    },
    Mutant {
        name: "collection goes one checkpoint too far",
        specification: "checkpoint-index",
        breaks: World(Control::CollectTooMuch),
        scenario: (2, 1, 1, Grain::Wait),
        within: 14,
        wrong: "",
    },
    Mutant {
        name: "what is logged is taken for stable before it is written",
        specification: "pessimistic-sender",
        breaks: World(Control::StableBeforeWritten),
        scenario: (2, 2, 1, Grain::Wait),
        within: 6,
        wrong: "",
    },
    Mutant {
        name: "senders forget what has arrived and was not delivered",
        specification: "pessimistic-sender",
        breaks: World(Control::ReleasedOnArrival),
        scenario: (2, 2, 1, Grain::Wait),
        within: 14,
        wrong: "",
    },
];

#[test]
fn broken_modules_are_found_by_few_turns() {
    for Mutant { name, specification, breaks, scenario, within, wrong } in MUTANTS {
        let mut scope = scope(FailureUnit::Node, *scenario, ONCE);
        let mut registry = egida_modules::registry();
        match breaks {
            Breaks::Module(breaks) => breaks(&mut registry),
            Breaks::World(control) => scope.control = Some(*control),
            Breaks::WorldWhereSavesFail(control) => {
                scope.control = Some(*control);
                scope.failed_saves = 1;
            }
        }
        let report = explore(specification, &registry, &scope).expect("it binds");
        let Verdict::Broken(found) = report.verdict else { panic!("{name}: {report:?}") };
        let taken = turns(&found.story);
        println!("{name}: {taken} turns, {} states: {}", report.progress.states, found.wrong);
        assert!(found.wrong.contains(wrong), "{name}: {}", found.wrong);
        assert!(taken <= *within, "{name}: {taken} turns: {:#?}", found.story);
    }
}
