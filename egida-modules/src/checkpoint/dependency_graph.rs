//! Independent checkpoints with a rollback-dependency graph (Bhargava and Lian 1988; Wang 1997).
//!
//! A rank's checkpoints divide its life into intervals; interval x ends with checkpoint x. Each message carries the interval
//! that it is sent in, and each checkpoint notes from which interval of each rank messages were received since the one
//! before: the edges of the graph. If interval x of a rank is undone, so is every checkpoint with an edge from there or from a
//! later one, and every later checkpoint of its rank. The recovery line is what is left: the last unmarked checkpoint of each
//! rank. Nothing makes the checkpoints agree, so one failure may mark all of them (the domino effect; Randell 1975).

use std::collections::BTreeMap;

use egida_core::checkpoint::{Candidate, Candidates, CheckpointHead, Line};
use egida_core::ids::{CheckpointNumber, Rank};
use egida_core::module::checkpoint::{decode, encode};
use egida_core::module::{Arriving, Checkpoint, CheckpointContext, PiggybackCheckpointing};
use egida_core::registry::Build;
use egida_core::wire::{Reader, WireError, put_varint};

/// The interval of a rank that is running, and the edges into it.
#[derive(Debug, Clone)]
pub struct RollbackDependencyGraph {
    /// The number of the newest checkpoint.
    newest: CheckpointNumber,
    /// The latest interval of each rank from which a message was received in this interval; 0 where none was.
    edges: Vec<CheckpointNumber>,
    /// The edges of checkpoints that may still fail to be written: they belong to the next one as well then.
    unsettled: BTreeMap<CheckpointNumber, Vec<CheckpointNumber>>,
}

impl RollbackDependencyGraph {
    /// At the program's beginning.
    #[must_use]
    pub fn new(build: &Build<'_>) -> Self {
        let edges = vec![0; build.setting.domains.ranks() as usize];
        Self { newest: 0, edges, unsettled: BTreeMap::new() }
    }

    /// The edges into this interval, and into those before it that no durable checkpoint ends yet.
    fn all_edges(&self) -> Vec<CheckpointNumber> {
        let mut all = self.edges.clone();
        for edges in self.unsettled.values() {
            merge(&mut all, edges);
        }
        all
    }
}

impl PiggybackCheckpointing for RollbackDependencyGraph {
    fn phrase(&self) -> Option<&'static str> {
        Some("checkpoint counter")
    }

    fn piggyback(&mut self, _: Rank, out: &mut Vec<u8>) {
        put_varint(out, self.newest + 1);
    }

    fn received(&mut self, message: Arriving<'_>) -> Result<(), WireError> {
        let interval = Reader::new(message.piggyback).varint()?;
        if let Some(latest) = self.edges.get_mut(message.source as usize) {
            *latest = interval.max(*latest);
        }
        Ok(())
    }
}

impl Checkpoint for RollbackDependencyGraph {
    fn on_timer(&mut self, context: &mut CheckpointContext<'_>) {
        context.take_checkpoint();
    }

    fn describe(&self, head: &mut CheckpointHead) {
        head.index = self.newest;
        head.vector = self.all_edges();
    }

    fn capture(&mut self, head: &mut CheckpointHead) {
        head.index = head.number;
        head.vector = self.all_edges();
        self.newest = head.number;
        let none = vec![0; self.edges.len()];
        self.unsettled.insert(head.number, std::mem::replace(&mut self.edges, none));
    }

    fn durable(&mut self, _: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.unsettled = self.unsettled.split_off(&(number + 1));
    }

    fn failed(&mut self, _: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        if let Some(edges) = self.unsettled.remove(&number) {
            merge(&mut self.edges, &edges);
        }
    }

    fn line(&self, candidates: &Candidates) -> Option<Line> {
        let mut line = candidates.newest();
        loop {
            // The first interval of each rank that is undone.
            let undone: Vec<Option<CheckpointNumber>> = candidates
                .chosen(&line)
                .map(|chosen| (!chosen.current).then_some(chosen.head.number + 1))
                .collect();
            let is_marked = |candidate: &Candidate| {
                let edges = candidate.head.vector.iter().zip(&undone);
                candidate.head.number > 0
                    && edges.into_iter().any(|(&from, first)| first.is_some_and(|first| from >= first))
            };
            let mut moved = false;
            for (at, own) in line.iter_mut().zip(candidates.iter()) {
                // Of a rank's oldest state the edges lead from what is gone for good, and was never undone.
                let first = own.iter().take(*at + 1).skip(1).position(is_marked);
                moved |= first.is_some();
                *at = first.unwrap_or(*at);
            }
            if !moved {
                return Some(line);
            }
        }
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.newest)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), WireError> {
        self.newest = decode(state)?;
        Ok(())
    }
}

fn merge(into: &mut [CheckpointNumber], edges: &[CheckpointNumber]) {
    for (into, &edge) in into.iter_mut().zip(edges) {
        *into = edge.max(*into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::by_hand::ranks;

    #[test]
    fn a_checkpoint_notes_from_which_intervals_its_own_received() {
        let mut two = ranks(2, RollbackDependencyGraph::new);
        two[1].checkpoint();
        let message = two[1].send(0);
        two[0].offer(&message);
        assert_eq!(two[0].checkpoint().0.vector, [0, 2]);
        two[0].settle(true);
        assert_eq!(two[0].checkpoint().0.vector, [0, 0]);
    }

    #[test]
    fn the_edges_of_a_checkpoint_that_fails_are_the_next_ones() {
        let mut two = ranks(2, RollbackDependencyGraph::new);
        let message = two[1].send(0);
        two[0].offer(&message);
        two[0].checkpoint();
        two[0].settle(false);
        assert_eq!(two[0].checkpoint().0.vector, [0, 1]);
    }

    #[test]
    fn what_depends_on_an_undone_interval_is_not_on_the_line() {
        let mut two = ranks(2, RollbackDependencyGraph::new);
        let mut heads = vec![vec![CheckpointHead::beginning(0, 2)], vec![CheckpointHead::beginning(1, 2)]];
        heads[0].push(two[0].checkpoint().0);
        let message = two[1].send(0);
        two[0].offer(&message);
        heads[0].push(two[0].checkpoint().0);
        // Rank 1 returns to its beginning: its first interval is undone, and rank 0's second checkpoint with it.
        let candidates = Candidates::of_checkpoints(&heads);
        assert_eq!(two[0].protocol.line(&candidates), Some(vec![1, 0]));
    }
}
