//! The page at `GET /`: its files, without a browser.

mod sha256;

use std::collections::BTreeSet;

use crate::client;
use crate::served::Served;

/// Asks as a browser does for a page.
const AS_A_BROWSER: [(&str, &str); 1] = [("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")];

/// Names the files that a text of the page refers to.
fn references(text: &str) -> BTreeSet<String> {
    let quoted = |mark: &'static str, end: char| text.split(mark).skip(1).filter_map(move |rest| rest.split(end).next());
    let in_html = quoted("=\"assets/", '"');
    let in_modules = quoted("from './", '\'');
    in_html.chain(in_modules).map(str::to_owned).collect()
}

#[test]
fn page_and_all_its_files_come_from_the_server_with_a_strict_policy() {
    let (_folder, served) = Served::sample(&[]);
    let page = served.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let html = page.text();
    assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains(" onclick="), "the policy forbids what stands inline");
    assert!(html.matches("<script").count() == 1 && !html.contains("http"), "one module, from here");

    let (mut seen, mut open) = (BTreeSet::new(), references(&html));
    while let Some(name) = open.pop_first() {
        let file = served.get(&format!("/assets/{name}"));
        assert_eq!(file.status, 200, "{name}");
        let kind = match name.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(file.header("content-type"), Some(kind), "{name}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        let policy = file.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        let tag = file.header("etag").unwrap().to_owned();
        let again = client::get(served.address, &format!("/assets/{name}"), &[("If-None-Match", &tag)]);
        assert_eq!((again.status, again.body.len()), (304, 0), "{name}");
        open.extend(references(&file.text()).difference(&seen).cloned());
        seen.insert(name);
    }
    for name in ["app.js", "chart.js", "uplot.js", "style.css", "icon.svg"] {
        assert!(seen.contains(name), "{name} is not reached: {seen:?}");
    }
    for path in ["/assets/", "/assets/none.js", "/assets/../serve.rs", "/assets/%2e%2e/page.rs", "/assets//app.js", "/app.js"] {
        let answer = served.get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
    }
}

#[test]
fn page_asks_for_a_token_that_is_missing_and_its_files_need_none() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a-token-of-some-length\n").unwrap();
    let (_tape, served) = Served::sample(&["--token-file", token.to_str().unwrap()]);
    for target in ["/", "/?token=another-of-some-length"] {
        served.get(target).assert_error(401);
        let page = client::get(served.address, target, &AS_A_BROWSER);
        assert_eq!((page.status, page.header("content-type")), (401, Some("text/html; charset=utf-8")), "{target}");
        assert!(page.text().contains("id=\"token-form\""));
    }
    // Only the page itself is shown instead of an error.
    client::get(served.address, "/v1/products", &AS_A_BROWSER).assert_error(401);
    assert_eq!(served.get("/assets/app.js").status, 200);
    assert_eq!(client::get(served.address, "/?token=a-token-of-some-length", &AS_A_BROWSER).status, 200);
}

/// The file and the licence of uPlot 1.6.32 as the npm registry has them.
const UPLOT: [(&str, &[u8], &str); 2] = [
    ("uplot.js", include_bytes!("../../src/serve/assets/uplot.js"), "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba"),
    (
        "uplot.LICENSE",
        include_bytes!("../../src/serve/assets/uplot.LICENSE"),
        "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    ),
];

#[test]
fn uplot_is_the_file_that_was_published() {
    for (name, bytes, pinned) in UPLOT {
        assert_eq!(sha256::of(bytes), pinned, "{name} is not that of uPlot 1.6.32");
    }
}
