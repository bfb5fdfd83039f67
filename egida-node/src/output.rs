//! The ranks' output between their pipes and ours: each piece waits until nothing can take back what it tells.

use std::sync::Arc;

use egida_core::gate::{Condition, Gate};
use egida_core::ids::{Position, Rank};
use egida_core::output::{OutputDivergence, OutputGate, Stream};

use crate::process::{Chunk, Windows};
use crate::sink::Sink;

/// The output of all ranks.
#[derive(Debug)]
pub struct Outputs {
    ranks: Vec<RankOutput>,
}

#[derive(Debug)]
struct RankOutput {
    streams: [StreamOutput; 2],
    windows: Arc<Windows>,
}

#[derive(Debug)]
struct StreamOutput {
    stream: Stream,
    gate: OutputGate,
    /// How much of what was released the running re-execution has written again.
    repeated_bytes: u64,
}

impl Outputs {
    /// Nothing was written by any of so many ranks.
    #[must_use]
    pub fn new(ranks: u32) -> Self {
        let streams = || {
            [Stream::Out, Stream::Err].map(|stream| StreamOutput {
                stream,
                gate: OutputGate::new(stream),
                repeated_bytes: 0,
            })
        };
        Self {
            ranks: (0..ranks).map(|_| RankOutput { streams: streams(), windows: Arc::default() }).collect(),
        }
    }

    /// The windows for a rank's next process.
    pub fn begin(&mut self, rank: Rank) -> Arc<Windows> {
        let windows = Arc::<Windows>::default();
        self.ranks[rank as usize].windows = Arc::clone(&windows);
        windows
    }

    /// Takes a piece that waits for a gate.
    ///
    /// # Errors
    /// [`Contradiction`] where a re-execution contradicts what was released.
    pub fn take(&mut self, chunk: Chunk, gate: Gate) -> Result<(), Contradiction> {
        let Chunk { rank, stream, bytes, observed, .. } = chunk;
        let RankOutput { streams, windows } = &mut self.ranks[rank as usize];
        let output = &mut streams[stream as usize];
        let window = if stream == Stream::Out { &windows.out } else { &windows.err };
        if output.gate.is_repeating() {
            // What is compared and dropped never comes to the sink, which would make room for it.
            let missing = output.gate.released_bytes() - output.repeated_bytes;
            let again = usize::try_from(missing).unwrap_or(usize::MAX).min(bytes.len());
            output.repeated_bytes += again as u64;
            window.give_back(again);
        }
        let beginning = beginning(&bytes);
        output.gate.write(bytes, gate, observed).map_err(|what| Contradiction { rank, what, beginning })
    }

    /// Releases all pieces of a rank whose conditions are met.
    pub fn release(
        &mut self,
        rank: Rank,
        sink: &Sink,
        mut is_met: impl FnMut(&Condition) -> bool,
        mut seen: impl FnMut(Stream, &[u8]),
    ) {
        let RankOutput { streams, windows } = &mut self.ranks[rank as usize];
        for output in streams {
            while let Some(bytes) = output.gate.release(&mut is_met) {
                seen(output.stream, &bytes);
                sink.output(rank, output.stream, bytes, Arc::clone(windows));
            }
        }
    }

    /// What the waiting pieces of a rank wait for.
    pub fn waiting_for(&self, rank: Rank) -> impl Iterator<Item = Condition> + '_ {
        self.ranks[rank as usize].streams.iter().flat_map(|output| output.gate.waiting_for())
    }

    /// The log of a rank is lost from this position on. What waits for more of it waits until [`Outputs::renew`].
    pub fn lost_log_of(&mut self, lost: Rank, stable: Position) {
        for output in self.ranks.iter_mut().flat_map(|output| &mut output.streams) {
            output.gate.lost(|condition| {
                matches!(*condition, Condition::Other { rank, position } if rank == lost && position > stable)
            });
        }
    }

    /// A rank does not know of everything that is lost: what it has written waits until [`Outputs::renew`].
    pub fn suspend(&mut self, rank: Rank) {
        for output in &mut self.ranks[rank as usize].streams {
            output.gate.lost(|_| true);
        }
    }

    /// Whether pieces of a rank wait for [`Outputs::renew`].
    #[must_use]
    pub fn is_broken(&self, rank: Rank) -> bool {
        self.ranks[rank as usize].streams.iter().any(|output| output.gate.is_broken())
    }

    /// A rank turned out not to depend on what was lost: what it has written waits for this gate.
    pub fn renew(&mut self, rank: Rank, gate: &Gate) {
        for output in &mut self.ranks[rank as usize].streams {
            output.gate.renew(gate);
        }
    }

    /// Whether a rank has pieces that wait.
    #[must_use]
    pub fn is_waiting(&self, rank: Rank) -> bool {
        self.ranks[rank as usize].streams.iter().any(|output| !output.gate.is_idle())
    }

    /// How many observations the released output of a rank may tell of.
    #[must_use]
    pub fn observed(&self, rank: Rank) -> u64 {
        self.ranks[rank as usize].streams.iter().map(|output| output.gate.observed()).max().unwrap_or(0)
    }

    /// Forgets what was not released of a rank: it died.
    pub fn writer_died(&mut self, rank: Rank) {
        for output in &mut self.ranks[rank as usize].streams {
            output.gate.writer_died();
            output.repeated_bytes = 0;
        }
    }

    /// Whether a rank's re-execution has not written again all that was released. Where it has ended, it never will.
    #[must_use]
    pub fn owes(&self, rank: Rank) -> Option<Stream> {
        let owing = self.ranks[rank as usize].streams.iter().find(|output| output.gate.is_repeating());
        owing.map(|output| output.stream)
    }
}

/// A re-execution wrote something else than what was released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Whose.
    pub rank: Rank,
    /// How much was released where.
    pub what: OutputDivergence,
    /// What the piece that showed it begins with.
    beginning: String,
}

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; the last piece begins with {:?}", self.what, self.beginning)
    }
}

fn beginning(bytes: &[u8]) -> String {
    const SHOWN: usize = 80;
    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use super::*;
    use crate::sink::Outlets;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn chunk(text: &str, observed: u64) -> Chunk {
        Chunk { rank: 0, stream: Stream::Out, bytes: text.into(), head: 0, observed }
    }

    #[test]
    fn what_a_dead_rank_had_not_released_is_written_by_its_successor_once() {
        let shared = Shared::default();
        let outlets = Outlets {
            out: Box::new(shared.clone()),
            err: Box::new(std::io::sink()),
            is_terminal: false,
            tagged: false,
        };
        let sink = Sink::start(outlets, |error| panic!("{error}")).unwrap();
        let mut outputs = Outputs::new(1);
        let closed = || Gate::on(Condition::Stable { store: 0, position: 9 });
        outputs.take(chunk("one\n", 4), Gate::open()).unwrap();
        outputs.take(chunk("two\n", 8), closed()).unwrap();
        outputs.release(0, &sink, |_| false, |_, _| {});
        assert!(outputs.is_waiting(0));
        assert_eq!(outputs.observed(0), 4);
        outputs.writer_died(0);
        outputs.take(chunk("one\ntwo\n", 8), closed()).unwrap();
        outputs.release(0, &sink, |_| true, |_, _| {});
        assert_eq!(outputs.owes(0), None);
        drop(sink);
        assert_eq!(*shared.0.lock().unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_contradiction_shows_what_was_written() {
        let sink = Sink::start(
            Outlets {
                out: Box::new(std::io::sink()),
                err: Box::new(std::io::sink()),
                is_terminal: false,
                tagged: false,
            },
            |error| panic!("{error}"),
        )
        .unwrap();
        let mut outputs = Outputs::new(1);
        outputs.take(chunk("one\n", 0), Gate::open()).unwrap();
        outputs.release(0, &sink, |_| true, |_, _| {});
        outputs.writer_died(0);
        assert_eq!(outputs.owes(0), Some(Stream::Out));
        let error = outputs.take(chunk("eno\n", 0), Gate::open()).unwrap_err().to_string();
        assert!(error.contains("standard output") && error.contains("eno"), "{error}");
    }
}
