//! Sizing: how much a day takes at the rates seen, and how long the disk lasts.
//!
//! 1. The rates are those of the busiest of the last seven stored days, product by product, or those of the running capture, whichever are higher. A day of
//!    which a part was recorded counts as if the rest had been the same; one of less than an hour says nothing.
//! 2. Where more products are asked for than are known, each of the others counts as their mean.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::bounded::within;
use super::config::{DoctorConfig, nearest_folder};
use super::disk::gigabytes;
use super::finding::Finding;
use super::running::Running;
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset, Datasets, Layout, Md, TickerTrades, Trades};
use crate::store::{DayKey, Snapshot, catalog, free_space};
use crate::time::{UnixNanos, UtcDay};

/// Stored days that are looked at.
const DAYS: usize = 7;
/// How much of a day has to be recorded for it to say anything.
const LEAST_RECORDED: Duration = Duration::from_secs(3600);
/// Products whose days are counted; more count as their mean.
const MAX_PRODUCTS: usize = 2000;
const SECONDS_PER_DAY: f64 = 86_400.0;
/// Days that the disk should last.
const GOOD_DAYS: f64 = 7.0;

/// What a day brings.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Rates {
    /// Trades a day.
    trades: f64,
    /// Tickers a day.
    tickers: f64,
    /// Products that bring them.
    products: usize,
}

impl Rates {
    fn is_known(self) -> bool {
        self.products > 0 && self.trades + self.tickers > 0.0
    }

    /// Gives the higher of two rates, kind by kind.
    fn or_higher(self, other: Self) -> Self {
        Self {
            trades: self.trades.max(other.trades),
            tickers: self.tickers.max(other.tickers),
            products: self.products.max(other.products),
        }
    }

    /// Gives the rates of so many products, if there are more than those.
    fn of(self, products: usize) -> Self {
        let factor = if products > self.products { float(products) / float(self.products.max(1)) } else { 1.0 };
        Self { trades: self.trades * factor, tickers: self.tickers * factor, products: self.products.max(products) }
    }

    /// Gives the bytes that a day takes.
    fn bytes(self, datasets: Datasets, columns: ColumnSet) -> f64 {
        let width = |dataset: Dataset| float(dataset.columns_of(columns).iter().map(|column| column.kind.width()).sum());
        datasets.iter().map(|dataset| width(dataset) * if dataset.is_of_tickers() { self.tickers } else { self.trades }).sum()
    }
}

/// Looks at the rates.
pub(super) fn examine(config: &DoctorConfig, running: &Running, products: usize) -> Vec<Finding> {
    let capture = &config.capture;
    let (dir, known) = (capture.data_dir.clone(), running.products().clone());
    let seen = within(config.timeout, move || {
        let known: Vec<ProductId> = known.into_iter().take(MAX_PRODUCTS).collect();
        (stored(&dir, &known), free_space(&nearest_folder(&dir)).ok().map(|space| space.usable()))
    });
    let Some((stored, usable)) = seen else {
        return vec![Finding::yellow("sizing", "the directory does not answer in time", "look at the disk: dmesg")];
    };
    let live = running.report().map_or_else(Rates::default, |report| Rates {
        trades: report.trades_per_s * SECONDS_PER_DAY,
        tickers: report.tickers_per_s * SECONDS_PER_DAY,
        products: report.products.len(),
    });
    let rates = stored.or_higher(live);
    let bytes = rates.of(products).bytes(capture.datasets, capture.columns);
    vec![judge(rates.is_known().then_some((rates.of(products), bytes)), usable)]
}

/// What one dataset-day of a product has.
#[derive(Debug, Clone, Copy)]
struct Recorded {
    records: u64,
    first: UnixNanos,
    last: UnixNanos,
}

/// Gives what a dataset-day has; nothing where it has no record, or cannot be read.
fn recorded<L: Layout>(dir: &Path, product: &ProductId, day: UtcDay) -> Option<Recorded> {
    let day = Snapshot::<L>::open(dir, product, day).ok()??;
    let records = day.count();
    let (first, last) = (L::time(&day.row(0)?), L::time(&day.row(records.checked_sub(1)?)?));
    Some(Recorded { records: u64::try_from(records).ok()?, first: first.min(last), last: last.max(first) })
}

/// Gives what a full day would have brought of each product, by the busiest of the last days. Each counts as if it had gone on as in the time that was
/// recorded, which the product with most records shows. A day of which less than [`LEAST_RECORDED`] was recorded says nothing.
fn stored(dir: &Path, products: &[ProductId]) -> Rates {
    let mut dates: BTreeSet<UtcDay> = products
        .iter()
        .flat_map(|product| Dataset::ALL.into_iter().flat_map(|dataset| catalog::days(dir, product, dataset).unwrap_or_default()))
        .collect();
    while dates.len() > DAYS {
        dates.pop_first();
    }
    let mut busiest = vec![(0.0_f64, 0.0_f64); products.len()];
    for day in dates {
        let of = |product| Dataset::ALL.map(|dataset| (dataset, records_of(dir, product, dataset, day)));
        let of_products: Vec<_> = products.iter().map(of).collect();
        let each = products
            .iter()
            .zip(&of_products)
            .flat_map(|(product, datasets)| datasets.iter().map(move |(dataset, n)| (*n, product, *dataset)));
        let most = each.max_by_key(|(records, ..)| *records);
        let Some(longest) = most.and_then(|(_, product, dataset)| recorded_of(dir, product, dataset, day)) else { continue };
        let seconds = Duration::from_nanos(longest.last.since(longest.first)).as_secs_f64();
        if seconds < LEAST_RECORDED.as_secs_f64() {
            continue;
        }
        for (most, datasets) in busiest.iter_mut().zip(&of_products) {
            for (dataset, records) in datasets {
                let most = if dataset.is_of_tickers() { &mut most.1 } else { &mut most.0 };
                *most = most.max(count(*records) * SECONDS_PER_DAY / seconds);
            }
        }
    }
    busiest.into_iter().map(|(trades, tickers)| Rates { trades, tickers, products: 1 }).fold(Rates::default(), sum)
}

/// Counts the records of a dataset-day. The files of one that is not sealed are longer than its records: it is opened.
fn records_of(dir: &Path, product: &ProductId, dataset: Dataset, day: UtcDay) -> u64 {
    let at_most = catalog::records_at_most(dir, product, dataset, day);
    let key = DayKey { product: product.clone(), dataset, date: day };
    if at_most == 0 || !catalog::is_unsealed(dir, &key).unwrap_or(true) {
        return at_most;
    }
    recorded_of(dir, product, dataset, day).map_or(0, |recorded| recorded.records)
}

fn recorded_of(dir: &Path, product: &ProductId, dataset: Dataset, day: UtcDay) -> Option<Recorded> {
    match dataset {
        Dataset::Trades => recorded::<Trades>(dir, product, day),
        Dataset::Md => recorded::<Md>(dir, product, day),
        Dataset::TickerTrades => recorded::<TickerTrades>(dir, product, day),
    }
}

fn count(records: u64) -> f64 {
    float(usize::try_from(records).unwrap_or(usize::MAX))
}

fn sum(one: Rates, other: Rates) -> Rates {
    Rates { trades: one.trades + other.trades, tickers: one.tickers + other.tickers, products: one.products + other.products }
}

fn judge(rates: Option<(Rates, f64)>, usable: Option<u64>) -> Finding {
    const CHECK: &str = "sizing";
    const CHANGE: &str = "a larger disk, fewer products, --columns core, or `coltape archive`";
    let Some((rates, bytes)) = rates else {
        return Finding::yellow(
            CHECK,
            "no rates are known yet: less than an hour is recorded",
            "record one product for a day, then ask again",
        );
    };
    let products = rates.products;
    let found =
        format!("{:.0} trades and {:.0} tickers a day of {products} products: {} a day", rates.trades, rates.tickers, spelled(bytes));
    let Some(usable) = usable else { return Finding::yellow(CHECK, found, "look at the disk: df") };
    let days = float(usize::try_from(usable).unwrap_or(usize::MAX)) / bytes.max(1.0);
    let found =
        format!("{found}; the disk lasts {} days", if days < 36_500.0 { format!("{days:.1}") } else { "more than 36500".to_owned() });
    if days < 1.0 {
        Finding::red(CHECK, found, CHANGE)
    } else if days < GOOD_DAYS {
        Finding::yellow(CHECK, found, CHANGE)
    } else {
        Finding::green(CHECK, found)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest number that there is, and is shown with few digits"
)]
fn spelled(bytes: f64) -> String {
    gigabytes(bytes.max(0.0) as u64)
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
const fn float(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;
    use std::sync::Arc;

    use super::super::finding::Colour::{Green, Red, Yellow};
    use super::*;
    use crate::record::Trade;
    use crate::store::{DataDir, Day, StoreOptions};

    #[test]
    fn a_disk_that_lasts_less_than_a_day_is_red() {
        let rates = Rates { trades: 1000.0, tickers: 10.0, products: 2 };
        let of = |usable| judge(Some((rates, 1e9)), usable).colour;
        assert_eq!(
            [Some(999_999_999), Some(1_000_000_000), Some(6_999_999_999), Some(7_000_000_000)].map(of),
            [Red, Yellow, Yellow, Green]
        );
        assert_eq!((of(None), judge(None, Some(u64::MAX)).colour), (Yellow, Yellow));
        let shown = judge(Some((rates, 1e9)), Some(2_500_000_000)).found;
        assert!(shown.contains("1000 trades") && shown.contains("1.00 GB a day") && shown.contains("2.5 days"), "{shown}");
    }

    #[test]
    fn more_products_than_are_known_count_as_their_mean_and_fewer_change_nothing() {
        let rates = Rates { trades: 300.0, tickers: 30.0, products: 3 };
        assert_eq!(rates.of(6), Rates { trades: 600.0, tickers: 60.0, products: 6 });
        assert_eq!((rates.of(1), rates.of(3)), (rates, rates));
        let higher = rates.or_higher(Rates { trades: 1.0, tickers: 31.0, products: 1 });
        assert_eq!(higher, Rates { trades: 300.0, tickers: 31.0, products: 3 });
        assert!(!Rates::default().is_known() && rates.is_known());
    }

    #[test]
    fn a_part_of_a_day_counts_as_if_it_had_gone_on_and_minutes_say_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let product = ProductId::new("BTC-USD").expect("a product");
        let start = UtcDay::parse("2026-11-20").expect("a day").start().0;
        let data = Arc::new(DataDir::open(folder.path(), StoreOptions::default(), "").expect("a directory"));
        let (mut day, _) = Day::<Trades>::open(&data, &product, UnixNanos(start).day(), UnixNanos(start)).expect("a day");
        let mut record = |ids: RangeInclusive<u64>, seconds: u64| {
            for trade_id in ids {
                let time = UnixNanos(start + seconds * 1_000_000_000);
                day.insert(&Trade { trade_id, time, ..<Trades as Layout>::EMPTY }).expect("stored");
            }
            day.commit();
            stored(folder.path(), std::slice::from_ref(&product))
        };
        record(1..=50, 0);
        assert!(!record(51..=100, 75).is_known(), "75 seconds");
        assert!(!record(101..=101, 3599).is_known());
        let rates = record(102..=200, 7200);
        assert_eq!(rates, Rates { trades: 200.0 * 12.0, tickers: 0.0, products: 1 }, "two hours of a day");
    }

    #[test]
    fn a_day_takes_the_width_of_its_records() {
        let width = |dataset: Dataset| dataset.columns_of(ColumnSet::Full).iter().map(|column| column.kind.width()).sum::<usize>() as f64;
        let rates = Rates { trades: 10.0, tickers: 2.0, products: 1 };
        let all = rates.bytes(Datasets::ALL, ColumnSet::Full);
        assert!((all - 10.0 * width(Dataset::Trades) - 2.0 * (width(Dataset::Md) + width(Dataset::TickerTrades))).abs() < 1e-9);
        assert!((rates.bytes(Datasets::of(&[Dataset::Trades]), ColumnSet::Full) - 10.0 * width(Dataset::Trades)).abs() < 1e-9);
    }
}
