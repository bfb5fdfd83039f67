//! The corpora of specifications: `ok/` is accepted, `err/` is refused, and what is said of each file is a snapshot.
//!
//! Run with `INSTA_UPDATE=always` to write the snapshots anew; review the difference before committing it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use egida_spec::diagnostic::{RenderStyle, render};
use egida_spec::protocol::FailureUnit;
use egida_spec::{Code, Diagnostic, Severity, check, declared_unit, load};

/// What is said of a file, and whether it is accepted under its declared failure unit.
struct Verdict {
    accepted: bool,
    text: String,
    codes: BTreeSet<Code>,
}

fn judge(path: &Path) -> Verdict {
    let text = fs::read_to_string(path).expect("the corpus is text");
    let name = file_name(path);
    let loaded = load(&name, &text);
    let mut said = loaded.diagnostics;
    let mut summary = String::new();
    let mut accepted = false;
    if let Some(protocol) = &loaded.protocol {
        let declared = declared_unit(protocol);
        for unit in FailureUnit::ALL {
            let judgement = check(protocol, unit);
            let verdict = if judgement.accepted() { "accepted" } else { "refused" };
            writeln!(summary, "{unit}: {verdict}, {}", judgement.class).expect("a string takes everything");
            if unit == declared {
                accepted = judgement.accepted();
                said.extend(judgement.diagnostics);
            }
        }
    }
    let rendered = render(&name, &text, &said, RenderStyle::default());
    Verdict {
        accepted,
        text: format!("{summary}{rendered}"),
        codes: said.iter().map(|found| found.code).collect(),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn specifications(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut paths: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "egd"))
        .collect();
    paths.sort();
    paths
}

fn snapshot(corpus: &str, path: &Path, verdict: &Verdict) {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => corpus }, {
        insta::assert_snapshot!(stem, verdict.text);
    });
}

#[test]
fn ok_is_accepted() {
    let paths = specifications("tests/ok");
    assert!(paths.len() >= 15);
    for path in paths {
        let verdict = judge(&path);
        snapshot("ok", &path, &verdict);
        assert!(verdict.accepted, "{}:\n{}", path.display(), verdict.text);
    }
}

#[test]
fn err_is_refused_with_its_code() {
    let paths = specifications("tests/err");
    assert!(paths.len() >= 25);
    for path in paths {
        let verdict = judge(&path);
        snapshot("err", &path, &verdict);
        assert!(!verdict.accepted, "{} is accepted", path.display());
        let name = file_name(&path);
        let code =
            name.get(..6).and_then(Code::parse).unwrap_or_else(|| panic!("{name} begins with its code"));
        assert!(verdict.codes.contains(&code), "{name} is refused with {:?}", verdict.codes);
    }
}

#[test]
fn every_code_is_shown_by_a_file() {
    let mut shown = BTreeSet::new();
    for path in specifications("tests/err").into_iter().chain(specifications("tests/ok")) {
        shown.extend(judge(&path).codes);
    }
    // A file that is too large is made, not kept.
    let large = load("large.egd", &"send:\n".repeat(20_000));
    shown.extend(large.diagnostics.iter().map(|found| found.code));
    let missing: Vec<&Code> = Code::ALL.iter().filter(|code| !shown.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn our_specifications_and_the_papers_are_accepted() {
    let paths: Vec<PathBuf> =
        specifications("../specs").into_iter().chain(specifications("../specs/paper")).collect();
    assert!(paths.len() >= 10);
    for path in paths {
        let verdict = judge(&path);
        assert!(verdict.accepted, "{}:\n{}", path.display(), verdict.text);
        let loaded = load(&file_name(&path), &fs::read_to_string(&path).expect("it was read before"));
        let protocol = loaded.protocol.expect("it was accepted");
        for unit in FailureUnit::ALL {
            let judgement = check(&protocol, unit);
            let warnings: Vec<&Diagnostic> =
                judgement.diagnostics.iter().filter(|found| found.severity() == Severity::Error).collect();
            assert!(warnings.is_empty(), "{} under {unit}: {warnings:?}", path.display());
        }
    }
}

#[test]
fn the_papers_figures_have_the_papers_classes() {
    use egida_spec::protocol::Class::{Causal, Optimistic, Pessimistic};
    let figures = [("fig3a", Optimistic), ("fig3b", Causal), ("fig4a", Pessimistic), ("fig4b", Pessimistic)];
    for (figure, class) in figures {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../specs/paper/{figure}.egd"));
        let text = fs::read_to_string(path).expect("the figure is there");
        let protocol = load(figure, &text).protocol.expect("the figure parses");
        assert_eq!(check(&protocol, FailureUnit::Node).class, class, "{figure}");
    }
}

#[test]
fn our_specifications_are_formatted() {
    for path in specifications("../specs") {
        let text = fs::read_to_string(&path).expect("the specification is there");
        assert_eq!(egida_spec::format(&text).as_deref(), Ok(text.as_str()), "{}", path.display());
    }
}

#[test]
fn formatting_keeps_the_meaning_of_every_file() {
    for path in specifications("tests/ok").into_iter().chain(specifications("../specs/paper")) {
        let text = fs::read_to_string(&path).expect("the corpus is text");
        let formatted = egida_spec::format(&text).expect("an accepted file parses");
        assert_eq!(egida_spec::format(&formatted).as_deref(), Ok(formatted.as_str()), "{}", path.display());
        let meaning =
            |text: &str| load("same.egd", text).protocol.map(|protocol| egida_spec::render(&protocol));
        assert_eq!(meaning(&text), meaning(&formatted), "{}", path.display());
    }
}
