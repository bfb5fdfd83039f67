//! `egida bench`: what a protocol costs while nothing fails, side by side with the others.
//!
//! The same unmodified program is run under each protocol in turn, round after round, so that a slow minute of the machine
//! is shared by all; medians over the rounds are compared. The benchmark's C source is compiled by the wrapper of the very
//! library that is measured.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::install::{InstallError, InstallSources, install};

const SOURCE: &str = include_str!("../../bench/pingpong.c");

/// The protocols that are measured where none is named; the first is what the others are compared with.
const SPECIFICATIONS: [(&str, &str); 6] = [
    ("none", include_str!("../../specs/none.egd")),
    ("causal", include_str!("../../specs/causal.egd")),
    ("causal-receive", include_str!("../../specs/causal-receive.egd")),
    ("pessimistic-sender", include_str!("../../specs/pessimistic-sender.egd")),
    ("pessimistic-sender-receive", include_str!("../../specs/pessimistic-sender-receive.egd")),
    ("pessimistic-receiver", include_str!("../../specs/pessimistic-receiver.egd")),
];

/// How many bytes a protocol that logs may have to keep for one size, so that a whole job stays far from its limit.
const BYTES_PER_SIZE: u64 = 16 << 20;

/// `egida bench`
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Latency, message rate and bandwidth between two ranks
    Pingpong(PingpongArgs),
}

#[derive(Debug, Args)]
struct PingpongArgs {
    /// Message sizes in bytes
    #[arg(long, value_delimiter = ',', default_value = "8,64,1024,8192,65536,1048576,4194304",
          value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    sizes: Vec<u64>,

    /// A protocol to measure, the first of them the one to compare with; all of this build where none is named
    #[arg(long = "spec", value_name = "FILE")]
    specs: Vec<PathBuf>,

    /// The failure unit, as for `egida run`
    #[arg(long, value_name = "UNIT")]
    failure_unit: Option<String>,

    /// How many times each protocol is run; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// How to print the result
    #[arg(long, default_value = "text")]
    emit: Emit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Emit {
    Text,
    Json,
}

/// Why there is no result.
#[derive(Debug)]
enum BenchError {
    Install(InstallError),
    Io { what: String, error: io::Error },
    Compiler(String),
    Job { protocol: String, why: String },
}

impl fmt::Display for BenchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install(error) => error.fmt(out),
            Self::Io { what, error } => write!(out, "cannot {what}: {error}"),
            Self::Compiler(why) => {
                write!(out, "the benchmark does not compile (is a C compiler installed?): {why}")
            }
            Self::Job { protocol, why } => write!(out, "the benchmark failed under `{protocol}`: {why}"),
        }
    }
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
    let what = what.into();
    move |error| BenchError::Io { what, error }
}

/// What is measured: a kind and a size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Measure {
    kind: String,
    bytes: u64,
}

/// Medians of one protocol.
#[derive(Debug, Serialize)]
struct Column {
    protocol: String,
    medians: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Cell {
    #[serde(flatten)]
    measure: Measure,
    median: f64,
    /// Against the first protocol: above 1 is slower, whatever the kind.
    cost: f64,
}

/// Runs a benchmark and prints its result.
pub fn bench(args: &BenchArgs) -> ExitCode {
    let What::Pingpong(args) = &args.what;
    match pingpong(args) {
        Ok(columns) => {
            match args.emit {
                Emit::Text => print!("{}", table(&columns, args.rounds)),
                Emit::Json => match serde_json::to_string_pretty(&columns) {
                    Ok(json) => println!("{json}"),
                    Err(error) => eprintln!("egida: {error}"),
                },
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("egida: {error}");
            ExitCode::FAILURE
        }
    }
}

fn pingpong(args: &PingpongArgs) -> Result<Vec<Column>, BenchError> {
    let directory = tempfile::tempdir().map_err(io_error("make a temporary folder"))?;
    let program = compile(directory.path())?;
    let protocols = protocols(&args.specs, directory.path())?;
    let bar = ProgressBar::new(u64::from(args.rounds) * protocols.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta} left)") {
        bar.set_style(style);
    }
    let mut results: Vec<BTreeMap<Measure, Vec<f64>>> = vec![BTreeMap::new(); protocols.len()];
    for _ in 0..args.rounds {
        for ((name, path), results) in protocols.iter().zip(&mut results) {
            bar.set_message(name.clone());
            let job_error = |why: String| BenchError::Job { protocol: name.clone(), why };
            for (measure, value) in run(args, path, &program).map_err(job_error)? {
                results.entry(measure).or_default().push(value);
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(columns(protocols.into_iter().map(|(name, _)| name), &results))
}

/// Compiles the benchmark with the wrapper of this build.
fn compile(directory: &Path) -> Result<PathBuf, BenchError> {
    let prefix = directory.join("prefix");
    InstallSources::locate().and_then(|sources| install(&prefix, &sources)).map_err(BenchError::Install)?;
    let (source, program) = (directory.join("pingpong.c"), directory.join("pingpong"));
    std::fs::write(&source, SOURCE).map_err(io_error("write the benchmark's source"))?;
    let output = Command::new(prefix.join("bin/mpicc"))
        .arg("-O2")
        .arg("-o")
        .arg(&program)
        .arg(&source)
        .output()
        .map_err(io_error("start the compiler's wrapper"))?;
    if !output.status.success() {
        return Err(BenchError::Compiler(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(program)
}

/// The protocols to measure, by name and file.
fn protocols(given: &[PathBuf], directory: &Path) -> Result<Vec<(String, PathBuf)>, BenchError> {
    if !given.is_empty() {
        let name = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(given.iter().map(|path| (name(path), path.clone())).collect());
    }
    let written = SPECIFICATIONS.iter().map(|(name, text)| {
        let path = directory.join(format!("{name}.egd"));
        std::fs::write(&path, text).map_err(io_error("write a specification"))?;
        Ok(((*name).to_owned(), path))
    });
    written.collect()
}

/// One job of two ranks.
fn run(args: &PingpongArgs, specification: &Path, program: &Path) -> Result<Vec<(Measure, f64)>, String> {
    let egida = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(egida);
    command.args(["run", "--quiet", "-n", "2", "--spec"]).arg(specification);
    if let Some(unit) = &args.failure_unit {
        command.args(["--failure-unit", unit]);
    }
    command.arg(program).arg(BYTES_PER_SIZE.to_string()).args(args.sizes.iter().map(u64::to_string));
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// Reads lines of `KIND BYTES VALUE`.
fn parse(text: &str) -> Result<Vec<(Measure, f64)>, String> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let kind = words.next()?.to_owned();
        let bytes = words.next()?.parse().ok()?;
        let value = words.next()?.parse().ok()?;
        words.next().is_none().then_some((Measure { kind, bytes }, value))
    };
    text.lines().map(|text| line(text).ok_or_else(|| format!("it printed `{text}`"))).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

fn columns(names: impl Iterator<Item = String>, results: &[BTreeMap<Measure, Vec<f64>>]) -> Vec<Column> {
    let first: BTreeMap<&Measure, f64> =
        results.first().into_iter().flatten().map(|(measure, values)| (measure, median(values))).collect();
    let cell = |(measure, values): (&Measure, &Vec<f64>)| {
        let median = median(values);
        let ratio = median / first.get(measure).copied().unwrap_or(f64::NAN);
        // Of a time more is worse, of a rate less is.
        let cost = if measure.kind.ends_with("_us") { ratio } else { 1.0 / ratio };
        Cell { measure: measure.clone(), median, cost }
    };
    names
        .zip(results)
        .map(|(protocol, results)| Column { protocol, medians: results.iter().map(cell).collect() })
        .collect()
}

/// A line for each protocol under a heading for each measure.
fn table(columns: &[Column], rounds: u32) -> String {
    use fmt::Write as _;

    let mut text = format!(
        "medians of {rounds} rounds, the protocols in turn; in brackets the cost against the first\n"
    );
    let Some(first) = columns.first() else { return text };
    for (at, cell) in first.medians.iter().enumerate() {
        let Measure { kind, bytes } = &cell.measure;
        let (title, scale, unit) = match kind.as_str() {
            "latency_us" => ("half a round trip", 1.0, "us"),
            "rate_per_s" => ("message rate", 1e-6, "million/s"),
            _ => ("bandwidth", 1e-9, "GB/s"),
        };
        let _ = writeln!(text, "\n{title}, {bytes} bytes");
        for column in columns {
            if let Some(cell) = column.medians.get(at) {
                let _ = writeln!(
                    text,
                    "  {:<28} {:>10.2} {unit}  ({:.2})",
                    column.protocol,
                    cell.median * scale,
                    cell.cost
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_others_refused() {
        let read = parse("latency_us 8 0.5\nrate_per_s 8 1000000\n").unwrap();
        assert_eq!(read[0], (Measure { kind: "latency_us".to_owned(), bytes: 8 }, 0.5));
        assert!(parse("latency_us 8\n").is_err());
        assert!(parse("hello world\n").is_err());
    }

    #[test]
    fn the_middle_counts_and_costs_grow_with_slowness() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&[1.0, 2.0, 3.0, 10.0]), 2.5);
        let result = |latency: f64, rate: f64| {
            BTreeMap::from([
                (Measure { kind: "latency_us".to_owned(), bytes: 8 }, vec![latency]),
                (Measure { kind: "rate_per_s".to_owned(), bytes: 8 }, vec![rate]),
            ])
        };
        let names = ["none", "slow"].map(str::to_owned).into_iter();
        let columns = columns(names, &[result(1.0, 100.0), result(2.0, 50.0)]);
        assert!(columns[0].medians.iter().all(|cell| cell.cost == 1.0));
        assert!(columns[1].medians.iter().all(|cell| cell.cost == 2.0), "{columns:?}");
        assert!(table(&columns, 1).contains("slow"));
    }

    #[test]
    fn every_embedded_specification_is_one_of_this_build() {
        for (name, text) in SPECIFICATIONS {
            assert!(egida_spec::load(name, text).protocol.is_some(), "{name}");
        }
    }
}
