//! `blipmq bench`: puts load on a broker, checks every message, and reports throughput and latency.
//!
//! Called by `cli`. Next on the path: `round` for each target in turn, then `table` or `json`.
//!
//! | to learn | read |
//! |---|---|
//! | which options there are | `options` |
//! | which publisher sends to which subscribers | `plan` |
//! | how a round is run | `round` and `watch`, then `worker` and `publisher` |
//! | how a message is checked | `tracker` |
//! | how each protocol is spoken | `connect`, `codec`, and `blip`, `nats`, `redis` |
//! | how TLS is spoken below them | `wire` |
//! | what the kernel's part of the cost is | `mirror` |
//! | what idle connections cost | `idle` |
//! | what connecting costs | `connects` |
//! | how results are reported | `summary`, then `table`, `json`, `hgrm`, `plot` |
//!
//! # Always true
//! - A run in which a message was lost, duplicated or out of order exits with status 1.
//! - Targets take turns, so that a change on the machine affects all of them.

mod blip;
mod codec;
mod connect;
mod connections;
mod connects;
mod costs;
mod hgrm;
mod idle;
mod json;
mod mirror;
mod nats;
mod options;
mod plan;
mod plot;
mod process;
mod progress;
mod publisher;
mod redis;
mod round;
mod setup;
mod shared;
mod summary;
mod table;
mod target;
mod tracker;
mod watch;
mod wire;
mod worker;

use std::io::Write;

use clap::{Args, Subcommand};

use self::connects::Connects;
use self::idle::Idle;
use self::mirror::Mirror;
use self::options::{Common, Latency, Rtt, Throughput};
use self::process::Machine;
use self::progress::Progress;
use self::round::Load;
use self::setup::{pin, raise_open_files};
use self::shared::Pace;
use self::summary::Measured;
use super::{Outcome, print_stderr};

pub const EXAMPLES: &str = "Examples:
  blipmq bench blip://127.0.0.1:7878                         messages per second, one to one
  blipmq bench --subs 48 --size 64 blip://127.0.0.1:7878     one publisher to 48 subscribers
  blipmq bench --pubs 8 --subs 8 --topics 8 blip://127.0.0.1:7878   eight pairs
  blipmq bench latency --rate 50000 blip://127.0.0.1:7878    latency at 50,000 messages/s
  blipmq bench rtt nats://127.0.0.1:4222                     one message at a time
  blipmq bench idle --idle-conns 5000 --pid $(pidof blipmq) blip://127.0.0.1:7878
  blipmq bench connects --pid $(pidof blipmq) --tls-ca ca.pem blips://localhost:7878
  blipmq bench --subs 48 blip://127.0.0.1:7878 nats://127.0.0.1:4222 redis://127.0.0.1:6379
                                                             compare: five rounds each, in turn
  blipmq bench --subs 48 --tls-ca ca.pem blips://localhost:7878 tls://localhost:4222
                                                             the same over TLS
  blipmq bench mirror --bind 127.0.0.1:7900                  run a mirror for raw://127.0.0.1:7900, as the floor

The default mode is `throughput`; `blipmq bench MODE --help` lists the options of each mode.
Exit status: 0 every message arrived once and in order, 1 otherwise or on a failure, 2 an invalid command
line.";

/// Put load on a broker, check every message, and report throughput and latency.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Bench {
    #[command(flatten)]
    throughput: Throughput,
    #[command(subcommand)]
    mode: Option<Mode>,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Publish as fast as possible, with a window of messages in flight; the default mode.
    Throughput(Throughput),
    /// Publish at a fixed rate, and measure from the instant each message is due to its arrival.
    Latency(Latency),
    /// Publish one message at a time, and measure until the last subscriber has received it.
    Rtt(Rtt),
    /// Open idle connections, and measure what they cost in memory and CPU.
    Idle(Idle),
    /// Open connections, one after the other, and measure what each costs in CPU.
    Connects(Connects),
    /// Run a mirror for raw:// URLs: the lowest possible cost of receiving and sending.
    Mirror(Mirror),
}

impl Bench {
    pub fn run(self) -> Outcome {
        match self.mode.unwrap_or(Mode::Throughput(self.throughput)) {
            Mode::Throughput(options) => measure("throughput", options.load()?, options.common),
            Mode::Latency(options) => measure("latency", options.load()?, options.common),
            Mode::Rtt(options) => measure("rtt", options.load()?, options.common),
            Mode::Idle(idle) => idle.run(),
            Mode::Connects(connects) => connects.run(),
            Mode::Mirror(mirror) => mirror.run(),
        }
    }
}

fn measure(mode: &str, load: Load, common: Common) -> Outcome {
    pin(&load.cpus)?;
    raise_open_files();
    let pids = common.pids()?;
    let targets = common.targets()?.into_iter().zip(pids);
    let mut all: Vec<Measured> =
        targets.map(|(target, pid)| Measured { target, pid, rounds: Vec::new() }).collect();
    let rounds = common.rounds();
    for number in 1..=rounds {
        for measured in &mut all {
            let progress = Progress::new(number, rounds);
            let round = round::run(&measured.target, &load, measured.pid, &progress)?;
            measured.rounds.push(round);
        }
    }
    report(mode, &load, &common, &all)
}

fn report(mode: &str, load: &Load, common: &Common, all: &[Measured]) -> Outcome {
    let machine = Machine::here();
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    write_files(mode, common, all)?;
    let text = if common.json {
        format!("{:#}\n", json::of(mode, &command, load, &machine, all))
    } else {
        let of_rounds = match all[0].rounds.len() {
            1 => String::new(),
            rounds => format!(", medians of {rounds} rounds"),
        };
        let secs = load.measured.as_secs_f64();
        format!(
            "{mode}, {secs} s after {} s of warm-up{of_rounds}\n\n{}\n{}\n{command}\n",
            load.warmup.as_secs_f64(),
            table::of(all),
            machine.describe()
        )
    };
    print(&text)?;
    print_notes(load, all);
    let unclean = all.iter().find_map(|measured| {
        let round = measured.rounds.iter().find(|round| !round.faults.is_empty())?;
        Some(format!("{}: {}", measured.target, round.fault_texts.join("; ")))
    });
    unclean.map_or(Ok(()), |unclean| Err(format!("NOT CLEAN: {unclean}")))
}

fn write_files(mode: &str, common: &Common, all: &[Measured]) -> Outcome {
    if let Some(file) = &common.hgrm {
        for (at, measured) in all.iter().enumerate() {
            let file = hgrm::file_name(file, unique_name(all, at).as_deref());
            write(&file, &hgrm::text(&measured.latency()))?;
        }
    }
    if let Some(file) = &common.plot {
        let lines = all.iter().map(|measured| plot::Line {
            name: measured.target.to_string(),
            latency: measured.latency(),
            series: &measured.rounds[0].series,
        });
        let lines: Vec<_> = lines.collect();
        write(file, &plot::svg(&format!("blipmq bench {mode}"), &lines))?;
    }
    Ok(())
}

/// Returns a name that is unique among the targets: the scheme, with a number if several targets
/// have the same. A single target needs no name.
fn unique_name(all: &[Measured], at: usize) -> Option<String> {
    if all.len() == 1 {
        return None;
    }
    let scheme = all[at].target.scheme();
    let before = all[..at].iter().filter(|other| other.target.scheme() == scheme);
    Some(match before.count() {
        0 => scheme.to_owned(),
        others => format!("{scheme}{}", others + 1),
    })
}

fn write(file: &std::path::Path, text: &str) -> Outcome {
    std::fs::write(file, text).map_err(|error| {
        let file = file.display();
        format!("cannot write {file}: {error}; check the folder and its permissions")
    })
}

fn print(text: &str) -> Outcome {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to stdout: {error}"))
        }
        // The reader closed the pipe early, as `head` does.
        _ => Ok(()),
    }
}

/// Prints what a reader must know to trust the numbers.
fn print_notes(load: &Load, all: &[Measured]) {
    for measured in all {
        let target = &measured.target;
        match measured.generator_was_bottleneck() {
            Some(true) => print_stderr(format_args!(
                "{target}: the load generator was the bottleneck: its busiest thread had no CPU time \
                 left, but the broker's had; try --threads, --batch or fewer --subs"
            )),
            None => print_stderr(format_args!(
                "{target}: the load generator may have been the bottleneck: its busiest thread had \
                 no CPU time left; use --pid to find out whether the broker had"
            )),
            Some(false) => {}
        }
        let is_throughput = matches!(load.pace, Pace::Window(_));
        if is_throughput && measured.neither_was_busy() == Some(true) {
            print_stderr(format_args!(
                "{target}: neither the generator nor the broker used a whole core: rates mean \
                 little, CPU per message is still comparable; is the machine shared, or the \
                 --window small?"
            ));
        }
        let late: u64 = measured.rounds.iter().map(|round| round.lateness.messages).sum();
        let total: u64 = measured.rounds.iter().map(|round| round.totals.published).sum();
        if late * 100 > total {
            let max = measured.rounds.iter().map(|round| round.lateness.max_ns).max();
            let max_ms = max.unwrap_or(0) as f64 / 1_000_000.0;
            print_stderr(format_args!(
                "{target}: the generator fell behind its schedule: {late} of {total} messages were \
                 sent more than 1 ms late, at most {max_ms:.1} ms, which counts towards their \
                 latency; use a lower --rate or more --threads"
            ));
        }
    }
    if all.iter().any(|measured| measured.pid.is_none()) {
        print_stderr(format_args!(
            "without --pid the broker's CPU time and memory are not measured; give one --pid for \
             each URL, in order"
        ));
    }
}
