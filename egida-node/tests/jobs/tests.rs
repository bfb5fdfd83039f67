//! The tests.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

type Test = (&'static str, fn());

macro_rules! tests {
    ($($name:ident),* $(,)?) => { const TESTS: &[Test] = &[$((stringify!($name), $name as fn())),*]; };
}

tests! {
    a_program_that_knows_nothing_of_us_ends_normally,
    its_status_is_the_jobs,
    a_program_that_does_not_exist_is_named,
    standard_input_is_rank_0s_alone,
    tags_tell_the_ranks_apart,
    a_launcher_that_is_killed_leaves_no_process,
    an_interrupt_ends_the_job_and_what_it_started,
    a_reader_that_goes_away_ends_the_job,
    a_job_that_takes_too_long_is_ended,
    a_stopped_process_is_not_a_failure,
    without_a_protocol_a_death_ends_the_job,
    a_state_directory_of_another_job_is_refused,
    a_ring_survives_every_death,
    an_order_once_told_is_never_contradicted,
    two_deaths_at_once_and_deaths_in_recovery,
    a_node_takes_its_neighbours_along,
    more_deaths_than_tolerated_are_unrecoverable,
    without_determinants_the_order_is_contradicted,
    a_program_at_fault_is_given_up,
    leaving_without_finalize_ends_the_job,
    what_nobody_saw_is_a_divergence,
    a_full_disk_ends_the_job_by_name,
    what_a_library_tells_is_told_once,
    output_that_nobody_takes_does_not_keep_the_launcher,
}

pub fn run(filter: Option<&str>) -> ExitCode {
    let mut failed = Vec::new();
    for &(name, test) in TESTS.iter().filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter))) {
        let begun = Instant::now();
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {} ({:.1?})", if passed { "ok" } else { "FAILED" }, begun.elapsed());
        if !passed {
            failed.push(name);
        }
    }
    println!("{} failed: {failed:?}", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const PATIENCE: Duration = Duration::from_secs(60);
const PROTOCOLS: [&str; 4] = ["pessimistic-receiver", "pessimistic-sender", "causal", "causal-receive"];

fn spec(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../specs").join(format!("{name}.egd"))
}

struct Job {
    child: Child,
    report: tempfile::NamedTempFile,
    line: String,
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
    events: Vec<Value>,
    /// To repeat it.
    #[allow(dead_code, reason = "shown where a test fails")]
    line: String,
}

/// Starts a launcher. A program that is one word of ours is played by this executable.
fn start(options: &str, program: &[&str]) -> Job {
    let us = std::env::current_exe().expect("our own path");
    let report = tempfile::NamedTempFile::new().expect("a file");
    let mut command = Command::new(&us);
    command.arg("launch").args(options.split_whitespace()).arg("--report").arg(report.path()).arg("--");
    if matches!(program[0], "ring" | "gather" | "crash" | "unseen" | "leave") {
        command.arg(&us);
    }
    command.args(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let line = format!("{command:?}");
    Job { child: command.spawn().expect("a launcher"), report, line }
}

impl Job {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        let read = |mut pipe: Box<dyn Read + Send>| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = pipe.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        };
        let out = self.child.stdout.take().map(|pipe| read(Box::new(pipe)));
        let err = self.child.stderr.take().map(|pipe| read(Box::new(pipe)));
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                break Some(status);
            }
            if begun.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let text = |thread: Option<std::thread::JoinHandle<String>>| {
            thread.map(|thread| thread.join().expect("a reader")).unwrap_or_default()
        };
        let events = std::fs::read_to_string(self.report.path()).expect("a report");
        let ended = Ended {
            code: status.and_then(|status| status.code()),
            out: text(out),
            err: text(err),
            events: events.lines().map(|line| serde_json::from_str(line).expect("an event")).collect(),
            line: self.line,
        };
        assert!(status.is_some(), "the job hangs: {ended:#?}");
        ended
    }
}

fn launch(options: &str, program: &[&str]) -> Ended {
    start(options, program).end()
}

impl Ended {
    fn is(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "`{text}` is not said: {self:#?}");
        self
    }

    fn events<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == kind)
    }

    /// Each rank's lines in its own order.
    fn by_rank(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut lines = BTreeMap::<_, Vec<_>>::new();
        for line in self.out.lines() {
            lines.entry(line.split(':').next().unwrap_or_default()).or_default().push(line);
        }
        lines
    }

    /// The kill landed, and all who died came back.
    fn recovered(&self, kill: &str) -> &Self {
        assert!(self.events("death").any(|death| death["kill"] == kill), "{kill} did not land: {self:#?}");
        for death in self.events("death") {
            let back = self.events("recovered").any(|back| back["rank"] == death["rank"]);
            assert!(back, "{death} was not recovered: {self:#?}");
        }
        self
    }

    /// What rank 0 told of the order is what the others were told, each line once.
    fn tells_one_order(&self, workers: usize, rounds: usize) -> Result<(), String> {
        let of = self.by_rank();
        let told: Vec<_> =
            of.get("0").into_iter().flatten().filter_map(|line| line.strip_prefix("0: ")).collect();
        if told.len() != workers * rounds {
            return Err(format!("rank 0 told of {} places", told.len()));
        }
        for rank in 1..=workers {
            let rank = rank.to_string();
            let got: Vec<_> = of.get(rank.as_str()).into_iter().flatten().copied().collect();
            let wanted: Vec<_> = told
                .iter()
                .filter_map(|line| line.strip_prefix(&format!("{rank} got ")))
                .map(|place| format!("{rank}: place {place}"))
                .collect();
            if got != wanted {
                return Err(format!("rank {rank} was told {got:?}, rank 0 told {wanted:?}"));
            }
        }
        Ok(())
    }
}

/// Descendants of a process that live, by their parents in `/proc`.
fn descendants(root: Pid) -> Vec<i32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let pid: i32 = head.split(' ').next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
        let mut fields = tail.split_whitespace();
        if fields.next() != Some("Z") {
            parents.push((pid, fields.next().and_then(|parent| parent.parse::<i32>().ok()).unwrap_or(0)));
        }
    }
    let mut found = vec![root.as_raw_nonzero().get()];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.remove(0);
    found
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn a_program_that_knows_nothing_of_us_ends_normally() {
    let ended = launch("--ranks 3", &["/bin/sh", "-c", "echo $EGIDA_RANK; echo oops >&2"]).is(0).says("oops");
    let mut lines: Vec<_> = ended.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0", "1", "2"]);
    assert_eq!(ended.events.last().expect("an event")["exit_code"], 0);
}

fn its_status_is_the_jobs() {
    launch("--ranks 2", &["/bin/sh", "-c", "exit 3"]).is(3).says("status 3");
}

fn a_program_that_does_not_exist_is_named() {
    launch("--ranks 2", &["/no/such/program"]).is(127).says("/no/such/program");
    launch("--ranks 2", &["/etc/passwd"]).is(126).says("/etc/passwd");
}

fn standard_input_is_rank_0s_alone() {
    let mut job = start("--ranks 3 --tag", &["/bin/sh", "-c", "cat; echo end"]);
    let text = "a line\n".repeat(30_000);
    job.child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("the job reads");
    let ended = job.end().is(0);
    assert_eq!(ended.out.matches("[0] a line\n").count(), 30_000);
    assert_eq!(ended.out.matches("end\n").count(), 3);
    assert_eq!(ended.out.len(), 30_000 * 11 + 3 * 8);
}

fn tags_tell_the_ranks_apart() {
    let ended = launch("--ranks 2 --tag", &["/bin/sh", "-c", "printf 'from %s' $EGIDA_RANK"]).is(0);
    assert!(ended.out.contains("[0] from 0") && ended.out.contains("[1] from 1"), "{ended:#?}");
}

fn a_launcher_that_is_killed_leaves_no_process() {
    let job = start("--ranks 3", &["/bin/sleep", "100"]);
    wait_until("the ranks start", || descendants(job.pid()).len() == 3);
    let ranks = descendants(job.pid());
    kill_process(job.pid(), Signal::KILL).expect("it lives");
    wait_until("the ranks end", || !ranks.iter().any(|&rank| lives(rank)));
}

fn an_interrupt_ends_the_job_and_what_it_started() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let job = start("--ranks 2", &["/bin/sh", "-c", "sleep 100 & wait"]);
        wait_until("the ranks start", || descendants(job.pid()).len() == 4);
        let all = descendants(job.pid());
        kill_process(job.pid(), signal).expect("it lives");
        job.end().is(code);
        wait_until("everything ends", || !all.iter().any(|&pid| lives(pid)));
    }
    // Who does not listen is killed after a while, or when asked again.
    let job = start("--ranks 2", &["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]);
    wait_until("the ranks start", || descendants(job.pid()).len() == 4);
    let begun = Instant::now();
    kill_process(job.pid(), Signal::INT).expect("it lives");
    std::thread::sleep(Duration::from_millis(200));
    kill_process(job.pid(), Signal::INT).expect("it lives still");
    job.end().is(130);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

fn a_reader_that_goes_away_ends_the_job() {
    let mut job = start("--ranks 2", &["/bin/sh", "-c", "while :; do echo more; done"]);
    let mut some = [0; 100];
    job.child.stdout.take().expect("a pipe").read_exact(&mut some).expect("output");
    job.end().is(128 + 13);
}

fn a_job_that_takes_too_long_is_ended() {
    launch("--ranks 2 --timeout 200", &["/bin/sleep", "100"]).is(124).says("timeout");
}

fn a_stopped_process_is_not_a_failure() {
    let script = "echo ready; kill -STOP $$; echo again";
    let job = start("--ranks 1", &["/bin/sh", "-c", script]);
    wait_until("the rank starts", || descendants(job.pid()).len() == 1);
    let rank = descendants(job.pid())[0];
    let state = || std::fs::read_to_string(format!("/proc/{rank}/stat")).unwrap_or_default();
    wait_until("the rank stops", || state().contains(") T "));
    std::thread::sleep(Duration::from_millis(100));
    kill_process(Pid::from_raw(rank).expect("a process"), Signal::CONT).expect("it lives");
    let ended = job.end().is(0);
    assert_eq!(ended.out, "ready\nagain\n");
    assert_eq!(ended.events("death").count(), 0);
}

fn without_a_protocol_a_death_ends_the_job() {
    let ended = launch("--ranks 3 --kill 1@deliver:5", &["ring"]).is(137).says("`none` does not recover");
    assert_eq!(ended.events("death").count(), 1);
}

fn a_state_directory_of_another_job_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = format!("--ranks 2 --state {}", dir.path().join("state").display());
    launch(&options, &["/bin/true"]).is(0);
    launch(&options, &["/bin/true"]).is(2).says("another job");
}

fn a_ring_survives_every_death() {
    let ring = ["ring", "30"];
    let undisturbed = launch("--ranks 3", &ring).is(0);
    for protocol in PROTOCOLS {
        for unit in ["process", "node"] {
            let options = format!("--ranks 3 --unit {unit} --spec {}", spec(protocol).display());
            let plain = launch(&options, &ring).is(0);
            assert_eq!(plain.by_rank(), undisturbed.by_rank(), "{protocol} {unit}");
            for when in
                ["send:1", "deliver:17", "send:30", "point:finalize.exit", "point:channel.published:9"]
            {
                let kill = format!("1@{when}");
                let ended = launch(&format!("{options} --kill {kill}"), &ring).is(0);
                ended.recovered(&kill);
                assert_eq!(ended.by_rank(), undisturbed.by_rank(), "{protocol} {unit} {kill}");
            }
        }
    }
}

fn an_order_once_told_is_never_contradicted() {
    for protocol in PROTOCOLS {
        for unit in ["process", "node"] {
            let options = format!("--ranks 4 --unit {unit} --spec {}", spec(protocol).display());
            for kill in ["0@deliver:40", "2@send:15", "0@point:determinant.logged:20"] {
                let ended = launch(&format!("{options} --kill {kill}"), &["gather", "30"]).is(0);
                ended.recovered(kill);
                if let Err(why) = ended.tells_one_order(3, 30) {
                    panic!("{why}: {ended:#?}");
                }
            }
        }
    }
}

fn two_deaths_at_once_and_deaths_in_recovery() {
    for protocol in ["pessimistic-receiver", "causal"] {
        let options = format!("--ranks 4 --unit process --spec {}", spec(protocol).display());
        for kills in ["--kill 0+2@deliver:20", "--kill 0@deliver:20 --kill 0.2@point:replay.start"] {
            let ended = launch(&format!("{options} {kills}"), &["gather", "30"]).is(0);
            assert_eq!(ended.events("death").count(), 2, "{ended:#?}");
            ended.recovered(kills.rsplit(' ').next().unwrap_or_default());
            if let Err(why) = ended.tells_one_order(3, 30) {
                panic!("{why}: {ended:#?}");
            }
        }
    }
}

fn a_node_takes_its_neighbours_along() {
    let undisturbed = launch("--ranks 4", &["ring"]).is(0);
    let options = format!("--ranks 4 --unit node --per-node 2 --spec {}", spec("causal").display());
    let ended = launch(&format!("{options} --kill 1@deliver:10"), &["ring"]).is(0);
    ended.recovered("1@deliver:10");
    assert!(
        ended.events("death").any(|death| death["rank"] == 0 && death["cause"] == "fenced"),
        "{ended:#?}"
    );
    assert_eq!(ended.by_rank(), undisturbed.by_rank());
}

fn more_deaths_than_tolerated_are_unrecoverable() {
    let options = format!("--ranks 4 --unit node --spec {}", spec("causal").display());
    let ended =
        launch(&format!("{options} --kill 0+2@deliver:20"), &["gather", "30"]).is(86).says("unrecoverable:");
    assert_eq!(ended.events("unrecoverable").count(), 1);
}

fn without_determinants_the_order_is_contradicted() {
    let options = format!("--ranks 4 --unit process --discard --spec {}", spec("causal").display());
    let contradicted = (0..5).any(|attempt| {
        let kill = format!("--kill 0@deliver:{}", 80 - attempt);
        let ended = launch(&format!("{options} {kill}"), &["gather", "30"]);
        ended.code != Some(0) || ended.tells_one_order(3, 30).is_err()
    });
    assert!(contradicted, "five executions without determinants repeated their choices");
}

fn a_program_at_fault_is_given_up() {
    let options = format!("--ranks 2 --unit process --spec {}", spec("causal").display());
    let ended = launch(&options, &["crash", "5"]).is(128 + 6).says("same event");
    let deaths: Vec<_> = ended.events("death").map(|death| death["rank"].as_u64()).collect();
    assert!(
        [0, 1].iter().any(|&rank| deaths.iter().filter(|died| **died == Some(rank)).count() == 3),
        "{ended:#?}"
    );
}

fn leaving_without_finalize_ends_the_job() {
    let options = format!("--ranks 2 --spec {}", spec("causal").display());
    launch(&options, &["leave"]).is(17).says("MPI_Finalize");
}

fn what_nobody_saw_is_a_divergence() {
    let options =
        format!("--ranks 2 --unit process --kill 1@send:20 --spec {}", spec("pessimistic-sender").display());
    let diverges = |ended: &Ended| ended.events("divergence").any(|event| event["rank"] == 1);
    let stopped = launch(&options, &["unseen", "40"]).is(87);
    assert!(diverges(&stopped), "{stopped:#?}");
    assert_eq!(stopped.events("recovered").count(), 0, "{stopped:#?}");
    let warned = launch(&format!("{options} --warn"), &["unseen", "40"]).is(0);
    assert!(diverges(&warned), "{warned:#?}");
}

fn a_full_disk_ends_the_job_by_name() {
    let options =
        format!("--ranks 2 --unit process --full-disk --spec {}", spec("pessimistic-sender").display());
    let ended = launch(&options, &["gather", "5"]).is(1).says("is full").says("rank 0").says("--state-dir");
    assert_eq!(ended.events.last().expect("an end")["exit_code"], 1);
}

fn what_a_library_tells_is_told_once() {
    let kill = "1@point:finalize.exit";
    let options = format!("--ranks 2 --unit process --kill {kill} --spec {}", spec("causal").display());
    let ended = launch(&options, &["ring", "5"]).is(0);
    ended.recovered(kill);
    assert_eq!(ended.err.matches("egida: rank 1: a warning\n").count(), 1, "{ended:#?}");
}

fn output_that_nobody_takes_does_not_keep_the_launcher() {
    let mut job = start("--ranks 2 --quiet", &["/bin/sh", "-c", "while :; do echo more; done"]);
    let _kept_and_never_read = job.child.stdout.take();
    std::thread::sleep(Duration::from_millis(300));
    // The first ends the job, which waits for its output to be taken; the second ends the waiting.
    kill_process(job.pid(), Signal::TERM).expect("it lives");
    wait_until("the ranks end", || descendants(job.pid()).is_empty());
    kill_process(job.pid(), Signal::TERM).expect("it lives still");
    job.end().is(143);
}
