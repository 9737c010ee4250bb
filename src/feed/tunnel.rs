//! [`open`]: a way through a proxy, over a connection to it: `CONNECT` (RFC 9110, 9.3.6) or SOCKS5 (RFC 1928, RFC 1929).
//!
//! 1. Nothing is read beyond the proxy's answer: what follows is the server's.
//! 2. An error names the step. No error, and nothing that is logged, holds the user or the password.
//! 3. The stream below keeps the time.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use super::proxy::{Credentials, Proxy, ProxyKind};
use super::response_head::{HeadError, ResponseHead};
use super::user_agent::AGENT;

/// The version of SOCKS.
const SOCKS_VERSION: u8 = 5;
/// The version of its user and password (RFC 1929).
const PASSWORD_VERSION: u8 = 1;
/// Methods of SOCKS5: none, user and password, and the proxy's answer that no method will do.
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;

/// Where the tunnel is to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    /// A name, or an address as it stands in a URL, for the proxy to resolve.
    Name(String, u16),
    /// An address.
    Address(SocketAddr),
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// Why a proxy made no way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelError {
    /// The proxy asks for a user and a password, or does not accept the ones given.
    #[error("{step}: the proxy {what}")]
    Credentials {
        /// What was under way.
        step: &'static str,
        /// What it says of them.
        what: &'static str,
    },
    /// The proxy answered `CONNECT` with another status.
    #[error("CONNECT: the proxy answered {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The answer to `CONNECT` is none.
    #[error("CONNECT: {0}")]
    Head(HeadError),
    /// A SOCKS5 proxy could not connect.
    #[error("SOCKS5 connect: the proxy answered {code}: {why}")]
    Reply {
        /// The code of its reply.
        code: u8,
        /// What that means.
        why: &'static str,
    },
    /// The answer is no SOCKS5.
    #[error("{step}: the answer is no SOCKS5")]
    NotSocks {
        /// What was under way.
        step: &'static str,
    },
    /// The name is longer than SOCKS5 can say.
    #[error("SOCKS5 connect: the name has more than 255 bytes")]
    LongName,
    /// The connection to the proxy broke, or nothing came in time.
    #[error("{step}: {source}")]
    Io {
        /// What was under way.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl TunnelError {
    /// Tells whether the proxy failed to reach the address, so that another address may do.
    pub(super) const fn is_of_address(&self) -> bool {
        matches!(self, Self::Reply { .. } | Self::Io { .. })
    }
}

/// Has a proxy connect. Afterwards the stream leads to the destination.
pub(super) fn open(stream: &mut (impl Read + Write), proxy: &Proxy, destination: &Destination) -> Result<(), TunnelError> {
    match proxy.kind {
        ProxyKind::Http => connect(stream, proxy, destination),
        ProxyKind::Socks5Names | ProxyKind::Socks5Addresses => socks5(stream, proxy, destination),
    }
}

fn connect(stream: &mut (impl Read + Write), proxy: &Proxy, destination: &Destination) -> Result<(), TunnelError> {
    const STEP: &str = "CONNECT";
    let authorization = match &proxy.credentials {
        Some(Credentials { user, password }) => {
            let both = [user.as_slice(), b":", password].concat();
            format!("Proxy-Authorization: Basic {}\r\n", openssl::base64::encode_block(&both))
        }
        None => String::new(),
    };
    let request = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\nUser-Agent: {AGENT}\r\n{authorization}\r\n");
    send(stream, request.as_bytes(), STEP)?;
    let head = ResponseHead::read(stream).map_err(|error| match error {
        HeadError::Io(source) => TunnelError::Io { step: STEP, source },
        error => TunnelError::Head(error),
    })?;
    match head.status {
        // A length or an encoding means nothing here (RFC 9110, 9.3.6).
        200..=299 => Ok(()),
        407 if proxy.credentials.is_some() => Err(TunnelError::Credentials { step: STEP, what: "does not accept user and password (407)" }),
        407 => Err(TunnelError::Credentials { step: STEP, what: "asks for a user and a password (407)" }),
        status => Err(TunnelError::Status { status }),
    }
}

fn socks5(stream: &mut (impl Read + Write), proxy: &Proxy, destination: &Destination) -> Result<(), TunnelError> {
    greet(stream, proxy.credentials.as_ref())?;
    const STEP: &str = "SOCKS5 connect";
    // Version, CONNECT, reserved.
    let mut request = vec![SOCKS_VERSION, 1, 0];
    let port = match destination {
        Destination::Address(address) => {
            push_address(&mut request, address.ip());
            address.port()
        }
        Destination::Name(name, port) => {
            match name.parse() {
                Ok(address) => push_address(&mut request, address),
                Err(_) => {
                    request.extend([3, u8::try_from(name.len()).map_err(|_| TunnelError::LongName)?]);
                    request.extend(name.as_bytes());
                }
            }
            *port
        }
    };
    request.extend(port.to_be_bytes());
    send(stream, &request, STEP)?;
    let [version, code, _, kind] = receive::<4>(stream, STEP)?;
    if version != SOCKS_VERSION {
        return Err(TunnelError::NotSocks { step: STEP });
    }
    if code != 0 {
        return Err(TunnelError::Reply { code, why: meaning(code) });
    }
    // The address that the proxy connects from: of no use here.
    match kind {
        1 => receive::<6>(stream, STEP).map(drop),
        4 => receive::<18>(stream, STEP).map(drop),
        3 => {
            let [length] = receive::<1>(stream, STEP)?;
            let mut rest = vec![0; usize::from(length) + 2];
            read_exact(stream, &mut rest, STEP)
        }
        _ => Err(TunnelError::NotSocks { step: STEP }),
    }
}

/// Agrees on a method, and sends user and password where they are asked for.
fn greet(stream: &mut (impl Read + Write), credentials: Option<&Credentials>) -> Result<(), TunnelError> {
    const GREETING: &str = "SOCKS5 greeting";
    const AUTHENTICATION: &str = "SOCKS5 authentication";
    let methods: &[u8] = if credentials.is_some() { &[NO_AUTHENTICATION, PASSWORD] } else { &[NO_AUTHENTICATION] };
    send(stream, &[&[SOCKS_VERSION, if credentials.is_some() { 2 } else { 1 }], methods].concat(), GREETING)?;
    let [version, method] = receive::<2>(stream, GREETING)?;
    match (version, method, credentials) {
        (SOCKS_VERSION, NO_AUTHENTICATION, _) => Ok(()),
        (SOCKS_VERSION, PASSWORD, Some(Credentials { user, password })) => {
            let length = |part: &[u8]| u8::try_from(part.len()).unwrap_or(u8::MAX);
            let mut request = vec![PASSWORD_VERSION, length(user)];
            request.extend(user.iter().take(usize::from(u8::MAX)));
            request.push(length(password));
            request.extend(password.iter().take(usize::from(u8::MAX)));
            send(stream, &request, AUTHENTICATION)?;
            // Some proxies answer with version 5 here.
            let [_, verdict] = receive::<2>(stream, AUTHENTICATION)?;
            if verdict == 0 {
                return Ok(());
            }
            Err(TunnelError::Credentials { step: AUTHENTICATION, what: "does not accept user and password" })
        }
        (SOCKS_VERSION, NO_METHOD, Some(_)) => {
            Err(TunnelError::Credentials { step: GREETING, what: "accepts neither a password nor none" })
        }
        (SOCKS_VERSION, NO_METHOD | PASSWORD, None) => {
            Err(TunnelError::Credentials { step: GREETING, what: "asks for a user and a password" })
        }
        _ => Err(TunnelError::NotSocks { step: GREETING }),
    }
}

fn push_address(request: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            request.push(1);
            request.extend(address.octets());
        }
        IpAddr::V6(address) => {
            request.push(4);
            request.extend(address.octets());
        }
    }
}

/// Says what a reply's code means (RFC 1928, 6).
const fn meaning(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable, or no such name",
        5 => "connection refused",
        6 => "the packet's time to live expired",
        7 => "it does not know CONNECT",
        8 => "it does not know this type of address",
        _ => "no code of SOCKS5",
    }
}

fn send(stream: &mut impl Write, bytes: &[u8], step: &'static str) -> Result<(), TunnelError> {
    stream.write_all(bytes).and_then(|()| stream.flush()).map_err(|source| TunnelError::Io { step, source })
}

fn receive<const N: usize>(stream: &mut impl Read, step: &'static str) -> Result<[u8; N], TunnelError> {
    let mut bytes = [0; N];
    read_exact(stream, &mut bytes, step)?;
    Ok(bytes)
}

fn read_exact(stream: &mut impl Read, bytes: &mut [u8], step: &'static str) -> Result<(), TunnelError> {
    stream.read_exact(bytes).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => {
            TunnelError::Io { step, source: io::Error::new(io::ErrorKind::UnexpectedEof, "the proxy closed the connection") }
        }
        _ => TunnelError::Io { step, source },
    })
}
