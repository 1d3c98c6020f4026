//! Credentials that end by themselves, and when people are told (spec 05, "Notifications").
//!
//! Never holds what opens anything: only whose end it is, and when that comes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::notice::{Notice, NoticeKind};
use crate::time::Timestamp;

/// The most credentials that are watched.
const MAX_WATCHED: usize = 1000;
const DAY: Duration = Duration::from_secs(86_400);

/// A credential that may end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credential {
    /// What opens the forge for reading, and for changes if there is nothing else for those.
    ForgeReading,
    /// What opens the forge for changes.
    ForgeChanging,
    /// A token of this server, by its name.
    Token(String),
}

impl Credential {
    /// What it is called; stable.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Credential::ForgeReading => "forge-reading".to_owned(),
            Credential::ForgeChanging => "forge-changing".to_owned(),
            Credential::Token(name) => format!("token:{name}"),
        }
    }

    /// Whether it is one of the forge.
    #[must_use]
    pub const fn is_of_forge(&self) -> bool {
        match self {
            Credential::ForgeReading | Credential::ForgeChanging => true,
            Credential::Token(_) => false,
        }
    }

    fn shown(&self) -> String {
        match self {
            Credential::ForgeReading => "The token that reads the forge".to_owned(),
            Credential::ForgeChanging => "The token that merges on the forge".to_owned(),
            Credential::Token(name) => format!("The token {name}"),
        }
    }

    const fn remedy(&self) -> &'static str {
        match self {
            Credential::ForgeReading => {
                "make a new one, set NIXFLEET_GITHUB_TOKEN or its file, and restart the server"
            }
            Credential::ForgeChanging => {
                "make a new one, set NIXFLEET_GITHUB_MERGE_TOKEN or its file, and restart the server"
            }
            Credential::Token(_) => "create a new one, and revoke this one",
        }
    }
}

/// How near an end is. People are told once of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nearness {
    /// Within 14 days.
    TwoWeeks,
    /// Within 3 days.
    ThreeDays,
    /// It is over.
    Ended,
}

/// How long before the end each begins.
pub const NEARNESS: &[(Nearness, Duration)] = &[
    (Nearness::TwoWeeks, DAY.saturating_mul(14)),
    (Nearness::ThreeDays, DAY.saturating_mul(3)),
    (Nearness::Ended, Duration::ZERO),
];

/// One credential that ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialEnd {
    /// Which.
    pub credential: Credential,
    /// When it ends.
    pub ends: Timestamp,
    /// What people have been told of this end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Nearness>,
}

impl CredentialEnd {
    fn near(&self, now: Timestamp) -> Option<Nearness> {
        let reached = NEARNESS
            .iter()
            .filter(|(_, before)| self.ends - *before <= now);
        reached.map(|(nearness, _)| *nearness).max()
    }
}

/// Every credential that ends, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CredentialWatch(Vec<CredentialEnd>);

impl CredentialWatch {
    /// Whether nothing ends.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What ends.
    pub fn ends(&self) -> impl Iterator<Item = &CredentialEnd> {
        self.0.iter()
    }

    /// Takes in when a credential ends, if it does; whether that is news. What was near already when
    /// it was made needs no telling, nor does what ended long ago.
    pub fn note(
        &mut self,
        credential: &Credential,
        ends: Option<Timestamp>,
        made: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let position = self
            .0
            .binary_search_by(|known| known.credential.cmp(credential));
        let Some(ends) = ends else {
            if let Ok(at) = position {
                self.0.remove(at);
            }
            return position.is_ok();
        };
        let fresh = CredentialEnd {
            credential: credential.clone(),
            ends,
            told: None,
        };
        let long_over = (ends + DAY <= now).then_some(Nearness::Ended);
        let told = long_over.or(made.and_then(|made| fresh.near(made)));
        let fresh = CredentialEnd { told, ..fresh };
        match position {
            Ok(at) => match self.0.get_mut(at) {
                Some(known) if known.ends != ends => *known = fresh,
                Some(_) | None => return false,
            },
            Err(at) if self.0.len() < MAX_WATCHED => self.0.insert(at, fresh),
            Err(_) => return false,
        }
        true
    }

    /// Drops what this is not about any more; whether there was any.
    pub fn keep(&mut self, is_kept: impl Fn(&Credential) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|known| is_kept(&known.credential));
        self.0.len() != before
    }

    /// What people are to be told now; it counts as told.
    #[must_use]
    pub fn tell(&mut self, now: Timestamp) -> Vec<Notice> {
        let mut notices = Vec::new();
        for known in &mut self.0 {
            let near = known.near(now);
            if near <= known.told {
                continue;
            }
            known.told = near;
            let (what, ends) = (known.credential.shown(), known.ends);
            let title = match near {
                Some(Nearness::Ended) => format!("{what} has ended"),
                Some(Nearness::TwoWeeks | Nearness::ThreeDays) | None => {
                    let days = ends.since(now).as_secs().div_ceil(DAY.as_secs());
                    format!("{what} ends in {days} days")
                }
            };
            let body = format!("it ends at {ends}: {}", known.credential.remedy());
            let nearness = near.map_or("", Nearness::word);
            let subject = format!(
                "{}@{}:{nearness}",
                known.credential.name(),
                ends.as_millis()
            );
            let kind = NoticeKind::CredentialExpires;
            notices.push(Notice::new(kind, now, &subject, title, body));
        }
        notices
    }

    /// When there is something to tell next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let due = self.0.iter().flat_map(|known| {
            let untold = NEARNESS.iter().filter(|(near, _)| Some(*near) > known.told);
            untold.map(|(_, before)| known.ends - *before)
        });
        due.min()
    }
}

impl Nearness {
    const fn word(self) -> &'static str {
        match self {
            Nearness::TwoWeeks => "two-weeks",
            Nearness::ThreeDays => "three-days",
            Nearness::Ended => "ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> Timestamp {
        Timestamp::from_seconds(number * 86_400)
    }

    /// Every moment at which something was told, driven by its own deadlines.
    fn told(
        watch: &mut CredentialWatch,
        from: Timestamp,
        to: Timestamp,
    ) -> Vec<(Timestamp, String)> {
        let mut told = Vec::new();
        let mut now = from;
        loop {
            told.extend(
                watch
                    .tell(now)
                    .into_iter()
                    .map(|notice| (now, notice.title)),
            );
            match watch.poll_timeout().filter(|due| *due <= to) {
                Some(due) => now = due.max(now),
                None => return told,
            }
        }
    }

    #[test]
    fn each_nearness_is_told_once_for_each_end() {
        let mut watch = CredentialWatch::default();
        let reading = Credential::ForgeReading;
        assert!(watch.note(&reading, Some(day(100)), None, day(0)));
        assert!(
            !watch.note(&reading, Some(day(100)), None, day(0)),
            "no news"
        );
        let moments: Vec<Timestamp> = told(&mut watch, day(0), day(200))
            .into_iter()
            .map(|(at, _)| at)
            .collect();
        assert_eq!(moments, [day(86), day(97), day(100)]);
        assert!(!watch.note(&reading, Some(day(100)), None, day(101)));
        assert_eq!(told(&mut watch, day(101), day(200)), []);
        // Another end is told of anew, and two credentials do not mix.
        assert!(watch.note(&reading, Some(day(130)), None, day(101)));
        assert!(watch.note(&Credential::ForgeChanging, Some(day(130)), None, day(101)));
        assert_eq!(told(&mut watch, day(101), day(200)).len(), 6);
        assert!(
            watch.note(&reading, None, None, day(201)),
            "it does not end any more"
        );
        assert_eq!(watch.ends().count(), 1);
    }

    #[test]
    fn what_is_near_at_first_sight_is_told_once_unless_it_was_made_so() {
        let mut watch = CredentialWatch::default();
        watch.note(&Credential::ForgeReading, Some(day(2)), None, day(0));
        let titles = told(&mut watch, day(0), day(1));
        assert_eq!(titles.len(), 1, "not of two weeks, too: {titles:?}");
        assert!(titles[0].1.contains("in 2 days"), "{titles:?}");
        // A token that was made for two days.
        let token = Credential::Token("ci".to_owned());
        watch.note(&token, Some(day(2)), Some(day(0)), day(0));
        assert_eq!(told(&mut watch, day(0), day(1)), []);
        assert_eq!(told(&mut watch, day(1), day(3)).len(), 2, "both ended");
        // What ended long before anybody looked.
        watch.note(
            &Credential::Token("old".to_owned()),
            Some(day(1)),
            None,
            day(9),
        );
        assert_eq!(told(&mut watch, day(9), day(20)), []);
    }
}
