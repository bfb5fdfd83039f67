//! `egida check`, `egida fmt`, `egida explain`: the specification language on the command line.
//!
//! Verdicts and formatted names go to standard output, diagnostics to standard error. Exit codes: 0 for accepted, 1 for
//! refused (or, with `fmt --check`, not formatted), 2 for a file that cannot be read or written and for an unknown code.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use egida_spec::diagnostic::{Diagnostic, RenderStyle, any_error, nearest, render};
use egida_spec::protocol::{FailureUnit, Origin, Protocol, Tolerance};
use egida_spec::{Judgement, Vocabulary, check_with, declared_unit, load_with, tolerance};

use crate::pages::{PAGES, page};

/// Everything is as it should be.
const ACCEPTED: u8 = 0;
/// A specification cannot recover, is not understood, or is not formatted.
const REFUSED: u8 = 1;
/// The question could not be asked: a file cannot be read, a code does not exist.
const UNUSABLE: u8 = 2;

/// Judge specifications: can they recover, and of which class are they?
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The specifications
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Judge by this failure unit instead of the one that the specification declares (`node` if it declares none)
    #[arg(long, value_enum, value_name = "UNIT")]
    pub failure_unit: Option<FailureUnitArg>,
}

/// Lay specifications out in the one format.
#[derive(Debug, Clone, Args)]
pub struct FmtArgs {
    /// The specifications
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Change nothing; name the files that are not formatted and exit with 1 if there are any
    #[arg(long)]
    pub check: bool,
}

/// Explain a protocol in a page, or a diagnostic's code with an example and the mend.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// A protocol of this repository, for example `causal`, or a code, for example `EGD015`; all are listed if it is left out
    #[arg(value_name = "PROTOCOL|CODE")]
    pub what: Option<String>,
}

/// A failure unit as the command line spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailureUnitArg {
    /// A process dies; the memory of its node survives
    Process,
    /// A node dies with every process on it and all of its memory
    Node,
}

impl From<FailureUnitArg> for FailureUnit {
    fn from(unit: FailureUnitArg) -> Self {
        match unit {
            FailureUnitArg::Process => Self::Process,
            FailureUnitArg::Node => Self::Node,
        }
    }
}

/// `egida check FILES... [--failure-unit U]`
#[must_use]
pub fn check(args: &CheckArgs, vocabulary: &Vocabulary) -> ExitCode {
    finish(check_to(args, vocabulary, &mut Terminal::open()))
}

/// `egida fmt [--check] FILES...`
#[must_use]
pub fn fmt(args: &FmtArgs) -> ExitCode {
    finish(fmt_to(args, &mut Terminal::open()))
}

/// `egida explain [CODE|PROTOCOL]`
#[must_use]
pub fn explain(args: &ExplainArgs) -> ExitCode {
    finish(explain_to(args, &mut Terminal::open()))
}

/// Where the commands write, and how.
struct Terminal<'a> {
    out: Box<dyn Write + 'a>,
    err: Box<dyn Write + 'a>,
    style: RenderStyle,
}

impl Terminal<'static> {
    fn open() -> Self {
        // As other tools do: colours for people, unless they asked for none (https://no-color.org).
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = io::stderr().is_terminal() && !no_colour;
        let style = RenderStyle { colour, ..RenderStyle::default() };
        Self { out: Box::new(io::stdout().lock()), err: Box::new(io::stderr().lock()), style }
    }
}

/// A reader that went away (`egida check ... | head`) is no error; any other failure to write is.
fn finish(result: io::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(UNUSABLE),
    }
}

fn check_to(args: &CheckArgs, vocabulary: &Vocabulary, terminal: &mut Terminal<'_>) -> io::Result<u8> {
    let unit = args.failure_unit.map(FailureUnit::from);
    let mut worst = ACCEPTED;
    for path in &args.files {
        worst = worst.max(match read(path, terminal)? {
            Some(text) => check_file(path, &text, unit, vocabulary, terminal)?,
            None => UNUSABLE,
        });
    }
    Ok(worst)
}

fn check_file(
    path: &Path,
    text: &str,
    asked: Option<FailureUnit>,
    vocabulary: &Vocabulary,
    terminal: &mut Terminal<'_>,
) -> io::Result<u8> {
    let name = path.display().to_string();
    let loaded = load_with(&name, text, vocabulary);
    let Some(protocol) = loaded.protocol else {
        writeln!(terminal.out, "{name}: refused, it is not understood")?;
        write!(terminal.err, "{}", render(&name, text, &loaded.diagnostics, terminal.style))?;
        return Ok(REFUSED);
    };
    let decisive = asked.unwrap_or_else(|| declared_unit(&protocol));
    let judgements = FailureUnit::ALL.map(|unit| check_with(&protocol, unit, vocabulary));
    let mut said: Vec<Diagnostic> = loaded.diagnostics;
    for judgement in &judgements {
        if judgement.unit == decisive {
            said.extend(judgement.diagnostics.iter().cloned());
        }
    }
    let accepted = !any_error(&said);
    writeln!(terminal.out, "{name}: {}, {}", verdict(accepted), tolerance_in_words(&protocol))?;
    for judgement in &judgements {
        let role = match (judgement.unit == decisive, asked, &protocol.failure_unit) {
            (false, ..) => "",
            (true, Some(_), _) => " (asked)",
            (true, None, Some(_)) => " (declared)",
            (true, None, None) => " (by default)",
        };
        write_judgement(judgement, role, text, terminal)?;
    }
    write!(terminal.err, "{}", render(&name, text, &said, terminal.style))?;
    Ok(if accepted { ACCEPTED } else { REFUSED })
}

fn write_judgement(
    judgement: &Judgement,
    role: &str,
    text: &str,
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    let Judgement { unit, class, .. } = judgement;
    let verdict = verdict(judgement.accepted());
    write!(terminal.out, "    failure unit {unit}{role}: {verdict}, class {class}")?;
    if let Some(decided) = &judgement.decided_by {
        match &decided.origin {
            Origin::Written(span) => {
                let before = text.get(..span.start).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                let words = text.lines().nth(line - 1).unwrap_or_default().trim();
                writeln!(terminal.out, "\n        by line {line}: {words}\n        {}", decided.why)
            }
            Origin::Default(default) => {
                writeln!(terminal.out, "\n        by default: {default}\n        {}", decided.why)
            }
        }
    } else {
        writeln!(terminal.out)
    }
}

const fn verdict(accepted: bool) -> &'static str {
    if accepted { "accepted" } else { "refused" }
}

fn tolerance_in_words(protocol: &Protocol) -> String {
    match tolerance(protocol) {
        Tolerance::AtMost(0) => "asked to survive no failure".to_owned(),
        Tolerance::AtMost(1) => "asked to survive one failure at a time".to_owned(),
        Tolerance::AtMost(f) => format!("asked to survive {f} failures at a time"),
        Tolerance::Any => "asked to survive any number of failures".to_owned(),
    }
}

fn fmt_to(args: &FmtArgs, terminal: &mut Terminal<'_>) -> io::Result<u8> {
    let mut worst = ACCEPTED;
    for path in &args.files {
        worst = worst.max(match read(path, terminal)? {
            Some(text) => fmt_file(path, &text, args.check, terminal)?,
            None => UNUSABLE,
        });
    }
    Ok(worst)
}

fn fmt_file(path: &Path, text: &str, check: bool, terminal: &mut Terminal<'_>) -> io::Result<u8> {
    let name = path.display().to_string();
    let formatted = match egida_spec::format(text) {
        Ok(formatted) => formatted,
        Err(diagnostics) => {
            write!(terminal.err, "{}", render(&name, text, &diagnostics, terminal.style))?;
            return Ok(REFUSED);
        }
    };
    if formatted == text {
        return Ok(ACCEPTED);
    }
    if check {
        writeln!(terminal.out, "{name}: not formatted")?;
        return Ok(REFUSED);
    }
    match replace(path, &formatted) {
        Ok(()) => {
            writeln!(terminal.out, "{name}: formatted")?;
            Ok(ACCEPTED)
        }
        Err(error) => {
            writeln!(terminal.err, "egida: cannot write `{name}`: {error}")?;
            Ok(UNUSABLE)
        }
    }
}

/// Puts the new text in the old one's place at once, so that an interruption leaves one of the two. A link stays a link.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let target = fs::canonicalize(path)?;
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = target.with_file_name(name);
    let written = fs::write(&new, text)
        .and_then(|()| fs::set_permissions(&new, fs::metadata(&target)?.permissions()))
        .and_then(|()| fs::rename(&new, &target));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&new);
    }
    written
}

fn explain_to(args: &ExplainArgs, terminal: &mut Terminal<'_>) -> io::Result<u8> {
    let Some(what) = &args.what else {
        writeln!(terminal.out, "protocols")?;
        for (name, page) in PAGES {
            let title =
                page.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, title)| title);
            writeln!(terminal.out, "  {name:<30} {title}")?;
        }
        writeln!(terminal.out, "diagnostics")?;
        for (code, summary) in egida_spec::codes() {
            writeln!(terminal.out, "  {code:<30} {summary}")?;
        }
        return Ok(ACCEPTED);
    };
    if let Some(text) = egida_spec::explain(what).or_else(|| page(what)) {
        write!(terminal.out, "{text}")?;
        return Ok(ACCEPTED);
    }
    let near = nearest(what, PAGES.iter().map(|(name, _)| *name));
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    writeln!(
        terminal.err,
        "egida: there is no diagnostic and no protocol `{what}`{hint} `egida explain` lists all of them"
    )?;
    Ok(UNUSABLE)
}

/// The text of a file; nothing, with a word about it, if it cannot be read or is no text.
fn read(path: &Path, terminal: &mut Terminal<'_>) -> io::Result<Option<String>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            writeln!(terminal.err, "egida: cannot read `{}`: {error}", path.display())?;
            return Ok(None);
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            writeln!(terminal.err, "egida: `{}` is no text: byte {at} is not UTF-8", path.display())?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAUSAL: &str = "protocol causal with (f = 2)\nreceive:\n    determinant: {source, sesn, dest, desn}\nsend:\n    \
        Piggyback determinants\n    Log message synchronously on volatile memory of self\n";

    /// Runs a command on files of these texts; gives its exit code, what it said, and the directory.
    fn run(
        texts: &[(&str, &[u8])],
        command: impl FnOnce(Vec<PathBuf>, &mut Terminal<'_>) -> io::Result<u8>,
    ) -> (u8, String, String, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let mut files = Vec::new();
        for (name, text) in texts {
            let path = directory.path().join(name);
            fs::write(&path, text).expect("the directory is ours");
            files.push(path);
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut terminal =
            Terminal { out: Box::new(&mut out), err: Box::new(&mut err), style: RenderStyle::default() };
        let code = command(files, &mut terminal).expect("memory can be written");
        drop(terminal);
        let said = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .expect("what is said is text")
                .replace(&format!("{}/", directory.path().display()), "")
        };
        (code, said(out), said(err), directory)
    }

    fn checked(text: &str, unit: Option<FailureUnitArg>) -> (u8, String, String) {
        let (code, out, err, _) = run(&[("spec.egd", text.as_bytes())], |files, terminal| {
            check_to(&CheckArgs { files, failure_unit: unit }, &Vocabulary::default(), terminal)
        });
        (code, out, err)
    }

    #[test]
    fn check_names_both_units_and_the_line_that_decides() {
        let (code, out, _) = checked(CAUSAL, None);
        assert_eq!(code, ACCEPTED);
        assert_eq!(
            out,
            "spec.egd: accepted, asked to survive 2 failures at a time
    failure unit node (by default): accepted, class causal
        by line 5: Piggyback determinants
        every message carries the determinants of `receive` that its receiver would depend on
    failure unit process: accepted, class causal
        by line 5: Piggyback determinants
        every message carries the determinants of `receive` that its receiver would depend on
"
        );
    }

    #[test]
    fn the_unit_decides_the_exit_code() {
        let local = "receive: determinant: {source, sesn, dest, desn} Log determinant, message synchronously on local disk";
        let (code, out, err) = checked(local, None);
        assert_eq!(code, REFUSED);
        assert!(out.contains("failure unit node (by default): refused"), "{out}");
        assert!(out.contains("failure unit process: accepted"), "{out}");
        assert!(err.contains("EGD015"), "{err}");
        assert_eq!(checked(local, Some(FailureUnitArg::Process)).0, ACCEPTED);
        let declared = format!("protocol p with (failure unit = process)\n{local}");
        assert_eq!(checked(&declared, None).0, ACCEPTED);
        assert_eq!(checked(&declared, Some(FailureUnitArg::Node)).0, REFUSED);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let (code, out, err) = checked("send Piggyback", None);
        assert_eq!(code, REFUSED);
        assert!(out.contains("not understood"), "{out}");
        assert!(err.contains("EGD001"), "{err}");
    }

    #[test]
    fn every_file_is_looked_at() {
        let files: &[(&str, &[u8])] = &[("bytes.egd", b"send: \xff"), ("good.egd", CAUSAL.as_bytes())];
        let (code, out, err, _) = run(files, |mut files, terminal| {
            files.insert(0, PathBuf::from("no/such/file.egd"));
            check_to(&CheckArgs { files, failure_unit: None }, &Vocabulary::default(), terminal)
        });
        assert_eq!(code, UNUSABLE);
        assert!(out.contains("good.egd: accepted"), "{out}");
        assert!(err.contains("cannot read `no/such/file.egd`"), "{err}");
        assert!(err.contains("`bytes.egd` is no text: byte 6 is not UTF-8"), "{err}");
    }

    #[test]
    fn fmt_changes_the_file_and_check_only_names_it() {
        let untidy: &[(&str, &[u8])] = &[("spec.egd", b"SEND : piggyback vector clock // why")];
        let format =
            |check| move |files, terminal: &mut Terminal<'_>| fmt_to(&FmtArgs { files, check }, terminal);
        let text = |directory: &tempfile::TempDir| {
            fs::read_to_string(directory.path().join("spec.egd")).expect("it is there")
        };

        let (code, out, _, directory) = run(untidy, format(true));
        assert_eq!((code, out.as_str()), (REFUSED, "spec.egd: not formatted\n"));
        assert_eq!(text(&directory), "SEND : piggyback vector clock // why");

        let (code, out, _, directory) = run(untidy, format(false));
        assert_eq!((code, out.as_str()), (ACCEPTED, "spec.egd: formatted\n"));
        assert_eq!(text(&directory), "SEND:\n    Piggyback vector clock // why\n");
        assert_eq!(fs::read_dir(directory.path()).expect("it is there").count(), 1, "nothing is left behind");

        let (code, out, _, _) = run(&[("spec.egd", CAUSAL.as_bytes())], format(true));
        assert_eq!((code, out.as_str()), (ACCEPTED, ""));

        let (code, _, err, directory) = run(&[("spec.egd", b"send")], format(false));
        assert_eq!(code, REFUSED);
        assert!(err.contains("EGD001"), "{err}");
        assert_eq!(text(&directory), "send", "what is not understood is left alone");
    }

    #[test]
    fn explain_knows_every_code_and_no_other() {
        let explain = |code: Option<&str>| {
            let args = ExplainArgs { what: code.map(str::to_owned) };
            let (code, out, err, _) = run(&[], |_, terminal| explain_to(&args, terminal));
            (code, out, err)
        };
        let (code, out, _) = explain(Some("egd004"));
        assert_eq!(code, ACCEPTED);
        assert!(out.starts_with("# EGD004"), "{out}");
        let (code, out, _) = explain(None);
        let headings = 2;
        let listed = egida_spec::Code::ALL.len() + PAGES.len() + headings;
        assert_eq!((code, out.lines().count()), (ACCEPTED, listed));
        let (code, out, _) = explain(Some("specs/causal.egd"));
        assert_eq!(code, ACCEPTED);
        assert!(out.starts_with("# causal: "), "{out}");
        let (code, _, err) = explain(Some("casual"));
        assert_eq!(code, UNUSABLE);
        assert!(err.contains("did you mean `causal`?"), "{err}");
        let (code, _, err) = explain(Some("EGD999"));
        assert_eq!(code, UNUSABLE);
        assert!(err.contains("`EGD999`"), "{err}");
    }
}
