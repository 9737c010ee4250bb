//! [`Fetcher`]: pages of past trades, one after the other, at a rate and with patience.
//!
//! 1. Never more requests a second than allowed, retries included; a 429's `Retry-After` is waited for.
//! 2. What may pass (5xx, no answer, half an answer) is tried again with a growing wait, at most [`TRIES`] times a page; what will not is given up at once.
//! 3. No clock and no sleep of its own: both come in through [`Timer`].

use std::time::{Duration, Instant};

use crate::feed::backoff::Backoff;
use crate::feed::rest::{Advice, RestClient, RestError, TradePage};
use crate::feed::tls::TlsRoots;
use crate::product::ProductId;
use crate::time::Clock;

/// How often one page is asked for before it is given up: about two minutes of waits.
pub const TRIES: u32 = 8;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Where pages come from.
pub trait Pages {
    /// Gets the newest `limit` trades with ids below `after`, or the newest of all, in rising order.
    ///
    /// # Errors
    /// See [`RestError`].
    fn page(&mut self, product: &ProductId, after: Option<u64>, limit: u16) -> Result<TradePage, RestError>;
}

/// Tells the time and lets it pass.
pub trait Timer {
    /// Monotonic time since any fixed moment.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, wait: Duration);
}

/// The machine's time.
#[derive(Debug)]
pub struct RealTimer(Instant);

impl Default for RealTimer {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Timer for RealTimer {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, wait: Duration) {
        std::thread::sleep(wait);
    }
}

/// Coinbase's pages.
struct RestPages {
    client: RestClient,
    clock: Clock,
}

impl Pages for RestPages {
    fn page(&mut self, product: &ProductId, after: Option<u64>, limit: u16) -> Result<TradePage, RestError> {
        self.client.trades_page(product, after, limit, self.clock.now())
    }
}

/// Where REST is and how often it may be asked.
#[derive(Debug, Clone)]
pub struct RestConfig {
    /// The endpoint.
    pub url: String,
    /// Whom TLS trusts.
    pub roots: TlsRoots,
    /// Requests a second.
    pub rate: f64,
}

/// A page was asked for and not got.
#[derive(Debug, thiserror::Error)]
#[error("{last} (asked {tries} times)")]
pub struct GaveUp {
    /// How often.
    pub tries: u32,
    /// What was said last.
    pub last: RestError,
}

/// Asks for pages. Belongs to one thread.
pub struct Fetcher {
    pages: Box<dyn Pages>,
    timer: Box<dyn Timer>,
    between: Duration,
    /// When the next request may go out.
    free_at: Duration,
    backoff: Backoff,
    requests: u64,
}

impl Fetcher {
    /// Asks an endpoint.
    ///
    /// # Errors
    /// Where the address is none, or the roots cannot be read.
    pub fn new(config: &RestConfig, clock: &Clock) -> Result<Self, RestError> {
        let client = RestClient::new(&config.url, &config.roots, TIMEOUT)?;
        let pages = RestPages { client, clock: clock.clone() };
        Ok(Self::over(Box::new(pages), Box::<RealTimer>::default(), config.rate, clock.now().0))
    }

    /// Asks anything that gives pages, at most `rate` times a second; the jitter of retries follows from `seed`.
    #[must_use]
    pub fn over(pages: Box<dyn Pages>, timer: Box<dyn Timer>, rate: f64, seed: u64) -> Self {
        // A rate that is none is the slowest there is: one request a minute.
        let between = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(LONGEST_BETWEEN).min(LONGEST_BETWEEN);
        let free_at = timer.now();
        Self { pages, timer, between, free_at, backoff: Backoff::new(seed), requests: 0 }
    }

    /// Gets a page, however often it has to be asked for.
    ///
    /// # Errors
    /// Where it is refused, or was tried too often.
    pub fn page(&mut self, product: &ProductId, after: Option<u64>, limit: u16) -> Result<TradePage, GaveUp> {
        let mut tries = 0;
        self.backoff.reset();
        loop {
            self.await_turn();
            tries += 1;
            let last = match self.pages.page(product, after, limit) {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            let wait = match last.advice() {
                Advice::RetryAfter(wait) => wait.max(self.between),
                Advice::Retry => self.backoff.wait(),
                Advice::Skip | Advice::Stop => return Err(GaveUp { tries, last }),
            };
            if tries >= TRIES {
                return Err(GaveUp { tries, last });
            }
            log::info!("REST: {last}; again in {wait:.1?}");
            self.timer.sleep(wait);
        }
    }

    /// Gives how often was asked.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }

    fn await_turn(&mut self) {
        let now = self.timer.now();
        let at = self.free_at.max(now);
        self.timer.sleep(at - now);
        self.free_at = at + self.between;
        self.requests += 1;
    }
}

/// The longest time between two requests.
const LONGEST_BETWEEN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::rc::Rc;

    /// Time that passes only by sleeping.
    #[derive(Clone, Default)]
    struct Slept(Rc<Cell<Duration>>);

    impl Timer for Slept {
        fn now(&self) -> Duration {
            self.0.get()
        }

        fn sleep(&self, wait: Duration) {
            self.0.set(self.0.get() + wait);
        }
    }

    /// Answers as told, and notes when it was asked.
    struct Scripted {
        answers: VecDeque<Option<RestError>>,
        time: Slept,
        asked: Rc<RefCell<Vec<Duration>>>,
    }

    impl Pages for Scripted {
        fn page(&mut self, _: &ProductId, _: Option<u64>, _: u16) -> Result<TradePage, RestError> {
            self.asked.borrow_mut().push(self.time.now());
            match self.answers.pop_front().flatten() {
                Some(error) => Err(error),
                None => Ok(TradePage { trades: Vec::new(), inexact: Vec::new() }),
            }
        }
    }

    fn fetcher(answers: Vec<Option<RestError>>, rate: f64) -> (Fetcher, Rc<RefCell<Vec<Duration>>>) {
        let (time, asked) = (Slept::default(), Rc::new(RefCell::new(Vec::new())));
        let pages = Scripted { answers: answers.into(), time: time.clone(), asked: Rc::clone(&asked) };
        (Fetcher::over(Box::new(pages), Box::new(time), rate, 7), asked)
    }

    fn product() -> ProductId {
        ProductId::new("BTC-USD").expect("a product")
    }

    fn retry() -> Option<RestError> {
        Some(RestError::Retry { what: "it".to_owned(), why: "500".to_owned() })
    }

    #[test]
    fn requests_keep_their_distance() {
        let (mut fetcher, asked) = fetcher(vec![], 8.0);
        for _ in 0..5 {
            fetcher.page(&product(), None, 1).expect("a page");
        }
        let asked: Vec<u128> = asked.borrow().iter().map(Duration::as_millis).collect();
        assert_eq!((asked, fetcher.requests()), (vec![0, 125, 250, 375, 500], 5));
    }

    #[test]
    fn a_server_that_says_when_is_asked_then() {
        let slow = |seconds| Some(RestError::Slow { retry_after: Duration::from_secs(seconds) });
        let (mut fetcher, asked) = fetcher(vec![slow(7), slow(0)], 8.0);
        fetcher.page(&product(), Some(5), 1).expect("a page");
        let asked: Vec<u128> = asked.borrow().iter().map(Duration::as_millis).collect();
        assert_eq!(asked, [0, 7000, 7125], "never faster than the rate, whatever it says");
    }

    #[test]
    fn what_may_pass_is_tried_with_growing_waits_and_then_given_up() {
        let (mut fetcher, asked) = fetcher((0..20).map(|_| retry()).collect(), 1000.0);
        let gave_up = fetcher.page(&product(), None, 1).expect_err("never");
        assert_eq!(gave_up.tries, TRIES);
        let asked = asked.borrow();
        let waits: Vec<f64> = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        assert_eq!(waits.len(), 7);
        for (wait, base) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 48.0]) {
            assert!(*wait >= base && *wait <= base * 1.25 + 0.001, "{waits:?}");
        }
    }

    #[test]
    fn waits_begin_anew_with_every_page_and_a_refusal_is_final() {
        let refused = Some(RestError::Refused { what: "it".to_owned(), status: 404 });
        let (mut fetcher, asked) = fetcher(vec![retry(), retry(), None, retry(), None, refused], 1000.0);
        for _ in 0..2 {
            fetcher.page(&product(), None, 1).expect("a page");
        }
        assert_eq!(fetcher.page(&product(), None, 1).expect_err("refused").tries, 1);
        let asked = asked.borrow();
        assert!((asked[4] - asked[3]).as_secs_f64() < 1.26, "{asked:?}");
    }

    #[test]
    fn a_rate_that_is_none_is_slow() {
        for rate in [0.0, -1.0, f64::NAN] {
            let (mut fetcher, asked) = fetcher(vec![], rate);
            fetcher.page(&product(), None, 1).expect("a page");
            fetcher.page(&product(), None, 1).expect("a page");
            assert_eq!(asked.borrow().as_slice(), [Duration::ZERO, LONGEST_BETWEEN], "{rate}");
        }
    }
}
