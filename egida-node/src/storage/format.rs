//! The file format of a log on disk.
//!
//! ```text
//!   file   = header record*
//!   header = "EGIDALOG" version:u32 crc32(of the 12 bytes before):u32
//!   record = "EREC" rank:u32 len:u64 position:u64 synced:u64 kind:u8 0[7] crc32(bytes):u32 crc32(head before):u32 bytes[len]
//! ```
//!
//! All integers are little-endian. `synced` is how many bytes of the file were known to be on the disk when the record
//! was written. It tells a torn tail, a write that never ended and that nobody was told of, from damage to what had been
//! stable: damage at an offset below any later `synced` is the latter.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use egida_core::driver::EntryKind;

use super::{Entry, StorageError};

/// The version that is written and read.
pub const VERSION: u32 = 1;
/// Bytes of a file's header.
pub const HEADER_BYTES: usize = 16;
/// Bytes of a record before its content.
pub const RECORD_BYTES: usize = 48;

const FILE_MAGIC: &[u8; 8] = b"EGIDALOG";
const RECORD_MAGIC: &[u8; 4] = b"EREC";

/// The end of a log that a crash left unfinished: it was never acknowledged, and was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where the unfinished part began.
    pub offset: u64,
    /// How long it was.
    pub bytes: u64,
}

impl std::fmt::Display for TornTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, offset, bytes } = self;
        write!(
            f,
            "`{}` ended in an unfinished record: cut off {bytes} bytes at offset {offset}",
            path.display()
        )
    }
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Bytes from the start that are whole.
    pub whole_bytes: u64,
    /// What follows them, if anything does.
    pub torn: Option<TornTail>,
}

/// The header of a new file.
#[must_use]
pub fn file_header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(FILE_MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Appends a record to `out`.
pub fn encode(entry: &Entry<'_>, synced: u64, out: &mut Vec<u8>) {
    let mut head = [0; RECORD_BYTES];
    head[..4].copy_from_slice(RECORD_MAGIC);
    head[4..8].copy_from_slice(&entry.rank.to_le_bytes());
    head[8..16].copy_from_slice(&(entry.bytes.len() as u64).to_le_bytes());
    head[16..24].copy_from_slice(&entry.position.to_le_bytes());
    head[24..32].copy_from_slice(&synced.to_le_bytes());
    head[32] = entry.kind as u8;
    head[40..44].copy_from_slice(&crc32fast::hash(entry.bytes).to_le_bytes());
    let crc = crc32fast::hash(&head[..44]);
    head[44..].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(entry.bytes);
}

struct RecordHead {
    rank: u32,
    len: u64,
    position: u64,
    synced: u64,
    kind: EntryKind,
    crc: u32,
}

fn decode(head: &[u8]) -> Option<RecordHead> {
    let word = |at: usize| head.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let half = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    if head.get(..4)? != RECORD_MAGIC || crc32fast::hash(head.get(..44)?) != half(44)? {
        return None;
    }
    let kind = EntryKind::from_byte(*head.get(32)?)?;
    Some(RecordHead {
        rank: half(4)?,
        len: word(8)?,
        position: word(16)?,
        synced: word(24)?,
        kind,
        crc: half(40)?,
    })
}

/// Reads a log from its start and shows each whole record. `known_synced` is how many bytes the caller knows to have
/// been stable: damage below it is never taken for a torn tail.
///
/// # Errors
/// [`StorageError::Corrupt`] for damage to what was stable; [`StorageError::Foreign`] and [`StorageError::Version`];
/// [`StorageError::Io`].
pub fn scan(
    path: &Path,
    known_synced: u64,
    mut visit: impl FnMut(Entry<'_>),
) -> Result<Scanned, StorageError> {
    let failed = || StorageError::io("read", path);
    let file = File::open(path).map_err(failed())?;
    let size = file.metadata().map_err(failed())?.len();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let torn = |offset: u64| {
        let tail = TornTail { path: path.to_owned(), offset, bytes: size - offset };
        Scanned { whole_bytes: offset, torn: (size > offset).then_some(tail) }
    };

    let mut header = Vec::new();
    reader.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(failed())?;
    if header != file_header() {
        return match foreign_header(path, &header) {
            None if known_synced == 0 => Ok(torn(0)),
            None => Err(StorageError::Corrupt {
                path: path.to_owned(),
                offset: 0,
                what: "its header is cut short",
            }),
            Some(error) => Err(error),
        };
    }

    let mut offset = HEADER_BYTES as u64;
    let mut head = Vec::with_capacity(RECORD_BYTES);
    let mut bytes = Vec::new();
    let damage = loop {
        if offset == size {
            return match offset < known_synced {
                true => {
                    Err(StorageError::Corrupt { path: path.to_owned(), offset, what: "it ends too early" })
                }
                false => Ok(torn(offset)),
            };
        }
        head.clear();
        reader.by_ref().take(RECORD_BYTES as u64).read_to_end(&mut head).map_err(failed())?;
        let Some(record) = decode(&head) else { break "the head of a record is not valid" };
        if record.len > size - offset - RECORD_BYTES as u64 {
            break "a record is cut short";
        }
        bytes.clear();
        reader.by_ref().take(record.len).read_to_end(&mut bytes).map_err(failed())?;
        if bytes.len() as u64 != record.len || crc32fast::hash(&bytes) != record.crc {
            break "the content of a record does not match its checksum";
        }
        visit(Entry { rank: record.rank, position: record.position, kind: record.kind, bytes: &bytes });
        offset += RECORD_BYTES as u64 + record.len;
    };
    let mut file = reader.into_inner();
    let synced = known_synced.max(latest_synced(&mut file, offset + 1).map_err(failed())?);
    if offset < synced {
        return Err(StorageError::Corrupt { path: path.to_owned(), offset, what: damage });
    }
    Ok(torn(offset))
}

/// Why bytes that are not our header are no log of ours; `None` where they are merely the beginning of one.
fn foreign_header(path: &Path, header: &[u8]) -> Option<StorageError> {
    let ours = file_header();
    if header.len() < HEADER_BYTES && ours.starts_with(header) {
        return None;
    }
    let path = path.to_owned();
    if !header.starts_with(FILE_MAGIC) || header.len() < HEADER_BYTES {
        return Some(StorageError::Foreign { path });
    }
    let half = |at: usize| {
        let mut half = [0; 4];
        half.copy_from_slice(&header[at..at + 4]);
        u32::from_le_bytes(half)
    };
    if crc32fast::hash(&header[..12]) != half(12) {
        return Some(StorageError::Corrupt {
            path,
            offset: 0,
            what: "its header does not match its checksum",
        });
    }
    Some(StorageError::Version { path, found: half(8), known: VERSION })
}

/// The greatest `synced` of any valid head of a record at or behind an offset, at whatever alignment.
fn latest_synced(file: &mut File, from: u64) -> io::Result<u64> {
    const WINDOW: usize = 1 << 16;
    file.seek(SeekFrom::Start(from))?;
    let mut window = Vec::with_capacity(WINDOW + RECORD_BYTES);
    let mut latest = 0;
    loop {
        let read = file.by_ref().take(WINDOW as u64).read_to_end(&mut window)?;
        for head in window.windows(RECORD_BYTES).filter(|head| head.starts_with(RECORD_MAGIC)) {
            latest = latest.max(decode(head).map_or(0, |record| record.synced));
        }
        if read == 0 {
            return Ok(latest);
        }
        // A head may straddle two windows.
        let keep = window.len().saturating_sub(RECORD_BYTES - 1);
        window.drain(..keep);
    }
}
