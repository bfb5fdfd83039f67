//! Output exactly once: chunks wait for their gates, a ledger knows what was released.
//!
//! The daemon reads a chunk from a rank's stream, *then* looks how far the rank's journal has come, and so learns a
//! position that covers everything the output can depend on, without interposing the application's writes. What was
//! released is never released again: the first bytes of a re-execution are compared with the ledger and dropped.

use std::collections::{BTreeMap, VecDeque};

use thiserror::Error;

use crate::gate::{Condition, Gate};
use crate::ids::{CheckpointNumber, Domain, Position};

/// A stream of output of a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A re-execution wrote something else than what was already released.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the first {bytes} bytes written to {stream} differ from those already released")]
pub struct OutputDivergence {
    /// How many bytes had been released.
    pub bytes: u64,
    /// `standard output` or `standard error`.
    pub stream: &'static str,
}

#[derive(Debug, Clone)]
struct Chunk {
    bytes: Vec<u8>,
    gate: Gate,
    observed: u64,
    broken: bool,
}

/// The output of one rank's stream, and the ledger of what was released.
#[derive(Debug, Clone)]
pub struct OutputGate {
    stream: Stream,
    waiting: VecDeque<Chunk>,
    released_bytes: u64,
    released_digest: crc32fast::Hasher,
    observed: u64,
    repeated: Option<Repeated>,
    /// Where checkpoints of the writer stand in its output.
    marks: BTreeMap<CheckpointNumber, Mark>,
    /// Whether the writer is dead, and where its next incarnation begins to write is not known yet.
    suspended: bool,
}

/// A place in the output, and the digest of what stands before it, once that is released.
#[derive(Debug, Clone, Default)]
struct Mark {
    bytes: u64,
    digest: Option<crc32fast::Hasher>,
}

#[derive(Debug, Clone)]
struct Repeated {
    bytes: u64,
    digest: crc32fast::Hasher,
}

impl OutputGate {
    /// A stream of which nothing was written.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            waiting: VecDeque::new(),
            released_bytes: 0,
            released_digest: crc32fast::Hasher::new(),
            observed: 0,
            repeated: None,
            marks: BTreeMap::new(),
            suspended: false,
        }
    }

    /// Takes a chunk that the rank wrote, with the gate that its output commit gave and the number of observations the
    /// rank had made when the chunk was read.
    ///
    /// # Errors
    /// [`OutputDivergence`] where a re-execution contradicts what was released.
    pub fn write(&mut self, mut bytes: Vec<u8>, gate: Gate, observed: u64) -> Result<(), OutputDivergence> {
        if let Some(repeated) = &mut self.repeated {
            let missing = self.released_bytes - repeated.bytes;
            let again = usize::try_from(missing).unwrap_or(usize::MAX).min(bytes.len());
            repeated.digest.update(&bytes[..again]);
            repeated.bytes += again as u64;
            bytes.drain(..again);
            if repeated.bytes == self.released_bytes {
                let same = repeated.digest.clone().finalize() == self.released_digest.clone().finalize();
                self.repeated = None;
                if !same {
                    let stream = match self.stream {
                        Stream::Out => "standard output",
                        Stream::Err => "standard error",
                    };
                    return Err(OutputDivergence { bytes: self.released_bytes, stream });
                }
            }
        }
        if !bytes.is_empty() {
            self.waiting.push_back(Chunk { bytes, gate, observed, broken: false });
        }
        Ok(())
    }

    /// Takes the next chunk whose gate `is_open` finds open, in the order written, and enters it into the ledger. The
    /// caller shows it to the world only after this.
    pub fn release(&mut self, mut is_open: impl FnMut(&Condition) -> bool) -> Option<Vec<u8>> {
        let chunk = self.waiting.front()?;
        if self.suspended || chunk.broken || !chunk.gate.conditions().all(|condition| is_open(&condition)) {
            return None;
        }
        let chunk = self.waiting.pop_front()?;
        self.released_bytes += chunk.bytes.len() as u64;
        self.released_digest.update(&chunk.bytes);
        self.observed = self.observed.max(chunk.observed);
        for mark in self.marks.values_mut().filter(|mark| mark.bytes == self.released_bytes) {
            mark.digest = Some(self.released_digest.clone());
        }
        Some(chunk.bytes)
    }

    /// A checkpoint of the writer was taken, and everything that it had written is here: an incarnation that begins from
    /// there goes on writing here.
    pub fn checkpointed(&mut self, number: CheckpointNumber) {
        let mark = match &self.repeated {
            Some(repeated) => Mark { bytes: repeated.bytes, digest: Some(repeated.digest.clone()) },
            None => {
                let waiting: u64 = self.waiting.iter().map(|chunk| chunk.bytes.len() as u64).sum();
                let digest = (waiting == 0).then(|| self.released_digest.clone());
                Mark { bytes: self.released_bytes + waiting, digest }
            }
        };
        self.marks.insert(number, mark);
    }

    /// No incarnation will begin from a checkpoint before that number.
    pub fn committed(&mut self, number: CheckpointNumber) {
        self.marks = self.marks.split_off(&number);
    }

    /// The writer died. What waits does so until [`OutputGate::writer_returns`] says how much of it is written again.
    pub fn suspend(&mut self) {
        self.suspended = true;
    }

    /// The next incarnation begins from that checkpoint; 0 is the beginning. What was written behind it, and not released,
    /// is forgotten.
    pub fn writer_returns(&mut self, number: CheckpointNumber) {
        self.suspended = false;
        let _ = self.marks.split_off(&(number + 1));
        let none = Mark { bytes: 0, digest: Some(crc32fast::Hasher::new()) };
        let mark = self.marks.get(&number).unwrap_or(&none);
        let mut kept = mark.bytes.saturating_sub(self.released_bytes);
        self.waiting.retain(|chunk| {
            let fits = chunk.bytes.len() as u64 <= kept;
            kept = if fits { kept - chunk.bytes.len() as u64 } else { 0 };
            fits
        });
        let again = self.released_bytes > mark.bytes;
        let digest = mark.digest.clone().unwrap_or_default();
        self.repeated = again.then_some(Repeated { bytes: mark.bytes, digest });
    }

    /// Waiting chunks with a condition that can never be fulfilled any more, because what it was about is lost, wait until
    /// [`OutputGate::renew`]: whether their writer depends on it is not known yet.
    pub fn lost(&mut self, is_lost: impl Fn(&Condition) -> bool) {
        for chunk in &mut self.waiting {
            chunk.broken |= chunk.gate.conditions().any(|condition| is_lost(&condition));
        }
    }

    /// Whether chunks wait to be renewed.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.waiting.iter().any(|chunk| chunk.broken)
    }

    /// Gives chunks whose condition was lost this gate: their writer turned out not to depend on what was lost.
    pub fn renew(&mut self, gate: &Gate) {
        for chunk in self.waiting.iter_mut().filter(|chunk| chunk.broken) {
            chunk.gate = gate.clone();
            chunk.broken = false;
        }
    }

    /// The conditions that the waiting chunks wait for: what must be driven, since nothing else may.
    pub fn waiting_for(&self) -> impl Iterator<Item = Condition> + '_ {
        self.waiting.iter().flat_map(|chunk| chunk.gate.conditions())
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets what was not released, because its writer died; the next incarnation writes from the beginning.
    pub fn writer_died(&mut self) {
        self.waiting.clear();
        self.repeated =
            (self.released_bytes > 0).then(|| Repeated { bytes: 0, digest: crc32fast::Hasher::new() });
    }

    /// How many bytes were released.
    #[must_use]
    pub fn released_bytes(&self) -> u64 {
        self.released_bytes
    }

    /// How many observations the released output may tell of.
    #[must_use]
    pub fn observed(&self) -> u64 {
        self.observed
    }

    /// Whether a re-execution has not yet written again all that was released.
    #[must_use]
    pub fn is_repeating(&self) -> bool {
        self.repeated.is_some()
    }
}

/// How far a rank's journal is replicated to other domains for the sake of its output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replicated {
    holders: Vec<(Domain, Position)>,
}

impl Replicated {
    /// Notes that a domain holds every determinant of the journal below the position.
    pub fn holds(&mut self, domain: Domain, position: Position) {
        match self.holders.iter_mut().find(|(holder, _)| *holder == domain) {
            Some((_, known)) => *known = (*known).max(position),
            None => self.holders.push((domain, position)),
        }
    }

    /// Forgets a domain whose memory is lost.
    pub fn lost(&mut self, domain: Domain) {
        self.holders.retain(|&(holder, _)| holder != domain);
    }

    /// How far a domain holds it.
    #[must_use]
    pub fn position(&self, domain: Domain) -> Position {
        self.holders.iter().find(|&&(holder, _)| holder == domain).map_or(0, |&(_, position)| position)
    }

    /// The position up to which at least `copies` domains hold it.
    #[must_use]
    pub fn position_held_by(&self, copies: u32) -> Position {
        if copies == 0 {
            return Position::MAX;
        }
        let mut positions: Vec<_> = self.holders.iter().map(|&(_, position)| position).collect();
        positions.sort_unstable_by(|a, b| b.cmp(a));
        positions.get(copies as usize - 1).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stable(position: Position) -> Gate {
        Gate::on(Condition::Stable { store: 0, position })
    }

    fn release_up_to(output: &mut OutputGate, stable: Position) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(bytes) = output.release(
            |condition| matches!(condition, Condition::Stable { position, .. } if *position <= stable),
        ) {
            all.extend(bytes);
        }
        all
    }

    #[test]
    fn chunks_leave_in_order_when_their_gates_open() {
        let mut output = OutputGate::new(Stream::Out);
        output.write(b"one".to_vec(), stable(1), 0).unwrap();
        output.write(b"two".to_vec(), stable(5), 2).unwrap();
        output.write(b"three".to_vec(), Gate::open(), 3).unwrap();
        assert_eq!(release_up_to(&mut output, 1), b"one");
        assert_eq!(output.observed(), 0);
        assert_eq!(release_up_to(&mut output, 9), b"twothree");
        assert_eq!(output.observed(), 3);
        assert!(output.is_idle());
    }

    #[test]
    fn a_re_execution_is_compared_and_dropped_whatever_its_chunks() {
        let mut output = OutputGate::new(Stream::Out);
        output.write(b"hello ".to_vec(), Gate::open(), 0).unwrap();
        release_up_to(&mut output, 0);
        output.write(b"lost".to_vec(), stable(1), 0).unwrap();
        output.writer_died();
        output.write(b"hel".to_vec(), Gate::open(), 0).unwrap();
        assert!(output.is_repeating());
        output.write(b"lo world".to_vec(), Gate::open(), 0).unwrap();
        assert_eq!(release_up_to(&mut output, 0), b"world");
        assert_eq!(output.released_bytes(), 11);
    }

    #[test]
    fn a_contradiction_is_an_error() {
        let mut output = OutputGate::new(Stream::Out);
        output.write(b"yes".to_vec(), Gate::open(), 0).unwrap();
        release_up_to(&mut output, 0);
        output.writer_died();
        assert!(output.write(b"no!".to_vec(), Gate::open(), 0).is_err());
    }

    #[test]
    fn an_incarnation_that_begins_from_a_checkpoint_goes_on_writing_where_it_was() {
        let mut output = OutputGate::new(Stream::Out);
        output.write(b"one ".to_vec(), Gate::open(), 0).unwrap();
        output.write(b"two ".to_vec(), stable(5), 0).unwrap();
        output.checkpointed(1);
        output.write(b"three ".to_vec(), stable(9), 0).unwrap();
        assert_eq!(release_up_to(&mut output, 0), b"one ");
        output.suspend();
        assert_eq!(
            release_up_to(&mut output, 9),
            b"",
            "nothing leaves before it is known what is written again"
        );
        output.writer_returns(1);
        assert_eq!(
            release_up_to(&mut output, 9),
            b"two ",
            "what was written before the checkpoint is not written again"
        );
        output.write(b"3 ".to_vec(), Gate::open(), 0).unwrap();
        assert_eq!(release_up_to(&mut output, 9), b"3 ");
        output.writer_returns(1);
        assert!(output.write(b"4 ".to_vec(), Gate::open(), 0).is_err(), "what was released is compared");
        output.writer_returns(1);
        output.write(b"3 4 ".to_vec(), Gate::open(), 0).unwrap();
        output.checkpointed(2);
        assert_eq!(release_up_to(&mut output, 9), b"4 ");
        output.writer_returns(2);
        assert!(!output.is_repeating());
    }

    #[test]
    fn copies_are_counted_by_domain() {
        let mut replicated = Replicated::default();
        replicated.holds(1, 10);
        replicated.holds(2, 7);
        replicated.holds(2, 5);
        assert_eq!(replicated.position_held_by(1), 10);
        assert_eq!(replicated.position_held_by(2), 7);
        assert_eq!(replicated.position_held_by(3), 0);
        replicated.lost(1);
        assert_eq!(replicated.position_held_by(1), 7);
    }
}
