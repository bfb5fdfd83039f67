//! `determinants, stability vector`: of each owner, how many of its first events are known to be safe, sent along.
//!
//! Without it a rank learns that a determinant is safe from the messages that carry it. With it, one that finds out tells
//! others, and these stop sending determinants that they hold and could not know of. A message carries the entries that
//! changed: at most one for each rank.
//!
//! An entry is never taken back: what was safe stays so, whichever domain is lost, as long as no more than f are down at
//! once (see [`Window`]).

use egida_core::ids::{Domain, Domains, EventIndex, Rank, Ssn};
use egida_core::registry::Build;
use egida_core::wire::{Reader, WireError};

use super::knowledge::Knowledge;
use super::table::{News, Table};
use super::window::{Prefix, Window};

/// The stability vector of one rank.
#[derive(Debug, Clone)]
pub struct StabilityVector {
    domains: Domains,
    /// Which events are known to be safe, by owner.
    safe: Vec<Prefix>,
    vector: Table,
}

impl StabilityVector {
    const ROW: Rank = 0;

    fn raise(&mut self, owner: Rank, from: Option<Rank>) {
        self.vector.raise(Self::ROW, owner, self.safe[owner as usize].below(), from);
    }
}

impl Knowledge for StabilityVector {
    type Telling = Vec<News>;
    type Note = ();

    fn new(build: &Build<'_>) -> Self {
        let domains = build.setting.domains.clone();
        let ranks = domains.ranks();
        Self { safe: (0..ranks).map(|_| Prefix::default()).collect(), vector: Table::new(1, ranks), domains }
    }

    fn is_safe(&self, owner: Rank, index: EventIndex) -> bool {
        index < self.safe[owner as usize].below()
    }

    fn tell(&mut self, dest: Rank, _: Ssn, out: &mut Vec<u8>) -> bool {
        self.vector.tell(dest, out)
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Vec<News>, WireError> {
        self.vector.read(reader)
    }

    fn read_note(&self, _: &mut Reader<'_>) -> Result<(), WireError> {
        Ok(())
    }

    fn told(&mut self, _: &mut Window, source: Rank, telling: Vec<News>) {
        for News { column, value, .. } in telling {
            self.safe[column as usize].extend_to(value);
            // Beyond what it said stands what was known here: that is news to it as well.
            let said = self.safe[column as usize].below() == value;
            self.raise(column, Some(source).filter(|_| said));
        }
    }

    fn became_safe(&mut self, owner: Rank, index: EventIndex) {
        self.safe[owner as usize].insert(index);
        self.raise(owner, None);
    }

    fn lost(&mut self, domain: Domain) {
        for rank in self.domains.members(domain) {
            self.vector.forget_told(rank);
        }
    }
}
