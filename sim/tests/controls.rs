//! Shows that the other tests can fail: without determinants recovery is wrong, and the same seed is the same run.

use std::path::Path;

use egida_core::crash::CrashPoint;
use egida_core::ids::Domains;
use egida_core::setting::Setting;
use egida_sim::job::{Control, Job, Outcome};
use egida_sim::oracle::judge;
use egida_sim::program::{Op, Scripts};
use egida_sim::run;
use egida_sim::schedule::Crash;
use egida_spec::protocol::FailureUnit;

const ROUNDS: usize = 6;
const TO_MASTER: i32 = 1;
const TO_WORKER: i32 = 2;

/// Rank 0 takes one message from anyone at a time and tells everybody what it has seen so far.
fn master(workers: u32) -> Vec<Op> {
    let round = (0..workers).flat_map(|_| {
        let tell = (1..=workers).map(|to| Op::Send { to, tag: TO_WORKER, len: 16, synchronous: false });
        [Op::Post { from: None, tag: TO_MASTER }, Op::WaitAny].into_iter().chain(tell)
    });
    let round: Vec<Op> = round.chain([Op::Output]).collect();
    (0..ROUNDS).flat_map(|_| round.clone()).collect()
}

/// A worker sends one message a round and takes what the master tells.
fn worker(workers: u32) -> Vec<Op> {
    let take = (0..workers).flat_map(|_| [Op::Post { from: Some(0), tag: TO_WORKER }, Op::WaitFirst]);
    let round: Vec<Op> =
        [Op::Send { to: 0, tag: TO_MASTER, len: 8, synchronous: false }].into_iter().chain(take).collect();
    (0..ROUNDS).flat_map(|_| round.clone()).chain([Op::Output]).collect()
}

fn simulate(
    specification: &str,
    unit: FailureUnit,
    crash: Option<Crash>,
    seed: u64,
    discard: bool,
) -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs").join(specification);
    let text = std::fs::read_to_string(path).unwrap();
    let protocol = egida_spec::load(specification, &text).protocol.unwrap();
    let workers = 3;
    let scripts = std::iter::once(master(workers)).chain((0..workers).map(|_| worker(workers)));
    let setting = Setting { domains: Domains::blocks(workers + 1, 1), unit, images: true };
    let model = Scripts(scripts.collect());
    let job = Job {
        control: discard.then_some(Control::DiscardDeterminants),
        ..Job::new(&protocol, setting, &model, seed).with(Vec::from_iter(crash))
    };
    run(&job, &egida_modules::registry()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

const PROTOCOLS: [&str; 9] = [
    "pessimistic-receiver.egd",
    "pessimistic-sender.egd",
    "pessimistic-sender-receive.egd",
    "causal.egd",
    "causal-receive.egd",
    "pessimistic-replicated.egd",
    "pessimistic-sbml.egd",
    "replicated-hybrid.egd",
    "paper/fig3b.egd",
];

fn crash(deliveries: u64) -> Crash {
    Crash { rank: 0, incarnation: 1, point: CrashPoint::Deliver(deliveries), time: 1 }
}

#[test]
fn without_determinants_recovery_is_wrong() {
    for protocol in PROTOCOLS {
        for unit in FailureUnit::ALL {
            let mut caught = 0;
            for seed in 0..40 {
                let crash = crash(3 + seed % 12);
                let recovered = simulate(protocol, unit, Some(crash), seed, false);
                assert_eq!(
                    judge(&recovered),
                    None,
                    "{protocol} under {unit}, seed {seed}: {:#?}",
                    recovered.trace
                );
                assert_eq!(recovered.deaths[0], 1, "the crash landed");
                caught += u32::from(judge(&simulate(protocol, unit, Some(crash), seed, true)).is_some());
            }
            assert!(
                caught >= 20,
                "{protocol} under {unit}: only {caught} of 40 runs without determinants went wrong"
            );
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    for protocol in PROTOCOLS {
        let once = simulate(protocol, FailureUnit::Node, Some(crash(7)), 11, false);
        let twice = simulate(protocol, FailureUnit::Node, Some(crash(7)), 11, false);
        assert_eq!(once, twice);
        assert_ne!(once.trace, simulate(protocol, FailureUnit::Node, Some(crash(7)), 12, false).trace);
    }
}

#[test]
fn without_fault_tolerance_a_death_ends_the_job() {
    let outcome = simulate("none.egd", FailureUnit::Process, Some(crash(7)), 1, false);
    assert!(judge(&outcome).is_some_and(|wrong| wrong.contains("Died")), "{:?}", outcome.end);
    assert_eq!(judge(&simulate("none.egd", FailureUnit::Process, None, 1, false)), None);
}
