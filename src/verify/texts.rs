//! Exact texts against the records that they belong to: a decimal text that no f64 gives back has the stored value as its nearest f64.
//!
//! 1. Several texts may have one key: that of a record which was refused as a conflict, and those of two series. So a record is only held against its texts
//!    where the journal tells of no conflict about it and the product has one series.
//!    A message that was refused for another reason leaves its text, too. So only a stored value that has as many digits as such texts is looked at: one with
//!    fewer needs none.
//! 2. A text without a record is no finding: it is written before its record, and a process that is killed leaves it so.
//! 3. Nothing shows that a text is missing.

use std::collections::BTreeMap;
use std::path::Path;

use super::finding::{FindingKind, Findings, Location};
use super::index::{IndexedBy, IndexedDays};
use crate::history::History;
use crate::product::ProductId;
use crate::schema::{Column, Dataset, Kind, Layout, Value};
use crate::store::event::{Event, Line};
use crate::store::journal::{self, EXACT_TEXTS};
use crate::stored;
use crate::time::UtcDay;

/// Texts that are kept. Those beyond are not held against their records.
const MAX_TEXTS: usize = 4_000_000;

/// Digits of a value that has a text of its own, at least: one of up to 15 digits always comes back from its f64.
const LEAST_DIGITS: usize = 16;

/// A text: the day of its file, and the f64 that is nearest to it.
#[derive(Debug, Clone, Copy)]
struct Text {
    date: UtcDay,
    nearest: f64,
}

/// The texts of all products: by product, column and key.
#[derive(Debug, Default)]
pub(super) struct Texts {
    products: BTreeMap<ProductId, BTreeMap<(&'static str, u64), Vec<Text>>>,
    /// Texts that were left out.
    pub(super) more: u64,
}

impl Texts {
    /// Reads the texts of a data directory. Lines that cannot be read are findings of the journal already.
    pub(super) fn read(dir: &Path) -> Self {
        let mut texts = Self::default();
        let columns: Vec<&'static str> = Dataset::ALL.iter().flat_map(|dataset| dataset.columns()).map(|column| column.name).collect();
        let mut kept = 0;
        for (date, path) in journal::files(dir, EXACT_TEXTS) {
            let read = journal::read_raw(&path, |line| {
                let Ok(Line { event: Some(Event::Exact { product, column, key, text }), .. }) = Line::parse(line) else { return };
                let known = columns.iter().copied().find(|name| *name == column);
                let (Some(column), Ok(nearest)) = (known, text.parse::<f64>()) else { return };
                if kept >= MAX_TEXTS {
                    texts.more += 1;
                    return;
                }
                kept += 1;
                texts.products.entry(product).or_default().entry((column, key)).or_default().push(Text { date, nearest });
            });
            // A file that cannot be read is a fault of the journal already.
            drop(read);
        }
        texts
    }

    /// Holds the records of one dataset against their texts.
    pub(super) fn check<L: Layout>(&self, product: &ProductId, history: &History, days: &mut IndexedDays<L>, findings: &mut Findings) {
        let Some(texts) = self.products.get(product) else { return };
        let is_of_dataset = |name: &str| L::COLUMNS.iter().position(|column: &Column| column.name == name && column.kind == Kind::F64);
        let mut values = Vec::new();
        for ((column, key), texts) in texts {
            let Some((place, first)) = is_of_dataset(column).zip(texts.first()) else { continue };
            if history.disputed.iter().any(|disputed| disputed.id == *key) {
                continue;
            }
            let found = days.find(*key, first.date, |day, _| matches!(day.indexed_by(), IndexedBy::Column(_)));
            let Some(position) = found.filter(|position| days.load(*position, &mut values)) else { continue };
            let Some(Value::F64(stored)) = values.get(place).copied() else { continue };
            if digits_of(stored) < LEAST_DIGITS || texts.iter().any(|text| stored::is_same(Value::F64(text.nearest), Value::F64(stored))) {
                continue;
            }
            let Some(date) = days.days.get(position.day).map(|day| day.date) else { continue };
            let location = Location::on(product, L::DATASET, date);
            findings.add(FindingKind::Rounding, &location, || {
                format!(
                    "record {}: {column} {stored} is not the f64 nearest to its exact text, which gives {}",
                    position.record, first.nearest
                )
            });
        }
    }
}

/// Counts the digits that it takes to write a value.
fn digits_of(value: f64) -> usize {
    format!("{value:e}").bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_a_value_are_those_of_its_shortest_text() {
        assert_eq!([0.1, 65_000.01, 0.123_456_789_012_345_68, 1e300, f64::NAN].map(digits_of), [1, 7, 17, 1, 0]);
    }
}
