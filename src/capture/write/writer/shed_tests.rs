//! Trades that were given up because the queue was full: they are missing at once, whether or not another trade of the product comes.

use std::sync::atomic::Ordering::Relaxed;

use crate::capture::write::fixture::{WriterFixture, product, until};
use crate::ids::IdRange;

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
