//! A local Coinbase for tests, demos and load: both WebSocket feeds, the REST endpoints and the `status` channel on loopback, seeded, with faults on a
//! script and a ledger of what it produced.
//!
//! 1. Frames have the recorded shapes: key order, number spelling, order of messages (`exchange_feed`, `advanced_feed`, `subscriptions`).
//! 2. It shares no code with the feed's decoders; it uses the words of the tape only, so that a misreading in one cannot hide in the other.
//! 3. What the market makes is the seed's doing alone; clients decide only what of it is sent.
//! 4. After [`Simulation::stop`] every thread has been joined and the ledger is whole.
//!
//! Threads: `sim:floor` owns market, clients and ledger; `sim:door` accepts WebSocket clients and `sim:client:N` moves one's bytes; `sim:rest` and
//! `sim:rest:N` do so for HTTP. `floor` hears of clients through one channel and speaks to them through their outboxes.

mod advanced_feed;
mod archive;
mod book;
mod broadcast;
mod catalogue;
mod certificate;
mod client;
mod disruption;
mod distortion;
mod exchange;
mod exchange_feed;
mod faults;
mod frame;
mod ledger;
mod limit;
mod market;
mod outbox;
mod replay;
mod request;
mod rest;
mod schedule;
mod server;
mod spelling;
mod stream;
mod subscriptions;
mod totals;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use openssl::ssl::SslAcceptor;
use parking_lot::Mutex;

pub use catalogue::products;
pub use faults::{Fault, FaultKind, Faults, FaultsError, GRAMMAR};
pub use outbox::Cut;
pub use replay::Replay;
pub use totals::Totals;

use crate::product::ProductId;
use crate::time::{NANOS_PER_SECOND, UnixNanos};
use exchange::{Event, Exchange, Order};
use totals::Board;

/// Which of Coinbase's feeds is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wire {
    /// The Exchange feed.
    #[default]
    Exchange,
    /// The Advanced Trade feed.
    Advanced,
}

impl Wire {
    /// Names the feed as `--feed` does.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Advanced => "advanced",
        }
    }
}

/// Everything a simulator is told.
#[derive(Debug, Clone)]
pub struct SimulateConfig {
    /// Which feed.
    pub wire: Wire,
    /// Where WebSocket clients come in; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where REST clients come in; none for no REST.
    pub rest_listen: Option<SocketAddr>,
    /// The exchange's products.
    pub products: Vec<ProductId>,
    /// Trades a second a product.
    pub rate_per_product: f64,
    /// Whether there are tickers.
    pub tickers: bool,
    /// How long the event clock runs; for ever where there is none.
    pub duration: Option<Duration>,
    /// Decides over everything that is drawn.
    pub seed: u64,
    /// Where the event clock starts; at the moment it starts where there is none.
    pub start: Option<UnixNanos>,
    /// What goes wrong.
    pub faults: Faults,
    /// Where the ledger is written.
    pub ledger: Option<PathBuf>,
    /// A recording to serve instead of a market.
    pub replay: Option<Replay>,
    /// Serve by TLS, and write the certificate into this folder.
    pub tls: Option<PathBuf>,
    /// Trades a product that lie before the start.
    pub history: u64,
    /// Whether one bad product refuses an Exchange request whole.
    pub refuse_whole: bool,
    /// Bytes that may wait for one client before it is cut off.
    pub client_bound_bytes: usize,
    /// REST requests a second over all clients, beyond which a request is answered by 429; nothing for no limit.
    pub rest_limit: Option<u32>,
}

impl Default for SimulateConfig {
    /// One product, 10 trades a second, any free ports of loopback.
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            wire: Wire::Exchange,
            listen: any,
            rest_listen: Some(any),
            products: products(1).unwrap_or_default(),
            rate_per_product: 10.0,
            tickers: true,
            duration: None,
            seed: 1,
            start: None,
            faults: Faults::default(),
            ledger: None,
            replay: None,
            tls: None,
            history: 120,
            refuse_whole: true,
            client_bound_bytes: 64 << 20,
            rest_limit: None,
        }
    }
}

/// Where the simulator is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The WebSocket endpoint, `ws://…` or `wss://…`.
    pub websocket_url: String,
    /// The REST endpoint, `http://…` or `https://…`.
    pub rest_url: Option<String>,
    /// The authority to trust.
    pub ca_file: Option<PathBuf>,
}

impl Endpoints {
    /// Shows the endpoints as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let shown = |text: Option<String>| {
            let mut out = Vec::new();
            match text {
                None => out.extend_from_slice(b"null"),
                Some(text) => spelling::quoted(&mut out, &text),
            }
            String::from_utf8_lossy(&out).into_owned()
        };
        format!(
            "{{\"websocket_url\":{},\"rest_url\":{},\"ca_file\":{}}}",
            shown(Some(self.websocket_url.clone())),
            shown(self.rest_url.clone()),
            shown(self.ca_file.as_ref().map(|file| file.display().to_string()))
        )
    }
}

/// Why a simulator did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
#[error("simulator: {what}: {source}")]
pub struct SimulateError {
    what: String,
    source: std::io::Error,
}

/// Has an error say which file it is about.
fn naming(path: &Path) -> impl FnOnce(std::io::Error) -> std::io::Error {
    move |error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn failed(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> SimulateError {
    let what = what.into();
    |source| SimulateError { what, source }
}

/// A running simulator. Dropping it ends it too, its totals unread.
#[derive(Debug)]
pub struct Simulation {
    endpoints: Endpoints,
    events: Sender<Event>,
    board: Arc<Board>,
    stop: Arc<AtomicBool>,
    exchange: Option<JoinHandle<std::io::Result<Totals>>>,
    doors: Vec<JoinHandle<()>>,
}

impl Simulation {
    /// Opens the doors. The event clock starts when clients have subscribed to every product.
    ///
    /// # Errors
    /// Where an address cannot be listened on, or ledger, recording or certificate cannot be made.
    pub fn start(config: SimulateConfig) -> Result<Self, SimulateError> {
        let (tls, ca_file) = match config.tls.as_deref().map(certificate::make).transpose().map_err(failed("certificate"))? {
            Some((acceptor, file)) => (Some(acceptor), Some(file)),
            None => (None, None),
        };
        let (events, inbox) = unbounded();
        let (archive, board, stop) = (Arc::new(archive::Archive::new(&config.products)), Arc::default(), Arc::new(AtomicBool::new(false)));
        let schedule = Arc::new(Mutex::new(schedule::Schedule::for_clients(&config.faults, config.seed)));
        let exchange = Exchange::new(&config, Arc::clone(&archive), Arc::clone(&schedule), Arc::clone(&board))
            .map_err(failed("ledger or recording"))?;
        let (listener, address) = listen(config.listen)?;
        let rest = config.rest_listen.map(listen).transpose()?;
        let secure = if tls.is_some() { "s" } else { "" };
        let endpoints = Endpoints {
            websocket_url: format!("ws{secure}://{address}"),
            rest_url: rest.as_ref().map(|(_, address)| format!("http{secure}://{address}")),
            ca_file,
        };
        let mut simulation = Self { endpoints, events, board, stop, exchange: None, doors: Vec::new() };
        simulation.open(exchange, inbox, listener, rest.map(|(listener, _)| listener), tls, schedule, archive, &config)?;
        Ok(simulation)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one start, used once")]
    fn open(
        &mut self,
        exchange: Exchange,
        inbox: Receiver<Event>,
        listener: TcpListener,
        rest_listener: Option<TcpListener>,
        tls: Option<SslAcceptor>,
        schedule: Arc<Mutex<schedule::Schedule>>,
        archive: Arc<archive::Archive>,
        config: &SimulateConfig,
    ) -> Result<(), SimulateError> {
        let (events, stop) = (self.events.clone(), Arc::clone(&self.stop));
        let door = server::Server {
            events: events.clone(),
            stop: Arc::clone(&stop),
            tls: tls.clone(),
            schedule: Arc::clone(&schedule),
            bound: config.client_bound_bytes,
        };
        self.exchange = Some(spawn("sim:exchange", move || exchange.run(&inbox))?);
        let flag = Arc::clone(&stop);
        self.doors.push(spawn("sim:door", move || {
            server::accept_loop(&listener, &flag, "sim:client", move |id, socket| door.serve(id, socket));
        })?);
        if let Some(listener) = rest_listener {
            let limit = config.rest_limit.map(|limit| Arc::new(Mutex::new(limit::Limit::new(limit, Instant::now()))));
            let rest = rest::Rest { archive, events, stop: Arc::clone(&stop), tls, schedule, limit };
            self.doors.push(spawn("sim:rest", move || {
                server::accept_loop(&listener, &stop, "sim:rest", move |id, socket| rest.serve(id, socket));
            })?);
        }
        Ok(())
    }

    /// Says where it is found.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Reads the totals so far; they are at most a fraction of a second old.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.board.totals()
    }

    /// Waits until the event clock runs; says whether it did within the time.
    #[must_use]
    pub fn wait_started(&self, at_most: Duration) -> bool {
        self.board.wait_started(at_most)
    }

    /// Waits until the market's duration (or the recording) is over and everything has left for the sockets. The doors stay open, and heartbeats go on,
    /// until [`Simulation::stop`]: what is missing can still be fetched. Without a duration it waits for ever.
    #[must_use]
    pub fn wait(&self) -> Totals {
        self.board.wait_done();
        self.board.totals()
    }

    /// Tells whether what [`Simulation::wait`] waits for has come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.board.is_done()
    }

    /// Ends every connection.
    pub fn drop_connections(&self, cut: Cut) {
        self.order(Order::Cut(cut));
    }

    /// Ends a product's trading.
    pub fn delist(&self, product: &ProductId) {
        self.order(Order::Delist(product.clone()));
    }

    /// Holds the event clock, the ledger being written up to there, or lets it go on from where it was held.
    pub fn pause(&self, is_paused: bool) {
        self.order(Order::Pause(is_paused));
    }

    /// Sends a text frame to every client.
    pub fn say(&self, text: &str) {
        self.order(Order::Say(text.to_owned()));
    }

    /// Closes everything, joins every thread and finishes the ledger.
    ///
    /// # Errors
    /// The ledger's first failed write.
    ///
    /// # Panics
    /// Where the floor has panicked: a mistake of the simulator itself.
    pub fn stop(mut self) -> Result<Totals, SimulateError> {
        match self.close() {
            Some(Ok(ended)) => ended.map_err(failed("ledger")),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(self.board.totals()),
        }
    }

    fn order(&self, order: Order) {
        // The floor ends before its channel only where it has panicked, which `stop` reports.
        let _ = self.events.send(Event::Order(order));
    }

    fn close(&mut self) -> Option<std::thread::Result<std::io::Result<Totals>>> {
        self.order(Order::Stop);
        let ended = self.exchange.take().map(JoinHandle::join);
        self.stop.store(true, Ordering::Relaxed);
        for door in self.doors.drain(..) {
            let _ = door.join();
        }
        ended
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        if self.exchange.is_some() {
            let _ = self.close();
        }
    }
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), SimulateError> {
    let open = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    open().map_err(failed(format!("listening on {address}")))
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, SimulateError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(failed(format!("thread {name}")))
}

/// Nanoseconds of a duration; beyond five centuries, the longest there are.
fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(NANOS_PER_SECOND).saturating_add(u64::from(duration.subsec_nanos()))
}
