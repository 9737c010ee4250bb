//! Every spelling of a value is that value: in every field of both feeds and of REST, generated, against `str::parse` and `jiff`.

use coltape::internals::decimal::Decimal;
use coltape::internals::feed::{Control, Decoder, Feed, FrameFate, Handler, Item, RejectReason};
use coltape::internals::record::{OrderId, Side, Ticker, Trade};
use coltape::internals::time::{Timestamp, UnixNanos};
use proptest::prelude::*;
use proptest::sample::select;

use super::rest::page_of;

const RECV: UnixNanos = UnixNanos(1_786_309_548_629_000_000);

#[derive(Default)]
struct Kept {
    trades: Vec<(String, Trade)>,
    tickers: Vec<(String, Ticker)>,
    beats: Vec<(String, u64)>,
    inexact: Vec<(&'static str, String)>,
    flaws: Vec<RejectReason>,
    rejected: Vec<RejectReason>,
    controls: Vec<Control>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl Handler for Kept {
    fn trade(&mut self, product: &[u8], trade: &Trade) {
        self.trades.push((text(product), *trade));
    }
    fn ticker(&mut self, product: &[u8], ticker: &Ticker) {
        self.tickers.push((text(product), *ticker));
    }
    fn heartbeat(&mut self, product: Option<&[u8]>, last_trade_id: u64, _: Option<Timestamp>) {
        self.beats.push((product.map(text).unwrap_or_default(), last_trade_id));
    }
    fn inexact(&mut self, _: &[u8], column: &'static str, _: u64, digits: &[u8]) {
        self.inexact.push((column, text(digits)));
    }
    fn flaw(&mut self, why: RejectReason) {
        self.flaws.push(why);
    }
    fn reject_item(&mut self, _: Item, why: RejectReason) {
        self.rejected.push(why);
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

/// A value: how it is spelled in JSON, and what it is.
#[derive(Debug, Clone)]
struct Spelled<T> {
    json: String,
    is: T,
}

/// Quotes a text, with some of its characters as escapes.
fn quoted(text: &str, escapes: u64) -> String {
    let letter = |(at, letter): (usize, char)| match escapes >> (at % 64) & 1 {
        1 if at % 2 == 0 => format!("\\u{:04x}", u32::from(letter)),
        1 => format!("\\u{:04X}", u32::from(letter)),
        _ => letter.to_string(),
    };
    format!("\"{}\"", text.chars().enumerate().map(letter).collect::<String>())
}

/// Escapes for none, some or all characters of a text.
fn escapes() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

/// A number above 0: its text, and its token in JSON.
fn number() -> impl Strategy<Value = Spelled<String>> {
    let as_json = "(0|[1-9][0-9]{0,9})(\\.[0-9]{1,12})?([eE][-+]?[0-9]{1,2})?|(0|[1-9][0-9]{0,20})\\.[0-9]{1,30}|[1-9][0-9]{0,25}";
    let as_text = "\\+?0{0,30}[0-9]{1,12}(\\.[0-9]{0,12})?([eE][-+]?0{0,3}[0-9]{1,2})?|\\+?\\.[0-9]{1,20}";
    let json = (as_json, escapes(), any::<bool>())
        .prop_map(|(text, escapes, is_number)| Spelled { json: if is_number { text.clone() } else { quoted(&text, escapes) }, is: text });
    let text = (as_text, escapes()).prop_map(|(text, escapes)| Spelled { json: quoted(&text, escapes), is: text });
    let is_above_zero = |spelled: &Spelled<String>| spelled.is.parse::<f32>().is_ok_and(|value| value > 0.0 && value.is_finite());
    prop_oneof![json, text].prop_filter("above 0", is_above_zero)
}

/// A trade id or a sequence.
fn id() -> impl Strategy<Value = Spelled<u64>> {
    let value = prop_oneof![1..1000u64, any::<u64>().prop_map(|id| id.max(1)), Just(u64::MAX)];
    (value, 0..10usize, 0..4usize, escapes()).prop_map(|(is, form, zeros, escapes)| {
        let zeros = "0".repeat(zeros);
        let shifted = if is % 10 == 0 { format!("{}e{zeros}1", is / 10) } else { format!("{is}0E-{zeros}1") };
        let json = match form {
            0 => is.to_string(),
            1 => format!("{is}.0{zeros}"),
            2 => format!("{is}e{zeros}0"),
            3 => shifted,
            4 => quoted(&format!("{zeros}{is}"), escapes),
            5 => quoted(&format!("+{is}"), escapes),
            6 => quoted(&format!("{is}.{zeros}"), escapes),
            7 => quoted(&shifted, escapes),
            8 => format!("{is}E+{zeros}0"),
            _ => quoted(&is.to_string(), escapes),
        };
        Spelled { json, is }
    })
}

/// A time of the years 2012 to 2026.
fn time() -> impl Strategy<Value = Spelled<UnixNanos>> {
    let parts = (1_325_462_400i64..1_786_000_000, 0u32..1_000_000_000, 0usize..=20, -23i64..=23, 0i64..60, 0usize..3, 0usize..3, 0u8..20);
    (parts, escapes()).prop_map(|((seconds, nanos, digits, hours, minutes, letter, zone, leap), escapes)| {
        let ahead = if zone == 2 { hours * 3600 + hours.signum() * minutes * 60 } else { 0 };
        let local = jiff::Timestamp::from_second(seconds + ahead).unwrap().to_string();
        let local = if leap == 0 { format!("{}60", &local[..17]) } else { local[..19].to_owned() };
        let fraction: String = format!("{nanos:09}98765432109").chars().take(digits).collect();
        let point = if digits > 0 { "." } else { "" };
        let zone = match zone {
            0 => "Z".to_owned(),
            1 => "z".to_owned(),
            _ => format!("{}{:02}:{:02}", if ahead < 0 { '-' } else { '+' }, ahead.abs() / 3600, ahead.abs() / 60 % 60),
        };
        let spelled = format!("{}{}{}{point}{fraction}{zone}", &local[..10], ["T", "t", " "][letter], &local[11..]);
        // The oracle takes nine digits.
        let nine: String = fraction.chars().take(9).collect();
        let is: jiff::Timestamp = format!("{local}{point}{nine}{zone}").parse().unwrap();
        Spelled { json: quoted(&spelled, escapes), is: UnixNanos(u64::try_from(is.as_nanosecond()).unwrap()) }
    })
}

/// A side as it is sent, whoever's it is.
fn side() -> impl Strategy<Value = Spelled<Side>> {
    (any::<bool>(), any::<u8>(), escapes()).prop_map(|(is_buy, cases, escapes)| {
        let text = if is_buy { "buy" } else { "sell" };
        let case = |(at, letter): (usize, char)| if cases >> at & 1 == 1 { letter.to_ascii_uppercase() } else { letter };
        let is = if is_buy { Side::Buy } else { Side::Sell };
        Spelled { json: quoted(&text.chars().enumerate().map(case).collect::<String>(), escapes), is }
    })
}

fn order_id() -> impl Strategy<Value = Spelled<OrderId>> {
    (any::<[u8; 16]>(), 0..5usize, any::<bool>(), escapes()).prop_map(|(bytes, form, is_upper, escapes)| {
        let dashed = OrderId(bytes).to_string();
        let dashed = if is_upper { dashed.to_uppercase() } else { dashed };
        let bare = dashed.replace('-', "");
        let text =
            [dashed.clone(), bare.clone(), format!("{{{dashed}}}"), format!("{{{bare}}}"), format!("urn:uuid:{dashed}")][form].clone();
        Spelled { json: quoted(&text, escapes), is: OrderId(bytes) }
    })
}

fn product() -> impl Strategy<Value = Spelled<String>> {
    (select(vec!["BTC-USD", "00-USD", "1INCH-EUR", "ETH_PERP"]), escapes())
        .prop_map(|(name, escapes)| Spelled { json: quoted(name, escapes), is: name.to_owned() })
}

/// How an object is laid out: the turn of its fields, white space, unknown fields, escapes in names.
type LaidOut = (usize, bool, usize, u64);

fn layout() -> impl Strategy<Value = LaidOut> {
    (0..20usize, any::<bool>(), 0..4usize, escapes())
}

fn object(fields: &[(&str, String)], (turn, is_spaced, unknown, escapes): LaidOut) -> String {
    let mut fields: Vec<(String, String)> = fields.iter().map(|(name, json)| ((*name).to_owned(), json.clone())).collect();
    if unknown > 0 {
        let odd = ["", "null", r#"{"price":[1e5,{"time":"x"}],"a":{}}"#, r#"[-0.5E+3,"\ud83d\ude00 \"\\",true,[]]"#][unknown];
        fields.push(("unknown".to_owned(), odd.to_owned()));
    }
    let turn = turn % fields.len();
    fields.rotate_left(turn);
    let (comma, colon, open, close) = if is_spaced { (" ,\n\t", " : ", " { ", " } \r\n") } else { (",", ":", "{", "}") };
    let fields: Vec<String> = fields.iter().map(|(name, json)| format!("{}{colon}{json}", quoted(name, escapes))).collect();
    format!("{open}{}{close}", fields.join(comma))
}

/// Checks a decimal against the standard library, and that its text was given verbatim where it does not print back.
fn assert_number(read: Decimal, spelled: &Spelled<String>, column: &str, inexact: &[(&'static str, String)]) {
    let (wide, narrow): (f64, f32) = (spelled.is.parse().unwrap(), spelled.is.parse().unwrap());
    assert_eq!((read.as_f64.to_bits(), read.as_f32.to_bits()), (wide.to_bits(), narrow.to_bits()), "{column} {spelled:?}");
    let given: Vec<&str> = inexact.iter().filter(|(name, _)| *name == column).map(|(_, text)| text.as_str()).collect();
    assert_eq!(given, if read.is_exact() { vec![] } else { vec![spelled.is.as_str()] }, "{column} {spelled:?}");
}

type TradeParts = (Spelled<u64>, Spelled<String>, Spelled<String>, Spelled<Side>, Spelled<UnixNanos>, Spelled<String>);

fn trade_parts() -> impl Strategy<Value = TradeParts> {
    (id(), number(), number(), side(), time(), product())
}

fn assert_trade(read: &Trade, (id, price, size, side, time, _): &TradeParts, inexact: &[(&'static str, String)]) {
    assert_eq!((read.trade_id, read.side, read.time), (id.is, side.is.turned(), time.is), "{id:?} {side:?} {time:?}");
    assert_number(read.price, price, "trade_price_f64", inexact);
    assert_number(read.size, size, "trade_size_f64", inexact);
    assert!(!read.origin.is_flawed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_spelling_of_an_exchange_trade_is_that_trade(
        parts in trade_parts(), maker in order_id(), taker in order_id(), sequence in id(), kind in select(vec!["match", "last_match"]), escaped in escapes(), laid_out in layout(),
    ) {
        let (id, price, size, side, time, product) = parts.clone();
        let fields = [
            ("type", quoted(kind, escaped)), ("trade_id", id.json), ("maker_order_id", maker.json), ("taker_order_id", taker.json), ("side", side.json),
            ("size", size.json), ("price", price.json), ("product_id", product.json), ("sequence", sequence.json), ("time", time.json),
        ];
        let frame = object(&fields, laid_out);
        let (fate, kept) = decode(Feed::Exchange, &frame);
        prop_assert_eq!((fate, kept.trades.len()), (FrameFate::Used, 1), "{} {:?}", frame, kept.rejected);
        let (label, read) = &kept.trades[0];
        assert_trade(read, &parts, &kept.inexact);
        prop_assert_eq!((label, read.maker_order_id, read.taker_order_id, read.sequence), (&product.is, maker.is, taker.is, sequence.is), "{}", frame);
    }

    #[test]
    fn every_spelling_of_an_exchange_ticker_is_that_ticker(
        parts in trade_parts(), sequence in id(), bid in number(), ask in number(), bid_size in number(), ask_size in number(), laid_out in layout(),
    ) {
        let (id, price, size, side, time, product) = parts;
        let fields = [
            ("type", "\"ticker\"".to_owned()), ("sequence", sequence.json), ("product_id", product.json), ("price", price.json.clone()), ("open_24h", "1".to_owned()),
            ("best_bid", bid.json.clone()), ("best_bid_size", bid_size.json.clone()), ("best_ask", ask.json.clone()), ("best_ask_size", ask_size.json.clone()),
            ("side", side.json), ("time", time.json), ("trade_id", id.json), ("last_size", size.json.clone()),
        ];
        let frame = object(&fields, laid_out);
        let (fate, kept) = decode(Feed::Exchange, &frame);
        prop_assert_eq!((fate, kept.tickers.len()), (FrameFate::Used, 1), "{} {:?}", frame, kept.rejected);
        let (label, read) = &kept.tickers[0];
        prop_assert_eq!((label, read.sequence, read.trade_id, read.side, read.time), (&product.is, sequence.is, id.is, Some(side.is), time.is), "{}", frame);
        for (read, spelled, column) in [
            (read.price, &price, "price_f64"), (read.volume, &size, "volume_f64"), (read.best_bid, &bid, "best_bid_f64"), (read.best_ask, &ask, "best_ask_f64"),
        ] {
            assert_number(read, spelled, column, &kept.inexact);
        }
        prop_assert_eq!((Ok(read.best_bid_size), Ok(read.best_ask_size)), (bid_size.is.parse(), ask_size.is.parse()), "{}", frame);
    }

    #[test]
    fn every_spelling_of_an_exchange_heartbeat_is_that_heartbeat(newest in id(), product in product(), time in time(), laid_out in layout()) {
        let fields = [("type", "\"heartbeat\"".to_owned()), ("last_trade_id", newest.json), ("product_id", product.json), ("sequence", "1".to_owned()), ("time", time.json)];
        let (fate, kept) = decode(Feed::Exchange, &object(&fields, laid_out));
        prop_assert_eq!((fate, kept.beats), (FrameFate::Used, vec![(product.is, newest.is)]));
    }

    #[test]
    fn every_spelling_of_an_advanced_message_is_that_message(
        trades in proptest::collection::vec((trade_parts(), layout()), 1..4), sent in time(), sequence in 0..1000u64, form in 0..4usize, laid_out in layout(),
    ) {
        let sequence_num = [sequence.to_string(), format!("\"{sequence}\""), format!("{sequence}.0"), format!("{sequence}e0")][form].clone();
        let envelope = |channel: &str, events: &str| {
            let fields = [("channel", quoted(channel, laid_out.3)), ("timestamp", sent.json.clone()), ("sequence_num", sequence_num.clone()), ("events", events.to_owned())];
            object(&fields, laid_out)
        };
        let mut ids: Vec<u64> = trades.iter().map(|((id, ..), _)| id.is).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assume!(ids.len() == trades.len());
        let listed: Vec<String> = trades.iter().map(|((id, price, size, side, time, product), laid_out)| object(&[
            ("product_id", product.json.clone()), ("trade_id", id.json.clone()), ("price", price.json.clone()), ("size", size.json.clone()), ("time", time.json.clone()), ("side", side.json.clone()),
        ], *laid_out)).collect();
        let frame = envelope("market_trades", &format!(r#"[{{"type":"update","trades":[{}]}}]"#, listed.join(",")));
        let (fate, kept) = decode(Feed::Advanced, &frame);
        prop_assert_eq!((fate, kept.trades.len()), (FrameFate::Used, trades.len()), "{} {:?}", frame, kept.rejected);
        prop_assert_eq!(kept.controls, if sequence == 0 { vec![] } else { vec![Control::SequenceGap { expected: 0, got: sequence }] }, "once, {}", frame);
        for (parts, _) in &trades {
            let (label, read) = kept.trades.iter().find(|(_, trade)| trade.trade_id == parts.0.is).unwrap();
            prop_assert_eq!(label, &parts.5.is);
            if trades.len() == 1 {
                assert_trade(read, parts, &kept.inexact);
            } else {
                prop_assert_eq!((Ok(read.price.as_f64), Ok(read.size.as_f64), read.time), (parts.1.is.parse(), parts.2.is.parse(), parts.4.is));
            }
        }
        let ((_, price, size, ..), _) = &trades[0];
        let ticker = object(&[
            ("product_id", "\"BTC-USD\"".to_owned()), ("price", price.json.clone()), ("best_bid", size.json.clone()), ("best_ask", price.json.clone()), ("best_bid_quantity", price.json.clone()), ("best_ask_quantity", size.json.clone()),
        ], laid_out);
        let frame = envelope("ticker", &format!(r#"[{{"type":"update","tickers":[{ticker}]}}]"#));
        let (fate, kept) = decode(Feed::Advanced, &frame);
        prop_assert_eq!((fate, kept.tickers.len()), (FrameFate::Used, 1), "{} {:?}", frame, kept.rejected);
        let (_, read) = &kept.tickers[0];
        prop_assert_eq!((read.time, Ok(read.best_bid_size), Ok(read.best_ask_size)), (sent.is, price.is.parse(), size.is.parse()));
        assert_number(read.price, price, "price_f64", &kept.inexact);
        assert_number(read.best_bid, size, "best_bid_f64", &kept.inexact);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_spelling_of_a_rest_trade_is_that_trade(all in proptest::collection::vec((trade_parts(), layout()), 1..4)) {
        let element = |(at, ((_, price, size, side, time, _), laid_out)): (usize, &(TradeParts, LaidOut))| {
            let id = [format!("{}", 100 - at), format!("\"{}\"", 100 - at), format!("{}.0", 100 - at), format!("{}0e-1", 100 - at)][laid_out.0 % 4].clone();
            object(&[("time", time.json.clone()), ("trade_id", id), ("price", price.json.clone()), ("size", size.json.clone()), ("side", side.json.clone())], *laid_out)
        };
        let body = format!("[{}]", all.iter().enumerate().map(element).collect::<Vec<_>>().join(","));
        let page = page_of(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        prop_assert_eq!(page.trades.len(), all.len(), "{}", body);
        for (at, (parts, _)) in all.iter().enumerate() {
            let read = &page.trades[all.len() - 1 - at];
            let inexact: Vec<_> = page.inexact.iter().filter(|text| text.trade_id == read.trade_id).map(|text| (text.column, text.text.clone())).collect();
            let mut parts = parts.clone();
            parts.0.is = 100 - at as u64;
            assert_trade(read, &parts, &inexact);
        }
    }
}

const MATCH: &str = concat!(
    r#"{"type":"match","trade_id":7,"maker_order_id":"27fff20b-af29-4f45-8744-56dd1ef57dc0","taker_order_id":"1da6ce16-c8da-4732-9f71-6049f4c6aaf8","#,
    r#""side":"sell","size":"0.04","price":"14.7775","product_id":"BAND-GBP","sequence":333938798,"time":"2026-08-09T21:05:48.77Z"}"#
);

#[test]
fn a_trade_that_breaks_a_rule_which_is_not_its_identity_is_stored_and_flagged() {
    use coltape::internals::record::Implausible;
    let orders = RejectReason::Implausible(Implausible::Orders);
    let (price, size) = (RejectReason::Implausible(Implausible::Price), RejectReason::Implausible(Implausible::Size));
    for (field, by, why) in [
        (r#""size":"0.04""#, r#""size":"0""#, size),
        (r#""size":"0.04""#, r#""size":0.000"#, size),
        (r#""size":"0.04""#, r#""size":"-0""#, size),
        (r#""size":"0.04""#, r#""size":"-1""#, size),
        (r#""size":"0.04""#, r#""size":"1e-60""#, size),
        (r#""price":"14.7775""#, r#""price":"0""#, price),
        (r#""price":"14.7775""#, r#""price":-3e1"#, price),
        (r#""price":"14.7775""#, r#""price":"1e39""#, price),
        (r#""maker_order_id":"27fff20b-af29-4f45-8744-56dd1ef57dc0","#, "", orders),
        (r#""taker_order_id":"1da6ce16-c8da-4732-9f71-6049f4c6aaf8","#, "", orders),
        (r#""maker_order_id":"27fff20b-af29-4f45-8744-56dd1ef57dc0""#, r#""maker_order_id":null"#, orders),
        (r#""taker_order_id":"1da6ce16-c8da-4732-9f71-6049f4c6aaf8""#, r#""taker_order_id":"""#, orders),
        ("27fff20b", "27fff20g", RejectReason::OrderId),
        ("1da6ce16-", "1da6ce160", RejectReason::OrderId),
        (r#""maker_order_id":"27fff20b-af29-4f45-8744-56dd1ef57dc0""#, r#""maker_order_id":7"#, RejectReason::OrderId),
        ("333938798", "\"x\"", RejectReason::Id),
        ("333938798", "-1", RejectReason::Id),
    ] {
        let frame = MATCH.replace(field, by);
        assert_ne!(frame, MATCH, "{field}");
        let (fate, kept) = decode(Feed::Exchange, &frame);
        assert_eq!((fate, kept.trades.len(), kept.flaws, kept.rejected), (FrameFate::Used, 1, vec![why], vec![]), "{frame}");
        let (_, trade) = &kept.trades[0];
        assert!(trade.origin.is_flawed() && trade.trade_id == 7, "{frame}");
    }
    let (_, kept) = decode(Feed::Exchange, MATCH);
    assert!(kept.flaws.is_empty() && !kept.trades[0].1.origin.is_flawed());
    let listed = r#"{"product_id":"BTC-USD","trade_id":"7","price":"1","size":"0","time":"2026-08-09T21:05:42.5Z","side":"SELL"}"#;
    let frame =
        format!(r#"{{"channel":"market_trades","timestamp":"x","sequence_num":0,"events":[{{"type":"update","trades":[{listed}]}}]}}"#);
    let (_, kept) = decode(Feed::Advanced, &frame);
    assert!(kept.trades[0].1.origin.is_flawed() && kept.flaws == [size]);
    let page = page_of(&format!("[{}]", listed.replace("\"product_id\":\"BTC-USD\",", ""))).unwrap();
    assert!(page.trades[0].origin.is_flawed());
}
