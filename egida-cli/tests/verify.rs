//! `egida verify` as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

fn verify(arguments: &[&str]) -> Output {
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs");
    Command::new(env!("CARGO_BIN_EXE_egida"))
        .current_dir(specs)
        .arg("verify")
        .args(arguments)
        .output()
        .expect("the command runs")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it is text")
}

#[test]
fn what_holds_is_told_with_the_states_that_were_explored() {
    for unit in ["node", "process"] {
        let output = verify(&["causal.egd", "-n", "2", "-m", "2", "-c", "1", "--failure-unit", unit]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let head = format!("holds: 2 ranks, 2 messages, up to 1 death, failure unit {unit}\nexplored ");
        assert!(said(&output).starts_with(&head), "{}", said(&output));
    }
}

#[test]
fn what_breaks_is_told_turn_by_turn() {
    let output = verify(&["none.egd", "-n", "2", "-m", "1", "-c", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).starts_with("broken: 2 ranks, 1 message, up to 1 death"), "{}", said(&output));
    assert!(said(&output).contains("\n   1. rank "), "{}", said(&output));
    assert!(said(&output).contains("no shorter run is wrong"), "{}", said(&output));
}

#[test]
fn a_bound_and_a_refusal_prove_nothing() {
    let output = verify(&["causal.egd", "--max-states", "50"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).starts_with("bound reached: not exhaustive"), "{}", said(&output));
    let output = verify(&["replicated-hybrid.egd", "-n", "2", "-m", "1", "-c", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nodes whose memory fails independently"));
    assert_eq!(said(&output), "");
}
