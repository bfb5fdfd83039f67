//! The Fortran modules: compiled where they are installed, since every compiler has a format of its own for them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{InstallError, PLAIN, put, put_text};

/// What became of the modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fortran {
    /// They are there.
    Built(Vec<PathBuf>),
    /// There is no such compiler.
    NoCompiler(OsString),
}

impl fmt::Display for Fortran {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Built(modules) => write!(out, "{} Fortran modules", modules.len()),
            Self::NoCompiler(compiler) => write!(
                out,
                "there is no `{}`: Fortran programs can not be built, and the modules mpi and mpi_f08 are not there; \
                 install it and run this command again",
                compiler.display()
            ),
        }
    }
}

/// The modules: their names, and their sources.
const MODULES: [(&str, &str); 2] = [
    ("mpi", include_str!(concat!(env!("OUT_DIR"), "/mpi.f90"))),
    ("mpi_f08", include_str!(concat!(env!("OUT_DIR"), "/mpi_f08.f90"))),
];

/// Lets a program hand buffers of several types to one external procedure, as `mpif.h` has it: gfortran from 10 on takes
/// that for an error, and older ones do not know the option.
const LENIENT: &str = "-fallow-argument-mismatch";

/// The compiler that is used unless `EGIDA_FC` names another.
#[must_use]
pub fn compiler() -> OsString {
    std::env::var_os("EGIDA_FC").unwrap_or_else(|| "gfortran".into())
}

/// Compiles the modules into `prefix`, and tells the wrappers how the compiler is to be called.
///
/// # Errors
/// [`InstallError::Fortran`] where the compiler refuses them, and [`InstallError::Io`].
pub fn install(prefix: &Path, compiler: &OsStr) -> Result<Fortran, InstallError> {
    let settings = prefix.join("share/egida/fortran.sh");
    let folder = prefix.join(format!("share/egida/modules.new-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| InstallError::io(&folder, error))?;
    let compiled = compile(&folder, compiler);
    let outcome = match compiled {
        Ok(lenient) => {
            let flags = if lenient { LENIENT } else { "" };
            put_text(settings, &format!("modules=yes\nlanguage_flags={flags}\n"), PLAIN)
                .and_then(|_| lay_out(prefix, &folder))
                .map(Fortran::Built)
        }
        Err(InstallError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            put_text(settings, "modules=no\nlanguage_flags=\n", PLAIN)
                .map(|_| Fortran::NoCompiler(compiler.to_owned()))
        }
        Err(error) => Err(error),
    };
    // What is left in it is of no use, and the outcome is what counts.
    let _ = fs::remove_dir_all(&folder);
    outcome
}

/// Compiles the modules in `folder`, and returns whether the compiler knows [`LENIENT`].
fn compile(folder: &Path, compiler: &OsStr) -> Result<bool, InstallError> {
    let run = |arguments: &[&str]| {
        Command::new(compiler)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| InstallError::io(compiler, error))
    };
    for (name, source) in MODULES {
        let file = folder.join(format!("{name}.f90"));
        fs::write(&file, source).map_err(|error| InstallError::io(&file, error))?;
        let output = run(&["-fsyntax-only", &format!("{name}.f90")])?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(InstallError::Fortran { compiler: compiler.to_owned(), module: name, said });
        }
    }
    Ok(run(&["-fsyntax-only", LENIENT, "mpi.f90"])?.status.success())
}

fn lay_out(prefix: &Path, folder: &Path) -> Result<Vec<PathBuf>, InstallError> {
    MODULES
        .iter()
        .map(|(name, _)| {
            let file = format!("{name}.mod");
            put(prefix.join("include").join(&file), |new| fs::copy(folder.join(&file), new).map(drop))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_compiler_it_says_so_and_tells_the_wrappers() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = install(folder.path(), OsStr::new("no-such-fortran")).unwrap();
        assert_eq!(outcome, Fortran::NoCompiler("no-such-fortran".into()));
        assert!(outcome.to_string().contains("`no-such-fortran`"), "{outcome}");
        let settings = fs::read_to_string(folder.path().join("share/egida/fortran.sh")).unwrap();
        assert_eq!(settings, "modules=no\nlanguage_flags=\n");
    }

    #[test]
    fn a_compiler_that_refuses_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let error = install(folder.path(), OsStr::new("false")).unwrap_err().to_string();
        assert!(error.contains("`false`") && error.contains("`mpi`"), "{error}");
    }

    #[test]
    fn gfortran_compiles_both_modules() {
        let folder = tempfile::tempdir().unwrap();
        let Fortran::Built(modules) = install(folder.path(), OsStr::new("gfortran")).unwrap() else {
            panic!("gfortran is not there: scripts/prepare installs it");
        };
        assert_eq!(modules.len(), 2);
        assert!(modules.iter().all(|module| module.is_file()));
        let left: Vec<_> = fs::read_dir(folder.path().join("share/egida")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
