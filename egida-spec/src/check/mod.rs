//! The checker: can this specification recover?
//!
//! Each module is one rule with its own diagnostic code, over (protocol, failure unit, tolerance). The protocol is
//! completed first ([`crate::complete`]). Two kinds of rule:
//!
//! - rules of *shape* hold whatever the failure unit: known values, roles of events, no statement twice;
//! - rules of *soundness* say what must survive for the protocol's class. With `f = 0` nothing is asked to survive, and
//!   they do not apply.
//!
//! What is not expressible in the language is not checked here: the engine reclaims a record only when its receiver can
//! regain it alone, keeps two generations of checkpoints, and collects only after a checkpoint is durable. Rules about
//! the number of processes and failure domains are the binder's; [`crate::class::relies_on_peers`] tells it when.

mod egd002_unknown_value;
mod egd004_parameter;
mod egd008_coverage;
mod egd009_role;
mod egd010_event_twice;
mod egd011_receive_and_choice;
mod egd012_fields;
mod egd013_optimistic_clock;
mod egd014_optimistic_orphans;
mod egd015_nothing_recovers;
mod egd016_domino;
mod egd017_payload;
mod egd018_output;
mod egd019_unused_retrieval;
mod egd020_unused_orphans;
mod egd021_rollback_without_detection;
mod egd022_rollback_storage;
mod egd023_rollback_kinds;
mod egd024_checkpoint_storage;
mod egd025_induced_counter;
mod egd026_refinement;
mod egd027_output_default;
mod egd028_no_checkpoint;
mod egd029_faults_not_asked;
mod egd030_optimistic_deliveries;

use crate::class::{self, Classification, DecidedBy, EventClass};
use crate::complete::complete_for;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::protocol::{Class, FailureUnit, NonDetStmt, Phrase, Protocol, Tolerance};
use crate::tolerance;
use crate::vocabulary::{Checkpoint, Vocabulary};

/// What the checker says of a protocol under one failure unit.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The failure unit that it was judged under.
    pub unit: FailureUnit,
    /// The class: the weakest of its events'.
    pub class: Class,
    /// The line that decides the class, and why; nothing if no line speaks of non-deterministic events, or if the
    /// values are not all known.
    pub decided_by: Option<DecidedBy>,
    /// The class of each non-deterministic event.
    pub events: Vec<EventClass>,
    /// The protocol that was judged: completed for this failure unit. This is the one to bind.
    pub protocol: Protocol,
    /// Errors, warnings and notes.
    pub diagnostics: Vec<Diagnostic>,
}

impl Judgement {
    /// Whether the protocol can recover.
    #[must_use]
    pub fn accepted(&self) -> bool {
        !crate::diagnostic::any_error(&self.diagnostics)
    }
}

/// One rule: reads the context, adds what it has to say.
type Rule = fn(&Context<'_>, &mut Vec<Diagnostic>);

/// Rules that hold whatever the failure unit.
const SHAPE: &[Rule] = &[
    egd002_unknown_value::check,
    egd004_parameter::check,
    egd009_role::check,
    egd010_event_twice::check,
    egd011_receive_and_choice::check,
    egd026_refinement::check,
];

/// Rules of shape that speak of what is missing, and so only of a specification that was read as a whole.
const WHOLE: &[Rule] = &[egd012_fields::check];

/// Rules about what survives.
const SOUNDNESS: &[Rule] = &[
    egd008_coverage::check,
    egd013_optimistic_clock::check,
    egd014_optimistic_orphans::check,
    egd015_nothing_recovers::check,
    egd030_optimistic_deliveries::check,
    egd016_domino::check,
    egd017_payload::check,
    egd018_output::check,
    egd019_unused_retrieval::check,
    egd020_unused_orphans::check,
    egd021_rollback_without_detection::check,
    egd022_rollback_storage::check,
    egd023_rollback_kinds::check,
    egd024_checkpoint_storage::check,
    egd025_induced_counter::check,
    egd027_output_default::check,
    egd028_no_checkpoint::check,
];

/// Judges a protocol under one failure unit, with the values of Figure 2.
#[must_use]
pub fn check(protocol: &Protocol, unit: FailureUnit) -> Judgement {
    check_with(protocol, unit, &Vocabulary::default())
}

/// Judges a protocol under one failure unit, with the values of a vocabulary.
#[must_use]
pub fn check_with(protocol: &Protocol, unit: FailureUnit, vocabulary: &Vocabulary) -> Judgement {
    let protocol = complete_for(protocol, unit, vocabulary);
    let classification = class::classify(&protocol, unit, vocabulary);
    let context = Context { protocol: &protocol, unit, vocabulary, classification: &classification };
    let mut diagnostics = Vec::new();
    run(SHAPE, &context, &mut diagnostics);
    run(WHOLE, &context, &mut diagnostics);
    // What an unknown value would keep or carry is unknown too, so there is nothing to judge.
    let known = !diagnostics.iter().any(|diagnostic| diagnostic.code == Code::UnknownValue);
    if known && context.tolerance() == Tolerance::AtMost(0) {
        run(&[egd029_faults_not_asked::check], &context, &mut diagnostics);
    } else if known {
        run(SOUNDNESS, &context, &mut diagnostics);
    }
    if crate::diagnostic::any_error(&diagnostics) {
        // Notes about a specification that must be mended first only distract.
        diagnostics.retain(|diagnostic| diagnostic.severity() != Severity::Advice);
    }
    crate::sort(&mut diagnostics);
    Judgement {
        unit,
        class: classification.class,
        decided_by: classification.decided_by.filter(|_| known),
        events: classification.events,
        protocol,
        diagnostics,
    }
}

/// The rules that can be applied to a specification with errors in its text, of which only a part was understood.
pub(crate) fn check_part(protocol: &Protocol, vocabulary: &Vocabulary) -> Vec<Diagnostic> {
    let unit = crate::declared_unit(protocol);
    let classification = class::classify(protocol, unit, vocabulary);
    let context = Context { protocol, unit, vocabulary, classification: &classification };
    let mut diagnostics = Vec::new();
    run(SHAPE, &context, &mut diagnostics);
    diagnostics
}

fn run(rules: &[Rule], context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for rule in rules {
        rule(context, diagnostics);
    }
}

/// What every rule reads.
struct Context<'a> {
    /// Completed.
    protocol: &'a Protocol,
    unit: FailureUnit,
    vocabulary: &'a Vocabulary,
    classification: &'a Classification,
}

impl Context<'_> {
    fn class(&self) -> Class {
        self.classification.class
    }

    fn tolerance(&self) -> Tolerance {
        tolerance(self.protocol)
    }

    /// `keeps(w)`
    fn keeps(&self, storage: &Phrase) -> bool {
        class::keeps(self.protocol, storage, self.unit, self.vocabulary)
    }

    /// Why a storage does not keep its content.
    fn why_lost(&self, storage: &Phrase) -> String {
        class::why_lost(self.protocol, storage, self.unit, self.vocabulary)
    }

    /// The statement about deliveries: `receive`, or `choice`.
    fn delivery(&self) -> Option<&NonDetStmt> {
        use crate::protocol::Event::{Choice, Receive};
        self.protocol.non_deterministic.iter().find(|stmt| matches!(stmt.event.value, Receive | Choice))
    }

    /// The kind of checkpoints taken.
    fn checkpoint(&self) -> Option<Checkpoint> {
        let stmt = self.protocol.checkpoint.as_ref()?;
        self.vocabulary.checkpoint.get(&stmt.proto.text).map(|value| value.traits)
    }

    /// The first value piggybacked that carries the checkpoints' index.
    fn checkpoint_counter(&self) -> Option<&Phrase> {
        class::piggybacked(self.protocol, self.vocabulary, |traits| traits.checkpoint_counter)
    }

    fn vector_clock(&self) -> Option<&Phrase> {
        class::piggybacked(self.protocol, self.vocabulary, |traits| traits.vector_clock)
    }
}

#[cfg(test)]
mod testing {
    //! What the rules' tests share: judge a text, look at its codes.

    use crate::protocol::FailureUnit;

    /// The codes under `node`, in order.
    pub(super) fn codes(text: &str) -> Vec<&'static str> {
        codes_under(text, FailureUnit::Node)
    }

    /// The codes under a failure unit, in order, without the notes.
    pub(super) fn codes_under(text: &str, unit: FailureUnit) -> Vec<&'static str> {
        all_codes(text, unit).into_iter().filter(|code| !("EGD027".."EGD030").contains(code)).collect()
    }

    /// The codes under a failure unit, in order.
    pub(super) fn all_codes(text: &str, unit: FailureUnit) -> Vec<&'static str> {
        let loaded = crate::load("test.egd", text);
        let mut codes: Vec<_> =
            loaded.diagnostics.iter().map(|diagnostic| diagnostic.code.as_str()).collect();
        if let Some(protocol) = loaded.protocol {
            codes.extend(
                super::check(&protocol, unit).diagnostics.iter().map(|diagnostic| diagnostic.code.as_str()),
            );
        }
        codes.sort_unstable();
        codes
    }

    /// The text that the first label of the diagnostic with that code underlines.
    pub(super) fn underlined<'t>(text: &'t str, code: &str) -> Option<&'t str> {
        let loaded = crate::load("test.egd", text);
        let checked =
            loaded.protocol.iter().flat_map(|protocol| super::check(protocol, FailureUnit::Node).diagnostics);
        let found =
            loaded.diagnostics.iter().cloned().chain(checked).find(|found| found.code.as_str() == code)?;
        let span = found.labels.first()?.span;
        text.get(span.start..span.end)
    }

    pub(super) const RECEIVE: &str = "receive: determinant: {source, sesn, dest, desn}\n";
    pub(super) const PESSIMISTIC: &str = "receive: determinant: {source, sesn, dest, desn}
        Log determinant, message synchronously on NFS disk\n";
    pub(super) const OPTIMISTIC: &str = "receive: determinant: {source, sesn, dest, desn}
        Log determinant, message asynchronously on NFS disk\n";
    pub(super) const CAUSAL: &str = "receive: determinant: {source, sesn, dest, desn}
        send: Piggyback determinants
        Log message synchronously on volatile memory of self\n";

    /// Texts put together.
    pub(super) fn spec(parts: &[&str]) -> String {
        parts.concat()
    }
}
