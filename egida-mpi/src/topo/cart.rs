//! Grids (MPI 5.0, section 8.5).

use std::ffi::c_int;

use super::{Neighbors, Topology, write_all};
use crate::comm::{self, Communicator};
use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::group::array;
use crate::handle::MPI_Comm;

/// A grid, in which ranks go row by row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cart {
    dims: Vec<Dimension>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dimension {
    size: usize,
    periodic: bool,
}

impl Cart {
    unsafe fn new(ndims: c_int, dims: *const c_int, periods: *const c_int) -> Outcome<Self> {
        // SAFETY: the caller gives so many of both.
        let (dims, periods) = unsafe { (array(dims, ndims)?, array(periods, ndims)?) };
        let dimension = |(&size, &periodic): (&c_int, &c_int)| match usize::try_from(size) {
            Ok(size) if size > 0 => Ok(Dimension { size, periodic: periodic != 0 }),
            _ => Err(Failure::new(MPI_ERR_DIMS, format!("a dimension of {size}"))),
        };
        Ok(Self { dims: dims.iter().zip(periods).map(dimension).collect::<Outcome<_>>()? })
    }

    /// How many processes it has, if so many fit into a communicator of `limit`.
    fn size(&self, limit: usize) -> Outcome<usize> {
        let size = self.dims.iter().try_fold(1usize, |size, dim| size.checked_mul(dim.size));
        let fitting = size.filter(|&size| size <= limit);
        fitting.ok_or_else(|| Failure::new(MPI_ERR_DIMS, format!("a grid of more than {limit} processes")))
    }

    fn coords(&self, mut rank: usize) -> Vec<c_int> {
        let mut coords: Vec<c_int> = Vec::with_capacity(self.dims.len());
        for dim in self.dims.iter().rev() {
            coords.push((rank % dim.size) as c_int);
            rank /= dim.size;
        }
        coords.reverse();
        coords
    }

    /// The rank at coordinates, which go round in periodic dimensions; `None` outside.
    fn rank(&self, coords: &[c_int]) -> Option<usize> {
        self.dims.iter().zip(coords).try_fold(0, |rank, (dim, &at)| {
            let size = dim.size as i64;
            let at = if dim.periodic { i64::from(at).rem_euclid(size) } else { i64::from(at) };
            (0..size).contains(&at).then(|| rank * dim.size + at as usize)
        })
    }

    fn shifted(&self, rank: usize, dimension: usize, by: c_int) -> Option<usize> {
        let mut coords = self.coords(rank);
        let dim = self.dims[dimension];
        let to = i64::from(coords[dimension]) + i64::from(by);
        let to = if dim.periodic { to.rem_euclid(dim.size as i64) } else { to };
        coords[dimension] = c_int::try_from(to).ok()?;
        self.rank(&coords)
    }

    /// In each dimension the process below and the one above. What is sent down arrives from above: where both are one process,
    /// that comes first.
    pub fn neighbors(&self, rank: usize) -> Neighbors {
        let both = |dimension| [self.shifted(rank, dimension, -1), self.shifted(rank, dimension, 1)];
        let around: Vec<_> = (0..self.dims.len()).flat_map(both).collect();
        let matched = (0..self.dims.len()).flat_map(|dimension| [2 * dimension + 1, 2 * dimension]).collect();
        Neighbors { sources: around.clone(), destinations: around, matched }
    }

    fn kept(&self, remain: &[c_int]) -> Self {
        let kept = self.dims.iter().zip(remain).filter(|(_, remains)| **remains != 0);
        Self { dims: kept.map(|(dim, _)| *dim).collect() }
    }
}

fn cart(comm: &Communicator) -> Outcome<&Cart> {
    match &comm.topology {
        Some(Topology::Cart(cart)) => Ok(cart),
        _ => Err(Failure::new(MPI_ERR_TOPOLOGY, "the communicator is not a grid")),
    }
}

/// `MPI_Cart_create`
pub unsafe fn cart_create(
    comm_old: MPI_Comm,
    ndims: c_int,
    dims: *const c_int,
    periods: *const c_int,
    _reorder: c_int,
    comm_cart: *mut MPI_Comm,
) -> Outcome {
    if comm_cart.is_null() {
        return Err(crate::status::null("the new communicator"));
    }
    // SAFETY: the caller gives room for a handle.
    unsafe { comm_cart.write(MPI_COMM_NULL) };
    comm::on_intra(comm_old, |old| {
        // SAFETY: the caller gives so many dimensions; so in the next ones.
        let cart = unsafe { Cart::new(ndims, dims, periods)? };
        let size = cart.size(old.size() as usize)?;
        let inside = (old.rank as usize) < size;
        comm::with_topology(old, inside.then_some(Topology::Cart(cart)), comm_cart)
    })
}

/// `MPI_Cart_map`: in a grid with a dimension of 0 nobody has a place.
pub unsafe fn cart_map(
    comm: MPI_Comm,
    ndims: c_int,
    dims: *const c_int,
    periods: *const c_int,
    newrank: *mut c_int,
) -> Outcome {
    comm::on_intra(comm, |comm| {
        // SAFETY: see `cart_create`; and room for a rank.
        unsafe {
            let size = match array(dims, ndims)?.contains(&0) {
                true => 0,
                false => Cart::new(ndims, dims, periods)?.size(comm.size() as usize)?,
            };
            let rank = comm.rank as usize;
            newrank.write(if rank < size { rank as c_int } else { MPI_UNDEFINED });
        }
        Ok(())
    })
}

/// `MPI_Cart_sub`
pub unsafe fn cart_sub(comm: MPI_Comm, remain_dims: *const c_int, newcomm: *mut MPI_Comm) -> Outcome {
    comm::on(comm, |comm| {
        let cart = cart(comm)?;
        // SAFETY: the caller gives a flag for each dimension.
        let remain = unsafe { array(remain_dims, cart.dims.len() as c_int)? };
        // The color are the coordinates in the dimensions that go, the key those in the dimensions that stay.
        let (mut color, mut key) = (0, 0);
        for ((dim, at), remains) in cart.dims.iter().zip(cart.coords(comm.rank as usize)).zip(remain) {
            let number = if *remains != 0 { &mut key } else { &mut color };
            *number = *number * dim.size as c_int + at;
        }
        comm::split_with_topology(comm, (color, key), Topology::Cart(cart.kept(remain)), newcomm)
    })
}

/// `MPI_Cartdim_get`
pub unsafe fn cartdim_get(comm: MPI_Comm, ndims: *mut c_int) -> Outcome {
    comm::on(comm, |comm| {
        // SAFETY: the caller gives room for an integer.
        unsafe { ndims.write(cart(comm)?.dims.len() as c_int) };
        Ok(())
    })
}

/// `MPI_Cart_get`
pub unsafe fn cart_get(
    comm: MPI_Comm,
    maxdims: c_int,
    dims: *mut c_int,
    periods: *mut c_int,
    coords: *mut c_int,
) -> Outcome {
    comm::on(comm, |comm| {
        let cart = cart(comm)?;
        // SAFETY: the caller gives room for so many of each.
        unsafe {
            write_all(cart.dims.iter().map(|dim| dim.size as c_int), maxdims, dims);
            write_all(cart.dims.iter().map(|dim| c_int::from(dim.periodic)), maxdims, periods);
            write_all(cart.coords(comm.rank as usize), maxdims, coords);
        }
        Ok(())
    })
}

/// `MPI_Cart_rank`
pub unsafe fn cart_rank(comm: MPI_Comm, coords: *const c_int, rank: *mut c_int) -> Outcome {
    comm::on(comm, |comm| {
        let cart = cart(comm)?;
        // SAFETY: the caller gives a coordinate for each dimension, and room for a rank.
        unsafe {
            let coords = array(coords, cart.dims.len() as c_int)?;
            let found = cart.rank(coords);
            let found = found.ok_or_else(|| Failure::new(MPI_ERR_ARG, format!("coordinates {coords:?}")))?;
            rank.write(found as c_int);
        }
        Ok(())
    })
}

/// `MPI_Cart_coords`
pub unsafe fn cart_coords(comm: MPI_Comm, rank: c_int, maxdims: c_int, coords: *mut c_int) -> Outcome {
    comm::on(comm, |comm| {
        let cart = cart(comm)?;
        let known = usize::try_from(rank).ok().filter(|&rank| rank < comm.size() as usize);
        let known = known.ok_or_else(|| Failure::new(MPI_ERR_RANK, format!("rank {rank}")))?;
        // SAFETY: the caller gives room for so many coordinates.
        unsafe { write_all(cart.coords(known), maxdims, coords) };
        Ok(())
    })
}

/// `MPI_Cart_shift`
pub unsafe fn cart_shift(
    comm: MPI_Comm,
    direction: c_int,
    disp: c_int,
    rank_source: *mut c_int,
    rank_dest: *mut c_int,
) -> Outcome {
    comm::on(comm, |comm| {
        let cart = cart(comm)?;
        let dimension = usize::try_from(direction).ok().filter(|&dimension| dimension < cart.dims.len());
        let dimension =
            dimension.ok_or_else(|| Failure::new(MPI_ERR_ARG, format!("direction {direction}")))?;
        let rank = |by| cart.shifted(comm.rank as usize, dimension, by);
        let named = |rank: Option<usize>| rank.map_or(MPI_PROC_NULL, |rank| rank as c_int);
        // SAFETY: the caller gives room for two ranks.
        unsafe {
            rank_source.write(named(rank(disp.wrapping_neg())));
            rank_dest.write(named(rank(disp)));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(dims: &[(usize, bool)]) -> Cart {
        Cart { dims: dims.iter().map(|&(size, periodic)| Dimension { size, periodic }).collect() }
    }

    #[test]
    fn ranks_go_row_by_row() {
        let cart = grid(&[(2, false), (3, true)]);
        assert_eq!(cart.coords(5), [1, 2]);
        assert_eq!(cart.rank(&[1, 2]), Some(5));
        assert_eq!(cart.rank(&[1, -1]), Some(5));
        assert_eq!(cart.rank(&[2, 0]), None);
        assert_eq!(cart.shifted(5, 1, 1), Some(3));
        assert_eq!(cart.shifted(5, 0, 1), None);
        assert_eq!(grid(&[]).rank(&[]), Some(0));
    }

    #[test]
    fn what_is_sent_down_arrives_from_above() {
        let neighbors = grid(&[(2, true)]).neighbors(0);
        assert_eq!(neighbors.sources, [Some(1), Some(1)]);
        assert_eq!(neighbors.matched, [1, 0]);
    }
}
