//! The REST door: a small blocking HTTP/1.1 server with the few endpoints a capture needs.
//!
//! - `GET /products`, `GET /products/{id}`: the exchange's products and their status.
//! - `GET /products/{id}/trades?limit=N&after=ID`: trades with ids **below** `after`, newest first, the maker's side, no order ids; the header `CB-AFTER`
//!   names the page's oldest id, `CB-BEFORE` its newest. `limit` is 1000 at most and 1000 where it is not given.
//! - `GET /time`; anything else is 404.
//!
//! 1. Prices and sizes are padded to 8 decimals: numbers equal to the feed's, spelled otherwise.
//! 2. Connections are kept alive; each has a thread (`sim:rest:N`) that ends within [`POLL`](super::server::POLL) of the stop flag.
//! 3. It serves what the market has made, sent or not: that is what fills a gap.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use openssl::ssl::SslAcceptor;
use parking_lot::Mutex;

use super::archive::Archive;
use super::exchange::Event;
use super::exchange_feed::write_product;
use super::faults::{Fault, FaultKind};
use super::ledger::Scene;
use super::limit::Limit;
use super::schedule::Schedule;
use super::server::POLL;
use super::spelling::{TimeSpeller, integer};
use super::stream::Stream;
use crate::time::Clock;

/// Longest request head, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most trades of a page.
const MAX_PAGE: usize = 1000;
/// Digits that prices and sizes are padded to.
const DECIMALS: u8 = 8;

/// Answers one request too many; `wait` is rounded up to whole seconds.
fn too_many(wait: Duration) -> Answer {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let answer = Answer::message("429 Too Many Requests", "Public rate limit exceeded");
    Answer { headers: format!("Retry-After: {seconds}\r\n"), ..answer }
}

/// What the REST door serves from.
#[derive(Clone)]
pub(super) struct Rest {
    pub(super) archive: Arc<Archive>,
    pub(super) events: Sender<Event>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) tls: Option<SslAcceptor>,
    pub(super) schedule: Arc<Mutex<Schedule>>,
    pub(super) limit: Option<Arc<Mutex<Limit>>>,
}

/// An answer, before its head is written.
#[derive(Debug)]
struct Answer {
    status: &'static str,
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: &'static str, body: Vec<u8>) -> Self {
        Self { status, headers: String::new(), body }
    }

    fn message(status: &'static str, message: &str) -> Self {
        Self::new(status, format!("{{\"message\":\"{message}\"}}").into_bytes())
    }
}

impl Rest {
    /// Serves one connection until either side is done with it.
    pub(super) fn serve(&self, id: u64, socket: TcpStream) {
        if let Err(error) = self.run(socket) {
            log::debug!("simulator: REST connection {id} ended: {error}");
        }
    }

    fn run(&self, socket: TcpStream) -> std::io::Result<()> {
        socket.set_nonblocking(false)?;
        let mut stream = Stream::accept(socket, self.tls.as_ref())?;
        stream.socket().set_read_timeout(Some(POLL))?;
        let mut pending = Vec::new();
        while let Some(head) = self.read_head(&mut stream, &mut pending)? {
            let mut request = head.split(' ');
            let (method, target) = (request.next().unwrap_or_default(), request.next().unwrap_or_default());
            let refused = self.refuse();
            let is_refused = refused.is_some();
            let mut answer = refused.unwrap_or_else(|| self.answer(method, target));
            let is_cut = !is_refused && self.spoil(&mut answer, target);
            let Answer { status, headers, body } = answer;
            let length = body.len();
            let mut out = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {length}\r\n{headers}Connection: keep-alive\r\n\r\n"
            )
            .into_bytes();
            out.extend_from_slice(body.get(..if is_cut { length / 2 } else { length }).unwrap_or_default());
            stream.write_all(&out)?;
            stream.flush()?;
            if is_cut {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads up to the empty line; gives the request line, or nothing where the client (or the simulator) is done.
    fn read_head(&self, stream: &mut Stream, pending: &mut Vec<u8>) -> std::io::Result<Option<String>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = pending.windows(4).position(|part| part == b"\r\n\r\n") {
                let head: Vec<u8> = pending.drain(..end + 4).collect();
                let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
                return Ok(Some(String::from_utf8_lossy(line).into_owned()));
            }
            if pending.len() > MAX_HEAD_BYTES || self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => pending.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Counts a request, and answers the one that is too many for the limit.
    fn refuse(&self) -> Option<Answer> {
        let wait = self.limit.as_ref().and_then(|limit| limit.lock().ask(Instant::now()).err());
        // The floor may have ended; then nobody counts.
        let _ = self.events.send(Event::Rest { is_refused: wait.is_some() });
        wait.map(too_many)
    }

    fn answer(&self, method: &str, target: &str) -> Answer {
        if method != "GET" {
            return Answer::message("405 Method Not Allowed", "Method Not Allowed");
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
        match steps.as_slice() {
            ["time"] => {
                let now = Clock::System.now();
                Answer::new("200 OK", format!("{{\"iso\":\"{now}\",\"epoch\":{}}}", now.seconds()).into_bytes())
            }
            ["products"] => self.all_products(),
            ["products", name] => match self.place(name) {
                Some(place) => Answer::new("200 OK", self.product(place)),
                None => Answer::message("404 Not Found", "NotFound"),
            },
            ["products", name, "trades"] => match self.place(name) {
                Some(place) => self.trades(place, query),
                None => Answer::message("404 Not Found", "NotFound"),
            },
            _ => Answer::message("404 Not Found", "Route not found"),
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.archive.products().iter().position(|product| product.as_str() == name)
    }

    fn product(&self, place: usize) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(product) = self.archive.products().get(place) {
            write_product(&mut out, product, self.archive.is_online(place));
        }
        out
    }

    fn all_products(&self) -> Answer {
        let products: Vec<Vec<u8>> = (0..self.archive.products().len()).map(|place| self.product(place)).collect();
        Answer::new("200 OK", [b"[".as_slice(), &products.join(&b','), b"]"].concat())
    }

    fn trades(&self, place: usize, query: &str) -> Answer {
        let (mut limit, mut after) = (MAX_PAGE, None);
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (key, value.parse::<u64>()) {
                ("limit", Ok(asked)) => limit = usize::try_from(asked).unwrap_or(MAX_PAGE).min(MAX_PAGE),
                ("after", Ok(id)) => after = Some(id),
                ("limit" | "after", Err(_)) => return Answer::message("400 Bad Request", "Invalid pagination"),
                _ => {}
            }
        }
        let mut page = self.archive.page(place, after, limit);
        if page.len() > 2
            && let Some(fault) = self.schedule.lock().draw_of(FaultKind::RestHole)
        {
            let left_out = page.remove(page.len() / 2);
            self.note(fault, Scene::of_item(self.archive.products().get(place), true, left_out.trade_id));
        }
        let (mut body, mut times) = (vec![b'['], TimeSpeller::default());
        for (at, past) in page.iter().enumerate() {
            body.extend_from_slice(if at > 0 { b",{\"time\":\"" } else { b"{\"time\":\"" });
            times.micros(&mut body, past.time);
            body.extend_from_slice(b"\",\"trade_id\":");
            integer(&mut body, past.trade_id);
            body.extend_from_slice(b",\"price\":\"");
            past.price.padded(&mut body, DECIMALS);
            body.extend_from_slice(b"\",\"size\":\"");
            past.size.padded(&mut body, DECIMALS);
            body.extend_from_slice(b"\",\"side\":\"");
            body.extend_from_slice(past.side.turned().name().as_bytes());
            body.extend_from_slice(b"\"}");
        }
        body.push(b']');
        let mut answer = Answer::new("200 OK", body);
        if let (Some(newest), Some(oldest)) = (page.first(), page.last()) {
            answer.headers = format!("CB-BEFORE: {}\r\nCB-AFTER: {}\r\n", newest.trade_id, oldest.trade_id);
        }
        answer
    }

    /// Lets faults happen to an answer; says whether it is to end before its end.
    fn spoil(&self, answer: &mut Answer, target: &str) -> bool {
        if let Some(fault) = self.draw(FaultKind::RestSlow, target) {
            self.wait(fault.length);
        }
        if self.draw(FaultKind::Rest429, target).is_some() {
            *answer = too_many(Duration::from_secs(1));
        } else if self.draw(FaultKind::Rest500, target).is_some() {
            *answer = Answer::message("500 Internal Server Error", "Internal server error");
        } else {
            return self.draw(FaultKind::RestTruncate, target).is_some();
        }
        false
    }

    fn draw(&self, kind: FaultKind, target: &str) -> Option<Fault> {
        let fault = self.schedule.lock().draw_of(kind)?;
        let product = target.split('/').find_map(|step| self.place(step)).and_then(|place| self.archive.products().get(place));
        self.note(fault, Scene { detail: target.to_owned(), ..Scene::of_product(product) });
        Some(fault)
    }

    fn note(&self, fault: Fault, scene: Scene) {
        // The floor may have ended; then nobody counts.
        let _ = self.events.send(Event::Fault(fault, scene));
    }

    /// Takes its time, but not past the simulator's end.
    fn wait(&self, length: Duration) {
        let deadline = Instant::now() + length;
        while !self.stop.load(Ordering::Relaxed) && Instant::now() < deadline {
            std::thread::sleep(POLL.min(deadline.saturating_duration_since(Instant::now())));
        }
    }
}
