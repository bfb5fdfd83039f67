//! EGD002: a value is neither one of Figure 2 nor a registered one.

use super::Context;
use crate::diagnostic::{Code, Diagnostic, nearest, one_of};
use crate::protocol::{Phrase, RollbackStmt};
use crate::vocabulary::{Table, display_form};

pub(super) fn check(context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let (protocol, known) = (context.protocol, context.vocabulary);
    let mut say = |found: Option<Diagnostic>| diagnostics.extend(found);
    let rollback_log = match &protocol.recovery.rollback {
        Some(RollbackStmt::Log(log)) => Some(log),
        _ => None,
    };
    for log in crate::class::logs(protocol).chain(rollback_log) {
        say(log.how.as_ref().and_then(|how| unknown(how, &known.how_to_log, "way to log")));
        say(unknown(&log.storage, &known.storage, "storage"));
    }
    if let Some(RollbackStmt::Checkpoint { storage, .. }) = &protocol.recovery.rollback {
        say(unknown(storage, &known.storage, "storage"));
    }
    for stmt in &protocol.output_commit {
        say(unknown(&stmt.proto, &known.output_commit, "output commit protocol"));
    }
    for phrase in protocol.dependency_generating.iter().flat_map(|stmt| &stmt.piggyback) {
        say(unknown(phrase, &known.piggyback, "thing to piggyback"));
    }
    if let Some(checkpoint) = &protocol.checkpoint {
        say(unknown(&checkpoint.proto, &known.checkpoint, "checkpoint protocol"));
        say(unknown(&checkpoint.how, &known.how_to_checkpoint, "way to write a checkpoint"));
        say(unknown(&checkpoint.storage, &known.storage, "storage"));
        say(unknown(
            &checkpoint.implementation,
            &known.checkpoint_implementation,
            "implementation of checkpoints",
        ));
    }
    let recovery = &protocol.recovery;
    say(recovery
        .retrieve
        .as_ref()
        .and_then(|phrase| unknown(phrase, &known.retrieval, "retrieval protocol")));
    say(recovery
        .orphans
        .as_ref()
        .and_then(|phrase| unknown(phrase, &known.orphan_detection, "orphan detection protocol")));
}

fn unknown<T>(phrase: &Phrase, table: &Table<T>, what: &str) -> Option<Diagnostic> {
    // A default copies a written value; the written one is reported.
    if phrase.origin.is_default() || table.get(&phrase.text).is_some() {
        return None;
    }
    let text = display_form(&phrase.text);
    let known: Vec<String> = table.phrases().map(display_form).collect();
    let known = one_of(known.iter().map(String::as_str));
    let help = match nearest(&phrase.text, table.phrases()) {
        Some(near) => format!("did you mean `{}`? known are {known}", display_form(near)),
        None => format!(
            "known are {known}; a value of your own must be registered, with a module that implements it"
        ),
    };
    let diagnostic = Diagnostic::new(Code::UnknownValue, format!("there is no {what} `{text}`"));
    Some(diagnostic.label_origin(&phrase.origin, "not known").help(help))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{codes, underlined};
    use crate::protocol::FailureUnit;
    use crate::vocabulary::{Storage, Survives, Vocabulary};

    const TEXT: &str = "receive: determinant: {source, sesn, dest, desn}
        Log determinant, message synchronously on paper tape";

    #[test]
    fn names_the_phrase_and_judges_no_further() {
        assert_eq!(codes(TEXT), ["EGD002"]);
        assert_eq!(underlined(TEXT, "EGD002"), Some("paper tape"));
    }

    #[test]
    fn suggests_the_nearest_value() {
        let protocol = crate::load("test.egd", &TEXT.replace("paper tape", "NSF disc")).protocol;
        let judgement = super::super::check(&protocol.expect("the text parses"), FailureUnit::Node);
        let help = judgement.diagnostics[0].help.as_deref().unwrap_or_default();
        assert!(help.starts_with("did you mean `NFS disk`?"), "{help}");
    }

    #[test]
    fn a_registered_value_is_known_and_judged_by_its_traits() {
        let mut vocabulary = Vocabulary::default();
        vocabulary.storage.register("Paper Tape", Storage { survives: Survives::Node, on_peers: false });
        let protocol = crate::load_with("test.egd", TEXT, &vocabulary).protocol.expect("the text parses");
        let judgement = super::super::check_with(&protocol, FailureUnit::Node, &vocabulary);
        assert!(judgement.accepted(), "{:?}", judgement.diagnostics);

        vocabulary.storage.register("paper tape", Storage { survives: Survives::Nothing, on_peers: false });
        let judgement = super::super::check_with(&protocol, FailureUnit::Node, &vocabulary);
        assert!(!judgement.accepted());
    }
}
