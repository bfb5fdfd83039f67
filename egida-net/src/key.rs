//! The job's key.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::str::FromStr;

use thiserror::Error;

/// Bytes of a key, and of all else here that nobody should guess.
pub const SECRET_BYTES: usize = 32;

/// What the daemons of one job have in common and nobody else knows.
#[derive(Clone, PartialEq, Eq)]
pub struct JobKey([u8; SECRET_BYTES]);

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a job's key is {} hexadecimal digits", 2 * SECRET_BYTES)]
pub struct NoKey;

impl JobKey {
    /// A new key.
    ///
    /// # Errors
    /// [`io::Error`] where the system gives no random bytes.
    pub fn random() -> io::Result<Self> {
        random().map(Self)
    }

    /// The key as a text, for a pipe to a daemon: never for a command line, which others can read.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for JobKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let text = text.as_bytes();
        let mut key = [0; SECRET_BYTES];
        if text.len() != 2 * SECRET_BYTES {
            return Err(NoKey);
        }
        for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(NoKey);
            *byte = (digit(digits[0])? * 16 + digit(digits[1])?) as u8;
        }
        Ok(Self(key))
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobKey")
    }
}

/// Random bytes of the system's.
///
/// # Errors
/// [`io::Error`] where there are none.
pub fn random() -> io::Result<[u8; SECRET_BYTES]> {
    let mut bytes = [0; SECRET_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_text_and_is_not_shown() {
        let key = JobKey::random().unwrap();
        assert_eq!(key.to_hex().parse(), Ok(key.clone()));
        assert_ne!(key, JobKey::random().unwrap());
        assert!(!format!("{key:?}").contains(&key.to_hex()[..8]));
        assert_eq!("12".parse::<JobKey>(), Err(NoKey));
        assert_eq!("xy".repeat(SECRET_BYTES).parse::<JobKey>(), Err(NoKey));
    }
}
