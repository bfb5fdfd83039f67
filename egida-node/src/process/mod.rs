//! Processes of ranks: how they are started, watched and ended, and their streams.

mod exec;
mod spawn;
mod stdin;
mod watch;

pub use exec::{PersonalityDenied, randomization_off, readable};
pub use spawn::{ENV_NOTICE_FD, Launch, Spawned, Target};
pub use stdin::{Spool, feed};
pub use watch::{CHUNK_BYTES, Chunk, Ended, Happened, How, Window, Windows, begin_watching, watch};
