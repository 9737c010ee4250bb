//! [`KeptKnowledge`]: what the files of `_coltape` tell, read once and kept until a file changes.
//!
//! 1. A file is taken for the same where its path, inode, length and time of change are. They are looked at before it is read: what comes meanwhile is
//!    read the next time.
//! 2. Journals of days that are over stay as they are. So their state is kept, and only the newest journal is read again when it has grown. Of the other
//!    files each is kept by itself.
//! 3. The last line of a file may just be being written. A journal that seems to be cut off and has changed meanwhile is read again, a few times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::damaged_lines::{DamagedLines, LINES_BESIDE};
use super::journal::Journal;
use super::product::History;
use super::rejected::RejectedTrades;
use crate::product::ProductId;
use crate::store::journal::{self, JOURNAL, REJECTS};
use crate::store::own_file::FileStamp;
use crate::time::UtcDay;

/// How often a journal is read whose last line is being written.
const MAX_READS: usize = 4;
/// Products whose part of the journal is kept by itself.
const MAX_PRODUCTS: usize = 4096;

/// All that the files of `_coltape` tell.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    /// The journal.
    pub(crate) journal: Journal,
    /// Trades that came and could not be used.
    pub(crate) rejected: RejectedTrades,
    /// What the journal says of those products that were asked for.
    products: Mutex<BTreeMap<ProductId, Arc<History>>>,
}

impl Knowledge {
    /// Reads the files of a data directory.
    #[must_use]
    pub(crate) fn read(dir: &Path) -> Self {
        Self { journal: Journal::read(dir), rejected: RejectedTrades::read(dir), products: Mutex::default() }
    }

    /// Gives what the journal says of a product.
    #[must_use]
    pub(crate) fn of(&self, product: &ProductId) -> Arc<History> {
        let mut products = self.products.lock();
        if let Some(history) = products.get(product) {
            return Arc::clone(history);
        }
        let history = Arc::new(self.journal.of(product));
        if products.len() < MAX_PRODUCTS {
            products.insert(product.clone(), Arc::clone(&history));
        }
        history
    }
}

/// The same, kept.
#[derive(Debug, Default)]
pub(crate) struct KeptKnowledge {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The files that it was read from.
    files: Vec<FileStamp>,
    knowledge: Option<Arc<Knowledge>>,
    /// The journals before the newest one, and what they come to.
    older: (Vec<FileStamp>, Journal),
    beside: BTreeMap<PathBuf, Beside>,
}

/// What one of the files beside the journal tells.
#[derive(Debug)]
struct Beside {
    stamp: FileStamp,
    damage: DamagedLines,
    rejected: RejectedTrades,
}

/// A file of a day.
struct DayFile {
    name: &'static str,
    date: UtcDay,
    path: PathBuf,
    stamp: FileStamp,
}

impl KeptKnowledge {
    /// Gives what the files tell now. Reads those that have changed since the last call.
    #[must_use]
    pub(crate) fn now(&self, dir: &Path) -> Arc<Knowledge> {
        let mut kept = self.kept.lock();
        for _ in 1..MAX_READS {
            let knowledge = kept.read(dir);
            if knowledge.journal.torn == 0 || kept.files == stamps(&files(dir)) {
                return knowledge;
            }
        }
        kept.read(dir)
    }
}

impl Kept {
    fn read(&mut self, dir: &Path) -> Arc<Knowledge> {
        let files = files(dir);
        let stamps = stamps(&files);
        if let Some(knowledge) = self.knowledge.as_ref().filter(|_| self.files == stamps) {
            return Arc::clone(knowledge);
        }
        let (journals, beside): (Vec<DayFile>, Vec<DayFile>) = files.into_iter().partition(|file| file.name == JOURNAL);
        self.read_beside(beside);
        let journal = self.read_journals(&journals).finish(dir, self.beside.values().map(|file| &file.damage));
        let rejected = RejectedTrades::joined(self.beside.values().map(|file| &file.rejected));
        let knowledge = Arc::new(Knowledge { journal, rejected, products: Mutex::default() });
        (self.files, self.knowledge) = (stamps, Some(Arc::clone(&knowledge)));
        knowledge
    }

    fn read_journals(&mut self, journals: &[DayFile]) -> Journal {
        let Some((newest, older)) = journals.split_last() else { return Journal::default() };
        let older_stamps = stamps(older);
        if self.older.0 != older_stamps {
            let mut journal = Journal::default();
            older.iter().for_each(|file| journal.read_day(file.date, &file.path));
            self.older = (older_stamps, journal);
        }
        let mut journal = self.older.1.clone();
        journal.read_day(newest.date, &newest.path);
        journal
    }

    fn read_beside(&mut self, files: Vec<DayFile>) {
        let mut before = std::mem::take(&mut self.beside);
        for file in files {
            let found = before.remove(&file.path).filter(|kept| kept.stamp == file.stamp).unwrap_or_else(|| Beside {
                stamp: file.stamp.clone(),
                damage: DamagedLines::read(file.name, file.date, &file.path),
                rejected: if file.name == REJECTS { RejectedTrades::read_day(&file.path) } else { RejectedTrades::default() },
            });
            self.beside.insert(file.path, found);
        }
    }
}

/// Lists the journals, oldest first, and the files beside them.
fn files(dir: &Path) -> Vec<DayFile> {
    let of_name = |name: &'static str| {
        let file = move |(date, path): (UtcDay, PathBuf)| DayFile { name, date, stamp: FileStamp::of(&path), path };
        journal::files(dir, name).into_iter().map(file)
    };
    [JOURNAL].into_iter().chain(LINES_BESIDE).flat_map(of_name).collect()
}

fn stamps(files: &[DayFile]) -> Vec<FileStamp> {
    files.iter().map(|file| file.stamp.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OWN_FOLDER;

    const PRODUCT: &str = "BTC-USD";

    fn append(dir: &Path, name: &str, text: &str) {
        let path = dir.join(OWN_FOLDER).join(name);
        let mut file = std::fs::File::options().append(true).create(true).open(path).expect("opened");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("written");
    }

    fn conflict(hour: u32, id: u64) -> String {
        format!(r#"{{"time":"2025-06-0{}T10:00:00Z","event":"conflict","product":"{PRODUCT}","trade_id":{id}}}"#, 1 + hour / 24) + "\n"
    }

    /// What is told, in words that can be compared.
    fn told(knowledge: &Knowledge) -> String {
        let product = ProductId::new(PRODUCT).expect("a product");
        let none = History::default();
        let rejected = knowledge.rejected.added_to(&none, &product, []);
        format!("{:?} {:?} {:?}", knowledge.journal, knowledge.of(&product), rejected.named)
    }

    #[test]
    fn what_is_kept_is_what_a_fresh_look_finds_whatever_happens_to_the_files() {
        let dir = tempfile::tempdir().expect("a folder");
        let own = dir.path().join(OWN_FOLDER);
        std::fs::create_dir(&own).expect("made");
        let kept = KeptKnowledge::default();
        let same = || assert_eq!(told(&kept.now(dir.path())), told(&Knowledge::read(dir.path())));
        same();
        append(dir.path(), "journal.2025-06-01.jsonl", &conflict(0, 1));
        same();
        append(dir.path(), "journal.2025-06-02.jsonl", &conflict(24, 2));
        same();
        let before = kept.now(dir.path());
        assert!(Arc::ptr_eq(&before, &kept.now(dir.path())), "nothing has changed");
        // The newest one grows, a line is cut off, and it goes on.
        append(dir.path(), "journal.2025-06-02.jsonl", &conflict(24, 3));
        assert!(!Arc::ptr_eq(&before, &kept.now(dir.path())), "it has grown");
        same();
        append(dir.path(), "journal.2025-06-02.jsonl", r#"{"time":"2025-06-02T10:00:00Z","ev"#);
        same();
        assert_eq!(kept.now(dir.path()).journal.torn, 1);
        append(dir.path(), "journal.2025-06-03.jsonl", &conflict(48, 4));
        same();
        // An older one changes, another is removed.
        append(dir.path(), "journal.2025-06-01.jsonl", "junk}\n");
        same();
        assert_eq!(kept.now(dir.path()).journal.unreadable, 1);
        std::fs::remove_file(own.join("journal.2025-06-02.jsonl")).expect("removed");
        same();
        // Rejected trades that go on from each other, and a line that is damaged.
        for id in 7..=9 {
            let raw = format!(r#"{{\"type\":\"match\",\"trade_id\":{id},\"product_id\":\"{PRODUCT}\"}}"#);
            let line = format!(r#"{{"time":"2025-06-03T11:00:00Z","event":"reject","reason":"implausible_time","raw":"{raw}"}}"#);
            append(dir.path(), "rejects.2025-06-03.jsonl", &(line + "\n"));
            same();
        }
        assert!(told(&kept.now(dir.path())).contains("first: 7"), "{}", told(&kept.now(dir.path())));
        append(dir.path(), "exact.2025-06-03.jsonl", "junk}\n");
        same();
        std::fs::remove_dir_all(&own).expect("removed");
        same();
    }
}
