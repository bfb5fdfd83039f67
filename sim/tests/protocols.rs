//! Random applications under random crash schedules, for every specification of this build and both failure units.

use std::ops::RangeInclusive;
use std::path::Path;

use egida_core::crash::{CrashPoint, Failpoint};
use egida_core::ids::Domains;
use egida_core::recovery::{End, Unrecoverable};
use egida_core::setting::Setting;
use egida_sim::driver::Crash;
use egida_sim::job::{Ending, Job, Outcome};
use egida_sim::oracle::judge;
use egida_sim::program::{Op, Scripts};
use egida_sim::run;
use egida_spec::protocol::{FailureUnit, Protocol};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

const NAMED: i32 = 1;
const FROM_ANY: i32 = 2;

#[derive(Debug, Clone)]
struct Message {
    from: u32,
    to: u32,
    named: bool,
    len: usize,
    synchronous: bool,
}

/// How a rank ends a round.
#[derive(Debug, Clone, Copy)]
enum Finish {
    WaitAll,
    WaitAny,
    Test,
    Probe,
}

/// Messages, and for each rank how it ends the round, whether it reads from outside, whether it writes.
type Round = (Vec<Message>, Vec<(Finish, bool, bool)>);

#[derive(Debug, Clone)]
struct Application {
    ranks: u32,
    rounds: Vec<Round>,
}

impl Application {
    /// Each round, every rank posts what it will get, sends what it has to send, and takes what came. Messages for
    /// receives from any source have a tag of their own, so that no receive waits for a message that another took.
    fn scripts(&self) -> Vec<Vec<Op>> {
        (0..self.ranks).map(|rank| self.script(rank)).collect()
    }

    fn script(&self, rank: u32) -> Vec<Op> {
        let mut script = Vec::new();
        for (messages, finishes) in &self.rounds {
            let incoming: Vec<_> = messages.iter().filter(|message| message.to == rank).collect();
            for message in &incoming {
                script.push(match message.named {
                    true => Op::Post { from: Some(message.from), tag: NAMED },
                    false => Op::Post { from: None, tag: FROM_ANY },
                });
            }
            let (finish, reads, writes) = finishes[rank as usize];
            if reads {
                script.push(Op::Read);
            }
            for message in messages.iter().filter(|message| message.from == rank) {
                let tag = if message.named { NAMED } else { FROM_ANY };
                let Message { to, len, synchronous, .. } = *message;
                script.push(Op::Send { to, tag, len, synchronous });
            }
            match finish {
                Finish::WaitAll => script.push(Op::WaitAll),
                Finish::WaitAny => script.extend(incoming.iter().map(|_| Op::WaitAny)),
                Finish::Test => script.extend([Op::TestSome(3), Op::WaitFirst, Op::WaitAll]),
                Finish::Probe => script.extend([Op::Probe { tag: FROM_ANY, times: 2 }, Op::WaitAll]),
            }
            if writes {
                script.push(Op::Output);
            }
        }
        script.push(Op::Output);
        script
    }

    fn has_choices(&self) -> bool {
        self.rounds.iter().any(|(messages, finishes)| {
            messages.iter().any(|message| !message.named)
                || finishes.iter().any(|(finish, reads, _)| *reads || !matches!(finish, Finish::WaitAll))
        })
    }
}

fn application(fewest: u32) -> impl Strategy<Value = Application> {
    (fewest..=fewest + 2).prop_flat_map(|ranks| {
        let message = (0..ranks, 0..ranks, any::<bool>(), 8usize..200, prop::bool::weighted(0.1)).prop_map(
            |(from, to, named, len, synchronous)| {
                // Only where nobody else can take the receive: a receive from any source may be served by a later
                // message of a third rank, and MPI allows a synchronous send to wait for ever then.
                Message { from, to, named, len, synchronous: synchronous && named && from != to }
            },
        );
        let finish = prop_oneof![
            3 => Just(Finish::WaitAll),
            2 => Just(Finish::WaitAny),
            2 => Just(Finish::Test),
            1 => Just(Finish::Probe),
        ];
        let finishes = prop::collection::vec(
            (finish, prop::bool::weighted(0.2), prop::bool::weighted(0.3)),
            ranks as usize,
        );
        let round = (prop::collection::vec(message, 1..8), finishes);
        prop::collection::vec(round, 1..5).prop_map(move |rounds| Application { ranks, rounds })
    })
}

fn crash() -> impl Strategy<Value = Crash> {
    let point = prop_oneof![
        (1u64..15).prop_map(CrashPoint::Send),
        (1u64..15).prop_map(CrashPoint::Deliver),
        prop::sample::select(Failpoint::ALL).prop_map(CrashPoint::At),
    ];
    (0u32..5, prop_oneof![3 => Just(1u32), 1 => Just(2u32)], point, 1u32..5).prop_map(
        |(rank, incarnation, point, time)| {
            let time = if matches!(point, CrashPoint::At(_)) { time } else { 1 };
            Crash { rank, incarnation, point, time }
        },
    )
}

fn specification(name: &str) -> Protocol {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    egida_spec::load(name, &text).protocol.unwrap()
}

fn simulate(
    protocol: &Protocol,
    unit: FailureUnit,
    per_domain: u32,
    application: &Application,
    crashes: &[Crash],
    seed: u64,
    discard_determinants: bool,
) -> Outcome {
    let job = Job {
        protocol,
        setting: Setting { domains: Domains::blocks(application.ranks, per_domain), unit },
        model: &Scripts(application.scripts()),
        crashes: crashes.to_vec(),
        seed,
        discard_determinants,
    };
    run(&job, &egida_modules::registry()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn cases() -> u32 {
    std::env::var("EGIDA_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500)
}

/// Recovers, or says that more failures overlapped than the protocol tolerates, with any of these numbers of ranks on a
/// node.
fn survives(name: &str, unit: FailureUnit, tolerated: Option<u32>, ranks_per_node: RangeInclusive<u32>) {
    let protocol = specification(name);
    let mut runner = TestRunner::new(Config {
        cases: cases(),
        max_shrink_iters: 5_000,
        failure_persistence: None,
        ..Config::default()
    });
    // Memory that fails independently takes more nodes than may fail.
    let nodes = 1 + tolerated.unwrap_or(0);
    let fewest = (nodes * ranks_per_node.end()).max(2);
    let strategy = (application(fewest), ranks_per_node, prop::collection::vec(crash(), 0..4), any::<u64>());
    let outcome = runner.run(&strategy, |(application, per_node, crashes, seed)| {
        let undisturbed = simulate(&protocol, unit, per_node, &application, &[], seed, false);
        prop_assert_eq!(judge(&undisturbed), None, "undisturbed");
        let outcome = simulate(&protocol, unit, per_node, &application, &crashes, seed, false);
        if let Ending::Ended(End::Unrecoverable(Unrecoverable::TooMany { down, .. })) = outcome.end {
            prop_assert!(tolerated.is_some_and(|tolerated| down > tolerated), "{:?}", outcome.trace);
            return Ok(());
        }
        if let Some(wrong) = judge(&outcome) {
            return Err(TestCaseError::fail(format!("{wrong}\n{}", outcome.trace.join("\n"))));
        }
        if !application.has_choices() {
            prop_assert_eq!(&outcome.states, &undisturbed.states);
            prop_assert_eq!(&outcome.released, &undisturbed.released);
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{name} under {unit}: {failure}");
    }
}

macro_rules! protocols {
    ($($test:ident: $file:literal, $node_tolerates:expr;)*) => {$(
        mod $test {
            use super::*;

            #[test]
            fn survives_processes() {
                survives($file, FailureUnit::Process, None, 1..=1);
            }

            #[test]
            fn survives_nodes() {
                survives($file, FailureUnit::Node, $node_tolerates, 1..=1);
            }
        }
    )*};
}

/// Ranks that share a node fail together. What one of them holds the others do not have to send on.
#[test]
fn causal_protocols_survive_nodes_of_several_ranks() {
    for (file, tolerated) in [
        ("causal.egd", Some(1)),
        ("causal-receive.egd", Some(1)),
        ("causal-dependency-matrix.egd", Some(2)),
        ("causal-stability-vector.egd", Some(2)),
        ("causal-stability-matrix.egd", Some(2)),
        ("hybrid.egd", Some(1)),
    ] {
        survives(file, FailureUnit::Node, tolerated, 1..=2);
    }
}

/// Where stable storage is the process that never fails, the others may fail by twos, or all at once.
#[test]
fn causal_protocols_with_a_stable_log_survive_the_failure_of_everyone() {
    for file in ["causal-stable.egd", "manetho.egd"] {
        survives(file, FailureUnit::Node, None, 2..=2);
        survives(file, FailureUnit::Node, None, 6..=6);
    }
}

protocols! {
    pessimistic_receiver: "pessimistic-receiver.egd", None;
    pessimistic_sender: "pessimistic-sender.egd", None;
    pessimistic_sender_receive: "pessimistic-sender-receive.egd", None;
    causal: "causal.egd", Some(1);
    causal_receive: "causal-receive.egd", Some(1);
    optimistic: "optimistic.egd", None;
    optimistic_exchange: "optimistic-exchange.egd", None;
    paper_fig3a: "paper/fig3a.egd", None;
    paper_fig3b: "paper/fig3b.egd", Some(1);
    causal_dependency_matrix: "causal-dependency-matrix.egd", Some(2);
    causal_stability_vector: "causal-stability-vector.egd", Some(2);
    causal_stability_matrix: "causal-stability-matrix.egd", Some(2);
    causal_stable: "causal-stable.egd", None;
    manetho: "manetho.egd", None;
    hybrid: "hybrid.egd", Some(1);
}
