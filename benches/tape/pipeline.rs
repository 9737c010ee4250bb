//! From a loopback socket to the files: each design in a process of its own, fed by a sender here.
//!
//! A run's clock starts when every product's files are open, and stops when the last message is in them. CPU is that of the design's
//! threads, as the scheduler counts it; the sender's is left out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use openssl::ssl::SslAcceptor;

use crate::corpus::product_name;
use crate::designs::Task;
use crate::rounds::Measured;
use crate::sender::{Peer, Wire, accept, certificate};
use crate::write::folder;

/// The capture, the core columns.
pub const CAPTURE: &str = "capture";
/// The capture, all columns.
pub const FULL: &str = "capture-full";
/// The capture, the core columns, `--spin`.
pub const SPIN: &str = "capture-spin";
/// The naive design.
pub const NAIVE: &str = "naive";
/// Typed, one thread, `pwrite`.
pub const RIVAL: &str = "rival";
/// Nothing but the socket.
pub const DISCARD: &str = "discard";

/// How long a design may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Byte of the commit page where the number of visible records stands: the first word of its second sector.
const COMMITTED_AT: u64 = 512;

/// A design at work.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    words: Receiver<String>,
    peer: Peer,
    task: Task,
}

impl Running {
    fn start(design: &str, products: usize, folder: &Path, wire: &Wire, messages: usize, tls: Option<&(SslAcceptor, PathBuf)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let task = Task {
            design: design.to_owned(),
            port: listener.local_addr().unwrap().port(),
            ca_file: tls.map(|(_, path)| path.clone()),
            products,
            folder: folder.to_owned(),
            warm: wire.warm as u64,
            messages: messages as u64,
        };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(task.to_args())
            .env("RUST_LOG", "error")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, words) = channel();
        std::thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        let peer = accept(&listener, tls.map(|(acceptor, _)| acceptor), products);
        Self { child, input, words, peer, task }
    }

    fn is_capture(&self) -> bool {
        self.task.design.starts_with(CAPTURE)
    }

    /// Waits until the design says `word`; the capture's pages have to show `records` records instead.
    fn await_word(&self, word: &str, records: u64) {
        if !self.is_capture() {
            let said = self.words.recv_timeout(PATIENCE).unwrap();
            assert_eq!(said, word);
            return;
        }
        let began = Instant::now();
        while self.stored() < records {
            assert!(began.elapsed() < PATIENCE, "{} of {records} records after {:?}", self.stored(), began.elapsed());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stored(&self) -> u64 {
        (0..self.task.products).map(|at| Visible::of(&self.task, at).map_or(0, |visible| visible.count())).sum()
    }

    /// Gives the CPU time of all its threads so far.
    fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_by_kind().values().sum())
    }

    /// Gives the same by what the threads do, in nanoseconds: their names up to a colon.
    fn cpu_by_kind(&self) -> BTreeMap<String, u64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let mut kinds = BTreeMap::new();
        for (kind, nanos) in tasks.filter_map(|task| {
            let path = task.ok()?.path();
            let used = std::fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse::<u64>().ok()?;
            let name = std::fs::read_to_string(path.join("comm")).ok()?;
            Some((name.trim().split(':').next()?.to_owned(), used))
        }) {
            *kinds.entry(kind).or_insert(0) += nanos;
        }
        kinds
    }

    fn finish(mut self) {
        // The capture ends by itself once its input has ended; the connection is kept until then, as its loss would be told.
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// Looks how many records of a product can be seen.
enum Visible {
    /// In the commit pages: shortly before midnight tomorrow's is there already.
    Committed(Vec<File>),
    /// By the length of the file that is written last.
    Length(File),
}

impl Visible {
    fn of(task: &Task, product: usize) -> Option<Self> {
        let folder = task.folder.join(product_name(product)).join("TRADES");
        if !task.design.starts_with(CAPTURE) {
            return File::open(folder.join("taker_order_id.bin")).ok().map(Self::Length);
        }
        let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
        let pages = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("commit."));
        Some(Self::Committed(pages.filter_map(|entry| File::open(entry.path()).ok()).collect()))
    }

    fn count(&self) -> u64 {
        match self {
            Self::Committed(pages) => {
                let committed = |page: &File| {
                    let mut word = [0; 8];
                    page.read_exact_at(&mut word, COMMITTED_AT).map_or(0, |()| u64::from_le_bytes(word))
                };
                pages.iter().map(committed).sum()
            }
            Self::Length(file) => file.metadata().map_or(0, |found| found.len() / 16),
        }
    }
}

/// Lets a design finish what it began with: the capture's first flush brings new files and folders to disk.
fn settle(products: usize) {
    std::thread::sleep(Duration::from_millis(if products > 100 { 3_000 } else { 1_500 }));
}

/// One run as fast as it goes. Gives messages a second and CPU time a message.
fn saturate(design: &str, products: usize, wire: &Wire, tls: bool) -> (f64, f64) {
    let folder = folder();
    let secured = tls.then(|| certificate(folder.path()));
    let mut running = Running::start(design, products, &folder.path().join("data"), wire, wire.ends.len(), secured.as_ref());
    running.peer.send(wire.part(0, wire.warm));
    running.await_word("warm", wire.warm as u64);
    settle(products);
    let messages = wire.ends.len() - wire.warm;
    let (cpu, began) = (running.cpu(), Instant::now());
    running.peer.send(wire.part(wire.warm, wire.ends.len()));
    running.await_word("done", wire.ends.len() as u64);
    let (took, used) = (began.elapsed(), running.cpu() - cpu);
    running.finish();
    (messages as f64 / took.as_secs_f64(), used.as_nanos() as f64 / 1000.0 / messages as f64)
}

/// What a run at a fixed rate showed.
struct Paced {
    cpu_micros: f64,
    reached: f64,
    latencies: Vec<Duration>,
}

/// Messages the watched product may have in a run.
const WATCHED: usize = 1 << 20;

/// How often the watched product is looked at.
const LOOK: Duration = Duration::from_micros(20);

/// One run at so many messages a second. The latency is that of the first product's messages.
fn pace(design: &str, products: usize, wire: &Wire, per_second: u64, length: Duration) -> Paced {
    let folder = folder();
    // More than will come: the run ends when the sender hangs up.
    let mut running = Running::start(design, products, &folder.path().join("data"), wire, usize::MAX >> 1, None);
    running.peer.send(wire.part(0, wire.warm));
    running.await_word("warm", wire.warm as u64);
    settle(products);
    let visible = Visible::of(&running.task, 0);
    let (sent_at, is_over) = ((0..WATCHED).map(|_| AtomicU64::new(0)).collect::<Vec<_>>(), AtomicBool::new(false));
    let epoch = Instant::now();
    let (cpu, began) = (running.cpu(), Instant::now());
    let mut last = wire.warm;
    let latencies = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            // Otherwise each of its sleeps takes 50 us more.
            rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).unwrap();
            let mut latencies = Vec::new();
            let Some(visible) = &visible else { return latencies };
            let mut seen = 1;
            while !is_over.load(Ordering::Acquire) {
                let count = visible.count();
                let now = epoch.elapsed().as_nanos() as u64;
                while seen < count {
                    latencies.push(Duration::from_nanos(now.saturating_sub(sent_at[seen as usize].load(Ordering::Acquire))));
                    seen += 1;
                }
                std::thread::sleep(LOOK);
            }
            latencies
        });
        let mut watched = 1;
        last = running.peer.send_at_rate(wire, wire.warm, per_second, length, |number| {
            if wire.products[number] == 0 {
                sent_at[watched].store(epoch.elapsed().as_nanos() as u64, Ordering::Release);
                watched += 1;
            }
        });
        is_over.store(true, Ordering::Release);
        watcher.join().unwrap()
    });
    let messages = (last - wire.warm) as f64;
    let reached = messages / began.elapsed().as_secs_f64();
    let used = running.cpu() - cpu;
    running.finish_paced();
    Paced { cpu_micros: used.as_nanos() as f64 / 1000.0 / messages, reached, latencies }
}

impl Running {
    /// Ends a design that waits for more.
    fn finish_paced(mut self) {
        if self.is_capture() {
            return self.finish();
        }
        let Self { peer, .. } = &mut self;
        if let Peer::Plain(tcp) = peer {
            tcp.shutdown(std::net::Shutdown::Both).unwrap();
        }
        self.finish();
    }
}

/// Contest of 12 products.
pub const TWELVE: &str = "pipeline: 12 products, as fast as it goes";
/// Contest of one product.
pub const ONE: &str = "pipeline: 1 product, as fast as it goes";
/// Contest of 400 products.
pub const MANY: &str = "pipeline: 400 products, as fast as it goes";
/// Contest over TLS.
pub const TLS: &str = "pipeline: 12 products over TLS, as fast as it goes";
/// Contest at 1000 messages a second.
pub const CALM: &str = "pipeline: 12 products, 1 000 messages a second in all";
/// Contest at 10 000 messages a second.
pub const BUSY: &str = "pipeline: 12 products, 10 000 messages a second in all";
/// The same of 400 products.
pub const BUSY_MANY: &str = "pipeline: 400 products, 10 000 messages a second in all";

/// Gives the name of a series: what of which design.
pub fn rate(design: &str) -> String {
    format!("{design}: messages/s")
}

/// Gives the name of a series.
pub fn latency(design: &str, quantile: &str) -> String {
    format!("{design}: sent to visible, {quantile}")
}

/// Gives the name of a series.
pub fn cpu(design: &str) -> String {
    format!("{design}: CPU a message")
}

fn saturated(contest: &'static str, designs: &[&str], products: usize, wire: &Wire, tls: bool, round: usize, measured: &mut Measured) {
    for turn in 0..designs.len() {
        let design = designs[(round + turn) % designs.len()];
        let (per_second, micros) = saturate(design, products, wire, tls);
        measured.note(contest, &rate(design), "messages/s", per_second);
        measured.note(contest, &cpu(design), "us CPU/message", micros);
    }
}

fn paced(contest: &'static str, designs: &[&str], products: usize, wire: &Wire, per_second: u64, round: usize, measured: &mut Measured) {
    for turn in 0..designs.len() {
        let design = designs[(round + turn) % designs.len()];
        let mut found = pace(design, products, wire, per_second, PACED_FOR);
        measured.note(contest, &cpu(design), "us CPU/message", found.cpu_micros);
        measured.note(contest, &format!("{design}: reached"), "messages/s", found.reached);
        found.latencies.sort_unstable();
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let at = (share * found.latencies.len() as f64) as usize;
            if let Some(took) = found.latencies.get(at) {
                measured.note(contest, &latency(design, name), "us", took.as_nanos() as f64 / 1000.0);
            }
        }
    }
}

/// How long a run at a fixed rate lasts. Longer than two of the naive design's flushes.
const PACED_FOR: Duration = Duration::from_millis(4_500);

/// Messages of a run as fast as it goes.
const MESSAGES: usize = 400_000;

/// Holds all contests of the pipeline whose name contains `only`.
pub fn hold(rounds: usize, only: &str, measured: &mut Measured) {
    let wants = |name: &str| name.contains(only);
    if wants(ONE) {
        let wire = Wire::new(1, MESSAGES);
        (0..rounds).for_each(|round| saturated(ONE, &[CAPTURE, NAIVE], 1, &wire, false, round, measured));
    }
    if [TWELVE, TLS, CALM, BUSY].into_iter().any(wants) {
        let wire = Wire::new(12, MESSAGES);
        for round in 0..rounds {
            if wants(TWELVE) {
                saturated(TWELVE, &[CAPTURE, FULL, NAIVE, RIVAL, DISCARD], 12, &wire, false, round, measured);
            }
            if wants(TLS) {
                saturated(TLS, &[CAPTURE, NAIVE, RIVAL, DISCARD], 12, &wire, true, round, measured);
            }
            if wants(CALM) {
                paced(CALM, &[CAPTURE, NAIVE, RIVAL], 12, &wire, 1_000, round, measured);
            }
            if wants(BUSY) {
                paced(BUSY, &[CAPTURE, SPIN, NAIVE, RIVAL], 12, &wire, 10_000, round, measured);
            }
        }
    }
    if [MANY, BUSY_MANY].into_iter().any(wants) {
        let wire = Wire::new(400, MESSAGES);
        for round in 0..rounds {
            if wants(MANY) {
                saturated(MANY, &[CAPTURE, NAIVE, RIVAL], 400, &wire, false, round, measured);
            }
            if wants(BUSY_MANY) {
                paced(BUSY_MANY, &[CAPTURE, NAIVE], 400, &wire, 10_000, round, measured);
            }
        }
    }
}

/// Runs one design by itself, for whoever looks into it: as fast as it goes, or at so many messages a second; prints what each kind of its threads used.
/// `DESIGN PRODUCTS MESSAGES [RATE]`.
pub fn probe(args: &[String]) {
    let [design, products, messages, rest @ ..] = args else { panic!("probe DESIGN PRODUCTS MESSAGES [RATE]") };
    let (products, messages) = (products.parse().unwrap(), messages.parse().unwrap());
    let per_second: Option<u64> = rest.first().map(|text| text.parse().unwrap());
    let wire = Wire::new(products, messages);
    let folder = folder();
    let mut running = Running::start(design, products, &folder.path().join("data"), &wire, wire.ends.len(), None);
    running.peer.send(wire.part(0, wire.warm));
    running.await_word("warm", wire.warm as u64);
    settle(products);
    println!("pid {}", running.child.id());
    let (before, began) = (running.cpu_by_kind(), Instant::now());
    match per_second {
        None => running.peer.send(wire.part(wire.warm, wire.ends.len())),
        Some(per_second) => {
            running.peer.send_at_rate(&wire, wire.warm, per_second, Duration::MAX, |_| ());
        }
    }
    running.await_word("done", wire.ends.len() as u64);
    let (took, after) = (began.elapsed(), running.cpu_by_kind());
    println!("{} messages/s", (messages as f64 / took.as_secs_f64()) as u64);
    for (kind, nanos) in after {
        let used = nanos - before.get(&kind).unwrap_or(&0);
        println!("  {kind:<16} {:>8.3} us CPU a message", used as f64 / 1000.0 / messages as f64);
    }
    running.finish();
}
