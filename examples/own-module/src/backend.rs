//! The half in the node: the same log in several files.
//!
//! ```text
//!   file     magic and version, records
//!   record   length of what follows the checksum, checksum, rank, position, kind, bytes
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use egida_core::driver::EntryKind;
use egida_core::ids::{Domain, Rank};
use egida_node::storage::{Backend, Batch, Entry, Place, StorageError};
use egida_spec::protocol::ParamValue;

const MAGIC: &[u8; 8] = b"replic\0\x01";
const DEFAULT_COPIES: u64 = 2;
const MAX_COPIES: u64 = 16;
/// Rank, position and kind.
const HEAD_BYTES: usize = 4 + 8 + 1;

/// The copies of one store.
#[derive(Debug)]
pub struct Replicas {
    files: Vec<(PathBuf, File)>,
    /// How many entries every copy was told to hold and has synced.
    stable: usize,
    appended: usize,
    encoded: Vec<u8>,
}

impl Replicas {
    /// Makes the files: `copy-<k>/<job>-<store>.log` under parameter `path`, else under the job's state directory.
    ///
    /// # Errors
    /// [`StorageError`] where a parameter makes no sense or a file cannot be made.
    pub fn create(place: &Place<'_>) -> Result<Self, StorageError> {
        let wrong =
            |name, expected| StorageError::Parameter { phrase: place.phrase.to_owned(), name, expected };
        let copies = match place.params.get("copies").map(|param| &param.value) {
            None => DEFAULT_COPIES,
            Some(ParamValue::Count(copies @ 1..=MAX_COPIES)) => *copies,
            Some(_) => return Err(wrong("copies", "a number from 1 to 16")),
        };
        let root = match place.params.get("path").map(|param| &param.value) {
            None => place.state_dir,
            Some(ParamValue::Text(path)) => Path::new(path),
            Some(_) => return Err(wrong("path", "a quoted text")),
        };
        let name = format!("{}-{}.log", place.job, place.store);
        let files = (0..copies)
            .map(|copy| create(&root.join(format!("copy-{copy}")), &name))
            .collect::<Result<_, _>>()?;
        Ok(Self { files, stable: 0, appended: 0, encoded: Vec::new() })
    }
}

#[async_trait]
impl Backend for Replicas {
    async fn append(&mut self, batch: &Batch) -> Result<(), StorageError> {
        self.encoded.clear();
        for entry in batch.iter() {
            encode(&entry, &mut self.encoded);
        }
        for (path, file) in &mut self.files {
            file.write_all(&self.encoded).map_err(io_error("write", path))?;
        }
        self.appended += batch.len();
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), StorageError> {
        for (path, file) in &self.files {
            file.sync_data().map_err(io_error("sync", path))?;
        }
        self.stable = self.appended;
        Ok(())
    }

    async fn read(&mut self, ranks: &[Rank]) -> Result<Batch, StorageError> {
        // One copy that has everything is enough; what is wrong with the others matters only if there is none.
        let mut last = None;
        for (path, _) in &self.files {
            match scan(path, self.stable, ranks) {
                Ok(batch) => return Ok(batch),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(StorageError::Closed))
    }

    async fn discard(&mut self, _: Domain) -> Result<(), StorageError> {
        // The copies are on no node of the job.
        Ok(())
    }
}

/// Makes a file whose name is durable before anything is written to it.
fn create(directory: &Path, name: &str) -> Result<(PathBuf, File), StorageError> {
    fs::create_dir_all(directory).map_err(io_error("make directory", directory))?;
    let path = directory.join(name);
    let mut file =
        OpenOptions::new().append(true).create_new(true).open(&path).map_err(io_error("make", &path))?;
    file.write_all(MAGIC).map_err(io_error("write", &path))?;
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(io_error("sync", directory))?;
    Ok((path, file))
}

fn encode(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let mut record = Vec::with_capacity(HEAD_BYTES + entry.bytes.len());
    record.extend_from_slice(&entry.rank.to_le_bytes());
    record.extend_from_slice(&entry.position.to_le_bytes());
    record.push(entry.kind as u8);
    record.extend_from_slice(entry.bytes);
    out.extend_from_slice(&(record.len() as u64).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&record).to_le_bytes());
    out.extend_from_slice(&record);
}

/// Reads the first `stable` records of a copy, and keeps those of `ranks`.
fn scan(path: &Path, stable: usize, ranks: &[Rank]) -> Result<Batch, StorageError> {
    let bytes = fs::read(path).map_err(io_error("read", path))?;
    let mut rest =
        bytes.strip_prefix(MAGIC).ok_or_else(|| StorageError::Foreign { path: path.to_owned() })?;
    let mut batch = Batch::default();
    for _ in 0..stable {
        let offset = (bytes.len() - rest.len()) as u64;
        let (entry, behind) = decode(rest).ok_or_else(|| StorageError::Corrupt {
            path: path.to_owned(),
            offset,
            what: "a record is cut short or does not fit its checksum",
        })?;
        if ranks.contains(&entry.rank) {
            batch.push(entry);
        }
        rest = behind;
    }
    Ok(batch)
}

fn decode(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (len, bytes) = bytes.split_first_chunk()?;
    let (checksum, bytes) = bytes.split_first_chunk()?;
    let (record, rest) = bytes.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    if crc32fast::hash(record) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (rank, record) = record.split_first_chunk()?;
    let (position, record) = record.split_first_chunk()?;
    let (&kind, bytes) = record.split_first()?;
    let entry = Entry {
        rank: u32::from_le_bytes(*rank),
        position: u64::from_le_bytes(*position),
        kind: EntryKind::from_byte(kind)?,
        bytes,
    };
    Some((entry, rest))
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    let path = path.to_owned();
    move |error| StorageError::Io { what, path, error }
}
