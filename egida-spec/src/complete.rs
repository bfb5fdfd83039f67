//! What a specification leaves out is filled in here, before any rule is applied. Every value filled in says which
//! default it is ([`Origin::Default`]).
//!
//! | left out | filled in |
//! |---|---|
//! | `f` | 1 |
//! | `read` | as `receive` or `choice`: its determinant `{dest, desn, outcome, event}` is logged in the same way |
//! | output commit on `write` | the class's: independent for pessimistic and causal; co-ordinated for optimistic, and for a protocol of checkpoints alone, where it means the next committed line |
//! | retrieval of determinants | `distributed`, for a causal protocol and where determinants are in the memory of other processes |
//! | how a checkpoint is written, its implementation | `synchronously`, `full` |
//! | the protocol's name | the file's |
//!
//! The class depends on the failure unit, and so do the defaults: [`complete_for`] completes for a given one.

use crate::class::{classify, commits_on};
use crate::protocol::{
    Class, Event, EventInfo, FailureUnit, Field, LogStmt, NonDetStmt, Origin, OutputCommitStmt, Params,
    Phrase, Protocol, Spanned, Tolerance,
};
use crate::tolerance;
use crate::vocabulary::Vocabulary;

/// The protocol with everything left out filled in for that failure unit. What an earlier completion filled in is
/// chosen anew.
#[must_use]
pub fn complete_for(protocol: &Protocol, unit: FailureUnit, vocabulary: &Vocabulary) -> Protocol {
    let mut protocol = as_written(protocol);
    if protocol.tolerance.is_none() {
        let origin = Origin::Default("one failure at a time is survived where `f` is not given".to_owned());
        protocol.tolerance = Some(Spanned { value: Tolerance::AtMost(1), origin });
    }
    protocol.non_deterministic.extend(default_read(&protocol));
    let class = classify(&protocol, unit, vocabulary).class;
    protocol.output_commit.extend(default_output_commit(&protocol, class));
    if protocol.recovery.retrieve.is_none() {
        protocol.recovery.retrieve = default_retrieval(&protocol, class, vocabulary);
    }
    protocol
}

/// The protocol without what was filled in.
fn as_written(protocol: &Protocol) -> Protocol {
    let mut protocol = protocol.clone();
    protocol.tolerance = protocol.tolerance.filter(|tolerance| !tolerance.origin.is_default());
    protocol.non_deterministic.retain(|stmt| !stmt.origin.is_default());
    protocol.output_commit.retain(|stmt| !stmt.origin.is_default());
    protocol.recovery.retrieve = protocol.recovery.retrieve.filter(|phrase| !phrase.origin.is_default());
    protocol
}

fn default_read(protocol: &Protocol) -> Option<NonDetStmt> {
    let has = |event: Event| protocol.non_deterministic.iter().find(|stmt| stmt.event.value == event);
    if has(Event::Read).is_some() {
        return None;
    }
    let model = has(Event::Receive).or_else(|| has(Event::Choice))?;
    let origin = Origin::Default(format!("`read` is logged as `{}` is", model.event.value));
    let by_default = |phrase: &Phrase| Phrase { origin: origin.clone(), ..phrase.clone() };
    let log = model.log_of(EventInfo::Determinant).map(|log| LogStmt {
        // What was read is in the determinant; there is no message.
        what: vec![Spanned { value: EventInfo::Determinant, origin: origin.clone() }],
        how: log.how.as_ref().map(by_default),
        storage: by_default(&log.storage),
        span: log.span,
    });
    let fields = [Field::Dest, Field::Desn, Field::Outcome, Field::Event];
    Some(NonDetStmt {
        event: Spanned { value: Event::Read, origin: origin.clone() },
        determinant: fields.map(|value| Spanned { value, origin: origin.clone() }).to_vec(),
        logs: log.into_iter().collect(),
        params: Params::default(),
        origin,
    })
}

fn default_output_commit(protocol: &Protocol, class: Class) -> Option<OutputCommitStmt> {
    if protocol.output_commit.iter().any(|stmt| commits_on(stmt, Event::Write)) {
        return None;
    }
    let (proto, why) = match class {
        Class::Pessimistic => ("independent", "a pessimistic protocol commits output on its own"),
        Class::Causal => ("independent", "a causal protocol flushes what it holds of the output's past"),
        Class::Optimistic => {
            ("co-ordinated", "an optimistic protocol asks all processes that the output depends on")
        }
        Class::None if tolerance(protocol) == Tolerance::AtMost(0) => return None,
        Class::None => {
            ("co-ordinated", "without recoverable determinants output waits for the next committed line")
        }
    };
    let origin = Origin::Default(why.to_owned());
    Some(OutputCommitStmt {
        proto: Phrase { text: proto.to_owned(), params: Params::default(), origin: origin.clone() },
        events: vec![Spanned { value: Event::Write, origin: origin.clone() }],
        params: Params::default(),
        origin,
    })
}

fn default_retrieval(protocol: &Protocol, class: Class, vocabulary: &Vocabulary) -> Option<Phrase> {
    needs_retrieval(protocol, class, vocabulary).then(|| Phrase {
        text: "distributed".to_owned(),
        params: Params::default(),
        origin: Origin::Default("every process asks the others for its determinants by itself".to_owned()),
    })
}

/// Whether a recovering process must ask others for its determinants (rule 9).
pub(crate) fn needs_retrieval(protocol: &Protocol, class: Class, vocabulary: &Vocabulary) -> bool {
    let on_peers =
        |phrase: &Phrase| vocabulary.storage.get(&phrase.text).is_some_and(|value| value.traits.on_peers);
    class == Class::Causal
        || protocol
            .non_deterministic
            .iter()
            .filter_map(|stmt| stmt.log_of(EventInfo::Determinant))
            .any(|log| on_peers(&log.storage))
}
