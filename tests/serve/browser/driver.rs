//! [`Browser`]: chromium, driven by chromedriver over WebDriver, which is plain HTTP and JSON.
//!
//! A browser takes seconds to start, so the tests that run at once have one together, and take turns: [`shared`].

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

/// How long a page may take to show what a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The browser of the tests that run now. It is started for the first of them, and ends with the last one that holds it.
static SHARED: Mutex<Weak<Mutex<Browser>>> = Mutex::new(Weak::new());

/// Gives the browser that tests have together. Where there is none, prints that and gives nothing; CI must have one.
pub(crate) fn shared() -> Option<Shared> {
    let mut shared = SHARED.lock();
    if let Some(browser) = shared.upgrade() {
        return Some(Shared(browser));
    }
    let browser = Arc::new(Mutex::new(Browser::start()?));
    *shared = Arc::downgrade(&browser);
    Some(Shared(browser))
}

/// A browser that others hold, too.
pub(crate) struct Shared(Arc<Mutex<Browser>>);

impl Shared {
    /// Waits until no other test uses it, and gives it as if it were new. Where a test has failed, the next one gets it all the same.
    pub(crate) fn take_turn(&self) -> MutexGuard<'_, Browser> {
        let browser = self.0.lock();
        browser.begin_anew();
        browser
    }
}

/// A browser with one window; closed when dropped.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Option<Self> {
        let spawned = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = spawned else {
            let words = "SKIPPED: no browser: chromedriver is missing (scripts/setup_browser.sh installs it)";
            let _ = writeln!(std::io::stderr(), "{words}");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .by_ref()
            .find_map(|line| line.unwrap().rsplit_once("successfully on port ")?.1.trim_end_matches('.').parse().ok())
            .expect("the port of chromedriver");
        // What it prints later is read away: a full pipe would block it.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self { driver, port, session: String::new(), _profile: profile };
        let folder = format!("--user-data-dir={}", browser._profile.path().display());
        let options = json!({"args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--window-size=1440,1100", folder,
        ]});
        let capabilities = json!({
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        });
        let made = browser.call("POST", "/session", &json!({"capabilities": {"alwaysMatch": capabilities}}));
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        Some(browser)
    }

    /// Leaves the page, and forgets its theme, its width, and what was said and asked for. The browser's own first page asks for files, too.
    fn begin_anew(&self) {
        self.open("about:blank");
        self.devtools("Emulation.setEmulatedMedia", &json!({"features": []}));
        self.devtools("Emulation.clearDeviceMetricsOverride", &json!({}));
        self.messages();
        self.requests();
    }

    /// Sends a command of WebDriver. Gives its value.
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().unwrap(),
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let value: Value = serde_json::from_slice(&answer).unwrap();
        assert!(value["value"]["error"].is_null(), "{method} {path}: {}", value["value"]);
        value["value"].clone()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("{}{path}", self.session), body)
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// Runs the body of a function in the page. Gives what it returns.
    pub(crate) fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// Gives the value of an expression in the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}"), &[])
    }

    /// Gives the value of an expression that is a text.
    pub(crate) fn text(&self, expression: &str) -> String {
        self.value(expression).as_str().unwrap_or_else(|| panic!("no text: {expression}")).to_owned()
    }

    /// Waits until an expression in the page is true.
    pub(crate) fn await_that(&self, expression: &str) {
        let since = Instant::now();
        while self.value(&format!("Boolean({expression})")) != Value::Bool(true) {
            if since.elapsed() > PATIENCE {
                self.picture(Path::new(env!("CARGO_TARGET_TMPDIR")).join("page-late.png").as_path());
                panic!("not in time: {expression}\n{}\n{:?}", self.text("document.body.innerText"), self.messages());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses keys one after the other, as a person does.
    pub(crate) fn press(&self, keys: &[&str]) {
        let presses: Vec<Value> =
            keys.iter().flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]).collect();
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": presses}]}));
    }

    /// Clicks at a place of the window.
    pub(crate) fn click_at(&self, x: f64, y: f64) {
        let moves = json!([
            {"type": "pointerMove", "x": x.round(), "y": y.round(), "duration": 0}, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0},
        ]);
        self.post("/actions", &json!({"actions": [{"type": "pointer", "id": "mouse", "actions": moves}]}));
    }

    /// Sends a command of the DevTools protocol.
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Makes the page believe that the system has a theme.
    pub(crate) fn set_theme(&self, theme: &str) {
        self.devtools("Emulation.setEmulatedMedia", &json!({"features": [{"name": "prefers-color-scheme", "value": theme}]}));
    }

    pub(crate) fn set_width(&self, width: u32, height: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
    }

    /// Gives what came to the console since the last time.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.log("browser")
    }

    /// Gives the addresses that were asked for since the last time, icons included; not what the browser takes from itself.
    pub(crate) fn requests(&self) -> Vec<String> {
        let events = self.log("performance").into_iter().map(|text| serde_json::from_str::<Value>(&text).unwrap()["message"].clone());
        let sent = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        let urls = sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned());
        urls.filter(|url| !url.starts_with("chrome://")).collect()
    }

    fn log(&self, kind: &str) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": kind}));
        entries.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Keeps a picture of the window.
    pub(crate) fn picture(&self, to: &Path) {
        use std::fmt::Write as _;
        let text = self.call("GET", &format!("{}/screenshot", self.session), &Value::Null);
        // Base64, four digits to three bytes.
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut bits = String::new();
        for digit in text.as_str().unwrap().bytes().filter(|digit| *digit != b'=') {
            let value = digits.iter().position(|known| *known == digit).unwrap();
            let _ = write!(bits, "{value:06b}");
        }
        let bytes: Vec<u8> =
            bits.as_bytes().chunks_exact(8).map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap()).collect();
        std::fs::write(to, bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // While a test fails the browser may be gone: nothing here may panic again.
            let end = format!("DELETE {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\n\r\n", self.session, self.port);
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                let _ = stream.write_all(end.as_bytes());
                let _ = stream.read(&mut [0; 64]);
            }
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
