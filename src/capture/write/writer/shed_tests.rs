//! Trades that were given up because the queue was full: they are missing at once, whether or not another trade of the product comes. And what is not missing:
//! the ids between a real trade and one far below.

use std::sync::atomic::Ordering::Relaxed;

use super::absurd_tests::{REAL, journaled, plain, price, real_trade, run, wire};
use crate::capture::write::fixture::{WriterFixture, product, until};
use crate::ids::IdRange;
use crate::record::{RawPlace, Trade};

#[test]
fn what_was_given_up_is_missing_although_no_other_trade_comes() {
    let fixture = WriterFixture::new();
    fixture.push(1);
    fixture.run_writer(1);
    (2..=5).for_each(|id| fixture.route.queue.note_shed(id));
    fixture.route.slot.wake_writer();
    until("the ids are missing", || fixture.route.metrics.missing_ids.load(Relaxed) == 4);
    // What comes behind them fills no gap.
    fixture.push(6);
    fixture.run_writer(6);
    let (folder, _) = fixture.end_and_keep();
    let missing = crate::store::gaps(folder.path(), &product(), None).expect("read").missing;
    assert_eq!(missing.iter().flat_map(IdRange::ids).collect::<Vec<_>>(), [2, 3, 4, 5]);
}

#[test]
fn what_was_given_up_last_is_missing_at_the_end() {
    let fixture = WriterFixture::new();
    fixture.push(1);
    fixture.run_writer(1);
    fixture.route.queue.note_shed(2);
    let metrics = std::sync::Arc::clone(&fixture.route.metrics);
    assert_eq!(fixture.end(), 1);
    assert_eq!(metrics.missing_ids.load(Relaxed), 1);
}

#[test]
fn a_lone_id_far_below_asks_for_nothing_and_is_kept_with_the_rejects() {
    let script = plain(0, 0);
    let mut messages = wire(&script, 0..30);
    messages
        .push(crate::record::MarketMessage::Trade(Trade { trade_id: 5, price: price(4), ..real_trade(&script, 29) }, RawPlace::default()));
    messages.extend(wire(&script, 40..REAL));
    let fixture = run(WriterFixture::in_folder(tempfile::tempdir().expect("a folder"), 1), &messages);
    until("the trades are written", || fixture.route.metrics.trades.written.get() == 50);
    let (folder, _) = fixture.end_and_keep();
    let missing = crate::store::gaps(folder.path(), &product(), None).expect("read").missing;
    assert_eq!(missing.count(), 10, "the ids that were lost, and no other");
    let rejects = std::fs::read_dir(folder.path().join("_coltape")).expect("listed").flatten();
    let rejects = rejects.filter(|file| file.file_name().to_string_lossy().starts_with("rejects."));
    let text: String = rejects.map(|file| std::fs::read_to_string(file.path()).expect("read").replace('\0', "")).collect();
    assert!(text.contains("\"reason\":\"doubt\"") && text.contains("\\\"trade_id\\\":5,"), "{text}");
    assert_eq!(journaled(folder.path(), |event| matches!(event, crate::store::event::Event::DoubtRefuted { key: 5, .. })), 1);
}
