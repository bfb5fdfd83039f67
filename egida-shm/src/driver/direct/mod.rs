//! Connections of this rank's own to ranks of other hosts.
//!
//! A message to such a rank is appended to its channel as any other, and goes out by the daemons' link. When both ranks have used
//! the channel, their daemons make a connection and hand each its end ([`crate::introduction`]). The rank claims the pair
//! ([`crate::carrier`]), and once that is granted it does in its own calls what the link did: it writes to the socket
//! what it appended, as far as the system takes it, and reads from it into the mirror of the other's log. It never blocks there.
//!
//! Whatever goes wrong with a connection is answered in one way: the pair is given up, and the link carries it again from where it
//! stands. Nothing that was read and not appended, or written and not received, is lost: it stands in the log that it comes from.
//! A rank that does not call for long reads nothing, and nobody minds: it needs nothing. What it has to send, and the system has
//! not taken, the daemon sends in its place after a while.

mod connection;
mod outgoing;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use egida_core::fault::Fault;
use egida_core::ids::Rank;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::sched_yield;

use crate::introduction::{Offer, ask, offered};
use crate::layout::Memory;
use crate::stretch::Stretch;
use connection::Connection;
pub use outgoing::Hollow;

/// How long a rank waits before it asks again for a connection that it did not get, or that broke.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How long it waits until a claim is granted. The daemon that has other things to do goes on carrying.
const GRANT: Duration = Duration::from_millis(50);

/// Every so manieth time it is looked whether a connection was offered.
const OFFER_LOOKS: u32 = 16;

/// With more connections than this the system is asked first which of them have something.
const FEW: usize = 2;

/// The connections of a rank.
#[derive(Debug)]
pub struct Direct {
    rank: Rank,
    /// To the daemon.
    daemon: OwnedFd,
    connections: Vec<Connection>,
    /// When each rank may be asked for next.
    ask_at: Vec<Option<Instant>>,
    /// How many that were asked for were not offered.
    awaited: u32,
    looks: u32,
    /// The epoch under which it was looked whether the connections still carry.
    epoch: u64,
}

impl Direct {
    /// No connections yet.
    pub fn new(rank: Rank, ranks: u32, daemon: OwnedFd) -> Self {
        let ask_at = (0..ranks).map(|_| None).collect();
        Self { rank, daemon, connections: Vec::new(), ask_at, awaited: 0, looks: 0, epoch: 0 }
    }

    /// Whether there is a connection to a rank.
    #[inline]
    pub fn has(&self, peer: Rank) -> bool {
        self.connections.iter().any(|connection| connection.peer() == peer)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.connections.len()
    }

    /// Sends what is new for a rank of another host. Returns whether its connection carries that; else the link does.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn push(&mut self, memory: &Memory, stretch: &mut Stretch, peer: Rank) -> Result<bool, Fault> {
        if !self.has(peer) {
            self.want(peer);
            return Ok(false);
        }
        self.in_stretch(memory, stretch, |connection| match connection.peer() == peer {
            true => connection.send(memory, false),
            false => Ok(true),
        })?;
        Ok(self.has(peer))
    }

    /// Whether a connection carries what goes to a rank, for as long as the stretch lasts in which this is asked.
    pub fn carries(&self, memory: &Memory, peer: Rank) -> bool {
        self.connections.iter().any(|connection| connection.peer() == peer && connection.is_held(memory))
    }

    /// Sends what is new for a rank, parts of which are not written yet, and then writes those: before anybody else can read the log,
    /// in a stretch in which the connection carries.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn push_and_fill(
        &mut self,
        memory: &Memory,
        stretch: &mut Stretch,
        peer: Rank,
        hollow: &[Hollow<'_>],
    ) -> Result<(), Fault> {
        let mut is_filled = false;
        let fill = || {
            let outside = |error| Fault::Driver(format!("a frame does not fit: {error}"));
            hollow.iter().try_for_each(|part| memory.arena().copy_in(part.at, part.bytes).map_err(outside))
        };
        self.in_stretch(memory, stretch, |connection| match connection.peer() == peer {
            true => {
                let sent = connection.send_hollow(memory, false, hollow);
                // With a connection that is given up, others read.
                is_filled = true;
                fill()?;
                sent
            }
            false => Ok(true),
        })?;
        if is_filled { Ok(()) } else { fill() }
    }

    /// Takes what has come, from one rank or from all, and sends what the system did not take before.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn pull(&mut self, memory: &Memory, stretch: &mut Stretch, from: Option<Rank>) -> Result<(), Fault> {
        if self.connections.is_empty() {
            return Ok(());
        }
        let all = from.is_none() && self.connections.len() <= FEW;
        if from.is_none() && !all && !self.wait(None, Duration::ZERO) {
            return Ok(());
        }
        self.in_stretch(memory, stretch, |connection| {
            if !all && from.map_or(!connection.is_ready(), |from| from != connection.peer()) {
                return Ok(true);
            }
            Ok(connection.receive(memory)? && connection.send(memory, false)?)
        })
    }

    /// Sends everything, because nothing may come for a while with which the rest could go.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn flush(&mut self, memory: &Memory, stretch: &mut Stretch) -> Result<(), Fault> {
        if self.connections.is_empty() {
            return Ok(());
        }
        self.in_stretch(memory, stretch, |connection| connection.send(memory, true))
    }

    /// Whether there is something to sleep for here, rather than on the rank's bell.
    pub fn is_used(&self) -> bool {
        self.awaited > 0 || !self.connections.is_empty()
    }

    /// Sleeps until something comes, or until the time is over. Returns whether something came.
    pub fn wait(&self, waker: Option<&OwnedFd>, limit: Duration) -> bool {
        let mut fds = Vec::with_capacity(self.connections.len() + 2);
        for connection in &self.connections {
            let out = if connection.is_behind() { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::from_borrowed_fd(connection.fd(), PollFlags::IN | out));
        }
        if let Some(waker) = waker {
            fds.push(PollFd::new(waker, PollFlags::IN));
            if self.awaited > 0 {
                fds.push(PollFd::new(&self.daemon, PollFlags::IN));
            }
        }
        let limit = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() };
        let any = poll(&mut fds, Some(&limit)).unwrap_or(0) > 0;
        for (connection, fd) in self.connections.iter().zip(&fds) {
            connection.set_ready(any && !fd.revents().is_empty());
        }
        if let Some(waker) = waker.filter(|_| any) {
            // Nothing stands there where others have woken us.
            let _ = rustix::io::read(waker, &mut [0; 8]);
        }
        any
    }

    /// Asks for a connection to a rank of another host, if there is none and it is time to.
    pub fn want(&mut self, peer: Rank) {
        let now = Instant::now();
        let at = &mut self.ask_at[peer as usize];
        if at.is_none_or(|at| at <= now) {
            self.awaited += u32::from(at.is_none());
            *at = Some(now + ASK_AGAIN);
            // Without a daemon this rank is about to die.
            let _ = ask(&self.daemon, peer);
        }
    }

    /// Takes up connections that were offered. To be called outside of stretches: it waits for the daemon.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn take_offers(&mut self, memory: &Arc<Memory>, stretch: &mut Stretch) -> Result<(), Fault> {
        self.looks = self.looks.wrapping_add(1);
        if self.awaited == 0 || !self.looks.is_multiple_of(OFFER_LOOKS) || !stretch.is_outside() {
            return Ok(());
        }
        while let Ok(Some(offer)) = offered(self.daemon.as_fd()) {
            if offer.peer >= memory.ranks() || !memory.is_elsewhere(offer.peer) {
                continue;
            }
            if self.ask_at[offer.peer as usize].take().is_some() {
                self.awaited -= 1;
            }
            self.take_up(memory, stretch, offer)?;
        }
        Ok(())
    }

    fn take_up(&mut self, memory: &Arc<Memory>, stretch: &mut Stretch, offer: Offer) -> Result<(), Fault> {
        let (peer, number) = (offer.peer, offer.number);
        let carrier = &memory.channel(self.rank, peer).reader.carrier;
        if !carrier.claim(number) {
            return Ok(());
        }
        memory.ring(memory.bell_of(peer));
        let until = Instant::now() + GRANT;
        while carrier.is_claimed_by(number) {
            if Instant::now() > until && !carrier.withdraw(number) {
                return Ok(());
            }
            sched_yield();
        }
        stretch.enter(memory);
        let mut taken = Ok(());
        if carrier.is_held(number) {
            taken = Connection::new(memory, self.rank, offer).map(|connection| {
                self.connections.retain(|other| other.peer() != peer);
                self.connections.push(connection);
            });
        }
        stretch.leave(memory);
        taken?;
        self.push(memory, stretch, peer).map(drop)
    }

    /// Does something with each connection that carries, while nobody takes that away. Those that broke are given up.
    fn in_stretch(
        &mut self,
        memory: &Memory,
        stretch: &mut Stretch,
        mut body: impl FnMut(&mut Connection) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        stretch.enter(memory);
        let is_new_epoch = std::mem::replace(&mut self.epoch, stretch.epoch()) != stretch.epoch();
        let mut done = Ok(());
        let mut lost = Vec::new();
        self.connections.retain_mut(|connection| {
            if is_new_epoch && !connection.is_held(memory) {
                lost.push(connection.peer());
                return false;
            }
            let is_whole = body(connection).unwrap_or_else(|fault| {
                done = Err(fault);
                true
            });
            if !is_whole {
                connection.give_up(memory);
                lost.push(connection.peer());
            }
            is_whole
        });
        stretch.leave(memory);
        for peer in lost {
            memory.ring(memory.bell_of(peer));
            self.ask_at[peer as usize] = Some(Instant::now() + ASK_AGAIN);
            self.awaited += 1;
        }
        done
    }
}
