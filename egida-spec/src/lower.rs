//! Syntax tree to [`Protocol`]: words become events, fields and phrases in normal form, lines become statements.
//!
//! Nothing is filled in here but what [`Protocol`] cannot do without; see [`crate::complete`].

use std::path::Path;

use crate::determinant::default_determinant;
use crate::diagnostic::{Code, Diagnostic, did_you_mean, one_of};
use crate::protocol::{
    CheckpointStmt, DepGenStmt, Event, EventInfo, FailureUnit, Field, LogStmt, NonDetStmt, Origin,
    OutputCommitStmt, Param, ParamValue, Params, Phrase, Protocol, RecoveryStmt, RollbackStmt, Span, Spanned,
    Tolerance,
};
use crate::quantity;
use crate::syntax::{self, EventPart, File, Item, RollbackAction, Words};
use crate::vocabulary::normal_word;

/// The parameters of the header.
const HEADER_PARAMS: [&str; 2] = ["f", "failure unit"];

/// Gives a syntax tree its meaning. Whatever is wrong with it, the protocol holds the statements that have one.
#[must_use]
pub fn lower(file_name: &str, file: &File<'_>) -> (Protocol, Vec<Diagnostic>) {
    let mut lowering =
        Lowering { protocol: empty_protocol(file_name), diagnostics: Vec::new(), header: None };
    lowering.protocol.doc = file.head_comments();
    let mut recovery = RecoverySpans::default();
    for item in &file.items {
        match item {
            Item::Header(header) => lowering.header(header),
            Item::Event(stmt) => lowering.event_stmt(stmt),
            Item::OutputCommit(stmt) => lowering.output_commit(stmt),
            Item::Checkpoint(stmt) => lowering.checkpoint(stmt),
            Item::Retrieve(stmt) => {
                if lowering.first(&mut recovery.retrieve, stmt.span, "`Protocol to retrieve determinants`") {
                    lowering.protocol.recovery.retrieve = Some(lowering.phrase(&stmt.value));
                }
            }
            Item::Orphans(stmt) => {
                if lowering.first(&mut recovery.orphans, stmt.span, "`Protocol to detect orphans`") {
                    lowering.protocol.recovery.orphans = Some(lowering.phrase(&stmt.value));
                }
            }
            Item::Rollback(stmt) => {
                if lowering.first(&mut recovery.rollback, stmt.span, "`On rollback`") {
                    lowering.protocol.recovery.rollback = lowering.rollback(stmt);
                }
            }
            Item::OrphanPart(part) => lowering.orphan_part(part),
            Item::OrphanImplementation(stmt) => lowering.diagnostics.push(
                Diagnostic::new(
                    Code::Incomplete,
                    "`Implementation` belongs to a checkpoint, and there is none here",
                )
                .label(stmt.span, "of which checkpoint?")
                .help("put it behind the checkpoint statement"),
            ),
        }
    }
    (lowering.protocol, lowering.diagnostics)
}

fn empty_protocol(file_name: &str) -> Protocol {
    let stem = Path::new(file_name).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Protocol {
        name: Spanned {
            value: stem.filter(|stem| !stem.is_empty()).unwrap_or_else(|| "unnamed".to_owned()),
            origin: Origin::Default("a protocol without a header is named after its file".to_owned()),
        },
        doc: Vec::new(),
        params: Params::default(),
        failure_unit: None,
        tolerance: None,
        non_deterministic: Vec::new(),
        output_commit: Vec::new(),
        dependency_generating: Vec::new(),
        checkpoint: None,
        recovery: RecoveryStmt::default(),
    }
}

#[derive(Default)]
struct RecoverySpans {
    retrieve: Option<Span>,
    orphans: Option<Span>,
    rollback: Option<Span>,
}

struct Lowering {
    protocol: Protocol,
    diagnostics: Vec<Diagnostic>,
    header: Option<Span>,
}

impl Lowering {
    fn header(&mut self, header: &syntax::Header<'_>) {
        let mut seen = self.header;
        if !self.first(&mut seen, header.span, "the header") {
            return;
        }
        self.header = seen;
        let written = header.name.words.first().copied().unwrap_or_default();
        let name = match written.strip_prefix('"') {
            Some(_) => self.string(written, header.name.span),
            None => written.to_owned(),
        };
        self.protocol.name = Spanned { value: name, origin: Origin::Written(header.name.span) };
        self.protocol.params = self.params(header.params.as_ref());
        for param in self.protocol.params.0.clone() {
            let origin = Origin::Written(param.span);
            match (param.name.as_str(), &param.value) {
                ("f", ParamValue::Count(count)) => match u32::try_from(*count) {
                    Ok(count) => {
                        self.protocol.tolerance = Some(Spanned { value: Tolerance::AtMost(count), origin });
                    }
                    Err(_) => self.wrong_param(&param, &format!("at most {}", u32::MAX)),
                },
                ("f", ParamValue::Words(words)) if words == "any" => {
                    self.protocol.tolerance = Some(Spanned { value: Tolerance::Any, origin });
                }
                ("f", _) => self.wrong_param(&param, "a number, or `any`"),
                ("failure unit", ParamValue::Words(words)) => {
                    match FailureUnit::ALL.into_iter().find(|unit| unit.as_str() == words) {
                        Some(unit) => self.protocol.failure_unit = Some(Spanned { value: unit, origin }),
                        None => self.wrong_param(&param, "`process` or `node`"),
                    }
                }
                ("failure unit", _) => self.wrong_param(&param, "`process` or `node`"),
                (name, _) => self.diagnostics.push(
                    Diagnostic::new(Code::Parameter, format!("the header takes no parameter `{name}`"))
                        .label(param.span, "unknown")
                        .help(did_you_mean(name, HEADER_PARAMS)),
                ),
            }
        }
    }

    fn wrong_param(&mut self, param: &Param, expected: &str) {
        self.diagnostics.push(
            Diagnostic::new(Code::Parameter, format!("`{}` does not take this value", param.name))
                .label(param.span, format!("expected {expected}")),
        );
    }

    fn event_stmt(&mut self, stmt: &syntax::EventStmt<'_>) {
        let (mut determinant, mut piggyback) = (None, None);
        let mut logs: Vec<LogStmt> = Vec::new();
        for part in &stmt.parts {
            match part {
                EventPart::Determinant(part) => {
                    let mut seen = determinant.as_ref().map(|(span, _)| *span);
                    if self.first(&mut seen, part.span, "the determinant of this event") {
                        determinant = Some((part.span, self.determinant(part)));
                    }
                }
                EventPart::Log(part) => {
                    let log = self.log(part);
                    // Determinants and messages may be logged each in its own way, but each in one.
                    let is_again = |earlier: &&LogStmt| log.what.iter().any(|what| earlier.logs(what.value));
                    let mut seen = logs.iter().find(is_again).map(|earlier| earlier.span);
                    if self.first(&mut seen, part.span, "`Log`, for this event,") {
                        logs.push(log);
                    }
                }
                EventPart::Piggyback(part) => {
                    let mut seen = piggyback.as_ref().map(|(span, _)| *span);
                    if self.first(&mut seen, part.span, "`Piggyback`, for this event,") {
                        let values: Vec<Phrase> =
                            part.values.iter().map(|value| self.phrase(value)).collect();
                        piggyback = Some((part.span, values));
                    }
                }
            }
        }
        let params = self.params(stmt.params.as_ref());
        let Some(event) = self.event(&stmt.event, &["determinant", "implementation"]) else {
            return;
        };
        let origin = Origin::Written(stmt.span);
        if let Some((_, fields)) = determinant {
            if let Some((span, _)) = piggyback {
                self.diagnostics.push(
                    Diagnostic::new(Code::Role, format!("nothing can be piggybacked on `{}`", event.value))
                        .label(span, "only a message that leaves carries a piggyback")
                        .help("put this line under `send:`"),
                );
            }
            let stmt = NonDetStmt { event, determinant: fields, logs, params, origin };
            self.protocol.non_deterministic.push(stmt);
        } else if let (true, None) = (event.value.is_non_deterministic(), &piggyback) {
            self.diagnostics.push(
                Diagnostic::new(Code::Incomplete, format!("`{}` has no determinant", event.value))
                    .label(stmt.head, "what records its outcome?")
                    .help(format!("add `determinant: {}`", default_determinant(event.value))),
            );
            let stmt = NonDetStmt { event, determinant: Vec::new(), logs, params, origin };
            self.protocol.non_deterministic.push(stmt);
        } else {
            if piggyback.is_none() && logs.is_empty() && stmt.parts.is_empty() {
                self.diagnostics.push(
                    Diagnostic::new(Code::Incomplete, format!("nothing is said about `{}`", event.value))
                        .label(stmt.head, "an empty statement")
                        .help("add what is piggybacked or logged, or leave the line out"),
                );
            }
            let piggyback = piggyback.map(|(_, values)| values).unwrap_or_default();
            let mut logs = logs.into_iter();
            let log = logs.next();
            if let (Some(first), Some(again)) = (&log, logs.next()) {
                self.twice("`Log`, for this event,", first.span, again.span);
            }
            let stmt = DepGenStmt { event, piggyback, log, params, origin };
            self.protocol.dependency_generating.push(stmt);
        }
    }

    fn orphan_part(&mut self, part: &EventPart<'_>) {
        let (line, hint) = match part {
            EventPart::Determinant(part) if part.key.as_written().eq_ignore_ascii_case("determinant") => {
                ("a determinant", "put it under a non-deterministic event, for example `receive:`")
            }
            EventPart::Determinant(part) => {
                let key = part.key.as_written();
                self.diagnostics.push(
                    Diagnostic::new(Code::Incomplete, format!("`determinant:` is missing behind `{key}:`"))
                        .label(part.key.span, "an event's determinant is introduced by its keyword")
                        .help(format!("write `{key}: determinant: {{...}}`")),
                );
                return;
            }
            EventPart::Log(_) => ("`Log`", "put it under `receive:` or `send:`"),
            EventPart::Piggyback(_) => ("`Piggyback`", "put it under `send:`"),
        };
        self.diagnostics.push(
            Diagnostic::new(Code::Incomplete, format!("{line} belongs to an event, and there is none here"))
                .label(part.span(), "of which event?")
                .help(hint),
        );
    }

    fn determinant(&mut self, part: &syntax::Determinant<'_>) -> Vec<Spanned<Field>> {
        let key = part.key.as_written();
        if !key.eq_ignore_ascii_case("determinant") {
            self.diagnostics.push(
                Diagnostic::new(Code::UnknownWord, format!("`{key}` is no part of an event statement"))
                    .label(part.key.span, "expected `determinant`")
                    .help("the fields of a determinant are introduced by `determinant:`"),
            );
        }
        let mut fields: Vec<Spanned<Field>> = Vec::new();
        for word in &part.fields {
            let name = word.as_written().to_ascii_lowercase();
            let field = match name.as_str() {
                "ssn" => Some(Field::Sesn),
                "rsn" => Some(Field::Desn),
                name => Field::ALL.into_iter().find(|field| field.as_str() == name),
            };
            match field {
                Some(field) => self.push_once(&mut fields, field, word.span, field.as_str()),
                None => self.unknown_word(
                    "field of a determinant",
                    &name,
                    word.span,
                    Field::ALL.map(Field::as_str),
                ),
            }
        }
        fields
    }

    fn log(&mut self, part: &syntax::Log<'_>) -> LogStmt {
        if part.how.is_none() {
            self.diagnostics.push(
                Diagnostic::new(Code::Incomplete, "`Log` does not say how")
                    .label(part.span, "synchronously or asynchronously?")
                    .help("put `synchronously` or `asynchronously` before `on`"),
            );
        }
        self.log_stmt(part)
    }

    fn log_stmt(&mut self, part: &syntax::Log<'_>) -> LogStmt {
        let mut what: Vec<Spanned<EventInfo>> = Vec::new();
        for word in &part.what {
            let name = word.as_written().to_ascii_lowercase();
            match name.as_str() {
                "determinant" => self.push_once(&mut what, EventInfo::Determinant, word.span, "determinant"),
                "message" | "data" => self.push_once(&mut what, EventInfo::Message, word.span, "message"),
                _ => self.unknown_word("thing to log", &name, word.span, ["determinant", "message", "data"]),
            }
        }
        LogStmt {
            what,
            how: part.how.as_ref().map(|how| self.phrase(how)),
            storage: self.phrase(&part.storage),
            span: part.span,
        }
    }

    fn output_commit(&mut self, stmt: &syntax::OutputCommit<'_>) {
        let mut events: Vec<Spanned<Event>> = Vec::new();
        for word in &stmt.events {
            if let Some(event) = self.event(word, &[]) {
                self.push_once(&mut events, event.value, word.span, event.value.as_str());
            }
        }
        let stmt = OutputCommitStmt {
            proto: self.phrase(&stmt.proto),
            events,
            params: self.params(stmt.params.as_ref()),
            origin: Origin::Written(stmt.span),
        };
        self.protocol.output_commit.push(stmt);
    }

    fn checkpoint(&mut self, stmt: &syntax::Checkpoint<'_>) {
        let mut seen = self.protocol.checkpoint.as_ref().map(|first| first.span);
        if !self.first(&mut seen, stmt.span, "the checkpoint statement") {
            return;
        }
        let how = stmt.how.as_ref().map(|how| self.phrase(how));
        let implementation = stmt.implementation.as_ref().map(|keyed| self.phrase(&keyed.value));
        let stmt = CheckpointStmt {
            proto: self.phrase(&stmt.proto),
            how: how
                .unwrap_or_else(|| default_phrase("synchronously", "a checkpoint is written synchronously")),
            storage: self.phrase(&stmt.storage),
            implementation: implementation
                .unwrap_or_else(|| default_phrase("full", "a checkpoint is a full one")),
            params: self.params(stmt.params.as_ref()),
            span: stmt.span,
        };
        self.protocol.checkpoint = Some(stmt);
    }

    fn rollback(&mut self, stmt: &syntax::Rollback<'_>) -> Option<RollbackStmt> {
        match &stmt.action {
            RollbackAction::Log(log) => {
                if let Some(how) = &log.how {
                    self.diagnostics.push(
                        Diagnostic::new(Code::Syntax, format!("unexpected `{}`", how.phrase.as_written()))
                            .label(how.phrase.span, "expected `on`")
                            .help("on rollback everything is logged at once: leave the word out"),
                    );
                    return None;
                }
                Some(RollbackStmt::Log(self.log_stmt(log)))
            }
            RollbackAction::Checkpoint(storage) => {
                Some(RollbackStmt::Checkpoint { storage: self.phrase(storage), span: stmt.span })
            }
        }
    }

    fn event(&mut self, word: &Words<'_>, also: &[&str]) -> Option<Spanned<Event>> {
        let name = word.as_written().to_ascii_lowercase();
        match Event::ALL.into_iter().find(|event| event.as_str() == name) {
            Some(value) => Some(Spanned { value, origin: Origin::Written(word.span) }),
            None => {
                let known = Event::ALL.map(Event::as_str);
                self.diagnostics.push(
                    Diagnostic::new(Code::UnknownWord, format!("there is no event `{name}`"))
                        .label(word.span, format!("expected {}", one_of(known)))
                        .help(did_you_mean(&name, known.into_iter().chain(also.iter().copied()))),
                );
                None
            }
        }
    }

    fn phrase(&mut self, value: &syntax::Value<'_>) -> Phrase {
        Phrase {
            text: normal_words(&value.phrase),
            params: self.params(value.params.as_ref()),
            origin: Origin::Written(value.phrase.span),
        }
    }

    fn params(&mut self, list: Option<&syntax::ParamList<'_>>) -> Params {
        let mut params = Params::default();
        for param in list.into_iter().flat_map(|list| &list.params) {
            let name = normal_words(&param.name);
            if let Some(first) = params.get(&name) {
                let first = first.span;
                self.twice(&format!("the parameter `{name}`"), first, param.span);
                continue;
            }
            let value = match &param.value {
                syntax::ParamValue::String(text) => Ok(ParamValue::Text(self.string(text, param.value_span))),
                syntax::ParamValue::Words(words) => Ok(ParamValue::Words(normal_words(words))),
                syntax::ParamValue::Quantity { number, unit } => quantity::parse(number, *unit),
            };
            match value {
                Ok(value) => params.0.push(Param { name, value, span: param.span }),
                Err(reason) => self.diagnostics.push(
                    Diagnostic::new(Code::Parameter, format!("`{name}` has no usable value"))
                        .label(param.value_span, reason)
                        .help("numbers stand alone or with one of the units ns us ms s min h, B kB KiB MB MiB GB GiB"),
                ),
            }
        }
        params
    }

    fn string(&mut self, quoted: &str, span: Span) -> String {
        quantity::unquote(quoted).unwrap_or_else(|reason| {
            self.diagnostics.push(
                Diagnostic::new(Code::Parameter, "this text has an unknown escape").label(span, reason),
            );
            String::new()
        })
    }

    fn unknown_word<const N: usize>(&mut self, what: &str, word: &str, span: Span, known: [&str; N]) {
        self.diagnostics.push(
            Diagnostic::new(Code::UnknownWord, format!("there is no {what} `{word}`"))
                .label(span, format!("expected {}", one_of(known)))
                .help(did_you_mean(word, known)),
        );
    }

    fn push_once<T: PartialEq>(&mut self, list: &mut Vec<Spanned<T>>, value: T, span: Span, name: &str) {
        match list.iter().find(|earlier| earlier.value == value).and_then(|earlier| earlier.origin.span()) {
            Some(first) => self.twice(&format!("`{name}`"), first, span),
            None => list.push(Spanned { value, origin: Origin::Written(span) }),
        }
    }

    /// Whether this is the first of its kind; says so if it is not.
    fn first(&mut self, seen: &mut Option<Span>, span: Span, what: &str) -> bool {
        match *seen {
            None => {
                *seen = Some(span);
                true
            }
            Some(first) => {
                self.twice(what, first, span);
                false
            }
        }
    }

    fn twice(&mut self, what: &str, first: Span, again: Span) {
        self.diagnostics.push(
            Diagnostic::new(Code::Twice, format!("{what} is given twice"))
                .label(again, "again here")
                .label(first, "first here")
                .help("leave one of them out"),
        );
    }
}

fn default_phrase(text: &str, why: &str) -> Phrase {
    Phrase { text: text.to_owned(), params: Params::default(), origin: Origin::Default(why.to_owned()) }
}

fn normal_words(words: &Words<'_>) -> String {
    let words: Vec<String> = words.words.iter().map(|word| normal_word(word)).collect();
    words.join(" ")
}
