//! `coltape serve`: the tape over HTTP and WebSocket. A process of its own beside the capture: it reads the data directory and writes nothing.
//!
//! 1. [`http`] reads requests and writes answers, within bounds for each client. It knows nothing of tapes.
//! 2. [`access`] checks who asks, [`routes`] chooses what answers, and [`server`] is what every answer may use.
//! 3. Each answer reads snapshots, as every reader does: nothing that a client asks for can disturb a capture.
//! 4. No path of a request becomes the name of a file, except a product that was parsed as one and that the directory lists.
//!
//! [`monitor`] is the small server of a running capture, over the same [`http`].
//!
//! Threads: those of [`http`], and those of [`data`], which follow a product for its live clients.

mod access;
mod coinbase;
pub(crate) mod config;
pub(crate) mod counters;
mod data;
pub(crate) mod error;
mod folder;
mod health;
pub(crate) mod http;
mod metrics;
pub(crate) mod monitor;
mod page;
mod routes;
pub(crate) mod server;
mod turns;
mod uncut;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

pub use config::ServeConfig;
pub use error::ServeError;
pub use monitor::Monitoring;

use crate::json::Object;
use crate::tape::Tape;
use access::Access;
use http::accept::HttpServer;
use http::handler::{Handler, Priority};
use http::limits::Limits;
use http::request::Request;
use http::response::Response;
use http::stopping::Stopping;
use http::traffic::Traffic;
use server::Server;

/// A running server.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # coltape::internals::sample::tape(folder.path())?;
/// # let dir = folder.path();
/// use std::io::{Read, Write};
/// use coltape::{ServeConfig, Serving};
///
/// let serving = Serving::start(ServeConfig::new(dir))?;
/// let mut client = std::net::TcpStream::connect(serving.address())?;
/// client.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok\n"));
/// serving.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    http: HttpServer,
    server: Arc<Server>,
}

impl Serving {
    /// Starts to serve.
    ///
    /// # Errors
    /// Where the directory is no tape, a setting is wrong, an address that is not loopback has no token, or the address cannot be listened on.
    pub fn start(mut config: ServeConfig) -> Result<Self, ServeError> {
        let access = Access::new(&config)?;
        // An error names the directory as it was given.
        Tape::open(&config.dir)?;
        if let Ok(dir) = std::path::absolute(&config.dir) {
            config.dir = dir;
        }
        let tape = Tape::open(&config.dir)?;
        let listen = |source| ServeError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let limits =
            Limits { max_clients: config.max_clients.max(1), send_timeout: config.send_timeout, head_timeout: config.head_timeout };
        let (stopping, traffic) = (Stopping::default(), Arc::<Traffic>::default());
        let server = Arc::new(Server::new(config, tape, stopping.clone(), Arc::clone(&traffic)));
        let handler = Arc::new(Site { access, server: Arc::clone(&server) });
        let http = HttpServer::start(listener, limits, handler, &stopping, &traffic).map_err(ServeError::Start)?;
        Ok(Self { address, http, server })
    }

    /// Gives the address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives the endpoints as a line of JSON, without a line feed.
    #[must_use]
    pub fn endpoints_json(&self) -> String {
        let address = self.address;
        Object::default().text("http_url", &format!("http://{address}")).text("websocket_url", &format!("ws://{address}/ws")).done()
    }

    /// Tells whether the server has ended by itself, which is a fault.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.http.is_over()
    }

    /// Stops: new requests are refused, streams and WebSockets are ended, answers in flight may go on for a few seconds.
    ///
    /// # Errors
    /// Where the server had ended by itself.
    pub fn stop(self) -> Result<(), ServeError> {
        let has_stopped = self.http.stop();
        // They see the stop that `http` has asked for.
        self.server.live_hubs().join();
        if has_stopped { Ok(()) } else { Err(ServeError::Ended) }
    }
}

/// Checks who asks, and has the routes answer.
struct Site {
    access: Access,
    server: Arc<Server>,
}

impl Handler for Site {
    fn answer(&self, mut request: Request) -> Response {
        let needs_token = !request.path().starts_with(routes::ASSETS);
        match self.access.check(&mut request, needs_token) {
            Ok(allowed) => self.access.mark(uncut::answer(&request, |request| routes::route(&self.server, request)), allowed),
            Err(refusal) => page::instead_of(*refusal, &request),
        }
    }

    fn priority(&self, path: &str) -> Priority {
        routes::priority(path)
    }
}
