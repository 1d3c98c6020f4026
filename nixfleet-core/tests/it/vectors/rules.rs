//! What the prose of spec 02 says about effects: what is sent and told how often, and the effect
//! of an ending on the deploy outcome.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "prose names the cases it is about, and is silent on the others"
)]

use nixfleet_core::compartment::PullSwitchHalf;
use nixfleet_core::lifecycle::Phase;
use serde_json::Value;

use super::worlds::Place;
use crate::lifecycle::play::{Facts, Word};
use crate::reference::lifecycle::Story;

/// What was heard and seen of one command.
pub struct Watch<'p> {
    place: &'p Place,
    sent: bool,
    connected: bool,
    half: Option<PullSwitchHalf>,
    activated: bool,
    /// How often each effect was wanted, by its name.
    effects: Vec<Value>,
    ending: Value,
}

impl<'p> Watch<'p> {
    pub fn new(place: &'p Place) -> Self {
        Self {
            place,
            sent: false,
            connected: false,
            half: None,
            activated: false,
            effects: Vec::new(),
            ending: Value::Null,
        }
    }

    /// A word, and where the command was when it came.
    pub fn hears(&mut self, word: &Word, phase: Phase) {
        let undecided = matches!(
            phase,
            Phase::Executing | Phase::RunningWarning | Phase::TimeoutPending | Phase::Killing
        );
        match word {
            Word::Admit if phase == Phase::Validating => (self.sent, self.connected) = (true, true),
            Word::Progress(half) if undecided && self.connected => self.half = self.half.max(*half),
            // Progress may be missed while it is away.
            Word::Disconnect | Word::Restart if !phase.is_terminal() => {
                self.connected = false;
                self.half = self.half.filter(|half| *half == PullSwitchHalf::Switch);
            }
            Word::Hello(..) => self.connected = true,
            // Facts of these tests that show anything carry a record of the command.
            Word::Beat(Facts::Right | Facts::Wrong)
                if phase == Phase::Verifying && !self.place.existing =>
            {
                self.activated = true;
            }
            _ => {}
        }
    }

    /// What a step is expected to do.
    pub fn sees(&mut self, expected: &Value, story: &Story) -> Result<(), String> {
        self.effects.extend(
            expected["effects"]
                .as_array()
                .into_iter()
                .flatten()
                .cloned(),
        );
        self.ending = expected["ending"].clone();
        let resends = self.count("send-command", |with| with["resend"] == true);
        let copies = if story.copies() > 0 {
            story.copies() - 1
        } else {
            0
        };
        if i64::try_from(resends).unwrap() != copies {
            return Err(format!(
                "the prose sends it {copies} times again, not {resends} times"
            ));
        }
        Ok(())
    }

    fn count(&self, name: &str, with: impl Fn(&Value) -> bool) -> usize {
        let named = self.effects.iter().filter(|effect| effect["do"] == name);
        named.filter(|effect| with(&effect["with"])).count()
    }

    /// What must be true in the end.
    pub fn end(&self, story: &Story) -> Result<(), String> {
        let once = usize::from(self.sent);
        let by_server = self.place.by_server();
        let wanted = [
            ("finished", self.count("finished", |_| true), 1),
            ("started", self.count("started", |_| true), once),
            (
                "sent for the first time",
                self.count("send-command", |with| with["resend"] == false),
                if by_server { 0 } else { once },
            ),
            (
                "performed by the server",
                self.count("perform-on-server", |_| true),
                if by_server { once } else { 0 },
            ),
        ];
        if let Some((what, found, wanted)) =
            wanted.iter().find(|(_, found, wanted)| found != wanted)
        {
            return Err(format!("{what} {found} times, not {wanted} times"));
        }
        let kind = self.ending["kind"].as_str().unwrap_or_default();
        if !endings(story.phase).contains(&kind) {
            return Err(format!("{:?} cannot be {kind:?}", story.phase));
        }
        self.deploy_outcome(story.phase, kind)
    }

    /// "Effect on the deploy outcome", sentence by sentence.
    fn deploy_outcome(&self, phase: Phase, kind: &str) -> Result<(), String> {
        let only_pulled =
            self.place.op.name() == "pull-switch" && self.half == Some(PullSwitchHalf::Pull);
        let wanted = match phase {
            _ if !self.place.op.is_deploy() || !self.sent => None,
            Phase::Success | Phase::Degraded | Phase::StaleBinary | Phase::Suspicious => Some("ok"),
            Phase::Partial if self.activated => Some("ok"),
            Phase::Error if matches!(kind, "rejected" | "not-sent") => None,
            Phase::Error if kind == "exit-code" && only_pulled && !self.activated => None,
            Phase::Killed if only_pulled => None,
            Phase::Error if kind == "exit-code" => Some("failed"),
            Phase::Killed => Some("failed"),
            Phase::Error | Phase::Timeout | Phase::Partial | Phase::Skipped => Some("unknown"),
            _ => None,
        };
        let position = self
            .effects
            .iter()
            .position(|effect| effect["do"] == "finished");
        let before = &self.effects[..position.unwrap_or_default()];
        let found = before
            .iter()
            .rfind(|effect| effect["do"] == "deploy-outcome");
        let found = found.map(|effect| &effect["with"]);
        if found.and_then(|with| with["outcome"].as_str()) != wanted {
            return Err(format!(
                "the prose says the outcome is {wanted:?}, not {found:?}"
            ));
        }
        let unsettled = found.is_some_and(|with| with["needs_reconcile"] == true);
        if unsettled != (wanted == Some("unknown")) {
            return Err(format!("needs reconciling: {found:?}"));
        }
        Ok(())
    }
}

/// How a command in this phase can have ended.
fn endings(phase: Phase) -> &'static [&'static str] {
    match phase {
        Phase::Success => &["reached"],
        Phase::Degraded => &["units-failed"],
        Phase::StaleBinary => &["agent-unchanged"],
        Phase::Suspicious => &["only-source-changed"],
        Phase::Error => &["exit-code", "rejected", "not-sent", "outcome-unknown"],
        Phase::Partial => &["goal-not-reached", "unverified"],
        Phase::Killed => &["stopped"],
        Phase::Timeout => &["never-returned"],
        Phase::Skipped => &["stopped-tracking", "stage-failed"],
        Phase::Blocked => &["refused"],
        Phase::Cancelled => &["cancelled"],
        Phase::Expired => &["expired"],
        Phase::Superseded => &["superseded"],
        Phase::Pending
        | Phase::Validating
        | Phase::Executing
        | Phase::RunningWarning
        | Phase::TimeoutPending
        | Phase::Killing
        | Phase::AwaitingReconnect
        | Phase::Verifying => &[],
    }
}
