//! What holds for every protocol and for every text.

use egida_spec::diagnostic::{RenderStyle, render as show};
use egida_spec::protocol::{
    CheckpointStmt, DepGenStmt, Event, EventInfo, FailureUnit, Field, LogStmt, NonDetStmt, Origin,
    OutputCommitStmt, Param, ParamValue, Params, Phrase, Protocol, RecoveryStmt, RollbackStmt, Span, Spanned,
    Tolerance,
};
use egida_spec::{check, complete_for, declared_unit, format, load, render};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// A protocol that was printed reads as itself, and completed.
    #[test]
    fn a_rendered_protocol_reads_as_itself(protocol in protocols()) {
        let text = render(&protocol);
        let loaded = load("rendered.egd", &text);
        prop_assert!(loaded.protocol.is_some(), "{text}\n{:?}", loaded.diagnostics);
        let expected = complete_for(&protocol, declared_unit(&protocol), &Default::default());
        prop_assert_eq!(without_places(loaded.protocol.expect("just seen")), without_places(expected.clone()), "{}", text);

        // What is completed is complete.
        let again = load("again.egd", &render(&expected)).protocol.expect("a completed protocol renders as text");
        prop_assert_eq!(without_places(again), without_places(expected));
    }

    /// The formatter agrees with the printer on what a text means, whatever its layout.
    #[test]
    fn formatting_keeps_the_meaning(protocol in protocols(), gap in gaps()) {
        let text = scatter(&render(&protocol), &gap);
        let Ok(formatted) = format(&text) else {
            return Err(TestCaseError::fail(format!("not understood: {text}")));
        };
        prop_assert_eq!(format(&formatted).ok(), Some(formatted.clone()), "formatting twice changes nothing");
        let meaning = |text: &str| load("same.egd", text).protocol.map(without_places);
        prop_assert_eq!(meaning(&text), meaning(&formatted), "{}\n{}", text, formatted);
        prop_assert_eq!(comments(&text), comments(&formatted));
    }

    #[test]
    fn nothing_panics_on_any_text(text in any::<String>()) {
        survives(&text)?;
    }

    #[test]
    fn nothing_panics_on_pieces_of_the_language(pieces in vec(select(PIECES), 0..60)) {
        survives(&pieces.concat())?;
        survives(&pieces.join(" "))?;
    }

    #[test]
    fn nothing_panics_on_a_damaged_specification(
        protocol in protocols(),
        at in any::<prop::sample::Index>(),
        length in 0..20_usize,
        piece in select(PIECES),
    ) {
        let text: Vec<char> = render(&protocol).chars().collect();
        let at = at.index(text.len());
        let end = (at + length).min(text.len());
        let damaged: String = text[..at].iter().copied().chain(piece.chars()).chain(text[end..].iter().copied()).collect();
        survives(&damaged)?;
    }
}

/// Runs everything on a text; checks what holds whether it parses or not.
fn survives(text: &str) -> Result<(), TestCaseError> {
    let loaded = load("any.egd", text);
    let mut said = loaded.diagnostics;
    prop_assert_eq!(loaded.protocol.is_none(), said.iter().any(|found| found.is_error()));
    if let Some(protocol) = &loaded.protocol {
        for unit in FailureUnit::ALL {
            let judgement = check(protocol, unit);
            said.extend(judgement.diagnostics);
            prop_assert!(load("again.egd", &render(&judgement.protocol)).protocol.is_some());
        }
    }
    let shown = show("any.egd", text, &said, RenderStyle::default());
    prop_assert_eq!(said.is_empty(), shown.is_empty());
    if let Ok(formatted) = format(text) {
        prop_assert_eq!(format(&formatted).ok(), Some(formatted.clone()), "{:?}", text);
        prop_assert_eq!(comments(text), comments(&formatted));
    }
    Ok(())
}

/// The comments of a text, in order, but for the space at the ends of lines.
fn comments(text: &str) -> Vec<String> {
    let (file, _) = egida_spec::parser::parse(text);
    let normal = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n").trim_end().to_owned();
    file.comments.iter().map(|comment| normal(comment.text)).collect()
}

/// Puts gaps and comments between the words of a text, in turn.
fn scatter(text: &str, gaps: &[&str]) -> String {
    let mut scattered = String::new();
    let mut gaps = gaps.iter().cycle();
    for line in text.lines() {
        if line.starts_with("///") {
            scattered.push_str(line);
        } else {
            // Statements that begin with a value are known by the keyword on the same line, so only blanks go there.
            let leads = line.contains(" checkpoint") || line.contains("output commit") || line.contains('"');
            for word in line.split_inclusive(' ') {
                scattered.push_str(word);
                if !leads && word.ends_with(", ") {
                    scattered.push_str(gaps.next().copied().unwrap_or_default());
                }
            }
        }
        scattered.push('\n');
        scattered.push_str(gaps.next().copied().unwrap_or_default());
    }
    scattered
}

fn gaps() -> impl Strategy<Value = Vec<&'static str>> {
    let gap = select(
        &[
            "",
            " ",
            "\t",
            "\n",
            "\r\n\r\n",
            "// line\n",
            "/* block */",
            "{comment: brace}",
            "/* a\nb */ // c\n",
        ][..],
    );
    vec(gap, 1..8)
}

const PIECES: &[&str] = &[
    "protocol",
    "p",
    "with",
    "(",
    ")",
    "f",
    "=",
    "2",
    "any",
    "failure unit",
    "node",
    ",",
    "receive",
    "choice",
    "read",
    "send",
    "write",
    ":",
    "determinant",
    "{",
    "}",
    "source, sesn, dest, desn",
    "outcome",
    "Log",
    "message",
    "data",
    "synchronously",
    "asynchronously",
    "on",
    "NFS disk",
    "local disk",
    "volatile memory of processes",
    "Piggyback",
    "determinants",
    "vector clock",
    "checkpoint counter",
    "Independent",
    "co-ordinated",
    "output commit",
    "checkpoint",
    "Implementation",
    "incremental",
    "Protocol to retrieve determinants",
    "Protocol to detect orphans",
    "On rollback",
    "Take independent checkpoint on",
    "\n",
    "\r",
    "\t",
    " ",
    "// line\n",
    "/// doc\n",
    "/* block */",
    "/*",
    "*/",
    "{comment: brace}",
    "{comment:",
    "\"text\"",
    "\"",
    "\\",
    "\u{feff}",
    "é",
    "🦀",
    "\u{0}",
    "30 s",
    "1.5 GiB",
    "9e9",
];

/// Any protocol that the language can express, before completion.
fn protocols() -> impl Strategy<Value = Protocol> {
    let header = (
        names(),
        vec(doc_lines(), 0..3),
        option::of(tolerances()),
        option::of(select(&FailureUnit::ALL[..])),
    );
    let statements = (
        vec(non_deterministic(), 0..3),
        vec(output_commits(), 0..2),
        vec(dependency_generating(), 0..2),
        option::of(checkpoints()),
        recoveries(),
    );
    (header, statements).prop_map(
        |((name, doc, tolerance, unit), (non_det, commits, dep_gen, checkpoint, recovery))| {
            let mut params = Params::default();
            if let Some(tolerance) = tolerance {
                let value = match tolerance {
                    Tolerance::AtMost(f) => ParamValue::Count(u64::from(f)),
                    Tolerance::Any => ParamValue::Words("any".to_owned()),
                };
                params.0.push(param("f", value));
            }
            if let Some(unit) = unit {
                params.0.push(param("failure unit", ParamValue::Words(unit.as_str().to_owned())));
            }
            Protocol {
                name: here(name),
                doc,
                params,
                failure_unit: unit.map(here),
                tolerance: tolerance.map(here),
                non_deterministic: non_det,
                output_commit: commits,
                dependency_generating: dep_gen,
                checkpoint,
                recovery,
            }
        },
    )
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9][a-zA-Z0-9_-]{0,12}",
        Just("to".to_owned()),
        Just("with".to_owned()),
        any::<String>()
    ]
}

fn doc_lines() -> impl Strategy<Value = String> {
    // A line has neither line ends nor space behind it.
    "( ?[a-z*/{}:\"é]{1,8}){0,4}".prop_map(|line| line.trim_end().to_owned())
}

fn tolerances() -> impl Strategy<Value = Tolerance> {
    prop_oneof![any::<u32>().prop_map(Tolerance::AtMost), Just(Tolerance::Any)]
}

fn non_deterministic() -> impl Strategy<Value = NonDetStmt> {
    let fields = subsequence(Field::ALL.to_vec(), 1..=Field::ALL.len()).prop_shuffle();
    let each = (logs(), logs()).prop_map(|(determinant, message)| {
        let only = |log: LogStmt, what| LogStmt { what: vec![here(what)], ..log };
        vec![only(determinant, EventInfo::Determinant), only(message, EventInfo::Message)]
    });
    let logs = prop_oneof![option::of(logs()).prop_map(|log| log.into_iter().collect()), each];
    (select(&Event::ALL[..]), fields, logs, params()).prop_map(|(event, fields, logs, params)| NonDetStmt {
        event: here(event),
        determinant: fields.into_iter().map(here).collect(),
        logs,
        params,
        origin: written(),
    })
}

fn output_commits() -> impl Strategy<Value = OutputCommitStmt> {
    let events = subsequence(Event::ALL.to_vec(), 1..=Event::ALL.len()).prop_shuffle();
    (phrases(), events, params()).prop_map(|(proto, events, params)| OutputCommitStmt {
        proto,
        events: events.into_iter().map(here).collect(),
        params,
        origin: written(),
    })
}

fn dependency_generating() -> impl Strategy<Value = DepGenStmt> {
    // A `receive` with neither determinant nor piggyback has no text: the language takes it for an incomplete one.
    (select(&[Event::Send, Event::Write][..]), vec(phrases(), 0..4), option::of(logs()), params())
        .prop_filter("a statement says something", |(_, piggyback, log, _)| {
            !piggyback.is_empty() || log.is_some()
        })
        .prop_map(|(event, piggyback, log, params)| DepGenStmt {
            event: here(event),
            piggyback,
            log,
            params,
            origin: written(),
        })
}

fn checkpoints() -> impl Strategy<Value = CheckpointStmt> {
    (phrases(), phrases(), phrases(), phrases(), params()).prop_map(
        |(proto, how, storage, implementation, params)| CheckpointStmt {
            proto,
            how,
            storage,
            implementation,
            params,
            span: SPAN,
        },
    )
}

fn recoveries() -> impl Strategy<Value = RecoveryStmt> {
    let rollback = prop_oneof![
        logs().prop_map(|log| RollbackStmt::Log(LogStmt { how: None, ..log })),
        phrases().prop_map(|storage| RollbackStmt::Checkpoint { storage, span: SPAN }),
    ];
    (option::of(phrases()), option::of(phrases()), option::of(rollback))
        .prop_map(|(retrieve, orphans, rollback)| RecoveryStmt { retrieve, orphans, rollback })
}

fn logs() -> impl Strategy<Value = LogStmt> {
    let what = subsequence(vec![EventInfo::Determinant, EventInfo::Message], 1..=2).prop_shuffle();
    (what, phrases(), phrases()).prop_map(|(what, how, storage)| LogStmt {
        what: what.into_iter().map(here).collect(),
        how: Some(how),
        storage,
        span: SPAN,
    })
}

fn phrases() -> impl Strategy<Value = Phrase> {
    let known = select(
        &[
            "independent",
            "co-ordinated",
            "synchronously",
            "asynchronously",
            "volatile memory of self",
            "volatile memory of processes",
            "volatile memory of sender",
            "local disk",
            "nfs disk",
            "determinants",
            "vector clock",
            "checkpoint counter",
            "full",
            "incremental",
            "distributed",
            "broadcast logical clock",
            "communication-induced",
        ][..],
    );
    let text = prop_oneof![known.prop_map(str::to_owned), words()];
    let text = text.prop_filter("a value that begins a statement ends before `checkpoint`", |text| {
        text == "checkpoint counter" || !text.split(' ').any(|word| word == "checkpoint" || word == "output")
    });
    // As the leading value of a statement this one cannot be told from the statement's keyword.
    let text =
        text.prop_map(
            |text| {
                if text == "checkpoint counter" { "counter of checkpoints".to_owned() } else { text }
            },
        );
    (text, params()).prop_map(|(text, params)| Phrase { text, params, origin: written() })
}

/// Words in normal form that are not reserved.
fn words() -> impl Strategy<Value = String> {
    let word = "[a-z][a-z0-9_-]{0,7}".prop_filter("reserved words end a value", |word| {
        !["on", "with", "log", "piggyback", "coordinated", "protocol"].contains(&word.as_str())
    });
    vec(word, 1..4).prop_map(|words| words.join(" "))
}

fn params() -> impl Strategy<Value = Params> {
    let value = prop_oneof![
        any::<u64>().prop_map(ParamValue::Count),
        any::<u64>().prop_map(ParamValue::DurationNs),
        (0..100_u64, select(&[1, 1_000, 60_000_000_000, 3_600_000_000_000][..]))
            .prop_map(|(n, unit)| ParamValue::DurationNs(n * unit)),
        any::<u64>().prop_map(ParamValue::SizeBytes),
        (0..100_u64, 0..31_u32).prop_map(|(n, shift)| ParamValue::SizeBytes(n << shift)),
        any::<String>().prop_map(ParamValue::Text),
        words().prop_map(ParamValue::Words),
    ];
    vec((words(), value), 0..3).prop_map(|params| {
        let mut distinct = Params::default();
        for (name, value) in params {
            if distinct.get(&name).is_none() {
                distinct.0.push(param(&name, value));
            }
        }
        distinct
    })
}

fn param(name: &str, value: ParamValue) -> Param {
    Param { name: name.to_owned(), value, span: SPAN }
}

const SPAN: Span = Span { start: 0, end: 0 };

fn written() -> Origin {
    Origin::Written(SPAN)
}

fn here<T>(value: T) -> Spanned<T> {
    Spanned { value, origin: written() }
}

/// The protocol with every span and origin made the same, so that only its meaning is compared.
fn without_places(protocol: Protocol) -> serde_json::Value {
    fn clear(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.retain(|name, _| name != "span" && name != "origin");
                fields.values_mut().for_each(clear);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(clear),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(protocol).expect("a protocol is plain data");
    clear(&mut value);
    value
}
