//! In the steady state the threads between socket and columns allocate nothing. A counting allocator shows it for each thread, over a million messages.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use coltape::internals::capture::stop::Stop;
use coltape::internals::capture::{self, CaptureConfig};
use coltape::internals::feed::Feed;
use coltape::internals::product::ProductId;
use coltape::internals::schema::Trades;
use coltape::internals::store::Snapshot;
use coltape::internals::time::UtcDay;
use tungstenite::Message;

use crate::allocator::allocations_of;

fn exchange_frames(product: &str, id: u64) -> Vec<String> {
    let (second, micros) = (id / 10_000, id % 10_000 * 100);
    let time = format!("2024-03-09T{:02}:{:02}:{:02}.{micros:06}Z", second / 3600 % 24, second / 60 % 60, second % 60);
    vec![
        format!(
            "{{\"type\":\"match\",\"trade_id\":{id},\"maker_order_id\":\"{:08x}-af29-4f45-8744-56dd1ef57dc0\",\"taker_order_id\":\
             \"1da6ce16-c8da-4732-9f71-{id:012x}\",\"side\":\"sell\",\"size\":\"0.{:08}\",\"price\":\"{}.{:02}\",\"product_id\":\"{product}\",\
             \"sequence\":{},\"time\":\"{time}\"}}",
            id & 0xffff_ffff,
            id % 99_999_999 + 1,
            60_000 + id % 5000,
            id % 100,
            id * 3
        ),
        format!(
            "{{\"type\":\"ticker\",\"sequence\":{},\"product_id\":\"{product}\",\"price\":\"{}.5\",\"open_24h\":\"14.6\",\"volume_24h\":\"94.2\",\
             \"low_24h\":\"14.3\",\"high_24h\":\"16.5\",\"volume_30d\":\"229.5\",\"best_bid\":\"{}.4\",\"best_bid_size\":\"1.5\",\"best_ask\":\"{}.6\",\
             \"best_ask_size\":\"2.5\",\"side\":\"buy\",\"time\":\"{time}\",\"trade_id\":{id},\"last_size\":\"0.04\"}}",
            id * 3,
            60_000 + id % 5000,
            60_000 + id % 5000,
            60_000 + id % 5000
        ),
    ]
}

fn advanced_frames(product: &str, id: u64, sequence: &mut u64) -> Vec<String> {
    let (second, micros) = (id / 10_000, id % 10_000 * 100);
    let time = format!("2024-03-09T{:02}:{:02}:{:02}.{micros:06}Z", second / 3600 % 24, second / 60 % 60, second % 60);
    let mut frame = |channel: &str, events: String| {
        *sequence += 1;
        format!("{{\"channel\":\"{channel}\",\"timestamp\":\"{time}\",\"sequence_num\":{},\"events\":[{events}]}}", *sequence - 1)
    };
    let trade = format!(
        "{{\"product_id\":\"{product}\",\"trade_id\":\"{id}\",\"price\":\"{}.{:02}\",\"size\":\"0.{:08}\",\"time\":\"{time}\",\"side\":\"BUY\"}}",
        60_000 + id % 5000,
        id % 100,
        id % 99_999_999 + 1
    );
    let ticker = format!(
        "{{\"type\":\"ticker\",\"product_id\":\"{product}\",\"price\":\"{}.5\",\"volume_24_h\":\"94.2\",\"low_24_h\":\"14.3\",\"high_24_h\":\"16.5\",\
         \"low_52_w\":\"1\",\"high_52_w\":\"2\",\"price_percent_chg_24_h\":\"0.1\",\"best_bid\":\"60000.4\",\"best_ask\":\"60000.6\",\
         \"best_bid_quantity\":\"1.5\",\"best_ask_quantity\":\"2.5\"}}",
        60_000 + id % 5000
    );
    vec![
        frame("market_trades", format!("{{\"type\":\"update\",\"trades\":[{trade}]}}")),
        frame("ticker", format!("{{\"type\":\"update\",\"tickers\":[{ticker}]}}")),
    ]
}

/// Says that every channel is subscribed, so that the session has nothing to ask for while the threads are watched.
fn acknowledgement(feed: Feed, products: &[ProductId]) -> String {
    let names: Vec<String> = products.iter().map(|product| format!("\"{product}\"")).collect();
    let names = names.join(",");
    match feed {
        Feed::Exchange => {
            let channel = |name: &str| format!("{{\"name\":\"{name}\",\"product_ids\":[{names}]}}");
            let channels = ["ticker", "matches", "heartbeat"].map(channel).join(",");
            format!("{{\"type\":\"subscriptions\",\"channels\":[{channels}]}}")
        }
        Feed::Advanced => format!(
            "{{\"channel\":\"subscriptions\",\"timestamp\":\"2024-03-09T00:00:00Z\",\"sequence_num\":0,\"events\":[{{\"subscriptions\":\
             {{\"ticker\":[{names}],\"market_trades\":[{names}],\"heartbeats\":[\"heartbeats\"]}}}}]}}"
        ),
    }
}

fn await_trades(data: &Path, products: &[ProductId], count: usize) {
    let start = Instant::now();
    let day = UtcDay::parse("2024-03-09").unwrap();
    for product in products {
        let has = || Snapshot::<Trades>::open(data, product, day).ok().flatten().is_some_and(|snapshot| snapshot.count() >= count);
        while !has() {
            assert!(start.elapsed() < Duration::from_secs(100), "{product}: waited in vain for {count} trades");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn run(feed: Feed) {
    const PRODUCTS: usize = 4;
    const WARM_UP_MSGS: usize = 10_000;
    const MEASURED_MSGS: usize = 1_000_000;
    let products: Vec<ProductId> = (0..PRODUCTS).map(|at| ProductId::new(&format!("P{at}-USD")).unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let mut config = CaptureConfig::new(feed, &url, products.iter().cloned(), &data);
    config.idle_timeout = Duration::from_secs(60);
    let stop = Stop::default();
    let capture = {
        let stop = stop.clone();
        std::thread::Builder::new().name("test capture".to_owned()).spawn(move || capture::run(&config, &stop)).unwrap()
    };
    let (stream, _) = listener.accept().unwrap();
    let mut socket = tungstenite::accept(stream).unwrap();
    // Advanced takes one channel a request.
    for _ in 0..if feed == Feed::Exchange { 1 } else { 3 } {
        let subscription = socket.read().unwrap().into_text().unwrap().to_string();
        assert!(subscription.contains("subscribe"), "{subscription}");
    }
    socket.send(Message::text(acknowledgement(feed, &products))).unwrap();
    // The acknowledgement was the Advanced connection's message 0.
    let mut sequence = 1;
    let mut send = |ids: std::ops::Range<usize>| {
        for id in ids {
            for product in &products {
                let id = id as u64 + 1;
                let frames = match feed {
                    Feed::Exchange => exchange_frames(product.as_str(), id),
                    Feed::Advanced => advanced_frames(product.as_str(), id, &mut sequence),
                };
                frames.into_iter().for_each(|frame| socket.write(Message::text(frame)).unwrap());
            }
        }
        socket.flush().unwrap();
    };
    let (warm, all) = (WARM_UP_MSGS / PRODUCTS / 2, (WARM_UP_MSGS + MEASURED_MSGS) / PRODUCTS / 2);
    send(0..warm);
    await_trades(&data, &products, warm);
    let watched = ["line:", "delegate:", "write:"];
    let before = allocations_of(&watched);
    assert_eq!(before.len(), PRODUCTS + 2, "{before:?}");
    // A delegate may never have allocated anything.
    assert!(before.iter().all(|(name, count)| name.starts_with("delegate:") || *count > 0), "the allocator counts: {before:?}");
    send(warm..all);
    await_trades(&data, &products, all);
    let after = allocations_of(&watched);
    assert_eq!(after, before, "{feed:?}: allocations by thread after and before {MEASURED_MSGS} messages");
    stop.ask();
    drop(socket);
    let summary = capture.join().unwrap().unwrap();
    assert!(summary.balances() && summary.trades().written == (all * PRODUCTS) as u64, "{summary:?}");
}

#[test]
fn a_million_messages_of_either_feed_allocate_nothing() {
    let _alone = crate::alone();
    run(Feed::Exchange);
    run(Feed::Advanced);
}
