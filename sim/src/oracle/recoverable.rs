//! What optimistic recovery returns to is the maximum recoverable state: each rank keeps as many events as can be such that nothing kept
//! depends on anything lost (Johnson and Zwaenepoel 1990: there is one such state).
//!
//! The observer counts events as they come into journals, notes for each delivery how many events its sender had behind it, and
//! lowers what each rank could keep until it is consistent. It knows direct dependencies only, and no clocks, versions or tokens.

use std::collections::HashMap;

use egida_core::event::{Determinant, Happened};
use egida_core::ids::{EventIndex, Position, Rank, Ssn};
use egida_core::wire::Reader;

use super::Violation;
use super::epochs::{Epochs, Extent};

/// What the observer knows.
#[derive(Debug)]
pub struct Recoverable {
    epochs: Epochs,
    ranks: Vec<Events>,
    /// How many events the sender had behind it at each message that stands on a channel, by sender, receiver and number.
    sent: HashMap<(Rank, Rank, Ssn), Extent>,
}

#[derive(Debug, Default)]
struct Events {
    events: Vec<Event>,
    /// How many of them are left, where the rank's memory was lost.
    left: Option<EventIndex>,
    /// What each message that came depends on, by sender and number.
    came: HashMap<(Rank, Ssn), Extent>,
}

#[derive(Debug)]
struct Event {
    /// The position behind it in its journal; 0 where it was put back from stable storage.
    position: Position,
    /// On whose events it directly depends, beside those of its rank before it.
    after: Option<(Rank, Extent)>,
}

impl Recoverable {
    /// An observer of a job in which nothing has happened.
    #[must_use]
    pub fn new(ranks: u32) -> Self {
        let events = (0..ranks).map(|_| Events::default()).collect();
        Self { epochs: Epochs::new(ranks), ranks: events, sent: HashMap::new() }
    }

    /// A message is put on its channel.
    pub fn sent(&mut self, source: Rank, dest: Rank, ssn: Ssn) {
        let count = self.ranks[source as usize].events.len() as EventIndex;
        self.sent.insert((source, dest, ssn), self.epochs.extent(source, count));
    }

    /// A message is taken off its channel.
    pub fn came(&mut self, source: Rank, dest: Rank, ssn: Ssn) {
        if let Some(&extent) = self.sent.get(&(source, dest, ssn)) {
            self.ranks[dest as usize].came.insert((source, ssn), extent);
        }
    }

    /// A rank's journal takes a determinant, and is so long then.
    pub fn logged(&mut self, rank: Rank, determinant: &[u8], position: Position) {
        let Ok(determinant) = Determinant::decode(&mut Reader::new(determinant)) else { return };
        if determinant.owner != rank {
            return;
        }
        let of = &mut self.ranks[rank as usize];
        if let Some(event) = usize::try_from(determinant.index).ok().and_then(|at| of.events.get_mut(at)) {
            // It is put back.
            event.position = position;
            return;
        }
        let after = match determinant.what {
            Happened::Delivery { source, ssn, .. } => {
                of.came.get(&(source, ssn)).map(|&extent| (source, extent))
            }
            _ => None,
        };
        of.events.push(Event { position, after });
    }

    /// A rank's memory is lost; its journal is on disk up to a position.
    pub fn lost(&mut self, rank: Rank, on_disk: Position) {
        let of = &mut self.ranks[rank as usize];
        let found = of.events.iter().take_while(|event| event.position <= on_disk).count() as EventIndex;
        of.left = Some(of.left.map_or(found, |left| left.min(found)));
    }

    /// A rank is started with so many events.
    ///
    /// # Errors
    /// It could have kept more, or should have kept fewer.
    pub fn started(&mut self, rank: Rank, kept: EventIndex) -> Result<(), Violation> {
        let recoverable = self.line()[rank as usize];
        let of = &mut self.ranks[rank as usize];
        of.events.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        of.events.iter_mut().for_each(|event| event.position = 0);
        of.left = None;
        self.epochs.end(rank, kept);
        match kept == recoverable {
            true => Ok(()),
            false => Err(Violation::NotTheLine { rank, kept, recoverable }),
        }
    }

    /// How many events each rank keeps in the maximum recoverable state.
    fn line(&self) -> Vec<EventIndex> {
        let all = |of: &Events| of.left.unwrap_or(of.events.len() as EventIndex);
        let mut line: Vec<EventIndex> = self.ranks.iter().map(all).collect();
        loop {
            let lower: Vec<EventIndex> = (0..)
                .zip(&self.ranks)
                .map(|(rank, of): (usize, _)| {
                    let stands = |event: &&Event| {
                        event.after.is_none_or(|(source, extent)| {
                            !self.epochs.is_void(source, extent) && extent.count <= line[source as usize]
                        })
                    };
                    let kept = usize::try_from(line[rank]).unwrap_or(usize::MAX);
                    of.events.iter().take(kept).take_while(stands).count() as EventIndex
                })
                .collect();
            if lower == line {
                return line;
            }
            line = lower;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn determinant(owner: Rank, index: EventIndex, source: Rank) -> Vec<u8> {
        let what = Happened::Delivery { source, ssn: index, post: index };
        let mut bytes = Vec::new();
        Determinant { owner, index, observed: 0, what, after: None }.encode(&mut bytes);
        bytes
    }

    /// Rank 0 has two events and tells rank 1 after each.
    fn told() -> Recoverable {
        let mut recoverable = Recoverable::new(2);
        for number in 0..2 {
            recoverable.logged(0, &determinant(0, number, 0), number + 1);
            recoverable.sent(0, 1, number);
            recoverable.came(0, 1, number);
            recoverable.logged(1, &determinant(1, number, 0), number + 1);
        }
        recoverable
    }

    #[test]
    fn who_depends_on_what_is_lost_keeps_what_came_before() {
        let mut recoverable = told();
        recoverable.lost(0, 1);
        assert_eq!(recoverable.line(), [1, 1]);
        assert_eq!(recoverable.started(0, 1), Ok(()));
        assert_eq!(recoverable.line(), [1, 1], "though rank 0 has gone on");
        recoverable.logged(0, &determinant(0, 1, 0), 2);
        assert_eq!(recoverable.line(), [2, 1], "what it does now is something else");
        let wrong = Violation::NotTheLine { rank: 1, kept: 2, recoverable: 1 };
        assert_eq!(recoverable.started(1, 2), Err(wrong));
    }

    #[test]
    fn to_keep_less_than_can_be_is_wrong_too() {
        let mut recoverable = told();
        recoverable.lost(0, 2);
        let wrong = Violation::NotTheLine { rank: 0, kept: 1, recoverable: 2 };
        assert_eq!(recoverable.started(0, 1), Err(wrong));
    }
}
