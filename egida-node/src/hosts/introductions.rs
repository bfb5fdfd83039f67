//! Connections between two ranks of different hosts: their daemons make them, and hand each rank its end.
//!
//! ```text
//!   rank a      daemon of a                   daemon of b      rank b
//!     -- ask b -->                                <-- ask a --
//!                  -- b is asked for by a -->
//!                  <-- handshake, Meeting ---
//!     <-- offer --                                -- offer -->
//! ```
//!
//! A connection is made when both ranks have asked, which they do when one sends and the other finds what was sent. Of two hosts
//! the one with the greater number calls, as for their link. What becomes of the connection is the ranks' affair.

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use egida_core::ids::Rank;
use egida_net::{JobKey, dial, framing};
use egida_shm::introduction::{Offer, asked, offer};
use serde::{Deserialize, Serialize};

use super::link::Link;
use super::orders::{HostAt, from_bytes, to_bytes};
use super::{lock, number_of};
use crate::process::readable;

/// Added to a host's number where it calls for two ranks rather than for its link.
const FOR_RANKS: u32 = 1 << 31;

/// How long the other host may take to say for whom it calls.
const HEARING_LIMIT: Duration = Duration::from_secs(5);

/// The links to other hosts, each with the host's number.
pub type Links = Arc<OnceLock<Vec<(u32, Link)>>>;

/// What a daemon does for this. Clones are the same.
#[derive(Clone)]
pub struct Introductions(Arc<Shared>);

struct Shared {
    me: u32,
    hosts: Vec<HostAt>,
    key: JobKey,
    links: Links,
    /// The ranks of this host that live, to be handed something.
    ranks: Mutex<HashMap<Rank, OwnedFd>>,
    /// Who has asked: of a rank of this host and one of another.
    asked: Mutex<HashMap<(Rank, Rank), Asked>>,
    /// Of the connections that this host has called for.
    last_number: AtomicU64,
}

#[derive(Default)]
struct Asked {
    here: bool,
    there: bool,
}

/// A rank asks for another; or that is whom the connection is for on which it comes, which has a number then.
#[derive(Debug, Serialize, Deserialize)]
struct Meeting {
    /// Of the host that says it.
    rank: Rank,
    /// Of the host that hears it.
    peer: Rank,
    number: u64,
}

/// Of which host a caller is, and whether it calls for ranks.
pub fn caller(from: u32) -> (u32, bool) {
    (from & !FOR_RANKS, from & FOR_RANKS != 0)
}

impl Introductions {
    /// Between these hosts' ranks, at one of them.
    pub fn new(me: u32, hosts: Vec<HostAt>, key: JobKey, links: Links) -> Self {
        Self(Arc::new(Shared {
            me,
            hosts,
            key,
            links,
            ranks: Mutex::default(),
            asked: Mutex::default(),
            last_number: AtomicU64::new(0),
        }))
    }

    /// A rank of this host lives, and asks by this descriptor. It is served until it does not live any more.
    ///
    /// # Errors
    /// [`std::io::Error`] where there are no descriptors left.
    pub fn serve(&self, rank: Rank, fd: OwnedFd) -> std::io::Result<()> {
        lock(&self.0.ranks).insert(rank, fd.try_clone()?);
        let fd = readable(fd)?;
        let this = self.clone();
        tokio::spawn(async move {
            while let Ok(mut ready) = fd.readable().await {
                match asked(ready.get_inner()) {
                    Ok(Some(peer)) => this.ask(rank, peer),
                    Ok(None) => ready.clear_ready(),
                    Err(_) => return,
                }
            }
        });
        Ok(())
    }

    /// A rank of this host does not live any more.
    pub fn leave(&self, rank: Rank) {
        lock(&self.0.ranks).remove(&rank);
        lock(&self.0.asked).retain(|&(here, _), _| here != rank);
    }

    fn ask(&self, rank: Rank, peer: Rank) {
        let Some((at, _)) = self.host_of(peer) else { return };
        if at < self.0.me {
            self.note(rank, peer, |asked| asked.here = true);
        } else if let Some(links) = self.0.links.get()
            && let Some((_, link)) = links.iter().find(|(number, _)| *number == number_of(at))
        {
            link.tell(to_bytes(&Meeting { rank, peer, number: 0 }));
        }
    }

    /// A rank of another host has asked for one of this.
    pub fn hear(&self, bytes: &[u8]) {
        match from_bytes(bytes) {
            Ok(Meeting { rank, peer, .. }) => self.note(peer, rank, |asked| asked.there = true),
            Err(why) => tracing::warn!(why, "nobody is introduced"),
        }
    }

    fn note(&self, here: Rank, there: Rank, note: impl FnOnce(&mut Asked)) {
        let mut all = lock(&self.0.asked);
        let asked = all.entry((here, there)).or_default();
        note(asked);
        if asked.here && asked.there {
            all.remove(&(here, there));
            drop(all);
            let this = self.clone();
            let call = move || this.call(here, there);
            // Without a thread there is no connection: the link carries on.
            let _ = thread::Builder::new().name("egida-introduce".to_owned()).spawn(call);
        }
    }

    fn call(&self, here: Rank, there: Rank) {
        let Some((at, host)) = self.host_of(there) else { return };
        let number = self.0.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let from = number_of(self.0.me) | FOR_RANKS;
        let called = dial(host.address, &self.0.key, from, number_of(at)).map_err(|error| error.to_string());
        let met = called.and_then(|mut stream| {
            let mut bytes = Vec::new();
            let meeting = Meeting { rank: here, peer: there, number };
            framing::put(&mut bytes, &[&to_bytes(&meeting)]).map_err(|error| error.to_string())?;
            stream.write_all(&bytes).map_err(|error| error.to_string())?;
            Ok(stream)
        });
        match met {
            Ok(stream) => self.hand(here, Offer { peer: there, number, stream }),
            Err(why) => tracing::debug!(to = host.name, why, "two ranks are not introduced"),
        }
    }

    /// Another host has called for two ranks.
    pub fn meet(&self, from: u32, mut stream: TcpStream) {
        let limited = |stream: &TcpStream, limit| stream.set_read_timeout(limit).is_ok();
        if !limited(&stream, Some(HEARING_LIMIT)) {
            return;
        }
        match super::read_one(&mut stream) {
            Ok(Meeting { rank, peer, number })
                if self.host_of(rank).is_some_and(|(at, _)| number_of(at) == from) =>
            {
                if limited(&stream, None) {
                    self.hand(peer, Offer { peer: rank, number, stream });
                }
            }
            Ok(meeting) => tracing::warn!(?meeting, from, "a host introduces a rank that is not its own"),
            Err(why) => tracing::debug!(why, "nobody is introduced"),
        }
    }

    /// Hands a rank of this host its end of a connection.
    fn hand(&self, rank: Rank, end: Offer) {
        if let Some(fd) = lock(&self.0.ranks).get(&rank)
            && let Err(error) = offer(fd.as_fd(), &end)
        {
            tracing::debug!(rank, %error, "a connection is not handed over");
        }
    }

    /// The other host where a rank is.
    fn host_of(&self, rank: Rank) -> Option<(u32, &HostAt)> {
        let mut hosts = (0..).zip(&self.0.hosts);
        hosts.find(|(at, host)| *at != self.0.me && host.ranks.contains(&rank))
    }
}
