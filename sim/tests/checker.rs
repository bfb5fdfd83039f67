//! The checker, held against what happens: random specifications, accepted and refused, are bound whatever the checker says,
//! and run in every way that a small scenario allows, then in random ways.
//!
//! What is accepted and can be bound must hold. What is refused and can be bound all the same must break, or the rules that
//! refuse it are on a short list with the reason ([`NOT_ABOUT_WRONG_RUNS`]). Afterwards a table says for each rule how what it
//! refuses breaks.
//!
//! `EGIDA_CASES` says how many specifications are tried, `EGIDA_STATES` how many states of each at most.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use common::{Case, case, cases, runner, seed};
use egida_core::binder::{BindError, Judged};
use egida_core::ids::Domains;
use egida_core::recovery::{End, Unrecoverable};
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_sim::job::Ending;
use egida_sim::oracle::judge;
use egida_sim::verify::{Besides, CounterExample, Grain, Scope, Verdict, verify_judged};
use egida_spec::protocol::{FailureUnit, Protocol};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Rules that refuse what no run of the simulator gets wrong, and why they refuse it; `excused.rs` shows for each that it is so.
const NOT_ABOUT_WRONG_RUNS: &[(&str, &str)] = &[
    (
        "EGD017",
        "this engine keeps a message at its sender until a log that lasts has it; the language does not ask that of engines",
    ),
    ("EGD021", "nobody rolls back, so that what the line asks for is never done"),
    ("EGD022", "the binder takes no other storage on rollback than that of the receives"),
    (
        "EGD023",
        "all that was logged asynchronously is written out before a rollback, whatever the line names",
    ),
    ("EGD026", "a refinement of nothing changes nothing"),
];

/// Ranks, messages, deaths: what is explored under each specification, one after the other until a run is wrong.
const SCENARIOS: [(u32, u32, u32); 2] = [(3, 2, 2), (3, 3, 1)];

/// How many random runs an accepted specification must get through.
const RUNS: u32 = 5;

/// How many random runs a refused one that no scenario broke gets.
const MORE_RUNS: u32 = 100;

/// A storage for each that the vocabulary has, with the parameters that make a difference.
const STORAGES: [&str; 7] = [
    "NFS disk",
    "local disk",
    "local disk with (returns = node)",
    "volatile memory of self",
    "volatile memory of processes",
    "volatile memory of processes with (copies = 1)",
    "volatile memory of sender",
];

/// A random specification, in words: of parts that are drawn each by itself, or an optimistic one with a part that may be wrong, which
/// those seldom come to.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![6 => of_random_parts(), 1 => nearly_optimistic()]
}

fn nearly_optimistic() -> impl Strategy<Value = String> {
    let event = prop_oneof![
        2 => Just("receive:\n    determinant: {source, sesn, dest, desn}\n"),
        1 => Just("choice:\n    determinant: {source, sesn, dest, desn, outcome, event}\n"),
    ];
    let commit = prop_oneof![
        1 => Just("Independent output commit on write\n"),
        1 => Just("Co-ordinated output commit on write\n"),
    ];
    let orphans = prop::sample::select(vec!["broadcast logical clock", "exchange vector clock"]);
    (event, commit, orphans).prop_map(|(event, commit, orphans)| {
        format!(
            "protocol random\n{event}    Log determinant, message asynchronously on NFS disk\n{commit}send:\n    \
             Piggyback vector clock\n    Log message synchronously on volatile memory of self\n\
             Protocol to detect orphans: {orphans}\n"
        )
    })
}

fn of_random_parts() -> impl Strategy<Value = String> {
    let faults = prop_oneof![
        3 => Just(""),
        2 => Just(" with (f = 2)"),
        2 => Just(" with (f = any)"),
    ];
    let how = || prop::sample::select(vec!["synchronously", "asynchronously"]);
    let storage = || prop_oneof![3 => Just(STORAGES[0]), 5 => prop::sample::select(&STORAGES[..])];
    let log = move || prop::option::weighted(0.6, (how(), storage()));
    let logs = prop_oneof![
        // Both in one line, as most write it.
        2 => (how(), storage())
            .prop_map(|(how, storage)| format!("    Log determinant, message {how} on {storage}\n")),
        3 => (log(), log()).prop_map(|(determinant, message)| {
            let line = |what, log: Option<(&str, &str)>| {
                log.map(|(how, storage)| format!("    Log {what} {how} on {storage}\n")).unwrap_or_default()
            };
            line("determinant", determinant) + &line("message", message)
        }),
    ];
    let event = prop_oneof![
        Just("receive:\n    determinant: {source, sesn, dest, desn}\n"),
        Just("choice:\n    determinant: {source, sesn, dest, desn, outcome, event}\n"),
    ];
    let events = prop_oneof![
        12 => (event, logs).prop_map(|(event, logs)| event.to_owned() + &logs),
        1 => Just(String::new()),
    ];
    let piggyback = prop_oneof![
        2 => Just(""),
        2 => Just("    Piggyback determinants\n"),
        1 => Just("    Piggyback determinants, stability vector\n"),
        1 => Just("    Piggyback antecedence graph\n"),
        2 => Just("    Piggyback vector clock\n"),
        1 => Just("    Piggyback stability vector\n"),
    ];
    let sent = prop_oneof![
        3 => Just(""),
        3 => Just("    Log message synchronously on volatile memory of self\n"),
        1 => Just("    Log message asynchronously on volatile memory of self\n"),
    ];
    let send = (piggyback, sent).prop_map(|(piggyback, sent)| match (piggyback, sent) {
        ("", "") => String::new(),
        _ => format!("send:\n{piggyback}{sent}"),
    });
    let commit = prop::sample::select(vec![
        "",
        "Independent output commit on write\n",
        "Co-ordinated output commit on write\n",
    ]);
    let retrieval = prop_oneof![
        2 => Just(""),
        1 => Just("Protocol to retrieve determinants: distributed\n"),
        1 => Just("Protocol to retrieve determinants: centralized\n"),
    ];
    let orphans = prop_oneof![
        2 => Just(""),
        1 => Just("Protocol to detect orphans: broadcast logical clock\n"),
        1 => Just("Protocol to detect orphans: exchange vector clock\n"),
    ];
    let rollback = prop_oneof![
        3 => Just(""),
        1 => Just("On rollback: Log determinant, message on NFS disk\n"),
        1 => Just("On rollback: Log determinant on NFS disk\n"),
        1 => Just("On rollback: Log determinant, message on volatile memory of self\n"),
    ];
    (faults, events, commit, send, retrieval, orphans, rollback).prop_map(
        |(faults, events, commit, send, retrieval, orphans, rollback)| {
            format!("protocol random{faults}\n{events}{commit}{send}{retrieval}{orphans}{rollback}")
        },
    )
}

/// What became of a specification under a failure unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    /// It cannot be bound, whatever the checker says.
    NotBound,
    /// No run was wrong, and all runs of all scenarios were explored.
    Holds,
    /// No run was wrong, as far as the bound allowed.
    Bounded,
    /// A run was wrong.
    Broken(String),
}

#[derive(Default)]
struct Tally {
    accepted: BTreeMap<String, u32>,
    /// By the rules that refuse, taken together.
    refused: BTreeMap<String, BTreeMap<String, u32>>,
    failures: Vec<String>,
}

#[test]
fn what_is_accepted_holds_and_what_is_refused_breaks() {
    let registry = egida_modules::registry();
    let seed = if std::env::var_os("EGIDA_SEED").is_some() { seed() } else { 7 };
    println!("the specifications are those of EGIDA_SEED={seed}");
    let mut random = runner(seed, "checker", 1);
    let mut tally = Tally::default();
    let mut seen = BTreeSet::new();
    for _ in 0..cases(60) {
        let text = text().new_tree(&mut random).expect("a text").current();
        if !seen.insert(text.clone()) {
            continue;
        }
        let protocol = egida_spec::load("random.egd", &text).protocol;
        let Some(protocol) = protocol else { panic!("this is in the language:\n{text}") };
        for unit in FailureUnit::ALL {
            try_out(&text, &protocol, unit, &registry, &mut random, &mut tally);
        }
    }
    println!("accepted: {:?}", tally.accepted);
    for (rules, findings) in &tally.refused {
        println!("{rules}:");
        for (finding, times) in findings {
            println!("    {times:>4} {finding}");
        }
    }
    assert!(tally.failures.is_empty(), "EGIDA_SEED={seed}\n{}", tally.failures.join("\n\n"));
}

fn try_out(
    text: &str,
    protocol: &Protocol,
    unit: FailureUnit,
    registry: &Registry,
    random: &mut TestRunner,
    tally: &mut Tally,
) {
    let setting = Setting { domains: Domains::blocks(3, 1), unit, images: false };
    let judged = Judged::new(protocol, registry, &setting);
    let rules: BTreeSet<&str> = judged.objections().iter().map(|objection| objection.code.as_str()).collect();
    let rules: Vec<&str> = rules.into_iter().collect();
    let is_accepted = rules.is_empty();
    let judged = judged.despite_objections();
    let finding = match judged.bind(0) {
        Err(errors) if errors.iter().any(|error| matches!(error, BindError::Unsound(_))) => {
            panic!("{errors:?}")
        }
        Err(_) => Finding::NotBound,
        Ok(_) => find(&judged, protocol, &setting, registry, is_accepted, random),
    };
    let told = match &finding {
        Finding::Broken(wrong) => kind_of(wrong),
        other => format!("{other:?}"),
    };
    if is_accepted {
        *tally.accepted.entry(told).or_default() += 1;
        if let Finding::Broken(wrong) = finding {
            tally.failures.push(format!("accepted under {unit}, and broken:\n{text}\n{wrong}"));
        }
        return;
    }
    let excused = rules.iter().all(|rule| NOT_ABOUT_WRONG_RUNS.iter().any(|(excused, _)| excused == rule));
    if finding == Finding::Holds && !excused {
        tally.failures.push(format!("refused under {unit} by {rules:?}, and holds:\n{text}"));
    }
    *tally.refused.entry(rules.join(" ")).or_default().entry(told).or_default() += 1;
}

/// Looks for a wrong run: in every run of small scenarios, then in random runs.
fn find(
    judged: &Judged<'_>,
    protocol: &Protocol,
    setting: &Setting,
    registry: &Registry,
    is_accepted: bool,
    random: &mut TestRunner,
) -> Finding {
    let states = std::env::var("EGIDA_STATES").ok().and_then(|states| states.parse().ok()).unwrap_or(400);
    let mut finding = Finding::Holds;
    for (_, messages, crashes) in SCENARIOS {
        let scope = Scope {
            setting: setting.clone(),
            messages,
            besides: Besides::Nothing,
            crashes,
            grain: Grain::Wait,
            checkpoints: 1,
            failed_saves: 0,
            control: None,
            max_states: states,
            jobs: NonZeroUsize::MIN,
        };
        match verify_judged(judged, &scope, &mut |_| ()).expect("it binds").verdict {
            Verdict::Holds => {}
            Verdict::Bounded => finding = Finding::Bounded,
            Verdict::Broken(CounterExample { wrong, story }) => {
                return Finding::Broken(format!("{wrong}\n{}", story.join("\n")));
            }
        }
    }
    let tolerated = judged.policy().tolerates;
    let cases = case(1 + tolerated.unwrap_or(0));
    for _ in 0..if is_accepted { RUNS } else { MORE_RUNS } {
        let case = cases.new_tree(random).expect("a case").current();
        if let Some(wrong) = wrong_in(&case, protocol, setting.unit, registry, tolerated) {
            return Finding::Broken(wrong);
        }
    }
    finding
}

/// What is wrong with a random run, if it is not that more failed at once than is tolerated.
fn wrong_in(
    case: &Case,
    protocol: &Protocol,
    unit: FailureUnit,
    registry: &Registry,
    tolerated: Option<u32>,
) -> Option<String> {
    let setting = case.setting(unit);
    let judged = Judged::new(protocol, registry, &setting).despite_objections();
    // It may ask for more nodes than the case has.
    judged.bind(0).ok()?;
    let outcome = case.run_judged(&judged, unit, None);
    match &outcome.end {
        Ending::Ended(End::Unrecoverable(Unrecoverable::TooMany { down, .. }))
            if tolerated.is_some_and(|tolerated| *down > tolerated) =>
        {
            None
        }
        // Without fault tolerance nothing is promised.
        Ending::Ended(End::Died { .. }) if tolerated == Some(0) => None,
        _ => judge(&outcome).map(|wrong| format!("{wrong}\n{case:?}\n{}", outcome.trace.join("\n"))),
    }
}

/// What is wrong, without the numbers of ranks and events.
fn kind_of(wrong: &str) -> String {
    let first = wrong.lines().next().unwrap_or_default();
    let words = first.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    words.take(9).collect::<Vec<_>>().join(" ")
}
