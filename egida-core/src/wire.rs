//! The formats of records on channels and in journals: fixed headers and variable-length integers.
//!
//! Control messages and metadata are MessagePack of their serde types; what stands here is what every message pays for.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::{EventIndex, Position, Rank, Ssn};

/// What is wrong with bytes that should be a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// They end too early.
    #[error("the record is cut short")]
    Short,
    /// They are not of the format.
    #[error("the record holds {0}")]
    Malformed(&'static str),
}

/// The head of a message on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// The message's number on the channel.
    pub ssn: Ssn,
    /// The sender's journal position that must be stable, on each store that a send waits for, before a reader may take the
    /// record; 0 is always open.
    pub requires: Position,
    /// How many non-deterministic events the sender had executed: what a reader comes to depend on.
    pub events: EventIndex,
    /// The whole payload, in bytes.
    pub len: u64,
    /// What the message is matched by, beside its channel.
    pub envelope: Envelope,
    /// Whether the sender waits for the match.
    pub mode: SendMode,
    /// Bytes of piggyback between header and payload.
    pub piggyback_len: u32,
}

/// What a message is matched by, beside its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Envelope {
    /// The communicator's context.
    pub context: u32,
    /// The tag, not negative.
    pub tag: i32,
}

/// When a send is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendMode {
    /// When the message is in the channel.
    Standard,
    /// When the receiver has matched it.
    Synchronous,
}

impl RecordHeader {
    /// Bytes of an encoded header.
    pub const BYTES: usize = 48;

    /// The fixed form: little-endian fields in the order of [`RecordHeader`].
    #[must_use]
    #[inline(always)] // for every message, and little but moves
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mode = match self.mode {
            SendMode::Standard => 0,
            SendMode::Synchronous => 1,
        };
        // Whole words, so that they go from registers to where they are to stand.
        let words = [
            self.ssn,
            self.requires,
            self.events,
            self.len,
            u64::from(self.envelope.context) | u64::from(self.envelope.tag.cast_unsigned()) << 32,
            u64::from(self.piggyback_len) | mode << 32,
        ];
        let mut out = [0; Self::BYTES];
        for (at, word) in words.into_iter().enumerate() {
            out[8 * at..8 * at + 8].copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// Reads the fixed form.
    ///
    /// # Errors
    /// [`WireError`] for an unknown mode.
    #[inline(always)] // as above
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Result<Self, WireError> {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let half = |at: usize| {
            let mut half = [0; 4];
            half.copy_from_slice(&bytes[at..at + 4]);
            half
        };
        Ok(Self {
            ssn: word(0),
            requires: word(8),
            events: word(16),
            len: word(24),
            envelope: Envelope { context: u32::from_le_bytes(half(32)), tag: i32::from_le_bytes(half(36)) },
            piggyback_len: u32::from_le_bytes(half(40)),
            mode: match bytes[44] {
                0 => SendMode::Standard,
                1 => SendMode::Synchronous,
                _ => return Err(WireError::Malformed("an unknown send mode")),
            },
        })
    }

    /// Folds what a re-execution must reproduce (number, length, envelope) into a running digest of a channel.
    #[must_use]
    #[inline(always)] // as above
    pub fn fold(&self, digest: u64) -> u64 {
        let envelope =
            (u64::from(self.envelope.context) << 32) | u64::from(self.envelope.tag.cast_unsigned());
        [self.ssn, self.len, envelope]
            .into_iter()
            .fold(digest, |digest, word| (digest.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

/// Appends an unsigned integer, seven bits to the byte, lowest first.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7F) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what the `put_` functions wrote.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What is not yet read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// One byte.
    ///
    /// # Errors
    /// [`WireError::Short`] at the end.
    pub fn byte(&mut self) -> Result<u8, WireError> {
        let (&first, rest) = self.bytes.split_first().ok_or(WireError::Short)?;
        self.bytes = rest;
        Ok(first)
    }

    /// An integer of [`put_varint`].
    ///
    /// # Errors
    /// [`WireError`] at the end or for more than 64 bits.
    pub fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(WireError::Malformed("an integer of more than 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Malformed("an integer of more than 64 bits"))
    }

    /// An integer that must fit a rank or an index.
    ///
    /// # Errors
    /// [`WireError`] as for [`Reader::varint`], and where it does not fit.
    pub fn rank(&mut self) -> Result<Rank, WireError> {
        u32::try_from(self.varint()?).map_err(|_| WireError::Malformed("a rank or an index out of range"))
    }

    /// Bytes of [`put_bytes`].
    ///
    /// # Errors
    /// [`WireError`] where fewer stand there than announced.
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = usize::try_from(self.varint()?).map_err(|_| WireError::Short)?;
        if len > self.bytes.len() {
            return Err(WireError::Short);
        }
        let (head, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_and_bytes_come_back(value: u64, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_bytes(&mut out, &bytes);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert_eq!(reader.bytes().unwrap(), &bytes[..]);
            prop_assert!(reader.rest().is_empty());
        }

        #[test]
        fn headers_come_back(ssn: u64, requires: u64, events: u64, len: u64, context: u32, tag: i32, sync: bool, piggyback_len: u32) {
            let mode = if sync { SendMode::Synchronous } else { SendMode::Standard };
            let header = RecordHeader { ssn, requires, events, len, envelope: Envelope { context, tag }, mode, piggyback_len };
            prop_assert_eq!(RecordHeader::decode(&header.encode()).unwrap(), header);
        }
    }

    #[test]
    fn an_overlong_integer_is_refused() {
        assert!(Reader::new(&[0xFF; 11]).varint().is_err());
        assert!(Reader::new(&[0x80; 3]).varint().is_err());
    }
}
