//! The hot path allocates nothing: a counting allocator watches one thread while it decodes a million messages, and reads a million over loopback.

use coltape::internals::feed::endpoint::Endpoint;
use coltape::internals::feed::socket::{Received, Socket};
use coltape::internals::feed::timeouts::Timeouts;
use coltape::internals::feed::tls::TlsRoots;
use coltape::internals::feed::{Control, Decoder, Feed, FrameFate, Handler, Item, RejectReason};
use coltape::internals::record::{Ticker, Trade};
use coltape::internals::time::{Timestamp, UnixNanos};
use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::allocator::allocations_during;

const WARM_UP: usize = 10_000;
const MESSAGES: usize = 1_000_000;

#[derive(Default)]
struct Tally {
    trades: usize,
    tickers: usize,
    heartbeats: usize,
    inexact: usize,
}

impl Handler for Tally {
    fn trade(&mut self, _: &[u8], _: &Trade) {
        self.trades += 1;
    }
    fn ticker(&mut self, _: &[u8], _: &Ticker) {
        self.tickers += 1;
    }
    fn heartbeat(&mut self, _: Option<&[u8]>, _: u64, _: Option<Timestamp>) {
        self.heartbeats += 1;
    }
    fn inexact(&mut self, _: &[u8], _: &'static str, _: u64, _: &[u8]) {
        self.inexact += 1;
    }
    fn reject_item(&mut self, _: Item, why: RejectReason) {
        panic!("{why}");
    }
    fn control(&mut self, control: Control) {
        panic!("{control:?}");
    }
}

const RECV: UnixNanos = UnixNanos(1_786_309_548_629_000_000);

/// Distinct messages in the proportions of a busy connection, other channels' included.
fn exchange_messages(count: usize) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(7);
    let messages = (0..count).map(|at| {
        let (price, cents, size) = (random.u32(1..90_000), random.u32(0..100), random.u32(1..1_000_000_000));
        let (product, time) = (random.u32(0..400), format!("2026-08-09T21:0{}:{:02}.{:06}Z", at / 60 % 6, at % 60, random.u32(0..1_000_000)));
        let uuid = format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", random.u32(..), random.u16(..), at % 4096, at % 4095, random.u64(..1 << 48));
        match at % 10 {
            0 => format!(r#"{{"type":"l2update","product_id":"P{product}-USD","changes":[["buy","{price}.{cents:02}","{size}"]],"time":"{time}"}}"#),
            1 => format!(r#"{{"type":"heartbeat","last_trade_id":{at},"product_id":"P{product}-USD","sequence":{at},"time":"{time}"}}"#),
            2..5 => format!(
                concat!(
                    r#"{{"type":"ticker","sequence":{},"product_id":"P{}-USD","price":"{}.{:02}","open_24h":"1","volume_24h":"2","low_24h":"3","#,
                    r#""high_24h":"4","volume_30d":"5","best_bid":"{}.01","best_bid_size":"0.5","best_ask":"{}.02","best_ask_size":"0.25","#,
                    r#""side":"buy","time":"{}","trade_id":{},"last_size":"0.{:09}"}}"#
                ),
                at + 1, product, price, cents, price, price, time, at + 1, size
            ),
            _ => format!(
                concat!(
                    r#"{{"type":"match","trade_id":{},"maker_order_id":"{}","taker_order_id":"{}","side":"sell","size":"0.{:09}","price":"{}.{:02}","#,
                    r#""product_id":"P{}-USD","sequence":{},"time":"{}"}}"#
                ),
                at + 1, uuid, uuid, size, price, cents, product, at + 1, time
            ),
        }
    });
    messages.collect()
}

/// Batches of one to a hundred trades, newest first, and tickers; `sequence_num` runs on for one round only.
fn advanced_message(at: usize) -> String {
    let head = |channel: &str| {
        format!(
            r#"{{"channel":"{channel}","timestamp":"2026-08-09T21:05:48.{:09}Z","sequence_num":{at},"events":[{{"type":"update","#,
            at % 999_999_999
        )
    };
    if at.is_multiple_of(3) {
        let ticker = r#"{"type":"ticker","product_id":"BTC-USD","price":"65086.18","volume_24_h":"1","best_bid":"65083.66","best_ask":"65083.67","best_bid_quantity":"0.2","best_ask_quantity":"0.24"}"#;
        return format!("{}\"tickers\":[{ticker}]}}]}}", head("ticker"));
    }
    let batch = if at.is_multiple_of(1000) { 100 } else { 1 + at % 4 };
    let trade = |back: usize| {
        format!(
            r#"{{"product_id":"BTC-USD","trade_id":"{}","price":"65083.{:02}","size":"0.0{at}","time":"2026-08-09T21:05:4{}.1Z","side":"SELL"}}"#,
            at * 100 + 100 - back,
            at % 100,
            at % 8
        )
    };
    let trades: Vec<String> = (0..batch).map(trade).collect();
    format!("{}\"trades\":[{}]}}]}}", head("market_trades"), trades.join(","))
}

#[test]
fn a_million_exchange_frames_are_decoded_without_an_allocation() {
    let _alone = crate::alone();
    let messages = exchange_messages(4096);
    let (mut decoder, mut tally) = (Decoder::new(Feed::Exchange, 0), Tally::default());
    let mut frames = messages.iter().cycle();
    let mut decode = |count: usize, tally: &mut Tally| {
        for frame in frames.by_ref().take(count) {
            assert!(!matches!(decoder.decode(frame.as_bytes(), RECV, tally), FrameFate::Rejected(_)), "{frame}");
        }
    };
    decode(WARM_UP, &mut tally);
    assert_eq!(allocations_during(|| decode(MESSAGES, &mut tally)), 0);
    let all = (WARM_UP + MESSAGES) as f64;
    assert!(tally.trades as f64 > all * 0.49 && tally.tickers as f64 > all * 0.29 && tally.heartbeats as f64 > all * 0.09);
}

#[test]
fn a_million_advanced_frames_are_decoded_without_an_allocation() {
    let _alone = crate::alone();
    // A gap leads to a call of `control`, at which this tally panics: the numbers must be consecutive through every round.
    const ROUND: usize = 5000;
    let messages: Vec<String> = (0..ROUND).map(advanced_message).collect();
    let (mut decoder, mut tally) = (Decoder::new(Feed::Advanced, 0), Tally::default());
    let mut decode_rounds = |rounds: usize, tally: &mut Tally| {
        for _ in 0..rounds {
            decoder.begin_connection();
            for frame in &messages {
                assert_eq!(decoder.decode(frame.as_bytes(), RECV, tally), FrameFate::Used, "{frame}");
            }
        }
    };
    decode_rounds(WARM_UP / ROUND, &mut tally);
    assert_eq!(allocations_during(|| decode_rounds(MESSAGES / ROUND, &mut tally)), 0);
    assert!(tally.trades > MESSAGES && tally.tickers > MESSAGES / 4);
}

/// Frames as a server sends them: final, text, unmasked.
fn framed(messages: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.push(0x81);
        match u16::try_from(message.len()).unwrap() {
            short @ 0..126 => bytes.push(u8::try_from(short).unwrap()),
            long => {
                bytes.push(126);
                bytes.extend_from_slice(&long.to_be_bytes());
            }
        }
        bytes.extend_from_slice(message.as_bytes());
    }
    bytes
}

#[test]
fn a_million_messages_are_read_from_a_socket_without_an_allocation() {
    let _alone = crate::alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::parse(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
    let messages = exchange_messages(4096);
    let stream = framed(&messages);
    let rounds = (WARM_UP + MESSAGES).div_ceil(messages.len());
    let server = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let mut peer = tungstenite::accept(tcp).unwrap();
        for _ in 0..rounds {
            peer.get_mut().write_all(&stream).unwrap();
        }
        // The client closes first.
        let _ = peer.read();
    });

    let mut socket = Socket::connect(&endpoint, &TlsRoots::default(), &Timeouts::default()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut read, mut buffered) = (0usize, 0usize);
    let mut read_up_to = |wanted: usize| {
        while read < wanted {
            match socket.read().unwrap() {
                Received::Text(text) => {
                    assert_eq!(text, messages[read % messages.len()].as_bytes());
                    read += 1;
                }
                Received::Idle => assert!(Instant::now() < deadline, "the server has gone silent"),
                Received::Closed { code, .. } => panic!("closed with {code}"),
            }
            buffered += usize::from(socket.read_ahead());
        }
    };
    read_up_to(WARM_UP);
    assert_eq!(allocations_during(|| read_up_to(WARM_UP + MESSAGES)), 0);
    assert!(buffered > MESSAGES / 2, "only {buffered} messages were buffered");
    drop(socket);
    server.join().unwrap();
}
