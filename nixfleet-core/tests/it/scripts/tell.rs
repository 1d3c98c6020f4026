//! How the transcript tells what happened.

use nixfleet_core::fleet::{Accepted, Effect, Fleet, Record, Reply};
use nixfleet_core::lifecycle::{Command, IGNORED, Phase};
use nixfleet_core::wire::agent::{AgentFrame, ServerFrame};
use nixfleet_core::{CommandId, HostId, Timestamp};

use super::stage::START;

pub fn clock(now: Timestamp) -> String {
    let seconds = now.since(START).as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

/// The rows that the last call used, one line for each command; rows that ignore are not told.
///
/// A command that ended and is not shown by its host is known to its record only.
pub fn rows(
    fleet: &Fleet,
    effects: &[Effect],
    number: impl Fn(CommandId) -> String,
) -> Vec<String> {
    let ignored = |id: &str| IGNORED.iter().any(|row| row.id == id);
    let mut lines: Vec<(CommandId, Vec<&str>)> = Vec::new();
    for (id, row) in fleet.rows_used().iter().filter(|(_, row)| !ignored(row)) {
        match lines.last_mut().filter(|(last, _)| last == id) {
            Some((_, rows)) => rows.push(row),
            None => lines.push((*id, vec![row])),
        }
    }
    let stored = |id: CommandId| {
        effects.iter().find_map(|effect| {
            let Effect::Persist(record) = effect else {
                return None;
            };
            let Record::Command(command) = &**record else {
                return None;
            };
            (command.id == id && command.phase != Phase::Blocked).then_some(command)
        })
    };
    let line = |(id, rows): (CommandId, Vec<&str>)| {
        let state = fleet.command(id).or_else(|| stored(id)).map(state);
        let state = state.unwrap_or_default();
        format!("{}: {}{state}", number(id), rows.join(", "))
    };
    lines.into_iter().map(line).collect()
}

fn state(command: &Command) -> String {
    let phase = serde_json::to_value(command.phase).unwrap();
    let ending = command
        .ending
        .as_ref()
        .map(|ending| format!(" ({})", ending.text()));
    format!(
        " ⇒ {}{}",
        phase.as_str().unwrap(),
        ending.unwrap_or_default()
    )
}

/// The five statuses with the rows behind them, and everything beside them; and the ids of those
/// rows.
pub fn row(fleet: &Fleet, host: &HostId) -> Option<(String, Vec<&'static str>)> {
    let report = fleet.report(host)?;
    let trace = fleet.explain(host)?;
    let statuses: Vec<&str> = report
        .compartments
        .values()
        .map(|one| one.status.name())
        .collect();
    let mut ids: Vec<&'static str> = trace.compartments.iter().map(|one| one.rule).collect();
    let mut text = format!("| {} | {}", statuses.join(" "), ids.join(" "));
    let working = trace.compartments.iter().filter_map(|one| one.working);
    for (id, _) in working {
        text.push_str(&format!(" +{id}"));
        ids.push(id);
    }
    for attention in &report.attentions {
        text.push_str(&format!(" !{}", attention.template().code));
    }
    Some((text, ids))
}

/// Every compartment of a host with what it says and what a click on it offers, and its command.
pub fn host(fleet: &Fleet, host: &HostId, number: impl Fn(CommandId) -> String) -> Vec<String> {
    let Some(report) = fleet.report(host) else {
        return vec!["no such host".to_owned()];
    };
    let mut lines = Vec::new();
    for (compartment, one) in &report.compartments {
        let mut offers: Vec<&str> = one.click.offers.iter().map(|op| op.name()).collect();
        if one.click.stop {
            offers.push("stop");
        }
        if one.click.log {
            offers.push("log");
        }
        let offers = if offers.is_empty() {
            String::new()
        } else {
            format!(" [{}]", offers.join(", "))
        };
        let (name, status) = (compartment.name(), one.status.name());
        lines.push(format!("{name} {status}: {}{offers}", one.message));
    }
    lines.extend(
        report
            .attentions
            .iter()
            .map(|one| format!("! {}", one.short())),
    );
    if let Some(command) = report.command.and_then(|shown| fleet.command(shown.id)) {
        let (number, op) = (number(command.id), command.op.name());
        lines.push(format!("command {number} {op}{}", state(command)));
    }
    lines
}

pub fn reply(reply: &Reply, number: impl Fn(CommandId) -> String) -> Vec<String> {
    match reply {
        Reply::Dispatched(outcomes) => outcomes
            .iter()
            .map(|one| match &one.outcome {
                Ok(Accepted::Started(id)) => format!("accepted as {}", number(*id)),
                Ok(Accepted::Queued(id)) => format!("queued as {}", number(*id)),
                Ok(Accepted::Done) => "done at once".to_owned(),
                Err(refusal) => format!("refused: {}: {}", refusal.code.code(), masked(refusal)),
            })
            .collect(),
        Reply::Done => vec!["done".to_owned()],
        Reply::JobStarted { job } => vec![format!("job {job}")],
        Reply::UpdateRefused(why) => vec![format!("refused: {}: {why}", why.code())],
        Reply::UnknownHost(host) => vec![format!("unknown host {host}")],
        Reply::UnknownCommand => vec!["unknown command".to_owned()],
        Reply::Refused(refusal) => {
            vec![format!(
                "refused: {}: {}",
                refusal.code.code(),
                masked(refusal)
            )]
        }
        other @ (Reply::RolloutStarted(_)
        | Reply::NotPlanned(_)
        | Reply::PlanChanged(_)
        | Reply::UnknownRollout(_)
        | Reply::VerbRefused(_)
        | Reply::BadSettings(_)
        | Reply::BadWindow(_)
        | Reply::UnknownWindow(_)
        | Reply::NotQuarantined(_)
        | Reply::HeldBySelector(_)
        | Reply::BadHold(_)
        | Reply::UnknownHold(_)) => vec![format!("{other:?}")],
    }
}

/// The sentence, with the id of a command left out.
fn masked(refusal: &nixfleet_core::admission::Refusal) -> String {
    let text = refusal.sentence();
    match text.split_once(" (0000") {
        Some((before, after)) => {
            let rest = after.split_once(')').map_or("", |(_, rest)| rest);
            format!("{before}{rest}")
        }
        None => text,
    }
}

/// A frame to an agent; `None` if it is not worth telling.
pub fn down(frame: &ServerFrame, number: impl Fn(CommandId) -> String) -> Option<String> {
    let called = |id: &str| id.parse().map(&number).unwrap_or_default();
    match frame {
        ServerFrame::Registered(_) => None,
        ServerFrame::Command(command) => {
            let id = command.command_id.as_deref().map(called);
            let seq = command.seq.map(|seq| format!(" seq {seq}"));
            let id = id.map(|id| format!(" {id}")).unwrap_or_default();
            Some(format!(
                "command {}{id}{}",
                command.command,
                seq.unwrap_or_default()
            ))
        }
        ServerFrame::KillCommand(kill) => {
            let id = kill.command_id.as_deref().map(called).unwrap_or_default();
            Some(format!("kill {id} {}", kill.signal))
        }
        ServerFrame::Confirm(confirm) => Some(format!("confirm {}", called(&confirm.command_id))),
    }
}

/// A frame of an agent; `None` if it is not worth telling.
pub fn up(frame: &AgentFrame, number: impl Fn(CommandId) -> String) -> Option<String> {
    let called = |id: &Option<String>| {
        let id = id.as_deref().and_then(|id| id.parse().ok()).map(&number);
        id.map(|id| format!(" {id}")).unwrap_or_default()
    };
    match frame {
        AgentFrame::Heartbeat(_) => None,
        AgentFrame::Register(register) => {
            let running = register
                .running
                .as_ref()
                .map(|one| Some(one.command_id.clone()));
            let running = running.map(|id| format!(", running{}", called(&id)));
            let results: Vec<String> = register
                .results
                .iter()
                .map(|one| format!(", result of{}", called(&one.command_id)))
                .collect();
            Some(format!(
                "register{}{}",
                running.unwrap_or_default(),
                results.concat()
            ))
        }
        AgentFrame::Output(output) => Some(format!("output{}", called(&output.command_id))),
        AgentFrame::Status(report) => {
            let code = report
                .exit_code
                .map_or("none".to_owned(), |code| code.to_string());
            let id = called(&report.command_id);
            Some(format!(
                "status {} {}{id} exit {code}",
                report.status, report.command
            ))
        }
        AgentFrame::CommandRejected(rejected) => {
            let id = called(&rejected.command_id);
            Some(format!("rejected{id}: {}", rejected.reason))
        }
        AgentFrame::TestProgress(_) => Some("test_progress".to_owned()),
        AgentFrame::OperationProgress(progress) => Some(format!(
            "operation_progress{}",
            called(&progress.command_id)
        )),
        AgentFrame::Accepted(accepted) => {
            let pid = accepted.pid.map(|_| ", runs").unwrap_or_default();
            let id = called(&Some(accepted.command_id.clone()));
            Some(format!("accepted{id}{pid}"))
        }
    }
}
