//! Stable storage, the daemon's half: what writes entries of journals where a failure cannot reach them.
//!
//! A [`Backend`] is chosen by the phrase of the specification (`local disk`, `NFS disk`); a crate of a user registers
//! another with [`Backends::register`]. The ranks never touch it: a [`Writer`] thread drains their journals into it. Storage
//! in the memory of other nodes has no backend; a [`Copier`] thread fills it.

mod copier;
mod disk;
mod format;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use egida_core::driver::EntryKind;
use egida_core::gate::StoreId;
use egida_core::ids::{Domain, Domains, Position, Rank};
use egida_spec::protocol::Params;
use thiserror::Error;

pub use copier::Copier;
pub use disk::Disk;
pub(crate) use disk::sync_dir;
pub use format::TornTail;
pub use writer::{Observer, Store, Writer};

/// Where entries of journals survive.
///
/// All methods are called from one thread, the writer's; they may block it. After an error from [`Backend::append`] or
/// [`Backend::sync`] nothing of that batch counts as stable, and the job ends.
#[async_trait]
pub trait Backend: Send {
    /// Writes a batch. It is stable only after the next [`Backend::sync`].
    ///
    /// # Errors
    /// [`StorageError`]; the job ends then, and what of the batch was written is no promise to anyone.
    async fn append(&mut self, batch: &Batch) -> Result<(), StorageError>;

    /// Makes all that was appended stable.
    ///
    /// # Errors
    /// [`StorageError`].
    async fn sync(&mut self) -> Result<(), StorageError>;

    /// All entries of these ranks, each rank's in the order appended.
    ///
    /// # Errors
    /// [`StorageError`], where what was stable cannot be read back whole above all.
    async fn read(&mut self, ranks: &[Rank]) -> Result<Batch, StorageError>;

    /// A node is lost with all that stands on its own disk. Storage that nodes share does nothing.
    ///
    /// # Errors
    /// [`StorageError`].
    async fn discard(&mut self, node: Domain) -> Result<(), StorageError>;
}

/// An entry of a rank's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Whose journal.
    pub rank: Rank,
    /// How many entries stand before it there.
    pub position: Position,
    /// What the bytes are.
    pub kind: EntryKind,
    /// The encoded determinant or message.
    pub bytes: &'a [u8],
}

/// Entries, copied out of journals or read back.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    heads: Vec<(Rank, Position, EntryKind, Range<usize>)>,
    bytes: Vec<u8>,
}

impl Batch {
    /// Adds an entry.
    pub fn push(&mut self, entry: Entry<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(entry.bytes);
        self.heads.push((entry.rank, entry.position, entry.kind, start..self.bytes.len()));
    }

    /// The entries in the order added.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.heads.iter().map(|(rank, position, kind, range)| Entry {
            rank: *rank,
            position: *position,
            kind: *kind,
            bytes: &self.bytes[range.clone()],
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// How many bytes they hold.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets them and keeps the room.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.bytes.clear();
    }
}

/// What can go wrong with stable storage.
#[derive(Debug, Error)]
pub enum StorageError {
    /// No room is left.
    #[error(
        "the disk that holds `{}` is full: the log of rank {rank} cannot be made stable; free space there, or choose \
         another place with `--state-dir` or `with (path = \"...\")` behind the storage in the specification",
        path.display()
    )]
    Full {
        /// The rank whose entry found no room.
        rank: Rank,
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {what} `{}`: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// What was stable is damaged.
    #[error(
        "`{}` is damaged at byte {offset}, before its end: {what}; what was logged there is lost, so no rank can be \
         recovered from it",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The file is none of ours.
    #[error("`{}` is not a log of Egida", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by another version.
    #[error("`{}` has log format {found}; this build reads format {known}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// No backend has that name.
    #[error("no backend for stable storage `{phrase}` is registered; this build has {known}")]
    Unknown {
        /// The phrase asked for.
        phrase: String,
        /// The phrases there are.
        known: String,
    },
    /// A parameter of the storage has a value of the wrong type.
    #[error("parameter `{name}` of storage `{phrase}` must be {expected}")]
    Parameter {
        /// The storage.
        phrase: String,
        /// The parameter.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A rank's journal cannot be read.
    #[error(transparent)]
    Journal(egida_core::fault::Fault),
    /// The writer is gone, after an error of its own.
    #[error("stable storage was shut down after an earlier error")]
    Closed,
}

impl StorageError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { what, path, error }
    }
}

/// What a backend is made for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The job's state directory.
    pub state_dir: &'a Path,
    /// A name of the job that no other job has.
    pub job: &'a str,
    /// Which node each rank is on.
    pub domains: &'a Domains,
    /// Whether the job's state is kept after its end.
    pub is_kept: bool,
    /// The number of the store in the stack.
    pub store: StoreId,
    /// The words of the specification.
    pub phrase: &'a str,
    /// The parameters written behind them.
    pub params: &'a Params,
}

type Factory = Box<dyn Fn(&Place<'_>) -> Result<Box<dyn Backend>, StorageError> + Send + Sync>;

/// The backends of this build by the phrase of the language that chooses them.
pub struct Backends {
    factories: BTreeMap<String, Factory>,
}

impl Default for Backends {
    /// `local disk` and `NFS disk`.
    fn default() -> Self {
        let mut backends = Self { factories: BTreeMap::new() };
        backends.register("local disk", |place| Ok(Box::new(Disk::local(place)?)));
        backends.register("NFS disk", |place| Ok(Box::new(Disk::nfs(place)?)));
        backends
    }
}

impl Backends {
    /// Adds a backend, or replaces the one of that phrase. Capitals make no difference.
    pub fn register(
        &mut self,
        phrase: &str,
        factory: impl Fn(&Place<'_>) -> Result<Box<dyn Backend>, StorageError> + Send + Sync + 'static,
    ) {
        self.factories.insert(phrase.to_lowercase(), Box::new(factory));
    }

    /// Opens the backend that the place's phrase names.
    ///
    /// # Errors
    /// [`StorageError::Unknown`], and those of the backend.
    pub fn open(&self, place: &Place<'_>) -> Result<Box<dyn Backend>, StorageError> {
        let factory =
            self.factories.get(&place.phrase.to_lowercase()).ok_or_else(|| StorageError::Unknown {
                phrase: place.phrase.to_owned(),
                known: self.factories.keys().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", "),
            })?;
        factory(place)
    }
}
