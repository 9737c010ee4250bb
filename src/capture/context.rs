//! [`CaptureContext`]: what all writers and connections of a capture share.
//!
//! A capture that takes over from another one connects before it holds the directory. So what writes to the directory ([`Storage`]) comes later than the rest.
//! Whatever uses it is started after that.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::capture::cores::Cores;
use crate::capture::net::raw_frames::RawFrames;
use crate::capture::report::metrics::Metrics;
use crate::capture::service::files::Provisioner;
use crate::capture::service::journal::JournalHandle;
use crate::capture::service::rest_fetch::RestFetch;
use crate::capture::service::sync::SyncHandle;
use crate::capture::stop::Stop;
use crate::capture::write::deliveries::Deliveries;
use crate::schema::Datasets;
use crate::store::DataDir;
use crate::time::{Clock, UnixNanos};

/// A data directory that this capture holds, and handles to the threads that write to it.
pub(crate) struct Storage {
    /// The data directory, locked by this capture.
    pub dir: Arc<DataDir>,
    /// When this capture took the directory over from another one, if it did.
    pub taken_over_at: Option<UnixNanos>,
    /// Flushes.
    pub sync: SyncHandle,
    /// Space in files, and seals.
    pub provisioner: Provisioner,
}

/// What all writers and connections of a capture share: settings, figures, and handles to the threads that serve them.
pub(crate) struct CaptureContext {
    /// What writes to the data directory; nothing until this capture holds it.
    pub storage: OnceLock<Storage>,
    /// The datasets to keep.
    pub datasets: Datasets,
    /// The box's wall clock.
    pub clock: Clock,
    /// Figures of the whole capture.
    pub metrics: Arc<Metrics>,
    /// Journal, rejects, exact texts.
    pub journal: JournalHandle,
    /// Trades from REST and repairs, for each writer.
    pub deliveries: Arc<Deliveries>,
    /// Missing trades by REST, where they are fetched.
    pub backfill: Option<RestFetch>,
    /// How long trades behind a gap wait for the missing ones.
    pub gap_wait: Duration,
    /// How many redundant lines there are.
    pub lines: usize,
    /// Whether the threads of a connection poll instead of sleeping.
    pub spins: bool,
    /// The processors for connections and writers.
    pub cores: Arc<Cores>,
    /// The newest frames of every connection.
    pub raw_frames: RawFrames,
    /// Ends the capture.
    pub stop: Stop,
}

impl CaptureContext {
    /// Gives the data directory.
    ///
    /// # Panics
    /// Where the directory is not held yet. Writers and services are started after that.
    #[must_use]
    pub(crate) fn dir(&self) -> &Arc<DataDir> {
        &self.storage().dir
    }

    /// Gives when this capture took the directory over from another one, if it did. Panics as [`CaptureContext::dir`].
    #[must_use]
    pub(crate) fn taken_over_at(&self) -> Option<UnixNanos> {
        self.storage().taken_over_at
    }

    /// Gives the handle to the flushes. Panics as [`CaptureContext::dir`].
    #[must_use]
    pub(crate) fn sync(&self) -> &SyncHandle {
        &self.storage().sync
    }

    /// Gives the handle to space and seals. Panics as [`CaptureContext::dir`].
    #[must_use]
    pub(crate) fn provisioner(&self) -> &Provisioner {
        &self.storage().provisioner
    }

    fn storage(&self) -> &Storage {
        self.storage.get().expect("writers and services are started when the directory is held")
    }

    /// Gives the exchange's time: the box's, unless messages have shown that to be wrong. Days begin and end by it.
    #[must_use]
    pub(crate) fn market_now(&self) -> UnixNanos {
        self.metrics.market.now(self.clock.now())
    }

    /// Gives the latest time by either clock at which a message that was read at `recv` may have happened; 0 where it was not received live.
    #[inline]
    #[must_use]
    pub(crate) fn latest_at(&self, recv: UnixNanos) -> UnixNanos {
        if recv.0 == 0 { recv } else { self.metrics.market.now(recv).max(recv) }
    }
}
