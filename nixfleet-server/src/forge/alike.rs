//! What GitHub, Gitea and Forgejo do alike, apart from files and commits: words for merges, the
//! meaning of their refusals, and answers that must be complete.

use nixfleet_core::CommitId;
use nixfleet_core::update::{ChangedFile, Check, MergeAnswer, MergeMethod, PrNumber};
use serde::Deserialize;

use super::budget::Purpose;
use super::fault::Fault;
use super::pull::{Pull, PullShape};
use super::repository::Repository;

/// The longest name that is kept.
pub(super) const MOST_NAME: usize = 200;

/// An object by its name.
#[derive(Deserialize)]
pub(super) struct CommitRef {
    pub sha: CommitId,
}

/// The word for a way to merge.
pub(super) const fn method_word(method: MergeMethod) -> &'static str {
    match method {
        MergeMethod::Merge => "merge",
        MergeMethod::Squash => "squash",
        MergeMethod::Rebase => "rebase",
    }
}

/// One pull request; another one than the one asked for is no answer.
pub(super) async fn read_pull(
    repository: &Repository,
    number: PrNumber,
    purpose: Purpose,
    read: impl FnOnce(PullShape) -> Result<Pull, Fault>,
) -> Result<Pull, Fault> {
    let name = number.0.to_string();
    let pull = read(repository.get(&["pulls", &name], &[], purpose).await?)?;
    if pull.told.number != number {
        return Err(Fault::malformed(
            "another pull request than the one asked for",
        ));
    }
    Ok(pull)
}

/// Files of a pull request, if they are all it changes by its own account.
pub(super) fn complete_files(
    pull: &Pull,
    files: Vec<ChangedFile>,
) -> Result<Vec<ChangedFile>, Fault> {
    if pull
        .changed_files
        .is_some_and(|told| told != files.len() as u64)
    {
        return Err(Fault::malformed("the list of files is not complete"));
    }
    Ok(files)
}

/// Checks, if they are as many as there are by the forge's own account.
pub(super) fn complete_checks(checks: Vec<Check>, total: u64) -> Result<Vec<Check>, Fault> {
    if checks.len() as u64 == total {
        return Ok(checks);
    }
    Err(Fault::malformed("the list of checks is not complete"))
}

/// What a merge that was not done, or not certainly, came to (laws E1 and E4).
pub(super) fn merge_refusal(fault: Fault) -> MergeAnswer {
    if !fault.nothing_was_done() {
        return MergeAnswer::Ambiguous(fault.told());
    }
    match &fault {
        Fault::Status { status, said } => match status {
            405 => MergeAnswer::NotMergeable(said.clone()),
            409 => MergeAnswer::HeadMoved,
            422 => MergeAnswer::Invalid(said.clone()),
            _ => MergeAnswer::Refused(fault.failure()),
        },
        Fault::TooEarly { .. }
        | Fault::NoConnection { .. }
        | Fault::Limited { .. }
        | Fault::Redirected(_)
        | Fault::TimedOut(_)
        | Fault::BrokenOff(_)
        | Fault::Malformed(_) => MergeAnswer::Refused(fault.failure()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of fault of the merge call: nothing was merged, or nobody knows.
    #[test]
    fn e04_every_fault_of_a_merge_is_certain_or_ambiguous() {
        use nixfleet_core::Timestamp;
        let said = || "no".to_owned();
        let status = |status| Fault::Status {
            status,
            said: said(),
        };
        assert_eq!(
            merge_refusal(status(405)),
            MergeAnswer::NotMergeable(said())
        );
        assert_eq!(merge_refusal(status(409)), MergeAnswer::HeadMoved);
        assert_eq!(merge_refusal(status(422)), MergeAnswer::Invalid(said()));
        for code in 100..600u16 {
            let answer = merge_refusal(status(code));
            match code {
                405 | 409 | 422 => {}
                408 | ..400 | 500.. => {
                    assert!(matches!(answer, MergeAnswer::Ambiguous(_)), "{code}");
                }
                _ => assert!(matches!(answer, MergeAnswer::Refused(_)), "{code}"),
            }
        }
        let until = Timestamp::EPOCH;
        for certain in [
            Fault::TooEarly {
                until,
                why: "",
                polling_only: false,
            },
            Fault::NoConnection {
                timed_out: true,
                why: said(),
            },
            Fault::Limited { status: 429, until },
            Fault::Redirected(said()),
        ] {
            assert!(matches!(merge_refusal(certain), MergeAnswer::Refused(_)));
        }
        for open in [
            Fault::TimedOut(""),
            Fault::BrokenOff(said()),
            Fault::malformed("x"),
        ] {
            assert!(matches!(merge_refusal(open), MergeAnswer::Ambiguous(_)));
        }
    }
}
