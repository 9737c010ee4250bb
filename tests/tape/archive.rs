//! `archive` and `restore`: a day that comes back is the one that went, byte for byte; at every moment it is here or in the archive; and everybody who reads
//! says so of a day that is not here.

mod damaged;
mod elsewhere;
mod ended;
mod equal;
mod meanwhile;
mod vouched;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use coltape::internals::store::StoreOptions;
use coltape::internals::time::{UnixNanos, UtcDay};

use crate::capture::programs::coltape;
use crate::market::{FIRST_DAY, Print, prints, store_all};

const SECOND: u64 = 1_000_000_000;

/// Gives the bytes of every file of the products, by path.
fn files(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![data.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("_coltape") {
                folders.push(path);
            } else if path.is_file() {
                found.insert(path.strip_prefix(data).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Gives those of one day.
fn files_of(data: &Path, date: UtcDay) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = files(data);
    found.retain(|path, _| path.to_string_lossy().contains(&format!(".{date}.bin")));
    found
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `archive` or `restore`.
fn run(command: &str, data: &Path, args: &[&str]) -> Output {
    coltape().arg(command).arg("--data-dir").arg(data).args(args).output().unwrap()
}

/// Runs it, and gives the last line that was said.
fn done(command: &str, data: &Path, args: &[&str]) -> String {
    let output = run(command, data, args);
    assert!(output.status.success(), "{command} {args:?}: {}", said(&output));
    said(&output).lines().last().unwrap().to_owned()
}

/// Runs it where it must fail, and gives all that was said.
fn refused(command: &str, data: &Path, args: &[&str]) -> String {
    let output = run(command, data, args);
    assert_eq!(output.status.code(), Some(1), "{command} {args:?}: {}", said(&output));
    said(&output)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The day after so many others.
fn day(number: u32) -> UtcDay {
    UtcDay(FIRST_DAY.0 + number)
}

/// Trades of some days that follow each other, from id 1 on: all days but the last are whole.
fn market(days: u32, trades_a_day: u64) -> Vec<Print> {
    let step = 86_000 * SECOND / trades_a_day;
    let of_day = |number: u32| {
        let start = UnixNanos(day(number).start().0 + SECOND);
        prints(1 + u64::from(number) * trades_a_day, trades_a_day, start, step)
    };
    (0..days).flat_map(of_day).collect()
}

/// Stores such a market.
fn tape(data: &Path, days: u32, trades_a_day: u64) {
    store_all(data, &market(days, trades_a_day), StoreOptions::default());
}
