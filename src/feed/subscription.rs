//! [`Subscription`]: what was asked for, what was acknowledged, and how to ask again without one bad name blinding the others.
//!
//! 1. The last `subscriptions` message is the truth, whole and at any time: a product counts as acknowledged when all its channels of data list it.
//! 2. Products are asked for in groups. One not acknowledged in time is asked for again: without the products an error names; the rest of a
//!    group that was acknowledged in part by itself; a group refused whole by halves. Halves are asked side by side, so the good ones flow at once.
//! 3. Who is named is parked for ten minutes, across connections, and then asked for alone. Who is refused alone without being named is parked for
//!    ten seconds at first, then twice as long each time, up to ten minutes: the refusal may have been of the moment.
//!    How far the suspects are narrowed down is remembered from one connection to the next.
//! 4. A server that acknowledges nobody condemns no product: the connection is replaced instead.
//! 5. A product that vanishes from the list is asked for again. Requests are spaced out; Coinbase allows about 8 a second.
//!
//! No I/O, no clock.

use crate::feed::Feed;
use crate::feed::control::Channels;
use crate::feed::request::{self, Verb};
use crate::feed::session::{Action, Note, Plan};
use crate::product::ProductId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What is not acknowledged after this is asked for again.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);
/// How long a refused product is left alone at most.
const PARKED_FOR: Duration = Duration::from_secs(600);
/// How long a product is left alone that was refused without being named, for the first time.
const FIRST_PARKED_FOR: Duration = Duration::from_secs(10);
/// After an error that names a product, how long the acknowledgement of the others may take.
const GRACE_NAMED: Duration = Duration::from_millis(500);
/// After an error that names none. Who has no subscription 5 s after connecting is cut off.
const GRACE_UNNAMED: Duration = Duration::from_secs(2);
/// Time between two requests.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(150);

/// Products asked for together.
#[derive(Debug)]
struct Group {
    products: Vec<ProductId>,
    /// When it has to be acknowledged; nothing until it is asked for.
    due: Option<Duration>,
    /// Whether an error came while it waited.
    refused: bool,
}

impl Group {
    fn new(products: Vec<ProductId>) -> Self {
        Self { products, due: None, refused: false }
    }
}

/// One connection's subscriptions, wanted and had.
#[derive(Debug)]
pub(super) struct Subscription {
    feed: Feed,
    channels: Vec<&'static str>,
    /// Channels without products, each with the time to look whether it is acknowledged; nothing where it is not asked for yet.
    bare: Vec<(&'static str, Option<Duration>)>,
    wanted: BTreeSet<ProductId>,
    acknowledged: BTreeSet<ProductId>,
    bare_acknowledged: BTreeSet<&'static str>,
    groups: Vec<Group>,
    /// Refused products and when they are asked for again.
    parked: BTreeMap<ProductId, Duration>,
    /// How often products have been refused alone without being named, since they were last acknowledged.
    refusals: BTreeMap<ProductId, u32>,
    /// Products that errors have named since they were asked for, with the error's words.
    named: BTreeMap<ProductId, String>,
    last_error: String,
    outbox: VecDeque<String>,
    next_request: Duration,
}

/// What a look at the clock brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    /// Nothing was acknowledged: another connection may do better.
    Replace,
}

impl Subscription {
    pub(super) fn new(feed: Feed, plan: &Plan) -> Self {
        let mut channels = vec!["ticker"];
        let mut bare = Vec::new();
        if plan.trades {
            channels.push(feed.trade_channel());
        }
        match feed {
            Feed::Exchange => {
                channels.push(feed.heartbeat_channel());
                if plan.status {
                    bare.push(("status", None));
                }
            }
            Feed::Advanced => bare.push((feed.heartbeat_channel(), None)),
        }
        Self {
            feed,
            channels,
            bare,
            wanted: plan.products.iter().cloned().collect(),
            acknowledged: BTreeSet::new(),
            bare_acknowledged: BTreeSet::new(),
            groups: Vec::new(),
            parked: BTreeMap::new(),
            refusals: BTreeMap::new(),
            named: BTreeMap::new(),
            last_error: String::new(),
            outbox: VecDeque::new(),
            next_request: Duration::ZERO,
        }
    }

    /// Tells whether there is anything to connect for. The Advanced feed's heartbeats alone are no reason.
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty() || (self.feed == Feed::Exchange && !self.bare.is_empty())
    }

    /// Gives the products acknowledged on this connection.
    pub(super) fn acknowledged(&self) -> &BTreeSet<ProductId> {
        &self.acknowledged
    }

    /// Tells whether something of this connection's subscriptions is acknowledged.
    pub(super) fn has_any(&self) -> bool {
        !self.acknowledged.is_empty() || !self.bare_acknowledged.is_empty()
    }

    /// Begins a new connection: everything wanted is asked for anew, but for the parked.
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

    /// Ends the connection. Groups not acknowledged stay apart in the next one; those that an error met are halved, as a refusal can come
    /// with a cut, and asked for last.
    pub(super) fn end(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let (refused, mut kept): (Vec<Group>, Vec<Group>) = std::mem::take(&mut self.groups).into_iter().partition(|group| group.refused);
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
        for (_, due) in &mut self.bare {
            *due = None;
        }
    }

    /// Asks for more products from now on.
    pub(super) fn add(&mut self, products: &[ProductId]) {
        let fresh: Vec<ProductId> = products.iter().filter(|product| self.wanted.insert((*product).clone())).cloned().collect();
        if !fresh.is_empty() {
            self.groups.push(Group::new(fresh));
        }
    }

    /// Gives up products.
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
        // A heartbeat carries no data: a server that lists none must not make products look refused.
        let data = self.channels.iter().filter(|channel| **channel != self.feed.heartbeat_channel());
        let has = |product: &ProductId| data.clone().all(|channel| listed.get(*channel).is_some_and(|set| set.contains(product)));
        let acknowledged: BTreeSet<ProductId> = self.wanted.iter().filter(|product| has(product)).cloned().collect();
        self.bare_acknowledged = self.bare.iter().map(|(channel, _)| *channel).filter(|channel| listed.contains_key(*channel)).collect();
        for product in &acknowledged {
            self.refusals.remove(product);
            self.parked.remove(product);
            self.named.remove(product);
        }
        let vanished: Vec<ProductId> = self.acknowledged.difference(&acknowledged).cloned().collect();
        if !vanished.is_empty() {
            actions.push(Action::Note(Note::Dropped { products: vanished.clone() }));
            self.groups.push(Group::new(vanished));
        }
        let before = self.acknowledged.len();
        self.acknowledged = acknowledged;
        self.groups.retain(|group| group.due.is_none() || !group.products.iter().all(|product| self.acknowledged.contains(product)));
        if self.acknowledged.len() != before {
            actions.push(Action::Note(Note::Acknowledged { products: self.acknowledged.len(), wanted: self.wanted.len() }));
        }
    }

    /// Takes a refusal.
    pub(super) fn refuse(&mut self, message: &str, reason: &str, now: Duration) {
        let words = if reason.is_empty() { message.to_owned() } else { format!("{message}: {reason}") };
        let named: Vec<ProductId> =
            self.wanted.iter().filter(|product| names(&words, product) && !self.acknowledged.contains(*product)).cloned().collect();
        let grace = now + if named.is_empty() { GRACE_UNNAMED } else { GRACE_NAMED };
        for group in &mut self.groups {
            let meant = named.is_empty() || group.products.iter().any(|product| named.contains(product));
            if let (Some(due), true) = (&mut group.due, meant) {
                *due = grace.min(*due);
                group.refused = true;
            }
        }
        self.named.extend(named.into_iter().map(|product| (product, words.clone())));
        self.last_error = words;
    }

    /// Looks at what is due and sends what may be sent.
    pub(super) fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) -> Verdict {
        for group in self.overdue(now) {
            if self.ask_again(group, now, actions) == Verdict::Replace {
                self.groups.clear();
                return Verdict::Replace;
            }
        }
        let ready: Vec<ProductId> = self.parked.iter().filter(|(_, until)| **until <= now).map(|(product, _)| product.clone()).collect();
        for product in ready {
            self.parked.remove(&product);
            self.groups.push(Group::new(vec![product]));
        }
        self.ask(now, actions);
        Verdict::GoOn
    }

    /// Takes out the groups whose time is up.
    fn overdue(&mut self, now: Duration) -> Vec<Group> {
        if self.groups.iter().all(|group| group.due.is_none_or(|due| due > now)) {
            return Vec::new();
        }
        let (overdue, rest) = std::mem::take(&mut self.groups).into_iter().partition(|group| group.due.is_some_and(|due| due <= now));
        self.groups = rest;
        overdue
    }

    /// Decides what becomes of a group that was not acknowledged in time.
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
                if self.acknowledged.is_empty() {
                    return Verdict::Replace;
                }
                let why = if group.refused { self.last_error.clone() } else { "not acknowledged".to_owned() };
                for product in missing {
                    self.park_unnamed(product, why.clone(), now, actions);
                }
            }
            left if left == asked => self.groups.extend(halves(missing)),
            _ => self.groups.push(Group::new(missing)),
        }
        Verdict::GoOn
    }

    fn park_unnamed(&mut self, product: ProductId, why: String, now: Duration, actions: &mut Vec<Action>) {
        let times = self.refusals.entry(product.clone()).or_insert(0);
        let wait = FIRST_PARKED_FOR.saturating_mul(1 << (*times).min(10)).min(PARKED_FOR);
        *times = times.saturating_add(1);
        self.park(product, why, wait, now, actions);
    }

    fn park(&mut self, product: ProductId, why: String, wait: Duration, now: Duration, actions: &mut Vec<Action>) {
        actions.push(Action::Note(Note::Refused { product: product.clone(), why, again_in: wait }));
        self.parked.insert(product, now + wait);
    }

    /// Sends what waits, as the spacing allows.
    fn ask(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.groups.retain(|group| !group.products.is_empty());
        // A group is taken up when its request can go out, so that its time, and the blame for an error, starts with it.
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
                    actions.push(Action::Note(Note::Asked { products: group.products.len() }));
                    group.products.as_slice()
                }
            };
            self.outbox.extend(request::compose(self.feed, Verb::Subscribe, &self.channels, products, &bare));
        }
    }

    /// Gives the channels without products that are to be asked for: at first, after five seconds, and then now and then.
    fn bare_due(&mut self, now: Duration) -> Vec<&'static str> {
        let mut due_now = Vec::new();
        for (channel, due) in &mut self.bare {
            if due.is_none_or(|due| due <= now && !self.bare_acknowledged.contains(channel)) {
                *due = Some(now + if due.is_none() { ACKNOWLEDGED_WITHIN } else { PARKED_FOR });
                due_now.push(*channel);
            }
        }
        due_now
    }
}

fn halves(mut products: Vec<ProductId>) -> [Group; 2] {
    let second = products.split_off(products.len() / 2);
    [Group::new(products), Group::new(second)]
}

/// Tells whether a product stands in an error's words as a word of its own.
fn names(words: &str, product: &ProductId) -> bool {
    let part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    words.split(|character| !part(character)).any(|word| word.trim_end_matches('.') == product.as_str())
}
