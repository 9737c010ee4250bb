//! [`DamagedLines`]: what is wrong with the files of lines beside the journal: rejects, and exact texts.

use std::path::Path;

use crate::store::event::Line;
use crate::store::journal::{self, EXACT_TEXTS, REJECTS};
use crate::time::UtcDay;

/// The files of lines beside the journal.
pub(crate) const LINES_BESIDE: [&str; 2] = [REJECTS, EXACT_TEXTS];
/// Damaged lines of a file that are kept with their words.
const MAX_FAULTS: usize = 1000;

/// What is wrong with the lines of one of the files beside the journal. What its lines say is not needed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DamagedLines {
    pub(super) date: UtcDay,
    pub(super) is_torn: bool,
    /// The place of each damaged line, and what is wrong with it.
    pub(super) lines: Vec<(String, String)>,
    /// Damaged lines beyond those kept.
    pub(super) more: u64,
    pub(super) error: Option<String>,
}

impl DamagedLines {
    /// Looks for damaged lines in a file of a name.
    pub(crate) fn read(name: &str, date: UtcDay, path: &Path) -> Self {
        let mut found = Self { date, is_torn: false, lines: Vec::new(), more: 0, error: None };
        let mut number = 0_u64;
        let read = journal::read_raw(path, |line| {
            number += 1;
            if line.is_empty() {
                return;
            }
            match Line::parse(line) {
                Ok(Line { fault: Some(fault), .. }) => found.add(name, number, &fault.to_string()),
                Ok(_) => {}
                // Which line a process began with cannot be seen here.
                Err(_) if line.contains(&0) || line.last() != Some(&b'}') => found.is_torn = true,
                Err(error) => found.add(name, number, &error.to_string()),
            }
        });
        found.error = read.err().map(|error| error.to_string());
        found
    }

    fn add(&mut self, name: &str, number: u64, why: &str) {
        if self.lines.len() < MAX_FAULTS {
            self.lines.push((format!("line {number} of {name}.{}.jsonl", self.date), why.to_owned()));
        } else {
            self.more += 1;
        }
    }
}
