//! A box whose clock is wrong loses nothing, and a message whose time is wrong changes nothing: both feeds, offsets of a minute to ten years, constant and
//! stepping, with absurd times between them.

use coltape::internals::feed::{Control, Decoder, Feed, FrameFate, Handler, Item, RejectReason};
use coltape::internals::record::{Ticker, Trade};
use coltape::internals::time::{Timestamp, UnixNanos};
use proptest::prelude::*;
use proptest::sample::select;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_786_309_548 * SECOND;

#[derive(Default)]
struct Kept {
    trades: Vec<Trade>,
    tickers: Vec<Ticker>,
    fates: Vec<FrameFate>,
    rejected: Vec<RejectReason>,
}

impl Handler for Kept {
    fn trade(&mut self, _: &[u8], trade: &Trade) {
        self.trades.push(*trade);
    }
    fn ticker(&mut self, _: &[u8], ticker: &Ticker) {
        self.tickers.push(*ticker);
    }
    fn heartbeat(&mut self, _: Option<&[u8]>, _: u64, _: Option<Timestamp>) {}
    fn inexact(&mut self, _: &[u8], _: &'static str, _: u64, _: &[u8]) {}
    fn reject_item(&mut self, _: Item, why: RejectReason) {
        self.rejected.push(why);
    }
    fn control(&mut self, control: Control) {
        panic!("no message about the connection was sent: {control:?}");
    }
    fn end_held(&mut self, _: &[u8], fate: FrameFate) {
        self.fates.push(fate);
    }
}

/// What a feed sends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Trade,
    Ticker,
    Heartbeat,
}

/// A message of the exchange: `id` at `time`.
fn frame(feed: Feed, kind: Kind, id: u64, time: UnixNanos, number: u64) -> String {
    let envelope = |channel: &str, events: &str| {
        format!(r#"{{"channel":"{channel}","timestamp":"{time}","sequence_num":{number},"events":{events}}}"#)
    };
    match (feed, kind) {
        (Feed::Exchange, Kind::Trade) => format!(
            r#"{{"type":"match","trade_id":{id},"side":"sell","size":"0.04","price":"14.7775","product_id":"BAND-GBP","sequence":{id},"time":"{time}"}}"#
        ),
        (Feed::Exchange, Kind::Ticker) => format!(
            r#"{{"type":"ticker","sequence":{id},"product_id":"BAND-GBP","price":"14.7775","side":"buy","time":"{time}","trade_id":{id},"last_size":"0.04"}}"#
        ),
        (Feed::Exchange, Kind::Heartbeat) => {
            format!(r#"{{"type":"heartbeat","last_trade_id":{id},"product_id":"BAND-GBP","sequence":90,"time":"{time}"}}"#)
        }
        (Feed::Advanced, Kind::Trade) => envelope(
            "market_trades",
            &format!(
                r#"[{{"type":"update","trades":[{{"product_id":"BAND-GBP","trade_id":"{id}","price":"{id}","size":"2","time":"{time}","side":"SELL"}}]}}]"#
            ),
        ),
        (Feed::Advanced, Kind::Ticker) => {
            envelope("ticker", &format!(r#"[{{"type":"update","tickers":[{{"product_id":"BAND-GBP","price":"{id}"}}]}}]"#))
        }
        (Feed::Advanced, Kind::Heartbeat) => envelope("heartbeats", r#"[{"current_time":"x","heartbeat_counter":3}]"#),
    }
}

/// A minute to ten years, in seconds; some just below and above the hour up to which a single time is plausible.
const OFFSETS_S: [i64; 17] = [
    0,
    60,
    -60,
    600,
    -600,
    3_590,
    -3_590,
    3_610,
    -3_610,
    7_200,
    -7_200,
    86_400,
    -86_400,
    31_536_000,
    -31_536_000,
    315_360_000,
    -315_360_000,
];

fn kinds() -> impl Strategy<Value = Kind> {
    select(vec![Kind::Trade, Kind::Trade, Kind::Ticker, Kind::Heartbeat])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// The box's clock steps from one offset to another; absurd times come one or two in a row, the first message included.
    #[test]
    fn every_real_message_is_given_once_and_in_order_and_no_absurd_one_is(
        feed in select(vec![Feed::Exchange, Feed::Advanced]),
        steps in prop::collection::vec((select(OFFSETS_S.to_vec()), prop::collection::vec(kinds(), 8..30)), 1..4),
        absurd in prop::collection::vec((0usize..90, 1usize..3, 11u32..=18, 0u64..1000), 0..4),
    ) {
        let (mut decoder, mut kept) = (Decoder::new(feed, 0), Kept::default());
        let (mut number, mut at, mut held) = (0, 0, 0);
        let (mut trades, mut tickers, mut absurd_sent) = (Vec::new(), Vec::new(), 0);
        // Messages since the clock was set that say when they were sent. A ticker of the Exchange feed may be old.
        let mut witnesses = 0;
        let mut messages = Vec::new();
        for (offset, kinds) in &steps {
            // What is doubted last needs something that settles it.
            let settling = [Kind::Heartbeat; 3];
            messages.extend(kinds.iter().chain(&settling).enumerate().map(|(within, kind)| (*offset, *kind, within, kinds.len())));
        }
        for (offset, kind, within, settled_by) in messages {
            // Right before its clock is set, and right after it, nobody can know whether the box is wrong or a message.
            if within == 0 {
                witnesses = 0;
            }
            let is_open = (at > within && (within < 4 || witnesses < 3)) || within > settled_by;
            let now = START + at as u64 * SECOND / 2;
            let recv = UnixNanos(now.saturating_add_signed(-offset * SECOND.cast_signed()));
            let mut send = |kind, id, time, number: &mut u64| {
                let fate = decoder.decode(frame(feed, kind, id, UnixNanos(time), *number).as_bytes(), recv, &mut kept);
                *number += 1;
                held += usize::from(fate == FrameFate::Held);
                fate
            };
            for (place, how_many, exponent, apart) in &absurd {
                // Hours to thirty years ahead, and no two of them near each other or near an offset.
                for turn in (0..*how_many as u64).filter(|_| *place == at && !is_open) {
                    let ahead = 10u64.pow(*exponent) + (40 * 86_400 + (apart * 3 + turn + absurd_sent as u64 * 7) * 7_777) * SECOND;
                    // Ahead of the box's clock, too: before anything else has come nobody can know which of the two is wrong.
                    let time = now.max(recv.0) + ahead;
                    if time < 4_200_000_000 * SECOND {
                        prop_assert_eq!(send(Kind::Trade, 1_000_000 + absurd_sent as u64, time, &mut number), FrameFate::Held);
                        absurd_sent += 1;
                    }
                }
            }
            let id = at as u64 + 1;
            let fate = send(kind, id, now, &mut number);
            prop_assert!(matches!(fate, FrameFate::Used | FrameFate::Control | FrameFate::Held), "{:?}", fate);
            match kind {
                Kind::Trade => trades.push((id, UnixNanos(now), recv)),
                Kind::Ticker => tickers.push((UnixNanos(now), recv)),
                Kind::Heartbeat => {}
            }
            at += 1;
            witnesses += usize::from((feed, kind) != (Feed::Exchange, Kind::Ticker));
        }
        decoder.finish(&mut kept);
        let given: Vec<_> = kept.trades.iter().map(|trade| (trade.trade_id, trade.time, trade.recv)).collect();
        prop_assert_eq!(given, trades);
        let given: Vec<_> = kept.tickers.iter().map(|ticker| (ticker.time, ticker.recv)).collect();
        prop_assert_eq!(given, tickers);
        prop_assert_eq!(&kept.rejected, &vec![RejectReason::Doubt; absurd_sent]);
        let settled = kept.fates.iter().filter(|fate| **fate != FrameFate::Held).count();
        prop_assert_eq!(settled, held, "each frame that was held has one fate");
    }
}

#[test]
fn a_doubt_ends_after_ten_seconds_and_at_the_end() {
    let ahead = frame(Feed::Exchange, Kind::Trade, 7, UnixNanos(START + 7_200 * SECOND), 0);
    for is_end in [false, true] {
        let (mut decoder, mut kept) = (Decoder::new(Feed::Exchange, 0), Kept::default());
        assert_eq!(decoder.decode(ahead.as_bytes(), UnixNanos(START), &mut kept), FrameFate::Held);
        decoder.expire(UnixNanos(START + 10 * SECOND - 1), &mut kept);
        assert!(kept.rejected.is_empty() && kept.fates.is_empty(), "it may still be confirmed");
        if is_end {
            decoder.finish(&mut kept)
        } else {
            decoder.expire(UnixNanos(START + 10 * SECOND), &mut kept)
        }
        assert_eq!(
            (kept.rejected.as_slice(), kept.fates.as_slice()),
            (&[RejectReason::Doubt][..], &[FrameFate::Rejected(RejectReason::Doubt)][..])
        );
        decoder.finish(&mut kept);
        assert_eq!((kept.fates.len(), kept.trades.len()), (1, 0), "once");
    }
}

#[test]
fn what_is_held_back_is_bounded() {
    let (mut decoder, mut kept) = (Decoder::new(Feed::Exchange, 0), Kept::default());
    let mut random = fastrand::Rng::with_seed(7);
    for id in 1..=5_000 {
        // No two of them agree.
        let time = UnixNanos(START + (7_200 + id * 200 + random.u64(..50)) * SECOND);
        assert_eq!(
            decoder.decode(frame(Feed::Exchange, Kind::Trade, id, time, 0).as_bytes(), UnixNanos(START), &mut kept),
            FrameFate::Held
        );
    }
    assert_eq!(kept.fates.len(), 5_000 - 1024);
    decoder.finish(&mut kept);
    assert_eq!((kept.fates.len(), kept.rejected.len(), kept.trades.len()), (5_000, 5_000, 0));
}
