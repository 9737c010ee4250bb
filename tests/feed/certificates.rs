//! TLS with certificates of every kind that fails: the error says which server, and what to do, in plain words.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coltape::internals::feed::connector::Connector;
use coltape::internals::feed::endpoint::Endpoint;
use coltape::internals::feed::proxy::Proxies;
use coltape::internals::feed::rest::RestClient;
use coltape::internals::feed::socket::Socket;
use coltape::internals::feed::timeouts::Timeouts;
use coltape::internals::feed::tls::TlsRoots;
use native_tls::{Identity, TlsAcceptor};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder, X509Ref};

use crate::peers::{Server, serve_products, serve_websocket};

const DAY: i64 = 24 * 3600;

/// A certificate for `name`, valid from and to so many days from now, signed by `issuer`, else by itself.
fn certificate(name: &str, from: i64, to: i64, issuer: Option<(&X509Ref, &PKey<Private>)>) -> (X509, PKey<Private>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(fastrand::u32(1..)).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(issuer.map_or(&subject, |(issuer, _)| issuer.subject_name())).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(now + from * DAY).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(now + to * DAY).unwrap()).unwrap();
    if issuer.is_none() {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    }
    let names = SubjectAlternativeName::new().dns(name).build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(issuer.map_or(&key, |(_, key)| key), MessageDigest::sha256()).unwrap();
    (builder.build(), key)
}

fn identity((certificate, key): &(X509, PKey<Private>)) -> Identity {
    Identity::from_pkcs8(&certificate.to_pem().unwrap(), &key.private_key_to_pem_pkcs8().unwrap()).unwrap()
}

/// A TLS server with an identity.
fn server(identity: Identity) -> Server {
    let acceptor = TlsAcceptor::new(identity).unwrap();
    Server::start(move |stream| drop(acceptor.accept(stream)))
}

fn roots(folder: &Path, certificate: &X509) -> PathBuf {
    let path = folder.join(format!("root-{}.pem", fastrand::u64(..)));
    std::fs::write(&path, certificate.to_pem().unwrap()).unwrap();
    path
}

/// Connects WebSocket and REST to a server under the name `server.example`. Gives both errors.
fn errors(server: &Server, ca_file: Option<PathBuf>) -> [String; 2] {
    let address: SocketAddr = server.address;
    let connector = Connector::new(TlsRoots { ca_file }, Proxies::default()).with_resolver(Arc::new(move |_, _| Ok(vec![address])));
    let endpoint = Endpoint::parse("wss://server.example:4443/feed").unwrap();
    let mut timeouts = Timeouts::default();
    timeouts.connect = Duration::from_secs(30);
    let socket = Socket::connect(&endpoint, &connector, &timeouts).err().unwrap();
    assert!(socket.is_retryable());
    let mut client = RestClient::new("https://server.example:4443", &connector, Duration::from_secs(30)).unwrap();
    [socket.to_string(), client.products().unwrap_err().to_string()]
}

#[test]
fn a_certificate_that_is_not_accepted_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let own = certificate("server.example", -1, 1, None);
    let authority = certificate("An authority", -1, 1, None);
    let signed = certificate("server.example", -1, 1, Some((&authority.0, &authority.1)));
    let expired = certificate("server.example", -9, -2, None);
    let early = certificate("server.example", 2, 9, None);
    let other = certificate("other.example", -1, 1, None);
    let trusted = |of: &(X509, PKey<Private>)| Some(roots(folder.path(), &of.0));
    for (served, ca_file, says) in [
        (&own, None, "is not signed by a known authority"),
        (&signed, None, "give its root with --ca-file"),
        (&own, trusted(&signed), "is not signed by a known authority"),
        (&expired, trusted(&expired), "has expired, by the clock of this machine"),
        (&early, trusted(&early), "is not yet valid, by the clock of this machine"),
        (&other, trusted(&other), "is for another name"),
    ] {
        for error in errors(&server(identity(served)), ca_file) {
            assert!(error.contains(says) && error.contains("no TLS with server.example:4443"), "{error}");
            assert!(!error.contains("SSL routines") && !error.contains("error:0"), "{error}");
        }
    }
}

#[test]
fn a_server_without_tls_and_one_with_it_are_told_apart() {
    let answering = Server::start(|mut stream| {
        let _ = stream.read(&mut [0; 16]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0; 4096]);
    });
    for error in errors(&answering, None) {
        assert!(error.contains("server.example:4443") && error.contains("speaks no TLS"), "{error}");
    }
    for error in errors(&Server::start(serve_websocket), None) {
        assert!(error.contains("server.example:4443") && error.contains("closed the connection during the handshake"), "{error}");
    }
    // As OpenSSL answers what is no TLS: an alert. It waits, so that the end of the connection does not overtake it.
    let secure = Server::start(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, 70]);
        let _ = stream.read(&mut [0; 4096]);
    });
    let endpoint = Endpoint::parse(&format!("ws://{}/feed", secure.address)).unwrap();
    let error = Socket::connect(&endpoint, &TlsRoots::default(), &Timeouts::default()).err().unwrap().to_string();
    assert!(error.contains("speaks TLS") && error.contains("wss://"), "{error}");
    let mut client = RestClient::new(&format!("http://{}", secure.address), &TlsRoots::default(), Duration::from_secs(30)).unwrap();
    let error = client.products().unwrap_err().to_string();
    assert!(error.contains("speaks TLS") && error.contains("https://"), "{error}");
}

#[test]
fn rest_and_websocket_over_tls_trust_the_named_root() {
    let folder = tempfile::tempdir().unwrap();
    let authority = certificate("An authority", -1, 1, None);
    let ca_file = Some(roots(folder.path(), &authority.0));
    let signed = certificate("server.example", -1, 1, Some((&authority.0, &authority.1)));
    let acceptor = TlsAcceptor::new(identity(&signed)).unwrap();
    let plain = Server::start(serve_products);
    let target = plain.address;
    // TLS in front of the plain server, on one thread a direction would need a split stream: one request at a time is enough.
    let secure = Server::start(move |stream| {
        let Ok(mut tls) = acceptor.accept(stream) else { return };
        let mut behind = std::net::TcpStream::connect(target).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(count) = tls.read(&mut buffer)
            && count > 0
        {
            behind.write_all(&buffer[..count]).unwrap();
            if buffer[..count].ends_with(b"\r\n\r\n") {
                let count = behind.read(&mut buffer).unwrap();
                tls.write_all(&buffer[..count]).unwrap();
            }
        }
    });
    let address = secure.address;
    let connector = Connector::new(TlsRoots { ca_file }, Proxies::default()).with_resolver(Arc::new(move |_, _| Ok(vec![address])));
    let mut client = RestClient::new("https://server.example", &connector, Duration::from_secs(30)).unwrap();
    for _ in 0..3 {
        assert_eq!(client.products().unwrap().len(), 1);
    }
    assert_eq!(secure.accepted.load(std::sync::atomic::Ordering::Relaxed), 1, "the connection is kept");
}
