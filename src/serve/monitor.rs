//! [`Monitoring`]: what a running capture answers over HTTP (`capture --listen`): its figures, whether it is alive and ready, and its status. Nothing of the tape.
//!
//! 1. It reads what the capture shows ([`CaptureView`]) and the status file. Nothing that a client asks for holds up the capture.
//! 2. Who may ask is checked as for the server ([`super::access`]): loopback, or a token.
//!
//! Threads: those of [`super::http`].

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::access::Access;
use super::config::ServeConfig;
use super::error::ServeError;
use super::health;
use super::http::accept::HttpServer;
use super::http::handler::{Handler, Priority};
use super::http::limits::Limits;
use super::http::request::Request;
use super::http::response::{JSON, Response};
use super::http::stopping::Stopping;
use super::http::traffic::Traffic;
use crate::capture::CaptureView;
use crate::exposition::CONTENT_TYPE;
use crate::status::look;
use crate::time::Clock;

/// Most clients that are answered at once.
const MAX_CLIENTS: usize = 16;

/// A capture that answers over HTTP.
#[derive(Debug)]
pub struct Monitoring {
    address: SocketAddr,
    http: HttpServer,
}

impl Monitoring {
    /// Starts to answer for the capture of a data directory that the view shows. The directory need not exist yet.
    ///
    /// # Errors
    /// Where an address that is not loopback has no token, the token is none, or the address cannot be listened on.
    pub fn start(dir: &Path, listen: SocketAddr, token: Option<String>, view: &CaptureView) -> Result<Self, ServeError> {
        let mut config = ServeConfig::new(dir);
        (config.listen, config.token) = (listen, token);
        let access = Access::new(&config)?;
        let failed = |source| ServeError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let limits = Limits { max_clients: MAX_CLIENTS, send_timeout: config.send_timeout, head_timeout: config.head_timeout };
        let handler = Arc::new(Answers { access, dir: dir.to_owned(), view: view.clone() });
        let http =
            HttpServer::start(listener, limits, handler, &Stopping::default(), &Arc::<Traffic>::default()).map_err(ServeError::Start)?;
        Ok(Self { address, http })
    }

    /// Gives the address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: answers in flight may go on for a few seconds.
    ///
    /// # Errors
    /// Where the server had ended by itself.
    pub fn stop(self) -> Result<(), ServeError> {
        if self.http.stop() { Ok(()) } else { Err(ServeError::Ended) }
    }
}

/// Answers requests.
struct Answers {
    access: Access,
    dir: PathBuf,
    view: CaptureView,
}

impl Answers {
    fn answer_allowed(&self, path: &str) -> Response {
        let fresh = |response: Response| response.with_header("Cache-Control", "no-store");
        match path {
            "/healthz" => health::alive(),
            "/readyz" => health::readiness(&self.view.not_ready()),
            "/metrics" => fresh(Response::bytes(CONTENT_TYPE, self.view.metrics().into_bytes())),
            "/status" => fresh(match look(&self.dir, Clock::System.now()) {
                Ok(status) => Response::bytes(JSON, format!("{}\n", status.json()).into_bytes()),
                Err(error) => Response::error(503, error.to_string(), "the capture starts or ends: ask again"),
            }),
            path => Response::error(404, format!("there is nothing at {path}"), "ask for /metrics, /healthz, /readyz or /status"),
        }
    }
}

impl Handler for Answers {
    fn answer(&self, mut request: Request) -> Response {
        match self.access.check(&mut request, true) {
            Ok(allowed) => self.access.mark(self.answer_allowed(request.path()), allowed),
            Err(refusal) => *refusal,
        }
    }

    fn priority(&self, path: &str) -> Priority {
        match path {
            "/healthz" => Priority::Instant,
            "/readyz" | "/metrics" | "/status" => Priority::Health,
            _ => Priority::Usual,
        }
    }
}
