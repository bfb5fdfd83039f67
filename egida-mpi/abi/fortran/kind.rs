//! What a C parameter is in Fortran.

use super::super::table::{Function, Parameter};

/// A parameter of a C function, as its Fortran counterpart is to be treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A number that C takes by value.
    Value(Number),
    /// Numbers behind a pointer: the same in both languages.
    Numbers {
        /// Which.
        number: Number,
        /// Whether they are only read.
        constant: bool,
        /// The dimensions, 0 for an open one; none for a single number.
        dimensions: Vec<usize>,
    },
    /// An index of an array, or `MPI_UNDEFINED`: it counts from 1 in Fortran.
    Index,
    /// As many indices as the parameter `outcount` says.
    Indices,
    /// A handle that C takes by value.
    Handle(String),
    /// A handle behind a pointer.
    HandlePointer(String),
    /// An array of handles.
    Handles {
        /// Their C type.
        handle: String,
        /// Whether they are only read.
        constant: bool,
    },
    /// One status.
    Status {
        /// Whether it is only read.
        constant: bool,
    },
    /// An array of statuses.
    Statuses,
    /// Memory of any type, or one of the constants that stand for an address.
    Choice {
        /// Whether it is only read.
        constant: bool,
    },
    /// Where C is given the address of memory: an address in Fortran too.
    BasePointer,
    /// An attribute's value or a callback's extra state: an integer as wide as an address.
    Address,
    /// A text that is read: blank padded in Fortran, and its length a parameter of its own behind all others.
    TextIn,
    /// A text that is written.
    TextOut,
    /// An array of texts, or one of arrays of texts.
    Texts {
        /// How many dimensions.
        rank: usize,
    },
    /// A function of the program.
    Procedure(String),
}

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// `int`
    Integer,
    /// `int` as a truth value. A Fortran LOGICAL of gfortran is 0 or 1, as C's: the library need not tell them apart.
    Logical,
    /// `MPI_Aint`
    Address,
    /// `MPI_Count`
    Count,
    /// `MPI_Offset`
    Offset,
}

impl Number {
    fn of(base: &str, name: &str) -> Option<Self> {
        Some(match base {
            "int" if LOGICAL.contains(&name) => Self::Logical,
            "int" => Self::Integer,
            "MPI_Aint" => Self::Address,
            "MPI_Count" => Self::Count,
            "MPI_Offset" => Self::Offset,
            _ => return None,
        })
    }

    /// The Rust type.
    #[must_use]
    pub fn rust(self) -> &'static str {
        match self {
            Self::Integer | Self::Logical => "c_int",
            Self::Address => "isize",
            Self::Count | Self::Offset => "i64",
        }
    }

    /// The Fortran type.
    #[must_use]
    pub fn fortran(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Logical => "logical",
            Self::Address => "integer(kind=MPI_ADDRESS_KIND)",
            Self::Count => "integer(kind=MPI_COUNT_KIND)",
            Self::Offset => "integer(kind=MPI_OFFSET_KIND)",
        }
    }
}

/// The names of the `int` parameters that are truth values.
const LOGICAL: &[&str] =
    &["commute", "flag", "high", "is_set", "periods", "remain_dims", "reorder", "weighted"];

/// The types of handles.
pub const HANDLES: &[&str] = &[
    "MPI_Comm",
    "MPI_Datatype",
    "MPI_Errhandler",
    "MPI_File",
    "MPI_Group",
    "MPI_Info",
    "MPI_Message",
    "MPI_Op",
    "MPI_Request",
    "MPI_Session",
    "MPI_Win",
];

/// What that parameter is.
///
/// # Errors
/// A declaration that has no counterpart.
pub fn of(function: &Function, parameter: &Parameter) -> Result<Kind, String> {
    let unknown = || format!("{}: no Fortran for {parameter:?}", function.name);
    let Parameter::Named { constant, base, stars, name, dimensions, .. } = parameter else {
        return Err(unknown());
    };
    let constant = *constant;
    let depth = stars + dimensions.len();
    if HANDLES.contains(&base.as_str()) {
        let handle = base.clone();
        return match (depth, dimensions.len()) {
            (0, _) => Ok(Kind::Handle(handle)),
            (1, 0) => Ok(Kind::HandlePointer(handle)),
            (1, 1) => Ok(Kind::Handles { handle, constant }),
            _ => Err(unknown()),
        };
    }
    if let Some(number) = Number::of(base, name) {
        return match (depth, name.as_str()) {
            (0, _) => Ok(Kind::Value(number)),
            (1, "indx") if dimensions.is_empty() => Ok(Kind::Index),
            (1, "array_of_indices") => Ok(Kind::Indices),
            _ if *stars > 1 => Err(unknown()),
            _ => Ok(Kind::Numbers { number, constant, dimensions: dimensions.clone() }),
        };
    }
    match (base.as_str(), depth, name.as_str()) {
        ("MPI_Status", 1, "array_of_statuses") => Ok(Kind::Statuses),
        ("MPI_Status", 1, _) => Ok(Kind::Status { constant }),
        ("void", 1, "baseptr" | "buffer_addr") => Ok(Kind::BasePointer),
        ("void", 1, "attribute_val" | "extra_state") => Ok(Kind::Address),
        ("void", 1, _) => Ok(Kind::Choice { constant }),
        ("char", 1, _) if constant => Ok(Kind::TextIn),
        ("char", 1, _) => Ok(Kind::TextOut),
        ("char", 2 | 3, _) => Ok(Kind::Texts { rank: depth - 1 }),
        (base, ..) if is_function(base) => Ok(Kind::Procedure(base.to_owned())),
        _ => Err(unknown()),
    }
}

/// Whether the table's type is that of a function of the program.
#[must_use]
pub fn is_function(base: &str) -> bool {
    base.ends_with("_function") || base.ends_with("_function_c")
}

/// The parameters that have a name, with what they are.
///
/// # Errors
/// As [`of`].
pub fn all(function: &Function) -> Result<Vec<(&str, Kind)>, String> {
    function
        .parameters
        .iter()
        .filter_map(|parameter| match parameter {
            Parameter::Named { name, .. } => Some(of(function, parameter).map(|kind| (name.as_str(), kind))),
            Parameter::Variadic => None,
        })
        .collect()
}
