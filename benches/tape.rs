//! Parse and write throughput, each beside a baseline in the same run: `cargo bench`.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use coltape::feed::{Control, Decoder, Feed, Handler, Item, RejectReason};
use coltape::product::ProductId;
use coltape::record::{Means, OrderId, Origin, Side, Ticker, Trade};
use coltape::schema::Trades;
use coltape::store::{DataDir, Day, InsertError, StoreOptions};
use coltape::time::{Timestamp, UnixNanos};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Distinct messages: repeating a few makes the branch predictor learn them.
const CORPUS: u64 = 8192;

const RECV: UnixNanos = UnixNanos(1_710_000_000_000_000_000);

fn frames() -> Vec<String> {
    let mut rng = fastrand::Rng::with_seed(1);
    (0..CORPUS)
        .map(|id| {
            let mut uuid = || OrderId(rng.u128(..).to_be_bytes());
            let (maker, taker) = (uuid(), uuid());
            format!(
                "{{\"type\":\"match\",\"trade_id\":{},\"maker_order_id\":\"{maker}\",\"taker_order_id\":\"{taker}\",\"side\":\"sell\",\
                 \"size\":\"0.{:08}\",\"price\":\"{}.{:02}\",\"product_id\":\"BTC-USD\",\"sequence\":{},\"time\":\"2024-03-09T12:00:{:02}.{:06}Z\"}}",
                1_000_000 + id,
                rng.u32(1..99_999_999),
                rng.u32(10_000..99_999),
                rng.u32(0..100),
                id * 7,
                id / 200 % 60,
                rng.u32(0..1_000_000)
            )
        })
        .collect()
}

#[derive(Default)]
struct Last(Option<Trade>);

impl Handler for Last {
    fn trade(&mut self, _: &[u8], trade: &Trade) {
        self.0 = Some(*trade);
    }
    fn ticker(&mut self, _: &[u8], _: &Ticker) {}
    fn heartbeat(&mut self, _: Option<&[u8]>, _: u64, _: Option<Timestamp>) {}
    fn inexact(&mut self, _: &[u8], _: &'static str, _: u64, _: &[u8]) {}
    fn reject_item(&mut self, _: Item, _: RejectReason) {}
    fn control(&mut self, _: Control) {}
}

/// The plain way: a JSON tree, std's conversions.
fn by_value(frame: &str) -> Option<Trade> {
    let value: serde_json::Value = serde_json::from_str(frame).ok()?;
    let text = |key: &str| value[key].as_str().unwrap();
    let decimal = |key: &str| coltape::decimal::Decimal::new(text(key).parse().unwrap(), text(key).parse().unwrap(), true);
    let order = |key: &str| OrderId(hex::decode(value[key].as_str().unwrap().replace('-', "")).unwrap().try_into().unwrap());
    let time: jiff::Timestamp = value["time"].as_str()?.parse().ok()?;
    Some(Trade {
        trade_id: value["trade_id"].as_u64()?,
        time: UnixNanos(u64::try_from(time.as_nanosecond()).ok()?),
        price: decimal("price"),
        size: decimal("size"),
        side: if value["side"].as_str()? == "sell" { Side::Buy } else { Side::Sell },
        maker_order_id: order("maker_order_id"),
        taker_order_id: order("taker_order_id"),
        sequence: value["sequence"].as_u64()?,
        recv: RECV,
        origin: Origin::new(Means::Live, 0, false),
    })
}

fn parse(c: &mut Criterion) {
    let frames = frames();
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(CORPUS));
    group.bench_function("match to record, coltape", |b| {
        let (mut decoder, mut last) = (Decoder::new(Feed::Exchange, 0), Last::default());
        b.iter(|| {
            for frame in &frames {
                decoder.decode(frame.as_bytes(), RECV, &mut last);
            }
            black_box(last.0)
        });
    });
    group.bench_function("match to record, serde_json Value and std", |b| {
        b.iter(|| frames.iter().filter(|frame| black_box(by_value(frame)).is_some()).count());
    });
    group.finish();
}

fn write(c: &mut Criterion) {
    let trades: Vec<Trade> = frames().iter().filter_map(|frame| by_value(frame)).collect();
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Elements(CORPUS));
    group.bench_function("full record into 13 mapped columns", |b| {
        let folder = tempfile::tempdir().unwrap();
        let dir = Arc::new(DataDir::open(folder.path(), StoreOptions::default(), "bench").unwrap());
        let product = ProductId::new("BTC-USD").unwrap();
        let (mut day, _) = Day::<Trades>::open(&dir, &product, RECV.day(), RECV).unwrap();
        let mut id = 0;
        b.iter(|| {
            for trade in &trades {
                id += 1;
                let trade = Trade { trade_id: id, ..*trade };
                while let Err(error) = day.insert(&trade) {
                    assert!(matches!(error, InsertError::NoRoom), "{error}");
                    day.files().provision().unwrap();
                }
            }
            day.commit();
        });
    });
    group.bench_function("the same bytes through 13 BufWriters of 128 KiB", |b| {
        let folder = tempfile::tempdir().unwrap();
        let mut files: Vec<_> = (0..13)
            .map(|at| BufWriter::with_capacity(128 << 10, std::fs::File::create(folder.path().join(at.to_string())).unwrap()))
            .collect();
        b.iter(|| {
            for trade in &trades {
                let [id, time, nanos, price, size, side, maker, taker, price_f64, size_f64, sequence, recv, origin] = &mut files[..] else {
                    unreachable!()
                };
                id.write_all(&trade.trade_id.to_le_bytes()).unwrap();
                time.write_all(&trade.time.seconds().to_le_bytes()).unwrap();
                nanos.write_all(&trade.time.subsec_nanos().to_le_bytes()).unwrap();
                price.write_all(&trade.price.as_f32.to_le_bytes()).unwrap();
                size.write_all(&trade.size.as_f32.to_le_bytes()).unwrap();
                side.write_all(&trade.side.code().to_le_bytes()).unwrap();
                maker.write_all(&trade.maker_order_id.0).unwrap();
                taker.write_all(&trade.taker_order_id.0).unwrap();
                price_f64.write_all(&trade.price.as_f64.to_le_bytes()).unwrap();
                size_f64.write_all(&trade.size.as_f64.to_le_bytes()).unwrap();
                sequence.write_all(&trade.sequence.to_le_bytes()).unwrap();
                recv.write_all(&trade.recv.0.to_le_bytes()).unwrap();
                origin.write_all(&trade.origin.0.to_le_bytes()).unwrap();
            }
        });
    });
    group.finish();
}

criterion_group! { name = tape; config = Criterion::default().sample_size(20); targets = parse, write }
criterion_main!(tape);
