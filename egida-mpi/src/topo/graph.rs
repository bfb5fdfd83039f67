//! Graphs, known to all or each process's part to itself (MPI 5.0, sections 8.5.3 and 8.5.4).
#![allow(clippy::too_many_arguments)] // the standard's

use std::ffi::c_int;

use super::{Neighbors, Topology, write_all};
use crate::comm::{self, Communicator};
use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::group::array;
use crate::handle::{MPI_Comm, MPI_Info};
use crate::{coll, info};

/// The edges of every process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// Where the edges of each process end.
    index: Vec<c_int>,
    edges: Vec<c_int>,
}

impl Graph {
    unsafe fn new(nnodes: c_int, indx: *const c_int, edges: *const c_int, limit: c_int) -> Outcome<Self> {
        let wrong = |what: String| Failure::new(MPI_ERR_ARG, what);
        if nnodes > limit {
            return Err(wrong(format!("a graph of {nnodes} processes")));
        }
        // SAFETY: the caller gives so many, the last of which says how many edges there are.
        let index = unsafe { array(indx, nnodes)? }.to_vec();
        if index.iter().scan(0, |last, &end| Some(end < std::mem::replace(last, end))).any(|falls| falls) {
            return Err(wrong("the index of the graph decreases".to_owned()));
        }
        // SAFETY: see above.
        let edges = unsafe { array(edges, index.last().copied().unwrap_or(0))? }.to_vec();
        if let Some(edge) = edges.iter().find(|edge| !(0..nnodes).contains(*edge)) {
            return Err(wrong(format!("an edge to {edge}")));
        }
        Ok(Self { index, edges })
    }

    /// The neighbours of a process.
    pub fn neighbors(&self, rank: usize) -> &[c_int] {
        let start = rank.checked_sub(1).map_or(0, |before| self.index[before]);
        &self.edges[start as usize..self.index[rank] as usize]
    }
}

fn graph(comm: &Communicator) -> Outcome<&Graph> {
    match &comm.topology {
        Some(Topology::Graph(graph)) => Ok(graph),
        _ => Err(Failure::new(MPI_ERR_TOPOLOGY, "the communicator is not a graph")),
    }
}

/// `MPI_Graph_create`
pub unsafe fn graph_create(
    comm_old: MPI_Comm,
    nnodes: c_int,
    indx: *const c_int,
    edges: *const c_int,
    _reorder: c_int,
    comm_graph: *mut MPI_Comm,
) -> Outcome {
    comm::on_intra(comm_old, |old| {
        // SAFETY: the caller's arrays.
        let graph = unsafe { Graph::new(nnodes, indx, edges, old.size() as c_int)? };
        let inside = (old.rank as c_int) < nnodes;
        comm::with_topology(old, inside.then_some(Topology::Graph(graph)), comm_graph)
    })
}

/// `MPI_Graph_map`
pub unsafe fn graph_map(
    comm: MPI_Comm,
    nnodes: c_int,
    indx: *const c_int,
    edges: *const c_int,
    newrank: *mut c_int,
) -> Outcome {
    comm::on_intra(comm, |comm| {
        // SAFETY: the caller's arrays, and room for a rank.
        unsafe {
            Graph::new(nnodes, indx, edges, comm.size() as c_int)?;
            let rank = comm.rank as c_int;
            newrank.write(if rank < nnodes { rank } else { MPI_UNDEFINED });
        }
        Ok(())
    })
}

/// `MPI_Graphdims_get`
pub unsafe fn graphdims_get(comm: MPI_Comm, nnodes: *mut c_int, nedges: *mut c_int) -> Outcome {
    comm::on(comm, |comm| {
        let graph = graph(comm)?;
        // SAFETY: the caller gives room for two integers.
        unsafe {
            nnodes.write(graph.index.len() as c_int);
            nedges.write(graph.edges.len() as c_int);
        }
        Ok(())
    })
}

/// `MPI_Graph_get`
pub unsafe fn graph_get(
    comm: MPI_Comm,
    maxindex: c_int,
    maxedges: c_int,
    indx: *mut c_int,
    edges: *mut c_int,
) -> Outcome {
    comm::on(comm, |comm| {
        let graph = graph(comm)?;
        // SAFETY: the caller gives room for so many of both.
        unsafe {
            write_all(graph.index.iter().copied(), maxindex, indx);
            write_all(graph.edges.iter().copied(), maxedges, edges);
        }
        Ok(())
    })
}

fn of_rank(comm: &Communicator, rank: c_int) -> Outcome<&[c_int]> {
    let graph = graph(comm)?;
    let known = usize::try_from(rank).ok().filter(|&rank| rank < graph.index.len());
    known.map(|rank| graph.neighbors(rank)).ok_or_else(|| Failure::new(MPI_ERR_RANK, format!("rank {rank}")))
}

/// `MPI_Graph_neighbors_count`
pub unsafe fn graph_neighbors_count(comm: MPI_Comm, rank: c_int, nneighbors: *mut c_int) -> Outcome {
    comm::on(comm, |comm| {
        // SAFETY: the caller gives room for an integer.
        unsafe { nneighbors.write(of_rank(comm, rank)?.len() as c_int) };
        Ok(())
    })
}

/// `MPI_Graph_neighbors`
pub unsafe fn graph_neighbors(
    comm: MPI_Comm,
    rank: c_int,
    maxneighbors: c_int,
    neighbors: *mut c_int,
) -> Outcome {
    comm::on(comm, |comm| {
        // SAFETY: the caller gives room for so many.
        unsafe { write_all(of_rank(comm, rank)?.iter().copied(), maxneighbors, neighbors) };
        Ok(())
    })
}

/// The edges of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adjacent {
    sources: Vec<Edge>,
    destinations: Vec<Edge>,
    weighted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edge {
    peer: c_int,
    weight: c_int,
}

impl Adjacent {
    /// The neighbours; of several edges between two processes the order given is that of the messages.
    pub fn neighbors(&self) -> Neighbors {
        let peers = |edges: &[Edge]| edges.iter().map(|edge| usize::try_from(edge.peer).ok()).collect();
        let matched = (0..self.sources.len()).collect();
        Neighbors { sources: peers(&self.sources), destinations: peers(&self.destinations), matched }
    }
}

fn adjacent(comm: &Communicator) -> Outcome<&Adjacent> {
    match &comm.topology {
        Some(Topology::Adjacent(adjacent)) => Ok(adjacent),
        _ => Err(Failure::new(MPI_ERR_TOPOLOGY, "the communicator is not a distributed graph")),
    }
}

fn unweighted(weights: *const c_int) -> bool {
    weights as usize == MPI_UNWEIGHTED
}

/// Peers with their weights.
unsafe fn edges(
    peers: *const c_int,
    weights: *const c_int,
    count: c_int,
    ranks: c_int,
) -> Outcome<Vec<Edge>> {
    // SAFETY: the caller gives so many of both, or no weights.
    let peers = unsafe { array(peers, count)? };
    let none = unweighted(weights) || weights as usize == MPI_WEIGHTS_EMPTY;
    if none && !unweighted(weights) && count > 0 {
        return Err(Failure::new(MPI_ERR_ARG, "`MPI_WEIGHTS_EMPTY` for edges that are there"));
    }
    // SAFETY: see above.
    let weights = if none { &[] } else { unsafe { array(weights, count)? } };
    let edge = |(at, &peer): (usize, &c_int)| {
        let weight = weights.get(at).copied().unwrap_or(1);
        if !(0..ranks).contains(&peer) && peer != MPI_PROC_NULL {
            return Err(Failure::new(MPI_ERR_RANK, format!("an edge to {peer}")));
        }
        if weight < 0 {
            return Err(Failure::new(MPI_ERR_ARG, format!("weight {weight}")));
        }
        Ok(Edge { peer, weight })
    };
    peers.iter().enumerate().map(edge).collect()
}

/// `MPI_Dist_graph_create_adjacent`
pub unsafe fn dist_graph_create_adjacent(
    comm_old: MPI_Comm,
    indegree: c_int,
    sources: *const c_int,
    sourceweights: *const c_int,
    outdegree: c_int,
    destinations: *const c_int,
    destweights: *const c_int,
    info: MPI_Info,
    _reorder: c_int,
    comm_dist_graph: *mut MPI_Comm,
) -> Outcome {
    comm::on_intra(comm_old, |old| {
        info::get(info)?;
        let ranks = old.size() as c_int;
        // SAFETY: the caller's arrays.
        let adjacent = unsafe {
            Adjacent {
                sources: edges(sources, sourceweights, indegree, ranks)?,
                destinations: edges(destinations, destweights, outdegree, ranks)?,
                weighted: !unweighted(sourceweights) && !unweighted(destweights),
            }
        };
        comm::with_topology(old, Some(Topology::Adjacent(adjacent)), comm_dist_graph)
    })
}

/// `MPI_Dist_graph_create`: any process may tell of any edge. All hear of all, and keep their own, in the order of the tellers.
pub unsafe fn dist_graph_create(
    comm_old: MPI_Comm,
    n: c_int,
    sources: *const c_int,
    degrees: *const c_int,
    destinations: *const c_int,
    weights: *const c_int,
    info: MPI_Info,
    _reorder: c_int,
    comm_dist_graph: *mut MPI_Comm,
) -> Outcome {
    comm::on_intra(comm_old, |old| {
        info::get(info)?;
        let ranks = old.size() as c_int;
        // SAFETY: the caller's arrays: a source and a degree for each of `n`, and so many destinations as the degrees add up to.
        let (sources, ends) = unsafe {
            let (sources, degrees) = (array(sources, n)?, array(degrees, n)?);
            if let Some(degree) = degrees.iter().find(|degree| **degree < 0) {
                return Err(Failure::new(MPI_ERR_ARG, format!("degree {degree}")));
            }
            let sources = sources.iter().zip(degrees);
            let sources: Vec<c_int> =
                sources.flat_map(|(&from, &degree)| std::iter::repeat_n(from, degree as usize)).collect();
            let ends = edges(destinations, weights, sources.len() as c_int, ranks)?;
            (sources, ends)
        };
        if let Some(source) = sources.iter().find(|source| !(0..ranks).contains(*source)) {
            return Err(Failure::new(MPI_ERR_RANK, format!("an edge from {source}")));
        }
        let told = sources.iter().zip(&ends).flat_map(|(&from, end)| [from, end.peer, end.weight]);
        let told: Vec<u8> = std::iter::once(c_int::from(!unweighted(weights)))
            .chain(told)
            .flat_map(c_int::to_le_bytes)
            .collect();
        let mut adjacent = Adjacent { weighted: true, ..Adjacent::default() };
        for bytes in coll::gossip(old, &told)? {
            let mut words =
                bytes.chunks_exact(4).map(|word| c_int::from_le_bytes([word[0], word[1], word[2], word[3]]));
            adjacent.weighted &= words.next() == Some(1);
            while let (Some(from), Some(to), Some(weight)) = (words.next(), words.next(), words.next()) {
                if to == old.rank as c_int {
                    adjacent.sources.push(Edge { peer: from, weight });
                }
                if from == old.rank as c_int {
                    adjacent.destinations.push(Edge { peer: to, weight });
                }
            }
        }
        comm::with_topology(old, Some(Topology::Adjacent(adjacent)), comm_dist_graph)
    })
}

/// `MPI_Dist_graph_neighbors_count`
pub unsafe fn dist_graph_neighbors_count(
    comm: MPI_Comm,
    indegree: *mut c_int,
    outdegree: *mut c_int,
    weighted: *mut c_int,
) -> Outcome {
    comm::on(comm, |comm| {
        let adjacent = adjacent(comm)?;
        // SAFETY: the caller gives room for three integers.
        unsafe {
            indegree.write(adjacent.sources.len() as c_int);
            outdegree.write(adjacent.destinations.len() as c_int);
            weighted.write(c_int::from(adjacent.weighted));
        }
        Ok(())
    })
}

/// `MPI_Dist_graph_neighbors`
pub unsafe fn dist_graph_neighbors(
    comm: MPI_Comm,
    maxindegree: c_int,
    sources: *mut c_int,
    sourceweights: *mut c_int,
    maxoutdegree: c_int,
    destinations: *mut c_int,
    destweights: *mut c_int,
) -> Outcome {
    comm::on(comm, |comm| {
        let adjacent = adjacent(comm)?;
        // SAFETY: the caller gives room for so many, and for weights where the graph has them.
        let write = |edges: &[Edge], room, peers, weights: *mut c_int| unsafe {
            write_all(edges.iter().map(|edge| edge.peer), room, peers);
            if adjacent.weighted && !unweighted(weights) {
                write_all(edges.iter().map(|edge| edge.weight), room, weights);
            }
        };
        write(&adjacent.sources, maxindegree, sources, sourceweights);
        write(&adjacent.destinations, maxoutdegree, destinations, destweights);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_finds_its_edges() {
        let (index, edges) = ([2, 3, 4, 6], [1, 3, 0, 3, 0, 2]);
        // SAFETY: the arrays have the lengths that they say.
        let graph = unsafe { Graph::new(4, index.as_ptr(), edges.as_ptr(), 4) }.unwrap();
        assert_eq!(
            [graph.neighbors(0), graph.neighbors(2), graph.neighbors(3)],
            [&[1, 3][..], &[3], &[0, 2]]
        );
        // SAFETY: see above.
        unsafe {
            assert!(Graph::new(4, [2, 1, 4, 6].as_ptr(), edges.as_ptr(), 4).is_err());
            assert!(Graph::new(4, index.as_ptr(), [1, 3, 0, 3, 0, 4].as_ptr(), 4).is_err());
            assert!(Graph::new(4, index.as_ptr(), edges.as_ptr(), 3).is_err());
        }
    }
}
