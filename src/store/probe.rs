//! A seam for tests: a [`Probe`] sees every step that changes or flushes files, and may skip or fail it.
//!
//! 1. Without a probe a step costs one look at an `Option`. Appending a record makes no step.
//! 2. A probe can plant a bug: it skips a flush, or has one slot written twice. The crash tests must find it.

use std::fmt;
use std::sync::Arc;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The file system is about to be flushed, for the reason given.
    Flush(Why),
    /// One of the devices is about to be flushed, by its number. `Fail` lets that device fail alone.
    Device(u64),
    /// The flush has succeeded: all that was stored before it began is on disk.
    Flushed(Why),
    /// Something has been changed: a file made, cut, renamed, a sector stored.
    Changed(&'static str),
    /// A durable slot is about to be written. `Skip` has it written over the newest one instead of the older.
    Slot,
}

/// Why there is a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The cycle of the sync thread.
    Sync,
    /// The second attempt after a failed flush.
    Again,
    /// A day's records, before it is sealed.
    SealData,
    /// Cut files, or the new files of a replaced day.
    SealFiles,
    /// The page's new state.
    SealState,
    /// The renamed files' directory.
    Names,
    /// The page of a replaced day, sealed.
    Replaced,
    /// The page of a sealed day that is live again. This flush and the next write only the page.
    Reopened,
    /// The page of a day whose state had lost its spare.
    Spare,
    /// What recovery has zeroed, cut or copied.
    Recovered,
}

/// What becomes of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Do it.
    Go,
    /// Do not do it.
    Skip,
    /// Let it fail.
    Fail,
}

/// Sees every step. See the module's documentation.
#[derive(Clone)]
pub struct Probe(Arc<dyn Fn(Step) -> Verdict + Send + Sync>);

impl Probe {
    /// Wraps a function.
    pub fn new(see: impl Fn(Step) -> Verdict + Send + Sync + 'static) -> Self {
        Self(Arc::new(see))
    }

    pub(crate) fn see(&self, step: Step) -> Verdict {
        (self.0)(step)
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}
