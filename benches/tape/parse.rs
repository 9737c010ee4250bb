//! Frames to records.

use std::hint::black_box;
use std::time::Duration;

use coltape::internals::feed::{Control, Decoder, Feed, FrameFate, Handler, Item, RejectReason};
use coltape::internals::record::{Ticker, Trade};
use coltape::internals::time::{TimeCache, Timestamp};

use crate::corpus::{CORPUS, Maker, RECV, time_of};
use crate::rivals::{TypedEnvelope, TypedMatch, TypedTicker, value};
use crate::rounds::{Contest, Entrant, thread_cpu};

/// Names that targets and tables share.
pub const COLTAPE: &str = "coltape";
/// The plain way.
pub const VALUE: &str = "serde_json Value, std, hex, jiff";
/// A typed way.
pub const SERDE: &str = "serde_json typed &str, coltape's conversions";
/// The fastest typed way known.
pub const SONIC: &str = "sonic-rs typed &str, coltape's conversions";
/// What simd-json itself costs with its inner copy.
pub const TAPE: &str = "simd-json fill_tape alone, buffers reused, with the copy";
/// What simd-json itself costs with the copy into a padded buffer.
pub const BARE_TAPE: &str = "simd-json fill_tape_padded alone, buffers reused, with the copy";

/// Takes what a decoder gives, so that the compiler leaves nothing out.
#[derive(Default)]
struct Taker {
    records: u64,
}

impl Handler for Taker {
    #[inline]
    fn trade(&mut self, product: &[u8], trade: &Trade) {
        black_box((product, trade));
        self.records += 1;
    }
    #[inline]
    fn ticker(&mut self, product: &[u8], ticker: &Ticker) {
        black_box((product, ticker));
        self.records += 1;
    }
    fn heartbeat(&mut self, _: Option<&[u8]>, _: u64, _: Option<Timestamp>) {}
    fn inexact(&mut self, _: &[u8], _: &'static str, _: u64, _: &[u8]) {}
    fn reject_item(&mut self, _: Item, _: RejectReason) {}
    fn control(&mut self, _: Control) {}
}

/// Puts the frames behind one another, so that no entrant profits from where they lie.
struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    fn of(frames: impl Iterator<Item = String>) -> &'static Self {
        let mut all = Self { bytes: Vec::new(), ends: Vec::new() };
        for frame in frames {
            all.bytes.extend_from_slice(frame.as_bytes());
            all.ends.push(all.bytes.len());
        }
        // Lives as long as the process, for the entrants to borrow.
        Box::leak(Box::new(all))
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.bytes[std::mem::replace(&mut start, *end)..*end])
    }
}

fn entrant(name: &'static str, frames: &'static Frames, mut read: impl FnMut(&[u8]) -> bool + 'static) -> Entrant {
    let run = move || {
        let (began, mut good) = (thread_cpu(), 0);
        for frame in frames.iter() {
            good += usize::from(read(frame));
        }
        let took = thread_cpu() - began;
        assert_eq!(good, frames.ends.len(), "{name}: every frame is read");
        took
    };
    Entrant { name, run: Box::new(run) as Box<dyn FnMut() -> Duration> }
}

fn coltape(feed: Feed, frames: &'static Frames) -> Entrant {
    let (mut decoder, mut taker) = (Decoder::new(feed, 0), Taker::default());
    entrant(COLTAPE, frames, move |frame| decoder.decode(frame, RECV, &mut taker) == FrameFate::Used)
}

fn lower_bounds(frames: &'static Frames) -> [Entrant; 2] {
    let longest = frames.iter().map(<[u8]>::len).max().unwrap_or(0);
    let (mut scratch, mut buffers) = (Vec::with_capacity(longest + 64), simd_json::Buffers::new(longest));
    let mut tape = Some(simd_json::Tape::null());
    let plain = entrant(TAPE, frames, move |frame| {
        scratch.clear();
        scratch.extend_from_slice(frame);
        let mut nodes = tape.take().unwrap().reset();
        let is_good = simd_json::fill_tape(&mut scratch, &mut buffers, &mut nodes).is_ok();
        black_box(nodes.0.len());
        tape = Some(nodes.reset());
        is_good
    });
    let (mut scratch, mut buffers) = (Vec::with_capacity(longest + 64), simd_json::Buffers::new(longest));
    let mut tape = Some(simd_json::Tape::null());
    let padded = entrant(BARE_TAPE, frames, move |frame| {
        scratch.clear();
        scratch.extend_from_slice(frame);
        scratch.extend_from_slice(&[b' '; simd_json::INPUT_PADDING]);
        let mut nodes = tape.take().unwrap().reset();
        let is_good = simd_json::fill_tape_padded(&mut scratch, frame.len(), &mut buffers, &mut nodes).is_ok();
        black_box(nodes.0.len());
        tape = Some(nodes.reset());
        is_good
    });
    [plain, padded]
}

fn contest(name: &'static str, per: &'static str, each: u64, entrants: Vec<Entrant>, frames: &Frames) -> Contest {
    Contest { name, per, elements: frames.ends.len() as u64 * each, entrants }
}

/// The contest over `match` messages.
pub fn matches() -> Contest {
    let mut maker = Maker::new(1);
    let frames = Frames::of((0..CORPUS).map(|at| maker.matched("BTC-USD", 700_000_000 + at as u64, time_of(at))));
    let (mut serde_times, mut sonic_times) = (TimeCache::default(), TimeCache::default());
    let mut entrants = vec![
        coltape(Feed::Exchange, frames),
        entrant(VALUE, frames, |frame| black_box(value::matched(frame, RECV)).is_some()),
        entrant(SERDE, frames, move |frame| {
            let typed: TypedMatch<'_> = serde_json::from_slice(frame).unwrap();
            black_box((typed.product_id, typed.to_trade(RECV, &mut serde_times))).1.is_some()
        }),
        entrant(SONIC, frames, move |frame| {
            let typed: TypedMatch<'_> = sonic_rs::from_slice(frame).unwrap();
            black_box((typed.product_id, typed.to_trade(RECV, &mut sonic_times))).1.is_some()
        }),
    ];
    entrants.extend(lower_bounds(frames));
    contest("parse: match", "ns CPU / message", 1, entrants, frames)
}

/// The contest over `ticker` messages.
pub fn tickers() -> Contest {
    let mut maker = Maker::new(2);
    let frames = Frames::of((0..CORPUS).map(|at| maker.ticker("BTC-USD", 700_000_000 + at as u64, time_of(at))));
    let (mut serde_times, mut sonic_times) = (TimeCache::default(), TimeCache::default());
    let mut entrants = vec![
        coltape(Feed::Exchange, frames),
        entrant(VALUE, frames, |frame| black_box(value::ticker(frame, RECV)).is_some()),
        entrant(SERDE, frames, move |frame| {
            let typed: TypedTicker<'_> = serde_json::from_slice(frame).unwrap();
            black_box(typed.to_ticker(RECV, &mut serde_times)).is_some()
        }),
        entrant(SONIC, frames, move |frame| {
            let typed: TypedTicker<'_> = sonic_rs::from_slice(frame).unwrap();
            black_box(typed.to_ticker(RECV, &mut sonic_times)).is_some()
        }),
    ];
    entrants.extend(lower_bounds(frames));
    contest("parse: ticker", "ns CPU / message", 1, entrants, frames)
}

/// The contest over `market_trades` messages of so many trades each.
pub fn batches(trades: u64) -> Contest {
    let mut maker = Maker::new(3);
    let count = CORPUS as u64 / trades;
    let frames =
        Frames::of((0..count).map(|at| maker.batch("BTC-USD", 700_000_000 + at * trades, trades, time_of((at * trades) as usize))));
    let (mut serde_times, mut sonic_times) = (TimeCache::default(), TimeCache::default());
    let mut entrants = vec![
        coltape(Feed::Advanced, frames),
        entrant(VALUE, frames, |frame| {
            value::batch(frame, RECV, |trade| {
                black_box(trade);
            })
            .is_some()
        }),
        entrant(SERDE, frames, move |frame| {
            let typed: TypedEnvelope<'_> = serde_json::from_slice(frame).unwrap();
            typed
                .for_each_trade(RECV, &mut serde_times, |trade| {
                    black_box(trade);
                })
                .is_some()
        }),
        entrant(SONIC, frames, move |frame| {
            let typed: TypedEnvelope<'_> = sonic_rs::from_slice(frame).unwrap();
            typed
                .for_each_trade(RECV, &mut sonic_times, |trade| {
                    black_box(trade);
                })
                .is_some()
        }),
    ];
    entrants.extend(lower_bounds(frames));
    let name = if trades == 1 { "parse: Advanced batch of 1" } else { "parse: Advanced batch of 100" };
    contest(name, "ns CPU / trade", trades, entrants, frames)
}
