//! Which revisions hosts run, and which of them differ from what most run (spec 05, "After a
//! deploy": generation drift). Whether a host is current is another question; see
//! [`compartment`](crate::compartment).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::claim::ClaimedRevision;
use crate::host::HostObservation;
use crate::ids::{CommitId, CommitRef, HostId};

/// The most hosts that a sentence names.
const NAMED: usize = 8;

/// Which revisions hosts run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// How many hosts there are.
    pub hosts: usize,
    /// What most hosts run whose revision is known; of equally many, the desired one goes first.
    pub most: Option<Running>,
    /// The hosts that run another revision, by name.
    pub differing: Vec<Differing>,
    /// The hosts of which nobody knows the revision, by name.
    pub unknown: Vec<HostId>,
    /// The same as a sentence.
    pub sentence: String,
}

/// A revision, and how many hosts run it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The revision.
    pub revision: ClaimedRevision,
    /// How many hosts run it.
    pub hosts: usize,
    /// Whether it is the desired one; nothing while that is not known, as when the remote cannot be
    /// read.
    pub desired: Option<bool>,
}

/// A host that runs another revision than most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differing {
    /// The host.
    pub host: HostId,
    /// What it runs.
    pub revision: ClaimedRevision,
}

/// The revision that a host runs: what the running system says of itself, or the deployment on
/// record if nothing speaks against it being what runs.
#[must_use]
pub fn running(seen: &HostObservation) -> Option<ClaimedRevision> {
    let system = seen.system.as_ref();
    if let Some(claimed) = system.and_then(|system| system.configuration_revision.clone()) {
        return Some(claimed);
    }
    let deployed = seen.deployed.as_ref().filter(|deployed| deployed.clean)?;
    let runs = system.and_then(|system| system.path.as_ref());
    match (&deployed.store_path, runs) {
        (Some(deployed), Some(runs)) if deployed != runs => return None,
        (Some(_) | None, Some(_) | None) => {}
    }
    deployed.commit.map(ClaimedRevision::Commit)
}

/// Compares what hosts run. An abbreviated commit is the only whole one here that begins with it.
#[must_use]
pub fn drift(
    hosts: impl IntoIterator<Item = (HostId, Option<ClaimedRevision>)>,
    desired: Option<CommitId>,
) -> Drift {
    let hosts: BTreeMap<HostId, Option<ClaimedRevision>> = hosts.into_iter().collect();
    let commits = hosts.values().flatten().filter_map(ClaimedRevision::commit);
    let mut whole: Vec<CommitId> = commits.filter_map(|commit| commit.full()).collect();
    whole.extend(desired);
    whole.sort_unstable();
    whole.dedup();

    let mut groups: BTreeMap<String, Vec<Differing>> = BTreeMap::new();
    let mut unknown = Vec::new();
    let total = hosts.len();
    for (host, revision) in hosts {
        match revision.map(|revision| resolved(revision, &whole)) {
            None => unknown.push(host),
            Some(revision) => {
                let group = groups.entry(revision.to_string()).or_default();
                group.push(Differing { host, revision });
            }
        }
    }
    let desired = desired.map(|commit| commit.to_string());
    let is_desired = |name: &String| Some(name) == desired.as_ref();
    let first = groups
        .iter()
        .max_by_key(|(name, group)| (group.len(), is_desired(name), *name))
        .map(|(name, _)| name.clone());
    let most = first.and_then(|name| {
        let group = groups.remove(&name)?;
        Some(Running {
            revision: group.first()?.revision.clone(),
            hosts: group.len(),
            desired: desired.is_some().then(|| is_desired(&name)),
        })
    });
    let mut differing: Vec<Differing> = groups.into_values().flatten().collect();
    differing.sort_by(|one, other| one.host.cmp(&other.host));
    let mut drift = Drift {
        hosts: total,
        most,
        differing,
        unknown,
        sentence: String::new(),
    };
    drift.sentence = sentence(&drift);
    drift
}

fn resolved(revision: ClaimedRevision, whole: &[CommitId]) -> ClaimedRevision {
    let ClaimedRevision::Commit(CommitRef::Abbreviated(prefix)) = revision else {
        return revision;
    };
    let digits = prefix.to_string();
    let mut matching = whole
        .iter()
        .filter(|commit| commit.to_string().starts_with(&digits));
    match (matching.next(), matching.next()) {
        (Some(commit), None) => ClaimedRevision::Commit(CommitRef::Full(*commit)),
        (Some(_) | None, _) => revision,
    }
}

fn sentence(drift: &Drift) -> String {
    let Some(most) = &drift.most else {
        return match drift.hosts {
            0 => "there are no hosts".to_owned(),
            hosts => format!("of none of {hosts} hosts is it known what it runs"),
        };
    };
    let mut text = format!(
        "{} of {} hosts run {}",
        most.hosts,
        drift.hosts,
        short(&most.revision)
    );
    if !drift.differing.is_empty() {
        let names = drift.differing.iter().map(|one| one.host.as_str());
        text.push_str(&format!("; differing: {}", named(names)));
    }
    if !drift.unknown.is_empty() {
        let names = drift.unknown.iter().map(HostId::as_str);
        text.push_str(&format!("; not known: {}", named(names)));
    }
    text
}

fn short(revision: &ClaimedRevision) -> String {
    match revision {
        ClaimedRevision::Commit(commit) => commit.short(),
        ClaimedRevision::Dirty(commit) => format!("{} with local changes", commit.short()),
        ClaimedRevision::Other(other) => other.as_str().to_owned(),
    }
}

fn named<'a>(names: impl Iterator<Item = &'a str> + Clone) -> String {
    let more = names.clone().count().saturating_sub(NAMED);
    let mut text = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Deployed, RunningSystem};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn of(rows: &[(&str, &str)], desired: &str) -> Drift {
        let row = |(host, revision): &(&str, &str)| {
            (host.parse().unwrap(), ClaimedRevision::from_text(revision))
        };
        drift(rows.iter().map(row), desired.parse().ok())
    }

    #[test]
    fn the_majority_is_shown_and_who_differs_is_named() {
        let rows = [("a", A), ("b", B), ("c", A), ("d", "")];
        let found = of(&rows, B);
        assert_eq!(
            found.sentence,
            "2 of 4 hosts run aaaaaaa; differing: b; not known: d"
        );
        let most = found.most.unwrap();
        assert_eq!((most.hosts, most.desired), (2, Some(false)));
        assert_eq!(of(&[], A).sentence, "there are no hosts");
        assert_eq!(
            of(&[("a", "")], A).sentence,
            "of none of 1 hosts is it known what it runs"
        );
        assert_eq!(of(&[("a", A)], A).sentence, "1 of 1 hosts run aaaaaaa");
    }

    #[test]
    fn of_equally_many_the_desired_one_goes_first() {
        for (desired, differing) in [(A, "b"), (B, "a")] {
            let found = of(&[("a", A), ("b", B)], desired);
            assert_eq!(found.most.unwrap().desired, Some(true));
            assert_eq!(found.differing[0].host.as_str(), differing);
        }
        // And without a desired one it is always the same.
        assert_eq!(of(&[("a", A), ("b", B)], ""), of(&[("b", B), ("a", A)], ""));
    }

    #[test]
    fn an_abbreviation_is_the_only_commit_that_begins_with_it() {
        assert!(of(&[("a", A), ("b", "aaaaaaa")], "").differing.is_empty());
        assert_eq!(of(&[("b", "aaaaaaa")], A).most.unwrap().desired, Some(true));
        let unread = of(&[("a", A)], "no remote").most.unwrap();
        assert_eq!(unread.desired, None, "what is not known is not denied");
        let other = "aaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
        let found = of(&[("a", A), ("b", "aaaaaaa"), ("c", other)], A);
        assert_eq!(found.differing.len(), 2, "ambiguous: {found:?}");
    }

    #[test]
    fn local_changes_and_other_claims_differ_from_the_commit() {
        let dirty = format!("{A}-dirty");
        let rows = [
            ("a", A),
            ("b", A),
            ("c", dirty.as_str()),
            ("d", "my laptop"),
        ];
        let hosts: Vec<_> = of(&rows, A).differing.into_iter().map(|d| d.host).collect();
        assert_eq!(
            hosts.iter().map(HostId::as_str).collect::<Vec<_>>(),
            ["c", "d"]
        );
    }

    #[test]
    fn many_are_not_all_named() {
        let names: Vec<String> = (10..22).map(|n| format!("h{n}")).collect();
        let mut rows: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        rows.push(("a", A));
        let text = of(&rows, A).sentence;
        assert!(text.ends_with("h17 and 4 more"), "{text}");
    }

    #[test]
    fn the_system_speaks_before_the_record_and_another_path_makes_the_record_worth_nothing() {
        let commit = |text: &str| text.parse::<CommitRef>().unwrap();
        let deployed = |path: &str| Deployed {
            commit: Some(commit(A)),
            lock: None,
            store_path: Some(path.parse().unwrap()),
            clean: true,
            command: None,
            inferred: false,
        };
        let system = |path: &str, claims: Option<&str>| RunningSystem {
            path: Some(path.parse().unwrap()),
            configuration_revision: claims.and_then(ClaimedRevision::from_text),
            ..RunningSystem::default()
        };
        let seen = |deployed, system| HostObservation {
            deployed,
            system,
            ..HostObservation::default()
        };
        let (one, two) = ("/nix/store/one", "/nix/store/two");
        let is = |text: &str| ClaimedRevision::from_text(text);
        for (found, expected) in [
            (seen(None, None), None),
            (seen(Some(deployed(one)), None), is(A)),
            (seen(Some(deployed(one)), Some(system(one, None))), is(A)),
            (seen(Some(deployed(one)), Some(system(two, None))), None),
            (seen(Some(deployed(one)), Some(system(two, Some(B)))), is(B)),
            (
                seen(None, Some(system(two, Some("x-dirty")))),
                is("x-dirty"),
            ),
        ] {
            assert_eq!(running(&found), expected, "{found:?}");
        }
    }
}
