//! Windows against a slow reference: every minute of weeks around changes of the clock (law D7).

use nixfleet_core::Timestamp;
use nixfleet_core::selector::HostLabels;
use nixfleet_core::window::{ActionClass, Opening, Window, Zone, opening};

const DAY: i64 = 86_400;
/// 2026-01-01T00:00:00Z.
const YEAR: i64 = 1_767_225_600;

fn at(day: i64, hour: i64, minute: i64) -> i64 {
    YEAR + day * DAY + hour * 3600 + minute * 60
}

fn zone(name: &str, before: i32, changes: &[(i64, i32)]) -> Zone {
    let first = std::iter::once((i64::MIN, before));
    Zone {
        name: name.to_owned(),
        transitions: first.chain(changes.iter().copied()).collect(),
    }
}

/// Zones with their changes of 2026. Days of the year: 66 is 8 March, 87 is 29 March, 93 is
/// 4 April, 275 is 3 October, 297 is 25 October, 304 is 1 November.
fn zones() -> Vec<(Zone, Vec<i64>)> {
    vec![
        (Zone::utc(), vec![87]),
        (zone("Asia/Kolkata", 19_800, &[]), vec![87]),
        (
            zone(
                "Europe/Vienna",
                3600,
                &[(at(87, 1, 0), 7200), (at(297, 1, 0), 3600)],
            ),
            vec![87, 297],
        ),
        (
            zone(
                "America/New_York",
                -18_000,
                &[(at(66, 7, 0), -14_400), (at(304, 6, 0), -18_000)],
            ),
            vec![66, 304],
        ),
        (
            zone(
                "America/St_Johns",
                -12_600,
                &[(at(66, 5, 30), -9000), (at(304, 4, 30), -12_600)],
            ),
            vec![66, 304],
        ),
        (
            // The clock skips from midnight to one.
            zone(
                "America/Havana",
                -18_000,
                &[(at(66, 5, 0), -14_400), (at(304, 5, 0), -18_000)],
            ),
            vec![66, 304],
        ),
        (
            // Half an hour.
            zone(
                "Australia/Lord_Howe",
                39_600,
                &[(at(93, 15, 0), 37_800), (at(275, 15, 30), 39_600)],
            ),
            vec![93, 275],
        ),
    ]
}

fn shapes() -> Vec<&'static str> {
    vec![
        r#""from":"00:00","to":"24:00""#,
        r#""from":"00:00","to":"00:00""#,
        r#""from":"22:00","to":"06:00""#,
        r#""from":"02:00","to":"03:00""#,
        r#""from":"02:15","to":"02:45""#,
        r#""from":"01:30","to":"02:30""#,
        r#""from":"02:30","to":"03:30""#,
        r#""from":"00:30","to":"01:30""#,
        r#""from":"23:45","to":"00:15""#,
        r#""from":"09:00","to":"17:00","days":["mon","tue","wed","thu","fri"]"#,
        r#""from":"22:00","to":"06:00","days":["sat"]"#,
        r#""from":"01:59","to":"02:00","days":["sun"]"#,
        r#""from":"02:00","to":"02:01","days":["sun"]"#,
        r#""from":"03:00","to":"02:59","days":["sun","mon"]"#,
    ]
}

fn window(zone: &Zone, shape: &str) -> Window {
    let text = format!(
        r#"{{"id":"w","selector":"*","zone":"{}","effect":"allow",{shape}}}"#,
        zone.name
    );
    let window: Window = serde_json::from_str(&text).unwrap();
    window.check(zone).unwrap();
    window
}

/// The offset by walking all changes.
fn offset(zone: &Zone, seconds: i64) -> i64 {
    let mut now = zone.transitions[0].1;
    for (at, offset) in &zone.transitions {
        if *at <= seconds {
            now = *offset;
        }
    }
    i64::from(now)
}

/// The reference: walks minute by minute, and finds the first at which the clocks show the wanted
/// time or a later one, which is the first occurrence of one that comes twice, and the first valid
/// minute after one that never comes.
struct Slow {
    first: i64,
    local: Vec<i64>,
}

impl Slow {
    fn new(zone: &Zone, first: i64, minutes: i64) -> Self {
        let local = (0..minutes).map(|n| first + n * 60 + offset(zone, first + n * 60));
        Self {
            first,
            local: local.collect(),
        }
    }

    fn moment(&self, wanted: i64) -> i64 {
        let index = self.local.iter().position(|local| *local >= wanted);
        index.map_or(i64::MAX, |index| {
            self.first + i64::try_from(index).unwrap() * 60
        })
    }

    fn open(&self, window: &Window) -> Vec<bool> {
        let mut open = vec![false; self.local.len()];
        let (from, to) = (
            i64::from(window.from.minutes()),
            i64::from(window.to.minutes()),
        );
        let days = self.local[0].div_euclid(DAY)..=self.local[self.local.len() - 1].div_euclid(DAY);
        for day in days {
            // 1970-01-01 was a Thursday.
            let weekday = (day + 3).rem_euclid(7);
            let named = |one: &nixfleet_core::window::Weekday| *one as i64 == weekday;
            if !window.days.is_empty() && !window.days.iter().any(named) {
                continue;
            }
            let length = if to <= from {
                to + 24 * 60 - from
            } else {
                to - from
            };
            let begin = self.moment(day * DAY + from * 60);
            let end = self.moment(day * DAY + (from + length) * 60);
            for (index, slot) in open.iter_mut().enumerate() {
                let now = self.first + i64::try_from(index).unwrap() * 60;
                *slot = *slot || (begin <= now && now < end);
            }
        }
        open
    }
}

#[test]
fn d07_windows_are_what_a_slow_reference_says_at_every_minute_around_changes_of_the_clock() {
    let (mut minutes, mut openings) = (0, 0);
    for (zone, days) in zones() {
        zone.check().unwrap();
        for day in days {
            let slow = Slow::new(&zone, at(day - 10, 0, 0), 21 * 24 * 60);
            for shape in shapes() {
                let window = window(&zone, shape);
                let open = slow.open(&window);
                // The first and last days lack what reaches in from outside.
                let inside = 2 * 24 * 60..19 * 24 * 60;
                for index in inside.clone() {
                    let now =
                        Timestamp::from_seconds(slow.first + i64::try_from(index).unwrap() * 60);
                    let told = window.covers(now, &zone);
                    assert_eq!(told, open[index], "{} {shape} at {now}", zone.name);
                    minutes += 1;
                }
                for index in inside.step_by(97) {
                    let now =
                        Timestamp::from_seconds(slow.first + i64::try_from(index).unwrap() * 60);
                    let expected = open.iter().skip(index).position(|open| *open);
                    let told = opening(
                        std::iter::once((&window, &zone)),
                        &HostLabels::default(),
                        ActionClass::Routine,
                        now,
                    );
                    let later = |minutes: usize| {
                        now + std::time::Duration::from_secs(60 * u64::try_from(minutes).unwrap())
                    };
                    match (told, expected) {
                        (Opening::Open, Some(0)) => {}
                        (Opening::Closed(Some(opens)), Some(minutes)) => {
                            assert_eq!(opens, later(minutes), "{} {shape} at {now}", zone.name);
                        }
                        // The reference ends before the next one.
                        (Opening::Closed(_), None) => {}
                        (told, expected) => panic!("{told:?} {expected:?} {shape} at {now}"),
                    }
                    openings += 1;
                }
            }
        }
    }
    println!("windows: {minutes} minutes, {openings} next openings");
    assert!(minutes > 2_000_000);
}
