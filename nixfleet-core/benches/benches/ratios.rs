//! The goals of the core as ratios, each to a reference in the same run:
//! `cargo bench -p nixfleet-core-benches --bench ratios [-- C1 C4 …]`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::hint::black_box;
use std::process::Command;

use nixfleet_core::compartment::{HostFacts, RemoteFacts, assess_beside};
use nixfleet_core::fleet::Effect;
use nixfleet_core::lock::diff;
use nixfleet_core::sync::{write_frame, write_parts};
use nixfleet_core::wire::{agent_message, borrow_agent_frame};
use nixfleet_core::{FlakeLock, lock_hash};
use nixfleet_core_benches::fleets::{Connected, Visited};
use nixfleet_core_benches::hosts::{desired, mixed};
use nixfleet_core_benches::locks::lock_file;
use nixfleet_core_benches::measure::{
    Limits, Plan, Ratio, Side, Times, compare, in_turns, nanoseconds, repeat, report, timed, wanted,
};
use nixfleet_core_benches::scan::{fact_bytes, xor};
use nixfleet_core_benches::wire::{BorrowedFrame, heartbeat};

/// A name, and what it measures.
type Bench = (&'static str, fn(Plan));

/// Needs a build of its own, so it runs only if it is asked for by its name.
const WITHOUT_SHA_INSTRUCTIONS: &str = "C3b";

fn main() {
    let plan = Plan::from_environment();
    if cfg!(debug_assertions) {
        println!("built without optimisation: the ratios mean nothing");
    }
    let benches: [Bench; 8] = [
        ("C1", c1_assessing),
        ("C3", c3_lock_hash),
        ("C4", c4_reading_a_heartbeat),
        ("C5", c5_writing_a_delta),
        ("C6", c6_a_transition_and_its_history),
        ("lock", lock_files),
        ("heartbeat", heartbeats_and_the_size_of_the_fleet),
        ("full-state", full_state),
    ];
    for (id, bench) in benches {
        if wanted(id) {
            bench(plan);
        }
    }
    if std::env::args().any(|word| word == WITHOUT_SHA_INSTRUCTIONS) {
        c3b_lock_hash_without_sha_instructions(plan);
    } else if wanted(WITHOUT_SHA_INSTRUCTIONS) {
        println!("SKIPPED: C3b needs a build of its own: ask for it by its name");
    }
}

fn c1_assessing(plan: Plan) {
    let sizes = [
        (
            10_000,
            Limits {
                gate: 14.0,
                target: 9.0,
            },
        ),
        (
            1_000_000,
            Limits {
                gate: 7.0,
                target: 5.0,
            },
        ),
    ];
    for (size, limits) in sizes {
        if plan.short && size > 10_000 {
            println!("SKIPPED: C1 with {size} hosts, in the short form");
            continue;
        }
        let (hosts, desired) = (mixed(size), desired());
        let bytes = fact_bytes(&hosts);
        let facts: Vec<HostFacts> = hosts
            .iter()
            .map(|host| HostFacts::of(&host.situation(&desired)))
            .collect();
        let remote = RemoteFacts::of(&desired, false);
        let per_host = |times: Times| Times {
            min: times.min / size as f64,
            median: times.median / size as f64,
        };
        let times = in_turns(
            plan,
            &mut [
                repeat(|| {
                    for host in &facts {
                        black_box(host.judge(black_box(&remote)));
                    }
                }),
                repeat(|| {
                    black_box(xor(black_box(&bytes)));
                }),
                repeat(|| {
                    for host in &hosts {
                        black_box(assess_beside(&host.situation(&desired), black_box(&remote)));
                    }
                }),
            ],
        );
        let beside = |subject: Times| Ratio {
            subject: per_host(subject),
            reference: per_host(times[1]),
        };
        let each = size_of::<HostFacts>();
        let what = format!("judge each of {size} hosts, beside an XOR of their facts ({each} B)");
        report(plan, "C1", &what, Some(limits), beside(times[0]));
        let what = format!("the same of {size} hosts from their records, with the evidence");
        report(plan, "C1", &what, None, beside(times[2]));
    }
}

fn c3_lock_hash(plan: Plan) {
    for size in [600, 4 << 10, 20 << 10, 200 << 10, 1 << 20] {
        let file = lock_file(size, false);
        // At 600 bytes the goal knows only a gate.
        let target = if file.len() >= 4 << 10 { 1.02 } else { 1.05 };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &file);
        assert_eq!(lock_hash(&file).as_bytes(), digest.as_ref());
        compare(
            plan,
            "C3",
            &format!("hash a lock of {} bytes, beside aws-lc", file.len()),
            Some(Limits { gate: 1.05, target }),
            repeat(|| {
                black_box(lock_hash(black_box(&file)));
            }),
            repeat(|| {
                let sha256 = &aws_lc_rs::digest::SHA256;
                black_box(aws_lc_rs::digest::digest(sha256, black_box(&file)));
            }),
        );
        if !plan.short {
            beside_openssl(plan, &file);
        }
    }
    println!("  C3: ring is not among the peers: it may not be in this graph (deny.toml)");
}

/// The `openssl` command measures itself, for a second of its own CPU time.
fn beside_openssl(plan: Plan, file: &[u8]) {
    let size = file.len().to_string();
    let mut rounds = Vec::new();
    for _ in 0..3 {
        let mut speed = Command::new("openssl");
        speed.args([
            "speed", "-mr", "-seconds", "1", "-bytes", &size, "-evp", "sha256",
        ]);
        let Ok(output) = speed.output() else {
            println!(
                "SKIPPED: the openssl command is not there, so it is not among the peers of C3"
            );
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("+F:"));
        let rate = line.and_then(|line| line.rsplit(':').next()?.trim().parse::<f64>().ok());
        let Some(rate) = rate else {
            println!("SKIPPED: openssl speed says nothing that is understood: {text:?}");
            return;
        };
        let ours = in_turns(
            Plan { rounds: 7, ..plan },
            &mut [repeat(|| {
                black_box(lock_hash(black_box(file)));
            })],
        );
        rounds.push((ours[0], file.len() as f64 * 1e9 / rate));
    }
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        Times {
            min: all[0],
            median: all[all.len() / 2],
        }
    };
    let subject = Times {
        min: median(rounds.iter().map(|(ours, _)| ours.min).collect()).min,
        median: median(rounds.iter().map(|(ours, _)| ours.median).collect()).median,
    };
    let reference = median(rounds.iter().map(|(_, theirs)| *theirs).collect());
    let what = format!("hash a lock of {} bytes, beside openssl speed", file.len());
    let limits = Limits {
        gate: 1.05,
        target: 1.02,
    };
    report(
        Plan { rounds: 3, ..plan },
        "C3",
        &what,
        Some(limits),
        Ratio { subject, reference },
    );
}

/// The example `hash_speed`, built without SHA instructions, and the `openssl` command without them,
/// in CPU time and in turns.
fn c3b_lock_hash_without_sha_instructions(plan: Plan) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/soft");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--quiet",
            "--package",
            "nixfleet-core",
        ])
        .args(["--example", "hash_speed", "--target-dir", folder])
        .env("RUSTFLAGS", r#"--cfg sha2_backend="soft""#)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        println!("SKIPPED: C3b could not be built");
        return;
    }
    let ours = |size: usize| -> f64 {
        let mut example = Command::new(format!("{folder}/release/examples/hash_speed"));
        let output = example.arg(size.to_string()).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["soft"], true, "built with another backend");
        told["ns"].as_f64().unwrap()
    };
    let theirs = |size: usize| -> Option<f64> {
        let mut speed = Command::new("openssl");
        speed.args(["speed", "-mr", "-seconds", "1", "-bytes"]);
        speed.args([&size.to_string(), "-evp", "sha256"]);
        // Bit 29 of the third word of capabilities: SHA instructions.
        speed.env("OPENSSL_ia32cap", ":~0x20000000");
        let output = speed.output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("+F:"))?;
        let rate: f64 = line.rsplit(':').next()?.trim().parse().ok()?;
        Some(size as f64 * 1e9 / rate)
    };
    let rounds = if plan.short { 1 } else { 3 };
    for size in [600, 4 << 10, 20 << 10, 200 << 10, 1 << 20] {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            let Some(their) = theirs(size) else {
                println!("SKIPPED: the openssl command is not there, or is not understood: C3b");
                return;
            };
            times[0].push(ours(size));
            times[1].push(their);
        }
        let [subject, reference] = times.map(|mut all| {
            all.sort_by(f64::total_cmp);
            Times {
                min: all[0],
                median: all[all.len() / 2],
            }
        });
        report(
            Plan { rounds, ..plan },
            "C3b",
            &format!("hash a lock of {size} bytes without SHA instructions, beside openssl speed"),
            Some(Limits {
                gate: 1.55,
                target: 1.1,
            }),
            Ratio { subject, reference },
        );
    }
}

fn c4_reading_a_heartbeat(plan: Plan) {
    let text = heartbeat(1, 0, 0.5);
    assert!((600..=700).contains(&text.len()), "{}", text.len());
    let identity = Connected::new(1).identity;
    compare(
        plan,
        "C4",
        &format!(
            "read and check a heartbeat of {} bytes, beside serde_json into borrowed text",
            text.len()
        ),
        Some(Limits {
            gate: 1.35,
            target: 1.2,
        }),
        repeat(|| {
            let frame = borrow_agent_frame(black_box(&text)).unwrap();
            black_box(agent_message(frame, &identity).unwrap());
        }),
        repeat(|| {
            black_box(serde_json::from_str::<BorrowedFrame<'_>>(black_box(&text)).unwrap());
        }),
    );
}

fn c5_writing_a_delta(plan: Plan) {
    let mut fleet = Connected::new(10);
    let moved = fleet.hear_text(3, &heartbeat(3, 2, 0.5));
    let deltas: Vec<_> = moved
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Publish(delta) => Some(delta),
            Effect::Persist(_)
            | Effect::Send { .. }
            | Effect::Close { .. }
            | Effect::Reply { .. }
            | Effect::ReadRemote
            | Effect::Notify(_)
            | Effect::Forge(_) => None,
        })
        .collect();
    for delta in deltas {
        let kind = serde_json::to_value(&delta.change).unwrap();
        let kind = kind.as_object().unwrap().keys().next().unwrap().clone();
        let mut ours = Vec::with_capacity(4096);
        let mut theirs = Vec::with_capacity(4096);
        let one = std::slice::from_ref(&delta);
        compare(
            plan,
            "C5",
            &format!("write a frame with one delta ({kind}), beside serde_json of the entry"),
            Some(Limits {
                gate: 1.1,
                target: 0.8,
            }),
            repeat(|| {
                ours.clear();
                write_frame(&mut ours, black_box(one)).unwrap();
                black_box(&ours);
            }),
            repeat(|| {
                theirs.clear();
                serde_json::to_writer(&mut theirs, black_box(&*delta)).unwrap();
                black_box(&theirs);
            }),
        );
    }
}

fn c6_a_transition_and_its_history(plan: Plan) {
    let long = if plan.short { 10_000 } else { 1_000_000 };
    let (mut young, mut old) = (Connected::new(1), Connected::new(1));
    let mut lived = 0;
    while lived < 10 {
        lived += young.run_command(0);
    }
    let mut lived = 0;
    while lived < long {
        lived += old.run_command(0);
    }
    compare(
        plan,
        "C6",
        &format!("one command from request to end, after {lived} effects and after 10"),
        Some(Limits {
            gate: 1.01,
            target: 1.0,
        }),
        repeat(|| {
            black_box(old.run_command(0));
        }),
        repeat(|| {
            black_box(young.run_command(0));
        }),
    );
}

fn lock_files(plan: Plan) {
    let (old, new) = (lock_file(40 << 10, false), lock_file(40 << 10, true));
    let size = new.len();
    let before = FlakeLock::parse(&old).unwrap();
    compare(
        plan,
        "lock",
        &format!(
            "parse a lock of {size} bytes and compare it with another, beside serde_json::Value"
        ),
        None,
        repeat(|| {
            let after = FlakeLock::parse(black_box(&new)).unwrap();
            black_box(diff(&before, &after));
        }),
        repeat(|| {
            black_box(serde_json::from_slice::<serde_json::Value>(black_box(&new)).unwrap());
        }),
    );
    let times = in_turns(
        plan,
        &mut [repeat(|| {
            black_box(lock_hash(black_box(&new)));
        })],
    );
    let median = times[0].median;
    let verdict = if median <= 1e6 { "pass" } else { "MISSED" };
    println!(
        "  lock: hash {size} bytes: median {} ({verdict}: 1 ms)",
        nanoseconds(median)
    );
}

fn heartbeats_and_the_size_of_the_fleet(plan: Plan) {
    let mut fleets: Vec<Connected> = [10, 1_000, 10_000].map(Connected::new).into();
    for visited in [Visited::TheSameTen, Visited::Everyone] {
        for (what, changes) in [("nothing", false), ("something", true)] {
            for whole in [true, false] {
                let mut sides: Vec<_> = fleets
                    .iter_mut()
                    .map(|fleet| beats(fleet, visited, changes, whole))
                    .collect();
                let times = in_turns(plan, &mut sides);
                drop(sides);
                for (at, fleet) in fleets.iter().enumerate().skip(1) {
                    let ratio = Ratio {
                        subject: times[at],
                        reference: times[0],
                    };
                    let name = visited.name();
                    let hosts = fleet.hosts();
                    let from = if whole { "text" } else { "report" };
                    let what = format!(
                        "a heartbeat that changes {what}, {name}, from its {from} to the effects: {hosts} hosts beside 10"
                    );
                    let limits = match visited {
                        Visited::TheSameTen => Limits {
                            gate: 1.2,
                            target: 1.1,
                        },
                        Visited::Everyone => Limits {
                            gate: 2.0,
                            target: 1.5,
                        },
                    };
                    // Without the reading, which is the same for all, only what grows is left.
                    report(plan, "heartbeat", &what, whole.then_some(limits), ratio);
                }
            }
        }
    }
}

/// Heartbeats of one host after the other, each from its text or from a report that is read
/// before the clock runs.
fn beats(fleet: &mut Connected, visited: Visited, changes: bool, whole: bool) -> Side<'_> {
    // Agents of the same configuration say the same; only then is the text as near as it is when
    // it has just come from the network.
    let texts = [0, 1].map(|age| heartbeat(0, age, 0.5));
    Box::new(move |times| {
        let turns: Vec<(usize, usize)> = (0..times)
            .map(|_| fleet.next_turn(visited, changes))
            .collect();
        if whole {
            timed(|| {
                for (host, age) in turns {
                    black_box(fleet.hear_text(host, black_box(&texts[age])));
                }
            })
        } else {
            let read = |(host, age): (usize, usize)| (host, fleet.read(&texts[age]));
            let reports: Vec<_> = turns.into_iter().map(read).collect();
            timed(|| {
                for (host, report) in reports {
                    black_box(fleet.hear(host, report));
                }
            })
        }
    })
}

fn full_state(plan: Plan) {
    let size = if plan.short { 1_000 } else { 10_000 };
    let fleet = Connected::new(size).fleet;
    let (version, state) = (fleet.version(), fleet.sync().state());
    let bytes = serde_json::to_vec(state).unwrap().len();
    compare(
        plan,
        "full-state",
        &format!(
            "the full state of {size} hosts in parts ({bytes} B), beside serde_json of all of it"
        ),
        Some(Limits {
            gate: 1.2,
            target: 1.0,
        }),
        repeat(|| {
            for part in write_parts(version, state).unwrap() {
                black_box(part);
            }
        }),
        repeat(|| {
            black_box(serde_json::to_vec(black_box(state)).unwrap());
        }),
    );
}
