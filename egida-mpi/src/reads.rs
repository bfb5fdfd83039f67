//! What comes from outside: the paper's `read` event.

use crate::{end, world};

use egida_core::fault::Fault;

/// Input of a fixed size: what `live` gives, or gave before a crash. For a thread inside the library.
pub fn fixed<const N: usize>(mut live: impl FnMut() -> [u8; N]) -> [u8; N] {
    if !world::replays() {
        return live();
    }
    let value = bytes(|| live().to_vec());
    value.try_into().unwrap_or_else(|other: Vec<u8>| wrong_size(other.len(), N))
}

/// Input of any size; as [`fixed`].
pub fn bytes(mut live: impl FnMut() -> Vec<u8>) -> Vec<u8> {
    if !world::replays() {
        return live();
    }
    world::with(|world| world.read(&mut live)).unwrap_or_else(|fault| end::for_fault(&fault))
}

/// An earlier execution read something else at this place.
pub fn wrong_size(recorded: usize, wanted: usize) -> ! {
    let what = format!("{wanted} bytes are read from outside where {recorded} were");
    end::for_fault(&Fault::Divergence { rank: world::known_rank().unwrap_or_default(), what })
}
