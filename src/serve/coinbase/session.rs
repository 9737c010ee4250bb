//! [`Session`]: what one client of `/ws` or `/ws-advanced` has asked for, and what comes next for it. No socket: frames are added to a buffer.
//!
//! ```text
//!   subscribe ─┬─ without from ──────────────────────────▶ live: a place in the log
//!              └─ with from ──▶ replay ──▶ handover ────────▲
//! ```
//!
//! 1. Live: a subscription begins behind a round of the log ([`super::live`]). The newest trade and ticker of that moment come first, then the
//!    acknowledgement, then everything that the log gets.
//! 2. Replay: each channel of each product begins at the time that was asked for, whenever it is subscribed to. [`replaying`] goes over into live.
//! 3. Bounded: a call adds about [`FULL_BYTES`], and at most one run of the log more. A client that reads too slowly for the log is ended, not waited for.

mod following;
mod replaying;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::advanced::EventKind;
use super::chunk::Newest;
use super::handover::{Filter, Handover};
use super::live::{Live, Round};
use super::messages::Messages;
use super::pages;
use super::products::Products;
use super::record::Texts;
use super::replay::{Kind, Pace, Replay};
use super::request::{Protocol, Request, Verb};
use super::subscriptions::Subscriptions;
use super::wake::Wake;
use crate::product::ProductId;
use crate::record::Trade;
use crate::serve::folder::why_unreadable;
use crate::tape::{Tape, TapeError};
use crate::time::{Clock, UnixNanos, UtcDay};
use crate::time_range::TimeRange;

/// Bytes that a call adds before it waits for the client.
const FULL_BYTES: usize = 256 << 10;
/// How long a client may take to subscribe. The exchange gives it 5 s, and a machine under load needs more.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(30);
/// Time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Time until heartbeats are tried again.
const HEARTBEAT_AGAIN: Duration = Duration::from_millis(5);
/// Time between two looks at the list of products.
const STATUS: Duration = Duration::from_secs(5);
/// Trades of a snapshot on the Advanced Trade feed.
const SNAPSHOT_TRADES: usize = 100;

/// Why the server ends a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    /// The code of the close frame.
    pub(super) code: u16,
    pub(super) reason: &'static str,
    /// The client has read too slowly.
    pub(super) is_slow: bool,
}

impl Ending {
    pub(super) const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason, is_slow: false }
    }
}

/// What a client has asked for in its URL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) protocol: Protocol,
    /// What to replay; nothing for live alone.
    pub(super) range: Option<TimeRange>,
    pub(super) pace: Pace,
}

/// Live subscriptions that begin when a round is done.
#[derive(Debug)]
struct Beginning {
    round: Round,
    subjects: Vec<(ProductId, Kind)>,
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    chunk: u64,
    run: usize,
}

/// What one client has asked for.
#[derive(Debug)]
pub(super) struct Session<'a> {
    tape: Tape,
    live: &'a Live,
    group: usize,
    settings: Settings,
    messages: Messages,
    products: Products,
    subscriptions: Subscriptions,
    /// When the client asked for something last; nothing before it has.
    asked: Option<Instant>,
    beginnings: Vec<Beginning>,
    /// The products that the log's thread follows for this client.
    wanted: BTreeSet<ProductId>,
    /// From which chunk on the log's records are for this client.
    since: BTreeMap<(ProductId, Kind), u64>,
    place: Option<Place>,
    replay: Replay,
    handover: Handover,
    filter: Option<Filter>,
    texts: Option<Texts>,
    /// The newest trades that were replayed, and how far the replay is.
    replayed: BTreeMap<ProductId, Trade>,
    replay_time: UnixNanos,
    opened: Instant,
    next_heartbeat: Instant,
    next_status: Instant,
    rows: u64,
    lag: Option<Duration>,
}

impl<'a> Session<'a> {
    /// Begins without a subscription.
    ///
    /// # Errors
    /// Where the log's thread cannot be started.
    pub(super) fn new(tape: Tape, live: &'a Live, settings: Settings) -> std::io::Result<Self> {
        let group = live.join()?;
        let now = Instant::now();
        let range = settings.range.unwrap_or(TimeRange::ALL);
        Ok(Self {
            replay: Replay::new(&tape, range, settings.pace),
            tape,
            live,
            group,
            settings,
            messages: Messages::new(settings.protocol, now),
            products: Products::default(),
            subscriptions: Subscriptions::new(settings.protocol),
            asked: None,
            beginnings: Vec::new(),
            wanted: BTreeSet::new(),
            since: BTreeMap::new(),
            place: None,
            handover: Handover::None,
            filter: None,
            texts: None,
            replayed: BTreeMap::new(),
            replay_time: range.from.unwrap_or_default(),
            opened: now,
            next_heartbeat: now + HEARTBEAT,
            next_status: now + STATUS,
            rows: 0,
            lag: None,
        })
    }

    /// Gives the signal for what is not in the log yet. To be taken before [`Session::fill`].
    pub(super) fn signal(&self) -> Option<Arc<Wake>> {
        self.live.signal(self.group)
    }

    /// Gives how many records were added since the last call.
    pub(super) fn take_rows(&mut self) -> u64 {
        std::mem::take(&mut self.rows)
    }

    /// Gives the longest time from a look at the tape until its records were added here, since the last call.
    pub(super) fn take_lag(&mut self) -> Option<Duration> {
        self.lag.take()
    }

    /// Tells whether a message of the client can be taken now. In the last step of a handover it waits for some milliseconds.
    pub(super) fn takes_requests(&self) -> bool {
        !matches!(self.handover, Handover::Confirming { .. })
    }

    /// Takes a message of the client.
    ///
    /// # Errors
    /// Where the tape cannot be read.
    pub(super) fn take(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), TapeError> {
        self.products = Products::read(&self.tape)?;
        match Request::parse(text, self.settings.protocol, &self.products) {
            Ok(request) if request.verb == Verb::Subscribe => self.subscribe(&request, out),
            Ok(request) => {
                self.unsubscribe(&request);
                self.acknowledge(out);
                Ok(())
            }
            Err(refusal) => {
                self.messages.refusal(out, &refusal);
                Ok(())
            }
        }
    }

    fn subscribe(&mut self, request: &Request, out: &mut Vec<u8>) -> Result<(), TapeError> {
        self.asked = Some(Instant::now());
        let added = self.subscriptions.add(request);
        if added.has_status {
            self.messages.status(out, &self.products, Clock::System.now());
        }
        if self.settings.range.is_some() {
            for (product, kind) in &added.subjects {
                self.replay.add(product, *kind)?;
            }
            self.texts = None;
            // What has been added is to be handed over, too.
            self.handover = Handover::None;
        } else if !added.products.is_empty() {
            added.products.into_iter().for_each(|product| self.want(product));
            // What was there before comes first, and then the acknowledgement.
            self.beginnings.push(Beginning { round: self.live.next_round(), subjects: added.subjects });
            return Ok(());
        }
        self.acknowledge(out);
        Ok(())
    }

    fn unsubscribe(&mut self, request: &Request) {
        for subject in self.subscriptions.remove(request) {
            self.replay.remove(&subject.0, subject.1);
            self.beginnings.iter_mut().for_each(|beginning| beginning.subjects.retain(|waiting| *waiting != subject));
            self.since.remove(&subject);
        }
        let (live, subscriptions) = (self.live, &self.subscriptions);
        self.wanted.retain(|product| {
            let is_wanted = subscriptions.names(product);
            if !is_wanted {
                live.unwant(product);
            }
            is_wanted
        });
    }

    fn want(&mut self, product: ProductId) {
        if !self.wanted.contains(&product) {
            self.live.want(&product);
            self.wanted.insert(product);
        }
    }

    fn acknowledge(&mut self, out: &mut Vec<u8>) {
        self.messages.subscriptions(out, Clock::System.now(), self.subscriptions.listed());
    }

    /// Adds what is there for the client. Gives when to call again at the latest, if nothing wakes it before.
    ///
    /// # Errors
    /// Why the connection ends.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>) -> Result<Instant, Ending> {
        let now = Instant::now();
        let next = match self.begin(out).and_then(|()| self.replay(now, out)) {
            Ok(next) => next,
            Err(error) => {
                log::warn!("serve: {error}");
                self.messages.error(out, "Internal error", Some(&why_unreadable(self.tape.dir(), &error)));
                return Err(Ending::new(1011, "the tape cannot be read"));
            }
        };
        if self.is_replayed(now) {
            return Err(Ending::new(1000, "the replay is over"));
        }
        self.follow(out)?;
        if self.asked.is_none() && self.opened.elapsed() >= SUBSCRIBE_WITHIN {
            self.messages.error(out, "Failed to subscribe", Some("nothing was subscribed to in time"));
            return Err(Ending::new(1008, "nothing was subscribed to in time"));
        }
        self.send_periodically(now, out);
        let latest = self.next_heartbeat.min(next.unwrap_or(self.next_heartbeat));
        Ok(if out.len() >= FULL_BYTES { now } else { latest })
    }

    /// Begins the live subscriptions whose round is done.
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), TapeError> {
        while let Some(beginning) = self.beginnings.first() {
            let products = beginning.subjects.iter().map(|(product, _)| product);
            let Some((chunk, newest)) = self.live.after(beginning.round, products) else { return Ok(()) };
            let Beginning { subjects, .. } = self.beginnings.remove(0);
            let texts = self.read_texts();
            for ((product, kind), newest) in subjects.into_iter().zip(newest) {
                self.send_newest(&texts, kind, &newest, out)?;
                self.since.insert((product, kind), chunk);
            }
            self.place.get_or_insert(Place { chunk, run: 0 });
            self.acknowledge(out);
        }
        Ok(())
    }

    /// Adds what comes first of a product on subscribing.
    fn send_newest(&mut self, texts: &Texts, kind: Kind, newest: &Newest, out: &mut Vec<u8>) -> Result<(), TapeError> {
        match (kind, &newest.trade, &newest.ticker) {
            (Kind::Trades, Some((stored, trade)), _) => match self.settings.protocol {
                Protocol::Exchange => self.messages.last_match(out, texts, stored, trade),
                Protocol::Advanced => {
                    let below = trade.trade_id.saturating_add(1);
                    let mut page = pages::newest_first(&self.tape, &stored.product, stored.series, 0, below, SNAPSHOT_TRADES)?;
                    page.check(&self.tape)?;
                    let mut trades = page.trades;
                    trades.reverse();
                    self.messages.snapshot(out, texts, &trades, Clock::System.now());
                }
            },
            (Kind::Tickers, _, Some((stored, _))) => self.messages.ticker(out, texts, stored, EventKind::Snapshot),
            _ => {}
        }
        Ok(())
    }

    fn read_texts(&self) -> Texts {
        let names: Vec<ProductId> = self.subscriptions.products().into_iter().collect();
        let first = match self.settings.range {
            Some(range) => range.from.unwrap_or_default().day(),
            None => UtcDay(Clock::System.now().day().0.saturating_sub(1)),
        };
        Texts::read(&self.tape, &self.products, &names, first)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.live.leave();
        for product in &self.wanted {
            self.live.unwant(product);
        }
    }
}
