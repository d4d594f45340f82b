//! Facts about this machine, read once from files and from the kernel.
//!
//! Called by `doctor`. A fact that cannot be read is kept as the reason, for the check to report.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use blipmq::config::Settings;
use executors::preflight::{self, Limit, Resource};
use executors::{StartError, listener, placement};

use super::holders::{self, Holder};
use super::sysctls;
use crate::server::process::number_in;

/// A fact, or the reason why it could not be read.
pub type Fact<T> = Result<T, String>;

/// The folder that contains `proc` and `sys`: `/`, except in tests.
pub struct Tree(pub PathBuf);

impl Tree {
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Reads the text of a file, trimmed.
    pub fn text(&self, path: &str) -> Fact<String> {
        let path = self.path(path);
        std::fs::read_to_string(&path)
            .map(|text| text.trim().to_owned())
            .map_err(|error| read_error(&path, &error))
    }

    /// Reads the numbers of a file, at least one.
    pub fn numbers(&self, path: &str) -> Fact<Vec<u64>> {
        let text = self.text(path)?;
        let numbers: Option<Vec<u64>> =
            text.split_whitespace().map(|number| number.parse().ok()).collect();
        numbers.filter(|numbers| !numbers.is_empty()).ok_or_else(|| {
            format!("{} contains {text:?}, which is not a number", self.path(path).display())
        })
    }

    /// Reads a list such as `0,2-3`, which may be empty; old kernels print `(null)` for an empty list.
    fn list(&self, path: &str) -> Fact<Vec<usize>> {
        let text = self.text(path)?;
        if text == "(null)" {
            return Ok(Vec::new());
        }
        parse_list(&text).ok_or_else(|| {
            format!("{} contains {text:?}, which is not a list", self.path(path).display())
        })
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }
}

fn read_error(path: &Path, error: &io::Error) -> String {
    let reason = match error.kind() {
        // The most frequent reason, without the number of the error.
        io::ErrorKind::NotFound => "no such file".to_owned(),
        _ => error.to_string(),
    };
    format!("cannot read {}: {reason}", path.display())
}

/// Parses a list of CPUs or nodes. `config::parse_cores` has the limits of one broker, but a machine
/// can have more CPUs.
fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        numbers.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(numbers)
}

/// A NUMA node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub id: usize,
    pub cpus: Vec<usize>,
    /// The distances to all nodes, in order; a node's distance to itself is 10.
    pub distances: Vec<u64>,
}

/// Huge pages of 2 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HugePages {
    pub reserved: u64,
    pub free: u64,
}

/// How a CPU chooses its frequency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Governor {
    pub name: String,
    /// The preference given to a CPU that chooses its frequency itself.
    pub preference: Option<String>,
}

/// The limits of this process's control group and the groups above it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Group {
    /// CPU time, in CPUs.
    pub cpus: Option<f64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
}

/// An address of the configuration, and whether the broker could listen on it.
#[derive(Debug)]
pub struct Port {
    /// The key of the address, as `table.key`.
    pub key: &'static str,
    pub address: SocketAddr,
    pub bound: Result<(), io::ErrorKind>,
    /// The processes that listen on the port, as far as this user may see them.
    pub holders: Vec<Holder>,
}

/// All facts that the checks need.
#[derive(Debug)]
pub struct Facts {
    pub release: Fact<String>,
    /// Whether a ring can be created.
    pub rings: Result<(), StartError>,
    pub locked_memory: Limit,
    pub open_files: Limit,
    /// The CPUs that the broker would use.
    pub cpus: Result<Vec<usize>, StartError>,
    /// The number of CPUs that the broker would use, at least 1.
    pub cores: usize,
    pub ports: Vec<Port>,
    /// Kernel settings by key.
    pub sysctls: BTreeMap<&'static str, Fact<Vec<u64>>>,
    pub nodes: Fact<Vec<Node>>,
    pub online: Fact<Vec<usize>>,
    pub isolated: Fact<Vec<usize>>,
    /// CPUs without ticks; empty if the kernel does not support that.
    pub nohz_full: Vec<usize>,
    /// The CPUs of the control groups other than the broker's, if such groups limit CPUs.
    pub other_cpus: Option<Vec<usize>>,
    /// The governors of the CPUs that the broker would use.
    pub governors: Vec<(usize, Fact<Governor>)>,
    pub clocksource: Fact<String>,
    pub clocksources: Vec<String>,
    pub transparent_huge_pages: Fact<String>,
    pub huge_pages: Fact<HugePages>,
    /// Whether the allocator uses reserved huge pages with this environment.
    pub huge_pages_enabled: bool,
    /// Bytes of swap.
    pub swap: Fact<u64>,
    /// Bytes of memory in the machine.
    pub memory: Fact<u64>,
    pub group: Fact<Group>,
}

impl Facts {
    /// Reads everything, for a broker with these settings.
    pub fn read(tree: &Tree, settings: &Settings) -> Facts {
        let cpus = placement::choose(settings.server.cores.as_deref());
        // Cores that are configured but not allowed still count for the limits.
        let known = match &cpus {
            Ok(cpus) => cpus.clone(),
            Err(_) => settings.server.cores.clone().unwrap_or_default(),
        };
        let disabled = tree.numbers("proc/sys/kernel/io_uring_disabled").ok();
        let disabled = disabled.map(|numbers| u32::try_from(numbers[0]).unwrap_or(u32::MAX));
        let cores = known.len().max(1);
        let files = preflight::files_needed(cores, settings.server.max_connections);
        let governors = known.iter().map(|&cpu| (cpu, governor(tree, cpu)));
        let clocks = "sys/devices/system/clocksource/clocksource0";
        let huge = "sys/kernel/mm/hugepages/hugepages-2048kB";
        Facts {
            release: tree.text("proc/sys/kernel/osrelease"),
            rings: preflight::io_uring(disabled, preflight::make_ring()),
            locked_memory: Resource::LockedMemory.raise(preflight::memlock_needed(cores)),
            open_files: Resource::OpenFiles.raise(files),
            ports: ports(tree, settings),
            sysctls: sysctls::keys()
                .map(|key| (key, tree.numbers(&format!("proc/sys/{}", key.replace('.', "/")))))
                .collect(),
            nodes: nodes(tree),
            online: tree.list("sys/devices/system/cpu/online"),
            isolated: tree.list("sys/devices/system/cpu/isolated"),
            nohz_full: tree.list("sys/devices/system/cpu/nohz_full").unwrap_or_default(),
            other_cpus: other_cpus(tree),
            governors: governors.collect(),
            clocksource: tree.text(&format!("{clocks}/current_clocksource")),
            clocksources: tree
                .text(&format!("{clocks}/available_clocksource"))
                .map(|text| text.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            transparent_huge_pages: transparent_huge_pages(tree),
            huge_pages: tree.numbers(&format!("{huge}/nr_hugepages")).and_then(|reserved| {
                let free = tree.numbers(&format!("{huge}/free_hugepages"))?;
                Ok(HugePages { reserved: reserved[0], free: free[0] })
            }),
            huge_pages_enabled: std::env::var("MIMALLOC_ALLOW_LARGE_OS_PAGES")
                .is_ok_and(|value| value == "1"),
            swap: swap(tree),
            memory: memory(tree),
            group: group(tree),
            cpus,
            cores,
        }
    }

    /// Returns the CPUs that the broker would use, for checks about them.
    pub fn cpus(&self) -> Fact<&[usize]> {
        match &self.cpus {
            Ok(cpus) => Ok(cpus),
            Err(_) => Err("the broker's cores are unknown, see above".to_owned()),
        }
    }
}

fn ports(tree: &Tree, settings: &Settings) -> Vec<Port> {
    let try_one = |(key, address): (&'static str, SocketAddr)| {
        let bound = listener::try_bind(address).map(drop).map_err(|error| error.kind());
        let holders = match bound {
            Err(io::ErrorKind::AddrInUse) => holders::of_port(tree, address.port()),
            _ => Vec::new(),
        };
        Port { key, address, bound, holders }
    };
    settings.bind_addrs().into_iter().map(try_one).collect()
}

fn nodes(tree: &Tree) -> Fact<Vec<Node>> {
    let folder = "sys/devices/system/node";
    let ids = tree.list(&format!("{folder}/online"))?;
    let read = |id: usize| {
        let cpus = tree.list(&format!("{folder}/node{id}/cpulist"))?;
        let distances = tree.numbers(&format!("{folder}/node{id}/distance"))?;
        Ok(Node { id, cpus, distances })
    };
    ids.into_iter().map(read).collect()
}

fn governor(tree: &Tree, cpu: usize) -> Fact<Governor> {
    let folder = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq");
    let name = tree.text(&format!("{folder}/scaling_governor"))?;
    let preference = tree.text(&format!("{folder}/energy_performance_preference")).ok();
    Ok(Governor { name, preference })
}

fn transparent_huge_pages(tree: &Tree) -> Fact<String> {
    let path = "sys/kernel/mm/transparent_hugepage/enabled";
    let text = tree.text(path)?;
    // The active mode is in brackets: always [madvise] never.
    let mode = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    mode.map(|(mode, _)| mode.to_owned()).ok_or_else(|| {
        format!("{} contains {text:?}, which names no active mode", tree.path(path).display())
    })
}

fn swap(tree: &Tree) -> Fact<u64> {
    let text = tree.text("proc/swaps")?;
    // Columns: file, type, size in KiB, used, priority. The first line is a header.
    let sizes = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(2).and_then(|kib| kib.parse::<u64>().ok()));
    Ok(sizes.sum::<u64>() * 1_024)
}

fn memory(tree: &Tree) -> Fact<u64> {
    let text = tree.text("proc/meminfo")?;
    number_in(&text, "MemTotal:")
        .map(|kib| kib * 1_024)
        .ok_or_else(|| format!("{} has no MemTotal", tree.path("proc/meminfo").display()))
}

/// Reads the tightest limits of this process's control group and the groups above it.
fn group(tree: &Tree) -> Fact<Group> {
    let root = "sys/fs/cgroup";
    if !tree.exists(&format!("{root}/cgroup.controllers")) {
        return Err(format!("{} has no control groups, version 2", tree.path(root).display()));
    }
    let text = tree.text("proc/self/cgroup")?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let mut group = Group::default();
    for folder in Path::new(own.trim_start_matches('/')).ancestors() {
        let folder = Path::new(root).join(folder);
        let read = |name: &str| tree.text(folder.join(name).to_str()?).ok();
        if let Some(bytes) = read("memory.max").and_then(|text| text.parse().ok()) {
            group.memory = Some(group.memory.map_or(bytes, |least: u64| least.min(bytes)));
        }
        let quota = read("cpu.max").and_then(|text| {
            let (quota, period) = text.split_once(' ')?;
            Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
        });
        if let Some(cpus) = quota {
            group.cpus = Some(group.cpus.map_or(cpus, |least: f64| least.min(cpus)));
        }
    }
    Ok(group)
}

/// Reads the CPUs of all top-level control groups but the broker's. Under systemd these groups are
/// slices; blipmq.service has its own, and deploy/isolate-cores.sh keeps the others off its CPUs.
fn other_cpus(tree: &Tree) -> Option<Vec<usize>> {
    let groups = std::fs::read_dir(tree.path("sys/fs/cgroup")).ok()?;
    let mut lists = groups.filter_map(|group| {
        let name = group.ok()?.file_name().into_string().ok()?;
        let list = tree.list(&format!("sys/fs/cgroup/{name}/cpuset.cpus.effective")).ok()?;
        (!name.starts_with("blipmq")).then_some(list)
    });
    let first = lists.next()?;
    Some(lists.fold(first, |all, list| [all, list].concat()))
}

#[cfg(test)]
#[path = "facts_tests.rs"]
pub mod tests;
