//! The exported symbols `mpi_x_` and `pmpi_x_`: each converts its arguments and calls `PMPI_X`, so that a Fortran call goes
//! the way of a C call from there on.

use std::fmt::Write;

use super::super::exports::rust_type;
use super::super::table::{Function, Parameter};
use super::kind::{self, Kind};
use super::{Binding, binding};

/// The declarations of the C functions, and the symbols that are written from the table.
///
/// # Errors
/// The prototype that has no Fortran counterpart.
pub fn symbols(functions: &[Function]) -> Result<String, String> {
    let mut out = String::from("// Written by the build script from abi/functions.csv.\n\n");
    let bound = || functions.iter().filter(|function| binding(function) != Binding::None);
    out.push_str("/// The C functions behind the symbols.\npub mod c {\n    use super::*;\n\n    unsafe extern \"C\" {\n");
    for function in bound().filter(|function| binding(function) != Binding::Refused) {
        out.push_str(&declaration(function)?);
    }
    out.push_str("    }\n}\n\n");
    for function in bound() {
        for prefix in ["", "p"] {
            match binding(function) {
                Binding::Generated => out.push_str(&Shim::new(function)?.text(prefix)),
                Binding::Refused => out.push_str(&refusal(prefix, &function.name)),
                Binding::ByHand | Binding::None => {}
            }
        }
    }
    Ok(out)
}

fn declaration(function: &Function) -> Result<String, String> {
    let mut parameters = Vec::new();
    for parameter in &function.parameters {
        match parameter {
            Parameter::Variadic => parameters.push("...".to_owned()),
            Parameter::Named { base, name, .. } if kind::is_function(base) => {
                parameters.push(format!("{name}: *const c_void"));
            }
            Parameter::Named { name, .. } => parameters.push(format!("{name}: {}", rust_type(parameter)?)),
        }
    }
    Ok(format!("        pub fn P{}({}) -> {};\n", function.name, parameters.join(", "), returns(function)))
}

fn returns(function: &Function) -> &str {
    match function.returns.as_str() {
        "int" => "c_int",
        "double" => "f64",
        named => named,
    }
}

fn symbol(prefix: &str, name: &str) -> String {
    format!("{prefix}{}_", name.to_lowercase())
}

fn refusal(prefix: &str, name: &str) -> String {
    format!(
        "#[unsafe(no_mangle)]\npub extern \"C\" fn {}() -> ! {{\n    crate::entry::refuse(\"{name}\")\n}}\n\n",
        symbol(prefix, name)
    )
}

/// The parts of one symbol.
#[derive(Debug, Default)]
struct Shim<'a> {
    name: &'a str,
    returns: &'a str,
    parameters: Vec<String>,
    /// Lengths of texts, which come behind all others.
    lengths: Vec<String>,
    before: Vec<String>,
    arguments: Vec<String>,
    after: Vec<String>,
}

impl<'a> Shim<'a> {
    fn new(function: &'a Function) -> Result<Self, String> {
        let mut shim = Self { name: &function.name, returns: returns(function), ..Self::default() };
        for (name, kind) in kind::all(function)? {
            shim.add(name, kind)?;
        }
        Ok(shim)
    }

    fn add(&mut self, name: &str, kind: Kind) -> Result<(), String> {
        let (parameter, argument) = match kind {
            Kind::Value(number) => (format!("*const {}", number.rust()), format!("*{name}")),
            Kind::Numbers { number, constant, dimensions } => {
                let dimension = match dimensions[..] {
                    [_, size] => format!("[{}; {size}]", number.rust()),
                    _ => number.rust().to_owned(),
                };
                (pointer(constant, &dimension), address(constant, name))
            }
            Kind::Index => {
                self.after.push(format!("if completed(error) {{ count_from_one({name}, 1); }}"));
                (pointer(false, "c_int"), name.to_owned())
            }
            Kind::Indices => {
                self.after.push(format!("if completed(error) {{ count_from_one({name}, *outcount); }}"));
                (pointer(false, "c_int"), name.to_owned())
            }
            Kind::Handle(_) => (pointer(true, "c_int"), format!("handle({name})")),
            Kind::HandlePointer(handle) => {
                self.before.push(format!("let mut {name}_in_c: {handle} = handle({name});"));
                self.after.push(format!("store({name}, {name}_in_c);"));
                (pointer(false, "c_int"), format!("&raw mut {name}_in_c"))
            }
            Kind::Handles { handle, constant } => {
                let length = self.length(name)?;
                self.before.push(format!(
                    "let mut {name}_in_c: Handles<{handle}> = Handles::new({name}, {length});"
                ));
                if !constant {
                    self.after.push(format!("{name}_in_c.store({name});"));
                }
                (pointer(constant, "c_int"), format!("{name}_in_c.as_mut_ptr()"))
            }
            Kind::Status { constant } => (pointer(constant, "MPI_Status"), address(constant, name)),
            Kind::Statuses => (pointer(false, "MPI_Status"), address(false, name)),
            Kind::Choice { constant } => (pointer(constant, "c_void"), address(constant, name)),
            Kind::BasePointer | Kind::Address => (pointer(false, "c_void"), name.to_owned()),
            Kind::TextIn => {
                self.lengths.push(format!("{name}_len: usize"));
                self.before.push(format!("let {name}_in_c = Text::read({name}, {name}_len);"));
                (pointer(true, "c_char"), format!("{name}_in_c.as_ptr()"))
            }
            Kind::TextOut => {
                self.lengths.push(format!("{name}_len: usize"));
                self.before.push(format!("let mut {name}_in_c = Room::new();"));
                self.after
                    .push(format!("if error == MPI_SUCCESS {{ {name}_in_c.store({name}, {name}_len); }}"));
                (pointer(false, "c_char"), format!("{name}_in_c.as_mut_ptr()"))
            }
            Kind::Procedure(_) => (pointer(true, "c_void"), name.to_owned()),
            Kind::Texts { .. } => return Err(format!("{}: {name} is an array of texts", self.name)),
        };
        self.parameters.push(format!("{name}: {parameter}"));
        self.arguments.push(argument);
        Ok(())
    }

    /// How many handles an array has.
    fn length(&self, name: &str) -> Result<String, String> {
        Ok(match name {
            "array_of_requests" | "array_of_types" => {
                let some = self.parameters.iter().any(|parameter| parameter.starts_with("incount:"));
                if some { "*incount" } else { "*count" }.to_owned()
            }
            "array_of_datatypes" => "*max_datatypes".to_owned(),
            "sendtypes" | "recvtypes" if self.name.contains("eighbor_") => {
                format!("neighbors(comm).{}", if name == "sendtypes" { "destinations" } else { "sources" })
            }
            "sendtypes" => "if is_in_place(sendbuf) { 0 } else { peers(comm) }".to_owned(),
            "recvtypes" => "peers(comm)".to_owned(),
            _ => return Err(format!("{}: how long is {name}?", self.name)),
        })
    }

    fn text(&self, prefix: &str) -> String {
        let Self { name, returns, .. } = self;
        let is_subroutine = *returns == "c_int";
        let mut parameters = self.parameters.clone();
        if is_subroutine {
            parameters.push("ierror: *mut c_int".to_owned());
        }
        parameters.extend(self.lengths.iter().cloned());
        let call = format!("c::P{name}({})", self.arguments.join(", "));
        let mut body = self.before.clone();
        if is_subroutine {
            body.push(format!("let error = {call};"));
            body.extend(self.after.iter().cloned());
            body.push("answer(ierror, error);".to_owned());
        } else {
            body.push(call);
        }
        let result = if is_subroutine { String::new() } else { format!(" -> {returns}") };
        let mut out = format!(
            "#[unsafe(no_mangle)]\npub unsafe extern \"C\" fn {}({}){result} {{\n    \
             // SAFETY: the caller keeps what the standard asks of a Fortran caller of {name}.\n    unsafe {{\n",
            symbol(prefix, name),
            parameters.join(", ")
        );
        for line in body {
            // Writing to a string does not fail.
            let _ = writeln!(out, "        {line}");
        }
        out.push_str("    }\n}\n\n");
        out
    }
}

fn pointer(constant: bool, to: &str) -> String {
    format!("*{} {to}", if constant { "const" } else { "mut" })
}

/// An address that may be one of the constants that stand for one.
fn address(constant: bool, name: &str) -> String {
    if constant { format!("in_c({name})") } else { format!("in_c_mut({name})") }
}
