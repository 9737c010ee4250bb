//! Heads that are answered, heads that are refused with their exact status, and any bytes at all.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

fn addresses() -> (SocketAddr, SocketAddr) {
    (SocketAddr::from(([127, 0, 0, 1], 50_000)), SocketAddr::from(([127, 0, 0, 1], 8080)))
}

fn read_head(bytes: &[u8]) -> Head {
    let (peer, local) = addresses();
    parse(bytes, peer, local)
}

/// The status of a refusal; 200 for a head that is answered, 100 for one that is not whole.
fn status(bytes: &[u8]) -> u16 {
    match read_head(bytes) {
        Head::Partial => 100,
        Head::Whole(..) => 200,
        Head::Refused(response) => response.status(),
    }
}

fn whole(bytes: &[u8]) -> (Request, usize) {
    match read_head(bytes) {
        Head::Whole(request, length) => (*request, length),
        other => panic!("{}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn a_usual_head_is_read() {
    let bytes =
        b"GET /v1/trades?product=BTC-USD&limit=5 HTTP/1.1\r\nHost: localhost:8080\r\nAccept: text/csv , */*\r\nX-Empty:\r\n\r\nrest";
    let (request, length) = whole(bytes);
    assert_eq!(length, bytes.len() - 4);
    assert_eq!((request.path(), request.parameter("product"), request.parameter("limit")), ("/v1/trades", Some("BTC-USD"), Some("5")));
    assert_eq!(request.host(), Authority::parse("localhost:8080").as_ref());
    assert_eq!(request.header_list("accept").collect::<Vec<_>>(), ["text/csv", "*/*"]);
    assert_eq!((request.header("x-empty"), request.header("x-none"), request.is_head()), (Some(""), None, false));
    assert!(request.keep_alive && request.is_http_1_1);
    assert_eq!((request.peer(), request.local()), addresses());
}

#[test]
fn a_connection_is_kept_as_the_versions_have_it() {
    let keeps = |text: &str| whole(text.as_bytes()).0.keep_alive;
    assert!(keeps("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade , close\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
    assert!(keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"));
}

#[test]
fn the_host_of_an_absolute_target_counts() {
    let (request, _) = whole(b"GET http://LOCALHOST:9/a?b=c HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!((request.path(), request.host()), ("/a", Authority::parse("localhost:9").as_ref()));
    assert_eq!(whole(b"GET / HTTP/1.0\r\n\r\n").0.host(), None);
}

/// Asserts the exact status of each request: 200 where it is answered, 100 where more has to come.
fn assert_statuses(table: &[(u16, String)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(expected, text)| {
            let found = status(text.as_bytes());
            (found != *expected).then(|| format!("{found} instead of {expected}: {text:.200?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn with_fields(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

fn with_line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

#[test]
fn malformed_first_lines_are_refused_with_their_status() {
    let (get, line) = (with_fields, with_line);
    assert_statuses(&[
        (200, get("")),
        (200, format!("\r\n{}", get(""))),
        (400, format!("\r\n\r\n{}", get(""))),
        // The request line.
        (400, line("GET  / HTTP/1.1")),
        (400, line("GET /")),
        (400, line("GET / ")),
        (400, line(" GET / HTTP/1.1")),
        (400, line("GET\t/ HTTP/1.1")),
        (400, line("GET / HTTP/1.1 ")),
        (400, line("G@T / HTTP/1.1")),
        (400, line("/ HTTP/1.1")),
        (400, line("GET / http/1.1")),
        (400, line("GET / HTTP/1.1x")),
        (505, line("GET / HTTP/2.0")),
        (505, line("GET / HTTP/1.2")),
        (505, line("GET / HTTP/0.9")),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        // Methods.
        (405, line("POST / HTTP/1.1")),
        (405, line("get / HTTP/1.1")),
        (405, line("OPTIONS * HTTP/1.1")),
        (405, line("CONNECT a:443 HTTP/1.1")),
        (405, line("TRACE / HTTP/1.1")),
        (405, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n".to_owned()),
        (200, line("HEAD / HTTP/1.1")),
        // Targets.
        (400, line("GET * HTTP/1.1")),
        (400, line("GET a HTTP/1.1")),
        (400, line("GET https://a/ HTTP/1.1")),
        (400, line("GET http:///x HTTP/1.1")),
        (400, line("GET http://u:p@a/ HTTP/1.1")),
        (400, line("GET /# HTTP/1.1")),
        (400, line("GET /%zz HTTP/1.1")),
        (400, line("GET /%00 HTTP/1.1")),
        (400, line("GET /\u{e9} HTTP/1.1")),
        (200, line("GET /../../etc/passwd HTTP/1.1")),
        (200, line("GET http://a HTTP/1.1")),
    ]);
}

#[test]
fn malformed_hosts_and_bodies_are_refused_with_their_status() {
    let get = with_fields;
    assert_statuses(&[
        // Hosts.
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, get("Host: a\r\n")),
        (400, get("host: b\r\n")),
        (400, "GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".to_owned()),
        (400, "GET http://a/ HTTP/1.1\r\n\r\n".to_owned()),
        (200, "GET / HTTP/1.0\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n".to_owned()),
        // Bodies, and the shapes of smuggling.
        (200, get("Content-Length: 0\r\n")),
        (400, get("Content-Length: 5\r\n")),
        (400, get("Content-Length: 0\r\nContent-Length: 0\r\n")),
        (400, get("Content-Length: 0\r\nContent-Length: 5\r\n")),
        (400, get("Content-Length: 0, 0\r\n")),
        (400, get("Content-Length: +0\r\n")),
        (400, get("Content-Length: -0\r\n")),
        (400, get("Content-Length: 0x0\r\n")),
        (400, get("Content-Length:\r\n")),
        (400, get("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n")),
        (400, get("Transfer-Encoding: chunked\r\n")),
        (400, get("Transfer-Encoding: xchunked\r\n")),
        (400, get("Transfer-Encoding: identity\r\n")),
        (400, get("Transfer-Encoding:\r\n")),
        (400, get("Transfer-Encoding : chunked\r\n")),
        (400, get("Content-Length : 5\r\n")),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()),
        (417, get("Expect: 100-continue\r\n")),
        (417, get("Expect: something\r\n")),
    ]);
}

#[test]
fn malformed_lines_and_sizes_are_refused_with_their_status() {
    let (get, line) = (with_fields, with_line);
    let long = |bytes: usize| "a".repeat(bytes);
    let fields = |count: usize| (0..count).map(|at| format!("X-{at}: 1\r\n")).collect::<String>();
    assert_statuses(&[
        // Lines.
        (400, get("").replace("\r\n", "\n")),
        (400, "GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a\r\n\n".to_owned()),
        (400, get("X: a\rb\r\n")),
        (400, get("X: a\r\r\n")),
        (400, get("X: a\r\n b\r\n")),
        (400, get("X: a\r\n\tb\r\n")),
        (400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_owned()),
        (400, get("X: a\0b\r\n")),
        (400, get("X\0: a\r\n")),
        (400, get("X: a\u{1}b\r\n")),
        (400, get("X: a\u{7f}b\r\n")),
        (400, get("X a\r\n")),
        (400, get(": a\r\n")),
        (400, get("X Y: a\r\n")),
        (400, get("X\u{e9}: a\r\n")),
        (200, get("X: \u{e9}\ta\r\n")),
        (400, "\0".to_owned()),
        (400, "\u{16}\u{3}\u{1}\u{2}".to_owned()),
        // Sizes.
        (200, get(&fields(99))),
        (431, get(&fields(100))),
        (200, get(&format!("X: {}\r\n", long(16 * 1024 - get("X: \r\n").len())))),
        (431, get(&format!("X: {}\r\n", long(16 * 1024 + 1 - get("X: \r\n").len())))),
        (431, get(&format!("X: {}\r\n", long(64 * 1024)))),
        (431, line(&format!("GET /{} HTTP/1.1", long(64 * 1024)))),
        (431, format!("GET /{}", long(16 * 1024))),
        (100, format!("GET /{}", long(16 * 1024 - 6))),
        (431, format!("\r\nGET /{}", long(16 * 1024 - 7))),
        (431, format!("\r\nGET /{}", long(16 * 1024))),
        (400, "\r\n\r\n\r\n\r\n".to_owned()),
        // Beginnings.
        (100, String::new()),
        (100, "\r".to_owned()),
        (100, "\r\n".to_owned()),
        (100, "GET / HTTP/1.1\r\nHost: a\r".to_owned()),
        (100, "GET / HTTP/1.1\r\nHost: a\r\n\r".to_owned()),
    ]);
}

#[test]
fn a_refused_method_names_those_that_are_allowed() {
    let Head::Refused(response) = read_head(b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n") else { panic!("refused") };
    assert_eq!(response.header("allow"), Some("GET, HEAD"));
}

/// A head of lines that are right more often than not, each with an end that is right more often than not.
fn almost_a_head() -> impl Strategy<Value = Vec<u8>> {
    let first = prop::sample::select(vec![
        "GET / HTTP/1.1",
        "GET /v1?a=b%20c HTTP/1.1",
        "HEAD / HTTP/1.0",
        "GET http://a/ HTTP/1.1",
        "POST / HTTP/1.1",
        "GET /%0d HTTP/1.1",
        "GET  / HTTP/1.1",
        "",
    ]);
    let field = prop::sample::select(vec![
        "Host: a",
        "host:b",
        "X: y",
        "X: \u{e9}\t z",
        "X : y",
        " folded",
        "X: a\0b",
        "Content-Length: 0",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Connection: close",
    ]);
    let end = || prop_oneof![20 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\r\n"), 1 => Just("")];
    let fields = prop::collection::vec((field, end()), 0..3);
    (first, end(), prop::bool::weighted(0.8), fields, end(), "[ -~]{0,4}").prop_map(|(first, first_end, has_host, fields, last, rest)| {
        let fields: String = fields.iter().map(|(field, end)| format!("{field}{end}")).collect();
        format!("{first}{first_end}{}{fields}{last}{rest}", if has_host { "Host: a\r\n" } else { "" }).into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever comes, nothing panics, and what is answered keeps the rules of the module.
    #[test]
    fn no_bytes_panic_and_an_answered_head_keeps_the_rules(bytes in prop_oneof![almost_a_head(), prop::collection::vec(any::<u8>(), 0..200)]) {
        if let Head::Whole(request, length) = read_head(&bytes) {
            prop_assert!(length <= bytes.len() && length <= MAX_HEAD_BYTES + 2 && !bytes.starts_with(b"\r\n\r\n"));
            let head = &bytes[..length];
            prop_assert!(head.ends_with(b"\r\n\r\n"));
            prop_assert_eq!(head.iter().filter(|byte| **byte == b'\n').count(), head.windows(2).filter(|pair| pair == b"\r\n").count());
            prop_assert!(!request.headers.iter().any(|(name, _)| matches!(name.as_str(), "transfer-encoding" | "expect")));
            prop_assert!(request.headers.iter().filter(|(name, _)| name == "host").count() == 1 || !request.is_http_1_1);
            prop_assert!(request.headers.iter().all(|(_, value)| !value.contains(['\r', '\n', '\0'])));
        }
    }

    /// A head that comes in pieces is read as the same head at once: no beginning is refused, or taken for a whole, that goes on to be answered.
    #[test]
    fn a_head_in_pieces_is_the_same_head(bytes in almost_a_head()) {
        if let Head::Whole(request, length) = read_head(&bytes) {
            for end in 0..length {
                prop_assert!(matches!(read_head(&bytes[..end]), Head::Partial), "{:?}", String::from_utf8_lossy(&bytes[..end]));
            }
            let (again, _) = whole(&[&bytes[..length], b"GET"].concat());
            prop_assert_eq!(again.path(), request.path());
        }
    }

    /// Names and values come back as they were sent.
    #[test]
    fn fields_come_back(fields in prop::collection::vec(("x-[a-z0-9]{1,10}", "[!-~]([ -~]{0,20}[!-~])?"), 0..50)) {
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value} \r\n")).collect();
        let (request, _) = whole(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes());
        prop_assert_eq!(&request.headers[1..], &fields[..]);
    }
}
