//! [`RestFetch`]: threads that ask REST for the trades that products miss, and deliver them to their writers.
//!
//! 1. [`FetchPlan`] decides what to ask next. It never gives up an id.
//! 2. A page goes to its writer over a channel of its own, never through the feed's queue. Nobody waits for a writer to take it.
//! 3. Several threads share the plan, so that one slow answer holds up one product.
//!
//! Threads `fetch:{n}`: own a REST client; read the plan; end when [`RestFetch::end`] is called, after the request under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::TrySendError;
use parking_lot::{Condvar, Mutex};

use crate::capture::error::CaptureError;
use crate::capture::report::metrics::Metrics;
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::deliveries::{Deliveries, Delivery};
use crate::feed::connector::Connector;
use crate::feed::doubts::Mark;
use crate::feed::fetch_plan::{
    Absent, AfterFailure, FailureOutcome, FetchPlan, FetchRequest, FetchTarget, Next, PastTrade, Persistence, SearchOutcome,
};
use crate::feed::rest::{Advice, RestClient, RestError, TradePage};
use crate::ids::IdSet;
use crate::product::ProductId;
use crate::store::event::Event;
use crate::time::{Clock, UnixNanos};

/// Requests under way at once: at a fifth of a second an answer, as many as the rate allows.
const FETCHERS: usize = 4;

/// Longest time that a request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time that a fetch thread sleeps without being woken.
const IDLE: Duration = Duration::from_secs(60);

/// Shortest time between two lines of the log about failures, and between two about what cannot be used. The watch repeats what lasts.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// What the log says of answers that bring nothing.
#[derive(Debug, Default)]
struct Complaints {
    /// The last error.
    error: String,
    error_said_at: Option<Duration>,
    unusable_said_at: Option<Duration>,
}

/// Gives whether a line may be logged now, and remembers that it is.
fn begin_line(said_at: &mut Option<Duration>, now: Duration) -> bool {
    let is_due = said_at.is_none_or(|at| now.saturating_sub(at) >= BETWEEN_LINES);
    if is_due {
        *said_at = Some(now);
    }
    is_due
}

/// Missing trades that REST does not give at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RestStandstill {
    /// For how long no request for these products has succeeded.
    pub lasts: Duration,
    /// What they wait for, and the last error.
    pub text: String,
}

/// What the fetch threads need to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub(crate) struct RestFetchSettings {
    /// REST endpoint.
    pub url: String,
    /// What connections are made by.
    pub connector: Connector,
    /// Requests a second over all products.
    pub requests_per_s: u32,
    /// Event time since which trades are fetched, too, where one was asked for.
    pub since: Option<UnixNanos>,
}

struct Shared {
    plan: Mutex<FetchPlan>,
    /// Woken when the plan may have another answer to what to ask next.
    changed: Condvar,
    deliveries: Arc<Deliveries>,
    is_over: AtomicBool,
    complaints: Mutex<Complaints>,
    epoch: Instant,
    since: Option<UnixNanos>,
    clock: Clock,
    metrics: Arc<Metrics>,
    journal: JournalHandle,
}

/// A handle through which writers say what they miss.
#[derive(Clone)]
pub(crate) struct RestFetch {
    shared: Arc<Shared>,
}

impl RestFetch {
    /// Starts the threads `fetch:{n}`. Where one cannot be started, those that have been are ended and joined.
    ///
    /// # Errors
    /// Where the endpoint or the roots cannot be used, or the machine has no thread left.
    pub(crate) fn start(
        settings: &RestFetchSettings,
        clock: &Clock,
        metrics: &Arc<Metrics>,
        journal: &JournalHandle,
        deliveries: &Arc<Deliveries>,
        stop: &Stop,
    ) -> Result<(Self, Vec<JoinHandle<()>>), CaptureError> {
        let shared = Arc::new(Shared {
            plan: Mutex::new(FetchPlan::new(f64::from(settings.requests_per_s), Persistence::Endless, clock.now().0)),
            changed: Condvar::new(),
            deliveries: Arc::clone(deliveries),
            is_over: AtomicBool::new(false),
            complaints: Mutex::default(),
            epoch: Instant::now(),
            since: settings.since,
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            journal: journal.clone(),
        });
        let clients: Result<Vec<_>, _> = (0..FETCHERS).map(|_| RestClient::new(&settings.url, &settings.connector, TIMEOUT)).collect();
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
    pub(crate) fn begin(&self, product: &ProductId) {
        self.shared.plan.lock().forget(product);
    }

    /// Says which ids a product misses now.
    pub(crate) fn want(&self, product: &ProductId, missing: &IdSet) {
        let mut plan = self.shared.plan.lock();
        plan.want(product, missing);
        let began = plan.take_beginning(product);
        drop(plan);
        self.shared.changed.notify_one();
        self.shared.note_beginning(product, began);
    }

    /// Says which ids a product misses now that its writer has taken a delivery. The next one may be fetched.
    pub(crate) fn taken(&self, product: &ProductId, missing: &IdSet) {
        let mut plan = self.shared.plan.lock();
        plan.want(product, missing);
        plan.taken(product);
        let began = plan.take_beginning(product);
        drop(plan);
        self.shared.changed.notify_one();
        self.shared.note_beginning(product, began);
    }

    /// Gives the event time since which trades are fetched, where one was asked for.
    #[must_use]
    pub(crate) fn since(&self) -> Option<UnixNanos> {
        self.shared.since
    }

    /// Searches for the trades since `time` that lie below `first_stored`.
    pub(crate) fn search(&self, product: &ProductId, time: UnixNanos, first_stored: u64) {
        self.shared.plan.lock().search_since(product, time, first_stored);
        self.shared.changed.notify_one();
    }

    /// Asks for a product's newest trade, whose id may settle whether a doubted trade is real.
    pub(crate) fn ask_newest(&self, product: &ProductId) {
        self.shared.plan.lock().search_newest(product);
        self.shared.changed.notify_one();
    }

    /// Tells what stands still because requests fail.
    #[must_use]
    pub(crate) fn standstill(&self) -> Option<RestStandstill> {
        let standstill = self.shared.plan.lock().standstill()?;
        let lasts = self.shared.epoch.elapsed().saturating_sub(standstill.since);
        let error = self.shared.complaints.lock().error.clone();
        let products = match standstill.products {
            1 => standstill.first_product.to_string(),
            more => format!("{} and {} other products", standstill.first_product, more - 1),
        };
        Some(RestStandstill { lasts, text: format!("{} trade ids of {products} wait for REST; {error}", standstill.ids) })
    }

    /// Tells the threads to end.
    pub(crate) fn end(&self) {
        // Under the lock, so that no thread is between its look and its sleep.
        let plan = self.shared.plan.lock();
        self.shared.is_over.store(true, Ordering::Relaxed);
        drop(plan);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn fetch(&self, mut client: RestClient) {
        while let Some(request) = self.next() {
            // The later of both clocks: one that is ahead makes no trade implausible that it would have taken when it was right.
            let now = self.clock.now();
            let latest = self.metrics.market.now(now).max(now);
            let answer = client.trades_page(&request.product, request.after(), request.limit(), latest);
            self.metrics.rest_requests.one();
            match (answer, request.target) {
                (Ok(page), FetchTarget::Window(_)) => self.take_page(&request, page),
                (Ok(page), FetchTarget::NewestUpTo { .. } | FetchTarget::Newest { .. }) => self.take_newest(&request, &page),
                (Err(error), _) => self.note_failure(&request, &error),
            }
            // The next request of this product, or of another, may be due now.
            self.changed.notify_one();
        }
    }

    /// Waits for the next request; `None` at the end.
    fn next(&self) -> Option<FetchRequest> {
        let mut plan = self.plan.lock();
        loop {
            // Relaxed: the lock orders it.
            if self.is_over.load(Ordering::Relaxed) {
                return None;
            }
            let wait = match plan.next(self.epoch.elapsed()) {
                Next::Send(request) => {
                    drop(plan);
                    // Another thread waits for the request after this one.
                    self.changed.notify_one();
                    return Some(request);
                }
                Next::Wait(wait) => wait,
                Next::Idle => IDLE,
            };
            self.changed.wait_for(&mut plan, wait.min(IDLE));
        }
    }

    fn take_page(&self, request: &FetchRequest, mut page: TradePage) {
        let outcome = self.plan.lock().answer_page(request, &mut page, self.epoch.elapsed());
        outcome.absent.iter().for_each(|absent| self.note_absent(&request.product, absent));
        // An element that stays unusable is shown with every answer.
        let is_noted = outcome.first_answers > 0 || outcome.absent.iter().any(|absent| absent.answers.is_power_of_two());
        self.note_unusable(request, &page, is_noted);
        for text in page.inexact {
            // Written before the trade is delivered.
            if let Ok(at) = page.trades.binary_search_by_key(&text.trade_id, |trade| trade.trade_id)
                && let Some(trade) = page.trades.get(at)
            {
                self.journal.exact(trade.time, &request.product, text.column, text.trade_id, text.text.as_bytes());
            }
        }
        if !page.trades.is_empty() {
            self.deliver(request, Delivery::Trades(page.trades));
        }
    }

    fn take_newest(&self, request: &FetchRequest, page: &TradePage) {
        let product = &request.product;
        let newest = page.trades.last().map(|trade| PastTrade { trade_id: trade.trade_id, time: trade.time });
        self.note_unusable(request, page, true);
        let mut plan = self.plan.lock();
        let outcome = match newest {
            None if !page.unusable.is_empty() => plan.answer_obscured(request, self.epoch.elapsed()),
            newest => plan.answer_search(request, newest, self.epoch.elapsed()),
        };
        let began = plan.take_beginning(product);
        drop(plan);
        self.note_beginning(product, began);
        if let SearchOutcome::Found { since, .. } = outcome
            && let Some(lowest_id) = since.lowest_kept()
        {
            log::warn!("{product}: REST has no trade below id {lowest_id}: what was traded before it cannot be fetched");
            self.journal.write(Event::RestRetention { product: product.clone(), lowest_id });
        }
        match outcome {
            SearchOutcome::Found { ids: Some(ids), .. } => self.deliver(request, Delivery::Missing(ids)),
            SearchOutcome::Newest(Some(newest)) => {
                self.deliver(request, Delivery::Newest(Mark { key: newest.trade_id, time: newest.time }))
            }
            SearchOutcome::Found { ids: None, .. } | SearchOutcome::Unfinished | SearchOutcome::Newest(None) => {}
            SearchOutcome::Contradiction => {
                log::warn!("{product}: REST contradicts itself about past trades, or shows none that can be used; searched again later")
            }
        }
    }

    fn deliver(&self, request: &FetchRequest, delivery: Delivery) {
        match self.deliveries.send(&request.product, delivery) {
            Ok(()) => {}
            // A repair has filled the writer's channel.
            Err(TrySendError::Full(_)) => self.plan.lock().not_taken(request, self.epoch.elapsed()),
            // The writer has ended. Another one for the product would say anew what it misses.
            Err(TrySendError::Disconnected(_)) => self.plan.lock().abandon(request),
        }
    }

    fn note_failure(&self, request: &FetchRequest, error: &RestError) {
        self.metrics.rest_failures.one();
        let advice = error.advice();
        let FailureOutcome { failures, then } = self.plan.lock().fail(request, advice, self.epoch.elapsed());
        let AfterFailure::Retry(wait) = then else { return };
        let is_said = {
            let mut complaints = self.complaints.lock();
            complaints.error = error.to_string();
            failures == 1 && begin_line(&mut complaints.error_said_at, self.epoch.elapsed())
        };
        if is_said {
            log::warn!("REST: {error}; asked again in {:.0} s", wait.as_secs_f64().ceil());
        }
        // The first, the second, the fourth …: a server that is down for hours is not worth a line a minute.
        if (failures.is_power_of_two() && !matches!(advice, Advice::RetryAfter(_)) || failures == 1)
            && let Some(ids) = request.ids()
        {
            let (product, failures, error) = (request.product.clone(), Some(u64::from(failures)), error.to_string());
            self.journal.write(Event::BackfillFailed { product, ids, failures, error });
        }
    }

    /// Counts the elements of an answer that cannot be used, and keeps them if `is_noted`.
    fn note_unusable(&self, request: &FetchRequest, page: &TradePage, is_noted: bool) {
        let count = page.unlisted.saturating_add(u64::try_from(page.unusable.len()).unwrap_or(u64::MAX));
        if count == 0 {
            return;
        }
        self.metrics.rest_unusable.add(count);
        if !is_noted {
            return;
        }
        for element in &page.unusable {
            self.journal.reject(element.fault.name(), element.raw.as_bytes());
        }
        let is_said = begin_line(&mut self.complaints.lock().unusable_said_at, self.epoch.elapsed());
        if let Some(element) = page.unusable.first().filter(|_| is_said) {
            log::warn!("{}: REST shows {count} trades in a form that cannot be used, the first: {}", request.product, element.fault);
        }
    }

    fn note_absent(&self, product: &ProductId, absent: &Absent) {
        if absent.answers.is_power_of_two() {
            let (product, ids, attempts) = (product.clone(), absent.ids, u64::from(absent.answers));
            self.journal.write(Event::BackfillEmpty { product, ids, attempts });
        }
    }

    fn note_beginning(&self, product: &ProductId, first_id: Option<u64>) {
        if let Some(first_id) = first_id {
            self.journal.write(Event::TradingBegan { product: product.clone(), first_id });
        }
    }
}
