//! A job from its first process to its last: what connects processes, memory, disks and the recovery coordinator.
//!
//! ```text
//!   processes ──ends, output──┐                        ┌──> spawn, fence, seal, persist, collect
//!   signals, clock, kills ────┼──> Job ──> Coordinator ┤
//!   memory, stable storage ───┘                        └──> end
//! ```
//!
//! Everything runs on the main thread, which alone spawns processes: they die with the thread that spawned them. Only what
//! may block (waiting for survivors, reading logs, disks, our own output) runs elsewhere.

mod collect;
mod kills;
mod news;
mod plan;
mod recover;
mod run;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use egida_core::binder::Bound;
use egida_core::fault::Fault;
use egida_core::ids::{Domains, Rank};
use egida_core::recovery::{Action, Coordinator};
use egida_core::trace::Header;
use egida_shm::{JobConfig, JobMemory};
use egida_spec::protocol::FailureUnit;
use rustix::process::Signal;
use thiserror::Error;
use tokio::sync::{Notify, mpsc};

use crate::foreign::Foreign;
use crate::hosts::{Hosts, Setup, StartError};
use crate::incarnations::Incarnations;
use crate::kill::Victim;
use crate::output::Outputs;
use crate::process::{Ended, Happened, Spool, Target, randomization_off};
use crate::report::Report;
use crate::sink::{Outlets, Sink};
use crate::spilling::{self, SpillError, Spilling};
use crate::state_dir::{StateDir, StateDirError};
use crate::storage::{Copier, Observer, Place, StorageError, Store, Writer};
use crate::trace::Trace;
use collect::{StepError, Steps};
use kills::Kills;
pub use news::{DIVERGENCE, FAILED, TIMEOUT, UNRECOVERABLE};
use news::{Death, Last, News};
pub use plan::{Options, Plan, PlanError, Shape};
use recover::{Recovering, StepDone};
use run::Signals;

/// Why a job could not begin, or could not go on for reasons of its surroundings.
#[derive(Debug, Error)]
pub enum JobError {
    /// The program cannot be run.
    #[error("cannot run `{}`: {error}", program.display())]
    Program {
        /// The program.
        program: OsString,
        /// Why not.
        error: io::Error,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// Stable storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Node memory failed.
    #[error(transparent)]
    Memory(#[from] Fault),
    /// The daemons of other hosts are not there.
    #[error(transparent)]
    Hosts(#[from] StartError),
    /// A step of recovery failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The report cannot be written.
    #[error("cannot write the report to `{path}`: {error}")]
    Report {
        /// Where to.
        path: String,
        /// Why not.
        error: io::Error,
    },
    /// There is no memory, or no place for what is beyond its limit.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// The trace cannot be written.
    #[error("cannot write the trace to `{path}`: {error}")]
    Trace {
        /// Where to.
        path: String,
        /// Why not.
        error: io::Error,
    },
    /// The system refused something else.
    #[error("cannot {what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
}

impl JobError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { what, error }
    }

    /// The exit code of a launcher that fails so: as of a shell where the program cannot be run.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Program { error, .. } if error.kind() == io::ErrorKind::NotFound => 127,
            Self::Program { .. } => 126,
            Self::StateDir(_) => 2,
            _ => FAILED,
        }
    }
}

/// Runs a job to its end on the calling thread, which must be the main thread: the processes die with it. Returns the
/// launcher's exit code.
///
/// # Errors
/// [`JobError`]; no process of the job is left then.
pub fn run(plan: Plan) -> Result<i32, JobError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(JobError::system("start a runtime"))?;
    let ended = runtime.block_on(async {
        let mut job = Job::prepare(plan)?;
        let mut signals = Signals::listen().map_err(JobError::system("handle signals"))?;
        let ended = job.run(&mut signals).await;
        job.leave(ended, &mut signals).await
    });
    // A step of recovery may still wait for a survivor that is gone.
    runtime.shutdown_background();
    ended
}

/// Where a job stands.
#[derive(Debug)]
enum Phase {
    /// It runs.
    Running,
    /// It is being ended with this exit code; what is left then is killed.
    Ending { code: i32, kill_at: Option<Instant>, holds_back: bool },
}

/// A rank's process.
#[derive(Debug, Default)]
struct Process {
    /// Whom to signal; nothing where none lives.
    target: Option<Target>,
    /// How many times it failed: to be fenced or to roll back is no failure, and orders to kill go by this.
    failures: u32,
    /// Whether the coordinator had it killed.
    is_fenced: bool,
    /// When and for which order the launcher killed it.
    killed: Option<(Instant, Option<String>)>,
    /// How its last process ended.
    last: Last,
}

/// Deaths that are to be known at once.
#[derive(Debug)]
struct Together {
    ended: Vec<Ended>,
    awaited: BTreeSet<Rank>,
}

struct Job {
    program: OsString,
    args: Vec<OsString>,
    domains: Domains,
    unit: FailureUnit,
    bound: Bound,
    diverging_is_fine: bool,
    preload: Option<PathBuf>,
    discard_determinants: bool,
    timeout: Option<Duration>,
    spilling: Option<Spilling>,
    news: News,
    trace: Trace,
    kills: Kills,
    /// Whether survivors may be orphans.
    detects: bool,
    coordinator: Coordinator,
    incarnations: Incarnations,
    steps: Steps,
    memory: JobMemory,
    outputs: Outputs,
    foreign: Foreign,
    spool: Spool,
    processes: Vec<Process>,
    together: Option<Together>,
    queue: VecDeque<Action>,
    step: Option<tokio::task::JoinHandle<StepDone>>,
    recovering: BTreeMap<Rank, Recovering>,
    /// Deaths of ranks that are not started anew yet.
    deaths: BTreeMap<Rank, Death>,
    told: HashSet<(Rank, String)>,
    phase: Phase,
    next_look: Instant,
    happened: mpsc::Receiver<Happened>,
    happen: mpsc::Sender<Happened>,
    trouble: mpsc::UnboundedReceiver<Trouble>,
    advanced: Arc<Notify>,
    /// Removed last.
    _state_dir: StateDir,
}

/// What ends a job from outside the application.
#[derive(Debug)]
enum Trouble {
    /// Stable storage failed.
    Storage(StorageError),
    /// Nobody takes our standard output.
    Output(io::Error),
}

/// How many reports of processes may wait; their streams wait with them.
const REPORTS: usize = 256;

impl Job {
    fn prepare(plan: Plan) -> Result<Self, JobError> {
        let Plan {
            program,
            args,
            domains,
            ranks_per_domain,
            unit,
            specification,
            mut bound,
            backends,
            options,
            ..
        } = plan;
        let ranks = domains.ranks();
        let header = header(&bound, &domains, unit, ranks_per_domain, &program);
        let (cause, trouble) = mpsc::unbounded_channel();
        let sink = {
            let cause = cause.clone();
            Sink::start(outlets(options.tag_output), move |error| drop(cause.send(Trouble::Output(error))))
                .map_err(JobError::system("start a thread"))?
        };
        let report = match &options.report {
            None => Report::default(),
            Some(path) => Report::create(path)
                .map_err(|error| JobError::Report { path: path.display().to_string(), error })?,
        };
        let news = News::new(sink, report, options.quiet);
        let state_dir = StateDir::open(options.state_dir.as_deref())?;
        let trace = match &options.trace {
            None => Trace::default(),
            Some(path) => Trace::create(path, state_dir.path().join("trace"), header)
                .map_err(|error| JobError::Trace { path: path.display().to_string(), error })?,
        };
        let config = JobConfig {
            ranks,
            ranks_per_domain,
            failure_unit_is_node: unit == FailureUnit::Node,
            limit_bytes: plan.limit_bytes,
            specification: specification.clone(),
        };
        let (memory, spilling) = spilling::create(&config, plan.spill.as_ref())?;
        // On several hosts it is theirs that messages go to.
        if plan.ready_bytes > 0 && plan.hosting.is_none() {
            news.note(spilling::make_ready(&memory, plan.ready_bytes));
        }
        let text = specification;
        let mut stores = Vec::new();
        for used in bound.stores.iter().filter(|used| used.replicas.is_none()) {
            let place = Place {
                state_dir: state_dir.path(),
                job: state_dir.job(),
                domains: &domains,
                is_kept: state_dir.is_kept(),
                store: used.id,
                phrase: &used.phrase,
                params: &used.params,
            };
            stores.push(Store { id: used.id, backend: backends.open(&place)?, every: used.every });
        }
        let advanced = Arc::new(Notify::new());
        let writer = match stores.is_empty() {
            true => None,
            false => {
                let observer = Watcher { advanced: Arc::clone(&advanced), cause: cause.clone() };
                let writer = Writer::start(memory.clone(), stores, observer);
                Some(Arc::new(writer.map_err(JobError::system("start a thread"))?))
            }
        };
        let copied: Vec<_> = bound.stores.iter().filter_map(|used| Some((used.id, used.replicas?))).collect();
        let copier = match copied.is_empty() {
            true => None,
            false => {
                let observer = Watcher { advanced: Arc::clone(&advanced), cause };
                let copier = Copier::start(memory.clone(), &domains, &copied, observer);
                Some(Arc::new(copier.map_err(JobError::system("start a thread"))?))
            }
        };
        for order in options.kills.iter().filter(|order| order.is_random()) {
            news.warn(format!("--kill {order}"));
        }
        if !plan.is_unit_chosen {
            news.note(
                "failure unit: process (the memory of a node outlives its processes); see `--failure-unit`",
            );
        }
        if let Err(denied) = randomization_off() {
            news.note(denied.to_string());
        }
        let spool = spool(&state_dir).map_err(JobError::system("retain standard input"))?;
        let (happen, happened) = mpsc::channel(REPORTS);
        let hosts = match &plan.hosting {
            None => None,
            Some(hosting) => {
                let setup = Setup {
                    ranks,
                    ranks_per_domain,
                    failure_unit_is_node: unit == FailureUnit::Node,
                    limit_bytes: plan.limit_bytes,
                    ready_bytes: plan.ready_bytes,
                    spill: plan.spill.clone(),
                    specification: text,
                    hosts: Vec::new(),
                    me: 0,
                    program: program.clone(),
                    args: args.clone(),
                    environment: std::env::vars_os().collect(),
                    directory: std::env::current_dir()
                        .map_err(JobError::system("find the working directory"))?,
                };
                Some(Hosts::start(hosting, setup, &memory, happen.clone())?)
            }
        };
        let steps = Steps {
            hosts,
            memory: memory.clone(),
            domains: domains.clone(),
            writer,
            copier,
            reaped: (0..ranks).map(|_| AtomicBool::new(true)).collect(),
        };
        Ok(Self {
            program,
            args,
            unit,
            diverging_is_fine: options.diverging_is_fine,
            preload: options.preload,
            discard_determinants: options.discard_determinants,
            timeout: options.timeout,
            spilling,
            news,
            trace,
            kills: Kills::new(options.kills),
            detects: bound.detector.is_some(),
            coordinator: Coordinator::new(bound.policy, domains.clone()).detecting(bound.detector.take()),
            incarnations: Incarnations::create(state_dir.path(), ranks)?,
            steps,
            memory,
            outputs: Outputs::new(ranks),
            foreign: Foreign::new(domains.clone()),
            spool,
            processes: (0..ranks).map(|_| Process::default()).collect(),
            together: None,
            queue: VecDeque::new(),
            step: None,
            recovering: BTreeMap::new(),
            deaths: BTreeMap::new(),
            told: HashSet::new(),
            phase: Phase::Running,
            next_look: Instant::now(),
            happened,
            happen,
            trouble,
            advanced,
            bound,
            domains,
            _state_dir: state_dir,
        })
    }

    fn ranks(&self) -> impl Iterator<Item = Rank> + use<> {
        0..self.domains.ranks()
    }

    fn process(&mut self, rank: Rank) -> &mut Process {
        &mut self.processes[rank as usize]
    }

    fn victim(&self, rank: Rank) -> Victim {
        Victim { rank, life: self.processes[rank as usize].failures + 1 }
    }

    fn is_any_alive(&self) -> bool {
        self.processes.iter().any(|process| process.target.is_some())
    }

    fn signal_all(&self, signal: Signal) {
        for target in self.processes.iter().filter_map(|process| process.target.as_ref()) {
            target.signal(signal);
        }
    }
}

/// What a trace of the job says of it.
fn header(
    bound: &Bound,
    domains: &Domains,
    unit: FailureUnit,
    ranks_per_node: u32,
    program: &OsStr,
) -> Header {
    let mut header = Header::new(&bound.protocol.name.value, domains.ranks());
    header.options = [
        ("program", program.to_string_lossy().into_owned()),
        ("failure-unit", unit.to_string()),
        ("ranks-per-node", ranks_per_node.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    header
}

struct Watcher {
    advanced: Arc<Notify>,
    cause: mpsc::UnboundedSender<Trouble>,
}

impl Observer for Watcher {
    fn advanced(&self) {
        self.advanced.notify_one();
    }

    fn failed(&self, error: StorageError) {
        // The job may be over already.
        let _ = self.cause.send(Trouble::Storage(error));
    }
}

fn outlets(tagged: bool) -> Outlets {
    let is_terminal = io::stderr().is_terminal();
    Outlets { out: Box::new(io::stdout()), err: Box::new(io::stderr()), is_terminal, tagged }
}

/// Retains standard input in a file that has no name once it is open.
fn spool(state_dir: &StateDir) -> io::Result<Spool> {
    let path = state_dir.path().join("stdin");
    let file = std::fs::OpenOptions::new().read(true).append(true).create(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Spool::of_standard_input(file)
}
