//! How fast the simulator is: simulated events a second on one core, and how many ranks it takes.
//!
//! `cargo bench -p egida-sim` prints a table. An event is one entry of the simulator's agenda: a step of a rank, a write to a
//! disk, a step of a recovery. Nothing is asserted: figures belong to the machine.

use std::path::Path;
use std::time::Duration;

use egida_core::ids::Domains;
use egida_core::setting::Setting;
use egida_sim::job::{Ending, Job};
use egida_sim::program::{Op, Scripts};
use egida_sim::run;
use egida_spec::protocol::{FailureUnit, Protocol};
use rustix::time::{ClockId, clock_gettime};

/// Each round every rank sends to `peers` others and takes as many messages from anyone.
fn exchange(ranks: u32, rounds: u32, peers: u32) -> Scripts {
    let script = |rank: u32| {
        let round = move |_| {
            let posts = (0..peers).map(|_| Op::Post { from: None, tag: 1 });
            let sends = (1..=peers).map(move |step| Op::Send {
                to: (rank + step) % ranks,
                tag: 1,
                len: 64,
                synchronous: false,
            });
            posts.chain(sends).chain([Op::WaitAll])
        };
        (0..rounds).flat_map(round).collect()
    };
    Scripts((0..ranks).map(script).collect())
}

fn measure(name: &str, protocol: &Protocol, ranks: u32, rounds: u32, peers: u32) {
    let model = exchange(ranks, rounds, peers);
    let setting = Setting { domains: Domains::blocks(ranks, 1), unit: FailureUnit::Node, images: true };
    let job = Job {
        traced: false,
        observed: ranks <= 64,
        limit_events: u64::MAX,
        ..Job::new(protocol, setting, &model, 1)
    };
    let begun = processor_time();
    let outcome = run(&job, &egida_modules::registry()).unwrap_or_else(|errors| panic!("{errors:?}"));
    let seconds = (processor_time() - begun).as_secs_f64();
    assert_eq!(outcome.end, Ending::Done, "{name} with {ranks} ranks");
    let messages = u64::from(ranks) * u64::from(rounds) * u64::from(peers);
    println!(
        "{name:<24} {ranks:>6} ranks {messages:>9} messages {:>10} events {seconds:>8.3} s {:>10.0} events/s {:>9.0} messages/s",
        outcome.events,
        outcome.events as f64 / seconds,
        messages as f64 / seconds,
    );
}

/// What this thread has used of a core: other work on the machine does not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

fn main() {
    for name in ["none.egd", "causal.egd", "causal-receive.egd", "pessimistic-receiver.egd", "optimistic.egd"]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs").join(name);
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let protocol =
            egida_spec::load(name, &text).protocol.unwrap_or_else(|| panic!("{name} does not load"));
        measure(name, &protocol, 8, 1000, 4);
        if std::env::var_os("EGIDA_LARGE").is_some() {
            measure(name, &protocol, 1000, 2, 2);
        }
    }
}
