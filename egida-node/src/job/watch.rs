//! What processes do: they start, write, tell, and end.

use std::collections::BTreeSet;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::time::Instant;

use egida_core::fault::Fault;
use egida_core::ids::{Incarnation, Rank};
use egida_core::module::FailureDetector;
use egida_core::output::Stream;
use egida_core::recovery::{Action, Cause, Input};
use egida_core::trace;
use egida_shm::{ENV_KILL, ENV_TRACE, JobMemory, RankState};
use egida_spec::protocol::FailureUnit;
use rustix::process::Signal;

use super::kills::companions;
use super::news::{DIVERGENCE, Death, Last, UNRECOVERABLE};
use super::{Job, JobError, Phase, Together};
use crate::kill::KillOrder;
use crate::process::{Ended, Happened, How, Launch, Target, begin_watching, feed};

/// Environment variable: what a rank does where its re-execution differs, `stop` or `warn`.
const ENV_ON_DIVERGENCE: &str = "EGIDA_ON_DIVERGENCE";

/// Environment variable: what the dynamic linker loads first.
const LD_PRELOAD: &str = "LD_PRELOAD";
/// Environment variable: what of it is ours. The library attaches in an interpreter then, and in nothing that starts one.
const ENV_PRELOAD: &str = "EGIDA_PRELOAD";

/// How many different lines of a rank's library are remembered, so that a re-execution does not repeat them.
const LINES_REMEMBERED: usize = 1 << 12;

impl Job {
    /// Starts a rank's process.
    pub(super) fn spawn(
        &mut self,
        rank: Rank,
        incarnation: Incarnation,
        recovery: Vec<u8>,
    ) -> Result<(), JobError> {
        self.memory.begin_incarnation(rank, incarnation);
        let process = self.process(rank);
        process.is_fenced = false;
        process.killed = None;
        let kill = self.kills.triggers(self.victim(rank));
        let on_divergence = if self.diverging_is_fine { "warn" } else { "stop" };
        let mut environment = vec![(ENV_ON_DIVERGENCE.to_owned(), on_divergence.to_owned())];
        if let Some(dir) = self.trace.dir() {
            environment.push((ENV_TRACE.to_owned(), dir.display().to_string()));
        }
        if let Some(library) = &self.preload {
            let library = library.display().to_string();
            let others =
                std::env::var(LD_PRELOAD).map_or_else(|_| String::new(), |others| format!(":{others}"));
            environment.push((LD_PRELOAD.to_owned(), format!("{library}{others}")));
            environment.push((ENV_PRELOAD.to_owned(), library));
        }
        if let Some(hosts) = &self.steps.hosts {
            environment.extend(kill.map(|kill| (ENV_KILL.to_owned(), kill)));
            let streams = (self.outputs.begin(rank), &self.spool);
            let process = hosts.spawn(rank, incarnation, environment, recovery, streams);
            self.process(rank).target = Some(Target::Elsewhere(process));
            self.steps.reaped[rank as usize].store(false, Ordering::Release);
            return Ok(());
        }
        self.memory.set_recovery(rank, &recovery)?;
        let fd = self.memory.fd();
        let attach = JobMemory::environment(fd.as_raw_fd(), rank, incarnation, kill.as_deref());
        environment.extend(attach.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let mut inherits = vec![fd];
        if let Some((file, (name, value))) = self.memory.file() {
            inherits.push(file);
            environment.push((name.to_owned(), value));
        }
        let (program, args) = (&self.program, &self.args);
        let mut spawned = Launch { program, args, base: None, environment, inherits, fed: rank == 0 }
            .spawn()
            .map_err(|error| JobError::Program { program: self.program.clone(), error })?;
        let target = Target::of(&spawned).map_err(JobError::system("watch a process"))?;
        self.process(rank).target = Some(target);
        self.steps.reaped[rank as usize].store(false, Ordering::Release);
        if let Some(stdin) = spawned.stdin.take() {
            tokio::spawn(feed(self.spool.clone(), stdin));
        }
        let windows = self.outputs.begin(rank);
        begin_watching(rank, spawned, windows, self.memory.clone(), self.happen.clone());
        Ok(())
    }

    pub(super) fn handle(&mut self, happened: Happened) -> Result<(), JobError> {
        match happened {
            Happened::Wrote(chunk) => {
                let rank = chunk.rank;
                if chunk.stream == Stream::Out {
                    let len = chunk.bytes.len() as u64;
                    self.trace.tell(Some(rank), None, || trace::Event::Write { len });
                }
                let gate = self.gate(chunk.head);
                if let Err(contradiction) = self.outputs.take(chunk, gate) {
                    self.diverged(rank, &contradiction.to_string());
                }
                if !self.is_told(rank) {
                    self.outputs.suspend(rank);
                }
            }
            Happened::Noticed { rank, line } => self.noticed(rank, line),
            Happened::Ended(ended) => self.ended(ended)?,
            Happened::CannotSpawn { rank, error } => {
                self.forget_process(rank);
                return Err(JobError::Program { program: self.program.clone(), error });
            }
            Happened::HostLost { ranks, why } => self.host_lost(ranks, &why),
            Happened::HostTold { text } => self.news.note(text),
            Happened::Lost { rank, error } => {
                self.news.warn(format!("rank {rank} cannot be watched any more"));
                return Err(JobError::System { what: "watch a process", error });
            }
        }
        Ok(())
    }

    /// A host is lost: its processes will not be heard of again, and what they had cannot be regained.
    fn host_lost(&mut self, ranks: Range<Rank>, why: &str) {
        ranks.for_each(|rank| self.forget_process(rank));
        if matches!(self.phase, Phase::Running) {
            self.news.unrecoverable(why);
            self.end_with(UNRECOVERABLE, Signal::KILL);
        }
    }

    fn noticed(&mut self, rank: Rank, line: String) {
        if let Some(what) = line.strip_prefix("divergence: ") {
            // In the end the rank decides itself whether it stops.
            self.news.divergence(rank, what);
            self.told.insert((rank, DIVERGED.to_owned()));
            return;
        }
        let text = format!("rank {rank}: {line}");
        if self.told.len() < LINES_REMEMBERED && self.told.insert((rank, line)) {
            self.news.warn(text);
        }
    }

    /// Output of a rank contradicts what was released.
    fn diverged(&mut self, rank: Rank, what: &str) {
        self.news.divergence(rank, what);
        if !self.diverging_is_fine {
            self.end_with(DIVERGENCE, Signal::KILL);
        }
    }

    /// Kills from outside, all at once.
    pub(super) fn carry_out(&mut self, order: &KillOrder) {
        let victim = order.first();
        if self.victim(victim.rank) == victim {
            let ranks: BTreeSet<Rank> = companions(order).chain([victim.rank]).collect();
            self.kill_together(ranks, order);
        }
    }

    fn kill_together(&mut self, ranks: BTreeSet<Rank>, order: &KillOrder) {
        let alive = |rank: &Rank| self.processes[*rank as usize].target.is_some();
        let ranks: BTreeSet<Rank> = ranks.into_iter().filter(alive).collect();
        for &rank in &ranks {
            let process = self.process(rank);
            process.killed = Some((Instant::now(), Some(order.to_string())));
            if let Some(target) = &process.target {
                target.signal(Signal::KILL);
            }
        }
        let together =
            self.together.get_or_insert_with(|| Together { ended: Vec::new(), awaited: BTreeSet::new() });
        together.awaited.extend(ranks);
    }

    pub(super) fn forget_process(&mut self, rank: Rank) {
        self.process(rank).target = None;
        self.steps.reaped[rank as usize].store(true, Ordering::Release);
    }

    fn ended(&mut self, ended: Ended) -> Result<(), JobError> {
        let Ended { rank, how, at } = ended;
        self.forget_process(rank);
        if let Err(fault) = self.memory.reaped(rank) {
            self.spoiled(rank, how, &fault);
        }
        let took_part = self.memory.state(rank) >= RankState::Initialized;
        let signal = if let How::Signal(signal) = how { signal } else { 0 };
        self.process(rank).last = Last { signal, took_part };
        if matches!(self.phase, Phase::Ending { .. }) {
            return Ok(());
        }
        if let How::Signal(signal) = how {
            let (at, kill) = match self.process(rank).killed.take() {
                Some((killed_at, kill)) => (killed_at, kill),
                None => (at, self.obeyed(rank, signal)),
            };
            self.deaths.insert(rank, Death { at, known: Instant::now(), kill });
        }
        if let Some(together) = &mut self.together {
            together.awaited.remove(&rank);
            together.ended.push(ended);
            if !together.awaited.is_empty() {
                return Ok(());
            }
        }
        let known = self.together.take().map_or_else(|| vec![ended], |together| together.ended);
        for ended in known {
            self.report_end(ended);
        }
        Ok(())
    }

    /// The order that a process which killed itself obeyed; its companions die before anyone learns of it.
    fn obeyed(&mut self, rank: Rank, signal: i32) -> Option<String> {
        if signal != libc::SIGKILL || self.processes[rank as usize].is_fenced {
            return None;
        }
        let progress = self.memory.progress(rank);
        let order = self.kills.obeyed(self.victim(rank), progress.sends, progress.deliveries)?;
        if companions(&order).next().is_some() {
            self.kill_together(companions(&order).collect(), &order);
        }
        Some(order.to_string())
    }

    /// A rank that ended had written garbage over its own memory.
    fn spoiled(&mut self, rank: Rank, how: How, fault: &Fault) {
        // Where the memory is lost with the rank, or nothing is to be regained from it, garbage harms nobody.
        let is_needed = self.unit == FailureUnit::Process && self.bound.policy.recovers;
        if is_needed && matches!((how, &self.phase), (How::Signal(_), Phase::Running)) {
            self.news.unrecoverable(&format!("the memory of rank {rank} is overwritten: {fault}"));
            self.end_with(UNRECOVERABLE, Signal::KILL);
        } else {
            tracing::warn!(rank, %fault, "a rank left its memory overwritten");
        }
    }

    fn report_end(&mut self, ended: Ended) {
        let Ended { rank, how, at: ended_at } = ended;
        match how {
            How::Signal(signal) => {
                self.look_at_replay(rank, false);
                self.recovering.remove(&rank);
                let at = self.memory.progress(rank);
                let cause = self.cause(rank, signal);
                self.process(rank).failures += u32::from(cause != Cause::Fenced);
                self.detected(Input::Died { rank, cause, at });
            }
            How::Exit(_) if self.is_orphan(rank) => {
                self.recovering.remove(&rank);
                self.deaths.insert(rank, Death { at: ended_at, known: Instant::now(), kill: None });
                let at = self.memory.progress(rank);
                self.detected(Input::Died { rank, cause: Cause::RolledBack, at });
            }
            How::Exit(code) => self.left(rank, code),
        }
    }

    /// Whether a process that left depends on what is lost: it said so, or had not heard of everything that is, so that
    /// nobody can tell.
    fn is_orphan(&self, rank: Rank) -> bool {
        let progress = self.memory.progress(rank);
        let is_announcing = self.queue.iter().any(|action| matches!(action, Action::Announce { .. }));
        self.detects && (progress.orphan || progress.told < self.memory.announced() || is_announcing)
    }

    fn left(&mut self, rank: Rank, code: i32) {
        let state = self.memory.state(rank);
        let finalized = match state {
            RankState::Finalized => true,
            // It never took part: a program that does not use the library, or did not come so far.
            RankState::Absent | RankState::Attached => code == 0,
            RankState::Initialized => false,
        };
        self.look_at_replay(rank, finalized);
        if code == DIVERGENCE && !finalized && !self.told.contains(&(rank, DIVERGED.to_owned())) {
            self.news.divergence(rank, "it says where on its standard error");
        }
        if let Some(stream) = self.outputs.owes(rank).filter(|_| finalized) {
            let stream = match stream {
                Stream::Out => "standard output",
                Stream::Err => "standard error",
            };
            self.diverged(
                rank,
                &format!("it ended without writing again all that it had written to {stream}"),
            );
        }
        if finalized {
            let progress = self.memory.progress(rank);
            self.news.counts(rank, progress.sends, progress.deliveries);
        }
        self.detected(Input::Exited { rank, code, finalized });
    }
}

/// Stands in what was told for a rank whose library reported a divergence.
const DIVERGED: &str = "divergence";
