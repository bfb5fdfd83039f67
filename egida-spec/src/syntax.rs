//! The syntax tree: what stands in the text, in the text's own words and order, comments included.
//!
//! The formatter prints it; the lowering gives it its meaning.

use crate::protocol::Span;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File<'a> {
    /// The statements in the order written.
    pub items: Vec<Item<'a>>,
    /// All comments, in the order written.
    pub comments: Vec<Comment<'a>>,
}

impl File<'_> {
    /// The text of the `///` comments before the first statement, line by line.
    #[must_use]
    pub fn head_comments(&self) -> Vec<String> {
        let first = self.items.first().map_or(usize::MAX, |item| item.span().start);
        self.comments
            .iter()
            .filter(|comment| comment.kind == CommentKind::Doc && comment.span.start < first)
            .map(|comment| {
                let line = comment.text.strip_prefix("///").unwrap_or(comment.text).trim_end();
                line.strip_prefix(' ').unwrap_or(line).to_owned()
            })
            .collect()
    }
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// `protocol NAME with (...)`
    Header(Header<'a>),
    /// `EVENT: ...`
    Event(EventStmt<'a>),
    /// `... output commit on ...`
    OutputCommit(OutputCommit<'a>),
    /// `... checkpoint ... on ...`
    Checkpoint(Checkpoint<'a>),
    /// `Protocol to retrieve determinants: ...`
    Retrieve(Keyed<'a>),
    /// `Protocol to detect orphans: ...`
    Orphans(Keyed<'a>),
    /// `On rollback: ...`
    Rollback(Rollback<'a>),
    /// A line of an event statement outside of one.
    OrphanPart(EventPart<'a>),
    /// `Implementation: ...` outside of a checkpoint statement.
    OrphanImplementation(Keyed<'a>),
}

impl Item<'_> {
    /// The whole statement.
    #[must_use]
    pub const fn span(&self) -> Span {
        match self {
            Self::Header(stmt) => stmt.span,
            Self::Event(stmt) => stmt.span,
            Self::OutputCommit(stmt) => stmt.span,
            Self::Checkpoint(stmt) => stmt.span,
            Self::Retrieve(stmt) | Self::Orphans(stmt) | Self::OrphanImplementation(stmt) => stmt.span,
            Self::Rollback(stmt) => stmt.span,
            Self::OrphanPart(part) => part.span(),
        }
    }
}

/// Words as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words<'a> {
    /// Word by word.
    pub words: Vec<&'a str>,
    /// From the first to the last.
    pub span: Span,
}

impl Words<'_> {
    /// The words with one space between, letters as written.
    #[must_use]
    pub fn as_written(&self) -> String {
        self.words.join(" ")
    }
}

/// The header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name as written; a string still has its quotes.
    pub name: Words<'a>,
    /// Parameters of the protocol.
    pub params: Option<ParamList<'a>>,
    /// The whole statement.
    pub span: Span,
}

/// A statement about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventStmt<'a> {
    /// The event.
    pub event: Words<'a>,
    /// Parameters of the statement.
    pub params: Option<ParamList<'a>>,
    /// `EVENT:`
    pub head: Span,
    /// The lines below.
    pub parts: Vec<EventPart<'a>>,
    /// The whole statement.
    pub span: Span,
}

/// A line of an event statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventPart<'a> {
    /// `determinant: {...}`
    Determinant(Determinant<'a>),
    /// `Log ...`
    Log(Log<'a>),
    /// `Piggyback ...`
    Piggyback(Piggyback<'a>),
}

impl EventPart<'_> {
    /// The whole line.
    #[must_use]
    pub const fn span(&self) -> Span {
        match self {
            Self::Determinant(part) => part.span,
            Self::Log(part) => part.span,
            Self::Piggyback(part) => part.span,
        }
    }
}

/// `determinant: {source, sesn, dest, desn}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Determinant<'a> {
    /// The word before the colon.
    pub key: Words<'a>,
    /// The fields.
    pub fields: Vec<Words<'a>>,
    /// The whole line.
    pub span: Span,
}

/// `Log what how on where`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log<'a> {
    /// What is logged.
    pub what: Vec<Words<'a>>,
    /// How, unless left out.
    pub how: Option<Value<'a>>,
    /// The storage.
    pub storage: Value<'a>,
    /// The whole line.
    pub span: Span,
}

/// `Piggyback values`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piggyback<'a> {
    /// What is piggybacked.
    pub values: Vec<Value<'a>>,
    /// The whole line.
    pub span: Span,
}

/// `... output commit on events`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputCommit<'a> {
    /// How output is committed.
    pub proto: Value<'a>,
    /// Parameters of the statement.
    pub params: Option<ParamList<'a>>,
    /// The output events.
    pub events: Vec<Words<'a>>,
    /// The whole statement.
    pub span: Span,
}

/// `... checkpoint how on where  Implementation: ...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint<'a> {
    /// The checkpointing protocol.
    pub proto: Value<'a>,
    /// Parameters of the statement.
    pub params: Option<ParamList<'a>>,
    /// How the checkpoint is written, unless left out.
    pub how: Option<Value<'a>>,
    /// The storage.
    pub storage: Value<'a>,
    /// The first line, without the implementation.
    pub head: Span,
    /// The implementation, unless left out.
    pub implementation: Option<Keyed<'a>>,
    /// The whole statement.
    pub span: Span,
}

/// `KEYWORDS: value`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed<'a> {
    /// The value.
    pub value: Value<'a>,
    /// The whole statement.
    pub span: Span,
}

/// `On rollback: ...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback<'a> {
    /// What is done.
    pub action: RollbackAction<'a>,
    /// The whole statement.
    pub span: Span,
}

/// What is done on rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackAction<'a> {
    /// `Log ... on ...`
    Log(Log<'a>),
    /// `Take independent checkpoint on ...`
    Checkpoint(Value<'a>),
}

/// A value of the language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value<'a> {
    /// Its words.
    pub phrase: Words<'a>,
    /// Its parameters.
    pub params: Option<ParamList<'a>>,
}

/// `with (...)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamList<'a> {
    /// The parameters in the order written.
    pub params: Vec<Param<'a>>,
    /// From `with` to the closing mark.
    pub span: Span,
}

/// `name = value`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name.
    pub name: Words<'a>,
    /// The value.
    pub value: ParamValue<'a>,
    /// Where the value stands.
    pub value_span: Span,
    /// The whole parameter.
    pub span: Span,
}

/// The value of a parameter, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamValue<'a> {
    /// A string with its quotes.
    String(&'a str),
    /// A number, perhaps with a unit.
    Quantity {
        /// The digits.
        number: &'a str,
        /// The unit.
        unit: Option<&'a str>,
    },
    /// Bare words.
    Words(Words<'a>),
}

/// A comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comment<'a> {
    /// Its form.
    pub kind: CommentKind,
    /// All of it, marks included.
    pub text: &'a str,
    /// Where it stands.
    pub span: Span,
}

/// The forms of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentKind {
    /// `/// text`
    Doc,
    /// `// text`
    Line,
    /// `/* text */`
    Block,
    /// `{comment: text}`
    Brace,
}
