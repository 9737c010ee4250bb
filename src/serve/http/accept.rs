//! [`HttpServer`]: the thread that accepts connections, waits for heads, and starts a thread for each client that is answered.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::process::{Resource, getrlimit};

use super::answer::{Client, Outcome, Setting, answer, last_answer, make};
use super::handler::{Handler, Priority};
use super::head::{self, Head};
use super::limits::{Limits, MAX_WAITING, MIN_WAITING};
use super::request::Request;
use super::response::Response;
use super::socket::{ClientSocket, timespec};
use super::stopping::Stopping;
use super::traffic::{CutOff, Traffic};
use super::waiting::{For, Seen, Waiting};

/// Clients that are answered although as many are being answered as may be, where they ask for health.
pub(crate) const RESERVED: usize = 16;
/// Most connections that are accepted between two looks at those that wait.
const ACCEPT_AT_ONCE: usize = 64;
/// How long a request waits for a slot before it is refused: whoever has just been answered gives its slot back a moment later.
const SLOT_WAIT: Duration = Duration::from_millis(100);
/// How long a request for health waits for one.
const HEALTH_WAIT: Duration = Duration::from_secs(2);
/// Most requests that wait for a slot.
const MAX_PENDING: usize = 1024;
/// Longest wait between two looks at the deadlines, and while no descriptor is left.
const TICK: Duration = Duration::from_millis(250);

/// A running HTTP server.
#[derive(Debug)]
pub(crate) struct HttpServer {
    stopping: Stopping,
    wake: Arc<OwnedFd>,
    thread: JoinHandle<()>,
}

impl HttpServer {
    /// Starts to serve on a socket that listens.
    ///
    /// # Errors
    /// Where there is no thread or no descriptor for it.
    pub(crate) fn start(
        listener: TcpListener,
        limits: Limits,
        handler: Arc<dyn Handler>,
        stopping: &Stopping,
        traffic: &Arc<Traffic>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        // Each thread gives back one client at most.
        let (give_back, given_back) = bounded(limits.max_clients + RESERVED);
        let shared =
            Shared { limits, handler, stopping: stopping.clone(), traffic: Arc::clone(traffic), wake: Arc::clone(&wake), give_back };
        let waiter = Waiter {
            listener,
            shared: Arc::new(shared),
            given_back,
            waiting: Vec::new(),
            pending: VecDeque::new(),
            most: most_waiting(),
            threads: Vec::new(),
            clients: Arc::default(),
            reserved: Arc::default(),
            started: 0,
            is_full: false,
        };
        let thread = std::thread::Builder::new().name("serve:wait".to_owned()).spawn(move || waiter.run())?;
        Ok(Self { stopping: stopping.clone(), wake, thread })
    }

    /// Tells whether its thread has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops: streams end, answers in flight may go on for [`STOP_TIMEOUT`](super::limits::STOP_TIMEOUT). Gives whether its thread ended well.
    pub(crate) fn stop(self) -> bool {
        self.stopping.ask();
        wake(&self.wake);
        self.thread.join().is_ok()
    }
}

fn wake(fd: &OwnedFd) {
    // A counter that is full is a wake as well.
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

/// Gives how many connections may wait: half of the descriptors are left for files.
fn most_waiting() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / 2).unwrap_or(usize::MAX).clamp(MIN_WAITING, MAX_WAITING)
}

/// What the threads of clients share with the waiter.
struct Shared {
    limits: Limits,
    handler: Arc<dyn Handler>,
    stopping: Stopping,
    traffic: Arc<Traffic>,
    wake: Arc<OwnedFd>,
    give_back: Sender<Waiting>,
}

/// One of a bounded number of threads. Free again when it is dropped.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    /// Takes a slot. Only the waiter takes slots, so nothing comes between the look and the count.
    fn take(count: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        if count.load(Ordering::Acquire) >= most {
            return None;
        }
        count.fetch_add(1, Ordering::AcqRel);
        Some(Self(Arc::clone(count)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A request that waits for a slot.
struct Pending {
    client: Client,
    request: Request,
    priority: Priority,
    deadline: Instant,
}

struct Waiter {
    listener: TcpListener,
    shared: Arc<Shared>,
    given_back: Receiver<Waiting>,
    /// The one that has waited longest comes first.
    waiting: Vec<Waiting>,
    /// Requests that wait for a slot.
    pending: VecDeque<Pending>,
    most: usize,
    threads: Vec<JoinHandle<()>>,
    clients: Arc<AtomicUsize>,
    reserved: Arc<AtomicUsize>,
    started: u64,
    /// No descriptor is left for another connection.
    is_full: bool,
}

impl Waiter {
    fn run(mut self) {
        loop {
            let ready = self.poll();
            self.look(&ready);
            while let Ok(waiting) = self.given_back.try_recv() {
                self.put(waiting);
            }
            self.accept();
            self.serve_pending();
            self.threads.retain(|thread| !thread.is_finished());
            let busy = self.clients.load(Ordering::Acquire) + self.reserved.load(Ordering::Acquire);
            self.shared.traffic.set_answering(busy);
            if self.shared.stopping.is_asked() && ((busy == 0 && self.pending.is_empty()) || self.shared.stopping.is_over()) {
                break;
            }
        }
        // A thread whose handler is still at work is left behind: the process ends.
        for thread in self.threads.into_iter().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }

    /// Waits for something to do. Gives for each connection that waits whether there is something to read.
    fn poll(&self) -> Vec<bool> {
        let now = Instant::now();
        let deadlines = self.waiting.iter().map(|waiting| waiting.deadline).chain(self.pending.iter().map(|pending| pending.deadline));
        let next = deadlines.min().map(|next| next.saturating_duration_since(now));
        let most = if self.is_full || self.shared.stopping.is_asked() { TICK / 10 } else { TICK };
        let longest = next.map_or(most, |next| next.min(most));
        let interest = if self.is_full { PollFlags::empty() } else { PollFlags::IN };
        let mut fds = vec![PollFd::new(&self.listener, interest), PollFd::from_borrowed_fd(self.shared.wake.as_fd(), PollFlags::IN)];
        fds.extend(self.waiting.iter().map(|waiting| PollFd::new(waiting.client.socket.stream(), PollFlags::IN)));
        // A wait that is interrupted does no harm: nothing is ready then.
        let _ = poll(&mut fds, Some(&timespec(longest)));
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.shared.wake, &mut count);
        fds.iter().skip(2).map(|fd| !fd.revents().is_empty()).collect()
    }

    /// Looks at each connection that waits.
    fn look(&mut self, ready: &[bool]) {
        let now = Instant::now();
        let is_stopping = self.shared.stopping.is_asked();
        for (waiting, ready) in std::mem::take(&mut self.waiting).into_iter().zip(ready) {
            if !ready && waiting.deadline > now && !(is_stopping && waiting.waits_for == For::Idle) {
                self.waiting.push(waiting);
                continue;
            }
            self.step(waiting, *ready, now);
        }
    }

    /// Goes on with a connection that has sent something, or whose time is over.
    fn step(&mut self, mut waiting: Waiting, is_ready: bool, now: Instant) {
        let seen = if is_ready { waiting.read(&self.shared.limits) } else { Seen::Nothing };
        match (seen, waiting.waits_for) {
            (Seen::Left, _) => {}
            (Seen::Bytes, _) => self.read_head(waiting),
            (Seen::Nothing, _) if waiting.deadline > now && is_ready => self.waiting.push(waiting),
            (Seen::Nothing, For::Head) => {
                self.shared.traffic.cut_off(CutOff::SlowHead);
                let late = Response::error(408, "the head of the request did not come in time", "send it at once");
                self.refuse(waiting.client, late);
            }
            (Seen::Nothing, For::Idle | For::End) => {}
        }
    }

    fn read_head(&mut self, mut waiting: Waiting) {
        let socket = &waiting.client.socket;
        match head::parse(&waiting.client.received, socket.peer(), socket.local()) {
            // Bytes that come one by one do not put the deadline off.
            Head::Partial if waiting.deadline > Instant::now() => self.waiting.push(waiting),
            Head::Partial => self.step(waiting, false, Instant::now()),
            Head::Whole(request, length) => {
                waiting.client.received.drain(..length);
                self.dispatch(waiting.client, *request);
            }
            Head::Refused(response) => self.refuse(waiting.client, *response),
        }
    }

    /// Has a request answered, or refuses it.
    fn dispatch(&mut self, client: Client, request: Request) {
        if self.shared.stopping.is_asked() {
            return self.end(client, Response::error(503, "the server stops", "ask again when it is back"), request.is_head());
        }
        if let Some(slot) = Slot::take(&self.clients, self.shared.limits.max_clients) {
            return self.start(client, request, slot, false);
        }
        let priority = self.shared.handler.priority(request.path());
        let wait = match priority {
            Priority::Usual => SLOT_WAIT,
            Priority::Health => HEALTH_WAIT,
            Priority::Instant => {
                let is_head = request.is_head();
                let response = make(&*self.shared.handler, request, &self.shared.traffic);
                return self.end(client, response, is_head);
            }
        };
        if priority == Priority::Health
            && let Some(slot) = Slot::take(&self.reserved, RESERVED)
        {
            return self.start(client, request, slot, true);
        }
        if self.pending.len() >= MAX_PENDING {
            return self.end(client, self.too_many(), request.is_head());
        }
        self.pending.push_back(Pending { client, request, priority, deadline: Instant::now() + wait });
    }

    /// Has those answered that wait for a slot, as far as there are slots, and refuses those that have waited for too long.
    fn serve_pending(&mut self) {
        let now = Instant::now();
        for pending in std::mem::take(&mut self.pending) {
            if let Some(slot) = Slot::take(&self.clients, self.shared.limits.max_clients) {
                self.start(pending.client, pending.request, slot, false);
            } else if pending.deadline <= now || self.shared.stopping.is_asked() {
                self.end(pending.client, self.too_many(), pending.request.is_head());
            } else if pending.priority == Priority::Health
                && let Some(slot) = Slot::take(&self.reserved, RESERVED)
            {
                self.start(pending.client, pending.request, slot, true);
            } else {
                self.pending.push_back(pending);
            }
        }
    }

    fn too_many(&self) -> Response {
        let most = self.shared.limits.max_clients;
        let hint = format!("{most} clients are being answered, as many as may be: ask again later, or raise --max-clients");
        Response::error(429, "too many clients", hint).with_header("Retry-After", "1")
    }

    /// Starts a thread that answers.
    fn start(&mut self, client: Client, request: Request, slot: Slot, is_last: bool) {
        let (shared, name) = (Arc::clone(&self.shared), format!("serve:{}", self.started));
        self.started += 1;
        // A closure that is not run is lost with the error, and would be with the client in it.
        let (give, take) = bounded(1);
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let Ok((client, request)) = take.recv() else { return };
            let back = serve(client, request, &shared, is_last);
            drop(slot);
            if let Some(back) = back {
                let _ = shared.give_back.try_send(back);
            }
            wake(&shared.wake);
        });
        match spawned {
            Ok(thread) => {
                self.threads.push(thread);
                let _ = give.try_send((client, request));
            }
            Err(error) => {
                log::warn!("serve: no thread for a client: {error}");
                let refusal = Response::error(503, "no thread is left for the answer", "ask again later");
                self.end(client, refusal.with_header("Retry-After", "1"), request.is_head());
            }
        }
    }

    /// Refuses a client whose request was not read.
    fn refuse(&mut self, client: Client, response: Response) {
        self.end(client, response, false);
    }

    /// Sends a small answer, as far as it can be sent without a wait, and closes the connection.
    fn end(&mut self, client: Client, response: Response, is_head: bool) {
        self.put(end(client, response, is_head, &self.shared.traffic));
    }

    fn accept(&mut self) {
        self.is_full = false;
        for _ in 0..ACCEPT_AT_ONCE {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let Shared { limits, traffic, stopping, .. } = &*self.shared;
                    // An error here is a client that has left already.
                    let Ok(socket) = ClientSocket::new(stream, limits.send_timeout, traffic, stopping) else { continue };
                    let waiting = Waiting::new(Client { socket, received: Vec::new() }, limits);
                    self.put(waiting);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    // No descriptor or no memory is left: one that waits makes room.
                    log::debug!("serve: no connection can be accepted: {error}");
                    self.evict();
                    self.is_full = true;
                    return;
                }
            }
        }
    }

    /// Has a connection wait. The one that has waited longest makes room where there are too many.
    fn put(&mut self, waiting: Waiting) {
        if self.waiting.len() >= self.most {
            self.evict();
        }
        self.waiting.push(waiting);
    }

    /// Closes a connection: one that is being closed anyway, else the oldest.
    fn evict(&mut self) {
        let at = self.waiting.iter().position(|waiting| waiting.waits_for == For::End).unwrap_or(0);
        if at < self.waiting.len() {
            let evicted = self.waiting.remove(at);
            if evicted.waits_for != For::End {
                self.shared.traffic.cut_off(CutOff::Crowded);
            }
        }
    }
}

fn end(client: Client, response: Response, is_head: bool, traffic: &Traffic) -> Waiting {
    traffic.answer(response.status());
    client.socket.send_now(&last_answer(response, is_head));
    Waiting::closing(client)
}

/// Answers a client as long as whole requests are there. Gives it back, unless its socket is closed.
fn serve(mut client: Client, mut request: Request, shared: &Shared, is_last: bool) -> Option<Waiting> {
    let Shared { limits, handler, stopping, traffic, .. } = shared;
    loop {
        let setting = Setting { handler: &**handler, traffic, stopping, is_last };
        match answer(client, request, setting) {
            Outcome::Gone => return None,
            Outcome::Close(client) => return Some(Waiting::closing(client)),
            Outcome::Keep(kept) => client = kept,
        }
        match head::parse(&client.received, client.socket.peer(), client.socket.local()) {
            Head::Partial => return Some(Waiting::again(client, limits)),
            Head::Refused(response) => return Some(end(client, *response, false, traffic)),
            Head::Whole(next, length) => {
                client.received.drain(..length);
                request = *next;
            }
        }
    }
}

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod bound_tests;
#[cfg(test)]
mod fixture;
