//! Protocols with one part broken: each must be caught, and by which oracle stands in `docs/mutants.md`.
//!
//! A mutant takes the place of a right module under the same phrase, so that nothing else of the stack is changed; or the simulated
//! world itself does one thing wrong. It is run under random cases, or where these hardly ever come to it under a schedule of its own,
//! until a run is judged wrong; the right one must get through the same case.

#[path = "../common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{broken, case, runner, specification};
use egida_core::binder::tolerates;
use egida_core::ids::Domains;
use egida_core::recovery::End;
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_sim::job::{Control, Ending, Job, Outcome};
use egida_sim::oracle::{Violation, is_beyond, judge};
use egida_sim::program::{Op, Scripts};
use egida_sim::run;
use egida_sim::schedule::{Faults, Schedule};
use egida_spec::protocol::{FailureUnit, Protocol};
use libtest_mimic::{Arguments, Failed, Trial};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// A broken part, and where it is to be found out.
struct Mutant {
    /// As in the documentation.
    name: &'static str,
    /// The protocols that it breaks.
    specifications: &'static [&'static str],
    /// The oracle that must catch it.
    oracle: Oracle,
    /// What is broken.
    breaks: Breaks,
    /// What it is tried with.
    tried: Tried,
}

/// What is broken.
enum Breaks {
    /// A module: this puts a broken one in its place.
    Module(fn(&mut Registry)),
    /// The world.
    World(Control),
}

/// What a mutant is tried with.
#[derive(Clone, Copy)]
enum Tried {
    /// Random programs, random deaths.
    AtRandom,
    /// These programs with this schedule, on disks that take so long.
    Directed(fn() -> Vec<Vec<Op>>, &'static str, u64),
}

use Breaks::{Module, World};
use Tried::{AtRandom, Directed};

/// What can find fault with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Oracle {
    /// What a state depends on could not be found again if so many domains failed now.
    Exposure,
    /// A message was received that was not sent, or twice.
    ExactlyOnce,
    /// A message was left out, and a later one of the same kind was received.
    Gap,
    /// The world saw something else than was written, or a re-execution contradicts what it saw.
    Output,
    /// A re-execution does not repeat itself.
    Divergence,
    /// Recovery finds that something is missing, though no more failed than is tolerated.
    Unrecoverable,
    /// The job does not come to its end.
    Liveness,
    /// A new life does not repeat what another state, or the world, depends on.
    Replay,
    /// Output is shown that could be orphaned.
    Commitment,
    /// Recovery does not return to the maximum recoverable state.
    Line,
    /// A number of an incarnation is used twice or too early, or a survivor rolls back without need.
    Lives,
    /// A message waits for a log where none may.
    Waiting,
    /// A checkpoint is useless, or depends on another in a way that its protocol promises to show.
    Zigzag,
    /// A line of checkpoints is not what its protocol promises, or what it needs was collected.
    Checkpoints,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a send does not wait for the log",
        specifications: &[
            "pessimistic-sender-receive",
            "pessimistic-sender",
            "pessimistic-receiver",
            "pessimistic-replicated",
            "pessimistic-sbml",
            "replicated-hybrid",
        ],
        oracle: Oracle::Exposure,
        breaks: Module(broken::synchronously_is_asynchronously),
        tried: AtRandom,
    },
    Mutant {
        name: "a gate asks for one entry too few",
        specifications: &["pessimistic-receiver"],
        oracle: Oracle::Exposure,
        breaks: Module(broken::gate_one_too_early),
        tried: AtRandom,
    },
    Mutant {
        name: "a copy too few is waited for",
        specifications: &["pessimistic-replicated", "replicated-hybrid"],
        oracle: Oracle::Exposure,
        breaks: Module(broken::one_copy_too_few),
        tried: AtRandom,
    },
    Mutant {
        name: "a log is acknowledged before it is written",
        specifications: &["pessimistic-receiver", "pessimistic-sender"],
        oracle: Oracle::Exposure,
        breaks: World(Control::StableBeforeWritten),
        tried: AtRandom,
    },
    Mutant {
        name: "one message in three carries no determinants",
        specifications: &["causal", "causal-receive"],
        oracle: Oracle::Exposure,
        breaks: Module(broken::forgetful_piggyback),
        tried: AtRandom,
    },
    Mutant {
        name: "a receiver is taken for a holder before it has acknowledged",
        specifications: &["causal-receive"],
        oracle: Oracle::Exposure,
        breaks: Module(broken::knowledge_advertised_early),
        tried: AtRandom,
    },
    Mutant {
        name: "what was received is not kept for others",
        specifications: &["causal-receive"],
        oracle: Oracle::Exposure,
        breaks: Module(broken::nothing_is_held_for_others),
        tried: AtRandom,
    },
    Mutant {
        name: "recovery asks nobody",
        specifications: &["causal-receive"],
        oracle: Oracle::Unrecoverable,
        breaks: Module(broken::retrieval_asks_nobody),
        tried: AtRandom,
    },
    Mutant {
        name: "recovery does not read the disk of who was restarted",
        specifications: &["causal-stable", "manetho"],
        oracle: Oracle::Unrecoverable,
        breaks: World(Control::NoWitnesses),
        tried: Directed(held_on_disk, "1@after:stable.1,0@after:recovered", 3_000),
    },
    Mutant {
        name: "contents of messages are not logged",
        specifications: &["pessimistic-receiver"],
        oracle: Oracle::Liveness,
        breaks: Module(broken::contents_are_not_logged),
        tried: AtRandom,
    },
    Mutant {
        name: "what has arrived is taken for delivered",
        specifications: &["pessimistic-receiver", "causal"],
        oracle: Oracle::Liveness,
        breaks: World(Control::ReleasedOnArrival),
        tried: AtRandom,
    },
    Mutant {
        name: "output does not wait",
        specifications: &["causal-receive"],
        oracle: Oracle::Commitment,
        breaks: Module(broken::output_is_not_committed),
        tried: AtRandom,
    },
    Mutant {
        name: "output waits for the own log only",
        specifications: &["optimistic"],
        oracle: Oracle::Replay,
        breaks: Module(broken::output_is_committed_alone),
        tried: AtRandom,
    },
    Mutant {
        name: "obsolete messages are delivered",
        specifications: &["optimistic", "optimistic-checkpoint"],
        oracle: Oracle::Line,
        breaks: Module(broken::nothing_is_obsolete),
        tried: AtRandom,
    },
    Mutant {
        name: "nothing is postponed",
        specifications: &["optimistic"],
        oracle: Oracle::Replay,
        breaks: Module(broken::nothing_is_postponed),
        tried: Directed(overtaken, "late:1>0#0@800,news:2@20000,0@after:deliver.2", 100_000),
    },
    Mutant {
        name: "orphans do not notice",
        specifications: &["optimistic", "optimistic-checkpoint"],
        oracle: Oracle::Replay,
        breaks: Module(broken::orphans_do_not_notice),
        tried: AtRandom,
    },
    Mutant {
        name: "everybody takes himself for an orphan",
        specifications: &["optimistic"],
        oracle: Oracle::Lives,
        breaks: Module(broken::everybody_is_an_orphan),
        tried: AtRandom,
    },
    Mutant {
        name: "a delivery does not take over the clock of its message",
        specifications: &["optimistic"],
        oracle: Oracle::Replay,
        breaks: Module(broken::clocks_are_not_merged),
        tried: AtRandom,
    },
    Mutant {
        name: "a log that nobody waits for is waited for",
        specifications: &["hybrid"],
        oracle: Oracle::Waiting,
        breaks: Module(broken::asynchronously_is_synchronously),
        tried: AtRandom,
    },
    Mutant {
        name: "a determinant names other requests than were complete",
        specifications: &["causal-receive", "pessimistic-sender"],
        oracle: Oracle::Divergence,
        breaks: Module(broken::answers_name_others),
        tried: AtRandom,
    },
    Mutant {
        name: "what the world has seen is forgotten with the rank",
        specifications: &["pessimistic-receiver"],
        oracle: Oracle::Output,
        breaks: World(Control::LedgerDies),
        tried: AtRandom,
    },
    Mutant {
        name: "a message comes with other bytes",
        specifications: &["causal"],
        oracle: Oracle::ExactlyOnce,
        breaks: World(Control::Altered),
        tried: AtRandom,
    },
    Mutant {
        name: "a message comes with another tag",
        specifications: &["causal"],
        oracle: Oracle::Gap,
        breaks: World(Control::Mislabelled),
        tried: Directed(more_than_wanted, "", 200),
    },
    Mutant {
        name: "messages force no checkpoints",
        specifications: &["checkpoint-bcs"],
        oracle: Oracle::Zigzag,
        breaks: Module(broken::nothing_is_forced),
        tried: AtRandom,
    },
    Mutant {
        name: "new dependencies are taken on after a send",
        specifications: &["checkpoint-fdas"],
        oracle: Oracle::Zigzag,
        breaks: Module(broken::sends_are_not_noted),
        tried: AtRandom,
    },
    Mutant {
        name: "a marker is found only behind the message that follows it",
        specifications: &["checkpoint-chandy-lamport"],
        oracle: Oracle::Checkpoints,
        breaks: Module(broken::markers_are_late),
        tried: AtRandom,
    },
    Mutant {
        name: "everybody returns, whatever the graph says",
        specifications: &["checkpoint-independent"],
        oracle: Oracle::Checkpoints,
        breaks: Module(broken::everybody_returns),
        tried: AtRandom,
    },
    Mutant {
        name: "what a checkpoint depended on is forgotten",
        specifications: &["optimistic-checkpoint"],
        oracle: Oracle::Checkpoints,
        breaks: Module(broken::clocks_of_checkpoints_are_forgotten),
        tried: Directed(
            told_after_a_checkpoint,
            "late:3>1#0@30000,1@after:saved.1,0@after:deliver.2",
            10_000,
        ),
    },
    Mutant {
        name: "collection does not wait until no failure can undo the checkpoint",
        specifications: &["optimistic-checkpoint"],
        oracle: Oracle::Checkpoints,
        breaks: World(Control::CollectUnstable),
        tried: AtRandom,
    },
    Mutant {
        name: "a failed write of a checkpoint releases what it covers",
        specifications: &["checkpoint-index", "pessimistic-sender-checkpoint"],
        oracle: Oracle::Checkpoints,
        breaks: World(Control::FailedWritesCommit),
        tried: AtRandom,
    },
    Mutant {
        name: "a checkpoint is durable before others have it",
        specifications: &["checkpoint-diskless"],
        oracle: Oracle::Unrecoverable,
        breaks: World(Control::DurableBeforeMirrored),
        tried: Directed(to_and_fro, "0@after:committed.0", 200),
    },
    Mutant {
        name: "collection goes one checkpoint too far",
        specifications: &["checkpoint-index", "pessimistic-sender-checkpoint", "optimistic-checkpoint"],
        oracle: Oracle::Checkpoints,
        breaks: World(Control::CollectTooMuch),
        tried: AtRandom,
    },
];

/// How many cases a mutant may survive.
const CASES: usize = 4_000;

const ASK: i32 = 1;
const TELL: i32 = 2;

fn main() {
    let tried = |mutant: &'static Mutant| {
        mutant.specifications.iter().map(move |specification| {
            Trial::test(format!("{}/{specification}", mutant.name), move || is_caught(mutant, specification))
        })
    };
    let documented = Trial::test("every mutant is documented", every_mutant_is_documented);
    let trials = MUTANTS.iter().flat_map(tried).chain([documented]).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// What a mutant is run with.
struct Try {
    model: Scripts,
    setting: Setting,
    schedule: Schedule,
    faults: Faults,
    checkpoint_every: Option<u64>,
    seed: u64,
}

impl Try {
    fn at_random(random: &mut TestRunner, nodes: u32) -> Result<Self, Failed> {
        let case = case(nodes).new_tree(random).map_err(|error| error.to_string())?.current();
        Ok(Self {
            model: Scripts(case.application.scripts()),
            setting: case.setting(FailureUnit::Node),
            schedule: case.crashes.clone().into(),
            faults: Faults { control_delay: case.control_delay, ..Faults::default() },
            checkpoint_every: Some(case.checkpoint_every),
            seed: case.seed,
        })
    }

    fn directed(scripts: Vec<Vec<Op>>, schedule: &str, disk_delay: u64, seed: u64) -> Result<Self, Failed> {
        let ranks = u32::try_from(scripts.len())?;
        Ok(Self {
            model: Scripts(scripts),
            setting: Setting { domains: Domains::blocks(ranks, 1), unit: FailureUnit::Node, images: true },
            schedule: schedule.parse()?,
            faults: Faults { disk_delay, ..Faults::default() },
            checkpoint_every: Some(1_000),
            seed,
        })
    }

    fn run(&self, protocol: &Protocol, registry: &Registry, control: Option<Control>) -> Outcome {
        let job = Job {
            faults: self.faults.clone(),
            control,
            checkpoint_every: self.checkpoint_every,
            ..Job::new(protocol, self.setting.clone(), &self.model, self.seed).with(self.schedule.clone())
        };
        run(&job, registry).unwrap_or_else(|errors| panic!("{errors:?}"))
    }
}

/// The mutant is caught, and the oracle that it is there for is among those that do.
fn is_caught(mutant: &Mutant, name: &str) -> Result<(), Failed> {
    let protocol = specification(name);
    let right = egida_modules::registry();
    let mut broken = egida_modules::registry();
    let control = match mutant.breaks {
        Module(breaks) => {
            breaks(&mut broken);
            None
        }
        World(control) => Some(control),
    };
    let tolerated = tolerates(&protocol, &right, FailureUnit::Node);
    let mut random = runner(7, mutant.name, 1);
    let mut caught = BTreeMap::<Oracle, usize>::new();
    for number in 0..CASES {
        let tried = match mutant.tried {
            AtRandom => Try::at_random(&mut random, 1 + tolerated.unwrap_or(0))?,
            Directed(scripts, schedule, disk_delay) => {
                Try::directed(scripts(), schedule, disk_delay, number as u64)?
            }
        };
        let failures = tried.schedule.0.len();
        let outcome = tried.run(&protocol, &broken, control);
        let Some(oracle) = found(&outcome, name, tolerated, failures) else { continue };
        *caught.entry(oracle).or_default() += 1;
        let outcome = tried.run(&protocol, &right, None);
        if found(&outcome, name, tolerated, failures).is_some() {
            let (wrong, trace) = (judge(&outcome), outcome.trace.join("\n"));
            return Err(format!("the right one is found fault with as well: {wrong:?}\n{trace}").into());
        }
        if oracle == mutant.oracle {
            println!(
                "{}/{name}: caught by {oracle:?} in case {number}, all in all by {caught:?}",
                mutant.name
            );
            return Ok(());
        }
    }
    Err(format!("in {CASES} cases {:?} did not catch it; others did: {caught:?}", mutant.oracle).into())
}

/// Which oracle finds fault with a run, if one does.
fn found(outcome: &Outcome, name: &str, tolerated: Option<u32>, failures: usize) -> Option<Oracle> {
    let Some(wrong) = judge(outcome) else { return broken_promise(outcome, name) };
    if is_beyond(&outcome.end, tolerated, failures) {
        return None;
    }
    Some(match &outcome.end {
        Ending::Done if wrong.contains("the world saw") => Oracle::Output,
        Ending::Done => Oracle::ExactlyOnce,
        Ending::Contradicted(_) => Oracle::Output,
        Ending::Exposed(_) => Oracle::Exposure,
        Ending::Ended(End::Unrecoverable(_)) => Oracle::Unrecoverable,
        Ending::Failed(..) => Oracle::Divergence,
        Ending::Violated(violation) => match violation {
            Violation::Orphan { .. } | Violation::OutputOrphaned { .. } => Oracle::Replay,
            Violation::Uncommitted { .. } => Oracle::Commitment,
            Violation::NotTheLine { .. } | Violation::NotTheNewest { .. } => Oracle::Line,
            Violation::Incarnation { .. } | Violation::RolledBack { .. } => Oracle::Lives,
            Violation::Waited { .. } => Oracle::Waiting,
            Violation::Gap { .. } => Oracle::Gap,
        },
        Ending::Inconsistent | Ending::CollectedTooMuch(_) => Oracle::Checkpoints,
        Ending::Ended(_) | Ending::Stuck => Oracle::Liveness,
    })
}

/// What a checkpointing protocol promises besides right recovery, as `tests/checkpoints.rs` has it for each.
fn broken_promise(outcome: &Outcome, name: &str) -> Option<Oracle> {
    let (found, lines) = (outcome.zigzag.clone().unwrap_or_default(), outcome.lines);
    match name {
        "checkpoint-bcs" => (!found.useless.is_empty()).then_some(Oracle::Zigzag),
        "checkpoint-fdas" => (!found.hidden.is_empty()).then_some(Oracle::Zigzag),
        "checkpoint-chandy-lamport" => (lines.of_several_indices > 0).then_some(Oracle::Checkpoints),
        "checkpoint-independent" => {
            (lines.not_the_newest + lines.needless_returns > 0).then_some(Oracle::Checkpoints)
        }
        _ => None,
    }
}

/// Rank 1 tells rank 0 five times, and rank 0 takes what it is told three times.
fn more_than_wanted() -> Vec<Vec<Op>> {
    let told = [Op::Post { from: Some(1), tag: TELL }, Op::WaitFirst];
    let tells = Op::Send { to: 0, tag: TELL, len: 16, synchronous: false };
    vec![(0..3).flat_map(|_| told.clone()).collect(), vec![tells; 5]]
}

/// Three that tell each other around the circle, for some checkpoints long.
fn to_and_fro() -> Vec<Vec<Op>> {
    let send = |to| Op::Send { to, tag: TELL, len: 16, synchronous: false };
    let take = |from| [Op::Post { from: Some(from), tag: TELL }, Op::WaitFirst];
    let turn = |rank: u32| [&[send((rank + 1) % 3)], take((rank + 2) % 3).as_slice()].concat();
    (0..3).map(|rank| (0..60).flat_map(|_| turn(rank)).collect()).collect()
}

/// Rank 0 takes something from whoever comes first and tells rank 1, whose log of that comes to its disk before rank 0's comes to its own.
/// Rank 1 dies and comes back; then rank 0 dies, and what it chose is on the disk of rank 1 and nowhere else.
fn held_on_disk() -> Vec<Vec<Op>> {
    let send = |to, tag| Op::Send { to, tag, len: 16, synchronous: false };
    let take = |from, tag| [Op::Post { from, tag }, Op::WaitFirst];
    let first =
        [take(None, ASK).as_slice(), &[send(1, TELL)], &take(None, ASK), &take(Some(1), TELL)].concat();
    let second =
        [take(Some(0), TELL).as_slice(), &[send(2, TELL)], &take(Some(2), TELL), &[send(0, TELL)]].concat();
    let third = [&[send(0, ASK)], take(Some(1), TELL).as_slice(), &[send(1, TELL)]].concat();
    vec![first, second, third, vec![send(0, ASK)]]
}

/// Rank 0 takes what rank 3 asks, tells rank 2, and dies; when it runs again it takes what rank 1 asks, and tells rank 2 something else.
/// Rank 1, which has heard of the death, tells rank 2, which has not, and thereby hides from rank 3 that rank 2 is an orphan.
fn overtaken() -> Vec<Vec<Op>> {
    let send = |to, tag| Op::Send { to, tag, len: 16, synchronous: false };
    let take = |from, tag| [Op::Post { from, tag }, Op::WaitFirst];
    let lost = [take(None, ASK).as_slice(), &[send(2, TELL)], &take(None, ASK), &[send(1, TELL)]].concat();
    let informed = [&[send(0, ASK)], take(Some(0), TELL).as_slice(), &[send(2, TELL)]].concat();
    let orphan = [take(Some(0), TELL).as_slice(), &take(Some(1), TELL), &[send(3, TELL)]].concat();
    let misled = [&[send(0, ASK)], take(Some(2), TELL).as_slice()].concat();
    vec![lost, informed, orphan, misled]
}

/// Rank 0 takes what rank 2 or rank 3 asks and tells rank 1, which takes a checkpoint behind that, dies, and goes on from there. What it does
/// then, and tells rank 2, depends on rank 0 by the checkpoint alone; and rank 0 has it in no log that lasts.
fn told_after_a_checkpoint() -> Vec<Vec<Op>> {
    let send = |to, tag| Op::Send { to, tag, len: 16, synchronous: false };
    let take = |from, tag| [Op::Post { from, tag }, Op::WaitFirst];
    let lost = [take(None, ASK).as_slice(), &[send(1, TELL)], &take(None, ASK)].concat();
    let saved = [take(Some(0), TELL).as_slice(), &take(Some(3), TELL), &[send(2, TELL)]].concat();
    let misled = [&[send(0, ASK)], take(Some(1), TELL).as_slice()].concat();
    vec![lost, saved, misled, vec![send(0, ASK), send(1, TELL)]]
}

/// The table in the documentation has a line for each, with its protocols and its oracle, and no other.
fn every_mutant_is_documented() -> Result<(), Failed> {
    let table = std::fs::read_to_string(common::specs().join("../docs/mutants.md"))?;
    let lines: Vec<String> = MUTANTS
        .iter()
        .map(|mutant| {
            let protocols: Vec<_> = mutant.specifications.iter().map(|name| format!("`{name}`")).collect();
            format!("| {} | {} | {:?} |", mutant.name, protocols.join(", "), mutant.oracle)
        })
        .collect();
    let documented: Vec<&str> =
        table.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    let described: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("- **")?.split_once("**"))
        .map(|(oracle, _)| oracle)
        .collect();
    let caught_by: BTreeSet<String> = MUTANTS.iter().map(|mutant| format!("{:?}", mutant.oracle)).collect();
    if !caught_by.iter().map(String::as_str).eq(described.iter().copied()) {
        return Err(format!("described are {described:?}, and mutants are caught by {caught_by:?}").into());
    }
    match documented == lines {
        true => Ok(()),
        false => Err(format!("the table in docs/mutants.md should read\n{}", lines.join("\n")).into()),
    }
}
