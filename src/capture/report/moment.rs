//! [`Moment`]: when something happened last, noted by one thread and read by any. A relaxed atomic: it orders nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// When something happened last; nothing where it never has, or is over.
#[derive(Debug)]
pub(crate) struct Moment {
    base: Instant,
    /// Nanoseconds since `base`, plus 1; 0 stands for nothing.
    nanos: AtomicU64,
}

impl Default for Moment {
    fn default() -> Self {
        Self { base: Instant::now(), nanos: AtomicU64::new(0) }
    }
}

impl Moment {
    /// Notes a moment. One before this object was made counts as then.
    pub(crate) fn note(&self, at: Instant) {
        let nanos = u64::try_from(at.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX);
        self.nanos.store(nanos.saturating_add(1), Relaxed);
    }

    /// Notes a moment, or that there is none.
    pub(crate) fn set(&self, at: Option<Instant>) {
        match at {
            Some(at) => self.note(at),
            None => self.nanos.store(0, Relaxed),
        }
    }

    /// Gives how long ago it was.
    #[must_use]
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        let since = self.nanos.load(Relaxed).checked_sub(1)?;
        Some(now.saturating_duration_since(self.base).saturating_sub(Duration::from_nanos(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_an_age_until_it_is_over() {
        let (moment, start) = (Moment::default(), Instant::now());
        assert_eq!(moment.age(start), None);
        moment.note(start + Duration::from_secs(1));
        assert_eq!(moment.age(start + Duration::from_secs(4)), Some(Duration::from_secs(3)));
        assert_eq!(moment.age(start), Some(Duration::ZERO));
        moment.set(None);
        assert_eq!(moment.age(start), None);
        let moment = Moment::default();
        moment.note(start);
        assert!(moment.age(Instant::now()).is_some(), "the moment of its making counts as well");
    }
}
