//! [`StatusReport`]: everything that a capture says of itself, and its JSON.

use crate::json::Object;
use crate::time::UnixNanos;

/// The version of the file. A reader passes over keys that it does not know.
pub(super) const FORMAT: u64 = 1;

/// What a capture is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunState {
    /// It opens its files and starts its threads.
    #[default]
    Starting,
    /// It records.
    Running,
    /// It drains its queues, flushes and seals.
    Stopping,
    /// It has ended in order.
    Stopped,
}

impl RunState {
    const ALL: [Self; 4] = [Self::Starting, Self::Running, Self::Stopping, Self::Stopped];

    /// Gives the name in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// Reads the name in the file.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A connection that does not work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DownConnection {
    /// Its name, as the log has it.
    pub connection: String,
    /// For how long, in seconds.
    pub lasts_s: u64,
    /// Why, as far as it is known.
    pub why: String,
}

/// The time from the read of a frame to the commit of its records, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct LagMillis {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Longest.
    pub worst: f64,
}

/// The deepest queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Queue {
    /// Messages that wait in it.
    pub waiting: u64,
    /// Most messages that it holds.
    pub capacity: u64,
    /// Whose it is; empty where nothing waits anywhere.
    pub product: String,
}

/// The last thing that went wrong. It may be over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LastError {
    /// When, by the clock of the capture's box.
    pub time: UnixNanos,
    /// What.
    pub text: String,
}

/// An alert that stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RaisedAlert {
    /// Its name, as the journal has it.
    pub alert: String,
    /// The product or connection; empty for the whole capture.
    pub subject: String,
    /// What was found last, for people.
    pub text: String,
    /// For how long it has stood, in seconds.
    pub lasts_s: u64,
    /// What to do about it.
    pub remedy: String,
}

/// The disk that has the least room of those that the directory lies on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Disk {
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Days until it is full at the pace of this run; nothing where that is not known yet.
    pub days_until_full: Option<f64>,
}

/// One product.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ProductStatus {
    /// Its name.
    pub product: String,
    /// `recorded`, `waiting` for the exchange to take it up, `refused`, `blocked` by its files, `shedding`, or `unasked`:
    /// it arrives, or did, and is not on the list.
    pub state: String,
    /// Trades received since the start of the capture.
    pub trades: u64,
    /// Trades per second over the last seconds.
    pub trades_per_s: f64,
    /// The id of the newest stored trade; nothing where there is none.
    pub last_trade_id: Option<u64>,
    /// When it happened, by the exchange's clock.
    pub last_trade: Option<UnixNanos>,
    /// How long ago that is, in seconds, by the exchange's clock.
    pub last_trade_age_s: Option<f64>,
    /// How long ago the newest stored ticker happened, in seconds.
    pub last_ticker_age_s: Option<f64>,
    /// Trade ids that are missing.
    pub missing_ids: u64,
    /// Messages that wait in its queue.
    pub queue: u64,
}

/// What a capture says of itself.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct StatusReport {
    /// The program and its version.
    pub program: String,
    /// Its process id, as the process itself sees it.
    pub pid: u32,
    /// What it is doing.
    pub state: RunState,
    /// The feed and its URL.
    pub endpoint: String,
    /// When it started.
    pub started: UnixNanos,
    /// When this was written.
    pub written: UnixNanos,
    /// Connections that work.
    pub connections_up: u64,
    /// Connections that there should be.
    pub connections: u64,
    /// Those that do not work, or some of them.
    pub down: Vec<DownConnection>,
    /// Frames per second over the last seconds.
    pub messages_per_s: f64,
    /// Trades per second, likewise.
    pub trades_per_s: f64,
    /// Tickers per second, likewise.
    pub tickers_per_s: f64,
    /// Frames since the start.
    pub messages: u64,
    /// Trades since the start.
    pub trades: u64,
    /// Tickers since the start.
    pub tickers: u64,
    /// Messages that could not be used, since the start.
    pub rejected: u64,
    /// Trades given up because a queue or a disk was full, since the start.
    pub shed: u64,
    /// Trades that came again with other fields, since the start.
    pub conflicts: u64,
    /// The lag of the last seconds; nothing where nothing came.
    pub lag_ms: Option<LagMillis>,
    /// The deepest queue.
    pub queue: Queue,
    /// Trade ids that are missing, over all products.
    pub missing_ids: u64,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// The alerts that stand.
    pub alerts: Vec<RaisedAlert>,
    /// Why the capture is not healthy. It is where this is empty.
    pub problems: Vec<String>,
    /// The room on the disk; nothing where the system did not say.
    pub disk: Option<Disk>,
    /// Anonymous, locked and dirty mapped memory in bytes; nothing where the system did not say.
    pub memory_bytes: Option<u64>,
    /// Every product.
    pub products: Vec<ProductStatus>,
}

impl StatusReport {
    /// Gives the file's text.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = self.fields(Object::default().plain("format", FORMAT), &self.problems).done();
        text.push('\n');
        text
    }

    /// Adds every field to an object, with these problems.
    pub(super) fn fields(&self, object: Object, problems: &[String]) -> Object {
        let connections = Object::default()
            .plain("up", self.connections_up)
            .plain("wanted", self.connections)
            .raw("down", &list(&self.down, DownConnection::object));
        let queue = Object::default()
            .plain("waiting", self.queue.waiting)
            .plain("capacity", self.queue.capacity)
            .text("product", &self.queue.product);
        object
            .text("program", &self.program)
            .plain("pid", self.pid)
            .text("state", self.state.name())
            .text("endpoint", &self.endpoint)
            .text("started", &self.started.to_string())
            .text("written", &self.written.to_string())
            .object("connections", connections)
            .plain("messages_per_s", number(self.messages_per_s))
            .plain("trades_per_s", number(self.trades_per_s))
            .plain("tickers_per_s", number(self.tickers_per_s))
            .plain("messages", self.messages)
            .plain("trades", self.trades)
            .plain("tickers", self.tickers)
            .plain("rejected", self.rejected)
            .plain("shed", self.shed)
            .plain("conflicts", self.conflicts)
            .optional("lag_ms", self.lag_ms.map(|lag| lag.object().done()))
            .object("queue", queue)
            .plain("missing_ids", self.missing_ids)
            .optional("last_error", self.last_error.as_ref().map(|error| error.object().done()))
            .raw("alerts", &list(&self.alerts, RaisedAlert::object))
            .texts("problems", problems)
            .optional("disk", self.disk.map(|disk| disk.object().done()))
            .optional("memory_bytes", self.memory_bytes)
            .raw("products", &list(&self.products, ProductStatus::object))
    }
}

impl DownConnection {
    fn object(&self) -> Object {
        Object::default().text("connection", &self.connection).plain("lasts_s", self.lasts_s).text("why", &self.why)
    }
}

impl LagMillis {
    fn object(self) -> Object {
        Object::default().plain("p50", number(self.p50)).plain("p99", number(self.p99)).plain("worst", number(self.worst))
    }
}

impl LastError {
    fn object(&self) -> Object {
        Object::default().text("time", &self.time.to_string()).text("text", &self.text)
    }
}

impl RaisedAlert {
    fn object(&self) -> Object {
        Object::default()
            .text("alert", &self.alert)
            .text("subject", &self.subject)
            .text("text", &self.text)
            .plain("lasts_s", self.lasts_s)
            .text("remedy", &self.remedy)
    }
}

impl Disk {
    fn object(self) -> Object {
        Object::default().plain("free_bytes", self.free_bytes).optional("days_until_full", self.days_until_full.map(number))
    }
}

impl ProductStatus {
    fn object(&self) -> Object {
        Object::default()
            .text("product", &self.product)
            .text("state", &self.state)
            .plain("trades", self.trades)
            .plain("trades_per_s", number(self.trades_per_s))
            .optional("last_trade_id", self.last_trade_id)
            .optional("last_trade", self.last_trade.map(|time| format!("\"{time}\"")))
            .optional("last_trade_age_s", self.last_trade_age_s.map(number))
            .optional("last_ticker_age_s", self.last_ticker_age_s.map(number))
            .plain("missing_ids", self.missing_ids)
            .plain("queue", self.queue)
    }
}

fn list<T>(items: &[T], object: fn(&T) -> Object) -> String {
    let items: Vec<String> = items.iter().map(|item| object(item).done()).collect();
    format!("[{}]", items.join(","))
}

/// Spells a number with three decimals at most. JSON has no other numbers than finite ones.
fn number(value: f64) -> String {
    let text = format!("{:.3}", if value.is_finite() { value } else { 0.0 });
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_short_and_finite() {
        for (value, text) in [(0.0, "0"), (10.0, "10"), (0.25, "0.25"), (1.0 / 3.0, "0.333"), (f64::NAN, "0"), (f64::INFINITY, "0")] {
            assert_eq!(number(value), text);
        }
    }
}
