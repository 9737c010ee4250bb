//! Generated pairs of tapes: what lies on which of them is drawn. The repaired tape is the union of both, by the rules that an oracle knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use coltape::IdRange;
use coltape::internals::product::ProductId;
use coltape::internals::record::{Means, Ticker, Trade};
use coltape::internals::schema::{ColumnSet, Dataset, Layout, Md, TickerTrades, Trades};
use coltape::internals::store::event::Event;
use coltape::internals::store::journal::{JOURNAL, JournalFile};
use coltape::internals::store::{DayState, Snapshot, StoreOptions, catalog};
use coltape::internals::time::{Clock, DateFormat, UnixNanos, UtcDay};
use coltape::internals::verify::{VerifyConfig, verify};

use super::tape::{files, memory_folder, repaired};
use crate::market::{FIRST_DAY, Print, data_dir, prints, store, ticker};

/// Pairs of tapes that the suite makes; `COLTAPE_TAPE_PAIRS` asks for more.
const PAIRS: u64 = 150;

/// What one tape has of one product and day.
#[derive(Clone, Default)]
struct DayOnTape {
    trades: Vec<Trade>,
    md: Vec<Ticker>,
    ticker_trades: Vec<Ticker>,
}

/// What one tape has, and how it writes.
struct Tape {
    columns: ColumnSet,
    date_format: DateFormat,
    days: BTreeMap<(ProductId, UtcDay), DayOnTape>,
    /// Trades that a heartbeat named and that never came: the first and the last id, and when.
    named: BTreeMap<ProductId, (u64, u64, UnixNanos)>,
}

fn product_named(name: &str) -> ProductId {
    ProductId::new(name).unwrap()
}

/// Draws a tape of some markets: it lost days, datasets and single trades. Its box received everything a little later than the first.
fn draw(random: &mut fastrand::Rng, markets: &[(ProductId, Vec<Print>)], delay: u64) -> Tape {
    let columns = if random.u8(0..4) == 0 { ColumnSet::Core } else { ColumnSet::Full };
    let date_format = if random.u8(0..4) == 0 { DateFormat::Dmy } else { DateFormat::Iso };
    let mut days: BTreeMap<(ProductId, UtcDay), DayOnTape> = BTreeMap::new();
    let mut named = BTreeMap::new();
    let is_empty = random.u8(0..6) == 0;
    for (product, prints) in markets {
        let has_product = !is_empty && random.u8(0..4) != 0;
        let mut kept: BTreeMap<UtcDay, (bool, bool, bool, u8)> = BTreeMap::new();
        for print in prints {
            let date = print.trade.time.day();
            let (has_trades, has_md, has_ticker_trades, loss) = *kept
                .entry(date)
                .or_insert_with(|| (random.u8(0..4) != 0, random.u8(0..4) != 0, random.u8(0..4) != 0, if random.bool() { 0 } else { 10 }));
            if !has_product {
                continue;
            }
            let recv = UnixNanos(print.trade.recv.0 + delay);
            let day = days.entry((product.clone(), date)).or_default();
            if has_trades && random.u8(0..100) >= loss {
                day.trades.push(Trade { recv, ..print.trade });
            }
            let told = Ticker { recv, ..ticker(print) };
            if has_md {
                day.md.push(told);
            }
            if has_ticker_trades {
                day.ticker_trades.push(told);
            }
        }
        let last = prints.iter().rev().take(random.usize(1..5)).next_back().filter(|_| has_product && random.u8(0..4) == 0);
        named.extend(last.map(|last| (product.clone(), (last.trade.trade_id, last.trade.trade_id + random.u64(0..6), last.trade.recv))));
    }
    Tape { columns, date_format, days, named }
}

fn write(path: &Path, tape: &Tape) {
    let dir = data_dir(path, StoreOptions::default().columns(tape.columns).date_format(tape.date_format));
    for ((product, _), day) in &tape.days {
        store::<Trades>(&dir, product, &day.trades);
        store::<Md>(&dir, product, &day.md);
        store::<TickerTrades>(&dir, product, &day.ticker_trades);
    }
    let mut journal = JournalFile::new(path, JOURNAL);
    for (product, (first, last, time)) in &tape.named {
        let (product, why) = (product.clone(), "heartbeat".into());
        journal.append(*time, &Event::GapOpened { product, ids: IdRange::new(*first, *last).unwrap(), why }).unwrap();
    }
    journal.finish().unwrap();
}

/// The bytes of a day's columns by their names; nothing where there is no such day.
fn columns<L: Layout>(path: &Path, product: &ProductId, date: UtcDay) -> Option<BTreeMap<&'static str, Vec<u8>>> {
    let day = Snapshot::<L>::open(path, product, date).unwrap().filter(|day| day.count() > 0)?;
    assert!(matches!(day.state(), DayState::Sealed { .. }) && day.late().is_empty() && day.check().unwrap().is_empty());
    Some(day.columns().iter().enumerate().map(|(at, column)| (column.name, day.column_bytes(at).to_vec())).collect())
}

fn rows(path: &Path, product: &ProductId, date: UtcDay) -> Option<(ColumnSet, Vec<Trade>)> {
    let day = Snapshot::<Trades>::open(path, product, date).unwrap().filter(|day| day.count() > 0)?;
    assert!(matches!(day.state(), DayState::Sealed { .. }) && day.late().is_empty() && day.check().unwrap().is_empty());
    Some((day.column_set(), day.rows().collect()))
}

/// A trade as a folder of this set holds it, and without the means by which it came.
fn held(trade: &Trade, set: ColumnSet) -> String {
    let Trade { trade_id, time, price, size, side, maker_order_id, taker_order_id, sequence, recv, origin } = trade;
    let core = format!("{trade_id} {time} {} {} {side:?} {maker_order_id} {taker_order_id}", price.as_f32, size.as_f32);
    match set {
        ColumnSet::Core => core,
        ColumnSet::Full => format!("{core} {} {} {sequence} {recv} {}", price.as_f64, size.as_f64, origin.0 >> 4),
    }
}

/// What a repaired day of trades must hold: its columns, and each trade with whether it came from the other tape.
fn union(own: (ColumnSet, &[Trade]), other: (ColumnSet, &[Trade])) -> Option<(ColumnSet, Vec<(Trade, bool)>)> {
    let (set, is_here) = match (own.1, other.1) {
        ([], []) => return None,
        ([], _) => (other.0, false),
        _ => (own.0, true),
    };
    let mut all: BTreeMap<u64, (Trade, bool)> = own.1.iter().map(|trade| (trade.trade_id, (*trade, false))).collect();
    // Core columns hold prices as f32: of them nothing goes into a full day.
    if !(is_here && set == ColumnSet::Full && other.0 == ColumnSet::Core) {
        other.1.iter().for_each(|trade| {
            all.entry(trade.trade_id).or_insert((*trade, true));
        });
    }
    Some((set, all.into_values().collect()))
}

struct Pair {
    folder: tempfile::TempDir,
    own: Tape,
    other: Tape,
    products: Vec<ProductId>,
}

impl Pair {
    fn draw(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let names = ["BTC-USD", "ETH-USD", "A.B_C-1"];
        let markets: Vec<(ProductId, Vec<Print>)> = names[..random.usize(1..=3)]
            .iter()
            .map(|name| {
                let count = random.u64(6..60);
                // At most four days.
                let step = random.u64(1..=3 * 86_400_000_000_000 / count);
                (
                    product_named(name),
                    prints(random.u64(1..1 << 40), count, UnixNanos(FIRST_DAY.start().0 + random.u64(0..86_000_000_000_000)), step),
                )
            })
            .collect();
        let folder = memory_folder();
        let (own, other) = (draw(&mut random, &markets, 0), draw(&mut random, &markets, 77));
        write(&folder.path().join("own"), &own);
        write(&folder.path().join("other"), &other);
        if own.days.is_empty() && random.bool() {
            std::fs::remove_dir_all(folder.path().join("own")).unwrap();
        }
        Self { folder, own, other, products: markets.into_iter().map(|(product, _)| product).collect() }
    }

    fn check(&self) {
        let (own, other) = (self.folder.path().join("own"), self.folder.path().join("other"));
        let nothing = DayOnTape::default();
        let dates: Vec<UtcDay> = (0..6).map(|after| UtcDay(FIRST_DAY.0 + after)).collect();
        for product in &self.products {
            for date in dates.iter().copied() {
                let key = (product.clone(), date);
                let (here, there) = (self.own.days.get(&key).unwrap_or(&nothing), self.other.days.get(&key).unwrap_or(&nothing));
                let found = rows(&own, product, date);
                let want = union((self.own.columns, &here.trades), (self.other.columns, &there.trades));
                assert_eq!(found.is_some(), want.is_some(), "{product} {date}: a day is there or not");
                if let (Some((set, found)), Some((want_set, want))) = (found, want) {
                    assert_eq!(set, want_set, "{product} {date}");
                    let came: Vec<bool> = found.iter().map(|trade| trade.origin.means() == Some(Means::Tape)).collect();
                    if set == ColumnSet::Full {
                        assert_eq!(came, want.iter().map(|(_, came)| *came).collect::<Vec<_>>(), "{product} {date}");
                    }
                    // What a core tape gives a full day it cannot give; what a full one gives a core day is rounded.
                    let set = if self.other.columns == ColumnSet::Core { ColumnSet::Core } else { set };
                    let found: Vec<String> = found.iter().map(|trade| held(trade, set)).collect();
                    assert_eq!(found, want.iter().map(|(trade, _)| held(trade, set)).collect::<Vec<_>>(), "{product} {date}");
                }
                self.check_tickers(product, date, (&own, here), (&other, there));
            }
        }
    }

    /// What was known to be missing is stored now, or still known.
    fn check_known(&self, own_before: &[Gap], other_before: &[Gap]) {
        let own = self.folder.path().join("own");
        let left = known_gaps(&own);
        for (product, ids) in own_before.iter().chain(other_before) {
            let held: BTreeSet<u64> = (0..6).flat_map(|after| stored_ids(&own, product, UtcDay(FIRST_DAY.0 + after))).collect();
            let stored = |id: u64| held.contains(&id);
            let is_left = |id: u64| left.iter().any(|(of, ids)| of == product && (ids.0..=ids.1).contains(&id));
            // A full tape takes nothing of a core one. What only that one knows of the time before or behind the full one's trades is not taken over either:
            // the verdicts of the full one say that nothing shows it.
            let takes_none = self.own.columns == ColumnSet::Full && self.other.columns == ColumnSet::Core;
            let is_of_own_time = |id: u64| held.first().zip(held.last()).is_some_and(|(first, last)| (*first..=*last).contains(&id));
            let is_known_here = |id: u64| own_before.iter().any(|(of, ids)| of == product && (ids.0..=ids.1).contains(&id));
            let is_lost = |id: u64| !is_left(id) && !stored(id) && (!takes_none || is_known_here(id) || is_of_own_time(id));
            let lost = (ids.0..=ids.1).find(|id| is_lost(*id));
            assert_eq!(lost, None, "{product}: nothing says any more that it is missing");
        }
    }

    /// Tickers are whole days of one box.
    fn check_tickers(&self, product: &ProductId, date: UtcDay, own: (&Path, &DayOnTape), other: (&Path, &DayOnTape)) {
        let (here, there) = (own.1, other.1);
        // A dataset that is here and not there, or in other columns, keeps its partner from coming. `TICKER_TRADES` has one set of columns.
        let fits_md = self.own.columns == self.other.columns;
        let is_free = |own: &[Ticker], other: &[Ticker], fits: bool| own.is_empty() || (!other.is_empty() && fits);
        let md = (columns::<Md>(own.0, product, date), columns::<Md>(other.0, product, date));
        match (here.md.is_empty(), there.md.is_empty() || !is_free(&here.ticker_trades, &there.ticker_trades, true)) {
            (true, false) => assert_eq!(md.0, md.1, "{product} {date}: MD byte by byte"),
            (true, true) => assert_eq!(md.0, None, "{product} {date}: no MD"),
            (false, _) => assert_eq!(md.0.unwrap()["time"].len(), here.md.len() * 4, "{product} {date}: the own MD"),
        }
        let told = (columns::<TickerTrades>(own.0, product, date), columns::<TickerTrades>(other.0, product, date));
        match (here.ticker_trades.is_empty(), there.ticker_trades.is_empty() || !is_free(&here.md, &there.md, fits_md)) {
            (true, false) => assert_eq!(told.0, told.1, "{product} {date}: TICKER_TRADES byte by byte"),
            (true, true) => assert_eq!(told.0, None, "{product} {date}: no TICKER_TRADES"),
            (false, _) => assert_eq!(told.0.unwrap()["trade_time"].len(), here.ticker_trades.len() * 4, "{product} {date}"),
        }
    }
}

/// Missing ids of a product: the first and the last.
type Gap = (ProductId, (u64, u64));

/// What `verify` knows to be missing.
fn known_gaps(path: &Path) -> Vec<Gap> {
    // A directory without days is no tape.
    let Ok(proof) = verify(&VerifyConfig::new(path, Clock::System.now())) else { return Vec::new() };
    let missing = proof.gaps.into_iter().filter(|(_, gap)| !gap.is_absence);
    missing.map(|(product, gap)| (product, (gap.ids.first(), gap.ids.last()))).collect()
}

fn stored_ids(path: &Path, product: &ProductId, date: UtcDay) -> Vec<u64> {
    let day = Snapshot::<Trades>::open(path, product, date).unwrap();
    day.map_or(Vec::new(), |day| day.rows().map(|trade| trade.trade_id).collect())
}

/// The verdicts of `verify`, day by day.
fn verdicts(path: &Path) -> Vec<String> {
    let proof = verify(&VerifyConfig::new(path, Clock::System.now())).unwrap();
    let days = proof.days.iter().map(|day| format!("{} {:?} {:?}", day.product, day.coverage, day.pairing));
    days.chain(proof.findings.listed().iter().map(|finding| format!("{finding:?}"))).collect()
}

#[test]
fn a_repaired_tape_is_the_union_of_both_whatever_lies_where() {
    let pairs = std::env::var("COLTAPE_TAPE_PAIRS").ok().and_then(|count| count.parse().ok()).unwrap_or(PAIRS);
    for _ in 0..pairs {
        let seed = std::env::var("COLTAPE_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        eprintln!("seed {seed}");
        let pair = Pair::draw(seed);
        let (own, other) = (pair.folder.path().join("own"), pair.folder.path().join("other"));
        let has_days = |path: &Path| {
            !path.is_dir()
                || catalog::products(path)
                    .unwrap()
                    .iter()
                    .any(|product| Dataset::ALL.iter().any(|dataset| !catalog::days(path, product, *dataset).unwrap().is_empty()))
        };
        if !has_days(&other) {
            assert!(coltape::internals::repair::repair(&super::tape::config(&own, &[&other])).is_err(), "an empty tape is none");
            continue;
        }
        let before = files(&other);
        let [known_here, known_there] = [&own, &other].map(|path| if path.is_dir() { known_gaps(path) } else { Vec::new() });
        let report = repaired_but_for_mixed_tickers(&own, &other);
        assert_eq!(files(&other), before, "another tape is only read");
        pair.check();
        assert_eq!(report.disagreements, 0);
        if pair.own.days.is_empty() && pair.own.named.is_empty() {
            assert_eq!(verdicts(&own), verdicts(&other), "what is restored is what was there");
        }
        pair.check_known(&known_here, &known_there);
        // A second time there is nothing to do.
        let tape =
            |path: &Path| files(path).into_iter().filter(|(path, _)| !path.to_string_lossy().contains("_coltape")).collect::<Vec<_>>();
        let whole = tape(&own);
        let again = repaired_but_for_mixed_tickers(&own, &other);
        assert!(!again.has_changed_anything(), "{:#?}", again.lines());
        assert!(tape(&own) == whole);
    }
}

/// Repairs. All that may fail is that tickers of two boxes would have to be mixed.
fn repaired_but_for_mixed_tickers(own: &Path, other: &Path) -> coltape::internals::repair::report::Report {
    let report = coltape::internals::repair::repair(&super::tape::config(own, &[other])).unwrap();
    assert!(report.failures.iter().all(|failure| failure.contains("are not mixed")), "{:#?}", report.failures);
    report
}

#[test]
fn a_lost_tape_is_restored_from_several_that_have_parts_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (own, first, second) = (folder.path().join("own"), folder.path().join("first"), folder.path().join("second"));
    let all = prints(1000, 90, FIRST_DAY.start(), 3 * 86_400_000_000_000 / 90);
    let trades: Vec<Trade> = all.iter().map(|print| print.trade).collect();
    let part = |keep: fn(&Trade) -> bool| trades.iter().filter(|trade| keep(trade)).copied().collect::<Vec<_>>();
    let name = product_named("BTC-USD");
    // Both have the second day, each with another gap.
    store::<Trades>(&data_dir(&first, StoreOptions::default()), &name, &part(|trade| trade.trade_id < 1060 && trade.trade_id != 1040));
    store::<Trades>(&data_dir(&second, StoreOptions::default()), &name, &part(|trade| trade.trade_id >= 1030 && trade.trade_id != 1050));
    let report = repaired(&own, &[&first, &second]);
    assert!(report.is_whole(), "{:#?}", report.lines());
    assert_eq!(super::tape::told(&super::tape::stored(&own)), trades);
}
