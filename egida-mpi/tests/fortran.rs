//! The Fortran files and the library agree, and a program of each form runs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

#[path = "../abi/mod.rs"]
#[allow(dead_code)] // the build script uses the rest
mod abi;
#[allow(dead_code)]
mod common;

use abi::fortran::include::mpif_h;
use abi::fortran::module::{Module, module};
use abi::fortran::{Binding, binding};
use common::library_folder;

fn source(of: Module) -> String {
    module(of, &abi::table::functions().unwrap(), &abi::table::constants().unwrap()).unwrap()
}

fn exported() -> BTreeSet<String> {
    let library = library_folder().join("libmpi_abi.so");
    let symbols = Command::new("nm").args(["-D", "--defined-only"]).arg(library).output().unwrap();
    let symbols = String::from_utf8(symbols.stdout).unwrap();
    symbols.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
}

#[test]
fn the_library_exports_every_function_in_fortran_too() {
    let exported = exported();
    for function in abi::table::functions().unwrap() {
        if binding(&function) == Binding::None {
            continue;
        }
        for prefix in ["", "p"] {
            let symbol = format!("{prefix}{}_", function.name.to_lowercase());
            assert!(exported.contains(&symbol), "{symbol} is missing");
        }
    }
}

#[test]
fn what_the_modules_declare_the_library_exports() {
    let exported = exported();
    for of in [Module::Mpi, Module::F08] {
        let source = source(of);
        let bodies = source.split("abstract interface").next().unwrap().to_owned()
            + source.split_once("  procedure(").map_or("", |(_, behind)| behind);
        let declared: BTreeSet<String> = bodies
            .lines()
            .filter_map(|line| {
                let line = line.trim_start().trim_start_matches("pure ");
                let name = line.strip_prefix("subroutine ").or_else(|| line.strip_prefix("function "))?;
                Some(format!("{}_", name.split('(').next()?.to_lowercase()))
            })
            .collect();
        assert!(declared.len() > 800, "{of:?}: {}", declared.len());
        let missing: Vec<_> = declared.difference(&exported).collect();
        assert!(missing.is_empty(), "{of:?}: {missing:?}");
    }
}

#[test]
fn the_include_file_is_good_in_fixed_and_in_free_form() {
    let text = mpif_h(&abi::table::constants().unwrap()).unwrap();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('!')) {
        assert!(line.starts_with("      ") && line.len() <= 72, "{line}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mpif.h"), text).unwrap();
    for name in ["use.f", "use.f90"] {
        let program = "      program use\n      implicit none\n      include 'mpif.h'\n      end\n";
        std::fs::write(folder.path().join(name), program).unwrap();
        let output = gfortran(folder.path(), &["-fsyntax-only", "-Werror", "-Wall", name]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A program of each form, and one with a part in C: what is written by hand in `src/fortran`, and each kind of argument.
#[test]
fn a_program_runs_in_each_form() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let library = library_folder().join("libmpi_abi.so");
    std::os::unix::fs::symlink(&library, place.join("libmpi_abi.so.1")).unwrap();
    std::fs::write(place.join("mpif.h"), mpif_h(&abi::table::constants().unwrap()).unwrap()).unwrap();
    for (of, name) in [(Module::Mpi, "mpi.f90"), (Module::F08, "mpi_f08.f90")] {
        std::fs::write(place.join(name), source(of)).unwrap();
        let output = gfortran(place, &["-fsyntax-only", name]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let rpath = format!("-Wl,-rpath,{}", place.display());
    let headers = format!("-I{}/include", env!("CARGO_MANIFEST_DIR"));
    let file = |name: &str| programs.join(name).display().to_string();
    // gfortran hands a C file to the C compiler.
    for sources in [&["include.f"][..], &["module.f90"], &["f08.f90"], &["mixed.f90", "mixed.c"]] {
        let name = sources[0];
        let sources: Vec<String> = sources.iter().copied().map(file).collect();
        let mut arguments = vec!["-w", "-fallow-argument-mismatch", "-O1", "-I.", &headers, "-o", "program"];
        arguments.extend(sources.iter().map(String::as_str));
        arguments.extend(["libmpi_abi.so.1", &rpath]);
        let output = gfortran(place, &arguments);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let output = Command::new(place.join("program")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let cried = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim() == "good", "{name}: {said}{cried}");
    }
}

fn gfortran(place: &Path, arguments: &[&str]) -> Output {
    Command::new("gfortran")
        .current_dir(place)
        .args(arguments)
        .output()
        .expect("gfortran runs; scripts/prepare installs it")
}
