//! The watch: reads all figures once a second, raises alerts, logs the status line and writes the status file.
//!
//! It reads counters and files of `/proc`. No other thread waits for it. A status file that cannot be written changes nothing ([`StatusFile`]).
//!
//! Thread `watch`: owns the alerts and the memory trends; has its own [`Stop`] and ends after the writers, so that the end of the capture is watched too.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::capture::context::CaptureContext;
use crate::capture::net::connections::Connections;
use crate::capture::report::alerts::{self, AlertKind, Alerts, Change, StandingAlert};
use crate::capture::report::connection_state::Down;
use crate::capture::report::counter::Counter;
use crate::capture::report::liveness::Sign;
use crate::capture::report::machine::{Memory, MemoryProbe, Trend};
use crate::capture::report::service_manager::{ServiceManager, ServiceNotifier};
use crate::capture::report::status::{Counted, Status};
use crate::capture::report::status_figures::{Sources, StatusFigures};
use crate::capture::report::status_file::StatusFile;
use crate::capture::service::rest_fetch::RestFetch;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::registry::Registry;
use crate::feed::clock_check::OFF_NANOS;
use crate::store::event::Event;
use crate::time::NANOS_PER_SECOND;

/// Memory at which an alert is raised, in bytes: 2 GB.
pub(crate) const MEMORY_LIMIT_BYTES: u64 = 2_000_000_000;

/// Lag at which an alert is raised, in microseconds: 1 s.
pub(crate) const LAG_LIMIT_MICROS: u64 = 1_000_000;

/// How long no request to REST for missing trades succeeds before an alert is raised. What passes sooner is in the journal.
const REST_PATIENCE: Duration = Duration::from_secs(10);

/// Time between two readings of the figures.
const PERIOD: Duration = Duration::from_secs(1);

/// Time between two status lines where stderr is a terminal.
const STATUS_ON_TERMINAL: Duration = Duration::from_secs(10);

/// Time between two status lines elsewhere.
const STATUS_ELSEWHERE: Duration = Duration::from_secs(60);

/// Memory over the whole run.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryFigures {
    /// Peak of anonymous + locked + dirty mapped memory, in bytes.
    pub held_peak: f64,
    /// Its slope over the last 80 % of the run, in bytes per second. Not known where the run was too short.
    pub held_slope: Option<f64>,
    /// Peak of anonymous memory, in bytes.
    pub anonymous_peak: f64,
    /// Peak of dirty mapped memory, in bytes.
    pub dirty_peak: f64,
    /// Peak of mapped file pages in memory, in bytes: page cache, which the kernel gives to others when they need it.
    pub mapped_peak: f64,
}

/// What the watch has found.
#[derive(Debug, Clone, Default)]
pub struct WatchFigures {
    /// Memory.
    pub memory: MemoryFigures,
    /// Alerts raised.
    pub alerts: u64,
    /// Alerts that stood at the end.
    pub standing: Vec<StandingAlert>,
}

/// What the watch reads.
pub(crate) struct Watched {
    /// The capture. When its stop is asked for, connections end because they should.
    pub context: Arc<CaptureContext>,
    /// The products.
    pub registry: Arc<Registry>,
    /// The connections.
    pub connections: Arc<Connections>,
    /// What the capture says of itself.
    pub status: Arc<StatusFile>,
    /// Who is told that the capture is ready and well, if anybody.
    pub service_manager: Option<ServiceManager>,
    /// Time between two flushes.
    pub sync_interval: Duration,
    /// How long a connection may take to deliver, and a product to be taken up, before that is an alert.
    pub start_patience: Duration,
}

/// Starts the thread `watch`, which ends when `end` is asked for.
///
/// # Errors
/// Where the system cannot start a thread.
pub(crate) fn start(watched: Watched, end: Stop) -> std::io::Result<JoinHandle<WatchFigures>> {
    let stop = watched.context.stop.clone();
    spawn("watch", Stack::Small, &stop, move || run(&watched, &end))
}

fn run(watched: &Watched, end: &Stop) -> WatchFigures {
    let start = Instant::now();
    let (mut alerts, mut probe, mut trends) = (Alerts::default(), MemoryProbe::default(), Trends::default());
    let status_interval = if std::io::stderr().is_terminal() { STATUS_ON_TERMINAL } else { STATUS_ELSEWHERE };
    let mut status = Status::new(start);
    let (mut failures, mut clock) = (0, ClockWatch::default());
    let mut figures = StatusFigures::new(start);
    // At once, so that the file says soon that the capture runs.
    write_status(watched, &alerts, None, &mut figures);
    let mut manager = watched.service_manager.as_ref().and_then(begin_to_notify);
    notify(watched, manager.as_mut());
    loop {
        let is_last = end.wait(PERIOD);
        let memory = probe.read();
        if let Some(memory) = memory {
            trends.add(start.elapsed().as_secs_f64(), memory);
        }
        let lag_micros = watched.context.metrics.recent_lag_micros.take();
        let failed = watched.context.metrics.write_failures.get();
        alerts.begin(start.elapsed());
        check(watched, &mut alerts, &Reading { memory, lag_micros, has_new_failure: failed > failures });
        failures = failed;
        clock.check(&watched.context, &mut alerts);
        write_status(watched, &alerts, memory, &mut figures);
        notify(watched, manager.as_mut());
        if is_last {
            return WatchFigures { memory: trends.figures(), alerts: alerts.raised(), standing: alerts.standing() };
        }
        for line in alerts::lines(&alerts.due_again()) {
            log::warn!("{line}");
        }
        let now = Instant::now();
        if status.age(now) >= status_interval {
            let space = watched.context.dir.free_space().map_or_else(|_| "unknown".to_owned(), |space| gigabytes(space.free));
            log::info!("{}", status.line(count(watched), &space, now));
        }
    }
}

/// Makes the connection to the service manager. A capture goes on without one.
fn begin_to_notify(manager: &ServiceManager) -> Option<ServiceNotifier> {
    ServiceNotifier::begin(manager)
        .map_err(|error| log::warn!("NOTIFY_SOCKET {}: {error}; the service manager is told nothing", manager.socket.display()))
        .ok()
}

/// Tells the service manager how the capture is.
fn notify(watched: &Watched, manager: Option<&mut ServiceNotifier>) {
    let Some(manager) = manager else { return };
    // At a stop threads end one after the other, and the manager has a time of its own for that.
    let is_stopping = watched.context.stop.is_asked();
    let signs = if is_stopping { Vec::new() } else { signs(watched) };
    manager.tell(&watched.status.line(), is_stopping, signs, Instant::now());
}

/// Reads what the threads show of their work.
fn signs(watched: &Watched) -> Vec<Sign> {
    let sync = Sign {
        thread: "sync".to_owned(),
        has_work: true,
        done: watched.context.metrics.sync_cycles.get(),
        patience: watched.sync_interval,
    };
    let mut signs = vec![sync];
    watched.connections.for_each(|connection, _| {
        // One without a connection may wait for a name server or a handshake.
        let has_work = connection.metrics.is_connected.load(Relaxed);
        signs.push(Sign { thread: connection.name.clone(), has_work, done: connection.metrics.ticks.get(), patience: Duration::ZERO });
    });
    watched.registry.for_each(|route| {
        let metrics = &route.metrics;
        // Where the disk is full, the queue waits for it.
        let has_work = !route.queue.is_empty() && !metrics.is_blocked.load(Relaxed);
        let (trades, tickers) = (&metrics.trades, &metrics.tickers);
        let done = [&trades.written, &trades.late, &trades.duplicate, &trades.conflict, &trades.rejected, &tickers.written, &tickers.late];
        let done = done.into_iter().chain([&tickers.stale, &tickers.rejected]).map(Counter::get).sum::<u64>();
        // A trade that waits for one before it, or for a confirmation, has left the queue.
        let done = done.wrapping_add(metrics.waiting.load(Relaxed));
        signs.push(Sign { thread: format!("write:{}", route.product), has_work, done, patience: Duration::ZERO });
    });
    signs
}

/// Writes what the capture says of itself.
fn write_status(watched: &Watched, alerts: &Alerts, memory: Option<Memory>, figures: &mut StatusFigures) {
    let Watched { context, registry, connections, status, .. } = watched;
    let sources = Sources { context, registry, connections, alerts, memory_bytes: memory.map(Memory::held) };
    status.update(|report| figures.gather(&sources, Instant::now(), report));
}

/// Whether the box's clock was off when it was last looked at.
#[derive(Default)]
struct ClockWatch {
    /// The exchange's time minus the box's, in nanoseconds, as journaled; 0 where the clock is right.
    journaled: i64,
}

impl ClockWatch {
    /// Raises the alert where the box's clock is off, and clears it when it is right again by half of that.
    fn check(&mut self, context: &CaptureContext, alerts: &mut Alerts) {
        let offset = context.metrics.market.offset().unwrap_or(0);
        let limit = if self.journaled == 0 { OFF_NANOS } else { OFF_NANOS / 2 };
        let offset = if offset.unsigned_abs() < limit { 0 } else { offset };
        // The exchange is ahead of a clock that is behind.
        let is_behind = offset > 0;
        let off_s = offset.unsigned_abs() / NANOS_PER_SECOND;
        let text =
            (offset != 0).then(|| format!("the box's clock is {off_s} s {} the exchange's", if is_behind { "behind" } else { "ahead of" }));
        if let Some(change) = alerts.check(AlertKind::ClockOff, "", text) {
            change.write(&context.journal);
        }
        if offset.abs_diff(self.journaled) >= OFF_NANOS || (offset == 0) != (self.journaled == 0) {
            self.journaled = offset;
            context.journal.write(Event::ClockOff { off_s, is_behind });
        }
    }
}

/// Memory since the start.
#[derive(Default)]
struct Trends {
    held: Trend,
    anonymous: Trend,
    dirty: Trend,
    mapped: Trend,
}

impl Trends {
    fn add(&mut self, at_seconds: f64, memory: Memory) {
        self.held.add(at_seconds, float(memory.held()));
        self.anonymous.add(at_seconds, float(memory.anonymous));
        self.dirty.add(at_seconds, float(memory.dirty_mapped));
        self.mapped.add(at_seconds, float(memory.mapped));
    }

    fn figures(&self) -> MemoryFigures {
        MemoryFigures {
            held_peak: self.held.peak(),
            held_slope: self.held.slope(),
            anonymous_peak: self.anonymous.peak(),
            dirty_peak: self.dirty.peak(),
            mapped_peak: self.mapped.peak(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes and counts of one run stay far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

/// What the watch has read of the whole capture.
struct Reading {
    memory: Option<Memory>,
    lag_micros: u64,
    has_new_failure: bool,
}

/// Checks every condition, and writes the alerts that begin or end.
fn check(watched: &Watched, alerts: &mut Alerts, reading: &Reading) {
    let mut changes = Vec::new();
    let mut is_any_blocked = false;
    let now = Instant::now();
    let last_failure = |subject: &str| watched.context.metrics.last_write_failures.lock().get(subject).cloned();
    watched.registry.for_each(|route| {
        let product = route.product.as_str();
        let (waiting, capacity) = (route.queue.len(), route.queue.capacity());
        route.metrics.deepest_queue_msgs.see(u64::try_from(waiting).unwrap_or(u64::MAX));
        let text = (waiting * 5 > capacity * 4).then(|| format!("{waiting} of {capacity} messages wait"));
        changes.extend(alerts.check(AlertKind::QueueFilling, product, text));
        let is_blocked = route.metrics.is_blocked.load(Relaxed);
        is_any_blocked |= is_blocked;
        let text = is_blocked.then(|| {
            last_failure(product).map_or_else(|| "its files take no records".to_owned(), |why| format!("its files take no records: {why}"))
        });
        changes.extend(alerts.check(AlertKind::WriteFailure, product, text));
        let refusal = route.metrics.subscription.look(now).refusal.filter(|refusal| refusal.lasts >= watched.start_patience);
        changes.extend(alerts.check(
            AlertKind::ProductRefused,
            product,
            refusal.map(|refusal| watched.context.metrics.why_refused(&route.product, &refusal.why)),
        ));
    });
    if !watched.context.stop.is_asked() {
        check_connections(watched, alerts, now, &mut changes);
    }
    let text = (reading.has_new_failure && !is_any_blocked).then(|| {
        let failures = watched.context.metrics.last_write_failures.lock();
        failures.iter().map(|(subject, why)| format!("{subject}: {why}")).collect::<Vec<_>>().join("; ")
    });
    changes.extend(alerts.check(AlertKind::WriteFailure, "", text));
    let held = reading.memory.map(Memory::held).filter(|held| *held > MEMORY_LIMIT_BYTES);
    changes.extend(alerts.check(AlertKind::Memory, "", held.map(|held| format!("{} MB", held / 1_000_000))));
    let text = (reading.lag_micros > LAG_LIMIT_MICROS).then(|| format!("{} ms", reading.lag_micros / 1000));
    changes.extend(alerts.check(AlertKind::Lag, "", text));
    let standstill =
        watched.context.backfill.as_ref().and_then(RestFetch::standstill).filter(|standstill| standstill.lasts >= REST_PATIENCE);
    changes.extend(alerts.check(AlertKind::RestFailing, "", standstill.map(|standstill| standstill.text)));
    changes.iter().for_each(|change| change.write(&watched.context.journal));
}

/// Checks the connections that have something to record. When the capture ends they end because they should: what stood before goes on to stand.
fn check_connections(watched: &Watched, alerts: &mut Alerts, now: Instant, changes: &mut Vec<Change>) {
    watched.connections.for_each(|connection, products| {
        let down = connection.down(now).filter(|_| products > 0);
        let has_delivered = |down: &Down| down.has_worked || connection.metrics.used.get() > 0;
        let text = |down: &Down| format!("{}: {}", watched.connections.endpoint(), down.cause);
        let never = down.as_ref().filter(|down| !has_delivered(down) && down.lasts >= watched.start_patience);
        changes.extend(alerts.check(AlertKind::NeverConnected, &connection.name, never.map(text)));
        let lost = down.as_ref().filter(|down| has_delivered(down));
        changes.extend(alerts.check(AlertKind::ConnectionLost, &connection.name, lost.map(text)));
    });
}

/// Counts what the status line shows.
fn count(watched: &Watched) -> Counted {
    let metrics = &watched.context.metrics;
    let mut counted = Counted { lag: metrics.lag_micros.lock().clone(), ..Counted::default() };
    counted.rejected = metrics.rejects.lock().values().sum();
    watched.connections.for_each(|connection, _| {
        counted.messages += connection.metrics.frames.get();
        counted.connected += u64::from(connection.metrics.is_connected.load(Relaxed));
        counted.connections += 1;
    });
    watched.registry.for_each(|route| {
        counted.trades += route.metrics.trades.received.get();
        counted.missing += route.metrics.missing_ids.load(Relaxed);
        let waiting = route.queue.len();
        if waiting > counted.deepest.as_ref().map_or(0, |(deepest, _)| *deepest) {
            counted.deepest = Some((waiting, route.product.to_string()));
        }
    });
    counted
}

fn gigabytes(count: u64) -> String {
    format!("{:.1} GB", float(count) / 1e9)
}
