//! Ready-made applications to simulate, for any number of ranks.

use egida_core::ids::Rank;

use crate::application::{Model, digest, mix};
use crate::asynchronous::{Async, Comm};
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

/// What all runs of an application have in common, whatever their timing and whatever goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Result {
    /// Every state and every output.
    Everything,
    /// The output.
    Output,
    /// Neither.
    Nothing,
}

/// An application by name.
#[derive(Debug, Clone, Copy)]
pub struct App {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What is the same in all of its runs.
    pub same: Result,
    make: Make,
}

/// How it is written.
#[derive(Debug, Clone, Copy)]
enum Make {
    Script(fn(Size, Rank) -> Vec<Op>),
    Workers,
}

/// All of them.
pub const APPS: &[App] = &[
    App {
        name: "ring",
        about: "each rank passes a message on around the ring; every receive names its source",
        same: Result::Everything,
        make: Make::Script(ring),
    },
    App {
        name: "random",
        about: "each round a random graph of messages, each received from anyone",
        same: Result::Nothing,
        make: Make::Script(random),
    },
    App {
        name: "workers",
        about: "rank 0 takes results from anyone, hands out the next task to whoever is free, and writes the sum",
        same: Result::Output,
        make: Make::Workers,
    },
    App {
        name: "clients",
        about: "rank 0 serves requests in the order in which they come, reads a clock for each, and writes what it did",
        same: Result::Nothing,
        make: Make::Script(clients),
    },
    App {
        name: "phases",
        about: "each phase everyone sends to everyone and waits for all",
        same: Result::Everything,
        make: Make::Script(phases),
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

    /// Its ranks.
    #[must_use]
    pub fn model(&self, size: Size) -> Box<dyn Model> {
        let size = Size { ranks: size.ranks.max(2), bytes: size.bytes.max(8), ..size };
        match self.make {
            Make::Script(script) => {
                Box::new(Scripts((0..size.ranks).map(|rank| script(size, rank)).collect()))
            }
            Make::Workers => Box::new(Async(move |comm: Comm| async move {
                match comm.rank() {
                    0 => master(comm, size).await,
                    _ => worker(comm, size).await,
                }
            })),
        }
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

/// Hands out a task for each worker and round, one at a time to each. What is left of the tasks is told to nobody.
async fn master(comm: Comm, size: Size) {
    let mut tasks = 0..u64::from(size.rounds) * u64::from(size.ranks - 1);
    for worker in 1..size.ranks {
        hand_out(&comm, size, worker, tasks.next()).await;
    }
    let mut sum = 0_u64;
    for _ in 0..u64::from(size.rounds) * u64::from(size.ranks - 1) {
        let result = comm.receive(None, Some(ASK)).await;
        sum = sum.wrapping_add(digest(&result.payload));
        hand_out(&comm, size, result.source, tasks.next()).await;
    }
    comm.write(format!("{sum:016x}\n"));
}

/// A task is a message of its number, filled up; the end is an empty one.
async fn hand_out(comm: &Comm, size: Size, worker: Rank, task: Option<u64>) {
    let payload = task.map_or_else(Vec::new, |task| {
        (0..).flat_map(|word| mix(task, word).to_le_bytes()).take(size.bytes).collect()
    });
    comm.send(worker, TELL, payload).await;
}

async fn worker(comm: Comm, size: Size) {
    loop {
        let task = comm.receive(Some(0), Some(TELL)).await.payload;
        if task.is_empty() {
            return;
        }
        let result = digest(&task);
        let payload = (0..).flat_map(|word| mix(result, word).to_le_bytes()).take(size.bytes).collect();
        comm.send(0, ASK, payload).await;
    }
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
    use crate::job::{Job, Outcome};
    use crate::oracle::judge;
    use crate::schedule::Schedule;

    fn outcome(app: &App, size: Size, schedule: &str, seed: u64) -> Outcome {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/causal.egd");
        let text = std::fs::read_to_string(path).unwrap();
        let protocol = egida_spec::load("causal.egd", &text).protocol.unwrap();
        let setting =
            Setting { domains: Domains::blocks(size.ranks, 1), unit: FailureUnit::Node, images: true };
        let model = app.model(size);
        let schedule: Schedule = schedule.parse().unwrap();
        let job = Job::new(&protocol, setting, &*model, seed).with(schedule);
        let outcome = crate::run(&job, &egida_modules::registry()).unwrap();
        assert_eq!(judge(&outcome), None, "{}: {:#?}", app.name, outcome.trace);
        outcome
    }

    #[test]
    fn every_application_comes_to_its_end_with_a_death_and_without() {
        for app in APPS {
            for ranks in [2, 3, 7] {
                let size = Size { ranks, rounds: 4, bytes: 16 };
                outcome(app, size, "", 1);
                let disturbed = outcome(app, size, "1@send:2", 2);
                assert_eq!(disturbed.deaths[1], 1, "{}", app.name);
            }
        }
    }

    #[test]
    fn what_is_the_same_in_every_run_is_and_the_rest_is_not() {
        for app in APPS {
            let size = Size { ranks: 5, rounds: 6, bytes: 16 };
            let runs: Vec<_> = (0..6).map(|seed| outcome(app, size, "1@deliver:3", seed)).collect();
            let states = runs.iter().all(|run| run.states == runs[0].states);
            let output = runs.iter().all(|run| run.released == runs[0].released);
            let same = match (states, output) {
                (true, true) => Result::Everything,
                (false, true) => Result::Output,
                _ => Result::Nothing,
            };
            assert_eq!(same, app.same, "{}", app.name);
        }
    }
}
