//! [`Flushes`]: how what was stored is brought to disk, and which flushes have failed.
//!
//! 1. A product's folder, a dataset's or a file may lie on a device of its own ([`super::device`]). A flush is one of every device that the directory's
//!    files lie on, and has failed if one of them has. So nothing is called durable anywhere until every device has taken what it was given.
//! 2. The kernel reports a failure to one flush only, on whichever thread that is. So flushes come one after the other and failures are counted:
//!    every flush that succeeds says how many had failed before it, and a caller that relies on it compares.
//! 3. After a failure that could not be repaired there is no flush any more ([`Flushes::end`]).
//! 4. A flush makes the pages that it writes read-only, so the first store to each of them afterwards waits for the system. The epoch says between
//!    which two flushes a page was stored to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::device::Devices;
use super::error::StoreError;
use super::probe::{Probe, Step, Verdict, Why};

/// Whether flushes are still done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flushing {
    Allowed,
    /// A failure could not be repaired.
    Ended,
}

/// The flushes of a data directory.
#[derive(Debug)]
pub(crate) struct Flushes {
    path: PathBuf,
    devices: Devices,
    probe: Option<Probe>,
    /// Held during a flush.
    flushing: Mutex<Flushing>,
    failed: AtomicU64,
    /// Flushes begun and ended: odd while one runs.
    epoch: AtomicU64,
}

impl Flushes {
    /// Begins with the devices that are known so far.
    pub(crate) fn new(path: &Path, devices: Devices, probe: Option<Probe>) -> Self {
        Self {
            path: path.to_owned(),
            devices,
            probe,
            flushing: Mutex::new(Flushing::Allowed),
            failed: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
        }
    }

    /// Shows the devices that are flushed.
    pub(crate) fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Flushes every device. Gives the number of flushes that have failed so far: what one of them may have lost is not on disk by this one.
    pub(crate) fn flush(&self, why: Why) -> Result<u64, StoreError> {
        self.run_checked(why, || self.flush_devices())
    }

    /// Flushes all devices, also those behind one that fails. Gives the first failure.
    fn flush_devices(&self) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for device in self.devices.all().iter() {
            let flushed = match self.step(Step::Device(device.id())) {
                Verdict::Go => device.flush(),
                Verdict::Skip => Ok(()),
                Verdict::Fail => Err(io::Error::other("the probe lets it fail")),
            };
            outcome = outcome.and(flushed.map_err(|source| StoreError::Flush { path: device.path().to_owned(), source }));
        }
        outcome
    }

    /// Runs another kind of flush, in turn with all others. Gives the number of flushes that have failed so far.
    pub(crate) fn run(&self, why: Why, flush: impl FnOnce() -> io::Result<()>) -> Result<u64, StoreError> {
        self.run_checked(why, || flush().map_err(|source| self.error(source)))
    }

    fn run_checked(&self, why: Why, flush: impl FnOnce() -> Result<(), StoreError>) -> Result<u64, StoreError> {
        let flushing = self.flushing.lock();
        if *flushing == Flushing::Ended {
            return Err(self.error(io::Error::other("an earlier flush failed, and what it lost could not be stored again")));
        }
        let _epoch = RunningFlush::begin(&self.epoch);
        let done = match self.step(Step::Flush(why)) {
            Verdict::Go => flush(),
            Verdict::Skip => return Ok(self.failed()),
            Verdict::Fail => Err(self.error(io::Error::other("the probe lets it fail"))),
        };
        if let Err(error) = done {
            // Release, inside the lock: a flush that comes later counts this one. Partner: the load in `failed`.
            self.failed.fetch_add(1, Ordering::Release);
            return Err(error);
        }
        self.step(Step::Flushed(why));
        Ok(self.failed())
    }

    /// Gives the number of the time between two flushes; nothing while one runs.
    #[inline]
    pub(crate) fn epoch(&self) -> Option<u64> {
        // Acquire: a writer that finds a flush begun does not take its next store to be before it. Partner: `RunningFlush`. A flush may begin right
        // after this load; then the store waits, as any store may. Nothing else depends on it.
        Some(self.epoch.load(Ordering::Acquire)).filter(|epoch| epoch.is_multiple_of(2))
    }

    /// Gives the number of flushes that have failed. Does not wait: a flush that is failing just now is counted by the next flush.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Acquire)
    }

    /// Ends all flushing: nothing is called durable any more.
    pub(crate) fn end(&self) {
        *self.flushing.lock() = Flushing::Ended;
    }

    pub(crate) fn error(&self, source: io::Error) -> StoreError {
        StoreError::Flush { path: self.path.clone(), source }
    }

    /// Shows a step to the probe, where there is one.
    pub(crate) fn step(&self, step: Step) -> Verdict {
        self.probe.as_ref().map_or(Verdict::Go, |probe| probe.see(step))
    }
}

/// A flush that runs.
struct RunningFlush<'a>(&'a AtomicU64);

impl<'a> RunningFlush<'a> {
    fn begin(epoch: &'a AtomicU64) -> Self {
        // Release: see `epoch`.
        epoch.fetch_add(1, Ordering::Release);
        Self(epoch)
    }
}

impl Drop for RunningFlush<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_there_is_no_epoch_during_a_flush() {
        let dir = tempfile::tempdir().expect("a folder");
        let devices = Devices::default();
        devices.admit(dir.path(), crate::store::device::FileSystems::Any).expect("opened");
        let flushes = Flushes::new(dir.path(), devices, None);
        assert_eq!(flushes.epoch(), Some(0));
        let during = || {
            assert_eq!(flushes.epoch(), None);
            Err(io::Error::other("no device"))
        };
        assert!(matches!(flushes.run(Why::Sync, during), Err(StoreError::Flush { .. })));
        assert_eq!((flushes.epoch(), flushes.failed(), flushes.flush(Why::Sync).expect("flushed")), (Some(2), 1, 1));
        flushes.end();
        assert!(matches!(flushes.flush(Why::Sync), Err(StoreError::Flush { .. })));
        assert_eq!(flushes.failed(), 1, "a flush that is not done has not failed");
    }
}
