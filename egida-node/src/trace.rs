//! The trace of a job: what its ranks wrote of themselves, and what the launcher saw, put together in the end.
//!
//! ```text
//!   rank-0-1.jsonl, rank-0-2.jsonl ──┐
//!   rank-1-1.jsonl                 ──┼── merge: by time, no message before it was sent ──> Clocks ──> FILE
//!   launcher.jsonl                 ──┘
//! ```
//!
//! `docs/trace.md` describes the format.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use egida_core::gate::{MAX_STORES, StoreId};
use egida_core::ids::{Incarnation, Position, Rank, Ssn};
use egida_core::trace::{Clocks, Event, Header, Line, Place, Stamped};
use egida_shm::{JobMemory, monotonic_ns, trace_file};

/// A trace that is being written. The default is none.
#[derive(Debug, Default)]
pub struct Trace(Option<Open>);

#[derive(Debug)]
struct Open {
    header: Header,
    origin_ns: u64,
    dir: PathBuf,
    out: BufWriter<File>,
    launcher: BufWriter<File>,
    /// What was told of stable positions.
    stable: BTreeMap<(Rank, StoreId), Position>,
    /// What could not be written. It is told in the end: the job matters more.
    trouble: Option<io::Error>,
}

impl Trace {
    /// A trace into `path`, whose parts are gathered in `dir`, which is made.
    ///
    /// # Errors
    /// [`io::Error`] where one of them cannot be made.
    pub fn create(path: &Path, dir: PathBuf, header: Header) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let launcher = BufWriter::new(File::create(launcher_file(&dir))?);
        let out = BufWriter::new(File::create(path)?);
        let (stable, trouble) = (BTreeMap::new(), None);
        Ok(Self(Some(Open { header, origin_ns: monotonic_ns(), dir, out, launcher, stable, trouble })))
    }

    /// Where ranks are to write their parts, where they are.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.0.as_ref().map(|open| open.dir.as_path())
    }

    /// Notes an event, where there is a trace.
    pub fn tell(
        &mut self,
        rank: Option<Rank>,
        incarnation: Option<Incarnation>,
        event: impl FnOnce() -> Event,
    ) {
        let Some(open) = &mut self.0 else { return };
        let line = Line { time_ns: monotonic_ns(), rank, incarnation, event: event() };
        if let Err(error) = write_json(&mut open.launcher, &line) {
            open.trouble.get_or_insert(error);
        }
    }

    /// Notes which logs have come further to their stores.
    pub fn tell_stable(&mut self, memory: &JobMemory, stores: impl Iterator<Item = (StoreId, Place)>) {
        if self.0.is_none() {
            return;
        }
        for (store, place) in stores {
            for rank in 0..memory.ranks() {
                let position = memory.stable(rank, store % MAX_STORES as StoreId);
                let Some(open) = &mut self.0 else { return };
                let told = open.stable.entry((rank, store)).or_default();
                if *told < position {
                    *told = position;
                    self.tell(Some(rank), None, || Event::Stable { place, position });
                }
            }
        }
    }

    /// Puts the parts together.
    ///
    /// # Errors
    /// [`io::Error`] where a part cannot be read, or something could not be written.
    pub fn finish(self) -> io::Result<()> {
        let Some(Open { header, origin_ns, dir, mut out, mut launcher, trouble, .. }) = self.0 else {
            return Ok(());
        };
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        launcher.flush()?;
        write_json(&mut out, &header)?;
        let mut parts = vec![Part::open(vec![launcher_file(&dir)])?];
        for rank in 0..header.ranks {
            let lives = (1..).map(|incarnation| trace_file(&dir, rank, incarnation));
            parts.push(Part::open(lives.take_while(|path| path.exists()).collect())?);
        }
        let mut clocks = Clocks::new(header.ranks);
        let mut sent = BTreeMap::new();
        let mut now = 0;
        while let Some(at) = next(&parts, &sent) {
            let Some(mut line) = parts[at].take()? else { continue };
            if let (Event::Send { dest, ssn, .. }, Some(rank)) = (&line.event, line.rank) {
                let furthest: &mut Ssn = sent.entry((rank, *dest)).or_default();
                *furthest = (*furthest).max(ssn + 1);
            }
            // Clocks of two processors may differ by less than a message takes.
            now = line.time_ns.saturating_sub(origin_ns).max(now);
            line.time_ns = now;
            let clock = (*clocks.stamp(&line)).clone();
            write_json(&mut out, &Stamped { line, clock })?;
        }
        out.flush()?;
        std::fs::remove_dir_all(dir)
    }
}

/// The part whose turn it is: the earliest, or whoever is to send before that what arrives there.
fn next(parts: &[Part], sent: &BTreeMap<(Rank, Rank), Ssn>) -> Option<usize> {
    let earliest = (0..parts.len()).filter(|&at| parts[at].head.is_some());
    let mut at = earliest.min_by_key(|&at| parts[at].head.as_ref().map(|line| line.time_ns))?;
    // Along a chain of messages, none of which comes back to where it began.
    for _ in 0..parts.len() {
        let Some(Line { event: Event::Arrive { source, ssn, .. }, rank: Some(rank), .. }) = &parts[at].head
        else {
            break;
        };
        let is_sent = sent.get(&(*source, *rank)).is_some_and(|below| below > ssn);
        let sender = *source as usize + 1;
        if is_sent || parts.get(sender).is_none_or(|part| part.head.is_none()) {
            break;
        }
        at = sender;
    }
    Some(at)
}

/// The files of a rank, or of the launcher, one after another.
#[derive(Debug)]
struct Part {
    files: VecDeque<PathBuf>,
    reader: Option<BufReader<File>>,
    head: Option<Line>,
}

impl Part {
    fn open(files: Vec<PathBuf>) -> io::Result<Self> {
        let mut part = Self { files: files.into(), reader: None, head: None };
        part.take()?;
        Ok(part)
    }

    /// The next line, and reads one ahead. A line that was cut off by the end of its process ends its file.
    fn take(&mut self) -> io::Result<Option<Line>> {
        let taken = self.head.take();
        let mut text = String::new();
        loop {
            if let Some(reader) = &mut self.reader {
                text.clear();
                reader.read_line(&mut text)?;
                self.head = serde_json::from_str(&text).ok();
                if self.head.is_some() {
                    return Ok(taken);
                }
            }
            let Some(path) = self.files.pop_front() else { return Ok(taken) };
            self.reader = Some(BufReader::new(File::open(path)?));
        }
    }
}

fn launcher_file(dir: &Path) -> PathBuf {
    dir.join("launcher.jsonl")
}

fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_behind_its_send_whatever_the_clocks_say() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        let mut trace = Trace::create(&path, dir.path().join("parts"), Header::new("test", 2)).unwrap();
        let origin = trace.0.as_ref().unwrap().origin_ns;
        let line = |time_ns, rank, incarnation, event| {
            let line =
                Line { time_ns: origin + time_ns, rank: Some(rank), incarnation: Some(incarnation), event };
            serde_json::to_string(&line).unwrap() + "\n"
        };
        let send =
            Event::Send { dest: 1, ssn: 0, len: 8, piggyback: 0, requires: 0, again: false, skipped: false };
        let arrive = Event::Arrive { source: 0, ssn: 0, len: 8, piggyback: 0, again: false };
        let parts = dir.path().join("parts");
        std::fs::write(trace_file(&parts, 0, 1), line(5, 0, 1, Event::Begin) + &line(30, 0, 1, send))
            .unwrap();
        // The line that its death cut off is no line.
        let first = line(6, 1, 1, Event::Begin) + &line(20, 1, 1, arrive) + "{\"time_ns\":2";
        std::fs::write(trace_file(&parts, 1, 1), first).unwrap();
        std::fs::write(trace_file(&parts, 1, 2), line(40, 1, 2, Event::Begin)).unwrap();
        trace.tell(None, None, || Event::End { how: "so".to_owned() });
        trace.finish().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<Stamped> =
            text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
        let times: Vec<_> = lines.iter().map(|event| (event.line.rank, event.line.time_ns)).collect();
        assert_eq!(times[..5], [(Some(0), 5), (Some(1), 6), (Some(0), 30), (Some(1), 30), (Some(1), 40)]);
        assert!(matches!(lines[5].line.event, Event::End { .. }));
        assert_eq!((lines[3].clock.of(0), lines[3].clock.of(1)), (2, 2));
    }

    #[test]
    fn no_trace_costs_nothing_and_one_that_cannot_be_made_says_so() {
        let mut none = Trace::default();
        none.tell(None, None, || unreachable!("nobody wants to know"));
        none.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/such/place");
        assert!(Trace::create(&path, dir.path().join("parts"), Header::new("test", 2)).is_err());
    }
}
