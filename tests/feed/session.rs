//! Sessions against a model of Coinbase in virtual time: refusals, silence, cuts and losses never blind a good product.

use coltape::feed::session::{Action, Note, Plan, Session, SessionEvent};
use coltape::feed::{Control, Feed, FrameFate};
use coltape::product::ProductId;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(100);

fn id(name: &str) -> ProductId {
    ProductId::new(name).expect("a product id")
}

fn ids(names: &[&str]) -> Vec<ProductId> {
    names.iter().map(|name| id(name)).collect()
}

/// How the model treats a request that holds a bad name.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    /// Refuses the whole request and names the first bad product.
    Names,
    /// Refuses the whole request and says nothing of use.
    Mumbles,
    /// Takes the good ones and leaves the bad out, silently.
    LeavesOut,
    /// Refuses the whole request, silently.
    Ignores,
    /// Refuses the whole request with a useless error and closes with 1000.
    Cuts,
}

struct Server {
    feed: Feed,
    bad: BTreeSet<ProductId>,
    manner: Manner,
    subscribed: BTreeMap<String, BTreeSet<ProductId>>,
    requests: Vec<Duration>,
}

impl Server {
    /// Answers a request, and says whether the connection is closed then.
    fn answer(&mut self, text: &str, now: Duration) -> (Vec<Control>, bool) {
        self.requests.push(now);
        let request: serde_json::Value = serde_json::from_str(text).expect("requests are JSON");
        let products = |of: &serde_json::Value| -> Vec<ProductId> {
            of["product_ids"].as_array().map(|all| all.iter().map(|name| id(name.as_str().expect("a name"))).collect()).unwrap_or_default()
        };
        let asked: Vec<(String, Vec<ProductId>)> = match self.feed {
            Feed::Exchange => request["channels"]
                .as_array()
                .expect("channels")
                .iter()
                .map(|channel| (channel["name"].as_str().expect("a name").to_owned(), products(channel)))
                .collect(),
            Feed::Advanced => vec![(request["channel"].as_str().expect("one channel").to_owned(), products(&request))],
        };
        if request["type"] == "unsubscribe" {
            for (channel, products) in asked {
                self.subscribed.entry(channel).or_default().retain(|product| !products.contains(product));
            }
            return (vec![Control::Subscriptions(self.subscribed.clone())], false);
        }
        let bad = asked.iter().flat_map(|(_, products)| products).find(|product| self.bad.contains(*product)).cloned();
        let error = |reason: &str| Control::Error { message: "Failed to subscribe".to_owned(), reason: reason.to_owned() };
        match (bad, self.manner) {
            (None, _) | (Some(_), Manner::LeavesOut) => {
                for (channel, products) in asked {
                    self.subscribed.entry(channel).or_default().extend(products.into_iter().filter(|product| !self.bad.contains(product)));
                }
                (vec![Control::Subscriptions(self.subscribed.clone())], false)
            }
            (Some(bad), Manner::Names) => (vec![error(&format!("{bad} is delisted"))], false),
            (Some(_), Manner::Mumbles) => (vec![error("")], false),
            (Some(_), Manner::Ignores) => (vec![], false),
            (Some(_), Manner::Cuts) => (vec![error("")], true),
        }
    }
}

struct Play {
    session: Session,
    server: Server,
    now: Duration,
    connects: Vec<Duration>,
    notes: Vec<Note>,
    /// Whether connections come about.
    reachable: bool,
    /// Whether data flows for what is subscribed.
    flowing: bool,
}

fn plan(products: &[ProductId]) -> Plan {
    Plan { products: products.to_vec(), trades: true, status: false, idle_timeout: 10 * SECOND, seed: 1 }
}

impl Play {
    fn new(feed: Feed, plan: &Plan, bad: &[ProductId], manner: Manner) -> Self {
        let server = Server { feed, bad: bad.iter().cloned().collect(), manner, subscribed: BTreeMap::new(), requests: Vec::new() };
        let session = Session::new(feed, plan);
        Self { session, server, now: Duration::ZERO, connects: Vec::new(), notes: Vec::new(), reachable: true, flowing: true }
    }

    fn on(&mut self, event: SessionEvent<'_>) {
        for action in self.session.on(event, self.now) {
            match action {
                Action::Connect => {
                    self.connects.push(self.now);
                    self.server.subscribed.clear();
                    self.on(if self.reachable { SessionEvent::Connected } else { SessionEvent::ConnectFailed });
                }
                Action::Send(text) => {
                    let (answers, closed) = self.server.answer(&text, self.now);
                    for answer in answers {
                        self.on(SessionEvent::Control(&answer));
                        self.on(SessionEvent::Frame(FrameFate::Control));
                    }
                    if closed {
                        // What else was to be sent would fail.
                        return self.on(SessionEvent::Lost);
                    }
                }
                Action::Disconnect => self.server.subscribed.clear(),
                Action::Note(note) => self.notes.push(note),
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += STEP;
            if self.flowing && self.session.is_up() && self.server.subscribed.values().any(|products| !products.is_empty()) {
                self.on(SessionEvent::Frame(FrameFate::Used));
            }
            self.on(SessionEvent::Tick);
        }
    }

    fn refused(&self) -> BTreeSet<ProductId> {
        let refused =
            self.notes.iter().filter_map(|note| if let Note::Refused { product, .. } = note { Some(product.clone()) } else { None });
        refused.collect()
    }
}

#[test]
fn everything_is_acknowledged_at_once_where_nothing_is_wrong() {
    for feed in [Feed::Exchange, Feed::Advanced] {
        let wanted = ids(&["BTC-USD", "ETH-USD"]);
        let mut play = Play::new(feed, &plan(&wanted), &[], Manner::Names);
        play.run(SECOND);
        assert_eq!(play.session.acknowledged().iter().cloned().collect::<Vec<_>>(), wanted);
        play.run(120 * SECOND);
        assert_eq!(play.connects.len(), 1);
        assert_eq!(play.server.requests.len(), if feed == Feed::Exchange { 1 } else { 3 }, "no request is repeated");
        assert!(play.notes.contains(&Note::Proven));
        let trades = feed.trade_channel();
        assert!(play.server.subscribed.contains_key(trades) && play.server.subscribed.contains_key(feed.heartbeat_channel()));
    }
}

#[test]
fn ticker_only_asks_for_no_trades() {
    for feed in [Feed::Exchange, Feed::Advanced] {
        let mut play = Play::new(feed, &Plan { trades: false, ..plan(&ids(&["BTC-USD"])) }, &[], Manner::Names);
        play.run(SECOND);
        assert!(!play.server.subscribed.contains_key(feed.trade_channel()));
        assert_eq!(play.session.acknowledged().len(), 1);
    }
}

#[test]
fn a_named_delisted_product_costs_the_others_less_than_a_second() {
    for feed in [Feed::Exchange, Feed::Advanced] {
        let wanted = ids(&["BTC-USD", "DEAD-USD", "ETH-USD"]);
        let mut play = Play::new(feed, &plan(&wanted), &ids(&["DEAD-USD"]), Manner::Names);
        play.run(2 * SECOND);
        assert_eq!(play.session.acknowledged().len(), 2, "{feed:?}");
        assert_eq!(play.refused(), ids(&["DEAD-USD"]).into_iter().collect());
        assert_eq!(play.connects.len(), 1);
        let asked = play.server.requests.len();
        play.run(590 * SECOND);
        assert_eq!(play.server.requests.len(), asked, "it is left alone for ten minutes");
        play.run(15 * SECOND);
        assert!(play.server.requests.len() > asked, "then it is asked for again");
        assert_eq!((play.session.acknowledged().len(), play.connects.len()), (2, 1));
    }
}

#[test]
fn a_product_that_is_listed_again_is_captured_after_ten_minutes() {
    let mut play = Play::new(Feed::Exchange, &plan(&ids(&["BTC-USD", "DEAD-USD"])), &ids(&["DEAD-USD"]), Manner::Names);
    play.run(5 * SECOND);
    play.server.bad.clear();
    play.run(601 * SECOND);
    assert_eq!(play.session.acknowledged().len(), 2);
}

#[test]
fn one_silently_refused_product_of_a_hundred_is_found_by_halves() {
    let wanted: Vec<ProductId> = (0..100).map(|at| id(&format!("P{at}-USD"))).collect();
    for manner in [Manner::Ignores, Manner::Mumbles, Manner::LeavesOut] {
        let mut play = Play::new(Feed::Exchange, &plan(&wanted), &wanted[37..38], manner);
        play.run(6 * SECOND);
        assert!(play.session.acknowledged().len() >= 50, "{manner:?}: half of them flow after one round");
        play.run(45 * SECOND);
        assert_eq!(play.session.acknowledged().len(), 99, "{manner:?}");
        assert_eq!(play.refused(), wanted[37..38].iter().cloned().collect(), "{manner:?}");
        assert_eq!(play.connects.len(), 1, "{manner:?}");
    }
}

#[test]
fn a_refusal_that_names_nobody_is_asked_again_soon_and_then_later_and_later() {
    let wanted = ids(&["A-USD", "B-USD"]);
    let mut play = Play::new(Feed::Exchange, &plan(&wanted), &wanted[1..], Manner::Mumbles);
    play.run(130 * SECOND);
    let waits = |play: &Play| {
        let waits =
            play.notes.iter().filter_map(|note| if let Note::Refused { again_in, .. } = note { Some(again_in.as_secs()) } else { None });
        waits.collect::<Vec<_>>()
    };
    assert_eq!(waits(&play), [10, 20, 40, 80]);
    play.server.bad.clear();
    play.run(90 * SECOND);
    assert_eq!(play.session.acknowledged().len(), 2);
    play.run(3000 * SECOND);
    assert_eq!(play.connects.len(), 1);
    // Who is named waits ten minutes at once.
    let mut play = Play::new(Feed::Exchange, &plan(&wanted), &wanted[1..], Manner::Names);
    play.run(60 * SECOND);
    assert_eq!(waits(&play), [600]);
}

#[test]
fn a_server_that_acknowledges_nobody_condemns_no_product() {
    let wanted = ids(&["BTC-USD", "ETH-USD", "SOL-USD"]);
    let mut play = Play::new(Feed::Exchange, &plan(&wanted), &wanted, Manner::Ignores);
    play.run(120 * SECOND);
    assert!(play.refused().is_empty());
    assert!(play.connects.len() > 2 && (play.notes.contains(&Note::Unacknowledged) || play.notes.contains(&Note::Silent)));
    play.server.bad.clear();
    play.run(62 * SECOND);
    assert_eq!(play.session.acknowledged().len(), 3);
}

#[test]
fn a_refusal_that_comes_with_a_close_is_narrowed_down_over_connections() {
    let wanted = ids(&["A-USD", "B-USD", "C-USD", "D-USD"]);
    let mut play = Play::new(Feed::Exchange, &plan(&wanted), &ids(&["C-USD"]), Manner::Cuts);
    play.run(60 * SECOND);
    assert_eq!(play.session.acknowledged().len(), 3);
    assert_eq!(play.refused(), ids(&["C-USD"]).into_iter().collect());
    assert!(play.connects.len() < 8, "{:?}", play.connects);
}

#[test]
fn a_loss_of_any_kind_leads_to_a_new_connection_with_all_subscriptions() {
    let mut play = Play::new(Feed::Exchange, &plan(&ids(&["BTC-USD"])), &[], Manner::Names);
    for round in 1..=20 {
        play.run(5 * SECOND);
        assert_eq!(play.connects.len(), round, "proven connections come back within seconds");
        assert_eq!(play.session.acknowledged().len(), 1);
        play.on(SessionEvent::Lost);
        // Told twice, as a failed write and then a failed read would.
        play.on(SessionEvent::Lost);
        assert!(!play.session.is_up());
    }
}

#[test]
fn the_back_off_grows_to_a_minute_and_starts_over_once_proven() {
    let mut play = Play::new(Feed::Exchange, &plan(&ids(&["BTC-USD"])), &[], Manner::Names);
    play.reachable = false;
    play.run(600 * SECOND);
    let waits: Vec<Duration> = play.connects.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] >= SECOND && waits[0] <= SECOND * 3 / 2, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 60 * SECOND + STEP), "{waits:?}");
    assert!(waits.last().is_some_and(|wait| *wait >= 48 * SECOND), "{waits:?}");
    play.reachable = true;
    play.run(61 * SECOND);
    assert!(play.notes.contains(&Note::Proven));
    let connects = play.connects.len();
    play.on(SessionEvent::Lost);
    play.run(2 * SECOND);
    assert_eq!(play.connects.len(), connects + 1);
}

#[test]
fn a_connection_that_only_acknowledges_does_not_reset_the_back_off() {
    let mut play = Play::new(Feed::Exchange, &plan(&ids(&["BTC-USD"])), &[], Manner::Names);
    play.flowing = false;
    for _ in 0..300 {
        play.run(SECOND);
        if play.session.is_up() {
            play.on(SessionEvent::Lost);
        }
    }
    assert!(play.connects.len() < 15, "{} connections in five minutes", play.connects.len());
}

#[test]
fn what_comes_before_any_acknowledgement_proves_nothing() {
    let wanted = ids(&["BTC-USD"]);
    let mut play = Play::new(Feed::Exchange, &plan(&wanted), &wanted, Manner::Ignores);
    for _ in 0..3000 {
        play.run(STEP);
        if play.session.is_up() {
            play.on(SessionEvent::Frame(FrameFate::Used));
            play.on(SessionEvent::Lost);
        }
    }
    assert!(!play.notes.contains(&Note::Proven));
    assert!(play.connects.len() < 15, "{} connections in five minutes", play.connects.len());
}

#[test]
fn silence_is_replaced_exactly_at_the_time_out() {
    let mut play = Play::new(Feed::Exchange, &plan(&ids(&["BTC-USD"])), &[], Manner::Names);
    play.run(5 * SECOND);
    play.flowing = false;
    let fell_silent = play.now;
    while play.session.is_up() {
        play.run(STEP);
    }
    assert_eq!(play.now - fell_silent, 10 * SECOND);
    assert!(play.notes.contains(&Note::Silent));
}

#[test]
fn products_come_and_go_while_connected() {
    for feed in [Feed::Exchange, Feed::Advanced] {
        let mut play = Play::new(feed, &plan(&ids(&["BTC-USD"])), &ids(&["DEAD-USD"]), Manner::Names);
        play.run(SECOND);
        play.on(SessionEvent::Add(&ids(&["ETH-USD", "BTC-USD", "DEAD-USD"])));
        play.run(3 * SECOND);
        assert_eq!(play.session.acknowledged().iter().cloned().collect::<Vec<_>>(), ids(&["BTC-USD", "ETH-USD"]));
        play.on(SessionEvent::Remove(&ids(&["BTC-USD", "DEAD-USD"])));
        play.run(SECOND);
        assert_eq!(play.server.subscribed["ticker"], ids(&["ETH-USD"]).into_iter().collect());
        play.on(SessionEvent::Lost);
        play.run(3 * SECOND);
        assert_eq!(play.server.subscribed["ticker"], ids(&["ETH-USD"]).into_iter().collect(), "a new connection knows of it");
    }
}

#[test]
fn a_product_that_vanishes_from_the_list_is_asked_for_again() {
    let mut play = Play::new(Feed::Exchange, &plan(&ids(&["BTC-USD", "ETH-USD"])), &[], Manner::Names);
    play.run(SECOND);
    for products in play.server.subscribed.values_mut() {
        products.remove(&id("ETH-USD"));
    }
    let list = Control::Subscriptions(play.server.subscribed.clone());
    play.on(SessionEvent::Control(&list));
    play.run(SECOND);
    assert_eq!(play.session.acknowledged().len(), 2);
    assert!(play.notes.contains(&Note::Dropped { products: ids(&["ETH-USD"]) }));
}

#[test]
fn the_list_of_products_can_be_had_before_any_product_is_known() {
    let mut play = Play::new(Feed::Exchange, &Plan { status: true, ..plan(&[]) }, &[], Manner::Names);
    play.run(SECOND);
    assert!(play.session.is_up() && play.server.subscribed.contains_key("status"));
    play.on(SessionEvent::Add(&ids(&["BTC-USD"])));
    play.run(SECOND);
    assert_eq!(play.session.acknowledged().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_bad_the_good_are_captured_and_only_the_bad_refused(
        count in 2usize..120, seed: u64, share in 0.0f64..0.3, advanced: bool, manner in 0usize..4,
    ) {
        let manner = [Manner::Names, Manner::Mumbles, Manner::LeavesOut, Manner::Ignores][manner];
        let feed = if advanced { Feed::Advanced } else { Feed::Exchange };
        let wanted: Vec<ProductId> = (0..count).map(|at| id(&format!("P{at}-USD"))).collect();
        let mut random = fastrand::Rng::with_seed(seed);
        // One at least is good: a server that takes nobody is another matter.
        let bad: Vec<ProductId> = wanted[1..].iter().filter(|_| random.f64() < share).cloned().collect();
        let mut play = Play::new(feed, &plan(&wanted), &bad, manner);
        play.run(150 * SECOND);
        prop_assert_eq!(play.session.acknowledged().len(), count - bad.len());
        prop_assert_eq!(play.refused(), bad.into_iter().collect());
        // At most eight requests in any second.
        prop_assert!(play.server.requests.windows(9).all(|window| window[8] - window[0] >= SECOND));
    }
}
