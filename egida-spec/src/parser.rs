//! Text to syntax tree.
//!
//! One pass of the pest grammar covers the whole file; what does not parse comes back as `unparsable` pieces, and each
//! piece is then parsed once more on its own to learn what was expected where.

use pest::Parser as _;
use pest::iterators::Pair;

use crate::diagnostic::{Code, Diagnostic, MAX_DIAGNOSTICS};
use crate::protocol::Span;
use crate::syntax::{
    Checkpoint, Comment, CommentKind, Determinant, EventPart, EventStmt, File, Header, Item, Keyed, Log,
    OutputCommit, Param, ParamList, ParamValue, Piggyback, Rollback, RollbackAction, Value, Words,
};

/// The largest specification that is read. The paper's are half a kilobyte.
pub const MAX_BYTES: usize = 1 << 16;

mod grammar {
    //! The parser that pest derives; its rules are documented in `grammar.pest`.
    #![allow(missing_docs)]

    #[derive(pest_derive::Parser)]
    #[grammar = "grammar.pest"]
    pub struct Grammar;
}
use grammar::{Grammar, Rule};

mod syntax_error;
use syntax_error::{Text, keyword, mark};

/// Parses a file. Whatever is wrong with it, the tree holds the statements that could be read.
#[must_use]
pub fn parse(text: &str) -> (File<'_>, Vec<Diagnostic>) {
    let mut reader =
        Reader { text, comments: Vec::new(), diagnostics: Vec::new(), previous: None, after_error: false };
    let mut items = Vec::new();
    if text.len() > MAX_BYTES {
        reader.diagnostics.push(
            Diagnostic::new(
                Code::Limit,
                format!("the specification has {} bytes, {MAX_BYTES} are allowed", text.len()),
            )
            .help("a specification names a protocol in some ten lines; is this the right file?"),
        );
        return (File { items, comments: Vec::new() }, reader.diagnostics);
    }
    match Grammar::parse(Rule::specification, text) {
        Ok(pairs) => {
            reader.collect_comments(pairs.clone());
            for pair in pairs.flat_map(Pair::into_inner) {
                if let Some(item) = reader.item(pair) {
                    items.push(item);
                }
            }
        }
        Err(error) => {
            let text = Text { text, comments: &[] };
            reader.diagnostics.push(syntax_error::diagnostic(text, &error, 0));
        }
    }
    reader.diagnostics.sort_by_key(|diagnostic| diagnostic.labels.first().map(|label| label.span.start));
    (File { items, comments: reader.comments }, reader.diagnostics)
}

/// Turns pest's pairs into the tree.
struct Reader<'a> {
    text: &'a str,
    comments: Vec<Comment<'a>>,
    diagnostics: Vec<Diagnostic>,
    /// The statement or line read just before, unless it was unparsable: an error often belongs to its end.
    previous: Option<Span>,
    /// Nothing was understood since the last error, so lines without a statement of their own may belong to one that
    /// was not understood.
    after_error: bool,
}

impl<'a> Reader<'a> {
    fn collect_comments(&mut self, pairs: pest::iterators::Pairs<'a, Rule>) {
        for pair in pairs.flatten() {
            let kind = match pair.as_rule() {
                Rule::doc_comment => CommentKind::Doc,
                Rule::line_comment => CommentKind::Line,
                Rule::block_comment => CommentKind::Block,
                Rule::brace_comment => CommentKind::Brace,
                _ => continue,
            };
            let span = span_of(&pair);
            if let Some(unclosed) = pair.clone().into_inner().find(|inner| inner.as_rule() == Rule::unclosed)
            {
                let mark = if kind == CommentKind::Block { "*/" } else { "}" };
                let opening = if kind == CommentKind::Block { span.start + 2 } else { span.start + 1 };
                self.diagnostics.push(
                    Diagnostic::new(Code::Syntax, "this comment is never closed")
                        .label(Span { start: span.start, end: opening }, "opened here")
                        .help(format!("close it with `{mark}`")),
                );
                debug_assert!(unclosed.as_str().is_empty(), "the end of input has no text");
            }
            self.comments.push(Comment { kind, text: pair.as_str(), span });
        }
    }

    fn item(&mut self, pair: Pair<'a, Rule>) -> Option<Item<'a>> {
        let span = span_of(&pair);
        let item = match pair.as_rule() {
            Rule::header => Item::Header(header(pair)),
            Rule::event_stmt => {
                self.after_error = false;
                return Some(Item::Event(self.event_stmt(pair)));
            }
            Rule::output_commit_stmt => Item::OutputCommit(output_commit(pair)),
            Rule::ckpt_stmt => Item::Checkpoint(checkpoint(pair)),
            Rule::recovery_get_det_stmt => Item::Retrieve(keyed(pair)),
            Rule::orphan_detection_stmt => Item::Orphans(keyed(pair)),
            Rule::rollback_stmt => Item::Rollback(rollback(pair)),
            Rule::orphan_part if self.after_error => return None,
            Rule::orphan_part => {
                let part = inner(pair).next()?;
                if part.as_rule() == Rule::implementation {
                    Item::OrphanImplementation(keyed(part))
                } else {
                    Item::OrphanPart(event_part(part)?)
                }
            }
            Rule::unparsable => {
                self.unparsable(&pair);
                return None;
            }
            _ => return None,
        };
        self.previous = Some(span);
        self.after_error = false;
        Some(item)
    }

    fn event_stmt(&mut self, pair: Pair<'a, Rule>) -> EventStmt<'a> {
        let span = span_of(&pair);
        let mut stmt = EventStmt {
            event: Words { words: Vec::new(), span },
            params: None,
            head: span,
            parts: Vec::new(),
            span,
        };
        for child in inner(pair) {
            let child_span = span_of(&child);
            match child.as_rule() {
                Rule::event_head => {
                    stmt.head = child_span;
                    for part in inner(child) {
                        match part.as_rule() {
                            Rule::event => stmt.event = one_word(&part),
                            Rule::params => stmt.params = Some(params(part)),
                            _ => {}
                        }
                    }
                }
                Rule::unparsable => {
                    self.unparsable(&child);
                    continue;
                }
                _ => stmt.parts.extend(event_part(child)),
            }
            stmt.span.end = child_span.end;
            self.previous = Some(child_span);
        }
        stmt
    }

    /// Says what was expected where, unless enough was said already.
    fn unparsable(&mut self, pair: &Pair<'a, Rule>) {
        let previous = self.previous.take();
        self.after_error = true;
        if self.diagnostics.len() <= MAX_DIAGNOSTICS {
            let text = Text { text: self.text, comments: &self.comments };
            self.diagnostics.push(syntax_error::explain(text, span_of(pair), previous));
        }
    }
}

fn header(pair: Pair<'_, Rule>) -> Header<'_> {
    let span = span_of(&pair);
    let mut header = Header { name: Words { words: Vec::new(), span }, params: None, span };
    for child in inner(pair) {
        match child.as_rule() {
            Rule::word | Rule::string => header.name = one_word(&child),
            Rule::params => header.params = Some(params(child)),
            _ => {}
        }
    }
    header
}

fn event_part(pair: Pair<'_, Rule>) -> Option<EventPart<'_>> {
    Some(match pair.as_rule() {
        Rule::determinant_stmt => EventPart::Determinant(determinant(pair)),
        Rule::logging_stmt => EventPart::Log(log(pair)),
        Rule::piggyback_stmt => {
            let span = span_of(&pair);
            let values = inner(pair).filter(|child| child.as_rule() == Rule::value).map(value).collect();
            EventPart::Piggyback(Piggyback { values, span })
        }
        _ => return None,
    })
}

fn determinant(pair: Pair<'_, Rule>) -> Determinant<'_> {
    let span = span_of(&pair);
    let mut determinant = Determinant { key: Words { words: Vec::new(), span }, fields: Vec::new(), span };
    for child in inner(pair) {
        match child.as_rule() {
            Rule::word => determinant.key = one_word(&child),
            Rule::determinant_structure => {
                determinant.fields = inner(child).map(|field| one_word(&field)).collect()
            }
            _ => {}
        }
    }
    determinant
}

fn log(pair: Pair<'_, Rule>) -> Log<'_> {
    let span = span_of(&pair);
    let mut log = Log { what: Vec::new(), how: None, storage: no_value(span), span };
    for child in inner(pair) {
        match child.as_rule() {
            Rule::event_info_list => log.what = inner(child).map(|info| one_word(&info)).collect(),
            Rule::how => log.how = inner(child).next().map(value),
            Rule::value => log.storage = value(child),
            _ => {}
        }
    }
    log
}

fn output_commit(pair: Pair<'_, Rule>) -> OutputCommit<'_> {
    let span = span_of(&pair);
    let mut stmt = OutputCommit { proto: no_value(span), params: None, events: Vec::new(), span };
    for child in inner(pair) {
        match child.as_rule() {
            Rule::lead => stmt.proto.phrase = words(child),
            Rule::params => stmt.proto.params = Some(params(child)),
            Rule::stmt_params => stmt.params = inner(child).next().map(params),
            Rule::event => stmt.events.push(one_word(&child)),
            _ => {}
        }
    }
    stmt
}

fn checkpoint(pair: Pair<'_, Rule>) -> Checkpoint<'_> {
    let span = span_of(&pair);
    let mut stmt = Checkpoint {
        proto: no_value(span),
        params: None,
        how: None,
        storage: no_value(span),
        head: span,
        implementation: None,
        span,
    };
    for child in inner(pair) {
        match child.as_rule() {
            Rule::lead => stmt.proto.phrase = words(child),
            Rule::params => stmt.proto.params = Some(params(child)),
            Rule::stmt_params => stmt.params = inner(child).next().map(params),
            Rule::how => stmt.how = inner(child).next().map(value),
            Rule::value => {
                stmt.head.end = span_of(&child).end;
                stmt.storage = value(child);
            }
            Rule::implementation => stmt.implementation = Some(keyed(child)),
            _ => {}
        }
    }
    stmt
}

fn keyed(pair: Pair<'_, Rule>) -> Keyed<'_> {
    let span = span_of(&pair);
    let value =
        inner(pair).find(|child| child.as_rule() == Rule::value).map_or_else(|| no_value(span), value);
    Keyed { value, span }
}

fn rollback(pair: Pair<'_, Rule>) -> Rollback<'_> {
    let span = span_of(&pair);
    let mut action = RollbackAction::Checkpoint(no_value(span));
    for child in inner(pair) {
        match child.as_rule() {
            Rule::logging_stmt => action = RollbackAction::Log(log(child)),
            Rule::rb_ckpt_stmt => action = RollbackAction::Checkpoint(keyed(child).value),
            _ => {}
        }
    }
    Rollback { action, span }
}

fn value(pair: Pair<'_, Rule>) -> Value<'_> {
    let mut value = no_value(span_of(&pair));
    for child in inner(pair) {
        match child.as_rule() {
            Rule::phrase => value.phrase = words(child),
            Rule::params => value.params = Some(params(child)),
            _ => {}
        }
    }
    value
}

fn params(pair: Pair<'_, Rule>) -> ParamList<'_> {
    let span = span_of(&pair);
    ParamList {
        params: inner(pair).filter(|child| child.as_rule() == Rule::param).filter_map(param).collect(),
        span,
    }
}

fn param(pair: Pair<'_, Rule>) -> Option<Param<'_>> {
    let span = span_of(&pair);
    let mut children = inner(pair);
    let name = words(children.next()?);
    let child = children.next()?;
    let value_span = span_of(&child);
    let value = match child.as_rule() {
        Rule::string => ParamValue::String(child.as_str()),
        Rule::quantity => {
            let mut parts = inner(child);
            let number = parts.next()?.as_str();
            ParamValue::Quantity { number, unit: parts.next().map(|unit| unit.as_str()) }
        }
        _ => ParamValue::Words(words(child)),
    };
    Some(Param { name, value, value_span, span })
}

fn words(pair: Pair<'_, Rule>) -> Words<'_> {
    let span = span_of(&pair);
    Words { words: inner(pair).map(|word| word.as_str()).collect(), span }
}

fn one_word<'a>(pair: &Pair<'a, Rule>) -> Words<'a> {
    Words { words: vec![pair.as_str()], span: span_of(pair) }
}

/// Stands in until the child that the grammar demands is read.
const fn no_value<'a>(span: Span) -> Value<'a> {
    Value { phrase: Words { words: Vec::new(), span }, params: None }
}

/// The children that mean something: neither comments nor keywords nor marks.
fn inner(pair: Pair<'_, Rule>) -> impl Iterator<Item = Pair<'_, Rule>> {
    pair.into_inner().filter(|child| {
        !is_comment(child.as_rule()) && keyword(child.as_rule()).is_none() && mark(child.as_rule()).is_none()
    })
}

/// Where the pair's own text stands: pest counts the space and the comments behind it in when something optional might
/// have followed.
fn span_of(pair: &Pair<'_, Rule>) -> Span {
    let (start, text) = (pair.as_span().start(), pair.as_str());
    if is_comment(pair.as_rule()) {
        return Span { start, end: start + text.len() };
    }
    let comments: Vec<Span> = pair
        .clone()
        .into_inner()
        .flatten()
        .filter(|child| is_comment(child.as_rule()))
        .map(|child| Span { start: child.as_span().start(), end: child.as_span().end() })
        .collect();
    let trimmed =
        |end: usize| start + text.get(..end - start).unwrap_or(text).trim_end_matches(is_blank).len();
    let mut end = trimmed(start + text.len());
    for comment in comments.iter().rev() {
        if comment.end == end {
            end = trimmed(comment.start);
        }
    }
    Span { start, end }
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{feff}')
}

const fn is_comment(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::doc_comment
            | Rule::line_comment
            | Rule::block_comment
            | Rule::brace_comment
            | Rule::unclosed
            | Rule::EOI
    )
}
