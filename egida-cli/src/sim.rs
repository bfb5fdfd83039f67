//! `egida sim`: a protocol in the deterministic simulator.
//!
//! What a run is made of is printed first; the same line runs it again, event for event. Exit codes: 0 where the job came to
//! its right end, 1 where it did not, 2 where the specification does not bind or a file cannot be written, 86 where more failed
//! than is tolerated.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use egida_core::ids::Domains;
use egida_core::recovery::End;
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_sim::job::{Ending, Job, Outcome};
use egida_sim::models::{APPS, App, Size};
use egida_sim::oracle::judge;
use egida_sim::schedule::{Faults, Mishap, Schedule};
use egida_spec::declared_unit;
use egida_spec::protocol::FailureUnit;

use crate::language::FailureUnitArg;
use crate::specification::{Refusal, Specification, style_of_stderr};

const WRONG: u8 = 1;
const REFUSED: u8 = 2;
const UNRECOVERABLE: u8 = 86;

/// Run an application under a protocol in the deterministic simulator.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  egida sim specs/causal.egd --ranks 5 --app workers --seed 7 --crash 2@deliver:40
  egida sim specs/optimistic.egd --app random --crash 1@send:9 --trace run.txt
  egida sim specs/causal.egd --random-faults --seed 3

What goes wrong (--crash, several times or separated by commas):
  2@send:3              rank 2 dies at its third send
  2.2@deliver:1         the second life of rank 2 dies at its first delivery
  1@point:match:4       rank 1 dies when it passes the failpoint `match` for the fourth time
  0+1@time:900          ranks 0 and 1 die at time 900, whatever they do or wait for
  1@recovery:collect:2  rank 1 dies when determinants are collected for the second time
  cut:1+2@100..900      nodes 1 and 2 are cut off from the others from time 100 to time 900
  suspect:1@300         node 1 is declared dead at time 300, and lives on
  full:2@4096           the disk of rank 2 takes 4096 bytes of log")]
pub struct SimArgs {
    /// The specification, or a program that was linked with one
    #[arg(value_name = "SPEC", required_unless_present = "list_apps")]
    pub spec: Option<PathBuf>,
    /// How many ranks
    #[arg(short = 'n', long, value_name = "RANKS", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=4096))]
    pub ranks: u32,
    /// What they do; `--list-apps` tells
    #[arg(long, value_name = "APP", default_value = "workers")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(APPS.iter().map(|app| app.name)))]
    pub app: String,
    /// How often each rank does its part
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub rounds: u32,
    /// Bytes of each message
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(8..))]
    pub bytes: u32,
    /// Decides every delay and every choice [default: another one each time; it is printed]
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// What goes wrong, and when
    #[arg(long, value_name = "FAULT", value_delimiter = ',')]
    pub crash: Vec<Mishap>,
    /// Draw what goes wrong from the seed, beside what `--crash` says
    #[arg(long)]
    pub random_faults: bool,
    /// What fails as one [default: what the specification declares, else `node`]
    #[arg(long, value_enum, value_name = "UNIT")]
    pub failure_unit: Option<FailureUnitArg>,
    /// How many ranks share a node
    #[arg(long, value_name = "K", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub ranks_per_node: u32,
    /// Write a line for each event of note into this file; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Do not show what the application writes
    #[arg(short, long)]
    pub quiet: bool,
    /// List the applications, and do nothing else
    #[arg(long)]
    pub list_apps: bool,
}

/// `egida sim SPEC`
#[must_use]
pub fn sim(args: &SimArgs, registry: &Registry) -> ExitCode {
    if args.list_apps {
        for app in APPS {
            println!("{:<8} {}", app.name, app.about);
        }
        return ExitCode::SUCCESS;
    }
    match simulate(args, registry) {
        Ok(code) => ExitCode::from(code),
        Err(SimError::Refused(refusal)) => {
            eprint!("{}", refusal.report(style_of_stderr()));
            ExitCode::from(REFUSED)
        }
        Err(SimError::Io(what, error)) => {
            eprintln!("egida: cannot write {what}: {error}");
            ExitCode::from(REFUSED)
        }
    }
}

enum SimError {
    Refused(Box<Refusal>),
    Io(String, io::Error),
}

impl From<Refusal> for SimError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

fn simulate(args: &SimArgs, registry: &Registry) -> Result<u8, SimError> {
    let Some(path) = &args.spec else { return Ok(REFUSED) };
    let specification = Specification::read(path, &registry.vocabulary)?;
    let unit = args.failure_unit.map_or_else(|| declared_unit(&specification.protocol), FailureUnit::from);
    let per_domain = if unit == FailureUnit::Node { args.ranks_per_node } else { 1 };
    let setting = Setting { domains: Domains::blocks(args.ranks, per_domain), unit };
    let seed = args.seed.unwrap_or_else(another_seed);
    let faults = Faults::default();
    let mut mishaps = args.crash.clone();
    if args.random_faults {
        mishaps.extend(faults.draw(seed, &setting.domains).0);
    }
    let schedule = Schedule(mishaps);
    let size = Size { ranks: args.ranks, rounds: args.rounds, bytes: args.bytes as usize };
    let Some(app) = App::named(&args.app) else { return Ok(REFUSED) };
    let model = app.scripts(size);
    let mut job = Job::new(&specification.protocol, setting, &model, seed).with(schedule.clone());
    job.faults = faults;
    job.traced = args.trace.is_some();

    let shown = |what: &'static str| move |error| SimError::Io(what.to_owned(), error);
    let mut out = io::stdout().lock();
    let written = writeln!(
        out,
        "{} on {} ranks, application {} of {} rounds, failure unit {unit}\nseed {seed}; {}\nschedule: {}",
        specification.name,
        args.ranks,
        app.name,
        args.rounds,
        job.faults,
        if schedule.0.is_empty() { "nothing goes wrong".to_owned() } else { schedule.to_string() },
    );
    written.map_err(shown("standard output"))?;
    let outcome = match egida_sim::run(&job, registry) {
        Ok(outcome) => outcome,
        Err(errors) => return Err(specification.refused(errors).into()),
    };
    if let Some(path) = &args.trace {
        let text: String = outcome.trace.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let name = path.display().to_string();
        let result = if name == "-" { out.write_all(text.as_bytes()) } else { std::fs::write(path, text) };
        result.map_err(|error| SimError::Io(name, error))?;
    }
    if !args.quiet {
        show_output(&mut out, &outcome).map_err(shown("standard output"))?;
    }
    summarize(&mut out, &outcome).map_err(shown("standard output"))
}

fn another_seed() -> u64 {
    // Any number will do, as long as it is printed.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64 % 1_000_000_007)
}

fn show_output(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    for (rank, released) in outcome.released.iter().enumerate() {
        for line in String::from_utf8_lossy(released).lines() {
            writeln!(out, "[{rank}] {line}")?;
        }
    }
    Ok(())
}

/// Says how it went, in numbers and in a word; returns the exit code.
fn summarize(out: &mut impl Write, outcome: &Outcome) -> io::Result<u8> {
    let count = |transfers: &[egida_sim::observer::Transfers]| -> usize {
        transfers.iter().flat_map(|of_one| of_one.values()).map(Vec::len).sum()
    };
    let ends: Vec<String> = outcome
        .deaths
        .iter()
        .enumerate()
        .filter(|(_, deaths)| **deaths > 0)
        .map(|(rank, deaths)| format!("rank {rank}: {deaths}"))
        .collect();
    writeln!(out, "events               {}", outcome.events)?;
    writeln!(
        out,
        "messages             {} sent, {} received, in the last lives",
        count(&outcome.sent),
        count(&outcome.received)
    )?;
    writeln!(
        out,
        "lives that ended     {}",
        if ends.is_empty() { "none".to_owned() } else { ends.join(", ") }
    )?;
    let bytes: usize = outcome.released.iter().map(Vec::len).sum();
    writeln!(out, "output               {bytes} bytes, each once")?;
    if let Ending::Ended(End::Unrecoverable(why)) = &outcome.end {
        writeln!(out, "unrecoverable: {why}")?;
        return Ok(UNRECOVERABLE);
    }
    match judge(outcome) {
        None => {
            writeln!(out, "right: every message was received once, and the world saw what was written")?;
            Ok(0)
        }
        Some(wrong) => {
            writeln!(out, "wrong: {wrong}")?;
            Ok(WRONG)
        }
    }
}
