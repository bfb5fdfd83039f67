//! The directory of a job's durable state.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::incarnations::Incarnations;
use crate::storage::StorageError;

/// A job's state directory, and a name for the job that no other has.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    job: String,
    is_temporary: bool,
}

/// Why a directory cannot be a job's.
#[derive(Debug, Error)]
pub enum StateDirError {
    /// Another job has it.
    #[error(
        "`{}` holds the state of another job; give a fresh directory, or remove that one if its job is over",
        .0.display()
    )]
    Taken(PathBuf),
    /// The system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl StateDir {
    /// The given directory, which is kept, or a fresh one under `TMPDIR`, which is removed in the end.
    ///
    /// # Errors
    /// [`StateDirError`].
    pub fn open(given: Option<&Path>) -> Result<Self, StateDirError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let job = format!("egida-{}-{:x}", std::process::id(), since.as_nanos());
        let path = given.map_or_else(|| std::env::temp_dir().join(&job), Path::to_owned);
        if Incarnations::exist_in(&path) {
            return Err(StateDirError::Taken(path));
        }
        fs::create_dir_all(&path).map_err(StorageError::io("create", &path))?;
        Ok(Self { path, job, is_temporary: given.is_none() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stays when the job ends.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !self.is_temporary
    }

    /// The job's name.
    #[must_use]
    pub fn job(&self) -> &str {
        &self.job
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if self.is_temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!("cannot remove `{}`: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_directory_is_removed_and_a_given_one_kept() {
        let fresh = StateDir::open(None).unwrap();
        let path = fresh.path().to_owned();
        assert!(path.is_dir());
        drop(fresh);
        assert!(!path.exists());
        let dir = tempfile::tempdir().unwrap();
        let given = dir.path().join("a/b");
        drop(StateDir::open(Some(&given)).unwrap());
        assert!(given.is_dir());
    }

    #[test]
    fn the_directory_of_another_job_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Incarnations::create(dir.path(), 2).unwrap();
        let error = StateDir::open(Some(dir.path())).unwrap_err();
        assert!(error.to_string().contains("another job"), "{error}");
        assert!(Incarnations::exist_in(dir.path()));
    }
}
