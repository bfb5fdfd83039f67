//! What two ends of a mirror tell each other, without the framing of the connection.
//!
//! ```text
//!   View    1 | view, then of each log wanted: tag, number, bytes      the rest is integers of seven bits to the byte
//!   Begin   2 | tag, number, bytes
//!   Frame   3 | tag (8 bytes), kind (1 byte), content
//!   Reader  4 | source, reader, acknowledged, depends, released
//!   Head    5 | rank, position
//!   State   6 | rank, incarnation, words of `RankSlot::report`
//!   Stable  7 | rank, store, position
//!   Want    8 | connection, tag, number, bytes
//! ```

use egida_core::wire::{Reader, WireError, put_varint};

use crate::layout::LogName;
use crate::log::FrameKind;

/// The first byte of a [`Message::View`].
pub const VIEW: u8 = 1;

/// Bytes of a frame's message before its content.
pub const FRAME_HEAD_BYTES: usize = 10;

/// A message, read.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Which changes of memory the sender has made, and from where on it wants which logs.
    View { view: u64, wants: Vec<(u64, Place)> },
    /// The frames of a log that follow begin at this place.
    Begin { log: LogName, from: Place },
    /// The next frame of a log.
    Frame { log: LogName, kind: FrameKind, content: &'a [u8] },
    /// What the reader of a channel says of it.
    Reader { source: u32, reader: u32, words: [u64; 3] },
    /// How far a journal has come.
    Head { rank: u32, position: u64 },
    /// What a rank tells its daemon.
    State { rank: u32, incarnation: u64, words: Vec<u64> },
    /// What a store holds of a journal.
    Stable { rank: u32, store: u8, position: u64 },
    /// The ranks' own connection of that number does not carry their logs any more; from where on this one is wanted.
    Want { connection: u64, log: LogName, place: Place },
}

/// A place in a log: so many whole records or entries before it, and so many payload bytes of the next record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    pub number: u64,
    pub bytes: u64,
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// [`WireError`] where it is none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.byte()?;
        if kind == 3 {
            return frame(reader.rest());
        }
        let message = match kind {
            VIEW => Self::View { view: reader.varint()?, wants: wants(&mut reader)? },
            2 => Self::Begin { log: log(reader.varint()?)?, from: place(&mut reader)? },
            4 => Self::Reader {
                source: reader.rank()?,
                reader: reader.rank()?,
                words: [reader.varint()?, reader.varint()?, reader.varint()?],
            },
            5 => Self::Head { rank: reader.rank()?, position: reader.varint()? },
            6 => {
                Self::State { rank: reader.rank()?, incarnation: reader.varint()?, words: all(&mut reader)? }
            }
            7 => Self::Stable { rank: reader.rank()?, store: reader.byte()?, position: reader.varint()? },
            8 => Self::Want {
                connection: reader.varint()?,
                log: log(reader.varint()?)?,
                place: place(&mut reader)?,
            },
            _ => return Err(WireError::Malformed("an unknown kind of message")),
        };
        if reader.rest().is_empty() {
            Ok(message)
        } else {
            Err(WireError::Malformed("more than its message"))
        }
    }

    /// Writes a message other than a frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        let mut put = |kind: u8, words: &mut dyn Iterator<Item = u64>| {
            out.push(kind);
            words.for_each(|word| put_varint(out, word));
        };
        match self {
            Self::View { view, wants } => {
                let wants = wants.iter().flat_map(|(tag, place)| [*tag, place.number, place.bytes]);
                put(VIEW, &mut [*view].into_iter().chain(wants));
            }
            Self::Begin { log, from } => put(2, &mut [log.tag(), from.number, from.bytes].into_iter()),
            Self::Frame { log, kind, content } => {
                out.extend_from_slice(&frame_head(*log, *kind));
                out.extend_from_slice(content);
            }
            Self::Reader { source, reader, words } => {
                put(4, &mut [(*source).into(), (*reader).into()].into_iter().chain(*words));
            }
            Self::Head { rank, position } => put(5, &mut [(*rank).into(), *position].into_iter()),
            Self::State { rank, incarnation, words } => {
                put(6, &mut [(*rank).into(), *incarnation].into_iter().chain(words.iter().copied()));
            }
            Self::Stable { rank, store, position } => {
                out.push(7);
                put_varint(out, (*rank).into());
                out.push(*store);
                put_varint(out, *position);
            }
            Self::Want { connection, log, place } => {
                put(8, &mut [*connection, log.tag(), place.number, place.bytes].into_iter());
            }
        }
    }
}

/// What stands before a frame's content.
pub fn frame_head(log: LogName, kind: FrameKind) -> [u8; FRAME_HEAD_BYTES] {
    let mut head = [0; FRAME_HEAD_BYTES];
    head[0] = 3;
    head[1..9].copy_from_slice(&log.tag().to_le_bytes());
    head[9] = kind as u8;
    head
}

/// What stands before a frame's content, read; nothing where it is another message.
pub fn read_frame_head(bytes: &[u8; FRAME_HEAD_BYTES]) -> Option<(LogName, FrameKind)> {
    match frame(bytes.strip_prefix(&[3])?) {
        Ok(Message::Frame { log, kind, .. }) => Some((log, kind)),
        _ => None,
    }
}

fn frame(bytes: &[u8]) -> Result<Message<'_>, WireError> {
    let (tag, rest) = bytes.split_first_chunk().ok_or(WireError::Short)?;
    let (&kind, content) = rest.split_first().ok_or(WireError::Short)?;
    let kind = FrameKind::from_word(kind.into()).filter(|&kind| kind != FrameKind::Jump);
    let kind = kind.ok_or(WireError::Malformed("an unknown kind of frame"))?;
    Ok(Message::Frame { log: log(u64::from_le_bytes(*tag))?, kind, content })
}

fn log(tag: u64) -> Result<LogName, WireError> {
    LogName::from_tag(tag).ok_or(WireError::Malformed("a log that is none"))
}

fn place(reader: &mut Reader<'_>) -> Result<Place, WireError> {
    Ok(Place { number: reader.varint()?, bytes: reader.varint()? })
}

fn wants(reader: &mut Reader<'_>) -> Result<Vec<(u64, Place)>, WireError> {
    let mut wants = Vec::new();
    while !reader.rest().is_empty() {
        wants.push((reader.varint()?, place(reader)?));
    }
    Ok(wants)
}

fn all(reader: &mut Reader<'_>) -> Result<Vec<u64>, WireError> {
    let mut words = Vec::new();
    while !reader.rest().is_empty() {
        words.push(reader.varint()?);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_and_pieces_of_them_do_not() {
        let place = |number, bytes| Place { number, bytes };
        let messages = [
            Message::View { view: 3, wants: vec![(LogName::Lane(1, 2).tag(), place(7, 0))] },
            Message::Begin { log: LogName::Channel(3, 4095), from: place(1 << 40, 65_536) },
            Message::Frame { log: LogName::Journal(9), kind: FrameKind::Entry, content: b"content" },
            Message::Reader { source: 1, reader: 2, words: [3, u64::MAX, 5] },
            Message::Head { rank: 7, position: 300 },
            Message::State { rank: 7, incarnation: 2, words: vec![1, 2, 3] },
            Message::Stable { rank: 7, store: 3, position: 9 },
            Message::Want { connection: 5, log: LogName::Channel(1, 2), place: place(300, 7) },
        ];
        let mut bytes = Vec::new();
        for message in messages {
            message.write(&mut bytes);
            assert_eq!(Message::read(&bytes).unwrap(), message);
        }
        assert!(Message::read(&[]).is_err());
        assert!(Message::read(&[9, 9]).is_err());
        assert!(Message::read(&[3, 1, 2]).is_err());
        assert!(Message::read(&[5, 1, 2, 3]).is_err());
    }
}
