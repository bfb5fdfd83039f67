//! The header, the tables and the library agree.

use std::path::Path;
use std::process::Command;

#[path = "../abi/mod.rs"]
#[allow(dead_code)] // the build script uses the rest
mod abi;
#[allow(dead_code)]
mod common;

use common::{Program, library_folder};

/// Set `EGIDA_WRITE_HEADER=1` to write the header anew.
#[test]
fn the_header_is_what_the_tables_say() {
    let header = abi::header::mpi_h(&abi::table::functions().unwrap(), &abi::table::constants().unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/mpi.h");
    if std::env::var_os("EGIDA_WRITE_HEADER").is_some() {
        std::fs::write(&path, &header).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == header, "run this test with EGIDA_WRITE_HEADER=1");
}

#[test]
fn every_function_has_both_names_and_the_type_of_the_table() {
    let functions = abi::table::functions().unwrap();
    let program = Program::build("addresses", &abi::header::address_test(&functions));
    assert_eq!(program.run(&[]).good().trim(), (2 * functions.len()).to_string());
}

#[test]
fn the_header_is_cxx_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("use.cc");
    let source =
        "#include <mpi.h>\nint main() { MPI_Comm c = MPI_COMM_WORLD; return MPI_Comm_c2f(c) == 0; }\n";
    std::fs::write(&file, source).unwrap();
    let output = Command::new("c++")
        .args(["-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_library_has_the_name_of_the_abi_and_exports_nothing_but_it() {
    let library = library_folder().join("libmpi_abi.so");
    let dynamic = Command::new("objdump").arg("-p").arg(&library).output().unwrap();
    let dynamic = String::from_utf8_lossy(&dynamic.stdout).into_owned();
    assert!(
        dynamic
            .lines()
            .any(|line| line.trim_start().starts_with("SONAME") && line.ends_with(" libmpi_abi.so.1"))
    );

    let symbols = Command::new("nm").args(["-D", "--defined-only"]).arg(&library).output().unwrap();
    let symbols = String::from_utf8_lossy(&symbols.stdout).into_owned();
    let interposed = [
        "time",
        "clock_gettime",
        "gettimeofday",
        "getrandom",
        "getentropy",
        "gethostname",
        "open",
        "open64",
        "openat",
        "openat64",
        "creat",
        "creat64",
        "fopen",
        "fopen64",
    ];
    for symbol in symbols.lines().filter_map(|line| line.split_whitespace().last()) {
        let of_mpi = ["MPI_", "PMPI_", "mpi_", "pmpi_"].iter().any(|prefix| symbol.starts_with(prefix));
        let known = of_mpi || symbol == "egida_mpi_addresses_" || interposed.contains(&symbol);
        assert!(known, "{symbol} is exported");
    }
}
