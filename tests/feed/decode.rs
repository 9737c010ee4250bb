//! Frames that the recordings do not hold: every odd form known from the feeds' documentation or history, and a hundred thousand random ones.

use coltape::internals::feed::{Control, Decoder, Feed, FrameFate, Handler, Item, RejectReason};
use coltape::internals::record::{Implausible, Means, Side, Ticker, Trade};
use coltape::internals::time::{Timestamp, UnixNanos};

const RECV: UnixNanos = UnixNanos(1_786_309_548_629_000_000);

#[derive(Default)]
struct Kept {
    trades: Vec<(String, Trade)>,
    tickers: Vec<(String, Ticker)>,
    beats: Vec<(Option<String>, u64, Option<Timestamp>)>,
    inexact: Vec<(&'static str, u64, String)>,
    rejected: Vec<(Item, RejectReason)>,
    controls: Vec<Control>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("names and numbers are text")
}

impl Handler for Kept {
    fn trade(&mut self, product: &[u8], trade: &Trade) {
        assert!(trade.validate(trade.recv).is_ok() || trade.origin.is_flawed());
        self.trades.push((text(product), *trade));
    }
    fn ticker(&mut self, product: &[u8], ticker: &Ticker) {
        self.tickers.push((text(product), *ticker));
    }
    fn heartbeat(&mut self, product: Option<&[u8]>, last_trade_id: u64, time: Option<Timestamp>) {
        self.beats.push((product.map(text), last_trade_id, time));
    }
    fn inexact(&mut self, _: &[u8], column: &'static str, key: u64, digits: &[u8]) {
        self.inexact.push((column, key, text(digits)));
    }
    fn reject_item(&mut self, item: Item, why: RejectReason) {
        self.rejected.push((item, why));
    }
    fn control(&mut self, control: Control) {
        self.controls.push(control);
    }
}

fn decode(feed: Feed, frame: &str) -> (FrameFate, Kept) {
    let mut kept = Kept::default();
    let fate = Decoder::new(feed, 0).decode(frame.as_bytes(), RECV, &mut kept);
    (fate, kept)
}

const MATCH: &str = concat!(
    r#"{"type":"match","trade_id":7,"maker_order_id":"27fff20b-af29-4f45-8744-56dd1ef57dc0","taker_order_id":"1da6ce16-c8da-4732-9f71-6049f4c6aaf8","#,
    r#""side":"sell","size":"0.04","price":"14.7775","product_id":"BAND-GBP","sequence":333938798,"time":"2026-08-09T21:05:48.77Z"}"#
);
const TICKER: &str = concat!(
    r#"{"type":"ticker","sequence":333,"product_id":"BAND-GBP","price":"14.7775","open_24h":"1","volume_24h":"2","low_24h":"3","high_24h":"4","#,
    r#""volume_30d":"5","best_bid":"14.755","best_bid_size":"1.5","best_ask":"14.806","best_ask_size":"2.5","side":"buy","#,
    r#""time":"2026-08-09T21:05:48.77Z","trade_id":7,"last_size":"0.04"}"#
);

fn advanced(channel: &str, events: &str) -> String {
    format!(r#"{{"channel":"{channel}","client_id":"","timestamp":"2026-08-09T21:05:48.228568804Z","sequence_num":0,"events":{events}}}"#)
}

fn fill(product: &str, id: u64) -> String {
    format!(r#"{{"product_id":"{product}","trade_id":"{id}","price":"1.5","size":"2","time":"2026-08-09T21:05:42.5Z","side":"SELL"}}"#)
}

#[test]
fn key_order_and_white_space_change_nothing() {
    let (fate, expected) = decode(Feed::Exchange, MATCH);
    assert_eq!(fate, FrameFate::Used);
    let mut fields: Vec<&str> = MATCH.trim_matches(['{', '}']).split(',').collect();
    for turn in 0..fields.len() {
        fields.rotate_left(1);
        let frame = format!("\r\n {{ {} }}\n", fields.join(" ,\t").replace("\":", "\" : "));
        let (fate, kept) = decode(Feed::Exchange, &frame);
        assert_eq!((fate, &kept.trades), (FrameFate::Used, &expected.trades), "turned by {turn}: {frame}");
    }
}

#[test]
fn a_second_type_rejects_a_message_wherever_the_two_are() {
    for good in [MATCH, TICKER] {
        let kind = good.split('"').nth(3).unwrap();
        let behind = good.replace('}', &format!(r#","type":"{kind}"}}"#));
        let last =
            format!(r#"{{{},"type":"{kind}"}}"#, good.strip_prefix(&format!(r#"{{"type":"{kind}","#)).unwrap().trim_end_matches('}'));
        let twice_last = last.replace('}', &format!(r#","type":"{kind}"}}"#));
        let (fate, kept) = decode(Feed::Exchange, &last);
        assert_eq!((fate, kept.trades.len() + kept.tickers.len()), (FrameFate::Used, 1), "{last}");
        for bad in [behind, twice_last] {
            assert_eq!(decode(Feed::Exchange, &bad).0, FrameFate::Rejected(RejectReason::Duplicate), "{bad}");
        }
        // What follows the type is parsed by itself: what is not an object with it is not one without it.
        let head = format!(r#"{{"type":"{kind}","#);
        for bad in
            [head.clone(), format!("{head}}}"), format!("{head},{}", &good[head.len()..]), format!("{head}{}", &good[head.len() + 1..])]
        {
            assert!(matches!(decode(Feed::Exchange, &bad).0, FrameFate::Rejected(_)), "{bad}");
        }
    }
}

#[test]
fn a_trimmed_fraction_is_a_fraction_and_the_side_is_the_takers() {
    let (_, kept) = decode(Feed::Exchange, MATCH);
    let (_, trade) = &kept.trades[0];
    assert_eq!((trade.time.subsec_nanos(), trade.side), (770_000_000, Side::Buy));
    let (_, kept) = decode(Feed::Exchange, TICKER);
    let (_, ticker) = &kept.tickers[0];
    assert_eq!((ticker.side, ticker.best_bid_size, ticker.best_ask_size), (Some(Side::Buy), 1.5, 2.5));
}

#[test]
fn a_ticker_of_a_product_that_never_traded_is_stored_under_its_receive_time() {
    let absent = r#"{"type":"ticker","sequence":9,"product_id":"NEW-USD","price":"0","best_bid":"1","best_ask":"2"}"#;
    let nulls = r#"{"type":"ticker","sequence":9,"product_id":"NEW-USD","price":"0","best_bid":"1","best_ask":"2","side":"","time":null,"trade_id":null,"last_size":""}"#;
    let never = r#"{"type":"ticker","sequence":9,"product_id":"NEW-USD","price":"0","best_bid":"1","best_ask":"2","side":"","time":"0001-01-01T00:00:00Z","trade_id":0,"last_size":"0"}"#;
    for frame in [absent, nulls, never] {
        let (fate, kept) = decode(Feed::Exchange, frame);
        assert_eq!(fate, FrameFate::Used, "{frame}");
        let (_, ticker) = &kept.tickers[0];
        assert_eq!((ticker.time, ticker.trade_id, ticker.side, ticker.sequence), (RECV, 0, None, 9), "{frame}");
        assert!(ticker.volume.as_f64.is_nan() && ticker.volume.as_f32.is_nan() && !ticker.carries_trade(), "{frame}");
        assert_eq!((ticker.best_bid.as_f64, ticker.best_ask.as_f64), (1.0, 2.0));
    }
}

#[test]
fn a_ticker_without_a_part_of_its_trade_carries_none() {
    for part in [r#""side":"buy","#, r#""trade_id":7,"#, r#","last_size":"0.04""#, r#""time":"2026-08-09T21:05:48.77Z","#] {
        let (fate, kept) = decode(Feed::Exchange, &TICKER.replace(part, ""));
        assert_eq!(fate, FrameFate::Used);
        let (_, ticker) = &kept.tickers[0];
        assert!(!ticker.carries_trade() && ticker.trade_id == 0 && ticker.side.is_none() && ticker.volume.as_f64.is_nan(), "{part}");
        assert_eq!(ticker.time == RECV, part.contains("time"), "{part}");
    }
}

#[test]
fn a_ticker_with_a_trade_of_the_year_one_or_without_prices_is_rejected() {
    let absurd = TICKER.replace("2026-08-09T21:05:48.77Z", "0001-01-01T00:00:00Z");
    assert_ne!(absurd, TICKER);
    for (frame, why) in [
        (absurd.as_str(), RejectReason::Implausible(Implausible::Time)),
        (r#"{"type":"ticker","sequence":9,"product_id":"BTC-USD"}"#, RejectReason::Shape),
    ] {
        let (fate, kept) = decode(Feed::Exchange, frame);
        assert_eq!(fate, FrameFate::Rejected(why), "{frame}");
        assert!(kept.tickers.is_empty());
    }
}

#[test]
fn a_last_match_is_a_trade_marked_as_a_snapshot() {
    let (_, kept) = decode(Feed::Exchange, &MATCH.replace("\"match\"", "\"last_match\""));
    assert_eq!(kept.trades[0].1.origin.means(), Some(Means::Snapshot));
}

#[test]
fn every_unusable_field_of_a_match_has_its_reason() {
    use RejectReason as Why;
    for (field, by, why) in [
        (r#""trade_id":7"#, r#""trade_id":0"#, Why::Implausible(Implausible::Id)),
        (r#""trade_id":7"#, r#""trade_id":-7"#, Why::Id),
        (r#""trade_id":7"#, r#""trade_id":7.5"#, Why::Id),
        (r#""trade_id":7"#, r#""trade_id":null"#, Why::Id),
        (r#""trade_id":7,"#, "", Why::Id),
        (r#""trade_id":7"#, r#""trade_id":18446744073709551616"#, Why::Id),
        (r#""trade_id":7"#, r#""trade_id":1e20"#, Why::Id),
        (r#""side":"sell""#, r#""side":"maker""#, Why::Side),
        (r#""side":"sell","#, "", Why::Side),
        ("0.04", "4e", Why::Size),
        ("0.04", "1e400", Why::Size),
        (r#""0.04""#, "1e400", Why::Size),
        (r#""0.04""#, "null", Why::Size),
        ("14.7775", "NaN", Why::Price),
        ("14.7775", " 14.7775", Why::Price),
        (r#""14.7775""#, "[]", Why::Price),
        ("BAND-GBP", "../../etc", Why::Product),
        ("BAND-GBP", r"BAND\u0000", Why::Product),
        (r#""BAND-GBP""#, "7", Why::Product),
        ("2026-08-09T21:05:48.77Z", "2026-13-09T21:05:48.77Z", Why::Time),
        ("2026-08-09T21:05:48.77Z", "", Why::Time),
        ("2026-08-09T21:05:48.77Z", "0001-01-01T00:00:00Z", Why::Implausible(Implausible::Time)),
        (r#","time""#, r#","price":"1","time""#, Why::Duplicate),
        (r#""sequence":"#, r#""sequence":[[[[{"a":"#, Why::NotJson),
    ] {
        let frame = MATCH.replace(field, by);
        assert_ne!(frame, MATCH, "{field}");
        let (fate, kept) = decode(Feed::Exchange, &frame);
        assert_eq!(fate, FrameFate::Rejected(why), "{frame}");
        assert!(kept.trades.is_empty());
        // A frame that is not JSON has no elements.
        let items = if why == Why::NotJson { vec![] } else { vec![(Item::Trade, why)] };
        assert_eq!(kept.rejected, items, "{frame}");
    }
}

#[test]
fn an_absurd_ticker_is_rejected_with_its_reason() {
    use RejectReason as Why;
    for (field, by, why) in [
        ("14.755", "-1", Why::Price),
        ("14.806", "1e39", Why::Price),
        ("\"1.5\"", "\"-1.5\"", Why::Size),
        ("\"buy\"", "\"hold\"", Why::Side),
        ("2026", "2006", Why::Implausible(Implausible::Time)),
        ("BAND-GBP", "", Why::Product),
    ] {
        let (fate, kept) = decode(Feed::Exchange, &TICKER.replace(field, by));
        assert_eq!((fate, kept.rejected), (FrameFate::Rejected(why), vec![(Item::Ticker, why)]), "{field} {by}");
    }
}

#[test]
fn a_text_that_does_not_print_back_is_given_verbatim() {
    let (_, kept) = decode(Feed::Exchange, &MATCH.replace("14.7775", "1234567890.12345678").replace("0.04", "0.1234567890123456789"));
    let expected = [("trade_price_f64", 7, "1234567890.12345678".to_owned()), ("trade_size_f64", 7, "0.1234567890123456789".to_owned())];
    assert_eq!((kept.trades.len(), kept.inexact), (1, expected.to_vec()));
    let (_, kept) = decode(Feed::Exchange, &TICKER.replace("14.755", "1234567890.12345678"));
    assert_eq!(kept.inexact, [("best_bid_f64", 333, "1234567890.12345678".to_owned())]);
}

#[test]
fn other_types_are_skipped_whatever_follows() {
    for frame in [
        r#"{"type":"l2update","changes":[["buy","1","2"]"#,
        r#"{"type":"snapshot","bids":[[[[[["#,
        r#"{"type":"received","type":"match"}"#,
        r#"{"type":"match2"}"#,
        r#"{"type":""}"#,
    ] {
        assert_eq!(decode(Feed::Exchange, frame).0, FrameFate::Ignored, "{frame}");
    }
    for frame in [r#"{"channel":"l2_data","timestamp":"x","sequence_num":0,"events":[{{{"#, r#"{"type":"note","sequence_num":0}"#] {
        assert_eq!(decode(Feed::Advanced, frame).0, FrameFate::Ignored, "{frame}");
    }
}

#[test]
fn a_frame_without_a_type_is_rejected_and_an_escaped_type_is_one() {
    use RejectReason as Why;
    for (frame, why) in [
        ("{}", Why::NoKind),
        (r#"{"type":7}"#, Why::NoKind),
        (r#"{"type":"m\u0061tch","trade_id":7}"#, Why::Product),
        ("", Why::NotJson),
        ("null", Why::NotJson),
        (r#"[{"type":"match"}]"#, Why::NotJson),
        (r#"{"type":"match""#, Why::NotJson),
        (r#"{"type":"match"}"#, Why::Product),
    ] {
        assert_eq!(decode(Feed::Exchange, frame).0, FrameFate::Rejected(why), "{frame}");
    }
}

#[test]
fn a_heartbeat_has_the_newest_trade_id() {
    let frame = r#"{"type":"heartbeat","last_trade_id":17,"product_id":"BTC-USD","sequence":90,"time":"2014-11-07T08:19:28.464459Z"}"#;
    let (fate, kept) = decode(Feed::Exchange, frame);
    let [(product, id, time)] = kept.beats.as_slice() else { panic!("{:?}", kept.beats) };
    assert_eq!((fate, product.as_deref(), *id, time.map(|time| time.seconds)), (FrameFate::Used, Some("BTC-USD"), 17, Some(1_415_348_368)));
    assert_eq!(decode(Feed::Exchange, &frame.replace("17", "\"x\"")).0, FrameFate::Rejected(RejectReason::Id));
    let go = advanced("heartbeats", r#"[{"current_time":"2026-09-05 22:10:30.25788961 +0000 UTC m=+139651.27","heartbeat_counter":3}]"#);
    let (fate, kept) = decode(Feed::Advanced, &go);
    assert_eq!((fate, kept.beats), (FrameFate::Control, vec![(None, 0, None)]));
}

#[test]
fn errors_of_both_feeds_are_read_in_any_key_order() {
    let error = |message: &str, reason: &str| vec![Control::Error { message: message.to_owned(), reason: reason.to_owned() }];
    for frame in [
        r#"{"type":"error","message":"Failed to subscribe","reason":"X-USD is delisted"}"#,
        r#"{"reason":"X-USD is delisted","message":"Failed to subscribe","type":"error"}"#,
    ] {
        let (fate, kept) = decode(Feed::Exchange, frame);
        assert_eq!((fate, kept.controls), (FrameFate::Control, error("Failed to subscribe", "X-USD is delisted")));
    }
    let (fate, kept) = decode(Feed::Advanced, r#"{"type":"error","message":"authentication failure"}"#);
    assert_eq!((fate, kept.controls), (FrameFate::Control, error("authentication failure", "")));
    let (fate, kept) = decode(Feed::Exchange, r#"{"type":"error","message":7,"reason":null}"#);
    assert_eq!((fate, kept.controls), (FrameFate::Control, error("", "")), "even an odd refusal is one");
}

#[test]
fn subscriptions_are_read_in_both_spellings_even_when_empty() {
    let exchange = r#"{"type":"subscriptions","channels":[{"name":"matches","product_ids":["B-USD","A-USD"],"account_ids":null},{"name":"status","product_ids":null}]}"#;
    let (fate, kept) = decode(Feed::Exchange, exchange);
    let [Control::Subscriptions(channels)] = kept.controls.as_slice() else { panic!("{:?}", kept.controls) };
    assert_eq!(fate, FrameFate::Control);
    assert_eq!(format!("{channels:?}"), r#"{"matches": {A-USD, B-USD}, "status": {}}"#);
    for (events, expected) in
        [(r#"[{"subscriptions":{}}]"#, "{}"), (r#"[{"subscriptions":{"ticker":["A-USD"]}}]"#, r#"{"ticker": {A-USD}}"#)]
    {
        let (_, kept) = decode(Feed::Advanced, &advanced("subscriptions", events));
        let [Control::Subscriptions(channels)] = kept.controls.as_slice() else { panic!("{:?}", kept.controls) };
        assert_eq!(format!("{channels:?}"), expected);
    }
}

#[test]
fn the_status_channel_lists_products() {
    let frame = r#"{"type":"status","products":[{"id":"BTC-USD","status":"online","quote_currency":"USD","base_increment":"0.00000001"},{"id":"x/y"},7],"currencies":[{"id":"USD"}]}"#;
    let (fate, kept) = decode(Feed::Exchange, frame);
    let [Control::Status(products)] = kept.controls.as_slice() else { panic!("{:?}", kept.controls) };
    assert_eq!((fate, products.len(), products[0].id.as_str(), products[0].is_online()), (FrameFate::Control, 1, "BTC-USD", true));
    let events = r#"[{"type":"snapshot","products":[{"id":"BTC-USD","status":"online","alias":""},{"id":"BTC-USDC","status":"online","alias":"BTC-USD"},7]},{"type":"note"},{"type":"update","products":[{"id":"A-B","status":"delisted"}]}]"#;
    let (fate, kept) = decode(Feed::Advanced, &advanced("status", events));
    let [Control::Status(products)] = kept.controls.as_slice() else { panic!("{:?}", kept.controls) };
    let read: Vec<_> = products.iter().map(|product| (product.id.as_str(), product.is_online(), product.alias.as_str())).collect();
    assert_eq!((fate, read), (FrameFate::Control, vec![("BTC-USD", true, ""), ("BTC-USDC", true, "BTC-USD"), ("A-B", false, "")]));
    assert!(matches!(decode(Feed::Advanced, &advanced("status", "{}")).0, FrameFate::Rejected(_)));
}

#[test]
fn all_trades_of_all_events_and_products_come_in_rising_id() {
    let events = format!(
        r#"[{{"type":"update","trades":[{},{},{}]}},{{"type":"snapshot","trades":[{},{}]}}]"#,
        fill("A-USD", 9),
        fill("B-USD", 100),
        fill("A-USD", 8),
        fill("B-USD", 99),
        fill("A-USD", 7)
    );
    let (fate, kept) = decode(Feed::Advanced, &advanced("market_trades", &events));
    let order: Vec<_> = kept.trades.iter().map(|(product, trade)| (product.as_str(), trade.trade_id, trade.origin.means())).collect();
    let (live, snapshot) = (Some(Means::Live), Some(Means::Snapshot));
    assert_eq!(fate, FrameFate::Used);
    let expected = [("A-USD", 7, snapshot), ("A-USD", 8, live), ("A-USD", 9, live), ("B-USD", 99, snapshot), ("B-USD", 100, live)];
    assert_eq!(order, expected);
    assert!(kept.trades.iter().all(|(_, trade)| trade.side == Side::Buy), "the maker sold");
}

#[test]
fn one_bad_element_or_event_does_not_affect_the_others() {
    let bad = fill("A-USD", 8).replace("1.5", "x");
    let events = format!(
        r#"[{{"type":"update","trades":[{},{bad}]}},{{"type":"update","trades":7}},{{"type":"update","trades":[{}]}}]"#,
        fill("A-USD", 9),
        fill("A-USD", 7)
    );
    let (fate, kept) = decode(Feed::Advanced, &advanced("market_trades", &events));
    assert_eq!((fate, kept.trades.len()), (FrameFate::Used, 2));
    assert_eq!(kept.rejected, [(Item::Trade, RejectReason::Price)]);
    let (fate, _) = decode(Feed::Advanced, &advanced("market_trades", &format!(r#"[{{"trades":[{bad}]}}]"#)));
    assert_eq!(fate, FrameFate::Rejected(RejectReason::Price));
    for (events, fate) in [
        ("[]", FrameFate::Ignored),
        (r#"[{"type":"update","trades":[]}]"#, FrameFate::Ignored),
        ("null", FrameFate::Rejected(RejectReason::Shape)),
        ("[null]", FrameFate::Rejected(RejectReason::Shape)),
    ] {
        assert_eq!(decode(Feed::Advanced, &advanced("market_trades", events)).0, fate, "{events}");
        assert_eq!(decode(Feed::Advanced, &advanced("ticker", &events.replace("trades", "tickers"))).0, fate, "{events}");
    }
}

#[test]
fn sequence_numbers_are_checked_over_all_channels_and_start_over_with_a_connection() {
    let (mut decoder, mut kept) = (Decoder::new(Feed::Advanced, 0), Kept::default());
    let mut number = |decoder: &mut Decoder, number: u64| {
        let frame = format!(r#"{{"channel":"l2_data","timestamp":"t","sequence_num":{number},"events":[]}}"#);
        decoder.decode(frame.as_bytes(), RECV, &mut kept);
        std::mem::take(&mut kept.controls)
    };
    let gap = |expected, got| vec![Control::SequenceGap { expected, got }];
    assert_eq!(number(&mut decoder, 0), []);
    assert_eq!(number(&mut decoder, 1), []);
    assert_eq!(number(&mut decoder, 3), gap(2, 3));
    assert_eq!(number(&mut decoder, 4), []);
    assert_eq!(number(&mut decoder, 4), gap(5, 4));
    decoder.begin_connection();
    assert_eq!(number(&mut decoder, 0), []);
    assert_eq!(number(&mut decoder, u64::MAX), gap(1, u64::MAX));
    assert_eq!(number(&mut decoder, 0), []);
}

/// Damages a good frame in one of many ways.
fn damaged(random: &mut fastrand::Rng, good: &[String]) -> Vec<u8> {
    let mut bytes = good[random.usize(..good.len())].clone().into_bytes();
    match random.u8(..8) {
        0 => (0..random.usize(..200)).map(|_| random.u8(..)).collect(),
        1 => {
            bytes.truncate(random.usize(..bytes.len()));
            bytes
        }
        2 => {
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes
        }
        3 => {
            // One string or number replaced by something else.
            let absurd = [
                "null",
                "true",
                "[]",
                "{}",
                "\"\"",
                "-1",
                "1e999",
                "1e-999",
                "99999999999999999999999",
                "\"\\ud800\"",
                "\"../../x\"",
                "\"\\u0000\"",
                "\"NaN\"",
                "\"1.7976931348623157e308\"",
                "\"0.00000000000000000000000000000000000000000000000001\"",
                "\"-0\"",
            ];
            let text = String::from_utf8(bytes).expect("good frames are text");
            let colons: Vec<usize> = text.match_indices("\":").map(|(at, _)| at + 2).collect();
            let from = colons[random.usize(..colons.len())];
            let to = text[from..].find([',', '}']).map_or(text.len(), |length| from + length);
            format!("{}{}{}", &text[..from], absurd[random.usize(..absurd.len())], &text[to..]).into_bytes()
        }
        4 => {
            let depth = random.usize(..3000);
            let at = random.usize(..bytes.len());
            let open: Vec<u8> = (0..depth).map(|_| if random.bool() { b'[' } else { b'{' }).collect();
            bytes.splice(at..at, open);
            bytes
        }
        5 => {
            let (from, to) = (random.usize(..bytes.len()), random.usize(..bytes.len()));
            let part = bytes[from.min(to)..from.max(to)].to_vec();
            let at = random.usize(..bytes.len());
            bytes.splice(at..at, part);
            bytes
        }
        6 => {
            let other = good[random.usize(..good.len())].as_bytes();
            bytes.truncate(random.usize(..bytes.len()));
            bytes.extend_from_slice(&other[random.usize(..other.len())..]);
            bytes
        }
        _ => bytes,
    }
}

#[test]
fn a_hundred_thousand_damaged_frames_have_one_fate_each_and_leave_the_decoder_usable() {
    let exchange = vec![
        MATCH.to_owned(),
        TICKER.to_owned(),
        r#"{"type":"heartbeat","last_trade_id":17,"product_id":"BTC-USD","sequence":90,"time":"2014-11-07T08:19:28.464459Z"}"#.to_owned(),
        r#"{"type":"subscriptions","channels":[{"name":"matches","product_ids":["B-USD"]}]}"#.to_owned(),
        r#"{"type":"error","message":"Failed to subscribe","reason":"X-USD is delisted"}"#.to_owned(),
        r#"{"type":"status","products":[{"id":"BTC-USD","status":"online"}]}"#.to_owned(),
        r#"{"type":"l2update","changes":[["buy","1","2"]]}"#.to_owned(),
    ];
    let trades = format!(r#"[{{"type":"update","trades":[{},{}]}}]"#, fill("A-USD", 9), fill("B-USD", 8));
    let tickers = r#"[{"type":"update","tickers":[{"type":"ticker","product_id":"A-USD","price":"1","best_bid":"1","best_ask":"2","best_bid_quantity":"3","best_ask_quantity":"4"}]}]"#;
    let advanced = vec![
        advanced("market_trades", &trades),
        advanced("ticker", tickers),
        advanced("subscriptions", r#"[{"subscriptions":{"ticker":["A-USD"]}}]"#),
        advanced("heartbeats", "[]"),
        advanced("l2_data", "[]"),
    ];
    let seed = std::env::var("COLTAPE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_809);
    println!("COLTAPE_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for (feed, good, elements) in [(Feed::Exchange, exchange, 1), (Feed::Advanced, advanced, 2)] {
        let (mut decoder, mut kept, mut fates, mut held) = (Decoder::new(feed, 0), Kept::default(), [0usize; 4], 0);
        let expected = decode(feed, &good[0]).1.trades;
        for _ in 0..50_000 {
            let frame = damaged(&mut random, &good);
            let before = (kept.trades.len() + kept.tickers.len() + kept.beats.len(), kept.rejected.len());
            let fate = decoder.decode(&frame, RECV, &mut kept);
            let used = kept.trades.len() + kept.tickers.len() + kept.beats.len() - before.0;
            match fate {
                FrameFate::Used => assert!(used > 0),
                FrameFate::Control => assert!(used <= 1),
                FrameFate::Ignored | FrameFate::Rejected(_) => assert_eq!(used, 0),
                // Its fate comes later.
                FrameFate::Held => {
                    held += 1;
                    continue;
                }
            }
            fates[match fate {
                FrameFate::Used => 0,
                FrameFate::Control => 1,
                FrameFate::Ignored => 2,
                FrameFate::Rejected(_) => 3,
                FrameFate::Held => unreachable!("counted above"),
            }] += 1;
        }
        assert_eq!(fates.iter().sum::<usize>() + held, 50_000);
        decoder.finish(&mut kept);
        assert!(fates.iter().all(|count| *count > 1000), "every fate is met: {fates:?}");
        kept.trades.clear();
        assert_eq!(decoder.decode(good[0].as_bytes(), RECV, &mut kept), FrameFate::Used);
        assert_eq!((kept.trades.len(), &kept.trades), (elements, &expected), "the decoder is as good as new");
    }
}
