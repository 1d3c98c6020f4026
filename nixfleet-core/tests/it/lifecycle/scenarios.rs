//! Hand-written stories, one a line: who, what happens, how it ends. Together they use every row.

use std::collections::BTreeSet;
use std::fmt::Write;

use nixfleet_core::Op;
use nixfleet_core::compartment::{PullSwitchHalf, Status};
use nixfleet_core::host::AgentProtocol::{self, Commands, Existing};
use nixfleet_core::lifecycle::{Command, Phase, Signal, Step, TABLE, Withdrawal};
use nixfleet_core::report::ResultKind::{Error, Interrupted, Ok, Stopped};

use super::play::{Book, Facts, Play, Process, Word as W};
use super::world::{World, automation};

/// Who, and where it starts.
#[derive(Clone, Copy)]
pub enum Cast {
    /// Sent to our agent, by a person.
    Ours(Op),
    /// Sent to our agent, by a rollout.
    Rollout(Op),
    /// Sent to an existing agent.
    Old(Op),
    /// Waiting in the queue.
    Queued(Op),
    /// Sent to our agent, whose version was not the expected one.
    Due(Op),
    /// The same, and afterwards it names another source commit.
    Renamed(Op),
}

fn cast(cast: Cast) -> Play {
    cast_by(cast, &Book::IN_FORCE)
}

/// The beginning of a story, by any rules.
fn cast_by(cast: Cast, book: &Book) -> Play {
    let world = |op: Op, protocol: AgentProtocol| World::new(op, protocol);
    let sent = |world: World| Play::queued_by(world, book.clone()).admitted();
    match cast {
        Cast::Ours(op) => sent(world(op, Commands)),
        Cast::Rollout(op) => sent(world(op, Commands).by(automation())),
        Cast::Old(op) => sent(world(op, Existing)),
        Cast::Queued(op) => Play::queued_by(world(op, Commands), book.clone()),
        Cast::Due(op) | Cast::Renamed(op) => {
            let mut world = world(op, Commands);
            world.new_source = matches!(cast, Cast::Renamed(_));
            world.agent = Status::Error;
            world.observation.binary.store_path = Some("/nix/store/agent-1".to_owned());
            world.observation.binary.source_commit = Some("1111".to_owned());
            sent(world)
        }
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const TERM: W = W::Kill(Signal::Term);
const BACK: W = W::Hello(Process::Running, None);
const EMPTY_HANDED: W = W::Hello(Process::Same, None);
const RIGHT: W = W::Beat(Facts::Right);
const WRONG: W = W::Beat(Facts::Wrong);
const LOST: W = W::SendFail { nothing_left: true };
const MAYBE_LOST: W = W::SendFail {
    nothing_left: false,
};
const HALF: Option<PullSwitchHalf> = Some(PullSwitchHalf::Pull);

pub type Story = (&'static str, Cast, Vec<W>, Phase);

#[rustfmt::skip]
pub fn stories() -> Vec<Story> {
    use Cast::{Due, Old, Ours, Queued, Renamed, Rollout};
    use Phase as P;
    vec![
        ("a pull works", Ours(Op::Pull), vec![W::Sent, W::Accepted, W::Output, W::Exit(Ok, 0), RIGHT], P::Success),
        ("a pull ends elsewhere", Ours(Op::Pull), vec![W::Accepted, W::Exit(Ok, 0), WRONG], P::Partial),
        ("a pull is never heard of again", Ours(Op::Pull), vec![W::Accepted, W::Exit(Ok, 0), W::Wait(5 * MINUTE)], P::Partial),
        ("a pull whose commit is not reported", Ours(Op::Pull), vec![W::Accepted, W::Exit(Ok, 0), W::Beat(Facts::Silent), W::Wait(5 * MINUTE)], P::Partial),
        ("a pull fails", Ours(Op::Pull), vec![W::Accepted, W::Exit(Error, 1)], P::Error),
        ("facts before the exit do not count", Ours(Op::Pull), vec![W::Accepted, RIGHT, W::Exit(Ok, 0), WRONG], P::Partial),
        ("the third resend arrives", Ours(Op::Pull), vec![W::Wait(5), W::Wait(5), W::Wait(5), W::Accepted, W::Exit(Ok, 0), RIGHT], P::Success),
        ("never acknowledged", Ours(Op::Pull), vec![W::Wait(15), W::Wait(54), W::Wait(1)], P::Error),
        ("disconnected before it arrived", Ours(Op::Pull), vec![W::Disconnect, W::Wait(5), W::Wait(65)], P::Error),
        ("not sent", Ours(Op::Pull), vec![LOST], P::Error),
        ("perhaps sent", Ours(Op::Pull), vec![MAYBE_LOST, W::Accepted, W::Exit(Ok, 0), RIGHT], P::Success),
        ("a resend fails, the first one arrived", Ours(Op::Pull), vec![W::Wait(5), LOST, W::Accepted, W::Exit(Ok, 0), RIGHT], P::Success),
        ("rejected", Ours(Op::Pull), vec![W::Rejected], P::Error),
        ("a copy is rejected", Ours(Op::Pull), vec![W::Accepted, W::Rejected, W::Exit(Ok, 0), RIGHT], P::Success),
        ("a heartbeat names it", Ours(Op::Pull), vec![W::BeatNaming, W::Wait(2 * MINUTE), W::Exit(Ok, 0), RIGHT], P::Success),
        ("a slow pull is stopped", Ours(Op::Pull), vec![W::Accepted, W::Wait(5 * MINUTE), W::Exit(Stopped, 130)], P::Killed),
        ("a slow pull cannot be stopped", Ours(Op::Pull), vec![W::Accepted, W::Wait(5 * MINUTE), W::Wait(40)], P::Error),
        ("killed, harder, away, back", Ours(Op::Pull), vec![W::Accepted, TERM, W::Kill(Signal::Kill), W::Disconnect, W::Wait(9 * MINUTE), BACK, W::Exit(Stopped, 137)], P::Killed),
        ("progress while it is being killed", Ours(Op::PullSwitch), vec![TERM, W::Progress(HALF), W::Exit(Stopped, 130)], P::Killed),
        ("progress while it is away", Ours(Op::PullSwitch), vec![W::Disconnect, W::Progress(HALF), W::Hello(Process::New, Some(vec![(Error, 1)]))], P::Error),
        ("progress when it is overdue", Ours(Op::PullSwitch), vec![W::Accepted, W::Wait(35 * MINUTE), W::Progress(HALF), W::Exit(Error, 1)], P::Error),
        ("back when it is overdue", Ours(Op::Pull), vec![W::Accepted, W::Wait(2 * MINUTE), W::Disconnect, BACK, W::Exit(Ok, 0), RIGHT], P::Success),
        ("back, not killed, unacknowledged", Ours(Op::Pull), vec![TERM, W::Disconnect, BACK, W::Exit(Stopped, 130)], P::Killed),
        ("lost when it is overdue", Ours(Op::Pull), vec![W::Accepted, W::Wait(2 * MINUTE), W::Disconnect, W::Wait(3 * MINUTE), W::Exit(Error, 1)], P::Error),
        ("it ends before its acknowledgement", Ours(Op::Pull), vec![W::Exit(Ok, 0), RIGHT], P::Success),
        ("a dry build ends before its acknowledgement", Ours(Op::RefreshSystem), vec![W::Exit(Ok, 0)], P::Success),
        ("interrupted before its acknowledgement", Ours(Op::Pull), vec![W::Exit(Interrupted, -1)], P::Error),
        ("a blip before the acknowledgement of a pull", Ours(Op::Pull), vec![W::Disconnect, BACK, W::Exit(Error, 1)], P::Error),
        ("killed before it was acknowledged", Ours(Op::Pull), vec![TERM, W::Wait(41), W::Accepted, W::Exit(Stopped, 130)], P::Killed),
        ("killed, and nobody confirms", Ours(Op::Pull), vec![TERM, W::Wait(69), W::Wait(1)], P::Error),
        ("it ended before the signal", Ours(Op::Pull), vec![W::Accepted, TERM, W::Exit(Ok, 0), RIGHT], P::Success),
        ("killed, and the agent returns without it", Ours(Op::Pull), vec![TERM, W::Disconnect, EMPTY_HANDED, W::Exit(Stopped, 130)], P::Killed),
        ("not sent, while killing", Ours(Op::Pull), vec![TERM, LOST], P::Error),
        ("killed while away, unknown on return", Ours(Op::Pull), vec![W::Accepted, W::Wait(2 * MINUTE), TERM, W::Disconnect, EMPTY_HANDED], P::Error),
        ("interrupted", Ours(Op::Pull), vec![W::Accepted, W::Exit(Interrupted, -1)], P::Error),
        ("result while away is held", Ours(Op::Pull), vec![W::Accepted, W::Disconnect, W::Hello(Process::Same, Some(vec![(Ok, 0)]))], P::Success),
        ("a lost pull is killed at its hard timeout", Ours(Op::Pull), vec![W::Accepted, W::Disconnect, W::Wait(5 * MINUTE), W::Wait(10 * MINUTE)], P::Error),

        ("a switch works", Ours(Op::Switch), vec![W::Accepted, W::Started, W::Exit(Ok, 0), W::Exit(Ok, 0), RIGHT], P::Success),
        ("a switch takes its agent down", Ours(Op::Switch), vec![W::Accepted, W::Disconnect, W::Hello(Process::New, Some(vec![(Ok, 0)]))], P::Success),
        ("a blip in the middle of a switch", Ours(Op::Switch), vec![W::Accepted, W::Disconnect, W::Output, BACK, W::Exit(Ok, 0), RIGHT], P::Success),
        ("a blip before it was acknowledged", Ours(Op::Switch), vec![W::Disconnect, BACK, W::Exit(Ok, 0), RIGHT], P::Success),
        ("an acknowledgement while away", Ours(Op::Switch), vec![W::Disconnect, W::Accepted, W::Hello(Process::New, Some(vec![(Error, 1)]))], P::Error),
        ("it never arrived, and is sent again", Ours(Op::Switch), vec![W::Disconnect, W::Wait(10), EMPTY_HANDED, W::Wait(5), W::Accepted, W::Exit(Ok, 0), RIGHT], P::Success),
        ("not sent, the socket is gone first", Ours(Op::Switch), vec![W::Disconnect, LOST], P::Error),
        ("unknown to its agent", Ours(Op::Switch), vec![W::Accepted, W::Wait(70), W::Disconnect, EMPTY_HANDED], P::Error),
        ("unknown to its agent, within the lease", Ours(Op::Switch), vec![W::Accepted, W::Disconnect, EMPTY_HANDED, W::Wait(69), W::Wait(1)], P::Error),
        ("the agent never comes back", Ours(Op::Switch), vec![W::Accepted, W::Disconnect, W::Disconnect, W::Wait(30 * MINUTE)], P::Timeout),
        ("stop waiting", Ours(Op::Switch), vec![W::Accepted, W::Disconnect, TERM], P::Skipped),
        ("stop waiting for what may still start", Ours(Op::Switch), vec![W::Disconnect, TERM, W::Wait(69), W::Wait(1)], P::Skipped),
        ("ignore what may still start", Ours(Op::Switch), vec![W::Disconnect, W::Ignore, W::Wait(70)], P::Skipped),
        ("slow, extended, decided", Ours(Op::Switch), vec![W::Accepted, W::Wait(10 * MINUTE), W::Extend(30), W::Wait(2 * HOUR), W::Ignore], P::Skipped),
        ("slow, gone, back, done", Ours(Op::Switch), vec![W::Accepted, W::Wait(30 * MINUTE), W::Restart, BACK, W::Progress(None), W::Exit(Ok, 0), RIGHT], P::Success),
        ("nobody decides", Ours(Op::Switch), vec![W::Accepted, W::Wait(30 * MINUTE), W::Wait(24 * HOUR)], P::Error),
        ("overdue in a rollout", Rollout(Op::Switch), vec![W::Accepted, W::Wait(30 * MINUTE)], P::Error),
        ("units failed", Ours(Op::Switch), vec![W::Accepted, W::Exit(Error, 4), RIGHT], P::Degraded),
        ("exit 4 and nothing switched", Ours(Op::Switch), vec![W::Accepted, W::Exit(Error, 4), WRONG], P::Error),
        ("exit 4 and silence", Ours(Op::Switch), vec![W::Accepted, W::Exit(Error, 4), W::Wait(5 * MINUTE)], P::Error),
        ("a registration verifies it", Ours(Op::Switch), vec![W::Accepted, W::Exit(Ok, 0), W::Disconnect, BACK], P::Success),
        ("the old agent came back", Due(Op::Switch), vec![W::Accepted, W::Disconnect, W::Hello(Process::New, Some(vec![(Ok, 0)]))], P::StaleBinary),
        ("the old agent stayed", Due(Op::Switch), vec![W::Accepted, W::Exit(Ok, 0), RIGHT, W::Wait(5 * MINUTE)], P::StaleBinary),
        ("only the agent's source changed", Renamed(Op::Switch), vec![W::Accepted, W::Disconnect, W::Hello(Process::New, Some(vec![(Ok, 0)]))], P::Suspicious),
        ("only the agent's source changed, and it stayed", Renamed(Op::Switch), vec![W::Accepted, W::Exit(Ok, 0), RIGHT, W::Wait(5 * MINUTE)], P::Suspicious),
        ("our server is restarted", Ours(Op::Switch), vec![W::Accepted, W::Restart, BACK, W::Exit(Ok, 0), RIGHT], P::Success),
        ("stopped by hand", Ours(Op::Switch), vec![W::Accepted, TERM, BACK, W::Exit(Stopped, 130)], P::Killed),
        ("a pull-switch fails while pulling", Ours(Op::PullSwitch), vec![W::Accepted, W::Progress(HALF), W::Exit(Error, 1)], P::Error),
        ("a pull-switch works", Ours(Op::PullSwitch), vec![W::Accepted, W::Progress(HALF), W::Exit(Ok, 0), RIGHT], P::Success),
        ("back to the generation before", Ours(Op::Rollback), vec![W::Accepted, W::Exit(Ok, 0), RIGHT], P::Success),
        ("a rollback that did nothing", Ours(Op::Rollback), vec![W::Accepted, W::Exit(Ok, 0), WRONG], P::Partial),
        ("tests pass", Ours(Op::Test), vec![W::Accepted, W::Exit(Ok, 0), RIGHT], P::Success),
        ("inputs are updated", Ours(Op::UpdateInputs), vec![W::Accepted, W::Exit(Ok, 0), RIGHT], P::Success),
        ("a dry build", Ours(Op::RefreshSystem), vec![W::Accepted, W::Exit(Ok, 0)], P::Success),

        ("the agent restarts", Ours(Op::Restart), vec![W::Accepted, W::Disconnect, W::Hello(Process::New, None)], P::Success),
        ("the agent says goodbye twice", Ours(Op::Restart), vec![W::Accepted, W::Exit(Ok, 0), W::Exit(Ok, 0), W::Disconnect, W::Hello(Process::New, None)], P::Success),
        ("only the connection was lost", Ours(Op::Restart), vec![W::Accepted, W::Restart, EMPTY_HANDED, W::Disconnect, W::Hello(Process::New, None)], P::Success),
        ("unacknowledged, and restarted", Ours(Op::Restart), vec![W::Disconnect, W::Hello(Process::New, None)], P::Success),
        ("the agent says goodbye first", Ours(Op::Restart), vec![W::Accepted, W::Exit(Ok, 0), W::Disconnect, W::Hello(Process::New, None)], P::Success),
        ("the agent does not restart", Ours(Op::Restart), vec![W::Accepted, W::Disconnect, EMPTY_HANDED, W::Wait(5 * MINUTE)], P::Timeout),
        ("interrupted by itself", Ours(Op::Restart), vec![W::Accepted, W::Disconnect, W::Hello(Process::New, Some(vec![(Interrupted, -1)]))], P::Success),
        ("restarted, and its record comes later", Due(Op::Restart), vec![W::Accepted, W::Disconnect, W::Hello(Process::New, None)], P::StaleBinary),
        ("the host reboots", Ours(Op::Reboot), vec![W::Accepted, W::Disconnect, W::Hello(Process::New, None), W::Wait(MINUTE), W::Hello(Process::Rebooted, None)], P::Success),
        ("the host does not come back", Ours(Op::Reboot), vec![W::Accepted, W::Disconnect, W::Wait(15 * MINUTE)], P::Timeout),

        ("existing: a switch works", Old(Op::Switch), vec![W::Output, W::Exit(Ok, 0), RIGHT, W::Disconnect, W::Hello(Process::New, None), RIGHT], P::Success),
        ("existing: it stays connected", Old(Op::Switch), vec![W::Exit(Ok, 0), W::Wait(5 * MINUTE), RIGHT], P::Success),
        ("existing: the checkout moved meanwhile", Old(Op::Switch), vec![W::Exit(Ok, 0), W::Disconnect, W::Hello(Process::New, None), WRONG], P::Partial),
        ("existing: it only vanished", Old(Op::Switch), vec![W::Disconnect, W::Hello(Process::New, None)], P::Partial),
        ("existing: our server was restarted", Old(Op::Switch), vec![W::Restart, W::Hello(Process::Same, None), W::Exit(Error, 1)], P::Error),
        ("existing: stopped", Old(Op::Switch), vec![TERM, W::Disconnect, W::Hello(Process::Same, None), W::Exit(Stopped, 130), W::Exit(Error, -1)], P::Killed),
        ("existing: our server was restarted, late", Old(Op::Switch), vec![W::Wait(10 * MINUTE), W::Restart, W::Hello(Process::Same, None), W::Exit(Error, 1)], P::Error),
        ("existing: restart", Old(Op::Restart), vec![W::Disconnect, W::Hello(Process::New, None)], P::Partial),
        ("existing: slow, then heard of", Old(Op::Switch), vec![W::Wait(10 * MINUTE), W::BeatNaming, W::Exit(Error, 2)], P::Error),

        ("queued, then admitted", Queued(Op::Pull), vec![W::Wait(HOUR), W::Start, W::Admit, W::Accepted, W::Exit(Ok, 0), RIGHT], P::Success),
        ("queued, then refused", Queued(Op::Pull), vec![W::Start, W::Refuse], P::Blocked),
        ("checking hangs", Queued(Op::Pull), vec![W::Start, W::Wait(5)], P::Blocked),
        ("queued for too long", Queued(Op::Pull), vec![W::Wait(24 * HOUR)], P::Expired),
        ("cancelled", Queued(Op::Pull), vec![W::Cancel(Withdrawal::Cancelled)], P::Cancelled),
        ("superseded", Queued(Op::Pull), vec![W::Start, W::Cancel(Withdrawal::Superseded)], P::Superseded),
        ("an earlier stage failed", Queued(Op::Pull), vec![W::Cancel(Withdrawal::StageFailed)], P::Skipped),
        ("a deploy is queued, then refused", Queued(Op::Switch), vec![W::Start, W::Refuse], P::Blocked),
        ("a deploy is queued for too long", Queued(Op::Switch), vec![W::Wait(24 * HOUR)], P::Expired),
        ("a deploy is cancelled", Queued(Op::Switch), vec![W::Cancel(Withdrawal::Cancelled)], P::Cancelled),
        ("a deploy is superseded", Queued(Op::Switch), vec![W::Cancel(Withdrawal::Superseded)], P::Superseded),
        ("an earlier stage of a deploy failed", Queued(Op::Switch), vec![W::Cancel(Withdrawal::StageFailed)], P::Skipped),
        ("a switch is rejected", Ours(Op::Switch), vec![W::Rejected], P::Error),
        ("a pull-switch is interrupted while it pulls", Ours(Op::PullSwitch), vec![W::Accepted, W::Progress(HALF), W::Exit(Interrupted, -1)], P::Error),
        ("nobody waits for a slow pull-switch that still pulls", Ours(Op::PullSwitch), vec![W::Accepted, W::Progress(HALF), W::Wait(12 * MINUTE), W::Ignore], P::Skipped),
        ("a pull-switch that only pulled says it is done", Ours(Op::PullSwitch), vec![W::Accepted, W::Progress(HALF), W::Exit(Ok, 0), W::Wait(5 * MINUTE)], P::Partial),

        ("the server does it", Ours(Op::RefreshGit), vec![W::Exit(Ok, 0)], P::Success),
        ("the server takes too long", Ours(Op::RefreshGit), vec![W::Wait(30)], P::Error),
    ]
}

#[test]
fn every_story_ends_as_told() {
    for (name, who, words, end) in stories() {
        let mut play = cast(who);
        if let Some((last, before)) = words.split_last() {
            play.play(before);
            let early = play.command.phase;
            assert!(
                !early.is_terminal() || matches!(last, W::Exit(Error, -1) | W::Beat(_)),
                "{name}: ended too early, as {early:?}"
            );
            play.one(last);
        }
        assert_eq!(play.command.phase, end, "{name}: {:?}", play.rows);
    }
}

#[test]
fn the_stories_use_every_row() {
    let mut used = BTreeSet::new();
    for (_, who, words, _) in stories() {
        let mut play = cast(who);
        play.play(&words);
        used.extend(play.rows);
    }
    let missing: Vec<_> = TABLE
        .iter()
        .map(|row| row.id)
        .filter(|id| !used.contains(id))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// One story as text: after each word the rows used, where the command is, what is armed and what
/// is to be done. Nobody learns here what a row is called that was not used.
pub fn transcript(story: &Story, book: &Book) -> String {
    let (name, who, words, _) = story;
    let mut play = cast_by(*who, book);
    let steps = std::mem::take(&mut play.steps);
    let mut text = format!(
        "# {name}: {} {}\n",
        play.command.op.name(),
        play.command.host
    );
    line(&mut text, "begins", &play, &steps);
    for word in words {
        play.rows.clear();
        let steps = play.one(word);
        line(&mut text, &format!("{word:?}"), &play, &steps);
    }
    if let Some(ending) = &play.command.ending {
        writeln!(text, "    {}", ending.text()).unwrap();
    }
    text
}

fn line(text: &mut String, word: &str, play: &Play, steps: &[Step]) {
    let phase = serde_json::to_value(play.command.phase).unwrap();
    let phase = phase.as_str().unwrap().to_owned();
    write!(text, "{word} → {phase} [{}]", play.rows.join(" ")).unwrap();
    if let Some(deadline) = play.command.poll_timeout() {
        let left = deadline.at.as_millis() - play.now.as_millis();
        write!(text, " {:?} in {} s", deadline.reason, left / 1000).unwrap();
    }
    writeln!(text, "{}", noted(&play.command)).unwrap();
    for step in steps {
        writeln!(text, "    {}", word_of(step)).unwrap();
    }
}

/// What the record of a command knows by now.
fn noted(command: &Command) -> String {
    let facts = [
        ("acknowledged", command.acknowledged_at.is_some()),
        ("exited", command.exit.is_some()),
        ("connected", command.connected),
        ("returned", command.returned),
        ("activated", command.activated),
        ("judged", command.verdict.is_some()),
        ("half", command.half.is_some()),
        ("resumed", command.resumed_at.is_some()),
    ];
    let known = facts.iter().filter(|(_, known)| *known);
    known.map(|(name, _)| format!(" {name}")).collect()
}

pub fn word_of(step: &Step) -> String {
    match step {
        Step::TestResult(evidence) => format!("TestResult {:?}", evidence.verdict),
        Step::RecordDeployment(record) => format!("RecordDeployment {}", record.is_some()),
        other => format!("{other:?}"),
    }
}
