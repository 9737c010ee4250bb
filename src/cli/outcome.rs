//! How a command ends: its exit code, or why it did not do its work.

use std::fmt::Display;

/// Done, or everything holds.
pub(crate) const DONE: u8 = 0;
/// The command failed, or something does not hold.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong: exit 2.
    Usage(String),
    /// The command failed: exit 1.
    Failed(String),
}

impl Failure {
    /// Makes a failure of an error.
    pub(crate) fn failed(reason: impl Display) -> Self {
        Self::Failed(reason.to_string())
    }
}
