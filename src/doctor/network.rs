//! The way to the exchange: names, proxy, TLS, WebSocket, REST, the products it lists, and its clock.
//!
//! Every connection is one of [`Connector`], as those of a capture are. None subscribes to anything.

use std::time::{Duration, Instant};

use super::bounded::within;
use super::config::DoctorConfig;
use super::finding::Finding;
use crate::feed::ProductInfo;
use crate::feed::clock_check::OFF_NANOS;
use crate::feed::connector::Connector;
use crate::feed::endpoint::Endpoint;
use crate::feed::rest::{RestClient, RestError};
use crate::feed::socket::Socket;
use crate::feed::socket_error::SocketError;
use crate::feed::timeouts::Timeouts;
use crate::names::{did_you_mean, listed};
use crate::product::ProductId;
use crate::time::NANOS_PER_SECOND;

/// The longest time in which a connection should be there.
const GOOD_CONNECT: Duration = Duration::from_secs(2);
/// How far the clock may be from the exchange's, in nanoseconds.
const GOOD_OFFSET: u64 = NANOS_PER_SECOND;
/// What is done about names that are not resolved.
const RESOLVE_CHANGE: &str = "check /etc/resolv.conf and the name server; behind a proxy that resolves names: --proxy socks5h://HOST:PORT";
/// What is done where nothing answers.
const CONNECT_CHANGE: &str = "let the firewall pass connections to it, or name a way out: --proxy";

/// How long an attempt took, or what to say of its failure and what to change.
type Attempt<T> = Result<(T, Duration), (String, &'static str)>;

/// What REST said, as far as it was reached.
#[derive(Debug)]
struct RestAnswers {
    products: Attempt<Vec<ProductInfo>>,
    /// By how much the box's clock is behind the server's, in nanoseconds, and how long the answer took; nothing where the server did not say.
    offset: Option<(i64, Duration)>,
}

/// Looks at the way to the exchange.
pub(super) fn examine(config: &DoctorConfig) -> Vec<Finding> {
    let (capture, connector) = (&config.capture, config.capture.connector());
    let mut findings = Vec::new();
    match Endpoint::parse(&capture.url) {
        Ok(endpoint) => {
            let resolved = resolve(&connector, &endpoint, config.timeout);
            let can_go_on = resolved.is_ok();
            findings.push(judge_name("name", &resolved));
            if can_go_on {
                findings.push(judge_connection("websocket", &capture.url, &connect(&connector, endpoint, config.timeout)));
            }
        }
        Err(error) => findings.push(Finding::red("websocket", error.to_string(), "give another --url")),
    }
    let Some(url) = &capture.rest_url else {
        let found = "no endpoint is named: missing trades are not fetched, and products not looked up";
        findings.push(Finding::yellow("rest", found, "name one: --rest-url"));
        return findings;
    };
    let answers = ask_rest(&connector, url, config);
    let reached = answers.products.as_ref().map(|(_, took)| ((), *took)).map_err(Clone::clone);
    findings.push(judge_connection("rest", url, &reached));
    if let Ok((infos, _)) = &answers.products {
        findings.push(judge_products(&capture.products.iter().collect::<Vec<_>>(), infos));
        findings.push(judge_offset(answers.offset));
    }
    findings
}

fn silent(waited: Duration) -> (String, &'static str) {
    (format!("no answer within {} s", waited.as_secs()), CONNECT_CHANGE)
}

/// Resolves the name that a connection goes to first.
fn resolve(connector: &Connector, endpoint: &Endpoint, limit: Duration) -> Attempt<(String, usize)> {
    let (connector, endpoint) = (connector.clone(), endpoint.clone());
    let start = Instant::now();
    match within(limit, move || connector.resolve(&endpoint)) {
        Some(Ok((host, addresses))) => Ok(((host, addresses.len()), start.elapsed())),
        Some(Err(error)) => Err((error.to_string(), RESOLVE_CHANGE)),
        None => Err((format!("the name server does not answer within {} s", limit.as_secs()), RESOLVE_CHANGE)),
    }
}

/// Makes the connection of a WebSocket and ends it.
fn connect(connector: &Connector, endpoint: Endpoint, limit: Duration) -> Attempt<()> {
    let connector = connector.clone();
    let timeouts = Timeouts { connect: limit, ..Timeouts::default() };
    let start = Instant::now();
    // Resolving the name has a time-out of its own.
    match within(2 * limit, move || Socket::connect(&endpoint, connector, &timeouts).map(|mut socket| socket.close())) {
        Some(Ok(())) => Ok(((), start.elapsed())),
        Some(Err(error)) => Err((error.to_string(), change_for(&error))),
        None => Err(silent(2 * limit)),
    }
}

/// Says what to do about a connection that is not made. The error's text names the step.
const fn change_for(error: &SocketError) -> &'static str {
    match error {
        SocketError::Resolve { .. } => RESOLVE_CHANGE,
        SocketError::Connect { .. } => CONNECT_CHANGE,
        SocketError::Proxy { .. } => {
            "check the address, user and password of the proxy (--proxy, HTTPS_PROXY), and that it lets this host pass"
        }
        SocketError::Tls { .. } => {
            "name the root that signed the certificate (--ca-file), set the clock right, or ask who opens TLS on the way"
        }
        SocketError::Roots(_) => "install ca-certificates, or correct --ca-file",
        SocketError::Refused { .. } | SocketError::Redirect(_) => {
            "check --url; 403 or 451: the exchange does not serve this address; 429: try later"
        }
        _ => "check --url: what answers is no WebSocket, or something on the way changes it",
    }
}

/// Asks REST for its products and its time.
fn ask_rest(connector: &Connector, url: &str, config: &DoctorConfig) -> RestAnswers {
    let (connector, url, clock, limit) = (connector.clone(), url.to_owned(), config.capture.clock.clone(), config.timeout);
    let start = Instant::now();
    let answers = within(4 * limit, move || {
        let asked = RestClient::new(&url, &connector, limit).and_then(|mut client| {
            let infos = client.products()?;
            let (products_took, before, began) = (start.elapsed(), clock.now(), Instant::now());
            let offset = client.time().ok().map(|time| {
                let took = began.elapsed();
                let half = u64::try_from(took.as_nanos() / 2).unwrap_or(u64::MAX);
                (time.0.saturating_sub(half).cast_signed().saturating_sub(before.0.cast_signed()), took)
            });
            Ok(RestAnswers { products: Ok((infos, products_took)), offset })
        });
        asked.unwrap_or_else(|error| RestAnswers { products: Err(rest_failure(&error)), offset: None })
    });
    answers.unwrap_or_else(|| RestAnswers { products: Err(silent(4 * limit)), offset: None })
}

fn rest_failure(error: &RestError) -> (String, &'static str) {
    let change = match error {
        RestError::Url { .. } => "give another --rest-url",
        RestError::Roots(_) => "install ca-certificates, or correct --ca-file",
        RestError::Slow { .. } | RestError::Busy { .. } => "wait, and see that nothing else on this address asks the exchange all the time",
        RestError::Refused { .. } | RestError::Redirect { .. } | RestError::Bad { .. } => {
            "check --rest-url, and what stands on the way to it"
        }
        RestError::Retry { .. } => {
            "check name server, firewall, proxy (--proxy) and the trusted roots (--ca-file); if the server failed: try later"
        }
    };
    (error.to_string(), change)
}

fn judge_name(check: &'static str, resolved: &Attempt<(String, usize)>) -> Finding {
    match resolved {
        Ok(((host, addresses), took)) => Finding::green(check, {
            let noun = if *addresses == 1 { "address" } else { "addresses" };
            format!("{host}: {addresses} {noun} in {} ms", took.as_millis())
        }),
        Err((found, change)) => Finding::red(check, found.clone(), *change),
    }
}

fn judge_connection(check: &'static str, url: &str, reached: &Attempt<()>) -> Finding {
    match reached {
        Ok(((), took)) if *took > GOOD_CONNECT => {
            let change = "look for a name server, proxy or firewall that makes it wait: gaps of a reconnect last as long";
            Finding::yellow(check, format!("{url} answers, after {} ms", took.as_millis()), change)
        }
        Ok(((), took)) => Finding::green(check, format!("{url} answers in {} ms", took.as_millis())),
        Err((found, change)) => Finding::red(check, found.clone(), *change),
    }
}

fn judge_products(asked: &[&ProductId], infos: &[ProductInfo]) -> Finding {
    const CHECK: &str = "products";
    let unlisted: Vec<&ProductId> = asked.iter().copied().filter(|product| !infos.iter().any(|info| info.id == **product)).collect();
    if let Some(first) = unlisted.first() {
        let names: Vec<&str> = unlisted.iter().map(|product| product.as_str()).collect();
        let question = did_you_mean(first.as_str(), infos.iter().map(|info| &info.id)).unwrap_or_default();
        let found = format!("the exchange does not list {}", listed(&names));
        return Finding::red(CHECK, found, format!("leave them out, or correct the names; {question}").trim_end_matches([';', ' ']));
    }
    let is_idle = |info: &ProductInfo| !info.is_online() && !info.status.is_empty();
    let idle = asked.iter().filter(|product| infos.iter().any(|info| info.id == ***product && is_idle(info)));
    let idle: Vec<&str> = idle.map(|product| product.as_str()).collect();
    if !idle.is_empty() {
        return Finding::yellow(CHECK, format!("not trading: {}", listed(&idle)), "leave them out; a capture records them all the same");
    }
    let online = infos.iter().filter(|info| info.is_online()).count();
    Finding::green(CHECK, format!("{} asked for, all listed; {online} trade at the exchange", asked.len()))
}

fn judge_offset(offset: Option<(i64, Duration)>) -> Finding {
    const CHECK: &str = "exchange clock";
    const CHANGE: &str = "set the clock (chrony, systemd-timesyncd)";
    let Some((offset, took)) = offset else { return Finding::yellow(CHECK, "the server does not say its time", CHANGE) };
    let away = offset.unsigned_abs();
    let side = if offset < 0 { "ahead of" } else { "behind" };
    let found = format!("the box is {} ms {side} the exchange, to {} ms", away / 1_000_000, took.as_millis().div_ceil(2));
    let doubt = u64::try_from(took.as_nanos() / 2).unwrap_or(u64::MAX);
    if away.saturating_sub(doubt) >= OFF_NANOS {
        Finding::red(CHECK, found, CHANGE)
    } else if away.saturating_sub(doubt) > GOOD_OFFSET {
        Finding::yellow(CHECK, found, CHANGE)
    } else {
        Finding::green(CHECK, found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Colour::{Green, Red, Yellow};
    use super::*;

    fn info(name: &str, status: &str) -> ProductInfo {
        let text = String::new;
        ProductInfo {
            id: ProductId::new(name).expect("a product"),
            base_currency: text(),
            quote_currency: text(),
            base_increment: text(),
            quote_increment: text(),
            min_market_funds: text(),
            status: status.to_owned(),
            alias: text(),
            trading_disabled: false,
        }
    }

    #[test]
    fn a_connection_is_red_where_there_is_none_and_yellow_where_it_takes_long() {
        let of = |reached: Attempt<()>| judge_connection("websocket", "wss://x", &reached).colour;
        assert_eq!(of(Ok(((), GOOD_CONNECT))), Green);
        assert_eq!(of(Ok(((), GOOD_CONNECT + Duration::from_millis(1)))), Yellow);
        assert_eq!(of(Err(silent(Duration::from_secs(10)))), Red);
        assert_eq!(judge_name("name", &Ok((("x".to_owned(), 4), Duration::ZERO))).colour, Green);
        assert_eq!(judge_name("name", &Err(("none".to_owned(), RESOLVE_CHANGE))).colour, Red);
    }

    #[test]
    fn a_product_that_is_not_listed_is_red_and_one_that_does_not_trade_yellow() {
        let infos = [info("BTC-USD", "online"), info("ETH-USD", "offline"), info("SOL-USD", "")];
        let of = |names: &[&str]| {
            let asked: Vec<ProductId> = names.iter().map(|name| ProductId::new(name).expect("a product")).collect();
            judge_products(&asked.iter().collect::<Vec<_>>(), &infos)
        };
        assert_eq!([of(&[]).colour, of(&["BTC-USD"]).colour, of(&["BTC-USD", "SOL-USD"]).colour], [Green, Green, Green]);
        assert_eq!(of(&["BTC-USD", "ETH-USD"]).colour, Yellow);
        let wrong = of(&["ETH-USD", "BTC-USDD"]);
        assert!(wrong.colour == Red && wrong.found.contains("BTC-USDD") && wrong.change.contains("did you mean BTC-USD?"), "{wrong:?}");
        assert!(!of(&["NOPE-X"]).change.ends_with(' '));
    }

    #[test]
    fn a_clock_that_is_off_is_found_beyond_what_the_way_takes() {
        let second = NANOS_PER_SECOND.cast_signed();
        for (offset, took_s, colour) in [
            (0, 0, Green),
            (second, 0, Green),
            (-second - 1, 0, Yellow),
            (3 * second, 4, Green),
            (29 * second, 0, Yellow),
            (30 * second, 0, Red),
            (-30 * second, 0, Red),
            (30 * second, 2, Yellow),
            (i64::MIN, 0, Red),
        ] {
            assert_eq!(judge_offset(Some((offset, Duration::from_secs(took_s)))).colour, colour, "{offset} {took_s}");
        }
        assert_eq!(judge_offset(None).colour, Yellow);
        assert!(judge_offset(Some((-second, Duration::ZERO))).found.contains("ahead of the exchange"));
    }

    #[test]
    fn every_failure_of_rest_says_what_to_do() {
        let refused = RestError::Refused { what: "the list of products".to_owned(), status: 404 };
        assert!(rest_failure(&refused).0.contains("404") && rest_failure(&refused).1.contains("--rest-url"));
        assert!(rest_failure(&RestError::Slow { retry_after: Duration::from_secs(1) }).1.starts_with("wait"));
    }
}
