//! What happens to files, once for all executions.

use std::ffi::c_int;
use std::io;

use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::reads;

/// Does something to a file; a rank that is executed again is given what it gave then.
///
/// # Errors
/// What the system said, then or now.
pub fn attempt(mut live: impl FnMut() -> io::Result<Vec<u8>>) -> Outcome<Vec<u8>> {
    let mut result = reads::bytes(|| match live() {
        Ok(mut bytes) => {
            bytes.push(GOOD);
            bytes
        }
        Err(error) => {
            let mut bytes = error.raw_os_error().unwrap_or(libc::EIO).to_le_bytes().to_vec();
            bytes.push(BAD);
            bytes
        }
    });
    match result.pop() {
        Some(GOOD) => Ok(result),
        _ => {
            let code = <[u8; 4]>::try_from(&result[..]).map_or(libc::EIO, i32::from_le_bytes);
            let error = io::Error::from_raw_os_error(code);
            Err(Failure::new(class(code), error.to_string()))
        }
    }
}

const GOOD: u8 = 0;
const BAD: u8 = 1;

/// A number that was given.
pub fn number(bytes: &[u8]) -> i64 {
    <[u8; 8]>::try_from(bytes).map_or(0, i64::from_le_bytes)
}

fn class(code: i32) -> c_int {
    match code {
        libc::ENOENT => MPI_ERR_NO_SUCH_FILE,
        libc::EEXIST => MPI_ERR_FILE_EXISTS,
        libc::EACCES | libc::EPERM => MPI_ERR_ACCESS,
        libc::EISDIR | libc::ENOTDIR | libc::ENAMETOOLONG => MPI_ERR_BAD_FILE,
        libc::ENOSPC => MPI_ERR_NO_SPACE,
        libc::EDQUOT => MPI_ERR_QUOTA,
        libc::EROFS => MPI_ERR_READ_ONLY,
        libc::EBUSY | libc::ETXTBSY => MPI_ERR_FILE_IN_USE,
        _ => MPI_ERR_IO,
    }
}
