//! Daemons started through a remote shell. A script stands for `ssh`: it has a shell of its own understand the words that it is
//! given, joined, in another directory and without our environment, and knows hosts that cannot be reached.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use egida_e2e::installation::installation;
use egida_e2e::job::{Finished, Job};
use egida_e2e::processes::{descendants, outlive, signal};
use egida_e2e::programs::Program;
use egida_e2e::protocols::{CAUSAL, FailureUnit};
use egida_e2e::verdict::UNRECOVERABLE;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

/// Both are this machine, and neither is called so.
const HOSTS: &str = "127.0.0.2,127.0.0.3";

const SSH: &str = r#"#!/bin/sh
while [ "$1" = -o ]; do shift 2; done
host=$1
shift
case $host in
    *.9) echo "ssh: connect to host $host port 22: No route to host" >&2; exit 255 ;;
esac
cd /
exec 3<&0
env -i PATH=/usr/bin:/bin SSH_CONNECTION="$host" sh -c "$*" <&3 3<&- &
exec <&- 3<&-
trap 'kill $!' TERM
wait $!
"#;

const SOON: Duration = Duration::from_secs(10);

/// A folder in which `ssh` is the script.
fn remote_shell() -> TempDir {
    let folder = TempDir::new().unwrap();
    let ssh = folder.path().join("ssh");
    fs::write(&ssh, SSH).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A job of which the script starts the daemons.
fn on_hosts(program: &Program, hosts: &str, shell: &Path) -> Job {
    let path = std::env::var("PATH").unwrap();
    Job::of(program)
        .under(&CAUSAL, FailureUnit::Process)
        .environment("PATH", format!("{}:{path}", shell.display()))
        .option("--hosts", hosts)
}

fn ended_with(ended: &Finished, code: i32, words: &[&str]) {
    let has_all = words.iter().all(|word| ended.stderr.contains(word));
    assert!(
        ended.code() == Some(code) && has_all,
        "{:?} in {:?}, and wanted {code} and {words:?}: {}\n{}",
        ended.status,
        ended.took,
        ended.command_line,
        ended.stderr
    );
}

#[test]
fn a_job_runs_and_recovers_over_hosts_that_a_remote_shell_reaches() {
    let shell = remote_shell();
    let ring = Program::outside("ring", 4, &["100"]);
    let ended = on_hosts(&ring, HOSTS, shell.path()).kill("1@deliver:50").run();
    ended_with(&ended, 0, &[]);
    assert_eq!(ended.stdout.lines().count(), 4, "{}", ended.stdout);
    assert!(ended.report.replayed(1).is_some());
}

/// A remote shell joins what it is given, and a shell over there takes it apart: the daemon's path has to come through.
#[test]
fn a_path_that_a_shell_would_take_apart_comes_through() {
    let shell = remote_shell();
    let elsewhere = TempDir::new().unwrap();
    let folder = elsewhere.path().join("it's $HOME; a \"place\"");
    fs::create_dir(&folder).unwrap();
    let egida = folder.join("egida");
    fs::copy(&installation().egida, &egida).unwrap();
    let ring = Program::outside("ring", 2, &["10"]);
    ended_with(&on_hosts(&ring, HOSTS, shell.path()).launched_by(&egida).run(), 0, &[]);
    // The same where the user names the command.
    let named = format!("{}/ssh -o BatchMode=yes", shell.path().display());
    let job = Job::of(&ring).under(&CAUSAL, FailureUnit::Process).launched_by(&egida);
    ended_with(&job.option("--hosts", HOSTS).option("--launcher", named).run(), 0, &[]);
}

/// What the program is given does not pass the remote shell: it comes to the ranks as it is, with the launcher's environment and
/// directory.
#[test]
fn arguments_environment_and_directory_come_through() {
    let shell = remote_shell();
    let script = "printf '%s|' \"$WORD\" \"$@\" \"$(pwd)\"; echo";
    let odd = ["a b", "it's", "$HOME", "\"; exit 9", "*", "", "two\nlines"];
    let ring = Program::outside("ring", 2, &[]);
    let job = on_hosts(&ring, HOSTS, shell.path()).executable("/bin/sh".as_ref());
    let job = ["-c", script, "sh"].into_iter().chain(odd).fold(job, Job::arg);
    let ended = job.environment("WORD", "an 'odd' $word").run();
    ended_with(&ended, 0, &[]);
    let here = std::env::current_dir().unwrap();
    let line = format!("an 'odd' $word|{}|{}|", odd.join("|"), here.display());
    assert_eq!(ended.stdout.matches(&line).count(), 2, "{:?}, and wanted twice {line:?}", ended.stdout);
}

#[test]
fn a_host_that_cannot_be_reached_is_named() {
    let shell = remote_shell();
    let ring = Program::outside("ring", 2, &["10"]);
    let ended = on_hosts(&ring, "127.0.0.2,127.0.0.9", shell.path()).run();
    ended_with(&ended, 1, &["host 127.0.0.9", "No route to host", "255"]);
    assert!(ended.took < SOON, "{:?}", ended.took);
    let ended = Job::of(&ring)
        .under(&CAUSAL, FailureUnit::Process)
        .option("--hosts", HOSTS)
        .option("--launcher", "/no/such/shell")
        .run();
    ended_with(&ended, 1, &["/no/such/shell"]);
}

/// Whoever kills the remote shell ends its host.
#[test]
fn the_job_ends_when_the_remote_shell_dies() {
    let shell = remote_shell();
    let endless = Program::outside("ring", 4, &["100000000"]);
    for how in [Signal::KILL, Signal::TERM] {
        let job = on_hosts(&endless, HOSTS, shell.path()).start();
        let began = Instant::now();
        let shells = loop {
            let all = descendants(job.pid());
            let shells: Vec<_> = all.iter().copied().filter(|&pid| is_remote_shell(pid)).collect();
            // Two shells, two daemons, four ranks.
            if shells.len() == 2 && all.len() >= 8 {
                break shells;
            }
            assert!(began.elapsed() < SOON, "{all:?}");
            std::thread::sleep(Duration::from_millis(10));
        };
        let all = descendants(job.pid());
        signal(shells[0], how);
        let ended = job.finish();
        ended_with(&ended, UNRECOVERABLE, &["is lost", "its daemon ended"]);
        let left = outlive(&all, SOON);
        assert!(left.is_empty(), "{left:?} are left");
    }
}

fn is_remote_shell(pid: Pid) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    // The shell reads the script, which it is given as its first argument.
    line.split(|&byte| byte == 0).nth(1).is_some_and(|word| word.ends_with(b"/ssh"))
}
