//! The one shared mapping of a job, and bounds-checked access to it.
//!
//! ```text
//!   0               memory_len          len
//!   | memory object | file, if there is one |
//! ```
//!
//! Everything inside is named by offset, never by address, since every process maps it elsewhere. An application can
//! scribble over this memory, so an offset read from it is checked before it is used: a bad one is an error, never an
//! access outside the mapping.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use egida_core::fault::Fault;
use egida_core::wire::WireError;
use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::process::Resource;

/// The address space of a job, where the system grants it: sparse, so that no address is ever needed twice.
pub const ADDRESS_SPACE_BYTES: u64 = 8 << 40;

/// The least address space worth starting with.
const LEAST_ADDRESS_SPACE_BYTES: u64 = 1 << 30;

/// Memory is given back in units of this.
pub const PAGE_BYTES: u64 = 4096;

/// A type that may stand in shared memory: made of atomics only, so that any bytes are a value of it and any process may
/// change it at any time.
///
/// # Safety
/// The implementing type is `repr(C)` or `repr(transparent)`, needs an alignment of at most [`PAGE_BYTES`], and consists
/// of atomic integers and arrays or structs of these.
pub unsafe trait Shared {}

// SAFETY: an atomic integer.
unsafe impl Shared for AtomicU64 {}

/// The mapping of a job's memory object, and behind it of a file for what does not fit into memory.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u8>,
    len: u64,
    memory_len: u64,
    fd: OwnedFd,
    file: Option<OwnedFd>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is only reached through atomics and through the
// published-bytes discipline of `bytes` and `copy_in`.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// Makes a new, empty memory object of up to `most_bytes` and maps it, and behind it as much of an empty file.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the system gives no memory object or no address space.
    pub fn create(most_bytes: u64, file: Option<OwnedFd>) -> Result<Self, Fault> {
        let fd = rustix::fs::memfd_create("egida-job", MemfdFlags::CLOEXEC)
            .map_err(|error| Fault::Driver(format!("cannot create the job's memory: {error}")))?;
        // Beyond RLIMIT_FSIZE the system would answer ftruncate with a signal instead of an error.
        let file_size = rustix::process::getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
        let mut part_len = most_bytes;
        loop {
            let stretch = || {
                rustix::fs::ftruncate(&fd, part_len)?;
                file.as_ref().map_or(Ok(()), |file| rustix::fs::ftruncate(file, part_len))
            };
            let attempt = if part_len > file_size { Err(Errno::FBIG) } else { stretch() };
            match attempt.and_then(|()| map(&fd, file.as_ref(), part_len)) {
                Ok((base, len)) => return Ok(Self { base, len, memory_len: part_len, fd, file }),
                Err(error) if part_len / 2 < LEAST_ADDRESS_SPACE_BYTES.min(most_bytes) => {
                    return Err(Fault::Driver(format!(
                        "cannot map {part_len} bytes for the job's memory: {error}"
                    )));
                }
                Err(_) => part_len /= 2,
            }
        }
    }

    /// Maps the memory object behind a descriptor, and the file that belongs to it.
    ///
    /// # Errors
    /// [`Fault::Driver`] where a descriptor is none, or the object cannot be mapped.
    pub fn open(fd: OwnedFd, file: Option<OwnedFd>) -> Result<Self, Fault> {
        let failed = |error| Fault::Driver(format!("cannot map the job's memory: {error}"));
        let size = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| u64::try_from(stat.st_size).unwrap_or(0));
        let memory_len = size(&fd).map_err(failed)?;
        if memory_len < PAGE_BYTES {
            return Err(Fault::Driver(format!("the job's memory has only {memory_len} bytes")));
        }
        if let Some(file) = &file
            && size(file).map_err(failed)? < memory_len
        {
            return Err(Fault::Driver("the job's file is shorter than its memory".to_owned()));
        }
        let (base, len) = map(&fd, file.as_ref(), memory_len).map_err(failed)?;
        Ok(Self { base, len, memory_len, fd, file })
    }

    /// Bytes of address space.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of address space of the memory object; what lies behind is in the file.
    pub fn memory_len(&self) -> u64 {
        self.memory_len
    }

    /// The file.
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// The memory object.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The value at an offset.
    ///
    /// # Errors
    /// [`WireError::Malformed`] where it would lie outside or out of alignment.
    #[inline]
    pub fn at<T: Shared>(&self, offset: u64) -> Result<&T, WireError> {
        Ok(&self.slice::<T>(offset, 1)?[0])
    }

    /// `count` values from an offset on.
    ///
    /// # Errors
    /// As for [`Arena::at`].
    #[inline]
    pub fn slice<T: Shared>(&self, offset: u64, count: u64) -> Result<&[T], WireError> {
        let size = (size_of::<T>() as u64).checked_mul(count);
        let end = size.and_then(|size| offset.checked_add(size));
        if !offset.is_multiple_of(align_of::<T>() as u64) || end.is_none_or(|end| end > self.len) {
            return Err(WireError::Malformed("an offset outside the job's memory"));
        }
        // SAFETY: the range lies in the mapping, which lives as long as `self`; the alignment holds because the mapping
        // begins at a page; `Shared` promises that any bytes are a value and that concurrent change is allowed for.
        Ok(unsafe {
            std::slice::from_raw_parts(self.base.as_ptr().add(offset as usize).cast::<T>(), count as usize)
        })
    }

    /// As [`Arena::slice`], for what is known to lie inside.
    ///
    /// # Safety
    /// The range lies in the mapping, and `offset` is a multiple of the type's alignment.
    #[inline]
    pub unsafe fn trusted<T: Shared>(&self, offset: u64, count: u64) -> &[T] {
        debug_assert!(self.slice::<T>(offset, count).is_ok());
        // SAFETY: the range and the alignment are the caller's promise; the rest is as in `slice`.
        unsafe {
            std::slice::from_raw_parts(self.base.as_ptr().add(offset as usize).cast::<T>(), count as usize)
        }
    }

    /// Bytes that a writer published and that nobody changes while a reader may look at them: the discipline of the logs
    /// (memory is taken back only below what the reader released, or after it left its stretch of reading).
    ///
    /// # Errors
    /// [`WireError::Malformed`] where they would lie outside.
    #[inline]
    pub fn bytes(&self, offset: u64, len: u64) -> Result<&[u8], WireError> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(WireError::Malformed("a length beyond the job's memory"));
        }
        // SAFETY: the range lies in the mapping, which lives as long as `self`, and is published: no well-behaved process
        // writes to it. One that scribbles can garble the bytes, all values of which are valid.
        Ok(unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset as usize), len as usize) })
    }

    /// Copies bytes to where only the caller may write: the unpublished end of its own log.
    ///
    /// # Errors
    /// [`WireError::Malformed`] where they would lie outside.
    #[inline(always)] // for every message; so below
    pub fn copy_in(&self, offset: u64, bytes: &[u8]) -> Result<(), WireError> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.len) {
            return Err(WireError::Malformed("a length beyond the job's memory"));
        }
        // SAFETY: the range lies in the mapping; it is unpublished, so that no reference to it exists in this process
        // (`bytes` is called for published ranges only), and `bytes` is not inside it for the same reason.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.base.as_ptr().add(offset as usize),
                bytes.len(),
            );
        }
        Ok(())
    }

    /// Fills with zeros what only the caller may write, as for [`Arena::copy_in`].
    ///
    /// # Errors
    /// [`WireError::Malformed`] where it would lie outside.
    #[inline]
    pub fn clear(&self, from: u64, to: u64) -> Result<(), WireError> {
        if from > to || to > self.len {
            return Err(WireError::Malformed("an offset outside the job's memory"));
        }
        // SAFETY: as in `copy_in`.
        unsafe { self.base.as_ptr().add(from as usize).write_bytes(0, (to - from) as usize) };
        Ok(())
    }

    /// As [`Arena::copy_in`], where the bytes are likely to be so few that a call would cost more than copying them.
    ///
    /// # Errors
    /// As for [`Arena::copy_in`].
    #[inline(always)]
    pub fn copy_in_short(&self, offset: u64, bytes: &[u8]) -> Result<(), WireError> {
        match bytes.first_chunk::<8>() {
            Some(word) if bytes.len() == 8 => self.copy_in(offset, word),
            _ => self.copy_in(offset, bytes),
        }
    }

    /// Reads from a descriptor to where only the caller may write, as for [`Arena::copy_in`], and what does not fit there to
    /// `more`. Returns how many bytes came.
    ///
    /// # Errors
    /// [`io::Error`] of the descriptor, and [`io::ErrorKind::InvalidInput`] where the range would lie outside.
    pub fn read_in(&self, offset: u64, len: u64, more: &mut [u8], from: BorrowedFd<'_>) -> io::Result<usize> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the offset lies in the mapping.
        let begin = unsafe { self.base.as_ptr().add(offset as usize) };
        let parts = [
            libc::iovec { iov_base: begin.cast(), iov_len: len as usize },
            libc::iovec { iov_base: more.as_mut_ptr().cast(), iov_len: more.len() },
        ];
        // SAFETY: the descriptor is open; the first range is unpublished, as in `copy_in`, the second is borrowed for writing.
        let read = unsafe { libc::readv(from.as_raw_fd(), parts.as_ptr(), 2) };
        usize::try_from(read).map_err(|_| io::Error::last_os_error())
    }

    /// Where bytes stand that [`Arena::bytes`] gave.
    pub fn offset_of(&self, bytes: &[u8]) -> Option<u64> {
        let offset = (bytes.as_ptr().addr() as u64).checked_sub(self.base.as_ptr().addr() as u64)?;
        (offset.checked_add(bytes.len() as u64)? <= self.len).then_some(offset)
    }

    /// Has the system give memory to a page-aligned range, and map it here, at once and not page by page as it is first
    /// touched. A wish only: where it is not granted, the pages come as they are touched.
    pub fn populate(&self, offset: u64, len: u64) {
        if offset.checked_add(len).is_none_or(|end| end > self.memory_len) {
            return;
        }
        // SAFETY: the range lies in the mapping; the advice changes no contents.
        let _ = unsafe {
            let begin = self.base.as_ptr().add(offset as usize).cast();
            rustix::mm::madvise(begin, len as usize, Advice::LinuxPopulateWrite)
        };
    }

    /// Has the disk set aside what a page-aligned range of the file takes, so that no store there can find the disk full.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the disk has no room for it.
    pub fn set_aside(&self, offset: u64, len: u64) -> Result<(), Fault> {
        let (Some(file), Some(offset)) = (&self.file, offset.checked_sub(self.memory_len)) else {
            return Err(Fault::Bug("memory is set aside on a disk"));
        };
        rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len).map_err(|error| {
            Fault::Driver(format!(
                "{len} bytes of logs cannot be put on the disk that `--spill` names: {error}"
            ))
        })
    }

    /// Gives the memory of a page-aligned range back to the system. The range reads as zeros afterwards.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the system refuses.
    pub fn punch(&self, offset: u64, len: u64) -> Result<(), Fault> {
        let (fd, offset) = match (&self.file, offset.checked_sub(self.memory_len)) {
            (Some(file), Some(offset)) => (file, offset),
            _ => (&self.fd, offset),
        };
        rustix::fs::fallocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)
            .map_err(|error| Fault::Driver(format!("cannot give memory of the job back: {error}")))?;
        // The compiler takes this system call for one that changes no memory of ours. It does.
        compiler_fence(Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and every reference into it borrows `self`.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len as usize) };
    }
}

/// Maps so much of a memory object, and as much of a file behind it; returns where, and how much that is.
fn map(fd: &OwnedFd, file: Option<&OwnedFd>, part_len: u64) -> Result<(NonNull<u8>, u64), Errno> {
    let parts = [Some(fd), file];
    let part_bytes = usize::try_from(part_len).map_err(|_| Errno::NOMEM)?;
    let bytes = part_bytes.checked_mul(parts.iter().flatten().count()).ok_or(Errno::NOMEM)?;
    // SAFETY: a fresh mapping at an address of the system's choice.
    let base = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            bytes,
            ProtFlags::empty(),
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )?
    };
    for (at, part) in parts.into_iter().flatten().enumerate() {
        // SAFETY: the range lies in the mapping made above, which nobody else knows yet.
        let mapped = unsafe {
            rustix::mm::mmap(
                base.byte_add(at * part_bytes),
                part_bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::NORESERVE | MapFlags::FIXED,
                part,
                0,
            )
        };
        if let Err(error) = mapped {
            // SAFETY: the mapping made above, which nobody else knows.
            let _ = unsafe { rustix::mm::munmap(base, bytes) };
            return Err(error);
        }
    }
    // A child that the application forks is no rank, and a core dump of terabytes helps nobody. Both are wishes only.
    for advice in [Advice::LinuxDontFork, Advice::LinuxDontDump] {
        // SAFETY: the range is the mapping made above; neither advice changes its contents in this process.
        let _ = unsafe { rustix::mm::madvise(base, bytes, advice) };
    }
    NonNull::new(base.cast()).map(|base| (base, bytes as u64)).ok_or(Errno::NOMEM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_can_be_named() {
        let arena = Arena::create(1 << 30, None).unwrap();
        assert!(arena.at::<AtomicU64>(arena.len() - 8).is_ok());
        assert!(arena.at::<AtomicU64>(arena.len()).is_err());
        assert!(arena.at::<AtomicU64>(4).is_err());
        assert!(arena.at::<AtomicU64>(u64::MAX - 7).is_err());
        assert!(arena.bytes(arena.len() - 1, 2).is_err());
        assert!(arena.bytes(u64::MAX, 2).is_err());
        assert!(arena.copy_in(arena.len(), &[1]).is_err());
        assert!(arena.slice::<AtomicU64>(0, u64::MAX / 4).is_err());
    }

    #[test]
    fn punched_memory_reads_as_zeros() {
        let arena = Arena::create(1 << 30, None).unwrap();
        arena.copy_in(8192, &[7; 4096]).unwrap();
        assert_eq!(arena.bytes(8192, 2).unwrap(), [7, 7]);
        arena.punch(8192, 4096).unwrap();
        assert_eq!(arena.bytes(8192, 2).unwrap(), [0, 0]);
    }
    #[test]
    fn a_file_begins_where_memory_ends() {
        let file = || OwnedFd::from(tempfile::tempfile().unwrap());
        let arena = Arena::create(1 << 30, Some(file())).unwrap();
        assert_eq!((arena.memory_len(), arena.len()), (1 << 30, 2 << 30));
        let at = arena.memory_len() + 8192;
        arena.set_aside(at, 4096).unwrap();
        arena.copy_in(at, &[7; 4096]).unwrap();
        let [fd, file] = [arena.fd(), arena.file().unwrap()].map(|fd| fd.try_clone_to_owned().unwrap());
        let mut byte = [0];
        rustix::io::pread(&file, &mut byte, 8192).unwrap();
        assert_eq!(byte, [7]);
        let same = Arena::open(fd, Some(file)).unwrap();
        assert_eq!(same.bytes(at, 2).unwrap(), [7, 7]);
        same.punch(at, 4096).unwrap();
        assert_eq!(arena.bytes(at, 2).unwrap(), [0, 0]);
        assert!(arena.bytes(arena.len() - 1, 2).is_err());
        assert!(Arena::create(1 << 30, None).unwrap().set_aside(0, 4096).is_err());
    }
}
