//! The counts of a run.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::trade::UpdateKind;

/// The counts of a run. Trades and tickers are counted once each, without the extra copies that faults send.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Trades made since the event clock started.
    pub trades_produced: u64,
    /// Of them, those that were sent to at least one connection.
    pub trades_sent: u64,
    /// Of them, those that were sent to no connection.
    pub trades_never_sent: u64,
    /// Tickers made since the event clock started.
    pub tickers_produced: u64,
    /// Of them, those that were sent to at least one connection.
    pub tickers_sent: u64,
    /// Of them, those that were sent to no connection.
    pub tickers_never_sent: u64,
    /// WebSocket messages sent to connections, of every kind.
    pub frames: u64,
    /// Connections that clients opened.
    pub connections: u64,
    /// Messages that clients sent over them.
    pub requests: u64,
    /// Clients that were disconnected because they read too slowly.
    pub slow_clients: u64,
    /// REST requests.
    pub rest_requests: u64,
    /// Of them, those refused for the rate limit.
    pub rest_refused: u64,
    /// Trades per second that the configuration asks for, over all products.
    pub asked_rate: f64,
    /// Trades per second that were produced.
    pub reached_rate: f64,
    /// Seconds that the event clock has run, with the time of outages.
    pub seconds: f64,
    /// Faults that fired, by name.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Totals {
    /// Counts a trade or ticker as sent or never sent.
    pub(super) fn count(&mut self, kind: UpdateKind, is_sent: bool) {
        *match (kind, is_sent) {
            (UpdateKind::Trade, true) => &mut self.trades_sent,
            (UpdateKind::Trade, false) => &mut self.trades_never_sent,
            (UpdateKind::Ticker, true) => &mut self.tickers_sent,
            (UpdateKind::Ticker, false) => &mut self.tickers_never_sent,
        } += 1;
    }

    /// Gives the totals as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        let counts = [
            ("trades_produced", self.trades_produced),
            ("trades_sent", self.trades_sent),
            ("trades_never_sent", self.trades_never_sent),
            ("tickers_produced", self.tickers_produced),
            ("tickers_sent", self.tickers_sent),
            ("tickers_never_sent", self.tickers_never_sent),
            ("frames", self.frames),
            ("connections", self.connections),
            ("requests", self.requests),
            ("slow_clients", self.slow_clients),
            ("rest_requests", self.rest_requests),
            ("rest_refused", self.rest_refused),
        ];
        for (name, count) in counts {
            let _ = write!(out, "\"{name}\":{count},");
        }
        for (name, rate) in [("asked_rate", self.asked_rate), ("reached_rate", self.reached_rate), ("seconds", self.seconds)] {
            let _ = write!(out, "\"{name}\":{rate:.3},");
        }
        let faults: Vec<String> = self.faults.iter().map(|(name, count)| format!("\"{name}\":{count}")).collect();
        let _ = write!(out, "\"faults\":{{{}}}}}", faults.join(","));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_one_line_of_json_with_every_fault_by_name() {
        let totals =
            Totals { trades_produced: 7, reached_rate: 1.5, faults: BTreeMap::from([("drop", 2), ("reset", 1)]), ..Totals::default() };
        let json: serde_json::Value = serde_json::from_str(&totals.to_json()).expect("JSON");
        assert_eq!(json["trades_produced"], 7);
        assert_eq!(json["reached_rate"], 1.5);
        assert_eq!(json["faults"]["drop"], 2);
        assert!(!totals.to_json().contains('\n'));
    }
}
