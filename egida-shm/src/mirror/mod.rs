//! The memories of hosts that share a job: each log stands where its writer is, and is mirrored to where it is read.
//!
//! ```text
//!   host a                                   host b                                   launcher
//!   ranks 0, 1 | channels 0->2, ...  ------> mirror of channels 0->2 | ranks 2, 3
//!              | reader line of 0->2 <------ reader line of 0->2
//!              | journals of 0, 1  -------------------------------------------------> mirror of the journals
//!              | what stores hold  <------------------------------------------------- Writer, Copier
//! ```
//!
//! A rank sees no difference: it reads and writes the memory of its host. A [`Mirror`] is one end of a connection between
//! two memories; it makes messages out of what is new here, and writes what messages tell of the other side. It does no
//! input or output. The log is the source of everything that is sent, so nothing needs to be kept until it has arrived: the
//! receiving end says from which place on it wants each log, after a connection was lost, after the process that reads was
//! lost, or when all begins.
//!
//! *Views.* A death changes memory: logs are taken away, reader's lines are cleared. The coordinator has every host make the
//! same changes in the same order; their number is the host's view. Everything that an end sends, it sends under the view
//! that it told last; the other end drops what was sent under another view than its own, and nothing is sent to one of
//! another view. So what was under way while memory changed is never taken for what came after.
//!
//! *Pairs.* What goes between one rank of a host and one of another may be lent to a connection of these two ranks: `pairs` says
//! when, and how it comes back. Such a connection has a mirror of its own at either end, of nothing but that pair.

mod inflow;
mod outflow;
mod pairs;
mod wire;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use egida_core::fault::Fault;
use egida_core::gate::MAX_STORES;
use egida_core::ids::{Position, Rank};
use egida_core::wire::WireError;

use crate::bell::Bell;
use crate::layout::{LogName, Memory};
use crate::log::{Frame, FrameKind};
use inflow::Inflow;
use outflow::Outflow;
use pairs::Pairs;
pub(crate) use wire::FRAME_HEAD_BYTES;
use wire::{Message, Place, frame_head};

/// Of one log no more is sent at once, so that none keeps others waiting for long.
const TURN_BYTES: u64 = 256 << 10;

/// Between whom a mirror is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// Two hosts with these ranks.
    Hosts {
        /// On this host.
        here: Range<Rank>,
        /// On the other.
        there: Range<Rank>,
    },
    /// A rank of this host and one of another: at a connection of their own.
    Pair {
        /// On this host.
        here: Rank,
        /// On the other.
        there: Rank,
    },
    /// A host with these ranks, and the launcher: at the host.
    ToLauncher {
        /// On this host.
        here: Range<Rank>,
    },
    /// The same at the launcher.
    ToHost {
        /// On the host.
        there: Range<Rank>,
    },
}

/// How far journals had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached(Vec<(Rank, Position)>);

/// One end of a connection between two memories.
#[derive(Debug)]
pub struct Mirror {
    memory: Arc<Memory>,
    side: Side,
    view: u64,
    /// What the other end told of its view, on this connection.
    peer: Option<Peer>,
    is_view_told: bool,
    outflows: Vec<Outflow>,
    inflows: Vec<Inflow>,
    /// Where in `inflows` a log is, by its mark.
    index: HashMap<u64, usize>,
    /// Channels whose reader's line is told, and as it was told last.
    readers: Vec<(Rank, Rank, [u64; 3])>,
    heads: Vec<Position>,
    /// Ranks whose report is told, and as it was told last.
    reports: Vec<(Rank, Option<Report>)>,
    stable: Vec<[Position; MAX_STORES]>,
    pairs: Pairs,
    frames: Vec<Frame>,
    text: Vec<u8>,
}

/// An incarnation, and what it reports.
type Report = (u64, Vec<u64>);

/// Room for the content of a frame.
#[derive(Debug)]
pub struct Room {
    log: LogName,
    kind: FrameKind,
    /// Where it is.
    pub at: u64,
    /// How much.
    pub bytes: u64,
}

#[derive(Debug)]
struct Peer {
    view: u64,
    wants: HashMap<u64, Place>,
}

impl Mirror {
    /// The first byte of the message after which there may be much to send.
    pub const VIEW: u8 = wire::VIEW;

    pub(crate) fn new(memory: Arc<Memory>, side: Side) -> Self {
        let ranks = memory.ranks();
        let all = 0..ranks;
        let (out, into) = logs(&side);
        let readers = match &side {
            Side::Hosts { here, there } => pairs(there, here),
            &Side::Pair { here, there } => vec![(there, here)],
            Side::ToLauncher { here } => pairs(&all, here),
            Side::ToHost { .. } => Vec::new(),
        };
        let reports = match &side {
            Side::ToLauncher { here } => here.clone().map(|rank| (rank, None)).collect(),
            _ => Vec::new(),
        };
        Self {
            index: into.iter().enumerate().map(|(at, name)| (name.tag(), at)).collect(),
            outflows: out.into_iter().map(Outflow::new).collect(),
            inflows: into.into_iter().map(|name| Inflow::new(&memory, name)).collect(),
            readers: readers.into_iter().map(|(source, reader)| (source, reader, [0; 3])).collect(),
            heads: vec![0; ranks as usize],
            stable: vec![[0; MAX_STORES]; ranks as usize],
            reports,
            memory,
            pairs: Pairs::new(&side),
            side,
            view: 0,
            peer: None,
            is_view_told: false,
            frames: Vec::new(),
            text: Vec::new(),
        }
    }

    /// The end of a connection of a rank's own, to go on where what comes in ends in memory.
    ///
    /// # Errors
    /// [`Fault`] where a log is garbage.
    pub(crate) fn of_pair(memory: Arc<Memory>, here: Rank, there: Rank) -> Result<Self, Fault> {
        let mut mirror = Self::new(memory, Side::Pair { here, there });
        mirror.inflows.iter_mut().try_for_each(|inflow| inflow.resume(&mirror.memory))?;
        Ok(mirror)
    }

    /// Whether the other end has said what it wants.
    pub(crate) fn is_joined(&self) -> bool {
        self.agrees()
    }

    /// Where whoever sends for this mirror sleeps.
    #[must_use]
    pub fn bell(&self) -> MirrorBell {
        let at = match &self.side {
            Side::Hosts { there, .. } | Side::ToHost { there } => Some(there.start),
            Side::Pair { .. } | Side::ToLauncher { .. } => None,
        };
        MirrorBell { memory: Arc::clone(&self.memory), at }
    }

    /// There is a new connection: nothing that was told on the last one is known to have arrived.
    ///
    /// # Errors
    /// [`Fault`] where a log is garbage.
    pub fn connected(&mut self) -> Result<(), Fault> {
        self.take_all_back()?;
        self.peer = None;
        self.tell_anew();
        Ok(())
    }

    /// This host is about to change its memory.
    ///
    /// # Errors
    /// [`Fault`] where a log is garbage.
    pub fn changing(&mut self) -> Result<(), Fault> {
        self.take_all_back()?;
        self.inflows.iter_mut().for_each(|inflow| inflow.remember(&self.memory));
        Ok(())
    }

    /// This host has changed its memory, and has this view now. What it mirrored for the dead rank goes.
    ///
    /// # Errors
    /// [`Fault::Driver`] where memory cannot be given back.
    pub fn changed(&mut self, view: u64, dead: Rank) -> Result<(), Fault> {
        self.view = view;
        for outflow in &mut self.outflows {
            if outflow.name.owner() == dead {
                outflow.forget();
            }
        }
        for inflow in &mut self.inflows {
            inflow.look_again(&self.memory);
            if matches!(inflow.name(), LogName::Channel(_, reader) if reader == dead) {
                inflow.clear(&self.memory)?;
            }
        }
        self.tell_anew();
        self.want_again();
        Ok(())
    }

    fn tell_anew(&mut self) {
        self.is_view_told = false;
        self.pairs.tell_anew();
        self.outflows.iter_mut().for_each(Outflow::pause);
        self.inflows.iter_mut().for_each(Inflow::pause);
        self.readers.iter_mut().for_each(|(.., words)| *words = [0; 3]);
        self.heads.fill(0);
        self.stable.fill([0; MAX_STORES]);
        self.reports.iter_mut().for_each(|(_, told)| *told = None);
    }

    /// Whether both ends have made the same changes, as far as this one knows.
    fn agrees(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.view == self.view)
    }

    /// Whether what the other end tells beside the mirror's messages may be believed: at the launcher, only where those messages
    /// are, since it was told after them.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        !matches!(self.side, Side::ToHost { .. }) || self.agrees()
    }

    /// Takes up what the other end wants, where that is known under this view.
    fn want_again(&mut self) {
        let Some(peer) = self.peer.as_ref().filter(|peer| peer.view == self.view) else { return };
        for outflow in &mut self.outflows {
            outflow.want(peer.wants.get(&outflow.name.tag()).copied().unwrap_or_default());
        }
    }

    /// How far the journals of this host have come now.
    #[must_use]
    pub fn reached(&self) -> Reached {
        let head = |rank: Rank| self.memory.rank(rank).journal_heads.head.load(Ordering::Acquire);
        match &self.side {
            Side::ToLauncher { here } => Reached(here.clone().map(|rank| (rank, head(rank))).collect()),
            Side::Hosts { .. } | Side::Pair { .. } | Side::ToHost { .. } => Reached(Vec::new()),
        }
    }

    /// Whether the journals were sent so far: then whatever is sent from now on comes after them. It does not last: it is asked
    /// after [`Mirror::produce`].
    #[must_use]
    pub fn has_sent(&self, reached: &Reached) -> bool {
        let sent = |rank: Rank| {
            let of_it = self.outflows.iter().find(|outflow| outflow.name == LogName::Journal(rank));
            of_it.and_then(Outflow::number).unwrap_or(0)
        };
        let base = |rank: Rank| self.memory.rank(rank).journal.base.load(Ordering::Acquire);
        reached.0.is_empty()
            || (self.agrees()
                && reached.0.iter().all(|&(rank, head)| head <= base(rank) || head <= sent(rank)))
    }

    /// Whether there is something to send that nobody should wait for.
    #[must_use]
    pub fn has_news(&self) -> bool {
        if !self.is_view_told {
            return true;
        }
        if !self.agrees() {
            return false;
        }
        match &self.side {
            Side::Hosts { .. } | Side::Pair { .. } => {
                self.outflows.iter().any(|outflow| !outflow.is_lent && outflow.has_news(&self.memory))
                    || self.pairs.have_news(&self.memory)
            }
            // Entries of a journal that nobody waits for are sent with the next that somebody does, or now and then.
            Side::ToLauncher { .. } => self.reports.iter().any(|(rank, told)| {
                let report = self.memory.rank(*rank).report();
                told.as_ref().is_none_or(|(_, told)| told[..2 + MAX_STORES] != report[..2 + MAX_STORES])
            }),
            Side::ToHost { .. } => {
                let told = self.stable.iter().zip(self.memory.rank_slots());
                told.into_iter().any(|(told, slot)| *told != positions(&slot.stable))
            }
        }
    }

    /// Hands the messages of what is new to `send`, each in parts. Returns whether there was anything; then there may be more.
    ///
    /// # Errors
    /// [`Fault`] where a log is garbage.
    pub fn produce(&mut self, mut send: impl FnMut(&[&[u8]])) -> Result<bool, Fault> {
        let mut text = std::mem::take(&mut self.text);
        let produced = self.produce_with(&mut |message: Message<'_>| {
            message.write(&mut text);
            send(&[&text]);
        });
        self.text = text;
        let any = produced?;
        Ok(self.produce_logs(&mut send)? || any)
    }

    fn produce_with(&mut self, tell: &mut dyn FnMut(Message<'_>)) -> Result<bool, Fault> {
        let mut any = false;
        if !self.is_view_told {
            self.is_view_told = true;
            let places = self.inflows.iter().map(|inflow| (inflow.name().tag(), inflow.place()));
            let wants = places.filter(|(_, place)| *place != Place::default()).collect();
            tell(Message::View { view: self.view, wants });
            any = true;
        }
        if !self.agrees() {
            return Ok(any);
        }
        self.settle_pairs()?;
        while let Some((connection, log)) = self.pairs.next_want() {
            if let Some(inflow) = self.index.get(&log.tag()).and_then(|&at| self.inflows.get_mut(at)) {
                inflow.ask_anew();
                tell(Message::Want { connection, log, place: inflow.place() });
                any = true;
            }
        }
        for (source, reader, told) in &mut self.readers {
            let line = &self.memory.channel(*source, *reader).reader;
            let words = [&line.acknowledged, &line.depends, &line.released];
            let mut words = words.map(|word| word.load(Ordering::Acquire));
            // What a channel that was begun anew has not brought again is not released: it is still to come.
            let log = LogName::Channel(*source, *reader);
            let inflow = self.index.get(&log.tag()).and_then(|&at| self.inflows.get(at));
            if let Some(inflow) = inflow.filter(|_| !self.pairs.is_lent(*reader, *source)) {
                words[2] = words[2].min(inflow.place().number);
            }
            if words != *told {
                *told = words;
                tell(Message::Reader { source: *source, reader: *reader, words });
                any = true;
            }
        }
        for (rank, told) in &mut self.reports {
            let slot = self.memory.rank(*rank);
            let now = (slot.status.incarnation.load(Ordering::Acquire), slot.report().to_vec());
            if told.as_ref() != Some(&now) {
                tell(Message::State { rank: *rank, incarnation: now.0, words: now.1.clone() });
                *told = Some(now);
                any = true;
            }
        }
        if matches!(self.side, Side::ToHost { .. }) {
            for (rank, (told, slot)) in (0..).zip(self.stable.iter_mut().zip(self.memory.rank_slots())) {
                let now = positions(&slot.stable);
                for (store, (told, now)) in
                    (0..).zip(told.iter_mut().zip(now)).filter(|(_, (a, b))| **a != *b)
                {
                    *told = now;
                    tell(Message::Stable { rank, store, position: now });
                    any = true;
                }
            }
        }
        Ok(any)
    }

    fn produce_logs(&mut self, send: &mut dyn FnMut(&[&[u8]])) -> Result<bool, Fault> {
        if !self.agrees() {
            return Ok(false);
        }
        let mut any = false;
        let mut text = std::mem::take(&mut self.text);
        for at in 0..self.outflows.len() {
            let outflow = &mut self.outflows[at];
            let log = outflow.name;
            if outflow.is_lent {
                continue;
            }
            if let Some(from) = outflow.seek(&self.memory)? {
                Message::Begin { log, from }.write(&mut text);
                send(&[&text]);
                any = true;
            }
            self.frames.clear();
            outflow.read(&self.memory, &mut self.frames, TURN_BYTES)?;
            if self.frames.is_empty() {
                continue;
            }
            any = true;
            // What these frames depend on is told before them: whoever depends on them knows of it.
            for (rank, told) in (0..).zip(&mut self.heads) {
                let position = self.memory.rank(rank).journal_heads.head.load(Ordering::Acquire);
                if *told < position {
                    *told = position;
                    Message::Head { rank, position }.write(&mut text);
                    send(&[&text]);
                }
            }
            for frame in &self.frames {
                let content = frame.content(&self.memory).map_err(|error| log.garbage(0, error))?;
                send(&[&frame_head(log, frame.kind), content]);
            }
        }
        self.text = text;
        Ok(any)
    }

    /// Takes a message of the other end's.
    ///
    /// # Errors
    /// [`Fault`] where it is none, is out of order, or does not find room.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let message = Message::read(bytes).map_err(|error| mismatch(&error))?;
        if let Message::View { view, wants } = message {
            // The other end carries everything itself when it says this.
            self.take_all_back()?;
            self.peer = Some(Peer { view, wants: wants.into_iter().collect() });
            self.want_again();
            return Ok(());
        }
        if !self.agrees() {
            return Ok(());
        }
        match message {
            Message::View { .. } => {}
            Message::Begin { log, .. } | Message::Frame { log, .. } if self.pairs.is_log_lent(log) => {}
            Message::Begin { log, from } => {
                if !inflow(&self.index, &mut self.inflows, log)?.begin(from)? {
                    self.pairs.want(pairs::ANSWER, log);
                }
            }
            Message::Frame { log, kind, content } => {
                inflow(&self.index, &mut self.inflows, log)?.write(&self.memory, kind, content)?;
                match log {
                    LogName::Channel(_, to) | LogName::Lane(_, to) => self.memory.ring(to),
                    LogName::Journal(_) => {}
                }
            }
            Message::Want { connection, log, place } => {
                let outflow = self.outflows.iter_mut().find(|outflow| outflow.name == log);
                outflow.ok_or_else(|| mismatch(&WireError::Malformed("a log of others")))?.want(place);
                self.pair_is_over(connection, log)?;
            }
            Message::Reader { source, reader, words } => {
                self.check(&[source, reader])?;
                let line = &self.memory.channel(source, reader).reader;
                for (slot, word) in [&line.acknowledged, &line.depends, &line.released].into_iter().zip(words)
                {
                    // It may come by two ways.
                    slot.fetch_max(word, Ordering::AcqRel);
                }
            }
            Message::Head { rank, position } => {
                self.check(&[rank])?;
                self.memory.rank(rank).journal_heads.head.fetch_max(position, Ordering::AcqRel);
            }
            Message::State { rank, incarnation, words } => {
                self.check(&[rank])?;
                let slot = self.memory.rank(rank);
                if slot.status.incarnation.load(Ordering::Acquire) == incarnation {
                    slot.take_report(&words);
                    let header = self.memory.header();
                    header.bell.ring(&header.fences);
                    header.copies_bell.ring(&header.fences);
                }
            }
            Message::Stable { rank, store, position } => {
                self.check(&[rank])?;
                let stable = &self.memory.rank(rank).stable[usize::from(store) % MAX_STORES];
                if stable.fetch_max(position, Ordering::AcqRel) < position {
                    self.memory.ring_all();
                }
            }
        }
        Ok(())
    }

    /// Makes room for the content of a frame whose message begins so, for whoever can read it to there from the connection.
    /// Nothing where the message is another, or is to be taken as a whole.
    ///
    /// # Errors
    /// As for [`Mirror::take`].
    pub(crate) fn reserve(
        &mut self,
        head: &[u8; FRAME_HEAD_BYTES],
        bytes: u64,
    ) -> Result<Option<Room>, Fault> {
        let Some((log, kind)) = wire::read_frame_head(head).filter(|_| self.agrees()) else {
            return Ok(None);
        };
        let inflow = inflow(&self.index, &mut self.inflows, log)?;
        Ok(inflow.reserve(&self.memory, bytes)?.map(|at| Room { log, kind, at, bytes }))
    }

    /// The content is there.
    ///
    /// # Errors
    /// As for [`Mirror::take`].
    pub(crate) fn publish(&mut self, room: &Room) -> Result<(), Fault> {
        let inflow = inflow(&self.index, &mut self.inflows, room.log)?;
        inflow.publish(&self.memory, room.kind, room.at, room.bytes)
    }

    fn check(&self, ranks: &[Rank]) -> Result<(), Fault> {
        match ranks.iter().all(|&rank| rank < self.memory.ranks()) {
            true => Ok(()),
            false => Err(mismatch(&WireError::Malformed("a rank outside the job"))),
        }
    }
}

/// Where whoever sends for a mirror sleeps.
#[derive(Debug, Clone)]
pub struct MirrorBell {
    memory: Arc<Memory>,
    /// The rank whose bell that is; nothing for the daemon's.
    at: Option<Rank>,
}

impl MirrorBell {
    /// Sleeps until rung for, or until the time is over, unless there is news.
    pub fn sleep(&self, timeout: Duration, news: impl FnMut() -> bool) {
        self.bell().sleep(&self.memory.header().fences, timeout, news);
    }

    /// Wakes who sleeps here.
    pub fn ring(&self) {
        let _ = self.bell().ring(&self.memory.header().fences);
    }

    fn bell(&self) -> &Bell {
        match self.at {
            Some(rank) => &self.memory.rank(rank).bell,
            None => &self.memory.header().bell,
        }
    }
}

/// The logs that go out, and those that come in.
fn logs(side: &Side) -> (Vec<LogName>, Vec<LogName>) {
    let both = |from: &Range<Rank>, to: &Range<Rank>| -> Vec<LogName> {
        let pairs = pairs(from, to).into_iter();
        pairs.flat_map(|(from, to)| [LogName::Channel(from, to), LogName::Lane(from, to)]).collect()
    };
    let journals = |ranks: &Range<Rank>| ranks.clone().map(LogName::Journal).collect();
    match side {
        Side::Hosts { here, there } => (both(here, there), both(there, here)),
        &Side::Pair { here, there } => {
            let (here, there) = (here..here + 1, there..there + 1);
            (both(&here, &there), both(&there, &here))
        }
        Side::ToLauncher { here } => (journals(here), Vec::new()),
        Side::ToHost { there } => (Vec::new(), journals(there)),
    }
}

fn pairs(from: &Range<Rank>, to: &Range<Rank>) -> Vec<(Rank, Rank)> {
    from.clone().flat_map(|from| to.clone().map(move |to| (from, to))).collect()
}

fn positions(words: &[std::sync::atomic::AtomicU64; MAX_STORES]) -> [Position; MAX_STORES] {
    std::array::from_fn(|store| words[store].load(Ordering::Acquire))
}

fn inflow<'a>(
    index: &HashMap<u64, usize>,
    inflows: &'a mut [Inflow],
    log: LogName,
) -> Result<&'a mut Inflow, Fault> {
    let at = index.get(&log.tag()).copied();
    at.and_then(|at| inflows.get_mut(at)).ok_or_else(|| mismatch(&WireError::Malformed("a log of others")))
}

fn mismatch(error: &WireError) -> Fault {
    Fault::Driver(format!("what another host sent cannot be taken: {error}"))
}
