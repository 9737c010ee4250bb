//! [`Proxy`]: the address of a proxy. [`Proxies`]: which connections go through which proxy.
//!
//! 1. `http://` is a proxy that is asked with `CONNECT`. `socks5h://` is SOCKS5 that resolves names itself, `socks5://` is SOCKS5 that gets addresses.
//!    Without a scheme `http://` is meant, as in curl.
//! 2. User and password are shown nowhere: neither in an error, nor by `Debug`.
//! 3. Nothing here reads the environment. The command line does.

use std::fmt;
use std::net::IpAddr;

/// The port of an `http://` proxy that names none.
const HTTP_PORT: u16 = 80;
/// The port of a SOCKS proxy that names none (RFC 1928).
const SOCKS_PORT: u16 = 1080;
/// Longest user or password of SOCKS5 (RFC 1929), in bytes.
const MAX_CREDENTIAL_BYTES: usize = 255;

/// How a proxy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyKind {
    /// HTTP `CONNECT` (RFC 9110, 9.3.6).
    Http,
    /// SOCKS5 (RFC 1928); the proxy resolves the name.
    Socks5Names,
    /// SOCKS5; this machine resolves the name.
    Socks5Addresses,
}

impl ProxyKind {
    const fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Socks5Names => "socks5h",
            Self::Socks5Addresses => "socks5",
        }
    }
}

/// What a proxy knows its user by.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

/// The address of a proxy.
///
/// ```
/// use coltape::Proxy;
/// let proxy = Proxy::parse("socks5h://me:secret@proxy.example:1080").unwrap();
/// assert_eq!(proxy.to_string(), "socks5h://proxy.example:1080");
/// assert!(Proxy::parse("ftp://proxy.example").is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub(super) kind: ProxyKind,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) credentials: Option<Credentials>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown_with(""))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Why a text is not the address of a proxy. User and password are left out of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{url:?} is not the address of a proxy: {why}")]
pub struct ProxyUrlError {
    url: String,
    why: &'static str,
}

impl Proxy {
    /// Gives the address as it is typed. User and password, if it has them, are left for the user to fill in.
    pub(crate) fn as_typed(&self) -> String {
        self.shown_with(if self.credentials.is_some() { "USER:PASSWORD@" } else { "" })
    }

    fn shown_with(&self, credentials: &str) -> String {
        let (scheme, host, port) = (self.kind.scheme(), &self.host, self.port);
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!("{scheme}://{credentials}{host}:{port}")
    }

    /// Reads an address such as `http://proxy.example:3128` or `socks5h://user:password@127.0.0.1:1080`.
    ///
    /// # Errors
    /// Where the scheme is another, or the address has no host, a port that is none, or a path.
    pub fn parse(url: &str) -> Result<Self, ProxyUrlError> {
        let refused = |why| ProxyUrlError { url: without_credentials(url), why };
        let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyKind::Http,
            "socks5h" => ProxyKind::Socks5Names,
            "socks5" => ProxyKind::Socks5Addresses,
            "https" => return Err(refused("TLS to the proxy itself is not supported; want http://, socks5h:// or socks5://")),
            _ => return Err(refused("want http://, socks5h:// or socks5://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let (host, port) = split_port(place).ok_or_else(|| refused("no such port"))?;
        if host.is_empty() {
            return Err(refused("no host"));
        }
        if !is_host(host) {
            return Err(refused("no plain host; a path is not part of it, and / and @ of a password are written %2F and %40"));
        }
        let default = if kind == ProxyKind::Http { HTTP_PORT } else { SOCKS_PORT };
        let credentials = match credentials {
            Some(text) => Some(credentials_of(text).ok_or_else(|| refused("user and password are no URL text, or longer than 255 bytes"))?),
            None => None,
        };
        Ok(Self { kind, host: host.to_owned(), port: port.unwrap_or(default), credentials })
    }
}

/// Leaves out what stands before the last `@`, which may be a password.
fn without_credentials(url: &str) -> String {
    let shown = match url.rsplit_once('@') {
        Some((before, place)) => {
            let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}***@{place}")
        }
        None => url.to_owned(),
    };
    shown.chars().take(200).collect()
}

/// Takes host and port apart, and the brackets off an IPv6 address. `None` where there is no such port.
fn split_port(place: &str) -> Option<(&str, Option<u16>)> {
    let port = |text: &str| match text {
        "" => Some(None),
        text => text.strip_prefix(':')?.parse().ok().filter(|port| *port > 0).map(Some),
    };
    if let Some((host, rest)) = place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return Some((host, port(rest)?));
    }
    // An IPv6 address without brackets has no port.
    match place.find(':').filter(|_| place.parse::<std::net::Ipv6Addr>().is_err()) {
        Some(colon) => Some((place.get(..colon)?, port(place.get(colon..)?)?)),
        None => Some((place, None)),
    }
}

fn is_host(host: &str) -> bool {
    host.len() <= 255
        && (host.parse::<IpAddr>().is_ok()
            || host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') || !c.is_ascii()))
        && !host.chars().any(char::is_control)
}

/// Reads `user:password`, percent-decoded.
fn credentials_of(text: &str) -> Option<Credentials> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let (user, password) = (percent_decoded(user)?, percent_decoded(password)?);
    let fits = |part: &[u8]| part.len() <= MAX_CREDENTIAL_BYTES;
    (fits(&user) && fits(&password)).then_some(Credentials { user, password })
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let mut one = [0];
                hex::decode_to_slice(digits, &mut one).ok()?;
                one[0]
            }
            0..=b' ' | 0x7f => return None,
            byte => byte,
        });
    }
    Some(decoded)
}

/// Which connections go through which proxy. None does by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    secure: Option<Proxy>,
    plain: Option<Proxy>,
    exceptions: NoProxy,
}

impl Proxies {
    /// Sends every connection through one proxy.
    #[must_use]
    pub fn all(proxy: Proxy) -> Self {
        Self { secure: Some(proxy.clone()), plain: Some(proxy), exceptions: NoProxy::default() }
    }

    /// Sends connections with TLS (`wss://`, `https://`) through one proxy and those without (`ws://`, `http://`) through another, or through none.
    #[must_use]
    pub fn by_scheme(secure: Option<Proxy>, plain: Option<Proxy>) -> Self {
        Self { secure, plain, exceptions: NoProxy::default() }
    }

    /// Leaves some hosts out.
    #[must_use]
    pub fn except(mut self, exceptions: NoProxy) -> Self {
        self.exceptions = exceptions;
        self
    }

    /// Gives the proxy of a connection, if it goes through one.
    #[must_use]
    pub fn for_host(&self, is_secure: bool, host: &str, port: u16) -> Option<&Proxy> {
        let proxy = if is_secure { self.secure.as_ref() } else { self.plain.as_ref() };
        proxy.filter(|_| !self.exceptions.names(host, port))
    }
}

/// Hosts that are connected to without a proxy.
///
/// A list as in the environment variable `NO_PROXY`: names (their subdomains included, with or without a leading dot), addresses, networks
/// (`10.0.0.0/8`), each with a port where only that is meant, separated by commas or spaces. `*` is every host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy {
    entries: Vec<Exception>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    Network(IpAddr, u8),
    /// A name without its leading and trailing dots, in small letters.
    Name(String),
}

impl NoProxy {
    /// Reads a list. What is no host is a name that no host has.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let entries = list.split([',', ' ', '\t', '\n']).map(str::trim).filter(|entry| !entry.is_empty());
        Self { entries: entries.map(Exception::parse).collect() }
    }

    /// Tells whether a host is on the list.
    #[must_use]
    pub fn names(&self, host: &str, port: u16) -> bool {
        self.entries.iter().any(|entry| entry.port.is_none_or(|only| only == port) && entry.hosts.include(host))
    }
}

impl Exception {
    fn parse(entry: &str) -> Self {
        if entry == "*" {
            return Self { hosts: Hosts::All, port: None };
        }
        if let Some((network, bits)) = entry.split_once('/')
            && let (Ok(address), Ok(bits)) = (network.trim_matches(['[', ']']).parse(), bits.parse())
        {
            return Self { hosts: Hosts::Network(address, bits), port: None };
        }
        let (host, port) = split_port(entry).unwrap_or((entry, None));
        let hosts = match host.parse() {
            Ok(address) => Hosts::Network(address, 128),
            Err(_) => Hosts::Name(host.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase()),
        };
        Self { hosts, port }
    }
}

impl Hosts {
    fn include(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Network(network, bits) => host.parse().is_ok_and(|address| is_within(address, *network, *bits)),
            Self::Name(name) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let before = host.strip_suffix(name.as_str());
                !name.is_empty() && before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
        }
    }
}

/// Tells whether an address lies in a network: whether its first `bits` are the network's.
fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let rest = width.saturating_sub(u32::from(bits));
        rest >= width || (a ^ b) >> rest == 0
    };
    match (address.to_canonical(), network.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), u32::BITS),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), u128::BITS),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_proxy_is_read() {
        for (url, shown) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("HTTP://Proxy.example:3128/", "http://Proxy.example:3128"),
            ("proxy:3128", "http://proxy:3128"),
            ("proxy", "http://proxy:80"),
            (" socks5h://127.0.0.1 ", "socks5h://127.0.0.1:1080"),
            ("socks5://[::1]:9", "socks5://[::1]:9"),
            ("http://[2001:db8::1]", "http://[2001:db8::1]:80"),
            ("http://user:p%40ss%2F@proxy:1", "http://proxy:1"),
            ("http://user@proxy", "http://proxy:80"),
        ] {
            assert_eq!(Proxy::parse(url).map(|proxy| proxy.to_string()), Ok(shown.to_owned()), "{url}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_password() {
        for url in [
            "",
            "http://",
            "https://proxy",
            "ftp://proxy",
            "socks4://proxy",
            "http://proxy:0",
            "http://proxy:99999",
            "http://proxy:x",
            "http://proxy/path",
            "http://a b",
            "http://me:secret@",
            "http://me:sec/secret@proxy:x",
            "http://me:%zzsecret@proxy",
            "nothing://me:secret@proxy",
            "me:secret@proxy:x",
        ] {
            let error = Proxy::parse(url).expect_err(url).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let proxy = Proxy::parse("http://me:secret@proxy").expect("a proxy");
        assert!(!format!("{proxy} {proxy:?} {:?}", Proxies::all(proxy.clone())).contains("secret"));
    }

    proptest! {
        #[test]
        fn credentials_come_back_whatever_their_bytes(user in prop::collection::vec(any::<u8>(), 0..60), password in prop::collection::vec(any::<u8>(), 0..60)) {
            let encoded = |bytes: &[u8]| bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let proxy = Proxy::parse(&format!("socks5h://{}:{}@[::1]:1", encoded(&user), encoded(&password))).expect("a proxy");
            let is_same = proxy.credentials == Some(Credentials { user, password });
            prop_assert!(is_same);
        }

        #[test]
        fn no_text_makes_a_proxy_panic(text in ".*", list in ".*") {
            let _ = Proxy::parse(&text);
            let _ = Proxy::parse(&format!("socks5://{text}"));
            let _ = NoProxy::parse(&list).names(&text, 1);
        }

        #[test]
        fn a_network_holds_what_has_its_first_bits(address: u32, other: u32, bits in 0u8..=32) {
            let within = NoProxy::parse(&format!("{}/{bits}", std::net::Ipv4Addr::from(address))).names(&std::net::Ipv4Addr::from(other).to_string(), 1);
            let expected = bits == 0 || address >> (32 - bits) == other >> (32 - bits);
            prop_assert_eq!(within, expected);
        }
    }

    #[test]
    fn exceptions_are_names_with_their_subdomains_addresses_networks_and_ports() {
        let list = NoProxy::parse("Coinbase.com, .local 127.0.0.1,[::1]:443,10.0.0.0/8,fd00::/8,one.example:8080,,*.wild.example");
        for (host, port, is_named) in [
            ("coinbase.com", 1, true),
            ("COINBASE.com.", 1, true),
            ("api.exchange.coinbase.com", 1, true),
            ("notcoinbase.com", 1, false),
            ("box.local", 1, true),
            ("local", 1, true),
            ("127.0.0.1", 1, true),
            ("127.0.0.2", 1, false),
            ("::1", 443, true),
            ("::1", 444, false),
            ("10.255.0.1", 1, true),
            ("11.0.0.1", 1, false),
            ("fdff::1", 1, true),
            ("fe00::1", 1, false),
            ("one.example", 8080, true),
            ("one.example", 80, false),
            ("a.wild.example", 1, true),
        ] {
            assert_eq!(list.names(host, port), is_named, "{host}:{port}");
        }
        assert!(NoProxy::parse("x, *").names("anything", 1));
        assert!(!NoProxy::parse("").names("", 1));
    }

    #[test]
    fn the_scheme_chooses_the_proxy_and_an_exception_leaves_it_out() {
        let [secure, plain] = ["http://secure", "http://plain"].map(|url| Proxy::parse(url).expect("a proxy"));
        let proxies = Proxies::by_scheme(Some(secure.clone()), Some(plain.clone())).except(NoProxy::parse("direct"));
        assert_eq!(proxies.for_host(true, "x", 1), Some(&secure));
        assert_eq!(proxies.for_host(false, "x", 1), Some(&plain));
        assert_eq!(proxies.for_host(true, "direct", 1), None);
        assert_eq!(Proxies::all(plain.clone()).for_host(true, "x", 1), Some(&plain));
        assert_eq!(Proxies::default().for_host(true, "x", 1), None);
    }
}
