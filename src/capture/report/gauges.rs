//! [`Gauges`]: what the watch has measured last, for whoever asks for the figures between two of its looks.
//!
//! The watch writes, anyone reads. The numbers are relaxed atomics: they order nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::capture::report::alert_kind::AlertKind;
use crate::capture::report::machine::Memory;
use crate::status::Disk;

/// A number that is not known until it was measured.
#[derive(Debug)]
pub(crate) struct Gauge(AtomicU64);

impl Default for Gauge {
    fn default() -> Self {
        Self(AtomicU64::new(f64::NAN.to_bits()))
    }
}

impl Gauge {
    fn set(&self, value: Option<f64>) {
        self.0.store(value.unwrap_or(f64::NAN).to_bits(), Relaxed);
    }

    /// Reads it; nothing where it is not known.
    #[must_use]
    pub(crate) fn get(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Relaxed))).filter(|value| value.is_finite())
    }
}

/// The alerts of one kind.
#[derive(Debug, Default)]
pub(crate) struct AlertGauge {
    /// How many stand.
    pub standing: AtomicU64,
    /// How many were raised.
    pub raised: AtomicU64,
}

/// What the watch has measured last.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Anonymous memory, in bytes.
    pub anonymous: Gauge,
    /// Locked memory, in bytes.
    pub locked: Gauge,
    /// Mapped file pages that are not yet on disk, in bytes.
    pub dirty_mapped: Gauge,
    /// Mapped file pages in memory, in bytes.
    pub mapped: Gauge,
    /// Free bytes of the disk with the least room.
    pub disk_free: Gauge,
    /// Bytes of the disk that are taken.
    pub disk_used: Gauge,
    /// Days until it is full.
    pub disk_days: Gauge,
    /// The alerts of each kind.
    alerts: [AlertGauge; AlertKind::ALL.len()],
}

impl Gauges {
    /// Notes the memory.
    pub(crate) fn note_memory(&self, memory: Option<Memory>) {
        let of = |part: fn(Memory) -> u64| memory.map(|memory| float(part(memory)));
        self.anonymous.set(of(|memory| memory.anonymous));
        self.locked.set(of(|memory| memory.locked));
        self.dirty_mapped.set(of(|memory| memory.dirty_mapped));
        self.mapped.set(of(|memory| memory.mapped));
    }

    /// Notes the disk, of which so many bytes are taken.
    pub(crate) fn note_disk(&self, disk: Option<Disk>, used: Option<u64>) {
        self.disk_free.set(disk.map(|disk| float(disk.free_bytes)));
        self.disk_used.set(used.map(float));
        self.disk_days.set(disk.and_then(|disk| disk.days_until_full));
    }

    /// Notes how many alerts of each kind stand.
    pub(crate) fn note_alerts(&self, standing_of: impl Fn(AlertKind) -> usize) {
        for kind in AlertKind::ALL {
            let standing = u64::try_from(standing_of(*kind)).unwrap_or(u64::MAX);
            self.of(*kind).standing.store(standing, Relaxed);
        }
    }

    /// Counts an alert that is raised.
    pub(crate) fn count_raised(&self, kind: AlertKind) {
        self.of(kind).raised.fetch_add(1, Relaxed);
    }

    /// Shows the alerts of a kind.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "the table of kinds gives both the index and the length")]
    pub(crate) fn of(&self, kind: AlertKind) -> &AlertGauge {
        &self.alerts[kind.index()]
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of one machine stay far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_not_known() {
        let gauges = Gauges::default();
        assert_eq!((gauges.locked.get(), gauges.disk_days.get()), (None, None));
        gauges.note_memory(Some(Memory { locked: 4096, ..Memory::default() }));
        assert_eq!((gauges.locked.get(), gauges.anonymous.get()), (Some(4096.0), Some(0.0)));
        gauges.note_memory(None);
        assert_eq!(gauges.locked.get(), None);
    }

    #[test]
    fn alerts_are_counted_by_kind() {
        let gauges = Gauges::default();
        gauges.note_alerts(|kind| if kind == AlertKind::Conflict { 2 } else { 0 });
        let standing = |kind| gauges.of(kind).standing.load(Relaxed);
        assert_eq!((standing(AlertKind::Conflict), standing(AlertKind::Lag)), (2, 0));
    }
}
