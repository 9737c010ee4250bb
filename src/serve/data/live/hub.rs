//! [`Hub`]: the newest events of a product, for all clients that want them live.
//!
//! The newest events are kept, bounded in bytes, and the ids of many more in the order in which they came. So a client that was cut off and comes back is
//! told exactly what it has missed, late records included.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::event::{EventId, put_event};
use crate::export::stream::{BATCH_RECORDS, Lines};
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::serve::turns::GROUPS;
use crate::time::UtcDay;

/// Most bytes of events that are kept.
const MAX_BYTES: usize = 8 << 20;
/// Most ids that are kept: 8 MiB.
const MAX_IDS: usize = 1 << 19;
/// Bytes of events that a client takes at once, and at most one batch more.
const TAKE_BYTES: usize = 256 << 10;
/// Events that were made at one look.
#[derive(Debug)]
pub(in crate::serve::data) struct Batch {
    first: u64,
    ids: Vec<EventId>,
    text: Vec<u8>,
    /// Where each event ends in the text.
    ends: Vec<usize>,
    found: Instant,
}

impl Batch {
    fn new(first: u64, lines: &Lines) -> Self {
        let mut batch = Self { first, ids: Vec::new(), text: Vec::new(), ends: Vec::new(), found: Instant::now() };
        for (line, (id, received)) in lines.text.split_inclusive(|byte| *byte == b'\n').zip(lines.ids.iter().zip(&lines.received)) {
            let id = EventId::of(*id, *received);
            put_event(&mut batch.text, id, line);
            batch.ids.push(id);
            batch.ends.push(batch.text.len());
        }
        batch
    }

    /// Gives the number of the event behind its last one.
    pub(super) fn end(&self) -> u64 {
        self.first + self.ids.len() as u64
    }

    /// Gives how long ago its records were found.
    pub(super) fn age(&self) -> Duration {
        self.found.elapsed()
    }

    fn start_of(&self, at: usize) -> usize {
        at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0)
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX)
    }

    /// Gives the text of the events from a number on.
    pub(super) fn from(&self, number: u64) -> &[u8] {
        self.text.get(self.start_of(self.place(number))..).unwrap_or_default()
    }

    /// Gives the events from a number on, one by one.
    pub(super) fn events_from(&self, number: u64) -> impl Iterator<Item = (EventId, &[u8])> {
        let events = self.ids.iter().zip(&self.ends).enumerate().skip(self.place(number));
        events.map(|(at, (id, end))| (*id, self.text.get(self.start_of(at)..*end).unwrap_or_default()))
    }
}

/// What a client takes.
pub(super) enum Taken {
    /// Batches of events that follow each other. The next one is in the first of them.
    Events(Vec<Arc<Batch>>),
    /// None has come.
    Nothing,
    /// The next events are not kept any more; these are the ids of them.
    Passed(Vec<EventId>),
    /// There will be none.
    Ended(String),
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// Ids in the order in which their records came.
    ids: VecDeque<EventId>,
    /// The number of the event that comes next.
    next: u64,
    /// What was given of each day: records of its columns, and late ones.
    given: Vec<(UtcDay, usize, usize)>,
    /// The number of the event that came next then. Behind it are events of a day of which more are still being made.
    given_next: u64,
    ended: Option<String>,
}

impl State {
    fn add(&mut self, batch: Batch) {
        self.next = batch.end();
        self.bytes += batch.text.len();
        self.ids.extend(&batch.ids);
        self.batches.push_back(Arc::new(batch));
        while self.bytes > MAX_BYTES && self.batches.len() > 1 {
            self.bytes -= self.batches.pop_front().map_or(0, |batch| batch.text.len());
        }
        let excess = self.ids.len().saturating_sub(MAX_IDS);
        self.ids.drain(..excess);
    }

    /// Gives the number of the first event whose id is kept.
    fn first_id(&self) -> u64 {
        self.next - self.ids.len() as u64
    }

    fn batches_from(&self, at: usize) -> Vec<Arc<Batch>> {
        let mut bytes = 0;
        let is_taken = |batch: &&Arc<Batch>| {
            let is_taken = bytes < TAKE_BYTES;
            bytes += batch.text.len();
            is_taken
        };
        self.batches.range(at..).take_while(is_taken).map(Arc::clone).collect()
    }

    fn take(&self, number: u64) -> Taken {
        if number >= self.next {
            return self.ended.clone().map_or(Taken::Nothing, Taken::Ended);
        }
        let at = self.batches.partition_point(|batch| batch.end() <= number);
        match self.batches.get(at) {
            Some(batch) if batch.first <= number => Taken::Events(self.batches_from(at)),
            first => match number.checked_sub(self.first_id()).and_then(|skipped| usize::try_from(skipped).ok()) {
                Some(skipped) => {
                    let end = first.map_or(self.next, |batch| batch.first);
                    let count = usize::try_from(end - number).unwrap_or(usize::MAX).min(BATCH_RECORDS);
                    Taken::Passed(self.ids.iter().skip(skipped).take(count).copied().collect())
                }
                None => Taken::Ended("the client was too far behind".to_owned()),
            },
        }
    }
}

/// The events of a product.
#[derive(Debug)]
pub(super) struct Hub {
    product: ProductId,
    dataset: Dataset,
    state: Mutex<State>,
    /// What the clients of each group wait for.
    has_more: [Condvar; GROUPS],
    clients: AtomicUsize,
    joined: AtomicUsize,
}

/// A client of a hub, counted as long as this is kept.
#[derive(Debug)]
pub(super) struct Membership<'h> {
    hub: &'h Hub,
    group: usize,
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        self.hub.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Membership<'_> {
    /// Gives the events from a number on, or waits for them.
    pub(super) fn take(&self, number: u64, longest: Duration) -> Taken {
        let mut state = self.hub.state.lock();
        match (state.take(number), self.hub.has_more.get(self.group)) {
            (Taken::Nothing, Some(has_more)) => {
                has_more.wait_for(&mut state, longest);
                state.take(number)
            }
            (taken, _) => taken,
        }
    }
}

impl Hub {
    /// Begins without an event. `given` are the days that are followed, with the records of their columns and their late ones that there are already.
    pub(super) fn new(product: ProductId, dataset: Dataset, given: Vec<(UtcDay, usize, usize)>) -> Self {
        let state = Mutex::new(State { given, ..State::default() });
        Self { product, dataset, state, has_more: Default::default(), clients: AtomicUsize::new(0), joined: AtomicUsize::new(0) }
    }

    /// Adds a client.
    pub(super) fn join(&self) -> Membership<'_> {
        self.clients.fetch_add(1, Ordering::Relaxed);
        Membership { hub: self, group: self.joined.fetch_add(1, Ordering::Relaxed) % GROUPS }
    }

    /// Gives how many clients there are.
    pub(super) fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Adds events. `given` is what was given of their day with them. Clients are woken when their group is.
    pub(super) fn publish(&self, lines: &Lines, given: Option<(UtcDay, usize, usize)>) {
        let mut state = self.state.lock();
        let batch = Batch::new(state.next, lines);
        state.add(batch);
        if let Some(given) = given {
            state.given.retain(|(date, ..)| *date != given.0);
            state.given.push(given);
            state.given.sort();
            state.given_next = state.next;
        }
    }

    /// Says that there will be no more events.
    pub(super) fn end(&self, why: String) {
        self.state.lock().ended = Some(why);
        self.wake();
    }

    /// Wakes whoever waits for events.
    pub(super) fn wake(&self) {
        (0..GROUPS).for_each(|group| self.wake_group(group));
    }

    /// Wakes those of a group that wait for events.
    pub(super) fn wake_group(&self, group: usize) {
        if let Some(has_more) = self.has_more.get(group) {
            has_more.notify_all();
        }
    }

    /// Gives the product.
    pub(super) fn product(&self) -> &ProductId {
        &self.product
    }

    /// Gives the dataset.
    pub(super) fn dataset(&self) -> Dataset {
        self.dataset
    }

    /// Gives the number of the event that comes next.
    pub(super) fn next(&self) -> u64 {
        self.state.lock().next
    }

    /// Gives what was given of each day, and the number of the event that came next then.
    pub(super) fn given(&self) -> (u64, Vec<(UtcDay, usize, usize)>) {
        let state = self.state.lock();
        (state.given_next, state.given.clone())
    }

    /// Finds the event behind the last one with this id.
    pub(super) fn behind(&self, id: EventId) -> Option<u64> {
        let state = self.state.lock();
        let at = state.ids.iter().rposition(|known| *known == id)?;
        Some(state.first_id() + at as u64 + 1)
    }
}

/// Whose hub it is.
pub(super) type HubKey = (ProductId, Dataset);

/// The hubs of a server.
#[derive(Debug, Default)]
pub(crate) struct LiveHubs {
    hubs: Mutex<HashMap<HubKey, Arc<Hub>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    starting: Mutex<()>,
}

impl LiveHubs {
    /// Gives the hub of a product that is followed.
    pub(super) fn get(&self, key: &HubKey) -> Option<Arc<Hub>> {
        self.hubs.lock().get(key).filter(|hub| hub.state.lock().ended.is_none()).map(Arc::clone)
    }

    /// Adds a hub, and its thread.
    pub(super) fn add(&self, hub: &Arc<Hub>, thread: JoinHandle<()>) {
        let mut threads = self.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        self.hubs.lock().insert((hub.product.clone(), hub.dataset), Arc::clone(hub));
    }

    /// Lets one thread at a time start a hub.
    pub(super) fn starting(&self) -> MutexGuard<'_, ()> {
        self.starting.lock()
    }

    /// Takes a hub out.
    pub(super) fn remove(&self, hub: &Arc<Hub>) {
        self.hubs.lock().retain(|_, other| !Arc::ptr_eq(other, hub));
    }

    /// Takes a hub out that nobody uses but this list and its thread. Gives whether it was.
    #[must_use]
    pub(super) fn retire(&self, hub: &Arc<Hub>) -> bool {
        let mut hubs = self.hubs.lock();
        let is_unused = !hub_is_used(hub);
        if is_unused {
            hubs.retain(|_, other| !Arc::ptr_eq(other, hub));
        }
        is_unused
    }

    /// Waits until the threads have ended. The server stops.
    pub(in crate::serve) fn join(&self) {
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                log::error!("serve: a thread that follows the tape has panicked");
            }
        }
    }
}

/// Tells whether somebody uses a hub, beside the list and its thread.
pub(super) fn hub_is_used(hub: &Arc<Hub>) -> bool {
    Arc::strong_count(hub) > 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(ids: std::ops::Range<u64>) -> Lines {
        let text = ids.clone().flat_map(|id| format!("{{\"trade_id\":{id}}}\n").into_bytes()).collect();
        Lines { text, received: ids.clone().collect(), ids: ids.collect() }
    }

    #[test]
    fn what_was_given_of_the_days_and_the_next_event_belong_together() {
        let day = UtcDay(20_246);
        let hub = Hub::new(ProductId::new("BTC-USD").expect("a product"), Dataset::Md, vec![(day, 10, 0)]);
        assert_eq!(hub.given(), (0, vec![(day, 10, 0)]));
        // The first part of what a look has found.
        hub.publish(&lines(11..15), None);
        assert_eq!(hub.given(), (0, vec![(day, 10, 0)]), "whoever reads the day up to there goes on with the first event");
        hub.publish(&lines(15..21), Some((day, 20, 0)));
        assert_eq!(hub.given(), (10, vec![(day, 20, 0)]));
        assert_eq!(hub.next(), 10);
    }
}
