//! A capture in a process of its own, which can be killed.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

/// Gives the program under test, or the one that `COLTAPE_KILLS_BIN` names.
pub(crate) fn coltape() -> Command {
    let binary = std::env::var_os("COLTAPE_KILLS_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_coltape").into());
    let mut command = Command::new(binary);
    command.env_remove("COLTAPE_DATA_DIR");
    command
}

/// A running capture. Dropping it kills it.
pub(crate) struct CaptureProcess {
    child: Child,
    said: PathBuf,
}

/// How a capture ended.
pub(crate) enum End {
    /// By SIGKILL.
    Killed,
    /// By itself, before the SIGKILL.
    Itself,
}

impl CaptureProcess {
    /// Starts `coltape capture`. Its output goes to the file `said`.
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

    /// Kills it. Gives an error where it has ended by itself with a failure before.
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
            if status.code() == Some(1) && leaves_ids_alone(&said) {
                return Ok(End::Itself);
            }
            let lines: Vec<&str> = said.lines().rev().take(20).collect();
            Err(format!("the capture ended with {status}; its last lines, newest first:\n{}", lines.join("\n")))
        }
    }
}

/// Tells whether all that a capture left undone is to fetch ids: one that is asked to stop does not wait for them.
fn leaves_ids_alone(said: &str) -> bool {
    let Some((_, undone)) = said.split_once("NOT COMPLETE:\n") else { return false };
    let mut undone = undone.lines().take_while(|line| line.starts_with("  "));
    !said.contains("\nerror: ") && undone.all(|line| line.contains(" trade ids are missing "))
}

impl Drop for CaptureProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
