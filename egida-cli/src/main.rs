#![forbid(unsafe_code)]
//! The `egida` command. Thin: each subcommand is a file, and what decides is in the libraries.

mod bench;
mod daemon;
mod install;
mod language;
mod pages;
mod relink;
mod run;
mod sim;
mod specification;
mod synth;
mod trace;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Rollback recovery for MPI programs, from a protocol in ten lines.
#[derive(Debug, Parser)]
#[command(name = "egida", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    /// The daemon of a host, which `egida run --hosts` starts there
    #[command(hide = true)]
    Daemon(daemon::DaemonArgs),
    Check(language::CheckArgs),
    Fmt(language::FmtArgs),
    Explain(language::ExplainArgs),
    Synth(synth::SynthArgs),
    Sim(sim::SimArgs),
    Trace(trace::TraceArgs),
    Verify(verify::VerifyArgs),
    Install(install::InstallArgs),
    /// Measure what protocols cost while nothing fails, side by side
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let registry = egida_modules::registry();
    match Cli::parse().command {
        Command::Run(args) => run::run(args, linked_text),
        Command::Daemon(args) => daemon::daemon(&args),
        // The whole language, of which this build may implement less: that is asked when a protocol is bound.
        Command::Check(args) => language::check(&args, &egida_spec::Vocabulary::default()),
        Command::Fmt(args) => language::fmt(&args),
        Command::Explain(args) => language::explain(&args),
        Command::Synth(args) => synth::synth(&args, &registry),
        Command::Sim(args) => sim::sim(&args, &registry),
        Command::Trace(args) => trace::trace(&args),
        Command::Verify(args) => verify::run(&args, &registry),
        Command::Bench(args) => bench::bench(&args),
        Command::Install(args) => match install::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("egida: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

/// The text that a program was linked with.
fn linked_text(program: &std::path::Path) -> Option<String> {
    match relink::linked_specification(program) {
        Ok(linked) => linked.map(|linked| linked.text),
        Err(error) => {
            eprintln!("egida: {error}");
            None
        }
    }
}
