//! `egida install`: lays out what a program needs to be built and run.
//!
//! ```text
//!   bin/      egida  mpicc  mpicxx  mpic++  mpifort  mpif77  mpif90  mpiexec  mpirun
//!   include/  mpi.h  mpif.h  mpi.mod  mpi_f08.mod
//!   lib/      libmpi_abi.so.1  libmpi_abi.so  libmpi.so  pkgconfig/egida-mpi.pc  pkgconfig/egida-mpi-fortran.pc
//!   share/    egida/compiler.sh  egida/fortran.sh
//! ```
//!
//! The Fortran modules are compiled here, by gfortran; where there is none, everything else is installed all the same.
//!
//! Nothing in it holds the prefix: the whole may be moved. Every file is put in place by a rename, so that programs that
//! run on the old one keep it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

mod fortran;

use fortran::Fortran;

/// Lay out the library, its wrappers and this command under a prefix
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// The folder to install into; made where it is not there
    #[arg(long, value_name = "DIR")]
    pub prefix: PathBuf,
}

/// Installs and lists what was installed.
///
/// # Errors
/// [`InstallError`], with the file that it is about.
pub fn run(arguments: &InstallArgs) -> Result<(), InstallError> {
    let mut installed = install(&arguments.prefix, &InstallSources::locate()?)?;
    match fortran::install(&arguments.prefix, &fortran::compiler())? {
        Fortran::Built(modules) => installed.extend(modules),
        absent @ Fortran::NoCompiler(_) => eprintln!("{absent}"),
    }
    for path in installed {
        println!("{}", path.display());
    }
    Ok(())
}

/// The built files that are installed; the rest is text within this command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallSources {
    /// The `egida` command.
    pub command: PathBuf,
    /// The MPI library.
    pub library: PathBuf,
}

impl InstallSources {
    /// The running command, and the library of the same build or the same prefix.
    ///
    /// # Errors
    /// [`InstallError::NoLibrary`] where there is none.
    pub fn locate() -> Result<Self, InstallError> {
        let command = std::env::current_exe().map_err(|error| InstallError::io("egida", error))?;
        Self::beside(command)
    }

    fn beside(command: PathBuf) -> Result<Self, InstallError> {
        let places =
            [command.with_file_name("libmpi_abi.so"), command.with_file_name("../lib/libmpi_abi.so.1")];
        match places.iter().find(|place| place.is_file()) {
            Some(library) => Ok(Self { library: library.clone(), command }),
            None => Err(InstallError::NoLibrary { places }),
        }
    }
}

/// Why nothing, or not all, was installed.
#[derive(Debug)]
pub enum InstallError {
    /// The MPI library is not where the command is.
    NoLibrary {
        /// Where it was looked for.
        places: [PathBuf; 2],
    },
    /// The Fortran compiler refuses a module.
    Fortran {
        /// Which compiler.
        compiler: OsString,
        /// Which module.
        module: &'static str,
        /// Its messages.
        said: String,
    },
    /// A file cannot be read or written.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl InstallError {
    fn io(path: impl Into<PathBuf>, error: io::Error) -> Self {
        Self::Io { path: path.into(), error }
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLibrary { places: [built, installed] } => write!(
                out,
                "the MPI library is neither `{}` nor `{}`; build it with `cargo build -p egida-mpi`",
                built.display(),
                installed.display()
            ),
            Self::Fortran { compiler, module, said } => {
                write!(out, "`{}` does not compile the module `{module}`:\n{said}", compiler.display())
            }
            Self::Io { path, error } => write!(out, "`{}`: {error}", path.display()),
        }
    }
}

impl std::error::Error for InstallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoLibrary { .. } | Self::Fortran { .. } => None,
            Self::Io { error, .. } => Some(error),
        }
    }
}

macro_rules! shared {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../egida-mpi/", $path))
    };
}

const PROGRAM: u32 = 0o755;
const PLAIN: u32 = 0o644;

/// Text files: where they go, what they hold, their mode.
const TEXTS: &[(&str, &str, u32)] = &[
    ("bin/mpicc", shared!("share/bin/mpicc"), PROGRAM),
    ("bin/mpicxx", shared!("share/bin/mpicxx"), PROGRAM),
    ("bin/mpifort", shared!("share/bin/mpifort"), PROGRAM),
    ("bin/mpiexec", shared!("share/bin/mpiexec"), PROGRAM),
    ("include/mpi.h", shared!("include/mpi.h"), PLAIN),
    ("include/mpif.h", include_str!(concat!(env!("OUT_DIR"), "/mpif.h")), PLAIN),
    ("lib/pkgconfig/egida-mpi.pc", shared!("share/pkgconfig/egida-mpi.pc"), PLAIN),
    ("lib/pkgconfig/egida-mpi-fortran.pc", shared!("share/pkgconfig/egida-mpi-fortran.pc"), PLAIN),
    ("share/egida/compiler.sh", shared!("share/egida/compiler.sh"), PLAIN),
];

/// Second names: where they are, what they point to.
const LINKS: &[(&str, &str)] = &[
    ("bin/mpic++", "mpicxx"),
    ("bin/mpif77", "mpifort"),
    ("bin/mpif90", "mpifort"),
    ("bin/mpirun", "mpiexec"),
    ("lib/libmpi_abi.so", "libmpi_abi.so.1"),
    ("lib/libmpi.so", "libmpi_abi.so.1"),
];

/// Lays out `prefix` and returns what was put there.
///
/// # Errors
/// [`InstallError::Io`] at the first file that cannot be written; those before it stay.
pub fn install(prefix: &Path, sources: &InstallSources) -> Result<Vec<PathBuf>, InstallError> {
    let mut installed = Vec::new();
    for (source, to) in [(&sources.command, "bin/egida"), (&sources.library, "lib/libmpi_abi.so.1")] {
        installed.push(put(prefix.join(to), |new| copy(source, new))?);
    }
    for &(to, text, mode) in TEXTS {
        let text = text.replace("@VERSION@", env!("CARGO_PKG_VERSION"));
        installed.push(put_text(prefix.join(to), &text, mode)?);
    }
    for &(to, target) in LINKS {
        installed.push(put(prefix.join(to), |new| symlink(target, new))?);
    }
    Ok(installed)
}

fn copy(source: &Path, new: &Path) -> io::Result<()> {
    fs::copy(source, new)?;
    fs::set_permissions(new, fs::Permissions::from_mode(PROGRAM))
}

fn put_text(path: PathBuf, text: &str, mode: u32) -> Result<PathBuf, InstallError> {
    put(path, |new| {
        fs::write(new, text)?;
        fs::set_permissions(new, fs::Permissions::from_mode(mode))
    })
}

/// Makes a file beside its place and moves it there.
fn put(path: PathBuf, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<PathBuf, InstallError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = path.with_file_name(name);
    let folder = path.parent().unwrap_or(Path::new("."));
    let made = fs::create_dir_all(folder).and_then(|()| make(&new)).and_then(|()| fs::rename(&new, &path));
    match made {
        Ok(()) => Ok(path),
        Err(error) => {
            // The first error is the one to report.
            let _ = fs::remove_file(&new);
            Err(InstallError::io(path, error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sources(folder: &Path) -> InstallSources {
        let command = folder.join("egida");
        fs::write(&command, "#!/bin/sh\necho \"$@\"\n").unwrap();
        fs::write(folder.join("libmpi_abi.so"), "library").unwrap();
        InstallSources::beside(command).unwrap()
    }

    fn output(program: &Path, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn an_installation_works_where_it_was_moved_to_and_installs_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (first, moved) = (folder.path().join("first place"), folder.path().join("second place"));
        let installed = install(&first, &sources(folder.path())).unwrap();
        assert!(installed.iter().all(|path| path.exists()));
        fortran::install(&first, "gfortran".as_ref()).unwrap();
        fs::rename(&first, &moved).unwrap();

        let moved = moved.canonicalize().unwrap();
        let prefix = moved.display();
        assert_eq!(
            output(&moved.join("bin/mpicc"), &["-show", "a b.c", "-o", "a"]),
            format!("cc -I{prefix}/include a b.c -o a -L{prefix}/lib -Wl,-rpath,{prefix}/lib -lmpi_abi")
        );
        assert_eq!(
            output(&moved.join("bin/mpic++"), &["-show", "-c", "a.cc"]),
            format!("c++ -I{prefix}/include -c a.cc")
        );
        assert_eq!(output(&moved.join("bin/mpicc"), &["-compile-info"]), format!("cc -I{prefix}/include"));
        assert_eq!(
            output(&moved.join("bin/mpicc"), &["-showme:link"]),
            format!("-L{prefix}/lib -Wl,-rpath,{prefix}/lib -lmpi_abi")
        );
        assert_eq!(
            output(&moved.join("bin/mpif90"), &["-show", "-c", "a.f90"]),
            format!("gfortran -I{prefix}/include -fallow-argument-mismatch -c a.f90")
        );
        let mpifort =
            Command::new(moved.join("bin/mpifort")).env("EGIDA_FC", "no-such-fortran").output().unwrap();
        let said = String::from_utf8(mpifort.stderr).unwrap();
        assert_eq!(mpifort.status.code(), Some(1));
        assert!(said.contains("`no-such-fortran`") && said.contains("egida install"), "{said}");
        assert_eq!(output(&moved.join("bin/mpirun"), &["-np", "2", "app"]), "run -n 2 app");
        assert_eq!(fs::read_to_string(moved.join("lib/libmpi.so")).unwrap(), "library");

        let again = InstallSources::beside(moved.join("bin/egida")).unwrap();
        let third = folder.path().join("third");
        install(&third, &again).unwrap();
        assert_eq!(fs::read_to_string(third.join("lib/libmpi_abi.so.1")).unwrap(), "library");
        install(&moved, &again).unwrap();
        assert_eq!(fs::read_to_string(moved.join("lib/libmpi_abi.so.1")).unwrap(), "library");
    }

    #[test]
    fn without_a_library_it_says_where_it_looked() {
        let folder = tempfile::tempdir().unwrap();
        let error = InstallSources::beside(folder.path().join("egida")).unwrap_err().to_string();
        assert!(error.contains("libmpi_abi.so`") && error.contains("libmpi_abi.so.1`"), "{error}");
        assert!(error.contains("cargo build -p egida-mpi"), "{error}");
    }

    #[test]
    fn a_prefix_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = install(&folder.path().join("file/prefix"), &sources(folder.path())).unwrap_err();
        assert!(error.to_string().contains("file/prefix/bin/egida"), "{error}");
    }
}
