//! Maintenance windows: weekly schedules in a time zone that say when automations may act
//! (spec 05, "Windows"). Pure: a zone comes in as data, with its transitions.
//!
//! A local time that a change of the clock skips means the next valid minute; one that occurs
//! twice means the first occurrence (law D7). Closing a window starts nothing and ends nothing.

use serde::{Deserialize, Serialize};

use crate::op::Op;
use crate::selector::{HostLabels, Selector};
use crate::time::Timestamp;

const DAY: i64 = 86_400;
const MINUTE: i64 = 60;
/// How far ahead the next opening is looked for: two weeks hold every weekly pattern.
const HORIZON_DAYS: i64 = 15;
/// The most windows that a fleet may have.
pub const MAX_WINDOWS: usize = 256;

/// What kind of action a window is about.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ActionClass {
    /// Ordinary updates.
    #[default]
    Routine,
    /// Updates that cannot wait, as the person who starts the rollout says.
    Security,
    /// Going back.
    Rollback,
    /// Rebooting, or restarting the agent.
    Reboot,
    /// Running tests.
    Test,
}

impl ActionClass {
    /// Whether a rollout can be of this class; the others go by the operation.
    #[must_use]
    pub const fn is_of_updates(self) -> bool {
        match self {
            ActionClass::Routine | ActionClass::Security => true,
            ActionClass::Rollback | ActionClass::Reboot | ActionClass::Test => false,
        }
    }

    /// Every class.
    pub const ALL: [ActionClass; 5] = [
        ActionClass::Routine,
        ActionClass::Security,
        ActionClass::Rollback,
        ActionClass::Reboot,
        ActionClass::Test,
    ];

    /// The class of an operation; `update` is the class of updates in this context.
    #[must_use]
    pub const fn of(op: Op, update: ActionClass) -> Self {
        match op {
            Op::Rollback => ActionClass::Rollback,
            Op::Restart | Op::Reboot => ActionClass::Reboot,
            Op::Test => ActionClass::Test,
            Op::Pull
            | Op::Switch
            | Op::PullSwitch
            | Op::CheckVersion
            | Op::RefreshGit
            | Op::RefreshLock
            | Op::RefreshAll
            | Op::RefreshSystem
            | Op::UpdateInputs
            | Op::ForceRebuild
            | Op::MergePr
            | Op::RevertPr
            | Op::SetColor
            | Op::Remove
            | Op::Hold
            | Op::Release => update,
        }
    }
}

/// Whether a window opens or closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowEffect {
    /// Actions of its classes happen only inside it, or inside another one that allows.
    Allow,
    /// Actions of its classes never happen inside it.
    Deny,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Weekday {
    /// Every day, from Monday.
    pub const ALL: [Weekday; 7] = [
        Weekday::Mon,
        Weekday::Tue,
        Weekday::Wed,
        Weekday::Thu,
        Weekday::Fri,
        Weekday::Sat,
        Weekday::Sun,
    ];

    /// The weekday of a day counted from 1970-01-01, which was a Thursday.
    fn of_day(day: i64) -> Self {
        let index = usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0);
        Self::ALL.get(index).copied().unwrap_or(Weekday::Mon)
    }
}

/// A time of the day, to the minute: `HH:MM`; `24:00` is the end of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// Minutes since midnight, at most 24 × 60.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl std::str::FromStr for TimeOfDay {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let read = || {
            let (hours, minutes) = text.split_once(':')?;
            let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            if !digits(hours) || !digits(minutes) {
                return None;
            }
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            let total = hours * 60 + minutes;
            (minutes < 60 && total <= 24 * 60).then_some(Self(total))
        };
        read().ok_or_else(|| WindowError::Time(text.chars().take(20).collect()))
    }
}

impl std::fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One weekly window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its name, unique in the fleet.
    pub id: String,
    /// On which hosts.
    pub selector: Selector,
    /// The name of its time zone, as in the zone database (`Europe/Vienna`).
    pub zone: String,
    /// For which classes; none named is all but `rollback`, which is allowed by default.
    #[serde(default)]
    pub classes: Vec<ActionClass>,
    /// Whether it opens or closes.
    pub effect: WindowEffect,
    /// On which days it begins; none named is every day.
    #[serde(default)]
    pub days: Vec<Weekday>,
    /// When it begins, local time.
    pub from: TimeOfDay,
    /// When it ends, local time; not later than `from` is on the next day.
    pub to: TimeOfDay,
}

/// A time zone: from each of these moments on (seconds since 1970), the offset from UTC in
/// seconds. Before the first one, its offset holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Moments and offsets, ascending.
    pub transitions: Vec<(i64, i32)>,
}

/// A window or zone cannot be taken; says which part is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// A time is not `HH:MM`.
    #[error("{0:?} is no time of day: write HH:MM, from 00:00 to 24:00")]
    Time(String),
    /// The id is not a plain word.
    #[error("{0:?} is no name of a window: use 1 to 64 letters, digits, '.', '_' or '-'")]
    Id(String),
    /// The window names another zone than the one that came with it.
    #[error("the window is in zone {window:?}, but the data is of {data:?}")]
    OtherZone {
        /// What the window names.
        window: String,
        /// What the data names.
        data: String,
    },
    /// The zone's data is not usable.
    #[error(
        "the data of zone {0:?} is not usable: no offsets, not ascending, or an offset of more than a day"
    )]
    Zone(String),
    /// There are too many.
    #[error("a fleet has at most {MAX_WINDOWS} windows: remove one first")]
    TooMany,
}

impl Zone {
    /// Universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            transitions: vec![(i64::MIN, 0)],
        }
    }

    /// Whether the data can be used.
    ///
    /// # Errors
    /// [`WindowError::Zone`].
    pub fn check(&self) -> Result<(), WindowError> {
        let ascending = self.transitions.is_sorted_by(|one, next| one.0 < next.0);
        let sane = |(_, offset): &(i64, i32)| i64::from(*offset).abs() < DAY;
        if ascending && !self.transitions.is_empty() && self.transitions.iter().all(sane) {
            Ok(())
        } else {
            Err(WindowError::Zone(self.name.clone()))
        }
    }

    /// The offset from UTC at a moment, both in seconds.
    #[must_use]
    pub fn offset_at(&self, seconds: i64) -> i64 {
        let after = self.transitions.partition_point(|(at, _)| *at <= seconds);
        let known = self.transitions.get(after.saturating_sub(1));
        known.map_or(0, |(_, offset)| i64::from(*offset))
    }

    /// The first moment at which clocks of this zone show this local time, or the first valid one
    /// after it if they skip it. Both in seconds.
    #[must_use]
    pub fn to_utc(&self, local: i64) -> i64 {
        // Offsets are below a day, so the moment lies within a day of the local reading.
        let first = self
            .transitions
            .partition_point(|(at, _)| *at <= local.saturating_sub(DAY));
        let mut from = i64::MIN;
        let mut offset = self.offset_at(local.saturating_sub(DAY));
        let mut rest = self.transitions.iter().skip(first);
        loop {
            let next = rest.next();
            let until = next.map_or(i64::MAX, |(at, _)| *at);
            let candidate = local.saturating_sub(offset);
            if candidate < from {
                return from;
            }
            if candidate < until {
                return candidate;
            }
            let Some((at, new)) = next else {
                return candidate;
            };
            from = *at;
            offset = i64::from(*new);
        }
    }
}

impl Window {
    /// Whether the window and the data of its zone can be used.
    ///
    /// # Errors
    /// [`WindowError`] naming the part.
    pub fn check(&self, zone: &Zone) -> Result<(), WindowError> {
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !(1..=64).contains(&self.id.len()) || !self.id.bytes().all(word) {
            return Err(WindowError::Id(self.id.chars().take(80).collect()));
        }
        if self.zone != zone.name {
            return Err(WindowError::OtherZone {
                window: self.zone.clone(),
                data: zone.name.clone(),
            });
        }
        zone.check()
    }

    /// Whether it is about this class.
    #[must_use]
    pub fn concerns(&self, class: ActionClass) -> bool {
        if self.classes.is_empty() {
            class != ActionClass::Rollback
        } else {
            self.classes.contains(&class)
        }
    }

    /// The time it covers on a local day (counted from 1970-01-01), in seconds; the end is outside.
    fn span(&self, day: i64, zone: &Zone) -> Option<(i64, i64)> {
        let begins = Weekday::of_day(day);
        if !self.days.is_empty() && !self.days.contains(&begins) {
            return None;
        }
        let local = |day: i64, time: TimeOfDay| day * DAY + i64::from(time.0) * MINUTE;
        let end_day = if self.to <= self.from { day + 1 } else { day };
        let from = zone.to_utc(local(day, self.from));
        let to = zone.to_utc(local(end_day, self.to));
        (from < to).then_some((from, to))
    }

    fn spans(&self, seconds: i64, days: i64, zone: &Zone) -> impl Iterator<Item = (i64, i64)> {
        let today = seconds
            .saturating_add(zone.offset_at(seconds))
            .div_euclid(DAY);
        let day = move |ahead: i64| self.span(today.saturating_add(ahead), zone);
        (-2..=days).filter_map(day)
    }

    /// Whether it covers a moment.
    #[must_use]
    pub fn covers(&self, at: Timestamp, zone: &Zone) -> bool {
        let seconds = at.as_millis().div_euclid(1000);
        let inside = |(from, to): (i64, i64)| from <= seconds && seconds < to;
        self.spans(seconds, 1, zone).any(inside)
    }
}

impl Window {
    /// Whether this window alone lets automations act at a moment, and if not, when it next does.
    #[must_use]
    pub fn opening(&self, at: Timestamp, zone: &Zone) -> Opening {
        together(&[(self, zone)], at)
    }
}

/// Whether automations may act now, and if not, when they may next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Now.
    Open,
    /// Not now; from then on, if such a moment is known.
    Closed(Option<Timestamp>),
}

/// Whether actions of a class are allowed on a host at a moment, by all windows together. Deny
/// wins; where no window allows the class explicitly, it is allowed (spec 05).
#[must_use]
pub fn opening<'a>(
    windows: impl Iterator<Item = (&'a Window, &'a Zone)>,
    host: &HostLabels<'_>,
    class: ActionClass,
    now: Timestamp,
) -> Opening {
    let applies =
        |(window, _): &(&Window, &Zone)| window.concerns(class) && window.selector.matches(host);
    let applying: Vec<(&Window, &Zone)> = windows.filter(applies).collect();
    together(&applying, now)
}

/// Whether these windows together let automations act at a moment.
fn together(applying: &[(&Window, &Zone)], now: Timestamp) -> Opening {
    if open_at(applying, now) {
        return Opening::Open;
    }
    let seconds = now.as_millis().div_euclid(1000);
    let spans = applying.iter().flat_map(|(window, zone)| {
        let effect = window.effect;
        let edge = move |(from, to): (i64, i64)| match effect {
            WindowEffect::Allow => from,
            WindowEffect::Deny => to,
        };
        window.spans(seconds, HORIZON_DAYS, zone).map(edge)
    });
    let mut edges: Vec<i64> = spans.filter(|edge| *edge > seconds).collect();
    edges.sort_unstable();
    let open = |edge: &i64| open_at(applying, Timestamp::from_seconds(*edge));
    Opening::Closed(edges.into_iter().find(open).map(Timestamp::from_seconds))
}

fn open_at(windows: &[(&Window, &Zone)], at: Timestamp) -> bool {
    let (mut allowing, mut allowed) = (false, false);
    for (window, zone) in windows {
        match window.effect {
            WindowEffect::Deny if window.covers(at, zone) => return false,
            WindowEffect::Deny => {}
            WindowEffect::Allow => {
                allowing = true;
                allowed = allowed || window.covers(at, zone);
            }
        }
    }
    allowed || !allowing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Window {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn times_are_read_strictly() {
        for (text, minutes) in [("00:00", 0), ("09:05", 545), ("24:00", 1440)] {
            let time: TimeOfDay = text.parse().unwrap();
            assert_eq!((time.minutes(), time.to_string().as_str()), (minutes, text));
        }
        for bad in [
            "", "9:00", "09:60", "24:01", "25:00", "09-00", "+1:00", "09:00 ",
        ] {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_offset_of_a_day_or_more_is_refused_however_large() {
        let zone = |offset| Zone {
            name: "Nowhere/Far".to_owned(),
            transitions: vec![(i64::MIN, offset)],
        };
        for offset in [i32::MIN, i32::MIN + 1, -86_400, 86_400, i32::MAX] {
            assert!(zone(offset).check().is_err(), "{offset}");
        }
        for offset in [-86_399, 0, 86_399] {
            assert_eq!(zone(offset).check(), Ok(()), "{offset}");
        }
    }

    #[test]
    fn unknown_fields_zones_and_ids_are_refused() {
        let night = r#"{"id":"n","selector":"*","zone":"UTC","effect":"allow","from":"22:00","to":"06:00"}"#;
        let night = window(night);
        assert_eq!(night.check(&Zone::utc()), Ok(()));
        let elsewhere = Zone {
            name: "X".into(),
            ..Zone::utc()
        };
        assert!(matches!(
            night.check(&elsewhere),
            Err(WindowError::OtherZone { .. })
        ));
        let broken = Zone {
            name: "UTC".into(),
            transitions: vec![],
        };
        assert!(matches!(night.check(&broken), Err(WindowError::Zone(_))));
        let odd = Window {
            id: "a b".into(),
            ..night
        };
        assert!(matches!(odd.check(&Zone::utc()), Err(WindowError::Id(_))));
        let more = r#"{"id":"n","selector":"*","zone":"UTC","effect":"allow","from":"22:00","to":"06:00","x":1}"#;
        assert!(serde_json::from_str::<Window>(more).is_err());
    }

    #[test]
    fn deny_wins_and_rollback_is_allowed_by_default() {
        let utc = Zone::utc();
        let allow = window(
            r#"{"id":"a","selector":"*","zone":"UTC","effect":"allow","from":"00:00","to":"24:00","days":["thu"]}"#,
        );
        let deny = window(
            r#"{"id":"d","selector":"*","zone":"UTC","effect":"deny","from":"10:00","to":"12:00","classes":["routine","rollback"]}"#,
        );
        let host = HostLabels::default();
        let ask = |class, hour: i64| {
            let both = [(&allow, &utc), (&deny, &utc)];
            opening(
                both.into_iter(),
                &host,
                class,
                Timestamp::from_seconds(hour * 3600),
            )
        };
        assert_eq!(ask(ActionClass::Routine, 9), Opening::Open);
        let alone =
            |window: &Window, hour: i64| window.opening(Timestamp::from_seconds(hour * 3600), &utc);
        let noon = Some(Timestamp::from_seconds(12 * 3600));
        assert_eq!(alone(&deny, 9), Opening::Open);
        assert_eq!(alone(&deny, 11), Opening::Closed(noon));
        assert_eq!(alone(&allow, 11), Opening::Open);
        let thursday = Some(Timestamp::from_seconds(7 * DAY));
        assert_eq!(alone(&allow, 30), Opening::Closed(thursday));
        assert_eq!(ask(ActionClass::Routine, 11), Opening::Closed(noon));
        assert_eq!(ask(ActionClass::Test, 11), Opening::Open);
        assert_eq!(ask(ActionClass::Rollback, 11), Opening::Closed(noon));
        assert_eq!(ask(ActionClass::Rollback, 30), Opening::Open);
        let week = Some(Timestamp::from_seconds(7 * DAY));
        assert_eq!(ask(ActionClass::Routine, 30), Opening::Closed(week));
    }
}
