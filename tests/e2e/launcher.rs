//! What the launcher owes a user besides recovery: exit codes, signals, standard
//! input, and nothing left behind.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use egida_core::trace::{self, Header, Stamped};
use egida_e2e::installation::installation;
use egida_e2e::job::{Job, Running};
use egida_e2e::processes::{descendants, named_shared_memory, outlive, signal};
use egida_e2e::programs::Program;
use egida_e2e::protocols::{CAUSAL, FailureUnit, NONE, PROTOCOLS, Protocol};
use egida_e2e::report::Event;
use egida_e2e::transcript::Transcript;
use egida_e2e::verdict::{self, DIVERGENCE, UNRECOVERABLE};
use rustix::process::{Pid, Signal};

const SOON: Duration = Duration::from_secs(10);
const ENDLESS_RING: Program = Program::outside("ring", 3, &["100000000"]);

fn all_protocols() -> impl Iterator<Item = &'static Protocol> {
    PROTOCOLS.iter().chain([&NONE])
}

/// A ring that runs until it is stopped, with all its ranks started.
fn endless(protocol: &Protocol) -> (Running, HashSet<Pid>) {
    let job = Job::of(&ENDLESS_RING).under(protocol, FailureUnit::Process).start();
    let deadline = Instant::now() + SOON;
    loop {
        let children = descendants(job.pid());
        if children.len() >= ENDLESS_RING.ranks {
            // Long enough for the ranks to have mapped what they share.
            thread::sleep(Duration::from_millis(300));
            return (job, children);
        }
        assert!(Instant::now() < deadline, "the ranks do not start");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_launcher_that_is_killed_leaves_nothing_behind() {
    for protocol in all_protocols() {
        let (job, children) = endless(protocol);
        let shared: BTreeSet<_> =
            children.iter().chain([&job.pid()]).flat_map(|&pid| named_shared_memory(pid)).collect();
        signal(job.pid(), Signal::KILL);
        let left = outlive(&children, SOON);
        assert_eq!(left, HashSet::new(), "{}: ranks outlive the launcher", protocol.name);
        let left: Vec<_> = shared.iter().filter(|path| path.exists()).collect();
        assert!(left.is_empty(), "{}: {left:?} is left", protocol.name);
        job.finish();
    }
}

#[test]
fn an_interrupt_or_a_termination_ends_the_job() {
    for (sent, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        for protocol in all_protocols() {
            let (job, children) = endless(protocol);
            signal(job.pid(), sent);
            let ended = job.finish();
            assert_eq!(ended.code(), Some(code), "{}: {}", protocol.name, ended.stderr_tail());
            assert_eq!(outlive(&children, SOON), HashSet::new(), "{}", protocol.name);
        }
    }
}

#[test]
fn an_abort_ends_the_job_with_its_code() {
    let abort = Program::outside("abort", 3, &["1", "42"]);
    for protocol in all_protocols() {
        let ended = Job::of(&abort).under(protocol, FailureUnit::Process).run();
        assert_eq!(ended.code(), Some(42), "{}: {}", protocol.name, ended.stderr_tail());
        assert!(ended.stderr.contains("rank 1"), "{}", ended.stderr);
    }
}

#[test]
fn an_exit_without_finalize_ends_the_job_with_its_code() {
    for protocol in all_protocols() {
        let program = Program::outside("exit_without_finalize", 3, &["2", "17"]);
        let ended = Job::of(&program).under(protocol, FailureUnit::Process).run();
        assert_eq!(ended.code(), Some(17), "{}: {}", protocol.name, ended.stderr_tail());
        assert!(ended.stderr.contains("rank 2"), "{}", ended.stderr);
        assert!(ended.stderr.contains("MPI_Finalize"), "{}", ended.stderr);
    }
}

#[test]
fn an_exit_code_after_finalize_is_the_job_s() {
    let program = Program::outside("exit_code", 3, &["1", "23"]);
    for protocol in all_protocols() {
        let ended = Job::of(&program).under(protocol, FailureUnit::Process).run();
        assert_eq!(ended.code(), Some(23), "{}: {}", protocol.name, ended.stderr_tail());
    }
}

#[test]
fn standard_input_reaches_rank_0_and_survives_its_death() {
    let echo = Program::outside("stdin_echo", 3, &[]);
    for protocol in PROTOCOLS {
        for unit in FailureUnit::ALL {
            let job = Job::of(&echo).under(protocol, unit).piped_stdin().kill("0@send:9");
            let mut running = job.start();
            for line in 0..40 {
                running.write(&format!("line {line}\n")).expect("the job reads");
                thread::sleep(Duration::from_millis(5));
            }
            let ended = running.finish();
            assert_eq!(ended.code(), Some(0), "{}: {}", protocol.name, ended.stderr_tail());
            assert!(ended.report.killed(0, 1, "0@send:9"), "{:?}", ended.report);
            let transcript = Transcript::parse(&ended.stdout).expect("whole lines");
            for rank in 0..3 {
                let lines: Vec<_> = transcript.lines_of(rank).map(|line| line.text).collect();
                assert_eq!(lines.len(), 41, "rank {rank}: {lines:?}");
                for (number, line) in lines[..40].iter().enumerate() {
                    let wanted = format!("result stdin_echo line={number} text=line {number}");
                    assert_eq!(*line, wanted, "rank {rank}");
                }
            }
        }
    }
}

#[test]
fn a_rank_that_always_dies_at_the_same_event_is_given_up_with_a_reason() {
    let crash = Program::outside("crash", 3, &["1", "10"]);
    for protocol in PROTOCOLS {
        let ended = Job::of(&crash).under(protocol, FailureUnit::Process).run();
        let code = ended.code().expect("the job ends");
        assert!([UNRECOVERABLE, 128 + 11].contains(&code), "{}: {code}", protocol.name);
        assert!(ended.report.deaths() >= 2, "{}: recovery was not tried", protocol.name);
        assert!(ended.report.deaths() <= 10, "{}: {} deaths", protocol.name, ended.report.deaths());
        assert!(ended.stderr.contains("same event"), "{}", ended.stderr_tail());
    }
}

#[test]
fn a_choice_that_nobody_can_see_is_reported_as_divergence() {
    let unseen = Program::outside("unseen", 3, &[]);
    for protocol in PROTOCOLS {
        let job = Job::of(&unseen).under(protocol, FailureUnit::Process).kill("1@send:25");
        let stopped = job.clone().run();
        assert_eq!(stopped.code(), Some(DIVERGENCE), "{}: {}", protocol.name, stopped.stderr_tail());
        let diverged = |event: &Event| matches!(event, Event::Divergence { rank: 1, .. });
        assert!(stopped.report.events.iter().any(diverged), "{:?}", stopped.report);

        let warned = job.option("--on-divergence", "warn").run();
        assert_eq!(warned.code(), Some(0), "{}: {}", protocol.name, warned.stderr_tail());
        assert!(warned.report.events.iter().any(diverged), "{:?}", warned.report);
    }
}

#[test]
fn a_rank_is_killed_at_a_time_of_the_clock() {
    let echo = Program::outside("stdin_echo", 3, &[]);
    let mut running = Job::of(&echo).under(&CAUSAL, FailureUnit::Node).piped_stdin().kill("1@0.5s").start();
    for line in 0..100 {
        running.write(&format!("line {line}\n")).expect("the job reads");
        thread::sleep(Duration::from_millis(10));
    }
    let ended = running.finish();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr_tail());
    assert!(ended.report.killed(1, 1, "1@0.5s"), "{:?}", ended.report);
    let transcript = Transcript::parse(&ended.stdout).expect("whole lines");
    assert!((0..3).all(|rank| transcript.lines_of(rank).count() == 101), "{}", ended.stdout);
}

/// What is drawn may lie beyond the program's end, so the kill need not land.
#[test]
fn a_random_kill_tells_its_seed() {
    let ring = Program::named("ring");
    let job = Job::of(&ring).under(&CAUSAL, FailureUnit::Process);
    let undisturbed = job.run();
    for seed in 1..=5 {
        let ended = job.clone().kill(&format!("random:{seed}")).run();
        assert_eq!(ended.code(), Some(0), "seed {seed}: {}", ended.stderr_tail());
        assert_eq!(Transcript::parse(&ended.stdout), Transcript::parse(&undisturbed.stdout), "seed {seed}");
    }
    let ended = job.kill("random").run();
    assert!(ended.stderr.contains("random:"), "{}", ended.stderr);
}

#[test]
fn ranks_that_share_a_node_survive_its_loss() {
    let stencil = Program::named("stencil");
    for protocol in PROTOCOLS {
        // One node more than may be dead at once; a protocol whose memory is on disk asks for none.
        let nodes = if protocol.tolerates == usize::MAX { 2 } else { protocol.tolerates + 1 };
        let job = Job::of(&Program { ranks: 2 * nodes, ..stencil })
            .under(protocol, FailureUnit::Node)
            .option("--ranks-per-node", "2");
        let undisturbed = job.run();
        assert_eq!(undisturbed.code(), Some(0), "{}: {}", protocol.name, undisturbed.stderr_tail());
        let disturbed = job.kill("1@deliver:60").run();
        assert_eq!(disturbed.code(), Some(0), "{}: {}", protocol.name, disturbed.stderr_tail());
        assert!(disturbed.report.killed(1, 1, "1@deliver:60"), "{:?}", disturbed.report);
        assert_eq!(Transcript::parse(&disturbed.stdout), Transcript::parse(&undisturbed.stdout));
    }
}

#[test]
fn a_job_that_takes_too_long_is_ended() {
    let ended = Job::of(&ENDLESS_RING).under(&CAUSAL, FailureUnit::Process).option("--timeout", "1s").run();
    assert!(ended.code().is_some_and(|code| code != 0), "{:?}", ended.status);
    assert!(ended.stderr.contains("timeout"), "{}", ended.stderr_tail());
}

#[test]
fn output_can_be_tagged_with_the_rank() {
    let ring = Program::named("ring");
    let job = Job::of(&ring).under(&CAUSAL, FailureUnit::Process);
    let plain = job.run();
    let tagged = job.flag("--tag-output").run();
    assert_eq!(tagged.code(), Some(0), "{}", tagged.stderr_tail());
    for line in plain.stdout.lines() {
        let rank = line.split(':').next().expect("a rank");
        let found = tagged.stdout.lines().find(|tagged| tagged.ends_with(line));
        let tag = found.and_then(|found| found.strip_suffix(line)).expect("the line with a tag");
        assert!(tag.contains(rank), "`{tag}` does not name rank {rank}");
    }
}

#[test]
fn a_program_starts_alone_without_a_launcher() {
    let alone = |program: &str| Command::new(installation().executable(program)).output().expect("starts");
    for program in ["ring", "stencil", "cg", "collectives", "types", "printing"] {
        let output = alone(program);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{program}: {stderr}");
        let stdout = String::from_utf8(output.stdout).expect("text");
        assert!(stdout.starts_with("0: result "), "{program}: {stdout}");
    }
    let output = Command::new(installation().executable("abort")).args(["0", "42"]).output().expect("starts");
    assert_eq!(output.status.code(), Some(42));
}

#[test]
fn several_threads_call_at_once_where_nothing_is_replayed() {
    let program = Program::outside("threads", 3, &["4", "70"]);
    let lines = |protocol: &Protocol, kill: Option<&str>| {
        let job = Job::of(&program).under(protocol, FailureUnit::Process);
        let ended = kill.into_iter().fold(job, |job, kill| job.kill(kill)).run();
        assert_eq!(ended.code(), Some(0), "{}: {}", protocol.name, ended.stderr_tail());
        let mut lines: Vec<String> = ended.stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    // What a rank adds up comes from the rank before: 1000 for each thread and 10 for each round, and that rank.
    let sum = |rank: u64| 70 * (1000 * 6) + 4 * (10 * (69 * 70 / 2)) + 4 * 70 * ((rank + 2) % 3);
    let expected = |level: &str| -> Vec<String> {
        (0..3)
            .flat_map(|rank| [format!("{rank}: level {level}"), format!("{rank}: result sum={}", sum(rank))])
            .collect()
    };
    for _ in 0..5 {
        assert_eq!(lines(&NONE, None), expected("multiple"));
    }
    assert_eq!(lines(&CAUSAL, Some("1@deliver:300")), expected("serialized"));
}

#[test]
fn a_tool_reads_what_the_rank_counts_and_what_it_read_before() {
    let program = Program::outside("tools", 3, &["30"]);
    let job = |protocol: &Protocol| Job::of(&program).under(protocol, FailureUnit::Process);
    let told = |job: Job, replays: bool, repeats: Option<u64>| {
        let ended = job.run();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr_tail());
        for rank in 0..3 {
            let repeated = if repeats == Some(rank) { "some" } else { "none" };
            for line in [
                format!("{rank}: replays {}", u8::from(replays)),
                format!("{rank}: result sent=30 received=30"),
                format!("{rank}: repeated {repeated}"),
            ] {
                assert!(ended.stdout.lines().any(|told| told == line), "no `{line}` in {}", ended.stdout);
            }
        }
    };
    told(job(&NONE), false, None);
    told(job(&CAUSAL), true, None);
    told(job(&CAUSAL).kill("1@deliver:20"), true, Some(1));
}

#[test]
fn what_memory_does_not_hold_goes_on_on_a_disk() {
    let program = Program::named("large");
    let disk = tempfile::tempdir().expect("a temporary directory");
    let small = |unit| Job::of(&program).under(&CAUSAL, unit).option("--limit", "1MiB");
    let undisturbed = Job::of(&program).under(&NONE, FailureUnit::Process).run();
    let undisturbed = verdict::undisturbed(&program, &undisturbed).expect("it ends right");
    for unit in FailureUnit::ALL {
        for kill in [None, Some("1@deliver:9"), Some("2@send:14")] {
            let job = small(unit).option("--spill", disk.path());
            let ended = kill.into_iter().fold(job, |job, kill| job.kill(kill)).run();
            let told = &ended.stderr;
            verdict::same_result(&program, &ended, &undisturbed)
                .unwrap_or_else(|failure| panic!("{failure}: {told}"));
            assert!(told.contains("in memory, as much as may be: they go on in"), "{told}");
            assert!(told.contains("MiB of messages and logs went to"), "{told}");
        }
    }
    assert!(fs::read_dir(disk.path()).expect("a directory").next().is_none(), "the file has no name");
    let refused = |job: Job, why: &str| {
        let ended = job.run();
        assert_ne!(ended.code(), Some(0), "{why}");
        assert!(ended.stderr.contains(why), "no `{why}` in {}", ended.stderr);
    };
    refused(small(FailureUnit::Process), "raise it with `--limit` or `--spill`");
    let little = small(FailureUnit::Process).option("--spill", disk.path()).option("--spill-limit", "1MiB");
    refused(little, "raise it with `--spill-limit`");
    refused(
        small(FailureUnit::Process).option("--spill", "/no/such/place"),
        "cannot make a file in `/no/such/place`",
    );
}

#[test]
fn a_file_opened_for_writing_is_warned_of_once_and_is_whole_after_a_death() {
    let program = Program::outside("writes_file", 3, &[]);
    let written = |kill: Option<&str>| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let job = Job::of(&program).under(&CAUSAL, FailureUnit::Process).arg(directory.path());
        let ended = kill.into_iter().fold(job, |job, kill| job.kill(kill)).run();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr_tail());
        let files: Vec<_> = (0..3)
            .map(|rank| {
                fs::read_to_string(directory.path().join(format!("rank-{rank}.txt"))).expect("the file")
            })
            .collect();
        (files, ended)
    };
    let (undisturbed, _) = written(None);
    let (disturbed, ended) = written(Some("1@deliver:30"));
    assert!(ended.report.killed(1, 1, "1@deliver:30"), "{:?}", ended.report);
    assert_eq!(disturbed, undisturbed);
    for rank in 0..3 {
        let name = format!("rank-{rank}.txt");
        let warnings = ended.stderr.lines().filter(|line| line.contains(&name)).count();
        assert_eq!(warnings, 1, "{name}: {}", ended.stderr);
    }
}

#[test]
fn a_wrong_option_is_an_error_of_usage() {
    let egida = || {
        let mut command = Command::new(&installation().egida);
        command.arg("run").args(["-n", "2"]);
        command
    };
    let ring = installation().executable("ring");
    let spec = installation().spec("causal");
    for wrong in [
        vec!["--kill", "1@sometime"],
        vec!["--kill", "7@send:1"],
        vec!["--kill", "1@point:no.such.point"],
        vec!["--failure-unit", "building"],
        vec!["--no-such-option"],
    ] {
        let output = egida().arg("--spec").arg(&spec).args(&wrong).arg(&ring).output().expect("starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {stderr}");
        assert!(stderr.contains(wrong[wrong.len() - 1]), "{wrong:?} is not named: {stderr}");
    }
    let output = egida().args(["--spec", "no-such.egd"]).arg(&ring).output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
}

/// The same form as a simulation's, though it is put together from what many processes wrote.
#[test]
fn a_trace_tells_of_every_rank_in_an_order_in_which_it_may_have_happened() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("trace.jsonl");
    let ended = Job::of(&Program::named("workers"))
        .under(&CAUSAL, FailureUnit::Node)
        .option("--trace", &path)
        .kill("2@deliver:30")
        .run();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr_tail());
    let text = std::fs::read_to_string(&path).expect("a trace");
    let mut lines = text.lines();
    let header: Header = serde_json::from_str(lines.next().expect("a header")).expect("the header");
    assert_eq!((header.specification.as_str(), header.ranks), ("causal", 4));
    let mut sent = BTreeSet::new();
    let (mut now, mut deliveries, mut output) = (0, 0, String::new());
    for line in lines {
        let Stamped { line, .. } =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(line.time_ns >= now, "{line} is before {now}");
        now = line.time_ns;
        match (line.event, line.rank) {
            (trace::Event::Send { dest, ssn, .. }, Some(rank)) => drop(sent.insert((rank, dest, ssn))),
            (trace::Event::Arrive { source, ssn, .. }, Some(rank)) => {
                assert!(sent.contains(&(source, rank, ssn)))
            }
            (trace::Event::Deliver { .. }, Some(2)) if line.incarnation == Some(1) => deliveries += 1,
            (trace::Event::Output { text, .. }, Some(_)) => output.push_str(&text),
            _ => {}
        }
    }
    assert!(
        deliveries == 29 || deliveries == 30,
        "{deliveries} deliveries of the rank that died at its 30th"
    );
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(sorted(&output), sorted(&ended.stdout));
}
