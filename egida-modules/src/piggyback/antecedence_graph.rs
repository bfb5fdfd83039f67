//! `antecedence graph`: what each event came from, sent along (Manetho; Elnozahy and Zwaenepoel 1992).
//!
//! The nodes are the non-deterministic events that this rank depends on and that are not known to be safe: the window's
//! determinants. A node has an edge from the node before it of the same process, and one from each *tip* of the messages
//! that had come in since: from the last events that their senders depended on. Where every delivery is an event
//! (`receive`) that is Manetho's graph, in which a receive has one edge from its sender; with `choice` a node may have more.
//!
//! A process that has a node has all that it came from. So whoever is seen to have a node is marked at everything below
//! it, and a message carries the graph without the part that its receiver has. No matrix is sent for this, only the edges
//! and the tips: what the dependency matrix says of holders the graph implies. A node that recovery put back comes with
//! its holders and without its edges.
//!
//! With `f = any` and an asynchronous log, as in Manetho, a node is sent until it is known to be on stable storage, and
//! output waits until the graph behind it is there: any number of failures is survived, during recovery too. With a
//! smaller f a node is also left out once it is known at f + 1 domains.
//!
//! Of Manetho's recovery two parts are done elsewhere. Its REJECTVEC keeps a survivor that has answered from learning
//! newer states of the failed process from a message on its way. Here no such message is left: before anything is
//! collected the failed process is reaped and its channels sealed, and survivors are quiet, so everything that a record
//! carries that can still be read stands in a journal that is asked. And its INCVEC, by which messages of an old
//! incarnation are told from those of the new, is the generation of a channel that begins anew; a writer of an old
//! incarnation cannot write any more.

use std::collections::BTreeMap;

use egida_core::ids::{EventIndex, Rank, Ssn};
use egida_core::module::EntryId;
use egida_core::registry::Build;
use egida_core::wire::{Reader, WireError, put_varint};

use super::knowledge::Knowledge;
use super::window::Window;

/// The edges of the graph in one rank; its nodes are in the window.
#[derive(Debug, Clone)]
pub struct AntecedenceGraph {
    rank: Rank,
    ranks: Rank,
    /// How many events of its own this rank has.
    events: EventIndex,
    /// The edges from other processes, by node.
    edges: BTreeMap<(Rank, EventIndex), Tips>,
    /// What has come in since the last own event.
    fresh: Tips,
}

/// Last events of processes: of each, how many there were.
type Tips = Vec<(Rank, EventIndex)>;

impl AntecedenceGraph {
    /// Notes that `rank` has a node and all that it came from. The window is left in order: where a node has left it, all
    /// that it came from has left before.
    fn mark(&self, window: &mut Window, rank: Rank, from: (Rank, EventIndex)) {
        let Some(id) = window.id_of(from.0, from.1) else { return };
        window.add_holder(id, rank);
        // What is marked was marked with all below it, but for where this begins: that may have come in just now.
        let mut below: Vec<_> = self.antecedents(from).collect();
        while let Some(node) = below.pop() {
            if window.id_of(node.0, node.1).is_some_and(|id| window.add_holder(id, rank)) {
                below.extend(self.antecedents(node));
            }
        }
    }

    /// What a node has edges from.
    fn antecedents(
        &self,
        (owner, index): (Rank, EventIndex),
    ) -> impl Iterator<Item = (Rank, EventIndex)> + '_ {
        let before = index.checked_sub(1).map(|index| (owner, index));
        let others = self.edges.get(&(owner, index)).into_iter().flatten();
        before.into_iter().chain(others.filter_map(last))
    }

    fn mark_entry(&self, window: &mut Window, rank: Rank, id: EntryId) {
        if let Some((owner, index)) = window.get(id).map(|held| (held.owner, held.index)) {
            self.mark(window, rank, (owner, index));
        }
    }

    fn read_tips(&self, reader: &mut Reader<'_>) -> Result<Tips, WireError> {
        let count = reader.varint()?;
        if count > u64::from(self.ranks) {
            return Err(WireError::Malformed("more edges than there are ranks"));
        }
        let mut tips = Tips::new();
        for _ in 0..count {
            let (rank, events) = (reader.rank()?, reader.varint()?);
            if rank >= self.ranks {
                return Err(WireError::Malformed("an edge from a rank that does not exist"));
            }
            tips.push((rank, events));
        }
        Ok(tips)
    }
}

/// The last of so many events.
fn last(&(rank, events): &(Rank, EventIndex)) -> Option<(Rank, EventIndex)> {
    Some((rank, events.checked_sub(1)?))
}

fn write_tips<'a>(tips: impl ExactSizeIterator<Item = &'a (Rank, EventIndex)>, out: &mut Vec<u8>) {
    put_varint(out, tips.len() as u64);
    for &(rank, events) in tips {
        put_varint(out, u64::from(rank));
        put_varint(out, events);
    }
}

impl Knowledge for AntecedenceGraph {
    type Telling = Tips;
    type Note = Tips;

    fn new(build: &Build<'_>) -> Self {
        let ranks = build.setting.domains.ranks();
        Self { rank: build.rank, ranks, events: 0, edges: BTreeMap::new(), fresh: Tips::new() }
    }

    /// The tips of the sender's graph: its own last event, and what came in since.
    fn tell(&mut self, _: Rank, _: Ssn, out: &mut Vec<u8>) -> bool {
        let mut tips = self.fresh.clone();
        if self.events > 0 {
            tips.push((self.rank, self.events));
        }
        write_tips(tips.iter(), out);
        !tips.is_empty()
    }

    fn annotate(&self, owner: Rank, index: EventIndex, out: &mut Vec<u8>) {
        let edges = self.edges.get(&(owner, index)).map_or(&[][..], |edges| edges);
        write_tips(edges.iter(), out);
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Tips, WireError> {
        self.read_tips(reader)
    }

    fn read_note(&self, reader: &mut Reader<'_>) -> Result<Tips, WireError> {
        self.read_tips(reader)
    }

    fn told(&mut self, window: &mut Window, source: Rank, telling: Tips) {
        for tip in telling {
            if let Some(node) = last(&tip) {
                self.mark(window, source, node);
            }
            let (rank, events) = tip;
            if rank == self.rank {
                continue;
            }
            match self.fresh.iter_mut().find(|(known, _)| *known == rank) {
                Some((_, most)) => *most = events.max(*most),
                None => self.fresh.push(tip),
            }
        }
    }

    fn happened(&mut self, index: EventIndex) {
        self.events = index + 1;
        let edges = std::mem::take(&mut self.fresh);
        if !edges.is_empty() {
            self.edges.insert((self.rank, index), edges);
        }
    }

    fn learned(&mut self, window: &mut Window, id: EntryId, source: Rank, note: Tips) {
        if let Some((owner, index)) = window.get(id).map(|held| (held.owner, held.index)) {
            if !note.is_empty() {
                self.edges.insert((owner, index), note);
            }
            self.mark(window, owner, (owner, index));
            self.mark(window, source, (owner, index));
        }
    }

    fn restored(&mut self, owner: Rank, index: EventIndex, _: &[egida_core::ids::Domain]) {
        if owner == self.rank {
            self.events = self.events.max(index + 1);
        }
    }

    fn holds(&mut self, window: &mut Window, id: EntryId, rank: Rank) {
        self.mark_entry(window, rank, id);
    }

    fn forgotten(&mut self, owner: Rank, index: EventIndex) {
        self.edges.remove(&(owner, index));
    }
}
