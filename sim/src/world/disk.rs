//! Disks: what they hold outlives nodes, as far as it was synced.
//!
//! A write takes a while, and the watermark moves when it is synced. When a node dies, of what was not synced yet some
//! records may be there all the same, and the one after them in part: it is found by its checksum and dropped, as every log
//! that is read after a crash does.

use egida_core::ids::Position;
use thiserror::Error;

use super::journal::Entry;

/// The log of one rank on its disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    records: Vec<Written>,
    used_bytes: u64,
    capacity_bytes: Option<u64>,
}

#[derive(Debug, Clone)]
struct Written {
    entry: Entry,
    /// Its position in the journal.
    position: Position,
    checksum: u64,
}

/// The disk takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the disk is full at {capacity_bytes} bytes")]
pub struct Full {
    /// What it holds.
    pub capacity_bytes: u64,
}

/// A record that is not the last is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("record {record} of the log is damaged, and others stand behind it")]
pub struct Damaged {
    /// Which.
    pub record: usize,
}

impl Disk {
    /// A disk that takes so many bytes of log.
    pub fn limit(&mut self, capacity_bytes: u64) {
        self.capacity_bytes = Some(capacity_bytes);
    }

    /// Writes an entry, which stands at this position of the journal, and syncs it.
    ///
    /// # Errors
    /// [`Full`].
    pub fn write(&mut self, position: Position, entry: &Entry) -> Result<(), Full> {
        let used_bytes = self.used_bytes + entry.bytes.len() as u64;
        if let Some(capacity_bytes) = self.capacity_bytes.filter(|&capacity| used_bytes > capacity) {
            return Err(Full { capacity_bytes });
        }
        self.used_bytes = used_bytes;
        self.records.push(Written { entry: entry.clone(), position, checksum: checksum(entry) });
        Ok(())
    }

    /// A record was written in part when the power went.
    pub fn tear(&mut self, position: Position, entry: &Entry) {
        let mut torn = entry.clone();
        torn.bytes.truncate(entry.bytes.len() / 2);
        self.used_bytes += torn.bytes.len() as u64;
        self.records.push(Written { entry: torn, position, checksum: checksum(entry) });
    }

    /// Opens the log after a crash: a torn record at its end is cut off.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn open(&mut self) -> Result<(), Damaged> {
        if let Some(record) =
            self.records.iter().position(|written| checksum(&written.entry) != written.checksum)
        {
            if record + 1 < self.records.len() {
                return Err(Damaged { record });
            }
            if let Some(torn) = self.records.pop() {
                self.used_bytes -= torn.entry.bytes.len() as u64;
            }
        }
        Ok(())
    }

    /// Forgets entries from before a position of the journal.
    pub fn collect(&mut self, below: Position) {
        self.records.retain(|written| written.position >= below);
        self.used_bytes = self.records.iter().map(|written| written.entry.bytes.len() as u64).sum();
    }

    /// What it holds, in the order written.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.records.iter().map(|written| &written.entry)
    }

    /// How many bytes of log it holds.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }
}

/// Begins far from any length: a digest that begins with 1 forgets a byte of 1.
const CHECKSUM_BEGINS: u64 = 0x517C_C1B7_2722_0A95;

fn checksum(entry: &Entry) -> u64 {
    let begun = CHECKSUM_BEGINS ^ ((entry.kind as u64) << 56) ^ entry.bytes.len() as u64;
    crate::application::digest_more(begun, &entry.bytes)
}

#[cfg(test)]
mod tests {
    use egida_core::driver::EntryKind;

    use super::*;

    fn entry(len: usize) -> Entry {
        Entry { kind: EntryKind::Own, stores: 1, bytes: vec![7; len] }
    }

    #[test]
    fn a_torn_record_at_the_end_is_cut_off_and_one_before_the_end_is_an_error() {
        let mut disk = Disk::default();
        disk.write(0, &entry(8)).unwrap();
        disk.tear(0, &entry(8));
        let mut appended = disk.clone();
        disk.open().unwrap();
        assert_eq!(disk.entries().count(), 1);
        assert_eq!(disk.used_bytes(), 8);
        appended.write(0, &entry(8)).unwrap();
        assert_eq!(appended.open(), Err(Damaged { record: 1 }));
    }

    #[test]
    fn a_torn_record_of_any_byte_is_told_from_a_whole_one() {
        for byte in 0..=u8::MAX {
            let mut disk = Disk::default();
            disk.tear(0, &Entry { kind: EntryKind::RolledBack, stores: 1, bytes: vec![byte] });
            disk.open().unwrap();
            assert_eq!(disk.entries().count(), 0, "byte {byte}");
        }
    }

    #[test]
    fn a_full_disk_says_so_and_keeps_what_it_has() {
        let mut disk = Disk::default();
        disk.limit(10);
        disk.write(0, &entry(8)).unwrap();
        assert_eq!(disk.write(0, &entry(8)), Err(Full { capacity_bytes: 10 }));
        assert_eq!(disk.entries().count(), 1);
    }
}
