//! [`page`]: the figures of a capture for Prometheus. A row of [`PER_PRODUCT`], [`OF_CAPTURE`] or [`OF_CONNECTIONS`] is a family; the rest has a function each.
//!
//! 1. Units are base units: seconds, bytes. A counter's name ends in `_total`.
//! 2. Labels are bounded: products, connections, kinds of alerts, memory and losses, reasons of rejects, at most four lines.
//! 3. A figure that is not known has no sample.
//! 4. Reading changes nothing and waits for nobody, but for the lists of products and connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::capture::report::alert_kind::AlertKind;
use crate::capture::report::buckets::{Buckets, ENDS_MICROS};
use crate::capture::report::connection_state::LossCause;
use crate::capture::report::counter::Counter;
use crate::capture::report::gauges::AlertGauge;
use crate::capture::report::look::Look;
use crate::capture::report::machine::cpu_seconds;
use crate::capture::report::metrics::{ConnectionMetrics, MAX_LINES, Metrics, ProductMetrics};
use crate::capture::write::queue::SLOT_BYTES;
use crate::exposition::{Exposition, MetricKind};

/// Bytes of a page without products, and for each product: about as many as are needed.
const PAGE_BYTES: usize = 16 << 10;
const BYTES_PER_PRODUCT: usize = 1500;

/// A family with a sample of each product.
struct ProductFamily {
    name: &'static str,
    kind: MetricKind,
    help: &'static str,
    read: fn(&ProductMetrics) -> u64,
}

/// A product as it is shown: its name and figures, its queue's depth and its capacity.
struct ProductRow {
    name: String,
    metrics: Arc<ProductMetrics>,
    waiting: usize,
    capacity: usize,
}

const PER_PRODUCT: &[ProductFamily] = {
    use MetricKind::{Counter, Gauge};
    const fn row(name: &'static str, kind: MetricKind, help: &'static str, read: fn(&ProductMetrics) -> u64) -> ProductFamily {
        ProductFamily { name, kind, help, read }
    }
    &[
        row("trades_received_total", Counter, "Trades from the feed.", |of| of.trades.received.get()),
        row("tickers_received_total", Counter, "Tickers from the feed.", |of| of.tickers.received.get()),
        row("trades_written_total", Counter, "Trades appended to the columns.", |of| of.trades.written.get()),
        row("tickers_written_total", Counter, "Tickers appended to the columns.", |of| of.tickers.written.get()),
        row("late_total", Counter, "Trades and tickers stored beside the columns until the seal of their day.", |of| {
            of.trades.late.get() + of.tickers.late.get()
        }),
        row("tickers_late_total", Counter, "The tickers of late_total.", |of| of.tickers.late.get()),
        row("duplicates_total", Counter, "Copies of trades that were stored already, and tickers that were not newer.", |of| {
            of.trades.duplicate.get() + of.tickers.stale.get()
        }),
        row("tickers_stale_total", Counter, "The tickers of duplicates_total.", |of| of.tickers.stale.get()),
        row("conflicts_total", Counter, "Trades that came again with other fields.", |of| of.trades.conflict.get()),
        row("shed_total", Counter, "Trades and tickers given up because a queue or the disk was full.", |of| {
            of.trades.shed.get() + of.tickers.shed.get()
        }),
        row("tickers_shed_total", Counter, "The tickers of shed_total: REST has none of them.", |of| of.tickers.shed.get()),
        row("backfilled_total", Counter, "Missing trades from REST or another tape.", |of| of.trades.fetched.get()),
        row("doubts_refuted_total", Counter, "Trades and tickers that nothing confirmed, kept with the rejects.", |of| {
            of.trades.rejected.get() + of.tickers.rejected.get()
        }),
        row("tickers_refuted_total", Counter, "The tickers of doubts_refuted_total.", |of| of.tickers.rejected.get()),
        row("gaps_total", Counter, "Gaps that were found.", |of| of.gaps.get()),
        row("gaps_open", Gauge, "Ranges of trade ids that are missing now.", |of| of.open_gaps.load(Relaxed)),
        row("missing_ids", Gauge, "Trade ids that are missing now.", |of| of.missing_ids.load(Relaxed)),
        row("trades_waiting", Gauge, "Trades that wait for a missing one before them, or for a confirmation.", |of| {
            of.waiting.load(Relaxed)
        }),
        row("queue_high_water_messages", Gauge, "Most messages seen in the queue.", |of| of.deepest_queue_msgs.get()),
    ]
};

/// A family of one sample.
struct CaptureFamily {
    name: &'static str,
    help: &'static str,
    read: fn(&Metrics) -> &Counter,
}

const OF_CAPTURE: &[CaptureFamily] = {
    const fn row(name: &'static str, help: &'static str, read: fn(&Metrics) -> &Counter) -> CaptureFamily {
        CaptureFamily { name, help, read }
    }
    &[
        row("flushes_total", "Flush cycles that had something to write.", |of| &of.flushes),
        row("trade_flushes_total", "Flush cycles that made trades durable.", |of| &of.trade_flushes),
        row("ticker_flushes_total", "Flush cycles that made tickers durable.", |of| &of.ticker_flushes),
        row("flushed_bytes_total", "Bytes of the records that were made durable.", |of| &of.flushed_bytes),
        row("emergency_flushes_total", "Flushes ahead of their time, because memory ran short.", |of| &of.emergency_flushes),
        row("write_failures_total", "Allocations, flushes and writes that failed.", |of| &of.write_failures),
        row("rest_requests_total", "Requests sent to REST.", |of| &of.rest_requests),
        row("rest_failures_total", "Requests to REST that failed.", |of| &of.rest_failures),
        row("unwritten_lines_total", "Lines of the journal, of rejects and of exact texts that were not written.", |of| {
            &of.unwritten_lines
        }),
        row("unrecorded_frames_total", "Frames that --record could not keep.", |of| &of.unrecorded_frames),
        row("alert_command_failures_total", "Alerts whose command failed, took too long or was left out.", |of| &of.alert_command_failures),
    ]
};

/// A family that is summed over all connections.
struct ConnectionFamily {
    name: &'static str,
    help: &'static str,
    read: fn(&ConnectionMetrics) -> &Counter,
}

const OF_CONNECTIONS: &[ConnectionFamily] = {
    const fn row(name: &'static str, help: &'static str, read: fn(&ConnectionMetrics) -> &Counter) -> ConnectionFamily {
        ConnectionFamily { name, help, read }
    }
    &[
        row("messages_received_total", "Frames from the feed.", |of| &of.frames),
        row("received_bytes_total", "Bytes of those frames.", |of| &of.bytes),
        row("connects_total", "Connections made.", |of| &of.connects),
        row("connect_failures_total", "Connections that could not be made.", |of| &of.connect_failures),
        row("sequence_gaps_total", "Times that messages of a connection were missing, as the Advanced feed numbers them.", |of| {
            &of.sequence_holes
        }),
    ]
};

/// Gives the page of a capture; of none it is the version alone. `pages_cpu` is the processor time that pages have taken so far.
#[must_use]
pub(super) fn page(look: Option<&Look>, now: Instant, pages_cpu: Duration) -> String {
    let mut rows = Vec::new();
    if let Some(look) = look {
        look.registry.for_each(|route| {
            rows.push(ProductRow {
                name: route.product.to_string(),
                metrics: Arc::clone(&route.metrics),
                waiting: route.queue.len(),
                capacity: route.queue.capacity(),
            });
        });
    }
    let mut page = Exposition::with_capacity(PAGE_BYTES + rows.len() * BYTES_PER_PRODUCT);
    page.build_info();
    if let Some(look) = look {
        let metrics = &look.context.metrics;
        products(&mut page, &rows, now);
        lines(&mut page, &rows);
        connections(&mut page, look, now);
        capture(&mut page, metrics, now);
        machine(&mut page, metrics);
        page.one(
            "metrics_cpu_seconds_total",
            MetricKind::Counter,
            "Processor time that these figures have taken.",
            pages_cpu.as_secs_f64(),
        );
        alerts(&mut page, metrics);
    }
    page.done()
}

fn products(page: &mut Exposition, rows: &[ProductRow], now: Instant) {
    for family in PER_PRODUCT {
        page.family(family.name, family.kind, family.help);
        for row in rows {
            page.sample(family.name, "product", &row.name, (family.read)(&row.metrics));
        }
    }
    page.family("queue_depth_messages", MetricKind::Gauge, "Messages that wait in the queue.");
    for row in rows {
        page.sample("queue_depth_messages", "product", &row.name, row.waiting);
    }
    let capacity = rows.iter().map(|row| row.capacity).max().unwrap_or(0);
    page.one("queue_capacity_messages", MetricKind::Gauge, "Most messages that a queue holds.", capacity);
    let slots: usize = rows.iter().map(|row| row.capacity).sum();
    page.one("queue_memory_bytes", MetricKind::Gauge, "What the queues take of the anonymous memory, full or empty.", slots * SLOT_BYTES);
    let wanted = rows.iter().filter(|row| row.metrics.subscription.look(now).wanted_for.is_some()).count();
    page.one("products", MetricKind::Gauge, "Products that are recorded.", wanted);
}

/// Adds what redundant lines have brought.
fn lines(page: &mut Exposition, rows: &[ProductRow]) {
    page.family("line_wins_total", MetricKind::Counter, "Trades that a redundant line brought first.");
    for line in 0..MAX_LINES {
        let wins: u64 = rows.iter().filter_map(|row| row.metrics.lines.get(line)).map(|counts| counts.wins.get()).sum();
        if wins > 0 || line == 0 {
            page.sample("line_wins_total", "line", &line.to_string(), wins);
        }
    }
}

fn connections(page: &mut Exposition, look: &Look, now: Instant) {
    let (mut up, mut wanted, mut all) = (0, 0, Vec::new());
    look.connections.for_each(|connection, products| {
        if products > 0 {
            wanted += 1;
            up += usize::from(connection.down(now).is_none());
        }
        all.push((connection.name.clone(), Arc::clone(&connection.metrics)));
    });
    page.one("connections", MetricKind::Gauge, "Connections that work.", up);
    page.one("connections_wanted", MetricKind::Gauge, "Connections that there should be.", wanted);
    for family in OF_CONNECTIONS {
        let sum: u64 = all.iter().map(|(_, metrics)| (family.read)(metrics).get()).sum();
        page.one(family.name, MetricKind::Counter, family.help, sum);
    }
    page.family("reconnects_total", MetricKind::Counter, "Connections that were lost, by cause; another one is made.");
    for cause in LossCause::ALL {
        let sum: u64 = all.iter().filter_map(|(_, metrics)| metrics.losses_by_cause.get(cause as usize)).map(Counter::get).sum();
        page.sample("reconnects_total", "cause", cause.name(), sum);
    }
    page.family("socket_receive_queue_bytes", MetricKind::Gauge, "Bytes that wait in the receive queue of a connection's socket.");
    for (name, metrics) in &all {
        page.sample("socket_receive_queue_bytes", "connection", name, metrics.waiting_bytes.load(Relaxed));
    }
}

fn capture(page: &mut Exposition, metrics: &Metrics, now: Instant) {
    page.family("rejected_total", MetricKind::Counter, "Messages and elements of messages that could not be used.");
    // Copied: whoever counts a reject does not wait until a page is written.
    let rejects = metrics.rejects.lock().clone();
    for (reason, count) in rejects {
        page.sample("rejected_total", "reason", reason, count);
    }
    for family in OF_CAPTURE {
        page.one(family.name, MetricKind::Counter, family.help, (family.read)(metrics).get());
    }
    let mut histogram = |name, help, buckets: &Buckets| {
        let (counts, sum) = buckets.read();
        page.histogram(name, help, &ENDS_MICROS, &counts, sum);
    };
    histogram("processing_lag_seconds", "Time from the read of a frame to the commit of its records.", &metrics.lag);
    histogram("append_seconds", "Time from the first append of a batch to its commit.", &metrics.append);
    histogram("flush_seconds", "Time of a flush cycle.", &metrics.flush);
    histogram(
        "exchange_delay_seconds",
        "Time from the exchange's stamp on a live record to the read of its frame, by their clocks.",
        &metrics.delay,
    );
    if let Some(age) = metrics.durable.age(now) {
        page.one(
            "durable_age_seconds",
            MetricKind::Gauge,
            "How long ago everything that was committed then is known to be on disk.",
            age.as_secs_f64(),
        );
    }
    if let Some(offset) = metrics.market.offset() {
        page.one(
            "clock_offset_seconds",
            MetricKind::Gauge,
            "The exchange's clock minus the box's, where messages show that it is off.",
            whole_seconds(offset),
        );
    }
}

fn machine(page: &mut Exposition, metrics: &Metrics) {
    let gauges = &metrics.gauges;
    page.family("memory_bytes", MetricKind::Gauge, "Memory of the process. Mapped memory is page cache, but for what is dirty.");
    let kinds =
        [("anonymous", &gauges.anonymous), ("locked", &gauges.locked), ("dirty_mapped", &gauges.dirty_mapped), ("mapped", &gauges.mapped)];
    for (kind, gauge) in kinds {
        if let Some(bytes) = gauge.get() {
            page.sample("memory_bytes", "kind", kind, bytes);
        }
    }
    let mut known = |name, help, value: Option<f64>| {
        if let Some(value) = value {
            page.one(name, MetricKind::Gauge, help, value);
        }
    };
    known("disk_free_bytes", "Free bytes of the disk with the least room.", gauges.disk_free.get());
    known("disk_used_bytes", "Bytes of that disk that are taken.", gauges.disk_used.get());
    known(
        "disk_seconds_until_full",
        "How long that disk lasts, at the pace of this run.",
        gauges.disk_days.get().map(|days| days * 86_400.0),
    );
    if let Some(seconds) = cpu_seconds() {
        page.one("cpu_seconds_total", MetricKind::Counter, "Processor time that the process has used.", seconds);
    }
}

fn alerts(page: &mut Exposition, metrics: &Metrics) {
    let of = |kind: &AlertKind, read: fn(&AlertGauge) -> &AtomicU64| read(metrics.gauges.of(*kind)).load(Relaxed);
    page.family("alert", MetricKind::Gauge, "Whether an alert of this kind stands.");
    for kind in AlertKind::ALL {
        page.sample("alert", "kind", kind.name(), u64::from(of(kind, |gauge| &gauge.standing) > 0));
    }
    page.family("alerts_raised_total", MetricKind::Counter, "Alerts that were raised.");
    for kind in AlertKind::ALL {
        page.sample("alerts_raised_total", "kind", kind.name(), of(kind, |gauge| &gauge.raised));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a clock that is off by years is known to the microsecond")]
fn whole_seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_those_that_prometheus_expects() {
        let names: Vec<(&str, MetricKind)> = PER_PRODUCT.iter().map(|family| (family.name, family.kind)).collect();
        let counters = OF_CAPTURE.iter().map(|family| family.name).chain(OF_CONNECTIONS.iter().map(|family| family.name));
        let all: Vec<(&str, MetricKind)> = names.into_iter().chain(counters.map(|name| (name, MetricKind::Counter))).collect();
        assert_eq!(all.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len(), all.len());
        for (name, kind) in all {
            assert_eq!(name.ends_with("_total"), kind == MetricKind::Counter, "{name}");
        }
    }

    #[test]
    fn without_a_capture_the_version_is_all() {
        let page = page(None, Instant::now(), Duration::ZERO);
        let samples: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples.len(), 1, "{page}");
        assert!(samples[0].starts_with("coltape_build_info{version=\"") && samples[0].ends_with("\"} 1"), "{page}");
    }
}
