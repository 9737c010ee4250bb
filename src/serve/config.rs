//! [`ServeConfig`]: what is served, to whom, and within which bounds.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What is served, to whom, and within which bounds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServeConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Where to listen; port 0 takes a free port. An address that is not loopback needs a token.
    pub listen: SocketAddr,
    /// What each request has to carry, as `Authorization: Bearer …` or `?token=…`.
    pub token: Option<String>,
    /// Names by which requests may reach the server, beside `localhost` and its addresses.
    pub hosts: Vec<String>,
    /// Origins whose pages may read the answers, as `https://box.example`.
    pub allow_origins: Vec<String>,
    /// Most clients that are answered at once.
    pub max_clients: usize,
    /// How long a client may take nothing of its answer.
    pub send_timeout: Duration,
    /// How long a client may take to send the head of a request.
    pub head_timeout: Duration,
    /// Most days that one request may cover.
    pub max_days: u32,
}

impl ServeConfig {
    /// Where it is listened without `--listen`.
    pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    /// Most clients that are answered at once, unless it is set.
    pub const MAX_CLIENTS: usize = 256;
    /// How long a client may take nothing, unless it is set.
    pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a head may take, unless it is set.
    pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
    /// Most days of a request, unless it is set.
    pub const MAX_DAYS: u32 = 31;

    /// Serves a directory on a free port of loopback, to everyone there.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            hosts: Vec::new(),
            allow_origins: Vec::new(),
            max_clients: Self::MAX_CLIENTS,
            send_timeout: Self::SEND_TIMEOUT,
            head_timeout: Self::HEAD_TIMEOUT,
            max_days: Self::MAX_DAYS,
        }
    }
}
