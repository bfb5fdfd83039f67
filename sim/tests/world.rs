//! The simulated world itself: each kind of fault happens, and has the effect that it is to have.

mod common;

use common::specification;
use egida_core::fault::Fault;
use egida_core::ids::Domains;
use egida_core::setting::Setting;
use egida_sim::job::{Control, Ending, Job, Outcome};
use egida_sim::oracle::judge;
use egida_sim::program::{Op, Scripts};
use egida_sim::run;
use egida_sim::schedule::Faults;
use egida_spec::protocol::FailureUnit;

const RANKS: u32 = 4;
const ROUNDS: usize = 8;

/// Everybody sends to everybody, takes what comes in any order, and writes what it has seen.
fn gossip() -> Scripts {
    let script = |rank: u32| {
        let others = (0..RANKS).filter(move |&other| other != rank);
        let posts = others.clone().map(|_| Op::Post { from: None, tag: 1 });
        let sends = others.map(|to| Op::Send { to, tag: 1, len: 100, synchronous: false });
        let round: Vec<Op> = posts.chain(sends).chain([Op::WaitAll, Op::Output]).collect();
        (0..ROUNDS).flat_map(|_| round.clone()).collect()
    };
    Scripts((0..RANKS).map(script).collect())
}

fn simulate(name: &str, unit: FailureUnit, schedule: &str, seed: u64, control: Option<Control>) -> Outcome {
    let protocol = specification(name);
    let setting = Setting { domains: Domains::blocks(RANKS, 1), unit, images: true };
    let model = gossip();
    let schedule: egida_sim::schedule::Schedule = schedule.parse().unwrap();
    let job =
        Job { control, limit_events: 20_000, ..Job::new(&protocol, setting, &model, seed).with(schedule) };
    run(&job, &egida_modules::registry()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn time_of(outcome: &Outcome, what: &str) -> u64 {
    let line = outcome.trace.iter().find(|line| line.contains(what));
    let line = line.unwrap_or_else(|| panic!("no `{what}` in\n{}", outcome.trace.join("\n")));
    line.split_whitespace().next().unwrap().parse().unwrap()
}

const RECOVERING: [&str; 5] =
    ["causal", "causal-receive", "pessimistic-sender", "pessimistic-receiver", "optimistic"];

#[test]
fn one_that_is_given_up_lives_on_without_effect_until_it_learns() {
    for name in RECOVERING {
        for unit in FailureUnit::ALL {
            let mut lived_on = 0;
            for seed in 0..20 {
                let outcome = simulate(name, unit, "cut:1@400..2500,suspect:1@900", seed, None);
                assert_eq!(
                    judge(&outcome),
                    None,
                    "{name} under {unit}, {seed}: {}",
                    outcome.trace.join("\n")
                );
                let given_up = time_of(&outcome, "lives on as incarnation 1");
                assert!(outcome.trace.iter().any(|line| line.contains("rank 1 begins as incarnation 2")));
                if let Some(learned) = outcome.trace.iter().find(|line| line.contains("learns")) {
                    let learned: u64 = learned.split_whitespace().next().unwrap().parse().unwrap();
                    assert!(learned >= 2500 && given_up < learned, "it learns when it can be reached");
                    lived_on += 1;
                }
            }
            assert!(lived_on >= 10, "{name} under {unit}");
        }
    }
}

#[test]
fn without_fences_one_that_was_given_up_does_harm() {
    for name in ["causal", "pessimistic-sender", "pessimistic-receiver"] {
        let harm = (0..40)
            .filter(|&seed| {
                let outcome = simulate(
                    name,
                    FailureUnit::Node,
                    "cut:1@400..2500,suspect:1@900",
                    seed,
                    Some(Control::Unfenced),
                );
                judge(&outcome).is_some()
            })
            .count();
        assert!(harm >= 10, "{name}: only {harm} of 40 runs went wrong");
    }
}

#[test]
fn a_partition_holds_messages_up_and_loses_none() {
    for name in ["none", "causal", "pessimistic-receiver", "optimistic"] {
        for seed in 0..20 {
            let whole = simulate(name, FailureUnit::Node, "", seed, None);
            let cut = simulate(name, FailureUnit::Node, "cut:1+2@100..9000", seed, None);
            assert_eq!(judge(&cut), None);
            let (before, after) = (time_of(&whole, "comes to its end"), time_of(&cut, "comes to its end"));
            assert!(before < 9000 && after > 9000, "{name}, {seed}: {before} and {after}");
        }
    }
}

#[test]
fn a_death_behind_a_partition_is_heard_of_when_it_is_healed() {
    for name in RECOVERING {
        for seed in 0..10 {
            let outcome = simulate(name, FailureUnit::Node, "cut:1@300..4000,1@time:600", seed, None);
            assert_eq!(judge(&outcome), None, "{name}, {seed}: {}", outcome.trace.join("\n"));
            assert!(time_of(&outcome, "rank 1 dies") == 600);
            assert!(time_of(&outcome, "the death of incarnation 1 of rank 1 is known") > 4000);
        }
    }
}

#[test]
fn a_full_disk_ends_the_job_by_name() {
    for name in ["pessimistic-receiver", "pessimistic-sender-receive"] {
        let outcome = simulate(name, FailureUnit::Node, "full:2@60", 1, None);
        let Ending::Failed(2, Fault::OverLimit { what, limit_bytes: 60, .. }) = &outcome.end else {
            panic!("{name}: {:?}", outcome.end);
        };
        assert!(what.contains("rank 2"), "{what}");
    }
    let outcome = simulate("causal", FailureUnit::Node, "full:2@60", 1, None);
    assert_eq!(judge(&outcome), None, "a protocol that needs no disk needs no room on it");
}

#[test]
fn deaths_land_in_every_phase_of_a_recovery() {
    for phase in ["seal", "persist", "quiesce", "collect", "start"] {
        for name in ["pessimistic-sender", "optimistic"] {
            for seed in 0..10 {
                let schedule = format!("0@deliver:5,2@recovery:{phase}:1");
                let outcome = simulate(name, FailureUnit::Node, &schedule, seed, None);
                assert_eq!(judge(&outcome), None, "{name}, {schedule}: {}", outcome.trace.join("\n"));
                assert!(outcome.deaths[0] >= 1 && outcome.deaths[2] >= 1, "both died");
            }
        }
    }
}

#[test]
fn ranks_that_die_together_are_recovered_together() {
    for name in ["pessimistic-sender", "pessimistic-receiver", "optimistic"] {
        let outcome = simulate(name, FailureUnit::Node, "0+1+2+3@time:700", 3, None);
        assert_eq!(judge(&outcome), None);
        assert_eq!(outcome.deaths, [1, 1, 1, 1], "{name}");
    }
    let outcome = simulate("causal", FailureUnit::Node, "0+1@time:700", 3, None);
    assert!(judge(&outcome).is_some_and(|wrong| wrong.contains("TooMany")), "{:?}", outcome.end);
}

#[test]
fn what_was_drawn_from_a_seed_is_replayed_from_its_text() {
    let faults = Faults::default();
    for seed in 0..30 {
        let schedule = faults.draw(seed, &Domains::blocks(RANKS, 1));
        let again = schedule.to_string();
        let drawn = simulate("causal", FailureUnit::Node, &again, seed, None);
        assert_eq!(drawn, simulate("causal", FailureUnit::Node, &again, seed, None), "{again}");
    }
}
