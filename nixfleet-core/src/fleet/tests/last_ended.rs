//! Which ended command a host's row shows, before and after a restart of the server.

use super::*;

fn shown(world: &World) -> (Op, Phase) {
    let command = world.report().command.unwrap();
    (command.op, command.phase)
}

#[test]
fn a_refused_click_never_hides_what_last_ran() {
    let mut world = current();
    world.switch = Habit::Fails;
    world.remote('b');
    world.run(Op::Pull);
    assert_eq!(world.run(Op::Switch), Phase::Error);
    let refusal = world.ask(Op::Pull).unwrap_err();
    assert_eq!(refusal.code, crate::admission::RefusalCode::AlreadyCurrent);
    assert_eq!(shown(&world), (Op::Switch, Phase::Error));

    world.restart_server();
    assert_eq!(shown(&world), (Op::Switch, Phase::Error));
    let log = &world.report().compartments[&crate::compartment::Compartment::System];
    assert_eq!(log.status, Status::Error);
}

#[test]
fn a_command_that_never_started_hides_nothing_that_ran() {
    let mut world = current();
    let ran = shown(&world);
    world.disconnect();
    let id = world.fresh_id();
    let mut dispatch = Dispatch::new(Op::Switch, vec![(HOST.parse().unwrap(), id)]);
    dispatch.queue = true;
    dispatch.force = true;
    world.request(Request::Dispatch(dispatch));
    assert_eq!(shown(&world), (Op::Switch, Phase::Pending));
    world.request(Request::Decide {
        command: id,
        decision: Decision::Cancel,
    });
    for _ in 0..2 {
        assert_eq!(shown(&world), ran);
        let known = world.fleet.sync().state().commands.values();
        assert_eq!(known.map(|c| c.op).collect::<Vec<_>>(), [ran.0]);
        world.restart_server();
    }
}
