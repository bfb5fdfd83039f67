//! Checkpoints: every way of writing them, what their protocols promise of them, and that what they make needless goes.

mod common;

use common::{Case, case, cases, names, runner, seed, specification, specs};
use egida_core::binder::{bind, tolerates};
use egida_core::ids::Domains;
use egida_core::setting::Setting;
use egida_sim::job::{Job, Outcome};
use egida_sim::models::{App, Size};
use egida_sim::oracle::{is_beyond, judge};
use egida_sim::run;
use egida_spec::protocol::{FailureUnit, Protocol};
use libtest_mimic::{Arguments, Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// What a protocol promises of its checkpoints, besides that recovery is right.
struct Promise {
    specification: &'static str,
    /// Every recovery line is the newest that there is, and nobody returns who could have stayed.
    newest: bool,
    /// A recovery line is made of checkpoints of one index.
    one_index: bool,
    /// No zigzag path leads back to where it began: no checkpoint is useless.
    useful: bool,
    /// Where a zigzag path leads, a causal one does: dependencies can be tracked.
    trackable: bool,
}

const PROMISES: &[Promise] = &[
    Promise { specification: "checkpoint-independent", newest: true, ..NONE },
    Promise { specification: "checkpoint-chandy-lamport", one_index: true, ..NONE },
    Promise { specification: "checkpoint-diskless", one_index: true, ..NONE },
    Promise { specification: "checkpoint-index", one_index: true, ..NONE },
    Promise { specification: "checkpoint-fail-safe-pvm", one_index: true, ..NONE },
    Promise { specification: "checkpoint-koo-toueg", newest: true, ..NONE },
    Promise { specification: "checkpoint-bcs", useful: true, ..NONE },
    Promise { specification: "checkpoint-lazy-bcs", newest: true, useful: true, ..NONE },
    Promise { specification: "checkpoint-fdas", newest: true, useful: true, trackable: true, ..NONE },
    Promise { specification: "checkpoint-hmnr", newest: true, useful: true, ..NONE },
];

const NONE: Promise =
    Promise { specification: "", newest: false, one_index: false, useful: false, trackable: false };

fn main() {
    let seed = seed();
    println!("the cases are those of EGIDA_SEED={seed}");
    let mut trials = Vec::new();
    for promise in PROMISES {
        let test = format!("promises/{}", promise.specification);
        trials.push(Trial::test(test.clone(), move || is_kept(&test, promise, seed)));
    }
    for name in names().into_iter().filter(|name| specification(name).checkpoint.is_some()) {
        for how in ["synchronously", "asynchronously"] {
            for implementation in ["full", "incremental"] {
                let name = name.clone();
                let test = format!("written/{name}/{how}/{implementation}");
                trials.push(Trial::test(test.clone(), move || {
                    is_right(&test, &name, how, implementation, seed)
                }));
            }
        }
        if name != "checkpoint-independent" {
            trials.push(Trial::test(format!("bounded/{name}"), move || is_bounded(&name)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn is_kept(test: &str, promise: &Promise, seed: u64) -> Result<(), Failed> {
    let protocol = specification(promise.specification);
    let registry = egida_modules::registry();
    let unit = FailureUnit::Node;
    let tolerated = tolerates(&protocol, &registry, unit);
    let outcome = runner(seed, test, cases(400)).run(&case(1 + tolerated.unwrap_or(0)), |case| {
        let outcome = case.run(&protocol, unit, &registry);
        if is_beyond(&outcome.end, tolerated, case.crashes.len()) {
            return Ok(());
        }
        if let Some(wrong) = judge(&outcome) {
            return Err(TestCaseError::fail(format!("{wrong}\n{}", outcome.trace.join("\n"))));
        }
        let told = || format!("{:?}\n{}", outcome.lines, outcome.trace.join("\n"));
        if promise.newest {
            prop_assert_eq!(outcome.lines.not_the_newest, 0, "{}", told());
            prop_assert_eq!(outcome.lines.needless_returns, 0, "{}", told());
        }
        if promise.one_index {
            prop_assert_eq!(outcome.lines.of_several_indices, 0, "{}", told());
        }
        let found = outcome.zigzag.clone().unwrap_or_default();
        if promise.useful {
            prop_assert!(found.useless.is_empty(), "{:?}\n{}", found, told());
        }
        if promise.trackable {
            prop_assert!(found.hidden.is_empty(), "{:?}\n{}", found, told());
        }
        Ok(())
    });
    outcome.map_err(|failure| format!("EGIDA_SEED={seed}, {test}: {failure}").into())
}

/// The specification with its checkpoints written in another way.
fn written(name: &str, how: &str, implementation: &str) -> Protocol {
    let text = std::fs::read_to_string(specs().join(format!("{name}.egd"))).unwrap();
    let lines = text.lines().map(|line| match line {
        line if line.trim_start().starts_with("Implementation") => {
            format!("Implementation: {implementation}\n")
        }
        line if line.contains("checkpoint") && !line.starts_with("///") => {
            line.replace("asynchronously", how).replace(" synchronously", &format!(" {how}")) + "\n"
        }
        line => format!("{line}\n"),
    });
    let protocol = egida_spec::load(name, &lines.collect::<String>()).protocol.unwrap();
    let checkpoint = protocol.checkpoint.as_ref().unwrap();
    assert_eq!((&*checkpoint.how.text, &*checkpoint.implementation.text), (how, implementation));
    protocol
}

fn is_right(test: &str, name: &str, how: &str, implementation: &str, seed: u64) -> Result<(), Failed> {
    let protocol = written(name, how, implementation);
    let registry = egida_modules::registry();
    let unit = FailureUnit::Node;
    let tolerated = tolerates(&protocol, &registry, unit);
    let outcome = runner(seed, test, cases(60)).run(&case(1 + tolerated.unwrap_or(0)), |case: Case| {
        if let Err(errors) = bind(&protocol, &registry, &case.setting(unit), 0) {
            return Err(TestCaseError::fail(format!("{errors:?}")));
        }
        let outcome = case.run(&protocol, unit, &registry);
        if is_beyond(&outcome.end, tolerated, case.crashes.len()) {
            return Ok(());
        }
        match judge(&outcome) {
            Some(wrong) => Err(TestCaseError::fail(format!("{wrong}\n{}", outcome.trace.join("\n")))),
            None => Ok(()),
        }
    });
    outcome.map_err(|failure| format!("EGIDA_SEED={seed}, {test}: {failure}").into())
}

/// What is kept does not grow with the length of the run.
fn is_bounded(name: &str) -> Result<(), Failed> {
    let protocol = specification(name);
    let long = |rounds: u32| -> Result<Outcome, Failed> {
        let app = App::named("ring").ok_or("there is no such application")?;
        let model = app.model(Size { ranks: 4, rounds, bytes: 64 });
        let setting = Setting { domains: Domains::blocks(4, 1), unit: FailureUnit::Node, images: true };
        let mut job = Job::new(&protocol, setting, &*model, 11);
        job.checkpoint_every = Some(1_000);
        job.limit_events = 5_000_000;
        let outcome = run(&job, &egida_modules::registry()).map_err(|errors| format!("{errors:?}"))?;
        match judge(&outcome) {
            Some(wrong) => Err(wrong.into()),
            None => Ok(outcome),
        }
    };
    let (short, long) = (long(100)?, long(800)?);
    let (once, again) = (short.kept, long.kept);
    let taken: u64 = long.checkpoints.iter().sum();
    let is_little = |once: usize, again: usize| again <= 3 * once + 20;
    let bounded = is_little(once.records, again.records)
        && is_little(once.entries, again.entries)
        && is_little(once.held, again.held)
        && again.checkpoints <= 20;
    println!("{name}: {once:?} in 100 rounds, {again:?} in 800, of {taken} checkpoints");
    match bounded && taken > 100 {
        true => Ok(()),
        false => Err(format!("{once:?} in 100 rounds, {again:?} in 800, of {taken} checkpoints").into()),
    }
}
