//! Sessions against a model of Coinbase in virtual time: refusals, silence and lost connections never cost a good product.

use coltape::internals::feed::action::{Action, SessionReport};
use coltape::internals::feed::session::{Session, SessionEvent};
use coltape::internals::feed::session_config::SessionConfig;
use coltape::internals::feed::{Control, Feed, FrameFate};
use coltape::internals::product::ProductId;
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

/// How the model treats a request that holds a bad product.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Refusal {
    /// Refuses the whole request and names the first bad product.
    NamesOne,
    /// Refuses the whole request with an error that names no product.
    NamesNone,
    /// Subscribes to the good products and leaves out the bad ones, without an error.
    LeavesOut,
    /// Refuses the whole request, without an error.
    Silent,
    /// Refuses the whole request with an error that names no product, and closes with 1000.
    Closes,
}

struct Server {
    feed: Feed,
    bad: BTreeSet<ProductId>,
    refusal: Refusal,
    subscribed: BTreeMap<String, BTreeSet<ProductId>>,
    requests: Vec<Duration>,
}

impl Server {
    /// Answers a request. The second value tells whether the connection is closed then.
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
        match (bad, self.refusal) {
            (None, _) | (Some(_), Refusal::LeavesOut) => {
                for (channel, products) in asked {
                    self.subscribed.entry(channel).or_default().extend(products.into_iter().filter(|product| !self.bad.contains(product)));
                }
                (vec![Control::Subscriptions(self.subscribed.clone())], false)
            }
            (Some(bad), Refusal::NamesOne) => (vec![error(&format!("{bad} is delisted"))], false),
            (Some(_), Refusal::NamesNone) => (vec![error("")], false),
            (Some(_), Refusal::Silent) => (vec![], false),
            (Some(_), Refusal::Closes) => (vec![error("")], true),
        }
    }
}

struct Simulation {
    session: Session,
    server: Server,
    now: Duration,
    connects: Vec<Duration>,
    reports: Vec<SessionReport>,
    /// Whether connections come about.
    reachable: bool,
    /// Whether data flows for what is subscribed.
    flowing: bool,
}

fn config(products: &[ProductId]) -> SessionConfig {
    SessionConfig::new(products.to_vec(), 10 * SECOND, 1)
}

impl Simulation {
    fn new(feed: Feed, config: &SessionConfig, bad: &[ProductId], refusal: Refusal) -> Self {
        let server = Server { feed, bad: bad.iter().cloned().collect(), refusal, subscribed: BTreeMap::new(), requests: Vec::new() };
        let session = Session::new(feed, config);
        Self { session, server, now: Duration::ZERO, connects: Vec::new(), reports: Vec::new(), reachable: true, flowing: true }
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
                        // The other requests would fail.
                        return self.on(SessionEvent::Lost);
                    }
                }
                Action::Disconnect => self.server.subscribed.clear(),
                Action::Report(report) => self.reports.push(report),
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += STEP;
            // The heartbeats of the Advanced feed belong to no product.
            let has_subscribed = self.server.subscribed.iter().any(|(channel, products)| channel == "heartbeats" || !products.is_empty());
            if self.flowing && self.session.is_connected() && has_subscribed {
                self.on(SessionEvent::Frame(FrameFate::Used));
            }
            self.on(SessionEvent::Tick);
        }
    }

    fn refused(&self) -> BTreeSet<ProductId> {
        let refused = self
            .reports
            .iter()
            .filter_map(|report| if let SessionReport::Refused { product, .. } = report { Some(product.clone()) } else { None });
        refused.collect()
    }
}

#[test]
fn everything_is_acknowledged_at_once_where_nothing_is_wrong() {
    for feed in [Feed::Exchange, Feed::Advanced] {
        let wanted = ids(&["BTC-USD", "ETH-USD"]);
        let mut simulation = Simulation::new(feed, &config(&wanted), &[], Refusal::NamesOne);
        simulation.run(SECOND);
        assert_eq!(simulation.session.acknowledged().iter().cloned().collect::<Vec<_>>(), wanted);
        simulation.run(120 * SECOND);
        assert_eq!(simulation.connects.len(), 1);
        assert_eq!(simulation.server.requests.len(), if feed == Feed::Exchange { 1 } else { 3 }, "no request is repeated");
        assert!(simulation.reports.contains(&SessionReport::Proven));
        let trades = feed.trade_channel();
        assert!(simulation.server.subscribed.contains_key(trades) && simulation.server.subscribed.contains_key(feed.heartbeat_channel()));
    }
}

#[test]
fn ticker_only_subscribes_to_no_trades() {
    for feed in [Feed::Exchange, Feed::Advanced] {
        let mut config = config(&ids(&["BTC-USD"]));
        config.trades = false;
        let mut simulation = Simulation::new(feed, &config, &[], Refusal::NamesOne);
        simulation.run(SECOND);
        assert!(!simulation.server.subscribed.contains_key(feed.trade_channel()));
        assert_eq!(simulation.session.acknowledged().len(), 1);
    }
}

#[test]
fn a_named_delisted_product_costs_the_others_less_than_a_second() {
    for feed in [Feed::Exchange, Feed::Advanced] {
        let wanted = ids(&["BTC-USD", "DEAD-USD", "ETH-USD"]);
        let mut simulation = Simulation::new(feed, &config(&wanted), &ids(&["DEAD-USD"]), Refusal::NamesOne);
        simulation.run(2 * SECOND);
        assert_eq!(simulation.session.acknowledged().len(), 2, "{feed:?}");
        assert_eq!(simulation.refused(), ids(&["DEAD-USD"]).into_iter().collect());
        assert_eq!(simulation.connects.len(), 1);
        let asked = simulation.server.requests.len();
        simulation.run(590 * SECOND);
        assert_eq!(simulation.server.requests.len(), asked, "it is not requested for ten minutes");
        simulation.run(15 * SECOND);
        assert!(simulation.server.requests.len() > asked, "then it is requested again");
        assert_eq!((simulation.session.acknowledged().len(), simulation.connects.len()), (2, 1));
    }
}

#[test]
fn a_product_that_is_listed_again_is_captured_after_ten_minutes() {
    let mut simulation = Simulation::new(Feed::Exchange, &config(&ids(&["BTC-USD", "DEAD-USD"])), &ids(&["DEAD-USD"]), Refusal::NamesOne);
    simulation.run(5 * SECOND);
    simulation.server.bad.clear();
    simulation.run(601 * SECOND);
    assert_eq!(simulation.session.acknowledged().len(), 2);
}

#[test]
fn one_silently_refused_product_of_a_hundred_is_found_by_halves() {
    let wanted: Vec<ProductId> = (0..100).map(|at| id(&format!("P{at}-USD"))).collect();
    for refusal in [Refusal::Silent, Refusal::NamesNone, Refusal::LeavesOut] {
        let mut simulation = Simulation::new(Feed::Exchange, &config(&wanted), &wanted[37..38], refusal);
        simulation.run(6 * SECOND);
        assert!(simulation.session.acknowledged().len() >= 50, "{refusal:?}: half of them flow after one round");
        simulation.run(45 * SECOND);
        assert_eq!(simulation.session.acknowledged().len(), 99, "{refusal:?}");
        assert_eq!(simulation.refused(), wanted[37..38].iter().cloned().collect(), "{refusal:?}");
        assert_eq!(simulation.connects.len(), 1, "{refusal:?}");
    }
}

#[test]
fn a_product_refused_without_being_named_is_requested_again_soon_and_then_later_and_later() {
    let wanted = ids(&["A-USD", "B-USD"]);
    let mut simulation = Simulation::new(Feed::Exchange, &config(&wanted), &wanted[1..], Refusal::NamesNone);
    simulation.run(130 * SECOND);
    let waits = |simulation: &Simulation| {
        let waits = simulation
            .reports
            .iter()
            .filter_map(|report| if let SessionReport::Refused { again_in, .. } = report { Some(again_in.as_secs()) } else { None });
        waits.collect::<Vec<_>>()
    };
    assert_eq!(waits(&simulation), [10, 20, 40, 80]);
    simulation.server.bad.clear();
    simulation.run(90 * SECOND);
    assert_eq!(simulation.session.acknowledged().len(), 2);
    simulation.run(3000 * SECOND);
    assert_eq!(simulation.connects.len(), 1);
    // A product that is named waits ten minutes at once.
    let mut simulation = Simulation::new(Feed::Exchange, &config(&wanted), &wanted[1..], Refusal::NamesOne);
    simulation.run(60 * SECOND);
    assert_eq!(waits(&simulation), [600]);
}

#[test]
fn a_server_that_acknowledges_nothing_refuses_no_product() {
    let wanted = ids(&["BTC-USD", "ETH-USD", "SOL-USD"]);
    let mut simulation = Simulation::new(Feed::Exchange, &config(&wanted), &wanted, Refusal::Silent);
    simulation.run(120 * SECOND);
    assert!(simulation.refused().is_empty());
    assert!(
        simulation.connects.len() > 2
            && (simulation.reports.contains(&SessionReport::Unacknowledged) || simulation.reports.contains(&SessionReport::Silent))
    );
    simulation.server.bad.clear();
    simulation.run(62 * SECOND);
    assert_eq!(simulation.session.acknowledged().len(), 3);
}

#[test]
fn the_last_products_of_a_connection_are_refused_where_the_server_acknowledges_something_else() {
    for (wanted, refusal) in [(1, Refusal::LeavesOut), (1, Refusal::NamesNone), (3, Refusal::LeavesOut), (3, Refusal::Silent)] {
        let wanted: Vec<ProductId> = (0..wanted).map(|at| id(&format!("P{at}-USD"))).collect();
        let mut simulation = Simulation::new(Feed::Advanced, &config(&wanted), &[], refusal);
        simulation.run(10 * SECOND);
        assert_eq!(simulation.session.acknowledged().len(), wanted.len());
        simulation.server.bad.extend(wanted.iter().cloned());
        simulation.on(SessionEvent::Lost);
        simulation.run(4 * SECOND);
        assert!(simulation.refused().is_empty(), "nothing is blamed on one connection alone");
        simulation.run(600 * SECOND);
        assert_eq!(simulation.refused(), wanted.iter().cloned().collect(), "{refusal:?}");
        let connects = simulation.connects.len();
        simulation.run(600 * SECOND);
        assert_eq!(simulation.connects.len(), connects, "{refusal:?}: the connection stays, for the day that they are listed again");
        simulation.server.bad.clear();
        simulation.run(70 * SECOND);
        assert_eq!(simulation.session.acknowledged().len(), wanted.len(), "{refusal:?}: they are asked for once a minute at least");
    }
}

#[test]
fn an_outage_of_many_products_blames_none_of_them() {
    let wanted: Vec<ProductId> = (0..40).map(|at| id(&format!("P{at}-USD"))).collect();
    let mut simulation = Simulation::new(Feed::Advanced, &config(&wanted), &wanted, Refusal::LeavesOut);
    simulation.run(300 * SECOND);
    assert!(simulation.refused().is_empty());
    simulation.server.bad.clear();
    simulation.run(62 * SECOND);
    assert_eq!(simulation.session.acknowledged().len(), wanted.len());
}

#[test]
fn a_refusal_that_comes_with_a_close_is_narrowed_down_over_connections() {
    let wanted = ids(&["A-USD", "B-USD", "C-USD", "D-USD"]);
    let mut simulation = Simulation::new(Feed::Exchange, &config(&wanted), &ids(&["C-USD"]), Refusal::Closes);
    simulation.run(60 * SECOND);
    assert_eq!(simulation.session.acknowledged().len(), 3);
    assert_eq!(simulation.refused(), ids(&["C-USD"]).into_iter().collect());
    assert!(simulation.connects.len() < 8, "{:?}", simulation.connects);
}

#[test]
fn a_loss_of_any_kind_leads_to_a_new_connection_with_all_subscriptions() {
    let mut simulation = Simulation::new(Feed::Exchange, &config(&ids(&["BTC-USD"])), &[], Refusal::NamesOne);
    for round in 1..=20 {
        simulation.run(5 * SECOND);
        assert_eq!(simulation.connects.len(), round, "proven connections come back within seconds");
        assert_eq!(simulation.session.acknowledged().len(), 1);
        simulation.on(SessionEvent::Lost);
        // Told twice, as a failed write and then a failed read would.
        simulation.on(SessionEvent::Lost);
        assert!(!simulation.session.is_connected());
    }
}

#[test]
fn the_back_off_grows_to_a_minute_and_starts_over_once_proven() {
    let mut simulation = Simulation::new(Feed::Exchange, &config(&ids(&["BTC-USD"])), &[], Refusal::NamesOne);
    simulation.reachable = false;
    simulation.run(600 * SECOND);
    let waits: Vec<Duration> = simulation.connects.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] >= SECOND && waits[0] <= SECOND * 3 / 2, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 60 * SECOND + STEP), "{waits:?}");
    assert!(waits.last().is_some_and(|wait| *wait >= 48 * SECOND), "{waits:?}");
    simulation.reachable = true;
    simulation.run(61 * SECOND);
    assert!(simulation.reports.contains(&SessionReport::Proven));
    let connects = simulation.connects.len();
    simulation.on(SessionEvent::Lost);
    simulation.run(2 * SECOND);
    assert_eq!(simulation.connects.len(), connects + 1);
}

#[test]
fn a_connection_that_only_acknowledges_does_not_reset_the_back_off() {
    let mut simulation = Simulation::new(Feed::Exchange, &config(&ids(&["BTC-USD"])), &[], Refusal::NamesOne);
    simulation.flowing = false;
    for _ in 0..300 {
        simulation.run(SECOND);
        if simulation.session.is_connected() {
            simulation.on(SessionEvent::Lost);
        }
    }
    assert!(simulation.connects.len() < 15, "{} connections in five minutes", simulation.connects.len());
}

#[test]
fn frames_before_any_acknowledgement_prove_nothing() {
    let wanted = ids(&["BTC-USD"]);
    let mut simulation = Simulation::new(Feed::Exchange, &config(&wanted), &wanted, Refusal::Silent);
    for _ in 0..3000 {
        simulation.run(STEP);
        if simulation.session.is_connected() {
            simulation.on(SessionEvent::Frame(FrameFate::Used));
            simulation.on(SessionEvent::Lost);
        }
    }
    assert!(!simulation.reports.contains(&SessionReport::Proven));
    assert!(simulation.connects.len() < 15, "{} connections in five minutes", simulation.connects.len());
}

#[test]
fn a_silent_connection_is_replaced_exactly_at_the_time_out() {
    let mut simulation = Simulation::new(Feed::Exchange, &config(&ids(&["BTC-USD"])), &[], Refusal::NamesOne);
    simulation.run(5 * SECOND);
    simulation.flowing = false;
    let fell_silent = simulation.now;
    while simulation.session.is_connected() {
        simulation.run(STEP);
    }
    assert_eq!(simulation.now - fell_silent, 10 * SECOND);
    assert!(simulation.reports.contains(&SessionReport::Silent));
}

#[test]
fn a_pause_of_this_process_is_no_silence_of_the_server() {
    // A pause of any length, at any distance from the last frame, on a connection that flows before and after it.
    for pause in [2, 5, 9, 10, 11, 12, 60, 3600, 1_000_000] {
        for quiet_steps in [0, 1, 10, 50, 85] {
            for feed in Feed::ALL {
                let mut simulation = Simulation::new(feed, &config(&ids(&["BTC-USD"])), &[], Refusal::NamesOne);
                simulation.run(5 * SECOND);
                simulation.flowing = false;
                simulation.run(STEP * quiet_steps);
                simulation.now += Duration::from_secs(pause);
                simulation.on(SessionEvent::Tick);
                assert!(simulation.session.is_connected(), "{feed:?}: after {pause} s, {quiet_steps} steps after the last frame");
                simulation.flowing = true;
                simulation.run(30 * SECOND);
                assert_eq!(simulation.connects.len(), 1, "{feed:?}: {pause} s, {quiet_steps} steps");
            }
        }
    }
}

#[test]
fn a_connection_that_died_during_a_pause_is_replaced_soon_after_it() {
    let mut simulation = Simulation::new(Feed::Exchange, &config(&ids(&["BTC-USD"])), &[], Refusal::NamesOne);
    simulation.run(5 * SECOND);
    simulation.flowing = false;
    simulation.now += 3600 * SECOND;
    simulation.run(10 * SECOND);
    assert!(simulation.reports.contains(&SessionReport::Silent));
}

#[test]
fn a_pause_of_this_process_is_no_missing_acknowledgement() {
    for pause in [3, 6, 12, 3600] {
        let wanted = ids(&["BTC-USD", "ETH-USD"]);
        let mut simulation = Simulation::new(Feed::Exchange, &config(&wanted), &wanted, Refusal::Silent);
        simulation.run(STEP);
        assert_eq!(simulation.server.requests.len(), 1);
        simulation.now += Duration::from_secs(pause);
        simulation.on(SessionEvent::Tick);
        assert_eq!((simulation.server.requests.len(), simulation.connects.len()), (1, 1), "{pause} s");
        // The answer has waited in the socket.
        let listed = ["ticker", "matches", "heartbeat"].map(|channel| (channel.to_owned(), wanted.iter().cloned().collect()));
        simulation.on(SessionEvent::Control(&Control::Subscriptions(listed.into_iter().collect())));
        simulation.on(SessionEvent::Frame(FrameFate::Control));
        assert_eq!(simulation.session.acknowledged().len(), 2);
        assert!(simulation.refused().is_empty());
    }
}

#[test]
fn bytes_of_a_message_under_way_are_no_silence_but_no_message_takes_for_ever() {
    let mut simulation = Simulation::new(Feed::Exchange, &config(&ids(&["BTC-USD"])), &[], Refusal::NamesOne);
    simulation.run(5 * SECOND);
    simulation.flowing = false;
    let last_frame = simulation.now;
    while simulation.session.is_connected() {
        simulation.on(SessionEvent::Heard);
        simulation.run(SECOND);
    }
    assert_eq!(simulation.now - last_frame, 60 * SECOND);
    // Bytes that came once are no sign of life for longer than the time-out.
    simulation.flowing = true;
    simulation.run(20 * SECOND);
    simulation.flowing = false;
    simulation.on(SessionEvent::Heard);
    let heard = simulation.now;
    while simulation.session.is_connected() {
        simulation.run(STEP);
    }
    assert_eq!(simulation.now - heard, 10 * SECOND);
}

#[test]
fn a_wait_that_the_server_asks_for_is_kept_unless_the_back_off_is_longer() {
    for (asked, least, most) in [(0, 1, 2), (1, 1, 2), (7, 7, 8), (77, 77, 78), (300, 300, 301)] {
        let mut session = Session::new(Feed::Exchange, &config(&ids(&["BTC-USD"])));
        assert_eq!(session.on(SessionEvent::Tick, Duration::ZERO), [Action::Connect]);
        session.on(SessionEvent::ConnectRefused { retry_after: Duration::from_secs(asked) }, Duration::ZERO);
        let mut now = Duration::ZERO;
        while session.on(SessionEvent::Tick, now).is_empty() {
            now += STEP;
        }
        assert!(now >= Duration::from_secs(least) && now <= Duration::from_secs(most), "asked for {asked} s, waited {now:?}");
    }
}

#[test]
fn products_come_and_go_while_connected() {
    for feed in [Feed::Exchange, Feed::Advanced] {
        let mut simulation = Simulation::new(feed, &config(&ids(&["BTC-USD"])), &ids(&["DEAD-USD"]), Refusal::NamesOne);
        simulation.run(SECOND);
        simulation.on(SessionEvent::Add(&ids(&["ETH-USD", "BTC-USD", "DEAD-USD"])));
        simulation.run(3 * SECOND);
        assert_eq!(simulation.session.acknowledged().iter().cloned().collect::<Vec<_>>(), ids(&["BTC-USD", "ETH-USD"]));
        simulation.on(SessionEvent::Remove(&ids(&["BTC-USD", "DEAD-USD"])));
        simulation.run(SECOND);
        assert_eq!(simulation.server.subscribed["ticker"], ids(&["ETH-USD"]).into_iter().collect());
        simulation.on(SessionEvent::Lost);
        simulation.run(3 * SECOND);
        assert_eq!(simulation.server.subscribed["ticker"], ids(&["ETH-USD"]).into_iter().collect(), "a new connection knows of it");
    }
}

#[test]
fn a_product_that_vanishes_from_the_list_is_requested_again() {
    let mut simulation = Simulation::new(Feed::Exchange, &config(&ids(&["BTC-USD", "ETH-USD"])), &[], Refusal::NamesOne);
    simulation.run(SECOND);
    for products in simulation.server.subscribed.values_mut() {
        products.remove(&id("ETH-USD"));
    }
    let list = Control::Subscriptions(simulation.server.subscribed.clone());
    simulation.on(SessionEvent::Control(&list));
    simulation.run(SECOND);
    assert_eq!(simulation.session.acknowledged().len(), 2);
    assert!(simulation.reports.contains(&SessionReport::Dropped { products: ids(&["ETH-USD"]) }));
}

#[test]
fn the_list_of_products_comes_before_any_product_is_known() {
    let mut config = config(&[]);
    config.status = true;
    let mut simulation = Simulation::new(Feed::Exchange, &config, &[], Refusal::NamesOne);
    simulation.run(SECOND);
    assert!(simulation.session.is_connected() && simulation.server.subscribed.contains_key("status"));
    simulation.on(SessionEvent::Add(&ids(&["BTC-USD"])));
    simulation.run(SECOND);
    assert_eq!(simulation.session.acknowledged().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_bad_the_good_are_captured_and_only_the_bad_refused(
        count in 2usize..120, seed: u64, share in 0.0f64..0.3, advanced: bool, refusal in 0usize..4,
    ) {
        let refusal = [Refusal::NamesOne, Refusal::NamesNone, Refusal::LeavesOut, Refusal::Silent][refusal];
        let feed = if advanced { Feed::Advanced } else { Feed::Exchange };
        let wanted: Vec<ProductId> = (0..count).map(|at| id(&format!("P{at}-USD"))).collect();
        let mut random = fastrand::Rng::with_seed(seed);
        // At least one is good: a server that acknowledges nothing is another case.
        let bad: Vec<ProductId> = wanted[1..].iter().filter(|_| random.f64() < share).cloned().collect();
        let mut simulation = Simulation::new(feed, &config(&wanted), &bad, refusal);
        simulation.run(150 * SECOND);
        prop_assert_eq!(simulation.session.acknowledged().len(), count - bad.len());
        prop_assert_eq!(simulation.refused(), bad.into_iter().collect());
        // At most eight requests in any second.
        prop_assert!(simulation.server.requests.windows(9).all(|window| window[8] - window[0] >= SECOND));
    }
}
