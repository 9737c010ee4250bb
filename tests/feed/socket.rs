//! A socket against servers on loopback that keep the protocol, break it or fall silent.

use coltape::internals::feed::endpoint::Endpoint;
use coltape::internals::feed::socket::{CLOSED_ABNORMALLY, MAX_FRAME_BYTES, Received, Socket};
use coltape::internals::feed::socket_error::SocketError;
use coltape::internals::feed::timeouts::Timeouts;
use coltape::internals::feed::tls::TlsRoots;
use native_tls::{Identity, TlsAcceptor};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Message, WebSocket};

const DEADLINE: Duration = Duration::from_secs(60);

fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    (timeouts.connect, timeouts.tick, timeouts.write) = (Duration::from_secs(30), Duration::from_millis(10), Duration::from_secs(30));
    timeouts
}

/// Serves one TCP connection.
fn tcp_server<R: Send + 'static>(serve: impl FnOnce(TcpStream) -> R + Send + 'static) -> (Endpoint, JoinHandle<R>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::parse(&format!("ws://{}/feed", listener.local_addr().unwrap())).unwrap();
    let server = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        serve(tcp)
    });
    (endpoint, server)
}

/// Serves one WebSocket connection.
fn server<R: Send + 'static>(serve: impl FnOnce(WebSocket<TcpStream>) -> R + Send + 'static) -> (Endpoint, JoinHandle<R>) {
    tcp_server(move |tcp| serve(tungstenite::accept(tcp).unwrap()))
}

fn connect(endpoint: &Endpoint) -> Socket {
    Socket::connect(endpoint, &TlsRoots::default(), &timeouts()).unwrap()
}

#[derive(Debug, PartialEq)]
enum Heard {
    Text(Vec<u8>),
    Closed(u16, String),
    Lost(String),
}

/// Reads past idle ticks to the next thing that happens.
fn hear(socket: &mut Socket) -> Heard {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match socket.read() {
            Ok(Received::Text(text)) => return Heard::Text(text.to_vec()),
            Ok(Received::Closed { code, reason }) => return Heard::Closed(code, reason),
            Ok(Received::Idle) => assert!(Instant::now() < deadline, "nothing happened"),
            Err(error) => return Heard::Lost(error.to_string()),
        }
    }
}

fn heard(text: &str) -> Heard {
    Heard::Text(text.as_bytes().to_vec())
}

#[test]
fn messages_go_both_ways_and_binary_ones_come_as_text() {
    let (endpoint, server) = server(|mut peer| {
        let asked = peer.read().unwrap();
        peer.send(Message::text("one")).unwrap();
        peer.send(Message::binary(vec![0xff, 0])).unwrap();
        peer.send(Message::text("")).unwrap();
        let _ = peer.read();
        asked
    });
    let mut socket = connect(&endpoint);
    socket.send_text("subscribe").unwrap();
    assert_eq!(hear(&mut socket), heard("one"));
    assert_eq!(hear(&mut socket), Heard::Text(vec![0xff, 0]));
    assert_eq!(hear(&mut socket), heard(""));
    socket.close();
    assert_eq!(server.join().unwrap(), Message::text("subscribe"));
}

#[test]
fn what_comes_right_after_the_handshake_is_not_lost() {
    let (endpoint, server) = tcp_server(|mut tcp| {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            tcp.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let request = String::from_utf8(request).unwrap();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let upgrade = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        tcp.write_all(&[upgrade.as_bytes(), b"\x81\x02hi"].concat()).unwrap();
        let _ = tcp.read(&mut byte);
        request
    });
    let mut socket = connect(&endpoint);
    assert_eq!(hear(&mut socket), heard("hi"));
    drop(socket);
    let request = server.join().unwrap();
    assert!(request.starts_with("GET /feed HTTP/1.1\r\n") && request.to_lowercase().contains("user-agent: coltape/"), "{request}");
}

#[test]
fn fragments_are_put_together_and_a_stall_in_a_frame_loses_nothing() {
    let (endpoint, server) = server(|mut peer| {
        let tcp = peer.get_mut();
        tcp.write_all(b"\x01\x03one\x00\x01 ").unwrap();
        tcp.write_all(b"\x89\x00").unwrap();
        // Half a header, and a pong to wait for before the rest is sent.
        tcp.write_all(b"\x80").unwrap();
        assert!(matches!(peer.read().unwrap(), Message::Pong(_)));
        peer.get_mut().write_all(b"\x07tw").unwrap();
        assert_eq!(peer.read().unwrap(), Message::text("go on"));
        peer.get_mut().write_all(b"o yes").unwrap();
        let _ = peer.read();
    });
    let mut socket = connect(&endpoint);
    // Idle ticks pass while the frame is incomplete.
    let mut idle = 0;
    while idle < 5 {
        match socket.read().unwrap() {
            Received::Idle => idle += 1,
            other => panic!("{other:?}"),
        }
    }
    socket.send_text("go on").unwrap();
    assert_eq!(hear(&mut socket), heard("one two yes"));
    drop(socket);
    server.join().unwrap();
}

#[test]
fn pings_are_answered_while_nothing_else_comes() {
    let (endpoint, server) = server(|mut peer| {
        for payload in [vec![], b"alive".to_vec(), vec![7; 125]] {
            peer.send(Message::Ping(payload.clone().into())).unwrap();
            assert_eq!(peer.read().unwrap(), Message::Pong(payload.into()));
        }
        peer.send(Message::text("done")).unwrap();
        let _ = peer.read();
    });
    let mut socket = connect(&endpoint);
    assert_eq!(hear(&mut socket), heard("done"));
    drop(socket);
    server.join().unwrap();
}

#[test]
fn a_close_is_given_with_its_code_and_acknowledged() {
    for (code, reason) in [(CloseCode::Normal, "deprecated hostname"), (CloseCode::Away, "")] {
        let (endpoint, server) = server(move |mut peer| {
            peer.close(Some(CloseFrame { code, reason: reason.into() })).unwrap();
            peer.read().unwrap()
        });
        let mut socket = connect(&endpoint);
        assert_eq!(hear(&mut socket), Heard::Closed(code.into(), reason.to_owned()));
        assert!(server.join().unwrap().is_close());
    }
}

#[test]
fn a_stream_that_ends_without_a_close_is_closed_abnormally() {
    let (endpoint, server) = server(|mut peer| peer.get_mut().write_all(b"\x81\x05hal").unwrap());
    let mut socket = connect(&endpoint);
    server.join().unwrap();
    let Heard::Closed(code, _) = hear(&mut socket) else { panic!("no close came") };
    assert_eq!(code, CLOSED_ABNORMALLY);
}

#[test]
fn a_broken_protocol_or_bound_ends_the_connection() {
    let too_long = [&[0x81, 127][..], &u64::try_from(MAX_FRAME_BYTES + 1).unwrap().to_be_bytes()].concat();
    for bytes in [&b"\xf1\x02hi"[..], b"\x83\x02hi", b"\x81\x82aaaahi", b"\x80\x02hi", b"\x81\x02\xff\xff", b"\x09\x00", &too_long] {
        let bytes = bytes.to_vec();
        let (endpoint, server) = server(move |mut peer| {
            peer.get_mut().write_all(&bytes).unwrap();
            let _ = peer.read();
        });
        let mut socket = connect(&endpoint);
        assert!(matches!(hear(&mut socket), Heard::Lost(_)));
        drop(socket);
        server.join().unwrap();
    }
}

#[test]
fn buffered_messages_are_read_ahead_without_waiting_and_none_is_skipped() {
    let (endpoint, server) = server(|mut peer| {
        peer.get_mut().write_all(b"\x81\x01a\x81\x01b\x82\x01c\x89\x00\x81\x01d\x88\x02\x03\xe8").unwrap();
        let _ = peer.read();
    });
    let mut socket = connect(&endpoint);
    assert_eq!(hear(&mut socket), heard("a"));
    for next in ["b", "c"] {
        assert!(socket.read_ahead() && socket.read_ahead());
        assert_eq!(hear(&mut socket), heard(next));
    }
    // A ping comes before it; it is answered, and reading ahead loses nothing after it.
    assert!((0..100).any(|_| socket.read_ahead()));
    assert_eq!(hear(&mut socket), heard("d"));
    assert!(socket.read_ahead());
    assert_eq!(hear(&mut socket), Heard::Closed(1000, String::new()));
    drop(socket);
    server.join().unwrap();
}

#[test]
fn a_socket_that_spins_reads_what_comes_and_ends_its_tick() {
    let (endpoint, server) = server(|mut peer| {
        let _ = peer.read();
        peer.get_mut().write_all(b"\x81\x01a\x81\x01b").unwrap();
        let _ = peer.read();
    });
    let mut spinning = timeouts();
    spinning.spins = true;
    let mut socket = Socket::connect(&endpoint, &TlsRoots::default(), &spinning).unwrap();
    let before = Instant::now();
    assert!(matches!(socket.read(), Ok(Received::Idle)));
    assert!(before.elapsed() >= spinning.tick);
    socket.send_text("go on").unwrap();
    assert_eq!([hear(&mut socket), hear(&mut socket)], [heard("a"), heard("b")]);
    drop(socket);
    server.join().unwrap();
}

#[test]
fn bytes_that_wait_in_the_system_are_counted() {
    // Sent on request, because what follows the handshake at once is read with it.
    let (endpoint, server) = server(|mut peer| {
        let _ = peer.read();
        peer.get_mut().write_all(b"\x81\x05hello").unwrap();
        let _ = peer.read();
    });
    let mut socket = connect(&endpoint);
    socket.send_text("go on").unwrap();
    let deadline = Instant::now() + DEADLINE;
    while socket.receive_queue_bytes() < 7 {
        assert!(Instant::now() < deadline, "nothing arrived");
    }
    assert_eq!(hear(&mut socket), heard("hello"));
    assert_eq!(socket.receive_queue_bytes(), 0);
    drop(socket);
    server.join().unwrap();
}

#[test]
fn a_refused_upgrade_gives_its_status() {
    let (endpoint, server) = tcp_server(|mut tcp| {
        let mut request = [0; 4096];
        let _ = tcp.read(&mut request).unwrap();
        tcp.write_all(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let error = Socket::connect(&endpoint, &TlsRoots::default(), &timeouts()).err().unwrap();
    assert!(matches!(error, SocketError::Refused { status: 429, .. }), "{error}");
    assert!(error.is_retryable());
    server.join().unwrap();
}

#[test]
fn a_handshake_byte_by_byte_ends_at_its_deadline() {
    let (endpoint, server) = tcp_server(|mut tcp| {
        tcp.write_all(b"HTTP/1.1 101 Switching Protocols\r\nX-Long: ").unwrap();
        // A byte now and then keeps the time-out of a single read from expiring. Ends when the client gives up.
        tcp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut request = [0; 4096];
        while !matches!(tcp.read(&mut request), Ok(0)) && tcp.write_all(b"x").is_ok() {}
    });
    let began = Instant::now();
    let mut timeouts = timeouts();
    timeouts.connect = Duration::from_millis(300);
    let error = Socket::connect(&endpoint, &TlsRoots::default(), &timeouts).err().unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{error}");
    server.join().unwrap();
}

#[test]
fn a_server_that_is_not_there_is_a_retryable_error() {
    let (_kept, address) = super::peers::refusing();
    let gone = Endpoint::parse(&format!("ws://{address}")).unwrap();
    let error = Socket::connect(&gone, &TlsRoots::default(), &timeouts()).err().unwrap();
    assert!(matches!(error, SocketError::Connect { .. }) && error.is_retryable(), "{error}");
    let secure = Endpoint::parse("wss://127.0.0.1:1").unwrap();
    let roots = TlsRoots { ca_file: Some("/nonexistent".into()) };
    assert!(!Socket::connect(&secure, &roots, &timeouts()).err().unwrap().is_retryable());
}

/// A certificate for `localhost` that signs itself, as PEM, and the identity to serve with.
fn certificate() -> (Vec<u8>, Identity) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
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
    let names = SubjectAlternativeName::new().dns("localhost").build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let pem = builder.build().to_pem().unwrap();
    let identity = Identity::from_pkcs8(&pem, &key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    (pem, identity)
}

#[test]
fn tls_trusts_the_named_file_and_no_other_root() {
    let (pem, identity) = certificate();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("root.pem");
    std::fs::write(&ca_file, pem).unwrap();

    let listener = TcpListener::bind("localhost:0").unwrap();
    let endpoint = Endpoint::parse(&format!("wss://localhost:{}", listener.local_addr().unwrap().port())).unwrap();
    let server = std::thread::spawn(move || {
        let acceptor = TlsAcceptor::new(identity).unwrap();
        assert!(acceptor.accept(listener.accept().unwrap().0).is_err(), "the first client does not trust us");
        let secured = acceptor.accept(listener.accept().unwrap().0).unwrap();
        let mut peer = tungstenite::accept(secured).unwrap();
        // Three frames in one record, then a silence, then one more.
        let mut raw = WebSocket::from_raw_socket(peer.get_mut(), Role::Server, None);
        raw.get_mut().write_all(b"\x81\x01a\x81\x01b\x81\x01c").unwrap();
        assert_eq!(peer.read().unwrap(), Message::text("more"));
        peer.send(Message::text("d".repeat(100_000))).unwrap();
        let _ = peer.read();
    });

    let refused = Socket::connect(&endpoint, &TlsRoots::default(), &timeouts()).err().unwrap();
    assert!(matches!(refused, SocketError::Tls { .. }) && refused.is_retryable(), "{refused}");

    let mut socket = Socket::connect(&endpoint, &TlsRoots { ca_file: Some(ca_file) }, &timeouts()).unwrap();
    assert_eq!(hear(&mut socket), heard("a"));
    assert!(socket.read_ahead());
    assert_eq!(hear(&mut socket), heard("b"));
    assert_eq!(hear(&mut socket), heard("c"));
    assert!(!socket.read_ahead());
    assert_eq!(socket.read().unwrap(), Received::Idle);
    socket.send_text("more").unwrap();
    assert_eq!(hear(&mut socket), heard(&"d".repeat(100_000)));
    socket.close();
    drop(socket);
    server.join().unwrap();
}

/// A stream in memory: what is written to it is nobody's.
struct Memory(std::io::Cursor<Vec<u8>>);

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What tungstenite alone makes of the bytes of a stream.
fn read_by_tungstenite(bytes: &[u8]) -> Vec<Heard> {
    let mut peer = WebSocket::from_raw_socket(Memory(std::io::Cursor::new(bytes.to_vec())), Role::Client, None);
    let mut all = Vec::new();
    loop {
        match peer.read() {
            Ok(Message::Text(text)) => all.push(heard(&text)),
            Ok(Message::Binary(bytes)) => all.push(Heard::Text(bytes.to_vec())),
            Ok(Message::Close(frame)) => {
                let (code, reason) = frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                all.push(Heard::Closed(code, reason));
                return all;
            }
            Ok(_) => {}
            Err(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                all.push(Heard::Closed(CLOSED_ABNORMALLY, String::new()));
                return all;
            }
            Err(_) => {
                all.push(Heard::Lost(String::new()));
                return all;
            }
        }
    }
}

/// Adds a frame, or something like one.
fn add_frame(rng: &mut fastrand::Rng, out: &mut Vec<u8>) {
    let frame = |out: &mut Vec<u8>, first: u8, payload: &[u8]| {
        out.push(first);
        match payload.len() {
            length @ 0..126 => out.push(u8::try_from(length).unwrap()),
            length @ 126..65536 => out.extend([&[126][..], &u16::try_from(length).unwrap().to_be_bytes()].concat()),
            length => out.extend([&[127][..], &(length as u64).to_be_bytes()].concat()),
        }
        out.extend_from_slice(payload);
    };
    let text = |rng: &mut fastrand::Rng| {
        let length = match rng.u8(..20) {
            0 => rng.usize(60_000..140_000),
            1..4 => rng.usize(..3000),
            4 => rng.usize(120..130),
            _ => rng.usize(..400),
        };
        if rng.bool() { vec![b'x'; length] } else { "trade é ".repeat(length / 9).into_bytes() }
    };
    match rng.u16(..400) {
        0..20 => frame(out, 0x89, &[7; 125][..rng.usize(..126)]),
        20..24 => frame(out, 0x8a, b"pong"),
        24..44 => {
            let payload = text(rng);
            frame(out, 0x82, &payload);
        }
        44 => {
            let payload = text(rng);
            frame(out, 0x01, &payload);
            frame(out, 0x89, b"between");
            frame(out, 0x80, b" end");
        }
        45 => frame(out, 0x81, &[b"bad \xff"[..].to_vec(), text(rng)].concat()),
        46 => out.extend_from_slice(b"\x81\x7e\x00\x03abc"),
        47 => frame(out, 0xc1, b"reserved bit"),
        48 => frame(out, 0x88, b"\x03\xe8gone"),
        _ => {
            let payload = text(rng);
            frame(out, 0x81, &payload);
        }
    }
}

#[test]
fn whatever_comes_in_whatever_pieces_is_read_as_tungstenite_alone_reads_it() {
    let seed = fastrand::u64(..);
    let (mut messages, mut endings) = (0, std::collections::BTreeMap::new());
    for case in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(case));
        let mut bytes = Vec::new();
        (0..rng.usize(1..250)).for_each(|_| add_frame(&mut rng, &mut bytes));
        if rng.u8(..4) == 0 {
            bytes.truncate(rng.usize(..bytes.len()));
        }
        let expected = read_by_tungstenite(&bytes);
        let largest = rng.choice([7, 300, 5000, 200_000]).unwrap();
        let mut pieces = rng.clone();
        let (endpoint, server) = server(move |mut peer| {
            let tcp = peer.get_mut();
            tcp.set_nodelay(true).unwrap();
            let mut rest = &bytes[..];
            // A client that has given up takes no more.
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(pieces.usize(1..=largest.max(rest.len() / 200)).min(rest.len()));
                if tcp.write_all(piece).is_err() {
                    break;
                }
                rest = more;
            }
            let _ = tcp.shutdown(std::net::Shutdown::Write);
            // Its answers are read, so that the end does not overtake what was sent.
            let _ = std::io::copy(tcp, &mut std::io::sink());
        });
        let mut socket = connect(&endpoint);
        let mut found = Vec::new();
        loop {
            if rng.bool() {
                socket.read_ahead();
            }
            let next = match hear(&mut socket) {
                Heard::Closed(CLOSED_ABNORMALLY, _) => Heard::Closed(CLOSED_ABNORMALLY, String::new()),
                Heard::Lost(_) => Heard::Lost(String::new()),
                other => other,
            };
            let is_end = !matches!(next, Heard::Text(_));
            found.push(next);
            if is_end {
                break;
            }
        }
        assert!(found == expected, "seed {seed}, case {case}: {} of {} messages", found.len(), expected.len());
        messages += found.len();
        *endings.entry(format!("{:?}", found.last()).chars().take(12).collect::<String>()).or_insert(0) += 1;
        drop(socket);
        server.join().unwrap();
    }
    assert!(messages > 1000 && endings.len() > 1, "{messages} messages, {endings:?}");
}
