//! The command line: arguments become checked settings and one call. Only this layer prints to stdout and chooses exit codes.
//!
//! 1. [`args`] holds the arguments as they were typed. Each command turns them into a `…Config`, which is checked and derived. The layers below see neither
//!    arguments nor environment.
//! 2. Exit codes of all commands: 0 done; 1 the command failed, or something does not hold; 2 the command line is wrong.
//! 3. Data goes to stdout, everything else to stderr, both by way of [`output`].

mod alert_args;
pub(crate) mod archive;
pub(crate) mod args;
pub(crate) mod backfill;
pub(crate) mod candles;
pub(crate) mod capture;
mod capture_help;
mod data_dir;
pub(crate) mod doctor;
pub(crate) mod export;
mod export_help;
mod input;
mod limits;
mod listening;
mod logging;
pub(crate) mod market;
mod next;
pub(crate) mod orders;
pub(crate) mod outcome;
pub(crate) mod output;
pub(crate) mod plot;
mod progress;
mod proxy;
pub(crate) mod query;
mod query_help;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod serve;
mod shell_args;
pub(crate) mod shell_files;
pub(crate) mod simulate;
pub(crate) mod stats;
pub(crate) mod status;
mod targets;
pub(crate) mod units;
pub(crate) mod values;
pub(crate) mod verify;
mod verify_help;

use std::process::ExitCode;

use clap::Parser;

use crate::capture::threads::no_thread;
use args::{Cli, Command};
use outcome::{FAILED, Failure};

/// Runs the program: reads the command line, runs the command, gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    if let Err(Failure::Usage(reason) | Failure::Failed(reason)) = limits::prepare() {
        output::note(&format!("error: {reason}"));
        return ExitCode::from(FAILED);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return ExitCode::from(output::command_line(&said)),
    };
    let log = match logging::start() {
        Ok(log) => log,
        Err(error) => {
            output::note(&format!("error: no thread for the log: {}", no_thread(&error)));
            return ExitCode::from(FAILED);
        }
    };
    let outcome = match cli.command {
        Command::Capture(args) => capture::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Candles(args) => candles::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Orders(args) => orders::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Backfill(args) => backfill::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Archive(args) => archive::run_archive(&args),
        Command::Restore(args) => archive::run_restore(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => shell_files::completions(&args),
        Command::Man(args) => shell_files::man(&args),
    };
    log.finish();
    ExitCode::from(outcome.unwrap_or_else(|failure: Failure| output::failure(&failure)))
}
