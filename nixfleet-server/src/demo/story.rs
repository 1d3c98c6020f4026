//! The day that the demo plays, as data: what happens in each step, and what must be seen after it.

use nixfleet_core::{Op, Phase};

use super::host::{Habit, HostCommand};
use super::rows::Situation;
use super::world::Tests;

/// A step of the story.
pub struct Step {
    /// What happens, for people.
    pub caption: &'static str,
    /// What happens, in order.
    pub acts: &'static [Act],
    /// Where the hosts stand afterwards; the others stay where they were.
    pub then: &'static [(&'static str, Situation)],
}

/// Something that happens.
#[derive(Clone, Copy)]
pub enum Act {
    /// The agents of all hosts start.
    StartAgents,
    /// A host is added on the page.
    Announce(&'static str),
    /// An agent of an existing installation connects.
    JoinExisting,
    /// It tells the hash of its lock from now on.
    TellLockHash,
    /// Changes of these inputs are merged.
    Merge(&'static [&'static str]),
    /// A test script for a host is merged along with the next update.
    WriteTest(&'static str),
    /// An operation runs on hosts and ends well.
    Run(Op, &'static [&'static str]),
    /// An operation runs on a host and ends otherwise.
    RunUntil(Op, &'static str, Phase),
    /// A host is released, and what it was brought back from is deployed by automations again.
    Forgive(&'static str),
    /// A command of a host changes its habit.
    Tell(&'static str, HostCommand, Habit),
    /// The remote cannot be reached any more.
    Cut,
    /// It can be reached again.
    Restore,
}

/// A host with a configured test command.
pub const WEB: &str = "web-1";
/// Another one.
pub const DB: &str = "db-1";
/// A host that is tested by the scripts in the repository.
pub const LAPTOP: &str = "laptop-1";
/// A host that never connects.
pub const SPARE: &str = "spare-1";
/// A host with an agent of an existing installation.
pub const ATTIC: &str = "attic-1";

/// The hosts with agents of their own.
pub const HOSTS: &[(&str, Tests)] = &[
    (WEB, Tests::Command),
    (DB, Tests::Command),
    (LAPTOP, Tests::Scripts),
];

const OWN: &[&str] = &[WEB, DB, LAPTOP];
const ALL: &[&str] = &[WEB, DB, LAPTOP, ATTIC];
const BUT_DB: &[&str] = &[WEB, LAPTOP, ATTIC];

use Situation as S;

/// The day.
#[rustfmt::skip]
pub const STORY: &[Step] = &[
    Step {
        caption: "Three agents connect for the first time; a fourth host is only announced",
        acts: &[Act::Announce(SPARE), Act::StartAgents],
        then: &[(WEB, S::FirstContact), (DB, S::FirstContact), (LAPTOP, S::FirstContact), (SPARE, S::Announced)],
    },
    Step {
        caption: "They pull: now the server knows what they have, but not what they run",
        acts: &[Act::Run(Op::Pull, OWN)],
        then: &[(WEB, S::NeverDeployed), (DB, S::NeverDeployed), (LAPTOP, S::NeverDeployed)],
    },
    Step {
        caption: "The first switch",
        acts: &[Act::Run(Op::Switch, OWN)],
        then: &[(WEB, S::Switched), (DB, S::Switched), (LAPTOP, S::Switched)],
    },
    Step {
        caption: "Tests; the laptop has none, and having no tests is no pass",
        acts: &[Act::Run(Op::Test, &[WEB, DB]), Act::RunUntil(Op::Test, LAPTOP, Phase::Partial)],
        then: &[(WEB, S::Current), (DB, S::Current), (LAPTOP, S::NoTests)],
    },
    Step {
        caption: "An agent of an existing installation joins; it does not tell its lock hash",
        acts: &[Act::JoinExisting],
        then: &[(ATTIC, S::ExistingNew)],
    },
    Step {
        caption: "It is updated and tells the hash",
        acts: &[Act::TellLockHash],
        then: &[(ATTIC, S::NeverDeployed)],
    },
    Step {
        caption: "It is switched and tested from here; that its tests passed is only its own word",
        acts: &[Act::Run(Op::Switch, &[ATTIC]), Act::Run(Op::Test, &[ATTIC])],
        then: &[(ATTIC, S::ExistingTested)],
    },
    Step {
        caption: "An update of nixpkgs is merged, with a test for the laptop",
        acts: &[Act::WriteTest(LAPTOP), Act::Merge(&["nixpkgs"])],
        then: &[(WEB, S::Merged), (DB, S::Merged), (LAPTOP, S::Merged), (ATTIC, S::Merged)],
    },
    Step {
        caption: "Pull",
        acts: &[Act::Run(Op::Pull, ALL)],
        then: &[(WEB, S::Pulled), (DB, S::Pulled), (LAPTOP, S::Pulled), (ATTIC, S::Pulled)],
    },
    Step {
        caption: "Switch",
        acts: &[Act::Run(Op::Switch, ALL)],
        then: &[(WEB, S::Switched), (DB, S::Switched), (LAPTOP, S::Switched), (ATTIC, S::Switched)],
    },
    Step {
        caption: "Test",
        acts: &[Act::Run(Op::Test, ALL)],
        then: &[(WEB, S::Current), (DB, S::Current), (LAPTOP, S::Current), (ATTIC, S::ExistingTested)],
    },
    Step {
        caption: "The git remote cannot be reached: nothing can be verified, so nothing stays green",
        acts: &[Act::Cut],
        then: &[
            (WEB, S::RemoteGone), (DB, S::RemoteGone), (LAPTOP, S::RemoteGone), (ATTIC, S::RemoteGone),
            (SPARE, S::RemoteGoneNeverSeen),
        ],
    },
    Step {
        caption: "It is back",
        acts: &[Act::Restore],
        then: &[
            (WEB, S::Current), (DB, S::Current), (LAPTOP, S::Current), (ATTIC, S::ExistingTested),
            (SPARE, S::Announced),
        ],
    },
    Step {
        caption: "The next update is merged",
        acts: &[Act::Merge(&["home-manager", "disko"])],
        then: &[(WEB, S::Merged), (DB, S::Merged), (LAPTOP, S::Merged), (ATTIC, S::Merged)],
    },
    Step {
        caption: "Pull",
        acts: &[Act::Run(Op::Pull, ALL)],
        then: &[(WEB, S::Pulled), (DB, S::Pulled), (LAPTOP, S::Pulled), (ATTIC, S::Pulled)],
    },
    Step {
        caption: "Switch; on db-1 it fails",
        acts: &[
            Act::Tell(DB, HostCommand::Switch, Habit::Fails),
            Act::RunUntil(Op::Switch, DB, Phase::Error),
            Act::Run(Op::Switch, BUT_DB),
        ],
        then: &[(WEB, S::Switched), (DB, S::SwitchFailed), (LAPTOP, S::Switched), (ATTIC, S::Switched)],
    },
    Step {
        caption: "The fix is merged: the remote moves on",
        acts: &[Act::Merge(&["nixpkgs"])],
        then: &[(WEB, S::Merged), (DB, S::FailedThenMoved), (LAPTOP, S::Merged), (ATTIC, S::Merged)],
    },
    Step {
        caption: "Pull: db-1 stays red, for what it runs is still broken",
        acts: &[Act::Run(Op::Pull, ALL)],
        then: &[(WEB, S::Pulled), (DB, S::FailedThenPulled), (LAPTOP, S::Pulled), (ATTIC, S::Pulled)],
    },
    Step {
        caption: "Switch; now it works on db-1, too",
        acts: &[Act::Tell(DB, HostCommand::Switch, Habit::Works), Act::Run(Op::Switch, ALL)],
        then: &[(WEB, S::Switched), (DB, S::FailedThenSwitched), (LAPTOP, S::Switched), (ATTIC, S::Switched)],
    },
    Step {
        caption: "Test",
        acts: &[Act::Run(Op::Test, ALL)],
        then: &[(WEB, S::Current), (DB, S::Current), (LAPTOP, S::Current), (ATTIC, S::ExistingTested)],
    },
    Step {
        caption: "web-1 is rolled back to the generation before",
        acts: &[Act::Run(Op::Rollback, &[WEB])],
        then: &[(WEB, S::RolledBack)],
    },
    Step {
        caption: "It is released, rolls forward again and passes its tests: everything is as it should be",
        acts: &[Act::Forgive(WEB), Act::Run(Op::Switch, &[WEB]), Act::Run(Op::Test, &[WEB])],
        then: &[(WEB, S::Current)],
    },
];
