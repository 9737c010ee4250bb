//! Every limit of the process lowered in turn (`ulimit`): a capture works fully, or it ends with exit 1 and names the limit and what raises it. It never
//! dies of a signal, and never says that it is done when it has stored nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal};

use super::disk::Endless;
use super::programs::{Capture, await_that, query, verify};

/// Trades that a capture has to store before it counts as working.
const ENOUGH: usize = 100;

/// Makes a command that runs the program under a limit.
fn limited(limit: &str, value: u64, before: &str, program: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!("ulimit {limit} {value} || exit 99; exec {before} \"$0\" \"$@\"")).arg(program);
    command.env_remove("COLTAPE_DATA_DIR").env("RUST_LOG", "info").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a run under a limit ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    WorkedFully,
    Refused,
}

struct Finished {
    code: Option<i32>,
    signal: Option<i32>,
    said: String,
}

/// Waits for the end of a process whose output nobody reads meanwhile: it is little.
fn finish(mut child: Child) -> Finished {
    let status = child.wait().unwrap();
    let mut said = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut said).unwrap();
    }
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    Finished { code: status.code(), signal: status.signal(), said }
}

fn ids(data: &Path, product: &str) -> Vec<u64> {
    query(data, product, &[]).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect()
}

/// Runs a capture of two products under a limit until it has stored enough, or has ended by itself.
fn capture_under(limit: &str, value: u64, before: &str, program: &Path) -> Ending {
    let what = format!("ulimit {limit} {value}");
    let server = Endless::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    if !before.is_empty() {
        use std::os::unix::fs::PermissionsExt;
        for path in [folder.path(), &data] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
    }
    let mut command = limited(limit, value, before, program);
    command.args(["capture", "BTC-USD", "ETH-USD", "--url", &server.url, "--data-dir"]).arg(&data);
    let mut child = command.spawn().unwrap();
    let has_enough = |product: &str| data.join(product).join("TRADES").exists() && ids(&data, product).len() >= ENOUGH;
    await_that(&what, || child.try_wait().unwrap().is_some() || ["BTC-USD", "ETH-USD"].into_iter().all(has_enough));
    if child.try_wait().unwrap().is_none() {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
    }
    let Finished { code, signal, said } = finish(child);
    assert_eq!(signal, None, "{what}: died of a signal: {said}");
    assert!(!said.contains("panicked"), "{what}: {said}");
    match code {
        Some(0) => {
            for product in ["BTC-USD", "ETH-USD"] {
                let stored = ids(&data, product);
                assert!(stored.len() >= ENOUGH && stored.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{what}: {} {said}", stored.len());
            }
            let (is_good, verified) = verify(&data, &[]);
            assert!(is_good, "{what}: {verified}");
            Ending::WorkedFully
        }
        Some(1) => {
            assert!(said.contains(&format!("ulimit {limit}")), "{what}: {said}");
            assert!(said.lines().any(|line| line.starts_with("error: ")), "{what}: {said}");
            Ending::Refused
        }
        other => panic!("{what}: exit {other:?}: {said}"),
    }
}

/// A limit, as `ulimit` spells it, values of it from low to high, and the first of them with which a capture must work.
type Sweep = (&'static str, &'static [u64], u64);

const KIB: u64 = 1;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

const SWEEPS: [Sweep; 12] = [
    // In KiB.
    ("-f", &[0, 1, 64, MIB, 64 * MIB, 256 * MIB - 1, 256 * MIB, 4 * GIB], 256 * MIB),
    ("-v", &[160 * MIB, 512 * MIB, GIB, 4 * GIB, 16 * GIB, 32 * GIB, 64 * GIB, 256 * GIB, 1024 * GIB], 32 * GIB),
    ("-d", &[24 * MIB, 64 * MIB, 256 * MIB, GIB, 2 * GIB, 8 * GIB], 2 * GIB),
    ("-s", &[64, 100, 256, 512, MIB - 1, MIB, 8 * MIB], MIB),
    ("-c", &[0], 0),
    ("-l", &[0, 64], 0),
    ("-m", &[0, MIB], 0),
    // In numbers.
    ("-n", &[6, 12, 24, 31, 32, 64, 100, 135, 136, 256, 1024], 136),
    ("-i", &[0], 0),
    ("-q", &[0], 0),
    ("-x", &[0], 0),
    // In seconds.
    ("-t", &[1, 5, 9, 60], 60),
];

/// Runs every job, a few at a time.
fn run_all<T: Send + Sync>(jobs: &[T], run: impl Fn(&T) + Sync) {
    let next = Mutex::new(jobs.iter());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(job) = { next.lock().unwrap().next() } {
                    run(job);
                }
            });
        }
    });
}

#[test]
fn under_every_limit_a_capture_works_fully_or_names_the_limit() {
    let program = Path::new(env!("CARGO_BIN_EXE_coltape"));
    let jobs: Vec<(&str, u64, u64)> =
        SWEEPS.iter().flat_map(|(limit, values, from)| values.iter().map(|value| (*limit, *value, *from))).collect();
    run_all(&jobs, |(limit, value, works_from)| {
        let ending = capture_under(limit, *value, "", program);
        let expected = if value >= works_from { Ending::WorkedFully } else { Ending::Refused };
        assert_eq!(ending, expected, "ulimit {limit} {value}");
    });
    println!("{} limits", jobs.len());
}

#[test]
fn a_soft_limit_of_open_files_is_raised() {
    assert_eq!(capture_under("-Sn", 8, "", Path::new(env!("CARGO_BIN_EXE_coltape"))), Ending::WorkedFully);
}

#[test]
fn with_too_few_processes_a_capture_works_fully_or_names_the_limit() {
    use std::os::unix::fs::PermissionsExt;
    // Nobody else is this user, so that only the capture's own threads count.
    let before = "setpriv --reuid=61234 --regid=61234 --clear-groups";
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("coltape");
    std::fs::copy(env!("CARGO_BIN_EXE_coltape"), &program).unwrap();
    let tried = Command::new("bash").arg("-c").arg(format!("exec {before} \"$0\" --version")).arg(&program).output().unwrap();
    if !tried.status.success() {
        let _ = writeln!(std::io::stderr(), "skipped: this user cannot become another one");
        return;
    }
    let endings: Vec<Ending> = (1..=24).step_by(3).chain([100]).map(|value| capture_under("-u", value, before, &program)).collect();
    assert_eq!((endings.first(), endings.last()), (Some(&Ending::Refused), Some(&Ending::WorkedFully)), "{endings:?}");
}

#[test]
fn a_capture_whose_cpu_time_ends_stores_what_it_has_and_says_so() {
    let server = Endless::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = limited("-t", 10, "", Path::new(env!("CARGO_BIN_EXE_coltape")));
    // Threads that never sleep.
    command.args(["capture", "BTC-USD", "--spin", "--url", &server.url, "--data-dir"]).arg(&data);
    let Finished { code, signal, said } = finish(command.spawn().unwrap());
    assert_eq!((code, signal), (Some(1), None), "{said}");
    assert!(said.contains("ulimit -t") && said.contains("sums hold"), "{said}");
    let stored = ids(&data, "BTC-USD");
    assert!(stored.len() >= ENOUGH && stored.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{}", stored.len());
}

#[test]
fn no_command_dies_of_a_file_that_grows_beyond_the_limit() {
    let server = Endless::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url]);
    await_that("there are trades", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD").len() > 1000);
    server.pause();
    capture.stop().assert_good();
    let (table, ledger) = (folder.path().join("table"), folder.path().join("ledger"));
    let program = Path::new(env!("CARGO_BIN_EXE_coltape"));
    let refused = |done: Finished| {
        assert_eq!((done.code, done.signal), (Some(1), None), "{}", done.said);
        assert!(done.said.contains("File too large"), "{}", done.said);
    };
    let mut query = limited("-f", 4, "", program);
    query.args(["query", "BTC-USD", "--format", "csv", "--data-dir"]).arg(&data).stdout(std::fs::File::create(&table).unwrap());
    refused(finish(query.spawn().unwrap()));
    let mut simulate = limited("-f", 4, "", program);
    simulate.args(["simulate", "--rate", "2000", "--duration", "1s", "--ledger"]).arg(&ledger);
    let mut simulator = simulate.spawn().unwrap();
    let mut endpoints = String::new();
    let mut out = BufReader::new(simulator.stdout.take().unwrap());
    out.read_line(&mut endpoints).unwrap();
    let url = serde_json::from_str::<serde_json::Value>(&endpoints).unwrap()["websocket_url"].as_str().unwrap().to_owned();
    // The market begins with its first subscriber.
    let _capture = Capture::start(&folder.path().join("other"), &["BTC-USD", "--url", &url]);
    refused(finish(simulator));
}
