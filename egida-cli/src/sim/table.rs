//! `egida sim --table`: what protocols cost, on the same application and seed.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use egida_core::binder::BindError;
use egida_core::crash::CrashPoint;
use egida_core::link_unit::LinkedSpecification;
use egida_core::recovery::End;
use egida_core::registry::Registry;
use egida_core::trace::{Event, Summary};
use egida_sim::job::{Ending, Outcome};
use egida_sim::schedule::{Crash, Schedule};
use serde::Serialize;

use super::{Plan, SimArgs, SimError, WRONG, of_stdout};
use crate::specification::Specification;

/// What all are compared with.
const NONE: &str = include_str!("../../../specs/none.egd");

/// Who dies where `--crash` does not say.
const VICTIM: u32 = 1;

/// A run under one protocol.
#[derive(Debug, Serialize)]
struct Run {
    /// How it ended, where that is not as it should.
    ended: Option<String>,
    /// Whether that is wrong, and not what the protocol is too weak for.
    is_wrong: bool,
    #[serde(flatten)]
    summary: Summary,
}

/// What a protocol costs.
#[derive(Debug, Serialize)]
struct Row {
    specification: String,
    /// While nothing fails.
    undisturbed: Option<Run>,
    /// With the crash.
    disturbed: Option<Run>,
    /// Why there is nothing of it.
    refused: Option<String>,
}

/// Everything, as JSON.
#[derive(Debug, Serialize)]
struct Table {
    app: String,
    ranks: u32,
    rounds: u32,
    bytes: u32,
    seed: u64,
    crash: String,
    /// The undisturbed run without a protocol.
    none: Summary,
    protocols: Vec<Row>,
}

/// Runs the table. Returns the exit code.
pub(super) fn table(args: &SimArgs, registry: &Registry) -> Result<u8, SimError> {
    let plan = Plan::new(args);
    let none = LinkedSpecification { name: "none".to_owned(), text: NONE.to_owned() };
    let none = Specification::understand(none, &registry.vocabulary)?;
    let mut deliveries = 0;
    let counted = run(args, &plan, registry, &none, Schedule::default(), |event, rank| {
        deliveries += u64::from(rank == Some(VICTIM) && matches!(event, Event::Deliver { .. }));
    });
    let baseline = match counted {
        Ok(run) => run.summary,
        Err(errors) => return Err(none.refused(errors).into()),
    };
    let schedule = match args.crash.is_empty() {
        true => Schedule::from(vec![halfway(deliveries)]),
        false => Schedule(args.crash.clone()),
    };
    let head = format!(
        "application {} of {} rounds on {} ranks, messages of {} bytes, seed {}, crash {schedule}\n{}\n",
        plan.app.name, args.rounds, args.ranks, args.bytes, plan.seed, plan.faults
    );
    if args.json { write!(io::stderr(), "{head}") } else { write!(io::stdout(), "{head}") }
        .map_err(of_stdout)?;
    let rows: Vec<Row> = args
        .specs
        .iter()
        .map(|path| row(args, &plan, registry, path, &schedule))
        .collect::<Result<_, _>>()?;
    let wrong = rows.iter().any(Row::is_wrong);
    if args.json {
        let table = Table {
            app: plan.app.name.to_owned(),
            ranks: args.ranks,
            rounds: args.rounds,
            bytes: args.bytes,
            seed: plan.seed,
            crash: schedule.to_string(),
            none: baseline,
            protocols: rows,
        };
        let text = serde_json::to_string_pretty(&table).map_err(|error| of_stdout(error.into()))?;
        writeln!(io::stdout(), "{text}").map_err(of_stdout)?;
    } else {
        write!(io::stdout(), "{}", render(&rows, &baseline)).map_err(of_stdout)?;
    }
    Ok(if wrong { WRONG } else { 0 })
}

/// The victim dies when half of its deliveries are done.
fn halfway(deliveries: u64) -> Crash {
    let point = match deliveries / 2 {
        0 => CrashPoint::Send(1),
        half => CrashPoint::Deliver(half),
    };
    Crash { rank: VICTIM, incarnation: 1, point, time: 1 }
}

fn row(
    args: &SimArgs,
    plan: &Plan,
    registry: &Registry,
    path: &Path,
    schedule: &Schedule,
) -> Result<Row, SimError> {
    let specification = Specification::read(path, &registry.vocabulary)?;
    let name = Path::new(&specification.name).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| specification.name.clone());
    let ignore = |_: &Event, _| {};
    let runs =
        run(args, plan, registry, &specification, Schedule::default(), ignore).and_then(|undisturbed| {
            let disturbed = run(args, plan, registry, &specification, schedule.clone(), ignore)?;
            Ok((undisturbed, disturbed))
        });
    Ok(match runs {
        Ok((undisturbed, disturbed)) => Row {
            specification: name,
            undisturbed: Some(undisturbed),
            disturbed: Some(disturbed),
            refused: None,
        },
        // What this build cannot run does not keep the others from being compared.
        Err(errors) => Row {
            specification: name,
            undisturbed: None,
            disturbed: None,
            refused: errors.first().map(reason),
        },
    })
}

fn reason(error: &BindError) -> String {
    match error {
        BindError::Unsound(diagnostic) => diagnostic.message.clone(),
        other => other.to_string(),
    }
}

fn run(
    args: &SimArgs,
    plan: &Plan,
    registry: &Registry,
    specification: &Specification,
    schedule: Schedule,
    mut look: impl FnMut(&Event, Option<u32>),
) -> Result<Run, Vec<BindError>> {
    let setting = plan.setting(args, specification);
    let mut summary = Summary::default();
    let outcome =
        egida_sim::run_traced(&plan.job(specification, setting, schedule), registry, &mut |line| {
            look(&line.event, line.rank);
            summary.add(line);
        })?;
    let wrong = plan.judge(specification, &outcome, registry);
    let is_wrong = wrong.is_some() && !is_too_much(&outcome);
    let ended = if is_wrong { wrong } else { wrong.map(|_| outcome.end.to_string()) };
    Ok(Run { ended, is_wrong, summary })
}

/// Whether more failed than the protocol claims to survive.
fn is_too_much(outcome: &Outcome) -> bool {
    matches!(outcome.end, Ending::Ended(End::Unrecoverable(_) | End::Died { .. }))
}

impl Row {
    fn is_wrong(&self) -> bool {
        [&self.undisturbed, &self.disturbed].into_iter().flatten().any(|run| run.is_wrong)
    }
}

/// The columns: heading, then the cell of a row.
type Column = (&'static str, fn(&Run, &Summary) -> String);

const UNDISTURBED: [Column; 8] = [
    ("messages", |run, _| run.summary.messages.to_string()),
    ("piggyback B/msg", |run, _| format!("{:.1}", run.summary.piggyback_per_message())),
    ("disk log B", |run, _| run.summary.stable_log_bytes.to_string()),
    ("memory log B", |run, _| run.summary.volatile_log_bytes.to_string()),
    ("sender log B", |run, _| run.summary.sent_log_peak_bytes.to_string()),
    ("checkpoints", |run, _| match run.summary.forced_checkpoints {
        0 => run.summary.basic_checkpoints.to_string(),
        forced => format!("{}+{forced} forced", run.summary.basic_checkpoints),
    }),
    ("blocked ns", |run, _| run.summary.blocked_ns.to_string()),
    ("time", |run, none| ratio(run, none)),
];

const DISTURBED: [Column; 5] = [
    ("time", |run, none| ratio(run, none)),
    ("rollbacks", |run, _| run.summary.rollbacks.to_string()),
    ("events again", |run, _| run.summary.events_again.to_string()),
    ("written again", |run, _| run.summary.messages_again.to_string()),
    ("recovery ns", |run, _| run.summary.recovery_longest_ns.to_string()),
];

fn ratio(run: &Run, none: &Summary) -> String {
    format!("{:.2}", run.summary.time_ns as f64 / none.time_ns.max(1) as f64)
}

fn render(rows: &[Row], none: &Summary) -> String {
    let mut lines = vec![
        ["protocol"]
            .into_iter()
            .chain(UNDISTURBED.iter().map(|(name, _)| *name))
            .chain(["|"])
            .chain(DISTURBED.iter().map(|(name, _)| *name))
            .map(str::to_owned)
            .collect::<Vec<String>>(),
    ];
    let mut notes = String::new();
    for row in rows {
        let mut cells = vec![row.specification.clone()];
        let mut note = |when: &str, what: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(notes, "{}{when}: {what}", row.specification);
        };
        if let Some(run) = &row.undisturbed {
            cells.extend(UNDISTURBED.iter().map(|(_, cell)| cell(run, none)));
            if let Some(ended) = &run.ended {
                note(" undisturbed", ended);
            }
        }
        if let Some(run) = &row.disturbed {
            cells.push("|".to_owned());
            match &run.ended {
                None => cells.extend(DISTURBED.iter().map(|(_, cell)| cell(run, none))),
                Some(ended) => note(" with the crash", ended),
            }
        }
        if let Some(refused) = &row.refused {
            note("", refused);
        }
        lines.push(cells);
    }
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|at| lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.len()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in &lines {
        let mut padded = String::new();
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ =
                if at == 0 { write!(padded, "{cell:<width$}") } else { write!(padded, "  {cell:>width$}") };
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text.push_str(
        "left: nothing fails; right: with the crash. Times are as ratios to no protocol, undisturbed.\n",
    );
    text + &notes
}
