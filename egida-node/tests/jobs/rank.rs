//! A rank: the engine over shared memory, with a small program on top, in place of an MPI library.

use std::io::Write;
use std::process::ExitCode;

use egida_core::api::{Api, Pattern};
use egida_core::binder::bind;
use egida_core::crash::Failpoint;
use egida_core::engine::{Engine, OnDivergence};
use egida_core::fault::Fault;
use egida_core::ids::Rank;
use egida_core::recovery::RecoveryImage;
use egida_core::setting::Setting;
use egida_core::wire::{Envelope, SendMode};
use egida_shm::{RankState, ShmDriver};
use egida_spec::protocol::FailureUnit;

const WORLD: u32 = 0;

pub fn main() -> ExitCode {
    match attach().and_then(|mut process| process.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault @ Fault::Divergence { .. }) => {
            eprintln!("{fault}");
            ExitCode::from(87)
        }
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

struct Process {
    engine: Engine<ShmDriver>,
}

fn attach() -> Result<Process, Fault> {
    let attached = ShmDriver::attach_from_env().expect("a rank")?;
    let unit = if attached.failure_unit_is_node { FailureUnit::Node } else { FailureUnit::Process };
    let registry = egida_modules::registry();
    let loaded = egida_spec::load_with("test.egd", &attached.specification, &registry.vocabulary);
    let setting = Setting { domains: attached.domains.clone(), unit, images: false };
    let protocol = loaded.protocol.expect("the launcher has read it");
    let bound = bind(&protocol, &registry, &setting, attached.rank)
        .unwrap_or_else(|_| panic!("the launcher bound it"));
    let image = match attached.recovery.is_empty() {
        true => None,
        false => Some(RecoveryImage::from_bytes(&attached.recovery).map_err(Fault::Driver)?),
    };
    let on_divergence = match std::env::var("EGIDA_ON_DIVERGENCE").as_deref() {
        Ok("warn") => OnDivergence::Warn,
        _ => OnDivergence::Stop,
    };
    let (rank, domains) = (attached.rank, attached.domains);
    let engine = Engine::new(rank, domains, attached.driver, bound.stack, image, on_divergence)?;
    Ok(Process { engine })
}

impl Process {
    fn run(&mut self) -> Result<(), Fault> {
        self.engine.driver().set_state(RankState::Initialized);
        let args: Vec<String> = std::env::args().skip(1).collect();
        let rounds: u64 = args.get(1).map_or(Ok(20), |rounds| rounds.parse()).expect("a number");
        match args.first().map(String::as_str) {
            Some("ring") => self.ring(rounds)?,
            Some("gather") => self.gather(rounds)?,
            Some("crash") => {
                self.ring(rounds)?;
                std::process::abort();
            }
            Some("unseen") => self.unseen(rounds)?,
            Some("leave") => std::process::exit(17),
            other => panic!("no program {other:?}"),
        }
        for warning in self.engine.take_warnings() {
            notice(&format!("divergence: {warning}"));
        }
        notice("a warning");
        self.engine.failpoint(Failpoint::FinalizeEnter)?;
        self.engine.finished();
        self.engine.failpoint(Failpoint::FinalizeExit)?;
        self.engine.driver().set_state(RankState::Finalized);
        Ok(())
    }

    /// A token goes round; every rank prints every state that it sees.
    fn ring(&mut self, rounds: u64) -> Result<(), Fault> {
        let (rank, size) = (self.engine.rank(), self.engine.size());
        let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size);
        let mut state = u64::from(rank);
        for round in 0..rounds {
            self.send(next, state)?;
            let (_, word) = self.receive(Some(previous))?;
            state = mix(state ^ word);
            println!("{rank}: round {round} {state:016x}");
        }
        Ok(())
    }

    /// Rank 0 takes words from whoever comes first and tells each which place it got: an order that nobody may contradict.
    fn gather(&mut self, rounds: u64) -> Result<(), Fault> {
        let (rank, size) = (self.engine.rank(), self.engine.size());
        if rank > 0 {
            for round in 0..rounds {
                self.send(0, mix(round ^ u64::from(rank)))?;
                let (_, place) = self.receive(Some(0))?;
                println!("{rank}: place {place}");
            }
            return Ok(());
        }
        for place in 0..rounds * u64::from(size - 1) {
            let (source, _) = self.receive(None)?;
            println!("0: {source} got {place}");
            self.send(source, place)?;
        }
        Ok(())
    }

    /// Sends what no library can see: a re-execution sends something else.
    fn unseen(&mut self, rounds: u64) -> Result<(), Fault> {
        let (rank, size) = (self.engine.rank(), self.engine.size());
        for _ in 0..rounds {
            let unseen =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
            self.send((rank + 1) % size, mix(unseen.as_nanos() as u64))?;
            self.receive(Some((rank + size - 1) % size))?;
        }
        Ok(())
    }

    fn send(&mut self, dest: Rank, word: u64) -> Result<(), Fault> {
        let envelope = Envelope { context: WORLD, tag: 0 };
        self.engine.send(dest, envelope, SendMode::Standard, &word.to_le_bytes()).map(drop)
    }

    fn receive(&mut self, source: Option<Rank>) -> Result<(Rank, u64), Fault> {
        let id = self.engine.post(Pattern { source, context: WORLD, tag: Some(0) })?;
        let mut word = Vec::new();
        loop {
            if self.engine.matched(id).is_some() {
                while word.len() < 8 {
                    let Some(piece) = self.engine.piece(id)? else { break };
                    word.extend_from_slice(piece);
                }
                if word.len() == 8 && self.engine.deliverable(id) {
                    break;
                }
            }
            if !self.engine.progress()? {
                self.engine.driver().park(ShmDriver::news);
            }
        }
        let source = self.engine.matched(id).map_or(0, |matched| matched.source);
        self.engine.finish(id)?;
        Ok((source, u64::from_le_bytes(word.try_into().expect("eight bytes"))))
    }
}

/// Tells the node.
fn notice(line: &str) {
    let fd = std::env::var(egida_node::process::ENV_NOTICE_FD).expect("a descriptor");
    let path = format!("/proc/self/fd/{fd}");
    let mut pipe = std::fs::OpenOptions::new().append(true).open(path).expect("a pipe");
    writeln!(pipe, "{line}").expect("the node listens");
}

fn mix(word: u64) -> u64 {
    (word ^ (word >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17)
}
