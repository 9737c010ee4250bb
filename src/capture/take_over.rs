//! [`TakeOver`]: how a new capture replaces the one that holds the data directory, so that no trade is lost between the two.
//!
//! ```text
//! old   ──── records ────────────────────────┬ drains, seals, ends ┐
//! new   connects, subscribes, queues ── asks ┘      queues         └ holds the directory, writes what waits
//! ```
//!
//! 1. The old capture is asked only when the new one is ready: the exchange has answered for every product on the connections that there are, and what the
//!    old one has stored reaches the first trade and the first ticker that the new one has received since ([`Unbroken`]). So the two overlap; what both have
//!    is stored once. Where the new one loses a connection before that, it begins again; a request that nobody has taken is withdrawn.
//! 2. It is asked by a file ([`StopRequest`]), not by a signal: a signal cannot be taken back. A capture that does not take the request in time never
//!    hears of it. No process is killed.
//! 3. If the directory becomes free, it is taken at once, ready or not.
//! 4. What has come waits in the queues of the products, and what they cannot hold beside them ([`crate::capture::write::spill`]).
//!
//! Runs on the thread that starts the capture.
//!
//! [`Unbroken`]: crate::capture::report::unbroken::Unbroken

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::capture::config::CaptureConfig;
use crate::capture::error::CaptureError;
use crate::capture::stop::Stop;
use crate::capture::write::registry::Registry;
use crate::capture::write::resume;
use crate::capture::write::seam::BLUR_NANOS;
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::store::stop_request::StopRequest;
use crate::store::{DataDir, StoreError, catalog};
use crate::time::UnixNanos;

/// How long the new capture may take to be ready. It makes at most one connection a second.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How long both captures record at least. What the exchange sends after an acknowledgement reaches the new one within this time.
const OVERLAP: Duration = Duration::from_millis(500);

/// How long the new capture waits for the old one to have stored what the new one begins with. After that the trades between are left to REST, and tickers
/// are missing.
const REACHED_WITHIN: Duration = Duration::from_secs(10);

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// How far it has come.
enum Phase {
    /// The new capture is not ready.
    Preparing { since: Instant },
    /// Every product is answered for. What the old one has stored does not reach what the new one begins with yet. `begun` is when this one began to prepare.
    Reaching { begun: Instant, since: Instant },
    /// The old one is asked.
    Asked { begun: Instant, at: Instant, request: StopRequest },
    /// The old one has taken the request.
    Ending { since: Instant },
}

/// What a product begins with in the new capture.
#[derive(Debug, Clone)]
struct Begun {
    product: ProductId,
    trade: Option<u64>,
    ticker: Option<UnixNanos>,
}

/// What the old capture has not stored of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Behind {
    TradesBefore(u64),
    TickersBefore(UnixNanos),
}

impl fmt::Display for Behind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TradesBefore(first) => write!(out, "the trades before {first}; they are left to REST"),
            Self::TickersBefore(first) => write!(out, "the tickers before {first}; those that it has not received are missing"),
        }
    }
}

/// A take-over: of which directory, and by what.
pub(super) struct TakeOver<'a> {
    dir: &'a Path,
    /// The dataset that has the tickers; nothing where none are kept.
    of_tickers: Option<Dataset>,
    registry: &'a Registry,
    stop: &'a Stop,
    end_patience: Duration,
}

impl<'a> TakeOver<'a> {
    /// Prepares to take over a directory, for products whose connections have been started.
    pub(super) fn new(config: &'a CaptureConfig, registry: &'a Registry, stop: &'a Stop) -> Self {
        let of_tickers = config.datasets.iter().find(|dataset| dataset.is_of_tickers());
        Self { dir: &config.data_dir, of_tickers, registry, stop, end_patience: config.end_patience }
    }

    /// Waits until this capture is ready, asks the old one to end, and takes the directory when it has. `open` tries to take it.
    ///
    /// # Errors
    /// Where this capture is not ready in time, a stop is asked for, or the old one does not end in time; where the directory cannot be opened.
    pub(super) fn run(&self, open: impl Fn() -> Result<DataDir, StoreError>) -> Result<DataDir, CaptureError> {
        let mut phase = Phase::Preparing { since: Instant::now() };
        loop {
            let pid = match open() {
                Err(StoreError::Locked { pid, .. }) => pid,
                // A request that nobody has taken is withdrawn with the phase.
                opened => return Ok(opened?),
            };
            phase = self.advance(phase, &pid)?;
            if self.stop.wait(LOOK) {
                return Err(self.error(&pid, self.stop.failure().unwrap_or_else(|| "this capture was asked to end".to_owned())));
            }
        }
    }

    fn error(&self, pid: &str, why: impl Into<String>) -> CaptureError {
        CaptureError::TakeOver { path: self.dir.to_owned(), pid: pid.to_owned(), why: why.into() }
    }

    /// Gives the phase that follows, or the same one.
    fn advance(&self, phase: Phase, pid: &str) -> Result<Phase, CaptureError> {
        match phase {
            Phase::Preparing { since } => match self.unanswered() {
                None => Ok(Phase::Reaching { begun: since, since: Instant::now() }),
                Some(what) if since.elapsed() >= READY_WITHIN => {
                    Err(self.error(pid, format!("this capture was not ready in time: {what}")))
                }
                Some(_) => Ok(Phase::Preparing { since }),
            },
            Phase::Reaching { begun, .. } if self.unanswered().is_some() => Ok(Phase::Preparing { since: begun }),
            Phase::Reaching { since, .. } if since.elapsed() < OVERLAP => Ok(phase),
            Phase::Reaching { begun, since } => {
                if let Some((product, behind)) = self.behind() {
                    if since.elapsed() < REACHED_WITHIN {
                        return Ok(phase);
                    }
                    log::warn!("{product}: process {pid} has not stored {behind}");
                }
                log::info!("ready to take over: process {pid} is asked to end");
                match StopRequest::write(self.dir) {
                    Ok(request) => Ok(Phase::Asked { begun, at: Instant::now(), request }),
                    Err(StoreError::InUse { .. }) => Err(self.error(pid, "another process is taking over already")),
                    Err(error) => Err(error.into()),
                }
            }
            Phase::Asked { request, .. } if !request.is_waiting() => Ok(Phase::Ending { since: Instant::now() }),
            Phase::Asked { begun, request, .. } if self.unanswered().is_some() => match request.withdraw() {
                Ok(true) => Ok(Phase::Preparing { since: begun }),
                Ok(false) => Ok(Phase::Ending { since: Instant::now() }),
                Err(error) => Err(error.into()),
            },
            Phase::Asked { at, request, .. } if at.elapsed() >= self.end_patience => match request.withdraw() {
                Ok(true) => Err(self.error(pid, self.advice("did not answer"))),
                Ok(false) => Ok(Phase::Ending { since: Instant::now() }),
                Err(error) => Err(error.into()),
            },
            Phase::Ending { since } if since.elapsed() >= self.end_patience => {
                Err(self.error(pid, self.advice("is ending and has not ended")))
            }
            same => Ok(same),
        }
    }

    fn advice(&self, what: &str) -> String {
        format!("it {what} within {} s; end it yourself (SIGTERM), then start this capture again", self.end_patience.as_secs())
    }

    /// Says what this capture waits for; nothing where the exchange has acknowledged or refused every product, and acknowledged one at least. What it said on
    /// a connection that is lost does not count.
    fn unanswered(&self) -> Option<String> {
        let (now, mut unanswered, mut acknowledged) = (Instant::now(), Vec::new(), 0);
        self.registry.for_each(|route| {
            let look = route.metrics.subscription.look(now);
            let is_acknowledged = route.metrics.unbroken.is_subscribed();
            acknowledged += usize::from(is_acknowledged);
            if look.wanted_for.is_some() && !is_acknowledged && look.refusal.is_none() {
                unanswered.push(route.product.clone());
            }
        });
        match unanswered.split_first() {
            Some((first, [])) => Some(format!("the exchange has not answered for {first}")),
            Some((first, others)) => Some(format!("the exchange has not answered for {first} and {} others", others.len())),
            None if acknowledged == 0 => Some("the exchange has acknowledged no product".to_owned()),
            None => None,
        }
    }

    /// Gives a product of which the old capture has not stored what was sent before this one had it, and what that is.
    fn behind(&self) -> Option<(ProductId, Behind)> {
        let mut begun = Vec::new();
        self.registry.for_each(|route| {
            let unbroken = &route.metrics.unbroken;
            begun.push(Begun { product: route.product.clone(), trade: unbroken.first_trade(), ticker: unbroken.first_ticker() });
        });
        begun.into_iter().find_map(|begun| Some((begun.product.clone(), self.behind_of(&begun)?)))
    }

    /// Gives what the old capture has not stored of a product. What it does not record at all is not waited for.
    fn behind_of(&self, Begun { product, trade, ticker }: &Begun) -> Option<Behind> {
        let series = catalog::series(self.dir, product).ok().and_then(|mut series| series.pop());
        let series = series.as_ref().unwrap_or(product);
        if let Some(first) = trade
            && let Some(stored) = catalog::last_key(self.dir, series, Dataset::Trades).ok().flatten()
            && stored.saturating_add(1) < *first
        {
            return Some(Behind::TradesBefore(*first));
        }
        let (first, dataset) = ((*ticker)?, self.of_tickers?);
        // A connection brings messages in their order: where the old one has this ticker, it has all before it.
        let stored = resume::newest(self.dir, series, dataset).ok().flatten()?.last.time;
        (stored.0.saturating_add(BLUR_NANOS) < first.0).then_some(Behind::TickersBefore(first))
    }
}
