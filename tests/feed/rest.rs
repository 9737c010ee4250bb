//! REST pages from a server that misbehaves on purpose.

use coltape::internals::feed::RejectReason;
use coltape::internals::feed::rest::{Advice, ElementFault, InexactText, RestClient, RestError, TradePage, UnusableElement};
use coltape::internals::feed::tls::TlsRoots;
use coltape::internals::product::ProductId;
use coltape::internals::record::{Implausible, Means, OrderId, Side};
use coltape::internals::time::UnixNanos;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

const NOW: UnixNanos = UnixNanos(1_786_309_548_629_000_000);

/// Answers one request with the given bytes and gives the request's first line.
fn serve_once(answer: impl Into<Vec<u8>>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = answer.into();
    let server = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            tcp.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        tcp.write_all(&answer).unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, server)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len())
}

fn client(url: &str) -> RestClient {
    RestClient::new(url, &TlsRoots::default(), Duration::from_secs(30)).unwrap()
}

pub(super) fn page_of(body: &str) -> Result<TradePage, RestError> {
    let (url, server) = serve_once(answer("200 OK", "", body));
    let page = client(&url).trades_page(&ProductId::new("BTC-USD").unwrap(), Some(103), 1000, NOW);
    server.join().unwrap();
    page
}

fn trade(id: u64, side: &str) -> String {
    format!(r#"{{"time":"2026-08-09T21:05:42.5Z","trade_id":{id},"price":"65083.67","size":"0.002186","side":"{side}"}}"#)
}

#[test]
fn a_page_has_rising_ids_the_takers_side_and_no_order_ids() {
    let body = format!("[{},{}]", trade(102, "sell"), trade(100, "buy"));
    let (url, server) = serve_once(answer("200 OK", "CB-AFTER: 100\r\n", &body));
    let page = client(&format!("{url}/")).trades_page(&ProductId::new("BTC-USD").unwrap(), Some(103), 5000, NOW).unwrap();
    let request = server.join().unwrap();
    assert!(request.starts_with("GET /products/BTC-USD/trades?limit=1000&after=103 HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("user-agent: coltape/"), "{request}");
    let [first, second] = page.trades.as_slice() else { panic!("{page:?}") };
    assert_eq!((first.trade_id, first.side, second.trade_id, second.side), (100, Side::Sell, 102, Side::Buy));
    assert_eq!((first.maker_order_id, first.taker_order_id, first.recv), (OrderId::NIL, OrderId::NIL, UnixNanos(0)));
    assert_eq!(first.origin.means(), Some(Means::Rest));
    assert_eq!(first.time.to_string(), "2026-08-09T21:05:42.500000000Z");
    assert!(page.inexact.is_empty());
}

#[test]
fn texts_that_do_not_print_back_come_with_the_page() {
    let body = trade(100, "buy").replace("0.002186", "1234567890.12345678");
    let page = page_of(&format!("[{body}]")).unwrap();
    let text = "1234567890.12345678".to_owned();
    assert_eq!(page.inexact, [InexactText { trade_id: 100, column: "trade_size_f64", text }]);
}

#[test]
fn an_empty_page_is_a_page() {
    assert_eq!(page_of("[]").unwrap().trades, []);
}

#[test]
fn an_element_with_a_fault_costs_itself_alone() {
    let good = trade(100, "buy");
    let faulty = [
        (trade(103, "buy"), Some(103), ElementFault::NotAsked),
        (trade(0, "buy"), Some(0), ElementFault::Rejected(RejectReason::Implausible(Implausible::Id))),
        (trade(99, "maker"), Some(99), ElementFault::Rejected(RejectReason::Side)),
        (trade(99, "buy").replace("65083.67", "x"), Some(99), ElementFault::Rejected(RejectReason::Price)),
        (trade(99, "buy").replace('{', r#"{"product_id":"ETH-USD","#), Some(99), ElementFault::OtherProduct),
        ("null".to_owned(), None, ElementFault::Rejected(RejectReason::Shape)),
    ];
    for (element, trade_id, fault) in faulty {
        for body in [format!("[{good},{element}]"), format!("[{element}, {good}]")] {
            let page = page_of(&body).unwrap();
            assert_eq!(page.trades.iter().map(|trade| trade.trade_id).collect::<Vec<_>>(), [100], "{body}");
            assert_eq!(page.unusable, [UnusableElement { trade_id, fault, raw: element.clone() }], "{body}");
        }
    }
    let page = page_of(&format!("[{good},{},{good}]", good.replace("65083.67", "65083.68"))).unwrap();
    assert!(page.trades.is_empty() && page.unusable.len() == 3, "which of them is right cannot be told: {page:?}");
    assert_eq!(page_of(&format!("[{good},{good}]")).unwrap().trades.len(), 1);
}

#[test]
fn an_answer_without_a_usable_trade_is_no_page() {
    for body in [r#"{"message":"NotFound"}"#.to_owned(), "<html>".to_owned(), String::new()] {
        let error = page_of(&body).unwrap_err();
        assert!(matches!(error, RestError::Bad { .. }), "{body}: {error}");
        assert_eq!(error.advice(), Advice::Retry);
    }
}

#[test]
fn each_error_says_what_to_do() {
    let advice = |bytes: String| {
        let (url, server) = serve_once(bytes);
        let error = client(&url).trades_page(&ProductId::new("BTC-USD").unwrap(), None, 1, NOW).unwrap_err();
        server.join().unwrap();
        error.advice()
    };
    let after = |seconds| Advice::RetryAfter(Duration::from_secs(seconds));
    assert_eq!(advice(answer("429 Too Many Requests", "Retry-After: 7\r\n", "")), after(7));
    assert_eq!(advice(answer("429 Too Many Requests", "Retry-After: soon\r\n", "")), after(1));
    assert_eq!(advice(answer("429 Too Many Requests", "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", "")), after(300));
    assert_eq!(advice(answer("429 Too Many Requests", "Retry-After: Sun, 09 Aug 2026 21:05:57 GMT\r\n", "")), after(9));
    let clock = "Date: Sun, 09 Aug 2026 23:05:00 GMT\r\n";
    assert_eq!(advice(answer("503 Wait", &format!("{clock}Retry-After: Sunday, 09-Aug-26 23:05:42 GMT\r\n"), "")), after(42));
    assert_eq!(advice(answer("403 Forbidden", "Retry-After: Sun Aug  9 21:05:49 2026\r\n", "<html>")), after(1));
    assert_eq!(advice(answer("403 Forbidden", "", "<html>")), Advice::Retry);
    let dates = "Date: Wed, 21 Oct 2026 07:27:40 GMT\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n";
    assert_eq!(advice(answer("429 Too Many Requests", dates, "")), after(20));
    assert_eq!(advice(answer("429 Too Many Requests", "Retry-After: 999999999\r\n", "")), after(300));
    assert_eq!(advice(answer("503 Service Unavailable", "", "")), Advice::Retry);
    assert_eq!(advice(answer("404 Not Found", "", "{}")), Advice::Skip);
    assert_eq!(advice("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[".to_owned()), Advice::Retry, "a body cut short");
    assert_eq!(advice(String::new()), Advice::Retry, "no answer at all");
}

#[test]
fn a_server_that_does_not_answer_is_given_up_after_the_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut client = RestClient::new(&url, &TlsRoots::default(), Duration::from_millis(100)).unwrap();
    assert_eq!(client.products().unwrap_err().advice(), Advice::Retry);
}

#[test]
fn an_address_that_is_no_endpoint_stops() {
    for url in ["", "ws://x", "https://", "api.exchange.coinbase.com", "http://x/?a=b"] {
        let error = RestClient::new(url, &TlsRoots::default(), Duration::from_secs(1)).err().unwrap();
        assert_eq!(error.advice(), Advice::Stop, "{url}");
    }
    let roots = TlsRoots { ca_file: Some("/nonexistent".into()) };
    assert_eq!(RestClient::new("https://x", &roots, Duration::from_secs(1)).err().unwrap().advice(), Advice::Stop);
}

#[test]
fn products_are_listed_with_their_properties() {
    let body = r#"[{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01","base_increment":"0.00000001",
        "display_name":"BTC/USD","min_market_funds":"1","margin_enabled":false,"status":"online","trading_disabled":false},
        {"id":"../x","status":"online"},{"id":"OLD-USD","status":"delisted"},{"id":"HALT-USD","status":"online","trading_disabled":true}]"#;
    let (url, server) = serve_once(answer("200 OK", "", body));
    let products = client(&url).products().unwrap();
    assert!(server.join().unwrap().starts_with("GET /products HTTP/1.1"));
    let online: Vec<_> = products.iter().map(|product| (product.id.as_str(), product.is_online())).collect();
    assert_eq!(online, [("BTC-USD", true), ("OLD-USD", false), ("HALT-USD", false)]);
    let btc = &products[0];
    assert_eq!((btc.base_currency.as_str(), btc.quote_currency.as_str()), ("BTC", "USD"));
    assert_eq!((btc.base_increment.as_str(), btc.quote_increment.as_str(), btc.min_market_funds.as_str()), ("0.00000001", "0.01", "1"));
    assert_eq!((btc.status.as_str(), btc.alias.as_str()), ("online", ""));
}
