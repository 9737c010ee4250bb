//! The ledger: what the simulated exchange produced, written down to hold a capture against.
//!
//! JSON Lines, one object a line, keys in the order shown; numbers and times are strings exactly as on the wire (they may be compared as text with the
//! WebSocket frames, as decimals with REST, which pads them).
//!
//! - first line: `{"kind":"head","feed":"exchange"|"advanced","seed":N,"start":TIME,"rate":X,"products":[…]}`; `start` is the event clock's where it was
//!   given, else the simulator's start. `{"kind":"go","start":TIME}` follows when the clock starts: when clients have subscribed to all products.
//! - `{"kind":"trade","product","trade_id":N,"time","price","size","side":"buy"|"sell","maker":UUID|null,"taker":UUID|null,"sequence":N,"sent":BOOL}`:
//!   `side` is the **taker's**. Trades from before the start, which only REST, `last_match` and snapshots show, also have `"history":true`.
//! - `{"kind":"ticker","product","trade_id":N,"sequence":N,"time","price","last_size":…|null,"side":…|null,"best_bid","best_bid_size","best_ask",
//!   "best_ask_size","sent":BOOL}`; on the Advanced feed `time` is the envelope's, ids are 0 and the two others null.
//! - `{"kind":"initial","client":N,"channel":"matches"|"market_trades"|"ticker","product","first":ID,"last":ID}`: trades (or the ticker of that trade) shown
//!   once more on subscribing.
//! - `{"kind":"fault","fault":NAME,"time","detail":TEXT,…}`: something went wrong on purpose. Where it struck one of them, also `"client":N`,
//!   `"product"`, `"of":"trade"|"ticker"` with `"first":ID,"last":ID`; where it means something, `"length_ms":N`, `"code":N`, `"step_nanos":N`.
//! - `{"kind":"missed","why":NAME,"time","product","first":ID,"last":ID,"client":N|null,"late":BOOL}`, when a `stall`, `stall-lost`, `silent` or `outage`
//!   is over, and with each message that a `lose` took on the Advanced feed: the trades it kept from that connection, or (`null`) from all; `late`
//!   ones were sent afterwards.
//! - `{"kind":"client","client":N,"open":BOOL,"time"}`: a connection came or is gone.
//! - last line: `{"kind":"end","totals":{…}}`.
//!
//! 1. Every trade and ticker of the market has exactly one line, sent or not; extra copies that faults make have none of their own.
//! 2. `sent` means: handed whole to at least one open connection. What a cut then tore from the kernel's buffers was still `sent`. What each connection
//!    lost of it is in the lines of `lose` faults and of `missed`.
//! 3. A failed write is kept and reported at the end, never hidden; the market goes on.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::Wire;
use super::faults::{Fault, FaultKind};
use super::market::{Print, Quote};
use super::spelling::{Amount, TimeSpeller, integer, order_id, quoted};
use crate::product::ProductId;
use crate::time::UnixNanos;

/// Bytes gathered before they are written to the file.
const FLUSH_BYTES: usize = 1 << 20;

/// A ticker as either feed shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TickerLine {
    pub(super) time: UnixNanos,
    pub(super) price: Amount,
    pub(super) quote: Quote,
    /// The trade that the Exchange feed tells of.
    pub(super) trade: Option<Print>,
}

/// Whom and what a fault struck.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scene {
    pub(super) client: Option<u64>,
    pub(super) product: Option<ProductId>,
    /// Whether it was a trade (else a ticker), and its id; 0 where it has none.
    pub(super) item: Option<(bool, u64)>,
    pub(super) detail: String,
}

impl Scene {
    /// One connection.
    pub(super) fn of_client(id: u64) -> Self {
        Self { client: Some(id), detail: format!("client {id}"), ..Self::default() }
    }

    /// One product.
    pub(super) fn of_product(product: Option<&ProductId>) -> Self {
        Self { product: product.cloned(), detail: product.map_or_else(String::new, ToString::to_string), ..Self::default() }
    }

    /// One trade or ticker.
    pub(super) fn of_item(product: Option<&ProductId>, is_trade: bool, trade_id: u64) -> Self {
        Self { item: Some((is_trade, trade_id)), ..Self::of_product(product) }
    }
}

/// Trades that somebody did not get while something was wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Missed {
    pub(super) why: FaultKind,
    pub(super) ids: (u64, u64),
    /// The connection; nothing for all of them.
    pub(super) client: Option<u64>,
    /// Whether they were sent after all.
    pub(super) is_late: bool,
}

/// Writes the ledger; without a file it swallows everything.
#[derive(Debug)]
pub(super) struct Ledger {
    file: Option<File>,
    text: Vec<u8>,
    times: TimeSpeller,
    wire: Wire,
    failure: Option<std::io::Error>,
}

impl Ledger {
    /// Creates the file, if there is to be one.
    pub(super) fn create(path: Option<&Path>, wire: Wire) -> std::io::Result<Self> {
        let file = path.map(|path| File::create(path).map_err(super::naming(path))).transpose()?;
        Ok(Self { file, text: Vec::new(), times: TimeSpeller::default(), wire, failure: None })
    }

    pub(super) fn head(&mut self, seed: u64, start: UnixNanos, rate: f64, products: &[ProductId]) {
        let names: Vec<String> = products.iter().map(|product| format!("\"{product}\"")).collect();
        let (feed, names) = (self.wire.name(), names.join(","));
        self.line(format!(
            "{{\"kind\":\"head\",\"feed\":\"{feed}\",\"seed\":{seed},\"start\":\"{start}\",\"rate\":{rate},\"products\":[{names}]}}"
        ));
    }

    pub(super) fn go(&mut self, start: UnixNanos) {
        self.line(format!("{{\"kind\":\"go\",\"start\":\"{start}\"}}"));
    }

    pub(super) fn trade(&mut self, product: &ProductId, print: &Print, sent: bool, history: bool) {
        if self.file.is_none() {
            return;
        }
        self.open("trade", product);
        self.put(",\"trade_id\":");
        integer(&mut self.text, print.trade_id);
        self.time(print.time);
        self.amount(",\"price\":\"", print.price);
        self.amount(",\"size\":\"", print.size);
        self.put(",\"side\":\"");
        self.put(print.side.name());
        match self.wire {
            Wire::Exchange => {
                self.put("\",\"maker\":\"");
                order_id(&mut self.text, print.maker);
                self.put("\",\"taker\":\"");
                order_id(&mut self.text, print.taker);
                self.put("\",\"sequence\":");
                integer(&mut self.text, print.sequence);
            }
            Wire::Advanced => self.put("\",\"maker\":null,\"taker\":null,\"sequence\":0"),
        }
        if history {
            self.put(",\"history\":true");
        }
        self.close(sent);
    }

    pub(super) fn ticker(&mut self, product: &ProductId, ticker: &TickerLine, sent: bool) {
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
        self.close(sent);
    }

    pub(super) fn initial(&mut self, client: u64, channel: &str, product: &ProductId, first: u64, last: u64) {
        self.line(format!(
            "{{\"kind\":\"initial\",\"client\":{client},\"channel\":\"{channel}\",\"product\":\"{product}\",\"first\":{first},\"last\":{last}}}"
        ));
    }

    pub(super) fn fault(&mut self, fault: Fault, time: UnixNanos, scene: &Scene) {
        if self.file.is_none() {
            return;
        }
        let mut said = Vec::new();
        quoted(&mut said, &scene.detail);
        let (name, detail) = (fault.kind.name(), String::from_utf8_lossy(&said));
        let mut line = format!("{{\"kind\":\"fault\",\"fault\":\"{name}\",\"time\":\"{time}\",\"detail\":{detail}");
        if let Some(client) = scene.client {
            line.push_str(&format!(",\"client\":{client}"));
        }
        if let Some(product) = &scene.product {
            line.push_str(&format!(",\"product\":\"{product}\""));
        }
        if let Some((is_trade, id)) = scene.item {
            let of = if is_trade { "trade" } else { "ticker" };
            line.push_str(&format!(",\"of\":\"{of}\",\"first\":{id},\"last\":{id}"));
        }
        match fault.kind {
            FaultKind::Close => line.push_str(&format!(",\"code\":{}", fault.code)),
            FaultKind::ClockStep => line.push_str(&format!(",\"step_nanos\":{}", fault.step_nanos)),
            kind if kind.has_length() => line.push_str(&format!(",\"length_ms\":{}", fault.length.as_millis())),
            _ => {}
        }
        line.push('}');
        self.line(line);
    }

    pub(super) fn missed(&mut self, product: &ProductId, time: UnixNanos, missed: Missed) {
        let Missed { why, ids: (first, last), client, is_late } = missed;
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

    /// Writes the last line and hands back the first failure, if there was one.
    pub(super) fn end(&mut self, totals: &str) -> std::io::Result<()> {
        self.line(format!("{{\"kind\":\"end\",\"totals\":{totals}}}"));
        self.flush();
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Writes what has been gathered to the file.
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

    fn close(&mut self, sent: bool) {
        self.put(if sent { ",\"sent\":true}\n" } else { ",\"sent\":false}\n" });
        if self.text.len() >= FLUSH_BYTES {
            self.flush();
        }
    }

    fn time(&mut self, time: UnixNanos) {
        self.put(",\"time\":\"");
        match self.wire {
            Wire::Exchange => self.times.micros(&mut self.text, time),
            Wire::Advanced => self.times.trimmed(&mut self.text, time),
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
