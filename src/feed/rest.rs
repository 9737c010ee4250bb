//! [`RestClient`]: pages of past trades to fill gaps with, and the list of products.
//!
//! 1. An element of a page that cannot be used costs itself alone ([`TradePage`]). An answer that is no page is [`RestError::Bad`].
//! 2. Trades come in rising id, with the taker's side, nil order ids and receive time 0, marked [`Means::Rest`]. Both feeds share the ids.
//! 3. Each error says what to do about it ([`RestError::advice`]). Nothing is tried again here, and no rate is kept here.
//! 4. Blocking. One time-out bounds the whole call, 8 MiB bound the answer. No setting comes from the environment.

mod page;
#[cfg(test)]
mod page_tests;

use std::collections::HashMap;
use std::time::Duration;

pub use page::{ElementFault, InexactText, TradePage, UnusableElement};

use super::connector::Connector;
use super::endpoint::Endpoint;
use super::field::{self, source};
use super::http::{Answer, HttpClient, HttpError};
use super::http_body::BodyError;
use super::json::{Nodes, Parser, ROOT};
use super::product_info::ProductInfo;
use super::protocol::Feed;
use super::redirect::RedirectError;
use super::reject::RejectReason;
use super::rest_clock::latest_now;
use super::retry_after::{DEFAULT_RETRY_AFTER, retry_after};
use super::socket_error::SocketError;
use super::spelling::respelled;
use super::tls::RootsError;
use super::values::Values;
use crate::product::ProductId;
use crate::record::{Means, OrderId, Origin, Trade};
use crate::time::{TimeCache, Timestamp, UnixNanos, parse_rfc3339};
use page::{ReadElement, read_page};

/// Most trades of a page that Coinbase gives.
pub(crate) const MAX_PAGE_TRADES: u16 = 1000;

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestError {
    /// The trusted roots cannot be used.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The address is not `http://` or `https://`.
    #[error("{url:?} is not a REST endpoint (want https://host)")]
    Url {
        /// The address.
        url: String,
    },
    /// The rate limit is exceeded (429).
    #[error("too many requests; again in {retry_after:?}")]
    Slow {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The server says when it can be asked again (503, 403 with `Retry-After`).
    #[error("{what}: the server answered {status}; again in {retry_after:?}")]
    Busy {
        /// What was asked for.
        what: String,
        /// The status.
        status: u16,
        /// How long to wait.
        retry_after: Duration,
    },
    /// The server redirects to another place, which is not followed.
    #[error("{what}: {source}")]
    Redirect {
        /// What was asked for.
        what: String,
        /// From where to where, and why it is not followed.
        source: RedirectError,
    },
    /// The server failed (5xx) or keeps this address out for a while (403, 408, 425), did not answer in time, or cannot be reached.
    #[error("{what}: {why}")]
    Retry {
        /// What was asked for.
        what: String,
        /// What happened.
        why: String,
    },
    /// The server refuses the request (the rest of 3xx and 4xx).
    #[error("{what}: refused with {status}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The status.
        status: u16,
    },
    /// The answer is cut short or implausible.
    #[error("{what}: unusable answer: {why}")]
    Bad {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Send no request for so long, then ask again.
    RetryAfter(Duration),
    /// Ask again, with a growing wait.
    Retry,
    /// Ask again a few times, with a growing wait; requests for other products may succeed.
    Skip,
    /// No request will succeed.
    Stop,
}

impl RestError {
    /// Says what to do.
    #[must_use]
    pub const fn advice(&self) -> Advice {
        match self {
            Self::Roots(_) | Self::Url { .. } => Advice::Stop,
            Self::Slow { retry_after } | Self::Busy { retry_after, .. } => Advice::RetryAfter(*retry_after),
            // A page that is cut short may be whole the next time; the caller bounds its tries.
            Self::Retry { .. } | Self::Bad { .. } | Self::Redirect { .. } => Advice::Retry,
            Self::Refused { .. } => Advice::Skip,
        }
    }
}

/// A client of Coinbase's REST interface. It keeps connections and buffers for the next call, and belongs to one thread.
pub struct RestClient {
    client: HttpClient,
    /// What stands before every path.
    base: String,
    parser: Parser,
    times: TimeCache,
}

impl RestClient {
    /// Makes a client of an endpoint such as `https://api.exchange.coinbase.com`. Does not connect yet.
    ///
    /// # Errors
    /// Where the address is not a REST endpoint, or the roots cannot be read.
    pub fn new(base_url: &str, connector: impl Into<Connector>, timeout: Duration) -> Result<Self, RestError> {
        let refused = || RestError::Url { url: base_url.chars().take(200).collect() };
        let endpoint = Endpoint::parse_http(base_url).ok().filter(|endpoint| !endpoint.has_query()).ok_or_else(refused)?;
        let connector = connector.into();
        if let Err(SocketError::Roots(error)) = connector.check() {
            return Err(error.into());
        }
        let base = endpoint.path().trim_end_matches('/').to_owned();
        Ok(Self { client: HttpClient::new(endpoint, connector, timeout), base, parser: Parser::new(), times: TimeCache::default() })
    }

    /// Gets all products, with their status.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn products(&mut self) -> Result<Vec<ProductInfo>, RestError> {
        let what = "the list of products";
        // A date in an answer counts against the server's own.
        let body = self.get("/products", what, UnixNanos::default())?;
        let body = respelled(&body).unwrap_or(body);
        let read = self.parser.parse(&body, |nodes| {
            let places = nodes.elements(ROOT).ok_or(RejectReason::Shape)?;
            Ok(places.filter_map(|place| ProductInfo::read(nodes, place)).collect::<Vec<_>>())
        });
        let products = read.and_then(|inner| inner).map_err(|why| bad(what, why.to_string()))?;
        if products.is_empty() { Err(bad(what, "it is empty".to_owned())) } else { Ok(products) }
    }

    /// Gets the time by the server's clock.
    ///
    /// # Errors
    /// See [`RestError`].
    pub(crate) fn time(&mut self) -> Result<UnixNanos, RestError> {
        let what = "the time";
        let body = self.get("/time", what, UnixNanos::default())?;
        let read = self.parser.parse(&body, |nodes| {
            let [iso] = nodes.pick(ROOT, &["iso"])?;
            let time = nodes.text(iso).and_then(|text| parse_rfc3339(text.as_bytes()).ok()).and_then(Timestamp::to_unix);
            time.ok_or(RejectReason::Time)
        });
        read.and_then(|inner| inner).map_err(|why| bad(what, why.to_string()))
    }

    /// Gets the newest `limit` trades with ids **below** `after`, or the newest of all. `now` is the wall clock, by which times are checked.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn trades_page(&mut self, product: &ProductId, after: Option<u64>, limit: u16, now: UnixNanos) -> Result<TradePage, RestError> {
        let limit = limit.clamp(1, MAX_PAGE_TRADES);
        let below = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let what = format!("trades of {product}{}", after.map(|after| format!(" below {after}")).unwrap_or_default());
        let body = self.get(&format!("/products/{}/trades?limit={limit}{below}", product.feed_name()), &what, now)?;
        let page = match self.read_trades(&body, product, after, now) {
            Ok(page) if page.unusable.is_empty() => Ok(page),
            first => self.read_respelled(first, &body, product, after, now),
        };
        page.map_err(|why| bad(&what, why.to_string()))
    }

    fn read_trades(&mut self, body: &[u8], product: &ProductId, after: Option<u64>, now: UnixNanos) -> Result<TradePage, RejectReason> {
        let Self { parser, times, .. } = self;
        let read = |nodes: Nodes<'_, '_>, place, inexact: &mut _| read_element(nodes, place, product, times, now, inexact);
        read_page(parser, body, after, read)
    }

    /// Reads a page again in which something could not be used: in the usual spelling, and by the exchange's clock as the page shows it.
    #[cold]
    fn read_respelled(
        &mut self,
        first: Result<TradePage, RejectReason>,
        body: &[u8],
        product: &ProductId,
        after: Option<u64>,
        now: UnixNanos,
    ) -> Result<TradePage, RejectReason> {
        let Some(text) = respelled(body) else { return first };
        let latest = self.parser.parse(&text, |nodes| latest_now(nodes, now)).unwrap_or(now);
        let Ok(mut second) = self.read_trades(&text, product, after, latest) else { return first };
        // What still cannot be used is kept as it was sent.
        let unusable = first.into_iter().flat_map(|page| page.unusable);
        let sent: HashMap<Vec<u8>, String> =
            unusable.filter_map(|element| Some((respelled(element.raw.as_bytes())?, element.raw))).collect();
        for element in &mut second.unusable {
            if let Some(raw) = sent.get(element.raw.as_bytes()) {
                element.raw.clone_from(raw);
            }
        }
        Ok(second)
    }

    fn get(&mut self, path: &str, what: &str, now: UnixNanos) -> Result<Vec<u8>, RestError> {
        match self.client.get(&format!("{}{path}", self.base)) {
            Ok(answer) => body(answer, what, now),
            Err(HttpError::Connect(SocketError::Roots(error))) => Err(error.into()),
            Err(HttpError::Redirect(source)) => Err(RestError::Redirect { what: what.to_owned(), source }),
            Err(HttpError::Body { source: source @ (BodyError::TooLong(_) | BodyError::Coding(_)), .. }) => {
                Err(bad(what, source.to_string()))
            }
            Err(error) => Err(RestError::Retry { what: what.to_owned(), why: error.to_string() }),
        }
    }
}

fn body(answer: Answer, what: &str, now: UnixNanos) -> Result<Vec<u8>, RestError> {
    let status = answer.head.status;
    if (200..=299).contains(&status) {
        return Ok(answer.body);
    }
    Err(failure(status, asked_wait(&answer, now), what.to_owned()))
}

/// Gives the wait that an answer asks for, if it does.
fn asked_wait(answer: &Answer, now: UnixNanos) -> Option<Duration> {
    retry_after(answer.head.header("retry-after")?, answer.head.header("date"), now)
}

/// Says what a status means that brings nothing; `asked_wait` is the wait that the answer names.
pub(super) fn failure(status: u16, asked_wait: Option<Duration>, what: String) -> RestError {
    match (status, asked_wait) {
        (429, wait) => RestError::Slow { retry_after: wait.unwrap_or(DEFAULT_RETRY_AFTER) },
        (503 | 403, Some(retry_after)) => RestError::Busy { what, status, retry_after },
        // 403: what stands in front of the exchange may show a page of its own for a while. 408, 425: it asks for the same request again.
        (500.. | 403 | 408 | 425, _) => RestError::Retry { what, why: format!("the server answered {status}") },
        _ => RestError::Refused { what, status },
    }
}

fn bad(what: &str, why: String) -> RestError {
    RestError::Bad { what: what.to_owned(), why }
}

/// Reads an element of a page of trades. Gives its id beside the fault, where that can be read.
fn read_element(
    nodes: Nodes<'_, '_>,
    place: usize,
    product: &ProductId,
    times: &mut TimeCache,
    now: UnixNanos,
    inexact: &mut Vec<InexactText>,
) -> ReadElement {
    let id = || nodes.pick(place, &["trade_id"]).ok().and_then(|[trade_id]| field::id(nodes, trade_id).ok());
    let [label] = nodes.pick(place, &["product_id"]).map_err(|why| (id(), why.into()))?;
    if !nodes.is_absent(label) && nodes.text(label) != Some(product.feed_name()) {
        return Err((id(), ElementFault::OtherProduct));
    }
    read_trade(nodes, place, times, now, inexact).map_err(|why| (id(), why.into()))
}

fn read_trade(
    nodes: Nodes<'_, '_>,
    place: usize,
    times: &mut TimeCache,
    now: UnixNanos,
    inexact: &mut Vec<InexactText>,
) -> Result<Trade, RejectReason> {
    let [time, trade_id, price_at, size_at, side] = nodes.pick(place, &["time", "trade_id", "price", "size", "side"])?;
    let mut trade = Trade {
        trade_id: field::id(nodes, trade_id)?,
        time: field::time(nodes, time, times)?,
        price: field::number(nodes, price_at, RejectReason::Price)?,
        size: field::number(nodes, size_at, RejectReason::Size)?,
        side: field::side(nodes, side)?.turned(),
        maker_order_id: OrderId::NIL,
        taker_order_id: OrderId::NIL,
        sequence: 0,
        recv: UnixNanos::default(),
        origin: Origin::new(Means::Rest, 0, Feed::Exchange.number()),
    };
    field::check(&mut trade, now)?;
    let sources = [source("trade_price_f64", trade.price, price_at), source("trade_size_f64", trade.size, size_at)];
    field::each_inexact(nodes, sources, |column, text| {
        let text = String::from_utf8_lossy(text).into_owned();
        inexact.push(InexactText { trade_id: trade.trade_id, column, text });
    });
    Ok(trade)
}
