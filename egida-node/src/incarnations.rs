//! The durable incarnation numbers and tokens of a job: none is used before it is on the disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use egida_core::clock::Token;
use egida_core::ids::{Incarnation, Rank};

use crate::storage::{StorageError, sync_dir};

const NAME: &str = "incarnations";
const MAGIC: &[u8; 8] = b"EGIDAINC";
const VERSION: u32 = 2;

/// The numbers of all ranks, in one small file that is replaced as a whole.
#[derive(Debug)]
pub struct Incarnations {
    dir: PathBuf,
    numbers: Vec<Incarnation>,
    tokens: Vec<Token>,
}

impl Incarnations {
    /// Makes incarnation 1 of every rank durable.
    ///
    /// # Errors
    /// [`StorageError`] of the disk.
    pub fn create(dir: &Path, ranks: u32) -> Result<Self, StorageError> {
        let incarnations = Self { dir: dir.to_owned(), numbers: vec![1; ranks as usize], tokens: Vec::new() };
        incarnations.store()?;
        Ok(incarnations)
    }

    /// Reads the numbers of an earlier [`Incarnations::create`] or [`Incarnations::set`].
    ///
    /// # Errors
    /// [`StorageError`]; a file that is damaged is [`StorageError::Corrupt`].
    pub fn open(dir: &Path) -> Result<Self, StorageError> {
        let path = dir.join(NAME);
        let bytes = fs::read(&path).map_err(StorageError::io("read", &path))?;
        let (numbers, tokens) = decode(&bytes, &path)?;
        Ok(Self { dir: dir.to_owned(), numbers, tokens })
    }

    /// Whether a directory holds the numbers of a job.
    #[must_use]
    pub fn exist_in(dir: &Path) -> bool {
        dir.join(NAME).exists()
    }

    /// The numbers by rank.
    #[must_use]
    pub fn numbers(&self) -> &[Incarnation] {
        &self.numbers
    }

    /// Makes new numbers durable.
    ///
    /// # Errors
    /// [`StorageError`] of the disk; the old numbers stand then.
    pub fn set(&mut self, numbers: &[(Rank, Incarnation)]) -> Result<(), StorageError> {
        for &(rank, incarnation) in numbers {
            if let Some(number) = self.numbers.get_mut(rank as usize) {
                *number = incarnation;
            }
        }
        self.store()
    }

    /// The ends of versions that were announced, in order.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Makes ends of versions durable.
    ///
    /// # Errors
    /// [`StorageError`] of the disk.
    pub fn announce(&mut self, tokens: &[Token]) -> Result<(), StorageError> {
        self.tokens.extend(tokens);
        self.store()
    }

    /// Writes a new file, syncs it, puts it in the place of the old one and syncs the directory: after a crash at any
    /// point either the old or the new numbers are there.
    fn store(&self) -> Result<(), StorageError> {
        let (path, new) = (self.dir.join(NAME), self.dir.join("incarnations.new"));
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&encode(&self.numbers, &self.tokens))?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(StorageError::io("write", &path))?;
        sync_dir(&self.dir)
    }
}

/// `magic version:u32 ranks:u32 number:u32* tokens:u32 (rank:u32 version:u32 events:u64)* crc32:u32`, little-endian.
fn encode(numbers: &[Incarnation], tokens: &[Token]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((numbers.len() as u32).to_le_bytes());
    for number in numbers {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend((tokens.len() as u32).to_le_bytes());
    for token in tokens {
        bytes.extend(token.rank.to_le_bytes());
        bytes.extend(token.version.to_le_bytes());
        bytes.extend(token.events.to_le_bytes());
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], path: &Path) -> Result<(Vec<Incarnation>, Vec<Token>), StorageError> {
    let damaged = |what| StorageError::Corrupt { path: path.to_owned(), offset: 0, what };
    if !bytes.starts_with(MAGIC) {
        return Err(StorageError::Foreign { path: path.to_owned() });
    }
    let (words, rest) = bytes[MAGIC.len()..].as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let (Some((crc, head)), true) = (words.split_last(), rest.is_empty()) else {
        return Err(damaged("it is cut short"));
    };
    if crc32fast::hash(&bytes[..bytes.len() - 4]) != *crc {
        return Err(damaged("it does not match its checksum"));
    }
    let short = || damaged("it is cut short");
    let (&version, head) = head.split_first().ok_or_else(short)?;
    if version != VERSION {
        return Err(StorageError::Version { path: path.to_owned(), found: version, known: VERSION });
    }
    let (&ranks, head) = head.split_first().ok_or_else(short)?;
    let (numbers, head) = head.split_at_checked(ranks as usize).ok_or_else(short)?;
    let (&count, head) = head.split_first().ok_or_else(short)?;
    let (tokens, rest) = head.as_chunks::<4>();
    if tokens.len() != count as usize || !rest.is_empty() {
        return Err(short());
    }
    let token = |&[rank, version, low, high]: &[u32; 4]| Token {
        rank,
        version,
        events: (u64::from(high) << 32) | u64::from(low),
    };
    Ok((numbers.to_vec(), tokens.iter().map(token).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_and_only_the_named_ones_change() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!Incarnations::exist_in(dir.path()));
        let mut incarnations = Incarnations::create(dir.path(), 3).unwrap();
        incarnations.set(&[(1, 4)]).unwrap();
        assert!(Incarnations::exist_in(dir.path()));
        assert_eq!(Incarnations::open(dir.path()).unwrap().numbers(), [1, 4, 1]);
        assert!(!dir.path().join("incarnations.new").exists());
    }

    #[test]
    fn tokens_survive_with_the_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let mut incarnations = Incarnations::create(dir.path(), 2).unwrap();
        let token = |rank, events| Token { rank, version: 3, events };
        incarnations.announce(&[token(0, 1 << 40)]).unwrap();
        incarnations.announce(&[token(1, 7)]).unwrap();
        incarnations.set(&[(1, 2)]).unwrap();
        let found = Incarnations::open(dir.path()).unwrap();
        assert_eq!((found.numbers(), found.tokens()), (&[1, 2][..], &[token(0, 1 << 40), token(1, 7)][..]));
    }

    #[test]
    fn a_new_file_that_was_never_renamed_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        Incarnations::create(dir.path(), 2).unwrap();
        fs::write(dir.path().join("incarnations.new"), "half").unwrap();
        assert_eq!(Incarnations::open(dir.path()).unwrap().numbers(), [1, 1]);
    }

    #[test]
    fn no_damage_goes_unnoticed() {
        let dir = tempfile::tempdir().unwrap();
        Incarnations::create(dir.path(), 2).unwrap();
        let path = dir.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        for byte in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[byte] ^= 4;
            fs::write(&path, &flipped).unwrap();
            assert!(Incarnations::open(dir.path()).is_err(), "byte {byte} flipped");
            fs::write(&path, &whole[..byte]).unwrap();
            assert!(Incarnations::open(dir.path()).is_err(), "cut to {byte}");
        }
    }
}
