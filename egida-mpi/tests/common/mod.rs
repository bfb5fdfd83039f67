//! Building C programs against the header and the library of this build, and running them as single ranks.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A C program that was built.
pub struct Program {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Program {
    /// Builds C source text.
    pub fn build(name: &str, source: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the program");
        let (file, path) = (folder.path().join(format!("{name}.c")), folder.path().join(name));
        std::fs::write(&file, source).expect("the source is written");
        let libraries = library_folder();
        let library = libraries.join("libmpi_abi.so");
        std::os::unix::fs::symlink(&library, folder.path().join("libmpi_abi.so.1"))
            .expect("the soname's link");
        let output = Command::new("cc")
            .args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-o"])
            .args([&path, &file, &library])
            .arg("-I")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
            .arg(format!("-Wl,-rpath,{}", folder.path().display()))
            .output()
            .expect("a C compiler runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        Self { path, _folder: folder }
    }

    /// Runs it without a launcher.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran(Command::new(&self.path).args(arguments).output().expect("the program runs"))
    }
}

/// A program that has ended.
pub struct Ran(Output);

impl Ran {
    pub fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Asserts a good end, and returns what was printed.
    pub fn good(&self) -> String {
        assert_eq!(self.code(), Some(0), "{}{}", self.stdout(), self.stderr());
        self.stdout()
    }
}

/// Where the tests' own build put the library.
pub fn library_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its file");
    test.parent().expect("the test's file is in a folder").to_owned()
}
