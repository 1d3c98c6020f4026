//! Commanding and watching the fleet of a world.

use std::collections::BTreeMap;
use std::time::Duration;

use nixfleet_core::sync::CommandView;
use nixfleet_core::{CommandId, Op, Phase};
use tokio::time::Instant;

use super::{Expected, Started, World};
use crate::demo::client::Dispatched;
use crate::demo::error::{DemoError, DemoResult};
use crate::demo::live::Seen;
use crate::demo::rows::Row;
use crate::demo::wait::timeout;

/// How long to wait for news before looking again by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl World {
    /// Starts an op on hosts; a refusal on any of them is an error.
    ///
    /// # Errors
    /// [`DemoError`].
    pub async fn dispatch(&mut self, op: Op, hosts: &[&str]) -> DemoResult<Vec<CommandId>> {
        let outcomes = self.api()?.dispatch(op, hosts).await?;
        let mut ids = Vec::new();
        for (host, outcome) in outcomes {
            match outcome {
                Dispatched::Started(id) => {
                    self.dispatched.push(Started { id, host, op });
                    ids.push(id);
                }
                Dispatched::Refused { code, message } => {
                    let op = op.name();
                    return Err(DemoError::Wrong(format!(
                        "{op} on {host} was refused: {message} ({code})"
                    )));
                }
            }
        }
        Ok(ids)
    }

    /// Waits until these commands have ended, and answers how.
    ///
    /// # Errors
    /// [`DemoError::Timeout`].
    pub async fn ended(&mut self, commands: &[CommandId]) -> DemoResult<Vec<CommandView>> {
        let done = |seen: &Seen| {
            let views = commands.iter().map(|id| {
                let view = seen.state().commands.get(id)?;
                view.phase.is_terminal().then(|| view.clone())
            });
            views.collect::<Option<Vec<_>>>()
        };
        self.live_until("the end of the commands", done).await
    }

    /// Waits until the replica holds something.
    ///
    /// # Errors
    /// [`DemoError::Timeout`].
    pub async fn live_until<T>(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&Seen) -> Option<T>,
    ) -> DemoResult<T> {
        let patience = self.setup.patience;
        let deadline = Instant::now() + patience;
        loop {
            let seen = self.seen();
            if seen.current
                && let Some(found) = condition(&seen)
            {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                let seen = self.describe(&seen);
                return Err(timeout(patience, what, seen));
            }
            if let Some(live) = &mut self.live {
                live.change(LOOK_AGAIN).await;
            }
        }
    }

    /// Waits until no command is open and every expected row is seen, both over HTTP and by the
    /// replica.
    ///
    /// # Errors
    /// [`DemoError::Timeout`] with what was seen instead.
    pub async fn settle(&mut self, expected: &Expected) -> DemoResult<()> {
        let patience = self.setup.patience;
        let deadline = Instant::now() + patience;
        loop {
            let seen = self.seen();
            let idle = seen
                .state()
                .commands
                .values()
                .all(|c| c.phase.is_terminal());
            let from_replica = seen.rows();
            let mut from_api = Err("not asked".to_owned());
            if seen.current && idle && matches(expected, &from_replica) {
                from_api = self.api()?.rows().await.map_err(|error| error.to_string());
                // The replica again: both held at the same time, not one after the other.
                if from_api.as_ref().is_ok_and(|rows| matches(expected, rows))
                    && matches(expected, &self.seen().rows())
                {
                    return Ok(());
                }
            }
            if Instant::now() >= deadline {
                if from_api.is_err() {
                    from_api = self.api()?.rows().await.map_err(|error| error.to_string());
                }
                let differences = differences(expected, &from_api, &from_replica);
                let seen = format!("{differences}{}", self.describe(&seen));
                return Err(timeout(patience, "the expected rows", seen));
            }
            if let Some(live) = &mut self.live {
                live.change(LOOK_AGAIN).await;
            }
        }
    }

    /// Checks that every command ran exactly once: whatever is done by a host's command has one
    /// execution there, and there are no others. Existing agents and pulls keep no such record.
    ///
    /// # Errors
    /// [`DemoError::Wrong`] that lists what is missing and what is too many.
    pub fn check_once(&self, executes: impl Fn(&Started) -> bool) -> DemoResult<usize> {
        let mut expected: Vec<(String, String, String)> = self
            .dispatched
            .iter()
            .filter(|started| executes(started))
            .map(|started| {
                let (host, op) = (started.host.clone(), started.op.name().to_owned());
                (host, started.id.to_string(), op)
            })
            .collect();
        let mut executed = Vec::new();
        for (name, host) in &self.hosts {
            for execution in host.executions()? {
                executed.push((name.clone(), execution.command_id, execution.op));
            }
        }
        expected.sort();
        executed.sort();
        if expected == executed {
            return Ok(executed.len());
        }
        let mut text = String::from("not every command ran exactly once:\n");
        let mut surplus = executed;
        for one in &expected {
            match surplus.iter().position(|other| other == one) {
                Some(position) => {
                    surplus.remove(position);
                }
                None => text.push_str(&format!("  did not run: {} {} {}\n", one.0, one.2, one.1)),
            }
        }
        for one in surplus {
            text.push_str(&format!("  ran unasked:  {} {} {}\n", one.0, one.2, one.1));
        }
        Err(DemoError::Wrong(text))
    }

    /// Everything that helps to understand why something did not happen.
    #[must_use]
    pub fn last_words(&self) -> String {
        let processes = self.server.iter().chain(self.agents.values());
        processes.map(|process| process.last_words(15)).collect()
    }

    fn describe(&self, seen: &Seen) -> String {
        let mut text = String::new();
        if !seen.current {
            let trouble = seen.trouble.as_deref().unwrap_or("not connected yet");
            text.push_str(&format!("the replica is not current: {trouble}\n"));
        }
        for command in seen.state().commands.values() {
            let message = command.message.as_deref().unwrap_or_default();
            let (op, host, phase) = (command.op.name(), &command.host, phase_name(command.phase));
            text.push_str(&format!("  {host}: {op} is {phase} {message}\n"));
        }
        text.push_str(&self.last_words());
        text
    }
}

/// The name of a phase as clients see it.
#[must_use]
pub fn phase_name(phase: Phase) -> String {
    let name = serde_json::to_value(phase).ok();
    let text = name.as_ref().and_then(|name| name.as_str());
    text.unwrap_or_default().to_owned()
}

fn matches(expected: &Expected, rows: &BTreeMap<String, Row>) -> bool {
    expected
        .iter()
        .all(|(host, (row, _))| rows.get(host) == Some(row))
}

fn differences(
    expected: &Expected,
    from_api: &Result<BTreeMap<String, Row>, String>,
    from_replica: &BTreeMap<String, Row>,
) -> String {
    let mut text = String::from("these rows differ:\n");
    let show = |row: Option<&Row>| row.map_or_else(|| "missing".to_owned(), Row::to_string);
    for (host, (row, words)) in expected {
        let api = from_api.as_ref().map(|rows| rows.get(host));
        let replica = from_replica.get(host);
        if api == Ok(Some(row)) && replica == Some(row) {
            continue;
        }
        let api = match api {
            Ok(row) => show(row),
            Err(problem) => problem.clone(),
        };
        text.push_str(&format!(
            "  {host}: {words}\n    expected  {row}\n    HTTP API  {api}\n    replica   {}\n",
            show(replica)
        ));
    }
    text
}
