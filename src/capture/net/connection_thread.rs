//! [`Connection`]: one connection and its thread, from the socket to the writers.
//!
//! 1. The thread does what its [`Session`] says, and tells it what happened. The session decides without I/O what to do about a loss.
//! 2. The time of receipt is taken once for each read from the system, right after it and before parsing. Frames that came with one read share it.
//! 3. Every frame ends in exactly one counter. A frame that cannot be used is kept with its reason.
//! 4. After the start a used frame costs no allocation, no lock, no formatting and no logging here.
//! 5. What a read brought is delivered when all of it is decoded ([`Router::deliver`]). Where frames come without end, several reads are delivered together,
//!    at the latest every 2 ms.
//!
//! Thread `line:{line}.{connection}`: owns the socket, the decoder, the session and the [`Router`]; ends when a stop is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::capture::net::connection_error::ConnectionError;
use crate::capture::net::connection_settings::ConnectionSettings;
use crate::capture::net::router::Router;
use crate::capture::net::wanted_products::WantedProducts;
use crate::capture::report::connection_state::LossCause;
use crate::capture::report::metrics::ConnectionMetrics;
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::feed::action::{Action, SessionReport};
use crate::feed::awake::Deadline;
use crate::feed::parse_check::{ConnectionDecoder, ParseDifference};
use crate::feed::session::{Session, SessionEvent};
use crate::feed::socket::{Received, Socket};
use crate::feed::socket_error::SocketError;
use crate::feed::{Control, FrameFate, RejectReason};
use crate::product::ProductId;
use crate::store::event::Event;
use crate::time::UnixNanos;

/// How long a thread without a connection sleeps between two looks at its session.
const PAUSE: Duration = Duration::from_millis(20);

/// How often a thread that frames keep busy looks at its session.
const TICK: Duration = Duration::from_millis(100);

/// How long a message waits at most for delivery while more frames come.
const DELIVER_WITHIN: Duration = Duration::from_millis(2);

/// Why a connection is ended where the parser refuses a message for its size.
const TOO_MANY_VALUES: &str = "the server sent a message with more values than are taken";

/// How long a stop takes frames that the system has received.
const DRAIN_AT_STOP: Duration = Duration::from_millis(500);

/// How long of that it waits for a trade that a ticker has just named: the two are sent one behind the other.
const TRADE_BEHIND_TICKER: Duration = Duration::from_millis(50);

/// Messages of a connection that are logged where the two ways of reading differ.
const LOGGED_DIFFERENCES: u64 = 100;

/// Bytes of such a message that are logged.
const LOGGED_BYTES: usize = 64 << 10;

/// A connection: everything that its thread works with.
pub(super) struct Connection {
    pub(super) name: String,
    pub(super) session: Session,
    pub(super) decoder: ConnectionDecoder,
    pub(super) router: Router,
    pub(super) metrics: Arc<ConnectionMetrics>,
    pub(super) settings: ConnectionSettings,
    pub(super) journal: JournalHandle,
    pub(super) stop: Stop,
    pub(super) wanted: Arc<WantedProducts>,
    /// The version of `wanted` that the session knows.
    pub(super) wanted_version: u64,
    /// The products that the session knows.
    pub(super) subscribed: BTreeSet<ProductId>,
    pub(super) socket: Option<Socket>,
    pub(super) ticked: Instant,
    /// Bytes of a message under way at the last tick.
    pub(super) unfinished_bytes: u64,
    pub(super) pending: Vec<Action>,
    /// Why the connection is about to be lost.
    pub(super) cause: LossCause,
}

impl Connection {
    /// Runs the connection until a stop is asked for.
    ///
    /// # Errors
    /// Where a writer cannot be started, or the endpoint can never be connected to.
    pub(super) fn run(&mut self) -> Result<(), ConnectionError> {
        while !self.stop.is_asked() {
            self.tick()?;
            match self.socket.take() {
                Some(mut socket) => {
                    let ending = self.read_until_tick(&mut socket);
                    self.socket = Some(socket);
                    self.carry_out_pending()?;
                    if let Some(ending) = ending {
                        self.lose(&ending)?;
                    }
                }
                None => {
                    let _ = self.stop.wait(PAUSE);
                }
            }
        }
        self.metrics.state.ended(Instant::now());
        if let Some(mut socket) = self.socket.take() {
            self.drain(&mut socket);
            socket.close();
        }
        self.decoder.finish(&mut self.router);
        self.note_parse_difference(&[]);
        self.router.tick();
        Ok(())
    }

    fn elapsed(&self) -> Duration {
        self.settings.epoch.elapsed()
    }

    fn tick(&mut self) -> Result<(), ConnectionError> {
        self.ticked = Instant::now();
        self.metrics.ticks.one();
        self.router.publish_lag();
        self.decoder.expire(self.settings.clock.now(), &mut self.router);
        if self.decoder.is_checked() {
            self.note_parse_difference(&[]);
        }
        self.router.tick();
        if let Some((version, wanted)) = self.wanted.newer_than(self.wanted_version) {
            self.wanted_version = version;
            self.change_products(wanted)?;
        }
        self.note_unfinished();
        let actions = self.session.on(SessionEvent::Tick, self.elapsed());
        self.carry_out(actions)
    }

    /// Tells the session where bytes came without a whole message, or wait to be read: it must not judge the silence before they are.
    fn note_unfinished(&mut self) {
        let Some(socket) = &self.socket else { return };
        let unfinished = socket.unfinished_bytes();
        let has_grown = std::mem::replace(&mut self.unfinished_bytes, unfinished) < unfinished;
        let waiting = socket.receive_queue_bytes();
        self.metrics.waiting_bytes.store(waiting, Relaxed);
        if has_grown || waiting > 0 {
            // Nothing is to be done about it.
            let _ = self.session.on(SessionEvent::Heard, self.elapsed());
        }
    }

    fn change_products(&mut self, wanted: BTreeSet<ProductId>) -> Result<(), ConnectionError> {
        let added: Vec<ProductId> = wanted.difference(&self.subscribed).cloned().collect();
        let removed: Vec<ProductId> = self.subscribed.difference(&wanted).cloned().collect();
        self.subscribed = wanted;
        added.iter().try_for_each(|product| self.router.add(product))?;
        if !added.is_empty() {
            let actions = self.session.on(SessionEvent::Add(&added), self.elapsed());
            self.carry_out(actions)?;
        }
        // After the additions: a connection without products is closed.
        if !removed.is_empty() {
            let actions = self.session.on(SessionEvent::Remove(&removed), self.elapsed());
            self.carry_out(actions)?;
        }
        Ok(())
    }

    /// Reads frames until there is something else to do. Gives what ended the connection, if something did.
    fn read_until_tick(&mut self, socket: &mut Socket) -> Option<String> {
        let (mut recv, mut read_at) = (UnixNanos(0), Instant::now());
        let (mut is_fresh, mut last_fate) = (true, None);
        loop {
            match socket.read() {
                Ok(Received::Text(frame)) => {
                    // Frames of one read share its time of receipt.
                    if is_fresh {
                        recv = self.settings.clock.now();
                        read_at = Instant::now();
                    }
                    let fate = self.take_frame(frame, recv, read_at);
                    if fate == FrameFate::Rejected(RejectReason::TooLong) {
                        self.router.tick();
                        return Some(TOO_MANY_VALUES.to_owned());
                    }
                    // Another frame of the same read that ended in the same way says nothing new.
                    if is_fresh || last_fate != Some(fate) {
                        last_fate = Some(fate);
                        self.pending = self.session.on(SessionEvent::Frame(fate), read_at.saturating_duration_since(self.settings.epoch));
                    }
                }
                Ok(Received::Idle) => {
                    self.router.tick();
                    return None;
                }
                Ok(Received::Closed { code, reason }) => {
                    self.router.tick();
                    self.cause = LossCause::Closed;
                    return Some(format!("closed {code} {reason}").trim_end().to_owned());
                }
                Err(error) => {
                    self.router.tick();
                    self.note_error(&error);
                    return Some(error.to_string());
                }
            }
            is_fresh = !socket.read_ahead();
            // The outer loop carries out actions and messages about the connection: they need the socket in its place.
            let is_wanted_outside = !self.pending.is_empty() || self.router.has_control();
            if is_fresh {
                self.deliver(socket, read_at);
                // Looked at once a read, which brings no more than a buffer of frames.
                let is_due = read_at.saturating_duration_since(self.ticked) >= TICK;
                if is_due {
                    self.metrics.receive_queue_bytes.see(socket.receive_queue_bytes());
                }
                if is_due || self.stop.is_asked() {
                    return None;
                }
            }
            if is_wanted_outside {
                return None;
            }
        }
    }

    /// Delivers what the last read brought. Where more frames wait already, several reads are delivered together, so that each product gets several
    /// messages at once.
    #[inline]
    fn deliver(&mut self, socket: &Socket, read_at: Instant) {
        let is_late = |since: Instant| read_at.saturating_duration_since(since) >= DELIVER_WITHIN;
        if socket.was_last_read_full() && !self.router.pending_since().is_some_and(is_late) && socket.is_readable_within(Duration::ZERO) {
            return;
        }
        self.router.deliver();
    }

    /// Carries out what the last frame said about the connection. As a rule that is nothing.
    fn carry_out_pending(&mut self) -> Result<(), ConnectionError> {
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
        metrics.count_frame(count(frame.len()));
        if let Some(recorder) = &self.settings.recorder {
            recorder.keep(recv, frame);
        }
        self.router.begin(frame, recv, read_at);
        let fate = self.decoder.decode(frame, recv, &mut self.router);
        metrics.count_fate(fate);
        if self.decoder.is_checked() {
            self.metrics.parse_checked.one();
            self.note_parse_difference(frame);
        }
        let reason = if let FrameFate::Rejected(reason) = fate { Some(reason) } else { self.router.rejected() };
        if let Some(reason) = reason {
            self.journal.reject(reason.name(), frame);
        }
        fate
    }

    /// Counts and logs what the two ways of reading gave differently of a frame, or of those that were held back.
    #[cold]
    fn note_parse_difference(&mut self, frame: &[u8]) {
        let Some(ParseDifference { by_shape, parsed }) = self.decoder.take_difference() else { return };
        self.metrics.parse_differences.one();
        if self.metrics.parse_differences.get() <= LOGGED_DIFFERENCES {
            let frame = frame.get(..LOGGED_BYTES).unwrap_or(frame).escape_ascii();
            log::error!("{}: a message is read differently by its shape ({by_shape}) and by the parser ({parsed}): {frame}", self.name);
        }
    }

    /// Counts and keeps what was refused for its size. What it held is asked for again: the connection ends with it, and the next one begins with the
    /// newest trades.
    #[cold]
    fn note_error(&self, error: &SocketError) {
        if matches!(error, SocketError::TooLong { .. }) {
            self.metrics.frames.one();
            self.metrics.rejected.one();
            self.journal.reject(RejectReason::TooLong.name(), error.to_string().as_bytes());
        }
    }

    /// At a stop, takes the frames that the system has received already, for at most [`DRAIN_AT_STOP`].
    fn drain(&mut self, socket: &mut Socket) {
        let mut deadline = Deadline::within(DRAIN_AT_STOP);
        let comes = |socket: &Socket, router: &Router| router.awaits_trade() && socket.is_readable_within(TRADE_BEHIND_TICKER);
        while (socket.read_ahead() || socket.receive_queue_bytes() > 0 || comes(socket, &self.router)) && !deadline.left().is_zero() {
            match socket.read() {
                Ok(Received::Text(frame)) => {
                    let recv = self.settings.clock.now();
                    self.take_frame(frame, recv, Instant::now());
                }
                _ => break,
            }
        }
        self.router.tick();
        self.metrics.is_connected.store(false, Relaxed);
    }

    fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), ConnectionError> {
        for action in actions {
            match action {
                Action::Connect => return self.connect(),
                Action::Send(text) => {
                    let sent = self.socket.as_mut().map(|socket| socket.send_text(&text));
                    if let Some(Err(error)) = sent {
                        return self.lose(&error.to_string());
                    }
                }
                Action::Disconnect => {
                    self.cause = self.cause.or_unwanted();
                    self.disconnect(self.cause.of_disconnection());
                }
                Action::Report(report) => self.report(&report),
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), ConnectionError> {
        let turn = self.settings.gate.reserve(self.elapsed());
        if self.stop.wait(turn) {
            return Ok(());
        }
        self.metrics.state.begun(Instant::now());
        let event = match Socket::connect(&self.settings.endpoint, &self.settings.connector, &self.settings.timeouts) {
            Ok(socket) => {
                self.socket = Some(socket);
                (self.unfinished_bytes, self.cause) = (0, LossCause::default());
                self.decoder.begin_connection();
                self.metrics.connects.one();
                self.metrics.is_connected.store(true, Relaxed);
                self.metrics.state.opened();
                log::info!("{}: connected to {}", self.name, self.settings.endpoint);
                self.journal.write(Event::Connected { line: self.name.clone() });
                SessionEvent::Connected
            }
            Err(error) => {
                self.report_failure(&error);
                if !error.is_retryable() {
                    return Err(ConnectionError::Connect { name: self.name.clone(), source: error });
                }
                match error.retry_after(self.settings.clock.now()) {
                    Some(retry_after) => {
                        // The server means this machine, not this connection alone.
                        self.settings.gate.hold(self.elapsed() + retry_after);
                        SessionEvent::ConnectRefused { retry_after }
                    }
                    None => SessionEvent::ConnectFailed,
                }
            }
        };
        let actions = self.session.on(event, self.elapsed());
        self.carry_out(actions)
    }

    fn report_failure(&self, error: &SocketError) {
        log::warn!("{}: {error}", self.name);
        self.metrics.connect_failures.one();
        self.metrics.state.failed(&error.to_string(), Instant::now());
        self.journal.write(Event::ConnectFailed { line: self.name.clone(), error: error.to_string() });
    }

    /// Notes that the connection was lost.
    fn lose(&mut self, why: &str) -> Result<(), ConnectionError> {
        self.disconnect(why);
        let actions = self.session.on(SessionEvent::Lost, self.elapsed());
        self.carry_out(actions)
    }

    fn disconnect(&mut self, why: &str) {
        let why = why.strip_prefix("connection lost: ").unwrap_or(why);
        self.metrics.is_connected.store(false, Relaxed);
        self.router.interrupt();
        if let Some(mut socket) = self.socket.take() {
            socket.close();
            let cause = std::mem::take(&mut self.cause);
            self.metrics.count_loss(cause);
            self.metrics.waiting_bytes.store(0, Relaxed);
            self.metrics.state.failed(why, Instant::now());
            let (level, what) = cause.told();
            log::log!(level, "{}: {what}: {why}", self.name);
            self.journal.write(Event::ConnectionLost { line: self.name.clone(), why: why.to_owned() });
        }
    }

    /// Logs and journals what the session reports.
    fn report(&mut self, report: &SessionReport) {
        let line = self.name.clone();
        match report {
            SessionReport::Subscribing { products } => self.journal.write(Event::Subscribing { line, products: count(*products) }),
            SessionReport::Subscribed { products, wanted } => {
                log::info!("{}: {products} of {wanted} products subscribed", self.name);
                if *products > 0 {
                    self.metrics.state.acknowledged();
                }
                self.router.note_acknowledged(self.session.acknowledged());
                self.journal.write(Event::Subscribed { line, products: count(*products), wanted: count(*wanted) });
            }
            SessionReport::Error { message, reason } => {
                log::warn!("{}: the exchange says: {message} {reason}", self.name);
                self.metrics.state.said(format!("{message} {reason}").trim());
                self.journal.write(Event::ExchangeError { line, message: message.clone(), reason: reason.clone() });
            }
            SessionReport::Refused { product, why, again_in } => {
                log::warn!("{product}: refused ({why}), asked for again in {} s", again_in.as_secs());
                self.router.registry().note_refused(product, why);
                let (product, why, again_in_s) = (product.clone(), why.clone(), again_in.as_secs());
                self.journal.write(Event::ProductRefused { line, product, why, again_in_s });
            }
            SessionReport::Dropped { products } => {
                for product in products {
                    self.journal.write(Event::ProductDropped { line: line.clone(), product: product.clone() });
                }
            }
            SessionReport::Proven => self.journal.write(Event::ConnectionProven { line }),
            SessionReport::Silent => {
                self.cause = LossCause::Silent;
                self.journal.write(Event::ConnectionSilent { line });
            }
            SessionReport::Unacknowledged => {
                self.cause = LossCause::Unacknowledged;
                self.journal.write(Event::NothingAcknowledged { line });
            }
            SessionReport::Ended { lasted } => self.journal.write(Event::SessionEnded { line, lived_s: lasted.as_secs() }),
            SessionReport::Backoff { wait } => log::info!("{}: connecting again in {:.1} s", self.name, wait.as_secs_f64()),
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
