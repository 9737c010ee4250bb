//! Days that are moved away, or removed, while they are sent: an answer is whole, or it is broken off. It is never short and looks whole.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use coltape::internals::record::Trade;
use coltape::internals::schema::{Dataset, Trades};
use coltape::internals::store::{Day, StoreOptions};
use coltape::internals::time::{UnixNanos, UtcDay};

use super::Served;
use super::damage::{column, flip};
use crate::client::Answer;
use crate::market::{FIRST_DAY, column_path, data_dir, insert, prints, product, store};
use crate::programs::{DEADLINE, coltape};

/// Trades of a day that is large.
const LARGE: u64 = 500_000;
/// Trades of each of the two days behind it.
const SMALL: u64 = 300;

/// A large day, a small one, both sealed, and one that is not.
fn tape(data: &Path) {
    let day = |number: u32| UnixNanos(UtcDay(FIRST_DAY.0 + number).start().0 + 1);
    let trades = |first: u64, count: u64, number: u32, step: u64| -> Vec<Trade> {
        prints(first, count, day(number), step).iter().map(|print| print.trade).collect()
    };
    let dir = data_dir(data, StoreOptions::default());
    store::<Trades>(&dir, &product(), &[trades(1, LARGE, 0, 172_000_000), trades(LARGE + 1, SMALL, 1, 287_000_000_000)].concat());
    let (mut open, _) = Day::<Trades>::open(&dir, &product(), UtcDay(FIRST_DAY.0 + 2), day(2)).unwrap();
    for trade in trades(LARGE + SMALL + 1, SMALL, 2, 1_000_000) {
        insert(&mut open, &trade);
    }
    open.commit();
    drop(open);
}

/// An answer of which little was read. It has more bytes than the buffers of a connection hold, so most of it is still at the server.
struct Begun {
    stream: TcpStream,
    come: Vec<u8>,
}

impl Begun {
    fn ask(served: &Served, path: &str) -> Self {
        let mut stream = TcpStream::connect(served.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", served.address()).unwrap();
        let mut come = vec![0; 4096];
        stream.read_exact(&mut come).unwrap();
        Self { stream, come }
    }

    fn rest(mut self) -> Answer {
        let _ = self.stream.read_to_end(&mut self.come);
        Answer::parse(&self.come, false).unwrap().0
    }
}

fn archive(data: &Path, out: &Path, date: UtcDay) {
    let output = coltape().args(["archive", "--apply", "--date", &date.to_string(), "--data-dir"]).arg(data).arg("--out").arg(out).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!column_path(data, Dataset::Trades, "trade_id", date).exists(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The ids of an answer in CSV.
fn ids(answer: &Answer) -> Vec<u64> {
    answer.text().lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect()
}

/// Asserts that an answer is whole, or was broken off.
fn assert_honest(answer: &Answer, wanted: std::ops::RangeInclusive<u64>) {
    assert_eq!(answer.status, 200);
    if answer.is_whole {
        assert!(ids(answer).into_iter().eq(wanted.clone()), "it says that it is whole, with {} of {wanted:?}", ids(answer).len());
    }
}

#[test]
fn an_answer_over_days_that_are_archived_while_they_are_sent_is_whole_or_broken_off() {
    let folder = tempfile::tempdir().unwrap();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data);
    let served = Served::start(&data);
    let second = UtcDay(FIRST_DAY.0 + 1);
    // The large day is being sent while the day behind it goes away.
    let all = "/v1/trades?product=BTC-USD&columns=trade_id,price&format=csv";
    let begun = Begun::ask(&served, all);
    archive(&data, &out, second);
    assert_honest(&begun.rest(), 1..=LARGE + 2 * SMALL);
    // The large day goes away itself.
    let of_first = format!("{all}&from={FIRST_DAY}&to={second}");
    let (begun, arrow) = (Begun::ask(&served, &of_first), Begun::ask(&served, &of_first.replace("format=csv", "format=arrow")));
    archive(&data, &out, FIRST_DAY);
    assert_honest(&begun.rest(), 1..=LARGE);
    let arrow = arrow.rest();
    // A stream of Arrow ends with a mark; the schema alone is some hundred bytes, and a record has 16.
    assert!(!arrow.is_whole || arrow.body.len() as u64 > 16 * LARGE, "{}", arrow.body.len());
    // Whoever asks now is told where it is.
    for path in [&of_first, &format!("/v1/candles?product=BTC-USD&from={FIRST_DAY}&to={second}")] {
        let (status, text) = served.get(path).error();
        assert!(status >= 400 && text.contains("coltape restore"), "{path}: {status}: {text}");
    }
}

#[test]
fn an_altered_day_that_is_gone_before_it_could_be_checked_does_not_look_whole() {
    let folder = tempfile::tempdir().unwrap();
    tape(folder.path());
    let served = Served::start(folder.path());
    let second = UtcDay(FIRST_DAY.0 + 1);
    let begun = Begun::ask(&served, &format!("/v1/trades?product=BTC-USD&columns=trade_id,price&format=csv&from={FIRST_DAY}&to={second}"));
    flip(&column(folder.path(), Dataset::Trades, "trade_id"), 8 * (LARGE - 2));
    let columns = std::fs::read_dir(column(folder.path(), Dataset::Trades, "trade_id").parent().unwrap()).unwrap();
    for path in columns.map(|entry| entry.unwrap().path()).filter(|path| path.to_string_lossy().contains(&format!(".{FIRST_DAY}."))) {
        std::fs::remove_file(path).unwrap();
    }
    let answer = begun.rest();
    assert_eq!((answer.status, answer.is_whole), (200, false), "nobody can say that its {} bytes are right", answer.body.len());
}
