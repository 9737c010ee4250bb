//! REST that refuses, hangs, fails, or shows what cannot be used: what it costs, what is said, and that everything else goes on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::programs::{Capture, DEADLINE, await_that, await_that_within, journal, query};
use super::rest::{Request, Rest, page, shown};
use super::scripted::{Server, match_frame};

/// Trades happen a second apart.
fn time(id: u64) -> String {
    jiff::Timestamp::from_second(1_772_323_200 + i64::try_from(id).unwrap()).unwrap().to_string()
}

fn ids(data: &Path, product: &str) -> Vec<u64> {
    query(data, product, &[]).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect()
}

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    (folder, data)
}

/// A server that sends trades with these ids of every product that is subscribed.
fn sends(ids: Vec<u64>) -> Server {
    Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        for product in &products {
            ids.iter().for_each(|id| session.send(match_frame(product, *id, &time(*id))));
        }
        session.linger();
    })
}

fn rejects(data: &Path) -> String {
    let entries = std::fs::read_dir(data.join("_coltape")).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("rejects."));
    files.map(|file| std::fs::read_to_string(file.path()).unwrap()).collect()
}

#[test]
fn trades_that_rest_shows_in_an_unusable_form_cost_themselves_alone_and_are_asked_for_again() {
    for damage in ["\"price\":\"x\"", "\"price\":\"14.7775\",\"product_id\":\"ETH-USD\"", "\"price\":NaN"] {
        // A gap of several pages, one close to it, and a last one.
        let server = sends(vec![1, 3, 2500, 2510, 2520, 9000]);
        let is_mended = Arc::new(AtomicBool::new(false));
        let mended = Arc::clone(&is_mended);
        let is_bad = |id: u64| id.is_multiple_of(500) || id == 2 || id == 2515 || id == 8999;
        let rest = Rest::start(
            |request| ("200 OK".to_owned(), page(request, 9000)),
            move |id| {
                let good = shown(id, &time(id));
                let is_bad = is_bad(id) && !mended.load(Ordering::Relaxed);
                if is_bad { good.replacen("\"price\":\"14.7775\"", damage, 1) } else { good }
            },
        );
        let (_folder, data) = folder();
        let args = ["BTC-USD", "--url", &server.url, "--rest-url", &rest.url, "--rest-rate", "1000"];
        let capture = Capture::start(&data, &args);
        let usable: Vec<u64> = (1..=9000).filter(|id| !is_bad(*id) || [2500, 9000].contains(id)).collect();
        await_that("everything else is there", || ids(&data, "BTC-USD") == usable);
        is_mended.store(true, Ordering::Relaxed);
        // They are asked for again after waits that grow to a minute.
        let patience = DEADLINE + Duration::from_secs(60);
        await_that_within(patience, "the others are there, too", || ids(&data, "BTC-USD") == (1..=9000).collect::<Vec<_>>());
        let ended = capture.stop();
        ended.assert_good();
        let bad = 1 + 1 + 1 + (1..=18).filter(|step| ![5, 18].contains(step)).count();
        assert!(ended.figure("rest_unusable") >= bad as f64, "{damage}");
        let rejects = rejects(&data);
        assert!(rejects.lines().count() >= bad && rejects.contains("\\\"trade_id\\\":2515,"), "{damage}: {rejects}");
    }
}

#[test]
fn one_answer_of_any_status_delays_a_product_by_seconds_and_disturbs_no_other() {
    let statuses: Vec<u16> =
        (300..=308).chain(400..=418).chain([421, 422, 423, 425, 426, 428, 431, 451]).chain(500..=511).chain([520, 599]).collect();
    let server = sends(vec![1, 4]);
    let rest = Rest::start(
        |request| {
            let status: u16 = request.product.trim_start_matches('S').trim_end_matches("-USD").parse().unwrap_or(0);
            // The first request for each product is for its gap.
            if is_first(request) && status != 0 {
                (format!("{status} Some Reason"), Vec::new())
            } else {
                ("200 OK".to_owned(), page(request, 4))
            }
        },
        |id| shown(id, &time(id)),
    );
    let products: Vec<String> = statuses.iter().map(|status| format!("S{status}-USD")).chain(["GOOD-USD".to_owned()]).collect();
    let (_folder, data) = folder();
    let mut args: Vec<&str> = products.iter().map(String::as_str).collect();
    args.extend(["--url", &server.url, "--rest-url", &rest.url, "--rest-rate", "1000", "--datasets", "trades", "--columns", "core"]);
    let capture = Capture::start(&data, &args);
    await_that("all gaps are filled", || journal(&data, "gap_filled").len() >= products.len());
    assert!(products.iter().all(|product| ids(&data, product) == [1, 2, 3, 4]));
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!(ended.figure("missing_ids"), 0.0);
    assert!(ended.figure("rest_failures") >= statuses.len() as f64);
}

/// How a REST answers a request: the status with extra headers, and the ids of the page.
type Answer = fn(&Request) -> (String, Vec<u64>);

/// Tells whether it is the first request for its product.
fn is_first(request: &Request) -> bool {
    use std::collections::BTreeSet;
    use std::sync::Mutex;
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    SEEN.lock().unwrap().insert(request.product.clone())
}

#[test]
fn trades_wait_behind_a_gap_no_longer_than_the_gap_wait_whatever_rest_does() {
    const GAP_WAIT: Duration = Duration::from_secs(5);
    let answers: [(&str, Answer); 5] = [
        ("refuses", |_| ("403 Forbidden".to_owned(), Vec::new())),
        ("fails", |_| ("503 Busy".to_owned(), Vec::new())),
        ("slows down", |_| ("429 Too Many Requests\r\nRetry-After: 1".to_owned(), Vec::new())),
        ("has nothing", |_| ("200 OK".to_owned(), Vec::new())),
        ("hangs", |_| {
            // As long as a server that never answers: the capture gives it up before.
            std::thread::sleep(Duration::from_secs(30));
            ("200 OK".to_owned(), Vec::new())
        }),
    ];
    let prove = |name: &str, answer: Answer| {
        let server = sends((1..=5).chain([8]).collect());
        let rest = Rest::start(answer, |id| shown(id, &time(id)));
        let (_folder, data) = folder();
        let args = ["BTC-USD", "--url", &server.url, "--rest-url", &rest.url, "--gap-wait", "5s"];
        let capture = Capture::start(&data, &args);
        await_that("the gap is noticed", || !journal(&data, "gap_opened").is_empty());
        let noticed = Instant::now();
        assert_eq!(ids(&data, "BTC-USD"), [1, 2, 3, 4, 5], "{name}");
        // The stop comes when most of the wait has passed.
        await_that("most of the wait has passed", || noticed.elapsed() > GAP_WAIT * 3 / 5);
        let ended = capture.stop();
        let waited = ended.figure("gap_wait_max_ms");
        assert!(waited > 2500.0, "{name}: it did wait: {waited} ms");
        // A busy machine may be late, but not by as much as the trade had waited before the stop.
        assert!(waited < 7800.0, "{name}: {waited} ms");
        assert_eq!(ids(&data, "BTC-USD"), [1, 2, 3, 4, 5, 8], "{name}");
    };
    std::thread::scope(|scope| answers.map(|(name, answer)| scope.spawn(move || prove(name, answer))).map(|one| one.join().unwrap()));
}

#[test]
fn ids_that_heartbeats_name_and_rest_does_not_show_stay_missing() {
    let server = Server::start(|_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        (1..=5).for_each(|id| session.send(match_frame("BTC-USD", id, &time(id))));
        let time = time(9);
        session.send(format!(r#"{{"type":"heartbeat","last_trade_id":9,"product_id":"BTC-USD","sequence":1009,"time":"{time}"}}"#));
        session.linger();
    });
    let rest = Rest::start(|_| ("200 OK".to_owned(), Vec::new()), |id| shown(id, &time(id)));
    let (_folder, data) = folder();
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--rest-url", &rest.url]);
    // Asked twice: an empty answer proves nothing.
    await_that("REST was asked twice", || journal(&data, "backfill_lacks").iter().any(|line| line["attempts"] == 2));
    let ended = capture.stop();
    assert_eq!((ended.figure("missing_ids"), ended.figure("sums_hold")), (4.0, 1.0));
    let opened = journal(&data, "gap_opened");
    assert_eq!(
        (opened.len(), &opened[0]["from_id"], &opened[0]["to_id"], &opened[0]["why"]),
        (1, &6.into(), &9.into(), &"heartbeat".into())
    );
}

#[test]
fn a_rest_that_fails_raises_one_alert_that_says_what_waits_and_is_cleared_when_it_answers() {
    let server = sends(vec![1, 10, 15]);
    let is_open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&is_open);
    let rest = Rest::start(
        move |request| {
            if opened.load(Ordering::Relaxed) { ("200 OK".to_owned(), page(request, 15)) } else { ("503 Busy".to_owned(), Vec::new()) }
        },
        |id| shown(id, &time(id)),
    );
    let (_folder, data) = folder();
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--rest-url", &rest.url, "--alert-hold", "1s"]);
    let of_rest = |event: &str| journal(&data, event).into_iter().filter(|line| line["alert"] == "rest_failing").collect::<Vec<_>>();
    await_that("the alert is raised", || !of_rest("alert_raised").is_empty());
    let text = of_rest("alert_raised")[0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("12 trade ids of BTC-USD") && text.contains("503"), "{text}");
    is_open.store(true, Ordering::Relaxed);
    await_that("the alert is cleared", || !of_rest("alert_cleared").is_empty());
    await_that("all are there", || ids(&data, "BTC-USD") == (1..=15).collect::<Vec<_>>());
    let ended = capture.stop();
    ended.assert_good();
    super::alerts::assert_seen(&data, &["rest_failing"]);
    assert!(ended.stderr().contains("ALERT rest_failing"), "the log says so, too: {}", ended.stderr());
}
