//! The lifecycle beside its slow reference, over random histories, phase by phase.

use nixfleet_core::Timestamp;
use nixfleet_core::host::AgentProtocol;
use proptest::collection::vec;
use proptest::prelude::*;

use super::laws::{Beginning, begin, beginning, word};
use super::play::{Play, Word};
use super::world::start_time;
use crate::reference::lifecycle::Story;

/// Both at once; the reference looks at the clock every second, the lifecycle when it asked to.
struct Pair {
    play: Play,
    story: Story,
    told: Vec<String>,
    restarted: Option<i64>,
}

impl Pair {
    fn new(beginning: &Beginning) -> Self {
        let ours = beginning.protocol == AgentProtocol::Commands;
        let mut story = Story::queued(beginning.op, ours, beginning.automation);
        if !beginning.queued {
            story.word(&Word::Start, 0);
            story.word(&Word::Admit, 0);
        }
        Self {
            play: begin(beginning),
            story,
            told: Vec::new(),
            restarted: None,
        }
    }

    fn second(&self) -> i64 {
        (self.play.now.as_millis() - start_time().as_millis()) / 1000
    }

    fn pass(&mut self, seconds: u64) {
        let end = self.second() + i64::try_from(seconds).unwrap();
        for t in self.second() + 1..=end {
            self.story.second(t);
        }
        let end = start_time() + std::time::Duration::from_secs(end.unsigned_abs());
        while let Some(due) = self.play.command.poll_timeout().filter(|due| due.at <= end) {
            let at: Timestamp = due.at.max(self.play.now);
            self.play
                .rows
                .extend(self.play.command.handle_timeout_traced(at).rows);
        }
        self.play.now = end;
    }

    fn grace_left(&self) -> u64 {
        let end = self.restarted.map_or(0, |at| at + 120);
        u64::try_from(end - self.second()).unwrap_or(0)
    }

    fn tell(&mut self, word: &Word, down: u64) {
        match word {
            Word::Wait(seconds) => self.pass(*seconds),
            Word::Foreign(_) => {
                self.play.one(word);
            }
            word => {
                // Restarts within the grace of another one are left out: "once" is not one rule.
                if *word == Word::Restart {
                    let down = down.max(self.grace_left());
                    self.play.now = self.play.now + std::time::Duration::from_secs(down);
                    self.restarted = Some(self.second());
                }
                self.play.one(word);
                let t = self.second();
                self.story.word(word, t);
                // What the word made due at once fires before anything else happens.
                self.story.second(t);
                let now = self.play.now;
                self.play
                    .rows
                    .extend(self.play.command.handle_timeout_traced(now).rows);
            }
        }
        self.told.push(format!(
            "{word:?}: {:?} / {:?}",
            self.play.command.phase, self.story.phase
        ));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_and_the_prose_agree(
        beginning in beginning(), words in vec((word(), 0_u64..900), 0..25)
    ) {
        let mut pair = Pair::new(&beginning);
        for (word, down) in &words {
            pair.tell(word, *down);
            prop_assert_eq!(
                pair.play.command.phase, pair.story.phase,
                "{:#?}\n{:?}", pair.told, pair.play.rows
            );
        }
        pair.pass(60 * 60 * 60);
        prop_assert_eq!(
            pair.play.command.phase, pair.story.phase,
            "{:#?}\n{:?}", pair.told, pair.play.rows
        );
        prop_assert!(pair.story.phase.is_terminal());
    }
}
