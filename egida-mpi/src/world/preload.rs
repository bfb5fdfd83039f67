//! Being loaded into a program before it asks for MPI: `egida run` does so to interpreters, by the dynamic linker's `LD_PRELOAD`.

use std::env;
use std::path::Path;

/// Environment variable: what of `LD_PRELOAD` the launcher has put there.
const ENV_PRELOAD: &str = "EGIDA_PRELOAD";
const LD_PRELOAD: &str = "LD_PRELOAD";

/// Whether the launcher has loaded the library here, and this is not yet the interpreter that it is for.
pub fn is_for_another() -> bool {
    env::var_os(ENV_PRELOAD).is_some() && !env::current_exe().is_ok_and(|program| is_interpreter(&program))
}

fn is_interpreter(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"python"))
}

/// Takes it out of the environment again: what this process starts is no rank.
pub fn forget() {
    let (Ok(ours), Ok(all)) = (env::var(ENV_PRELOAD), env::var(LD_PRELOAD)) else { return };
    let others = without(&ours, &all);
    // SAFETY: called while the library initialises, before the program has threads, or from the thread that calls `MPI_Init`.
    unsafe {
        env::remove_var(ENV_PRELOAD);
        if others.is_empty() { env::remove_var(LD_PRELOAD) } else { env::set_var(LD_PRELOAD, others) }
    }
}

/// A list of libraries without the first that is `ours`.
fn without<'a>(ours: &str, all: &'a str) -> &'a str {
    all.strip_prefix(ours).map_or(all, |others| others.strip_prefix(':').unwrap_or(others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_launcher_added_goes() {
        assert_eq!(without("/a/lib.so", "/a/lib.so"), "");
        assert_eq!(without("/a/lib.so", "/a/lib.so:/b.so:/c.so"), "/b.so:/c.so");
        assert_eq!(without("/a/lib.so", "/b.so"), "/b.so");
    }

    #[test]
    fn a_shell_is_no_interpreter_of_python() {
        let known = ["/usr/bin/python3.13", "/opt/python", "/bin/dash", "/usr/bin/env"]
            .map(|path| is_interpreter(Path::new(path)));
        assert_eq!(known, [true, true, false, false]);
    }
}
