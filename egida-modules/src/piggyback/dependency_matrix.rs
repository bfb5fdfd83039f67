//! `determinants, dependency matrix`: who is known to hold what, sent along (Alvisi, Hoppe, Marzullo 1993).
//!
//! Cell (p, j) of the matrix is how many events of j are known to be *covered* by p: p holds their determinants, or they
//! were safe before p came to depend on them. By the invariant of causal logging p covers all that it depends on, so p's
//! row is p's vector clock, and a message that p has taken in lifts p's row to that of its sender. What p covers it need
//! not be sent; an event that f + 1 domains cover is safe. Of all variants this one resends least, and its matrix grows
//! with the square of the number of ranks; a message carries the cells that changed.
//!
//! A row is raised on the word of its rank, on that of someone who has it from there, and by acknowledgements; never
//! because something was sent. Whoever knows that p covers an event covers it too, because the knowledge came by a
//! message from p's past, or by p's acknowledgement of what was sent from here. So when p's domain is lost, and an old
//! message still says what it had held, there is someone alive from whom p gets it back, and the claim becomes true
//! again before p counts as up.
//!
//! What is lost with a domain: its rows, which start again from what its ranks tell anew; they tell everything again, on
//! channels that begin anew, and are told everything again.

use std::collections::VecDeque;

use egida_core::ids::{Domain, Domains, EventIndex, Rank, Ssn};
use egida_core::registry::Build;
use egida_core::wire::{Reader, WireError};

use super::knowledge::Knowledge;
use super::table::{News, Table};
use super::window::Window;

/// The dependency matrix of one rank.
#[derive(Debug, Clone)]
pub struct DependencyMatrix {
    rank: Rank,
    domains: Domains,
    copies: Domain,
    covered: Table,
    /// By owner: events below are covered by enough domains.
    safe_below: Vec<EventIndex>,
    peers: Vec<Peer>,
}

/// A part of a row: columns that say something.
type Row = Vec<(Rank, EventIndex)>;

/// What one receiver will cover once it has acknowledged.
#[derive(Debug, Clone, Default)]
struct Peer {
    in_flight: VecDeque<(Ssn, Row)>,
    /// What this rank covered at the last of them.
    last: Row,
}

impl DependencyMatrix {
    fn raise(&mut self, row: Rank, owner: Rank, value: EventIndex, from: Option<Rank>) {
        if self.covered.raise(row, owner, value, from) {
            self.count(owner);
        }
    }

    /// Counts the domains that cover events of an owner: the most that enough of them reach is safe.
    fn count(&mut self, owner: Rank) {
        let mut by_domain = vec![0; self.domains.count() as usize];
        for rank in 0..self.domains.ranks() {
            let most = &mut by_domain[self.domains.of(rank) as usize];
            *most = self.covered.get(rank, owner).max(*most);
        }
        by_domain.sort_unstable_by(|one, other| other.cmp(one));
        let last = (self.copies as usize).checked_sub(1).and_then(|last| by_domain.get(last));
        self.safe_below[owner as usize] = last.copied().unwrap_or(0);
    }
}

impl Knowledge for DependencyMatrix {
    type Telling = Vec<News>;
    type Note = ();

    fn new(build: &Build<'_>) -> Self {
        let domains = build.setting.domains.clone();
        let ranks = domains.ranks();
        Self {
            rank: build.rank,
            copies: build.copies,
            covered: Table::new(ranks, ranks),
            safe_below: vec![0; ranks as usize],
            peers: (0..ranks).map(|_| Peer::default()).collect(),
            domains,
        }
    }

    fn is_safe(&self, owner: Rank, index: EventIndex) -> bool {
        index < self.safe_below[owner as usize]
    }

    fn covers(&self, rank: Rank, owner: Rank, index: EventIndex) -> bool {
        index < self.covered.get(rank, owner)
    }

    fn tell(&mut self, dest: Rank, ssn: Ssn, out: &mut Vec<u8>) -> bool {
        let peer = &mut self.peers[dest as usize];
        let row: Row = self.covered.row(self.rank).collect();
        if row != peer.last {
            peer.in_flight.push_back((ssn, row.clone()));
            peer.last = row;
        }
        self.covered.tell(dest, out)
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Vec<News>, WireError> {
        self.covered.read(reader)
    }

    fn read_note(&self, _: &mut Reader<'_>) -> Result<(), WireError> {
        Ok(())
    }

    /// All that it told `source` covers itself, and with this message so does this rank.
    fn told(&mut self, _: &mut Window, source: Rank, telling: Vec<News>) {
        for News { row, column, value } in telling {
            self.raise(row, column, value, Some(source));
            self.raise(self.rank, column, value, None);
        }
    }

    fn happened(&mut self, index: EventIndex) {
        self.raise(self.rank, self.rank, index + 1, None);
    }

    /// Recovery puts an owner's events back in their order.
    fn restored(&mut self, owner: Rank, index: EventIndex, holders: &[Domain]) {
        for rank in 0..self.domains.ranks() {
            let only = self.domains.members(self.domains.of(rank)).nth(1).is_none();
            let holds =
                rank == self.rank || rank == owner || (only && holders.contains(&self.domains.of(rank)));
            if holds && self.covered.get(rank, owner) == index {
                self.raise(rank, owner, index + 1, None);
            }
        }
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
                self.covered.clear_row(rank);
                self.covered.forget_told(rank);
                self.peers[rank as usize].last.clear();
            }
        }
        for owner in 0..self.domains.ranks() {
            self.count(owner);
        }
    }
}
