//! The designs that the pipeline is held against, each run in a process of its own: `tape design NAME ...`.
//!
//! Every design connects, subscribes, says `warm` when it has its files open and `done` when all it was told to expect is in its files.
//! Then it waits until its standard input ends. The capture says nothing: its commit pages are read instead.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coltape::internals::capture::stop::Stop;
use coltape::internals::capture::{self, CaptureConfig};
use coltape::internals::feed::Feed;
use coltape::internals::product::ProductId;
use coltape::internals::record::Trade;
use coltape::internals::schema::{ColumnSet, Dataset, Datasets, Layout, Sink, Trades};
use coltape::internals::time::{Clock, TimeCache};
use native_tls::{Certificate, TlsConnector, TlsStream};
use tungstenite::{Message, WebSocket};

use crate::corpus::product_name;
use crate::rivals::{TypedMatch, value};

/// Columns that a design of the core columns has.
pub const COLUMNS: usize = 8;

/// What a design is told.
#[derive(Clone)]
pub struct Task {
    /// `capture`, `capture-full`, `capture-spin`, `naive`, `rival` or `discard`.
    pub design: String,
    /// Port of the sender on this machine.
    pub port: u16,
    /// The authority to trust; nothing for a plain connection.
    pub ca_file: Option<PathBuf>,
    /// Products of the corpus.
    pub products: usize,
    /// Where to write.
    pub folder: PathBuf,
    /// Messages after which the design is warm: every product has been seen.
    pub warm: u64,
    /// Messages in all.
    pub messages: u64,
}

impl Task {
    /// Spells the task as arguments.
    pub fn to_args(&self) -> Vec<String> {
        let ca = self.ca_file.as_deref().map_or("-".to_owned(), |path| path.display().to_string());
        let numbers = [u64::from(self.port), self.products as u64, self.warm, self.messages].map(|number| number.to_string());
        let [port, products, warm, messages] = numbers;
        vec!["design".into(), self.design.clone(), port, ca, products, self.folder.display().to_string(), warm, messages]
    }

    /// Reads what [`Task::to_args`] spelled, without its first word.
    pub fn from_args(args: &[String]) -> Self {
        let [design, port, ca, products, folder, warm, messages] = args else {
            panic!("design NAME PORT CA PRODUCTS FOLDER WARM MESSAGES")
        };
        Self {
            design: design.clone(),
            port: port.parse().unwrap(),
            ca_file: (ca != "-").then(|| ca.into()),
            products: products.parse().unwrap(),
            folder: folder.into(),
            warm: warm.parse().unwrap(),
            messages: messages.parse().unwrap(),
        }
    }
}

/// Runs a design to its end.
pub fn run(task: &Task) {
    match task.design.as_str() {
        "capture" => run_capture(task, ColumnSet::Core, false),
        "capture-full" => run_capture(task, ColumnSet::Full, false),
        "capture-spin" => run_capture(task, ColumnSet::Core, true),
        "naive" => listen(task, &mut Naive::new(task)),
        "rival" => listen(task, &mut Rival::new(task)),
        "discard" => listen(task, &mut Discard),
        other => panic!("no design {other}"),
    }
}

fn wait_for_end_of_input() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn run_capture(task: &Task, columns: ColumnSet, spins: bool) {
    let products = (0..task.products).map(|at| ProductId::new(&product_name(at)).unwrap());
    let scheme = if task.ca_file.is_some() { "wss" } else { "ws" };
    let url = format!("{scheme}://127.0.0.1:{}", task.port);
    let mut config = CaptureConfig::new(Feed::Exchange, &url, products, &task.folder);
    config.ca_file.clone_from(&task.ca_file);
    config.datasets = Datasets::of(&[Dataset::Trades]);
    config.columns = columns;
    config.spins = spins;
    config.force_fs = true;
    // One connection, as the others have.
    config.products_per_connection = task.products;
    config.idle_timeout = Duration::from_secs(60);
    let stop = Stop::default();
    let asked = stop.clone();
    std::thread::spawn(move || {
        wait_for_end_of_input();
        asked.ask();
    });
    let summary = capture::run(&config, &stop).unwrap();
    assert!(summary.failure.is_none() && summary.balances(), "{:?}", summary.failure);
}

/// Takes frames one after the other on one thread.
trait Design {
    fn take(&mut self, frame: &[u8]);
    /// What is due while nothing comes, and now and then while much does.
    fn tick(&mut self);
    /// Puts everything into the files.
    fn finish(&mut self);
}

/// The bytes under the other designs' WebSockets.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(bytes),
            Self::Tls(tls) => tls.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

fn connect(task: &Task) -> WebSocket<Stream> {
    let tcp = TcpStream::connect(("127.0.0.1", task.port)).unwrap();
    tcp.set_nodelay(true).unwrap();
    let scheme = if task.ca_file.is_some() { "wss" } else { "ws" };
    let stream = match &task.ca_file {
        None => Stream::Plain(tcp),
        Some(path) => {
            let authority = Certificate::from_pem(&std::fs::read(path).unwrap()).unwrap();
            let connector = TlsConnector::builder().add_root_certificate(authority).build().unwrap();
            Stream::Tls(Box::new(connector.connect("127.0.0.1", tcp).unwrap()))
        }
    };
    let (mut socket, _) =
        tungstenite::client(format!("{scheme}://127.0.0.1:{}", task.port), stream).unwrap_or_else(|error| panic!("{error}"));
    socket.send(Message::text("{\"type\":\"subscribe\"}")).unwrap();
    let tcp = match socket.get_ref() {
        Stream::Plain(tcp) => tcp,
        Stream::Tls(tls) => tls.get_ref(),
    };
    tcp.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket
}

/// Messages between two looks at the clock.
const LOOK: u64 = 64;

fn listen(task: &Task, design: &mut impl Design) {
    let mut socket = connect(task);
    let mut seen = 0;
    let say = |word: &str| {
        println!("{word}");
        std::io::stdout().flush().unwrap();
    };
    while seen < task.messages {
        match socket.read() {
            Ok(Message::Text(text)) if text.as_str().starts_with("{\"type\":\"match\"") => {
                design.take(text.as_bytes());
                seen += 1;
                if seen == task.warm {
                    design.finish();
                    say("warm");
                }
                if seen.is_multiple_of(LOOK) {
                    design.tick();
                }
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                design.tick();
            }
            // A run at a fixed rate ends when its sender has had its time.
            Err(_) => break,
        }
    }
    design.finish();
    say("done");
    wait_for_end_of_input();
}

/// Reads and forgets.
struct Discard;

impl Design for Discard {
    fn take(&mut self, frame: &[u8]) {
        std::hint::black_box(frame);
    }
    fn tick(&mut self) {}
    fn finish(&mut self) {}
}

fn paths(folder: &Path, product: &str) -> Vec<PathBuf> {
    let folder = folder.join(product).join("TRADES");
    std::fs::create_dir_all(&folder).unwrap();
    Dataset::Trades.columns_of(ColumnSet::Core).iter().map(|column| folder.join(format!("{}.bin", column.name))).collect()
}

/// Gives each column's bytes to a function.
struct Each<F>(F);

impl<F: FnMut(usize, &[u8])> Each<F> {
    fn put(&mut self, column: usize, bytes: &[u8]) {
        if column < COLUMNS {
            self.0(column, bytes);
        }
    }
}

impl<F: FnMut(usize, &[u8])> Sink for Each<F> {
    #[inline(always)]
    fn u32(&mut self, column: usize, value: u32) {
        self.put(column, &value.to_le_bytes());
    }
    #[inline(always)]
    fn u64(&mut self, column: usize, value: u64) {
        self.put(column, &value.to_le_bytes());
    }
    #[inline(always)]
    fn f32(&mut self, column: usize, value: f32) {
        self.put(column, &value.to_le_bytes());
    }
    #[inline(always)]
    fn f64(&mut self, column: usize, value: f64) {
        self.put(column, &value.to_le_bytes());
    }
    #[inline(always)]
    fn uuid(&mut self, column: usize, value: [u8; 16]) {
        self.put(column, &value);
    }
}

/// How often the naive design flushes.
const NAIVE_FLUSH: Duration = Duration::from_secs(2);
/// Bytes of one of its buffers.
const NAIVE_BUFFER_BYTES: usize = 128 << 10;

/// The naive design: a JSON tree a message, an ordered map of what is not written yet, eight buffered files a product, flushed every two seconds.
struct Naive {
    folder: PathBuf,
    waiting: BTreeMap<(u64, String), Trade>,
    files: HashMap<String, Vec<BufWriter<File>>>,
    flushed: Instant,
}

impl Naive {
    fn new(task: &Task) -> Self {
        Self { folder: task.folder.clone(), waiting: BTreeMap::new(), files: HashMap::new(), flushed: Instant::now() }
    }

    fn flush(&mut self) {
        for ((_, product), trade) in std::mem::take(&mut self.waiting) {
            if let Some(files) = self.files.get_mut(&product) {
                Trades::store(&trade, &mut Each(|column: usize, bytes: &[u8]| files[column].write_all(bytes).unwrap()));
            }
        }
        for file in self.files.values_mut().flatten() {
            file.flush().unwrap();
        }
        self.flushed = Instant::now();
    }
}

impl Design for Naive {
    fn take(&mut self, frame: &[u8]) {
        let Some((product, trade)) = value::matched(frame, Clock::System.now()) else { return };
        if !self.files.contains_key(&product) {
            let files = paths(&self.folder, &product);
            let files = files.iter().map(|path| BufWriter::with_capacity(NAIVE_BUFFER_BYTES, File::create(path).unwrap()));
            self.files.insert(product.clone(), files.collect());
        }
        self.waiting.insert((trade.trade_id, product), trade);
    }

    fn tick(&mut self) {
        if self.flushed.elapsed() >= NAIVE_FLUSH {
            self.flush();
        }
    }

    fn finish(&mut self) {
        self.flush();
    }
}

/// Bytes of records that the rival gathers in a column before it writes them.
const RIVAL_RECORDS: usize = 512;
/// How long it gathers at most.
const RIVAL_PATIENCE: Duration = Duration::from_millis(100);

/// An honest rival: typed reading with the same conversions, one thread, an array a column, written by `pwrite`.
struct Rival {
    folder: PathBuf,
    files: HashMap<String, RivalFiles>,
    times: TimeCache,
    written: Instant,
}

struct RivalFiles {
    files: Vec<File>,
    columns: Vec<Vec<u8>>,
    offsets: Vec<u64>,
    records: usize,
    last_id: u64,
}

impl RivalFiles {
    fn write(&mut self) {
        if self.records == 0 {
            return;
        }
        for ((file, column), offset) in self.files.iter().zip(&mut self.columns).zip(&mut self.offsets) {
            file.write_all_at(column, *offset).unwrap();
            *offset += column.len() as u64;
            column.clear();
        }
        self.records = 0;
    }
}

impl Rival {
    fn new(task: &Task) -> Self {
        Self { folder: task.folder.clone(), files: HashMap::new(), times: TimeCache::default(), written: Instant::now() }
    }
}

impl Design for Rival {
    fn take(&mut self, frame: &[u8]) {
        let recv = Clock::System.now();
        let Ok(typed) = serde_json::from_slice::<TypedMatch<'_>>(frame) else { return };
        let Some(trade) = typed.to_trade(recv, &mut self.times) else { return };
        if !self.files.contains_key(typed.product_id) {
            let files: Vec<File> = paths(&self.folder, typed.product_id).iter().map(|path| File::create(path).unwrap()).collect();
            let columns = vec![Vec::with_capacity(RIVAL_RECORDS * 16); files.len()];
            let offsets = vec![0; files.len()];
            self.files.insert(typed.product_id.to_owned(), RivalFiles { files, columns, offsets, records: 0, last_id: 0 });
        }
        let Some(files) = self.files.get_mut(typed.product_id) else { return };
        if trade.trade_id <= files.last_id {
            return;
        }
        files.last_id = trade.trade_id;
        Trades::store(&trade, &mut Each(|column: usize, bytes: &[u8]| files.columns[column].extend_from_slice(bytes)));
        files.records += 1;
        if files.records == RIVAL_RECORDS {
            files.write();
        }
    }

    fn tick(&mut self) {
        if self.written.elapsed() >= RIVAL_PATIENCE {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.files.values_mut().for_each(RivalFiles::write);
        self.written = Instant::now();
    }
}
