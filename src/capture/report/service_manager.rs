//! [`ServiceManager`]: tells systemd, or what else has started the capture, that it is ready, well, or ending (sd_notify(3)).
//!
//! 1. A message is a datagram to the socket that `NOTIFY_SOCKET` names, a path or an abstract name that begins with `@`. The command line reads the
//!    environment; nothing here does.
//! 2. `READY=1` when all threads run, whether or not the exchange answers: a capture that waits for the exchange is no failed start.
//! 3. `WATCHDOG=1` only while no thread hangs ([`super::liveness`]), and from the thread `watch`, so that a watch that hangs sends none either.
//! 4. A message that cannot be sent is dropped; the next one comes a second later. Sending never waits.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::capture::report::liveness::{Hanging, Liveness, Sign};

/// The shortest time of the watchdog that can be kept: the watch looks once a second.
pub(crate) const LEAST_WATCHDOG: Duration = Duration::from_secs(4);

/// Threads that are named in a status line.
const MAX_NAMED: usize = 4;

/// Who has started the capture and wants to know how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceManager {
    /// The socket, as `NOTIFY_SOCKET` has it.
    pub socket: OsString,
    /// Within which time it wants a sign of life, if it does.
    pub watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Names a socket. There is no watchdog.
    #[must_use]
    pub const fn new(socket: OsString) -> Self {
        Self { socket, watchdog: None }
    }
}

/// The capture's side of the socket.
#[derive(Debug)]
pub(crate) struct ServiceNotifier {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Liveness>,
    last_status: String,
    was_ready: bool,
    was_stopping: bool,
    was_hanging: bool,
}

impl ServiceNotifier {
    /// Makes the socket.
    ///
    /// # Errors
    /// Where the name is none, or the system refuses.
    pub(crate) fn begin(manager: &ServiceManager) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        // A thread that hangs for half of the time is found before the time is over.
        let watchdog = manager.watchdog.map(|within| Liveness::new(within.max(LEAST_WATCHDOG) / 2));
        let address = address(&manager.socket)?;
        Ok(Self { socket, address, watchdog, last_status: String::new(), was_ready: false, was_stopping: false, was_hanging: false })
    }

    /// Makes the socket. A capture goes on without one: that is logged.
    pub(crate) fn begin_or_warn(manager: &ServiceManager) -> Option<Self> {
        Self::begin(manager)
            .map_err(|error| log::warn!("NOTIFY_SOCKET {}: {error}; the service manager is told nothing", manager.socket.display()))
            .ok()
    }

    /// Says how the capture is. `status` is a line for people.
    pub(crate) fn tell(&mut self, status: &str, is_stopping: bool, signs: Vec<Sign>, now: Instant) {
        let mut message = String::new();
        if !std::mem::replace(&mut self.was_ready, true) {
            message.push_str("READY=1\n");
        }
        if is_stopping && !std::mem::replace(&mut self.was_stopping, true) {
            message.push_str("STOPPING=1\n");
        }
        let hanging = self.watchdog.as_mut().map(|liveness| liveness.look(signs, now)).unwrap_or_default();
        self.log(&hanging);
        if hanging.is_empty() && self.watchdog.is_some() {
            message.push_str("WATCHDOG=1\n");
        }
        let status = if hanging.is_empty() { status.to_owned() } else { format!("{} not answering", named(&hanging)) };
        if status != self.last_status {
            message.push_str(&format!("STATUS={}\n", status.replace(['\n', '\r'], " ")));
            self.last_status = status;
        }
        if !message.is_empty() && self.socket.send_to_addr(message.as_bytes(), &self.address).is_err() {
            // What was not said is said again.
            self.last_status.clear();
            self.was_ready &= !message.lines().any(|line| line == "READY=1");
            self.was_stopping &= !message.lines().any(|line| line == "STOPPING=1");
        }
    }

    fn log(&mut self, hanging: &[Hanging]) {
        let hangs = !hanging.is_empty();
        if std::mem::replace(&mut self.was_hanging, hangs) != hangs {
            if hangs {
                log::error!("{} not answering: the service manager gets no sign of life, and will end this process", named(hanging));
            } else {
                log::info!("all threads answer again");
            }
        }
    }
}

/// Names threads that hang: `sync (31 s), write:BTC-USD (30 s) are`.
fn named(hanging: &[Hanging]) -> String {
    let shown =
        hanging.iter().take(MAX_NAMED).map(|one| format!("{} ({} s)", one.thread, one.lasts.as_secs())).collect::<Vec<_>>().join(", ");
    let more = if hanging.len() > MAX_NAMED { format!(" and {} more", hanging.len() - MAX_NAMED) } else { String::new() };
    format!("{shown}{more} {}", if hanging.len() == 1 { "is" } else { "are" })
}

/// Reads a name as sd_notify(3) has it.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a path from the root nor a name that begins with @")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A manager's socket, and what came to it since the last question.
    struct Manager {
        _folder: tempfile::TempDir,
        socket: UnixDatagram,
        config: ServiceManager,
    }

    impl Manager {
        fn new(watchdog: Option<Duration>) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("notify");
            let socket = UnixDatagram::bind(&path).expect("bound");
            socket.set_nonblocking(true).expect("set");
            Self { _folder: folder, socket, config: ServiceManager { socket: path.into(), watchdog } }
        }

        fn take(&self) -> String {
            let (mut said, mut buffer) = (String::new(), [0; 4096]);
            while let Ok(length) = self.socket.recv(&mut buffer) {
                said.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            said
        }
    }

    fn working(done: u64) -> Vec<Sign> {
        vec![Sign { thread: "sync".to_owned(), has_work: true, done, patience: Duration::ZERO }]
    }

    #[test]
    fn the_manager_is_told_once_that_the_capture_is_ready_and_ends_and_each_new_status() {
        let manager = Manager::new(None);
        let mut notifier = ServiceNotifier::begin(&manager.config).expect("a socket");
        let now = Instant::now();
        notifier.tell("connecting\nREADY=0", false, Vec::new(), now);
        assert_eq!(manager.take(), "READY=1\nSTATUS=connecting READY=0\n");
        notifier.tell("connecting\nREADY=0", false, Vec::new(), now);
        assert_eq!(manager.take(), "", "nothing new, and no watchdog");
        notifier.tell("stopping", true, Vec::new(), now);
        notifier.tell("stopping", true, Vec::new(), now);
        assert_eq!(manager.take(), "STOPPING=1\nSTATUS=stopping\n");
    }

    #[test]
    fn a_thread_that_hangs_gets_no_sign_of_life_until_it_goes_on() {
        let manager = Manager::new(Some(20 * SECOND));
        let mut notifier = ServiceNotifier::begin(&manager.config).expect("a socket");
        let start = Instant::now();
        notifier.tell("well", false, working(1), start);
        assert!(manager.take().contains("WATCHDOG=1\n"));
        notifier.tell("well", false, working(1), start + 10 * SECOND);
        assert_eq!(manager.take(), "WATCHDOG=1\n");
        notifier.tell("well", false, working(1), start + 11 * SECOND);
        assert_eq!(manager.take(), "STATUS=sync (11 s) is not answering\n");
        notifier.tell("well", false, working(2), start + 12 * SECOND);
        assert_eq!(manager.take(), "WATCHDOG=1\nSTATUS=well\n");
    }

    #[test]
    fn a_manager_that_is_gone_is_told_everything_when_it_is_back() {
        let manager = Manager::new(None);
        let mut notifier = ServiceNotifier::begin(&manager.config).expect("a socket");
        std::fs::remove_file(&manager.config.socket).expect("removed");
        notifier.tell("well", false, Vec::new(), Instant::now());
        let again = UnixDatagram::bind(&manager.config.socket).expect("bound");
        again.set_nonblocking(true).expect("set");
        notifier.tell("well", false, Vec::new(), Instant::now());
        let mut buffer = [0; 64];
        let length = again.recv(&mut buffer).expect("a message");
        assert_eq!(&buffer[..length], b"READY=1\nSTATUS=well\n");
    }

    #[test]
    fn both_kinds_of_names_are_taken_and_others_are_not() {
        assert!(address(OsStr::new("@abc")).is_ok_and(|address| address.as_abstract_name() == Some(b"abc")));
        assert!(address(OsStr::new("/run/x")).is_ok());
        for name in ["", "@", "run/x", "vsock:2:1"] {
            assert!(address(OsStr::new(name)).is_err(), "{name}");
        }
        assert!(address(OsStr::new(&format!("/{}", "x".repeat(200)))).is_err());
    }
}
