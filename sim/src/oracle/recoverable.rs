//! What optimistic recovery returns to is the maximum recoverable state: each rank keeps as many events as can be such that nothing kept
//! depends on anything lost (Johnson and Zwaenepoel 1990: there is one such state).
//!
//! The observer counts events as they come into journals, notes for each delivery how many events its sender had behind it, and
//! lowers what each rank could keep until it is consistent. It knows direct dependencies only, and no clocks, versions or tokens.

use std::collections::HashMap;
use std::rc::Rc;

use egida_core::event::{Determinant, Happened};
use egida_core::ids::{EventIndex, Position, Rank, Ssn};
use egida_core::wire::Reader;

use super::Violation;
use super::epochs::{Epochs, Extent};

/// What the observer knows.
#[derive(Debug, Clone)]
pub struct Recoverable {
    epochs: Epochs,
    ranks: Vec<Events>,
}

/// What the messages of a rank depend on, by the other end of their channel and by number.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    /// How many events the rank had behind it at each that it sent.
    sent: Rc<HashMap<(Rank, Ssn), Extent>>,
    /// How many their sender had at each that came, when it became known.
    came: Rc<HashMap<(Rank, Ssn), Extent>>,
}

#[derive(Debug, Clone, Default)]
struct Events {
    events: Vec<Event>,
    /// How many of them are left, where the rank's memory was lost.
    left: Option<EventIndex>,
    messages: Messages,
}

impl Events {
    /// How many of them are found again if the memory is lost, and the journal is on disk up to a position.
    fn left_on_disk(&self, on_disk: Position) -> EventIndex {
        let found = self.events.iter().take_while(|event| event.position <= on_disk).count() as EventIndex;
        self.left.map_or(found, |left| left.min(found))
    }
}

#[derive(Debug, Clone)]
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
        Self { epochs: Epochs::new(ranks), ranks: events }
    }

    /// A message is put on its channel.
    pub fn sent(&mut self, source: Rank, dest: Rank, ssn: Ssn) {
        let of = &mut self.ranks[source as usize];
        let extent = self.epochs.extent(source, of.events.len() as EventIndex);
        Rc::make_mut(&mut of.messages.sent).insert((dest, ssn), extent);
    }

    /// A message is taken off its channel. One that is known already stays what it was, unless that is void.
    pub fn came(&mut self, source: Rank, dest: Rank, ssn: Ssn) {
        let Some(&extent) = self.ranks[source as usize].messages.sent.get(&(dest, ssn)) else { return };
        let came = &mut self.ranks[dest as usize].messages.came;
        let is_known = |known: &Extent| !self.epochs.is_void(source, *known);
        if !came.get(&(source, ssn)).is_some_and(is_known) {
            Rc::make_mut(came).insert((source, ssn), extent);
        }
    }

    /// What the messages of a rank depend on now, when it takes a checkpoint.
    #[must_use]
    pub fn messages(&self, rank: Rank) -> Messages {
        self.ranks[rank as usize].messages.clone()
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
                of.messages.came.get(&(source, ssn)).map(|&extent| (source, extent))
            }
            _ => None,
        };
        of.events.push(Event { position, after });
    }

    /// A rank's memory is lost; its journal is on disk up to a position.
    pub fn lost(&mut self, rank: Rank, on_disk: Position) {
        let of = &mut self.ranks[rank as usize];
        of.left = Some(of.left_on_disk(on_disk));
    }

    /// A rank is started with so many events, from a checkpoint with these messages, if from any; beside them it has those that it
    /// logged.
    ///
    /// # Errors
    /// It could have kept more, or should have kept fewer.
    pub fn started(
        &mut self,
        rank: Rank,
        kept: EventIndex,
        checkpoint: Option<&Messages>,
        logged: impl IntoIterator<Item = (Rank, Ssn)>,
    ) -> Result<(), Violation> {
        let recoverable = self.line()[rank as usize];
        let of = &mut self.ranks[rank as usize];
        let sent = checkpoint.map_or(&of.messages.sent, |checkpoint| &checkpoint.sent).clone();
        let mut came = checkpoint.map(|checkpoint| checkpoint.came.clone()).unwrap_or_default();
        for message in logged {
            if let Some(&extent) = of.messages.came.get(&message) {
                Rc::make_mut(&mut came).entry(message).or_insert(extent);
            }
        }
        of.messages = Messages { sent, came };
        of.events.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        of.events.iter_mut().for_each(|event| event.position = 0);
        of.left = None;
        self.epochs.end(rank, kept);
        match kept == recoverable {
            true => Ok(()),
            false => Err(Violation::NotTheLine { rank, kept, recoverable }),
        }
    }

    /// Whether a rank keeps its first events even if all ranks fail now, with journals that are on disk up to these positions.
    #[must_use]
    pub fn outlasts_all_failures(&self, rank: Rank, events: EventIndex, on_disk: &[Position]) -> bool {
        let left = |(of, &on_disk): (&Events, &Position)| of.left_on_disk(on_disk);
        self.line_within(self.ranks.iter().zip(on_disk).map(left).collect())[rank as usize] >= events
    }

    /// How many events each rank keeps in the maximum recoverable state.
    fn line(&self) -> Vec<EventIndex> {
        let all = |of: &Events| of.left.unwrap_or(of.events.len() as EventIndex);
        self.line_within(self.ranks.iter().map(all).collect())
    }

    /// How many of these events of each rank can be kept such that none depends on what is not.
    fn line_within(&self, mut line: Vec<EventIndex>) -> Vec<EventIndex> {
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
        assert_eq!(recoverable.started(0, 1, None, []), Ok(()));
        assert_eq!(recoverable.line(), [1, 1], "though rank 0 has gone on");
        recoverable.logged(0, &determinant(0, 1, 0), 2);
        assert_eq!(recoverable.line(), [2, 1], "what it does now is something else");
        let wrong = Violation::NotTheLine { rank: 1, kept: 2, recoverable: 1 };
        assert_eq!(recoverable.started(1, 2, None, []), Err(wrong));
    }

    #[test]
    fn what_depends_on_a_log_that_is_not_written_does_not_outlast_all_failures() {
        let recoverable = told();
        assert!(recoverable.outlasts_all_failures(1, 1, &[1, 2]));
        assert!(!recoverable.outlasts_all_failures(1, 2, &[1, 2]), "rank 0 would lose its second event");
        assert!(recoverable.outlasts_all_failures(1, 2, &[2, 2]));
    }

    #[test]
    fn what_a_checkpoint_puts_back_depends_on_what_it_depended_on_then() {
        let mut recoverable = told();
        let checkpoint = recoverable.messages(0);
        recoverable.logged(0, &determinant(0, 2, 0), 3);
        recoverable.lost(0, 3);
        assert_eq!(recoverable.started(0, 3, Some(&checkpoint), []), Ok(()));
        recoverable.lost(1, 0);
        assert_eq!(recoverable.started(1, 0, None, []), Ok(()));
        recoverable.came(0, 1, 0);
        recoverable.logged(1, &determinant(1, 0, 0), 3);
        recoverable.ranks[0].left = Some(1);
        assert_eq!(recoverable.line(), [1, 1], "the message is of the state behind the first event");
    }

    #[test]
    fn to_keep_less_than_can_be_is_wrong_too() {
        let mut recoverable = told();
        recoverable.lost(0, 2);
        let wrong = Violation::NotTheLine { rank: 0, kept: 1, recoverable: 2 };
        assert_eq!(recoverable.started(0, 1, None, []), Err(wrong));
    }
}
