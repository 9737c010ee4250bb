//! The sender of the pipeline benches: frames made beforehand, as bytes of the wire, so that its own work is a copy into the socket.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coltape::internals::time::{Clock, UnixNanos};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod, SslStream};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use tungstenite::{Message, WebSocket};

use crate::corpus::{Maker, product_name};

/// All messages of a run, each as an unmasked text frame, the products drawn at random, the ids of each without a gap.
pub struct Wire {
    /// The frames, one behind the other.
    pub bytes: Vec<u8>,
    /// Where each ends.
    pub ends: Vec<usize>,
    /// Which product each is of.
    pub products: Vec<u16>,
    /// Messages at the beginning that bring every product once.
    pub warm: usize,
}

impl Wire {
    /// Makes `messages` messages of `products` products, and before them one of each.
    pub fn new(products: usize, messages: usize) -> Self {
        let (mut maker, mut rng) = (Maker::new(6), fastrand::Rng::with_seed(7));
        let names: Vec<String> = (0..products).map(product_name).collect();
        let mut ids = vec![1_000_000u64; products];
        // Today's, if it has just begun: yesterday is sealed soon after midnight.
        let now = Clock::System.now();
        let start = now.0.saturating_sub(3_600_000_000_000).max(now.day().start().0);
        let mut wire = Self { bytes: Vec::with_capacity(messages * 330), ends: Vec::new(), products: Vec::new(), warm: products };
        for number in 0..products + messages {
            let at = if number < products { number } else { rng.usize(..products) };
            ids[at] += 1;
            // An hour ago and on, so that nothing lies in the future however fast it is sent.
            let time = UnixNanos(start + number as u64 * 3_001);
            let text = maker.matched(&names[at], ids[at], time);
            wire.bytes.extend_from_slice(&[0x81, 126]);
            wire.bytes.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
            wire.bytes.extend_from_slice(text.as_bytes());
            wire.ends.push(wire.bytes.len());
            wire.products.push(u16::try_from(at).unwrap());
        }
        wire
    }

    /// Gives the bytes of messages `from..to`.
    pub fn part(&self, from: usize, to: usize) -> &[u8] {
        let end = |number: usize| if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[end(from)..end(to)]
    }
}

/// The sender's end of a connection.
pub enum Peer {
    /// TCP.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<SslStream<TcpStream>>),
}

impl Peer {
    /// Sends bytes of the wire.
    pub fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(tcp) => tcp.write_all(bytes).unwrap(),
            Self::Tls(tls) => bytes.chunks(16 << 10).for_each(|chunk| tls.write_all(chunk).unwrap()),
        }
    }

    /// Sends messages at so many a second for so long; tells each message's number and when it was sent. Gives the number after the last.
    pub fn send_at_rate(&mut self, wire: &Wire, from: usize, per_second: u64, length: Duration, mut sent: impl FnMut(usize)) -> usize {
        let (began, mut next) = (Instant::now(), from);
        while began.elapsed() < length && next < wire.ends.len() {
            let due = from + (began.elapsed().as_nanos() * u128::from(per_second) / 1_000_000_000) as usize;
            while next < due.min(wire.ends.len()) {
                sent(next);
                self.send(wire.part(next, next + 1));
                next += 1;
            }
            std::thread::sleep(Duration::from_nanos(1_000_000_000 / per_second));
        }
        next
    }
}

/// Accepts a connection, with TLS where there is an acceptor, and answers the handshake and the first subscription.
pub fn accept(listener: &TcpListener, acceptor: Option<&SslAcceptor>, products: usize) -> Peer {
    let (tcp, _) = listener.accept().unwrap();
    tcp.set_nodelay(true).unwrap();
    let names: Vec<String> = (0..products).map(|at| format!("\"{}\"", product_name(at))).collect();
    let names = names.join(",");
    let answer = format!(
        "{{\"type\":\"subscriptions\",\"channels\":[{{\"name\":\"matches\",\"product_ids\":[{names}]}},\
         {{\"name\":\"ticker\",\"product_ids\":[{names}]}},{{\"name\":\"heartbeat\",\"product_ids\":[{names}]}}]}}"
    );
    fn greet<S: std::io::Read + Write>(stream: S, answer: String) -> S {
        let mut socket: WebSocket<S> = tungstenite::accept(stream).unwrap_or_else(|error| panic!("{error}"));
        while !socket.read().unwrap().is_text() {}
        socket.send(Message::text(answer)).unwrap();
        socket.into_inner()
    }
    match acceptor {
        None => Peer::Plain(greet(tcp, answer)),
        Some(acceptor) => Peer::Tls(Box::new(greet(acceptor.accept(tcp).unwrap(), answer))),
    }
}

/// Makes a certificate for this machine's loopback, writes it to `folder` as its own authority, and gives the acceptor and the file.
pub fn certificate(folder: &Path) -> (SslAcceptor, PathBuf) {
    let key = PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, "localhost").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    let names = SubjectAlternativeName::new().ip("127.0.0.1").build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let authority = builder.build();
    let path = folder.join("ca.pem");
    std::fs::write(&path, authority.to_pem().unwrap()).unwrap();
    // TLS 1.3 and the client's choice of a cipher, as servers of today have it. native-tls has its servers speak 1.2 alone, and ChaCha20 if they can.
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&authority).unwrap();
    (acceptor.build(), path)
}
