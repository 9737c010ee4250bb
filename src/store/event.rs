//! [`Event`]: every event that a journal can hold, with its typed fields. Its table is the one home of their names: those who write and those who read
//! a journal share it.
//!
//! 1. A line is a JSON object: `time` (RFC 3339, UTC) first, `event` second, then the fields in the order of the table.
//! 2. The names of events and fields are part of the format. Adding an event or an optional field is one line here; renaming one breaks old journals.
//! 3. Two events may share a name and differ in their fields. A line is then the first of them in the table whose fields it has.
//! 4. Reading passes over fields and events that it does not know, and never guesses a field that is missing.

mod field;
mod mention;
mod table;

use std::borrow::Cow;

use field::{Field, Fields, LineText, Missing};
use table::events;

use super::place::DayKey;
use super::recovery::Opening;
use crate::ids::IdRange;
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::time::{Timestamp, UnixNanos, UtcDay, parse_rfc3339};

pub(crate) use field::GapFiller;
pub use field::SumCheck;
pub(crate) use mention::Mention;

/// Text that is the same for many events, or that was read.
type Text = Cow<'static, str>;

events! {
    // A capture's life.
    CaptureStarted "capture_started", "a capture began." {
        endpoint: String, "The feed and its URL.";
        products: u64, "How many products were asked for.";
        version: Text, "The version of the program.";
    };
    CaptureStopped "capture_stopped", "a capture ended in order." {
        frames: u64, "Frames received.";
        trades_received: u64, "Trades received from the feed.";
        trades_fetched: u64, "Trades received from REST.";
        trades_written: u64, "Trades appended.";
        trades_late: u64, "Trades kept as late records.";
        trades_duplicate: u64, "Trades that were stored already.";
        trades_conflict: u64, "Trades that were stored with other fields.";
        trades_shed: u64, "Trades given up because a queue was full.";
        trades_rejected: u64, "Trades that could not be used.";
        sums: SumCheck, "Whether what was received is the sum of what became of it.";
        failure: String, "Why the capture failed; empty where it did not.";
    };
    WriterRestarted "writer_restarted", "a product's writer panicked and was started again." {
        product: ProductId, "The product.";
    };
    ClockOff "clock_off", "the box's clock was found to be off, or right again. Records keep the time of receipt that it showed." {
        off_s: u64, "By how many seconds; 0 where it is right again.";
        is_behind: bool, "Whether it is behind the exchange's clock; otherwise it is ahead.";
    };
    LinesLost "lines_lost", "lines of the journal, of rejects or of exact texts were not written." {
        lines: u64, "How many since the start of the capture.";
    };
    Capped "capped", "the day's file reached its limit." {
        excess: u64, "Lines that were left out.";
    };

    // Connections.
    Connected "connected", "a connection was opened." {
        line: String, "The name of the connection.";
    };
    ConnectFailed "connect_failed", "a connection could not be opened." {
        line: String, "The name of the connection.";
        error: String, "Why.";
    };
    ConnectionLost "connection_lost", "a connection ended, or was replaced." {
        line: String, "The name of the connection.";
        why: String, "Why.";
    };
    ConnectionProven "connection_proven", "a connection delivers: the first usable frame after an acknowledgement." {
        line: String, "The name of the connection.";
    };
    ConnectionSilent "connection_silent", "a connection said nothing for too long." {
        line: String, "The name of the connection.";
    };
    SessionEnded "session_ended", "the life of a connection is over." {
        line: String, "The name of the connection.";
        lived_s: u64, "How long it lived, in seconds.";
    };
    Subscribing "subscribing", "a connection asked for products." {
        line: String, "The name of the connection.";
        products: u64, "How many.";
    };
    Subscribed "subscribed", "the exchange acknowledged products." {
        line: String, "The name of the connection.";
        products: u64, "How many are acknowledged.";
        wanted: u64, "How many were asked for.";
    };
    NothingAcknowledged "nothing_acknowledged", "the exchange acknowledged no product in time." {
        line: String, "The name of the connection.";
    };
    ExchangeError "exchange_error", "the exchange sent an error message." {
        line: String, "The name of the connection.";
        message: String, "Its message.";
        reason: String, "Its reason.";
    };
    SequenceGap "sequence_hole", "messages of a connection are missing." {
        line: String, "The name of the connection.";
        expected: u64, "The sequence number that should have come.";
        got: u64, "The one that came.";
    };

    // Products.
    ProductAdded "product_added", "a product is captured from now on." {
        product: ProductId, "The product.";
    };
    ProductRemoved "product_removed", "a product is not captured any more." {
        product: ProductId, "The product.";
    };
    ProductUnasked "product_unasked", "a product arrives that nobody asked for." {
        product: ProductId, "The product.";
    };
    ProductRefused "product_refused", "the exchange refused a product." {
        line: String, "The name of the connection.";
        product: ProductId, "The product.";
        why: String, "The exchange's reason.";
        again_in_s: u64, "Seconds until it is asked for again.";
    };
    ProductDropped "product_dropped", "a product vanished from the exchange's list of subscriptions and is asked for again." {
        line: String, "The name of the connection.";
        product: ProductId, "The product.";
    };
    ProductsFetched "products_fetched", "REST said what the products are." {
        changed: u64, "Products that are new or have changed.";
        source: String, "The REST endpoint.";
    };
    ProductsUnknown "products_unknown", "REST did not say what the products are." {
        source: String, "The REST endpoint.";
        error: String, "Why.";
    };

    // Trade ids and tickers.
    TradingBegan "trading_began", "the first trade that a product ever had is stored. Only id 1 is one: early versions wrote this of the lowest id that REST had." {
        product: ProductId, "The product.";
        first_id: u64, "Its trade id.";
    };
    RestRetention "rest_retention", "REST has no trade below an id, which is not the product's first: that is the limit of what it keeps." {
        product: ProductId, "The product.";
        lowest_id: u64, "The lowest trade id that it has.";
    };
    TradingEnded "trading_ended", "the last trade that a product ever had is known. No command writes this yet; `verify` takes it into account." {
        product: ProductId, "The product.";
        last_id: u64, "Its trade id.";
    };
    GapOpened "gap_opened", "trade ids are missing." {
        product: ProductId, "The product.";
        ids: IdRange, "The ids, in the line `from_id` and `to_id`, both included.";
        why: Text, "How that was found out.";
    };
    GapLeft "gap_left", "trades behind a gap are written: what fills it will be late." {
        product: ProductId, "The product.";
        ids: IdRange, "The ids, in the line `from_id` and `to_id`, both included.";
    };
    GapFilled "gap_filled", "missing trades have come." {
        product: ProductId, "The product.";
        ids: IdRange, "The ids, in the line `from_id` and `to_id`, both included.";
        by: GapFiller, "Where they came from.";
    };
    TradeDoubted "trade_doubted", "a trade id is implausible and waits to be confirmed." {
        product: ProductId, "The product.";
        trade_id: u64, "The id.";
    };
    DoubtRefuted "doubt_refuted", "a doubted message was not confirmed; it is counted as rejected and kept with the rejects." {
        product: ProductId, "The product.";
        key: u64, "Its trade id, or of a ticker its sequence.";
        why: Text, "`contradicted`, `unconfirmed`, or `stopped` where the capture ended before anything settled it.";
    };
    SeriesRestarted "series_restarted", "trade ids began anew: from here on the product is stored as another series." {
        product: ProductId, "The product, as the exchange spells it.";
        before: ProductId, "The series that ended, as its folder is called.";
        series: ProductId, "The series that began, as its folder is called.";
        last_id: u64, "The highest trade id of the series that ended.";
        first_id: u64, "The first trade id of the series that began.";
    };
    SequenceRestarted "sequence_restarted", "the sequence of a product's tickers began anew, and they are stored in the same place." {
        product: ProductId, "The product, as its folder is called.";
        date: UtcDay, "The day of the first ticker of the new sequence.";
        last_sequence: u64, "The last sequence before.";
        first_sequence: u64, "The first sequence after.";
    };
    Conflict "conflict", "a trade came again with other fields; the first is kept." {
        product: ProductId, "The product.";
        trade_id: u64, "The id.";
        stored: Option<String>, "The stored trade, as text.";
        sent: Option<String>, "The other trade, as text.";
        by: Option<String>, "The tape that has the other trade, or `REST`; a capture's connections where it is missing.";
        columns: Option<String>, "The columns that differ, with commas between them.";
        text: Option<String>, "The difference in words.";
        raw: Option<String>, "The frame with the other trade.";
    };
    TickerSeam "ticker_seam", "another line supplies a product's tickers." {
        product: ProductId, "The product.";
        to_line: u64, "The number of the line.";
    };
    ShedStarted "shed_started", "a product's queue is full, and messages are given up." {
        product: ProductId, "The product.";
    };
    ShedEnded "shed_ended", "no more messages are given up." {
        product: ProductId, "The product.";
        first_trade_id: u64, "The first trade given up; 0 where there is none.";
        last_trade_id: u64, "The last trade given up; 0 where there is none.";
        trades: u64, "Trades given up.";
        tickers: u64, "Tickers given up.";
    };

    // Files.
    DayOpened "day_opened", "a dataset-day was opened for writing." {
        day: DayKey, "Which, in the line `product`, `dataset` and `date`.";
        opening: Opening, "What was found there, in the line `how` and what belongs to it.";
    };
    DayFilesGone "day_files_gone", "files of a dataset-day were removed or replaced while it was being written." {
        day: DayKey, "Which, in the line `product`, `dataset` and `date`.";
    };
    DayRestored "day_restored", "a dataset-day whose files were removed or replaced was stored again." {
        day: DayKey, "Which, in the line `product`, `dataset` and `date`.";
        records: u64, "Records that it holds, late ones included.";
        moved_to: Option<String>, "Where the files are now that lay in their place, where there were any.";
    };
    FileDisturbed "file_disturbed", "somebody did something to one of the files in `_coltape` while it was being written; the capture goes on in a whole one." {
        file: String, "Its name.";
        what: Text, "What was done.";
    };
    DaySealed "day_sealed", "a dataset-day was sealed." {
        day: DayKey, "Which, in the line `product`, `dataset` and `date`.";
        records: u64, "Records that it holds.";
        late_merged: u64, "Late records among them that were put in their place.";
        generation: u64, "How often its files have been replaced.";
    };
    DayBrought "day_brought", "`repair` took a whole dataset-day from another tape." {
        day: DayKey, "Which, in the line `product`, `dataset` and `date`.";
        records: u64, "Records that it holds.";
        from: String, "The folder of the other tape.";
    };
    ArchiveStarted "archive_started", "`archive` or `restore` holds the directory: no capture is running." {
        archive: String, "The folder of the archive; empty where there are several.";
    };
    DayArchived "day_archived", "a dataset-day was moved into an archive: its files are removed here." {
        day: DayKey, "Which, in the line `product`, `dataset` and `date`.";
        records: u64, "Records that it holds.";
        archive: String, "The folder of the archive.";
    };
    DayReturned "day_returned", "`restore` brought a dataset-day back from an archive." {
        day: DayKey, "Which, in the line `product`, `dataset` and `date`.";
        records: u64, "Records that it holds.";
        archive: String, "The folder of the archive.";
    };
    SealFailed "seal_failed", "a dataset-day could not be sealed." {
        day: DayKey, "Which, in the line `product`, `dataset` and `date`.";
        error: String, "Why.";
    };
    AllocationFailed "allocation_failed", "a dataset-day could not be given more room." {
        day: DayKey, "Which, in the line `product`, `dataset` and `date`.";
        error: String, "Why.";
    };
    AllocationRecovered "allocation_recovered", "a dataset-day has room again." {
        day: DayKey, "Which, in the line `product`, `dataset` and `date`.";
    };
    WriteFailed "write_failed", "records of a product could not be written, or what is stored could not be read." {
        product: ProductId, "The product.";
        dataset: Option<Dataset>, "The dataset, where it is about one day.";
        date: Option<UtcDay>, "The day, where it is about one.";
        error: String, "Why.";
    };
    SyncFailed "sync_failed", "a flush failed for good, and the capture ends." {
        error: String, "Why.";
    };
    FlushRecovered "flush_recovered", "a flush failed; what it may have lost was stored again and is on disk.";

    // REST and repairs.
    BackfillFailed "backfill_failed", "REST could not be asked for missing trades." {
        product: ProductId, "The product.";
        ids: IdRange, "The ids, in the line `from_id` and `to_id`, both included.";
        failures: Option<u64>, "How often in a row, where a capture asked.";
        error: String, "Why.";
    };
    BackfillEmpty "backfill_lacks", "REST does not have missing trades." {
        product: ProductId, "The product.";
        ids: IdRange, "The ids, in the line `from_id` and `to_id`, both included.";
        attempts: u64, "How often it was asked.";
    };
    BackfillStarted "backfill_started", "`backfill` holds the directory: no capture is running." {
        product: ProductId, "The product.";
        from: UnixNanos, "The first event time asked for.";
        to: Option<UnixNanos>, "The event time to stop before, where one was given.";
    };
    Backfilled "backfilled", "`backfill` has ended." {
        product: ProductId, "The product.";
        from_rest: u64, "Trades that REST supplied.";
        missing: u64, "Ids still missing.";
        disagreements: u64, "Trades that REST has with other fields.";
    };
    RepairStarted "repair_started", "`repair` holds the directory: no capture is running." {
        from: String, "The other tapes, with commas between them.";
        rest: bool, "Whether REST is asked.";
    };
    RepairAsked "repair_asked", "`repair` asked the running capture." {
        from: String, "The other tapes, with commas between them.";
        rest: bool, "Whether REST is asked.";
    };
    Repaired "repaired", "`repair` has ended for a product." {
        product: ProductId, "The product.";
        from_tapes: u64, "Trades that other tapes supplied.";
        from_rest: u64, "Trades that REST supplied.";
        completed: u64, "Trades that were given their order ids.";
        disagreements: u64, "Trades that others have with other fields.";
        missing: u64, "Ids still missing.";
    };
    RepairAnswered "repaired", "a running capture has done what `repair` asked." {
        whole: bool, "Whether nothing is missing any more.";
    };

    // Alerts.
    AlertRaised "alert_raised", "an alert began." {
        alert: Text, "Its name.";
        subject: String, "The product or connection; empty where it is the whole capture.";
        text: String, "The figure, for people.";
    };
    AlertCleared "alert_cleared", "an alert ended." {
        alert: Text, "Its name.";
        subject: String, "The product or connection; empty where it is the whole capture.";
        text: String, "The figure at its beginning, for people.";
    };

    // The files beside the journal.
    Reject "reject", "a message that could not be used, in the file of rejects." {
        reason: Text, "Why.";
        raw: String, "The message, cut where it is long.";
    };
    Exact "exact", "a decimal text that no f64 gives back, in the file of exact texts." {
        product: ProductId, "The product.";
        column: Text, "The column.";
        key: u64, "The record: its trade id, a ticker's sequence, or the receive time of a ticker without one.";
        text: String, "The text as it came.";
    };
    Product "product", "what a product is, in `products.jsonl`." {
        product: ProductId, "The product.";
        base_currency: String, "The currency that is traded.";
        quote_currency: String, "The currency of the price.";
        base_increment: String, "The smallest step of a size.";
        quote_increment: String, "The smallest step of a price.";
        min_market_funds: String, "The least that a market order may be worth.";
        status: String, "The exchange's status.";
        alias: String, "The product that it is another name of; empty where it is none.";
        trading_disabled: bool, "Whether trading is disabled.";
        source: String, "The REST endpoint that said so.";
    };
    ProductUnknown "product", "a product that the exchange does not list, in `products.jsonl`." {
        product: ProductId, "The product.";
        status: Text, "The words for that.";
    };
}

impl Event {
    /// Gives the line of the event at `time`, without a line feed.
    #[must_use]
    pub fn line(&self, time: UnixNanos) -> String {
        let mut line = LineText::new(time, self.name());
        self.write_fields(&mut line);
        line.end()
    }
}

/// A journal line that was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// When it was written, by the clock of the machine that wrote it.
    pub time: UnixNanos,
    /// What happened. `None` where this version does not know the event, or cannot read one of its fields.
    pub event: Option<Event>,
    /// The product that the line names, also where the event is not known.
    pub product: Option<ProductId>,
    /// What is wrong with it: a field that its event must have is missing, or has something else in it.
    pub fault: Option<LineError>,
}

impl Line {
    /// Makes a line of an event.
    #[cfg(test)]
    pub(crate) fn of(time: UnixNanos, event: Event) -> Self {
        Self { time, product: event.product().cloned(), event: Some(event), fault: None }
    }
}

/// Why a line of a journal, or its event, cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LineError {
    /// It is not JSON, or not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// It says not when, or not what.
    #[error("no valid {0}")]
    Head(&'static str),
    /// A field of its event is missing, or has something else in it.
    #[error("{event} without a valid {field}")]
    Field {
        /// The event.
        event: String,
        /// The field.
        field: &'static str,
    },
}

impl Line {
    /// Reads a line, as [`Event::line`] gives it. A line whose event cannot be read says when it was written all the same: somebody was there to write it.
    ///
    /// # Errors
    /// Where it is not a line of a journal at all.
    pub(crate) fn parse(line: impl Into<Vec<u8>>) -> Result<Self, LineError> {
        let mut line = line.into();
        let fields = Fields::parse(&mut line).ok_or(LineError::NotAnObject)?;
        let time = Field::read("time", &fields).map_err(|Missing(field)| LineError::Head(field))?;
        let name = fields.text("event").ok_or(LineError::Head("event"))?;
        let (event, fault) = match Event::read(name, &fields) {
            Ok(event) => (event, None),
            Err(Missing(field)) => (None, Some(LineError::Field { event: name.to_owned(), field })),
        };
        Ok(Self { time, event, product: Field::read("product", &fields).ok(), fault })
    }

    /// Reads the time of a line whose end is lost; nothing where that is lost, too.
    #[must_use]
    pub(crate) fn time_of_a_part(line: &[u8]) -> Option<UnixNanos> {
        let rest = line.strip_prefix(br#"{"time":""#)?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        parse_rfc3339(rest.get(..end)?).ok().and_then(Timestamp::to_unix)
    }
}

#[cfg(test)]
#[path = "event/tests.rs"]
mod tests;
