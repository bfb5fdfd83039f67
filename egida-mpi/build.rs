//! Writes the exported symbols and the constants from the tables in `abi/`, and names the library as the ABI does.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

#[path = "abi/mod.rs"]
#[allow(dead_code)] // the header is held to the tables by a test
mod abi;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=abi");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libmpi_abi.so.1");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let functions = abi::table::functions()?;
    fs::write(out.join("exports.rs"), abi::exports::symbols(&functions)?)?;
    fs::write(out.join("fortran.rs"), abi::fortran::symbols::symbols(&functions)?)?;
    fs::write(out.join("constants.rs"), abi::exports::constants(&abi::table::constants()?)?)?;
    Ok(())
}
