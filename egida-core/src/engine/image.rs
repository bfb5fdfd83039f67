//! The engine's part of a checkpoint: what belongs to the history of the process is written and read back, what belongs to the
//! session (driver, read cursors, watermarks, generations) is made anew.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::inbound::{Inbound, Message, Place};
use super::receive::Receive;
use super::{Engine, Outbound, claim};
use crate::api::ReceiveId;
use crate::checkpoint::{CheckpointHead, CheckpointImage, SendLog};
use crate::clock::IncarnationClock;
use crate::driver::{Comparison, Driver, Extent};
use crate::fault::Fault;
use crate::gate::Gate;
use crate::ids::{Rank, Ssn};
use crate::matching::{Arrived, Matching};
use crate::recovery::bytes_as_bin;
use crate::stack::StackHistory;
use crate::wire::SendMode;

/// Everything of the engine that a process's history decided.
#[derive(Debug, Serialize, Deserialize)]
struct History {
    posts: u64,
    reads: u64,
    sends: u64,
    deliveries: u64,
    stack: StackHistory,
    matching: Matching,
    receives: BTreeMap<ReceiveId, SavedReceive>,
    inbound: Vec<SavedInbound>,
    outbound: Vec<SavedOutbound>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedReceive {
    forced: Option<(Rank, Ssn)>,
    makes_determinant: bool,
    message: Option<Arrived>,
    read: u64,
    #[serde(with = "bytes_as_bin")]
    collected: Vec<u8>,
    logged: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedInbound {
    finished_below: Ssn,
    digest: u64,
    depends: u64,
    messages: Vec<Option<SavedMessage>>,
    matched: BTreeSet<Ssn>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedMessage {
    mode: SendMode,
    /// The whole payload's length: another checkpoint may be taken before it is read.
    len: u64,
    read: u64,
    /// The payload from byte `read` on, where all of it was there.
    rest: Option<Rest>,
    clock: Option<Box<IncarnationClock>>,
    digest_before: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Rest(#[serde(with = "bytes_as_bin")] Vec<u8>);

#[derive(Debug, Serialize, Deserialize)]
struct SavedOutbound {
    next: Ssn,
    synchronous: BTreeMap<Ssn, bool>,
}

impl<D: Driver> Engine<D> {
    /// The engine's part of a checkpoint. Fills in what the checkpoint covers of the inbound channels.
    pub(super) fn history(&mut self, head: &mut CheckpointHead) -> Result<Vec<u8>, Fault> {
        self.enter();
        let mut inbound = Vec::with_capacity(self.inbound.len());
        for source in 0..self.domains.ranks() {
            let saved = self.save_inbound(source);
            // What has merely arrived may turn out never to have been sent: another message may come in its place.
            let covered = if self.stack.detects_orphans() { saved.finished_below } else { saved.covered() };
            head.covered[source as usize] = if source == self.rank { 0 } else { covered };
            inbound.push(saved);
        }
        let receive = |(&id, receive): (&ReceiveId, &Receive)| {
            let saved = SavedReceive {
                forced: receive.forced,
                makes_determinant: receive.makes_determinant,
                message: receive.message,
                read: receive.read,
                collected: receive.collected.clone(),
                logged: receive.logged,
            };
            (id, saved)
        };
        let outbound = |outbound: &Outbound| SavedOutbound {
            next: outbound.next,
            synchronous: outbound.synchronous.iter().map(|(&ssn, &matched)| (ssn, matched)).collect(),
        };
        let history = History {
            posts: self.posts,
            reads: self.reads,
            sends: self.counts.sends,
            deliveries: self.counts.deliveries,
            stack: self.stack.history(),
            matching: self.matching.clone(),
            receives: self.receives.iter().map(receive).collect(),
            inbound,
            outbound: self.outbound.iter().map(outbound).collect(),
        };
        rmp_serde::to_vec(&history).map_err(|error| Fault::Checkpoint(error.to_string()))
    }

    fn save_inbound(&self, source: Rank) -> SavedInbound {
        let inbound = &self.inbound[source as usize];
        let message = |message: &Message, len: u64| SavedMessage {
            mode: message.mode,
            len,
            read: message.read,
            rest: self.rest_of(source, message, len).map(Rest),
            clock: message.clock.clone(),
            digest_before: message.digest_before,
        };
        let messages = inbound.unfinished().map(|(_, slot)| slot.map(|slot| message(slot, slot.len)));
        SavedInbound {
            finished_below: inbound.finished_below(),
            digest: inbound.digest,
            depends: inbound.depends,
            messages: messages.collect(),
            matched: inbound.matched.clone(),
        }
    }

    /// What the application has not read of a payload, if all of it is here.
    fn rest_of(&self, source: Rank, message: &Message, len: u64) -> Option<Vec<u8>> {
        let wanted = usize::try_from(len.checked_sub(message.read)?).ok()?;
        let mut rest = Vec::new();
        match &message.place {
            Place::Logged(payload) => {
                let from = usize::try_from(message.read.checked_sub(message.kept_from)?).ok()?;
                rest.extend_from_slice(payload.get(from..)?);
            }
            Place::Channel(location) => {
                let mut at = *location;
                let mut skip = usize::try_from(message.skip).ok()?;
                while rest.len() < wanted {
                    let (bytes, next) = self.driver.bytes(source, at)?;
                    let skipped = skip.min(bytes.len());
                    rest.extend_from_slice(&bytes[skipped..]);
                    skip -= skipped;
                    at = next;
                }
            }
            Place::Absent if wanted == 0 => {}
            Place::Absent => return None,
        }
        rest.truncate(wanted);
        (rest.len() == wanted).then_some(rest)
    }

    /// The logs of sent messages.
    pub(super) fn send_logs(&mut self) -> Result<Vec<SendLog>, Fault> {
        (0..self.domains.ranks())
            .filter(|&dest| dest != self.rank)
            .map(|dest| self.driver.sent(dest))
            .collect()
    }

    /// Goes on from a checkpoint: takes on its history, and writes what it had sent to where that is lost.
    pub(super) fn restore(&mut self, image: CheckpointImage) -> Result<(), Fault> {
        let CheckpointImage { head, history, application, sent, held } = image;
        let history: History =
            rmp_serde::from_slice(&history).map_err(|error| Fault::Checkpoint(error.to_string()))?;
        let ranks = self.domains.ranks() as usize;
        if history.inbound.len() != ranks || history.outbound.len() != ranks || head.rank != self.rank {
            return Err(Fault::Checkpoint("the checkpoint is of another rank or another job".to_owned()));
        }
        self.posts = history.posts;
        self.reads = history.reads;
        self.counts.sends = history.sends;
        self.counts.deliveries = history.deliveries;
        self.counts.checkpoints = head.number;
        let loaded = self.stack.load(&history.stack, head.clock.as_deref());
        loaded.map_err(|error| Fault::Checkpoint(error.to_string()))?;
        self.matching = history.matching;
        self.receives =
            history.receives.into_iter().map(|(id, receive)| (id, load_receive(id, receive))).collect();
        self.repeat_posted();
        let stack = &self.stack;
        for (source, (inbound, mut saved)) in (0..).zip(self.inbound.iter_mut().zip(history.inbound)) {
            if let Some(from) = saved.forget_obsolete(|clock| stack.is_obsolete(clock)) {
                self.matching.forget(source, from);
            }
            load_inbound(inbound, saved);
        }
        for (outbound, saved) in self.outbound.iter_mut().zip(history.outbound) {
            outbound.next = saved.next;
            outbound.synchronous = saved.synchronous.into_iter().collect();
        }
        self.from_own_log.retain(|&source| !self.inbound[source as usize].logged.is_empty());
        for log in sent {
            self.write_again(log)?;
        }
        for source in (0..self.domains.ranks()).filter(|&source| source != self.rank) {
            let inbound = &self.inbound[source as usize];
            // Who depends on what must be known, though nothing of the channel is read yet.
            self.driver.acknowledge(source, 0, inbound.depends);
            for &ssn in &inbound.matched {
                self.driver.notify_matched(source, ssn)?;
            }
        }
        let held = held.into_iter().map(|determinant| ((determinant.owner, determinant.index), determinant));
        self.checkpoints.carried.extend(held);
        self.checkpoints.number = head.number;
        self.checkpoints.captured.push_back((head.number, head.covered));
        self.checkpoints.application = Some(application);
        Ok(())
    }

    /// Has receives that were posted before the checkpoint, and matched behind it, take what they took before.
    fn repeat_posted(&mut self) {
        let posted: Vec<ReceiveId> = self.matching.posted().map(|(id, _)| id).collect();
        for id in posted {
            let forced = self.replay.delivery(id.0);
            if let Some(receive) = self.receives.get_mut(&id) {
                receive.forced = forced;
            }
        }
        let (replay, receives) = (&self.replay, &self.receives);
        self.matching.claim(|id, pattern| {
            let forced = receives.get(&id).and_then(|receive| receive.forced);
            claim(forced, pattern, replay)
        });
    }

    /// Writes the records of a send log that its channel has lost.
    fn write_again(&mut self, log: SendLog) -> Result<(), Fault> {
        let corrupt = |error| Fault::Checkpoint(format!("a record in the send log holds an error: {error}"));
        for record in &log.records {
            let header = record.header().map_err(corrupt)?;
            let Extent { whole, begun_bytes, .. } = self.outbound[log.dest as usize].extent;
            if header.ssn < whole {
                continue;
            }
            let begun = begun_bytes.filter(|_| header.ssn == whole);
            if header.ssn > whole {
                return Err(Fault::Checkpoint(format!(
                    "message {whole} to rank {} is neither on its channel nor in the checkpoint",
                    log.dest
                )));
            }
            if begun.is_some()
                && let Comparison::Differs(how) = self.driver.compare(log.dest, &header, &record.payload)?
            {
                return Err(Fault::Checkpoint(format!("the send log contradicts its channel: {how}")));
            }
            self.driver.append(log.dest, &header, &record.piggyback, &record.payload, begun.unwrap_or(0))?;
            let extent = &mut self.outbound[log.dest as usize].extent;
            extent.whole += 1;
            extent.begun_bytes = None;
        }
        Ok(())
    }
}

impl SavedInbound {
    /// How many messages a rank restored from here needs nobody's send log for.
    fn covered(&self) -> Ssn {
        let is_whole =
            |slot: &&Option<SavedMessage>| slot.as_ref().is_none_or(|message| message.rest.is_some());
        self.finished_below + self.messages.iter().take_while(is_whole).count() as Ssn
    }

    /// Forgets the messages, from the first on that is known by now never to have been sent. Returns its number, if there is one.
    fn forget_obsolete(&mut self, is_obsolete: impl Fn(&IncarnationClock) -> bool) -> Option<Ssn> {
        let is_void = |message: &SavedMessage| message.clock.as_deref().is_some_and(&is_obsolete);
        let at = self.messages.iter().position(|slot| slot.as_ref().is_some_and(is_void))?;
        self.digest = self.messages[at].as_ref().map_or(self.digest, |message| message.digest_before);
        self.messages.truncate(at);
        Some(self.finished_below + at as Ssn)
    }
}

fn load_receive(id: ReceiveId, saved: SavedReceive) -> Receive {
    Receive {
        post: id.0,
        forced: saved.forced,
        makes_determinant: saved.makes_determinant,
        message: saved.message,
        read: saved.read,
        collected: saved.collected,
        logged: saved.logged,
        // What it waited for is covered by the checkpoint.
        gate: Gate::open(),
    }
}

fn load_inbound(inbound: &mut Inbound, saved: SavedInbound) {
    let message = |saved: SavedMessage| {
        let place = match saved.rest {
            Some(Rest(rest)) => Place::Logged(rest),
            None => Place::Absent,
        };
        let message = Message::new(saved.mode, place).after(saved.clock);
        let digest_before = saved.digest_before;
        Message { len: saved.len, read: saved.read, kept_from: saved.read, digest_before, ..message }
    };
    inbound.depends = saved.depends;
    inbound.digest = saved.digest;
    inbound.matched = saved.matched;
    inbound.resume(saved.finished_below, saved.messages.into_iter().map(|slot| slot.map(message)).collect());
}
