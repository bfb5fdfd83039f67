//! `egida verify`: explores every run of a small scenario, with every place to die.
//!
//! The verdict goes to standard output, what is going on to standard error.

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use egida_core::ids::Domains;
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_sim::verify::{Besides, CounterExample, Grain, Progress, Report, Scope, Verdict, verify};
use egida_spec::declared_unit;
use egida_spec::protocol::FailureUnit;
use indicatif::HumanCount;

use crate::language::FailureUnitArg;
use crate::specification::{Refusal, Specification, style_of_stderr};

/// A run of the scenario is wrong.
const BROKEN: u8 = 1;

/// The bound was reached, or there is nothing to explore.
const NOT_EXHAUSTIVE: u8 = 2;

/// How often what is going on is told where nobody watches a terminal.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Explore every run of a small scenario under a protocol, with every place to die
///
/// Rank 0 takes a message from each other rank, in whatever order they come, tells each what it has seen, and so on, until so
/// many messages are sent; everybody writes a line at its end. Every order of arrivals, of writes to disks and of the steps of
/// ranks and recoveries is explored, with every choice of ranks that die, between any two steps and inside of them, also while
/// others recover. Under protocols that take checkpoints, timers go off and checkpoints come to the disk at any moment, and time goes
/// by when nothing else can happen. A run is right if it ends, every message is delivered exactly once, no survivor depends on what is lost, and
/// the world sees the output of the last lives exactly once. A run may also end with more failures at once than the protocol
/// tolerates, if it says so.
///
/// Exit codes: 0 where every run is right, 1 where one is not (the shortest is shown, step by step), 2 where the bound was
/// reached or the specification is refused: nothing is proven then.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  egida verify specs/causal.egd
  egida verify specs/optimistic.egd --ranks 2 --messages 2 --crashes 1
  egida verify specs/pessimistic-sender.egd --failure-unit process --every-call --messages 2")]
pub struct VerifyArgs {
    /// The specification, or a program that was linked with one
    #[arg(value_name = "SPEC")]
    pub spec: PathBuf,
    /// How many ranks
    #[arg(short = 'n', long, value_name = "RANKS", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=8))]
    pub ranks: u32,
    /// How many messages are sent
    #[arg(short, long, value_name = "MESSAGES", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    pub messages: u32,
    /// What ranks do besides sending, receiving and writing
    #[arg(long, value_enum, value_name = "APP", default_value_t = App::Messages)]
    pub app: App,
    /// How many times a rank may die, at most
    #[arg(short, long, value_name = "CRASHES", default_value_t = 2)]
    pub crashes: u32,
    /// What fails as one [default: what the specification declares, else `node`]
    #[arg(long, value_enum, value_name = "UNIT")]
    pub failure_unit: Option<FailureUnitArg>,
    /// How many ranks share a node
    #[arg(long, value_name = "K", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub ranks_per_node: u32,
    /// How often each rank's timer for checkpoints may go off at any moment; when nothing else can happen it does so anyway
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    pub checkpoints: u32,
    /// How many writes of checkpoints fail, at most
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    pub failed_saves: u32,
    /// Let messages arrive between any two calls of a rank, and nodes answer recoveries one by one, not only while a rank
    /// waits: many more states
    #[arg(long)]
    pub every_call: bool,
    /// How many states to visit, at most
    #[arg(long, value_name = "STATES", default_value_t = 2_000_000)]
    pub max_states: usize,
    /// How many processors to use [default: all]
    #[arg(short, long, value_name = "JOBS")]
    pub jobs: Option<NonZeroUsize>,
    /// Say nothing while it goes on
    #[arg(short, long)]
    pub quiet: bool,
}

/// What the ranks of the scenario do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum App {
    /// They exchange messages
    Messages,
    /// They read a value from outside before each message that they send, too
    Reads,
    /// They probe for messages and test receives, and may give that up, too
    Polls,
}

impl From<App> for Besides {
    fn from(app: App) -> Self {
        match app {
            App::Messages => Self::Nothing,
            App::Reads => Self::Reads,
            App::Polls => Self::Polls,
        }
    }
}

/// `egida verify SPEC [-n RANKS] [-m MESSAGES] [-c CRASHES] [--failure-unit U] ...`
#[must_use]
pub fn run(args: &VerifyArgs, registry: &Registry) -> ExitCode {
    match explore(args, registry) {
        Ok((scope, report)) => {
            print!("{}", render(&scope, &report));
            match report.verdict {
                Verdict::Holds => ExitCode::SUCCESS,
                Verdict::Broken(_) => ExitCode::from(BROKEN),
                Verdict::Bounded => ExitCode::from(NOT_EXHAUSTIVE),
            }
        }
        Err(refusal) => {
            eprint!("{}", refusal.report(style_of_stderr()));
            ExitCode::from(NOT_EXHAUSTIVE)
        }
    }
}

fn explore(args: &VerifyArgs, registry: &Registry) -> Result<(Scope, Report), Refusal> {
    let specification = Specification::read(&args.spec, &registry.vocabulary)?;
    let unit = args.failure_unit.map_or_else(|| declared_unit(&specification.protocol), FailureUnit::from);
    let all = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let scope = Scope {
        setting: Setting { domains: Domains::blocks(args.ranks, args.ranks_per_node), unit, images: true },
        messages: args.messages,
        besides: args.app.into(),
        crashes: args.crashes,
        grain: if args.every_call { Grain::Call } else { Grain::Wait },
        checkpoints: args.checkpoints,
        failed_saves: args.failed_saves,
        control: None,
        max_states: args.max_states,
        jobs: args.jobs.unwrap_or_else(all),
    };
    let mut told = Instant::now();
    let watched = io::stderr().is_terminal();
    let mut tell = |progress: &Progress| {
        if args.quiet || (!watched && told.elapsed() < TELL_EVERY) {
            return;
        }
        told = Instant::now();
        let end = if watched { "\r" } else { "\n" };
        eprint!(
            "egida: runs of {} turns, {} states, {} of them open{end}",
            progress.turns,
            HumanCount(progress.states as u64),
            HumanCount(progress.open as u64)
        );
    };
    let verdict = verify(&specification.protocol, registry, &scope, &mut tell);
    if watched && !args.quiet {
        eprintln!();
    }
    match verdict {
        Ok(report) => Ok((scope, report)),
        Err(errors) => Err(specification.refused(errors)),
    }
}

/// The verdict, for people.
fn render(scope: &Scope, report: &Report) -> String {
    let Progress { turns, states, transitions, ended, beyond, open } = report.progress;
    let count = |number: u64| HumanCount(number).to_string();
    let times = |number: u32, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let what = format!(
        "{}, {}, up to {}, failure unit {}",
        times(scope.setting.domains.ranks(), "rank"),
        times(scope.messages, "message"),
        times(scope.crashes, "death"),
        scope.setting.unit,
    );
    let explored = format!(
        "explored {} states by {} turns; the longest run has {turns}",
        count(states as u64),
        count(transitions)
    );
    match &report.verdict {
        Verdict::Holds => {
            let too_many = match beyond {
                0 => String::new(),
                _ => format!(", {} of them because more failed at once than is tolerated", count(beyond)),
            };
            format!("holds: {what}\n{explored}; {} ends of runs{too_many}\n", count(ended))
        }
        Verdict::Bounded => format!(
            "bound reached: not exhaustive: {what}\n{explored}; {} states are left to explore; no run was wrong so far; \
             raise --max-states, or lower --messages or --crashes\n",
            count(open as u64)
        ),
        Verdict::Broken(CounterExample { wrong, story }) => {
            format!(
                "broken: {what}\n{wrong}\n\n{}\n\n{explored}; no shorter run is wrong\n",
                story.join("\n")
            )
        }
    }
}
