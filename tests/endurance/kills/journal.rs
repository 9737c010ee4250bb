//! The journal of one run: the trade ids that it has named as missing and not yet as filled.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Reads what is added to the journal.
pub(crate) struct Journal {
    folder: PathBuf,
    read: BTreeMap<PathBuf, usize>,
    missing: BTreeMap<String, BTreeSet<u64>>,
}

impl Journal {
    /// Begins after what is there already.
    pub(crate) fn from_now(data: &Path) -> Self {
        let mut journal = Self { folder: data.join("_coltape"), read: BTreeMap::new(), missing: BTreeMap::new() };
        for (path, bytes) in journal.files() {
            journal.read.insert(path, bytes.len());
        }
        journal
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let journals = entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("journal.")));
        journals.filter_map(|path| std::fs::read(&path).ok().map(|bytes| (path, bytes))).collect()
    }

    /// Counts the products that miss a trade now, by the journal.
    pub(crate) fn products_with_gaps(&mut self) -> usize {
        for (path, bytes) in self.files() {
            let read = self.read.entry(path).or_default();
            let new = &bytes[(*read).min(bytes.len())..];
            let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            *read += whole;
            for line in new[..whole].split(|byte| *byte == b'\n') {
                let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
                let (Some(product), Some(from), Some(to)) = (line["product"].as_str(), line["from_id"].as_u64(), line["to_id"].as_u64())
                else {
                    continue;
                };
                let missing = self.missing.entry(product.to_owned()).or_default();
                match line["event"].as_str() {
                    Some("gap_opened") => missing.extend(from..=to),
                    Some("gap_filled") => missing.retain(|id| !(from..=to).contains(id)),
                    _ => {}
                }
            }
        }
        self.missing.values().filter(|ids| !ids.is_empty()).count()
    }
}
