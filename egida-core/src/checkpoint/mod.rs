//! Checkpoints: what one holds, how it is written, and which of them recovery may return to.
//!
//! ```text
//!   Engine::checkpoint ──> CheckpointImage ──HowToCheckpoint──> StoredCheckpoint ──Driver::save──> stable storage
//!                               head, history, send logs, held determinants, application's bytes
//!
//!   stable storage ──heads──> Lines ──Checkpoint::line──> a checkpoint for each rank      recovery, output, collection
//! ```
//!
//! A checkpoint is taken between two calls of [`Api::progress`](crate::api::Api::progress), so that no operation is half
//! done. For checkpointing protocols a message is *received* when its record becomes known to the library: what has
//! arrived and is not matched is part of the process's state. Messages in transit need no channel state in the image
//! (unlike Chandy and Lamport 1985): their *senders* hold them, in the send log that is part of each image, for as long as
//! their receivers may return to a state without them.

mod chain;
mod head;
mod image;
mod line;
mod lines;

pub use chain::still_needed;
pub use head::CheckpointHead;
pub use image::{CheckpointImage, Contents, ImageError, SendLog, SentRecord, StoredCheckpoint};
pub use line::{Candidate, Candidates, Line};
#[cfg(test)]
pub(crate) use lines::tests;
pub use lines::{Committed, Lines, Returning};
