//! What a run came to: [`Totals`], and the [`Board`] on which the floor posts them while it runs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Counts of a run; those of trades and tickers are of first copies, on the live stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Trades made since the clock started.
    pub trades_produced: u64,
    /// Of them, those handed to at least one connection.
    pub trades_sent: u64,
    /// Of them, those handed to nobody.
    pub trades_never_sent: u64,
    /// Tickers made since the clock started.
    pub tickers_produced: u64,
    /// Of them, those handed to at least one connection.
    pub tickers_sent: u64,
    /// Of them, those handed to nobody.
    pub tickers_never_sent: u64,
    /// WebSocket messages handed to connections, of every kind.
    pub frames: u64,
    /// Connections that came in.
    pub connections: u64,
    /// Requests that clients made over them.
    pub requests: u64,
    /// Clients cut off because they read too slowly.
    pub slow_clients: u64,
    /// REST requests that came.
    pub rest_requests: u64,
    /// Of them, those refused for the limit.
    pub rest_refused: u64,
    /// Trades a second asked for, over all products.
    pub asked_rate: f64,
    /// Trades a second produced.
    pub reached_rate: f64,
    /// Seconds the event clock has run, outages included.
    pub seconds: f64,
    /// Faults that fired, by name.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Totals {
    /// Counts a trade or ticker as sent or never sent.
    pub(super) fn count(&mut self, is_trade: bool, sent: bool) {
        *match (is_trade, sent) {
            (true, true) => &mut self.trades_sent,
            (true, false) => &mut self.trades_never_sent,
            (false, true) => &mut self.tickers_sent,
            (false, false) => &mut self.tickers_never_sent,
        } += 1;
    }

    /// Shows the totals as one line of JSON.
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

/// Where the floor posts its totals and whether the market has come to its end.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<Posted>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone)]
struct Posted {
    totals: Totals,
    has_started: bool,
    is_done: bool,
}

impl Board {
    /// Posts the present state.
    pub(super) fn post(&self, totals: Totals, has_started: bool, is_done: bool) {
        *self.state.lock() = Posted { totals, has_started, is_done };
        self.changed.notify_all();
    }

    /// Reads the totals last posted.
    pub(super) fn totals(&self) -> Totals {
        self.state.lock().totals.clone()
    }

    /// Tells whether the market is over and everything has left.
    pub(super) fn is_done(&self) -> bool {
        self.state.lock().is_done
    }

    /// Waits until the event clock runs; says whether it did before the time was up.
    pub(super) fn wait_started(&self, at_most: Duration) -> bool {
        self.wait(Some(at_most), |posted| posted.has_started)
    }

    /// Waits until the market is at its end and everything has left.
    pub(super) fn wait_done(&self) {
        self.wait(None, |posted| posted.is_done);
    }

    fn wait(&self, at_most: Option<Duration>, is_it: impl Fn(&Posted) -> bool) -> bool {
        let deadline = at_most.map(|at_most| Instant::now() + at_most);
        let mut state = self.state.lock();
        while !is_it(&state) {
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        return is_it(&state);
                    }
                }
            }
        }
        true
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
