//! [`TlsRoots`]: the root certificates that TLS trusts: the system's, and those of a file where one is named. [`TlsFault`]: why a handshake failed, in
//! words that say what to do.

use std::path::PathBuf;

use native_tls::{Certificate, TlsConnector};

/// The root certificates that a server's certificate must lead to: the system's, and those of a PEM file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsRoots {
    /// A PEM file with one or more certificates, for example those of a test endpoint.
    pub ca_file: Option<PathBuf>,
}

/// Why the root certificates cannot be used. Trying again does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds no certificate.
    #[error("no certificate in {path}", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// OpenSSL refused.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] native_tls::Error),
}

impl TlsRoots {
    /// Checks that the file holds certificates.
    pub(super) fn check(&self) -> Result<(), RootsError> {
        self.extra().map(drop)
    }

    /// Makes a connector. The file is read anew each time.
    pub(super) fn connector(&self) -> Result<TlsConnector, RootsError> {
        let mut builder = TlsConnector::builder();
        for certificate in self.extra()? {
            builder.add_root_certificate(certificate);
        }
        Ok(builder.build()?)
    }

    fn extra(&self) -> Result<Vec<Certificate>, RootsError> {
        let Some(path) = &self.ca_file else { return Ok(Vec::new()) };
        let pem = std::fs::read(path).map_err(|source| RootsError::Read { path: path.clone(), source })?;
        let found = Certificate::stack_from_pem(&pem)?;
        if found.is_empty() { Err(RootsError::Empty { path: path.clone() }) } else { Ok(found) }
    }
}

/// Why a TLS handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// The certificate leads to no root that is trusted.
    #[error("the certificate is not signed by a known authority ({0}); give its root with --ca-file")]
    UnknownAuthority(String),
    /// The certificate's time is over, or has not come yet.
    #[error("{0}, by the clock of this machine")]
    Time(String),
    /// The certificate is for another name.
    #[error("the certificate is for another name ({0})")]
    Name(String),
    /// The answer is no TLS.
    #[error("the server speaks no TLS on this port (ws:// and http:// are without)")]
    NoTls,
    /// The server closed the connection.
    #[error("the server closed the connection during the handshake (if it is one without TLS, ws:// or http:// is right)")]
    Closed,
    /// Anything else, as OpenSSL or the system says it.
    #[error("{0}")]
    Other(String),
}

impl TlsFault {
    /// Reads what OpenSSL said. Its text ends with the verdict on the certificate in brackets, where that is the reason.
    pub(super) fn read(text: &str) -> Self {
        let verdict = text.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).map(str::to_owned);
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        match verdict {
            Some(verdict) if text.contains("certificate verify failed") => {
                let says = |words: &[&str]| words.iter().any(|word| verdict.contains(word));
                if says(&["expired", "not yet valid"]) {
                    Self::Time(format!("the {verdict}"))
                } else if says(&["mismatch"]) {
                    Self::Name(verdict)
                } else if says(&["self-signed", "self signed", "unable to get", "unable to verify", "untrusted", "invalid CA"]) {
                    Self::UnknownAuthority(verdict)
                } else {
                    Self::Other(format!("the certificate is not accepted: {verdict}"))
                }
            }
            _ if has(&["wrong version number", "http request", "packet length too long", "record too large", "unknown protocol"]) => {
                Self::NoTls
            }
            _ if has(&["unexpected EOF", "unexpected eof"]) => Self::Closed,
            _ => Self::Other(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_openssl_says_becomes_what_to_do() {
        let verify = |verdict: &str| {
            format!(
                "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:../ssl/x.c:1889: ({verdict})"
            )
        };
        for verdict in [
            "self-signed certificate",
            "self signed certificate",
            "self-signed certificate in certificate chain",
            "unable to get local issuer certificate",
            "unable to get issuer certificate",
            "unable to verify the first certificate",
        ] {
            let said = TlsFault::read(&verify(verdict)).to_string();
            assert!(said.contains("--ca-file") && said.contains(verdict) && !said.contains("0A000086"), "{said}");
        }
        assert_eq!(
            TlsFault::read(&verify("certificate has expired")).to_string(),
            "the certificate has expired, by the clock of this machine"
        );
        assert!(matches!(TlsFault::read(&verify("certificate is not yet valid")), TlsFault::Time(_)));
        for verdict in ["hostname mismatch", "IP address mismatch", "Hostname mismatch"] {
            assert_eq!(TlsFault::read(&verify(verdict)), TlsFault::Name(verdict.to_owned()));
        }
        assert!(TlsFault::read(&verify("certificate revoked")).to_string().contains("revoked"));
        assert_eq!(TlsFault::read("error:0A00010B:SSL routines:ssl3_get_record:wrong version number:x"), TlsFault::NoTls);
        assert_eq!(TlsFault::read("connection reset (os error 104)").to_string(), "connection reset (os error 104)");
        assert_eq!(TlsFault::read("").to_string(), "");
    }
}
