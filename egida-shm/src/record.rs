//! A record's head in its frame.

use egida_core::wire::{RecordHeader, WireError};

use crate::layout::Memory;
use crate::log::{Frame, WORD_BYTES};

/// What is wrong with a record with more payload than it announced.
pub const TOO_LONG: &str = "more payload than announced";

/// The head in the content of a frame that begins a record.
#[derive(Debug, Clone, Copy)]
pub struct HeadBytes {
    /// What it says.
    pub header: RecordHeader,
    /// How many payload bytes stand behind it and its piggyback.
    pub payload_bytes: u64,
}

impl HeadBytes {
    /// Reads the head, and checks that the content holds what it announces.
    ///
    /// # Errors
    /// [`WireError`] where it does not.
    #[inline(always)]
    pub fn read(content: &[u8]) -> Result<Self, WireError> {
        let fixed = content.first_chunk::<{ RecordHeader::BYTES }>().ok_or(WireError::Short)?;
        let header = RecordHeader::decode(fixed)?;
        let behind = (content.len() - RecordHeader::BYTES) as u64;
        let payload_bytes = behind.checked_sub(header.piggyback_len.into()).ok_or(WireError::Short)?;
        if payload_bytes > header.len || (payload_bytes == 0 && header.len > 0) {
            return Err(WireError::Malformed(TOO_LONG));
        }
        Ok(Self { header, payload_bytes })
    }
}

/// A frame that was found to begin a record.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// What it says.
    pub header: RecordHeader,
    frame: Frame,
}

impl Head {
    /// Reads the head in a frame, and checks that the frame holds what it announces.
    ///
    /// # Errors
    /// [`WireError`] where it does not.
    #[inline(always)]
    pub fn read(memory: &Memory, frame: &Frame) -> Result<Self, WireError> {
        let HeadBytes { header, .. } = HeadBytes::read(frame.content(memory)?)?;
        Ok(Self { header, frame: *frame })
    }

    /// Its piggyback.
    ///
    /// # Errors
    /// [`WireError`] where it lies outside the memory.
    #[inline]
    pub fn piggyback<'a>(&self, memory: &'a Memory) -> Result<&'a [u8], WireError> {
        memory.arena().bytes(self.piggyback_at(), self.header.piggyback_len.into())
    }

    /// The payload bytes in this frame.
    ///
    /// # Errors
    /// [`WireError`] where they lie outside the memory.
    #[inline]
    pub fn payload<'a>(&self, memory: &'a Memory) -> Result<&'a [u8], WireError> {
        let at = self.piggyback_at() + u64::from(self.header.piggyback_len);
        memory.arena().bytes(at, self.payload_bytes())
    }

    /// How many payload bytes are in this frame.
    #[inline]
    pub fn payload_bytes(&self) -> u64 {
        self.frame.at + self.frame.bytes - self.piggyback_at() - u64::from(self.header.piggyback_len)
    }

    /// The frame.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    #[inline]
    fn piggyback_at(&self) -> u64 {
        self.frame.at + WORD_BYTES + RecordHeader::BYTES as u64
    }
}
