//! Judges of order-dependent programs, apart from the code that they judge.
//!
//! Such a program has many legal outputs. A crash may therefore change what it
//! prints, but never so that two ranks tell different stories, nor so that a rank
//! contradicts what it has printed or sent before. The programs print at both
//! ends what was chosen at one; each oracle reads the whole output and accepts
//! only if there is one history of the job that explains every line.

mod choices;
mod matches;
mod messages;

use crate::transcript::{BadField, Transcript};

/// A property of a whole output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oracle {
    /// `match` at the receiver and `told` at the sender agree on every message;
    /// each is matched once, and in the order in which its source sent it.
    Matches,
    /// `gave` at the sender and `got` at the receiver agree on every value.
    Messages,
    /// Each `outcome` of polling explains the state that was sent on.
    Choices,
    /// `clock` readings of a rank never run backwards.
    Clocks,
}

/// Why an output has no history that explains it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// A line that the oracle cannot read.
    #[error(transparent)]
    Unreadable(#[from] BadField),
    /// The output says nothing that this oracle could judge.
    #[error("the output has no `{0}` line at all")]
    NothingSaid(&'static str),
    /// One end speaks of something that the other end does not know.
    #[error("only one end speaks of {what}: {said}")]
    OneSided {
        /// The message or match in question.
        what: String,
        /// What that end printed.
        said: String,
    },
    /// The ends tell different stories.
    #[error("the ends disagree on {what}: {one} against {other}")]
    Disagreement {
        /// The message or match in question.
        what: String,
        /// What one end printed.
        one: String,
        /// What the other printed.
        other: String,
    },
    /// Something that can happen only once was printed twice.
    #[error("printed twice: {0}")]
    Twice(String),
    /// Numbers that must be 0, 1, 2, ... are not.
    #[error("rank {rank} has no {missing}")]
    Gap {
        /// Whose numbers.
        rank: usize,
        /// The first number that is missing.
        missing: String,
    },
    /// Messages of one source were matched out of the order in which they were sent.
    #[error("rank {rank} matched message {seq} of rank {from} after a later one")]
    Overtaking {
        /// The receiver.
        rank: usize,
        /// The source.
        from: usize,
        /// The message that came too late.
        seq: u64,
    },
    /// A state that does not follow from what the rank says it saw.
    #[error("rank {rank} printed a state that does not follow from its history: {line}")]
    DoesNotFollow {
        /// Whose state.
        rank: usize,
        /// The line with the state.
        line: String,
    },
    /// A clock ran backwards.
    #[error("the clock of rank {rank} ran from {before} back to {after}")]
    Backwards {
        /// Whose clock.
        rank: usize,
        /// The earlier reading.
        before: i64,
        /// The later, smaller one.
        after: i64,
    },
}

impl Oracle {
    /// Judges an output.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn judge(self, transcript: &Transcript) -> Result<(), Contradiction> {
        match self {
            Self::Matches => matches::judge(transcript),
            Self::Messages => messages::judge(transcript),
            Self::Choices => choices::judge(transcript),
            Self::Clocks => judge_clocks(transcript),
        }
    }
}

fn judge_clocks(transcript: &Transcript) -> Result<(), Contradiction> {
    let mut said = false;
    for rank in transcript.ranks() {
        let mut before = i64::MIN;
        for line in transcript.lines_of(rank).filter(|line| line.word == "clock") {
            said = true;
            let after = line.number("now")?;
            if after < before {
                return Err(Contradiction::Backwards { rank, before, after });
            }
            before = after;
        }
    }
    if said { Ok(()) } else { Err(Contradiction::NothingSaid("clock")) }
}

/// Folds a value into a state, as `mix` of the test programs does.
fn mix(state: u64, value: u64) -> u64 {
    let state = (state ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    state ^ (state >> 29)
}

/// The state in which every rank of a test program starts.
fn initial_state(rank: usize) -> u64 {
    mix(0, rank as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(oracle: Oracle, output: &str) -> Result<(), Contradiction> {
        oracle.judge(&Transcript::parse(output).unwrap())
    }

    #[test]
    fn clocks_run_forwards() {
        assert_eq!(judge(Oracle::Clocks, "0: clock now=1\n1: clock now=0\n0: clock now=1\n"), Ok(()));
        let found = judge(Oracle::Clocks, "0: clock now=5\n0: clock now=4\n");
        assert_eq!(found, Err(Contradiction::Backwards { rank: 0, before: 5, after: 4 }));
    }

    #[test]
    fn silence_is_not_agreement() {
        for oracle in [Oracle::Matches, Oracle::Messages, Oracle::Choices, Oracle::Clocks] {
            let found = judge(oracle, "0: result nothing\n");
            assert!(matches!(found, Err(Contradiction::NothingSaid(_))), "{oracle:?}: {found:?}");
        }
    }
}
