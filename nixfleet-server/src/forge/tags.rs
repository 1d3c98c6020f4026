//! Answers that a forge tagged, so that asking again costs nothing while nothing changed. Kept per
//! address and credential, because tags change with the credential; bounded.

use std::collections::{BTreeMap, VecDeque};

use reqwest::header::HeaderValue;
use url::Url;

const MOST_ENTRIES: usize = 512;
const MOST_BYTES: usize = 32 << 20;
/// A larger answer is not kept.
const LARGEST: usize = 4 << 20;

/// A tagged answer.
#[derive(Clone, Debug)]
pub(super) struct Tagged {
    /// The tag, as it came.
    pub tag: HeaderValue,
    /// The body.
    pub body: Vec<u8>,
    /// Where the list goes on.
    pub next: Option<Url>,
}

/// What is kept; the oldest goes first.
#[derive(Debug, Default)]
pub(super) struct Tags {
    entries: BTreeMap<Key, Tagged>,
    order: VecDeque<Key>,
    bytes: usize,
}

type Key = (String, &'static str);

impl Tags {
    pub fn get(&self, url: &Url, credential: &'static str) -> Option<Tagged> {
        self.entries
            .get(&(url.as_str().to_owned(), credential))
            .cloned()
    }

    pub fn put(&mut self, url: &Url, credential: &'static str, tagged: Tagged) {
        let key = (url.as_str().to_owned(), credential);
        self.remove(&key);
        if tagged.body.len() > LARGEST {
            return;
        }
        self.bytes += tagged.body.len();
        self.entries.insert(key.clone(), tagged);
        self.order.push_back(key);
        while self.order.len() > MOST_ENTRIES || self.bytes > MOST_BYTES {
            let Some(oldest) = self.order.front().cloned() else {
                return;
            };
            self.remove(&oldest);
        }
    }

    pub fn forget(&mut self, url: &Url, credential: &'static str) {
        self.remove(&(url.as_str().to_owned(), credential));
    }

    fn remove(&mut self, key: &Key) {
        if let Some(old) = self.entries.remove(key) {
            self.bytes -= old.body.len();
            self.order.retain(|known| known != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(size: usize) -> Tagged {
        Tagged {
            tag: HeaderValue::from_static("\"a\""),
            body: vec![0; size],
            next: None,
        }
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_size() {
        let mut tags = Tags::default();
        let url = |n: usize| Url::parse(&format!("https://x/{n}")).unwrap();
        for n in 0..MOST_ENTRIES + 10 {
            tags.put(&url(n), "reading", tagged(1));
        }
        assert_eq!(tags.entries.len(), MOST_ENTRIES);
        assert!(tags.get(&url(0), "reading").is_none());
        assert!(tags.get(&url(20), "reading").is_some());
        assert!(tags.get(&url(20), "changing").is_none(), "per credential");
        for n in 0..20 {
            tags.put(&url(n), "reading", tagged(LARGEST));
        }
        assert!(tags.bytes <= MOST_BYTES);
        assert_eq!(
            tags.bytes,
            tags.entries
                .values()
                .map(|kept| kept.body.len())
                .sum::<usize>()
        );
        tags.put(&url(19), "reading", tagged(LARGEST + 1));
        assert!(
            tags.get(&url(19), "reading").is_none(),
            "an old answer does not stay"
        );
    }
}
