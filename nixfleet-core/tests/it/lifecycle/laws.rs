//! Laws over arbitrary histories: duplicates, reordering, drops, restarts, and then silence.

use std::time::Duration;

use nixfleet_core::compartment::PullSwitchHalf;
use nixfleet_core::host::AgentProtocol;
use nixfleet_core::lifecycle::{
    Command, Deadline, DeadlineReason, Ending, Phase, Signal, Step, Withdrawal, timing,
};
use nixfleet_core::report::ResultKind;
use nixfleet_core::{OPS, Op};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::play::{Facts, Play, Process, Word};
use super::world::{World, automation};

const CASES: u32 = 500;

fn ops() -> Vec<Op> {
    OPS.iter().map(|spec| spec.op).collect()
}

fn exit() -> impl Strategy<Value = (ResultKind, i32)> {
    select(vec![
        (ResultKind::Ok, 0),
        (ResultKind::Ok, 0),
        (ResultKind::Error, 1),
        (ResultKind::Error, 4),
        (ResultKind::Stopped, 130),
        (ResultKind::Interrupted, -1),
    ])
}

/// Messages of an agent about one command.
fn addressed() -> impl Strategy<Value = Word> {
    use PullSwitchHalf::{Pull, Switch};
    prop_oneof![
        Just(Word::Accepted),
        Just(Word::Started),
        Just(Word::Output),
        select(vec![None, Some(Pull), Some(Switch)]).prop_map(Word::Progress),
        exit().prop_map(|(kind, code)| Word::Exit(kind, code)),
        Just(Word::Rejected),
    ]
}

fn message() -> impl Strategy<Value = Word> {
    let process = select(vec![
        Process::Running,
        Process::Running,
        Process::Same,
        Process::New,
        Process::Rebooted,
    ]);
    prop_oneof![
        1 => Just(Word::Sent),
        1 => any::<bool>().prop_map(|nothing_left| Word::SendFail { nothing_left }),
        4 => addressed(),
        1 => Just(Word::Disconnect),
        1 => (process, option::weighted(0.3, vec(exit(), 0..3)))
            .prop_map(|(process, held)| Word::Hello(process, held)),
        1 => select(vec![Facts::Right, Facts::Wrong, Facts::Silent]).prop_map(Word::Beat),
        1 => Just(Word::BeatNaming),
    ]
}

pub(super) fn word() -> impl Strategy<Value = Word> {
    let seconds = select(vec![0, 1, 5, 10, 40, 70, 120, 300, 600, 1800, 3600, 90_000]);
    prop_oneof![
        6 => message(),
        1 => Just(Word::Start),
        1 => Just(Word::Admit),
        1 => Just(Word::Refuse),
        1 => select(vec![Signal::Term, Signal::Kill]).prop_map(Word::Kill),
        1 => (0_u64..200).prop_map(Word::Extend),
        1 => Just(Word::Ignore),
        1 => select(vec![Withdrawal::Cancelled, Withdrawal::Superseded, Withdrawal::StageFailed])
            .prop_map(Word::Cancel),
        1 => Just(Word::Restart),
        1 => addressed().prop_map(|word| Word::Foreign(Box::new(word))),
        3 => seconds.prop_map(Word::Wait),
    ]
}

#[derive(Clone, Debug)]
pub(super) struct Beginning {
    pub op: Op,
    pub protocol: AgentProtocol,
    pub automation: bool,
    pub queued: bool,
}

pub(super) fn beginning() -> impl Strategy<Value = Beginning> {
    let protocol = select(vec![
        AgentProtocol::Commands,
        AgentProtocol::Commands,
        AgentProtocol::Existing,
    ]);
    (select(ops()), protocol, any::<bool>(), any::<bool>()).prop_map(
        |(op, protocol, automation, queued)| Beginning {
            op,
            protocol,
            automation,
            queued,
        },
    )
}

pub(super) fn begin(beginning: &Beginning) -> Play {
    let mut world = World::new(beginning.op, beginning.protocol);
    if beginning.automation {
        world = world.by(automation());
    }
    if beginning.queued {
        Play::queued(world)
    } else {
        Play::sent(world)
    }
}

/// Law B4, and what every state must look like.
fn assert_sound(command: &Command) {
    let terminal = command.phase.is_terminal();
    assert_eq!(command.deadline.is_none(), terminal, "{:?}", command.phase);
    assert_eq!(command.ending.is_some(), terminal);
    if let Some(ending) = &command.ending {
        assert_eq!(ending.kind().spec().phase, command.phase);
    }
    assert!(command.extended <= timing::MAX_EXTENSION);
    assert!(command.attempts <= 1 + timing::MAX_RESENDS);
}

/// The rank of law B5: it falls with every deadline that fires.
fn rank(command: &Command) -> (u8, u32) {
    let stage = match command.phase {
        Phase::Pending => 8,
        Phase::Validating => 7,
        Phase::Executing => 6,
        Phase::RunningWarning => 5,
        Phase::TimeoutPending => 4,
        Phase::Killing => 3,
        Phase::AwaitingReconnect => 2,
        Phase::Verifying => 1,
        _ => 0,
    };
    (stage, 1 + timing::MAX_RESENDS - command.attempts)
}

fn due(command: &Command) -> Option<Deadline> {
    command.poll_timeout()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn b04_every_live_state_has_exactly_one_armed_deadline(
        beginning in beginning(), words in vec(word(), 0..30)
    ) {
        let mut play = begin(&beginning);
        assert_sound(&play.command);
        for word in &words {
            play.one(word);
            assert_sound(&play.command);
        }
    }

    #[test]
    fn b02_terminal_is_final(beginning in beginning(), words in vec(word(), 0..40)) {
        let mut play = begin(&beginning);
        let mut end: Option<Command> = None;
        for word in &words {
            let steps = play.one(word);
            if let Some(end) = &end {
                prop_assert_eq!(&play.command, end);
                prop_assert_eq!(steps, vec![]);
            }
            if play.command.phase.is_terminal() {
                end = Some(play.command.clone());
            }
        }
    }

    #[test]
    fn b05_then_silence_ends_every_command_within_its_bound(
        beginning in beginning(), words in vec(word(), 0..25)
    ) {
        let mut play = begin(&beginning);
        play.play(&words);
        let silence = play.now;
        let mut firings = 0;
        while let Some(deadline) = due(&play.command) {
            let before = (rank(&play.command), deadline.at);
            let at = deadline.at.max(play.now);
            let _ = play.command.handle_timeout(at);
            play.now = at;
            let after = rank(&play.command);
            let waits = due(&play.command).is_some_and(|next| next.at > before.1);
            prop_assert!(after < before.0 || (after == before.0 && waits));
            firings += 1;
            prop_assert!(firings <= 12);
        }
        prop_assert!(play.now.since(silence) <= timing::bound(beginning.op));
        prop_assert!(play.command.phase.is_terminal());
    }

    #[test]
    fn b07_success_only_with_a_recorded_exit_or_a_proven_return(
        beginning in beginning(), words in vec(word(), 0..30)
    ) {
        let mut play = begin(&beginning);
        play.play(&words);
        if play.command.phase == Phase::Success {
            let said = |wanted: ResultKind| words.iter().any(|word| match word {
                Word::Exit(kind, _) => *kind == wanted,
                Word::Hello(_, held) => held.iter().flatten().any(|(kind, _)| *kind == wanted),
                _ => false,
            });
            let returned = words.iter().any(|word| {
                matches!(word, Word::Hello(Process::New | Process::Rebooted, _))
            });
            let disruptive = matches!(beginning.op, Op::Restart | Op::Reboot);
            prop_assert!(said(ResultKind::Ok) || (disruptive && returned));
            if !disruptive {
                let exit = play.command.exit.as_ref();
                prop_assert!(exit.is_some_and(|exit| exit.kind == ResultKind::Ok && exit.code == 0));
            }
        }
    }

    #[test]
    fn b08_no_outcome_is_inferred_from_connections_and_heartbeats(
        beginning in beginning(),
        words in vec(prop_oneof![
            Just(Word::Disconnect),
            Just(Word::Hello(Process::Same, None)),
            Just(Word::Hello(Process::Running, None)),
            Just(Word::Beat(Facts::Right)),
            Just(Word::BeatNaming),
            Just(Word::Restart),
            (0_u64..4000).prop_map(Word::Wait),
        ], 0..30)
    ) {
        let mut play = begin(&beginning);
        play.play(&words);
        let ending = play.command.ending.as_ref();
        let honest = matches!(
            ending,
            None | Some(
                Ending::OutcomeUnknown(_) | Ending::Unverified(_) | Ending::NeverReturned
                | Ending::Expired
            )
        );
        prop_assert!(honest, "{:?}", ending);
    }

    #[test]
    fn b09_messages_about_another_command_change_nothing(
        beginning in beginning(), words in vec(word(), 0..20), foreign in addressed()
    ) {
        let mut play = begin(&beginning);
        play.play(&words);
        let before = play.command.clone();
        let steps = play.one(&Word::Foreign(Box::new(foreign)));
        prop_assert_eq!(&play.command, &before);
        prop_assert_eq!(steps, vec![]);
    }

    #[test]
    fn rule_7_applying_an_event_twice_is_applying_it_once(
        beginning in beginning(), words in vec(word(), 0..20), last in word()
    ) {
        prop_assume!(!matches!(last, Word::Wait(_)));
        let mut play = begin(&beginning);
        play.play(&words);
        play.one(&last);
        let once = play.command.clone();
        let again = play.one(&last);
        prop_assert_eq!(&play.command, &once, "{:?}", last);
        let harmless = again
            .iter()
            .all(|step| matches!(step, Step::Confirm | Step::SendKill { .. }));
        prop_assert!(harmless, "{:?}: {:?}", last, again);
    }

    #[test]
    fn b13_resends_are_few_within_the_lease_and_never_after_an_answer(
        beginning in beginning(), words in vec(word(), 0..30)
    ) {
        let mut play = begin(&beginning);
        let mut resends = 0;
        for word in &words {
            let known = play.command.acknowledged_at.is_some();
            let steps = play.one(word);
            for step in steps {
                if step == (Step::SendCommand { resend: true }) {
                    resends += 1;
                    prop_assert!(!known);
                    prop_assert_eq!(play.command.protocol, AgentProtocol::Commands);
                    prop_assert!(Some(play.now) < play.command.not_after);
                }
            }
        }
        prop_assert!(resends <= timing::MAX_RESENDS);
    }

    #[test]
    fn rule_3_the_server_gives_up_only_when_nothing_can_start_any_more(
        beginning in beginning(), words in vec(word(), 0..30)
    ) {
        let mut play = begin(&beginning);
        play.play(&words);
        let command = &play.command;
        let given_up = matches!(
            command.ending,
            Some(Ending::OutcomeUnknown(_) | Ending::NeverReturned | Ending::StoppedTracking)
        );
        let ours = command.protocol == AgentProtocol::Commands;
        if let (true, true, Some(end), None) =
            (given_up, ours, command.not_after, command.acknowledged_at)
        {
            prop_assert!(command.phase_since >= end + timing::SKEW * 2);
        }
    }

    #[test]
    fn b18_what_never_started_was_never_sent(beginning in beginning(), words in vec(word(), 0..30)) {
        let mut play = begin(&beginning);
        play.play(&words);
        let sent = play.steps.iter().any(|step| matches!(step, Step::SendCommand { .. }));
        let unsent = matches!(
            play.command.phase,
            Phase::Blocked | Phase::Pending | Phase::Cancelled | Phase::Expired | Phase::Superseded
        ) || play.command.ending == Some(Ending::StageFailed);
        prop_assert!(!(sent && unsent));
        let outcome = play.steps.iter().any(|step| matches!(step, Step::DeployOutcome { .. }));
        prop_assert!(!(unsent && outcome));
    }

    #[test]
    fn b20_one_started_and_one_finished_per_executed_command(
        beginning in beginning(), words in vec(word(), 0..40)
    ) {
        let mut play = begin(&beginning);
        play.play(&words);
        let count = |wanted: &Step| play.steps.iter().filter(|step| *step == wanted).count();
        prop_assert_eq!(count(&Step::Started), usize::from(play.command.was_sent()));
        prop_assert_eq!(count(&Step::Finished), usize::from(play.command.phase.is_terminal()));
    }

    #[test]
    fn time_never_runs_backwards_and_spurious_calls_do_nothing(
        beginning in beginning(), words in vec(word(), 0..20), back in 0_u64..1_000_000
    ) {
        let mut play = begin(&beginning);
        play.play(&words);
        let before = play.command.clone();
        let steps = play.command.handle_timeout(play.now);
        prop_assert_eq!(steps, vec![]);
        let steps = play.command.handle_timeout(play.now - Duration::from_secs(back));
        prop_assert_eq!(steps, vec![]);
        prop_assert_eq!(&play.command, &before);
    }

    #[test]
    fn rule_4_deadlines_survive_restarts_and_late_ones_wait_two_minutes(
        beginning in beginning(), words in vec(word(), 0..20), down in 0_u64..100_000
    ) {
        let mut play = begin(&beginning);
        play.play(&words);
        let before = play.command.clone();
        let text = serde_json::to_string(&before).unwrap();
        play.command = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&play.command, &before);
        play.now = play.now + Duration::from_secs(down);
        let steps = play.one(&Word::Restart);
        prop_assert_eq!(steps, vec![]);
        prop_assert_eq!(play.command.phase, before.phase);
        if let (Some(old), Some(new)) = (before.deadline, play.command.deadline) {
            prop_assert_eq!(old.reason, new.reason);
            if old.at <= play.now && old.reason != DeadlineReason::Kill {
                prop_assert_eq!(new.at, play.now + timing::RESTART_GRACE);
            } else if old.reason != DeadlineReason::Kill {
                prop_assert_eq!(new.at, old.at);
            }
            prop_assert!(new.at > play.now);
        }
    }

    #[test]
    fn b14_killed_only_with_the_agents_confirmation(
        beginning in beginning(), words in vec(word(), 0..30)
    ) {
        let mut play = begin(&beginning);
        play.play(&words);
        if play.command.phase == Phase::Killed {
            let exit = play.command.exit.as_ref();
            prop_assert!(exit.is_some_and(|exit| exit.kind == ResultKind::Stopped));
        }
    }
}
