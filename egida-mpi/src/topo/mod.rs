//! Process topologies (MPI 5.0, chapter 8). Ranks are never reordered: nothing is known of the machine that would make one order
//! better than another.

mod cart;
mod dims;
mod graph;

use std::ffi::c_int;

use crate::comm::{self, Communicator};
use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::handle::MPI_Comm;

pub use cart::{cart_coords, cart_create, cart_get, cart_map, cart_rank, cart_shift, cart_sub, cartdim_get};
pub use dims::dims_create;
pub use graph::{
    dist_graph_create, dist_graph_create_adjacent, dist_graph_neighbors, dist_graph_neighbors_count,
    graph_create, graph_get, graph_map, graph_neighbors, graph_neighbors_count, graphdims_get,
};

use cart::Cart;
use graph::{Adjacent, Graph};

/// Who is whose neighbour in a communicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// A grid.
    Cart(Cart),
    /// Neighbours of every process, known to every process.
    Graph(Graph),
    /// This process's neighbours.
    Adjacent(Adjacent),
}

/// The neighbours of this process, in the order in which neighbourhood collectives take them; `None` for nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbors {
    /// From whom it receives.
    pub sources: Vec<Option<usize>>,
    /// To whom it sends.
    pub destinations: Vec<Option<usize>>,
    /// In which order what is received from one neighbour is matched: places in `sources`.
    pub matched: Vec<usize>,
}

/// The neighbours of this process in a communicator.
pub fn neighbors(comm: &Communicator) -> Outcome<Neighbors> {
    let rank = comm.rank as usize;
    match &comm.topology {
        None => Err(Failure::new(MPI_ERR_TOPOLOGY, "the communicator has no topology")),
        Some(Topology::Cart(cart)) => Ok(cart.neighbors(rank)),
        Some(Topology::Graph(graph)) => {
            let neighbors: Vec<_> = graph.neighbors(rank).iter().map(|&to| Some(to as usize)).collect();
            Ok(Neighbors {
                matched: (0..neighbors.len()).collect(),
                sources: neighbors.clone(),
                destinations: neighbors,
            })
        }
        Some(Topology::Adjacent(adjacent)) => Ok(adjacent.neighbors()),
    }
}

/// `MPI_Topo_test`
pub unsafe fn topo_test(comm: MPI_Comm, status: *mut c_int) -> Outcome {
    let kind = match comm::get(comm)?.topology {
        None => MPI_UNDEFINED,
        Some(Topology::Cart(_)) => MPI_CART,
        Some(Topology::Graph(_)) => MPI_GRAPH,
        Some(Topology::Adjacent(_)) => MPI_DIST_GRAPH,
    };
    // SAFETY: the caller gives room for an integer.
    unsafe { status.write(kind) };
    Ok(())
}

/// Writes integers, as many as there is room for.
///
/// # Safety
/// There is room for `room` integers at `to`.
unsafe fn write_all(values: impl IntoIterator<Item = c_int>, room: c_int, to: *mut c_int) {
    for (at, value) in values.into_iter().take(usize::try_from(room).unwrap_or(0)).enumerate() {
        // SAFETY: as this function's contract has it.
        unsafe { to.add(at).write(value) };
    }
}
