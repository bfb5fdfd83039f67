//! A rank program of one's own, killed at its every message under a protocol of one's choice.
//!
//! `cargo run -p egida-sim --example own_program -- specs/causal.egd`

use std::error::Error;

use egida_core::ids::Domains;
use egida_core::setting::Setting;
use egida_sim::asynchronous::{Async, Comm};
use egida_sim::job::Job;
use egida_sim::oracle::judge;
use egida_sim::schedule::Schedule;
use egida_spec::protocol::FailureUnit;

const RANKS: u32 = 4;

/// Each rank draws a number; rank 0 takes them as they come and says which was first and what the largest is.
async fn election(comm: Comm) {
    let number = comm.read().await;
    if comm.rank() > 0 {
        comm.send(0, 0, number).await;
        return;
    }
    let first = comm.receive(None, None).await;
    let mut largest = number.max(first.payload);
    for _ in 2..comm.size() {
        largest = largest.max(comm.receive(None, None).await.payload);
    }
    comm.write(format!("rank {} was first, {largest:?} is the largest\n", first.source));
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: own_program SPECIFICATION")?;
    let text = std::fs::read_to_string(&path)?;
    let loaded = egida_spec::load(&path, &text);
    let protocol = loaded.protocol.ok_or("the specification is not understood; try `egida check`")?;
    let model = Async(election);
    for victim in 0..RANKS {
        for time in [0, 20, 40, 60, 80, 100, 150, 200] {
            let setting =
                Setting { domains: Domains::blocks(RANKS, 1), unit: FailureUnit::Node, images: true };
            let schedule: Schedule = format!("{victim}@time:{time}").parse()?;
            let job = Job::new(&protocol, setting, &model, 7).with(schedule);
            let outcome = egida_sim::run(&job, &egida_modules::registry())
                .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
            let verdict =
                judge(&outcome).map_or_else(|| "right".to_owned(), |wrong| format!("wrong: {wrong}"));
            print!(
                "rank {victim} dies at {time}: {verdict}: {}",
                String::from_utf8_lossy(&outcome.released[0])
            );
        }
    }
    Ok(())
}
