//! The position that all processes of a file share (MPI 5.0, section 14.4.4).
//!
//! It stands in a hidden file beside the file, with what each process was given last: a process that died after it was given a place,
//! and whose memory of it is lost, is given the same place again.

use std::ffi::c_int;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::{File, outside};
use crate::errors::Outcome;

const WORD: usize = 8;

/// The hidden file's content: the position, then for each process how many places it was given, and the last of these.
struct Ledger {
    file: fs::File,
    words: Vec<u64>,
}

fn path(file: &File) -> PathBuf {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    file.path.with_file_name(format!(".{name}.shared-{}", file.comm.context()))
}

impl Ledger {
    /// Opens and locks it; the lock goes with the descriptor.
    fn open(file: &File) -> io::Result<Self> {
        let opened =
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path(file))?;
        // SAFETY: the descriptor is open.
        if unsafe { libc::flock(opened.as_raw_fd(), libc::LOCK_EX) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut bytes = vec![0u8; (1 + 2 * file.comm.size() as usize) * WORD];
        let mut filled = 0;
        while filled < bytes.len() {
            match opened.read_at(&mut bytes[filled..], filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        let word = |chunk: &[u8]| <[u8; WORD]>::try_from(chunk).map_or(0, u64::from_le_bytes);
        Ok(Self { file: opened, words: bytes.chunks_exact(WORD).map(word).collect() })
    }

    fn store(&self) -> io::Result<()> {
        let bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.file.write_all_at(&bytes, 0)
    }
}

/// Takes the place of this process's next access, and moves the position on by so many elementary types.
pub fn take(file: &File, etypes: i64) -> Outcome<i64> {
    let access = {
        let mut state = file.state();
        state.shared_accesses += 1;
        state.shared_accesses
    };
    let mine = 1 + 2 * file.comm.rank as usize;
    let given = outside::attempt(|| {
        let mut ledger = Ledger::open(file)?;
        if ledger.words[mine] != access {
            ledger.words[mine] = access;
            ledger.words[mine + 1] = ledger.words[0];
            ledger.words[0] += etypes as u64;
            ledger.store()?;
        }
        Ok(ledger.words[mine + 1].to_le_bytes().to_vec())
    })?;
    Ok(outside::number(&given))
}

/// The position.
pub fn get(file: &File) -> Outcome<i64> {
    let position = outside::attempt(|| Ok(Ledger::open(file)?.words[0].to_le_bytes().to_vec()))?;
    Ok(outside::number(&position))
}

/// Sets the position: by all processes, of which the first does it.
pub fn set(file: &File, position: i64) -> Outcome {
    file.meet()?;
    if file.comm.rank == 0 {
        outside::attempt(|| {
            let mut ledger = Ledger::open(file)?;
            ledger.words[0] = position as u64;
            ledger.store().map(|()| Vec::new())
        })?;
    }
    file.meet()
}

/// Removes the hidden file.
pub fn remove(file: &File) -> Outcome {
    outside::attempt(|| match fs::remove_file(path(file)) {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT as c_int) => Err(error),
        _ => Ok(Vec::new()),
    })
    .map(drop)
}
