//! Readers that others wrote: pyarrow, Polars, pandas and DuckDB read the answers in their formats, and find what the export has.

use std::path::Path;
use std::process::Command;

use super::{LiveDay, Served, mixed, store_sealed};
use crate::market::{FIRST_DAY, prints};
use crate::programs::coltape;

#[test]
fn every_reader_reads_every_value_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    store_sealed(&tape, &mixed(4_000));
    let third = FIRST_DAY.next().next();
    let mut live = LiveDay::begin(&tape, third);
    live.add(prints(40_000, 1_000, third.start(), 1_000_000).iter().filter(|print| print.trade.trade_id % 10 != 4));
    live.add(prints(40_000, 1_000, third.start(), 1_000_000).iter().filter(|print| print.trade.trade_id % 10 == 4));
    let exported = coltape().args(["export", "--live", "--out"]).arg(&out).arg("--data-dir").arg(&tape).output().unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let served = Served::start(&tape);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/venv/bin/python");
    assert!(python.exists(), "{} is missing: run scripts/setup_python.sh", python.display());
    let mut command = Command::new(python);
    command.arg(root.join("tests/serve/data/readers.py")).arg(format!("http://{}", served.address())).arg(&out);
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    assert_eq!(said.lines().last(), Some("all readers agree"), "{said}{complained}");
    drop(live);
}

#[test]
fn a_parquet_file_is_read_piece_by_piece_and_stays_the_same_while_the_day_grows() {
    let folder = tempfile::tempdir().unwrap();
    let all = prints(1, 4_000, FIRST_DAY.start(), 1_000_000);
    let mut live = LiveDay::begin(folder.path(), FIRST_DAY);
    live.add(&all[..3_000]);
    let served = Served::start(folder.path());
    let path = "/v1/trades?product=BTC-USD&format=parquet";
    let length: usize = served.head(path).header("Content-Length").unwrap().parse().unwrap();
    live.add(&all[3_000..]);
    let part = |range: &str| {
        let reply = served.get_with(path, &[("Range", range)]);
        assert_eq!((reply.status, reply.is_whole), (206, true), "{range}: {}", reply.text());
        reply
    };
    let mut file = Vec::new();
    for start in (0..length).step_by(10_000) {
        file.extend(part(&format!("bytes={start}-{}", (start + 9_999).min(length - 1))).body);
    }
    assert_eq!((file.len(), &file[..4], &file[length - 4..]), (length, &b"PAR1"[..], &b"PAR1"[..]));
    // A suffix that is longer than the file is all of it.
    let all_of_it = part(&format!("bytes=-{}", 10 * length));
    assert_eq!(all_of_it.header("Content-Range"), Some(format!("bytes 0-{}/{length}", length - 1).as_str()));
    assert_eq!(all_of_it.body, file);
    // Another question is another file, and an answer that is not read piece by piece is of now.
    assert!(served.get(path).body.len() > length);
    drop(live);
}
