//! `egida trace`: reads a trace that `egida sim` or `egida run` wrote.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use egida_core::ids::Rank;
use egida_core::trace::{FORMAT, Header, Stamped, Summary, VERSION, shiviz};
use thiserror::Error;

/// Tell what a trace says: what the run cost, its events in words, or a file for ShiViz to draw
///
/// Exit codes: 0, or 2 where the file is no trace or something cannot be written.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// What `egida sim --trace FILE` or `egida run --trace FILE` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Tell each event in a sentence, before the summary
    #[arg(long)]
    pub events: bool,
    /// Tell of failures and recovery alone, before the summary
    #[arg(long, conflicts_with = "events")]
    pub news: bool,
    /// Of these ranks only; recovery is always told of
    #[arg(long, value_name = "RANK", value_delimiter = ',')]
    pub rank: Vec<Rank>,
    /// Write the events in the format that ShiViz draws; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub shiviz: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Error)]
enum TraceError {
    #[error("cannot read `{0}`: {1}")]
    Read(String, io::Error),
    #[error("`{0}` is no trace: its first line is not the header of one")]
    NoTrace(String),
    #[error("`{0}` is a trace of version {1}, and this build reads version {VERSION}")]
    Version(String, u32),
    #[error("`{0}`, line {1}: {2}")]
    Line(String, usize, serde_json::Error),
    #[error("cannot write {0}: {1}")]
    Write(String, io::Error),
}

/// `egida trace FILE`
#[must_use]
pub fn trace(args: &TraceArgs) -> ExitCode {
    match tell(args) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read has had enough.
        Err(TraceError::Write(_, error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("egida: {error}");
            ExitCode::from(2)
        }
    }
}

fn tell(args: &TraceArgs) -> Result<(), TraceError> {
    let name = args.file.display().to_string();
    let read = |error| TraceError::Read(name.clone(), error);
    let mut lines = BufReader::new(File::open(&args.file).map_err(read)?).lines();
    let first = lines.next().transpose().map_err(read)?.unwrap_or_default();
    let header: Header = serde_json::from_str(&first).map_err(|_| TraceError::NoTrace(name.clone()))?;
    if header.format != FORMAT {
        return Err(TraceError::NoTrace(name));
    }
    if header.version > VERSION {
        return Err(TraceError::Version(name, header.version));
    }
    let of_stdout = |error| TraceError::Write("standard output".to_owned(), error);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut drawing = args.shiviz.as_deref().map(Drawing::create).transpose()?;
    let mut summary = Summary::default();
    for (number, text) in (2..).zip(lines) {
        let text = text.map_err(read)?;
        let Stamped { line, clock } =
            serde_json::from_str(&text).map_err(|error| TraceError::Line(name.clone(), number, error))?;
        summary.add(&line);
        if line.rank.is_some_and(|rank| !args.rank.is_empty() && !args.rank.contains(&rank)) {
            continue;
        }
        if args.events || (args.news && line.event.is_news()) {
            writeln!(out, "{:>12} {line}", line.time_ns).map_err(of_stdout)?;
        }
        if let Some(drawing) = &mut drawing {
            drawing.write(&shiviz::entry(&line, &clock))?;
        }
    }
    if let Some(drawing) = drawing {
        return drawing.finish();
    }
    if args.json {
        serde_json::to_writer_pretty(&mut out, &summary).map_err(|error| of_stdout(error.into()))?;
        writeln!(out).map_err(of_stdout)?;
    } else {
        write!(out, "{} on {} ranks\n{summary}", header.specification, header.ranks).map_err(of_stdout)?;
    }
    out.flush().map_err(of_stdout)
}

/// A file for ShiViz.
struct Drawing {
    name: String,
    out: BufWriter<Box<dyn Write>>,
}

impl Drawing {
    fn create(path: &Path) -> Result<Self, TraceError> {
        let name = format!("`{}`", path.display());
        let out: Box<dyn Write> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            Box::new(File::create(path).map_err(|error| TraceError::Write(name.clone(), error))?)
        };
        let mut drawing = Self { name, out: BufWriter::new(out) };
        drawing.write(shiviz::HEAD)?;
        Ok(drawing)
    }

    fn write(&mut self, text: &str) -> Result<(), TraceError> {
        self.out.write_all(text.as_bytes()).map_err(|error| TraceError::Write(self.name.clone(), error))
    }

    fn finish(mut self) -> Result<(), TraceError> {
        self.out.flush().map_err(|error| TraceError::Write(self.name, error))
    }
}
