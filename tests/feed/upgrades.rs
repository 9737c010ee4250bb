//! The answer to a WebSocket handshake in every spelling that HTTP allows, cut into any packets; redirects; and what is refused.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coltape::internals::feed::endpoint::Endpoint;
use coltape::internals::feed::socket::{Received, Socket};
use coltape::internals::feed::socket_error::SocketError;
use coltape::internals::feed::timeouts::Timeouts;
use coltape::internals::feed::tls::TlsRoots;
use proptest::prelude::*;
use tungstenite::handshake::derive_accept_key;

use crate::peers::{Server, header, read_request};

const DEADLINE: Duration = Duration::from_secs(60);

fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    (timeouts.connect, timeouts.tick) = (Duration::from_secs(60), Duration::from_millis(20));
    timeouts
}

fn connect(server: &Server) -> Result<Socket, SocketError> {
    let endpoint = Endpoint::parse(&format!("ws://{}/feed?x=1", server.address)).unwrap();
    Socket::connect(&endpoint, &TlsRoots::default(), &timeouts())
}

/// A server that answers each request with what `answer` makes of it, in pieces of so many bytes, and then sends a text.
fn answering(answer: impl Fn(&str) -> (Vec<u8>, usize) + Send + Sync + 'static) -> Server {
    Server::start(move |mut stream: TcpStream| {
        let request = read_request(&mut stream);
        if request.is_empty() {
            return;
        }
        let (mut bytes, piece) = answer(&request);
        if bytes.windows(12).any(|window| window == b"HTTP/1.1 101") {
            bytes.extend(b"\x81\x02hi");
        }
        for part in bytes.chunks(piece.max(1)) {
            if stream.write_all(part).is_err() {
                return;
            }
            std::thread::yield_now();
        }
        // Until the client goes away.
        let _ = read_request(&mut stream);
    })
}

fn first_text(socket: &mut Socket) -> Vec<u8> {
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        match socket.read().unwrap() {
            Received::Text(text) => return text.to_vec(),
            Received::Idle => {}
            closed => panic!("{closed:?}"),
        }
    }
    panic!("nothing came")
}

/// One spelling of a 101. `{accept}` stands for the proof.
#[derive(Debug, Clone)]
struct Spelling {
    interim: Vec<String>,
    status: String,
    headers: Vec<String>,
    line_end: &'static str,
    piece: usize,
}

impl Spelling {
    fn text(&self, request: &str) -> Vec<u8> {
        let accept = derive_accept_key(header(request, "sec-websocket-key").unwrap().as_bytes());
        let mut lines: Vec<String> = self.interim.clone();
        lines.push(self.status.clone());
        lines.extend(self.headers.iter().map(|header| header.replace("{accept}", &accept)));
        lines.extend([String::new(), String::new()]);
        lines.join("\u{0}").replace('\u{0}', self.line_end).into_bytes()
    }
}

/// A name in any case.
fn cased(name: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(any::<bool>(), name.len()).prop_map(move |upper| {
        name.chars().zip(upper).map(|(c, upper)| if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect()
    })
}

/// A list header in one of its forms: other elements around the wanted one, on one line, on several, folded.
fn list(name: &'static str, wanted: &'static str, other: &'static str) -> impl Strategy<Value = Vec<String>> {
    let space = prop::sample::select(vec!["", " ", "\t", "   "]);
    (cased(name), cased(wanted), cased(name), 0..6u8, space).prop_map(move |(name, wanted, name_again, form, space)| match form {
        0 => vec![format!("{name}:{space}{wanted}{space}")],
        1 => vec![format!("{name}: {other},{space}{wanted}")],
        2 => vec![format!("{name}: {wanted}{space},{other}")],
        3 => vec![format!("{name}: {other}"), format!("{name_again}:{space}{wanted}")],
        4 => vec![format!("{name}: ,{other},,{space}{wanted},")],
        _ => vec![format!("{name}: {other},"), format!(" {space}{wanted}")],
    })
}

fn interim() -> impl Strategy<Value = Vec<String>> {
    let one = prop::sample::select(vec![
        vec!["HTTP/1.1 103 Early Hints".to_owned(), "Link: </x>; rel=preload".to_owned(), String::new()],
        vec!["HTTP/1.1 100 Continue".to_owned(), String::new()],
        vec!["HTTP/1.1 102".to_owned(), String::new()],
    ]);
    prop::collection::vec(one, 0..4).prop_map(|all| all.concat())
}

fn spelling() -> impl Strategy<Value = Spelling> {
    let status = prop::sample::select(vec![
        "HTTP/1.1 101 Switching Protocols",
        "HTTP/1.1 101",
        "HTTP/1.1 101 ",
        "HTTP/1.1 101 Web Socket Protocol Handshake",
    ]);
    let others = prop::sample::subsequence(
        vec![
            "Server: cloudflare",
            "Date: Sun, 06 Nov 1994 08:49:37 GMT",
            "X-Empty:",
            "Set-Cookie: a=b; Path=/",
            "X-Utf8: Montr\u{e9}al",
            "CF-RAY: 1",
        ],
        0..6,
    );
    let accept = (cased("Sec-WebSocket-Accept"), prop::sample::select(vec!["", " ", "  "]))
        .prop_map(|(name, space)| format!("{name}:{space}{{accept}}{space}"));
    (
        interim(),
        status,
        list("Upgrade", "websocket", "h2c"),
        list("Connection", "upgrade", "keep-alive"),
        accept,
        others,
        any::<bool>(),
        prop::sample::select(vec!["\r\n", "\n"]),
        prop::sample::select(vec![1, 2, 7, 64, 100_000]),
    )
        .prop_map(|(interim, status, upgrade, connection, accept, others, is_reversed, line_end, piece)| {
            let mut groups = [upgrade, connection, vec![accept], others.into_iter().map(str::to_owned).collect()];
            if is_reversed {
                groups.reverse();
            }
            Spelling { interim, status: status.to_owned(), headers: groups.concat(), line_end, piece }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_spelling_of_an_upgrade_is_accepted_and_loses_no_frame(spelling in spelling()) {
        let shown = format!("{spelling:?}");
        let server = answering(move |request| (spelling.text(request), spelling.piece));
        match connect(&server) {
            Ok(mut socket) => prop_assert_eq!(first_text(&mut socket), b"hi".to_vec()),
            Err(error) => prop_assert!(false, "{}: {}", error, shown),
        }
    }
}

/// A head that trickles in more packets than any count of packets allows.
#[test]
fn an_upgrade_that_comes_byte_by_byte_is_accepted() {
    let server = answering(|request| {
        let accept = derive_accept_key(header(request, "sec-websocket-key").unwrap().as_bytes());
        let long = "x".repeat(3000);
        let text = format!(
            "HTTP/1.1 101 Switching Protocols\r\nX-Long: {long}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        (text.into_bytes(), 1)
    });
    assert_eq!(first_text(&mut connect(&server).unwrap()), b"hi");
}

#[test]
fn an_answer_that_is_no_upgrade_is_refused_and_says_why() {
    let good = "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n";
    for (text, says) in [
        (good.replace("Upgrade: websocket\r\n", ""), "Upgrade: websocket"),
        (good.replace("websocket", "h2c"), "Upgrade: websocket"),
        (good.replace("Connection: Upgrade", "Connection: close"), "Connection: Upgrade"),
        (good.replace("{accept}", "AAAA"), "Sec-WebSocket-Accept is wrong"),
        (good.replace("Sec-WebSocket-Accept: {accept}\r\n", ""), "Sec-WebSocket-Accept"),
        (good.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"), "permessage-deflate"),
        (good.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: graphql\r\n\r\n"), "graphql"),
        (good.replace("HTTP/1.1", "HTTP/9.9"), "no HTTP"),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned(), "SSH-2.0"),
        ("\u{15}\u{3}\u{3}\0\u{2}\u{2}F\r\n\r\n".to_owned(), "speaks TLS"),
        ("HTTP/1.1 103 Hints\r\n\r\n".repeat(100), "interim"),
        (format!("HTTP/1.1 101 S\r\nX: {}\r\n\r\n", "x".repeat(100_000)), "bytes"),
    ] {
        let shown = text.chars().take(100).collect::<String>();
        let server = answering(move |request| {
            let accept = derive_accept_key(header(request, "sec-websocket-key").unwrap().as_bytes());
            (text.replace("{accept}", &accept).into_bytes(), 100_000)
        });
        let error = connect(&server).err().unwrap();
        let said = error.to_string();
        assert!(said.contains(says) && said.contains(&format!("{}/feed", server.address)), "{said}: {shown}");
        assert!(error.is_retryable() && !said.contains('\u{15}'), "{said}");
    }
}

#[test]
fn every_status_but_101_is_named_with_its_wait() {
    for status in (200..=599).step_by(7).chain([403, 404, 429, 503]).filter(|status| ![301, 302, 303, 307, 308].contains(status)) {
        let server =
            answering(move |_| (format!("HTTP/1.1 {status} X\r\nRetry-After: 77\r\nContent-Length: 0\r\n\r\n").into_bytes(), 100_000));
        let error = connect(&server).err().unwrap();
        match &error {
            SocketError::Refused { status: said, retry_after, .. } => assert_eq!((*said, retry_after.as_deref()), (status, Some("77"))),
            other => panic!("{status}: {other}"),
        }
        assert!(error.is_retryable() && error.to_string().contains(&status.to_string()));
    }
}

/// Serves `/feed?x=1` with a redirect to `location`, and every other path with an upgrade. Remembers the paths.
fn redirecting(status: u16, location: Option<String>) -> (Server, Arc<Mutex<Vec<String>>>) {
    let paths = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&paths);
    let server = answering(move |request| {
        let path = request.split(' ').nth(1).unwrap().to_owned();
        seen.lock().unwrap().push(path.clone());
        let host = header(request, "host").unwrap();
        let answer = if path == "/feed?x=1" || path.starts_with("/loop") {
            let location = location.as_deref().map(|to| format!("Location: {}\r\n", to.replace("{host}", host)));
            format!("HTTP/1.1 {status} Moved\r\n{}Content-Length: 0\r\n\r\n", location.unwrap_or_default())
        } else {
            let accept = derive_accept_key(header(request, "sec-websocket-key").unwrap().as_bytes());
            format!("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
        };
        (answer.into_bytes(), 100_000)
    });
    (server, paths)
}

#[test]
fn a_redirect_on_the_same_server_is_followed_and_no_other_is() {
    for status in [301, 302, 303, 307, 308] {
        for location in ["/other", "other", "http://{host}/other", "ws://{host}/other", "//{host}/other"] {
            let (server, paths) = redirecting(status, Some(location.to_owned()));
            assert_eq!(first_text(&mut connect(&server).unwrap()), b"hi", "{status} {location}");
            assert_eq!(*paths.lock().unwrap(), ["/feed?x=1", "/other"]);
        }
        let elsewhere = Server::start(|_| panic!("a redirect to another server was followed"));
        for (location, why) in [
            (Some(format!("http://{}/other", elsewhere.address)), "another port"),
            (Some(format!("http://localhost:{}/other", elsewhere.address.port())), "another host"),
            (Some("wss://{host}/other".to_owned()), "another scheme"),
            (Some("https://{host}/other".to_owned()), "another scheme"),
            (Some("/loop".to_owned()), "too many redirects"),
            (Some("http://".to_owned()), "no URL"),
            (None, "no location"),
        ] {
            let (server, paths) = redirecting(status, location.clone());
            let error = connect(&server).err().unwrap();
            let said = error.to_string();
            assert!(matches!(error, SocketError::Redirect(_)) && said.contains(why), "{status} {location:?}: {said}");
            assert!(said.contains(&server.address.to_string()) && said.contains(&status.to_string()), "{said}");
            assert!(paths.lock().unwrap().len() <= 6);
        }
        assert_eq!(elsewhere.accepted.load(Ordering::Relaxed), 0);
    }
}
