//! What tells the variants of causal logging apart: what a rank knows of holders and of stability, and what it tells.

use std::fmt::Debug;

use egida_core::ids::{Domain, EventIndex, Rank, Ssn};
use egida_core::module::EntryId;
use egida_core::registry::Build;
use egida_core::wire::{Reader, WireError};

use super::window::Window;

/// The part of [`Determinants`](super::Determinants) that a refinement of the phrase chooses. Every hook but the reading
/// ones does by default what the phrase alone does: it knows nothing but what the window knows, and tells nothing.
pub trait Knowledge: Clone + Debug + Send {
    /// What stands at the head of a piggyback.
    type Telling;
    /// What stands behind each determinant.
    type Note;

    /// The knowledge of the rank that `build` names, at its beginning.
    fn new(build: &Build<'_>) -> Self
    where
        Self: Sized;

    /// Whether a determinant is known to be safe, other than by the window's account.
    fn is_safe(&self, owner: Rank, index: EventIndex) -> bool {
        let _ = (owner, index);
        false
    }

    /// Whether `rank` is known to hold a determinant, or not to need it because it is safe, other than by the window's
    /// account.
    fn covers(&self, rank: Rank, owner: Rank, index: EventIndex) -> bool {
        let _ = (rank, owner, index);
        false
    }

    /// Appends the head of the piggyback of message `ssn`. Returns whether it says anything; if not, and no determinant
    /// follows, nothing is sent.
    fn tell(&mut self, dest: Rank, ssn: Ssn, out: &mut Vec<u8>) -> bool {
        let _ = (dest, ssn, out);
        false
    }

    /// Whether [`Knowledge::tell`] never says anything.
    fn tells_nothing(&self) -> bool {
        false
    }

    /// Appends what is to stand behind a determinant.
    fn annotate(&self, owner: Rank, index: EventIndex, out: &mut Vec<u8>) {
        let _ = (owner, index, out);
    }

    /// Reads the head of a piggyback.
    ///
    /// # Errors
    /// [`WireError`] for bytes that are none.
    fn read(&self, reader: &mut Reader<'_>) -> Result<Self::Telling, WireError>;

    /// Reads what stands behind a determinant.
    ///
    /// # Errors
    /// [`WireError`] for bytes that are none.
    fn read_note(&self, reader: &mut Reader<'_>) -> Result<Self::Note, WireError>;

    /// Takes in what `source` told, once all determinants that came with it are logged.
    fn told(&mut self, window: &mut Window, source: Rank, telling: Self::Telling) {
        let _ = (window, source, telling);
    }

    /// An event of this rank happened; its determinant is in the window.
    fn happened(&mut self, index: EventIndex) {
        let _ = index;
    }

    /// A determinant that came from `source` is in the window, for the first time.
    fn learned(&mut self, window: &mut Window, id: EntryId, source: Rank, note: Self::Note) {
        let _ = note;
        self.holds(window, id, source);
    }

    /// A determinant was put back at recovery, found in the memory of these domains.
    fn restored(&mut self, owner: Rank, index: EventIndex, holders: &[Domain]) {
        let _ = (owner, index, holders);
    }

    /// `rank` turned out to hold a determinant that is in the window.
    fn holds(&mut self, window: &mut Window, id: EntryId, rank: Rank) {
        window.add_holder(id, rank);
    }

    /// A determinant has become safe, by the window's account.
    fn became_safe(&mut self, owner: Rank, index: EventIndex) {
        let _ = (owner, index);
    }

    /// A safe determinant has left the window.
    fn forgotten(&mut self, owner: Rank, index: EventIndex) {
        let _ = (owner, index);
    }

    /// Whether [`Knowledge::acknowledged`] has a meaning.
    const LEARNS_FROM_ACKNOWLEDGEMENTS: bool = true;

    /// `dest` has taken in all messages below `below`, and so what they told.
    fn acknowledged(&mut self, dest: Rank, below: Ssn) {
        let _ = (dest, below);
    }

    /// The memory of a domain is lost.
    fn lost(&mut self, domain: Domain) {
        let _ = domain;
    }
}

/// `determinants` alone: nothing is known but what each message shows by itself.
#[derive(Debug, Clone)]
pub struct Nothing;

impl Knowledge for Nothing {
    type Telling = ();
    type Note = ();
    const LEARNS_FROM_ACKNOWLEDGEMENTS: bool = false;

    fn tells_nothing(&self) -> bool {
        true
    }

    fn new(_: &Build<'_>) -> Self {
        Self
    }

    fn read(&self, _: &mut Reader<'_>) -> Result<(), WireError> {
        Ok(())
    }

    fn read_note(&self, _: &mut Reader<'_>) -> Result<(), WireError> {
        Ok(())
    }
}
