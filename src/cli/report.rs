//! The closing report of a capture: a table for people, and the same figures as JSON Lines for scripts.

use std::fmt::Write;

use crate::capture::report::alerts;
use crate::capture::report::counter::{Figure, Section};
use crate::capture::report::metrics::Lag;
use crate::capture::report::status::millis;
use crate::capture::report::summary::{LineSummary, ProductSummary, RejectCount, Summary, Tally};
use crate::json::quoted;
use crate::names::listed;

/// Lays the summary out as a table with its sums.
#[must_use]
pub(crate) fn table(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_table(&mut out, summary);
    out
}

fn write_table(out: &mut String, summary: &Summary) -> std::fmt::Result {
    write_products(out, summary)?;
    let connections = &summary.connections;
    writeln!(
        out,
        "frames {} = used {} + control {} + ignored {} + rejected {}",
        connections.frames, connections.used, connections.control, connections.ignored, connections.rejected
    )?;
    if connections.rejected_trades + connections.rejected_tickers > 0 {
        writeln!(out, "unusable: {} trades, {} tickers", connections.rejected_trades, connections.rejected_tickers)?;
    }
    for RejectCount { reason, count } in &summary.rejects {
        writeln!(out, "rejected {count}: {reason}")?;
    }
    if connections.parse_checked > 0 {
        writeln!(out, "parse: {} messages read both ways, {} differently", connections.parse_checked, connections.parse_differences)?;
    }
    write_lines(out, summary)?;
    let totals = &summary.totals;
    if totals.rest_requests > 0 {
        writeln!(out, "REST: {} requests, {} of which failed", totals.rest_requests, totals.rest_failures)?;
    }
    if totals.gap_wait_micros > 0 {
        writeln!(out, "trades waited behind a gap for {} at most", millis(totals.gap_wait_micros))?;
    }
    writeln!(out, "sums {}", if summary.balances() { "hold" } else { "DO NOT HOLD" })?;
    let [p50, p99, max] = summary.lag.map_or_else(|| [const { "-" }; 3].map(str::to_owned), |lag| [lag.p50, lag.p99, lag.max].map(millis));
    writeln!(
        out,
        "lag p50 {p50} p99 {p99} max {max}; append to commit at most {}; flush at most {} ({} flushes); {} connections made, {} lost",
        measured(totals.append_micros),
        measured(totals.flush_micros),
        totals.flushes,
        connections.connects,
        connections.losses
    )?;
    write_machine(out, summary)?;
    if summary.unsealed > 0 {
        writeln!(out, "{} days could not be sealed; the next start tries again", summary.unsealed)?;
    }
    if totals.unwritten_lines + totals.unrecorded_frames > 0 {
        writeln!(out, "not kept: {} journal lines, {} frames of --record", totals.unwritten_lines, totals.unrecorded_frames)?;
    }
    write_ending(out, summary)
}

/// Writes what a user has to know or to do: what was refused, the alerts that stand, and what was left undone.
fn write_ending(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let refused: Vec<String> = summary.products.iter().filter_map(ProductSummary::refusal).collect();
    if !refused.is_empty() {
        let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
        writeln!(out, "refused by the exchange: {}", listed(&refused))?;
    }
    let shed = summary.tickers().shed;
    if shed > 0 {
        writeln!(out, "{shed} tickers were shed: a queue or a disk was full, and past tickers cannot be fetched")?;
    }
    for line in alerts::lines(&summary.watch.standing) {
        writeln!(out, "{line}")?;
    }
    let shortcomings = summary.shortcomings();
    if !shortcomings.is_empty() {
        writeln!(out, "NOT COMPLETE:")?;
    }
    for shortcoming in shortcomings {
        writeln!(out, "  {shortcoming}")?;
    }
    Ok(())
}

/// The columns of the table behind the product. In every row, trades + backfilled = written + late + duplicate + conflict + shed + rejected, and behind
/// the bar tickers = written + late + stale + shed + rejected.
const COLUMNS: [(&str, usize); 16] = [
    ("trades", 12),
    ("backfilled", 10),
    ("written", 12),
    ("late", 8),
    ("duplicate", 10),
    ("conflict", 8),
    ("shed", 8),
    ("rejected", 8),
    ("missing", 8),
    ("|", 1),
    ("tickers", 12),
    ("written", 12),
    ("late", 8),
    ("stale", 8),
    ("shed", 8),
    ("rejected", 8),
];

fn write_products(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let width = summary.products.iter().map(|product| product.product.as_str().len()).max().unwrap_or(0).max(7);
    write_row(out, width, "product", COLUMNS.map(|(name, _)| name.to_owned()))?;
    for product in &summary.products {
        write_row(out, width, product.product.as_str(), cells(product.trades, product.missing_ids, product.tickers))?;
    }
    if summary.products.len() > 1 {
        let missing = summary.products.iter().map(|product| product.missing_ids).sum();
        write_row(out, width, "all", cells(summary.trades(), missing, summary.tickers()))?;
    }
    Ok(())
}

fn cells(trades: Tally, missing: u64, tickers: Tally) -> [String; COLUMNS.len()] {
    let number = |count: u64| count.to_string();
    [
        number(trades.received),
        number(trades.fetched),
        number(trades.written),
        number(trades.late),
        number(trades.duplicate),
        number(trades.conflict),
        number(trades.shed),
        number(trades.rejected),
        number(missing),
        "|".to_owned(),
        number(tickers.received),
        number(tickers.written),
        number(tickers.late),
        number(tickers.duplicate),
        number(tickers.shed),
        number(tickers.rejected),
    ]
}

fn write_row(out: &mut String, width: usize, name: &str, cells: [String; COLUMNS.len()]) -> std::fmt::Result {
    write!(out, "{name:width$} ")?;
    for (cell, (_, width)) in cells.iter().zip(COLUMNS) {
        write!(out, " {cell:>width$}")?;
    }
    writeln!(out)
}

fn write_lines(out: &mut String, summary: &Summary) -> std::fmt::Result {
    for (number, line) in summary.lines.iter().enumerate() {
        writeln!(
            out,
            "line {number}: first with {} trades, second with {}, missed {}; behind the winner by {} on average, {} at most",
            line.wins,
            line.duplicates,
            line.losses,
            millis(line.lag_mean),
            millis(line.lag_max)
        )?;
    }
    Ok(())
}

fn write_machine(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let memory = &summary.watch.memory;
    writeln!(
        out,
        "memory peak {:.0} MB (anonymous {:.0}, dirty mapped {:.0}); page cache mapped {:.0} MB; CPU {:.1} s of {:.1} s",
        memory.held_peak / 1e6,
        memory.anonymous_peak / 1e6,
        memory.dirty_peak / 1e6,
        memory.mapped_peak / 1e6,
        summary.cpu_seconds.unwrap_or(f64::NAN),
        summary.elapsed.as_secs_f64()
    )
}

/// Writes the longest of several times; nothing was measured where it is 0.
fn measured(micros: u64) -> String {
    if micros == 0 { "-".to_owned() } else { millis(micros) }
}

/// Gives the summary as JSON Lines: one `{"figure":…,"value":…}` per line, then the rejects, the lines, the
/// products, the alerts that stand and what was left undone, one object per line.
#[must_use]
pub(crate) fn json_lines(summary: &Summary) -> String {
    let mut out = String::new();
    for (name, value) in figures(summary) {
        let value = value.filter(|value| value.is_finite()).map_or_else(|| "null".to_owned(), |value| value.to_string());
        let _ = writeln!(out, "{{\"figure\":\"{name}\",\"value\":{value}}}");
    }
    for RejectCount { reason, count } in &summary.rejects {
        let _ = writeln!(out, "{{\"rejected\":\"{reason}\",\"count\":{count}}}");
    }
    for (number, line) in summary.lines.iter().enumerate() {
        let LineSummary { wins, duplicates, losses, lag_mean, lag_max } = line;
        let _ = writeln!(
            out,
            "{{\"line\":{number},\"wins\":{wins},\"duplicates\":{duplicates},\"losses\":{losses},\"lag_mean_us\":{lag_mean},\"lag_max_us\":{lag_max}}}"
        );
    }
    for product in &summary.products {
        let _ = writeln!(out, "{}", product_line(product));
    }
    for alert in &summary.watch.standing {
        let (subject, text, lasts) = (quoted(&alert.subject), quoted(&alert.text), alert.lasts.as_secs());
        let _ = writeln!(out, "{{\"alert\":\"{}\",\"subject\":{subject},\"text\":{text},\"stands_s\":{lasts}}}", alert.alert);
    }
    for shortcoming in summary.shortcomings() {
        let _ = writeln!(out, "{{\"shortcoming\":\"{}\",\"text\":{}}}", shortcoming.name(), quoted(&shortcoming.to_string()));
    }
    out
}

/// Lists every figure with its value, in the order of the report. A value that is not known is absent.
fn figures(summary: &Summary) -> Vec<(&'static str, Option<f64>)> {
    let of = |figures: Vec<Figure>| figures.into_iter().map(|figure| (figure.name, Some(figure.value)));
    let mut all = record_figures(summary);
    all.extend(of(summary.totals.figures(Section::Rest)));
    all.extend(of(summary.connections.figures(Section::Connections)));
    let lag = |of: fn(Lag) -> u64| summary.lag.map(|lag| count(of(lag)) / 1000.0);
    all.extend([("lag_p50_ms", lag(|lag| lag.p50)), ("lag_p99_ms", lag(|lag| lag.p99)), ("lag_max_ms", lag(|lag| lag.max))]);
    all.extend(of(summary.totals.figures(Section::Latency)));
    all.extend(of(summary.totals.figures(Section::Flush)));
    all.extend(machine_figures(summary));
    all.extend(of(summary.totals.figures(Section::Loss)));
    all
}

#[expect(clippy::cast_precision_loss, reason = "counts of one run stay below 2^53")]
fn count(value: u64) -> f64 {
    value as f64
}

fn record_figures(summary: &Summary) -> Vec<(&'static str, Option<f64>)> {
    let (trades, tickers, connections) = (summary.trades(), summary.tickers(), &summary.connections);
    let mut all = vec![
        ("good", Some(count(u64::from(summary.is_good())))),
        ("sums_hold", Some(count(u64::from(summary.balances())))),
        ("elapsed_s", Some(summary.elapsed.as_secs_f64())),
        ("cpu_s", summary.cpu_seconds),
    ];
    let counts = [
        ("trades_received", trades.received),
        ("trades_backfilled", trades.fetched),
        ("trades_written", trades.written),
        ("trades_late", trades.late),
        ("trades_duplicate", trades.duplicate),
        ("trades_conflict", trades.conflict),
        ("trades_shed", trades.shed),
        ("trades_rejected", trades.rejected + connections.rejected_trades),
        ("tickers_received", tickers.received),
        ("tickers_written", tickers.written),
        ("tickers_stale", tickers.duplicate),
        ("tickers_shed", tickers.shed),
        ("tickers_rejected", tickers.rejected + connections.rejected_tickers),
        ("gaps", summary.products.iter().map(|product| product.gaps).sum()),
        ("missing_ids", summary.products.iter().map(|product| product.missing_ids).sum()),
    ];
    all.extend(counts.map(|(name, value)| (name, Some(count(value)))));
    all
}

fn machine_figures(summary: &Summary) -> [(&'static str, Option<f64>); 8] {
    let memory = &summary.watch.memory;
    let deepest = summary.products.iter().map(|product| product.deepest_queue_msgs).max().unwrap_or(0);
    [
        ("deepest_queue_msgs", Some(count(deepest))),
        ("memory_held_peak_bytes", Some(memory.held_peak)),
        ("memory_held_slope_bytes_per_s", memory.held_slope),
        ("memory_anonymous_peak_bytes", Some(memory.anonymous_peak)),
        ("memory_dirty_peak_bytes", Some(memory.dirty_peak)),
        ("memory_mapped_peak_bytes", Some(memory.mapped_peak)),
        ("alerts", Some(count(summary.watch.alerts))),
        ("unsealed", Some(count(summary.unsealed))),
    ]
}

fn product_line(product: &ProductSummary) -> String {
    let (t, k) = (&product.trades, &product.tickers);
    format!(
        "{{\"product\":\"{}\",\"trades_received\":{},\"trades_backfilled\":{},\"trades_written\":{},\"trades_late\":{},\"trades_duplicate\":{},\"trades_conflict\":{},\
         \"trades_shed\":{},\"trades_rejected\":{},\"missing_ids\":{},\"tickers_received\":{},\"tickers_written\":{},\"tickers_late\":{},\
         \"tickers_stale\":{},\"tickers_shed\":{},\"tickers_rejected\":{}}}",
        product.product,
        t.received,
        t.fetched,
        t.written,
        t.late,
        t.duplicate,
        t.conflict,
        t.shed,
        t.rejected,
        product.missing_ids,
        k.received,
        k.written,
        k.late,
        k.duplicate,
        k.shed,
        k.rejected,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::report::metrics::{ConnectionTotals, Metrics};
    use crate::capture::report::summary::ProductSubscription;
    use crate::product::ProductId;

    fn tally() -> impl Strategy<Value = Tally> {
        let count = || prop_oneof![Just(0u64), 1u64..1000, 1u64..3_000_000_000];
        (count(), count(), count(), count(), count(), count(), 0u64..1000).prop_map(
            |(written, late, duplicate, conflict, shed, rejected, fetched)| {
                let came = written + late + duplicate + conflict + shed + rejected;
                let fetched = fetched.min(came);
                Tally { received: came - fetched, fetched, written, late, duplicate, conflict, shed, rejected }
            },
        )
    }

    fn product() -> impl Strategy<Value = ProductSummary> {
        ("[A-Z]{2,12}-USD", tally(), tally(), 0u64..5_000_000).prop_map(|(name, trades, tickers, missing_ids)| ProductSummary {
            product: ProductId::new(&name).expect("a product"),
            trades,
            // Nobody fetches tickers, and none has an id that could be in conflict.
            tickers: Tally { received: tickers.received + tickers.fetched - tickers.conflict, fetched: 0, conflict: 0, ..tickers },
            gaps: 0,
            missing_ids,
            doubts_left: 0,
            deepest_queue_msgs: 0,
            subscription: ProductSubscription::Acknowledged,
            advice: None,
        })
    }

    proptest! {
        /// Whatever was counted, a reader who adds up a printed row finds that nothing is left out.
        #[test]
        fn every_printed_row_adds_up(products in prop::collection::vec(product(), 1..6)) {
            let mut summary = Summary::gather(&[], ConnectionTotals::default(), &Metrics::default(), 1);
            summary.products = products;
            prop_assert!(summary.balances());
            let text = table(&summary);
            let rows: Vec<Vec<&str>> = text.lines().filter(|line| line.contains(" | ")).map(|line| line.split_whitespace().collect()).collect();
            let names = &rows[0];
            let bar = names.iter().position(|name| *name == "|").expect("a bar");
            let many = usize::from(summary.products.len() > 1);
            prop_assert_eq!(rows.len(), 1 + summary.products.len() + many, "{}", text);
            for row in &rows[1..] {
                prop_assert_eq!(row.len(), names.len(), "{}", text);
                let sum = |range: std::ops::Range<usize>, wanted: &[&str]| -> u64 {
                    range.filter(|at| wanted.contains(&names[*at])).map(|at| row[at].parse::<u64>().expect("a number")).sum()
                };
                let ends = ["written", "late", "duplicate", "conflict", "stale", "shed", "rejected"];
                prop_assert_eq!(sum(1..bar, &["trades", "backfilled"]), sum(1..bar, &ends), "{}", text);
                prop_assert_eq!(sum(bar + 1..row.len(), &["tickers"]), sum(bar + 1..row.len(), &ends), "{}", text);
            }
        }
    }

    #[test]
    fn the_report_has_a_line_of_json_for_each_alert_and_each_thing_left_undone() {
        let mut summary = Summary::gather(&[], ConnectionTotals::default(), &Metrics::default(), 1);
        summary.totals.unsettled_doubts = 1;
        let text = json_lines(&summary);
        assert!(text.contains("{\"shortcoming\":\"doubts\",\"text\":\"1 messages in doubt"), "{text}");
        assert!(text.contains("{\"figure\":\"lag_p50_ms\",\"value\":null}"), "nothing came, so there is no lag: {text}");
        assert!(text.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
    }
}
