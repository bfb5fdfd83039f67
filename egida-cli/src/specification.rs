//! A specification on its way to a stack: from a file or from a link unit, and what to say if it gets no further.

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::Path;

use egida_core::binder::BindError;
use egida_core::link_unit::LinkedSpecification;
use egida_spec::diagnostic::{Diagnostic, RenderStyle, render};
use egida_spec::protocol::{Protocol, Span};
use egida_spec::{Vocabulary, load_with};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};

use crate::relink::{RelinkError, linked_specification};

/// A specification that was read and understood. Whether it binds is another question.
#[derive(Debug)]
pub struct Specification {
    /// The name to show, and to name a protocol without a header by.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What it means.
    pub protocol: Protocol,
}

/// Why a specification gets no further.
#[derive(Debug)]
pub enum Refusal {
    /// The file cannot be read, or is no text.
    Unreadable(String, io::Error),
    /// The program's link unit cannot be used.
    Unlinked(RelinkError),
    /// The text is not understood.
    NotUnderstood(LinkedSpecification, Vec<Diagnostic>),
    /// It cannot recover, or names what this build does not have, or does not fit the job.
    DoesNotBind(LinkedSpecification, Vec<BindError>),
}

impl Specification {
    /// Reads a file: a specification, or a program that was linked with one.
    ///
    /// # Errors
    /// Any [`Refusal`] but the one to bind.
    pub fn read(path: &Path, vocabulary: &Vocabulary) -> Result<Self, Refusal> {
        let name = path.display().to_string();
        match linked_specification(path) {
            Ok(Some(linked)) => return Self::understand(linked, vocabulary),
            Ok(None) => {}
            Err(RelinkError::Io { error, .. }) => return Err(Refusal::Unreadable(name, error)),
            Err(error) => return Err(Refusal::Unlinked(error)),
        }
        let text = std::fs::read_to_string(path).map_err(|error| Refusal::Unreadable(name.clone(), error))?;
        Self::understand(LinkedSpecification { name, text }, vocabulary)
    }

    /// Takes in a text that is here already.
    ///
    /// # Errors
    /// [`Refusal::NotUnderstood`].
    pub fn understand(linked: LinkedSpecification, vocabulary: &Vocabulary) -> Result<Self, Refusal> {
        let loaded = load_with(&linked.name, &linked.text, vocabulary);
        match loaded.protocol {
            Some(protocol) => Ok(Self { name: linked.name, text: linked.text, protocol }),
            None => Err(Refusal::NotUnderstood(linked, loaded.diagnostics)),
        }
    }

    /// The refusal to bind it.
    #[must_use]
    pub fn refused(self, errors: Vec<BindError>) -> Refusal {
        Refusal::DoesNotBind(LinkedSpecification { name: self.name, text: self.text }, errors)
    }
}

impl Refusal {
    /// What to say on standard error: the lines in question underlined.
    #[must_use]
    pub fn report(&self, style: RenderStyle) -> String {
        match self {
            Self::Unreadable(name, error) => format!("egida: cannot read `{name}`: {error}\n"),
            Self::Unlinked(error) => format!("egida: {error}\n"),
            Self::NotUnderstood(source, diagnostics) => {
                render(&source.name, &source.text, diagnostics, style)
            }
            Self::DoesNotBind(source, errors) => {
                errors.iter().map(|error| render_bind_error(source, error, style)).collect()
            }
        }
    }
}

/// How to draw on standard error: colours for people, unless they asked for none (<https://no-color.org>).
#[must_use]
pub fn style_of_stderr() -> RenderStyle {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    RenderStyle { colour: io::stderr().is_terminal() && !no_colour, ..RenderStyle::default() }
}

fn render_bind_error(source: &LinkedSpecification, error: &BindError, style: RenderStyle) -> String {
    if let BindError::Unsound(diagnostic) = error {
        return render(&source.name, &source.text, std::slice::from_ref(diagnostic), style);
    }
    let theme = if style.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(style.width).with_links(false);
    let shown = Shown { message: error.to_string(), span: error.span(), label: label(error) };
    let report =
        miette::Report::new(shown).with_source_code(NamedSource::new(&source.name, source.text.clone()));
    let mut rendered = String::new();
    if handler.render_report(&mut rendered, report.as_ref()).is_err() {
        // Writing to a string does not fail; should the handler refuse the report, its sentence is still said.
        rendered = format!("egida: {error}");
    }
    rendered.push('\n');
    rendered
}

fn label(error: &BindError) -> &'static str {
    match error {
        BindError::NotImplemented { .. } => "no module implements this",
        BindError::NoImages { .. } => "this runtime cannot do that",
        BindError::Shape { .. } => "this does not fit the job",
        BindError::Unsound(_) => "",
    }
}

/// A bind error with its place, as the diagnostics library wants it.
#[derive(Debug)]
struct Shown {
    message: String,
    span: Option<Span>,
    label: &'static str,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Shown {}

impl miette::Diagnostic for Shown {
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.span?;
        let label = Some(self.label.to_owned());
        Some(Box::new(std::iter::once(LabeledSpan::new(label, span.start, span.end - span.start))))
    }
}
