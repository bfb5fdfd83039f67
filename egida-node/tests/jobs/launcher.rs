//! A launcher: `launch [--OPTION VALUE]... -- PROGRAM ARGS`.

use std::process::ExitCode;
use std::time::Duration;

use egida_node::kill::KillOrder;
use egida_node::{Options, Plan, Shape, run};
use egida_spec::protocol::FailureUnit;

pub fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let mut shape = Shape { ranks: 2, ranks_per_node: 1, unit: None };
    let mut spec = "protocol none with (f = 0)".to_owned();
    let mut options = Options::default();
    let mut kills = Vec::new();
    while let Some(option) = args.next().filter(|option| option != "--") {
        if let "--tag" | "--quiet" | "--discard" = option.as_str() {
            options.tag_output |= option == "--tag";
            options.quiet |= option == "--quiet";
            options.discard_determinants |= option == "--discard";
            continue;
        }
        let value = args.next().expect("a value");
        match option.as_str() {
            "--ranks" => shape.ranks = value.parse().expect("a number"),
            "--per-node" => shape.ranks_per_node = value.parse().expect("a number"),
            "--unit" if value == "node" => shape.unit = Some(FailureUnit::Node),
            "--unit" => shape.unit = Some(FailureUnit::Process),
            "--spec" => spec = std::fs::read_to_string(value).expect("a specification"),
            "--kill" => kills.push(value),
            "--state" => options.state_dir = Some(value.into()),
            "--report" => options.report = Some(value.into()),
            "--timeout" => options.timeout = Some(Duration::from_millis(value.parse().expect("a number"))),
            other => panic!("no option {other}"),
        }
    }
    let program = args.next().expect("a program").into();
    let registry = egida_modules::registry();
    let specification = ("test.egd", spec);
    let mut plan = Plan::new(program, args.map(Into::into).collect(), shape, specification, &registry)
        .unwrap_or_else(|error| panic!("{error:?}"));
    options.kills = kills.iter().map(|kill| KillOrder::parse(kill, shape.ranks).expect("an order")).collect();
    plan.options = options;
    match run(plan) {
        Ok(code) => ExitCode::from(u8::try_from(code).expect("a status")),
        Err(error) => {
            eprintln!("egida: {error}");
            ExitCode::from(u8::try_from(error.exit_code()).expect("a status"))
        }
    }
}
