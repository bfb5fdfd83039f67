//! The modules `mpi` and `mpi_f08`: the symbols of the library with explicit interfaces.
//!
//! The two differ in handles, which are INTEGERs in the one and derived types of one INTEGER in the other, and in `ierror`,
//! which is optional in the second: its absence is a null pointer. So both mean the same symbols.
//!
//! A buffer is of assumed type and size and its argument is not checked: the address of contiguous memory. A section that is
//! not contiguous is copied for the call, as for any such dummy argument: `MPI_SUBARRAYS_SUPPORTED` is false.

use std::fmt::Write;

use super::super::table::{Constant, Function};
use super::constant::{self, ADDRESSES, BLOCK, KEY_FUNCTIONS, KINDS, Named, Type, UNSUPPORTED};
use super::kind::{self, HANDLES, Kind, Number};
use super::{Binding, binding};

/// A buffer. Without TARGET gfortran takes it that nobody knows the address any more after the call, and so that the calls that
/// follow leave the buffer alone; ASYNCHRONOUS does not tell it otherwise.
const BUFFER: &str = "type(*), dimension(*), target";

/// Which module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// `mpi`
    Mpi,
    /// `mpi_f08`
    F08,
}

/// The source of a module.
///
/// # Errors
/// The function or constant of the tables that has no Fortran counterpart.
pub fn module(module: Module, functions: &[Function], constants: &[Constant]) -> Result<String, String> {
    let mut out = String::from("! Written from abi/functions.csv and abi/constants.csv; do not edit.\n");
    out.push_str(match module {
        Module::Mpi => "module mpi\n  implicit none\n  private :: EGIDA_MPI_UNUSED\n\n",
        Module::F08 => {
            "module mpi_f08\n  use, intrinsic :: iso_c_binding, only: c_ptr\n  implicit none\n  \
             private :: EGIDA_MPI_UNUSED, c_ptr\n\n"
        }
    });
    declarations(&mut out, module, constants)?;
    for prefix in ["", "P"] {
        procedures(&mut out, module, prefix, functions)?;
        sizes(&mut out, prefix);
    }
    if module == Module::F08 {
        comparisons(&mut out);
    }
    out.push_str(match module {
        Module::Mpi => "end module mpi\n",
        Module::F08 => "end module mpi_f08\n",
    });
    Ok(out)
}

/// Writes a line; to a string that does not fail.
macro_rules! line {
    ($out:expr, $($text:tt)*) => {{
        let _ = writeln!($out, $($text)*);
    }};
}

fn declarations(out: &mut String, module: Module, constants: &[Constant]) -> Result<(), String> {
    for (name, kind) in KINDS {
        line!(out, "  integer, parameter :: {name} = {kind}");
    }
    for name in UNSUPPORTED {
        line!(out, "  logical, parameter :: {name} = .false.");
    }
    if module == Module::F08 {
        for handle in HANDLES {
            line!(out, "\n  type, bind(C) :: {handle}\n    integer :: MPI_VAL\n  end type {handle}");
        }
        out.push_str(
            "\n  type, bind(C) :: MPI_Status\n    integer :: MPI_SOURCE\n    integer :: MPI_TAG\n    \
             integer :: MPI_ERROR\n    integer :: MPI_internal(5)\n  end type MPI_Status\n\n",
        );
    }
    for Named { name, of, value } in constant::all(constants)? {
        match (of, module) {
            (Type::Handle(handle), Module::F08) => {
                line!(out, "  type({handle}), parameter :: {name} = {handle}({value})");
            }
            (Type::Offset, _) => {
                line!(out, "  integer(kind=MPI_OFFSET_KIND), parameter :: {name} = {value}");
            }
            _ => line!(out, "  integer, parameter :: {name} = {value}"),
        }
    }
    out.push('\n');
    for (name, dimensions) in ADDRESSES {
        match (name, module) {
            ("MPI_STATUS_IGNORE", Module::Mpi) => line!(out, "  integer :: {name}(MPI_STATUS_SIZE)"),
            ("MPI_STATUSES_IGNORE", Module::Mpi) => line!(out, "  integer :: {name}(MPI_STATUS_SIZE, 1)"),
            ("MPI_STATUS_IGNORE", Module::F08) => line!(out, "  type(MPI_Status) :: {name}"),
            ("MPI_STATUSES_IGNORE", Module::F08) => line!(out, "  type(MPI_Status) :: {name}(1)"),
            _ => line!(out, "  integer :: {name}{dimensions}"),
        }
        line!(out, "  common /{BLOCK}/ {name}");
    }
    out.push_str("  save /egida_mpi_addresses/\n");
    out.push_str("  character(len=1) :: MPI_ARGV_NULL(1), MPI_ARGVS_NULL(1, 1)\n");
    out.push_str("  common /egida_mpi_texts/ MPI_ARGV_NULL, MPI_ARGVS_NULL\n  save /egida_mpi_texts/\n\n");
    if module == Module::F08 {
        out.push_str(include_str!("callbacks.f90"));
    }
    for (name, interface) in KEY_FUNCTIONS {
        match (module, interface) {
            (Module::Mpi, _) => line!(out, "  external :: {name}"),
            (Module::F08, "") => {}
            (Module::F08, interface) => line!(out, "  procedure({interface}) :: {name}"),
        }
    }
    out.push('\n');
    Ok(())
}

fn procedures(out: &mut String, module: Module, prefix: &str, functions: &[Function]) -> Result<(), String> {
    let procedures: Vec<Procedure> = functions
        .iter()
        .filter(|function| binding(function) != Binding::None && has_interface(module, &function.name))
        .map(|function| Procedure::new(module, function))
        .collect::<Result<_, _>>()?;
    let large_twin = |of: &Procedure| {
        let name = format!("{}_c", of.name);
        procedures.iter().find(|twin| twin.name == name).filter(|twin| twin.differs_from(of))
    };
    for procedure in &procedures {
        let name = &procedure.name;
        let is_twin = name.strip_suffix("_c").is_some_and(|stem| {
            procedures.iter().any(|other| other.name == stem && large_twin(other).is_some())
        });
        if is_twin {
            continue;
        }
        match (large_twin(procedure), name.as_str()) {
            (Some(large), _) => {
                line!(out, "  interface {prefix}{name}");
                procedure.write(out, prefix);
                large.write(out, prefix);
            }
            _ if procedure.symbol != *name => {
                line!(out, "  interface {prefix}{name}");
                procedure.write(out, prefix);
            }
            _ => {
                line!(out, "  interface");
                procedure.write(out, prefix);
            }
        }
        line!(out, "  end interface\n");
    }
    Ok(())
}

/// The large-count forms and the functions of Fortran 2008 alone stand in `mpi_f08`, the deprecated ones in `mpi`.
fn has_interface(module: Module, name: &str) -> bool {
    match module {
        Module::Mpi => !name.ends_with("_c"),
        Module::F08 => !name.starts_with("MPI_Attr_") && !name.starts_with("MPI_Keyval_"),
    }
}

/// An interface body.
#[derive(Debug)]
struct Procedure {
    name: String,
    /// The name that the symbol is made of.
    symbol: String,
    /// The type of the result; a subroutine has none.
    result: Option<&'static str>,
    /// Names, declarations without the name, dimensions, and whether any argument fits.
    dummies: Vec<Dummy>,
    has_error: bool,
    optional_error: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Dummy {
    name: String,
    of: String,
    dimensions: &'static str,
    unchecked: bool,
}

impl Procedure {
    fn new(module: Module, function: &Function) -> Result<Self, String> {
        let name = function.name.as_str();
        let mut dummies = Vec::new();
        for (parameter, kind) in kind::all(function).or_else(|error| match name {
            // These lose the parameter that has no counterpart.
            "MPI_Init" | "MPI_Init_thread" => Ok(Vec::new()),
            _ => Err(error),
        })? {
            dummies.push(Dummy::new(module, parameter, &kind));
        }
        let integer = |name: &str, intent: &str| Dummy::plain(name, &format!("integer, intent({intent})"));
        match name {
            "MPI_Init" => dummies = Vec::new(),
            "MPI_Init_thread" => dummies = vec![integer("required", "in"), integer("provided", "out")],
            "MPI_Info_create_env" => dummies.retain(|dummy| dummy.name == "info"),
            "MPI_Attr_get" | "MPI_Attr_put" | "MPI_Keyval_create" => {
                for dummy in &mut dummies {
                    if matches!(dummy.name.as_str(), "attribute_val" | "extra_state") {
                        "integer".clone_into(&mut dummy.of);
                    }
                }
            }
            _ => {}
        }
        let symbol = match (module, name) {
            (Module::F08, "MPI_Buffer_detach") => "MPI_Buffer_detach_f08",
            _ => name,
        };
        let result = match function.returns.as_str() {
            "int" => None,
            // DOUBLE PRECISION, whatever `-fdefault-real-8` makes of it.
            "double" => Some("real(kind=8)"),
            "MPI_Aint" => Some(Number::Address.fortran()),
            other => return Err(format!("{name}: no Fortran function returns {other}")),
        };
        Ok(Self {
            name: name.to_owned(),
            symbol: symbol.to_owned(),
            result,
            dummies,
            has_error: result.is_none() && name != "MPI_Pcontrol",
            optional_error: module == Module::F08,
        })
    }

    /// Whether a generic name may mean both: some argument tells.
    fn differs_from(&self, other: &Self) -> bool {
        let kinds = |procedure: &Self| -> Vec<String> {
            procedure
                .dummies
                .iter()
                .filter(|dummy| !dummy.of.starts_with("procedure"))
                // An address and a count are integers of the same kind.
                .map(|dummy| dummy.of.replace("ADDRESS", "COUNT").replace(", intent(in)", ""))
                .collect()
        };
        kinds(self) != kinds(other)
    }

    fn write(&self, out: &mut String, prefix: &str) {
        let word = if self.result.is_some() { "function" } else { "subroutine" };
        let mut names: Vec<&str> = self.dummies.iter().map(|dummy| dummy.name.as_str()).collect();
        if self.has_error {
            names.push("ierror");
        }
        // A name to a line: some lists are longer than a line may be.
        let names = if names.is_empty() {
            String::new()
        } else {
            format!("&\n        {}", names.join(", &\n        "))
        };
        line!(out, "    {word} {prefix}{}({names})\n      import", self.symbol);
        if let Some(result) = self.result {
            line!(out, "      {result} :: {prefix}{}", self.symbol);
        }
        for Dummy { name, of, dimensions, unchecked } in &self.dummies {
            if *unchecked {
                line!(out, "      !GCC$ ATTRIBUTES NO_ARG_CHECK :: {name}");
            }
            line!(out, "      {of} :: {name}{dimensions}");
        }
        match (self.has_error, self.optional_error) {
            (false, _) => {}
            (true, false) => line!(out, "      integer, intent(out) :: ierror"),
            (true, true) => line!(out, "      integer, optional, intent(out) :: ierror"),
        }
        line!(out, "    end {word} {prefix}{}", self.symbol);
    }
}

impl Dummy {
    fn plain(name: &str, of: &str) -> Self {
        Self { name: name.to_owned(), of: of.to_owned(), dimensions: "", unchecked: false }
    }

    fn new(module: Module, name: &str, kind: &Kind) -> Self {
        // The standard calls it so in Fortran.
        let name = if name == "indx" { "index" } else { name };
        let intent = |constant: bool| if constant { ", intent(in)" } else { "" };
        let handle = |handle: &str| match module {
            Module::Mpi => "integer".to_owned(),
            Module::F08 => format!("type({handle})"),
        };
        let status = |constant| match module {
            Module::Mpi => format!("integer{}", intent(constant)),
            Module::F08 => format!("type(MPI_Status){}", intent(constant)),
        };
        let (of, dimensions, unchecked) = match kind {
            Kind::Value(number) => (format!("{}, intent(in)", number.fortran()), "", false),
            Kind::Numbers { number, constant, dimensions } => {
                let dimensions = match dimensions[..] {
                    [] => "",
                    [_] => "(*)",
                    _ => "(3, *)",
                };
                (format!("{}{}", number.fortran(), intent(*constant)), dimensions, false)
            }
            Kind::Index => ("integer".to_owned(), "", false),
            Kind::Indices => ("integer".to_owned(), "(*)", false),
            Kind::Handle(of) => (format!("{}, intent(in)", handle(of)), "", false),
            Kind::HandlePointer(of) => (handle(of), "", false),
            Kind::Handles { handle: of, constant } => (handle(of) + intent(*constant), "(*)", false),
            Kind::Status { constant } => {
                (status(*constant), if module == Module::Mpi { "(MPI_STATUS_SIZE)" } else { "" }, false)
            }
            Kind::Statuses => {
                (status(false), if module == Module::Mpi { "(MPI_STATUS_SIZE, *)" } else { "(*)" }, false)
            }
            Kind::Choice { constant } => (format!("{BUFFER}{}", intent(*constant)), "", true),
            // An INTEGER(KIND=MPI_ADDRESS_KIND) as well as a TYPE(C_PTR).
            Kind::BasePointer if module == Module::Mpi => (BUFFER.to_owned(), "", true),
            Kind::BasePointer => ("type(c_ptr)".to_owned(), "", false),
            Kind::Address => (Number::Address.fortran().to_owned(), "", false),
            Kind::TextIn => ("character(len=*), intent(in)".to_owned(), "", false),
            Kind::TextOut => ("character(len=*)".to_owned(), "", false),
            Kind::Texts { rank } => {
                ("character(len=*), intent(in)".to_owned(), if *rank == 1 { "(*)" } else { "(1, *)" }, false)
            }
            Kind::Procedure(_) if module == Module::Mpi => ("external".to_owned(), "", false),
            Kind::Procedure(interface) => (format!("procedure({interface})"), "", false),
        };
        Self { name: name.to_owned(), of, dimensions, unchecked }
    }
}

/// `MPI_Sizeof`, which is told the type by which procedure is called.
fn sizes(out: &mut String, prefix: &str) {
    line!(out, "  interface {prefix}MPI_Sizeof");
    for (of, kinds) in [
        ("logical", &[1, 2, 4, 8, 16][..]),
        ("integer", &[1, 2, 4, 8, 16]),
        ("real", &[4, 8, 16]),
        ("complex", &[4, 8, 16]),
    ] {
        for kind in kinds {
            line!(out, "    subroutine {prefix}MPI_Sizeof_{of}{kind}(x, size, ierror)");
            line!(out, "      {of}(kind={kind}), dimension(..), intent(in) :: x");
            line!(out, "      integer, intent(out) :: size\n      integer, optional, intent(out) :: ierror");
            line!(out, "    end subroutine");
        }
    }
    line!(out, "    subroutine {prefix}MPI_Sizeof_character(x, size, ierror)");
    line!(out, "      character(len=*), dimension(..), intent(in) :: x");
    line!(out, "      integer, intent(out) :: size\n      integer, optional, intent(out) :: ierror");
    line!(out, "    end subroutine\n  end interface\n");
}

/// `==` and `/=` of handles.
fn comparisons(out: &mut String) {
    for (operator, suffix) in [("==", "eq"), ("/=", "ne")] {
        line!(out, "  interface operator({operator})");
        for handle in HANDLES {
            line!(out, "    pure function {handle}_{suffix}(left, right) result(answer)\n      import");
            line!(out, "      type({handle}), intent(in) :: left, right\n      logical :: answer");
            line!(out, "    end function");
        }
        line!(out, "  end interface\n");
    }
    for name in ["MPI_Status_f2f08", "MPI_Status_f082f"] {
        let (from, to) = if name.ends_with("f08") {
            (
                "integer, intent(in) :: f_status(MPI_STATUS_SIZE)",
                "type(MPI_Status), intent(out) :: f08_status",
            )
        } else {
            (
                "type(MPI_Status), intent(in) :: f08_status",
                "integer, intent(out) :: f_status(MPI_STATUS_SIZE)",
            )
        };
        let order = if name.ends_with("f08") { "f_status, f08_status" } else { "f08_status, f_status" };
        for prefix in ["", "P"] {
            line!(out, "  interface\n    subroutine {prefix}{name}({order}, ierror)\n      import");
            line!(out, "      {from}\n      {to}\n      integer, optional, intent(out) :: ierror");
            line!(out, "    end subroutine\n  end interface\n");
        }
    }
    for prefix in ["", "P"] {
        line!(out, "  interface\n    subroutine {prefix}MPI_F_sync_reg(buf)");
        line!(out, "      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf\n      {BUFFER} :: buf");
        line!(out, "    end subroutine\n  end interface\n");
    }
}
