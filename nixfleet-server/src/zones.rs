//! Time zones as data for the core: it takes a zone's transitions and knows no database itself.
//!
//! The database of the machine comes first (`TZDIR`, `/usr/share/zoneinfo`, `/etc/zoneinfo`); where
//! it has none, the one in this program counts.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use nixfleet_core::Timestamp;
use nixfleet_core::window::{Window, Zone};

/// How many years of transitions are handed over; the server reads them anew at every start.
const YEARS_AHEAD: i64 = 30;
/// A name in the database is short.
const LONGEST_NAME: usize = 64;

/// There is no time zone of that name.
#[derive(Debug, thiserror::Error)]
#[error("{name:?} is no time zone: use a name of the zone database, like Europe/Vienna or UTC")]
pub struct NoSuchZone {
    /// The name, cut if it is long.
    name: String,
}

/// The zone of this name, with its transitions from a year ago on.
///
/// # Errors
/// [`NoSuchZone`].
pub fn zone(name: &str, now: Timestamp) -> Result<Zone, NoSuchZone> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+');
    let no_such_zone = || NoSuchZone {
        name: name.chars().take(LONGEST_NAME).collect(),
    };
    // The database looks for a file of this name, so only a plain one gets there.
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
        return Err(no_such_zone());
    }
    let found = TimeZone::get(name).map_err(|_| no_such_zone())?;
    if found.iana_name() != Some(name) && name != "UTC" {
        // The database also knows `europe/vienna`; one zone has one name here.
        return Err(no_such_zone());
    }
    Ok(Zone {
        name: name.to_owned(),
        transitions: transitions(&found, now),
    })
}

/// The zones that these windows name. A name that is not known any more is left out, and logged:
/// the core keeps such a window closed.
#[must_use]
pub fn zones_of<'a>(windows: impl Iterator<Item = &'a Window>, now: Timestamp) -> Vec<Zone> {
    let mut found: BTreeMap<&str, Zone> = BTreeMap::new();
    for window in windows {
        if found.contains_key(window.zone.as_str()) {
            continue;
        }
        match zone(&window.zone, now) {
            Ok(zone) => {
                found.insert(&window.zone, zone);
            }
            Err(error) => tracing::error!(window = %window.id, %error, "a maintenance window"),
        }
    }
    found.into_values().collect()
}

fn transitions(zone: &TimeZone, now: Timestamp) -> Vec<(i64, i32)> {
    let now = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
    let days = 366;
    let start = now.checked_sub((days * 24).hours()).unwrap_or(now);
    let end = now
        .checked_add((YEARS_AHEAD * days * 24).hours())
        .unwrap_or(jiff::Timestamp::MAX);
    let mut all = vec![(i64::MIN, zone.to_offset(start).seconds())];
    for transition in zone.following(start) {
        if transition.timestamp() > end {
            break;
        }
        let offset = transition.offset().seconds();
        // The database also notes changes of the abbreviation alone.
        if all.last().is_none_or(|(_, last)| *last != offset) {
            all.push((transition.timestamp().as_second(), offset));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-15T12:00:00Z.
    const WINTER: Timestamp = Timestamp::from_millis(1_768_478_400_000);

    #[test]
    fn a_zone_has_its_summer_and_winter_time_for_years() {
        let vienna = zone("Europe/Vienna", WINTER).unwrap();
        vienna.check().unwrap();
        assert_eq!(vienna.offset_at(1_768_478_400), 3600);
        // 2026-03-29T01:00:00Z: clocks go from 02:00 to 03:00.
        assert_eq!(vienna.offset_at(1_774_745_999), 3600);
        assert_eq!(vienna.offset_at(1_774_746_000), 7200);
        // In July 2050 as well.
        assert_eq!(vienna.offset_at(2_541_153_600), 7200);
        assert_eq!(zone("UTC", WINTER).unwrap().transitions.len(), 1);
    }

    #[test]
    fn what_is_no_zone_is_named() {
        for name in [
            "Europe/Atlantis",
            "",
            "../../etc/passwd",
            "europe/vienna",
            "MEZ Zeit",
        ] {
            let error = zone(name, WINTER).unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains("Europe/Vienna"),
                "{error}"
            );
        }
    }
}
