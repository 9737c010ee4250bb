//! What single events say of missing ids.

use super::*;
use crate::product::ProductId;
use crate::store::event::GapFiller;

#[test]
fn every_event_that_bears_on_missing_ids_explains_in_its_own_words() {
    let product = || ProductId::new("BTC-USD").expect("a product");
    let (ids, error) = (IdRange::one(7), "HTTP 429".to_owned());
    let said = |event: Event| Explanation::new(UnixNanos(0), &event).map(|said| (said.role, said.ids, said.text));
    assert_eq!(
        said(Event::BackfillFailed { product: product(), ids, failures: None, error: error.clone() }),
        Some((Role::Attempt, Some(ids), error.clone()))
    );
    assert_eq!(said(Event::BackfillEmpty { product: product(), ids, attempts: 4 }), Some((Role::Attempt, Some(ids), String::new())));
    assert_eq!(said(Event::GapFilled { product: product(), ids, by: GapFiller::Rest }), Some((Role::Cause, Some(ids), String::new())));
    assert_eq!(said(Event::SyncFailed { error: error.clone() }), Some((Role::Cause, None, error.clone())));
    let shed = |trades| {
        let (first_trade_id, last_trade_id) = if trades == 0 { (0, 0) } else { (7, 9) };
        said(Event::ShedEnded { product: product(), first_trade_id, last_trade_id, trades, tickers: 1 })
    };
    assert_eq!(shed(0), None, "tickers have no ids");
    assert_eq!(shed(3), Some((Role::Cause, IdRange::new(7, 9), String::new())));
    // A connection that could not be opened has lost nothing.
    assert_eq!(said(Event::ConnectFailed { line: String::new(), error }), None);
}
