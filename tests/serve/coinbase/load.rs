//! Many clients at once: how long each of them waits for a trade, and what that costs the capture beside them. It measures, so `scripts/serve_load.sh` runs it
//! alone, of a release build.
//!
//! The clients are sockets that one thread reads: on a machine that they share with what they measure, a thread for each would cost more than the server. What
//! the thread used of a processor is printed, so that it can be seen whether it was what was measured; so is what each program used.
//!
//! The thread begins when all clients are connected. What came to the first of them until then has waited for the thread, not for the server, so nothing is
//! measured before the thread has caught up ([`SETTLE`]).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coltape::{Tape, TimeRange, Trades};
use rustix::event::epoll;

use super::captured::set_by;
use super::client::{Client, Serve};
use super::tapes::{assert_verified, records};
use crate::programs::{Capture, Ended, Simulator, await_that};

/// The most that one of a hundred trades may come later than it was received, which is before its commit.
const P99: Duration = Duration::from_millis(20);
/// Bytes that a client reads at once.
const READ_BYTES: usize = 256 << 10;
/// How long all clients read before what they read is measured.
const SETTLE: Duration = Duration::from_secs(2);
/// Trades of a read whose way is looked at.
const SAMPLES: u64 = 4;

/// What a client has read at once.
struct Seen {
    at: u64,
    /// The first and last trade that are there as a whole.
    first: u64,
    last: u64,
}

/// What all clients have read, and how long their thread has used a processor.
#[derive(Default)]
struct Reads {
    seen: Vec<Seen>,
    bytes: usize,
    used: Duration,
}

/// Reads what comes to all sockets until it is told to end.
fn read_all(mut streams: Vec<TcpStream>, is_over: &AtomicBool) -> Reads {
    let all = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    for (at, stream) in streams.iter().enumerate() {
        stream.set_nonblocking(true).unwrap();
        epoll::add(&all, stream.as_fd(), epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN).unwrap();
    }
    let (mut buffer, mut reads, mut events) = (vec![0; READ_BYTES], Reads::default(), Vec::with_capacity(streams.len().max(1)));
    let measured = std::time::Instant::now() + SETTLE;
    let tenth = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    while !is_over.load(Ordering::Relaxed) {
        events.clear();
        epoll::wait(&all, rustix::buffer::spare_capacity(&mut events), Some(&tenth)).unwrap();
        for event in &events {
            let at = event.data.u64() as usize;
            let count = match streams[at].read(&mut buffer) {
                Ok(0) => panic!("the server has ended the connection"),
                Ok(count) => count,
                Err(_) => continue,
            };
            let now = jiff::Timestamp::now().as_nanosecond() as u64;
            reads.bytes += count;
            if std::time::Instant::now() < measured {
                continue;
            }
            if let Some((first, last)) = ends(&buffer[..count]) {
                reads.seen.push(Seen { at: now, first, last });
            }
        }
    }
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    reads.used = Duration::new(used.tv_sec as u64, used.tv_nsec as u32);
    reads
}

/// Gives the ids of the first and the last trade whose ids are there as a whole.
fn ends(bytes: &[u8]) -> Option<(u64, u64)> {
    let mark = b"\"trade_id\":";
    let id = |at: usize| {
        let rest = &bytes[at + mark.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
    };
    let first = bytes.windows(mark.len()).position(|window| window == mark)?;
    let last = (0..=bytes.len() - mark.len()).rev().filter(|at| bytes[*at..].starts_with(mark)).find_map(id)?;
    Some((id(first)?, last))
}

/// How late trades came, and how many they were.
type Late = Vec<(Duration, u64)>;

/// Gives how late the trades were that came later than `share` of them.
fn later_than(late: &mut Late, share: f64) -> Duration {
    late.sort();
    let all: u64 = late.iter().map(|(_, trades)| trades).sum();
    let mut passed = 0;
    let found = late.iter().find(|(_, trades)| {
        passed += trades;
        passed as f64 >= all as f64 * share
    });
    found.map_or(Duration::ZERO, |(late, _)| *late)
}

/// Gives how late the trades came, from their event times and from their receipt by the capture, each with when it was read.
fn lateness(data: &std::path::Path, reads: &Reads) -> [Vec<(u64, (Duration, u64))>; 2] {
    let tape = Tape::open(data).unwrap();
    let (mut times, mut received) = (std::collections::HashMap::new(), std::collections::HashMap::new());
    for day in tape.range::<Trades>(&"BTC-USD".parse().unwrap(), TimeRange::ALL).unwrap() {
        for trade in day.unwrap().rows() {
            times.insert(trade.trade_id, trade.time.0);
            received.insert(trade.trade_id, trade.recv.0);
        }
    }
    [times, received].map(|of| {
        let mut late = Vec::new();
        for Seen { at, first, last } in &reads.seen {
            let count = (last + 1).saturating_sub(*first);
            for sample in 0..SAMPLES {
                let id = first + count.saturating_sub(1) * sample / (SAMPLES - 1);
                if let Some(time) = of.get(&id) {
                    late.push((*at, (Duration::from_nanos(at.saturating_sub(*time)), count)));
                }
            }
        }
        late
    })
}

/// A client that has asked for the trades.
fn connected(serve: &Serve, is_events: bool) -> TcpStream {
    if is_events {
        let mut stream = TcpStream::connect(serve.0.address).unwrap();
        stream.write_all(b"GET /v1/live?product=BTC-USD HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        return stream;
    }
    let mut client = Client::connect(&serve.websocket("/ws"));
    client.subscribe(&["matches"], &["BTC-USD"]);
    client.socket.get_ref().try_clone().unwrap()
}

/// What a run has shown.
struct Run {
    capture: Ended,
    sent: f64,
    reads: Reads,
    late: [Late; 2],
    /// How late trades came from their receipt, and when they were read.
    late_at: Vec<(u64, (Duration, u64))>,
    /// Processor time of the simulator, the server, and of all that ran on the machine, while the clients read.
    used: [f64; 3],
}

/// Whether two fifths of each second's trades come within a 25th of it, at ten times the rate: that is more than two processors copy for hundreds of clients
/// in time. What is asked for then is printed, and not judged.
fn has_bursts() -> bool {
    set_by("COLTAPE_SERVE_BURSTS", 0) == 1
}

/// Processor time of a process, in seconds.
fn used_by(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Finds the child of this process that runs a command of the program.
fn child(command: &str) -> u32 {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let is_it = |pid: &u32| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let parent = read("stat").rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parent == Some(std::process::id()) && read("cmdline").split('\0').nth(1) == Some(command)
    };
    pids.into_iter().find(is_it).unwrap()
}

/// Processor time of all that has run on the machine, in seconds.
fn used_by_all() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    let fields: Vec<f64> = text.lines().next().unwrap().split_whitespace().skip(1).map(|field| field.parse().unwrap()).collect();
    // Without what was idle, or waited for a disk.
    (fields.iter().take(8).sum::<f64>() - fields[3] - fields[4]) / 100.0
}

/// A market that is captured, with clients or without.
fn run(clients: u64, is_events: bool) -> Run {
    let (rate, seconds) = (set_by("COLTAPE_SERVE_RATE", 10_000).to_string(), format!("{}s", set_by("COLTAPE_SERVE_SECONDS", 20)));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut args = vec!["--products", "BTC-USD", "--no-tickers", "--rate", &rate, "--duration", &seconds, "--linger", "60s", "--seed", "3"];
    if !has_bursts() {
        args.push("--spread");
    }
    let mut simulator = Simulator::start(&args);
    let rest = simulator.endpoints["rest_url"].as_str().unwrap().to_owned();
    let capture = Capture::start(&data, &["BTC-USD", "--url", &simulator.websocket(), "--rest-url", &rest]);
    await_that("the market is recorded", || records(&data) > 0);
    let serve = Serve::start(&data);
    let is_over = Arc::new(AtomicBool::new(false));
    // One of them never reads.
    let idle = (clients > 0).then(|| connected(&serve, is_events));
    let streams = (0..clients).map(|_| connected(&serve, is_events)).collect();
    let reader = {
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || read_all(streams, &is_over))
    };
    let market = child("simulate");
    let used = || [used_by(market), used_by(serve.0.pid()), used_by_all()];
    let before = used();
    let totals = simulator.await_totals();
    let after = used();
    let used = [0, 1, 2].map(|at| after[at] - before[at]);
    let sent = totals["trades_produced"].as_f64().unwrap();
    is_over.store(true, Ordering::Relaxed);
    let reads = reader.join().unwrap();
    if idle.is_some() {
        let of = |reason: &str| serve.0.metric(&format!("cut_off_total{{reason=\"{reason}\"}}"));
        await_that("the client that never reads is cut off", || of("stalled") + of("behind") + of("trickling") == 1.0);
    }
    let capture = capture.stop();
    capture.assert_good();
    assert_verified(&data);
    let [since_made, since_received] = lateness(&data, &reads);
    let late = [&since_made, &since_received].map(|late| late.iter().map(|(_, late)| *late).collect());
    Run { capture, sent, reads, late, late_at: since_received, used }
}

/// Gives the p99 of each second, so that a stall can be told from what is always so.
fn by_second(run: &Run) -> Vec<String> {
    let mut seconds = std::collections::BTreeMap::<u64, Late>::new();
    for (at, late) in &run.late_at {
        seconds.entry(at / 1_000_000_000).or_default().push(*late);
    }
    seconds.values_mut().map(|late| format!("{:.0}", later_than(late, 0.99).as_secs_f64() * 1e3)).collect()
}

#[test]
#[ignore = "scripts/serve_load.sh runs it: it measures"]
fn hundreds_of_clients_get_each_trade_soon_and_the_capture_beside_them_loses_nothing() {
    let (clients, is_events) = (set_by("COLTAPE_SERVE_CLIENTS", 200), set_by("COLTAPE_SERVE_EVENTS", 0) == 1);
    let (alone, mut beside) = (run(0, is_events), run(clients, is_events));
    for (what, Run { capture, sent, .. }) in [("alone", &alone), ("served", &beside)] {
        let figure = |name: &str| capture.figure(name);
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
    let [simulator, server, all] = beside.used;
    let reads = &beside.reads;
    println!(
        "{clients} {}: {} bytes in {} reads; CPU of the server {server:.2} s, of the simulator {simulator:.2} s, of the clients' thread {:.2} s, of the whole \
         machine {all:.2} s",
        if is_events { "event streams" } else { "WebSockets" },
        reads.bytes,
        reads.seen.len(),
        reads.used.as_secs_f64(),
    );
    println!("from its receipt to the client, p99 of each second in ms: {}", by_second(&beside).join(" "));
    let shown = beside.late.each_mut().map(|late| [0.5, 0.99, 1.0].map(|share| later_than(late, share)));
    for (what, [median, p99, most]) in ["its time", "its receipt"].into_iter().zip(shown) {
        println!("from {what} to the client: median {median:?}, p99 {p99:?}, longest {most:?}");
    }
    assert!(beside.capture.figure("trades_written") >= 0.95 * alone.capture.figure("trades_written"));
    assert_eq!(beside.capture.figure("trades_shed"), 0.0);
    assert!(has_bursts() || shown[1][1] <= P99, "{:?}", shown[1][1]);
}
