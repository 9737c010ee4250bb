//! Clients that mean harm: nothing panics, nothing grows, health is answered throughout, and honest clients are not disturbed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::client::{Answer, connect, exchange, raw};
use crate::programs::await_that;
use crate::served::Served;

/// Longest time that an honest client may wait while others mean harm. It is no measure of speed: a client that waits for one of them waits longer.
const HONEST: Duration = Duration::from_secs(5);

/// Asks as an honest client does, and asserts that it is answered in time.
fn assert_honest_clients_are_answered(served: &Served) {
    for target in ["/healthz", "/readyz"] {
        let since = Instant::now();
        assert_eq!(served.get(target).status, 200);
        assert!(since.elapsed() < HONEST, "{target}: {:?}", since.elapsed());
    }
}

/// Asserts that the server is as it was: no panic, no client, few descriptors, and that it ends well.
fn assert_unharmed(served: Served, descriptors: usize) {
    assert_honest_clients_are_answered(&served);
    assert_eq!(served.metric("panics_total"), 0.0);
    await_that("all connections are gone", || served.metric("connections") == 1.0);
    await_that("all descriptors are closed", || served.descriptors() <= descriptors);
    assert_eq!(served.stop(Signal::TERM).0, Some(0));
}

fn request(served: &Served, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", served.address)
}

#[test]
fn malformed_requests_get_their_status_and_the_connection_is_closed() {
    let (_folder, served) = Served::sample(&[]);
    let descriptors = served.descriptors();
    let table: Vec<(u16, Vec<u8>)> = vec![
        (400, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        (400, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n".to_vec()),
        (400, b"GET / HTTP/1.1\nHost: localhost\n\n".to_vec()),
        (400, b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()),
        (400, b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n".to_vec()),
        (400, b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n".to_vec()),
        (400, b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello".to_vec()),
        (400, b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n".to_vec()),
        (400, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n".to_vec()),
        (400, b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        (400, b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        (417, b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n".to_vec()),
        (405, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello".to_vec()),
        (405, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        (421, b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_vec()),
        (431, format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(64 << 10)).into_bytes()),
        (431, format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(64 << 10)).into_bytes()),
        (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ];
    for (status, bytes) in table {
        // `exchange` ends when the server closes: a body is never taken for the next request.
        let answer = exchange(served.address, &bytes);
        let (parsed, rest) = Answer::parse(&answer, false).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&bytes)));
        parsed.assert_error(status);
        assert!(rest.is_empty(), "a second answer to {:?}", String::from_utf8_lossy(&bytes));
    }
    assert_unharmed(served, descriptors);
}

#[test]
fn a_path_never_becomes_a_file() {
    let (_folder, served) = Served::sample(&[]);
    let tricks = [
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/assets/../../../etc/passwd",
        "/assets/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/assets//etc/passwd",
        "//etc/passwd",
        "/BTC-USD/TRADES",
        "/_coltape/status.json",
        "/v1/../_coltape/journal.jsonl",
        "/.%5c..%5cetc%5cpasswd",
        "/products/..%2f..%2fetc",
        "/products/%2e%2e/trades",
        "/products/BTC-USD%2f..%2f_coltape/trades",
        "/v1/trades?product=../../etc",
        "/v1/trades?product=..%2f_coltape",
        "/v1/trades?product=BTC-USD/../BTC-USD",
        "/v1/live?product=_coltape",
    ];
    for trick in tricks {
        let answer = served.get(trick);
        assert!(matches!(answer.status, 400 | 404), "{trick}: {answer:?}");
        let text = answer.text();
        assert!(!text.contains("root:"), "{trick}: {text}");
    }
}

#[test]
fn slow_heads_disturb_nobody() {
    let (_folder, served) = Served::sample(&["--max-clients", "4"]);
    let descriptors = served.descriptors();
    let mut slow: Vec<TcpStream> = (0..300).map(|_| connect(served.address)).collect();
    for round in 0..5 {
        for stream in &mut slow {
            let _ = stream.write_all(request(&served, "/healthz").as_bytes().get(round..=round).unwrap());
        }
        assert_honest_clients_are_answered(&served);
    }
    drop(slow);
    assert_unharmed(served, descriptors);
}

#[test]
fn more_connections_than_can_wait_disturb_nobody() {
    // The other tests of this process need some, too.
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let (_folder, served) = Served::sample(&[]);
    let descriptors = served.descriptors();
    let silent: Vec<TcpStream> = (0..1500).map_while(|_| TcpStream::connect(served.address).ok()).collect();
    assert!(silent.len() > 900, "this test needs descriptors: {}", silent.len());
    for _ in 0..5 {
        assert_honest_clients_are_answered(&served);
    }
    assert!(served.metric("connections") <= 1300.0);
    drop(silent);
    assert_unharmed(served, descriptors);
}

#[test]
fn a_client_that_asks_and_never_reads_is_cut_off_and_counted() {
    let (_folder, served) = Served::sample(&["--send-timeout", "500ms", "--max-clients", "8"]);
    let descriptors = served.descriptors();
    // More answers than all buffers on the way hold, asked for on one connection, and none read.
    let block = request(&served, "/metrics").repeat(200);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (mut stream, block) = (connect(served.address), block.clone());
            std::thread::spawn(move || while stream.write_all(block.as_bytes()).is_ok() {})
        })
        .collect();
    await_that("each is cut off", || {
        assert_eq!(served.get("/healthz").status, 200);
        served.metric("cut_off_total{reason=\"stalled\"}") + served.metric("cut_off_total{reason=\"trickling\"}") == 4.0
    });
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_unharmed(served, descriptors);
}

/// How many connections come in turn; COLTAPE_SERVE_CONNECTIONS sets it, as `scripts/serve_long.sh` does.
fn connections_in_turn() -> usize {
    std::env::var("COLTAPE_SERVE_CONNECTIONS").map_or(2_000, |text| text.parse().unwrap())
}

#[test]
fn thousands_of_connections_in_turn_leave_nothing_behind() {
    let count = connections_in_turn();
    let (_folder, served) = Served::sample(&[]);
    let descriptors = served.descriptors();
    let bytes = request(&served, "/readyz").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let round = |count: usize| {
        for at in 0..count {
            match at % 4 {
                0 => drop(connect(served.address)),
                1 => drop(connect(served.address).write_all(b"GET /hea")),
                2 => drop(connect(served.address).write_all(bytes.as_bytes())),
                _ => assert_eq!(raw(served.address, bytes.as_bytes()).status, 200),
            }
        }
    };
    // As much as grows once has grown then.
    round(1_000);
    let before = served.proc_figure("RssAnon");
    round(count);
    await_that("all threads have ended", || served.proc_figure("Threads") <= 4);
    let after = served.proc_figure("RssAnon");
    assert!(after < before + 4096, "from {before} to {after} KiB");
    assert_unharmed(served, descriptors);
}

#[test]
fn five_hundred_at_once_are_answered_or_told_that_there_are_too_many() {
    let (_folder, served) = Served::sample(&["--max-clients", "8"]);
    let descriptors = served.descriptors();
    let mut clients: Vec<TcpStream> = (0..500).map(|_| connect(served.address)).collect();
    let bytes = request(&served, "/nothing").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    for client in &mut clients {
        client.write_all(bytes.as_bytes()).unwrap();
    }
    assert_honest_clients_are_answered(&served);
    let mut answered = 0;
    for mut client in clients {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        let (answer, _) = Answer::parse(&answer, false).unwrap();
        assert!(matches!(answer.status, 404 | 429) && answer.is_whole, "{answer:?}");
        answered += usize::from(answer.status == 404);
    }
    assert!(answered >= 8, "{answered}");
    assert_unharmed(served, descriptors);
}

#[test]
fn garbage_is_refused_and_forgotten() {
    let (_folder, served) = Served::sample(&[]);
    let descriptors = served.descriptors();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let words: Vec<Vec<u8>> = [
        "GET ",
        "/",
        "HTTP/1.1",
        "\r\n",
        "\r\n\r\n",
        "Host: localhost",
        "Content-Length: 7",
        ": ",
        "\n",
        "%00",
        "?a=b&",
        "Range: bytes=",
        "Upgrade: websocket\r\n",
    ]
    .iter()
    .map(|word| word.as_bytes().to_vec())
    .collect();
    for _ in 0..400 {
        let mut bytes = Vec::new();
        for _ in 0..random.usize(0..30) {
            if random.bool() {
                bytes.extend_from_slice(&words[random.usize(0..words.len())]);
            } else {
                bytes.extend((0..random.usize(0..40)).map(|_| random.u8(..)));
            }
        }
        let mut stream = connect(served.address);
        let _ = stream.write_all(&bytes);
        if random.bool() {
            // It may be the beginning of a head: an end shows that nothing more comes.
            let _ = stream.shutdown(Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert!(
                answer.is_empty() || Answer::parse(&answer, false).is_some_and(|(answer, _)| answer.status != 500),
                "seed {seed}: {bytes:?}"
            );
        }
    }
    assert_unharmed(served, descriptors);
}
