//! Durations as existing installations write them.

use std::time::Duration;

/// The text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration like 30s, 5m, 1h30m or 24h; a bare number means seconds")]
pub struct BadDuration;

/// Units and their length in nanoseconds; a longer name comes before one that begins it.
const UNITS: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
    ("d", 86_400e9),
];
/// No setting means a longer time than this, and everything up to it is exact.
const LONGEST_NANOS: f64 = 10.0 * 365.0 * 86_400e9;

/// Reads `90`, `90s`, `1.5h` or `1h30m`.
///
/// # Errors
/// [`BadDuration`] for anything else, for negative and for absurdly long durations.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return from_nanos(text.parse::<f64>().map_err(|_| BadDuration)? * 1e9);
    }
    let mut rest = text;
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(BadDuration)?;
        let (number, tail) = rest.split_at(end);
        let (unit, length) = UNITS
            .iter()
            .find(|(unit, _)| {
                let after = tail.strip_prefix(unit);
                after.is_some_and(|after| !after.starts_with(char::is_alphabetic))
            })
            .ok_or(BadDuration)?;
        nanos += number.parse::<f64>().map_err(|_| BadDuration)? * length;
        rest = tail.strip_prefix(unit).ok_or(BadDuration)?;
    }
    if text.is_empty() {
        return Err(BadDuration);
    }
    from_nanos(nanos)
}

fn from_nanos(nanos: f64) -> Result<Duration, BadDuration> {
    if !(0.0..=LONGEST_NANOS).contains(&nanos) {
        return Err(BadDuration);
    }
    Duration::try_from_secs_f64(nanos / 1e9).map_err(|_| BadDuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_existing_installations_write_them() {
        for (text, millis) in [
            ("1s", 1000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("0", 0),
            ("0s", 0),
            ("90", 90_000),
            ("1h30m", 5_400_000),
            ("1m0s", 60_000),
            ("1.5h", 5_400_000),
            ("500ms", 500),
            ("2d", 172_800_000),
            (" 10s ", 10_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for bad in [
            "", " ", "s", "-1s", "1x", "1 s", "1s2", "1sm", "..s", "1e3s", "five", "9999999d",
            "1h-5m",
        ] {
            assert_eq!(parse_duration(bad), Err(BadDuration), "{bad:?}");
        }
    }
}
