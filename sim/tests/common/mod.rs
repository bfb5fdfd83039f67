//! What the simulator's tests share: random programs, random deaths, runs of both under a specification.

#![allow(dead_code, reason = "each test takes what it needs")]

pub mod broken;

use std::path::{Path, PathBuf};

use egida_core::binder::Judged;
use egida_core::crash::{CrashPoint, Failpoint};
use egida_core::ids::Domains;
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_sim::job::{Control, Job, Outcome};
use egida_sim::program::{Op, Scripts};
use egida_sim::run_judged;
use egida_sim::schedule::Crash;
use egida_sim::scheduler::Time;
use egida_spec::protocol::{FailureUnit, Protocol};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const NAMED: i32 = 1;
const FROM_ANY: i32 = 2;

/// A message of a round.
#[derive(Debug, Clone)]
pub struct Message {
    pub from: u32,
    pub to: u32,
    /// Whether its receive names its source.
    pub named: bool,
    pub len: usize,
    pub synchronous: bool,
}

/// How a rank ends a round.
#[derive(Debug, Clone, Copy)]
pub enum Finish {
    WaitAll,
    WaitAny,
    Test,
    Probe,
}

/// Messages, and for each rank how it ends the round, whether it reads from outside, whether it writes.
pub type Round = (Vec<Message>, Vec<(Finish, bool, bool)>);

/// A random program: rounds of messages.
#[derive(Debug, Clone)]
pub struct Application {
    pub ranks: u32,
    pub rounds: Vec<Round>,
}

impl Application {
    /// Each round, every rank posts what it will get, sends what it has to send, and takes what came. Messages for
    /// receives from any source have a tag of their own, so that no receive waits for a message that another took.
    pub fn scripts(&self) -> Vec<Vec<Op>> {
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

    /// Whether two runs may differ.
    pub fn has_choices(&self) -> bool {
        self.rounds.iter().any(|(messages, finishes)| {
            messages.iter().any(|message| !message.named)
                || finishes.iter().any(|(finish, reads, _)| *reads || !matches!(finish, Finish::WaitAll))
        })
    }
}

/// Up to three ranks more than the fewest, one to four rounds.
pub fn application(fewest: u32) -> impl Strategy<Value = Application> {
    (fewest..fewest + 3).prop_flat_map(|ranks| {
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

/// A death anywhere, in a first or a second life.
pub fn crash() -> impl Strategy<Value = Crash> {
    let point = prop_oneof![
        (1u64..15).prop_map(CrashPoint::Send),
        (1u64..15).prop_map(CrashPoint::Deliver),
        prop::sample::select(Failpoint::ALL).prop_map(CrashPoint::At),
    ];
    (0u32..6, prop_oneof![3 => Just(1u32), 1 => Just(2u32)], point, 1u32..5).prop_map(
        |(rank, incarnation, point, time)| {
            let time = if matches!(point, CrashPoint::At(_)) { time } else { 1 };
            Crash { rank, incarnation, point, time }
        },
    )
}

/// Everything that a run depends on, beside the specification.
#[derive(Debug, Clone)]
pub struct Case {
    pub application: Application,
    /// How many neighbours share a failure domain.
    pub per_domain: u32,
    pub crashes: Vec<Crash>,
    /// What a message between nodes and whoever coordinates takes at most.
    pub control_delay: Time,
    /// How often checkpoints are taken, where the protocol takes any: several in a program.
    pub checkpoint_every: Time,
    pub seed: u64,
}

/// Programs and deaths of all kinds, on at least so many nodes, of one rank, of two, or (where one node is enough) of all.
pub fn case(nodes: u32) -> impl Strategy<Value = Case> {
    let everyone = if nodes > 1 { 2 } else { 6 };
    let per_domain = prop_oneof![5 => Just(1u32), 2 => Just(2u32), 1 => Just(everyone)];
    per_domain.prop_flat_map(move |per_domain| {
        let crashes = prop::collection::vec(crash(), 0..4);
        // Seldom so slow that messages of those who have heard of a failure come long before the news itself.
        let control_delay = prop_oneof![3 => Just(200), 1 => Just(5_000)];
        let application = application((nodes * per_domain).clamp(2, 6));
        (application, crashes, control_delay, 150u64..1_500, any::<u64>()).prop_map(
            move |(application, crashes, control_delay, checkpoint_every, seed)| Case {
                application,
                per_domain,
                crashes,
                control_delay,
                checkpoint_every,
                seed,
            },
        )
    })
}

impl Case {
    pub fn setting(&self, unit: FailureUnit) -> Setting {
        let per_domain = if unit == FailureUnit::Node { self.per_domain } else { 1 };
        Setting { domains: Domains::blocks(self.application.ranks, per_domain), unit, images: true }
    }

    /// The same without deaths.
    pub fn undisturbed(&self) -> Self {
        Self { crashes: Vec::new(), ..self.clone() }
    }

    pub fn run(&self, protocol: &Protocol, unit: FailureUnit, registry: &Registry) -> Outcome {
        self.run_with(protocol, unit, registry, None)
    }

    pub fn run_with(
        &self,
        protocol: &Protocol,
        unit: FailureUnit,
        registry: &Registry,
        control: Option<Control>,
    ) -> Outcome {
        self.run_judged(&Judged::new(protocol, registry, &self.setting(unit)), unit, control)
    }

    /// Runs under a protocol that was judged for its setting.
    pub fn run_judged(&self, judged: &Judged<'_>, unit: FailureUnit, control: Option<Control>) -> Outcome {
        let model = Scripts(self.application.scripts());
        let mut job =
            Job::new(judged.protocol(), self.setting(unit), &model, self.seed).with(self.crashes.clone());
        job.faults.control_delay = self.control_delay;
        job.checkpoint_every = Some(self.checkpoint_every);
        job.control = control;
        run_judged(&job, judged).unwrap_or_else(|errors| panic!("{errors:?}"))
    }
}

/// Where the specifications are.
pub fn specs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs")
}

/// The specification `specs/NAME.egd`.
pub fn specification(name: &str) -> Protocol {
    let text = std::fs::read_to_string(specs().join(format!("{name}.egd"))).unwrap();
    egida_spec::load(name, &text).protocol.unwrap()
}

/// The names of all specifications, those of the paper's figures included, in order.
pub fn names() -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["", "paper/"] {
        for entry in std::fs::read_dir(specs().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "egd") {
                names.push(format!("{folder}{}", path.file_stem().unwrap().to_str().unwrap()));
            }
        }
    }
    names.sort();
    names
}

/// How many cases each test tries: `EGIDA_CASES`.
pub fn cases(default: u32) -> u32 {
    std::env::var("EGIDA_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default)
}

/// What all random cases are made of: `EGIDA_SEED`, or another number each time.
pub fn seed() -> u64 {
    let random = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |since| since.as_nanos() as u64)
    };
    std::env::var("EGIDA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(random)
}

/// A runner whose cases are those of a seed, each test its own.
pub fn runner(seed: u64, test: &str, cases: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    for (at, byte) in test.bytes().enumerate() {
        let slot = &mut bytes[8 + at % 24];
        *slot = slot.rotate_left(3) ^ byte;
    }
    let config = Config { cases, max_shrink_iters: 5_000, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}
