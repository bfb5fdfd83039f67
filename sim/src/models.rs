//! Ready-made applications to simulate, as scripts for any number of ranks.

use egida_core::ids::Rank;

use crate::application::mix;
use crate::program::{Op, Scripts};

/// How large an application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How many ranks it has, at least 2.
    pub ranks: u32,
    /// How often each does its part.
    pub rounds: u32,
    /// Bytes of a message, at least 8.
    pub bytes: usize,
}

/// An application by name.
#[derive(Debug, Clone, Copy)]
pub struct App {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    script: fn(Size, Rank) -> Vec<Op>,
}

/// All of them.
pub const APPS: &[App] = &[
    App {
        name: "ring",
        about: "each rank passes a message on around the ring; every receive names its source, so that all runs are the same",
        script: ring,
    },
    App {
        name: "random",
        about: "each round a random graph of messages, each received from anyone",
        script: random,
    },
    App {
        name: "workers",
        about: "rank 0 takes results from anyone, one at a time, and tells all workers what it has seen so far",
        script: workers,
    },
    App {
        name: "clients",
        about: "rank 0 serves requests in the order in which they come, reads a clock for each, and writes what it did",
        script: clients,
    },
    App {
        name: "phases",
        about: "each phase everyone sends to everyone and waits for all; all runs are the same",
        script: phases,
    },
];

const ASK: i32 = 1;
const TELL: i32 = 2;

impl App {
    /// The application of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        APPS.iter().find(|app| app.name == name)
    }

    /// The scripts of its ranks.
    #[must_use]
    pub fn scripts(&self, size: Size) -> Scripts {
        let size = Size { ranks: size.ranks.max(2), bytes: size.bytes.max(8), ..size };
        Scripts((0..size.ranks).map(|rank| (self.script)(size, rank)).collect())
    }
}

fn send(size: Size, to: Rank, tag: i32) -> Op {
    Op::Send { to, tag, len: size.bytes, synchronous: false }
}

/// The rounds one after another, and a line in the end.
fn rounds(size: Size, round: impl Fn(u32) -> Vec<Op>) -> Vec<Op> {
    (0..size.rounds).flat_map(round).chain([Op::Output]).collect()
}

fn ring(size: Size, rank: Rank) -> Vec<Op> {
    let before = (rank + size.ranks - 1) % size.ranks;
    rounds(size, |_| {
        let pass = send(size, (rank + 1) % size.ranks, TELL);
        vec![Op::Post { from: Some(before), tag: TELL }, pass, Op::WaitAll]
    })
}

fn random(size: Size, rank: Rank) -> Vec<Op> {
    // Who sends to whom is known to all, so that everyone posts what it will get.
    let to = |round: u32, from: Rank| {
        let other = mix(mix(u64::from(round) + 1, u64::from(from)), 7) % u64::from(size.ranks - 1);
        (from + 1 + other as Rank) % size.ranks
    };
    rounds(size, |round| {
        let mut part: Vec<Op> = (0..size.ranks)
            .filter(|&from| to(round, from) == rank)
            .map(|_| Op::Post { from: None, tag: ASK })
            .collect();
        let incoming = part.len();
        part.push(send(size, to(round, rank), ASK));
        part.extend((0..incoming).map(|_| Op::WaitAny));
        part
    })
}

fn workers(size: Size, rank: Rank) -> Vec<Op> {
    rounds(size, |_| match rank {
        0 => (1..size.ranks)
            .flat_map(|_| {
                let tell = (1..size.ranks).map(|worker| send(size, worker, TELL));
                [Op::Post { from: None, tag: ASK }, Op::WaitAny].into_iter().chain(tell)
            })
            .collect(),
        _ => {
            let told = (1..size.ranks).flat_map(|_| [Op::Post { from: Some(0), tag: TELL }, Op::WaitFirst]);
            [send(size, 0, ASK)].into_iter().chain(told).collect()
        }
    })
}

fn clients(size: Size, rank: Rank) -> Vec<Op> {
    rounds(size, |_| match rank {
        0 => (1..size.ranks)
            .flat_map(|_| [Op::Post { from: None, tag: ASK }, Op::WaitAny, Op::Read])
            .chain((1..size.ranks).map(|client| send(size, client, TELL)))
            .chain([Op::Output])
            .collect(),
        _ => vec![Op::Read, send(size, 0, ASK), Op::Post { from: Some(0), tag: TELL }, Op::WaitFirst],
    })
}

fn phases(size: Size, rank: Rank) -> Vec<Op> {
    let others = || (0..size.ranks).filter(move |&other| other != rank);
    rounds(size, |_| {
        let posts = others().map(|other| Op::Post { from: Some(other), tag: TELL });
        posts.chain(others().map(|other| send(size, other, TELL))).chain([Op::WaitAll]).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use egida_core::ids::Domains;
    use egida_core::setting::Setting;
    use egida_spec::protocol::FailureUnit;

    use super::*;
    use crate::job::Job;
    use crate::oracle::judge;
    use crate::schedule::Schedule;

    fn states(app: &App, size: Size, schedule: &str, seed: u64) -> Vec<u64> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/causal.egd");
        let text = std::fs::read_to_string(path).unwrap();
        let protocol = egida_spec::load("causal.egd", &text).protocol.unwrap();
        let setting = Setting { domains: Domains::blocks(size.ranks, 1), unit: FailureUnit::Node };
        let model = app.scripts(size);
        let schedule: Schedule = schedule.parse().unwrap();
        let job = Job::new(&protocol, setting, &model, seed).with(schedule);
        let outcome = crate::run(&job, &egida_modules::registry()).unwrap();
        assert_eq!(judge(&outcome), None, "{}: {:#?}", app.name, outcome.trace);
        outcome.states
    }

    #[test]
    fn every_application_comes_to_its_end_with_a_death_and_without() {
        for app in APPS {
            for ranks in [2, 3, 7] {
                let size = Size { ranks, rounds: 4, bytes: 16 };
                states(app, size, "", 1);
                states(app, size, "1@send:2", 2);
            }
        }
    }

    #[test]
    fn those_that_are_the_same_in_every_run_are_and_the_others_are_not() {
        for app in APPS {
            let size = Size { ranks: 5, rounds: 6, bytes: 16 };
            let runs: Vec<_> = (0..6).map(|seed| states(app, size, "", seed)).collect();
            let same = runs.iter().all(|states| *states == runs[0]);
            assert_eq!(same, app.about.contains("all runs are the same"), "{}", app.name);
        }
    }
}
