//! Messages in a stream of bytes.
//!
//! ```text
//!   length (4 bytes) | CRC-32 of the message (4 bytes) | message
//! ```

use std::io::{self, Read};

use thiserror::Error;

/// Bytes before a message.
pub const HEAD_BYTES: usize = 8;

/// No message is longer.
pub const MOST_BYTES: u32 = 1 << 31;

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;

/// The stream does not hold a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Broken {
    /// It announces a message of impossible length.
    #[error("a message of {0} bytes was announced")]
    Length(u32),
    /// It is not what was sent.
    #[error("a message's checksum is wrong")]
    Checksum,
}

/// Appends a message, given in parts.
///
/// # Errors
/// [`Broken::Length`] where it is too long.
pub fn put(out: &mut Vec<u8>, parts: &[&[u8]]) -> Result<(), Broken> {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let len = u32::try_from(bytes).unwrap_or(u32::MAX);
    if len > MOST_BYTES {
        return Err(Broken::Length(len));
    }
    let mut checksum = crc32fast::Hasher::new();
    parts.iter().for_each(|part| checksum.update(part));
    out.reserve(HEAD_BYTES + bytes);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&checksum.finalize().to_le_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Ok(())
}

/// Reads one message of at most so many bytes, and nothing behind it.
///
/// # Errors
/// [`io::Error`] of the stream, and [`io::ErrorKind::InvalidData`] where there is no such message.
pub fn read_one(source: &mut impl Read, most_bytes: u32) -> io::Result<Vec<u8>> {
    let garbage = |error: Broken| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut start = [0; HEAD_BYTES];
    source.read_exact(&mut start)?;
    let Some((len, checksum)) = head(&start).map_err(garbage)? else { return Ok(Vec::new()) };
    if len > most_bytes as usize {
        return Err(garbage(Broken::Length(u32::try_from(len).unwrap_or(u32::MAX))));
    }
    let mut message = vec![0; len];
    source.read_exact(&mut message)?;
    if crc32fast::hash(&message) != checksum {
        return Err(garbage(Broken::Checksum));
    }
    Ok(message)
}

/// Takes messages out of a stream that comes in pieces.
#[derive(Debug, Default)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Where the next message begins.
    from: usize,
    /// Where what was read ends.
    to: usize,
}

impl Framer {
    /// Reads once. Returns how many bytes came; none at the end of the stream.
    ///
    /// # Errors
    /// [`io::Error`] of the stream.
    pub fn read(&mut self, source: &mut impl Read) -> io::Result<usize> {
        self.make_room(self.wanted());
        let read = source.read(&mut self.bytes[self.to..])?;
        self.to += read;
        Ok(read)
    }

    /// Adds bytes that were read elsewhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes[self.to..self.to + bytes.len()].copy_from_slice(bytes);
        self.to += bytes.len();
    }

    /// The next message, if all of it has come.
    ///
    /// # Errors
    /// [`Broken`]; nothing that follows can be told from garbage then.
    pub fn take(&mut self) -> Result<Option<&[u8]>, Broken> {
        let rest = &self.bytes[self.from..self.to];
        let Some((len, checksum)) = head(rest)? else { return Ok(None) };
        let Some(message) = rest.get(HEAD_BYTES..HEAD_BYTES + len) else { return Ok(None) };
        if crc32fast::hash(message) != checksum {
            return Err(Broken::Checksum);
        }
        let at = self.from + HEAD_BYTES;
        self.from = at + len;
        Ok(Some(&self.bytes[at..at + len]))
    }

    /// How much more is to be read at once: the rest of a long message, or as much as comes.
    fn wanted(&self) -> usize {
        let rest = &self.bytes[self.from..self.to];
        let missing = match head(rest) {
            Ok(Some((len, _))) => (HEAD_BYTES + len).saturating_sub(rest.len()),
            _ => 0,
        };
        // A length is believed as far as bytes come: who announces much and sends little takes little memory.
        missing.clamp(READ_BYTES, READ_BYTES.max(2 * rest.len()))
    }

    fn make_room(&mut self, wanted: usize) {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
        if self.bytes.len() - self.to < wanted {
            self.bytes.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            if self.bytes.len() - self.to < wanted {
                self.bytes.resize(self.to + wanted, 0);
            }
        }
    }
}

fn head(rest: &[u8]) -> Result<Option<(usize, u32)>, Broken> {
    let Some(head) = rest.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    if len > MOST_BYTES {
        return Err(Broken::Length(len));
    }
    Ok(Some((len as usize, u32::from_le_bytes([head[4], head[5], head[6], head[7]]))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(framer: &mut Framer) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| framer.take().unwrap().map(<[u8]>::to_vec)).collect()
    }

    proptest! {
        #[test]
        fn messages_come_back_however_the_stream_is_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..20),
            pieces in proptest::collection::vec(1usize..200, 1..100),
        ) {
            let mut stream = Vec::new();
            messages.iter().for_each(|message| put(&mut stream, &[message]).unwrap());
            let mut framer = Framer::default();
            let (mut found, mut rest) = (Vec::new(), &stream[..]);
            for piece in pieces.into_iter().cycle() {
                let (now, behind) = rest.split_at(piece.min(rest.len()));
                framer.push(now);
                found.extend(all(&mut framer));
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn one_wrong_bit_is_noticed(message in proptest::collection::vec(any::<u8>(), 1..300), at: usize, bit in 0u8..8) {
            let mut stream = Vec::new();
            put(&mut stream, &[&message]).unwrap();
            let at = 4 + at % (stream.len() - 4);
            stream[at] ^= 1 << bit;
            let mut framer = Framer::default();
            framer.push(&stream);
            prop_assert_eq!(framer.take().map(|_| ()), Err(Broken::Checksum));
        }
    }

    #[test]
    fn a_long_message_comes_through_a_stream() {
        let message: Vec<u8> = (0..3_000_000u32).map(|i| (i % 253) as u8).collect();
        let mut stream = Vec::new();
        put(&mut stream, &[&message[..7], &message[7..]]).unwrap();
        let mut framer = Framer::default();
        let mut source = &stream[..];
        while framer.read(&mut source).unwrap() > 0 {}
        assert_eq!(all(&mut framer), [message]);
    }

    #[test]
    fn one_message_is_read_and_nothing_behind_it() {
        let mut stream = Vec::new();
        put(&mut stream, &[b"one"]).unwrap();
        stream.extend_from_slice(b"rest");
        let mut source = &stream[..];
        assert_eq!(read_one(&mut source, 3).unwrap(), b"one");
        assert_eq!(source, b"rest");
        assert!(read_one(&mut &stream[..], 2).is_err());
        stream[9] ^= 1;
        assert!(read_one(&mut &stream[..], 3).is_err());
    }

    #[test]
    fn an_impossible_length_is_refused() {
        let mut framer = Framer::default();
        framer.push(&[0xFF; HEAD_BYTES]);
        assert_eq!(framer.take(), Err(Broken::Length(u32::MAX)));
    }
}
