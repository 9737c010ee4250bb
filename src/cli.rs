//! The shell: what was typed becomes checked settings and one call. The only place that prints to stdout and picks exit codes.
//!
//! 1. Settings are parsed twice and read once: [`args`] (as typed) → a `…Config` (checked, derived). Nothing below sees arguments or environment.
//! 2. Exit codes of all commands: 0 done, 1 it failed or something does not hold, 2 the command line is wrong.
//! 3. Data goes to stdout, everything else to stderr.

pub mod args;
pub mod backfill;
pub mod capture;
mod logging;
pub mod query;
pub mod repair;
pub mod report;
pub mod simulate;
pub mod units;
pub mod verify;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// Done, or everything holds.
pub const DONE: u8 = 0;
/// It failed, or something does not hold.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;

/// Why a command ended without having done its work.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong: exit 2.
    Usage(String),
    /// It failed: exit 1.
    Failed(String),
}

impl Failure {
    /// Wraps anything that says what went wrong.
    pub fn failed(reason: impl std::fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }
}

/// Runs the program: reads the command line, carries the command out, gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let log = match logging::start() {
        Ok(log) => log,
        Err(error) => {
            eprintln!("error: no thread for the log: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let outcome = match cli.command {
        Command::Capture(args) => capture::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Backfill(args) => backfill::run(&args),
    };
    log.finish();
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(Failure::Usage(reason)) => {
            eprintln!("error: {reason}\n\nFor more information, try '--help'.");
            ExitCode::from(USAGE)
        }
        Err(Failure::Failed(reason)) => {
            eprintln!("error: {reason}");
            ExitCode::from(FAILED)
        }
    }
}
