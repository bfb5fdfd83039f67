//! What a new incarnation is given to replay from, and whether it is enough.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::checkpoint::{CheckpointHead, CheckpointImage};
use crate::clock::{IncarnationClock, Token};
use crate::driver::EntryKind;
use crate::event::Determinant;
use crate::ids::{CheckpointNumber, Domain, EventIndex, Incarnation, Rank, Ssn, Version};
use crate::module::{Delivered, OrphanDetection, Standing};
use crate::wire::{Reader, SendMode, WireError, put_varint};

/// A determinant and the failure domains that are known to hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldDeterminant {
    /// The determinant.
    pub determinant: Determinant,
    /// The domains, ascending.
    pub holders: Vec<Domain>,
    /// Whether a stable storage holds it too.
    pub stable: bool,
}

/// A message from the log of what a rank delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedMessage {
    /// The sender.
    pub source: Rank,
    /// Its number on the channel.
    pub ssn: Ssn,
    /// The communicator's context.
    pub context: u32,
    /// The tag.
    pub tag: i32,
    /// Whether its sender waits for the match: the notice may be lost, and is given again.
    pub synchronous: bool,
    /// What it depends on, where the protocol tracks that.
    pub clock: Option<Box<IncarnationClock>>,
    /// The payload.
    #[serde(with = "bytes_as_bin")]
    pub payload: Vec<u8>,
}

/// What a new incarnation starts from, beside its checkpoint or the program's beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryImage {
    /// Which incarnation it is for.
    pub incarnation: Incarnation,
    /// Determinants: its own to replay, and those of others that it holds (again).
    pub determinants: Vec<HeldDeterminant>,
    /// Messages that it logged itself.
    pub messages: Vec<LoggedMessage>,
    /// Observations below this number that have no determinant failed, because released output may tell of them.
    pub observed: u64,
    /// Whether the memory of its node was lost: what is held must be logged anew.
    pub memory_lost: bool,
    /// Which version of the rank begins, where the protocol counts them; else 0.
    pub version: Version,
    /// The ends of versions that are known, where the protocol tells of them.
    pub tokens: Vec<Token>,
    /// The checkpoint that it begins from; `None` for the program's beginning.
    pub checkpoint: Option<Box<CheckpointImage>>,
    /// The number of that checkpoint; 0 for the program's beginning.
    pub checkpoint_number: CheckpointNumber,
    /// How many rounds of recovery there were.
    pub round: u64,
    /// How many messages its predecessor had sent when it died, for reports.
    pub sends_before: u64,
    /// How many receives its predecessor had matched when it died, for reports.
    pub deliveries_before: u64,
}

impl LoggedMessage {
    /// The journal's form of a delivered message.
    pub fn encode(out: &mut Vec<u8>, message: &Delivered<'_>) {
        put_varint(out, u64::from(message.source));
        put_varint(out, message.ssn);
        put_varint(out, u64::from(message.envelope.context));
        put_varint(out, u64::from(message.envelope.tag.cast_unsigned()));
        out.push(u8::from(message.mode == SendMode::Synchronous));
        match message.clock {
            Some(clock) => clock.encode(out),
            None => put_varint(out, 0),
        }
        out.extend_from_slice(message.payload);
    }

    /// Reads what [`LoggedMessage::encode`] wrote.
    ///
    /// # Errors
    /// [`WireError`] where the head is cut short or out of range.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            source: reader.rank()?,
            ssn: reader.varint()?,
            context: reader.rank()?,
            tag: reader.rank()?.cast_signed(),
            synchronous: reader.byte()? != 0,
            clock: Some(IncarnationClock::decode(&mut reader)?)
                .filter(|clock| clock.components().next().is_some())
                .map(Box::new),
            payload: reader.rest().to_vec(),
        })
    }
}

impl RecoveryImage {
    /// MessagePack of the image.
    ///
    /// # Errors
    /// A text where serialization fails.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        rmp_serde::to_vec(self).map_err(|error| error.to_string())
    }

    /// Reads what [`RecoveryImage::to_bytes`] wrote.
    ///
    /// # Errors
    /// A text where the bytes are not an image.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
    }
}

/// All that was collected in one round of recovery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    determinants: BTreeMap<(Rank, EventIndex), HeldDeterminant>,
    messages: BTreeMap<Rank, BTreeMap<(Rank, Ssn), LoggedMessage>>,
    conflict: Option<(Rank, EventIndex)>,
    covered: BTreeMap<Rank, EventIndex>,
    states: BTreeMap<Rank, CheckpointHead>,
}

impl Collected {
    /// Notes that a checkpoint covers the first `events` events of a rank, which are not needed any more.
    pub fn set_covered(&mut self, rank: Rank, events: EventIndex) {
        self.covered.insert(rank, events);
    }

    /// How many events of a rank a checkpoint covers.
    #[must_use]
    pub fn covered(&self, rank: Rank) -> EventIndex {
        self.covered.get(&rank).copied().unwrap_or(0)
    }

    /// Adds the state that a survivor is in, as a place where recovery may leave it.
    pub fn add_state(&mut self, state: CheckpointHead) {
        self.states.insert(state.rank, state);
    }

    /// The states that survivors are in.
    pub fn states(&self) -> impl Iterator<Item = &CheckpointHead> {
        self.states.values()
    }

    /// Adds a determinant found in the memory of a domain.
    pub fn add_held(&mut self, determinant: Determinant, holder: Domain) {
        let entry = self.entry(determinant);
        if let Err(at) = entry.holders.binary_search(&holder) {
            entry.holders.insert(at, holder);
        }
    }

    /// Adds a determinant found in a stable storage.
    pub fn add_stable(&mut self, determinant: Determinant) {
        self.entry(determinant).stable = true;
    }

    /// Adds an entry of the log of `rank`, found on stable storage where `holder` is none, else in that domain's memory.
    /// Entries of one log are added in the order in which they were written: a rollback takes back what it undid.
    ///
    /// # Errors
    /// [`WireError`] where the bytes are not what the kind says.
    pub fn add_entry(
        &mut self,
        rank: Rank,
        kind: EntryKind,
        bytes: &[u8],
        holder: Option<Domain>,
    ) -> Result<(), WireError> {
        let mut reader = Reader::new(bytes);
        match kind {
            EntryKind::Own | EntryKind::Held => {
                let determinant = Determinant::decode(&mut reader)?;
                match holder {
                    Some(domain) => self.add_held(determinant, domain),
                    None => self.add_stable(determinant),
                }
            }
            EntryKind::Message => self.add_message(rank, LoggedMessage::decode(bytes)?),
            EntryKind::RolledBack => self.take_back(rank, reader.varint()?),
        }
        Ok(())
    }

    /// Forgets the events of a rank from number `from` on: it rolled back before them.
    fn take_back(&mut self, rank: Rank, from: EventIndex) {
        self.determinants.retain(|&(owner, index), _| owner != rank || index < from);
    }

    /// What each event of a rank came to depend on, in their order, as far as there is no gap: from the first that no checkpoint
    /// covers on.
    pub fn clocks(&self, rank: Rank) -> impl Iterator<Item = Option<&IncarnationClock>> {
        let first = self.covered(rank);
        (first..)
            .zip(self.determinants.range((rank, first)..=(rank, EventIndex::MAX)))
            .take_while(|(expected, ((_, index), _))| expected == index)
            .map(|(_, (_, held))| held.determinant.after.as_deref())
    }

    /// Adds a message found in the log of what `rank` delivered.
    pub fn add_message(&mut self, rank: Rank, message: LoggedMessage) {
        self.messages.entry(rank).or_default().insert((message.source, message.ssn), message);
    }

    /// Forgets every determinant: the control of an experiment that shows what they are for.
    pub fn discard_determinants(&mut self) {
        self.determinants.clear();
    }

    fn entry(&mut self, determinant: Determinant) -> &mut HeldDeterminant {
        let key = (determinant.owner, determinant.index);
        if self.determinants.get(&key).is_some_and(|known| known.determinant != determinant) {
            self.conflict = Some(key);
        }
        self.determinants.entry(key).or_insert_with(|| HeldDeterminant {
            determinant,
            holders: Vec::new(),
            stable: false,
        })
    }
}

/// Why a rank cannot be recovered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unrecoverable {
    /// A determinant is missing below one that was found.
    #[error(
        "event {missing} of rank {rank} is lost although event {known} is known; \
         more failures overlapped than the protocol tolerates, or a log was damaged"
    )]
    Gap {
        /// The rank.
        rank: Rank,
        /// The first missing event.
        missing: EventIndex,
        /// A later event that is known.
        known: EventIndex,
    },
    /// A survivor depends on more events than were found.
    #[error(
        "rank {survivor} depends on {needed} events of rank {rank}, of which {found} are known; \
         more failures overlapped than the protocol tolerates"
    )]
    Orphan {
        /// The rank that died.
        rank: Rank,
        /// A rank that depends on it.
        survivor: Rank,
        /// How many of its events the survivor depends on.
        needed: EventIndex,
        /// How many are known.
        found: EventIndex,
    },
    /// Two holders contradict each other.
    #[error("two different determinants of event {index} of rank {rank} were found")]
    Conflict {
        /// The rank.
        rank: Rank,
        /// The event.
        index: EventIndex,
    },
    /// A checkpoint that was kept in memory went with all who held it, before others could be given it.
    #[error(
        "checkpoint {number} of rank {rank} is lost with every node that held it; more failures came together than the \
         protocol tolerates, counting each until what it held is held by others"
    )]
    CheckpointLost {
        /// The rank.
        rank: Rank,
        /// The checkpoint.
        number: CheckpointNumber,
    },
    /// No checkpoints are left that fit together.
    #[error("the checkpoints that are left make no recovery line; stable storage was damaged")]
    NoLine,
    /// More failure domains are down at once than the specification tolerates.
    #[error(
        "{down} {unit} are down at once; the specification tolerates f = {tolerated} under this failure unit"
    )]
    TooMany {
        /// How many are down.
        down: u32,
        /// `processes` or `nodes`.
        unit: &'static str,
        /// How many may be.
        tolerated: u32,
    },
}

/// Makes the image of one rank from what was collected, and checks that it is enough for everyone who depends on the
/// rank: `depends` gives, for each surviving rank, how many of its events that one has seen.
///
/// # Errors
/// [`Unrecoverable`], with the reason.
pub fn assemble(
    rank: Rank,
    incarnation: Incarnation,
    memory_lost: bool,
    observed: u64,
    collected: &Collected,
    depends: &[(Rank, EventIndex)],
) -> Result<RecoveryImage, Unrecoverable> {
    if let Some((rank, index)) = collected.conflict {
        return Err(Unrecoverable::Conflict { rank, index });
    }
    let mut found = collected.covered(rank);
    for (&(_, index), _) in collected.determinants.range((rank, found)..=(rank, EventIndex::MAX)) {
        if index != found {
            return Err(Unrecoverable::Gap { rank, missing: found, known: index });
        }
        found += 1;
    }
    if let Some(&(survivor, needed)) = depends.iter().find(|&&(_, needed)| needed > found) {
        return Err(Unrecoverable::Orphan { rank, survivor, needed, found });
    }
    let messages =
        collected.messages.get(&rank).map(|log| log.values().cloned().collect()).unwrap_or_default();
    Ok(RecoveryImage {
        incarnation,
        determinants: collected
            .determinants
            .iter()
            .filter(|&(&(owner, index), _)| index >= collected.covered(owner))
            .map(|(_, held)| held.clone())
            .collect(),
        messages,
        observed,
        memory_lost,
        ..RecoveryImage::default()
    })
}

/// Makes the image of one rank of an optimistic protocol: these of its own events, from behind its checkpoint or its
/// beginning on, and the messages in its log that are not known to be lost.
///
/// # Errors
/// [`Unrecoverable::Conflict`] where its log contradicts itself.
pub fn assemble_up_to(
    rank: Rank,
    incarnation: Incarnation,
    events: Range<EventIndex>,
    observed: u64,
    collected: &Collected,
    detector: &dyn OrphanDetection,
) -> Result<RecoveryImage, Unrecoverable> {
    if let Some((rank, index)) = collected.conflict {
        return Err(Unrecoverable::Conflict { rank, index });
    }
    let is_left = |clock: &IncarnationClock| detector.judge(clock) != Standing::Obsolete;
    let messages = collected.messages.get(&rank).into_iter().flat_map(BTreeMap::values);
    Ok(RecoveryImage {
        incarnation,
        determinants: collected
            .determinants
            .range((rank, events.start)..(rank, events.end))
            .map(|(_, held)| held.clone())
            .collect(),
        messages: messages.filter(|message| message.clock.as_deref().is_none_or(is_left)).cloned().collect(),
        observed,
        ..RecoveryImage::default()
    })
}

/// Payloads as MessagePack binary, not as arrays of numbers.
pub(crate) mod bytes_as_bin {
    use serde::{Deserializer, Serializer, de::Visitor};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("binary data")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Happened;
    use crate::wire::Envelope;

    fn polls(owner: Rank, index: EventIndex) -> Determinant {
        Determinant { owner, index, observed: 0, what: Happened::Polls, after: None }
    }

    #[test]
    fn a_contiguous_prefix_is_enough() {
        let mut collected = Collected::default();
        collected.add_held(polls(1, 1), 0);
        collected.add_stable(polls(1, 0));
        collected.add_held(polls(1, 0), 2);
        collected.add_held(polls(2, 7), 2);
        let image = assemble(1, 2, true, 0, &collected, &[(0, 2)]).unwrap();
        assert_eq!(image.determinants.len(), 3);
        assert_eq!(RecoveryImage::from_bytes(&image.to_bytes().unwrap()).unwrap(), image);
    }

    #[test]
    fn a_logged_message_comes_back() {
        let mut bytes = Vec::new();
        let delivered = Delivered {
            source: 3,
            ssn: 1 << 40,
            envelope: Envelope { context: 9, tag: i32::MAX },
            mode: SendMode::Synchronous,
            clock: None,
            payload: b"payload",
        };
        LoggedMessage::encode(&mut bytes, &delivered);
        let message = LoggedMessage::decode(&bytes).unwrap();
        assert_eq!((message.source, message.ssn, message.context), (3, 1 << 40, 9));
        assert_eq!((message.tag, &message.payload[..]), (i32::MAX, &b"payload"[..]));
        assert!(message.synchronous);
        assert!(LoggedMessage::decode(&bytes[..3]).is_err());
    }

    #[test]
    fn a_gap_an_orphan_and_a_conflict_are_told_apart() {
        let mut collected = Collected::default();
        collected.add_held(polls(1, 0), 0);
        assert!(matches!(
            assemble(1, 2, true, 0, &collected, &[(0, 1), (3, 2)]),
            Err(Unrecoverable::Orphan { survivor: 3, needed: 2, found: 1, .. })
        ));
        collected.add_held(polls(1, 2), 0);
        assert!(matches!(
            assemble(1, 2, true, 0, &collected, &[]),
            Err(Unrecoverable::Gap { missing: 1, known: 2, .. })
        ));
        collected.add_held(Determinant { observed: 9, ..polls(1, 0) }, 2);
        assert!(matches!(
            assemble(1, 2, true, 0, &collected, &[]),
            Err(Unrecoverable::Conflict { index: 0, .. })
        ));
    }
}
