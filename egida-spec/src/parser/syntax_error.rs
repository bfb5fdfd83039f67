//! What was expected where a statement did not parse: pest's positions and rules in the user's words.

use pest::Parser as _;
use pest::error::{Error, ErrorVariant, InputLocation};

use super::grammar::{Grammar, Rule};
use super::is_blank;
use crate::diagnostic::{Code, Diagnostic, join_or};
use crate::protocol::Span;
use crate::syntax::Comment;

/// A text and where its comments are, in order.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub text: &'a str,
    pub comments: &'a [Comment<'a>],
}

impl<'a> Text<'a> {
    /// The text up to `at` without the space and the comments at its end.
    fn before(self, at: usize) -> &'a str {
        let trimmed = |at: usize| self.text.get(..at).unwrap_or(self.text).trim_end_matches(is_blank);
        let mut before = trimmed(at);
        let later = self.comments.partition_point(|comment| comment.span.end <= before.len());
        for comment in self.comments.iter().take(later).rev() {
            if comment.span.end != before.len() {
                break;
            }
            before = trimmed(comment.span.start);
        }
        before
    }
}

/// Explains a piece of text in which no statement was found. It is parsed again together with the statement before it,
/// which may have ended too early (`Piggyback determinants,`), and alone; whichever gets further tells.
pub(super) fn explain(text: Text<'_>, piece: Span, previous: Option<Span>) -> Diagnostic {
    let upto = text.text.get(..piece.end).unwrap_or(text.text);
    let error_from = |start: usize| {
        let piece = upto.get(start..)?;
        Grammar::parse(Rule::only_statement, piece).err().map(|error| (start, error))
    };
    let reach = |candidate: &(usize, Error<Rule>)| candidate.0 + error_offset(&candidate.1);
    let alone = error_from(piece.start);
    let with_previous = previous.and_then(|previous| error_from(previous.start)).filter(names_something);
    // At a tie, a statement that stands on the same line goes on.
    let with_previous = with_previous.filter(|with_previous| {
        let (with_previous, alone) = (reach(with_previous), alone.as_ref().map_or(0, reach));
        with_previous > alone || with_previous == alone && starts_inside_line(upto, piece.start)
    });
    match with_previous.or(alone) {
        Some((start, error)) => diagnostic(text, &error, start),
        None => Diagnostic::new(Code::Syntax, "this does not belong here").label(piece, "unexpected"),
    }
}

/// pest's error in the user's words. `start` is where the piece that was parsed begins in the text.
pub(super) fn diagnostic(text: Text<'_>, error: &Error<Rule>, start: usize) -> Diagnostic {
    let at = start + error_offset(error);
    let mut expected: Vec<String> = Vec::new();
    if let ErrorVariant::ParsingError { positives, .. } = &error.variant {
        for description in positives.iter().filter_map(|rule| expectation(*rule)) {
            if !expected.contains(&description) {
                expected.push(description);
            }
        }
    }
    let statement = expected.iter().position(|description| description == STATEMENT);
    if let Some(statement) = statement {
        // Where any statement may stand, its many beginnings say less than the word.
        expected = vec![expected.swap_remove(statement)];
    }
    let expected = join_or(&expected);
    let found = token_at(text.text, at);
    let before = token_before(text, found.start);
    let diagnostic = if statement.is_none() && ends_line(text.text, before, found) {
        let label = if expected.is_empty() { expected } else { format!("expected {expected} behind this") };
        Diagnostic::new(Code::Syntax, "the statement ends too early").label(before, label)
    } else {
        let label =
            if expected.is_empty() { "not understood".to_owned() } else { format!("expected {expected}") };
        let found_text = text.text.get(found.start..found.end).unwrap_or_default();
        Diagnostic::new(Code::Syntax, format!("unexpected `{found_text}`")).label(found, label)
    };
    if let Some((word, keyword)) = misspelt_keyword(text.text, start, found.end) {
        diagnostic.help(format!("did you mean `{keyword}` where it says `{word}`?"))
    } else if statement.is_some() {
        diagnostic.help(
            "a statement begins with an event and a colon, with `Protocol to` or `On rollback`, or with a value \
             followed by `output commit` or `checkpoint`; `Log` and `Piggyback` stand below an event",
        )
    } else {
        diagnostic
    }
}

/// The first word of the statement, up to where it was given up, that is a keyword but for a slip.
fn misspelt_keyword(text: &str, start: usize, end: usize) -> Option<(&str, &'static str)> {
    // Shorter words are one slip away from too many others; and a statement has less than this many words.
    const SHORTEST: usize = 5;
    const MOST_WORDS: usize = 32;
    let statement = text.get(start..end)?;
    let words =
        statement.split(|c: char| !is_word_char(c)).filter(|word| word.len() >= SHORTEST).take(MOST_WORDS);
    words.into_iter().find_map(|word| {
        let lower = word.to_ascii_lowercase();
        if KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(&lower)) {
            return None;
        }
        let near = |keyword: &&&str| {
            keyword.len() >= SHORTEST
                && strsim::damerau_levenshtein(&lower, &keyword.to_ascii_lowercase()) <= 2
        };
        KEYWORDS.iter().find(near).map(|keyword| (word, *keyword))
    })
}

/// The words that the grammar itself knows, as it shows them.
const KEYWORDS: [&str; 18] = [
    "checkpoint",
    "commit",
    "detect",
    "determinant",
    "determinants",
    "Implementation",
    "independent",
    "Log",
    "on",
    "orphans",
    "output",
    "Piggyback",
    "protocol",
    "retrieve",
    "rollback",
    "Take",
    "to",
    "with",
];

fn error_offset(error: &Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    }
}

/// Whether the error says what was expected; where pest only looked ahead, it does not.
fn names_something((_, error): &(usize, Error<Rule>)) -> bool {
    match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => {
            positives.iter().any(|rule| expectation(*rule).is_some())
        }
        ErrorVariant::CustomError { .. } => true,
    }
}

/// Whether something other than space stands before `at` on its line.
fn starts_inside_line(text: &str, at: usize) -> bool {
    let line = text.get(..at).unwrap_or_default().rsplit(['\n', '\r']).next().unwrap_or_default();
    !line.trim().is_empty()
}

const fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// The word or mark at `at`.
fn token_at(text: &str, at: usize) -> Span {
    let rest = text.get(at..).unwrap_or_default();
    let start = at + (rest.len() - rest.trim_start().len());
    let rest = text.get(start..).unwrap_or_default();
    let word: usize = rest.chars().take_while(|c| is_word_char(*c)).map(char::len_utf8).sum();
    let length = if word > 0 { word } else { rest.chars().next().map_or(0, char::len_utf8) };
    Span { start, end: start + length }
}

/// The word or mark before `at`.
fn token_before(text: Text<'_>, at: usize) -> Span {
    let before = text.before(at);
    let word: usize = before.chars().rev().take_while(|c| is_word_char(*c)).map(char::len_utf8).sum();
    let length = if word > 0 { word } else { before.chars().next_back().map_or(0, char::len_utf8) };
    Span { start: before.len() - length, end: before.len() }
}

/// Whether the text between two tokens ends a line, or the text ends there: then something is missing behind the first,
/// and the second is innocent.
fn ends_line(text: &str, before: Span, found: Span) -> bool {
    let between = text.get(before.end..found.start).unwrap_or_default();
    before.start < before.end && (found.start == found.end || between.contains(['\n', '\r']))
}

const STATEMENT: &str = "a statement";

/// What a rule is called in an error, or nothing if it is not worth naming.
fn expectation(rule: Rule) -> Option<String> {
    if let Some(keyword) = keyword(rule) {
        return Some(format!("`{keyword}`"));
    }
    if let Some(mark) = mark(rule) {
        return Some(format!("`{mark}`"));
    }
    let name = match rule {
        Rule::header
        | Rule::event_stmt
        | Rule::output_commit_stmt
        | Rule::ckpt_stmt
        | Rule::recovery_get_det_stmt
        | Rule::orphan_detection_stmt
        | Rule::rollback_stmt
        | Rule::orphan_part
        | Rule::only_statement
        | Rule::specification => STATEMENT,
        Rule::event | Rule::event_head => "an event",
        Rule::determinant_stmt => "`determinant:`",
        Rule::determinant_structure => "`{`",
        Rule::field => "a field of the determinant",
        Rule::logging_stmt => "`Log`",
        Rule::rb_ckpt_stmt => "`Take independent checkpoint`",
        Rule::piggyback_stmt => "`Piggyback`",
        Rule::event_info_list | Rule::event_info => "`determinant` or `message`",
        Rule::how | Rule::value | Rule::phrase | Rule::lead => "a value",
        Rule::params | Rule::stmt_params => "`with`",
        Rule::param | Rule::words => "words",
        Rule::quantity | Rule::number => "a number",
        Rule::unit => "a unit",
        Rule::string => "a string",
        Rule::word => "a word",
        Rule::implementation => "`Implementation:`",
        Rule::EOI => "the end of the statement",
        _ => return None,
    };
    Some(name.to_owned())
}

/// The keyword that a rule stands for.
pub(super) const fn keyword(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::kw_checkpoint => "checkpoint",
        Rule::kw_commit => "commit",
        Rule::kw_detect => "detect",
        Rule::kw_determinant => "determinant",
        Rule::kw_determinants => "determinants",
        Rule::kw_implementation => "Implementation",
        Rule::kw_independent => "independent",
        Rule::kw_log => "Log",
        Rule::kw_on => "on",
        Rule::kw_orphans => "orphans",
        Rule::kw_output => "output",
        Rule::kw_piggyback => "Piggyback",
        Rule::kw_protocol => "Protocol",
        Rule::kw_retrieve => "retrieve",
        Rule::kw_rollback => "rollback",
        Rule::kw_take => "Take",
        Rule::kw_to => "to",
        Rule::kw_with => "with",
        _ => return None,
    })
}

/// The mark that a rule stands for.
pub(super) const fn mark(rule: Rule) -> Option<char> {
    Some(match rule {
        Rule::colon => ':',
        Rule::comma => ',',
        Rule::equals => '=',
        Rule::open => '(',
        Rule::close => ')',
        Rule::open_brace => '{',
        Rule::close_brace => '}',
        _ => return None,
    })
}
