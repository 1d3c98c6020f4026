//! Assessments as JSON: one host, many hosts, why, a situation made of files, admission, sentences.

use nixfleet_core::admission::Request;
use nixfleet_core::wire::admission::{ConditionFacts, OwnedConditions, RequestFacts};
use nixfleet_core::wire::files::SituationFiles;
use nixfleet_core::wire::situation::{AssessmentReport, OwnedSituation, SituationFacts};
use nixfleet_core::{Attention, Reason};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::boundary::{In, Out, guard};
use crate::error::{Failure, Status};
use crate::handle::Handle;
use crate::text::{give, give_json};

/// Assesses one host.
///
/// `situation`, `len`: JSON: the host, what is desired of it, and what is remembered of it.
/// `out`: receives a text the caller owns: JSON with the five `compartments` by name, each with
/// `status`, `reason`, `message` and more, `attentions`, `current`, `green`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_assess(situation: In<u8>, len: usize, out: Out<Handle>) -> Status {
    guard(|| {
        out.check("out")?;
        let situation = read_situation(situation.text("situation", len)?)?;
        give_json(out, &situation.report())
    })
}

/// Assesses many hosts in one call.
///
/// `situations`, `len`: JSON: an array of what `nixfleet_assess` takes.
/// `out`: receives a text the caller owns: JSON, an array of as many objects in the same order, each
/// what `nixfleet_assess` tells, or `{"error": {"status", "code", "place", "text"}}` for a host
/// whose situation cannot be read. It does not spoil the others.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_assess_many(situations: In<u8>, len: usize, out: Out<Handle>) -> Status {
    guard(|| {
        out.check("out")?;
        let text = situations.text("situations", len)?;
        let each: Vec<&RawValue> = read("situations", text)?;
        let told: Vec<OneOfMany> = each.into_iter().map(one_of_many).collect();
        give_json(out, &told)
    })
}

/// Explains the five colours of one host.
///
/// `situation`, `len`: as for `nixfleet_assess`.
/// `out`: receives a text the caller owns: JSON with `compartments`, each with the `rule` that
/// decided, the facts it `looked_at`, the `first_failing` one and what makes it `green_when`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_explain(situation: In<u8>, len: usize, out: Out<Handle>) -> Status {
    guard(|| {
        out.check("out")?;
        let situation = read_situation(situation.text("situation", len)?)?;
        give_json(out, &situation.explain())
    })
}

/// Makes a situation of files, for `nixfleet_assess` and its like. What no file tells is not known.
///
/// `flake_lock`, `flake_lock_len`: the bytes of the flake.lock of the host.
/// `version_json`, `version_json_len`: the bytes of the published page with `gitCommit` and
/// `lockHash`.
/// `checkout`, `checkout_len`: the commit checked out, as printed by
/// `git describe --always --abbrev=40 --exclude='*' --dirty`; NULL and 0 if it is not known.
/// `observation`, `observation_len`: JSON, a situation with what else is known, of which at least
/// `host` must be there; NULL and 0 if there is none.
/// `agent_version`, `agent_version_len`: the version expected of the agent; NULL and 0 for that of
/// the library.
/// `out`: receives a text the caller owns: JSON.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_situation(
    flake_lock: In<u8>,
    flake_lock_len: usize,
    version_json: In<u8>,
    version_json_len: usize,
    checkout: In<u8>,
    checkout_len: usize,
    observation: In<u8>,
    observation_len: usize,
    agent_version: In<u8>,
    agent_version_len: usize,
    out: Out<Handle>,
) -> Status {
    guard(|| {
        out.check("out")?;
        let given = agent_version.optional("agent_version", agent_version_len)?;
        let version = given.map(|_| agent_version.text("agent_version", agent_version_len));
        let given = checkout.optional("checkout", checkout_len)?;
        let checkout = given.map(|_| checkout.text("checkout", checkout_len));
        let files = SituationFiles {
            lock: flake_lock.bytes("flake_lock", flake_lock_len)?,
            version_json: version_json.bytes("version_json", version_json_len)?,
            checkout: checkout.transpose()?,
            observation: observation.optional("observation", observation_len)?,
            agent_version: version.transpose()?.unwrap_or(env!("CARGO_PKG_VERSION")),
        };
        give_json(out, &files.read()?)
    })
}

/// Tells whether an operation may run on a host now, and if not, everything that says no.
///
/// `request`, `request_len`: JSON: `op` and the rest of what somebody wants.
/// `conditions`, `conditions_len`: JSON: a situation, and what stands beside it.
/// `out`: receives a text the caller owns: JSON with `admitted`, `may_wait`, `refusals`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_admit(
    request: In<u8>,
    request_len: usize,
    conditions: In<u8>,
    conditions_len: usize,
    out: Out<Handle>,
) -> Status {
    guard(|| {
        out.check("out")?;
        let request = request.text("request", request_len)?;
        let conditions = conditions.text("conditions", conditions_len)?;
        let request = Request::try_from(read::<RequestFacts>("request", request)?)?;
        let conditions: ConditionFacts = read("conditions", conditions)?;
        give_json(
            out,
            &OwnedConditions::try_from(conditions)?.report(&request),
        )
    })
}

/// Tells the short sentence of a reason or of an attention.
///
/// `said`, `len`: JSON: an object with a `code` and its parameters, as servers send it to browsers.
/// `out`: receives a text the caller owns: the sentence.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_message(said: In<u8>, len: usize, out: Out<Handle>) -> Status {
    guard(|| {
        out.check("out")?;
        let said: Said = read("said", said.text("said", len)?)?;
        let sentence = match said {
            Said::Reason(reason) => reason.short(),
            Said::Attention(attention) => attention.short(),
        };
        give(out, sentence)
    })
}

/// What has a short sentence; no code is one of both.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected an object with the code of a reason or an attention, and its parameters"
)]
enum Said {
    Reason(Reason),
    Attention(Attention),
}

#[derive(Serialize)]
#[serde(untagged)]
enum OneOfMany {
    Report(Box<AssessmentReport>),
    Failed { error: FailureReport },
}

#[derive(Serialize)]
struct FailureReport {
    status: i32,
    code: &'static str,
    place: String,
    text: String,
}

fn one_of_many(situation: &RawValue) -> OneOfMany {
    match read_situation(situation.get()) {
        Ok(situation) => OneOfMany::Report(Box::new(situation.report())),
        Err(failure) => OneOfMany::Failed {
            error: FailureReport {
                status: failure.status as i32,
                code: failure.code,
                place: failure.place,
                text: failure.text,
            },
        },
    }
}

/// JSON to a value.
pub(crate) fn read<'a, T: Deserialize<'a>>(
    what: &'static str,
    text: &'a str,
) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::json(what, &error))
}

/// JSON to a situation with its values parsed.
pub(crate) fn read_situation(text: &str) -> Result<OwnedSituation, Failure> {
    let facts: SituationFacts = read_owned("situation", text)?;
    Ok(facts.try_into()?)
}

fn read_owned<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, Failure> {
    read(what, text)
}
