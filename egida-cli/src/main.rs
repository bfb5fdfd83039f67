#![forbid(unsafe_code)]
//! The `egida` command. Thin: each subcommand is a file, and what decides is in the libraries.

mod language;
mod relink;
mod specification;
mod synth;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use egida_spec::Vocabulary;

/// Rollback recovery for MPI programs, from a protocol in ten lines.
#[derive(Debug, Parser)]
#[command(name = "egida", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(language::CheckArgs),
    Fmt(language::FmtArgs),
    Explain(language::ExplainArgs),
    Synth(synth::SynthArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => language::check(&args, &Vocabulary::default()),
        Command::Fmt(args) => language::fmt(&args),
        Command::Explain(args) => language::explain(&args),
        Command::Synth(args) => synth::synth(&args, &egida_modules::registry()),
    }
}
