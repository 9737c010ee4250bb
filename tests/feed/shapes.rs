//! A decoder that reads messages by the shapes that came before gives what one that parses every message gives, for any bytes and whatever it has learned.
//!
//! `COLTAPE_SHAPE_FRAMES` and `COLTAPE_SHAPE_SEED` make it a long run: `scripts/shapes.sh`.

use coltape::internals::feed::{Control, Decoder, Feed, FrameFate, Handler, Item, RejectReason};
use coltape::internals::record::{Ticker, Trade};
use coltape::internals::time::{Timestamp, UnixNanos};
use fastrand::Rng;

use super::recorded;

const RECV: u64 = 1_786_309_548_629_000_000;

/// Everything that a handler is told, as bytes.
#[derive(Default, PartialEq)]
struct Told(Vec<u8>);

impl Told {
    fn put(&mut self, what: u8, texts: &[&[u8]], numbers: &[u64]) {
        self.0.push(what);
        for text in texts {
            self.0.extend_from_slice(&text.len().to_le_bytes());
            self.0.extend_from_slice(text);
        }
        numbers.iter().for_each(|number| self.0.extend_from_slice(&number.to_le_bytes()));
    }
}

fn decimal(value: coltape::Decimal) -> [u64; 3] {
    [value.as_f64.to_bits(), u64::from(value.as_f32.to_bits()), u64::from(value.is_exact())]
}

impl Handler for Told {
    fn trade(&mut self, product: &[u8], trade: &Trade) {
        let Trade { trade_id, time, price, size, side, maker_order_id, taker_order_id, sequence, recv, origin } = *trade;
        self.put(b't', &[product, &maker_order_id.0, &taker_order_id.0], &[trade_id, time.0, sequence, recv.0]);
        self.put(b'.', &[], &[decimal(price), decimal(size)].concat());
        self.put(b'.', &[], &[u64::from(side.code()), u64::from(origin.0)]);
    }
    fn ticker(&mut self, product: &[u8], ticker: &Ticker) {
        let Ticker { time, recv, trade_id, sequence, price, volume, best_bid, best_ask, best_bid_size, best_ask_size, side } = *ticker;
        self.put(b'k', &[product], &[time.0, recv.0, trade_id, sequence, best_bid_size.to_bits(), best_ask_size.to_bits()]);
        self.put(b'.', &[], &[decimal(price), decimal(volume), decimal(best_bid), decimal(best_ask)].concat());
        self.put(b'.', &[], &[side.map_or(9, |side| u64::from(side.code()))]);
    }
    fn heartbeat(&mut self, product: Option<&[u8]>, last_trade_id: u64, time: Option<Timestamp>) {
        self.put(b'h', &[product.unwrap_or(b"-"), format!("{time:?}").as_bytes()], &[last_trade_id]);
    }
    fn inexact(&mut self, product: &[u8], column: &'static str, key: u64, text: &[u8]) {
        self.put(b'x', &[product, column.as_bytes(), text], &[key]);
    }
    fn flaw(&mut self, why: RejectReason) {
        self.put(b'f', &[], &[why.index() as u64]);
    }
    fn snapshot(&mut self) {
        self.put(b's', &[], &[]);
    }
    fn begin_held(&mut self, frame: &[u8], recv: UnixNanos) {
        self.put(b'b', &[frame], &[recv.0]);
    }
    fn end_held(&mut self, frame: &[u8], fate: FrameFate) {
        self.put(b'e', &[frame, format!("{fate:?}").as_bytes()], &[]);
    }
    fn reject_item(&mut self, item: Item, why: RejectReason) {
        self.put(b'r', &[format!("{item:?}").as_bytes()], &[why.index() as u64]);
    }
    fn control(&mut self, control: Control) {
        self.put(b'c', &[format!("{control:?}").as_bytes()], &[]);
    }
}

/// Both ways of reading, side by side.
struct Pair {
    by_shape: Decoder,
    parsed: Decoder,
}

impl Pair {
    fn new(feed: Feed) -> Self {
        let mut parsed = Decoder::new(feed, 2);
        parsed.read_without_shapes();
        Self { by_shape: Decoder::new(feed, 2), parsed }
    }

    fn assert_same(&mut self, frame: &[u8], recv: UnixNanos, seed: u64) -> FrameFate {
        let (mut one, mut other) = (Told::default(), Told::default());
        let fate = self.by_shape.decode(frame, recv, &mut one);
        let wanted = self.parsed.decode(frame, recv, &mut other);
        assert!(fate == wanted && one == other, "seed {seed}: {fate:?} by shape, {wanted:?} parsed: {}", String::from_utf8_lossy(frame));
        fate
    }
}

/// How a sender spells a value.
#[derive(Clone, Copy)]
enum Kind {
    Id,
    Text,
    Price,
    Uuid,
    Side,
    Time,
    Product,
    Word,
}

/// The fields of a message in some order, with the extra ones that this sender has.
#[derive(Clone)]
struct Style {
    fields: Vec<(String, Kind)>,
    /// Ids as strings.
    are_ids_quoted: bool,
    space: &'static str,
}

const MATCH: [(&str, Kind); 10] = [
    ("type", Kind::Word),
    ("trade_id", Kind::Id),
    ("maker_order_id", Kind::Uuid),
    ("taker_order_id", Kind::Uuid),
    ("side", Kind::Side),
    ("size", Kind::Price),
    ("price", Kind::Price),
    ("product_id", Kind::Product),
    ("sequence", Kind::Id),
    ("time", Kind::Time),
];
const TICKER: [(&str, Kind); 17] = [
    ("type", Kind::Word),
    ("sequence", Kind::Id),
    ("product_id", Kind::Product),
    ("price", Kind::Price),
    ("open_24h", Kind::Price),
    ("volume_24h", Kind::Price),
    ("low_24h", Kind::Price),
    ("high_24h", Kind::Price),
    ("volume_30d", Kind::Price),
    ("best_bid", Kind::Price),
    ("best_bid_size", Kind::Price),
    ("best_ask", Kind::Price),
    ("best_ask_size", Kind::Price),
    ("side", Kind::Side),
    ("time", Kind::Time),
    ("trade_id", Kind::Id),
    ("last_size", Kind::Price),
];
const HEARTBEAT: [(&str, Kind); 5] =
    [("type", Kind::Word), ("last_trade_id", Kind::Id), ("product_id", Kind::Product), ("sequence", Kind::Id), ("time", Kind::Time)];
const LISTED_TRADE: [(&str, Kind); 6] = [
    ("product_id", Kind::Product),
    ("trade_id", Kind::Id),
    ("price", Kind::Price),
    ("size", Kind::Price),
    ("time", Kind::Time),
    ("side", Kind::Side),
];
const LISTED_TICKER: [(&str, Kind); 13] = [
    ("type", Kind::Text),
    ("product_id", Kind::Product),
    ("price", Kind::Price),
    ("volume_24_h", Kind::Price),
    ("low_24_h", Kind::Price),
    ("high_24_h", Kind::Price),
    ("low_52_w", Kind::Price),
    ("high_52_w", Kind::Price),
    ("price_percent_chg_24_h", Kind::Price),
    ("best_bid", Kind::Price),
    ("best_ask", Kind::Price),
    ("best_bid_quantity", Kind::Price),
    ("best_ask_quantity", Kind::Price),
];

fn style(rng: &mut Rng, fields: &[(&str, Kind)], quoted: bool) -> Style {
    let mut fields: Vec<(String, Kind)> = fields.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
    if rng.u8(..4) == 0 {
        rng.shuffle(&mut fields);
    }
    if rng.u8(..4) == 0 {
        let at = rng.usize(..fields.len());
        fields.remove(at);
    }
    for _ in 0..rng.usize(..3).saturating_sub(1) {
        let name = rng.choice(["extra", "type", "trade_id", "liquidity", "events", "trades", "", "tr\\u0061de_id"]).unwrap().to_owned();
        let kind = rng.choice([Kind::Id, Kind::Text, Kind::Price]).unwrap();
        fields.insert(rng.usize(..=fields.len()), (name, kind));
    }
    let space = if rng.u8(..6) == 0 { rng.choice([" ", "\n\t", "  "]).unwrap() } else { "" };
    Style { fields, are_ids_quoted: quoted != (rng.u8(..6) == 0), space }
}

/// A number of up to so many bits, of any length.
fn up_to(rng: &mut Rng, bits: u32) -> u64 {
    let bits = rng.u32(1..bits);
    rng.u64(..1 << bits)
}

/// A value that fits, or now and then one that hardly does.
fn value(rng: &mut Rng, kind: Kind, kind_name: &str, quoted: bool) -> String {
    if rng.u16(..60) == 0 {
        let odd = [
            "null",
            "true",
            "false",
            "0",
            "-1",
            "01",
            "1.5",
            "1e3",
            "\"\"",
            "\"1e-7\"",
            "{}",
            "[]",
            "{\"a\":1}",
            "[1]",
            "18446744073709551615",
            "18446744073709551616",
            "9999999999999999999",
            "\"a\\\"b\"",
            "\"\\u0041\"",
            "\"\u{e9}\u{20ac}\"",
            "\"\u{1}\"",
            "\"a,\\\"b\\\":1\"",
            "\"0\"",
            "\"12345678901234567890.123456789\"",
            "\"+5\"",
            "\"BUY\"",
            "\"sell\"",
            "\"\u{7f}\"",
            "",
            "nul",
            "\"",
            "\"2026-08-09T21:05:60Z\"",
            "\"0001-01-01T00:00:00Z\"",
            "\"2026-08-09 21:05:48+00:00\"",
        ];
        return rng.choice(odd).unwrap().to_owned();
    }
    let id = up_to(rng, 40);
    match kind {
        Kind::Id if quoted => format!("\"{id}\""),
        Kind::Id => id.to_string(),
        Kind::Text => format!("\"{}\"", (0..rng.u8(..20)).map(|_| rng.alphanumeric()).collect::<String>()),
        Kind::Price => format!("\"{}.{}\"", up_to(rng, 30), up_to(rng, 30)),
        Kind::Uuid => {
            let text = format!("{:032x}", rng.u128(..));
            format!("\"{}-{}-{}-{}-{}\"", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
        }
        Kind::Side => format!("\"{}\"", rng.choice(["buy", "sell", "BUY", "SELL"]).unwrap()),
        Kind::Time => format!("\"2026-08-09T21:05:{:02}.{}Z\"", rng.u8(..60), up_to(rng, 20)),
        Kind::Product => format!("\"{}\"", rng.choice(["BTC-USD", "ETH-EUR", "00-USD", "1INCH-USD", "A B"]).unwrap()),
        Kind::Word => format!("\"{kind_name}\""),
    }
}

fn object(rng: &mut Rng, style: &Style, kind: &str) -> String {
    let space = style.space;
    let parts: Vec<String> = style
        .fields
        .iter()
        .map(|(name, field)| format!("{space}\"{name}\"{space}:{}", value(rng, *field, kind, style.are_ids_quoted)))
        .collect();
    format!("{{{}{space}}}", parts.join(","))
}

/// A sender of one feed, that changes its style now and then.
struct Sender {
    feed: Feed,
    styles: Vec<(&'static str, Style)>,
    envelope: u8,
    sequence: u64,
}

impl Sender {
    fn new(feed: Feed) -> Self {
        Self { feed, styles: Vec::new(), envelope: 0, sequence: 0 }
    }

    fn frame(&mut self, rng: &mut Rng) -> Vec<u8> {
        if self.styles.is_empty() || rng.u16(..200) == 0 {
            self.envelope = if rng.u8(..3) == 0 { rng.u8(..8) } else { 0 };
            self.styles = match self.feed {
                Feed::Exchange => vec![
                    ("match", style(rng, &MATCH, false)),
                    ("last_match", style(rng, &MATCH, false)),
                    ("ticker", style(rng, &TICKER, false)),
                    ("heartbeat", style(rng, &HEARTBEAT, false)),
                ],
                _ => vec![("market_trades", style(rng, &LISTED_TRADE, true)), ("ticker", style(rng, &LISTED_TICKER, true))],
            };
        }
        let (kind, style) = rng.choice(&self.styles).unwrap().clone();
        let mut frame = match self.feed {
            Feed::Exchange => object(rng, &style, kind),
            _ => self.envelope(rng, kind, &style),
        }
        .into_bytes();
        if rng.u8(..5) == 0 {
            spoil(rng, &mut frame);
        }
        frame
    }

    fn envelope(&mut self, rng: &mut Rng, kind: &str, style: &Style) -> String {
        let count = if rng.u8(..10) == 0 { rng.usize(..30) } else { rng.usize(..4) };
        let mut elements: Vec<String> = (0..count).map(|_| object(rng, style, "x")).collect();
        if rng.u8(..20) == 0 {
            let other = self::style(rng, &LISTED_TRADE, true);
            elements.push(object(rng, &other, "x"));
        }
        let list = if kind == "market_trades" { "trades" } else { "tickers" };
        let (elements, event) = (elements.join(","), rng.choice(["update", "snapshot"]).unwrap());
        let (sequence, space) = (self.sequence, style.space);
        self.sequence += u64::from(rng.u8(..50) != 0);
        let time = value(rng, Kind::Time, "", true);
        let event = match self.envelope {
            1 => format!(r#"{{"{list}":[{elements}],"type":"{event}"}}"#),
            2 => format!(r#"{{"type":"{event}","{list}":[{elements}],"more":"{event}"}}"#),
            3 => format!(r#"{{"type":"{event}","{list}":[{elements}]}},{{"type":"update","{list}":[{elements}]}}"#),
            _ => format!(r#"{{"type":"{event}",{space}"{list}":[{elements}]}}"#),
        };
        match self.envelope {
            4 => format!(r#"{{"events":[{event}],"channel":"{kind}","timestamp":{time},"sequence_num":{sequence}}}"#),
            5 => format!(r#"{{"channel":"{kind}","sequence_num":{sequence},"events":[{event}],"timestamp":{time}}}"#),
            6 => format!(r#"{{"channel":"{kind}","timestamp":{time},"sequence_num":"{sequence}","client_id":null,"events":[{event}] }} "#),
            _ => format!(r#"{{"channel":"{kind}","client_id":"","timestamp":{time},"sequence_num":{sequence},"events":[{event}]}}"#),
        }
    }
}

/// Changes some bytes.
fn spoil(rng: &mut Rng, frame: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..4) {
        if frame.is_empty() {
            return;
        }
        let at = rng.usize(..frame.len());
        let byte = if rng.bool() { rng.choice(*b"\"\\{}[]:,0 \n\x00\x1f\x7f\x80\xc3\xa9e.-tn").unwrap() } else { rng.u8(..) };
        match rng.u8(..6) {
            0 => frame[at] = byte,
            1 => frame.insert(at, byte),
            2 => drop(frame.remove(at)),
            3 => frame.truncate(at),
            4 => frame[at] ^= 1 << rng.u8(..8),
            _ => {
                let end = rng.usize(at..=frame.len());
                let part = frame[at..end].to_vec();
                let to = rng.usize(..=frame.len());
                frame.splice(to..to, part);
            }
        }
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

#[test]
fn what_is_read_by_shape_is_what_the_parser_gives_for_any_bytes() {
    let (frames, seed) = (setting("COLTAPE_SHAPE_FRAMES", 200_000), setting("COLTAPE_SHAPE_SEED", 1));
    for feed in [Feed::Exchange, Feed::Advanced] {
        let mut rng = Rng::with_seed(seed);
        let (mut pair, mut sender) = (Pair::new(feed), Sender::new(feed));
        let mut used = 0;
        for at in 0..frames / 2 {
            let frame = sender.frame(&mut rng);
            let recv = UnixNanos(RECV + at * 1_000_000);
            used += u64::from(pair.assert_same(&frame, recv, seed) == FrameFate::Used);
            if at % 5_000 == 0 {
                pair.by_shape.begin_connection();
                pair.parsed.begin_connection();
            }
        }
        let by_shape = pair.by_shape.read_by_shape();
        println!("seed {seed}, {feed:?}: {frames} frames, {used} used, {by_shape} read by their shape");
        assert_eq!(pair.parsed.read_by_shape(), 0);
        assert!(by_shape > frames / 10 && used > frames / 10, "too few were read by shape to prove anything");
    }
}

#[test]
fn recorded_frames_whole_and_spoiled_are_read_alike_and_nearly_all_by_their_shape() {
    for (feed, name) in [(Feed::Exchange, "exchange-2021-04-17.tsv"), (Feed::Advanced, "advanced-2026-08-09.tsv")] {
        let Some(frames) = recorded::frames(name) else { continue };
        let mut pair = Pair::new(feed);
        for (recv, frame) in &frames {
            pair.assert_same(frame.as_bytes(), *recv, 0);
        }
        let by_shape = pair.by_shape.read_by_shape();
        let market = frames
            .iter()
            .filter(|(_, frame)| ["\"match\"", "\"ticker\"", "\"market_trades\""].iter().any(|kind| frame.contains(kind)))
            .count();
        println!("{name}: {by_shape} of {market} frames of the market read by their shape");
        assert!(by_shape > market as u64 * 9 / 10, "{by_shape} of {market}");
        let mut rng = Rng::with_seed(3);
        for (recv, frame) in &frames {
            let mut frame = frame.clone().into_bytes();
            spoil(&mut rng, &mut frame);
            pair.assert_same(&frame, *recv, 3);
        }
    }
}
