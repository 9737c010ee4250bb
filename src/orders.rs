//! `coltape orders`: prints takers' orders, each put together from its fills.

use std::io::Write;

use crate::market::{MarketError, Order, Orders, OrdersBasis, Quote};
use crate::rows::{Cell, Format, RowPrinter};

/// The columns, in order.
pub(crate) const COLUMNS: [&str; 19] = [
    "time",
    "last_time",
    "side",
    "fills",
    "makers",
    "levels",
    "size",
    "notional",
    "vwap",
    "worst_price",
    "bid_before",
    "ask_before",
    "quote_age_ms",
    "bid_after",
    "ask_after",
    "slippage_bps",
    "first_trade_id",
    "last_trade_id",
    "taker_order_id",
];

/// Prints orders, and where `has_summary` says so a last line about them in JSON. Gives what the answer rests on.
///
/// # Errors
/// Where the tape has no such trades or cannot be read, or the output cannot be written to.
pub fn print_orders(asked: &Orders, format: Format, has_summary: bool, out: &mut dyn Write) -> Result<OrdersBasis, MarketError> {
    let mut printer = RowPrinter::new(format, &COLUMNS, out);
    let found = asked.for_each(|order| printer.print(row(order)).map_err(MarketError::Output))?;
    let rows = printer.finish().map_err(MarketError::Output)?;
    if has_summary {
        let line = found.basis.summary().plain("rows", rows).plain("orders", found.orders).plain("without_order_ids", found.without_ids);
        let line = line.plain("has_quotes", found.has_quotes).done();
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(MarketError::Output)?;
    }
    Ok(found)
}

/// Gives the cells of an order.
pub(crate) fn row(order: &Order) -> Vec<Cell> {
    let prices = |quote: Option<Quote>| [Cell::number(quote.and_then(|quote| quote.bid)), Cell::number(quote.and_then(|quote| quote.ask))];
    let ([bid_before, ask_before], [bid_after, ask_after]) = (prices(order.before), prices(order.after));
    vec![
        Cell::Time(order.time),
        Cell::Time(order.last_time),
        Cell::Text(order.side.name().to_owned()),
        Cell::Count(order.fills),
        order.makers.map_or(Cell::None, Cell::Count),
        Cell::Count(order.levels),
        Cell::Number(order.size),
        Cell::Number(order.notional),
        Cell::computed(order.vwap),
        Cell::Number(order.worst_price),
        bid_before,
        ask_before,
        Cell::number(order.quote_age_ms()),
        bid_after,
        ask_after,
        Cell::computed(order.slippage_bps()),
        Cell::Count(order.first_trade_id),
        Cell::Count(order.last_trade_id),
        order.taker_order_id.map_or(Cell::None, |id| Cell::Text(id.to_string())),
    ]
}
