//! The content of a checkpoint, whole or as a delta over an earlier one, and its form on stable storage.
//!
//! ```text
//!   "EGCK"  version (1 byte)  CRC-32 of the rest (4 bytes, little-endian)  MessagePack of StoredCheckpoint
//! ```

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::head::CheckpointHead;
use crate::event::Determinant;
use crate::ids::{CheckpointNumber, Rank, Ssn};
use crate::recovery::bytes_as_bin;
use crate::wire::{RecordHeader, WireError};

const MAGIC: &[u8; 4] = b"EGCK";
const VERSION: u8 = 1;
const FRAME_BYTES: usize = MAGIC.len() + 1 + 4;

/// Bytes that a delta compares and carries at a time.
const PAGE_BYTES: usize = 256;

/// Everything that a rank needs to go on from a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointImage {
    /// What is to be known of it.
    pub head: CheckpointHead,
    /// The engine's part: matching, receives, channels' ends, the protocol's state. Only the engine reads it.
    #[serde(with = "bytes_as_bin")]
    pub history: Vec<u8>,
    /// The application's part. Only the application reads it.
    #[serde(with = "bytes_as_bin")]
    pub application: Vec<u8>,
    /// Messages that were sent and that their receivers may still ask for, by receiver.
    pub sent: Vec<SendLog>,
    /// Determinants of other ranks' events that this rank holds for them.
    pub held: Vec<Determinant>,
}

/// The sent messages to one receiver that it has not released.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendLog {
    /// The receiver.
    pub dest: Rank,
    /// The number of the first record here.
    pub first: Ssn,
    /// The records, in the order of their channel.
    pub records: Vec<SentRecord>,
}

/// A record of a channel as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRecord {
    #[serde(with = "bytes_as_bin")]
    header: Vec<u8>,
    /// Its piggyback.
    #[serde(with = "bytes_as_bin")]
    pub piggyback: Vec<u8>,
    /// Its payload, whole.
    #[serde(with = "bytes_as_bin")]
    pub payload: Vec<u8>,
}

impl SentRecord {
    /// The record with that head.
    #[must_use]
    pub fn new(header: &RecordHeader, piggyback: Vec<u8>, payload: Vec<u8>) -> Self {
        Self { header: header.encode().to_vec(), piggyback, payload }
    }

    /// Its head.
    ///
    /// # Errors
    /// [`WireError`] where the bytes are none.
    pub fn header(&self) -> Result<RecordHeader, WireError> {
        let bytes = self.header.as_slice().try_into().map_err(|_| WireError::Short)?;
        RecordHeader::decode(bytes)
    }
}

/// What is wrong with a stored checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImageError {
    /// It is cut short, or its bytes are not those that were written.
    #[error("the checkpoint is torn: its checksum does not fit")]
    Torn,
    /// It was written by another version of the library.
    #[error("the checkpoint has format {found}, and this build reads format {VERSION}")]
    Version {
        /// Its version.
        found: u8,
    },
    /// Its checksum fits and its content does not.
    #[error("the checkpoint is malformed: {0}")]
    Malformed(String),
    /// What it is a delta over is not there.
    #[error("checkpoint {number} is a delta over checkpoint {base}, which is not there")]
    NoBase {
        /// Its number.
        number: CheckpointNumber,
        /// The missing one.
        base: CheckpointNumber,
    },
}

/// A checkpoint as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCheckpoint {
    /// What is to be known of it.
    pub head: CheckpointHead,
    /// The rest.
    pub contents: Contents,
}

/// The content of a stored checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contents {
    /// All of it.
    Full(Box<CheckpointImage>),
    /// What is otherwise than in an earlier checkpoint of the same rank.
    Delta {
        /// That one.
        base: CheckpointNumber,
        /// What changed in the engine's part.
        history: Pages,
        /// What changed in the application's part.
        application: Pages,
        /// What was sent since. `first` is the first record that is still in the log, wherever it stands.
        sent: Vec<SendLog>,
        /// All determinants held.
        held: Vec<Determinant>,
    },
}

/// What changed in a string of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    len: u64,
    changed: Vec<(u64, Page)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Page(#[serde(with = "bytes_as_bin")] Vec<u8>);

impl Pages {
    fn between(before: &[u8], after: &[u8]) -> Self {
        let changed = after
            .chunks(PAGE_BYTES)
            .enumerate()
            .filter(|&(at, page)| {
                let from = at * PAGE_BYTES;
                before.get(from..from + page.len()) != Some(page)
            })
            .map(|(at, page)| (at as u64, Page(page.to_vec())))
            .collect();
        Self { len: after.len() as u64, changed }
    }

    fn apply(&self, before: &[u8]) -> Result<Vec<u8>, ImageError> {
        let short = || ImageError::Malformed("a page beyond the end".to_owned());
        // Every page beyond what was there before is in the delta: nothing is made up to fill a gap.
        let mut after = before.to_vec();
        after.truncate(usize::try_from(self.len).map_err(|_| short())?);
        for (at, Page(page)) in &self.changed {
            let from = usize::try_from(*at).ok().and_then(|at| at.checked_mul(PAGE_BYTES));
            let from = from.filter(|&from| from <= after.len()).ok_or_else(short)?;
            let to = after.len().min(from + page.len());
            after.splice(from..to, page.iter().copied());
        }
        if after.len() as u64 == self.len { Ok(after) } else { Err(short()) }
    }
}

impl StoredCheckpoint {
    /// A checkpoint that stands by itself.
    #[must_use]
    pub fn full(image: CheckpointImage) -> Self {
        Self { head: image.head.clone(), contents: Contents::Full(Box::new(image)) }
    }

    /// A checkpoint that needs `base`, an earlier one of the same rank, to be read.
    #[must_use]
    pub fn delta(image: &CheckpointImage, base: &CheckpointImage) -> Self {
        let sent = image.sent.iter().map(|log| since(log, base)).collect();
        let contents = Contents::Delta {
            base: base.head.number,
            history: Pages::between(&base.history, &image.history),
            application: Pages::between(&base.application, &image.application),
            sent,
            held: image.held.clone(),
        };
        Self { head: image.head.clone(), contents }
    }

    /// The number of the checkpoint that it is a delta over, if it is one.
    #[must_use]
    pub fn base(&self) -> Option<CheckpointNumber> {
        match self.contents {
            Contents::Full(_) => None,
            Contents::Delta { base, .. } => Some(base),
        }
    }

    /// The image; `base` reads the image that this one is a delta over.
    ///
    /// # Errors
    /// [`ImageError`] where that one is missing or the two do not fit together.
    pub fn restore(
        self,
        base: impl FnOnce(CheckpointNumber) -> Option<CheckpointImage>,
    ) -> Result<CheckpointImage, ImageError> {
        match self.contents {
            Contents::Full(image) => Ok(*image),
            Contents::Delta { base: number, history, application, sent, held } => {
                let missing = ImageError::NoBase { number: self.head.number, base: number };
                let base = base(number).ok_or(missing)?;
                let sent = sent.into_iter().map(|log| joined(log, &base, &self.head)).collect();
                Ok(CheckpointImage {
                    history: history.apply(&base.history)?,
                    application: application.apply(&base.application)?,
                    sent,
                    held,
                    head: self.head,
                })
            }
        }
    }

    /// Its form on stable storage.
    ///
    /// # Errors
    /// A text where serialization fails.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let body = rmp_serde::to_vec(self).map_err(|error| error.to_string())?;
        let mut bytes = Vec::with_capacity(FRAME_BYTES + body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Reads what [`StoredCheckpoint::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ImageError`] where the bytes are not those.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        let (frame, body) = bytes.split_at_checked(FRAME_BYTES).ok_or(ImageError::Torn)?;
        let (magic, rest) = frame.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(ImageError::Torn);
        }
        if rest[0] != VERSION {
            return Err(ImageError::Version { found: rest[0] });
        }
        if rest[1..] != crc32fast::hash(body).to_le_bytes() {
            return Err(ImageError::Torn);
        }
        rmp_serde::from_slice(body).map_err(|error| ImageError::Malformed(error.to_string()))
    }
}

/// The part of a send log that `base` does not have.
fn since(log: &SendLog, base: &CheckpointImage) -> SendLog {
    let known = base.head.sent.get(log.dest as usize).copied().unwrap_or(0);
    let skip = usize::try_from(known.saturating_sub(log.first)).unwrap_or(usize::MAX);
    SendLog { dest: log.dest, first: log.first, records: log.records.iter().skip(skip).cloned().collect() }
}

/// A send log from what `base` has of it and what was sent since; `first` of the latter says where it begins.
fn joined(since: SendLog, base: &CheckpointImage, head: &CheckpointHead) -> SendLog {
    let sent = head.sent.get(since.dest as usize).copied().unwrap_or(0);
    let missing = sent.saturating_sub(since.first).saturating_sub(since.records.len() as Ssn);
    let old = base.sent.iter().find(|log| log.dest == since.dest);
    let skip = old.map_or(0, |old| since.first.saturating_sub(old.first));
    let from_base = old
        .into_iter()
        .flat_map(|old| &old.records)
        .skip(usize::try_from(skip).unwrap_or(usize::MAX))
        .take(usize::try_from(missing).unwrap_or(usize::MAX))
        .cloned();
    SendLog { dest: since.dest, first: since.first, records: from_base.chain(since.records).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Envelope, SendMode};
    use proptest::prelude::*;

    fn record(ssn: Ssn) -> SentRecord {
        let header = RecordHeader {
            ssn,
            requires: 0,
            events: 0,
            len: 1,
            envelope: Envelope { context: 1, tag: 2 },
            mode: SendMode::Standard,
            piggyback_len: 0,
        };
        SentRecord::new(&header, Vec::new(), vec![ssn as u8])
    }

    fn image(number: CheckpointNumber, reclaimed: Ssn, sent: Ssn, application: Vec<u8>) -> CheckpointImage {
        let mut head = CheckpointHead::beginning(0, 2);
        head.number = number;
        head.sent[1] = sent;
        let log = SendLog { dest: 1, first: reclaimed, records: (reclaimed..sent).map(record).collect() };
        CheckpointImage {
            head,
            history: application.iter().rev().copied().collect(),
            application,
            sent: vec![log],
            ..Default::default()
        }
    }

    proptest! {
        #[test]
        fn a_delta_over_its_base_is_the_image(
            before in prop::collection::vec(any::<u8>(), 0..1500),
            after in prop::collection::vec(any::<u8>(), 0..1500),
            shared in 0usize..1500,
            (first, sent, more, released) in (0u64..5, 0u64..5, 0u64..5, 0u64..12),
        ) {
            let shared = shared.min(before.len()).min(after.len());
            let after = [&before[..shared], &after[shared..]].concat();
            let sent = first + sent;
            let base = image(1, first, sent, before);
            let next = image(2, (first + released).min(sent + more), sent + more, after);
            let stored = StoredCheckpoint::delta(&next, &base);
            let read = StoredCheckpoint::from_bytes(&stored.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(read.base(), Some(1));
            prop_assert_eq!(read.restore(|number| (number == 1).then(|| base.clone())).unwrap(), next);
        }

        #[test]
        fn a_torn_or_changed_checkpoint_is_never_taken_for_whole(cut in 0usize..400, flip in 0usize..400) {
            let bytes = StoredCheckpoint::full(image(1, 0, 3, vec![7; 300])).to_bytes().unwrap();
            prop_assert!(StoredCheckpoint::from_bytes(&bytes[..cut.min(bytes.len() - 1)]).is_err());
            let mut changed = bytes.clone();
            let at = flip.min(bytes.len() - 1);
            changed[at] ^= 1;
            prop_assert!(StoredCheckpoint::from_bytes(&changed).is_err());
        }
    }

    #[test]
    fn a_delta_without_its_base_is_refused_by_name() {
        let (base, next) = (image(1, 0, 1, vec![1; 600]), image(2, 0, 2, vec![1; 600]));
        let delta = StoredCheckpoint::delta(&next, &base);
        assert!(delta.to_bytes().unwrap().len() < StoredCheckpoint::full(next).to_bytes().unwrap().len());
        assert_eq!(delta.restore(|_| None), Err(ImageError::NoBase { number: 2, base: 1 }));
    }
}
