//! Schedules that break replication of determinants where it is done naively (each is told in its test).

use std::path::Path;

use egida_core::crash::{CrashPoint, Failpoint};
use egida_core::ids::{Domains, Rank};
use egida_core::recovery::{End, Unrecoverable};
use egida_core::setting::Setting;
use egida_sim::driver::Crash;
use egida_sim::job::{Ending, Job, Outcome};
use egida_sim::oracle::judge;
use egida_sim::program::{Op, Scripts};
use egida_sim::run;
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

fn simulate(specification: &str, crashes: &[Crash], seed: u64) -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs").join(specification);
    let text = std::fs::read_to_string(path).unwrap();
    let protocol = egida_spec::load(specification, &text).protocol.unwrap();
    let setting = Setting { domains: Domains::blocks(WORKERS + 1, 1), unit: FailureUnit::Node };
    let (model, crashes, discard_determinants) = (&scripts(), crashes.to_vec(), false);
    let job = Job { protocol: &protocol, setting, model, crashes, seed, discard_determinants };
    run(&job, &egida_modules::registry()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn at_delivery(rank: Rank, delivery: u64) -> Crash {
    Crash { rank, incarnation: 1, point: CrashPoint::Deliver(delivery), time: 1 }
}

fn after_logging(rank: Rank, incarnation: u32, time: u32) -> Crash {
    Crash { rank, incarnation, point: CrashPoint::At(Failpoint::DeterminantLogged), time }
}

fn survives(specification: &str, crashes: &[Crash], seed: u64, deaths: [u32; 4]) {
    let outcome = simulate(specification, crashes, seed);
    let trace = outcome.trace.join("\n");
    assert_eq!(judge(&outcome), None, "{specification}, seed {seed}:\n{trace}");
    assert_eq!(outcome.deaths, deaths, "{specification}, seed {seed}:\n{trace}");
}

#[test]
fn an_owner_dies_with_its_determinant_at_some_of_its_holders() {
    for specification in SPECIFICATIONS {
        for seed in 0..25 {
            let time = 1 + (seed % 17) as u32;
            survives(specification, &[after_logging(0, 1, time)], seed, [1, 0, 0, 0]);
        }
    }
}

/// A holder dies as soon as it has acknowledged, and comes back; then the next holder; then the owner. Never more than one is
/// down, so all that was acknowledged must be found, although no holder is as it was.
#[test]
fn holders_die_one_after_another_and_then_the_owner() {
    for specification in SPECIFICATIONS {
        for seed in 0..25 {
            let crashes = [at_delivery(1, 4), at_delivery(2, 10), at_delivery(0, 16)];
            survives(specification, &crashes, seed, [1, 1, 1, 0]);
        }
    }
}

/// The owner dies while it puts back what was collected for it, and again after its replay.
#[test]
fn an_owner_dies_again_before_its_copies_are_made_again() {
    for specification in SPECIFICATIONS {
        for seed in 0..25 {
            let start = CrashPoint::At(Failpoint::ReplayStart);
            let crashes = [
                at_delivery(0, 7),
                Crash { rank: 0, incarnation: 2, point: start, time: 1 },
                after_logging(0, 3, 1),
            ];
            survives(specification, &crashes, seed, [3, 0, 0, 0]);
        }
    }
}

/// As many as tolerated die while the first recovers; one more ends the job with a reason.
#[test]
fn owner_and_holders_die_together() {
    for specification in ["pessimistic-replicated.egd", "replicated-hybrid.egd"] {
        for seed in 0..25 {
            let crashes = [at_delivery(0, 8), at_delivery(1, 7)];
            survives(specification, &crashes, seed, [1, 1, 0, 0]);
        }
    }
    let mut given_up = 0;
    for seed in 0..25 {
        let crashes = [at_delivery(0, 8), at_delivery(1, 7)];
        let outcome = simulate("pessimistic-sbml.egd", &crashes, seed);
        match outcome.end {
            Ending::Ended(End::Unrecoverable(Unrecoverable::TooMany { .. })) => given_up += 1,
            _ => assert_eq!(judge(&outcome), None, "seed {seed}:\n{}", outcome.trace.join("\n")),
        }
    }
    assert!(given_up > 0, "the two were never down at once");
}
