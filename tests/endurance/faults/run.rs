//! One run: a simulator in this process and a capture in a process of its own, until no trade is missing any more.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use coltape::internals::product::ProductId;
use coltape::internals::simulate::{Faults, SimulateConfig, Simulation, Totals, products};

use super::tape;
use super::truth::Truth;
use crate::programs::{Capture, Ended};

/// A simulator and a capture of all its products.
pub(crate) struct Run {
    pub(crate) simulation: Simulation,
    capture: Option<Capture>,
    pub(crate) data: PathBuf,
    pub(crate) ledger: PathBuf,
    pub(crate) names: Vec<ProductId>,
    folder: tempfile::TempDir,
}

impl Run {
    /// Starts both. The ledger and the faults of `config` are set here. `options` are the capture's, besides its products and addresses.
    pub(crate) fn start(config: SimulateConfig, script: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, ledger) = (folder.path().join("data"), folder.path().join("ledger.jsonl"));
        let names = config.products.clone();
        let mut config = config;
        config.faults = Faults::parse(script).unwrap();
        config.ledger = Some(ledger.clone());
        let feed = config.feed.name();
        let simulation = Simulation::start(config).unwrap();
        let endpoints = simulation.endpoints().clone();
        let rest = endpoints.rest_url.unwrap();
        let mut args = vec!["--feed", feed, "--url", &endpoints.websocket_url, "--rest-url", &rest];
        args.extend(names.iter().map(ProductId::as_str));
        args.extend(options);
        let capture = Some(Capture::start(&data, &args));
        Self { simulation, capture, data, ledger, names, folder }
    }

    /// Waits until the market is over.
    pub(crate) fn await_market(&self, at_most: Duration) {
        assert!(self.simulation.wait_started(Duration::from_secs(60)), "the capture has not subscribed to everything");
        let deadline = Instant::now() + at_most;
        while !self.simulation.is_over() {
            assert!(Instant::now() < deadline, "the market does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until every product has as many trades as the ledger expects and the capture misses no id that it knows of (a heartbeat may name trades of a
    /// product that is delisted before they come), or the time is over. Does not fail for missing trades. Gives how long it took.
    pub(crate) fn await_all(&self, at_most: Duration) -> Duration {
        let since = Instant::now();
        let truth = Truth::read(&self.ledger, false);
        let mut open: Vec<&str> = self.names.iter().map(ProductId::as_str).collect();
        while since.elapsed() < at_most {
            open.retain(|product| tape::count(&self.data, product) < truth.expected(product).0.len());
            if open.is_empty() && self.known_missing() == Some(0) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        since.elapsed()
    }

    /// Gives how many ids the capture says that it misses.
    fn known_missing(&self) -> Option<u64> {
        let status = std::fs::read(self.data.join("_coltape/status.json")).ok()?;
        serde_json::from_slice::<serde_json::Value>(&status).ok()?["missing_ids"].as_u64()
    }

    /// Stops the capture, then the simulator, so that the capture still has REST at its end. Gives the results of both.
    pub(crate) fn stop(mut self) -> Stopped {
        let ended = self.capture.take().unwrap().stop();
        let totals = self.simulation.stop().unwrap();
        let truth = Truth::read(&self.ledger, true);
        Stopped { ended, totals, truth, data: self.data, ledger: self.ledger, names: self.names, folder: self.folder }
    }
}

/// The results of a run.
pub(crate) struct Stopped {
    pub(crate) ended: Ended,
    pub(crate) totals: Totals,
    pub(crate) truth: Truth,
    pub(crate) data: PathBuf,
    pub(crate) ledger: PathBuf,
    pub(crate) names: Vec<ProductId>,
    folder: tempfile::TempDir,
}

impl Drop for Stopped {
    /// Keeps everything of a run that failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            let _ = std::fs::write(self.folder.path().join("capture.err"), self.ended.stderr());
            eprintln!("the run is kept in {}", self.folder.path().display());
        }
    }
}

impl Stopped {
    /// Compares every field of every trade with the ledger, and checks that ids rise in the sealed files.
    pub(crate) fn assert_nothing_lost(&self) -> tape::Verdict {
        self.ended.assert_good();
        let verdict = tape::compare(&self.data, &self.truth);
        verdict.assert_clean();
        let sealed: usize = self.names.iter().map(|product| tape::assert_sealed_in_order(&self.data, product.as_str())).sum();
        assert_eq!(sealed as u64, verdict.equal, "the sealed files have every trade once");
        assert_eq!(self.ended.figure("missing_ids"), 0.0, "{}", self.ended.stdout());
        verdict
    }
}

/// Makes a market with `count` products, without faults.
pub(crate) fn market(count: usize, rate: f64, length: Duration) -> SimulateConfig {
    let mut config = SimulateConfig::default();
    config.products = products(count).unwrap();
    config.rate_per_product = rate;
    config.duration = Some(length);
    config
}
