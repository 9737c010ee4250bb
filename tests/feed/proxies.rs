//! WebSocket and REST through proxies: HTTP CONNECT and SOCKS5, that let through, refuse, hang and break off.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coltape::internals::feed::connector::Connector;
use coltape::internals::feed::endpoint::Endpoint;
use coltape::internals::feed::proxy::{NoProxy, Proxies, Proxy};
use coltape::internals::feed::rest::RestClient;
use coltape::internals::feed::socket::{Received, Socket};
use coltape::internals::feed::timeouts::Timeouts;
use coltape::internals::feed::tls::TlsRoots;

use crate::peers::{Server, header, read_request, serve_products, serve_websocket, splice};

const CONNECT: Duration = Duration::from_secs(30);

/// What a proxy was asked for, one line a connection.
type Asked = Arc<Mutex<Vec<String>>>;

/// Answers `CONNECT` with `answer`, and leads to `target` where that is 200.
fn http_proxy(target: SocketAddr, answer: &'static str) -> (Server, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let server = Server::start(move |mut stream| {
        let request = read_request(&mut stream);
        let line = request.lines().next().unwrap_or_default();
        let authorization = header(&request, "proxy-authorization").unwrap_or("none");
        seen.lock().unwrap().push(format!("{line} {authorization}"));
        if stream.write_all(answer.as_bytes()).is_ok() && answer.contains(" 200") {
            splice(stream, TcpStream::connect(target).unwrap());
        }
    });
    (server, asked)
}

/// How a SOCKS5 proxy answers.
#[derive(Debug, Clone, Copy)]
struct Socks {
    /// The method that it chooses.
    method: u8,
    /// Its verdict on user and password.
    verdict: u8,
    /// The code of its reply, and the type of the address in it.
    reply: (u8, u8),
}

const OPEN: Socks = Socks { method: 0, verdict: 0, reply: (0, 1) };

fn socks_proxy(target: SocketAddr, behaviour: Socks) -> (Server, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let server = Server::start(move |mut stream| {
        let told = serve_socks(&mut stream, behaviour);
        if let Some(told) = told {
            seen.lock().unwrap().push(told);
            if behaviour.reply.0 == 0 {
                splice(stream, TcpStream::connect(target).unwrap());
            }
        }
    });
    (server, asked)
}

/// The proxy's side of SOCKS5. Gives what it was asked for.
fn serve_socks(stream: &mut TcpStream, behaviour: Socks) -> Option<String> {
    let take = |stream: &mut TcpStream, count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let mut told = String::new();
    let greeting = take(stream, 2)?;
    assert_eq!(greeting[0], 5);
    let methods = take(stream, greeting[1].into())?;
    stream.write_all(&[5, behaviour.method]).ok()?;
    match behaviour.method {
        0 => {}
        2 if methods.contains(&2) => {
            let [version, length] = take(stream, 2)?.try_into().unwrap();
            assert_eq!(version, 1);
            let user = take(stream, length.into())?;
            let length = take(stream, 1)?[0];
            let password = take(stream, length.into())?;
            told = format!("{}:{} ", String::from_utf8_lossy(&user), String::from_utf8_lossy(&password));
            stream.write_all(&[1, behaviour.verdict]).ok()?;
            if behaviour.verdict != 0 {
                return None;
            }
        }
        _ => return None,
    }
    let [version, command, _, kind] = take(stream, 4)?.try_into().unwrap();
    assert_eq!((version, command), (5, 1));
    let host = match kind {
        1 => format!("v4 {:?}", take(stream, 4)?),
        3 => {
            let length = take(stream, 1)?[0];
            format!("name {}", String::from_utf8(take(stream, length.into())?).unwrap())
        }
        _ => format!("v6 {:?}", take(stream, 16)?),
    };
    let port = u16::from_be_bytes(take(stream, 2)?.try_into().unwrap());
    told.push_str(&format!("{host} {port}"));
    let (code, kind) = behaviour.reply;
    let bound: &[u8] = match kind {
        1 => &[0; 6],
        3 => b"\x05proxy\0\0",
        _ => &[0; 18],
    };
    stream.write_all(&[&[5, code, 0, kind], bound].concat()).ok()?;
    Some(told)
}

/// A connector through a proxy that fails wherever a name is resolved that is not the proxy's.
fn through(url: &str) -> Connector {
    Connector::new(TlsRoots::default(), Proxies::all(Proxy::parse(url).unwrap())).with_resolver(Arc::new(|host, port| {
        let address = host.parse().map_err(|_| std::io::Error::other(format!("{host} was resolved here")))?;
        Ok(vec![SocketAddr::new(address, port)])
    }))
}

fn hello(connector: &Connector, url: &str) -> Result<Vec<u8>, String> {
    let endpoint = Endpoint::parse(url).unwrap();
    let mut timeouts = Timeouts::default();
    (timeouts.connect, timeouts.tick) = (CONNECT, Duration::from_millis(20));
    let mut socket = Socket::connect(&endpoint, connector, &timeouts).map_err(|error| error.to_string())?;
    let began = Instant::now();
    while began.elapsed() < CONNECT {
        if let Received::Text(text) = socket.read().map_err(|error| error.to_string())? {
            return Ok(text.to_vec());
        }
    }
    Err("nothing came".to_owned())
}

fn products(connector: &Connector) -> Result<usize, String> {
    let mut client = RestClient::new("http://rest.example:8080", connector, CONNECT).unwrap();
    client.products().map(|products| products.len()).map_err(|error| error.to_string())
}

#[test]
fn websocket_and_rest_go_through_an_http_proxy_that_resolves_the_name() {
    for answer in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200\r\nProxy-Agent: x\r\n\r\n",
        "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let (feed, rest) = (Server::start(serve_websocket), Server::start(serve_products));
        let (proxy, asked) = http_proxy(feed.address, answer);
        let connector = through(&format!("http://{}", proxy.address));
        assert_eq!(hello(&connector, "ws://feed.example/feed").as_deref(), Ok(&b"hello"[..]));
        assert_eq!(*asked.lock().unwrap(), ["CONNECT feed.example:80 HTTP/1.1 none"]);
        let (proxy, asked) = http_proxy(rest.address, answer);
        assert_eq!(products(&through(&format!("http://{}", proxy.address))), Ok(1));
        assert_eq!(*asked.lock().unwrap(), ["CONNECT rest.example:8080 HTTP/1.1 none"]);
    }
}

#[test]
fn an_http_proxy_gets_user_and_password_and_an_ipv6_address_in_brackets() {
    let feed = Server::start(serve_websocket);
    let (proxy, asked) = http_proxy(feed.address, "HTTP/1.1 200 OK\r\n\r\n");
    let connector = through(&format!("http://Aladdin:open%20sesame@{}", proxy.address));
    assert_eq!(hello(&connector, "ws://[2001:db8::1]:81").as_deref(), Ok(&b"hello"[..]));
    // The example of RFC 7617.
    assert_eq!(*asked.lock().unwrap(), ["CONNECT [2001:db8::1]:81 HTTP/1.1 Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]);
}

#[test]
fn what_an_http_proxy_refuses_is_named_and_no_password_is_shown() {
    let feed = Server::start(serve_websocket);
    for (credentials, answer, says) in [
        ("", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "asks for a user and a password (407)"),
        ("me:secret@", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "does not accept user and password (407)"),
        ("me:secret@", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n", "answered 502"),
        ("", "HTTP/1.1 403 Forbidden\r\n\r\n", "answered 403"),
        ("", "HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n", "answered 302"),
        ("", "SSH-2.0-OpenSSH\r\n\r\n", "no HTTP"),
        ("", "", "closed"),
        ("", "HTTP/1.1 20", "closed"),
    ] {
        let (proxy, _) = http_proxy(feed.address, answer);
        let connector = through(&format!("http://{credentials}{}", proxy.address));
        for error in [hello(&connector, "ws://feed.example/feed").unwrap_err(), products(&connector).unwrap_err()] {
            assert!(error.contains(says) && error.contains("CONNECT") && error.contains(&format!("http://{}", proxy.address)), "{error}");
            assert!(error.contains("example:8") && !error.contains("secret"), "{error}");
        }
    }
    assert_eq!(feed.accepted.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn a_proxy_that_hangs_or_is_not_there_ends_at_the_time_out_and_is_named() {
    let silent = Server::start(|mut stream| drop(read_request(&mut stream)));
    let (_kept, gone) = super::peers::refusing();
    for scheme in ["http", "socks5h", "socks5"] {
        for (address, says) in [(silent.address, ""), (gone, "Connection refused")] {
            let connector = through(&format!("{scheme}://{address}"));
            let began = Instant::now();
            let mut client = RestClient::new("http://127.0.0.1:9", &connector, Duration::from_secs(1)).unwrap();
            let error = client.products().unwrap_err().to_string();
            assert!(error.contains(&format!("{scheme}://{address}")) && error.contains(says), "{error}");
            assert!(began.elapsed() < Duration::from_secs(20));
        }
    }
}

#[test]
fn socks5_gets_the_name_or_the_address_as_its_scheme_says() {
    for kind in [1, 3, 4] {
        let feed = Server::start(serve_websocket);
        let (proxy, asked) = socks_proxy(feed.address, Socks { reply: (0, kind), ..OPEN });
        let names = through(&format!("socks5h://{}", proxy.address));
        assert_eq!(hello(&names, "ws://feed.example/feed").as_deref(), Ok(&b"hello"[..]));
        assert_eq!(hello(&names, "ws://[2001:db8::1]:81").as_deref(), Ok(&b"hello"[..]));
        let addresses = through(&format!("socks5://{}", proxy.address));
        assert_eq!(hello(&addresses, "ws://192.0.2.7:82").as_deref(), Ok(&b"hello"[..]));
        let six = "v6 [32, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] 81";
        assert_eq!(*asked.lock().unwrap(), ["name feed.example 80", six, "v4 [192, 0, 2, 7] 82"]);
        assert!(hello(&addresses, "ws://feed.example").unwrap_err().contains("feed.example was resolved here"));
    }
    let rest = Server::start(serve_products);
    let (proxy, asked) = socks_proxy(rest.address, Socks { method: 2, ..OPEN });
    assert_eq!(products(&through(&format!("socks5h://me:p%3Aw@{}", proxy.address))), Ok(1));
    assert_eq!(*asked.lock().unwrap(), ["me:p:w name rest.example 8080"]);
}

#[test]
fn what_a_socks5_proxy_refuses_is_named_by_its_step() {
    let feed = Server::start(serve_websocket);
    let mut cases = vec![
        ("", Socks { method: 0xff, ..OPEN }, "SOCKS5 greeting: the proxy asks for a user and a password".to_owned()),
        ("", Socks { method: 2, ..OPEN }, "SOCKS5 greeting: the proxy asks for a user and a password".to_owned()),
        ("me:secret@", Socks { method: 0xff, ..OPEN }, "SOCKS5 greeting: the proxy accepts neither".to_owned()),
        ("", Socks { method: 7, ..OPEN }, "SOCKS5 greeting: the answer is no SOCKS5".to_owned()),
        ("me:secret@", Socks { method: 2, verdict: 1, ..OPEN }, "SOCKS5 authentication: the proxy does not accept".to_owned()),
        ("", Socks { reply: (0, 9), ..OPEN }, "SOCKS5 connect: the answer is no SOCKS5".to_owned()),
    ];
    let meanings = [
        "general failure",
        "not allowed",
        "network unreachable",
        "host unreachable",
        "connection refused",
        "the packet's time to live",
        "it does not know CONNECT",
        "it does not know this type of address",
        "no code",
    ];
    for (code, meaning) in (1u8..).zip(meanings) {
        cases.push(("", Socks { reply: (code, 1), ..OPEN }, format!("SOCKS5 connect: the proxy answered {code}: {meaning}")));
    }
    for (credentials, behaviour, says) in cases {
        let (proxy, _) = socks_proxy(feed.address, behaviour);
        let error = hello(&through(&format!("socks5h://{credentials}{}", proxy.address)), "ws://feed.example/feed").unwrap_err();
        assert!(error.contains(&says) && error.contains("feed.example:80") && !error.contains("secret"), "{error}, not {says}");
    }
}

#[test]
fn a_socks5_proxy_that_does_not_reach_one_address_is_asked_for_the_next() {
    let feed = Server::start(serve_websocket);
    let target = feed.address;
    let proxy = Server::start(move |mut stream| {
        let refuses = Socks { reply: (5, 1), ..OPEN };
        // The last digit of the address decides.
        if let Some(told) = serve_socks_of(&mut stream, |host| if host.ends_with("9]") { OPEN } else { refuses })
            && told.ends_with("9]")
        {
            splice(stream, TcpStream::connect(target).unwrap());
        }
    });
    let proxies = Proxies::all(Proxy::parse(&format!("socks5://{}", proxy.address)).unwrap());
    let connector = Connector::new(TlsRoots::default(), proxies).with_resolver(Arc::new(|host, port| {
        let of = |text: &str| SocketAddr::new(text.parse().unwrap(), port);
        Ok(if host == "feed.example" { vec![of("192.0.2.1"), of("192.0.2.2"), of("192.0.2.9")] } else { vec![of(host)] })
    }));
    assert_eq!(hello(&connector, "ws://feed.example/feed").as_deref(), Ok(&b"hello"[..]));
}

/// As [`serve_socks`], with an answer that depends on the address. Gives the address.
fn serve_socks_of(stream: &mut TcpStream, answer: impl Fn(&str) -> Socks) -> Option<String> {
    let mut head = [0; 3];
    stream.read_exact(&mut head).ok()?;
    stream.write_all(&[5, 0]).ok()?;
    let mut request = [0; 10];
    stream.read_exact(&mut request).ok()?;
    let host = format!("{:?}", &request[4..8]);
    stream.write_all(&[&[5, answer(&host).reply.0, 0, 1], &[0; 6][..]].concat()).ok()?;
    Some(host)
}

#[test]
fn an_exception_goes_without_the_proxy() {
    let feed = Server::start(serve_websocket);
    let proxy = Proxy::parse("http://127.0.0.1:1").unwrap();
    let connector = |exceptions: &str| Connector::new(TlsRoots::default(), Proxies::all(proxy.clone()).except(NoProxy::parse(exceptions)));
    let url = format!("ws://{}/feed", feed.address);
    assert_eq!(hello(&connector("10.0.0.0/8,127.0.0.0/8"), &url).as_deref(), Ok(&b"hello"[..]));
    assert!(hello(&connector("10.0.0.0/8"), &url).unwrap_err().contains("the proxy http://127.0.0.1:1"));
}
