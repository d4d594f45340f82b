//! Every block of commands runs, or names what it needs.
//!
//! A block is ```` ```sh ````. bash runs a block without a mark, against a broker with the defaults whose ports
//! replace those in the block; every command has to succeed. The marks are below.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::support::running::{self, Broker, TempFile, blipmq};
use super::{CHAPTERS, chapter, read};

/// Marks of blocks that are not run: what each block needs.
const NEEDS: [&str; 5] = [
    "root",
    // Several NUMA nodes, a network card, frequencies: a virtual machine does not have them.
    "hardware", "docker", // Compiles everything; `.ci/run` does that.
    "build",  // Minutes on a quiet machine; `.ci/run` runs these commands short.
    "minutes",
];
/// One command that becomes a broker. The broker gets free ports, must become ready, and must drain.
const BROKER: &str = "broker";
/// A command that runs beside the blocks that follow. A line on stderr says when it is ready.
const STAYS: &str = "stays";
/// Seconds for one block. No block takes more than a few seconds of CPU time.
const PATIENCE: &str = "180";

/// Parts of a machine that some machines lack: a word in a block, and the path that shows the part.
const PARTS_OF_MACHINES: [(&str, &str); 4] = [
    ("numa-instances.sh", "/sys/devices/system/node/has_cpu"),
    ("node/node0", "/sys/devices/system/node/node0/distance"),
    ("hugepages.sh", "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"),
    ("isolate-cores.sh", "/sys/devices/system/cpu/cpu1/topology"),
];

#[derive(Debug)]
struct Block {
    place: String,
    mark: String,
    text: String,
}

fn blocks(name: &str, markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let code: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let (language, mark) = info.split_once(' ').unwrap_or((info, ""));
        if language == "sh" {
            let place = format!("{name}, line {}", number + 1);
            blocks.push(Block { place, mark: mark.to_owned(), text: code.join("\n") });
        }
    }
    blocks
}

fn of_chapters() -> Vec<Block> {
    CHAPTERS.iter().flat_map(|name| blocks(name, &chapter(name))).collect()
}

/// The folder of the binary that is tested.
fn binaries() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_blipmq")).parent().expect("it is in a folder").to_owned()
}

/// A program of the repository, with the tested binary first in its PATH.
fn program(words: &[&str]) -> Command {
    let path = std::env::var("PATH").expect("the tests have a PATH");
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PATH", format!("{}:{path}", binaries().display()))
        .env_remove("BLIPMQ_TOKEN")
        .env_remove("BLIPMQ_USER")
        .stdin(Stdio::null());
    command
}

/// The broker that blocks talk to, and the commands that run beside it.
struct World {
    broker: Broker,
    staying: Vec<Child>,
}

impl World {
    fn new() -> World {
        let words = ["--bind", "127.0.0.1:0", "--nats-bind", "127.0.0.1:0"];
        let broker = Broker::from_command(blipmq(
            &[&words[..], &["--metrics-bind", "127.0.0.1:0"]].concat(),
        ));
        World { broker, staying: Vec::new() }
    }

    /// Replaces the addresses in a text by those of this broker.
    fn here(&self, text: &str) -> String {
        let metrics = self.broker.metrics.expect("they are served").to_string();
        let nats = self.broker.nats.expect("they are served").to_string();
        text.replace("127.0.0.1:7878", &self.broker.server())
            .replace("127.0.0.1:4222", &nats)
            .replace("127.0.0.1:9090", &metrics)
            .replace("$(pidof -s blipmq)", &self.broker.pid().to_string())
            .replace("$PWD/target/release", binaries().to_str().expect("a plain path"))
    }

    fn command(&self, text: &str) -> Command {
        let text = self.here(text);
        let mut command = program(&["timeout", PATIENCE, "bash", "-euo", "pipefail", "-c", &text]);
        command.env("BLIPMQ_SERVER", self.broker.server());
        command.env("BLIPMQ_METRICS", self.here("http://127.0.0.1:9090"));
        command
    }

    /// Runs a block as its mark says. The error says what went wrong.
    fn run(&mut self, block: &Block) -> Result<(), String> {
        match block.mark.as_str() {
            "" => self.run_to_its_end(block),
            BROKER => {
                run_broker(block);
                Ok(())
            }
            STAYS => {
                self.start(block);
                Ok(())
            }
            needs => {
                assert!(NEEDS.contains(&needs), "{}: unknown mark {needs}", block.place);
                Ok(())
            }
        }
    }

    fn run_to_its_end(&self, block: &Block) -> Result<(), String> {
        for (word, path) in PARTS_OF_MACHINES {
            if block.text.contains(word) && !Path::new(path).exists() {
                eprintln!("SKIPPED: {} needs {path}", block.place);
                return Ok(());
            }
        }
        // A file, not a pipe: processes that a block leaves in the background may hold a pipe open.
        let output = TempFile::new("manual.txt", b"");
        let file = std::fs::File::create(&output.0).expect("a file can be written");
        let mut command = self.command(&block.text);
        command.stdout(file.try_clone().expect("a descriptor")).stderr(file);
        let status = command.status().expect("timeout and bash are there");
        match status.success() {
            true => Ok(()),
            false => {
                let said = std::fs::read_to_string(&output.0).unwrap_or_default();
                Err(format!("{}: {status}\n{}\n{said}", block.place, block.text))
            }
        }
    }

    /// Starts a command that stays, in a process group of its own, which can be ended as one.
    fn start(&mut self, block: &Block) {
        let mut command = self.command(&block.text);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("timeout and bash are there");
        let mut line = String::new();
        let stderr = child.stderr.take().expect("it is piped");
        self.staying.push(child);
        let mut stderr = BufReader::new(stderr);
        stderr.read_line(&mut line).expect("its words are UTF-8");
        assert!(line.contains(" to "), "{}: it does not stay: {line}", block.place);
        // The command must never block on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.staying {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).status();
            let _ = child.wait();
        }
    }
}

/// Runs a command that becomes a broker. Flags override the file that a block names, and so its ports.
fn run_broker(block: &Block) {
    let first = running::allowed_cores()[0];
    let text = block
        .text
        .replace("taskset -c 0 ", &format!("taskset -c {first} "))
        .replace("--cores 0", &format!("--cores {first}"));
    assert_eq!(text.lines().count(), 1, "{}: one command becomes a broker", block.place);
    let ports = "--bind 127.0.0.1:0 --nats-bind 127.0.0.1:0 --metrics-bind 127.0.0.1:0";
    // Without `timeout`, which would get the signal that is meant for the broker.
    Broker::from_command(program(&[
        "bash",
        "-euo",
        "pipefail",
        "-c",
        &format!("exec {text} {ports}"),
    ]))
    .stop();
}

/// Goal: an operator who types the commands of the manual gets what the manual says.
/// Method: all blocks of the chapters for operators, in their order, unchanged.
#[test]
fn every_command_of_the_chapters_runs_or_names_what_it_needs() {
    let mut world = World::new();
    let blocks = of_chapters();
    assert!(blocks.iter().filter(|block| block.mark.is_empty()).count() >= 15, "{blocks:?}");
    let mut failures = Vec::new();
    for block in &blocks {
        failures.extend(world.run(block).err());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_command_of_the_readme_runs_or_names_what_it_needs() {
    let mut world = World::new();
    let blocks = blocks("README.md", &read("README.md"));
    assert!(blocks.iter().any(|block| block.mark == STAYS), "{blocks:?}");
    for block in &blocks {
        world.run(block).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn blocks_with_only_our_commands_are_not_marked_as_needing_anything() {
    for block in of_chapters() {
        let is_ours = block.text.lines().all(|line| line.starts_with("blipmq "));
        assert!(!is_ours || !NEEDS.contains(&block.mark.as_str()), "{}: run it", block.place);
    }
}
