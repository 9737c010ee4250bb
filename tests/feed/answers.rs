//! REST's answers in every framing, coding and spelling that HTTP allows, cut into any packets; what is refused; redirects; kept connections.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coltape::internals::feed::rest::{Advice, RestClient, RestError};
use coltape::internals::feed::tls::TlsRoots;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use crate::peers::{Server, header, read_request};

/// Longer than any of these answers takes, byte by byte and on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

fn client(server: &Server) -> RestClient {
    RestClient::new(&format!("http://{}", server.address), &TlsRoots::default(), TIMEOUT).unwrap()
}

/// The list of so many products.
fn products(count: usize) -> Vec<u8> {
    let all: Vec<String> = (0..count).map(|at| format!(r#"{{"id":"P{at}-USD","status":"online","quote_increment":"0.01"}}"#)).collect();
    format!("[{}]", all.join(",")).into_bytes()
}

/// Serves one answer a connection, in pieces of so many bytes, and closes.
fn serving(answer: Vec<u8>, piece: usize) -> Server {
    Server::start(move |mut stream: TcpStream| {
        if read_request(&mut stream).is_empty() {
            return;
        }
        for part in answer.chunks(piece.max(1)) {
            if stream.write_all(part).is_err() {
                return;
            }
            std::thread::yield_now();
        }
    })
}

/// How the body is packed.
#[derive(Debug, Clone, Copy)]
enum Coding {
    None,
    Identity,
    Gzip,
    XGzip,
    GzipInTwoMembers,
    GzipAndPadding,
    Zlib,
    RawDeflate,
    GzipTwice,
    DeflateThenGzip,
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl Coding {
    const ALL: [Self; 10] = [
        Self::None,
        Self::Identity,
        Self::Gzip,
        Self::XGzip,
        Self::GzipInTwoMembers,
        Self::GzipAndPadding,
        Self::Zlib,
        Self::RawDeflate,
        Self::GzipTwice,
        Self::DeflateThenGzip,
    ];

    fn pack(self, body: &[u8]) -> (Vec<u8>, &'static str) {
        let half = body.len() / 2;
        match self {
            Self::None => (body.to_vec(), ""),
            Self::Identity => (body.to_vec(), "identity"),
            Self::Gzip => (gzip(body), "GZIP"),
            Self::XGzip => (gzip(body), "x-gzip"),
            Self::GzipInTwoMembers => ([gzip(&body[..half]), gzip(&body[half..])].concat(), "gzip"),
            Self::GzipAndPadding => ([gzip(body), vec![0; 9]].concat(), "gzip"),
            Self::Zlib => (zlib(body), "Deflate"),
            Self::RawDeflate => (deflate(body), "deflate"),
            Self::GzipTwice => (gzip(&gzip(body)), "gzip, gzip"),
            Self::DeflateThenGzip => (gzip(&zlib(body)), "deflate,identity , gzip"),
        }
    }
}

/// How the end of the body is told.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length,
    LengthTwice,
    Chunked,
    ChunkedWithExtensionsAndTrailers,
    ChunkedAndALength,
    /// The coding as a transfer coding, below the chunks.
    TransferCoding,
    UntilEnd,
}

impl Framing {
    const ALL: [Self; 7] = [
        Self::Length,
        Self::LengthTwice,
        Self::Chunked,
        Self::ChunkedWithExtensionsAndTrailers,
        Self::ChunkedAndALength,
        Self::TransferCoding,
        Self::UntilEnd,
    ];
}

#[derive(Debug, Clone)]
struct Spelling {
    framing: Framing,
    coding: Coding,
    is_http_1_0: bool,
    has_interim: bool,
    is_folded: bool,
    is_upper: bool,
    line_end: &'static str,
    chunk: usize,
    piece: usize,
    count: usize,
}

fn chunks(body: &[u8], size: usize, end: &str, has_extras: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, part) in body.chunks(size).enumerate() {
        let extension = if has_extras { " ; name=\"a;b\";x" } else { "" };
        let digits = if at % 2 == 0 { format!("{:x}", part.len()) } else { format!("00{:X}", part.len()) };
        out.extend(format!("{digits}{extension}{end}").bytes());
        out.extend(part);
        out.extend(end.bytes());
    }
    out.extend(format!("0{end}").bytes());
    if has_extras {
        out.extend(format!("X-Checksum: 1{end}X-Folded: a{end} b{end}").bytes());
    }
    out.extend(end.bytes());
    out
}

impl Spelling {
    fn text(&self) -> Vec<u8> {
        let (body, coding) = self.coding.pack(&products(self.count));
        let mut headers = vec!["Content-Type: application/json".to_owned(), "X-Empty:".to_owned()];
        let is_transfer = matches!(self.framing, Framing::TransferCoding) && !coding.is_empty();
        if !coding.is_empty() && !is_transfer {
            headers.push(format!("Content-Encoding:{}{coding}", if self.is_folded { "\u{0} " } else { " " }));
        }
        let has_extras = matches!(self.framing, Framing::ChunkedWithExtensionsAndTrailers);
        let framed = match self.framing {
            Framing::Length => {
                headers.push(format!("Content-Length: {}", body.len()));
                body
            }
            Framing::LengthTwice => {
                headers.push(format!("Content-Length: {0}, {0}", body.len()));
                headers.push(format!("Content-Length:{}", body.len()));
                body
            }
            Framing::UntilEnd => body,
            Framing::Chunked | Framing::ChunkedWithExtensionsAndTrailers | Framing::ChunkedAndALength | Framing::TransferCoding => {
                headers.push(if is_transfer {
                    format!("Transfer-Encoding: {coding}, chunked")
                } else {
                    "Transfer-Encoding: Chunked".to_owned()
                });
                if matches!(self.framing, Framing::ChunkedAndALength) {
                    headers.push("Content-Length: 3".to_owned());
                }
                chunks(&body, self.chunk, self.line_end, has_extras)
            }
        };
        let version = if self.is_http_1_0 { "HTTP/1.0" } else { "HTTP/1.1" };
        let mut head = String::new();
        if self.has_interim {
            head.push_str("HTTP/1.1 103 Early Hints\u{0}Link: </x>\u{0}\u{0}");
        }
        head.push_str(&format!("{version} 200{}\u{0}", if self.is_folded { "" } else { " OK" }));
        for line in headers {
            let (name, value) = line.split_once(':').unwrap();
            head.push_str(&if self.is_upper { name.to_uppercase() } else { name.to_lowercase() });
            head.push_str(&format!(":{value}\u{0}"));
        }
        head.push('\u{0}');
        [head.replace('\u{0}', self.line_end).into_bytes(), framed].concat()
    }
}

fn spelling() -> impl Strategy<Value = Spelling> {
    let shape =
        (prop::sample::select(Framing::ALL.to_vec()), prop::sample::select(Coding::ALL.to_vec()), prop::sample::select(vec!["\r\n", "\n"]));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let sizes = (prop::sample::select(vec![1, 3, 100, 5000]), prop::sample::select(vec![1, 11, 1000, 1_000_000]), 1..60usize);
    (shape, flags, sizes).prop_map(
        |((framing, coding, line_end), (is_http_1_0, has_interim, is_folded, is_upper), (chunk, piece, count))| Spelling {
            framing,
            coding,
            is_http_1_0,
            has_interim,
            is_folded,
            is_upper,
            line_end,
            chunk,
            piece,
            count,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_spelling_of_an_answer_is_the_same_answer(spelling in spelling()) {
        let text = spelling.text();
        // A long one in so many pieces that a busy machine still sends all of them within the time that an answer has.
        let piece = spelling.piece.max(text.len() / 8192);
        let server = serving(text, piece);
        match client(&server).products() {
            Ok(found) => prop_assert_eq!(found.len(), spelling.count),
            Err(error) => prop_assert!(false, "{}: {:?}", error, spelling),
        }
    }

    #[test]
    fn no_bytes_make_an_answer_panic_or_hang(
        spelling in spelling(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut text = spelling.text();
        let place = at.index(text.len());
        text[place] = byte;
        if is_cut {
            text.truncate(cut.index(text.len()));
        }
        let began = Instant::now();
        // Either it is understood, or it is an error that is asked for again.
        if let Err(error) = client(&serving(text, 1_000_000)).products() {
            prop_assert!(error.advice() != Advice::Stop, "{}", error);
        }
        prop_assert!(began.elapsed() < TIMEOUT * 2);
    }
}

fn error_of(answer: impl Into<Vec<u8>>) -> RestError {
    client(&serving(answer.into(), 1_000_000)).products().unwrap_err()
}

#[test]
fn what_cannot_be_used_is_named() {
    let packed = |coding: &str, body: &[u8]| {
        [format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes(), body.to_vec()]
            .concat()
    };
    let bomb = gzip(&vec![b' '; 9 << 20]);
    let nested = gzip(&gzip(&vec![b' '; 1 << 30]));
    let half = gzip(&products(100));
    let whole = |headers: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}").into_bytes();
    for (answer, says) in [
        (packed("br", b"x"), "\"br\""),
        (packed("gzip, zstd", b"x"), "\"zstd\""),
        (packed("gzip", b"[1]"), "no gzip"),
        (packed("gzip", &half[..half.len() / 2]), "no gzip"),
        (packed("deflate", b"[1]"), "no deflate"),
        (packed("gzip", &bomb), "more than 8388608 bytes"),
        (packed("gzip, gzip", &nested), "more than 8388608 bytes"),
        (packed("gzip,gzip,gzip,gzip,gzip,gzip", b"x"), "codings"),
        (whole("Content-Length: 5, 6", "[1]"), "Content-Length"),
        (whole("Content-Length: -1", "[1]"), "Content-Length"),
        (whole("Content-Length: 99999999999999999999999", "[1]"), "more than 8388608 bytes"),
        (whole("Content-Length: 100", "[1]"), "cut short"),
        (whole("Transfer-Encoding: chunked", "5\r\n[1]"), "cut short"),
        (whole("Transfer-Encoding: chunked", "x\r\n[1]"), "chunk size"),
        (whole("Transfer-Encoding: chunked", "-1\r\n[1]"), "chunk size"),
        (whole("Transfer-Encoding: chunked", "+3\r\n[1]\r\n0\r\n\r\n"), "chunk size"),
        (whole("Transfer-Encoding: chunked", "fffffffffffffffff\r\n[1]"), "chunk size"),
        (whole("Transfer-Encoding: chunked", "ffffffffffffffff\r\n[1]"), "more than 8388608 bytes"),
        (whole("Transfer-Encoding: chunked", "3\r\n[1]x\r\n0\r\n\r\n"), "chunk"),
        (whole("Transfer-Encoding: chunked", &format!("3;{}\r\n[1]\r\n0\r\n\r\n", "x".repeat(100_000))), "chunk"),
        (whole("Transfer-Encoding: chunked", &format!("3\r\n[1]\r\n0\r\n{}\r\n", "A: b\r\n".repeat(100_000))), "chunk"),
        (whole("Transfer-Encoding: lzw, chunked", "3\r\n[1]\r\n0\r\n\r\n"), "\"lzw\""),
        (b"<html>no HTTP</html>".to_vec(), "no HTTP"),
        (Vec::new(), "closed"),
    ] {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(120)]).into_owned();
        let error = error_of(answer);
        assert!(error.to_string().contains(says), "{error}: {shown}");
        assert_eq!(error.advice(), Advice::Retry, "{shown}");
    }
}

#[test]
fn a_status_that_brings_nothing_counts_whatever_its_body_is_or_does() {
    let wait = Advice::RetryAfter(Duration::from_secs(7));
    for body in [
        "Content-Length: 0\r\n\r\n",
        "Content-Encoding: br\r\nContent-Length: 3\r\n\r\nxyz",
        "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz",
        "Content-Length: 5, 6\r\n\r\n",
        "Content-Length: 100\r\n\r\ncut short",
        "Content-Length: 99999999999\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nno size",
        "Transfer-Encoding: lzw\r\n\r\n",
        "\r\n<html>until the end",
    ] {
        let answer = format!("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n{body}");
        assert_eq!(error_of(answer).advice(), wait, "{body:?}");
    }
    // A body that never ends, and one that trickles.
    for pause in [Duration::ZERO, Duration::from_millis(50)] {
        let server = Server::start(move |mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n\r\n");
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(pause);
            }
        });
        assert_eq!(client(&server).products().unwrap_err().advice(), wait, "{pause:?}");
    }
}

#[test]
fn a_body_without_end_is_bounded() {
    let server = Server::start(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b' '; 65536]).is_ok() {}
    });
    assert!(client(&server).products().unwrap_err().to_string().contains("more than 8388608 bytes"));
}

#[test]
fn a_body_that_trickles_ends_at_the_time_out() {
    let server = Server::start(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut byte = [0];
        while !matches!(std::io::Read::read(&mut stream, &mut byte), Ok(0)) && stream.write_all(b" ").is_ok() {}
    });
    let mut client = RestClient::new(&format!("http://{}", server.address), &TlsRoots::default(), Duration::from_millis(400)).unwrap();
    let began = Instant::now();
    let error = client.products().unwrap_err();
    assert!(error.to_string().contains("no answer in time") && began.elapsed() < TIMEOUT, "{error}");
}

#[test]
fn an_answer_after_the_headers_of_a_slow_server_is_waited_for() {
    let server = Server::start(|mut stream| {
        read_request(&mut stream);
        for part in [
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConte",
            "nt-Length: 36\r\n\r\n",
            r#"[{"id":"BTC-USD","sta"#,
            r#"tus":"online"}]"#,
        ] {
            // The client's step of waiting passes several times.
            std::thread::sleep(Duration::from_millis(300));
            let _ = stream.write_all(part.as_bytes());
        }
    });
    assert_eq!(client(&server).products().unwrap().len(), 1);
}

#[test]
fn a_redirect_on_the_same_server_is_followed_and_no_other_is() {
    let elsewhere = Server::start(|_| panic!("a redirect to another server was followed"));
    for status in [301, 302, 303, 307, 308] {
        let redirecting = |location: Option<String>| {
            let paths = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&paths);
            let server = Server::start(move |mut stream| {
                loop {
                    let request = read_request(&mut stream);
                    let Some(path) = request.split(' ').nth(1) else { return };
                    seen.lock().unwrap().push(path.to_owned());
                    let host = header(&request, "host").unwrap();
                    let location =
                        location.as_deref().map(|to| format!("Location: {}\r\n", to.replace("{host}", host))).unwrap_or_default();
                    let answer = if path == "/products" || path == "/loop" {
                        format!("HTTP/1.1 {status} Moved\r\n{location}Content-Length: 2\r\n\r\nno")
                    } else {
                        let body = String::from_utf8(products(3)).unwrap();
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
                    };
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
            (server, paths)
        };
        for location in ["/v2/products", "v2/products", "http://{host}/v2/products", "//{host}/v2/products#x"] {
            let (server, paths) = redirecting(Some(location.to_owned()));
            assert_eq!(client(&server).products().unwrap().len(), 3, "{status} {location}");
            assert_eq!(*paths.lock().unwrap(), ["/products", "/v2/products"]);
        }
        for (location, why) in [
            (Some(format!("http://{}/v2/products", elsewhere.address)), "another port"),
            (Some(format!("http://localhost:{}/v2", elsewhere.address.port())), "another host"),
            (Some("https://{host}/v2/products".to_owned()), "another scheme"),
            (Some("ftp://{host}/v2/products".to_owned()), "no address"),
            (Some("/loop".to_owned()), "too many redirects"),
            (None, "no location"),
        ] {
            let (server, paths) = redirecting(location.clone());
            let error = client(&server).products().unwrap_err();
            let said = error.to_string();
            assert!(matches!(error, RestError::Redirect { .. }) && said.contains(why), "{status} {location:?}: {said}");
            assert!(said.contains(&format!("{}/", server.address)) && error.advice() == Advice::Retry, "{said}");
            assert!(paths.lock().unwrap().len() <= 6);
        }
    }
    assert_eq!(elsewhere.accepted.load(Ordering::Relaxed), 0);
}

#[test]
fn a_kept_connection_is_used_again_and_one_that_was_closed_costs_no_answer() {
    // Each connection answers some requests and then closes without a word.
    for answers in [1, 2, 5] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = Server::start(move |mut stream| {
            for _ in 0..answers {
                if read_request(&mut stream).is_empty() {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let body = products(2);
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&body);
            }
        });
        let mut client = client(&server);
        for _ in 0..10 {
            assert_eq!(client.products().unwrap().len(), 2, "{answers} answers a connection");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 10);
        assert!(server.accepted.load(Ordering::Relaxed) <= 10usize.div_ceil(answers) + 1);
    }
}
