//! [`RepairRequest`] and [`RepairAnswer`]: how `coltape repair` asks the capture that holds a directory to repair it.
//!
//! Two files in `_coltape/`. Each is one JSON object, written under another name and then renamed, so that nobody reads half of it:
//!
//! - `repair-request.json`: `{"id":N,"from":["/other/tape",…],"product":"BTC-USD"|null,"rest":true|false}`. `coltape repair` writes it and waits.
//! - `repair-answer-N.json`: `{"id":N,"whole":true|false,"error":null|"why","lines":["…",…]}`. The capture writes it when it is done.
//!
//! 1. There is one request at a time. A waiting one is never overwritten ([`StoreError::InUse`]).
//! 2. Taking a request or an answer removes its file. Whoever wrote a request withdraws it when nobody has taken it.
//! 3. Paths are absolute: the two programs may run in different folders.
//! 4. A file that is no request is removed and reported, and nothing is done because of it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use simd_json::prelude::*;

use super::error::{At, StoreError};
use super::place::OWN_FOLDER;
use crate::product::ProductId;

/// Most bytes of either file.
const MAX_BYTES: u64 = 16 << 20;

/// What a capture is asked to repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairRequest {
    /// Names the answer. Whoever asks makes it unique.
    pub id: u64,
    /// Folders of other tapes to take missing trades from, in this order; absolute paths.
    pub from: Vec<PathBuf>,
    /// The only product to repair; `None` = all.
    pub product: Option<ProductId>,
    /// Whether REST is asked for what is still missing then.
    pub rest: bool,
}

/// What a capture answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairAnswer {
    /// The id of the request.
    pub id: u64,
    /// Whether nothing is missing and nothing differs.
    pub whole: bool,
    /// Why the repair could not be done.
    pub error: Option<String>,
    /// What was done, in lines for people.
    pub lines: Vec<String>,
}

impl RepairRequest {
    /// Writes the request for the capture that holds `dir`.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another request waits; [`StoreError::Damaged`] where a path is not absolute or not UTF-8; where a system call fails.
    pub fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let from = self.from.iter().map(|path| path.to_str().filter(|_| path.is_absolute()).map(quoted));
        let unusable_path = || StoreError::damaged(&request_path(dir), "it cannot name a path that is not absolute, or no UTF-8");
        let from = from.collect::<Option<Vec<String>>>().ok_or_else(unusable_path)?.join(",");
        let product = self.product.as_ref().map_or_else(|| "null".to_owned(), |product| quoted(product.as_str()));
        let text = format!("{{\"id\":{},\"from\":[{from}],\"product\":{product},\"rest\":{}}}\n", self.id, self.rest);
        write_whole(&request_path(dir), self.id, &text, RenameFlags::NOREPLACE)
    }

    /// Takes the waiting request, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where the file is no request; it is removed all the same. Where a system call fails.
    pub fn take(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = request_path(dir);
        let Some(mut text) = take(&path)? else { return Ok(None) };
        match Self::read(&mut text) {
            Some(request) => Ok(Some(request)),
            None => Err(StoreError::damaged(&path, "it is no request")),
        }
    }

    /// Removes the request if nobody has taken it. Tells whether it was still there.
    ///
    /// # Errors
    /// Where a system call fails.
    pub(crate) fn withdraw(&self, dir: &Path) -> Result<bool, StoreError> {
        let path = request_path(dir);
        let mut text = match read(&path)? {
            Some(text) => text,
            None => return Ok(false),
        };
        if Self::read(&mut text).is_none_or(|found| found.id != self.id) {
            return Ok(false);
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            done => done.at("remove", &path).map(|()| true),
        }
    }

    fn read(text: &mut [u8]) -> Option<Self> {
        let value = simd_json::to_borrowed_value(text).ok()?;
        let path = |value: &simd_json::BorrowedValue<'_>| value.as_str().map(PathBuf::from).filter(|path| path.is_absolute());
        let product = match value.get("product") {
            None => None,
            Some(value) if value.is_null() => None,
            Some(value) => Some(ProductId::new(value.as_str()?).ok()?),
        };
        Some(Self {
            id: value.get_u64("id")?,
            from: value.get_array("from")?.iter().map(path).collect::<Option<Vec<PathBuf>>>()?,
            product,
            rest: value.get_bool("rest")?,
        })
    }
}

impl RepairAnswer {
    /// Writes the answer.
    ///
    /// # Errors
    /// Where a system call fails.
    pub fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let lines: Vec<String> = self.lines.iter().map(|line| quoted(line)).collect();
        let error = self.error.as_deref().map_or_else(|| "null".to_owned(), quoted);
        let text = format!("{{\"id\":{},\"whole\":{},\"error\":{error},\"lines\":[{}]}}\n", self.id, self.whole, lines.join(","));
        write_whole(&answer_path(dir, self.id), self.id, &text, RenameFlags::empty())
    }

    /// Takes the answer to request `id`, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where the file is no answer; it is removed all the same. Where a system call fails.
    pub fn take(dir: &Path, id: u64) -> Result<Option<Self>, StoreError> {
        let path = answer_path(dir, id);
        let Some(mut text) = take(&path)? else { return Ok(None) };
        let answer = simd_json::to_borrowed_value(&mut text).ok().and_then(|value| {
            let lines = value.get_array("lines")?.iter().map(|line| line.as_str().map(str::to_owned));
            Some(Self {
                id: value.get_u64("id").filter(|found| *found == id)?,
                whole: value.get_bool("whole")?,
                error: value.get_str("error").map(str::to_owned),
                lines: lines.collect::<Option<Vec<String>>>()?,
            })
        });
        answer.map(Some).ok_or_else(|| StoreError::damaged(&path, "it is no answer"))
    }
}

fn request_path(dir: &Path) -> PathBuf {
    dir.join(OWN_FOLDER).join("repair-request.json")
}

fn answer_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(OWN_FOLDER).join(format!("repair-answer-{id}.json"))
}

pub(super) fn quoted(text: &str) -> String {
    // A string can always be written.
    simd_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

/// Writes a file under another name and renames it.
pub(super) fn write_whole(path: &Path, id: u64, text: &str, how: RenameFlags) -> Result<(), StoreError> {
    let new = path.with_extension(format!("{id}.tmp"));
    std::fs::write(&new, text).at("write", &new)?;
    let renamed = rustix::fs::renameat_with(CWD, &new, CWD, path, how);
    if renamed.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    match renamed {
        Err(rustix::io::Errno::EXIST) => Err(StoreError::InUse { path: path.to_owned() }),
        renamed => renamed.at("rename", &new),
    }
}

pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let mut text = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_BYTES).read_to_end(&mut text).at("read", path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("open", path),
    };
    Ok(Some(text))
}

pub(super) fn take(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(text) = read(path)? else { return Ok(None) };
    match std::fs::remove_file(path) {
        // It was withdrawn meanwhile: nobody waits for it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        done => done.at("remove", path).map(|()| Some(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join(OWN_FOLDER)).expect("made");
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir.join(OWN_FOLDER)).expect("listed");
        let mut names: Vec<String> = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn request(id: u64) -> RepairRequest {
        let product = id.is_multiple_of(2).then(|| ProductId::new("BTC-USD").expect("a product"));
        RepairRequest { id, from: vec!["/a \"b\"/ü\\".into(), "/c".into()], product, rest: id.is_multiple_of(3) }
    }

    #[test]
    fn a_request_is_taken_once_and_never_overwritten() {
        let dir = dir();
        for id in [6, 7] {
            request(id).write(dir.path()).expect("written");
            assert_eq!(names(dir.path()), ["repair-request.json"]);
            assert!(matches!(request(8).write(dir.path()), Err(StoreError::InUse { .. })));
            assert!(!request(8).withdraw(dir.path()).expect("looked"), "another's");
            assert_eq!(RepairRequest::take(dir.path()).expect("read"), Some(request(id)));
            assert_eq!(RepairRequest::take(dir.path()).expect("read"), None);
        }
        request(9).write(dir.path()).expect("written");
        assert!(request(9).withdraw(dir.path()).expect("looked"));
        assert!(!request(9).withdraw(dir.path()).expect("looked"));
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_relative_path_is_not_written() {
        let dir = dir();
        let relative = RepairRequest { from: vec!["other".into()], ..request(1) };
        assert!(matches!(relative.write(dir.path()), Err(StoreError::Damaged { .. })));
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn what_is_no_request_is_removed_and_reported() {
        let dir = dir();
        for text in [
            "",
            "{",
            "{}",
            r#"{"id":1,"from":["a"],"rest":true}"#,
            r#"{"id":-1,"from":[],"rest":true}"#,
            r#"{"id":1,"from":[],"rest":true,"product":"../x"}"#,
        ] {
            std::fs::write(request_path(dir.path()), text).expect("written");
            assert!(matches!(RepairRequest::take(dir.path()), Err(StoreError::Damaged { .. })), "{text}");
            assert_eq!(names(dir.path()), [""; 0]);
        }
    }

    proptest! {
        #[test]
        fn an_answer_comes_back_as_it_was(id: u64, whole: bool, error in prop::option::of(".*"), lines in prop::collection::vec(".*", 0..5)) {
            let dir = dir();
            let answer = RepairAnswer { id, whole, error, lines };
            answer.write(dir.path()).expect("written");
            prop_assert_eq!(RepairAnswer::take(dir.path(), id ^ 1).expect("looked"), None);
            prop_assert_eq!(RepairAnswer::take(dir.path(), id).expect("read"), Some(answer));
            prop_assert_eq!(names(dir.path()), [""; 0]);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let dir = dir();
            std::fs::write(request_path(dir.path()), &bytes).expect("written");
            let _ = RepairRequest::take(dir.path());
            std::fs::write(answer_path(dir.path(), 1), &bytes).expect("written");
            let _ = RepairAnswer::take(dir.path(), 1);
        }
    }
}
