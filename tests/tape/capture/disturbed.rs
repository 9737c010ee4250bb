//! Somebody removes, renames, cuts, replaces or links files while a capture writes them: its own files in `_coltape`, and the files of its days.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use coltape::internals::store::{DataDir, StoreError, StoreOptions, holder_of};

use super::programs::{Capture, await_that, coltape, verify};
use super::scripted::{Server, match_frame, ticker_frame};

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// A server that sends what the test gives it.
struct Fed {
    frames: mpsc::Sender<String>,
    server: Server,
}

impl Fed {
    fn start() -> Self {
        let (frames, waiting) = mpsc::channel::<String>();
        let waiting = Mutex::new(waiting);
        let server = Server::start(move |_, mut session| {
            let products = session.await_subscription();
            session.acknowledge(&products);
            let waiting = waiting.lock().unwrap();
            loop {
                match waiting.recv_timeout(Duration::from_millis(20)) {
                    Ok(frame) => session.send(frame),
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        if session.receive_at_once().is_none() {
                            return;
                        }
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
            }
            drop(waiting);
            session.linger();
        });
        Self { frames, server }
    }

    fn send(&self, frame: String) {
        self.frames.send(frame).unwrap();
    }

    /// Sends a trade and its ticker.
    fn trade(&self, product: &str, id: u64) {
        self.send(match_frame(product, id, &now()));
        self.send(ticker_frame(product, id, &now()));
    }
}

/// Gives the trade ids of a dataset's records. A folder that somebody has just replaced by something else has none.
fn ids_of(data: &Path, product: &str, dataset: &str) -> Vec<u64> {
    let mut query = coltape();
    let output = query.args(["query", product, "--dataset", dataset, "--format", "jsonl", "--data-dir"]).arg(data).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let rows = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    // While a folder is made again, it may have no page yet: then it is read by its core, in which a ticker has no id.
    rows.filter(|_| output.status.success()).filter_map(|row| row["trade_id"].as_u64()).collect()
}

fn ids(data: &Path, product: &str) -> Vec<u64> {
    ids_of(data, product, "trades")
}

fn tickers(data: &Path, product: &str) -> Vec<u64> {
    ids_of(data, product, "md")
}

/// Something that somebody does to a file or folder. The other path is free.
type Deed = (&'static str, fn(&Path, &Path));

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

const DEEDS: [Deed; 8] = [
    ("removed", |path, _| remove(path)),
    ("renamed", |path, other| fs::rename(path, other).unwrap()),
    ("replaced by an empty file", |path, other| {
        fs::rename(path, other).unwrap();
        fs::write(path, "").unwrap();
    }),
    ("replaced by a copy", |path, other| {
        if path.is_dir() {
            fs::rename(path, other).unwrap();
            fs::create_dir(path).unwrap();
        } else {
            fs::copy(path, other).unwrap();
            fs::rename(other, path).unwrap();
        }
    }),
    ("moved away and linked", |path, other| {
        fs::rename(path, other).unwrap();
        symlink(other, path).unwrap();
    }),
    ("made a link to nothing", |path, _| {
        remove(path);
        symlink("nowhere/at/all", path).unwrap();
    }),
    ("made a link to /dev/null", |path, _| {
        remove(path);
        symlink("/dev/null", path).unwrap();
    }),
    ("made a folder", |path, _| {
        remove(path);
        fs::create_dir(path).unwrap();
    }),
];

/// Empties a file. That is not done to mapped columns: it is what a failing device does.
const EMPTIED: Deed = ("emptied", |path, _| {
    if path.is_file() {
        fs::write(path, "").unwrap();
    }
});

/// Reads the lines of the plain files of a name, wherever they were moved to.
fn lines(own: &Path, name: &str) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(name) && entry.path().is_file() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()));
        }
    }
    found
}

/// Tells whether a second writer is kept out, and knows who holds the directory.
fn assert_held(data: &Path, what: &str) {
    match DataDir::open(data, StoreOptions::default(), "exchange ws://other") {
        Err(StoreError::Locked { .. }) => {}
        other => panic!("{what}: a second writer: {other:?}"),
    }
    assert!(holder_of(data).unwrap().is_some(), "{what}: nobody seems to hold it");
}

#[test]
fn whatever_is_done_to_its_own_files_a_capture_goes_on_alone_and_loses_neither_trades_nor_later_facts() {
    let fed = Fed::start();
    let folder = tempfile::tempdir().unwrap();
    let (data, away) = (folder.path().join("data"), folder.path().join("away"));
    fs::create_dir(&away).unwrap();
    let args = ["BTC-USD", "--url", &fed.server.url, "--sync", "100ms", "--gap-wait", "50ms"];
    let capture = Capture::start(&data, &args);
    let own = data.join("_coltape");
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let mut next = 1;
    // A gap that is filled, a message that is rejected, a price that no f64 holds: a line for each file.
    let mut facts = |what: &str| {
        let (id, junk) = (next, format!("{{\"type\":\"match\",\"what\":\"{what} {next}\"}}"));
        next += 4;
        fed.trade("BTC-USD", id);
        fed.trade("BTC-USD", id + 2);
        fed.send(match_frame("BTC-USD", id + 3, &now()).replace("14.7775", "14.777512345678901234"));
        fed.send(junk.clone());
        await_that(what, || {
            lines(&own, "journal.").iter().any(|line| line["event"] == "gap_opened" && line["from_id"] == id + 1)
                && lines(&own, "rejects.").iter().any(|line| line["raw"].as_str().is_some_and(|raw| raw.contains(&junk)))
                && lines(&own, "exact.").iter().any(|line| line["key"] == id + 3)
        });
        fed.trade("BTC-USD", id + 1);
        await_that(what, || lines(&own, "journal.").iter().any(|line| line["event"] == "gap_filled" && line["from_id"] == id + 1));
    };
    await_that("it runs", || data.join("_coltape/lock").exists());
    facts("at first");
    fs::write(own.join("products.jsonl"), "").unwrap();
    let day = |name: &str| format!("{name}.{date}.jsonl");
    let names = ["lock".to_owned(), "endpoint".to_owned(), day("journal"), day("rejects"), day("exact"), "products.jsonl".to_owned()];
    let mut count = 0;
    for (at, (deed, act)) in DEEDS.into_iter().chain([EMPTIED]).enumerate() {
        for name in names.iter().map(String::as_str).chain([".", "quarantine"]) {
            let what = format!("{name} {deed}");
            // The folder itself cannot be emptied, and a link to a folder is the folder.
            let path = if name == "." { own.clone() } else { own.join(name) };
            if name == "quarantine" && !path.exists() {
                fs::create_dir(&path).unwrap();
            }
            if !path.exists() {
                // Product data that an earlier deed has removed is fetched at the next start.
                assert_eq!(name, "products.jsonl", "{what}: it is there");
                fs::write(&path, "").unwrap();
            }
            act(&path, &away.join(format!("{at}-{count}")));
            count += 1;
            assert_held(&data, &what);
            facts(&what);
            await_that(&what, || {
                own.join("lock").is_file() && fs::read_to_string(own.join("endpoint")).is_ok_and(|text| text.contains("ws://"))
            });
            assert_held(&data, &what);
        }
    }
    let refused = coltape().args(["capture", "ETH-USD", "--url", "ws://127.0.0.1:1", "--data-dir"]).arg(&data).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains(&format!("(process {})", capture.pid())), "{said}");
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!(ended.figure("unwritten_lines"), 0.0);
    assert_eq!(ids(&data, "BTC-USD"), (1..next).collect::<Vec<_>>());
    let disturbed = lines(&own, "journal.").iter().filter(|line| line["event"] == "file_disturbed").count();
    assert!(disturbed > 0, "the journal says what was done");
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good, "{said}");
    println!("{count} deeds, {} trades", next - 1);
}

#[test]
fn a_lock_file_that_another_process_has_taken_ends_the_capture() {
    let fed = Fed::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut capture = Capture::start(&data, &["BTC-USD", "--url", &fed.server.url, "--sync", "100ms"]);
    fed.trade("BTC-USD", 1);
    await_that("there is a trade", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD").len() == 1);
    // As an earlier version does, which knows of the lock file only.
    let new = data.join("_coltape/new");
    let file = fs::File::create(&new).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    fs::rename(&new, data.join("_coltape/lock")).unwrap();
    await_that("the capture has ended", || capture.has_ended());
    let ended = capture.wait();
    assert_eq!(ended.output.status.code(), Some(1), "{}", ended.stderr());
    assert!(ended.stderr().contains("is being written by another capture"), "{}", ended.stderr());
}

/// The files and folders of a product's days, each for a product of its own.
fn targets(date: &str) -> Vec<PathBuf> {
    let in_dataset = |dataset: &str, names: &[&str]| -> Vec<PathBuf> {
        names.iter().map(|name| Path::new(dataset).join(format!("{name}.{date}.bin"))).collect()
    };
    let folders = ["", "TRADES", "MD"].map(PathBuf::from);
    let trades = ["trade_id", "trade_time", "trade_price", "maker_order_id", "trade_origin", "commit", "late"];
    let columns = in_dataset("TRADES", &trades).into_iter().chain(in_dataset("MD", &["time", "best_ask_size_f64", "commit"]));
    folders.into_iter().chain(columns).chain(in_dataset("TICKER_TRADES", &["trade_time", "commit"])).collect()
}

/// Trades before somebody interferes, behind one that is late.
const BEFORE: u64 = 40;

/// Does one deed to every target, each of its own product, while a capture records all of them. Nothing may be lost.
fn does_to_every_target((deed, act): Deed) {
    let fed = Fed::start();
    let folder = tempfile::tempdir().unwrap();
    let (data, away) = (folder.path().join("data"), folder.path().join("away"));
    fs::create_dir(&away).unwrap();
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let targets: Vec<(String, PathBuf)> = targets(&date).into_iter().enumerate().map(|(at, path)| (format!("P{at}-USD"), path)).collect();
    let mut args: Vec<&str> = targets.iter().map(|(product, _)| product.as_str()).collect();
    args.extend(["ZZZ-USD", "--url", &fed.server.url, "--sync", "100ms", "--gap-wait", "50ms"]);
    let capture = Capture::start(&data, &args);
    let products = || targets.iter().map(|(product, _)| product.as_str()).chain(["ZZZ-USD"]);
    // A trade that comes behind later ones: it is late, and happened before them.
    let first = now();
    for product in products() {
        (2..=BEFORE).for_each(|id| fed.trade(product, id));
        fed.send(match_frame(product, 1, &first));
    }
    let all = |last: u64| (1..=last).collect::<Vec<_>>();
    let is_there = |product: &str| data.join(product).join("TRADES").exists() && data.join(product).join("MD").exists();
    for product in products() {
        await_that(product, || is_there(product) && ids(&data, product).len() as u64 == BEFORE);
        await_that(product, || data.join(product).join("TRADES").join(format!("late.{date}.bin")).exists());
        await_that(product, || tickers(&data, product).len() as u64 == BEFORE - 1);
    }
    for (at, (product, target)) in targets.iter().enumerate() {
        let folder = data.join(product);
        let path = if target.as_os_str().is_empty() { folder } else { folder.join(target) };
        act(&path, &away.join(at.to_string()));
    }
    let own = data.join("_coltape");
    // Found without a new record: all that there was is there again.
    let is_restored =
        |product: &str| is_there(product) && ids(&data, product) == all(BEFORE) && tickers(&data, product).len() as u64 == BEFORE - 1;
    for (product, target) in &targets {
        await_that(&format!("{deed}: {product} {} is restored", target.display()), || is_restored(product));
        fed.trade(product, BEFORE + 1);
    }
    fed.trade("ZZZ-USD", BEFORE + 1);
    for product in products() {
        await_that(product, || ids(&data, product) == all(BEFORE + 1));
    }
    let restored = || lines(&own, "journal.").iter().filter(|line| line["event"] == "day_restored").count();
    await_that(deed, || deed == "moved away and linked" || restored() >= targets.len());
    let ended = capture.stop();
    assert!(!ended.stderr().contains("panicked"), "{}", ended.stderr());
    for product in products() {
        assert_eq!(ids(&data, product), all(BEFORE + 1), "{deed}: {product}");
        assert_eq!(tickers(&data, product), (2..=BEFORE + 1).collect::<Vec<_>>(), "{deed}: {product}");
    }
    if deed == "moved away and linked" {
        // The same files lie where they lay: nothing has happened.
        ended.assert_good();
    } else {
        assert_eq!(ended.output.status.code(), Some(1), "no silent success: {}", ended.stderr());
        assert!(ended.stderr().contains("removed or replaced"), "{}", ended.stderr());
        assert_eq!(ended.figure("unsealed"), 0.0, "{}", ended.stderr());
    }
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good, "{deed}: {said}");
}

#[test]
fn files_and_folders_of_a_day_that_are_removed_or_renamed_are_stored_again() {
    DEEDS.into_iter().take(2).for_each(does_to_every_target);
}

#[test]
fn files_and_folders_of_a_day_that_are_replaced_are_stored_again() {
    DEEDS.into_iter().skip(2).take(2).for_each(does_to_every_target);
}

#[test]
fn files_and_folders_of_a_day_that_become_links_are_stored_again() {
    DEEDS.into_iter().skip(4).take(1).for_each(does_to_every_target);
    // A folder that is a link to a place that is not there is not stored again elsewhere: the disk may come back.
    let is_dangling = DEEDS[5];
    let (deed, act) = is_dangling;
    let fed = Fed::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "ETH-USD", "--url", &fed.server.url, "--sync", "100ms"]);
    for product in ["BTC-USD", "ETH-USD"] {
        (1..=BEFORE).for_each(|id| fed.trade(product, id));
        await_that(product, || data.join(product).join("TRADES").exists() && ids(&data, product).len() as u64 == BEFORE);
    }
    let path = data.join("ETH-USD");
    act(&path, &path);
    let own = data.join("_coltape");
    await_that(deed, || lines(&own, "journal.").iter().any(|line| line["event"] == "write_failed" && line["product"] == "ETH-USD"));
    // The disk is there again.
    fs::create_dir_all(data.join("nowhere/at/all")).unwrap();
    await_that("it is stored again", || ids(&data, "ETH-USD").len() as u64 == BEFORE);
    let ended = capture.stop();
    assert_eq!(ended.output.status.code(), Some(1), "{}", ended.stderr());
    assert!(ended.stderr().contains("it is a link to a folder that is not there"), "{}", ended.stderr());
    assert_eq!((ids(&data, "BTC-USD").len() as u64, ids(&data, "ETH-USD").len() as u64), (BEFORE, BEFORE));
}

#[test]
fn files_removed_in_the_moment_of_the_stop_are_stored_again() {
    let fed = Fed::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Flushed so seldom that only the stop itself can notice.
    let capture = Capture::start(&data, &["BTC-USD", "--url", &fed.server.url, "--sync", "600s"]);
    (1..=BEFORE).for_each(|id| fed.trade("BTC-USD", id));
    await_that("there are trades", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD").len() as u64 == BEFORE);
    fs::remove_dir_all(data.join("BTC-USD")).unwrap();
    let ended = capture.stop();
    assert_eq!(ended.output.status.code(), Some(1), "{}", ended.stderr());
    assert_eq!(ids(&data, "BTC-USD").len() as u64, BEFORE, "{}", ended.stderr());
}
