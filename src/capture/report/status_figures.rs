//! [`StatusFigures`]: gathers what the capture says of itself once a second. The watch calls it; no other thread waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::capture::context::CaptureContext;
use crate::capture::net::connections::Connections;
use crate::capture::report::alerts::{Alerts, StandingAlert};
use crate::capture::report::metrics::{Lag, ProductMetrics};
use crate::capture::report::status::since;
use crate::capture::write::registry::{ProductFigures, Registry};
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::status::{Disk, DownConnection, LagMillis, LastError, ProductStatus, RaisedAlert, RunState, StatusReport};
use crate::store::DataDir;
use crate::time::UnixNanos;

/// Readings that rates are measured over: ten seconds.
const READINGS: usize = 10;
/// Connections that do not work and are listed.
const MAX_DOWN: usize = 16;
/// How long ids may be missing, while REST is asked for them, before that is a problem.
const FETCH_PATIENCE: Duration = Duration::from_secs(10);
/// How long the free space is watched before its fall counts.
const SPACE_SPAN: Duration = Duration::from_secs(600);
const SECONDS_PER_DAY: f64 = 86_400.0;

/// What a status is gathered from.
pub(crate) struct Sources<'a> {
    pub context: &'a CaptureContext,
    pub registry: &'a Registry,
    pub connections: &'a Connections,
    pub alerts: &'a Alerts,
    /// Anonymous, locked and dirty mapped memory.
    pub memory_bytes: Option<u64>,
}

/// The disk with the least room, as it was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DiskReading {
    pub disk: Disk,
    /// Bytes that are taken.
    pub used_bytes: u64,
}

/// The figures of one moment.
struct Reading {
    at: Instant,
    messages: u64,
    trades: u64,
    tickers: u64,
    lag: Histogram<u32>,
    products: BTreeMap<ProductId, u64>,
}

/// Gathers one status after the other.
pub(crate) struct StatusFigures {
    start: Instant,
    readings: VecDeque<Reading>,
    /// Bytes that this run has stored.
    stored_bytes: u64,
    first_free: Option<u64>,
    missing_since: Option<Instant>,
}

impl StatusFigures {
    /// Begins with nothing read.
    #[must_use]
    pub(crate) fn new(now: Instant) -> Self {
        Self { start: now, readings: VecDeque::new(), stored_bytes: 0, first_free: None, missing_since: None }
    }

    /// Reads every figure into a report.
    pub(crate) fn gather(&mut self, sources: &Sources<'_>, now: Instant, report: &mut StatusReport) {
        let context = sources.context;
        report.state = if context.stop.is_asked() { RunState::Stopping } else { RunState::Running };
        report.last_error = context.metrics.last_error.get().map(|(time, text)| LastError { time, text });
        report.memory_bytes = sources.memory_bytes;
        report.rejected = context.metrics.rejects.lock().values().sum();
        read_connections(sources.connections, now, report);
        // The writers end one after the other. What they counted stays, and `read_final` has the last word.
        if !sources.registry.is_closed() {
            self.stored_bytes = read_products(sources, now, report);
        }
        self.read_rates(context, now, report);
        // Once more, as the pace is known only now.
        report.disk = self.disk(context.dir(), now).map(|reading| reading.disk);
        let standing = sources.alerts.standing();
        report.alerts = standing.iter().map(raised).collect();
        report.problems = self.problems(context, &standing, now, report);
    }

    /// Measures rates and lag over the last readings.
    fn read_rates(&mut self, context: &CaptureContext, now: Instant, report: &mut StatusReport) {
        let products = self.readings.front().map(|first| &first.products);
        let seconds = self.readings.front().map_or(1.0, |first| now.saturating_duration_since(first.at).as_secs_f64()).max(0.001);
        let rate = |now: u64, before: Option<u64>| before.map_or(0.0, |before| float(now.saturating_sub(before)) / seconds);
        let first = self.readings.front();
        report.messages_per_s = rate(report.messages, first.map(|first| first.messages));
        report.trades_per_s = rate(report.trades, first.map(|first| first.trades));
        report.tickers_per_s = rate(report.tickers, first.map(|first| first.tickers));
        let lag = context.metrics.lag_micros.lock().clone();
        let recent = first.map_or_else(|| lag.clone(), |first| since(&lag, &first.lag));
        report.lag_ms = Lag::of(&recent).map(|lag| {
            let [p50, p99, worst] = [lag.p50, lag.p99, lag.max].map(|micros| float(micros) / 1000.0);
            LagMillis { p50, p99, worst }
        });
        let mut received = BTreeMap::new();
        for product in &mut report.products {
            let Ok(name) = ProductId::new(&product.product) else { continue };
            let count = product.trades;
            product.trades_per_s = rate(count, products.map(|products| products.get(&name).copied().unwrap_or(0)));
            received.insert(name, count);
        }
        let (messages, trades, tickers) = (report.messages, report.trades, report.tickers);
        self.readings.push_back(Reading { at: now, messages, trades, tickers, lag, products: received });
        if self.readings.len() > READINGS {
            self.readings.pop_front();
        }
    }

    /// Reads the room on the disk, and how long it lasts: at the pace of what this run stored until the last status, or of the fall of the free space,
    /// whichever is faster.
    pub(crate) fn disk(&mut self, dir: &DataDir, now: Instant) -> Option<DiskReading> {
        let space = dir.free_space().ok()?;
        let first_free = *self.first_free.get_or_insert(space.free);
        let ran = now.saturating_duration_since(self.start);
        let fallen = if ran >= SPACE_SPAN { first_free.saturating_sub(space.free) } else { 0 };
        let room = space.free.saturating_sub(space.reserve());
        let disk = Disk { free_bytes: space.free, days_until_full: days_until_full(room, self.stored_bytes.max(fallen), ran) };
        Some(DiskReading { disk, used_bytes: space.used })
    }

    fn problems(&mut self, context: &CaptureContext, standing: &[StandingAlert], now: Instant, report: &StatusReport) -> Vec<String> {
        let mut problems: Vec<String> = standing
            .iter()
            .map(|alert| {
                if alert.subject.is_empty() {
                    format!("{}: {}", alert.alert, alert.text)
                } else {
                    format!("{} {}: {}", alert.alert, alert.subject, alert.text)
                }
            })
            .collect();
        let (up, wanted) = (report.connections_up, report.connections);
        if up < wanted && !standing.iter().any(|alert| alert.alert.contains("connect")) {
            let why = report.down.first().map_or_else(String::new, |down| format!(": {}: {}", down.connection, down.why));
            problems.push(format!("{up} of {wanted} connections work{why}"));
        }
        if report.missing_ids == 0 {
            self.missing_since = None;
        } else {
            let lasts = now.saturating_duration_since(*self.missing_since.get_or_insert(now));
            if context.backfill.is_none() || lasts >= FETCH_PATIENCE {
                let of: Vec<&str> =
                    report.products.iter().filter(|product| product.missing_ids > 0).map(|product| product.product.as_str()).collect();
                problems.push(format!("{} trade ids are missing, of {}", report.missing_ids, crate::names::listed(&of)));
            }
        }
        for state in ["blocked", "shedding", "refused"] {
            let of: Vec<&str> =
                report.products.iter().filter(|product| product.state == state).map(|product| product.product.as_str()).collect();
            if !of.is_empty() {
                problems.push(format!("{state}: {}", crate::names::listed(&of)));
            }
        }
        problems
    }
}

fn read_connections(connections: &Connections, now: Instant, report: &mut StatusReport) {
    (report.messages, report.connections, report.connections_up) = (0, 0, 0);
    report.down.clear();
    connections.for_each(|connection, products| {
        report.messages += connection.metrics.frames.get();
        if products == 0 {
            return;
        }
        report.connections += 1;
        match connection.down(now) {
            None => report.connections_up += 1,
            Some(down) if report.down.len() < MAX_DOWN => {
                report.down.push(DownConnection { connection: connection.name.clone(), lasts_s: down.lasts.as_secs(), why: down.cause });
            }
            Some(_) => {}
        }
    });
}

/// Reads every product. Gives the bytes that this run has stored.
fn read_products(sources: &Sources<'_>, now: Instant, report: &mut StatusReport) -> u64 {
    let context = sources.context;
    let market_now = context.market_now();
    let width = |dataset: Dataset| {
        let columns = dataset.columns_of(context.dir().options().columns);
        u64::try_from(columns.iter().map(|column| column.kind.width()).sum::<usize>()).unwrap_or(0)
    };
    let of_a_trade: u64 = context.datasets.iter().filter(|dataset| !dataset.is_of_tickers()).map(width).sum();
    let of_a_ticker: u64 = context.datasets.iter().filter(|dataset| dataset.is_of_tickers()).map(width).sum();
    report.queue = crate::status::Queue::default();
    begin_products(report);
    let mut bytes = 0;
    sources.registry.for_each(|route| {
        let metrics = &route.metrics;
        bytes += (metrics.trades.written.get() + metrics.trades.late.get()) * of_a_trade
            + (metrics.tickers.written.get() + metrics.tickers.late.get()) * of_a_ticker;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (waiting, capacity) = (count(route.queue.len()), count(route.queue.capacity()));
        report.queue.capacity = report.queue.capacity.max(capacity);
        if waiting > report.queue.waiting {
            (report.queue.waiting, report.queue.product) = (waiting, route.product.to_string());
        }
        add_product(&route.product, metrics, waiting, market_now, now, report);
    });
    bytes
}

/// Reads what the products came to in the end, when their writers are gone.
pub(crate) fn read_final(products: &[ProductFigures], market_now: UnixNanos, report: &mut StatusReport) {
    begin_products(report);
    report.queue.waiting = 0;
    report.queue.product.clear();
    for ProductFigures { product, metrics } in products {
        add_product(product, metrics, 0, market_now, Instant::now(), report);
    }
}

fn begin_products(report: &mut StatusReport) {
    (report.trades, report.tickers, report.missing_ids, report.shed, report.conflicts) = (0, 0, 0, 0, 0);
    report.products.clear();
}

fn add_product(
    product: &ProductId,
    metrics: &ProductMetrics,
    waiting: u64,
    market_now: UnixNanos,
    now: Instant,
    report: &mut StatusReport,
) {
    let status = product_status(product, metrics, waiting, market_now, now);
    report.trades += status.trades;
    report.tickers += metrics.tickers.received.get();
    report.missing_ids += status.missing_ids;
    report.shed += metrics.trades.shed.get() + metrics.tickers.shed.get();
    report.conflicts += metrics.trades.conflict.get();
    report.products.push(status);
}

fn product_status(product: &ProductId, metrics: &ProductMetrics, waiting: u64, market_now: UnixNanos, now: Instant) -> ProductStatus {
    let subscription = metrics.subscription.look(now);
    let state = if metrics.is_blocked.load(Relaxed) {
        "blocked"
    } else if metrics.is_shedding.load(Relaxed) {
        "shedding"
    } else if subscription.refusal.is_some() {
        "refused"
    } else if subscription.wanted_for.is_none() {
        "unasked"
    } else if subscription.was_acknowledged {
        "recorded"
    } else {
        "waiting"
    };
    let age = |time: UnixNanos| float(market_now.since(time)) / 1e9;
    let last_trade = metrics.newest.trade();
    ProductStatus {
        product: product.to_string(),
        state: state.to_owned(),
        trades: metrics.trades.received.get(),
        // Measured later, over the last readings.
        trades_per_s: 0.0,
        last_trade_id: last_trade.map(|(id, _)| id),
        last_trade: last_trade.map(|(_, time)| time),
        last_trade_age_s: last_trade.map(|(_, time)| age(time)),
        last_ticker_age_s: metrics.newest.ticker().map(age),
        missing_ids: metrics.missing_ids.load(Relaxed),
        queue: waiting,
    }
}

fn raised(alert: &StandingAlert) -> RaisedAlert {
    RaisedAlert {
        alert: alert.alert.to_owned(),
        subject: alert.subject.clone(),
        text: alert.text.clone(),
        lasts_s: alert.lasts.as_secs(),
        remedy: alert.remedy.to_owned(),
    }
}

/// Gives how many days some room lasts where so many bytes were stored in a time; nothing where that is not known.
fn days_until_full(room: u64, stored: u64, ran: Duration) -> Option<f64> {
    let seconds = ran.as_secs_f64();
    (stored > 0 && seconds >= 1.0).then(|| float(room) * seconds / (float(stored) * SECONDS_PER_DAY))
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of one run stay far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_until_a_disk_is_full_follow_the_pace() {
        let day = Duration::from_secs(86_400);
        assert_eq!(days_until_full(100, 10, day), Some(10.0));
        assert_eq!(days_until_full(0, 10, day), Some(0.0));
        assert_eq!((days_until_full(100, 0, day), days_until_full(100, 10, Duration::ZERO)), (None, None));
    }
}
