//! The call graph of each event, recorded.

use std::collections::BTreeSet;

use egida_spec::vocabulary::display_form;

use super::bench::{Bench, Scratch, ScratchEntry, Stimulus, Subject};
use super::{DescribeError, EventRecord, JournalNote, RecordedCall};
use crate::driver::EntryKind;
use crate::module::{Call, Step};
use crate::stack::EventHandler;

/// Drives each event through a fresh pair of instrumented stacks.
pub(super) fn record(bench: &Bench<'_>) -> Result<Vec<EventRecord>, DescribeError> {
    let mut events = Vec::new();
    for stimulus in Stimulus::ALL {
        let (mut rank, peer) = bench.pair()?;
        let before = start(&mut rank);
        rank.undergo(stimulus, peer.rank)?;
        events.push(finish(&mut rank, before, stimulus.name(), stimulus.sentence(), "API"));
    }
    events.push(send(bench)?);
    events.push(arrival(bench)?);
    events.push(output(bench)?);
    events.extend(checkpoint(bench)?);
    events.push(failure(bench)?);
    Ok(events)
}

fn send(bench: &Bench<'_>) -> Result<EventRecord, DescribeError> {
    let (mut rank, peer) = bench.pair()?;
    rank.undergo(Stimulus::AnyDelivery, peer.rank)?;
    let before = start(&mut rank);
    let sent = rank.send(peer.rank)?;
    let mut event =
        finish(&mut rank, before, "send", "a message is sent, after a receive from any source", "API");
    event.piggyback_bytes = Some(sent.piggyback.len() as u64);
    Ok(event)
}

fn arrival(bench: &Bench<'_>) -> Result<EventRecord, DescribeError> {
    let (mut rank, mut peer) = bench.pair()?;
    rank.undergo(Stimulus::AnyDelivery, peer.rank)?;
    let sent = rank.send(peer.rank)?;
    let before = start(&mut peer);
    peer.take_in(rank.rank, &sent)?;
    Ok(finish(&mut peer, before, "arrival", "that message arrives at another rank", "Network"))
}

fn output(bench: &Bench<'_>) -> Result<EventRecord, DescribeError> {
    let (mut rank, peer) = bench.pair()?;
    rank.undergo(Stimulus::AnyDelivery, peer.rank)?;
    let before = start(&mut rank);
    rank.output();
    Ok(finish(
        &mut rank,
        before,
        "output",
        "output is about to leave, after a receive from any source",
        "API",
    ))
}

/// A checkpoint by the rank's timer, where the protocol takes any.
fn checkpoint(bench: &Bench<'_>) -> Result<Option<EventRecord>, DescribeError> {
    let (mut rank, _) = bench.pair()?;
    if !rank.bound.stack.takes_checkpoints() {
        return Ok(None);
    }
    let before = start(&mut rank);
    rank.checkpoint()?;
    let what = "the time between two checkpoints has gone by, and one is taken";
    Ok(Some(finish(&mut rank, before, "checkpoint", what, "Timer")))
}

/// One rank fails: a survivor's stack is told, and the collector is driven until it is done. The collector belongs to the
/// node and is not instrumented; what is noted are the calls made to it and the questions that it asks.
fn failure(bench: &Bench<'_>) -> Result<EventRecord, DescribeError> {
    let (mut rank, peer) = bench.pair()?;
    let before = start(&mut rank);
    rank.bound.stack.failure(bench.setting().domains.of(peer.rank));
    let mut event =
        finish(&mut rank, before, "failure", "another rank fails and is recovered", "FailureDetector");
    if !rank.bound.policy.recovers {
        return Ok(event);
    }
    event.calls.insert(0, noted(0, "EventHandler", "Failure", 1));
    let Some(collector) = &mut rank.bound.collector else { return Ok(event) };
    event.calls.push(noted(1, "CollectDeterminants", "RetrieveDeterminants", 1));
    let failed = BTreeSet::from([peer.rank]);
    let mut step = collector.retrieve_determinants(&failed, bench.shape().ranks);
    // Every answer may bring new questions; a collector that asks for ever would never let a rank recover.
    for _ in 0..MAX_STEPS {
        let Step::Pending(questions) = step else { break };
        let count = u32::try_from(questions.len()).unwrap_or(u32::MAX);
        event.calls.push(noted(2, "Network", "Ask", count));
        event.calls.push(noted(1, "CollectDeterminants", "OnMessage", count));
        step = Step::Done;
        for question in questions {
            step = collector.on_message(question.asker, question.holder);
        }
    }
    Ok(event)
}

/// More rounds of questions than any retrieval needs.
const MAX_STEPS: usize = 64;

fn noted(depth: u32, module: &str, method: &str, times: u32) -> RecordedCall {
    RecordedCall { depth, module: module.to_owned(), method: method.to_owned(), times }
}

/// Begins to record; returns where the journal stands.
fn start(subject: &mut Subject) -> usize {
    subject.bound.stack.instrument();
    subject.journal.entries.len()
}

fn finish(subject: &mut Subject, before: usize, event: &str, what: &str, raised_by: &str) -> EventRecord {
    let calls = subject.bound.stack.take_calls();
    EventRecord {
        event: event.to_owned(),
        what: what.to_owned(),
        raised_by: raised_by.to_owned(),
        calls: calls.iter().map(|&Call { depth, module, method }| noted(depth, module, method, 1)).collect(),
        journal: notes(subject, &subject.journal, before),
        piggyback_bytes: None,
    }
}

fn notes(subject: &Subject, journal: &Scratch, from: usize) -> Vec<JournalNote> {
    let note = |entry: &ScratchEntry| JournalNote {
        entry: match entry.kind {
            EntryKind::Own => "a determinant of its own",
            EntryKind::Held => "a determinant of another rank",
            EntryKind::Message => "a delivered message",
            EntryKind::RolledBack => "the mark of a rollback",
        }
        .to_owned(),
        stores: subject
            .bound
            .stores
            .iter()
            .filter(|store| entry.stores & (1 << store.id) != 0)
            .map(|store| display_form(&store.phrase))
            .collect(),
        bytes: entry.bytes.len() as u64,
    };
    journal.entries[from..].iter().map(note).collect()
}
