//! The addresses of a running simulator.

use std::path::PathBuf;

use super::format::quoted;

/// The addresses of a running simulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The WebSocket endpoint, `ws://…` or `wss://…`.
    pub websocket_url: String,
    /// The REST endpoint, `http://…` or `https://…`.
    pub rest_url: Option<String>,
    /// The certificate of the authority that a TLS client must trust.
    pub ca_file: Option<PathBuf>,
}

impl Endpoints {
    /// Gives the endpoints as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let shown = |text: Option<String>| {
            let mut out = Vec::new();
            match text {
                None => out.extend_from_slice(b"null"),
                Some(text) => quoted(&mut out, &text),
            }
            String::from_utf8_lossy(&out).into_owned()
        };
        format!(
            "{{\"websocket_url\":{},\"rest_url\":{},\"ca_file\":{}}}",
            shown(Some(self.websocket_url.clone())),
            shown(self.rest_url.clone()),
            shown(self.ca_file.as_ref().map(|file| file.display().to_string()))
        )
    }
}
