//! Writes what `egida install` lays out for Fortran from the tables of the MPI library.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

#[path = "../egida-mpi/abi/mod.rs"]
#[allow(dead_code)] // the rest is the library's
mod abi;

use abi::fortran::include::mpif_h;
use abi::fortran::module::{Module, module};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../egida-mpi/abi");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let (functions, constants) = (abi::table::functions()?, abi::table::constants()?);
    fs::write(out.join("mpif.h"), mpif_h(&constants)?)?;
    fs::write(out.join("mpi.f90"), module(Module::Mpi, &functions, &constants)?)?;
    fs::write(out.join("mpi_f08.f90"), module(Module::F08, &functions, &constants)?)?;
    Ok(())
}
