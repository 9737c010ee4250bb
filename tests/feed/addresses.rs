//! A name with several addresses: whatever each of them does, and in whatever order they come, a good one is connected to, by the WebSocket and by REST.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coltape::internals::feed::connector::Connector;
use coltape::internals::feed::endpoint::Endpoint;
use coltape::internals::feed::proxy::Proxies;
use coltape::internals::feed::rest::RestClient;
use coltape::internals::feed::socket::{Received, Socket};
use coltape::internals::feed::timeouts::Timeouts;
use coltape::internals::feed::tls::TlsRoots;

use crate::peers::{Kind, Peer, serve_products, serve_websocket};

/// For a connection with all its addresses, where some of it is waited out.
const CONNECT: Duration = Duration::from_secs(8);

/// For a REST request, likewise.
const REQUEST: Duration = Duration::from_secs(3);

/// For either, where nothing of it is to be waited out.
const LONG: Duration = Duration::from_secs(60);

/// Time that a machine under load may take beyond what the addresses cost.
const SLACK: Duration = Duration::from_secs(20);

/// Tells whether a good address of the list is reached without a time-out.
fn is_reached_at_once(list: &[Kind]) -> bool {
    list.contains(&Kind::Good) && !list.contains(&Kind::Silent)
}

/// A connector for which every name has these addresses.
fn connector(addresses: Vec<SocketAddr>) -> Connector {
    Connector::new(TlsRoots::default(), Proxies::default()).with_resolver(Arc::new(move |_, _| Ok(addresses.clone())))
}

fn timeouts(connect: Duration) -> Timeouts {
    let mut timeouts = Timeouts::default();
    (timeouts.connect, timeouts.tick) = (connect, Duration::from_millis(20));
    timeouts
}

/// Connects a WebSocket within a time and reads its first text.
fn hello(connector: &Connector, connect: Duration) -> Result<Vec<u8>, String> {
    let endpoint = Endpoint::parse("ws://several.example/feed").unwrap();
    let mut socket = Socket::connect(&endpoint, connector, &timeouts(connect)).map_err(|error| error.to_string())?;
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        if let Received::Text(text) = socket.read().map_err(|error| error.to_string())? {
            return Ok(text.to_vec());
        }
    }
    Err("nothing came".to_owned())
}

/// Asks REST for the products, within a time.
fn products(connector: &Connector, within: Duration) -> Result<usize, String> {
    let mut client = RestClient::new("http://several.example", connector, within).unwrap();
    client.products().map(|products| products.len()).map_err(|error| error.to_string())
}

/// Every list of up to `longest` addresses.
fn lists(longest: u32) -> Vec<Vec<Kind>> {
    let kinds = [Kind::Good, Kind::Refusing, Kind::Dead, Kind::Silent];
    let mut lists = Vec::new();
    for length in 1..=longest {
        for number in 0..kinds.len().pow(length) {
            lists.push((0..length).map(|at| kinds[number / kinds.len().pow(at) % kinds.len()]).collect());
        }
    }
    lists
}

#[test]
fn a_good_address_is_reached_whatever_the_others_do_and_in_every_order() {
    let checks: Vec<_> = lists(3)
        .into_iter()
        .map(|list| {
            std::thread::spawn(move || {
                let peers: Vec<Peer> = list.iter().map(|kind| Peer::new(*kind, serve_websocket)).collect();
                let connector = connector(peers.iter().map(|peer| peer.address).collect());
                let visits = || peers.iter().map(Peer::new_visits).sum::<usize>();
                let connect = if is_reached_at_once(&list) { LONG } else { CONNECT };
                let began = Instant::now();
                let outcome = hello(&connector, connect);
                if list.contains(&Kind::Good) {
                    assert_eq!(outcome.as_deref(), Ok(&b"hello"[..]), "{list:?}");
                    if is_reached_at_once(&list) {
                        assert!(began.elapsed() < SLACK, "{list:?}: {:?}", began.elapsed());
                    }
                    // A silent address costs time once: later connections leave it for the end.
                    visits();
                    assert_eq!(hello(&connector, connect).as_deref(), Ok(&b"hello"[..]), "{list:?} again");
                    assert_eq!(visits(), 0, "{list:?} again");
                } else {
                    let error = outcome.unwrap_err();
                    assert!(error.contains("several.example"), "{list:?}: {error}");
                    assert!(began.elapsed() < CONNECT + SLACK, "{list:?}: {:?}", began.elapsed());
                }
            })
        })
        .collect();
    checks.into_iter().for_each(|check| check.join().unwrap());
}

#[test]
fn rest_reaches_a_good_address_in_every_order() {
    let checks: Vec<_> = lists(3)
        .into_iter()
        .filter(|list| list.contains(&Kind::Good))
        .map(|list| {
            std::thread::spawn(move || {
                let peers: Vec<Peer> = list.iter().map(|kind| Peer::new(*kind, serve_products)).collect();
                let connector = connector(peers.iter().map(|peer| peer.address).collect());
                let began = Instant::now();
                // An address that takes a request and does not answer costs that request; the next one goes elsewhere.
                let silent = list.iter().filter(|kind| **kind == Kind::Silent).count();
                let within = if is_reached_at_once(&list) { LONG } else { REQUEST };
                let outcome = (0..=silent).map(|_| products(&connector, within)).find(Result::is_ok);
                assert_eq!(outcome, Some(Ok(1)), "{list:?}");
                if silent == 0 {
                    assert!(began.elapsed() < SLACK, "{list:?}: {:?}", began.elapsed());
                }
            })
        })
        .collect();
    checks.into_iter().for_each(|check| check.join().unwrap());
}

#[test]
fn many_dead_addresses_before_the_good_one_cost_a_quarter_of_a_second_each() {
    let mut peers: Vec<Peer> = (0..8).map(|_| Peer::new(Kind::Dead, serve_websocket)).collect();
    peers.push(Peer::new(Kind::Good, serve_websocket));
    let began = Instant::now();
    assert_eq!(hello(&connector(peers.iter().map(|peer| peer.address).collect()), LONG).as_deref(), Ok(&b"hello"[..]));
    assert!(began.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", began.elapsed());
    assert_eq!(peers.last().unwrap().accepted(), 1);
}

#[test]
fn a_name_without_an_address_and_one_that_cannot_be_resolved_are_named() {
    let error = hello(&connector(Vec::new()), LONG).unwrap_err();
    assert!(error.contains("several.example:80") && error.contains("no address"), "{error}");
    let failing = Connector::new(TlsRoots::default(), Proxies::default())
        .with_resolver(Arc::new(|host, _| Err(std::io::Error::other(format!("no {host} today")))));
    let error = products(&failing, LONG).unwrap_err();
    assert!(error.contains("cannot resolve several.example") && error.contains("no several.example today"), "{error}");
}
