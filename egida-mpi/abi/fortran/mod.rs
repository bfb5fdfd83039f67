//! The Fortran side of the tables.
//!
//! ```text
//!   functions.csv ─┬─> fortran.rs            the symbols mpi_x_ and pmpi_x_, which call PMPI_X      (symbols.rs)
//!                  ├─> mpi.f90, mpi_f08.f90  the modules: the same symbols with interfaces         (module.rs)
//!   constants.csv ─┴─> mpif.h                                                                      (include.rs)
//! ```
//!
//! A parameter's C declaration tells how it stands in Fortran ([`kind::Kind`]). What cannot be told from it is written by
//! hand in `src/fortran`; [`BY_HAND`] names it.

pub mod constant;
pub mod include;
pub mod kind;
pub mod module;
pub mod symbols;

use super::table::Function;

/// Functions whose Fortran symbol is written by hand, in `src/fortran`.
const BY_HAND: &[&str] = &[
    // Parameters that Fortran does not have, or that it alone has.
    "MPI_Init",
    "MPI_Init_thread",
    "MPI_Info_create_env",
    "MPI_Pcontrol",
    // Values that are addresses in C and integers in Fortran, in one of two widths.
    "MPI_Attr_get",
    "MPI_Attr_put",
    "MPI_Comm_get_attr",
    "MPI_Comm_set_attr",
    "MPI_Type_get_attr",
    "MPI_Type_set_attr",
    "MPI_Win_get_attr",
    "MPI_Win_set_attr",
    // Functions of the program that are called with values in C and with references in Fortran.
    "MPI_Keyval_create",
    "MPI_Comm_create_keyval",
    "MPI_Type_create_keyval",
    "MPI_Win_create_keyval",
    "MPI_Grequest_start",
    // Lengths that count the closing zero in C alone, and texts that stay as they are where there is nothing to tell.
    "MPI_Info_get",
    "MPI_Info_get_string",
    "MPI_Session_get_nth_pset",
    // An address that the older bindings leave out.
    "MPI_Buffer_detach",
    "MPI_Buffer_detach_c",
    "MPI_Comm_detach_buffer",
    "MPI_Comm_detach_buffer_c",
    "MPI_Session_detach_buffer",
    "MPI_Session_detach_buffer_c",
];

/// Functions that are refused in Fortran, and whose arguments therefore need no conversion.
const REFUSED: &[&str] =
    &["MPI_Comm_spawn", "MPI_Comm_spawn_multiple", "MPI_Register_datarep", "MPI_Register_datarep_c"];

/// Functions of MPI-1 that later versions removed. Fortran programs still call them, with INTEGERs where C has addresses:
/// `src/fortran/removed.rs`. They are in no module.
const REMOVED: &[&str] = &[
    "MPI_Address",
    "MPI_Errhandler_create",
    "MPI_Errhandler_get",
    "MPI_Errhandler_set",
    "MPI_Type_extent",
    "MPI_Type_hindexed",
    "MPI_Type_hvector",
    "MPI_Type_lb",
    "MPI_Type_struct",
    "MPI_Type_ub",
];

/// How a function gets its Fortran symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Written from the table.
    Generated,
    /// Written by hand.
    ByHand,
    /// A refusal by name.
    Refused,
    /// The standard has none, or none any more.
    None,
}

/// How that function gets its Fortran symbol.
#[must_use]
pub fn binding(function: &Function) -> Binding {
    let name = function.name.as_str();
    let of_c_alone = name.starts_with("MPI_T_") || name.ends_with("_toint") || name.ends_with("_fromint");
    if of_c_alone || REMOVED.contains(&name) {
        Binding::None
    } else if BY_HAND.contains(&name) {
        Binding::ByHand
    } else if REFUSED.contains(&name) {
        Binding::Refused
    } else {
        Binding::Generated
    }
}
