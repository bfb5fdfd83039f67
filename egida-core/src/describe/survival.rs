//! What becomes of a survivor: one of two ranks dies, and what it did is looked for.

use std::collections::BTreeSet;

use egida_spec::protocol::FailureUnit;

use super::bench::{Bench, ScratchEntry, Stimulus, Subject};
use super::{DescribeError, Retrieval, Survivors};
use crate::binder::StoreUse;
use crate::driver::EntryKind;
use crate::event::Determinant;
use crate::fault::Fault;
use crate::gate::Gate;
use crate::module::Step;
use crate::recovery::{Collected, assemble};
use crate::wire::Reader;

/// A rank makes every kind of choice and sends a message; its receiver reads it as soon as it may, and the rank dies at
/// that moment. Only what was waited for counts as stable; memory counts as the failure unit says.
pub(super) fn survivors(bench: &Bench<'_>) -> Result<Survivors, DescribeError> {
    let (mut rank, mut peer) = bench.pair()?;
    if !rank.bound.policy.recovers {
        return Ok(Survivors::NothingRecovers);
    }
    if rank.bound.stack.recovers_by_line() {
        let why =
            "recovery returns to a line of checkpoints whoever depends on what is undone, or the whole job";
        return Ok(Survivors::RollBack { why: why.to_owned() });
    }
    for stimulus in Stimulus::ALL {
        rank.undergo(stimulus, peer.rank)?;
    }
    let sent = rank.send(peer.rank)?;
    let events = rank.bound.stack.events();
    peer.take_in(rank.rank, &sent)?;

    let domains = bench.setting().domains;
    let memory_lost = bench.shape().unit == FailureUnit::Node;
    let mut collected = Collected::default();
    let mut on_stable_storage = 0;
    let mut in_memory_of_others = 0;
    for (index, entry) in determinants(&rank) {
        match awaited_store(&rank, index, entry, &sent.gate) {
            // One domain of them is left for certain, whichever it is.
            Some(StoreUse { replicas: Some(_), .. }) => {
                collected.add_held(decode(entry)?, domains.of(peer.rank));
                in_memory_of_others += 1;
            }
            Some(_) => {
                collected.add_stable(decode(entry)?);
                on_stable_storage += 1;
            }
            None => {}
        }
        if !memory_lost {
            collected.add_held(decode(entry)?, domains.of(rank.rank));
        }
    }
    if rank.bound.collector.is_some() && !(memory_lost && domains.of(peer.rank) == domains.of(rank.rank)) {
        for (_, entry) in determinants(&peer) {
            collected.add_held(decode(entry)?, domains.of(peer.rank));
            in_memory_of_others += 1;
        }
    }
    Ok(match assemble(rank.rank, 2, memory_lost, 0, &collected, &[(peer.rank, events)]) {
        Ok(_) => Survivors::GoOn { events, on_stable_storage, in_memory_of_others },
        Err(why) => Survivors::RollBack { why: why.to_string() },
    })
}

/// How a retrieval asks; nothing where recovery needs no one else's memory.
pub(super) fn retrieval(bench: &Bench<'_>) -> Result<Option<Retrieval>, DescribeError> {
    let (mut rank, _) = bench.pair()?;
    let Some(collector) = &mut rank.bound.collector else { return Ok(None) };
    let mut ask = |failed: BTreeSet<u32>| match collector.retrieve_determinants(&failed, bench.shape().ranks)
    {
        Step::Pending(questions) => questions,
        Step::Done => Vec::new(),
    };
    let (one, two) = (ask(BTreeSet::from([0])), ask(BTreeSet::from([0, 1])));
    let askers: BTreeSet<_> = two.iter().map(|question| question.asker).collect();
    Ok(Some(Retrieval {
        questions_after_one: one.len() as u64,
        questions_after_two: two.len() as u64,
        askers_of_two: askers.len() as u64,
    }))
}

fn determinants(subject: &Subject) -> impl Iterator<Item = (u64, &ScratchEntry)> {
    (0..).zip(&subject.journal.entries).filter(|(_, entry)| entry.kind != EntryKind::Message)
}

/// A store that the gate waits for, and that holds the entry when the gate opens.
fn awaited_store<'a>(
    subject: &'a Subject,
    index: u64,
    entry: &ScratchEntry,
    gate: &Gate,
) -> Option<&'a StoreUse> {
    let holds = |store: &&StoreUse| entry.stores & (1 << store.id) != 0 && index < gate.position(store.id);
    subject.bound.stores.iter().find(holds)
}

fn decode(entry: &ScratchEntry) -> Result<Determinant, DescribeError> {
    Determinant::decode(&mut Reader::new(&entry.bytes))
        .map_err(|_| Fault::Unsupported("a storage that journals determinants in a form of its own").into())
}
