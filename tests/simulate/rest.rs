//! The REST endpoints: pages as Coinbase has them, and their faults.

use std::time::{Duration, Instant};

use coltape::internals::simulate::{Faults, Simulation};
use serde_json::Value;

use crate::client::{config, config_with, get, header, parse};

fn page(simulation: &Simulation, query: &str) -> (String, Vec<Value>) {
    let (head, body) = get(simulation, &format!("/products/BTC-USD/trades{query}"));
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    let page = parse(&String::from_utf8(body).expect("text")).as_array().expect("an array").clone();
    (head, page)
}

fn ids(page: &[Value]) -> Vec<u64> {
    page.iter().map(|trade| trade["trade_id"].as_u64().expect("a number")).collect()
}

#[test]
fn a_page_is_newest_first_and_after_is_exclusive() {
    let simulation = Simulation::start(config_with(2, |config| config.history = 1500)).expect("starts");
    let (head, newest) = page(&simulation, "?limit=10");
    let all = ids(&newest);
    let top = all[0];
    assert_eq!(all, (0..10).map(|back| top - back).collect::<Vec<_>>());
    assert_eq!(
        (header(&head, "CB-BEFORE"), header(&head, "CB-AFTER")),
        (Some(top.to_string().as_str()), Some((top - 9).to_string().as_str()))
    );
    let (_, next) = page(&simulation, &format!("?limit=10&after={}", top - 9));
    assert_eq!(ids(&next), (10..20).map(|back| top - back).collect::<Vec<_>>(), "the next page");
    // The gap between ids a and b is filled upwards by windows after=a+1001.
    let (_, window) = page(&simulation, &format!("?limit=1000&after={}", top - 1400 + 1001));
    assert_eq!((window.len(), ids(&window)[999], ids(&window)[0]), (1000, top - 1399, top - 400));
    assert_eq!(page(&simulation, "?limit=5000").1.len(), 1000, "a page has 1000 at most");
    let (head, none) = page(&simulation, &format!("?after={}", top - 1499));
    assert_eq!((none.len(), header(&head, "CB-AFTER")), (0, None));
    let keys: Vec<&String> = newest[0].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["price", "side", "size", "time", "trade_id"]);
    assert_eq!(newest[0]["price"].as_str().expect("a string").split_once('.').expect("a point").1.len(), 8);
    simulation.stop().expect("ends");
}

#[test]
fn products_and_unknown_routes_are_answered() {
    let config = config(3);
    let simulation = Simulation::start(config.clone()).expect("starts");
    let (_, body) = get(&simulation, "/products");
    let products = parse(&String::from_utf8(body).expect("text"));
    let names: Vec<&str> = products.as_array().expect("an array").iter().map(|product| product["id"].as_str().expect("an id")).collect();
    assert_eq!(names, config.products.iter().map(|product| product.as_str()).collect::<Vec<_>>());
    assert_eq!((&products[0]["quote_increment"], &products[0]["status"]), (&"0.01".into(), &"online".into()));
    for (target, status) in
        [("/products/NO-NE", 404), ("/products/NO-NE/trades", 404), ("/x", 404), ("/products/BTC-USD/trades?after=x", 400)]
    {
        assert!(get(&simulation, target).0.starts_with(&format!("HTTP/1.1 {status}")), "{target}");
    }
    simulation.stop().expect("ends");
}

#[test]
fn rest_faults_fire_as_often_as_asked_and_are_counted() {
    let faults = Faults::parse("rest-429*1,rest-500*1,rest-truncate*1,rest-hole*1,rest-slow:100ms*1").expect("a script");
    let simulation = Simulation::start(config_with(1, |config| config.faults = faults)).expect("starts");
    let started = Instant::now();
    let (head, _) = get(&simulation, "/products");
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert!(head.starts_with("HTTP/1.1 429") && header(&head, "Retry-After") == Some("1"), "{head}");
    assert!(get(&simulation, "/products").0.starts_with("HTTP/1.1 500"));
    let (head, body) = get(&simulation, "/products");
    let length: usize = header(&head, "Content-Length").and_then(|length| length.parse().ok()).expect("a length");
    assert!(body.len() < length);
    let (_, short) = page(&simulation, "?limit=9");
    assert_eq!((short.len(), page(&simulation, "?limit=9").1.len()), (8, 9));
    let totals = simulation.stop().expect("ends");
    let names: Vec<&str> = totals.faults.keys().copied().collect();
    assert_eq!(names, ["rest-429", "rest-500", "rest-hole", "rest-slow", "rest-truncate"]);
    assert!(totals.faults.values().all(|count| *count == 1));
}
