//! Whether a request may leave, and what answers say about limits (law E6).

use std::time::{Duration, SystemTime};

use nixfleet_core::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use super::super::budget::{Admission, BETWEEN_CHANGES, Purpose, RateWords};
use super::super::fault::Fault;
use super::super::memory::TokenEnd;
use super::text::{message, text_of};
use super::{Credential, Http, Kind, lock};

/// How often a change waits for its turn before it is refused.
const MOST_TURNS: usize = 3;

impl Http {
    pub(super) async fn take_turn(
        &self,
        credential: &Credential,
        purpose: Purpose,
    ) -> Result<(), Fault> {
        for _ in 0..MOST_TURNS {
            let admission = lock(&credential.budget).admit(self.clock.now(), purpose);
            match admission {
                Admission::Now => return Ok(()),
                Admission::Soon(wait) => tokio::time::sleep(wait).await,
                Admission::NotBefore(until, why) => {
                    let polling_only = false;
                    return Err(Fault::TooEarly {
                        until,
                        why,
                        polling_only,
                    });
                }
                Admission::KeptBack(until, why) => {
                    let polling_only = true;
                    return Err(Fault::TooEarly {
                        until,
                        why,
                        polling_only,
                    });
                }
            }
        }
        Err(Fault::TooEarly {
            until: self.clock.now() + BETWEEN_CHANGES,
            why: "other changes are under way",
            polling_only: false,
        })
    }

    /// What a status that is no success means. A refusal because of a limit is told apart from one
    /// because of permissions (law E6).
    pub(super) fn refusal(
        &self,
        credential: &Credential,
        at: Timestamp,
        status: StatusCode,
        head: &HeaderMap,
        body: &[u8],
    ) -> Fault {
        let said = message(body);
        match self.note(credential, at, status, head, &said) {
            Some(until) => Fault::Limited {
                status: status.as_u16(),
                until,
            },
            None => Fault::Status {
                status: status.as_u16(),
                said,
            },
        }
    }

    /// Takes in what an answer says about limits; answers until when, if it was refused for one.
    pub(super) fn note(
        &self,
        credential: &Credential,
        at: Timestamp,
        status: StatusCode,
        head: &HeaderMap,
        said: &str,
    ) -> Option<Timestamp> {
        let now = at;
        self.note_end(credential, status, head);
        let authorised = credential.token.is_some();
        let mut words = rate_words(head, now);
        words.counted = !(authorised && status == StatusCode::NOT_MODIFIED);
        let lower = said.to_lowercase();
        let limiting = status == StatusCode::TOO_MANY_REQUESTS
            || (status == StatusCode::FORBIDDEN
                && (words.remaining == Some(0)
                    || words.retry_after.is_some()
                    || lower.contains("rate limit")
                    || lower.contains("abuse detection")));
        words.refused = limiting;
        // A server that is overloaded may also name a moment.
        let named = words.retry_after.is_some();
        let until = lock(&credential.budget).note(now, &words);
        if named || limiting {
            // Such limits are for the account and the address, not for one token.
            for other in [Some(&self.reading), self.changing.as_ref()]
                .into_iter()
                .flatten()
            {
                if !std::ptr::eq(other, credential) && words.retry_after.is_some() {
                    let only_wait = RateWords {
                        retry_after: words.retry_after,
                        ..RateWords::default()
                    };
                    lock(&other.budget).note(now, &only_wait);
                }
            }
        }
        until.filter(|_| limiting)
    }
}

impl Http {
    /// Stores what is known of limits, before anything is made of the answer that told it.
    pub(super) async fn keep_budgets(&self) {
        let Some(store) = &self.memory.store else {
            return;
        };
        for credential in [Some(&self.reading), self.changing.as_ref()]
            .into_iter()
            .flatten()
        {
            let budget = lock(&credential.budget).to_store();
            if let Some(budget) = budget {
                store.keep(&credential.key, &budget).await;
            }
        }
    }

    /// Credentials that are not there end at no moment.
    pub(super) fn forget_ends(&self) {
        if self.reading.token.is_none() {
            self.tell_end(Kind::ForgeReading, None);
        }
        if self.changing.is_none() {
            self.tell_end(Kind::ForgeChanging, None);
        }
    }

    /// Takes in when the token ends that was used; told only if that is news.
    fn note_end(&self, credential: &Credential, status: StatusCode, head: &HeaderMap) {
        if credential.token.is_none() {
            return;
        }
        let ends = match head.contains_key(&TOKEN_ENDS) {
            true => {
                let read = text_of(head, &TOKEN_ENDS).and_then(token_end);
                if read.is_none() {
                    // An end that cannot be read is not the same as none.
                    tracing::warn!("the forge told the end of a token in an unknown way");
                    return;
                }
                read
            }
            false => None,
        };
        // Only a whole answer without the header says that there is no end.
        if ends.is_none() && !status.is_success() {
            return;
        }
        let mut told = lock(&credential.ends);
        if *told != Some(ends) {
            *told = Some(ends);
            self.tell_end(credential.kind.clone(), ends);
        }
    }

    fn tell_end(&self, credential: Kind, ends: Option<Timestamp>) {
        if let Some(ears) = &self.memory.ends {
            // Nobody listens any more only at the end of the server.
            ears.send(TokenEnd { credential, ends }).ok();
        }
    }
}

/// When the token ends that the request was made with; GitHub says so.
const TOKEN_ENDS: HeaderName = HeaderName::from_static("github-authentication-token-expiration");

/// `2026-12-31 00:00:00 UTC`, or with an offset like `+0100` for the zone.
fn token_end(text: &str) -> Option<Timestamp> {
    let mut words = text.split_ascii_whitespace();
    let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
    let zone = match zone {
        "UTC" | "GMT" | "Z" => "Z".to_owned(),
        offset => format!("{}:{}", offset.get(..3)?, offset.get(3..)?),
    };
    if words.next().is_some() {
        return None;
    }
    Timestamp::parse_rfc3339(&format!("{date}T{time}{zone}")).ok()
}

fn rate_words(head: &HeaderMap, now: Timestamp) -> RateWords {
    let number = |name: &str| head.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let date = text_of(head, &DATE).and_then(http_date);
    let there = date.unwrap_or(now);
    let until = |moment: Timestamp| moment.since(there);
    let retry_after = text_of(head, &RETRY_AFTER).and_then(|text| {
        let seconds = text.trim().parse().ok().map(Duration::from_secs);
        seconds.or_else(|| http_date(text).map(until))
    });
    let reset = number("x-ratelimit-reset").and_then(|seconds| i64::try_from(seconds).ok());
    RateWords {
        retry_after,
        limit: number("x-ratelimit-limit"),
        remaining: number("x-ratelimit-remaining"),
        reset_in: reset.map(|seconds| until(Timestamp::from_seconds(seconds))),
        refused: false,
        counted: true,
    }
}

fn http_date(text: &str) -> Option<Timestamp> {
    let moment = httpdate::parse_http_date(text.trim()).ok()?;
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::EPOCH + since)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn limits_are_told_by_the_clock_of_the_forge() {
        let mut head = HeaderMap::new();
        let date = HeaderValue::from_static("Fri, 20 Nov 2026 12:00:00 GMT");
        head.insert(DATE, date);
        let there = Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap();
        let reset = there.as_millis() / 1000 + 90;
        head.insert("x-ratelimit-reset", HeaderValue::from(reset));
        head.insert(
            RETRY_AFTER,
            HeaderValue::from_static("Fri, 20 Nov 2026 12:00:30 GMT"),
        );
        // Our own clock is years off; what is left of the wait is the same.
        let words = rate_words(&head, Timestamp::EPOCH);
        assert_eq!(words.reset_in, Some(Duration::from_secs(90)));
        assert_eq!(words.retry_after, Some(Duration::from_secs(30)));
        head.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        assert_eq!(
            rate_words(&head, there).retry_after,
            Some(Duration::from_secs(7))
        );
    }

    #[test]
    fn the_end_of_a_token_is_read_in_both_spellings_and_nothing_is_guessed() {
        let end = Timestamp::parse_rfc3339("2026-12-31T00:00:00Z").unwrap();
        assert_eq!(token_end("2026-12-31 00:00:00 UTC"), Some(end));
        assert_eq!(token_end("2026-12-31 01:00:00 +0100"), Some(end));
        for bad in [
            "",
            "2026-12-31",
            "soon",
            "2026-12-31 00:00:00",
            "2026-12-31 00:00:00 CEST x",
        ] {
            assert_eq!(token_end(bad), None, "{bad}");
        }
    }
}
