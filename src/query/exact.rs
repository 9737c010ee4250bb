//! [`ExactTexts`]: the decimal texts that no f64 gives back, as they came.
//!
//! 1. A text is known by its product, its column and the key of its record: the trade id, the sequence of a ticker, or the receive time of a ticker without
//!    one. Several texts may have one key: that of a record which was refused as a conflict, those of two series. The first that is a text of the stored
//!    value counts.
//! 2. The file of a day has the texts of that day's records. Version 0.1 wrote them on the day of writing, so later files are read, too.
//! 3. A text is shown in plain digits, whichever way it was sent.
//! 4. A text is written before its record is committed. [`ExactTexts::refresh`] reads what was added since, so that whoever follows a capture has the texts
//!    of the records that he sees.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::decimal;
use crate::product::ProductId;
use crate::store::event::{Event, Line};
use crate::store::journal::{self, EXACT_TEXTS};
use crate::store::own_file::open_plain;
use crate::time::UtcDay;

/// Most texts of one key of one column. Each has another value.
const MAX_TEXTS: usize = 16;

/// A text as it is shown, whose it is, and the f64 that is nearest to it.
#[derive(Debug, PartialEq)]
struct Text {
    feed_name: String,
    column: String,
    nearest: f64,
    digits: String,
}

/// The texts of some products.
#[derive(Debug)]
pub(crate) struct ExactTexts {
    dir: PathBuf,
    /// The names of the products, as the exchange has them. A text is kept before it is known to which series its record belongs.
    feed_names: Vec<String>,
    /// The first day whose file is read, and all later ones: a record may be fetched long after its day. Nothing where no text is wanted.
    first: Option<UtcDay>,
    /// How many bytes of each file have been read.
    read: HashMap<PathBuf, u64>,
    texts: HashMap<u64, Vec<Text>>,
}

impl ExactTexts {
    /// Reads the texts of products' records from the day `first` on. Without a first day there are none.
    #[must_use]
    pub(crate) fn read(dir: &Path, products: &[ProductId], first: Option<UtcDay>) -> Self {
        let mut feed_names: Vec<String> = products.iter().map(|product| product.feed_name().to_owned()).collect();
        feed_names.sort();
        feed_names.dedup();
        let mut texts = Self { dir: dir.to_owned(), feed_names, first, read: HashMap::new(), texts: HashMap::new() };
        texts.refresh();
        texts
    }

    /// Reads what was added to the files since. A file that cannot be read has no texts.
    pub(crate) fn refresh(&mut self) {
        let Some(first) = self.first else { return };
        for (_, path) in journal::files(&self.dir, EXACT_TEXTS).into_iter().filter(|(date, _)| *date >= first) {
            let read = self.read.get(&path).copied().unwrap_or(0);
            let Ok(length) = std::fs::metadata(&path).map(|found| found.len()) else { continue };
            if length == read {
                continue;
            }
            // A file that has become shorter was begun anew.
            let from = if length < read { 0 } else { read };
            let mut bytes = Vec::new();
            let opened = open_plain(&path).and_then(|mut file| {
                file.seek(SeekFrom::Start(from))?;
                file.read_to_end(&mut bytes)
            });
            // A line without its end is still being written.
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if opened.is_err() || whole == 0 {
                continue;
            }
            for line in bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
                self.add(line);
            }
            self.read.insert(path, from + whole as u64);
        }
    }

    fn add(&mut self, line: &str) {
        if !(line.starts_with('{') && line.ends_with('}')) {
            return;
        }
        let Ok(Line { event: Some(Event::Exact { product, column, key, text }), .. }) = Line::parse(line.to_owned()) else { return };
        let is_asked = self.feed_names.iter().any(|name| name == product.feed_name());
        let (Ok(nearest), Some(digits), true) = (text.parse(), decimal::plain(&text), is_asked) else { return };
        let text = Text { feed_name: product.feed_name().to_owned(), column: column.into_owned(), nearest, digits };
        let known = self.texts.entry(key).or_default();
        let alike = known.iter().filter(|other| (&other.feed_name, &other.column) == (&text.feed_name, &text.column)).count();
        if alike < MAX_TEXTS && !known.contains(&text) {
            known.push(text);
        }
    }

    /// Tells whether there are no texts.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Finds the text of a column of the product's record with this key, if it is a text of the stored value.
    #[must_use]
    pub(crate) fn find(&self, product: &ProductId, column: &str, key: u64, stored: f64) -> Option<&str> {
        let known = self.texts.get(&key)?;
        let is_it =
            |text: &&Text| text.nearest.to_bits() == stored.to_bits() && text.column == column && text.feed_name == product.feed_name();
        known.iter().find(is_it).map(|text| text.digits.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OWN_FOLDER;

    const STORED: f64 = 0.123_456_789_012_345_68;

    fn line(product: &str, key: u64, column: &str, text: &str) -> String {
        format!(
            "{{\"time\":\"2025-06-08T00:00:00Z\",\"event\":\"exact\",\"product\":\"{product}\",\"column\":\"{column}\",\"key\":{key},\"text\":\"{text}\"}}\n"
        )
    }

    fn product(name: &str) -> ProductId {
        ProductId::new(name).expect("a product")
    }

    /// A folder whose exact texts of a day are these, and what is read of them.
    fn read(products: &[&str], date: &str, text: &str) -> (tempfile::TempDir, PathBuf, ExactTexts) {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join(OWN_FOLDER)).expect("made");
        let path = dir.path().join(OWN_FOLDER).join(format!("exact.{date}.jsonl"));
        std::fs::write(&path, text).expect("written");
        let products: Vec<ProductId> = products.iter().map(|name| product(name)).collect();
        let texts = ExactTexts::read(dir.path(), &products, Some(UtcDay::parse("2025-06-07").expect("a day")));
        (dir, path, texts)
    }

    #[test]
    fn a_text_is_found_where_it_is_a_text_of_the_stored_value() {
        let column = "trade_price_f64";
        let lines = [
            line("BTC-USD", 1, column, "0.12345678901234567890"),
            line("ETH-USD", 2, column, "0.12345678901234567890"),
            line("BTC-USD", 3, column, "1e5"),
        ];
        let (_dir, _, texts) = read(&["BTC-USD"], "2025-12-24", &lines.concat());
        let btc = product("BTC-USD");
        assert_eq!(texts.find(&btc, column, 1, STORED), Some("0.12345678901234567890"));
        assert_eq!(texts.find(&product("BTC-USD~2"), column, 1, STORED), Some("0.12345678901234567890"));
        assert_eq!(texts.find(&btc, column, 1, 0.2), None);
        assert_eq!(texts.find(&btc, "trade_size_f64", 1, STORED), None);
        assert_eq!(texts.find(&product("ETH-USD"), column, 2, STORED), None, "it was not asked for");
        assert_eq!(texts.find(&btc, column, 3, 1e5), Some("100000"));
        let (_dir, _, texts) = read(&["BTC-USD"], "2025-06-06", &lines.concat());
        assert!(texts.is_empty(), "the file of a day before the first one is not read");
    }

    #[test]
    fn two_products_may_have_texts_of_one_key() {
        let column = "trade_price_f64";
        let lines = [line("BTC-USD", 1, column, "0.12345678901234567890"), line("ETH-USD", 1, column, "0.123456789012345678901")];
        let (_dir, _, texts) = read(&["BTC-USD", "ETH-USD"], "2025-06-07", &lines.concat());
        assert_eq!(texts.find(&product("BTC-USD"), column, 1, STORED), Some("0.12345678901234567890"));
        assert_eq!(texts.find(&product("ETH-USD"), column, 1, STORED), Some("0.123456789012345678901"));
    }

    #[test]
    fn the_text_of_a_refused_record_does_not_hide_that_of_the_stored_one() {
        let sent = ["0.12345678901234567890", "0.98765432109876543210", "1.2345678901234567890e-5"];
        let text: String = sent.iter().map(|text| line("BTC-USD", 7, "trade_size_f64", text)).collect();
        let (_dir, _, texts) = read(&["BTC-USD"], "2025-06-08", &text);
        for (text, shown) in sent.iter().zip(["0.12345678901234567890", "0.98765432109876543210", "0.000012345678901234567890"]) {
            assert_eq!(texts.find(&product("BTC-USD"), "trade_size_f64", 7, text.parse().expect("a number")), Some(shown));
        }
    }

    #[test]
    fn what_is_added_later_is_found_after_a_refresh_and_half_a_line_is_read_when_it_is_whole() {
        let column = "trade_price_f64";
        let (first, second) = (line("BTC-USD", 1, column, "0.12345678901234567890"), line("BTC-USD", 2, column, "0.12345678901234567890"));
        let (begun, rest) = second.split_at(40);
        let (_dir, path, mut texts) = read(&["BTC-USD"], "2025-06-08", &format!("{first}{begun}"));
        let btc = product("BTC-USD");
        let found = |texts: &ExactTexts| [1, 2].map(|key| texts.find(&btc, column, key, STORED).is_some());
        assert_eq!(found(&texts), [true, false]);
        std::fs::write(&path, format!("{first}{begun}{rest}")).expect("written");
        assert_eq!(found(&texts), [true, false]);
        texts.refresh();
        assert_eq!(found(&texts), [true, true]);
    }
}
