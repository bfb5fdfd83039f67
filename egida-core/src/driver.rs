//! What the engine of a rank asks of the world: bytes, wakes and crash points. A driver decides nothing.
//!
//! Two drivers exist: shared memory under a real process, and the simulator's tables in virtual time. Both offer
//!
//! ```text
//!   channels   rank -> rank     append-only logs of records, one per ordered pair
//!   lanes      rank -> rank     idempotent notices beside them: which synchronous messages were matched
//!   journal    rank -> itself   append-only log of determinants and messages, with a watermark per store
//! ```

use crate::checkpoint::{SendLog, StoredCheckpoint};
use crate::control::Control;
use crate::crash::CrashPoint;
use crate::event::Determinant;
use crate::fault::Fault;
use crate::gate::StoreId;
use crate::ids::{CheckpointNumber, Position, Rank, Ssn};
use crate::trace::Event;
use crate::wire::RecordHeader;

/// Where a payload, or what is left of it, stands on a channel. Only the driver knows what the number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location(pub u64);

/// What stands at the read cursor of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The record's head.
    pub header: RecordHeader,
    /// Where its payload begins.
    pub payload: Location,
}

/// A record all of which can be seen at the read cursor of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// The record's head.
    pub header: RecordHeader,
    /// Where its payload begins.
    pub payload: Location,
    /// Where what follows it begins.
    pub behind: Location,
}

/// What an earlier incarnation left on an outbound channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Records below this number were reclaimed: their receiver can regain them alone.
    pub reclaimed: Ssn,
    /// Records below this number stand there whole.
    pub whole: Ssn,
    /// Payload bytes of record `whole` that stand there, where it was begun and not finished.
    pub begun_bytes: Option<u64>,
}

/// What a comparison of a re-executed send with the record on the channel found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// Head and payload are the same.
    Same,
    /// They differ, and how.
    Differs(String),
}

/// One entry of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalEntry<'a> {
    /// What the bytes are.
    pub kind: EntryKind,
    /// Which stores must come to hold it: bit s for store s. None for an entry that lives in volatile memory only.
    pub stores: u8,
    /// The encoded determinant or message.
    pub bytes: &'a [u8],
}

/// What an entry of a journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// A determinant of the rank's own event.
    Own = 1,
    /// A determinant of another rank's event, held for it.
    Held = 2,
    /// A message that the rank delivered: source, ssn, envelope, payload.
    Message = 3,
    /// The rank rolled back: its events from this number on are void, as far as they stand before this entry.
    RolledBack = 4,
}

impl EntryKind {
    /// The kind of that number.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Own, Self::Held, Self::Message, Self::RolledBack].into_iter().find(|&kind| kind as u8 == byte)
    }
}

/// The world of one rank.
pub trait Driver {
    /// What stands on the channel to `dest` when this incarnation begins.
    fn extent(&mut self, dest: Rank) -> Extent;

    /// Appends a record to the channel to `dest`, or the rest of one from payload byte `from_byte` on, and publishes it.
    ///
    /// # Errors
    /// [`Fault::OverLimit`] where there is no room, [`Fault::Crashed`] at a crash point.
    fn append(
        &mut self,
        dest: Rank,
        header: &RecordHeader,
        piggyback: &[u8],
        payload: &[u8],
        from_byte: u64,
    ) -> Result<(), Fault>;

    /// Compares a re-executed send with the next record on the channel to `dest`, from the first one that was not
    /// reclaimed on. For a record that was begun and not finished, `payload` is compared as far as it goes.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn compare(&mut self, dest: Rank, header: &RecordHeader, payload: &[u8]) -> Result<Comparison, Fault>;

    /// How many records of the channel to `dest` its reader has taken knowledge of since the channel was begun (anew):
    /// their piggybacks are stored.
    fn acknowledged(&mut self, dest: Rank) -> Ssn;

    /// Begins a stretch of reading. Until [`Driver::leave`] no channel is taken away. Returns a number that changes
    /// whenever channels may have been taken away or begun anew since the last stretch.
    fn enter(&mut self) -> u64;

    /// Ends a stretch of reading.
    fn leave(&mut self);

    /// How often the channel from `source` was begun anew.
    fn generation(&mut self, source: Rank) -> u32;

    /// Puts the read cursor of the channel from `source` to its first record that was not reclaimed, and says which
    /// that is.
    fn rewind(&mut self, source: Rank) -> Ssn;

    /// Adds the sources that may have records at their read cursors.
    fn ready(&mut self, sources: &mut Vec<Rank>);

    /// Whether something may be published at the read cursor of the channel from `source`: a look that costs little, and that
    /// needs no stretch of reading.
    fn may_have(&self, source: Rank) -> bool {
        let _ = source;
        true
    }

    /// The record at the read cursor of the channel from `source`, if one is published there.
    ///
    /// # Errors
    /// [`Fault::CorruptRecord`].
    fn arrival(&mut self, source: Rank) -> Result<Option<Arrival>, Fault>;

    /// The piggyback of the record at the read cursor.
    fn piggyback(&self, source: Rank) -> &[u8];

    /// Whether [`Driver::whole`] ever has an answer. Where it has none, nothing is received in one step.
    fn shows_whole(&self) -> bool {
        false
    }

    /// The record at the read cursor of the channel from `source`, where all of it can be seen at once. `None` says nothing:
    /// [`Driver::arrival`] finds what there is.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn whole(&mut self, source: Rank) -> Result<Option<Whole>, Fault> {
        let _ = source;
        Ok(None)
    }

    /// The payload of a record that [`Driver::whole`] has shown, while the read cursor is still there.
    fn payload(&self, source: Rank, whole: &Whole) -> &[u8] {
        let _ = (source, whole);
        &[]
    }

    /// Moves the read cursor past a record that [`Driver::whole`] has shown.
    fn pass(&mut self, source: Rank, whole: &Whole) {
        let _ = whole;
        self.advance(source);
    }

    /// Moves the read cursor past the record there.
    fn advance(&mut self, source: Rank);

    /// Publishes how far this rank has read the channel from `source`, all piggybacks stored, and what it depends on: the
    /// greatest [`RecordHeader::events`] so far.
    fn acknowledge(&mut self, source: Rank, below: Ssn, events: u64);

    /// The bytes at a location, and the location behind them; `None` where they are not published yet.
    fn bytes(&self, source: Rank, at: Location) -> Option<(&[u8], Location)>;

    /// This rank has read the payloads of all records below `below` from `source`, and will ask for none of them again while
    /// it lives. What was copied for it alone, from another host, may go; [`Driver::release`] says when the log may.
    fn finished(&mut self, source: Rank, below: Ssn) {
        let _ = (source, below);
    }

    /// Tells the writer that this rank needs no record below `below` from `source` again.
    fn release(&mut self, source: Rank, below: Ssn);

    /// The journal position of `rank` below which a store holds all that is for it.
    fn stable(&self, rank: Rank, store: StoreId) -> Position;

    /// Tells `source` that its synchronous message was matched.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn notify_matched(&mut self, source: Rank, ssn: Ssn) -> Result<(), Fault>;

    /// Adds the numbers of synchronous messages to `dest` that were matched since the last call.
    fn matched_notices(&mut self, dest: Rank, notices: &mut Vec<Ssn>);

    /// Appends an entry to this rank's journal and returns the position behind it.
    ///
    /// # Errors
    /// [`Fault::OverLimit`] where there is no room, [`Fault::Crashed`] at a crash point.
    fn log(&mut self, entry: JournalEntry<'_>) -> Result<Position, Fault>;

    /// Adds the control messages to this rank that came since the last call, in order. Those of a recovery come before
    /// anything that a rank restarted by it writes.
    fn control(&mut self, inbox: &mut Vec<Control>);

    /// Tells another rank something. It is there before anything that this rank appends to its channel afterwards.
    ///
    /// # Errors
    /// [`Fault::Unsupported`] from a driver that takes no checkpoints: nobody else tells other ranks anything.
    fn tell(&mut self, to: Rank, message: &Control) -> Result<(), Fault> {
        let _ = (to, message);
        Err(Fault::Unsupported("a checkpoint"))
    }

    /// The records on the channel to `dest` that were not reclaimed, each whole.
    ///
    /// # Errors
    /// [`Fault::Unsupported`] from a driver that takes no checkpoints.
    fn sent(&mut self, dest: Rank) -> Result<SendLog, Fault> {
        let _ = dest;
        Err(Fault::Unsupported("a checkpoint"))
    }

    /// The determinants in this rank's journal that it holds for others.
    ///
    /// # Errors
    /// [`Fault::Unsupported`] from a driver that takes no checkpoints.
    fn held(&mut self) -> Result<Vec<Determinant>, Fault> {
        Err(Fault::Unsupported("a checkpoint"))
    }

    /// Writes a checkpoint to stable storage; [`Control::Saved`] says when it is there. The journal's position at this call
    /// is the checkpoint's.
    ///
    /// # Errors
    /// [`Fault::Unsupported`] from a driver that takes no checkpoints, [`Fault::Crashed`] at a crash point.
    fn save(&mut self, checkpoint: StoredCheckpoint) -> Result<(), Fault> {
        let _ = checkpoint;
        Err(Fault::Unsupported("a checkpoint"))
    }

    /// A tentative checkpoint is to be kept, or is void.
    fn decide(&mut self, number: CheckpointNumber, keep: bool) {
        let _ = (number, keep);
    }

    /// Whether a recovery line is being computed. Until it is over this rank takes in nothing and takes no checkpoint, so
    /// that the state that it was found in stays as it is as far as others can depend on it.
    fn is_paused(&self) -> bool {
        false
    }

    /// Asks that a store make the journal stable up to a position soon.
    fn flush(&mut self, store: StoreId, position: Position);

    /// Makes known how far the rank has come, for whoever watches: a daemon that gates output, a report.
    fn note(&mut self, progress: Progress);

    /// Makes known what has changed since [`Driver::note`] was told last: how much the rank has sent and received.
    fn note_traffic(&mut self, sends: u64, deliveries: u64);

    /// Whether [`Driver::trace`] is to be called: telling costs time.
    fn is_traced(&self) -> bool {
        false
    }

    /// Something happened at this rank that a trace tells of: sends, arrivals, deliveries, observations, input, tokens. What
    /// happens to journals, disks and processes, the driver knows itself.
    fn trace(&mut self, event: Event) {
        let _ = event;
    }

    /// Called at every place where a test may want the rank to die.
    ///
    /// # Errors
    /// [`Fault::Crashed`] in the simulator; a real driver kills its process.
    fn crash_point(&mut self, point: CrashPoint) -> Result<(), Fault>;
}

/// How far a rank has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages sent, re-executed ones included.
    pub sends: u64,
    /// Receives matched, replayed ones included.
    pub deliveries: u64,
    /// Observations made, replayed and failed ones included.
    pub observed: u64,
    /// Its own non-deterministic events so far.
    pub events: u64,
    /// Determinants recovered and not yet replayed.
    pub to_replay: u64,
    /// Deliveries that repeated one of an earlier incarnation, as far as the protocol can tell.
    pub replayed_deliveries: u64,
    /// Sends that were on the channel already.
    pub skipped_sends: u64,
    /// Control messages that this incarnation has taken in, without becoming an orphan by them.
    pub told: u64,
    /// Whether the rank is an orphan, and is about to end itself.
    pub orphan: bool,
    /// Checkpoints taken: the number of the newest.
    pub checkpoints: u64,
    /// Checkpoints that a message forced, of this incarnation.
    pub forced_checkpoints: u64,
    /// Whether what was recovered is loaded: the rank holds again what it held for others.
    pub live: bool,
    /// Whether it is where its predecessor died, as far as counts can tell.
    pub caught_up: bool,
}
