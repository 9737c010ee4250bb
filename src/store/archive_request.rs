//! [`ArchiveRequest`] and [`ArchiveAnswer`]: how `coltape archive` and `coltape restore` ask the capture that holds a directory to remove the files of
//! archived days, or to put them back.
//!
//! Two files in `_coltape/`, as for repairs ([`super::request`]):
//!
//! - `archive-request.json`: `{"id":N,"act":"remove"|"put_back","product":"BTC-USD","days":[{"dataset":"trades","date":"2025-06-07"},…]}`.
//! - `archive-answer-N.json`: `{"id":N,"done":[0,1,…],"failed":["why",…]}`, by the places of the days in the request.
//!
//! What the files of a day are the capture reads itself, where all read it ([`super::archived`]): a request names days and nothing else.

use std::path::{Path, PathBuf};

use rustix::fs::RenameFlags;
use simd_json::prelude::*;

use super::error::{At, StoreError};
use super::place::OWN_FOLDER;
use super::request::{quoted, read, take, write_whole};
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::time::UtcDay;

/// What is to be done with the files of archived days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Remove them.
    Remove,
    /// Give them their names.
    PutBack,
}

impl Act {
    const fn name(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::PutBack => "put_back",
        }
    }
}

/// What a capture is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArchiveRequest {
    /// Names the answer. Whoever asks makes it unique.
    pub(crate) id: u64,
    pub(crate) act: Act,
    pub(crate) product: ProductId,
    pub(crate) days: Vec<(Dataset, UtcDay)>,
}

/// What a capture answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArchiveAnswer {
    pub(crate) id: u64,
    /// The places of the days that it is done with.
    pub(crate) done: Vec<usize>,
    /// Why others are not done, in lines for people.
    pub(crate) failed: Vec<String>,
}

impl ArchiveRequest {
    /// Writes the request for the capture that holds `dir`.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another request waits; where a system call fails.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let day = |(dataset, date): &(Dataset, UtcDay)| format!("{{\"dataset\":\"{}\",\"date\":\"{date}\"}}", dataset.name());
        let days: Vec<String> = self.days.iter().map(day).collect();
        let text = format!(
            "{{\"id\":{},\"act\":\"{}\",\"product\":{},\"days\":[{}]}}\n",
            self.id,
            self.act.name(),
            quoted(self.product.as_str()),
            days.join(",")
        );
        write_whole(&request_path(dir), self.id, &text, RenameFlags::NOREPLACE)
    }

    /// Takes the waiting request, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where the file is no request; it is removed all the same. Where a system call fails.
    pub(crate) fn take(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = request_path(dir);
        let Some(mut text) = take(&path)? else { return Ok(None) };
        Self::read(&mut text).map(Some).ok_or_else(|| StoreError::damaged(&path, "it is no request"))
    }

    /// Removes the request if nobody has taken it. Tells whether it was still there.
    ///
    /// # Errors
    /// Where a system call fails.
    pub(crate) fn withdraw(&self, dir: &Path) -> Result<bool, StoreError> {
        let path = request_path(dir);
        let Some(mut text) = read(&path)? else { return Ok(false) };
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
        let day = |value: &simd_json::BorrowedValue<'_>| {
            let dataset = Dataset::ALL.into_iter().find(|dataset| Some(dataset.name()) == value.get_str("dataset"))?;
            Some((dataset, UtcDay::parse(value.get_str("date")?).ok()?))
        };
        Some(Self {
            id: value.get_u64("id")?,
            act: [Act::Remove, Act::PutBack].into_iter().find(|act| Some(act.name()) == value.get_str("act"))?,
            product: ProductId::new(value.get_str("product")?).ok()?,
            days: value.get_array("days")?.iter().map(day).collect::<Option<_>>()?,
        })
    }
}

impl ArchiveAnswer {
    /// Writes the answer.
    ///
    /// # Errors
    /// Where a system call fails.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let done: Vec<String> = self.done.iter().map(ToString::to_string).collect();
        let failed: Vec<String> = self.failed.iter().map(|line| quoted(line)).collect();
        let text = format!("{{\"id\":{},\"done\":[{}],\"failed\":[{}]}}\n", self.id, done.join(","), failed.join(","));
        write_whole(&answer_path(dir, self.id), self.id, &text, RenameFlags::empty())
    }

    /// Takes the answer to request `id`, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where the file is no answer; it is removed all the same. Where a system call fails.
    pub(crate) fn take(dir: &Path, id: u64) -> Result<Option<Self>, StoreError> {
        let path = answer_path(dir, id);
        let Some(mut text) = take(&path)? else { return Ok(None) };
        let answer = simd_json::to_borrowed_value(&mut text).ok().and_then(|value| {
            Some(Self {
                id: value.get_u64("id").filter(|found| *found == id)?,
                done: value.get_array("done")?.iter().map(|place| usize::try_from(place.as_u64()?).ok()).collect::<Option<_>>()?,
                failed: value.get_array("failed")?.iter().map(|line| line.as_str().map(str::to_owned)).collect::<Option<_>>()?,
            })
        });
        answer.map(Some).ok_or_else(|| StoreError::damaged(&path, "it is no answer"))
    }
}

fn request_path(dir: &Path) -> PathBuf {
    dir.join(OWN_FOLDER).join("archive-request.json")
}

fn answer_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(OWN_FOLDER).join(format!("archive-answer-{id}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_and_answer_come_back_as_they_were_and_others_are_none() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join(OWN_FOLDER)).expect("made");
        let product = ProductId::new("BTC-USD").expect("a product");
        let request =
            ArchiveRequest { id: 7, act: Act::PutBack, product, days: vec![(Dataset::Md, UtcDay(5)), (Dataset::Trades, UtcDay(6))] };
        request.write(dir.path()).expect("written");
        assert!(matches!(request.write(dir.path()), Err(StoreError::InUse { .. })));
        assert_eq!(ArchiveRequest::take(dir.path()).expect("read"), Some(request.clone()));
        assert!(!request.withdraw(dir.path()).expect("looked"));
        let answer = ArchiveAnswer { id: 7, done: vec![1], failed: vec!["\"x\"".to_owned()] };
        answer.write(dir.path()).expect("written");
        assert_eq!(ArchiveAnswer::take(dir.path(), 8).expect("looked"), None);
        assert_eq!(ArchiveAnswer::take(dir.path(), 7).expect("read"), Some(answer));
        for text in
            ["", "{}", r#"{"id":1,"act":"burn","product":"BTC-USD","days":[]}"#, r#"{"id":1,"act":"remove","product":"../x","days":[]}"#]
        {
            std::fs::write(request_path(dir.path()), text).expect("written");
            assert!(matches!(ArchiveRequest::take(dir.path()), Err(StoreError::Damaged { .. })), "{text}");
        }
    }
}
