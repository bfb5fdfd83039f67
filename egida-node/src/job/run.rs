//! The main loop, and how a job ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use egida_core::binder::Bound;
use egida_core::gate::StoreId;
use egida_core::ids::Rank;
use egida_core::recovery::{Cause, End};
use egida_core::trace::{Event, Place};
use rustix::process::Signal;
use tokio::signal::unix::{Signal as Incoming, SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};

use super::recover::StepDone;
use super::{DIVERGENCE, FAILED, Job, JobError, Phase, TIMEOUT, Trouble, UNRECOVERABLE};
use crate::process::Happened;

/// How long processes may take to end after they were asked to.
const GRACE: Duration = Duration::from_secs(2);
/// How often the progress of a replay is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// With nothing to wait for but events.
const IDLE: Duration = Duration::from_secs(3600);

/// The signals that ask us to end.
pub(super) struct Signals {
    interrupt: Incoming,
    terminate: Incoming,
    hang_up: Incoming,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> (i32, &'static str) {
        tokio::select! {
            _ = self.interrupt.recv() => (libc::SIGINT, "SIGINT"),
            _ = self.terminate.recv() => (libc::SIGTERM, "SIGTERM"),
            _ = self.hang_up.recv() => (libc::SIGHUP, "SIGHUP"),
        }
    }
}

/// Waits for a step, where one is under way.
async fn step_of(step: &mut Option<JoinHandle<StepDone>>) -> Option<Result<StepDone, JoinError>> {
    match step {
        Some(step) => Some(step.await),
        None => None,
    }
}

/// Where what is logged for each store comes to.
fn places(bound: &Bound) -> impl Iterator<Item = (StoreId, Place)> + '_ {
    bound.stores.iter().map(|used| match used.replicas {
        Some(_) => (used.id, Place::Copies),
        None => (used.id, Place::Disk),
    })
}

impl Job {
    /// Runs until no process is left.
    pub(super) async fn run(&mut self, signals: &mut Signals) -> Result<i32, JobError> {
        for rank in self.ranks() {
            self.spawn(rank, 1, Vec::new())?;
        }
        loop {
            if self.wake_at().is_some_and(|at| at <= Instant::now()) {
                self.look_at_the_clock();
            }
            self.begin_next_step()?;
            self.release_output()?;
            if let Phase::Ending { code, .. } = self.phase
                && !self.is_any_alive()
            {
                return Ok(code);
            }
            let wake_at = self.wake_at().unwrap_or_else(|| Instant::now() + IDLE);
            self.trace.tell_stable(&self.memory, places(&self.bound));
            let is_waiting = self.is_output_waiting() || self.trace.dir().is_some();
            let advanced = Arc::clone(&self.advanced);
            tokio::select! {
                biased;
                (number, name) = signals.next() => self.asked_to_end(number, name),
                Some(trouble) = self.trouble.recv() => self.in_trouble(trouble)?,
                Some(done) = step_of(&mut self.step) => {
                    self.step = None;
                    self.step_done(done)?;
                }
                Some(happened) = self.happened.recv() => {
                    self.handle(happened)?;
                    // What is there already comes before what it makes us do.
                    while let Ok(happened) = self.happened.try_recv() {
                        self.handle(happened)?;
                    }
                }
                () = advanced.notified(), if is_waiting => {}
                () = tokio::time::sleep_until(wake_at.into()) => {}
            }
        }
    }

    /// The next time at which something may be due.
    fn wake_at(&self) -> Option<Instant> {
        let started = Instant::now() - self.news.elapsed();
        let is_looking = !self.recovering.is_empty() || self.is_output_waiting() || self.spilling.is_some();
        let look = is_looking.then_some(self.next_look);
        let due = match self.phase {
            Phase::Running => [self.kills.next_due(), self.timeout].map(|at| at.map(|at| started + at)),
            Phase::Ending { kill_at, .. } => [kill_at, None],
        };
        due.into_iter().flatten().chain(look).min()
    }

    fn look_at_the_clock(&mut self) {
        self.next_look = Instant::now() + LOOK;
        if let Phase::Ending { kill_at, .. } = &mut self.phase {
            if kill_at.is_some_and(|at| at <= Instant::now()) {
                *kill_at = None;
                self.signal_all(Signal::KILL);
            }
            return;
        }
        let elapsed = self.news.elapsed();
        for order in self.kills.due(elapsed) {
            self.carry_out(&order);
        }
        self.look_at_replays();
        let ever_bytes = self.memory.ever_spilled_bytes();
        let told = self.spilling.as_mut().and_then(|spilling| spilling.look(elapsed, ever_bytes));
        told.into_iter().for_each(|told| self.news.note(told));
        if let Some(limit) = self.timeout.filter(|limit| *limit <= elapsed) {
            self.news.warn(format!("the job ends: it reached its timeout of {:.1} s", limit.as_secs_f64()));
            self.end_with(TIMEOUT, Signal::KILL);
        }
    }

    /// The user wants the job to end: gently at first, at once when asked again.
    fn asked_to_end(&mut self, number: i32, name: &str) {
        match self.phase {
            Phase::Running => {
                self.news.note(format!("{name}: the job ends"));
                self.end_with(128 + number, Signal::TERM);
            }
            Phase::Ending { code, .. } => {
                self.news.hurry();
                self.end_with(code, Signal::KILL);
            }
        }
    }

    fn in_trouble(&mut self, trouble: Trouble) -> Result<(), JobError> {
        match trouble {
            Trouble::Storage(error) => Err(error.into()),
            // As if the signal that a reader's going away sends had ended us.
            Trouble::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.end_with(128 + libc::SIGPIPE, Signal::KILL);
                Ok(())
            }
            Trouble::Output(error) => {
                self.news.warn(format!("the job ends: standard output cannot be written: {error}"));
                self.end_with(FAILED, Signal::KILL);
                Ok(())
            }
        }
    }

    /// Begins to end the job. The first reason counts.
    pub(super) fn end_with(&mut self, code: i32, signal: Signal) {
        let (code, holds_back) = match self.phase {
            Phase::Running => (code, matches!(code, UNRECOVERABLE | DIVERGENCE)),
            Phase::Ending { code, holds_back, .. } => (code, holds_back),
        };
        let kill_at = (signal != Signal::KILL).then(|| Instant::now() + GRACE);
        self.phase = Phase::Ending { code, kill_at, holds_back };
        self.queue.clear();
        self.together = None;
        self.signal_all(signal);
    }

    /// The coordinator says that this is the end.
    pub(super) fn end(&mut self, end: &End) {
        let processes = &self.processes;
        let last = |rank: Rank| processes[rank as usize].last;
        let name = &self.bound.protocol.name.value;
        let code = self.news.end(end, name, last);
        self.end_with(code, Signal::KILL);
    }

    /// Leaves nothing behind, whatever happened.
    pub(super) async fn leave(
        &mut self,
        ended: Result<i32, JobError>,
        signals: &mut Signals,
    ) -> Result<i32, JobError> {
        self.signal_all(Signal::KILL);
        while self.is_any_alive() {
            let Some(happened) = self.happened.recv().await else { break };
            match happened {
                Happened::Ended(ended) => self.forget_process(ended.rank),
                Happened::CannotSpawn { rank, .. } => self.forget_process(rank),
                Happened::HostLost { ranks, .. } => ranks.for_each(|rank| self.forget_process(rank)),
                _ => {}
            }
        }
        if let Some(hosts) = self.steps.hosts.take() {
            if self.spilling.is_some() {
                // Who does not answer has nothing to say.
                let _ = tokio::time::timeout(GRACE, hosts.sum()).await;
                while let Ok(happened) = self.happened.try_recv() {
                    if let Happened::HostTold { text } = happened {
                        self.news.note(text);
                    }
                }
            }
            // What still serves a process's streams has ended with it.
            drop(tokio::task::spawn_blocking(move || hosts.leave()).await);
        }
        let held_back = self.ranks().filter(|&rank| self.outputs.is_waiting(rank)).count();
        if held_back > 0 {
            self.news
                .warn(format!("output of {held_back} ranks was held back: what it depends on may be lost"));
        }
        for order in self.kills.left().map(ToString::to_string).collect::<Vec<_>>() {
            self.news.note(format!("nothing came of `--kill {order}`: the job ended before"));
        }
        if let Some(spilling) = &mut self.spilling {
            spilling.look(self.news.elapsed(), self.memory.ever_spilled_bytes());
            spilling.sum().into_iter().for_each(|told| self.news.note(told));
        }
        let code = match &ended {
            Ok(code) => *code,
            Err(error) => error.exit_code(),
        };
        self.trace.tell(None, None, || Event::End { how: format!("exit code {code}") });
        if let Err(error) = std::mem::take(&mut self.trace).finish() {
            self.news.warn(format!("the trace cannot be written: {error}"));
        }
        self.news.over(code, signals.next()).await;
        ended
    }

    /// A process that ended of a signal, in the coordinator's words.
    pub(super) fn cause(&self, rank: Rank, signal: i32) -> Cause {
        match self.processes[rank as usize].is_fenced {
            true => Cause::Fenced,
            false => Cause::Signal(signal),
        }
    }
}
