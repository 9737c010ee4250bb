//! A line: one connection and its thread, from the socket to the queues.
//!
//! 1. The thread does what its [`Session`] says and tells it what happened; what to do about a loss is decided there, without I/O.
//! 2. The time of receipt is read once a read from the system, right after it and before parsing; frames that came with one read share it.
//! 3. Every frame ends in exactly one counter; what could not be used is kept with its reason.
//! 4. After start a used frame costs no allocation, no lock, no formatting and no logging here.
//! 5. What a read from the system brought is put down when all of it is decoded, for every writer that sleeps, as far as that costs no wait ([`crate::capture::write::slot`]).
//!    Who is to do more is called in the same moment. Where frames come without end that is after several reads, at the latest every 2 ms.
//!
//! Thread `line:{line}.{connection}`: owns the socket, the decoder, the session and the [`Router`]; ends when a stop is asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::capture::config::CaptureConfig;
use crate::capture::cores::Cores;
use crate::capture::error::CaptureError;
use crate::capture::net::recorder::Recorder;
use crate::capture::net::router::Router;
use crate::capture::report::metrics::ConnectionMetrics;
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::registry::Registry;
use crate::capture::write::ticker_source::LinePlace;
use crate::feed::action::{Action, SessionReport};
use crate::feed::backoff::ConnectGate;
use crate::feed::endpoint::Endpoint;
use crate::feed::session::{Session, SessionEvent};
use crate::feed::session_config::SessionConfig;
use crate::feed::socket::{Received, Socket};
use crate::feed::socket_error::SocketError;
use crate::feed::timeouts::Timeouts;
use crate::feed::tls::TlsRoots;
use crate::feed::{Control, Decoder, Feed, FrameFate};
use crate::product::ProductId;
use crate::store::event::Event;
use crate::time::{Clock, UnixNanos};

/// How long a line without a connection sleeps between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How often a line that is kept busy by frames looks at the clock for its session.
const TICK: Duration = Duration::from_millis(100);

/// How long what has come waits at the latest to be handed over where more frames have always come already.
const FLUSH_BATCH_WITHIN: Duration = Duration::from_millis(2);

/// What all lines of a capture share.
#[derive(Clone)]
pub struct ConnectionSettings {
    feed: Feed,
    endpoint: Endpoint,
    roots: TlsRoots,
    timeouts: Timeouts,
    trades: bool,
    lines: u8,
    idle_timeout: Duration,
    gate: Arc<ConnectGate>,
    recorder: Option<Recorder>,
    cores: Arc<Cores>,
    clock: Clock,
    epoch: Instant,
}

impl ConnectionSettings {
    /// Checks the endpoint and the extra root.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn new(config: &CaptureConfig, recorder: Option<Recorder>, cores: Arc<Cores>) -> Result<Self, CaptureError> {
        Ok(Self {
            feed: config.feed,
            endpoint: Endpoint::parse(&config.url)?,
            roots: TlsRoots { ca_file: checked_file(config.ca_file.clone())? },
            timeouts: Timeouts { spins: config.spins, ..Timeouts::default() },
            trades: config.datasets.trades,
            lines: config.lines,
            idle_timeout: config.idle_timeout,
            gate: Arc::default(),
            recorder,
            cores,
            clock: config.clock.clone(),
            epoch: Instant::now(),
        })
    }
}

fn checked_file(file: Option<PathBuf>) -> Result<Option<PathBuf>, CaptureError> {
    match file {
        Some(path) if !path.is_file() => Err(CaptureError::CaFile { path }),
        other => Ok(other),
    }
}

/// Changes that may wait for a connection: two for each time that the list of products is read again, which is at most once a second. Beyond that the
/// reading of the list waits for the connection.
const WAITING_ORDERS: usize = 64;

/// A change of what a line subscribes to.
enum Order {
    Add(Vec<ProductId>),
    Remove(Vec<ProductId>),
}

/// The capture's hold on a line.
pub struct ConnectionHandle {
    /// The thread's name.
    pub name: String,
    /// The connection's figures.
    pub metrics: Arc<ConnectionMetrics>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl ConnectionHandle {
    /// Starts a connection of one of the redundant lines, that subscribes to `products`.
    ///
    /// # Errors
    /// Where a writer or the thread cannot be started.
    pub fn start(
        (number, connection): (u8, usize),
        products: Vec<ProductId>,
        settings: &ConnectionSettings,
        registry: &Arc<Registry>,
        journal: &JournalHandle,
        stop: &Stop,
    ) -> Result<Self, String> {
        let place = format!("{number}.{connection}");
        let name = format!("line:{place}");
        let metrics = Arc::new(ConnectionMetrics::default());
        // The Advanced feed's tickers carry nothing to merge them by.
        let shares_tickers = !settings.feed.has_ticker_sequence() && settings.lines > 1;
        let line_place = LinePlace { number, shares_tickers };
        let router = Router::new(&place, Arc::clone(registry), journal.clone(), Arc::clone(&metrics), line_place, &products)?;
        let (orders, incoming) = bounded(WAITING_ORDERS);
        let config = SessionConfig {
            products,
            trades: settings.trades,
            status: false,
            idle_timeout: settings.idle_timeout,
            seed: u64::from(std::process::id()) ^ settings.clock.now().0 ^ (u64::from(number) << 32),
        };
        let mut line = Line {
            name: name.clone(),
            session: Session::new(settings.feed, &config),
            decoder: Decoder::new(settings.feed, number),
            router,
            metrics: Arc::clone(&metrics),
            settings: settings.clone(),
            journal: journal.clone(),
            stop: stop.clone(),
            orders: incoming,
            socket: None,
            ticked: Instant::now(),
            pending: Vec::new(),
        };
        let work = move || {
            line.settings.cores.settle();
            let outcome = line.run();
            if let Err(reason) = &outcome {
                line.stop.fail(reason.clone());
            }
            outcome
        };
        let thread = spawn(&name, Stack::Standard, stop, work).map_err(|error| format!("{name}: no thread: {error}"))?;
        Ok(Self { name, metrics, orders, thread: Some(thread) })
    }

    /// Has more products subscribed to.
    pub fn add(&self, products: Vec<ProductId>) {
        // A line that has ended subscribes to nothing any more.
        let _ = self.orders.send(Order::Add(products));
    }

    /// Has products unsubscribed from.
    pub fn remove(&self, products: Vec<ProductId>) {
        let _ = self.orders.send(Order::Remove(products));
    }

    /// Waits for the thread's end; gives the reason where that is a failure.
    pub fn join(&mut self) -> Option<String> {
        match self.thread.take()?.join() {
            Ok(outcome) => outcome.err(),
            Err(_) => Some(format!("{}: the thread died", self.name)),
        }
    }
}

struct Line {
    name: String,
    session: Session,
    decoder: Decoder,
    router: Router,
    metrics: Arc<ConnectionMetrics>,
    settings: ConnectionSettings,
    journal: JournalHandle,
    stop: Stop,
    orders: Receiver<Order>,
    socket: Option<Socket>,
    ticked: Instant,
    pending: Vec<Action>,
}

impl Line {
    fn run(&mut self) -> Result<(), String> {
        while !self.stop.is_asked() {
            self.tick()?;
            match self.socket.take() {
                Some(mut socket) => {
                    let ending = self.read_until_tick(&mut socket);
                    self.socket = Some(socket);
                    self.settle()?;
                    if let Some(ending) = ending {
                        self.lose(&ending)?;
                    }
                }
                None => {
                    let _ = self.stop.wait(PAUSE);
                }
            }
        }
        if let Some(mut socket) = self.socket.take() {
            self.drain(&mut socket);
            socket.close();
        }
        Ok(())
    }

    fn elapsed(&self) -> Duration {
        self.settings.epoch.elapsed()
    }

    fn tick(&mut self) -> Result<(), String> {
        self.ticked = Instant::now();
        self.router.publish_lag();
        self.router.wake();
        while let Ok(order) = self.orders.try_recv() {
            self.obey(&order)?;
        }
        let actions = self.session.on(SessionEvent::Tick, self.elapsed());
        self.carry_out(actions)
    }

    fn obey(&mut self, order: &Order) -> Result<(), String> {
        let now = self.elapsed();
        let actions = match order {
            Order::Add(products) => {
                products.iter().try_for_each(|product| self.router.add(product))?;
                self.session.on(SessionEvent::Add(products), now)
            }
            Order::Remove(products) => self.session.on(SessionEvent::Remove(products), now),
        };
        self.carry_out(actions)
    }

    /// Reads frames until there is something else to do; gives what ended the connection, if something did.
    fn read_until_tick(&mut self, socket: &mut Socket) -> Option<String> {
        let (mut recv, mut read_at) = (UnixNanos(0), Instant::now());
        let mut is_fresh = true;
        loop {
            match socket.read() {
                Ok(Received::Text(frame)) => {
                    // Frames of one read share its clocks.
                    if is_fresh {
                        recv = self.settings.clock.now();
                        read_at = Instant::now();
                    }
                    let fate = self.take_frame(frame, recv, read_at);
                    self.pending = self.session.on(SessionEvent::Frame(fate), read_at.saturating_duration_since(self.settings.epoch));
                }
                Ok(Received::Idle) => {
                    self.router.wake();
                    return None;
                }
                Ok(Received::Closed { code, reason }) => {
                    self.router.wake();
                    return Some(format!("closed {code} {reason}"));
                }
                Err(error) => {
                    self.router.wake();
                    return Some(error.to_string());
                }
            }
            is_fresh = !socket.read_ahead();
            if is_fresh {
                self.append_batch(socket, read_at);
            }
            let is_due = read_at.saturating_duration_since(self.ticked) >= TICK;
            if is_due {
                self.metrics.receive_queue_bytes.see(socket.receive_queue_bytes());
            }
            // Actions and messages about the connection need the socket in its place: the outer loop sees to them.
            if is_due || !self.pending.is_empty() || self.router.has_control() || self.stop.is_asked() {
                return None;
            }
        }
    }

    /// Hands over what the last read brought: at once, unless more waits already; then several reads' together, so that a product comes to its turn with
    /// several messages. And calls who has to see to what is left.
    #[inline]
    fn append_batch(&mut self, socket: &Socket, read_at: Instant) {
        let is_late = |since: Instant| read_at.saturating_duration_since(since) >= FLUSH_BATCH_WITHIN;
        if socket.was_last_read_full() && !self.router.touched_since().is_some_and(is_late) && socket.is_readable_within(Duration::ZERO) {
            return;
        }
        self.router.append_batch();
        if self.router.has_called() {
            self.router.wake();
        }
    }

    /// Carries out what the last frame brought about the connection. Nothing, as a rule.
    fn settle(&mut self) -> Result<(), String> {
        let pending = std::mem::take(&mut self.pending);
        self.carry_out(pending)?;
        while let Some(control) = self.router.take_control() {
            if let Control::SequenceGap { expected, got } = control {
                self.metrics.sequence_holes.one();
                log::warn!("{}: messages {expected} to {} of this connection are missing", self.name, got.saturating_sub(1));
                self.journal.write(Event::SequenceGap { line: self.name.clone(), expected, got });
                continue;
            }
            let actions = self.session.on(SessionEvent::Control(&control), self.elapsed());
            self.carry_out(actions)?;
        }
        Ok(())
    }

    /// Decodes a frame, counts it, and keeps what could not be used.
    #[inline]
    fn take_frame(&mut self, frame: &[u8], recv: UnixNanos, read_at: Instant) -> FrameFate {
        let metrics = &self.metrics;
        metrics.frames.one();
        metrics.bytes.add(count(frame.len()));
        if let Some(recorder) = &self.settings.recorder {
            recorder.keep(recv, frame);
        }
        self.router.begin(frame, recv, read_at);
        let fate = self.decoder.decode(frame, recv, &mut self.router);
        match fate {
            FrameFate::Used => metrics.used.one(),
            FrameFate::Control => metrics.control.one(),
            FrameFate::Ignored => metrics.ignored.one(),
            FrameFate::Rejected(_) => metrics.rejected.one(),
        }
        let reason = if let FrameFate::Rejected(reason) = fate { Some(reason) } else { self.router.rejected() };
        if let Some(reason) = reason {
            self.journal.reject(reason.name(), frame);
        }
        fate
    }

    /// At a stop, takes what the system has received already, for at most half a second.
    fn drain(&mut self, socket: &mut Socket) {
        let end = Instant::now() + Duration::from_millis(500);
        while (socket.read_ahead() || socket.receive_queue_bytes() > 0) && Instant::now() < end {
            match socket.read() {
                Ok(Received::Text(frame)) => {
                    let recv = self.settings.clock.now();
                    self.take_frame(frame, recv, Instant::now());
                }
                _ => break,
            }
        }
        self.router.wake();
        self.metrics.is_connected.store(false, Relaxed);
    }

    fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), String> {
        for action in actions {
            match action {
                Action::Connect => return self.connect(),
                Action::Send(text) => {
                    let sent = self.socket.as_mut().map(|socket| socket.send_text(&text));
                    if let Some(Err(error)) = sent {
                        return self.lose(&error.to_string());
                    }
                }
                Action::Disconnect => self.disconnect("replaced"),
                Action::Report(report) => self.report(&report),
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), String> {
        let turn = self.settings.gate.reserve(self.elapsed());
        if self.stop.wait(turn) {
            return Ok(());
        }
        let event = match Socket::connect(&self.settings.endpoint, &self.settings.roots, &self.settings.timeouts) {
            Ok(socket) => {
                self.socket = Some(socket);
                self.decoder.begin_connection();
                self.metrics.connects.one();
                self.metrics.is_connected.store(true, Relaxed);
                log::info!("{}: connected to {}", self.name, self.settings.endpoint);
                self.journal.write(Event::Connected { line: self.name.clone() });
                SessionEvent::Connected
            }
            Err(error) => {
                self.tell_failure(&error);
                if !error.is_retryable() {
                    return Err(format!("{}: {error}", self.name));
                }
                SessionEvent::ConnectFailed
            }
        };
        let actions = self.session.on(event, self.elapsed());
        self.carry_out(actions)
    }

    fn tell_failure(&self, error: &SocketError) {
        log::warn!("{}: {error}", self.name);
        self.journal.write(Event::ConnectFailed { line: self.name.clone(), error: error.to_string() });
    }

    /// The connection is gone by itself.
    fn lose(&mut self, why: &str) -> Result<(), String> {
        self.disconnect(why);
        let actions = self.session.on(SessionEvent::Lost, self.elapsed());
        self.carry_out(actions)
    }

    fn disconnect(&mut self, why: &str) {
        self.metrics.is_connected.store(false, Relaxed);
        self.router.let_go_of_tickers();
        if let Some(mut socket) = self.socket.take() {
            socket.close();
            self.metrics.losses.one();
            log::warn!("{}: connection lost: {why}", self.name);
            self.journal.write(Event::ConnectionLost { line: self.name.clone(), why: why.to_owned() });
        }
    }

    fn report(&self, report: &SessionReport) {
        let line = self.name.clone();
        match report {
            SessionReport::Subscribing { products } => self.journal.write(Event::Subscribing { line, products: count(*products) }),
            SessionReport::Subscribed { products, wanted } => {
                log::info!("{}: {products} of {wanted} products subscribed", self.name);
                self.journal.write(Event::Subscribed { line, products: count(*products), wanted: count(*wanted) });
            }
            SessionReport::Error { message, reason } => {
                log::warn!("{}: the exchange says: {message} {reason}", self.name);
                self.journal.write(Event::ExchangeError { line, message: message.clone(), reason: reason.clone() });
            }
            SessionReport::Refused { product, why, again_in } => {
                log::warn!("{product}: refused ({why}), asked for again in {} s", again_in.as_secs());
                let (product, why, again_in_s) = (product.clone(), why.clone(), again_in.as_secs());
                self.journal.write(Event::ProductRefused { line, product, why, again_in_s });
            }
            SessionReport::Dropped { products } => {
                for product in products {
                    self.journal.write(Event::ProductDropped { line: line.clone(), product: product.clone() });
                }
            }
            SessionReport::Proven => self.journal.write(Event::ConnectionProven { line }),
            SessionReport::Silent => self.journal.write(Event::ConnectionSilent { line }),
            SessionReport::Unacknowledged => self.journal.write(Event::NothingAcknowledged { line }),
            SessionReport::Ended { lasted } => self.journal.write(Event::SessionEnded { line, lived_s: lasted.as_secs() }),
            SessionReport::Backoff { wait } => log::info!("{}: connecting again in {:.1} s", self.name, wait.as_secs_f64()),
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
