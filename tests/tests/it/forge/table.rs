//! The faults of FI-24, and what each means to whoever asked.

use std::time::Duration;

use nixfleet_core::desired::RemoteCause;
use nixfleet_tests::forge::{Answer, Cut, Fault, unix_seconds};

/// What a merge call is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    Refused,
    NotMergeable,
    HeadMoved,
    Invalid,
    Ambiguous,
}

/// One fault.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: &'static str,
    pub fault: Fault,
    /// What a merge comes to.
    pub merge: Merge,
    /// What the desired state is unavailable for.
    pub cause: RemoteCause,
    /// Whether a moment is named before which nothing may be asked.
    pub waits: bool,
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |name, fault, merge, cause, waits| {
        rows.push(Row {
            name,
            fault,
            merge,
            cause,
            waits,
        });
    };
    let status = RemoteCause::HttpStatus;
    use Merge::{Ambiguous, HeadMoved, Invalid, NotMergeable, Refused};
    use RemoteCause::{AccessDenied, Malformed, NotFound, TimedOut, Unreachable};

    add(
        "401",
        Fault::bad_credentials(),
        Refused,
        AccessDenied,
        false,
    );
    add(
        "403 permission",
        Fault::forbidden(),
        Refused,
        AccessDenied,
        false,
    );
    let reset = unix_seconds() + 900;
    add(
        "403 quota",
        Fault::quota_used_up(reset),
        Refused,
        status(429),
        true,
    );
    add(
        "403 secondary",
        Fault::secondary_limit(90),
        Refused,
        status(429),
        true,
    );
    let words = "You have triggered an abuse detection mechanism";
    add(
        "403 abuse",
        Fault::status(403, words),
        Refused,
        status(429),
        true,
    );
    add(
        "404",
        Fault::status(404, "Not Found"),
        Refused,
        NotFound,
        false,
    );
    add(
        "405",
        Fault::status(405, "not mergeable"),
        NotMergeable,
        status(405),
        false,
    );
    add(
        "408",
        Fault::status(408, "slow"),
        Ambiguous,
        status(408),
        false,
    );
    add(
        "409",
        Fault::status(409, "modified"),
        HeadMoved,
        status(409),
        false,
    );
    add("410", Fault::status(410, "gone"), Refused, NotFound, false);
    add(
        "422",
        Fault::status(422, "Validation Failed"),
        Invalid,
        status(422),
        false,
    );
    add("429", Fault::too_many(), Refused, status(429), true);
    let named = Fault::too_many().with("retry-after", "7");
    add("429 named", named, Refused, status(429), true);
    for code in [500, 502, 503, 504] {
        let name = match code {
            500 => "500",
            502 => "502",
            503 => "503",
            _ => "504",
        };
        add(
            name,
            Fault::status(code, "Server Error"),
            Ambiguous,
            status(code),
            false,
        );
    }
    let overloaded = Answer {
        status: 503,
        headers: vec![("content-type".into(), "text/html".into())],
        body: b"<html>Unicorn</html>".to_vec(),
    };
    add(
        "503 page",
        Fault::answer(overloaded),
        Ambiguous,
        status(503),
        false,
    );
    let elsewhere = Fault::redirect(302, "https://evil.example/repos");
    add("302 elsewhere", elsewhere, Refused, Malformed, false);
    let inside = Fault::redirect(307, "http://169.254.169.254/latest/meta-data");
    add("307 private", inside, Refused, Malformed, false);
    add(
        "301 nowhere",
        Fault::redirect(301, "http://"),
        Refused,
        Malformed,
        false,
    );
    add("html", Fault::html(), Ambiguous, Malformed, false);
    add(
        "bad json",
        Fault::body(&b"{\"number\": 42,"[..]),
        Ambiguous,
        Malformed,
        false,
    );
    add(
        "number",
        Fault::body(&b"7"[..]),
        Ambiguous,
        Malformed,
        false,
    );
    add(
        "null",
        Fault::body(&b"null"[..]),
        Ambiguous,
        Malformed,
        false,
    );
    add(
        "empty object",
        Fault::body(&b"{}"[..]),
        Ambiguous,
        Malformed,
        false,
    );
    let wrong = br#"{"merged":"yes","sha":7,"name":7,"commit":[],"type":3,"number":"x"}"#;
    add(
        "wrong types",
        Fault::body(&wrong[..]),
        Ambiguous,
        Malformed,
        false,
    );
    add(
        "empty",
        Fault::body(Vec::new()),
        Ambiguous,
        Malformed,
        false,
    );
    add(
        "not utf-8",
        Fault::body(vec![0xff, 0xfe, 0x00]),
        Ambiguous,
        Malformed,
        false,
    );
    let deep = "[".repeat(10_000);
    add("deep", Fault::body(deep), Ambiguous, Malformed, false);
    add(
        "half body",
        Fault::cut(Cut::HalfBody),
        Ambiguous,
        Unreachable,
        false,
    );
    add(
        "half head",
        Fault::cut(Cut::HalfHead),
        Ambiguous,
        Unreachable,
        false,
    );
    add(
        "closed",
        Fault::cut(Cut::Close),
        Ambiguous,
        Unreachable,
        false,
    );
    add(
        "reset",
        Fault::cut(Cut::Reset),
        Ambiguous,
        Unreachable,
        false,
    );
    add(
        "no head",
        Fault::cut(Cut::StallBeforeHead),
        Ambiguous,
        TimedOut,
        false,
    );
    add(
        "no body",
        Fault::cut(Cut::StallAfterHead),
        Ambiguous,
        TimedOut,
        false,
    );
    add(
        "stops",
        Fault::cut(Cut::StallInBody),
        Ambiguous,
        TimedOut,
        false,
    );
    let slow = Cut::Drip(Duration::from_millis(200));
    add("drips", Fault::cut(slow), Ambiguous, TimedOut, false);
    let huge = |declared| Fault::body(Vec::new()).and_cut(Cut::Huge { declared });
    add("huge", huge(false), Ambiguous, Malformed, false);
    add("huge declared", huge(true), Ambiguous, Malformed, false);
    rows
}
