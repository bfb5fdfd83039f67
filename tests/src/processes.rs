//! What is left of a job, as `/proc` tells it.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// All children of a process, their children, and so on.
pub fn descendants(of: Pid) -> HashSet<Pid> {
    let parents: Vec<(Pid, Pid)> = all().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = HashSet::from([of]);
    loop {
        let more: Vec<Pid> = parents
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            found.remove(&of);
            return found;
        }
        found.extend(more);
    }
}

/// Whether a process runs; a zombie does not.
pub fn runs(pid: Pid) -> bool {
    status(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// Waits until none of the processes runs and returns those that still do.
pub fn outlive(pids: &HashSet<Pid>, patience: Duration) -> HashSet<Pid> {
    let deadline = Instant::now() + patience;
    loop {
        let left: HashSet<Pid> = pids.iter().copied().filter(|&pid| runs(pid)).collect();
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The named shared memory that a process has mapped or open. Memory without a
/// name ends with its last process.
pub fn named_shared_memory(pid: Pid) -> BTreeSet<PathBuf> {
    let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let maps = fs::read_to_string(proc.join("maps")).unwrap_or_default();
    let mapped = maps.lines().filter_map(|line| line.find("/dev/shm/").map(|at| PathBuf::from(&line[at..])));
    let open = fs::read_dir(proc.join("fd")).into_iter().flatten().flatten();
    let open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    mapped.chain(open.filter(|path| path.starts_with("/dev/shm"))).collect()
}

/// Sends a signal; a process that is gone already is no error.
pub fn signal(pid: Pid, signal: Signal) {
    // The only other failure is a lack of permission, which shows in the test.
    let _ = rustix::process::kill_process(pid, signal);
}

fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn parent(pid: Pid) -> Option<Pid> {
    status(pid).and_then(|(_, parent)| Pid::from_raw(parent))
}

/// State and parent from `/proc/PID/stat`; the name before them is in parentheses
/// and may hold anything.
fn status(pid: Pid) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_found_until_it_has_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let me = rustix::process::getpid();
        assert!(descendants(me).contains(&pid));
        assert!(runs(pid));
        child.kill().unwrap();
        assert_eq!(outlive(&HashSet::from([pid]), Duration::from_secs(5)), HashSet::new());
        child.wait().unwrap();
    }
}
