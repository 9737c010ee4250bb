//! A client's byte stream: plain TCP or TLS.

use std::io::{Read, Result, Write};
use std::net::TcpStream;

use openssl::ssl::{SslAcceptor, SslStream};

/// The server's side of a connection.
#[derive(Debug)]
pub(super) enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<SslStream<TcpStream>>),
}

impl Stream {
    /// Takes an accepted socket. Does the TLS handshake where there is an acceptor.
    pub(super) fn accept(socket: TcpStream, tls: Option<&SslAcceptor>) -> Result<Self> {
        socket.set_nodelay(true)?;
        match tls {
            None => Ok(Self::Plain(socket)),
            Some(acceptor) => {
                let stream = acceptor.accept(socket).map_err(|error| std::io::Error::other(error.to_string()))?;
                Ok(Self::Tls(Box::new(stream)))
            }
        }
    }

    /// Gives the socket.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
