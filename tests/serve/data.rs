//! `/v1/…`: every endpoint in every format gives what the commands and the export give; errors; tags; live events.

mod answers;
mod archived;
mod asked;
mod client;
pub(crate) mod damage;
mod guide;
mod large;
mod live;
mod python;
mod records;
mod refused;
mod values;

use std::path::Path;
use std::sync::Arc;

use coltape::internals::record::{Means, OrderId, Origin, Trade};
use coltape::internals::schema::{Md, Trades};
use coltape::internals::store::{DataDir, Day, StoreOptions};
use coltape::internals::time::{UnixNanos, UtcDay};
use coltape::{ServeConfig, Serving};

use crate::market::{FIRST_DAY, Print, data_dir, insert, prints, product, store, ticker};
use client::{Reply, get};

const SECOND: u64 = 1_000_000_000;

/// A server of a folder; stopped when dropped.
struct Served {
    serving: Option<Serving>,
}

impl Served {
    fn start(dir: &Path) -> Self {
        Self::start_with(dir, |_| {})
    }

    fn start_with(dir: &Path, set: impl FnOnce(&mut ServeConfig)) -> Self {
        let mut config = ServeConfig::new(dir);
        set(&mut config);
        Self { serving: Some(Serving::start(config).unwrap()) }
    }

    fn address(&self) -> std::net::SocketAddr {
        self.serving.as_ref().unwrap().address()
    }

    fn get(&self, path: &str) -> Reply {
        get(self.address(), "GET", path, &[])
    }

    fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        get(self.address(), "GET", path, headers)
    }

    fn head(&self, path: &str) -> Reply {
        get(self.address(), "HEAD", path, &[])
    }

    /// Gives the rows of an answer in JSON Lines.
    fn rows(&self, path: &str) -> Vec<serde_json::Value> {
        self.get(path).whole().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            let stopped = serving.stop();
            if !std::thread::panicking() {
                stopped.unwrap();
            }
        }
    }
}

/// Makes trades of the first day and of the next one, as they come in a bad hour: a gap at midnight, REST and Advanced rows, numbers of 18 digits.
fn mixed(count: u64) -> Vec<Print> {
    let start = UnixNanos(FIRST_DAY.next().start().0 - count / 2 * SECOND);
    let mut all = prints(1_000, count, start, SECOND);
    all.retain(|print| print.trade.trade_id % 1_009 >= 3);
    for print in &mut all {
        let trade = &mut print.trade;
        let line = u8::try_from(trade.trade_id % 3).unwrap();
        trade.origin = Origin::new(Means::Live, line, 0);
        match trade.trade_id % 11 {
            0 => {
                (trade.maker_order_id, trade.taker_order_id) = (OrderId::NIL, OrderId::NIL);
                (trade.sequence, trade.recv, trade.origin) = (0, UnixNanos(0), Origin::new(Means::Rest, 0, 0));
            }
            1 => trade.origin = Origin::new(Means::Snapshot, line, 1),
            3 => trade.size = coltape::internals::decimal::parse(format!("0.0000{:014}", trade.trade_id).as_bytes()).unwrap(),
            _ => {}
        }
    }
    all
}

/// Stores trades and their tickers in sealed days.
fn store_sealed(tape: &Path, all: &[Print]) {
    let dir = data_dir(tape, StoreOptions::default());
    let trades: Vec<Trade> = all.iter().map(|print| print.trade).collect();
    let tickers: Vec<_> = all.iter().filter(|print| print.has_ticker).map(ticker).collect();
    store::<Trades>(&dir, &product(), &trades);
    store::<Md>(&dir, &product(), &tickers);
}

/// A day that is being written.
struct LiveDay {
    day: Day<Trades>,
}

impl LiveDay {
    fn begin(tape: &Path, date: UtcDay) -> Self {
        let dir = data_dir(tape, StoreOptions::default());
        Self::begin_in(dir, date)
    }

    fn begin_in(dir: Arc<DataDir>, date: UtcDay) -> Self {
        let (day, _) = Day::<Trades>::open(&dir, &product(), date, date.start()).unwrap();
        Self { day }
    }

    fn add<'p>(&mut self, prints: impl IntoIterator<Item = &'p Print>) {
        for print in prints {
            insert(&mut self.day, &print.trade);
        }
        self.day.commit();
    }
}
