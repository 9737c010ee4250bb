//! A REST server that answers for past trades exactly as a test says.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One request for trades.
pub(crate) struct Request {
    pub(crate) product: String,
    pub(crate) after: u64,
    pub(crate) limit: u64,
    /// How many requests came before this one.
    pub(crate) number: usize,
}

/// The server. It remembers when each request arrived.
pub(crate) struct Rest {
    pub(crate) url: String,
    pub(crate) moments: Arc<Mutex<Vec<Instant>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Rest {
    /// Answers each request as `script` says: the status with extra headers, and the ids of the page. `show` makes the JSON of a trade from its id.
    pub(crate) fn start(
        script: impl Fn(&Request) -> (String, Vec<u64>) + Send + Sync + 'static,
        show: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (is_over, moments) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (over, told, count) = (Arc::clone(&is_over), Arc::clone(&moments), AtomicUsize::new(0));
        let script = Arc::new((script, show, count));
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                let (script, told) = (Arc::clone(&script), Arc::clone(&told));
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                    let Some(first) = lines.next() else { return };
                    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
                    lines.take_while(|line| !line.is_empty()).for_each(drop);
                    let mut parts = path.split('?');
                    let (path, query) = (parts.next().unwrap(), parts.next().unwrap_or_default());
                    let number = |name: &str| {
                        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok()).unwrap_or(u64::MAX)
                    };
                    let (head, ids) = match path.strip_prefix("/products/").and_then(|rest| rest.strip_suffix("/trades")) {
                        Some(product) => {
                            told.lock().unwrap().push(Instant::now());
                            let (product, number_of) = (product.to_owned(), script.2.fetch_add(1, Ordering::Relaxed));
                            (script.0)(&Request { product, after: number("after"), limit: number("limit"), number: number_of })
                        }
                        None => ("404 Not Found".to_owned(), Vec::new()),
                    };
                    let body = format!("[{}]", ids.iter().rev().map(|id| (script.1)(*id)).collect::<Vec<_>>().join(","));
                    let _ = write!(&stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                });
            }
        });
        Self { url, moments, is_over, thread: Some(thread) }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// The newest ids below `after`, out of those from 1 to `last`, in rising order.
pub(crate) fn page(request: &Request, last: u64) -> Vec<u64> {
    let to = last.min(request.after - 1);
    (to.saturating_sub(request.limit.min(1000) - 1).max(1)..=to).collect()
}

/// A trade as REST shows it that agrees with a `match_frame` of the same id and time.
pub(crate) fn shown(id: u64, time: &str) -> String {
    format!("{{\"time\":\"{time}\",\"trade_id\":{id},\"price\":\"14.7775\",\"size\":\"0.04\",\"side\":\"sell\"}}")
}
