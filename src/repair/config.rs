//! [`RepairConfig`] and [`RestConfig`]: what to repair, and from what.

use std::path::PathBuf;

use crate::feed::connector::Connector;
use crate::feed::proxy::Proxies;
use crate::feed::tls::TlsRoots;
use crate::product::ProductId;
use crate::progress::Observer;
use crate::store::probe::Probe;
use crate::time::Clock;

/// What to repair, and from what.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepairConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// The only product to repair; `None` = all that the directory has.
    pub product: Option<ProductId>,
    /// Other boxes' tapes, in the order in which they are read.
    pub from: Vec<PathBuf>,
    /// REST; `None` = it is not asked.
    pub rest: Option<RestConfig>,
    /// Whether to say only what would be done.
    pub is_dry: bool,
    /// Whether tapes of other endpoints are read, too.
    pub any_endpoint: bool,
    /// Whether to write to a file system that is not known to be safe.
    pub force_fs: bool,
    /// The wall clock.
    pub clock: Clock,
    /// Is told how far the repair is.
    pub observer: Observer,
    /// Sees every step of the store; tests only.
    #[doc(hidden)]
    pub probe: Option<Probe>,
}

impl RepairConfig {
    /// Repairs every product of a data directory. No other tape is read and REST is not asked until the fields say so.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            product: None,
            from: Vec::new(),
            rest: None,
            is_dry: false,
            any_endpoint: false,
            force_fs: false,
            clock: Clock::System,
            observer: Observer::default(),
            probe: None,
        }
    }
}

/// Where REST is, and how often it may be asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestConfig {
    /// The endpoint.
    pub url: String,
    /// The roots that TLS trusts.
    pub roots: TlsRoots,
    /// Requests a second.
    pub rate: f64,
    /// The proxies to go through.
    pub proxies: Proxies,
}

impl RestConfig {
    /// Asks an endpoint such as `https://api.exchange.coinbase.com`, at most `rate` times a second, without a proxy.
    #[must_use]
    pub fn new(url: impl Into<String>, roots: TlsRoots, rate: f64) -> Self {
        Self { url: url.into(), roots, rate, proxies: Proxies::default() }
    }

    /// Makes what connections are made by.
    pub(super) fn connector(&self) -> Connector {
        Connector::new(self.roots.clone(), self.proxies.clone())
    }
}
