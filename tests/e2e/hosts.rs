//! Jobs on two hosts: the same programs, protocols and deaths as on one, and connections that break.
//!
//! What a program ends with on one host, undisturbed, is what it must end with here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use egida_e2e::job::{Finished, Job};
use egida_e2e::network::network;
use egida_e2e::plan::{Run, runs};
use egida_e2e::processes::{self, descendants, outlive, signal};
use egida_e2e::programs::{PROGRAMS, Program};
use egida_e2e::protocols::{CAUSAL, FailureUnit, NONE, PROTOCOLS, Protocol};
use egida_e2e::schedules::SCHEDULES;
use egida_e2e::verdict::{self, UNRECOVERABLE, Undisturbed};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal};

/// Of the runs on one host every so manieth is made here: each protocol, unit and schedule has its turns.
const EVERY: usize = 29;

/// What runs long enough for connections to break many times meanwhile.
const CUT: &[Program] = &[
    Program::outside("ring", 4, &["1500"]),
    Program::outside("large", 3, &["3", "3000"]),
    Program::outside("cg", 4, &["1500"]),
];

const ENDLESS_RING: Program = Program::outside("ring", 4, &["100000000"]);

/// Still runs when a signal of the test's comes.
const LONG_RING: Program = Program::outside("ring", 4, &["4000"]);

/// Its result is where the ranks are.
const NEIGHBORHOOD: Program = Program::outside("neighborhood", 4, &["40"]);

/// Held while connections are cut, and shared by jobs that are not to be cut.
static CUTTING: RwLock<()> = RwLock::new(());

const SOON: Duration = Duration::from_secs(10);

fn main() {
    let mut trials = Vec::new();
    for program in PROGRAMS {
        let name = format!("none/process/{}/undisturbed", program.name);
        trials.push(trial(name, move || runs_undisturbed(program, &NONE, FailureUnit::Process)));
        let name = format!("causal/node/{}/undisturbed", program.name);
        trials.push(trial(name, move || runs_undisturbed(program, &CAUSAL, FailureUnit::Node)));
    }
    let broken = ["causal", "pessimistic-sender", "optimistic"];
    let protocols = PROTOCOLS.iter().chain([&NONE]);
    for protocol in protocols.filter(|protocol| protocol == &&NONE || broken.contains(&protocol.name)) {
        for program in CUT {
            let name = format!("{}/process/{}/connections-break", protocol.name, program.name);
            let test = move || outlives_cuts(program, protocol).map_err(Failed::from);
            trials.push(Trial::test(name, test).with_ignored_flag(!network().is_real()));
        }
    }
    for protocol in PROTOCOLS.iter().filter(|protocol| broken.contains(&protocol.name)) {
        for unit in [FailureUnit::Process, FailureUnit::Node] {
            let name = format!("{}/{unit}/ring/connections-break-while-one-recovers", protocol.name);
            let test = move || outlives_cuts_of_a_recovery(protocol, unit).map_err(Failed::from);
            trials.push(Trial::test(name, test).with_ignored_flag(!network().is_real()));
        }
        let name = format!("{}/process/neighborhood/a-host-is-who-shares-memory", protocol.name);
        trials.push(trial(name, move || knows_its_host(protocol)));
    }
    trials.push(trial("causal/process/large/goes-on-on-disks".to_owned(), goes_on_on_disks));
    trials.push(trial("none/process/ring/ends-at-a-death".to_owned(), ends_at_a_death));
    trials.push(trial("causal/process/ring/ranks-have-connections".to_owned(), ranks_have_connections));
    trials.push(trial("causal/process/ring/a-host-is-lost".to_owned(), ends_with_a_host));
    trials.push(trial("causal/process/ring/the-launcher-is-killed".to_owned(), leaves_nothing));
    trials.push(trial("a-program-that-is-not-there".to_owned(), names_what_is_not_there));
    let chosen = runs().into_iter().step_by(EVERY);
    trials.extend(chosen.map(|run| trial(run.name(), move || survives(&run))));
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    network().remove();
    conclusion.exit();
}

/// A job on the two hosts.
fn on_hosts(program: &Program) -> Job {
    network().options().into_iter().fold(Job::of(program), |job, (name, value)| job.option(name, value))
}

fn survives(run: &Run) -> Result<(), String> {
    let reference = reference(run.program, run.protocol, run.unit)?;
    let kills = run.schedule.kills(run.victim, &reference.counts);
    let job = on_hosts(run.program).under(run.protocol, run.unit);
    let ended = kills.iter().fold(job, |job, kill| job.kill(kill)).run();
    verdict::survived(run, &ended, &kills, &reference).map_err(|failure| told(&failure, &ended))
}

fn runs_undisturbed(
    program: &'static Program,
    protocol: &'static Protocol,
    unit: FailureUnit,
) -> Result<(), String> {
    let bare = reference(program, &NONE, FailureUnit::Process)?;
    let ended = on_hosts(program).under(protocol, unit).run();
    verdict::same_result(program, &ended, &bare).map_err(|failure| told(&failure, &ended))
}

/// All connections break again and again; under a protocol that recovers a rank dies besides.
fn outlives_cuts(program: &'static Program, protocol: &'static Protocol) -> Result<(), String> {
    // Made before, so that it is not cut either.
    let reference = reference(program, protocol, FailureUnit::Process)?;
    let mut job = on_hosts(program).under(protocol, FailureUnit::Process);
    let kills: Vec<String> = match protocol == &NONE {
        true => Vec::new(),
        false => vec![format!("1@deliver:{}", reference.counts[1].deliveries.div_ceil(2))],
    };
    job = kills.iter().fold(job, |job, kill| job.kill(kill));
    // Nobody else's job is to begin meanwhile: before daemons have met, a cut is an error.
    let _alone = CUTTING.write();
    let running = job.start();
    started(running.pid(), program.ranks)?;
    let cutting = Instant::now() + Duration::from_secs(2);
    // A job may be over before; a few cuts have hit it then.
    while Instant::now() < cutting {
        network().cut()?;
        thread::sleep(Duration::from_millis(15));
    }
    let ended = running.finish();
    verdict::same_result(program, &ended, &reference)
        .and_then(|()| verdict::all_landed(&ended, &kills))
        .map_err(|failure| told(&failure, &ended))
}

/// All connections break while a rank is dead and the recovery has not come to its end: it cannot before the daemon of the other
/// host goes on, which is stopped meanwhile.
fn outlives_cuts_of_a_recovery(protocol: &'static Protocol, unit: FailureUnit) -> Result<(), String> {
    let reference = reference(&LONG_RING, protocol, unit)?;
    let _alone = CUTTING.write();
    let job = on_hosts(&LONG_RING).under(protocol, unit).start();
    let children = started(job.pid(), LONG_RING.ranks)?;
    let mut daemons: Vec<_> = children.iter().copied().filter(|&pid| is_daemon(pid)).collect();
    daemons.sort_by_key(|pid| pid.as_raw_nonzero());
    let [victims, stopped] = daemons[..] else {
        return Err(format!("there are not two daemons: {daemons:?}"));
    };
    let victim = ranks_of(victims).into_iter().next().ok_or("the first daemon has no ranks")?;
    signal(stopped, Signal::STOP);
    signal(victim, Signal::KILL);
    let left = outlive(&HashSet::from([victim]), SOON);
    let cut = || {
        // Orders are under way, and then again what was sent anew.
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(40));
            network().cut()?;
        }
        Ok::<_, String>(ranks_of(victims).len())
    };
    let ranks = cut();
    signal(stopped, Signal::CONT);
    let ended = job.finish();
    match (ranks, left.is_empty()) {
        (Ok(1), true) => {}
        other => return Err(told(&format!("nobody was dead while connections broke: {other:?}"), &ended)),
    }
    let is_recovered = (0..LONG_RING.ranks).any(|rank| ended.report.replayed(rank).is_some());
    verdict::same_result(&LONG_RING, &ended, &reference).map_err(|failure| told(&failure, &ended))?;
    if is_recovered { Ok(()) } else { Err(told(&"nobody was recovered", &ended)) }
}

/// The ranks that share memory are those of a host, whoever of them dies.
fn knows_its_host(protocol: &'static Protocol) -> Result<(), String> {
    let job = || on_hosts(&NEIGHBORHOOD).under(protocol, FailureUnit::Process);
    let ended = job().run();
    let reference = verdict::undisturbed(&NEIGHBORHOOD, &ended).map_err(|failure| told(&failure, &ended))?;
    for (rank, line) in reference.transcript.lines() {
        let (first, last) = if rank < 2 { (0, 1) } else { (2, 3) };
        if !line.text.contains(&format!("first={first} last={last} count=2 ")) {
            return Err(told(&format!("rank {rank} says `{}`", line.text), &ended));
        }
    }
    let kills: Vec<String> = [1, 2]
        .map(|rank: usize| format!("{rank}@deliver:{}", reference.counts[rank].deliveries.div_ceil(2)))
        .into();
    let ended = kills.iter().fold(job(), |job, kill| job.kill(kill)).run();
    verdict::same_result(&NEIGHBORHOOD, &ended, &reference)
        .and_then(|()| verdict::all_landed(&ended, &kills))
        .map_err(|failure| told(&failure, &ended))
}

/// Each host makes its memory ready, and goes on on its disk where that is not enough; both are told of.
fn goes_on_on_disks() -> Result<(), String> {
    let program = PROGRAMS.iter().find(|program| program.name == "large").ok_or("no `large`")?;
    let reference = reference(program, &CAUSAL, FailureUnit::Process)?;
    let disk = tempfile::tempdir().map_err(|error| error.to_string())?;
    let kill = "1@deliver:9".to_owned();
    let job = on_hosts(program).under(&CAUSAL, FailureUnit::Process).kill(&kill);
    let job = job.option("--limit", "1MiB").option("--spill", disk.path()).option("--prefault", "1MiB");
    let ended = job.run();
    verdict::same_result(program, &ended, &reference)
        .and_then(|()| verdict::all_landed(&ended, &[kill]))
        .map_err(|failure| told(&failure, &ended))?;
    for host in network().names() {
        for what in
            ["1 MiB of memory made ready in", "as much as may be: they go on in", "messages and logs went to"]
        {
            let is_told = |line: &str| line.contains(&format!("host {host}: ")) && line.contains(what);
            if !ended.stderr.lines().any(is_told) {
                return Err(told(&format!("nobody told of {host}: {what}"), &ended));
            }
        }
    }
    match std::fs::read_dir(disk.path()).map(|mut files| files.next().is_none()) {
        Ok(true) => Ok(()),
        other => Err(format!("files are left: {other:?}")),
    }
}

/// Under `none`, a death ends the job as on one host.
fn ends_at_a_death() -> Result<(), String> {
    let program = PROGRAMS.iter().find(|program| program.name == "ring").ok_or("no `ring`")?;
    let reference = reference(program, &NONE, FailureUnit::Process)?;
    let halfway = SCHEDULES.iter().find(|schedule| schedule.name == "halfway").ok_or("no `halfway`")?;
    let kills = halfway.kills(program.ranks - 1, &reference.counts);
    let ended = on_hosts(program).under(&NONE, FailureUnit::Process).kill(&kills[0]).run();
    match (ended.code(), ended.stderr.contains("rank 2")) {
        (Some(137), true) => Ok(()),
        _ => Err(told(&"it did not end as it should", &ended)),
    }
}

/// Ranks of different hosts that talk to each other do so over connections of their own, and a successor has one again.
fn ranks_have_connections() -> Result<(), String> {
    let job = on_hosts(&ENDLESS_RING).under(&CAUSAL, FailureUnit::Process).start();
    started(job.pid(), ENDLESS_RING.ranks)?;
    let ranks = || descendants(job.pid()).into_iter().filter(|&pid| !is_daemon(pid)).collect::<HashSet<_>>();
    let met = |dead: Option<Pid>| {
        let deadline = Instant::now() + SOON;
        loop {
            let ranks = ranks();
            // In a ring over two hosts each rank has a neighbour on the other one.
            if ranks.len() == ENDLESS_RING.ranks && ranks.iter().all(|&pid| Some(pid) != dead && has_tcp(pid))
            {
                return Ok(ranks);
            }
            if Instant::now() > deadline {
                return Err(format!("not all of {ranks:?} have a connection of their own"));
            }
            thread::sleep(Duration::from_millis(10));
        }
    };
    let result = met(None).and_then(|ranks| {
        let victim = *ranks.iter().next().ok_or("there are no ranks")?;
        signal(victim, Signal::KILL);
        met(Some(victim)).map(drop)
    });
    signal(job.pid(), Signal::KILL);
    let ended = job.finish();
    result.map_err(|failure| told(&failure, &ended))
}

/// Whether a process has a TCP connection.
fn has_tcp(pid: Pid) -> bool {
    let proc = format!("/proc/{}", pid.as_raw_nonzero());
    let tables = ["tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("{proc}/net/{table}")));
    let sockets: HashSet<_> = tables.iter().flatten().flat_map(|table| table.lines()).collect();
    let established = |line: &&&str| line.split_whitespace().nth(3) == Some("01");
    let inode = |line: &&str| line.split_whitespace().nth(9).map(|inode| format!("socket:[{inode}]"));
    let sockets: HashSet<_> = sockets.iter().filter(established).filter_map(inode).collect();
    let fds = std::fs::read_dir(format!("{proc}/fd")).into_iter().flatten().flatten();
    fds.filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .any(|link| sockets.contains(&*link.to_string_lossy()))
}

/// A daemon is killed: the job says so and ends.
fn ends_with_a_host() -> Result<(), String> {
    let job = on_hosts(&ENDLESS_RING).under(&CAUSAL, FailureUnit::Process).start();
    let children = started(job.pid(), ENDLESS_RING.ranks)?;
    let daemon = children.iter().find(|&&pid| is_daemon(pid)).ok_or("there is no daemon")?;
    signal(*daemon, Signal::KILL);
    let ended = job.finish();
    let left = outlive(&children, SOON);
    match (ended.code(), ended.stderr.contains("is lost"), left.is_empty()) {
        (Some(UNRECOVERABLE), true, true) => Ok(()),
        _ => Err(told(&format!("it did not end as it should; left: {left:?}"), &ended)),
    }
}

fn leaves_nothing() -> Result<(), String> {
    let job = on_hosts(&ENDLESS_RING).under(&CAUSAL, FailureUnit::Process).start();
    let children = started(job.pid(), ENDLESS_RING.ranks)?;
    signal(job.pid(), Signal::KILL);
    let left = outlive(&children, SOON);
    job.finish();
    if left.is_empty() { Ok(()) } else { Err(format!("{left:?} outlive the launcher")) }
}

fn names_what_is_not_there() -> Result<(), String> {
    let job = on_hosts(&ENDLESS_RING).under(&CAUSAL, FailureUnit::Process);
    let ended = job.executable("/no/such/program".as_ref()).run();
    match (ended.code(), ended.stderr.contains("/no/such/program")) {
        (Some(127), true) => Ok(()),
        _ => Err(told(&"it did not end as it should", &ended)),
    }
}

/// Waits until all ranks have begun; returns all processes of the job but the launcher.
fn started(launcher: Pid, ranks: usize) -> Result<HashSet<Pid>, String> {
    let deadline = Instant::now() + SOON;
    loop {
        let children = descendants(launcher);
        if children.iter().filter(|&&pid| !is_daemon(pid)).count() >= ranks {
            thread::sleep(Duration::from_millis(50));
            return Ok(descendants(launcher));
        }
        if Instant::now() > deadline {
            return Err("the ranks do not start".to_owned());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The ranks of a daemon.
fn ranks_of(daemon: Pid) -> HashSet<Pid> {
    descendants(daemon).into_iter().filter(|&pid| processes::runs(pid)).collect()
}

fn is_daemon(pid: Pid) -> bool {
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line.split(|&byte| byte == 0).any(|word| word == b"daemon")
}

/// The undisturbed run of a program on one host, made once per protocol and unit.
fn reference(
    program: &'static Program,
    protocol: &'static Protocol,
    unit: FailureUnit,
) -> Result<Arc<Undisturbed>, String> {
    type Key = (&'static str, &'static [&'static str], &'static str, FailureUnit);
    type Made = Arc<OnceLock<Result<Arc<Undisturbed>, String>>>;
    static MADE: Mutex<Option<HashMap<Key, Made>>> = Mutex::new(None);

    let key = (program.name, program.args, protocol.name, unit);
    let made = {
        let mut map = MADE.lock().map_err(|_| "another test panicked")?;
        map.get_or_insert_default().entry(key).or_default().clone()
    };
    made.get_or_init(|| {
        let ended = Job::of(program).under(protocol, unit).run();
        verdict::undisturbed(program, &ended).map(Arc::new).map_err(|failure| told(&failure, &ended))
    })
    .clone()
}

/// A trial whose connections nobody else cuts.
fn trial(name: String, test: impl FnOnce() -> Result<(), String> + Send + 'static) -> Trial {
    Trial::test(name, || {
        let _uncut = CUTTING.read();
        test().map_err(Failed::from)
    })
}

fn told(what: &dyn std::fmt::Display, ended: &Finished) -> String {
    format!(
        "{what}\nafter {:?}, with {:?}: {}\nreport: {:#?}\nstderr:\n{}",
        ended.took,
        ended.code(),
        ended.command_line,
        ended.report.events,
        ended.stderr_tail()
    )
}
