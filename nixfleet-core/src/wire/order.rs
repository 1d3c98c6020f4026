//! Frames of a server to orders and back. Reading is the only fallible step: after it nothing is
//! checked again.

use std::str::FromStr;

use super::agent::{
    Args, CommandFrame, Confirm, KillCommand, Registered, ServerFrame, TargetFrame,
};
use crate::ids::{CommandId, IdError, Sequence};
use crate::lifecycle::{CommandArgs, Signal, Target};
use crate::op::Op;
use crate::order::{Asked, Misread, MisreadCause, ServerOrder, StartOrder, Welcome};
use crate::time::Timestamp;

/// What the frame `command` calls the stop of a peer without command ids.
const STOP: &str = "stop";
/// The longest part of an unknown name that is repeated to people.
const SHOWN: usize = 64;

/// What a server's frame says.
///
/// # Errors
/// [`Misread`], naming the first field with an impossible value, and the command that it concerns.
pub fn server_order(frame: ServerFrame) -> Result<ServerOrder, Misread> {
    match frame {
        ServerFrame::Registered(registered) => Ok(ServerOrder::Registered(welcome(registered))),
        ServerFrame::Command(command) if command.command == STOP => {
            Ok(ServerOrder::StopRunning(Signal::Term))
        }
        ServerFrame::Command(command) => start(command),
        ServerFrame::KillCommand(kill) => stop(&kill),
        ServerFrame::Confirm(confirm) => Ok(ServerOrder::Confirm {
            command: id(&confirm.command_id)?,
            server_time: confirm.server_time.map(Timestamp::from_millis),
        }),
    }
}

fn welcome(registered: Registered) -> Welcome {
    Welcome {
        host: registered.host_id,
        server_version: registered.server_version,
        protocol: registered.protocol,
        capabilities: registered.capabilities,
        server_time: registered.server_time.map(Timestamp::from_millis),
    }
}

fn start(frame: CommandFrame) -> Result<ServerOrder, Misread> {
    let asked = Asked {
        command: frame.command_id.as_deref().map(id).transpose()?,
        seq: frame.seq.map(Sequence),
    };
    let misread = |cause| Misread {
        asked: Some(asked),
        cause,
    };
    let Some(op) = Op::named(&frame.command) else {
        let name = frame.command.chars().take(SHOWN).collect();
        return Err(misread(MisreadCause::UnknownOp(name)));
    };
    let args = frame.args.unwrap_or_default();
    Ok(ServerOrder::Start(StartOrder {
        command: asked.command,
        op,
        seq: asked.seq,
        not_after: frame.not_after.map(Timestamp::from_millis),
        args: CommandArgs {
            generation: args.generation,
            input: args.input,
        },
        target: frame.target.map(target).transpose().map_err(misread)?,
    }))
}

fn target(frame: TargetFrame) -> Result<Target, MisreadCause> {
    let lock = frame.lock_hash.as_deref();
    Ok(Target {
        commit: field("target.commit", &frame.commit)?,
        lock: lock
            .map(|text| field("target.lock_hash", text))
            .transpose()?,
    })
}

/// A stop is never widened: one whose id is no id stops nothing.
fn stop(kill: &KillCommand) -> Result<ServerOrder, Misread> {
    let signal = signal(&kill.signal);
    Ok(match &kill.command_id {
        None => ServerOrder::StopRunning(signal),
        Some(text) => ServerOrder::Stop {
            command: id(text)?,
            signal,
            pid: kill.pid,
        },
    })
}

/// Whatever else a signal is called, somebody wants the command to end, and after SIGTERM the agent
/// escalates by itself.
fn signal(name: &str) -> Signal {
    match name.strip_prefix("SIG").unwrap_or(name) {
        "KILL" => Signal::Kill,
        _ => Signal::Term,
    }
}

fn id(text: &str) -> Result<CommandId, Misread> {
    field("command_id", text).map_err(|cause| Misread { asked: None, cause })
}

fn field<T: FromStr<Err = IdError>>(field: &'static str, text: &str) -> Result<T, MisreadCause> {
    text.parse()
        .map_err(|source| MisreadCause::Field { field, source })
}

impl From<ServerOrder> for ServerFrame {
    fn from(order: ServerOrder) -> Self {
        match order {
            ServerOrder::Registered(welcome) => ServerFrame::Registered(Registered {
                host_id: welcome.host,
                server_version: welcome.server_version,
                protocol: welcome.protocol,
                capabilities: welcome.capabilities,
                server_time: welcome.server_time.map(Timestamp::as_millis),
            }),
            ServerOrder::Start(order) => ServerFrame::Command(order.into()),
            ServerOrder::Stop {
                command,
                signal,
                pid,
            } => ServerFrame::KillCommand(KillCommand {
                signal: signal_name(signal).to_owned(),
                pid,
                command_id: Some(command.to_string()),
            }),
            // An existing agent never gets a `kill_command` (spec 03).
            ServerOrder::StopRunning(Signal::Term) => ServerFrame::Command(CommandFrame {
                command: STOP.to_owned(),
                ..CommandFrame::default()
            }),
            ServerOrder::StopRunning(Signal::Kill) => ServerFrame::KillCommand(KillCommand {
                signal: signal_name(Signal::Kill).to_owned(),
                ..KillCommand::default()
            }),
            ServerOrder::Confirm {
                command,
                server_time,
            } => ServerFrame::Confirm(Confirm {
                command_id: command.to_string(),
                server_time: server_time.map(Timestamp::as_millis),
            }),
        }
    }
}

impl From<StartOrder> for CommandFrame {
    fn from(order: StartOrder) -> Self {
        let args = Args {
            generation: order.args.generation,
            input: order.args.input,
        };
        CommandFrame {
            command: order.op.name().to_owned(),
            command_id: order.command.map(|id| id.to_string()),
            seq: order.seq.map(|seq| seq.0),
            not_after: order.not_after.map(Timestamp::as_millis),
            args: Some(args).filter(|args| *args != Args::default()),
            target: order.target.map(|target| TargetFrame {
                commit: target.commit.to_string(),
                lock_hash: target.lock.map(|lock| lock.to_string()),
            }),
        }
    }
}

const fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Term => "TERM",
        Signal::Kill => "KILL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decode_server_frame;

    const ID: &str = "01997e3a-7c00-7000-8000-000000000001";

    fn read(text: &str) -> Result<ServerOrder, Misread> {
        server_order(decode_server_frame(text).unwrap())
    }

    fn kill(fields: &str) -> Result<ServerOrder, Misread> {
        read(&format!(
            r#"{{"type":"kill_command","payload":{{{fields}}}}}"#
        ))
    }

    #[test]
    fn a_stop_whose_id_is_no_id_stops_nothing() {
        let command = ID.parse().unwrap();
        let named = kill(&format!(r#""signal":"TERM","command_id":"{ID}""#));
        assert!(
            matches!(named, Ok(ServerOrder::Stop { command: one, .. }) if one == command),
            "positive control"
        );
        for bad in ["", "1", "01997e3a", "null"] {
            let misread = kill(&format!(r#""signal":"TERM","command_id":"{bad}""#)).unwrap_err();
            assert!(misread.to_string().contains("command_id"), "{misread}");
            assert_eq!(misread.asked, None);
        }
        let unnamed = kill(r#""signal":"SIGTERM","pid":1"#);
        assert_eq!(unnamed, Ok(ServerOrder::StopRunning(Signal::Term)));
    }

    #[test]
    fn signals_are_known_by_both_spellings_and_anything_else_is_the_gentle_one() {
        for (name, expected) in [
            ("TERM", Signal::Term),
            ("SIGTERM", Signal::Term),
            ("KILL", Signal::Kill),
            ("SIGKILL", Signal::Kill),
            ("", Signal::Term),
            ("SIGINT", Signal::Term),
            ("OVERKILL", Signal::Term),
        ] {
            assert_eq!(signal(name), expected, "{name}");
        }
    }

    #[test]
    fn a_command_that_cannot_be_read_says_which_one_it_was() {
        let command = |fields: &str| {
            let text = format!(r#"{{"type":"command","payload":{{{fields}}}}}"#);
            read(&text).unwrap_err()
        };
        let id = format!(r#""command_id":"{ID}","seq":7"#);
        for (fields, told) in [
            (
                format!(r#""command":"from-the-future",{id}"#),
                "from-the-future",
            ),
            (
                format!(r#""command":"pull",{id},"target":{{"commit":"main"}}"#),
                "target.commit",
            ),
            (
                format!(
                    r#""command":"pull",{id},"target":{{"commit":"{}","lock_hash":"x"}}"#,
                    "a".repeat(40)
                ),
                "target.lock_hash",
            ),
        ] {
            let misread = command(&fields);
            assert!(misread.to_string().contains(told), "{misread}");
            let asked = misread.asked.unwrap();
            assert_eq!(asked.command, Some(ID.parse().unwrap()));
            assert_eq!(asked.seq, Some(Sequence(7)));
        }
        assert_eq!(command(r#""command":"pull","command_id":"1""#).asked, None);
    }
}
