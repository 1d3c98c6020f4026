//! The sheets of the lifecycle: phases, transitions, what is ignored, endings, freshness.

use serde::Serialize;

use super::sheet::{Sheet, code, codes, yes};
use super::words::{late_text, phase_text, wire};
use crate::lifecycle::{
    Arm, ENDINGS, EndingKind, EndingSpec, EventKind, Expectation, Freshness, FreshnessFacts,
    GoalGap, HostEffect, IGNORED, LATE, LateRow, Phase, Relation, Row, Settles, TABLE, To,
    UnknownCause, UnverifiedCause, guards,
};

pub(super) fn sheets() -> Vec<Sheet> {
    vec![
        phases(),
        transitions(),
        ignored(),
        circumstances(),
        endings(),
        late(),
        ending_causes(),
        freshness(),
    ]
}

fn phases() -> Sheet {
    let row = |phase: Phase| {
        let mut arms: Vec<String> = Vec::new();
        for row in TABLE.iter().filter(|row| target(row, phase) == phase) {
            let arm = wire(row.arm);
            let entered = matches!(row.to, To::Go(_)) || row.from.contains(&phase);
            if entered && !matches!(row.arm, Arm::Keep | Arm::Resume | Arm::Nothing) {
                arms.push(arm);
            }
        }
        // A queued command is bounded from its making on, not by a row.
        if phase == Phase::Pending {
            arms.push("queue".to_owned());
        }
        arms.sort_unstable();
        arms.dedup();
        vec![
            code(&wire(phase)),
            phase_text(phase).to_owned(),
            yes(phase.is_terminal()),
            yes(phase.is_active()),
            if phase.is_terminal() {
                "–".to_owned()
            } else {
                codes(arms)
            },
        ]
    };
    Sheet {
        id: "phases",
        title: "Phases",
        about: "Where a command can be. Every phase that is not terminal is bounded by a deadline: \
                the last column names those that rows leading into it arm.",
        columns: &[
            "phase",
            "meaning",
            "terminal",
            "occupies the host",
            "bounded by",
        ],
        rows: Phase::ALL.into_iter().map(row).collect(),
    }
}

/// Where a row leads from a phase.
pub(super) fn target(row: &Row, from: Phase) -> Phase {
    match row.to {
        To::Stay => from,
        To::Go(phase) => phase,
        To::End(kind) => kind.spec().phase,
        To::Unknown(_) => EndingKind::OutcomeUnknown.spec().phase,
        To::Unverified(_) => EndingKind::Unverified.spec().phase,
    }
}

pub(super) fn destination(to: To) -> String {
    match to {
        To::Stay => "stays".to_owned(),
        To::Go(phase) => code(&wire(phase)),
        To::End(kind) => format!("{} ({})", code(&wire(kind.spec().phase)), wire(kind)),
        To::Unknown(cause) => {
            let phase = EndingKind::OutcomeUnknown.spec().phase;
            format!("{} (outcome-unknown: {})", code(&wire(phase)), wire(cause))
        }
        To::Unverified(cause) => {
            let phase = EndingKind::Unverified.spec().phase;
            format!("{} (unverified: {})", code(&wire(phase)), wire(cause))
        }
    }
}

fn all_or<T: Serialize>(values: &[T], all: &str) -> String {
    if values.is_empty() {
        all.to_owned()
    } else {
        codes(values.iter().map(wire))
    }
}

fn transitions() -> Sheet {
    let row = |row: &Row| {
        vec![
            code(row.id),
            codes(row.from.iter().map(wire)),
            codes(row.on.iter().map(wire)),
            all_or(row.when, ""),
            destination(row.to),
            wire(row.arm),
            row.then.iter().map(wire).collect::<Vec<_>>().join(", "),
            row.why.to_owned(),
        ]
    };
    Sheet {
        id: "transitions",
        title: "Transitions",
        about: "Everything that happens to a command. An empty circumstance means all that the \
                events have. Together with what is ignored, every phase, event and circumstance \
                has exactly one row.",
        columns: &[
            "row",
            "from",
            "on",
            "circumstance",
            "to",
            "deadline",
            "does",
            "why",
        ],
        rows: TABLE.iter().map(row).collect(),
    }
}

fn ignored() -> Sheet {
    let row = |row: &Row| {
        let terminal = row.from.iter().all(|phase| phase.is_terminal());
        let on = if row.on.len() == EventKind::ALL.len() {
            "every event".to_owned()
        } else {
            codes(row.on.iter().map(wire))
        };
        vec![
            code(row.id),
            if terminal {
                "every terminal phase".to_owned()
            } else {
                codes(row.from.iter().map(wire))
            },
            on,
            all_or(row.when, ""),
            row.why.to_owned(),
        ]
    };
    Sheet {
        id: "ignored",
        title: "What is ignored",
        about: "Everything that deliberately does nothing.",
        columns: &["row", "in", "on", "circumstance", "why"],
        rows: IGNORED.iter().map(row).collect(),
    }
}

fn circumstances() -> Sheet {
    let row = |kind: EventKind| vec![code(&wire(kind)), codes(guards(kind).iter().map(wire))];
    Sheet {
        id: "circumstances",
        title: "Events and their circumstances",
        about: "Exactly one of the circumstances of an event holds.",
        columns: &["event", "circumstances"],
        rows: EventKind::ALL.into_iter().map(row).collect(),
    }
}

fn endings() -> Sheet {
    let row = |spec: &EndingSpec| {
        vec![
            code(&wire(spec.ending)),
            code(&wire(spec.phase)),
            effect(spec.pull_only),
            effect(spec.touched),
            effect(spec.activated),
        ]
    };
    Sheet {
        id: "endings",
        title: "Endings and the deploy outcome",
        about: "How a command can end, and what that does to the deploy outcome of its host, for \
                deploy-class operations: if only the pull half ran, without an activation on \
                record, and with one. The second word is what happens to `needs_reconcile`.",
        columns: &[
            "ending",
            "phase",
            "pull half only",
            "no activation on record",
            "activation on record",
        ],
        rows: ENDINGS.iter().map(row).collect(),
    }
}

fn effect(effect: HostEffect) -> String {
    format!("{}, {}", wire(effect.deploy), wire(effect.reconcile))
}

fn late() -> Sheet {
    let row = |row: &LateRow| {
        vec![
            code(row.id),
            late_text(row.case).to_owned(),
            match row.settles {
                Settles::Nothing => "nothing".to_owned(),
                Settles::Tests => "the test result".to_owned(),
                Settles::Deploy(what) => effect(what),
            },
            yes(row.noted),
            row.why.to_owned(),
        ]
    };
    Sheet {
        id: "late",
        title: "Late results",
        about: "What a result means that arrives after the end of its command; the first row that \
                applies. It never changes the command. Settled are the deploy outcome and \
                `needs_reconcile`, as for endings. The agent may forget its result in any case.",
        columns: &["row", "the result is", "settles", "noted as late", "why"],
        rows: LATE.iter().map(row).collect(),
    }
}

pub(super) const UNKNOWN: [UnknownCause; 6] = [
    UnknownCause::NotAcknowledged,
    UnknownCause::UnknownToAgent,
    UnknownCause::HardTimeout,
    UnknownCause::NoDecision,
    UnknownCause::KillNotConfirmed,
    UnknownCause::Interrupted,
];

pub(super) const UNVERIFIED: [UnverifiedCause; 4] = [
    UnverifiedCause::NoFacts,
    UnverifiedCause::NotReported,
    UnverifiedCause::OnlyCameBack,
    UnverifiedCause::BinaryNotReported,
];

pub(super) const GAPS: [GoalGap; 11] = [
    GoalGap::CommitIsNotTarget,
    GoalGap::NoDeploymentRecord,
    GoalGap::OtherSystemRunning,
    GoalGap::SystemUnmoved,
    GoalGap::OtherInputsBuilt,
    GoalGap::NotRollbackTarget,
    GoalGap::NoTests,
    GoalGap::TestsOfOtherRevision,
    GoalGap::AgentNotRestarted,
    GoalGap::NotRebooted,
    GoalGap::LockUnchanged,
];

fn ending_causes() -> Sheet {
    let row = |ending: EndingKind, cause: String, text: &str| {
        vec![code(&wire(ending)), code(&cause), text.to_owned()]
    };
    let unknown = UNKNOWN.map(|one| row(EndingKind::OutcomeUnknown, wire(one), one.text()));
    let unverified = UNVERIFIED.map(|one| row(EndingKind::Unverified, wire(one), one.text()));
    let gaps = GAPS.map(|one| row(EndingKind::GoalNotReached, wire(one), one.text()));
    Sheet {
        id: "ending-causes",
        title: "Causes of endings",
        about: "Endings that say more than their name.",
        columns: &["ending", "cause", "sentence"],
        rows: unknown.into_iter().chain(unverified).chain(gaps).collect(),
    }
}

/// What the freshness verdict tells apart of a relation: same, changed, or everything else.
pub(super) const TOLD_APART: [(Relation, &str); 3] = [
    (Relation::Same, "same"),
    (Relation::Changed, "changed"),
    (Relation::MissingBoth, "not known"),
];

/// One line of the freshness sheet: expected path, path, hash, source, and the verdicts without
/// and with an update due.
pub(super) type FreshnessLine = ([&'static str; 4], Freshness, Freshness);

/// The freshness table, with equal cells drawn together.
pub(super) fn freshness_lines() -> Vec<FreshnessLine> {
    let verdict = |expected, path, hash, source, update_due| {
        FreshnessFacts {
            source,
            path,
            hash,
            expected,
            update_due,
        }
        .verdict()
    };
    let any = Relation::MissingBoth;
    let mut lines = Vec::new();
    for (expected, name) in [
        (Expectation::Match, "match"),
        (Expectation::Mismatch, "mismatch"),
    ] {
        let [not_due, due] = [false, true].map(|due| verdict(expected, any, any, any, due));
        lines.push(([name, "any", "any", "any"], not_due, due));
    }
    for (path, path_name) in TOLD_APART {
        for (hash, hash_name) in TOLD_APART {
            for (source, source_name) in TOLD_APART {
                let of = |due| verdict(Expectation::Unknown, path, hash, source, due);
                let names = ["unknown", path_name, hash_name, source_name];
                lines.push((names, of(false), of(true)));
            }
        }
    }
    lines
}

fn freshness() -> Sheet {
    let row = |(names, not_due, due): FreshnessLine| {
        let mut cells: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        cells.extend([code(&wire(not_due)), code(&wire(due))]);
        cells
    };
    Sheet {
        id: "freshness",
        title: "Freshness verdict",
        about: "Is the agent that runs after a switch the one it should be? Compared are the \
                running path with the one that the deployed configuration expects, and path, \
                binary hash and source commit before and after. \"Not known\" is a field that was \
                not reported both times.",
        columns: &[
            "expected path",
            "path",
            "binary hash",
            "source commit",
            "no update due",
            "update due",
        ],
        rows: freshness_lines().into_iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_freshness_sheet_say_what_every_cell_of_the_table_says() {
        let lines = freshness_lines();
        let class = |relation: Relation| match relation {
            Relation::Same => "same",
            Relation::Changed => "changed",
            Relation::MissingBefore
            | Relation::MissingAfter
            | Relation::MissingBoth
            | Relation::Unknown => "not known",
        };
        let mut cells = 0;
        for expected in Expectation::ALL {
            for path in Relation::ALL {
                for hash in Relation::ALL {
                    for source in Relation::ALL {
                        for update_due in [false, true] {
                            let facts = FreshnessFacts {
                                source,
                                path,
                                hash,
                                expected,
                                update_due,
                            };
                            let names = match expected {
                                Expectation::Match => ["match", "any", "any", "any"],
                                Expectation::Mismatch => ["mismatch", "any", "any", "any"],
                                Expectation::Unknown => {
                                    ["unknown", class(path), class(hash), class(source)]
                                }
                            };
                            let line = lines.iter().find(|line| line.0 == names).unwrap();
                            let told = if update_due { line.2 } else { line.1 };
                            assert_eq!(told, facts.verdict(), "{facts:?}");
                            cells += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(cells, 1296);
    }
}
