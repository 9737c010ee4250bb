//! [`ConnectionSettings`]: what all connections of a capture share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::capture::config::CaptureConfig;
use crate::capture::cores::Cores;
use crate::capture::error::CaptureError;
use crate::capture::net::recorder::Recorder;
use crate::feed::Feed;
use crate::feed::backoff::ConnectGate;
use crate::feed::connector::Connector;
use crate::feed::endpoint::Endpoint;
use crate::feed::timeouts::Timeouts;
use crate::schema::Dataset;
use crate::time::Clock;

/// What all connections of a capture share.
#[derive(Clone)]
pub(crate) struct ConnectionSettings {
    pub(super) feed: Feed,
    pub(super) endpoint: Endpoint,
    pub(super) connector: Connector,
    pub(super) timeouts: Timeouts,
    /// Whether trades are subscribed to.
    pub(super) trades: bool,
    /// Redundant lines.
    pub(super) lines: u8,
    pub(super) idle_timeout: Duration,
    /// Keeps connection attempts apart, over all connections.
    pub(super) gate: Arc<ConnectGate>,
    pub(super) recorder: Option<Recorder>,
    pub(super) cores: Arc<Cores>,
    pub(super) clock: Clock,
    /// Whether each message is read both ways, and the two are compared.
    pub(super) checks_parse: bool,
    /// The start of the sessions' time.
    pub(super) epoch: Instant,
}

impl ConnectionSettings {
    /// Gives the address to connect to.
    pub(super) fn endpoint(&self) -> String {
        self.endpoint.to_string()
    }

    /// Keeps connection attempts apart from those of other settings, too.
    #[must_use]
    pub(crate) fn in_turn_with(self, other: &Self) -> Self {
        Self { gate: Arc::clone(&other.gate), epoch: other.epoch, ..self }
    }

    /// Checks the endpoint and the extra root.
    ///
    /// # Errors
    /// Where one of them cannot be used.
    pub(crate) fn new(config: &CaptureConfig, recorder: Option<Recorder>, cores: Arc<Cores>) -> Result<Self, CaptureError> {
        Ok(Self {
            feed: config.feed,
            endpoint: Endpoint::parse(&config.url)?,
            connector: connector(config)?,
            timeouts: Timeouts { spins: config.spins, ..Timeouts::default() },
            trades: config.datasets.contains(Dataset::Trades),
            lines: config.lines,
            idle_timeout: config.idle_timeout,
            gate: Arc::default(),
            recorder,
            cores,
            clock: config.clock.clone(),
            checks_parse: config.checks_parse,
            epoch: Instant::now(),
        })
    }
}

fn connector(config: &CaptureConfig) -> Result<Connector, CaptureError> {
    match &config.ca_file {
        Some(path) if !path.is_file() => Err(CaptureError::CaFile { path: path.clone() }),
        _ => Ok(config.connector()),
    }
}
