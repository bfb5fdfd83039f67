//! Programs that load the MPI library while they run: those in Python, whose interpreter is not linked with it.
//!
//! What such a program reads from outside before (the seed of its hashes is one of the first things) and what other libraries of it
//! read has to be an event too. So the library is loaded into the interpreter before anything else.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::install::InstallSources;

/// The library to load first, where the program is one in Python.
pub fn library_for(program: Option<&Path>) -> Option<PathBuf> {
    program.filter(|program| is_python(program)).and_then(|_| Some(InstallSources::locate().ok()?.library))
}

/// Whether a file is an interpreter of Python, or a script for one.
fn is_python(program: &Path) -> bool {
    let begins =
        |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"python"));
    begins(program) || std::fs::canonicalize(program).is_ok_and(|real| begins(&real)) || names_python(program)
}

/// Whether a script's first line names an interpreter of Python.
fn names_python(script: &Path) -> bool {
    let mut head = [0; 256];
    let Ok(len) = File::open(script).and_then(|mut file| file.read(&mut head)) else { return false };
    let first = head[..len].split(|&byte| byte == b'\n').next().unwrap_or_default();
    let Some(line) = first.strip_prefix(b"#!") else { return false };
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    words.any(|word| {
        Path::new(word).file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("python"))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn python_is_known_by_its_name_and_by_a_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [
            ("script", "#!/usr/bin/env -S python3 -u\nimport mpi4py\n"),
            ("shell", "#!/bin/sh\npython3 program.py\n"),
            ("program", "\x7fELF python"),
            ("python3.13", "\x7fELF"),
        ] {
            fs::write(at(name), text).unwrap();
        }
        symlink("python3.13", at("py")).unwrap();
        let found: Vec<_> = ["script", "shell", "program", "python3.13", "py", "absent"]
            .map(|name| is_python(&at(name)))
            .into();
        assert_eq!(found, [true, false, false, true, true, false]);
    }
}
