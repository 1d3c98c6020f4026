//! Reading heartbeats, of which there are many: the facts stand between the other fields of the
//! frame, and serde would keep all of them aside before it reads any (`flatten`).

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Field;
use super::agent::{
    DeployedFacts, Facts, GenerationFacts, Heartbeat, Metrics, RepoFacts, SystemFacts,
};

/// The fields of [`Heartbeat`] and of its [`Facts`] side by side, as they travel.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "T: Deserialize<'de> + Default"))]
struct Flat<T> {
    generation: Option<T>,
    nixpkgs_version: Option<T>,
    pending_command: Option<T>,
    command_pid: Option<i64>,
    metrics: Option<Metrics>,
    update_status: Option<serde_json::Value>,
    failed_units: Field<Vec<T>>,
    command_id: Option<T>,
    seq: Option<u64>,

    source_commit: Option<T>,
    store_path: Option<T>,
    binary_hash: Option<T>,
    expected_store_path: Option<T>,
    lock_hash: Field<T>,
    repo: Field<RepoFacts<T>>,
    deployed: Field<DeployedFacts<T>>,
    system: Field<SystemFacts<T>>,
    generations: Field<Vec<GenerationFacts<T>>>,
    repo_error: Field<T>,
}

impl<T> From<Flat<T>> for Heartbeat<T> {
    fn from(flat: Flat<T>) -> Self {
        Self {
            generation: flat.generation,
            nixpkgs_version: flat.nixpkgs_version,
            pending_command: flat.pending_command,
            command_pid: flat.command_pid,
            metrics: flat.metrics,
            update_status: flat.update_status,
            failed_units: flat.failed_units,
            command_id: flat.command_id,
            seq: flat.seq,
            facts: Facts {
                source_commit: flat.source_commit,
                store_path: flat.store_path,
                binary_hash: flat.binary_hash,
                expected_store_path: flat.expected_store_path,
                lock_hash: flat.lock_hash,
                repo: flat.repo,
                deployed: flat.deployed,
                system: flat.system,
                generations: flat.generations,
                repo_error: flat.repo_error,
            },
        }
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Heartbeat<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Object<T> {
            type Value = Heartbeat<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a heartbeat: an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Flat::deserialize(MapAccessDeserializer::new(map)).map(Heartbeat::from)
            }
        }

        deserializer.deserialize_map(Object(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same as serde makes of it.
    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Flattened {
        generation: Option<String>,
        pending_command: Option<String>,
        failed_units: Field<Vec<String>>,
        seq: Option<u64>,
        #[serde(flatten)]
        facts: Facts,
    }

    #[test]
    fn what_is_written_is_read_again_whatever_is_missing_or_null() {
        let whole = r#"{"generation":"aaaaaaa","nixpkgs_version":"1","pending_command":"pull",
            "command_pid":7,"metrics":{"cpu":1.0,"ram":2.0,"swap":3.0,"load":4.0},
            "update_status":{"any":[1]},"failed_units":["a"],"command_id":"c","seq":3,
            "source_commit":"s","store_path":"p","binary_hash":"b","expected_store_path":"e",
            "lock_hash":"l","repo":{"commit":"c","dirty":true},"deployed":{"clean":true},
            "system":{"path":"p","reboot_required":true},"generations":[{"number":1}],
            "repo_error":"why"}"#;
        let whole: serde_json::Value = serde_json::from_str(whole).unwrap();
        for field in whole.as_object().unwrap().keys() {
            for without in [None, Some(serde_json::Value::Null)] {
                let mut text = whole.clone();
                match &without {
                    None => drop(text.as_object_mut().unwrap().remove(field)),
                    Some(null) => text[field] = null.clone(),
                }
                let beat: Heartbeat = serde_json::from_value(text.clone()).unwrap();
                let same: Flattened = serde_json::from_value(text.clone()).unwrap();
                assert_eq!(beat.facts, same.facts, "{text}");
                assert_eq!(beat.generation, same.generation);
                assert_eq!(beat.pending_command, same.pending_command);
                assert_eq!(beat.failed_units, same.failed_units);
                assert_eq!(beat.seq, same.seq);
                let again = serde_json::to_value(&beat).unwrap();
                let again: Heartbeat = serde_json::from_value(again).unwrap();
                assert_eq!(again, beat);
            }
        }
        let beat: Heartbeat = serde_json::from_value(whole.clone()).unwrap();
        assert_eq!(
            serde_json::to_value(&beat)
                .unwrap()
                .as_object()
                .unwrap()
                .len(),
            whole.as_object().unwrap().len(),
            "every field is read and written"
        );
    }

    #[test]
    fn a_list_is_not_a_heartbeat() {
        assert!(serde_json::from_str::<Heartbeat>("{}").is_ok());
        assert!(serde_json::from_str::<Heartbeat>("[]").is_err());
    }
}
