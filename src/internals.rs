//! What the program's own tests, benches and `main` reach beyond the library. It is no part of the interface: names come and go with the code.

#![allow(missing_docs, reason = "each item is documented where it is defined")]

pub use crate::escape::Escaped;

pub mod cli {
    pub use crate::cli::main;
}
pub mod capture {
    pub use crate::capture::{CaptureConfig, run};
    pub mod stop {
        pub use crate::capture::stop::Stop;
    }
    pub mod write {
        pub mod queue {
            pub use crate::capture::write::queue::{Pulled, Pushed, QueueReceiver, QueueSender, capacity_within_budget, queue};
        }
        pub mod wakeup {
            pub use crate::capture::write::wakeup::Wakeup;
        }
    }
}
pub mod decimal {
    pub use crate::decimal::{Decimal, parse};
}
pub mod feed {
    pub use crate::feed::{Control, Decoder, Feed, FrameFate, Handler, Item, RejectReason};
    pub mod action {
        pub use crate::feed::action::{Action, SessionReport};
    }
    pub mod connector {
        pub use crate::feed::connector::{Connector, Resolver};
    }
    pub mod endpoint {
        pub use crate::feed::endpoint::Endpoint;
    }
    pub mod proxy {
        pub use crate::feed::proxy::{NoProxy, Proxies, Proxy};
    }
    pub mod rest {
        pub use crate::feed::rest::{Advice, ElementFault, InexactText, RestClient, RestError, TradePage, UnusableElement};
    }
    pub mod session {
        pub use crate::feed::session::{Session, SessionEvent};
    }
    pub mod session_config {
        pub use crate::feed::session_config::SessionConfig;
    }
    pub mod socket {
        pub use crate::feed::socket::{CLOSED_ABNORMALLY, MAX_FRAME_BYTES, MAX_MESSAGE_BYTES, Received, Socket};
    }
    pub mod socket_error {
        pub use crate::feed::socket_error::SocketError;
    }
    pub mod timeouts {
        pub use crate::feed::timeouts::Timeouts;
    }
    pub mod tls {
        pub use crate::feed::tls::TlsRoots;
    }
}
pub mod product {
    pub use crate::product::ProductId;
}
pub mod query {
    pub use crate::query::{Format, QueryConfig, QueryError, query, query_with_notes};
}
pub mod record {
    pub use crate::record::{Implausible, MarketMessage, Means, OrderId, Origin, RawPlace, Record, Side, Ticker, Trade};
}
pub mod repair {
    pub use crate::repair::{RepairConfig, RepairError, repair};
    pub mod report {
        pub use crate::repair::report::Report;
    }
}
pub mod schema {
    pub use crate::schema::*;
}
pub mod simulate {
    pub use crate::simulate::{Cut, Faults, Replay, SimulateConfig, SimulatedFeed, Simulation, Totals, products};
}
pub mod store {
    pub use crate::store::{
        BootId, DataDir, Day, DayFiles, DayState, FIRST_RECORDS, Fault, InsertError, Inserted, MAX_LEAD, OWN_FOLDER, Opening, ReadCosts,
        Restored, Run, Sealed, Snapshot, StoreError, StoreOptions, SyncError, SyncReport, Syncer, Trusted, gaps, holder_of,
        name_the_column_on_sigbus,
    };
    pub mod catalog {
        pub use crate::store::catalog::{days, last_key, newest_style, products};
    }
    pub mod event {
        pub use crate::store::event::{Event, SumCheck};
    }
    pub mod filesystem {
        pub use crate::store::filesystem::refuse_unsafe;
    }
    pub mod journal {
        pub use crate::store::journal::{EXACT_TEXTS, JOURNAL, JournalFile, read};
    }
    pub mod probe {
        pub use crate::store::probe::{Probe, Step, Verdict, Why};
    }
    pub mod request {
        pub use crate::store::request::{RepairAnswer, RepairRequest};
    }
    pub mod seal {
        pub use crate::store::seal::{SealOutcome, seal, seal_at_rest, unsealed};
    }
}
pub mod time {
    pub use crate::time::{Clock, DateFormat, TimeCache, Timestamp, UnixNanos, UtcDay, parse_rfc3339};
}
pub mod verify {
    pub use crate::verify::{FindingKind, Report, Verdict, VerifyConfig, verify, write_json, write_table};
}
