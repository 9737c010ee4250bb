//! The exchange: `coltape simulate` in a process of its own, which runs longer than every capture.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use coltape::internals::product::ProductId;
use rustix::process::{Pid, Signal, kill_process};

use super::capture_process::coltape;

/// A running simulator. Dropping it kills it.
pub(crate) struct Exchange {
    child: Child,
    is_over: Arc<AtomicBool>,
    listener: Option<JoinHandle<String>>,
    pub(crate) url: String,
    pub(crate) rest_url: String,
    pub(crate) products: Vec<ProductId>,
}

/// The settings of a market.
#[derive(Debug, Clone)]
pub(crate) struct Market {
    pub(crate) products: usize,
    pub(crate) rate: u32,
    pub(crate) seed: u64,
    pub(crate) duration: Duration,
    /// Where the event clock begins, RFC 3339.
    pub(crate) start: String,
    pub(crate) faults: String,
}

impl Exchange {
    pub(crate) fn start(market: &Market, ledger: &Path) -> Self {
        let mut child = coltape()
            .args(["simulate", "--linger", "600s", "--products", &market.products.to_string(), "--rate", &market.rate.to_string()])
            .args([
                "--seed",
                &market.seed.to_string(),
                "--duration",
                &format!("{}ms", market.duration.as_millis()),
                "--start",
                &market.start,
            ])
            .args(["--faults", &market.faults, "--ledger"])
            .arg(ledger)
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no endpoints: {line:?}"));
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let listener = std::thread::spawn(move || {
            let mut totals = String::new();
            out.read_line(&mut totals).unwrap();
            over.store(true, Ordering::Relaxed);
            totals
        });
        let text = |key: &str| said[key].as_str().unwrap().to_owned();
        let names = said["products"].as_array().unwrap().iter();
        let products = names.map(|name| ProductId::new(name.as_str().unwrap()).unwrap()).collect();
        Self { child, is_over, listener: Some(listener), url: text("websocket_url"), rest_url: text("rest_url"), products }
    }

    /// Tells whether the market is over. Connections and REST stay open then, and the ledger has all trades.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Stops the simulator, which completes the ledger. Gives the market's totals.
    pub(crate) fn close(mut self) -> serde_json::Value {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "the simulator ends well");
        let totals = self.listener.take().unwrap().join().unwrap();
        serde_json::from_str(&totals).unwrap()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
