//! Answers over real sockets: framing, pipelining, ranges, failures, WebSockets.

use std::io::{BufRead, BufReader, Read, Write};

use super::fixture::{Running, body, get, status, unchunked};

#[test]
fn bodies_are_framed_as_the_versions_have_it() {
    let server = Running::start(8);
    let answer = server.get("/bytes");
    assert!(answer.contains("\r\nContent-Length: 10\r\n") && answer.contains("\r\nConnection: close\r\n") && answer.contains("\r\nDate: "));
    assert_eq!(body(&answer), "0123456789");
    let expected: String = "0123456789".repeat(3000) + &"x".repeat(100_000) + "end";
    let answer = server.get("/stream");
    assert!(answer.contains("\r\nTransfer-Encoding: chunked\r\n") && !answer.contains("Content-Length"));
    let (whole, is_whole) = unchunked(body(&answer).as_bytes());
    assert!(is_whole && whole == expected.as_bytes());
    let (answer, is_reset) = server.ask("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(!is_reset && !answer.contains("chunked") && answer.contains("Connection: close") && body(&answer) == expected);
    assert_eq!(body(&server.get("/nothing")), "0\r\n\r\n");
    assert_eq!(body(&server.get("/file")).len(), server_file_as_text().len());
    let answer = server.get("/empty");
    assert!(status(&answer) == 204 && !answer.contains("Content-Length") && body(&answer).is_empty());
    for path in ["/bytes", "/stream", "/file"] {
        let (answer, _) = server.ask(&get(path, "Connection: close\r\n").replace("GET", "HEAD"));
        assert!(status(&answer) == 200 && body(&answer).is_empty(), "{path}: {answer}");
    }
    assert!(server.ask("HEAD /file HTTP/1.0\r\n\r\n").0.contains("Content-Length: 200000"));
}

fn server_file_as_text() -> String {
    let bytes: Vec<u8> = (0..200_000u32).map(|at| (at % 89) as u8 + 32).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn requests_in_a_row_are_answered_in_order_on_one_connection() {
    let server = Running::start(8);
    // All at once: pipelined. A body of each kind, an error, and the end.
    let all = [
        get("/bytes", ""),
        get("/stream", ""),
        get("/x", ""),
        get("/empty", ""),
        get("/file", ""),
        get("/health", "Connection: close\r\n"),
    ];
    let (answer, _) = server.ask(&all.concat());
    let heads: Vec<u16> = answer.match_indices("HTTP/1.1 ").map(|(at, _)| status(&answer[at..])).collect();
    assert_eq!(heads, [200, 200, 404, 204, 200, 200]);
    assert!(answer.ends_with("ok"));
    assert_eq!(server.traffic.connections(), 1);
    // One after the other, the connection idle in between, each byte of a head alone.
    let mut stream = BufReader::new(server.connect());
    for _ in 0..3 {
        for byte in get("/bytes", "").bytes() {
            stream.get_mut().write_all(&[byte]).expect("sent");
        }
        let mut answer = vec![];
        while !answer.ends_with(b"0123456789") {
            assert!(stream.read_until(b'\n', &mut answer).expect("read") > 0 || answer.ends_with(b"0123456789"));
            if answer.ends_with(b"\r\n\r\n") {
                let mut body = [0; 10];
                stream.read_exact(&mut body).expect("read");
                answer.extend_from_slice(&body);
            }
        }
    }
    assert_eq!(server.traffic.connections(), 2);
}

#[test]
fn a_client_that_closes_its_side_after_the_request_is_answered() {
    let server = Running::start(8);
    let mut stream = server.send(&get("/bytes", ""));
    stream.shutdown(std::net::Shutdown::Write).expect("closed");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    assert_eq!(body(&answer), "0123456789");
}

#[test]
fn ranges_and_tags_are_answered() {
    let server = Running::start(8);
    let ask = |path: &str, fields: &str| server.ask(&get(path, &format!("{fields}Connection: close\r\n"))).0;
    let answer = ask("/bytes", "Range: bytes=2-4\r\n");
    assert!(status(&answer) == 206 && answer.contains("\r\nContent-Range: bytes 2-4/10\r\n") && body(&answer) == "234", "{answer}");
    assert_eq!(body(&ask("/bytes", "Range: bytes=-65536\r\n")), "0123456789");
    assert_eq!(
        body(&ask("/file", "Range: bytes=-10\r\n")).as_bytes(),
        &(199_990..200_000u32).map(|at| (at % 89) as u8 + 32).collect::<Vec<u8>>()[..]
    );
    let answer = ask("/bytes", "Range: bytes=10-\r\n");
    assert!(status(&answer) == 416 && answer.contains("\r\nContent-Range: bytes */10\r\n") && body(&answer).starts_with("{\"error\":"));
    assert_eq!(status(&ask("/bytes", "Range: bytes=0-1,4-5\r\n")), 200);
    assert_eq!(status(&ask("/stream", "Range: bytes=0-1\r\n")), 200);
    assert_eq!(status(&ask("/bytes", "Range: bytes=0-1\r\nIf-Range: \"tag\"\r\n")), 206);
    assert_eq!(status(&ask("/bytes", "Range: bytes=0-1\r\nIf-Range: \"other\"\r\n")), 200);
    assert_eq!(status(&ask("/bytes", "Range: bytes=0-1\r\nIf-Range: W/\"tag\"\r\n")), 200);
    let answer = ask("/bytes", "If-None-Match: \"a\", W/\"tag\"\r\n");
    assert!(status(&answer) == 304 && body(&answer).is_empty() && answer.contains("\r\nETag: \"tag\"\r\n"), "{answer}");
    assert_eq!(status(&ask("/bytes", "If-None-Match: *\r\n")), 304);
    assert_eq!(status(&ask("/bytes", "If-None-Match: \"other\"\r\n")), 200);
    assert_eq!(status(&ask("/file", "If-None-Match: \"tag\"\r\n")), 200);
}

#[test]
fn an_answer_that_fails_never_looks_whole() {
    let server = Running::start(8);
    for path in ["/fails-at-once", "/panics", "/panics-in-stream"] {
        let answer = server.get(path);
        assert!(status(&answer) == 500 && body(&answer).starts_with("{\"error\":"), "{path}: {answer}");
    }
    for path in ["/fails-later", "/panics-later"] {
        let (whole, is_whole) = unchunked(body(&server.get(path)).as_bytes());
        assert!(!is_whole && whole.ends_with(b"begun"), "{path}");
        let (_, is_reset) = server.ask(&format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert!(is_reset, "{path}: HTTP/1.0 has no other sign");
    }
    // One byte less than was promised.
    let (answer, _) = server.ask(&get("/short-file", ""));
    assert!(answer.contains("Content-Length: 200001") && body(&answer).len() == server_file_as_text().len());
    assert_eq!((server.traffic.panics(), server.traffic.broken_off()), (4, 4));
    assert_eq!(status(&server.get("/health")), 200);
}

#[test]
fn a_refused_request_gets_its_answer_although_more_was_sent() {
    let server = Running::start(8);
    let mut stream = server.connect();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").expect("sent");
    // The refusal may come, and the connection be closed, while this is sent.
    let _ = stream.write_all(&vec![b'x'; 1_000_000]);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert_eq!(status(&answer), 405);
}

#[test]
fn a_websocket_gets_the_connection_and_anything_else_is_told_how() {
    let server = Running::start(8);
    let fields = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    // What is sent behind the request at once is not lost.
    let mut stream = BufReader::new(server.send(&(get("/socket", fields) + "first")));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).expect("a line") > 0, "{head}");
    }
    // The sample of RFC 6455.
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    let mut back = [0; 5];
    stream.read_exact(&mut back).expect("read");
    assert_eq!(&back, b"first");
    stream.get_mut().write_all(b"later").expect("sent");
    stream.read_exact(&mut back).expect("read");
    assert_eq!(&back, b"later");
    let without =
        |part: &str, other: &str| status(&server.ask(&get("/socket", &(fields.replace(part, other) + "Connection: close\r\n"))).0);
    for (part, other) in [
        ("Upgrade: websocket\r\n", ""),
        ("keep-alive, Upgrade", "keep-alive"),
        ("Version: 13", "Version: 12"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short=="),
        ("Upgrade: websocket", "Upgrade: h2c"),
    ] {
        assert_eq!(without(part, other), 426, "{part}");
    }
}
