//! What a simulated rank runs: applications, and the models that make them.

use egida_core::api::Api;
use egida_core::fault::Fault;
use egida_core::ids::Rank;

/// Whether an application goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It did something.
    Moved,
    /// It waits.
    Waiting,
    /// It has come to its end.
    Over,
}

/// The program of one rank: a state machine over [`Api`].
///
/// An application is deterministic but for what the API answers. It leaves [`Api::progress`] to the runner, which calls it
/// before a step, so that a checkpoint can be taken between the two. Under a protocol that has no part in a delivery, and so
/// takes no checkpoints, the runner may leave it out: then messages can be received in one step ([`Api::take`]).
pub trait Application {
    /// Does the next thing, if it can. `live` is what the world outside would answer if it were asked now; an application
    /// hands it to [`Api::read`].
    ///
    /// # Errors
    /// Any [`Fault`] of the engine.
    fn step(&mut self, api: &mut dyn Api, live: u64) -> Result<Step, Fault>;

    /// Everything that the application needs to go on from here.
    fn snapshot(&self) -> Vec<u8>;

    /// Goes on from a snapshot of an application of the same rank.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the bytes are no snapshot.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), Fault>;

    /// Another one in the same state.
    fn duplicate(&self) -> Box<dyn Application>;

    /// A digest of all that happened to it: two runs that end with the same states took the same turns.
    fn state(&self) -> u64;

    /// Everything that it wrote since its beginning.
    fn written(&self) -> &[u8];
}

impl Clone for Box<dyn Application> {
    fn clone(&self) -> Self {
        self.duplicate()
    }
}

/// A parallel program: makes the application of each rank.
pub trait Model {
    /// The application of `rank` among `ranks`, at its beginning.
    fn start(&self, rank: Rank, ranks: u32) -> Box<dyn Application>;
}

/// Mixes a word into a digest.
#[must_use]
pub fn mix(digest: u64, word: u64) -> u64 {
    let mixed = (digest ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

/// The digest of a payload.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    digest_more(bytes.len() as u64, bytes)
}

/// Goes on with the digest of a payload, piece by piece; it begins with the payload's length.
#[must_use]
pub fn digest_more(begun: u64, piece: &[u8]) -> u64 {
    piece.iter().fold(begun, |digest, &byte| mix(digest, u64::from(byte)))
}
