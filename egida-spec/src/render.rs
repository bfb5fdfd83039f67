//! A [`Protocol`] as text, defaults and all: the text that, read again, is the same protocol.

use std::fmt::{self, Display, Formatter};

use crate::protocol::{
    CheckpointStmt, DepGenStmt, EventInfo, LogStmt, NonDetStmt, Origin, OutputCommitStmt, Param, ParamValue,
    Params, Phrase, Protocol, RollbackStmt, Spanned, Tolerance,
};
use crate::quantity;
use crate::vocabulary::display_form;

/// Prints a protocol as a specification. Reading it gives an equal protocol, but for spans and origins: what was filled
/// in by default is then written.
#[must_use]
pub fn render(protocol: &Protocol) -> String {
    Specification(protocol).to_string()
}

struct Specification<'a>(&'a Protocol);

impl Display for Specification<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let protocol = self.0;
        for line in &protocol.doc {
            writeln!(f, "{}", format!("/// {line}").trim_end())?;
        }
        writeln!(f, "protocol {}{}", name(&protocol.name.value), With(&header_params(protocol)))?;
        for stmt in &protocol.non_deterministic {
            non_deterministic(f, stmt)?;
        }
        for stmt in &protocol.output_commit {
            output_commit(f, stmt)?;
        }
        for stmt in &protocol.dependency_generating {
            dependency_generating(f, stmt)?;
        }
        if let Some(stmt) = &protocol.checkpoint {
            checkpoint(f, stmt)?;
        }
        if let Some(retrieve) = &protocol.recovery.retrieve {
            writeln!(f, "Protocol to retrieve determinants: {}", Value(retrieve))?;
        }
        if let Some(orphans) = &protocol.recovery.orphans {
            writeln!(f, "Protocol to detect orphans: {}", Value(orphans))?;
        }
        match &protocol.recovery.rollback {
            None => Ok(()),
            Some(RollbackStmt::Log(stmt)) => writeln!(f, "On rollback: {}", Log(stmt)),
            Some(RollbackStmt::Checkpoint { storage, .. }) => {
                writeln!(f, "On rollback: Take independent checkpoint on {}", Value(storage))
            }
        }
    }
}

fn non_deterministic(f: &mut Formatter<'_>, stmt: &NonDetStmt) -> fmt::Result {
    writeln!(f, "{}{}:", stmt.event.value, With(&stmt.params))?;
    let fields: Vec<&str> = stmt.determinant.iter().map(|field| field.value.as_str()).collect();
    writeln!(f, "    determinant: {{{}}}", fields.join(", "))?;
    stmt.logs.iter().try_for_each(|log| writeln!(f, "    {}", Log(log)))
}

fn output_commit(f: &mut Formatter<'_>, stmt: &OutputCommitStmt) -> fmt::Result {
    let events: Vec<&str> = stmt.events.iter().map(|event| event.value.as_str()).collect();
    writeln!(f, "{} output commit{} on {}", Leading(&stmt.proto), With(&stmt.params), events.join(", "))
}

fn dependency_generating(f: &mut Formatter<'_>, stmt: &DepGenStmt) -> fmt::Result {
    writeln!(f, "{}{}:", stmt.event.value, With(&stmt.params))?;
    if !stmt.piggyback.is_empty() {
        let values: Vec<String> = stmt.piggyback.iter().map(|value| Value(value).to_string()).collect();
        writeln!(f, "    Piggyback {}", values.join(", "))?;
    }
    stmt.log.iter().try_for_each(|log| writeln!(f, "    {}", Log(log)))
}

fn checkpoint(f: &mut Formatter<'_>, stmt: &CheckpointStmt) -> fmt::Result {
    let (how, storage) = (Value(&stmt.how), Value(&stmt.storage));
    writeln!(f, "{} checkpoint{} {how} on {storage}", Leading(&stmt.proto), With(&stmt.params))?;
    writeln!(f, "    Implementation: {}", Value(&stmt.implementation))
}

struct Log<'a>(&'a LogStmt);

impl Display for Log<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let LogStmt { what, how, storage, .. } = self.0;
        let what: Vec<&str> = what.iter().map(|info: &Spanned<EventInfo>| info.value.as_str()).collect();
        write!(f, "Log {}", what.join(", "))?;
        if let Some(how) = how {
            write!(f, " {}", Value(how))?;
        }
        write!(f, " on {}", Value(storage))
    }
}

struct Value<'a>(&'a Phrase);

impl Display for Value<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", display_form(&self.0.text), With(&self.0.params))
    }
}

/// A value that begins a statement, and so has a capital.
struct Leading<'a>(&'a Phrase);

impl Display for Leading<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = Value(self.0).to_string();
        let mut chars = text.chars();
        let first = chars.next().map(|first| first.to_ascii_uppercase());
        write!(f, "{}{}", first.map(String::from).unwrap_or_default(), chars.as_str())
    }
}

struct With<'a>(&'a Params);

impl Display for With<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.0.is_empty() {
            return Ok(());
        }
        let params: Vec<String> = self
            .0
            .0
            .iter()
            .map(|param| format!("{} = {}", param.name, quantity::print(&param.value)))
            .collect();
        write!(f, " with ({})", params.join(", "))
    }
}

/// The header's parameters: those given, and what a program set in the protocol without them.
fn header_params(protocol: &Protocol) -> Params {
    let mut params = protocol.params.clone();
    let mut add = |name: &str, value: ParamValue, origin: &Origin| {
        if let (None, Some(span)) = (params.get(name), origin.span()) {
            params.0.push(Param { name: name.to_owned(), value, span });
        }
    };
    if let Some(Spanned { value, origin }) = &protocol.tolerance {
        let value = match value {
            Tolerance::AtMost(f) => ParamValue::Count(u64::from(*f)),
            Tolerance::Any => ParamValue::Words("any".to_owned()),
        };
        add("f", value, origin);
    }
    if let Some(Spanned { value, origin }) = &protocol.failure_unit {
        add("failure unit", ParamValue::Words(value.as_str().to_owned()), origin);
    }
    params
}

/// A name that is one word stands bare; any other in quotes, and so does one that would read as a statement.
fn name(name: &str) -> String {
    let is_word = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_word && !name.eq_ignore_ascii_case("to") { name.to_owned() } else { quantity::quote(name) }
}
