//! The Rust side of the tables: the exported symbols and the constants.

use std::fmt::Write;

use super::table::{Constant, Function, Parameter};

/// One symbol for each `MPI_X` and `PMPI_X`.
///
/// # Errors
/// The prototype that Rust has no counterpart for.
pub fn symbols(functions: &[Function]) -> Result<String, String> {
    let mut out = String::from("// Written by the build script from abi/functions.csv.\n\n");
    for function in functions {
        for prefix in ["", "P"] {
            let text = match &function.implementation {
                Some(path) => call(prefix, function, path)?,
                None => refusal(prefix, function)?,
            };
            out.push_str(&text);
        }
    }
    Ok(out)
}

/// The constants as Rust has them.
///
/// # Errors
/// The value that is none.
pub fn constants(constants: &[Constant]) -> Result<String, String> {
    let mut out = String::from("// Written by the build script from abi/constants.csv.\n\n");
    for Constant { name, kind, value } in constants {
        let line = match kind.as_str() {
            "int" => format!("pub const {name}: c_int = {value};"),
            "MPI_Offset" => format!("pub const {name}: MPI_Offset = {value};"),
            "alias" => {
                let target = constants.iter().find(|other| other.name == *value);
                let target = target.ok_or_else(|| format!("{name} is an alias of nothing"))?;
                format!("pub const {name}: {} = {value};", target.kind)
            }
            pointer if pointer.ends_with('*') || pointer.starts_with("MPI_T_") => {
                format!("pub const {name}: usize = {value};")
            }
            handle => format!("pub const {name}: {handle} = {handle}({value});"),
        };
        writeln!(out, "{line}").map_err(|error| error.to_string())?;
    }
    Ok(out)
}

/// What refuses a call takes no parameters, so that the caller's are left where they are; but where a communicator is among them, its
/// error handler is asked.
fn refusal(prefix: &str, function: &Function) -> Result<String, String> {
    let Function { name, parameters, .. } = function;
    // The tools interface has no error handlers.
    if name.starts_with("MPI_T_") {
        return Ok(format!(
            "#[unsafe(no_mangle)]\npub extern \"C\" fn {prefix}{name}() -> ! {{\n    \
             crate::entry::refuse(\"{name}\")\n}}\n\n"
        ));
    }
    let is_comm = |parameter: &&Parameter| matches!(parameter, Parameter::Named { base, stars: 0, dimensions, .. } if base == "MPI_Comm" && dimensions.is_empty());
    let Some(Parameter::Named { name: comm, .. }) = parameters.iter().find(is_comm) else {
        return Ok(format!(
            "#[unsafe(no_mangle)]\npub extern \"C\" fn {prefix}{name}() -> c_int {{\n    \
             crate::entry::refuse_to_handler(\"{name}\", None)\n}}\n\n"
        ));
    };
    let mut named = Vec::new();
    for parameter in parameters {
        if let Parameter::Named { name, .. } = parameter {
            let unused = if name == comm { "" } else { "_" };
            named.push(format!("{unused}{name}: {}", rust_type(parameter)?));
        }
    }
    Ok(format!(
        "#[unsafe(no_mangle)]\npub extern \"C\" fn {prefix}{name}({}) -> c_int {{\n    \
         crate::entry::refuse_to_handler(\"{name}\", Some({comm}))\n}}\n\n",
        named.join(", ")
    ))
}

fn call(prefix: &str, function: &Function, path: &str) -> Result<String, String> {
    let mut parameters = Vec::new();
    let mut arguments = Vec::new();
    for parameter in &function.parameters {
        // A callee without the ellipsis reads its named parameters from the same places.
        if let Parameter::Named { name, .. } = parameter {
            parameters.push(format!("{name}: {}", rust_type(parameter)?));
            arguments.push(name.as_str());
        }
    }
    let returns = match function.returns.as_str() {
        "int" => "c_int",
        "double" => "f64",
        named => named,
    };
    // A C `int` may be an error code; every other result is what the implementation returns.
    let turbofish = if returns == "c_int" { String::new() } else { format!("::<{returns}, {returns}>") };
    let name = &function.name;
    let (parameters, arguments) = (parameters.join(", "), arguments.join(", "));
    Ok(format!(
        "#[unsafe(no_mangle)]\npub unsafe extern \"C\" fn {prefix}{name}({parameters}) -> {returns} {{\n    \
         // SAFETY: the caller keeps what the standard asks of a caller of {name}.\n    \
         crate::entry::call{turbofish}(\"{name}\", || unsafe {{ crate::{path}({arguments}) }})\n}}\n\n"
    ))
}

pub(super) fn rust_type(parameter: &Parameter) -> Result<String, String> {
    let Parameter::Named { constant, base, stars, dimensions, .. } = parameter else {
        return Err("an ellipsis has no type".to_owned());
    };
    let element = match base.as_str() {
        "int" => "c_int",
        "char" => "c_char",
        "void" => "c_void",
        // A pointer to a function is one word in Rust.
        function if function.ends_with("_function") || function.ends_with("_function_c") => {
            return Ok(function.to_owned());
        }
        named => named,
    };
    let (open, inner) = match dimensions.split_first() {
        None => (0, element.to_owned()),
        Some((0, [])) => (1, element.to_owned()),
        Some((0, [size])) => (1, format!("[{element}; {size}]")),
        Some(_) => return Err(format!("{parameter:?} has dimensions of an unknown form")),
    };
    let depth = stars + open;
    let pointers = (0..depth).map(|at| if *constant && at + 1 == depth { "*const " } else { "*mut " });
    Ok(pointers.collect::<String>() + &inner)
}
