//! A capture as a service: what it tells the service manager, what is run when it fails, and the way back to tickers only.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use coltape::internals::store::StoreOptions;
use rustix::process::{Pid, Signal};

use crate::capture::disk::{Mounts, fill};
use crate::capture::programs::{Simulator, await_journal, await_that, coltape, query, verify};
use crate::market::{FIRST_DAY, prints, store_all};

/// How long a manager that hears nothing takes it for silence: the capture sends once a second.
const SILENCE: Duration = Duration::from_secs(5);

/// A capture with a service manager that listens.
struct Service {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
    child: Child,
    said: Vec<String>,
    last_sign_of_life: Instant,
}

impl Service {
    /// Starts a capture in a folder in which `prepare` may make file systems.
    fn start(simulator: &Simulator, folder: tempfile::TempDir, address: &SocketAddr, name: &str, args: &[&str]) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let (url, rest) = (simulator.websocket(), simulator.endpoints["rest_url"].as_str().unwrap().to_owned());
        let child = coltape()
            .args(["capture", "BTC-USD", "--force-fs", "--url", &url, "--rest-url", &rest, "--data-dir"])
            .arg(folder.path().join("data"))
            .args(args)
            .env("NOTIFY_SOCKET", name)
            .env("WATCHDOG_USEC", "4000000")
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { folder, socket, child, said: Vec::new(), last_sign_of_life: Instant::now() }
    }

    fn in_folder(simulator: &Simulator, folder: tempfile::TempDir, args: &[&str]) -> Self {
        let path = folder.path().join("notify");
        Self::start(simulator, folder, &SocketAddr::from_pathname(&path).unwrap(), path.to_str().unwrap(), args)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Takes what has come. Gives how many lines were signs of life.
    fn listen(&mut self) -> usize {
        let (mut buffer, mut signs) = ([0; 8192], 0);
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            signs += text.lines().filter(|line| *line == "WATCHDOG=1").count();
            self.said.extend(text.lines().map(str::to_owned));
        }
        if signs > 0 {
            self.last_sign_of_life = Instant::now();
        }
        signs
    }

    fn await_line(&mut self, what: &str, is_it: impl Fn(&str) -> bool) {
        await_that(what, || {
            self.listen();
            self.said.iter().any(|line| is_it(line))
        });
    }

    /// Waits for so many further signs of life.
    fn await_signs(&mut self, count: usize) {
        let mut seen = 0;
        await_that("signs of life", || {
            seen += self.listen();
            seen >= count
        });
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Asks for the end. Gives the exit code.
    fn end(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// Ends it as [`Service::end`]. Gives its folder, in which another one may start.
    fn end_and_keep(mut self) -> tempfile::TempDir {
        self.end();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        fs::remove_file(folder.path().join("notify")).unwrap();
        folder
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stored(data: &Path) -> usize {
    query(data, "BTC-USD", &[]).len()
}

#[test]
fn the_service_manager_hears_that_the_capture_is_ready_lives_and_ends() {
    let simulator = Simulator::start(&["--products", "BTC-USD", "--rate", "20", "--seed", "11"]);
    let name = format!("coltape-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let mut service = Service::start(&simulator, tempfile::tempdir().unwrap(), &address, &format!("@{name}"), &[]);
    service.await_line("it connects", |line| line.starts_with("STATUS=running: 1 of 1 connections"));
    assert_eq!(service.said[0], "READY=1", "{:?}", service.said);
    service.await_signs(2);
    assert_eq!(service.end(), Some(0), "{}", service.log());
    service.listen();
    let count = |wanted: &str| service.said.iter().filter(|line| *line == wanted).count();
    assert_eq!((count("READY=1"), count("STOPPING=1")), (1, 1), "{:?}", service.said);
    // One that was killed says nothing; the next one is ready again.
    let mut killed = Service::in_folder(&simulator, tempfile::tempdir().unwrap(), &[]);
    killed.await_signs(1);
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    killed.listen();
    killed.said.clear();
    assert_eq!(killed.listen(), 0);
}

/// A frozen file system: whoever stores to it waits. It goes on when this is dropped.
pub(crate) struct Frozen(PathBuf);

impl Frozen {
    pub(crate) fn freeze(point: &Path) -> Option<Self> {
        let done = Command::new("fsfreeze").arg("-f").arg(point).status();
        if done.is_ok_and(|status| status.success()) {
            return Some(Self(point.to_owned()));
        }
        let _ = writeln!(std::io::stderr(), "skipped: nothing can be frozen here");
        None
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0).status();
    }
}

#[test]
fn a_capture_whose_threads_hang_gives_no_sign_of_life_until_they_go_on() {
    let folder = tempfile::tempdir().unwrap();
    // The product lies on a disk of its own, so that the watch does not hang with it.
    let (mut mounts, disk) = (Mounts::default(), folder.path().join("disk"));
    if !mounts.ext4(&folder.path().join("image"), 64 << 20, "loop", &disk) {
        return;
    }
    fs::create_dir_all(disk.join("BTC-USD")).unwrap();
    fs::create_dir_all(folder.path().join("data")).unwrap();
    std::os::unix::fs::symlink(disk.join("BTC-USD"), folder.path().join("data/BTC-USD")).unwrap();
    let simulator = Simulator::start(&["--products", "BTC-USD", "--rate", "200", "--seed", "12"]);
    let mut service = Service::in_folder(&simulator, folder, &[]);
    service.await_signs(1);
    let data = service.data();
    await_that("trades are stored", || data.join("BTC-USD/TRADES").exists() && stored(&data) > 100);
    let Some(frozen) = Frozen::freeze(&disk) else { return };
    await_that("the signs of life end", || {
        service.listen();
        service.last_sign_of_life.elapsed() > SILENCE && service.log().contains("not answering")
    });
    drop(frozen);
    service.await_signs(2);
    assert!(service.log().contains("all threads answer again"), "{}", service.log());
    assert_eq!(service.end(), Some(0), "{}", service.log());
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good, "{said}");
    let ids: Vec<u64> = query(&data, "BTC-USD", &[]).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "nothing is lost: {} trades", ids.len());
    drop(service);
}

#[test]
fn a_capture_on_a_full_disk_lives_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (mut mounts, disk) = (Mounts::default(), folder.path().join("data"));
    if !mounts.mount(&["-t", "tmpfs", "-o", "size=24m", "none"], &disk) {
        return;
    }
    let simulator = Simulator::start(&["--products", "BTC-USD", "--rate", "1500", "--seed", "13"]);
    let mut service = Service::in_folder(&simulator, folder, &["--queue-capacity", "512"]);
    let data = service.data();
    await_that("trades are stored", || data.join("BTC-USD/TRADES").exists() && stored(&data) > 100);
    fill(&disk.join("ballast"));
    await_journal(&data, "shed_started", 1);
    service.await_line("the status names the product", |line| line.starts_with("STATUS=running") && line.contains("BTC-USD"));
    // One comes each second at most: this is longer than a thread may hang.
    service.await_signs(7);
    fs::remove_file(disk.join("ballast")).unwrap();
    await_journal(&data, "allocation_recovered", 1);
    service.await_signs(1);
    drop(service);
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    output
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn script(name: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg(root().join("scripts").join(name));
    command
}

/// Every path below a folder, with what a file holds and its mode. Copies that the tools of users make beside their files are left out.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt;
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            if path.is_dir() {
                folders.push(path.clone());
            }
            let is_copy = path.to_string_lossy().ends_with('-');
            if !is_copy {
                found.insert(path.clone(), (mode, if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() }));
            }
        }
    }
    found
}

#[test]
fn what_ends_in_order_is_silent_and_what_fails_runs_the_hook() {
    let folder = tempfile::tempdir().unwrap();
    let (hook, heard) = (folder.path().join("hook"), folder.path().join("heard"));
    fs::write(&hook, format!("#!/bin/sh\necho \"$1 $SERVICE_RESULT\" >>{}\n", heard.display())).unwrap();
    run(Command::new("chmod").arg("+x").arg(&hook));
    let ended = |what: &str, result: &str| run(script("ended.sh").arg(what).env("COLTAPE_ON_FAILURE", &hook).env("SERVICE_RESULT", result));
    assert_eq!(text(&ended("ended", "success").stderr), "");
    assert!(!heard.exists());
    assert!(text(&ended("ended", "watchdog").stderr).contains("watchdog"));
    assert!(text(&ended("failed", "exit-code").stderr).contains("coltape doctor"));
    assert_eq!(fs::read_to_string(&heard).unwrap(), "ended watchdog\nfailed exit-code\n");
    run(script("ended.sh").arg("failed").env("COLTAPE_ON_FAILURE", folder.path().join("none")));
}

#[test]
fn the_way_back_removes_sealed_days_of_trades_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Two sealed days, and one that a capture is writing.
    let from = coltape::internals::time::UnixNanos(FIRST_DAY.next().start().0 - 300_000_000_000);
    store_all(&data, &prints(1, 600, from, 1_000_000_000), StoreOptions::default());
    let sealed = tree(&data);
    let rollback = |args: &[&str]| {
        script("rollback.sh").args(args).arg(&data).env("COLTAPE", env!("CARGO_BIN_EXE_coltape")).stdin(Stdio::null()).output().unwrap()
    };
    let said = rollback(&["--dry-run"]);
    assert!(said.status.success() && text(&said.stdout).contains("2 sealed days of trades"), "{said:?}");
    let unanswered = rollback(&[]);
    assert!(!unanswered.status.success() && text(&unanswered.stderr).contains("nothing is removed"), "{unanswered:?}");
    assert_eq!(tree(&data), sealed);
    // A damaged day is left alone.
    let damaged = data.join(format!("BTC-USD/TRADES/trade_price_f64.{FIRST_DAY}.bin"));
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[0] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let before = tree(&data);
    let said = rollback(&["--yes"]);
    assert!(said.status.success() && text(&said.stdout).contains("1 sealed days of trades"), "{said:?}");
    let next = FIRST_DAY.next().to_string();
    let is_removed = |path: &Path| path.parent().is_some_and(|folder| folder.ends_with("TRADES")) && path.to_string_lossy().contains(&next);
    let left: BTreeMap<_, _> = before.into_iter().filter(|(path, _)| !is_removed(path)).collect();
    assert_eq!(tree(&data), left);
    assert!(!query(&data, "BTC-USD", &["--dataset", "md", "--from", &next]).is_empty(), "tickers stay");
}

#[test]
fn there_is_no_way_back_beside_a_capture_of_trades() {
    let simulator = Simulator::start(&["--products", "BTC-USD", "--rate", "50", "--start", "2025-06-06T23:59:57Z", "--seed", "14"]);
    let folder = tempfile::tempdir().unwrap();
    let rollback =
        |data: &Path| script("rollback.sh").arg("--yes").arg(data).env("COLTAPE", env!("CARGO_BIN_EXE_coltape")).output().unwrap();
    let day = |data: &Path, date: &str| data.join(format!("BTC-USD/TRADES/trade_id.{date}.bin")).exists();
    let service = Service::in_folder(&simulator, folder, &[]);
    let data = service.data();
    await_that("the second day has begun", || day(&data, "2025-06-07") && stored(&data) > 200);
    let refused = rollback(&data);
    assert!(!refused.status.success() && text(&refused.stderr).contains("--datasets md"), "{refused:?}");
    let folder = service.end_and_keep();
    // An option that stands twice adds to itself.
    let mut service = Service::in_folder(&simulator, folder, &["--datasets=trades", "--datasets", "md"]);
    service.await_signs(1);
    let refused = rollback(&data);
    assert!(!refused.status.success() && text(&refused.stderr).contains("--datasets md"), "{refused:?}");
    let folder = service.end_and_keep();
    // Tickers only: the sealed days of trades go, while the capture records.
    let mut service = Service::in_folder(&simulator, folder, &["--datasets", "md"]);
    service.await_signs(1);
    service.await_line("it records", |line| line.starts_with("STATUS=running: 1 of 1"));
    let done = rollback(&data);
    assert!(done.status.success() && text(&done.stdout).contains("removed"), "{done:?}");
    assert!(!data.join("BTC-USD/TRADES").exists() && data.join("BTC-USD/MD").exists());
    service.end();
}
