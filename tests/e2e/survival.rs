//! Every program under every protocol and failure unit, undisturbed and with
//! ranks killed in all the ways of the table; and, as the control, with
//! determinants thrown away, when it must fail.
//!
//! `EGIDA_E2E_FULL=1` runs the whole product. One run:
//! `cargo test -p egida-e2e --test survival -- causal/node/ring/rank-1-killed-late`

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use egida_e2e::installation::installation;
use egida_e2e::job::{Finished, Job};
use egida_e2e::plan::{Run, runs};
use egida_e2e::programs::{Choice, PROGRAMS, Program};
use egida_e2e::protocols::{FailureUnit, NONE, PROTOCOLS, Protocol};
use egida_e2e::schedules::{CONTROLS, SCHEDULES};
use egida_e2e::verdict::{self, Undisturbed};
use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::NamedTempFile;

fn main() {
    let mut trials = vec![Trial::test("every-failpoint-is-killed-at", every_failpoint_is_killed_at)];
    for program in PROGRAMS {
        trials.push(trial(format!("none/process/{}/ends-at-a-death", program.name), move || {
            ends_at_a_death(program)
        }));
    }
    for protocol in PROTOCOLS.iter().filter(|protocol| protocol.is_optimistic) {
        let name = format!("{}/node/cg/survivors-roll-back", protocol.name);
        trials.push(trial(name, move || survivors_roll_back(protocol)));
    }
    for protocol in PROTOCOLS.iter().filter(|protocol| protocol.tolerates < usize::MAX) {
        let name = format!("{}/node/ring/more-at-once-than-tolerated", protocol.name);
        trials.push(trial(name, move || gives_up(protocol)));
    }
    for (protocol, unit) in protocols_and_units() {
        if protocol.is_optimistic && unit == FailureUnit::Node {
            let name = format!("{}/{unit}/files/refused", protocol.name);
            trials.push(trial(name, move || refuses_files(protocol, unit)));
        }
        for program in PROGRAMS.iter().filter(|program| program.runs_under(protocol, unit)) {
            let name = format!("{}/{unit}/{}/undisturbed", protocol.name, program.name);
            trials.push(trial(name, move || runs_undisturbed(program, protocol, unit)));
            if program.choice != Choice::Nobody {
                let name = format!("{}/{unit}/{}/control", protocol.name, program.name);
                trials.push(trial(name, move || fails_without_determinants(program, protocol, unit)));
            }
        }
    }
    trials.extend(runs().into_iter().map(|run| trial(run.name(), move || survives(&run))));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The run ends right, and it was the run that it claims to be.
fn survives(run: &Run) -> Result<(), String> {
    let reference = reference(run.program, run.protocol, run.unit)?;
    let kills = run.schedule.kills(run.victim, &reference.counts);
    let job = Job::of(run.program).under(run.protocol, run.unit);
    let ended = kills.iter().fold(job, |job, kill| job.kill(kill)).run();
    verdict::survived(run, &ended, &kills, &reference).map_err(|failure| told(&failure, &ended))
}

/// Where a node loses what it had not written yet, survivors that depend on it roll back; and no line is shown twice. The logs
/// are let wait for longer than the run takes, and nobody writes before its end, so that nothing is written before the death.
fn survivors_roll_back(protocol: &'static Protocol) -> Result<(), String> {
    let program = PROGRAMS.iter().find(|program| program.name == "cg").ok_or("no `cg`")?;
    let reference = reference(program, protocol, FailureUnit::Node)?;
    let text = fs::read_to_string(installation().spec(protocol.name)).map_err(|error| error.to_string())?;
    let patient = text.replace("every = 10 ms", "every = 3600 s");
    if patient == text {
        return Err(format!("{} does not say how long its log may wait", protocol.name));
    }
    let mut file = NamedTempFile::with_suffix(".egd").map_err(|error| error.to_string())?;
    file.write_all(patient.as_bytes()).map_err(|error| error.to_string())?;
    let kill = format!("1@deliver:{}", reference.counts[1].deliveries / 2);
    let ended = Job::of(program)
        .option("--spec", file.path())
        .option("--failure-unit", FailureUnit::Node.to_string())
        .kill(&kill)
        .run();
    verdict::same_result(program, &ended, &reference).map_err(|failure| told(&failure, &ended))?;
    match (0..program.ranks).any(|rank| rank != 1 && ended.report.rolled_back(rank)) {
        true => Ok(()),
        false => Err(told(&"nobody rolled back", &ended)),
    }
}

/// Files cannot be taken back: a program that opens one ends, and the message says why.
fn refuses_files(protocol: &'static Protocol, unit: FailureUnit) -> Result<(), String> {
    let ended = Job::of(&Program::named("files")).under(protocol, unit).run();
    match ended.code() == Some(1)
        && ended.stderr.contains("MPI_File_open is not supported under an optimistic")
    {
        true => Ok(()),
        false => Err(told(&"it was not refused by name", &ended)),
    }
}

/// One more node at once than the protocol tolerates: the job says so and ends, and never hangs or goes on wrongly.
fn gives_up(protocol: &'static Protocol) -> Result<(), String> {
    let program = PROGRAMS.iter().find(|program| program.name == "ring").ok_or("no `ring`")?;
    let reference = reference(program, protocol, FailureUnit::Node)?;
    let together: Vec<String> = (0..=protocol.tolerates).map(|rank| rank.to_string()).collect();
    let kill = format!("{}@deliver:{}", together.join("+"), reference.counts[0].deliveries / 2);
    let ended = Job::of(program).under(protocol, FailureUnit::Node).kill(&kill).run();
    match verdict::gave_up(&ended) {
        true => Ok(()),
        false => Err(told(&"it did not give up", &ended)),
    }
}

/// Without kills, nothing changes whatever the protocol.
fn runs_undisturbed(
    program: &'static Program,
    protocol: &'static Protocol,
    unit: FailureUnit,
) -> Result<(), String> {
    let bare = reference(program, &NONE, FailureUnit::Process)?;
    let ended = Job::of(program).under(protocol, unit).run();
    verdict::same_result(program, &ended, &bare).map_err(|failure| told(&failure, &ended))
}

/// Under `none`, a death ends the job as a shell would report it.
fn ends_at_a_death(program: &'static Program) -> Result<(), String> {
    let reference = reference(program, &NONE, FailureUnit::Process)?;
    let victim = program.ranks - 1;
    let halfway = SCHEDULES.iter().find(|schedule| schedule.name == "halfway").ok_or("no `halfway`")?;
    let kills = halfway.kills(victim, &reference.counts);
    let ended = Job::of(program).under(&NONE, FailureUnit::Process).kill(&kills[0]).run();
    verdict::all_landed(&ended, &kills).map_err(|failure| told(&failure, &ended))?;
    if ended.code() != Some(128 + 9) {
        return Err(told(&format!("ended with {:?}, not with 137", ended.code()), &ended));
    }
    if !ended.stderr.contains(&format!("rank {victim}")) {
        return Err(told(&"the message does not name the rank", &ended));
    }
    Ok(())
}

/// The control: a program with a choice must fail at least once when determinants
/// are thrown away, or the other tests prove nothing.
fn fails_without_determinants(
    program: &'static Program,
    protocol: &'static Protocol,
    unit: FailureUnit,
) -> Result<(), String> {
    let reference = reference(program, protocol, unit)?;
    let mut tried = String::new();
    for schedule in CONTROLS {
        for victim in (0..program.ranks).filter(|&victim| schedule.fits(program, protocol, unit, victim)) {
            let kills = schedule.kills(victim, &reference.counts);
            let job = Job::of(program).under(protocol, unit).option("--control", "discard-determinants");
            let ended = job.kill(&kills[0]).within(Duration::from_secs(20)).run();
            verdict::all_landed(&ended, &kills).map_err(|failure| told(&failure, &ended))?;
            if verdict::same_result(program, &ended, &reference).is_err() {
                return Ok(());
            }
            tried += &format!("\n  {}", kills[0]);
        }
    }
    Err(format!("the determinants were not missed under any of{tried}"))
}

/// The table leaves out none of the launcher's failpoints.
fn every_failpoint_is_killed_at() -> Result<(), Failed> {
    let listed = Command::new(&installation().egida).args(["run", "--list-failpoints"]).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let names: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    if names.is_empty() {
        return Err("no failpoint is listed".into());
    }
    let killed_at = |name: &str| {
        let moments = SCHEDULES.iter().flat_map(|schedule| schedule.kills.split_whitespace());
        let mut points = moments.filter_map(|kill| kill.split_once("@point:"));
        points.any(|(_, point)| point.split(':').next() == Some(name))
    };
    let missing: Vec<_> = names.into_iter().filter(|name| !killed_at(name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no schedule kills at {missing:?}").into()) }
}

/// The undisturbed run of a program, made once per protocol and unit.
fn reference(
    program: &'static Program,
    protocol: &'static Protocol,
    unit: FailureUnit,
) -> Result<Arc<Undisturbed>, String> {
    type Key = (&'static str, &'static str, FailureUnit);
    type Made = Arc<OnceLock<Result<Arc<Undisturbed>, String>>>;
    static MADE: Mutex<Option<HashMap<Key, Made>>> = Mutex::new(None);

    let key = (program.name, protocol.name, unit);
    let made = {
        let mut map = MADE.lock().map_err(|_| "another test panicked")?;
        map.get_or_insert_default().entry(key).or_default().clone()
    };
    made.get_or_init(|| {
        let ended = Job::of(program).under(protocol, unit).run();
        let judged = verdict::undisturbed(program, &ended);
        judged.map(Arc::new).map_err(|failure| told(&failure, &ended))
    })
    .clone()
}

fn protocols_and_units() -> impl Iterator<Item = (&'static Protocol, FailureUnit)> {
    PROTOCOLS.iter().flat_map(|protocol| FailureUnit::ALL.map(|unit| (protocol, unit)))
}

fn trial(name: String, test: impl FnOnce() -> Result<(), String> + Send + 'static) -> Trial {
    Trial::test(name, || test().map_err(Failed::from))
}

/// A failure with all that a reader needs to repeat and understand it.
fn told(what: &dyn std::fmt::Display, ended: &Finished) -> String {
    let kept = env::var_os("EGIDA_E2E_VERBOSE").map(|_| format!("\nstdout:\n{}", ended.stdout));
    format!(
        "{what}\nafter {:?}: {}\nreport: {:#?}\nstderr:\n{}{}",
        ended.took,
        ended.command_line,
        ended.report.events,
        ended.stderr_tail(),
        kept.unwrap_or_default()
    )
}
