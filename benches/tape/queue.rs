//! What it costs to pass messages from a connection's thread through the queues to the thread that drains them. Messages that the connection appends
//! itself do not go that way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coltape::internals::capture::write::queue::{Pulled, Pushed, QueueReceiver, QueueSender, queue};
use coltape::internals::capture::write::wakeup::Wakeup;
use coltape::internals::record::{MarketMessage, RawPlace};
use coltape::internals::schema::{Layout, Trades};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use crate::rounds::{Contest, Entrant};

/// Messages of a busy run.
const BUSY: u64 = 100_000;
/// Messages between two rounds of calls, as a burst of frames brings them.
const BURST: u64 = 64;
/// Messages of a run whose writers sleep.
const SLEEPY: u64 = 20;
/// Time after which a writer that found nothing sleeps for good.
const ASLEEP_AFTER: Duration = Duration::from_millis(5);

/// The capture's own queue.
pub const COLTAPE: &str = "coltape: bounded queues, one delegate called once a burst";
/// Plain channels.
pub const PLAIN: &str = "crossbeam bounded, blocking recv";

fn message() -> MarketMessage {
    MarketMessage::Trade(Trades::EMPTY, RawPlace::default())
}

trait Line {
    fn send(&self, to: usize);
    fn call(&self, to: usize);
    fn wake(&self);
    fn taken(&self) -> u64;
}

/// Queues that one delegate drains when it is called to them: the way of a connection whose writers sleep.
struct Coltape {
    senders: Vec<QueueSender>,
    is_called: Arc<Vec<AtomicBool>>,
    calls: Option<Sender<usize>>,
    wakeup: Arc<Wakeup>,
    taken: Arc<AtomicU64>,
    delegate: Option<JoinHandle<()>>,
}

fn drain(queues: &[QueueReceiver], is_called: &[AtomicBool], calls: &Receiver<usize>, wakeup: &Wakeup, taken: &AtomicU64) {
    loop {
        let at = match calls.try_recv() {
            Ok(at) => at,
            Err(TryRecvError::Empty) => {
                wakeup.wait_until_woken();
                continue;
            }
            Err(TryRecvError::Disconnected) => return,
        };
        is_called[at].swap(false, Ordering::AcqRel);
        let mut count = 0;
        while let Pulled::Message(message) = queues[at].pull() {
            std::hint::black_box(message);
            count += 1;
        }
        taken.fetch_add(count, Ordering::Release);
    }
}

impl Coltape {
    fn new(writers: usize, capacity: usize) -> Self {
        let (senders, queues): (Vec<_>, Vec<_>) = (0..writers).map(|_| queue(capacity)).unzip();
        let is_called: Arc<Vec<AtomicBool>> = Arc::new((0..writers).map(|_| AtomicBool::new(false)).collect());
        let ((calls, called), wakeup, taken) = (bounded(writers), Arc::new(Wakeup::default()), Arc::new(AtomicU64::new(0)));
        let (flags, woken, count) = (Arc::clone(&is_called), Arc::clone(&wakeup), Arc::clone(&taken));
        let delegate = std::thread::spawn(move || drain(&queues, &flags, &called, &woken, &count));
        Self { senders, is_called, calls: Some(calls), wakeup, taken, delegate: Some(delegate) }
    }
}

impl Line for Coltape {
    fn send(&self, to: usize) {
        assert_eq!(self.senders[to].push_within(message(), Duration::from_secs(5)), Pushed::Queued);
    }
    fn call(&self, to: usize) {
        if !self.is_called[to].swap(true, Ordering::AcqRel) {
            self.calls.as_ref().unwrap().try_send(to).unwrap();
        }
    }
    fn wake(&self) {
        self.wakeup.notify();
    }
    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Coltape {
    fn drop(&mut self) {
        self.calls = None;
        self.wakeup.wake();
        self.delegate.take().unwrap().join().unwrap();
    }
}

struct Plain {
    senders: Vec<Sender<MarketMessage>>,
    taken: Arc<AtomicU64>,
    writers: Vec<JoinHandle<()>>,
}

fn receive(receiver: &Receiver<MarketMessage>, taken: &AtomicU64) {
    while let Ok(message) = receiver.recv() {
        std::hint::black_box(message);
        taken.fetch_add(1, Ordering::Release);
    }
}

impl Plain {
    fn new(writers: usize, capacity: usize) -> Self {
        let taken = Arc::new(AtomicU64::new(0));
        let (senders, writers) = (0..writers)
            .map(|_| {
                let ((sender, receiver), taken) = (bounded(capacity), Arc::clone(&taken));
                (sender, std::thread::spawn(move || receive(&receiver, &taken)))
            })
            .unzip();
        Self { senders, taken, writers }
    }
}

impl Line for Plain {
    fn send(&self, to: usize) {
        self.senders[to].send(message()).unwrap();
    }
    fn call(&self, _: usize) {}
    fn wake(&self) {}
    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.senders.clear();
        self.writers.drain(..).for_each(|writer| writer.join().unwrap());
    }
}

fn wait_until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "the writers take what they are sent");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The CPU time of this process so far, all threads.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Sends in bursts to all writers in turn; what counts is the CPU time of both sides until the last message is taken.
fn busy(name: &'static str, line: impl Line + 'static, writers: usize) -> Entrant {
    let run = move || {
        let (began, before) = (cpu(), line.taken());
        let mut touched = vec![false; writers];
        for number in 0..BUSY {
            let to = number as usize % writers;
            line.send(to);
            touched[to] = true;
            if (number + 1).is_multiple_of(BURST) || number + 1 == BUSY {
                for (to, is_touched) in touched.iter_mut().enumerate() {
                    if std::mem::take(is_touched) {
                        line.call(to);
                    }
                }
                line.wake();
            }
        }
        wait_until(|| line.taken() - before == BUSY);
        cpu() - began
    };
    Entrant { name, run: Box::new(run) }
}

/// Sends one message at a time to a writer that sleeps; what counts is the sender's time.
fn asleep(name: &'static str, line: impl Line + 'static, writers: usize) -> Entrant {
    let run = move || {
        let mut took = Duration::ZERO;
        for number in 0..SLEEPY {
            // Longer than a writer spins or sleeps briefly before it sleeps for good.
            std::thread::sleep(ASLEEP_AFTER);
            let (to, before) = (number as usize % writers, line.taken());
            let began = Instant::now();
            line.send(to);
            line.call(to);
            line.wake();
            took += began.elapsed();
            wait_until(|| line.taken() == before + 1);
        }
        took
    };
    Entrant { name, run: Box::new(run) }
}

/// The contests over so many writers.
pub fn contests(writers: usize) -> [Contest; 2] {
    let capacity = coltape::internals::capture::write::queue::capacity_within_budget(50_000, writers);
    let (busy_name, asleep_name) = match writers {
        1 => ("queue: to 1 busy writer", "queue: to 1 sleeping writer"),
        12 => ("queue: to 12 busy writers", "queue: to 12 sleeping writers"),
        _ => ("queue: to 400 busy writers", "queue: to 400 sleeping writers"),
    };
    [
        Contest {
            name: busy_name,
            per: "ns CPU / message",
            elements: BUSY,
            entrants: vec![busy(COLTAPE, Coltape::new(writers, capacity), writers), busy(PLAIN, Plain::new(writers, capacity), writers)],
        },
        Contest {
            name: asleep_name,
            per: "ns of the sender / message",
            elements: SLEEPY,
            entrants: vec![
                asleep(COLTAPE, Coltape::new(writers, capacity), writers),
                asleep(PLAIN, Plain::new(writers, capacity), writers),
            ],
        },
    ]
}
