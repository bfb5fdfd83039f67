//! `egida daemon`: what `egida run --hosts` starts on a host.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

/// The daemon of a host. It reads the job's key from standard input, whose end is its own.
#[derive(Debug, Args)]
pub struct DaemonArgs {
    /// Which of the job's hosts this is
    #[arg(long, value_name = "N")]
    host: u32,

    /// Where the launcher listens
    #[arg(long, value_name = "ADDRESS:PORT")]
    launcher: SocketAddr,
}

/// Runs the command.
pub fn daemon(args: &DaemonArgs) -> ExitCode {
    match egida_node::hosts::run_daemon(args.launcher, args.host) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("egida daemon: {error}");
            ExitCode::FAILURE
        }
    }
}
