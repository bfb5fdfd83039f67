//! `egida sim`: a protocol in the deterministic simulator.
//!
//! ```text
//!   mod.rs     the options; one run, and what is said of it
//!   plan.rs    what the options come to: a job
//!   teller.rs  what is told while it runs: files of the trace, output, news
//!   table.rs   the costs of many protocols, side by side
//! ```
//!
//! What a run is made of is said first; the same line runs it again, event for event. Exit codes: 0 where the job came to
//! its right end, 1 where it did not, 2 where the specification does not bind or a file cannot be written, 86 where more failed
//! than is tolerated.

mod plan;
mod table;
mod teller;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use egida_core::recovery::End;
use egida_core::registry::Registry;
use egida_core::trace::{Header, Summary};
use egida_sim::job::Ending;
use egida_sim::models::APPS;
use egida_sim::schedule::Mishap;
use serde::Serialize;

use crate::language::FailureUnitArg;
use crate::specification::{Refusal, Specification, style_of_stderr};
use plan::Plan;
use teller::Teller;

const WRONG: u8 = 1;
const REFUSED: u8 = 2;
const UNRECOVERABLE: u8 = 86;

/// Run an application under a protocol in the deterministic simulator
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  egida sim specs/causal.egd --ranks 5 --app workers --seed 7 --crash 2@deliver:40
  egida sim specs/optimistic.egd --app random --crash 1@send:9 --trace run.jsonl --news
  egida sim specs/causal.egd --random-faults --seed 3
  egida sim --table specs/*.egd --app random --seed 7

What goes wrong (--crash, several times or separated by commas):
  2@send:3              rank 2 dies at its third send
  2.2@deliver:1         the second life of rank 2 dies at its first delivery
  1@point:match:4       rank 1 dies when it passes the failpoint `match` for the fourth time
  0+1@time:900          ranks 0 and 1 die at time 900, whatever they do or wait for
  1@recovery:collect:2  rank 1 dies when determinants are collected for the second time
  cut:1+2@100..900      nodes 1 and 2 are cut off from the others from time 100 to time 900
  suspect:1@300         node 1 is declared dead at time 300, and lives on
  0+1@after:copied.2:3  ranks 0 and 1 die right after rank 2's third event of that kind (the kinds of a trace: docs/trace.md)
  late:1>2#3@5000       message 3 from rank 1 to rank 2 takes that long
  news:2@5000           what recovery tells rank 2 takes that long
  full:2@4096           the disk of rank 2 takes 4096 bytes of log")]
pub struct SimArgs {
    /// The specification, or a program that was linked with one; several with `--table`
    #[arg(value_name = "SPEC", required_unless_present = "list_apps")]
    pub specs: Vec<PathBuf>,
    /// How many ranks
    #[arg(short = 'n', long, value_name = "RANKS", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=4096))]
    pub ranks: u32,
    /// What they do; `--list-apps` tells
    #[arg(long, value_name = "APP", default_value = "workers")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(APPS.iter().map(|app| app.name)))]
    pub app: String,
    /// How often each rank does its part
    #[arg(long, value_name = "N", default_value_t = 50)]
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
    /// What a message takes at most; a rank takes 20 between two steps
    #[arg(long, value_name = "TIME", help_heading = "The simulated world")]
    pub network_delay: Option<u64>,
    /// What a disk takes at most
    #[arg(long, value_name = "TIME", help_heading = "The simulated world")]
    pub disk_delay: Option<u64>,
    /// What a message between a node and whoever coordinates recovery takes at most
    #[arg(long, value_name = "TIME", help_heading = "The simulated world")]
    pub control_delay: Option<u64>,
    /// The time between two checkpoints of a rank, about, in place of the specification's: simulated runs are short
    #[arg(long, value_name = "TIME", default_value_t = 2_000, help_heading = "The simulated world")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub checkpoint_every: u64,
    /// A run of more events than this is taken to go on without end
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000, help_heading = "The simulated world")]
    pub limit_events: u64,
    /// Write every event as a line of JSON into this file; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write every event in the format that ShiViz draws; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub shiviz: Option<PathBuf>,
    /// Show failures and recovery as they happen
    #[arg(long)]
    pub news: bool,
    /// Do not show what the application writes
    #[arg(short, long)]
    pub quiet: bool,
    /// Print the summary, or the table, as JSON and nothing else on standard output
    #[arg(long)]
    pub json: bool,
    /// Compare the costs of all specifications that are named, on the same application and seed: each once while nothing
    /// fails and once with `--crash` [default: rank 1 dies when half of its messages are delivered]
    #[arg(long, conflicts_with_all = ["trace", "shiviz", "news", "random_faults"])]
    pub table: bool,
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
    let done = match args.specs.as_slice() {
        _ if args.table => table::table(args, registry),
        [spec] => one(args, spec, registry),
        _ => Err(SimError::Several),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(SimError::Refused(refusal)) => {
            eprint!("{}", refusal.report(style_of_stderr()));
            ExitCode::from(REFUSED)
        }
        Err(SimError::Several) => {
            eprintln!("egida: several specifications are compared by `--table`; without it, name one");
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
    Several,
    Io(String, io::Error),
}

impl From<Refusal> for SimError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// Runs one job, and says how it went.
fn one(args: &SimArgs, spec: &Path, registry: &Registry) -> Result<u8, SimError> {
    let specification = Specification::read(spec, &registry.vocabulary)?;
    let plan = Plan::new(args);
    let schedule = plan.schedule(args, &specification);
    let setting = plan.setting(args, &specification);
    let unit = setting.unit;
    let shown = if schedule.0.is_empty() { "nothing goes wrong".to_owned() } else { schedule.to_string() };
    let mut say = Say::new(args);
    say.text(&format!(
        "{} on {} ranks, application {} of {} rounds, failure unit {unit}\nseed {}; {}\nschedule: {shown}\n",
        specification.name, args.ranks, plan.app.name, args.rounds, plan.seed, plan.faults,
    ))?;
    let mut header = Header::new(&specification.name, args.ranks);
    header.seed = Some(plan.seed);
    header.options = plan.options(args, &specification, unit, &schedule);
    let mut teller = Teller::new(args, &header, &schedule)?;
    let job = plan.job(&specification, setting, schedule);
    let outcome = match egida_sim::run_traced(&job, registry, &mut |line| teller.tell(line)) {
        Ok(outcome) => outcome,
        Err(errors) => return Err(specification.refused(errors).into()),
    };
    let (summary, missed) = teller.finish()?;
    for crash in missed {
        eprintln!("egida: {crash} did not happen: the run did not come there");
    }
    let (verdict, code) = match &outcome.end {
        end @ Ending::Ended(End::Unrecoverable(_)) => (end.to_string(), UNRECOVERABLE),
        end @ Ending::Ended(End::Died { .. }) => (end.to_string(), WRONG),
        _ => match plan.judge(&specification, &outcome, registry) {
            None => (RIGHT.to_owned(), 0),
            Some(wrong) => (format!("wrong: {wrong}"), WRONG),
        },
    };
    if args.json {
        say_json(&Report { header, events: outcome.events, verdict, code, summary })?;
    } else {
        say.text(&format!("events                   {}\n{summary}{verdict}\n", outcome.events))?;
    }
    Ok(code)
}

const RIGHT: &str = "right: every message was received once, and the world saw what was written";

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    header: Header,
    /// Steps of the simulation.
    events: u64,
    /// How it went, in a sentence.
    verdict: String,
    /// The exit code.
    code: u8,
    summary: Summary,
}

/// Where people read: standard output, unless it is wanted for a file's worth of data.
struct Say(Box<dyn Write>);

impl Say {
    fn new(args: &SimArgs) -> Self {
        let is_stdout = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
        if args.json || is_stdout(&args.trace) || is_stdout(&args.shiviz) {
            Self(Box::new(io::stderr()))
        } else {
            Self(Box::new(io::stdout()))
        }
    }

    fn text(&mut self, text: &str) -> Result<(), SimError> {
        self.0.write_all(text.as_bytes()).and_then(|()| self.0.flush()).map_err(of_stdout)
    }
}

fn say_json(value: &impl Serialize) -> Result<(), SimError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| of_stdout(error.into()))?;
    writeln!(io::stdout(), "{text}").map_err(of_stdout)
}

fn of_stdout(error: io::Error) -> SimError {
    SimError::Io("what the run has to say".to_owned(), error)
}
