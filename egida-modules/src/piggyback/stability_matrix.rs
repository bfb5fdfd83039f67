//! `determinants, stability matrix`: for each rank, what it is known to know of stability, sent along.
//!
//! Row p is what p knows as [`StabilityVector`](super::StabilityVector) describes it: of each owner, how many of its first
//! events are safe. What anybody knows to be safe is safe, so a rank's own row is at least as high as any other. The rows of
//! the others are there so that knowledge of stability can itself be collected: what everyone is known to know is said
//! no more. It costs a matrix, that grows with the square of the number of ranks; a message carries the cells that changed.
//!
//! As in the vector nothing that was safe is taken back. But a domain that is lost forgets what it knew: its rows start
//! again, and it is told everything again.

use std::collections::VecDeque;

use egida_core::ids::{Domain, Domains, EventIndex, Rank, Ssn};
use egida_core::registry::Build;
use egida_core::wire::{Reader, WireError};

use super::knowledge::Knowledge;
use super::table::{News, Table};
use super::window::{Prefix, Window};

/// The stability matrix of one rank.
#[derive(Debug, Clone)]
pub struct StabilityMatrix {
    rank: Rank,
    domains: Domains,
    /// Which events are known to be safe, by owner: the rank's own row, and what lies beyond it.
    safe: Vec<Prefix>,
    matrix: Table,
    peers: Vec<Peer>,
}

/// A part of a row: columns that say something.
type Row = Vec<(Rank, EventIndex)>;

/// What one receiver will know once it has acknowledged.
#[derive(Debug, Clone, Default)]
struct Peer {
    in_flight: VecDeque<(Ssn, Row)>,
    /// What this rank knew at the last of them.
    last: Row,
}

impl StabilityMatrix {
    /// Raises a cell; what everyone has come to know with that is collected.
    fn raise(&mut self, row: Rank, owner: Rank, value: EventIndex, from: Option<Rank>) {
        if self.matrix.raise(row, owner, value, from) {
            let everyone = (0..self.domains.ranks()).map(|rank| self.matrix.get(rank, owner)).min();
            self.matrix.silence(owner, everyone.unwrap_or(0));
        }
    }

    fn raise_own(&mut self, owner: Rank) {
        self.raise(self.rank, owner, self.safe[owner as usize].below(), None);
    }
}

impl Knowledge for StabilityMatrix {
    type Telling = Vec<News>;
    type Note = ();

    fn new(build: &Build<'_>) -> Self {
        let domains = build.setting.domains.clone();
        let ranks = domains.ranks();
        Self {
            rank: build.rank,
            safe: (0..ranks).map(|_| Prefix::default()).collect(),
            matrix: Table::new(ranks, ranks),
            peers: (0..ranks).map(|_| Peer::default()).collect(),
            domains,
        }
    }

    fn is_safe(&self, owner: Rank, index: EventIndex) -> bool {
        index < self.safe[owner as usize].below()
    }

    fn tell(&mut self, dest: Rank, ssn: Ssn, out: &mut Vec<u8>) -> bool {
        let peer = &mut self.peers[dest as usize];
        let row: Row = self.matrix.row(self.rank).collect();
        if row != peer.last {
            peer.in_flight.push_back((ssn, row.clone()));
            peer.last = row;
        }
        self.matrix.tell(dest, out)
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Vec<News>, WireError> {
        self.matrix.read(reader)
    }

    fn read_note(&self, _: &mut Reader<'_>) -> Result<(), WireError> {
        Ok(())
    }

    /// Whatever `source` told, it knows, and now this rank does.
    fn told(&mut self, _: &mut Window, source: Rank, telling: Vec<News>) {
        for News { row, column, value } in telling {
            self.raise(row, column, value, Some(source));
            self.raise(source, column, value, Some(source));
            self.safe[column as usize].extend_to(value);
            self.raise_own(column);
        }
    }

    fn became_safe(&mut self, owner: Rank, index: EventIndex) {
        self.safe[owner as usize].insert(index);
        self.raise_own(owner);
    }

    fn acknowledged(&mut self, dest: Rank, below: Ssn) {
        let in_flight = &mut self.peers[dest as usize].in_flight;
        let mut taken_in = None;
        while let Some((_, row)) = in_flight.pop_front_if(|&mut (ssn, _)| ssn < below) {
            taken_in = Some(row);
        }
        for (owner, value) in taken_in.into_iter().flatten() {
            self.raise(dest, owner, value, Some(dest));
        }
    }

    fn lost(&mut self, domain: Domain) {
        for rank in 0..self.domains.ranks() {
            if self.domains.of(rank) == domain {
                self.matrix.clear_row(rank);
                self.matrix.forget_told(rank);
                self.peers[rank as usize].last.clear();
            }
        }
    }
}
