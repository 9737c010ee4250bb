//! [`Manifest`]: what the files of an exported data set are of, in `_coltape_export.json` beside them. It outlives the columns.
//!
//! 1. Every file that it names is there and is what it says: records, bytes, checksum, verdict, ids. A file that it does not name counts as nothing.
//! 2. Before files are replaced it is replaced by one that does not name them, and afterwards by one that does. So rule 1 holds at every moment.
//! 3. What is read from it is not trusted: a path that leads out of the folder makes it unreadable.
//! 4. One line a file, so that it can be read with line tools, too.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use simd_json::prelude::*;

use super::error::{At, ExportError};
use super::fixed::Precision;
use crate::json::Object;
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;

/// The manifest's name.
pub(super) const NAME: &str = "_coltape_export.json";
/// The version of its layout.
const LAYOUT: u64 = 1;
/// What the facts of a file call the decimals of its prices, where its format fixes them.
pub(super) const PRICE_DECIMALS: &str = "price_decimals";
/// What they call those of its sizes.
pub(super) const SIZE_DECIMALS: &str = "size_decimals";
/// The largest manifest that is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// Which file of a data set: of which product, of what, of which day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileKey {
    /// The product.
    pub product: String,
    /// What it holds, as its format calls it: `trades`, `md`.
    pub content: String,
    /// The day.
    pub date: UtcDay,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it lies, below the folder of the data set.
    pub path: PathBuf,
    /// Its records.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// CRC32C of its bytes.
    pub crc: u32,
    /// When it was written, by the file system, in nanoseconds since the epoch.
    pub modified: i64,
    /// The event times that were asked for, where the file may hold only a part of the day.
    pub part: TimeRange,
    /// What decides about its bytes: source, verdict, options, version.
    pub fingerprint: String,
    /// What is known of the day, as members of a JSON object: verdict, reasons, ids, missing, increments, source.
    pub facts: String,
}

impl Entry {
    fn json(&self, key: &FileKey) -> String {
        let path = self.path.to_string_lossy();
        let object = Object::default().text("path", &path).text("product", &key.product).text("dataset", &key.content);
        let object = object.text("date", &key.date.to_string()).plain("rows", self.rows).plain("bytes", self.bytes);
        let object = object.text("crc32c", &format!("{:08x}", self.crc)).plain("modified_ns", self.modified);
        let object = object.optional("from_ns", self.part.from.map(|time| time.0)).optional("to_ns", self.part.to.map(|time| time.0));
        object.text("fingerprint", &self.fingerprint).raw("facts", &self.facts).done()
    }
}

impl Entry {
    /// Gives the stored days that the file was made of: the name of the dataset, and the day.
    pub(super) fn sources(&self) -> Vec<(String, UtcDay)> {
        let mut text = self.facts.clone().into_bytes();
        let Ok(facts) = simd_json::to_borrowed_value(&mut text) else { return Vec::new() };
        let source = |source: &simd_json::BorrowedValue<'_>| {
            let date = UtcDay::parse(source.get("date")?.as_str()?).ok()?;
            Some((source.get("dataset")?.as_str()?.to_owned(), date))
        };
        facts.get("sources").and_then(|sources| sources.as_array()).into_iter().flatten().filter_map(source).collect()
    }

    /// Gives the decimals of the file's numbers, where its format fixes them.
    pub(super) fn precision(&self) -> Precision {
        let mut text = self.facts.clone().into_bytes();
        let Ok(facts) = simd_json::to_borrowed_value(&mut text) else { return Precision::default() };
        let decimals = |name: &str| facts.get(name).and_then(ValueAsScalar::as_u8).unwrap_or(0);
        Precision { price: decimals(PRICE_DECIMALS), size: decimals(SIZE_DECIMALS) }
    }
}

/// The manifest of a data set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The format of the files.
    pub format: String,
    /// The files.
    pub files: BTreeMap<FileKey, Entry>,
}

impl Manifest {
    /// Begins a manifest of no file.
    pub(super) fn new(format: &str) -> Self {
        Self { format: format.to_owned(), files: BTreeMap::new() }
    }

    /// Reads the manifest of a folder. Gives nothing where there is none.
    ///
    /// # Errors
    /// Where it cannot be read, or is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, ExportError> {
        let path = folder.join(NAME);
        let length = match std::fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at("look at", &path),
        };
        let bad = |why: &str| ExportError::Manifest { path: path.clone(), why: why.to_owned() };
        if length > MAX_BYTES {
            return Err(bad("it is larger than any manifest"));
        }
        let mut text = std::fs::read(&path).at("read", &path)?;
        Self::parse(&mut text).map(Some).map_err(|why| bad(why.0))
    }

    fn parse(text: &mut [u8]) -> Result<Self, NoManifest> {
        let value = simd_json::to_borrowed_value(text).map_err(|_| NoManifest("it is no JSON"))?;
        let layout =
            value.get("coltape_export").and_then(|layout| layout.as_u64()).ok_or(NoManifest("it is not the manifest of an export"))?;
        if layout != LAYOUT {
            return Err(NoManifest("it is of another version of coltape"));
        }
        let format = value.get("format").and_then(|format| format.as_str()).ok_or(NoManifest("it names no format"))?.to_owned();
        let files = value.get("files").and_then(|files| files.as_array()).ok_or(NoManifest("it has no list of files"))?;
        let files = files.iter().map(|file| entry_of(file).ok_or(NoManifest("one of its files is not described as it should be")));
        Ok(Self { format, files: files.collect::<Result<_, _>>()? })
    }

    /// Gives the manifest as text.
    pub(super) fn text(&self, written: UnixNanos) -> String {
        let head = Object::default().plain("coltape_export", LAYOUT).text("version", env!("CARGO_PKG_VERSION"));
        let mut text = head.text("format", &self.format).text("written", &written.to_string()).done();
        // The object is left open for the list.
        text.pop();
        text.push_str(",\"files\":[");
        for (at, (key, entry)) in self.files.iter().enumerate() {
            text.push_str(if at == 0 { "\n" } else { ",\n" });
            text.push_str(&entry.json(key));
        }
        text.push_str("\n]}\n");
        text
    }
}

/// Why a text is no manifest.
struct NoManifest(&'static str);

fn entry_of(file: &simd_json::BorrowedValue<'_>) -> Option<(FileKey, Entry)> {
    let text = |name: &str| file.get(name).and_then(|value| value.as_str());
    let number = |name: &str| file.get(name).and_then(|value| value.as_u64());
    let key =
        FileKey { product: text("product")?.to_owned(), content: text("dataset")?.to_owned(), date: UtcDay::parse(text("date")?).ok()? };
    let path = PathBuf::from(text("path")?);
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_))) && path.components().next().is_some();
    let entry = Entry {
        path: Some(path).filter(|_| is_inside)?,
        rows: number("rows")?,
        bytes: number("bytes")?,
        crc: u32::from_str_radix(text("crc32c")?, 16).ok()?,
        modified: file.get("modified_ns")?.as_i64()?,
        part: TimeRange { from: number("from_ns").map(UnixNanos), to: number("to_ns").map(UnixNanos) },
        fingerprint: text("fingerprint")?.to_owned(),
        facts: simd_json::to_string(file.get("facts").filter(|facts| facts.is_object())?).ok()?,
    };
    Some((key, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(path: &str) -> Manifest {
        let key = FileKey { product: "BTC-USD".to_owned(), content: "trades".to_owned(), date: UtcDay(20_000) };
        let facts = "{\"verdict\":\"open\",\"ids\":[[1,5],[9,18446744073709551615]]}".to_owned();
        let entry = Entry {
            path: path.into(),
            rows: 7,
            bytes: 1 << 40,
            crc: 0xdead_beef,
            modified: -5,
            part: TimeRange { from: None, to: Some(UnixNanos(u64::MAX)) },
            fingerprint: "sealed \"1\"".to_owned(),
            facts,
        };
        Manifest { format: "parquet".to_owned(), files: [(key, entry)].into() }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(Manifest::read(dir.path()).expect("read"), None);
        for written in [manifest("dataset=trades/part-0.parquet"), Manifest::new("csv")] {
            std::fs::write(dir.path().join(NAME), written.text(UnixNanos(7))).expect("written");
            assert_eq!(Manifest::read(dir.path()).expect("read"), Some(written));
        }
    }

    #[test]
    fn a_manifest_that_is_cut_foreign_or_leads_out_of_the_folder_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let whole = manifest("dataset=trades/part-0.parquet").text(UnixNanos(7));
        let bad = [&whole[..whole.len() - 4], "", "[]", "{\"coltape_export\":2}", &whole.replace("\"bytes\"", "\"b\"")].map(str::to_owned);
        let out = ["../other", "/etc/passwd", "a/../../b", ""].map(|path| manifest(path).text(UnixNanos(7)));
        for text in bad.into_iter().chain(out) {
            std::fs::write(dir.path().join(NAME), &text).expect("written");
            assert!(matches!(Manifest::read(dir.path()), Err(ExportError::Manifest { .. })), "{text}");
        }
    }
}
