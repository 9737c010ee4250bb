//! [`Connector`]: makes the connections of the WebSocket and of REST: names, addresses, proxy, TLS.
//!
//! 1. Names are resolved anew for each connection: the addresses of a load balancer change. The resolver can be replaced.
//! 2. All addresses of a name are tried ([`race`]). One that accepts a connection and then says nothing gets a part of the time only; then the others are
//!    tried. One that fails otherwise ends the attempt. Either is tried last by later connections, until it has answered.
//! 3. Where a proxy is set, every connection goes through it but those of the exceptions.
//! 4. The trusted roots are read anew after ten minutes, and after a handshake that failed.
//! 5. An error names the step, and host and port of the other side.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use native_tls::TlsConnector;
use parking_lot::Mutex;

use super::awake::Deadline;
use super::backoff::BETWEEN_CONNECTIONS;
use super::endpoint::Endpoint;
use super::proxy::{Proxies, Proxy, ProxyKind};
use super::socket_error::SocketError;
use super::tcp_race::{MAX_ADDRESSES, race};
use super::tls::TlsRoots;
use super::transport::{BufferedTcp, Transport};
use super::tunnel::{self, Destination};

/// Least time for the handshakes with one of several addresses.
const LEAST_PART: Duration = Duration::from_secs(2);

/// Most addresses remembered as ones that do not answer.
const MAX_UNANSWERING: usize = 256;

/// Most addresses that a SOCKS5 proxy is asked for, one after the other.
const MAX_DESTINATIONS: usize = 4;

/// How long the trusted roots are kept in memory before they are read anew, because certificates are renewed. Reading the system's costs a tenth of a second.
const ROOTS_KEPT_FOR: Duration = Duration::from_secs(600);

/// Gives the addresses of a host.
pub type Resolver = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Makes connections. Clones share what is known about addresses.
#[derive(Clone)]
pub struct Connector {
    roots: TlsRoots,
    proxies: Proxies,
    resolve: Arc<Resolver>,
    /// Addresses that accepted a connection and did not answer.
    unanswering: Arc<Mutex<Vec<SocketAddr>>>,
    tls: Arc<Mutex<Option<(Instant, TlsConnector)>>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("roots", &self.roots).field("proxies", &self.proxies).finish_non_exhaustive()
    }
}

impl From<&TlsRoots> for Connector {
    fn from(roots: &TlsRoots) -> Self {
        Self::new(roots.clone(), Proxies::default())
    }
}

impl From<&Connector> for Connector {
    fn from(connector: &Connector) -> Self {
        connector.clone()
    }
}

/// Where the first connection goes, and what is asked for over it.
struct Way<'c> {
    proxy: Option<&'c Proxy>,
    addresses: Vec<SocketAddr>,
    tls: Option<TlsConnector>,
}

impl Connector {
    /// Trusts the system's roots and these, and goes through these proxies.
    #[must_use]
    pub fn new(roots: TlsRoots, proxies: Proxies) -> Self {
        let resolve = |host: &str, port| Ok((host, port).to_socket_addrs()?.collect());
        Self { roots, proxies, resolve: Arc::new(resolve), unanswering: Arc::default(), tls: Arc::default() }
    }

    /// Resolves names in another way.
    #[must_use]
    pub fn with_resolver(mut self, resolve: Arc<Resolver>) -> Self {
        self.resolve = resolve;
        self
    }

    /// Checks that the trusted roots can be used.
    ///
    /// # Errors
    /// Where they cannot.
    pub(super) fn check(&self) -> Result<(), SocketError> {
        Ok(self.roots.check()?)
    }

    /// Gives the connector of TLS. Another thread that needs it meanwhile waits for it.
    fn tls(&self) -> Result<TlsConnector, SocketError> {
        let mut kept = self.tls.lock();
        if let Some((_, connector)) = kept.as_ref().filter(|(since, _)| since.elapsed() < ROOTS_KEPT_FOR) {
            return Ok(connector.clone());
        }
        let connector = self.roots.connector()?;
        *kept = Some((Instant::now(), connector.clone()));
        Ok(connector)
    }

    /// Resolves the name that a connection to an endpoint goes to first: the endpoint's, or its proxy's. Gives the name and its addresses.
    ///
    /// # Errors
    /// Where the name has no address.
    pub(crate) fn resolve(&self, endpoint: &Endpoint) -> Result<(String, Vec<SocketAddr>), SocketError> {
        let proxy = self.proxies.for_host(endpoint.is_tls(), endpoint.host(), endpoint.port());
        let (host, port) = proxy.map_or((endpoint.host(), endpoint.port()), |proxy| (proxy.host.as_str(), proxy.port));
        let addresses = self.addresses(endpoint, proxy, host, port)?;
        if addresses.is_empty() { Err(no_address(endpoint)) } else { Ok((host.to_owned(), addresses)) }
    }

    /// Connects, and has `begin` make what it wants of the connection. Where that fails with one address, the others are tried.
    ///
    /// # Errors
    /// Where no address leads to a connection of which `begin` can make something. The error of the first address that was reached.
    pub(super) fn open<T>(
        &self,
        endpoint: &Endpoint,
        deadline: &mut Deadline,
        mut begin: impl FnMut(Transport) -> Result<T, SocketError>,
    ) -> Result<T, SocketError> {
        let tls = if endpoint.is_tls() { Some(self.tls()?) } else { None };
        let proxy = self.proxies.for_host(endpoint.is_tls(), endpoint.host(), endpoint.port());
        let (host, port) = proxy.map_or((endpoint.host(), endpoint.port()), |proxy| (proxy.host.as_str(), proxy.port));
        let way = Way { proxy, addresses: self.addresses(endpoint, proxy, host, port)?, tls };
        let destinations = match proxy {
            Some(proxy) if proxy.kind == ProxyKind::Socks5Addresses => {
                let addresses = self.addresses(endpoint, None, endpoint.host(), endpoint.port())?;
                addresses.into_iter().take(MAX_DESTINATIONS).map(Destination::Address).collect()
            }
            _ => vec![Destination::Name(endpoint.host().to_owned(), endpoint.port())],
        };
        let mut first_error = None;
        for destination in &destinations {
            match self.open_way(endpoint, &way, destination, deadline, &mut begin) {
                Err(error) if error.is_of_destination() && destinations.len() > 1 => {
                    first_error.get_or_insert(error);
                }
                done => return done,
            }
        }
        Err(first_error.unwrap_or_else(|| no_address(endpoint)))
    }

    /// Tries the addresses of a way until `begin` succeeds.
    fn open_way<T>(
        &self,
        endpoint: &Endpoint,
        way: &Way<'_>,
        destination: &Destination,
        deadline: &mut Deadline,
        begin: &mut impl FnMut(Transport) -> Result<T, SocketError>,
    ) -> Result<T, SocketError> {
        let mut addresses = way.addresses.clone();
        let mut first_error = None;
        loop {
            let (tcp, address) = match race(&addresses, deadline) {
                Ok(connected) => connected,
                Err(source) => {
                    let to = way.proxy.map_or_else(|| endpoint.place(), |proxy| format!("the proxy {proxy} of {}", endpoint.place()));
                    return Err(first_error.unwrap_or(SocketError::Connect { to, source }));
                }
            };
            let part = deadline.part(u32::try_from(addresses.len()).unwrap_or(u32::MAX), LEAST_PART);
            addresses.retain(|other| *other != address);
            let began = Instant::now();
            let begun = secure(endpoint, way, destination, tcp, part).and_then(&mut *begin);
            deadline.count_part(&part);
            let has_been_silent = began.elapsed() >= BETWEEN_CONNECTIONS;
            match begun {
                Ok(opened) => {
                    self.unanswering.lock().retain(|other| *other != address);
                    return Ok(opened);
                }
                // Another address would give the same answer, or there is none.
                Err(error) if error.is_answer() => return Err(first_error.unwrap_or(error)),
                Err(error) => {
                    if matches!(error, SocketError::Tls { .. }) {
                        // The roots may have changed since they were read.
                        *self.tls.lock() = None;
                    }
                    self.note_unanswering(address);
                    first_error.get_or_insert(error);
                }
            }
            // What fails at once is left to the back-off: the server may be the one behind every address, and drops who connects too fast.
            if addresses.is_empty() || !has_been_silent {
                return Err(first_error.unwrap_or_else(|| no_address(endpoint)));
            }
        }
    }

    /// Notes that an address did not answer.
    pub(super) fn note_unanswering(&self, address: SocketAddr) {
        let mut unanswering = self.unanswering.lock();
        if !unanswering.contains(&address) {
            if unanswering.len() >= MAX_UNANSWERING {
                unanswering.remove(0);
            }
            unanswering.push(address);
        }
    }

    /// Resolves a name. Gives the addresses that did not answer last.
    fn addresses(&self, endpoint: &Endpoint, proxy: Option<&Proxy>, host: &str, port: u16) -> Result<Vec<SocketAddr>, SocketError> {
        let of = || proxy.map_or_else(|| endpoint.place(), |proxy| format!("the proxy {proxy}"));
        let resolved = (self.resolve)(host, port);
        let mut addresses = resolved.map_err(|source| SocketError::Resolve { host: host.to_owned(), of: of(), source })?;
        addresses.truncate(MAX_ADDRESSES);
        let unanswering = self.unanswering.lock();
        // Stable: the resolver's order stays among the others.
        addresses.sort_by_key(|address| unanswering.contains(address));
        addresses.dedup();
        Ok(addresses)
    }
}

/// Makes the proxy's and the TLS handshake over a TCP connection.
fn secure(endpoint: &Endpoint, way: &Way<'_>, destination: &Destination, tcp: TcpStream, part: Deadline) -> Result<Transport, SocketError> {
    let mut tcp = BufferedTcp::new(tcp, part);
    if let Some(proxy) = way.proxy {
        tunnel::open(&mut tcp, proxy, destination).map_err(|source| SocketError::Proxy {
            proxy: proxy.to_string(),
            to: destination.to_string(),
            source,
        })?;
    }
    match &way.tls {
        None => Ok(Transport::plain(tcp)),
        Some(connector) => Transport::tls(tcp, connector, endpoint.host()).map_err(|why| SocketError::Tls { to: endpoint.place(), why }),
    }
}

fn no_address(endpoint: &Endpoint) -> SocketError {
    let source = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    SocketError::Resolve { host: endpoint.host().to_owned(), of: endpoint.place(), source }
}
