//! What is told of a run while it goes on: to its files, and to whoever looks.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use egida_core::trace::{Clocks, Ended, Event, Header, Line, Stamped, Summary, shiviz};
use egida_sim::schedule::{Crash, Mishap, Schedule};

use super::{Say, SimArgs, SimError};

/// Takes the lines of a trace.
pub(super) struct Teller {
    summary: Summary,
    /// The crashes of the schedule that have not happened.
    expected: Vec<Crash>,
    clocks: Option<Clocks>,
    trace: Option<Sink>,
    shiviz: Option<Sink>,
    /// Whether to show what the application writes.
    output: bool,
    /// Whether to show what is news.
    news: bool,
    say: Say,
    failed: Option<SimError>,
}

struct Sink {
    name: String,
    writer: BufWriter<Box<dyn Write>>,
}

impl Sink {
    fn create(path: &Path) -> Result<Self, SimError> {
        let name = format!("`{}`", path.display());
        let writer: Box<dyn Write> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            Box::new(File::create(path).map_err(|error| SimError::Io(name.clone(), error))?)
        };
        Ok(Self { name, writer: BufWriter::new(writer) })
    }

    fn write(&mut self, text: &[u8]) -> Result<(), SimError> {
        self.writer.write_all(text).map_err(|error| SimError::Io(self.name.clone(), error))
    }

    fn flush(&mut self) -> Result<(), SimError> {
        self.writer.flush().map_err(|error| SimError::Io(self.name.clone(), error))
    }
}

/// One object on a line of its own.
fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, SimError> {
    let mut text =
        serde_json::to_vec(value).map_err(|error| SimError::Io("an event".to_owned(), error.into()))?;
    text.push(b'\n');
    Ok(text)
}

impl Teller {
    /// Opens the files and writes their heads.
    pub fn new(args: &SimArgs, header: &Header, schedule: &Schedule) -> Result<Self, SimError> {
        let mut trace = args.trace.as_deref().map(Sink::create).transpose()?;
        if let Some(trace) = &mut trace {
            trace.write(&json(header)?)?;
        }
        let mut shiviz = args.shiviz.as_deref().map(Sink::create).transpose()?;
        if let Some(shiviz) = &mut shiviz {
            shiviz.write(shiviz::HEAD.as_bytes())?;
        }
        let clocks = (trace.is_some() || shiviz.is_some()).then(|| Clocks::new(header.ranks));
        let crashes = schedule.0.iter().filter_map(|mishap| match mishap {
            Mishap::Crash(crash) => Some(*crash),
            _ => None,
        });
        Ok(Self {
            summary: Summary::default(),
            expected: crashes.collect(),
            clocks,
            trace,
            shiviz,
            output: !args.quiet && !args.json,
            news: args.news,
            say: Say::new(args),
            failed: None,
        })
    }

    /// Takes a line. What goes wrong with it is told in the end.
    pub fn tell(&mut self, line: &Line) {
        self.summary.add(line);
        if let Event::Crash { cause: Ended::Failed } = line.event {
            self.expected
                .retain(|crash| (Some(crash.rank), Some(crash.incarnation)) != (line.rank, line.incarnation));
        }
        if self.failed.is_none() {
            self.failed = self.write(line).and_then(|()| self.show(line)).err();
        }
    }

    fn write(&mut self, line: &Line) -> Result<(), SimError> {
        let Some(clocks) = &mut self.clocks else { return Ok(()) };
        let clock = clocks.stamp(line);
        if let Some(shiviz) = &mut self.shiviz {
            shiviz.write(shiviz::entry(line, &clock).as_bytes())?;
        }
        if let Some(trace) = &mut self.trace {
            trace.write(&json(&Stamped { line: line.clone(), clock: (*clock).clone() })?)?;
        }
        Ok(())
    }

    fn show(&mut self, line: &Line) -> Result<(), SimError> {
        if let (true, Event::Output { text, .. }, Some(rank)) = (self.output, &line.event, line.rank) {
            for text in text.lines() {
                self.say.text(&format!("[{rank}] {text}\n"))?;
            }
        }
        if self.news && line.event.is_news() {
            self.say.text(&format!("{:>9} {line}\n", line.time_ns))?;
        }
        Ok(())
    }

    /// Closes the files; what the run cost, and which crashes of the schedule did not happen.
    pub fn finish(mut self) -> Result<(Summary, Vec<Crash>), SimError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        for file in [&mut self.trace, &mut self.shiviz].into_iter().flatten() {
            file.flush()?;
        }
        Ok((self.summary, self.expected))
    }
}
