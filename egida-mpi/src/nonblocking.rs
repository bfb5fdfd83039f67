//! Non-blocking and persistent collectives, and those of neighbours: the entry points (MPI 5.0, sections 6.12, 6.13 and 8.6 to 8.8).
#![allow(clippy::too_many_arguments)] // the standard's

use std::ffi::{c_int, c_void};

use crate::comm;
use crate::errors::Outcome;
use crate::handle::{Integer, MPI_Comm, MPI_Datatype, MPI_Info, MPI_Op, MPI_Request};
use crate::plan::{self, collective, neighbor, reduction};

macro_rules! operations {
    ($($plan:path => $later:ident, $init:ident($($argument:ident: $kind:ty),* $(,)?);)*) => {$(
        /// The non-blocking form.
        pub unsafe fn $later($($argument: $kind,)* comm: MPI_Comm, request: *mut MPI_Request) -> Outcome {
            comm::on(comm, |comm| {
                // SAFETY: the caller's buffers and arrays are as the standard has them, and stay until the request is complete.
                unsafe { plan::later(comm, $plan($($argument,)* comm)?, request) }
            })
        }

        /// The persistent form.
        pub unsafe fn $init(
            $($argument: $kind,)*
            comm: MPI_Comm,
            _info: MPI_Info,
            request: *mut MPI_Request,
        ) -> Outcome {
            comm::on(comm, |comm| {
                // SAFETY: see above; the buffers stay from each start to its end.
                unsafe { plan::persistent(comm, $plan($($argument,)* comm)?, request) }
            })
        }
    )*};
}

macro_rules! blocking {
    ($($plan:path => $now:ident($($argument:ident: $kind:ty),* $(,)?);)*) => {$(
        /// The blocking form.
        #[allow(unused_unsafe)] // some of the plans look at arrays
        pub unsafe fn $now($($argument: $kind,)* comm: MPI_Comm) -> Outcome {
            comm::on(comm, |comm| {
                // SAFETY: the caller's buffers and arrays are as the standard has them.
                let build = unsafe { $plan($($argument,)* comm)? };
                plan::now(comm, &*build).map(drop)
            })
        }
    )*};
}

operations! {
    collective::barrier => ibarrier, barrier_init();
    collective::bcast => ibcast, bcast_init(
        buffer: *mut c_void, count: impl Integer, datatype: MPI_Datatype, root: c_int,
    );
    collective::gather => igather, gather_init(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcount: impl Integer, recvtype: MPI_Datatype, root: c_int,
    );
    collective::gatherv => igatherv, gatherv_init(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcounts: *const impl Integer, displs: *const impl Integer, recvtype: MPI_Datatype, root: c_int,
    );
    collective::scatter => iscatter, scatter_init(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcount: impl Integer, recvtype: MPI_Datatype, root: c_int,
    );
    collective::scatterv => iscatterv, scatterv_init(
        sendbuf: *const c_void, sendcounts: *const impl Integer, displs: *const impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcount: impl Integer, recvtype: MPI_Datatype, root: c_int,
    );
    collective::allgather => iallgather, allgather_init(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcount: impl Integer, recvtype: MPI_Datatype,
    );
    collective::allgatherv => iallgatherv, allgatherv_init(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcounts: *const impl Integer, displs: *const impl Integer, recvtype: MPI_Datatype,
    );
    collective::alltoall => ialltoall, alltoall_init(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcount: impl Integer, recvtype: MPI_Datatype,
    );
    collective::alltoallv => ialltoallv, alltoallv_init(
        sendbuf: *const c_void, sendcounts: *const impl Integer, sdispls: *const impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcounts: *const impl Integer, rdispls: *const impl Integer, recvtype: MPI_Datatype,
    );
    collective::alltoallw => ialltoallw, alltoallw_init(
        sendbuf: *const c_void, sendcounts: *const impl Integer, sdispls: *const impl Integer, sendtypes: *const MPI_Datatype,
        recvbuf: *mut c_void, recvcounts: *const impl Integer, rdispls: *const impl Integer, recvtypes: *const MPI_Datatype,
    );
    reduction::reduce => ireduce, reduce_init(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: impl Integer, datatype: MPI_Datatype, op: MPI_Op, root: c_int,
    );
    reduction::allreduce => iallreduce, allreduce_init(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: impl Integer, datatype: MPI_Datatype, op: MPI_Op,
    );
    reduction::scan => iscan, scan_init(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: impl Integer, datatype: MPI_Datatype, op: MPI_Op,
    );
    reduction::exscan => iexscan, exscan_init(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: impl Integer, datatype: MPI_Datatype, op: MPI_Op,
    );
    reduction::reduce_scatter => ireduce_scatter, reduce_scatter_init(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcounts: *const impl Integer, datatype: MPI_Datatype, op: MPI_Op,
    );
    reduction::reduce_scatter_block => ireduce_scatter_block, reduce_scatter_block_init(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcount: impl Integer, datatype: MPI_Datatype, op: MPI_Op,
    );
    neighbor::allgather => ineighbor_allgather, neighbor_allgather_init(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcount: impl Integer, recvtype: MPI_Datatype,
    );
    neighbor::allgatherv => ineighbor_allgatherv, neighbor_allgatherv_init(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcounts: *const impl Integer, displs: *const impl Integer, recvtype: MPI_Datatype,
    );
    neighbor::alltoall => ineighbor_alltoall, neighbor_alltoall_init(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcount: impl Integer, recvtype: MPI_Datatype,
    );
    neighbor::alltoallv => ineighbor_alltoallv, neighbor_alltoallv_init(
        sendbuf: *const c_void, sendcounts: *const impl Integer, sdispls: *const impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcounts: *const impl Integer, rdispls: *const impl Integer, recvtype: MPI_Datatype,
    );
    neighbor::alltoallw => ineighbor_alltoallw, neighbor_alltoallw_init(
        sendbuf: *const c_void, sendcounts: *const impl Integer, sdispls: *const impl Integer, sendtypes: *const MPI_Datatype,
        recvbuf: *mut c_void, recvcounts: *const impl Integer, rdispls: *const impl Integer, recvtypes: *const MPI_Datatype,
    );
}

blocking! {
    collective::alltoallw => alltoallw(
        sendbuf: *const c_void, sendcounts: *const impl Integer, sdispls: *const impl Integer, sendtypes: *const MPI_Datatype,
        recvbuf: *mut c_void, recvcounts: *const impl Integer, rdispls: *const impl Integer, recvtypes: *const MPI_Datatype,
    );
    neighbor::allgather => neighbor_allgather(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcount: impl Integer, recvtype: MPI_Datatype,
    );
    neighbor::allgatherv => neighbor_allgatherv(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcounts: *const impl Integer, displs: *const impl Integer, recvtype: MPI_Datatype,
    );
    neighbor::alltoall => neighbor_alltoall(
        sendbuf: *const c_void, sendcount: impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcount: impl Integer, recvtype: MPI_Datatype,
    );
    neighbor::alltoallv => neighbor_alltoallv(
        sendbuf: *const c_void, sendcounts: *const impl Integer, sdispls: *const impl Integer, sendtype: MPI_Datatype,
        recvbuf: *mut c_void, recvcounts: *const impl Integer, rdispls: *const impl Integer, recvtype: MPI_Datatype,
    );
    neighbor::alltoallw => neighbor_alltoallw(
        sendbuf: *const c_void, sendcounts: *const impl Integer, sdispls: *const impl Integer, sendtypes: *const MPI_Datatype,
        recvbuf: *mut c_void, recvcounts: *const impl Integer, rdispls: *const impl Integer, recvtypes: *const MPI_Datatype,
    );
}
