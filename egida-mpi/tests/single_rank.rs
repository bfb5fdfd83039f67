//! C programs that nobody launched: a single rank.

mod common;

use common::Program;

fn build(name: &str, source: &str) -> Program {
    let check = include_str!("programs/check.h");
    Program::build(name, &source.replace("#include \"check.h\"", check))
}

#[test]
fn messages_to_oneself() {
    assert_eq!(build("self", include_str!("programs/self.c")).run(&[]).good(), "good\n");
}

#[test]
fn messages_in_partitions() {
    assert_eq!(build("partitioned", include_str!("programs/partitioned.c")).run(&[]).good(), "good\n");
}

#[test]
fn environment_communicators_groups() {
    assert_eq!(build("environment", include_str!("programs/environment.c")).run(&[]).good(), "good\n");
}

#[test]
fn errors_go_to_the_handler() {
    let program = build("errors", include_str!("programs/errors.c"));
    let ran = program.run(&[]);
    let told = "is not supported by this library, which the program is told by an error";
    let expected = format!("egida: rank 0: MPI_Win_create {told}\negida: rank 0: MPI_Win_fence {told}\n");
    assert_eq!((ran.code(), ran.stdout(), ran.stderr()), (Some(0), "good\n".to_owned(), expected));

    let fatal = program.run(&["fatal"]);
    assert_eq!(fatal.code(), Some(1));
    let expected =
        "egida: rank 0: MPI_Send on MPI_COMM_WORLD: MPI_ERR_RANK: invalid rank: rank 3 of 1 ranks\n";
    assert_eq!(fatal.stderr(), expected);
}

#[test]
fn a_function_that_is_not_there_names_itself() {
    let ran = build("errors", include_str!("programs/errors.c")).run(&["missing"]);
    assert_eq!(ran.code(), Some(1));
    assert_eq!(ran.stderr(), "egida: rank 0: MPI_Win_fence is not supported by this library\n");
}

#[test]
fn abort_ends_with_its_code_and_keeps_the_output() {
    let ran = build("errors", include_str!("programs/errors.c")).run(&["abort"]);
    assert_eq!((ran.code(), ran.stdout().as_str()), (Some(33), "before"));
}

#[test]
fn waiting_for_nobody_is_an_error_and_no_hang() {
    let ran = build("errors", include_str!("programs/errors.c")).run(&["alone"]);
    assert_eq!(ran.code(), Some(1));
    assert!(ran.stderr().contains("waits for a message that nobody can send"), "{}", ran.stderr());
}

#[test]
fn a_call_before_init_says_so() {
    let source = "#include <mpi.h>\nint main(void) { int n; MPI_Comm_size(MPI_COMM_WORLD, &n); return 0; }\n";
    let ran = build("early", source).run(&[]);
    assert_eq!(ran.code(), Some(1));
    assert!(ran.stderr().contains("MPI_Comm_size: MPI_ERR_OTHER"), "{}", ran.stderr());
    assert!(ran.stderr().contains("MPI_Init was not called"), "{}", ran.stderr());
}

#[test]
fn collectives_of_one() {
    assert_eq!(build("collectives", include_str!("programs/collectives.c")).run(&[]).good(), "good\n");
}

#[test]
fn what_needs_no_other_process() {
    assert_eq!(build("local", include_str!("programs/local.c")).run(&[]).good(), "good\n");
}
