//! The verdict on checks, over every state and every pair of states.

use nixfleet_core::update::{
    Baseline, CHECK_VERDICTS, Check, CheckState, MISSING, PullRequest, ReadOrNot, UpdatePolicy,
    Verdict, contribution, verdict,
};

use super::pull_requests::{benign, check, commit, policy};

const STATES: [CheckState; 9] = [
    CheckState::Success,
    CheckState::Failure,
    CheckState::Cancelled,
    CheckState::Skipped,
    CheckState::Neutral,
    CheckState::ActionRequired,
    CheckState::Running,
    CheckState::Stale,
    CheckState::Unknown,
];

fn with(checks: Vec<Check>) -> PullRequest {
    PullRequest {
        checks: ReadOrNot::Read(checks),
        ..benign()
    }
}

fn unconfigured() -> UpdatePolicy {
    UpdatePolicy {
        required_checks: [].into(),
        ..policy()
    }
}

#[test]
fn every_state_has_one_row_and_only_a_success_passes() {
    for state in STATES {
        let rows = CHECK_VERDICTS.iter().filter(|row| row.0 == state);
        assert_eq!(rows.count(), 1, "{state:?}");
        let pr = with(vec![check("build", state, 'c')]);
        let judged = verdict(&pr, &policy(), None);
        assert_eq!(judged.verdict, contribution(state).0);
        assert_eq!(
            judged.verdict == Verdict::Pass,
            state == CheckState::Success
        );
        if state != CheckState::Success {
            assert!(judged.why.contains(contribution(state).1), "{}", judged.why);
        }
    }
}

/// Two applications may use one name: the worse one counts, whatever the order.
#[test]
fn one_name_with_two_runs_is_as_good_as_the_worse_one() {
    for one in STATES {
        for other in STATES {
            let checks = vec![check("build", one, 'c'), check("build", other, 'c')];
            let expected = contribution(one).0.max(contribution(other).0);
            assert_eq!(verdict(&with(checks), &policy(), None).verdict, expected);
        }
    }
}

#[test]
fn a_required_check_must_be_on_this_head() {
    let elsewhere = with(vec![check("build", CheckState::Success, 'd')]);
    let judged = verdict(&elsewhere, &policy(), None);
    assert_eq!(
        (judged.verdict, judged.why.as_str()),
        (MISSING.0, "build is not on this head")
    );
    // A failure on another commit is none either.
    let both = with(vec![
        check("build", CheckState::Success, 'c'),
        check("build", CheckState::Failure, 'd'),
    ]);
    assert_eq!(verdict(&both, &policy(), None).verdict, Verdict::Pass);
}

#[test]
fn what_is_not_required_is_shown_and_decides_nothing() {
    for state in STATES {
        let pr = with(vec![
            check("build", CheckState::Success, 'c'),
            check("spelling", state, 'c'),
        ]);
        let judged = verdict(&pr, &policy(), None);
        assert_eq!(judged.verdict, Verdict::Pass);
        let shown: Vec<(&str, bool)> = judged
            .checks
            .iter()
            .map(|one| (one.name.as_str(), one.required))
            .collect();
        assert_eq!(shown, [("build", true), ("spelling", false)]);
    }
}

#[test]
fn without_configured_names_those_of_the_last_merged_update_are_required() {
    let pr = with(vec![check("build", CheckState::Success, 'c')]);
    let policy = unconfigured();
    let first = verdict(&pr, &policy, None);
    assert_eq!(first.verdict, Verdict::NoVerdict);
    assert!(first.why.contains("configure names"), "{}", first.why);

    let ran = |checks| Baseline::of(&with(checks)).unwrap();
    let same = ran(vec![
        check("build", CheckState::Failure, 'c'),
        check("docs", CheckState::Skipped, 'c'),
        check("old", CheckState::Success, 'd'),
    ]);
    assert_eq!(
        same.names,
        ["build".to_owned()].into(),
        "what ran on its head"
    );
    assert_eq!(verdict(&pr, &policy, Some(&same)).verdict, Verdict::Pass);

    let more = ran(vec![
        check("build", CheckState::Success, 'c'),
        check("vm-tests", CheckState::Success, 'c'),
    ]);
    let judged = verdict(&pr, &policy, Some(&more));
    assert_eq!(judged.verdict, Verdict::NoVerdict);
    assert_eq!(judged.why, "vm-tests is not on this head");

    let none = ran(Vec::new());
    let judged = verdict(&with(Vec::new()), &policy, Some(&none));
    assert_eq!(
        judged.verdict,
        Verdict::NoVerdict,
        "nothing at all is never a pass"
    );
    let unread = PullRequest {
        checks: ReadOrNot::NotRead("too many".to_owned()),
        ..benign()
    };
    assert_eq!(Baseline::of(&unread), None);
    assert_eq!(
        verdict(&unread, &policy, Some(&same)).verdict,
        Verdict::NoVerdict
    );
    assert_eq!(commit('c'), benign().head);
}
