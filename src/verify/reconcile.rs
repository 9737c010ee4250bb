//! A tape held against a simulated exchange's ledger: every record exactly once, every field equal, nothing that the exchange did not produce.
//!
//! 1. A ledger's record is looked for and compared by `matching.rs`.
//! 2. A trade never sent is lost as well, between the first and the last trade that were sent; before and after them nobody was listening, which is
//!    counted apart. A ticker never sent is only counted.
//! 3. A ticker that the exchange sent out of turn is dropped by rule (sequences rise), one torn from the kernel's buffers by a broken connection never
//!    arrived: as many lost tickers as the ledger has such faults, or as lie right before one, are counted apart.
//! 4. The ledger is read once, in bounded memory: marks of one bit a stored record, ranges of ids, and lost tickers up to `MAX_OPEN_TICKERS`.

use std::collections::BTreeMap;
use std::io::BufRead;

use super::filed::Filed;
use super::finding::{Findings, Kind, Place};
use super::ledger::{Entry, Ledger, LedgerError};
use super::matching::{Match, match_row, strangers, take_altered};
use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::record::{Ticker, Trade};
use crate::schema::{Dataset, Layout, Md, TickerTrades, Trades, Value};
use crate::stored;
use crate::time::{NANOS_PER_SECOND, UnixNanos, UtcDay};

/// Tickers of the ledger that are kept until the whole of it has been read.
const MAX_OPEN_TICKERS: usize = 1_000_000;
/// How long before a connection broke what was sent may still have lain in a buffer, in nanoseconds.
const BUFFERED_NANOS: u64 = 5 * NANOS_PER_SECOND;

/// What holding against the ledger came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerSums {
    /// Trades of the ledger.
    pub trades: u64,
    /// Trades stored, every field equal.
    pub trades_equal: u64,
    /// Trades never sent as they happened that are stored all the same: shown on subscribing, or supplied by REST.
    pub trades_fetched: u64,
    /// Trades never sent and not stored, from before the first one sent.
    pub trades_before: u64,
    /// Trades never sent and not stored, from after the last one sent.
    pub trades_after: u64,
    /// Stored trades without order ids that the ledger has: supplied by REST.
    pub without_order_ids: u64,
    /// Tickers of the ledger.
    pub tickers: u64,
    /// Records of tickers stored, every field equal, over `MD` and `TICKER_TRADES`.
    pub tickers_equal: u64,
    /// Tickers never sent.
    pub tickers_never_sent: u64,
    /// Tickers sent out of turn or into a breaking connection, not stored.
    pub tickers_excused: u64,
}

/// The product's days that are held against the ledger.
#[derive(Debug)]
pub struct ProductFiles {
    /// `TRADES`.
    pub trades: Filed<Trades>,
    /// `MD`.
    pub md: Filed<Md>,
    /// `TICKER_TRADES`.
    pub ticker_trades: Filed<TickerTrades>,
}

/// Which part of the ledger counts.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only this product.
    pub product: Option<ProductId>,
    /// Only this day.
    pub date: Option<UtcDay>,
    /// Whether the tape has `MD` at all.
    pub has_md: bool,
    /// Whether it has `TICKER_TRADES` at all.
    pub has_ticker_trades: bool,
}

impl Scope {
    fn has(&self, product: &ProductId, time: UnixNanos) -> bool {
        self.product.as_ref().is_none_or(|only| only == product) && self.date.is_none_or(|only| only == time.day())
    }
}

/// A ticker that was not found equal.
struct OpenTicker {
    product: ProductId,
    ticker: Ticker,
    dataset: Dataset,
}

/// What is known of one product's trades.
#[derive(Default)]
struct Chain {
    /// From the first trade sent to the last.
    sent: Option<IdRange>,
    /// Trades sent and not stored.
    lost: IdSet,
    /// Trades neither sent nor stored.
    unsent: IdSet,
    /// Trades sent once more when a connection subscribed.
    shown: IdSet,
}

/// Holds a tape against a ledger.
pub struct Reconciler<'a> {
    files: &'a mut BTreeMap<ProductId, ProductFiles>,
    scope: Scope,
    chains: BTreeMap<ProductId, Chain>,
    open: Vec<OpenTicker>,
    out_of_turn: u64,
    breaks: Vec<UnixNanos>,
    sums: LedgerSums,
    expected: Vec<Value>,
    found: Vec<Value>,
}

impl<'a> Reconciler<'a> {
    /// Begins with nothing matched.
    pub fn new(files: &'a mut BTreeMap<ProductId, ProductFiles>, scope: Scope) -> Self {
        Self {
            files,
            scope,
            chains: BTreeMap::new(),
            open: Vec::new(),
            out_of_turn: 0,
            breaks: Vec::new(),
            sums: LedgerSums::default(),
            expected: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Reads the whole ledger and says what is wrong.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub fn run<R: BufRead>(mut self, ledger: &mut Ledger<R>, findings: &mut Findings) -> Result<LedgerSums, LedgerError> {
        let mut has_end = false;
        while let Some(entry) = ledger.next_entry()? {
            match entry {
                Entry::Trade { product, trade, sent } if self.scope.has(&product, trade.time) => {
                    self.take_trade(&product, &trade, sent, findings)
                }
                Entry::Ticker { product, ticker, sent } if self.scope.has(&product, ticker.time) => {
                    self.take_ticker(&product, &ticker, sent, findings)
                }
                Entry::Shown { product, first, last } => self.chains.entry(product).or_default().shown.extend(IdRange::new(first, last)),
                Entry::Fault { name, time } => self.take_fault(&name, time),
                Entry::End => has_end = true,
                Entry::Trade { .. } | Entry::Ticker { .. } | Entry::Other => {}
            }
        }
        if !has_end {
            findings.add(Kind::Ledger, &Place::default(), || "the ledger has no end: it was cut off".to_owned());
        }
        self.settle_tickers(findings);
        self.settle_trades(findings);
        self.look_for_strangers(findings);
        Ok(self.sums)
    }

    fn take_fault(&mut self, name: &str, time: Option<UnixNanos>) {
        match name {
            "reorder" | "delay" => self.out_of_turn += 1,
            "reset" | "close" | "half-frame" | "silent" => self.breaks.extend(time),
            _ => {}
        }
    }

    fn take_trade(&mut self, product: &ProductId, trade: &Trade, sent: bool, findings: &mut Findings) {
        self.sums.trades += 1;
        let chain = self.chains.entry(product.clone()).or_default();
        let id = IdRange::one(trade.trade_id);
        if sent {
            chain.sent = Some(chain.sent.map_or(id, |sent| sent.span(id)));
        }
        stored::of_row::<Trades>(trade, &mut self.expected);
        let files = self.files.get_mut(product).map(|files| &mut files.trades);
        let matched = files.map_or(Match::None, |files| match_row(files, trade, &self.expected, &mut self.found));
        let place = Place::on(product, Dataset::Trades, trade.time.day());
        match matched {
            Match::Equal { date, lacks_order_ids } => {
                self.sums.trades_equal += 1;
                self.sums.trades_fetched += u64::from(!sent);
                self.sums.without_order_ids += u64::from(lacks_order_ids);
                note_misfiled(&place, date, || format!("trade {}", trade.trade_id), findings);
            }
            Match::Altered { columns, .. } => {
                findings.add(Kind::Altered, &place, || format!("trade {}: {}", trade.trade_id, columns.join(", ")));
            }
            Match::Again => findings.add(Kind::Ledger, &place, || format!("trade {} is twice in the ledger", trade.trade_id)),
            Match::None if sent => chain.lost.insert(id),
            Match::None => chain.unsent.insert(id),
        }
    }

    fn take_ticker(&mut self, product: &ProductId, ticker: &Ticker, sent: bool, findings: &mut Findings) {
        self.sums.tickers += 1;
        self.sums.tickers_never_sent += u64::from(!sent);
        if self.scope.has_md || !self.scope.has_ticker_trades {
            self.take_ticker_in::<Md>(product, ticker, sent, |files| &mut files.md, findings);
        }
        if self.scope.has_ticker_trades && ticker.carries_trade() {
            self.take_ticker_in::<TickerTrades>(product, ticker, sent, |files| &mut files.ticker_trades, findings);
        }
    }

    fn take_ticker_in<L: Layout<Row = Ticker>>(
        &mut self,
        product: &ProductId,
        ticker: &Ticker,
        sent: bool,
        files: fn(&mut ProductFiles) -> &mut Filed<L>,
        findings: &mut Findings,
    ) {
        stored::of_row::<L>(ticker, &mut self.expected);
        let files = self.files.get_mut(product).map(files);
        let matched = files.map_or(Match::None, |files| match_row(files, ticker, &self.expected, &mut self.found));
        let place = Place::on(product, L::DATASET, ticker.time.day());
        match matched {
            Match::Equal { date, .. } => {
                self.sums.tickers_equal += 1;
                note_misfiled(&place, date, || name_of(ticker), findings);
            }
            Match::Altered { columns, .. } => {
                findings.add(Kind::Altered, &place, || format!("{}: {}", name_of(ticker), columns.join(", ")))
            }
            Match::Again => findings.add(Kind::Ledger, &place, || format!("{} is twice in the ledger", name_of(ticker))),
            Match::None if sent && self.open.len() < MAX_OPEN_TICKERS => {
                self.open.push(OpenTicker { product: product.clone(), ticker: *ticker, dataset: L::DATASET });
            }
            Match::None if sent => findings.add(Kind::Lost, &place, || name_of(ticker)),
            Match::None => {}
        }
    }

    /// Tells lost tickers from altered ones (where nothing but the time names a record, that can only be told at the end), and from excused ones.
    fn settle_tickers(&mut self, findings: &mut Findings) {
        self.breaks.sort();
        for open in std::mem::take(&mut self.open) {
            let OpenTicker { product, ticker, dataset } = &open;
            let place = Place::on(product, *dataset, ticker.time.day());
            let files = self.files.get_mut(product);
            let altered = match dataset {
                Dataset::Md => files.and_then(|files| take_altered(&mut files.md, ticker, &mut self.expected, &mut self.found)),
                _ => files.and_then(|files| take_altered(&mut files.ticker_trades, ticker, &mut self.expected, &mut self.found)),
            };
            if let Some(columns) = altered {
                findings.add(Kind::Altered, &place, || format!("{}: {}", name_of(ticker), columns.join(", ")));
            } else if self.is_excused(ticker) {
                self.sums.tickers_excused += 1;
            } else {
                findings.add(Kind::Lost, &place, || name_of(ticker));
            }
        }
    }

    fn is_excused(&mut self, ticker: &Ticker) -> bool {
        let next = self.breaks.partition_point(|broken| *broken < ticker.time);
        if self.breaks.get(next).is_some_and(|broken| broken.since(ticker.time) <= BUFFERED_NANOS) {
            return true;
        }
        // Both datasets lack the ticker that came out of turn.
        let allowed = self.out_of_turn * (u64::from(self.scope.has_md) + u64::from(self.scope.has_ticker_trades));
        self.sums.tickers_excused < allowed
    }

    /// Says which trades are lost: those that were sent, and those between the first one sent and the last that nothing supplied.
    fn settle_trades(&mut self, findings: &mut Findings) {
        for (product, chain) in &self.chains {
            let place = Place::of(product, Dataset::Trades);
            for ids in &chain.lost {
                findings.add_many(Kind::Lost, ids.count(), &place, || format!("{ids} sent"));
            }
            let heard = chain.shown.iter().chain(chain.sent).reduce(IdRange::span);
            for unsent in &chain.unsent {
                let Some(heard) = heard else {
                    self.sums.trades_before += unsent.count();
                    continue;
                };
                let part = |of: Option<IdRange>| of.and_then(|of| unsent.intersection(of));
                self.sums.trades_before += part(heard.below()).map_or(0, IdRange::count);
                self.sums.trades_after += part(heard.above()).map_or(0, IdRange::count);
                let Some(ids) = part(Some(heard)) else { continue };
                for shown in chain.shown.within(ids) {
                    findings.add_many(Kind::Lost, shown.count(), &place, || format!("{shown} sent on subscribing"));
                }
                let unseen: u64 = chain.shown.absent_within(ids).map(IdRange::count).sum();
                if unseen > 0 {
                    findings.add_many(Kind::NeverSent, unseen, &place, || {
                        format!("{unseen} of {ids} never sent, and nothing else supplied them")
                    });
                }
            }
        }
    }

    fn look_for_strangers(&mut self, findings: &mut Findings) {
        for (product, files) in self.files.iter_mut() {
            strangers(product, &mut files.trades, &mut self.expected, &mut self.found, findings);
            strangers(product, &mut files.md, &mut self.expected, &mut self.found, findings);
            strangers(product, &mut files.ticker_trades, &mut self.expected, &mut self.found, findings);
        }
    }
}

fn note_misfiled(place: &Place, date: UtcDay, what: impl FnOnce() -> String, findings: &mut Findings) {
    if place.date != Some(date) {
        findings.add(Kind::Misfiled, place, || format!("{} lies in the file of {date}", what()));
    }
}

fn name_of(ticker: &Ticker) -> String {
    if ticker.sequence == 0 { format!("ticker of {}", ticker.time) } else { format!("ticker {} of {}", ticker.sequence, ticker.time) }
}
