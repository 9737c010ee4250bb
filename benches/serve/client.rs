//! A client that reads an answer as fast as it can, or at a pace, and drops it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// How an answer came.
pub struct Received {
    /// Until the first byte of the head.
    pub head: Duration,
    /// Until the first byte of the body.
    pub first: Duration,
    /// Until its end.
    pub whole: Duration,
    /// Bytes of the body.
    pub bytes: u64,
}

/// How much of an answer is read.
#[derive(Clone, Copy)]
pub enum Portion {
    /// Its first byte.
    First,
    /// All of it.
    Whole,
    /// So many bytes of it, with a pause behind each megabyte.
    Part { bytes: u64, pause: Duration },
}

/// Asks for a target and reads the answer. Panics where it is an error, or cut short.
pub fn ask(address: SocketAddr, target: &str, read: Portion) -> Received {
    let since = Instant::now();
    let mut stream = BufReader::with_capacity(READ_BYTES, TcpStream::connect(address).unwrap());
    stream.get_mut().write_all(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    stream.fill_buf().unwrap();
    let answered = since.elapsed();
    let (mut line, mut head) = (String::new(), String::new());
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
        head.push_str(&line);
        assert!(!line.is_empty(), "{head}");
    }
    if !head.starts_with("HTTP/1.1 200 ") {
        stream.read_to_string(&mut head).unwrap();
        panic!("{target}: {head}");
    }
    assert!(!stream.fill_buf().unwrap().is_empty());
    let first = since.elapsed();
    let (most, pause) = match read {
        Portion::First => (0, Duration::ZERO),
        Portion::Whole => (u64::MAX, Duration::ZERO),
        Portion::Part { bytes, pause } => (bytes, pause),
    };
    let (mut bytes, mut paused) = (0, 0);
    while bytes < most {
        let count = if head.contains("chunked") { chunk(&mut stream) } else { rest(&mut stream) };
        bytes += count;
        if count == 0 {
            break;
        }
        if !pause.is_zero() && bytes >> 20 > paused {
            paused = bytes >> 20;
            std::thread::sleep(pause);
        }
    }
    Received { head: answered, first, whole: since.elapsed(), bytes }
}

fn rest(stream: &mut BufReader<TcpStream>) -> u64 {
    let count = stream.fill_buf().unwrap().len();
    stream.consume(count);
    count as u64
}

/// Reads a chunk and drops it. Gives its length: 0 for the last one.
fn chunk(stream: &mut BufReader<TcpStream>) -> u64 {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let length = u64::from_str_radix(line.trim_end(), 16).expect("an answer that is not cut short");
    let mut left = length;
    while left > 0 {
        let there = stream.fill_buf().unwrap().len() as u64;
        assert!(there > 0, "the answer is cut short");
        let taken = there.min(left);
        stream.consume(taken as usize);
        left -= taken;
    }
    let mut end = [0; 2];
    stream.read_exact(&mut end).unwrap();
    length
}
