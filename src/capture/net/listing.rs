//! [`Listing`]: keeps the list of the exchange's products up to date, for a capture of all of them. A connection of its own subscribes to `status`.
//!
//! 1. No connection of the market carries the list: it is long, and to read it takes milliseconds.
//! 2. As long as `status` brings no list, REST is asked for one now and then, where there is a REST endpoint.
//! 3. Whatever fails is tried again for as long as the capture runs. The list that was there stays.
//!
//! Thread `listing`: owns the connection; ends when a stop is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::capture::config::CaptureConfig;
use crate::capture::net::connection_settings::ConnectionSettings;
use crate::capture::product_listing::ProductListing;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::feed::action::Action;
use crate::feed::rest::RestClient;
use crate::feed::session::{Session, SessionEvent};
use crate::feed::session_config::SessionConfig;
use crate::feed::socket::{Received, Socket};
use crate::feed::{Control, Decoder, FrameFate, Handler, Item, ProductInfo, RejectReason};
use crate::product::ProductId;
use crate::record::{Ticker, Trade};
use crate::time::{Timestamp, UnixNanos};

/// The shortest time without a message after which the connection is replaced: Coinbase sends the list "on a preset interval", and nothing else comes.
const LEAST_IDLE: Duration = Duration::from_secs(60);

/// How long `status` may take to bring the first list before REST is asked.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// How old the last list of `status` is when REST is asked, and how often it is asked then.
const REST_EVERY: Duration = Duration::from_secs(60);

/// Longest time of one request.
const REST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the thread sleeps between two looks while it is not connected.
const PAUSE: Duration = Duration::from_millis(20);

/// What the thread has found out.
#[derive(Default)]
struct State {
    listing: ProductListing,
    /// Rises with every list.
    version: u64,
    /// Why there is no list yet, where neither `status` nor REST has brought one.
    failure: Option<String>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Why there is no list of the exchange's products.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoList(String);

/// Why the connection has ended.
struct Ended(String);

/// The list of the exchange's products.
pub(crate) struct Listing {
    shared: Arc<Shared>,
    quotes: BTreeSet<String>,
    seen: u64,
    thread: Option<JoinHandle<()>>,
}

impl Listing {
    /// Starts the thread `listing`.
    ///
    /// # Errors
    /// Where the system cannot start a thread.
    pub(crate) fn start(config: &CaptureConfig, settings: ConnectionSettings, stop: &Stop) -> std::io::Result<Self> {
        let session = SessionConfig {
            trades: false,
            status: true,
            ..SessionConfig::new(Vec::new(), config.idle_timeout.max(LEAST_IDLE), u64::from(std::process::id()) ^ settings.clock.now().0)
        };
        let shared = Arc::<Shared>::default();
        let mut work = Work {
            session: Session::new(settings.feed, &session),
            decoder: Decoder::new(settings.feed, 0),
            rest_url: config.rest_url.clone(),
            settings,
            socket: None,
            shared: Arc::clone(&shared),
            stop: stop.clone(),
            rest_at: Instant::now() + FIRST_WITHIN,
            has_list: false,
        };
        let thread = spawn("listing", Stack::Standard, stop, move || work.run())?;
        Ok(Self { shared, quotes: config.quotes.clone(), seen: 0, thread: Some(thread) })
    }

    /// Waits until a list has come, at most for `longest`. Gives the products to record, or why there is no list. With `may_give_up` it waits no longer than
    /// until something has failed.
    pub(crate) fn wait_first(&mut self, longest: Duration, may_give_up: bool, stop: &Stop) -> Result<BTreeSet<ProductId>, NoList> {
        let deadline = Instant::now() + longest;
        let mut state = self.shared.state.lock();
        while state.version == 0 && !(may_give_up && state.failure.is_some()) && !stop.is_asked() && Instant::now() < deadline {
            self.shared.changed.wait_for(&mut state, PAUSE);
        }
        let why = if state.version == 0 {
            state.failure.clone().unwrap_or_else(|| format!("none came within {} s", longest.as_secs()))
        } else {
            let wanted = state.listing.wanted(&self.quotes);
            if !wanted.is_empty() {
                self.seen = state.version;
                return Ok(wanted);
            }
            "it has no product that is online".to_owned() + if self.quotes.is_empty() { "" } else { " in these quote currencies" }
        };
        Err(NoList(why))
    }

    /// Gives the products to record, where a list has come since the last call.
    pub(crate) fn take_news(&mut self) -> Option<BTreeSet<ProductId>> {
        let state = self.shared.state.lock();
        if state.version == self.seen {
            return None;
        }
        self.seen = state.version;
        Some(state.listing.wanted(&self.quotes))
    }

    /// Gives the products to record by a list that an earlier capture has left.
    #[must_use]
    pub(crate) fn wanted_of(&self, text: &str) -> BTreeSet<ProductId> {
        ProductListing::parse(text).wanted(&self.quotes)
    }

    /// Writes the list as lines.
    #[must_use]
    pub(crate) fn lines(&self, source: &str, now: UnixNanos) -> String {
        self.shared.state.lock().listing.lines(source, now)
    }

    /// Waits for the end of the thread. A stop has been asked for.
    pub(crate) fn join(&mut self) {
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the listing thread died");
        }
    }
}

impl Shared {
    fn take(&self, infos: Vec<ProductInfo>) {
        let mut state = self.state.lock();
        state.listing.take(infos);
        state.version += 1;
        self.changed.notify_all();
    }

    fn fail(&self, why: String) {
        let mut state = self.state.lock();
        log::warn!("the list of products: {why}");
        state.failure = Some(why);
        self.changed.notify_all();
    }
}

/// Keeps the messages about the connection, and nothing else.
#[derive(Default)]
struct Controls(Vec<Control>);

impl Handler for Controls {
    fn trade(&mut self, _: &[u8], _: &Trade) {}

    fn ticker(&mut self, _: &[u8], _: &Ticker) {}

    fn heartbeat(&mut self, _: Option<&[u8]>, _: u64, _: Option<Timestamp>) {}

    fn inexact(&mut self, _: &[u8], _: &'static str, _: u64, _: &[u8]) {}

    fn reject_item(&mut self, _: Item, _: RejectReason) {}

    fn control(&mut self, control: Control) {
        self.0.push(control);
    }
}

/// What the thread works with.
struct Work {
    session: Session,
    decoder: Decoder,
    settings: ConnectionSettings,
    rest_url: Option<String>,
    socket: Option<Socket>,
    shared: Arc<Shared>,
    stop: Stop,
    /// When REST is asked, unless `status` brings a list before.
    rest_at: Instant,
    has_list: bool,
}

impl Work {
    fn run(&mut self) {
        while !self.stop.is_asked() {
            let actions = self.session.on(SessionEvent::Tick, self.elapsed());
            self.carry_out(actions);
            if Instant::now() >= self.rest_at {
                self.ask_rest("status has brought none in time");
            }
            match self.socket.take() {
                Some(mut socket) => {
                    let read = self.read(&mut socket);
                    self.socket = Some(socket);
                    match read {
                        Ok(controls) => controls.into_iter().for_each(|control| self.take(control)),
                        Err(Ended(why)) => self.lose(&why),
                    }
                }
                None => {
                    let _ = self.stop.wait(PAUSE);
                }
            }
        }
        if let Some(mut socket) = self.socket.take() {
            socket.close();
        }
    }

    fn elapsed(&self) -> Duration {
        self.settings.epoch.elapsed()
    }

    /// Reads a message. Gives what it says of the connection, or why the connection has ended.
    fn read(&mut self, socket: &mut Socket) -> Result<Vec<Control>, Ended> {
        let mut controls = Controls::default();
        match socket.read() {
            Ok(Received::Text(frame)) => {
                let fate = self.decoder.decode(frame, self.settings.clock.now(), &mut controls);
                // The list is what this connection is for: with it the connection counts as good.
                let is_list = controls.0.iter().any(|control| matches!(control, Control::Status(_)));
                let actions = self.session.on(SessionEvent::Frame(if is_list { FrameFate::Used } else { fate }), self.elapsed());
                self.carry_out(actions);
                Ok(controls.0)
            }
            Ok(Received::Idle) => Ok(Vec::new()),
            Ok(Received::Closed { code, reason }) => Err(Ended(format!("closed {code} {reason}").trim_end().to_owned())),
            Err(error) => Err(Ended(error.to_string())),
        }
    }

    fn take(&mut self, control: Control) {
        match control {
            Control::Status(infos) => {
                self.take_list(infos);
                self.rest_at = Instant::now() + REST_EVERY;
            }
            control => {
                let actions = self.session.on(SessionEvent::Control(&control), self.elapsed());
                self.carry_out(actions);
                if let Control::Error { message, reason } = control {
                    self.note_failure(format!("the exchange says: {message} {reason}").trim_end());
                }
            }
        }
    }

    fn take_list(&mut self, infos: Vec<ProductInfo>) {
        self.has_list = true;
        self.shared.take(infos);
    }

    /// Notes that `status` brings no list now. As long as there has been none, REST is asked at once.
    fn note_failure(&mut self, why: &str) {
        if !self.has_list {
            self.ask_rest(why);
        }
    }

    /// Asks REST. `why` says what keeps `status` from bringing the list.
    fn ask_rest(&mut self, why: &str) {
        self.rest_at = Instant::now() + REST_EVERY;
        let Some(url) = &self.rest_url else {
            if !self.has_list {
                self.shared.fail(why.to_owned());
            }
            return;
        };
        let asked = RestClient::new(url, &self.settings.connector, REST_TIMEOUT).and_then(|mut client| client.products());
        match asked {
            Ok(infos) => self.take_list(infos),
            Err(error) if self.has_list => log::warn!("the list of products is not renewed: {why}; {error}"),
            Err(error) => self.shared.fail(format!("{why}; {error}")),
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
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
                Action::Report(_) => {}
            }
        }
    }

    fn connect(&mut self) {
        let turn = self.settings.gate.reserve(self.elapsed());
        if self.stop.wait(turn) {
            return;
        }
        let event = match Socket::connect(&self.settings.endpoint, &self.settings.connector, &self.settings.timeouts) {
            Ok(socket) => {
                self.socket = Some(socket);
                self.decoder.begin_connection();
                SessionEvent::Connected
            }
            Err(error) => {
                self.note_failure(&error.to_string());
                match error.retry_after(self.settings.clock.now()) {
                    Some(retry_after) => {
                        self.settings.gate.hold(self.elapsed() + retry_after);
                        SessionEvent::ConnectRefused { retry_after }
                    }
                    None => SessionEvent::ConnectFailed,
                }
            }
        };
        let actions = self.session.on(event, self.elapsed());
        self.carry_out(actions);
    }

    fn lose(&mut self, why: &str) {
        self.disconnect(why);
        self.note_failure(why);
        let actions = self.session.on(SessionEvent::Lost, self.elapsed());
        self.carry_out(actions);
    }

    fn disconnect(&mut self, why: &str) {
        if let Some(mut socket) = self.socket.take() {
            socket.close();
            log::info!("the connection of the list of products is lost: {why}");
        }
    }
}
