//! Checks a tape against the ledger of a simulated exchange: every record is stored exactly once, every field is equal, and nothing else is stored.
//!
//! 1. `matching.rs` finds a record of the ledger among the stored ones and compares them.
//! 2. A trade that was never sent is missing, too, if it lies between the first and the last trade that were sent. Before and after these no capture was
//!    listening: such trades are counted apart. A ticker that was never sent is only counted.
//! 3. Two kinds of lost tickers are excused and counted apart. A ticker that the exchange sent out of turn is dropped by rule, as sequences rise. A ticker
//!    in the buffers of a connection that breaks never arrives. The ledger has the faults: as many out of turn, and the times of the breaks.
//!    Records without an id are matched one to one, and those that were sent first: an equal one that was never sent must not take their place.
//! 4. The ledger is read once, in bounded memory: one bit for each stored record, ranges of ids, and at most `MAX_UNMATCHED_TICKERS` tickers.

use std::collections::BTreeMap;
use std::io::BufRead;

use super::finding::{FindingKind, Findings, Location};
use super::index::{DatasetDays, IndexedDays};
use super::ledger::{Entry, Ledger, LedgerError};
use super::matching::{Match, find_altered_in, finds_equal_in, match_in, match_record, report_unmatched, report_unmatched_in};
use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::record::{Record, Ticker, Trade};
use crate::schema::{Dataset, Datasets, Trades, Value};
use crate::time::{NANOS_PER_SECOND, UnixNanos, UtcDay};

/// Tickers not found equal that are kept until the whole ledger has been read.
const MAX_UNMATCHED_TICKERS: usize = 1_000_000;
/// How long before a break what was sent may still have been in a buffer, in nanoseconds.
const BUFFERED_NANOS: u64 = 5 * NANOS_PER_SECOND;

/// What the check against the ledger adds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerSums {
    /// Trades of the ledger.
    pub trades: u64,
    /// Trades that are stored, every field equal.
    pub trades_equal: u64,
    /// Trades never sent as they happened that are stored nevertheless: sent on subscribing, or supplied by REST.
    pub trades_fetched: u64,
    /// Trades neither sent nor stored, before the first one sent.
    pub trades_before: u64,
    /// Trades neither sent nor stored, after the last one sent.
    pub trades_after: u64,
    /// Stored trades without the order ids that the ledger has: supplied by REST.
    pub without_order_ids: u64,
    /// Tickers of the ledger.
    pub tickers: u64,
    /// Records in the datasets of tickers, every field equal.
    pub tickers_equal: u64,
    /// Tickers never sent.
    pub tickers_never_sent: u64,
    /// Tickers not stored because they were sent out of turn, or into a connection that broke.
    pub tickers_excused: u64,
}

/// A product's days that are checked against the ledger.
#[derive(Debug)]
pub(super) struct ProductDays {
    /// `TRADES`.
    pub trades: IndexedDays<Trades>,
    /// The datasets of tickers, in the order of [`Dataset::ALL`].
    pub tickers: Vec<DatasetDays>,
}

impl ProductDays {
    /// Gives the days of a dataset of tickers.
    fn tickers_of(&mut self, dataset: Dataset) -> Option<&mut DatasetDays> {
        self.tickers.iter_mut().find(|days| days.dataset() == dataset)
    }
}

/// Which part of the ledger is checked.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// Only this product.
    pub product: Option<ProductId>,
    /// Only this day.
    pub date: Option<UtcDay>,
}

impl Scope {
    fn has(&self, product: &ProductId, time: UnixNanos) -> bool {
        self.product.as_ref().is_none_or(|only| only == product) && self.date.is_none_or(|only| only == time.day())
    }
}

/// A ticker that was not found equal.
struct UnmatchedTicker {
    product: ProductId,
    ticker: Ticker,
    dataset: Dataset,
}

/// The ids of one product's trades in the ledger.
#[derive(Default)]
struct TradeIds {
    /// From the first trade sent to the last.
    sent: Option<IdRange>,
    /// Trades sent and not stored.
    lost: IdSet,
    /// Trades neither sent nor stored.
    unsent: IdSet,
    /// Trades sent once more when a connection subscribed.
    shown: IdSet,
}

/// Checks a tape against a ledger.
pub(super) struct Reconciler<'a> {
    days: &'a mut BTreeMap<ProductId, ProductDays>,
    scope: Scope,
    /// The datasets of tickers that the tape has.
    ticker_datasets: Datasets,
    ids: BTreeMap<ProductId, TradeIds>,
    unmatched: Vec<UnmatchedTicker>,
    /// Tickers never sent to which a record without an id is equal: it may be that of another one, which was sent.
    unsent: Vec<UnmatchedTicker>,
    /// Tickers that the exchange sent out of turn.
    out_of_turn: u64,
    /// When connections broke.
    breaks: Vec<UnixNanos>,
    sums: LedgerSums,
    /// The values of the ledger's record. Reused.
    expected: Vec<Value>,
    /// The values of the stored record. Reused.
    found: Vec<Value>,
}

impl<'a> Reconciler<'a> {
    /// Begins with nothing matched.
    pub(super) fn new(days: &'a mut BTreeMap<ProductId, ProductDays>, scope: Scope) -> Self {
        let of_tickers = days.values().flat_map(|days| &days.tickers).filter(|days| !days.is_empty());
        let ticker_datasets = of_tickers.map(DatasetDays::dataset).collect();
        Self {
            days,
            scope,
            ticker_datasets,
            ids: BTreeMap::new(),
            unmatched: Vec::new(),
            unsent: Vec::new(),
            out_of_turn: 0,
            breaks: Vec::new(),
            sums: LedgerSums::default(),
            expected: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Reads the whole ledger and reports what is wrong.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub(super) fn run<R: BufRead>(mut self, ledger: &mut Ledger<R>, findings: &mut Findings) -> Result<LedgerSums, LedgerError> {
        let mut has_end = false;
        while let Some(entry) = ledger.next_entry()? {
            match entry {
                Entry::Trade { product, trade, sent } if self.scope.has(&product, trade.time) => {
                    self.take_trade(&product, &trade, sent, findings)
                }
                Entry::Ticker { product, ticker, sent } if self.scope.has(&product, ticker.time) => {
                    self.take_ticker(&product, &ticker, sent, findings)
                }
                Entry::Shown { product, first, last } => self.ids.entry(product).or_default().shown.extend(IdRange::new(first, last)),
                Entry::Fault { name, time } => self.take_fault(&name, time),
                Entry::End => has_end = true,
                Entry::Trade { .. } | Entry::Ticker { .. } | Entry::Other => {}
            }
        }
        if !has_end {
            findings.add(FindingKind::Ledger, &Location::default(), || "the ledger has no end: it was cut off".to_owned());
        }
        self.settle_tickers(findings);
        self.settle_trades(findings);
        self.report_unmatched(findings);
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
        let ids = self.ids.entry(product.clone()).or_default();
        let id = IdRange::one(trade.trade_id);
        if sent {
            ids.sent = Some(ids.sent.map_or(id, |sent| sent.span(id)));
        }
        let (expected, found) = (&mut self.expected, &mut self.found);
        let days = self.days.get_mut(product).map(|days| &mut days.trades);
        let matched = days.map_or(Match::None, |days| match_record(days, Record::Trade(trade), expected, found));
        let location = Location::on(product, Dataset::Trades, trade.time.day());
        match matched {
            Match::Equal { date, is_without_order_ids } => {
                self.sums.trades_equal += 1;
                self.sums.trades_fetched += u64::from(!sent);
                self.sums.without_order_ids += u64::from(is_without_order_ids);
                note_misfiled(&location, date, || format!("trade {}", trade.trade_id), findings);
            }
            Match::Altered { columns, .. } => {
                findings.add(FindingKind::Altered, &location, || format!("trade {}: {}", trade.trade_id, columns.join(", ")));
            }
            Match::AlreadyMatched => {
                findings.add(FindingKind::Ledger, &location, || format!("trade {} is twice in the ledger", trade.trade_id))
            }
            Match::None if sent => ids.lost.insert(id),
            Match::None => ids.unsent.insert(id),
        }
    }

    fn take_ticker(&mut self, product: &ProductId, ticker: &Ticker, sent: bool, findings: &mut Findings) {
        self.sums.tickers += 1;
        self.sums.tickers_never_sent += u64::from(!sent);
        // A tape without tickers should have had `MD`.
        let datasets = if self.ticker_datasets.is_empty() { Datasets::of(&[Dataset::Md]) } else { self.ticker_datasets };
        for dataset in datasets.storing(Record::Ticker(ticker)).iter() {
            self.take_ticker_in(dataset, product, ticker, sent, findings);
        }
    }

    fn take_ticker_in(&mut self, dataset: Dataset, product: &ProductId, ticker: &Ticker, sent: bool, findings: &mut Findings) {
        let (expected, found) = (&mut self.expected, &mut self.found);
        let mut days = self.days.get_mut(product).and_then(|days| days.tickers_of(dataset));
        let has_twin = |days: &mut DatasetDays| finds_equal_in(days, Record::Ticker(ticker), expected, found);
        if !sent && self.unsent.len() < MAX_UNMATCHED_TICKERS && days.as_deref_mut().is_some_and(has_twin) {
            self.unsent.push(UnmatchedTicker { product: product.clone(), ticker: *ticker, dataset });
            return;
        }
        let matched = days.map_or(Match::None, |days| match_in(days, Record::Ticker(ticker), expected, found));
        let location = Location::on(product, dataset, ticker.time.day());
        match matched {
            Match::Equal { date, .. } => {
                self.sums.tickers_equal += 1;
                note_misfiled(&location, date, || name_of(ticker), findings);
            }
            Match::Altered { columns, .. } => {
                findings.add(FindingKind::Altered, &location, || format!("{}: {}", name_of(ticker), columns.join(", ")))
            }
            Match::AlreadyMatched => findings.add(FindingKind::Ledger, &location, || format!("{} is twice in the ledger", name_of(ticker))),
            Match::None if sent && self.unmatched.len() < MAX_UNMATCHED_TICKERS => {
                self.unmatched.push(UnmatchedTicker { product: product.clone(), ticker: *ticker, dataset });
            }
            Match::None if sent => findings.add(FindingKind::Lost, &location, || name_of(ticker)),
            Match::None => {}
        }
    }

    /// Says which of the tickers that were not found equal are altered, excused or lost. Where only the time identifies a record, this can be told only at
    /// the end of the ledger.
    fn settle_tickers(&mut self, findings: &mut Findings) {
        self.breaks.sort();
        for UnmatchedTicker { product, ticker, dataset } in std::mem::take(&mut self.unsent) {
            let days = self.days.get_mut(&product).and_then(|days| days.tickers_of(dataset));
            let matched = days.map(|days| match_in(days, Record::Ticker(&ticker), &mut self.expected, &mut self.found));
            if let Some(Match::Equal { date, .. }) = matched {
                self.sums.tickers_equal += 1;
                note_misfiled(&Location::on(&product, dataset, ticker.time.day()), date, || name_of(&ticker), findings);
            }
        }
        for unmatched in std::mem::take(&mut self.unmatched) {
            let UnmatchedTicker { product, ticker, dataset } = &unmatched;
            let location = Location::on(product, *dataset, ticker.time.day());
            let (expected, found) = (&mut self.expected, &mut self.found);
            let days = self.days.get_mut(product).and_then(|days| days.tickers_of(*dataset));
            let altered = days.and_then(|days| find_altered_in(days, Record::Ticker(ticker), expected, found));
            if let Some(columns) = altered {
                findings.add(FindingKind::Altered, &location, || format!("{}: {}", name_of(ticker), columns.join(", ")));
            } else if self.is_excused(ticker) {
                // Those out of turn are excused up to their number, so it counts how many there have been.
                self.sums.tickers_excused += 1;
            } else {
                findings.add(FindingKind::Lost, &location, || name_of(ticker));
            }
        }
    }

    fn is_excused(&self, ticker: &Ticker) -> bool {
        let next = self.breaks.partition_point(|broken| *broken < ticker.time);
        if self.breaks.get(next).is_some_and(|broken| broken.since(ticker.time) <= BUFFERED_NANOS) {
            return true;
        }
        // A ticker that came out of turn is missing in each dataset.
        let allowed = self.out_of_turn * self.ticker_datasets.iter().count() as u64;
        self.sums.tickers_excused < allowed
    }

    /// Says which trades are lost: those that were sent, and those between the first one sent and the last that nothing supplied.
    fn settle_trades(&mut self, findings: &mut Findings) {
        for (product, ledger) in &self.ids {
            let location = Location::of(product, Dataset::Trades);
            for ids in &ledger.lost {
                findings.add_many(FindingKind::Lost, ids.count(), &location, || format!("{ids} sent"));
            }
            let heard = ledger.shown.iter().chain(ledger.sent).reduce(IdRange::span);
            for unsent in &ledger.unsent {
                let Some(heard) = heard else {
                    self.sums.trades_before += unsent.count();
                    continue;
                };
                let part = |of: Option<IdRange>| of.and_then(|of| unsent.intersection(of));
                self.sums.trades_before += part(heard.below()).map_or(0, IdRange::count);
                self.sums.trades_after += part(heard.above()).map_or(0, IdRange::count);
                let Some(ids) = part(Some(heard)) else { continue };
                for shown in ledger.shown.within(ids) {
                    findings.add_many(FindingKind::Lost, shown.count(), &location, || format!("{shown} sent on subscribing"));
                }
                let unseen: u64 = ledger.shown.absent_within(ids).map(IdRange::count).sum();
                if unseen > 0 {
                    findings.add_many(FindingKind::NeverSent, unseen, &location, || {
                        format!("{unseen} of {ids} never sent, and nothing else supplied them")
                    });
                }
            }
        }
    }

    fn report_unmatched(&mut self, findings: &mut Findings) {
        let (values, others) = (&mut self.expected, &mut self.found);
        for (product, days) in self.days.iter_mut() {
            report_unmatched(product, &mut days.trades, values, others, findings);
            for days in &mut days.tickers {
                report_unmatched_in(product, days, values, others, findings);
            }
        }
    }
}

/// Reports a record that is stored in the file of another day.
fn note_misfiled(location: &Location, date: UtcDay, what: impl FnOnce() -> String, findings: &mut Findings) {
    if location.date != Some(date) {
        findings.add(FindingKind::Misfiled, location, || format!("{} lies in the file of {date}", what()));
    }
}

fn name_of(ticker: &Ticker) -> String {
    if ticker.sequence == 0 { format!("ticker of {}", ticker.time) } else { format!("ticker {} of {}", ticker.sequence, ticker.time) }
}
