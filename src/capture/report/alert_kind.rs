//! [`AlertKind`]: the table of alerts, the one home of their names, causes and remedies. The help of `capture`, the log, the metrics and the command of
//! `--alert-command` read it; a test compares it with the table in the guide.

/// Declares the kinds of alerts: a row is the kind, its name in the journal, what it means, and what to do about it.
macro_rules! alert_kinds {
    ($( $kind:ident $name:literal $meaning:literal $remedy:literal; )+) => {
        /// What alerts are about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum AlertKind {
            $( #[doc = $meaning] $kind, )+
        }

        impl AlertKind {
            /// Every kind, in the order of the table.
            pub(crate) const ALL: &[Self] = &[$( Self::$kind, )+];

            /// Gives the name in the journal, the log and the metrics.
            #[must_use]
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $( Self::$kind => $name, )+
                }
            }

            /// Says what it means.
            #[must_use]
            pub(crate) const fn meaning(self) -> &'static str {
                match self {
                    $( Self::$kind => $meaning, )+
                }
            }

            /// Says what to do about it.
            #[must_use]
            pub(crate) const fn remedy(self) -> &'static str {
                match self {
                    $( Self::$kind => $remedy, )+
                }
            }
        }
    };
}

alert_kinds! {
    QueueFilling "queue_above_80_percent"
        "a product's queue is more than 80 % full"
        "look whether the disk is slow or full (`coltape status`); record fewer products on this box, or use a faster disk";
    NeverConnected "never_connected"
        "a connection has not delivered anything since its start: 30 s without an acknowledged subscription"
        "the text names the cause: correct --url, --feed, --proxy or the names of the products, or let the box reach the exchange";
    ConnectionLost "connection_lost"
        "a connection that delivered has been down for more than 10 s"
        "nothing if it comes back, as what passed is fetched; else look at the network of the box and at the exchange's status page. `--lines 2` helps if it is often";
    ProductRefused "product_refused"
        "the exchange has refused a product for 30 s"
        "correct its name, or take it off the list if it is delisted; the others are recorded";
    ProductUnacknowledged "product_unacknowledged"
        "the exchange has not acknowledged a product for 30 s, although the connections work"
        "look at the exchange's status page; take the product off the list if it is gone; the others are recorded";
    ProductSilent "product_silent"
        "a busy product has sent nothing for unusually long: more than 60 s, and 30 times as long as between two of its messages usually"
        "look whether the exchange has halted the product; if others are silent too, look at the network";
    WriteFailure "write_failure"
        "a write, an allocation or a flush failed"
        "the text names path and reason: free space, or replace the disk; what was shed is fetched afterwards";
    DiskLow "disk_below_a_day"
        "the disk has less room than a day needs at the pace of this run"
        "free space, move old days away (`coltape archive`), or record fewer products";
    Memory "memory_above_2_gb"
        "anonymous, locked and dirty mapped memory is above 2 GB, although what was written has been flushed"
        "record fewer products or connections on this box; if it goes on growing, restart the capture and report it";
    BoxMemory "box_memory_low"
        "the box has less than 5 % of its memory left, although the page cache of what was written has been given back"
        "find what uses the memory of the box (`ps --sort -rss`), and stop it or move it to another box";
    Lag "lag_above_1_s"
        "a record was committed more than 1 s after it was read"
        "look whether the disk or the processors are busy; record fewer products on this box, or use a faster disk";
    GapOpen "gap_open"
        "trade ids have been missing for more than a minute"
        "see whether `rest_failing` stands; else `coltape repair DIR --from OTHER` takes them from another box. Ids that nobody has stay missing";
    RestFailing "rest_failing"
        "missing trades wait because no request to REST has succeeded for 10 s"
        "nothing if it comes back; else look at the network, at --rest-url and --proxy, and whether other programs of this address use up its requests";
    RejectsRising "rejects_rising"
        "10 messages or more within 10 s could not be used"
        "look at `_coltape/rejects.*.jsonl`: if the exchange has changed its messages, a newer version of coltape is needed";
    Conflict "conflict"
        "a trade came again with other fields; the first is kept"
        "the journal has both texts; `coltape verify` shows them. Ask the exchange which one holds";
    ClockOff "clock_off"
        "the box's clock is off by 30 s or more, as all messages say"
        "set the clock: `timedatectl set-ntp true`, or look at chrony; trades are kept, receive times are wrong meanwhile";
}

impl AlertKind {
    /// Gives the place in the table.
    #[must_use]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_a_cause_and_a_remedy() {
        let names: BTreeSet<&str> = AlertKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), AlertKind::ALL.len());
        for (at, kind) in AlertKind::ALL.iter().enumerate() {
            assert_eq!(kind.index(), at);
            assert!(!kind.meaning().is_empty() && !kind.remedy().is_empty() && !kind.remedy().ends_with('.'), "{kind:?}");
        }
    }

    /// The guide has a row for each kind, in the order and the words of the table.
    #[test]
    fn the_guide_lists_every_kind_with_its_cause_and_remedy() {
        let guide = include_str!("../../guide/operating.md");
        let rows: Vec<&str> = guide
            .lines()
            .skip_while(|line| !line.starts_with("| alert | what has happened"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .collect();
        let expected: Vec<String> =
            AlertKind::ALL.iter().map(|kind| format!("| `{}` | {} | {} |", kind.name(), kind.meaning(), kind.remedy())).collect();
        assert_eq!(rows, expected);
    }
}
