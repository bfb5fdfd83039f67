//! What an engine's debug form shows: all that decides what it will do, and nothing else, so that an exploration finds two
//! engines alike that came to one state on different ways.
//!
//! Left out are what is constant for a rank, buffers that mean nothing between two calls, counts that only reports are made
//! of, and what an engine remembers of its beginning once it is past that.

use std::fmt::{Debug, Formatter, Result};

use super::inbound::Inbound;
use super::{Engine, Outbound};

impl<D: Debug> Debug for Engine<D> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let counts = &self.counts;
        let has_points = self.replay.total() > 0 && !self.end_told;
        f.debug_struct("Engine")
            .field("rank", &self.rank)
            .field("driver", &self.driver)
            .field("stack", &self.stack)
            .field("matching", &self.matching)
            .field("replay", &self.replay)
            .field("replay_points", &(has_points && !self.half_told, has_points))
            .field("inbound", &self.inbound)
            .field("outbound", &self.outbound)
            .field("receives", &self.receives)
            .field("deferred", &self.deferred)
            .field("calls", &(self.posts, self.reads))
            .field("epoch", &self.epoch)
            .field("entered", &self.entered)
            .field("counts", &(counts.sends, counts.deliveries, counts.told, counts.checkpoints))
            .field("standing", &(counts.orphan, counts.live))
            .field("to_log", &self.to_log)
            .field("to_release", &self.to_release)
            .field("warnings", &self.warnings)
            .field("checkpoints", &self.checkpoints)
            .finish_non_exhaustive()
    }
}

impl Debug for Outbound {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        // What stood on the channel at the beginning tells which sends to skip, and how much of one.
        let extent = &self.extent;
        let is_ahead = self.next < extent.whole + u64::from(extent.begun_bytes.is_some());
        f.debug_struct("Outbound")
            .field("next", &self.next)
            .field("extent", &is_ahead.then_some(extent))
            .field("synchronous", &self.synchronous)
            .finish()
    }
}

impl Debug for Inbound {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        // A digest for comparison means something while known records are read again.
        let again = self.again.filter(|_| self.next < self.known());
        f.debug_struct("Inbound")
            .field("next", &self.next)
            .field("generation", &self.generation)
            .field("digests", &(self.digest, self.digest_before_last, again))
            .field("depends", &self.depends)
            .field("logged", &self.logged)
            .field("matched", &self.matched)
            .field("first", &self.first)
            .field("messages", &self.messages)
            .field("logged_position", &self.logged_position)
            .finish_non_exhaustive()
    }
}
