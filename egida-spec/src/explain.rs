//! The long form of every code: what it means, an example, and the mend.
//!
//! The texts stand in `explain/`, one file per code. In each the first block marked `egd` is refused (or warned of, or
//! told of) with that code, and the second, mended, is not; the tests read both.

use crate::diagnostic::Code;

/// The long form of a code, as Markdown; nothing for a code that does not exist. Capitals do not matter.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    Some(match Code::parse(code)? {
        Code::Syntax => include_str!("explain/egd001.md"),
        Code::UnknownValue => include_str!("explain/egd002.md"),
        Code::UnknownWord => include_str!("explain/egd003.md"),
        Code::Parameter => include_str!("explain/egd004.md"),
        Code::Twice => include_str!("explain/egd005.md"),
        Code::Incomplete => include_str!("explain/egd006.md"),
        Code::Limit => include_str!("explain/egd007.md"),
        Code::Coverage => include_str!("explain/egd008.md"),
        Code::Role => include_str!("explain/egd009.md"),
        Code::EventTwice => include_str!("explain/egd010.md"),
        Code::ReceiveAndChoice => include_str!("explain/egd011.md"),
        Code::Fields => include_str!("explain/egd012.md"),
        Code::OptimisticClock => include_str!("explain/egd013.md"),
        Code::OptimisticOrphans => include_str!("explain/egd014.md"),
        Code::NothingRecovers => include_str!("explain/egd015.md"),
        Code::Domino => include_str!("explain/egd016.md"),
        Code::Payload => include_str!("explain/egd017.md"),
        Code::Output => include_str!("explain/egd018.md"),
        Code::UnusedRetrieval => include_str!("explain/egd019.md"),
        Code::UnusedOrphans => include_str!("explain/egd020.md"),
        Code::RollbackWithoutDetection => include_str!("explain/egd021.md"),
        Code::RollbackStorage => include_str!("explain/egd022.md"),
        Code::RollbackKinds => include_str!("explain/egd023.md"),
        Code::CheckpointStorage => include_str!("explain/egd024.md"),
        Code::InducedCounter => include_str!("explain/egd025.md"),
        Code::Refinement => include_str!("explain/egd026.md"),
        Code::OutputDefault => include_str!("explain/egd027.md"),
        Code::NoCheckpoint => include_str!("explain/egd028.md"),
        Code::FaultsNotAsked => include_str!("explain/egd029.md"),
        Code::OptimisticDeliveries => include_str!("explain/egd030.md"),
    })
}

/// Every code with its one-line summary, in order.
pub fn codes() -> impl Iterator<Item = (Code, &'static str)> {
    Code::ALL.iter().map(|code| {
        let text = explain(code.as_str()).unwrap_or_default();
        let title = text.lines().next().unwrap_or_default();
        (*code, title.split_once(": ").map_or(title, |(_, summary)| summary))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::FailureUnit;

    /// The blocks of a Markdown text that are marked as specifications.
    fn examples(text: &str) -> Vec<&str> {
        text.split("```egd\n")
            .skip(1)
            .filter_map(|rest| rest.split_once("```").map(|(block, _)| block))
            .collect()
    }

    fn found(text: &str) -> Vec<Code> {
        let loaded = crate::load("example.egd", text);
        let mut codes: Vec<Code> = loaded.diagnostics.iter().map(|found| found.code).collect();
        if let Some(protocol) = loaded.protocol {
            codes.extend(
                crate::check(&protocol, FailureUnit::Node).diagnostics.iter().map(|found| found.code),
            );
        }
        codes
    }

    #[test]
    fn every_example_shows_its_code_and_every_mend_mends_it() {
        for code in Code::ALL {
            let text = explain(code.as_str()).expect("every code is explained");
            assert!(text.starts_with(&format!("# {code}: ")), "{code} has a title");
            if *code == Code::Limit {
                continue; // Its example would fill pages.
            }
            let examples = examples(text);
            assert_eq!(examples.len(), 2, "{code} has an example and a mend");
            assert!(found(examples[0]).contains(code), "{code}: {:?}", found(examples[0]));
            let after = found(examples[1]);
            assert!(!after.contains(code), "{code} is mended: {after:?}");
            let errors: Vec<_> =
                after.iter().filter(|code| code.severity() == crate::Severity::Error).collect();
            assert!(errors.is_empty(), "{code}: the mend is accepted: {errors:?}");
        }
    }

    #[test]
    fn codes_are_found_whatever_their_capitals() {
        assert_eq!(explain("egd001"), explain("EGD001"));
        assert!(explain("EGD001").is_some());
        assert!(explain("EGD000").is_none());
        assert!(explain("").is_none());
        assert_eq!(codes().count(), Code::ALL.len());
    }
}
