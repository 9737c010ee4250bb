//! [`Server`]: what every answer may use: the tape, the settings, the counts, and whether the server stops.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::coinbase::live::Live;
use super::config::ServeConfig;
use super::counters::Counters;
use super::data::{LiveHubs, ParquetFiles, Verdicts};
use super::http::stopping::Stopping;
use super::http::traffic::Traffic;
use crate::tape::{Tape, TapeError};

/// What every answer may use.
#[derive(Debug)]
pub(crate) struct Server {
    config: ServeConfig,
    stopping: Stopping,
    traffic: Arc<Traffic>,
    counters: Counters,
    parquet_files: ParquetFiles,
    live: Live,
    live_hubs: LiveHubs,
    verdicts: Verdicts,
    /// The tape as it was first opened: it remembers what it has read of files that have not changed.
    tape: Tape,
}

impl Server {
    pub(super) fn new(config: ServeConfig, tape: Tape, stopping: Stopping, traffic: Arc<Traffic>) -> Self {
        Self {
            config,
            stopping,
            traffic,
            counters: Counters::default(),
            parquet_files: ParquetFiles::default(),
            live: Live::new(&tape),
            live_hubs: LiveHubs::default(),
            verdicts: Verdicts::default(),
            tape,
        }
    }

    /// Opens the tape, as the directory is now.
    ///
    /// # Errors
    /// Where the directory has gone away or is no tape any more.
    pub(crate) fn tape(&self) -> Result<Tape, TapeError> {
        // Opened anew, so that a directory that has gone away is told.
        Tape::open(&self.config.dir)?;
        Ok(self.tape.clone())
    }

    /// Gives the data directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.config.dir
    }

    /// Gives the settings.
    pub(crate) fn config(&self) -> &ServeConfig {
        &self.config
    }

    /// Tells whether the server stops: a stream without an end ends, a WebSocket is closed with 1001.
    pub(crate) fn stopping(&self) -> bool {
        self.stopping.is_asked()
    }

    /// Waits, but not after the server's stop. Gives whether it stops.
    #[must_use]
    pub(crate) fn wait(&self, longest: Duration) -> bool {
        self.stopping.wait(longest)
    }

    /// Gives what the HTTP server counts.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Gives the Parquet files that clients read piece by piece.
    pub(super) fn parquet_files(&self) -> &ParquetFiles {
        &self.parquet_files
    }

    /// Gives what is being stored, as WebSockets follow it.
    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    /// Gives what is being stored, as event streams follow it.
    pub(super) fn live_hubs(&self) -> &LiveHubs {
        &self.live_hubs
    }

    /// Gives what is known of the completeness of times that were asked for.
    pub(super) fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// Gives what the endpoints count.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }
}
