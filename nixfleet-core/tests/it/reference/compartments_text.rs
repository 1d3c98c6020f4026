//! Spec 01 once more, this time from raw values and over plain text: no facts, no tables, no
//! identifiers. Judges the comparison as well as the rules.

use nixfleet_core::compartment::Situation;
use nixfleet_core::host::{DeployOutcome, LockReport, TestVerdict};
use nixfleet_core::{CommitRef, LockHash};

/// The five statuses before any overlay, as they are spelled on the wire.
pub fn judge(s: &Situation<'_>) -> [&'static str; 5] {
    let world = Plain::new(s);
    let git = world.git();
    let lock = world.lock();
    let system = world.system(git, lock);
    [world.agent(), git, lock, system, world.tests(system)]
}

/// Everything as text.
struct Plain<'a> {
    s: &'a Situation<'a>,
    want_commit: Option<String>,
    want_lock: Option<String>,
    /// Every commit the branch is known to have had, if its history is known.
    known: Option<Vec<String>>,
    have: Option<(String, Option<String>, bool)>,
    lock_file_missing: bool,
    claims: Option<String>,
    runs: Option<String>,
    /// Commit, lock, path and cleanliness of the deployment record.
    record: Option<PlainRecord>,
}

type PlainRecord = (Option<String>, Option<String>, Option<String>, bool);

fn commit_text(commit: &CommitRef) -> String {
    commit.to_string()
}

fn lock_text(lock: LockHash) -> String {
    lock.to_string()
}

impl<'a> Plain<'a> {
    fn new(s: &'a Situation<'a>) -> Self {
        let o = s.observation;
        Self {
            s,
            want_commit: s.desired.remote.commit().ok().map(|c| c.to_string()),
            want_lock: s.desired.remote.lock().ok().map(lock_text),
            known: s.desired.history.as_ref().and_then(|history| {
                let commits = history.commits.commits();
                (!commits.is_empty()).then(|| commits.iter().map(|c| c.to_string()).collect())
            }),
            have: o.repo.map(|repo| {
                (
                    commit_text(&repo.commit),
                    repo.lock.hash().map(lock_text),
                    repo.dirty,
                )
            }),
            lock_file_missing: o.repo.is_some_and(|repo| repo.lock == LockReport::Missing),
            claims: o.system.as_ref().and_then(|system| {
                system
                    .configuration_revision
                    .as_ref()
                    .map(ToString::to_string)
            }),
            runs: o
                .system
                .as_ref()
                .and_then(|system| system.path.as_ref().map(|path| path.to_string())),
            record: o.deployed.as_ref().map(|record| {
                (
                    record.commit.as_ref().map(commit_text),
                    record.lock.map(lock_text),
                    record.store_path.as_ref().map(|path| path.to_string()),
                    record.clean,
                )
            }),
        }
    }

    /// "such a prefix (≥ 7) matches if history knows exactly one commit with it, or, without
    /// history, if it is a prefix of the desired commit": the full commit that is meant, or the
    /// text as it is. The desired commit itself is always known.
    fn expand(&self, text: &str) -> String {
        let digits = text.chars().all(|c| c.is_ascii_hexdigit());
        if text.len() == 40 || text.len() == 64 || text.len() < 7 || !digits {
            return text.to_owned();
        }
        let mut candidates: Vec<String> = self.known.clone().unwrap_or_default();
        candidates.extend(self.want_commit.clone());
        candidates.sort();
        candidates.dedup();
        candidates.retain(|full| full.starts_with(text));
        match candidates.as_slice() {
            [only] => only.clone(),
            _ => text.to_owned(),
        }
    }

    fn same(&self, one: &str, other: &str) -> bool {
        self.expand(one) == self.expand(other)
    }

    fn agent(&self) -> &'static str {
        let strip = |text: &str| -> String {
            let text = text.trim();
            let text = text.strip_prefix('v').unwrap_or(text);
            text.chars().take_while(|c| *c != '+').collect()
        };
        match &self.s.observation.agent_version {
            None => "unknown",
            Some(version) => {
                let (reported, expected) = (strip(version), strip(&self.s.desired.agent_version));
                if reported == expected && !reported.is_empty() {
                    "ok"
                } else {
                    "error"
                }
            }
        }
    }

    fn git(&self) -> &'static str {
        match (&self.want_commit, &self.have) {
            (None, _) => "error",
            (Some(_), None) => "unknown",
            (Some(_), Some((_, _, true))) => "outdated",
            (Some(want), Some((have, _, false))) if self.expand(have) == *want => "ok",
            (Some(_), Some(_)) => "outdated",
        }
    }

    fn lock(&self) -> &'static str {
        let reported = self.have.as_ref().and_then(|(_, lock, _)| lock.clone());
        match (&self.want_lock, reported) {
            (None, _) => "error",
            (Some(_), _) if self.lock_file_missing => "outdated",
            (Some(_), None) => "unknown",
            (Some(want), Some(have)) if *want == have => "ok",
            (Some(_), Some(_)) => "outdated",
        }
    }

    fn system(&self, git: &str, lock: &str) -> &'static str {
        let (Some(want_commit), Some(_)) = (&self.want_commit, &self.want_lock) else {
            return "outdated";
        };
        if self.s.deploy.outcome == DeployOutcome::Failed {
            return "error";
        }
        if [git, lock].contains(&"outdated") {
            return "outdated";
        }
        if [git, lock].contains(&"unknown") || self.have.is_none() {
            return "unknown";
        }
        if self.s.deploy.needs_reconcile {
            return "outdated";
        }
        match &self.record {
            Some((commit, lock, path, clean)) => {
                if let (Some(claims), Some(commit)) = (&self.claims, commit)
                    && !self.same(claims, commit)
                {
                    return "outdated";
                }
                // What is not seen to run may have been replaced (decisions, "Evidence that is lost").
                if path.is_some() && self.runs != *path {
                    return "outdated";
                }
                let (Some(commit), Some(lock), true) = (commit, lock, *clean) else {
                    return "outdated";
                };
                // git and lock are ok, so the checkout is the desired state.
                if self.same(commit, want_commit) && Some(lock) == self.want_lock.as_ref() {
                    "ok"
                } else {
                    "outdated"
                }
            }
            None => match &self.claims {
                Some(claims) if self.expand(claims) == *want_commit => "ok",
                Some(_) => "outdated",
                None if self.s.deploy.outcome == DeployOutcome::Never => "unknown",
                None => "outdated",
            },
        }
    }

    /// What a test would be about now.
    fn key_now(&self) -> Option<(String, String, Option<String>)> {
        let inferred = self.s.observation.deployed.as_ref();
        let inferred = inferred.is_some_and(|record| record.inferred);
        match &self.record {
            Some((commit, lock, path, true)) => {
                let path = path.clone().or_else(|| self.runs.clone());
                if path.is_none() && !inferred {
                    return None;
                }
                Some((commit.clone()?, lock.clone()?, path))
            }
            Some(_) => None,
            None => Some((
                self.claims.clone()?,
                self.want_lock.clone()?,
                Some(self.runs.clone()?),
            )),
        }
    }

    fn tests(&self, system: &str) -> &'static str {
        if self.want_commit.is_none() || self.want_lock.is_none() {
            return "outdated";
        }
        if !self.s.tests_enabled {
            return "unknown";
        }
        let Some(run) = self.s.tests else {
            let nothing = self.s.deploy.outcome == DeployOutcome::Never && self.record.is_none();
            return if nothing && system != "ok" {
                "unknown"
            } else {
                "outdated"
            };
        };
        let current = match (&run.key, self.key_now()) {
            (Some(key), Some((commit, lock, path))) => {
                self.same(&key.commit.to_string(), &commit)
                    && key.lock.to_string() == lock
                    && match (&key.store_path, path) {
                        (Some(then), Some(now)) => then.as_str() == now,
                        (None, None) => !run.per_script,
                        _ => false,
                    }
            }
            _ => false,
        };
        if run.verdict == TestVerdict::Void || !current {
            return "outdated";
        }
        if run.verdict == TestVerdict::Stopped || run.verdict == TestVerdict::Fail {
            return "error";
        }
        if !run.failed.is_empty() {
            return "error";
        }
        let passed = run.verdict == TestVerdict::Pass && run.ran >= 1 && run.per_script;
        if system == "ok" && passed {
            "ok"
        } else {
            "outdated"
        }
    }
}
