//! The watch: looks at all figures once a second, raises alerts, prints the status line.
//!
//! It reads counters and asks the kernel; nobody waits for it, and it waits for nobody.
//!
//! Thread `watch`: owns the alerts and the memory trend; ends when its own end is asked for, after the writers', so that the end is watched too.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::capture::net::connections::Lines;
use crate::capture::report::alerts::{AlertKind, Alerts};
use crate::capture::report::machine::{Memory, MemoryProbe, Trend};
use crate::capture::report::metrics::Metrics;
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::write::registry::Registry;
use crate::store::DataDir;

/// Memory above which an alert is raised, in bytes: 2 GB.
pub const MEMORY_LIMIT_BYTES: u64 = 2_000_000_000;

/// Lag above which an alert is raised, in microseconds: 1 s.
pub const LAG_LIMIT_MICROS: u64 = 1_000_000;

const LOOK: Duration = Duration::from_secs(1);
const STATUS_ON_TERMINAL: Duration = Duration::from_secs(10);
const STATUS_ELSEWHERE: Duration = Duration::from_secs(60);

/// Memory over the whole run.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryFigures {
    /// Peak of anonymous + locked + dirty mapped memory, in bytes.
    pub held_peak: f64,
    /// Its slope over the last 80 % of the run, in bytes per second; nothing where the run was too short.
    pub held_slope: Option<f64>,
    /// Peak of anonymous memory, in bytes.
    pub anonymous_peak: f64,
    /// Peak of dirty mapped memory, in bytes.
    pub dirty_peak: f64,
    /// Peak of mapped file pages present, in bytes: page cache, given back when others need it.
    pub mapped_peak: f64,
}

/// What the watch leaves behind.
#[derive(Debug, Clone, Copy, Default)]
pub struct WatchFigures {
    /// Memory.
    pub memory: MemoryFigures,
    /// Alerts raised.
    pub alerts: u64,
}

/// What the watch looks at.
pub struct Watched {
    /// Products.
    pub registry: Arc<Registry>,
    /// Connections.
    pub lines: Arc<Lines>,
    /// The whole.
    pub metrics: Arc<Metrics>,
    /// Where alerts are written down.
    pub journal: JournalHandle,
    /// For the space left.
    pub dir: Arc<DataDir>,
    /// When set, connections end because they should.
    pub stop: Stop,
}

/// Starts the thread `watch`.
///
/// # Errors
/// Where the machine has no thread left.
pub fn start(watched: Watched, end: Stop) -> std::io::Result<JoinHandle<WatchFigures>> {
    std::thread::Builder::new().name("watch".to_owned()).stack_size(crate::capture::SMALL_STACK_BYTES).spawn(move || {
        let _on_panic = watched.stop.on_panic();
        run(&watched, &end)
    })
}

fn run(watched: &Watched, end: &Stop) -> WatchFigures {
    let start = Instant::now();
    let (mut alerts, mut probe) = (Alerts::default(), MemoryProbe::default());
    let (mut held, mut anonymous, mut dirty, mut mapped) = (Trend::default(), Trend::default(), Trend::default(), Trend::default());
    let status_every = if std::io::stderr().is_terminal() { STATUS_ON_TERMINAL } else { STATUS_ELSEWHERE };
    let mut status = Status { at: start, messages: 0, trades: 0, worst_lag_micros: 0 };
    let mut failures = 0;
    loop {
        let is_last = end.wait(LOOK);
        let now = start.elapsed().as_secs_f64();
        let memory = probe.read();
        if let Some(memory) = memory {
            held.add(now, bytes(memory.held()));
            anonymous.add(now, bytes(memory.anonymous));
            dirty.add(now, bytes(memory.dirty_mapped));
            mapped.add(now, bytes(memory.mapped));
        }
        let lag = watched.metrics.recent_lag_micros.take();
        status.worst_lag_micros = status.worst_lag_micros.max(lag);
        let failed = watched.metrics.write_failures.get();
        let looks = Looks { memory, lag, has_failed: failed > failures };
        failures = failed;
        look(watched, &mut alerts, &looks);
        if is_last {
            break;
        }
        if status.at.elapsed() >= status_every {
            status = status.print(watched);
        }
    }
    WatchFigures {
        memory: MemoryFigures {
            held_peak: held.peak(),
            held_slope: held.slope(),
            anonymous_peak: anonymous.peak(),
            dirty_peak: dirty.peak(),
            mapped_peak: mapped.peak(),
        },
        alerts: alerts.raised(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory in bytes stays far below 2^53")]
fn bytes(count: u64) -> f64 {
    count as f64
}

struct Looks {
    memory: Option<Memory>,
    lag: u64,
    has_failed: bool,
}

fn look(watched: &Watched, alerts: &mut Alerts, looks: &Looks) {
    let mut changes = Vec::new();
    let mut is_blocked = false;
    watched.registry.for_each(|route| {
        let (waiting, capacity) = (route.queue.len(), route.queue.capacity());
        route.metrics.deepest_queue_msgs.see(u64::try_from(waiting).unwrap_or(u64::MAX));
        let text = (waiting * 5 > capacity * 4).then(|| format!("{waiting} of {capacity} messages wait"));
        changes.extend(alerts.look(AlertKind::QueueFilling, route.product.as_str(), text));
        let blocked = route.metrics.is_blocked.load(Relaxed);
        is_blocked |= blocked;
        let text = blocked.then(|| "its files take no records".to_owned());
        changes.extend(alerts.look(AlertKind::WriteFailure, route.product.as_str(), text));
    });
    watched.lines.for_each(|line| {
        let down = !line.metrics.is_connected.load(Relaxed) && line.metrics.connects.get() > 0 && !watched.stop.is_asked();
        changes.extend(alerts.look(AlertKind::ConnectionLost, &line.name, down.then(|| "reconnecting".to_owned())));
    });
    let text = (looks.has_failed && !is_blocked).then(|| "see the log".to_owned());
    changes.extend(alerts.look(AlertKind::WriteFailure, "", text));
    let text = looks.memory.map(Memory::held).filter(|held| *held > MEMORY_LIMIT_BYTES).map(|held| format!("{} MB", held / 1_000_000));
    changes.extend(alerts.look(AlertKind::Memory, "", text));
    let text = (looks.lag > LAG_LIMIT_MICROS).then(|| format!("{} ms", looks.lag / 1000));
    changes.extend(alerts.look(AlertKind::Lag, "", text));
    changes.iter().for_each(|change| change.tell(&watched.journal));
}

struct Status {
    at: Instant,
    messages: u64,
    trades: u64,
    worst_lag_micros: u64,
}

impl Status {
    fn print(&self, watched: &Watched) -> Self {
        let (mut messages, mut connected, mut lines) = (0, 0, 0);
        watched.lines.for_each(|line| {
            messages += line.metrics.frames.get();
            connected += u64::from(line.metrics.is_connected.load(Relaxed));
            lines += 1;
        });
        let (mut trades, mut missing, mut deepest) = (0, 0, (0, String::new()));
        watched.registry.for_each(|route| {
            trades += route.metrics.trades.received.get();
            missing += route.metrics.missing_ids.load(Relaxed);
            if route.queue.len() > deepest.0 {
                deepest = (route.queue.len(), format!(" ({})", route.product));
            }
        });
        let (p50, p99) = {
            let lag = watched.metrics.lag_micros.lock();
            (lag.value_at_quantile(0.5), lag.value_at_quantile(0.99))
        };
        let seconds = self.at.elapsed().as_secs_f64().max(0.001);
        let space = watched.dir.free_space().map_or_else(|_| "unknown".to_owned(), |space| gigabytes(space.free));
        log::info!(
            "connections {connected}/{lines}, {:.0} messages/s, {:.0} trades/s, lag p50 {} p99 {} worst {}, deepest queue {}{}, missing ids {missing}, disk left {space}",
            bytes(messages - self.messages) / seconds,
            bytes(trades - self.trades) / seconds,
            millis(p50),
            millis(p99),
            millis(self.worst_lag_micros),
            deepest.0,
            deepest.1,
        );
        Self { at: Instant::now(), messages, trades, worst_lag_micros: 0 }
    }
}

fn millis(micros: u64) -> String {
    format!("{:.2} ms", bytes(micros) / 1000.0)
}

fn gigabytes(count: u64) -> String {
    format!("{:.1} GB", bytes(count) / 1e9)
}
