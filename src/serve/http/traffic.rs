//! [`Traffic`]: what the HTTP server counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Why a connection was ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CutOff {
    /// It took nothing of its answer for the send timeout.
    Stalled,
    /// It took its answer at less than the least rate.
    Trickling,
    /// It did not send the head of its request in time.
    SlowHead,
    /// Too many connections waited, and it was the oldest.
    Crowded,
    /// Its answer was not over when the time to stop was.
    Stopped,
    /// It read what is being stored so slowly that its place was no longer kept.
    Behind,
}

impl CutOff {
    /// All reasons.
    pub(crate) const ALL: [Self; 6] = [Self::Stalled, Self::Trickling, Self::SlowHead, Self::Crowded, Self::Stopped, Self::Behind];

    /// Gives the name that metrics use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::Trickling => "trickling",
            Self::SlowHead => "slow_head",
            Self::Crowded => "crowded",
            Self::Stopped => "stopped",
            Self::Behind => "behind",
        }
    }
}

/// What the HTTP server counts. Nothing depends on the order in which threads see the counts, so all orderings are relaxed.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    connections: AtomicU64,
    open: AtomicUsize,
    answering: AtomicUsize,
    bytes_sent: AtomicU64,
    broken_off: AtomicU64,
    panics: AtomicU64,
    cut_off: [AtomicU64; CutOff::ALL.len()],
    answers: Mutex<BTreeMap<u16, u64>>,
}

impl Traffic {
    pub(super) fn connect(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn disconnect(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn set_answering(&self, clients: usize) {
        self.answering.store(clients, Ordering::Relaxed);
    }

    pub(super) fn send(&self, bytes: usize) {
        self.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn answer(&self, status: u16) {
        *self.answers.lock().entry(status).or_default() += 1;
    }

    pub(super) fn break_off(&self) {
        self.broken_off.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::serve) fn cut_off(&self, reason: CutOff) {
        if let Some(count) = self.cut_off.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives how many connections were accepted.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Gives how many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Gives how many clients are being answered.
    pub(crate) fn answering(&self) -> usize {
        self.answering.load(Ordering::Relaxed)
    }

    /// Gives how many bytes were sent, heads included.
    pub(crate) fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::Relaxed)
    }

    /// Gives how many answers were broken off because what they were made of failed.
    pub(crate) fn broken_off(&self) -> u64 {
        self.broken_off.load(Ordering::Relaxed)
    }

    /// Gives how many handlers panicked.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Gives how many connections were cut off for a reason.
    pub(crate) fn cut_off_for(&self, reason: CutOff) -> u64 {
        self.cut_off.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Gives how many answers there were, by status.
    pub(crate) fn answers(&self) -> BTreeMap<u16, u64> {
        self.answers.lock().clone()
    }
}
