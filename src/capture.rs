//! The capture: the threads, and the one place where feed and store meet.
//!
//! ```text
//!            one per connection                 one per product
//! Coinbase ──▶ line ──▶ router ──▶ queue ──▶ seat: the writer ──▶ shelf of open days ──▶ columns + commit page
//!                └─ hand: lends sleeping writers a hand ─┘▲    │
//!              fetch: REST, in turns ── pages ─────────────┤    │
//!              scribe: journal, rejects ◀──────────────────┘    └─ bell ── provisioner: room, tomorrow, seals
//!                                                            sync: flush, raise `durable`
//!              watch: alerts, status line                    record: frames as received
//! ```
//!
//! 1. Nobody who serves several products ever waits for one, but for the bounded back-pressure of [`queue`].
//! 2. [`run`] starts every thread and joins every thread. A thread that fails or panics stops the capture with its reason: never half alive. (A writer starts over once.)
//! 3. The order of the end: connections, queues, writers, watch, flush and seals, journal. What was received by then is stored, sealed and counted.

pub mod context;
pub mod cores;
pub mod net;
pub mod report;
pub mod service;
pub mod stop;
pub mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::feed::Feed;
use crate::feed::fetch_plan::USUAL_REQUESTS_PER_S;
use crate::feed::tls::TlsRoots;
use crate::product::ProductId;
use crate::schema::ColumnSet;
use crate::store::event::{Event, SumCheck};
use crate::store::{DataDir, StoreError, StoreOptions, map_budget};
use crate::time::{Clock, DateFormat, UnixNanos};

use context::{CaptureContext, Datasets};
use cores::Cores;
use net::connection::ConnectionSettings;
use net::connections::Lines;
use report::metrics::Metrics;
use report::summary::{FrameTally, Summary};
use service::journal::JournalHandle;
use stop::Stop;
use write::deliveries::Deliveries;
use write::registry::Registry;

/// Stack of threads that do little, in bytes: hundreds of them must cost little.
pub const SMALL_STACK_BYTES: usize = 256 << 10;

/// What a capture needs to know, checked and derived.
#[derive(Debug, Clone)]
pub struct CaptureConfig {
    /// Which feed.
    pub feed: Feed,
    /// WebSocket endpoint.
    pub url: String,
    /// REST endpoint for product data and missing trades; nothing = not asked.
    pub rest_url: Option<String>,
    /// Whether missing trades are fetched from it.
    pub backfills: bool,
    /// Requests to it a second, over all products.
    pub rest_requests_per_s: u32,
    /// Trades since then are fetched too, so that a first day can be whole.
    pub backfill_from: Option<UnixNanos>,
    /// How long trades behind a gap wait to be written in order.
    pub gap_wait: Duration,
    /// Redundant connections to the same feed, merged: 1 to 4.
    pub lines: u8,
    /// Whether connections and their hands look for something to do without ever sleeping.
    pub spins: bool,
    /// Processors that connections and writers take in turns; none = wherever the system puts them.
    pub pin: Vec<usize>,
    /// An extra trusted root.
    pub ca_file: Option<PathBuf>,
    /// What to record: the products named, and those of the file.
    pub products: BTreeSet<ProductId>,
    /// The products named, which stay whatever the file says.
    pub named_products: BTreeSet<ProductId>,
    /// One product a line, read again on SIGHUP.
    pub products_file: Option<PathBuf>,
    /// Where to.
    pub data_dir: PathBuf,
    /// Which datasets.
    pub datasets: Datasets,
    /// Which columns.
    pub columns: ColumnSet,
    /// How dates are spelled in file names.
    pub date_format: DateFormat,
    /// Whether an unknown file system is written to.
    pub force_fs: bool,
    /// Products of one connection at most.
    pub products_per_connection: usize,
    /// The flush cycle.
    pub sync_interval: Duration,
    /// Messages a queue holds at most.
    pub queue_capacity_msgs: usize,
    /// A connection that says nothing for so long is replaced.
    pub idle_timeout: Duration,
    /// Where frames are kept as received, and for how long.
    pub record: Option<(PathBuf, Duration)>,
    /// When to stop by itself.
    pub duration: Option<Duration>,
    /// The wall clock.
    pub clock: Clock,
}

impl CaptureConfig {
    /// Records these products of a feed's endpoint into a directory, everything else as the command line has it by default, but that REST is not asked.
    #[must_use]
    pub fn new(feed: Feed, url: &str, products: impl IntoIterator<Item = ProductId>, data_dir: &Path) -> Self {
        let products: BTreeSet<ProductId> = products.into_iter().collect();
        Self {
            feed,
            url: url.to_owned(),
            rest_url: None,
            backfills: true,
            rest_requests_per_s: USUAL_REQUESTS_PER_S,
            backfill_from: None,
            gap_wait: Duration::from_secs(2),
            lines: 1,
            spins: false,
            pin: Vec::new(),
            ca_file: None,
            named_products: products.clone(),
            products,
            products_file: None,
            data_dir: data_dir.to_owned(),
            datasets: Datasets::ALL,
            columns: ColumnSet::Full,
            date_format: DateFormat::Iso,
            force_fs: false,
            products_per_connection: 100,
            sync_interval: Duration::from_secs(1),
            queue_capacity_msgs: 50_000,
            idle_timeout: Duration::from_secs(10),
            record: None,
            duration: None,
            clock: Clock::System,
        }
    }
}

/// Why a capture could not start. Nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The data directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread, or a folder of `--record`.
    #[error("{what}: {source}")]
    Start {
        /// What was to be started.
        what: &'static str,
        /// Why it was not.
        source: std::io::Error,
    },
    /// A product's writer or a setting of the endpoint.
    #[error("{0}")]
    Setting(String),
}

/// Runs a capture until `stop` is asked for or its duration has passed.
///
/// # Errors
/// Where it could not start. A capture that started and then failed gives a [`Summary`] that says so.
pub fn run(config: &CaptureConfig, stop: &Stop) -> Result<Summary, CaptureError> {
    let start = Instant::now();
    // Before anything that takes time: until it is heard, SIGHUP ends the process.
    let reread = hear_sighup(config);
    let starting = |what| move |source| CaptureError::Start { what, source };
    let options =
        StoreOptions { columns: config.columns, date_format: config.date_format, force_fs: config.force_fs, ..StoreOptions::default() };
    let endpoint = format!("{} {}", config.feed.name(), config.url);
    let dir = Arc::new(DataDir::open(&config.data_dir, options, &endpoint)?);
    check_maps(config, config.products.len()).map_err(CaptureError::Setting)?;
    let metrics = Arc::new(Metrics::default());
    let (journal, scribe_thread) = JournalHandle::start(Arc::clone(&dir), Arc::clone(&metrics), config.clock.clone(), stop.clone())
        .map_err(starting("thread journal"))?;
    journal.write(Event::CaptureStarted {
        endpoint: endpoint.clone(),
        products: u64::try_from(config.products.len()).unwrap_or(u64::MAX),
        version: env!("CARGO_PKG_VERSION").into(),
    });
    let (sync, sync_thread) =
        service::sync::start(Arc::clone(&dir), config.sync_interval, Arc::clone(&metrics), journal.clone(), stop.clone())
            .map_err(starting("thread sync"))?;
    let (provisioner, provisioner_thread) =
        service::files::Provisioner::start(Arc::clone(&dir), Arc::clone(&metrics), journal.clone(), stop.clone())
            .map_err(starting("thread provision"))?;
    let (recorder, recorder_thread) = match &config.record {
        Some((folder, keep)) => {
            let (recorder, thread) =
                net::recorder::Recorder::start(folder, *keep, Arc::clone(&metrics), stop.clone()).map_err(starting("--record"))?;
            (Some(recorder), Some(thread))
        }
        None => (None, None),
    };
    let deliveries = Arc::new(Deliveries::default());
    let (backfill, fetchers) = match start_backfill(config, &metrics, &journal, &deliveries, stop).map_err(CaptureError::Setting)? {
        Some((backfill, threads)) => (Some(backfill), threads),
        None => (None, Vec::new()),
    };
    let cores = Arc::new(Cores::new(config.pin.clone()));
    let context = Arc::new(CaptureContext {
        deliveries,
        backfill: backfill.clone(),
        gap_wait: config.gap_wait,
        lines: usize::from(config.lines),
        spins: config.spins,
        cores: Arc::clone(&cores),
        dir: Arc::clone(&dir),
        datasets: config.datasets,
        clock: config.clock.clone(),
        metrics: Arc::clone(&metrics),
        journal: journal.clone(),
        sync,
        provisioner,
        raw_frames: net::raw_frames::RawFrames::default(),
        stop: stop.clone(),
    });
    let capacity = write::queue::capacity_within_budget(config.queue_capacity_msgs, config.products.len());
    if capacity < config.queue_capacity_msgs {
        log::info!(
            "queues hold {capacity} messages a product, so that all of them fit into {} MiB",
            write::queue::QUEUE_BUDGET_BYTES >> 20
        );
    }
    let registry = Arc::new(Registry::new(Arc::clone(&context), capacity));
    let repair_thread = service::repair::start(&context).map_err(starting("thread repair"))?;
    let ask_about = |products: &BTreeSet<ProductId>| service::products::start(config, products, &dir, &journal, stop);
    let mut askers: Vec<_> = ask_about(&config.products).map_err(starting("thread products"))?.into_iter().collect();
    let settings = ConnectionSettings::new(config, recorder, cores).map_err(CaptureError::Setting)?;
    let lines =
        Arc::new(Lines::new(settings, Arc::clone(&registry), journal.clone(), stop.clone(), config.lines, config.products_per_connection));
    if let Err(reason) = lines.bring(&config.products) {
        // What has started is ended as at any stop, and says why.
        stop.fail(reason);
    }
    let end_of_watch = Stop::default();
    let watched = report::watch::Watched {
        registry: Arc::clone(&registry),
        lines: Arc::clone(&lines),
        metrics: Arc::clone(&metrics),
        journal: journal.clone(),
        dir: Arc::clone(&dir),
        stop: stop.clone(),
    };
    let watch_thread = report::watch::start(watched, end_of_watch.clone()).map_err(starting("thread watch"))?;

    wait_for_end(config, &lines, stop, (start, &reread), |products| match ask_about(products) {
        Ok(asker) => {
            // Those that have their answer are let go of: a thread that nobody joins keeps its stack.
            askers.retain(|asker| !asker.is_finished());
            askers.extend(asker);
        }
        Err(error) => log::warn!("product data of the new products is not fetched: {error}"),
    });
    log::info!("stopping: draining the queues, flushing, sealing");

    let mut failures = lines.join();
    if repair_thread.join().is_err() {
        failures.push("the repair thread died".to_owned());
    }
    let (products, writer_failures) = registry.close();
    failures.extend(writer_failures);
    if let Some(backfill) = &backfill {
        backfill.end();
    }
    failures.extend(fetchers.into_iter().filter_map(|thread| thread.join().err()).map(|_| "a backfill thread died".to_owned()));
    end_of_watch.ask();
    let watch = watch_thread.join().unwrap_or_default();
    let frames = FrameTally::of(&lines);
    // Nobody asks for room, flushes or seals any more: their threads end when they have done what was asked.
    drop(lines);
    drop(registry);
    drop(context);
    drop(backfill);
    match sync_thread.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => failures.push(error.to_string()),
        Err(_) => failures.push("the sync thread died".to_owned()),
    }
    let unsealed = provisioner_thread.join().unwrap_or(u64::MAX);
    if let Some(thread) = recorder_thread {
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("record: {error}"),
            Err(_) => log::error!("the recorder died"),
        }
    }
    for asker in askers {
        if asker.join().is_err() {
            log::error!("a products thread died");
        }
    }
    let mut summary = Summary::gather(&products, frames, &metrics, usize::from(config.lines));
    summary.watch = watch;
    summary.unsealed = unsealed;
    summary.elapsed = start.elapsed();
    summary.failure = stop.failure().or_else(|| failures.into_iter().next());
    let trades = summary.trades();
    journal.write(Event::CaptureStopped {
        frames: summary.frames.frames,
        trades_received: trades.received,
        trades_fetched: trades.fetched,
        trades_written: trades.written,
        trades_late: trades.late,
        trades_duplicate: trades.duplicate,
        trades_conflict: trades.conflict,
        trades_shed: trades.shed,
        trades_rejected: trades.rejected + summary.frames.rejected_trades,
        sums: if summary.balances() { SumCheck::Hold } else { SumCheck::DoNotHold },
        failure: summary.failure.clone().unwrap_or_default(),
    });
    drop(journal);
    match scribe_thread.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => summary.failure = summary.failure.or_else(|| Some(error.to_string())),
        Err(_) => summary.failure = summary.failure.or_else(|| Some("the journal thread died".to_owned())),
    }
    Ok(summary)
}

type StartedRestFetch = (service::rest_fetch::RestFetch, Vec<std::thread::JoinHandle<()>>);

fn start_backfill(
    config: &CaptureConfig,
    metrics: &Arc<Metrics>,
    journal: &JournalHandle,
    deliveries: &Arc<Deliveries>,
    stop: &Stop,
) -> Result<Option<StartedRestFetch>, String> {
    let Some(url) = config.rest_url.as_ref().filter(|_| config.backfills && config.datasets.trades) else { return Ok(None) };
    let settings = service::rest_fetch::RestFetchSettings {
        url: url.clone(),
        roots: TlsRoots { ca_file: config.ca_file.clone() },
        requests_per_s: config.rest_requests_per_s,
        since: config.backfill_from,
    };
    service::rest_fetch::RestFetch::start(&settings, &config.clock, metrics, journal, deliveries, stop)
        .map(Some)
        .map_err(|error| error.to_string())
}

/// Holds the maps that so many products need against what the system allows, before any of them is made.
fn check_maps(config: &CaptureConfig, products: usize) -> Result<(), String> {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let columns = config.datasets.iter().map(|dataset| dataset.columns_of(config.columns).len()).sum();
    let budget = map_budget(count(products), count(config.datasets.iter().count()), count(columns));
    let advice = "raise vm.max_map_count (sysctl) or record fewer products";
    if budget.needed / DAYS_BUDGETED > budget.allowed {
        let needed = budget.needed / DAYS_BUDGETED;
        return Err(format!("{needed} memory maps are needed, {} are allowed: {advice}", budget.allowed));
    }
    if budget.needed > budget.allowed {
        log::warn!("{} memory maps may be needed around midnight, {} are allowed: {advice}", budget.needed, budget.allowed);
    }
    Ok(())
}

/// Days that the budget of maps counts: yesterday, today, tomorrow.
const DAYS_BUDGETED: u64 = 3;

/// How often a capture that waits for its end looks for a signal to read its list of products again.
const LOOK: Duration = Duration::from_secs(1);

/// Has SIGHUP raise a flag where there is a list of products to be read again.
fn hear_sighup(config: &CaptureConfig) -> Arc<AtomicBool> {
    let reread = Arc::new(AtomicBool::new(false));
    if config.products_file.is_some()
        && let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&reread))
    {
        log::warn!("SIGHUP is not heard: {error}");
    }
    reread
}

fn wait_for_end(
    config: &CaptureConfig,
    lines: &Lines,
    stop: &Stop,
    (start, reread): (Instant, &AtomicBool),
    mut ask_about: impl FnMut(&BTreeSet<ProductId>),
) {
    loop {
        let left = config.duration.map_or(LOOK, |duration| duration.saturating_sub(start.elapsed()).min(LOOK));
        if stop.wait(left) {
            return;
        }
        if config.duration.is_some_and(|duration| start.elapsed() >= duration) {
            stop.ask();
            return;
        }
        if reread.swap(false, Ordering::AcqRel) {
            read_again(config, lines, &mut ask_about);
        }
    }
}

/// Reads the list of products again. A list that cannot be used changes nothing.
fn read_again(config: &CaptureConfig, lines: &Lines, mut ask_about: impl FnMut(&BTreeSet<ProductId>)) {
    let Some(path) = &config.products_file else { return };
    let outcome = net::connections::read_products(path).and_then(|listed| {
        let wanted: BTreeSet<ProductId> = config.named_products.iter().cloned().chain(listed).collect();
        if wanted.is_empty() {
            return Err(format!("{} names no product", path.display()));
        }
        check_maps(config, wanted.len())?;
        let changed = lines.bring(&wanted)?;
        if changed.0 > 0 {
            ask_about(&wanted);
        }
        Ok(changed)
    });
    match outcome {
        Ok((came, gone)) => log::info!("{}: {came} products more, {gone} fewer", path.display()),
        Err(reason) => log::error!("the list of products is not changed: {reason}"),
    }
}
