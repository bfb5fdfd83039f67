//! How to divide processes among the dimensions of a grid.

use std::ffi::c_int;

use crate::constants::*;
use crate::errors::{Failure, Outcome};

/// `MPI_Dims_create`: dimensions that are 0 are filled in, as close to each other as can be, in non-increasing order.
pub unsafe fn dims_create(nnodes: c_int, ndims: c_int, dims: *mut c_int) -> Outcome {
    let count =
        usize::try_from(ndims).map_err(|_| Failure::new(MPI_ERR_DIMS, format!("{ndims} dimensions")))?;
    if count == 0 {
        return Ok(());
    }
    if dims.is_null() {
        return Err(Failure::new(MPI_ERR_ARG, "the dimensions are a null pointer"));
    }
    // SAFETY: the caller gives so many dimensions.
    let dims = unsafe { std::slice::from_raw_parts_mut(dims, count) };
    let nodes = u64::try_from(nnodes).ok().filter(|nodes| *nodes > 0);
    let nodes = nodes.ok_or_else(|| Failure::new(MPI_ERR_ARG, format!("{nnodes} nodes")))?;
    let mut given = 1u64;
    for &mut dim in dims.iter_mut() {
        let dim = u64::try_from(dim).map_err(|_| Failure::new(MPI_ERR_DIMS, format!("dimension {dim}")))?;
        given = given.saturating_mul(dim.max(1));
    }
    let open = dims.iter().filter(|dim| **dim == 0).count();
    if nodes % given != 0 || (open == 0 && nodes != given) {
        return Err(Failure::new(MPI_ERR_DIMS, format!("{nnodes} nodes are not to be divided so")));
    }
    let mut balanced = balanced(nodes / given, open).into_iter();
    for dim in dims.iter_mut().filter(|dim| **dim == 0) {
        *dim = balanced.next().map_or(1, |dim| dim as c_int);
    }
    Ok(())
}

/// The factorization into so many factors, in non-increasing order, whose largest is smallest; of these the one whose second is
/// smallest, and so on.
fn balanced(nodes: u64, factors: usize) -> Vec<u64> {
    if factors <= 1 {
        return vec![nodes; factors];
    }
    let divisors: Vec<u64> = (1..=nodes.isqrt())
        .filter(|divisor| nodes.is_multiple_of(*divisor))
        .flat_map(|divisor| [divisor, nodes / divisor])
        .collect();
    let mut sorted = divisors;
    sorted.sort_unstable();
    sorted.dedup();
    for largest in sorted.iter().copied().filter(|&largest| root_at_most(nodes, factors, largest)) {
        if let Some(rest) = bounded(nodes / largest, factors - 1, largest, &sorted) {
            return std::iter::once(largest).chain(rest).collect();
        }
    }
    vec![nodes]
}

/// As [`balanced`], with no factor above `limit`.
fn bounded(nodes: u64, factors: usize, limit: u64, divisors: &[u64]) -> Option<Vec<u64>> {
    if factors == 1 {
        return (nodes <= limit).then(|| vec![nodes]);
    }
    let fitting = divisors.iter().copied().take_while(|&divisor| divisor <= limit);
    for largest in
        fitting.filter(|&divisor| nodes.is_multiple_of(divisor) && root_at_most(nodes, factors, divisor))
    {
        if let Some(rest) = bounded(nodes / largest, factors - 1, largest, divisors) {
            return Some(std::iter::once(largest).chain(rest).collect());
        }
    }
    None
}

/// Whether so many factors of at most `largest` can make up `nodes`.
fn root_at_most(nodes: u64, factors: usize, largest: u64) -> bool {
    let exponent = u32::try_from(factors).unwrap_or(u32::MAX);
    largest.checked_pow(exponent).is_none_or(|most| most >= nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_close_to_each_other() {
        assert_eq!(balanced(12, 2), [4, 3]);
        assert_eq!(balanced(6, 3), [3, 2, 1]);
        assert_eq!(balanced(64, 3), [4, 4, 4]);
        assert_eq!(balanced(26, 3), [13, 2, 1]);
        assert_eq!(balanced(11025, 3), [25, 21, 21]);
        assert_eq!(balanced(7, 2), [7, 1]);
        assert_eq!(balanced(1, 4), [1, 1, 1, 1]);
    }
}
