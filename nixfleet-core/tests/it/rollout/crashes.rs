//! The server crashes after every single call, between storing and everything else (law D12).

use nixfleet_core::rollout::{Ask, InFlight, Policy, RolloutState};
use nixfleet_core::{HostId, Op};

use super::field::{Field, ROLLOUT};
use nixfleet_core::fleet::Reply;

fn run(crash_at: Option<usize>) -> (Field, usize) {
    let mut field = Field::with(3, None, false);
    field.mark_as_canary(1);
    field.remote(2);
    let ask = Ask {
        hosts: field.everybody(),
        policy: Policy {
            max_in_flight: InFlight::Count(1),
            soak_seconds: 120,
            ..Policy::default()
        },
        ..Ask::default()
    };
    assert!(matches!(
        field.start(ROLLOUT, ask),
        Reply::RolloutStarted(_)
    ));
    let from = field.calls;
    field.crash_at = crash_at.map(|at| at + from);
    field.finish(3);
    let calls = field.calls - from;
    (field, calls)
}

#[test]
fn d12_a_crash_after_any_call_repeats_no_command_and_skips_no_barrier() {
    let (reference, calls) = run(None);
    assert_eq!(reference.state(), RolloutState::Complete);
    let expected: Vec<(HostId, Op)> = reference.sequence();
    assert_eq!(expected.len(), 9);
    let mut crashes = 0;
    for at in 1..calls {
        let (field, _) = run(Some(at));
        let mut ids: Vec<_> = field.spawned.iter().map(|(.., id)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(
            ids.len(),
            field.spawned.len(),
            "spawned twice, crash at {at}"
        );
        assert_eq!(field.sequence(), expected, "crash at {at}");
        assert_eq!(field.state(), RolloutState::Complete);
        field.check();
        crashes += 1;
    }
    println!("rollouts: {crashes} crashes of the server, one after every call");
    assert!(crashes > 30);
}
