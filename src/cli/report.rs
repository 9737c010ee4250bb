//! The closing report of a capture: a table for people, and the same as one JSON object a line for scripts.

use std::fmt::Write;

use crate::capture::report::summary::{ConnectionSummary, ProductSummary, Summary, Tally};

/// Lays the summary out as a table with its sums.
#[must_use]
pub fn table(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_table(&mut out, summary);
    out
}

fn write_table(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let width = summary.products.iter().map(|product| product.product.as_str().len()).max().unwrap_or(0).max(7);
    writeln!(
        out,
        "{:width$}  {:>12} {:>10} {:>12} {:>8} {:>10} {:>8} {:>8} {:>8} {:>8} | {:>12} {:>12} {:>8} {:>8}",
        "product",
        "trades",
        "backfilled",
        "written",
        "late",
        "duplicate",
        "conflict",
        "shed",
        "rejected",
        "missing",
        "tickers",
        "written",
        "stale",
        "shed"
    )?;
    for product in &summary.products {
        row(out, width, product.product.as_str(), product.trades, product.missing_ids, product.tickers)?;
    }
    if summary.products.len() > 1 {
        let missing = summary.products.iter().map(|product| product.missing_ids).sum();
        row(out, width, "all", summary.trades(), missing, summary.tickers())?;
    }
    let frames = &summary.frames;
    writeln!(
        out,
        "frames {} = used {} + control {} + ignored {} + rejected {}",
        frames.frames, frames.used, frames.control, frames.ignored, frames.rejected
    )?;
    if frames.rejected_trades + frames.rejected_tickers > 0 {
        writeln!(out, "unusable: {} trades, {} tickers", frames.rejected_trades, frames.rejected_tickers)?;
    }
    for (reason, count) in &summary.rejects {
        writeln!(out, "rejected {count}: {reason}")?;
    }
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
    if summary.rest.0 > 0 {
        writeln!(out, "REST: {} requests, {} of which failed", summary.rest.0, summary.rest.1)?;
    }
    if summary.latencies.gap_wait_max > 0 {
        writeln!(out, "trades waited behind a gap for {} at most", millis(summary.latencies.gap_wait_max))?;
    }
    writeln!(out, "sums {}", if summary.balances() { "hold" } else { "DO NOT HOLD" })?;
    let l = &summary.latencies;
    writeln!(
        out,
        "lag p50 {} p99 {} max {}; append to commit at most {}; flush at most {} ({} flushes); {} connections made, {} lost",
        millis(l.lag_p50),
        millis(l.lag_p99),
        millis(l.lag_max),
        millis(l.append_max),
        millis(l.flush_max),
        summary.flushes.0,
        frames.connects,
        frames.losses
    )?;
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
    )?;
    if summary.unsealed > 0 {
        writeln!(out, "{} days could not be sealed; the next start tries again", summary.unsealed)?;
    }
    if summary.unwritten_lines + summary.unrecorded_frames > 0 {
        writeln!(out, "not kept: {} journal lines, {} frames of --record", summary.unwritten_lines, summary.unrecorded_frames)?;
    }
    Ok(())
}

fn row(out: &mut String, width: usize, name: &str, trades: Tally, missing: u64, tickers: Tally) -> std::fmt::Result {
    writeln!(
        out,
        "{name:width$}  {:>12} {:>10} {:>12} {:>8} {:>10} {:>8} {:>8} {:>8} {missing:>8} | {:>12} {:>12} {:>8} {:>8}",
        trades.received,
        trades.fetched,
        trades.written,
        trades.late,
        trades.duplicate,
        trades.conflict,
        trades.shed,
        trades.rejected,
        tickers.received,
        tickers.written,
        tickers.duplicate,
        tickers.shed
    )
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a latency stay far below 2^53")]
fn millis(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1000.0)
}

/// Gives the summary as JSON Lines: one `{"figure":…,"value":…}` a line, then one object a product.
#[must_use]
pub fn json_lines(summary: &Summary) -> String {
    let mut out = String::new();
    for (name, value) in figures(summary) {
        let value = value.filter(|value| value.is_finite()).map_or_else(|| "null".to_owned(), |value| value.to_string());
        let _ = writeln!(out, "{{\"figure\":\"{name}\",\"value\":{value}}}");
    }
    for (reason, count) in &summary.rejects {
        let _ = writeln!(out, "{{\"rejected\":\"{reason}\",\"count\":{count}}}");
    }
    for (number, line) in summary.lines.iter().enumerate() {
        let ConnectionSummary { wins, duplicates, losses, lag_mean, lag_max } = line;
        let _ = writeln!(
            out,
            "{{\"line\":{number},\"wins\":{wins},\"duplicates\":{duplicates},\"losses\":{losses},\"lag_mean_us\":{lag_mean},\"lag_max_us\":{lag_max}}}"
        );
    }
    for product in &summary.products {
        let _ = writeln!(out, "{}", product_line(product));
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "counts of one run stay below 2^53")]
fn figures(summary: &Summary) -> Vec<(&'static str, Option<f64>)> {
    let count = |value: u64| Some(value as f64);
    let millis = |micros: u64| Some(micros as f64 / 1000.0);
    let (trades, tickers) = (summary.trades(), summary.tickers());
    let (frames, latencies, memory) = (&summary.frames, &summary.latencies, &summary.watch.memory);
    let deepest = summary.products.iter().map(|product| product.deepest_queue_msgs).max().unwrap_or(0);
    vec![
        ("good", count(u64::from(summary.is_good()))),
        ("sums_hold", count(u64::from(summary.balances()))),
        ("elapsed_s", Some(summary.elapsed.as_secs_f64())),
        ("cpu_s", summary.cpu_seconds),
        ("trades_received", count(trades.received)),
        ("trades_backfilled", count(trades.fetched)),
        ("trades_written", count(trades.written)),
        ("trades_late", count(trades.late)),
        ("trades_duplicate", count(trades.duplicate)),
        ("trades_conflict", count(trades.conflict)),
        ("trades_shed", count(trades.shed)),
        ("trades_rejected", count(trades.rejected + frames.rejected_trades)),
        ("tickers_received", count(tickers.received)),
        ("tickers_written", count(tickers.written)),
        ("tickers_stale", count(tickers.duplicate)),
        ("tickers_shed", count(tickers.shed)),
        ("tickers_rejected", count(tickers.rejected + frames.rejected_tickers)),
        ("gaps", count(summary.products.iter().map(|product| product.gaps).sum())),
        ("missing_ids", count(summary.products.iter().map(|product| product.missing_ids).sum())),
        ("rest_requests", count(summary.rest.0)),
        ("rest_failures", count(summary.rest.1)),
        ("frames", count(frames.frames)),
        ("frames_used", count(frames.used)),
        ("frames_control", count(frames.control)),
        ("frames_ignored", count(frames.ignored)),
        ("frames_rejected", count(frames.rejected)),
        ("connects", count(frames.connects)),
        ("losses", count(frames.losses)),
        ("sequence_holes", count(frames.sequence_holes)),
        ("receive_queue_peak_bytes", count(frames.receive_queue_peak_bytes)),
        ("lag_p50_ms", millis(latencies.lag_p50)),
        ("lag_p99_ms", millis(latencies.lag_p99)),
        ("lag_max_ms", millis(latencies.lag_max)),
        ("gap_wait_max_ms", millis(latencies.gap_wait_max)),
        ("append_max_ms", millis(latencies.append_max)),
        ("flush_max_ms", millis(latencies.flush_max)),
        ("durable_max_ms", millis(latencies.durable_max)),
        ("flushes", count(summary.flushes.0)),
        ("trade_flushes", count(summary.flushes.1)),
        ("ticker_flushes", count(summary.flushes.2)),
        ("deepest_queue_msgs", count(deepest)),
        ("memory_held_peak_bytes", Some(memory.held_peak)),
        ("memory_held_slope_bytes_per_s", memory.held_slope),
        ("memory_anonymous_peak_bytes", Some(memory.anonymous_peak)),
        ("memory_dirty_peak_bytes", Some(memory.dirty_peak)),
        ("memory_mapped_peak_bytes", Some(memory.mapped_peak)),
        ("alerts", count(summary.watch.alerts)),
        ("unsealed", count(summary.unsealed)),
        ("write_failures", count(summary.write_failures)),
        ("unwritten_lines", count(summary.unwritten_lines)),
        ("unrecorded_frames", count(summary.unrecorded_frames)),
        ("inexact_texts", count(summary.inexact_texts)),
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
