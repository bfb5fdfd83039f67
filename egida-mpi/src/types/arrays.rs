//! Datatypes of parts of arrays: the entry points (MPI 5.0, sections 5.1.3 and 5.1.4).
#![allow(clippy::too_many_arguments)] // the standard's

use std::ffi::c_int;

use super::{get, hand_out, wide};
use crate::constants::*;
use crate::datatype::{Datatype, Deal, Order, Origin, Share, Span};
use crate::errors::{Failure, Outcome};
use crate::group::array;
use crate::handle::{Integer, MPI_Datatype};

fn order_of(order: c_int) -> Outcome<Order> {
    match order {
        MPI_ORDER_C => Ok(Order::C),
        MPI_ORDER_FORTRAN => Ok(Order::Fortran),
        other => Err(Failure::new(MPI_ERR_ARG, format!("order {other}"))),
    }
}

/// `MPI_Type_create_subarray`
pub unsafe fn create_subarray<N: Integer>(
    ndims: c_int,
    sizes: *const N,
    subsizes: *const N,
    starts: *const N,
    order: c_int,
    oldtype: MPI_Datatype,
    newtype: *mut MPI_Datatype,
) -> Outcome {
    // SAFETY: the caller gives so many of each, and room for a handle.
    unsafe {
        let (sizes, subsizes, starts) = (wide(sizes, ndims)?, wide(subsizes, ndims)?, wide(starts, ndims)?);
        let spans = sizes.iter().zip(&subsizes).zip(&starts);
        let spans: Vec<Span> =
            spans.map(|((&size, &subsize), &start)| Span { size, subsize, start }).collect();
        let old = get(oldtype)?;
        let datatype = Datatype::subarray(&spans, order_of(order)?, &old)?;
        let origin = Origin::new(MPI_COMBINER_SUBARRAY)
            .integers([i64::from(ndims)])
            .counts(N::LARGE, sizes.into_iter().chain(subsizes).chain(starts))
            .integers([i64::from(order)])
            .of([&old]);
        hand_out(datatype.made_by(origin), newtype)
    }
}

/// `MPI_Type_create_darray`
pub unsafe fn create_darray<N: Integer>(
    size: c_int,
    rank: c_int,
    ndims: c_int,
    gsizes: *const N,
    distribs: *const c_int,
    dargs: *const c_int,
    psizes: *const c_int,
    order: c_int,
    oldtype: MPI_Datatype,
    newtype: *mut MPI_Datatype,
) -> Outcome {
    // SAFETY: the caller gives so many of each, and room for a handle.
    unsafe {
        let gsizes = wide(gsizes, ndims)?;
        let (distribs, dargs, psizes) =
            (array(distribs, ndims)?, array(dargs, ndims)?, array(psizes, ndims)?);
        let mut shares = Vec::with_capacity(gsizes.len());
        for (at, &global) in gsizes.iter().enumerate() {
            let given = (dargs[at] != MPI_DISTRIBUTE_DFLT_DARG).then(|| i64::from(dargs[at]));
            let deal = match distribs[at] {
                MPI_DISTRIBUTE_NONE => Deal::None,
                MPI_DISTRIBUTE_BLOCK => Deal::Block(given),
                MPI_DISTRIBUTE_CYCLIC => Deal::Cyclic(given.unwrap_or(1)),
                other => return Err(Failure::new(MPI_ERR_ARG, format!("distribution {other}"))),
            };
            shares.push(Share { size: global, processes: i64::from(psizes[at]), deal });
        }
        let processes = psizes.iter().try_fold(1 as c_int, |all, &dim| all.checked_mul(dim));
        if processes != Some(size) || !(0..size).contains(&rank) {
            return Err(Failure::new(MPI_ERR_ARG, format!("rank {rank} of {size} in a grid of {psizes:?}")));
        }
        let old = get(oldtype)?;
        let datatype = Datatype::darray(&shares, i64::from(rank), order_of(order)?, &old)?;
        let widened = |values: &[c_int]| values.iter().map(|&value| i64::from(value)).collect::<Vec<_>>();
        let origin = Origin::new(MPI_COMBINER_DARRAY)
            .integers([i64::from(size), i64::from(rank), i64::from(ndims)])
            .counts(N::LARGE, gsizes)
            .integers([widened(distribs), widened(dargs), widened(psizes), vec![i64::from(order)]].concat())
            .of([&old]);
        hand_out(datatype.made_by(origin), newtype)
    }
}
