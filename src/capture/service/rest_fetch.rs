//! The backfill: threads that ask REST for the trades a product misses, and hand them to its writer.
//!
//! 1. What to ask next is decided by [`BackfillPlan`]: one rate budget, products in turn, one request a product under way.
//! 2. A page goes to its writer over a channel of its own, never through the feed's queue, and nobody waits for a writer to take it.
//! 3. Several threads share the plan, so that one slow answer holds up one product.
//!
//! Threads `fetch:{n}`: own a REST client; read the plan; end when [`RestFetch::end`] is called, after the request under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::capture::error::CaptureError;
use crate::capture::report::metrics::Metrics;
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::deliveries::{Deliveries, Delivery};
use crate::feed::backfill::{Ask, BackfillPlan, Lack, Next, Wanted};
use crate::feed::gap::Gap;
use crate::feed::rest::{Advice, RestClient, RestError, TradePage};
use crate::feed::tls::TlsRoots;
use crate::ids::IdRange;
use crate::product::ProductId;
use crate::store::event::Event;
use crate::time::{Clock, UnixNanos};

/// Requests under way at once: at a fifth of a second an answer, as many as the rate allows.
const FETCHERS: usize = 4;

/// Longest a request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest a fetcher sleeps without being called.
const IDLE: Duration = Duration::from_secs(60);

/// What the backfill needs to know.
#[derive(Debug, Clone)]
pub struct RestFetchSettings {
    /// REST endpoint.
    pub url: String,
    /// Trusted roots.
    pub roots: TlsRoots,
    /// Requests a second over all products.
    pub requests_per_s: u32,
    /// Trades since then are fetched too.
    pub since: Option<UnixNanos>,
}

struct Shared {
    plan: Mutex<BackfillPlan>,
    changed: Condvar,
    deliveries: Arc<Deliveries>,
    is_over: AtomicBool,
    epoch: Instant,
    since: Option<UnixNanos>,
    clock: Clock,
    metrics: Arc<Metrics>,
    journal: JournalHandle,
}

/// A handle through which writers say what they miss.
#[derive(Clone)]
pub struct RestFetch {
    shared: Arc<Shared>,
}

impl RestFetch {
    /// Starts the threads `fetch:{n}`.
    ///
    /// # Errors
    /// Where the endpoint or the roots cannot be used, or the machine has no thread left.
    pub fn start(
        settings: &RestFetchSettings,
        clock: &Clock,
        metrics: &Arc<Metrics>,
        journal: &JournalHandle,
        deliveries: &Arc<Deliveries>,
        stop: &Stop,
    ) -> Result<(Self, Vec<JoinHandle<()>>), CaptureError> {
        let shared = Arc::new(Shared {
            plan: Mutex::new(BackfillPlan::new(settings.requests_per_s)),
            changed: Condvar::new(),
            deliveries: Arc::clone(deliveries),
            is_over: AtomicBool::new(false),
            epoch: Instant::now(),
            since: settings.since,
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            journal: journal.clone(),
        });
        let clients: Result<Vec<_>, _> = (0..FETCHERS).map(|_| RestClient::new(&settings.url, &settings.roots, TIMEOUT)).collect();
        let rest_fetch = Self { shared };
        let mut threads = Vec::with_capacity(FETCHERS);
        for (number, client) in clients?.into_iter().enumerate() {
            let fetcher = Arc::clone(&rest_fetch.shared);
            match spawn(format!("fetch:{number}"), Stack::Standard, stop, move || fetcher.fetch(client)) {
                Ok(thread) => threads.push(thread),
                Err(source) => {
                    rest_fetch.end();
                    threads.into_iter().for_each(|thread| drop(thread.join()));
                    return Err(CaptureError::Thread { name: "fetch".to_owned(), source });
                }
            }
        }
        Ok((rest_fetch, threads))
    }

    /// Forgets what an earlier writer of the product asked for.
    pub fn begin(&self, product: &ProductId) {
        self.shared.plan.lock().forget(product);
    }

    /// Says which ids a product misses now.
    pub fn want(&self, product: &ProductId, gaps: &[Gap]) {
        self.shared.plan.lock().want(product, gaps);
        self.shared.changed.notify_one();
    }

    /// Says the same when a delivery has been taken: the next may come.
    pub fn taken(&self, product: &ProductId, gaps: &[Gap]) {
        let mut plan = self.shared.plan.lock();
        plan.want(product, gaps);
        plan.taken(product);
        drop(plan);
        self.shared.changed.notify_one();
    }

    /// Gives the time since which trades are wanted, where one was asked for.
    #[must_use]
    pub fn since(&self) -> Option<UnixNanos> {
        self.shared.since
    }

    /// Looks for the trades since `time` that lie below the first known id.
    pub fn search(&self, product: &ProductId, time: UnixNanos, below: u64) {
        self.shared.plan.lock().search(product, time, below);
        self.shared.changed.notify_one();
    }

    /// Has the threads end.
    pub fn end(&self) {
        // Under the lock, so that no fetcher is between its look and its sleep.
        let plan = self.shared.plan.lock();
        self.shared.is_over.store(true, Ordering::Relaxed);
        drop(plan);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn fetch(&self, mut client: RestClient) {
        while let Some(ask) = self.next() {
            let answer = client.trades_page(&ask.product, Some(ask.after()), ask.limit(), self.clock.now());
            self.metrics.rest_requests.one();
            match answer {
                Ok(page) => self.take(&ask, page),
                Err(error) => self.note_failure(&ask, &error),
            }
        }
    }

    fn next(&self) -> Option<Ask> {
        let mut plan = self.plan.lock();
        loop {
            // Relaxed: the lock orders it.
            if self.is_over.load(Ordering::Relaxed) {
                return None;
            }
            let wait = match plan.next(self.epoch.elapsed()) {
                Next::Ask(ask) => {
                    drop(plan);
                    // Somebody else is to wait for the request after this one.
                    self.changed.notify_one();
                    return Some(ask);
                }
                Next::Wait(wait) => wait,
                Next::Idle => IDLE,
            };
            self.changed.wait_for(&mut plan, wait.min(IDLE));
        }
    }

    fn take(&self, ask: &Ask, page: TradePage) {
        let TradePage { mut trades, inexact } = page;
        let now = self.epoch.elapsed();
        match ask.what {
            Wanted::Probe(_) => {
                let newest = trades.last().map(|trade| (trade.trade_id, trade.time));
                let found = self.plan.lock().answer_probe(ask, newest);
                if let Some(found) = found {
                    self.deliver(&ask.product, Delivery::Found(found));
                }
            }
            Wanted::Window(_) => {
                let lacks = self.plan.lock().answer_window(ask, &mut trades, now);
                lacks.iter().for_each(|lack| self.note_lack(&ask.product, lack));
                for text in inexact {
                    if trades.binary_search_by_key(&text.trade_id, |trade| trade.trade_id).is_ok() {
                        self.journal.exact(&ask.product, text.column, text.trade_id, text.text.as_bytes());
                    }
                }
                if !trades.is_empty() {
                    self.deliver(&ask.product, Delivery::Trades(trades));
                }
            }
        }
        // The next request of this product, or of another, may be due now.
        self.changed.notify_one();
    }

    fn deliver(&self, product: &ProductId, delivery: Delivery) {
        if self.deliveries.send(product, delivery).is_err() {
            // A writer that has ended, or that a repair is feeding: what it misses is asked for again.
            self.plan.lock().taken(product);
        }
    }

    fn note_failure(&self, ask: &Ask, error: &RestError) {
        self.metrics.rest_failures.one();
        let advice = error.advice();
        let (wait, failures) = self.plan.lock().fail(ask, advice, self.epoch.elapsed());
        // The first, the second, the fourth …: a server that is down for hours is not worth a line a minute.
        if failures.is_power_of_two() && !matches!(advice, Advice::RetryAfter(_)) || failures == 1 {
            log::warn!("backfill: {error}; asked again in {} s", wait.as_secs());
            let ids = ask.ids();
            self.journal.write(Event::BackfillFailed {
                product: ask.product.clone(),
                ids: IdRange::one(ids.from).span(IdRange::one(ids.to)),
                failures: Some(u64::from(failures)),
                error: error.to_string(),
            });
        }
        self.changed.notify_one();
    }

    fn note_lack(&self, product: &ProductId, lack: &Lack) {
        if lack.tries.is_power_of_two() {
            self.journal.write(Event::BackfillEmpty {
                product: product.clone(),
                ids: IdRange::one(lack.gap.from).span(IdRange::one(lack.gap.to)),
                attempts: u64::from(lack.tries),
            });
        }
    }
}
