//! One run: a simulator in this process, a capture as its users start it, and the wait until nothing is missing any more.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use coltape::product::ProductId;
use coltape::simulate::{Faults, SimulateConfig, Simulation, Totals, products};

use super::tape;
use super::truth::Truth;
use crate::stage::{Capture, Ended};

/// A simulator and a capture of all its products.
pub(crate) struct Run {
    pub(crate) simulation: Simulation,
    capture: Option<Capture>,
    pub(crate) data: PathBuf,
    pub(crate) ledger: PathBuf,
    pub(crate) names: Vec<ProductId>,
    _folder: tempfile::TempDir,
}

impl Run {
    /// Starts both; `config` without its ledger and faults, `options` of the capture beside where and what.
    pub(crate) fn start(config: SimulateConfig, script: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, ledger) = (folder.path().join("data"), folder.path().join("ledger.jsonl"));
        let names = config.products.clone();
        let faults = Faults::parse(script).unwrap();
        let wire = config.wire.name();
        let simulation = Simulation::start(SimulateConfig { faults, ledger: Some(ledger.clone()), ..config }).unwrap();
        let endpoints = simulation.endpoints().clone();
        let rest = endpoints.rest_url.unwrap();
        let mut args = vec!["--feed", wire, "--url", &endpoints.websocket_url, "--rest-url", &rest];
        args.extend(names.iter().map(ProductId::as_str));
        args.extend(options);
        let capture = Some(Capture::start(&data, &args));
        Self { simulation, capture, data, ledger, names, _folder: folder }
    }

    /// Waits until the market is over.
    pub(crate) fn await_market(&self, at_most: Duration) {
        assert!(self.simulation.wait_started(Duration::from_secs(60)), "the capture never subscribed to everything");
        let deadline = Instant::now() + at_most;
        while !self.simulation.is_over() {
            assert!(Instant::now() < deadline, "the market goes on");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until every product has as many trades as the ledger expects, or the time is over: what is missing then is for the judge. Gives how long.
    pub(crate) fn await_all(&self, at_most: Duration) -> Duration {
        let since = Instant::now();
        let truth = Truth::read(&self.ledger, false);
        let mut open: Vec<&str> = self.names.iter().map(ProductId::as_str).collect();
        while since.elapsed() < at_most {
            open.retain(|product| tape::count(&self.data, product) < truth.expected(product).0.len());
            if open.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        since.elapsed()
    }

    /// Stops the capture first, so that what it does at its end finds the simulator there, then the simulator; gives what both say.
    pub(crate) fn stop(mut self) -> Stopped {
        let ended = self.capture.take().unwrap().stop();
        let totals = self.simulation.stop().unwrap();
        let truth = Truth::read(&self.ledger, true);
        Stopped { ended, totals, truth, data: self.data, ledger: self.ledger, names: self.names, _folder: self._folder }
    }
}

/// What a run left.
pub(crate) struct Stopped {
    pub(crate) ended: Ended,
    pub(crate) totals: Totals,
    pub(crate) truth: Truth,
    pub(crate) data: PathBuf,
    pub(crate) ledger: PathBuf,
    pub(crate) names: Vec<ProductId>,
    _folder: tempfile::TempDir,
}

impl Stopped {
    /// Holds every field of every trade against the ledger, and the sealed files against the rule that ids rise.
    pub(crate) fn assert_nothing_lost(&self) -> tape::Verdict {
        self.ended.assert_good();
        let verdict = tape::judge(&self.data, &self.truth);
        verdict.assert_clean();
        let sealed: usize = self.names.iter().map(|product| tape::assert_sealed_in_order(&self.data, product.as_str())).sum();
        assert_eq!(sealed as u64, verdict.equal, "the sealed files hold what was read, once");
        assert_eq!(self.ended.figure("missing_ids"), 0.0, "{}", self.ended.stdout());
        verdict
    }
}

/// A market of so many products, without faults.
pub(crate) fn market(count: usize, rate: f64, length: Duration) -> SimulateConfig {
    SimulateConfig { products: products(count).unwrap(), rate_per_product: rate, duration: Some(length), ..SimulateConfig::default() }
}
