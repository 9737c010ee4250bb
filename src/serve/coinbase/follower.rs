//! [`Followers`]: what is committed of the products that clients want, look by look, as text of both feeds.
//!
//! 1. A product is followed from the end of what is stored when it is first wanted. A later series that begins meanwhile is followed from its beginning.
//! 2. A look takes at most [`MAX_RECORDS`] of a product, so that one product does not keep the others waiting.
//! 3. A product whose day cannot be read is not followed any more, and the look says why. It is tried again when it is wanted anew. So are all products where
//!    the directory has gone away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::chunk::{Chunk, Newest, Run, Told};
use super::frame;
use super::products::{self, Products};
use super::record::{Row, Stored, Texts};
use super::source::{Given, Source};
use super::spelling::Times;
use super::{advanced, exchange};
use crate::product::ProductId;
use crate::schema::{Md, Trades};
use crate::tape::{Tape, TapeError};
use crate::time::{Clock, UtcDay};

/// Most records of a dataset of a product in one look.
const MAX_RECORDS: usize = 4096;
/// How often the series of the products are listed.
const LIST_SERIES: Duration = Duration::from_secs(1);

/// A series of a product.
struct Series {
    number: u32,
    trades: Source<Trades>,
    tickers: Source<Md>,
}

impl Series {
    fn at_end(tape: &Tape, stored: &ProductId) -> Result<Self, TapeError> {
        Ok(Self { number: stored.series(), trades: Source::at_end(tape, stored)?, tickers: Source::at_end(tape, stored)? })
    }

    fn from_beginning(tape: &Tape, stored: &ProductId) -> Self {
        let all = crate::time_range::TimeRange::ALL;
        Self { number: stored.series(), trades: Source::new(tape, stored, all), tickers: Source::new(tape, stored, all) }
    }
}

/// A product that is followed.
struct Followed {
    series: Vec<Series>,
    newest: Newest,
    /// Whether `newest` has changed since the last look.
    has_news: bool,
}

/// What a look has found.
pub(super) struct Look {
    pub(super) chunk: Chunk,
    /// Of the products that have news.
    pub(super) newest: BTreeMap<ProductId, Newest>,
    pub(super) failures: BTreeMap<ProductId, String>,
    /// A product had more records than one look takes.
    pub(super) has_more: bool,
}

/// Follows products.
pub(super) struct Followers {
    tape: Tape,
    products: BTreeMap<ProductId, Followed>,
    failures: BTreeMap<ProductId, String>,
    texts: Option<Texts>,
    times: Times,
    listed: Instant,
}

impl Followers {
    /// Begins without a product.
    pub(super) fn new(tape: &Tape) -> Self {
        Self {
            tape: tape.clone(),
            products: BTreeMap::new(),
            failures: BTreeMap::new(),
            texts: None,
            times: Times::default(),
            listed: Instant::now(),
        }
    }

    /// Takes what was committed of the wanted products since the last look. Others are not followed any more.
    pub(super) fn look(&mut self, wanted: &BTreeSet<ProductId>) -> Look {
        self.products.retain(|product, _| wanted.contains(product));
        self.failures.retain(|product, _| wanted.contains(product));
        let is_due = self.listed.elapsed() >= LIST_SERIES;
        if is_due {
            self.listed = Instant::now();
            self.look_at_directory(wanted);
        }
        let (start, mut found, mut has_more) = (Instant::now(), Vec::new(), false);
        for product in wanted {
            if self.failures.contains_key(product) {
                continue;
            }
            let before = found.len();
            if let Err(error) = self.look_at(product, is_due, &mut found) {
                log::warn!("{product} cannot be followed: {error}");
                self.products.remove(product);
                self.failures.insert(product.clone(), error.to_string());
            }
            has_more |= found.len() - before >= MAX_RECORDS;
        }
        let chunk = if found.is_empty() { Chunk::default() } else { self.chunk(found, start) };
        let news = self.products.iter_mut().filter_map(|(product, followed)| {
            let has_news = std::mem::take(&mut followed.has_news);
            has_news.then(|| (product.clone(), followed.newest.clone()))
        });
        let newest = news.collect();
        Look { chunk, newest, failures: self.failures.clone(), has_more }
    }

    /// Follows nothing any more where the directory has gone away: to the clients it would look as if nobody traded.
    fn look_at_directory(&mut self, wanted: &BTreeSet<ProductId>) {
        let Err(error) = Tape::open(self.tape.dir()) else { return };
        self.products.clear();
        for product in wanted {
            self.failures.entry(product.clone()).or_insert_with(|| error.to_string());
        }
    }

    fn look_at(&mut self, product: &ProductId, lists: bool, found: &mut Vec<Stored>) -> Result<(), TapeError> {
        if !self.products.contains_key(product) {
            let mut followed = Followed { series: Vec::new(), newest: Newest::default(), has_news: true };
            for stored in products::series(&self.tape, product)? {
                let series = Series::at_end(&self.tape, &stored)?;
                followed.note_last(product, &series);
                followed.series.push(series);
            }
            self.products.insert(product.clone(), followed);
            // Another product has other increments and texts.
            self.texts = None;
        }
        let Some(followed) = self.products.get_mut(product) else { return Ok(()) };
        if lists {
            for stored in products::series(&self.tape, product)? {
                if !followed.series.iter().any(|known| known.number == stored.series()) {
                    followed.series.push(Series::from_beginning(&self.tape, &stored));
                }
            }
        }
        let before = found.len();
        followed.take(product, found)?;
        let checked = followed.check_not_cut();
        if checked.is_err() {
            // Nobody knows what of it is right.
            found.truncate(before);
        }
        checked
    }

    /// Makes the texts of what was found.
    fn chunk(&mut self, found: Vec<Stored>, looked: Instant) -> Chunk {
        let texts = match &mut self.texts {
            Some(texts) => {
                texts.refresh();
                texts
            }
            none => {
                let names: Vec<ProductId> = self.products.keys().cloned().collect();
                let yesterday = UtcDay(Clock::System.now().day().0.saturating_sub(1));
                let known = Products::read(&self.tape).unwrap_or_default();
                none.insert(Texts::read(&self.tape, &known, &names, yesterday))
            }
        };
        let mut chunk = Chunk { looked: Some(looked), ..Chunk::default() };
        let mut message = Vec::new();
        for stored in found {
            message.clear();
            exchange::write_record(&mut message, &mut self.times, texts, &stored);
            let exchange = chunk.exchange.len();
            frame::write(&mut chunk.exchange, frame::Opcode::Text, &message);
            let advanced = chunk.advanced.len();
            match &stored.row {
                Row::Trade(trade) => advanced::write_trade(&mut chunk.advanced, &mut self.times, texts, &stored, trade),
                Row::Ticker(ticker) => advanced::write_ticker(&mut chunk.advanced, texts, &stored, ticker),
            }
            let number = chunk.records.len();
            match (chunk.runs.last_mut(), chunk.records.last()) {
                (Some(run), Some(before)) if before.stored.product == stored.product => run.push(stored.row.kind()),
                _ => chunk.runs.push(Run::of(number, stored.row.kind())),
            }
            let (exchange, advanced) = (exchange..chunk.exchange.len(), advanced..chunk.advanced.len());
            chunk.records.push(Told { stored, exchange, advanced });
        }
        chunk
    }
}

impl Followed {
    /// Takes the newest records that were stored when it began.
    fn note_last(&mut self, product: &ProductId, series: &Series) {
        if let Some(Given { row, is_core }) = series.trades.last() {
            let stored = Stored { product: product.clone(), series: series.number, row: Row::Trade(row), is_core };
            self.newest.trade = Some((stored, row));
        }
        if let Some(Given { row, is_core }) = series.tickers.last() {
            let stored = Stored { product: product.clone(), series: series.number, row: Row::Ticker(row), is_core };
            self.newest.ticker = Some((stored, row));
        }
    }

    /// Fails where files were cut while they were read.
    fn check_not_cut(&self) -> Result<(), TapeError> {
        self.series.iter().try_for_each(|series| series.trades.check_not_cut(false).and_then(|()| series.tickers.check_not_cut(false)))
    }

    /// Adds what was committed, by time of receipt; trades and tickers each keep their order.
    fn take(&mut self, product: &ProductId, found: &mut Vec<Stored>) -> Result<(), TapeError> {
        for series in &mut self.series {
            let number = series.number;
            let of = |row, is_core| Stored { product: product.clone(), series: number, row, is_core };
            let (mut trades, mut tickers) = (Vec::new(), Vec::new());
            while trades.len() < MAX_RECORDS
                && let Some(Given { row, is_core }) = series.trades.next()?
            {
                let stored = of(Row::Trade(row), is_core);
                let is_newest =
                    self.newest.trade.as_ref().is_none_or(|(known, trade)| (known.series, trade.trade_id) < (number, row.trade_id));
                if is_newest {
                    self.newest.trade = Some((stored.clone(), row));
                }
                trades.push(stored);
            }
            while tickers.len() < MAX_RECORDS
                && let Some(Given { row, is_core }) = series.tickers.next()?
            {
                let stored = of(Row::Ticker(row), is_core);
                self.newest.ticker = Some((stored.clone(), row));
                tickers.push(stored);
            }
            self.has_news |= !trades.is_empty() || !tickers.is_empty();
            let (mut trades, mut tickers) = (trades.into_iter().peekable(), tickers.into_iter().peekable());
            while let Some(next) = match (trades.peek(), tickers.peek()) {
                (Some(trade), Some(ticker)) if ticker.order() < trade.order() => tickers.next(),
                (Some(_), _) => trades.next(),
                (None, _) => tickers.next(),
            } {
                found.push(next);
            }
        }
        Ok(())
    }
}
