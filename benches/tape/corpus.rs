//! The messages of the benches: distinct ones, as repeating a few makes the branch predictor learn them, with random UUIDs, in wire order.

use coltape::internals::record::OrderId;
use coltape::internals::time::UnixNanos;

/// Messages of a corpus that is parsed or written.
pub const CORPUS: usize = 8192;

/// When the messages of the parse benches are received.
pub const RECV: UnixNanos = UnixNanos(1_710_000_000_000_000_000);

/// Makes messages, always the same ones for a seed.
pub struct Maker {
    rng: fastrand::Rng,
}

impl Maker {
    /// Begins anew.
    pub fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed) }
    }

    fn uuid(&mut self) -> OrderId {
        OrderId(self.rng.u128(..).to_be_bytes())
    }

    fn price(&mut self) -> String {
        format!("{}.{:02}", self.rng.u32(10_000..99_999), self.rng.u32(0..100))
    }

    fn size(&mut self) -> String {
        format!("0.{:08}", self.rng.u32(1..99_999_999))
    }

    fn side(&mut self) -> &'static str {
        if self.rng.bool() { "buy" } else { "sell" }
    }

    /// Makes a `match` of the Exchange feed.
    pub fn matched(&mut self, product: &str, id: u64, time: UnixNanos) -> String {
        let (maker, taker, side, size, price) = (self.uuid(), self.uuid(), self.side(), self.size(), self.price());
        format!(
            "{{\"type\":\"match\",\"trade_id\":{id},\"maker_order_id\":\"{maker}\",\"taker_order_id\":\"{taker}\",\"side\":\"{side}\",\
             \"size\":\"{size}\",\"price\":\"{price}\",\"product_id\":\"{product}\",\"sequence\":{},\"time\":\"{}\"}}",
            30_000_000_000 + id * 7,
            in_micros(time)
        )
    }

    /// Makes a `ticker` of the Exchange feed.
    pub fn ticker(&mut self, product: &str, id: u64, time: UnixNanos) -> String {
        let mut number = || self.price();
        let (price, open, volume, low, high, month, bid, ask) =
            (number(), number(), number(), number(), number(), number(), number(), number());
        let (bid_size, ask_size, last_size, side) = (self.size(), self.size(), self.size(), self.side());
        format!(
            "{{\"type\":\"ticker\",\"sequence\":{},\"product_id\":\"{product}\",\"price\":\"{price}\",\"open_24h\":\"{open}\",\
             \"volume_24h\":\"{volume}\",\"low_24h\":\"{low}\",\"high_24h\":\"{high}\",\"volume_30d\":\"{month}\",\"best_bid\":\"{bid}\",\
             \"best_bid_size\":\"{bid_size}\",\"best_ask\":\"{ask}\",\"best_ask_size\":\"{ask_size}\",\"side\":\"{side}\",\
             \"time\":\"{}\",\"trade_id\":{id},\"last_size\":\"{last_size}\"}}",
            30_000_000_000 + id * 7,
            in_micros(time)
        )
    }

    /// Makes a `market_trades` message of the Advanced Trade feed, newest first.
    pub fn batch(&mut self, product: &str, first_id: u64, trades: u64, time: UnixNanos) -> String {
        let trades: Vec<String> = (0..trades)
            .rev()
            .map(|step| {
                let (side, size, price) = (if self.rng.bool() { "BUY" } else { "SELL" }, self.size(), self.price());
                format!(
                    "{{\"product_id\":\"{product}\",\"trade_id\":\"{}\",\"price\":\"{price}\",\"size\":\"{size}\",\"time\":\"{}\",\"side\":\"{side}\"}}",
                    first_id + step,
                    in_micros(UnixNanos(time.0 + step * 1000))
                )
            })
            .collect();
        format!(
            "{{\"channel\":\"market_trades\",\"timestamp\":\"{time}\",\"sequence_num\":{first_id},\"events\":[{{\"type\":\"update\",\"trades\":[{}]}}]}}",
            trades.join(",")
        )
    }
}

/// Spells a time as the Exchange feed does: six fraction digits.
fn in_micros(time: UnixNanos) -> String {
    let text = time.to_string();
    format!("{}Z", &text[..text.len() - 4])
}

/// The time of a corpus' message: a burst of two hundred messages a second, minutes on end.
pub fn time_of(number: usize) -> UnixNanos {
    UnixNanos(RECV.0 - 3_600_000_000_000 + number as u64 * 5_003_001)
}

/// Names product number `number`.
pub fn product_name(number: usize) -> String {
    const KNOWN: [&str; 12] = ["BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "LTC", "LINK", "AVAX", "DOT", "UNI", "ATOM"];
    KNOWN.get(number).map_or_else(|| format!("COIN{number}-USD"), |name| format!("{name}-USD"))
}
