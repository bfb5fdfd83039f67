//! `egida synth`: binds a specification and has the stack describe itself; writes the link unit.
//!
//! The description goes to standard output. Exit codes: 0 where the specification binds, 2 where it does not or a file
//! cannot be read or written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use egida_core::describe::{DescribeError, Description, Shape, Source, describe};
use egida_core::link_unit::LinkedSpecification;
use egida_core::registry::Registry;
use egida_spec::declared_unit;
use egida_spec::protocol::FailureUnit;
use thiserror::Error;

use crate::language::FailureUnitArg;
use crate::relink::{self, RelinkError};
use crate::specification::{Refusal, Specification, style_of_stderr};

/// The specification does not bind, or a file cannot be read or written.
const REFUSED: u8 = 2;

/// Bind a specification and show the stack: its modules, who calls whom at each event, and what follows.
#[derive(Debug, Clone, Args)]
pub struct SynthArgs {
    /// The specification, or a program that was linked with one
    #[arg(value_name = "SPEC")]
    pub spec: PathBuf,
    /// What fails as one [default: what the specification declares, else `node`]
    #[arg(long, value_enum, value_name = "UNIT")]
    pub failure_unit: Option<FailureUnitArg>,
    /// For a job of so many ranks
    #[arg(short = 'n', long = "ranks", value_name = "RANKS", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MAX_RANKS))]
    pub ranks: u32,
    /// How many ranks share a node
    #[arg(long, value_name = "K", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub ranks_per_node: u32,
    /// The form of the description
    #[arg(long, value_enum, default_value_t = Emit::Text)]
    pub emit: Emit,
    /// Write the link unit `protocol.o` into this directory too: a program linked with it runs under this protocol
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// The most ranks a job may be described for.
const MAX_RANKS: i64 = 1 << 20;

/// The forms of a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// For people
    Text,
    /// For programs
    Json,
    /// The call graph, for graphviz
    Dot,
}

#[derive(Debug, Error)]
enum SynthError {
    #[error("the specification is refused")]
    Refused(Refusal),
    #[error("{0}")]
    Describe(DescribeError),
    #[error(transparent)]
    Relink(#[from] RelinkError),
    #[error("cannot write the description: {0}")]
    Output(#[from] io::Error),
}

impl From<Refusal> for SynthError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// `egida synth SPEC [--failure-unit U] [-n RANKS] [--ranks-per-node K] [--emit text|json|dot] [-o DIR]`
#[must_use]
pub fn synth(args: &SynthArgs, registry: &Registry) -> ExitCode {
    match run(args, registry) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that went away (`egida synth ... | head`) is no error.
        Err(SynthError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(SynthError::Refused(refusal)) => {
            eprint!("{}", refusal.report(style_of_stderr()));
            ExitCode::from(REFUSED)
        }
        Err(error) => {
            eprintln!("egida: {error}");
            ExitCode::from(REFUSED)
        }
    }
}

fn run(args: &SynthArgs, registry: &Registry) -> Result<(), SynthError> {
    let specification = Specification::read(&args.spec, &registry.vocabulary)?;
    let unit = args.failure_unit.map_or_else(|| declared_unit(&specification.protocol), FailureUnit::from);
    let shape = Shape { ranks: args.ranks, ranks_per_node: args.ranks_per_node, unit };
    let name = file_name(Path::new(&specification.name));
    let source = Source { name: &name, text: &specification.text };
    let description = match describe(&specification.protocol, source, registry, shape) {
        Ok(description) => description,
        Err(DescribeError::Bind(errors)) => return Err(specification.refused(errors).into()),
        Err(error) => return Err(SynthError::Describe(error)),
    };
    if let Some(directory) = &args.output {
        let unit = relink::write_unit(directory, &LinkedSpecification { name, text: specification.text })?;
        eprintln!("egida: wrote {}", unit.display());
    }
    let rendered = emit(&description, args.emit)?;
    Ok(io::stdout().lock().write_all(rendered.as_bytes())?)
}

fn emit(description: &Description, form: Emit) -> Result<String, io::Error> {
    Ok(match form {
        Emit::Text => description.to_string(),
        Emit::Json => serde_json::to_string_pretty(description)? + "\n",
        Emit::Dot => description.to_dot(),
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
