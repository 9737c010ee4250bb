//! What an answer of a gigabyte costs the server in memory: the most anonymous memory of its process (`RssAnon`) while a client reads, fast and slowly. Each
//! answer has a server of its own, the program itself.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::client::{Portion, ask};
use crate::rounds::Measured;
use crate::sealed_day::SealedDay;

pub const NAME: &str = "memory: a client reads a gigabyte";
/// Bytes of the body that are read.
const BYTES: u64 = 1 << 30;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(2);
/// The pause of a slow client behind each megabyte: 16 seconds for a gigabyte.
const SLOWLY: Duration = Duration::from_millis(16);

pub const ASKED: [(&str, &str, Duration); 6] = [
    ("JSON Lines", "jsonl", Duration::ZERO),
    ("JSON Lines, slowly", "jsonl", SLOWLY),
    ("CSV", "csv", Duration::ZERO),
    ("CSV, newest first", "csv&order=desc", Duration::ZERO),
    ("Arrow", "arrow", Duration::ZERO),
    ("Parquet", "parquet", Duration::ZERO),
];

/// A server; killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a gigabyte of each answer, once.
pub fn hold(day: &SealedDay, measured: &mut Measured) {
    for (name, format, pause) in ASKED {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coltape"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .arg(day.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let server = Server(child);
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('"').next()).expect("an address").parse().unwrap();
        let before = anonymous(server.0.id());
        let is_over = Arc::new(AtomicBool::new(false));
        let watch = {
            let (is_over, pid) = (Arc::clone(&is_over), server.0.id());
            std::thread::spawn(move || {
                let mut most = 0;
                while !is_over.load(Ordering::Relaxed) {
                    most = anonymous(pid).max(most);
                    std::thread::sleep(LOOK);
                }
                most
            })
        };
        let received = ask(address, &format!("/v1/trades?product=BTC-USD&format={format}"), Portion::Part { bytes: BYTES, pause });
        is_over.store(true, Ordering::Relaxed);
        let most = watch.join().unwrap();
        assert!(received.bytes >= BYTES, "{name}: the answer has {} bytes alone", received.bytes);
        measured.note(NAME, name, "MB", most as f64 / 1e6);
        measured.note(NAME, &format!("{name}: before"), "MB", before as f64 / 1e6);
    }
}

/// Anonymous memory of a process, in bytes.
fn anonymous(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}
