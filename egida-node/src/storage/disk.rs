//! `local disk` and `NFS disk`: logs in files, one for each node that has a disk of its own, else one for all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use egida_core::gate::StoreId;
use egida_core::ids::{Domain, Domains, Rank};
use egida_spec::protocol::ParamValue;

use super::format::{self, Scanned, TornTail};
use super::{Backend, Batch, Place, StorageError};

/// A backend on a file system.
///
/// A batch costs one `fdatasync` for each file it touches, however many ranks it is from: under `NFS disk` that is one.
/// A file's name is made durable by a sync of its directory before anything is written to it.
#[derive(Debug)]
pub struct Disk {
    layout: Layout,
    store: StoreId,
    domains: Domains,
    logs: Vec<Option<LogFile>>,
    encoded: Vec<u8>,
    /// A directory outside of the job's state that goes with it.
    remove_at_end: Option<PathBuf>,
}

#[derive(Debug)]
enum Layout {
    /// Each node has a directory that is lost with it, unless the node `returns` with its disk.
    PerNode { root: PathBuf, returns: bool },
    /// All nodes share a directory that no node's failure touches.
    Shared { dir: PathBuf },
}

impl Disk {
    /// The disks of the nodes, in `node-<k>/` of a directory of the job's own under parameter `path`, else of the state
    /// directory. With `returns = node` a failed node comes back with its disk.
    ///
    /// # Errors
    /// [`StorageError`] where `path` is not a text, a directory cannot be made or a file there is not a log.
    pub fn local(place: &Place<'_>) -> Result<Self, StorageError> {
        let returns = place.params.get("returns").is_some();
        Self::below_path(place, place.state_dir.to_owned(), |root| Layout::PerNode { root, returns })
    }

    /// A disk that all nodes share: a directory of the job's own under parameter `path`, else `<state-dir>/nfs`.
    ///
    /// # Errors
    /// As for [`Disk::local`].
    pub fn nfs(place: &Place<'_>) -> Result<Self, StorageError> {
        Self::below_path(place, place.state_dir.join("nfs"), |dir| Layout::Shared { dir })
    }

    fn below_path(
        place: &Place<'_>,
        default: PathBuf,
        layout: impl FnOnce(PathBuf) -> Layout,
    ) -> Result<Self, StorageError> {
        let (dir, is_ours) = match place.params.get("path").map(|param| &param.value) {
            None => (default, false),
            Some(ParamValue::Text(path)) => (Path::new(path).join(place.job), true),
            Some(_) => {
                return Err(StorageError::Parameter {
                    phrase: place.phrase.to_owned(),
                    name: "path",
                    expected: "a quoted text",
                });
            }
        };
        let remove_at_end = (is_ours && !place.is_kept).then(|| dir.clone());
        let mut disk = Self::open(place, layout(dir))?;
        disk.remove_at_end = remove_at_end;
        Ok(disk)
    }

    fn open(place: &Place<'_>, layout: Layout) -> Result<Self, StorageError> {
        let files = match layout {
            Layout::PerNode { .. } => place.domains.count(),
            Layout::Shared { .. } => 1,
        };
        let mut disk = Self {
            layout,
            store: place.store,
            domains: place.domains.clone(),
            logs: Vec::new(),
            encoded: Vec::new(),
            remove_at_end: None,
        };
        for file in 0..files {
            let (log, torn) = LogFile::open(&disk.dir(file), disk.store)?;
            if let Some(torn) = torn {
                tracing::warn!("{torn}");
            }
            disk.logs.push(Some(log));
        }
        Ok(disk)
    }

    fn dir(&self, file: u32) -> PathBuf {
        match &self.layout {
            Layout::PerNode { root, .. } => root.join(format!("node-{file}")),
            Layout::Shared { dir } => dir.clone(),
        }
    }

    fn file_of(&self, rank: Rank) -> u32 {
        match self.layout {
            Layout::PerNode { .. } => self.domains.of(rank),
            Layout::Shared { .. } => 0,
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(dir) = &self.remove_at_end
            && let Err(error) = fs::remove_dir_all(dir)
        {
            tracing::warn!("cannot remove `{}`: {error}", dir.display());
        }
    }
}

#[async_trait]
impl Backend for Disk {
    async fn append(&mut self, batch: &Batch) -> Result<(), StorageError> {
        let mut encoded = std::mem::take(&mut self.encoded);
        for file in 0..self.logs.len() {
            let Some(log) = &self.logs[file] else { continue };
            encoded.clear();
            let mut first = None;
            for entry in batch.iter().filter(|entry| self.file_of(entry.rank) as usize == file) {
                first.get_or_insert(entry.rank);
                format::encode(&entry, log.synced_bytes, &mut encoded);
            }
            if let (Some(rank), Some(log)) = (first, &mut self.logs[file]) {
                log.append(rank, &encoded)?;
            }
        }
        self.encoded = encoded;
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), StorageError> {
        self.logs.iter_mut().flatten().try_for_each(LogFile::sync)
    }

    async fn read(&mut self, ranks: &[Rank]) -> Result<Batch, StorageError> {
        let mut found = Batch::default();
        for (file, log) in self.logs.iter().enumerate() {
            let wanted = |rank: &Rank| self.file_of(*rank) as usize == file;
            let Some(log) = log.as_ref().filter(|_| ranks.iter().any(wanted)) else { continue };
            format::scan(&log.path, log.synced_bytes, |entry| {
                if ranks.contains(&entry.rank) {
                    found.push(entry);
                }
            })?;
        }
        Ok(found)
    }

    async fn discard(&mut self, node: Domain) -> Result<(), StorageError> {
        if matches!(self.layout, Layout::Shared { .. } | Layout::PerNode { returns: true, .. }) {
            return Ok(());
        }
        let Some(log) = self.logs.get_mut(node as usize).and_then(Option::take) else { return Ok(()) };
        fs::remove_file(&log.path).map_err(StorageError::io("remove", &log.path))?;
        // The node that takes its place begins with an empty disk.
        let (log, _) = LogFile::open(&self.dir(node), self.store)?;
        self.logs[node as usize] = Some(log);
        Ok(())
    }
}

/// One log, open for appending.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    written_bytes: u64,
    synced_bytes: u64,
    /// Whose entry was written last: whom a full disk found at `sync` is told of.
    last_rank: Rank,
}

impl LogFile {
    /// Creates the log, or opens the one that stands there and cuts off a torn tail.
    fn open(dir: &Path, store: StoreId) -> Result<(Self, Option<TornTail>), StorageError> {
        make_dir(dir)?;
        let path = dir.join(format!("store-{store}.log"));
        let failed = |what| StorageError::io(what, &path);
        let exists = path.try_exists().map_err(failed("look for"))?;
        let mut file = OpenOptions::new().append(true).create(true).open(&path).map_err(failed("create"))?;
        let Scanned { mut whole_bytes, torn } = match exists {
            true => format::scan(&path, 0, |_| ())?,
            false => Scanned { whole_bytes: 0, torn: None },
        };
        if torn.is_some() {
            file.set_len(whole_bytes).map_err(failed("cut"))?;
        }
        if whole_bytes == 0 {
            file.write_all(&format::file_header()).map_err(|error| refused(error, 0, &path))?;
            whole_bytes = format::HEADER_BYTES as u64;
        }
        file.sync_data().map_err(failed("sync"))?;
        sync_dir(dir)?;
        Ok((Self { path, file, written_bytes: whole_bytes, synced_bytes: whole_bytes, last_rank: 0 }, torn))
    }

    fn append(&mut self, rank: Rank, encoded: &[u8]) -> Result<(), StorageError> {
        if let Err(error) = self.file.write_all(encoded) {
            // The part of it that was written is a torn tail: cut here, or by whoever opens the log next.
            if let Err(error) = self.file.set_len(self.written_bytes) {
                tracing::warn!("cannot cut `{}`: {error}", self.path.display());
            }
            return Err(refused(error, rank, &self.path));
        }
        self.written_bytes += encoded.len() as u64;
        self.last_rank = rank;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        if self.synced_bytes < self.written_bytes {
            self.file.sync_data().map_err(|error| refused(error, self.last_rank, &self.path))?;
            self.synced_bytes = self.written_bytes;
        }
        Ok(())
    }
}

fn refused(error: io::Error, rank: Rank, path: &Path) -> StorageError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            StorageError::Full { rank, path: path.to_owned() }
        }
        _ => StorageError::io("write", path)(error),
    }
}

/// Makes a directory with all above it, and makes their names durable.
fn make_dir(dir: &Path) -> Result<(), StorageError> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(above) = dir.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_dir(above)?;
        fs::create_dir_all(dir).map_err(StorageError::io("create", dir))?;
        return sync_dir(above);
    }
    fs::create_dir_all(dir).map_err(StorageError::io("create", dir))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StorageError::io("sync", dir))
}

#[cfg(test)]
mod tests {
    use egida_core::driver::EntryKind;
    use egida_spec::protocol::{Param, Params, Span};

    use super::super::{Backends, Entry};
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn open(dir: &Path, phrase: &str) -> Box<dyn Backend> {
        open_with(dir, phrase, &Params::default())
    }

    fn open_with(dir: &Path, phrase: &str, params: &Params) -> Box<dyn Backend> {
        let domains = Domains::blocks(4, 2);
        let place = Place {
            state_dir: dir,
            job: "job-1",
            domains: &domains,
            is_kept: true,
            store: 0,
            phrase,
            params,
        };
        Backends::default().open(&place).unwrap()
    }

    fn batch(entries: &[(Rank, u64, &str)]) -> Batch {
        let mut batch = Batch::default();
        for &(rank, position, text) in entries {
            batch.push(Entry { rank, position, kind: EntryKind::Own, bytes: text.as_bytes() });
        }
        batch
    }

    fn commit(backend: &mut dyn Backend, entries: &[(Rank, u64, &str)]) {
        run(backend.append(&batch(entries))).unwrap();
        run(backend.sync()).unwrap();
    }

    fn read(backend: &mut dyn Backend, ranks: &[Rank]) -> Vec<(Rank, u64, String)> {
        let found = run(backend.read(ranks)).unwrap();
        found.iter().map(|e| (e.rank, e.position, String::from_utf8(e.bytes.to_vec()).unwrap())).collect()
    }

    fn log(dir: &Path) -> PathBuf {
        dir.join("nfs/store-0.log")
    }

    fn entries(range: std::ops::Range<u64>) -> Vec<(Rank, u64, String)> {
        range.map(|i| (u32::try_from(i % 4).unwrap(), i, format!("entry {i}"))).collect()
    }

    fn borrowed(entries: &[(Rank, u64, String)]) -> Vec<(Rank, u64, &str)> {
        entries.iter().map(|(rank, position, text)| (*rank, *position, text.as_str())).collect()
    }

    #[test]
    fn what_was_acknowledged_is_read_back_in_order_and_by_rank() {
        let dir = tempfile::tempdir().unwrap();
        let mut nfs = open(dir.path(), "nfs disk");
        let all = entries(0..12);
        commit(&mut *nfs, &borrowed(&all[..5]));
        commit(&mut *nfs, &borrowed(&all[5..]));
        assert_eq!(read(&mut *nfs, &[0, 1, 2, 3]), all);
        let of_two: Vec<_> = all.iter().filter(|entry| entry.0 == 2).cloned().collect();
        assert_eq!(read(&mut *nfs, &[2]), of_two);
    }

    #[test]
    fn a_node_that_returns_brings_its_disk_back() {
        let dir = tempfile::tempdir().unwrap();
        let param =
            |name: &str, value| Param { name: name.to_owned(), value, span: Span { start: 0, end: 0 } };
        let params = Params(vec![
            param("returns", ParamValue::Words("node".to_owned())),
            param("path", ParamValue::Text(dir.path().join("disks").display().to_string())),
        ]);
        let mut local = open_with(dir.path(), "local disk", &params);
        commit(&mut *local, &[(0, 0, "a"), (2, 0, "b")]);
        run(local.discard(0)).unwrap();
        assert_eq!(read(&mut *local, &[0, 2]), [(0, 0, "a".to_owned()), (2, 0, "b".to_owned())]);
        assert!(dir.path().join("disks").is_dir());
    }

    #[test]
    fn a_lost_node_takes_its_local_disk_along_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut local = open(dir.path(), "local disk");
        commit(&mut *local, &[(0, 0, "a"), (2, 0, "b")]);
        run(local.discard(0)).unwrap();
        assert_eq!(read(&mut *local, &[0, 1, 2, 3]), [(2, 0, "b".to_owned())]);
        commit(&mut *local, &[(1, 9, "new")]);
        assert_eq!(read(&mut *local, &[1]), [(1, 9, "new".to_owned())]);
        let mut nfs = open(dir.path(), "NFS disk");
        commit(&mut *nfs, &[(0, 0, "a")]);
        run(nfs.discard(0)).unwrap();
        assert_eq!(read(&mut *nfs, &[0]).len(), 1);
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_and_all_that_was_acknowledged_stays() {
        let dir = tempfile::tempdir().unwrap();
        let all = entries(0..6);
        let mut nfs = open(dir.path(), "nfs disk");
        commit(&mut *nfs, &borrowed(&all[..2]));
        commit(&mut *nfs, &borrowed(&all[2..4]));
        let acknowledged = fs::metadata(log(dir.path())).unwrap().len();
        run(nfs.append(&batch(&borrowed(&all[4..])))).unwrap();
        drop(nfs);
        let whole = fs::read(log(dir.path())).unwrap();
        for cut in usize::try_from(acknowledged).unwrap()..whole.len() {
            fs::write(log(dir.path()), &whole[..cut]).unwrap();
            let mut nfs = open(dir.path(), "nfs disk");
            let found = read(&mut *nfs, &[0, 1, 2, 3]);
            assert!(found.len() >= 4 && all.starts_with(&found), "cut at {cut}: {found:?}");
            commit(&mut *nfs, &[(3, 77, "later")]);
            assert_eq!(read(&mut *nfs, &[3]).last().unwrap().1, 77);
        }
    }

    #[test]
    fn a_torn_tail_is_reported_with_file_and_place() {
        let dir = tempfile::tempdir().unwrap();
        commit(&mut *open(dir.path(), "nfs disk"), &[(0, 0, "whole")]);
        let whole = fs::metadata(log(dir.path())).unwrap().len();
        OpenOptions::new().append(true).open(log(dir.path())).unwrap().write_all(b"EREC torn").unwrap();
        let (_, torn) = LogFile::open(&dir.path().join("nfs"), 0).unwrap();
        assert_eq!(torn, Some(TornTail { path: log(dir.path()), offset: whole, bytes: 9 }));
        assert_eq!(fs::metadata(log(dir.path())).unwrap().len(), whole);
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let dir = tempfile::tempdir().unwrap();
        let all = entries(0..4);
        let mut nfs = open(dir.path(), "nfs disk");
        commit(&mut *nfs, &borrowed(&all[..2]));
        let stable_to_the_next = usize::try_from(fs::metadata(log(dir.path())).unwrap().len()).unwrap();
        commit(&mut *nfs, &borrowed(&all[2..]));
        let whole = fs::read(log(dir.path())).unwrap();
        for byte in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << (byte % 8);
            fs::write(log(dir.path()), &flipped).unwrap();
            // The daemon that wrote it knows what was stable.
            assert!(run(nfs.read(&[0])).is_err(), "byte {byte} read by the writer");
            // One that opens it later knows it from the records behind; in the last batch the damage is a torn tail.
            let opened = LogFile::open(&dir.path().join("nfs"), 0);
            match opened {
                Err(
                    StorageError::Corrupt { .. }
                    | StorageError::Foreign { .. }
                    | StorageError::Version { .. },
                ) => {}
                Ok((_, Some(_))) if byte >= stable_to_the_next => {}
                other => panic!("byte {byte}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_log_that_lost_its_end_is_corrupt_to_the_daemon_that_wrote_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut nfs = open(dir.path(), "nfs disk");
        commit(&mut *nfs, &[(0, 0, "one")]);
        let whole = fs::read(log(dir.path())).unwrap();
        for len in 0..whole.len() {
            fs::write(log(dir.path()), &whole[..len]).unwrap();
            assert!(run(nfs.read(&[0])).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn another_version_and_a_file_of_others_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("nfs");
        fs::create_dir(&dir).unwrap();
        let mut header = format::file_header();
        header[8] = 9;
        let crc = crc32fast::hash(&header[..12]);
        header[12..].copy_from_slice(&crc.to_le_bytes());
        fs::write(dir.join("store-0.log"), header).unwrap();
        assert!(matches!(LogFile::open(&dir, 0), Err(StorageError::Version { found: 9, known: 1, .. })));
        fs::write(dir.join("store-0.log"), "a letter to somebody").unwrap();
        assert!(matches!(LogFile::open(&dir, 0), Err(StorageError::Foreign { .. })));
    }

    #[test]
    fn a_full_disk_is_an_error_that_says_what_to_do() {
        let mut log = LogFile {
            path: "/dev/full".into(),
            file: OpenOptions::new().append(true).open("/dev/full").unwrap(),
            written_bytes: 0,
            synced_bytes: 0,
            last_rank: 0,
        };
        let text = log.append(3, b"record").unwrap_err().to_string();
        assert!(
            text.contains("rank 3") && text.contains("/dev/full") && text.contains("--state-dir"),
            "{text}"
        );
    }

    #[test]
    fn the_path_is_the_jobs_own_directory_under_the_parameter() {
        let dir = tempfile::tempdir().unwrap();
        let domains = Domains::blocks(2, 1);
        let path = dir.path().join("shared").display().to_string();
        let param =
            |value| Params(vec![Param { name: "path".into(), value, span: Span { start: 0, end: 0 } }]);
        let place = |params| Place {
            state_dir: dir.path(),
            job: "job-7",
            domains: &domains,
            is_kept: false,
            store: 1,
            phrase: "nfs disk",
            params,
        };
        let (text, count) = (param(ParamValue::Text(path)), param(ParamValue::Count(3)));
        let disk = Disk::nfs(&place(&text)).unwrap();
        assert!(dir.path().join("shared/job-7/store-1.log").is_file());
        drop(disk);
        assert!(dir.path().join("shared").is_dir() && !dir.path().join("shared/job-7").exists());
        drop(Disk::nfs(&Place { is_kept: true, ..place(&text) }).unwrap());
        assert!(dir.path().join("shared/job-7").is_dir());
        let wrong = Disk::nfs(&place(&count));
        assert!(matches!(wrong, Err(StorageError::Parameter { name: "path", .. })));
    }

    #[test]
    fn an_unknown_storage_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let domains = Domains::blocks(1, 1);
        let params = Params::default();
        let place = Place {
            state_dir: dir.path(),
            job: "j",
            domains: &domains,
            is_kept: true,
            store: 0,
            phrase: "tape robot",
            params: &params,
        };
        let error = Backends::default().open(&place).err().unwrap().to_string();
        assert!(error.contains("tape robot") && error.contains("`local disk`"), "{error}");
    }
}
