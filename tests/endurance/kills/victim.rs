//! The capture that is killed.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

/// The program under test, or the one that `COLTAPE_KILLS_BIN` names.
pub(crate) fn coltape() -> Command {
    let binary = std::env::var_os("COLTAPE_KILLS_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_coltape").into());
    let mut command = Command::new(binary);
    command.env_remove("COLTAPE_DATA_DIR");
    command
}

/// A running capture; killed when dropped.
pub(crate) struct Victim {
    child: Child,
    said: PathBuf,
}

/// How a capture ended.
pub(crate) enum End {
    /// By SIGKILL.
    Killed,
    /// By itself, before SIGKILL reached it.
    Itself,
}

impl Victim {
    /// Starts `coltape capture`; what it says goes to the file `said`.
    pub(crate) fn start(args: &[String], data: &Path, said: &Path) -> Self {
        let out = File::options().create(true).append(true).open(said).unwrap();
        let child = coltape()
            .arg("capture")
            .args(args)
            .arg("--data-dir")
            .arg(data)
            .env("RUST_LOG", "warn")
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self { child, said: said.to_owned() }
    }

    /// Asks for a clean stop.
    pub(crate) fn ask_to_stop(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it. That it had ended by itself with a failure is an error.
    pub(crate) fn kill(mut self) -> Result<End, String> {
        self.child.kill().unwrap();
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result<End, String> {
        let status = self.child.wait().unwrap();
        if status.signal() == Some(Signal::KILL.as_raw()) {
            Ok(End::Killed)
        } else if status.success() {
            Ok(End::Itself)
        } else {
            let said = std::fs::read_to_string(&self.said).unwrap_or_default();
            let lines: Vec<&str> = said.lines().rev().take(20).collect();
            Err(format!("the capture ended with {status}; the last it said, newest first:\n{}", lines.join("\n")))
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
