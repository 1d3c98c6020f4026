//! Time as a value: the core never reads a clock, every `now` is an argument.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment in UTC, in milliseconds since the Unix epoch.
///
/// Arithmetic saturates: a hostile or broken clock can produce a silly moment but never a panic.
///
/// ```
/// use nixfleet_core::Timestamp;
/// use std::time::Duration;
/// let noon = Timestamp::from_millis(43_200_000);
/// assert_eq!((noon + Duration::from_secs(1)).to_string(), "1970-01-01T12:00:01Z");
/// ```
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// A moment from milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// A moment from whole seconds since the Unix epoch (saturating).
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// How long before `self` the moment `earlier` was; zero if it was not before.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The moment in RFC 3339, or the raw number where the year does not fit.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok())
            .unwrap_or_else(|| format!("{} ms since 1970", self.0))
    }

    /// Reads an RFC 3339 moment.
    ///
    /// # Errors
    /// [`TimestampError`] when the text is not RFC 3339.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimestampError> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let millis = moment.unix_timestamp_nanos() / 1_000_000;
        i64::try_from(millis).map(Self).map_err(|_| TimestampError)
    }

    /// The calendar date (UTC) as `YYYY-MM-DD`.
    #[must_use]
    pub fn date(self) -> String {
        let full = self.to_rfc3339();
        full.split('T').next().unwrap_or(&full).to_owned()
    }
}

/// The text is not a moment in RFC 3339 (`2026-11-20T12:00:00Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a moment in RFC 3339, like 2026-11-20T12:00:00Z")]
pub struct TimestampError;

impl std::ops::Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, delay: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, delay: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_sub(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_and_never_panics() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Timestamp::from_millis(i64::MIN).since(end), Duration::ZERO);
        assert!(!end.to_rfc3339().is_empty());
    }

    #[test]
    fn rfc3339_round_trips_to_the_millisecond() {
        let moment = Timestamp::from_millis(1_763_600_000_123);
        assert_eq!(Timestamp::parse_rfc3339(&moment.to_rfc3339()), Ok(moment));
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), Err(TimestampError));
    }
}
