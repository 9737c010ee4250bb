//! [`run`]: starts every thread of a capture, waits for the end, and joins every thread.
//!
//! A start that fails half-way joins the threads that it had started ([`Running`]) before it gives its error.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::capture::config::CaptureConfig;
use crate::capture::context::{CaptureContext, Storage};
use crate::capture::cores::Cores;
use crate::capture::error::CaptureError;
use crate::capture::net::connection_settings::ConnectionSettings;
use crate::capture::net::connections::{Changed, Connections};
use crate::capture::net::raw_frames::RawFrames;
use crate::capture::net::recorder::Recorder;
use crate::capture::product_sources::ProductSources;
use crate::capture::report::summary::Summary;
use crate::capture::report::view::CaptureView;
use crate::capture::report::watch;
use crate::capture::running::{Held, Running, WatchThread};
use crate::capture::service::files::Provisioner;
use crate::capture::service::rest_fetch::{RestFetch, RestFetchSettings};
use crate::capture::service::{products, repair, sync};
use crate::capture::stop::Stop;
use crate::capture::take_over::TakeOver;
use crate::capture::write::deliveries::Deliveries;
use crate::capture::write::queue;
use crate::capture::write::registry::Registry;
use crate::capture::{limits, maps};
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::store::event::Event;
use crate::store::{DataDir, StoreError, StoreOptions, endpoint_of, stop_request};
use crate::time::UnixNanos;

/// How often a running capture looks whether its list of products is to be read again, and whether another capture wants to take over.
const LOOK: Duration = Duration::from_millis(500);

/// Runs a capture until `stop` is asked for or its duration has passed.
///
/// # Errors
/// Where it could not start. No thread of the capture is left then. A capture that started and failed later gives a [`Summary`] with the reason.
pub fn run(config: &CaptureConfig, stop: &Stop) -> Result<Summary, CaptureError> {
    run_with_view(config, stop, &CaptureView::default())
}

/// Runs a capture as [`run`] does, and shows it to another thread of the program meanwhile.
///
/// # Errors
/// As [`run`].
pub fn run_with_view(config: &CaptureConfig, stop: &Stop, view: &CaptureView) -> Result<Summary, CaptureError> {
    // Before anything that takes time: until it is listened for, SIGHUP ends the process.
    let mut sources = ProductSources::new(config);
    let outcome = run_with(config, &mut sources, stop, view);
    sources.end(stop);
    outcome
}

/// Runs a capture of the products that the sources give.
fn run_with(config: &CaptureConfig, sources: &mut ProductSources, stop: &Stop, view: &CaptureView) -> Result<Summary, CaptureError> {
    let started_at = Instant::now();
    if let Some(series) = config.products.iter().find(|product| product.series() > 1) {
        return Err(CaptureError::Series { series: series.clone() });
    }
    let (products, settings) = sources.find(config, stop)?;
    let config = &CaptureConfig { products, ..config.clone() };
    let endpoint = format!("{} {}", config.feed.name(), config.url);
    // Before the directory is touched: what cannot be recorded begins no tape.
    let map_records = limits::check(config)?;
    limits::warn(config.products.len(), map_records);
    maps::check(config, config.products.len())?;
    let options = StoreOptions {
        columns: config.columns,
        date_format: config.date_format,
        force_fs: config.force_fs,
        map_records,
        ..StoreOptions::default()
    };
    let opened = match DataDir::open(&config.data_dir, options.clone(), &endpoint) {
        Err(StoreError::Locked { .. }) if config.takes_over => {
            check_endpoint(&config.data_dir, &endpoint)?;
            None
        }
        opened => Some(Arc::new(opened?)),
    };
    let mut running = Running::begin(&config.clock, stop);
    running.journal.write(Event::CaptureStarted {
        endpoint: endpoint.clone(),
        products: u64::try_from(config.products.len()).unwrap_or(u64::MAX),
        version: env!("CARGO_PKG_VERSION").into(),
    });
    let opening = Opening { config, options, endpoint, settings, view };
    if let Err(error) = running.start(&opening, opened) {
        stop.ask();
        running.join();
        if let Some(held) = &running.held {
            held.status.end(&[error.to_string()], |_, _| {});
        }
        // The start's own error is the one to report.
        let _ = running.close_journal();
        return Err(error);
    }
    running.wait_for_end(config, started_at, sources);
    log::info!("stopping: draining the queues, flushing, sealing");
    let ended = running.join();
    Ok(running.summarize(ended, config, started_at.elapsed()))
}

/// What a data directory is opened with.
struct Opening<'a> {
    config: &'a CaptureConfig,
    options: StoreOptions,
    endpoint: String,
    /// The settings of a connection that is there already, where one is.
    settings: Option<ConnectionSettings>,
    /// What is shown of the capture.
    view: &'a CaptureView,
}

/// Makes sure that a directory belongs to an endpoint, before the capture that holds it is asked to end.
fn check_endpoint(dir: &Path, asked: &str) -> Result<(), StoreError> {
    match endpoint_of(dir)? {
        Some(remembered) if remembered != asked => {
            Err(StoreError::OtherEndpoint { path: dir.to_owned(), remembered, asked: asked.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Names the thread that the system could not start.
fn thread(name: &str) -> impl FnOnce(io::Error) -> CaptureError {
    move |source| CaptureError::Thread { name: name.to_owned(), source }
}

impl Running {
    /// Starts everything else. Where this fails, what it had started is in `self`. Without a directory, another capture holds it, which is taken over from.
    fn start(&mut self, opening: &Opening<'_>, dir: Option<Arc<DataDir>>) -> Result<(), CaptureError> {
        let config = opening.config;
        let is_free = dir.is_some();
        if let Some(dir) = dir {
            self.hold(dir, &config.clock, &opening.endpoint)?;
        }
        let recorder = self.start_recorder(config)?;
        let context = self.start_context(config)?;
        if is_free {
            self.start_services(config, &context, None)?;
        }
        let mut settings = ConnectionSettings::new(config, recorder, Arc::clone(&context.cores))?;
        if let Some(others) = &opening.settings {
            settings = settings.in_turn_with(others);
        }
        let registry = Arc::new(Registry::new(Arc::clone(&context), queue_capacity(config)));
        self.registry = Some(Arc::clone(&registry));
        let connections = Arc::new(Connections::new(settings, Arc::clone(&registry), Arc::clone(&context), config));
        self.connections = Some(Arc::clone(&connections));
        if let Err(error) = connections.set_products(&config.products) {
            // From here on this is a capture that started and failed.
            self.stop.fail(error.to_string());
        }
        if !is_free {
            let take_over = TakeOver::new(config, &registry, &self.stop);
            let dir = take_over.run(|| DataDir::open(&config.data_dir, opening.options.clone(), &opening.endpoint))?;
            self.hold(Arc::new(dir), &config.clock, &opening.endpoint)?;
            self.start_services(config, &context, Some(config.clock.now()))?;
            registry.start_writers()?;
        }
        opening.view.show(&context, &registry, &connections, config.sync_interval);
        self.start_watch(config, context, registry, connections)
    }

    fn start_watch(
        &mut self,
        config: &CaptureConfig,
        context: Arc<CaptureContext>,
        registry: Arc<Registry>,
        connections: Arc<Connections>,
    ) -> Result<(), CaptureError> {
        let Some(held) = &self.held else { return Ok(()) };
        let watched = watch::Watched {
            context,
            registry,
            connections,
            status: Arc::clone(&held.status),
            service_manager: config.service_manager.clone(),
            sync_interval: config.sync_interval,
            start_patience: config.start_patience,
            alerts: config.alerts.clone(),
        };
        let end = Stop::default();
        let thread = watch::start(watched, end.clone()).map_err(thread("watch"))?;
        self.threads.watch = Some(WatchThread { end, thread });
        Ok(())
    }

    fn start_recorder(&mut self, config: &CaptureConfig) -> Result<Option<Recorder>, CaptureError> {
        let Some(record) = &config.record else { return Ok(None) };
        let (recorder, thread) = Recorder::start(record, Arc::clone(&self.metrics), &self.stop)?;
        self.threads.record = Some(thread);
        Ok(Some(recorder))
    }

    /// Makes what all writers and connections share, without what writes to the directory.
    fn start_context(&mut self, config: &CaptureConfig) -> Result<Arc<CaptureContext>, CaptureError> {
        let (metrics, journal, stop) = (&self.metrics, &self.journal, &self.stop);
        let deliveries = Arc::new(Deliveries::default());
        if let Some(settings) = rest_fetch_settings(config) {
            let (rest_fetch, threads) = RestFetch::start(&settings, &config.clock, metrics, journal, &deliveries, stop)?;
            self.rest_fetch = Some(rest_fetch);
            self.threads.fetch = threads;
        }
        let context = Arc::new(CaptureContext {
            storage: OnceLock::new(),
            datasets: config.datasets,
            clock: config.clock.clone(),
            metrics: Arc::clone(metrics),
            journal: journal.clone(),
            deliveries,
            backfill: self.rest_fetch.clone(),
            gap_wait: config.gap_wait,
            lines: usize::from(config.lines),
            spins: config.spins,
            cores: Arc::new(Cores::new(config.pin.clone())),
            raw_frames: RawFrames::default(),
            stop: stop.clone(),
        });
        self.context = Some(Arc::clone(&context));
        Ok(context)
    }

    /// Starts what writes to the directory for all writers, and what is known about the products. This capture holds the directory, since `taken_over_at`
    /// where another one held it before.
    fn start_services(
        &mut self,
        config: &CaptureConfig,
        context: &Arc<CaptureContext>,
        taken_over_at: Option<UnixNanos>,
    ) -> Result<(), CaptureError> {
        let Some(Held { dir, .. }) = &self.held else { return Ok(()) };
        let (dir, metrics, journal, stop) = (Arc::clone(dir), &self.metrics, &self.journal, &self.stop);
        let (sync, sync_thread) =
            sync::start(Arc::clone(&dir), config.sync_interval, Arc::clone(metrics), journal.clone(), stop).map_err(thread("sync"))?;
        self.threads.sync = Some(sync_thread);
        let (provisioner, provision_thread) =
            Provisioner::start(Arc::clone(&dir), Arc::clone(metrics), journal.clone(), stop).map_err(thread("provision"))?;
        self.threads.provision = Some(provision_thread);
        // It is set once: a directory is held once.
        let _ = context.storage.set(Storage { dir, taken_over_at, sync, provisioner });
        self.threads.repair = Some(repair::start(context).map_err(thread("repair"))?);
        self.start_products(config, &config.products).map_err(thread("products"))
    }

    /// Starts a thread that fetches what is known about the products, where there is a REST endpoint.
    fn start_products(&mut self, config: &CaptureConfig, wanted: &BTreeSet<ProductId>) -> io::Result<()> {
        let Some(Held { dir, .. }) = &self.held else { return Ok(()) };
        let thread = products::start(config, wanted, dir, &self.metrics, &self.journal, &self.stop)?;
        // A finished thread that nobody joins keeps its stack: let go of it.
        self.threads.products.retain(|thread| !thread.is_finished());
        self.threads.products.extend(thread);
        Ok(())
    }

    fn wait_for_end(&mut self, config: &CaptureConfig, started_at: Instant, sources: &mut ProductSources) {
        self.keep_listing(config, sources);
        loop {
            let left = config.duration.map_or(LOOK, |duration| duration.saturating_sub(started_at.elapsed()).min(LOOK));
            if self.stop.wait(left) {
                return;
            }
            if config.duration.is_some_and(|duration| started_at.elapsed() >= duration) {
                self.stop.ask();
                return;
            }
            if self.is_to_make_room() {
                log::info!("another capture takes over");
                self.stop.ask();
                return;
            }
            if let Some((wanted, source)) = sources.take_news() {
                match self.change_products(config, &wanted) {
                    Ok(Changed { added, removed }) => log::info!("{source}: {added} products more, {removed} fewer"),
                    Err(error) => log::error!("the list of products is not changed: {error}"),
                }
                self.keep_listing(config, sources);
            }
        }
    }

    fn keep_listing(&self, config: &CaptureConfig, sources: &ProductSources) {
        if let Some(held) = &self.held {
            sources.keep(held.dir.path(), &config.clock);
        }
    }

    /// Tells whether another capture waits for this one to end.
    fn is_to_make_room(&self) -> bool {
        let Some(held) = &self.held else { return false };
        stop_request::take(held.dir.path()).unwrap_or_else(|error| {
            log::warn!("a request to end cannot be taken: {error}");
            false
        })
    }

    fn change_products(&mut self, config: &CaptureConfig, wanted: &BTreeSet<ProductId>) -> Result<Changed, CaptureError> {
        maps::check(config, wanted.len())?;
        if let Some(held) = &self.held {
            limits::check_added(config, wanted.len(), held.dir.options().map_records)?;
        }
        let changed = self.connections.as_ref().map_or(Ok(Changed::default()), |connections| connections.set_products(wanted))?;
        if changed.added > 0
            && let Err(error) = self.start_products(config, wanted)
        {
            log::warn!("product data of the new products is not fetched: {error}");
        }
        Ok(changed)
    }
}

/// Gives what the REST threads need, where missing trades are fetched.
fn rest_fetch_settings(config: &CaptureConfig) -> Option<RestFetchSettings> {
    let url = config.rest_url.as_ref().filter(|_| config.backfills && config.datasets.contains(Dataset::Trades))?;
    Some(RestFetchSettings {
        url: url.clone(),
        connector: config.connector(),
        requests_per_s: config.rest_requests_per_s,
        since: config.backfill_from,
    })
}

/// Gives how many messages each queue holds, so that all queues fit into their budget.
fn queue_capacity(config: &CaptureConfig) -> usize {
    let capacity = queue::capacity_within_budget(config.queue_capacity_msgs, config.products.len());
    if capacity < config.queue_capacity_msgs {
        let budget = queue::QUEUE_BUDGET_BYTES >> 20;
        log::info!("queues hold {capacity} messages a product, so that all of them fit into {budget} MiB");
    }
    capacity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::config::RecordConfig;
    use crate::capture::threads::planted;
    use crate::feed::Feed;
    use crate::time::Clock;

    /// Set in the process in which the test runs alone.
    const ALONE: &str = "COLTAPE_TEST_ALONE";

    /// How long a thread that was joined may still be listed.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Names the threads of this process.
    fn threads() -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("lists");
        let mut names: Vec<String> = tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
            .map(|name| name.trim().to_owned())
            .collect();
        names.sort();
        names
    }

    /// A capture that uses every kind of thread, of endpoints where nobody listens. It stops at once.
    fn config(folder: &Path) -> CaptureConfig {
        let products = ["BTC-USD", "ETH-USD"].map(|name| ProductId::new(name).expect("a product"));
        let mut config = CaptureConfig::new(Feed::Exchange, "ws://127.0.0.1:1", products, &folder.join("data"));
        config.rest_url = Some("http://127.0.0.1:1".to_owned());
        config.record = Some(RecordConfig { folder: folder.join("frames"), keep: Duration::from_secs(3600) });
        config.duration = Some(Duration::ZERO);
        config.force_fs = true;
        config.clock = Clock::System;
        config
    }

    /// Runs a capture whose start fails, and checks that it leaves no thread behind.
    fn fails_and_leaves_no_thread(what: &str, change: impl FnOnce(&mut CaptureConfig)) -> Result<Summary, CaptureError> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = config(folder.path());
        change(&mut config);
        let before = threads();
        let outcome = run(&config, &Stop::default());
        let deadline = Instant::now() + PATIENCE;
        // The kernel lists a thread for a moment after it was joined.
        while threads() != before {
            assert!(Instant::now() < deadline, "{what}: before {before:?}, after {:?}", threads());
            std::thread::sleep(Duration::from_millis(1));
        }
        outcome
    }

    type Change = fn(&mut CaptureConfig);

    fn every_step_of_the_start_fails_once() {
        let settings: [(&str, Change); 4] = [
            ("the folder of the recording", |config| {
                let record = config.record.as_mut().expect("recorded");
                std::fs::write(&record.folder, "a file").expect("writes");
            }),
            ("the REST endpoint", |config| config.rest_url = Some("no URL".to_owned())),
            ("the WebSocket endpoint", |config| config.url = "http://x".to_owned()),
            ("the root certificate", |config| {
                config.rest_url = None;
                config.ca_file = Some("/nowhere/root.pem".into());
            }),
        ];
        for (what, change) in settings {
            assert!(fails_and_leaves_no_thread(what, change).is_err(), "{what}");
        }
        let mut failed_threads = Vec::new();
        for at in 0.. {
            planted::fail_at(at);
            let outcome = fails_and_leaves_no_thread(&format!("thread number {at}"), |_| ());
            let has_failed = planted::cancel();
            match outcome {
                Err(CaptureError::Thread { name, .. }) => failed_threads.push(name),
                Err(error) => panic!("thread number {at}: {error}"),
                Ok(summary) if has_failed => {
                    let reason = summary.failure.expect("a writer or a connection could not be started");
                    failed_threads.push(reason.split(':').next().unwrap_or_default().to_owned());
                }
                Ok(summary) => {
                    assert_eq!(summary.failure, None);
                    break;
                }
            }
        }
        failed_threads.dedup();
        failed_threads.retain(|name| name != "delegate");
        let expected = ["journal", "record", "fetch", "sync", "provision", "repair", "products", "BTC-USD", "ETH-USD", "line", "watch"]
            .map(str::to_owned);
        assert_eq!(failed_threads, expected);
    }

    #[test]
    fn a_start_that_fails_at_any_step_leaves_no_thread_of_the_capture() {
        if std::env::var_os(ALONE).is_some() {
            every_step_of_the_start_fails_once();
            return;
        }
        // The threads of other tests have the same names, so the steps run in a process of their own.
        let name = std::thread::current().name().expect("the harness names the test").to_owned();
        let program = std::env::current_exe().expect("known");
        let output = std::process::Command::new(program).args(["--exact", &name, "--nocapture"]).env(ALONE, "1").output().expect("runs");
        assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the test ran in the other process");
    }
}
