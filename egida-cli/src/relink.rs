//! Link units as files: written for the linker, and found again in what was linked.
//!
//! A unit is a relocatable ELF object with one note and nothing else; see [`egida_core::link_unit`].

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use egida_core::link_unit::{self, LinkUnitError, LinkedSpecification};
use object::elf;
use object::read::{Object as _, ObjectSection as _, ReadCache};
use object::write::Object;
use object::{Architecture, BinaryFormat, Endianness, FileFlags, SectionFlags, SectionKind};
use thiserror::Error;

/// The file name of a link unit.
const UNIT: &str = "protocol.o";

/// Why a link unit cannot be written or read.
#[derive(Debug, Error)]
pub enum RelinkError {
    /// A file or directory refuses.
    #[error("cannot {what} `{}`: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// This build writes no objects for its own machine.
    #[error(
        "link units are written for x86-64 and aarch64, and this is {machine}; use `egida run --spec` instead"
    )]
    Machine {
        /// The machine.
        machine: &'static str,
    },
    /// The object could not be laid out.
    #[error("cannot write the link unit: {0}")]
    Write(object::write::Error),
    /// The file begins as an executable does and is none.
    #[error("`{}` is damaged: {error}", path.display())]
    Executable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: object::read::Error,
    },
    /// The unit in the file cannot be used.
    #[error("`{}`: {error}", path.display())]
    Unit {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: LinkUnitError,
    },
}

/// Writes `protocol.o` into a directory, which is made if it does not exist. Returns the file's path.
///
/// # Errors
/// [`RelinkError`].
pub fn write_unit(directory: &Path, specification: &LinkedSpecification) -> Result<PathBuf, RelinkError> {
    let path = directory.join(UNIT);
    let note =
        link_unit::encode(specification).map_err(|error| RelinkError::Unit { path: path.clone(), error })?;
    let object = relocatable(note)?;
    fs::create_dir_all(directory).map_err(io_error("make directory", directory))?;
    fs::write(&path, object).map_err(io_error("write", &path))?;
    Ok(path)
}

/// The specification that an executable was linked with; nothing if it was linked with none, or is no ELF file (a script
/// that starts the program, for instance).
///
/// # Errors
/// [`RelinkError`] where the file cannot be read, or holds a unit that cannot be used.
pub fn linked_specification(path: &Path) -> Result<Option<LinkedSpecification>, RelinkError> {
    let mut file = File::open(path).map_err(io_error("read", path))?;
    if !is_elf(&mut file).map_err(io_error("read", path))? {
        return Ok(None);
    }
    let damaged = |error| RelinkError::Executable { path: path.to_owned(), error };
    // Of a large executable only the tables and the one section are read.
    let cache = ReadCache::new(file);
    let parsed = object::File::parse(&cache).map_err(damaged)?;
    let Some(section) = parsed.section_by_name(link_unit::SECTION) else { return Ok(None) };
    let bytes = section.data().map_err(damaged)?;
    let unit =
        link_unit::decode(bytes).map_err(|error| RelinkError::Unit { path: path.to_owned(), error })?;
    Ok(Some(unit))
}

fn is_elf(file: &mut File) -> io::Result<bool> {
    let mut magic = Vec::new();
    file.by_ref().take(elf::ELFMAG.len() as u64).read_to_end(&mut magic)?;
    file.rewind()?;
    Ok(magic == elf::ELFMAG)
}

fn relocatable(note: Vec<u8>) -> Result<Vec<u8>, RelinkError> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => Architecture::X86_64,
        "aarch64" => Architecture::Aarch64,
        machine => return Err(RelinkError::Machine { machine }),
    };
    let mut object = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
    let section = object.add_section(Vec::new(), link_unit::SECTION.into(), SectionKind::Note);
    object.set_section_data(section, note, link_unit::ALIGN_BYTES);
    // Notes are kept by most linkers' garbage collection; the flag, which is one of GNU's, convinces the others.
    let sh_flags = elf::SHF_ALLOC | elf::SHF_GNU_RETAIN;
    object.section_mut(section).flags = SectionFlags::Elf { sh_type: elf::SHT_NOTE, sh_flags };
    object.flags = FileFlags::Elf { os_abi: elf::ELFOSABI_GNU, abi_version: 0, e_flags: Default::default() };
    // Without this mark linkers take the object for old code that wants an executable stack.
    let stack = object.add_section(Vec::new(), b".note.GNU-stack".to_vec(), SectionKind::Other);
    object.section_mut(stack).flags =
        SectionFlags::Elf { sh_type: elf::SHT_PROGBITS, sh_flags: elf::SectionFlags(0) };
    object.write().map_err(RelinkError::Write)
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RelinkError {
    let path = path.to_owned();
    move |error| RelinkError::Io { what, path, error }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A program of one object file.
    struct Program {
        directory: tempfile::TempDir,
        object: PathBuf,
    }

    impl Program {
        fn compiled() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let source = directory.path().join("main.c");
            let object = directory.path().join("main.o");
            fs::write(&source, "int main(void) { return 0; }\n").unwrap();
            run(Command::new("gcc").arg("-ffunction-sections").arg("-c").arg(&source).arg("-o").arg(&object));
            Self { directory, object }
        }

        fn unit(&self, specification: &LinkedSpecification) -> PathBuf {
            write_unit(&self.directory.path().join(&specification.name), specification).unwrap()
        }

        /// Links without a warning, and runs the result.
        fn linked_with(&self, units: &[&Path], flags: &[&str]) -> PathBuf {
            let executable = self.directory.path().join(format!("program{}", units.len()));
            run(Command::new("gcc")
                .args(["-Wl,--fatal-warnings"])
                .args(flags)
                .arg(&self.object)
                .args(units)
                .arg("-o")
                .arg(&executable));
            run(&mut Command::new(&executable));
            executable
        }
    }

    fn run(command: &mut Command) {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn specification(name: &str) -> LinkedSpecification {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs").join(name);
        LinkedSpecification { name: name.to_owned(), text: fs::read_to_string(path).unwrap() }
    }

    #[test]
    fn the_same_object_file_carries_the_protocol_that_it_is_linked_with() {
        let program = Program::compiled();
        let mut ways = vec![&[][..], &["-Wl,--gc-sections"], &["-static"], &["-O2", "-flto"]];
        for (linker, way) in [
            ("ld.gold", &["-fuse-ld=gold", "-Wl,--gc-sections"][..]),
            ("ld.lld", &["-fuse-ld=lld", "-Wl,--gc-sections"]),
            ("mold", &["-fuse-ld=mold", "-Wl,--gc-sections"]),
        ] {
            if Command::new(linker).arg("--version").output().is_ok() {
                ways.push(way);
            }
        }
        for name in ["causal.egd", "pessimistic-sender.egd"] {
            let specification = specification(name);
            let unit = program.unit(&specification);
            for flags in &ways {
                let executable = program.linked_with(&[&unit], flags);
                assert_eq!(
                    linked_specification(&executable).unwrap().as_ref(),
                    Some(&specification),
                    "{flags:?}"
                );
                run(Command::new("strip").arg(&executable));
                run(&mut Command::new(&executable));
                assert_eq!(
                    linked_specification(&executable).unwrap().as_ref(),
                    Some(&specification),
                    "{flags:?}"
                );
            }
        }
    }

    #[test]
    fn a_program_without_a_unit_has_no_specification_and_a_script_neither() {
        let program = Program::compiled();
        assert_eq!(linked_specification(&program.linked_with(&[], &[])).unwrap(), None);
        let script = program.directory.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        assert_eq!(linked_specification(&script).unwrap(), None);
        fs::write(&script, "").unwrap();
        assert_eq!(linked_specification(&script).unwrap(), None);
    }

    #[test]
    fn two_units_are_refused_by_name() {
        let program = Program::compiled();
        let units = [program.unit(&specification("causal.egd")), program.unit(&specification("none.egd"))];
        let executable = program.linked_with(&[&units[0], &units[1]], &[]);
        let error = linked_specification(&executable).unwrap_err().to_string();
        assert!(error.contains("`causal.egd` and `none.egd`"), "{error}");
    }

    #[test]
    fn a_damaged_executable_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("short");
        fs::write(&path, b"\x7fELF and nothing more").unwrap();
        assert!(matches!(linked_specification(&path), Err(RelinkError::Executable { .. })));
        let missing = linked_specification(&directory.path().join("missing"));
        assert!(matches!(missing, Err(RelinkError::Io { .. })));
    }
}
