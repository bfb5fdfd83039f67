//! A table of numbers that only grow, and what each peer was told of it.

use std::collections::BTreeMap;

use egida_core::ids::{EventIndex, Rank};
use egida_core::wire::{Reader, WireError, put_varint};

/// Cells by row and column, 0 where nothing is said.
///
/// A message tells what has changed since the last message to the same receiver, except what that one said itself. That
/// is enough, because channels are FIFO, and what stands on them outlives its reader: one that was lost reads it again.
#[derive(Debug, Clone)]
pub(super) struct Table {
    rows: Rank,
    columns: Rank,
    cells: BTreeMap<(Rank, Rank), Cell>,
    /// The cells in the order of their last change.
    changes: BTreeMap<u64, (Rank, Rank)>,
    clock: u64,
    /// By peer: the changes below this number were told.
    told: Vec<u64>,
}

#[derive(Debug, Clone)]
struct Cell {
    value: EventIndex,
    changed: u64,
    from: Option<Rank>,
}

/// What a message says of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    pub row: Rank,
    pub column: Rank,
    pub value: EventIndex,
}

impl Table {
    /// An empty table of a job of `ranks`: with a row for each, or with one.
    pub fn new(rows: Rank, ranks: Rank) -> Self {
        Self {
            rows,
            columns: ranks,
            cells: BTreeMap::new(),
            changes: BTreeMap::new(),
            clock: 0,
            told: vec![0; ranks as usize],
        }
    }

    pub fn get(&self, row: Rank, column: Rank) -> EventIndex {
        self.cells.get(&(row, column)).map_or(0, |cell| cell.value)
    }

    /// The cells of a row that say something.
    pub fn row(&self, row: Rank) -> impl Iterator<Item = (Rank, EventIndex)> + '_ {
        self.cells.range((row, 0)..=(row, Rank::MAX)).map(|(&(_, column), cell)| (column, cell.value))
    }

    /// Raises a cell, on the word of a peer if one knows it already. Returns whether it was lower.
    pub fn raise(&mut self, row: Rank, column: Rank, value: EventIndex, from: Option<Rank>) -> bool {
        if value <= self.get(row, column) {
            return false;
        }
        let changed = self.clock;
        self.clock += 1;
        if let Some(old) = self.cells.insert((row, column), Cell { value, changed, from }) {
            self.changes.remove(&old.changed);
        }
        self.changes.insert(changed, (row, column));
        true
    }

    /// Forgets a row.
    pub fn clear_row(&mut self, row: Rank) {
        let columns: Vec<Rank> = self.row(row).map(|(column, _)| column).collect();
        for column in columns {
            if let Some(cell) = self.cells.remove(&(row, column)) {
                self.changes.remove(&cell.changed);
            }
        }
    }

    /// Says no more of the cells of a column up to a value: everyone knows.
    pub fn silence(&mut self, column: Rank, up_to: EventIndex) {
        for row in 0..self.rows {
            if let Some(cell) = self.cells.get(&(row, column)).filter(|cell| cell.value <= up_to) {
                self.changes.remove(&cell.changed);
            }
        }
    }

    /// A peer has lost its memory: it is told everything again.
    pub fn forget_told(&mut self, peer: Rank) {
        self.told[peer as usize] = 0;
        for (&place, cell) in &mut self.cells {
            cell.from = cell.from.filter(|&from| from != peer);
            self.changes.insert(cell.changed, place);
        }
    }

    /// Appends what `peer` is to be told, its own row left out. Returns whether that is anything.
    pub fn tell(&mut self, peer: Rank, out: &mut Vec<u8>) -> bool {
        let since = std::mem::replace(&mut self.told[peer as usize], self.clock);
        let is_new = |&(row, column): &(Rank, Rank)| {
            let own = self.rows > 1 && row == peer;
            !own && self.cells.get(&(row, column)).is_some_and(|cell| cell.from != Some(peer))
        };
        let news: Vec<(Rank, Rank)> =
            self.changes.range(since..).map(|(_, &place)| place).filter(is_new).collect();
        put_varint(out, news.len() as u64);
        for &(row, column) in &news {
            if self.rows > 1 {
                put_varint(out, u64::from(row));
            }
            put_varint(out, u64::from(column));
            put_varint(out, self.get(row, column));
        }
        !news.is_empty()
    }

    /// Reads what [`Table::tell`] wrote.
    pub fn read(&self, reader: &mut Reader<'_>) -> Result<Vec<News>, WireError> {
        let count = reader.varint()?;
        let mut news = Vec::new();
        for _ in 0..count {
            let row = if self.rows > 1 { reader.rank()? } else { 0 };
            let column = reader.rank()?;
            if row >= self.rows || column >= self.columns {
                return Err(WireError::Malformed("a cell of a rank that does not exist"));
            }
            news.push(News { row, column, value: reader.varint()? });
        }
        Ok(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(table: &mut Table, peer: Rank) -> Vec<(Rank, Rank, EventIndex)> {
        let mut bytes = Vec::new();
        let any = table.tell(peer, &mut bytes);
        let mut reader = Reader::new(&bytes);
        let news = table.read(&mut reader).unwrap();
        assert!(reader.rest().is_empty());
        assert_eq!(any, !news.is_empty());
        news.into_iter().map(|news| (news.row, news.column, news.value)).collect()
    }

    #[test]
    fn each_change_is_told_once_to_each_and_only_the_last_of_a_cell() {
        let mut table = Table::new(3, 3);
        assert!(table.raise(0, 0, 1, None));
        assert!(table.raise(0, 0, 4, None));
        assert!(!table.raise(0, 0, 2, None));
        assert_eq!(told(&mut table, 1), [(0, 0, 4)]);
        assert_eq!(told(&mut table, 1), []);
        table.raise(2, 0, 4, None);
        assert_eq!(told(&mut table, 1), [(2, 0, 4)]);
        assert_eq!(told(&mut table, 2), [(0, 0, 4)], "its own row it knows itself");
    }

    #[test]
    fn nobody_is_told_what_it_said_itself_until_it_has_forgotten() {
        let mut table = Table::new(3, 3);
        table.raise(2, 0, 4, Some(1));
        assert_eq!(told(&mut table, 1), []);
        table.forget_told(1);
        assert_eq!(told(&mut table, 1), [(2, 0, 4)]);
    }

    #[test]
    fn what_everyone_knows_is_not_told() {
        let mut table = Table::new(3, 3);
        table.raise(0, 1, 4, None);
        table.raise(2, 1, 6, None);
        table.silence(1, 4);
        assert_eq!(told(&mut table, 2), []);
        assert_eq!(told(&mut table, 1), [(2, 1, 6)]);
        assert_eq!(table.get(0, 1), 4);
        table.forget_told(2);
        assert_eq!(told(&mut table, 2), [(0, 1, 4)], "it does not know any more");
        assert_eq!(told(&mut table, 1), []);
    }

    #[test]
    fn a_cell_outside_or_cut_short_is_an_error() {
        let mut table = Table::new(2, 2);
        table.raise(1, 1, 300, None);
        let mut bytes = Vec::new();
        table.tell(0, &mut bytes);
        for cut in 0..bytes.len() {
            assert!(table.read(&mut Reader::new(&bytes[..cut])).is_err());
        }
        assert!(Table::new(1, 1).read(&mut Reader::new(&[1, 7, 1])).is_err());
    }
}
