//! The REST server: a small blocking HTTP/1.1 server with the few endpoints that a capture needs.
//!
//! - `GET /products`, `GET /products/{id}`: the exchange's products and their status.
//! - `GET /products/{id}/trades?limit=N&after=ID`: trades with ids **below** `after`, newest first, the maker's side, no order ids; the header `CB-AFTER`
//!   has the page's oldest id, `CB-BEFORE` its newest. `limit` is 1000 at most, and 1000 by default.
//! - `GET /time`. Anything else is 404.
//!
//! 1. Prices and sizes are padded to 8 decimals: the same numbers as on the feed, in another format.
//! 2. Connections are kept alive. Each has a thread (`sim:rest:N`), which ends within [`POLL`](super::server::POLL) of the stop flag.
//! 3. It serves all trades that the market has made, sent or not, so that a client can fill a gap.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::archive::Archive;
use super::event::Event;
use super::exchange_feed::write_product;
use super::faults::{Fault, FaultKind};
use super::format::{TimeFormatter, integer};
use super::rate_limit::RateLimit;
use super::server::{POLL, ServerContext};
use super::stream::Stream;
use super::target::FaultTarget;
use super::trade::UpdateKind;
use crate::time::Clock;

/// Longest request head, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most trades of a page.
const MAX_PAGE: usize = 1000;
/// Digits that prices and sizes are padded to.
const DECIMALS: u8 = 8;

/// Answers a request above the rate limit. `wait` is rounded up to whole seconds.
fn too_many(wait: Duration) -> Answer {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let answer = Answer::message("429 Too Many Requests", "Public rate limit exceeded");
    Answer { headers: format!("Retry-After: {seconds}\r\n"), ..answer }
}

/// The REST server.
#[derive(Clone)]
pub(super) struct RestServer {
    pub(super) context: ServerContext,
    pub(super) archive: Arc<Archive>,
    pub(super) clock: Clock,
    pub(super) limit: Option<Arc<Mutex<RateLimit>>>,
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

impl RestServer {
    /// Serves one connection until either side ends it.
    pub(super) fn serve(&self, id: u64, socket: TcpStream) {
        if let Err(error) = self.run(socket) {
            log::debug!("simulator: REST connection {id} ended: {error}");
        }
    }

    fn run(&self, socket: TcpStream) -> std::io::Result<()> {
        socket.set_nonblocking(false)?;
        let mut stream = Stream::accept(socket, self.context.tls.as_ref())?;
        stream.socket().set_read_timeout(Some(POLL))?;
        let mut pending = Vec::new();
        while let Some(head) = self.read_head(&mut stream, &mut pending)? {
            let mut request = head.split(' ');
            let (method, target) = (request.next().unwrap_or_default(), request.next().unwrap_or_default());
            let refused = self.refuse();
            let is_refused = refused.is_some();
            let mut answer = refused.unwrap_or_else(|| self.answer(method, target));
            let is_cut = !is_refused && self.disrupt(&mut answer, target);
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

    /// Reads up to the empty line. Gives the request line; `None` where the client has left or the simulator stops.
    fn read_head(&self, stream: &mut Stream, pending: &mut Vec<u8>) -> std::io::Result<Option<String>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = pending.windows(4).position(|part| part == b"\r\n\r\n") {
                let head: Vec<u8> = pending.drain(..end + 4).collect();
                let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
                return Ok(Some(String::from_utf8_lossy(line).into_owned()));
            }
            if pending.len() > MAX_HEAD_BYTES || self.context.is_stopping() {
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

    /// Counts a request. Gives the answer to one above the rate limit.
    fn refuse(&self) -> Option<Answer> {
        let wait = self.limit.as_ref().and_then(|limit| limit.lock().take(Instant::now()).err());
        self.context.send(Event::RestRequest { is_refused: wait.is_some() });
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
                let now = self.clock.now();
                Answer::new("200 OK", format!("{{\"iso\":\"{now}\",\"epoch\":{}}}", now.seconds()).into_bytes())
            }
            ["products"] => self.all_products(),
            ["products", name] => match self.index(name) {
                Some(index) => Answer::new("200 OK", self.product(index)),
                None => Answer::message("404 Not Found", "NotFound"),
            },
            ["products", name, "trades"] => match self.index(name) {
                Some(index) => self.trades(index, query),
                None => Answer::message("404 Not Found", "NotFound"),
            },
            _ => Answer::message("404 Not Found", "Route not found"),
        }
    }

    fn index(&self, name: &str) -> Option<usize> {
        let index = self.archive.products().iter().position(|product| product.as_str() == name);
        index.filter(|index| self.archive.is_listed(*index))
    }

    fn product(&self, index: usize) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(product) = self.archive.products().get(index) {
            write_product(&mut out, product, self.archive.is_online(index));
        }
        out
    }

    fn all_products(&self) -> Answer {
        let listed = (0..self.archive.products().len()).filter(|index| self.archive.is_listed(*index));
        let products: Vec<Vec<u8>> = listed.map(|index| self.product(index)).collect();
        Answer::new("200 OK", [b"[".as_slice(), &products.join(&b','), b"]"].concat())
    }

    fn trades(&self, index: usize, query: &str) -> Answer {
        let (mut limit, mut after) = (MAX_PAGE, None);
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (key, value.parse::<u64>()) {
                ("limit", Ok(asked)) => limit = usize::try_from(asked).unwrap_or(MAX_PAGE).min(MAX_PAGE),
                ("after", Ok(id)) => after = Some(id),
                ("limit" | "after", Err(_)) => return Answer::message("400 Bad Request", "Invalid pagination"),
                _ => {}
            }
        }
        let mut page = self.archive.page(index, after, limit);
        if page.len() > 2
            && let Some(fault) = self.context.draw(FaultKind::RestGap)
        {
            let left_out = page.remove(page.len() / 2);
            let target = FaultTarget::of_update(self.archive.products().get(index), UpdateKind::Trade, left_out.trade_id);
            self.context.send(Event::Fault(fault, target));
        }
        let (mut body, mut times) = (vec![b'['], TimeFormatter::default());
        for (at, trade) in page.iter().enumerate() {
            body.extend_from_slice(if at > 0 { b",{\"time\":\"" } else { b"{\"time\":\"" });
            times.micros(&mut body, trade.time);
            body.extend_from_slice(b"\",\"trade_id\":");
            integer(&mut body, trade.trade_id);
            body.extend_from_slice(b",\"price\":\"");
            trade.price.padded(&mut body, DECIMALS);
            body.extend_from_slice(b"\",\"size\":\"");
            trade.size.padded(&mut body, DECIMALS);
            body.extend_from_slice(b"\",\"side\":\"");
            body.extend_from_slice(trade.side.turned().name().as_bytes());
            body.extend_from_slice(b"\"}");
        }
        body.push(b']');
        let mut answer = Answer::new("200 OK", body);
        if let (Some(newest), Some(oldest)) = (page.first(), page.last()) {
            answer.headers = format!("CB-BEFORE: {}\r\nCB-AFTER: {}\r\n", newest.trade_id, oldest.trade_id);
        }
        answer
    }

    /// Applies faults to an answer. Tells whether only its first half is to be sent.
    fn disrupt(&self, answer: &mut Answer, target: &str) -> bool {
        if let Some(fault) = self.draw(FaultKind::RestSlow, target) {
            self.wait(fault.length());
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

    /// Draws a fault of one kind, and reports it where it fires.
    fn draw(&self, kind: FaultKind, target: &str) -> Option<Fault> {
        let fault = self.context.draw(kind)?;
        let product = target.split('/').find_map(|step| self.index(step)).and_then(|index| self.archive.products().get(index));
        self.context.send(Event::Fault(fault, FaultTarget { detail: target.to_owned(), ..FaultTarget::of_product(product) }));
        Some(fault)
    }

    /// Waits, but not after the simulator's stop.
    fn wait(&self, length: Duration) {
        let deadline = Instant::now() + length;
        while !self.context.is_stopping() && Instant::now() < deadline {
            std::thread::sleep(POLL.min(deadline.saturating_duration_since(Instant::now())));
        }
    }
}
