//! The doctor: looks at a box before a capture runs and while one does, and says of each thing whether a capture can do with it, and what to change.
//!
//! 1. Each check has two halves: one that reads facts of the machine, and a pure function that judges them. Only the second decides what is red.
//! 2. Nothing is changed. A file that is written to measure the disk has no name any more when it is written.
//! 3. Every check ends: what may wait for a disk or a server runs on a thread of its own and is given up after a time ([`bounded`]).
//! 4. Connections are made by the same code as a capture's, with the same proxies and roots.
//! 5. What cannot be found out is yellow and says so. It is never green.
//! 6. Limits are those of the running capture where one runs, and else those of this process.

mod bounded;
mod config;
mod disk;
mod finding;
mod limits;
mod machine;
mod mounts;
mod network;
mod running;
mod sizing;

pub(crate) use config::DoctorConfig;
pub(crate) use finding::{Colour, Finding};

use crate::product::ProductId;
use running::Running;
pub(crate) use running::remembered_endpoint;

/// Looks at everything. Gives a finding for each check, in the order in which they are shown.
#[must_use]
pub(crate) fn examine(config: &DoctorConfig) -> Vec<Finding> {
    let running = Running::look(config);
    let products = running.product_count(config);
    let mut config = config.clone();
    if config.capture.products.is_empty() {
        // A later series is asked for by the name of its product.
        config.capture.products = running.products().iter().filter_map(|product| ProductId::new(product.feed_name()).ok()).collect();
    }
    let config = &config;
    let mut findings = vec![running.judge(config)];
    findings.extend(machine::examine(&running));
    findings.extend(disk::examine(config, products));
    findings.extend(limits::examine(config, &running, products));
    findings.extend(sizing::examine(config, &running, products));
    if config.asks_network {
        findings.extend(network::examine(config));
    }
    findings
}
