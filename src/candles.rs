//! `coltape candles`: prints trades added up in buckets of time.

use std::io::Write;

use crate::json::Object;
use crate::market::{Basis, Candle, Candles, MarketError};
use crate::rows::{Cell, Format, RowPrinter};

/// The columns, in order.
pub(crate) const COLUMNS: [&str; 12] =
    ["time", "open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades", "vwap", "trades_per_s", "missing"];

/// Prints candles, and where `has_summary` says so a last line about them in JSON. Gives what the answer rests on.
///
/// # Errors
/// Where the tape has no such trades or cannot be read, or the output cannot be written to.
///
/// ```
/// use coltape::{Candles, Format, ProductId, Tape, TapeError, print_candles};
/// let dir = tempfile::tempdir()?;
/// std::fs::create_dir_all(dir.path().join("BTC-USD/TRADES"))?;
/// let asked = Candles::new(Tape::open(dir.path())?, ProductId::new("BTC-USD")?);
/// let error = print_candles(&asked, Format::Csv, false, &mut Vec::new()).unwrap_err();
/// assert!(error.to_string().starts_with("no TRADES of BTC-USD"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn print_candles(asked: &Candles, format: Format, has_summary: bool, out: &mut dyn Write) -> Result<Basis, MarketError> {
    let mut printer = RowPrinter::new(format, &COLUMNS, out);
    let (mut trades, mut missing) = (0u64, 0u64);
    let basis = asked.for_each(|candle| {
        trades += candle.trades;
        missing = missing.saturating_add(candle.missing);
        printer.print(row(candle, asked.interval.seconds())).map_err(MarketError::Output)
    })?;
    let rows = printer.finish().map_err(MarketError::Output)?;
    if has_summary {
        let line: Object = basis.summary().text("interval", asked.interval.name()).plain("rows", rows).plain("trades", trades);
        writeln!(out, "{}", line.done()).and_then(|()| out.flush()).map_err(MarketError::Output)?;
    }
    Ok(basis)
}

/// Gives the cells of a candle whose bucket has so many seconds.
pub(crate) fn row(candle: &Candle, seconds: u32) -> Vec<Cell> {
    let Candle { time, open, high, low, close, volume, buy_volume, sell_volume, trades, vwap, missing, .. } = *candle;
    let numbers = [open, high, low, close, volume, buy_volume, sell_volume].map(Cell::Number);
    #[expect(clippy::cast_precision_loss, reason = "a count of trades is far below 2^53")]
    let per_second = trades as f64 / f64::from(seconds);
    let mut row = vec![Cell::Second(time)];
    row.extend(numbers);
    row.extend([Cell::Count(trades), Cell::computed(vwap), Cell::Computed(per_second), Cell::Count(missing)]);
    row
}
