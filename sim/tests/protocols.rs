//! Random applications under random crash schedules, for every specification that there is and both failure units.
//!
//! `EGIDA_CASES` is how many cases each is tried with (500), `EGIDA_SEED` what they are made of; a failure says both, and the
//! smallest case that fails.

mod common;

use common::{case, cases, names, runner, seed, specification};
use egida_core::binder::{BindError, bind, tolerates};
use egida_core::ids::Domains;
use egida_core::recovery::End;
use egida_core::setting::Setting;
use egida_sim::job::Ending;
use egida_sim::oracle::{is_beyond, judge};
use egida_spec::protocol::FailureUnit;
use libtest_mimic::{Arguments, Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

fn main() {
    let seed = seed();
    println!("the cases are those of EGIDA_SEED={seed}");
    let mut trials = Vec::new();
    for name in names() {
        if specification(&name).checkpoint.is_some() {
            let name = name.clone();
            trials.push(Trial::test(format!("{name}/without-images"), move || is_refused(&name)));
        }
        for unit in FailureUnit::ALL {
            let name = name.clone();
            let test = format!("{name}/{unit}");
            trials.push(Trial::test(test.clone(), move || survives(&test, &name, unit, seed)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A runtime that takes no images of applications refuses checkpoints by name.
fn is_refused(name: &str) -> Result<(), Failed> {
    let setting = Setting { domains: Domains::blocks(4, 1), unit: FailureUnit::Node, images: false };
    match bind(&specification(name), &egida_modules::registry(), &setting, 0) {
        Err(errors) if errors.iter().all(|error| matches!(error, BindError::NoImages { .. })) => Ok(()),
        Err(errors) => Err(format!("it is refused with other words: {errors:?}").into()),
        Ok(_) => Err("it is bound".into()),
    }
}

/// Recovers, or says that more failures overlapped than the protocol tolerates.
fn survives(test: &str, name: &str, unit: FailureUnit, seed: u64) -> Result<(), Failed> {
    let protocol = specification(name);
    let registry = egida_modules::registry();
    // Memory that fails independently takes more nodes than may fail; a protocol of nothing but logs is content with one.
    let nodes = 1 + tolerates(&protocol, &registry, unit).unwrap_or(0);
    let outcome = runner(seed, test, cases(500)).run(&case(nodes), |case| {
        let policy = match bind(&protocol, &registry, &case.setting(unit), 0) {
            Ok(bound) => bound.policy,
            Err(errors) => return Err(TestCaseError::fail(format!("{errors:?}"))),
        };
        let undisturbed = case.undisturbed().run(&protocol, unit, &registry);
        prop_assert_eq!(judge(&undisturbed), None, "undisturbed");
        let outcome = case.run(&protocol, unit, &registry);
        if is_beyond(&outcome.end, policy.tolerates, case.crashes.len()) {
            return Ok(());
        }
        if let (Ending::Ended(End::Died { .. }), false) = (&outcome.end, policy.recovers) {
            return Ok(());
        }
        if let Some(wrong) = judge(&outcome) {
            return Err(TestCaseError::fail(format!("{wrong}\n{}", outcome.trace.join("\n"))));
        }
        if !case.application.has_choices() {
            prop_assert_eq!(&outcome.states, &undisturbed.states);
            prop_assert_eq!(&outcome.released, &undisturbed.released);
        }
        Ok(())
    });
    outcome.map_err(|failure| format!("EGIDA_SEED={seed}, {test}: {failure}").into())
}
