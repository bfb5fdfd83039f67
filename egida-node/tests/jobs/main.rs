//! Whole jobs: this executable is the tests, the launcher that they start, and the ranks that the launcher starts.
//!
//! It has no harness because a launcher must spawn from its main thread. `cargo test --test jobs -- NAME` runs the tests
//! whose names contain NAME.

mod launcher;
mod rank;
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os(egida_shm::ENV_RANK).is_some() {
        return rank::main();
    }
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("launch") => launcher::main(args),
        // Asked by tools that list tests.
        Some("--list") => ExitCode::SUCCESS,
        filter => tests::run(filter.filter(|filter| !filter.starts_with('-'))),
    }
}
