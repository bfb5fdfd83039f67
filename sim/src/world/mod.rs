//! What all ranks of a simulated job share: the memory of the nodes, the network between them, the disks.

mod channel;
mod checkpoints;
mod disk;
mod explored;
mod journal;
mod network;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use egida_core::binder::{CheckpointUse, StoreUse};
use egida_core::checkpoint::StoredCheckpoint;
use egida_core::control::Control;
use egida_core::driver::EntryKind;
use egida_core::gate::{MAX_STORES, StoreId};
use egida_core::ids::{CheckpointNumber, Domain, Domains, EventIndex, Incarnation, Position, Rank, Ssn};
use egida_core::trace::{Event, Line, Place};

pub use channel::{Channel, Record, Told};
pub use checkpoints::{Checkpoints, Saving, Stored};
pub use disk::{Damaged, Disk, Full};
pub use explored::{Explored, HELD};
pub use journal::{Entry, Journal, Watermarks};
pub use network::Network;

use crate::job::{Control as Experiment, Kept};
use crate::oracle::{Exposure, History, Recoverable, name};
use crate::scheduler::Time;

/// Payload bytes that are published at a time: small, so that crashes between pieces happen.
pub const PIECE_BYTES: usize = 64;

/// Everything that outlives a process.
#[derive(Debug, Clone)]
pub struct World {
    /// The ranks and their failure domains.
    pub domains: Domains,
    /// Now.
    pub now: Time,
    /// The network.
    pub network: Network,
    /// Journals by rank.
    pub journals: Vec<Journal>,
    /// What the disk holds, by rank.
    pub disks: Vec<Disk>,
    /// Which stores are on the disk, and which are copies in the memory of other nodes: bit s for store s.
    pub on_disk: u8,
    /// See [`World::on_disk`].
    pub of_copies: u8,
    /// Determinants that nodes hold for others, by domain, encoded.
    pub foreign: Vec<Vec<Vec<u8>>>,
    /// Control messages on their way to each rank.
    pub inbox: Vec<VecDeque<Letter>>,
    /// When each rank's present incarnation began.
    pub born: Vec<Time>,
    /// The oldest incarnation of each rank whose writes have an effect.
    pub fences: Vec<Incarnation>,
    /// Checkpoints on the disk and on their way there.
    pub checkpoints: Checkpoints,
    /// Whether a recovery line is being computed.
    pub paused: bool,
    /// Changes whenever channels may have begun anew.
    pub epoch: u64,
    /// What happened since it was last taken, where somebody wants to know.
    pub lines: Option<Vec<Line>>,
    /// For the observer: who depends on what, and what could be found again.
    pub exposure: Option<Exposure>,
    /// For the observer: which messages stand before and behind which checkpoints.
    pub history: Option<History>,
    /// What is kept count of while the world is explored; none where time orders what happens.
    pub explored: Option<Explored>,
    /// How many control messages have arrived at each rank, while the world is explored.
    told: Vec<u64>,
    /// How many control messages were ever sent to each rank, while the world is explored.
    pub letters: Vec<u64>,
    /// For the observer: what can be recovered, where survivors may be orphans.
    pub recoverable: Option<Recoverable>,
    /// For the observer: who sent a message that waits for a log.
    pub waited: Option<Rank>,
    /// What is left out, in an experiment.
    pub control: Option<Experiment>,
    /// Channels by sender, then receiver.
    channels: Vec<BTreeMap<Rank, Channel>>,
    /// Records on their way to each rank: when they become visible, and from whom.
    arriving: Vec<BinaryHeap<Reverse<(Time, Rank)>>>,
    /// How far journals were stable when the network was cut.
    frozen_stable: Option<Vec<Watermarks>>,
}

/// A control message on its way.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The rank that sent it; none for whoever coordinates.
    pub from: Option<Rank>,
    /// When it was sent.
    pub sent: Time,
    /// From when on its rank sees it.
    pub at: Time,
    /// What it says.
    pub control: Control,
}

impl World {
    /// A world in which nothing has happened.
    #[must_use]
    pub fn new(domains: Domains, stores: &[StoreUse], checkpoints: Option<&CheckpointUse>) -> Self {
        let bits = |of_copies| {
            let such = stores.iter().filter(|store| store.replicas.is_some() == of_copies);
            such.fold(0, |bits, store| bits | (1 << store.id))
        };
        let replicas = checkpoints.and_then(|checkpoints| checkpoints.replicas);
        let copies = replicas.map_or(0, |replicas| replicas.copies);
        let ranks = domains.ranks() as usize;
        let count = domains.count() as usize;
        Self {
            now: 0,
            network: Network::default(),
            journals: vec![Journal::default(); ranks],
            disks: vec![Disk::default(); ranks],
            on_disk: bits(false),
            of_copies: bits(true),
            foreign: vec![Vec::new(); count],
            inbox: vec![VecDeque::new(); ranks],
            born: vec![0; ranks],
            fences: vec![1; ranks],
            checkpoints: Checkpoints::new(domains.ranks(), copies),
            paused: false,
            epoch: 1,
            lines: None,
            exposure: None,
            history: None,
            explored: None,
            told: vec![0; ranks],
            letters: vec![0; ranks],
            recoverable: None,
            waited: None,
            control: None,
            channels: vec![BTreeMap::new(); ranks],
            arriving: vec![BinaryHeap::new(); ranks],
            frozen_stable: None,
            domains,
        }
    }

    /// Notes an event for the trace.
    pub fn trace(&mut self, rank: Option<Rank>, incarnation: Option<Incarnation>, event: Event) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { time_ns: self.now, rank, incarnation, event });
        }
    }

    /// Where entries for these stores are to come to.
    #[must_use]
    pub fn place_of(&self, stores: u8) -> Place {
        match (stores & self.on_disk != 0, stores & self.of_copies != 0) {
            (true, _) => Place::Disk,
            (false, true) => Place::Copies,
            (false, false) => Place::Memory,
        }
    }

    /// How far the journals of all ranks have come.
    #[must_use]
    pub fn heads(&self) -> Vec<Position> {
        self.journals.iter().map(Journal::head).collect()
    }

    /// The channel between two ranks; it is made when first used.
    pub fn channel(&mut self, source: Rank, dest: Rank) -> &mut Channel {
        self.channels[source as usize].entry(dest).or_default()
    }

    /// The channel between two ranks, if it was ever used.
    #[must_use]
    pub fn channel_if_used(&self, source: Rank, dest: Rank) -> Option<&Channel> {
        self.channels[source as usize].get(&dest)
    }

    /// The channels that a rank has written to, by receiver.
    pub fn outbound(&self, source: Rank) -> impl Iterator<Item = (Rank, &Channel)> {
        self.channels[source as usize].iter().map(|(&dest, channel)| (dest, channel))
    }

    /// Appends a record whose payload is still to be published, on its way across the network.
    pub fn append(&mut self, source: Rank, dest: Rank, mut record: Record) {
        if record.header.requires > 0 {
            self.waited = Some(source);
        }
        if let Some(history) = &mut self.history {
            history.sent(source, dest, record.header.ssn);
        }
        let delay = self.network.delay(source, dest, record.header.ssn);
        let cut = self.network.cut_until(self.domains.of(source), self.domains.of(dest));
        let earliest = cut.unwrap_or(self.now).max(self.now) + delay;
        // What a recovery has to tell is there before anything that a rank restarted by it writes. What is told later may be
        // overtaken by messages of those who have heard it. What the sender itself told before is there as well.
        let before =
            |letter: &Letter| letter.sent <= self.born[source as usize] || letter.from == Some(source);
        let inbox = &self.inbox[dest as usize];
        let last = inbox.iter().rposition(before);
        let told = last.map_or(0, |last| inbox[last].at);
        if self.explored.is_some() {
            let taken = self.letters[dest as usize] - inbox.len() as u64;
            record.behind = last.map_or(0, |last| taken + last as u64 + 1);
            record.visible = HELD;
            self.touch();
            self.channel(source, dest).records.push_back(record);
            return;
        }
        let channel = self.channel(source, dest);
        // A channel is FIFO: nothing becomes visible before what stands ahead of it.
        record.visible = earliest.max(channel.records.back().map_or(0, |last| last.visible)).max(told);
        let visible = record.visible;
        channel.records.push_back(record);
        self.arriving[dest as usize].push(Reverse((visible, source)));
    }

    /// Adds the senders of records that have become visible to a rank since it last asked.
    pub fn arrived(&mut self, dest: Rank, sources: &mut BTreeSet<Rank>) {
        let arriving = &mut self.arriving[dest as usize];
        while let Some(&Reverse((at, source))) = arriving.peek()
            && at <= self.now
        {
            arriving.pop();
            sources.insert(source);
        }
    }

    /// How far a store has what is for it of the journal of `owner`, as far as `reader` can know.
    #[must_use]
    pub fn stable_seen_by(&self, reader: Rank, owner: Rank, store: StoreId) -> Position {
        if self.control == Some(Experiment::StableBeforeWritten) {
            return self.journals[owner as usize].head();
        }
        let position = |stable: &Watermarks| match self.of_copies & (1 << store) != 0 {
            true => stable.copied[usize::from(store) % MAX_STORES],
            false => stable.written,
        };
        let stable = position(&self.journals[owner as usize].stable);
        match &self.frozen_stable {
            Some(frozen) if self.are_cut(reader, owner) => stable.min(position(&frozen[owner as usize])),
            _ => stable,
        }
    }

    /// The same for all stores together.
    #[must_use]
    pub fn stable_on_all_seen_by(&self, reader: Rank, owner: Rank) -> Position {
        let used = self.on_disk | self.of_copies;
        let stores = (0..MAX_STORES as StoreId).filter(|store| used & (1 << store) != 0);
        stores.map(|store| self.stable_seen_by(reader, owner, store)).min().unwrap_or(Position::MAX)
    }

    /// A store that is made of copies has all that is for it of a rank's journal below a position. What was let through once
    /// stays so, though copies may be lost.
    pub fn copied(&mut self, rank: Rank, store: StoreId, position: Position) {
        self.touch();
        let copied = &mut self.journals[rank as usize].stable.copied[usize::from(store) % MAX_STORES];
        if position > *copied {
            *copied = position;
            self.trace(Some(rank), None, Event::Stable { place: Place::Copies, position });
        }
    }

    /// The node of a domain takes a determinant into its memory.
    pub fn hold(&mut self, domain: Domain, determinant: Vec<u8>) {
        self.touch();
        if let Some(exposure) = &mut self.exposure {
            exposure.held(domain, &determinant);
        }
        self.foreign[domain as usize].push(determinant);
    }

    /// Whether two ranks are cut off from each other now.
    #[must_use]
    pub fn are_cut(&self, one: Rank, other: Rank) -> bool {
        self.network.cut_until(self.domains.of(one), self.domains.of(other)).is_some()
    }

    /// Cuts domains off: nobody learns any more what the other side does.
    pub fn cut(&mut self, away: BTreeSet<Domain>, until: Time) {
        self.network.cut(away, until);
        self.frozen_stable = Some(self.journals.iter().map(|journal| journal.stable).collect());
        for (source, row) in (0..).zip(&mut self.channels) {
            for (&dest, channel) in row {
                if self.network.cut_until(self.domains.of(source), self.domains.of(dest)).is_some() {
                    channel.frozen = Some(channel.told);
                }
            }
        }
    }

    /// Everybody reaches everybody again.
    pub fn heal(&mut self) {
        self.network.heal();
        self.frozen_stable = None;
        for channel in self.channels.iter_mut().flat_map(BTreeMap::values_mut) {
            channel.frozen = None;
        }
    }

    /// A domain that was cut off was given up, and is started anew on this side.
    pub fn moved(&mut self, domain: Domain) {
        self.network.moved(domain);
        for (source, row) in (0..).zip(&mut self.channels) {
            for (&dest, channel) in row {
                if self.network.cut_until(self.domains.of(source), self.domains.of(dest)).is_none() {
                    channel.frozen = None;
                }
            }
        }
    }

    /// Whether what this incarnation of a rank does has no effect any more.
    #[must_use]
    pub fn is_fenced(&self, rank: Rank, incarnation: Incarnation) -> bool {
        incarnation < self.fences[rank as usize]
    }

    /// The memory charged to a rank is lost: its outbound channels, its journal, and what it knew of inbound ones.
    pub fn discard(&mut self, rank: Rank) {
        self.touch();
        // The readers' marks and notices lie in their memory, but they have not seen the records to come.
        self.begin_anew(rank);
        for inbound in self.channels.iter_mut().filter_map(|row| row.get_mut(&rank)) {
            inbound.receiver_lost();
        }
        self.journals[rank as usize].lose();
        let domain = self.domains.of(rank);
        self.foreign[domain as usize].clear();
        if let Some(exposure) = &mut self.exposure {
            exposure.lost(domain);
        }
    }

    /// A rank returns to an earlier state: its outbound channels begin anew.
    pub fn begin_anew(&mut self, rank: Rank) {
        self.touch();
        for channel in self.channels[rank as usize].values_mut() {
            channel.begin_anew();
        }
    }

    /// Writes a rank's journal to the disk up to a position and moves its watermark.
    ///
    /// # Errors
    /// [`Full`]; what fitted is written.
    pub fn write_out(&mut self, rank: Rank, position: Position) -> Result<(), Full> {
        self.touch();
        let journal = &mut self.journals[rank as usize];
        let to = position.min(journal.head());
        while journal.stable.written < to {
            let entry = &journal.entries[(journal.stable.written - journal.base) as usize];
            if entry.stores & self.on_disk != 0 {
                self.disks[rank as usize].write(journal.stable.written, entry)?;
                if let Some(exposure) = &mut self.exposure {
                    exposure.written(entry);
                }
            }
            journal.stable.written += 1;
        }
        Ok(())
    }

    /// Whether the disk has all that the journal of a rank has for it.
    #[must_use]
    pub fn is_written(&self, rank: Rank) -> bool {
        let journal = &self.journals[rank as usize];
        journal.stable.written >= journal.head()
    }

    /// How many records for its disk the journal of a rank has that are not synced.
    #[must_use]
    pub fn unsynced(&self, rank: Rank) -> usize {
        self.journals[rank as usize]
            .unstable()
            .iter()
            .filter(|entry| entry.stores & self.on_disk != 0)
            .count()
    }

    /// The node of a rank dies while its disk writes: of what was not synced, so many records are there all the same, and
    /// the next in part, if there is one. Returns whether there is.
    pub fn tear(&mut self, rank: Rank, whole: usize) -> bool {
        let journal = &self.journals[rank as usize];
        let unsynced = (journal.stable.written..).zip(journal.unstable());
        let unsynced = unsynced.filter(|(_, entry)| entry.stores & self.on_disk != 0);
        let disk = &mut self.disks[rank as usize];
        for (number, (position, entry)) in unsynced.take(whole + 1).enumerate() {
            if number == whole {
                disk.tear(position, entry);
                return true;
            } else if disk.write(position, entry).is_err() {
                break;
            } else if let Some(exposure) = &mut self.exposure {
                exposure.written(entry);
            }
        }
        false
    }

    /// The node of a domain takes into its memory the determinants of a rank's journal from one position to another.
    pub fn replicate(&mut self, rank: Rank, domain: Domain, from: Position, to: Position) {
        let journal = &self.journals[rank as usize];
        let entries = (from.max(journal.base)..to.min(journal.head())).filter_map(|at| journal.entry(at));
        let determinants = entries.filter(|entry| entry.kind != EntryKind::Message);
        let bytes: Vec<Vec<u8>> = determinants.map(|entry| entry.bytes.clone()).collect();
        for determinant in bytes {
            self.hold(domain, determinant);
        }
    }

    /// Puts a control message on its way to a rank: from another, or from whoever coordinates. They come in the order in
    /// which they are put, once the two sides reach each other.
    pub fn tell_rank(&mut self, from: Option<Rank>, to: Rank, delay: Time, control: Control) {
        let domain = self.domains.of(to);
        let reached = match from {
            Some(from) => self.network.cut_until(self.domains.of(from), domain),
            None => self.network.away_until(domain),
        };
        self.touch();
        let inbox = &mut self.inbox[to as usize];
        let last = inbox.back().map_or(0, |letter| letter.at);
        let at = match self.explored {
            Some(_) => HELD,
            None => last.max(reached.unwrap_or(self.now).max(self.now) + delay),
        };
        inbox.push_back(Letter { from, sent: self.now, at, control });
        self.letters[to as usize] += 1;
    }

    /// A checkpoint is given to the disk.
    pub fn save(&mut self, rank: Rank, checkpoint: StoredCheckpoint) {
        self.touch();
        let position = self.journals[rank as usize].head();
        let past = self.exposure.as_ref().map(|exposure| exposure.past(rank));
        let messages = self.recoverable.as_ref().map(|recoverable| recoverable.messages(rank));
        if let Some(history) = &mut self.history {
            history.taken(rank, checkpoint.head.number);
        }
        self.checkpoints.submit(Saving {
            rank,
            checkpoint,
            holders: BTreeSet::new(),
            position,
            past,
            messages,
        });
    }

    /// The disk takes a checkpoint. Returns whether it could.
    pub fn store(&mut self, saving: Saving) -> bool {
        let head = saving.checkpoint.head.clone();
        let Some(stored) = self.checkpoints.store(saving) else { return false };
        if let Some(history) = self.history.as_mut().filter(|_| !head.tentative) {
            history.durable(head.rank, head.number);
        }
        if let Some(exposure) = self.exposure.as_mut().filter(|_| !head.tentative) {
            exposure.covered(head.rank, head.events);
            let mut bytes = Vec::new();
            for determinant in &stored.held {
                bytes.clear();
                determinant.encode(&mut bytes);
                exposure.saved(&bytes);
            }
        }
        true
    }

    /// Nothing of a rank from before a checkpoint will be needed again: older checkpoints go, as far as later ones do not
    /// rest on them, and what was logged before. Returns the position of the journal below which nothing is needed.
    pub fn collect(&mut self, rank: Rank, number: CheckpointNumber, events: EventIndex) -> Position {
        let position = self.checkpoints.collect(rank, number);
        self.journals[rank as usize].collect(position);
        self.disks[rank as usize].collect(position);
        let is_wanted = |determinant: &Vec<u8>| {
            name(determinant).is_none_or(|(owner, index)| owner != rank || index >= events)
        };
        for held in &mut self.foreign {
            held.retain(is_wanted);
        }
        position
    }

    /// How much is kept.
    #[must_use]
    pub fn kept(&self) -> Kept {
        let records = |channel: &Channel| channel.records.len();
        Kept {
            records: self.channels.iter().flat_map(BTreeMap::values).map(records).sum(),
            entries: self.journals.iter().map(|journal| journal.entries.len()).sum(),
            held: self.foreign.iter().map(Vec::len).sum(),
            checkpoints: (0..self.domains.ranks())
                .map(|rank| self.checkpoints.count(rank))
                .max()
                .unwrap_or(0),
        }
    }

    /// The receiver of a channel notes that a synchronous message was matched.
    pub fn matched(&mut self, source: Rank, dest: Rank, ssn: Ssn) {
        self.touch();
        let channel = self.channel(source, dest);
        channel.matched.push(ssn);
        channel.told.matched = channel.matched.len();
    }

    /// The receiver of a channel notes how far it has read, and on how many events of the sender it depends.
    pub fn acknowledge(&mut self, source: Rank, dest: Rank, below: Ssn, events: u64) {
        self.touch();
        let channel = self.channel(source, dest);
        channel.told.acknowledged = channel.told.acknowledged.max(below);
        channel.depends = channel.depends.max(events);
    }
}
