//! Subject and reference, in turns, in one run: ratios hold on a shared machine, times do not.

use std::time::Duration;

use nix::time::ClockId;
use serde_json::json;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds; in each, every side runs once.
    pub rounds: usize,
    /// How long one side runs in a round, about.
    pub slice: Duration,
    /// Few samples and small fleets: to see that the benches still work.
    pub short: bool,
}

impl Plan {
    /// `NIXFLEET_BENCH=short` asks for the short form.
    #[must_use]
    pub fn from_environment() -> Self {
        let short = std::env::var("NIXFLEET_BENCH").is_ok_and(|value| value == "short");
        if short {
            Self {
                rounds: 7,
                slice: Duration::from_millis(2),
                short,
            }
        } else {
            Self {
                rounds: 41,
                slice: Duration::from_millis(20),
                short,
            }
        }
    }
}

/// Which benches were asked for on the command line: those whose id begins with one of the words.
#[must_use]
pub fn wanted(id: &str) -> bool {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    words.is_empty() || words.iter().any(|word| id.starts_with(word.as_str()))
}

/// What must hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A ratio above it is printed as missed.
    pub gate: f64,
    /// What is claimed.
    pub target: f64,
}

/// The CPU time that this thread has used: what others do on the machine does not count.
#[must_use]
pub fn cpu_time() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID
        .now()
        .expect("the thread has a CPU clock")
        .into()
}

/// The CPU time of `run`.
pub fn timed(run: impl FnOnce()) -> Duration {
    let start = cpu_time();
    run();
    cpu_time() - start
}

/// One side of a comparison: does something so many times and says how long that took.
pub type Side<'a> = Box<dyn FnMut(usize) -> Duration + 'a>;

/// A side that only repeats.
pub fn repeat<'a>(mut once: impl FnMut() + 'a) -> Side<'a> {
    Box::new(move |times| {
        timed(|| {
            for _ in 0..times {
                once();
            }
        })
    })
}

/// Nanoseconds of one repetition, over all rounds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The fastest round.
    pub min: f64,
    /// The median round.
    pub median: f64,
}

/// What a comparison found.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    /// The subject.
    pub subject: Times,
    /// The reference.
    pub reference: Times,
}

impl Ratio {
    fn of_minima(&self) -> f64 {
        self.subject.min / self.reference.min
    }

    fn of_medians(&self) -> f64 {
        self.subject.median / self.reference.median
    }
}

/// Runs all sides in turns.
pub fn in_turns(plan: Plan, sides: &mut [Side<'_>]) -> Vec<Times> {
    let times: Vec<usize> = sides.iter_mut().map(|side| calibrate(plan, side)).collect();
    let mut samples = vec![Vec::new(); sides.len()];
    for _ in 0..plan.rounds {
        for ((side, times), samples) in sides.iter_mut().zip(&times).zip(&mut samples) {
            samples.push(side(*times).as_secs_f64() * 1e9 / *times as f64);
        }
    }
    samples.into_iter().map(summary).collect()
}

/// How many repetitions fill a slice.
fn calibrate(plan: Plan, side: &mut Side<'_>) -> usize {
    let mut times = 1;
    loop {
        let took = side(times);
        if took * 4 >= plan.slice {
            let wanted = plan.slice.as_secs_f64() / took.as_secs_f64() * times as f64;
            return (wanted as usize).max(1);
        }
        times *= 4;
    }
}

fn summary(mut samples: Vec<f64>) -> Times {
    samples.sort_by(f64::total_cmp);
    Times {
        min: samples[0],
        median: samples[samples.len() / 2],
    }
}

/// Runs a subject and its reference in turns and prints what came out.
pub fn compare(
    plan: Plan,
    id: &str,
    what: &str,
    limits: Option<Limits>,
    subject: Side<'_>,
    reference: Side<'_>,
) -> Ratio {
    let times = in_turns(plan, &mut [subject, reference]);
    let ratio = Ratio {
        subject: times[0],
        reference: times[1],
    };
    report(plan, id, what, limits, ratio);
    ratio
}

/// Prints a ratio: a JSON line, then a plain one. Both minima and medians must keep the limits.
pub fn report(plan: Plan, id: &str, what: &str, limits: Option<Limits>, ratio: Ratio) {
    let (minima, medians) = (ratio.of_minima(), ratio.of_medians());
    println!(
        "{}",
        json!({
            "id": id, "what": what, "unit": "ns",
            "value": round(ratio.subject.median), "ref": round(ratio.reference.median),
            "ratio": round(medians), "ratio_of_minima": round(minima), "rounds": plan.rounds,
            "min": [round(ratio.subject.min), round(ratio.reference.min)],
            "gate": limits.map(|limits| limits.gate), "target": limits.map(|limits| limits.target),
        })
    );
    let worst = minima.max(medians);
    let verdict = limits.map_or("no limit".to_owned(), |limits| verdict(worst, limits));
    println!(
        "  {id}: {what}: {} ÷ {} = {worst:.2} ({verdict})",
        nanoseconds(ratio.subject.median),
        nanoseconds(ratio.reference.median),
    );
}

/// Prints a count beside what it must not exceed.
pub fn report_count(id: &str, what: &str, value: f64, limits: Limits) {
    println!(
        "{}",
        json!({
            "id": id, "what": what, "value": value, "gate": limits.gate, "target": limits.target,
        })
    );
    println!("  {id}: {what}: {value} ({})", verdict(value, limits));
}

/// `pass`, `pass, target missed` or `MISSED`.
#[must_use]
pub fn verdict(value: f64, limits: Limits) -> String {
    let Limits { gate, target } = limits;
    if value > gate {
        format!("MISSED: gate {gate}, target {target}")
    } else if value > target {
        format!("pass: gate {gate}; target {target} MISSED")
    } else {
        format!("pass: gate {gate}, target {target}")
    }
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// A time for people.
#[must_use]
pub fn nanoseconds(value: f64) -> String {
    match value {
        ..1e3 => format!("{value:.1} ns"),
        ..1e6 => format!("{:.2} µs", value / 1e3),
        _ => format!("{:.2} ms", value / 1e6),
    }
}
