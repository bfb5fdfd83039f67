//! Egida and the test programs, built once and shared by all tests.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Where everything is.
#[derive(Debug)]
pub struct Installation {
    /// The `egida` command.
    pub egida: PathBuf,
    /// What `egida install --prefix` laid out.
    pub prefix: PathBuf,
    /// Where the programs' executables are.
    executables: PathBuf,
    /// The environment of Python programs.
    python: PathBuf,
}

/// What Python programs are run with. It is built for the standard's binary interface, so that it stays good for another library.
const MPI4PY: &str = "mpi4py==4.1.2";

/// The installation, built when first asked for. `EGIDA_BIN` names a command to
/// use in place of the one that cargo builds.
///
/// # Panics
/// Something cannot be built; the message holds the tool's output.
pub fn installation() -> &'static Installation {
    static INSTALLATION: OnceLock<Installation> = OnceLock::new();
    INSTALLATION.get_or_init(|| {
        let directory = target_dir().join("egida-e2e");
        fs::create_dir_all(&directory).expect("the target directory can be written");
        // Other test processes may build at the same time.
        let lock = File::create(directory.join("lock")).expect("the lock can be made");
        lock.lock().expect("the lock can be taken");

        let installation = Installation {
            egida: egida_command(),
            prefix: directory.join("prefix"),
            executables: directory.join("programs"),
            python: directory.join("python"),
        };
        installation.install();
        installation.compile_programs();
        installation
    })
}

/// The directory of the programs' sources.
pub fn programs_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

impl Installation {
    /// A program's executable.
    pub fn executable(&self, program: &str) -> PathBuf {
        self.executables.join(program)
    }

    /// A specification's file.
    pub fn spec(&self, name: &str) -> PathBuf {
        workspace_dir().join("specs").join(name).with_extension("egd")
    }

    /// The Fortran compiler wrapper.
    pub fn mpifort(&self) -> PathBuf {
        self.prefix.join("bin/mpifort")
    }

    /// The compiler wrapper.
    pub fn mpicc(&self) -> PathBuf {
        self.prefix.join("bin/mpicc")
    }

    fn install(&self) {
        let stamp = self.prefix.join(".installed");
        let library = self.egida.with_file_name("libmpi_abi.so");
        if is_newer(&stamp, &[self.egida.clone(), library]) {
            return;
        }
        if self.prefix.exists() {
            fs::remove_dir_all(&self.prefix).expect("the old prefix can be removed");
        }
        run(Command::new(&self.egida).arg("install").arg("--prefix").arg(&self.prefix));
        File::create(stamp).expect("the prefix can be written");
    }

    fn compile_programs(&self) {
        fs::create_dir_all(&self.executables).expect("the target directory can be written");
        let common = programs_dir().join("common.h");
        for entry in fs::read_dir(programs_dir()).expect("the programs are there") {
            let source = entry.expect("the programs are there").path();
            let Some(language) = source.extension().and_then(Language::of) else { continue };
            let executable = self.executables.join(source.file_stem().expect("a name"));
            let stamp = self.prefix.join(".installed");
            if is_newer(&executable, &[source.clone(), common.clone(), stamp]) {
                continue;
            }
            match language {
                Language::C => self.compile(&[&source], &executable),
                Language::Python => self.make_executable(&source, &executable),
                Language::Rust => {
                    let library = self.prefix.join("lib");
                    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
                    rustc
                        .args(["--edition=2024", "-Copt-level=1", "-Dwarnings", "-lmpi_abi", "-L"])
                        .arg(&library);
                    rustc.arg(format!("-Clink-arg=-Wl,-rpath,{}", library.display()));
                    run(rustc.arg(&source).arg("-o").arg(&executable));
                }
                Language::Fortran(flags) => {
                    let modules = tempfile::tempdir().expect("a folder for modules");
                    let mut mpifort = Command::new(self.mpifort());
                    mpifort.arg("-J").arg(modules.path());
                    // States are folded by multiplications that wrap, as C's unsigned ones do.
                    mpifort.args(["-O1", "-fwrapv"]).args(flags);
                    run(mpifort.arg(&source).arg("-o").arg(&executable));
                }
            }
        }
    }

    /// Puts the line that names the interpreter in front of a Python program.
    fn make_executable(&self, source: &Path, executable: &Path) {
        let interpreter = self.python.join("bin/python");
        let built = self.python.join("built-with");
        if fs::read_to_string(&built).ok().as_deref() != Some(MPI4PY) {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&self.python));
            let mut pip = Command::new(&interpreter);
            pip.args(["-m", "pip", "--quiet", "install", "--no-cache-dir", "--no-binary", "mpi4py", MPI4PY]);
            // Compiled fast: the programs spend no time in it.
            run(pip.env("MPICC", self.mpicc()).env("CFLAGS", "-O0 -g0"));
            fs::write(built, MPI4PY).expect("the environment can be written");
        }
        let text = fs::read_to_string(source).expect("the program is there");
        let text = format!("#!{}\n{text}", interpreter.display());
        // Written anew, so that nobody runs half of it.
        let new = executable.with_extension("new");
        fs::write(&new, text).expect("the target directory can be written");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
        fs::rename(new, executable).expect("the target directory can be written");
    }

    /// Compiles and links with Egida's wrapper.
    ///
    /// # Panics
    /// The compiler refuses.
    pub fn compile(&self, sources: &[&Path], output: &Path) {
        let mut mpicc = Command::new(self.mpicc());
        mpicc.args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror"]);
        run(mpicc.args(sources).arg("-o").arg(output));
    }
}

/// What a program is written in.
#[derive(Debug, Clone, Copy)]
enum Language {
    C,
    /// With these flags.
    Fortran(&'static [&'static str]),
    Python,
    Rust,
}

impl Language {
    fn of(extension: &OsStr) -> Option<Self> {
        match extension.to_str()? {
            "c" => Some(Self::C),
            // Without interfaces, buffers of several types are a warning each.
            "f" => Some(Self::Fortran(&["-w"])),
            "py" => Some(Self::Python),
            "rs" => Some(Self::Rust),
            "f90" => Some(Self::Fortran(&["-std=f2018", "-Wall", "-Werror"])),
            _ => None,
        }
    }
}

/// Builds the command and the library with the profile of this test, unless
/// `EGIDA_BIN` names a command.
fn egida_command() -> PathBuf {
    if let Some(given) = env::var_os("EGIDA_BIN") {
        return fs::canonicalize(given).expect("`EGIDA_BIN` names a file");
    }
    let profile_dir = profile_dir();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace_dir()).args(["build", "--quiet", "-p", "egida-cli", "-p", "egida-mpi"]);
    cargo.arg("--target-dir").arg(target_dir());
    if profile_dir.ends_with("release") {
        cargo.arg("--release");
    }
    run(&mut cargo);
    profile_dir.join("egida")
}

/// `target/debug` or `target/release`: a test runs from `deps/` below it.
fn profile_dir() -> PathBuf {
    let test = env::current_exe().expect("a test knows where it is");
    let deps = test.ancestors().find(|path| path.ends_with("deps"));
    deps.and_then(Path::parent).expect("a test runs from `deps/`").to_owned()
}

fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a profile has a target directory").to_owned()
}

fn workspace_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn is_newer(product: &Path, sources: &[PathBuf]) -> bool {
    let modified = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    let Some(made) = modified(product) else {
        return false;
    };
    sources.iter().filter_map(|source| modified(source)).all(|changed| changed <= made)
}

/// Runs a tool.
///
/// # Panics
/// It fails.
pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
