//! A launcher: `launch [--OPTION VALUE]... -- PROGRAM ARGS`.

use std::process::ExitCode;
use std::time::Duration;

use async_trait::async_trait;
use egida_core::ids::{Domain, Rank};
use egida_node::kill::KillOrder;
use egida_node::storage::{Backend, Batch, StorageError};
use egida_node::{Options, Plan, Shape, run};
use egida_spec::protocol::FailureUnit;

pub fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let mut shape = Shape { ranks: 2, ranks_per_node: 1, unit: None };
    let mut spec = "protocol none with (f = 0)".to_owned();
    let mut options = Options::default();
    let mut kills = Vec::new();
    let mut is_disk_full = false;
    while let Some(option) = args.next().filter(|option| option != "--") {
        if let "--tag" | "--quiet" | "--discard" | "--full-disk" | "--warn" = option.as_str() {
            options.diverging_is_fine |= option == "--warn";
            is_disk_full |= option == "--full-disk";
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
    if is_disk_full {
        plan.backends.register("NFS disk", |_| Ok(Box::new(FullDisk)));
    }
    match run(plan) {
        Ok(code) => ExitCode::from(u8::try_from(code).expect("a status")),
        Err(error) => {
            eprintln!("egida: {error}");
            ExitCode::from(u8::try_from(error.exit_code()).expect("a status"))
        }
    }
}

/// A backend as a user's crate would register one.
struct FullDisk;

#[async_trait]
impl Backend for FullDisk {
    async fn append(&mut self, batch: &Batch) -> Result<(), StorageError> {
        let rank = batch.iter().next().map_or(0, |entry| entry.rank);
        Err(StorageError::Full { rank, path: "/full/disk".into() })
    }

    async fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    async fn read(&mut self, _: &[Rank]) -> Result<Batch, StorageError> {
        Ok(Batch::default())
    }

    async fn discard(&mut self, _: Domain) -> Result<(), StorageError> {
        Ok(())
    }
}
