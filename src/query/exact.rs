//! [`ExactTexts`]: the decimal texts that no f64 gives back, as they came.
//!
//! 1. A text is known by its column and the key of its record: the trade id, the sequence of a ticker, or the receive time of a ticker without one.
//! 2. The file of a day has what was written on that day. A record that came late was written after its event day.

use std::collections::HashMap;
use std::path::Path;

use crate::product::ProductId;
use crate::store::event::{Event, Line};
use crate::store::journal::{self, EXACT_TEXTS};
use crate::time::UtcDay;

/// The texts of one product.
#[derive(Debug, Default)]
pub(super) struct ExactTexts {
    texts: HashMap<(String, u64), String>,
}

impl ExactTexts {
    /// Reads the texts of a product's records from the day `first` on, those of its other series among them: a text is kept before it is known to which
    /// series its record belongs. Reads all later files, as a record may be fetched long after its day.
    #[must_use]
    pub(super) fn read(dir: &Path, product: &ProductId, first: UtcDay) -> Self {
        let mut texts = HashMap::new();
        for line in journal::events(dir, EXACT_TEXTS, first, UtcDay(u32::MAX)) {
            let Ok(Line { event: Some(Event::Exact { product: named, column, key, text }), .. }) = line else { continue };
            if named.is_series_of(product) && is_number(&text) {
                texts.insert((column.into_owned(), key), text);
            }
        }
        Self { texts }
    }

    /// Tells whether there are no texts.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Finds the text of a column of the record with this key, if it is a text of the stored value.
    #[must_use]
    pub(super) fn find(&self, column: &str, key: u64, stored: f64) -> Option<&str> {
        if self.texts.is_empty() {
            return None;
        }
        let text = self.texts.get(&(column.to_owned(), key))?;
        // The text may be of a record that was refused as a conflict, and not of the stored one.
        text.parse::<f64>().is_ok_and(|value| value.to_bits() == stored.to_bits()).then_some(text)
    }
}

/// Tells whether a text is a number that JSON and CSV can have.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(whole) && are_digits(fraction) && (whole == "0" || !whole.starts_with('0'))
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
        assert_eq!((texts.find("trade_price_f64", 2, stored), texts.find("trade_price_f64", 3, 1e5)), (None, None));
    }

    #[test]
    fn only_plain_decimals_are_printed_verbatim() {
        for good in ["0", "-1.50", "10.000000000000000001"] {
            assert!(is_number(good), "{good}");
        }
        for bad in ["", "01", ".5", "5.", "1e5", "1.2.3", "-", "NaN", "1,5"] {
            assert!(!is_number(bad), "{bad}");
        }
    }
}
