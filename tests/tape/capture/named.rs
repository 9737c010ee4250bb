//! Trades that tickers alone name: those whose matches were lost before a quiet stretch or a stop, or all of a product whose matches never come.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::programs::{Capture, Ended, await_that, journal, query, verify};
use super::rest::{Rest, page, shown};
use super::scripted::{Server, match_frame, ticker_frame};

/// The last trade that the exchange has.
const LAST: u64 = 208;

fn time(id: u64) -> String {
    jiff::Timestamp::from_second(1_772_323_200 + i64::try_from(id).unwrap()).unwrap().to_string()
}

fn ids(data: &Path) -> Vec<u64> {
    query(data, "BTC-USD", &[]).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect()
}

fn tickers(data: &Path) -> usize {
    query(data, "BTC-USD", &["--dataset", "md"]).len()
}

fn causes(data: &Path) -> Vec<(u64, u64, String)> {
    let text = |line: &serde_json::Value, name: &str| line[name].as_u64().unwrap();
    let lines = journal(data, "gap_opened");
    lines.iter().map(|line| (text(line, "from_id"), text(line, "to_id"), line["why"].as_str().unwrap().to_owned())).collect()
}

/// Sends the matches and tickers of these ids to the first client and only the first of the tickers to later ones, then the last one again until it has gone.
fn sends(matches: Vec<u64>, named: Vec<u64>) -> Server {
    Server::start(move |at, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        let named = if at == 0 { &named[..] } else { &named[..1] };
        if at == 0 {
            matches.iter().for_each(|id| session.send(match_frame("BTC-USD", *id, &time(*id))));
        }
        named.iter().for_each(|id| session.send(ticker_frame("BTC-USD", *id, &time(*id))));
        while session.receive_at_once().is_some() {
            named.last().into_iter().for_each(|id| session.send(ticker_frame("BTC-USD", *id, &time(*id))));
        }
    })
}

/// REST that serves all trades, or none while it is closed.
fn rest(is_open: &Arc<AtomicBool>) -> Rest {
    let is_open = Arc::clone(is_open);
    Rest::start(
        move |request| {
            if is_open.load(Ordering::Relaxed) { ("200 OK".to_owned(), page(request, LAST)) } else { ("503 Busy".to_owned(), Vec::new()) }
        },
        |id| shown(id, &time(id)),
    )
}

struct Tape {
    _folder: tempfile::TempDir,
    data: PathBuf,
    is_open: Arc<AtomicBool>,
    rest: Rest,
}

impl Tape {
    fn new(is_open: bool) -> Self {
        let (folder, is_open) = (tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(is_open)));
        Self { data: folder.path().join("data"), _folder: folder, rest: rest(&is_open), is_open }
    }

    fn record(&self, server: &Server, args: &[&str]) -> Capture {
        let all = [&["BTC-USD", "--url", &server.url, "--rest-url", &self.rest.url, "--gap-wait", "500ms"], args].concat();
        Capture::start(&self.data, &all)
    }

    fn assert_whole(&self, ended: &Ended, first: u64) {
        ended.assert_good();
        assert_eq!(ids(&self.data), (first..=LAST).collect::<Vec<_>>());
        assert_eq!(ended.figure("missing_ids"), 0.0);
        let (is_good, said) = verify(&self.data, &[]);
        assert!(is_good, "{said}");
    }
}

#[test]
fn what_only_tickers_name_before_a_stop_is_fetched_or_named_missing() {
    // Trades up to 205 come, and one of those behind. Of the rest tickers tell, of some or of all; one says enough.
    let all: Vec<u64> = (201..=LAST).collect();
    let script =
        [(vec![201, 202, 203, 204, 205], all.clone()), (vec![201, 202, 203, 204, 205, 207], vec![203, LAST]), (vec![201], vec![LAST])];
    for (matches, named) in script {
        let first_missing = (201..).find(|id| !matches.contains(id)).unwrap();
        for (is_open, args) in [(true, &[][..]), (false, &[]), (true, &["--no-backfill"])] {
            // The first trade of a product waits for others for a while.
            if matches.len() == 1 && !args.is_empty() {
                continue;
            }
            let tape = Tape::new(is_open);
            let server = sends(matches.clone(), named.clone());
            let capture = tape.record(&server, args);
            await_that("the tickers are there", || tickers(&tape.data) == named.len() && !ids(&tape.data).is_empty());
            let ended = capture.stop();
            let said = causes(&tape.data);
            assert!(said.iter().any(|(_, last, why)| *last == LAST && why == "ticker"), "{said:?}");
            if is_open && args.is_empty() {
                tape.assert_whole(&ended, 201);
                continue;
            }
            ended.assert_leaves(&["missing"]);
            let missing = (first_missing..=LAST).filter(|id| !matches.contains(id)).count();
            assert_eq!(ended.figure("missing_ids") as usize, missing, "{matches:?} {named:?}");
            let (is_good, said) = verify(&tape.data, &[]);
            assert!(!is_good && said.contains("a ticker"), "{said}");
        }
    }
}

#[test]
fn what_only_tickers_name_is_fetched_while_the_product_is_quiet() {
    // Far ahead three tickers have to say so. Without any trade the lowest that they name is where the tape begins.
    for (matches, named, first) in [(vec![1, 2], vec![3], None), (vec![], vec![201, 202, 205, LAST], Some(202))] {
        let tape = Tape::new(true);
        let last = *named.last().unwrap();
        let server = sends(matches, named);
        let capture = tape.record(&server, &[]);
        let want: Vec<u64> = first.map_or_else(|| (1..=last).collect(), |first| (first..=last).collect());
        await_that("it is there before a stop", || ids(&tape.data) == want);
        capture.stop().assert_good();
        assert!(causes(&tape.data).iter().all(|(.., why)| why == "ticker"), "{:?}", causes(&tape.data));
    }
}

#[test]
fn without_any_trade_what_tickers_name_is_missing_where_rest_is_down() {
    let tape = Tape::new(false);
    let server = sends(vec![], vec![203, 204, LAST]);
    let capture = tape.record(&server, &[]);
    await_that("the tickers are there", || tickers(&tape.data) == 3);
    let ended = capture.stop();
    assert_eq!(ended.figure("missing_ids"), 5.0, "{}", ended.stdout());
    assert_eq!(ended.output.status.code(), Some(1));
    let (is_good, said) = verify(&tape.data, &[]);
    assert!(!is_good, "{said}");
}

#[test]
fn what_tickers_named_before_a_kill_is_fetched_by_the_next_start_and_by_a_repair() {
    for is_repaired in [false, true] {
        let tape = Tape::new(false);
        let server = sends((201..=205).collect(), vec![205, LAST]);
        let capture = tape.record(&server, &[]);
        await_that("all are there", || ids(&tape.data).len() == 5 && tickers(&tape.data) == 2);
        capture.kill();
        let (is_good, said) = verify(&tape.data, &[]);
        assert!(!is_good && said.contains("a ticker"), "{said}");
        tape.is_open.store(true, Ordering::Relaxed);
        if is_repaired {
            let repair = ["repair", tape.data.to_str().unwrap(), "--rest-url", &tape.rest.url, "--any-endpoint"];
            let output = super::programs::coltape().args(repair).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            assert_eq!(ids(&tape.data), (201..=LAST).collect::<Vec<_>>());
            let (is_good, said) = verify(&tape.data, &[]);
            assert!(is_good, "{said}");
        } else {
            // Nothing new comes.
            let capture = tape.record(&server, &[]);
            await_that("the rest is fetched", || ids(&tape.data).len() == 8);
            tape.assert_whole(&capture.stop(), 201);
        }
    }
}
