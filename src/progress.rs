//! [`Observer`]: is told how far a long piece of work is. Who shows it, and how, is not decided here.
//!
//! 1. Work is a number of things of one kind: records, days, ids. Their total is known when it begins, or is an estimate.
//! 2. An observer that nobody set costs a branch.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far a piece of work is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// What is being done, for people.
    pub what: String,
    /// How many things are done.
    pub done: u64,
    /// How many there are in all; 0 where that is not known.
    pub of: u64,
    /// What is counted, in the plural.
    pub unit: &'static str,
}

impl Step {
    /// Says how far a piece of work is.
    #[must_use]
    pub const fn new(what: String, done: u64, of: u64, unit: &'static str) -> Self {
        Self { what, done, of, unit }
    }
}

/// Is told how far a piece of work is; by default nobody is.
///
/// ```
/// use coltape::{Observer, VerifyConfig, UnixNanos, verify};
/// let dir = tempfile::tempdir()?;
/// let mut config = VerifyConfig::new(dir.path(), UnixNanos(0));
/// config.observer = Observer::new(|step| eprintln!("{}: {} of {} {}", step.what, step.done, step.of, step.unit));
/// assert!(verify(&config).is_err(), "an empty folder is no data directory");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<Observed>>);

struct Observed {
    see: Box<dyn Fn(&Step) + Send + Sync>,
    done: AtomicU64,
    of: AtomicU64,
}

impl Observer {
    /// Tells a function. It is called from the thread that works, and holds the work up as long as it runs.
    pub fn new(see: impl Fn(&Step) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(Observed { see: Box::new(see), done: AtomicU64::new(0), of: AtomicU64::new(0) })))
    }

    /// Begins a piece of work of so many things.
    pub(crate) fn begin(&self, of: u64) {
        if let Some(observed) = &self.0 {
            // Relaxed: one thread works, and the counts order nothing else.
            observed.done.store(0, Ordering::Relaxed);
            observed.of.store(of, Ordering::Relaxed);
        }
    }

    /// Counts things that are done, and tells of it.
    pub(crate) fn advance(&self, by: u64, unit: &'static str, what: impl FnOnce() -> String) {
        if let Some(observed) = &self.0 {
            let done = observed.done.fetch_add(by, Ordering::Relaxed).saturating_add(by);
            (observed.see)(&Step::new(what(), done, observed.of.load(Ordering::Relaxed), unit));
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer" } else { "Observer(nobody)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[test]
    fn every_piece_of_work_is_counted_from_its_beginning() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let observer = Observer::new(move |step| sink.lock().push((step.what.clone(), step.done, step.of)));
        observer.begin(5);
        observer.advance(2, "days", || "a".to_owned());
        observer.clone().advance(3, "days", || "b".to_owned());
        observer.begin(0);
        observer.advance(1, "days", || "c".to_owned());
        let want = [("a", 2, 5), ("b", 5, 5), ("c", 1, 0)].map(|(what, done, of)| (what.to_owned(), done, of));
        assert_eq!(*seen.lock(), want);
        Observer::default().advance(1, "days", || unreachable!("nobody is told"));
    }
}
