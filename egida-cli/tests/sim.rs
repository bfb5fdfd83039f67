//! `egida sim` as a user runs it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use egida_core::trace::{Event, FORMAT, Header, Stamped, VERSION, shiviz};
use serde_json::Value;

fn sim(arguments: &[&str]) -> Output {
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs");
    Command::new(env!("CARGO_BIN_EXE_egida"))
        .current_dir(specs)
        .arg("sim")
        .args(arguments)
        .output()
        .expect("the command runs")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it is text")
}

#[test]
fn the_same_line_is_the_same_run_and_another_seed_is_another() {
    let line =
        ["causal.egd", "--ranks", "5", "--app", "workers", "--crash", "2@deliver:40", "--news", "--seed"];
    let once = sim(&[&line[..], &["7"]].concat());
    assert_eq!(once.status.code(), Some(0), "{}", said(&once));
    assert!(said(&once).contains("schedule: 2@deliver:40"), "{}", said(&once));
    assert!(said(&once).contains("rank 2 dies"), "{}", said(&once));
    assert!(said(&once).contains("right: "), "{}", said(&once));
    assert_eq!(said(&once), said(&sim(&[&line[..], &["7"]].concat())));
    assert_ne!(said(&once), said(&sim(&[&line[..], &["8"]].concat())));
}

#[test]
fn more_failures_than_are_tolerated_are_named_with_their_exit_code() {
    let output = sim(&["causal.egd", "--seed", "3", "--crash", "0+1@time:900"]);
    assert_eq!(output.status.code(), Some(86));
    assert!(said(&output).contains("unrecoverable: 2 nodes are down at once"), "{}", said(&output));
}

#[test]
fn what_does_not_bind_or_is_no_fault_is_refused_by_name() {
    let output = sim(&["causal.egd", "--ranks", "2", "--ranks-per-node", "2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("fails independently"), "{output:?}");
    let output = sim(&["causal.egd", "--crash", "2@breakfast"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("2@breakfast"));
}

#[test]
fn faults_that_are_drawn_are_printed_as_the_schedule_that_replays_them() {
    let drawn = said(&sim(&["pessimistic-sender.egd", "--seed", "11", "--random-faults", "-q"]));
    let schedule = drawn.lines().find_map(|line| line.strip_prefix("schedule: ")).expect("it is printed");
    let again = said(&sim(&["pessimistic-sender.egd", "--seed", "11", "--crash", schedule, "-q"]));
    assert_eq!(drawn, again);
}

/// A run with a death, and its trace.
fn traced() -> (Header, Vec<Stamped>) {
    let line = ["causal.egd", "--seed", "7", "-n", "5", "--crash", "2@deliver:40", "--trace", "-"];
    let output = sim(&line);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, sim(&line).stdout, "the same seed gives the same trace, byte for byte");
    let text = said(&output);
    let mut lines = text.lines();
    let header = serde_json::from_str(lines.next().expect("a header")).expect("the header");
    let events =
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")));
    (header, events.collect())
}

#[test]
fn a_trace_has_a_header_that_says_what_it_is_of() {
    let (header, events) = traced();
    assert_eq!((header.format.as_str(), header.version), (FORMAT, VERSION));
    assert_eq!((header.ranks, header.seed), (5, Some(7)));
    assert_eq!(header.options["crash"], "2@deliver:40");
    assert!(matches!(events.last().expect("events").line.event, Event::End { .. }));
}

#[test]
fn in_a_trace_what_arrives_was_sent_before_and_its_clock_says_so() {
    let (_, events) = traced();
    let mut sent = BTreeMap::new();
    let mut arrived = 0;
    for Stamped { line, clock } in &events {
        match (&line.event, line.rank) {
            (Event::Send { dest, ssn, skipped: false, .. }, Some(rank)) => {
                sent.insert((rank, *dest, *ssn), clock);
            }
            (Event::Arrive { source, ssn, .. }, Some(rank)) => {
                arrived += 1;
                let sent = sent.get(&(*source, rank, *ssn)).expect("it was sent");
                assert!(sent.is_within(clock) && !clock.is_within(sent), "{line}");
            }
            _ => {}
        }
    }
    assert!(arrived > 400, "{arrived} messages");
    // What was delivered before the death is delivered again, and recovery stands between.
    let of_2 = |events: &[Stamped], wanted: fn(&Event) -> bool| {
        events.iter().filter(|event| event.line.rank == Some(2) && wanted(&event.line.event)).count()
    };
    assert_eq!(of_2(&events, |event| matches!(event, Event::Crash { .. })), 1);
    assert_eq!(of_2(&events, |event| matches!(event, Event::Deliver { again: true, .. })), 39);
    let death = events.iter().find(|event| matches!(event.line.event, Event::Crash { .. })).expect("a death");
    let second = |event: &&Stamped| event.line.rank == Some(2) && event.line.incarnation == Some(2);
    let begin = events.iter().find(second).expect("a second life");
    assert!(begin.clock.of_recovery() > 0 && death.clock.is_within(&begin.clock));
}

#[test]
fn the_file_for_shiviz_has_an_entry_for_each_line_of_the_trace() {
    let (_, events) = traced();
    let output = sim(&["causal.egd", "--seed", "7", "-n", "5", "--crash", "2@deliver:40", "--shiviz", "-"]);
    let text = said(&output);
    let entries = text.strip_prefix(shiviz::HEAD).expect("the head");
    assert_eq!(entries.lines().count(), 2 * events.len());
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in entries.lines().collect::<Vec<_>>().chunks(2) {
        let (host, clock) = entry[0].split_once(' ').expect("a host and a clock");
        let clock: BTreeMap<String, u64> = serde_json::from_str(clock).expect("a clock");
        let count = counts.entry(host).or_default();
        *count += 1;
        assert_eq!(clock[host], *count, "ShiViz wants each host to count its own events by one");
    }
}

#[test]
fn a_summary_as_json_is_all_of_standard_output() {
    let line = ["causal.egd", "--seed", "7", "-n", "5", "--crash", "2@deliver:40", "--json"];
    let report: Value = serde_json::from_slice(&sim(&line).stdout).expect("JSON");
    assert_eq!(report["summary"]["deaths"], 1);
    assert_eq!(report["summary"]["events_again"].as_u64().map(|again| again >= 39), Some(true));
    assert!(report["summary"]["piggyback_bytes"].as_u64() > Some(0));
    assert_eq!(report["code"], 0);
    let none: Value =
        serde_json::from_slice(&sim(&["none.egd", "--seed", "7", "--json"]).stdout).expect("JSON");
    assert_eq!(none["summary"]["piggyback_bytes"], 0);
    assert_eq!(none["summary"]["volatile_log_bytes"], 0);
}

#[test]
fn the_table_has_a_row_for_each_specification_and_says_what_cannot_be_compared() {
    let line = ["none.egd", "causal.egd", "optimistic.egd", "paper/fig4a.egd", "--seed", "7", "--table"];
    let text = said(&sim(&line));
    assert!(text.contains("crash 1@deliver:"), "{text}");
    for name in ["none", "causal", "optimistic"] {
        let row = text.lines().find(|row| row.starts_with(&format!("{name} "))).expect("a row");
        assert!(row.contains(" | ") || name == "none", "{row}");
    }
    assert!(text.contains("none with the crash: rank 1 died, and the protocol does not recover"), "{text}");
    let table: Value = serde_json::from_slice(&sim(&[&line[..], &["--json"]].concat()).stdout).expect("JSON");
    let of = |number: usize, run: &str, what: &str| table["protocols"][number][run][what].as_u64();
    assert_eq!(of(1, "undisturbed", "rollbacks"), Some(0));
    assert_eq!(
        of(1, "undisturbed", "messages"),
        of(0, "undisturbed", "messages"),
        "the application is the same"
    );
    assert_eq!(of(1, "disturbed", "deaths"), Some(1));
    assert!(of(2, "undisturbed", "stable_log_bytes") > Some(0));
}

#[test]
fn several_specifications_are_for_the_table() {
    let output = sim(&["none.egd", "causal.egd"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--table"));
}

#[test]
fn a_crash_that_does_not_come_is_told_of() {
    let output = sim(&["causal.egd", "--seed", "7", "--rounds", "2", "--crash", "1@send:1000"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1@send:1000 did not happen"));
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error_by_name() {
    let output = sim(&["causal.egd", "--seed", "7", "--trace", "no/such/place"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`no/such/place`"));
    let output = sim(&["causal.egd", "--seed", "7", "--trace", "/dev/full"]);
    assert_eq!(output.status.code(), Some(2), "a full disk is no success");
}

#[test]
fn a_trace_that_was_written_tells_the_same_summary_and_drawing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (trace, drawing) = (dir.path().join("run.jsonl"), dir.path().join("run.shiviz"));
    let line = ["causal.egd", "--seed", "7", "--crash", "2@deliver:20", "-q"];
    let (trace, drawing) = (trace.to_str().expect("text"), drawing.to_str().expect("text"));
    let ran = said(&sim(&[&line[..], &["--trace", trace, "--shiviz", drawing]].concat()));
    let read = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_egida")).arg("trace").args(arguments).output().expect("it runs")
    };
    let summary = said(&read(&[trace]));
    let (_, summary) = summary.split_once('\n').expect("a first line");
    assert!(ran.contains(summary), "{summary} in {ran}");
    assert_eq!(said(&read(&[trace, "--shiviz", "-"])), std::fs::read_to_string(drawing).expect("a drawing"));
    let news = said(&read(&[trace, "--news"]));
    assert!(news.contains("rank 2 dies: it failed") && !news.contains("sends message"), "{news}");
    let of_2 = said(&read(&[trace, "--events", "--rank", "2"]));
    assert!(of_2.contains("rank 2 sends message") && !of_2.contains("rank 1 sends message"), "{of_2}");
    for (text, why) in [
        ("{}\n", "no trace"),
        (
            "{\"format\":\"egida-trace\",\"version\":99,\"specification\":\"\",\"ranks\":1,\"options\":{}}\n",
            "version 99",
        ),
        (
            "{\"format\":\"egida-trace\",\"version\":1,\"specification\":\"\",\"ranks\":1,\"options\":{}}\n{\"time\n",
            "line 2",
        ),
    ] {
        std::fs::write(trace, text).expect("written");
        let output = read(&[trace]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(why), "{said}");
    }
}

/// A trace of every kind of trouble, under protocols of every class.
#[test]
fn every_kind_of_event_is_documented() {
    let text = include_str!("../../docs/trace.md");
    let documented = |kind: &str| text.contains(&format!("`{kind}`"));
    let mut kinds = std::collections::BTreeSet::new();
    for (specification, faults) in [
        ("causal.egd", "1@send:5,cut:2@100..900,suspect:2@300"),
        ("optimistic.egd", "1@send:9"),
        ("pessimistic-replicated.egd", "1@deliver:3"),
        ("pessimistic-receiver.egd", "0+2@time:500"),
        ("checkpoint-bcs.egd", "1@send:9"),
    ] {
        let line = [specification, "--app", "clients", "--seed", "7", "--crash", faults, "--trace", "-"];
        for line in said(&sim(&line)).lines().skip(1) {
            let event: Value = serde_json::from_str(line).expect("JSON");
            kinds.insert(event["kind"].as_str().expect("a kind").to_owned());
        }
    }
    assert!(kinds.len() >= 25, "{kinds:?}");
    for kind in kinds {
        assert!(documented(&kind), "docs/trace.md says nothing of `{kind}`");
    }
}
