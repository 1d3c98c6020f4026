//! Automatic merges: every condition and every gate, or a visible reason why not.

use sha2::{Digest, Sha256};

use super::checks::Verdict;
use super::condition::{Condition, Finding, Judgement};
use super::gate::AutoGate;
use super::job::{Because, Deploy, Stage, Work};
use super::machine::{UpdateStep, Updates};
use super::pull_request::PrNumber;
use super::state::KnownPr;
use crate::compartment::render::text::clean;
use crate::desired::DesiredState;
use crate::host::Actor;
use crate::ids::{CommitId, RolloutId};
use crate::notice::{Notice, NoticeKind};
use crate::rollout::Targets;
use crate::time::Timestamp;

/// The name under which automatic merges are audited.
pub const AUTO_MERGE: &str = "auto-merge";

impl Updates {
    /// What every gate says about the automatic merge of a pull request now.
    #[must_use]
    pub fn auto_gates(&self, known: &KnownPr, judgement: &Judgement) -> Vec<(AutoGate, Finding)> {
        let pass = |text: &str| Finding::Pass(text.to_owned());
        let switched_on = if self.policy.auto_merge {
            pass("automatic merges are switched on")
        } else {
            Finding::Fail("automatic merges are switched off".to_owned())
        };
        let broken: Vec<&str> = judgement
            .broken()
            .map(|(_, finding)| finding.why())
            .collect();
        let conditions = if judgement.is_eligible() {
            pass("every condition holds")
        } else {
            Finding::Fail(broken.join("; "))
        };
        let idle = match self.open_job() {
            None => pass("nothing else is under way"),
            Some(job) => Finding::Fail(job.message()),
        };
        let tried = self.state.failed_head.as_ref();
        let barred = tried.filter(|failed| {
            failed.head == known.pr.head && failed.again.is_none_or(|again| self.clock < again)
        });
        let first_try = match barred {
            None => pass("nothing stands against trying it"),
            Some(failed) => Finding::Fail(format!("its automatic merge failed: {}", failed.why)),
        };
        vec![
            (AutoGate::SwitchedOn, switched_on),
            (AutoGate::Conditions, conditions),
            (
                AutoGate::Quarantine,
                self.gates.quarantine(known.lock_hash()),
            ),
            (AutoGate::Window, self.gates.window()),
            (AutoGate::Rollout, self.gates.rollout()),
            (AutoGate::Idle, idle),
            (AutoGate::FirstTry, first_try),
        ]
    }

    /// Whether an automatic merge waits until its rollout can start.
    #[must_use]
    pub(crate) fn waits_for_its_rollout(&self) -> bool {
        let is_on = self.policy.auto_merge && self.open_job().is_none();
        is_on && self.gates.rollout.is_some() && self.current().is_some()
    }

    /// What an automatic merge deploys.
    pub(crate) fn automatic_deploy(rollout: RolloutId) -> Deploy {
        Deploy {
            rollout,
            hosts: Targets::All,
            policy: Deploy::default_policy(),
        }
    }

    /// Starts the automatic merge of the current pull request if nothing stands in its way. The job
    /// reads it again, and needs the same of that reading.
    pub(super) fn automation(&mut self, _desired: &DesiredState, now: Timestamp) {
        let Some(known) = self.current() else { return };
        if !self.policy.auto_merge {
            return;
        }
        let judgement = self.judgement(known);
        let gates = self.auto_gates(known, &judgement);
        let (number, head, title) = (known.pr.number, known.pr.head, known.pr.title.clone());
        if gates.iter().all(|(_, finding)| finding.is_pass()) {
            let deploy = Some(Self::automatic_deploy(rollout_id(number, head, now)));
            let work = Work::Merge { head, deploy };
            let (because, actor) = (Because::First, Actor::Automation(AUTO_MERGE.to_owned()));
            let stage = Stage::Reading { because, at: now };
            let started = self.start_job(number, title, &actor, None, work, stage, now);
            if started.is_ok() {
                self.audit(&actor, "merge-pr", None, "requested");
            }
        } else if let Some(why) = lasting(&judgement, &gates, now) {
            self.tell_refusal(number, head, why, now);
        }
    }

    /// Tells once of every lasting refusal.
    fn tell_refusal(&mut self, number: PrNumber, head: CommitId, why: String, now: Timestamp) {
        let told = Some((number, head, why));
        if self.state.told == told {
            return;
        }
        self.state.told.clone_from(&told);
        let why = told.map(|(_, _, why)| why).unwrap_or_default();
        self.push(UpdateStep::Event {
            code: "auto-merge-refused",
            text: clean(&format!("{number} is not merged automatically: {why}"), 400),
        });
        self.push(UpdateStep::Notify(Notice::new(
            NoticeKind::AutoMergeRefused,
            now,
            &format!("{number}@{}", head.short()),
            format!("Update {number} is not merged automatically"),
            why,
        )));
    }
}

/// Why nothing but a change helps; `None` while waiting may.
fn lasting(judgement: &Judgement, gates: &[(AutoGate, Finding)], now: Timestamp) -> Option<String> {
    if now < judgement.ripe_at {
        return None;
    }
    let waits = |condition: Condition, finding: &Finding| match condition {
        Condition::Age | Condition::HeadUnchanged => true,
        Condition::Checks => judgement.checks.verdict == Verdict::Pending,
        Condition::Mergeable => matches!(finding, Finding::CannotTell(_)),
        Condition::Open
        | Condition::NotDraft
        | Condition::Base
        | Condition::HeadRepo
        | Condition::Author
        | Condition::Files
        | Condition::LockChange => false,
    };
    let broken = judgement
        .broken()
        .filter(|(condition, finding)| !waits(*condition, finding));
    let mut reasons: Vec<&str> = broken.map(|(_, finding)| finding.why()).collect();
    let quarantine = gates
        .iter()
        .filter(|(gate, _)| *gate == AutoGate::Quarantine);
    reasons.extend(
        quarantine
            .filter(|(_, it)| !it.is_pass())
            .map(|(_, it)| it.why()),
    );
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// An id in the layout of a UUID of version 7, made of the moment and of what is merged, so that no
/// randomness is needed.
fn rollout_id(number: PrNumber, head: CommitId, now: Timestamp) -> RolloutId {
    let mut digest = Sha256::new();
    digest.update(b"rollout after an automatic merge");
    digest.update(number.0.to_be_bytes());
    digest.update(head.to_string());
    let digest: [u8; 32] = digest.finalize().into();
    let millis = u64::try_from(now.as_millis()).unwrap_or(0).to_be_bytes();
    let mut bytes = [0; 16];
    let source = millis.into_iter().skip(2).chain(digest);
    for (slot, byte) in bytes.iter_mut().zip(source) {
        *slot = byte;
    }
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = 0x70 | (*version & 0x0f);
    *variant = 0x80 | (*variant & 0x3f);
    RolloutId::from_bytes(bytes)
}
