//! What was counted. Passing tests are silent, so it is also left in a file, and the test binary
//! `summary`, which runs last, tells it.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::os::unix::process::parent_id;

use serde_json::json;

/// A number of something that was checked.
pub fn counted(id: &str, text: &str) {
    println!("{text}");
    leave(id, &json!({"run": parent_id(), "text": text}));
}

/// How many changed tables were noticed.
#[derive(Debug, Default)]
pub struct Score {
    /// Rows, gates, needs, deeds taken away.
    pub deletions: usize,
    /// Cells that say something else.
    pub retargets: usize,
    /// What nobody noticed.
    pub survivors: Vec<String>,
}

impl Score {
    /// A row, or a part of one, was taken away.
    pub fn deleted(&mut self, noticed: bool, what: impl FnOnce() -> String) {
        self.deletions += 1;
        if !noticed {
            self.survivors.push(format!("{} deleted", what()));
        }
    }

    /// A row, or a part of one, said something else.
    pub fn retargeted(&mut self, noticed: bool, what: impl FnOnce() -> String) {
        self.retargets += 1;
        if !noticed {
            self.survivors.push(what());
        }
    }

    /// Leaves the score; there must be no survivor.
    pub fn done(self, table: &str) {
        println!("mutants of {table}: {self:?}");
        let Self {
            deletions,
            retargets,
            survivors,
        } = self;
        leave(
            &format!("mutants-{table}"),
            &json!({
                "run": parent_id(), "table": table, "deletions": deletions,
                "retargets": retargets, "survivors": survivors,
            }),
        );
        assert!(deletions + retargets > 0);
        assert_eq!(survivors, Vec::<String>::new(), "mutants of {table}");
    }
}

/// In one folder for all runs; each says which run it is of.
fn leave(id: &str, what: &serde_json::Value) {
    let folder = format!("{}/counts", env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(format!("{folder}/{id}.json"), what.to_string()).unwrap();
}
