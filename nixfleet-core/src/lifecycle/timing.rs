//! Every number of the lifecycle that is not per operation (spec 02, "States"). The warning and
//! hard timeouts of each operation stand in [`crate::OPS`]; there is no third place.

use std::time::Duration;

use crate::op::Op;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn minutes(n: u64) -> Duration {
    seconds(n * 60)
}

const fn hours(n: u64) -> Duration {
    minutes(n * 60)
}

/// How long a command may wait in `PENDING`.
pub const QUEUE: Duration = hours(24);
/// How long preconditions may be checked.
pub const VALIDATION: Duration = seconds(5);
/// How long after its first sending an agent may still start a command (`not_after`).
pub const LEASE: Duration = seconds(60);
/// The most by which the agent's idea of the server's time may be off.
pub const SKEW: Duration = seconds(5);
/// Time between the first sending and each resend of an unacknowledged command.
pub const RESEND: Duration = seconds(5);
/// How often an unacknowledged command is sent again, with the same id.
pub const MAX_RESENDS: u32 = 3;
/// How long a person may take to decide about a deploy past its hard timeout.
pub const DECISION: Duration = hours(24);
/// How long a connected agent may take to confirm a kill.
pub const KILL_CONNECTED: Duration = seconds(40);
/// How long an agent that is away may take to confirm a kill.
pub const KILL_AWAY: Duration = minutes(10);
/// The shortest wait for an agent to come back.
pub const RECONNECT: Duration = minutes(5);
/// How long a host may take to come back from a reboot.
pub const REBOOT: Duration = minutes(15);
/// How long facts reported after the exit may take to arrive.
pub const VERIFICATION: Duration = minutes(5);
/// Deadlines that passed while the server was down fire this long after its restart.
pub const RESTART_GRACE: Duration = minutes(2);
/// The most by which one command may be extended, all extensions together.
pub const MAX_EXTENSION: Duration = hours(4);
/// The shortest extension that is accepted.
pub const MIN_EXTENSION: Duration = minutes(1);

/// B(op), law B5: an upper bound for the time from the last event of a command, whatever it was,
/// to its terminal phase.
#[must_use]
pub fn bound(op: Op) -> Duration {
    let spec = op.spec();
    let overdue = if op.is_deploy() { DECISION } else { KILL_AWAY };
    let away = if op.is_switch_like() {
        RECONNECT.max(REBOOT)
    } else {
        Duration::ZERO
    };
    let stages = [
        QUEUE,
        VALIDATION,
        LEASE + SKEW * 2,
        spec.hard,
        MAX_EXTENSION,
        overdue,
        away,
        VERIFICATION,
        RESTART_GRACE,
    ];
    stages.iter().sum()
}
