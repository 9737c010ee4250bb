//! [`Live`]: what is being stored, told to every client that wants it.
//!
//! ```text
//!   follower of A ─┐                        ┌─▶ cursor of client 1
//!   follower of B ─┼─▶ round ──▶ chunk ──▶ log ─▶ cursor of client 2
//!   follower of C ─┘    (text made once)    └─▶ cursor of client 3
//! ```
//!
//! 1. One thread looks for what was committed, makes its text once, and adds it to a log that all clients read. A client costs a copy, not a look.
//! 2. The log is bounded ([`MAX_LOG_BYTES`]). A client whose place has left it was too slow. It is told so, and nobody waits for it.
//! 3. A product is followed while a client wants it, from the end of what is stored when the first one asks.
//! 4. A *round* is one look at all products. Who wants to know that something is in the log waits for a round that began afterwards
//!    ([`Live::next_round`]): everything that was committed before is in the log then, or was followed from behind it.
//! 5. Nothing tells a reader in another process that something was committed, so it polls: every [`SHORTEST_PAUSE`], and at most a fifth of the time.
//! 6. Clients are woken in groups ([`super::super::turns`]). A group waits for one signal, which is given once, and then replaced. So one system call wakes
//!    them all, and none that looked for news before the signal was given can miss it.
//!
//! Thread `serve:live`: owns the followers; stops when the last handle is dropped. Locks: the log's, held to copy handles, never during a look or a write.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::chunk::{Chunk, Newest, Told};
use super::follower::Followers;
use super::wake::Wake;
use crate::product::ProductId;
use crate::record::Trade;
use crate::serve::turns::{GROUPS, Turns};
use crate::tape::Tape;

/// Bytes of text that the log holds, at least those of the newest chunk.
const MAX_LOG_BYTES: usize = 64 << 20;
/// Chunks that a client finds at once: a turn's.
pub(super) const MAX_FOUND: usize = 16;
/// The shortest time between two rounds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
/// The longest time between two rounds.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);
/// How many times as long as a round has used the processor the pause behind it is.
const PAUSE_PER_ROUND: u32 = 4;

/// A round, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Round(u64);

/// What a client finds at its place in the log.
#[derive(Debug)]
pub(super) enum Found {
    /// The chunks from there on, at most [`MAX_FOUND`].
    Chunks(Vec<Arc<Chunk>>),
    /// It has read everything.
    Nothing,
    /// Its place has left the log.
    Lost,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Arc<Chunk>>,
    /// The number of the chunk that comes next.
    next: u64,
    bytes: usize,
    /// Rounds that have begun, and that are done.
    begun: u64,
    done: u64,
    /// A round that a client waits for.
    awaited: u64,
    wanted: BTreeMap<ProductId, usize>,
    newest: BTreeMap<ProductId, Newest>,
    failures: BTreeMap<ProductId, String>,
    clients: usize,
    /// Which group the next client joins.
    next_group: usize,
    /// What the clients of each group wait for.
    signals: Vec<Arc<Wake>>,
    is_over: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Tells clients what is being stored.
#[derive(Debug)]
pub(crate) struct Live {
    shared: Arc<Shared>,
    tape: Tape,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Live {
    /// Makes the log. Its thread begins with the first client.
    #[must_use]
    pub(crate) fn new(tape: &Tape) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        Self { shared, tape: tape.clone(), thread: Mutex::new(None) }
    }

    /// Registers a client. Gives its group.
    ///
    /// # Errors
    /// Where the thread cannot be started, or there is no descriptor left.
    pub(super) fn join(&self) -> std::io::Result<usize> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let (shared, tape) = (Arc::clone(&self.shared), self.tape.clone());
            *thread = Some(std::thread::Builder::new().name("serve:live".to_owned()).spawn(move || run(&shared, &tape))?);
        }
        let mut state = self.shared.state.lock();
        while state.signals.len() < GROUPS {
            state.signals.push(Arc::new(Wake::new()?));
        }
        let group = state.next_group;
        state.next_group = (group + 1) % GROUPS;
        state.clients += 1;
        Ok(group)
    }

    /// Forgets a client.
    pub(super) fn leave(&self) {
        let mut state = self.shared.state.lock();
        state.clients = state.clients.saturating_sub(1);
    }

    /// Gives the signal that a group gets when there is something that is not there yet.
    pub(super) fn signal(&self, group: usize) -> Option<Arc<Wake>> {
        self.shared.state.lock().signals.get(group).map(Arc::clone)
    }

    /// Has a product followed. Each call needs its [`Live::unwant`].
    pub(super) fn want(&self, product: &ProductId) {
        let mut state = self.shared.state.lock();
        *state.wanted.entry(product.clone()).or_insert(0) += 1;
    }

    /// Ends one client's wish for a product.
    pub(super) fn unwant(&self, product: &ProductId) {
        let mut state = self.shared.state.lock();
        if let Some(clients) = state.wanted.get_mut(product) {
            *clients = clients.saturating_sub(1);
            if *clients == 0 {
                state.wanted.remove(product);
            }
        }
    }

    /// Gives a round that has not begun yet, and sees to it that it begins soon.
    pub(super) fn next_round(&self) -> Round {
        let mut state = self.shared.state.lock();
        state.awaited = state.begun + 1;
        let round = Round(state.awaited);
        drop(state);
        self.shared.changed.notify_all();
        round
    }

    /// Tells whether a round is done. If it is, gives the number of the chunk that comes next, and the newest records of some products up to there.
    pub(super) fn after<'p>(&self, round: Round, products: impl Iterator<Item = &'p ProductId>) -> Option<(u64, Vec<Newest>)> {
        let state = self.shared.state.lock();
        let newest = |product: &ProductId| state.newest.get(product).cloned().unwrap_or_default();
        (state.done >= round.0).then(|| (state.next, products.map(newest).collect()))
    }

    /// Gives the newest trades of some products, if `place` is the end of the log or the client has no place in it.
    pub(super) fn newest_at_end<'p>(
        &self,
        place: Option<u64>,
        products: impl Iterator<Item = &'p ProductId>,
    ) -> Option<Vec<Option<Trade>>> {
        let state = self.shared.state.lock();
        let newest = |product: &ProductId| state.newest.get(product).and_then(|newest| newest.trade.as_ref().map(|(_, trade)| *trade));
        place.is_none_or(|place| state.next == place).then(|| products.map(newest).collect())
    }

    /// Finds the chunks from this number on.
    pub(super) fn find(&self, number: u64) -> Found {
        let state = self.shared.state.lock();
        let first = state.next - state.chunks.len() as u64;
        match number.checked_sub(first) {
            None => Found::Lost,
            Some(at) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                let found: Vec<Arc<Chunk>> = state.chunks.iter().skip(at).take(MAX_FOUND).map(Arc::clone).collect();
                if found.is_empty() { Found::Nothing } else { Found::Chunks(found) }
            }
        }
    }

    /// Tells why a product cannot be followed any more, if it cannot.
    pub(super) fn failure(&self, product: &ProductId) -> Option<String> {
        self.shared.state.lock().failures.get(product).cloned()
    }

    /// Tells whether any product cannot be followed.
    pub(super) fn has_failures(&self) -> bool {
        !self.shared.state.lock().failures.is_empty()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.shared.state.lock().is_over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

/// Looks for what was committed until it is over.
fn run(shared: &Shared, tape: &Tape) {
    let (mut followers, mut turns) = (Followers::new(tape), Turns::new(Instant::now()));
    loop {
        let wanted: BTreeSet<ProductId> = {
            let mut state = shared.state.lock();
            if state.is_over {
                return;
            }
            state.begun += 1;
            state.wanted.keys().cloned().collect()
        };
        let start = processor_time();
        let round = followers.look(&wanted);
        let took = processor_time().saturating_sub(start);
        let mut state = shared.state.lock();
        state.newest.extend(round.newest);
        state.failures = round.failures;
        // What a round has left to the next one is not in the log yet.
        if !round.has_more {
            state.done = state.begun;
        }
        let has_news = !round.chunk.records.is_empty();
        if has_news {
            push(&mut state, round.chunk);
        }
        let is_urgent = state.awaited >= state.done || !state.failures.is_empty();
        if has_news || is_urgent {
            turns.add_news();
        }
        let groups = if is_urgent { turns.take_all() } else { turns.take(state.clients, Instant::now()) };
        let given = state.replace_signals(&groups);
        // Those that are woken need the lock.
        MutexGuard::unlocked(&mut state, || given.iter().for_each(|signal| signal.wake()));
        if state.is_over {
            return;
        }
        // A round that somebody waits for begins at once.
        if state.awaited > state.begun {
            continue;
        }
        if state.wanted.is_empty() {
            shared.changed.wait(&mut state);
        } else if !round.has_more {
            let pause = (took * PAUSE_PER_ROUND).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            shared.changed.wait_for(&mut state, pause);
        }
    }
}

/// Gives how long this thread has used a processor: a look takes no longer because others are busy.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl State {
    /// Takes the signals of some groups, which are to be given, and puts others in their place. Where there is no descriptor for one, its clients look by
    /// themselves, some tenths of a second later.
    fn replace_signals(&mut self, groups: &[usize]) -> Vec<Arc<Wake>> {
        let mut taken = Vec::new();
        for group in groups {
            if let Some(signal) = self.signals.get_mut(*group)
                && let Ok(next) = Wake::new()
            {
                taken.push(std::mem::replace(signal, Arc::new(next)));
            }
        }
        taken
    }
}

fn push(state: &mut State, chunk: Chunk) {
    let size = |chunk: &Chunk| chunk.exchange.len() + chunk.advanced.len() + chunk.records.len() * size_of::<Told>();
    state.bytes += size(&chunk);
    state.chunks.push_back(Arc::new(chunk));
    state.next += 1;
    while state.bytes > MAX_LOG_BYTES && state.chunks.len() > 1 {
        let Some(oldest) = state.chunks.pop_front() else { break };
        state.bytes = state.bytes.saturating_sub(size(&oldest));
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Row;
    use super::*;
    use crate::schema::{Layout, Trades};
    use crate::store::{DataDir, Day, InsertError, StoreOptions};
    use crate::time::{UnixNanos, UtcDay};

    const DATE: UtcDay = UtcDay(20_246);

    fn commit(day: &mut Day<Trades>, ids: std::ops::RangeInclusive<u64>) {
        for id in ids {
            let trade = Trade { trade_id: id, time: UnixNanos(DATE.start().0 + id), ..Trades::EMPTY };
            while let Err(error) = day.insert(&trade) {
                assert!(matches!(error, InsertError::NoRoom), "{error}");
                day.files().provision().expect("room");
            }
        }
        day.commit();
    }

    /// Waits for a round that begins now. Gives the number of the chunk that comes next, and the newest trade id.
    fn after_a_round(live: &Live, product: &ProductId) -> (u64, Option<u64>) {
        let (round, since) = (live.next_round(), Instant::now());
        loop {
            if let Some((next, newest)) = live.after(round, std::iter::once(product)) {
                return (next, newest.first().and_then(|newest| newest.trade.as_ref().map(|(_, trade)| trade.trade_id)));
            }
            assert!(since.elapsed() < Duration::from_secs(60), "the round is never done");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_round_is_done_when_all_that_was_committed_before_it_is_in_the_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = Arc::new(DataDir::open(folder.path(), StoreOptions::default(), "test").expect("a directory"));
        let product = ProductId::new("BTC-USD").expect("a product");
        let (mut day, _) = Day::<Trades>::open(&data, &product, DATE, DATE.start()).expect("a day");
        commit(&mut day, 1..=1);
        let live = Live::new(&Tape::open(folder.path()).expect("a tape"));
        live.join().expect("a thread");
        live.want(&product);
        let (since, newest) = after_a_round(&live, &product);
        assert_eq!(newest, Some(1));
        // More than three rounds take.
        commit(&mut day, 2..=15_000);
        let (next, newest) = after_a_round(&live, &product);
        assert_eq!(newest, Some(15_000));
        let mut ids = Vec::new();
        for number in since..next {
            let Found::Chunks(chunks) = live.find(number) else { panic!("chunk {number} is gone") };
            assert!(chunks.len() as u64 == (next - number).min(MAX_FOUND as u64), "those from {number} on");
            let chunk = chunks.first().expect("a chunk");
            ids.extend(chunk.records.iter().filter_map(|told| match told.stored.row {
                Row::Trade(trade) => Some(trade.trade_id),
                Row::Ticker(_) => None,
            }));
        }
        assert!(ids.iter().copied().eq(2..=15_000), "{} trades", ids.len());
    }
}
