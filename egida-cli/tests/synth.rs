//! `egida synth` on every specification of the repository: what it says is pinned.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs `egida synth` in the repository's root, so that names are the same everywhere.
fn synth(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_egida"))
        .arg("synth")
        .args(arguments)
        .current_dir(repository())
        .env("NO_COLOR", "1")
        .output()
        .expect("egida can be run")
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("what it says is text");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    format!("exit code {}\n{out}{err}", output.status.code().expect("it is not killed"))
}

fn specifications(directory: &str) -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(repository().join(directory))
        .expect("the directory is there")
        .map(|entry| entry.expect("it can be read").file_name().into_string().expect("names are text"))
        .filter(|name| name.ends_with(".egd"))
        .map(|name| format!("{directory}/{name}"))
        .collect();
    found.sort();
    found
}

#[test]
fn every_specification_is_described_or_refused_by_name() {
    let specifications = [specifications("specs"), specifications("specs/paper")].concat();
    assert!(specifications.len() >= 10);
    for specification in specifications {
        for unit in ["node", "process"] {
            let output = synth(&[&specification, "--failure-unit", unit]);
            let name = specification.trim_start_matches("specs/").replace('/', "-").replace(".egd", "");
            insta::assert_snapshot!(format!("{name}-{unit}"), said(&output));
        }
    }
}

#[test]
fn the_same_question_gets_the_same_answer() {
    for form in ["text", "json", "dot"] {
        let arguments = ["specs/causal-receive.egd", "-n", "6", "--emit", form];
        assert_eq!(said(&synth(&arguments)), said(&synth(&arguments)));
    }
}

/// Section 4.2, example 1: a send under causal logging.
#[test]
fn the_call_graph_of_a_causal_send_is_that_of_the_paper() {
    let output = synth(&["specs/causal.egd", "--emit", "json"]);
    let description: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let events = description["events"].as_array().expect("there are events");
    let send = events.iter().find(|event| event["event"] == "send").expect("send is one of them");
    let calls: Vec<_> = send["calls"]
        .as_array()
        .expect("there are calls")
        .iter()
        .map(|call| {
            let word = |key: &str| call[key].as_str().expect("it is a name").to_owned();
            (call["depth"].as_u64().expect("it is a number"), word("module"), word("method"))
        })
        .collect();
    let expected = [
        (0, "EventHandler", "Send"),
        (1, "LogEventInfo", "Log"),
        (2, "HowToLog", "Write"),
        (3, "WhereToLog", "Write"),
        (4, "VolatileStorage", "Write"),
        (1, "PiggybackLogging", "GetPiggyback"),
        (2, "LogEventDeterminant", "Retrieve"),
        (3, "HowToLog", "Read"),
        (4, "WhereToLog", "Read"),
        (5, "VolatileStorage", "Read"),
    ];
    let expected: Vec<_> =
        expected.map(|(depth, module, method)| (depth, module.to_owned(), method.to_owned())).into();
    assert_eq!(calls, expected);
}

/// Figure 5: who may call whom. `Network` is asked by `CollectDeterminants`.
const FIGURE_5: &[(&str, &str)] = &[
    ("API", "EventHandler"),
    ("Timer", "EventHandler"),
    ("FailureDetector", "EventHandler"),
    ("Network", "EventHandler"),
    ("EventHandler", "Determinant"),
    ("EventHandler", "LogEventDeterminant"),
    ("EventHandler", "LogEventInfo"),
    ("EventHandler", "PiggybackLogging"),
    ("EventHandler", "HowToOutputCommit"),
    ("EventHandler", "OrphanDetection"),
    ("EventHandler", "CollectDeterminants"),
    ("EventHandler", "Checkpoint"),
    ("EventHandler", "PiggybackCheckpointing"),
    ("EventHandler", "HowToCheckpoint"),
    ("PiggybackLogging", "LogEventDeterminant"),
    ("HowToOutputCommit", "LogEventDeterminant"),
    ("LogEventDeterminant", "HowToLog"),
    ("LogEventInfo", "HowToLog"),
    ("HowToLog", "WhereToLog"),
    ("WhereToLog", "StableStorage"),
    ("WhereToLog", "VolatileStorage"),
    ("CollectDeterminants", "Network"),
    ("HowToOutputCommit", "Network"),
];

#[test]
fn no_module_calls_one_that_is_not_below_it_in_figure_5() {
    let mut edges = 0;
    for specification in specifications("specs") {
        let output = synth(&[&specification, "--emit", "dot"]);
        let dot = String::from_utf8(output.stdout).expect("it is text");
        for line in dot.lines().filter(|line| line.contains("->")) {
            let names: Vec<&str> = line.split('"').collect();
            assert!(FIGURE_5.contains(&(names[1], names[3])), "{specification}: {line}");
            edges += 1;
        }
    }
    assert!(edges > 30, "{edges} calls were recorded");
}

#[test]
fn a_delivery_waits_only_where_the_specification_says_so() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("eager.egd");
    let text =
        std::fs::read_to_string(repository().join("specs/pessimistic-receiver.egd")).expect("it is there");
    for (how, expected) in [
        ("synchronously", "delivery never waits"),
        (
            "synchronously with (before = delivery)",
            "delivery waits until `NFS disk` holds what the rank logged",
        ),
    ] {
        let text = text.replace("message synchronously", &format!("message {how}"));
        std::fs::write(&path, text).expect("the directory is ours");
        let said = said(&synth(&[path.to_str().expect("the path is text")]));
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn the_call_graph_is_drawn() {
    insta::assert_snapshot!("causal-dot", said(&synth(&["specs/causal.egd", "--emit", "dot"])));
}

#[test]
fn the_data_is_pinned_too() {
    let output = synth(&["specs/pessimistic-sender.egd", "--emit", "json"]);
    insta::assert_snapshot!("pessimistic-sender-json", said(&output));
}

#[test]
fn a_job_too_small_for_f_is_refused_with_the_line_that_asks_for_it() {
    insta::assert_snapshot!("causal-one-rank", said(&synth(&["specs/causal.egd", "-n", "1"])));
    insta::assert_snapshot!(
        "causal-one-node",
        said(&synth(&["specs/causal.egd", "-n", "4", "--ranks-per-node", "4"]))
    );
}

#[test]
fn one_rank_is_enough_where_no_peer_is_needed() {
    for specification in ["specs/none.egd", "specs/pessimistic-receiver.egd"] {
        let output = synth(&[specification, "-n", "1"]);
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn what_cannot_be_read_or_understood_has_exit_code_2() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("broken.egd");
    std::fs::write(&path, "send: Piggyback").expect("the directory is ours");
    for path in [path, directory.path().join("missing.egd")] {
        let output = synth(&[path.to_str().expect("the path is text")]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_linked_program_is_described_like_its_specification() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let at = |name: &str| directory.path().join(name).to_str().expect("the path is text").to_owned();
    std::fs::write(at("main.c"), "int main(void) { return 0; }\n").expect("the directory is ours");
    let described = synth(&["specs/causal.egd", "-o", &at("unit")]);
    assert!(described.status.success(), "{}", said(&described));

    let unit = format!("{}/protocol.o", at("unit"));
    let linked = Command::new("gcc").args([&at("main.c"), &unit, "-o", &at("program")]).output();
    assert!(linked.expect("gcc can be run").status.success());
    assert_eq!(synth(&[&at("program")]).stdout, described.stdout);
}

#[test]
fn a_refused_specification_leaves_no_link_unit() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let unit = directory.path().join("unit");
    let output =
        synth(&["egida-spec/tests/err/egd008_coverage.egd", "-o", unit.to_str().expect("the path is text")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!unit.exists());
}
