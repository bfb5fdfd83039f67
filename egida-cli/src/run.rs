//! `egida run`: a program under a protocol.

mod preload;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use egida_core::binder::BindError;
use egida_core::crash::Failpoint;
use egida_node::hosts::{self, Hosting};
use egida_node::kill::KillOrder;
use egida_node::limit::default_limit_bytes;
use egida_node::quantity::{parse_duration, parse_size};
use egida_node::{Options, Plan, PlanError, Shape, Spill};
use egida_spec::Diagnostic;
use egida_spec::diagnostic::RenderStyle;
use egida_spec::protocol::FailureUnit;

/// Exit code of wrong usage, and of a specification that cannot be run.
const USAGE: u8 = 2;

/// Run a program under a protocol: its ranks may die, and it ends as if none had.
///
/// Exit codes: the program's own; 128 + N where a rank died of signal N and the protocol does not recover; 86 where more
/// failed than the protocol tolerates; 87 where a rank that was executed again did not repeat itself; 124 after
/// `--timeout`; 2 for wrong usage or a specification that cannot be run; 1 where Egida itself could not go on.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// How many ranks
    #[arg(short = 'n', long = "ranks", visible_alias = "np", default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    ranks: u32,

    /// The protocol's specification; without it, the one that the program is linked with
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,

    /// What fails as one: `process` (node memory survives a rank) or `node` (it does not); else as the specification
    /// says, else `process`
    #[arg(long, value_name = "UNIT")]
    failure_unit: Option<Unit>,

    /// How many neighbouring ranks share a virtual node, and die with it, under failure unit `node`
    #[arg(long, default_value_t = 1, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    ranks_per_node: u32,

    /// Kill ranks: `RANK[.LIFE][+RANK...]@WHEN`, where WHEN is `1.5s`, `300ms`, `send:N`, `deliver:N`, `point:NAME[:K]` or
    /// `random[:SEED]`; or `random[:SEED]` alone
    #[arg(long = "kill", value_name = "RANK@WHEN")]
    kills: Vec<String>,

    /// List the failpoints that `--kill RANK@point:NAME` knows
    #[arg(long)]
    list_failpoints: bool,

    /// Where durable state goes, and is kept; else a fresh directory under TMPDIR that is removed in the end
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Write what happens to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Write every event of every rank to this file, one JSON object per line, as `egida sim --trace` does; it slows the job
    /// down
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Begin each line of output with the rank that wrote it
    #[arg(long)]
    tag_output: bool,

    /// Say only what went wrong
    #[arg(long, short)]
    quiet: bool,

    /// What to do where a rank that is executed again does something else than before
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    on_divergence: OnDivergence,

    /// Spoil recovery on purpose, to see what it is worth
    #[arg(long, value_name = "HOW")]
    control: Option<Control>,

    /// How much memory messages and logs may take together, on each host, as `256MiB`; else half of the machine's
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    limit: Option<u64>,

    /// Where messages and logs go on that are beyond the limit: a directory on a disk, of that name on each host
    #[arg(long, value_name = "DIR")]
    spill: Option<PathBuf>,

    /// How much of that disk they may take, on each host, as `64GiB`; else half of what is free there
    #[arg(long, value_name = "SIZE", value_parser = parse_size, requires = "spill")]
    spill_limit: Option<u64>,

    /// How much memory for messages and logs to make ready before the job begins, on each host, as `1GiB`; else it comes from the
    /// system as it is needed
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    prefault: Option<u64>,

    /// End the job after this time, as `90s`
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,

    /// Run the ranks on these hosts, as `a,b` or `a:4,b:4`: neighbours together, so many to each
    #[arg(long, value_name = "HOST,...", conflicts_with = "hostfile")]
    hosts: Option<String>,

    /// Run the ranks on the hosts in this file: one to a line, as `NAME` or `NAME slots=4`
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,

    /// The command that runs another on a host, given its name and that other: in place of `ssh`, as `ip netns exec`
    #[arg(long, value_name = "COMMAND")]
    launcher: Option<String>,

    /// The name or address under which hosts reach this one; else the one from which this one reaches them
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,

    /// The program and its arguments
    #[arg(trailing_var_arg = true, value_name = "PROGRAM", required_unless_present = "list_failpoints")]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Unit {
    Process,
    Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnDivergence {
    Stop,
    Warn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Control {
    /// Recover without any determinant
    DiscardDeterminants,
}

/// Runs the command. `linked` finds the specification that a program is linked with.
pub fn run(args: RunArgs, linked: impl FnOnce(&Path) -> Option<String>) -> ExitCode {
    if args.list_failpoints {
        // This runtime takes no images of applications.
        for point in Failpoint::ALL.iter().filter(|point| !point.is_of_checkpoints()) {
            println!("{:<22} {}", point.name(), point.about());
        }
        return ExitCode::SUCCESS;
    }
    let plan = match plan(args, linked) {
        Ok(plan) => plan,
        Err(message) => {
            eprintln!("{}", message.trim_end());
            return ExitCode::from(USAGE);
        }
    };
    match egida_node::run(plan) {
        Ok(code) => exit_code(code),
        Err(error) => {
            eprintln!("egida: {error}");
            exit_code(error.exit_code())
        }
    }
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn plan(args: RunArgs, linked: impl FnOnce(&Path) -> Option<String>) -> Result<Plan, String> {
    let kills = args
        .kills
        .iter()
        .map(|kill| KillOrder::parse(kill, args.ranks).map_err(|bad| format!("egida: {bad}")));
    let mut options = Options {
        kills: kills.collect::<Result<_, _>>()?,
        state_dir: args.state_dir,
        report: args.report,
        trace: args.trace,
        tag_output: args.tag_output,
        quiet: args.quiet,
        diverging_is_fine: args.on_divergence == OnDivergence::Warn,
        discard_determinants: args.control == Some(Control::DiscardDeterminants),
        timeout: args.timeout,
        preload: None,
    };
    let hosting = hosting(args.hosts, args.hostfile, args.launcher, args.address, args.ranks)
        .map_err(|error| format!("egida: {error}"))?;
    if hosting.is_some() && options.trace.is_some() {
        return Err("egida: `--trace` is for jobs on one host: each host has a clock of its own".to_owned());
    }
    let mut command = args.command.into_iter();
    let program = command.next().unwrap_or_default();
    options.preload = preload::library_for(find(&program).as_deref());
    let (name, text) = specification(args.spec, &program, linked)?;
    let shape = Shape {
        ranks: args.ranks,
        ranks_per_node: args.ranks_per_node,
        unit: args.failure_unit.map(|unit| match unit {
            Unit::Process => FailureUnit::Process,
            Unit::Node => FailureUnit::Node,
        }),
    };
    let registry = egida_modules::registry();
    let mut plan = Plan::new(program, command.collect(), shape, (&name, text.clone()), &registry)
        .map_err(|error| explain(&name, &text, &error))?;
    plan.limit_bytes = args.limit.unwrap_or_else(default_limit_bytes);
    plan.ready_bytes = args.prefault.unwrap_or(0).min(plan.limit_bytes);
    plan.spill = args.spill.map(|dir| Spill { dir, limit_bytes: args.spill_limit });
    plan.hosting = hosting;
    plan.options = options;
    Ok(plan)
}

/// Where the ranks are to be, if that was said.
fn hosting(
    list: Option<String>,
    file: Option<PathBuf>,
    launcher: Option<String>,
    address: Option<String>,
    ranks: u32,
) -> Result<Option<Hosting>, String> {
    let hosts = match (list, file) {
        (Some(list), _) => hosts::parse_list(&list).map_err(|error| format!("--hosts: {error}"))?,
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
            let hosts = text.and_then(|text| hosts::parse_file(&text).map_err(|error| error.to_string()));
            hosts.map_err(|error| format!("the file of hosts `{}`: {error}", path.display()))?
        }
        (None, None) => {
            return match (launcher, address) {
                (None, None) => Ok(None),
                _ => Err("`--launcher` and `--address` are for `--hosts` or `--hostfile`".to_owned()),
            };
        }
    };
    let hosts = hosts::deal(&hosts, ranks).map_err(|error| error.to_string())?;
    let starter = launcher.map(|words| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    if starter.as_ref().is_some_and(Vec::is_empty) {
        return Err("`--launcher` names no command".to_owned());
    }
    Ok(Some(Hosting { hosts, starter, address }))
}

/// The specification to run under, and the name to call it by.
fn specification(
    given: Option<PathBuf>,
    program: &OsString,
    linked: impl FnOnce(&Path) -> Option<String>,
) -> Result<(String, String), String> {
    if let Some(path) = given {
        let name = path.display().to_string();
        return match std::fs::read_to_string(&path) {
            Ok(text) => Ok((name, text)),
            Err(error) => Err(format!("egida: cannot read the specification `{name}`: {error}")),
        };
    }
    let found = find(program);
    match found.as_deref().and_then(linked) {
        Some(text) => Ok((format!("{} (linked in)", Path::new(program).display()), text)),
        None => Err(format!(
            "egida: no protocol is given and none is linked into `{}`; name one with `--spec FILE`, or link the program \
             with the unit that `egida synth FILE -o DIR` writes",
            Path::new(program).display()
        )),
    }
}

/// The file that a program's name means, as a shell finds it.
fn find(program: &OsString) -> Option<PathBuf> {
    let path = Path::new(program);
    if path.components().count() > 1 {
        return Some(path.to_owned());
    }
    let dirs = std::env::var_os("PATH")?;
    std::env::split_paths(&dirs).map(|dir| dir.join(path)).find(|path| path.is_file())
}

fn explain(name: &str, text: &str, error: &PlanError) -> String {
    let colour = std::io::stderr().is_terminal();
    let render = |diagnostics: &[Diagnostic]| {
        egida_spec::diagnostic::render(
            name,
            text,
            diagnostics,
            RenderStyle { colour, ..RenderStyle::default() },
        )
    };
    match error {
        PlanError::Text(diagnostics) => render(diagnostics),
        PlanError::Bind(errors) => errors
            .iter()
            .map(|error| match error {
                BindError::Unsound(diagnostic) => render(std::slice::from_ref(diagnostic)),
                other => format!("egida: {}: {other}\n", place(name, text, other)),
            })
            .collect(),
    }
}

/// `file:line`, where the error is about a line.
fn place(name: &str, text: &str, error: &BindError) -> String {
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("{name}:{}", before.matches('\n').count() + 1),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        run: RunArgs,
    }

    const CAUSAL: &str = include_str!("../../specs/causal.egd");

    fn planned(line: &str, linked: Option<&str>) -> Result<Plan, String> {
        let command = Command::try_parse_from(["run"].into_iter().chain(line.split_whitespace()))
            .map_err(|error| error.to_string())?;
        plan(command.run, |_| linked.map(str::to_owned))
    }

    fn refused(line: &str) -> String {
        planned(line, Some(CAUSAL)).err().expect("it is refused")
    }

    #[test]
    fn arguments_of_the_program_are_its_own() {
        let plan = planned("-n 4 --tag-output ./app -n 7 --kill me", Some(CAUSAL)).unwrap();
        assert_eq!(plan.domains.ranks(), 4);
        assert_eq!(plan.program, "./app");
        assert_eq!(plan.args, ["-n", "7", "--kill", "me"]);
        assert!(plan.options.tag_output);
        assert_eq!(plan.unit, FailureUnit::Process);
        assert!(!plan.is_unit_chosen);
    }

    #[test]
    fn the_node_is_the_unit_where_asked() {
        let plan = planned("-n 4 --failure-unit node --ranks-per-node 2 ./app", Some(CAUSAL)).unwrap();
        assert_eq!((plan.unit, plan.domains.count()), (FailureUnit::Node, 2));
    }

    #[test]
    fn each_host_has_the_memory_that_is_asked_for() {
        let line = "-n 2 --hosts a,b --limit 2GiB --prefault 1GiB --spill /disk --spill-limit 8GiB ./app";
        let plan = planned(line, Some(CAUSAL)).unwrap();
        assert_eq!((plan.limit_bytes, plan.ready_bytes), (2 << 30, 1 << 30));
        assert_eq!(plan.spill, Some(Spill { dir: "/disk".into(), limit_bytes: Some(8 << 30) }));
        assert_eq!(plan.hosting.unwrap().hosts.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refused("-n 2 --kill 1@sometime ./app").contains("1@sometime"));
        assert!(refused("-n 2 --kill 7@send:1 ./app").contains("no rank 7"));
        assert!(refused("-n 2 --kill 1@point:no.such.point ./app").contains("no.such.point"));
        assert!(refused("-n 2 --failure-unit building ./app").contains("building"));
        assert!(refused("-n 2 --spec no-such.egd ./app").contains("no-such.egd"));
        assert!(refused("-n 0 ./app").contains('0'));
        assert!(refused("-n 2 --hosts a,b --trace t ./app").contains("`--trace` is for jobs on one host"));
        assert!(refused("-n 1 --failure-unit node ./app").contains("nodes whose memory fails independently"));
        let none = planned("-n 2 ./app", None).err().unwrap();
        assert!(none.contains("--spec FILE"), "{none}");
        let wrong = planned("-n 2 ./app", Some("receive:\n    determinate: {source}\n")).err().unwrap();
        assert!(wrong.contains("EGD") && wrong.contains("determinate"), "{wrong}");
    }
}
