//! Following a product for its live clients: one thread for all of them.
//!
//! 1. It looks for new records every millisecond or two while some come, and every twenty while none do. It makes each into an event, once.
//! 2. Its clients are woken in turn ([`crate::serve::turns`]).
//! 3. It ends with the server, where the data directory has gone away, and where nobody has needed it for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hub::{Hub, hub_is_used};
use crate::export::stream::{BATCH_RECORDS, LineMaker, StreamError};
use crate::product::ProductId;
use crate::schema::{Dataset, Layout, with_layout};
use crate::serve::data::refusal::{Refusal, of_tape};
use crate::serve::server::Server;
use crate::serve::turns::Turns;
use crate::tape::follow::{Arrivals, Follow, MAX_DAYS};
use crate::tape::{Tape, TapeError};
use crate::time::{Clock, UtcDay};
use crate::time_range::TimeRange;

/// How long a product is followed without a client.
const IDLE: Duration = Duration::from_secs(600);
/// How often it is looked whether the data directory is there.
const LOOK_AT_DIRECTORY: Duration = Duration::from_secs(1);
/// The longest pause while clients wait for their turn.
const NEXT_TURN: Duration = Duration::from_millis(2);

/// Gives the events of a product, and begins to follow it where nobody does. What is committed from now on becomes an event.
///
/// # Errors
/// Where the product cannot be followed.
pub(super) fn hub(server: &Arc<Server>, tape: &Tape, product: &ProductId, dataset: Dataset) -> Result<Arc<Hub>, Refusal> {
    let _starting = server.live_hubs().starting();
    if let Some(hub) = server.live_hubs().get(&(product.clone(), dataset)) {
        return Ok(hub);
    }
    with_layout!(dataset, L => {
        let (follow, given) = following::<L>(tape, product).map_err(|error| of_tape(server, &error))?;
        let hub = Arc::new(Hub::new(product.clone(), dataset, given));
        let (of_thread, of_hub) = (Arc::clone(server), Arc::clone(&hub));
        let thread = std::thread::Builder::new().name(format!("live:{product}")).spawn(move || run(&of_thread, &of_hub, follow));
        let thread = thread.map_err(|error| Refusal::new(503, format!("there is no thread to follow the tape with: {error}"), "ask again"))?;
        server.live_hubs().add(&hub, thread);
        Ok(hub)
    })
}

/// A day, and how many records of its columns and late ones were given.
type Given = (UtcDay, usize, usize);

/// Begins to follow a product behind what is committed now.
fn following<L: Layout>(tape: &Tape, product: &ProductId) -> Result<(Follow<L>, Vec<Given>), TapeError> {
    let (mut follow, mut given) = (tape.follow::<L>(product, TimeRange::ALL), Vec::new());
    let dates = tape.days(product, L::DATASET)?;
    let old = dates.len().saturating_sub(MAX_DAYS);
    for (number, date) in dates.into_iter().enumerate() {
        if number < old {
            follow.pass_over(date);
        } else if let Some(day) = tape.day::<L>(product, date)? {
            given.push((date, day.base_count(), day.late().len()));
            follow.add_given(0, day);
        }
    }
    Ok((follow, given))
}

fn run<L: Layout>(server: &Arc<Server>, hub: &Arc<Hub>, mut follow: Follow<L>) {
    let mut lines = LineMaker::new(server.dir(), hub.product(), hub.dataset(), Clock::System.now().day());
    let (mut used, mut turns) = (Instant::now(), Turns::new(Instant::now()));
    let mut looked = Instant::now();
    while !server.stopping() {
        let mut found = follow.look(|arrivals| publish(hub, &mut lines, arrivals));
        if looked.elapsed() >= LOOK_AT_DIRECTORY {
            looked = Instant::now();
            // Where it has gone away, it would look to the clients as if nobody traded.
            found = found.and_then(|found| server.tape().map(|_| found).map_err(LookFailed::from));
        }
        match found {
            Ok(0) => {}
            Ok(_) => turns.add_news(),
            Err(error) => {
                log::warn!("serve: {} of {} cannot be followed: {error}", hub.dataset().folder(), hub.product());
                hub.end(error.to_string());
                return server.live_hubs().remove(hub);
            }
        }
        turns.take(hub.clients(), Instant::now()).into_iter().for_each(|group| hub.wake_group(group));
        if hub_is_used(hub) {
            used = Instant::now();
        } else if used.elapsed() > IDLE && server.live_hubs().retire(hub) {
            return;
        }
        let _ = server.wait(if turns.are_due() { follow.pause().min(NEXT_TURN) } else { follow.pause() });
    }
    hub.wake();
}

/// Why a look has failed.
#[derive(Debug, thiserror::Error)]
enum LookFailed {
    #[error(transparent)]
    Tape(#[from] TapeError),
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// Makes events of what has come.
fn publish<L: Layout>(hub: &Hub, lines: &mut LineMaker, arrivals: &Arrivals<'_, L>) -> Result<(), LookFailed> {
    // Their texts were written before they were committed.
    lines.refresh();
    let day = arrivals.day();
    let mut records = arrivals.records().peekable();
    while records.peek().is_some() {
        let made = lines.of_arrivals(day.columns(), records.by_ref().take(BATCH_RECORDS))?;
        if day.has_lost_pages() {
            day.check_lengths().map_err(TapeError::from)?;
        }
        let given = records.peek().is_none().then(|| (day.key().date, day.base_count(), day.late().len()));
        hub.publish(&made, given);
    }
    Ok(())
}
