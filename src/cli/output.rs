//! What the program prints: the only place that writes to stdout and stderr.
//!
//! 1. A reader that goes away (`coltape query … | head`) ends the output and is no failure: the exit code is that of the work.
//! 2. Any other write to stdout that fails makes the command fail, as its data has not arrived: exit 1, with the reason on stderr.
//! 3. A write to stderr that fails changes nothing: there is no place left to report it.
//! 4. Control characters are escaped, as texts may come from a server or from a file: see [`crate::escape`].
//!
//! `print!` and its relatives panic where 1 to 3 ask for something else. `lib.rs` denies them.

use std::io::{self, Write};

use super::outcome::{FAILED, Failure, USAGE};
use crate::escape::Escaped;

/// Prints text to stdout. Its line feeds stay; other control characters are escaped.
///
/// # Errors
/// [`Failure::Failed`] where stdout takes no more. It is not an error that its reader has gone away.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = text.split_inclusive('\n').try_for_each(|line| match line.strip_suffix('\n') {
        Some(line) => writeln!(out, "{}", Escaped(line)),
        None => write!(out, "{}", Escaped(line)),
    });
    checked(written.and_then(|()| out.flush()))
}

/// Prints lines to stdout, each with a line feed.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_lines<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = lines.into_iter().try_for_each(|line| writeln!(out, "{}", Escaped(line)));
    checked(written.and_then(|()| out.flush()))
}

/// Judges a write to stdout.
///
/// # Errors
/// As [`print`].
pub(crate) fn checked(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Failed(format!("cannot write to stdout: {error}"))),
        _ => Ok(()),
    }
}

/// Prints a line to stderr.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{}", Escaped(line));
}

/// Prints why a command did not do its work. Gives its exit code.
pub(crate) fn failure(failure: &Failure) -> u8 {
    match failure {
        Failure::Usage(reason) => {
            note(&format!("error: {reason}"));
            note("");
            note("For more information, try '--help'.");
            USAGE
        }
        Failure::Failed(reason) => {
            note(&format!("error: {reason}"));
            FAILED
        }
    }
}

/// Prints what the reading of the command line has to say: the help or the version to stdout, a mistake to stderr. Gives the exit code.
pub(crate) fn command_line(said: &clap::Error) -> u8 {
    let printed = said.print();
    if said.use_stderr() {
        return USAGE;
    }
    match checked(printed.and_then(|()| io::stdout().flush())) {
        Ok(()) => super::outcome::DONE,
        Err(reason) => failure(&reason),
    }
}
