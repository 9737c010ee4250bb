//! `capture --listen`: answering over HTTP while a capture runs. A capture that takes over listens at the same address as the one before it: it does so as
//! soon as that one has let go of it.

use std::io::ErrorKind;
use std::thread::JoinHandle;
use std::time::Duration;

use super::args::CaptureArgs;
use super::outcome::Failure;
use super::serve;
use crate::capture::CaptureView;
use crate::capture::stop::Stop;
use crate::serve::{Monitoring, ServeError};

/// Time between two attempts to listen where another capture does.
const AGAIN: Duration = Duration::from_millis(200);

/// What answers over HTTP, if anything does.
#[derive(Default)]
pub(super) struct Listening {
    monitoring: Option<Monitoring>,
    /// The thread that waits for the address.
    waiting: Option<(Stop, JoinHandle<Option<Monitoring>>)>,
}

impl Listening {
    /// Starts to answer, where that is asked for.
    ///
    /// # Errors
    /// Where nobody may ask, or the address cannot be listened on for another reason than a capture that is to be taken over.
    pub(super) fn start(args: &CaptureArgs, view: &CaptureView) -> Result<Self, Failure> {
        let Some(address) = args.alerts.listen else { return Ok(Self::default()) };
        let token = args.alerts.token_file.as_deref().map(serve::token).transpose()?;
        let (dir, view) = (args.data_dir.data_dir.clone(), view.clone());
        let start = move || Monitoring::start(&dir, address, token.clone(), &view);
        match start() {
            Ok(monitoring) => {
                say(&monitoring);
                Ok(Self { monitoring: Some(monitoring), waiting: None })
            }
            Err(error) if args.take_over && is_in_use(&error) => {
                let end = Stop::default();
                let ended = end.clone();
                let thread = std::thread::Builder::new().name("listen".to_owned());
                let thread =
                    thread.spawn(move || listen_later(&start, &ended)).map_err(|error| Failure::failed(ServeError::Start(error)))?;
                Ok(Self { monitoring: None, waiting: Some((end, thread)) })
            }
            Err(error) => Err(serve::refused(error)),
        }
    }

    /// Stops. Answers in flight may go on for a few seconds.
    pub(super) fn stop(self) {
        let later = self.waiting.and_then(|(end, thread)| {
            end.ask();
            thread.join().ok().flatten()
        });
        if let Some(Err(error)) = self.monitoring.or(later).map(Monitoring::stop) {
            log::warn!("--listen: {error}");
        }
    }
}

fn say(monitoring: &Monitoring) {
    log::info!("metrics, health and status at http://{}: /metrics /healthz /readyz /status", monitoring.address());
}

fn is_in_use(error: &ServeError) -> bool {
    matches!(error, ServeError::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse)
}

/// Listens as soon as the address is free. Gives nothing where the capture ends before.
fn listen_later(start: &impl Fn() -> Result<Monitoring, ServeError>, end: &Stop) -> Option<Monitoring> {
    while !end.wait(AGAIN) {
        match start() {
            Ok(monitoring) => {
                say(&monitoring);
                return Some(monitoring);
            }
            Err(error) if is_in_use(&error) => {}
            Err(error) => {
                log::warn!("--listen: {error}");
                return None;
            }
        }
    }
    None
}
