//! What does not depend on the machine: instructions and allocations.
//! `cargo bench -p nixfleet-core-benches --bench counts [-- C2 …]`.
//!
//! Instructions are counted by valgrind's callgrind, under which this program runs itself again,
//! with one workload and only inside of the function that is measured.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::hint::black_box;
use std::process::Command;

use allocation_counter::measure;
use nixfleet_core::admission::Check;
use nixfleet_core::compartment::{Facts, HostFacts, RemoteFacts, assess, rules};
use nixfleet_core::fleet::{Dispatch, Input, Request, RequestId};
use nixfleet_core::host::Actor;
use nixfleet_core::lifecycle::Event;
use nixfleet_core::sync::write_frame;
use nixfleet_core::wire::{agent_message, borrow_agent_frame};
use nixfleet_core::{CommandId, Op};
use nixfleet_core_benches::fleets::{Connected, Visited, host};
use nixfleet_core_benches::hosts::{NOW, desired, mixed};
use nixfleet_core_benches::measure::{Limits, Plan, report_count, wanted};
use nixfleet_core_benches::wire::{BorrowedFrame, heartbeat};

const MEASURED: &str = "--measured-workload";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, workload, size] = arguments.as_slice()
        && flag == MEASURED
    {
        return workload_named(workload, size.parse().unwrap());
    }
    let plan = Plan::from_environment();
    if wanted("C2") {
        allocations_of_assessing();
    }
    if wanted("C6") {
        allocations_of_a_transition();
    }
    if !callgrind_works() {
        println!(
            "SKIPPED: valgrind is not there, so no instructions were counted (C2, C6, heartbeat)"
        );
        return;
    }
    if wanted("C2") {
        c2_instructions_grow_with_the_hosts(plan);
    }
    for (id, what, subject, reference, gate, target) in [
        (
            "C4",
            "read and check a heartbeat",
            "read-heartbeat",
            "read-borrowed",
            1.35,
            1.2,
        ),
        (
            "C5",
            "write a frame with one compact status",
            "write-frame",
            "write-entry",
            1.1,
            0.8,
        ),
    ] {
        if wanted(id) {
            let (subject, reference) = (instructions(subject, 100), instructions(reference, 100));
            println!(
                "  {id}: {:.0} instructions, reference {:.0}",
                subject / 100.0,
                reference / 100.0
            );
            let what = format!("instructions of: {what} ÷ reference");
            report_count(id, &what, subject / reference, Limits { gate, target });
        }
    }
    if wanted("C6") {
        c6_instructions_do_not_grow_with_the_history(plan);
    }
    if wanted("heartbeat") {
        instructions_of_a_heartbeat_do_not_grow_with_the_fleet(plan);
    }
}

/// The only function in which instructions are counted.
#[inline(never)]
fn only_this_is_counted(run: &mut dyn FnMut()) {
    run();
    // Nothing of it may be moved out of here.
    black_box(());
}

fn workload_named(name: &str, size: usize) {
    match name {
        "assess" => {
            let (hosts, desired) = (mixed(size), desired());
            only_this_is_counted(&mut || {
                for host in &hosts {
                    black_box(assess(&host.situation(&desired)));
                }
            });
        }
        "judge" => {
            let (hosts, desired) = (mixed(size), desired());
            let facts: Vec<HostFacts> = hosts
                .iter()
                .map(|host| HostFacts::of(&host.situation(&desired)))
                .collect();
            let remote = RemoteFacts::of(&desired, false);
            only_this_is_counted(&mut || {
                for host in &facts {
                    black_box(host.judge(black_box(&remote)));
                }
            });
        }
        "read-heartbeat" => {
            let (text, identity) = (heartbeat(1, 0, 0.5), Connected::new(1).identity);
            only_this_is_counted(&mut || {
                for _ in 0..size {
                    let frame = borrow_agent_frame(black_box(&text)).unwrap();
                    black_box(agent_message(frame, &identity).unwrap());
                }
            });
        }
        "read-borrowed" => {
            let text = heartbeat(1, 0, 0.5);
            only_this_is_counted(&mut || {
                for _ in 0..size {
                    let text = black_box(text.as_str());
                    black_box(serde_json::from_str::<BorrowedFrame<'_>>(text).unwrap());
                }
            });
        }
        "write-frame" | "write-entry" => {
            let delta = Connected::new(10).compact_delta();
            let mut out = Vec::with_capacity(4096);
            only_this_is_counted(&mut || {
                for _ in 0..size {
                    out.clear();
                    if name == "write-frame" {
                        write_frame(&mut out, black_box(std::slice::from_ref(&delta))).unwrap();
                    } else {
                        serde_json::to_writer(&mut out, black_box(&*delta)).unwrap();
                    }
                    black_box(&out);
                }
            });
        }
        "command-after" => {
            let mut fleet = Connected::new(1);
            let mut lived = 0;
            while lived < size {
                lived += fleet.run_command(0);
            }
            only_this_is_counted(&mut || {
                for _ in 0..COMMANDS {
                    black_box(fleet.run_command(0));
                }
            });
        }
        "quiet-heartbeat"
        | "telling-heartbeat"
        | "quiet-heartbeat-of-ten"
        | "telling-heartbeat-of-ten" => {
            let visited = match name.ends_with("-of-ten") {
                true => Visited::TheSameTen,
                false => Visited::Everyone,
            };
            let mut fleet = Connected::new(size);
            let texts = [0, 1].map(|age| heartbeat(0, age, 0.5));
            let telling = name.starts_with("telling");
            only_this_is_counted(&mut || {
                for _ in 0..HEARTBEATS {
                    let (host, age) = fleet.next_turn(visited, telling);
                    black_box(fleet.hear_text(host, &texts[age]));
                }
            });
        }
        _ => panic!("there is no workload {name}"),
    }
}

const COMMANDS: usize = 50;
const HEARTBEATS: usize = 200;

fn callgrind_works() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// The instructions of a workload.
fn instructions(workload: &str, size: usize) -> f64 {
    let this = std::env::current_exe().unwrap();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args([
            "--collect-atstart=no",
            "--toggle-collect=*only_this_is_counted*",
        ])
        .arg(this)
        .args([MEASURED, workload, &size.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let line = text.lines().find(|line| line.contains("Collected :"));
    let count = line.and_then(|line| line.rsplit(':').next()?.trim().parse().ok());
    let count: f64 =
        count.unwrap_or_else(|| panic!("callgrind does not say what it counted: {text}"));
    assert!(count > 0.0, "nothing was counted: {text}");
    count
}

fn c2_instructions_grow_with_the_hosts(plan: Plan) {
    let sizes: &[usize] = if plan.short {
        &[100, 1_000]
    } else {
        &[1_000, 10_000, 100_000]
    };
    for workload in ["judge", "assess"] {
        c2_exponent(plan, workload, sizes);
    }
}

fn c2_exponent(plan: Plan, workload: &str, sizes: &[usize]) {
    let counted: Vec<(f64, f64)> = sizes
        .iter()
        .map(|&hosts| (hosts as f64, instructions(workload, hosts)))
        .collect();
    for (hosts, count) in &counted {
        println!(
            "  C2: {workload}, {hosts} hosts: {:.0} instructions a host",
            count / hosts
        );
    }
    let exponent = slope(&counted);
    // In the short form the mixture of so few hosts is not the same.
    let away = (exponent - 1.0).abs();
    let allowed = if plan.short { 0.05 } else { 0.01 };
    let limits = Limits {
        gate: allowed,
        target: allowed,
    };
    println!("  C2: exponent {exponent:.5}");
    report_count(
        "C2",
        &format!("{workload}: how far the exponent of instructions in hosts is from 1"),
        away,
        limits,
    );
}

/// The slope of the straight line through the logarithms (least squares).
fn slope(points: &[(f64, f64)]) -> f64 {
    let points: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let mean =
        |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    above / below
}

fn allocations_of_assessing() {
    let (hosts, desired) = (mixed(10_000), desired());
    let limits = Limits {
        gate: 0.0,
        target: 0.0,
    };
    let deciding = measure(|| {
        for host in &hosts {
            black_box(rules(&Facts::compare(&host.situation(&desired))));
        }
    });
    let what = "allocations of the statuses of 10,000 hosts";
    report_count("C2", what, deciding.count_total as f64, limits);
    let assessing = measure(|| {
        for host in &hosts {
            black_box(assess(&host.situation(&desired)));
        }
    });
    // Attentions are a list, and most hosts have none.
    let with_attentions = hosts
        .iter()
        .filter(|host| !assess(&host.situation(&desired)).attentions.is_empty());
    let allowed = with_attentions.count() as f64;
    let what = "allocations of 10,000 assessments, of which some have attentions";
    report_count(
        "C2",
        what,
        assessing.count_total as f64,
        Limits {
            gate: allowed,
            target: allowed,
        },
    );
    // A counter that counts nothing would pass, too.
    let control = measure(|| drop(black_box(vec![1_u8])));
    assert_eq!(control.count_total, 1, "positive control");
}

fn allocations_of_a_transition() {
    let mut fleet = Connected::new(1).fleet;
    let id = CommandId::from_bytes([7; 16]);
    let mut dispatch = Dispatch::new(Op::Switch, vec![(host(0), id)]);
    dispatch.second_factor = Check::NotRequired;
    let request = Input::Request {
        id: RequestId(1),
        actor: Actor::Person("admin".to_owned()),
        request: Request::Dispatch(dispatch),
    };
    let _ = fleet.handle(request, NOW);
    let mut command = fleet.command(id).unwrap().clone();
    let before = command.phase;
    let mut steps = Vec::new();
    let counted = measure(|| steps = command.handle(&Event::Disconnect, NOW));
    assert_ne!(command.phase, before, "it is a transition");
    let what = format!(
        "allocations of one transition ({before:?} → {:?})",
        command.phase
    );
    let limits = Limits {
        gate: 1.0,
        target: 0.0,
    };
    report_count("C6", &what, counted.count_total as f64, limits);
}

fn c6_instructions_do_not_grow_with_the_history(plan: Plan) {
    // Under callgrind a million would take minutes; `ratios` has it, in time.
    let long = if plan.short { 2_000 } else { 20_000 };
    let young = instructions("command-after", 10);
    let old = instructions("command-after", long);
    println!(
        "  C6: {:.0} instructions a command",
        young / COMMANDS as f64
    );
    let what = format!("instructions of commands after {long} effects ÷ after 10");
    report_count(
        "C6",
        &what,
        old / young,
        Limits {
            gate: 1.01,
            target: 1.0,
        },
    );
}

fn instructions_of_a_heartbeat_do_not_grow_with_the_fleet(plan: Plan) {
    let sizes: &[usize] = if plan.short { &[100] } else { &[1_000, 10_000] };
    for workload in [
        "quiet-heartbeat-of-ten",
        "telling-heartbeat-of-ten",
        "quiet-heartbeat",
        "telling-heartbeat",
    ] {
        let few = instructions(workload, 10);
        println!(
            "  heartbeat: {workload}, 10 hosts: {:.0} instructions",
            few / HEARTBEATS as f64
        );
        for &hosts in sizes {
            let ratio = instructions(workload, hosts) / few;
            let what = format!("instructions of a {workload}, {hosts} hosts ÷ 10 hosts");
            report_count(
                "heartbeat",
                &what,
                ratio,
                Limits {
                    gate: 1.1,
                    target: 1.05,
                },
            );
        }
    }
}
