//! The world while it is explored: what may happen is not ordered by time, and every state has a fingerprint.

use egida_core::control::Control;
use egida_core::ids::{Rank, Ssn};
use egida_core::wire::SendMode;

use super::{Channel, Entry, Letter, World};
use crate::fingerprint::Fingerprint;
use crate::scheduler::Time;

/// When something happens that waits to be chosen.
pub const HELD: Time = Time::MAX;

/// What an explored world keeps count of.
#[derive(Debug, Clone, Default)]
pub struct Explored {
    /// Changes whenever a rank or a node changes what outlives it.
    pub changes: u64,
    /// The crash points that were passed in the present step: how many changes there had been.
    pub points: Vec<u64>,
    /// How many changes there had been before the present step.
    pub before: u64,
    /// How many records that were not synced are found on the disk of a node that dies in the present step.
    pub kept: usize,
    /// How many there could be, for each node that died in the present step.
    pub unsynced: Vec<usize>,
    /// Which crash point of the step, counted from 1, is the last of the rank that comes to it.
    pub crash_at: Option<usize>,
    /// Which writes of checkpoints go to their ends though who asked for them died in the present step: bit w for the write
    /// that is come to after w others.
    pub finished: u64,
    /// How many such writes there were.
    pub unfinished: u32,
    /// Whether the write of a checkpoint that ends in the present step fails.
    pub fails: bool,
}

impl Explored {
    /// Whether the next write of a checkpoint goes to its end though who asked for it is dead.
    pub fn next_unfinished(&mut self) -> bool {
        self.unfinished += 1;
        self.finished & (1 << (self.unfinished - 1)) != 0
    }
}

impl World {
    /// What outlives ranks has changed.
    pub fn touch(&mut self) {
        if let Some(explored) = &mut self.explored {
            explored.changes += 1;
        }
    }

    /// How often what outlives ranks has changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.explored.as_ref().map_or(0, |explored| explored.changes)
    }

    /// A rank passes a crash point. Returns whether it dies there.
    pub fn pass(&mut self) -> bool {
        let Some(explored) = &mut self.explored else { return false };
        explored.points.push(explored.changes);
        explored.crash_at == Some(explored.points.len())
    }

    /// The next record of a channel that waits to arrive, if it may.
    #[must_use]
    pub fn next_held(&self, source: Rank, dest: Rank) -> Option<Ssn> {
        let channel = self.channel_if_used(source, dest)?;
        let at = channel.records.iter().position(|record| record.visible == HELD)?;
        // What was to be told before it is told first.
        let told = self.told[dest as usize];
        (channel.records[at].behind <= told).then_some(channel.reclaimed + at as Ssn)
    }

    /// The next record of a channel arrives.
    pub fn show(&mut self, source: Rank, dest: Rank) {
        let now = self.now;
        if let Some(ssn) = self.next_held(source, dest)
            && let Some(record) = self.channel(source, dest).record_mut(ssn)
        {
            record.visible = now;
            self.arriving[dest as usize].push(std::cmp::Reverse((now, source)));
            self.touch();
        }
    }

    /// The next control message to a rank arrives.
    pub fn tell(&mut self, rank: Rank) {
        let now = self.now;
        if let Some(letter) = self.inbox[rank as usize].iter_mut().find(|letter| letter.at == HELD) {
            letter.at = now;
            self.told[rank as usize] += 1;
            self.touch();
        }
    }

    /// What checkpointing protocols told a rank while it was dead is there when it begins.
    pub fn deliver_what_is_old(&mut self, rank: Rank) {
        if self.explored.is_none() {
            return;
        }
        let now = self.now;
        let held = self.inbox[rank as usize].iter_mut().filter(|letter| letter.at == HELD);
        for letter in held.take_while(|letter| !matches!(letter.control, Control::Token(_))) {
            letter.at = now;
            self.told[rank as usize] += 1;
        }
        self.touch();
    }

    /// The next control message to a rank that waits to arrive.
    #[must_use]
    pub fn next_letter(&self, rank: Rank) -> Option<&Letter> {
        self.inbox[rank as usize].iter().find(|letter| letter.at == HELD)
    }

    /// What a rank that waits may wait for, besides arrivals: how far logs are stable, which channels there are and how much of
    /// their last records, which of its messages were matched, whether a recovery line is being computed.
    #[must_use]
    pub fn inputs(&self, rank: Rank) -> u128 {
        let mut inputs = Fingerprint::default();
        inputs.word(self.epoch);
        inputs.word(u64::from(self.paused));
        for (journal, row) in self.journals.iter().zip(&self.channels) {
            inputs.word(journal.stable.written);
            journal.stable.copied.iter().for_each(|&position| inputs.word(position));
            if let Some(channel) = row.get(&rank) {
                inputs.word(u64::from(channel.generation));
                inputs.word(channel.records.back().map_or(0, |record| record.payload.len() as u64));
            }
        }
        self.outbound(rank).for_each(|(_, channel)| inputs.word(channel.seen_by_sender().matched as u64));
        inputs.value()
    }

    /// Takes in all that may make a difference to what comes.
    pub fn fold(&self, into: &mut Fingerprint) {
        for (source, row) in (0u64..).zip(&self.channels) {
            for (&dest, channel) in row {
                into.word((source << 32) | u64::from(dest) | (1 << 63));
                self.fold_channel(dest, channel, into);
            }
        }
        for (journal, disk) in self.journals.iter().zip(&self.disks) {
            into.word(journal.base);
            into.word(journal.stable.written);
            journal.stable.copied.iter().for_each(|&position| into.word(position));
            into.word(journal.entries.len() as u64);
            journal.entries.iter().for_each(|entry| fold_entry(entry, into));
            into.word(disk.used_bytes());
            disk.entries().for_each(|entry| fold_entry(entry, into));
        }
        for held in &self.foreign {
            into.word(held.len() as u64);
            held.iter().for_each(|determinant| into.bytes(determinant));
        }
        for inbox in &self.inbox {
            into.word(inbox.len() as u64);
            for letter in inbox {
                into.word(u64::from(letter.at == HELD));
                into.word(letter.from.map_or(0, |from| u64::from(from) + 1));
                into.shown(&letter.control);
                // What those who began after it was sent write comes behind it.
                self.born.iter().for_each(|&born| into.word(u64::from(letter.sent <= born)));
            }
        }
        self.fences.iter().for_each(|&fence| into.word(u64::from(fence)));
        into.word(self.epoch);
        into.word(u64::from(self.paused));
        self.checkpoints.fold(into);
        if let Some(exposure) = &self.exposure {
            exposure.fold(self.checkpoints.were_taken(), into);
        }
        if let Some(history) = &self.history {
            history.fold(into);
        }
    }

    fn fold_channel(&self, dest: Rank, channel: &Channel, into: &mut Fingerprint) {
        for word in [
            channel.reclaimed,
            u64::from(channel.generation),
            channel.told.acknowledged,
            channel.told.matched as u64,
            channel.depends,
            channel.released,
            channel.matched.len() as u64,
            channel.records.len() as u64,
        ] {
            into.word(word);
        }
        channel.matched.iter().for_each(|&ssn| into.word(ssn));
        for record in &channel.records {
            fold_record(record, into);
            // On its way, and behind how many control messages that are on theirs.
            let held = record.visible == HELD;
            let behind = record.behind.saturating_sub(self.told[dest as usize]);
            into.word(u64::from(held) + if held { 2 * behind } else { 0 });
            if let Some(past) = &record.past {
                (0..self.domains.ranks()).for_each(|rank| into.word(past.of(rank)));
            }
        }
    }
}

/// Takes in what a reader finds in a record.
pub(crate) fn fold_record(record: &super::Record, into: &mut Fingerprint) {
    let header = &record.header;
    for word in [
        header.ssn,
        header.requires,
        header.events,
        header.len,
        u64::from(header.envelope.context),
        u64::from(header.envelope.tag.cast_unsigned()),
        u64::from(header.mode == SendMode::Synchronous),
    ] {
        into.word(word);
    }
    into.bytes(&record.piggyback);
    into.bytes(&record.payload);
}

fn fold_entry(entry: &Entry, into: &mut Fingerprint) {
    into.word((entry.kind as u64) << 8 | u64::from(entry.stores));
    into.bytes(&entry.bytes);
}
