//! Protocols with one module broken: each must be caught, and by which oracle stands in `docs/mutants.md`.
//!
//! A mutant takes the place of a right module under the same phrase, so that nothing else of the stack is changed. It is
//! run under random cases until a run is judged wrong.

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;

use common::{Case, broken, case, runner, specification};
use egida_core::binder::tolerates;
use egida_core::recovery::{End, Unrecoverable};
use egida_core::registry::Registry;
use egida_sim::job::{Ending, Outcome};
use egida_sim::oracle::judge;
use egida_spec::protocol::{FailureUnit, Protocol};
use libtest_mimic::{Arguments, Failed, Trial};
use proptest::strategy::{Strategy, ValueTree};

/// A broken module, and where it is to be found out.
struct Mutant {
    /// As in the documentation.
    name: &'static str,
    /// The protocol that it breaks.
    specification: &'static str,
    /// The oracle that must catch it.
    oracle: Oracle,
    /// Puts it in the place of the right one.
    breaks: fn(&mut Registry),
}

/// What can find fault with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Oracle {
    /// What a state depends on could not be found again if so many domains failed now.
    Exposure,
    /// A message was received that was not sent, or twice.
    ExactlyOnce,
    /// The world saw something else than was written, or a re-execution contradicts what it saw.
    Output,
    /// A re-execution does not repeat itself.
    Divergence,
    /// Recovery finds that something is missing, though no more failed than is tolerated.
    Unrecoverable,
    /// The job does not come to its end.
    Liveness,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a send does not wait for the log",
        specification: "pessimistic-sender-receive",
        oracle: Oracle::Exposure,
        breaks: broken::synchronously_is_asynchronously,
    },
    Mutant {
        name: "a gate asks for one entry too few",
        specification: "pessimistic-receiver",
        oracle: Oracle::Exposure,
        breaks: broken::gate_one_too_early,
    },
    Mutant {
        name: "one message in three carries no determinants",
        specification: "causal",
        oracle: Oracle::Exposure,
        breaks: broken::forgetful_piggyback,
    },
    Mutant {
        name: "a receiver is taken for a holder before it has acknowledged",
        specification: "causal-receive",
        oracle: Oracle::Exposure,
        breaks: broken::knowledge_advertised_early,
    },
    Mutant {
        name: "what was received is not kept for others",
        specification: "causal-receive",
        oracle: Oracle::Exposure,
        breaks: broken::nothing_is_held_for_others,
    },
    Mutant {
        name: "recovery asks nobody",
        specification: "causal-receive",
        oracle: Oracle::Unrecoverable,
        breaks: broken::retrieval_asks_nobody,
    },
    Mutant {
        name: "contents of messages are not logged",
        specification: "pessimistic-receiver",
        oracle: Oracle::Liveness,
        breaks: broken::contents_are_not_logged,
    },
    Mutant {
        name: "output does not wait",
        specification: "causal-receive",
        oracle: Oracle::Output,
        breaks: broken::output_is_not_committed,
    },
    Mutant {
        name: "output waits for the own log only",
        specification: "optimistic",
        oracle: Oracle::Output,
        breaks: broken::output_is_committed_alone,
    },
    Mutant {
        name: "obsolete messages are delivered",
        specification: "optimistic",
        oracle: Oracle::ExactlyOnce,
        breaks: broken::nothing_is_obsolete,
    },
    Mutant {
        name: "orphans do not notice",
        specification: "optimistic",
        oracle: Oracle::ExactlyOnce,
        breaks: broken::orphans_do_not_notice,
    },
    Mutant {
        name: "a delivery does not take over the clock of its message",
        specification: "optimistic",
        oracle: Oracle::ExactlyOnce,
        breaks: broken::clocks_are_not_merged,
    },
];

/// How many cases a mutant may survive.
const CASES: usize = 4_000;

fn main() {
    let trials = MUTANTS.iter().map(|mutant| Trial::test(mutant.name, || is_caught(mutant)));
    let documented = Trial::test("every mutant is documented", every_mutant_is_documented);
    libtest_mimic::run(&Arguments::from_args(), trials.chain([documented]).collect()).exit();
}

/// The mutant is caught, and the oracle that it is there for is among those that do.
fn is_caught(mutant: &Mutant) -> Result<(), Failed> {
    let protocol = specification(mutant.specification);
    let right = egida_modules::registry();
    let mut broken = egida_modules::registry();
    (mutant.breaks)(&mut broken);
    let unit = FailureUnit::Node;
    let tolerated = tolerates(&protocol, &right, unit);
    let mut random = runner(7, mutant.name, 1);
    let cases = case(1 + tolerated.unwrap_or(0));
    let mut caught = BTreeMap::<Oracle, usize>::new();
    for number in 0..CASES {
        let case = cases.new_tree(&mut random).map_err(|error| error.to_string())?.current();
        let Some(oracle) = found(&case, &protocol, &broken, tolerated) else { continue };
        *caught.entry(oracle).or_default() += 1;
        if found(&case, &protocol, &right, tolerated).is_some() {
            let outcome = case.run(&protocol, unit, &right);
            let (wrong, trace) = (judge(&outcome), outcome.trace.join("\n"));
            return Err(format!(
                "the right module is found fault with as well: {wrong:?}\n{trace}\n{case:?}"
            )
            .into());
        }
        if oracle == mutant.oracle {
            println!("{}: caught by {oracle:?} in case {number}, all in all by {caught:?}", mutant.name);
            return Ok(());
        }
    }
    Err(format!("in {CASES} cases {:?} did not catch it; others did: {caught:?}", mutant.oracle).into())
}

/// Which oracle finds fault with a run, if one does.
fn found(case: &Case, protocol: &Protocol, registry: &Registry, tolerated: Option<u32>) -> Option<Oracle> {
    let outcome = case.run(protocol, FailureUnit::Node, registry);
    let wrong = judge(&outcome)?;
    oracle_of(&outcome, &wrong, tolerated)
}

fn oracle_of(outcome: &Outcome, wrong: &str, tolerated: Option<u32>) -> Option<Oracle> {
    Some(match &outcome.end {
        Ending::Ended(End::Unrecoverable(Unrecoverable::TooMany { down, .. }))
            if tolerated.is_some_and(|tolerated| *down > tolerated) =>
        {
            return None;
        }
        Ending::Done if wrong.contains("the world saw") => Oracle::Output,
        Ending::Done => Oracle::ExactlyOnce,
        Ending::Contradicted(_) => Oracle::Output,
        Ending::Exposed(_) => Oracle::Exposure,
        Ending::Ended(End::Unrecoverable(_)) => Oracle::Unrecoverable,
        Ending::Failed(..) => Oracle::Divergence,
        Ending::Ended(_) | Ending::Stuck => Oracle::Liveness,
    })
}

/// The table in the documentation has a line for each, with its protocol and its oracle.
fn every_mutant_is_documented() -> Result<(), Failed> {
    let table = std::fs::read_to_string(common::specs().join("../docs/mutants.md"))?;
    for mutant in MUTANTS {
        let line = format!("| {} | `{}` | {:?} |", mutant.name, mutant.specification, mutant.oracle);
        if !table.contains(&line) {
            return Err(format!("docs/mutants.md lacks the line\n{line}").into());
        }
    }
    match table.lines().filter(|line| line.starts_with("| ") && line.contains('`')).count() == MUTANTS.len() {
        true => Ok(()),
        false => Err("docs/mutants.md has lines for mutants that do not exist".into()),
    }
}
