//! Fleets of any size, with every agent connected, and what their agents say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::desired::{Remote, RemotePolicy};
use nixfleet_core::fleet::{
    Dispatch, Effect, Fleet, FleetConfig, Input, Reading, Request, RequestId, Snapshot,
};
use nixfleet_core::host::{Actor, HostIdentity};
use nixfleet_core::ids::ConnectionId;
use nixfleet_core::report::AgentReport;
use nixfleet_core::sync::{Change, Delta, StatusUpdate};
use nixfleet_core::wire::{agent_message, borrow_agent_frame};
use nixfleet_core::{CommandId, HostId, Op, Phase, Timestamp};

use crate::hosts::{NOW, desired};
use crate::wire::heartbeat;

/// A fleet with so many connected agents, every other one at the desired commit.
#[derive(Debug)]
pub struct Connected {
    /// The fleet.
    pub fleet: Fleet,
    /// What the agents said of themselves.
    pub identity: HostIdentity,
    hosts: usize,
    visits: BTreeMap<(Visited, bool), usize>,
    ages: Vec<usize>,
    commands: u64,
    now: Timestamp,
}

/// Which hosts of a fleet are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visited {
    /// One after the other: what is stored of most is in no cache.
    Everyone,
    /// The same ten out of all: what is stored of them is in the caches, so that only what the
    /// code does counts.
    TheSameTen,
}

impl Visited {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Visited::Everyone => "of every host in turn",
            Visited::TheSameTen => "of the same ten hosts",
        }
    }
}

/// The name of a host.
#[must_use]
pub fn host(number: usize) -> HostId {
    format!("web-{number:05}").parse().unwrap()
}

fn connection(number: usize) -> ConnectionId {
    ConnectionId(number as u64)
}

impl Connected {
    /// Connects them all.
    #[must_use]
    pub fn new(hosts: usize) -> Self {
        let config = FleetConfig {
            server_version: "4.0.0".into(),
            agent_version: "4.0.0".into(),
            remote: RemotePolicy {
                ttl: Duration::from_secs(5),
                grace: Duration::from_secs(3600),
            },
            remote_configured: true,
            store_intact: true,
            host_driven: false,
            offline_notice: None,
            tests_after_switch: false,
            updates: None,
        };
        let (fleet, _) = Fleet::restore(config, Snapshot::default(), NOW);
        let mut connected = Self {
            fleet,
            identity: HostIdentity::default(),
            hosts,
            visits: BTreeMap::new(),
            // Half of them are behind, so that in every fleet as many fall behind as catch up.
            ages: (0..hosts).map(|number| number % 2).collect(),
            commands: 0,
            now: NOW,
        };
        connected.read_remote();
        for number in 0..hosts {
            let text = format!(
                r#"{{"type":"register","payload":{{"hostname":"{}","agent_version":"4.0.0","capabilities":["commands","lock","deployed"],"protocol":1}}}}"#,
                host(number)
            );
            let report = connected.read(&text);
            if let AgentReport::Registered(registration) = &report {
                connected.identity = registration.identity.clone();
            }
            connected.hear(number, report);
            let beat = connected.read(&heartbeat(0, connected.ages[number], 0.5));
            connected.hear(number, beat);
        }
        connected
    }

    fn read_remote(&mut self) {
        let desired = desired();
        let Remote::Verified(snapshot) = desired.remote else {
            panic!("the remote is readable");
        };
        let reading = Reading {
            snapshot,
            history: desired.history,
        };
        let _ = self
            .fleet
            .handle(Input::Read(Box::new(Ok(reading))), self.now);
    }

    /// The number of hosts.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.hosts
    }

    /// Which host's turn it is, and how old the commit is that it tells: the same one as before,
    /// or the other of two.
    pub fn next_turn(&mut self, visited: Visited, changes: bool) -> (usize, usize) {
        let visits = self.visits.entry((visited, changes)).or_default();
        let host = match visited {
            // Each host once in every round, and never a neighbour of the last one.
            Visited::Everyone => (*visits * 7_919) % self.hosts,
            // Neighbours are of different parity.
            Visited::TheSameTen => {
                (*visits % 10) * (self.hosts / 10) + *visits % 2 * usize::from(self.hosts > 10)
            }
        };
        *visits += 1;
        let age = &mut self.ages[host];
        if changes {
            *age = 1 - *age;
        }
        (host, *age)
    }

    /// A frame of an agent as a report.
    #[must_use]
    pub fn read(&self, text: &str) -> AgentReport {
        agent_message(borrow_agent_frame(text).unwrap(), &self.identity)
            .unwrap()
            .unwrap()
    }

    /// The fleet takes in a report.
    pub fn hear(&mut self, number: usize, report: AgentReport) -> Vec<Effect> {
        let input = Input::Agent {
            connection: connection(number),
            bound: None,
            report,
        };
        self.fleet.handle(input, self.now)
    }

    /// A frame of an agent, from its text to the effects.
    pub fn hear_text(&mut self, number: usize, text: &str) -> Vec<Effect> {
        let report = self.read(text);
        self.hear(number, report)
    }

    /// The new statuses of a host that fell behind, as they go out.
    #[must_use]
    pub fn compact_delta(&mut self) -> Arc<Delta> {
        let moved = self.hear_text(2, &heartbeat(2, 2, 0.5));
        let compact = |effect| match effect {
            Effect::Publish(delta) => Some(delta).filter(|delta: &Arc<Delta>| {
                matches!(
                    delta.change,
                    Change::StatusUpdated(StatusUpdate::Compact(_))
                )
            }),
            Effect::Persist(_)
            | Effect::Send { .. }
            | Effect::Close { .. }
            | Effect::Reply { .. }
            | Effect::ReadRemote
            | Effect::Notify(_)
            | Effect::Forge(_) => None,
        };
        moved.into_iter().find_map(compact).unwrap()
    }

    /// A command from the request to its confirmed end; four calls of the fleet.
    pub fn run_command(&mut self, number: usize) -> usize {
        self.commands += 1;
        self.now = self.now + Duration::from_millis(1);
        let id = CommandId::from_bytes(u128::from(self.commands).to_be_bytes());
        let dispatch = Dispatch::new(Op::Switch, vec![(host(number), id)]);
        let request = Input::Request {
            id: RequestId(self.commands),
            actor: Actor::Person("admin".to_owned()),
            request: Request::Dispatch(dispatch),
        };
        let mut effects = self.fleet.handle(request, self.now).len();
        // The agent's record of its deployment names the command.
        let record = format!(r#""clean":true,"command_id":"{id}""#);
        let proof = heartbeat(0, 0, 0.5).replace(r#""clean":true"#, &record);
        let another_system = format!("system-{}", self.commands);
        let proof = proof.replace("system-web", &another_system);
        for frame in [
            format!(r#"{{"type":"accepted","payload":{{"command_id":"{id}","pid":7}}}}"#),
            format!(
                r#"{{"type":"status","payload":{{"status":"ok","command":"switch","exit_code":0,"command_id":"{id}"}}}}"#
            ),
            proof,
        ] {
            effects += self.hear_text(number, &frame).len();
        }
        let phase = self.fleet.command(id).map(|command| command.phase);
        assert!(phase.is_some_and(Phase::is_terminal), "every command ends");
        effects
    }
}
