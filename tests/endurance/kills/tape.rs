//! The records of one product as they were seen, and whether a later look has all of them.

use std::collections::BTreeMap;
use std::path::Path;

use coltape::internals::product::ProductId;
use coltape::internals::record::{Means, Side, Ticker, Trade};
use coltape::internals::schema::{Dataset, Layout, Md, TickerTrades, Trades};
use coltape::internals::store::{DayState, Snapshot, catalog};
use coltape::internals::time::UtcDay;

use super::page;

/// What `TICKER_TRADES` stores of a ticker, without the spread: time, price, volume, side.
type TickerTrade = (u64, u32, u32, Option<Side>);

/// Everything that was seen of one product.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tape {
    pub(crate) trades: BTreeMap<u64, Trade>,
    /// By sequence.
    pub(crate) md: BTreeMap<u64, Ticker>,
    ticker_trades: BTreeMap<UtcDay, Vec<TickerTrade>>,
}

fn is_same(was: &Ticker, is: &Ticker) -> bool {
    let bits = |ticker: &Ticker| [ticker.best_bid_size.to_bits(), ticker.best_ask_size.to_bits()];
    let decimals = |ticker: &Ticker| [ticker.price, ticker.volume, ticker.best_bid, ticker.best_ask];
    (was.time, was.recv, was.trade_id, was.sequence, was.side) == (is.time, is.recv, is.trade_id, is.sequence, is.side)
        && bits(was) == bits(is)
        && decimals(was).into_iter().zip(decimals(is)).all(|(was, is)| was.agrees_with(is))
}

/// Tells whether `is` is the trade `was`. A stored trade never changes, except that one from REST may get its order ids.
fn is_kept(was: &Trade, is: &Trade) -> bool {
    was == is || (was.origin.means() == Some(Means::Rest) && is.completes(was) && is.agrees_with(was))
}

impl Tape {
    /// Adds a trade. Tells whether it is new; an error where it was seen with other fields before.
    pub(crate) fn see_trade(&mut self, trade: Trade) -> Result<bool, String> {
        match self.trades.insert(trade.trade_id, trade) {
            Some(was) if !is_kept(&was, &trade) => Err(format!("trade {} was {was:?}\nand is {trade:?}", trade.trade_id)),
            was => Ok(was.is_none()),
        }
    }

    /// Adds a ticker, in the same way.
    pub(crate) fn see_ticker(&mut self, ticker: Ticker) -> Result<bool, String> {
        match self.md.insert(ticker.sequence, ticker) {
            Some(was) if !is_same(&was, &ticker) => Err(format!("ticker {} was {was:?}\nand is {ticker:?}", ticker.sequence)),
            was => Ok(was.is_none()),
        }
    }

    /// Checks that a later look has every record, unchanged. Gives the number of records compared.
    pub(crate) fn is_within(&self, later: &Self) -> Result<u64, String> {
        for (id, was) in &self.trades {
            match later.trades.get(id) {
                None => return Err(format!("trade {id} is gone: {was:?}")),
                Some(is) if !is_kept(was, is) => return Err(format!("trade {id} was {was:?}\nand is {is:?}")),
                Some(_) => {}
            }
        }
        for (sequence, was) in &self.md {
            match later.md.get(sequence) {
                None => return Err(format!("ticker {sequence} is gone: {was:?}")),
                Some(is) if !is_same(was, is) => return Err(format!("ticker {sequence} was {was:?}\nand is {is:?}")),
                Some(_) => {}
            }
        }
        let mut held = self.trades.len() + self.md.len();
        for (date, was) in &self.ticker_trades {
            let is = later.ticker_trades.get(date).map_or(&[][..], Vec::as_slice);
            if !is.starts_with(was) {
                let at = was.iter().zip(is).position(|(was, is)| was != is).unwrap_or(is.len());
                return Err(format!("TICKER_TRADES {date}: record {at} of {} was {:?} and is {:?}", was.len(), was.get(at), is.get(at)));
            }
            held += was.len();
        }
        Ok(held as u64)
    }

    /// Reads everything that is stored of a product, and compares what the reader shows with the commit pages.
    pub(crate) fn read(data: &Path, product: &ProductId) -> Result<Self, String> {
        let mut tape = Self::default();
        for row in rows::<Trades>(data, product)?.into_iter().flat_map(|(_, rows)| rows) {
            if !tape.see_trade(row)? {
                return Err(format!("trade {} is stored twice", row.trade_id));
            }
        }
        for row in rows::<Md>(data, product)?.into_iter().flat_map(|(_, rows)| rows) {
            if !tape.see_ticker(row)? {
                return Err(format!("ticker {} is stored twice", row.sequence));
            }
        }
        let of_ticker = |row: &Ticker| (row.time.0, row.price.as_f32.to_bits(), row.volume.as_f32.to_bits(), row.side);
        tape.ticker_trades =
            rows::<TickerTrades>(data, product)?.into_iter().map(|(date, rows)| (date, rows.iter().map(of_ticker).collect())).collect();
        Ok(tape)
    }
}

/// A day, and its rows in order.
type DayRows<L> = (UtcDay, Vec<<L as Layout>::Row>);

fn rows<L: Layout>(data: &Path, product: &ProductId) -> Result<Vec<DayRows<L>>, String> {
    let mut days = Vec::new();
    for date in catalog::days(data, product, L::DATASET).map_err(|error| error.to_string())? {
        let Some(day) = Snapshot::<L>::open(data, product, date).map_err(|error| error.to_string())? else { continue };
        let place = || format!("{product} {} {date}", L::DATASET.folder());
        // The page is read without the program's reader: exactly the committed records must be shown.
        if let Some(page) = page::read(data, product, L::DATASET, date)
            && page.phase == page::LIVE
            && page.is_vouched_for
            && (day.state() != DayState::Live || day.base_count() as u64 != page.committed)
        {
            return Err(format!("{}: {} committed, {} shown, {:?}", place(), page.committed, day.base_count(), day.state()));
        }
        let rows: Vec<L::Row> = day.rows().collect();
        if let Some(row) = rows.iter().find(|row| L::time(row).day() != date) {
            return Err(format!("{}: a record of {}", place(), L::time(row)));
        }
        let keys: Vec<u64> = rows.iter().map(L::key).collect();
        if L::DATASET != Dataset::TickerTrades && keys.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(format!("{}: keys do not rise", place()));
        }
        days.push((date, rows));
    }
    Ok(days)
}
