//! The settings of a simulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::book::Arrivals;
use super::catalogue::products;
use super::faults::Faults;
use super::recording::Replay;
use crate::product::ProductId;
use crate::time::{Clock, NANOS_PER_SECOND, UnixNanos};

/// Which of Coinbase's feeds is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SimulatedFeed {
    /// The Exchange feed.
    #[default]
    Exchange,
    /// The Advanced Trade feed.
    Advanced,
}

impl SimulatedFeed {
    /// Gives the feed's name, as in `--feed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Advanced => "advanced",
        }
    }
}

/// The settings of a simulator; see [`SimulateConfig::default`] for their defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SimulateConfig {
    /// The feed that WebSocket clients get.
    pub feed: SimulatedFeed,
    /// The address for WebSocket clients. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// The address for REST clients; `None` for no REST.
    pub rest_listen: Option<SocketAddr>,
    /// The exchange's products.
    pub products: Vec<ProductId>,
    /// How many of the last products are not there yet. [`super::Simulation::list`] lists them. A fault `list` adds one to them, and lists it.
    pub unlisted: usize,
    /// Trades per second and product.
    pub rate_per_product: f64,
    /// Whether the trades of a product come evenly, one at a time and each with its ticker, and those of the products one after the other. Otherwise they
    /// come in sweeps and bursts, as real ones do.
    pub spread: bool,
    /// Whether tickers are sent.
    pub tickers: bool,
    /// How long the event clock runs, outages not counted; `None` for no end.
    pub duration: Option<Duration>,
    /// The seed of everything that is drawn at random.
    pub seed: u64,
    /// Where the event clock starts; `None` for the wall clock's time at that moment.
    pub start: Option<UnixNanos>,
    /// What goes wrong.
    pub faults: Faults,
    /// The file for the ledger; `None` for no ledger.
    pub ledger: Option<PathBuf>,
    /// A recording that is served instead of a market.
    pub replay: Option<Replay>,
    /// The folder for the certificate of a TLS server; `None` for plain TCP.
    pub tls: Option<PathBuf>,
    /// Trades of each product that lie before the start.
    pub history: u64,
    /// Whether one bad product makes the Exchange feed refuse the whole request.
    pub refuse_whole: bool,
    /// Bytes that may wait for one client before it is disconnected.
    pub client_bound_bytes: usize,
    /// The wall clock. The event clock starts with it, unless `start` is given, and goes at its pace.
    pub clock: Clock,
    /// REST requests per second, over all clients, above which a request is answered by 429; `None` for no limit.
    pub rest_limit: Option<u32>,
}

impl Default for SimulateConfig {
    /// One product, 10 trades a second, any free ports of loopback, no faults, no ledger.
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            feed: SimulatedFeed::Exchange,
            listen: any,
            rest_listen: Some(any),
            products: products(1).unwrap_or_default(),
            unlisted: 0,
            rate_per_product: 10.0,
            spread: false,
            tickers: true,
            duration: None,
            seed: 1,
            start: None,
            faults: Faults::default(),
            ledger: None,
            replay: None,
            tls: None,
            history: 120,
            refuse_whole: true,
            client_bound_bytes: 64 << 20,
            clock: Clock::System,
            rest_limit: None,
        }
    }
}

impl SimulateConfig {
    /// Gives how the trades of a product follow each other.
    pub(super) const fn arrivals(&self) -> Arrivals {
        if self.spread { Arrivals::Even } else { Arrivals::Bursts }
    }
}

/// Gives a duration in nanoseconds; `u64::MAX` for more than five centuries.
pub(super) fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(NANOS_PER_SECOND).saturating_add(u64::from(duration.subsec_nanos()))
}
