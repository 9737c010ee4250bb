//! [`ExactTexts`]: the decimal texts that no f64 gives back, as they came.
//!
//! 1. A text is known by its column and the key of its record: the trade id, the sequence of a ticker, or the receive time of a ticker without one. Several
//!    texts may have one key: that of a record which was refused as a conflict, those of two series. The first that is a text of the stored value counts.
//! 2. The file of a day has the texts of that day's records. Version 0.1 wrote them on the day of writing, so later files are read, too.
//! 3. A text is shown in plain digits, whichever way it was sent.

use std::collections::HashMap;
use std::path::Path;

use crate::decimal;
use crate::product::ProductId;
use crate::store::event::{Event, Line};
use crate::store::journal::{self, EXACT_TEXTS};
use crate::time::UtcDay;

/// Most texts of one key. Each has another value.
const MAX_TEXTS: usize = 16;

/// A text as it is shown, and the f64 that is nearest to it.
#[derive(Debug, PartialEq)]
struct Shown {
    nearest: f64,
    digits: String,
}

/// The texts of one product.
#[derive(Debug, Default)]
pub(crate) struct ExactTexts {
    texts: HashMap<(String, u64), Vec<Shown>>,
}

impl ExactTexts {
    /// Reads the texts of a product's records from the day `first` on, those of its other series among them: a text is kept before it is known to which
    /// series its record belongs. Reads all later files, as a record may be fetched long after its day.
    #[must_use]
    pub(crate) fn read(dir: &Path, product: &ProductId, first: UtcDay) -> Self {
        let mut texts: HashMap<(String, u64), Vec<Shown>> = HashMap::new();
        for line in journal::events(dir, EXACT_TEXTS, first, UtcDay(u32::MAX)) {
            let Ok(Line { event: Some(Event::Exact { product: named, column, key, text }), .. }) = line else { continue };
            if named.is_series_of(product)
                && let (Ok(nearest), Some(digits)) = (text.parse(), decimal::plain(&text))
            {
                let known = texts.entry((column.into_owned(), key)).or_default();
                let shown = Shown { nearest, digits };
                if known.len() < MAX_TEXTS && !known.contains(&shown) {
                    known.push(shown);
                }
            }
        }
        Self { texts }
    }

    /// Tells whether there are no texts.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Finds the text of a column of the record with this key, if it is a text of the stored value.
    #[must_use]
    pub(crate) fn find(&self, column: &str, key: u64, stored: f64) -> Option<&str> {
        if self.texts.is_empty() {
            return None;
        }
        let known = self.texts.get(&(column.to_owned(), key))?;
        known.iter().find(|shown| shown.nearest.to_bits() == stored.to_bits()).map(|shown| shown.digits.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OWN_FOLDER;

    #[test]
    fn a_text_is_found_where_it_is_a_text_of_the_stored_value() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join(OWN_FOLDER)).expect("made");
        let line = |product: &str, key: u64, text: &str| {
            format!(
                "{{\"time\":\"2025-06-08T00:00:00Z\",\"event\":\"exact\",\"product\":\"{product}\",\"column\":\"trade_price_f64\",\"key\":{key},\"text\":\"{text}\"}}\n"
            )
        };
        let lines = [line("BTC-USD", 1, "0.12345678901234567890"), line("ETH-USD", 2, "0.12345678901234567890"), line("BTC-USD", 3, "1e5")];
        std::fs::write(dir.path().join(OWN_FOLDER).join("exact.2025-12-24.jsonl"), lines.concat()).expect("written");
        let (product, day) = (ProductId::new("BTC-USD").expect("a product"), UtcDay::parse("2025-06-07").expect("a day"));
        let texts = ExactTexts::read(dir.path(), &product, day);
        let stored = 0.123_456_789_012_345_68;
        assert_eq!(texts.find("trade_price_f64", 1, stored), Some("0.12345678901234567890"));
        assert_eq!(texts.find("trade_price_f64", 1, 0.2), None);
        assert_eq!(texts.find("trade_size_f64", 1, stored), None);
        assert_eq!(texts.find("trade_price_f64", 2, stored), None);
        assert_eq!(texts.find("trade_price_f64", 3, 1e5), Some("100000"));
    }

    #[test]
    fn the_text_of_a_refused_record_does_not_hide_that_of_the_stored_one() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join(OWN_FOLDER)).expect("made");
        let sent = ["0.12345678901234567890", "0.98765432109876543210", "1.2345678901234567890e-5"];
        let line = |text: &&str| {
            format!(
                "{{\"time\":\"2025-06-08T00:00:00Z\",\"event\":\"exact\",\"product\":\"BTC-USD\",\"column\":\"trade_size_f64\",\"key\":7,\"text\":\"{text}\"}}\n"
            )
        };
        let text: String = sent.iter().map(line).collect();
        std::fs::write(dir.path().join(OWN_FOLDER).join("exact.2025-06-08.jsonl"), text).expect("written");
        let day = UtcDay::parse("2025-06-07").expect("a day");
        let product = ProductId::new("BTC-USD").expect("a product");
        let texts = ExactTexts::read(dir.path(), &product, day);
        for (text, shown) in sent.iter().zip(["0.12345678901234567890", "0.98765432109876543210", "0.000012345678901234567890"]) {
            assert_eq!(texts.find("trade_size_f64", 7, text.parse().expect("a number")), Some(shown));
        }
    }
}
