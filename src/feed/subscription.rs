//! [`Subscription`]: what was requested and what was acknowledged, and how to request again so that one bad product does not cost the others.
//!
//! No I/O, no clock; `now` is monotonic time since any fixed moment.
//!
//! 1. The last `subscriptions` message is the truth, whole and at any time. A product counts as acknowledged when all its data channels list it.
//! 2. Products are requested in groups. A group that is not acknowledged in time is requested again: without the products that an error names; where a
//!    part of it was acknowledged, the rest by itself; where all of it was refused, as two halves. Both halves are requested at once, so the good products
//!    of one need not wait for the other.
//! 3. A product that an error names is not requested for ten minutes, across connections, and then alone. A product that is refused alone, without being
//!    named, is not requested for ten seconds at first and then twice as long each time, up to ten minutes: the refusal may pass. How far the bad ones are
//!    narrowed down is kept from one connection to the next.
//! 4. Where a server acknowledges no product, none is blamed: the connection is replaced instead. But where it acknowledges a channel without products and
//!    leaves unanswered the last few products that are not refused, each requested alone, on two connections, they are refused like others. They are
//!    requested once a minute at least, as it may be an outage that looks like this.
//! 5. A product that vanishes from the list is requested again. Requests are spaced; Coinbase allows about 8 a second.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::action::{Action, SessionReport};
use super::backoff::doubled;
use super::control::Channels;
use super::protocol::Feed;
use super::request::{self, Verb};
use super::session_config::SessionConfig;
use crate::product::ProductId;

/// What is not acknowledged within this time is requested again.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);
/// Longest time for which a refused product is not requested.
const PARKED_FOR: Duration = Duration::from_secs(600);
/// How long a product is not requested after it was refused for the first time without being named.
const FIRST_PARKED_FOR: Duration = Duration::from_secs(10);
/// The same while no product of the connection is acknowledged: it may be an outage.
const PARKED_IN_DOUBT_FOR: Duration = Duration::from_secs(60);
/// Most products that are refused so. More at once are an outage.
const MAX_REFUSED_IN_DOUBT: usize = 4;
/// How long the acknowledgement of the other products may take after an error that names one.
const GRACE_NAMED: Duration = Duration::from_millis(500);
/// How long it may take after an error that names none. Coinbase drops a client that has no subscription 5 s after connecting.
const GRACE_UNNAMED: Duration = Duration::from_secs(2);
/// Time between two requests.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(150);

/// Products that are requested together.
#[derive(Debug)]
struct Group {
    products: Vec<ProductId>,
    /// When it has to be acknowledged; `None` until it is requested.
    due: Option<Duration>,
    /// Whether an error came while it waited.
    is_refused: bool,
}

impl Group {
    fn new(products: Vec<ProductId>) -> Self {
        Self { products, due: None, is_refused: false }
    }
}

/// A channel without products.
#[derive(Debug)]
struct BareChannel {
    name: &'static str,
    /// When to check whether it is acknowledged; `None` until it is requested.
    check_at: Option<Duration>,
}

impl BareChannel {
    const fn new(name: &'static str) -> Self {
        Self { name, check_at: None }
    }
}

/// The subscriptions of one connection: wanted, requested, acknowledged.
#[derive(Debug)]
pub(super) struct Subscription {
    feed: Feed,
    channels: Vec<&'static str>,
    bare: Vec<BareChannel>,
    wanted: BTreeSet<ProductId>,
    acknowledged: BTreeSet<ProductId>,
    bare_acknowledged: BTreeSet<&'static str>,
    groups: Vec<Group>,
    /// Refused products, and when they are requested again.
    parked: BTreeMap<ProductId, Duration>,
    /// How often a product has been refused or left unanswered alone, without being named, since it was last acknowledged.
    refusals: BTreeMap<ProductId, u32>,
    /// Whether a connection was replaced because no product of it was acknowledged though each was requested alone, and none has been since.
    is_in_doubt: bool,
    /// Products that errors have named since they were requested, with the error's text.
    named: BTreeMap<ProductId, String>,
    last_error: String,
    outbox: VecDeque<String>,
    next_request: Duration,
}

/// What a tick led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Continue,
    /// Nothing was acknowledged: another connection is to be tried.
    Replace,
}

/// Who is to blame for a product that was left unanswered.
enum Blame {
    /// The product.
    Product,
    /// No product: the connection, or the server.
    Nobody,
    /// That is seen when the other products have been requested alone.
    Unknown,
}

impl Subscription {
    pub(super) fn new(feed: Feed, config: &SessionConfig) -> Self {
        let mut channels = vec![feed.ticker_channel()];
        if config.trades {
            channels.push(feed.trade_channel());
        }
        let mut bare = Vec::new();
        if feed.has_product_heartbeats() {
            channels.push(feed.heartbeat_channel());
        } else {
            bare.push(BareChannel::new(feed.heartbeat_channel()));
        }
        if config.status {
            bare.push(BareChannel::new(feed.status_channel()));
        }
        Self {
            feed,
            channels,
            bare,
            wanted: config.products.iter().cloned().collect(),
            acknowledged: BTreeSet::new(),
            bare_acknowledged: BTreeSet::new(),
            groups: Vec::new(),
            parked: BTreeMap::new(),
            refusals: BTreeMap::new(),
            is_in_doubt: false,
            named: BTreeMap::new(),
            last_error: String::new(),
            outbox: VecDeque::new(),
            next_request: Duration::ZERO,
        }
    }

    /// Tells whether there is anything to connect for. Heartbeats alone are no reason.
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty() || self.bare.iter().any(|channel| channel.name != self.feed.heartbeat_channel())
    }

    /// Gives the products acknowledged on this connection.
    pub(super) fn acknowledged(&self) -> &BTreeSet<ProductId> {
        &self.acknowledged
    }

    /// Tells whether this connection has acknowledged anything.
    pub(super) fn has_acknowledgement(&self) -> bool {
        !self.acknowledged.is_empty() || !self.bare_acknowledged.is_empty()
    }

    /// Begins a new connection: requests everything that is wanted, except the parked products.
    pub(super) fn begin(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let mut asked: BTreeSet<ProductId> = self.groups.iter().flat_map(|group| group.products.iter().cloned()).collect();
        asked.extend(self.parked.keys().cloned());
        let rest: Vec<ProductId> = self.wanted.difference(&asked).cloned().collect();
        if !rest.is_empty() {
            self.groups.insert(0, Group::new(rest));
        }
        self.outbox.clear();
        self.next_request = now;
        self.ask(now, actions);
    }

    /// Ends the connection. Groups that are not acknowledged stay apart in the next one. Those that an error met are halved, because a server may refuse
    /// by closing the connection, and requested last.
    pub(super) fn end(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let (refused, mut kept): (Vec<Group>, Vec<Group>) =
            std::mem::take(&mut self.groups).into_iter().partition(|group| group.is_refused);
        for mut group in refused {
            match group.products.len() {
                1 if !self.acknowledged.is_empty() => {
                    let why = self.last_error.clone();
                    self.park_unnamed(group.products.remove(0), why, now, actions);
                }
                1 => kept.push(group),
                _ => kept.extend(halves(group.products)),
            }
        }
        self.groups = kept.into_iter().map(|group| Group::new(group.products)).collect();
        self.acknowledged.clear();
        self.bare_acknowledged.clear();
        self.named.clear();
        self.last_error.clear();
        self.outbox.clear();
        for channel in &mut self.bare {
            channel.check_at = None;
        }
    }

    /// Wants more products from now on.
    pub(super) fn add(&mut self, products: &[ProductId]) {
        let fresh: Vec<ProductId> = products.iter().filter(|product| self.wanted.insert((*product).clone())).cloned().collect();
        if !fresh.is_empty() {
            self.groups.push(Group::new(fresh));
        }
    }

    /// Does not want some products any more.
    pub(super) fn remove(&mut self, products: &[ProductId]) {
        let gone: Vec<ProductId> = products.iter().filter(|product| self.wanted.remove(*product)).cloned().collect();
        for group in &mut self.groups {
            group.products.retain(|product| !gone.contains(product));
        }
        for product in &gone {
            self.refusals.remove(product);
            self.parked.remove(product);
            self.acknowledged.remove(product);
        }
        self.outbox.extend(request::compose(self.feed, Verb::Unsubscribe, &self.channels, &gone, &[]));
    }

    /// Takes the list of present subscriptions.
    pub(super) fn list(&mut self, listed: &Channels, actions: &mut Vec<Action>) {
        // Heartbeats are no data: a server that lists none must not make the products look refused.
        let data = self.channels.iter().filter(|channel| **channel != self.feed.heartbeat_channel());
        let has = |product: &ProductId| data.clone().all(|channel| listed.get(*channel).is_some_and(|set| set.contains(product)));
        let acknowledged: BTreeSet<ProductId> = self.wanted.iter().filter(|product| has(product)).cloned().collect();
        self.bare_acknowledged = self.bare.iter().map(|channel| channel.name).filter(|name| listed.contains_key(*name)).collect();
        for product in &acknowledged {
            self.refusals.remove(product);
            self.parked.remove(product);
            self.named.remove(product);
        }
        let vanished: Vec<ProductId> = self.acknowledged.difference(&acknowledged).cloned().collect();
        self.is_in_doubt &= acknowledged.is_empty();
        let has_changed = !vanished.is_empty() || self.acknowledged.len() != acknowledged.len();
        if !vanished.is_empty() {
            actions.push(Action::Report(SessionReport::Dropped { products: vanished.clone() }));
            self.groups.push(Group::new(vanished));
        }
        self.acknowledged = acknowledged;
        self.groups.retain(|group| group.due.is_none() || !group.products.iter().all(|product| self.acknowledged.contains(product)));
        if has_changed {
            actions.push(Action::Report(SessionReport::Subscribed { products: self.acknowledged.len(), wanted: self.wanted.len() }));
        }
    }

    /// Takes an error.
    pub(super) fn refuse(&mut self, message: &str, reason: &str, now: Duration) {
        let text = if reason.is_empty() { message.to_owned() } else { format!("{message}: {reason}") };
        let named: Vec<ProductId> =
            self.wanted.iter().filter(|product| names(&text, product) && !self.acknowledged.contains(*product)).cloned().collect();
        let grace = now + if named.is_empty() { GRACE_UNNAMED } else { GRACE_NAMED };
        for group in &mut self.groups {
            let is_meant = named.is_empty() || group.products.iter().any(|product| named.contains(product));
            if let (Some(due), true) = (&mut group.due, is_meant) {
                *due = grace.min(*due);
                group.is_refused = true;
            }
        }
        self.named.extend(named.into_iter().map(|product| (product, text.clone())));
        self.last_error = text;
    }

    /// Acts on what is due, and sends what may be sent.
    pub(super) fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) -> Verdict {
        // All of them, so that none is forgotten that was left unanswered.
        let verdicts: Vec<Verdict> = self.overdue(now).into_iter().map(|group| self.ask_again(group, now, actions)).collect();
        if verdicts.contains(&Verdict::Replace) {
            self.groups.clear();
            return Verdict::Replace;
        }
        let ready: Vec<ProductId> = self.parked.iter().filter(|(_, until)| **until <= now).map(|(product, _)| product.clone()).collect();
        for product in ready {
            self.parked.remove(&product);
            self.groups.push(Group::new(vec![product]));
        }
        self.ask(now, actions);
        Verdict::Continue
    }

    /// Removes the groups that should have been acknowledged by now.
    fn overdue(&mut self, now: Duration) -> Vec<Group> {
        if self.groups.iter().all(|group| group.due.is_none_or(|due| due > now)) {
            return Vec::new();
        }
        let (overdue, rest) = std::mem::take(&mut self.groups).into_iter().partition(|group| group.due.is_some_and(|due| due <= now));
        self.groups = rest;
        overdue
    }

    /// Decides what to do about a group that was not acknowledged in time.
    fn ask_again(&mut self, group: Group, now: Duration, actions: &mut Vec<Action>) -> Verdict {
        let asked = group.products.len();
        let mut missing: Vec<ProductId> = group.products.into_iter().filter(|product| !self.acknowledged.contains(product)).collect();
        let named: Vec<ProductId> = missing.extract_if(.., |product| self.named.contains_key(product)).collect();
        for product in named.iter().cloned() {
            let why = self.named.remove(&product).unwrap_or_default();
            self.park(product, why, PARKED_FOR, now, actions);
        }
        match missing.len() {
            0 => {}
            1 if asked == 1 => {
                let why = if group.is_refused { self.last_error.clone() } else { "not acknowledged".to_owned() };
                for product in missing {
                    match self.blame(&product) {
                        Blame::Nobody => return Verdict::Replace,
                        Blame::Unknown => self.groups.push(Group::new(vec![product])),
                        Blame::Product => self.park_unnamed(product, why.clone(), now, actions),
                    }
                }
            }
            left if left == asked => self.groups.extend(halves(missing)),
            _ => self.groups.push(Group::new(missing)),
        }
        Verdict::Continue
    }

    /// Tells who is to blame for a product that was left unanswered alone.
    fn blame(&mut self, product: &ProductId) -> Blame {
        if !self.acknowledged.is_empty() {
            return Blame::Product;
        }
        if self.bare_acknowledged.is_empty() || self.wanted.len().saturating_sub(self.parked.len()) > MAX_REFUSED_IN_DOUBT {
            return Blame::Nobody;
        }
        self.refusals.entry(product.clone()).or_insert(1);
        if !self.wanted.iter().all(|product| self.parked.contains_key(product) || self.refusals.contains_key(product)) {
            return Blame::Unknown;
        }
        if std::mem::replace(&mut self.is_in_doubt, true) { Blame::Product } else { Blame::Nobody }
    }

    fn park_unnamed(&mut self, product: ProductId, why: String, now: Duration, actions: &mut Vec<Action>) {
        let refusals = self.refusals.entry(product.clone()).or_insert(0);
        *refusals = refusals.saturating_add(1);
        let most = if self.acknowledged.is_empty() { PARKED_IN_DOUBT_FOR } else { PARKED_FOR };
        let wait = doubled(FIRST_PARKED_FOR, *refusals, most);
        self.park(product, why, wait, now, actions);
    }

    fn park(&mut self, product: ProductId, why: String, wait: Duration, now: Duration, actions: &mut Vec<Action>) {
        actions.push(Action::Report(SessionReport::Refused { product: product.clone(), why, again_in: wait }));
        self.parked.insert(product, now + wait);
    }

    /// Sends requests, as far as their spacing allows.
    fn ask(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.groups.retain(|group| !group.products.is_empty());
        // A group is composed only when its request can be sent: from then on its time runs, and errors may be about it.
        while now >= self.next_request {
            if let Some(request) = self.outbox.pop_front() {
                actions.push(Action::Send(request));
                self.next_request = self.next_request.max(now) + BETWEEN_REQUESTS;
                continue;
            }
            let bare = self.bare_due(now);
            let products = match self.groups.iter_mut().find(|group| group.due.is_none()) {
                None if bare.is_empty() => return,
                None => &[],
                Some(group) => {
                    group.due = Some(now + ACKNOWLEDGED_WITHIN);
                    actions.push(Action::Report(SessionReport::Subscribing { products: group.products.len() }));
                    group.products.as_slice()
                }
            };
            self.outbox.extend(request::compose(self.feed, Verb::Subscribe, &self.channels, products, &bare));
        }
    }

    /// Gives the channels without products that are to be requested: at first, again after five seconds, and then every ten minutes until acknowledged.
    fn bare_due(&mut self, now: Duration) -> Vec<&'static str> {
        let mut due = Vec::new();
        for channel in &mut self.bare {
            let is_missing = !self.bare_acknowledged.contains(channel.name);
            if channel.check_at.is_none_or(|at| at <= now && is_missing) {
                channel.check_at = Some(now + if channel.check_at.is_none() { ACKNOWLEDGED_WITHIN } else { PARKED_FOR });
                due.push(channel.name);
            }
        }
        due
    }
}

fn halves(mut products: Vec<ProductId>) -> [Group; 2] {
    let second = products.split_off(products.len() / 2);
    [Group::new(products), Group::new(second)]
}

/// Tells whether an error's text has a product as a word of its own.
fn names(text: &str, product: &ProductId) -> bool {
    let part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    text.split(|character| !part(character)).any(|word| word.trim_end_matches('.') == product.as_str())
}
