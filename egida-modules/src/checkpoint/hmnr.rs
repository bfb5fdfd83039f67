//! Communication-induced checkpoints without useless ones (Hélary, Mostefaoui, Netzer and Raynal 2000).
//!
//! A checkpoint is useless if a Z-cycle goes through it: a chain of messages that leaves behind it and comes back before it,
//! each next message sent in the interval in which the one before is received, be it sent earlier. Clocks of checkpoints that
//! grow along every Z-path leave no room for one. A checkpoint is forced where receiving a message would make a path along
//! which the clock does not grow: this rank has sent to one whose clock is behind the message's, or a causal path from an
//! earlier interval of this rank comes back over a checkpoint that was taken on the way.

use egida_core::checkpoint::{Candidates, CheckpointHead, Line};
use egida_core::ids::{CheckpointNumber, Rank};
use egida_core::registry::Build;
use egida_core::wire::{Reader, WireError, put_varint};
use serde::{Deserialize, Serialize};

use super::induced::{Induced, Inducing};

/// What a rank knows of the others' checkpoints.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hmnr {
    rank: Rank,
    /// The clock.
    clock: u64,
    /// To whom a message was sent since the newest checkpoint.
    sent_to: Vec<bool>,
    knowledge: Knowledge,
    /// The least count of its own checkpoints that a message of this interval carries.
    since: CheckpointNumber,
}

/// The vectors that messages carry, beside the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Knowledge {
    /// How many checkpoints of each rank are known to have been taken.
    checkpoints: Vec<CheckpointNumber>,
    /// Whether a checkpoint was taken on a causal path from the last known one of each rank to here.
    taken: Vec<bool>,
    /// Whether the clock here is greater than what is known of each rank's.
    greater: Vec<bool>,
}

/// What a message carries.
#[derive(Debug, Clone)]
pub struct Carried {
    clock: u64,
    knowledge: Knowledge,
}

impl Hmnr {
    /// The protocol at the program's beginning, which counts as a checkpoint.
    #[must_use]
    pub fn start(build: &Build<'_>) -> Induced<Self> {
        let ranks = build.setting.domains.ranks() as usize;
        let mut state = Self {
            rank: build.rank,
            clock: 0,
            sent_to: Vec::new(),
            knowledge: Knowledge {
                checkpoints: vec![0; ranks],
                taken: vec![false; ranks],
                greater: vec![false; ranks],
            },
            since: 0,
        };
        state.begin_interval();
        state.settle();
        Induced::new(state)
    }

    /// Behind a checkpoint.
    fn begin_interval(&mut self) {
        let ranks = self.knowledge.checkpoints.len();
        let others = |rank: usize| rank != self.rank as usize;
        let all: Vec<bool> = (0..ranks).map(others).collect();
        self.sent_to = vec![false; ranks];
        self.knowledge.taken.clone_from(&all);
        self.knowledge.greater = all;
        self.clock += 1;
    }
}

impl Inducing for Hmnr {
    type Piggyback = Carried;

    const PHRASE: &'static str = "checkpoint vectors";

    fn encode(&self, _: Rank, out: &mut Vec<u8>) {
        put_varint(out, self.clock);
        let Knowledge { checkpoints, taken, greater } = &self.knowledge;
        for (&checkpoints, flags) in checkpoints.iter().zip(taken.iter().zip(greater)) {
            put_varint(out, checkpoints);
            out.push(u8::from(*flags.0) | u8::from(*flags.1) << 1);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Result<Carried, WireError> {
        let clock = reader.varint()?;
        let mut knowledge = Knowledge { checkpoints: Vec::new(), taken: Vec::new(), greater: Vec::new() };
        for _ in &self.knowledge.checkpoints {
            knowledge.checkpoints.push(reader.varint()?);
            let flags = reader.byte()?;
            if flags > 0b11 {
                return Err(WireError::Malformed("flags of no meaning"));
            }
            knowledge.taken.push(flags & 1 != 0);
            knowledge.greater.push(flags & 2 != 0);
        }
        Ok(Carried { clock, knowledge })
    }

    fn forces(&self, message: &Carried) -> bool {
        let own = self.rank as usize;
        let theirs = &message.knowledge;
        let comes_back = theirs.checkpoints.get(own).is_some_and(|&known| known >= self.since)
            && theirs.taken.get(own) == Some(&true);
        let falls_behind = message.clock > self.clock
            && self.sent_to.iter().zip(&theirs.greater).any(|(&sent, &greater)| sent && greater);
        comes_back || falls_behind
    }

    fn receive(&mut self, source: Rank, message: &Carried) {
        let (own, theirs) = (self.rank as usize, &message.knowledge);
        let mine = &mut self.knowledge;
        if message.clock > self.clock {
            self.clock = message.clock;
            mine.greater.clone_from(&theirs.greater);
            if let Some(greater) = mine.greater.get_mut(own) {
                *greater = false;
            }
        } else if message.clock == self.clock {
            for (mine, &theirs) in mine.greater.iter_mut().zip(&theirs.greater) {
                *mine &= theirs;
            }
        }
        for rank in (0..mine.checkpoints.len()).filter(|&rank| rank != own) {
            if theirs.checkpoints[rank] > mine.checkpoints[rank] {
                mine.checkpoints[rank] = theirs.checkpoints[rank];
                mine.taken[rank] = theirs.taken[rank];
            } else if theirs.checkpoints[rank] == mine.checkpoints[rank] {
                mine.taken[rank] |= theirs.taken[rank];
            }
        }
        let _ = source;
    }

    fn send(&mut self, dest: Rank) {
        if let Some(sent) = self.sent_to.get_mut(dest as usize) {
            *sent = true;
        }
    }

    fn capture(&mut self, head: &mut CheckpointHead, _: &[Carried]) {
        head.index = self.clock;
        head.vector.clone_from(&self.knowledge.checkpoints);
        self.begin_interval();
    }

    fn describe(&self, head: &mut CheckpointHead) {
        head.index = self.clock;
        head.vector.clone_from(&self.knowledge.checkpoints);
    }

    /// The checkpoint counts from now on. Until here it might have failed, and a message that carried its number would have
    /// made others forget what they know of paths from the one before.
    fn settle(&mut self) {
        let has_sent = self.sent_to.contains(&true);
        if let Some(own) = self.knowledge.checkpoints.get_mut(self.rank as usize) {
            *own += 1;
            self.since = *own - u64::from(has_sent);
        }
    }

    fn line(candidates: &Candidates) -> Option<Line> {
        candidates.maximum()
    }
}

#[cfg(test)]
mod tests {
    use egida_core::module::Admission;

    use super::*;
    use crate::checkpoint::by_hand::ranks;

    #[test]
    fn a_message_ahead_of_one_that_was_sent_takes_a_checkpoint_first() {
        let mut three = ranks(3, Hmnr::start);
        three[1].checkpoint();
        three[1].settle(true);
        let ahead = three[1].send(0);
        let another = three[1].send(2);
        three[0].send(2);
        // Rank 0 has sent to rank 2, whose clock may be behind that of the message.
        assert_eq!(three[0].offer(&ahead), Admission::CheckpointFirst);
        assert_eq!(three[2].offer(&another), Admission::Admit, "rank 2 has sent nothing");
    }

    #[test]
    fn a_path_that_comes_back_over_a_checkpoint_takes_one_first() {
        let mut two = ranks(2, Hmnr::start);
        let there = two[0].send(1);
        assert_eq!(two[1].offer(&there), Admission::Admit);
        let straight = two[1].send(0);
        two[1].checkpoint();
        two[1].settle(true);
        let over_a_checkpoint = two[1].send(0);
        assert_eq!(two[0].offer(&straight), Admission::Admit);
        assert_eq!(two[0].offer(&over_a_checkpoint), Admission::CheckpointFirst);
        two[0].checkpoint();
        two[0].settle(true);
        assert_eq!(two[0].offer(&over_a_checkpoint), Admission::Admit);
    }
}
