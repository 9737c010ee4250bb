//! The watch: reads all figures once a second, raises alerts, logs the status line and writes the status file.
//!
//! It reads counters and files of `/proc`. No other thread waits for it. A status file that cannot be written changes nothing ([`StatusFile`]).
//!
//! [`super::checks`] has the conditions of the alerts.
//!
//! Thread `watch`: owns the alerts, their command and the memory trends; has its own [`Stop`] and ends after the writers, so that the end of the capture is watched too.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::capture::alert_config::AlertConfig;
use crate::capture::context::CaptureContext;
use crate::capture::net::connections::Connections;
use crate::capture::report::alert_command::AlertCommand;
use crate::capture::report::alert_kind::AlertKind;
use crate::capture::report::alerts::{self, Alerts, Change, Condition, StandingAlert};
use crate::capture::report::checks::{Checks, Measured, Subjects};
use crate::capture::report::machine::{BoxMemory, Memory, MemoryProbe, Trend};
use crate::capture::report::relief::Verdict;
use crate::capture::report::service_manager::{ServiceManager, ServiceNotifier};
use crate::capture::report::signs::signs;
use crate::capture::report::status::{Counted, Status};
use crate::capture::report::status_figures::{Sources, StatusFigures};
use crate::capture::report::status_file::StatusFile;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::registry::Registry;
use crate::feed::clock_check::OFF_NANOS;
use crate::store::event::Event;
use crate::time::NANOS_PER_SECOND;

/// Time between two readings of the figures.
const PERIOD: Duration = Duration::from_secs(1);

/// How long after an emergency flush was asked for its effect is measured.
const RELIEF_TIME: Duration = Duration::from_secs(2);

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
    /// The thresholds of the other alerts, and whom they are told.
    pub alerts: AlertConfig,
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
    let mut watch = Watch::new(watched, start);
    let status_interval = if std::io::stderr().is_terminal() { STATUS_ON_TERMINAL } else { STATUS_ELSEWHERE };
    let mut status = Status::new(start);
    // At once, so that the file says soon that the capture runs.
    watch.write_status(None);
    watch.notify();
    loop {
        let is_last = end.wait(PERIOD);
        watch.look();
        if is_last {
            return watch.end();
        }
        for line in alerts::lines(&watch.alerts.due_again()) {
            log::warn!("{line}");
        }
        let now = Instant::now();
        if status.age(now) >= status_interval {
            let space = watched.context.dir().free_space().map_or_else(|_| "unknown".to_owned(), |space| gigabytes(space.free));
            log::info!("{}", status.line(count(watched), &space, now));
        }
    }
}

/// What the watch remembers.
struct Watch<'a> {
    watched: &'a Watched,
    start: Instant,
    alerts: Alerts,
    checks: Checks,
    command: Option<AlertCommand>,
    probe: MemoryProbe,
    trends: Trends,
    clock: ClockWatch,
    figures: StatusFigures,
    manager: Option<ServiceNotifier>,
    /// When an emergency flush was asked for whose effect was not measured yet.
    relieved: Option<Instant>,
}

impl<'a> Watch<'a> {
    fn new(watched: &'a Watched, start: Instant) -> Self {
        let context = &watched.context;
        let command = watched.alerts.command.as_ref().and_then(|command| {
            let started = AlertCommand::start(command, context.dir().path(), &context.metrics, &context.stop);
            started.inspect_err(|error| context.stop.fail(format!("alert: {error}"))).ok()
        });
        Self {
            watched,
            start,
            alerts: Alerts::new(watched.alerts.hold),
            checks: Checks::new(watched.alerts.clone()),
            command,
            probe: MemoryProbe::default(),
            trends: Trends::default(),
            clock: ClockWatch::default(),
            figures: StatusFigures::new(start),
            manager: watched.service_manager.as_ref().and_then(ServiceNotifier::begin_or_warn),
            relieved: None,
        }
    }

    /// Reads all figures, and tells what begins and ends.
    fn look(&mut self) {
        let Watched { context, registry, connections, start_patience, .. } = self.watched;
        let metrics = &context.metrics;
        if self.relieved.is_some_and(|at| at.elapsed() >= RELIEF_TIME) {
            self.relieved = None;
            self.probe.count_soon();
        }
        let memory = self.probe.read();
        if let Some(memory) = memory {
            self.trends.add(self.start.elapsed().as_secs_f64(), memory);
        }
        let disk = self.figures.disk(context.dir(), Instant::now());
        metrics.gauges.note_memory(memory);
        metrics.gauges.note_disk(disk.map(|disk| disk.disk), disk.map(|disk| disk.used_bytes));
        let measured = Measured {
            now: self.start.elapsed(),
            memory,
            of_box: BoxMemory::read(),
            disk: disk.map(|disk| disk.disk),
            lag_micros: metrics.recent_lag_micros.take(),
        };
        self.alerts.begin(measured.now);
        let subjects = Subjects { context, registry, connections, start_patience: *start_patience };
        let (mut changes, verdict) = self.checks.look(&subjects, &measured, &mut self.alerts);
        self.relieve(&verdict);
        changes.extend(self.clock.check(context, &mut self.alerts));
        changes.iter().for_each(|change| self.tell(change));
        metrics.gauges.note_alerts(|kind| self.alerts.standing_of(kind));
        self.write_status(memory);
        self.notify();
    }

    /// Tells the service manager how the capture is.
    fn notify(&mut self) {
        let Some(manager) = &mut self.manager else { return };
        let Watched { context, registry, connections, status, sync_interval, .. } = self.watched;
        // At a stop threads end one after the other, and the manager has a time of its own for that.
        let is_stopping = context.stop.is_asked();
        let signs = if is_stopping { Vec::new() } else { signs(context, registry, connections, *sync_interval) };
        manager.tell(&status.line(), is_stopping, signs, Instant::now());
    }

    /// Has what was written flushed and its page cache given back, where memory runs short.
    fn relieve(&mut self, verdict: &Verdict) {
        if verdict.begins {
            log::warn!("memory runs short: flushing ahead of time, and giving back the page cache of what is on disk");
        }
        if verdict.flushes {
            self.watched.context.sync().relieve();
            self.relieved.get_or_insert_with(Instant::now);
        }
    }

    /// Tells log, journal, metrics and the command of an alert.
    fn tell(&self, change: &Change) {
        let context = &self.watched.context;
        change.write(&context.journal);
        if change.is_raised {
            context.metrics.gauges.count_raised(change.kind);
        }
        if let Some(command) = &self.command {
            command.tell(change, context.clock.now());
        }
    }

    /// Writes what the capture says of itself.
    fn write_status(&mut self, memory: Option<Memory>) {
        let Watched { context, registry, connections, status, .. } = self.watched;
        let sources = Sources { context, registry, connections, alerts: &self.alerts, memory_bytes: memory.map(Memory::held) };
        let figures = &mut self.figures;
        status.update(|report| figures.gather(&sources, Instant::now(), report));
    }

    fn end(self) -> WatchFigures {
        if let Some(command) = self.command {
            command.end();
        }
        WatchFigures { memory: self.trends.figures(), alerts: self.alerts.raised(), standing: self.alerts.standing() }
    }
}

/// Whether the box's clock was off when it was last looked at.
#[derive(Default)]
struct ClockWatch {
    /// The exchange's time minus the box's, in nanoseconds, as journaled; 0 where the clock is right.
    journaled: i64,
}

impl ClockWatch {
    /// Raises the alert where the box's clock is off, and clears it when it is right again by half of that.
    fn check(&mut self, context: &CaptureContext, alerts: &mut Alerts) -> Option<Change> {
        let offset = context.metrics.market.offset().unwrap_or(0);
        let limit = if self.journaled == 0 { OFF_NANOS } else { OFF_NANOS / 2 };
        let offset = if offset.unsigned_abs() < limit { 0 } else { offset };
        // The exchange is ahead of a clock that is behind.
        let is_behind = offset > 0;
        let off_s = offset.unsigned_abs() / NANOS_PER_SECOND;
        let text =
            (offset != 0).then(|| format!("the box's clock is {off_s} s {} the exchange's", if is_behind { "behind" } else { "ahead of" }));
        let change = alerts.check(AlertKind::ClockOff, "", Condition::bad_if(text));
        if offset.abs_diff(self.journaled) >= OFF_NANOS || (offset == 0) != (self.journaled == 0) {
            self.journaled = offset;
            context.journal.write(Event::ClockOff { off_s, is_behind });
        }
        change
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
