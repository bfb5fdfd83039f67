//! What is wrong with a specification, and where: a stable code, a sentence, underlined text, and what would mend it.

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};

use crate::protocol::{Origin, Span};

/// How many diagnostics one file gets at most: enough for anyone to read, and a bound on hostile input.
pub const MAX_DIAGNOSTICS: usize = 100;

/// Declares [`Code`]: the variant, its number as text, its severity.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal, $severity:ident;)+) => {
        /// The stable code of a diagnostic. A code is never given a second meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)+];

            /// The code as users see it, for example `EGD013`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Code::$variant => $text,)+
                }
            }

            /// Whether a diagnostic of this code refuses the specification, warns, or only tells.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self {
                    $(Code::$variant => Severity::$severity,)+
                }
            }
        }
    };
}

codes! {
    /// The text is not a statement of the language.
    Syntax = "EGD001", Error;
    /// A value is neither one of Figure 2 nor a registered one.
    UnknownValue = "EGD002", Error;
    /// An event, a field, or what to log: a word from a closed list was expected.
    UnknownWord = "EGD003", Error;
    /// A parameter that nothing here takes, or a value of the wrong type.
    Parameter = "EGD004", Error;
    /// Something that can be said once is said twice.
    Twice = "EGD005", Error;
    /// A statement lacks a part that it cannot do without.
    Incomplete = "EGD006", Error;
    /// The file is too large, or has too many errors to show.
    Limit = "EGD007", Error;
    /// Nothing is said about deliveries.
    Coverage = "EGD008", Error;
    /// An event stands where it has no role.
    Role = "EGD009", Error;
    /// Two statements of the same kind for one event.
    EventTwice = "EGD010", Error;
    /// `receive` and `choice` in one specification.
    ReceiveAndChoice = "EGD011", Error;
    /// A determinant lacks a field.
    Fields = "EGD012", Error;
    /// An optimistic protocol without a vector clock on its messages.
    OptimisticClock = "EGD013", Error;
    /// An optimistic protocol that does not detect orphans.
    OptimisticOrphans = "EGD014", Error;
    /// Neither determinants nor checkpoints survive.
    NothingRecovers = "EGD015", Error;
    /// Independent checkpoints alone may roll back to the start.
    Domino = "EGD016", Warning;
    /// The content of messages is lost.
    Payload = "EGD017", Error;
    /// Output is released before it is safe.
    Output = "EGD018", Error;
    /// A retrieval protocol that nothing needs.
    UnusedRetrieval = "EGD019", Warning;
    /// Orphan detection in a protocol that has no orphans.
    UnusedOrphans = "EGD020", Warning;
    /// A rollback statement without orphan detection.
    RollbackWithoutDetection = "EGD021", Error;
    /// What is saved on rollback does not survive.
    RollbackStorage = "EGD022", Error;
    /// The rollback statement logs less than the receive log holds.
    RollbackKinds = "EGD023", Error;
    /// Checkpoints do not survive.
    CheckpointStorage = "EGD024", Error;
    /// Communication-induced checkpoints without their counter.
    InducedCounter = "EGD025", Error;
    /// A matrix or vector that refines `determinants` without them.
    Refinement = "EGD026", Error;
    /// The output commit was filled in.
    OutputDefault = "EGD027", Advice;
    /// There is no checkpoint statement.
    NoCheckpoint = "EGD028", Advice;
    /// `f = 0` beside statements that ask for fault tolerance.
    FaultsNotAsked = "EGD029", Advice;
    /// An optimistic protocol that takes no notice of some deliveries.
    OptimisticDeliveries = "EGD030", Error;
}

impl Code {
    /// The code with that text, capitals or not.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a diagnostic does to the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something worth knowing, such as a default that was filled in.
    Advice,
    /// Accepted, but surely not meant.
    Warning,
    /// Refused.
    Error,
}

/// A piece of the text, underlined, and what is said under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The bytes underlined.
    pub span: Span,
    /// The words below.
    pub text: String,
}

/// One thing to say about a specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of thing.
    pub code: Code,
    /// One sentence, the user's own words in back-ticks.
    pub message: String,
    /// Where, the most telling place first. Empty if it is about what is *not* in the text.
    pub labels: Vec<Label>,
    /// What would mend it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic about no place in particular.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), labels: Vec::new(), help: None }
    }

    /// The same, with this piece of text underlined.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// The same, with the place underlined if it stands in the text at all.
    #[must_use]
    pub fn label_origin(self, origin: &Origin, text: impl Into<String>) -> Self {
        match origin {
            Origin::Written(span) => self.label(*span, text),
            Origin::Default(_) => self,
        }
    }

    /// The same, with a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What it does to the specification.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether it refuses the specification.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity() {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Advice => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.labels.is_empty() {
            return None;
        }
        Some(Box::new(self.labels.iter().map(|label| {
            let text = Some(label.text.clone()).filter(|text| !text.is_empty());
            LabeledSpan::new(text, label.span.start, label.span.end.saturating_sub(label.span.start))
        })))
    }
}

/// Whether any of them refuses the specification.
#[must_use]
pub fn any_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}

/// How [`render`] draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderStyle {
    /// Columns to fill.
    pub width: usize,
    /// ANSI colours.
    pub colour: bool,
}

impl Default for RenderStyle {
    /// A hundred columns without colours: for files and tests.
    fn default() -> Self {
        Self { width: 100, colour: false }
    }
}

/// The diagnostics as people read them, with the lines of `text` that they are about.
#[must_use]
pub fn render(file_name: &str, text: &str, diagnostics: &[Diagnostic], style: RenderStyle) -> String {
    let theme = if style.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(style.width).with_links(false);
    let mut rendered = String::new();
    for diagnostic in diagnostics {
        let report = miette::Report::new(diagnostic.clone().drawable(file_name, text))
            .with_source_code(NamedSource::new(file_name, text.to_owned()));
        if handler.render_report(&mut rendered, report.as_ref()).is_err() {
            // Writing to a string does not fail; should the handler refuse a report, its sentence is still said.
            rendered.push_str(&format!("{}: {}", diagnostic.code, diagnostic.message));
        }
        rendered.push('\n');
    }
    rendered
}

/// Lines that take more bytes than this, with their neighbours, are not drawn: nobody reads them, and the renderer has its limits.
const MAX_DRAWN_LINE: usize = 1_000;

impl Diagnostic {
    /// The same in a form that can be drawn: labels inside of `text`, on character boundaries, and on one line each.
    /// Where a line is too long to be drawn, or there is none, the sentence says the place instead.
    fn drawable(mut self, file_name: &str, text: &str) -> Self {
        for label in &mut self.labels {
            let end = char_boundary(text, label.span.end);
            let start = char_boundary(text, label.span.start.min(end));
            let first_line = text.get(start..end).unwrap_or_default().lines().next().unwrap_or_default();
            label.span = Span { start, end: start + first_line.len() };
        }
        let too_long = |label: &Label| lines_around(text, label.span.start).len() > MAX_DRAWN_LINE;
        if self.labels.iter().any(too_long) {
            if let Some(first) = self.labels.first() {
                let before = text.get(..first.span.start).unwrap_or_default();
                let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
                let line = before.matches('\n').count() + 1;
                self.message = format!("{} (line {line}, column {column}: {})", self.message, first.text);
            }
            self.labels.clear();
        }
        if self.labels.is_empty() {
            // No line is drawn that would name the file.
            self.message = format!("{file_name}: {}", self.message);
        }
        self
    }
}

/// The line with the byte `at` and the two beside it, which are drawn with it.
fn lines_around(text: &str, at: usize) -> &str {
    let (before, behind) = text.split_at_checked(at).unwrap_or((text, ""));
    let start = before.rmatch_indices('\n').nth(1).map_or(0, |(at, _)| at + 1);
    let end = behind.match_indices('\n').nth(1).map_or(text.len(), |(offset, _)| before.len() + offset);
    text.get(start..end).unwrap_or(text)
}

/// The last boundary of a character that is not behind `at`.
fn char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The known word or phrase that `wrong` was most likely meant to be.
#[must_use]
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Far-fetched guesses help nobody; four edits in ten characters still read as a slip.
    const LIKELY: f64 = 0.6;
    known
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(wrong, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKELY)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// "`a`, `b` or `c`".
#[must_use]
pub fn one_of<'a>(known: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = known.into_iter().map(|word| format!("`{word}`")).collect();
    join_or(&quoted)
}

/// "a, b or c".
pub(crate) fn join_or(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The help line for a miss: the nearest known word, or all of them.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("expected {}", one_of(known)),
    }
}
