//! The ledger: a file with everything that the simulated exchange produced. A capture is checked against it.
//!
//! The format is JSON Lines: one object per line, with its keys in the order shown. Numbers and times are strings exactly as in the WebSocket frames, and
//! may be compared with them as text. REST pads its numbers; compare those as decimals.
//!
//! - first line: `{"kind":"head","feed":"exchange"|"advanced","seed":N,"start":TIME,"rate":X,"products":[…]}`; `start` is the configured start of the event
//!   clock, or else the time at which the simulator started. `{"kind":"go","start":TIME}` follows when the event clock starts, which is when clients have
//!   subscribed to all products.
//! - `{"kind":"trade","product","trade_id":N,"time","price","size","side":"buy"|"sell","maker":UUID|null,"taker":UUID|null,"sequence":N,"sent":BOOL}`:
//!   `side` is the **taker's**. Trades before the start also have `"history":true`; only REST, `last_match` and snapshots show them.
//! - `{"kind":"ticker","product","trade_id":N,"sequence":N,"time","price","last_size":…|null,"side":…|null,"best_bid","best_bid_size","best_ask",
//!   "best_ask_size","sent":BOOL}`; on the Advanced feed `time` is the envelope's, ids are 0 and the two others null.
//! - `{"kind":"initial","client":N,"channel":"matches"|"market_trades"|"ticker","product","first":ID,"last":ID}`: trades (or the ticker of that trade) that a
//!   client received once more on subscribing.
//! - `{"kind":"fault","fault":NAME,"time","detail":TEXT,…}`: a fault fired. Where it affected one of them, also `"client":N`, `"product"`,
//!   `"of":"trade"|"ticker"` with `"first":ID,"last":ID`; where the fault has such a setting, `"length_ms":N`, `"code":N`, `"step_nanos":N`.
//! - `{"kind":"missed","why":NAME,"time","product","first":ID,"last":ID,"client":N|null,"late":BOOL}`: the trades that one connection, or (`null`) all, did
//!   not receive. It is written when a `stall`, `stall-lost`, `silent` or `outage` is over, and for each message of the Advanced feed that a `lose`
//!   removed. `late` trades were sent afterwards.
//! - `{"kind":"client","client":N,"open":BOOL,"time"}`: a connection was opened or has ended.
//! - last line: `{"kind":"end","totals":{…}}`.
//!
//! 1. Every trade and ticker of the market has exactly one line, sent or not. The extra copies that faults send have none.
//! 2. `sent` means that at least one open connection was given the whole frame. It remains `sent` where the connection ended before the kernel had sent
//!    its buffers. The lines of `lose` faults and the `missed` lines tell what each connection lost.
//! 3. A failed write is kept and reported at the end. The market goes on.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::config::SimulatedFeed;
use super::error::with_path;
use super::faults::{Fault, Setting};
use super::format::{Amount, TimeFormatter, integer, order_id, quoted};
use super::missed::Missed;
use super::target::FaultTarget;
use super::trade::{Quote, Summary, Trade};
use crate::ids::IdRange;
use crate::product::ProductId;
use crate::time::UnixNanos;

/// Bytes gathered before they are written to the file.
const FLUSH_BYTES: usize = 1 << 20;

/// A ticker, as either feed shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TickerLine {
    pub(super) time: UnixNanos,
    pub(super) price: Amount,
    pub(super) quote: Quote,
    /// The trade that the ticker shows; only the Exchange feed names it.
    pub(super) trade: Option<Trade>,
}

impl TickerLine {
    /// Makes the ticker that the Exchange feed sends of a trade.
    pub(super) fn of_trade(trade: &Trade) -> Self {
        Self { time: trade.time, price: trade.price, quote: trade.quote, trade: Some(*trade) }
    }

    /// Makes a ticker of the Advanced feed. `time` is that of the envelope.
    pub(super) fn of_summary(time: UnixNanos, summary: Summary) -> Self {
        Self { time, price: summary.price, quote: summary.quote, trade: None }
    }
}

/// What became of a trade in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TradeLine {
    /// It lies before the start.
    History,
    /// At least one connection received it.
    Sent,
    /// No connection received it.
    Unsent,
}

impl TradeLine {
    /// Gives the line of a live trade.
    pub(super) const fn live(is_sent: bool) -> Self {
        if is_sent { Self::Sent } else { Self::Unsent }
    }
}

/// Writes the ledger. Without a file it writes nothing.
#[derive(Debug)]
pub(super) struct Ledger {
    file: Option<File>,
    text: Vec<u8>,
    times: TimeFormatter,
    feed: SimulatedFeed,
    failure: Option<std::io::Error>,
}

impl Ledger {
    /// Creates the file, if there is a path.
    pub(super) fn create(path: Option<&Path>, feed: SimulatedFeed) -> std::io::Result<Self> {
        let file = path.map(|path| File::create(path).map_err(with_path(path))).transpose()?;
        Ok(Self { file, text: Vec::new(), times: TimeFormatter::default(), feed, failure: None })
    }

    pub(super) fn head(&mut self, seed: u64, start: UnixNanos, rate: f64, products: &[ProductId]) {
        let names: Vec<String> = products.iter().map(|product| format!("\"{product}\"")).collect();
        let (feed, names) = (self.feed.name(), names.join(","));
        self.line(format!(
            "{{\"kind\":\"head\",\"feed\":\"{feed}\",\"seed\":{seed},\"start\":\"{start}\",\"rate\":{rate},\"products\":[{names}]}}"
        ));
    }

    pub(super) fn go(&mut self, start: UnixNanos) {
        self.line(format!("{{\"kind\":\"go\",\"start\":\"{start}\"}}"));
    }

    pub(super) fn trade(&mut self, product: &ProductId, trade: &Trade, line: TradeLine) {
        if self.file.is_none() {
            return;
        }
        self.open("trade", product);
        self.put(",\"trade_id\":");
        integer(&mut self.text, trade.trade_id);
        self.time(trade.time);
        self.amount(",\"price\":\"", trade.price);
        self.amount(",\"size\":\"", trade.size);
        self.put(",\"side\":\"");
        self.put(trade.side.name());
        match self.feed {
            SimulatedFeed::Exchange => {
                self.put("\",\"maker\":\"");
                order_id(&mut self.text, trade.maker);
                self.put("\",\"taker\":\"");
                order_id(&mut self.text, trade.taker);
                self.put("\",\"sequence\":");
                integer(&mut self.text, trade.sequence);
            }
            SimulatedFeed::Advanced => self.put("\",\"maker\":null,\"taker\":null,\"sequence\":0"),
        }
        if line == TradeLine::History {
            self.put(",\"history\":true");
        }
        self.close(line == TradeLine::Sent);
    }

    pub(super) fn ticker(&mut self, product: &ProductId, ticker: &TickerLine, is_sent: bool) {
        if self.file.is_none() {
            return;
        }
        self.open("ticker", product);
        self.put(",\"trade_id\":");
        integer(&mut self.text, ticker.trade.map_or(0, |trade| trade.trade_id));
        self.put(",\"sequence\":");
        integer(&mut self.text, ticker.trade.map_or(0, |trade| trade.sequence));
        self.time(ticker.time);
        self.amount(",\"price\":\"", ticker.price);
        match ticker.trade {
            Some(trade) => {
                self.amount(",\"last_size\":\"", trade.size);
                self.put(",\"side\":\"");
                self.put(trade.side.name());
                self.put("\"");
            }
            None => self.put(",\"last_size\":null,\"side\":null"),
        }
        self.amount(",\"best_bid\":\"", ticker.quote.bid);
        self.amount(",\"best_bid_size\":\"", ticker.quote.bid_size);
        self.amount(",\"best_ask\":\"", ticker.quote.ask);
        self.amount(",\"best_ask_size\":\"", ticker.quote.ask_size);
        self.close(is_sent);
    }

    pub(super) fn initial(&mut self, client: u64, channel: &str, product: &ProductId, ids: IdRange) {
        let (first, last) = (ids.first(), ids.last());
        self.line(format!(
            "{{\"kind\":\"initial\",\"client\":{client},\"channel\":\"{channel}\",\"product\":\"{product}\",\"first\":{first},\"last\":{last}}}"
        ));
    }

    pub(super) fn fault(&mut self, fault: Fault, time: UnixNanos, target: &FaultTarget) {
        if self.file.is_none() {
            return;
        }
        let mut detail = Vec::new();
        quoted(&mut detail, &target.detail);
        let (name, detail) = (fault.kind.name(), String::from_utf8_lossy(&detail));
        let mut line = format!("{{\"kind\":\"fault\",\"fault\":\"{name}\",\"time\":\"{time}\",\"detail\":{detail}");
        if let Some(client) = target.client {
            line.push_str(&format!(",\"client\":{client}"));
        }
        if let Some(product) = &target.product {
            line.push_str(&format!(",\"product\":\"{product}\""));
        }
        if let Some(update) = target.update {
            let (of, id) = (update.kind.name(), update.trade_id);
            line.push_str(&format!(",\"of\":\"{of}\",\"first\":{id},\"last\":{id}"));
        }
        match fault.setting {
            Setting::None => {}
            Setting::Length(length) => line.push_str(&format!(",\"length_ms\":{}", length.as_millis())),
            Setting::CloseCode(code) => line.push_str(&format!(",\"code\":{code}")),
            Setting::StepNanos(nanos) => line.push_str(&format!(",\"step_nanos\":{nanos}")),
        }
        line.push('}');
        self.line(line);
    }

    pub(super) fn missed(&mut self, product: &ProductId, time: UnixNanos, missed: Missed) {
        let Missed { why, ids, client, is_late } = missed;
        let (first, last) = (ids.first(), ids.last());
        let client = client.map_or_else(|| "null".to_owned(), |client| client.to_string());
        self.line(format!(
            "{{\"kind\":\"missed\",\"why\":\"{}\",\"time\":\"{time}\",\"product\":\"{product}\",\"first\":{first},\"last\":{last},\
             \"client\":{client},\"late\":{is_late}}}",
            why.name()
        ));
    }

    pub(super) fn client(&mut self, client: u64, is_open: bool, time: UnixNanos) {
        self.line(format!("{{\"kind\":\"client\",\"client\":{client},\"open\":{is_open},\"time\":\"{time}\"}}"));
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// The first write that failed.
    pub(super) fn end(&mut self, totals: &str) -> std::io::Result<()> {
        self.line(format!("{{\"kind\":\"end\",\"totals\":{totals}}}"));
        self.flush();
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Writes the gathered lines to the file.
    pub(super) fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&self.text)
        {
            self.failure.get_or_insert(error);
        }
        self.text.clear();
    }

    fn line(&mut self, line: String) {
        if self.file.is_some() {
            self.text.extend_from_slice(line.as_bytes());
            self.text.push(b'\n');
        }
    }

    fn open(&mut self, kind: &str, product: &ProductId) {
        self.put("{\"kind\":\"");
        self.put(kind);
        self.put("\",\"product\":\"");
        self.put(product.as_str());
        self.put("\"");
    }

    fn close(&mut self, is_sent: bool) {
        self.put(if is_sent { ",\"sent\":true}\n" } else { ",\"sent\":false}\n" });
        if self.text.len() >= FLUSH_BYTES {
            self.flush();
        }
    }

    fn time(&mut self, time: UnixNanos) {
        self.put(",\"time\":\"");
        match self.feed {
            SimulatedFeed::Exchange => self.times.micros(&mut self.text, time),
            SimulatedFeed::Advanced => self.times.trimmed(&mut self.text, time),
        }
        self.put("\"");
    }

    fn amount(&mut self, key: &str, amount: Amount) {
        self.put(key);
        amount.trimmed(&mut self.text);
        self.put("\"");
    }

    fn put(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }
}
