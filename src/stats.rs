//! `coltape stats`: prints a range of time in figures, then its significant trades.
//!
//! As a table the figures stand below each other. As CSV they are a table of one row, and an empty line and the table of the trades follow. As JSON Lines
//! the first object is the figures (`"kind":"stats"`), then each trade is one (`"kind":"trade"`).

use std::io::{self, Write};

use crate::market::{Basis, LargeTrade, MarketError, Significant, Stats, StatsOf};
use crate::product::ProductId;
use crate::rows::{Cell, Format, RowPrinter};
use crate::tape::Tape;
use crate::time_range::TimeRange;

/// The figures, in order.
pub(crate) const FIGURES: [&str; 27] = [
    "kind",
    "product",
    "first_time",
    "last_time",
    "trades",
    "volume",
    "notional",
    "vwap",
    "open",
    "high",
    "low",
    "close",
    "buy_volume",
    "sell_volume",
    "buy_share",
    "sell_share",
    "spread_median",
    "spread_p95",
    "spread_time_weighted",
    "trades_per_s",
    "peak_second",
    "peak_trades",
    "inter_arrival_p50_ms",
    "inter_arrival_p99_ms",
    "verdict",
    "missing",
    "significant",
];

/// The columns of a trade, in order.
pub(crate) const COLUMNS: [&str; 7] = ["kind", "time", "trade_id", "side", "price", "size", "notional"];

/// Prints the figures and significant trades, and where `has_summary` says so a last line about them in JSON. Gives what the answer rests on.
///
/// # Errors
/// Where the tape has no such trades or cannot be read, or the output cannot be written to.
pub fn print_stats(
    tape: &Tape,
    product: &ProductId,
    range: TimeRange,
    which: Significant,
    format: Format,
    has_summary: bool,
    out: &mut dyn Write,
) -> Result<Basis, MarketError> {
    let days = StatsOf::open(tape, product, range)?;
    let basis = days.basis();
    let stats = days.stats()?;
    // What the name of an object is for people and in CSV says nothing.
    let skipped = usize::from(format != Format::Jsonl);
    let figures: Vec<(&str, Cell)> = FIGURES.into_iter().zip(figures(basis, &stats, which)).skip(skipped).collect();
    print_figures(format, &figures, out).map_err(MarketError::Output)?;
    let columns = COLUMNS.get(skipped..).unwrap_or_default();
    let mut printer = RowPrinter::new(format, columns, out);
    days.significant(which, |trade| printer.print(row(trade).into_iter().skip(skipped).collect()).map_err(MarketError::Output))?;
    let rows = printer.finish().map_err(MarketError::Output)?;
    if has_summary {
        let line = basis.summary().plain("rows", rows).plain("trades", stats.trades).done();
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(MarketError::Output)?;
    }
    Ok(basis.clone())
}

/// Prints the figures, and what separates them from the trades.
fn print_figures(format: Format, figures: &[(&str, Cell)], out: &mut dyn Write) -> io::Result<()> {
    if format == Format::Table {
        let width = FIGURES.iter().map(|name| name.len()).max().unwrap_or(0);
        for (name, cell) in figures {
            writeln!(out, "{}", format!("{name:width$}  {}", cell.shown(format)).trim_end())?;
        }
        return writeln!(out);
    }
    let names: Vec<&str> = figures.iter().map(|(name, _)| *name).collect();
    let mut printer = RowPrinter::new(format, &names, out);
    printer.print(figures.iter().map(|(_, cell)| cell.clone()).collect())?;
    printer.finish()?;
    if format == Format::Csv { writeln!(out) } else { Ok(()) }
}

/// Gives the cells of the figures.
pub(crate) fn figures(basis: &Basis, stats: &Stats, which: Significant) -> Vec<Cell> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let significant = match which {
        Significant::Top(most) => format!("top {most} by notional"),
        Significant::MinNotional(least) => format!("notional at least {least}"),
    };
    vec![
        text("stats"),
        text(basis.product.as_str()),
        Cell::Time(stats.first_time),
        Cell::Time(stats.last_time),
        Cell::Count(stats.trades),
        Cell::Number(stats.volume),
        Cell::Number(stats.notional),
        Cell::computed(stats.vwap),
        Cell::Number(stats.open),
        Cell::Number(stats.high),
        Cell::Number(stats.low),
        Cell::Number(stats.close),
        Cell::Number(stats.buy_volume),
        Cell::Number(stats.sell_volume),
        Cell::computed(stats.buy_share),
        Cell::computed(stats.sell_share),
        Cell::computed(stats.spread_median),
        Cell::computed(stats.spread_p95),
        Cell::computed(stats.spread_time_weighted),
        Cell::computed(stats.trades_per_s),
        Cell::Second(stats.peak_second),
        Cell::Count(stats.peak_trades),
        Cell::computed(stats.inter_arrival_p50_ms),
        Cell::computed(stats.inter_arrival_p99_ms),
        text(basis.coverage.verdict().name()),
        Cell::Count(basis.coverage.missing()),
        Cell::Text(significant),
    ]
}

/// Gives the cells of a significant trade.
pub(crate) fn row(trade: &LargeTrade) -> Vec<Cell> {
    vec![
        Cell::Text("trade".to_owned()),
        Cell::Time(trade.time),
        Cell::Count(trade.trade_id),
        Cell::Text(trade.side.name().to_owned()),
        Cell::Number(trade.price),
        Cell::Number(trade.size),
        Cell::Number(trade.notional),
    ]
}
