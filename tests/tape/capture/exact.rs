//! Long decimals: a trade that is stored has the text of its price and size, also where the capture was killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coltape::internals::product::ProductId;
use coltape::internals::schema::Trades;
use coltape::internals::store::Snapshot;

use super::programs::{Capture, await_that};
use super::scripted::{Server, match_frame};

/// A size whose f64 does not print it back. The id is in it.
fn long_size(id: u64) -> String {
    format!("1.{id:08}12345678901")
}

#[test]
fn a_capture_that_is_killed_again_and_again_loses_no_exact_text_of_a_stored_trade() {
    let next = Arc::new(AtomicU64::new(1));
    let ids = Arc::clone(&next);
    let server = Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        loop {
            for _ in 0..16 {
                let id = ids.fetch_add(1, Ordering::Relaxed);
                let time = format!("{:.6}", jiff::Timestamp::now());
                session.send(match_frame("BTC-USD", id, &time).replace("\"0.04\"", &format!("\"{}\"", long_size(id))));
            }
            std::thread::sleep(Duration::from_millis(2));
            if session.has_gone() {
                return;
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let product = ProductId::new("BTC-USD").unwrap();
    let stored = || -> BTreeSet<u64> {
        let days = coltape::dates(&data, &product, coltape::Dataset::Trades).unwrap_or_default();
        let day = |date| Snapshot::<Trades>::open(&data, &product, date).ok().flatten();
        days.into_iter().filter_map(day).flat_map(|day| day.rows().map(|trade| trade.trade_id).collect::<Vec<_>>()).collect()
    };
    let mut known = 0;
    for round in 0..6 {
        let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--no-backfill"]);
        await_that(&format!("round {round}: more trades are stored"), || stored().len() > known + 500);
        capture.kill();
        let stored = stored();
        known = stored.len();
        let mut texts = BTreeSet::new();
        for entry in std::fs::read_dir(data.join("_coltape")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("exact.") {
                for line in std::fs::read_to_string(path).unwrap().lines() {
                    // The last one may be cut short.
                    let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
                    let key = line["key"].as_u64().unwrap();
                    assert_eq!((line["column"].as_str(), line["text"].as_str()), (Some("trade_size_f64"), Some(long_size(key).as_str())));
                    texts.insert(key);
                }
            }
        }
        let lost: Vec<&u64> = stored.difference(&texts).collect();
        assert!(lost.is_empty(), "round {round}: {} of {known} texts are lost: {lost:?}", lost.len());
    }
}
