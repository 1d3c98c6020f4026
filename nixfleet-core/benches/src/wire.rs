//! A heartbeat, and the least that reading one can cost.

use serde::Deserialize;

use crate::hosts::{Random, commit, lock, system_path};

/// A heartbeat of 600 to 700 bytes: what an agent says that has everything to say but no list of
/// generations.
#[must_use]
pub fn heartbeat(number: usize, age: usize, load: f64) -> String {
    let path = system_path(&mut Random(number as u64), number);
    let (commit, lock) = (commit(age), lock(age));
    let text = format!(
        r#"{{"type":"heartbeat","payload":{{"pending_command":null,"metrics":{{"cpu":1.5,"ram":30.25,"swap":0.0,"load":{load}}},"lock_hash":"{lock}","repo":{{"commit":"{commit}","dirty":false}},"deployed":{{"commit":"{commit}","lock_hash":"{lock}","store_path":"{path}","clean":true}},"system":{{"path":"{path}","configuration_revision":"{commit}","reboot_required":false}}}}}}"#
    );
    text
}

/// The same frame as borrowed text, not checked.
#[derive(Debug, Deserialize)]
pub struct BorrowedFrame<'a> {
    /// `heartbeat`.
    #[serde(rename = "type", borrow)]
    pub kind: &'a str,
    /// The rest.
    #[serde(borrow)]
    pub payload: BorrowedHeartbeat<'a>,
}

/// What a heartbeat says, as borrowed text.
#[derive(Debug, Deserialize)]
pub struct BorrowedHeartbeat<'a> {
    /// The operation at work.
    #[serde(borrow)]
    pub pending_command: Option<&'a str>,
    /// Load of the host.
    pub metrics: Option<BorrowedMetrics>,
    /// The lock checked out.
    pub lock_hash: &'a str,
    /// The checkout.
    #[serde(borrow)]
    pub repo: BorrowedRepo<'a>,
    /// The last deployment.
    #[serde(borrow)]
    pub deployed: BorrowedDeployed<'a>,
    /// The running system.
    #[serde(borrow)]
    pub system: BorrowedSystem<'a>,
}

/// Load of a host.
#[derive(Debug, Deserialize)]
pub struct BorrowedMetrics {
    /// Processor, percent.
    pub cpu: f64,
    /// Memory, percent.
    pub ram: f64,
    /// Swap, percent.
    pub swap: f64,
    /// Load average.
    pub load: f64,
}

/// A checkout.
#[derive(Debug, Deserialize)]
pub struct BorrowedRepo<'a> {
    /// Its commit.
    pub commit: &'a str,
    /// Local changes.
    pub dirty: bool,
}

/// A deployment.
#[derive(Debug, Deserialize)]
pub struct BorrowedDeployed<'a> {
    /// Its commit.
    pub commit: &'a str,
    /// Its lock.
    pub lock_hash: &'a str,
    /// Its result.
    pub store_path: &'a str,
    /// Whether from a clean tree.
    pub clean: bool,
}

/// A running system.
#[derive(Debug, Deserialize)]
pub struct BorrowedSystem<'a> {
    /// Its path.
    pub path: &'a str,
    /// The commit it claims.
    pub configuration_revision: &'a str,
    /// Whether it needs a reboot.
    pub reboot_required: bool,
}
