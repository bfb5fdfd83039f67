//! The daemon of a host: it has the memory of the host's ranks, runs their processes, and does what the launcher orders.

use std::io::{self, BufRead, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use egida_core::fault::Fault;
use egida_core::ids::{Incarnation, Rank};
use egida_core::output::Stream;
use egida_core::recovery::Fate;
use egida_net::{HandshakeError, JobKey, Listener, dial, framing};
use egida_shm::{Blocked, JobConfig, JobMemory, Side, introduction};
use rustix::process::Signal;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::introductions::{Introductions, Links, caller};
use super::link::{Call, Ears, Link};
use super::orders::{Listening, Order, Setup, Tale, Ticket, from_bytes, to_bytes};
use super::{LAUNCHER, number_of};
use crate::process::{Happened, How, Launch, Target, Window, Windows, begin_watching, randomization_off};
use crate::spilling::{self, SpillError, Spilling};

/// How long a daemon tries to reach its launcher, and its launcher waits for it.
pub const START_LIMIT: Duration = Duration::from_secs(30);

/// How often it is looked whether logs go on in the file.
const LOOK: Duration = Duration::from_millis(5);

/// How many reports of processes may wait.
const REPORTS: usize = 256;

/// Why a daemon cannot begin, or go on.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// Nobody gave it the job's key on its standard input.
    #[error("no key of a job comes from standard input")]
    Key,
    /// The launcher cannot be reached.
    #[error("the launcher at {address} cannot be reached: {error}")]
    Launcher {
        /// Where it is said to be.
        address: SocketAddr,
        /// Why not.
        error: HandshakeError,
    },
    /// The launcher, or another host, is gone, or says what cannot be.
    #[error("{0}")]
    Gone(String),
    /// The system refused something.
    #[error("cannot {what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
    /// There is no memory, or no place for what is beyond its limit.
    #[error(transparent)]
    Memory(#[from] SpillError),
}

/// Runs the daemon of a host until the job is over. The key of the job is read from standard input, whose end means that the
/// launcher is gone.
///
/// To be called on the main thread: the ranks die with it.
///
/// # Errors
/// [`DaemonError`]; no process of this host is left then.
pub fn run(launcher: SocketAddr, me: u32) -> Result<(), DaemonError> {
    let key = read_key()?;
    let system = |what| move |error| DaemonError::System { what, error };
    let (happen, happened) = mpsc::unbounded_channel();
    watch_launcher(happen.clone()).map_err(system("start a thread"))?;
    let mut stream = call(launcher, &key, me)?;
    let address = stream.local_addr().map_err(system("find our address"))?.ip();
    let links = Links::default();
    let known = Arc::clone(&links);
    let introductions = Arc::new(OnceLock::<Introductions>::new());
    let introduced = Arc::clone(&introductions);
    let welcome = move |from: u32, stream: TcpStream| {
        let (from, is_for_ranks) = caller(from);
        // Who calls before we know whom to expect calls again.
        if is_for_ranks {
            if let Some(introductions) = introduced.get() {
                introductions.meet(from, stream);
            }
        } else if let Some((_, link)) =
            known.get().and_then(|links| links.iter().find(|(number, _)| *number == from))
        {
            link.attach(stream);
        }
    };
    let listener = Listener::start(address, key.clone(), number_of(me), welcome).map_err(system("listen"))?;
    let setup = set_up(&mut stream, listener.port())?;
    std::env::set_current_dir(&setup.directory).map_err(|error| {
        let directory = setup.directory.display();
        DaemonError::Gone(format!("cannot enter the directory `{directory}` here: {error}"))
    })?;
    let known = Introductions::new(setup.me, setup.hosts.clone(), key.clone(), Arc::clone(&links));
    let known = introductions.get_or_init(|| known).clone();
    let daemon = Daemon::new(setup, (&links, known), key, launcher, stream, &happen)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start a runtime"))?;
    let ended = runtime.block_on(daemon.run(happened));
    runtime.shutdown_background();
    ended
}

/// What the daemon is told, by whomever.
#[derive(Debug)]
enum Told {
    Order(Order),
    /// The launcher is gone, or a link is.
    Gone(String),
}

fn read_key() -> Result<JobKey, DaemonError> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|_| DaemonError::Key)?;
    line.trim_end().parse().map_err(|_| DaemonError::Key)
}

/// Notices that the launcher is gone by the end of standard input.
fn watch_launcher(happen: UnboundedSender<Told>) -> io::Result<()> {
    let body = move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = happen.send(Told::Gone("the launcher is gone".to_owned()));
        // Should the main thread be kept by something, the ranks die with the process all the same.
        std::thread::sleep(Duration::from_secs(5));
        std::process::exit(1);
    };
    std::thread::Builder::new().name("egida-launcher".to_owned()).spawn(body).map(drop)
}

fn call(launcher: SocketAddr, key: &JobKey, me: u32) -> Result<TcpStream, DaemonError> {
    let until = Instant::now() + START_LIMIT;
    loop {
        match dial(launcher, key, number_of(me), LAUNCHER) {
            Ok(stream) => return Ok(stream),
            Err(HandshakeError::Io(_)) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => return Err(DaemonError::Launcher { address: launcher, error }),
        }
    }
}

/// Says where we listen, and hears what the job is.
fn set_up(stream: &mut TcpStream, port: u16) -> Result<Setup, DaemonError> {
    let gone = |error: io::Error| DaemonError::Gone(format!("the launcher is gone: {error}"));
    let mut bytes = Vec::new();
    framing::put(&mut bytes, &[&to_bytes(&Listening { port })])
        .map_err(|error| DaemonError::Gone(error.to_string()))?;
    stream.write_all(&bytes).map_err(gone)?;
    stream.set_read_timeout(Some(START_LIMIT)).map_err(gone)?;
    let setup = super::read_one(stream).map_err(DaemonError::Gone)?;
    stream.set_read_timeout(None).map_err(gone)?;
    Ok(setup)
}

struct Daemon {
    setup: Setup,
    memory: JobMemory,
    spilling: Option<Spilling>,
    since: Instant,
    launcher: Link,
    /// Of all links, for changes of memory.
    links: Vec<Link>,
    changes: Changes,
    introductions: Introductions,
    processes: Vec<Option<Running>>,
    happen: mpsc::Sender<Happened>,
    happened: mpsc::Receiver<Happened>,
}

/// A process of this host.
struct Running {
    incarnation: Incarnation,
    target: Target,
    windows: Arc<Windows>,
    stdin: Option<UnboundedSender<Vec<u8>>>,
}

/// What changes memory, one change at a time.
#[derive(Clone)]
struct Changes {
    memory: JobMemory,
    links: Vec<Link>,
    reaped: Arc<[AtomicBool]>,
    one: Arc<Mutex<()>>,
}

impl Daemon {
    fn new(
        setup: Setup,
        (links, introductions): (&Links, Introductions),
        key: JobKey,
        launcher: SocketAddr,
        stream: TcpStream,
        happen: &UnboundedSender<Told>,
    ) -> Result<Self, DaemonError> {
        let system = |error| DaemonError::System { what: "start a thread", error };
        let config = JobConfig {
            ranks: setup.ranks,
            ranks_per_domain: setup.ranks_per_domain,
            failure_unit_is_node: setup.failure_unit_is_node,
            limit_bytes: setup.limit_bytes,
            specification: setup.specification.clone(),
        };
        let (memory, spilling) = spilling::create(&config, setup.spill.as_ref())?;
        let missing = || DaemonError::Gone("the launcher does not know this host".to_owned());
        let here = setup.hosts.get(setup.me as usize).ok_or_else(missing)?.ranks.clone();
        let others = || (0..).zip(&setup.hosts).filter(|&(at, _)| at != setup.me);
        memory.set_hosts(here.clone(), &others().map(|(_, host)| host.ranks.clone()).collect::<Vec<_>>());
        let fail = || {
            let happen = happen.clone();
            Box::new(move |why| drop(happen.send(Told::Gone(why))))
        };
        let mut connected = Vec::new();
        for (at, host) in others() {
            let side = Side::Hosts { here: here.clone(), there: host.ranks.clone() };
            // Of two hosts the one with the greater number calls.
            let calls = at < setup.me;
            let call = calls.then(|| Call {
                address: host.address,
                key: key.clone(),
                from: number_of(setup.me),
                to: number_of(at),
            });
            let hearing = introductions.clone();
            let ears = Ears { receive: Box::new(move |bytes| hearing.hear(bytes)), fail: fail() };
            let link = Link::start(format!("host {}", host.name), memory.mirror(side), call, ears);
            connected.push((number_of(at), link.map_err(system)?));
        }
        let orders = happen.clone();
        let ears = Ears {
            receive: Box::new(move |bytes| {
                let told = from_bytes(bytes).map_or_else(Told::Gone, Told::Order);
                let _ = orders.send(told);
            }),
            fail: fail(),
        };
        let call = Call { address: launcher, key, from: number_of(setup.me), to: LAUNCHER };
        let mirror = memory.mirror(Side::ToLauncher { here });
        let launcher = Link::start("the launcher".to_owned(), mirror, Some(call), ears).map_err(system)?;
        launcher.attach(stream);
        let all =
            connected.iter().map(|(_, link)| link.clone()).chain([launcher.clone()]).collect::<Vec<_>>();
        let _ = links.set(connected);
        if let Err(denied) = randomization_off() {
            tracing::warn!(%denied, "addresses stay random");
        }
        let (happen, happened) = mpsc::channel(REPORTS);
        Ok(Self {
            processes: (0..setup.ranks).map(|_| None).collect(),
            changes: Changes {
                memory: memory.clone(),
                links: all.clone(),
                reaped: (0..setup.ranks).map(|_| AtomicBool::new(true)).collect(),
                one: Arc::default(),
            },
            introductions,
            setup,
            memory,
            spilling,
            since: Instant::now(),
            launcher,
            links: all,
            happen,
            happened,
        })
    }

    async fn run(mut self, mut told: UnboundedReceiver<Told>) -> Result<(), DaemonError> {
        if self.setup.ready_bytes > 0 {
            // Before the first order is obeyed; the links are there meanwhile.
            let text = spilling::make_ready(&self.memory, self.setup.ready_bytes);
            self.tell(&Tale::Memory { text });
        }
        let mut look = tokio::time::interval(LOOK);
        let ended = loop {
            tokio::select! {
                biased;
                Some(happened) = self.happened.recv() => self.report(happened),
                Some(told) = told.recv() => match told {
                    Told::Order(Order::Leave) => break Ok(()),
                    Told::Order(order) => self.obey(order),
                    Told::Gone(why) => {
                        self.tell(&Tale::Trouble { why: why.clone() });
                        break Err(DaemonError::Gone(why));
                    }
                },
                _ = look.tick(), if self.spilling.is_some() => self.look_at_memory(),
            }
        };
        for running in self.processes.iter().flatten() {
            running.target.signal(Signal::KILL);
        }
        if ended.is_err() {
            self.launcher.drain(Duration::from_millis(500));
        }
        self.links.iter().for_each(Link::close);
        ended
    }

    /// Tells of what goes on in the file.
    fn look_at_memory(&mut self) {
        let (elapsed, ever_bytes) = (self.since.elapsed(), self.memory.ever_spilled_bytes());
        let told = self.spilling.as_mut().and_then(|spilling| spilling.look(elapsed, ever_bytes));
        told.into_iter().for_each(|text| self.tell(&Tale::Memory { text }));
    }

    fn tell(&self, tale: &Tale) {
        self.launcher.tell(to_bytes(tale));
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Spawn { rank, incarnation, environment, recovery } => {
                if let Err(error) = self.spawn(rank, incarnation, environment, &recovery) {
                    let (number, why) = (error.raw_os_error(), error.to_string());
                    self.tell(&Tale::CannotSpawn { rank, number, why });
                }
            }
            Order::Signal { rank, signal } => {
                let signal = Signal::from_named_raw(signal);
                if let (Some(running), Some(signal)) = (self.running(rank), signal) {
                    running.target.signal(signal);
                }
            }
            Order::Grant { rank, incarnation, is_err, bytes } => {
                if let Some(running) = self.running(rank).filter(|running| running.incarnation == incarnation)
                {
                    let Windows { out, err } = &*running.windows;
                    if is_err { err } else { out }.give_back(bytes as usize);
                }
            }
            Order::Feed { incarnation, bytes } => {
                if let Some(running) = self.running(0).filter(|running| running.incarnation == incarnation) {
                    match &running.stdin {
                        Some(stdin) if !bytes.is_empty() => drop(stdin.send(bytes)),
                        _ => running.stdin = None,
                    }
                }
            }
            Order::Change { ticket, view, rank, fate } => {
                self.work(ticket, move |changes| changes.change(view, rank, fate));
            }
            Order::Quiesce { ticket } => self.work(ticket, |changes| {
                changes.memory.quiesce(|rank| changes.blocked(rank));
                Ok(())
            }),
            Order::Announce { ticket, tokens } => {
                self.work(ticket, move |changes| changes.memory.announce(&tokens));
            }
            // What is told comes after what stands in the journals.
            Order::Sync { ticket } => self.tell(&Tale::Done { ticket, why_not: None }),
            Order::Sum { ticket } => {
                self.look_at_memory();
                let sum = self.spilling.as_ref().and_then(Spilling::sum);
                sum.into_iter().for_each(|text| self.tell(&Tale::Memory { text }));
                self.tell(&Tale::Done { ticket, why_not: None });
            }
            Order::Leave => {}
        }
    }

    fn running(&mut self, rank: Rank) -> Option<&mut Running> {
        self.processes.get_mut(rank as usize).and_then(Option::as_mut)
    }

    /// Does what may have to wait for processes, beside everything else.
    fn work(&self, ticket: Ticket, work: impl FnOnce(&Changes) -> Result<(), Fault> + Send + 'static) {
        let (changes, launcher) = (self.changes.clone(), self.launcher.clone());
        tokio::task::spawn_blocking(move || {
            let done = {
                let _one = changes.one.lock().unwrap_or_else(PoisonError::into_inner);
                work(&changes)
            };
            let why_not = done.err().map(|fault| fault.to_string());
            launcher.tell(to_bytes(&Tale::Done { ticket, why_not }));
        });
    }

    fn spawn(
        &mut self,
        rank: Rank,
        incarnation: Incarnation,
        mut environment: Vec<(String, String)>,
        recovery: &[u8],
    ) -> io::Result<()> {
        if rank >= self.setup.ranks {
            return Err(io::Error::other(format!("there is no rank {rank}")));
        }
        self.memory.set_recovery(rank, recovery).map_err(|fault| io::Error::other(fault.to_string()))?;
        self.memory.begin_incarnation(rank, incarnation);
        let fd = self.memory.fd();
        environment.extend(
            JobMemory::environment(fd.as_raw_fd(), rank, incarnation, None)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        let (ours, theirs) = introduction::pair()?;
        let (mut inherits, variables) = self.memory.wakers(theirs.as_raw_fd());
        inherits.extend([fd, theirs.as_fd()]);
        if let Some((file, (name, value))) = self.memory.file() {
            inherits.push(file);
            environment.push((name.to_owned(), value));
        }
        environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        let Setup { program, args, environment: base, .. } = &self.setup;
        let launch = Launch { program, args, base: Some(base), environment, inherits, fed: rank == 0 };
        let mut spawned = launch.spawn()?;
        drop(theirs);
        self.introductions.serve(rank, ours)?;
        let target = Target::of(&spawned)?;
        self.changes.reaped[rank as usize].store(false, Ordering::Release);
        let stdin = spawned.stdin.take().map(|stdin| {
            let (bytes, more) = mpsc::unbounded_channel();
            tokio::spawn(pass_on(stdin, more, incarnation, self.launcher.clone()));
            bytes
        });
        let windows = Arc::new(Windows { out: Window::closed(), err: Window::closed() });
        self.processes[rank as usize] =
            Some(Running { incarnation, target, windows: Arc::clone(&windows), stdin });
        begin_watching(rank, spawned, windows, self.memory.clone(), self.happen.clone());
        Ok(())
    }

    fn report(&mut self, happened: Happened) {
        match happened {
            Happened::Wrote(chunk) => self.tell(&Tale::Wrote {
                rank: chunk.rank,
                is_err: chunk.stream == Stream::Err,
                bytes: chunk.bytes,
                head: chunk.head,
                observed: chunk.observed,
            }),
            Happened::Noticed { rank, line } => self.tell(&Tale::Noticed { rank, line }),
            Happened::Ended(ended) => {
                self.processes[ended.rank as usize] = None;
                self.introductions.leave(ended.rank);
                self.changes.reaped[ended.rank as usize].store(true, Ordering::Release);
                if let Err(fault) = self.memory.reaped(ended.rank) {
                    tracing::warn!(rank = ended.rank, %fault, "a rank left its memory overwritten");
                }
                let (is_signal, code) = match ended.how {
                    How::Signal(signal) => (true, signal),
                    How::Exit(code) => (false, code),
                };
                self.tell(&Tale::Ended { rank: ended.rank, is_signal, code });
            }
            Happened::Lost { rank, error } => self.tell(&Tale::Lost { rank, why: error.to_string() }),
            // The launcher alone learns of these.
            Happened::CannotSpawn { .. } | Happened::HostLost { .. } | Happened::HostTold { .. } => {}
        }
    }
}

impl Changes {
    fn change(&self, view: u64, rank: Rank, fate: Fate) -> Result<(), Fault> {
        // While memory changes nothing is taken or sent.
        let mut mirrors: Vec<_> = self.links.iter().map(Link::mirror).collect();
        mirrors.iter_mut().try_for_each(|mirror| mirror.changing())?;
        super::change_memory(&self.memory, rank, fate, |rank| self.blocked(rank))?;
        mirrors.iter_mut().try_for_each(|mirror| mirror.changed(view, rank))?;
        drop(mirrors);
        self.links.iter().for_each(Link::ring);
        Ok(())
    }

    fn blocked(&self, rank: Rank) -> Blocked {
        match self.reaped[rank as usize].load(Ordering::Acquire) {
            true => Blocked::Reaped,
            false => Blocked::Wait,
        }
    }
}

/// Hands standard input to a process, and tells how much of it was taken.
async fn pass_on(
    mut process: pipe::Sender,
    mut more: UnboundedReceiver<Vec<u8>>,
    incarnation: Incarnation,
    launcher: Link,
) {
    while let Some(bytes) = more.recv().await {
        if process.write_all(&bytes).await.is_err() {
            return;
        }
        let bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        launcher.tell(to_bytes(&Tale::Fed { incarnation, bytes }));
    }
}
