//! Reading and writing: where, and what (MPI 5.0, section 14.4).

use std::ffi::c_void;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{File, outside, shared};
use crate::coll;
use crate::constants::*;
use crate::datatype::{Datatype, Source, Target, external};
use crate::errors::{Failure, Outcome};
use crate::handle::{Integer, MPI_Datatype, MPI_Status};
use crate::types;

/// Where an access begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// There, in elementary types of the view.
    At(i64),
    /// At this process's position, which moves on.
    Own,
    /// At the shared position, which moves on.
    Shared,
    /// At the shared position, the processes one after another.
    Ordered,
}

/// The application's memory.
#[derive(Debug, Clone)]
pub struct Memory {
    base: *mut u8,
    count: i64,
    datatype: Datatype,
}

impl Memory {
    /// Checks the arguments.
    pub fn new(base: *const c_void, count: impl Integer, datatype: MPI_Datatype) -> Outcome<Self> {
        let datatype = types::get(datatype)?;
        let memory = Self { base: base.cast_mut().cast(), count: count.wide(), datatype };
        // SAFETY: only arguments are looked at.
        unsafe { Source::new(memory.base, memory.count, &memory.datatype)? };
        Ok(memory)
    }

    /// Bytes of data, as they are in a file of that representation.
    fn len(&self, external: bool) -> i64 {
        let count = usize::try_from(self.count).unwrap_or(0);
        (if external { external::size(&self.datatype, count) } else { count * self.datatype.size() }) as i64
    }
}

impl File {
    /// Its length in bytes.
    pub fn size(&self) -> Outcome<i64> {
        let size =
            outside::attempt(|| Ok((self.outside()?.metadata()?.len() as i64).to_le_bytes().to_vec()))?;
        Ok(outside::number(&size))
    }

    /// The file itself.
    pub fn outside(&self) -> io::Result<&fs::File> {
        self.file.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    /// Where so many bytes are to be read or written, in bytes of data of the view. Positions move on.
    fn claim(&self, place: Place, bytes: i64) -> Outcome<i64> {
        let etype = self.state().view.etype.size() as i64;
        let etypes = bytes / etype + i64::from(bytes % etype != 0);
        let at = match place {
            Place::At(offset) if offset < 0 => {
                return Err(Failure::new(MPI_ERR_ARG, format!("offset {offset}")));
            }
            Place::At(offset) => offset,
            Place::Own => {
                let mut state = self.state();
                let at = state.position;
                state.position += etypes;
                at
            }
            Place::Shared => shared::take(self, etypes)?,
            Place::Ordered => {
                let base = if self.comm.rank == 0 { shared::get(self)? } else { 0 };
                let mut mine = [0; 16];
                mine[..8].copy_from_slice(&base.to_le_bytes());
                mine[8..].copy_from_slice(&etypes.to_le_bytes());
                let all = coll::exchange(&self.comm, mine)?;
                let base = outside::number(&all[0][..8]);
                let etypes: Vec<i64> = all.iter().map(|one| outside::number(&one[8..])).collect();
                shared::set(self, base + etypes.iter().sum::<i64>())?;
                base + etypes[..self.comm.rank as usize].iter().sum::<i64>()
            }
        };
        Ok(at * etype)
    }

    fn check(&self, forbidden: i32, what: &'static str) -> Outcome {
        if self.amode & forbidden != 0 { Err(Failure::new(MPI_ERR_ACCESS, what)) } else { Ok(()) }
    }

    /// Reads into the application's memory.
    ///
    /// # Safety
    /// The memory is the application's to be written.
    pub unsafe fn read(self: &Arc<Self>, place: Place, memory: &Memory) -> Outcome<MPI_Status> {
        self.check(MPI_MODE_WRONLY, "the file was opened for writing")?;
        let view = self.state().view.clone();
        let wanted = memory.len(view.external);
        let at = self.claim(place, wanted)?;
        let atomic = self.state().atomic;
        let mut bytes = outside::attempt(|| {
            let file = self.outside()?;
            let _whole = atomic.then(|| Locked::shared(file)).transpose()?;
            let mut bytes = vec![0u8; wanted as usize];
            let (mut filled, mut failed) = (0usize, None);
            view.runs(at, wanted, |offset, len| {
                let room = &mut bytes[filled..filled + len as usize];
                match read_fully(file, room, offset as u64) {
                    Ok(read) => {
                        filled += read;
                        read as i64 == len
                    }
                    Err(error) => {
                        failed = Some(error);
                        false
                    }
                }
            });
            bytes.truncate(filled);
            failed.map_or(Ok(bytes), Err)
        })?;
        if view.external {
            let whole = external::size(&memory.datatype, 1).max(1);
            bytes.truncate(bytes.len() / whole * whole);
            bytes = external::decode(&memory.datatype, &bytes);
        }
        // SAFETY: as this function's contract has it.
        let mut target = unsafe { Target::new(memory.base, memory.count, &memory.datatype)? };
        target.unpack(&bytes)?;
        Ok(MPI_Status::new(MPI_ANY_SOURCE, MPI_ANY_TAG, bytes.len() as u64))
    }

    /// Writes from the application's memory.
    ///
    /// # Safety
    /// The memory is the application's to be read.
    pub unsafe fn write(self: &Arc<Self>, place: Place, memory: &Memory) -> Outcome<MPI_Status> {
        if self.amode & MPI_MODE_RDONLY != 0 {
            return Err(Failure::new(MPI_ERR_READ_ONLY, "the file was opened for reading"));
        }
        let view = self.state().view.clone();
        // SAFETY: as this function's contract has it.
        let source = unsafe { Source::new(memory.base, memory.count, &memory.datatype)? };
        let packed = source.packed();
        let converted = view.external.then(|| external::encode(&memory.datatype, &packed));
        let bytes = converted.as_deref().unwrap_or(&packed);
        let at = self.claim(place, bytes.len() as i64)?;
        let atomic = self.state().atomic;
        outside::attempt(|| {
            let file = self.outside()?;
            let _whole = atomic.then(|| Locked::exclusive(file)).transpose()?;
            let (mut written, mut failed) = (0usize, None);
            view.runs(at, bytes.len() as i64, |offset, len| {
                let part = &bytes[written..written + len as usize];
                written += len as usize;
                failed = file.write_all_at(part, offset as u64).err();
                failed.is_none()
            });
            failed.map_or(Ok(Vec::new()), Err)
        })?;
        Ok(MPI_Status::new(MPI_ANY_SOURCE, MPI_ANY_TAG, packed.len() as u64))
    }
}

/// Keeps an access whole while it lives: in atomic mode nobody sees half of one, though it is in several pieces. The system releases
/// the lock of a process that dies.
struct Locked<'f>(&'f fs::File);

impl<'f> Locked<'f> {
    /// For reading.
    fn shared(file: &'f fs::File) -> io::Result<Self> {
        uninterrupted(|| file.lock_shared()).map(|()| Self(file))
    }

    /// For writing.
    fn exclusive(file: &'f fs::File) -> io::Result<Self> {
        uninterrupted(|| file.lock()).map(|()| Self(file))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // What cannot be unlocked was not locked; the lock goes with the file at the latest.
        let _ = self.0.unlock();
    }
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// As many bytes as there are.
fn read_fully(file: &fs::File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        match file.read_at(&mut room[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
