//! Many clients at once: how long each of them waits for a trade, and what that costs the capture beside them. It measures, so `scripts/serve_load.sh` runs it
//! alone, of a release build.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::captured::set_by;
use super::client::{Client, Serve};
use super::tapes::{assert_verified, records};
use crate::programs::{Capture, Ended, Simulator, await_that};

/// The most that one of a hundred trades may come later than its commit.
const P99: Duration = Duration::from_millis(20);
/// Bytes that a client reads at once.
const READ_BYTES: usize = 256 << 10;

/// How late bytes came, as late as the first trade among them, and how many they were.
type Reads = Vec<(Duration, usize)>;

/// Reads until it is told to end. No message is taken apart but the first of each read: the clients share the machine with what they measure.
fn read_all(client: Client, is_over: &AtomicBool) -> Reads {
    let mut stream = client.socket.get_ref().try_clone().unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (mut buffer, mut reads) = (vec![0; READ_BYTES], Reads::new());
    while !is_over.load(Ordering::Relaxed) {
        let count = match stream.read(&mut buffer) {
            Ok(0) => panic!("the server has ended the connection"),
            Ok(count) => count,
            Err(_) => continue,
        };
        let now = jiff::Timestamp::now();
        if let Some(time) = first_time(&buffer[..count]) {
            let late = now.as_nanosecond() - time.as_nanosecond();
            reads.push((Duration::from_nanos(u64::try_from(late).unwrap_or(0)), count));
        }
    }
    reads
}

/// Gives the time of the first match whose time is there as a whole.
fn first_time(bytes: &[u8]) -> Option<jiff::Timestamp> {
    let mark = b"\"time\":\"";
    let at = bytes.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let rest = bytes.get(at..(at + 40).min(bytes.len()))?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

/// Gives how late the bytes were that came later than `share` of them.
fn later_than(reads: &mut Reads, share: f64) -> Duration {
    reads.sort();
    let all: usize = reads.iter().map(|(_, bytes)| bytes).sum();
    let mut passed = 0;
    let found = reads.iter().find(|(_, bytes)| {
        passed += bytes;
        passed as f64 >= all as f64 * share
    });
    found.map_or(Duration::ZERO, |(late, _)| *late)
}

/// A market that is captured, with clients or without. Gives how the capture ended, and what the clients have read.
fn run(clients: u64) -> (Ended, f64, Reads) {
    let (rate, seconds) = (set_by("COLTAPE_SERVE_RATE", 10_000).to_string(), format!("{}s", set_by("COLTAPE_SERVE_SECONDS", 20)));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["--products", "BTC-USD", "--no-tickers", "--rate", &rate, "--duration", &seconds, "--linger", "60s", "--seed", "3"];
    let mut simulator = Simulator::start(&args);
    let rest = simulator.endpoints["rest_url"].as_str().unwrap().to_owned();
    let capture = Capture::start(&data, &["BTC-USD", "--url", &simulator.websocket(), "--rest-url", &rest]);
    await_that("the market is recorded", || records(&data) > 0);
    let serve = Serve::start(&data);
    let is_over = Arc::new(AtomicBool::new(false));
    let connected = |_| {
        let mut client = Client::connect(&serve.websocket("/ws"));
        client.subscribe(&["matches"], &["BTC-USD"]);
        client
    };
    // One of them never reads.
    let idle: Vec<Client> = (0..u64::from(clients > 0)).map(connected).collect();
    let readers: Vec<_> = (0..clients)
        .map(connected)
        .map(|client| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || read_all(client, &is_over))
        })
        .collect();
    let totals = simulator.await_totals();
    let sent = totals["trades_produced"].as_f64().unwrap();
    is_over.store(true, Ordering::Relaxed);
    let reads: Reads = readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
    if !idle.is_empty() {
        let of = |reason: &str| serve.0.metric(&format!("cut_off_total{{reason=\"{reason}\"}}"));
        await_that("the client that never reads is cut off", || of("stalled") + of("behind") + of("trickling") == 1.0);
    }
    let ended = capture.stop();
    ended.assert_good();
    assert_verified(&data);
    (ended, sent, reads)
}

#[test]
#[ignore = "scripts/serve_load.sh runs it: it measures"]
fn hundreds_of_clients_get_each_trade_soon_and_the_capture_beside_them_loses_nothing() {
    let clients = set_by("COLTAPE_SERVE_CLIENTS", 200);
    let (alone, sent_alone, _) = run(0);
    let (beside, sent, mut reads) = run(clients);
    for (what, ended, sent) in [("alone", &alone, sent_alone), ("served", &beside, sent)] {
        let figure = |name: &str| ended.figure(name);
        println!(
            "capture {what}: {sent} trades sent, {} written, {} shed; lag p50 {} ms, p99 {} ms; longest append {} ms; on disk within {} ms; CPU {} s",
            figure("trades_written"),
            figure("trades_shed"),
            figure("lag_p50_ms"),
            figure("lag_p99_ms"),
            figure("append_max_ms"),
            figure("durable_max_ms"),
            figure("cpu_s"),
        );
    }
    let bytes: usize = reads.iter().map(|(_, bytes)| bytes).sum();
    let [median, p99, most] = [0.5, 0.99, 1.0].map(|share| later_than(&mut reads, share));
    println!("{clients} clients: {bytes} bytes; from a trade's time to its reader: median {median:?}, p99 {p99:?}, longest {most:?}");
    assert!(beside.figure("trades_written") >= 0.95 * alone.figure("trades_written"));
    assert_eq!(beside.figure("trades_shed"), 0.0);
    // The capture's own part of the way is in it.
    assert!(p99 <= P99, "{p99:?}");
}
