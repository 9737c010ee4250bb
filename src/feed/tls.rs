//! [`TlsRoots`]: the root certificates that TLS trusts: the system's, and those of a file where one is named.

use native_tls::{Certificate, TlsConnector};
use std::path::PathBuf;

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

    /// Gives the text of the PEM file, for a client that makes its own connector.
    pub(super) fn pem(&self) -> Result<Option<Vec<u8>>, RootsError> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        std::fs::read(path).map(Some).map_err(|source| RootsError::Read { path: path.clone(), source })
    }
}
