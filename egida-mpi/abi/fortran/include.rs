//! `mpif.h`: declarations that are good in fixed and in free form, so each on a line between the columns 7 and 72.

use super::super::table::Constant;
use super::constant::{self, ADDRESSES, BLOCK, KEY_FUNCTIONS, KINDS, Named, Type, UNSUPPORTED};

/// The whole file.
///
/// # Errors
/// The constant whose value is none.
pub fn mpif_h(constants: &[Constant]) -> Result<String, String> {
    let mut out = String::from(
        "! MPI 5.0 for Fortran. Written from abi/constants.csv; do not edit.\n\
         ! The modules mpi and mpi_f08 check arguments; this file cannot.\n\n",
    );
    let mut line = |text: String| out.push_str(&format!("      {text}\n"));
    for (name, kind) in KINDS {
        line(format!("integer {name}"));
        line(format!("parameter ({name}={kind})"));
    }
    for name in UNSUPPORTED {
        line(format!("logical {name}"));
        line(format!("parameter ({name}=.false.)"));
    }
    for Named { name, of, value } in constant::all(constants)? {
        match of {
            Type::Offset => line(format!("integer(kind=MPI_OFFSET_KIND) {name}")),
            Type::Integer | Type::Handle(_) => line(format!("integer {name}")),
        }
        line(format!("parameter ({name}={value})"));
    }
    for (name, dimensions) in ADDRESSES {
        let dimensions = match name {
            "MPI_STATUS_IGNORE" => "(MPI_STATUS_SIZE)",
            "MPI_STATUSES_IGNORE" => "(MPI_STATUS_SIZE,1)",
            _ => dimensions,
        };
        line(format!("integer {name}{dimensions}"));
        line(format!("common /{BLOCK}/ {name}"));
    }
    line(format!("save /{BLOCK}/"));
    line("character*1 MPI_ARGV_NULL(1), MPI_ARGVS_NULL(1,1)".to_owned());
    line("common /egida_mpi_texts/ MPI_ARGV_NULL, MPI_ARGVS_NULL".to_owned());
    line("save /egida_mpi_texts/".to_owned());
    for (name, _) in KEY_FUNCTIONS {
        line(format!("external {name}"));
    }
    for prefix in ["", "P"] {
        for name in ["MPI_WTIME", "MPI_WTICK"] {
            line(format!("real(kind=8) {prefix}{name}"));
            line(format!("external {prefix}{name}"));
        }
        for name in ["MPI_AINT_ADD", "MPI_AINT_DIFF"] {
            line(format!("integer(kind=MPI_ADDRESS_KIND) {prefix}{name}"));
            line(format!("external {prefix}{name}"));
        }
    }
    Ok(out)
}
