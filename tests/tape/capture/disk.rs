//! A capture and its disk: full, failing, read-only, without permission, removed, and a machine that loses power. The tests make real file systems and
//! unmount them at the end. Where nothing can be mounted, a test says so.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use super::programs::{Capture, Simulator, await_journal, await_that, coltape, journal, query, verify};
use super::scripted::{Server, match_frame, ticker_frame};

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

fn ids(data: &Path, product: &str) -> Vec<u64> {
    query(data, product, &[]).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect()
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|done| done.status.success())
}

/// File systems made for a test. They are unmounted in reverse order when dropped.
#[derive(Default)]
pub(crate) struct Mounts(Vec<PathBuf>);

impl Mounts {
    pub(crate) fn mount(&mut self, args: &[&str], point: &Path) -> bool {
        fs::create_dir_all(point).unwrap();
        let is_mounted = runs("mount", &[args, &[point.to_str().unwrap()]].concat());
        if is_mounted {
            self.0.push(point.to_owned());
        } else {
            let _ = writeln!(std::io::stderr(), "skipped: nothing can be mounted here");
        }
        is_mounted
    }

    /// Makes an ext4 inside a new file of which every block is allocated.
    pub(crate) fn ext4(&mut self, image: &Path, bytes: usize, options: &str, point: &Path) -> bool {
        fs::write(image, vec![0; bytes]).unwrap();
        let image = image.to_str().unwrap();
        let made =
            runs("mkfs.ext4", &["-q", "-F", "-b", "1024", "-J", "size=1", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", image]);
        // mkfs gives blocks back. They are written again, so that a device in memory has every block from now on.
        let bytes = fs::read(image).unwrap();
        fs::File::options().write(true).open(image).unwrap().write_all(&bytes).unwrap();
        made && self.mount(&["-o", options, image], point)
    }

    fn unmount_all(&mut self) {
        for point in self.0.drain(..).rev() {
            let _ = Command::new("umount").arg("-l").arg(point).status();
        }
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        self.unmount_all();
    }
}

/// Fills a disk to its last block.
pub(crate) fn fill(path: &Path) {
    // Its blocks are taken at once, however slow the disk is.
    let (file, mut taken) = (fs::File::create(path).unwrap(), 0);
    for size in [1 << 20, 4096, 512] {
        while rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), taken, size).is_ok() {
            taken += size;
        }
    }
}

/// Runs a capture while somebody else fills its disk in the middle of the day and then frees it.
fn fills_up_and_is_freed(mount: impl FnOnce(&mut Mounts, &Path, &Path) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let (mut mounts, disk) = (Mounts::default(), folder.path().join("disk"));
    if !mount(&mut mounts, &folder.path().join("image"), &disk) {
        return;
    }
    let (data, ledger, ballast) = (disk.join("data"), folder.path().join("ledger"), disk.join("ballast"));
    let mut simulator = Simulator::start(&[
        "--products",
        "BTC-USD",
        "--rate",
        "1500",
        "--duration",
        "12s",
        "--linger",
        "60s",
        "--ledger",
        ledger.to_str().unwrap(),
    ]);
    let (url, rest) = (simulator.websocket(), simulator.endpoints["rest_url"].as_str().unwrap().to_owned());
    let capture = Capture::start(&data, &["BTC-USD", "--url", &url, "--rest-url", &rest, "--queue-capacity", "512"]);
    await_that("there are trades", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD").len() > 100);
    fill(&ballast);
    // The blocks allocated in advance are used up, then the queue fills up, then the product sheds. Each step is journaled on the full disk.
    await_journal(&data, "allocation_failed", 1);
    await_journal(&data, "shed_started", 1);
    let error = journal(&data, "allocation_failed")[0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("no space left for") && error.contains("BTC-USD/") && error.contains(" free)"), "{error}");
    let seen = ids(&data, "BTC-USD");
    fs::remove_file(&ballast).unwrap();
    // The capture goes on by itself.
    await_journal(&data, "allocation_recovered", 1);
    await_that("trades are stored again", || ids(&data, "BTC-USD").len() > seen.len() + 500);
    await_that("it sheds no more", || journal(&data, "shed_ended").len() == journal(&data, "shed_started").len());
    simulator.await_totals();
    // The trades that were shed are fetched again.
    let ids_of = |event: &str| {
        let count = |line: &serde_json::Value| line["to_id"].as_u64().unwrap() - line["from_id"].as_u64().unwrap() + 1;
        journal(&data, event).iter().map(count).sum::<u64>()
    };
    await_that("the gaps are filled", || ids_of("gap_opened") > 0 && ids_of("gap_opened") == ids_of("gap_filled"));
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!(ended.figure("missing_ids"), 0.0);
    let (shed_trades, shed_tickers) = (ended.figure("trades_shed"), ended.figure("tickers_shed"));
    assert!(shed_trades > 0.0 && shed_tickers > 0.0, "{}", ended.stdout());
    assert!(ended.stderr().contains("no space left for"), "{}", ended.stderr());
    simulator.end();
    // No record is altered, doubled or invented. A record that is not there was counted and is reported.
    let (_, said) = verify(&data, &["--json", "--ledger", ledger.to_str().unwrap()]);
    let summary: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let findings: std::collections::BTreeMap<String, u64> = serde_json::from_value(summary["findings"].clone()).unwrap();
    let of = |kind: &str| findings.get(kind).copied().unwrap_or(0);
    assert_eq!(findings.keys().filter(|kind| *kind != "missing" && *kind != "lost").count(), 0, "{findings:?}");
    // A ticker is one record of `MD` and one of `TICKER_TRADES`.
    let (missing, lost_tickers) = (of("missing"), 2.0 * shed_tickers);
    assert_eq!(missing, 0, "every trade is there: {findings:?}");
    // What was sent while no connection stood reached nobody, and tickers cannot be fetched again.
    let reconnected = !journal(&data, "connection_lost").is_empty();
    let lost = of("lost") as f64;
    assert!(lost == lost_tickers || (reconnected && lost > lost_tickers), "{findings:?} {}\n{}", ended.stdout(), ended.stderr());
}

#[test]
fn a_full_ext4_loses_nothing_uncounted_and_the_capture_goes_on_when_there_is_room() {
    fills_up_and_is_freed(|mounts, image, disk| mounts.ext4(image, 48 << 20, "loop", disk));
}

#[test]
fn a_full_tmpfs_loses_nothing_uncounted_and_the_capture_goes_on_when_there_is_room() {
    fills_up_and_is_freed(|mounts, _, disk| mounts.mount(&["-t", "tmpfs", "-o", "size=32m", "none"], disk));
}

#[test]
fn a_disk_that_is_full_at_midnight_costs_nothing_in_the_end_and_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (mut mounts, disk) = (Mounts::default(), folder.path().join("disk"));
    if !mounts.mount(&["-t", "tmpfs", "-o", "size=32m", "none"], &disk) {
        return;
    }
    let (data, ballast) = (disk.join("data"), disk.join("ballast"));
    // The midnight before today's, so that the day is over by this box's clock, too.
    let today = jiff::Timestamp::now().strftime("%Y-%m-%dT00:00:00Z").to_string().parse::<jiff::Timestamp>().unwrap();
    let start = (today - jiff::SignedDuration::from_secs(4)).to_string();
    // Trades that are fetched when others behind them are written: they are late, and a seal has to put them in their place.
    let faults = ["--faults", "drop=0.01,rest-slow:300ms=1"];
    let market = ["--rate", "1500", "--start", &start, "--duration", "12s", "--linger", "60s"];
    let mut simulator = Simulator::start(&[market.as_slice(), &faults].concat());
    let (url, rest) = (simulator.websocket(), simulator.endpoints["rest_url"].as_str().unwrap().to_owned());
    let capture = Capture::start(&data, &["BTC-USD", "--url", &url, "--rest-url", &rest, "--queue-capacity", "512", "--gap-wait", "50ms"]);
    await_that("there are late trades", || data.join("BTC-USD/TRADES").exists() && journal(&data, "gap_left").len() > 3);
    fill(&ballast);
    await_journal(&data, "shed_started", 1);
    // Gaps are filled, and late trades cannot be put in their place meanwhile.
    await_that("midnight has passed", || {
        ids(&data, "BTC-USD").len() > 5000 || journal(&data, "write_failed").len() + journal(&data, "allocation_failed").len() > 0
    });
    fs::remove_file(&ballast).unwrap();
    simulator.await_totals();
    await_that("it sheds no more", || journal(&data, "shed_ended").len() == journal(&data, "shed_started").len());
    let ids_of = |event: &str| {
        let count = |line: &serde_json::Value| line["to_id"].as_u64().unwrap() - line["from_id"].as_u64().unwrap() + 1;
        journal(&data, event).iter().map(count).sum::<u64>()
    };
    await_that("the gaps are filled", || ids_of("gap_opened") > 0 && ids_of("gap_opened") == ids_of("gap_filled"));
    let ended = capture.stop();
    assert_eq!(ended.figure("missing_ids"), 0.0);
    ended.assert_good();
    println!("{} seals had failed", journal(&data, "seal_failed").len());
    simulator.end();
    let stored = ids(&data, "BTC-USD");
    assert!(stored.len() > 1000 && stored.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{}", stored.len());
}

/// A server that keeps sending a trade and its ticker until it is told to pause or is dropped.
pub(crate) struct Endless {
    pub(crate) url: String,
    is_over: Arc<AtomicBool>,
    _server: Server,
}

impl Endless {
    pub(crate) fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, next) = (Arc::clone(&is_over), std::sync::Mutex::new(1));
        let server = Server::start(move |_, mut session| {
            let products = session.await_subscription();
            session.acknowledge(&products);
            while !over.load(Ordering::Relaxed) {
                let mut next = next.lock().unwrap();
                for _ in 0..20 {
                    for product in &products {
                        session.send(match_frame(product, *next, &now()));
                        session.send(ticker_frame(product, *next, &now()));
                    }
                    *next += 1;
                }
                drop(next);
                // The rate of a market; this waits for nothing.
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            session.linger();
        });
        Self { url: server.url.clone(), is_over, _server: server }
    }

    pub(crate) fn pause(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.pause();
    }
}

/// Deallocates, in a device's backing file, the blocks that belong to files of a folder and were never written.
fn deallocate_unwritten_blocks(folder: &Path, image: &Path) {
    rustix::fs::syncfs(fs::File::open(folder).unwrap()).unwrap();
    let image = fs::File::options().write(true).open(image).unwrap();
    let mut taken = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let listed = Command::new("filefrag").args(["-v", "-b1024"]).arg(path).output().unwrap();
        // `ext:  logical_offset:  physical_offset:  length:  expected:  flags:`, each offset a range.
        for line in String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.contains("unwritten")) {
            let physical = line.split(':').nth(2).unwrap();
            let ends: Vec<u64> = physical.split("..").map(|end| end.trim().parse().unwrap()).collect();
            let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&image, flags, ends[0] * 1024, (ends[1] + 1 - ends[0]) * 1024).unwrap();
            taken += ends[1] + 1 - ends[0];
        }
    }
    assert!(taken > 0, "nothing is allocated ahead");
}

/// Gives the ranges of ids that `verify` calls missing.
fn missing(data: &Path) -> Vec<std::ops::RangeInclusive<u64>> {
    let (_, said) = verify(data, &["--json"]);
    let findings = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let texts = findings.filter(|line| line["kind"] == "missing").filter_map(|line| Some(line["text"].as_str()?.to_owned()));
    let ranges = texts.map(|text| {
        let (ids, _) = text.split_once(':').unwrap();
        let mut numbers = ids.split(' ').filter_map(|word| word.parse().ok());
        let first = numbers.next().unwrap();
        first..=numbers.next().unwrap_or(first)
    });
    ranges.collect()
}

#[test]
fn a_disk_that_fails_ends_the_capture_and_the_next_one_finds_all_that_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (mut mounts, backing, disk) = (Mounts::default(), folder.path().join("backing"), folder.path().join("disk"));
    let image = backing.join("image");
    if !mounts.mount(&["-t", "tmpfs", "-o", "size=40m", "none"], &backing)
        || !mounts.ext4(&image, 32 << 20, "loop,errors=continue,data_err=ignore", &disk)
    {
        return;
    }
    let server = Endless::start();
    let data = disk.join("data");
    let args = ["BTC-USD", "--url", &server.url, "--sync", "300ms"];
    let mut capture = Capture::start(&data, &args);
    await_that("there are trades", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD").len() > 5000);
    // The blocks that the columns have in advance of their records are taken away below the file system, and the backing disk is filled. From now on
    // these blocks cannot be written. The capture is stopped meanwhile, so that it uses none of them.
    let ballast = backing.join("ballast");
    capture.signal(Signal::STOP);
    deallocate_unwritten_blocks(&data.join("BTC-USD/TRADES"), &image);
    fill(&ballast);
    capture.signal(Signal::CONT);
    // What readers see before the end.
    let mut seen = Vec::new();
    await_that("the capture has ended", || {
        let visible = ids(&data, "BTC-USD");
        if visible.len() > seen.len() {
            seen = visible;
        }
        capture.has_ended()
    });
    let ended = capture.wait();
    assert_eq!(ended.output.status.code(), Some(1), "{}", ended.stderr());
    assert!(ended.stderr().contains("the disk does not take what is recorded"), "{}", ended.stderr());
    fs::remove_file(&ballast).unwrap();
    let capture = Capture::start(&data, &args);
    await_that("it records again", || ids(&data, "BTC-USD").last().is_some_and(|last| last > seen.last().unwrap()));
    let there: std::collections::BTreeSet<u64> = ids(&data, "BTC-USD").into_iter().collect();
    // What could not be written stays in the kernel's cache as long as it has the memory. What it gave up is not kept in silence.
    let lost: Vec<u64> = seen.iter().copied().filter(|id| !there.contains(id)).collect();
    let named = missing(&data);
    let unnamed: Vec<&u64> = lost.iter().filter(|id| !named.iter().any(|range| range.contains(id))).collect();
    assert!(unnamed.is_empty(), "{} of {} that were seen are gone, from {:?}", unnamed.len(), seen.len(), unnamed.first());
    server.pause();
    capture.stop().assert_leaves(&["missing"]);
    // Mounted again, so not from a cache: what was sealed is on the device.
    assert!(runs("umount", &[disk.to_str().unwrap()]) && runs("mount", &["-o", "loop", image.to_str().unwrap(), disk.to_str().unwrap()]));
    let there: std::collections::BTreeSet<u64> = ids(&data, "BTC-USD").into_iter().collect();
    assert!(seen.iter().all(|id| there.contains(id) || lost.contains(id)));
    println!("{} trades were seen before the end, {} of them were given up by the kernel", seen.len(), lost.len());
}

#[test]
fn a_data_directory_that_is_removed_under_a_running_capture_is_named_and_ends_it() {
    let server = Endless::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut capture = Capture::start(&data, &["BTC-USD", "--url", &server.url]);
    await_that("there are trades", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD").len() > 50);
    fs::remove_dir_all(&data).unwrap();
    await_that("the capture has ended", || capture.has_ended());
    let ended = capture.wait();
    server.pause();
    assert_eq!(ended.output.status.code(), Some(1), "{}", ended.stderr());
    let said = format!("{} is gone", data.display());
    assert!(ended.stderr().contains(&said) && !ended.stderr().contains("panicked"), "{}", ended.stderr());
}

#[test]
fn a_products_folder_that_is_removed_is_named_and_stored_again_and_costs_the_others_nothing() {
    let server = Endless::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "ETH-USD", "--url", &server.url]);
    await_that("there are trades", || data.join("ETH-USD/TRADES").exists() && ids(&data, "ETH-USD").len() > 50);
    let others = ids(&data, "BTC-USD");
    await_that("it is removed", || fs::remove_dir_all(data.join("ETH-USD")).is_ok());
    await_journal(&data, "day_restored", 3);
    // What was in it is there again, and what comes is stored behind it.
    await_that("there are trades again", || data.join("ETH-USD/TRADES").exists() && ids(&data, "ETH-USD").len() > others.len() + 50);
    server.pause();
    let ended = capture.stop();
    assert_eq!(ended.output.status.code(), Some(1), "no silent success: {}", ended.stderr());
    assert!(ended.stderr().contains("ETH-USD/TRADES") && ended.stderr().contains("was removed or replaced"), "{}", ended.stderr());
    for product in ["BTC-USD", "ETH-USD"] {
        let kept = ids(&data, product);
        assert!(kept.len() > others.len() && kept.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{product}: {} trades", kept.len());
        assert_eq!(kept.first(), others.first(), "{product}");
    }
}

/// Runs a command that must exit with 1. Gives what it printed.
fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_read_only_data_directory_is_refused_by_its_name_and_can_still_be_read() {
    let server = Server::start(|_, session| session.linger());
    let folder = tempfile::tempdir().unwrap();
    let (mut mounts, disk) = (Mounts::default(), folder.path().join("disk"));
    if !mounts.mount(&["-t", "tmpfs", "-o", "size=16m", "none"], &disk) {
        return;
    }
    let data = disk.join("data");
    let feed = Endless::start();
    let capture = Capture::start(&data, &["BTC-USD", "--url", &feed.url]);
    await_that("there are trades", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD").len() > 50);
    feed.pause();
    capture.stop().assert_good();
    let stored = ids(&data, "BTC-USD");
    assert!(runs("mount", &["-o", "remount,ro", disk.to_str().unwrap()]));
    for at in [data.clone(), disk.join("new")] {
        let said = refused(coltape().args(["capture", "BTC-USD", "--url", &server.url, "--data-dir"]).arg(&at));
        assert!(said.contains(at.to_str().unwrap()) && said.contains("Read-only file system"), "{said}");
    }
    assert_eq!(server.connections(), 0, "no data is requested that cannot be stored");
    assert_eq!(ids(&data, "BTC-USD"), stored);
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good, "{said}");
}

#[test]
fn a_forbidden_data_directory_is_refused_by_its_name() {
    use std::os::unix::fs::PermissionsExt;
    let nobody = |program: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
        command
    };
    let folder = tempfile::tempdir().unwrap();
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(folder.path(), 0o755);
    // Other users may have no access to the build's own folder.
    let program = folder.path().join("coltape");
    fs::copy(env!("CARGO_BIN_EXE_coltape"), &program).unwrap();
    let program = program.to_str().unwrap();
    if !nobody(program).arg("--version").output().is_ok_and(|done| done.status.success()) {
        let _ = writeln!(std::io::stderr(), "skipped: this user cannot become another one");
        return;
    }
    let (closed, readable) = (folder.path().join("closed"), folder.path().join("readable"));
    fs::create_dir(&closed).unwrap();
    fs::create_dir(&readable).unwrap();
    allow(&closed, 0o700);
    allow(&readable, 0o755);
    for data in [&closed, &readable] {
        let said = refused(nobody(program).args(["capture", "BTC-USD", "--url", "ws://127.0.0.1:1", "--data-dir"]).arg(data));
        assert!(said.contains(data.to_str().unwrap()) && said.contains("Permission denied"), "{said}");
    }
    for command in [vec!["verify"], vec!["query", "BTC-USD", "--data-dir"]] {
        let said = refused(nobody(program).args(command).arg(&closed));
        assert!(said.contains(closed.to_str().unwrap()), "{said}");
    }
}

#[test]
fn a_real_file_system_that_loses_power_keeps_what_was_promised() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/powercut.sh");
    let output = Command::new(script).args(["3"]).env("COLTAPE", env!("CARGO_BIN_EXE_coltape")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    if let Some(why) = said.lines().find(|line| line.contains("skipped:")) {
        let _ = writeln!(std::io::stderr(), "{why}");
    } else {
        assert!(said.contains("power cuts: 3 survived"), "{said}");
    }
}
