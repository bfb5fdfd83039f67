//! Broadcast.

use super::transfer::{check_root, receive, send};
use super::{Outcome, Peers};
use crate::datatype::Target;

/// From here on the bandwidth of one link counts more than the number of messages.
const LARGE_BYTES: usize = 256 << 10;

/// `MPI_Bcast`: a binomial tree; for large data a scatter and a ring, in which each rank sends about as much as it receives
/// (Thakur, Rabenseifner and Gropp 2005, section 4.3).
///
/// # Errors
/// See [`CollectiveError`](super::CollectiveError).
pub fn bcast<P: Peers>(peers: &mut P, root: usize, buffer: Target<'_>) -> Outcome<P> {
    check_root(peers, root)?;
    if peers.size() == 1 || buffer.is_empty() {
        return Ok(());
    }
    // The root's memory is only read, even where it takes no copy.
    match buffer.into_bytes() {
        Ok(bytes) => bcast_bytes(peers, root, bytes),
        Err(buffer) if peers.rank() == root => {
            bcast_bytes(peers, root, &mut buffer.as_source().packed().into_owned())
        }
        Err(mut buffer) => {
            let mut bytes = vec![0; buffer.len()];
            bcast_bytes(peers, root, &mut bytes)?;
            buffer.unpack(&bytes)?;
            Ok(())
        }
    }
}

fn bcast_bytes<P: Peers>(peers: &mut P, root: usize, bytes: &mut [u8]) -> Outcome<P> {
    let around =
        Around { root, size: peers.size(), place: (peers.rank() + peers.size() - root) % peers.size() };
    if bytes.len() >= LARGE_BYTES && around.size > 3 {
        scatter(peers, &around, bytes)?;
        ring(peers, &around, bytes)
    } else {
        binomial(peers, &around, bytes)
    }
}

/// The ranks as they are seen from the root, which has place 0.
struct Around {
    root: usize,
    size: usize,
    place: usize,
}

impl Around {
    fn rank(&self, place: usize) -> usize {
        (self.root + place) % self.size
    }

    /// The first of the distances 1, 2, 4... at which this place is not at the start of a block: its parent lies that far
    /// below, and its subtree reaches that far up. For the root, one past the last distance.
    fn reach(&self) -> usize {
        if self.place == 0 { self.size.next_power_of_two() } else { self.place & self.place.wrapping_neg() }
    }

    /// The bytes of some places' pieces of the data.
    fn piece(&self, bytes: &[u8], places: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let piece = bytes.len().div_ceil(self.size);
        let at = |place: usize| (piece * place.min(self.size)).min(bytes.len());
        at(places.start)..at(places.end)
    }
}

fn binomial<P: Peers>(peers: &mut P, around: &Around, bytes: &mut [u8]) -> Outcome<P> {
    let mut distance = around.reach();
    if around.place > 0 {
        receive(peers, around.rank(around.place - distance), bytes)?;
    }
    while distance > 1 {
        distance /= 2;
        if around.place + distance < around.size {
            send(peers, around.rank(around.place + distance), bytes)?;
        }
    }
    Ok(())
}

/// Leaves each place with its own piece, by a binomial tree.
fn scatter<P: Peers>(peers: &mut P, around: &Around, bytes: &mut [u8]) -> Outcome<P> {
    let (place, mut distance) = (around.place, around.reach());
    if place > 0 {
        let subtree = around.piece(bytes, place..place + distance);
        receive(peers, around.rank(place - distance), &mut bytes[subtree])?;
    }
    while distance > 1 {
        distance /= 2;
        if place + distance < around.size {
            let subtree = around.piece(bytes, place + distance..place + 2 * distance);
            send(peers, around.rank(place + distance), &bytes[subtree])?;
        }
    }
    Ok(())
}

/// Passes the pieces around until each place has all.
fn ring<P: Peers>(peers: &mut P, around: &Around, bytes: &mut [u8]) -> Outcome<P> {
    let (place, size) = (around.place, around.size);
    let (below, above) = (around.rank(place + size - 1), around.rank(place + 1));
    for step in 0..size - 1 {
        let leaving = (place + size - step) % size;
        let coming = (leaving + size - 1) % size;
        let leaving = around.piece(bytes, leaving..leaving + 1);
        send(peers, above, &bytes[leaving])?;
        // The root has every piece: what comes to it is the same again, and its memory may be read-only.
        let coming = around.piece(bytes, coming..coming + 1);
        if place == 0 {
            receive(peers, below, &mut vec![0; coming.len()])?;
        } else {
            receive(peers, below, &mut bytes[coming])?;
        }
    }
    Ok(())
}
