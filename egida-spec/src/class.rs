//! Which class a protocol belongs to, and which line says so.
//!
//! The class of each non-deterministic event is found on its own; the protocol's is the weakest (section 2 of the paper:
//! pessimistic, causal, optimistic). It depends on the failure unit, because that says which storage survives.

use crate::protocol::{
    Class, DepGenStmt, Event, EventInfo, FailureUnit, LogStmt, NonDetStmt, Origin, ParamValue, Phrase,
    Protocol, Tolerance,
};
use crate::tolerance;
use crate::vocabulary::{Piggyback, Survives, Vocabulary, display_form};

/// The class of a protocol under one failure unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// The weakest of the events' classes; [`Class::None`] if there are none.
    pub class: Class,
    /// What decided it; nothing if there is no line to name.
    pub decided_by: Option<DecidedBy>,
    /// The class of each non-deterministic event, in the protocol's order.
    pub events: Vec<EventClass>,
}

/// The class of one non-deterministic event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventClass {
    /// The event.
    pub event: Event,
    /// Its class.
    pub class: Class,
    /// What decided it.
    pub decided_by: DecidedBy,
}

/// The place that decided a class, and why in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedBy {
    /// The line, or the default that stands for it.
    pub origin: Origin,
    /// Why.
    pub why: String,
}

/// Finds the class of every non-deterministic event, and of the protocol.
#[must_use]
pub fn classify(protocol: &Protocol, unit: FailureUnit, vocabulary: &Vocabulary) -> Classification {
    let events: Vec<EventClass> = protocol
        .non_deterministic
        .iter()
        .filter(|stmt| stmt.event.value.is_non_deterministic())
        .map(|stmt| {
            let (class, decided_by) = class_of(protocol, stmt, unit, vocabulary);
            EventClass { event: stmt.event.value, class, decided_by }
        })
        .collect();
    // Of several equally weak the first decides.
    match events.iter().min_by_key(|event| event.class) {
        Some(weakest) => {
            Classification { class: weakest.class, decided_by: Some(weakest.decided_by.clone()), events }
        }
        None => Classification { class: Class::None, decided_by: None, events },
    }
}

fn class_of(
    protocol: &Protocol,
    stmt: &NonDetStmt,
    unit: FailureUnit,
    vocabulary: &Vocabulary,
) -> (Class, DecidedBy) {
    let event = stmt.event.value;
    let log = stmt.log_of(EventInfo::Determinant);
    let stable_log = log.filter(|log| keeps(protocol, &log.storage, unit, vocabulary));
    let place = |log: &LogStmt| match &stmt.origin {
        Origin::Written(_) => Origin::Written(log.span),
        default @ Origin::Default(_) => default.clone(),
    };

    if let Some(log) = stable_log {
        let storage = display_form(&log.storage.text);
        let synchronous = is_synchronous(log, vocabulary);
        if synchronous || unit == FailureUnit::Process {
            let how = if synchronous { "synchronously " } else { "" };
            let why = format!(
                "the determinant of `{event}` is logged {how}on `{storage}`, which survives {}",
                loss(unit)
            );
            return (Class::Pessimistic, DecidedBy { origin: place(log), why });
        }
        if let Some(commit) = protocol.output_commit.iter().find(|stmt| commits_on(stmt, Event::Send)) {
            let why = format!("every `send` waits until the determinants logged on `{storage}` are stable");
            return (Class::Pessimistic, DecidedBy { origin: commit.origin.clone(), why });
        }
    }
    let piggybacked = piggybacked(protocol, vocabulary, |traits| traits.determinants);
    if let Some(determinants) = piggybacked
        && (tolerance(protocol) != Tolerance::Any || stable_log.is_some())
    {
        let why =
            format!("every message carries the determinants of `{event}` that its receiver would depend on");
        return (Class::Causal, DecidedBy { origin: determinants.origin.clone(), why });
    }
    if let Some(log) = stable_log {
        let storage = display_form(&log.storage.text);
        let why = format!("the determinant of `{event}` reaches `{storage}` only some time after the event");
        return (Class::Optimistic, DecidedBy { origin: place(log), why });
    }
    match (piggybacked, log) {
        (Some(determinants), _) => {
            let why = format!(
                "with `f = any` all holders of a determinant of `{event}` may die, and no stable log has it"
            );
            (Class::None, DecidedBy { origin: determinants.origin.clone(), why })
        }
        (None, Some(log)) => {
            let lost = why_lost(protocol, &log.storage, unit, vocabulary);
            let why = format!("the determinant of `{event}` is logged on {lost}");
            (Class::None, DecidedBy { origin: place(log), why })
        }
        (None, None) => {
            let why = format!("the determinant of `{event}` is neither logged nor piggybacked");
            (Class::None, DecidedBy { origin: stmt.origin.clone(), why })
        }
    }
}

/// Whether a storage still has its content after the failures that the protocol is asked to survive: `keeps(w)`.
///
/// A storage that the vocabulary does not know keeps nothing.
#[must_use]
pub fn keeps(protocol: &Protocol, storage: &Phrase, unit: FailureUnit, vocabulary: &Vocabulary) -> bool {
    let Some(value) = vocabulary.storage.get(&storage.text) else {
        return false;
    };
    let process = unit == FailureUnit::Process;
    match value.traits.survives {
        Survives::Nothing => false,
        Survives::Process => process,
        Survives::ReturningNode => {
            let returns = storage.params.get("returns").map(|param| &param.value);
            process || matches!(returns, Some(ParamValue::Words(words)) if words == "node")
        }
        Survives::Copies => process || has_enough_copies(protocol, storage),
        Survives::OneCopy => process || matches!(tolerance(protocol), Tolerance::AtMost(0 | 1)),
        Survives::Node => true,
    }
}

/// Whether the copies in other failure domains outnumber the failures by the owner: k >= f.
fn has_enough_copies(protocol: &Protocol, storage: &Phrase) -> bool {
    match (tolerance(protocol), storage.params.get("copies").map(|param| &param.value)) {
        (Tolerance::Any, _) => false,
        (Tolerance::AtMost(_), None) => true,
        (Tolerance::AtMost(f), Some(ParamValue::Count(copies))) => *copies >= u64::from(f),
        // Not a number of copies: the parameter rule says so.
        (Tolerance::AtMost(_), Some(_)) => false,
    }
}

/// "`local disk`, which does not survive the loss of a node", for a storage that does not keep its content.
pub(crate) fn why_lost(
    protocol: &Protocol,
    storage: &Phrase,
    unit: FailureUnit,
    vocabulary: &Vocabulary,
) -> String {
    let text = display_form(&storage.text);
    let survives = vocabulary.storage.get(&storage.text).map(|value| value.traits.survives);
    match (survives, tolerance(protocol)) {
        (Some(Survives::Copies), Tolerance::Any) => {
            format!("`{text}`, all of which may die with `f = any`")
        }
        (Some(Survives::Copies), Tolerance::AtMost(f)) => {
            format!("`{text}` with fewer copies than `f = {f}` asks for")
        }
        (Some(Survives::OneCopy), Tolerance::AtMost(f)) => {
            format!("`{text}`, which is one process, and with `f = {f}` it may die along")
        }
        (Some(Survives::OneCopy), Tolerance::Any) => {
            format!("`{text}`, which is one process, and with `f = any` it may die along")
        }
        _ => format!("`{text}`, which does not survive {}", loss(unit)),
    }
}

/// The line that relies on the memory of other failure domains, if one does: such a protocol needs `f <= n - 1` and at
/// least `f + 1` domains when it is bound (rule 13).
#[must_use]
pub fn relies_on_peers(protocol: &Protocol, unit: FailureUnit, vocabulary: &Vocabulary) -> Option<Origin> {
    let on_peers = logs(protocol)
        .map(|log| &log.storage)
        .chain(protocol.checkpoint.iter().map(|checkpoint| &checkpoint.storage))
        .find(|storage| vocabulary.storage.get(&storage.text).is_some_and(|value| value.traits.on_peers));
    if let Some(storage) = on_peers {
        return Some(storage.origin.clone());
    }
    let classification = classify(protocol, unit, vocabulary);
    let no_stable_log = protocol.non_deterministic.iter().any(|stmt| {
        !stmt
            .log_of(EventInfo::Determinant)
            .is_some_and(|log| keeps(protocol, &log.storage, unit, vocabulary))
    });
    (classification.class == Class::Causal && no_stable_log)
        .then(|| {
            piggybacked(protocol, vocabulary, |traits| traits.determinants)
                .map(|phrase| phrase.origin.clone())
        })
        .flatten()
}

/// The event statements' logs.
pub(crate) fn logs(protocol: &Protocol) -> impl Iterator<Item = &LogStmt> {
    let receiver = protocol.non_deterministic.iter().flat_map(|stmt| &stmt.logs);
    receiver.chain(protocol.dependency_generating.iter().filter_map(|stmt| stmt.log.as_ref()))
}

/// The first value piggybacked on messages that has the trait.
pub(crate) fn piggybacked<'p>(
    protocol: &'p Protocol,
    vocabulary: &Vocabulary,
    wanted: impl Fn(&Piggyback) -> bool,
) -> Option<&'p Phrase> {
    sends(protocol)
        .flat_map(|stmt| &stmt.piggyback)
        .find(|phrase| vocabulary.piggyback.get(&phrase.text).is_some_and(|value| wanted(&value.traits)))
}

/// The statements about `send`.
pub(crate) fn sends(protocol: &Protocol) -> impl Iterator<Item = &DepGenStmt> {
    protocol.dependency_generating.iter().filter(|stmt| stmt.event.value == Event::Send)
}

pub(crate) fn commits_on(stmt: &crate::protocol::OutputCommitStmt, event: Event) -> bool {
    stmt.events.iter().any(|committed| committed.value == event)
}

pub(crate) fn is_synchronous(log: &LogStmt, vocabulary: &Vocabulary) -> bool {
    let how = log.how.as_ref().and_then(|how| vocabulary.how_to_log.get(&how.text));
    how.is_some_and(|value| value.traits.synchronous)
}

/// "the loss of a node"
const fn loss(unit: FailureUnit) -> &'static str {
    match unit {
        FailureUnit::Process => "the death of a process",
        FailureUnit::Node => "the loss of a node",
    }
}
