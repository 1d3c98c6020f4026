//! Hosts with one command each, and by name everything that can happen to it: as an event in JSON,
//! and in the words of the slow reference.

use nixfleet_core::compartment::PullSwitchHalf;
use nixfleet_core::desired::DesiredState;
use nixfleet_core::host::{AgentBinary, AgentProtocol, HostObservation, Presence};
use nixfleet_core::lifecycle::{Phase, Signal, Withdrawal};
use nixfleet_core::op::Performer;
use nixfleet_core::report::ResultKind;
use nixfleet_core::wire::situation::HostFacts;
use nixfleet_core::{OPS, Op};
use serde_json::{Map, Value, json};

use super::facts;
use crate::lifecycle::play::{Facts, Process, Word};
use crate::lifecycle::world::{ID, OTHER, SEQ, World, repo};

/// One host with one command.
pub struct Place {
    pub name: String,
    pub op: Op,
    pub existing: bool,
    pub automation: bool,
    /// What the agent's binary comes to after a switch that worked: fresh, or one of two faults.
    pub agent: Phase,
    world: World,
}

/// What can happen: its name, the event, and the same in words.
pub type Happening = (&'static str, Value, Vec<Word>);

/// Every place whose agent speaks command ids and performs the operation.
pub fn with_ids() -> Vec<Place> {
    let mut places = Vec::new();
    for spec in OPS.iter().filter(|spec| spec.performer == Performer::Agent) {
        places.push(Place::new(spec.op, false, false));
        if spec.op.is_deploy() {
            places.push(Place::new(spec.op, false, true));
        }
    }
    let hashes = |source: &str| AgentBinary {
        source_commit: Some(source.to_owned()),
        store_path: Some("/nix/store/agent".to_owned()),
        binary_hash: Some("5f70bf18".to_owned()),
        expected_path: None,
    };
    for (op, agent, name) in [
        (Op::Switch, Phase::StaleBinary, "switch, agent stays old"),
        (Op::Restart, Phase::StaleBinary, "restart, agent stays old"),
        (
            Op::ForceRebuild,
            Phase::Suspicious,
            "force-rebuild, only the source changes",
        ),
    ] {
        let mut place = Place::new(op, false, false);
        place.name = name.to_owned();
        place.agent = agent;
        place.world.observation.binary = hashes("1111");
        place.world.new_source = agent == Phase::Suspicious;
        place.world.observation.agent_version = Some("3.9.0".to_owned());
        places.push(place);
    }
    places
}

/// Every place with an existing agent, and the server's own operations.
pub fn without_ids() -> Vec<Place> {
    let mut places = Vec::new();
    for spec in OPS {
        let by_agent = spec.performer == Performer::Agent;
        places.push(Place::new(spec.op, by_agent, false));
        if by_agent && spec.op.is_deploy() {
            places.push(Place::new(spec.op, true, true));
        }
    }
    places
}

impl Place {
    fn new(op: Op, existing: bool, automation: bool) -> Self {
        let protocol = if existing {
            AgentProtocol::Existing
        } else {
            AgentProtocol::Commands
        };
        let mut world = World::new(op, protocol);
        if matches!(op, Op::Switch | Op::ForceRebuild) {
            world.observation.repo = Some(repo('b', "new"));
        }
        let mut name = op.name().to_owned();
        if existing {
            name.push_str(", existing agent");
        }
        if automation {
            name.push_str(", by an automation");
        }
        Self {
            name,
            op,
            existing,
            automation,
            agent: Phase::Success,
            world,
        }
    }

    pub fn by_server(&self) -> bool {
        self.op.spec().performer == Performer::Server
    }

    /// How the command begins.
    pub fn start(&self) -> Value {
        let desired = DesiredState {
            agent_version: "4.0.0".to_owned(),
            remote: self.world.remote.clone(),
            verified_at: None,
            history: None,
            pending_pr: None,
        };
        let mut host = serde_json::to_value(self.host(&self.world.observation)).unwrap();
        if !self.existing {
            host["instance_id"] = json!("process-1");
            host["boot_id"] = json!("boot-1");
        }
        let mut start = json!({
            "command_id": ID,
            "request": {
                "op": self.op,
                "host": "web-1",
                "actor": {
                    "kind": if self.automation { "automation" } else { "person" },
                    "name": if self.automation { "rollout" } else { "ada" },
                },
                "confirmed": true,
                "second_factor": "passed",
            },
            "conditions": {
                "host": host,
                "desired": facts::desired(&desired),
                "host_driven": true,
                "pr": {"eligible": true},
            },
        });
        if self.op == Op::Remove {
            start["conditions"]["presence"] = json!(Presence::NeverSeen);
        }
        start
    }

    /// An existing agent reports seven digits.
    fn host(&self, seen: &HostObservation) -> HostFacts {
        let mut seen = seen.clone();
        if let (true, Some(repo)) = (self.existing, &mut seen.repo) {
            repo.commit = repo.commit.short().parse().unwrap();
        }
        facts::host(&seen, self.existing)
    }

    /// What a message says about the host after the operation.
    fn seen(&self, facts: Facts) -> Map<String, Value> {
        let seen = match facts {
            Facts::Right => self.world.after(),
            Facts::Wrong => self.world.wrong(),
            Facts::Silent => return nothing(),
        };
        let host = serde_json::to_value(self.host(&seen)).unwrap();
        let Value::Object(mut host) = host else {
            unreachable!("facts are an object")
        };
        for of_others in [
            "agent_version",
            "capabilities",
            "failed_units",
            "generations",
        ] {
            host.remove(of_others);
        }
        host
    }

    /// Everything that can happen here.
    pub fn happenings(&self) -> Vec<Happening> {
        let mut all = decisions();
        if self.by_server() {
            for (name, code) in [("performed", 0), ("performed-badly", 1)] {
                let kind = if code == 0 {
                    ResultKind::Ok
                } else {
                    ResultKind::Error
                };
                let event = json!({"event": "performed", "exit_code": code});
                all.push((name, event, vec![Word::Exit(kind, code)]));
            }
        } else {
            all.extend(self.signs());
            all.extend(self.ends());
            all.extend(self.beats());
        }
        all.extend(self.hellos());
        all
    }

    /// A frame about this command, or about another one.
    fn frame(&self, kind: &str, payload: Value, foreign: bool) -> Value {
        let mut payload = payload;
        if !self.existing {
            payload["command_id"] = json!(if foreign { OTHER } else { ID });
        }
        agent(kind, payload)
    }

    fn signs(&self) -> Vec<Happening> {
        let step = json!({"current": 1, "total": 2, "status": "running"});
        let progress = |stage: &str| json!({"progress": {stage: step}});
        let name = self.op.name();
        let output = json!({"line": "…", "stream": "stdout", "command": name, "is_error": false});
        let busy = json!({"reason": "busy", "current_command": "test"});
        let frame = |kind, payload| self.frame(kind, payload, false);
        let halves = [PullSwitchHalf::Pull, PullSwitchHalf::Switch].map(Some);
        let mut all = vec![
            ("output", frame("output", output), vec![Word::Output]),
            (
                "progress-pull",
                frame("operation_progress", progress("pull")),
                vec![Word::Progress(halves[0])],
            ),
            (
                "progress-system",
                frame("operation_progress", progress("system")),
                vec![Word::Progress(halves[1])],
            ),
            (
                "progress-tests",
                frame("operation_progress", progress("tests")),
                vec![Word::Progress(None)],
            ),
            (
                "rejected",
                frame("command_rejected", busy),
                vec![Word::Rejected],
            ),
        ];
        if !self.existing {
            let accepted = json!({"pid": 9});
            let foreign = |word| vec![Word::Foreign(Box::new(word))];
            all.push((
                "accepted",
                frame("accepted", accepted.clone()),
                vec![Word::Accepted],
            ));
            let other = self.frame("accepted", accepted, true);
            all.push(("other-accepted", other, foreign(Word::Accepted)));
            let other = self.frame("status", self.status("ok", 0), true);
            all.push(("other-exit", other, foreign(Word::Exit(ResultKind::Ok, 0))));
        }
        all
    }

    fn status(&self, status: &str, code: i32) -> Value {
        json!({"status": status, "command": self.op.name(), "exit_code": code})
    }

    /// Ends of the command. Results of agents with ids carry facts, those of existing ones do not.
    fn ends(&self) -> Vec<Happening> {
        use ResultKind::{Error, Interrupted, Ok, Stopped};
        let kinds = [
            ("exit-0", Ok, "ok", 0, Facts::Silent),
            ("exit-0-right", Ok, "ok", 0, Facts::Right),
            ("exit-0-wrong", Ok, "ok", 0, Facts::Wrong),
            ("exit-1", Error, "error", 1, Facts::Silent),
            ("exit-4", Error, "error", 4, Facts::Silent),
            ("exit-4-right", Error, "error", 4, Facts::Right),
            ("stopped", Stopped, "stopped", 130, Facts::Silent),
            ("interrupted", Interrupted, "error", -1, Facts::Silent),
        ];
        let mut all = Vec::new();
        for (name, kind, status, code, facts) in kinds {
            let with_facts = !self.existing;
            if !with_facts && (facts != Facts::Silent || kind == Interrupted) {
                continue;
            }
            let mut words = vec![Word::Exit(kind, code)];
            let mut payload = self.result(kind, status, code);
            if with_facts {
                payload.as_object_mut().unwrap().extend(self.seen(facts));
                words.push(Word::Beat(facts));
            }
            all.push((name, self.frame("status", payload, false), words));
        }
        all
    }

    fn result(&self, kind: ResultKind, status: &str, code: i32) -> Value {
        let mut payload = self.status(status, code);
        if kind == ResultKind::Interrupted {
            payload["interrupted"] = json!(true);
        }
        if self.op == Op::Test && !self.existing && kind == ResultKind::Ok {
            let key = facts::tested(&crate::lifecycle::world::tests_of_the_running_system());
            payload["tests"] = json!({
                "key": key, "key_end": key, "verdict": "pass", "ran": 3, "failed": [], "skipped": 0,
            });
        }
        payload
    }

    fn beats(&self) -> Vec<Happening> {
        let beat = |facts| agent("heartbeat", Value::Object(self.seen(facts)));
        let mut naming = nothing();
        if self.existing {
            naming.insert("pending_command".to_owned(), json!(self.op));
        } else {
            naming.insert("command_id".to_owned(), json!(ID));
        }
        vec![
            ("beat", beat(Facts::Silent), vec![Word::Beat(Facts::Silent)]),
            (
                "beat-right",
                beat(Facts::Right),
                vec![Word::Beat(Facts::Right)],
            ),
            (
                "beat-wrong",
                beat(Facts::Wrong),
                vec![Word::Beat(Facts::Wrong)],
            ),
            (
                "beat-naming",
                agent("heartbeat", Value::Object(naming)),
                vec![Word::BeatNaming],
            ),
        ]
    }

    fn hellos(&self) -> Vec<Happening> {
        let held = |kind, status, code| {
            let mut result = self.result(kind, status, code);
            result["command_id"] = json!(ID);
            (json!([result]), Some(vec![(kind, code)]))
        };
        let none = || (json!([]), None);
        if self.existing || self.by_server() {
            let word = Word::Hello(Process::Same, None);
            return vec![("hello", self.register(Process::Same, json!([])), vec![word])];
        }
        let kinds = [
            ("hello-running", Process::Running, none()),
            ("hello", Process::Same, none()),
            ("hello-new", Process::New, none()),
            ("hello-rebooted", Process::Rebooted, none()),
            (
                "hello-holding-0",
                Process::Same,
                held(ResultKind::Ok, "ok", 0),
            ),
            (
                "hello-new-holding-0",
                Process::New,
                held(ResultKind::Ok, "ok", 0),
            ),
            (
                "hello-holding-1",
                Process::Same,
                held(ResultKind::Error, "error", 1),
            ),
        ];
        let hellos = kinds.into_iter().map(|(name, process, (results, words))| {
            let word = Word::Hello(process, words);
            (name, self.register(process, results), vec![word])
        });
        hellos.collect()
    }

    fn register(&self, process: Process, results: Value) -> Value {
        let mut payload = Value::Object(self.seen(Facts::Right));
        payload["hostname"] = json!("web-1");
        payload["agent_version"] = json!(self.world.observation.agent_version);
        if !self.existing {
            let (own, boot) = match process {
                Process::Running | Process::Same => ("process-1", "boot-1"),
                Process::New => ("process-2", "boot-1"),
                Process::Rebooted => ("process-2", "boot-2"),
            };
            payload["capabilities"] = json!(["commands", "lock", "deployed"]);
            payload["instance_id"] = json!(own);
            payload["boot_id"] = json!(boot);
            payload["results"] = results;
            if process == Process::Running {
                payload["running"] = json!({"command_id": ID, "op": self.op});
            }
        }
        agent("register", payload)
    }
}

/// A host that sees nothing of itself any more.
fn nothing() -> Map<String, Value> {
    let gone = ["repo", "deployed", "system"].map(|key| (key.to_owned(), Value::Null));
    gone.into_iter().collect()
}

fn agent(kind: &str, payload: Value) -> Value {
    json!({"event": "agent", "frame": {"type": kind, "payload": payload}})
}

/// What people, automations and the server's own machinery do.
fn decisions() -> Vec<Happening> {
    let minutes = |n: u64| json!({"event": "extend", "ms": n * 60_000});
    let cancel = |how: Withdrawal| {
        let event = json!({"event": "cancel", "how": how});
        (event, vec![Word::Cancel(how)])
    };
    let signal = |signal: Signal| {
        let event = json!({"event": "kill_request", "signal": signal});
        (event, vec![Word::Kill(signal)])
    };
    let send_fail = |nothing_left: bool| {
        let event =
            json!({"event": "send_fail", "nothing_left": nothing_left, "why": "broken pipe"});
        (event, vec![Word::SendFail { nothing_left }])
    };
    let refusal = json!({"code": "offline", "subject": null});
    let plain = [
        ("start", json!({"event": "start"}), Word::Start),
        (
            "validate",
            json!({"event": "validate", "seq": SEQ.0}),
            Word::Admit,
        ),
        (
            "validate-fail",
            json!({"event": "validate_fail", "refusal": refusal}),
            Word::Refuse,
        ),
        ("sent", json!({"event": "sent"}), Word::Sent),
        ("extend-10m", minutes(10), Word::Extend(10)),
        ("extend-3h", minutes(180), Word::Extend(180)),
        ("extend-0m", minutes(0), Word::Extend(0)),
        ("ignore", json!({"event": "ignore"}), Word::Ignore),
        (
            "disconnect",
            json!({"event": "disconnect"}),
            Word::Disconnect,
        ),
        (
            "server-restart",
            json!({"event": "server_restart"}),
            Word::Restart,
        ),
    ];
    let mut all: Vec<Happening> = plain
        .map(|(name, event, word)| (name, event, vec![word]))
        .into();
    for (name, (event, words)) in [
        ("cancel", cancel(Withdrawal::Cancelled)),
        ("supersede", cancel(Withdrawal::Superseded)),
        ("skip", cancel(Withdrawal::StageFailed)),
        ("term", signal(Signal::Term)),
        ("kill", signal(Signal::Kill)),
        ("send-fail", send_fail(true)),
        ("send-unclear", send_fail(false)),
    ] {
        all.push((name, event, words));
    }
    all
}
