//! Every number that the rules use, in one list.

use std::time::Duration;

use super::sheet::{Sheet, code};
use super::words::duration;
use crate::agent::{backoff, jobs, link};
use crate::desired;
use crate::lifecycle::timing;
use crate::rollout;
use crate::update;

/// A bound in time, with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Where it belongs: `lifecycle`, `remote`, `update`, `agent` or `rollout`.
    pub area: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: Duration,
    /// What it bounds.
    pub meaning: &'static str,
}

const fn number(
    area: &'static str,
    name: &'static str,
    value: Duration,
    meaning: &'static str,
) -> Number {
    Number {
        area,
        name,
        value,
        meaning,
    }
}

/// Every bound in time that is not per operation; those stand in [`crate::OPS`].
#[rustfmt::skip]
pub const NUMBERS: &[Number] = &[
    number("lifecycle", "queue",          timing::QUEUE,          "how long a command may wait in PENDING"),
    number("lifecycle", "validation",     timing::VALIDATION,     "how long preconditions may be checked"),
    number("lifecycle", "lease",          timing::LEASE,          "how long after its first sending an agent may still start a command"),
    number("lifecycle", "skew",           timing::SKEW,           "the most by which the agent's idea of the server's time may be off"),
    number("lifecycle", "resend",         timing::RESEND,         "time between the first sending and each of the 3 resends of an unacknowledged command"),
    number("lifecycle", "decision",       timing::DECISION,       "how long a person may take to decide about a deploy past its hard timeout"),
    number("lifecycle", "kill-connected", timing::KILL_CONNECTED, "how long a connected agent may take to confirm a kill"),
    number("lifecycle", "kill-away",      timing::KILL_AWAY,      "how long an agent that is away may take to confirm a kill"),
    number("lifecycle", "reconnect",      timing::RECONNECT,      "the shortest wait for an agent to come back"),
    number("lifecycle", "reboot",         timing::REBOOT,         "how long a host may take to come back from a reboot"),
    number("lifecycle", "verification",   timing::VERIFICATION,   "how long facts reported after the exit may take to arrive"),
    number("lifecycle", "restart-grace",  timing::RESTART_GRACE,  "deadlines that passed while the server was down fire this long after its restart"),
    number("lifecycle", "max-extension",  timing::MAX_EXTENSION,  "the most by which one command may be extended, all extensions together"),
    number("lifecycle", "min-extension",  timing::MIN_EXTENSION,  "the shortest extension that is accepted"),
    number("remote",    "fetch-budget",   desired::FETCH_BUDGET,  "the longest that the three quick attempts of one reading may take together"),
    number("remote",    "max-grace",      desired::MAX_GRACE,     "the longest grace period after a failed reading that may be configured"),
    number("update",    "between-mutations", update::BETWEEN_MUTATIONS, "the shortest time between two calls to the forge that change something"),
    number("update",    "settling",       update::SETTLING,       "how long the forge gets to show what it did before it is read after an unclear answer"),
    number("update",    "read-again",     update::READ_AGAIN,     "time before a failed reading of a pull request is tried again, times the failures in a row"),
    number("update",    "until-shown",    update::UNTIL_SHOWN,    "how long the desired state may take to show a merge"),
    number("update",    "look-again",     update::LOOK_AGAIN,     "time between two readings of the desired state while a merge is awaited in it"),
    number("update",    "patience",       update::PATIENCE,       "how long a call about one pull request may take"),
    number("update",    "list-patience",  update::LIST_PATIENCE,  "how long listing the pull requests may take"),
    number("update",    "check-again",    update::CHECK_AGAIN,    "how soon a failed listing is tried again"),
    number("update",    "hints-apart",    update::HINTS_APART,    "the shortest time between two listings that hints of the forge lead to"),
    number("update",    "max-pause",      update::MAX_PAUSE,      "the longest that a forge may ask not to be called for"),
    number("agent",     "kill-after",     jobs::KILL_AFTER,       "time from SIGTERM to SIGKILL for a process group"),
    number("agent",     "still-up",       jobs::STILL_UP_AFTER,   "how long a machine may stay up after its reboot command ended with 0"),
    number("agent",     "backoff-first",  backoff::FIRST,         "the first wait before reconnecting; it doubles, with full jitter"),
    number("agent",     "backoff-longest", backoff::LONGEST,      "the longest wait before reconnecting"),
    number("agent",     "registration",   link::REGISTRATION_TIMEOUT, "how long the answer to a registration may take"),
    number("agent",     "resend-results", link::RESEND_EVERY,     "time between two sendings of a result that is not confirmed"),
    number("rollout",   "person",         rollout::PAUSE_BOUND,   "how long a rollout waits for a person until it is cancelled"),
    number("rollout",   "soak-gaps",      rollout::SOAK_GAP_BOUND, "how much longer than its soak the evidence of canaries may take"),
    number("rollout",   "visible",        rollout::VISIBLE_BOUND, "how long the desired-state source may take to show the target"),
    number("rollout",   "patience",       rollout::HOST_PATIENCE,   "how long reasons of its own may keep a host from its next command, however they take turns"),
    number("rollout",   "return",         rollout::RECONNECT_BOUND, "how long a host may be away on the way where the policy does not wait"),
];

pub(super) fn sheet() -> Sheet {
    let row = |number: &Number| {
        vec![
            number.area.to_owned(),
            code(number.name),
            duration(number.value),
            number.meaning.to_owned(),
        ]
    };
    Sheet {
        id: "numbers",
        title: "Numbers",
        about: "Bounds in time that are not per operation. The bound W of the remote is the time \
                between two readings plus the grace period plus `fetch-budget`.",
        columns: &["area", "name", "value", "meaning"],
        rows: NUMBERS.iter().map(row).collect(),
    }
}
