//! The memory of a job: made ready before it begins, and going on in a file where it is at its limit; what the user is told of that.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use egida_core::fault::Fault;
use egida_shm::{JobConfig, JobMemory};
use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where channels and journals go on when memory is at its limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spill {
    /// The directory, on a disk: a file without a name is made there.
    pub dir: PathBuf,
    /// How much of it may be taken; half of what is free where nothing is said.
    pub limit_bytes: Option<u64>,
}

/// Why there is no memory, or no place for what is beyond its limit.
#[derive(Debug, Error)]
pub enum SpillError {
    /// No file can be made there.
    #[error("cannot make a file in `{dir}` for messages and logs: {error}")]
    File {
        /// Where.
        dir: String,
        /// Why not.
        error: io::Error,
    },
    /// The system gives no memory.
    #[error(transparent)]
    Memory(#[from] Fault),
}

/// How much of the file was seen to be taken, and when.
#[derive(Debug)]
pub struct Spilling {
    dir: PathBuf,
    limit_bytes: u64,
    /// When the file was first and last seen to grow, in the job's time.
    grew: Option<(Duration, Duration)>,
    seen_bytes: u64,
}

/// Makes the memory of a job; where something is said of that, with a file for what is beyond its limit.
///
/// # Errors
/// [`SpillError`].
pub fn create(
    config: &JobConfig,
    spill: Option<&Spill>,
) -> Result<(JobMemory, Option<Spilling>), SpillError> {
    let Some(spill) = spill else { return Ok((JobMemory::create(config)?, None)) };
    let failed = |error: io::Error| SpillError::File { dir: spill.dir.display().to_string(), error };
    let file = tempfile::tempfile_in(&spill.dir).map_err(failed)?;
    let free_bytes = statvfs(&spill.dir).map_err(|error| failed(error.into()))?;
    let half_bytes = free_bytes.f_bavail.saturating_mul(free_bytes.f_frsize) / 2;
    let limit_bytes = spill.limit_bytes.unwrap_or(half_bytes);
    let memory = JobMemory::create_spilling(config, file.into(), limit_bytes)?;
    let limit_bytes = config.limit_bytes;
    Ok((memory, Some(Spilling { dir: spill.dir.clone(), limit_bytes, grew: None, seen_bytes: 0 })))
}

/// Makes memory ready before a job begins, and says how long that took.
pub fn make_ready(memory: &JobMemory, bytes: u64) -> String {
    let begun = Instant::now();
    memory.make_ready(bytes);
    format!("{} MiB of memory made ready in {} ms", bytes >> 20, begun.elapsed().as_millis())
}

impl Spilling {
    /// Looks how much of the file was ever taken, and says what the user is to be told: once.
    pub fn look(&mut self, now: Duration, ever_bytes: u64) -> Option<String> {
        if ever_bytes == self.seen_bytes {
            return None;
        }
        self.seen_bytes = ever_bytes;
        let first = self.grew.map(|(first, _)| first);
        self.grew = Some((first.unwrap_or(now), now));
        first.is_none().then(|| {
            let mib = self.limit_bytes >> 20;
            format!(
                "{mib} MiB of messages and logs are in memory, as much as may be: they go on in {}",
                self.dir.display()
            )
        })
    }

    /// What there is to be said in the end.
    pub fn sum(&self) -> Option<String> {
        let (first, last) = self.grew?;
        let (mib, dir) = (self.seen_bytes >> 20, self.dir.display());
        let took = last.saturating_sub(first).as_secs_f64();
        // What was seen at one look only has no rate.
        let rate = if took > 0.0 { format!(", {:.0} MiB/s", mib as f64 / took) } else { String::new() };
        Some(format!("{mib} MiB of messages and logs went to {dir}{rate}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_told_once_and_of_the_rate_in_the_end() {
        let mut spilling = Spilling { dir: "/tmp".into(), limit_bytes: 64 << 20, grew: None, seen_bytes: 0 };
        assert_eq!(spilling.look(Duration::from_secs(1), 0), None);
        assert_eq!(spilling.sum(), None);
        let told = spilling.look(Duration::from_secs(2), 10 << 20).unwrap();
        assert!(told.starts_with("64 MiB of messages and logs are in memory"), "{told}");
        assert_eq!(spilling.sum().unwrap(), "10 MiB of messages and logs went to /tmp");
        assert_eq!(spilling.look(Duration::from_secs(4), 30 << 20), None);
        assert_eq!(spilling.look(Duration::from_secs(9), 30 << 20), None);
        assert_eq!(spilling.sum().unwrap(), "30 MiB of messages and logs went to /tmp, 15 MiB/s");
    }
}
