//! The library's one table of names: what the standard's ABI declares, and what this library does for each.
//!
//! ```text
//!   functions.csv ─┬─> include/mpi.h     prototypes of MPI_X and PMPI_X          (header.rs)
//!                  └─> exports.rs        the symbols: a call of the named Rust
//!                                        function, or a refusal by name          (exports.rs)
//!   constants.csv ─┬─> include/mpi.h
//!                  └─> constants.rs
//! ```
//!
//! The build script writes the Rust side; a test holds `include/mpi.h` to what [`header::mpi_h`] writes, so that names,
//! prototypes and implementations cannot drift apart.

pub mod exports;
pub mod fortran;
pub mod header;
pub mod table;
