//! Barrier.

use super::{CollectiveError, Outcome, Peers};

/// `MPI_Barrier`, by dissemination: in round k each rank hears from the one 2^k below, so that after ⌈log2 n⌉ rounds it has
/// heard of all (Hensgen, Finkel and Manber 1988).
///
/// # Errors
/// The transport's.
pub fn barrier<P: Peers>(peers: &mut P) -> Outcome<P> {
    let (rank, size) = (peers.rank(), peers.size());
    let mut distance = 1;
    while distance < size {
        peers.send((rank + distance) % size, &[]).map_err(CollectiveError::Transport)?;
        peers.receive((rank + size - distance) % size, &mut |_| ()).map_err(CollectiveError::Transport)?;
        distance *= 2;
    }
    Ok(())
}
