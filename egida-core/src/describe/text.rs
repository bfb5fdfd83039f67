//! A description as people read it.

use std::fmt::{self, Display, Formatter};

use egida_spec::protocol::FailureUnit;

use super::growth::ROUNDS;
use super::{
    Action, Condition, Description, EventRecord, JournalNote, Measured, Module, Provenance, Summary,
    Survivors, UnitTolerance, Wait,
};

impl Display for Description {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { protocol, specification, unit, ranks, domains, .. } = self;
        writeln!(f, "protocol {protocol} ({specification})")?;
        writeln!(
            f,
            "bound for {} in {}, failure unit {unit}",
            count(*ranks, "rank"),
            count(*domains, "failure domain")
        )?;
        writeln!(f, "\nmodules")?;
        table(f, &self.modules)?;
        writeln!(f, "\ncalls, recorded by driving each event through the stack")?;
        for event in &self.events {
            event_record(f, event)?;
        }
        writeln!(f, "\nsummary")?;
        summary(f, &self.summary, *unit)
    }
}

impl Display for Provenance {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { number, text } => write!(f, "line {number}: {text}"),
            Self::Default(why) => write!(f, "default: {why}"),
            Self::OnlyOne => f.write_str("the only one"),
        }
    }
}

fn table(f: &mut Formatter<'_>, modules: &[Module]) -> fmt::Result {
    let width = |column: fn(&Module) -> &str, title: &str| {
        modules.iter().map(|module| column(module).len()).max().unwrap_or(0).max(title.len())
    };
    let slot = width(|module| &module.slot, "slot");
    let value = width(|module| &module.value, "value");
    let implementation = width(|module| &module.implementation, "implementation");
    let mut row = |cells: [&str; 4]| {
        let [first, second, third, last] = cells;
        writeln!(f, "  {first:slot$}  {second:value$}  {third:implementation$}  {last}")
    };
    row(["slot", "value", "implementation", "from"])?;
    for module in modules {
        row([&module.slot, &module.value, &module.implementation, &module.from.to_string()])?;
    }
    Ok(())
}

fn event_record(f: &mut Formatter<'_>, record: &EventRecord) -> fmt::Result {
    writeln!(f, "\n  {}: {}", record.event, record.what)?;
    if record.calls.is_empty() {
        writeln!(f, "    no module is called")?;
    } else {
        writeln!(f, "    {}", record.raised_by)?;
    }
    for call in &record.calls {
        let indent = 6 + 2 * call.depth as usize;
        write!(f, "{:indent$}{}.{}", "", call.module, call.method)?;
        if call.times > 1 {
            write!(f, " ({} times)", call.times)?;
        }
        writeln!(f)?;
    }
    for note in &record.journal {
        writeln!(f, "    journal: {note}")?;
    }
    match record.piggyback_bytes {
        Some(bytes) => writeln!(f, "    piggyback: {}", count(bytes, "byte")),
        None => Ok(()),
    }
}

impl Display for JournalNote {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { entry, stores, bytes } = self;
        write!(f, "{entry}, {}, ", count(*bytes, "byte"))?;
        if stores.is_empty() {
            return f.write_str("in the memory of its node");
        }
        let stores: Vec<_> = stores.iter().map(|store| format!("`{store}`")).collect();
        write!(f, "for {}", stores.join(" and "))
    }
}

fn summary(f: &mut Formatter<'_>, summary: &Summary, unit: FailureUnit) -> fmt::Result {
    item(f, "class", summary.class)?;
    if let Some(decided) = &summary.decided_by {
        item(f, "", format_args!("{}", decided.from))?;
        item(f, "", format_args!("because {}", decided.why))?;
    } else {
        item(f, "", "because it speaks of no non-deterministic event")?;
    }
    let mut title = "waiting";
    for action in Action::ALL {
        let mut waits = summary.waits.iter().filter(|wait| wait.action == action).peekable();
        if waits.peek().is_none() {
            item(f, std::mem::take(&mut title), format_args!("{} never waits", action.as_str()))?;
        }
        for wait in waits {
            item(f, std::mem::take(&mut title), sentence(wait, unit))?;
        }
    }
    piggyback(f, summary)?;
    let mut title = "failures";
    for tolerance in &summary.tolerance {
        item(f, std::mem::take(&mut title), tolerance)?;
    }
    item(f, "survivors", &summary.survivors)?;
    if let Some(retrieval) = &summary.retrieval {
        item(
            f,
            "retrieval",
            format_args!(
                "{} when one rank failed; {} by {} when two did",
                count(retrieval.questions_after_one, "question"),
                retrieval.questions_after_two,
                count(retrieval.askers_of_two, "rank")
            ),
        )?;
    }
    let mut title = "kept";
    for kept in &summary.kept {
        let words = format_args!("{}: {}, until {}", kept.what, kept.place, kept.until);
        item(f, std::mem::take(&mut title), words)?;
    }
    if summary.kept.is_empty() {
        item(f, title, "nothing")?;
    }
    Ok(())
}

fn item(f: &mut Formatter<'_>, title: &str, words: impl Display) -> fmt::Result {
    writeln!(f, "  {title:10} {words}")
}

fn sentence(wait: &Wait, unit: FailureUnit) -> String {
    let until: Vec<_> = wait.until.iter().map(|condition| words(condition, unit)).collect();
    format!("{} waits until {}, after {}", wait.action.as_str(), until.join(" and "), wait.after.join(", "))
}

fn words(condition: &Condition, unit: FailureUnit) -> String {
    match condition {
        Condition::On(storage) => format!("`{storage}` holds what the rank logged"),
        Condition::OnLogsOfOthers => "every other rank has flushed what it had logged by then".to_owned(),
        Condition::OnLine => {
            "a later checkpoint of the rank is in a recovery line that is durable as a whole".to_owned()
        }
        Condition::InMemoryOf(domains) => {
            let unit = match unit {
                FailureUnit::Process => "process",
                FailureUnit::Node => "node",
            };
            format!("{} hold the determinants that the rank holds", count(*domains, unit))
        }
    }
}

fn piggyback(f: &mut Formatter<'_>, summary: &Summary) -> fmt::Result {
    let piggyback = &summary.piggyback;
    let mut title = "piggyback";
    for (value, growth) in &piggyback.values {
        item(f, std::mem::take(&mut title), format_args!("{value}: {growth}"))?;
    }
    if piggyback.measured.iter().all(|measured| measured.bytes == 0) {
        return item(f, title, "no message carried any in jobs of any size that was measured");
    }
    item(
        f,
        title,
        format_args!("measured over {ROUNDS} rounds in which every rank sends a message and takes one:"),
    )?;
    for Measured { ranks, messages, bytes, largest_bytes } in &piggyback.measured {
        let tenths = (bytes * 10 + messages / 2) / (*messages).max(1);
        let (whole, tenth) = (tenths / 10, tenths % 10);
        item(
            f,
            "",
            format_args!("{ranks:4} ranks: {whole}.{tenth} bytes on a message, at most {largest_bytes}"),
        )?;
    }
    Ok(())
}

impl Display for UnitTolerance {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { unit, class, accepted, failures } = self;
        write!(f, "under failure unit {unit}: ")?;
        if !accepted {
            return write!(f, "refused by the checker (class {class})");
        }
        let down = match unit {
            FailureUnit::Process => "process",
            FailureUnit::Node => "node",
        };
        match failures {
            Some(0) => write!(f, "none may fail (class {class})"),
            Some(most) => write!(f, "{} may be down at once (class {class})", count(*most, down)),
            None => write!(f, "any number may be down at once (class {class})"),
        }
    }
}

impl Display for Survivors {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingRecovers => f.write_str("nothing is recovered: a death ends the job"),
            Self::GoOn { events, on_stable_storage, in_memory_of_others } => write!(
                f,
                "do not roll back: one came to depend on {} of a rank that then died, and all were found again \
                 ({on_stable_storage} on stable storage, {in_memory_of_others} in the memory of others)",
                count(*events, "event")
            ),
            Self::RollBack { why } => write!(f, "may have to roll back: {why}"),
        }
    }
}

/// "1 rank", "2 ranks", "2 processes".
fn count(number: impl Into<u64>, noun: &str) -> String {
    let number = number.into();
    match (number, noun.ends_with('s')) {
        (1, _) => format!("1 {noun}"),
        (_, true) => format!("{number} {noun}es"),
        (_, false) => format!("{number} {noun}s"),
    }
}
