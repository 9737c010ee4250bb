//! Who may ask: hosts, origins, tokens.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use crate::client::{Answer, get};
use crate::programs::coltape;
use crate::served::Served;

/// The status of an answer to these headers.
fn status(served: &Served, headers: &[(&str, &str)]) -> u16 {
    get(served.address, "/healthz", headers).status
}

fn token_file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("token");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_foreign_host_is_refused() {
    let (_folder, served) = Served::sample(&["--host", "Box.Example"]);
    let port = served.address.port();
    for good in [
        "localhost".to_owned(),
        "LOCALHOST".to_owned(),
        "localhost:1".to_owned(),
        format!("127.0.0.1:{port}"),
        "127.0.0.1".to_owned(),
        "box.example".to_owned(),
        "BOX.example:443".to_owned(),
    ] {
        assert_eq!(status(&served, &[("Host", &good)]), 200, "{good}");
    }
    for bad in ["evil.example", "127.0.0.2", "[::1]", "localhost.evil.example", "0.0.0.0", "xlocalhost", "box.example.", "2130706433"] {
        get(served.address, "/healthz", &[("Host", bad)]).assert_error(421);
    }
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let (_folder, served) = Served::sample(&["--listen", "[::1]:0"]);
        assert_eq!(
            (status(&served, &[]), status(&served, &[("Host", "[::1]")]), status(&served, &[("Host", "127.0.0.1")])),
            (200, 200, 421)
        );
    }
    // An absolute target says which host is meant.
    let absolute = |host: &str| get(served.address, &format!("http://{host}/healthz"), &[("Host", "localhost")]).status;
    assert_eq!((absolute("localhost"), absolute("evil.example")), (200, 421));
}

#[test]
fn a_foreign_origin_is_refused_and_only_a_named_one_may_read() {
    let (_folder, served) = Served::sample(&["--allow-origin", "https://Friend.example", "--host", "box.example"]);
    let own = format!("http://{}", served.address);
    let ask = |headers: &[(&str, &str)]| -> Answer { get(served.address, "/healthz", headers) };
    assert_eq!(status(&served, &[("Origin", &own)]), 200);
    assert_eq!(status(&served, &[("Host", "box.example"), ("Origin", "https://box.example")]), 200);
    for bad in [
        "https://evil.example",
        "null",
        "http://localhost:1",
        "http://127.0.0.1",
        "https://friend.example.evil.example",
        "https://friend.example:1",
    ] {
        let answer = ask(&[("Origin", bad)]);
        answer.assert_error(403);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{bad}");
    }
    let answer = ask(&[("Origin", "https://friend.example")]);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("https://friend.example")));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let answer = ask(&[]);
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (None, Some("Origin")));
    let (_folder, served) = Served::sample(&[]);
    let answer = get(served.address, "/healthz", &[("Origin", &format!("http://{}", served.address))]);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
}

#[test]
fn each_request_carries_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = token_file(&folder, "secret-token-1\n");
    let (_data, served) = Served::sample(&["--token-file", path.to_str().unwrap()]);
    for target in ["/", "/healthz", "/readyz", "/metrics", "/v1/products", "/ws", "/nothing"] {
        let answer = get(served.address, target, &[]);
        answer.assert_error(401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"coltape\""));
    }
    for bad in ["secret-token-2", "secret-token-", "secret-token-11", "", "ecret-token-1", "secret-token-1secret-token-1", "Secret-token-1"]
    {
        assert_eq!(status(&served, &[("Authorization", &format!("Bearer {bad}"))]), 401, "{bad}");
        assert_eq!(served.get(&format!("/healthz?token={bad}")).status, 401, "{bad}");
    }
    for bad in ["secret-token-1", "Basic secret-token-1", "Bearersecret-token-1", "Bearer"] {
        assert_eq!(status(&served, &[("Authorization", bad)]), 401, "{bad}");
    }
    assert_eq!(status(&served, &[("Authorization", "Bearer secret-token-1")]), 200);
    assert_eq!(status(&served, &[("authorization", "bearer secret-token-1")]), 200);
    assert_eq!(served.get("/healthz?token=secret-token-1").status, 200);
    assert_eq!(served.get("/healthz?token=secret%2Dtoken-1").status, 200);
    // Who asks for the wrong host does not learn whether the token is right.
    assert_eq!(status(&served, &[("Host", "evil.example"), ("Authorization", "Bearer secret-token-1")]), 421);
}

/// Runs a start that must fail. Gives its exit code and what it says.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    coltape::internals::sample::tape(folder.path()).unwrap();
    let mut command = coltape();
    command.arg("serve").arg(folder.path()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut printed = String::new();
    // A server that starts would never end: what it prints shows that.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut printed).unwrap();
    if !printed.is_empty() {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("{args:?} is not refused: {printed}");
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_others_can_reach_needs_a_token() {
    for address in ["0.0.0.0:0", "[::]:0", "192.168.1.1:0", "[::ffff:10.0.0.1]:0"] {
        let (code, said) = refused(&["--listen", address]);
        assert!(code == Some(2) && said.contains("--token-file") && said.contains("127.0.0.1"), "{said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = token_file(&folder, "secret-token-1");
    let (_data, served) = Served::sample(&["--listen", "0.0.0.0:0", "--token-file", path.to_str().unwrap()]);
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], served.address.port()));
    assert_eq!(get(local, "/healthz", &[("Authorization", "Bearer secret-token-1")]).status, 200);
    assert_eq!(get(local, "/healthz", &[]).status, 401);
    assert_eq!(get(local, "/healthz", &[("Host", "0.0.0.0"), ("Authorization", "Bearer secret-token-1")]).status, 200);
    assert_eq!(get(local, "/healthz", &[("Host", "192.168.1.1"), ("Authorization", "Bearer secret-token-1")]).status, 421);
}

#[test]
fn a_token_or_name_that_cannot_work_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", "\n", "short", "with a space in it", "two\nlines-of-token", "umlaut-tökens"] {
        let path = token_file(&folder, text);
        let (code, said) = refused(&["--token-file", path.to_str().unwrap()]);
        assert!(code == Some(2) && said.contains("--token-file"), "{text:?}: {said}");
    }
    let path = token_file(&folder, &"x".repeat(100_000));
    assert!(refused(&["--token-file", path.to_str().unwrap()]).1.contains("too large"));
    let (code, said) = refused(&["--token-file", "/no/such/file"]);
    assert!(code == Some(2) && said.contains("--token-file /no/such/file"), "{said}");
    for (option, bad) in
        [("--host", "a b"), ("--host", "box:80"), ("--host", ""), ("--allow-origin", "*"), ("--allow-origin", "friend.example")]
    {
        let (code, said) = refused(&[option, bad]);
        assert!(code == Some(2) && said.contains(option), "{option} {bad}: {said}");
    }
}
