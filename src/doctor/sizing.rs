//! Sizing: how much a day takes at the rates seen, and how long the disk lasts.
//!
//! 1. The rates are those of the busiest of the last seven stored days, product by product, or those of the running capture, whichever are higher. A day that
//!    is not over counts as far as it goes.
//! 2. Where more products are asked for than are known, each of the others counts as their mean.

use std::path::Path;

use super::bounded::within;
use super::config::{DoctorConfig, nearest_folder};
use super::disk::gigabytes;
use super::finding::Finding;
use super::running::Running;
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset, Datasets};
use crate::store::{catalog, free_space};

/// Stored days that are looked at.
const DAYS: usize = 7;
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
        let stored = known.iter().take(MAX_PRODUCTS).map(|product| stored(&dir, product)).fold(Rates::default(), sum);
        (stored, free_space(&nearest_folder(&dir)).ok().map(|space| space.usable()))
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

/// Counts the records of a product's busiest day of the last ones.
fn stored(dir: &Path, product: &ProductId) -> Rates {
    let busiest = |dataset| {
        let days = catalog::days(dir, product, dataset).unwrap_or_default();
        let counts = days.into_iter().rev().take(DAYS).map(|day| catalog::records_at_most(dir, product, dataset, day));
        counts.max().unwrap_or(0)
    };
    let count = |records: u64| float(usize::try_from(records).unwrap_or(usize::MAX));
    Rates { trades: count(busiest(Dataset::Trades)), tickers: count(busiest(Dataset::Md).max(busiest(Dataset::TickerTrades))), products: 1 }
}

fn sum(one: Rates, other: Rates) -> Rates {
    Rates { trades: one.trades + other.trades, tickers: one.tickers + other.tickers, products: one.products + other.products }
}

fn judge(rates: Option<(Rates, f64)>, usable: Option<u64>) -> Finding {
    const CHECK: &str = "sizing";
    const CHANGE: &str = "a larger disk, fewer products, --columns core, or `coltape archive`";
    let Some((rates, bytes)) = rates else {
        return Finding::yellow(CHECK, "no rates are known yet", "record one product for a day, then ask again");
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
    use super::super::finding::Colour::{Green, Red, Yellow};
    use super::*;

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
    fn a_day_takes_the_width_of_its_records() {
        let width = |dataset: Dataset| dataset.columns_of(ColumnSet::Full).iter().map(|column| column.kind.width()).sum::<usize>() as f64;
        let rates = Rates { trades: 10.0, tickers: 2.0, products: 1 };
        let all = rates.bytes(Datasets::ALL, ColumnSet::Full);
        assert!((all - 10.0 * width(Dataset::Trades) - 2.0 * (width(Dataset::Md) + width(Dataset::TickerTrades))).abs() < 1e-9);
        assert!((rates.bytes(Datasets::of(&[Dataset::Trades]), ColumnSet::Full) - 10.0 * width(Dataset::Trades)).abs() < 1e-9);
    }
}
