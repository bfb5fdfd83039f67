//! What follows from how the stack behaves.

use egida_spec::protocol::FailureUnit;
use egida_spec::vocabulary::display_form;

use super::bench::{Bench, Stimulus, Subject};
use super::{
    Action, Condition, Decision, DescribeError, Kept, Piggyback, Provenance, Source, Summary, UnitTolerance,
    Wait, growth, survival,
};
use crate::binder::{Bound, StoreUse, refined, tolerates};
use crate::driver::EntryKind;
use crate::gate::{self, Gate};
use crate::replication::Replicas;

/// Drives the stack and draws the conclusions.
pub(super) fn summarize(
    bound: &Bound,
    bench: &Bench<'_>,
    source: Source<'_>,
) -> Result<Summary, DescribeError> {
    let classification = &bound.classification;
    Ok(Summary {
        class: classification.class,
        decided_by: classification.decided_by.as_ref().map(|decided| Decision {
            from: Provenance::of(&decided.origin, source),
            why: decided.why.clone(),
        }),
        waits: waits(bench)?,
        piggyback: Piggyback { values: piggybacked(bound, bench), measured: growth::measure(bench)? },
        tolerance: FailureUnit::ALL.map(|unit| tolerance(bench, unit)).to_vec(),
        survivors: survival::survivors(bench)?,
        retrieval: survival::retrieval(bench)?,
        kept: kept(bench)?,
    })
}

/// Lets each kind of event happen to a fresh rank and asks what its delivery, the next send and the next output wait for.
fn waits(bench: &Bench<'_>) -> Result<Vec<Wait>, DescribeError> {
    let mut waits: Vec<Wait> = Vec::new();
    for action in Action::ALL {
        for stimulus in Stimulus::ALL {
            let (mut rank, peer) = bench.pair()?;
            let shown = rank.undergo(stimulus, peer.rank)?;
            let gate = match action {
                // The outcome of a test and what was read are with the application at once.
                Action::Delivery if matches!(stimulus, Stimulus::NamedDelivery | Stimulus::AnyDelivery) => {
                    shown
                }
                Action::Delivery => Gate::open(),
                Action::Send => rank.send(peer.rank)?.gate,
                Action::Output => rank.output(),
            };
            let until = conditions(&rank, &gate);
            if until.is_empty() {
                continue;
            }
            let after = stimulus.name().to_owned();
            match waits.iter_mut().find(|wait| wait.action == action && wait.until == until) {
                Some(wait) => wait.after.push(after),
                None => waits.push(Wait { action, after: vec![after], until }),
            }
        }
    }
    Ok(waits)
}

fn conditions(rank: &Subject, gate: &Gate) -> Vec<Condition> {
    let on = |id| {
        let Some(store) = rank.bound.stores.iter().find(|store| store.id == id) else {
            return Condition::On(format!("store {id}"));
        };
        match store.replicas {
            // Its own comes to the copies.
            Some(replicas) => Condition::InMemoryOf(replicas.copies.saturating_add(1)),
            None => Condition::On(display_form(&store.phrase)),
        }
    };
    let wait = |condition| match condition {
        gate::Condition::Stable { store, .. } => Some(on(store)),
        // What a rank has logged in memory it holds itself from that moment on.
        gate::Condition::Held { domains, position } if domains > 1 && position > 0 => {
            Some(Condition::InMemoryOf(domains))
        }
        gate::Condition::Held { .. } => None,
        gate::Condition::Other { .. } => Some(Condition::OnLogsOfOthers),
        gate::Condition::Line { .. } => Some(Condition::OnLine),
    };
    let mut conditions: Vec<_> = gate.conditions().filter_map(wait).collect();
    conditions.dedup();
    conditions
}

fn piggybacked(bound: &Bound, bench: &Bench<'_>) -> Vec<(String, String)> {
    let vocabulary = &bench.registry().vocabulary;
    let stmts = &bound.protocol.dependency_generating;
    let values = stmts.iter().flat_map(|stmt| refined(&stmt.piggyback, vocabulary));
    values
        .map(|phrase| {
            let growth = bench.registry().piggyback_growth.get(&phrase.text).copied();
            (display_form(&phrase.text), growth.unwrap_or("not stated by its module").to_owned())
        })
        .collect()
}

fn tolerance(bench: &Bench<'_>, unit: FailureUnit) -> UnitTolerance {
    let registry = bench.registry();
    let judgement = egida_spec::check_with(bench.protocol(), unit, &registry.vocabulary);
    UnitTolerance {
        unit,
        class: judgement.class,
        accepted: judgement.accepted(),
        failures: tolerates(&judgement.protocol, registry, unit),
    }
}

/// What is kept is what came into journals and what the stack asks of channels, and checkpoints. Without those nothing that
/// a re-execution from the beginning needs is ever collected.
fn kept(bench: &Bench<'_>) -> Result<Vec<Kept>, DescribeError> {
    let (mut rank, mut peer) = bench.pair()?;
    if !rank.bound.policy.recovers {
        return Ok(Vec::new());
    }
    rank.undergo(Stimulus::AnyDelivery, peer.rank)?;
    let sent = rank.send(peer.rank)?;
    peer.take_in(rank.rank, &sent)?;
    let covered_by = |whose: &str| match &rank.bound.checkpoint {
        None => "the job ends".to_owned(),
        Some(_) if rank.bound.stack.recovers_by_line() => {
            format!("a recovery line that is durable as a whole covers them at {whose}")
        }
        Some(_) => format!("a durable checkpoint of {whose} covers them"),
    };
    let mut kept = Vec::new();
    for (subject, kind, what, whose) in [
        (&rank, EntryKind::Own, "determinants of a rank's own events", "the rank"),
        (&rank, EntryKind::Message, "messages that a rank delivered", "the rank"),
        (&peer, EntryKind::Held, "determinants of other ranks' events", "those ranks"),
    ] {
        if let Some(entry) = subject.journal.entries.iter().find(|entry| entry.kind == kind) {
            kept.push(Kept {
                what: what.to_owned(),
                place: place(subject, entry.stores),
                until: covered_by(whose),
            });
        }
    }
    if rank.bound.stack.keeps_sent() {
        let logged = rank.journal.entries.iter().find(|entry| entry.kind == EntryKind::Message);
        kept.push(Kept {
            what: "messages that a rank sent".to_owned(),
            place: "on their channel, in the memory of the sender's node".to_owned(),
            until: match logged {
                Some(entry) => format!("the receiver's log of them is {}", place(&rank, entry.stores)),
                None => covered_by("the receiver"),
            },
        });
    }
    if let Some(used) = &rank.bound.checkpoint {
        kept.push(Kept {
            what: "checkpoints".to_owned(),
            place: format!("on `{}`", display_form(&used.storage)),
            until: match rank.bound.stack.recovers_by_line() {
                true => "a later recovery line is durable as a whole".to_owned(),
                false => "a later one of the rank is durable".to_owned(),
            },
        });
    }
    Ok(kept)
}

fn place(subject: &Subject, stores: u8) -> String {
    let name = |store: &StoreUse| match store.replicas {
        Some(Replicas { copies: 1, .. }) => "in the memory of its node and of another".to_owned(),
        Some(Replicas { copies, .. }) => format!("in the memory of its node and of {copies} others"),
        None => format!("on `{}`", display_form(&store.phrase)),
    };
    let used = subject.bound.stores.iter().filter(|store| stores & (1 << store.id) != 0);
    let names: Vec<_> = used.map(name).collect();
    if names.is_empty() { "in the memory of its node".to_owned() } else { names.join(" and ") }
}
