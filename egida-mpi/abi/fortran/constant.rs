//! The constants as Fortran has them.

use super::super::table::Constant;
use super::kind::HANDLES;

/// A constant with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// `MPI_COMM_WORLD`.
    pub name: String,
    /// What it is.
    pub of: Type,
    /// Its value; of a handle, that of the INTEGER.
    pub value: i64,
}

/// The type of a constant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// INTEGER
    Integer,
    /// INTEGER(KIND=MPI_OFFSET_KIND)
    Offset,
    /// A handle of that C type.
    Handle(String),
}

/// The kinds of integers, which all other declarations need.
pub const KINDS: [(&str, u8); 4] =
    [("MPI_ADDRESS_KIND", 8), ("MPI_OFFSET_KIND", 8), ("MPI_COUNT_KIND", 8), ("MPI_INTEGER_KIND", 4)];

/// What is false: buffers are addresses of contiguous memory, and a compiler that moves accesses across calls is not told.
pub const UNSUPPORTED: [&str; 2] = ["MPI_SUBARRAYS_SUPPORTED", "MPI_ASYNC_PROTECTS_NONBLOCKING"];

/// Combiners of MPI-1's constructors, which programs compare with: no datatype has them, since these constructors give the
/// types of their successors.
const REMOVED: [(&str, i64); 3] = [
    ("MPI_COMBINER_HVECTOR_INTEGER", -1),
    ("MPI_COMBINER_HINDEXED_INTEGER", -2),
    ("MPI_COMBINER_STRUCT_INTEGER", -3),
];

/// The constants that stand for an address, in the order of their block, with their dimensions. `src/fortran/sentinel.rs`
/// knows the places.
pub const ADDRESSES: [(&str, &str); 9] = [
    ("MPI_BOTTOM", ""),
    ("MPI_IN_PLACE", ""),
    ("MPI_BUFFER_AUTOMATIC", ""),
    ("MPI_UNWEIGHTED", "(1)"),
    ("MPI_WEIGHTS_EMPTY", "(1)"),
    ("MPI_ERRCODES_IGNORE", "(1)"),
    ("EGIDA_MPI_UNUSED", "(2)"),
    ("MPI_STATUS_IGNORE", ""),
    ("MPI_STATUSES_IGNORE", ""),
];

/// The block of [`ADDRESSES`], which is the symbol `egida_mpi_addresses_`.
pub const BLOCK: &str = "egida_mpi_addresses";

/// The functions of keys that the standard has ready, with their interfaces in `mpi_f08`, which lacks the older ones.
pub const KEY_FUNCTIONS: [(&str, &str); 12] = [
    ("MPI_NULL_COPY_FN", ""),
    ("MPI_DUP_FN", ""),
    ("MPI_NULL_DELETE_FN", ""),
    ("MPI_COMM_NULL_COPY_FN", "MPI_Comm_copy_attr_function"),
    ("MPI_COMM_DUP_FN", "MPI_Comm_copy_attr_function"),
    ("MPI_COMM_NULL_DELETE_FN", "MPI_Comm_delete_attr_function"),
    ("MPI_TYPE_NULL_COPY_FN", "MPI_Type_copy_attr_function"),
    ("MPI_TYPE_DUP_FN", "MPI_Type_copy_attr_function"),
    ("MPI_TYPE_NULL_DELETE_FN", "MPI_Type_delete_attr_function"),
    ("MPI_WIN_NULL_COPY_FN", "MPI_Win_copy_attr_function"),
    ("MPI_WIN_DUP_FN", "MPI_Win_copy_attr_function"),
    ("MPI_WIN_NULL_DELETE_FN", "MPI_Win_delete_attr_function"),
];

/// The constants of the table that Fortran has.
///
/// # Errors
/// The value that is none.
pub fn all(table: &[Constant]) -> Result<Vec<Named>, String> {
    let mut named = Vec::new();
    for constant in table {
        let source = match constant.kind.as_str() {
            "alias" => table.iter().find(|other| other.name == constant.value),
            _ => Some(constant),
        };
        let source = source.ok_or_else(|| format!("{} is an alias of nothing", constant.name))?;
        let of = match source.kind.as_str() {
            "int" if source.name.starts_with("MPI_T_") => continue,
            "int" => Type::Integer,
            "MPI_Offset" => Type::Offset,
            handle if HANDLES.contains(&handle) => Type::Handle(handle.to_owned()),
            _ => continue,
        };
        let value = number(&source.value)?;
        let (name, value) = match constant.name.as_str() {
            "MPI_F_STATUS_SIZE" => ("MPI_STATUS_SIZE", value),
            // Places in a status count from 1.
            "MPI_F_SOURCE" => ("MPI_SOURCE", value + 1),
            "MPI_F_TAG" => ("MPI_TAG", value + 1),
            "MPI_F_ERROR" => ("MPI_ERROR", value + 1),
            // There is no closing zero.
            text if text.starts_with("MPI_MAX_") => (text, value - 1),
            name => (name, value),
        };
        named.push(Named { name: name.to_owned(), of, value });
    }
    let removed = REMOVED.map(|(name, value)| Named { name: name.to_owned(), of: Type::Integer, value });
    named.extend(removed);
    Ok(named)
}

fn number(text: &str) -> Result<i64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| format!("`{text}`: {error}"))
}
