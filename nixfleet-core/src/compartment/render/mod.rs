//! Texts, made from reasons: one line for a row, a few lines for a tooltip (spec 01, "What each
//! tooltip must tell"). Text that came from a peer is cleaned and bounded on the way.

mod headline;
mod notes;
pub mod templates;
pub mod text;

use serde::{Deserialize, Serialize};

use crate::compartment::remedy::{ManualStep, Step};
use crate::compartment::{Assessment, Attention, ReasonCode, Situation, Status};
use text::{MAX_LINE, clean};

pub use notes::attention_text;

/// The most lines of a tooltip.
pub const MAX_LINES: usize = 40;

/// What a person reads when they ask a compartment for details.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tooltip {
    /// The lines, the most important one first; none has a control character.
    pub lines: Vec<String>,
}

/// One line on why the compartment is what it is.
#[must_use]
pub fn message(assessment: &Assessment, situation: &Situation<'_>) -> String {
    clean(&headline::of(&assessment.reason, situation), MAX_LINE)
}

/// Everything a tooltip must tell: the headline, the evidence, what to do, and what else is known.
#[must_use]
pub fn details(assessment: &Assessment, situation: &Situation<'_>) -> Tooltip {
    let mut lines = vec![headline::of(&assessment.reason, situation)];
    if assessment.status == Status::Working {
        lines.push(format!(
            "below: {}",
            headline::of(&assessment.base_reason, situation)
        ));
        lines.push("stop: ends the command and everything it started".to_owned());
    }
    lines.extend(notes::evidence(&assessment.base_reason, situation));
    lines.extend(to_do(assessment));
    lines.extend(notes::after_to_do(&assessment.base_reason, situation));
    for attention in crate::compartment::attention::collect(situation) {
        if concerns(&attention, assessment) {
            lines.push(attention_text(&attention, situation));
        }
    }
    lines.retain(|line| !line.is_empty());
    lines.truncate(MAX_LINES);
    let lines = lines.iter().map(|line| clean(line, MAX_LINE)).collect();
    Tooltip { lines }
}

/// The steps towards green, as orders.
fn to_do(assessment: &Assessment) -> Option<String> {
    let steps = assessment.base_reason.code().remedy().steps;
    let orders = steps.iter().filter_map(|step| match step {
        // The cause of the failure says how: see the evidence.
        Step::Manual(ManualStep::FixRemote) => None,
        Step::Manual(manual) => Some(manual.text().to_owned()),
        Step::Op(op) => Some(format!("run {}", op.name())),
    });
    let orders: Vec<String> = orders.collect();
    (!orders.is_empty()).then(|| format!("to do: {}", orders.join("; ")))
}

/// Whether an attention belongs into the tooltip of this compartment: its own ones, and those
/// that say how old every value is; not those that the reason itself says.
fn concerns(attention: &Attention, assessment: &Assessment) -> bool {
    let code = assessment.base_reason.code();
    let own = attention.compartment() == Some(assessment.compartment);
    match attention {
        Attention::Offline { .. } | Attention::RemoteStale { .. } | Attention::IdentityConflict => {
            true
        }
        Attention::WorktreeDirty => own && code != ReasonCode::CheckoutDirty,
        Attention::LastDeployFailed => own && code != ReasonCode::DeployFailed,
        Attention::UpdatePending { .. }
        | Attention::RebootRequired
        | Attention::Degraded { .. }
        | Attention::LastTestsFailed { .. }
        | Attention::RemoteRewritten
        | Attention::Held { .. }
        | Attention::Quarantined => own,
    }
}
