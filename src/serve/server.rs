//! [`Server`]: what every answer may use: the tape, the settings, the counts, and whether the server stops.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::config::ServeConfig;
use super::counters::Counters;
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
}

impl Server {
    pub(super) fn new(config: ServeConfig, stopping: Stopping, traffic: Arc<Traffic>) -> Self {
        Self { config, stopping, traffic, counters: Counters::default() }
    }

    /// Opens the tape, as the directory is now.
    ///
    /// # Errors
    /// Where the directory has gone away or is no tape any more.
    pub(crate) fn tape(&self) -> Result<Tape, TapeError> {
        Tape::open(&self.config.dir)
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

    /// Gives what the endpoints count.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }
}
