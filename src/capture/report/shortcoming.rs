//! [`Shortcoming`]: what a run has left undone, and the command that helps. A run without one has done its work.

use std::fmt;

use crate::capture::report::connection_state::ConnectionOutage;
use crate::capture::report::summary::{ProductSubscription, ProductSummary, Summary, Tally};
use crate::names::listed;
use crate::product::ProductId;

/// What a run has left undone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortcoming {
    /// No product was ever subscribed to, and nothing was received.
    NeverConnected {
        /// Why, as far as it is known.
        cause: String,
    },
    /// Some products were not subscribed to, although there was time for it and the exchange did not refuse them.
    NotSubscribed {
        /// The products.
        products: Vec<ProductId>,
        /// Why, as far as it is known.
        cause: String,
    },
    /// Something came, and nothing of it could be stored.
    NothingStored {
        /// Of what: a product's trades or tickers, or all frames.
        of: String,
        /// How many came.
        came: u64,
        /// What became of them.
        fate: String,
    },
    /// Trade ids are missing.
    Missing {
        /// How many of each product.
        ids: Vec<(ProductId, u64)>,
        /// The command that fetches them.
        command: String,
    },
    /// Trades came again with other fields.
    Conflicts {
        /// How many of each product.
        trades: Vec<(ProductId, u64)>,
        /// The command that shows them.
        command: String,
    },
    /// Messages whose ids, sequences or times were in doubt, and that nothing had confirmed or refuted at the end.
    Doubts {
        /// How many.
        messages: u64,
        /// The command that looks whether trades are missing.
        command: String,
    },
    /// Messages that are read differently by their shape and by the parser alone, as `--check-parse` has found.
    ParseDifferences {
        /// How many.
        messages: u64,
    },
    /// A connection did not work at the end, so what passed meanwhile is not known.
    Down(ConnectionOutage),
}

impl Shortcoming {
    /// Gives its name in the report.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NeverConnected { .. } => "never_connected",
            Self::NotSubscribed { .. } => "not_subscribed",
            Self::NothingStored { .. } => "nothing_stored",
            Self::Missing { .. } => "missing",
            Self::Conflicts { .. } => "conflicts",
            Self::Doubts { .. } => "doubts",
            Self::ParseDifferences { .. } => "parse_differences",
            Self::Down(_) => "down",
        }
    }
}

impl fmt::Display for Shortcoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverConnected { cause } => write!(f, "nothing was recorded: {cause}"),
            Self::NotSubscribed { products, cause } => {
                let names: Vec<&str> = products.iter().map(ProductId::as_str).collect();
                write!(f, "not recorded: {}: {cause}", listed(&names))
            }
            Self::NothingStored { of, came, fate } => {
                write!(f, "{came} {of} came and none could be stored: {fate}; the journal and the rejects in `_coltape` say why")
            }
            Self::Missing { ids, command } => {
                write!(f, "{} trade ids are missing ({}); `{command}` fetches them", total(ids), counted(ids))
            }
            Self::Conflicts { trades, command } => {
                write!(
                    f,
                    "{} trades came again with other fields, and the first of each is kept ({}); `{command}` shows them, the journal has their texts",
                    total(trades),
                    counted(trades)
                )
            }
            Self::Doubts { messages, command } => {
                write!(
                    f,
                    "{messages} messages in doubt are not stored, as nothing confirmed or refuted them before the end; \
                     `_coltape/rejects.*.jsonl` in the data directory has them, and `{command}` fetches the trades that are missing"
                )
            }
            Self::ParseDifferences { messages } => {
                write!(
                    f,
                    "{messages} messages are read differently by their shape and by the parser; the log has them. This is a fault of coltape"
                )
            }
            Self::Down(ConnectionOutage { connection, products, lasts, cause }) => {
                write!(
                    f,
                    "{connection} with {products} products did not deliver for the last {} s: {cause}; the next start fetches what passed",
                    lasts.as_secs()
                )
            }
        }
    }
}

impl Summary {
    /// Lists what the run has left undone, each with what helps.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<Shortcoming> {
        find(self)
    }

    /// Tells whether the capture has done its work: no failure, every day sealed, every sum holds, nothing left undone.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failure.is_none() && self.unsealed == 0 && self.balances() && self.shortcomings().is_empty()
    }
}

fn find(summary: &Summary) -> Vec<Shortcoming> {
    let mut found = Vec::new();
    let wanted: Vec<&ProductSummary> = summary.products.iter().filter(|product| !product.subscription.is_unwanted()).collect();
    let has_subscribed = wanted.iter().any(|product| product.is_subscribed());
    let has_received = summary.products.iter().any(ProductSummary::has_received);
    if !wanted.is_empty() && !has_subscribed && !has_received {
        found.push(Shortcoming::NeverConnected { cause: cause_of_nothing(summary, &wanted) });
    } else {
        found.extend(not_subscribed(summary, &wanted));
        found.extend(summary.outages.iter().filter(|outage| outage.lasts >= summary.start_patience).cloned().map(Shortcoming::Down));
    }
    found.extend(nothing_stored(summary));
    let of = |count: fn(&ProductSummary) -> u64| -> Vec<(ProductId, u64)> {
        summary.products.iter().map(|product| (product.product.clone(), count(product))).filter(|(_, count)| *count > 0).collect()
    };
    let missing = of(|product| product.missing_ids);
    if !missing.is_empty() {
        found.push(Shortcoming::Missing { ids: missing, command: summary.repair_command.clone() });
    }
    if summary.totals.unsettled_doubts > 0 {
        let (messages, command) = (summary.totals.unsettled_doubts, summary.repair_command.clone());
        found.push(Shortcoming::Doubts { messages, command });
    }
    if summary.connections.parse_differences > 0 {
        found.push(Shortcoming::ParseDifferences { messages: summary.connections.parse_differences });
    }
    let conflicts = of(|product| product.trades.conflict);
    if !conflicts.is_empty() {
        found.push(Shortcoming::Conflicts { trades: conflicts, command: summary.verify_command.clone() });
    }
    found
}

/// Says why nothing was subscribed to: what the exchange said, else what the connections met.
fn cause_of_nothing(summary: &Summary, wanted: &[&ProductSummary]) -> String {
    let unknown = |product: &ProductSummary| product.advice.as_ref().map(|advice| format!("{} ({advice})", product.product));
    let refused: Vec<String> = wanted.iter().filter_map(|product| product.refusal().or_else(|| unknown(product))).collect();
    if !refused.is_empty() && refused.len() == wanted.len() {
        let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
        return format!("the exchange took up no product: {}", listed(&refused));
    }
    let outage = summary.outages.iter().max_by_key(|outage| outage.lasts);
    outage.map_or_else(
        || "the capture ended before anything was subscribed to".to_owned(),
        |outage| format!("{} never delivered: {}", summary.endpoint, outage.cause),
    )
}

fn not_subscribed(summary: &Summary, wanted: &[&ProductSummary]) -> Option<Shortcoming> {
    let is_late = |product: &&ProductSummary| matches!(product.subscription, ProductSubscription::Unanswered { waited } if waited >= summary.start_patience);
    let products: Vec<ProductId> =
        wanted.iter().filter(|product| is_late(product) && !product.has_received()).map(|product| product.product.clone()).collect();
    let cause = summary.outages.first().map_or("the exchange did not acknowledge them", |outage| outage.cause.as_str());
    (!products.is_empty()).then(|| Shortcoming::NotSubscribed { products, cause: cause.to_owned() })
}

fn nothing_stored(summary: &Summary) -> Vec<Shortcoming> {
    let mut found = Vec::new();
    let mut judge = |of: String, tally: Tally| {
        if tally.came() > 0 && tally.stored() == 0 {
            let fate = format!("{} rejected, {} shed, {} in conflict with others", tally.rejected, tally.shed, tally.conflict);
            found.push(Shortcoming::NothingStored { of, came: tally.came(), fate });
        }
    };
    for product in &summary.products {
        judge(format!("trades of {}", product.product), product.trades);
        judge(format!("tickers of {}", product.product), product.tickers);
    }
    // What could not be read belongs to no product. It counts where nothing else came.
    let unread = |count, others: Tally| Tally { received: count, rejected: count, written: others.came(), ..Tally::default() };
    judge("trades".to_owned(), unread(summary.connections.rejected_trades, summary.trades()));
    if summary.wants_tickers {
        judge("tickers".to_owned(), unread(summary.connections.rejected_tickers, summary.tickers()));
    }
    let (came, used) = (summary.connections.rejected, summary.connections.used);
    if found.is_empty() && came > 0 && used == 0 {
        found.push(Shortcoming::NothingStored { of: "frames".to_owned(), came, fate: "none could be read".to_owned() });
    }
    found
}

fn total(counts: &[(ProductId, u64)]) -> u64 {
    counts.iter().map(|(_, count)| count).sum()
}

/// Lists products with their counts, the largest first.
fn counted(counts: &[(ProductId, u64)]) -> String {
    let mut sorted: Vec<&(ProductId, u64)> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let texts: Vec<String> = sorted.into_iter().map(|(product, count)| format!("{product} {count}")).collect();
    listed(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::capture::report::metrics::{ConnectionTotals, Metrics};

    const PATIENCE: Duration = Duration::from_secs(30);

    fn product(at: usize) -> ProductSummary {
        ProductSummary {
            product: ProductId::new(&format!("P{at:02}-USD")).expect("a product"),
            trades: Tally { received: 10, fetched: 2, written: 9, late: 2, duplicate: 1, ..Tally::default() },
            tickers: Tally { received: 8, written: 5, late: 1, duplicate: 1, shed: 1, ..Tally::default() },
            gaps: 1,
            missing_ids: 0,
            doubts_left: 0,
            deepest_queue_msgs: 3,
            subscription: ProductSubscription::Acknowledged,
            advice: None,
        }
    }

    /// A run that has done its work, with everything in it that is no shortcoming: copies, late records, shed tickers, rejected frames, a quiet product,
    /// a refused one, one that was just added, one that is not wanted any more.
    fn good() -> Summary {
        let frames = ConnectionTotals {
            frames: 20,
            used: 15,
            rejected: 2,
            control: 3,
            rejected_trades: 1,
            rejected_tickers: 1,
            ..ConnectionTotals::default()
        };
        let mut summary = Summary::gather(&[], frames, &Metrics::default(), 1);
        (summary.repair_command, summary.verify_command) = ("coltape repair d".to_owned(), "coltape verify d".to_owned());
        let quiet =
            |subscription| move |at| ProductSummary { trades: Tally::default(), tickers: Tally::default(), subscription, ..product(at) };
        summary.products = (0..3).map(product).collect();
        summary.products.push(quiet(ProductSubscription::Acknowledged)(3));
        summary.products.push(quiet(ProductSubscription::Refused { why: "is delisted".to_owned() })(4));
        summary.products.push(quiet(ProductSubscription::Unanswered { waited: PATIENCE - Duration::from_millis(1) })(5));
        summary.products.push(quiet(ProductSubscription::Unwanted)(6));
        summary.outages.push(outage(PATIENCE - Duration::from_millis(1)));
        summary
    }

    fn outage(lasts: Duration) -> ConnectionOutage {
        ConnectionOutage { connection: "line:0.1".to_owned(), products: 7, lasts, cause: "connection refused".to_owned() }
    }

    /// Every way to leave something undone, with the name that it has to have and a word that has to be said.
    type Damage = (&'static str, &'static str, fn(&mut Summary));
    const DAMAGES: [Damage; 9] = [
        ("doubts", "2 messages in doubt", |summary| summary.totals.unsettled_doubts = 2),
        ("parse_differences", "2 messages are read differently", |summary| summary.connections.parse_differences = 2),
        ("missing", "`coltape repair d` fetches them", |summary| summary.products[1].missing_ids = 64),
        ("conflicts", "`coltape verify d` shows them", |summary| {
            let trades = &mut summary.products[2].trades;
            (trades.received, trades.conflict) = (trades.received + 1, 1);
        }),
        ("nothing_stored", "5 trades of P03-USD", |summary| {
            summary.products[3].trades = Tally { received: 5, rejected: 4, shed: 1, ..Tally::default() };
        }),
        ("nothing_stored", "3 tickers of P04-USD", |summary| {
            summary.products[4].tickers = Tally { received: 3, rejected: 3, ..Tally::default() };
        }),
        ("not_subscribed", "P05-USD", |summary| summary.products[5].subscription = ProductSubscription::Unanswered { waited: PATIENCE }),
        ("down", "line:0.1 with 7 products", |summary| summary.outages.push(outage(PATIENCE))),
        ("down", "line:0.1", |summary| summary.outages[0].lasts = Duration::from_secs(3600)),
    ];

    #[test]
    fn a_run_that_did_its_work_has_no_shortcoming() {
        let summary = good();
        assert!(summary.balances() && summary.is_good(), "{:?}", summary.shortcomings());
        let quiet = ProductSummary { trades: Tally::default(), tickers: Tally::default(), ..product(0) };
        let only_quiet = Summary { products: vec![quiet], connections: ConnectionTotals::default(), ..good() };
        assert!(only_quiet.is_good(), "connected, acknowledged, and nothing traded");
    }

    proptest! {
        #[test]
        fn each_thing_left_undone_is_named_and_none_hides_another(chosen in prop::collection::vec(any::<bool>(), DAMAGES.len())) {
            let mut summary = good();
            let damages: Vec<&Damage> = DAMAGES.iter().zip(&chosen).filter(|(_, is_chosen)| **is_chosen).map(|(damage, _)| damage).collect();
            damages.iter().for_each(|(_, _, damage)| damage(&mut summary));
            prop_assert!(summary.balances());
            let found = summary.shortcomings();
            prop_assert_eq!(found.len(), damages.len(), "{:?}", found);
            prop_assert_eq!(summary.is_good(), damages.is_empty());
            for (name, word, _) in damages {
                prop_assert!(found.iter().any(|one| one.name() == *name && one.to_string().contains(word)), "{name} {word}: {found:?}");
            }
        }
    }

    #[test]
    fn a_run_that_recorded_nothing_says_why() {
        let nothing = |subscription: ProductSubscription, outages: Vec<ConnectionOutage>| {
            let products = vec![ProductSummary { trades: Tally::default(), tickers: Tally::default(), subscription, ..product(0) }];
            let summary = Summary { products, outages, connections: ConnectionTotals::default(), ..good() };
            let found = summary.shortcomings();
            assert!(!summary.is_good() && found.len() == 1 && found[0].name() == "never_connected", "{found:?}");
            found[0].to_string()
        };
        let unanswered = || ProductSubscription::Unanswered { waited: Duration::ZERO };
        assert!(nothing(unanswered(), Vec::new()).contains("ended before anything"));
        assert!(nothing(unanswered(), vec![outage(Duration::from_secs(2))]).contains("connection refused"));
        let refused = ProductSubscription::Refused { why: "btc-usd is not a valid product; did you mean BTC-USD?".to_owned() };
        assert!(nothing(refused, vec![outage(PATIENCE)]).contains("did you mean BTC-USD?"));
    }

    #[test]
    fn what_no_product_can_be_blamed_for_is_named_too() {
        let none = || vec![ProductSummary { trades: Tally::default(), tickers: Tally::default(), ..product(0) }];
        let of = |connections: ConnectionTotals, wants_tickers: bool| {
            let found = Summary { products: none(), connections, wants_tickers, ..good() }.shortcomings();
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let totals = ConnectionTotals { frames: 9, rejected: 9, ..ConnectionTotals::default() };
        assert!(of(totals, true).starts_with("9 frames came and none"), "{}", of(totals, true));
        assert!(of(ConnectionTotals { rejected_trades: 9, ..totals }, true).starts_with("9 trades came and none"));
        let tickers = ConnectionTotals { rejected_tickers: 4, rejected: 0, frames: 0, ..totals };
        assert!(of(tickers, true).starts_with("4 tickers came"));
        assert_eq!(of(tickers, false), "", "tickers were not wanted");
    }

    #[test]
    fn many_products_are_counted_rather_than_listed() {
        let mut summary = good();
        summary.products = (0..30).map(product).collect();
        (0..30u64).zip(&mut summary.products).for_each(|(at, product)| product.missing_ids = at);
        let said = summary.shortcomings()[0].to_string();
        assert!(said.starts_with("435 trade ids are missing (P29-USD 29, P28-USD 28,") && said.contains(" and 19 more)"), "{said}");
    }
}
