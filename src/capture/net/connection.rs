//! [`ConnectionHandle`]: starts a connection's thread, changes what it subscribes to, and waits for its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::capture::net::connection_error::ConnectionError;
use crate::capture::net::connection_settings::ConnectionSettings;
use crate::capture::net::connection_thread::Connection;
use crate::capture::net::router::Router;
use crate::capture::net::wanted_products::WantedProducts;
use crate::capture::report::connection_state::{Down, LossCause};
use crate::capture::report::metrics::ConnectionMetrics;
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::registry::Registry;
use crate::capture::write::ticker_source::{LinePlace, TickerSharing};
use crate::feed::parse_check::ConnectionDecoder;
use crate::feed::session::Session;
use crate::feed::session_config::SessionConfig;
use crate::product::ProductId;

/// One of the connections of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionPlace {
    /// The redundant line that it belongs to, from 0.
    pub line: u8,
    /// Its number on that line, from 0.
    pub number: usize,
}

/// The capture's handle of a connection.
pub(crate) struct ConnectionHandle {
    /// The thread's name.
    pub name: String,
    /// The connection's figures.
    pub metrics: Arc<ConnectionMetrics>,
    wanted: Arc<WantedProducts>,
    thread: Option<JoinHandle<Result<(), ConnectionError>>>,
}

impl ConnectionHandle {
    /// Starts a connection that subscribes to `products`.
    ///
    /// # Errors
    /// Where a writer or a thread cannot be started.
    pub(crate) fn start(
        place: ConnectionPlace,
        products: Vec<ProductId>,
        settings: &ConnectionSettings,
        registry: &Arc<Registry>,
        journal: &JournalHandle,
        stop: &Stop,
    ) -> Result<Self, ConnectionError> {
        let number = format!("{}.{}", place.line, place.number);
        let name = format!("line:{number}");
        let metrics = Arc::new(ConnectionMetrics::default());
        // Without a sequence, tickers carry nothing by which copies are known.
        let tickers = match (settings.lines > 1, settings.feed.has_ticker_sequence()) {
            (false, _) => TickerSharing::Alone,
            (true, false) => TickerSharing::InTurn,
            (true, true) => TickerSharing::Together,
        };
        let line = LinePlace { number: place.line, tickers };
        let router = Router::new(&number, Arc::clone(registry), journal.clone(), Arc::clone(&metrics), line, &products)?;
        let wanted = Arc::<WantedProducts>::default();
        let subscribed = products.iter().cloned().collect();
        let config = SessionConfig {
            products,
            trades: settings.trades,
            status: false,
            idle_timeout: settings.idle_timeout,
            seed: u64::from(std::process::id()) ^ settings.clock.now().0 ^ (u64::from(place.line) << 32),
        };
        let mut connection = Connection {
            name: name.clone(),
            session: Session::new(settings.feed, &config),
            decoder: ConnectionDecoder::new(settings.feed, place.line, registry.market_clock(), settings.checks_parse),
            router,
            metrics: Arc::clone(&metrics),
            settings: settings.clone(),
            journal: journal.clone(),
            stop: stop.clone(),
            wanted: Arc::clone(&wanted),
            wanted_version: 0,
            subscribed,
            socket: None,
            ticked: Instant::now(),
            unfinished_bytes: 0,
            pending: Vec::new(),
            cause: LossCause::default(),
        };
        let work = move || {
            connection.settings.cores.settle();
            let outcome = connection.run();
            if let Err(error) = &outcome {
                connection.stop.fail(error.to_string());
            }
            outcome
        };
        let thread =
            spawn(&name, Stack::Standard, stop, work).map_err(|source| ConnectionError::NoThread { name: name.clone(), source })?;
        Ok(Self { name, metrics, wanted, thread: Some(thread) })
    }

    /// Has the connection subscribe to exactly these products. Does not wait for it.
    pub(crate) fn set_products(&self, products: BTreeSet<ProductId>) {
        self.wanted.replace(products);
    }

    /// Gives since when and why the connection does not work, if it does not. One that delivers works, whether or not the exchange acknowledged anything.
    #[must_use]
    pub(crate) fn down(&self, now: Instant) -> Option<Down> {
        self.metrics.state.down(now).filter(|down| down.has_worked || !down.is_open || self.metrics.used.get() == 0)
    }

    /// Waits for the thread's end. Gives the reason where that is a failure.
    pub(crate) fn join(&mut self) -> Option<String> {
        match self.thread.take()?.join() {
            Ok(outcome) => outcome.err().map(|error| error.to_string()),
            Err(_) => Some(format!("{}: the thread died", self.name)),
        }
    }
}
