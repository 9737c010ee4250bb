//! Bounds over real sockets: slow clients, too many clients, stops.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::fixture::{DEADLINE, Running, SEND_TIMEOUT, body, get, status};
use super::{CutOff, Limits, most_waiting};

#[test]
fn a_client_that_does_not_read_is_cut_off_and_nobody_else_notices() {
    let server = Running::start(3);
    let silent = server.send(&get("/endless", ""));
    let trickling = server.send(&get("/endless", ""));
    let is_over = Arc::<AtomicBool>::default();
    let asked = Arc::clone(&is_over);
    let reader = std::thread::spawn(move || {
        let (mut trickling, mut bytes) = (trickling, [0; 16]);
        // Some bytes, again and again: no write waits for long, but nothing comes of it. What was received before a reset can still be read.
        while !asked.load(Ordering::Relaxed) && trickling.read(&mut bytes).is_ok_and(|count| count > 0) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    server.await_that("both are being answered", |traffic| traffic.answering() == 2);
    server.await_that("both are cut off", |traffic| {
        let since = Instant::now();
        assert_eq!(status(&server.get("/stream")), 200);
        assert!(since.elapsed() < Duration::from_secs(5));
        traffic.cut_off_for(CutOff::Stalled) + traffic.cut_off_for(CutOff::Trickling) == 2
    });
    server.await_that("their slots are free", |traffic| traffic.answering() == 0);
    is_over.store(true, Ordering::Relaxed);
    reader.join().expect("ended");
    drop(silent);
}

#[test]
fn too_many_clients_are_refused_and_health_is_answered() {
    let server = Running::start(2);
    let live: Vec<TcpStream> = (0..2).map(|_| server.send(&get("/live", ""))).collect();
    server.await_that("both are being answered", |traffic| traffic.answering() == 2);
    let answer = server.get("/bytes");
    assert!(status(&answer) == 429 && body(&answer).contains("\"hint\":") && answer.contains("\r\nRetry-After: 1\r\n"), "{answer}");
    for _ in 0..100 {
        // The connection is not kept: others want to know too.
        assert!(server.ask(&get("/health", "")).0.ends_with("ok"));
        assert!(server.ask(&get("/instant", "")).0.ends_with("ok"));
    }
    for path in ["/bytes", "/instant"] {
        assert_eq!(body(&server.ask(&get(path, "").replace("GET", "HEAD")).0), "", "{path}");
    }
    drop(live);
    server.await_that("a slot is free", |traffic| traffic.answering() == 0);
    assert_eq!(status(&server.get("/bytes")), 200);
}

#[test]
fn a_slow_or_silent_head_costs_no_slot_and_is_ended() {
    let server = Running::start(1);
    let slow: Vec<TcpStream> = (0..50).map(|at| server.send(if at % 2 == 0 { "GET / HT" } else { "" })).collect();
    server.await_that("all are open", |traffic| traffic.open() == 50);
    assert_eq!(status(&server.get("/bytes")), 200);
    for mut stream in slow {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        assert_eq!(status(&answer), 408);
    }
    assert_eq!(server.traffic.cut_off_for(CutOff::SlowHead), 50);
    // Bytes that come one by one do not put the end off.
    let mut stream = server.connect();
    let since = Instant::now();
    // A write fails once the server has ended the connection.
    while stream.write_all(b"G").is_ok() && since.elapsed() < DEADLINE {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(since.elapsed() < DEADLINE);
}

#[test]
fn the_oldest_that_waits_makes_room() {
    // Two descriptors each, in the process of the other tests: with as few as a shell allows they would have none left.
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let server = Running::start_with(Limits { max_clients: 2, send_timeout: SEND_TIMEOUT, head_timeout: DEADLINE });
    let most = most_waiting();
    let mut silent: Vec<TcpStream> = (0..most).map(|_| server.connect()).collect();
    server.await_that("all are open", |traffic| traffic.open() == most);
    assert_eq!(status(&server.get("/bytes")), 200);
    assert_eq!(server.traffic.cut_off_for(CutOff::Crowded), 1);
    let mut byte = [0];
    assert!(!silent[0].read(&mut byte).is_ok_and(|count| count > 0), "the first is closed");
}

#[test]
fn a_stop_ends_streams_and_lets_answers_go_on() {
    let mut server = Running::start(8);
    let mut live = server.send(&get("/live", ""));
    let mut endless = server.send(&get("/endless", ""));
    let idle = server.connect();
    server.await_that("both are being answered", |traffic| traffic.answering() == 2);
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        endless.read_to_end(&mut bytes).expect("read");
        bytes
    });
    assert!(server.stop() < Duration::from_secs(3));
    let mut answer = String::new();
    live.read_to_string(&mut answer).expect("read");
    assert!(answer.ends_with("0\r\n\r\n"), "it has its last chunk: {answer}");
    assert!(reader.join().expect("read").ends_with(b"\r\n0\r\n\r\n"));
    drop(idle);
    assert_eq!((server.traffic.open(), server.traffic.cut_off_for(CutOff::Stopped)), (0, 0));
}

#[test]
fn while_it_stops_new_requests_are_refused_and_a_client_that_does_not_read_is_ended() {
    let mut server = Running::start_with(Limits { max_clients: 8, send_timeout: DEADLINE, head_timeout: DEADLINE });
    let silent = server.send(&get("/stubborn", ""));
    server.await_that("it is being answered", |traffic| traffic.answering() == 1);
    let http = server.http.take().expect("running");
    let stopping = http.stopping.clone();
    let thread = std::thread::spawn(move || http.stop());
    while !stopping.is_asked() {
        std::thread::yield_now();
    }
    assert_eq!(status(&server.get("/bytes")), 503);
    assert!(thread.join().expect("ended"));
    assert_eq!(server.traffic.cut_off_for(CutOff::Stopped), 1);
    drop(silent);
}
