//! The same object file, linked with another unit, runs under another protocol.

use std::path::{Path, PathBuf};
use std::process::Command;

use egida_e2e::installation::{installation, programs_dir, run};
use egida_e2e::job::Job;
use egida_e2e::programs::Program;

/// A ring whose rank 1 is killed: it survives under some protocols only.
fn disturbed(executable: &Path) -> Job {
    Job::of(&Program::named("ring")).executable(executable).kill("1@deliver:50")
}

/// Compiles without linking.
fn object_of(program: &str, directory: &Path) -> PathBuf {
    let object = directory.join(program).with_extension("o");
    let source = programs_dir().join(program).with_extension("c");
    run(Command::new(installation().mpicc()).arg("-std=c11").arg("-c").arg(source).arg("-o").arg(&object));
    object
}

/// Links an object with the unit of a specification.
fn linked_with(spec: &str, object: &Path, directory: &Path) -> PathBuf {
    let unit = directory.join(spec);
    run(Command::new(&installation().egida).arg("synth").arg(installation().spec(spec)).arg("-o").arg(&unit));
    let executable = directory.join(format!("ring-{spec}"));
    let protocol = unit.join("protocol.o");
    run(Command::new(installation().mpicc()).arg(object).arg(protocol).arg("-o").arg(&executable));
    executable
}

#[test]
fn one_object_file_runs_under_the_protocol_that_it_is_linked_with() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let object = object_of("ring", directory.path());
    let bare = linked_with("none", &object, directory.path());
    let causal = linked_with("causal", &object, directory.path());

    let ended = disturbed(&bare).run();
    assert_eq!(ended.code(), Some(137), "{}", ended.stderr_tail());

    let ended = disturbed(&causal).run();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr_tail());
    assert!(ended.report.killed(1, 1, "1@deliver:50"), "{:?}", ended.report);
}

#[test]
fn the_specification_of_the_command_line_overrides_the_linked_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let object = object_of("ring", directory.path());
    let bare = linked_with("none", &object, directory.path());
    let causal = linked_with("causal", &object, directory.path());

    let ended = disturbed(&bare).option("--spec", installation().spec("pessimistic-sender")).run();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr_tail());

    let ended = disturbed(&causal).option("--spec", installation().spec("none")).run();
    assert_eq!(ended.code(), Some(137), "{}", ended.stderr_tail());
}
