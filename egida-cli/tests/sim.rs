//! `egida sim` as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

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
    let line = [
        "causal.egd",
        "--ranks",
        "5",
        "--app",
        "workers",
        "--crash",
        "2@deliver:40",
        "--trace",
        "-",
        "--seed",
    ];
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
    let output = sim(&["paper/fig4a.egd"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("checkpoint"));
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
