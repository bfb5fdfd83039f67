//! Schedules that break replication of determinants where it is done naively (each is told in its test).

use std::path::Path;

use egida_core::ids::Domains;
use egida_core::recovery::{End, Unrecoverable};
use egida_core::setting::Setting;
use egida_sim::job::{Ending, Job, Outcome};
use egida_sim::oracle::judge;
use egida_sim::program::{Op, Scripts};
use egida_sim::run;
use egida_sim::schedule::Schedule;
use egida_spec::protocol::FailureUnit;

const SPECIFICATIONS: [&str; 3] =
    ["pessimistic-replicated.egd", "pessimistic-sbml.egd", "replicated-hybrid.egd"];
const WORKERS: u32 = 3;
const ROUNDS: usize = 6;
const TO_MASTER: i32 = 1;
const TO_WORKER: i32 = 2;

/// In each round the master takes a message of each worker, in any order, and tells all of them after each; so no worker
/// comes more than a round ahead of one that is down.
fn scripts() -> Scripts {
    let tell = (1..=WORKERS).map(|to| Op::Send { to, tag: TO_WORKER, len: 16, synchronous: false });
    let take: Vec<Op> =
        [Op::Post { from: None, tag: TO_MASTER }, Op::WaitAny].into_iter().chain(tell).collect();
    let takes: Vec<Op> = times(WORKERS as usize, &take).into_iter().chain([Op::Output]).collect();
    let told = times(WORKERS as usize, &[Op::Post { from: Some(0), tag: TO_WORKER }, Op::WaitFirst]);
    let send = Op::Send { to: 0, tag: TO_MASTER, len: 8, synchronous: false };
    let turn: Vec<Op> = [send].into_iter().chain(told).collect();
    let worker: Vec<Op> = times(ROUNDS, &turn).into_iter().chain([Op::Output]).collect();
    let workers = (0..WORKERS).map(|_| worker.clone());
    Scripts(std::iter::once(times(ROUNDS, &takes)).chain(workers).collect())
}

fn times(count: usize, script: &[Op]) -> Vec<Op> {
    (0..count).flat_map(|_| script.iter().cloned()).collect()
}

fn simulate(specification: &str, schedule: &str, seed: u64) -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs").join(specification);
    let text = std::fs::read_to_string(path).unwrap();
    let protocol = egida_spec::load(specification, &text).protocol.unwrap();
    let setting = Setting { domains: Domains::blocks(WORKERS + 1, 1), unit: FailureUnit::Node, images: true };
    let (model, schedule) = (scripts(), schedule.parse::<Schedule>().unwrap());
    let job = Job::new(&protocol, setting, &model, seed).with(schedule);
    run(&job, &egida_modules::registry()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn survives(specification: &str, schedule: &str, seed: u64, deaths: [u32; 4]) {
    let outcome = simulate(specification, schedule, seed);
    let trace = outcome.trace.join("\n");
    assert_eq!(judge(&outcome), None, "{specification}, seed {seed}, {schedule}:\n{trace}");
    assert_eq!(outcome.deaths, deaths, "{specification}, seed {seed}, {schedule}:\n{trace}");
}

#[test]
fn an_owner_dies_with_its_determinant_at_some_of_its_holders() {
    for specification in SPECIFICATIONS {
        for seed in 0..25 {
            let schedule = format!("0@point:determinant.logged:{}", 1 + seed % 17);
            survives(specification, &schedule, seed, [1, 0, 0, 0]);
        }
    }
}

/// A holder dies as soon as it has acknowledged, and comes back; then the next holder; then the owner. Never more than one is
/// down, so all that was acknowledged must be found, although no holder is as it was.
#[test]
fn holders_die_one_after_another_and_then_the_owner() {
    for specification in SPECIFICATIONS {
        for seed in 0..25 {
            survives(specification, "1@deliver:4,2@deliver:10,0@deliver:16", seed, [1, 1, 1, 0]);
        }
    }
}

/// The owner dies while it puts back what was collected for it, and again after its replay.
#[test]
fn an_owner_dies_again_before_its_copies_are_made_again() {
    for specification in SPECIFICATIONS {
        for seed in 0..25 {
            let schedule = "0@deliver:7,0.2@point:replay.start,0.3@point:determinant.logged";
            survives(specification, schedule, seed, [3, 0, 0, 0]);
        }
    }
}

/// An owner and one of two holders at once, at any moment; then the other holder, which has all that is left.
#[test]
fn an_owner_and_a_holder_die_together_and_then_the_other_holder() {
    for specification in ["pessimistic-replicated.egd", "replicated-hybrid.egd"] {
        for seed in 0..25 {
            let at = 200 + 40 * seed;
            let schedule = format!("0+1@time:{at},2@time:{}", at + 4_000);
            let outcome = simulate(specification, &schedule, seed);
            let trace = outcome.trace.join("\n");
            assert_eq!(judge(&outcome), None, "{specification}, seed {seed}, {schedule}:\n{trace}");
        }
    }
}

/// A node that is cut off cannot acknowledge: what its peers log goes to others, or waits until it is back.
#[test]
fn holders_that_are_cut_off_are_no_holders() {
    for specification in SPECIFICATIONS {
        for seed in 0..25 {
            survives(specification, "cut:1+2@100..2000", seed, [0, 0, 0, 0]);
        }
    }
}

/// Rank 0 makes a choice that rank 1 alone is told of, and dies; what recovery finds it finds at rank 1, which dies before rank 0 begins
/// anew. Rank 0 tells rank 2, and then rank 3: by then the choice is at two, and not at the three that f = 2 takes, so rank 3 must be
/// told of it as well. Who counted on rank 1 would think otherwise, and two more deaths could make an orphan of rank 3.
#[test]
fn who_begins_anew_does_not_count_on_holders_that_died_meanwhile() {
    let send = |to, tag| vec![Op::Send { to, tag, len: 16, synchronous: false }];
    let take = |from, tag| vec![Op::Post { from, tag }, Op::WaitFirst];
    let (asks, tells) = (TO_MASTER, TO_WORKER);
    let first = [take(None, asks), send(1, tells), take(Some(1), tells), take(None, asks)];
    let second = [send(2, tells), take(Some(2), tells), send(3, tells), take(Some(3), tells)];
    let model = Scripts(vec![
        [first.concat(), second.concat()].concat(),
        [take(Some(0), tells), send(0, tells)].concat(),
        [send(0, asks), take(Some(0), tells), send(0, tells)].concat(),
        [send(0, asks), take(Some(0), tells), send(0, tells)].concat(),
    ]);
    for specification in
        ["causal.egd", "causal-receive.egd", "causal-dependency-matrix.egd", "causal-stability-vector.egd"]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs").join(specification);
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.replace("(f = 1)", "(f = 2)");
        assert!(text.contains("(f = 2)"), "{specification}");
        let protocol = egida_spec::load(specification, &text).protocol.unwrap();
        let mut told = 0;
        for seed in 0..50 {
            let setting = Setting { domains: Domains::blocks(4, 1), unit: FailureUnit::Node, images: true };
            let schedule = "late:3>0#0@4000,0@after:arrive.1,1@after:start".parse::<Schedule>().unwrap();
            let job = Job::new(&protocol, setting, &model, seed).with(schedule);
            let outcome = run(&job, &egida_modules::registry()).unwrap_or_else(|errors| panic!("{errors:?}"));
            let trace = outcome.trace.join("\n");
            assert_eq!(judge(&outcome), None, "{specification}, seed {seed}:\n{trace}");
            told += u32::from(outcome.deaths == [1, 1, 0, 0]);
        }
        assert!(told > 40, "{specification}: {told}");
    }
}

/// One more at once than is tolerated: an end with its reason, always.
#[test]
fn one_more_than_is_tolerated() {
    for (specification, who, tolerated) in [
        ("pessimistic-replicated.egd", "0+1+2", 2),
        ("pessimistic-sbml.egd", "0+1", 1),
        ("replicated-hybrid.egd", "0+1+2", 2),
    ] {
        for seed in 0..25 {
            let outcome = simulate(specification, &format!("{who}@time:{}", 100 + 20 * seed), seed);
            let expected = Unrecoverable::TooMany { down: tolerated + 1, unit: "nodes", tolerated };
            assert_eq!(
                outcome.end,
                Ending::Ended(End::Unrecoverable(expected)),
                "{specification}, seed {seed}"
            );
        }
    }
}
