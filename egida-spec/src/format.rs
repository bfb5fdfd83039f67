//! The formatter: the same specification in one layout.
//!
//! One statement or part of one per line, the parts of an event statement indented; keywords as the paper writes them,
//! the user's own words and capitals in values; at most one blank line in a row. Comments stay: one on lines of its own
//! stays before what it stood before, one behind a statement stays behind it, and one inside of a statement moves to a
//! line of its own before it.

use crate::diagnostic::{Diagnostic, any_error};
use crate::parser;
use crate::protocol::Span;
use crate::syntax::{
    Comment, CommentKind, Determinant, EventPart, File, Item, Keyed, Log, ParamList, ParamValue,
    RollbackAction, Value, Words,
};

const INDENT: &str = "    ";

/// Lays a specification out. Formatting what was formatted changes nothing.
///
/// # Errors
/// The syntax errors, if there are any: a text that was not understood is left alone.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let (file, diagnostics) = parser::parse(text);
    if any_error(&diagnostics) {
        return Err(diagnostics);
    }
    let lines = lines(&file);
    let mut printer = Printer { text, out: String::new(), comments: &file.comments, end: 0 };
    for (index, line) in lines.iter().enumerate() {
        let next_start = lines.get(index + 1).map_or(text.len(), |next| next.span.start);
        printer.line(line, next_start);
    }
    printer.own_lines(text.len(), "");
    Ok(printer.out)
}

/// A line of the result, and the text that it stands for.
struct Line {
    indented: bool,
    text: String,
    span: Span,
}

fn lines(file: &File<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for item in &file.items {
        let mut outer = |text: String, span: Span| lines.push(Line { indented: false, text, span });
        match item {
            Item::Header(header) => {
                outer(
                    format!("protocol {}{}", header.name.as_written(), params(header.params.as_ref())),
                    header.span,
                );
            }
            Item::Event(stmt) => {
                outer(format!("{}{}:", stmt.event.as_written(), params(stmt.params.as_ref())), stmt.head);
                let part = |part| Line { indented: true, text: event_part(part), span: part.span() };
                lines.extend(stmt.parts.iter().map(part));
            }
            Item::OutputCommit(stmt) => {
                let (proto, with) = (value(&stmt.proto), params(stmt.params.as_ref()));
                outer(format!("{proto} output commit{with} on {}", list(&stmt.events)), stmt.span);
            }
            Item::Checkpoint(stmt) => {
                let (proto, with) = (value(&stmt.proto), params(stmt.params.as_ref()));
                let how = stmt.how.as_ref().map(|how| format!("{} ", value(how))).unwrap_or_default();
                outer(format!("{proto} checkpoint{with} {how}on {}", value(&stmt.storage)), stmt.head);
                if let Some(stmt) = &stmt.implementation {
                    lines.push(Line { indented: true, text: implementation(stmt), span: stmt.span });
                }
            }
            Item::Retrieve(stmt) => {
                outer(format!("Protocol to retrieve determinants: {}", value(&stmt.value)), stmt.span);
            }
            Item::Orphans(stmt) => {
                outer(format!("Protocol to detect orphans: {}", value(&stmt.value)), stmt.span)
            }
            Item::Rollback(stmt) => {
                let action = match &stmt.action {
                    RollbackAction::Log(part) => log(part),
                    RollbackAction::Checkpoint(storage) => {
                        format!("Take independent checkpoint on {}", value(storage))
                    }
                };
                outer(format!("On rollback: {action}"), stmt.span);
            }
            Item::OrphanPart(part) => outer(event_part(part), part.span()),
            Item::OrphanImplementation(stmt) => outer(implementation(stmt), stmt.span),
        }
    }
    lines
}

fn implementation(stmt: &Keyed<'_>) -> String {
    format!("Implementation: {}", value(&stmt.value))
}

fn event_part(part: &EventPart<'_>) -> String {
    match part {
        EventPart::Determinant(Determinant { key, fields, .. }) => {
            let keyword = if key.as_written().eq_ignore_ascii_case("determinant") {
                "determinant".to_owned()
            } else {
                key.as_written()
            };
            format!("{keyword}: {{{}}}", list(fields))
        }
        EventPart::Log(part) => log(part),
        EventPart::Piggyback(part) => {
            let values: Vec<String> = part.values.iter().map(value).collect();
            format!("Piggyback {}", values.join(", "))
        }
    }
}

fn log(part: &Log<'_>) -> String {
    let how = part.how.as_ref().map(|how| format!(" {}", value(how))).unwrap_or_default();
    format!("Log {}{how} on {}", list(&part.what), value(&part.storage))
}

fn list(words: &[Words<'_>]) -> String {
    let words: Vec<String> = words.iter().map(Words::as_written).collect();
    words.join(", ")
}

fn value(value: &Value<'_>) -> String {
    format!("{}{}", value.phrase.as_written(), params(value.params.as_ref()))
}

fn params(list: Option<&ParamList<'_>>) -> String {
    let Some(list) = list else {
        return String::new();
    };
    let params: Vec<String> = list
        .params
        .iter()
        .map(|param| {
            let value = match &param.value {
                ParamValue::String(text) => (*text).to_owned(),
                ParamValue::Quantity { number, unit: Some(unit) } => format!("{number} {unit}"),
                ParamValue::Quantity { number, unit: None } => (*number).to_owned(),
                ParamValue::Words(words) => words.as_written(),
            };
            format!("{} = {value}", param.name.as_written())
        })
        .collect();
    format!(" with ({})", params.join(", "))
}

/// Writes lines and the comments between them.
struct Printer<'a> {
    text: &'a str,
    out: String,
    /// Those not yet printed.
    comments: &'a [Comment<'a>],
    /// Where in the text the last thing printed ended.
    end: usize,
}

impl<'a> Printer<'a> {
    /// A line, with the comments before, in and behind it.
    fn line(&mut self, line: &Line, next_start: usize) {
        let indent = if line.indented { INDENT } else { "" };
        self.own_lines(line.span.start, indent);
        let mut blank_before = self.blank_before(line.span.start);
        while let Some(comment) = self.take(|comment| comment.span.start < line.span.end) {
            self.new_line(blank_before, indent, &comment_text(&comment));
            blank_before = false;
        }
        self.new_line(blank_before, indent, &line.text);
        self.end = line.span.end;
        while let Some(comment) = self.take_behind(next_start) {
            self.out.pop();
            self.out.push(' ');
            self.out.push_str(&comment_text(&comment));
            self.out.push('\n');
            self.end = comment.span.end;
        }
    }

    /// The comments up to `until`, each on lines of its own.
    fn own_lines(&mut self, until: usize, indent: &str) {
        while let Some(comment) = self.take(|comment| comment.span.start < until) {
            let blank_before = self.blank_before(comment.span.start);
            self.new_line(blank_before, indent, &comment_text(&comment));
            self.end = comment.span.end;
        }
    }

    fn new_line(&mut self, blank_before: bool, indent: &str, text: &str) {
        if blank_before && !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out.push_str(indent);
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn take(&mut self, wanted: impl Fn(&Comment<'a>) -> bool) -> Option<Comment<'a>> {
        let (first, rest) = self.comments.split_first()?;
        wanted(first).then(|| {
            self.comments = rest;
            *first
        })
    }

    /// The next comment if it stands on the line that was just ended, before the next statement.
    fn take_behind(&mut self, next_start: usize) -> Option<Comment<'a>> {
        let (text, end) = (self.text, self.end);
        self.take(|comment| {
            let same_line = line_ends(text.get(end..comment.span.start).unwrap_or_default()) == 0;
            same_line && comment.span.start < next_start
        })
    }

    fn blank_before(&self, start: usize) -> bool {
        line_ends(self.text.get(self.end..start).unwrap_or_default()) > 1
    }
}

/// How many lines end in the text, whichever of the three marks ends them.
fn line_ends(text: &str) -> usize {
    text.matches('\n').count() + text.matches('\r').count() - text.matches("\r\n").count()
}

fn comment_text(comment: &Comment<'_>) -> String {
    match comment.kind {
        CommentKind::Doc | CommentKind::Line => comment.text.trim_end().to_owned(),
        CommentKind::Block | CommentKind::Brace => comment.text.replace("\r\n", "\n").replace('\r', "\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str) -> String {
        let once = format(text).expect("the text parses");
        assert_eq!(format(&once).as_deref(), Ok(once.as_str()), "formatting twice changes nothing");
        once
    }

    #[test]
    fn lays_out_one_statement_per_line() {
        let text = "PROTOCOL  p with(f=2,failure unit=node) Receive :determinant:{source,ssn ,dest,rsn} log determinant,
            data\n asynchronously ON\n NFS disk\ncoordinated output\ncommit on write send:piggyback Vector  clock \
            protocol to detect orphans:broadcast logical clock on rollback : log determinant , message on NFS disk";
        let expected = "\
protocol p with (f = 2, failure unit = node)
Receive:
    determinant: {source, ssn, dest, rsn}
    Log determinant, data asynchronously on NFS disk
coordinated output commit on write
send:
    Piggyback Vector clock
Protocol to detect orphans: broadcast logical clock
On rollback: Log determinant, message on NFS disk
";
        assert_eq!(formatted(text), expected);
    }

    #[test]
    fn keeps_every_form_of_comment_where_it_was() {
        let text = "/// head\n\n\n// two /* not nested\n/* three */ send: // four\n{comment: five}\n  Piggyback /* six */ vector clock /* seven\n   lines */ // eight\n\n\n{ comment : nine }Log message synchronously on NFS disk\n// ten";
        let expected = "\
/// head

// two /* not nested
/* three */
send: // four
    {comment: five}
    /* six */
    Piggyback vector clock /* seven
   lines */ // eight

    { comment : nine }
    Log message synchronously on NFS disk
// ten
";
        assert_eq!(formatted(text), expected);
    }

    #[test]
    fn checkpoints_take_two_lines() {
        let text = "Independent checkpoint with (every = 1.5min) asynchronously on NFS disk with (path = \"/a b\") Implementation : incremental";
        let expected = "\
Independent checkpoint with (every = 1.5 min) asynchronously on NFS disk with (path = \"/a b\")
    Implementation: incremental
";
        assert_eq!(formatted(text), expected);
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(formatted(""), "");
        assert_eq!(formatted(" \r\n\t\n"), "");
        assert_eq!(
            formatted("\u{feff}// only\r\n\r\n\r\n/* this\r\nhere */"),
            "// only\n\n/* this\nhere */\n"
        );
    }

    #[test]
    fn leaves_alone_what_it_does_not_understand() {
        let errors = format("send: Piggyback").expect_err("nothing is piggybacked");
        assert_eq!(errors.len(), 1);
    }
}
