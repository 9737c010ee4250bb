//! [`Served`]: a running `coltape serve`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::client::{self, Answer};
use crate::programs::coltape;

/// A running server; killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) endpoints: serde_json::Value,
    pub(crate) address: SocketAddr,
}

impl Served {
    /// Serves a directory on a free port of loopback.
    pub(crate) fn start(data: &Path, args: &[&str]) -> Self {
        let mut command = coltape();
        command.arg("serve").arg(data).args(args).env("RUST_LOG", "warn").stdout(Stdio::piped()).stderr(Stdio::inherit());
        if !args.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoints: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no endpoints: {line:?}"));
        let address = endpoints["http_url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        Self { child, endpoints, address }
    }

    /// Serves a small tape: see [`coltape::internals::sample::tape`].
    pub(crate) fn sample(args: &[&str]) -> (tempfile::TempDir, Self) {
        let folder = tempfile::tempdir().unwrap();
        coltape::internals::sample::tape(folder.path()).unwrap();
        let served = Self::start(folder.path(), args);
        (folder, served)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        client::get(self.address, target, &[])
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A figure of `/proc/PID/status`, in the unit that it has there.
    pub(crate) fn proc_figure(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// How many descriptors are open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// A metric, by its name and labels.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("coltape_serve_{sample} ")));
        line.unwrap_or_else(|| panic!("no {sample}: {text}")).parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Asks for its end. Gives its exit code and how long it took.
    pub(crate) fn stop(mut self, signal: Signal) -> (Option<i32>, Duration) {
        self.signal(signal);
        let since = Instant::now();
        let status = self.child.wait().unwrap();
        (status.code(), since.elapsed())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
