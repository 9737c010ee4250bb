//! A local Coinbase for tests, demos and load: both WebSocket feeds, the REST endpoints and the `status` channel on loopback. It is seeded, it makes the
//! faults of a script, and it writes a ledger of what it produced.
//!
//! 1. Frames have the recorded shapes: order of keys, format of numbers, order of messages (`exchange_feed`, `advanced_feed`, `subscriptions`).
//! 2. It shares no code with the feed's decoders and uses only the words of the tape, so that a mistake in one cannot hide the same mistake in the other.
//! 3. The market depends on the seed alone. Clients decide only which part of it is sent.
//! 4. After [`Simulation::stop`] every thread has been joined and the ledger is complete.
//!
//! Threads: `sim:exchange` owns market, clients and ledger. `sim:websocket` accepts WebSocket clients, and `sim:client:N` moves the bytes of one;
//! `sim:rest` and `sim:rest:N` do the same for HTTP. The other threads send events to `sim:exchange` through one bounded channel. It sends frames to clients
//! through their outboxes.

mod advanced_feed;
mod archive;
mod book;
mod broadcast;
mod catalogue;
mod certificate;
mod channels;
mod client;
mod config;
mod disruption;
mod distortion;
mod endpoints;
mod error;
mod event;
mod event_loop;
mod exchange;
mod exchange_feed;
mod faults;
mod format;
mod frame;
mod ledger;
mod market;
mod missed;
mod outage;
mod outbox;
mod progress;
mod rate_limit;
mod recording;
mod replay;
mod request;
mod rest;
mod schedule;
mod server;
mod stream;
mod subscriptions;
mod target;
mod totals;
mod trade;
mod waiting;
mod windows;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;

pub use catalogue::products;
pub use config::{SimulateConfig, SimulatedFeed};
pub use endpoints::Endpoints;
pub use error::SimulateError;
pub(crate) use faults::GRAMMAR;
pub use faults::{Faults, FaultsError};
pub use outbox::Cut;
pub use recording::Replay;
pub use totals::Totals;

use crate::product::ProductId;
use archive::Archive;
use error::failed;
use event::{Command, EVENTS, Event};
use exchange::{Exchange, Shared};
use progress::Progress;
use rate_limit::RateLimit;
use rest::RestServer;
use schedule::Schedule;
use server::{ServerContext, WebSocketServer, accept_loop};

/// A running simulator. Dropping it stops it too, without its totals.
///
/// ```
/// use std::time::Duration;
///
/// use coltape::{Faults, SimulateConfig, Simulation};
///
/// let mut config = SimulateConfig::default();
/// config.rate_per_product = 100.0;
/// config.duration = Some(Duration::from_secs(1));
/// config.faults = Faults::parse("drop=0.01,reset@500ms")?;
/// let simulation = Simulation::start(config)?;
/// println!("connect to {}", simulation.endpoints().websocket_url);
/// let totals = simulation.stop()?;
/// assert_eq!(totals.connections, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Simulation {
    endpoints: Endpoints,
    events: Sender<Event>,
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
    exchange: Option<JoinHandle<std::io::Result<Totals>>>,
    servers: Vec<JoinHandle<()>>,
}

impl Simulation {
    /// Starts the servers. The event clock starts when clients have subscribed to every product.
    ///
    /// # Errors
    /// An address cannot be listened on; the ledger, the recording or the certificate cannot be opened or made; or a thread cannot be started. Threads that
    /// were started before are joined.
    pub fn start(config: SimulateConfig) -> Result<Self, SimulateError> {
        let identity = config.tls.as_deref().map(certificate::make).transpose().map_err(failed("certificate"))?;
        let (tls, ca_file) = identity.map(|identity| (identity.acceptor, identity.ca_file)).unzip();
        let archive = Arc::new(Archive::new(&config.products));
        let schedule = Arc::new(Mutex::new(Schedule::for_requests(&config.faults, config.seed)));
        let progress = Arc::new(Progress::default());
        let shared = Shared { archive: Arc::clone(&archive), schedule: Arc::clone(&schedule), progress: Arc::clone(&progress) };
        let exchange = Exchange::new(&config, shared).map_err(failed("ledger or recording"))?;
        let websocket = Listener::open(config.listen)?;
        let rest = config.rest_listen.map(Listener::open).transpose()?;
        let secure = if tls.is_some() { "s" } else { "" };
        let endpoints = Endpoints {
            websocket_url: format!("ws{secure}://{}", websocket.address),
            rest_url: rest.as_ref().map(|rest| format!("http{secure}://{}", rest.address)),
            ca_file,
        };
        let (events, inbox) = bounded(EVENTS);
        let stop = Arc::new(AtomicBool::new(false));
        let context = ServerContext { events: events.clone(), stop: Arc::clone(&stop), tls, schedule };
        // From here on an error drops `simulation`, which stops and joins the threads that have been started.
        let mut simulation = Self { endpoints, events, progress, stop, exchange: None, servers: Vec::new() };
        simulation.exchange = Some(spawn("sim:exchange", move || exchange.run(&inbox))?);
        let server = WebSocketServer { context: context.clone(), bound_bytes: config.client_bound_bytes };
        let stop = Arc::clone(&context.stop);
        simulation.servers.push(spawn("sim:websocket", move || {
            accept_loop(&websocket.socket, &stop, "sim:client", move |id, socket| server.serve(id, socket));
        })?);
        if let Some(rest) = rest {
            let limit = config.rest_limit.map(|limit| Arc::new(Mutex::new(RateLimit::new(limit, Instant::now()))));
            let stop = Arc::clone(&context.stop);
            let server = RestServer { context, archive, clock: config.clock.clone(), limit };
            simulation.servers.push(spawn("sim:rest", move || {
                accept_loop(&rest.socket, &stop, "sim:rest", move |id, socket| server.serve(id, socket));
            })?);
        }
        Ok(simulation)
    }

    /// Gives the addresses that clients connect to.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Gives the totals so far. They are at most a fraction of a second old.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.progress.totals()
    }

    /// Waits until the event clock runs, for `at_most`. Tells whether it runs.
    #[must_use]
    pub fn wait_started(&self, at_most: Duration) -> bool {
        self.progress.wait_started(at_most)
    }

    /// Waits until the market's duration (or the recording) is over and all its frames have left for the sockets. The servers go on, with heartbeats, until
    /// [`Simulation::stop`], so that clients can still fetch what they miss. Without a duration it never returns.
    #[must_use]
    pub fn wait(&self) -> Totals {
        self.progress.wait_done();
        self.progress.totals()
    }

    /// Tells whether [`Simulation::wait`] would return at once.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.progress.is_done()
    }

    /// Ends every connection.
    pub fn drop_connections(&self, cut: Cut) {
        self.command(Command::Disconnect(cut));
    }

    /// Stops the trading of a product.
    pub fn delist(&self, product: &ProductId) {
        self.command(Command::Delist(product.clone()));
    }

    /// Begins the trading of a product that was not there ([`SimulateConfig::unlisted`]).
    pub fn list(&self, product: &ProductId) {
        self.command(Command::List(product.clone()));
    }

    /// Stops the event clock, and writes the ledger up to there.
    pub fn pause(&self) {
        self.command(Command::Pause);
    }

    /// Lets the event clock go on from where [`Simulation::pause`] stopped it.
    pub fn resume(&self) {
        self.command(Command::Resume);
    }

    /// Sends a text frame to every client.
    pub fn send_text(&self, text: &str) {
        self.command(Command::SendText(text.to_owned()));
    }

    /// Stops everything, joins every thread and completes the ledger.
    ///
    /// # Errors
    /// The first write to the ledger that failed.
    ///
    /// # Panics
    /// The exchange's thread has panicked, which is a bug of the simulator.
    pub fn stop(mut self) -> Result<Totals, SimulateError> {
        match self.close() {
            Some(Ok(ended)) => ended.map_err(failed("ledger")),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(self.progress.totals()),
        }
    }

    fn command(&self, command: Command) {
        // This fails only where the exchange's thread has panicked, which `stop` reports.
        let _ = self.events.send(Event::Command(command));
    }

    fn close(&mut self) -> Option<std::thread::Result<std::io::Result<Totals>>> {
        self.command(Command::Stop);
        let ended = self.exchange.take().map(JoinHandle::join);
        self.stop.store(true, Ordering::Relaxed);
        for server in self.servers.drain(..) {
            let _ = server.join();
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

/// A socket that accepts connections, and its address.
struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    fn open(address: SocketAddr) -> Result<Self, SimulateError> {
        let open = || {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        open().map_err(failed(format!("listening on {address}")))
    }
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, SimulateError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(failed(format!("thread {name}")))
}
