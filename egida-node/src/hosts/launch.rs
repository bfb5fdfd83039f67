//! Starting the daemons, and bringing them together.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use egida_core::ids::Rank;
use egida_net::{JobKey, Listener, framing};
use egida_shm::{JobMemory, Side};
use thiserror::Error;
use tokio::sync::Semaphore;

use super::daemon::START_LIMIT;
use super::link::{Ears, Link};
use super::orders::{HostAt, Listening, to_bytes};
use super::{AtHost, Hosts, LAUNCHER, Setup, lock, number_of};
use crate::process::Happened;

/// How often it is looked whether a daemon has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Where a job's ranks are to be, and how daemons are started there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosting {
    /// Each host, and its ranks.
    pub hosts: Vec<(String, Range<Rank>)>,
    /// The words of the command that runs another on a host: it is given the host's name and that other command. Nothing for
    /// `ssh`, and for running it here where the host is `localhost`.
    pub starter: Option<Vec<String>>,
    /// The launcher's name or address as hosts see it; nothing for that from which they are reached.
    pub address: Option<String>,
}

/// Why the daemons are not all there.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be found.
    #[error("no address is known for `{name}`: {error}; name the launcher's own with `--address`")]
    Address {
        /// Of what.
        name: String,
        /// Why not.
        error: io::Error,
    },
    /// A command cannot be run.
    #[error("cannot run `{command}`: {error}")]
    Command {
        /// Which.
        command: String,
        /// Why not.
        error: io::Error,
    },
    /// A daemon ended instead of calling.
    #[error("the daemon of host {name} ended before the job began ({status})")]
    Ended {
        /// On which host.
        name: String,
        /// How.
        status: String,
    },
    /// A daemon did not call.
    #[error("the daemon of host {name} did not call within {} s", START_LIMIT.as_secs())]
    Silent {
        /// On which host.
        name: String,
    },
    /// A daemon said what cannot be.
    #[error("the daemon of host {name}: {why}")]
    Confused {
        /// On which host.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The system refused something.
    #[error("cannot {what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
}

impl Hosts {
    /// Starts a daemon on each host and waits until all have called. `setup` says what the job is; its hosts are filled in here.
    ///
    /// # Errors
    /// [`StartError`]; no daemon is left then.
    pub fn start(
        hosting: &Hosting,
        setup: Setup,
        memory: &JobMemory,
        happen: tokio::sync::mpsc::Sender<Happened>,
    ) -> Result<Arc<Self>, StartError> {
        let system = |what| move |error| StartError::System { what, error };
        let key = JobKey::random().map_err(system("make a key"))?;
        let links: Arc<OnceLock<Vec<Link>>> = Arc::default();
        let (arrive, arrivals) = mpsc::channel();
        let arrive = Mutex::new(arrive);
        let known = Arc::clone(&links);
        let welcome = move |from: u32, stream: TcpStream| match known.get() {
            Some(links) => {
                if let Some(link) = from.checked_sub(number_of(0)).and_then(|at| links.get(at as usize)) {
                    link.attach(stream);
                }
            }
            None => drop(lock(&arrive).send((from, stream))),
        };
        let addresses = hosting.hosts.iter().map(|(name, _)| hosting.address_for(name));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        let listener = listen(&addresses, &key, welcome).map_err(system("listen"))?;
        let mut started = Started(Vec::new());
        for (at, ((name, _), address)) in (0..).zip(hosting.hosts.iter().zip(&addresses)) {
            let launcher = SocketAddr::new(*address, listener.port());
            started.0.push(hosting.start_one(name, at, launcher, &key)?);
        }
        let calls = started.wait(hosting, &arrivals)?;
        let setup = Setup {
            hosts: hosting
                .hosts
                .iter()
                .zip(&calls)
                .map(|((name, ranks), (_, address))| HostAt {
                    name: name.clone(),
                    ranks: ranks.clone(),
                    address: *address,
                })
                .collect(),
            ..setup
        };
        memory.set_hosts(0..0, &hosting.hosts.iter().map(|(_, ranks)| ranks.clone()).collect::<Vec<_>>());
        let found: Arc<OnceLock<Arc<Self>>> = Arc::default();
        let mut hosts = Vec::new();
        for (at, ((name, ranks), (mut stream, _))) in hosting.hosts.iter().zip(calls).enumerate() {
            let confused = |why: String| StartError::Confused { name: name.clone(), why };
            let mut bytes = Vec::new();
            let message = to_bytes(&Setup { me: at as u32, ..setup.clone() });
            framing::put(&mut bytes, &[&message]).map_err(|error| confused(error.to_string()))?;
            stream.write_all(&bytes).map_err(|error| confused(error.to_string()))?;
            let mirror = memory.mirror(Side::ToHost { there: ranks.clone() });
            let (hearing, failing) = (Arc::clone(&found), Arc::clone(&found));
            let ears = Ears {
                receive: Box::new(move |bytes| hearing.wait().hear(at, bytes)),
                fail: Box::new(move |why| failing.wait().lost(at, &why)),
            };
            let link = Link::start(format!("host {name}"), mirror, None, ears);
            let link = link.map_err(system("start a thread"))?;
            link.attach(stream);
            hosts.push((name.clone(), ranks.clone(), link));
        }
        let _ = links.set(hosts.iter().map(|(.., link)| link.clone()).collect());
        let starters = std::mem::take(&mut started.0);
        let hosts = hosts.into_iter().zip(starters).map(|((name, ranks, link), starter)| AtHost {
            name,
            ranks,
            link,
            starter: Mutex::new(starter),
        });
        let hosts = Arc::new(Self {
            hosts: hosts.collect(),
            memory: memory.clone(),
            tickets: Mutex::default(),
            next_ticket: AtomicU64::new(1),
            view: AtomicU64::new(0),
            is_leaving: AtomicBool::new(false),
            fed: Mutex::new((0, Arc::new(Semaphore::new(0)))),
            happen,
        });
        let _ = found.set(Arc::clone(&hosts));
        let watched = Arc::clone(&hosts);
        let body = move || watched.watch_starters();
        thread::Builder::new()
            .name("egida-hosts".to_owned())
            .spawn(body)
            .map_err(system("start a thread"))?;
        Ok(hosts)
    }

    /// Notices that what started a daemon has ended before its time.
    fn watch_starters(&self) {
        let mut told = vec![false; self.hosts.len()];
        while !self.is_leaving.load(Ordering::Acquire) {
            for (at, host) in self.hosts.iter().enumerate() {
                let ended = lock(&host.starter).try_wait();
                if let Ok(Some(status)) = ended
                    && !std::mem::replace(&mut told[at], true)
                {
                    self.lost(at, &format!("its daemon ended ({status})"));
                }
            }
            thread::sleep(LOOK);
        }
    }
}

impl Hosting {
    /// The launcher's address as a host sees it.
    fn address_for(&self, host: &str) -> Result<IpAddr, StartError> {
        let named = |name: &str| {
            let addresses = (name, 0).to_socket_addrs();
            let first = addresses.and_then(|mut all| all.next().ok_or(io::ErrorKind::NotFound.into()));
            first.map_err(|error| StartError::Address { name: name.to_owned(), error })
        };
        if let Some(own) = &self.address {
            return Ok(named(own)?.ip());
        }
        // The address from which the system would send there; nothing is sent. A user's name is for ssh alone.
        let name = host.rsplit('@').next().unwrap_or(host);
        let to = named(name)?;
        let any =
            if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let local = UdpSocket::bind((any, 0)).and_then(|socket| {
            socket.connect((to.ip(), 9))?;
            socket.local_addr()
        });
        local.map(|local| local.ip()).map_err(|error| StartError::Address { name: host.to_owned(), error })
    }

    fn start_one(
        &self,
        name: &str,
        at: u32,
        launcher: SocketAddr,
        key: &JobKey,
    ) -> Result<Child, StartError> {
        let words = self.command(name, at, launcher);
        let shown = || words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let failed = |error| StartError::Command { command: shown(), error };
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        // A signal from the terminal is the launcher's to handle.
        let mut child = command.process_group(0).spawn().map_err(failed)?;
        let key = format!("{}\n", key.to_hex());
        // One that has ended already is noticed where it is waited for.
        let _ = child.stdin.as_mut().map(|stdin| stdin.write_all(key.as_bytes()));
        Ok(child)
    }

    fn command(&self, name: &str, at: u32, launcher: SocketAddr) -> Vec<OsString> {
        let egida =
            std::env::current_exe().map_or_else(|_| "egida".into(), std::path::PathBuf::into_os_string);
        let daemon =
            ["daemon", "--host", &at.to_string(), "--launcher", &launcher.to_string()].map(OsString::from);
        let is_here = matches!(name, "localhost" | "127.0.0.1" | "::1");
        let mut words: Vec<OsString> = match &self.starter {
            Some(words) => words.iter().map(OsString::from).collect(),
            None if is_here => Vec::new(),
            // There is no terminal at which it could ask.
            None => ["ssh", "-o", "BatchMode=yes"].map(OsString::from).into(),
        };
        let is_read_by_a_shell = words.first().is_some_and(is_remote_shell);
        if !words.is_empty() {
            words.push(name.into());
        }
        words.push(if is_read_by_a_shell { quoted(&egida) } else { egida });
        words.extend(daemon);
        words
    }
}

/// Whether a command hands what it is to run to a shell, joined with spaces, and not word by word.
fn is_remote_shell(command: &OsString) -> bool {
    let name = Path::new(command).file_name().unwrap_or_default();
    ["ssh", "rsh", "remsh"].iter().any(|&shell| name == shell)
}

/// A word as a shell takes it for that word.
fn quoted(word: &OsStr) -> OsString {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,".contains(byte);
    if !word.is_empty() && word.as_bytes().iter().all(is_plain) {
        return word.to_owned();
    }
    let mut bytes = vec![b'\''];
    for &byte in word.as_bytes() {
        match byte {
            b'\'' => bytes.extend_from_slice(b"'\\''"),
            _ => bytes.push(byte),
        }
    }
    bytes.push(b'\'');
    OsString::from_vec(bytes)
}

/// Daemons that are started, and are not to outlive a failure to bring them together.
struct Started(Vec<Child>);

impl Drop for Started {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Started {
    /// Waits until each daemon has called and said where it listens.
    fn wait(
        &mut self,
        hosting: &Hosting,
        arrivals: &mpsc::Receiver<(u32, TcpStream)>,
    ) -> Result<Vec<(TcpStream, SocketAddr)>, StartError> {
        let until = Instant::now() + START_LIMIT;
        let mut calls: Vec<Option<(TcpStream, SocketAddr)>> = hosting.hosts.iter().map(|_| None).collect();
        while let Some(missing) = calls.iter().position(Option::is_none) {
            match arrivals.recv_timeout(LOOK) {
                Ok((from, mut stream)) => {
                    let at = from.checked_sub(number_of(0)).and_then(|at| usize::try_from(at).ok());
                    let Some((at, (name, _))) = at.and_then(|at| Some((at, hosting.hosts.get(at)?))) else {
                        continue;
                    };
                    let address = listening(&mut stream);
                    let confused = |why| StartError::Confused { name: name.clone(), why };
                    calls[at] = Some((stream, address.map_err(confused)?));
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                Err(_) => return Err(StartError::Silent { name: hosting.hosts[missing].0.clone() }),
            }
            for (child, (name, _)) in self.0.iter_mut().zip(&hosting.hosts) {
                if let Ok(Some(status)) = child.try_wait() {
                    return Err(StartError::Ended { name: name.clone(), status: status.to_string() });
                }
            }
        }
        Ok(calls.into_iter().flatten().collect())
    }
}

/// Where the daemon that has called listens.
fn listening(stream: &mut TcpStream) -> Result<SocketAddr, String> {
    let text = |error: io::Error| error.to_string();
    stream.set_read_timeout(Some(START_LIMIT)).map_err(text)?;
    let Listening { port } = super::read_one(stream)?;
    stream.set_read_timeout(None).map_err(text)?;
    Ok(SocketAddr::new(stream.peer_addr().map_err(text)?.ip(), port))
}

/// Listens where all daemons can call: at the one address that they are given, if there is only one and it is ours.
fn listen(
    addresses: &[IpAddr],
    key: &JobKey,
    welcome: impl Fn(u32, TcpStream) + Send + Sync + 'static,
) -> io::Result<Listener> {
    let welcome = Arc::new(welcome);
    let start = |address| {
        let welcome = Arc::clone(&welcome);
        Listener::start(address, key.clone(), LAUNCHER, move |from, stream| welcome(from, stream))
    };
    let first = addresses.first().copied().unwrap_or(Ipv4Addr::LOCALHOST.into());
    if addresses.iter().all(|&address| address == first)
        && let Ok(listener) = start(first)
    {
        return Ok(listener);
    }
    let is_ipv4 = addresses.iter().all(IpAddr::is_ipv4);
    start(if is_ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(starter: Option<&str>, host: &str) -> Vec<String> {
        let starter = starter.map(|words| words.split_whitespace().map(str::to_owned).collect());
        let hosting = Hosting { hosts: Vec::new(), starter, address: None };
        let words = hosting.command(host, 1, ([10, 0, 0, 1], 7).into());
        words.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn a_daemon_is_started_by_what_the_user_names_or_ssh() {
        let daemon = ["daemon", "--host", "1", "--launcher", "10.0.0.1:7"];
        let over_ssh = words(None, "far");
        assert_eq!(over_ssh[..4], ["ssh", "-o", "BatchMode=yes", "far"]);
        assert_eq!(over_ssh[5..], daemon);
        assert_eq!(words(None, "localhost")[1..], daemon);
        let named = words(Some("ip netns exec"), "far");
        assert_eq!(
            (&named[..4], &named[5..]),
            (&["ip", "netns", "exec", "far"].map(String::from)[..], &daemon.map(String::from)[..])
        );
    }

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        for (word, shown) in [
            ("/usr/bin/egida-0.1", "/usr/bin/egida-0.1"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME;*", "'$HOME;*'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(OsStr::new(word)), shown);
        }
        assert!(is_remote_shell(&"/usr/bin/ssh".into()) && !is_remote_shell(&"ip".into()));
    }
}
